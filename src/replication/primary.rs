//! A term of the primary: sequencing and commit.

use super::{ClusterConfig, Control, Input, Member, Output, Outputs, Recovered, Refusal, Slot, recovery};
use crate::types::{Durability, Epoch, Mode, NodeId, NodeState, Role, Version, methods};

/// Where a term stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// The right to open an epoch is not proven, or not recorded yet.
    Recovering,
    /// The record of the epoch is appended and not committed.
    Opening { record: Version },
    /// Operations are taken.
    Open,
    /// What is in is finished, nothing new is taken.
    Draining,
    /// The storage has failed.
    Failed,
}

/// The protocol of one node.
#[derive(Debug)]
pub struct Replication {
    me: NodeId,
    term: Term,
    epoch: Epoch,
    config: ClusterConfig,
    /// Asked for and not in the log yet.
    wanted: Option<ClusterConfig>,
    /// Whether others were named at start: an answer without them is then `degraded`, not `local`.
    peers_expected: bool,
    appended: Version,
    durable: Version,
    committed: Version,
    applied: Version,
}

impl Replication {
    /// Starts as primary from what was found. Outputs: the epoch to record, when one may be opened.
    pub fn start_as_primary(
        found: &Recovered,
        myself: Member,
        asked: super::Asked,
        peers_expected: bool,
        out: &mut Outputs,
    ) -> Self {
        assert!(found.applied <= found.committed && found.committed <= found.head.version);
        assert_eq!(found.me, myself.id);
        // A log that nobody has begun takes what was asked for into its first record; any other records a change.
        let config = match &found.config {
            Some(config) => config.clone(),
            None => asked.applied_to(&ClusterConfig::first(myself)),
        };
        let wanted = asked.applied_to(&config);
        let mut this = Self {
            me: found.me,
            term: Term::Recovering,
            epoch: found.recorded.max(found.head.epoch),
            wanted: (wanted != config).then_some(wanted),
            config,
            peers_expected,
            appended: found.head.version,
            durable: found.head.version,
            committed: found.committed,
            applied: found.applied,
        };
        if let Some(epoch) = recovery::epoch_to_open(found) {
            this.epoch = epoch;
            out.push(Output::RecordEpoch { epoch, role: Role::Primary });
        }
        this.assert_invariants();
        this
    }

    /// Takes what happened and appends what must be done to `out`.
    pub fn step(&mut self, input: Input, out: &mut Outputs) {
        match input {
            Input::Propose { expect } => self.on_propose(expect, out),
            Input::Synced(durable) => self.on_synced(durable.version(), out),
            Input::Applied(version) => self.on_applied(version),
            Input::EpochRecorded(epoch) => self.on_epoch_recorded(epoch, out),
            Input::NotWritten { last } => self.on_not_written(last),
            Input::Change(asked) => self.on_change(asked, out),
            Input::Drain if self.term != Term::Failed => self.term = Term::Draining,
            Input::Drain => {}
            Input::StorageFailed => self.term = Term::Failed,
        }
        self.assert_invariants();
    }

    fn on_propose(&mut self, expect: Option<Version>, out: &mut Outputs) {
        out.push(match self.refusal(expect) {
            Some(refusal) => Output::Refuse(refusal),
            None => Output::Append { slot: self.take_slot(), control: None },
        });
    }

    /// Why an operation would be refused now; `None` when it would be taken.
    pub fn refusal(&self, expect: Option<Version>) -> Option<Refusal> {
        match self.term {
            Term::Recovering | Term::Opening { .. } => return Some(Refusal::Recovering),
            Term::Draining => return Some(Refusal::Draining),
            Term::Failed => return Some(Refusal::Failed),
            Term::Open => {}
        }
        let (wanted, present) = (self.replicas_wanted(), 0);
        if present < wanted {
            return Some(Refusal::NotEnoughReplicas { wanted, present });
        }
        let next = self.appended + 1;
        match expect {
            Some(version) if version != next => Some(Refusal::VersionConflict { next }),
            _ => None,
        }
    }

    fn on_synced(&mut self, durable: Version, out: &mut Outputs) {
        // Our own disk confirms only what it was given, in order.
        assert!(
            self.durable <= durable && durable <= self.appended,
            "durable {}, confirmed {durable}, appended {}",
            self.durable,
            self.appended
        );
        if self.term == Term::Failed {
            return;
        }
        self.durable = durable;
        self.advance_commit(out);
    }

