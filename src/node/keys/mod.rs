//! Idempotency keys: what was answered to whom, so that a request sent again is answered again, not done again.
//!
//! The table is state like the service's: filled by apply, in version order, from the records alone, so that
//! it is equal on every node and after every restart. It is kept in layers, as a log-structured table is, so
//! that neither a start nor a snapshot ever holds up the event loop:
//!
//! ```text
//!   live    hash tables: since the last snapshot began
//!   frozen  hash tables: being written by the snapshot thread
//!   runs    sorted blocks of bytes, as they lie in their files: loaded as they are, searched by guess, and only
//!           when their filter says that the key may be there
//! ```
//!
//! A snapshot writes what is new as one more run, merged with the newest runs that are not much larger: each
//! run is at least twice as large as the one after it, so there are few, and an entry is rewritten seldom. A run
//! that is full is merged no more: while runs are merged both are in memory, and a run is only forgotten whole.
//!
//! # Invariants
//! 1. A key is looked for in `live`, then `frozen`, then the runs, newest first; the first that has it is right.
//! 2. An entry is forgotten by its place among keyed records and by record time, never by the local clock:
//!    every node forgets the same.
//!
//! # Not here
//! Keys of operations that are still in flight (`node::engine`).

mod filter;
mod layer;
mod run;
#[cfg(test)]
mod tests;

pub(super) use run::Run;

use std::sync::Arc;

use layer::Layer;
use sha2::{Digest, Sha256};

use crate::limits::{KEY_RESULT_BYTES_MAX, KEY_WINDOW, KEYS_MAX};
use crate::types::{Hash, Micros, Record, Version};

/// The first half of the SHA-256 of a key: enough that two keys never meet, in half the memory.
pub(super) type KeyDigest = [u8; 16];

/// What is remembered of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    /// Where the operation is in the log.
    pub(super) version: Version,
    /// Its place among all keyed records ever.
    pub(super) ordinal: u64,
    /// When it was written, in record time.
    pub(super) time: Micros,
    /// The number of its epoch.
    pub(super) epoch: u64,
    /// Its chain hash.
    pub(super) hash: Hash,
    /// The first half of its request hash.
    pub(super) request: [u8; 16],
    /// The status of its outcome.
    pub(super) status: u16,
    /// The result, one line of JSON; `None` where it was too long to keep.
    pub(super) result: Option<Box<str>>,
}

/// Keys of a run that is merged no more: an eighth of all, so that a look-up asks about eight runs of these at most,
/// and a merge takes no more than a quarter of the table's memory beside it.
const RUN_FULL: usize = KEYS_MAX / 8;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Keys {
    live: Layer,
    frozen: Arc<Layer>,
    /// Oldest first; `None` while they are being read.
    runs: Option<Runs>,
    /// Keyed records so far.
    count: u64,
    /// Time of the newest record, keyed or not.
    now: Micros,
}

/// The runs of a table, oldest first.
pub(super) type Runs = Vec<Arc<Run>>;

/// What a snapshot takes with it: everything up to one version.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    newer: Arc<Layer>,
    runs: Runs,
    pub(super) count: u64,
    pub(super) now: Micros,
}

/// Layers that are no longer needed.
pub(super) type Leftover = (Option<Arc<Layer>>, Runs);

/// The digest by which a key is remembered.
pub(super) fn digest(key: &str) -> KeyDigest {
    half(&Sha256::digest(key.as_bytes()).into())
}

/// SHA-256(method, 0, data as the client sent it).
pub(super) fn request_hash(method: &str, data: &str) -> Hash {
    let mut sha = Sha256::new();
    sha.update(method.as_bytes());
    sha.update([0]);
    sha.update(data.as_bytes());
    Hash(sha.finalize().into())
}

/// What is kept of a request hash.
pub(super) fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

impl Keys {
    /// A table that starts from a snapshot. The runs themselves may come later, by [`Keys::loaded`].
    pub(super) fn restored(count: u64, now: Micros, runs: Option<Runs>) -> Self {
        Self { runs, count, now, ..Self::default() }
    }

    /// A table that has seen nothing.
    pub(super) fn new() -> Self {
        Self::restored(0, 0, Some(Runs::new()))
    }

    /// Whether every answer that should be remembered can be found.
    pub(super) fn is_complete(&self) -> bool {
        self.runs.is_some()
    }

    /// The runs of the snapshot have been read.
    pub(super) fn loaded(&mut self, runs: Runs) {
        assert!(self.runs.is_none(), "the keys of a snapshot are loaded once");
        self.runs = Some(runs);
    }

    /// What was answered to this key, while it is remembered.
    pub(super) fn get(&self, key: &KeyDigest) -> Option<Remembered> {
        let newer = self.live.get(key).or_else(|| self.frozen.get(key)).cloned();
        let found = newer.or_else(|| self.runs.iter().flatten().rev().find_map(|run| run.get(key)));
        found.filter(|found| self.window().holds(found))
    }

