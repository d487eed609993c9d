//! What the end of a log means after a stop of any kind: clean, torn, damaged or uncertain.
//!
//! `v` is the first version that does not verify, at byte `O` of the newest segment; `known` is the last version that
//! is known to have been durable: by the mark, by `commit_upto` of the records before, by the name of a later segment.
//!
//! ```text
//!       from O on     v <= known   a later record proves v   a piece is missing   verdict
//!   1   zeros         no           -                         -                    clean
//!   2   zeros         yes          -                         -                    lost: the disk dropped it
//!   3   bytes         yes          -                         -                    damaged
//!   4   bytes         no           yes                       -                    damaged
//!   5   bytes         no           no                        yes                  torn: cut it, keep the bytes
//!   6   bytes         no           no                        no                   uncertain: nobody cuts it silently
//! ```
//!
//! A later record proves `v` when its header can be believed and it says `commit_upto >= v`, or when it lies further
//! behind `O` than unsynced bytes can. A piece is missing when the file ends inside the record, or when a 512-byte
//! sector between `O` and the end of the record is all zero: no sector of a record is (texts hold no zero byte). The
//! end is what the header says if it can be believed, else the last byte of the file that is not zero, and at least
//! one header.
//!
//! In every older segment each fault is damage: it was synced before the next one began.
//!
//! # Not here
//! What is done about it (`open`), what an auditor is told (`verify`).

use super::error::{Context, Fault, LogError};
use super::format::{
    HEADER_BYTES, SEGMENT_HEADER_BYTES, Salt, SegmentHeader, UNSYNCED_BYTES_MAX, genesis, leading_zeros, segment_name,
};
use super::mark::{self, Found};
use super::reader::Held;
use super::record::Header;
use super::scan::{Bad, SEQUENTIAL, Window};
use super::segment;
use super::stretch::{Source, Stretch};
use super::vfs::{Access, File, Vfs};
use crate::types::{ClusterId, Epoch, Micros, Position, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was seen at the end of the newest segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// All bytes from `O` on are zero, or there are none.
    pub(crate) zeros: bool,
    /// `v <= known`.
    pub(crate) promised: bool,
    /// A later record proves that `v` was durable.
    pub(crate) proven: bool,
    /// The file ends inside the record, or a whole piece of it is zero.
    pub(crate) hole: bool,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Lost,
    Damaged,
    Torn,
    Uncertain,
}

/// One row of the table above; `None` matches both.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) zeros: bool,
    pub(crate) promised: bool,
    pub(crate) proven: Option<bool>,
    pub(crate) hole: Option<bool>,
    pub(crate) verdict: Verdict,
}

/// The table above.
pub(crate) const RESTART: [Row; 6] = {
    use Verdict::{Clean, Damaged, Lost, Torn, Uncertain};
    const fn row(number: u8, zeros: bool, promised: bool, rest: (Option<bool>, Option<bool>), verdict: Verdict) -> Row {
        Row { number, zeros, promised, proven: rest.0, hole: rest.1, verdict }
    }
    [
        row(1, true, false, (None, None), Clean),
        row(2, true, true, (None, None), Lost),
        row(3, false, true, (None, None), Damaged),
        row(4, false, false, (Some(true), None), Damaged),
        row(5, false, false, (Some(false), Some(true)), Torn),
        row(6, false, false, (Some(false), Some(false)), Uncertain),
    ]
};

impl Row {
    pub(crate) fn fits(&self, seen: &Seen) -> bool {
        self.zeros == seen.zeros
            && self.promised == seen.promised
            && self.proven.is_none_or(|proven| proven == seen.proven)
            && self.hole.is_none_or(|hole| hole == seen.hole)
    }
}

impl Seen {
    /// The one row that fits.
    pub(crate) fn row(&self) -> &'static Row {
        RESTART.iter().find(|row| row.fits(self)).expect("the table covers every combination")
    }
}

/// A segment that has been read record by record.
pub(crate) struct Scanned {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) salt: Salt,
    /// Bytes of the file.
    pub(crate) len: u64,
    /// Behind the last record that verifies: `O`.
    pub(crate) end: u64,
    pub(crate) head: Position,
    pub(crate) last_time: Micros,
    /// The highest `commit_upto` of the records.
    pub(crate) commit_upto: Version,
    /// The newest format of the records.
    pub(crate) format: u8,
    /// Where the first record behind the mark begins.
    pub(crate) unmarked: u64,
    /// Why there is no record at `end`.
    pub(crate) fault: Fault,
}

