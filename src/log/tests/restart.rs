//! Every row of the table of `recovery`, and every place where a log can have been cut.

use super::super::recovery::{RESTART, Seen, Verdict};
use super::super::testing::{DIR, Made, config, record, segment, sized};
use super::super::*;
use crate::types::{Record, Version};
use std::path::Path;
use std::sync::Arc;

/// A log of ten records in one batch each, stopped without a word; where each record ends.
struct Stopped {
    vfs: MemVfs,
    ends: Vec<u64>,
}

fn stopped(make: impl Fn(Version) -> Record) -> Stopped {
    let mut made = Made::new(config());
    let mut ends = vec![128];
    for _ in 0..10 {
        made.append(1, &make);
        made.sync();
        made.opened.writer.mark(0).unwrap();
        ends.push(made.opened.writer.segment.end);
    }
    Stopped { vfs: made.vfs, ends }
}

impl Stopped {
    /// Nothing is known of what was durable but what the records say.
    fn without_mark(self) -> Self {
        self.vfs.remove(&Path::new(DIR).join("state/mark")).unwrap();
        self
    }

    fn edit(&self, change: impl Fn(&mut Vec<u8>)) {
        self.vfs.edit(&segment(1), change).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        self.vfs.read(&segment(1)).unwrap()
    }

    fn open(&self) -> Result<Opened, LogError> {
        open(Arc::new(self.vfs.clone()), Path::new(DIR), &config())
    }

    /// Opens, which must be refused without changing a byte.
    fn refused(&self) -> LogError {
        let before = self.bytes();
        let Err(error) = self.open() else { panic!("served") };
        assert_eq!(self.bytes(), before);
        assert!(self.vfs.list(&Path::new(DIR).join("rescue")).is_err());
        error
    }
}

/// All bytes from `from` on are zero, the file as long as it was.
fn zero_from(bytes: &mut [u8], from: u64) {
    bytes[from as usize..].fill(0);
}

#[test]
fn exactly_one_row_fits_whatever_is_seen() {
    for bits in 0..16_u8 {
        let [zeros, promised, proven, hole] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let seen = Seen { zeros, promised, proven, hole };
        assert_eq!(RESTART.iter().filter(|row| row.fits(&seen)).count(), 1, "{seen:?}");
    }
    assert_eq!(RESTART.map(|row| row.number), [1, 2, 3, 4, 5, 6]);
    assert_eq!(Seen { zeros: false, promised: false, proven: false, hole: true }.row().verdict, Verdict::Torn);
}

#[test]
fn row_1_zeros_behind_what_is_known_are_the_clean_end() {
    let log = stopped(record).without_mark();
    log.edit(|bytes| zero_from(bytes, log.ends[8]));
    let opened = log.open().unwrap();
    assert_eq!((opened.report.head.version, opened.report.cut), (8, None));
}

#[test]
fn row_2_zeros_where_the_mark_knows_a_record_are_a_lost_write() {
    let log = stopped(record);
    log.edit(|bytes| zero_from(bytes, log.ends[8]));
    assert!(matches!(log.refused(), LogError::Lost { version: 9, known: 10, offset, .. } if offset == log.ends[8]));
}

#[test]
fn row_2_also_when_only_a_later_record_knew_it() {
    let log = stopped(|version| Record { commit_upto: (version - 1).min(7), ..record(version) }).without_mark();
    log.edit(|bytes| zero_from(bytes, log.ends[7]));
    assert_eq!(log.open().unwrap().report.head.version, 7);
    let log = stopped(|version| Record { commit_upto: version - 1, ..record(version) });
    log.edit(|bytes| zero_from(bytes, log.ends[5]));
    assert!(matches!(log.refused(), LogError::Lost { version: 6, .. }));
}

#[test]
fn row_3_a_broken_record_that_the_mark_knows_is_damage() {
    let log = stopped(record);
    for version in 1..=10 {
        let place = (log.ends[version - 1] + 90) as usize;
        log.edit(|bytes| bytes[place] ^= 4);
        let error = log.refused();
        let LogError::Corrupt { offset, version: found, .. } = error else { panic!("{error}") };
        assert_eq!((offset, found), (log.ends[version - 1], Some(version as u64)));
        log.edit(|bytes| bytes[place] ^= 4);
    }
    // The same with zeros, as a crash would leave them: the mark knows better.
    log.edit(|bytes| bytes[log.ends[9] as usize..log.ends[10] as usize - 8].fill(0));
    assert!(matches!(log.refused(), LogError::Corrupt { version: Some(10), .. }));
}

