//! The record outside: one value of the cluster at a coordinator, changed by compare-and-swap only.
//!
//! ```text
//!   replica:  recorded in sync, lease gone, primary silent ─► promise (disk) ─► Swap: my epoch, set unchanged, electing
//!               ─ taken ─► promises, positions, adopt (`candidate`) ─► Swap: open ─► Record (disk) ─► term
//!   primary:  another set wanted ─► Swap ─ taken ─► Record (disk) ─► answers rest on it
//!               └─ another's ─► its epoch is promised, this node follows
//! ```
//!
//! Whoever the value names as in sync has every answered write: nothing was answered without its acknowledgement. So one
//! of them may lead next without being asked for by people: its own promise keeps the former primary from answering with
//! it, and the swapped value keeps that one from going on without it.
//!
//! # Invariants
//! 1. A term begins, and a set is relied on, only after the swap is known to have been taken; while that is not known the
//!    larger set is required (`insync`). Only the operator's force goes on without a coordinator.
//! 2. The lease is a hint that nobody should try yet. It never allows a promotion, but without a valid one a primary gives no
//!    answer that rests on itself alone.
//! 3. Who is not in the value, or whose log says that it is no member, does not lead unforced.
//!
//! # Not here
//! A term by force that the value does not know (`adrift`), how it is kept and read, and who holds the lease in time (`node::coordination`).

mod adrift;

use super::candidate::Purpose;
use super::machine::{Part, Replication};
use super::rules::Rule;
use super::{NotPromoted, Output, Outputs, Standing, Time};
use crate::types::{AckLevel, Epoch, Mode, NodeId, Role, Version};

/// Who comes later in the set waits for so long for those before.
const TURN: Time = 150_000;
/// So long a node waits for others to lead that the value still names first.
const GAVE_AWAY: Time = 1_000_000;
/// A primary from which nothing came for so long may be dead, if its lease says so too.
const QUIET: Time = 700_000;

/// The value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The newest term; its owner is the primary, or wants to be.
    pub epoch: Epoch,
    /// The other members that hold every answered write, in order.
    pub set: Vec<NodeId>,
    /// Whether the term has its log; before that nothing is answered in it.
    pub open: bool,
    /// The mode that answers of the term go by.
    pub mode: Mode,
    /// Where the term before it ends: the last record that this one takes over, and its epoch.
    pub end: (Epoch, Version),
}

impl Register {
    /// Whether this node holds every answered write.
    pub fn names(&self, id: NodeId) -> bool {
        self.epoch.owner == id || self.set.contains(&id)
    }

    /// The same nodes, as another one that leads them names them.
    pub(super) fn set_for(&self, owner: NodeId) -> Vec<NodeId> {
        let mut set = self.set.clone();
        set.push(self.epoch.owner);
        set.retain(|id| *id != owner);
        set.sort_unstable();
        set.dedup();
        set
    }
}

/// The value as it was read, or written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// `None`: there is none yet.
    pub register: Option<Register>,
    /// Every change gives another one; 0 before the first.
    pub revision: u64,
    /// Whether whoever the value names first holds its lease.
    pub leased: bool,
}

/// What a node knows of the coordinator.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// `None`: nothing was read since the start.
    pub(super) seen: Option<Seen>,
    /// Whether it answers.
    pub(super) reachable: bool,
    /// Until when this node's own lease holds for certain.
    pub(super) lease_until: Time,
    /// A swap is on its way.
    pub(super) swapping: bool,
    /// Since when nobody seems to lead.
    pub(super) vacant_since: Option<Time>,
}

impl Replication {
    /// What the coordinator holds, as far as this node has read.
    pub fn seen(&self) -> Option<&Seen> {
        self.outside.as_ref().and_then(|outside| outside.seen.as_ref())
    }

    /// Whether this node should hold the lease: it leads, or has put its epoch into the value.
    pub fn wants_lease(&self) -> bool {
        let own =
            self.seen().and_then(|seen| seen.register.as_ref()).is_some_and(|value| value.epoch.owner == self.me.id);
        own && !matches!(self.part, Part::Replica(_))
    }

