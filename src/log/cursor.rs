//! A place in the log that moves over its records, from segment to segment.

use super::error::{Context, Fault, LogError};
use super::format::{HASH_BYTES, SEGMENT_HEADER_BYTES, Salt, array_at};
use super::reader::Reader;
use super::record::RecordRef;
use super::scan::{Bad, PROBE, SEQUENTIAL, Window, follow};
use super::vfs::File;
use crate::types::{ClusterId, Epoch, Hash, Position, Record, Version};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are read at once when going backwards.
const BACK: u64 = 256 << 10;
/// Records behind the first that are still read in small pieces: most questions are for one record or a few.
const FEW: u64 = 8;

/// A segment that is open for reading.
pub(crate) struct Segment {
    path: PathBuf,
    file: Arc<dyn File>,
    salt: Salt,
    pub(crate) base: Version,
    /// First version of the next segment, if there is one.
    pub(crate) next: Option<Version>,
    /// Hash of the version before the first.
    pub(crate) before: Hash,
}

impl Segment {
    pub(crate) fn new(
        path: PathBuf,
        file: Arc<dyn File>,
        cluster: &ClusterId,
        base: Version,
        next: Option<Version>,
        before: Hash,
    ) -> Self {
        Self { path, file, salt: Salt::new(cluster, base), base, next, before }
    }

    fn window(&self, ahead: usize) -> Window {
        Window::new(self.file.clone(), self.salt, ahead)
    }

    fn wrong(&self, at: u64, version: Version, bad: Bad) -> LogError {
        match bad {
            Bad::Fault(fault) => LogError::corrupt(&self.path, at, Some(version), fault),
            Bad::Io(source) => LogError::Io { op: "read", path: self.path.clone(), source },
        }
    }

    /// Where `version` begins.
    fn find(&self, window: &mut Window, version: Version) -> Result<u64, LogError> {
        let len = self.file.len().context("read", &self.path)?;
        let mut at = window.find(version, len).context("read", &self.path)?;
        let mut broken = None;
        loop {
            let header = match window.header(at) {
                Ok(header) => header,
                Err(Bad::Fault(fault)) if broken.is_none() => {
                    // The one wanted may be whole behind one that is not.
                    broken = Some((at, fault));
                    match window.next_header(at, len, true).context("read", &self.path)? {
                        Some((place, _)) => at = place,
                        None => break,
                    }
                    continue;
                }
                Err(Bad::Fault(_)) => break,
                Err(bad) => return Err(self.wrong(at, version, bad)),
            };
            if header.version == version {
                return Ok(at);
            }
            if header.version > version {
                break;
            }
            at += header.length as u64;
        }
        let (at, fault) = broken.unwrap_or((at, Fault::Short { have: 0, need: 1 }));
        Err(self.wrong(at, version, Bad::Fault(fault)))
    }

    /// The end of the log before the record at `at`, as its neighbour states it.
    fn before(&self, window: &mut Window, at: u64, version: Version) -> Result<Position, LogError> {
        let hash = if at == SEGMENT_HEADER_BYTES {
            self.before
        } else {
            let bytes = window.bytes(at - HASH_BYTES as u64, HASH_BYTES).context("read", &self.path)?;
            Hash(bytes.first_chunk().copied().unwrap_or_else(|| array_at(&[0; HASH_BYTES], 0)))
        };
        Ok(Position { epoch: Epoch::default(), version: version - 1, hash })
    }
}

/// Walks over `next..=to`.
pub(crate) struct Cursor {
    reader: Reader,
    open: Option<Open>,
    next: Version,
    to: Version,
    read: u64,
    chained: bool,
    /// Of the log when it began.
    cuts: u64,
}

struct Open {
    segment: Arc<Segment>,
    window: Window,
    at: u64,
    last: Position,
}

impl Cursor {
    pub(crate) fn new(reader: Reader, from: Version, to: Version, chained: bool) -> Self {
        let cuts = reader.cuts();
        Self { reader, open: None, next: from, to, read: 0, chained, cuts }
    }

