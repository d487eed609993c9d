//! What others may know of a node's protocol: for status, metrics, redirects and the node itself.

use super::links::PeerView;
use super::machine::{Part, Replication};
use super::primary::Phase;
use super::{ClusterConfig, History, Link, Member};
use crate::types::{Durability, Epoch, Mode, NodeId, NodeState, Role, Version};

impl Replication {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.me.id
    }

    /// The term that this node is in: its own, or the one that it follows or has promised.
    pub fn epoch(&self) -> Epoch {
        self.recorded.promised
    }

    /// What this node is, or tries to be again after a restart.
    pub fn role(&self) -> Role {
        match &self.part {
            Part::Primary(_) => Role::Primary,
            Part::Candidate(_) if self.is_recovering() => Role::Primary,
            Part::Candidate(_) | Part::Replica(_) => Role::Replica,
        }
    }

    /// Whether the acknowledgement of the member behind a link is waited for.
    pub fn is_awaited(&self, link: Link) -> bool {
        self.peers.iter().any(|peer| peer.link == Some(link) && self.is_required(peer.id))
    }

    /// Whether the term that this node leads, or is about to, is an operator's force.
    pub fn is_forced(&self) -> bool {
        self.wanted.primary && self.wanted.forced
    }

    /// Whether operations are taken, if the set is large enough.
    pub fn is_open(&self) -> bool {
        matches!(&self.part, Part::Primary(primary) if primary.is_open())
    }

    /// Whether the log of this node is damaged, so that it serves nothing.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// How this node is.
    pub fn state(&self) -> NodeState {
        if self.failed {
            return NodeState::Failed;
        }
        match &self.part {
            Part::Candidate(_) => NodeState::Recovering,
            Part::Primary(primary) if primary.split_brain => NodeState::SplitBrain,
            Part::Primary(_) if self.missing_replicas().is_some() || self.lacks_coordinator() => NodeState::Blocked,
            Part::Primary(primary) if matches!(primary.phase, Phase::New | Phase::Opening) => NodeState::Recovering,
            Part::Primary(_) if self.durability() == Durability::Degraded => NodeState::Degraded,
            Part::Primary(_) => NodeState::Serving,
            Part::Replica(replica) if replica.split_brain => NodeState::SplitBrain,
            Part::Replica(replica) if replica.diverged || self.diverged.is_some() => NodeState::Diverged,
            Part::Replica(replica) if replica.taking().is_some() => NodeState::CatchingUp,
            Part::Replica(replica) => match (&replica.leader, replica.following()) {
                (Some(leader), Some(_)) => self.state_behind(leader),
                _ if replica.fenced => NodeState::Fenced,
                (Some(leader), None) if !leader.set.contains(&self.me.id) => NodeState::Outdated,
                _ if replica.refused => NodeState::Outdated,
                _ => NodeState::Recovering,
            },
        }
    }

    fn state_behind(&self, leader: &super::replica::Leader) -> NodeState {
        let is_async = self.log.configs.newest().is_some_and(|config| config.replication == Mode::Async);
        let has_all = self.log.durable >= leader.head;
        match leader.set.contains(&self.me.id) {
            true => NodeState::InSync,
            false if is_async && has_all => NodeState::InSync,
            false => NodeState::CatchingUp,
        }
    }

    /// The configuration that the log says, the newest; `None` while it has none.
    pub fn config(&self) -> Option<&ClusterConfig> {
        self.log.configs.newest()
    }

    /// The primary that writes should go to, as far as this node knows.
    pub fn primary(&self) -> Option<&Member> {
        match &self.part {
            Part::Primary(_) => Some(&self.me),
            Part::Candidate(_) => None,
            Part::Replica(replica) => {
                let link = replica.following().or(replica.taking())?;
                self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| &peer.member)
            }
        }
    }

    /// The other members of the in-sync set: as recorded here, or as the primary says. In `async`, where nobody is
    /// waited for, those that have everything.
    pub fn in_sync(&self) -> Vec<NodeId> {
        match &self.part {
            Part::Primary(_) if self.never_waits() => {
                let has_all = |peer: &&super::links::Peer| {
                    peer.flow.is_streaming() && !peer.gone && peer.durable >= self.log.committed
                };
                self.peers.iter().filter(has_all).map(|peer| peer.id).collect()
            }
            Part::Primary(_) | Part::Candidate(_) => self.recorded.set.clone(),
            Part::Replica(replica) => replica.leader.as_ref().map_or(Vec::new(), |leader| leader.set.clone()),
        }
    }

    /// The last version of the primary's log, as far as this replica has heard.
    pub fn head_of_primary(&self) -> Version {
        match &self.part {
            Part::Replica(replica) => replica.leader.as_ref().map_or(0, |leader| leader.head),
            Part::Primary(_) | Part::Candidate(_) => self.log.appended,
        }
    }

    /// Operations that the primary has and this node's service has not, as far as it has heard.
    pub fn lag(&self) -> Version {
        let head = match &self.part {
            Part::Primary(_) => self.log.committed,
            Part::Replica(_) | Part::Candidate(_) => self.head_of_primary().max(self.log.committed),
        };
        head.saturating_sub(self.log.applied)
    }

    /// Whether a standing is on its way to the disk.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Whether the newest configuration is known to be committed.
    pub fn config_is_committed(&self) -> bool {
        self.log.configs.newest_version() <= self.log.committed
    }

    /// The version of the newest configuration while it is not known to be committed, and the one that holds beside it
    /// until it is.
    pub fn pending_config(&self) -> Option<(Version, &ClusterConfig)> {
        let configs = &self.log.configs;
        let holds = configs.oldest().filter(|_| configs.in_force().len() > 1 && !self.config_is_committed());
        holds.map(|config| (configs.newest_version(), config))
    }

    /// Whether this primary's own disk decides: nobody else's acknowledgement is waited for.
    pub fn decides_alone(&self) -> bool {
        matches!(self.part, Part::Primary(_))
            && self.set_is_enough()
            && self.acknowledged_by_all() == self.log.durable
            && self.peers.is_empty()
    }

    /// Names of those who hold a committed version on their disks, this node first.
    pub fn holders(&self, version: Version) -> impl Iterator<Item = &str> {
        let peers = self.peers.iter().filter(move |peer| peer.durable >= version);
        std::iter::once(self.me.name.as_str()).chain(peers.map(|peer| peer.member.name.as_str()))
    }

    /// Since which version answers rest on fewer nodes than the log names.
    pub fn alone_from(&self) -> Option<Version> {
        self.recorded.alone_from
    }

    /// The members that the log names, and whoever else is connected, beside this one.
    pub fn peers(&self) -> Vec<PeerView> {
        let in_sync = self.in_sync();
        let view = |peer: &super::links::Peer| PeerView {
            member: peer.member.clone(),
            connected: peer.link.is_some(),
            in_sync: in_sync.contains(&peer.id),
            acked: self.held_by(peer),
            fed: peer.fed,
            went_back: peer.went_back,
            heard: Some(peer.heard),
            promised: peer.promised,
        };
        let known = self.peers.iter().filter(|peer| peer.link.is_some() || self.may_be_member(peer.id));
        let mut peers: Vec<PeerView> = known.map(view).collect();
        for member in self.log.configs.newest().map_or(&[][..], |config| &config.members) {
            if member.id != self.me.id && self.peer(member.id).is_none() {
                let in_sync = in_sync.contains(&member.id);
                let (member, promised) = (member.clone(), Epoch::default());
                let (connected, acked, fed, went_back, heard) = (false, 0, None, None, None);
                peers.push(PeerView { member, connected, in_sync, acked, fed, went_back, heard, promised });
            }
        }
        peers
    }

    /// What people call a node that is or was known here.
    pub fn name_of(&self, id: NodeId) -> Option<&str> {
        let known = self.peer(id).map(|peer| &peer.member).or_else(|| (id == self.me.id).then_some(&self.me));
        let named = || self.log.configs.in_force().iter().rev().find_map(|(_, config)| config.member(id));
        known.or_else(named).map(|member| member.name.as_str())
    }

    /// Whether the log names it, or is too short to say.
    fn may_be_member(&self, id: NodeId) -> bool {
        self.log.configs.in_force().is_empty() || self.log.configs.name(id)
    }

    /// What another node holds, as far as this one knows. What it said of that outlives its connection.
    fn held_by(&self, peer: &super::links::Peer) -> Version {
        match &self.part {
            _ if peer.flow.is_streaming() => peer.durable,
            // Who came back with less has not what it had confirmed, and who was in another term meanwhile may not.
            Part::Primary(_) if peer.went_back.is_none() && peer.promised <= self.promised() => {
                peer.head.max(peer.confirmed)
            }
            Part::Replica(replica) if peer.link.is_some() && peer.link == replica.following() => {
                peer.head.max(self.head_of_primary())
            }
            _ => peer.head,
        }
    }

    /// Whether an unforced promotion of this node would be allowed now, as far as it can know without asking.
    pub fn can_promote(&self) -> bool {
        matches!(self.part, Part::Replica(_)) && !self.failed && !self.is_quarantined() && self.is_promotable()
    }

    /// The epochs of the log.
    pub fn history(&self) -> &History {
        &self.log.history
    }

    /// The last version that was given out or taken.
    pub fn appended(&self) -> Version {
        self.log.appended
    }

    /// What this node's disk holds.
    pub fn durable(&self) -> Version {
        self.log.durable
    }

    /// What is decided.
    pub fn committed(&self) -> Version {
        self.log.committed
    }

    /// What the service has applied.
    pub fn applied(&self) -> Version {
        self.log.applied
    }

    /// What a recovering node waits for.
    pub fn waiting(&self) -> Option<super::Waiting> {
        match &self.part {
            Part::Candidate(candidate) => Some(self.outlook_of(candidate)),
            Part::Primary(_) | Part::Replica(_) => None,
        }
    }

    /// Members that no link leads to: the node dials them.
    pub fn to_dial(&self) -> Vec<&Member> {
        let members = self.log.configs.in_force().iter().flat_map(|(_, config)| &config.members);
        let mut missing: Vec<&Member> = members
            .filter(|member| member.id != self.me.id && self.peer(member.id).is_none_or(|peer| peer.link.is_none()))
            .collect();
        missing.sort_by_key(|member| member.id);
        missing.dedup_by(|a, b| a.id == b.id);
        missing
    }
}
