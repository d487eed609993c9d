//! A disk in memory that breaks on request: what was not synced may be gone after a crash, a sync may fail,
//! room may run out, a bit may flip. Equal seeds give equal disks.
//!
//! ```text
//!   write ──► cached sectors ──sync_data──► stored bytes          crash(seed): each cached sector kept or lost
//!   rename ─► cached names ────sync_dir───► stored names          crash(seed): a prefix of the changes is kept
//! ```
//!
//! # Invariants
//! 1. A sector is written whole or not at all, unless the test asks for torn ones.
//! 2. After a failed sync the cache still shows the bytes, the disk does not have them, and the next sync succeeds:
//!    that is what Linux does, and what nobody may rely on.

use super::{Access, File, Vfs};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: u64 = 512;

/// A simulated disk; clones share it.
#[derive(Clone, Default)]
pub struct MemVfs {
    disk: Arc<Mutex<Disk>>,
    bytes_read: Arc<AtomicU64>,
}

#[derive(Clone, Default)]
struct Disk {
    dirs: BTreeMap<PathBuf, Dir>,
    inodes: Vec<Inode>,
    /// Syncs until one fails.
    syncs_left: Option<u64>,
    syncs: u64,
    /// Bytes that files may still grow by.
    room: Option<u64>,
}

#[derive(Clone, Default)]
struct Dir {
    stored: BTreeMap<String, usize>,
    cached: BTreeMap<String, usize>,
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Put(String, usize),
    Drop(String),
    Move(String, String),
}

#[derive(Clone, Default)]
struct Inode {
    stored: Vec<u8>,
    cached: Vec<u8>,
    dirty: BTreeSet<u64>,
    resized: bool,
    has_left_cache: bool,
}

struct MemFile {
    vfs: MemVfs,
    inode: usize,
}

impl MemVfs {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same content, cached bytes and all.
    pub fn fork(&self) -> Self {
        Self { disk: Arc::new(Mutex::new(self.disk().clone())), bytes_read: Arc::default() }
    }

    /// Cuts the power: of every file and directory, a part of what was not synced survives, as the seed has it.
    pub fn crash(&self, seed: u64) {
        self.crash_with(seed, false);
    }

    /// As [`MemVfs::crash`], and a sector may also be half old, half new.
    pub fn crash_torn(&self, seed: u64) {
        self.crash_with(seed, true);
    }

    fn crash_with(&self, seed: u64, torn: bool) {
        let mut random = Random(seed);
        let mut disk = self.disk();
        for inode in &mut disk.inodes {
            inode.crash(&mut random, torn);
        }
        for dir in disk.dirs.values_mut() {
            let kept = random.below(dir.changes.len() as u64 + 1) as usize;
            let changes = std::mem::take(&mut dir.changes);
            changes.into_iter().take(kept).for_each(|change| change.perform(&mut dir.stored));
            dir.cached = dir.stored.clone();
        }
        disk.syncs_left = None;
    }

    /// The sync after `n` more of them fails, as a disk does that lost what it was given.
    pub fn fail_sync_after(&self, n: u64) {
        self.disk().syncs_left = Some(n);
    }

    /// How many syncs of files there have been.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Lets files grow by this much and no more.
    pub fn set_room(&self, room: Option<u64>) {
        self.disk().room = room;
    }

    /// Bytes that were asked for by reads so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Whether a file was last told to leave the page cache, and not read or written since.
    pub fn has_left_cache(&self, path: &Path) -> io::Result<bool> {
        let disk = self.disk();
        Ok(disk.inodes[disk.find(path)?].has_left_cache)
    }

    /// Turns over one bit of a file, behind the log's back.
    pub fn flip(&self, path: &Path, bit: u64) -> io::Result<()> {
        self.edit(path, |bytes| {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        })
    }

    /// Changes a file behind the log's back, on the disk and in the cache.
    pub fn edit(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
        let mut disk = self.disk();
        let inode = disk.find(path)?;
        change(&mut disk.inodes[inode].cached);
        disk.inodes[inode].stored = disk.inodes[inode].cached.clone();
        disk.inodes[inode].dirty.clear();
        Ok(())
    }

    /// The bytes of a file as a program reads them.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.disk();
        let inode = disk.find(path)?;
        Ok(disk.inodes[inode].cached.clone())
    }

    /// Puts a whole file there, durable, its directory too.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            self.create_dir_all(dir)?;
        }
        let access = if self.disk().find(path).is_ok() { Access::Write } else { Access::Create };
        let file = self.open(path, access)?;
        file.set_len(0)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let (dir, name) = split(path)?;
        let dir = self.dirs.get(&dir).ok_or(io::ErrorKind::NotFound)?;
        dir.cached.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        self.dirs.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((dir.to_path_buf(), name.to_owned()))
}

