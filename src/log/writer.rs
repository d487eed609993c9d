//! The only one that changes the log: append, sync, mark, a new segment when one is full, and a cut.
//!
//! # Invariants
//! 1. Only the newest segment holds bytes that are not durable, at most [`UNSYNCED_BYTES_MAX`] of them: a new segment
//!    begins after the sync of the last one.
//! 2. A batch lies in one segment, so that one that finds no room is gone as a whole, durably, before that is said.
//! 3. After an error other than "no room" the writer does nothing any more: what the disk holds then is for the next
//!    start to find out. A sync is never tried twice.

use super::Config;
use super::error::{Context, Fault, LogError};
use super::format::{SEGMENT_HEADER_BYTES, Salt, SegmentHeader, UNSYNCED_BYTES_MAX, segment_name};
use super::mark::{Mark, MarkFile};
use super::reader::{Reader, Shared};
use super::record;
use super::repair::{Plan, Truncated};
use super::sealer::Batch;
use super::segment;
use super::vfs::{File, Vfs, is_no_space};
use crate::types::{Durable, Position, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A growing segment is zero-filled ahead in such steps: one sync in many then changes the file's length.
const FILL_STEP: u64 = 1 << 20;

/// The writing end of the log, for one thread.
pub struct Writer {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) segment: Newest,
    pub(crate) head: Version,
    pub(crate) unsynced: usize,
    pub(crate) mark: MarkFile,
    pub(crate) shared: Arc<Shared>,
    pub(crate) closed: bool,
}

/// The segment that is being written.
pub(crate) struct Newest {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) salt: Salt,
    /// Behind the last record.
    pub(crate) end: u64,
    /// Bytes of the file: zeros from `end` on.
    pub(crate) filled: u64,
}

impl Writer {
    /// Writes a batch behind the last record. It is readable, and durable, only after [`Writer::sync`].
    ///
    /// [`LogError::NoSpace`] means that none of it is there; the writer can be used again, and the sealer must be
    /// rewound to [`Batch::before`].
    ///
    /// # Panics
    /// If the batch does not begin behind the last record, or is larger than one record over its bound.
    pub fn append(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        if batch.is_empty() {
            return if self.closed { Err(LogError::Closed) } else { Ok(()) };
        }
        self.guarded(|writer| writer.append_whole(batch))
    }

    /// Makes everything that was appended durable. After a failure nothing more can be done with this writer.
    pub fn sync(&mut self) -> Result<Durable, LogError> {
        self.guarded(|writer| writer.sync_segment().map(|()| Durable::from_sync(writer.head)))
    }

    /// Notes what is durable and what is known to be committed, after each [`Writer::sync`] and before anyone hears
    /// of it: readers in other processes go by it, and so does the next start. One small write without a sync.
    pub fn mark(&mut self, committed: Version) -> Result<(), LogError> {
        self.guarded(|writer| {
            let mark = writer.mark_of(committed);
            writer.shared.set_committed(mark.committed);
            writer.mark.write(mark)
        })
    }

    /// Makes everything durable, the mark too: an orderly end.
    pub fn close(mut self, committed: Version) -> Result<Durable, LogError> {
        let durable = self.sync()?;
        self.mark(committed)?;
        self.mark.sync(&*self.vfs)?;
        Ok(durable)
    }

    /// Cuts the log back to `to`, a place of it: what is behind is kept in `rescue/`, in files whose names begin with
    /// `why`. The sealer must be rewound to the same place.
    ///
    /// [`LogError::NoSpace`] and [`LogError::Compacted`] mean that nothing was cut, and the writer can be used.
    ///
    /// # Panics
    /// If `to` lies ahead, or something that was appended is not synced.
    pub fn cut(&mut self, to: Position, why: &str) -> Result<Truncated, LogError> {
        assert!(to.version <= self.head, "a cut goes back");
        assert_eq!(self.unsynced, 0, "what is cut was synced");
        let oldest = self.shared.oldest();
        if to.version + 1 < oldest {
            return Err(LogError::Compacted { wanted: to.version, oldest });
        }
        self.guarded(|writer| writer.cut_behind(to, why))
    }

    fn cut_behind(&mut self, to: Position, why: &str) -> Result<Truncated, LogError> {
        let mut plan = Plan::make(&*self.vfs, &self.dir, &self.shared.bases(), to.version + 1)?;
        plan.check_end(to.hash)?;
        plan.set_aside(&*self.vfs, &self.dir, why)?;
        self.shared.cut(to.version);
        self.write_mark_through().and_then(|()| plan.carry_out(&*self.vfs, &self.dir)).map_err(
            |error| match error {
                // Half a cut is not undone, and must not pass for none.
                LogError::NoSpace { path, source } => LogError::Io { op: "cut", path, source },
                other => other,
            },
        )?;
        let (path, end) = (plan.truncated.segment.clone(), plan.truncated.offset);
        let salt = Salt::new(&self.config.cluster, plan.header.base);
        self.segment = Newest { path, file: plan.file, salt, end, filled: end };
        self.head = to.version;
        Ok(plan.truncated)
    }

    /// What readers know already, durably; for once a mark is not to be older than what follows.
    pub(crate) fn make_mark_durable(&mut self) -> Result<(), LogError> {
        self.guarded(|writer| {
            writer.write_mark_through().map_err(|error| match error {
                // Readers know it, so that this is no refusal.
                LogError::NoSpace { path, source } => LogError::Io { op: "write", path, source },
                other => other,
            })
        })
    }

