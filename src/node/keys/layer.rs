//! The newest keys: hash tables in memory, many small ones, so that none of them is ever moved as a whole while a
//! request waits. They hold numbers; the entries themselves lie in the order in which they came, and stay where they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{KeyDigest, Remembered};
use crate::node::hashed::Hashed;

/// Tables. With half a million keys in them, growing one moves two thousand numbers.
const TABLES: usize = 256;
/// Entries of one piece of memory.
const PIECE: usize = 1024;

/// Entries by digest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    /// By the first byte of the digest; none before the first entry.
    tables: Vec<HashMap<KeyDigest, u32, Hashed>>,
    pieces: Vec<Vec<Remembered>>,
    len: usize,
}

impl Layer {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, key: &KeyDigest) -> Option<&Remembered> {
        Some(self.entry(*self.tables.get(usize::from(key[0]))?.get(key)?))
    }

    pub(super) fn insert(&mut self, key: KeyDigest, entry: Remembered) {
        if self.tables.is_empty() {
            self.tables.resize_with(TABLES, HashMap::default);
        }
        match self.tables[usize::from(key[0])].entry(key) {
            Entry::Occupied(known) => {
                let place = *known.get() as usize;
                self.pieces[place / PIECE][place % PIECE] = entry;
            }
            Entry::Vacant(new) => {
                new.insert(u32::try_from(self.len).expect("a layer is frozen long before"));
                if self.len.is_multiple_of(PIECE) {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                self.pieces[self.len / PIECE].push(entry);
                self.len += 1;
            }
        }
    }

    /// Bytes of all results, one for each that was too long to keep.
    pub(super) fn result_bytes(&self) -> usize {
        self.pieces.iter().flatten().map(|entry| entry.result.as_ref().map_or(1, |text| text.len())).sum()
    }

    /// Takes in everything of a newer layer.
    pub(super) fn append(&mut self, newer: Self) {
        for (key, place) in newer.tables.iter().flatten() {
            self.insert(*key, newer.entry(*place).clone());
        }
    }

    /// Everything, in the order of the digests.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&KeyDigest, &Remembered)> {
        let sorted = self.tables.iter().flat_map(|table| {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            keys
        });
        sorted.map(|(key, place)| (key, self.entry(*place)))
    }

    fn entry(&self, place: u32) -> &Remembered {
        &self.pieces[place as usize / PIECE][place as usize % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Hash;

    fn entry(version: u64) -> Remembered {
        let (hash, request) = (Hash([0; 32]), [0; 16]);
        Remembered { version, ordinal: version, time: 0, epoch: 1, hash, request, status: 200, result: None }
    }

    #[test]
    fn what_was_put_in_is_found_in_order_and_the_newer_one_wins() {
        let digest = |number: u64| super::super::digest(&number.to_string());
        let (mut layer, mut newer) = (Layer::default(), Layer::default());
        assert!(layer.get(&digest(1)).is_none() && layer.is_empty());
        (0..1000).for_each(|number| layer.insert(digest(number), entry(number)));
        (500..1500).for_each(|number| newer.insert(digest(number), entry(number + 10_000)));
        layer.append(newer);
        assert_eq!(layer.len(), 1500);
        assert_eq!(layer.get(&digest(499)).unwrap().version, 499);
        assert_eq!(layer.get(&digest(500)).unwrap().version, 10_500);
        (500..1000).for_each(|number| layer.insert(digest(number), entry(number + 20_000)));
        let sorted: Vec<_> = layer.sorted().map(|(digest, entry)| (*digest, entry.version)).collect();
        assert!(sorted.len() == 1500 && sorted.is_sorted());
        assert!(sorted.contains(&(digest(700), 20_700)) && sorted.contains(&(digest(1200), 11_200)));
    }
}
