//! The epochs of one log: where each began.
//!
//! Equal (epoch, version) means an equal record, because an epoch has one writer; and equal records have equal
//! prefixes, because of the chain. So two logs are compared by these lists alone (the idea is Kafka's leader
//! epoch cache, KIP-101 and KIP-279), and one hash then shows that nobody broke the rules.
//!
//! ```text
//!   mine    1@A 1 ........ 2@B 57 ...... 120
//!   theirs  1@A 1 ........ 2@B 57 .. 80  3@C 81 ... 90        common: 80
//! ```

use crate::types::{Epoch, Version};

/// The first record of an epoch in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first version.
    pub first: Version,
    /// Whether the operator opened it by force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

/// All epochs of a log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History(Vec<EpochStart>);

impl History {
    /// From what was read or received. `None` when it is not in order, which no log of ours can be.
    pub fn new(starts: Vec<EpochStart>) -> Option<Self> {
        let ordered = starts.is_sorted_by(|a, b| a.epoch < b.epoch && a.first < b.first);
        (ordered && starts.first().is_none_or(|start| start.first >= 1)).then_some(Self(starts))
    }

    /// Every epoch.
    pub fn starts(&self) -> &[EpochStart] {
        &self.0
    }

    /// Epoch of the last record; the default for an empty log.
    pub fn last(&self) -> Epoch {
        self.0.last().map(|start| start.epoch).unwrap_or_default()
    }

    /// Notes the epoch of the record that was appended as `version`.
    pub(super) fn append(&mut self, version: Version, epoch: Epoch, forced: bool) {
        assert!(epoch >= self.last(), "epochs never go back");
        if epoch > self.last() || self.0.is_empty() {
            self.0.push(EpochStart { epoch, first: version, forced });
        }
    }

    /// Forgets what was cut off behind `to`.
    pub(super) fn cut(&mut self, to: Version) {
        self.0.retain(|start| start.first <= to);
    }

    /// Epoch of the record at `version`.
    pub fn at(&self, version: Version) -> Epoch {
        let behind = self.0.partition_point(|start| start.first <= version);
        behind.checked_sub(1).map(|place| self.0[place].epoch).unwrap_or_default()
    }

    /// Whether a term of this number and owner occurs.
    pub(super) fn has_term(&self, epoch: Epoch) -> bool {
        self.0.iter().any(|start| (start.epoch.number, start.epoch.owner) == (epoch.number, epoch.owner))
    }

    /// Epochs with a record behind `version`.
    pub(super) fn behind(&self, version: Version) -> impl Iterator<Item = &EpochStart> {
        let from = self.0.partition_point(|start| start.first <= version + 1).saturating_sub(1);
        self.0[from.min(self.0.len())..].iter()
    }

    /// The last version that two logs have in common, each given with its last version.
    pub(super) fn common(&self, head: Version, other: &Self, other_head: Version) -> Version {
        let same = |(a, b): &(&EpochStart, &EpochStart)| a.epoch == b.epoch && a.first == b.first;
        let equal = self.0.iter().zip(&other.0).take_while(same).count();
        if equal == 0 {
            return 0;
        }
        let end = |starts: &[EpochStart], head: Version| starts.get(equal).map_or(head, |next| next.first - 1);
        end(&self.0, head).min(end(&other.0, other_head))
    }
}
