//! The second half of a write: apply, answer, release; and the ways in which a write ends without it.

use std::time::Instant;

use super::budget::Share;
use super::pending::{Applied, Pending, ReplyTo, Stage, Submission};
use super::{Answer, Counters, Engine, Held, Now, disk_full};
use crate::error::{Code, Problem};
use crate::log::Batch;
use crate::node::chronicle::Chronicle;
use crate::node::keys::{self, Frozen, Runs};
use crate::node::locks::Ticket;
use crate::replication::{Input, Refusal, Replication};
use crate::service::{Entry, Outcome, Service, ServiceError, Snapshot};
use crate::types::{Kind, NodeState, Position, Record, Role, Version};

/// Entries that the service gets in one call.
const APPLY_ENTRIES_MAX: usize = 1024;
/// Entries that a replica applies before it looks at its sockets again.
const APPLY_AT_ONCE: Version = 4096;

impl Engine {
    /// Gives everything up to `version` to the service and answers those who wait for it.
    pub(super) fn commit(&mut self, version: Version) -> Result<(), ServiceError> {
        if self.outside.is_some() {
            self.to_apply = self.to_apply.max(version);
            self.pump_applies();
            return Ok(());
        }
        while self.applied.version < version {
            let behind = usize::try_from(version - self.applied.version).expect("the queue is in memory");
            let entries: Vec<Entry<'_>> =
                self.queue.iter().take(behind.min(APPLY_ENTRIES_MAX)).map(|queued| entry(&queued.record)).collect();
            assert!(entries.first().is_some_and(|entry| entry.version == self.applied.version + 1));
            let begin = Instant::now();
            let outcomes = self.service.apply(&entries)?;
            let end = Instant::now();
            self.counters.apply.observe((end - begin).as_secs_f64());
            assert_eq!(outcomes.len(), entries.len(), "one outcome for each entry");
            for outcome in outcomes {
                let queued = self.pop_queued().expect("it was just applied");
                self.applied_one(queued.record, queued.ticket, outcome, end);
            }
            assert_eq!(self.service.version(), self.applied.version, "the service applies what it is given");
        }
        self.step(Input::Applied(version));
        Ok(())
    }

    /// Applies a bounded part of what a replica has put off.
    pub(in crate::node) fn apply_some(&mut self, now: Now) -> Result<(), ServiceError> {
        if self.outside.is_some() {
            self.pump_applies();
        } else if self.has_to_apply() {
            let upto = self.to_apply.min(self.applied.version + APPLY_AT_ONCE);
            self.core_time = self.core_time_at(now);
            self.commit(upto)?;
            self.perform(now)?;
        }
        Ok(())
    }

    /// Whether something is committed and to be applied now.
    pub(in crate::node) fn has_to_apply(&self) -> bool {
        self.outside.is_none() && !self.still && self.to_apply > self.applied.version
    }

    pub(super) fn applied_one(&mut self, record: Record, ticket: Option<Ticket>, outcome: Outcome, now: Instant) {
        self.applied = Position { epoch: record.epoch, version: record.version, hash: record.hash };
        let digest = ticket.and_then(|ticket| self.pending.get_mut(ticket).submission.digest);
        note(&record, digest, &outcome, &mut self.keys, &mut self.chronicle);
        self.marks.note(&record, &outcome);
        let Some(ticket) = ticket else { return };
        let answer = Applied {
            version: record.version,
            epoch: record.epoch.number,
            hash: record.hash,
            status: outcome.status,
            result: Some(outcome.result),
            replayed: false,
        };
        let pending = self.release(ticket);
        self.counters.applied(&record.operation.method, now.saturating_duration_since(pending.since));
        self.laws += u64::from(pending.alone);
        for (reply, _) in pending.followers {
            self.counters.replayed += 1;
            self.answer(
                Answer { reply, outcome: Ok(Applied { replayed: true, ..answer.clone() }) },
                &pending.submission,
            );
        }
        if !matches!(pending.stage, Stage::GivenUp { .. }) {
            self.answer(Answer { reply: pending.submission.reply, outcome: Ok(answer) }, &pending.submission);
        }
    }

    /// Answers at once, or when the replicas have applied it too.
    fn answer(&mut self, answer: Answer, submission: &Submission) {
        match &answer.outcome {
            Ok(applied) if applied.version > self.core.answerable() => self.held.push_back(Held {
                version: applied.version,
                deadline: submission.deadline,
                key: submission.key.clone(),
                answer,
            }),
            _ => self.answers.push(answer),
        }
    }