    /// The value that goes with a standing, where it has to be there before the standing is relied on.
    pub(super) fn swap_for(&self, standing: &Standing) -> Option<Output> {
        let outside = self.outside.as_ref()?;
        if !standing.primary
            || (standing.forced && standing.adrift && !outside.reachable)
            || !self.rules.hold(Rule::SwapFirst)
        {
            return None;
        }
        let seen = outside.seen.clone().unwrap_or_default();
        let value = Register {
            epoch: standing.promised,
            set: self.named_with(standing, seen.register.as_ref()),
            open: true,
            mode: self.mode(),
            end: self.end_before(standing.promised),
        };
        (seen.register.as_ref() != Some(&value)).then_some(Output::Swap { expect: seen.revision, register: value })
    }

    /// Those of a set that hold every answered write for certain. Before the term is open they are those whom the value names
    /// already: nobody else has confirmed yet what it begins with; and by force nobody has.
    fn named_with(&self, standing: &Standing, value: Option<&Register>) -> Vec<NodeId> {
        let is_open = matches!(&self.part, Part::Primary(primary) if primary.is_open());
        let has_confirmed = is_open && self.recorded.promised == standing.promised;
        let is_named = |id: &NodeId| !standing.forced && value.is_some_and(|value| value.names(*id));
        standing.set.iter().copied().filter(|id| has_confirmed || is_named(id)).collect()
    }

    /// The mode that the log says; at the very first there is no log yet.
    fn mode(&self) -> Mode {
        self.log.configs.oldest().map_or(Mode::SemiSync, |config| config.replication)
    }

    /// The last record before a term, as far as this log goes.
    fn end_before(&self, epoch: Epoch) -> (Epoch, Version) {
        let starts = self.log.history.starts();
        match starts.iter().position(|start| start.epoch == epoch) {
            Some(place) => {
                let before = place.checked_sub(1).map_or(Epoch::default(), |place| starts[place].epoch);
                (before, starts[place].first - 1)
            }
            None => (self.log.history.last(), self.log.appended),
        }
    }

    /// The value was read.
    pub(super) fn on_registered(&mut self, seen: Seen, out: &mut Outputs) {
        let Some(outside) = &mut self.outside else { return };
        outside.reachable = true;
        // What was read before a swap of this node's own was taken says nothing any more.
        if outside.seen.as_ref().is_some_and(|known| known.revision > seen.revision) {
            return;
        }
        outside.seen = Some(seen);
        if !outside.swapping {
            self.obey(out);
        }
        self.owns_what_it_forced(out);
    }

    /// A term that the value knows and this node does not is promised; what this node leads is over.
    fn obey(&mut self, out: &mut Outputs) {
        let Some(value) = self.seen().and_then(|seen| seen.register.clone()) else { return };
        let (promised, me) = (self.promised(), self.me.id);
        if value.epoch > promised && value.epoch.owner != me && !matches!(self.part, Part::Replica(_)) {
            self.become_replica(value.epoch, out);
        }
    }

    pub(super) fn on_reachable(&mut self, reachable: bool) {
        if let Some(outside) = &mut self.outside {
            outside.reachable = reachable;
        }
    }

    pub(super) fn on_lease(&mut self, until: Time) {
        if let Some(outside) = &mut self.outside {
            outside.lease_until = until;
        }
    }

    /// The swap was taken: the value is this node's.
    pub(super) fn on_swapped(&mut self, seen: Seen, out: &mut Outputs) {
        let Some(outside) = &mut self.outside else { return };
        assert!(std::mem::take(&mut outside.swapping), "only what was asked for is swapped");
        outside.seen = Some(seen);
        match &mut self.recording {
            Some(standing) => {
                // The value names this node now, whatever it did without it.
                (standing.adrift, self.wanted.adrift) = (false, false);
                out.push(Output::Record(standing.clone()));
            }
            None => self.reserved(true, out),
        }
    }

