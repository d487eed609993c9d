//! From archives, or a snapshot file, to a data directory.
//!
//! ```text
//!   archive ─► sections ─► chain checked ─┬─ up to the wanted version ─► log, snapshot ─┐
//!   incremental, one after the other ─────┘   (a new cluster: sealed anew, and a         ├─► DIR
//!                                              rig_epoch of this node behind it)  ──────┘
//! ```
//!
//! Of the same cluster the directory becomes a node that no log names: it may join as a replica, or be made the primary
//! by force. Of a new cluster it becomes the first primary: its records keep versions, epochs, times and keys, their
//! hashes are those of the new chain, and the control record behind them says of which log they are a copy.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::Sections;
use super::{ABOUT_BYTES_MAX, About, BackupError, Header, Kind};
use crate::limits;
use crate::log::{self, Batch, DiskVfs, Fault, Sealer, Writer, format::FORMAT_FIRST};
use crate::node::chronicle::{Chronicle, control};
use crate::node::dir::{Building, DataDir};
use crate::node::state::StandingFile;
use crate::node::{belongs, snapshots};
use crate::replication::{ClusterConfig, ControlData, Member, Restored as RestoredFrom, Standing};
use crate::types::{ClusterId, Epoch, Hash, Micros, Mode, NodeId, Operation, Position, Record, Version, methods};

/// Where a restore ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upto {
    /// With the last record there is.
    End,
    /// With this version.
    Version(Version),
    /// With the last record of this time or before.
    Time(Micros),
}

/// An archive to read.
pub type Input = Box<dyn Read>;

/// How a directory is restored.
#[derive(Debug, Clone, Copy)]
pub struct Restoring<'a> {
    /// Where it is to appear.
    pub path: &'a Path,
    /// The node's name.
    pub name: &'a str,
    /// Whether it begins a cluster of its own.
    pub new_cluster: bool,
    /// The time now.
    pub now: Micros,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The new directory.
    pub dir: DataDir,
    /// Whose records they were.
    pub cluster: ClusterId,
    /// The last version that was restored.
    pub version: Version,
    /// Its hash, in the log that it came from.
    pub hash: Hash,
    /// First version of the log now.
    pub oldest: Version,
    /// Records that were restored.
    pub records: u64,
    /// The mode of a cluster that begins with it.
    pub replication: Option<Mode>,
}

/// Makes a directory of an archive and what was archived after it, in this order. `progress` is told the bytes that are
/// read of the one that is being read.
///
/// # Errors
/// Nothing is left where the directory was to be.
pub fn restore(
    how: Restoring<'_>,
    upto: Upto,
    inputs: Vec<Input>,
    progress: &dyn Fn(u64),
) -> Result<Restored, BackupError> {
    let mut target: Option<Target> = None;
    for input in inputs {
        let sections = Sections::open(input)?;
        match &mut target {
            Some(target) => {
                target.continues(&sections.header)?;
                target.take(sections, upto, progress)?;
            }
            None => {
                let header = sections.header;
                if header.incremental {
                    return Err(BackupError::NeedsBase { after: header.before.version });
                }
                let is_chained = header.before.version > 0 || header.before.hash == log::genesis(&header.cluster);
                let has_base = header.snapshot + 1 >= header.from() && header.snapshot <= header.end.version;
                if !is_chained || !has_base {
                    return Err(sections.broken("the header says what cannot be"));
                }
                let new = target.insert(Target::begin(how, header.cluster, header.before)?);
                new.take(sections, upto, progress)?;
            }
        }
    }
    let target = target.expect("the caller names one archive at least");
    let oldest = target.snapshot.map_or(target.base.max(1), |at| at.version);
    let newest = target.sealer.position().version;
    let there = oldest..=newest;
    let is_there = match upto {
        Upto::Version(version) => there.contains(&version),
        Upto::End | Upto::Time(_) => there.contains(&target.head.version),
    };
    if !is_there {
        return Err(BackupError::NotThere { oldest, newest });
    }
    target.finish(how)
}