    /// An operation with a key was applied.
    pub(super) fn insert(&mut self, key: KeyDigest, record: &Record, status: u16, result: &str) {
        self.saw(record.time);
        let request = half(&record.request_hash.unwrap_or_default().0);
        let result = (result.len() <= KEY_RESULT_BYTES_MAX).then(|| result.into());
        let remembered = Remembered {
            version: record.version,
            ordinal: self.count,
            time: record.time,
            epoch: record.epoch.number,
            hash: record.hash,
            request,
            status,
            result,
        };
        self.count += 1;
        self.live.insert(key, remembered);
    }

    /// A record passed by: its time is the table's clock.
    pub(super) fn saw(&mut self, time: Micros) {
        self.now = self.now.max(time);
    }

    /// How many entries are held, including those that are forgotten with the next snapshot.
    pub(super) fn len(&self) -> usize {
        self.live.len() + self.frozen.len() + self.runs.iter().flatten().map(|run| run.len()).sum::<usize>()
    }

    /// Begins a snapshot: everything so far, as it is now. `None` while runs are still being read, or an
    /// earlier snapshot has not ended.
    pub(super) fn freeze(&mut self) -> Option<Frozen> {
        let runs = self.runs.clone()?;
        if !self.frozen.is_empty() {
            return None;
        }
        self.frozen = Arc::new(std::mem::take(&mut self.live));
        Some(Frozen { newer: Arc::clone(&self.frozen), runs, count: self.count, now: self.now })
    }

    /// Ends a snapshot: with the runs that are in it, or with nothing when it failed. What it gives back is only
    /// to be dropped, which takes long enough to do it elsewhere.
    pub(super) fn thaw(&mut self, written: Option<Runs>) -> Leftover {
        let frozen = std::mem::take(&mut self.frozen);
        match written {
            Some(runs) => (Some(frozen), self.runs.replace(runs).unwrap_or_default()),
            None => {
                let mut all = Arc::unwrap_or_clone(frozen);
                all.append(std::mem::take(&mut self.live));
                self.live = all;
                (None, Runs::new())
            }
        }
    }

    /// Moves everything into runs, as a snapshot does, and gives a view of it: for those who only replay.
    ///
    /// # Panics
    /// If runs are still being read, or a snapshot is being written.
    pub(super) fn settle(&mut self) -> Frozen {
        let frozen = self.freeze().expect("who replays has the whole table, and writes no snapshot");
        let (count, now) = (frozen.count, frozen.now);
        let runs = frozen.merge();
        self.thaw(Some(runs.clone()));
        Frozen { newer: Arc::default(), runs, count, now }
    }

    fn window(&self) -> Window {
        Window { count: self.count, now: self.now }
    }
}

impl Frozen {
    /// The runs of a snapshot: the old ones, and what is new merged with those at the end that are neither full nor
    /// twice as large. What is forgotten is left out where runs are merged, and with a whole run.
    pub(super) fn merge(self) -> Runs {
        self.merge_with(&mut || ())
    }

    /// The same; `between` is called before each entry that is moved.
    pub(super) fn merge_with(self, between: &mut dyn FnMut()) -> Runs {
        let window = Window { count: self.count, now: self.now };
        let mut runs = self.runs;
        runs.retain(|run| run.newest().is_some_and(|newest| window.holds(&newest)));
        let mut merged = run::of_layer(&self.newer, |entry| window.holds(entry), between);
        while let Some(last) = runs.pop_if(|last| last.len() < RUN_FULL.min(2 * merged.len())) {
            merged = run::merge(&last, &merged, |entry| window.holds(entry), between);
        }
        if merged.len() > 0 {
            runs.push(Arc::new(merged));
        }
        runs
    }

    /// Whether both remember the same, however it is spread over runs.
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        (self.count, self.now) == (other.count, other.now) && self.flat().parts() == other.flat().parts()
    }

    fn flat(&self) -> Run {
        let window = Window { count: self.count, now: self.now };
        let newer = run::of_layer(&self.newer, |entry| window.holds(entry), &mut || ());
        let runs = self.runs.iter().map(Arc::as_ref).chain([&newer]);
        runs.fold(Run::default(), |flat, run| run::merge(&flat, run, |entry| window.holds(entry), &mut || ()))
    }
}

/// What is remembered: the newest million keyed records, and no longer than a day of record time.
struct Window {
    count: u64,
    now: Micros,
}

impl Window {
    fn holds(&self, entry: &Remembered) -> bool {
        entry.ordinal + KEYS_MAX as u64 >= self.count
            && self.now.saturating_sub(entry.time) <= KEY_WINDOW.as_micros() as Micros
    }
}
