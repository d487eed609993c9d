//! One machine: a disk that stays, and the process that comes and goes on it.
//!
//! The process is what a node is without sockets and threads: the core, the log, a service that remembers the last
//! hash, and the requests that wait. `truth` is what the checkers know of the disk, beside what the code believes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rig::log::{Batch, MemVfs, Opened, Reader, Sealer, Writer};
use rig::replication::{
    ClusterConfig, ControlData, EpochStart, Found, Input, Link, Member, Output, Outputs, Replication, Rule, Standing,
};
use rig::types::{Epoch, Hash, Kind, NodeId, Position, Record, Role, Version};

use super::behind::Install;
use super::disk::{self, StandingFile};
use super::network::Time;
use super::options::Options;
use super::workload::Request;

/// A machine and what it keeps.
pub struct Machine {
    pub id: NodeId,
    pub vfs: MemVfs,
    pub boots: u64,
    pub process: Option<Process>,
    pub truth: Truth,
    /// What `serve` is told at the next start.
    pub role: Role,
    /// `--peer`, as places of machines.
    pub addresses: Vec<usize>,
    pub paused_until: Time,
    /// Its disk is gone: it never starts again.
    pub retired: bool,
    pub sync: Time,
    pub slow_until: Time,
    /// The log finishes no sync.
    pub stuck: bool,
    /// Speed of its clock, in thousandths.
    pub rate: u64,
    /// When the lease that it was granted last ends, where there is a coordinator.
    pub leased_until: Option<Time>,
}

/// What is really on the disk, or will be when it is synced.
#[derive(Default)]
pub struct Truth {
    pub entries: Vec<Arc<Record>>,
    pub durable: Version,
    pub rescued: Vec<Arc<Record>>,
    pub standing: Standing,
    /// A cut that was begun: after a crash the log may end anywhere from here.
    pub cutting: Option<Version>,
    /// A snapshot that takes the place of the log.
    pub installing: Option<Install>,
}

/// What happens to a request that is in the log, or waits for the epoch.
#[derive(Debug, Clone)]
pub struct Waiter {
    pub request: Request,
}

/// A start of the node.
pub struct Process {
    pub boot: u64,
    pub core: Replication,
    pub outputs: Outputs,
    pub inbox: VecDeque<Input>,
    pub writer: Option<Writer>,
    pub sealer: Sealer,
    pub reader: Reader,
    /// Being filled.
    pub batch: Batch,
    /// With the log thread; the second says whether it is written.
    pub writing: Option<(Batch, bool)>,
    pub standing: StandingFile,
    pub recording: Option<Standing>,
    /// The number of the swap that the core waits for.
    pub swap: Option<u64>,
    pub applied: Version,
    pub digest: u64,
    /// The service gave another result from this version on.
    pub lie: Option<Version>,
    pub keys: HashMap<u64, Version>,
    pub waiting: BTreeMap<Version, Vec<Waiter>>,
    pub parked: Vec<Waiter>,
    pub born: Time,
    pub tick_at: Time,
    pub clock_offset: u64,
    pub last_time: u64,
    pub dials: BTreeMap<usize, Dial>,
    pub tried: bool,
    /// The term that this node answers in.
    pub opened: Option<Epoch>,
    /// It has opened just now: those who wait for that are still to be told.
    pub unpark: bool,
    pub cut_to: Option<Version>,
    /// A snapshot that is on its way here.
    pub snapshot: Option<Install>,
    /// Nothing that this process holds counts any more.
    pub is_installing: bool,
    /// The records of the message that is being handled.
    pub arrived: Vec<Arc<Record>>,
    pub failed: bool,
}

/// One address that is dialled.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    pub wait: Time,
    pub scheduled: bool,
    /// Has refused, answered or gone away once.
    pub tried: bool,
    /// The connection that is being made, or was made last.
    pub link: Option<Link>,
}

impl Dial {
    pub const FIRST: Time = 20_000;
    pub const MAX: Time = 1_000_000;

    pub fn new() -> Self {
        Self { wait: Self::FIRST, scheduled: false, tried: false, link: None }
    }
}

impl Truth {
    pub fn head(&self) -> Version {
        self.entries.len() as Version
    }

    pub fn at(&self, version: Version) -> Option<&Arc<Record>> {
        self.entries.get(version.checked_sub(1)? as usize)
    }

    pub fn position(&self, version: Version) -> Position {
        match self.at(version) {
            Some(record) => Position { epoch: record.epoch, version, hash: record.hash },
            None => Position { hash: rig::log::genesis(&disk::CLUSTER), ..Position::default() },
        }
    }

    /// Whether this record is there, at its place.
    pub fn holds(&self, version: Version, hash: &Hash) -> bool {
        self.at(version).is_some_and(|record| record.hash == *hash)
    }
}

/// The operation in a record, as the clients number them; `None` for one of Rig's own.
pub fn operation_of(record: &Record) -> Option<u64> {
    if record.kind == Kind::Control { None } else { record.operation.data.parse().ok() }
}

/// What a record of Rig's own says.
pub fn control_of(record: &Record) -> Option<ControlData> {
    if record.kind == Kind::Control { ControlData::from_json(&record.operation.data) } else { None }
}

impl Machine {
    pub fn new(place: usize, options: &Options) -> Self {
        let mut id = [0; 16];
        // Names in another order than machines: the first primary is the lowest, the highest or in between.
        id[0] = ((place as u64 * 7 + options.delay + options.sync / 100) % 13) as u8 + 1;
        id[15] = place as u8;
        Self {
            id: NodeId(id),
            vfs: MemVfs::new(),
            boots: 0,
            process: None,
            truth: Truth::default(),
            role: Role::Replica,
            addresses: Vec::new(),
            paused_until: 0,
            retired: false,
            sync: options.sync,
            slow_until: 0,
            stuck: false,
            rate: 1000,
            leased_until: None,
        }
    }

