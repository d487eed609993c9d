//! A replica: follows a primary, promises epochs, and finds out where its log left the others'.
//!
//! ```text
//!   Idle ─Follow─► Promising ─recorded, settled─► Matching ─hashes agree─┬─ nothing behind ─► Following
//!                                                                         ├─ Cutting ─ Cut ──►    "
//!                                                    diverged, split brain┘   (rescue first)
//!                              └─ behind the primary's log ─► Taking ─► Cutting: installed (`behind`)
//! ```
//!
//! # Invariants
//! 1. Nothing is cut that the primary's log has too: the common place is found anew from both histories, whatever the
//!    primary believes this log to be.
//! 2. What is known to be committed is cut only for a log in which a later epoch was opened by force.
//! 3. Outside `sync`, or where it holds what was decided, a tail of an epoch that the primary's log does not know is cut
//!    only for a forced epoch.
//! 4. An acknowledgement tells what this disk holds, in the epoch that is followed.
//!
//! # Not here
//! How a replica becomes primary (`candidate`), rescue files (the node, at [`Output::Cut`]).

use super::machine::{Part, Replication};
use super::rules::Rule;
use super::wish::Wish;
use super::{
    Ack, Append, Closing, ClusterConfig, Divergence, Event, Follow, Heartbeat, Link, Message, Output, Outputs,
    Promised, Refused, RefusedWhy,
};
use crate::types::{AckLevel, Epoch, Hash, Mode, NodeId, Version};

/// What a replica is doing.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) stage: Stage,
    /// The primary that is followed, or was last.
    pub(super) leader: Option<Leader>,
    /// The operator wants this node to be primary.
    pub(super) wish: Option<Wish>,
    /// A promise that was asked for and is not durable, or not told, yet.
    owed: Option<(Link, NodeId, Epoch)>,
    /// This node was primary and gives its term away.
    handing: Option<(Link, Epoch, Version)>,
    pub(super) fenced: bool,
    pub(super) diverged: bool,
    pub(super) split_brain: bool,
    pub(super) refused: bool,
}

/// How far a replica is with an offer.
#[derive(Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    Promising(Link, Follow),
    Matching(Link, Follow),
    Cutting(Link, Follow),
    /// A snapshot is on its way.
    Taking(Link, Follow),
    Following(Link, Epoch),
}

/// What a replica knows of its primary.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    pub(super) id: NodeId,
    pub(super) committed: Version,
    pub(super) head: Version,
    pub(super) set: Vec<NodeId>,
    /// What it has first said to be decided.
    pub(super) first_word: Option<Version>,
}

impl Replica {
    /// What a node is that has heard of a higher epoch.
    pub(super) fn fenced(fenced: bool) -> Self {
        Self { fenced, ..Self::default() }
    }

    pub(super) fn follows(&self, link: Link) -> bool {
        matches!(self.stage, Stage::Following(following, _) if following == link)
    }

    pub(super) fn following(&self) -> Option<Link> {
        if let Stage::Following(link, _) = self.stage { Some(link) } else { None }
    }

    /// Where a snapshot comes from.
    pub(super) fn taking(&self) -> Option<Link> {
        if let Stage::Taking(link, _) = self.stage { Some(link) } else { None }
    }

    pub(super) fn primary(&self) -> Option<NodeId> {
        self.leader.as_ref().map(|leader| leader.id)
    }

    /// Whether it is not in the middle of something.
    pub(super) fn is_idle_or_follows(&self) -> bool {
        matches!(self.stage, Stage::Idle | Stage::Following(..)) && self.handing.is_none() && self.owed.is_none()
    }

    pub(super) fn hands_over(&mut self, link: Link, epoch: Epoch, head: Version) {
        self.handing = Some((link, epoch, head));
    }
}

impl Replication {
    pub(super) fn replica_mut(&mut self) -> Option<&mut Replica> {
        if let Part::Replica(replica) = &mut self.part { Some(replica) } else { None }
    }

