//! The node's durable mark: what this disk has confirmed, so that a lost or damaged end is not taken for a torn one.
//!
//! ```text
//! `state/mark`: two slots of 512 bytes, written in turn; the newest that matches its checksum counts
//!   0 magic "RIGMARK1"    8 counter u64       16 cluster id 16     32 durable version u64
//!  40 committed u64      48 oldest version u64                     56 zero 452     508 CRC32C of bytes 0..508
//! ```
//!
//! # Invariants
//! 1. It is written after the sync of what it speaks of, with one write, and never synced on its own: it may be old,
//!    and never says too much.
//! 2. A slot is one sector, so that a crash leaves the old one or the new one; the other slot is whole in any case.

use super::error::{Context, LogError};
use super::format::{array_at, u32_at, u64_at};
use super::vfs::{Access, File, Vfs};
use crate::types::{ClusterId, Version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SLOT_BYTES: usize = 512;
const MAGIC: [u8; 8] = *b"RIGMARK1";
const CRC_AT: usize = SLOT_BYTES - 4;

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Grows with every write.
    pub counter: u64,
    /// Whose log it speaks of.
    pub cluster: ClusterId,
    /// Everything up to here has been confirmed by the disk.
    pub durable: Version,
    /// Everything up to here is known to be committed.
    pub committed: Version,
    /// First version of the oldest segment that should be there.
    pub oldest: Version,
}

impl Mark {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.counter.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.0);
        bytes[32..40].copy_from_slice(&self.durable.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.committed.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.oldest.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<SLOT_BYTES>()?;
        let is_whole = bytes[..8] == MAGIC && u32_at(bytes, CRC_AT) == crc32c::crc32c(&bytes[..CRC_AT]);
        is_whole.then(|| Self {
            counter: u64_at(bytes, 8),
            cluster: ClusterId(array_at(bytes, 16)),
            durable: u64_at(bytes, 32),
            committed: u64_at(bytes, 40),
            oldest: u64_at(bytes, 48),
        })
    }
}

/// What was found in the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// The newest whole slot.
    pub(crate) mark: Option<Mark>,
    /// Slots with content that does not match its checksum.
    pub(crate) broken: usize,
}

impl Found {
    /// The first version that should be there, of a log whose first segment begins with `first`. Where both slots are broken
    /// nobody knows how much was compacted, and the segments are believed; a snapshot must meet them.
    pub(crate) fn oldest(&self, first: Option<Version>) -> Version {
        match self.mark {
            Some(mark) => mark.oldest,
            None if self.broken > 0 => first.unwrap_or(1),
            None => 1,
        }
    }
}

/// Where the mark lives.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join("state").join("mark")
}

/// Reads the mark of a data directory, also while a node writes it.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Found, LogError> {
    let path = path_in(dir);
    match vfs.open(&path, Access::Read) {
        Ok(file) => read_file(&*file).context("read", &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::default()),
        Err(error) => Err(error).context("open", &path),
    }
}

fn read_file(file: &dyn File) -> io::Result<Found> {
    let mut bytes = [0; 2 * SLOT_BYTES];
    let n = file.read_at(&mut bytes, 0)?;
    let mut found = Found::default();
    for slot in bytes[..n].chunks(SLOT_BYTES) {
        match Mark::decode(slot) {
            Some(mark) if found.mark.is_none_or(|other| mark.counter > other.counter) => found.mark = Some(mark),
            Some(_) => {}
            None => found.broken += usize::from(slot.iter().any(|&byte| byte != 0)),
        }
    }
    Ok(found)
}

/// The mark's file in the hands of the one that writes it.
pub(crate) struct MarkFile {
    path: PathBuf,
    file: Arc<dyn File>,
    counter: u64,
}

impl MarkFile {
    /// Opens the file, or makes it; what it says so far is `found`.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, found: &Found) -> Result<Self, LogError> {
        let path = path_in(dir);
        let counter = found.mark.map_or(0, |mark| mark.counter);
        let file = match vfs.open(&path, Access::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = vfs.open(&path, Access::Create).context("create", &path)?;
                file.set_len(2 * SLOT_BYTES as u64).context("extend", &path)?;
                file
            }
            other => other.context("open", &path)?,
        };
        Ok(Self { path, file, counter })
    }

    /// Writes the slot that is older, with one write.
    pub(crate) fn write(&mut self, mark: Mark) -> Result<(), LogError> {
        self.counter += 1;
        let slot = self.counter % 2 * SLOT_BYTES as u64;
        let bytes = Mark { counter: self.counter, ..mark }.encode();
        self.file.write_at(&bytes, slot).context("write", &self.path)
    }

    /// Makes what was written durable; for a start, an orderly end and a repair, never for a group commit.
    pub(crate) fn sync(&self, vfs: &dyn Vfs) -> Result<(), LogError> {
        self.file.sync_data().context("sync", &self.path)?;
        let dir = self.path.parent().expect("the mark lies in a directory");
        vfs.sync_dir(dir).context("sync", dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::vfs::MemVfs;

    fn mark(durable: Version) -> Mark {
        Mark { counter: 0, cluster: ClusterId([1; 16]), durable, committed: durable / 2, oldest: 1 }
    }

    fn made(n: u64) -> (MemVfs, &'static Path) {
        let (vfs, dir) = (MemVfs::new(), Path::new("/d"));
        vfs.create_dir_all(&dir.join("state")).unwrap();
        let mut file = MarkFile::open(&vfs, dir, &Found::default()).unwrap();
        (1..=n).for_each(|durable| file.write(mark(durable)).unwrap());
        (vfs, dir)
    }

    #[test]
    fn the_newest_mark_is_read_back() {
        for n in 1..5 {
            let (vfs, dir) = made(n);
            let found = read(&vfs, dir).unwrap();
            assert_eq!((found.mark, found.broken), (Some(Mark { counter: n, ..mark(n) }), 0));
        }
    }

    #[test]
    fn a_flipped_bit_costs_at_most_the_newest_slot() {
        let (vfs, dir) = made(4);
        for bit in 0..2 * SLOT_BYTES as u64 * 8 {
            vfs.flip(&path_in(dir), bit).unwrap();
            let found = read(&vfs, dir).unwrap();
            assert_eq!(found.broken, 1, "bit {bit}");
            assert!(matches!(found.mark, Some(Mark { durable: 3 | 4, .. })), "bit {bit}");
            vfs.flip(&path_in(dir), bit).unwrap();
        }
    }

    #[test]
    fn no_file_is_no_mark() {
        let vfs = MemVfs::new();
        assert!(read(&vfs, Path::new("/d")).unwrap().mark.is_none());
    }
}
