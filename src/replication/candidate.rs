//! The way to a new epoch: ask, promise, read positions, adopt the most advanced log, record, open.
//!
//! ```text
//!   operator:  Asking ──enough would──┐           (still a replica; a promise deposes a live primary, so ask first)
//!   restart:   Waiting ──table────────┴─► Promising ─► Cutting ─► Fetching ─► Taking ─► Primary
//!                  └──nobody needed──────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//! 1. Positions are read after the promises, and the adopted log is durable here before role, epoch and set are.
//! 2. Unforced, every configuration that may be in force in the adopted log allows it.
//! 3. A crash at any step leaves a burnt epoch and nothing else.

mod elected;
mod restart;

use super::machine::{Part, Replication};
use super::primary::{Phase, Primary};
use super::replica::Replica;
use super::rules::Rule;
use super::wish::Wish;
use super::{
    Append, Closing, ClusterConfig, EpochStart, History, Link, Message, NotPromoted, Output, Outputs, Promised,
    Standing, Time, Waiting,
};
use crate::limits::MEMBERS_MAX;
use crate::types::{Epoch, NodeId, Version};

/// A member that does not answer in this time counts as unreachable.
pub(super) const PATIENCE: Time = 2_000_000;
/// A primary that seems to live must hand over in this time; else it is none that can be waited for.
const HAND_OVER_PATIENCE: Time = 1_000_000;
/// The same for who is elected: its own log has every answered write, so what others hold beyond that can be missed.
const ELECTED_PATIENCE: Time = 300_000;
/// A recovering node looks for a live primary for so long before it acts alone.
const LOOK_AROUND: Time = 500_000;
/// A primary that was heard this recently is asked to hand over.
const LIVE: Time = 1_500_000;

/// A node on its way to a new epoch.
#[derive(Debug)]
pub(super) struct Candidate {
    epoch: Epoch,
    purpose: Purpose,
    stage: Stage,
    /// Links on which the promise was asked for.
    asked: Vec<Link>,
    promises: Vec<Promise>,
    pub(super) refused: Vec<NodeId>,
    until: Time,
    /// A member that the new configuration leaves out.
    without: Option<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A restart as primary: not decided yet, or alone.
    Restart,
    /// A restart with the promises of the recorded set.
    Reopen,
    /// A restart with the promises of a promotion.
    Again,
    /// By the coordinator's value: this node holds every answered write.
    Elected { request: Option<u64> },
    /// The operator's word.
    Operator { request: u64, force: bool },
    /// The primary that was has handed over.
    HandOver { request: Option<u64> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// The term is promised here, and not taken at the coordinator yet.
    Reserving,
    Promising,
    Cutting {
        from: NodeId,
        target: Version,
    },
    Fetching {
        from: NodeId,
        target: Version,
        asked: Version,
    },
    Taking,
}

#[derive(Debug)]
struct Promise {
    from: NodeId,
    head: Version,
    committed: Version,
    history: History,
}

impl Candidate {
    /// A node that is to be primary and does not know yet whether it may.
    pub(super) fn recovering() -> Self {
        Self::new(Epoch::default(), Purpose::Restart, Stage::Waiting, 0)
    }

    fn new(epoch: Epoch, purpose: Purpose, stage: Stage, until: Time) -> Self {
        Self {
            epoch,
            purpose,
            stage,
            asked: Vec::new(),
            promises: Vec::new(),
            refused: Vec::new(),
            until,
            without: None,
        }
    }

    pub(super) fn is_forced(&self) -> bool {
        matches!(self.purpose, Purpose::Operator { force: true, .. })
    }

    /// Whether the coordinator's value has named it.
    pub(super) fn is_elected(&self) -> bool {
        matches!(self.purpose, Purpose::Elected { .. })
    }

    fn request(&self) -> Option<u64> {
        match self.purpose {
            Purpose::Operator { request, .. } => Some(request),
            Purpose::HandOver { request } | Purpose::Elected { request } => request,
            Purpose::Restart | Purpose::Reopen | Purpose::Again => None,
        }
    }
}

impl Replication {
    pub(super) fn candidate_mut(&mut self) -> Option<&mut Candidate> {
        if let Part::Candidate(candidate) = &mut self.part { Some(candidate) } else { None }
    }