/// Reads a segment from its first record to the first fault, every checksum and the chain.
pub(crate) fn scan(
    path: PathBuf,
    file: Arc<dyn File>,
    header: &SegmentHeader,
    marked: Version,
) -> Result<Scanned, LogError> {
    let len = file.len().context("read", &path)?;
    let salt = Salt::new(&header.cluster, header.base);
    let source = Source { file: &file, salt, header, len, marked };
    let (read, fault) = source.read().context("read", &path)?;
    let Stretch { end, head, last_time, commit_upto, format, marked_end, .. } = read;
    let unmarked = marked_end.unwrap_or(SEGMENT_HEADER_BYTES);
    Ok(Scanned { path, file, salt, len, end, head, last_time, commit_upto, format, unmarked, fault })
}

/// A judged end.
pub(crate) struct Judged {
    /// The row of the table that fits.
    pub(crate) row: &'static Row,
    /// Behind the last byte that is not zero.
    pub(crate) content_end: u64,
    pub(crate) known: Version,
}

/// Judges what lies behind the last record of the newest segment, by the table.
pub(crate) fn judge(scanned: &Scanned, known: Version) -> Result<Judged, LogError> {
    let known = known.max(scanned.commit_upto);
    let (start, version) = (scanned.end, scanned.head.version + 1);
    let path = &scanned.path;
    let mut window = Window::new(scanned.file.clone(), scanned.salt, SEQUENTIAL);
    let content_end = window.content_end(start, scanned.len).context("read", path)?;
    let zeros = content_end == start;
    let (mut proven, mut hole) = (false, false);
    if !zeros {
        proven = is_proven(&mut window, start, content_end, version).context("read", path)?;
        let record_end = match window.header(start) {
            Ok(header) => start + header.length as u64,
            Err(Bad::Fault(_)) => content_end.max(start + HEADER_BYTES as u64),
            Err(Bad::Io(source)) => return Err(LogError::Io { op: "read", path: path.clone(), source }),
        };
        hole = record_end > scanned.len || has_zero_sector(&mut window, start, record_end).context("read", path)?;
    }
    let seen = Seen { zeros, promised: version <= known, proven, hole };
    Ok(Judged { row: seen.row(), content_end, known })
}

fn is_proven(window: &mut Window, start: u64, end: u64, version: Version) -> std::io::Result<bool> {
    let mut at = start + 8;
    while let Some((place, header)) = window.next_header(at, end, true)? {
        let Header { commit_upto, length, .. } = header;
        if commit_upto >= version || place - start > UNSYNCED_BYTES_MAX as u64 {
            return Ok(true);
        }
        // Inside a record there is no header; a length that leads nowhere is still a multiple of eight.
        at = place + (length as u64).min(UNSYNCED_BYTES_MAX as u64);
    }
    Ok(false)
}

fn has_zero_sector(window: &mut Window, start: u64, end: u64) -> std::io::Result<bool> {
    const SECTOR: u64 = 512;
    let mut at = start;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        let n = (next - at) as usize;
        let bytes = window.bytes(at, n)?;
        let bytes = &bytes[..n.min(bytes.len())];
        if leading_zeros(bytes) == bytes.len() {
            return Ok(true);
        }
        at = next;
    }
    Ok(false)
}

impl Judged {
    /// The error that a start ends with, if it may not go on.
    pub(crate) fn refusal(&self, scanned: &Scanned) -> Option<LogError> {
        let Scanned { path, end, head, fault, .. } = scanned;
        let (path, offset, version, fault) = (path.clone(), *end, head.version + 1, fault.clone());
        match self.row.verdict {
            // A whole record of a newer program is neither torn nor damaged.
            _ if matches!(fault, Fault::Format(_) | Fault::Kind(_)) => {
                Some(LogError::UnknownFormat { path, offset, fault })
            }
            Verdict::Clean | Verdict::Torn => None,
            Verdict::Lost => Some(LogError::Lost { path, offset, version, known: self.known }),
            Verdict::Damaged => Some(LogError::corrupt(&path, offset, Some(version), fault)),
            Verdict::Uncertain => Some(LogError::Uncertain { path, offset, version, fault }),
        }
    }
}

/// What is in `log/` and `state/`, before anything is judged.
pub(crate) struct Inventory {
    pub(crate) bases: Vec<Version>,
    pub(crate) mark: Found,
    /// Segments before the first one that should be there: a compaction was cut short.
    pub(crate) leftover: Vec<Version>,
    /// A newest segment that was never written: its name alone is there.
    pub(crate) unborn: Option<Version>,
}

impl Inventory {
    pub(crate) fn take(vfs: &dyn Vfs, dir: &Path) -> Result<Self, LogError> {
        let log_dir = segment::log_dir(dir);
        let mark = mark::read(vfs, dir)?;
        let all = segment::bases(vfs, &log_dir)?;
        let oldest = mark.oldest(all.first().copied());
        let (mut bases, leftover): (Vec<_>, Vec<_>) = all.into_iter().partition(|&base| base >= oldest);
        let mut unborn = None;
        if let Some(&newest) = bases.last()
            && newest > mark.mark.map_or(0, |mark| mark.durable)
            && is_all_zero(vfs, &log_dir.join(segment_name(newest)))?
        {
            unborn = bases.pop();
        }
        Ok(Self { bases, mark, leftover, unborn })
    }

