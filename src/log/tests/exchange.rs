//! Records on their way from one log to another: the same bytes everywhere, and nothing taken on trust.

use super::super::format::{FORMAT, HEADER_BYTES, SEGMENT_HEADER_BYTES, Salt};
use super::super::record::{encode, seal_header};
use super::super::testing::{CLUSTER, Made, config, record, sized};
use super::super::*;
use crate::limits::RECORD_BYTES_MAX;
use crate::types::{Epoch, Record, Version};
use proptest::prelude::*;

/// A log of so many records, one batch each.
fn origin(records: u64) -> Made {
    let mut made = Made::new(Config { segment_bytes: 4096, ..config() });
    made.write(records, 1, record);
    made
}

/// The wire bytes of `from..=to`.
fn wire(made: &Made, from: Version, to: Version) -> Vec<u8> {
    let mut wire = Vec::new();
    assert_eq!(made.opened.writer.reader().wire(from, to, usize::MAX, &mut wire).unwrap(), to);
    wire
}

/// The records of all segments behind one another, without what depends on the segment.
fn canonical(vfs: &MemVfs) -> Vec<u8> {
    let mut all = Vec::new();
    for base in super::bases(vfs) {
        let bytes = vfs.read(&super::testing::segment(base)).unwrap();
        let mut rest = &bytes[SEGMENT_HEADER_BYTES as usize..];
        while let Ok(record) = decode(rest, &CLUSTER, base) {
            all.extend_from_slice(&rest[4..record.size()]);
            rest = &rest[record.size()..];
        }
    }
    all
}

#[test]
fn a_record_has_the_same_bytes_in_every_log_but_for_its_header_crc() {
    let from = origin(60);
    let mut to = Made::new(Config { segment_bytes: 9000, zero_fill: false, ..config() });
    let reader = from.opened.writer.reader();
    let (mut wire, mut batch, mut next) = (Vec::new(), Batch::new(), 1);
    while next <= 60 {
        wire.clear();
        let last = reader.wire(next, 60, 1000, &mut wire).unwrap();
        assert!(last >= next && wire.len() <= 1000);
        let records = to.opened.sealer.accept(&wire, &mut batch).unwrap();
        assert_eq!(records.iter().map(|record| record.version).collect::<Vec<_>>(), (next..=last).collect::<Vec<_>>());
        next = last + 1;
        to.opened.writer.append(&mut batch).unwrap();
        batch.clear();
    }
    to.sync();
    assert_eq!(to.opened.sealer.position(), from.opened.sealer.position());
    assert_ne!(super::bases(&to.vfs), super::bases(&from.vfs), "the segments differ");
    assert_eq!(canonical(&to.vfs), canonical(&from.vfs));
    assert_eq!(Made::on(to.vfs, to.config).opened.report.head, from.opened.sealer.position());
}

#[test]
fn a_batch_gives_the_bytes_that_the_log_will_give_before_and_after_it_is_written() {
    let mut made = origin(5);
    let mut batch = Batch::new();
    for version in 6..=20 {
        made.opened.sealer.seal(&mut record(version), &mut batch);
    }
    let ranges = || (6..=20).flat_map(|from| (from..=20).map(move |to| (from, to)));
    let of_batch = |batch: &Batch| {
        let of = |(from, to)| {
            let mut wire = Vec::new();
            assert_eq!(batch.wire(from, to, usize::MAX, &mut wire), to);
            wire
        };
        ranges().map(of).collect::<Vec<_>>()
    };
    let before = of_batch(&batch);
    made.opened.writer.append(&mut batch).unwrap();
    made.sync();
    assert_eq!(of_batch(&batch), before);
    assert_eq!(ranges().map(|(from, to)| wire(&made, from, to)).collect::<Vec<_>>(), before);
}

#[test]
fn a_range_ends_at_the_bound_and_holds_at_least_one_record() {
    let mut made = Made::new(config());
    let mut batch = Batch::new();
    for version in 1..=10 {
        made.opened.sealer.seal(&mut sized(version, 300), &mut batch);
    }
    made.opened.writer.append(&mut batch).unwrap();
    made.sync();
    let reader = made.opened.writer.reader();
    let sizes: Vec<usize> = (1..=10).map(|version| record_bytes(&sized(version, 300))).collect();
    for bound in 0..2000 {
        let fit =
            sizes[2..].iter().scan(0, |sum, size| Some((*sum += size, *sum).1)).filter(|sum| *sum <= bound).count();
        let (mut one, mut two) = (vec![7], vec![7]);
        let last = 2 + fit.max(1) as Version;
        assert_eq!(reader.wire(3, 10, bound, &mut one).unwrap(), last, "bound {bound}");
        assert_eq!(batch.wire(3, 10, bound, &mut two), last, "bound {bound}");
        assert_eq!(one, two);
    }
    assert_eq!(reader.wire(11, 20, 1000, &mut Vec::new()).unwrap(), 10, "nothing is there yet");
}

