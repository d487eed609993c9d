//! The bytes of the log: every offset and every fixed number stands here and in `rig-log(5)`, nowhere else.
//!
//! ```text
//! segment: `<first version, 20 digits>.log`
//! +----------------+--------+--------+-- - - --+---------------------+
//! | header 128 B   | record | record |         | zeros, if anything  |
//! +----------------+--------+--------+-- - - --+---------------------+
//!
//! segment header, little endian
//!   0 magic "RIGSEG1\n"      8 format u16 = 1      10 zero 6
//!  16 cluster id 16         32 base version u64    40 chain hash of base - 1, 32
//!  72 zero 52              124 CRC32C of bytes 0..124
//!
//! record, 8-byte aligned, little endian
//!   0 header CRC u32   CRC32C(cluster id 16, base version of the segment u64, bytes 4..80)
//!   4 length u32       of the whole record, a multiple of 8
//!   8 format u8          9 kind u8 (1 operation, 2 control)      10 flags u16 = 0
//!  12 payload CRC u32  CRC32C(bytes 80..length - 32)
//!  16 version u64      24 epoch number u64     32 epoch owner 16      48 epoch start u64
//!  56 time u64         64 commit_upto u64 (less than version)
//!  72 data length u32  76 method length u8     77 actor length u8     78 key length u8     79 zero u8
//!  80 request hash 32 (exactly when there is a key), method, actor, key, data, zeros up to a multiple of 8
//! length - 32 hash 32  SHA-256(hash of the record before, bytes 4..length - 32)
//!
//! hash(0) = SHA-256("rig/1 ", cluster id 16)
//! ```
//!
//! The header CRC is the only part that depends on the segment: the cluster id and the base version salt it, so that
//! a record of another cluster or another segment is never valid. The rest, the *canonical bytes*, are equal on
//! every node, and the hash covers all of them. Between nodes a record is the same bytes with a header CRC that has no
//! salt, CRC32C(bytes 4..80): its *wire bytes*, which no segment takes for a record of its own. Texts hold no zero byte, so no sector of a record is all zero and
//! no text can look like a header (its flags and byte 79 are zero): the search for headers rests on that.
//!
//! Each record says its own format. A program reads every format from the first to its own, and writes a newer one only
//! when all members of the cluster read it. The format of a segment is another
//! number: segments do not travel, and a record of any format lies in any of them.

use super::error::Fault;
use crate::limits;
use crate::types::{ClusterId, Hash, Version};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// The newest format of a record: all up to this one are read. For tests of an upgrade the feature `canary` makes a
/// release of the future, whose format differs by its number alone.
pub const FORMAT: u8 = if cfg!(feature = "canary") { 2 } else { 1 };
/// The first format, which every release reads.
pub const FORMAT_FIRST: u8 = 1;
/// The format of a segment: its header, and how records lie in it.
pub const SEGMENT_FORMAT: u16 = 1;
/// First bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"RIGSEG1\n";
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: u64 = 128;
/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 80;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// Records begin and end at multiples of this.
pub const ALIGN: usize = 8;
/// A record with one byte of method and one of data.
pub const RECORD_BYTES_MIN: usize = HEADER_BYTES + ALIGN + HASH_BYTES;
/// The highest version, so that the next one is always a number; nobody will get there.
pub const VERSION_MAX: Version = i64::MAX as Version;
/// What may be in a file and not yet synced: one batch, which may be over its bound by its last record. A whole
/// record further than this behind a broken one proves that the broken one was once durable.
pub const UNSYNCED_BYTES_MAX: usize = limits::BATCH_BYTES_MAX + limits::RECORD_BYTES_MAX;
/// More zero bytes in a row than any record has: epoch, owner and start of zero, time of zero.
pub(crate) const ZERO_RUN: usize = 128;

const CRC_AT: usize = SEGMENT_HEADER_BYTES as usize - 4;

const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGN) && HASH_BYTES.is_multiple_of(ALIGN));
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(ALIGN as u64));
const _: () = assert!(limits::RECORD_BYTES_MAX.is_multiple_of(ALIGN) && limits::RECORD_BYTES_MAX <= u32::MAX as usize);

