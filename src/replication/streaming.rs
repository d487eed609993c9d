//! A primary and one replica: agree where the logs part, then records one way and acknowledgements the other.
//!
//! ```text
//!   Idle ─hello─► Matching ─hash read─► Offered ─first Ack─► Streaming
//!     ├──► Finding ─a snapshot─►  "                  (the common place is before the first record: `behind`)
//!     └───────────── the link ends, or the epoch does: back to Idle, nothing acknowledged counts ◄──┘
//! ```
//!
//! # Not here
//! Whose acknowledgement is waited for (`insync`), what the replica does with an offer (`replica`).

use super::machine::{COMMIT_SILENCE, Part, Replication};
use super::rules::Rule;
use super::{Ack, Closing, Follow, Heartbeat, Link, Message, Output, Outputs, Refused, RefusedWhy};
use crate::types::{Hash, Mode, NodeId, Position, Version};

/// Records in one message at most; the node makes more of them when they are large.
const RECORDS_PER_MESSAGE: Version = 1024;
/// Records that may be under way to one replica: enough to keep a link of 100,000 records/s and 100 ms busy.
const WINDOW: Version = 16 * 1024;

/// How far a primary is with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing was offered.
    Idle,
    /// The hash of the common place is being read.
    Matching { common: Version },
    /// It is behind the log: a snapshot is looked for.
    Finding,
    /// The peer has been told where the logs part.
    Offered { common: Version },
    /// Records go out; up to `sent` they have.
    Streaming { sent: Version },
    /// It will not follow without the operator's word.
    Stopped,
}

impl Flow {
    pub(super) fn is_streaming(self) -> bool {
        matches!(self, Flow::Streaming { .. })
    }
}

impl Replication {
    /// Tells a peer where its log and this primary's part.
    pub(super) fn offer(&mut self, id: NodeId, out: &mut Outputs) {
        let is_named = self.log.configs.name(id);
        let (history, durable, promised) = (&self.log.history, self.log.durable, self.promised());
        let Some(peer) = self.peer(id) else { return };
        let (Some(link), Flow::Idle) = (peer.link, peer.flow) else { return };
        if !is_named {
            if peer.joined || self.dismissed.contains(&id) || peer.promised > promised {
                // It was a member and is none any more, or is another's; one that never was is added first.
                let refused = Refused { promised, why: RefusedWhy::NotAMember };
                self.peer_mut(id).flow = Flow::Stopped;
                self.send(link, Message::Refused(refused), out);
            }
            return;
        }
        let common = history.common(durable, &peer.history, peer.head);
        if common + 1 < self.log.oldest {
            return self.find_snapshot(id, link, out);
        }
        self.peer_mut(id).flow = Flow::Matching { common };
        out.push(Output::ReadHash { link, version: common });
    }

    /// The hash for an offer has been read.
    pub(super) fn offer_with(&mut self, id: NodeId, link: Link, version: Version, hash: Hash, out: &mut Outputs) {
        if self.peer(id).is_none_or(|peer| peer.flow != (Flow::Matching { common: version })) {
            return;
        }
        let common = Position { epoch: self.log.history.at(version), version, hash };
        self.say_follow(id, link, common, None, out);
    }

    pub(super) fn say_follow(
        &mut self,
        id: NodeId,
        link: Link,
        common: Position,
        snapshot: Option<u64>,
        out: &mut Outputs,
    ) {
        let follow = Follow {
            epoch: self.promised(),
            common,
            history: self.log.history.starts().to_vec(),
            head: self.log.appended,
            outside_sync: self.log.configs.in_force().iter().any(|(_, config)| config.replication != Mode::Sync),
            snapshot,
        };
        self.peer_mut(id).flow = Flow::Offered { common: common.version };
        self.send(link, Message::Follow(follow), out);
    }

