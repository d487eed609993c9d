//! From a data directory to an engine: open the log, take the newest snapshot, replay the rest.
//!
//! ```text
//!   mark            committed          durable head
//!    ...snapshot────────┤──────────────────┤
//!       restore  replay   tail: decided with the epoch's own record, not before
//! ```
//!
//! The newest snapshot is restored while the log is being opened, and what the mark says is committed behind it is
//! replayed at the same time. Both are believed only when the log was opened, which checks the newest segment in full, and
//! has the hash that this ends with. A log that is refused takes them with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::belongs;
use super::chronicle::Chronicle;
use super::dir::DataDir;
use super::engine::{self, Engine, Now, Parts};
use super::keys::{Keys, Runs};
use super::marks::Marks;
use super::snapshots::{self, SnapshotFile};
use super::state::StandingFile;
use super::{Config, NodeError};
use crate::log::{self, DiskVfs, Held, LogError, MemVfs, Opened, Reader, Sealer, Writer};
use crate::replication::{Asked, Found, Member, Replication, Standing};
use crate::service::{Entry, Service};
use crate::types::{ClusterId, Micros, Position, Record, Role, Version};

/// Keys of a snapshot beyond this are read in the background, while reads and unkeyed writes go on.
const KEYS_AT_ONCE_BYTES: u64 = 4 << 20;
/// Records that the service gets in one call.
const REPLAY_RECORDS: usize = 1024;

/// A node before its threads.
pub(super) struct Started {
    pub(super) engine: Engine,
    pub(super) writer: Writer,
    pub(super) standing_file: StandingFile,
    /// A snapshot whose keys are still to be read.
    pub(super) keys_to_load: Option<SnapshotFile>,
    /// The version of the snapshot that was taken; 0 for none.
    pub(super) snapshot: Version,
    /// What the operator should know of it, one line each.
    pub(super) notes: Vec<String>,
}

/// Opens everything.
pub(super) fn start(dir: &DataDir, config: &Config, url: &str, now: Now) -> Result<Started, NodeError> {
    let cluster = dir.meta().cluster_id;
    // Most of a start is hashing and parsing, and neither waits for the other.
    let (opened, candidates) = std::thread::scope(|scope| {
        let restore = || Candidates::find(dir, cluster.unwrap_or_default(), config);
        let restoring = std::thread::Builder::new().name("rig-start".into()).spawn_scoped(scope, restore);
        let opened = match cluster {
            Some(cluster) => log::open(Arc::new(DiskVfs), dir.path(), &log_config(config, cluster)),
            // A node that does not know its cluster has an empty log in memory: it is replaced before the first record.
            None => open_empty(dir, config, ClusterId::default()),
        };
        let candidates = match restoring {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => restore(),
        };
        (opened, candidates)
    });
    let Opened { writer, sealer, report } = opened?;
    let reader = writer.reader();
    let cluster = cluster.unwrap_or_default();
    belongs::check(&dir.state(), config.service.make(0).kind(), &reader, report.head.version)?;
    // Behind the log: a node that does not start changes nothing.
    let mut standing_file = io(StandingFile::open(&dir.state()), "open", &dir.state())?;
    let was = standing_file.last().map(|standing| if standing.primary { Role::Primary } else { Role::Replica });
    let role = config.role.or(was).unwrap_or(Role::Primary);
    if was.is_none() && role == Role::Replica {
        // So that the next start without a word remembers it.
        io(standing_file.record(Standing::default()), "record the role in", &dir.state())?;
    }

    let mut state = State::load(candidates?, cluster, config, &reader, &report)?;
    let committed = report.committed.max(state.applied.version);
    if !config.service.is_outside() {
        state.replay(&reader, committed)?;
    }
    let tail = state.tail(&reader, report.head.version)?;
    // A log that is empty behind a snapshot does not know the epoch of its beginning.
    let durable = if report.head.version == state.applied.version { state.applied } else { report.head };

    let me = Member { id: dir.meta().node_id, name: dir.meta().name.clone(), url: url.to_owned() };
    let (history, configs) = state.chronicle.with_tail(&tail);
    let boot = uuid::Uuid::now_v7().as_u64_pair().1;
    let found = Found {
        me,
        boot,
        head: report.head.version,
        oldest: report.oldest,
        committed,
        applied: state.applied.version,
        history,
        configs,
        standing: standing_file.last().cloned(),
        coordinated: config.coordinator.is_some(),
    };
    let mut outputs = Vec::new();
    let core = Replication::start(found, role, config.asked, !config.peers.is_empty(), 0, &mut outputs);
    let mut notes = Vec::new();
    if let Some(cut) = &report.cut {
        notes.push(format!(
            "version {} was never whole: {} bytes at the end of {} are now in {}",
            cut.version,
            cut.bytes,
            cut.segment.display(),
            cut.rescue.display()
        ));
    }
    if state.replayed > 0 {
        notes.push(format!("{} records replayed behind the snapshot of version {}", state.replayed, state.snapshot));
    }
    if core.is_restored() {
        notes.push(format!(
            "no configuration of this log names this node: it joins with --peer URL, or, where the other nodes are gone, \
             becomes the primary by rig promote {name} --accept-data-loss --confirm {name}",
            name = dir.meta().name
        ));
    }
    let parts = Parts {
        core,
        outputs,
        sealer,
        service: state.service,
        is_outside: config.service.is_outside(),
        keys: state.keys,
        tail,
        durable,
        applied: state.applied,
        chronicle: state.chronicle,
        marks: state.marks,
        begin: now.instant,
        last_time: report.last_time,
    };
    Ok(Started {
        engine: Engine::new(parts, now)?,
        writer,
        standing_file,
        keys_to_load: state.keys_to_load,
        snapshot: state.snapshot,
        notes,
    })
}

