//! What was read of the record last, and what may be built on behind it.
//!
//! A store may go back: a backup of it is restored, another one is put in its place, an old record is written over a newer
//! one. Who goes on by an older record may lead without what was answered since.
//!
//! # Invariants
//! 1. A record of an older epoch, or none, is not built on where one was read.
//! 2. Where the store went back in one epoch, a record is built on if it is the one that was read, or names nobody beyond
//!    that: only the owner of the epoch writes in it, and whoever it let go lacks what was answered.
//! 3. Nor is one that is older than the log of a node that remembers none: its cluster was led without the record since.
//! 4. The owner that leads the epoch builds on any record of it: it knows the set itself, and writes it anew.

use crate::coordinator::{Reading, Record};
use crate::types::{Epoch, NodeId};

/// The command that mends it.
pub(crate) const REPAIR: &str = "`rig coordinator repair`";

/// Why a record is not built on that is older than the log, of which nothing is remembered: the cluster was led without it.
pub(super) fn too_old() -> String {
    format!(
        "the record is older than this node's log, which was led without it since: nothing is decided by it before {REPAIR} \
         has mended it"
    )
}

/// A record that was built on, and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Known {
    pub(super) store: u64,
    /// Its revision there.
    pub(super) revision: u64,
    pub(super) epoch: Epoch,
    /// Who was in sync beside the owner of the epoch.
    pub(super) set: Vec<NodeId>,
    /// Which write of the record.
    pub(super) write: String,
}

impl Known {
    pub(super) fn of(reading: &Reading, record: &Record) -> Self {
        Self {
            store: reading.store,
            revision: reading.revision,
            epoch: record.register.epoch,
            set: record.register.set.clone(),
            write: record.write.clone(),
        }
    }

    /// Whether what is there now may be built on; why not. `leads`: this node leads the epoch that is known.
    pub(super) fn is_followed_by(&self, reading: &Reading, record: Option<&Record>, leads: bool) -> Result<(), String> {
        let Some(record) = record.filter(|record| record.register.epoch >= self.epoch) else {
            return Err(format!(
                "the record has gone, or gone back to an older epoch: nothing is decided by it before {REPAIR} has mended it"
            ));
        };
        let went_back = reading.store != self.store || reading.revision < self.revision;
        if record.register.epoch > self.epoch || !went_back {
            return Ok(());
        }
        let is_within = record.register.set.iter().all(|id| self.set.contains(id));
        if record.write == self.write || is_within || leads {
            return Ok(());
        }
        Err(format!(
            "the record has gone back, and names in sync who was not when it was read last: nothing is decided by it before \
             {REPAIR} has mended it"
        ))
    }

    /// Whether this says more than what was noted of it: that it was written once more is noted with the next change.
    pub(super) fn is_news(&self, noted: Option<&Self>) -> bool {
        noted.is_none_or(|noted| (noted.store, noted.epoch, &noted.set) != (self.store, self.epoch, &self.set))
    }
}

/// Revisions as the core has them: they only grow, also where those of the store went back.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    /// The store and its revision of the record, as the core has it.
    last: Option<(u64, u64)>,
    /// Added to revisions: what was there before had come to.
    offset: u64,
}

impl Revisions {
    /// Whether the core has any.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// As the core is told.
    pub(super) fn tell(&mut self, reading: &Reading) -> u64 {
        if let Some((store, revision)) = self.last
            && (store != reading.store || revision > reading.revision)
        {
            self.offset = self.offset.saturating_add(revision).saturating_add(1);
        }
        self.last = Some((reading.store, reading.revision));
        self.offset.saturating_add(reading.revision)
    }

