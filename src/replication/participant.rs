//! The participant's side of two-phase commit as the original of 2017 had it: prepare, commit, rollback, one at a time,
//! driven from outside over HTTP.
//!
//! Only a replica whose log no primary has written to takes these calls: the log then names no member, and its records
//! have epoch 0 with this node as owner.
//!
//! # Invariants
//! 1. At most one version is prepared and not committed.
//! 2. Only what is prepared is rolled back, on this caller's word; nothing here is ever in a primary's log.

use super::machine::{Part, Replication};
use super::{Output, Outputs, Refusal, Slot};
use crate::types::{Epoch, Version};

impl Replication {
    /// Whether the participant calls are taken.
    pub fn is_participant(&self) -> bool {
        matches!(self.part, Part::Replica(_)) && self.log.configs.in_force().is_empty() && !self.failed
    }

    /// The version that is prepared and not committed.
    pub fn prepared(&self) -> Option<Version> {
        (self.log.appended > self.log.committed).then_some(self.log.appended)
    }

    pub(super) fn on_prepare(&mut self, version: Version, out: &mut Outputs) {
        let next = self.log.appended + 1;
        out.push(if !self.is_participant() {
            Output::Refuse(Refusal::NotParticipant)
        } else if self.prepared().is_some() || self.cutting {
            Output::Refuse(Refusal::InProgress)
        } else if version != next {
            Output::Refuse(Refusal::VersionConflict { next })
        } else {
            let epoch = Epoch { number: 0, owner: self.me.id, start: 0 };
            self.log.appended = next;
            self.append_known(next, epoch, None);
            let slot = Slot { version: next, epoch, commit_upto: self.log.committed };
            Output::Append { slot, control: None }
        });
    }

    /// Commits what is prepared, or rolls it back.
    pub(super) fn on_decide(&mut self, commit: bool, out: &mut Outputs) {
        if !self.is_participant() {
            out.push(Output::Refuse(Refusal::NotParticipant));
        } else if self.prepared().is_none() {
            out.push(Output::Refuse(Refusal::NothingPrepared));
        } else if !self.is_settled() {
            out.push(Output::Refuse(Refusal::InProgress));
        } else if commit {
            self.commit(self.log.durable, out);
        } else {
            self.cut(self.log.committed, self.promised(), out);
        }
    }
}
