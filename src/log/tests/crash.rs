//! Power cuts, failed syncs and full disks, by the thousand: nothing promised is lost, nothing refused comes back.

use super::super::testing::{DIR, Made, config, sized};
use super::super::*;
use crate::types::{Position, Record, Version};
use std::path::Path;
use std::sync::Arc;

/// Sizes that put record ends on, before and behind sector ends.
fn mixed(version: Version) -> Record {
    sized(version, [1, 40, 300, 512, 700, 1500, 5000][version as usize % 7])
}

fn reopen(vfs: &MemVfs, config: &Config) -> Result<Opened, LogError> {
    open(Arc::new(vfs.clone()), Path::new(DIR), config)
}

/// The chain of what was handed to the log: `heads[v]` is the end of the log after version `v`.
fn heads(made: &mut Made, promised: u64, torn: u64, marked: bool) -> Vec<Position> {
    let mut heads = vec![made.opened.sealer.position()];
    for _ in 0..promised {
        made.append(1, mixed);
        heads.push(made.opened.sealer.position());
    }
    let durable = made.sync();
    if marked {
        made.opened.writer.mark(durable.version()).unwrap();
    }
    let mut batch = Batch::new();
    for version in promised + 1..=promised + torn {
        made.opened.sealer.seal(&mut mixed(version), &mut batch);
        heads.push(made.opened.sealer.position());
    }
    made.opened.writer.append(&mut batch).unwrap();
    heads
}

/// After a crash the log opens, holds all that was promised and nothing that was not written, and goes on.
fn check(vfs: &MemVfs, config: &Config, promised: u64, heads: &[Position], seed: u64) -> bool {
    let mut opened = reopen(vfs, config).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let head = opened.report.head;
    assert!(head.version >= promised, "seed {seed}: promised {promised}, there are {}", head.version);
    assert_eq!(head, heads[head.version as usize], "seed {seed}");
    let was_cut = opened.report.cut.is_some();
    let mut batch = Batch::new();
    for version in head.version + 1..head.version + 4 {
        opened.sealer.seal(&mut mixed(version), &mut batch);
    }
    opened.writer.append(&mut batch).unwrap();
    opened.writer.sync().unwrap();
    vfs.crash(seed ^ 0xabcd);
    let again = reopen(vfs, config).unwrap_or_else(|error| panic!("seed {seed}, again: {error}"));
    assert_eq!(again.report.head, opened.sealer.position(), "seed {seed}");
    assert!(again.report.cut.is_none());
    was_cut
}

#[test]
fn of_six_thousand_torn_batches_everything_promised_survives() {
    let mut torn = 0;
    for (zero_fill, marked) in [(true, true), (true, false), (false, true), (false, false)] {
        for shape in 0..15 {
            let config = Config { zero_fill, ..config() };
            let mut made = Made::new(config.clone());
            let promised = 1 + shape % 5;
            let heads = heads(&mut made, promised, 1 + shape, marked);
            for seed in 0..100 {
                let vfs = made.vfs.fork();
                vfs.crash(seed + shape * 1000);
                torn += u64::from(check(&vfs, &config, promised, &heads, seed));
            }
        }
    }
    assert!(torn > 2000, "only {torn} crashes left a torn tail");
}

#[test]
fn a_crash_during_recovery_changes_nothing_of_that() {
    for seed in 0..300 {
        let mut made = Made::new(config());
        let heads = heads(&mut made, 4, 6, seed % 2 == 0);
        made.vfs.crash(seed);
        for round in 0..3 {
            made.vfs.fail_sync_after((seed + round) % 5);
            if let Err(error) = reopen(&made.vfs, &config()) {
                assert!(matches!(error, LogError::Io { op: "sync", .. }), "seed {seed}: {error}");
            }
            made.vfs.crash(seed + round);
        }
        check(&made.vfs, &config(), 4, &heads, seed);
    }
}

