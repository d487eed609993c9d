//! What the log says about the cluster: mode, numbers, times and members.
//!
//! It travels as the data of `rig_epoch` and `rig_config`, so that every node knows what was promised, and a
//! log can be read without any other file.
//!
//! ```text
//!   ... c1 .......... c2 ........ c3 ...          c: a control record
//!        committed ──┘                            in force: c1, c2 and c3, and each of them must agree
//! ```
//!
//! # Invariants
//! 1. While a record is not known to be committed both rules hold, the old and the new: the stricter decides.
//! 2. What a promotion needs is asked of every configuration that may be in force in the log that it adopts.

use serde::{Deserialize, Serialize};

use crate::limits::MEMBERS_MAX;
use crate::types::{AckLevel, ClusterId, Hash, Mode, NodeId, Version};

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
    /// What the acknowledgement of a replica means.
    #[serde(default = "durable")]
    pub ack: AckLevel,
    /// Every node of the cluster, in the order in which they joined.
    pub members: Vec<Member>,
}

fn durable() -> AckLevel {
    AckLevel::Durable
}

/// The data of a control record: the configuration, and how a `rig_epoch` came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlData {
    /// What holds from here on.
    #[serde(flatten)]
    pub config: ClusterConfig,
    /// The operator accepted that answered operations may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// The records before it are a copy of this log, which was another cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// The log that a new cluster was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Whose it was.
    pub cluster: ClusterId,
    /// The last version that was taken over.
    pub version: Version,
    /// Its hash there.
    pub hash: Hash,
}

impl ControlData {
    /// One line of JSON, members in this order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// Reads the data of a control record; `None` when it is not one, or names more members than can be.
    pub fn from_json(data: &str) -> Option<Self> {
        let data: Self = serde_json::from_str(data).ok()?;
        let plain = |text: &String| !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
        let members = &data.config.members;
        let good = members.iter().all(|member| plain(&member.name) && plain(&member.url));
        (good && (1..=MEMBERS_MAX).contains(&members.len())).then_some(data)
    }
}

impl ClusterConfig {
    /// What a new cluster starts with when nothing was asked for.
    pub fn first(me: Member) -> Self {
        Self {
            replication: Mode::SemiSync,
            min_replicas: 1,
            sync_timeout_ms: 2000,
            ack: AckLevel::Durable,
            members: vec![me],
        }
    }

    /// One line of JSON, members in this order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// Reads the configuration out of the data of a control record.
    pub fn from_json(data: &str) -> Option<Self> {
        ControlData::from_json(data).map(|data| data.config)
    }

    /// Whether the log names this node.
    pub fn names(&self, id: NodeId) -> bool {
        self.member(id).is_some()
    }

    /// The member with this identity.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Members beside the primary.
    pub fn replicas(&self) -> u32 {
        u32::try_from(self.members.len().saturating_sub(1)).expect("a handful of members")
    }

    /// Replicas that must hold a control record: at most those there are.
    fn replicas_needed(&self) -> u32 {
        if self.replication == Mode::Sync { self.min_replicas.min(self.replicas()) } else { 0 }
    }

    /// Replicas that must be in sync before an operation is taken.
    pub(super) fn replicas_wanted(&self) -> u32 {
        if self.replication == Mode::Sync { self.min_replicas.max(1) } else { 0 }
    }

    /// Whether a primary may answer when these others are its in-sync set.
    pub(super) fn allows_set(&self, others: &[NodeId]) -> bool {
        others.iter().filter(|id| self.names(**id)).count() >= self.replicas_needed() as usize
    }

    /// Promises that a promotion needs, the candidate's own among them (`R - min_replicas + 1`); `None` when no
    /// number of them is enough, because answers may rest on the lost primary alone.
    pub fn promises_needed(&self) -> Option<usize> {
        let safe = self.replication == Mode::Sync && self.ack != AckLevel::Received;
        safe.then(|| (self.replicas() - self.replicas_needed() + 1) as usize)
    }
}

/// The configurations of one log that may be in force, oldest first, each with its version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Configs {
    list: Vec<(Version, ClusterConfig)>,
}

impl Configs {
    /// From what a start has read: those at or behind the last one known to be committed.
    pub(super) fn new(list: Vec<(Version, ClusterConfig)>) -> Self {
        assert!(list.is_sorted_by(|a, b| a.0 < b.0));
        Self { list }
    }

    pub(super) fn push(&mut self, version: Version, config: ClusterConfig) {
        assert!(self.list.last().is_none_or(|(last, _)| *last < version));
        self.list.push((version, config));
    }

    /// Forgets what a committed record has replaced.
    pub(super) fn committed(&mut self, upto: Version) {
        let in_force = self.list.iter().rposition(|(version, _)| *version <= upto).unwrap_or(0);
        self.list.drain(..in_force);
    }

    /// Forgets what was cut off behind `to`. What was replaced before that is not known here any more: `false` means
    /// that the node must read the list anew.
    pub(super) fn cut(&mut self, to: Version) -> bool {
        self.list.retain(|(version, _)| *version <= to);
        !self.list.is_empty() || to == 0
    }

    pub(super) fn newest(&self) -> Option<&ClusterConfig> {
        self.list.last().map(|(_, config)| config)
    }

    /// Version of the newest.
    pub(super) fn newest_version(&self) -> Version {
        self.list.last().map_or(0, |(version, _)| *version)
    }

    /// The last one known to be committed, or the first there is.
    pub(super) fn oldest(&self) -> Option<&ClusterConfig> {
        self.list.first().map(|(_, config)| config)
    }

    /// All that may be in force, with their versions.
    pub(super) fn in_force(&self) -> &[(Version, ClusterConfig)] {
        &self.list
    }

    /// Whether any of them names this node.
    pub(super) fn name(&self, id: NodeId) -> bool {
        self.list.iter().any(|(_, config)| config.names(id))
    }
}
