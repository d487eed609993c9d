//! The operator's wish that a replica become primary: first everyone is asked, and nothing is promised.
//!
//! ```text
//!   live primary ─► HandOverPlease ──refused, by force──┐
//!   none ───────────────────────────────────────────────┴─► Ask ─► Answers ─► enough would ─► ballot (`candidate`)
//! ```
//!
//! # Not here
//! What follows when promises are really asked for (`candidate`).

use super::candidate::{PATIENCE, Purpose};
use super::machine::{Part, Replication};
use super::rules::Rule;
use super::{Answer, Link, Message, NotPromoted, Output, Outputs, Time};
use crate::types::{Epoch, NodeId, Version};

/// What the operator wants of a replica.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) request: u64,
    pub(super) force: bool,
    pub(super) until: Time,
    /// `None`: the primary was asked to hand over.
    pub(super) answers: Option<Vec<(NodeId, Answer)>>,
}

impl Replication {
    pub(super) fn ask_everyone(&mut self, out: &mut Outputs) {
        let epoch = self.next_epoch();
        for (link, _) in self.linked_members() {
            self.send(link, Message::Ask { epoch }, out);
        }
    }

    /// A new link while the members are being asked: it is asked too.
    pub(super) fn ask_again(&mut self, link: Link, out: &mut Outputs) {
        let asking = matches!(&self.part, Part::Replica(replica) if
            replica.wish.as_ref().is_some_and(|wish| wish.answers.is_some()));
        if asking {
            let epoch = self.next_epoch();
            self.send(link, Message::Ask { epoch }, out);
        }
    }

    pub(super) fn on_ask(&mut self, link: Link, from: NodeId, epoch: Epoch, out: &mut Outputs) {
        let answer = Answer {
            epoch,
            would: self.heeds(from) && epoch > self.promised() && !self.is_full(),
            promised: self.recorded.promised,
            head_epoch: self.log.history.last(),
            head: self.log.durable,
            committed: self.log.committed,
        };
        self.send(link, Message::Answer(answer), out);
    }

    pub(super) fn on_answer(&mut self, from: NodeId, answer: Answer) {
        let promised = answer.promised;
        let peer = self.peer_mut(from);
        peer.promised = peer.promised.max(promised);
        if let Some(replica) = self.replica_mut()
            && let Some(wish) = &mut replica.wish
            && let Some(answers) = &mut wish.answers
            && answers.iter().all(|(id, _)| *id != from)
        {
            answers.push((from, answer));
        }
    }

    pub(super) fn wish_was_refused(&mut self, out: &mut Outputs) {
        let now = self.now;
        let Some(replica) = self.replica_mut() else { return };
        match &mut replica.wish {
            Some(wish) if wish.answers.is_none() && (wish.force || now >= wish.until) => {
                (wish.answers, wish.until) = (Some(Vec::new()), now + PATIENCE);
                self.ask_everyone(out);
            }
            Some(wish) if wish.answers.is_none() => {
                let request = wish.request;
                replica.wish = None;
                out.push(Output::Answer { request, result: Err(NotPromoted::Busy) });
            }
            _ => {}
        }
    }

    pub(super) fn progress_wish(&mut self, out: &mut Outputs) {
        let linked = self.linked_members();
        let now = self.now;
        let Part::Replica(replica) = &self.part else { return };
        let Some(wish) = &replica.wish else { return };
        let Some(answers) = &wish.answers else {
            if now >= wish.until {
                self.wish_was_refused(out);
            }
            return;
        };
        let complete = linked.iter().all(|(_, id)| answers.iter().any(|(from, _)| from == id));
        if !complete && now < wish.until {
            return;
        }
        let (request, force) = (wish.request, wish.force);
        let would: Vec<NodeId> = answers.iter().filter(|(_, answer)| answer.would).map(|(from, _)| *from).collect();
        let silent = linked.iter().map(|(_, id)| *id).filter(|id| answers.iter().all(|(from, _)| from != id)).collect();
        let in_force = self.log.configs.in_force();
        let from = if self.rules.hold(Rule::EveryConfigPromotes) { 0 } else { in_force.len().saturating_sub(1) };
        let is_coordinated = self.outside.is_some();
        let judged = match is_coordinated {
            true => self.judge_outside(would.len() + 1),
            false => {
                let heads = answers.iter().filter(|(_, answer)| answer.would).map(|(_, answer)| answer.head);
                let head = heads.fold(self.log.durable, Version::max);
                let judged = self.judge(&would, in_force[from..].iter().map(|(_, config)| config));
                judged.and_then(|()| self.reaches(head))
            }
        };
        let purpose = match is_coordinated && !force {
            true => Purpose::Elected { request: Some(request) },
            false => Purpose::Operator { request, force },
        };
        if let Some(replica) = self.replica_mut() {
            replica.wish = None;
        }
        match judged {
            Err(result) if !force => out.push(Output::Answer { request, result: Err(result) }),
            _ => {
                self.begin_ballot(purpose, self.next_epoch(), None, out);
                if let Some(candidate) = self.candidate_mut() {
                    // Who has not answered is not waited for again.
                    candidate.refused = silent;
                }
            }
        }
    }
}
