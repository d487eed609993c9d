//! Connections and the nodes behind them.
//!
//! ```text
//!   Connected ─► Hello both ways ─► one link for each peer; an older one is closed
//! ```
//!
//! # Invariants
//! 1. A peer has at most one link; what it acknowledged on another does not count.
//! 2. Peers are in order of their identity.

use super::machine::{Part, Replication, TICK};
use super::rules::Rule;
use super::streaming::Flow;
use super::{Closing, Hello, History, Link, Member, Message, Output, Outputs, Refused, RefusedWhy, Time};
use crate::limits::MEMBERS_MAX;
use crate::types::{Epoch, NodeId, Role, Version};

/// A node that has nothing to say says so, this often.
pub(super) const HEARTBEAT: Time = 300_000;
/// A link on which nothing is heard for so long is given up.
const SILENCE: Time = 3_000_000;
/// Whoever was heard so lately lives: two signs of life may be late.
const LIVELY: Time = 3 * HEARTBEAT;
/// Nodes that are spoken with: members, those that join, and those that were members.
const PEERS_MAX: usize = 2 * MEMBERS_MAX;

/// Returns that are remembered: more than any hold asks for.
const RETURNS_KEPT: usize = 16;

/// A connection, and who is at its other end once that is known.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) link: Link,
    pub(super) dialed: bool,
    pub(super) since: Time,
    pub(super) sent: Time,
    pub(super) peer: Option<NodeId>,
    /// What this node last said there that it is.
    said: Option<Role>,
}

/// What is known of another node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) member: Member,
    pub(super) link: Option<Link>,
    pub(super) boot: u64,
    pub(super) heard: Time,
    pub(super) role: Role,
    pub(super) promised: Epoch,
    pub(super) head: Version,
    pub(super) committed: Version,
    pub(super) history: History,
    pub(super) joined: bool,
    /// Since its hello it was told that its epoch is over.
    warned: bool,
    /// The process that was refused last because another one with its identity is connected.
    twin: u64,
    /// It said goodbye: it is not waited for, until it says hello.
    pub(super) gone: bool,
    /// Its disk had no room when it last spoke of that: it is not waited for either.
    pub(super) full: bool,
    pub(super) flow: Flow,
    /// The snapshot that it was offered on this link.
    pub(super) fed: Option<Version>,
    /// What it has acknowledged in this epoch, on this link.
    pub(super) received: Version,
    pub(super) durable: Version,
    pub(super) applied: Version,
    /// The commit position that it was told.
    pub(super) told: Version,
    /// The last version whose result it was told, and when.
    pub(super) compared: Version,
    pub(super) compared_at: Time,
    /// Its acknowledgement is required although it is not recorded yet; since when.
    pub(super) joining: Option<Time>,
    /// When it came back into the in-sync set, or tried to, the last few times.
    pub(super) returns: Vec<Time>,
    /// When it was last found late, and what it had acknowledged then.
    pub(super) left: Option<(Time, Version)>,
    /// What its disk had in this term by its own word, on whatever link, and the process that said so.
    pub(super) confirmed: Version,
    pub(super) confirmed_by: u64,
    /// It came back with less, and is not there again yet.
    pub(super) went_back: Option<Version>,
}

/// What people may know of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Who it is.
    pub member: Member,
    /// Whether there is a link.
    pub connected: bool,
    /// Whether the in-sync set names it, as recorded.
    pub in_sync: bool,
    /// What it holds on its disk, as far as this node knows.
    pub acked: Version,
    /// The snapshot that it is being given.
    pub fed: Option<Version>,
    /// It came back with less than it had confirmed on its disk, which was up to here, and is not there again yet.
    pub went_back: Option<Version>,
    /// When it was heard last; `None` when never.
    pub heard: Option<Time>,
    /// The highest epoch that it said it has promised.
    pub promised: Epoch,
}

