//! Compaction: whole segments leave the front of the log.
//!
//! ```text
//!   log thread   mark: "the log begins with segment C", durable ──► Front
//!   any thread   Front::remove: A, B go, directory synced
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
//! A log that ends before another begins cannot go on to it: [`begin_behind`] puts an empty one in its place, which begins
//! behind a snapshot.
//!
//! # Not here
//! How much may go: that is for whoever knows snapshots and members (`node`).

use super::Config;
use super::error::{Context, LogError};
use super::format::{SegmentHeader, segment_name};
use super::mark::{self, Mark, MarkFile};
use super::segment;
use super::vfs::{Access, Vfs};
use super::writer::Writer;
use crate::types::{Micros, Position, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Segments that are not part of the log any more, and still there.
#[must_use = "they are there until they are removed"]
pub struct Front {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    going: Vec<Version>,
    /// First version of the log now.
    pub oldest: Version,
}

/// What a compaction has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Segments that are gone.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Writer {
    /// Takes the segments that hold no record from `keep` on out of the log.
    ///
    /// # Errors
    /// The mark could not be made durable: nothing is gone, and the writer does nothing any more.
    pub fn compact(&mut self, keep: Version) -> Result<Front, LogError> {
        let bases = self.shared.bases();
        let going = &bases[..front(&bases, keep)];
        if let Some(&oldest) = bases.get(going.len()).filter(|_| !going.is_empty()) {
            self.shared.compact(oldest);
            // Both slots: when one of them is damaged later, the other one must not speak of what is gone.
            self.make_mark_durable()?;
            self.make_mark_durable()?;
        }
        let (vfs, dir, going) = (Arc::clone(&self.vfs), self.dir.clone(), going.to_vec());
        Ok(Front { vfs, dir, going, oldest: self.shared.oldest() })
    }
}

impl Front {
    /// Removes them, oldest first; `rest` is called between two, with the bytes of the first. What is left after an error
    /// goes at the next start.
    pub fn remove(self, mut rest: impl FnMut(u64)) -> Result<Compacted, LogError> {
        let (log_dir, mut done) = (segment::log_dir(&self.dir), Compacted::default());
        for &base in &self.going {
            let bytes = remove(&*self.vfs, &log_dir, base)?;
            done = Compacted { segments: done.segments + 1, bytes: done.bytes + bytes };
            rest(bytes);
        }
        if done.segments > 0 {
            self.vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
        }
        Ok(done)
    }
}

impl super::Reader {
    /// Where the log would begin after a compaction that keeps the records from `keep` on, and what would go.
    pub fn would_compact(&self, vfs: &dyn Vfs, keep: Version) -> Result<(Version, Compacted), LogError> {
        let (bases, log_dir) = (self.bases(), segment::log_dir(self.dir()));
        let going = &bases[..front(&bases, keep)];
        let mut would = Compacted { segments: going.len(), bytes: 0 };
        for &base in going {
            would.bytes += len(vfs, &log_dir.join(segment_name(base)))?;
        }
        Ok((bases.get(going.len()).copied().unwrap_or(1), would))
    }

    /// The newest first version of a segment before which everything is of that time or older: the least version is
    /// given where nothing is. One record of each segment is read, and only of so many as halving takes.
    pub fn begins_after(&self, time: Micros) -> Result<Version, LogError> {
        let bases = self.bases();
        let (mut old, mut young) = (0, bases.len());
        while young - old > 1 {
            let middle = old.midpoint(young);
            // A segment without a record yet is the newest one.
            match self.record(bases[middle])? {
                Some(record) if record.time <= time => old = middle,
                _ => young = middle,
            }
        }
        Ok(bases.get(old).copied().unwrap_or(1))
    }

    /// The first version of the newest segments that have no more than so many bytes together.
    pub fn keeps(&self, vfs: &dyn Vfs, bytes_max: u64) -> Result<Version, LogError> {
        let (log_dir, mut bytes, mut first) = (segment::log_dir(self.dir()), 0_u64, self.durable() + 1);
        for base in self.bases().into_iter().rev() {
            bytes = bytes.saturating_add(len(vfs, &log_dir.join(segment_name(base)))?);
            if bytes > bytes_max {
                break;
            }
            first = base;
        }
        Ok(first)
    }
}

/// Puts an empty log that begins behind `at` in the place of the one that is there. After a crash it must be called again:
/// what is there meanwhile is no log.
///
/// # Errors
/// The same holds after an error.
pub fn begin_behind(vfs: &dyn Vfs, dir: &Path, config: &Config, at: &Position) -> Result<(), LogError> {
    let log_dir = segment::log_dir(dir);
    vfs.create_dir_all(&log_dir).context("create", &log_dir)?;
    let mut file = MarkFile::open(vfs, dir, &mark::read(vfs, dir)?)?;
    let (cluster, base) = (config.cluster, at.version + 1);
    // Twice: the slot of before would speak of a log that is gone.
    for _ in 0..2 {
        file.write(Mark { counter: 0, cluster, durable: at.version, committed: at.version, oldest: base })?;
    }
    file.sync(vfs)?;
    for old in segment::bases(vfs, &log_dir)? {
        segment::remove_if_there(vfs, &log_dir.join(segment_name(old)))?;
    }
    vfs.sync_dir(&log_dir).context("sync", &log_dir)?;
    segment::create(vfs, &log_dir, &SegmentHeader { cluster, base, before: at.hash }, config).map(drop)
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
    let bytes = len(vfs, &path)?;
    segment::remove_if_there(vfs, &path)?;
    Ok(bytes)
}

fn len(vfs: &dyn Vfs, path: &Path) -> Result<u64, LogError> {
    vfs.open(path, Access::Read).and_then(|file| file.len()).context("read", path)
}
