//! The log as a whole: write, stop in every way there is, open, read.

mod compaction;
mod crash;
mod cut;
mod exchange;
mod properties;
mod reading;
mod restart;

use super::testing::{self, CLUSTER, DIR, Made, config, record};
use super::*;
use crate::types::{Record, Version};
use std::path::Path;

fn versions(records: impl Iterator<Item = Result<Record, LogError>>) -> Vec<Version> {
    records.map(|record| record.unwrap().version).collect()
}

/// First versions of the segments on a disk.
fn bases(vfs: &MemVfs) -> Vec<Version> {
    segment::bases(vfs, &Path::new(DIR).join("log")).unwrap()
}

#[test]
fn what_was_synced_is_read_back_after_a_new_start() {
    let mut made = Made::new(config());
    made.write(10, 7, record);
    let head = made.opened.sealer.position();
    let again = Made::on(made.vfs, config());
    assert_eq!(again.opened.report.head, head);
    assert_eq!(again.opened.report.durable.version(), 70);
    assert_eq!(again.opened.report.committed, 70);
    assert_eq!(again.opened.report.last_time, record(70).time);
    let reader = again.opened.writer.reader();
    for read in reader.records(1, 100) {
        let mut read = read.unwrap();
        read.hash = Default::default();
        assert_eq!(read, record(read.version));
    }
    assert_eq!(versions(reader.records(1, 100)), (1..=70).collect::<Vec<_>>());
    assert_eq!(versions(reader.backwards(60, 5)), (5..=60).rev().collect::<Vec<_>>());
    assert_eq!(reader.hash(70).unwrap(), Some(head.hash));
    assert_eq!(reader.hash(0).unwrap(), Some(genesis(&CLUSTER)));
    assert_eq!(reader.hash(71).unwrap(), None);
}

#[test]
fn a_segment_that_a_start_begins_or_finds_unfilled_is_filled_before_anyone_waits() {
    let bytes = |vfs: &MemVfs| vfs.read(&testing::segment(1)).unwrap().len() as u64;
    let unfilled = Config { zero_fill: false, ..config() };
    let mut made = Made::new(unfilled.clone());
    made.write(3, 4, record);
    let end = bytes(&made.vfs);
    assert!(end < config().segment_bytes);
    let made = Made::on(made.vfs, config());
    assert_eq!(made.opened.report.head.version, 12);
    assert_eq!(bytes(&made.vfs), config().segment_bytes);
    assert_eq!(bytes(&Made::new(config()).vfs), config().segment_bytes);
    assert_eq!(bytes(&Made::new(unfilled).vfs), format::SEGMENT_HEADER_BYTES);
}

#[test]
fn a_log_rolls_over_segments_and_goes_on_after_each_start() {
    let config = Config { segment_bytes: 4096, ..config() };
    let mut made = Made::new(config.clone());
    for round in 0..10 {
        prepare_spare(&made.vfs, Path::new(DIR), &config).unwrap();
        made.write(5, 4, record);
        made = Made::on(made.vfs, config.clone());
        assert_eq!(made.opened.report.head.version, (round + 1) * 20);
    }
    let reader = made.opened.writer.reader();
    assert_eq!(versions(reader.records(1, 1000)), (1..=200).collect::<Vec<_>>());
    assert_eq!(versions(reader.backwards(1000, 1)), (1..=200).rev().collect::<Vec<_>>());
    for version in 1..=200 {
        assert_eq!(reader.record(version).unwrap().unwrap().version, version);
    }
    let mut replay = reader.replay(17, 150);
    let mut next = 17;
    while let Some(record) = replay.next() {
        assert_eq!(record.unwrap().version, next);
        next += 1;
    }
    assert_eq!(next, 151);
    assert!(made.vfs.list(&Path::new(DIR).join("log")).unwrap().len() > 5);
    assert!(made.vfs.read(&testing::segment(1)).unwrap().len() <= 4096);
}

#[test]
fn an_empty_log_is_removed_for_one_of_another_cluster_and_a_crash_leaves_one_that_opens() {
    let other = Config { cluster: crate::types::ClusterId([0xee; 16]), ..config() };
    let (dir, log_dir) = (Path::new(DIR), Path::new(DIR).join("log"));
    for seed in 0..200 {
        let Made { vfs, opened, .. } = Made::new(config());
        prepare_spare(&vfs, dir, &config()).unwrap();
        drop(opened);
        // As far as it gets, if it dies in between; what of that has reached the disk is a matter of luck.
        let whole = vfs.fork();
        vfs.remove(&mark::path_in(dir)).unwrap();
        let names = vfs.list(&log_dir).unwrap();
        let gone = seed as usize % (names.len() + 2);
        if gone > 0 {
            vfs.sync_dir(&dir.join("state")).unwrap();
            names.iter().take(gone - 1).for_each(|name| vfs.remove(&log_dir.join(name)).unwrap());
        }
        vfs.crash(seed);
        assert_eq!(Made::on(vfs, config()).opened.report.head.version, 0, "seed {seed}");

        remove_empty(&whole, dir).unwrap();
        whole.crash(seed);
        assert_eq!(Made::on(whole, other.clone()).opened.report.head.version, 0, "seed {seed}");
    }
}