    /// Something else is there.
    pub(super) fn on_swap_lost(&mut self, seen: Seen, out: &mut Outputs) {
        let Some(outside) = &mut self.outside else { return };
        assert!(std::mem::take(&mut outside.swapping), "only what was asked for is swapped");
        let value = seen.register.clone();
        outside.seen = Some(seen);
        let Some(standing) = self.recording.take() else { return self.reserved(false, out) };
        let may_go_on = match &value {
            Some(value) if value.epoch > standing.promised => return self.lose_to(value.epoch, out),
            Some(value) => standing.forced || value.names(self.me.id),
            None => true,
        };
        if !may_go_on {
            // It was left out of the set meanwhile.
            return self.lose_to(standing.promised, out);
        }
        // It is wanted as before, in the place of what is there now; but a term begins with those whom the value names now.
        if let Some(value) = value.filter(|value| value.epoch < standing.promised && !standing.forced)
            && self.wanted.promised == standing.promised
        {
            self.wanted.set = value.set_for(self.me.id);
        }
        self.record_next(out);
    }

    /// Whether the term that is to begin would take the place of a value that does not name this node: it was handed the term,
    /// and left out of the set meanwhile.
    pub(super) fn has_no_place(&self) -> bool {
        let Standing { promised, primary, forced, .. } = self.wanted;
        let value = self.seen().and_then(|seen| seen.register.as_ref());
        let is_left_out = value.is_some_and(|value| !value.epoch.is_same_term(promised) && !value.names(self.me.id));
        primary && !forced && is_left_out && self.rules.hold(Rule::RecordedLeads)
    }

    pub(super) fn lose_to(&mut self, epoch: Epoch, out: &mut Outputs) {
        self.wanted = Standing { promised: self.wanted.promised, ..self.recorded.clone() };
        self.become_replica(epoch, out);
    }

    /// Swaps the value that goes with what is being recorded, or reserves a term.
    pub(super) fn swap(&mut self, swap: Output, out: &mut Outputs) {
        if let Some(outside) = &mut self.outside {
            assert!(!outside.swapping, "one swap at a time");
            outside.swapping = true;
        }
        out.push(swap);
    }

    /// A swap that is not wanted any more stands in nobody's way: what became of it is read later.
    pub(super) fn forget_swap(&mut self, out: &mut Outputs) {
        let goes_on = self.wanted.primary && self.swap_for(&self.wanted).is_some();
        if goes_on || !self.is_swapping() {
            return;
        }
        if let Some(outside) = &mut self.outside {
            outside.swapping = false;
        }
        self.recording = None;
        out.push(Output::ForgetSwap);
    }

    /// Whether this primary went on by force without the coordinator, which answers again now.
    pub(super) fn is_ahead_of_register(&self) -> bool {
        matches!(self.part, Part::Primary(_)) && self.recorded.primary && self.swap_for(&self.recorded).is_some()
    }

    /// Takes the next term for this node, the set unchanged: who wins this is alone in trying.
    pub(super) fn reserve(&mut self, epoch: Epoch, out: &mut Outputs) {
        let Some(seen) = self.seen().cloned() else { return };
        // By what is replaced, not by what was read when it began: this node may have been let go since.
        let is_eligible = self.is_eligible() || !self.rules.hold(Rule::RecordedLeads);
        let Some(value) = seen.register.as_ref().filter(|value| value.epoch < epoch && is_eligible) else {
            return self.reserved(false, out);
        };
        let register = Register {
            epoch,
            set: value.set_for(self.me.id),
            open: false,
            mode: value.mode,
            end: self.end_before(epoch),
        };
        self.swap(Output::Swap { expect: seen.revision, register }, out);
    }