/// The log of a node that has just found its cluster.
pub(super) fn open_log(dir: &DataDir, config: &Config, cluster: ClusterId) -> Result<(Writer, Sealer), NodeError> {
    let Opened { writer, sealer, .. } = log::open(Arc::new(DiskVfs), dir.path(), &log_config(config, cluster))?;
    Ok((writer, sealer))
}

/// An empty log in memory, which takes no record: it has no room ready for one.
fn open_empty(dir: &DataDir, config: &Config, cluster: ClusterId) -> Result<Opened, LogError> {
    let config = log::Config { zero_fill: false, ..log_config(config, cluster) };
    log::open(Arc::new(MemVfs::new()), dir.path(), &config)
}

pub(super) fn log_config(config: &Config, cluster: ClusterId) -> log::Config {
    log::Config { cluster, segment_bytes: config.segment_bytes, zero_fill: true }
}

/// The state up to a version, for a node whose log was cut back to there.
pub(super) fn rebuild(
    dir: &DataDir,
    config: &Config,
    cluster: ClusterId,
    reader: &Reader,
    upto: Version,
) -> Result<State, NodeError> {
    let mut state = restored(dir, config, cluster, reader, upto)?;
    state.replay(reader, upto)?;
    Ok(state)
}

/// Where a node with a service outside goes back to when its log was cut there: a state that is kept here, and the records
/// behind it, which the service is given again as if they had just been decided.
pub(super) fn returned(
    dir: &DataDir,
    config: &Config,
    cluster: ClusterId,
    reader: &Reader,
    to: Version,
) -> Result<Box<(State, Vec<Record>)>, NodeError> {
    let state = restored(dir, config, cluster, reader, to)?;
    let tail = state.tail(reader, to)?;
    Ok(Box::new((state, tail)))
}

/// The newest state up to a version that a snapshot has, or the empty one: what [`State::replay`] goes on from.
pub(super) fn restored(
    dir: &DataDir,
    config: &Config,
    cluster: ClusterId,
    reader: &Reader,
    upto: Version,
) -> Result<State, NodeError> {
    let folder = dir.snapshots();
    for snapshot in io(snapshots::list(&folder, cluster), "list", &folder)? {
        if snapshot.position.version <= upto
            && let Ok(found) = State::restore(snapshot, config, true).and_then(|found| found.believed(reader))
        {
            return Ok(found);
        }
    }
    Ok(State::empty(cluster, config))
}

