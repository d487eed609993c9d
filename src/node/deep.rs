//! The deep audit: the log replayed into a scratch service, held against every snapshot on the way.
//!
//! The chain proves that records are what was logged; this proves that the state a node starts from, documents and
//! idempotency keys, is what they make. It changes nothing and needs no lock: records do not change, and snapshots appear whole.

use std::path::PathBuf;
use std::sync::Arc;

use super::belongs;
use super::chronicle::Chronicle;
use super::dir::DataDir;
use super::engine;
use super::keys::{Frozen, Keys};
use super::snapshots::{self, SnapshotFile};
use super::{NodeError, Source};
use crate::log::{DiskVfs, Held, Reader};
use crate::service::{Documents, Entry, Service, Settings};
use crate::types::{Hash, Record, Version};

/// Records that the service gets in one call.
const REPLAY_RECORDS: usize = 1024;
/// After so many records what is remembered of their keys is packed, and what is forgotten is dropped.
const PACK_RECORDS: u64 = 256 << 10;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deep {
    /// The last version that was applied.
    pub version: Version,
    /// Digest of the state there: equal on every node that has the same log.
    pub state: Hash,
    /// Snapshots that hold exactly the state of their version.
    pub equal: Vec<Version>,
    /// Snapshots that do not, and why.
    pub different: Vec<(Version, PathBuf, String)>,
}

/// Replays the committed part of a log of documents. `progress` is told how many records are applied.
///
/// # Errors
/// [`NodeError::OtherService`] where only another program knows what the operations mean; what cannot be read.
pub fn deep(dir: &DataDir, progress: &dyn Fn(u64)) -> Result<Deep, NodeError> {
    let asked = Source::Documents.make(u64::MAX).kind();
    if let Some(known) = belongs::read(&dir.state()).filter(|known| known != asked) {
        return Err(NodeError::OtherService { path: dir.state().join("service"), known, asked: asked.to_owned() });
    }
    let held = if dir.is_in_use() { Held::ByNode } else { Held::ByNobody };
    let reader = Reader::open(Arc::new(DiskVfs), dir.path(), held)?;
    let committed = reader.committed();
    let folder = dir.snapshots();
    let listed = snapshots::list(&folder, reader.cluster());
    let mut found = listed.map_err(|source| NodeError::Io { op: "list", path: folder, source })?;
    found.sort_by_key(|snapshot| snapshot.position.version);

    let mut scratch = Scratch::new();
    let (mut equal, mut different) = (Vec::new(), Vec::new());
    for snapshot in found {
        let version = snapshot.position.version;
        // One that knows more than is decided says nothing about the log up to there.
        if version > committed {
            continue;
        }
        if scratch.service.version() + 1 < reader.oldest() {
            // The log begins here: what is below can only be believed.
            scratch = Scratch::restored(&snapshot)?;
            equal.push(version);
            continue;
        }
        scratch.replay(&reader, version, progress)?;
        match scratch.judge(&snapshot, &reader)? {
            None => equal.push(version),
            Some(why) => different.push((version, snapshot.path().to_owned(), why)),
        }
    }
    scratch.replay(&reader, committed, progress)?;
    Ok(Deep { version: scratch.service.version(), state: scratch.service.digest(), equal, different })
}

/// What a node would hold in memory.
struct Scratch {
    service: Documents,
    keys: Keys,
}

impl Scratch {
    fn new() -> Self {
        Self { service: Documents::new(Settings { memory_max_bytes: u64::MAX }), keys: Keys::new() }
    }

    fn restored(snapshot: &SnapshotFile) -> Result<Self, NodeError> {
        let mut scratch = Self::new();
        snapshot.restore(&mut scratch.service)?;
        let path = || snapshot.path().to_owned();
        scratch.keys = snapshot.table().map_err(|source| NodeError::Io { op: "read", path: path(), source })?;
        Ok(scratch)
    }

    /// Why the snapshot is not what the records up to there make.
    fn judge(&mut self, snapshot: &SnapshotFile, reader: &Reader) -> Result<Option<String>, NodeError> {
        if reader.hash(snapshot.position.version)? != Some(snapshot.position.hash) {
            return Ok(Some("it belongs to another log: the hash in it is not the one here".to_owned()));
        }
        let mut other = match Self::restored(snapshot) {
            Err(error) => return Ok(Some(error.to_string())),
            Ok(other) => other,
        };
        let differs = if other.service.digest() != self.service.digest() {
            Some("its state is")
        } else if !Frozen::is_equal(&other.keys.settle(), &self.keys.settle()) {
            Some("its idempotency keys are")
        } else {
            None
        };
        Ok(differs.map(|what| format!("{what} not what the records up to there make")))
    }

    fn replay(&mut self, reader: &Reader, upto: Version, progress: &dyn Fn(u64)) -> Result<(), NodeError> {
        let mut records = Vec::with_capacity(REPLAY_RECORDS);
        for record in reader.records(self.service.version() + 1, upto) {
            let record = record?;
            if record.version.is_multiple_of(PACK_RECORDS) {
                self.keys.settle();
            }
            records.push(record);
            if records.len() == REPLAY_RECORDS {
                self.apply(&records, progress)?;
                records.clear();
            }
        }
        self.apply(&records, progress)
    }

    fn apply(&mut self, records: &[Record], progress: &dyn Fn(u64)) -> Result<(), NodeError> {
        let entries: Vec<Entry<'_>> = records.iter().map(engine::entry).collect();
        let outcomes = self.service.apply(&entries)?;
        for (record, outcome) in records.iter().zip(&outcomes) {
            engine::note(record, None, outcome, &mut self.keys, &mut Chronicle::default());
        }
        progress(self.service.version());
        Ok(())
    }
}
