//! Readers: beside a writer, from outside, and what a changed record gives them.

use super::super::testing::{DIR, Made, config, record, segment, sized};
use super::super::*;
use super::versions;
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_reader_beside_the_writer_sees_what_is_durable_and_no_more() {
    let small = Config { segment_bytes: 4096, ..config() };
    let mut made = Made::new(small);
    let reader = made.opened.writer.reader();
    let follower = Reader::open(Arc::new(made.vfs.clone()), Path::new(DIR), Held::ByNode).unwrap();
    for round in 0..40_u64 {
        made.append(3, record);
        assert_eq!(reader.durable(), round * 3);
        assert_eq!(versions(reader.records(1, 1000)).len() as u64, round * 3);
        assert_eq!(reader.record(round * 3 + 1).unwrap(), None);
        made.sync();
        assert_eq!(versions(reader.records(1, 1000)).len() as u64, round * 3 + 3);
        assert_eq!(follower.durable(), round * 3, "the mark is not written yet");
        made.opened.writer.mark(round * 3 + 2).unwrap();
        assert_eq!((follower.durable(), follower.committed()), (round * 3 + 3, round * 3 + 2));
        assert_eq!(versions(follower.records(1, 1000)).len() as u64, round * 3 + 3);
    }
    assert_eq!(versions(follower.backwards(1000, 100)), (100..=120).rev().collect::<Vec<_>>());
}

#[test]
fn full_segments_leave_the_page_cache_but_the_newest_of_them() {
    let mut made = Made::new(Config { segment_bytes: 4096, ..config() });
    let reader = made.opened.writer.reader();
    let gone = |made: &Made| {
        let segments = made.opened.writer.reader().segments();
        segments.iter().map(|base| made.vfs.has_left_cache(&segment(*base)).unwrap()).collect::<Vec<_>>()
    };
    reader.leave_cache();
    assert_eq!(gone(&made), [false]);
    while reader.segments().len() < 4 {
        made.write(1, 3, record);
    }
    reader.leave_cache();
    assert_eq!(gone(&made), [true, true, false, false]);
    assert_eq!(reader.record(2).unwrap().unwrap().version, 2);
    while reader.segments().len() < 5 {
        made.write(1, 3, record);
    }
    reader.leave_cache();
    assert_eq!(gone(&made), [false, true, true, false, false], "what somebody reads again stays");
    assert_eq!(versions(reader.records(1, 1000)).len() as u64, reader.durable());
}

#[test]
fn a_reader_on_another_thread_never_sees_a_broken_record() {
    let small = Config { segment_bytes: 16 << 10, ..config() };
    let mut made = Made::new(small);
    let reader = made.opened.writer.reader();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut seen = 0;
            while seen < 3000 {
                for record in reader.records(seen + 1, u64::MAX) {
                    assert_eq!(record.unwrap().version, seen + 1);
                    seen += 1;
                }
                std::thread::yield_now();
            }
        });
        made.write(600, 5, record);
        watch.join().unwrap();
    });
}

#[test]
fn the_log_of_a_stopped_node_is_read_to_its_end_and_not_changed() {
    let mut made = Made::new(config());
    made.write(5, 2, record);
    made.append(3, record);
    let bytes = made.vfs.read(&segment(1)).unwrap();
    let reader = Reader::open(Arc::new(made.vfs.clone()), Path::new(DIR), Held::ByNobody).unwrap();
    assert_eq!((reader.durable(), reader.committed(), reader.oldest()), (13, 10, 1));
    assert_eq!(versions(reader.records(9, 100)), [9, 10, 11, 12, 13]);
    let torn = made.opened.writer.segment.end - 8;
    made.vfs.edit(&segment(1), |bytes| bytes.truncate(torn as usize)).unwrap();
    let reader = Reader::open(Arc::new(made.vfs.clone()), Path::new(DIR), Held::ByNobody).unwrap();
    assert_eq!(reader.durable(), 12, "a torn record is not read");
    assert_eq!(made.vfs.read(&segment(1)).unwrap(), bytes[..torn as usize]);
    assert_eq!(reader.cluster(), config().cluster);
}

#[test]
fn no_version_that_anyone_asks_for_is_too_high() {
    let mut made = Made::new(config());
    made.write(3, 1, record);
    let reader = made.opened.writer.reader();
    for version in [4, i64::MAX as u64, u64::MAX] {
        assert_eq!(reader.hash(version).unwrap(), None);
        assert_eq!(reader.record(version).unwrap(), None);
        assert!(reader.records(version, u64::MAX).next().is_none());
        assert_eq!(versions(reader.backwards(version, 1)), [3, 2, 1]);
        assert!(matches!(
            truncate_from(&made.vfs, Path::new(DIR), version.max(5), true),
            Err(LogError::NotFound { .. })
        ));
    }
}

#[test]
fn no_log_is_an_empty_one() {
    let reader = Reader::open(Arc::new(MemVfs::new()), Path::new(DIR), Held::ByNobody).unwrap();
    assert_eq!((reader.durable(), reader.oldest()), (0, 1));
    assert!(reader.records(1, 10).next().is_none());
    assert!(reader.backwards(10, 1).next().is_none());
    assert_eq!(reader.record(1).unwrap(), None);
}

#[test]
fn a_record_is_found_without_reading_what_is_before_it() {
    let big = Config { segment_bytes: 16 << 20, zero_fill: true, ..config() };
    let mut made = Made::new(big);
    made.write(50, 400, |version| sized(version, 300));
    let reader = made.opened.writer.reader();
    let before = made.vfs.bytes_read();
    for version in [1, 777, 10_000, 19_999, 20_000] {
        assert_eq!(reader.record(version).unwrap().unwrap().version, version);
    }
    let each = (made.vfs.bytes_read() - before) / 5;
    assert!(each < 128 << 10, "{each} bytes read for one of 20,000 records");
}

