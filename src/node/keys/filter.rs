//! Which keys are surely not in a run: a Bloom filter in blocks of one cache line (Putze, Sanders, Singler: "Cache-,
//! Hash- and Space-Efficient Bloom Filters", 2007). Almost every key that comes is new, and is asked of every run.

use super::KeyDigest;

/// Bits for each key: two bytes beside an entry of 104.
const BITS: usize = 16;
const WORDS: usize = 8;
/// Bits that a key sets in its block. With [`BITS`] one key in a hundred and fifty is looked for in vain.
const MARKS: u32 = 3;

/// A set of digests that says "no" or "perhaps".
#[derive(Debug, Default)]
pub(super) struct Filter {
    blocks: Vec<[u64; WORDS]>,
}

impl Filter {
    /// Of the digests of a run, so many of them.
    pub(super) fn of<'a>(digests: impl Iterator<Item = &'a KeyDigest>, len: usize) -> Self {
        let mut filter = Self { blocks: vec![[0; WORDS]; (len * BITS).div_ceil(64 * WORDS)] };
        for digest in digests {
            let (block, marks) = filter.place(digest);
            for mark in marks {
                filter.blocks[block][mark / 64] |= 1 << (mark % 64);
            }
        }
        filter
    }

    /// Whether it may be there.
    pub(super) fn may_have(&self, digest: &KeyDigest) -> bool {
        if self.blocks.is_empty() {
            return false;
        }
        let (block, mut marks) = self.place(digest);
        marks.all(|mark| self.blocks[block][mark / 64] & (1 << (mark % 64)) != 0)
    }

    /// The block of a digest, and its bits there. The first bytes order a run, so these come from the last.
    fn place(&self, digest: &KeyDigest) -> (usize, impl Iterator<Item = usize> + use<>) {
        let [.., a, b, c, d, e, f, g, h] = *digest;
        let block = (u64::from(u32::from_le_bytes([a, b, c, d])) * self.blocks.len() as u64) >> 32;
        let marks = u32::from_le_bytes([e, f, g, h]);
        (block as usize, (0..MARKS).map(move |index| (marks >> (index * 9)) as usize % (64 * WORDS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_denied_and_little_else_is_allowed() {
        let digest = |number: u32| super::super::digest(&number.to_string());
        let digests: Vec<_> = (0..10_000).map(digest).collect();
        let filter = Filter::of(digests.iter(), digests.len());
        assert!(digests.iter().all(|digest| filter.may_have(digest)));
        let wrong = (10_000..110_000).filter(|number| filter.may_have(&digest(*number))).count();
        assert!((100..1500).contains(&wrong), "{wrong} of 100000");
        assert!(!Filter::default().may_have(&digest(1)));
    }
}
