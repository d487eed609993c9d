//! Segments that leave at the front: what stays is whole, the chain goes on, and no crash in between hurts.

use super::super::testing::{DIR, Made, config, record, segment, sized};
use super::super::verify::{Options, Severity};
use super::super::*;
use crate::types::{Epoch, Hash, Position, Version};
use std::path::Path;
use std::sync::Arc;

const RECORDS: u64 = 200;

fn made() -> Made {
    let mut made = Made::new(Config { segment_bytes: 8192, ..config() });
    made.write(RECORDS / 4, 4, |version| sized(version, 1 + version as usize % 90));
    made
}

fn bases(vfs: &MemVfs) -> Vec<Version> {
    super::super::segment::bases(vfs, &Path::new(DIR).join("log")).unwrap()
}

fn reopen(vfs: &MemVfs, config: &Config) -> Opened {
    open(Arc::new(vfs.clone()), Path::new(DIR), config).unwrap()
}

fn compact(made: &mut Made, keep: Version) -> (Version, Compacted) {
    let front = made.opened.writer.compact(keep).unwrap();
    (front.oldest, front.remove(|_| {}).unwrap())
}

/// The codes of what an auditor is told; none of it an error.
fn notes(vfs: &MemVfs) -> Vec<&'static str> {
    let mut codes = Vec::new();
    let summary = verify(vfs, Path::new(DIR), &Options::default(), &|_| {}, &mut |finding| {
        assert_eq!(finding.severity, Severity::Note, "{finding:?}");
        codes.push(finding.code);
    });
    assert_eq!(summary.unwrap().errors, 0);
    codes
}

#[test]
fn a_mark_that_is_damaged_in_one_slot_or_both_hides_no_log_that_was_compacted() {
    let mut made = made();
    let (oldest, _) = compact(&mut made, RECORDS / 2);
    assert!(oldest > 1);
    let Made { opened, vfs, config, .. } = made;
    drop(opened);
    for slots in [&[0][..], &[1], &[0, 1]] {
        let vfs = vfs.fork();
        slots.iter().for_each(|slot| vfs.flip(&super::super::mark::path_in(Path::new(DIR)), slot * 512 * 8).unwrap());
        let again = reopen(&vfs, &config).report;
        assert_eq!((again.oldest, again.head.version, again.broken_marks), (oldest, RECORDS, slots.len()));
    }
}

#[test]
fn what_is_of_a_time_or_older_ends_where_a_segment_begins() {
    let mut made = made();
    let reader = made.opened.writer.reader();
    let time_of = |version| record(version).time;
    for first in [1, 60] {
        let (first, _) = if first > 1 { compact(&mut made, first) } else { (1, Compacted::default()) };
        let bases = reader.segments();
        assert!(bases.len() > 3 && bases[0] == first, "{bases:?}");
        for version in first..=RECORDS {
            let begins = *bases.iter().rfind(|base| **base <= version).unwrap();
            assert_eq!(reader.begins_after(time_of(version)).unwrap(), begins, "up to {version} of {bases:?}");
        }
        assert_eq!(reader.begins_after(time_of(first) - 1).unwrap(), first, "nothing is so old");
    }
}

#[test]
fn only_whole_segments_before_the_asked_version_go_and_the_rest_reads_as_before() {
    let origin = made();
    let all: Vec<_> = origin.opened.writer.reader().records(1, RECORDS).map(Result::unwrap).collect();
    let bases_before = bases(&origin.vfs);
    assert!(bases_before.len() > 3, "there is something to compact: {bases_before:?}");
    drop(origin.opened);
    for keep in (1..=RECORDS + 10).step_by(7) {
        let mut made = Made::on(origin.vfs.fork(), origin.config.clone());
        let reader = made.opened.writer.reader();
        let before = reader.records(1, 5).next().unwrap().unwrap();
        let would = reader.would_compact(&made.vfs, keep).unwrap();
        let (oldest, done) = compact(&mut made, keep);
        assert_eq!(would, (oldest, done));
        let stays: Vec<_> = bases(&made.vfs);
        assert!(oldest <= keep, "keep {keep}: {done:?}");
        assert!(stays.get(1).is_none_or(|&next| next > keep), "keep {keep}: one more could go, {stays:?}");
        assert_eq!((stays[0], stays.len() + done.segments), (oldest, bases_before.len()));
        assert_eq!(done.bytes > 0, done.segments > 0);
        assert_eq!(reader.oldest(), oldest);
        for version in 1..=RECORDS {
            match reader.record(version) {
                Ok(record) => assert_eq!(record.as_ref(), Some(&all[version as usize - 1])),
                Err(LogError::Compacted { wanted, oldest: told }) => {
                    assert!((wanted, told) == (version, oldest) && version < oldest);
                }
                Err(error) => panic!("keep {keep}, version {version}: {error}"),
            }
        }
        assert_eq!(before.version, 1);
        if oldest > 1 {
            assert_eq!(reader.hash(oldest - 1).unwrap(), Some(all[oldest as usize - 2].hash));
        }
        assert_eq!(compact(&mut made, keep).1.segments, 0, "the second time nothing goes");
        made.write(2, 4, |version| sized(version, 50));
        assert_eq!(notes(&made.vfs), Vec::<&str>::new());
        drop(made.opened);
        let again = reopen(&made.vfs, &made.config);
        assert_eq!((again.report.oldest, again.report.head.version), (oldest, RECORDS + 8));
    }
}

