//! The in-sync set: whose acknowledgement is waited for, who leaves it, who comes back.
//!
//! ```text
//!             late ─► smaller set wanted ─► recorded ─► answers rest on it
//!   in set ──────────────────────────────────────────────────────────────► out
//!      ▲                                                                     │
//!      └── recorded ◄─ larger set wanted ◄─ everything acknowledged ◄─ required (joining) ◄─ caught up
//! ```
//!
//! # Invariants
//! 1. Required is the union of every set that is recorded, on its way to be, or about to be: the larger one decides
//!    until the smaller one is durable, and from before the larger one is.
//! 2. In `sync` the last `min_replicas` that answer, or may come back, never leave.
//! 3. Nobody is counted as back before the epoch is open.

use super::links::HEARTBEAT;
use super::machine::{Part, Replication};
use super::primary::Phase;
use super::rules::Rule;
use super::{ClusterConfig, Event, Output, Outputs, Standing, Time};
use crate::types::{AckLevel, Durability, Mode, NodeId, Version};

/// A member this close behind the commit position is required from then on.
const JOIN_WINDOW: Version = 4096;
/// So many returns within [`RETURNS_WITHIN`] are taken at once.
const RETURNS_AT_ONCE: usize = 3;
const RETURNS_WITHIN: Time = 600_000_000;
/// After that a return is held for so long, doubling.
const HOLD: Time = 1_000_000;
const HOLD_MAX: Time = 10_000_000;

impl Replication {
    /// Whether an acknowledgement of this member is waited for.
    pub(super) fn is_required(&self, id: NodeId) -> bool {
        let joining = self.peer(id).is_some_and(|peer| peer.joining.is_some());
        if !self.rules.hold(Rule::SetDurable) {
            return self.wanted.set.contains(&id) || joining;
        }
        let on_its_way = self.recording.as_ref().is_some_and(|standing| standing.set.contains(&id))
            && self.rules.hold(Rule::UnansweredSet);
        self.recorded.set.contains(&id) || on_its_way || self.wanted.set.contains(&id) || joining
    }

