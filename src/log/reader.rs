//! Reading the log: one record, a range, backwards; beside a writer, in its process or another, without a lock.
//!
//! ```text
//!   same process     durable end ◄── atomics that the writer sets after its sync
//!   other process    durable end ◄── `state/mark`, read again for every question
//!   nobody writes    durable end ◄── the newest segment, judged as a start would judge it, nothing changed
//! ```
//!
//! # Invariants
//! 1. Nothing behind the durable end is ever read, so what is read never changes, until the log is cut back: whoever
//!    is reading there then is told that there is no such version.
//! 2. A version is found without reading what is before it: the segment by its name, the place in it by halving.
//! 3. A record that was changed on the disk is an error, never an answer.

use super::cursor::{Backwards, Cursor, Records, Replay, Segment};
use super::error::{Context, Fault, LogError};
use super::format::{SegmentHeader, genesis, segment_name};
use super::recovery;
use super::segment;
use super::vfs::{Access, Vfs};
use crate::types::{ClusterId, Hash, Position, Record, Version};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Whether a node has the data directory open: the caller knows, from the lock on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A node writes; its mark says how far the log is durable.
    ByNode,
    /// Nobody writes; the log itself says how far it reaches.
    ByNobody,
}

/// What a writer tells its readers.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    durable: AtomicU64,
    committed: AtomicU64,
    /// How often the log was cut back.
    cuts: AtomicU64,
    bases: RwLock<Vec<Version>>,
}

impl Shared {
    pub(crate) fn new(bases: Vec<Version>, durable: Version, committed: Version) -> Self {
        Self { durable: durable.into(), committed: committed.into(), bases: RwLock::new(bases), ..Self::default() }
    }

