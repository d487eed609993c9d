//! The end of the chain, where records get their bytes and their hash: memory only, no file.
//!
//! ```text
//!   event loop:  Sealer ──seal──► Batch ═══════► log thread:  Writer ──append, sync──► disk
//!                   ▲                                                       │
//!                   └───────────── rewind(batch.before()) ◄──── no room ────┘
//! ```
//!
//! # Invariants
//! 1. Versions have no gaps and epochs never go back; a caller who breaks this has a bug, and it panics.
//! 2. A batch is one run of versions.

use super::record;
use crate::limits;
use crate::types::{Position, Record, Version};

/// Where the next record will go.
#[derive(Debug, Clone)]
pub struct Sealer {
    end: Position,
}

impl Sealer {
    pub(crate) fn new(end: Position) -> Self {
        Self { end }
    }

    /// The last record that was sealed.
    pub fn position(&self) -> Position {
        self.end
    }

    /// Puts a record behind the last one: fills in its hash, and appends its bytes to the batch.
    ///
    /// # Panics
    /// If its version is not the next, its epoch is lower than the last, a text of it breaks a bound, or the batch
    /// ends elsewhere.
    pub fn seal(&mut self, record: &mut Record, batch: &mut Batch) {
        assert_eq!(record.version, self.end.version + 1, "versions have no gaps");
        assert!(record.epoch >= self.end.epoch, "epochs never go back");
        assert!(batch.ends.is_empty() || batch.last == self.end.version, "a batch is one run of versions");
        record.hash = record::encode(record, &self.end.hash, &mut batch.bytes);
        if batch.ends.is_empty() {
            batch.before = self.end;
        }
        batch.ends.push(batch.bytes.len());
        batch.last = record.version;
        self.end = Position { epoch: record.epoch, version: record.version, hash: record.hash };
    }

    /// Forgets what was sealed behind `to`, which the writer could not keep.
    ///
    /// # Panics
    /// If `to` lies ahead.
    pub fn rewind(&mut self, to: Position) {
        assert!(to.version <= self.end.version, "a rewind goes back");
        self.end = to;
    }
}

/// Records on their way to the disk, in a buffer that is used again.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    pub(crate) ends: Vec<usize>,
    before: Position,
    last: Version,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Version of the first record; 0 if there is none.
    pub fn first(&self) -> Version {
        if self.ends.is_empty() { 0 } else { self.before.version + 1 }
    }

    /// Version of the last record; 0 if there is none.
    pub fn last(&self) -> Version {
        if self.ends.is_empty() { 0 } else { self.last }
    }

    /// The end of the log before the first record: where to rewind the sealer when the batch could not be kept.
    pub fn before(&self) -> Position {
        self.before
    }

    /// Records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes that it takes in the log.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it should be written before it takes another record.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= limits::BATCH_BYTES_MAX
    }

    /// Forgets the records and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The records, each with its length.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let mut rest = &mut self.bytes[..];
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let (record, behind) = std::mem::take(&mut rest).split_at_mut(end - start);
            (rest, start) = (behind, end);
            record
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::{Salt, genesis};
    use crate::log::record::decode;
    use crate::log::testing::{CLUSTER, record};

    fn sealer() -> Sealer {
        Sealer::new(Position { hash: genesis(&CLUSTER), ..Position::default() })
    }

    #[test]
    fn sealed_records_are_read_back_and_each_continues_the_one_before() {
        let (mut sealer, mut batch) = (sealer(), Batch::new());
        let mut sealed: Vec<Record> = (1..=20).map(record).collect();
        sealed.iter_mut().for_each(|record| sealer.seal(record, &mut batch));
        assert_eq!((batch.first(), batch.last(), batch.len()), (1, 20, 20));
        let mut end = Position { hash: genesis(&CLUSTER), ..Position::default() };
        for (bytes, record) in batch.records_mut().zip(&sealed) {
            crate::log::record::seal_header(bytes, Salt::new(&CLUSTER, 1));
            let read = decode(bytes, &CLUSTER, 1).unwrap();
            assert_eq!(&read.to_record(), record);
            end = crate::log::scan::follow(&end, &read).unwrap();
        }
        assert_eq!(end, sealer.position());
    }

    #[test]
    fn after_a_rewind_the_same_records_get_the_same_hashes() {
        let (mut sealer, mut batch) = (sealer(), Batch::new());
        sealer.seal(&mut record(1), &mut batch);
        batch.clear();
        let mut first = record(2);
        sealer.seal(&mut first, &mut batch);
        sealer.rewind(batch.before());
        batch.clear();
        let mut again = record(2);
        sealer.seal(&mut again, &mut batch);
        assert_eq!(first, again);
    }

    #[test]
    #[should_panic(expected = "versions have no gaps")]
    fn a_gap_is_a_bug() {
        sealer().seal(&mut record(2), &mut Batch::new());
    }
}
