//! The newest segment read in stretches, on all cores, with the outcome of one walk from its beginning.
//!
//! ```text
//!   header ─► stretch ─────► stretch ─────► stretch ──► the first fault
//!             each from the hash that stands before it; joined in order where version, hash and place meet
//! ```
//!
//! # Invariants
//! 1. What is found is what a walk from the first record finds: stretches that do not meet are walked again, in order.
//! 2. A guess where a stretch begins may be wrong; that costs time and nothing else.
//!
//! # Not here
//! What the first fault means (`recovery`). An audit goes on behind a fault (`verify`); a start does not.

use super::error::Fault;
use super::format::{FORMAT_FIRST, HASH_BYTES, SEGMENT_HEADER_BYTES, Salt, SegmentHeader, array_at};
use super::scan::{Bad, Checked, PROBE, SEQUENTIAL, Window, follow_by, hashes};
use super::vfs::File;
use crate::types::{Epoch, Hash, Micros, Position, Version};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a stretch, about: a start waits for the slowest thread by one of these at most.
const STRETCH: u64 = 1 << 20;

/// Records that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Behind the last record that verifies.
    pub(crate) end: u64,
    pub(crate) head: Position,
    pub(crate) last_time: Micros,
    /// The highest `commit_upto`.
    pub(crate) commit_upto: Version,
    /// The newest format.
    pub(crate) format: u8,
    /// Behind the last record that the mark knows, if there is one.
    pub(crate) marked_end: Option<u64>,
    /// The epoch of the first record.
    first: Option<Epoch>,
    /// Why there is no record at `end`; `None` where the stretch was to end there.
    fault: Option<Fault>,
}

/// What a stretch was walked from, and what came of it.
type Walked = io::Result<(Position, Stretch)>;

/// A segment that is to be read.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a Arc<dyn File>,
    pub(crate) salt: Salt,
    pub(crate) header: &'a SegmentHeader,
    pub(crate) len: u64,
    /// The last version that the mark knows.
    pub(crate) marked: Version,
}

