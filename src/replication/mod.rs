//! The protocol, as pure decisions.
//!
//! This module decides; it never does. It holds no socket, file, thread or clock. The node reports what
//! happened ([`Input`]) and carries out what it is answered ([`Output`]), first to last; equal inputs give
//! equal outputs. Records pass through here as versions only: what an operation means is the service's, how
//! it is stored is the log's.
//!
//! ```text
//!   Replica ──Promote, enough promises──► Candidate ──log adopted, standing recorded──► Primary
//!      ▲  ▲                                   │                                            │
//!      │  └────────── a higher epoch ─────────┘◄── a restart as primary begins here        │
//!      └──────────────────────── a higher epoch, a hand-over ──────────────────────────────┘
//! ```
//!
//! # What the node owes
//! 1. Outputs are carried out in their order.
//! 2. [`Input::Recorded`] and [`Input::Synced`] are said after the disk has confirmed, never before.
//! 3. Messages of one link come in order; after [`Output::Close`], or a broken connection, nothing more comes of it.
//! 4. After a storage error nothing is done but [`Input::StorageFailed`].
//!
//! # Invariants (asserted after every step)
//! 1. applied <= committed <= durable <= appended.
//! 2. A version is committed only when it is durable here and on every other member of the in-sync set, in this
//!    epoch: the recorded set, and every set that is on its way to be recorded or to be required.
//! 3. An epoch is promised durably before this node speaks of it, and nothing of a lower one is taken from then on.
//! 4. An epoch is open only when its own record, `rig_epoch`, is committed; nothing is committed before.
//! 5. No timer removes a record.
//!
//! # Not here
//! Locks, keys and deadlines (`node::engine`), the bytes of a record (`log`), the bytes of a message (`peer`),
//! connections and when to dial (`node::peers`), what a coordinator outside is and how it is spoken with
//! (`node::coordination`): here its value leaves as [`Output::Swap`] and comes back as an answer.

mod behind;
mod candidate;
mod config;
mod diverged;
mod history;
mod insync;
mod lacking;
mod links;
mod machine;
mod message;
mod outlook;
mod participant;
mod primary;
mod recovery;
mod register;
mod replica;
mod rules;
mod streaming;
#[cfg(test)]
mod tests;
mod wish;

pub use config::{ClusterConfig, ControlData, Member, Restored};
pub use history::{EpochStart, History};
pub use links::PeerView;
pub use machine::{Found, Replication};
pub use message::{
    Ack, Answer, Append, Chunk, Follow, Heartbeat, Hello, Landmark, Message, Promised, Refused, RefusedWhy, Results,
};
pub use recovery::{Asked, Waiting};
pub use register::{Register, Seen};
pub use rules::Rule;

use crate::types::{Durable, Epoch, NodeId, Position, Role, Version};

/// Microseconds on a clock that never goes back, from any beginning.
pub type Time = u64;

/// One connection to a peer, as the node numbers it: never the same number twice.
pub type Link = u64;

