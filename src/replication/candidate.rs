//! The way to a new epoch: ask, promise, read positions, adopt the most advanced log, record, open.
//!
//! ```text
//!   operator:  Asking ──enough would──┐           (still a replica; a promise deposes a live primary, so ask first)
//!   restart:   Waiting ──table────────┴─► Promising ─► Cutting ─► Fetching ─► Taking ─► Primary
//!                  └──nobody needed──────────────────────────────────────────────┘
//!              `restart`, `elected`       `adopting`                      `office`
//! ```
//!
//! # Invariants
//! 1. Positions are read after the promises, and the adopted log is durable here before role, epoch and set are.
//! 2. Unforced, every configuration that may be in force in the adopted log allows it.
//! 3. A crash at any step leaves a burnt epoch and nothing else.

mod adopting;
mod elected;
mod office;
mod restart;

use super::machine::{Part, Replication};
use super::replica::Replica;
use super::rules::Rule;
use super::wish::Wish;
use super::{ClusterConfig, History, Link, Message, NotPromoted, Output, Outputs, Standing, Time, Waiting};
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

    pub(super) fn candidate_was_refused(&mut self, from: NodeId, promised: Epoch, out: &mut Outputs) {
        let peer = self.peer_mut(from);
        peer.promised = peer.promised.max(promised);
        let Some(candidate) = self.candidate_mut() else { return };
        candidate.refused.push(from);
        if promised > candidate.epoch {
            self.give_up(NotPromoted::Busy, out);
        }
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
