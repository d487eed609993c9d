//! Opening a log to write: check, judge the end, cut what a crash has torn, and go on behind it.
//!
//! ```text
//!   inventory ─► older segments: header, last record, joint ─► newest: every record ─► verdict ─┬─ refuse, untouched
//!                                                                                              └─ rescue, cut, sync
//! ```
//!
//! # Invariants
//! 1. Nothing is changed before the verdict; a log that is refused is left as it was.
//! 2. The bytes of a torn tail are durable in `rescue/` before they are cut.
//! 3. What was read behind the mark is written again before it counts as durable: it may have been read from a cache
//!    whose sync failed in an earlier process, and only a dirty page is ever synced.

use super::Config;
use super::compaction;
use super::error::{Context, Fault, LogError};
use super::format::{FORMAT_FIRST, HASH_BYTES, SEGMENT_HEADER_BYTES, Salt, SegmentHeader, segment_name};
use super::mark::{self, Found, MarkFile};
use super::reader::Shared;
use super::recovery::{Inventory, Scanned, Verdict, beginning, judge, open_segment, scan};
use super::scan::{Bad, SEQUENTIAL, Window};
use super::sealer::Sealer;
use super::segment;
use super::vfs::{Access, File, Vfs};
use super::writer::{Newest, Writer};
use crate::types::{Durable, Epoch, Hash, Micros, Position, Version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log that can be written.
pub struct Opened {
    /// For the log thread.
    pub writer: Writer,
    /// For the event loop.
    pub sealer: Sealer,
    /// What was found.
    pub report: Report,
}

/// What opening has found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The last record.
    pub head: Position,
    /// First version that is there, or that will be.
    pub oldest: Version,
    /// Last version known to be committed: by the mark and by the records.
    pub committed: Version,
    /// Everything that is there: it has been synced.
    pub durable: Durable,
    /// Time of the last record; 0 for an empty log.
    pub last_time: Micros,
    /// The torn tail that was cut.
    pub cut: Option<Cut>,
    /// Slots of the mark that did not match their checksum: two mean that nothing was known from it.
    pub broken_marks: usize,
}

/// A torn tail that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The version that was never whole.
    pub version: Version,
    /// The segment.
    pub segment: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were set aside.
    pub bytes: u64,
    /// Where they are now.
    pub rescue: PathBuf,
}

/// Opens the log of a data directory, or begins one.
pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, config: &Config) -> Result<Opened, LogError> {
    let log_dir = segment::log_dir(dir);
    for made in [&log_dir, &dir.join("state")] {
        vfs.create_dir_all(made).context("create", made)?;
    }
    let mut inventory = Inventory::take(&*vfs, dir)?;
    inventory.check(dir, &config.cluster)?;
    let joint = check_older(&*vfs, dir, &inventory, config)?;
    segment::remove_halves(&*vfs, &log_dir)?;
    let broken_marks = inventory.mark.broken;
    confirm_oldest(&*vfs, dir, &mut inventory.mark)?;
    compaction::remove_leftover(&*vfs, dir, &inventory.leftover)?;
    let (segment, end) = match inventory.bases.last() {
        None => (begin(&*vfs, dir, &inventory, config)?, End::of_nothing(config)),
        Some(&newest) => open_newest(&*vfs, dir, newest, joint, &inventory, config)?,
    };
    let mut bases = inventory.bases.clone();
    if bases.is_empty() {
        bases.push(1);
    }
    if let Some(unborn) = inventory.unborn.filter(|_| !inventory.bases.is_empty()) {
        segment::remove_if_there(&*vfs, &log_dir.join(segment_name(unborn)))?;
        vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
    }
    let head = end.head.version;
    let known = inventory.mark.mark.map_or(0, |mark| mark.committed).max(end.commit_upto).min(head);
    let mark = MarkFile::open(&*vfs, dir, &inventory.mark)?;
    let shared = Arc::new(Shared::new(bases, head, known));
    let mut writer = Writer {
        vfs,
        dir: dir.to_path_buf(),
        config: config.clone(),
        segment,
        head,
        unsynced: 0,
        mark,
        shared,
        closed: false,
    };
    writer.fill_segment()?;
    writer.mark(known)?;
    writer.mark.sync(&*writer.vfs)?;
    let report = Report {
        head: end.head,
        oldest: writer.shared.oldest(),
        committed: known,
        durable: Durable::from_sync(head),
        last_time: end.last_time,
        cut: end.cut,
        broken_marks,
    };
    Ok(Opened { writer, sealer: Sealer::new(end.head, end.format), report })
}