    fn write_mark_through(&mut self) -> Result<(), LogError> {
        self.mark.write(self.mark_of(self.shared.committed()))?;
        self.mark.sync(&*self.vfs)
    }

    /// A reader of the same log, up to what is durable.
    pub fn reader(&self) -> Reader {
        Reader::of_writer(self.vfs.clone(), &self.dir, self.config.cluster, self.shared.clone())
    }

    /// The last version that was appended.
    pub fn head(&self) -> Version {
        self.head
    }

    /// Whether an error has closed it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        if self.closed {
            return Err(LogError::Closed);
        }
        let result = work(self);
        self.closed = matches!(&result, Err(error) if !matches!(error, LogError::NoSpace { .. }));
        result
    }

    fn append_whole(&mut self, batch: &mut Batch) -> Result<(), LogError> {
        assert_eq!(batch.first(), self.head + 1, "a batch begins behind the last record");
        assert!(batch.bytes() <= UNSYNCED_BYTES_MAX, "a batch is at most one record over its bound");
        if self.unsynced + batch.bytes() > UNSYNCED_BYTES_MAX {
            self.sync_segment()?;
        }
        let is_empty = self.segment.end == SEGMENT_HEADER_BYTES;
        if !is_empty && self.segment.end + batch.bytes() as u64 > self.config.segment_bytes {
            self.roll(batch.before())?;
        }
        let salt = self.segment.salt;
        batch.records_mut().for_each(|bytes| record::seal_header(bytes, salt));
        if let Err(source) = self.segment.file.write_at(&batch.bytes, self.segment.end) {
            let path = self.segment.path.clone();
            if !is_no_space(&source) {
                return Err(LogError::Io { op: "write", path, source });
            }
            self.cut_back()?;
            return Err(LogError::NoSpace { path, source });
        }
        self.segment.end += batch.bytes() as u64;
        self.unsynced += batch.bytes();
        self.head = batch.last();
        self.fill()
    }

    /// Removes what a write that found no room has left, durably: it will be said that nothing was logged.
    fn cut_back(&mut self) -> Result<(), LogError> {
        let Newest { path, file, end, filled, .. } = &mut self.segment;
        let cut = file.set_len(*end).and_then(|()| file.sync_data());
        *filled = *end;
        cut.map_err(|source| LogError::Io { op: "cut", path: path.clone(), source })
    }

    fn sync_segment(&mut self) -> Result<(), LogError> {
        let Newest { path, file, .. } = &self.segment;
        // Also "no space" is final here: a sync that failed has dropped what it could not write.
        file.sync_data().map_err(|source| LogError::Io { op: "sync", path: path.clone(), source })?;
        self.unsynced = 0;
        self.shared.set_durable(self.head);
        Ok(())
    }

    fn roll(&mut self, before: Position) -> Result<(), LogError> {
        if self.unsynced > 0 {
            self.sync_segment()?;
        }
        let header = SegmentHeader { cluster: self.config.cluster, base: before.version + 1, before: before.hash };
        self.segment = Newest::create(&*self.vfs, &self.dir, &header, &self.config)?;
        self.shared.add_base(header.base);
        Ok(())
    }

    /// Fills the rest of the newest segment, durably, before anyone waits: one that begins at a start had no spare to be
    /// made of, and each step of [`Writer::fill`] holds up those who write.
    pub(crate) fn fill_segment(&mut self) -> Result<(), LogError> {
        let before = self.segment.filled;
        self.fill_to(before, self.config.segment_bytes)?;
        if self.segment.filled > before { self.sync_segment() } else { Ok(()) }
    }

    fn fill(&mut self) -> Result<(), LogError> {
        let (end, filled) = (self.segment.end, self.segment.filled);
        if filled < end {
            self.segment.filled = end;
            self.fill_to(end, end.next_multiple_of(FILL_STEP).min(self.config.segment_bytes))?;
        }
        Ok(())
    }

    fn fill_to(&mut self, from: u64, to: u64) -> Result<(), LogError> {
        let Newest { path, file, filled, .. } = &mut self.segment;
        if self.config.zero_fill && from < to {
            let dir = segment::log_dir(&self.dir);
            *filled = segment::fill_ahead(&*self.vfs, &dir, &**file, from, to, &self.config).context("fill", path)?;
        }
        Ok(())
    }

    pub(crate) fn mark_of(&self, committed: Version) -> Mark {
        let durable = self.shared.durable();
        Mark {
            counter: 0,
            cluster: self.config.cluster,
            durable,
            committed: committed.min(durable),
            oldest: self.shared.oldest(),
        }
    }
}

impl Newest {
    pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, header: &SegmentHeader, config: &Config) -> Result<Self, LogError> {
        let log_dir = segment::log_dir(dir);
        let file = segment::create(vfs, &log_dir, header, config)?;
        let path = log_dir.join(segment_name(header.base));
        let filled = file.len().context("read", &path)?;
        if filled < SEGMENT_HEADER_BYTES {
            let fault = Fault::Short { have: filled, need: SEGMENT_HEADER_BYTES };
            return Err(LogError::Corrupt { path, offset: 0, version: None, fault });
        }
        let salt = Salt::new(&header.cluster, header.base);
        Ok(Self { path, file, salt, end: SEGMENT_HEADER_BYTES, filled })
    }
}
