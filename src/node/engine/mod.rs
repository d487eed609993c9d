//! The write path, from an admitted request to its answer; it owns all state that a write can change.
//!
//! ```text
//!   submit ─► key known? ─► locks ─► validate ─► Propose ─► sealed into a batch ─► (log thread)
//!                │             ▲                                                       │
//!             answer           └── released ◄── answer ◄── apply ◄── Commit ◄── synced ◄┘
//! ```
//!
//! One thread calls it, so nothing here is locked in the sense of a mutex. It knows no socket, file or clock:
//! answers, batches and what the core wants recorded are collected, and the event loop takes them away.
//!
//! # Invariants
//! 1. Every submission is answered exactly once; one that is in the log after its deadline is answered 504.
//! 2. A refusal means that nothing was sealed for this submission.
//! 3. `queue` holds exactly the records behind the applied version, in version order, without gaps.
//! 4. The sealer, the core and the queue agree about the end of the log at all times.
//!
//! # Not here
//! HTTP (`node::routes`), syncing (`node::writer`), when a snapshot is due (`node::snapshots`).

mod apply;
mod budget;
mod counters;
mod diverged;
mod judging;
mod outside;
mod participant;
mod peers;
mod pending;
#[cfg(test)]
mod tests;

pub(super) use apply::{Known, entry, note};
pub(super) use counters::{Counters, Method};
pub(super) use outside::{Condition, Order, Question, Who};
pub(super) use peers::{Effect, Malformed};
pub(super) use pending::{Answer, Applied, ReplyTo, Submission};

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use budget::Budget;
use outside::Outside;
use pending::{Pending, Slab, Stage};
use uuid::Uuid;

use super::chronicle::Chronicle;
use super::hashed::Hashed;
use super::keys::{self, KeyDigest, Keys};
use super::locks::{Locks, Ticket};
use super::marks::Marks;
use crate::error::{Code, Problem};
use crate::limits::{DATA_BYTES_MAX, LOCK_TIMEOUT};
use crate::log::{Batch, Sealer};
use crate::replication::{Control, Input, Member, Output, Outputs, Refusal, Replication, Slot};
use crate::service::{Context, Resources, Service, ServiceError};
use crate::types::{Durable, Epoch, Hash, Kind, Micros, Operation, Position, Record, Role, Version};

/// How often a full disk is tried again.
const ROOM_PROBE: Duration = Duration::from_secs(1);

/// Both clocks, read once for many decisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For deadlines.
    pub(super) instant: Instant,
    /// For records.
    pub(super) micros: Micros,
}

/// The write path's state.
pub(super) struct Engine {
    core: Replication,
    outputs: Outputs,
    /// An emptied list, for its memory.
    spare_outputs: Outputs,
    sealer: Sealer,
    /// Sealed and not yet with the log thread; the last one is being filled.
    batches: VecDeque<Batch>,
    /// Emptied batches, for their memory.
    spare: Vec<Batch>,
    service: Box<dyn Service>,
    /// Present when `service` stands in the place of one outside.
    outside: Option<Outside>,
    keys: Keys,
    locks: Locks,
    granted: Vec<Ticket>,
    pending: Slab,
    by_key: HashMap<KeyDigest, Ticket, Hashed>,
    /// Keyed submissions that must wait until all keys, or the epoch, are known.
    parked: VecDeque<Submission>,
    queue: VecDeque<Queued>,
    /// Bytes of the data in `queue`.
    queue_bytes: usize,
    /// Up to here the log was taken over when this term began: none of it has a ticket.
    tail_until: Version,
    /// The keys among them that wait for a service outside.
    tail_keys: HashSet<Box<str>>,
    /// Requests so far.
    serial: u64,
    /// The service is being built anew: nothing is given to it meanwhile.
    is_rebuilding: bool,
    budget: Budget,
    /// Operations that ran alone: they may have changed which resources others need.
    laws: u64,
    last_time: Micros,
    durable: Position,
    applied: Position,
    chronicle: Chronicle,
    /// The core's time, in microseconds since here.
    begin: Instant,
    /// What the machine has slept since then, where that counts.
    slept: u64,
    core_time: u64,
    opened: bool,
    /// Who leads, as the coordinator has it.
    recorded_primary: Option<Member>,
    /// Why the coordinator is of no use now.
    coordinator_fault: Option<String>,
    full_since: Option<Instant>,
    next_probe: Option<Instant>,
    effects: Vec<Effect>,
    answers: Vec<Answer>,
    /// Answers that wait until replicas have applied what they are about.
    held: VecDeque<Held>,
    participant: participant::Participant,
    /// The last term of this process.
    own_epoch: Option<Epoch>,
    /// Committed, and not applied yet: only a replica puts that off.
    to_apply: Version,
    marks: Marks,
    /// The first version whose result here was another than the primary's, and the primary's mark.
    differs: Option<(Version, u32)>,
    /// Nothing is applied for a while.
    still: bool,
    counters: Counters,
}

