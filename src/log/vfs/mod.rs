//! The file system as the log needs it: a handful of calls, so that a simulated disk can stand in for a real one.
//!
//! ```text
//!   log ──► Vfs, File ──┬─► DiskVfs   the operating system
//!                       └─► MemVfs    a disk that loses what was not synced, on request and by a seed
//! ```
//!
//! # Invariants
//! 1. What was written is durable only after `sync_data`; a name is durable only after `sync_dir` of its directory.
//! 2. A `sync_data` that failed says nothing about the bytes, and neither does one that succeeds after it.
//!
//! # Not here
//! What the bytes mean.

mod disk;
mod mem;
#[cfg(test)]
mod tests;

pub use disk::DiskVfs;
pub use mem::MemVfs;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read; it must exist.
    Read,
    /// To read and write; it must exist.
    Write,
    /// To read and write; it must not exist, and belongs to this user only.
    Create,
}

/// A file system.
pub trait Vfs: Send + Sync {
    /// The names in a directory, in no order; names that are not UTF-8 are left out, they are not ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens a file; a symbolic link in its last place is refused.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name within its directory, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a directory and those above it, for this user only, durable with their own names.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that may still be written below this directory.
    fn space(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "a file is not a collection")]
pub trait File: Send + Sync {
    /// Fills `buf` from `offset`; fewer bytes only where the file ends.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`; after an error any part of it may be there.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the content durable, and the length.
    fn sync_data(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// What is durable of it need not be kept in memory for those who read it. Only advice: it cannot fail.
    fn leave_cache(&self) {}
    /// Reads from it take what they ask for, and the system reads nothing ahead. Only advice, too.
    fn read_nothing_ahead(&self) {}
}

/// Whether the operating system says that there is no room, which passes, and not that something is broken.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
