//! Compaction: whole segments leave the front of the log.
//!
//! ```text
//!   mark: "the log begins with segment C", durable ──► A, B go ──► directory synced
//!                     │ crash
//!                     └──► the next start knows that A and B need not be there, and removes what is left of them
//! ```
//!
//! The first segment that stays carries the chain hash of the record before it, so the chain goes on where a snapshot of
//! that version ends.
//!
//! # Invariants
//! 1. The mark that says where the log begins is durable before the first segment goes.
//! 2. The newest segment stays, and so does every record from the asked version on.
//!
//! # Not here
//! How much may go: that is for whoever knows snapshots and members (`node`).

use super::error::{Context, LogError};
use super::format::segment_name;
use super::segment;
use super::vfs::{Access, Vfs};
use super::writer::Writer;
use crate::types::Version;
use std::path::Path;

/// What a compaction has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// First version that is there now.
    pub oldest: Version,
    /// Segments that are gone.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Writer {
    /// Removes the segments that hold no record from `keep` on.
    ///
    /// # Errors
    /// Where the mark cannot be made durable nothing is gone, and the writer does nothing any more. A segment that cannot
    /// be removed is left to the next start.
    pub fn compact(&mut self, keep: Version) -> Result<Compacted, LogError> {
        let bases = self.shared.bases();
        let going = &bases[..front(&bases, keep)];
        if let Some(&oldest) = bases.get(going.len()).filter(|_| !going.is_empty()) {
            self.shared.compact(oldest);
            self.make_mark_durable()?;
        }
        let log_dir = segment::log_dir(&self.dir);
        let mut bytes = 0;
        for &base in going {
            bytes += remove(&*self.vfs, &log_dir, base)?;
        }
        if !going.is_empty() {
            self.vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
        }
        Ok(Compacted { oldest: self.shared.oldest(), segments: going.len(), bytes })
    }
}

/// How many of the segments at the front hold nothing from `keep` on.
fn front(bases: &[Version], keep: Version) -> usize {
    bases.partition_point(|&base| base <= keep).saturating_sub(1)
}

/// Removes what a compaction that was cut short has left.
pub(crate) fn remove_leftover(vfs: &dyn Vfs, dir: &Path, leftover: &[Version]) -> Result<(), LogError> {
    let log_dir = segment::log_dir(dir);
    for &base in leftover {
        remove(vfs, &log_dir, base)?;
    }
    if leftover.is_empty() { Ok(()) } else { vfs.sync_dir(&log_dir).context("sync", &log_dir) }
}

fn remove(vfs: &dyn Vfs, log_dir: &Path, base: Version) -> Result<u64, LogError> {
    let path = log_dir.join(segment_name(base));
    let bytes = vfs.open(&path, Access::Read).and_then(|file| file.len()).context("read", &path)?;
    segment::remove_if_there(vfs, &path)?;
    Ok(bytes)
}
