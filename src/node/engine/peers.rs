//! The write path of a replica, and the end of a primary's: what other nodes send and what the core wants of them.
//!
//! ```text
//!   frame ─► check the records against the chain ─► core ─┬─ Write ─► queue, batch ─► (log thread)
//!                                                          └─ anything else ─► effects ─► event loop
//! ```
//!
//! # Invariants
//! 1. Records are checked, hash and all, before the core hears of them; only whole runs are taken.
//! 2. After a node was deposed nothing it had in flight is answered 200 by it.

use super::{Engine, Now};
use crate::error::{Code, Problem};
use crate::log::{Batch, Checked, Fault, Sealer};
use crate::node::chronicle::{self, Chronicle};
use crate::node::keys::Keys;
use crate::node::marks::Marks;
use crate::replication::{
    Append, Chunk, Closing, Event, Input, Landmark, Link, Member, Message, NotPromoted, Output, Refusal, Register,
    Standing,
};
use crate::service::{Service, ServiceError};
use crate::types::{Epoch, NodeState, Position, Record, Version};

/// Bytes that were taken from a primary and not written before no more is read from it.
const UNWRITTEN_BYTES_MAX: usize = 32 << 20;

/// What the event loop must do, in order.
#[derive(Debug)]
pub(in crate::node) enum Effect {
    /// Make it durable, then tell [`Input::Recorded`].
    Record(Standing),
    /// Set aside what is behind this version and cut it off.
    Cut { to: Version, committed: Version, for_epoch: Epoch },
    /// Read a chain hash.
    ReadHash { link: Link, version: Version },
    /// Say this.
    Send { link: Link, message: Message },
    /// Send records.
    Stream { link: Link, epoch: Epoch, after: Version, last: Version, committed: Version, adopt: bool },
    /// Look for a snapshot for the other end.
    FindSnapshot { link: Link },
    /// Send bytes of it.
    SendChunk { link: Link, chunk: Chunk },
    /// Take a snapshot from the other end.
    TakeSnapshot { link: Link, at: Position, bytes: u64 },
    /// Write bytes of it.
    TakeChunk { link: Link, chunk: Chunk, bytes: Vec<u8> },
    /// Put it in the place of log and service.
    Install { at: Position, keep: Version, committed: Version, for_epoch: Epoch },
    /// End a connection.
    Close { link: Link, why: Closing },
    /// Note a range of versions that were acknowledged alone.
    Alone { from: Version, to: Version },
    /// The operator's request has come to its end.
    Answered { request: u64, result: Result<(), NotPromoted> },
    /// People want to hear of it.
    Event(Event),
    /// Write the batch that found no room again, later.
    TryAgain,
    /// Put this value at the coordinator.
    Swap { expect: u64, register: Register },
    /// Not any more.
    ForgetSwap,
}

impl From<Output> for Effect {
    fn from(output: Output) -> Self {
        match output {
            Output::Record(standing) => Self::Record(standing),
            Output::Cut { to, committed, for_epoch } => Self::Cut { to, committed, for_epoch },
            Output::ReadHash { link, version } => Self::ReadHash { link, version },
            Output::Send { link, message } => Self::Send { link, message },
            Output::Stream { link, epoch, after, last, committed, adopt } => {
                Self::Stream { link, epoch, after, last, committed, adopt }
            }
            Output::Close { link, why } => Self::Close { link, why },
            Output::Alone { from, to } => Self::Alone { from, to },
            Output::Answer { request, result } => Self::Answered { request, result },
            Output::Event(event) => Self::Event(event),
            Output::TryAgain => Self::TryAgain,
            Output::Swap { expect, register } => Self::Swap { expect, register },
            Output::ForgetSwap => Self::ForgetSwap,
            Output::FindSnapshot { link } => Self::FindSnapshot { link },
            Output::SendChunk { link, chunk } => Self::SendChunk { link, chunk },
            Output::TakeSnapshot { link, at, bytes } => Self::TakeSnapshot { link, at, bytes },
            Output::Install { at, keep, committed, for_epoch } => Self::Install { at, keep, committed, for_epoch },
            Output::Append { .. }
            | Output::Write
            | Output::Rewind { .. }
            | Output::Refuse(_)
            | Output::Commit(_)
            | Output::Opened(_)
            | Output::Results { .. }
            | Output::Compare { .. }
            | Output::TakeChunk { .. }
            | Output::Deposed { .. } => unreachable!("{output:?} is the engine's own to do"),
        }
    }
}

/// What a peer has sent is not what may be sent there.
#[derive(Debug)]
pub(in crate::node) struct Malformed(pub(in crate::node) Fault);