    pub fn member(&self, place: usize) -> Member {
        Member { id: self.id, name: format!("n{place}"), url: format!("{place}") }
    }

    pub fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.failed)
    }

    /// Opens what is on the disk; gives what was lost.
    pub fn start(
        &mut self,
        place: usize,
        options: &Options,
        asked: rig::replication::Asked,
        off: Option<Rule>,
        now: Time,
    ) -> Result<Vec<Arc<Record>>, String> {
        self.boots += 1;
        self.finish_install(options.segment_bytes)?;
        let Opened { writer, sealer, report } =
            disk::open_log(&self.vfs, &disk::config(options.segment_bytes), self.truth.durable)?;
        let (standing_file, standing) = StandingFile::open(&self.vfs)?;
        let head = report.head.version;
        let truth = &mut self.truth;
        let cut = truth.cutting.take();
        if let Some(to) = cut {
            truth.durable = truth.durable.min(to);
        }
        if head < truth.durable || head > truth.head() || report.head.hash != truth.position(head).hash {
            return Err(format!("I8: the log opened with {head}, promised {} of {}", truth.durable, truth.head()));
        }
        let lost = truth.entries.split_off(head as usize);
        if off != Some(Rule::RescueFirst) && cut.is_some_and(|to| disk::is_set_aside(&self.vfs, to + 1)) {
            // The cut went through before its failure was told.
            truth.rescued.extend(lost.iter().cloned());
        }
        truth.durable = head;
        truth.standing = standing.clone().unwrap_or_default();
        // What a snapshot has is committed, whatever the mark says.
        let committed = report.committed.max(report.oldest - 1);
        let (history, configs) = read_history(&truth.entries, committed);
        let found = Found {
            me: self.member(place),
            boot: (place as u64) << 32 | self.boots,
            head,
            oldest: report.oldest,
            committed,
            applied: committed,
            history,
            configs,
            standing,
            coordinated: options.coordinated,
        };
        let mut outputs = Outputs::new();
        let peers_expected = !self.addresses.is_empty() || found.configs.iter().any(|(_, c)| c.replicas() > 0);
        let clock_offset = self.boots * 1000;
        let core = Replication::start(found, self.role, asked, peers_expected, clock_offset, &mut outputs);
        #[cfg(feature = "canary")]
        let core = switch_off(core, off);
        #[cfg(not(feature = "canary"))]
        assert!(off.is_none(), "rules are switched off with the feature `canary`");
        let truth = &self.truth;
        let keys = truth.entries.iter().filter_map(|record| Some((operation_of(record)?, record.version))).collect();
        self.process = Some(Process {
            boot: self.boots,
            core,
            outputs,
            inbox: VecDeque::new(),
            reader: writer.reader(),
            writer: Some(writer),
            sealer,
            batch: Batch::new(),
            writing: None,
            standing: standing_file,
            recording: None,
            swap: None,
            applied: committed,
            digest: service(&truth.entries[..committed as usize], 0),
            lie: None,
            keys,
            waiting: BTreeMap::new(),
            parked: Vec::new(),
            born: now,
            tick_at: Time::MAX,
            clock_offset,
            last_time: report.last_time,
            dials: BTreeMap::new(),
            tried: false,
            opened: None,
            unpark: false,
            cut_to: None,
            snapshot: None,
            is_installing: false,
            arrived: Vec::new(),
            failed: false,
        });
        Ok(lost)
    }

    /// The core's clock at a time of the world.
    pub fn clock(&self, now: Time) -> Time {
        let process = self.process.as_ref().expect("a process that runs");
        process.clock_offset + (now - process.born) * self.rate / 1000
    }

    /// When the core's clock will show this.
    pub fn when(&self, clock: Time) -> Time {
        let process = self.process.as_ref().expect("a process that runs");
        process.born + clock.saturating_sub(process.clock_offset).saturating_mul(1000) / self.rate + 1
    }
}

#[cfg(feature = "canary")]
fn switch_off(mut core: Replication, off: Option<Rule>) -> Replication {
    if let Some(rule) = off {
        core.switch_off(rule);
    }
    core
}

/// The epochs of a log, and the configurations that may be in force in it.
pub fn read_history(entries: &[Arc<Record>], committed: Version) -> (Vec<EpochStart>, Vec<(Version, ClusterConfig)>) {
    let mut history: Vec<EpochStart> = Vec::new();
    let mut configs: Vec<(Version, ClusterConfig)> = Vec::new();
    let mut last: Option<Epoch> = None;
    for record in entries {
        let control = control_of(record);
        if last != Some(record.epoch) {
            let forced = control.as_ref().is_some_and(|control| control.forced);
            history.push(EpochStart { epoch: record.epoch, first: record.version, forced });
            last = Some(record.epoch);
        }
        if let Some(control) = control {
            if record.version <= committed {
                configs.clear();
            }
            configs.push((record.version, control.config));
        }
    }
    (history, configs)
}

/// A service of the smallest kind: what it has seen, in one number.
pub fn service(entries: &[Arc<Record>], before: u64) -> u64 {
    entries.iter().fold(before, |state, record| {
        let op = operation_of(record).unwrap_or(0);
        (state ^ record.version << 32 ^ op).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    })
}

impl Process {
    /// Outputs that are an answer to a proposal.
    pub fn proposed(&mut self) -> Option<Output> {
        self.outputs.pop()
    }
}