#[test]
fn row_4_a_later_record_proves_that_the_broken_one_was_promised() {
    let log = stopped(|version| Record { commit_upto: version - 1, ..record(version) }).without_mark();
    log.edit(|bytes| bytes[log.ends[7] as usize..log.ends[8] as usize].fill(0));
    assert!(matches!(log.refused(), LogError::Corrupt { version: Some(8), .. }));
}

#[test]
fn row_4_a_record_further_away_than_unsynced_bytes_reach_proves_it_too() {
    let config = Config { segment_bytes: 64 << 20, zero_fill: false, ..config() };
    let mut made = Made::new(config.clone());
    made.write(14, 1, |version| sized(version, 1 << 20));
    made.vfs.remove(&Path::new(DIR).join("state/mark")).unwrap();
    // A sector of the first record is gone; without the records twelve MiB further on this would be a torn tail.
    made.vfs.edit(&segment(1), |bytes| bytes[1024..1536].fill(0)).unwrap();
    let again = |vfs: &MemVfs| open(Arc::new(vfs.clone()), Path::new(DIR), &config);
    assert!(matches!(again(&made.vfs), Err(LogError::Corrupt { version: Some(1), .. })));
    made.vfs.edit(&segment(1), |bytes| bytes.truncate(11 << 20)).unwrap();
    assert_eq!(again(&made.vfs).unwrap().report.cut.unwrap().version, 1);
}

#[test]
fn row_5_a_record_that_the_file_ends_in_is_torn_and_kept() {
    let log = stopped(record).without_mark();
    let cut = log.ends[10] as usize - 20;
    log.edit(|bytes| bytes.truncate(cut));
    let torn = log.bytes();
    let opened = log.open().unwrap();
    assert_eq!(opened.report.head.version, 9);
    let found = opened.report.cut.unwrap();
    assert_eq!((found.version, found.offset, found.bytes), (10, log.ends[9], cut as u64 - log.ends[9]));
    let kept = log.vfs.read(&found.rescue).unwrap();
    assert_eq!(kept[..128], torn[..128]);
    assert_eq!(kept[128..], torn[log.ends[9] as usize..]);
    assert!(log.bytes()[log.ends[9] as usize..].iter().all(|&byte| byte == 0));
    assert!(log.open().unwrap().report.cut.is_none());
}

#[test]
fn row_5_a_record_without_one_of_its_sectors_is_torn() {
    let log = stopped(|version| sized(version, if version == 10 { 3000 } else { 20 })).without_mark();
    let sectors = log.ends[9].div_ceil(512)..log.ends[10] / 512;
    assert!(sectors.clone().count() >= 5);
    for sector in sectors {
        let log = Stopped { vfs: log.vfs.fork(), ends: log.ends.clone() };
        log.edit(|bytes| bytes[sector as usize * 512..][..512].fill(0));
        let opened = log.open().unwrap();
        assert_eq!(opened.report.cut.unwrap().version, 10);
        assert_eq!(opened.report.head.version, 9);
    }
}

#[test]
fn row_6_a_broken_end_that_no_crash_explains_is_uncertain() {
    let log = stopped(record).without_mark();
    for place in log.ends[9]..log.ends[10] {
        log.edit(|bytes| bytes[place as usize] ^= 1);
        let error = log.refused();
        assert!(matches!(error, LogError::Uncertain { version: 10, .. }), "byte {place}: {error}");
        assert_eq!(error.what_now(), Remedy::Decide);
        log.edit(|bytes| bytes[place as usize] ^= 1);
    }
}

#[test]
fn a_format_of_the_future_is_named_and_never_cut() {
    let log = stopped(record).without_mark();
    log.edit(|bytes| {
        let last = &mut bytes[log.ends[9] as usize..log.ends[10] as usize];
        last[8] = 2;
        super::super::record::seal_header(last, format::Salt::new(&config().cluster, 1));
    });
    let error = log.refused();
    assert!(matches!(error, LogError::UnknownFormat { fault: Fault::Format(2), .. }), "{error}");
}

