//! The log read again in the background, so that a byte that rots is known while another node still has it.
//!
//! ```text
//!   segment 1 ─► rest ─► segment 2 ─► rest ─► … ─► newest, up to what is durable ─► until the interval is over ─► segment 1
//! ```
//!
//! Each segment is read from the disk, past what the system has cached of it, with the audit of `rig log verify`,
//! beginning with the last record of the segment before it, so that the two meet. It is read in pieces with a rest behind
//! each, on a thread that steps back behind all others.
//!
//! # Invariants
//! 1. Nothing is changed by it, and the node goes on serving whatever it finds: the state in memory came from the log
//!    when that was whole. An operator decides.
//! 2. What was read while the log was cut back or lost a segment says nothing, and is read again.
//! 3. A finding stays until its segment was read again and is whole, or is gone; also over a restart, behind which its
//!    segment is read first, and told again if it is damaged still.
//!
//! # Not here
//! When it may run and what is told about it (`event_loop::scrubbing`).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::background::Hurry;
use super::damage::{self, Damage};
use crate::log::format::segment_name;
use crate::log::verify::{Finding, Options, Severity, verify};
use crate::log::{DiskVfs, Held, LogError, Reader};
use crate::types::{Micros, Version, format_time};

/// After a start others have more need of the disk.
const FIRST: Duration = Duration::from_secs(10);
/// Between two segments at most.
const REST_MAX: Duration = Duration::from_secs(60);
/// More than a terabyte in a day, and a small part of what a disk does.
const BYTES_IN_A_SECOND: u64 = 16 << 20;

/// One segment that was read.
#[derive(Debug)]
pub(super) struct Read {
    base: Version,
    /// The last version of it, as far as it was read.
    last: Version,
    is_newest: bool,
    /// All segments of the log when it had been read.
    segments: Vec<Version>,
    damage: Option<Damage>,
}

/// How far the scrub is, and what it has found.
#[derive(Debug)]
pub(super) struct Scrub {
    interval: Duration,
    /// Somebody waits for the thread.
    pub(super) hurry: Hurry,
    running: bool,
    /// When the next segment is due.
    at: Instant,
    /// When this pass began; nothing between two of them.
    begun: Option<Instant>,
    /// The last version that this pass has read.
    position: Version,
    /// Whether all of this pass could be read.
    is_whole: bool,
    last_pass: Option<Micros>,
    last_success: Option<Micros>,
    /// By the first version of its segment.
    found: BTreeMap<Version, Damage>,
    /// Segments that were damaged before this start, and were not read since.
    again: Vec<Version>,
}

impl Scrub {
    /// With what was found before this start.
    pub(super) fn new(interval: Duration, kept: Vec<Damage>, now: Instant) -> Self {
        let first = if kept.is_empty() { FIRST } else { Duration::ZERO };
        Self {
            interval,
            hurry: Hurry::default(),
            running: false,
            at: now + first.min(interval),
            begun: None,
            position: 0,
            is_whole: true,
            last_pass: None,
            last_success: None,
            again: kept.iter().map(|damage| damage.base).collect(),
            found: kept.into_iter().map(|damage| (damage.base, damage)).collect(),
        }
    }