/// A sealed record that is not applied yet.
struct Queued {
    record: Record,
    ticket: Option<Ticket>,
}

/// An answer that waits until replicas have applied what it is about.
struct Held {
    version: Version,
    deadline: Instant,
    key: Option<Box<str>>,
    answer: Answer,
}

/// What a start hands over.
pub(super) struct Parts {
    pub(super) core: Replication,
    pub(super) outputs: Outputs,
    pub(super) sealer: Sealer,
    pub(super) service: Box<dyn Service>,
    /// Whether `service` only stands in the place of one outside.
    pub(super) is_outside: bool,
    pub(super) keys: Keys,
    /// Durable records behind the applied version: not known to be decided yet.
    pub(super) tail: Vec<Record>,
    pub(super) durable: Position,
    pub(super) applied: Position,
    pub(super) chronicle: Chronicle,
    pub(super) marks: Marks,
    /// Zero of the core's clock.
    pub(super) begin: Instant,
    pub(super) last_time: Micros,
}

impl Engine {
    /// Takes over from a start, and does what the core asks for first.
    pub(super) fn new(parts: Parts, now: Now) -> Result<Self, ServiceError> {
        let committed = parts.core.committed();
        let mut engine = Self {
            core: parts.core,
            outputs: parts.outputs,
            spare_outputs: Outputs::new(),
            sealer: parts.sealer,
            batches: VecDeque::from([Batch::default()]),
            spare: Vec::new(),
            service: parts.service,
            outside: parts.is_outside.then(Outside::new),
            keys: parts.keys,
            locks: Locks::default(),
            granted: Vec::new(),
            pending: Slab::default(),
            by_key: HashMap::default(),
            parked: VecDeque::new(),
            queue_bytes: parts.tail.iter().map(|record| record.operation.data.len()).sum(),
            tail_until: 0,
            tail_keys: HashSet::new(),
            serial: 0,
            is_rebuilding: false,
            queue: parts.tail.into_iter().map(|record| Queued { record, ticket: None }).collect(),
            budget: Budget::default(),
            laws: 0,
            last_time: parts.last_time,
            durable: parts.durable,
            applied: parts.applied,
            chronicle: parts.chronicle,
            begin: parts.begin,
            slept: 0,
            core_time: 0,
            recorded_primary: None,
            coordinator_fault: None,
            opened: false,
            full_since: None,
            next_probe: None,
            effects: Vec::new(),
            answers: Vec::new(),
            held: VecDeque::new(),
            participant: participant::Participant::default(),
            own_epoch: None,
            // What is decided and not applied was left to a service outside.
            to_apply: if parts.is_outside { committed } else { 0 },
            marks: parts.marks,
            differs: None,
            still: false,
            counters: Counters::default(),
        };
        engine.perform(now)?;
        Ok(engine)
    }

    /// Takes a request; its answer appears in [`Engine::take_answers`], now or later.
    pub(super) fn submit(&mut self, submission: Submission, now: Now) -> Result<(), ServiceError> {
        if let Some(problem) = self.admit(&submission) {
            self.refuse(submission, problem);
            return Ok(());
        }
        if self.core.role() == Role::Replica {
            let problem = self.explain(self.core.refusal(None).unwrap_or(Refusal::NotPrimary(None)));
            self.refuse(submission, problem);
            return Ok(());
        }
        let Some(submission) = self.answer_known(submission) else { return Ok(()) };
        if self.must_park(&submission) {
            self.park(submission);
            return Ok(());
        }
        if let Some(problem) = self.refusal(&submission, now) {
            self.refuse(submission, problem);
            return Ok(());
        }
        if self.outside.is_some() {
            return self.ask(submission, now);
        }
        let resources = match self.service.resources(&submission.operation) {
            Ok(resources) => resources,
            Err(problem) => {
                self.counters.rejected(&submission.operation.method);
                self.answers.push(Answer::refused(submission.reply, problem));
                return Ok(());
            }
        };
        self.enter(submission, resources, now);
        self.run_granted(now)
    }

