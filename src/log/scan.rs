//! Reading records out of a segment: one after the other, or the next one that can be believed.
//!
//! ```text
//!   find(v):  [128 .............. hi)   probe in the middle, go to the next header there, halve; then walk
//!   walk:     header ─length─► header ─length─► header ─► a fault, or the zeros behind the end
//! ```
//!
//! # Not here
//! What a fault means (`recovery` for a start, `verify` for an audit).

use super::error::Fault;
use super::format::{
    ALIGN, HEADER_BYTES, RECORD_BYTES_MIN, SEGMENT_HEADER_BYTES, Salt, ZERO_RUN, chain_hash, chain_hash_two,
    leading_zeros,
};
use super::record::{Header, RecordRef, Whole};
use super::vfs::File;
use crate::types::{Hash, Position, Version};
use std::io;
use std::sync::Arc;

/// Bytes of one read when everything will be read: what fits the second cache with room to spare.
pub(crate) const SEQUENTIAL: usize = 256 << 10;
/// Bytes of one read when looking for one record.
pub(crate) const PROBE: usize = 4 << 10;
/// Bytes of the first read.
const FIRST: usize = 16 << 10;
/// When this little is left, walking costs less than halving again.
const WALK_BELOW: u64 = 16 << 10;

/// Why there is no record.
#[derive(Debug)]
pub(crate) enum Bad {
    Fault(Fault),
    Io(io::Error),
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Self {
        Bad::Fault(fault)
    }
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Bad::Io(error)
    }
}

/// A record's header, and what of it was checked.
pub(crate) type Checked<'a> = (Header, Whole<'a>);

