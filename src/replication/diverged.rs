//! A replica whose service gave another result than the primary's: its log is right, its state is not.
//!
//! ```text
//!   primary ──Results──► Compare ──another──► diverged: Goodbye ──built anew, the same now──► Hello: compared from the start
//!                           └── the same: nothing                         └── another still: diverged, said again
//! ```
//!
//! What is compared are marks, one for each version, which the node keeps; here is decided who is told of them, when they
//! may be compared, and what follows from a difference.
//!
//! # Invariants
//! 1. A primary tells of versions that the other end has said it has applied, and no others: nothing has to wait.
//! 2. Who has diverged is waited for by nobody and counted by nobody, on whatever link, until its state is built anew.
//!    It goes on to take records, to acknowledge and to promise: all of that is about its log.
//! 3. It becomes primary by force only, and with that its state is the right one.
//!
//! # Not here
//! The marks, the comparison, and how a state is built anew (the node).

use super::links::HEARTBEAT;
use super::machine::{Part, Replication};
use super::replica::Stage;
use super::rules::Rule;
use super::{Divergence, Event, Link, Message, NotPromoted, Output, Outputs, Results};
use crate::limits::{MARKS_KEPT, MARKS_PER_MESSAGE};
use crate::types::Version;

/// So many marks go out at once, fewer with the next sign of life.
const GATHERED: Version = 1024;

impl Replication {
    /// The first version whose result here is not the primary's, while that is so.
    pub fn diverged(&self) -> Option<Version> {
        self.diverged
    }

    /// Tells the replicas the results that they and this primary have applied.
    pub(super) fn tell_results(&mut self, out: &mut Outputs) {
        let (now, epoch, applied) = (self.now, self.promised(), self.log.applied);
        for peer in self.peers.iter_mut().filter(|peer| peer.flow.is_streaming()) {
            let both = applied.min(peer.applied);
            let after = peer.compared.max(applied.saturating_sub(MARKS_KEPT as Version));
            let (Some(link), Some(more)) = (peer.link, both.checked_sub(after).filter(|more| *more > 0)) else {
                continue;
            };
            if more >= GATHERED || now >= peer.compared_at + HEARTBEAT {
                let last = after + more.min(MARKS_PER_MESSAGE as Version);
                (peer.compared, peer.compared_at) = (last, now);
                out.push(Output::Results { link, epoch, after, last });
            }
        }
    }

    pub(super) fn on_results(&mut self, link: Link, results: Results, out: &mut Outputs) {
        let Part::Replica(replica) = &self.part else { return };
        if matches!(replica.stage, Stage::Following(of, epoch) if of == link && epoch == results.epoch) {
            out.push(Output::Compare { first: results.first, marks: results.marks });
        }
    }

    pub(super) fn on_state_diverged(&mut self, version: Version, out: &mut Outputs) {
        assert!((1..=self.log.applied).contains(&version), "only what was applied can differ");
        let Part::Replica(replica) = &mut self.part else { return };
        out.push(Output::Event(Event::Diverged { version, what: Divergence::State }));
        if self.diverged.is_some() {
            // Built anew, and still another: everyone knows.
            return;
        }
        self.diverged = Some(version);
        if let Some(wish) = replica.wish.take_if(|wish| !wish.force && self.rules.hold(Rule::Quarantine)) {
            let result = Err(NotPromoted::Diverged { version });
            out.push(Output::Answer { request: wish.request, result });
        }
        for link in self.all_links() {
            self.send(link, Message::Goodbye, out);
        }
    }

    pub(super) fn on_state_rebuilt(&mut self, applied: Version, out: &mut Outputs) {
        assert!(self.diverged.is_some(), "only a state that has diverged is built anew");
        assert!(!self.cutting, "a log that is cut takes its service along");
        assert!(applied <= self.log.committed, "applied {applied} > committed {}", self.log.committed);
        self.log.applied = applied;
        if let Some(replica) = self.replica_mut() {
            // An acknowledgement of an earlier offer would be taken for the answer to the next.
            replica.stage = Stage::Idle;
        }
        self.diverged = None;
        for link in self.all_links() {
            self.say_hello(link, out);
        }
    }

    /// Also those on which nothing was heard yet: this node has said hello there.
    fn all_links(&self) -> Vec<Link> {
        self.links.iter().map(|state| state.link).collect()
    }

    /// Whom the record of a term is announced to: those who answer say where their logs stand now. If this node had
    /// diverged and leads by force, its state is the right one from here on, and it takes back its goodbye everywhere.
    pub(super) fn links_of_new_term(&mut self) -> Vec<Link> {
        if self.diverged.take().is_some() { self.all_links() } else { self.known_links() }
    }

    /// Whether this node must not become primary without force.
    pub(super) fn is_quarantined(&self) -> bool {
        self.diverged.is_some() && self.rules.hold(Rule::Quarantine)
    }

    /// Whether this node is primary, or on its way to be, without force: a term that begins by force makes its state the
    /// right one.
    pub(super) fn leads_unforced(&self) -> bool {
        match &self.part {
            Part::Replica(_) => false,
            Part::Candidate(candidate) => !candidate.is_forced(),
            Part::Primary(primary) => !(primary.forced && primary.is_new()),
        }
    }
}