#[test]
fn another_process_that_reads_is_told_what_is_gone() {
    let mut made = made();
    let reader = Reader::open(Arc::new(made.vfs.clone()), Path::new(DIR), Held::ByNode).unwrap();
    let mut under_way = reader.records(1, RECORDS);
    assert_eq!(under_way.next().unwrap().unwrap().version, 1);
    let (oldest, _) = compact(&mut made, 150);
    assert!(matches!(reader.record(1), Err(LogError::Compacted { wanted: 1, oldest: told }) if told == oldest));
    assert_eq!(reader.record(oldest).unwrap().unwrap().version, oldest);
    // What is open is read to its end; then it is told.
    let end = under_way.find_map(Result::err).expect("the next segment is gone");
    assert!(matches!(end, LogError::Compacted { .. }), "{end}");
}

#[test]
fn no_crash_in_a_compaction_loses_or_brings_back_anything() {
    let (mut cut_short, mut seeds) = (0, 0..2_000);
    assert!(seeds.all(|seed| {
        let mut made = made();
        let count = bases(&made.vfs).len();
        // Some die while they remove, and some removals are lost, in any order.
        if seed % 2 == 0 {
            compact(&mut made, 150);
        } else {
            let front = made.opened.writer.compact(150).unwrap();
            let going: Vec<_> = bases(&made.vfs).into_iter().filter(|&base| base < front.oldest).collect();
            going.iter().skip(seed as usize % going.len()).for_each(|&base| made.vfs.remove(&segment(base)).unwrap());
        }
        made.vfs.crash(seed);
        cut_short += usize::from(bases(&made.vfs).len() < count && !notes(&made.vfs).is_empty());
        drop(made.opened);
        let again = reopen(&made.vfs, &made.config);
        assert_eq!(again.report.head.version, RECORDS);
        assert_eq!(bases(&made.vfs)[0], again.report.oldest);
        assert_eq!(notes(&made.vfs), Vec::<&str>::new(), "what was left is removed");
        let read = again.writer.reader().records(again.report.oldest, RECORDS).map(Result::unwrap).count() as u64;
        read == RECORDS + 1 - again.report.oldest
    }));
    assert!(cut_short > 100, "{cut_short} crashes left something");
}

/// A mark that only the cache has is no reason to remove anything: after a failed sync the disk may have the one before.
#[test]
fn a_start_behind_a_failed_sync_removes_nothing_on_the_word_of_a_cache() {
    let (origin, mut failed) = (made(), [0, 0]);
    drop(origin.opened);
    for seed in 0..400 {
        let mut made = Made::on(origin.vfs.fork(), origin.config.clone());
        made.vfs.fail_sync_after(seed % 2);
        failed[0] += usize::from(made.opened.writer.compact(150).is_err());
        drop(made.opened);
        // The process has ended, the machine has not; the next start may meet a failed sync too.
        made.vfs.fail_sync_after(seed / 2 % 6);
        let opened = open(Arc::new(made.vfs.clone()), Path::new(DIR), &made.config);
        made.vfs.fail_sync_after(u64::MAX);
        match opened {
            Ok(Opened { mut writer, .. }) => (0..seed % 3).for_each(|_| writer.mark(RECORDS).unwrap()),
            Err(_) => failed[1] += 1,
        }
        made.vfs.crash_torn(seed);
        let again = open(Arc::new(made.vfs.clone()), Path::new(DIR), &made.config);
        assert_eq!(again.map(|opened| opened.report.head.version).ok(), Some(RECORDS), "seed {seed}");
    }
    assert!(failed.iter().all(|times| *times > 50), "{failed:?} failed");
}

#[test]
fn a_log_may_begin_anywhere_and_goes_on_from_there() {
    let (vfs, dir) = (Arc::new(MemVfs::new()), Path::new(DIR));
    let before = Position { epoch: Epoch::default(), version: 41, hash: Hash([7; 32]) };
    vfs.create_dir_all(&dir.join("state")).unwrap();
    begin_behind(&*vfs, dir, &config(), &before).unwrap();
    let opened = open(vfs.clone(), dir, &config()).unwrap();
    assert_eq!((opened.report.head.version, opened.report.oldest, opened.report.committed), (41, 42, 41));
    let (mut writer, mut sealer, mut batch) = (opened.writer, opened.sealer, Batch::new());
    (42..50).for_each(|version| sealer.seal(&mut record(version), &mut batch));
    writer.append(&mut batch).unwrap();
    writer.close(49).unwrap();
    let reader = Reader::open(vfs, dir, Held::ByNobody).unwrap();
    assert_eq!((reader.hash(41).unwrap(), reader.durable(), reader.oldest()), (Some(Hash([7; 32])), 49, 42));
    assert_eq!(reader.records(42, 49).filter(Result::is_ok).count(), 8);
}