/// Makes a directory of one snapshot file and the keys that lie beside it: no record is in its log.
///
/// # Errors
/// Nothing is left where the directory was to be.
pub fn restore_snapshot(how: Restoring<'_>, file: &Path) -> Result<Restored, BackupError> {
    let io = |source| BackupError::Io { op: "read", path: file.to_owned(), source };
    let (cluster, snapshot) = snapshots::look(file).map_err(io)?;
    let at = snapshot.position;
    let mut target = Target::begin(how, cluster, at)?;
    for (number, path) in snapshot.files() {
        let kind = if path == file { Kind::Snapshot } else { Kind::Keys };
        let mut from =
            File::open(&path).map_err(|source| BackupError::Io { op: "open", path: path.clone(), source })?;
        let mut to = target.create(kind, number)?;
        io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(io)?;
    }
    target.snapshot = Some(at);
    target.finish(how)
}

/// A directory that is being restored.
struct Target {
    building: Building,
    /// Whose records are read.
    cluster: ClusterId,
    writer: Writer,
    /// The end of what was read: the chain is checked beyond what is restored too.
    sealer: Sealer,
    /// For a new cluster: the end of its own chain.
    own: Option<Sealer>,
    /// The version before the first of the log.
    base: Version,
    /// The last record that is restored, as it was read.
    head: Position,
    last_time: Micros,
    /// The place of the snapshot, in the log that is made.
    snapshot: Option<Position>,
    config: Option<ClusterConfig>,
    service: Option<String>,
}

impl Target {
    fn begin(how: Restoring<'_>, cluster: ClusterId, before: Position) -> Result<Self, BackupError> {
        let mut building = Building::begin(how.path, how.name)?;
        let id = if how.new_cluster { ClusterId(*uuid::Uuid::now_v7().as_bytes()) } else { cluster };
        building.dir().set_cluster_id(id)?;
        let own_before = match before.version {
            0 => Position { hash: log::genesis(&id), ..before },
            _ => before,
        };
        let config = log::Config::new(id);
        let path = building.dir().path();
        log::begin_behind(&DiskVfs, path, &config, &own_before)?;
        let (writer, sealer) =
            (log::open(Arc::new(DiskVfs), path, &config)?.writer, Sealer::new(own_before, FORMAT_FIRST));
        let read = Sealer::new(before, FORMAT_FIRST);
        Ok(Self {
            building,
            cluster,
            writer,
            sealer: read,
            own: how.new_cluster.then_some(sealer),
            base: before.version,
            head: before,
            last_time: 0,
            snapshot: None,
            config: None,
            service: None,
        })
    }

    /// Whether an incremental archive goes on where the last one has ended.
    fn continues(&self, header: &Header) -> Result<(), BackupError> {
        let (head, after) = (self.sealer.position(), header.before.version);
        if header.cluster != self.cluster {
            return Err(BackupError::Foreign { found: header.cluster, expected: self.cluster });
        }
        if !header.incremental || after != head.version {
            return Err(BackupError::NoSuccessor { after, head: head.version });
        }
        if header.before.hash != head.hash {
            return Err(BackupError::OtherChain { version: head.version });
        }
        Ok(())
    }

