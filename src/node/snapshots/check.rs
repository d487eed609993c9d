//! What snapshot files say of themselves, and whether it is so: read back from the disk.
//!
//! # What is read
//! 1. The header with its checksum, and the chain hash in it, held against the log where the log still has that version.
//! 2. Every byte of every section, and of the runs of keys that are named, against their checksums.
//! 3. Documents are built from it; of what a service outside has given only the checksum can be known.
//!
//! # Not here
//! Whether the state is what the records make: that is the deep audit (`deep`).

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::{BUFFER, Checked, Names, SERVICE, SnapshotFile, bad, read_run, run_path};
use crate::log::{Held, LogError, Reader};
use crate::node::dir::DataDir;
use crate::node::{NodeError, Source, belongs};
use crate::service::{Documents, Settings};
use crate::types::{ClusterId, Hash, NodeId, Version, format_time};

/// A snapshot, as `rig snapshot ls` and `GET /snapshots` have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// Always `snapshot`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The last version in it.
    pub version: Version,
    /// Number of the epoch of that record.
    pub epoch: u64,
    /// Owner of that epoch.
    pub owner: NodeId,
    /// Chain hash of that record.
    pub hash: Hash,
    /// When its newest record with a key was logged, RFC 3339; empty if there is none.
    pub time: String,
    /// Bytes of the file and of the keys that it names.
    pub size_bytes: u64,
    /// Its name in `snapshots/`.
    pub file: String,
}

/// A snapshot that was read back.
#[derive(Debug)]
pub struct SnapshotChecked {
    /// Its name in `snapshots/`.
    pub file: String,
    /// What it says of itself, or what is wrong with it.
    pub found: Result<SnapshotInfo, String>,
}

impl SnapshotInfo {
    fn of(snapshot: &SnapshotFile) -> io::Result<Self> {
        let at = snapshot.position;
        Ok(Self {
            kind: "snapshot",
            version: at.version,
            epoch: at.epoch.number,
            owner: at.epoch.owner,
            hash: at.hash,
            time: if snapshot.now == 0 { String::new() } else { format_time(snapshot.now) },
            size_bytes: fs::metadata(snapshot.path())?.len() + snapshot.keys_bytes(),
            file: name_of(snapshot.path()),
        })
    }
}

/// The snapshots of this cluster whose header is whole, newest first.
pub(in crate::node) fn infos(folder: &Path, cluster: ClusterId) -> io::Result<Vec<SnapshotInfo>> {
    super::list(folder, cluster)?.iter().map(SnapshotInfo::of).collect()
}

/// Reads the snapshot of a version back, every byte of it.
pub(in crate::node) fn read_back(folder: &Path, cluster: ClusterId, version: Version) -> io::Result<SnapshotInfo> {
    let snapshot = SnapshotFile::open(&folder.join(format!("{version:020}.snap")), cluster)?;
    read_bytes(&snapshot)?;
    SnapshotInfo::of(&snapshot)
}

/// The version of the newest snapshot that reads back whole.
pub(in crate::node) fn newest_whole(folder: &Path, cluster: ClusterId) -> io::Result<Option<Version>> {
    for snapshot in super::list(folder, cluster)? {
        match read_bytes(&snapshot) {
            Ok(()) => return Ok(Some(snapshot.position.version)),
            Err(error) => log::warn!("snapshot {} cannot be relied on: {error}", snapshot.path().display()),
        }
    }
    Ok(None)
}

/// The snapshots of a data directory, newest first.
///
/// # Errors
/// The folder cannot be read.
pub fn snapshots(dir: &DataDir) -> Result<Vec<SnapshotInfo>, NodeError> {
    let (folder, cluster) = (dir.snapshots(), dir.meta().cluster_id.unwrap_or_default());
    infos(&folder, cluster).map_err(|source| NodeError::Io { op: "list", path: folder, source })
}

/// Reads the snapshots of a data directory back, or only that of one version; whether its node runs or not. `progress`
/// is told how many are done.
///
/// # Errors
/// Folder or log cannot be read. What is wrong with a snapshot is no error, but in [`SnapshotChecked::found`].
pub fn verify_snapshots(
    dir: &DataDir,
    version: Option<Version>,
    progress: &dyn Fn(u64),
) -> Result<Vec<SnapshotChecked>, NodeError> {
    let folder = dir.snapshots();
    let failed = |source| NodeError::Io { op: "list", path: folder.clone(), source };
    let mut paths = Names::read(&folder).map_err(failed)?.snapshots;
    paths.sort();
    if let Some(version) = version {
        let wanted = format!("{version:020}.snap");
        paths.retain(|path| name_of(path) == wanted);
    }
    let held = if dir.is_in_use() { Held::ByNode } else { Held::ByNobody };
    let reader = match dir.meta().cluster_id {
        Some(_) => Some(Reader::open(std::sync::Arc::new(crate::log::DiskVfs), dir.path(), held)?),
        None => None,
    };
    let documents = Source::Documents.make(u64::MAX).kind();
    let are_documents = belongs::read(&dir.state()).is_none_or(|kind| kind == documents);
    let mut checked = Vec::new();
    for path in paths.iter().rev() {
        let cluster = dir.meta().cluster_id.unwrap_or_default();
        // Another may have taken its place since the folder was read.
        let found = check(path, cluster, reader.as_ref(), are_documents);
        if found.is_err() && !path.exists() {
            continue;
        }
        checked.push(SnapshotChecked { file: name_of(path), found });
        progress(checked.len() as u64);
    }
    Ok(checked)
}

fn check(path: &Path, cluster: ClusterId, log: Option<&Reader>, documents: bool) -> Result<SnapshotInfo, String> {
    let text = |error: io::Error| error.to_string();
    let snapshot = SnapshotFile::open(path, cluster).map_err(text)?;
    let at = snapshot.position;
    match log.map(|log| log.hash(at.version)) {
        Some(Ok(Some(hash))) if hash != at.hash => {
            return Err(format!("it belongs to another log: the hash of version {} is not the one here", at.version));
        }
        Some(Ok(None)) => return Err(format!("the log here does not reach to version {}", at.version)),
        // The log begins behind it, or nothing says.
        Some(Ok(Some(_)) | Err(LogError::Compacted { .. })) | None => {}
        Some(Err(error)) => return Err(format!("the log cannot be read at version {}: {error}", at.version)),
    }
    read_bytes(&snapshot).map_err(text)?;
    if documents {
        let mut scratch = Documents::new(Settings { memory_max_bytes: u64::MAX });
        snapshot.restore(&mut scratch).map_err(|error| error.to_string())?;
    }
    SnapshotInfo::of(&snapshot).map_err(text)
}

/// The sections that opening it has not read, and the keys.
pub(super) fn read_bytes(snapshot: &SnapshotFile) -> io::Result<()> {
    let (mut file, wanted) = (fs::File::open(snapshot.path())?, snapshot.sections[SERVICE]);
    io::Seek::seek(&mut file, io::SeekFrom::Start(snapshot.offset(SERVICE)))?;
    let mut input = Checked { inner: file.take(wanted.length), section: Default::default() };
    let mut room = vec![0; BUFFER];
    while input.read(&mut room)? > 0 {}
    let read = input.end();
    if (read.length, read.crc) != (wanted.length, wanted.crc) {
        return Err(bad("the service's state is damaged, by its checksum"));
    }
    for name in &snapshot.runs {
        let path = run_path(snapshot.folder(), *name);
        read_run(snapshot.folder(), *name)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", name_of(&path))))?;
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