    /// Whether a segment is to be read now; then behind which version.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Version> {
        if self.running || now < self.at {
            return None;
        }
        if let Some(base) = self.again.last() {
            self.running = true;
            return Some(base.saturating_sub(1));
        }
        if self.begun.is_none() {
            (self.begun, self.position, self.is_whole) = (Some(now), 0, true);
        }
        self.running = true;
        Some(self.position)
    }

    /// A segment was read: what it has that was not known yet.
    pub(super) fn end(&mut self, read: Result<Option<Read>, LogError>, now: Instant, time: Micros) -> Option<Damage> {
        self.running = false;
        self.at = now + REST_MAX.min(self.interval);
        let read = match read {
            Ok(Some(read)) => read,
            // It was not the same log at its end.
            Ok(None) => return None,
            Err(error) => {
                log::warn!("scrub the log: {error}; it is read again later");
                self.is_whole = false;
                return None;
            }
        };
        let known = self.found.get(&read.base).cloned();
        update(&mut self.found, &read);
        if self.again.pop().is_some() {
            self.at = now + if self.again.is_empty() { FIRST.min(self.interval) } else { Duration::ZERO };
            return read.damage;
        }
        let count = u32::try_from(read.segments.len().max(1)).unwrap_or(u32::MAX);
        self.at = now + REST_MAX.min(self.interval / count);
        self.position = read.last;
        if read.is_newest {
            let begun = self.begun.take().expect("what ends has begun");
            self.at = self.at.max(begun + self.interval);
            self.last_pass = Some(time);
            if self.is_whole && self.found.is_empty() {
                self.last_success = Some(time);
            }
        }
        read.damage.filter(|damage| known.as_ref() != Some(damage))
    }

    /// What there is to be kept once a segment was read.
    pub(super) fn found(&self) -> BTreeMap<Version, Damage> {
        self.found.clone()
    }

    /// Errors in the log as it was read last.
    pub(super) fn errors(&self) -> u64 {
        self.found.values().map(|damage| damage.errors).sum()
    }

    /// When the log was last read from its beginning to its end without an error.
    pub(super) fn last_success(&self) -> Option<Micros> {
        self.last_success
    }

    /// As a member of the status.
    pub(super) fn status(&self) -> Value {
        json!({
            "last_pass": self.last_pass.map(format_time),
            "position": self.position,
            "errors": self.errors(),
            "first": self.found.values().next().map(facts),
        })
    }
}