#[test]
fn of_a_small_range_no_flipped_bit_is_taken() {
    let made = origin(6);
    let wire = wire(&made, 1, 6);
    let mut sealer = Made::new(config()).opened.sealer;
    let (mut batch, start) = (Batch::new(), sealer.position());
    for bit in 0..wire.len() * 8 {
        let mut flipped = wire.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(sealer.accept(&flipped, &mut batch).is_err(), "bit {bit}");
        assert!(sealer.position() == start && batch.is_empty(), "bit {bit}: something was taken");
    }
    for cut in 0..wire.len() {
        let taken = sealer.check(&wire[..cut]).map(|checked| checked.records().len());
        let whole = (1..=6).find(|&n| super::exchange::wire(&made, 1, n).len() == cut);
        assert_eq!(taken.ok(), if cut == 0 { Some(0) } else { whole.map(|n| n as usize) }, "cut at {cut}");
    }
    assert_eq!(sealer.accept(&wire, &mut batch).unwrap().len(), 6);
}

#[test]
fn records_that_do_not_follow_are_refused_by_name() {
    let made = origin(9);
    let sealer = || Made::new(config()).opened.sealer;
    assert_eq!(sealer().check(&wire(&made, 2, 9)).unwrap_err(), Fault::Version { found: 2, expected: 1 });
    let twice = [wire(&made, 1, 3), wire(&made, 3, 4)].concat();
    assert_eq!(sealer().check(&twice).unwrap_err(), Fault::Version { found: 3, expected: 4 });
    let too_much = vec![0; RECORD_BYTES_MAX + 8];
    assert!(matches!(sealer().check(&too_much).unwrap_err(), Fault::Length(_)));
    let mut padded = wire(&made, 1, 9);
    padded.extend([0; 8]);
    assert!(matches!(sealer().check(&padded).unwrap_err(), Fault::Short { .. }));
    // As it lies in a segment it is no record between nodes.
    let segment = made.vfs.read(&super::testing::segment(1)).unwrap();
    assert!(matches!(sealer().check(&segment[128..3000]).unwrap_err(), Fault::HeaderCrc { .. }));
    let (mut sealer, mut batch) = (sealer(), Batch::new());
    sealer.accept(&wire(&made, 1, 9), &mut batch).unwrap();
    let back = Record { epoch: Epoch::default(), ..record(10) };
    let mut bytes = Vec::new();
    encode(&back, FORMAT, &sealer.position().hash, &mut bytes);
    seal_header(&mut bytes, Salt::WIRE);
    assert_eq!(sealer.check(&bytes).unwrap_err(), Fault::Epoch);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_peer_sends_is_a_run_of_its_records_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u8>(), 1..300_usize), 1..5),
        seal in any::<bool>(),
    ) {
        let made = origin(8);
        let good = wire(&made, 1, 8);
        let mut bytes = good.clone();
        for (at, what, byte, n) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let to = (at + n).min(bytes.len());
            match what {
                0 => bytes[at..to].fill(byte),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..to)),
                3 => drop(bytes.splice(at..at, vec![byte; n])),
                _ => bytes.rotate_left(at),
            }
        }
        if seal && bytes.len() >= HEADER_BYTES {
            seal_header(&mut bytes, Salt::WIRE);
        }
        let mut to = Made::new(config());
        let mut batch = Batch::new();
        match to.opened.sealer.accept(&bytes, &mut batch) {
            Ok(_) => prop_assert!(good.starts_with(&bytes), "something else was taken"),
            Err(_) => prop_assert!(batch.is_empty() && to.opened.sealer.position().version == 0),
        }
        to.opened.writer.append(&mut batch).unwrap();
        to.sync();
        prop_assert!(canonical(&made.vfs).starts_with(&canonical(&to.vfs)));
    }
}