    /// The last version that is known to have been durable, by what is not in the newest segment.
    pub(crate) fn known(&self) -> Version {
        let by_name = self.unborn.map_or(0, |base| base - 1);
        self.mark.mark.map_or(0, |mark| mark.durable).max(by_name)
    }

    /// Checks the mark against the cluster and the segments: none may be missing at the front, nor all of them.
    pub(crate) fn check(&self, dir: &Path, cluster: &ClusterId) -> Result<(), LogError> {
        if let Some(mark) = self.mark.mark
            && mark.cluster != *cluster
        {
            return Err(LogError::Foreign { path: mark::path_in(dir), found: mark.cluster, expected: *cluster });
        }
        let oldest = self.mark.oldest(self.bases.first().copied());
        match self.bases.first() {
            Some(&base) if base > oldest => Err(LogError::Missing { from: oldest, to: base - 1 }),
            None if self.known() >= oldest => Err(LogError::Missing { from: oldest, to: self.known() }),
            _ => Ok(()),
        }
    }
}

fn is_all_zero(vfs: &dyn Vfs, path: &Path) -> Result<bool, LogError> {
    let file = vfs.open(path, Access::Read).context("open", path)?;
    let front = segment::read_header(&*file).context("read", path)?;
    if leading_zeros(&front) < front.len() {
        return Ok(false);
    }
    let len = file.len().context("read", path)?;
    let mut window = Window::new(file, Salt::new(&ClusterId::default(), 0), SEQUENTIAL);
    Ok(window.content_end(0, len).context("read", path)? == 0)
}

/// Opens a segment and reads its header, which must be the one that its name and cluster ask for.
pub(crate) fn open_segment(
    vfs: &dyn Vfs,
    dir: &Path,
    base: Version,
    cluster: Option<&ClusterId>,
    access: Access,
) -> Result<(PathBuf, Arc<dyn File>, SegmentHeader), LogError> {
    let path = segment::log_dir(dir).join(segment_name(base));
    let file = vfs.open(&path, access).context("open", &path)?;
    let bytes = segment::read_header(&*file).context("read", &path)?;
    let header = SegmentHeader::decode(&bytes).map_err(|fault| LogError::corrupt(&path, 0, Some(base), fault))?;
    if let Some(&expected) = cluster.filter(|&&cluster| cluster != header.cluster) {
        return Err(LogError::Foreign { path, found: header.cluster, expected });
    }
    if header.base != base {
        let fault = Fault::Version { found: header.base, expected: base };
        return Err(LogError::corrupt(&path, 0, Some(base), fault));
    }
    Ok((path, file, header))
}

/// How far a log may be read from outside.
pub(crate) struct View {
    pub(crate) cluster: ClusterId,
    pub(crate) bases: Vec<Version>,
    pub(crate) durable: Version,
    pub(crate) committed: Version,
}

/// Looks at a log without changing it. Damage at the end does not hide what is before it: the view reaches as far as
/// the log should, and whoever reads there gets the error.
pub(crate) fn view(vfs: &dyn Vfs, dir: &Path, held: Held) -> Result<View, LogError> {
    let inventory = Inventory::take(vfs, dir)?;
    let mark = inventory.mark.mark;
    let committed = mark.map_or(0, |mark| mark.committed);
    let Some(&newest) = inventory.bases.last() else {
        let cluster = mark.map(|mark| mark.cluster).unwrap_or_default();
        if mark.is_some() {
            inventory.check(dir, &cluster)?;
        }
        return Ok(View { cluster, bases: Vec::new(), durable: 0, committed: 0 });
    };
    let bases = inventory.bases.clone();
    if let (Held::ByNode, Some(mark)) = (held, mark) {
        return Ok(View { cluster: mark.cluster, bases, durable: mark.durable, committed });
    }
    let (path, file, header) = open_segment(vfs, dir, newest, mark.as_ref().map(|mark| &mark.cluster), Access::Read)?;
    let scanned = scan(path, file, &header, 0)?;
    let judged = judge(&scanned, inventory.known())?;
    let durable = match judged.row.verdict {
        Verdict::Clean | Verdict::Torn => scanned.head.version,
        Verdict::Lost | Verdict::Damaged | Verdict::Uncertain => judged.known.max(scanned.head.version + 1),
    };
    let committed = committed.max(scanned.commit_upto).min(durable);
    Ok(View { cluster: header.cluster, bases, durable, committed })
}

/// The hash before the first record of a log that has none.
pub(crate) fn beginning(cluster: &ClusterId) -> Position {
    Position { epoch: Epoch::default(), version: 0, hash: genesis(cluster) }
}