/// What happened, told by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The [`Standing`] of [`Output::Record`] is durable in `state/`.
    Recorded,
    /// An admitted operation wants the next version; with `expect`, only if it is exactly this one.
    Propose {
        /// The version that the client demands.
        expect: Option<Version>,
    },
    /// A caller from outside wants this version prepared, on a node that no primary lists.
    Prepare {
        /// It must be the next one.
        version: Version,
    },
    /// What is prepared is committed, or rolled back, on that caller's word.
    Decide {
        /// Which of the two.
        commit: bool,
    },
    /// What was appended goes to the log thread now: it may go to the replicas too.
    Flush,
    /// The log has synced up to here.
    Synced(Durable),
    /// The service has applied up to here.
    Applied(Version),
    /// The log found no room behind this version.
    NoRoom {
        /// The last version that it holds.
        last: Version,
    },
    /// [`Output::Cut`] is done: the log ends there, and the service has gone back with it.
    Cut {
        /// What the service holds now.
        applied: Version,
        /// The configurations that may be in force in what is left.
        configs: Vec<(Version, ClusterConfig)>,
    },
    /// By [`Output::Compare`], or after the state was built anew: this is the first version whose result here is not the
    /// primary's.
    StateDiverged {
        /// It is applied here.
        version: Version,
    },
    /// The result that differed is the same now: the state was built anew from the log, or the primary's was.
    StateRebuilt {
        /// What the service holds now.
        applied: Version,
    },
    /// The answer to [`Output::ReadHash`]; `None` when there is no such record.
    HashIs {
        /// For whom it was read.
        link: Link,
        /// The place.
        version: Version,
        /// Its chain hash.
        hash: Option<crate::types::Hash>,
    },
    /// The log was compacted: it begins with this version now.
    Compacted {
        /// Its first version.
        oldest: Version,
    },
    /// The answer to [`Output::FindSnapshot`]; `None` when there is none that can be relied on.
    SnapshotIs {
        /// For whom it was looked for.
        link: Link,
        /// Its place, and the bytes that it takes.
        found: Option<(Position, u64)>,
    },
    /// The snapshot of [`Output::TakeSnapshot`] is here, whole and durable.
    SnapshotTaken {
        /// Where it came from.
        link: Link,
    },
    /// The operator asks for another mode, number or time-out.
    Change(Asked),
    /// The operator wants this node to be the primary.
    Promote {
        /// Comes back in [`Output::Answer`].
        request: u64,
        /// Even if answered operations may be lost.
        force: bool,
    },
    /// The operator wants this node to be a replica.
    Demote,
    /// The operator removes a member.
    RemoveMember {
        /// Comes back in [`Output::Answer`].
        request: u64,
        /// Who goes.
        id: NodeId,
        /// Without its agreement: a new epoch, by force.
        force: bool,
    },
    /// Take no more operations, finish those that are in.
    Drain,
    /// A write or sync failed for good.
    StorageFailed,
    /// A connection stands; the other end speaks this protocol and is of the same cluster.
    Connected {
        /// Its number.
        link: Link,
        /// Whether this node has dialled.
        dialed: bool,
    },
    /// It is gone.
    Closed {
        /// Its number.
        link: Link,
    },
    /// A peer has spoken.
    Message {
        /// On this connection.
        link: Link,
        /// What it said.
        message: Message,
    },
    /// The coordinator's value was read: what it was at some moment after everything that this node was told before.
    Registered(Seen),
    /// [`Output::Swap`] was taken, and this is there now.
    Swapped(Seen),
    /// [`Output::Swap`] was not taken, nor will it be: this is there instead.
    SwapLost(Seen),
    /// Whether the coordinator answers.
    Reachable(bool),
    /// It has not said a word since the start, for so long that nobody should wait for a node that only it lets lead.
    Unheard,
    /// This node's lease holds until then for certain, by a clock that goes on while the machine sleeps.
    Leased {
        /// The time.
        until: Time,
    },
    /// Every address that this node knows of has answered or refused once.
    Tried,
    /// Time has passed: see [`Replication::wake_at`].
    Tick,
}

