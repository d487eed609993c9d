//! A candidate where a coordinator decides: it takes the next term there before it asks anyone for anything.

use super::{ELECTED_PATIENCE, Purpose, Stage};
use crate::replication::machine::{Part, Replication};
use crate::replication::replica::Replica;
use crate::replication::{NotPromoted, Outputs, Register, Standing};
use crate::types::{Epoch, NodeId};

impl Replication {
    /// A restart where a coordinator decides: says whether that is all for now.
    pub(super) fn look_outside(&mut self, out: &mut Outputs) -> bool {
        let Some(seen) = self.seen() else { return true };
        let Some(value) = seen.register.clone() else { return false };
        let by_force = self.recorded.primary && self.recorded.forced && self.recorded.promised > value.epoch;
        if by_force {
            return false;
        }
        if let Some(term) = self.own_force() {
            self.begin_by_force_again(term, out);
        } else if value.epoch.owner == self.me.id && self.is_eligible() {
            self.begin_ballot(Purpose::Elected { request: None }, self.next_epoch(), None, out);
        } else {
            self.become_replica(value.epoch, out);
            self.says_that_it_follows(|id| id == value.epoch.owner, out);
        }
        true
    }

    /// With a coordinator whoever may lead next waits while this node seems to.
    pub(in crate::replication) fn says_that_it_follows(&mut self, to: impl Fn(NodeId) -> bool, out: &mut Outputs) {
        if self.outside.is_some() {
            let told = self.peers.iter().filter(|peer| to(peer.id)).filter_map(|peer| peer.link);
            told.collect::<Vec<_>>().into_iter().for_each(|link| self.say_hello(link, out));
        }
    }

    /// Nobody waits for who was to lead again and reaches no coordinator: others may reach it. When it answers this node is
    /// the last to try. One that goes by a force that may not be in the value asks nobody.
    pub(in crate::replication) fn on_unheard(&mut self, out: &mut Outputs) {
        let Part::Candidate(candidate) = &self.part else { return };
        let has_log = self.log.appended > 0 && !self.is_restored();
        let Standing { promised, forced, adrift, .. } = self.wanted;
        let by_force = adrift || forced && !self.log.history.has_term(promised);
        if candidate.stage == Stage::Waiting && self.seen().is_none() && has_log && !by_force {
            self.part = Part::Replica(Replica::fenced(false));
            self.says_that_it_follows(|_| true, out);
        }
    }

    /// The value's term, where it is this node's own by force and no log says so yet: begun as another one it would be taken
    /// for one that lacks nothing.
    pub(in crate::replication) fn own_force(&self) -> Option<Epoch> {
        let value = self.seen()?.register.as_ref()?;
        let is_it = |standing: &Standing| standing.forced && standing.promised.is_same_term(value.epoch);
        let is_own = value.epoch.owner == self.me.id && is_it(&self.recorded) && is_it(&self.wanted);
        (is_own && !self.log.history.has_term(value.epoch)).then_some(value.epoch)
    }

    /// Whether this promise leaves it open that a term of this node which began by force is in the value: it is that term, or
    /// another node's, and no log has what was begun.
    pub(in crate::replication) fn keeps_force(&self, promised: Epoch) -> bool {
        let term = self.wanted.promised;
        let is_logged = term.owner == self.me.id && self.log.history.has_term(term);
        promised == term || promised.owner != self.me.id && !is_logged
    }

    /// Whether the value has a term of this node that began by force, as far as it knows: no log has it, and another one was
    /// promised since.
    pub(in crate::replication) fn is_given_up_force(&self, value: &Register) -> bool {
        let Standing { forced, promised, .. } = self.wanted;
        let is_own = value.epoch.owner == self.me.id && value.open && !self.log.history.has_term(value.epoch);
        is_own && forced && !promised.is_same_term(value.epoch)
    }

    /// Begins it anew, as what it was.
    pub(in crate::replication) fn begin_by_force_again(&mut self, term: Epoch, out: &mut Outputs) {
        let epoch = Epoch { start: term.start.saturating_add(1), ..term };
        self.begin_ballot(Purpose::Restart, epoch, None, out);
    }

    /// The promise is durable: the term is taken, before anyone is asked for anything.
    pub(super) fn reserve_term(&mut self, out: &mut Outputs) {
        let Part::Candidate(candidate) = &self.part else { return };
        let epoch = candidate.epoch;
        let is_ready = candidate.stage == Stage::Reserving && self.recorded.promised >= epoch;
        if is_ready && self.recording.is_none() && !self.is_swapping() {
            self.reserve(epoch, out);
        }
    }

    /// What became of it.
    pub(in crate::replication) fn reserved(&mut self, is_taken: bool, out: &mut Outputs) {
        let until = self.now + ELECTED_PATIENCE;
        let Some(candidate) = self.candidate_mut() else { return };
        if candidate.stage != Stage::Reserving {
            return;
        }
        if is_taken {
            (candidate.stage, candidate.until) = (Stage::Promising, until);
        } else {
            self.give_up(NotPromoted::Busy, out);
        }
    }
}