impl Engine {
    /// A peer has spoken. `Err` inside: its records are not a continuation of this log, and nothing was taken.
    pub(in crate::node) fn peer_said(
        &mut self,
        link: Link,
        mut message: Message,
        wire: &[u8],
        now: Now,
    ) -> Result<Result<(), Malformed>, ServiceError> {
        let checked = match &mut message {
            Message::Append(append) | Message::Records(append) => match self.check(append, wire) {
                Ok(checked) => checked,
                Err(fault) => return Ok(Err(Malformed(fault))),
            },
            _ => None,
        };
        self.core_time = self.core_time_at(now);
        self.step(Input::Message { link, message });
        if self.outputs.contains(&Output::Write) {
            self.take(checked.expect("the core writes only what was checked"));
        }
        let wanted = self.outputs.extract_if(.., |output| matches!(output, Output::TakeChunk { .. })).next();
        if let Some(Output::TakeChunk { link, chunk }) = wanted {
            self.effects.push(Effect::TakeChunk { link, chunk, bytes: wire.to_vec() });
        }
        self.perform(now)?;
        self.release_held();
        self.run_granted(now).map(Ok)
    }

    /// Checks records that would continue this log, and finds what the core must read among them.
    fn check<'a>(&self, append: &mut Append, wire: &'a [u8]) -> Result<Option<Checked<'a>>, Fault> {
        let end = self.sealer.position();
        append.landmarks.clear();
        if append.before.version != end.version {
            // Not for this place: the core has its own word for that.
            return Ok(None);
        }
        if append.before.hash != end.hash {
            return Err(Fault::Chain { found: append.before.hash, expected: end.hash });
        }
        let checked = self.sealer.check(wire)?;
        let mut epoch = end.epoch;
        for record in checked.records() {
            let control = chronicle::control(record);
            if control.is_some() || record.epoch != epoch {
                epoch = record.epoch;
                append.landmarks.push(Landmark { version: record.version, epoch, control });
            }
        }
        append.last = end.version + checked.records().len() as Version;
        Ok(Some(checked))
    }

    /// The core takes the records that were checked.
    fn take(&mut self, checked: Checked<'_>) {
        if self.batches.back().is_none_or(Batch::is_full) {
            self.batches.push_back(self.spare.pop().unwrap_or_default());
        }
        let batch = self.batches.back_mut().expect("one was just made");
        for record in self.sealer.take(checked, batch) {
            self.last_time = self.last_time.max(record.time);
            self.push_queued(record, None);
        }
    }

    /// What is to be done outside, in order.
    pub(in crate::node) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether something is to be done outside.
    pub(in crate::node) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Everything appended goes out, to the disk and to the replicas.
    pub(in crate::node) fn flush(&mut self, now: Now) -> Result<(), ServiceError> {
        if self.batches.front().is_some_and(|batch| !batch.is_empty()) { self.tell(Input::Flush, now) } else { Ok(()) }
    }

    /// The batches that are not with the log thread, oldest first.
    pub(in crate::node) fn unwritten(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(|batch| !batch.is_empty())
    }

    /// This node's term is over, or will not begin: what it has in flight is not its to decide.
    pub(super) fn deposed(&mut self) {
        self.opened = false;
        let refused = self.not_primary("/do");
        self.give_up(&refused, "another node has a higher epoch");
    }

    /// A time of the core's clock, by the machine's.
    pub(in crate::node) fn wall_time_of(&self, time: u64, now: u64) -> u64 {
        now.saturating_sub(self.core_now().saturating_sub(time))
    }

    /// The core's clock.
    pub(in crate::node) fn core_now(&self) -> u64 {
        self.monotonic_now() + self.slept
    }

    /// The same without the time that the machine has slept.
    pub(in crate::node) fn monotonic_now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }

    /// How long the machine has slept, as far as that counts here.
    pub(in crate::node) fn slept(&self) -> u64 {
        self.slept
    }

    /// It has slept so long in all.
    pub(in crate::node) fn has_slept(&mut self, slept: u64) {
        self.slept = self.slept.max(slept);
    }

    /// Who leads by the coordinator's word: where clients go while this node knows nobody itself.
    pub(in crate::node) fn set_recorded_primary(&mut self, primary: Option<Member>) {
        self.recorded_primary = primary;
    }

    /// Why the coordinator is of no use, if it is not: nothing where there is none.
    pub(in crate::node) fn set_coordinator_fault(&mut self, fault: Option<String>) {
        self.coordinator_fault = fault;
    }

    pub(in crate::node) fn coordinator_fault(&self) -> Option<&str> {
        self.coordinator_fault.as_deref()
    }

    /// The epoch is not open: what it waits for, as far as that is known here.
    pub(super) fn not_open(&self, what: &str) -> Problem {
        match &self.coordinator_fault {
            Some(why) => {
                let detail = format!(
                    "the epoch is not open yet, and waits for the coordinator, which is of no use now: {why}; {what}"
                );
                Problem::new(Code::Recovering, detail).hint(
                    "bring the coordinator back: the node opens by itself; `rig status` says what else can be done",
                )
            }
            None => Problem::new(Code::Recovering, format!("the epoch is not open yet; {what}"))
                .hint("wait for /readyz, or send again after Retry-After"),
        }
    }

    /// Where a write should go instead.
    pub(in crate::node) fn not_primary(&self, path: &str) -> Problem {
        let promised = self.core.epoch();
        let known = self.core.primary().or(self.recorded_primary.as_ref());
        match known.filter(|member| member.id != self.core.me() && !member.url.is_empty()) {
            Some(primary) => {
                Problem::new(Code::NotPrimary, format!("{} is the primary; nothing was logged", primary.name))
                    .hint("send it there")
                    .with("location", format!("{}{path}", primary.url))
            }
            None => Problem::new(
                Code::NoPrimary,
                format!("this node is a replica in epoch {} and knows no primary; nothing was logged", promised.number),
            )
            .hint("`rig status --all` shows the nodes, `rig promote NODE` makes one of them the primary"),
        }
    }

    /// The last term of this process.
    pub(in crate::node) fn own_epoch(&self) -> Option<Epoch> {
        self.own_epoch
    }

    /// The last version that was sealed or taken.
    pub(in crate::node) fn head(&self) -> Version {
        self.sealer.position().version
    }

    /// The newest format of the log, which is the one that is sealed.
    pub(in crate::node) fn format(&self) -> u8 {
        self.sealer.format()
    }

    /// Seals in this format from now on.
    pub(in crate::node) fn raise_format(&mut self, format: u8) {
        self.sealer.raise_format(format);
    }

    /// Whether so much waits for the disk, or for the service, that peers must wait too.
    pub(in crate::node) fn is_behind(&self) -> bool {
        self.is_behind_its_service() || self.unwritten().map(Batch::bytes).sum::<usize>() > UNWRITTEN_BYTES_MAX
    }

    /// Whether the mode keeps this primary from writing.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.core.refusal(None), Some(Refusal::NotEnoughReplicas { .. } | Refusal::SplitBrain))
            || self.core.state() == NodeState::SplitBrain
    }

    /// The log has been cut. `true`: the service holds more than that and must be rebuilt first.
    pub(in crate::node) fn log_was_cut(&mut self, to: Position) -> bool {
        assert!(self.unwritten().next().is_none(), "only a log that stands still is cut");
        self.sealer.rewind(to);
        self.durable = to;
        self.to_apply = self.to_apply.min(to.version);
        self.marks.cut(to.version);
        while self.pop_queued_behind(to.version).is_some() {}
        self.is_rebuilding = self.applied.version > to.version;
        self.is_rebuilding
    }

    /// A service that was rebuilt up to the end of what was cut.
    pub(in crate::node) fn replace_state(
        &mut self,
        service: Box<dyn Service>,
        keys: Keys,
        chronicle: Chronicle,
        marks: Marks,
        applied: Position,
    ) {
        assert_eq!(applied.version, self.durable.version, "it was rebuilt up to the end of the log");
        (self.service, self.keys, self.chronicle, self.applied) = (service, keys, chronicle, applied);
        self.marks = marks;
        self.queue.clear();
        self.queue_bytes = 0;
        self.is_rebuilding = false;
        self.to_apply = applied.version;
    }

    /// The log was cut below what was applied, and the service is outside: this node goes back to an older state, and
    /// what is behind it is applied again.
    pub(in crate::node) fn return_to(
        &mut self,
        keys: Keys,
        chronicle: Chronicle,
        marks: Marks,
        applied: Position,
        tail: Vec<Record>,
    ) {
        (self.keys, self.chronicle, self.marks, self.applied) = (keys, chronicle, marks, applied);
        self.queue.clear();
        self.queue_bytes = 0;
        for record in tail {
            self.push_queued(record, None);
        }
        self.is_rebuilding = false;
        self.to_apply = self.durable.version;
    }

    /// Log and service agree again.
    pub(in crate::node) fn cut_is_done(&mut self, now: Now) -> Result<(), ServiceError> {
        let tail: Vec<Record> = self.queue.iter().map(|queued| queued.record.clone()).collect();
        let (_, configs) = self.chronicle.with_tail(&tail);
        self.rolled_back();
        self.tell(Input::Cut { applied: self.applied.version, configs }, now)
    }

    /// The chain hash of a version that is not on the disk alone: the beginning, the end, or the queue.
    pub(in crate::node) fn hash_at_hand(&self, version: Version) -> Option<crate::types::Hash> {
        if version == self.applied.version {
            return Some(self.applied.hash);
        }
        let index = usize::try_from(version.checked_sub(self.applied.version + 1)?).ok()?;
        self.queue.get(index).map(|queued| queued.record.hash)
    }

    /// A node that has found its cluster gets its log: empty, like the one before, with another beginning.
    pub(in crate::node) fn found_cluster(&mut self, sealer: Sealer) {
        assert!(self.queue.is_empty() && self.applied.version == 0 && self.unwritten().next().is_none());
        self.durable = sealer.position();
        self.applied = sealer.position();
        self.sealer = sealer;
    }
}
