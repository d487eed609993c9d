//! A snapshot of the primary in the place of this node's log and service.
//!
//! ```text
//!   incoming/<version>-<hash>-<bytes>.part   grows ─► incoming/<version>.snap, <run>.keys   read back
//!   state/install (synced) ──► rescue/ ──► incoming/ is snapshots/ now ──► an empty log behind it ──► state/install gone
//!                │ crash
//!                └──► the next start goes through all of it again, before it looks at the log
//! ```
//!
//! # Invariants
//! 1. Without the note the node has its old log and its old snapshots, whatever is in `incoming/`.
//! 2. With the note nothing but [`finish`] touches log and snapshots.
//! 3. The old log is whole as long as `incoming/` is there, and what must be kept of it is durable in `rescue/` before.
//!
//! # Not here
//! How the bytes come (`event_loop::taking`), whether they may be taken (`replication`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dir::{DataDir, write_private};
use super::snapshots::{list, split};
use super::{Config, NodeError, rescue, start};
use crate::log::{self, DiskVfs, Held, Reader};
use crate::types::{ClusterId, Epoch, Micros, Position, Version};

const NOTE: &str = "install";

/// What is to be done, as `state/install` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// The place of the snapshot; of version 0 there is none, and the log begins empty.
    pub(super) at: Position,
    /// The last version that the primary's log has too.
    pub(super) keep: Version,
    /// Known to be committed here.
    pub(super) committed: Version,
    /// The epoch that is followed.
    pub(super) for_epoch: Epoch,
    /// The term in which the process was primary last.
    pub(super) own: Option<Epoch>,
    pub(super) now: Micros,
}

/// Where what comes is kept.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("incoming")
}

fn part_of(folder: &Path, at: &Position, bytes: u64) -> PathBuf {
    let hash = at.hash.to_string();
    folder.join(format!("{:020}-{}-{bytes}.part", at.version, &hash[..16]))
}

/// Opens the file for a snapshot, and says how much of it an earlier try has left. What is left of any other goes.
pub(super) fn begin(folder: &Path, cluster: ClusterId, at: Position, bytes: u64) -> io::Result<(File, u64)> {
    if let Err(error) = fs::DirBuilder::new().mode(0o700).create(folder)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let part = part_of(folder, &at, bytes);
    if let Some(whole) = list(folder, cluster)?.iter().find(|snapshot| snapshot.position == at) {
        // It was all here, and then something came between: the runs are asked for again.
        fs::rename(whole.path(), &part)?;
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path != part {
            fs::remove_file(path)?;
        }
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&part)?;
    let mut length = file.metadata()?.len();
    if length > bytes {
        file.set_len(0)?;
        length = 0;
    }
    Ok((file, length))
}

/// Makes a snapshot of what has come, whole and durable. What is not whole is removed.
pub(super) fn check(folder: &Path, cluster: ClusterId, at: Position, bytes: u64) -> io::Result<()> {
    let checked = split(folder, &part_of(folder, &at, bytes), cluster, at);
    if checked.is_err() {
        fs::remove_dir_all(folder)?;
    }
    checked
}

/// Notes durably that the snapshot is to be installed.
pub(super) fn note(dir: &Path, order: &Order) -> io::Result<()> {
    if order.at.version == 0 {
        // Nothing comes: what takes the place of the snapshots is empty.
        let folder = folder(dir);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().mode(0o700).create(folder)?,
        }
    }
    File::open(dir)?.sync_all()?;
    let state = dir.join("state");
    let new = state.join("install.tmp");
    write_private(&new, serde_json::to_string(order)?.as_bytes())?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, state.join(NOTE))?;
    File::open(state)?.sync_all()
}

/// Goes on with an installation that was noted, to its end. Gives what the operator should know of it.
pub(super) fn finish(dir: &DataDir, config: &Config) -> Result<Option<String>, NodeError> {
    let note = dir.state().join(NOTE);
    let text = match fs::read_to_string(&note) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(NodeError::Io { op: "read", path: note, source }),
    };
    let failed = |source| NodeError::Io { op: "install the snapshot of", path: note.clone(), source };
    let order: Order = serde_json::from_str(&text).map_err(io::Error::from).map_err(failed)?;
    let (incoming, cluster) = (folder(dir.path()), dir.meta().cluster_id.unwrap_or_default());
    if incoming.exists() {
        set_aside(dir, &order)?;
        exchange(dir, &incoming).map_err(failed)?;
    }
    let found = list(&dir.snapshots(), cluster).map_err(failed)?;
    if order.at.version > 0 && found.iter().all(|snapshot| snapshot.position != order.at) {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is not there, or damaged")));
    }
    log::begin_behind(&DiskVfs, dir.path(), &start::log_config(config, cluster), &order.at)?;
    fs::remove_file(&note).and_then(|()| File::open(dir.state())?.sync_all()).map_err(failed)?;
    let said = match order.at.version {
        0 => "the log begins anew: it had left the primary's before its own first record".to_owned(),
        version => format!("the log begins behind the snapshot of version {version}, from the primary"),
    };
    ::log::info!("{said}");
    Ok(Some(said))
}

/// Keeps what the primary's log does not have, and what of this log it could not be shown to have.
fn set_aside(dir: &DataDir, order: &Order) -> Result<(), NodeError> {
    let reader = Reader::open(std::sync::Arc::new(DiskVfs), dir.path(), Held::ByNobody)?;
    let (from, to) = (reader.oldest().max(order.keep + 1), reader.durable());
    if from > to {
        return Ok(());
    }
    let order = rescue::Order {
        folder: dir.rescue(),
        node: dir.meta().name.clone(),
        own: order.own,
        from,
        to,
        committed: order.committed,
        for_epoch: order.for_epoch,
        now: order.now,
    };
    ::log::info!("versions {from} to {to} are not in the log of epoch {}: they are set aside", order.for_epoch.number);
    rescue::write(&reader, &order)?;
    Ok(())
}

/// The snapshot in the place of those that are there: they are of versions that this log will not have.
fn exchange(dir: &DataDir, incoming: &Path) -> io::Result<()> {
    let snapshots = dir.snapshots();
    match fs::remove_dir_all(&snapshots) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(incoming, &snapshots)?;
    File::open(dir.path())?.sync_all()
}

#[cfg(test)]
mod tests;
