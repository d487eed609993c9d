//! One record as bytes, and back. The picture is in [`super::format`].
//!
//! # Invariants
//! 1. A length is believed only after the header's checksum.
//! 2. `decode(encode(record)) == record`, and no other bytes decode to it: padding and reserved bytes are checked.
//! 3. Bytes of any content give a record or a [`Fault`], never a panic.
//!
//! # Not here
//! Whether a record continues the one before it (`scan`).

use super::error::Fault;
use super::format::{
    ALIGN, FORMAT, FORMAT_FIRST, HASH_BYTES, HEADER_BYTES, RECORD_BYTES_MIN, Salt, VERSION_MAX, array_at, chain_hash,
    u32_at, u64_at,
};
use crate::limits;
use crate::types::{ClusterId, Epoch, Hash, Kind, Micros, NodeId, Operation, Record, Version};

/// A record in a buffer: whole and checked, nothing copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The format of its bytes.
    pub format: u8,
    /// Its place.
    pub version: Version,
    /// The term in which it was written.
    pub epoch: Epoch,
    /// The primary's clock.
    pub time: Micros,
    /// What the primary may have acknowledged when it wrote this.
    pub commit_upto: Version,
    /// What it is.
    pub kind: Kind,
    /// The client's idempotency key.
    pub key: Option<&'a str>,
    /// Hash of the request that came with the key.
    pub request_hash: Option<Hash>,
    /// Who asked for it.
    pub actor: &'a str,
    /// Method of the operation.
    pub method: &'a str,
    /// Data of the operation.
    pub data: &'a str,
    /// Chain hash, as it stands there.
    pub hash: Hash,
    bytes: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Bytes of the record in the log, the same on every node.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What the chain hash covers besides the hash before it.
    pub fn canonical(&self) -> &'a [u8] {
        &self.bytes[4..self.bytes.len() - HASH_BYTES]
    }

    /// Appends the bytes that nodes send each other.
    pub(crate) fn put_wire(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.bytes);
        seal_header(&mut out[start..], Salt::WIRE);
    }

    /// A copy that lives on its own.
    pub fn to_record(&self) -> Record {
        Record {
            version: self.version,
            epoch: self.epoch,
            time: self.time,
            commit_upto: self.commit_upto,
            kind: self.kind,
            key: self.key.map(Box::from),
            request_hash: self.request_hash,
            actor: self.actor.into(),
            operation: Operation::new(self.method, self.data),
            hash: self.hash,
        }
    }
}

/// A record's header, its checksum and its lengths checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) length: usize,
    pub(crate) format: u8,
    pub(crate) version: Version,
    pub(crate) epoch: Epoch,
    pub(crate) time: Micros,
    pub(crate) commit_upto: Version,
    kind: Kind,
    payload_crc: u32,
    data: usize,
    method: usize,
    actor: usize,
    key: usize,
}

