//! The newest keys: hash tables in memory, many small ones, so that none of them is ever moved as a whole while a
//! request waits.

use std::collections::HashMap;

use super::{KeyDigest, Remembered};
use crate::node::hashed::Hashed;

/// Tables. With half a million keys in them, growing one moves two thousand entries.
const TABLES: usize = 256;

/// Entries by digest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    /// By the first byte of the digest; none before the first entry.
    tables: Vec<HashMap<KeyDigest, Remembered, Hashed>>,
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
        self.tables.get(usize::from(key[0]))?.get(key)
    }

    pub(super) fn insert(&mut self, key: KeyDigest, entry: Remembered) {
        if self.tables.is_empty() {
            self.tables.resize_with(TABLES, HashMap::default);
        }
        self.len += usize::from(self.tables[usize::from(key[0])].insert(key, entry).is_none());
    }

    /// Takes in everything of a newer layer.
    pub(super) fn append(&mut self, newer: Self) {
        for (key, entry) in newer.tables.into_iter().flatten() {
            self.insert(key, entry);
        }
    }

    /// Everything, in the order of the digests.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&KeyDigest, &Remembered)> {
        self.tables.iter().flat_map(|table| {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            entries
        })
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
        let digests: Vec<_> = layer.sorted().map(|(digest, _)| *digest).collect();
        assert!(digests.len() == 1500 && digests.is_sorted());
    }
}