/// A node whose log is damaged: it has nothing, says so, and takes no part.
pub(super) fn failed(dir: &DataDir, config: &Config, url: &str, now: Now) -> Result<Started, NodeError> {
    let cluster = dir.meta().cluster_id.unwrap_or_default();
    let Opened { writer, sealer, report } = open_empty(dir, config, cluster)?;
    let standing_file = io(StandingFile::open(&dir.state()), "open", &dir.state())?;
    let me = Member { id: dir.meta().node_id, name: dir.meta().name.clone(), url: url.to_owned() };
    let (history, configs, standing) = (Vec::new(), Vec::new(), standing_file.last().cloned());
    let found = Found {
        me,
        boot: 0,
        head: 0,
        oldest: 1,
        committed: 0,
        applied: 0,
        history,
        configs,
        standing,
        coordinated: false,
    };
    let mut outputs = Vec::new();
    let core = Replication::start(found, Role::Replica, Asked::default(), true, 0, &mut outputs);
    // Whatever it wants recorded would be the word of a node without a log.
    outputs.clear();
    let State { service, keys, chronicle, marks, applied, .. } = State::empty(cluster, config);
    let (tail, durable, begin) = (Vec::new(), report.head, now.instant);
    let (is_outside, last_time) = (false, 0);
    let parts = Parts {
        core,
        outputs,
        sealer,
        service,
        is_outside,
        keys,
        tail,
        durable,
        applied,
        chronicle,
        marks,
        begin,
        last_time,
    };
    let mut engine = Engine::new(parts, now)?;
    engine.storage_failed();
    Ok(Started { engine, writer, standing_file, keys_to_load: None, snapshot: 0, notes: Vec::new() })
}

/// The snapshots that are there, the newest restored and replayed while the log is still being opened.
struct Candidates {
    newest: Candidate,
    older: Vec<SnapshotFile>,
}

struct Candidate {
    path: PathBuf,
    version: Version,
    state: Result<State, String>,
}

impl Candidates {
    fn find(dir: &DataDir, cluster: ClusterId, config: &Config) -> Result<Self, NodeError> {
        let folder = dir.snapshots();
        let mut found = io(snapshots::list(&folder, cluster), "list", &folder)?.into_iter();
        let mut newest = match found.next() {
            Some(snapshot) => Candidate::restore(snapshot, config),
            None => Candidate { path: folder, version: 0, state: Ok(State::empty(cluster, config)) },
        };
        newest.state = match newest.state {
            // A service outside is brought up to the log while the node runs.
            Ok(state) if config.service.is_outside() => Ok(state),
            Ok(state) => Ok(state.ahead(dir.path())?),
            Err(reason) => Err(reason),
        };
        Ok(Self { newest, older: found.collect() })
    }
}

impl Candidate {
    fn restore(snapshot: SnapshotFile, config: &Config) -> Self {
        let (path, version) = (snapshot.path().to_owned(), snapshot.position.version);
        Self { path, version, state: State::restore(snapshot, config, false) }
    }
}

/// The service and what Rig remembers beside it, on its way to the committed version.
pub(super) struct State {
    pub(super) service: Box<dyn Service>,
    pub(super) keys: Keys,
    pub(super) chronicle: Chronicle,
    pub(super) marks: Marks,
    pub(super) applied: Position,
    keys_to_load: Option<SnapshotFile>,
    snapshot: Version,
    replayed: u64,
}

impl State {
    fn empty(cluster: ClusterId, config: &Config) -> Self {
        let start = Position { hash: log::genesis(&cluster), ..Position::default() };
        Self {
            service: config.service.make(config.memory_max_bytes),
            keys: Keys::new(),
            chronicle: Chronicle::default(),
            marks: Marks::after(0),
            applied: start,
            keys_to_load: None,
            snapshot: 0,
            replayed: 0,
        }
    }

    /// The newest snapshot that can be believed, or nothing.
    fn load(
        candidates: Candidates,
        cluster: ClusterId,
        config: &Config,
        reader: &Reader,
        report: &log::Report,
    ) -> Result<Self, NodeError> {
        let head = report.head.version;
        let Candidates { newest, older } = candidates;
        let older = older.into_iter().map(|snapshot| Candidate::restore(snapshot, config));
        for Candidate { path, version, state } in std::iter::once(newest).chain(older) {
            if version > head {
                return Err(NodeError::AheadOfLog { path, snapshot: version, head });
            }
            match state.and_then(|state| state.believed(reader)) {
                Ok(state) => return Ok(state),
                Err(reason) => ::log::warn!("snapshot of version {version} is not used: {reason}"),
            }
        }
        if report.oldest > 1 {
            return Err(NodeError::NoSnapshot { oldest: report.oldest });
        }
        Ok(Self::empty(cluster, config))
    }