    pub(crate) fn durable(&self) -> Version {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_durable(&self, version: Version) {
        self.durable.store(version, Ordering::Release);
    }

    pub(crate) fn committed(&self) -> Version {
        self.committed.load(Ordering::Acquire)
    }

    pub(crate) fn set_committed(&self, version: Version) {
        self.committed.store(version, Ordering::Release);
    }

    pub(crate) fn add_base(&self, base: Version) {
        self.bases.write().unwrap_or_else(PoisonError::into_inner).push(base);
    }

    pub(crate) fn bases(&self) -> Vec<Version> {
        self.bases.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Forgets what is behind `to`, before it goes.
    pub(crate) fn cut(&self, to: Version) {
        let keeps = to.max(self.oldest());
        self.set_durable(to);
        self.committed.fetch_min(to, Ordering::AcqRel);
        self.bases.write().unwrap_or_else(PoisonError::into_inner).retain(|&base| base <= keeps);
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets what is before segment `oldest`, before it goes.
    pub(crate) fn compact(&self, oldest: Version) {
        self.bases.write().unwrap_or_else(PoisonError::into_inner).retain(|&base| base >= oldest);
    }

    fn set_bases(&self, bases: Vec<Version>) {
        *self.bases.write().unwrap_or_else(PoisonError::into_inner) = bases;
    }

    pub(crate) fn oldest(&self) -> Version {
        self.bases.read().unwrap_or_else(PoisonError::into_inner).first().copied().unwrap_or(1)
    }

    /// The segment that holds `version`, and the base of the next one.
    pub(crate) fn segment_of(&self, version: Version) -> Option<(Version, Option<Version>)> {
        let bases = self.bases.read().unwrap_or_else(PoisonError::into_inner);
        let next = bases.partition_point(|&base| base <= version);
        Some((*bases.get(next.checked_sub(1)?)?, bases.get(next).copied()))
    }
}

/// A reader of a log; clones are cheap and share what they have open.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    cluster: ClusterId,
    shared: Arc<Shared>,
    /// Whether `shared` is ours, and brought up to date from the mark.
    follows_mark: bool,
    /// The segment that was read last, since that many cuts: questions come in runs.
    open: Mutex<Option<(u64, Arc<Segment>)>>,
    /// Bytes of the segments that are full, since that many cuts.
    sizes: Mutex<(u64, BTreeMap<Version, u64>)>,
    /// The segments before this one were told to leave the page cache.
    left_cache: AtomicU64,
}

impl Reader {
    pub(crate) fn of_writer(vfs: Arc<dyn Vfs>, dir: &Path, cluster: ClusterId, shared: Arc<Shared>) -> Self {
        Self::new(vfs, dir, cluster, shared, false)
    }

    fn new(vfs: Arc<dyn Vfs>, dir: &Path, cluster: ClusterId, shared: Arc<Shared>, follows_mark: bool) -> Self {
        let (dir, open, sizes) = (dir.to_path_buf(), Mutex::default(), Mutex::default());
        let inner = Inner { vfs, dir, cluster, shared, follows_mark, open, sizes, left_cache: AtomicU64::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the log of a data directory to read, from outside the node. No log is an empty one.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, held: Held) -> Result<Self, LogError> {
        let view = recovery::view(&*vfs, dir, held)?;
        let shared = Arc::new(Shared::new(view.bases, view.durable, view.committed));
        Ok(Self::new(vfs, dir, view.cluster, shared, held == Held::ByNode))
    }

    /// Whose log it is; all zero when nothing was ever written.
    pub fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    pub(crate) fn bases(&self) -> Vec<Version> {
        self.inner.shared.bases()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// First version that is there, or that will be.
    pub fn oldest(&self) -> Version {
        self.inner.shared.oldest()
    }

    /// Last version that is durable; 0 for an empty log.
    pub fn durable(&self) -> Version {
        self.refresh();
        self.inner.shared.durable()
    }

    /// Last version that is known here to be committed.
    pub fn committed(&self) -> Version {
        self.refresh();
        self.inner.shared.committed()
    }

    /// One record; `None` if it is not there yet.
    pub fn record(&self, version: Version) -> Result<Option<Record>, LogError> {
        self.records(version, version).next().transpose()
    }

    /// The chain hash of a version, `hash(0)` included; `None` if it is not there yet.
    pub fn hash(&self, version: Version) -> Result<Option<Hash>, LogError> {
        if version == 0 {
            return Ok(Some(genesis(&self.inner.cluster)));
        }
        if version == self.oldest() - 1 {
            return Ok(Some(self.segment(version + 1)?.before));
        }
        Ok(self.record(version)?.map(|record| record.hash))
    }

    /// The place of a version, 0 included; `None` if it is not there yet.
    pub fn position(&self, version: Version) -> Result<Option<Position>, LogError> {
        if version == 0 {
            return Ok(Some(recovery::beginning(&self.inner.cluster)));
        }
        let place = |record: Record| Position { epoch: record.epoch, version, hash: record.hash };
        Ok(self.record(version)?.map(place))
    }

    /// Appends the wire bytes of the records `from..=to` to `out`, as far as they are durable now and as many as
    /// `bytes_max` holds, at least one; gives the last version among them, `from - 1` if there is none.
    pub fn wire(&self, from: Version, to: Version, bytes_max: usize, out: &mut Vec<u8>) -> Result<Version, LogError> {
        assert!(from >= 1, "versions start at 1");
        let (mut cursor, start, mut last) = (self.cursor(from, to, false), out.len(), from - 1);
        while let Some(record) = cursor.step() {
            let record = record?;
            if last >= from && out.len() - start + record.size() > bytes_max {
                break;
            }
            record.put_wire(out);
            last = record.version;
        }
        Ok(last)
    }

    /// The first version of each segment, in order.
    pub fn segments(&self) -> Vec<Version> {
        self.inner.shared.bases()
    }

    /// Bytes of the segments' files. One that is full is looked at once.
    pub fn bytes(&self) -> Result<u64, LogError> {
        let Inner { vfs, dir, shared, sizes, .. } = &*self.inner;
        let (cuts, bases) = (shared.cuts(), shared.bases());
        let mut sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.0 != cuts {
            *sizes = (cuts, BTreeMap::new());
        }
        sizes.1.retain(|base, _| bases.binary_search(base).is_ok());
        let mut sum = 0;
        for base in &bases {
            sum += match sizes.1.get(base) {
                Some(bytes) => *bytes,
                None => {
                    let path = segment::log_dir(dir).join(segment_name(*base));
                    let bytes = vfs.open(&path, Access::Read).and_then(|file| file.len()).context("measure", &path)?;
                    if bases.last() != Some(base) {
                        sizes.1.insert(*base, bytes);
                    }
                    bytes
                }
            };
        }
        Ok(sum)
    }

    /// Lets full segments leave the page cache, all but the newest of them. A log is written once and seldom read, and
    /// without this takes all the memory there is, page by page; and what checks it later is to see the disk.
    pub fn leave_cache(&self) {
        let Inner { vfs, dir, shared, left_cache, .. } = &*self.inner;
        let bases = shared.bases();
        let Some(kept) = bases.len().checked_sub(2).map(|kept| bases[kept]) else { return };
        let left = left_cache.swap(kept, Ordering::Relaxed);
        for base in bases.into_iter().filter(|base| (left..kept).contains(base)) {
            // It may have been compacted meanwhile.
            if let Ok(file) = vfs.open(&segment::log_dir(dir).join(segment_name(base)), Access::Read) {
                file.leave_cache();
            }
        }
    }

    /// How often the log was cut back while this reader could see it.
    pub(crate) fn cuts(&self) -> u64 {
        self.inner.shared.cuts()
    }

    /// The records `from..=to`, as far as they are durable now, each checked against the one before it.
    pub fn records(&self, from: Version, to: Version) -> Records {
        Records::new(self.cursor(from, to, true))
    }

    /// The records `to..=from`, the newest first.
    pub fn backwards(&self, from: Version, to: Version) -> Backwards {
        Backwards::new(self.clone(), from.min(self.durable()), to.max(1))
    }

    /// The records `from..=to` without copies and without computing the chain again: for a start, which
    /// does that beside it where it matters. Checksums are still checked.
    pub fn replay(&self, from: Version, to: Version) -> Replay {
        Replay::new(self.cursor(from, to, false))
    }

    fn cursor(&self, from: Version, to: Version, chained: bool) -> Cursor {
        Cursor::new(self.clone(), from.max(1), to.min(self.durable()), chained)
    }

    /// What another process has written meanwhile.
    fn refresh(&self) {
        let Inner { vfs, dir, shared, follows_mark, .. } = &*self.inner;
        if !follows_mark {
            return;
        }
        // An error here leaves what is known: the mark is being replaced, or the next read will say what is wrong.
        let Ok(Some(mark)) = super::mark::read(&**vfs, dir).map(|found| found.mark) else { return };
        if mark.durable < shared.durable() {
            shared.cut(mark.durable);
        }
        if mark.durable > shared.durable() {
            // The names first: a version must not be durable before its segment is known.
            if let Ok(mut bases) = segment::bases(&**vfs, &segment::log_dir(dir)) {
                bases.retain(|&base| base >= mark.oldest);
                shared.set_bases(bases);
                shared.set_durable(mark.durable);
            }
        }
        if mark.oldest > shared.oldest() {
            shared.compact(mark.oldest);
        }
        shared.set_committed(mark.committed.min(shared.durable()).max(shared.committed()));
    }

    /// The open segment that holds `version`.
    pub(crate) fn segment(&self, version: Version) -> Result<Arc<Segment>, LogError> {
        let Inner { vfs, dir, cluster, shared, open, .. } = &*self.inner;
        let cuts = shared.cuts();
        let Some((base, next)) = shared.segment_of(version) else {
            return Err(LogError::Compacted { wanted: version, oldest: shared.oldest() });
        };
        let held = open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_same = |held: &(u64, Arc<Segment>)| held.0 == cuts && held.1.base == base && held.1.next == next;
        if let Some((_, segment)) = held.filter(is_same) {
            return Ok(segment);
        }
        let path = segment::log_dir(dir).join(segment_name(base));
        let file = match vfs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) => {
                // It may have been compacted since its name was read.
                self.refresh();
                return match shared.oldest() {
                    oldest if oldest > base => Err(LogError::Compacted { wanted: version, oldest }),
                    _ => Err(error).context("open", &path),
                };
            }
        };
        let bytes = segment::read_header(&*file).context("read", &path)?;
        let header = SegmentHeader::decode(&bytes).map_err(|fault| LogError::corrupt(&path, 0, Some(base), fault))?;
        if header.cluster != *cluster {
            return Err(LogError::Foreign { path, found: header.cluster, expected: *cluster });
        }
        if header.base != base {
            let fault = Fault::Version { found: header.base, expected: base };
            return Err(LogError::corrupt(&path, 0, Some(base), fault));
        }
        let segment = Arc::new(Segment::new(path, file, cluster, base, next, header.before));
        *open.lock().unwrap_or_else(PoisonError::into_inner) = Some((cuts, segment.clone()));
        Ok(segment)
    }
}