    /// Whether this node is to be primary by its start, not by an operator's word of now.
    pub(super) fn is_recovering(&self) -> bool {
        matches!(&self.part, Part::Candidate(candidate) if
            matches!(candidate.purpose, Purpose::Restart | Purpose::Reopen | Purpose::Again))
    }

    /// Whether this node leads, or tries to.
    pub(super) fn is_under_way(&self) -> bool {
        match &self.part {
            Part::Primary(_) => true,
            Part::Candidate(candidate) => candidate.stage != Stage::Waiting,
            Part::Replica(_) => false,
        }
    }

    /// Tells whoever waits for this node to become primary that it does not.
    pub(super) fn abandon(&mut self, out: &mut Outputs) {
        let request = match &mut self.part {
            Part::Candidate(candidate) => candidate.request(),
            Part::Primary(primary) => {
                if let Some((request, _)) = primary.removing.take() {
                    let is_logged = self.log.configs.newest_version() > self.log.committed;
                    let why = if is_logged { NotPromoted::Unknown } else { NotPromoted::Busy };
                    out.push(Output::Answer { request, result: Err(why) });
                }
                primary.request.take()
            }
            Part::Replica(replica) => replica.wish.take().map(|wish| wish.request),
        };
        if let Some(request) = request {
            out.push(Output::Answer { request, result: Err(NotPromoted::Busy) });
        }
    }

    pub(super) fn on_promote(&mut self, request: u64, force: bool, out: &mut Outputs) {
        let now = self.now;
        let live = self.live_primary();
        let (has_cluster, is_full) = (!self.log.configs.in_force().is_empty(), self.is_full());
        let diverged = self.diverged.filter(|_| self.is_quarantined());
        let lacks_coordinator = self.lacks_coordinator();
        let waits_outside = self.is_swapping() && !self.reaches_coordinator();
        let answer = match &mut self.part {
            Part::Primary(primary) if !(force && (primary.disputed || lacks_coordinator)) => Ok(()),
            Part::Primary(_) => return self.force_epoch(request, None, out),
            Part::Candidate(candidate) if candidate.request().is_some() && !(force && waits_outside) => {
                Err(NotPromoted::Busy)
            }
            Part::Candidate(_) if force && has_cluster => return self.force_epoch(request, None, out),
            Part::Candidate(candidate) => {
                Err(NotPromoted::Unsafe { needed: None, reached: candidate.promises.len() + 1 })
            }
            Part::Replica(_) if !has_cluster || is_full => Err(NotPromoted::NotReady),
            Part::Replica(replica) if replica.wish.is_some() => Err(NotPromoted::Busy),
            Part::Replica(_) if let Some(version) = diverged.filter(|_| !force) => {
                Err(NotPromoted::Diverged { version })
            }
            Part::Replica(replica) => {
                let until = now + if live.is_some() { HAND_OVER_PATIENCE } else { PATIENCE };
                let answers = if live.is_some() { None } else { Some(Vec::new()) };
                replica.wish = Some(Wish { request, force, until, answers });
                match live {
                    Some(link) => self.send(link, Message::HandOverPlease, out),
                    None => self.ask_everyone(out),
                }
                return;
            }
        };
        let answer = match (answer, self.waiting()) {
            (Err(NotPromoted::Unsafe { .. }), Some(Waiting { needed, reached, .. })) => {
                Err(NotPromoted::Unsafe { needed, reached })
            }
            (answer, _) => answer,
        };
        out.push(Output::Answer { request, result: answer });
    }

    fn live_primary(&self) -> Option<Link> {
        let Part::Replica(replica) = &self.part else { return None };
        let link = replica.following()?;
        let peer = self.peers.iter().find(|peer| peer.link == Some(link))?;
        (self.now - peer.heard < LIVE).then_some(link)
    }