    /// What is refused whatever the state.
    fn admit(&self, submission: &Submission) -> Option<Problem> {
        if submission.operation.is_control() {
            let detail = format!("methods that begin with rig_ are Rig's own, `{}` too", submission.operation.method);
            return Some(Problem::new(Code::Invalid, detail));
        }
        if submission.operation.data.len() > DATA_BYTES_MAX {
            let size = submission.operation.data.len();
            let detail = format!("data has {size} bytes, the limit of one operation is {DATA_BYTES_MAX}");
            return Some(Problem::new(Code::TooLarge, detail));
        }
        None
    }

    /// Answers what is in flight or remembered under the same key; gives the submission back when it is new.
    fn answer_known(&mut self, submission: Submission) -> Option<Submission> {
        let (Some(key), Some(digest)) = (&submission.key, &submission.digest) else { return Some(submission) };
        if let Some(ticket) = self.by_key.get(digest) {
            let pending = self.pending.get_mut(*ticket);
            if pending.submission.request_hash == submission.request_hash {
                pending.followers.push((submission.reply, submission.deadline));
            } else {
                let problem = key_reused(key, None);
                self.refuse(submission, problem);
            }
            return None;
        }
        let Some(found) = self.keys.get(digest) else { return Some(submission) };
        let request = keys::half(&submission.request_hash.unwrap_or_default().0);
        if found.request != request {
            let problem = key_reused(key, Some(found.version));
            self.refuse(submission, problem);
        } else if !self.opened {
            // No answer before the epoch is open, not even to a retry of an old operation.
            self.park(submission);
        } else {
            self.counters.replayed += 1;
            self.answers.push(Answer::replayed(submission.reply, found));
        }
        None
    }

    /// Why a new operation is not taken now. Every one of these means: not logged.
    fn refusal(&mut self, submission: &Submission, now: Now) -> Option<Problem> {
        if let Some(refusal) = self.core.refusal(None) {
            return Some(self.explain(refusal));
        }
        if let Some(problem) = self.service_away() {
            return Some(problem);
        }
        if let Some(since) = self.full_since {
            if self.next_probe.is_some_and(|probe| now.instant < probe) {
                return Some(match now.instant.duration_since(since).as_secs() {
                    0 => disk_full("the disk of the log is full".into()),
                    seconds => disk_full(format!("the disk of the log has been full for {seconds} s")),
                });
            }
            self.next_probe = Some(now.instant + ROOM_PROBE);
        }
        self.budget.refusal(submission.client, submission.operation.data.len())
    }

    /// It waits to hear whether it is in the log.
    fn park(&mut self, submission: Submission) {
        let (client, bytes) = (submission.client, submission.operation.data.len());
        match self.budget.refusal(client, bytes) {
            Some(problem) => self.refuse(submission, problem),
            None => {
                self.budget.take(client, bytes);
                self.parked.push_back(submission);
            }
        }
    }

    /// Those who have waited for that, and wait no more.
    fn take_parked(&mut self, is_over: impl Fn(&Submission) -> bool) -> VecDeque<Submission> {
        let (over, parked) = self.parked.drain(..).partition(is_over);
        self.parked = parked;
        for submission in &over {
            let Submission { client, operation, .. } = submission;
            self.budget.give_back(*client, operation.data.len());
        }
        over
    }

    fn enter(&mut self, submission: Submission, resources: Resources, now: Now) {
        let stage = Stage::Waiting { until: submission.deadline.min(now.instant + LOCK_TIMEOUT) };
        let ticket = self.place(submission, stage, now);
        self.pending.get_mut(ticket).alone = resources == Resources::Alone;
        self.locks.enter(ticket, resources, &mut self.granted);
    }

