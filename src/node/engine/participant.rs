//! The participant calls on their way through the engine: prepare, commit, rollback, driven by a caller from outside.
//!
//! ```text
//!   prepare ─► core ─► validate ─► sealed ─► (log thread) ─► synced ─► answer
//!   commit ──► core ─► apply ─► answer          rollback ─► core ─► (cut) ─► answer
//! ```

use uuid::Uuid;

use super::{Engine, Now, ReplyTo};
use crate::error::{Code, Problem};
use crate::limits::SERVICE_VALIDATE_TIMEOUT;
use crate::node::adapter::Verdict;
use crate::replication::{Input, Output, Refusal};
use crate::service::{Context, ServiceError};
use crate::types::{Kind, Operation, Record, Version};

/// What callers wait for, and what they are told.
#[derive(Debug, Default)]
pub(super) struct Participant {
    /// What a service outside is judging.
    judging: Option<(Version, Operation, ReplyTo)>,
    prepare: Option<(Version, ReplyTo)>,
    commit: Option<(Record, ReplyTo)>,
    rollback: Option<(Record, ReplyTo)>,
    answers: Vec<(ReplyTo, Result<Record, Problem>)>,
}

impl Participant {
    /// Whether a caller waits for a verdict, or for what it has committed to be applied.
    fn is_busy(&self) -> bool {
        self.judging.is_some() || self.commit.is_some()
    }
}

impl Engine {
    /// `POST /log/prepare`.
    pub(in crate::node) fn prepare(
        &mut self,
        reply: ReplyTo,
        operation: Operation,
        version: Version,
        now: Now,
    ) -> Result<(), ServiceError> {
        let outcome = match self.may_prepare(&operation, version) {
            Ok(()) if self.outside.is_some() => {
                self.participant.judging = Some((version, operation.clone(), reply));
                self.ask_prepare(operation, now.instant + SERVICE_VALIDATE_TIMEOUT, now);
                return self.perform(now);
            }
            Ok(()) => {
                let context = Context { now: now.micros, fresh_id: &Uuid::now_v7 };
                self.service
                    .validate(&operation, &context)
                    .and_then(|valid| self.seal_prepared(operation, valid.data, version, now))
            }
            Err(problem) => Err(problem),
        };
        self.prepare_is_tried(outcome, version, reply);
        self.perform(now)
    }

    /// A service outside has judged what is to be prepared.
    pub(super) fn prepare_is_judged(&mut self, verdict: Verdict, now: Now) {
        let Some((version, operation, reply)) = self.participant.judging.take() else { return };
        let outcome = verdict.and_then(|(data, _)| {
            self.may_prepare(&operation, version)?;
            self.seal_prepared(operation, data, version, now)
        });
        self.prepare_is_tried(outcome, version, reply);
    }

    fn prepare_is_tried(&mut self, outcome: Result<(), Problem>, version: Version, reply: ReplyTo) {
        match outcome {
            Ok(()) => self.participant.prepare = Some((version, reply)),
            Err(problem) => self.participant.answers.push((reply, Err(problem))),
        }
    }

    fn may_prepare(&self, operation: &Operation, version: Version) -> Result<(), Problem> {
        if operation.is_control() {
            return Err(Problem::new(Code::Invalid, "methods that begin with rig_ are Rig's own"));
        }
        let next = self.core.appended() + 1;
        let refusal = if !self.core.is_participant() {
            Some(Refusal::NotParticipant)
        } else if self.core.prepared().is_some() || self.participant.is_busy() {
            Some(Refusal::InProgress)
        } else if version != next {
            Some(Refusal::VersionConflict { next })
        } else {
            None
        };
        match refusal {
            Some(refusal) => Err(self.explain_prepare(refusal)),
            None => self.service_away().map_or(Ok(()), Err),
        }
    }

    fn seal_prepared(
        &mut self,
        operation: Operation,
        data: Option<Box<str>>,
        version: Version,
        now: Now,
    ) -> Result<(), Problem> {
        self.step(Input::Prepare { version });
        match self.outputs.pop() {
            Some(Output::Append { slot, control: None }) => {
                let data = data.unwrap_or(operation.data);
                let operation = Operation { data, ..operation };
                self.seal(slot, Kind::Operation, operation, (None, None, "".into()), None, now);
                Ok(())
            }
            Some(Output::Refuse(refusal)) => Err(self.explain_prepare(refusal)),
            other => unreachable!("a prepare is appended or refused, not {other:?}"),
        }
    }

    /// The original answers 400 where the version is not the next one.
    fn explain_prepare(&self, refusal: Refusal) -> Problem {
        match refusal {
            Refusal::VersionConflict { next } => {
                Problem::new(Code::BadRequest, format!("the next version is {next}; nothing was logged"))
                    .with("next_version", next)
            }
            other => self.explain(other),
        }
    }

    /// `POST /log/commit` and `POST /log/rollback`.
    pub(in crate::node) fn decide(&mut self, reply: ReplyTo, commit: bool, now: Now) -> Result<(), ServiceError> {
        let record = self.queue.back().map(|queued| queued.record.clone());
        self.step(Input::Decide { commit });
        let refused = self.outputs.iter().position(|output| matches!(output, Output::Refuse(_)));
        if let Some(place) = refused
            && let Output::Refuse(refusal) = self.outputs.remove(place)
        {
            let problem = self.explain(refusal);
            self.participant.answers.push((reply, Err(problem)));
            return self.perform(now);
        }
        let record = record.expect("what is prepared is in the queue");
        if commit {
            self.perform(now)?;
            self.apply_some(now)?;
            self.participant.commit = Some((record, reply));
            self.committed_is_applied();
            return Ok(());
        }
        self.participant.rollback = Some((record, reply));
        self.perform(now)
    }

    /// Whoever committed is answered when it is applied.
    pub(super) fn committed_is_applied(&mut self) {
        let applied = self.applied.version;
        if let Some((record, reply)) = self.participant.commit.take_if(|(record, _)| record.version <= applied) {
            self.participant.answers.push((reply, Ok(record)));
        }
    }

    /// The prepared record is durable.
    pub(super) fn prepared_is_durable(&mut self) {
        let durable = self.durable.version;
        if let Some((_, reply)) = self.participant.prepare.take_if(|(version, _)| *version <= durable) {
            let record = self.queue.back().map(|queued| queued.record.clone());
            self.participant.answers.extend(record.map(|record| (reply, Ok(record))));
        }
    }

    /// There was no room for the prepared record.
    pub(super) fn prepared_has_no_room(&mut self, problem: Problem) {
        if let Some((_, reply)) = self.participant.prepare.take() {
            self.participant.answers.push((reply, Err(problem)));
        }
    }

    /// The prepared record has left the log.
    pub(super) fn rolled_back(&mut self) {
        if let Some((record, reply)) = self.participant.rollback.take() {
            self.participant.answers.push((reply, Ok(record)));
        }
    }

    /// Whether the log is being cut on a participant's caller's word, so that nothing is rescued.
    pub(in crate::node) fn is_rolling_back(&self) -> bool {
        self.participant.rollback.is_some()
    }

    /// What the callers are told.
    pub(in crate::node) fn take_participant_answers(&mut self) -> Vec<(ReplyTo, Result<Record, Problem>)> {
        std::mem::take(&mut self.participant.answers)
    }
}
