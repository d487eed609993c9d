//! Cutting a log back: everything behind one version is set aside, then removed. On the operator's word, where no
//! node has the log open ([`truncate_from`]), or by a node that follows another log ([`Writer::cut`]).
//!
//! ```text
//!   find the place ─► copy to rescue/ ─► lower the mark ─► remove later segments ─► cut the one that stays
//!                        synced             synced          newest first, synced       synced
//! ```
//!
//! # Invariants
//! 1. All bytes that go are durable in `rescue/` before the first is cut.
//! 2. The mark is lowered, durably, before the cut, segments go from the newest down, and what is left is cut in one
//!    piece: a crash at any point leaves a log that opens, at most longer than asked for. (Zeros written over the
//!    records would not do: a crash may keep a later record and lose an earlier one, and that is damage.)
//!
//! # Not here
//! Who may ask for this; that nobody else writes.
//!
//! [`Writer::cut`]: super::Writer::cut

use super::error::{Context, Fault, LogError};
use super::format::{ALIGN, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::mark::{Mark, MarkFile};
use super::open::set_aside;
use super::recovery::{Inventory, open_segment};
use super::scan::{Bad, SEQUENTIAL, Window, follow};
use super::segment;
use super::vfs::{Access, File, Vfs};
use crate::types::{Epoch, Hash, Position, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was cut, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The end of the log then.
    pub head: Position,
    /// The segment that is cut.
    pub segment: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Bytes set aside, those of later segments included.
    pub bytes: u64,
    /// Later segments, which go as a whole.
    pub removed: Vec<PathBuf>,
    /// Where the bytes are now; empty for a dry run.
    pub rescue: Vec<PathBuf>,
}

/// Cuts a log that no node has open, so that `version` is the next to be written. The part before it must be whole.
pub fn truncate_from(vfs: &dyn Vfs, dir: &Path, version: Version, dry_run: bool) -> Result<Truncated, LogError> {
    let found = Inventory::take(vfs, dir)?;
    let mut plan = Plan::make(vfs, dir, &found.bases, version)?;
    if !dry_run {
        plan.set_aside(vfs, dir, "cut")?;
        lower_mark(vfs, dir, &found, &plan.header, version - 1)?;
        plan.carry_out(vfs, dir)?;
    }
    Ok(plan.truncated)
}

/// A cut that was thought through: nothing is changed yet.
pub(crate) struct Plan {
    pub(crate) truncated: Truncated,
    /// Of the segment that stays.
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
    next: Version,
    parts: Vec<Part>,
}

/// What goes from one segment.
struct Part {
    file: Arc<dyn File>,
    from: u64,
    to: u64,
}

impl Plan {
    /// For a log of the segments `bases` that shall go on with `version`; what stays is checked.
    pub(crate) fn make(vfs: &dyn Vfs, dir: &Path, bases: &[Version], version: Version) -> Result<Self, LogError> {
        let oldest = bases.first().copied().unwrap_or(1);
        if version < oldest {
            return Err(LogError::Compacted { wanted: version, oldest });
        }
        // The record before the cut stays, so the segment that holds it is the one that is cut.
        let keeps = (version - 1).max(oldest);
        let place = bases.partition_point(|&base| base <= keeps);
        let Some(&base) = place.checked_sub(1).and_then(|place| bases.get(place)) else {
            return Err(LogError::NotFound { wanted: version, last: 0 });
        };
        let removed: Vec<PathBuf> = bases[place..].iter().map(|&base| path_of(dir, base)).collect();
        let (path, file, header) = open_segment(vfs, dir, base, None, Access::Write)?;
        let (offset, head) = end_before(&path, &file, &header, version, removed.is_empty())?;
        let end = content_end(&file, offset).context("read", &path)?;
        let mut parts = vec![Part { file: file.clone(), from: offset, to: end }];
        for path in &removed {
            let file = vfs.open(path, Access::Read).context("open", path)?;
            let to = content_end(&file, 0).context("read", path)?;
            parts.push(Part { file, from: SEGMENT_HEADER_BYTES.min(to), to });
        }
        let headers: u64 = parts[1..].iter().map(|part| part.from).sum();
        let bytes = headers + parts.iter().map(|part| part.to - part.from).sum::<u64>();
        let truncated = Truncated { head, segment: path, offset, bytes, removed, rescue: Vec::new() };
        Ok(Self { truncated, header, file, next: version, parts })
    }

    /// Whether the log ends with this hash then.
    pub(crate) fn check_end(&self, hash: Hash) -> Result<(), LogError> {
        let Truncated { head, segment, offset, .. } = &self.truncated;
        if head.hash == hash {
            return Ok(());
        }
        let fault = Fault::Chain { found: head.hash, expected: hash };
        Err(LogError::corrupt(segment, *offset, Some(head.version), fault))
    }

    /// Copies what will go to `rescue/`, durably: all of it, or nothing is left there.
    pub(crate) fn set_aside(&mut self, vfs: &dyn Vfs, dir: &Path, why: &str) -> Result<(), LogError> {
        let rescue = &mut self.truncated.rescue;
        for Part { file, from, to } in self.parts.iter().filter(|part| part.from < part.to) {
            match set_aside(vfs, dir, why, self.next, &**file, *from, *to) {
                Ok(path) => rescue.push(path),
                Err(error) => {
                    rescue.drain(..).try_for_each(|path| segment::remove_if_there(vfs, &path))?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Cuts; the mark has been lowered.
    pub(crate) fn carry_out(&self, vfs: &dyn Vfs, dir: &Path) -> Result<(), LogError> {
        let Truncated { removed, segment, offset, .. } = &self.truncated;
        let log_dir = segment::log_dir(dir);
        for path in removed.iter().rev() {
            vfs.remove(path).context("remove", path)?;
            vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
        }
        self.file.set_len(*offset).context("cut", segment)?;
        self.file.sync_data().context("sync", segment)
    }
}

/// What a log is known to have held, whatever has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The last version that this disk has confirmed.
    pub durable: Version,
    /// Chain hashes that segments begin behind, each with its version.
    pub joints: Vec<(Version, Hash)>,
}

/// Reads that from the mark and the headers of the segments; a header that is damaged tells nothing.
pub fn known(vfs: &dyn Vfs, dir: &Path) -> Result<Known, LogError> {
    let found = Inventory::take(vfs, dir)?;
    let header = |base: &Version| open_segment(vfs, dir, *base, None, Access::Read).ok();
    let joints = found.bases.iter().filter_map(header).map(|(_, _, header)| (header.base - 1, header.before));
    Ok(Known { durable: found.known(), joints: joints.collect() })
}

fn path_of(dir: &Path, base: Version) -> PathBuf {
    segment::log_dir(dir).join(segment_name(base))
}

/// Where the record before `version` ends, everything up to there checked.
fn end_before(
    path: &Path,
    file: &Arc<dyn File>,
    header: &SegmentHeader,
    version: Version,
    is_newest: bool,
) -> Result<(u64, Position), LogError> {
    let salt = super::format::Salt::new(&header.cluster, header.base);
    let mut window = Window::new(file.clone(), salt, SEQUENTIAL);
    let mut head = Position { epoch: Epoch::default(), version: header.base - 1, hash: header.before };
    let mut at = SEGMENT_HEADER_BYTES;
    while head.version + 1 < version {
        match window.record(at).and_then(|record| Ok((follow(&head, &record)?, record.size()))) {
            Ok((position, size)) => {
                head = position;
                at += size as u64;
            }
            Err(Bad::Fault(fault)) => {
                let end = content_end(file, at).context("read", path)?;
                let is_end = is_newest && end == at;
                return Err(if is_end {
                    LogError::NotFound { wanted: version, last: head.version }
                } else {
                    LogError::corrupt(path, at, Some(head.version + 1), fault)
                });
            }
            Err(Bad::Io(source)) => return Err(LogError::Io { op: "read", path: path.to_path_buf(), source }),
        }
    }
    Ok((at, head))
}

/// Behind the last byte that is not zero, or a little further: the hash of a last record may end with zeros.
fn content_end(file: &Arc<dyn File>, from: u64) -> std::io::Result<u64> {
    let salt = super::format::Salt::new(&Default::default(), 0);
    let len = file.len()?;
    let end = Window::new(file.clone(), salt, SEQUENTIAL).content_end(from, len)?;
    Ok(end.next_multiple_of(ALIGN as u64).min(len.max(end)))
}

fn lower_mark(
    vfs: &dyn Vfs,
    dir: &Path,
    found: &Inventory,
    header: &SegmentHeader,
    to: Version,
) -> Result<(), LogError> {
    let old = found.mark.mark;
    let mut file = MarkFile::open(vfs, dir, &found.mark)?;
    file.write(Mark {
        counter: 0,
        cluster: header.cluster,
        durable: old.map_or(to, |mark| mark.durable.min(to)),
        committed: old.map_or(0, |mark| mark.committed.min(to)),
        oldest: old.map_or(found.bases.first().copied().unwrap_or(1), |mark| mark.oldest),
    })?;
    file.sync(vfs)
}
