//! A candidate after a restart: the table (`recovery`) says whether it opens, asks first, or waits.

use super::{Candidate, LOOK_AROUND, Purpose, Stage};
use crate::replication::machine::{Part, Replication};
use crate::replication::recovery::{Choice, Facts, choose};
use crate::replication::rules::Rule;
use crate::replication::{Outputs, Waiting};
use crate::types::Epoch;

impl Replication {
    /// A restart: what the table says.
    pub(super) fn look_around(&mut self, out: &mut Outputs) {
        let Part::Candidate(candidate) = &self.part else { return };
        if candidate.stage != Stage::Waiting || self.is_full() || !self.is_settled() || self.now < candidate.until {
            return;
        }
        let others_first = self.peers.iter().any(|peer| {
            // Of two fresh nodes that are both to be primary the lower one begins.
            peer.link.is_some() && peer.role == crate::types::Role::Primary && peer.head == 0 && peer.id < self.me.id
        });
        if self.facts().is_fresh && (others_first || self.peers.iter().any(|peer| peer.link.is_some() && peer.head > 0))
        {
            return self.become_replica(Epoch::default(), out);
        }
        if self.outside.is_some() && self.look_outside(out) {
            return;
        }
        if !self.recorded.primary && self.lacks().is_some() && self.rules.hold(Rule::Lacking) {
            // What its log says of its members is not what holds.
            return self.become_replica(self.promised(), out);
        }
        let choice = if !self.rules.hold(Rule::NewEpochAtRestart) && self.recorded.primary {
            Choice::Open(self.recorded.promised)
        } else if !self.rules.hold(Rule::RestartQuorum) && self.recorded.primary {
            Choice::Open(Epoch { number: self.recorded.promised.number + 1, ..self.recorded.promised })
        } else {
            choose(&self.facts())
        };
        match choice {
            Choice::Open(epoch) => {
                self.begin_ballot(Purpose::Restart, self.numbered(epoch), None, out);
            }
            Choice::Reopen(epoch) => self.begin_ballot(Purpose::Reopen, self.numbered(epoch), None, out),
            Choice::Promote(epoch) => self.begin_ballot(Purpose::Again, epoch, None, out),
            Choice::Wait(_) => {}
        }
    }

    pub(super) fn numbered(&self, epoch: Epoch) -> Epoch {
        if self.rules.hold(Rule::KeepNumber) { epoch } else { Epoch { number: epoch.number + 1, start: 1, ..epoch } }
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        let linked = self.linked_members();
        Facts {
            me: self.me.id,
            is_fresh: self.log.configs.in_force().is_empty() && self.recorded.promised == Epoch::default(),
            standing: &self.recorded,
            last: self.promised().max(self.log.history.last()),
            configs: self.log.configs.in_force().iter().map(|(_, config)| config).collect(),
            linked: linked.into_iter().map(|(_, id)| id).collect(),
            tried: self.tried || self.now >= self.started + LOOK_AROUND,
            highest: self.peers.iter().map(|peer| peer.promised.number).max().unwrap_or(0),
        }
    }

    pub(in crate::replication) fn outlook_of(&self, _: &Candidate) -> Waiting {
        match choose(&self.facts()) {
            Choice::Wait(waiting) => waiting,
            _ => Waiting { members: Vec::new(), needed: None, reached: self.linked_members().len() + 1 },
        }
    }
}