    pub(super) fn replica_lost_link(&mut self, link: Link) {
        if let Part::Replica(replica) = &mut self.part {
            let is_of = match &replica.stage {
                Stage::Promising(of, _) | Stage::Matching(of, _) | Stage::Taking(of, _) => *of == link,
                Stage::Following(of, _) => *of == link,
                // The cut goes on; what follows it begins with the next link.
                Stage::Idle | Stage::Cutting(..) => false,
            };
            if is_of {
                replica.stage = Stage::Idle;
            }
        }
        self.candidate_lost_link(link);
    }

    pub(super) fn on_follow(&mut self, link: Link, from: NodeId, follow: Follow, out: &mut Outputs) {
        let promised = self.promised();
        let history = super::History::new(follow.history.clone()).filter(|_| follow.epoch.owner == from);
        let Some(history) = history else { return self.close(link, Closing::Protocol, out) };
        // What it says of its log now goes before its hello, which may be from before it had one.
        let peer = self.peer_mut(from);
        (peer.history, peer.head) = (history, peer.head.max(follow.head));
        if follow.epoch < promised && self.rules.hold(Rule::LowerEpochRefused) {
            if self.recorded.promised <= follow.epoch {
                // The higher epoch may not be spoken of yet: the next hello tells it.
                return self.close(link, Closing::Again, out);
            }
            let refused = Refused { promised: self.recorded.promised, why: RefusedWhy::Fenced };
            return self.send(link, Message::Refused(refused), out);
        }
        if !self.heeds(from) {
            let refused = Refused { promised: self.recorded.promised, why: RefusedWhy::NotAMember };
            return self.send(link, Message::Refused(refused), out);
        }
        match &self.part {
            Part::Primary(primary) if primary.epoch >= follow.epoch => return,
            Part::Primary(_) | Part::Candidate(_) => self.become_replica(follow.epoch, out),
            Part::Replica(_) => {}
        }
        let epoch = follow.epoch;
        let (adrift, lacks) = (self.goes_adrift(&follow), self.lacks_without(&follow));
        if epoch > self.promised() || adrift && !self.wanted.adrift || ![0, self.wanted.lacks].contains(&lacks) {
            let standing = self.promise(epoch);
            let (adrift, lacks) = (standing.adrift || adrift, if lacks > 0 { lacks } else { standing.lacks });
            self.want(super::Standing { adrift, lacks, ..standing }, out);
        }
        if let Some(replica) = self.replica_mut() {
            if matches!(replica.stage, Stage::Cutting(..)) {
                // The log is being cut for another offer: this one is looked at when that is done.
                return self.close(link, Closing::Again, out);
            }
            replica.stage = Stage::Promising(link, follow);
        }
    }

    pub(super) fn progress_replica(&mut self, out: &mut Outputs) {
        self.record_next(out);
        self.match_logs(out);
        self.follow_commit(out);
        self.progress_wish(out);
        self.comes_ashore(out);
        self.take_over(out);
    }

    /// The promise is durable and the log stands still: its hash at the common place is read.
    fn match_logs(&mut self, out: &mut Outputs) {
        let (settled, recorded, is_full) = (self.is_settled(), self.recorded.promised, self.is_full());
        let Part::Replica(replica) = &self.part else { return };
        let Stage::Promising(link, follow) = &replica.stage else { return };
        let is_recorded = recorded >= follow.epoch || !self.rules.hold(Rule::LowerEpochRefused);
        let marks = |standing: &super::Standing| (standing.adrift, standing.lacks);
        let is_recorded = is_recorded && marks(&self.recorded) == marks(&self.wanted);
        if !settled || !is_recorded || is_full {
            return;
        }
        let (link, follow) = (*link, follow.clone());
        let theirs = super::History::new(follow.history.clone()).expect("checked when it came");
        let common = self.log.history.common(self.log.appended, &theirs, follow.head);
        if matches!(self.may_cut(common, &follow), Verdict::SplitBrain) && self.awaits_value(follow.epoch, common) {
            return;
        }
        if follow.snapshot.is_some() && common < follow.common.version {
            return self.take_snapshot(link, follow, common, out);
        }
        if follow.common.version > self.log.appended {
            // It goes by an older word of ours.
            if let Some(replica) = self.replica_mut() {
                replica.stage = Stage::Idle;
            }
            return self.say_hello(link, out);
        }
        out.push(Output::ReadHash { link, version: follow.common.version });
        if let Some(replica) = self.replica_mut() {
            replica.stage = Stage::Matching(link, follow);
        }
    }

