//! What the log says about the cluster: mode, numbers, times and members.
//!
//! It travels as the data of `rig_epoch` and `rig_config`, so that every node knows what was promised, and a
//! log can be read without any other file.

use serde::{Deserialize, Serialize};

use crate::limits::MEMBERS_MAX;
use crate::types::{Mode, NodeId};

/// One node that the log names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Made with its disk.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where clients and peers find it.
    pub url: String,
}

/// The configuration of the cluster, as a control record carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// `sync`, `semi-sync` or `async`.
    pub replication: Mode,
    /// Replicas that must hold an answered operation in mode `sync`.
    pub min_replicas: u32,
    /// How long a silent member is waited for, in milliseconds.
    pub sync_timeout_ms: u64,
    /// Every node of the cluster, in the order in which they joined.
    pub members: Vec<Member>,
}

impl ClusterConfig {
    /// What a new cluster starts with when nothing was asked for.
    pub fn first(me: Member) -> Self {
        Self { replication: Mode::SemiSync, min_replicas: 1, sync_timeout_ms: 2000, members: vec![me] }
    }

    /// One line of JSON, members in this order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// Reads the data of a control record; `None` when it is not one, or names more members than can be.
    pub fn from_json(data: &str) -> Option<Self> {
        let config: Self = serde_json::from_str(data).ok()?;
        (1..=MEMBERS_MAX).contains(&config.members.len()).then_some(config)
    }

    /// Whether the log names this node.
    pub fn names(&self, id: NodeId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }
}
