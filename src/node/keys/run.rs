//! A run: keys as one block of bytes, sorted by digest.
//!
//! ```text
//!   entries  104 bytes each: digest 16 | request 16 | version 8 | ordinal 8 | time 8 | epoch number 8
//!            | chain hash 32 | status 2 | 0 2 | end of result 4
//!   results  the texts, one after the other; an entry's text ends where it says and begins where the one
//!            before it ends. A result that was too long to keep is the one byte 0, which no JSON is.
//! ```
//!
//! Numbers are little endian. A digest is a hash, so its place can be guessed from its first bytes: a look-up
//! reads three or four entries, whatever the size.

use std::cmp::Ordering;
use std::sync::OnceLock;

use super::filter::Filter;
use super::layer::Layer;
use super::{KeyDigest, Remembered};
use crate::types::{Hash, Version};

const ENTRY: usize = 104;
const END_AT: usize = ENTRY - 4;

/// The block, and which of its entries is the newest.
#[derive(Debug, Default)]
pub(crate) struct Run {
    entries: Vec<u8>,
    results: Vec<u8>,
    filter: Filter,
    /// Index and ordinal.
    newest: Option<(usize, u64)>,
    /// The version that names its file, once it has one.
    name: OnceLock<Version>,
}

impl Run {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() / ENTRY
    }

    /// The two parts as they go into a file.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.entries, &self.results)
    }

    /// The run from the two parts of a file; `None` when they do not belong together.
    pub(crate) fn from_parts(entries: Vec<u8>, results: Vec<u8>) -> Option<Self> {
        let mut run = Self { entries, results, ..Self::default() };
        let whole = run.entries.len().is_multiple_of(ENTRY);
        let mut end = 0;
        let mut last: Option<&[u8]> = None;
        let mut newest: Option<(usize, u64)> = None;
        for (index, entry) in run.entries.chunks_exact(ENTRY).enumerate() {
            let (digest, next) = (&entry[..16], result_end(entry));
            if next <= end || next > run.results.len() || last.is_some_and(|last| last >= digest) {
                return None;
            }
            (end, last) = (next, Some(digest));
            let ordinal = number(entry, 40);
            if newest.is_none_or(|(_, known)| known <= ordinal) {
                newest = Some((index, ordinal));
            }
        }
        run.newest = newest;
        run.finish();
        (whole && end == run.results.len()).then_some(run)
    }

    /// The entry with this digest.
    pub(crate) fn get(&self, key: &KeyDigest) -> Option<Remembered> {
        if !self.filter.may_have(key) {
            return None;
        }
        let (mut low, mut high) = (0, self.len());
        let wanted = leading(key);
        let (mut low_key, mut high_key) = (0_u64, u64::MAX);
        while low < high {
            let span = u128::from(high_key - low_key) + 1;
            let guess = u128::from(wanted.saturating_sub(low_key)) * (high - low) as u128 / span;
            let middle = (low + guess as usize).min(high - 1);
            let digest = self.digest(middle);
            match digest.cmp(key) {
                Ordering::Equal => return self.entry(middle),
                Ordering::Less => (low, low_key) = (middle + 1, leading(digest)),
                Ordering::Greater => (high, high_key) = (middle, leading(digest)),
            }
            if wanted < low_key || wanted > high_key {
                return None;
            }
        }
        None
    }

    /// The version that names its file; `None` as long as it has none.
    pub(crate) fn name(&self) -> Option<Version> {
        self.name.get().copied()
    }

    /// It has a file now, for good.
    pub(crate) fn set_name(&self, name: Version) {
        assert_eq!(*self.name.get_or_init(|| name), name, "a run is written once");
    }

    /// The entry that is forgotten last.
    pub(crate) fn newest(&self) -> Option<Remembered> {
        self.newest.and_then(|(index, _)| self.entry(index))
    }

    fn digest(&self, index: usize) -> &KeyDigest {
        digest_of(&self.entries[index * ENTRY..])
    }

    /// Everything is in it.
    fn finish(&mut self) {
        self.filter = Filter::of(self.entries.chunks_exact(ENTRY).map(digest_of), self.len());
    }

    fn entry(&self, index: usize) -> Option<Remembered> {
        let entry = &self.entries[index * ENTRY..][..ENTRY];
        let begin = if index == 0 { 0 } else { result_end(&self.entries[(index - 1) * ENTRY..][..ENTRY]) };
        let text = self.results.get(begin..result_end(entry))?;
        let result = if text == [0] { None } else { Some(std::str::from_utf8(text).ok()?.into()) };
        Some(Remembered {
            request: entry[16..32].try_into().ok()?,
            version: number(entry, 32),
            ordinal: number(entry, 40),
            time: number(entry, 48),
            epoch: number(entry, 56),
            hash: Hash(entry[64..96].try_into().ok()?),
            status: u16::from_le_bytes(entry[96..98].try_into().ok()?),
            result,
        })
    }

    fn push(&mut self, key: &KeyDigest, entry: &Remembered) {
        if self.newest.is_none_or(|(_, known)| known <= entry.ordinal) {
            self.newest = Some((self.len(), entry.ordinal));
        }
        match &entry.result {
            Some(text) => self.results.extend_from_slice(text.as_bytes()),
            None => self.results.push(0),
        }
        let end = u32::try_from(self.results.len()).expect("a million results of 4 KiB are less than 4 GiB");
        self.entries.extend_from_slice(key);
        self.entries.extend_from_slice(&entry.request);
        for value in [entry.version, entry.ordinal, entry.time, entry.epoch] {
            self.entries.extend_from_slice(&value.to_le_bytes());
        }
        self.entries.extend_from_slice(&entry.hash.0);
        self.entries.extend_from_slice(&entry.status.to_le_bytes());
        self.entries.extend_from_slice(&[0; 2]);
        self.entries.extend_from_slice(&end.to_le_bytes());
    }
}

