//! One piece, record by record, from the hash that stands before it.

use super::super::error::Fault;
use super::super::format::{ALIGN, HASH_BYTES, SEGMENT_HEADER_BYTES, chain_hash};
use super::super::scan::{Bad, Checked, SEQUENTIAL, Window, hashes};
use super::plan::{Part, Piece, Plan};
use super::{Anchor, Options};
use crate::types::{Epoch, Hash, Micros, Version};
use std::io;

/// A fault and its place.
pub(crate) struct Fallen {
    pub(crate) offset: u64,
    /// The version that belongs there, if that is known.
    pub(crate) version: Option<Version>,
    pub(crate) what: What,
}

/// What is wrong at a place.
pub(crate) enum What {
    /// Bytes that are not what they should be.
    Fault(Fault),
    /// Versions that no record can be read of, up to this one.
    Unreadable(Version),
    /// Another hash than the one that is known from outside.
    Anchor(Hash),
    /// The clock went back: a note.
    Time,
    /// The system could not read.
    Io(io::Error),
}

/// What came of a piece.
#[derive(Default)]
pub(crate) struct Walked {
    /// The first whole record.
    pub(crate) first: Option<Ends>,
    /// The last one.
    pub(crate) last: Option<Ends>,
    pub(crate) records: u64,
    /// Behind the last whole record.
    pub(crate) end: u64,
    pub(crate) fallen: Vec<Fallen>,
    /// The highest `commit_upto` before the first fault.
    pub(crate) commit_upto: Version,
    /// Whole records before the first fault, and the last of them.
    pub(crate) before_fault: Option<(u64, Option<Ends>)>,
    /// Whether everything up to the end of the piece was understood.
    pub(crate) complete: bool,
}

/// What neighbours compare.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) version: Version,
    pub(crate) epoch: Epoch,
    pub(crate) time: Micros,
    pub(crate) hash: Hash,
}

/// Walks a piece.
pub(crate) fn walk(plan: &Plan, piece: &Piece, options: &Options) -> Walked {
    let part = &plan.parts[piece.part];
    let mut walk = Walk {
        plan,
        part,
        at: piece.start,
        stop: piece.end.unwrap_or(part.len),
        is_last: piece.end.is_none(),
        next: (piece.start == SEGMENT_HEADER_BYTES).then_some(part.base),
        stored: None,
        in_doubt: false,
        computed: None,
        anchors: &options.anchors,
        done: Walked { end: piece.start, ..Walked::default() },
    };
    let mut window = Window::new(part.file.clone(), part.salt, SEQUENTIAL);
    if let Err(error) = walk.run(&mut window, options.fail_fast) {
        walk.fall(walk.at, What::Io(error));
    }
    walk.done
}

struct Walk<'a> {
    plan: &'a Plan,
    part: &'a Part,
    at: u64,
    stop: u64,
    is_last: bool,
    /// The version that must come, if that is known.
    next: Option<Version>,
    /// The hash before, as it stands there.
    stored: Option<Hash>,
    /// Whether `stored` may itself lie in what is broken.
    in_doubt: bool,
    /// The hash before, as computed, where it differs: then one of the two is right.
    computed: Option<Hash>,
    anchors: &'a [Anchor],
    done: Walked,
}