/// What the node must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make this durable in `state/`, then answer [`Input::Recorded`]. There is one at a time.
    Record(Standing),
    /// Put this value at the coordinator if its revision is the expected one, however long that takes; then answer
    /// [`Input::Swapped`] or [`Input::SwapLost`]. There is one at a time.
    Swap {
        /// The revision that is replaced; 0 when there must be none.
        expect: u64,
        /// The value.
        register: Register,
    },
    /// Say no more of the swap that is on its way.
    ForgetSwap,
    /// Append the proposed operation, or this control record, with this place.
    Append {
        /// Where and in whose term.
        slot: Slot,
        /// A control record of Rig's own; `None` for the operation that was proposed.
        control: Option<Control>,
    },
    /// Append the records of the message that was just handed in.
    Write,
    /// Set everything behind this version aside, durably, then cut it off and take the service back; then answer
    /// [`Input::Cut`].
    Cut {
        /// The last version that stays.
        to: Version,
        /// What this node knows to have been committed.
        committed: Version,
        /// The epoch that is followed instead.
        for_epoch: Epoch,
    },
    /// Nothing behind this version was written or sent to anyone: it never was.
    Rewind {
        /// The last version that stays.
        to: Version,
    },
    /// Try to write the same batch again when there is room: others may have it.
    TryAgain,
    /// Read a chain hash, then answer [`Input::HashIs`].
    ReadHash {
        /// For whom.
        link: Link,
        /// The place; 0 is the beginning of the chain.
        version: Version,
    },
    /// Say this.
    Send {
        /// On this connection.
        link: Link,
        /// What.
        message: Message,
    },
    /// Send these records, in as many messages as their size asks for: [`Message::Append`], or with `adopt`
    /// [`Message::Records`].
    Stream {
        /// On this connection.
        link: Link,
        /// The epoch in which this is said.
        epoch: Epoch,
        /// The last version that the other end has.
        after: Version,
        /// The last version to be sent.
        last: Version,
        /// What is committed.
        committed: Version,
        /// Whether it answers [`Message::Fetch`].
        adopt: bool,
    },
    /// Look for the newest snapshot that reads back whole, and keep it open for this connection; then answer
    /// [`Input::SnapshotIs`].
    FindSnapshot {
        /// For whom.
        link: Link,
    },
    /// Send the bytes of that snapshot from there: [`Message::Chunk`].
    SendChunk {
        /// On this connection.
        link: Link,
        /// Which bytes.
        chunk: Chunk,
    },
    /// Ask for the bytes of this snapshot, from where an earlier try has ended; when all are here, durable and whole, say
    /// [`Input::SnapshotTaken`].
    TakeSnapshot {
        /// On this connection.
        link: Link,
        /// Its place.
        at: Position,
        /// Its length.
        bytes: u64,
    },
    /// Write the bytes of the message that was just handed in.
    TakeChunk {
        /// On this connection.
        link: Link,
        /// Which bytes.
        chunk: Chunk,
    },
    /// Put the snapshot in the place of log and service, and start anew from there; with version 0 there is none, and the node
    /// starts anew with nothing. What the log holds behind `keep` is set
    /// aside first, durably. Nothing is answered: this core has come to its end.
    Install {
        /// The place of the snapshot.
        at: Position,
        /// The last version that the primary's log has too.
        keep: Version,
        /// What this node knows to have been committed.
        committed: Version,
        /// The epoch that is followed.
        for_epoch: Epoch,
    },
    /// Send the marks of these results: [`Message::Results`].
    Results {
        /// On this connection.
        link: Link,
        /// The epoch in which this is said.
        epoch: Epoch,
        /// The version before the first.
        after: Version,
        /// The last one; the service holds it.
        last: Version,
    },
    /// Compare the marks of the primary's results with those of this node's own; if one differs, say
    /// [`Input::StateDiverged`] of the first that does. If one did and is the same now, say [`Input::StateRebuilt`].
    Compare {
        /// The first version.
        first: Version,
        /// One for each version; 0 is not to be compared.
        marks: Vec<u32>,
    },
    /// End this connection.
    Close {
        /// Its number.
        link: Link,
        /// Why.
        why: Closing,
    },
    /// The proposed operation is refused; nothing was logged.
    Refuse(Refusal),
    /// Everything up to here is decided: give it to the service.
    Commit(Version),
    /// The epoch is open: operations are taken from now on.
    Opened(Epoch),
    /// This node was primary or was to be, and is a replica now. What it has in flight is not its to decide any more.
    Deposed {
        /// The epoch that is promised now.
        promised: Epoch,
    },
    /// These versions were acknowledged without every member: note it for ever, durably.
    Alone {
        /// The first.
        from: Version,
        /// The last.
        to: Version,
    },
    /// The answer to a request of the operator.
    Answer {
        /// Its number.
        request: u64,
        /// What came of it.
        result: Result<(), NotPromoted>,
    },
    /// Something that people want to hear of.
    Event(Event),
}

/// What [`Replication::step`] answers with.
pub type Outputs = Vec<Output>;

/// What is durable in `state/` and decides about this node's part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The highest epoch that this node listens to.
    pub promised: Epoch,
    /// Whether `promised` is this node's own term.
    pub primary: bool,
    /// Whether the operator has opened that term by force: its own record may not say so yet. It stays while another node's
    /// term is promised instead and no log has what was begun: the coordinator may have it.
    pub forced: bool,
    /// The other members of the in-sync set of that term, in order of their identity.
    pub set: Vec<NodeId>,
    /// Since which version answers rest on fewer nodes than the log names.
    pub alone_from: Option<Version>,
    /// What a primary has said to be decided when this log ended before that, or the record of the force for which this log was
    /// cut; it counts while the log ends before it.
    pub lacks: Version,
    /// This node went with a term that was opened by force without the coordinator: its place in the coordinator's value
    /// counts for nothing until a primary that is in the value has recorded it anew.
    pub adrift: bool,
}

