//! Backups: one archive of everything that is committed, and a directory made of it again.
//!
//! ```text
//!   header 256 | section | section | ... | end
//!
//!   header, little endian
//!     0 magic "RIGBAK1\n"    8 format u16 = 1    10 flags u16 (1: incremental)    12 zero 4
//!    16 cluster id 16       32 first version u64    40 last version u64 (first - 1 without a record)
//!    48 version of the snapshot u64, 0 for none    56 when it was begun u64, µs since 1970
//!    64 place before the first version    128 place of the last version    192 zero 60    252 CRC32C of 0..252
//!   a place: epoch number u64, owner 16, start u64, hash 32; the epoch is zero where it is not known
//!
//!   section: kind u32 | length u64 | number u64 | CRC32C of these 20 bytes | body | CRC32C of the body
//!     1 about      JSON: which node, which service               number 0
//!     2 snapshot   the file of a snapshot as it is               number: its version
//!     3 keys       a file of keys that the snapshot names        number: its name
//!     4 records    records as they travel between nodes          number: version of the first
//!     5 end        SHA-256 of every byte before this section     number: last version
//! ```
//!
//! Sections stand in the order of their kinds; about and end are there exactly once, and nothing is behind the end. The
//! same, for whoever writes a reader, is in `rig-backup(5)`.
//!
//! # Invariants
//! 1. Only committed records go in, and the end is what was committed when it was begun.
//! 2. An archive without its end is none. What is read from one counts when the end was reached.
//! 3. A directory is restored whole or not at all, and is a node of its own: nobody's member, in sync with nobody.
//!
//! # Not here
//! How an archive travels (`event_loop::backing_up`, `cli::backup`).

mod archive;
mod error;
mod follow;
mod read;
mod restore;

pub use archive::Archive;
pub(in crate::node) use archive::Hold;
pub use error::BackupError;
pub use follow::Follower;
pub use restore::{Input, Restored, Restoring, Upto, open_input, restore, restore_snapshot};

use crate::types::{ClusterId, Epoch, Hash, Micros, NodeId, Position, Version};

const MAGIC: &[u8; 8] = b"RIGBAK1\n";
const FORMAT: u16 = 1;
const INCREMENTAL: u16 = 1;
/// Bytes of the header.
pub(crate) const HEADER: usize = 256;
const CRC_AT: usize = HEADER - 4;
/// Bytes in front of the body of a section.
const HEAD: usize = 24;
/// Bytes of the last section.
const END: usize = HEAD + 32 + 4;
/// The JSON of a node and a service is far below this.
const ABOUT_BYTES_MAX: u64 = 64 << 10;

/// Kinds of sections. Zero is never valid, retired numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
enum Kind {
    About = 1,
    Snapshot = 2,
    Keys = 3,
    Records = 4,
    End = 5,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        [Self::About, Self::Snapshot, Self::Keys, Self::Records, Self::End]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// What an archive says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose records they are.
    pub cluster: ClusterId,
    /// It holds only what came after another one.
    pub incremental: bool,
    /// Version of the snapshot in it; 0 for none.
    pub snapshot: Version,
    /// When it was begun.
    pub time: Micros,
    /// The place behind which its records go.
    pub before: Position,
    /// The place of its last record.
    pub end: Position,
}

impl Header {
    /// Its first version.
    pub fn from(&self) -> Version {
        self.before.version + 1
    }

    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&(if self.incremental { INCREMENTAL } else { 0 }).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.cluster.0);
        for number in [self.from(), self.end.version, self.snapshot, self.time] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for place in [self.before, self.end] {
            bytes.extend_from_slice(&place.epoch.number.to_le_bytes());
            bytes.extend_from_slice(&place.epoch.owner.0);
            bytes.extend_from_slice(&place.epoch.start.to_le_bytes());
            bytes.extend_from_slice(&place.hash.0);
        }
        bytes.resize(CRC_AT, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.try_into().expect("it was filled up to its length")
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, BackupError> {
        if &bytes[..8] != MAGIC {
            return Err(BackupError::NotAnArchive);
        }
        let broken = |what| BackupError::Broken { offset: 0, what };
        if u32_at(bytes, CRC_AT) != crc32c::crc32c(&bytes[..CRC_AT]) {
            return Err(broken("the header does not match its checksum"));
        }
        let (format, flags) = (u16::from_le_bytes([bytes[8], bytes[9]]), u16::from_le_bytes([bytes[10], bytes[11]]));
        if format != FORMAT {
            return Err(BackupError::Format { found: format });
        }
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let (from, last) = (u64_at(bytes, 32), u64_at(bytes, 40));
        let (before, is_spare) = (from.wrapping_sub(1), is_zero(&bytes[12..16]) && is_zero(&bytes[192..CRC_AT]));
        if flags > INCREMENTAL || !is_spare || from == 0 || last < before || last > crate::log::format::VERSION_MAX {
            return Err(broken("the header says what cannot be"));
        }
        Ok(Self {
            cluster: ClusterId(array_at(bytes, 16)),
            incremental: flags == INCREMENTAL,
            snapshot: u64_at(bytes, 48),
            time: u64_at(bytes, 56),
            before: place(bytes, 64, before),
            end: place(bytes, 128, last),
        })
    }
}

fn place(bytes: &[u8; HEADER], at: usize, version: Version) -> Position {
    let (number, start) = (u64_at(bytes, at), u64_at(bytes, at + 24));
    let epoch = Epoch { number, owner: NodeId(array_at(bytes, at + 8)), start };
    Position { epoch, version, hash: Hash(array_at(bytes, at + 32)) }
}

/// What stands in front of a body.
#[derive(Debug, Clone, Copy)]
struct Head {
    kind: Kind,
    length: u64,
    number: u64,
}

impl Head {
    fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[4..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD]) -> Result<Self, &'static str> {
        if u32_at(bytes, 20) != crc32c::crc32c(&bytes[..20]) {
            return Err("the head of a section does not match its checksum");
        }
        let kind = Kind::from_number(u32_at(bytes, 0)).ok_or("a section is of no kind that is known")?;
        Ok(Self { kind, length: u64_at(bytes, 4), number: u64_at(bytes, 12) })
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers hold a whole head")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// Which node an archive is of; more may be said in later versions.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct About {
    rig: String,
    node: String,
    /// The kind of its service, where that is known.
    service: Option<String>,
}