    /// Members with a link, and the link.
    pub(super) fn linked_members(&self) -> Vec<(Link, NodeId)> {
        let linked = self.peers.iter().filter(|peer| self.log.configs.name(peer.id));
        linked.filter_map(|peer| peer.link.map(|link| (link, peer.id))).collect()
    }

    /// Whether the primary could hand over, or enough members are there to promise.
    pub(super) fn is_promotable(&self) -> bool {
        let linked: Vec<NodeId> = self.linked_members().into_iter().map(|(_, id)| id).collect();
        if self.outside.is_some() {
            return self.live_primary().is_some() || self.judge_outside(1).is_ok();
        }
        let configs = self.log.configs.in_force().iter().map(|(_, config)| config);
        let heads = self.peers.iter().filter(|peer| linked.contains(&peer.id)).map(|peer| peer.head.max(peer.durable));
        let head = heads.fold(self.log.durable, Version::max);
        let may = self.judge(&linked, configs).and_then(|()| self.reaches(head));
        self.live_primary().is_some() || (self.log.durable > 0 && may.is_ok())
    }

    pub(super) fn next_epoch(&self) -> Epoch {
        let heard = self.peers.iter().map(|peer| peer.promised.number).max().unwrap_or(0);
        let outside = self.seen().and_then(|seen| seen.register.as_ref()).map_or(0, |value| value.epoch.number);
        Epoch {
            number: outside
                .max(heard)
                .max(self.promised().number)
                .max(self.log.history.last().number)
                .saturating_add(1),
            owner: self.me.id,
            start: 1,
        }
    }

    /// Whether these others and this node are enough for an unforced promotion.
    pub(super) fn judge<'a>(
        &self,
        others: &[NodeId],
        configs: impl Iterator<Item = &'a ClusterConfig>,
    ) -> Result<(), NotPromoted> {
        let reached = others.len() + 1;
        // A log that has lost its first records for want of room names nobody who could allow it.
        if self.log.configs.in_force().is_empty() {
            return Err(NotPromoted::Unsafe { needed: None, reached });
        }
        for config in configs {
            let votes = 1 + others.iter().filter(|id| config.names(**id)).count();
            let needed = match config.promises_needed() {
                None if !self.rules.hold(Rule::ForceOutsideSync) => Some(1),
                Some(_) if !self.rules.hold(Rule::PromotionQuorum) => Some(1),
                needed => needed,
            };
            let member = config.names(self.me.id) || !self.rules.hold(Rule::MemberCheck);
            if !member || needed.is_none_or(|needed| votes < needed) {
                return Err(NotPromoted::Unsafe { needed, reached });
            }
        }
        Ok(())
    }

    /// A new epoch on the operator's word, whoever is reached.
    pub(super) fn force_epoch(&mut self, request: u64, without: Option<NodeId>, out: &mut Outputs) {
        let epoch = self.next_epoch();
        self.abandon(out);
        if matches!(self.part, Part::Primary(_)) {
            out.push(Output::Deposed { promised: epoch });
        }
        self.begin_ballot(Purpose::Operator { request, force: true }, epoch, without, out);
    }

    pub(super) fn begin_ballot(&mut self, purpose: Purpose, epoch: Epoch, without: Option<NodeId>, out: &mut Outputs) {
        if let (Purpose::Elected { request }, Some(term)) = (purpose, self.own_force()) {
            let answer = |request| Output::Answer { request, result: Err(NotPromoted::Busy) };
            out.extend(request.map(answer));
            return self.begin_by_force_again(term, out);
        }
        self.peers.iter_mut().for_each(super::links::Peer::forget_flow);
        self.commit_due = None;
        let is_elected = matches!(purpose, Purpose::Elected { .. });
        let stage = if is_elected { Stage::Reserving } else { Stage::Promising };
        let mut candidate = Candidate::new(epoch, purpose, stage, self.now + PATIENCE);
        candidate.without = without;
        self.part = Part::Candidate(candidate);
        if purpose == Purpose::Restart {
            // Nobody is asked: the promise is recorded together with what follows from it.
            return self.stand(out);
        }
        // Until the log is adopted nothing else changes: a crash here restarts as what this node was.
        let standing = match purpose {
            // The value may have the term before this disk has: a restart must know whose it was.
            Purpose::Operator { force: true, .. } if self.outside.is_some() => {
                Standing { forced: true, ..self.promise(epoch) }
            }
            Purpose::Operator { .. } | Purpose::HandOver { .. } | Purpose::Elected { .. } => self.promise(epoch),
            Purpose::Restart | Purpose::Reopen | Purpose::Again => Standing { promised: epoch, ..self.wanted.clone() },
        };
        self.want(standing, out);
    }