/// Removes a log that never had a record, so that another can begin in its place. A crash in between leaves one that opens
/// empty: the mark goes first, because it would miss what goes after it.
pub fn remove_empty(vfs: &dyn Vfs, dir: &Path) -> Result<(), LogError> {
    let (log_dir, mark) = (segment::log_dir(dir), super::mark::path_in(dir));
    segment::remove_if_there(vfs, &mark)?;
    let state = dir.join("state");
    vfs.sync_dir(&state).context("sync", &state)?;
    for name in vfs.list(&log_dir).context("list", &log_dir)? {
        segment::remove_if_there(vfs, &log_dir.join(name))?;
    }
    vfs.sync_dir(&log_dir).context("sync", &log_dir)
}

/// Writes where a log begins that was compacted into both slots of its mark: it may have been read from a cache whose disk
/// has another word, and what is removed on that word would be missed.
fn confirm_oldest(vfs: &dyn Vfs, dir: &Path, found: &mut Found) -> Result<(), LogError> {
    let Some(mark) = found.mark.filter(|mark| mark.oldest > 1) else { return Ok(()) };
    let mut file = MarkFile::open(vfs, dir, found)?;
    for _ in 0..2 {
        file.write(mark)?;
        file.sync(vfs)?;
    }
    *found = mark::read(vfs, dir)?;
    Ok(())
}

/// What the newest segment ends with.
struct End {
    head: Position,
    last_time: Micros,
    commit_upto: Version,
    format: u8,
    cut: Option<Cut>,
}

impl End {
    fn of_nothing(config: &Config) -> Self {
        Self { head: beginning(&config.cluster), last_time: 0, commit_upto: 0, format: FORMAT_FIRST, cut: None }
    }
}

/// The last record of an older segment, which the next one must continue.
struct Joint {
    position: Position,
    time: Micros,
    format: u8,
}

/// Header and last record of every segment but the newest, and that each continues the one before it.
fn check_older(vfs: &dyn Vfs, dir: &Path, found: &Inventory, config: &Config) -> Result<Option<Joint>, LogError> {
    let mut joint: Option<Joint> = None;
    for (place, &base) in found.bases.iter().enumerate() {
        let (path, file, header) = open_segment(vfs, dir, base, Some(&config.cluster), Access::Read)?;
        let before = match &joint {
            Some(joint) => joint.position.hash,
            None if base == 1 => beginning(&config.cluster).hash,
            None => header.before,
        };
        if header.before != before {
            let fault = Fault::Chain { found: header.before, expected: before };
            return Err(LogError::corrupt(&path, 0, Some(base), fault));
        }
        let Some(&next) = found.bases.get(place + 1) else { break };
        joint = Some(last_record(path, file, &header, next)?);
    }
    Ok(joint)
}

/// The record before version `next`, which must be the last of this segment.
fn last_record(path: PathBuf, file: Arc<dyn File>, header: &SegmentHeader, next: Version) -> Result<Joint, LogError> {
    let len = file.len().context("read", &path)?;
    let mut window = Window::new(file, Salt::new(&header.cluster, header.base), SEQUENTIAL);
    let mut at = window.find(next - 1, len).context("read", &path)?;
    let mut before = Hash([0; HASH_BYTES]);
    loop {
        let wrong = |bad, version| match bad {
            Bad::Fault(fault) => LogError::corrupt(&path, at, version, fault),
            Bad::Io(source) => LogError::Io { op: "read", path: path.clone(), source },
        };
        let record = window.record(at).map_err(|bad| wrong(bad, None))?;
        if record.version == next - 1 {
            if at == SEGMENT_HEADER_BYTES {
                before = header.before;
            } else if before == Hash([0; HASH_BYTES]) {
                let bytes = window.bytes(at - HASH_BYTES as u64, HASH_BYTES).context("read", &path)?;
                before = Hash(super::format::array_at(bytes, 0));
            }
            let record = window.record(at).map_err(|bad| wrong(bad, Some(next - 1)))?;
            let last = Position { epoch: Epoch::default(), version: next - 2, hash: before };
            let position =
                super::scan::follow(&last, &record).map_err(|fault| wrong(Bad::Fault(fault), Some(next - 1)))?;
            return Ok(Joint { position, time: record.time, format: record.format });
        }
        if record.version > next - 1 {
            let fault = Fault::Version { found: record.version, expected: next - 1 };
            return Err(LogError::corrupt(&path, at, Some(next - 1), fault));
        }
        before = record.hash;
        at += record.size() as u64;
    }
}