#[test]
fn cut_at_any_length_a_log_keeps_every_whole_record_or_says_what_is_lost() {
    let log = stopped(record);
    let end = log.ends[10];
    for cut in 0..=end {
        let log = Stopped { vfs: log.vfs.fork(), ends: log.ends.clone() };
        log.edit(|bytes| bytes.truncate(cut as usize));
        if cut < end {
            assert!(log.refused().is_damage(), "cut at {cut}, with a mark");
        } else {
            assert_eq!(log.open().unwrap().report.head.version, 10);
        }
        let log = log.without_mark();
        if (1..128).contains(&cut) {
            assert!(log.refused().is_damage(), "cut at {cut}: a header is durable before it has a name");
            continue;
        }
        let whole = log.ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
        let opened = log.open().unwrap();
        assert_eq!(opened.report.head.version, whole as u64, "cut at {cut}");
        assert_eq!(opened.report.cut.is_some(), cut > 0 && cut != log.ends[whole], "cut at {cut}");
    }
}

#[test]
fn a_segment_that_got_no_further_than_its_name_is_made_again() {
    let small = Config { segment_bytes: 2048, ..config() };
    let mut made = Made::new(small.clone());
    made.write(12, 2, record);
    let next = segment(made.next());
    let head = made.opened.report.head;
    made.vfs.write(&next, &[0; 2048]).unwrap();
    let again = Made::on(made.vfs.clone(), small.clone());
    assert_eq!(again.opened.report.head.version, 24);
    assert_ne!(again.opened.report.head, head);
    // The same name while the log before it is short: a new segment begins only behind durable records.
    made.vfs.write(&segment(26), &[]).unwrap();
    made.vfs.remove(&Path::new(DIR).join("state/mark")).unwrap();
    let error = open(Arc::new(made.vfs), Path::new(DIR), &small).err().unwrap();
    assert!(matches!(error, LogError::Lost { version: 25, known: 25, .. }), "{error}");
}

#[test]
fn an_older_segment_must_be_there_end_where_it_should_and_join_the_next() {
    let small = Config { segment_bytes: 2048, ..config() };
    let mut made = Made::new(small.clone());
    made.write(40, 1, record);
    let bases = super::bases(&made.vfs);
    assert!(bases.len() >= 4);
    let open = |vfs: &MemVfs| open(Arc::new(vfs.clone()), Path::new(DIR), &small);
    for (place, &base) in bases.iter().enumerate() {
        let vfs = made.vfs.fork();
        vfs.remove(&segment(base)).unwrap();
        assert!(open(&vfs).err().unwrap().is_damage(), "segment {base} missing");
        let Some(&next) = bases.get(place + 1) else { continue };
        let len = vfs_len(&made.vfs, base);
        let vfs = made.vfs.fork();
        vfs.edit(&segment(base), |bytes| bytes[len - 9] ^= 1).unwrap();
        let error = open(&vfs).err().unwrap();
        assert!(matches!(error, LogError::Corrupt { version: Some(v), .. } if v == next - 1), "{error}");
        let vfs = made.vfs.fork();
        vfs.edit(&segment(next), |bytes| bytes[50] ^= 1).unwrap();
        assert!(matches!(open(&vfs), Err(LogError::Corrupt { offset: 0, .. })));
    }
    let vfs = made.vfs.fork();
    bases.iter().for_each(|&base| vfs.remove(&segment(base)).unwrap());
    assert!(matches!(open(&vfs), Err(LogError::Missing { from: 1, to: 40 })));
}

/// Where the content of a segment ends.
fn vfs_len(vfs: &MemVfs, base: Version) -> usize {
    let bytes = vfs.read(&segment(base)).unwrap();
    bytes.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(8)
}

#[test]
fn the_files_of_another_cluster_are_foreign() {
    let log = stopped(record);
    let other = Config { cluster: crate::types::ClusterId([9; 16]), ..config() };
    let opened = open(Arc::new(log.vfs.clone()), Path::new(DIR), &other);
    let error = opened.err().unwrap();
    assert!(matches!(error, LogError::Foreign { .. }), "{error}");
    let log = log.without_mark();
    assert!(matches!(open(Arc::new(log.vfs), Path::new(DIR), &other), Err(LogError::Foreign { .. })));
}