/// The entries of a layer that are to be kept. `between` is called before each.
pub(super) fn of_layer(layer: &Layer, keep: impl Fn(&Remembered) -> bool, between: &mut dyn FnMut()) -> Run {
    let mut run = Run::default();
    run.entries.reserve_exact(layer.len() * ENTRY);
    // A block that grows by itself takes twice its size, and half as much again while it moves.
    run.results.reserve_exact(layer.result_bytes());
    for (key, entry) in layer.sorted().filter(|(_, entry)| keep(entry)) {
        between();
        run.push(key, entry);
    }
    run.finish();
    run
}

/// Both in one order; where both have a key, the newer wins. `between` is called before each entry.
pub(super) fn merge(old: &Run, newer: &Run, keep: impl Fn(&Remembered) -> bool, between: &mut dyn FnMut()) -> Run {
    let mut merged = Run::default();
    merged.entries.reserve_exact(old.entries.len() + newer.entries.len());
    merged.results.reserve_exact(old.results.len() + newer.results.len());
    let (mut left, mut right) = (0, 0);
    while left < old.len() || right < newer.len() {
        between();
        let order = match (left < old.len(), right < newer.len()) {
            (true, true) => old.digest(left).cmp(newer.digest(right)),
            (true, false) => Ordering::Less,
            (false, _) => Ordering::Greater,
        };
        let (run, index) = if order == Ordering::Less { (old, left) } else { (newer, right) };
        if let Some(entry) = run.entry(index).filter(&keep) {
            merged.push(run.digest(index), &entry);
        }
        left += usize::from(order != Ordering::Greater);
        right += usize::from(order != Ordering::Less);
    }
    merged.finish();
    merged
}

fn digest_of(entry: &[u8]) -> &KeyDigest {
    entry.first_chunk().expect("an entry begins with sixteen bytes")
}

fn leading(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("a digest has sixteen bytes"))
}

fn number(entry: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(entry[at..at + 8].try_into().expect("an entry is longer than that"))
}

fn result_end(entry: &[u8]) -> usize {
    u32::from_le_bytes(entry[END_AT..].try_into().expect("an entry is longer than that")) as usize
}
