//! The deep audit: the log replayed into a scratch service, held against every snapshot on the way.
//!
//! The chain proves that records are what was logged; this proves that the state a node starts from is what they
//! make. It changes nothing and needs no lock: records do not change, and snapshots appear whole.

use std::path::PathBuf;
use std::sync::Arc;

use super::NodeError;
use super::dir::DataDir;
use super::engine;
use super::snapshots::{self, SnapshotFile};
use crate::log::{DiskVfs, Held, Reader};
use crate::service::{Documents, Entry, Service, Settings};
use crate::types::{Hash, Record, Version};

/// Records that the service gets in one call.
const REPLAY_RECORDS: usize = 1024;

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

/// Replays the committed part of a log. `progress` is told how many records are applied.
pub fn deep(dir: &DataDir, progress: &dyn Fn(u64)) -> Result<Deep, NodeError> {
    let held = if dir.is_in_use() { Held::ByNode } else { Held::ByNobody };
    let reader = Reader::open(Arc::new(DiskVfs), dir.path(), held)?;
    let committed = reader.committed();
    let folder = dir.snapshots();
    let listed = snapshots::list(&folder, reader.cluster());
    let mut found = listed.map_err(|source| NodeError::Io { op: "list", path: folder, source })?;
    found.sort_by_key(|snapshot| snapshot.position.version);

    let mut service = scratch();
    let (mut equal, mut different) = (Vec::new(), Vec::new());
    for snapshot in found {
        let version = snapshot.position.version;
        // One that knows more than is decided says nothing about the log up to there.
        if version > committed {
            continue;
        }
        if service.version() + 1 < reader.oldest() {
            // The log begins here: what is below can only be believed.
            service = restored(&snapshot)?;
            equal.push(version);
            continue;
        }
        replay(&mut service, &reader, version, progress)?;
        match judge(&snapshot, &service, &reader)? {
            None => equal.push(version),
            Some(why) => different.push((version, snapshot.path().to_owned(), why)),
        }
    }
    replay(&mut service, &reader, committed, progress)?;
    Ok(Deep { version: service.version(), state: service.digest(), equal, different })
}

fn scratch() -> Documents {
    Documents::new(Settings { memory_max_bytes: u64::MAX })
}

fn restored(snapshot: &SnapshotFile) -> Result<Documents, NodeError> {
    let mut service = scratch();
    snapshot.restore(&mut service)?;
    Ok(service)
}

fn judge(snapshot: &SnapshotFile, service: &Documents, reader: &Reader) -> Result<Option<String>, NodeError> {
    let version = snapshot.position.version;
    if reader.hash(version)? != Some(snapshot.position.hash) {
        return Ok(Some("it belongs to another log: the hash in it is not the one here".to_owned()));
    }
    match restored(snapshot) {
        Err(error) => Ok(Some(error.to_string())),
        Ok(state) if state.digest() != service.digest() => {
            Ok(Some("its state is not what the records up to there make".to_owned()))
        }
        Ok(_) => Ok(None),
    }
}

fn replay(service: &mut Documents, reader: &Reader, upto: Version, progress: &dyn Fn(u64)) -> Result<(), NodeError> {
    let mut records = Vec::with_capacity(REPLAY_RECORDS);
    for record in reader.records(service.version() + 1, upto) {
        records.push(record?);
        if records.len() == REPLAY_RECORDS {
            apply(service, &records, progress)?;
            records.clear();
        }
    }
    apply(service, &records, progress)
}

fn apply(service: &mut Documents, records: &[Record], progress: &dyn Fn(u64)) -> Result<(), NodeError> {
    let entries: Vec<Entry<'_>> = records.iter().map(engine::entry).collect();
    service.apply(&entries)?;
    progress(service.version());
    Ok(())
}