impl Walk<'_> {
    fn run(&mut self, window: &mut Window, fail_fast: bool) -> io::Result<()> {
        self.stored = self.hash_before(window, self.at)?;
        while self.at < self.stop {
            if fail_fast && self.done.before_fault.is_some() {
                return Ok(());
            }
            let read = match window.two(self.at) {
                Ok((first, _)) if first.0.version > self.plan.limit => Ok(false),
                Ok((first, second)) => {
                    self.pass_two(&first, second, fail_fast);
                    Ok(true)
                }
                Err(bad) => Err(bad),
            };
            match read {
                Ok(true) => {}
                Ok(false) => break,
                Err(Bad::Io(error)) => return Err(error),
                Err(Bad::Fault(fault)) => {
                    if self.is_end(window)? || !self.step_over(window, fault)? {
                        break;
                    }
                }
            }
        }
        self.done.complete = self.done.fallen.iter().all(|fallen| matches!(fallen.what, What::Time | What::Anchor(_)));
        Ok(())
    }

    /// A whole record, and the one behind it if that belongs to the piece.
    fn pass_two(&mut self, first: &Checked<'_>, second: Option<Checked<'_>>, fail_fast: bool) {
        let behind = self.at + first.0.length as u64;
        let second = second.filter(|(header, _)| behind < self.stop && header.version <= self.plan.limit);
        let whole = second.as_ref().map(|(_, whole)| whole);
        let [hash, hash_of_second] = hashes(&self.stored.unwrap_or_default(), &first.1, whole);
        self.pass(first, hash);
        if let Some(second) = second.filter(|_| !fail_fast || self.done.before_fault.is_none()) {
            self.pass(&second, hash_of_second);
        }
    }

    /// A whole record: its place in the chain, by the hash that continues the one that stands before it.
    fn pass(&mut self, (record, whole): &Checked<'_>, computed: Hash) {
        let (at, hash) = (self.at, whole.hash());
        if let Some(expected) = self.next.filter(|&next| next != record.version) {
            self.fall(at, What::Fault(Fault::Version { found: record.version, expected }));
        }
        self.next = Some(record.version);
        if let Some(last) = self.done.last {
            if record.epoch < last.epoch {
                self.fall(at, What::Fault(Fault::Epoch));
            }
            if record.time < last.time {
                self.fall(at, What::Time);
            }
        }
        self.chain(hash, computed, whole.canonical());
        self.anchor(record.version, hash);
        let ends = Ends { version: record.version, epoch: record.epoch, time: record.time, hash };
        self.done.first.get_or_insert(ends);
        self.done.last = Some(ends);
        self.done.records += 1;
        if self.done.before_fault.is_none() {
            self.done.commit_upto = self.done.commit_upto.max(record.commit_upto);
        }
        self.at += record.length as u64;
        self.done.end = self.at;
        self.next = Some(record.version + 1);
    }

    fn chain(&mut self, found: Hash, hash: Hash, canonical: &[u8]) {
        if self.stored.replace(found).is_none() {
            return;
        }
        let other = self.computed.take();
        let in_doubt = std::mem::take(&mut self.in_doubt);
        if hash == found || in_doubt {
            return;
        }
        // When the hash before was itself changed, this record continues the computed one: one fault, told once.
        if other.is_some_and(|other| chain_hash(&other, canonical) == found) {
            return;
        }
        self.computed = Some(hash);
        self.fall(self.at, What::Fault(Fault::Chain { found, expected: hash }));
    }

    fn anchor(&mut self, version: Version, hash: Hash) {
        if self.anchors.first().is_some_and(|anchor| anchor.version < version) {
            let skip = self.anchors.partition_point(|anchor| anchor.version < version);
            self.anchors = &self.anchors[skip..];
        }
        while let Some((anchor, rest)) = self.anchors.split_first().filter(|(a, _)| a.version == version) {
            if anchor.hash != hash {
                self.fall(self.at, What::Anchor(anchor.hash));
            }
            self.anchors = rest;
        }
    }

    /// Whether only zeros are left.
    fn is_end(&self, window: &mut Window) -> io::Result<bool> {
        Ok(self.is_last && window.content_end(self.at, self.part.len)? == self.at)
    }

    /// Notes a fault and goes on behind it; false when nothing more can be believed.
    fn step_over(&mut self, window: &mut Window, fault: Fault) -> io::Result<bool> {
        let is_behind = self.part.last.is_some_and(|last| self.next == Some(last + 1));
        if is_behind {
            self.fall(self.at, What::Fault(Fault::NotZero));
            return Ok(false);
        }
        self.fall(self.at, What::Fault(fault));
        let place = match window.header(self.at) {
            Ok(header) if self.at + header.length as u64 <= self.stop => {
                self.in_doubt = false;
                Some(self.at + header.length as u64)
            }
            Ok(_) | Err(Bad::Fault(_)) => {
                self.in_doubt = true;
                let found = window.next_header(self.at + ALIGN as u64, self.stop, true)?;
                found.map(|(place, _)| place)
            }
            Err(Bad::Io(error)) => return Err(error),
        };
        let Some(place) = place.or((!self.is_last).then_some(self.stop)) else { return Ok(false) };
        self.stored = self.hash_before(window, place)?;
        self.computed = None;
        let next = match window.header(place) {
            Ok(header) => Some(header.version),
            Err(Bad::Fault(_)) => None,
            Err(Bad::Io(error)) => return Err(error),
        };
        // One version was told above; that there are more, only the next header shows.
        if let (Some(expected), Some(found)) = (self.next, next)
            && found > expected + 1
        {
            self.fall(self.at, What::Unreadable(found - 1));
        }
        let is_one_on = |expected: Version| next.is_none_or(|found| found > expected);
        self.next = self.next.filter(|&expected| is_one_on(expected)).map(|expected| next.unwrap_or(expected + 1));
        self.at = place;
        Ok(true)
    }

    /// The hash that stands before the record at `at`.
    fn hash_before(&self, window: &mut Window, at: u64) -> io::Result<Option<Hash>> {
        if at <= SEGMENT_HEADER_BYTES {
            return Ok(self.part.before());
        }
        let bytes = window.bytes(at - HASH_BYTES as u64, HASH_BYTES)?;
        Ok(bytes.first_chunk().map(|&hash| Hash(hash)))
    }

    fn fall(&mut self, offset: u64, what: What) {
        if matches!(what, What::Fault(_)) && self.done.before_fault.is_none() {
            self.done.before_fault = Some((self.done.records, self.done.last));
        }
        self.done.fallen.push(Fallen { offset, version: self.next, what });
    }
}
