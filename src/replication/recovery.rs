//! What a node that is to be primary may do with what it has found, as a table.
//!
//! ```text
//!   | log                | configurations in force | recorded set        | reached           | then                           |
//!   |--------------------|-------------------------|---------------------|-------------------|--------------------------------|
//!   | nothing ever       | none                    | none                | everyone tried    | epoch 1 of this node           |
//!   | nothing, a promise | none                    | not its own first   | -                 | wait: it knows no cluster      |
//!   | any                | this node alone         | was primary         | -                 | same number, next start        |
//!   | any                | this node alone         | was not primary     | -                 | next number, own promise       |
//!   | any                | one is not sync         | empty, was primary  | everyone tried    | same number, next start        |
//!   | any                | one is not sync         | others, was primary | all of the set    | next start, with their promises|
//!   | any                | all are sync            | any                 | enough to promise | next number, with promises     |
//!   | any                | any                     | any                 | otherwise         | wait, and say for whom         |
//! ```
//!
//! A higher epoch anywhere comes before all of it: the node becomes a replica. The tail behind the last known commit
//! is never dropped here: it is durable, so it may have been answered; it commits together with the first record of
//! the new epoch.

use super::{ClusterConfig, Standing};
use crate::types::{AckLevel, Epoch, Mode, NodeId};

/// What the operator asks for at start or later; what is `None` stays as the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The mode.
    pub replication: Option<Mode>,
    /// Replicas that must hold an answered operation in mode `sync`.
    pub min_replicas: Option<u32>,
    /// How long a silent member is waited for, in milliseconds.
    pub sync_timeout_ms: Option<u64>,
    /// What an acknowledgement means.
    pub ack: Option<AckLevel>,
}

impl Asked {
    /// This, and of the other what this says nothing of.
    pub(super) fn or(self, earlier: Self) -> Self {
        Self {
            replication: self.replication.or(earlier.replication),
            min_replicas: self.min_replicas.or(earlier.min_replicas),
            sync_timeout_ms: self.sync_timeout_ms.or(earlier.sync_timeout_ms),
            ack: self.ack.or(earlier.ack),
        }
    }

    /// The configuration with what was asked for in it.
    pub fn applied_to(&self, config: &ClusterConfig) -> ClusterConfig {
        ClusterConfig {
            replication: self.replication.unwrap_or(config.replication),
            min_replicas: self.min_replicas.unwrap_or(config.min_replicas),
            sync_timeout_ms: self.sync_timeout_ms.unwrap_or(config.sync_timeout_ms),
            ack: self.ack.unwrap_or(config.ack),
            members: config.members.clone(),
        }
    }
}

/// Whom a recovering node waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Members that have not answered.
    pub members: Vec<NodeId>,
    /// Promises that are needed, this node's own among them; `None` when no number is enough.
    pub needed: Option<usize>,
    /// Members that have answered, this node among them.
    pub reached: usize,
}

/// What the table looks at.
pub(super) struct Facts<'a> {
    pub(super) me: NodeId,
    /// Nothing was ever recorded or logged in a cluster.
    pub(super) is_fresh: bool,
    pub(super) standing: &'a Standing,
    /// The highest epoch in the log or recorded.
    pub(super) last: Epoch,
    pub(super) configs: Vec<&'a ClusterConfig>,
    /// Members with a link, this node not among them.
    pub(super) linked: Vec<NodeId>,
    /// Every known address has answered or refused once.
    pub(super) tried: bool,
    /// The highest number promised by anyone who was heard.
    pub(super) highest: u64,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Open without asking anyone.
    Open(Epoch),
    /// Ask the recorded set to promise.
    Reopen(Epoch),
    /// Ask the members to promise, as a promotion does.
    Promote(Epoch),
    Wait(Waiting),
}

pub(super) fn choose(facts: &Facts<'_>) -> Choice {
    let next_start = Epoch { start: facts.last.start.saturating_add(1), ..facts.last };
    let next_number =
        Epoch { number: facts.highest.max(facts.last.number).saturating_add(1), owner: facts.me, start: 1 };
    let was_primary = facts.standing.primary && facts.last.owner == facts.me;
    let wait =
        |members: Vec<NodeId>, needed| Choice::Wait(Waiting { members, needed, reached: facts.linked.len() + 1 });
    if facts.is_fresh {
        let first = Epoch { number: 1, owner: facts.me, start: 1 };
        return if facts.tried { Choice::Open(first) } else { wait(Vec::new(), None) };
    }
    // Who has promised another's term and has nothing of its log belongs to a cluster that it cannot name.
    let has_begun = facts.last.owner == facts.me && facts.last.number == 1;
    if facts.configs.is_empty() && !has_begun {
        return wait(Vec::new(), None);
    }
    if facts.configs.iter().all(|config| config.replicas() == 0 && config.names(facts.me)) {
        return Choice::Open(if was_primary { next_start } else { next_number });
    }
    let missing = |among: &[NodeId]| -> Vec<NodeId> {
        among.iter().copied().filter(|id| *id != facts.me && !facts.linked.contains(id)).collect()
    };
    if was_primary && facts.configs.iter().any(|config| config.replication != Mode::Sync) {
        let absent = missing(&facts.standing.set);
        return match (facts.standing.set.is_empty(), absent.is_empty()) {
            (true, _) if facts.tried => Choice::Open(next_start),
            (false, true) => Choice::Reopen(next_start),
            _ => wait(absent, Some(facts.standing.set.len() + 1)),
        };
    }
    let votes = |config: &ClusterConfig| 1 + facts.linked.iter().filter(|id| config.names(**id)).count();
    let enough = |config: &&&ClusterConfig| {
        config.names(facts.me) && config.promises_needed().is_some_and(|needed| votes(config) >= needed)
    };
    if facts.tried && facts.configs.iter().filter(enough).count() == facts.configs.len() {
        return Choice::Promote(next_number);
    }
    let members = facts.configs.last().map_or(Vec::new(), |config| config.members.iter().map(|m| m.id).collect());
    let needed = facts
        .configs
        .iter()
        .map(|config| config.promises_needed())
        .try_fold(0, |most, needed| needed.map(|needed| needed.max(most)));
    wait(missing(&members), needed)
}