/// A finding as programs see it.
pub(super) fn facts(finding: &Damage) -> Map<String, Value> {
    let facts = [
        ("code", finding.code.clone().into()),
        ("version", finding.version.into()),
        ("segment", finding.segment.clone().into()),
        ("offset", finding.offset.into()),
        ("message", finding.message.clone().into()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is known once this was read.
fn update(found: &mut BTreeMap<Version, Damage>, read: &Read) {
    found.retain(|base, _| read.segments.contains(base) && *base != read.base);
    found.extend(read.damage.iter().map(|damage| (damage.base, damage.clone())));
}

/// Keeps what is known once this was read.
pub(super) fn keep(state_dir: &Path, mut found: BTreeMap<Version, Damage>, read: &Read) -> io::Result<()> {
    update(&mut found, read);
    damage::keep(state_dir, found.values())
}

/// Reads the segment that goes on behind `after`, the first one if that is gone. Nothing, when the log was cut back or
/// the segment was dropped meanwhile.
pub(super) fn read(dir: &Path, reader: &Reader, after: Version, hurry: &Hurry) -> Result<Option<Read>, LogError> {
    let since = Cell::new((0, Instant::now()));
    read_beside(dir, reader, after, &|done| {
        let (before, begin) = since.get();
        hurry.rest_at(BYTES_IN_A_SECOND, done - before, begin.elapsed());
        since.set((done, Instant::now()));
    })
}

/// The same with what is to be done behind each piece.
fn read_beside(dir: &Path, reader: &Reader, after: Version, between: &dyn Fn(u64)) -> Result<Option<Read>, LogError> {
    let (cuts, segments) = (reader.cuts(), reader.segments());
    let place = segments.partition_point(|base| *base <= after + 1).saturating_sub(1);
    let Some(base) = segments.get(place).copied() else { return Ok(None) };
    let next = segments.get(place + 1).copied();
    let name = segment_name(base);
    forget_cached(&dir.join("log").join(&name));
    let options = Options {
        from: if place == 0 { base } else { base - 1 },
        to: next.map_or(Version::MAX, |next| next - 1),
        threads: 1,
        beside: true,
        held: Held::ByNode,
        ..Options::default()
    };
    let (mut errors, mut first) = (0, None);
    let mut take = |finding: Finding| {
        // What the segment before it has was told with that.
        let is_here = finding.segment.as_ref().is_none_or(|segment| *segment == name);
        if finding.severity == Severity::Error && is_here {
            errors += 1;
            first.get_or_insert(finding);
        }
    };
    let summary = verify(&DiskVfs, dir, &options, between, &mut take);
    let segments = reader.segments();
    if reader.cuts() != cuts || !segments.contains(&base) {
        return Ok(None);
    }
    let last = next.map_or(summary?.head.0.max(base - 1), |next| next - 1);
    let damage = first.map(|Finding { code, version, segment, offset, message, .. }| Damage {
        base,
        errors,
        code: code.to_owned(),
        version,
        segment,
        offset,
        message,
    });
    Ok(Some(Read { base, last, is_newest: next.is_none(), segments, damage }))
}

/// What is read next comes from the disk, and not from memory that is whole while the disk is not.
fn forget_cached(path: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = std::fs::File::open(path)
        && let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
    {
        log::debug!("forget what is cached of {}: {error}", path.display());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{config, sized};
    use crate::log::{self, Batch, Opened};
    use std::cell::RefCell;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;
    use std::sync::Arc;

    /// An open log of 200 records in several segments, whose times are so much later.
    fn made(dir: &Path, later: u64) -> Opened {
        let config = log::Config { segment_bytes: 8192, ..config() };
        let mut opened = log::open(Arc::new(DiskVfs), dir, &config).unwrap();
        for batch in 0..50 {
            let mut records = Batch::new();
            for version in batch * 4 + 1..=batch * 4 + 4 {
                let mut record = sized(version, 20);
                record.time += later;
                opened.sealer.seal(&mut record, &mut records);
            }
            opened.writer.append(&mut records).unwrap();
            let durable = opened.writer.sync().unwrap();
            opened.writer.mark(durable.version()).unwrap();
        }
        opened
    }

    fn flip(path: &PathBuf, at: u64) {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }

    /// One pass: what was told, and how many segments were read.
    fn pass(scrub: &mut Scrub, dir: &Path, reader: &Reader, now: &mut Instant) -> (Vec<Damage>, usize) {
        let (mut told, mut count) = (Vec::new(), 0);
        loop {
            let Some(after) = scrub.begin(*now) else {
                *now += Duration::from_millis(1);
                continue;
            };
            assert_eq!(scrub.begin(*now), None, "one segment at a time");
            count += 1;
            told.extend(scrub.end(read(dir, reader, after, &scrub.hurry), *now, 7_000_000));
            if scrub.begun.is_none() {
                return (told, count);
            }
        }
    }

    #[test]
    fn a_pass_reads_every_segment_and_tells_of_damage_once_until_it_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let opened = made(temp.path(), 0);
        let (reader, mut now) = (opened.writer.reader(), Instant::now());
        let mut scrub = Scrub::new(Duration::from_millis(50), vec![], now);
        let segments = reader.segments();
        assert!(segments.len() >= 4, "{segments:?}");

        assert_eq!(pass(&mut scrub, temp.path(), &reader, &mut now), (vec![], segments.len()));
        assert_eq!((scrub.errors(), scrub.position, scrub.last_success), (0, 200, Some(7_000_000)));

        let path = temp.path().join("log").join(segment_name(segments[1]));
        flip(&path, 4000);
        scrub.last_success = None;
        let (told, _) = pass(&mut scrub, temp.path(), &reader, &mut now);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].segment, Some(segment_name(segments[1])));
        let version = told[0].version.unwrap();
        assert!((segments[1]..segments[2]).contains(&version), "{version}");
        assert_eq!(scrub.status()["first"]["version"], version);
        assert_eq!(pass(&mut scrub, temp.path(), &reader, &mut now).0, [], "told before");
        assert!(scrub.errors() > 0 && scrub.last_success.is_none() && scrub.last_pass.is_some());

        flip(&path, 4000);
        assert_eq!(pass(&mut scrub, temp.path(), &reader, &mut now).0, []);
        assert_eq!((scrub.errors(), scrub.last_success), (0, Some(7_000_000)));
    }

    #[test]
    fn what_was_found_before_a_start_is_read_first_and_kept_until_it_is_whole_or_gone() {
        let temp = tempfile::tempdir().unwrap();
        let opened = made(temp.path(), 0);
        let (reader, now) = (opened.writer.reader(), Instant::now());
        let segments = reader.segments();
        let path = temp.path().join("log").join(segment_name(segments[2]));
        flip(&path, 4000);
        let found = read(temp.path(), &reader, segments[2] - 1, &Hurry::default()).unwrap().unwrap();
        keep(temp.path(), BTreeMap::new(), &found).unwrap();
        let gone = Damage { base: 900, ..found.damage.clone().unwrap() };
        for (mended, wanted) in [(false, vec![segments[2]]), (true, vec![])] {
            if mended {
                flip(&path, 4000);
            }
            let kept = [damage::kept(temp.path()).unwrap().0, vec![gone.clone()]].concat();
            let mut scrub = Scrub::new(Duration::from_secs(600), kept, now);
            assert!(scrub.errors() > 0 && scrub.last_pass.is_none());
            let mut told = Vec::new();
            for _ in 0..2 {
                let read = read(temp.path(), &reader, scrub.begin(now).unwrap(), &scrub.hurry).unwrap().unwrap();
                keep(temp.path(), scrub.found(), &read).unwrap();
                told.extend(scrub.end(Ok(Some(read)), now, 1));
            }
            assert_eq!(told.iter().map(|damage| damage.base).collect::<Vec<_>>(), wanted);
            assert_eq!(scrub.errors() > 0, !mended);
            assert_eq!(damage::kept(temp.path()).unwrap().0, told);
            assert_eq!((scrub.begin(now), scrub.begin(now + FIRST)), (None, Some(0)), "then a pass begins, as ever");
        }
    }

    #[test]
    fn segments_that_do_not_meet_are_damage_though_each_is_whole() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let opened = made(one.path(), 0);
        // Other records in the same places: whole in themselves, and of the same cluster.
        made(other.path(), 1);
        let reader = opened.writer.reader();
        let base = reader.segments()[2];
        let path = |dir: &Path| dir.join("log").join(segment_name(base));
        std::fs::copy(path(other.path()), path(one.path())).unwrap();
        let found = read(one.path(), &reader, base - 1, &Hurry::default()).unwrap().unwrap();
        assert_eq!((found.base, found.damage.map(|damage| damage.code)), (base, Some("chain".to_owned())));
    }

    #[test]
    fn what_was_cut_back_meanwhile_says_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let mut opened = made(temp.path(), 0);
        let reader = opened.writer.reader();
        let second = reader.segments()[1];
        assert!(read_beside(temp.path(), &reader, second - 1, &|_| ()).unwrap().is_some());
        let end = reader.position(second + 1).unwrap().unwrap();
        let opened = RefCell::new(Some(&mut opened));
        let cut = |_| opened.take().into_iter().for_each(|opened| _ = opened.writer.cut(end, "test").unwrap());
        assert!(read_beside(temp.path(), &reader, second - 1, &cut).unwrap().is_none());
        let again = read_beside(temp.path(), &reader, second - 1, &|_| ()).unwrap().unwrap();
        assert_eq!((again.last, again.is_newest, again.damage), (second + 1, true, None));
        let mut scrub = Scrub::new(Duration::from_secs(600), vec![], Instant::now());
        let now = Instant::now() + FIRST * 2;
        assert_eq!(scrub.begin(now), Some(0));
        assert_eq!(scrub.end(Ok(None), now, 1), None);
        assert_eq!((scrub.position, scrub.begin(now)), (0, None), "it is read again, later");
        assert_eq!(scrub.begin(now + REST_MAX), Some(0));
    }

    #[test]
    fn a_pass_takes_its_interval_and_rests_a_minute_at_most() {
        let begin = Instant::now();
        let mut scrub = Scrub::new(Duration::from_secs(43_200), vec![], begin);
        assert_eq!(scrub.begin(begin), None);
        let mut now = begin + FIRST;
        let (mut before, mut rests) = (now, Vec::new());
        for number in 0..2000 {
            assert!(scrub.begin(now).is_some());
            let segments = (0..1000).collect();
            let newest = number % 1000 == 999;
            let read = Read { base: number % 1000, last: number % 1000, is_newest: newest, segments, damage: None };
            scrub.end(Ok(Some(read)), now, 1);
            rests.push(scrub.at - before);
            (before, now) = (scrub.at, scrub.at);
        }
        assert!(rests.iter().all(|rest| *rest <= REST_MAX), "{:?}", rests.iter().max());
        assert_eq!(now, begin + FIRST + Duration::from_secs(86_400));
    }
}