impl Peer {
    fn new(member: Member, now: Time) -> Self {
        Self {
            id: member.id,
            member,
            link: None,
            boot: 0,
            heard: now,
            role: Role::Replica,
            promised: Epoch::default(),
            head: 0,
            committed: 0,
            history: History::default(),
            joined: false,
            warned: false,
            twin: 0,
            gone: false,
            full: false,
            flow: Flow::Idle,
            fed: None,
            received: 0,
            durable: 0,
            applied: 0,
            told: 0,
            compared: 0,
            compared_at: 0,
            joining: None,
            returns: Vec::new(),
            left: None,
            confirmed: 0,
            confirmed_by: 0,
            went_back: None,
        }
    }

    /// Whether it has said that it cannot acknowledge anything now.
    pub(super) fn is_away(&self) -> bool {
        self.gone || self.full
    }

    pub(super) fn came_back(&mut self, now: Time) {
        self.returns.push(now);
        if self.returns.len() > RETURNS_KEPT {
            self.returns.remove(0);
        }
    }

    /// What was said in an earlier epoch, or on an earlier link, counts no more.
    pub(super) fn forget_flow(&mut self) {
        (self.flow, self.fed) = (Flow::Idle, None);
        (self.received, self.durable, self.applied, self.told, self.compared) = (0, 0, 0, 0, 0);
        self.joining = None;
    }
}