impl Header {
    /// Reads the header at the front of `bytes`.
    pub(crate) fn read(bytes: &[u8], salt: Salt) -> Result<Self, Fault> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Fault::Short { have: bytes.len() as u64, need: HEADER_BYTES as u64 });
        };
        let (found, expected) = (u32_at(bytes, 0), salt.header_crc(bytes));
        if found != expected {
            return Err(Fault::HeaderCrc { found, expected });
        }
        if !is_known(bytes[8]) {
            return Err(Fault::Format(bytes[8].into()));
        }
        let kind = Kind::from_number(bytes[9]).ok_or(Fault::Kind(bytes[9]))?;
        if bytes[10..12] != [0, 0] || bytes[79] != 0 {
            return Err(Fault::Reserved);
        }
        let length = u32_at(bytes, 4);
        let header = Self {
            length: length as usize,
            format: bytes[8],
            version: u64_at(bytes, 16),
            epoch: Epoch { number: u64_at(bytes, 24), owner: NodeId(array_at(bytes, 32)), start: u64_at(bytes, 48) },
            time: u64_at(bytes, 56),
            commit_upto: u64_at(bytes, 64),
            kind,
            payload_crc: u32_at(bytes, 12),
            data: u32_at(bytes, 72) as usize,
            method: bytes[76].into(),
            actor: bytes[77].into(),
            key: bytes[78].into(),
        };
        if !header.lengths_agree() {
            return Err(Fault::Length(length));
        }
        if !(1..=VERSION_MAX).contains(&header.version) {
            return Err(Fault::Version { found: header.version, expected: 1 });
        }
        if header.commit_upto >= header.version {
            return Err(Fault::CommitUpto(header.commit_upto));
        }
        Ok(header)
    }

    /// Reads the header only if it is whole and of a known format; cheap where there is none.
    pub(crate) fn believe(bytes: &[u8], salt: Salt) -> Option<Self> {
        let front = bytes.first_chunk::<HEADER_BYTES>()?;
        // No text has a zero at these places, and no zero filling has a length: the checksum comes last.
        let plausible = front[10..12] == [0, 0] && front[79] == 0 && is_known(front[8]) && u32_at(front, 4) != 0;
        if plausible { Self::read(front, salt).ok() } else { None }
    }

    fn lengths_agree(&self) -> bool {
        let text = self.text_bytes();
        (1..=limits::METHOD_BYTES_MAX).contains(&self.method)
            && self.actor <= limits::ACTOR_BYTES_MAX
            && self.key <= limits::KEY_BYTES_MAX
            && self.data > 0
            && self.length <= limits::RECORD_BYTES_MAX
            && self.length == HEADER_BYTES + text.next_multiple_of(ALIGN) + HASH_BYTES
    }

    fn request_hash_bytes(&self) -> usize {
        if self.key > 0 { HASH_BYTES } else { 0 }
    }

    fn text_bytes(&self) -> usize {
        self.request_hash_bytes() + self.method + self.actor + self.key + self.data
    }

    /// Checks the record that this header begins; `bytes` may end early, or go on behind it.
    pub(crate) fn check<'a>(&self, bytes: &'a [u8]) -> Result<Whole<'a>, Fault> {
        let Some(bytes) = bytes.get(..self.length) else {
            return Err(Fault::Short { have: bytes.len() as u64, need: self.length as u64 });
        };
        let payload = &bytes[HEADER_BYTES..self.length - HASH_BYTES];
        let expected = crc32c::crc32c(payload);
        if self.payload_crc != expected {
            return Err(Fault::PayloadCrc { found: self.payload_crc, expected });
        }
        let (text, padding) = payload.split_at(self.text_bytes());
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Fault::Padding);
        }
        // Checked as a whole, which is faster; a part is text if the whole is, and if it is cut between characters.
        let text = std::str::from_utf8(&text[self.request_hash_bytes()..]).map_err(|_| Fault::Text)?;
        // Without an early end, which lets the compiler look at many bytes at once.
        let has_zero = text.bytes().fold(false, |any, byte| any | (byte == 0));
        let cuts = [self.method, self.method + self.actor, self.method + self.actor + self.key];
        if has_zero || !cuts.iter().all(|&cut| text.is_char_boundary(cut)) {
            return Err(Fault::Text);
        }
        Ok(Whole { bytes, text })
    }

    /// Reads the record that this header begins; `bytes` may end early, or go on behind it.
    pub(crate) fn record<'a>(&self, bytes: &'a [u8]) -> Result<RecordRef<'a>, Fault> {
        let whole = self.check(bytes)?;
        let (method, text) = whole.text.split_at(self.method);
        let (actor, text) = text.split_at(self.actor);
        let (key, data) = text.split_at(self.key);
        let is_keyed = !key.is_empty();
        Ok(RecordRef {
            format: self.format,
            version: self.version,
            epoch: self.epoch,
            time: self.time,
            commit_upto: self.commit_upto,
            kind: self.kind,
            key: is_keyed.then_some(key),
            request_hash: is_keyed.then(|| Hash(array_at(whole.bytes, HEADER_BYTES))),
            actor,
            method,
            data,
            hash: whole.hash(),
            bytes: whole.bytes,
        })
    }
}

fn is_known(format: u8) -> bool {
    (FORMAT_FIRST..=FORMAT).contains(&format)
}