    /// What a snapshot holds. Nothing may be built on it before it was [`State::believed`].
    fn restore(snapshot: SnapshotFile, config: &Config, whole: bool) -> Result<Self, String> {
        let version = snapshot.position.version;
        let mut service = config.service.make(config.memory_max_bytes);
        snapshot.restore(&mut *service).map_err(|error| error.to_string())?;
        let later = !whole && snapshot.keys_bytes() > KEYS_AT_ONCE_BYTES;
        let runs = if later { None } else { Some(snapshot.keys().map_err(|error| error.to_string())?) };
        Ok(Self {
            service,
            keys: Keys::restored(snapshot.keyed, snapshot.now, runs),
            chronicle: snapshot.chronicle.clone(),
            marks: Marks::after(version),
            applied: snapshot.position,
            snapshot: version,
            keys_to_load: later.then_some(snapshot),
            replayed: 0,
        })
    }

    /// The state, if the log has its hash at its version.
    fn believed(self, reader: &Reader) -> Result<Self, String> {
        match reader.hash(self.applied.version) {
            Ok(Some(hash)) if hash == self.applied.hash => Ok(self),
            Ok(_) => Err("the log has another hash there".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replays what the mark says is committed, out of a log that is being judged meanwhile. What cannot be read is left
    /// to those who judge it.
    fn ahead(mut self, dir: &Path) -> Result<Self, NodeError> {
        let Ok(reader) = Reader::open(Arc::new(DiskVfs), dir, Held::ByNode) else { return Ok(self) };
        if !matches!(reader.hash(self.applied.version), Ok(Some(hash)) if hash == self.applied.hash) {
            return Ok(self);
        }
        match self.replay(&reader, reader.committed()) {
            Ok(()) | Err(NodeError::Log(_)) => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// Applies what is decided.
    pub(super) fn replay(&mut self, reader: &Reader, upto: Version) -> Result<(), NodeError> {
        let mut records = Vec::with_capacity(REPLAY_RECORDS);
        let mut replay = reader.replay(self.applied.version + 1, upto);
        while let Some(record) = replay.next() {
            records.push(record?.to_record());
            if records.len() == REPLAY_RECORDS {
                self.apply(&records)?;
                records.clear();
            }
        }
        self.apply(&records)
    }

    fn apply(&mut self, records: &[Record]) -> Result<(), NodeError> {
        let Some(last) = records.last() else { return Ok(()) };
        let entries: Vec<Entry<'_>> = records.iter().map(engine::entry).collect();
        let outcomes = self.service.apply(&entries)?;
        for (record, outcome) in records.iter().zip(&outcomes) {
            engine::note(record, None, outcome, &mut self.keys, &mut self.chronicle);
            self.marks.note(record, outcome);
        }
        self.applied = Position { epoch: last.epoch, version: last.version, hash: last.hash };
        self.replayed += records.len() as u64;
        Ok(())
    }

    /// What is durable and not known to be decided.
    fn tail(&self, reader: &Reader, head: Version) -> Result<Vec<Record>, NodeError> {
        reader.records(self.applied.version + 1, head).map(|record| record.map_err(NodeError::from)).collect()
    }
}

/// The keys up to a version from the log alone, for a snapshot whose keys are damaged.
pub(super) fn rebuild_keys(
    reader: &Reader,
    cluster: ClusterId,
    config: &Config,
    upto: Version,
) -> Result<Runs, NodeError> {
    let unbounded = Config { memory_max_bytes: u64::MAX, ..config.clone() };
    let mut state = State::empty(cluster, &unbounded);
    state.replay(reader, upto)?;
    let frozen = state.keys.freeze().expect("a table of its own is complete and not being written");
    Ok(frozen.merge())
}

/// Microseconds since 1970 by the machine's clock.
pub(super) fn wall_clock() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn io<T>(result: std::io::Result<T>, op: &'static str, path: &Path) -> Result<T, NodeError> {
    result.map_err(|source| NodeError::Io { op, path: path.to_owned(), source })
}
