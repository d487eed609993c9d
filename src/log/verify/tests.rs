//! What an auditor must be told, and what not.

use super::super::testing::{CLUSTER, DIR, Made, config, record, segment, sized};
use super::super::{Config, Held, MemVfs, genesis, segment as segments};
use super::*;
use std::cell::Cell;
use std::path::Path;

fn run(vfs: &MemVfs, options: &Options) -> (Summary, Vec<Finding>) {
    let mut found = Vec::new();
    let done = Cell::new(0);
    let summary =
        verify(vfs, Path::new(DIR), options, &|bytes| done.set(bytes), &mut |finding| found.push(finding)).unwrap();
    if !options.fail_fast && summary.notes == 0 && options.from == 1 && options.to == Version::MAX {
        assert_eq!(done.get(), log_bytes(vfs, Path::new(DIR)).unwrap());
    }
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error).count() as u64;
    assert_eq!((summary.errors, summary.errors + summary.notes), (errors, found.len() as u64));
    (summary, found)
}

fn alone() -> Options {
    Options { threads: 1, ..Options::default() }
}

fn codes(found: &[Finding]) -> Vec<&'static str> {
    found.iter().map(|finding| finding.code).collect()
}

/// 240 small records in several segments.
fn made() -> Made {
    let mut made = Made::new(Config { segment_bytes: 8192, ..config() });
    made.write(60, 4, |version| sized(version, 1 + version as usize % 20));
    made
}

fn bases(vfs: &MemVfs) -> Vec<Version> {
    segments::bases(vfs, &Path::new(DIR).join("log")).unwrap()
}

fn content(vfs: &MemVfs, base: Version) -> usize {
    let bytes = vfs.read(&segment(base)).unwrap();
    bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

#[test]
fn a_good_log_passes_and_its_table_adds_up() {
    let made = made();
    for threads in [1, 2, 7] {
        let (summary, found) = run(&made.vfs, &Options { threads, ..Options::default() });
        assert_eq!(found, []);
        let head = made.opened.sealer.position();
        assert_eq!((summary.records, summary.head), (240, (240, head.hash)));
        assert_eq!(summary.cluster, CLUSTER);
        assert_eq!(summary.segments.iter().map(|row| row.records).sum::<u64>(), 240);
        for (row, next) in summary.segments.iter().zip(&summary.segments[1..]) {
            assert_eq!(row.last + 1, next.base);
        }
    }
}

#[test]
fn pieces_of_a_large_segment_meet() {
    let mut made = Made::new(Config { segment_bytes: 64 << 20, ..config() });
    made.write(20, 50, |version| sized(version, [10, 30_000, 200][version as usize % 3]));
    made.write(3, 1, |version| sized(version, 5 << 20));
    let head = made.opened.sealer.position();
    for (threads, beside) in [(1, false), (3, false), (1, true)] {
        let (summary, found) = run(&made.vfs, &Options { threads, beside, ..Options::default() });
        assert_eq!((summary.records, summary.head), (1003, (1003, head.hash)));
        assert_eq!(found, []);
    }
    let inventory = Inventory::take(&made.vfs, Path::new(DIR)).unwrap();
    let pieces = |beside| {
        let options = Options { beside, ..Options::default() };
        Plan::make(&made.vfs, Path::new(DIR), &inventory, &options).unwrap().pieces
    };
    assert!(pieces(false).len() >= 4);
    assert!(pieces(true).iter().filter(|piece| piece.bytes() < 300_000).count() > 20, "those of 5 MiB are one each");
}

#[test]
fn every_single_bit_of_a_closed_log_is_covered() {
    let mut made = Made::new(Config { segment_bytes: 16 << 10, ..config() });
    made.write(51, 4, |version| sized(version, 1 + version as usize % 6));
    assert!(bases(&made.vfs).len() > 1);
    let bits: Vec<(Version, u64)> = bases(&made.vfs)
        .into_iter()
        .flat_map(|base| (0..content(&made.vfs, base) as u64 * 8).map(move |bit| (base, bit)))
        .collect();
    assert!(bits.len() > 204 * 120 * 8);
    let check = |bits: &[(Version, u64)]| {
        let vfs = made.vfs.fork();
        for &(base, bit) in bits {
            vfs.flip(&segment(base), bit).unwrap();
            let (summary, found) = run(&vfs, &Options { fail_fast: true, ..alone() });
            assert!(!summary.is_pass(), "segment {base} bit {bit} went unnoticed");
            // A changed hash may be told by the record behind it, which is in the next segment at the latest.
            let named = found[0].segment.as_deref();
            let next = bases(&vfs).into_iter().find(|&other| other > base).unwrap_or(base);
            let expected = [base, next].map(super::super::format::segment_name);
            assert!(expected.iter().any(|name| Some(name.as_str()) == named), "bit {bit}: {:?}", found[0]);
            vfs.flip(&segment(base), bit).unwrap();
        }
    };
    let (left, right) = bits.split_at(bits.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| check(left));
        check(right);
    });
    assert!(run(&made.vfs, &alone()).0.is_pass());
}

