//! Verdicts of a service outside: asked for before the locks, because the service names the resources together with them.
//!
//! ```text
//!   submit ─► asked ─► (judged) ─► locks ─► still true? ─► sealed ... committed ─► (applied) ─► answered
//!               ▲                               │ no
//!               └───────────────────────────────┘  judged again, while it holds its resources
//! ```
//!
//! The service names an operation's resources together with its verdict, so the verdict comes before the locks. It
//! stands when nothing that it names was changed since the question was sent, and nobody held it when the answer
//! came; else the operation waits for its resources and is judged again while it holds them.
//!
//! # Invariants
//! 1. What is sealed was judged in a state in which nothing that it names has changed since, or will before it.
//! 2. Nothing is judged before what this term has taken over is applied: no ticket holds its resources.

use std::collections::VecDeque;
use std::time::Instant;

use super::outside::{Condition, Order, Question, Who};
use super::pending::{Judgement, ReplyTo, Stage, Submission};
use super::{Answer, Engine, Now};
use crate::error::{Code, Problem};
use crate::limits::LOCK_TIMEOUT;
use crate::node::adapter::Verdict;
use crate::node::locks::Ticket;
use crate::service::{Resource, Resources, ServiceError};
use crate::types::Operation;

/// After so many judgements that each named something new an operation runs alone: then no verdict can be stale.
const JUDGEMENTS_MAX: u8 = 3;

impl Engine {
    /// Takes a submission to the service.
    pub(super) fn ask(&mut self, submission: Submission, now: Now) -> Result<(), ServiceError> {
        if let Some(methods) = self.service_info().and_then(|info| info.methods.as_ref())
            && !methods.iter().any(|method| **method == *submission.operation.method)
        {
            let detail = format!("the service has no method `{}`", submission.operation.method);
            self.counters.rejected(&submission.operation.method);
            self.answers.push(Answer::refused(submission.reply, Problem::new(Code::UnknownMethod, detail)));
            return Ok(());
        }
        let until = submission.deadline;
        let ticket = self.place(submission, Stage::Judging { until }, now);
        self.question(ticket);
        self.pump_questions(now);
        Ok(())
    }

    fn question(&mut self, ticket: Ticket) {
        let pending = self.pending.get_mut(ticket);
        let submission = &pending.submission;
        let mut operation = submission.operation.clone();
        // What was filled in stays: another identifier would be another resource.
        if let Some(data) = pending.judgement.as_ref().and_then(|judgement| judgement.data.clone()) {
            operation.data = data;
        }
        let question = Question { who: Who::Ticket(ticket, pending.serial), operation, key: submission.key.clone() };
        let until = submission.deadline;
        if let Some(outside) = &mut self.outside {
            outside.questions.push_back((question, until));
        }
    }

    /// Sends the questions that wait, as one, if none is under way.
    pub(super) fn pump_questions(&mut self, now: Now) {
        let applied = self.applied.version;
        if applied < self.tail_until {
            return;
        }
        let pending = &mut self.pending;
        let Some(outside) = &mut self.outside else { return };
        if outside.is_judging || outside.questions.is_empty() || outside.condition != Condition::Serving {
            return;
        }
        let mut questions = Vec::new();
        while questions.len() < outside.max_batch() {
            let Some((question, _)) = outside.questions.pop_front() else { break };
            let lives = match question.who {
                Who::Ticket(ticket, serial) => pending.is(ticket, serial),
                Who::DryRun(_) | Who::Prepare => true,
            };
            if lives {
                questions.push(question);
            }
        }
        if !questions.is_empty() {
            outside.is_judging = true;
            outside.touched.clear();
            outside.all_touched = false;
            outside.orders.push(Order::Judge { base: applied, now: now.micros, questions });
        }
    }

    /// The question is answered.
    pub(in crate::node) fn judged(&mut self, verdicts: Vec<(Who, Verdict)>, now: Now) -> Result<(), ServiceError> {
        for (who, verdict) in verdicts {
            match who {
                Who::Ticket(ticket, serial) if self.pending.is(ticket, serial) => {
                    self.take_verdict(ticket, verdict, now)
                }
                Who::Ticket(..) => {}
                Who::DryRun(to) => {
                    self.outside.iter_mut().for_each(|outside| outside.dry_runs.push((to, verdict.clone())))
                }
                Who::Prepare => self.prepare_is_judged(verdict, now),
            }
        }
        if let Some(outside) = &mut self.outside {
            outside.is_judging = false;
        }
        self.run_granted(now)?;
        self.pump_questions(now);
        Ok(())
    }