/// The hash before version 1: what ties a chain to its cluster.
pub fn genesis(cluster: &ClusterId) -> Hash {
    Hash(Sha256::new().chain_update(b"rig/1 ").chain_update(cluster.0).finalize().into())
}

/// The hash of a record from the one before it and its canonical bytes: SHA-256 of both, block by block where they
/// lie. An audit spends most of its time here, and the general interface copies every byte at the seams once more.
pub fn chain_hash(before: &Hash, canonical: &[u8]) -> Hash {
    let Some(mut chain) = Chain::begin(before, canonical) else { return plain_hash(before, canonical) };
    compress256(&mut chain.state, chain.blocks);
    chain.end()
}

/// Two of them, block by block in turn: neither waits for the other, so a core works on both at once, which is a
/// quarter faster than one after the other.
pub(crate) fn chain_hash_two(before: [&Hash; 2], canonical: [&[u8]; 2]) -> [Hash; 2] {
    let begun = (Chain::begin(before[0], canonical[0]), Chain::begin(before[1], canonical[1]));
    let (Some(mut one), Some(mut two)) = begun else {
        return [plain_hash(before[0], canonical[0]), plain_hash(before[1], canonical[1])];
    };
    for (block_of_one, block_of_two) in one.blocks.iter().zip(two.blocks) {
        compress256(&mut one.state, std::slice::from_ref(block_of_one));
        compress256(&mut two.state, std::slice::from_ref(block_of_two));
    }
    let both = one.blocks.len().min(two.blocks.len());
    compress256(&mut one.state, &one.blocks[both..]);
    compress256(&mut two.state, &two.blocks[both..]);
    [one.end(), two.end()]
}

fn plain_hash(before: &Hash, canonical: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(before.0).chain_update(canonical).finalize().into())
}

/// A hash on its way: the state behind the first block, and what is to come.
struct Chain<'a> {
    state: [u32; 8],
    blocks: &'a [[u8; 64]],
    rest: &'a [u8],
    bits: u64,
}

impl<'a> Chain<'a> {
    /// `None` for less than the first block, which no record is.
    fn begin(before: &Hash, canonical: &'a [u8]) -> Option<Self> {
        let (front, behind) = canonical.split_first_chunk::<HASH_BYTES>()?;
        let mut state = SHA256_START;
        let mut block = [0; 64];
        block[..HASH_BYTES].copy_from_slice(&before.0);
        block[HASH_BYTES..].copy_from_slice(front);
        compress256(&mut state, &[block]);
        let (blocks, rest) = behind.as_chunks::<64>();
        Some(Self { state, blocks, rest, bits: (HASH_BYTES + canonical.len()) as u64 * 8 })
    }

    /// The end of SHA-256: a one bit, zeros, and the length in bits.
    fn end(mut self) -> Hash {
        let mut last = [[0; 64]; 2];
        let flat = last.as_flattened_mut();
        flat[..self.rest.len()].copy_from_slice(self.rest);
        flat[self.rest.len()] = 0x80;
        let used = if self.rest.len() < 56 { 1 } else { 2 };
        flat[used * 64 - 8..used * 64].copy_from_slice(&self.bits.to_be_bytes());
        compress256(&mut self.state, &last[..used]);
        let mut hash = [0; HASH_BYTES];
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        Hash(hash)
    }
}