/// A record of which everything but its place in the chain was checked.
pub(crate) struct Whole<'a> {
    bytes: &'a [u8],
    text: &'a str,
}

impl<'a> Whole<'a> {
    pub(crate) fn hash(&self) -> Hash {
        Hash(array_at(self.bytes, self.bytes.len() - HASH_BYTES))
    }

    pub(crate) fn canonical(&self) -> &'a [u8] {
        &self.bytes[4..self.bytes.len() - HASH_BYTES]
    }
}

/// Reads the record at the front of `bytes`, as it stands in the segment of `cluster` that begins with `base`. The
/// chain hash is read, not checked: that needs the record before.
pub fn decode<'a>(bytes: &'a [u8], cluster: &ClusterId, base: Version) -> Result<RecordRef<'a>, Fault> {
    Header::read(bytes, Salt::new(cluster, base))?.record(bytes)
}

/// Bytes that this record takes in the log, the same on every node.
pub fn record_bytes(record: &Record) -> usize {
    let key = record.key.as_ref().map_or(0, |key| key.len() + HASH_BYTES);
    let text = key + record.operation.method.len() + record.actor.len() + record.operation.data.len();
    HEADER_BYTES + text.next_multiple_of(ALIGN) + HASH_BYTES
}

/// Appends a record of this format to `out`, all but the header CRC, which the segment decides; gives its chain hash.
///
/// # Panics
/// If the record breaks a bound or a rule of the format: whoever sequences operations has checked them.
pub(crate) fn encode(record: &Record, format: u8, before: &Hash, out: &mut Vec<u8>) -> Hash {
    let Record { operation, key, actor, .. } = record;
    let key = key.as_deref().unwrap_or("");
    assert!((1..=limits::METHOD_BYTES_MAX).contains(&operation.method.len()), "method length");
    assert!(actor.len() <= limits::ACTOR_BYTES_MAX && key.len() <= limits::KEY_BYTES_MAX, "actor or key length");
    assert!((1..=limits::DATA_BYTES_MAX).contains(&operation.data.len()), "data length");
    assert!(record.key.is_some() == record.request_hash.is_some(), "a request hash comes with a key");
    assert!(record.key.is_some() != key.is_empty(), "a key is not empty");
    assert!(record.commit_upto < record.version, "a record does not know itself committed");
    for part in [&*operation.method, &**actor, key, &*operation.data] {
        assert!(!part.as_bytes().contains(&0), "a text holds no zero byte");
    }
    let length = record_bytes(record);
    assert!((RECORD_BYTES_MIN..=limits::RECORD_BYTES_MAX).contains(&length), "record length");

    let start = out.len();
    out.reserve(length);
    let put = |out: &mut Vec<u8>, bytes: &[u8]| out.extend_from_slice(bytes);
    put(out, &[0; 4]);
    put(out, &(length as u32).to_le_bytes());
    put(out, &[format, record.kind as u8, 0, 0]);
    put(out, &[0; 4]);
    put(out, &record.version.to_le_bytes());
    put(out, &record.epoch.number.to_le_bytes());
    put(out, &record.epoch.owner.0);
    put(out, &record.epoch.start.to_le_bytes());
    put(out, &record.time.to_le_bytes());
    put(out, &record.commit_upto.to_le_bytes());
    put(out, &(operation.data.len() as u32).to_le_bytes());
    put(out, &[operation.method.len() as u8, actor.len() as u8, key.len() as u8, 0]);
    assert_eq!(out.len() - start, HEADER_BYTES);
    put(out, record.request_hash.as_ref().map_or(&[], |hash| &hash.0));
    for part in [&*operation.method, &**actor, key, &*operation.data] {
        put(out, part.as_bytes());
    }
    let end = start + length - HASH_BYTES;
    out.resize(end, 0);
    let crc = crc32c::crc32c(&out[start + HEADER_BYTES..]);
    out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
    let hash = chain_hash(before, &out[start + 4..]);
    put(out, &hash.0);
    hash
}

/// Fills in the header CRC of a record that [`encode`] has made.
pub(crate) fn seal_header(record: &mut [u8], salt: Salt) {
    let crc = salt.header_crc(record);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}