    /// Lets go of the answers that have waited for replicas to apply.
    pub(super) fn release_held(&mut self) {
        while self.held.front().is_some_and(|held| held.version <= self.core.answerable()) {
            let Some(held) = self.held.pop_front() else { break };
            self.answers.push(held.answer);
        }
    }

    /// Ends a request: its resources, its key and its place are free again.
    fn release(&mut self, ticket: Ticket) -> Pending {
        let pending = self.pending.remove(ticket);
        // Only what was logged can have changed something.
        if let (Some(outside), false) = (&mut self.outside, pending.stage.is_before_the_log()) {
            outside.touch(self.locks.held(ticket));
        }
        self.locks.leave(ticket, &mut self.granted);
        // It may have been next in line itself.
        self.granted.retain(|next| *next != ticket);
        if let Some(digest) = &pending.submission.digest {
            self.by_key.remove(digest);
        }
        let submission = &pending.submission;
        let bytes = match pending.stage {
            Stage::Judging { .. } | Stage::Waiting { .. } => submission.operation.data.len(),
            Stage::Sealed { .. } | Stage::GivenUp { .. } => submission.data_bytes,
        };
        self.budget.give_back(submission.client, bytes);
        pending
    }

    /// Ends a request with the same answer for all who wait for it.
    pub(super) fn end(&mut self, ticket: Ticket, answer: impl Fn(ReplyTo) -> Answer) {
        let pending = self.release(ticket);
        if !matches!(pending.stage, Stage::GivenUp { .. }) {
            self.answers.push(answer(pending.submission.reply));
        }
        self.answers.extend(pending.followers.iter().map(|(reply, _)| answer(*reply)));
    }

    /// The log thread found no room: what becomes of the batch is for the core to say.
    pub(in crate::node) fn no_room(&mut self, now: Now) -> Result<(), ServiceError> {
        self.full_since.get_or_insert(now.instant);
        self.next_probe = Some(now.instant + super::ROOM_PROBE);
        self.tell(Input::NoRoom { last: self.durable.version }, now)
    }

    /// Nothing of what is not durable was written: all of it is refused, and the log ends where it did.
    pub(super) fn rewind(&mut self) {
        self.batches.clear();
        self.sealer.rewind(self.durable);
        self.prepared_has_no_room(disk_full("the disk of the log is full".into()));
        while let Some(queued) = self.pop_queued_behind(self.durable.version) {
            if let Some(ticket) = queued.ticket {
                self.counters.refused += 1;
                self.end(ticket, |reply| Answer::refused(reply, disk_full("the disk of the log is full".into())));
            }
        }
    }

    /// The log has failed for good: who is in it is told so, who is not is refused.
    pub(in crate::node) fn storage_failed(&mut self) {
        self.step(Input::StorageFailed);
        self.outputs.clear();
        let refused = Problem::new(Code::Recovering, "the log has failed; nothing was logged");
        self.give_up(&refused, "the log failed while this was being synced");
    }

    /// The node ends, and has waited for as long as it was told to: no operation is left without an answer.
    pub(in crate::node) fn stopped(&mut self) {
        let refused = self.explain(Refusal::Draining);
        self.give_up(&refused, "the node was stopped before it was committed");
    }

    /// What is in flight is not this node's to decide any more: who is not in the log is refused, who is cannot be told.
    pub(super) fn give_up(&mut self, refused: &Problem, why: &str) {
        let tickets: Vec<Ticket> = self.pending.iter_mut().map(|(ticket, _)| ticket).collect();
        for ticket in tickets {
            let pending = self.pending.get_mut(ticket);
            let problem = match pending.stage {
                Stage::Judging { .. } | Stage::Waiting { .. } => refused.clone(),
                Stage::Sealed { version } | Stage::GivenUp { version } => {
                    unknown(version, pending.submission.key.as_deref(), why)
                }
            };
            self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
        }
        for held in std::mem::take(&mut self.held) {
            let why = "it is committed, and this node cannot say any more whether the replicas have applied it";
            let problem = unknown(held.version, held.key.as_deref(), why);
            self.answers.push(Answer::refused(held.answer.reply, problem));
        }
        // Who was next in line for a resource was told as well.
        self.granted.clear();
        self.queue.iter_mut().for_each(|queued| queued.ticket = None);
        for submission in self.take_parked(|_| true) {
            self.refuse(submission, refused.clone());
        }
    }