#[test]
fn half_written_sectors_may_leave_doubt_but_lose_nothing() {
    let (mut doubts, mut opens) = (0, 0);
    for seed in 0..1000 {
        let mut made = Made::new(config());
        let heads = heads(&mut made, 3, 1 + seed % 9, true);
        made.vfs.crash_torn(seed);
        match reopen(&made.vfs, &config()) {
            Ok(opened) => {
                let head = opened.report.head;
                assert!(head.version >= 3 && head == heads[head.version as usize], "seed {seed}");
                opens += 1;
            }
            Err(LogError::Uncertain { version, .. }) => {
                assert!(version > 3, "seed {seed}");
                doubts += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(opens > doubts, "{opens} opened, {doubts} left in doubt");
}

#[test]
fn segments_roll_through_crashes() {
    let config = Config { segment_bytes: 4096, ..config() };
    for seed in 0..300 {
        let mut made = Made::new(config.clone());
        if seed % 2 == 0 {
            prepare_spare(&made.vfs, Path::new(DIR), &config).unwrap();
        }
        let heads = heads(&mut made, 12 + seed % 10, 2, seed % 3 == 0);
        made.vfs.crash(seed);
        check(&made.vfs, &config, 12 + seed % 10, &heads, seed);
    }
}

#[test]
fn after_a_failed_sync_the_writer_stays_closed_and_a_start_reads_what_is_there() {
    for seed in 0..50 {
        let mut made = Made::new(config());
        let mut heads = heads(&mut made, 5, 3, true);
        made.vfs.fail_sync_after(0);
        assert!(matches!(made.opened.writer.sync(), Err(LogError::Io { op: "sync", .. })));
        assert!(matches!(made.opened.writer.sync(), Err(LogError::Closed)));
        assert!(matches!(made.opened.writer.mark(8), Err(LogError::Closed)));
        assert!(matches!(made.opened.writer.append(&mut Batch::new()), Err(LogError::Closed)));
        assert_eq!(made.opened.writer.reader().durable(), 5);
        // The cache shows the records, the disk does not have them: what a start confirms must survive a crash.
        let opened = reopen(&made.vfs, &config()).unwrap();
        let confirmed = opened.report.durable.version();
        assert!(confirmed >= 5);
        made.vfs.crash(seed);
        heads.truncate(confirmed as usize + 1);
        check(&made.vfs, &config(), confirmed, &heads, seed);
    }
}

#[test]
fn without_room_a_batch_is_gone_as_a_whole_and_the_log_goes_on_later() {
    for zero_fill in [false, true] {
        for room in (0..9000).step_by(500) {
            let config = Config { zero_fill, segment_bytes: 6000, ..config() };
            let mut made = Made::new(config.clone());
            made.write(3, 2, mixed);
            let before = made.opened.sealer.position();
            made.vfs.set_room(Some(room));
            let mut batch = Batch::new();
            let mut kept = before;
            let full = loop {
                batch.clear();
                for version in made.next()..made.next() + 5 {
                    made.opened.sealer.seal(&mut sized(version, 60 + version as usize % 90), &mut batch);
                }
                match made.opened.writer.append(&mut batch) {
                    Ok(()) => kept = made.opened.sealer.position(),
                    Err(error) => break error,
                }
                made.sync();
            };
            assert!(matches!(full, LogError::NoSpace { .. }), "{full}");
            assert_eq!(full.what_now(), Remedy::MakeRoom);
            assert_eq!(batch.before(), kept);
            // "Not logged" was said: whatever stops the node now, no record of that batch may come back.
            for seed in 0..12 {
                let stopped = made.vfs.fork();
                stopped.set_room(None);
                if seed > 0 {
                    stopped.crash(seed);
                }
                assert_eq!(reopen(&stopped, &config).unwrap().report.head, kept, "room {room} seed {seed}");
            }
            made.vfs.set_room(None);
            made.opened.sealer.rewind(batch.before());
            made.write(2, 2, mixed);
            assert_eq!(reopen(&made.vfs, &config).unwrap().report.head, made.opened.sealer.position());
        }
    }
}

#[test]
fn a_spare_is_made_only_where_there_is_ample_room() {
    let config = config();
    let made = Made::new(config.clone());
    let spare = Path::new(DIR).join("log/spare");
    made.vfs.set_room(Some(config.segment_bytes * 4));
    assert_eq!(prepare_spare(&made.vfs, Path::new(DIR), &config).unwrap(), Spare::NoRoom);
    assert!(made.vfs.read(&spare).is_err());
    made.vfs.set_room(Some(config.segment_bytes * 4 + 1));
    assert_eq!(prepare_spare(&made.vfs, Path::new(DIR), &config).unwrap(), Spare::Ready);
    assert_eq!(made.vfs.read(&spare).unwrap(), vec![0; config.segment_bytes as usize]);
    let growing = Config { zero_fill: false, ..config };
    assert_eq!(prepare_spare(&made.vfs, Path::new(DIR), &growing).unwrap(), Spare::NotWanted);
}

#[test]
fn a_spare_is_synced_piece_by_piece_so_that_no_sync_of_the_log_waits_for_all_of_it() {
    let config = Config { segment_bytes: (768 << 10) + 4096, ..config() };
    let made = Made::new(config.clone());
    let pieces = std::cell::RefCell::new(Vec::new());
    let before = made.vfs.syncs();
    let rest = |bytes: usize, _| pieces.borrow_mut().push((bytes as u64, made.vfs.syncs() - before));
    assert_eq!(prepare_spare_beside(&made.vfs, Path::new(DIR), &config, &rest).unwrap(), Spare::Ready);
    assert_eq!(pieces.take(), [(256 << 10, 1), (256 << 10, 2), (256 << 10, 3), (4096, 4)]);
    assert_eq!(made.vfs.read(&Path::new(DIR).join("log/spare")).unwrap(), vec![0; config.segment_bytes as usize]);
}