/// A buffer over a part of a segment that moves forward through it.
pub(crate) struct Window {
    file: Arc<dyn File>,
    pub(crate) salt: Salt,
    ahead: usize,
    /// What the next read takes: it grows up to `ahead`, so that a short look costs little.
    step: usize,
    buf: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn File>, salt: Salt, ahead: usize) -> Self {
        Self { file, salt, ahead, step: ahead.min(FIRST), buf: Vec::new(), start: 0, filled: 0 }
    }

    /// Reads this much ahead from now on.
    pub(crate) fn set_ahead(&mut self, ahead: usize) {
        self.ahead = ahead;
        self.step = self.step.min(ahead);
    }

    /// `n` bytes at `at`, and what is known behind them; fewer only where the file ends.
    pub(crate) fn bytes(&mut self, at: u64, n: usize) -> io::Result<&[u8]> {
        let held = self.start..=self.start + self.filled as u64;
        let is_held = held.contains(&at) && held.contains(&at.saturating_add(n as u64));
        if !is_held {
            let wanted = n.max(self.step);
            self.step = (self.step * 4).min(self.ahead);
            if self.buf.len() < wanted {
                self.buf.resize(wanted, 0);
            }
            self.filled = 0;
            self.start = at;
            self.filled = self.file.read_at(&mut self.buf[..wanted], at)?;
        }
        let from = (at - self.start) as usize;
        Ok(&self.buf[from.min(self.filled)..self.filled])
    }

    /// The header at `at`.
    pub(crate) fn header(&mut self, at: u64) -> Result<Header, Bad> {
        let salt = self.salt;
        Ok(Header::read(self.bytes(at, HEADER_BYTES)?, salt)?)
    }

    /// As [`Window::record`], for those who need no part of it; with the record behind it, if that is at hand and
    /// whole.
    pub(crate) fn two(&mut self, at: u64) -> Result<(Checked<'_>, Option<Checked<'_>>), Bad> {
        let header = self.header(at)?;
        let salt = self.salt;
        let bytes = self.bytes(at, header.length)?;
        let first = (header, header.check(bytes)?);
        let behind = &bytes[header.length..];
        let second = Header::read(behind, salt).and_then(|header| Ok((header, header.check(behind)?)));
        Ok((first, second.ok()))
    }

    /// The record at `at`, whole and checked but for its place in the chain.
    pub(crate) fn record(&mut self, at: u64) -> Result<RecordRef<'_>, Bad> {
        let header = self.header(at)?;
        Ok(header.record(self.bytes(at, header.length)?)?)
    }

    /// The first believable header in `from..to`. A long run of zeros counts as the end of the log, unless all of
    /// the range is to be searched.
    pub(crate) fn next_header(&mut self, from: u64, to: u64, thorough: bool) -> io::Result<Option<(u64, Header)>> {
        let salt = self.salt;
        let mut at = from.next_multiple_of(ALIGN as u64);
        while at < to {
            let bytes = self.bytes(at, PROBE)?;
            if bytes.len() < RECORD_BYTES_MIN {
                return Ok(None);
            }
            let mut place = 0;
            while place + HEADER_BYTES <= bytes.len() && at + (place as u64) < to {
                if let Some(header) = Header::believe(&bytes[place..], salt) {
                    return Ok(Some((at + place as u64, header)));
                }
                let zeros = if bytes[place..].starts_with(&[0; ALIGN]) { leading_zeros(&bytes[place..]) } else { 0 };
                if zeros >= ZERO_RUN && !thorough {
                    return Ok(None);
                }
                place += (zeros / ALIGN * ALIGN).max(ALIGN);
            }
            at += place as u64;
        }
        Ok(None)
    }

    /// Where the last byte before `to` that is not zero ends; `from` if there is none.
    pub(crate) fn content_end(&mut self, from: u64, to: u64) -> io::Result<u64> {
        let (mut at, mut end) = (from, from);
        while at < to {
            let bytes = self.bytes(at, 1)?;
            let bytes = &bytes[..bytes.len().min((to - at) as usize)];
            if bytes.is_empty() {
                break;
            }
            if leading_zeros(bytes) < bytes.len() {
                let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
                end = at + (bytes.len() - zeros) as u64;
            }
            at += bytes.len() as u64;
        }
        Ok(end)
    }

    /// Where `version` may begin, at or before it: the last header known to be below it, or its own.
    pub(crate) fn find(&mut self, version: Version, len: u64) -> io::Result<u64> {
        self.set_ahead(PROBE);
        let (mut low, mut high) = (SEGMENT_HEADER_BYTES, len);
        while high.saturating_sub(low) > WALK_BELOW {
            let middle = low + (high - low) / 2;
            match self.next_header(middle, high, false)? {
                Some((at, header)) if header.version == version => return Ok(at),
                Some((at, header)) if header.version < version => low = at,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

/// Whether a whole record continues the log that ends with `last`, and the end that it gives.
pub(crate) fn follow(last: &Position, record: &RecordRef<'_>) -> Result<Position, Fault> {
    let hash = chain_hash(&last.hash, record.canonical());
    let place = Position { epoch: record.epoch, version: record.version, hash: record.hash };
    follow_by(last, place, hash)
}

/// As [`follow`], with the hash that the record at `place` has when it continues `last`.
pub(crate) fn follow_by(last: &Position, place: Position, hash: Hash) -> Result<Position, Fault> {
    let expected = last.version + 1;
    if place.version != expected {
        return Err(Fault::Version { found: place.version, expected });
    }
    if place.epoch < last.epoch {
        return Err(Fault::Epoch);
    }
    if place.hash != hash {
        return Err(Fault::Chain { found: place.hash, expected: hash });
    }
    Ok(place)
}

/// The hashes that a record and the one behind it have when the first continues `before`, and each the other.
pub(crate) fn hashes(before: &Hash, first: &Whole<'_>, second: Option<&Whole<'_>>) -> [Hash; 2] {
    match second {
        Some(second) => chain_hash_two([before, &first.hash()], [first.canonical(), second.canonical()]),
        None => [chain_hash(before, first.canonical()), Hash::default()],
    }
}