    /// Answers those whose time is over.
    pub(in crate::node) fn expire(&mut self, now: Now) -> Result<(), ServiceError> {
        let (mut late, mut not_judged) = (Vec::new(), Vec::new());
        for (ticket, pending) in self.pending.iter_mut() {
            match pending.stage {
                Stage::Judging { until } if until <= now.instant => not_judged.push(ticket),
                Stage::Waiting { until } if until <= now.instant => late.push(ticket),
                Stage::Sealed { version } if pending.submission.deadline <= now.instant => {
                    pending.stage = Stage::GivenUp { version };
                    self.counters.unknown += 1;
                    let key = pending.submission.key.as_deref();
                    let problem = unknown(version, key, "it is in the log, and was not committed in time");
                    self.answers.push(Answer::refused(pending.submission.reply, problem));
                }
                _ => {}
            }
            let key = pending.submission.key.as_deref();
            let (answers, counters) = (&mut self.answers, &mut self.counters);
            pending.followers.retain(|(reply, deadline)| {
                follow_until(*reply, *deadline, pending.stage, key, now.instant, answers, counters)
            });
        }
        for held in std::mem::take(&mut self.held) {
            if held.deadline > now.instant {
                self.held.push_back(held);
                continue;
            }
            self.counters.unknown += 1;
            let why = "it is committed, and a replica has not applied it in time";
            let problem = unknown(held.version, held.key.as_deref(), why);
            self.answers.push(Answer::refused(held.answer.reply, problem));
        }
        for ticket in late {
            self.counters.refused += 1;
            let detail = "another operation held a resource of this one all the time; nothing was logged";
            let problem = Problem::new(Code::ResourceBusy, detail).hint("send again after Retry-After");
            self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
        }
        for ticket in not_judged {
            self.counters.refused += 1;
            let problem = self.not_judged();
            self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
        }
        self.expire_questions(now);
        for submission in self.take_parked(|submission| submission.deadline <= now.instant) {
            self.expire_parked(submission);
        }
        self.run_granted(now)
    }

    /// Its time is over before the epoch was open, or all keys known.
    fn expire_parked(&mut self, submission: Submission) {
        let key = submission.key.as_deref().unwrap_or_default();
        match self.outcome(key) {
            // An earlier attempt is in the log: what became of it only a primary that has opened can say.
            Some(Known::Pending(Some(version))) | Some(Known::Committed(keys::Remembered { version, .. })) => {
                self.counters.unknown += 1;
                let why = match (self.opened, self.service_away()) {
                    (false, _) => "it is in the log, and the epoch is not open yet",
                    (true, Some(_)) => "it is in the log, and waits for the service, which is away",
                    (true, None) => "it is in the log, and not applied yet",
                };
                let problem = unknown(version, Some(key), why);
                self.answers.push(Answer::refused(submission.reply, problem));
            }
            _ => {
                let problem = if self.opened {
                    Problem::new(Code::Recovering, "not all keys are known yet; this request was not logged")
                        .hint("send it again in a moment")
                } else {
                    self.not_open("this request was not logged")
                };
                self.refuse(submission, problem);
            }
        }
    }

    /// Whether anything waits for its deadline.
    pub(in crate::node) fn is_busy(&self) -> bool {
        self.pending.len() > 0 || !self.parked.is_empty() || !self.held.is_empty() || self.has_questions()
    }

    /// Whether no operation waits for an answer, and everything that was taken is durable and applied, or cannot be now.
    pub(in crate::node) fn is_idle(&self) -> bool {
        let waits = |pending: &Pending| !matches!(pending.stage, Stage::GivenUp { .. });
        let away = self.service_away().is_some();
        let done = self.queue.is_empty() || self.core.role() == Role::Replica || away;
        let stands = || matches!(self.core.state(), NodeState::Blocked | NodeState::Recovering | NodeState::SplitBrain);
        self.held.is_empty() && !self.pending.iter().any(waits) && (done || stands())
    }

    /// The oldest batch that is not with the log thread.
    pub(in crate::node) fn take_batch(&mut self) -> Option<Batch> {
        if self.batches.front().is_none_or(|batch| batch.is_empty()) { None } else { self.batches.pop_front() }
    }

    pub(super) fn recycle(&mut self, mut batch: Batch) {
        if self.spare.len() < 2 {
            batch.clear();
            self.spare.push(batch);
        }
    }

    /// The answers so far; `into` keeps its memory from call to call.
    pub(in crate::node) fn take_answers(&mut self, into: &mut Vec<Answer>) {
        into.append(&mut self.answers);
    }

