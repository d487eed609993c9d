//! A checksum of the result of each of the newest versions: what replicas compare with those of their primary.
//!
//! ```text
//!   version    … 41  42  43  44            44 & 65535 ─► its place in the ring
//!   mark       … c1   0  9e  07            0: none (a control record, a result that was not kept, too old)
//! ```
//!
//! # Not here
//! Who is told, and what a difference means (`replication::diverged`).

use crate::limits::MARKS_KEPT;
use crate::service::Outcome;
use crate::types::{Kind, Record, Version};

/// The marks of the newest [`MARKS_KEPT`] versions.
pub(super) struct Marks {
    ring: Box<[u32]>,
    last: Version,
}

const _: () = assert!(MARKS_KEPT.is_power_of_two());

fn place(version: Version) -> usize {
    // The remainder is below the size of the ring.
    (version % MARKS_KEPT as Version) as usize
}

impl Marks {
    /// None up to this version.
    pub(super) fn after(version: Version) -> Self {
        Self { ring: vec![0; MARKS_KEPT].into(), last: version }
    }

    /// The next record has been applied.
    pub(super) fn note(&mut self, record: &Record, outcome: &Outcome) {
        assert_eq!(record.version, self.last + 1, "results come in the order of versions");
        self.last = record.version;
        self.ring[place(record.version)] = if record.kind == Kind::Control { 0 } else { mark(outcome) };
    }

    /// A version that was applied before has been applied again, with a result that is known.
    pub(super) fn renew(&mut self, version: Version, outcome: &Outcome) {
        let is_kept = version <= self.last && version + MARKS_KEPT as Version > self.last;
        if is_kept && *outcome != Outcome::empty() {
            self.ring[place(version)] = mark(outcome);
        }
    }

    /// The mark of a version; 0 where there is none.
    pub(super) fn get(&self, version: Version) -> u32 {
        let is_kept = version <= self.last && version + MARKS_KEPT as Version > self.last;
        if is_kept { self.ring[place(version)] } else { 0 }
    }

    /// The marks behind a version, up to another.
    pub(super) fn between(&self, after: Version, last: Version) -> Vec<u32> {
        (after + 1..=last).map(|version| self.get(version)).collect()
    }

    /// The first version whose mark here is another than the one there, and that one. What one of the two does not have is
    /// not compared.
    pub(super) fn first_difference(&self, first: Version, theirs: &[u32]) -> Option<(Version, u32)> {
        let both = (first..=self.last).zip(theirs);
        both.map(|(version, theirs)| (version, *theirs)).find(|(version, theirs)| self.differs(*version, *theirs))
    }

    /// Whether both have a mark for this version, and not the same.
    pub(super) fn differs(&self, version: Version, theirs: u32) -> bool {
        let own = self.get(version);
        own != theirs && own != 0 && theirs != 0
    }

    /// The log was cut: what is behind this version never was.
    pub(super) fn cut(&mut self, to: Version) {
        for version in to + 1..=self.last {
            // Also where it had taken the place of an older one.
            self.ring[place(version)] = 0;
        }
        self.last = self.last.min(to);
    }
}

/// The mark of a result, never 0; 0 for one that was not kept.
fn mark(outcome: &Outcome) -> u32 {
    if outcome.is_duplicate() {
        return 0;
    }
    crc32c::crc32c_append(crc32c::crc32c(&outcome.status.to_le_bytes()), outcome.result.as_bytes()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Hash, Operation};

    fn record(version: Version, kind: Kind) -> Record {
        Record {
            version,
            epoch: Epoch::default(),
            time: 0,
            commit_upto: 0,
            kind,
            key: None,
            request_hash: None,
            actor: "".into(),
            operation: Operation::new("x_do", "null"),
            hash: Hash::default(),
        }
    }

    fn outcome(status: u16, result: &str) -> Outcome {
        Outcome { status, result: result.into() }
    }

    /// Marks of results that are their versions, from `first` to `last`.
    fn counted(first: Version, last: Version) -> Marks {
        let mut marks = Marks::after(first - 1);
        for version in first..=last {
            marks.note(&record(version, Kind::Operation), &outcome(200, &version.to_string()));
        }
        marks
    }

    #[test]
    fn a_result_has_one_mark_and_another_result_or_status_another() {
        let mark = |status, result| mark(&outcome(status, result));
        assert_eq!(mark(200, "1"), mark(200, "1"));
        assert_ne!(mark(200, "1"), mark(200, "2"));
        assert_ne!(mark(200, "1"), mark(409, "1"));
        // CRC-32C of 00 c8 and "1", in this order of bytes, as any other implementation has it.
        assert_eq!(mark(200, "1"), crc32c::crc32c(&[200, 0, b'1']));
    }

    #[test]
    fn what_one_of_the_two_does_not_have_is_not_compared() {
        let mut mine = Marks::after(0);
        mine.note(&record(1, Kind::Control), &Outcome::empty());
        mine.note(&record(2, Kind::Operation), &Outcome::duplicate());
        mine.note(&record(3, Kind::Operation), &outcome(200, "3"));
        assert_eq!(mine.between(0, 4), [0, 0, mark(&outcome(200, "3")), 0]);
        assert_eq!(mine.first_difference(1, &[5, 5, mine.get(3), 5, 5]), None);
        assert_eq!(mine.first_difference(3, &[0]), None);
        assert_eq!(mine.first_difference(1, &[5, 5, 5]), Some((3, 5)));
        assert_eq!((mine.differs(3, 5), mine.differs(3, mine.get(3)), mine.differs(4, 5)), (true, false, false));
    }

    #[test]
    fn the_first_difference_is_named_and_nothing_beyond_the_newest_marks_is_known() {
        let kept = MARKS_KEPT as Version;
        let (mine, mut theirs) = (counted(10, kept + 20), counted(10, kept + 20).between(0, kept + 20));
        assert_eq!((mine.get(20), mine.get(21) == 0, mine.get(kept + 20) == 0), (0, false, false));
        assert_eq!(mine.first_difference(1, &theirs), None);
        for version in [500, 400, 20] {
            theirs[version - 1] = 7;
        }
        assert_eq!(mine.first_difference(1, &theirs), Some((400, 7)));
        assert_eq!(mine.first_difference(401, &theirs[400..]), Some((500, 7)));
    }

    #[test]
    fn a_cut_takes_the_marks_behind_it_and_leaves_no_other_in_their_place() {
        let kept = MARKS_KEPT as Version;
        let mut marks = counted(1, kept + 10);
        marks.cut(kept);
        assert_eq!((marks.get(10), marks.get(kept + 1)), (0, 0));
        assert_eq!(marks.get(11), mark(&outcome(200, "11")));
        marks.note(&record(kept + 1, Kind::Operation), &outcome(200, "other"));
        assert_eq!(marks.get(kept + 1), mark(&outcome(200, "other")));
    }
}