#[test]
fn large_records_are_found_and_read_backwards() {
    let mut made = Made::new(Config { segment_bytes: 64 << 20, ..config() });
    made.write(30, 1, |version| sized(version, if version % 4 == 0 { 900_000 } else { 10 }));
    let reader = made.opened.writer.reader();
    assert_eq!(versions(reader.backwards(30, 1)), (1..=30).rev().collect::<Vec<_>>());
    assert_eq!(versions(reader.records(1, 30)), (1..=30).collect::<Vec<_>>());
    for version in 1..=30 {
        assert_eq!(reader.record(version).unwrap().unwrap().version, version);
    }
}

#[test]
fn no_flipped_bit_of_a_record_is_ever_served() {
    let mut made = Made::new(Config { segment_bytes: 4096, ..config() });
    made.write(20, 4, record);
    let bases = super::bases(&made.vfs);
    let mut good = Vec::new();
    for read in made.opened.writer.reader().records(1, 80) {
        good.push(read.unwrap());
    }
    let (mut refused, mut hidden) = (0, 0);
    for &base in &bases {
        let bits = made.vfs.read(&segment(base)).unwrap().len() as u64 * 8;
        for bit in (0..bits).step_by(97) {
            let vfs = made.vfs.fork();
            vfs.flip(&segment(base), bit).unwrap();
            let opened = match open(Arc::new(vfs.clone()), Path::new(DIR), &made.config) {
                Ok(opened) => opened,
                Err(error) => {
                    assert!(error.is_damage(), "segment {base} bit {bit}: {error}");
                    refused += 1;
                    continue;
                }
            };
            assert_eq!(opened.report.head.version, 80);
            let reader = opened.writer.reader();
            for (place, read) in reader.records(1, 80).enumerate() {
                match read {
                    Ok(read) => assert_eq!(read, good[place], "segment {base} bit {bit}"),
                    Err(error) => {
                        assert!(error.is_damage());
                        hidden += 1;
                    }
                }
            }
            for version in (1..=80).step_by(13) {
                if let Ok(read) = reader.record(version) {
                    assert_eq!(read.as_ref(), good.get(version as usize - 1));
                }
            }
        }
    }
    assert!(refused > 50 && hidden > 50, "{refused} refused at once, {hidden} when read");
}

#[test]
fn a_record_behind_a_broken_one_can_still_be_read() {
    let mut made = Made::new(config());
    made.write(100, 1, record);
    made.vfs.edit(&segment(1), |bytes| bytes[128 + 90] ^= 1).unwrap();
    let reader = made.opened.writer.reader();
    assert!(reader.record(1).unwrap_err().is_damage());
    assert_eq!(reader.record(50).unwrap().unwrap().version, 50);
    made.vfs.edit(&segment(1), |bytes| bytes[128 + 4] ^= 1).unwrap();
    assert_eq!(reader.record(50).unwrap().unwrap().version, 50);
    assert_eq!(reader.record(3).unwrap().unwrap().version, 3);
}

#[test]
fn a_log_is_cut_on_the_operators_word_and_its_bytes_are_kept() {
    let config = Config { segment_bytes: 2048, ..config() };
    let mut made = Made::new(config.clone());
    made.write(30, 2, record);
    let bases = super::bases(&made.vfs);
    for version in 1..=61 {
        let vfs = made.vfs.fork();
        let planned = truncate_from(&vfs, Path::new(DIR), version, true).unwrap();
        assert!(vfs.list(&Path::new(DIR).join("rescue")).is_err(), "a dry run changes nothing");
        let cut = truncate_from(&vfs, Path::new(DIR), version, false).unwrap();
        assert_eq!((cut.head, cut.bytes), (planned.head, planned.bytes));
        assert_eq!(cut.removed.len(), bases.iter().filter(|&&base| base >= version && base > 1).count());
        let kept: usize = cut.rescue.iter().map(|path| vfs.read(path).unwrap().len()).sum();
        assert!(kept as u64 >= cut.bytes, "{version}: {kept} bytes kept of {}", cut.bytes);
        let mut opened = open(Arc::new(vfs.clone()), Path::new(DIR), &config).unwrap();
        assert_eq!(opened.report.head, cut.head);
        assert_eq!(opened.report.head.version, version - 1);
        let mut batch = Batch::new();
        opened.sealer.seal(&mut record(version), &mut batch);
        opened.writer.append(&mut batch).unwrap();
        opened.writer.sync().unwrap();
    }
    let beyond = truncate_from(&made.vfs, Path::new(DIR), 62, false);
    assert!(matches!(beyond, Err(LogError::NotFound { wanted: 62, last: 60 })));
    assert!(matches!(truncate_from(&made.vfs, Path::new(DIR), 0, false), Err(LogError::Compacted { .. })));
}

#[test]
fn a_log_that_is_damaged_or_in_doubt_opens_after_the_cut() {
    let mut made = Made::new(config());
    made.write(10, 1, record);
    let end = made.opened.writer.segment.end as usize;
    made.vfs.edit(&segment(1), |bytes| bytes[end - 60] ^= 1).unwrap();
    assert!(open(Arc::new(made.vfs.clone()), Path::new(DIR), &config()).is_err());
    assert!(matches!(truncate_from(&made.vfs, Path::new(DIR), 11, false), Err(LogError::Corrupt { .. })));
    truncate_from(&made.vfs, Path::new(DIR), 10, false).unwrap();
    assert_eq!(Made::on(made.vfs, config()).opened.report.head.version, 9);
}
