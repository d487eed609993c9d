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
//! What becomes of a Follow (`offers`), how a replica becomes primary (`candidate`), rescue files (the node, at [`Output::Cut`]).

pub(super) mod offers;

use super::machine::{Part, Replication};
use super::rules::Rule;
use super::wish::Wish;
use super::{Ack, Append, Closing, Follow, Heartbeat, Link, Message, Output, Outputs, Promised, Refused, RefusedWhy};
use crate::types::{AckLevel, Epoch, NodeId, Version};

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

    pub(super) fn progress_replica(&mut self, out: &mut Outputs) {
        self.record_next(out);
        self.match_logs(out);
        self.follow_commit(out);
        self.progress_wish(out);
        self.comes_ashore(out);
        self.take_over(out);
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