/// The first segment of a log, or of one whose first segment got no further than its name.
fn begin(vfs: &dyn Vfs, dir: &Path, found: &Inventory, config: &Config) -> Result<Newest, LogError> {
    let log_dir = segment::log_dir(dir);
    if let Some(unborn) = found.unborn {
        segment::remove_if_there(vfs, &log_dir.join(segment_name(unborn)))?;
    }
    let header = SegmentHeader { cluster: config.cluster, base: 1, before: beginning(&config.cluster).hash };
    Newest::create(vfs, dir, &header, config)
}

fn open_newest(
    vfs: &dyn Vfs,
    dir: &Path,
    newest: Version,
    joint: Option<Joint>,
    found: &Inventory,
    config: &Config,
) -> Result<(Newest, End), LogError> {
    let (path, file, header) = open_segment(vfs, dir, newest, Some(&config.cluster), Access::Write)?;
    let marked = found.mark.mark.map_or(0, |mark| mark.durable);
    let scanned = scan(path, file, &header, marked)?;
    let judged = judge(&scanned, found.known())?;
    if let Some(error) = judged.refusal(&scanned) {
        return Err(error);
    }
    let cut = match judged.row.verdict {
        Verdict::Torn => Some(cut_tail(vfs, dir, &scanned, judged.content_end)?),
        _ => None,
    };
    write_again(&scanned).context("write", &scanned.path)?;
    scanned.file.sync_data().context("sync", &scanned.path)?;
    let Scanned { head, last_time, commit_upto, format, .. } = scanned;
    let mut end = End { head, last_time, commit_upto, format, cut };
    if let Some(joint) = joint.filter(|_| end.head.version < newest) {
        (end.head, end.last_time, end.format) = (joint.position, joint.time, joint.format);
    }
    let segment =
        Newest { path: scanned.path, file: scanned.file, salt: scanned.salt, end: scanned.end, filled: scanned.len };
    Ok((segment, end))
}

/// Sets the bytes behind the last record aside and leaves zeros there.
fn cut_tail(vfs: &dyn Vfs, dir: &Path, scanned: &Scanned, to: u64) -> Result<Cut, LogError> {
    let version = scanned.head.version + 1;
    let rescue = set_aside(vfs, dir, "torn", version, &*scanned.file, scanned.end, to)?;
    segment::write_zeros(&*scanned.file, scanned.end, to).context("cut", &scanned.path)?;
    scanned.file.sync_data().context("sync", &scanned.path)?;
    Ok(Cut { version, segment: scanned.path.clone(), offset: scanned.end, bytes: to - scanned.end, rescue })
}

/// Copies a part of a segment to a new file in `rescue/`, behind the segment's header, without which its records
/// could not be checked; durable when this returns.
pub(crate) fn set_aside(
    vfs: &dyn Vfs,
    dir: &Path,
    why: &str,
    version: Version,
    file: &dyn File,
    from: u64,
    to: u64,
) -> Result<PathBuf, LogError> {
    let rescue = dir.join("rescue");
    vfs.create_dir_all(&rescue).context("create", &rescue)?;
    let mut number = 1;
    let (path, copy) = loop {
        let path = rescue.join(format!("{why}-{version:020}.{number}"));
        match vfs.open(&path, Access::Create) {
            Ok(copy) => break (path, copy),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).context("create", &path),
        }
    };
    let copied = copy_range(file, 0, SEGMENT_HEADER_BYTES, &*copy, 0)
        .and_then(|()| copy_range(file, from, to, &*copy, SEGMENT_HEADER_BYTES))
        .context("copy to", &path)
        .and_then(|()| copy.sync_data().context("sync", &path));
    if copied.is_err() {
        // Half a copy would pass for all there was.
        segment::remove_if_there(vfs, &path)?;
    }
    copied?;
    vfs.sync_dir(&rescue).context("sync", &rescue)?;
    Ok(path)
}

/// Makes the pages behind the mark dirty, so that the sync that follows is a real one.
fn write_again(scanned: &Scanned) -> io::Result<()> {
    copy_range(&*scanned.file, scanned.unmarked, scanned.end, &*scanned.file, scanned.unmarked)
}

/// Copies `from..to` of one file to `place` of another.
fn copy_range(file: &dyn File, from: u64, to: u64, copy: &dyn File, place: u64) -> io::Result<()> {
    let mut buf = vec![0; SEQUENTIAL.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let wanted = buf.len().min((to - at) as usize);
        let n = file.read_at(&mut buf[..wanted], at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copy.write_at(&buf[..n], place + (at - from))?;
        at += n as u64;
    }
    Ok(())
}