impl Source<'_> {
    /// Everything up to the first fault, and the fault.
    pub(crate) fn read(&self) -> io::Result<(Stretch, Fault)> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.read_in(if threads > 1 { STRETCH } else { u64::MAX }, threads)
    }

    /// As [`Source::read`], in stretches of about so many bytes.
    pub(crate) fn read_in(&self, stretch: u64, threads: usize) -> io::Result<(Stretch, Fault)> {
        let starts = self.starts(stretch)?;
        let done: Vec<Mutex<Option<Walked>>> = starts.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut window = self.window();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(&start) = starts.get(place) else { break };
                let stop = starts.get(place + 1).copied().unwrap_or(u64::MAX);
                let walked = self.before(&mut window, start).and_then(|before| {
                    let walked = self.walk(&mut window, start, before, stop)?;
                    Ok((before, walked))
                });
                *done[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(walked);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(starts.len()) {
                // Without more threads this one does it all.
                if std::thread::Builder::new().name("rig-start".into()).spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        let done = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        self.join(&starts, done.map(|walked| walked.expect("every stretch was taken by a thread")))
    }

    fn join(&self, starts: &[u64], walked: impl Iterator<Item = Walked>) -> io::Result<(Stretch, Fault)> {
        let mut all = self.nothing();
        for (&start, next) in starts.iter().zip(walked) {
            if all.fault.is_some() {
                break;
            }
            let (before, next) = next?;
            let meets = start == all.end && (before.version, before.hash) == (all.head.version, all.head.hash);
            // A stretch that fails at its first record did not know the epoch before it: that is walked again.
            let knows = next.first.map_or(start == SEGMENT_HEADER_BYTES, |first| first >= all.head.epoch);
            if meets && knows {
                all.append(next);
            } else {
                break;
            }
        }
        if all.fault.is_none() {
            all.append(self.walk(&mut self.window(), all.end, all.head, u64::MAX)?);
        }
        let fault = all.fault.take().expect("a walk without an end ends with a fault");
        Ok((all, fault))
    }

    fn window(&self) -> Window {
        Window::new(self.file.clone(), self.salt, SEQUENTIAL)
    }

    /// The segment before its first record.
    fn nothing(&self) -> Stretch {
        let head = Position { epoch: Epoch::default(), version: self.header.base - 1, hash: self.header.before };
        Stretch::from(SEGMENT_HEADER_BYTES, head)
    }

    /// Where stretches begin: at records, as far as they can be told without reading everything.
    fn starts(&self, stretch: u64) -> io::Result<Vec<u64>> {
        let mut window = Window::new(self.file.clone(), self.salt, PROBE);
        let mut starts = vec![SEGMENT_HEADER_BYTES];
        let mut at = SEGMENT_HEADER_BYTES;
        loop {
            at = at.saturating_add(stretch);
            let next = if at < self.len { window.next_header(at, self.len, false)? } else { None };
            let Some((start, _)) = next else { return Ok(starts) };
            starts.push(start);
            at = start;
        }
    }

    /// What the record at `start` says that it continues. Its epoch is not known there.
    fn before(&self, window: &mut Window, start: u64) -> io::Result<Position> {
        let unknown = Position::default();
        if start == SEGMENT_HEADER_BYTES {
            return Ok(self.nothing().head);
        }
        let hash = match window.bytes(start - HASH_BYTES as u64, HASH_BYTES)? {
            bytes if bytes.len() >= HASH_BYTES => Hash(array_at(bytes, 0)),
            _ => return Ok(unknown),
        };
        match window.header(start) {
            Ok(header) => Ok(Position { version: header.version - 1, hash, ..unknown }),
            Err(Bad::Fault(_)) => Ok(unknown),
            Err(Bad::Io(error)) => Err(error),
        }
    }

    /// Records from `start` on that continue `last`, up to a record's end at or behind `stop`.
    fn walk(&self, window: &mut Window, start: u64, last: Position, stop: u64) -> io::Result<Stretch> {
        let mut walked = Stretch::from(start, last);
        while walked.end < stop && walked.fault.is_none() {
            let (first, second) = match window.two(walked.end) {
                Ok(two) => two,
                Err(Bad::Fault(fault)) => {
                    walked.fault = Some(fault);
                    break;
                }
                Err(Bad::Io(error)) => return Err(error),
            };
            let second = second.filter(|_| walked.end + (first.0.length as u64) < stop);
            let whole = second.as_ref().map(|(_, whole)| whole);
            let [hash, hash_of_second] = hashes(&walked.head.hash, &first.1, whole);
            walked.pass(&first, hash, self.marked);
            if let Some(second) = second.filter(|_| walked.fault.is_none()) {
                walked.pass(&second, hash_of_second, self.marked);
            }
        }
        Ok(walked)
    }
}

impl Stretch {
    /// No record yet, at this place.
    fn from(end: u64, head: Position) -> Self {
        Self {
            end,
            head,
            last_time: 0,
            commit_upto: 0,
            format: FORMAT_FIRST,
            marked_end: None,
            first: None,
            fault: None,
        }
    }

    /// One more record, if it continues those that are here: then it has this hash.
    fn pass(&mut self, (header, whole): &Checked<'_>, hash: Hash, marked: Version) {
        let place = Position { epoch: header.epoch, version: header.version, hash: whole.hash() };
        self.head = match follow_by(&self.head, place, hash) {
            Ok(head) => head,
            Err(fault) => {
                self.fault = Some(fault);
                return;
            }
        };
        self.first.get_or_insert(header.epoch);
        self.end += header.length as u64;
        self.last_time = header.time;
        self.commit_upto = self.commit_upto.max(header.commit_upto);
        self.format = self.format.max(header.format);
        if header.version <= marked {
            self.marked_end = Some(self.end);
        }
    }

    /// The records that follow.
    fn append(&mut self, next: Self) {
        if next.first.is_some() {
            (self.end, self.head, self.last_time) = (next.end, next.head, next.last_time);
        }
        self.first = self.first.or(next.first);
        self.commit_upto = self.commit_upto.max(next.commit_upto);
        self.format = self.format.max(next.format);
        self.marked_end = next.marked_end.or(self.marked_end);
        self.fault = next.fault;
    }
}