    /// Gives a submission its place among those in flight.
    fn place(&mut self, submission: Submission, stage: Stage, now: Now) -> Ticket {
        self.budget.take(submission.client, submission.operation.data.len());
        self.serial += 1;
        let digest = submission.digest;
        let (followers, alone, laws, serial, judgement) = (Vec::new(), false, self.laws, self.serial, None);
        let since = now.instant;
        let ticket =
            self.pending.insert(Pending { submission, since, followers, stage, alone, laws, serial, judgement });
        if let Some(digest) = digest {
            self.by_key.insert(digest, ticket);
        }
        ticket
    }

    /// Whether a key that is not known here was never in the log.
    fn knows_all_keys(&self) -> bool {
        self.keys.is_complete() && self.opened && self.tail_keys.is_empty()
    }

    /// Whether nobody can say yet if it is in the log.
    fn must_park(&self, submission: &Submission) -> bool {
        let Some(key) = &submission.key else { return false };
        let is_unknown = !self.keys.is_complete() || !self.opened || self.tail_keys.contains(key);
        is_unknown && !self.is_blocked()
    }

    /// Validates, sequences and seals everything that holds its resources.
    fn run_granted(&mut self, now: Now) -> Result<(), ServiceError> {
        let mut granted = std::mem::take(&mut self.granted);
        while !granted.is_empty() {
            for ticket in granted.drain(..) {
                self.run(ticket, now);
            }
            std::mem::swap(&mut granted, &mut self.granted);
        }
        self.granted = granted;
        self.perform(now)
    }

    fn run(&mut self, ticket: Ticket, now: Now) {
        if self.outside.is_some() {
            return self.run_judged(ticket, now);
        }
        let pending = self.pending.get_mut(ticket);
        if pending.laws != self.laws {
            // What ran alone meanwhile (a schema) may have changed what this one must hold.
            pending.laws = self.laws;
            match self.service.resources(&pending.submission.operation) {
                Ok(resources) => {
                    pending.alone = resources == Resources::Alone;
                    self.locks.leave(ticket, &mut self.granted);
                    self.locks.enter(ticket, resources, &mut self.granted);
                }
                Err(problem) => self.reject(ticket, problem),
            }
            return;
        }
        let context = Context { now: now.micros, fresh_id: &Uuid::now_v7 };
        let begin = Instant::now();
        let verdict = self.service.validate(&pending.submission.operation, &context);
        self.counters.validated(begin);
        match verdict {
            Err(problem) => self.reject(ticket, problem),
            Ok(valid) => self.propose(ticket, valid.data, now),
        }
    }

    /// Seals what was found valid, if the core has a place for it.
    fn propose(&mut self, ticket: Ticket, data: Option<Box<str>>, now: Now) {
        let expect = self.pending.get_mut(ticket).submission.expect;
        self.step(Input::Propose { expect });
        match self.outputs.pop() {
            Some(Output::Append { slot, control: None }) => self.seal_operation(ticket, slot, data, now),
            Some(Output::Refuse(refusal)) => {
                let problem = self.explain(refusal);
                self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
                self.counters.refused += 1;
            }
            other => unreachable!("a proposal is appended or refused, not {other:?}"),
        }
    }

    fn reject(&mut self, ticket: Ticket, problem: Problem) {
        let method = &self.pending.get_mut(ticket).submission.operation.method;
        self.counters.rejected(method);
        self.end(ticket, |reply| Answer::refused(reply, problem.clone()));
    }

    fn seal_operation(&mut self, ticket: Ticket, slot: Slot, data: Option<Box<str>>, now: Now) {
        let pending = self.pending.get_mut(ticket);
        pending.stage = Stage::Sealed { version: slot.version };
        let submission = &mut pending.submission;
        let mut operation = std::mem::replace(&mut submission.operation, Operation::new("", ""));
        // The bytes in flight stay those of the request: what is given back must be what was taken.
        submission.data_bytes = operation.data.len();
        if let Some(data) = data {
            operation.data = data;
        }
        let (key, request_hash) = (submission.key.clone(), submission.request_hash);
        let actor = std::mem::take(&mut submission.actor);
        self.seal(slot, Kind::Operation, operation, (key, request_hash, actor), Some(ticket), now);
    }

