//! A log that is cut back while it is open: what went is kept, what stays goes on, and no crash in between hurts.

use super::super::format::{HASH_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::super::testing::{CLUSTER, DIR, Made, config, sized};
use super::super::*;
use crate::types::{Epoch, Position, Record, Version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A record behind which everything before it is known to be committed: what a torn end must not be taken for.
fn committed(version: Version) -> Record {
    Record { commit_upto: version - 1, ..sized(version, [1, 40, 300, 512, 700, 1500][version as usize % 6]) }
}

/// As another primary would have written it.
fn other(version: Version) -> Record {
    let record = committed(version);
    Record { epoch: Epoch { number: record.epoch.number + 100, ..record.epoch }, ..record }
}

/// A log of so many records in small segments, and its end after each of them.
fn made(records: u64, zero_fill: bool) -> (Made, Vec<Position>) {
    let mut made = Made::new(Config { segment_bytes: 4096, zero_fill, ..config() });
    let mut heads = vec![made.opened.sealer.position()];
    for _ in 0..records {
        made.write(1, 1, committed);
        heads.push(made.opened.sealer.position());
    }
    (made, heads)
}

/// The versions of the records in a rescue file, every one of them whole.
fn rescued(vfs: &MemVfs, path: &Path) -> Vec<Version> {
    let bytes = vfs.read(path).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let (mut at, mut versions) = (SEGMENT_HEADER_BYTES as usize, Vec::new());
    while at < bytes.len() {
        let record = decode(&bytes[at..], &CLUSTER, header.base).unwrap();
        versions.push(record.version);
        at += record.size();
    }
    versions
}

#[test]
fn an_open_log_is_cut_anywhere_and_goes_on_behind_the_cut() {
    let (origin, heads) = made(30, true);
    drop(origin.opened);
    for to in 0..=30 {
        let mut made = Made::on(origin.vfs.fork(), origin.config.clone());
        let reader = made.opened.writer.reader();
        assert_eq!(reader.records(1, 30).count(), 30, "the reader has every segment in its hands");
        let cut = made.opened.writer.cut(heads[to as usize], "diverged").unwrap();
        assert_eq!(cut.head.version, to);
        let mut kept: Vec<Version> = cut.rescue.iter().flat_map(|path| rescued(&made.vfs, path)).collect();
        kept.sort_unstable();
        assert_eq!(kept, (to + 1..=30).collect::<Vec<_>>());
        assert_eq!((reader.durable(), made.opened.writer.head()), (to, to));
        let another = made.opened.writer.reader();
        assert_eq!(another.position(to).unwrap(), Some(heads[to as usize]));
        assert_eq!(another.hash(to + 1).unwrap(), None);
        made.opened.sealer.rewind(heads[to as usize]);
        // Exactly as long as before: the newest segment has the name of one that is gone.
        made.write(30 - to, 1, other);
        let end = made.opened.sealer.position();
        for version in (1..=30).rev() {
            let record = reader.record(version).unwrap().unwrap();
            assert_eq!(record.epoch.number > 100, version > to, "cut behind {to}, version {version}");
        }
        let again = Made::on(made.vfs, made.config);
        assert_eq!(again.opened.report.head, end);
        assert!(again.opened.report.cut.is_none());
    }
}

/// A disk that takes so many changes more, and then nothing: the power is off.
#[derive(Clone)]
struct Until {
    disk: MemVfs,
    left: Arc<AtomicU64>,
}

struct UntilFile {
    vfs: Until,
    file: Arc<dyn File>,
}

impl Until {
    fn change<T>(&self, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::other("the power is off")).and_then(|_| what())
    }
}

impl Vfs for Until {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, access)?;
        Ok(Arc::new(UntilFile { vfs: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|| self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|| self.disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|| self.disk.sync_dir(dir))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<u64> {
        self.disk.space(dir)
    }
}

impl File for UntilFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.vfs.change(|| self.file.write_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.vfs.change(|| self.file.sync_data())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.vfs.change(|| self.file.set_len(len))
    }
}

/// Cuts a log on a disk that stops after so many changes, then crashes it; whether the cut was done.
fn cut_short(origin: &Made, to: Position, changes: u64, seed: u64) -> (MemVfs, bool) {
    let disk = origin.vfs.fork();
    let vfs = Until { disk: disk.clone(), left: Arc::new(u64::MAX.into()) };
    let mut opened = open(Arc::new(vfs.clone()), Path::new(DIR), &origin.config).unwrap();
    vfs.left.store(changes, Ordering::Relaxed);
    let done = opened.writer.cut(to, "diverged").is_ok();
    assert!(done || opened.writer.is_closed());
    disk.crash(seed);
    (disk, done)
}

#[test]
fn a_crash_at_any_point_of_a_cut_leaves_a_log_that_opens_and_is_at_most_longer() {
    let (mut whole, mut shorter) = (0, 0);
    for (zero_fill, to) in [(true, 0), (true, 7), (false, 11), (true, 19), (false, 23)] {
        let (origin, heads) = made(24, zero_fill);
        for seed in 0..20 {
            for changes in 0.. {
                let (disk, done) = cut_short(&origin, heads[to as usize], changes, seed);
                let again = open(Arc::new(disk.clone()), Path::new(DIR), &origin.config);
                let head = again.unwrap_or_else(|error| panic!("{to}, {changes}, {seed}: {error}")).report.head;
                assert!((to..=24).contains(&head.version) && head == heads[head.version as usize]);
                // Whatever is gone from the log is in the rescue files, durably.
                let rescue = Path::new(DIR).join("rescue");
                let names = disk.list(&rescue).unwrap_or_default();
                let files: Vec<PathBuf> = names.iter().map(|name| rescue.join(name)).collect();
                for version in head.version + 1..=24 {
                    assert!(files.iter().any(|path| rescued(&disk, path).contains(&version)), "{version} is nowhere");
                }
                whole += u64::from(head.version == 24);
                shorter += u64::from(head.version < 24 && head.version > to);
                if done {
                    assert_eq!(head.version, to, "what was cut has come back");
                    break;
                }
            }
        }
    }
    assert!(whole > 50 && shorter > 50, "{whole} crashes before the cut, {shorter} within it");
}

#[test]
fn without_room_for_the_rescue_nothing_is_cut() {
    let (mut made, heads) = made(20, false);
    for room in [0, 100, 2000, 5000] {
        made.vfs.set_room(Some(room));
        let full = made.opened.writer.cut(heads[3], "diverged").unwrap_err();
        assert!(matches!(full, LogError::NoSpace { .. }), "{full}");
        assert_eq!(made.vfs.list(&Path::new(DIR).join("rescue")).unwrap(), [""; 0], "half a copy is no copy");
        assert_eq!(made.opened.writer.reader().durable(), 20);
    }
    made.vfs.set_room(None);
    made.write(1, 1, committed);
    made.opened.writer.cut(heads[3], "diverged").unwrap();
    assert_eq!(Made::on(made.vfs, made.config).opened.report.head, heads[3]);
}

#[test]
fn who_reads_what_is_cut_is_told_that_it_is_gone() {
    let (mut made, heads) = made(20, true);
    let outside = Reader::open(Arc::new(made.vfs.clone()), Path::new(DIR), Held::ByNode).unwrap();
    let mut reading = made.opened.writer.reader().records(1, 20);
    assert_eq!(reading.next().unwrap().unwrap().version, 1);
    made.opened.writer.cut(heads[1], "diverged").unwrap();
    made.opened.sealer.rewind(heads[1]);
    made.write(1, 1, other);
    let gone = reading.find_map(Result::err);
    assert!(gone.is_none_or(|error| matches!(error, LogError::NotFound { last: 2, .. })));
    assert_eq!(outside.durable(), 2);
    assert_eq!(outside.record(2).unwrap().unwrap().epoch, other(2).epoch);
}

#[test]
fn a_place_that_is_not_in_the_log_changes_nothing() {
    let (mut made, heads) = made(10, true);
    let strange = Position { hash: heads[4].hash, ..heads[5] };
    let wrong = made.opened.writer.cut(strange, "diverged").unwrap_err();
    assert!(matches!(wrong, LogError::Corrupt { fault: Fault::Chain { .. }, .. }), "{wrong}");
    assert!(made.vfs.list(&Path::new(DIR).join("rescue")).is_err());
    assert_eq!(Made::on(made.vfs, made.config).opened.report.head, heads[10]);
}

#[test]
fn a_last_record_whose_hash_ends_with_zeros_is_rescued_whole() {
    // One record in 256 has such a hash: it is looked for.
    let (mut made, heads) = made(3, true);
    let (mut batch, mut time) = (Batch::new(), 0);
    let sealed = loop {
        batch.clear();
        made.opened.sealer.rewind(heads[3]);
        let mut record = Record { time, ..committed(4) };
        made.opened.sealer.seal(&mut record, &mut batch);
        if record.hash.0[HASH_BYTES - 1] == 0 {
            break record;
        }
        time += 1;
    };
    made.opened.writer.append(&mut batch).unwrap();
    made.sync();
    let cut = made.opened.writer.cut(heads[3], "diverged").unwrap();
    assert_eq!(rescued(&made.vfs, &cut.rescue[0]), [sealed.version]);
}