    fn take(&mut self, mut sections: Sections<Input>, upto: Upto, progress: &dyn Fn(u64)) -> Result<(), BackupError> {
        let header = sections.header;
        while let Some(head) = sections.next()? {
            match head.kind {
                Kind::About => {
                    let body = sections.body(&head, ABOUT_BYTES_MAX)?;
                    let about: About =
                        serde_json::from_slice(&body).map_err(|_| sections.broken("what it is of cannot be read"))?;
                    self.service = self.service.take().or(about.service);
                }
                Kind::Snapshot | Kind::Keys => {
                    let is_due = !header.incremental && header.snapshot > 0;
                    if !is_due || head.kind == Kind::Snapshot && head.number != header.snapshot {
                        return Err(sections.broken("a section stands where it does not belong"));
                    }
                    let mut file = self.create(head.kind, head.number)?;
                    sections.copy(&head, &mut file)?;
                    file.sync_all().map_err(BackupError::Input)?;
                    // Its hash follows, where the chain has it.
                    self.snapshot = Some(Position { version: header.snapshot, ..header.before });
                }
                Kind::Records => {
                    let wire = sections.body(&head, limits::RECORD_BYTES_MAX as u64)?;
                    self.append(&wire, upto).map_err(|error| match error {
                        Wrong::Fault => sections.broken("a record is damaged, or does not continue the one before it"),
                        Wrong::Backup(error) => error,
                    })?;
                }
                Kind::End => unreachable!("it ends the loop"),
            }
            progress(sections.offset());
        }
        let end = self.sealer.position();
        if (end.version, end.hash) != (header.end.version, header.end.hash) {
            return Err(sections.broken("its records end elsewhere than its header says"));
        }
        if header.snapshot > 0 && self.snapshot.is_none() {
            return Err(sections.broken("its snapshot is missing"));
        }
        Ok(())
    }

    /// A file of a snapshot in the new directory.
    fn create(&mut self, kind: Kind, number: u64) -> Result<File, BackupError> {
        let ending = if kind == Kind::Snapshot { "snap" } else { "keys" };
        let path = self.building.dir().snapshots().join(format!("{number:020}.{ending}"));
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.map_err(|source| BackupError::Io { op: "create", path, source })
    }

    /// Checks the next records, and appends those that are wanted.
    fn append(&mut self, wire: &[u8], upto: Upto) -> Result<(), Wrong> {
        let (before, mut batch) = (self.sealer.clone(), Batch::new());
        let records = self.sealer.accept(wire, &mut batch).map_err(Wrong::of)?;
        let goes_on = self.head.version == before.position().version;
        let is_wanted = |record: &&Record| match upto {
            Upto::End => true,
            Upto::Version(last) => record.version <= last,
            Upto::Time(last) => record.time <= last,
        };
        let wanted = if goes_on { records.iter().take_while(is_wanted).count() } else { 0 };
        let Some(last) = wanted.checked_sub(1).map(|last| &records[last]) else { return Ok(()) };
        for record in &records[..wanted] {
            self.config = control(record).map(|control| control.config).or(self.config.take());
        }
        (self.head, self.last_time) =
            (Position { epoch: last.epoch, version: last.version, hash: last.hash }, last.time);
        if self.own.is_some() {
            return Ok(self.seal_anew(&records[..wanted])?);
        }
        for record in &records[..wanted] {
            self.pass(record.version, record.hash);
        }
        if wanted < records.len() {
            let mut part = Vec::new();
            batch.wire(records[0].version, self.head.version, usize::MAX, &mut part);
            batch.clear();
            before.clone().accept(&part, &mut batch).map_err(Wrong::of)?;
        }
        Ok(self.writer.append(&mut batch).map_err(BackupError::from)?)
    }

    fn seal_anew(&mut self, records: &[Record]) -> Result<(), BackupError> {
        let mut batch = Batch::new();
        for record in records {
            let mut record = record.clone();
            let own = self.own.as_mut().expect("a new cluster has its own chain");
            own.raise_format(self.sealer.format());
            own.seal(&mut record, &mut batch);
            self.pass(record.version, record.hash);
            if batch.is_full() {
                self.writer.append(&mut batch)?;
                batch.clear();
            }
        }
        Ok(self.writer.append(&mut batch)?)
    }

    /// The chain of the new log has come to a version.
    fn pass(&mut self, version: Version, hash: Hash) {
        if let Some(at) = self.snapshot.as_mut().filter(|at| at.version == version) {
            at.hash = hash;
        }
    }