    fn seal(
        &mut self,
        slot: Slot,
        kind: Kind,
        operation: Operation,
        (key, request_hash, actor): (Option<Box<str>>, Option<Hash>, Box<str>),
        ticket: Option<Ticket>,
        now: Now,
    ) {
        self.last_time = self.last_time.max(now.micros);
        let mut record = Record {
            version: slot.version,
            epoch: slot.epoch,
            time: self.last_time,
            commit_upto: slot.commit_upto,
            kind,
            key,
            request_hash,
            actor,
            operation,
            hash: Hash::default(),
        };
        if self.batches.back().is_none_or(Batch::is_full) {
            self.batches.push_back(self.spare.pop().unwrap_or_default());
        }
        let batch = self.batches.back_mut().expect("one was just made");
        self.sealer.seal(&mut record, batch);
        self.push_queued(record, ticket);
    }

    fn push_queued(&mut self, record: Record, ticket: Option<Ticket>) {
        self.queue_bytes += record.operation.data.len();
        self.queue.push_back(Queued { record, ticket });
    }

    fn pop_queued(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes -= queued.record.operation.data.len();
        Some(queued)
    }

    /// Takes the last record back, if it is behind this version.
    fn pop_queued_behind(&mut self, version: Version) -> Option<Queued> {
        let queued = self.queue.pop_back_if(|queued| queued.record.version > version)?;
        self.queue_bytes -= queued.record.operation.data.len();
        Some(queued)
    }

    /// A term begins: what is in the queue waits for the service without a ticket.
    fn take_over_tail(&mut self) {
        if self.outside.is_some() {
            self.tail_until = self.sealer.position().version;
            self.tail_keys = self.queue.iter().filter_map(|queued| queued.record.key.clone()).collect();
        }
    }

    /// Carries out what the core asked for.
    fn perform(&mut self, now: Now) -> Result<(), ServiceError> {
        let mut opened = false;
        while !self.outputs.is_empty() {
            let mut outputs = std::mem::replace(&mut self.outputs, std::mem::take(&mut self.spare_outputs));
            for output in outputs.drain(..) {
                match output {
                    Output::Append { slot, control: Some(Control { method, data }) } => {
                        self.own_epoch = Some(slot.epoch);
                        let operation = Operation::new(method, data);
                        self.seal(slot, Kind::Control, operation, (None, None, "".into()), None, now);
                    }
                    Output::Append { control: None, .. } | Output::Refuse(_) => {
                        unreachable!("answers to a proposal are taken where it is made")
                    }
                    // A replica acknowledges first and applies when there is time: nobody waits for it.
                    Output::Commit(version) if self.core.role() == Role::Replica && self.pending.len() == 0 => {
                        self.to_apply = version;
                    }
                    Output::Commit(version) => self.commit(version)?,
                    Output::Opened(_) => {
                        (self.opened, opened) = (true, true);
                        self.take_over_tail();
                    }
                    Output::Rewind { .. } => self.rewind(),
                    // Taken where the message came in.
                    Output::Write | Output::TakeChunk { .. } => {}
                    Output::Deposed { .. } => self.deposed(),
                    Output::Results { link, epoch, after, last } => self.tell_results(link, epoch, after, last),
                    Output::Compare { first, marks } => self.compare_results(first, &marks),
                    other => {
                        if let Output::Cut { to, .. } = &other {
                            self.to_apply = self.to_apply.min(*to);
                        }
                        self.effects.push(Effect::from(other));
                    }
                }
            }
            self.spare_outputs = outputs;
        }
        // Those who waited come behind everything that the core has given a place to.
        if opened { self.unpark(now) } else { Ok(()) }
    }

    fn step(&mut self, input: Input) {
        self.core.step(input, self.core_time, &mut self.outputs);
    }

    fn core_time_at(&self, now: Now) -> u64 {
        u64::try_from(now.instant.duration_since(self.begin).as_micros()).unwrap_or(u64::MAX / 2) + self.slept
    }

