//! Who is a member, and by which rules: the primary appends each change to the log.

use super::Phase;
use crate::limits::MEMBERS_MAX;
use crate::replication::links::Peer;
use crate::replication::machine::{Part, Replication};
use crate::replication::{ClusterConfig, ControlData, Event, Member, NotPromoted, Output, Outputs};
use crate::types::{NodeId, Role, methods};

impl Replication {
    /// Records what was asked for, one change at a time.
    pub(super) fn change_config(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &self.part else { return };
        if primary.phase != Phase::Open || primary.split_brain || self.is_full() || self.now < primary.change_at {
            return;
        }
        if self.log.configs.newest_version() > self.log.committed {
            return;
        }
        let Some(newest) = self.log.configs.newest().cloned() else { return };
        if primary.removing.is_some_and(|(_, id)| !newest.names(id)) {
            self.answer_removal(Ok(()), out);
        }
        let mut config = self.asked.applied_to(&newest);
        let mut changed = Vec::new();
        let mut dismissed = None;
        if let Some((_, id)) = self.primary_mut().and_then(|primary| primary.removing) {
            config.members.retain(|member| member.id != id);
            dismissed = Some(id);
            changed.push(Event::Removed(id));
        } else if let Some(member) = self.newcomer(&config) {
            changed.push(Event::Added(member.id));
            config.members.push(member);
        }
        for member in &mut config.members {
            let speaks = self.peer(member.id).filter(|peer| peer.link.is_some());
            if let Some(peer) = speaks.filter(|peer| peer.member != *member) {
                *member = peer.member.clone();
            }
        }
        if let Some(refused) = dismissed.and_then(|_| self.removal_is_stuck(&config)) {
            return self.answer_removal(Err(refused), out);
        }
        self.dismissed.extend(dismissed);
        if config == newest {
            self.asked = Default::default();
            return;
        }
        self.append_control(methods::CONFIG, ControlData { config, forced: false, restored: None }, out);
        out.extend(changed.into_iter().map(Output::Event));
        let idle: Vec<NodeId> = self.peers.iter().filter(|peer| peer.link.is_some()).map(|peer| peer.id).collect();
        idle.into_iter().for_each(|id| self.offer(id, out));
    }

    /// A node that has dialled in and was never a member.
    fn newcomer(&self, config: &ClusterConfig) -> Option<Member> {
        let room = config.members.len() < MEMBERS_MAX;
        let new = |peer: &&Peer| {
            let is_stranger = !peer.joined && !config.names(peer.id) && !self.dismissed.contains(&peer.id);
            // One that has promised another's later term would be named here and follow there.
            let is_free = peer.promised <= self.promised();
            peer.link.is_some() && is_stranger && is_free && peer.role == Role::Replica
        };
        self.peers.iter().filter(|_| room).find(new).map(|peer| peer.member.clone())
    }

    pub(super) fn answer_removal(&mut self, result: Result<(), NotPromoted>, out: &mut Outputs) {
        if let Some(primary) = self.primary_mut()
            && let Some((request, _)) = primary.removing.take()
        {
            out.push(Output::Answer { request, result });
        }
    }

    pub(in crate::replication) fn on_remove_member(
        &mut self,
        request: u64,
        id: NodeId,
        force: bool,
        out: &mut Outputs,
    ) {
        // By force also one whose removal is in the log and cannot be committed, because its own word is needed for that.
        let named = self.log.configs.newest().is_some_and(|config| config.names(id));
        let known = (named || force && self.log.configs.name(id)) && id != self.me.id;
        let refused = match &self.part {
            Part::Primary(_) if !known => Some(NotPromoted::NoSuchMember),
            Part::Primary(primary) if !force && primary.removing.is_some() => Some(NotPromoted::Busy),
            Part::Primary(primary) if !force && primary.phase != Phase::Open => Some(NotPromoted::Busy),
            Part::Primary(_) => None,
            Part::Candidate(_) | Part::Replica(_) => Some(NotPromoted::NotReady),
        };
        if let Some(refused) = refused {
            out.push(Output::Answer { request, result: Err(refused) });
        } else if force {
            self.force_epoch(request, Some(id), out);
        } else if let Some(primary) = self.primary_mut() {
            primary.removing = Some((request, id));
        }
    }

    /// Why the record of a removal would never be committed as things are: the rule of now and the one without the member
    /// must both find enough that answer. Once recorded it would be in nobody's power to take back.
    fn removal_is_stuck(&self, config: &ClusterConfig) -> Option<NotPromoted> {
        let present: Vec<NodeId> = self.recorded.set.iter().copied().filter(|id| !self.is_late(*id)).collect();
        let is_possible = self.all_allow(&present) && config.allows_set(&present);
        (!is_possible).then_some(NotPromoted::NotEnough { present: present.len() })
    }
}