#[test]
fn all_problems_are_told_each_once_and_with_its_place() {
    let made = made();
    let bases = bases(&made.vfs);
    // A payload, a header and a hash, far apart.
    let (mut at, mut places) = (128, Vec::new());
    for version in 1..=30 {
        let record = sized(version, 1 + version as usize % 20);
        places.push(at);
        at += super::super::record_bytes(&record);
    }
    made.vfs
        .edit(&segment(1), |bytes| {
            bytes[places[4] + 85] ^= 1;
            bytes[places[14] + 20] ^= 1;
            bytes[places[25] - 1] ^= 1;
        })
        .unwrap();
    made.vfs.flip(&segment(bases[1]), 5).unwrap();
    let (summary, found) = run(&made.vfs, &alone());
    assert_eq!(codes(&found), ["crc", "header", "chain", "header"]);
    assert_eq!(found.iter().map(|f| f.version.unwrap()).collect::<Vec<_>>(), [5, 15, 25, bases[1]]);
    assert_eq!(found[0].offset, Some(places[4] as u64));
    assert_eq!(summary.records, 238);
    assert_eq!(summary.segments[0].errors, 3);
    let (_, first) = run(&made.vfs, &Options { fail_fast: true, ..alone() });
    assert_eq!(codes(&first), ["crc"]);
}

#[test]
fn whatever_is_removed_moved_or_repeated_is_found() {
    let made = made();
    let bases = bases(&made.vfs);
    let size = |version: Version| super::super::record_bytes(&sized(version, 1 + version as usize % 20));
    let start = |version: Version| 128 + (1..version).map(size).sum::<usize>();
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let vfs = made.vfs.fork();
        vfs.edit(&segment(1), change).unwrap();
        run(&vfs, &alone()).1
    };
    assert_eq!(codes(&broken(&|bytes| drop(bytes.drain(start(10)..start(11))))), ["gap", "chain"]);
    let twice = broken(&|bytes| {
        let copy = bytes[start(10)..start(11)].to_vec();
        bytes.splice(start(11)..start(11), copy);
    });
    assert!(codes(&twice).contains(&"gap"), "{twice:?}");
    let swapped = broken(&|bytes| {
        let (first, second) = (bytes[start(10)..start(11)].to_vec(), bytes[start(11)..start(12)].to_vec());
        bytes.splice(start(10)..start(12), second.into_iter().chain(first));
    });
    assert!(codes(&swapped).contains(&"gap"), "{swapped:?}");
    let zeroed = broken(&|bytes| bytes[start(10)..start(14)].fill(0));
    assert_eq!(codes(&zeroed), ["header", "gap"]);
    assert!(zeroed[1].message.contains("versions 10 to 13"), "{zeroed:?}");
    let behind = broken(&|bytes| *bytes.last_mut().unwrap() = 1);
    assert_eq!(codes(&behind), ["padding"]);

    let vfs = made.vfs.fork();
    vfs.remove(&segment(bases[2])).unwrap();
    assert_eq!(codes(&run(&vfs, &alone()).1), ["missing_segment"]);
    let vfs = made.vfs.fork();
    vfs.remove(&segment(1)).unwrap();
    assert_eq!(codes(&run(&vfs, &alone()).1), ["missing_segment"]);
    let vfs = made.vfs.fork();
    vfs.remove(&segment(*bases.last().unwrap())).unwrap();
    assert_eq!(codes(&run(&vfs, &alone()).1), ["lost"]);
    let vfs = made.vfs.fork();
    bases.iter().for_each(|&base| vfs.remove(&segment(base)).unwrap());
    assert_eq!(codes(&run(&vfs, &alone()).1), ["missing_segment"]);
    let vfs = made.vfs.fork();
    vfs.rename(&segment(bases[1]), &segment(bases[1] + 1)).unwrap();
    assert!(!run(&vfs, &alone()).0.is_pass());
}

#[test]
fn the_segment_of_another_cluster_is_foreign() {
    let (made, other) = (made(), Config { cluster: ClusterId([5; 16]), segment_bytes: 8192, ..config() });
    let mut stranger = Made::new(other);
    stranger.write(60, 4, |version| sized(version, 1 + version as usize % 20));
    let base = bases(&made.vfs)[1];
    made.vfs.write(&segment(base), &stranger.vfs.read(&segment(base)).unwrap()).unwrap();
    let (_, found) = run(&made.vfs, &alone());
    assert_eq!(found[0].code, "foreign");
}

