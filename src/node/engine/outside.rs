//! A service outside this process: how it is, and what it is given.
//!
//! What the engine asks it ([`super::judging`]) and gives it is on its way while the engine goes on: orders are collected,
//! the event loop takes them to the courier, and brings back what came of them.
//!
//! # Invariants
//! 1. One question and one batch are under way at a time; batches follow each other without gaps.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use super::pending::ReplyTo;
use super::{Engine, Now};
use crate::error::{Code, Problem};
use crate::node::adapter::{Info, Verdict};
use crate::node::locks::Ticket;
use crate::replication::Input;
use crate::service::{Outcome, Resources, ServiceError};
use crate::types::{Micros, Operation, Record, Version};

/// Bytes of one batch on its way to the service; one record of any size always goes.
const APPLY_BYTES: usize = 8 << 20;
/// Committed records that may wait for the service before a replica takes no more from its primary.
const BACKLOG_RECORDS_MAX: usize = 100_000;
/// Bytes of their data.
const BACKLOG_BYTES_MAX: usize = 64 << 20;

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
    pub(super) condition: Condition,
    pub(super) info: Option<Info>,
    pub(super) questions: VecDeque<(Question, Instant)>,
    pub(super) is_judging: bool,
    /// What was changed since the question under way was sent.
    pub(super) touched: HashSet<Box<str>>,
    pub(super) all_touched: bool,
    /// Records of the batch under way.
    pub(super) applying: usize,
    /// How far the service itself says it is.
    pub(super) reached: Option<Version>,
    pub(super) orders: Vec<Order>,
    pub(super) dry_runs: Vec<(ReplyTo, Verdict)>,
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

    pub(super) fn max_batch(&self) -> usize {
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

    pub(super) fn is_touched(&self, resources: &Resources) -> bool {
        match resources {
            Resources::Alone => self.all_touched || !self.touched.is_empty(),
            Resources::Keys(keys) if keys.is_empty() => false,
            Resources::Keys(keys) => self.all_touched || keys.iter().any(|key| self.touched.contains(&key.key)),
        }
    }
}

impl Engine {
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
            self.applied_one(queued.record, queued.ticket, outcome, Instant::now());
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

    /// What the service says of itself.
    pub(in crate::node) fn service_says(&mut self, info: Info) {
        if let Some(outside) = &mut self.outside {
            outside.reached = Some(info.applied);
            outside.info = Some(info);
        }
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
}