    pub(super) fn candidate_lost_link(&mut self, link: Link) {
        let lost = self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| peer.id);
        let linked: Vec<NodeId> = self.peers.iter().filter(|peer| peer.link.is_some()).map(|peer| peer.id).collect();
        let Some(candidate) = self.candidate_mut() else { return };
        candidate.asked.retain(|asked| *asked != link);
        if let Stage::Fetching { from, .. } = candidate.stage
            && (lost == Some(from) || !linked.contains(&from))
        {
            candidate.stage = Stage::Promising;
            candidate.promises.retain(|promise| promise.from != from);
        }
    }

    pub(super) fn candidate_was_refused(&mut self, from: NodeId, promised: Epoch, out: &mut Outputs) {
        let peer = self.peer_mut(from);
        peer.promised = peer.promised.max(promised);
        let Some(candidate) = self.candidate_mut() else { return };
        candidate.refused.push(from);
        if promised > candidate.epoch {
            self.give_up(NotPromoted::Busy, out);
        }
    }

    pub(super) fn on_promised(&mut self, link: Link, from: NodeId, promised: Promised, out: &mut Outputs) {
        let Some(history) = History::new(promised.history) else { return self.close(link, Closing::Protocol, out) };
        if history.starts().last().is_some_and(|start| start.first > promised.head)
            || promised.committed > promised.head
        {
            return self.close(link, Closing::Protocol, out);
        }
        let named = self.log.configs.name(from);
        let committed = promised.committed;
        let (head, history) = match self.peer(from) {
            Some(peer) if !self.rules.hold(Rule::PromisesFirst) => (peer.head, peer.history.clone()),
            _ => (promised.head, history),
        };
        let Some(candidate) = self.candidate_mut() else { return };
        if promised.epoch != candidate.epoch || !matches!(candidate.stage, Stage::Promising) || !named {
            return;
        }
        candidate.promises.retain(|promise| promise.from != from);
        candidate.promises.push(Promise { from, head, committed, history });
    }

    pub(super) fn on_hand_over(&mut self, link: Link, from: NodeId, epoch: Epoch, head: Version, out: &mut Outputs) {
        let is_member = self.log.configs.newest().is_some_and(|config| config.names(self.me.id));
        let is_next = epoch.owner == self.me.id && epoch > self.promised() && is_member && !self.is_quarantined();
        let Part::Replica(replica) = &mut self.part else { return };
        let asks_others = replica.wish.as_ref().is_some_and(|wish| wish.answers.is_some());
        if !is_next || asks_others || !replica.follows(link) || head != self.log.durable || head != self.log.appended {
            return;
        }
        // Asked for here, or by the operator's word to the primary.
        let request = replica.wish.take().map(|wish| wish.request);
        // The primary has committed all of it before it gave the term away.
        if head > self.log.committed {
            self.commit(head, out);
        }
        self.begin_ballot(Purpose::HandOver { request }, epoch, None, out);
        let history = self.log.history.clone();
        if let Some(candidate) = self.candidate_mut() {
            candidate.promises.push(Promise { from, head, committed: head, history });
        }
    }

    pub(super) fn progress_candidate(&mut self, out: &mut Outputs) {
        self.record_next(out);
        self.look_around(out);
        self.reserve_term(out);
        self.ask_for_promises(out);
        self.count_promises(out);
        self.fetch(out);
        self.take_office(out);
    }

    fn ask_for_promises(&mut self, out: &mut Outputs) {
        let (recorded, linked) = (self.recorded.promised, self.linked_members());
        let Some(candidate) = self.candidate_mut() else { return };
        let wants = !matches!(candidate.purpose, Purpose::Restart | Purpose::HandOver { .. });
        if candidate.stage != Stage::Promising || recorded < candidate.epoch || !wants {
            return;
        }
        let epoch = candidate.epoch;
        let new: Vec<Link> =
            linked.iter().map(|(link, _)| *link).filter(|link| !candidate.asked.contains(link)).collect();
        candidate.asked.extend(&new);
        for link in new {
            self.send(link, Message::Promise { epoch }, out);
        }
    }

    /// Enough promises, or enough waiting: then the most advanced log is adopted.
    fn count_promises(&mut self, out: &mut Outputs) {
        let (now, linked) = (self.now, self.linked_members());
        let (recorded, settled) = (self.recorded.promised, self.is_settled());
        let Part::Candidate(candidate) = &self.part else { return };
        if candidate.stage != Stage::Promising || recorded < candidate.epoch || !settled {
            return;
        }
        let promised: Vec<NodeId> = candidate.promises.iter().map(|promise| promise.from).collect();
        let answered = |id: &NodeId| promised.contains(id) || candidate.refused.contains(id);
        let everyone = linked.iter().all(|(_, id)| answered(id));
        let waited = now >= candidate.until;
        let goes_on = match candidate.purpose {
            Purpose::Restart => false,
            Purpose::HandOver { .. } => true,
            Purpose::Reopen => self.recorded.set.iter().all(|id| promised.contains(id)),
            Purpose::Again => {
                let configs = self.log.configs.in_force().iter().map(|(_, config)| config);
                (everyone || waited) && self.judge(&promised, configs).is_ok()
            }
            Purpose::Operator { .. } | Purpose::Elected { .. } => everyone || waited,
        };
        if goes_on {
            self.adopt(out);
        }
    }

    fn adopt(&mut self, out: &mut Outputs) {
        let by_epoch = self.rules.hold(Rule::EpochBeforeVersion);
        let rank = |history: &History, head: Version| (if by_epoch { history.last() } else { Epoch::default() }, head);
        let own = rank(&self.log.history, self.log.durable);
        let most_advanced = self.rules.hold(Rule::MostAdvancedLog);
        let Part::Candidate(candidate) = &mut self.part else { return };
        // Of two stories the operator has named this node's the winner: what is decided here is not given up for another.
        let (log, forced) = (&self.log, candidate.is_forced());
        let fits = |promise: &&Promise| {
            !forced || log.history.common(log.durable, &promise.history, promise.head) >= log.committed
        };
        let best = candidate.promises.iter().filter(fits).max_by_key(|promise| rank(&promise.history, promise.head));
        let best = best.filter(|best| most_advanced && rank(&best.history, best.head) > own);
        let Some(best) = best else {
            return self.stand(out);
        };
        let (from, target, epoch) = (best.from, best.head, candidate.epoch);
        let common = self.log.history.common(self.log.durable, &best.history, best.head);
        // Whom the value names has every answered write, but for those of a force that the value does not know.
        let lacks_force = |start: &EpochStart| start.forced && !log.history.has_term(start.epoch);
        let goes_adrift = candidate.is_elected() && best.history.starts().iter().any(lacks_force);
        if common < self.log.committed || goes_adrift && self.rules.hold(Rule::Adrift) {
            // Nobody's rules allow that: it is for the operator to look at.
            return self.give_up(NotPromoted::NotReady, out);
        }
        if common < self.log.appended {
            candidate.stage = Stage::Cutting { from, target };
            self.cut(common, epoch, out);
        } else {
            candidate.stage = Stage::Fetching { from, target, asked: 0 };
        }
    }

    pub(super) fn candidate_has_cut(&mut self) {
        let Some(candidate) = self.candidate_mut() else { return };
        if let Stage::Cutting { from, target } = candidate.stage {
            candidate.stage = Stage::Fetching { from, target, asked: 0 };
        }
    }

    /// Asks for what is missing, one piece after the other.
    fn fetch(&mut self, out: &mut Outputs) {
        let appended = self.log.appended;
        let settled = self.is_settled();
        let hold = self.rules.hold(Rule::AdoptedDurable);
        let Part::Candidate(candidate) = &mut self.part else { return };
        let Stage::Fetching { from, target, asked } = candidate.stage else { return };
        if appended == target {
            if settled || !hold {
                self.stand(out);
            }
            return;
        }
        let epoch = candidate.epoch;
        let link = self.peers.iter().find(|peer| peer.id == from).and_then(|peer| peer.link);
        match link {
            Some(link) if asked < appended + 1 => {
                candidate.stage = Stage::Fetching { from, target, asked: appended + 1 };
                self.send(link, Message::Fetch { epoch, after: appended }, out);
            }
            Some(_) => {}
            None => {
                candidate.stage = Stage::Promising;
                candidate.promises.retain(|promise| promise.from != from);
            }
        }
    }

    /// There may be room now for what was asked for.
    pub(super) fn fetch_again(&mut self) {
        if let Some(candidate) = self.candidate_mut()
            && let Stage::Fetching { asked, .. } = &mut candidate.stage
        {
            *asked = 0;
        }
    }

    pub(super) fn on_records(&mut self, link: Link, records: &Append, out: &mut Outputs) {
        let source = self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| peer.id);
        let Part::Candidate(candidate) = &self.part else { return };
        let Stage::Fetching { from, target, .. } = candidate.stage else { return };
        if source != Some(from) || records.epoch != candidate.epoch || records.last > target || self.is_full() {
            return;
        }
        if !self.take(records, out) {
            self.close(link, Closing::Protocol, out);
        }
    }

    /// What those who promised know to be decided, as far as this log tells the same story, is decided here too: else a
    /// configuration that was replaced long ago would go on being asked.
    fn learn_commit(&mut self, out: &mut Outputs) {
        let Part::Candidate(candidate) = &self.part else { return };
        let log = &self.log;
        let shared = |promise: &Promise| log.history.common(log.durable, &promise.history, promise.head);
        let known = candidate.promises.iter().map(|promise| promise.committed.min(shared(promise))).max().unwrap_or(0);
        if known > self.log.committed {
            self.commit(known, out);
        }
    }

    /// The log is adopted. If everyone's rules allow it, role, epoch and set are recorded.
    fn stand(&mut self, out: &mut Outputs) {
        self.learn_commit(out);
        let Part::Candidate(candidate) = &mut self.part else { return };
        candidate.stage = Stage::Taking;
        let candidate = &*candidate;
        let promised: Vec<NodeId> = candidate.promises.iter().map(|promise| promise.from).collect();
        let (forced, purpose, without, epoch) =
            (candidate.is_forced(), candidate.purpose, candidate.without, candidate.epoch);
        let in_force = self.log.configs.in_force();
        // By force too: a term without a cluster would be another cluster, and who leads is a member.
        let has_place = |config: &ClusterConfig| config.names(self.me.id) || config.members.len() < MEMBERS_MAX;
        let judged = match purpose {
            Purpose::Operator { .. } if !in_force.last().is_some_and(|(_, newest)| has_place(newest)) => {
                Err(NotPromoted::NotReady)
            }
            Purpose::Elected { .. } => self.judge_outside(promised.len() + 1),
            Purpose::Operator { force: false, .. } | Purpose::Again => {
                let every = self.rules.hold(Rule::EveryConfigPromotes);
                let asked = if every { 0 } else { in_force.len().saturating_sub(1) };
                let judged = self.judge(&promised, in_force[asked..].iter().map(|(_, config)| config));
                judged.and_then(|()| self.reaches(self.log.appended))
            }
            _ => Ok(()),
        };
        let outside = self.seen().and_then(|seen| seen.register.as_ref());
        if outside.is_some_and(|value| value.epoch > epoch) && !forced {
            return self.give_up(NotPromoted::Busy, out);
        }
        if let Err(refused) = judged {
            return self.give_up(refused, out);
        }
        let recorded_outside = self.seen().and_then(|seen| seen.register.as_ref());
        let set = match purpose {
            // Whoever holds every answered write goes on doing so, until it is let go.
            Purpose::Elected { .. } | Purpose::HandOver { .. } if let Some(value) = recorded_outside => {
                value.set_for(self.me.id)
            }
            Purpose::Reopen | Purpose::Restart if self.all_allow(&self.recorded.set) => self.recorded.set.clone(),
            // A set that a later configuration does not allow could never open.
            _ => self.first_set(&promised, without),
        };
        let alone_from = self.wanted.alone_from.filter(|_| !forced);
        // A restart goes on with the term, however it was begun.
        let is_own = self.wanted.promised.owner == self.me.id;
        let goes_on = matches!(purpose, Purpose::Reopen | Purpose::Restart) && self.wanted.forced && is_own;
        let forced = forced || goes_on;
        let adrift = self.wanted.adrift || forced && self.outside.as_ref().is_some_and(|outside| !outside.reachable);
        let standing = Standing { promised: epoch, primary: true, forced, set, alone_from, lacks: 0, adrift };
        self.want(standing, out);
    }

    /// The in-sync set of a new epoch: every member, but for those that were not reached and that nothing demands.
    fn first_set(&self, promised: &[NodeId], without: Option<NodeId>) -> Vec<NodeId> {
        let Some(config) = self.log.configs.newest() else { return Vec::new() };
        let others = config.members.iter().map(|member| member.id);
        let mut set: Vec<NodeId> = others.filter(|id| *id != self.me.id && Some(*id) != without).collect();
        let reached: Vec<NodeId> = set.iter().copied().filter(|id| promised.contains(id)).collect();
        if self.log.configs.in_force().iter().all(|(_, config)| config.allows_set(&reached)) {
            set = reached;
        }
        set.sort_unstable();
        set
    }

    /// Everything is recorded: the term begins.
    fn take_office(&mut self, out: &mut Outputs) {
        let Part::Candidate(candidate) = &self.part else { return };
        let ready = self.recording.is_none() && self.recorded == self.wanted && self.recorded.primary;
        if candidate.stage != Stage::Taking || !ready || self.recorded.promised != candidate.epoch {
            return;
        }
        let epoch = candidate.epoch;
        let reached = candidate.promises.iter().map(|promise| promise.from).collect();
        let (forced, request, without) = (self.recorded.forced, candidate.request(), candidate.without);
        let newest = self.log.configs.newest().cloned();
        let mut config = newest.unwrap_or_else(|| self.asked.applied_to(&ClusterConfig::first(self.me.clone())));
        config.members.retain(|member| Some(member.id) != without);
        match config.members.iter_mut().find(|member| member.id == self.me.id) {
            Some(member) => *member = self.me.clone(),
            // The operator's force has made one that was removed the primary: it is a member by its own record.
            None => config.members.push(self.me.clone()),
        }
        for peer in &mut self.peers {
            (peer.left, peer.confirmed, peer.went_back) = (None, 0, None);
        }
        self.part = Part::Primary(Primary {
            epoch,
            forced,
            phase: Phase::New,
            record: 0,
            since: self.now,
            flushed: self.log.appended,
            sent: 0,
            unacknowledged: Default::default(),
            reached,
            split_brain: false,
            disputed: false,
            change_at: 0,
            request,
            removing: None,
            config,
        });
        self.progress_primary(out);
    }

    /// This attempt comes to nothing; the epoch is burnt.
    pub(super) fn give_up(&mut self, why: NotPromoted, out: &mut Outputs) {
        let now = self.now;
        let Some(candidate) = self.candidate_mut() else { return };
        let (is_elected, request) = (candidate.is_elected(), candidate.request());
        out.extend(request.map(|request| Output::Answer { request, result: Err(why) }));
        if request.is_none() && !is_elected && self.outside.is_none() {
            let until = now + PATIENCE;
            self.part = Part::Candidate(Candidate { until, ..Candidate::recovering() });
            return;
        }
        self.part = Part::Replica(Replica::fenced(true));
        self.says_that_it_follows(|_| true, out);
    }
}
