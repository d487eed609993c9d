//! A hasher for what is a hash already: numbers and digests that nobody outside can choose.
//!
//! Hashing them once more would cost more than the look-up. It must not be used for anything that a client picks as it is:
//! who knows where a key lands can make a table slow.

use std::hash::{BuildHasherDefault, Hasher};

/// For `HashMap`.
pub(super) type Hashed = BuildHasherDefault<Taken>;

/// Takes the last eight bytes of what it is given.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    // The length of an array, which is the same for all.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn a_number_is_its_own_hash_and_a_digest_is_its_end() {
        let hashed = Hashed::default();
        assert_eq!(hashed.hash_one(7_u64), 7);
        let mut digest = [1; 16];
        digest[8..].copy_from_slice(&9_u64.to_le_bytes());
        assert_eq!(hashed.hash_one(digest), 9);
    }
}
