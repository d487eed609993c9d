//! The keys of a snapshot as one block of bytes, sorted by digest.
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

use std::collections::BTreeMap;

use super::{KeyDigest, Remembered};
use crate::types::Hash;

const ENTRY: usize = 104;
const END_AT: usize = ENTRY - 4;

/// The block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    entries: Vec<u8>,
    results: Vec<u8>,
}

impl Base {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() / ENTRY
    }

    /// The two parts as they go into a file.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.entries, &self.results)
    }

    /// The block from the two parts of a file; `None` when they do not belong together.
    pub(crate) fn from_parts(entries: Vec<u8>, results: Vec<u8>) -> Option<Self> {
        let base = Self { entries, results };
        let whole = base.entries.len().is_multiple_of(ENTRY);
        let mut end = 0;
        let mut last: Option<&[u8]> = None;
        for entry in base.entries.chunks_exact(ENTRY) {
            let (digest, next) = (&entry[..16], result_end(entry));
            if next <= end || next > base.results.len() || last.is_some_and(|last| last >= digest) {
                return None;
            }
            (end, last) = (next, Some(digest));
        }
        (whole && end == base.results.len()).then_some(base)
    }

    /// The entry with this digest.
    pub(crate) fn get(&self, key: &KeyDigest) -> Option<Remembered> {
        let (mut low, mut high) = (0, self.len());
        let wanted = leading(key);
        let (mut low_key, mut high_key) = (0_u64, u64::MAX);
        while low < high {
            let span = u128::from(high_key - low_key) + 1;
            let guess = u128::from(wanted.saturating_sub(low_key)) * (high - low) as u128 / span;
            let middle = (low + guess as usize).min(high - 1);
            let digest = self.digest(middle);
            match digest.cmp(key) {
                std::cmp::Ordering::Equal => return self.entry(middle),
                std::cmp::Ordering::Less => (low, low_key) = (middle + 1, leading(digest)),
                std::cmp::Ordering::Greater => (high, high_key) = (middle, leading(digest)),
            }
            if wanted < low_key || wanted > high_key {
                return None;
            }
        }
        None
    }

    fn digest(&self, index: usize) -> &KeyDigest {
        self.entries[index * ENTRY..][..16].try_into().expect("sixteen bytes are sixteen bytes")
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

/// Both in one order; where both have a key, the newer wins.
pub(super) fn merge(old: &Base, newer: &BTreeMap<KeyDigest, Remembered>, keep: impl Fn(&Remembered) -> bool) -> Base {
    let mut merged = Base::default();
    merged.entries.reserve_exact((old.len() + newer.len()) * ENTRY);
    merged.results.reserve_exact(old.results.len() + newer.len() * 48);
    let mut newer = newer.iter().peekable();
    for index in 0..old.len() {
        let key = old.digest(index);
        while let Some((next, entry)) = newer.next_if(|(next, _)| *next < key) {
            if keep(entry) {
                merged.push(next, entry);
            }
        }
        if newer.peek().is_some_and(|(next, _)| *next == key) {
            continue;
        }
        if let Some(entry) = old.entry(index).filter(&keep) {
            merged.push(key, &entry);
        }
    }
    for (next, entry) in newer.filter(|(_, entry)| keep(entry)) {
        merged.push(next, entry);
    }
    merged
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
