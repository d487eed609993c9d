//! The end of the chain, where records get their bytes and their hash: memory only, no file.
//!
//! ```text
//!   event loop:  Sealer ──seal──► Batch ═══════► log thread:  Writer ──append, sync──► disk
//!                   ▲                                                       │
//!                   └───────────── rewind(batch.before()) ◄──── no room ────┘
//!   from a peer: wire bytes ──check──► Checked ──take──► Batch
//! ```
//!
//! # Invariants
//! 1. Versions have no gaps and epochs never go back; a caller who breaks this has a bug, and it panics.
//! 2. A batch is one run of versions.
//! 3. The format of what is sealed never goes down, neither by a call nor below that of a record that was taken.
//! 4. Records of a peer are taken whole or not at all, and only after every checksum and the chain: the bytes in the
//!    log are then those of the node that sealed them, but for the header CRCs.

use super::error::Fault;
use super::format::{FORMAT, Salt};
use super::record::{self, Header};
use super::scan::follow;
use crate::limits;
use crate::types::{Position, Record, Version};

/// Where the next record will go.
#[derive(Debug, Clone)]
pub struct Sealer {
    end: Position,
    format: u8,
}

impl Sealer {
    pub(crate) fn new(end: Position, format: u8) -> Self {
        Self { end, format }
    }

    /// The format that is sealed: the newest in the log, or one that everybody is known to read.
    pub fn format(&self) -> u8 {
        self.format
    }

    /// Seals in this format from now on, if it is newer.
    ///
    /// # Panics
    /// If this program does not know it.
    pub fn raise_format(&mut self, format: u8) {
        assert!(format <= FORMAT, "what is written can be read");
        self.format = self.format.max(format);
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
        batch.begin(self.end);
        record.hash = record::encode(record, self.format, &self.end.hash, &mut batch.bytes);
        batch.ends.push(batch.bytes.len());
        batch.last = record.version;
        self.end = Position { epoch: record.epoch, version: record.version, hash: record.hash };
    }

    /// Checks records from another node, whole: that their wire bytes are records, and the next ones here.
    pub fn check<'a>(&self, wire: &'a [u8]) -> Result<Checked<'a>, Fault> {
        if wire.len() > limits::RECORD_BYTES_MAX {
            return Err(Fault::Length(u32::try_from(wire.len()).unwrap_or(u32::MAX)));
        }
        let (ends, records) = (Vec::new(), Vec::new());
        let mut checked = Checked { before: self.end, end: self.end, format: self.format, wire, ends, records };
        let mut at = 0;
        while at < wire.len() {
            let record = Header::read(&wire[at..], Salt::WIRE)?.record(&wire[at..])?;
            checked.end = follow(&checked.end, &record)?;
            checked.format = checked.format.max(record.format);
            at += record.size();
            checked.ends.push(at);
            checked.records.push(record.to_record());
        }
        Ok(checked)
    }

    /// Puts checked records behind the last one, and into the batch.
    ///
    /// # Panics
    /// If something was sealed or taken since they were checked, or the batch is full or ends elsewhere.
    pub fn take(&mut self, checked: Checked<'_>, batch: &mut Batch) -> Vec<Record> {
        assert_eq!(checked.before, self.end, "records are taken where they were checked");
        assert!(!batch.is_full(), "a full batch is written first");
        let Checked { before, end, format, wire, ends, records } = checked;
        batch.begin(before);
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(wire);
        batch.ends.extend(ends.iter().map(|end| start + end));
        (batch.last, self.end, self.format) = (end.version, end, self.format.max(format));
        records
    }

    /// [`Sealer::check`] and [`Sealer::take`] in one: after a fault nothing was taken.
    pub fn accept(&mut self, wire: &[u8], batch: &mut Batch) -> Result<Vec<Record>, Fault> {
        Ok(self.take(self.check(wire)?, batch))
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

/// Records from another node that continue the log here: only [`Sealer::check`] makes this.
#[derive(Debug)]
pub struct Checked<'a> {
    before: Position,
    end: Position,
    /// The newest of theirs, or of those before them.
    format: u8,
    wire: &'a [u8],
    ends: Vec<usize>,
    records: Vec<Record>,
}

impl Checked<'_> {
    /// What they say, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The last of them; where the log ends already if there is none.
    pub fn end(&self) -> Position {
        self.end
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

    /// Appends the wire bytes of the records `from..=to` to `out`, as many as `bytes_max` holds, at least one; gives the
    /// last version among them. It makes no difference whether the batch was written already.
    ///
    /// # Panics
    /// If it does not hold these versions.
    pub fn wire(&self, from: Version, to: Version, bytes_max: usize, out: &mut Vec<u8>) -> Version {
        assert!(self.first() <= from && from <= to && to <= self.last(), "the batch holds what is asked for");
        let place = |version: Version| (version - self.first()) as usize;
        let first = place(from);
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let within = self.ends[first..=place(to)].partition_point(|end| end - start <= bytes_max);
        let ends = &self.ends[first..first + within.max(1)];
        let base = out.len();
        out.extend_from_slice(&self.bytes[start..ends[ends.len() - 1]]);
        let starts = std::iter::once(&start).chain(ends).take(ends.len());
        starts.for_each(|at| record::seal_header(&mut out[base + at - start..], Salt::WIRE));
        from + ends.len() as Version - 1
    }

    /// Makes sure that the next record continues this batch.
    fn begin(&mut self, before: Position) {
        assert!(self.ends.is_empty() || self.last == before.version, "a batch is one run of versions");
        if self.ends.is_empty() {
            self.before = before;
        }
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
    use crate::log::format::{FORMAT_FIRST, Salt, genesis};
    use crate::log::record::decode;
    use crate::log::testing::{CLUSTER, record};

    fn sealer() -> Sealer {
        Sealer::new(Position { hash: genesis(&CLUSTER), ..Position::default() }, FORMAT_FIRST)
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
