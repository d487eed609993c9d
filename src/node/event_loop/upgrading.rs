//! Nodes of two releases beside each other: what this one says of itself, and when the format of the log goes up.
//!
//! ```text
//!   n1 reads 1..2 ─┐
//!   n2 reads 1..2 ─┼─► all are linked to the primary, and read 2 ─► it seals in format 2 from its next record on
//!   n3 reads 1..2 ─┘        one reads no more than 1, or is away ─► it goes on in the format of its log
//! ```
//!
//! # Invariants
//! 1. A record is sealed in a newer format than the log has only when every member, and whoever else is linked, is known
//!    to read it. So until the last one is upgraded each can go back to the release before.
//! 2. Two nodes are linked only if each reads the newest format in the other's log.

use super::*;
use crate::node::peers::{Flow, Peer};
use crate::peer::{Greeting, Refusal, Span};

impl Node {
    /// What this node says first of all.
    pub(super) fn greeting(&self) -> Greeting {
        let (reads, needs) = (log::format::FORMAT.into(), self.engine.format().into());
        Greeting { protocol: Span::OWN, reads, needs, cluster: self.cluster }
    }

    /// The two do not speak. The other end comes to the same by itself, as soon as it has heard this one.
    pub(super) fn refuse_greeting(&mut self, peer: &mut Peer, refusal: &Refusal) -> Flow {
        ::log::warn!("a peer at {:?} is refused: {refusal}", peer.socket.socket().peer_addr());
        self.refused_peers.insert(peer.dialed.clone().unwrap_or_default(), refusal.to_string());
        if peer.dialed.is_some() {
            let own = self.greeting();
            peer.send(|out| own.encode(out));
            // Best effort: the other end sees the end of the connection in any case.
            let _ = peer.write();
        }
        Flow::Closed
    }

    /// Goes on in the newest format that everybody reads, once, when that is news.
    pub(super) fn raise_format(&mut self, now: Now) {
        let core = self.engine.core();
        let before = self.engine.format();
        if before == log::format::FORMAT || core.role() != Role::Primary {
            return;
        }
        let Some(config) = core.config() else { return };
        let views = core.peers();
        let is_linked = |id: NodeId| views.iter().any(|view| view.member.id == id && view.connected);
        if !config.members.iter().all(|member| member.id == core.me() || is_linked(member.id)) {
            return;
        }
        let all = self.peers.iter().flatten().filter(|peer| peer.is_linked());
        let read = all.map(|peer| u8::try_from(peer.reads).unwrap_or(u8::MAX)).min().unwrap_or(u8::MAX);
        let format = read.min(log::format::FORMAT);
        if format > before {
            self.engine.raise_format(format);
            let facts = serde_json::Map::from_iter([("format".to_owned(), format.into())]);
            self.tell_people("log-format", facts, now);
        }
    }
}