    /// As the store has it; `None`: it is from before that.
    pub(super) fn of_store(&self, told: u64) -> Option<u64> {
        told.checked_sub(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::Node;
    use crate::replication::Register;
    use crate::types::{ClusterId, Mode};

    const OWNER: NodeId = NodeId([1; 16]);
    const OTHER: NodeId = NodeId([2; 16]);

    fn reading(store: u64, revision: u64, epoch: u64, set: &[NodeId], write: &str) -> Reading {
        let node = |id: NodeId| Node { id, name: "n".into(), url: String::new() };
        let register = Register {
            epoch: Epoch { number: epoch, owner: OWNER, start: 1 },
            set: set.to_vec(),
            open: true,
            mode: Mode::SemiSync,
            end: (Epoch::default(), 0),
        };
        let record = Record {
            cluster: ClusterId([7; 16]),
            write: write.to_owned(),
            primary: node(OWNER),
            in_sync: set.iter().map(|id| node(*id)).collect(),
            register,
        };
        Reading { record: Some(record), revision, leases: Vec::new(), store, store_revision: revision }
    }

    fn known(reading: &Reading) -> Known {
        Known::of(reading, reading.record.as_ref().unwrap())
    }

    #[test]
    fn what_went_back_is_built_on_only_where_nobody_is_named_who_was_let_go() {
        let alone = known(&reading(5, 100, 3, &[], "w9"));
        let both = known(&reading(5, 100, 3, &[OTHER], "w9"));
        let judged =
            |known: &Known, read: &Reading, leads| known.is_followed_by(read, read.record.as_ref(), leads).is_ok();
        for (read, by_alone, by_both, why) in [
            (reading(5, 101, 3, &[OTHER], "w10"), true, true, "it was written again"),
            (reading(5, 101, 4, &[OTHER], "w10"), true, true, "a newer epoch"),
            (reading(6, 3, 4, &[OTHER], "w10"), true, true, "a newer epoch, of another store"),
            (reading(5, 101, 2, &[], "w10"), false, false, "an older epoch that was put there"),
            (reading(5, 90, 2, &[], "w2"), false, false, "an older epoch of a backup"),
            (reading(5, 90, 3, &[OTHER], "w8"), false, true, "a backup of the same epoch"),
            (reading(6, 3, 3, &[OTHER], "w8"), false, true, "the same, of another store"),
            (reading(6, 3, 3, &[OTHER], "w9"), true, true, "the record itself, in a store that was moved"),
            (reading(5, 90, 3, &[], "w8"), true, true, "fewer than were known"),
        ] {
            assert_eq!((judged(&alone, &read, false), judged(&both, &read, false)), (by_alone, by_both), "{why}");
            let is_older = read.record.as_ref().unwrap().register.epoch.number < 3;
            assert_eq!(judged(&alone, &read, true), !is_older, "by who leads: {why}");
        }
        let gone = Reading { record: None, revision: 0, ..reading(5, 0, 3, &[], "w") };
        assert!(!judged(&both, &gone, false) && !judged(&both, &gone, true));
    }

    #[test]
    fn a_change_of_store_epoch_or_set_is_news_and_another_write_is_none() {
        let noted = known(&reading(5, 100, 3, &[], "w9"));
        assert!(noted.is_news(None) && !noted.is_news(Some(&noted)));
        assert!(!known(&reading(5, 101, 3, &[], "w10")).is_news(Some(&noted)));
        for other in [reading(6, 100, 3, &[], "w9"), reading(5, 101, 4, &[], "w"), reading(5, 101, 3, &[OTHER], "w")] {
            assert!(known(&other).is_news(Some(&noted)));
        }
    }

    #[test]
    fn revisions_only_grow_whatever_the_store_does() {
        let mut revisions = Revisions::default();
        let mut last = 0;
        assert!(!revisions.has_begun());
        for (store, revision) in [(5, 90), (5, 90), (5, 100), (5, 40), (5, 41), (6, 41), (6, 0), (6, 1), (7, u64::MAX)]
        {
            let told = revisions.tell(&reading(store, revision, 1, &[], "w"));
            assert!(told >= last, "{store} {revision}: {told} after {last}");
            last = told;
        }
        let mut revisions = Revisions::default();
        let before = revisions.tell(&reading(5, 90, 1, &[], "w"));
        assert_eq!(revisions.of_store(before), Some(90));
        let after = revisions.tell(&reading(6, 3, 1, &[], "w"));
        assert_eq!((revisions.of_store(before), revisions.of_store(after)), (None, Some(3)));
    }
}