    pub(super) fn on_ack(&mut self, link: Link, id: NodeId, ack: Ack, out: &mut Outputs) {
        let epoch = self.promised();
        let Part::Primary(primary) = &self.part else { return };
        let flushed = primary.flushed;
        // Acknowledgements come late and from earlier terms: the network owes us nothing.
        if ack.epoch != epoch && self.rules.hold(Rule::AckEpoch) {
            return;
        }
        let peer = self.peer_mut(id);
        if peer.link != Some(link) {
            return;
        }
        let ordered = ack.applied <= ack.durable && ack.durable <= ack.received;
        match peer.flow {
            Flow::Offered { common } if ordered && (common..=flushed).contains(&ack.received) => {
                (peer.flow, peer.fed) = (Flow::Streaming { sent: ack.received }, None);
            }
            Flow::Streaming { sent } if ordered && ack.received <= sent => {}
            Flow::Offered { .. } => return self.close(link, Closing::Again, out),
            Flow::Streaming { .. } => return self.close(link, Closing::Protocol, out),
            Flow::Idle | Flow::Matching { .. } | Flow::Finding | Flow::Stopped => return,
        }
        // What it holds has grown: there is room again.
        peer.full &= ack.durable <= peer.durable;
        peer.received = peer.received.max(ack.received);
        peer.durable = peer.durable.max(ack.durable);
        peer.applied = peer.applied.max(ack.applied);
        self.note_confirmed(id, ack.durable);
    }

    /// What was appended may go out from now on.
    pub(super) fn on_flush(&mut self, out: &mut Outputs) {
        let (appended, now) = (self.log.appended, self.now);
        let Part::Primary(primary) = &mut self.part else { return };
        if primary.flushed < appended {
            primary.flushed = appended;
            primary.unacknowledged.push_back((appended, now));
            self.pump(out);
        }
    }

    /// Sends every replica what it has not got, as far as its window allows.
    pub(super) fn pump(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &self.part else { return };
        let (flushed, epoch, committed, mut most) = (primary.flushed, primary.epoch, self.log.committed, primary.sent);
        for place in 0..self.peers.len() {
            let peer = &mut self.peers[place];
            let (Some(link), Flow::Streaming { sent }) = (peer.link, peer.flow) else { continue };
            let mut after = sent;
            while after < flushed && after - peer.received < WINDOW {
                let last = flushed.min(after + RECORDS_PER_MESSAGE);
                out.push(Output::Stream { link, epoch, after, last, committed, adopt: false });
                (after, peer.told) = (last, committed);
            }
            if after > sent {
                peer.flow = Flow::Streaming { sent: after };
                most = most.max(after);
                self.said(link);
            }
        }
        if let Some(primary) = self.primary_mut() {
            primary.sent = most;
        }
    }

    pub(super) fn heartbeat(&mut self, id: NodeId) -> Message {
        let (committed, head, epoch) = (self.log.committed, self.log.appended, self.promised());
        self.peer_mut(id).told = committed;
        Message::Heartbeat(Heartbeat { epoch, committed, head, set: self.recorded.set.clone() })
    }

    /// The commit position goes out alone when nothing has taken it along.
    pub(super) fn tell_commit(&mut self, out: &mut Outputs) {
        if self.commit_due.is_none_or(|due| due > self.now) {
            return;
        }
        self.commit_due = None;
        let committed = self.log.committed;
        let behind: Vec<(Link, NodeId)> = self
            .peers
            .iter()
            .filter(|peer| peer.flow.is_streaming() && peer.told < committed)
            .filter_map(|peer| peer.link.map(|link| (link, peer.id)))
            .collect();
        for (link, id) in behind {
            let heartbeat = self.heartbeat(id);
            self.send(link, heartbeat, out);
        }
    }

    /// The commit position has moved: it goes along with the next batch, or alone a little later.
    pub(super) fn commit_must_be_told(&mut self) {
        if self.commit_due.is_none() && self.peers.iter().any(|peer| peer.flow.is_streaming()) {
            self.commit_due = Some(self.now + COMMIT_SILENCE);
        }
    }
}