    pub(super) fn on_hash(&mut self, link: Link, version: Version, hash: Option<Hash>, out: &mut Outputs) {
        match &mut self.part {
            Part::Replica(replica) => {
                let stage = std::mem::take(&mut replica.stage);
                match stage {
                    Stage::Matching(of, follow) if of == link && follow.common.version == version => {
                        self.compare(link, follow, hash, out);
                    }
                    other => replica.stage = other,
                }
            }
            Part::Primary(_) => {
                let id = self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| peer.id);
                match (id, hash) {
                    (Some(id), Some(hash)) => self.offer_with(id, link, version, hash, out),
                    _ => self.close(link, Closing::Again, out),
                }
            }
            Part::Candidate(_) => {}
        }
    }

    /// Whether an offer is older than what its primary has sent since, on another connection: in one term it takes nothing
    /// back, so a log that ends in that term ends no later than it does. By an old offer what was acknowledged would be cut.
    fn is_outdated(&self, follow: &Follow) -> bool {
        self.log.history.last() == follow.epoch && self.log.appended > follow.head
    }

    /// What was offered on this connection is not to be judged any more: another one brings what holds now.
    fn judge_no_more(&mut self, link: Link, out: &mut Outputs) {
        if let Some(replica) = self.replica_mut() {
            replica.stage = Stage::Idle;
        }
        self.close(link, Closing::Again, out);
    }

    fn compare(&mut self, link: Link, follow: Follow, hash: Option<Hash>, out: &mut Outputs) {
        // Where this log begins behind the common place, the histories alone show that it is one.
        let is_there = follow.common.version.saturating_add(1) >= self.log.oldest;
        if is_there && hash != Some(follow.common.hash) && self.rules.hold(Rule::HashCompared) {
            return self.diverge(link, follow.common.version, out);
        }
        let theirs = super::History::new(follow.history.clone()).expect("checked when it came");
        let common = self.log.history.common(self.log.appended, &theirs, follow.head).max(follow.common.version);
        if common == self.log.appended {
            return self.follow(link, &follow, out);
        }
        if common == follow.head && self.is_outdated(&follow) && self.rules.hold(Rule::OutdatedOffer) {
            return self.judge_no_more(link, out);
        }
        match self.may_cut(common, &follow) {
            Verdict::Cut if common + 1 < self.log.oldest => self.begin_anew(link, follow, common, out),
            Verdict::Cut => {
                self.cut(common, follow.epoch, out);
                if let Some(replica) = self.replica_mut() {
                    replica.stage = Stage::Cutting(link, follow);
                }
            }
            Verdict::Diverged => self.diverge(link, common, out),
            Verdict::SplitBrain => self.say_split_brain(link, follow.epoch, common, out),
        }
    }

    pub(super) fn say_split_brain(&mut self, link: Link, epoch: Epoch, common: Version, out: &mut Outputs) {
        if self.awaits_value(epoch, common) {
            // Another term is there by now.
            return self.judge_no_more(link, out);
        }
        if let Some(replica) = self.replica_mut()
            && !std::mem::replace(&mut replica.split_brain, true)
        {
            out.push(Output::Event(Event::SplitBrain));
        }
        self.send(link, Message::SplitBrain { epoch }, out);
    }

    /// Whether what this log holds behind the common place may be set aside for the primary's log.
    pub(super) fn may_cut(&self, common: Version, follow: &Follow) -> Verdict {
        let theirs = super::History::new(follow.history.clone()).expect("checked when it came");
        let term_forced = |epoch: Epoch| {
            let same =
                |start: &&super::EpochStart| (start.epoch.number, start.epoch.owner) == (epoch.number, epoch.owner);
            theirs.starts().iter().filter(same).any(|start| start.forced)
        };
        let forced_since = theirs.starts().iter().any(|start| start.forced && start.first > common);
        let outside = |config: &ClusterConfig| config.replication != Mode::Sync;
        let outside_sync = follow.outside_sync || self.log.configs.in_force().iter().any(|(_, config)| outside(config));
        let unknown = self.log.history.behind(common).any(|start| !theirs.has_term(start.epoch));
        let decided = common < self.log.committed && !forced_since;
        let named = term_forced(follow.epoch) || self.is_by_value(follow.epoch, common);
        let stops = (outside_sync || decided) && !named && self.rules.hold(Rule::StopOnSplitBrain);
        match (unknown && stops, decided) {
            (true, _) => Verdict::SplitBrain,
            (false, true) => Verdict::Diverged,
            (false, false) => Verdict::Cut,
        }
    }

    pub(super) fn diverge(&mut self, link: Link, at: Version, out: &mut Outputs) {
        if let Some(replica) = self.replica_mut()
            && !std::mem::replace(&mut replica.diverged, true)
        {
            out.push(Output::Event(Event::Diverged { version: at, what: Divergence::Log }));
        }
        self.close(link, Closing::Diverged, out);
    }

    pub(super) fn cut(&mut self, to: Version, for_epoch: Epoch, out: &mut Outputs) {
        assert!(to < self.log.appended && self.is_settled(), "only a log that stands still is cut");
        self.cutting = true;
        out.push(Output::Cut { to, committed: self.log.committed, for_epoch });
        self.log.history.cut(to);
        (self.log.appended, self.log.durable) = (to, to);
        self.log.committed = self.log.committed.min(to);
        self.log.applied = self.log.applied.min(to);
    }

    pub(super) fn on_cut(&mut self, applied: Version, configs: Vec<(Version, ClusterConfig)>, out: &mut Outputs) {
        assert!(applied <= self.log.committed, "a service goes back at least as far as the log");
        assert!(std::mem::take(&mut self.cutting), "only what was asked for is cut");
        self.log.applied = applied;
        self.log.configs = super::config::Configs::new(configs);
        match &mut self.part {
            Part::Replica(replica) => {
                // Another offer may have come meanwhile: it is looked at now that the log stands still.
                if let Stage::Cutting(link, follow) = &replica.stage
                    && let (link, follow) = (*link, follow.clone())
                    && let Stage::Cutting(..) = std::mem::take(&mut replica.stage)
                    && self.links.iter().any(|state| state.link == link)
                    && follow.epoch >= self.promised()
                {
                    self.follow(link, &follow, out);
                }
            }
            Part::Candidate(_) => self.candidate_has_cut(),
            Part::Primary(_) => unreachable!("a primary cuts nothing"),
        }
    }

    fn follow(&mut self, link: Link, follow: &Follow, out: &mut Outputs) {
        let id = follow.epoch.owner;
        let Some(replica) = self.replica_mut() else { return };
        replica.stage = Stage::Following(link, follow.epoch);
        replica.leader = Some(Leader { id, committed: 0, head: follow.head, set: Vec::new(), first_word: None });
        (replica.fenced, replica.split_brain, replica.diverged, replica.refused) = (false, false, false, false);
        out.push(Output::Event(Event::Following(id)));
        self.forget_what_is_lacking(follow, out);
        let ack = self.ack();
        self.send(link, Message::Ack(ack), out);
    }

    pub(super) fn ack(&self) -> Ack {
        let durable = if self.rules.hold(Rule::ReplicaSync) { self.log.durable } else { self.log.appended };
        Ack { epoch: self.promised(), received: self.log.appended, durable, applied: self.log.applied }
    }

    /// Tells a primary whose epoch is over that it is: what was promised since may have reached nobody else, and who goes
    /// on in the lower epoch would wait for this node, and this node for it. Says whether it did.
    fn refuses(&mut self, link: Link, epoch: Epoch, out: &mut Outputs) -> bool {
        let promised = self.recorded.promised;
        let is_over = epoch < promised && self.rules.hold(Rule::LowerEpochRefused);
        if is_over {
            self.send(link, Message::Refused(Refused { promised, why: RefusedWhy::Fenced }), out);
        }
        is_over
    }

    pub(super) fn on_append(&mut self, link: Link, append: &Append, out: &mut Outputs) {
        if self.refuses(link, append.epoch, out) {
            return;
        }
        let Part::Replica(replica) = &mut self.part else { return };
        match &replica.stage {
            Stage::Following(of, epoch) if *of == link && *epoch == append.epoch => {}
            Stage::Promising(of, _) | Stage::Matching(of, _) | Stage::Cutting(of, _) | Stage::Taking(of, _)
                if *of == link =>
            {
                // The primary has taken an acknowledgement of an earlier offer for the answer to this one. What is dropped
                // here it would never send again on this link.
                return self.close(link, Closing::Again, out);
            }
            _ => return,
        }
        if self.is_astray_with(append) {
            // It was offered before the force had its record: the next offer names it, and is judged.
            return self.judge_no_more(link, out);
        }
        if self.is_full() || !self.take(append, out) {
            if !self.is_full() {
                self.close(link, Closing::Protocol, out);
            }
            return;
        }
        if let Some(replica) = self.replica_mut()
            && let Some(leader) = &mut replica.leader
        {
            leader.committed = leader.committed.max(append.committed);
            leader.head = leader.head.max(append.last);
        }
        self.note_what_is_lacking(out);
        let at_once = !self.rules.hold(Rule::ReplicaSync)
            || self.log.configs.newest().is_some_and(|config| config.ack == AckLevel::Received);
        if at_once {
            self.acknowledge(out);
        }
    }

    /// Takes records behind the last one, if that is what they are.
    pub(super) fn take(&mut self, append: &Append, out: &mut Outputs) -> bool {
        let mut last = (append.before.version, self.log.history.last());
        let fits = !self.cutting && append.before.version == self.log.appended && append.last > append.before.version;
        let ordered = append.landmarks.iter().all(|mark| {
            let after = mark.version > last.0 && mark.version <= append.last && mark.epoch >= last.1;
            last = (mark.version, mark.epoch);
            after && mark.epoch <= append.epoch
        });
        if !fits || !ordered {
            return false;
        }
        out.push(Output::Write);
        self.log.appended = append.last;
        for mark in &append.landmarks {
            self.append_known(mark.version, mark.epoch, mark.control.as_ref());
        }
        true
    }

    /// Tells the primary what this disk holds.
    pub(super) fn acknowledge(&mut self, out: &mut Outputs) {
        if let Part::Replica(replica) = &self.part
            && let Some(link) = replica.following()
        {
            let ack = self.ack();
            self.send(link, Message::Ack(ack), out);
        }
    }

    pub(super) fn on_heartbeat(&mut self, link: Link, heartbeat: Heartbeat, out: &mut Outputs) {
        if self.refuses(link, heartbeat.epoch, out) {
            return;
        }
        let Part::Replica(replica) = &mut self.part else { return };
        let Stage::Following(of, epoch) = &replica.stage else { return };
        if *of != link || *epoch != heartbeat.epoch {
            return;
        }
        if let Some(leader) = &mut replica.leader {
            leader.committed = leader.committed.max(heartbeat.committed);
            leader.head = heartbeat.head;
            leader.set = heartbeat.set;
        }
        self.note_what_is_lacking(out);
    }

    /// What the primary has decided and this disk holds is decided here too.
    fn follow_commit(&mut self, out: &mut Outputs) {
        let Part::Replica(replica) = &self.part else { return };
        if replica.following().is_none() {
            return;
        }
        let decided = replica.leader.as_ref().map_or(0, |leader| leader.committed).min(self.log.durable);
        if decided > self.log.committed {
            self.commit(decided, out);
        }
    }

    pub(super) fn replica_has_no_room(&mut self, out: &mut Outputs) {
        let promised = self.recorded.promised;
        let Some(replica) = self.replica_mut() else { return };
        if let Some(link) = replica.following() {
            self.send(link, Message::Refused(Refused { promised, why: RefusedWhy::Storage }), out);
        }
    }

    pub(super) fn on_promise(&mut self, link: Link, from: NodeId, epoch: Epoch, out: &mut Outputs) {
        let refuse = |promised, why| Message::Refused(Refused { promised, why });
        if epoch.owner != from {
            return self.close(link, Closing::Protocol, out);
        }
        if !self.heeds(from) {
            return self.send(link, refuse(self.recorded.promised, RefusedWhy::NotAMember), out);
        }
        let again = epoch == self.promised() && matches!(self.part, Part::Replica(_));
        if epoch < self.promised() || (epoch == self.promised() && !again) {
            return self.send(link, refuse(self.recorded.promised, RefusedWhy::Fenced), out);
        }
        if self.is_full() {
            return self.send(link, refuse(self.recorded.promised, RefusedWhy::Storage), out);
        }
        if !matches!(self.part, Part::Replica(_)) {
            self.become_replica(epoch, out);
        } else if !again {
            self.want(self.promise(epoch), out);
        }
        if let Some(replica) = self.replica_mut() {
            if !matches!(replica.stage, Stage::Cutting(..)) {
                replica.stage = Stage::Idle;
            }
            replica.owed = Some((link, from, epoch));
        }
    }

    /// A promise is told when it is durable and the log stands still.
    pub(super) fn pay_promise(&mut self, out: &mut Outputs) {
        let (settled, recorded, promised) = (self.is_settled(), self.recorded.promised, self.promised());
        let Part::Replica(replica) = &mut self.part else { return };
        if let Some((link, epoch, head)) = replica.handing.filter(|(_, epoch, _)| recorded >= *epoch) {
            replica.handing = None;
            if epoch == promised && self.links.iter().any(|state| state.link == link) {
                self.send(link, Message::HandOver { epoch, head }, out);
            }
            return;
        }
        let Some((link, from, epoch)) = replica.owed else { return };
        if epoch < promised {
            replica.owed = None;
        } else if recorded >= epoch && settled {
            replica.owed = None;
            if self.peer(from).is_some_and(|peer| peer.link == Some(link)) {
                let promised = Promised {
                    epoch,
                    head: self.log.durable,
                    committed: self.log.committed,
                    history: self.log.history.starts().to_vec(),
                };
                self.send(link, Message::Promised(promised), out);
            }
        }
    }

    pub(super) fn on_fetch(&mut self, link: Link, from: NodeId, epoch: Epoch, after: Version, out: &mut Outputs) {
        let committed = self.log.committed;
        if epoch != self.promised() || epoch.owner != from || !self.is_settled() || after > self.log.durable {
            return;
        }
        let last = self.log.durable.min(after + 1024);
        if last > after {
            self.said(link);
            out.push(Output::Stream { link, epoch, after, last, committed, adopt: true });
        }
    }

    pub(super) fn on_refused(&mut self, from: NodeId, refused: Refused, out: &mut Outputs) {
        match refused.why {
            RefusedWhy::Fenced | RefusedWhy::NotAMember => {
                let is_own = matches!(self.part, Part::Primary(_)) || self.is_recovering();
                if refused.promised > self.promised() && is_own && self.heeds(from) {
                    return self.become_replica(refused.promised, out);
                }
                if refused.why == RefusedWhy::NotAMember
                    && let Some(replica) = self.replica_mut()
                {
                    replica.refused = true;
                }
                self.candidate_was_refused(from, refused.promised, out);
            }
            RefusedWhy::Storage => {
                self.peer_mut(from).full = true;
                self.candidate_was_refused(from, Epoch::default(), out);
            }
            RefusedWhy::CannotHandOver => self.wish_was_refused(out),
            RefusedWhy::Twin => self.on_twin(from, out),
        }
    }
}

/// What may be done with records that the primary's log does not have.
pub(super) enum Verdict {
    Cut,
    SplitBrain,
    Diverged,
}
