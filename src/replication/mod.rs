//! The protocol, as pure decisions.
//!
//! This module decides; it never does. It holds no socket, file, thread or clock. The node reports what
//! happened ([`Input`]) and carries out what it is answered ([`Output`]), first to last; equal inputs give
//! equal outputs. Records pass through here as versions only: what an operation means is the service's, how
//! it is stored is the log's.
//!
//! ```text
//!              Propose                Append                 Commit
//!   admission ────────► replication ────────► log, peers … ────────► service
//!                            ▲                    │
//!                            └──── Synced ────────┘
//!
//!   Recovering ──epoch recorded──► Opening ──rig_epoch committed──► Open ──Drain──► Draining
//!        └───────────────────── a storage error, from anywhere ─────────────────────► Failed
//! ```
//!
//! # Invariants
//! 1. applied <= committed <= durable <= appended.
//! 2. A version is committed only when it is durable on every member of the in-sync set in this epoch.
//! 3. An epoch is recorded in `state/` before its first record is appended, and open only when that record,
//!    `rig_epoch`, is committed; no operation is taken before.
//! 4. After a storage error nothing is appended or committed any more.
//!
//! # Not here
//! Locks, keys and deadlines (`node::engine`), the bytes of a record (`log`). With one member the in-sync set
//! is this node alone; further members, promotion and rejoin build on the same step.

mod config;
mod primary;
mod recovery;
#[cfg(test)]
mod tests;

pub use config::{ClusterConfig, Member};
pub use primary::Replication;
pub use recovery::{Asked, Recovered};

use crate::types::{Durable, Epoch, Role, Version};

/// What happened, told by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`Output::RecordEpoch`] is durable in `state/`.
    EpochRecorded(Epoch),
    /// An admitted operation wants the next version; with `expect`, only if it is exactly this one.
    Propose {
        /// The version that the client demands.
        expect: Option<Version>,
    },
    /// The log has synced up to here.
    Synced(Durable),
    /// The service has applied up to here.
    Applied(Version),
    /// There was no room: nothing behind this version was written, and nothing behind it will be.
    NotWritten {
        /// The last version that the log holds.
        last: Version,
    },
    /// The operator asks for another mode, number or time-out.
    Change(Asked),
    /// Take no more operations, finish those that are in.
    Drain,
    /// A write or sync failed for good.
    StorageFailed,
}

/// What the node must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make epoch and role durable in `state/`, then answer [`Input::EpochRecorded`].
    RecordEpoch {
        /// The epoch, which no earlier one may follow.
        epoch: Epoch,
        /// The role that goes with it.
        role: Role,
    },
    /// Append the proposed operation, or this control record, with this place.
    Append {
        /// Where and in whose term.
        slot: Slot,
        /// A control record of Rig's own; `None` for the operation that was proposed.
        control: Option<Control>,
    },
    /// The proposed operation is refused; nothing was logged.
    Refuse(Refusal),
    /// Everything up to here is decided: give it to the service.
    Commit(Version),
    /// The epoch is open: operations are taken from now on.
    Opened(Epoch),
}

/// What [`Replication::step`] answers with.
pub type Outputs = Vec<Output>;

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
    /// The epoch is not open yet.
    Recovering,
    /// The node is stopping.
    Draining,
    /// The log has stopped after a storage error.
    Failed,
    /// The in-sync set is smaller than the mode demands.
    NotEnoughReplicas {
        /// How many replicas the mode demands.
        wanted: u32,
        /// How many are in sync.
        present: u32,
    },
    /// Another version is next.
    VersionConflict {
        /// The version that would be next.
        next: Version,
    },
}
