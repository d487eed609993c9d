//! What a start finds, and what follows from it.
//!
//! ```text
//!   | log        | members in it       | epoch that is recorded here | then                                      |
//!   |------------|---------------------|-----------------------------|-------------------------------------------|
//!   | empty      | -                   | none                        | number 1, owner this node, start 1         |
//!   | has a head | this node alone     | ours, or none               | same number and owner, next start          |
//!   | has a head | this node alone     | of another owner            | stay recovering: the operator decides      |
//!   | has a head | others too          | any                         | stay recovering: their promises are needed |
//! ```
//!
//! The tail behind the last known commit is never dropped here: it is durable, so it may have been answered;
//! it commits together with the first record of the new epoch.

use super::ClusterConfig;
use crate::types::{Epoch, Mode, NodeId, Position, Version};

/// What the log and `state/` said at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// This node.
    pub me: NodeId,
    /// Where the durable log ends.
    pub head: Position,
    /// What is known to be committed; at most the head.
    pub committed: Version,
    /// What the service has applied; at most `committed`.
    pub applied: Version,
    /// The newest configuration in the log; `None` for an empty one.
    pub config: Option<ClusterConfig>,
    /// The highest epoch that this node has recorded; all zero when it never had one.
    pub recorded: Epoch,
}

/// What the operator asks for at start or later; what is `None` stays as the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The mode.
    pub replication: Option<Mode>,
    /// Replicas that must hold an answered operation in mode `sync`.
    pub min_replicas: Option<u32>,
    /// How long a silent member is waited for, in milliseconds.
    pub sync_timeout_ms: Option<u64>,
}

impl Asked {
    /// The configuration with what was asked for in it.
    pub fn applied_to(&self, config: &ClusterConfig) -> ClusterConfig {
        ClusterConfig {
            replication: self.replication.unwrap_or(config.replication),
            min_replicas: self.min_replicas.unwrap_or(config.min_replicas),
            sync_timeout_ms: self.sync_timeout_ms.unwrap_or(config.sync_timeout_ms),
            members: config.members.clone(),
        }
    }
}

/// The epoch that a start as primary may open, by the table above; `None`: stay recovering.
pub(super) fn epoch_to_open(found: &Recovered) -> Option<Epoch> {
    let Some(config) = &found.config else {
        return Some(Epoch { number: 1, owner: found.me, start: 1 });
    };
    let alone = config.members.len() == 1 && config.names(found.me);
    let last = found.recorded.max(found.head.epoch);
    (alone && last.owner == found.me).then_some(Epoch { start: last.start + 1, ..last })
}
