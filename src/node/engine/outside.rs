//! A service outside this process: what it is asked and told is on its way while the engine goes on.
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
//! 2. One question and one batch are under way at a time; batches follow each other without gaps.
//! 3. Nothing is judged before what this term has taken over is applied: no ticket holds its resources.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use super::pending::{Judgement, ReplyTo, Stage, Submission};
use super::{Answer, Engine, Now};
use crate::error::{Code, Problem};
use crate::limits::LOCK_TIMEOUT;
use crate::node::adapter::{Info, Verdict};
use crate::node::locks::Ticket;
use crate::replication::Input;
use crate::service::{Outcome, Resource, Resources, ServiceError};
use crate::types::{Micros, Operation, Record, Version};

/// Bytes of one batch on its way to the service; one record of any size always goes.
const APPLY_BYTES: usize = 8 << 20;
/// Committed records that may wait for the service before a replica takes no more from its primary.
const BACKLOG_RECORDS_MAX: usize = 100_000;
/// Bytes of their data.
const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// After so many judgements that each named something new an operation runs alone: then no verdict can be stale.
const JUDGEMENTS_MAX: u8 = 3;

/// What the service is to do.
#[derive(Debug)]
pub(in crate::node) enum Order {
    /// Judge these against the applied state, which is at least this version.
    Judge { base: Version, now: Micros, questions: Vec<Question> },
    /// Apply these.
    Apply { records: Vec<Record> },
}

/// An operation to be judged.
#[derive(Debug)]
pub(in crate::node) struct Question {
    pub(in crate::node) who: Who,
    pub(in crate::node) operation: Operation,
    pub(in crate::node) key: Option<Box<str>>,
}

/// Whom a verdict is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Who {
    /// An operation in flight; the number tells it from a later one with the same ticket.
    Ticket(Ticket, u64),
    /// A client that only asks.
    DryRun(ReplyTo),
    /// The caller of a participant.
    Prepare,
}

/// How the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum Condition {
    /// It was not heard yet, or is being given what it has not: then up to this version.
    Starting { replayed: Option<Version> },
    /// It answers.
    Serving,
    /// It is away, or breaks the protocol.
    Stalled { why: String, since: Micros },
}

/// What the engine knows of a service outside.
pub(super) struct Outside {
    condition: Condition,
    info: Option<Info>,
    questions: VecDeque<(Question, Instant)>,
    is_judging: bool,
    /// What was changed since the question under way was sent.
    touched: HashSet<Box<str>>,
    all_touched: bool,
    /// Records of the batch under way.
    applying: usize,
    /// How far the service itself says it is.
    reached: Option<Version>,
    orders: Vec<Order>,
    dry_runs: Vec<(ReplyTo, Verdict)>,
}

impl Outside {
    pub(super) fn new() -> Self {
        Self {
            condition: Condition::Starting { replayed: None },
            info: None,
            questions: VecDeque::new(),
            is_judging: false,
            touched: HashSet::new(),
            all_touched: false,
            applying: 0,
            reached: None,
            orders: Vec::new(),
            dry_runs: Vec::new(),
        }
    }

    fn max_batch(&self) -> usize {
        self.info.as_ref().map_or(1, |info| info.max_batch)
    }

    /// Something that was held is applied: a question under way may have been answered without it.
    pub(super) fn touch(&mut self, resources: Option<&Resources>) {
        if !self.is_judging {
            return;
        }
        match resources {
            Some(Resources::Keys(keys)) => self.touched.extend(keys.iter().map(|resource| resource.key.clone())),
            Some(Resources::Alone) => self.all_touched = true,
            None => {}
        }
    }

    fn is_touched(&self, resources: &Resources) -> bool {
        match resources {
            Resources::Alone => self.all_touched || !self.touched.is_empty(),
            Resources::Keys(keys) if keys.is_empty() => false,
            Resources::Keys(keys) => self.all_touched || keys.iter().any(|key| self.touched.contains(&key.key)),
        }
    }
}

