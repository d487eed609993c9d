//! What nodes say to each other, without the bytes: `peer` gives them their place on the wire, and
//! `rig-protocol(7)` the rules.
//!
//! ```text
//!   both         Hello
//!   primary ──►  Follow, Append, Heartbeat, Results   ◄── replica   Ack, Refused, SplitBrain
//!   primary ──►  Follow with a snapshot, Chunk        ◄── replica   Want
//!   candidate ─► Ask, Promise, Fetch, HandOverPlease  ◄── member    Answer, Promised, Records, HandOver
//!   anyone       Goodbye
//! ```
//!
//! Within one link messages arrive in order and once, or the link ends. Nothing is assumed between two links.

use super::{ControlData, EpochStart, Member};
use crate::types::{Epoch, NodeId, Position, Role, Version};

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of a link, in both directions: who speaks, and where its log stands.
    Hello(Hello),
    /// From a primary: your log agrees with mine up to here; follow me from there.
    Follow(Follow),
    /// From a primary: records, and what is committed.
    Append(Append),
    /// From a primary: what is committed, and that it is alive.
    Heartbeat(Heartbeat),
    /// From a replica: what it holds; also its sign of life.
    Ack(Ack),
    /// Not taken, and why.
    Refused(Refused),
    /// From a candidate, before anything is promised: would you?
    Ask {
        /// The epoch that it would open.
        epoch: Epoch,
    },
    /// The answer to [`Message::Ask`].
    Answer(Answer),
    /// From a candidate: promise to listen to no lower epoch.
    Promise {
        /// The epoch to be promised.
        epoch: Epoch,
    },
    /// The promise is durable, and this is the log as it will stay until that epoch is heard.
    Promised(Promised),
    /// From a candidate: the records behind this version.
    Fetch {
        /// The epoch that was promised.
        epoch: Epoch,
        /// The last version that both have.
        after: Version,
    },
    /// Records of a log that is adopted.
    Records(Append),
    /// From a replica: the operator wants this node to be the primary; hand over when it is up to date.
    HandOverPlease,
    /// From the primary that was: the epoch is yours. Its log ends here, all of it committed.
    HandOver {
        /// The epoch to open; the one who says this has promised it.
        epoch: Epoch,
        /// The last version.
        head: Version,
    },
    /// From a primary: what came of the records that both have applied.
    Results(Results),
    /// From a replica: these bytes of the snapshot, please.
    Want(Chunk),
    /// From a primary: bytes of the snapshot. They stay with the node.
    Chunk(Chunk),
    /// Two sides have written: this replica will not cut its log without the operator's word.
    SplitBrain {
        /// The epoch that was offered.
        epoch: Epoch,
    },
    /// From a node that stops, or whose state is not to be relied on: do not wait for it, until it says hello again.
    Goodbye,
    /// Nothing but a sign of life, where there is no primary between the two.
    Alive,
}

/// See [`Message::Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Who speaks.
    pub member: Member,
    /// Differs at every start of the process.
    pub boot: u64,
    /// What the node is.
    pub role: Role,
    /// The highest epoch that it has promised durably.
    pub promised: Epoch,
    /// The last version of its log that is durable.
    pub head: Version,
    /// What it knows to be committed.
    pub committed: Version,
    /// The epochs of its log.
    pub history: Vec<EpochStart>,
    /// Whether it has a log, which only members get.
    pub joined: bool,
}

/// See [`Message::Follow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow {
    /// The primary's epoch.
    pub epoch: Epoch,
    /// The last place that both logs have.
    pub common: Position,
    /// The epochs of the primary's log.
    pub history: Vec<EpochStart>,
    /// The last version of the primary's log.
    pub head: Version,
    /// Whether any configuration behind the common place, or the one in force there, is not `sync`.
    pub outside_sync: bool,
    /// The length of the snapshot of the common place, when the primary's log has no record that the other end could follow
    /// from: it is to be taken first.
    pub snapshot: Option<u64>,
}

/// A piece of a snapshot, asked for or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The version of the snapshot.
    pub version: Version,
    /// Where the piece begins.
    pub offset: u64,
}

/// See [`Message::Append`]. The records themselves stay with the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The place behind which they go.
    pub before: Position,
    /// The last version among them.
    pub last: Version,
    /// What the sender knows to be committed.
    pub committed: Version,
    /// Control records and beginnings of epochs among them.
    pub landmarks: Vec<Landmark>,
}

/// A record that the protocol itself reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landmark {
    /// Its version.
    pub version: Version,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it says, if it is a control record.
    pub control: Option<ControlData>,
}

/// See [`Message::Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The primary's epoch.
    pub epoch: Epoch,
    /// What is committed.
    pub committed: Version,
    /// The last version of the primary's log.
    pub head: Version,
    /// The in-sync set as it is recorded.
    pub set: Vec<NodeId>,
}

/// See [`Message::Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The epoch in which this is said.
    pub epoch: Epoch,
    /// The last version in memory.
    pub received: Version,
    /// The last version on the disk.
    pub durable: Version,
    /// The last version in the service.
    pub applied: Version,
}

/// See [`Message::Results`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// The primary's epoch.
    pub epoch: Epoch,
    /// The first version.
    pub first: Version,
    /// A checksum of the result of each version from there; 0 where the primary has none.
    pub marks: Vec<u32>,
}

/// See [`Message::Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The highest epoch that the speaker has promised.
    pub promised: Epoch,
    /// Why.
    pub why: RefusedWhy,
}

/// Why a message of a peer was not taken. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedWhy {
    /// A higher epoch was promised.
    Fenced,
    /// The last committed configuration does not name the sender.
    NotAMember,
    /// The disk is full, or has failed.
    Storage,
    /// The speaker is not a primary that can hand over now.
    CannotHandOver,
    /// Another process with the same identity is connected: one of the two runs on a copy of the other's directory.
    Twin,
}

/// See [`Message::Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The epoch that was asked about.
    pub epoch: Epoch,
    /// Whether a promise would be given.
    pub would: bool,
    /// The highest epoch that was promised.
    pub promised: Epoch,
    /// Epoch of the last record.
    pub head_epoch: Epoch,
    /// The last version of the log.
    pub head: Version,
    /// What is known to be committed.
    pub committed: Version,
}

/// See [`Message::Promised`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promised {
    /// The epoch that is promised.
    pub epoch: Epoch,
    /// The last version of the log, durable.
    pub head: Version,
    /// What is known to be committed.
    pub committed: Version,
    /// The epochs of the log.
    pub history: Vec<EpochStart>,
}
