//! A member whose log ends before the primary's begins: it gets a snapshot, and goes on behind that.
//!
//! ```text
//!   primary   hello, behind ─► Finding ─► Follow with a snapshot ◄──Want── ──Chunk──►        Offered ─first Ack─► Streaming
//!   replica                    Promising ─► Taking ─────────────────┘      └─ all of it ─► Cutting: installed, started anew
//! ```
//!
//! The snapshot stands in the place of the records up to its version: they are committed, so nobody has others there. What
//! the two histories do not show to be the same leaves this log by the rules of any cut, set aside first.
//!
//! # Invariants
//! 1. Who takes a snapshot acknowledges nothing, so it counts nowhere; it may promise, and gives the snapshot up for that.
//! 2. Nothing is decided while the bytes come: what may leave the log is judged again when they are all here.
//! 3. From [`Output::Install`] on the log stands still: nothing is promised, followed or written until the node has
//!    started anew.
//!
//! # Not here
//! The bytes, where they are kept, and how a try that was broken off is gone on with (the node).

use super::machine::{Part, Replication};
use super::replica::Stage;
use super::replica::offers::Verdict;
use super::streaming::Flow;
use super::{Chunk, Closing, Follow, Link, Output, Outputs};
use crate::types::{NodeId, Position, Version};

impl Replication {
    /// A member that cannot follow from any record of this log.
    pub(super) fn find_snapshot(&mut self, id: NodeId, link: Link, out: &mut Outputs) {
        self.peer_mut(id).flow = Flow::Finding;
        out.push(Output::FindSnapshot { link });
    }

    /// It was looked for.
    pub(super) fn offer_snapshot(&mut self, link: Link, found: Option<(Position, u64)>, out: &mut Outputs) {
        let finding = self.peers.iter().find(|peer| peer.link == Some(link) && peer.flow == Flow::Finding);
        let Some(id) = finding.map(|peer| peer.id) else { return };
        match found {
            // An older one would leave records out that are gone.
            Some((at, bytes)) if at.version + 1 >= self.log.oldest => {
                self.peer_mut(id).fed = Some(at.version);
                self.say_follow(id, link, at, Some(bytes), out);
            }
            _ => self.close(link, Closing::Again, out),
        }
    }

    pub(super) fn on_want(&mut self, link: Link, id: NodeId, chunk: Chunk, out: &mut Outputs) {
        if self.peer(id).is_some_and(|peer| peer.link == Some(link) && peer.fed == Some(chunk.version)) {
            out.push(Output::SendChunk { link, chunk });
        }
    }

    /// Whether what this log holds behind `common` may leave it; says so if not.
    fn may_replace(&mut self, link: Link, follow: &Follow, common: Version, out: &mut Outputs) -> bool {
        let verdict = if common == self.log.appended { Verdict::Cut } else { self.may_cut(common, follow) };
        match verdict {
            Verdict::Cut => return true,
            Verdict::Diverged => self.diverge(link, common, out),
            Verdict::SplitBrain => self.say_split_brain(link, follow.epoch, common, out),
        }
        false
    }

    /// The primary's log begins behind the common place.
    pub(super) fn take_snapshot(&mut self, link: Link, follow: Follow, common: Version, out: &mut Outputs) {
        if let Some(replica) = self.replica_mut() {
            replica.stage = Stage::Idle;
        }
        let Some(bytes) = follow.snapshot.filter(|_| self.may_replace(link, &follow, common, out)) else { return };
        out.push(Output::TakeSnapshot { link, at: follow.common, bytes });
        if let Some(replica) = self.replica_mut() {
            replica.stage = Stage::Taking(link, follow);
        }
    }

    pub(super) fn on_chunk(&mut self, link: Link, chunk: Chunk, out: &mut Outputs) {
        if let Part::Replica(replica) = &self.part
            && let Stage::Taking(of, follow) = &replica.stage
            && (*of, follow.common.version) == (link, chunk.version)
        {
            out.push(Output::TakeChunk { link, chunk });
        }
    }

    /// All of it is here.
    pub(super) fn install(&mut self, link: Link, out: &mut Outputs) {
        let Part::Replica(replica) = &self.part else { return };
        let Stage::Taking(of, follow) = &replica.stage else { return };
        if *of != link || !self.is_settled() {
            return;
        }
        let follow = follow.clone();
        let theirs = super::History::new(follow.history.clone()).expect("checked when it came");
        let keep = self.log.history.common(self.log.appended, &theirs, follow.head);
        if !self.may_replace(link, &follow, keep, out) {
            return;
        }
        self.replace(link, follow.common, follow, keep, out);
    }

    /// The logs part before the first record of this one: none of it can stay, and the primary has everything.
    pub(super) fn begin_anew(&mut self, link: Link, follow: Follow, keep: Version, out: &mut Outputs) {
        self.replace(link, Position::default(), follow, keep, out);
    }

    fn replace(&mut self, link: Link, at: Position, follow: Follow, keep: Version, out: &mut Outputs) {
        let (committed, for_epoch) = (self.log.committed, follow.epoch);
        self.cutting = true;
        if let Some(replica) = self.replica_mut() {
            replica.stage = Stage::Cutting(link, follow);
        }
        out.push(Output::Install { at, keep, committed, for_epoch });
    }
}