    fn advance_commit(&mut self, out: &mut Outputs) {
        // The in-sync set is this node alone, so its own disk decides; but what was found behind the commit
        // position at start waits for the epoch's own record.
        let opens = match self.term {
            Term::Opening { record } if self.durable >= record => true,
            Term::Open | Term::Draining => false,
            Term::Opening { .. } | Term::Recovering | Term::Failed => return,
        };
        if self.durable > self.committed {
            self.committed = self.durable;
            out.push(Output::Commit(self.committed));
        }
        if opens {
            self.term = Term::Open;
            out.push(Output::Opened(self.epoch));
            self.record_wanted(out);
        }
    }

    fn on_applied(&mut self, version: Version) {
        assert!(self.applied <= version && version <= self.committed, "{} {version} {}", self.applied, self.committed);
        self.applied = version;
    }

    fn on_epoch_recorded(&mut self, epoch: Epoch, out: &mut Outputs) {
        assert_eq!((self.term, epoch), (Term::Recovering, self.epoch));
        let slot = self.take_slot();
        self.term = Term::Opening { record: slot.version };
        let data = self.config.to_json();
        out.push(Output::Append { slot, control: Some(Control { method: methods::EPOCH, data }) });
    }

    fn on_not_written(&mut self, last: Version) {
        assert!(self.durable <= last && last <= self.appended);
        self.appended = last;
        // Without its own record the epoch cannot open; the node says so and stays as it is.
        if let Term::Opening { record } = self.term
            && record > last
        {
            self.term = Term::Recovering;
        }
    }

    fn on_change(&mut self, asked: super::Asked, out: &mut Outputs) {
        let wanted = asked.applied_to(&self.config);
        self.wanted = (wanted != self.config).then_some(wanted);
        if self.term == Term::Open {
            self.record_wanted(out);
        }
    }

    fn record_wanted(&mut self, out: &mut Outputs) {
        if let Some(wanted) = self.wanted.take() {
            // Both rules hold until the record is committed. Alone, the stricter of the two differs only in
            // whether operations are taken at all, and `replicas_wanted` looks at the new one at once.
            let data = wanted.to_json();
            self.config = wanted;
            let slot = self.take_slot();
            out.push(Output::Append { slot, control: Some(Control { method: methods::CONFIG, data }) });
        }
    }

    fn take_slot(&mut self) -> Slot {
        self.appended += 1;
        Slot { version: self.appended, epoch: self.epoch, commit_upto: self.committed }
    }

    /// Replicas that must be in sync before an operation is taken.
    fn replicas_wanted(&self) -> u32 {
        if self.config.replication == Mode::Sync { self.config.min_replicas } else { 0 }
    }

    fn assert_invariants(&self) {
        assert!(self.applied <= self.committed, "applied {} > committed {}", self.applied, self.committed);
        assert!(self.committed <= self.durable, "committed {} > durable {}", self.committed, self.durable);
        assert!(self.durable <= self.appended, "durable {} > appended {}", self.durable, self.appended);
        if let Term::Opening { record } = self.term {
            assert!(self.committed < record && record <= self.appended);
        }
    }
}

/// What others may know.
impl Replication {
    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The term that this node is in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        Role::Primary
    }

    /// How this node is.
    pub fn state(&self) -> NodeState {
        match self.term {
            Term::Failed => NodeState::Failed,
            Term::Recovering | Term::Opening { .. } => NodeState::Recovering,
            Term::Open | Term::Draining if self.replicas_wanted() > 0 => NodeState::Blocked,
            Term::Open | Term::Draining if self.durability() == Durability::Degraded => NodeState::Degraded,
            Term::Open | Term::Draining => NodeState::Serving,
        }
    }

    /// What an answer given now promises.
    pub fn durability(&self) -> Durability {
        match self.config.replication {
            Mode::Async => Durability::Async,
            _ if self.peers_expected => Durability::Degraded,
            _ => Durability::Local,
        }
    }

    /// The configuration that the log says.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The last version that was given out.
    pub fn appended(&self) -> Version {
        self.appended
    }

    /// What this node's disk holds.
    pub fn durable(&self) -> Version {
        self.durable
    }

    /// What is decided.
    pub fn committed(&self) -> Version {
        self.committed
    }

    /// What the service has applied.
    pub fn applied(&self) -> Version {
        self.applied
    }
}