impl Replication {
    pub(super) fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.binary_search_by(|peer| peer.id.cmp(&id)).ok().map(|place| &self.peers[place])
    }

    pub(super) fn peer_mut(&mut self, id: NodeId) -> &mut Peer {
        let place = self.peers.binary_search_by(|peer| peer.id.cmp(&id)).expect("a peer that has a link is known");
        &mut self.peers[place]
    }

    pub(super) fn known_links(&self) -> Vec<Link> {
        self.peers.iter().filter_map(|peer| peer.link).collect()
    }

    pub(super) fn send(&mut self, link: Link, message: Message, out: &mut Outputs) {
        self.said(link);
        out.push(Output::Send { link, message });
    }

    /// Something goes out on a link: it needs no sign of life for a while.
    pub(super) fn said(&mut self, link: Link) {
        let now = self.now;
        if let Some(state) = self.links.iter_mut().find(|state| state.link == link) {
            state.sent = now;
        }
    }

    pub(super) fn close(&mut self, link: Link, why: Closing, out: &mut Outputs) {
        if self.links.iter().any(|state| state.link == link) {
            self.on_closed(link);
            out.push(Output::Close { link, why });
        }
    }

    pub(super) fn on_connected(&mut self, link: Link, dialed: bool, out: &mut Outputs) {
        assert!(self.links.iter().all(|state| state.link != link), "a link has a number of its own");
        self.links.push(LinkState { link, dialed, since: self.now, sent: self.now, peer: None, said: None });
        self.say_hello(link, out);
    }

    /// Says where this node stands; and at once that it is not to be waited for, if it is not.
    pub(super) fn say_hello(&mut self, link: Link, out: &mut Outputs) {
        let hello = self.hello();
        if let Some(state) = self.links.iter_mut().find(|state| state.link == link) {
            state.said = Some(hello.role);
        }
        self.send(link, Message::Hello(hello), out);
        if self.diverged.is_some() {
            self.send(link, Message::Goodbye, out);
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            member: self.me.clone(),
            boot: self.boot,
            role: if matches!(self.part, Part::Replica(_)) { Role::Replica } else { Role::Primary },
            // Spoken of only when it is durable.
            promised: self.recorded.promised,
            head: self.log.durable,
            committed: self.log.committed,
            history: self
                .log
                .history
                .starts()
                .iter()
                .copied()
                .filter(|start| start.first <= self.log.durable)
                .collect(),
            joined: self.log.durable > 0 && self.has_joined(),
        }
    }

    /// Whether this node is a member or was one. One that only a record names which is not known to be committed is none:
    /// whoever leads may have no such record, and may add it again.
    fn has_joined(&self) -> bool {
        if self.is_restored() {
            return false;
        }
        let mut in_force = self.log.configs.in_force().iter().map(|(_, config)| config.names(self.me.id));
        in_force.next().unwrap_or(true) || !in_force.any(|names_me| names_me)
    }

    /// Whether the log came from a backup: it names members, not this node, which has never promised anything either.
    pub fn is_restored(&self) -> bool {
        let configs = &self.log.configs;
        self.recorded.promised == Epoch::default() && !configs.in_force().is_empty() && !configs.name(self.me.id)
    }

    pub(super) fn on_closed(&mut self, link: Link) {
        let Some(place) = self.links.iter().position(|state| state.link == link) else { return };
        let state = self.links.remove(place);
        if let Some(id) = state.peer
            && self.peer(id).is_some_and(|peer| peer.link == Some(link))
        {
            let peer = self.peer_mut(id);
            peer.link = None;
            peer.forget_flow();
            self.replica_lost_link(link);
        }
    }

    pub(super) fn on_hello(&mut self, link: Link, hello: Hello, out: &mut Outputs) {
        let id = hello.member.id;
        if id == self.me.id {
            return self.close(link, Closing::Oneself, out);
        }
        let Some(history) = History::new(hello.history) else { return self.close(link, Closing::Protocol, out) };
        if history.starts().last().is_some_and(|start| start.first > hello.head) || hello.committed > hello.head {
            return self.close(link, Closing::Protocol, out);
        }
        let place = match self.peers.binary_search_by(|peer| peer.id.cmp(&id)) {
            Ok(place) => place,
            Err(_) if self.peers.len() >= PEERS_MAX && !self.forget_a_stranger() => {
                return self.close(link, Closing::TooMany, out);
            }
            Err(_) => {
                let place = self.peers.partition_point(|peer| peer.id < id);
                self.peers.insert(place, Peer::new(hello.member.clone(), self.now));
                place
            }
        };
        if let Some(old) = self.peers[place].link.filter(|&old| old != link) {
            if self.peers[place].boot != hello.boot && self.is_lively(place) {
                return self.refuse_twin(link, place, hello.boot, out);
            }
            if self.peers[place].boot == hello.boot && !self.prefers(link, old, id) {
                return self.close(link, Closing::Replaced, out);
            }
            self.close(old, Closing::Replaced, out);
        }
        self.look_back(id, (hello.boot, hello.promised), hello.head, out);
        let (now, hello_role) = (self.now, hello.role);
        let again = self.peers[place].link == Some(link);
        let peer = &mut self.peers[place];
        peer.forget_flow();
        peer.link = Some(link);
        peer.member = hello.member;
        (peer.boot, peer.heard, peer.role, peer.promised) = (hello.boot, now, hello.role, hello.promised);
        (peer.head, peer.committed, peer.history, peer.joined) = (hello.head, hello.committed, history, hello.joined);
        (peer.gone, peer.full, peer.warned) = (false, false, false);
        if let Some(state) = self.links.iter_mut().find(|state| state.link == link) {
            state.peer = Some(id);
        }
        self.meet(link, id, out);
        let said = self.links.iter().find(|state| state.link == link).and_then(|state| state.said);
        // A node has become primary and wants to know where this log stands now; or it was told that this one leads, which
        // has given that up since.
        let is_outdated = self.outside.is_some() && said == Some(Role::Primary);
        if (again && hello_role == Role::Primary || is_outdated) && matches!(self.part, Part::Replica(_)) {
            self.say_hello(link, out);
        }
    }

    /// Whether its process was heard so lately that it runs.
    fn is_lively(&self, place: usize) -> bool {
        self.now.saturating_sub(self.peers[place].heard) < LIVELY
    }

    /// Another process than the one that is connected says that it is the same node.
    fn refuse_twin(&mut self, link: Link, place: usize, boot: u64, out: &mut Outputs) {
        let refused = Refused { promised: self.recorded.promised, why: RefusedWhy::Twin };
        self.send(link, Message::Refused(refused), out);
        self.note_twin(place, self.peers[place].id, boot, out);
        self.close(link, Closing::Twin, out);
    }

    /// Says once that there are two.
    fn note_twin(&mut self, place: usize, id: NodeId, boot: u64, out: &mut Outputs) {
        if std::mem::replace(&mut self.peers[place].twin, boot) != boot {
            out.push(Output::Event(super::Event::Twin(id)));
        }
    }

    /// This node was told that it is the second one.
    pub(super) fn on_twin(&mut self, from: NodeId, out: &mut Outputs) {
        if let Ok(place) = self.peers.binary_search_by(|peer| peer.id.cmp(&from)) {
            self.note_twin(place, self.me.id, self.boot, out);
        }
    }

    /// Of two links between the same two processes both ends keep the same one.
    fn prefers(&self, new: Link, old: Link, other: NodeId) -> bool {
        let dialed_by_lower = |link: Link| {
            let dialed = self.links.iter().any(|state| state.link == link && state.dialed);
            dialed == (self.me.id < other)
        };
        dialed_by_lower(new) || !dialed_by_lower(old)
    }

    /// Makes room for a peer that is known.
    fn forget_a_stranger(&mut self) -> bool {
        let place = self.peers.iter().position(|peer| peer.link.is_none() && !self.log.configs.name(peer.id));
        place.map(|place| self.peers.remove(place)).is_some()
    }

    /// What a node does when it hears who is there.
    fn meet(&mut self, link: Link, id: NodeId, out: &mut Outputs) {
        let peer = self.peer_mut(id);
        let (promised, leads) = (peer.promised, peer.role == Role::Primary && peer.promised.owner == id);
        let is_replica = matches!(self.part, Part::Replica(_));
        // A restart as primary may find that the term which this node has promised is another's, and goes on.
        let is_over = promised > self.promised() || promised == self.promised() && leads;
        if is_over && !is_replica && self.heeds(id) {
            self.become_replica(promised, out);
            return;
        }
        match &self.part {
            Part::Primary(_) => self.offer(id, out),
            // It is asked for its promise where it is counted.
            Part::Candidate(_) => {}
            Part::Replica(_) => self.ask_again(link, out),
        }
    }

    pub(super) fn close_silent(&mut self, out: &mut Outputs) {
        let now = self.now;
        let silent: Vec<Link> = self
            .links
            .iter()
            .filter(|state| {
                let heard = state.peer.and_then(|id| self.peer(id)).map_or(state.since, |peer| peer.heard);
                now.saturating_sub(heard.max(state.since)) >= SILENCE
            })
            .map(|state| state.link)
            .collect();
        for link in silent {
            self.close(link, Closing::Silent, out);
        }
    }

    /// Whoever leads in a lower epoch than this node has promised is told so once. What was promised may have reached nobody
    /// else, and a primary that this node does not follow sends nothing here that could be refused.
    pub(super) fn tell_what_is_over(&mut self, out: &mut Outputs) {
        let promised = self.recorded.promised;
        if self.is_under_way() || !self.rules.hold(Rule::LowerEpochRefused) {
            return;
        }
        let leads_less = |peer: &&mut Peer| {
            let leads = peer.role == Role::Primary && peer.promised.owner == peer.id;
            leads && peer.promised < promised && !peer.warned
        };
        let mut links = Vec::new();
        for peer in self.peers.iter_mut().filter(leads_less) {
            if let Some(link) = peer.link {
                peer.warned = true;
                links.push(link);
            }
        }
        for link in links {
            self.say_hello(link, out);
        }
    }

    pub(super) fn signs_of_life(&mut self, out: &mut Outputs) {
        let now = self.now;
        let quiet: Vec<(Link, NodeId)> = self
            .links
            .iter()
            .filter(|state| now - state.sent + TICK > HEARTBEAT)
            .filter_map(|state| state.peer.map(|peer| (state.link, peer)))
            .collect();
        for (link, id) in quiet {
            let message = match &self.part {
                Part::Replica(replica) if replica.follows(link) => Message::Ack(self.ack()),
                Part::Primary(_) if self.peer(id).is_some_and(|peer| peer.flow.is_streaming()) => self.heartbeat(id),
                _ => Message::Alive,
            };
            self.send(link, message, out);
        }
    }
}