    fn take_verdict(&mut self, ticket: Ticket, verdict: Verdict, now: Now) {
        let Some(outside) = &self.outside else { return };
        let (data, mut resources) = match verdict {
            Ok(valid) => valid,
            Err(problem) if problem.status >= 500 => {
                self.counters.refused += 1;
                return self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
            }
            Err(problem) => return self.reject(ticket, problem),
        };
        if outside.info.as_ref().is_some_and(|info| !info.stateful_validate) {
            resources = Resources::Keys(Vec::new());
        }
        let holds = self.locks.held(ticket);
        let pending = self.pending.get_mut(ticket);
        let (count, filled) = match pending.judgement.take() {
            Some(before) => (before.count + 1, before.data),
            None => (1, None),
        };
        let data = data.or(filled);
        if holds.is_some_and(|held| covers(held, &resources)) {
            pending.judgement = Some(Judgement { data, stands: true, count });
            self.granted.push(ticket);
            return;
        }
        if count >= JUDGEMENTS_MAX {
            resources = Resources::Alone;
        }
        let stands = !outside.is_touched(&resources);
        pending.judgement = Some(Judgement { data, stands, count });
        pending.alone = resources == Resources::Alone;
        pending.stage = Stage::Waiting { until: pending.submission.deadline.min(now.instant + LOCK_TIMEOUT) };
        self.locks.leave(ticket, &mut self.granted);
        self.locks.enter(ticket, resources, &mut self.granted);
        if !self.granted.contains(&ticket)
            && let Some(judgement) = &mut self.pending.get_mut(ticket).judgement
        {
            // Whoever holds it now will have changed it.
            judgement.stands = false;
        }
    }

    /// It holds its resources: sealed if the verdict still stands, else judged again.
    pub(super) fn run_judged(&mut self, ticket: Ticket, now: Now) {
        let pending = self.pending.get_mut(ticket);
        let judgement = pending.judgement.as_mut().expect("only what was judged asks for resources");
        if judgement.stands {
            let data = judgement.data.clone();
            self.propose(ticket, data, now);
            return;
        }
        if let Some(problem) = self.service_away() {
            self.counters.refused += 1;
            return self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
        }
        let pending = self.pending.get_mut(ticket);
        pending.stage = Stage::Judging { until: pending.submission.deadline };
        self.question(ticket);
        self.pump_questions(now);
    }

    /// A client wants to know whether an operation would be taken.
    pub(in crate::node) fn ask_only(&mut self, to: ReplyTo, operation: Operation, until: Instant, now: Now) {
        if let Some(problem) = self.service_away() {
            self.outside.iter_mut().for_each(|outside| outside.dry_runs.push((to, Err(problem.clone()))));
            return;
        }
        if let Some(outside) = &mut self.outside {
            outside.questions.push_back((Question { who: Who::DryRun(to), operation, key: None }, until));
        }
        self.pump_questions(now);
    }

    /// The same for a participant's prepare.
    pub(super) fn ask_prepare(&mut self, operation: Operation, until: Instant, now: Now) {
        if let Some(outside) = &mut self.outside {
            outside.questions.push_back((Question { who: Who::Prepare, operation, key: None }, until));
        }
        self.pump_questions(now);
    }

    pub(super) fn no_verdict(&mut self, who: Who, problem: Problem, now: Now) {
        match who {
            Who::Ticket(ticket, serial) if self.pending.is(ticket, serial) => {
                self.take_verdict(ticket, Err(problem), now);
            }
            Who::Ticket(..) => {}
            Who::DryRun(to) => {
                self.outside.iter_mut().for_each(|outside| outside.dry_runs.push((to, Err(problem.clone()))))
            }
            Who::Prepare => self.prepare_is_judged(Err(problem), now),
        }
    }

    /// Questions whose client has stopped waiting.
    pub(super) fn expire_questions(&mut self, now: Now) {
        let Some(outside) = &mut self.outside else { return };
        let (late, waiting) =
            std::mem::take(&mut outside.questions).into_iter().partition(|(_, until)| *until <= now.instant);
        outside.questions = waiting;
        let late: VecDeque<(Question, Instant)> = late;
        let problem = self.not_judged();
        for (question, _) in late {
            self.no_verdict(question.who, problem.clone(), now);
        }
    }

    /// Its time is over, and the service has not said a word about it.
    pub(super) fn not_judged(&self) -> Problem {
        let replayed = match self.condition() {
            Some(Condition::Starting { replayed: Some(version) }) => {
                format!(": it is being given the log, and is at version {version}")
            }
            _ => String::new(),
        };
        Problem::new(
            Code::ServiceUnavailable,
            format!("the service has not judged it in time{replayed}; nothing was logged"),
        )
        .hint("send again after Retry-After; `rig status` shows the service")
    }

    /// Whether somebody waits for a verdict, or to be told one.
    pub(super) fn has_questions(&self) -> bool {
        self.outside.as_ref().is_some_and(|outside| !outside.questions.is_empty() || !outside.dry_runs.is_empty())
    }

    /// What clients that only asked are told.
    pub(in crate::node) fn take_dry_runs(&mut self) -> Vec<(ReplyTo, Verdict)> {
        self.outside.as_mut().map(|outside| std::mem::take(&mut outside.dry_runs)).unwrap_or_default()
    }
}

/// Whether who holds these may do what needs those.
fn covers(held: &Resources, wanted: &Resources) -> bool {
    let has = |keys: &[Resource], wanted: &Resource| {
        keys.iter().any(|held| held.key == wanted.key && (!held.shared || wanted.shared))
    };
    match (held, wanted) {
        (Resources::Alone, _) => true,
        (Resources::Keys(_), Resources::Alone) => false,
        (Resources::Keys(held), Resources::Keys(wanted)) => wanted.iter().all(|wanted| has(held, wanted)),
    }
}