#[test]
fn the_end_is_judged_as_a_start_would_judge_it() {
    let made = made();
    let newest = *bases(&made.vfs).last().unwrap();
    let end = content(&made.vfs, newest);
    let flipped = made.vfs.fork();
    flipped.flip(&segment(newest), end as u64 * 8 - 400).unwrap();
    let (summary, found) = run(&flipped, &alone());
    assert!(!summary.is_pass(), "damage in the last record of a stopped node: {found:?}");
    flipped.remove(&Path::new(DIR).join("state/mark")).unwrap();
    assert_eq!(run(&flipped, &alone()).1[0].code, "uncertain");

    let torn = made.vfs.fork();
    torn.edit(&segment(newest), |bytes| bytes.truncate(end - 10)).unwrap();
    assert!(!run(&torn, &alone()).0.is_pass(), "the mark knows that record");
    torn.remove(&Path::new(DIR).join("state/mark")).unwrap();
    let (summary, found) = run(&torn, &alone());
    assert_eq!((codes(&found), summary.is_pass()), (vec!["torn_tail"], true));
    assert_eq!((summary.records, summary.head.0), (239, 239));
    let cut = made.vfs.fork();
    cut.edit(&segment(newest), |bytes| bytes[128..].fill(0)).unwrap();
    assert_eq!(codes(&run(&cut, &alone()).1), ["lost"]);
}

#[test]
fn verify_agrees_with_a_start_on_every_torn_batch() {
    let mut notes = 0;
    for seed in 0..500 {
        let mut made = Made::new(config());
        made.write(3, 2, record);
        made.append(1 + seed % 8, |version| sized(version, 30 + (seed as usize * 37) % 900));
        made.vfs.crash(seed);
        let (summary, found) = run(&made.vfs, &Options { threads: 2, ..Options::default() });
        assert!(summary.is_pass(), "seed {seed}: {found:?}");
        let opened = Made::on(made.vfs, config()).opened;
        assert_eq!(opened.report.cut.is_some() as u64, summary.notes, "seed {seed}");
        assert_eq!((opened.report.head.version, opened.report.head.hash), summary.head, "seed {seed}");
        notes += summary.notes;
    }
    assert!(notes > 100);
}

#[test]
fn while_a_node_writes_only_what_its_mark_covers_is_read() {
    let mut made = made();
    made.append(5, record);
    let live = Options { held: Held::ByNode, ..alone() };
    let (summary, found) = run(&made.vfs, &live);
    assert_eq!((summary.records, found), (240, vec![]));
    let (summary, _) = run(&made.vfs, &alone());
    assert_eq!(summary.records, 245);
}

#[test]
fn a_range_is_verified_alone() {
    let made = made();
    let head = made.opened.writer.reader().hash(150).unwrap().unwrap();
    let (summary, found) = run(&made.vfs, &Options { from: 100, to: 150, ..alone() });
    assert_eq!((summary.records, summary.head, found), (51, (150, head), vec![]));
    made.vfs.edit(&segment(1), |bytes| bytes[300] ^= 1).unwrap();
    assert!(run(&made.vfs, &Options { from: 100, to: 150, ..alone() }).0.is_pass());
    assert!(!run(&made.vfs, &Options { to: 150, ..alone() }).0.is_pass());
}

#[test]
fn anchors_hold_the_log_to_what_was_known() {
    let made = made();
    let reader = made.opened.writer.reader();
    let anchor = |version| Anchor { version, hash: reader.hash(version).unwrap().unwrap() };
    let good = vec![anchor(1), anchor(77), anchor(240)];
    assert!(run(&made.vfs, &Options { anchors: good.clone(), ..alone() }).0.is_pass());
    let mut wrong = good.clone();
    wrong[1].hash = Hash([1; 32]);
    let (_, found) = run(&made.vfs, &Options { anchors: wrong, ..alone() });
    assert_eq!((codes(&found), found[0].version), (vec!["anchor"], Some(77)));
    let mut beyond = good;
    beyond.push(Anchor { version: 241, hash: Hash([1; 32]) });
    assert_eq!(codes(&run(&made.vfs, &Options { anchors: beyond, ..alone() }).1), ["anchor"]);
}

#[test]
fn an_empty_log_passes() {
    let (summary, found) = run(&MemVfs::new(), &alone());
    assert_eq!((summary.records, summary.head, found), (0, (0, Hash::default()), vec![]));
    let made = Made::new(config());
    let (summary, found) = run(&made.vfs, &alone());
    assert_eq!((summary.head, found), ((0, genesis(&CLUSTER)), vec![]));
}

#[test]
fn a_broken_mark_is_told() {
    let made = made();
    let mark = Path::new(DIR).join("state/mark");
    made.vfs.flip(&mark, 80).unwrap();
    let (summary, found) = run(&made.vfs, &alone());
    assert_eq!((codes(&found), summary.is_pass()), (vec!["mark"], true));
    made.vfs.flip(&mark, 512 * 8 + 80).unwrap();
    assert!(!run(&made.vfs, &alone()).0.is_pass());
}
