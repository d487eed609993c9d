//! What a primary offers: whether it is followed, and what is cut for it.

use super::{Leader, Stage};
use crate::replication::config::Configs;
use crate::replication::machine::{Part, Replication};
use crate::replication::rules::Rule;
use crate::replication::{
    Closing, ClusterConfig, Divergence, EpochStart, Event, Follow, History, Link, Message, Output, Outputs, Refused,
    RefusedWhy, Standing,
};
use crate::types::{Epoch, Hash, Mode, NodeId, Version};

/// What may be done with records that the primary's log does not have.
pub(in crate::replication) enum Verdict {
    Cut,
    SplitBrain,
    Diverged,
}

impl Replication {
    pub(in crate::replication) fn on_follow(&mut self, link: Link, from: NodeId, follow: Follow, out: &mut Outputs) {
        let promised = self.promised();
        let history = History::new(follow.history.clone()).filter(|_| follow.epoch.owner == from);
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
            self.want(Standing { adrift, lacks, ..standing }, out);
        }
        if let Some(replica) = self.replica_mut() {
            if matches!(replica.stage, Stage::Cutting(..)) {
                // The log is being cut for another offer: this one is looked at when that is done.
                return self.close(link, Closing::Again, out);
            }
            replica.stage = Stage::Promising(link, follow);
        }
    }

    /// The promise is durable and the log stands still: its hash at the common place is read.
    pub(super) fn match_logs(&mut self, out: &mut Outputs) {
        let (settled, recorded, is_full) = (self.is_settled(), self.recorded.promised, self.is_full());
        let Part::Replica(replica) = &self.part else { return };
        let Stage::Promising(link, follow) = &replica.stage else { return };
        let is_recorded = recorded >= follow.epoch || !self.rules.hold(Rule::LowerEpochRefused);
        let marks = |standing: &Standing| (standing.adrift, standing.lacks);
        let is_recorded = is_recorded && marks(&self.recorded) == marks(&self.wanted);
        if !settled || !is_recorded || is_full {
            return;
        }
        let (link, follow) = (*link, follow.clone());
        let theirs = History::new(follow.history.clone()).expect("checked when it came");
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

    pub(in crate::replication) fn on_hash(
        &mut self,
        link: Link,
        version: Version,
        hash: Option<Hash>,
        out: &mut Outputs,
    ) {
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
    pub(super) fn judge_no_more(&mut self, link: Link, out: &mut Outputs) {
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
        let theirs = History::new(follow.history.clone()).expect("checked when it came");
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

    pub(in crate::replication) fn say_split_brain(
        &mut self,
        link: Link,
        epoch: Epoch,
        common: Version,
        out: &mut Outputs,
    ) {
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
    pub(in crate::replication) fn may_cut(&self, common: Version, follow: &Follow) -> Verdict {
        let theirs = History::new(follow.history.clone()).expect("checked when it came");
        let term_forced = |epoch: Epoch| {
            let same = |start: &&EpochStart| (start.epoch.number, start.epoch.owner) == (epoch.number, epoch.owner);
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

    pub(in crate::replication) fn diverge(&mut self, link: Link, at: Version, out: &mut Outputs) {
        if let Some(replica) = self.replica_mut()
            && !std::mem::replace(&mut replica.diverged, true)
        {
            out.push(Output::Event(Event::Diverged { version: at, what: Divergence::Log }));
        }
        self.close(link, Closing::Diverged, out);
    }

    pub(in crate::replication) fn cut(&mut self, to: Version, for_epoch: Epoch, out: &mut Outputs) {
        assert!(to < self.log.appended && self.is_settled(), "only a log that stands still is cut");
        self.cutting = true;
        out.push(Output::Cut { to, committed: self.log.committed, for_epoch });
        self.log.history.cut(to);
        (self.log.appended, self.log.durable) = (to, to);
        self.log.committed = self.log.committed.min(to);
        self.log.applied = self.log.applied.min(to);
    }

    pub(in crate::replication) fn on_cut(
        &mut self,
        applied: Version,
        configs: Vec<(Version, ClusterConfig)>,
        out: &mut Outputs,
    ) {
        assert!(applied <= self.log.committed, "a service goes back at least as far as the log");
        assert!(std::mem::take(&mut self.cutting), "only what was asked for is cut");
        self.log.applied = applied;
        self.log.configs = Configs::new(configs);
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

    pub(super) fn follow(&mut self, link: Link, follow: &Follow, out: &mut Outputs) {
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
}
