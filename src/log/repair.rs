//! Cutting a log on the operator's word: everything from one version on is set aside, then removed.
//!
//! # Invariants
//! 1. All bytes that go are durable in `rescue/` before the first is cut.
//! 2. The mark is lowered, durably, before the cut, and segments go from the newest down: a crash at any point leaves
//!    a log that opens, at most longer than asked for.
//!
//! # Not here
//! Who may ask for this; that nobody has the directory open.

use super::error::{Context, LogError};
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::mark::{Mark, MarkFile};
use super::open::set_aside;
use super::recovery::{Inventory, open_segment};
use super::scan::{Bad, SEQUENTIAL, Window, follow};
use super::segment;
use super::vfs::{Access, File, Vfs};
use crate::types::{Epoch, Position, Version};
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
    let oldest = found.bases.first().copied().unwrap_or(1);
    if version < oldest {
        return Err(LogError::Compacted { wanted: version, oldest });
    }
    // The record before the cut stays, so the segment that holds it is the one that is cut.
    let keeps = (version - 1).max(oldest);
    let place = found.bases.partition_point(|&base| base <= keeps);
    let Some(&base) = place.checked_sub(1).and_then(|place| found.bases.get(place)) else {
        return Err(LogError::NotFound { wanted: version, last: 0 });
    };
    let later: Vec<PathBuf> = found.bases[place..].iter().map(|&base| path_of(dir, base)).collect();
    let (path, file, header) = open_segment(vfs, dir, base, None, Access::Write)?;
    let (offset, head) = end_before(&path, &file, &header, version, later.is_empty())?;
    let end = content_end(&file, offset).context("read", &path)?;
    let mut truncated = Truncated {
        head,
        segment: path.clone(),
        offset,
        bytes: end - offset,
        removed: later.clone(),
        rescue: Vec::new(),
    };
    let mut parts = vec![(path.clone(), file.clone(), offset, end)];
    for path in &later {
        let file = vfs.open(path, Access::Read).context("open", path)?;
        let end = content_end(&file, 0).context("read", path)?;
        truncated.bytes += end;
        parts.push((path.clone(), file, SEGMENT_HEADER_BYTES.min(end), end));
    }
    if dry_run {
        return Ok(truncated);
    }
    for (_, file, from, to) in parts.iter().filter(|(_, _, from, to)| from < to) {
        truncated.rescue.push(set_aside(vfs, dir, "cut", version, &**file, *from, *to)?);
    }
    lower_mark(vfs, dir, &found, &header, version - 1)?;
    let log_dir = segment::log_dir(dir);
    for path in later.iter().rev() {
        vfs.remove(path).context("remove", path)?;
        vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
    }
    segment::write_zeros(&*file, offset, end).context("cut", &path)?;
    file.sync_data().context("sync", &path)?;
    Ok(truncated)
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

fn content_end(file: &Arc<dyn File>, from: u64) -> std::io::Result<u64> {
    let salt = super::format::Salt::new(&Default::default(), 0);
    Window::new(file.clone(), salt, SEQUENTIAL).content_end(from, file.len()?)
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
