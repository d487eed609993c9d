//! A candidate that has its log: whether it may lead, what is recorded before it does, and the term begins.

use super::{Promise, Purpose, Stage};
use crate::limits::MEMBERS_MAX;
use crate::replication::machine::{Part, Replication};
use crate::replication::primary::{Phase, Primary};
use crate::replication::rules::Rule;
use crate::replication::{ClusterConfig, NotPromoted, Outputs, Standing};
use crate::types::NodeId;

impl Replication {
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
    pub(super) fn stand(&mut self, out: &mut Outputs) {
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
    pub(super) fn take_office(&mut self, out: &mut Outputs) {
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
}