/// The place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Its version.
    pub version: Version,
    /// The term in which it is written.
    pub epoch: Epoch,
    /// What may have been acknowledged when it was written.
    pub commit_upto: Version,
}

/// A record of Rig's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// `rig_epoch` or `rig_config`.
    pub method: &'static str,
    /// Its data, one line of JSON.
    pub data: String,
}

/// Why an operation was not taken. Every one of them means: surely not logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The node is a replica; the primary it follows, if it does.
    NotPrimary(Option<NodeId>),
    /// The epoch is not open yet.
    Recovering,
    /// The node is stopping, or handing over.
    Draining,
    /// The log has stopped after a storage error.
    Failed,
    /// The log has no room.
    Full,
    /// Two sides have written: the operator must name the winner.
    SplitBrain,
    /// The in-sync set is smaller than the mode demands.
    NotEnoughReplicas {
        /// How many replicas the mode demands.
        wanted: u32,
        /// How many are in sync and answer.
        present: u32,
    },
    /// The coordinator does not answer, and without it nothing may be answered by fewer nodes than it knows of.
    NoCoordinator,
    /// A primary lists this node, or it is one: it takes no participant calls.
    NotParticipant,
    /// Something is prepared already, or being written or cut.
    InProgress,
    /// Nothing is prepared.
    NothingPrepared,
    /// Another version is next.
    VersionConflict {
        /// The version that would be next.
        next: Version,
    },
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// A newer connection to the same node takes its place.
    Replaced,
    /// It is this node itself.
    Oneself,
    /// Nothing was heard for too long.
    Silent,
    /// What was said is not what may be said there.
    Protocol,
    /// The logs differ where they must not.
    Diverged,
    /// The logs must be compared anew.
    Again,
    /// More peers than a cluster can have.
    TooMany,
    /// Another process with the same identity is connected.
    Twin,
}

/// Why a node did not become primary, or a member was not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPromoted {
    /// An answered operation may be missing, or not enough members promise.
    Unsafe {
        /// Promises that are needed; `None` when no number is enough.
        needed: Option<usize>,
        /// Members that could be asked, this node among them.
        reached: usize,
    },
    /// Another change is on its way, or the primary cannot hand over now.
    Busy,
    /// The node has failed, or does not know the cluster.
    NotReady,
    /// The record of it was written, and another node has a higher epoch.
    Unknown,
    /// The result of this version is another than the primary's: the state of this node is being built anew.
    Diverged {
        /// The first version that differs.
        version: Version,
    },
    /// A primary has said that more is decided than is in any log that could be reached.
    Lacks {
        /// Up to where.
        version: Version,
        /// The last version that could be had.
        head: Version,
    },
    /// No such member, or it is the primary itself.
    NoSuchMember,
    /// Too few replicas answer for the record of a removal, by the rule of now or by the one without the member.
    NotEnough {
        /// Replicas of the in-sync set that answer.
        present: usize,
    },
}

/// What of a replica is another than the primary's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// Its log: it follows nobody.
    Log,
    /// What its service makes of the log.
    State,
}

impl Divergence {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::State => "state",
        }
    }
}

/// Something that people want to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member has left the in-sync set; answers rest on fewer nodes.
    Left(NodeId),
    /// A member is in the in-sync set.
    InSync(NodeId),
    /// This node is primary of this epoch.
    Promoted {
        /// The epoch.
        epoch: Epoch,
        /// By force.
        forced: bool,
    },
    /// A higher epoch was heard of.
    Fenced(Epoch),
    /// This node follows a primary.
    Following(NodeId),
    /// Two sides have written.
    SplitBrain,
    /// This node is not what the primary is, where it must be.
    Diverged {
        /// The log differs somewhere behind this version; or this is the first result that does.
        version: Version,
        /// Which of the two.
        what: Divergence,
    },
    /// A member is named by the log.
    Added(NodeId),
    /// A member is not named by the log any more.
    Removed(NodeId),
    /// Two processes run with this identity: one of them on a copy of the other's directory. The second is refused.
    Twin(NodeId),
    /// A member came back with less than it had confirmed in this term: it runs on an old copy, or its disk lost something.
    WentBack {
        /// Who.
        id: NodeId,
        /// The last version that it has.
        head: Version,
        /// The last one that it had.
        confirmed: Version,
    },
    /// Role as recorded.
    Role(Role),
}