    /// Freezes everything that a snapshot holds, at the applied version. `None` while one is being written.
    pub(in crate::node) fn freeze(&mut self) -> Option<(Box<dyn Snapshot>, Frozen, Position, Chronicle)> {
        let keys = self.keys.freeze()?;
        Some((self.service.snapshot(), keys, self.applied, self.chronicle.clone()))
    }

    /// Ends what [`Engine::freeze`] began.
    pub(in crate::node) fn thaw(&mut self, written: Option<Runs>) -> keys::Leftover {
        self.keys.thaw(written)
    }

    /// What became of a key: `Some` when its operation is in the log, applied or on its way.
    pub(in crate::node) fn outcome(&mut self, key: &str) -> Option<Known> {
        let digest = keys::digest(key);
        if let Some(ticket) = self.by_key.get(&digest) {
            return Some(Known::Pending(match self.pending.get_mut(*ticket).stage {
                Stage::Judging { .. } | Stage::Waiting { .. } => None,
                Stage::Sealed { version } | Stage::GivenUp { version } => Some(version),
            }));
        }
        if let Some(queued) = self.queue.iter().find(|queued| queued.record.key.as_deref() == Some(key)) {
            return Some(Known::Pending(Some(queued.record.version)));
        }
        self.keys.get(&digest).map(Known::Committed)
    }

    pub(in crate::node) fn core(&self) -> &Replication {
        &self.core
    }

    pub(in crate::node) fn service(&self) -> &dyn Service {
        &*self.service
    }

    pub(in crate::node) fn applied(&self) -> Position {
        self.applied
    }

    pub(in crate::node) fn is_open(&self) -> bool {
        self.opened
    }

    pub(in crate::node) fn keys_len(&self) -> usize {
        self.keys.len()
    }

    pub(in crate::node) fn keys_complete(&self) -> bool {
        self.keys.is_complete()
    }

    pub(in crate::node) fn in_flight(&self) -> Share {
        self.budget.all()
    }

    pub(in crate::node) fn waiting_for_resources(&self) -> usize {
        self.locks.waiting()
    }

    pub(in crate::node) fn is_disk_full(&self) -> bool {
        self.full_since.is_some()
    }

    pub(in crate::node) fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What is known of a key.
pub(in crate::node) enum Known {
    /// In flight: not sealed yet, or in the log as this version.
    Pending(Option<Version>),
    /// Done.
    Committed(keys::Remembered),
}

/// The record as the service sees it.
pub(in crate::node) fn entry(record: &Record) -> Entry<'_> {
    let operation = (record.kind == Kind::Operation).then_some(&record.operation);
    Entry { version: record.version, time: record.time, operation }
}

/// What Rig itself remembers of an applied record; the same at a start and while serving.
/// The digest is that of the record's key, where it is known already.
pub(in crate::node) fn note(
    record: &Record,
    digest: Option<keys::KeyDigest>,
    outcome: &Outcome,
    keys: &mut keys::Keys,
    chronicle: &mut Chronicle,
) {
    chronicle.note(record);
    match (digest.or_else(|| record.key.as_deref().map(keys::digest)), record.kind) {
        (_, Kind::Control) => keys.saw(record.time),
        (Some(digest), Kind::Operation) => keys.insert(digest, record, outcome.status, &outcome.result),
        (None, Kind::Operation) => keys.saw(record.time),
    }
}

pub(super) fn unknown(version: Version, key: Option<&str>, why: &str) -> Problem {
    let problem = Problem::new(Code::OutcomeUnknown, format!("version {version}: {why}"))
        .hint("send again with the same key, or ask GET /outcome/{key}")
        .with("version", version);
    match key {
        Some(key) => problem.with("key", key),
        None => problem.with("key", serde_json::Value::Null),
    }
}

fn follow_until(
    reply: ReplyTo,
    deadline: Instant,
    stage: Stage,
    key: Option<&str>,
    now: Instant,
    answers: &mut Vec<Answer>,
    counters: &mut Counters,
) -> bool {
    if deadline > now {
        return true;
    }
    counters.unknown += 1;
    let version = match stage {
        Stage::Judging { .. } | Stage::Waiting { .. } => 0,
        Stage::Sealed { version } | Stage::GivenUp { version } => version,
    };
    answers.push(Answer::refused(reply, unknown(version, key, "the first request with this key is still in flight")));
    false
}