    /// The next record; nothing more after an error.
    pub(crate) fn step(&mut self) -> Option<Result<RecordRef<'_>, LogError>> {
        if self.next > self.to {
            return None;
        }
        if let Err(error) = self.enter() {
            self.to = 0;
            return Some(Err(unless_cut(&self.reader, self.cuts, self.next, error)));
        }
        let version = self.next;
        self.next += 1;
        self.read += 1;
        let (chained, to, reader, cuts) = (self.chained, &mut self.to, &self.reader, self.cuts);
        let Open { segment, window, at, last } = self.open.as_mut().expect("entered above");
        if self.read == FEW {
            window.set_ahead(SEQUENTIAL);
        }
        let place = *at;
        let record = match window.record(place) {
            Ok(record) => record,
            Err(bad) => {
                *to = 0;
                return Some(Err(unless_cut(reader, cuts, version, segment.wrong(place, version, bad))));
            }
        };
        let followed = if chained {
            follow(last, &record)
        } else if record.version == version {
            Ok(Position { epoch: record.epoch, version, hash: record.hash })
        } else {
            Err(Fault::Version { found: record.version, expected: version })
        };
        match followed {
            Ok(position) => *last = position,
            Err(fault) => {
                *to = 0;
                let error = segment.wrong(place, version, Bad::Fault(fault));
                return Some(Err(unless_cut(reader, cuts, version, error)));
            }
        }
        *at += record.size() as u64;
        Some(Ok(record))
    }

    /// Makes sure that the segment of the next record is open, at its place.
    fn enter(&mut self) -> Result<(), LogError> {
        if self.open.as_ref().is_some_and(|open| open.segment.next != Some(self.next)) {
            return Ok(());
        }
        let segment = self.reader.segment(self.next)?;
        let mut window = segment.window(PROBE);
        let left = self.open.take();
        let (at, last) = match left {
            // The next segment continues the last one: its header must say so, and its first record.
            Some(open) => {
                if segment.before != open.last.hash {
                    let fault = Fault::Chain { found: segment.before, expected: open.last.hash };
                    return Err(segment.wrong(0, self.next, Bad::Fault(fault)));
                }
                (SEGMENT_HEADER_BYTES, open.last)
            }
            None => {
                let at = segment.find(&mut window, self.next)?;
                let last = segment.before(&mut window, at, self.next)?;
                (at, last)
            }
        };
        window.set_ahead(if self.read < FEW { PROBE } else { SEQUENTIAL });
        self.open = Some(Open { segment, window, at, last });
        Ok(())
    }
}

/// An error, unless the log was cut back meanwhile: then what was to be read is gone, which is nobody's fault.
fn unless_cut(reader: &Reader, cuts: u64, wanted: Version, error: LogError) -> LogError {
    if reader.cuts() == cuts { error } else { LogError::NotFound { wanted, last: reader.durable() } }
}

/// Records in order; see [`Reader::records`].
pub struct Records {
    cursor: Cursor,
}

impl Records {
    pub(crate) fn new(cursor: Cursor) -> Self {
        Self { cursor }
    }
}

impl Iterator for Records {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.cursor.step()?.map(|record| record.to_record()))
    }
}

/// Records in order, borrowed from the buffer; see [`Reader::replay`].
pub struct Replay {
    cursor: Cursor,
}

impl Replay {
    pub(crate) fn new(cursor: Cursor) -> Self {
        Self { cursor }
    }

    /// The next record, until the next call.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Option<Result<RecordRef<'_>, LogError>> {
        self.cursor.step()
    }
}

/// Records, the newest first; see [`Reader::backwards`].
pub struct Backwards {
    reader: Reader,
    next: Version,
    to: Version,
    held: Vec<Record>,
}

impl Backwards {
    pub(crate) fn new(reader: Reader, from: Version, to: Version) -> Self {
        Self { reader, next: from, to, held: Vec::new() }
    }

    /// Reads the records before `next`, as many as some bytes hold.
    fn fetch(&mut self) -> Result<(), LogError> {
        let segment = self.reader.segment(self.next)?;
        let mut window = segment.window(PROBE);
        let end = segment.find(&mut window, self.next)?;
        let mut first = self.next;
        let mut span = BACK;
        let start = end.saturating_sub(span).max(SEGMENT_HEADER_BYTES);
        if start == SEGMENT_HEADER_BYTES {
            first = segment.base;
        }
        // Large records: go back further until there is one, at the latest the one asked for.
        while first == self.next && span < end {
            let from = end.saturating_sub(span).max(SEGMENT_HEADER_BYTES);
            if let Some((_, header)) = window.next_header(from, end, false).context("read", &segment.path)? {
                first = header.version;
            }
            if span >= super::format::UNSYNCED_BYTES_MAX as u64 {
                break;
            }
            span *= 2;
        }
        for record in self.reader.records(first.max(self.to), self.next) {
            self.held.push(record?);
        }
        Ok(())
    }
}

impl Iterator for Backwards {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.held.is_empty() {
            if self.next < self.to || self.next == 0 {
                return None;
            }
            if let Err(error) = self.fetch() {
                self.next = 0;
                return Some(Err(error));
            }
        }
        let record = self.held.pop()?;
        self.next = record.version - 1;
        Some(Ok(record))
    }
}