    /// When the core wants to look at the clock.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.core.wake_at().map(|at| self.begin + Duration::from_micros(at.saturating_sub(self.slept)))
    }

    /// Whether the core wants to look at the clock.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.core.wake_at().is_some_and(|at| at <= self.core_time_at(now))
    }

    /// Something happened that only the core can judge.
    pub(super) fn tell(&mut self, input: Input, now: Now) -> Result<(), ServiceError> {
        self.core_time = self.core_time_at(now);
        self.step(input);
        self.perform(now)?;
        self.release_held();
        self.run_granted(now)
    }

    /// The log thread has synced a batch.
    pub(super) fn synced(&mut self, durable: Durable, batch: Batch, now: Now) -> Result<(), ServiceError> {
        self.recycle(batch);
        self.full_since = None;
        self.next_probe = None;
        let index = usize::try_from(durable.version() - self.applied.version).expect("the queue is in memory");
        if let Some(last) = index.checked_sub(1).and_then(|index| self.queue.get(index)) {
            let record = &last.record;
            assert_eq!(record.version, durable.version(), "the queue is without gaps");
            self.durable = Position { epoch: record.epoch, version: record.version, hash: record.hash };
        }
        self.prepared_is_durable();
        self.tell(Input::Synced(durable), now)
    }

    /// All keys are known from now on.
    pub(super) fn keys_loaded(&mut self, runs: keys::Runs, now: Now) -> Result<(), ServiceError> {
        self.keys.loaded(runs);
        self.unpark(now)
    }

    fn unpark(&mut self, now: Now) -> Result<(), ServiceError> {
        if self.knows_all_keys() {
            for submission in self.take_parked(|_| true) {
                self.submit(submission, now)?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, submission: Submission, problem: Problem) {
        self.counters.refused += 1;
        self.answers.push(Answer::refused(submission.reply, problem));
    }

    /// A refusal of the core in the contract's words.
    fn explain(&self, refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Recovering => self.not_open("nothing was logged"),
            Refusal::Draining => Problem::new(Code::Draining, "the node is stopping; nothing was logged")
                .hint("send again when it is back"),
            Refusal::NotPrimary(_) => self.not_primary("/do"),
            Refusal::NotParticipant => Problem::new(Code::NotParticipant, "a primary lists this node, or it is one")
                .hint("send the operation to the primary, with POST /do"),
            Refusal::InProgress => Problem::new(Code::InProgress, "another prepare is under way; nothing was logged")
                .hint("POST /log/commit or /log/rollback first"),
            Refusal::NothingPrepared => Problem::new(Code::NotFound, "nothing is prepared and not committed"),
            Refusal::Full => disk_full("the disk of the log is full".into()),
            Refusal::SplitBrain => Problem::new(Code::Recovering, "two sides have written; nothing was logged")
                .hint("name the winner with `rig resolve`"),
            Refusal::Failed => Problem::new(Code::Recovering, "the log has failed; nothing was logged")
                .hint("read the node's log for the reason"),
            Refusal::NotEnoughReplicas { wanted, present } => {
                // Another mode may be on its way, and this one holds until that is committed.
                let until = self.core.pending_config().map(|(version, _)| version);
                let until = until.map(|version| format!(", which holds until version {version} is committed,"));
                let until = until.unwrap_or_default();
                let detail =
                    format!("mode sync{until} wants {wanted} replicas in sync, {present} are; nothing was logged");
                // Without a member to be asked this node alone decides about the mode.
                let is_alone = self.core.config().is_some_and(|config| config.replicas() == 0);
                Problem::new(Code::NotEnoughReplicas, detail).hint(if is_alone {
                    "start a replica (`rig serve --role replica --peer URL`), or go on alone: rig config set replication=semi-sync"
                } else {
                    "start the replica that is away: `rig status` names it"
                })
            }
            Refusal::NoCoordinator => {
                let detail = "the coordinator does not answer, or this node holds no lease there, and without it fewer nodes \
                              may not decide; nothing was logged";
                Problem::new(Code::NotEnoughReplicas, detail).hint("look at the coordinator; `rig status` says more")
            }
            Refusal::VersionConflict { next } => {
                Problem::new(Code::VersionConflict, format!("the next version is {next}; nothing was logged"))
                    .hint("read what is new, then send again with the version that is next")
                    .with("next_version", next)
            }
        }
    }
}

fn key_reused(key: &str, version: Option<Version>) -> Problem {
    let place = version.map_or_else(|| "in flight".to_owned(), |version| format!("version {version}"));
    let problem = Problem::new(Code::KeyReused, format!("key `{key}` came with another request before ({place})"))
        .hint("a key belongs to one request: take a new one");
    match version {
        Some(version) => problem.with("version", version),
        None => problem,
    }
}

fn disk_full(detail: String) -> Problem {
    Problem::new(Code::DiskFull, format!("{detail}; nothing was logged, reads go on"))
        .hint("make room on the disk of the data directory; writes go on by themselves then")
}
