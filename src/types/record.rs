//! An operation, and the record that it becomes in the log.

use super::{Epoch, Hash, Micros, Version};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `[a-z][a-z0-9_]{0,63}`.
    pub method: Box<str>,
    /// Any JSON value in one line: member order and spelling as sent, no white space between tokens.
    pub data: Box<str>,
}

impl Operation {
    /// An operation from its parts, which the caller has checked.
    pub fn new(method: impl Into<Box<str>>, data: impl Into<Box<str>>) -> Self {
        Self { method: method.into(), data: data.into() }
    }

    /// Whether it is Rig's own, never seen by the service.
    pub fn is_control(&self) -> bool {
        self.method.starts_with("rig_")
    }
}

/// Methods that have a meaning to Rig itself.
pub mod methods {
    /// The first record of every epoch: mode, `min_replicas`, timeouts and members.
    pub const EPOCH: &str = "rig_epoch";
    /// A change of mode, `min_replicas`, timeouts or members.
    pub const CONFIG: &str = "rig_config";
}

/// What a record is. The numbers are those of the log format: zero is never valid, retired ones are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An operation for the service.
    Operation = 1,
    /// A control record (`rig_epoch`, `rig_config`).
    Control = 2,
}

impl Kind {
    /// The kind with this number in the log format.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Operation),
            2 => Some(Self::Control),
            _ => None,
        }
    }
}

/// An operation in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub version: Version,
    /// The term in which it was written.
    pub epoch: Epoch,
    /// The primary's clock, never going backwards within one log.
    pub time: Micros,
    /// What the primary may have acknowledged to anyone when it wrote this; less than `version`.
    pub commit_upto: Version,
    /// What it is.
    pub kind: Kind,
    /// The client's idempotency key: 1 to 128 bytes.
    pub key: Option<Box<str>>,
    /// SHA-256(method, 0, data as the client sent it); present exactly when `key` is.
    pub request_hash: Option<Hash>,
    /// Who asked for it: at most 64 bytes, may be empty.
    pub actor: Box<str>,
    /// What was asked for, with ids and times filled in.
    pub operation: Operation,
    /// SHA-256(hash of the record before, canonical bytes of this one); all zero until it is sealed.
    pub hash: Hash,
}
