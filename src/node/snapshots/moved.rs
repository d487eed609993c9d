//! Snapshot files on their way to and from other directories: backups, and what is restored.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::check::read_bytes;
use super::{HEADER, SnapshotFile, bad, header, read_header, run_path};
use crate::types::{ClusterId, Hash, Position, Version};

impl SnapshotFile {
    /// The file, and those of the keys that it names, each with the version that it is named by.
    pub(in crate::node) fn files(&self) -> Vec<(Version, PathBuf)> {
        let keys = self.runs.iter().map(|name| (*name, run_path(self.folder(), *name)));
        std::iter::once((self.position.version, self.path.clone())).chain(keys).collect()
    }
}

/// The snapshots of this cluster that read back whole, newest first.
pub(in crate::node) fn whole(folder: &Path, cluster: ClusterId) -> io::Result<Vec<SnapshotFile>> {
    let mut found = super::list(folder, cluster)?;
    found.retain(|snapshot| match read_bytes(snapshot) {
        Ok(()) => true,
        Err(error) => {
            log::warn!("snapshot {} cannot be relied on: {error}", snapshot.path.display());
            false
        }
    });
    Ok(found)
}

/// A snapshot file of any cluster, and which one that is.
pub(in crate::node) fn look(path: &Path) -> io::Result<(ClusterId, SnapshotFile)> {
    let cluster = read_header(&head_of(path)?).ok_or_else(|| bad("its header is damaged"))?.0;
    Ok((cluster, SnapshotFile::open(path, cluster)?))
}

/// Reads one back, every byte of it and of its keys.
pub(in crate::node) fn check_file(path: &Path, cluster: ClusterId) -> io::Result<SnapshotFile> {
    let snapshot = SnapshotFile::open(path, cluster)?;
    read_bytes(&snapshot)?;
    Ok(snapshot)
}

/// Makes it the snapshot of the same version in another chain, durably. The file is nobody's yet.
pub(in crate::node) fn rebase(path: &Path, cluster: ClusterId, hash: Hash) -> io::Result<()> {
    let found = read_header(&head_of(path)?).ok_or_else(|| bad("its header is damaged"))?;
    let (_, position, keyed, now, sections) = found;
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&header(cluster, Position { hash, ..position }, keyed, now, &sections), 0)?;
    file.sync_all()
}

fn head_of(path: &Path) -> io::Result<[u8; HEADER]> {
    let mut head = [0; HEADER];
    std::fs::File::open(path)?.read_exact_at(&mut head, 0)?;
    Ok(head)
}