    fn finish(mut self, how: Restoring<'_>) -> Result<Restored, BackupError> {
        let broken = |what| BackupError::Broken { offset: 0, what };
        let state = self.building.dir().state();
        let io = |op, path: &Path| {
            let path = path.to_owned();
            move |source| BackupError::Io { op, path, source }
        };
        let mut chronicle = Chronicle::default();
        if let Some(at) = self.snapshot {
            let path = self.building.dir().snapshots().join(format!("{:020}.snap", at.version));
            let cluster = self.building.dir().meta().cluster_id.unwrap_or_default();
            if how.new_cluster {
                let (found, snapshot) = snapshots::look(&path).map_err(|_| broken("its snapshot is damaged"))?;
                if found != self.cluster || snapshot.position.version != at.version {
                    return Err(broken("its snapshot is of another log"));
                }
                snapshots::rebase(&path, cluster, at.hash).map_err(io("write", &path))?;
            }
            let snapshot = snapshots::check_file(&path, cluster).map_err(|_| broken("its snapshot is damaged"))?;
            if (snapshot.position.version, snapshot.position.hash) != (at.version, at.hash) {
                return Err(broken("its snapshot is of another log"));
            }
            if self.head.version == at.version {
                self.head.epoch = snapshot.position.epoch;
            }
            chronicle = snapshot.chronicle;
        }
        let (mut standing, mut replication) = (Standing::default(), None);
        let mut last = self.head.version;
        if how.new_cluster {
            (standing, replication) = self.found(how, chronicle).map(|(standing, mode)| (standing, Some(mode)))?;
            last += 1;
        }
        self.writer.close(last)?;
        if let Some(service) = &self.service {
            belongs::write(&state, service).map_err(io("write", &state))?;
        }
        // Of the same cluster: it waits for a primary, until somebody says otherwise.
        let mut file = StandingFile::open(&state).map_err(io("open", &state))?;
        file.record(standing).map_err(io("write", &state))?;
        let dir = self.building.finish()?;
        let records = self.head.version - self.base;
        let (cluster, Position { version, hash, .. }) = (self.cluster, self.head);
        Ok(Restored { dir, cluster, version, hash, oldest: self.base + 1, records, replication })
    }

    /// The record with which this node begins a cluster of its own, and that it is its primary; and the mode.
    fn found(&mut self, how: Restoring<'_>, chronicle: Chronicle) -> Result<(Standing, Mode), BackupError> {
        let meta = self.building.dir().meta().clone();
        let me = Member { id: meta.node_id, name: meta.name, url: String::new() };
        let epoch = Epoch { number: self.head.epoch.number + 1, owner: me.id, start: 1 };
        let config = self.config.take().or(chronicle.config.map(|(_, config)| config));
        let config = ClusterConfig { members: vec![me.clone()], ..config.unwrap_or_else(|| ClusterConfig::first(me)) };
        let Position { version, hash, .. } = self.head;
        let from = RestoredFrom { cluster: self.cluster, version, hash };
        let mode = config.replication;
        let data = ControlData { config, forced: true, restored: Some(from) };
        let mut record = Record {
            version: version + 1,
            epoch,
            time: self.last_time.max(how.now),
            commit_upto: version,
            kind: crate::types::Kind::Control,
            key: None,
            request_hash: None,
            actor: "".into(),
            operation: Operation::new(methods::EPOCH, data.to_json()),
            hash: Hash::default(),
        };
        let mut batch = Batch::new();
        self.own.as_mut().expect("a new cluster has its own chain").seal(&mut record, &mut batch);
        self.writer.append(&mut batch)?;
        let set: Vec<NodeId> = Vec::new();
        Ok((
            Standing { promised: epoch, primary: true, forced: true, set, alone_from: None, lacks: 0, adrift: false },
            mode,
        ))
    }
}

/// What can go wrong with a section of records.
enum Wrong {
    /// They are not what they should be.
    Fault,
    Backup(BackupError),
}

impl Wrong {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Format(found) => Self::Backup(BackupError::Format { found }),
            _ => Self::Fault,
        }
    }
}

impl From<BackupError> for Wrong {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

/// A list of archives by their paths; `-` is standard input.
///
/// # Errors
/// One cannot be opened.
pub fn open_input(path: &Path) -> Result<Input, BackupError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(path).map(|file| Box::new(io::BufReader::with_capacity(1 << 20, file)) as Input);
    opened.map_err(|source| BackupError::Io { op: "open", path: PathBuf::from(path), source })
}