impl Change {
    fn perform(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Put(name, inode) => _ = names.insert(name, inode),
            Change::Drop(name) => _ = names.remove(&name),
            Change::Move(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }
}

impl Dir {
    fn change(&mut self, change: Change) {
        change.clone().perform(&mut self.cached);
        self.changes.push(change);
    }
}

impl Inode {
    fn crash(&mut self, random: &mut Random, torn: bool) {
        let mut end = self.stored.len();
        if self.resized && random.below(2) == 0 {
            end = self.cached.len();
            self.stored.resize(end, 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let from = (sector * SECTOR) as usize;
            let to = (from + SECTOR as usize).min(self.cached.len());
            let choice = random.below(if torn { 5 } else { 4 });
            if from >= to || choice < 2 {
                continue;
            }
            let to = if choice == 4 { from + random.below((to - from) as u64 + 1) as usize } else { to };
            // A sector that reached the disk brings the length with it.
            end = end.max(to);
            self.stored.resize(end.max(self.stored.len()), 0);
            self.stored[from..to].copy_from_slice(&self.cached[from..to]);
        }
        self.resized = false;
        self.cached = self.stored.clone();
    }

    /// Writes what is dirty; what an earlier, failed sync has forgotten is not dirty any more, and is not written.
    fn store(&mut self) {
        self.stored.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = (sector * SECTOR) as usize;
            let to = (from + SECTOR as usize).min(self.cached.len());
            if from < to {
                self.stored[from..to].copy_from_slice(&self.cached[from..to]);
            }
        }
        self.resized = false;
    }

    fn touch(&mut self, from: u64, to: u64) {
        if to > from {
            self.dirty.extend(from / SECTOR..=(to - 1) / SECTOR);
        }
    }
}

impl Vfs for MemVfs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.disk().dir(dir)?.cached.keys().cloned().collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        let inode = match (disk.find(path), access) {
            (Ok(_), Access::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(inode), _) => inode,
            (Err(error), Access::Read | Access::Write) => return Err(error),
            (Err(_), Access::Create) => {
                let (dir, name) = split(path)?;
                let inode = disk.inodes.len();
                disk.dir(&dir)?.change(Change::Put(name, inode));
                disk.inodes.push(Inode::default());
                inode
            }
        };
        Ok(Arc::new(MemFile { vfs: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((dir, old), (other, new)) = (split(from)?, split(to)?);
        let mut disk = self.disk();
        disk.find(from)?;
        if dir != other {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        disk.dir(&dir)?.change(Change::Move(old, new));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = split(path)?;
        let mut disk = self.disk();
        let inode = disk.find(path)?;
        disk.dir(&dir)?.change(Change::Drop(name));
        let freed = disk.inodes[inode].cached.len() as u64;
        disk.room = disk.room.map(|room| room + freed);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let dir = disk.dir(dir)?;
        dir.stored = dir.cached.clone();
        dir.changes.clear();
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk().dirs.entry(dir.to_path_buf()).or_default();
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<u64> {
        Ok(self.disk().room.unwrap_or(u64::MAX))
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.vfs.disk();
        disk.inodes[self.inode].has_left_cache = false;
        let bytes = &disk.inodes[self.inode].cached;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let n = buf.len().min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        self.vfs.bytes_read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.vfs.disk();
        let room = disk.room;
        let inode = &mut disk.inodes[self.inode];
        inode.has_left_cache = false;
        let len = inode.cached.len() as u64;
        let wanted = offset + buf.len() as u64;
        let granted = wanted.min(len.max(offset).saturating_add(room.unwrap_or(u64::MAX)).max(len));
        let end = granted.max(offset);
        if end > len {
            inode.cached.resize(end as usize, 0);
            inode.resized = true;
        }
        let n = (end - offset) as usize;
        inode.cached[offset as usize..end as usize].copy_from_slice(&buf[..n]);
        inode.touch(offset, end);
        if n < buf.len() {
            // The kernel may write back early, and does when room runs out: what was refused can be on the disk.
            inode.store();
        }
        disk.room = room.map(|room| room.saturating_sub(end.saturating_sub(len)));
        if n < buf.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.vfs.disk();
        disk.syncs += 1;
        let fails = disk.syncs_left == Some(0);
        disk.syncs_left = disk.syncs_left.and_then(|left| left.checked_sub(1));
        let inode = &mut disk.inodes[self.inode];
        if fails {
            inode.dirty.clear();
            return Err(io::Error::other("injected: the disk lost what it was given"));
        }
        inode.store();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.vfs.disk().inodes[self.inode].cached.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.vfs.disk();
        let inode = &mut disk.inodes[self.inode];
        let old = inode.cached.len() as u64;
        inode.cached.resize(len as usize, 0);
        inode.touch(old.min(len), old.max(len));
        inode.resized = true;
        disk.room = disk.room.map(|room| (room + old).saturating_sub(len));
        Ok(())
    }

    fn leave_cache(&self) {
        self.vfs.disk().inodes[self.inode].has_left_cache = true;
    }
}

/// splitmix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