    /// Whether there is a coordinator that answers.
    pub(super) fn reaches_coordinator(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| outside.reachable)
    }

    /// Whether a swap is on its way.
    pub(super) fn is_swapping(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| outside.swapping)
    }

    /// Whether this node may lead by the value's word: it holds every answered write, and its log names it.
    pub(super) fn is_eligible(&self) -> bool {
        let value = self.seen().and_then(|seen| seen.register.as_ref());
        // The first term of all may be in the value before anything is in its log.
        let has_begun = value.is_some_and(|value| value.epoch.owner == self.me.id && value.set.is_empty());
        let is_member = match self.log.configs.newest() {
            // By force it is a member by its own record.
            Some(config) => config.names(self.me.id) || self.own_force().is_some(),
            None => has_begun && self.log.appended == 0,
        };
        let is_named = value.is_some_and(|value| value.names(self.me.id)) || !self.rules.hold(Rule::RecordedLeads);
        // What was acknowledged out of memory may be gone.
        let in_force = self.log.configs.in_force();
        let was_durable = in_force.iter().all(|(_, config)| config.ack != AckLevel::Received)
            || value.is_some_and(|value| value.epoch.owner == self.me.id);
        let may = !self.wanted.adrift && !self.recorded.adrift && self.lacks().is_none() && !self.knows_of_force();
        let is_known = value.is_some_and(|value| !self.is_given_up_force(value));
        is_known && may && is_named && is_member && was_durable && !self.is_quarantined() && !self.is_full()
    }

    /// A recorded member takes over by itself when the lease is gone and the primary is not heard.
    pub(super) fn take_over(&mut self, out: &mut Outputs) {
        let (now, me) = (self.now, self.me.id);
        let Part::Replica(replica) = &self.part else { return };
        let is_free = replica.wish.is_none() && replica.is_idle_or_follows() && !self.draining;
        let Some(seen) = self.seen() else { return };
        let leads = seen.register.as_ref().map(|value| value.epoch.owner).unwrap_or_default();
        let (term, is_open) =
            seen.register.as_ref().map_or((Epoch::default(), true), |value| (value.epoch, value.open));
        let is_heard = leads != me
            && self.peer(leads).is_some_and(|peer| {
                // It says itself that it leads its term no more.
                let has_resigned = peer.role == Role::Replica && peer.promised >= term;
                peer.link.is_some() && !peer.gone && now < peer.heard + QUIET && !has_resigned
            });
        let before = seen.register.as_ref().map_or(0, |value| value.set.iter().filter(|id| **id < me).count());
        // Who has just given its term away is the last to want it back.
        let wait = match (leads == me, is_open) {
            (true, _) => GAVE_AWAY,
            (false, true) => TURN * before as Time,
            // Who has just taken it is about to lead.
            (false, false) => GAVE_AWAY / 2 + TURN * before as Time,
        };
        let is_vacant = is_free && !seen.leased && !is_heard && self.is_eligible() && !self.is_swapping();
        let is_ready = self.is_settled() && self.recording.is_none();
        let Some(outside) = &mut self.outside else { return };
        if !is_vacant || !outside.reachable {
            outside.vacant_since = None;
            return;
        }
        let since = *outside.vacant_since.get_or_insert(now);
        if is_ready && now >= since + wait {
            outside.vacant_since = None;
            self.begin_ballot(Purpose::Elected { request: None }, self.next_epoch(), None, out);
        }
    }

    /// Whether answers of this primary rest on itself alone, and nobody outside can vouch for that any more.
    pub(super) fn lacks_lease(&self) -> bool {
        let Some(outside) = &self.outside else { return false };
        if !matches!(self.part, Part::Primary(_)) {
            return false;
        }
        let has_others = self.log.configs.newest().is_some_and(|config| config.replicas() > 0);
        // By force an operator goes on where no coordinator answers.
        let by_force = self.recorded.adrift && !outside.reachable;
        self.recorded.set.is_empty()
            && has_others
            && !by_force
            && self.now >= outside.lease_until
            && self.rules.hold(Rule::LeaseAlone)
    }

    /// Whether a smaller set cannot be recorded, because the coordinator does not answer.
    pub(super) fn lacks_coordinator(&self) -> bool {
        self.waits_for_coordinator() || self.lacks_lease()
    }

    /// Whether a change of the set is on its way that nobody answers, or could not be made now. That the value is to say
    /// another mode, or to be written anew, is nothing that an answer rests on.
    pub(super) fn waits_for_coordinator(&self) -> bool {
        let is_silent = self.outside.as_ref().is_some_and(|outside| outside.swapping && !outside.reachable);
        is_silent && (self.wanted != self.recorded || self.recorded.set.iter().any(|id| self.is_late(*id)))
    }

    /// The answer to an operator's unforced promotion where a coordinator decides.
    pub(super) fn judge_outside(&self, reached: usize) -> Result<(), NotPromoted> {
        if self.reaches_coordinator() && self.is_eligible() {
            Ok(())
        } else {
            Err(NotPromoted::Unsafe { needed: None, reached })
        }
    }
}