/// Where SHA-256 begins, FIPS 180-4 section 5.3.3.
const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// What the header CRCs of one segment begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    /// For records between nodes, which are in no segment.
    pub(crate) const WIRE: Self = Self(0);

    pub(crate) fn new(cluster: &ClusterId, base: Version) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&cluster.0), &base.to_le_bytes()))
    }

    /// CRC32C over the salt and bytes 4..80 of a record.
    pub(crate) fn header_crc(self, header: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, &header[4..HEADER_BYTES])
    }
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose log it is.
    pub cluster: ClusterId,
    /// Version of its first record.
    pub base: Version,
    /// Chain hash of the version before.
    pub before: Hash,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.0);
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.before.0);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; every byte of it is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some(bytes) = bytes.first_chunk::<{ SEGMENT_HEADER_BYTES as usize }>() else {
            return Err(Fault::Short { have: bytes.len() as u64, need: SEGMENT_HEADER_BYTES });
        };
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(Fault::Magic);
        }
        let (found, expected) = (u32_at(bytes, CRC_AT), crc32c::crc32c(&bytes[..CRC_AT]));
        if found != expected {
            return Err(Fault::HeaderCrc { found, expected });
        }
        let format = u16::from_le_bytes([bytes[8], bytes[9]]);
        if format != SEGMENT_FORMAT {
            return Err(Fault::Format(format));
        }
        if bytes[10..16].iter().chain(&bytes[72..CRC_AT]).any(|&byte| byte != 0) {
            return Err(Fault::Reserved);
        }
        let base = u64_at(bytes, 32);
        if !(1..=VERSION_MAX).contains(&base) {
            return Err(Fault::Version { found: base, expected: 1 });
        }
        Ok(Self { cluster: Self::cluster_of(bytes), base, before: Hash(array_at(bytes, 40)) })
    }

    /// The cluster id at its place, whatever the rest may be.
    pub(crate) fn cluster_of(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> ClusterId {
        ClusterId(array_at(bytes, 16))
    }
}

/// Name of the segment whose first record is `base`.
pub fn segment_name(base: Version) -> String {
    format!("{base:020}.log")
}

/// First version of the segment with this name; `None` for every other file.
pub fn segment_base(name: &str) -> Option<Version> {
    let digits = name.strip_suffix(".log")?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { digits.parse().ok().filter(|base| (1..=VERSION_MAX).contains(base)) } else { None }
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers hold a whole header")
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// Length of the zeros at the front, word by word.
pub(crate) fn leading_zeros(bytes: &[u8]) -> usize {
    let blocks = bytes.chunks_exact(64).take_while(|block| block.iter().fold(0, |all, byte| all | byte) == 0).count();
    let rest = &bytes[blocks * 64..];
    blocks * 64 + rest.iter().take_while(|&&byte| byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_is_read_back_and_no_flipped_bit_of_it_goes_unnoticed() {
        let header = SegmentHeader { cluster: ClusterId([7; 16]), base: 42, before: Hash([9; 32]) };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_chain_hash_is_plain_sha_256_at_every_length() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 7) as u8).collect();
        for n in 0..bytes.len() {
            let plain = Sha256::new().chain_update([9; 32]).chain_update(&bytes[..n]).finalize();
            assert_eq!(chain_hash(&Hash([9; 32]), &bytes[..n]).0, *plain, "{n} bytes");
            for other in [0, 31, 84, 150, 299] {
                let two = chain_hash_two([&Hash([9; 32]), &Hash([8; 32])], [&bytes[..n], &bytes[..other]]);
                let single = chain_hash(&Hash([8; 32]), &bytes[..other]);
                assert_eq!((&two[0].0[..], two[1]), (&plain[..], single), "{n} and {other} bytes");
            }
        }
    }

    #[test]
    fn only_twenty_digits_and_dot_log_name_a_segment() {
        assert_eq!(segment_base(&segment_name(1)), Some(1));
        assert_eq!(segment_base(&segment_name(VERSION_MAX)), Some(VERSION_MAX));
        for other in [
            "spare",
            "1.log",
            "00000000000000000000.log",
            "0000000000000000001x.log",
            "18446744073709551615.log",
            "99999999999999999999.log",
        ] {
            assert_eq!(segment_base(other), None, "{other}");
        }
    }

    #[test]
    fn zeros_are_counted_up_to_the_first_other_byte() {
        for n in 0..200 {
            let mut bytes = vec![0; n];
            bytes.extend([1, 0, 0]);
            assert_eq!(leading_zeros(&bytes), n);
        }
        assert_eq!(leading_zeros(&[0; 100]), 100);
    }
}