    /// Everyone whose acknowledgement is waited for.
    fn required(&self) -> impl Iterator<Item = NodeId> + '_ {
        let sets = self.recorded.set.iter().chain(&self.wanted.set);
        let sets = sets.chain(self.recording.iter().flat_map(|standing| &standing.set)).copied();
        let joining = self.peers.iter().filter(|peer| peer.joining.is_some()).map(|peer| peer.id);
        sets.chain(joining).filter(|id| self.is_required(*id))
    }

    /// The last version that everyone holds whose acknowledgement is waited for, this node included.
    pub(super) fn acknowledged_by_all(&self) -> Version {
        let own = if self.rules.hold(Rule::PrimarySync) { self.log.durable } else { self.log.appended };
        // A coordinator that still names members would let one of them lead: then they have all that is answered.
        if self.never_waits() && self.outside.is_none() {
            return own;
        }
        self.required().map(|id| self.acknowledged(id)).fold(own, Version::min)
    }

    /// What a member has acknowledged at the level that is asked for.
    pub(super) fn acknowledged(&self, id: NodeId) -> Version {
        let in_memory = self.log.configs.in_force().iter().all(|(_, config)| config.ack == AckLevel::Received);
        self.peer(id).map_or(0, |peer| if in_memory { peer.received } else { peer.durable })
    }

    /// Whether an answer waits until the in-sync set has applied what it is about.
    pub(super) fn waits_for_apply(&self) -> bool {
        self.log.configs.in_force().iter().any(|(_, config)| config.ack == AckLevel::Applied)
    }

    /// What may be answered: everything that is applied here and, where the acknowledgement means that, on every other
    /// member of the in-sync set.
    pub fn answerable(&self) -> Version {
        if !self.waits_for_apply() {
            return Version::MAX;
        }
        self.recorded.set.iter().map(|id| self.peer(*id).map_or(0, |peer| peer.applied)).min().unwrap_or(Version::MAX)
    }

    /// Whether every configuration that may be in force is `async`.
    pub(super) fn never_waits(&self) -> bool {
        let mut in_force = self.log.configs.in_force().iter();
        !self.log.configs.in_force().is_empty() && in_force.all(|(_, config)| config.replication == Mode::Async)
    }

    /// Whether the recorded set obeys every configuration that may be in force.
    pub(super) fn set_is_enough(&self) -> bool {
        // The first replica is added by a record that the primary alone commits.
        let first = self.binding().first().is_some_and(|(_, config)| config.replicas() == 0);
        first || !self.rules.hold(Rule::MinReplicas) || self.all_allow(&self.recorded.set)
    }

    /// The configurations that a primary obeys: all that may be in force, or in a term that was opened by force those
    /// from its own record on.
    fn binding(&self) -> &[(Version, ClusterConfig)] {
        let in_force = self.log.configs.in_force();
        let from = match &self.part {
            Part::Primary(primary) if primary.forced && !primary.is_new() => primary.record,
            _ => 0,
        };
        let upto = if self.rules.hold(Rule::LoggedConfigBinds) { in_force.len() } else { in_force.len().min(1) };
        &in_force[in_force.partition_point(|(version, _)| *version < from).min(upto)..upto]
    }

    pub(super) fn all_allow(&self, others: &[NodeId]) -> bool {
        let in_force = self.binding();
        match (self.rules.hold(Rule::BothConfigs), in_force.last()) {
            (false, Some((_, newest))) => newest.allows_set(others),
            _ => in_force.iter().all(|(_, config)| config.allows_set(others)),
        }
    }

    /// Replicas that the mode demands before an operation is taken, and how many of them answer; `None` when there are
    /// enough, for each configuration among those that it names.
    pub(super) fn missing_replicas(&self) -> Option<(u32, u32)> {
        if !self.rules.hold(Rule::MinReplicas) {
            return None;
        }
        let missing = |config: &ClusterConfig| {
            let wanted = config.replicas_wanted();
            if wanted == 0 {
                return None;
            }
            let present = self.recorded.set.iter().filter(|id| config.names(**id) && !self.is_late(**id)).count();
            let present = u32::try_from(present).unwrap_or(u32::MAX);
            (present < wanted).then_some((wanted, present))
        };
        self.binding().iter().find_map(|(_, config)| missing(config))
    }

    /// How long a silent member is waited for.
    fn patience(&self) -> Time {
        let longest = self.log.configs.in_force().iter().map(|(_, config)| config.sync_timeout_ms).max();
        longest.unwrap_or(0).saturating_mul(1000)
    }

    /// Whether nothing is heard of a member, or that it cannot acknowledge. On a link that stands, who has nothing to say
    /// gives a sign of life now and then: there silence is no shorter than a few of those.
    pub(super) fn is_silent(&self, id: NodeId) -> bool {
        let Part::Primary(primary) = &self.part else { return false };
        let (now, patience) = (self.now, self.patience());
        let Some(peer) = self.peer(id) else {
            return !primary.reached.contains(&id) || now - primary.since >= patience;
        };
        let never_heard = peer.link.is_none() && peer.heard < primary.since && !primary.reached.contains(&id);
        let patience = if peer.link.is_some() { patience.max(3 * HEARTBEAT) } else { patience };
        peer.is_away() || never_heard || now - peer.heard.max(primary.since) >= patience
    }

    /// Whether a member has kept this primary waiting for too long.
    pub(super) fn is_late(&self, id: NodeId) -> bool {
        let Part::Primary(primary) = &self.part else { return false };
        let (now, patience) = (self.now, self.patience());
        if self.is_silent(id) {
            return true;
        }
        let Some(peer) = self.peer(id) else { return false };
        let acknowledged = self.acknowledged(id);
        let oldest = primary.unacknowledged.iter().find(|(version, _)| *version > acknowledged);
        let since =
            oldest.map(|(_, at)| (*at).max(peer.joining.unwrap_or(0)).max(peer.returns.last().copied().unwrap_or(0)));
        let behind = peer.joining.filter(|_| acknowledged < self.log.committed);
        since.into_iter().chain(behind).any(|since| now - since >= patience)
    }

    /// Takes late members out of the set and lets those that have caught up back in.
    pub(super) fn update_set(&mut self, out: &mut Outputs) {
        self.take_back(out);
        if self.recording.is_some() && self.rules.hold(Rule::UnansweredSet) {
            return;
        }
        let mut set = self.wanted.set.clone();
        self.let_go(&mut set);
        let lets_in = matches!(&self.part, Part::Primary(primary) if primary.is_open()) || self.opens_with_more();
        if lets_in && !self.never_waits() {
            self.let_in(&mut set);
        }
        set.sort_unstable();
        let standing = Standing { alone_from: self.next_alone_from(&set), set, ..self.wanted.clone() };
        if standing == self.wanted {
            return;
        }
        let left: Vec<NodeId> = self.wanted.set.iter().copied().filter(|id| !standing.set.contains(id)).collect();
        for id in left {
            if self.peer(id).is_some() {
                let now = self.now;
                let peer = self.peer_mut(id);
                (peer.joining, peer.left) = (None, Some((now, peer.durable)));
            }
        }
        self.want(standing, out);
    }

    /// While the coordinator does not answer nobody is left out: once those who were to be acknowledge everything again,
    /// it is not wanted any more, and writes go on.
    fn take_back(&mut self, out: &mut Outputs) {
        let is_term = self.recorded.primary && self.recorded.promised == self.wanted.promised;
        if !is_term || !self.waits_for_coordinator() {
            return;
        }
        let acknowledges = |id: &NodeId| {
            let peer = self.peer(*id);
            peer.is_some_and(|peer| peer.flow.is_streaming() && peer.durable >= self.log.appended)
                && !self.is_silent(*id)
        };
        let mut left = self.recorded.set.iter().filter(|id| !self.wanted.set.contains(id)).peekable();
        // What is forgotten may be taken all the same: it must name nobody who is not waited for then.
        let on_its_way = self.recording.iter().flat_map(|standing| &standing.set);
        let names_no_other = self.wanted.set.iter().chain(on_its_way).all(|id| self.recorded.set.contains(id));
        let may = names_no_other || !self.rules.hold(Rule::MayBeNamed);
        if may && left.peek().is_some() && left.all(acknowledges) {
            let (set, alone_from) = (self.recorded.set.clone(), self.recorded.alone_from);
            self.want(Standing { set, alone_from, ..self.wanted.clone() }, out);
        }
    }

    /// Whether the term cannot open with those whom the coordinator's value names, and needs one more that has its record.
    fn opens_with_more(&self) -> bool {
        matches!(&self.part, Part::Primary(primary) if primary.phase == Phase::Opening) && self.needs_more()
    }

    /// Whether fewer are recorded than the rules ask for: the coordinator's value named no more, or a smaller set was taken
    /// so late that the rules had changed. Without a coordinator that never is.
    fn needs_more(&self) -> bool {
        self.outside.is_some() && !self.all_allow(&self.recorded.set)
    }

    fn let_go(&self, set: &mut Vec<NodeId>) {
        // Whoever acknowledges is left out only where that can be recorded: else it would be wanted and taken back for ever.
        if self.outside.is_none() || self.reaches_coordinator() {
            if self.never_waits() {
                set.clear();
            }
            set.retain(|id| self.log.configs.name(*id));
        }
        let late: Vec<NodeId> = set.iter().copied().filter(|id| self.is_late(*id)).collect();
        for id in &late {
            // Those that remain must be enough, and answer: a member that is away too is no reason to let this one go.
            let remain: Vec<NodeId> =
                set.iter().copied().filter(|other| other != id && !late.contains(other)).collect();
            if !self.rules.hold(Rule::MinReplicas) || self.all_allow(&remain) {
                set.retain(|other| other != id);
            }
        }
    }

    fn let_in(&mut self, set: &mut Vec<NodeId>) {
        let Part::Primary(primary) = &self.part else { return };
        let (record, now) = (primary.record, self.now);
        let (committed, appended) = (self.log.committed, self.log.appended);
        // Who has just been let go comes back by another way than at once: that would be no change, and a new patience.
        let is_out = |id: &NodeId| !set.contains(id) && !self.wanted.set.contains(id);
        let candidates: Vec<NodeId> = self.peers.iter().map(|peer| peer.id).filter(is_out).collect();
        for id in candidates {
            // One that is being added is in the set before its record is committed: the new rule may need it.
            // And while too few are recorded for an older rule, whoever that one names helps it out.
            let named = self.log.configs.newest().is_some_and(|config| config.names(id))
                || self.needs_more() && self.log.configs.name(id);
            let (is_silent, is_late, hold) = (self.is_silent(id), self.is_late(id), self.hold(id));
            let peer = self.peer_mut(id);
            if !named || !peer.flow.is_streaming() || is_silent || is_late && peer.joining.is_some() {
                // It was never recorded, so the requirement can go without a record.
                if peer.joining.take().is_some() {
                    peer.left = Some((now, peer.durable));
                    peer.came_back(now);
                }
                continue;
            }
            // Who was late has to show first that it acknowledges anything: to be heard is not enough.
            let moves = |with| peer.durable > with || peer.durable >= appended;
            let rested = peer.left.is_none_or(|(left, with)| now >= left + hold && moves(with));
            if peer.joining.is_none() && peer.durable + JOIN_WINDOW >= committed && rested {
                peer.joining = Some(now);
            }
            let complete = peer.durable >= committed && peer.durable >= record;
            if peer.joining.is_some() && (complete || !self.rules.hold(Rule::CaughtUpBeforeCounted)) {
                set.push(id);
            }
        }
    }

    /// How long a member that keeps leaving stays out.
    fn hold(&self, id: NodeId) -> Time {
        let is_needed = !self.all_allow(&self.recorded.set);
        let since = self.now.saturating_sub(RETURNS_WITHIN);
        let returns = self.peer(id).map_or(0, |peer| peer.returns.iter().filter(|at| **at >= since).count());
        match returns.checked_sub(RETURNS_AT_ONCE) {
            Some(more) if !is_needed => (HOLD << more.min(8)).min(HOLD_MAX),
            _ => 0,
        }
    }

    /// Since which version answers rest on fewer nodes than the log names, with this set.
    fn next_alone_from(&self, set: &[NodeId]) -> Option<Version> {
        let committed = self.log.committed;
        match (self.wanted.alone_from, self.is_degraded_with(set)) {
            (None, true) => Some(committed + 1),
            (from, true) => from,
            (_, false) => None,
        }
    }

    fn is_degraded_with(&self, set: &[NodeId]) -> bool {
        // A member that is being added was promised to nobody yet.
        let Some(config) = self.log.configs.oldest() else { return false };
        let replicas = config.replicas() as usize;
        let alone = replicas == 0 && self.peers_expected;
        config.replication == Mode::SemiSync && (set.len() < replicas || alone)
    }

    /// After a set was recorded: joiners are in, and people hear of it.
    pub(super) fn set_was_recorded(&mut self, out: &mut Outputs) {
        let now = self.now;
        let recorded = &self.recorded.set;
        for peer in &mut self.peers {
            if peer.joining.is_some() && recorded.contains(&peer.id) {
                (peer.joining, peer.left) = (None, None);
                peer.came_back(now);
                out.push(Output::Event(Event::InSync(peer.id)));
            }
        }
    }

    /// What an answer given now promises.
    pub fn durability(&self) -> Durability {
        let Some(config) = self.log.configs.newest() else { return Durability::Local };
        let full = if config.ack == AckLevel::Received { Durability::Received } else { Durability::Sync };
        match config.replication {
            Mode::Async => Durability::Async,
            Mode::Sync => full,
            Mode::SemiSync if self.is_degraded_with(&self.recorded.set) => Durability::Degraded,
            Mode::SemiSync if config.replicas() == 0 => Durability::Local,
            Mode::SemiSync => full,
        }
    }
}
