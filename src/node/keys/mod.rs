//! Idempotency keys: what was answered to whom, so that a request sent again is answered again, not done again.
//!
//! The table is state like the service's: filled by apply, in version order, from the records alone, so that
//! it is equal on every node and after every restart. It is kept in layers, as a log-structured table is, so
//! that neither a start nor a snapshot ever holds up the event loop:
//!
//! ```text
//!   live    ordered map: since the last snapshot began
//!   frozen  ordered map: being written by the snapshot thread
//!   base    one sorted block of bytes, as it lies in the snapshot file: loaded as it is, searched by guess
//! ```
//!
//! # Invariants
//! 1. A key is looked for in `live`, then `frozen`, then `base`; the first that has it is right.
//! 2. An entry is forgotten by its place among keyed records and by record time, never by the local clock:
//!    every node forgets the same.
//!
//! # Not here
//! Keys of operations that are still in flight (`node::engine`).

mod base;
#[cfg(test)]
mod tests;

pub(super) use base::Base;

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// The table.
#[derive(Debug, Default)]
pub(super) struct Keys {
    live: BTreeMap<KeyDigest, Remembered>,
    frozen: Arc<BTreeMap<KeyDigest, Remembered>>,
    base: Option<Arc<Base>>,
    /// Keyed records so far.
    count: u64,
    /// Time of the newest record, keyed or not.
    now: Micros,
}

/// What a snapshot takes with it: everything up to one version.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub(super) newer: Arc<BTreeMap<KeyDigest, Remembered>>,
    pub(super) base: Arc<Base>,
    pub(super) count: u64,
    pub(super) now: Micros,
}

/// Layers that are no longer needed.
pub(super) type Leftover = (Option<Arc<BTreeMap<KeyDigest, Remembered>>>, Option<Arc<Base>>);

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
    /// A table that starts from a snapshot. The block itself may come later, by [`Keys::base_loaded`].
    pub(super) fn restored(count: u64, now: Micros, base: Option<Arc<Base>>) -> Self {
        Self { base, count, now, ..Self::default() }
    }

    /// A table that has seen nothing.
    pub(super) fn new() -> Self {
        Self::restored(0, 0, Some(Arc::default()))
    }

    /// Whether every answer that should be remembered can be found.
    pub(super) fn is_complete(&self) -> bool {
        self.base.is_some()
    }

    /// The block of the snapshot has been read.
    pub(super) fn base_loaded(&mut self, base: Arc<Base>) {
        assert!(self.base.is_none(), "the keys of a snapshot are loaded once");
        self.base = Some(base);
    }

    /// What was answered to this key, while it is remembered.
    pub(super) fn get(&self, key: &KeyDigest) -> Option<Remembered> {
        let newer = self.live.get(key).or_else(|| self.frozen.get(key)).cloned();
        let found = newer.or_else(|| self.base.as_ref().and_then(|base| base.get(key)));
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
        self.live.len() + self.frozen.len() + self.base.as_ref().map_or(0, |base| base.len())
    }

    /// Begins a snapshot: everything so far, as it is now. `None` while the block is still being read, or an
    /// earlier snapshot has not ended.
    pub(super) fn freeze(&mut self) -> Option<Frozen> {
        let base = self.base.clone()?;
        if !self.frozen.is_empty() {
            return None;
        }
        self.frozen = Arc::new(std::mem::take(&mut self.live));
        Some(Frozen { newer: Arc::clone(&self.frozen), base, count: self.count, now: self.now })
    }

    /// Ends a snapshot: with the merged block, or with nothing when it failed. What it gives back is only to be
    /// dropped, which takes long enough to do it elsewhere.
    pub(super) fn thaw(&mut self, merged: Option<Arc<Base>>) -> Leftover {
        let frozen = std::mem::take(&mut self.frozen);
        match merged {
            Some(base) => (Some(frozen), self.base.replace(base)),
            None => {
                let mut all = Arc::unwrap_or_clone(frozen);
                all.append(&mut self.live);
                self.live = all;
                (None, None)
            }
        }
    }

    fn window(&self) -> Window {
        Window { count: self.count, now: self.now }
    }
}

impl Frozen {
    /// The block of a snapshot: the old one and the newer entries in one order, without the forgotten.
    pub(super) fn merge(&self) -> Base {
        let window = Window { count: self.count, now: self.now };
        base::merge(&self.base, &self.newer, |entry| window.holds(entry))
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