impl Engine {
    /// Takes a submission to the service.
    pub(super) fn ask(&mut self, submission: Submission, now: Now) -> Result<(), ServiceError> {
        if let Some(methods) = self.service_info().and_then(|info| info.methods.as_ref())
            && !methods.iter().any(|method| **method == *submission.operation.method)
        {
            let detail = format!("the service has no method `{}`", submission.operation.method);
            self.counters.rejected += 1;
            self.answers.push(Answer::refused(submission.reply, Problem::new(Code::UnknownMethod, detail)));
            return Ok(());
        }
        let until = submission.deadline;
        let ticket = self.place(submission, Stage::Judging { until });
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

    /// Sends the next batch, if none is under way.
    pub(super) fn pump_applies(&mut self) {
        let (applied, upto) = (self.applied.version, self.to_apply);
        let Some(outside) = &mut self.outside else { return };
        if outside.applying > 0 || upto <= applied || self.is_rebuilding {
            return;
        }
        let wanted = usize::try_from(upto - applied).unwrap_or(usize::MAX).min(outside.max_batch());
        let (mut records, mut bytes) = (Vec::new(), 0);
        for queued in self.queue.iter().take(wanted) {
            bytes += queued.record.operation.data.len();
            if bytes > APPLY_BYTES && !records.is_empty() {
                break;
            }
            records.push(queued.record.clone());
        }
        outside.applying = records.len();
        outside.orders.push(Order::Apply { records });
    }

    /// The service has applied the next ones of the batch under way.
    pub(in crate::node) fn applied_outside(&mut self, outcomes: Vec<Outcome>, now: Now) -> Result<(), ServiceError> {
        self.core_time = self.core_time_at(now);
        let Some(outside) = &mut self.outside else { return Ok(()) };
        outside.applying = outside.applying.checked_sub(outcomes.len()).expect("no more than it was given");
        for outcome in outcomes {
            let queued = self.pop_queued().expect("what was given is in the queue");
            self.applied_one(queued.record, queued.ticket, outcome);
        }
        let applied = self.applied.version;
        if let Some(outside) = &mut self.outside {
            outside.reached = Some(outside.reached.unwrap_or(0).max(applied));
        }
        self.step(Input::Applied(applied));
        self.perform(now)?;
        self.release_held();
        self.committed_is_applied();
        self.run_granted(now)?;
        self.pump_applies();
        if applied >= self.tail_until {
            self.tail_keys.clear();
            self.unpark(now)?;
            self.pump_questions(now);
        }
        Ok(())
    }

    /// What came of versions that were applied here before, and that the service was given again.
    pub(in crate::node) fn replayed(&mut self, first: Version, outcomes: &[Outcome]) {
        for (version, outcome) in (first..).zip(outcomes) {
            self.marks.renew(version, outcome);
        }
    }

    /// The service has been heard, is away, or is back.
    pub(in crate::node) fn service_is(&mut self, condition: Condition, now: Now) -> Result<(), ServiceError> {
        let Some(outside) = &mut self.outside else { return Ok(()) };
        outside.condition = condition;
        if let Some(problem) = self.service_away() {
            let waiting = self.outside.as_mut().map(|outside| std::mem::take(&mut outside.questions));
            for (question, _) in waiting.into_iter().flatten() {
                self.no_verdict(question.who, problem.clone(), now);
            }
        }
        self.pump_questions(now);
        self.pump_applies();
        self.run_granted(now)
    }

    fn no_verdict(&mut self, who: Who, problem: Problem, now: Now) {
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

    /// What the service says of itself.
    pub(in crate::node) fn service_says(&mut self, info: Info) {
        if let Some(outside) = &mut self.outside {
            outside.reached = Some(info.applied);
            outside.info = Some(info);
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

    /// Why nobody can judge an operation now.
    pub(in crate::node) fn service_away(&self) -> Option<Problem> {
        match self.condition() {
            Some(Condition::Stalled { why, .. }) => {
                let detail = format!("the service is away: {why}; nothing was logged");
                let hint = "it is tried again all the time; `rig status` shows the service";
                Some(Problem::new(Code::ServiceUnavailable, detail).hint(hint))
            }
            _ => None,
        }
    }

    /// How the service outside is; `None` for one in this process.
    pub(in crate::node) fn condition(&self) -> Option<&Condition> {
        self.outside.as_ref().map(|outside| &outside.condition)
    }

    /// What the service outside has said of itself.
    pub(in crate::node) fn service_info(&self) -> Option<&Info> {
        self.outside.as_ref()?.info.as_ref()
    }

    /// Committed records that are not applied.
    pub(in crate::node) fn backlog(&self) -> Version {
        self.core.committed().saturating_sub(self.applied.version)
    }

    /// Whether so much waits for the service that no more is taken from a primary.
    pub(super) fn is_behind_its_service(&self) -> bool {
        let is_much = self.queue.len() > BACKLOG_RECORDS_MAX || self.queue_bytes > BACKLOG_BYTES_MAX;
        // What is not known to be decided waits for the primary's word, not for the service.
        self.outside.is_some() && is_much && self.to_apply > self.applied.version
    }

    /// Whether the service outside holds, or may hold, more than this.
    pub(in crate::node) fn is_reached(&self, version: Version) -> bool {
        let Some(outside) = &self.outside else { return false };
        // With what is on its way; what it is given again ends where this node has applied.
        let given = self.applied.version + outside.applying as Version;
        given > version || outside.reached.is_none_or(|reached| reached > version)
    }

    /// The service outside is made empty: what was on its way to it, is not any more.
    pub(in crate::node) fn service_is_reset(&mut self) {
        if let Some(outside) = &mut self.outside {
            outside.applying = 0;
            outside.reached = Some(0);
            outside.condition = Condition::Starting { replayed: None };
            outside.orders.retain(|order| !matches!(order, Order::Apply { .. }));
        }
    }

    /// What the service is to do, oldest first.
    pub(in crate::node) fn take_orders(&mut self) -> Vec<Order> {
        self.outside.as_mut().map(|outside| std::mem::take(&mut outside.orders)).unwrap_or_default()
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
