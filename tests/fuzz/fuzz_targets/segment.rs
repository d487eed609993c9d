//! A closed log whose files were changed at any places: written over, copied, shifted, cut, extended, with checksums
//! put right afterwards or not.
//!
//! Nothing that reads it may panic, and what is read is a beginning of what was written: a checksum can be put right
//! here, the chain cannot. An audit passes only if every byte up to the end of the last record is as it was, and all
//! records are there as long as the mark says so; so does a start.
#![no_main]

use rig::log::verify::Options;
use rig::log::{Batch, Config, Fault, Held, MemVfs, Reader, Vfs, decode, format, open, verify};
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

const DIR: &str = "/data";
const RECORDS: Version = 30;

/// The log before anything was done to it.
struct Written {
    vfs: MemVfs,
    config: Config,
    records: Vec<Record>,
    /// First version, path and content of each segment.
    segments: Vec<(Version, PathBuf, Vec<u8>)>,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(written);

fn written() -> Written {
    let vfs = MemVfs::new();
    let config = Config { cluster: ClusterId([0xc1; 16]), segment_bytes: 2 << 10, zero_fill: true };
    let mut opened = open(Arc::new(vfs.clone()), Path::new(DIR), &config).expect("a new log");
    let mut records = Vec::new();
    for version in 1..=RECORDS {
        let keyed = version % 3 == 0;
        let mut record = Record {
            version,
            epoch: Epoch { number: 1 + version / 10, owner: NodeId([7; 16]), start: 0 },
            time: 1_700_000_000_000_000 + version,
            commit_upto: version - 1,
            kind: if version == 1 { Kind::Control } else { Kind::Operation },
            key: keyed.then(|| format!("key-{version}").into()),
            request_hash: keyed.then_some(Hash([3; 32])),
            actor: "".into(),
            operation: Operation::new("a_put", format!("{{\"id\":\"{version}\"}}")),
            hash: Hash::default(),
        };
        let mut batch = Batch::new();
        opened.sealer.seal(&mut record, &mut batch);
        opened.writer.append(&mut batch).expect("room");
        opened.writer.sync().expect("a disk");
        records.push(record);
    }
    opened.writer.close(RECORDS).expect("a disk");
    let log = Path::new(DIR).join("log");
    let mut bases: Vec<Version> =
        vfs.list(&log).expect("a log").iter().filter_map(|name| format::segment_base(name)).collect();
    bases.sort_unstable();
    let path = |base| log.join(format::segment_name(base));
    let segments = bases.iter().map(|&base| (base, path(base), vfs.read(&path(base)).expect("a segment"))).collect();
    Written { vfs, config, records, segments }
}

/// What is taken from the input, front to back; zeros when there is no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first.into()
    }

    /// A place in `0..len`, and 0 if there is none.
    fn place(&mut self, len: usize) -> usize {
        let place = self.byte() | self.byte() << 8;
        place % len.max(1)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

/// Changes a file as the input says.
fn change(bytes: &mut Vec<u8>, base: Version, input: &mut Input<'_>) {
    let at = input.place(bytes.len());
    match input.byte() % 8 {
        0 if !bytes.is_empty() => bytes[at] ^= input.byte() as u8,
        1 => {
            let n = input.byte();
            let over = input.bytes(n);
            bytes.resize(bytes.len().max(at + over.len()), 0);
            bytes[at..at + over.len()].copy_from_slice(&over);
        }
        2 => {
            let from = input.place(bytes.len());
            let n = input.place(bytes.len() + 1 - at.max(from));
            bytes.copy_within(from..from + n, at);
        }
        3 => {
            let n = input.place(bytes.len() + 1 - at);
            bytes[at..at + n].fill(0);
        }
        4 => bytes.truncate(at),
        5 => bytes.resize(bytes.len() + input.place(2048), 0),
        6 => {
            let n = input.place(bytes.len() + 1 - at).min(512);
            bytes.drain(at..at + n);
        }
        _ => put_right(bytes, at / format::ALIGN * format::ALIGN, base),
    }
}

/// Makes the checksums of the record at this place match, if there can be one.
fn put_right(bytes: &mut [u8], at: usize, base: Version) {
    for _ in 0..3 {
        let (place, sum) = match decode(&bytes[at..], &WRITTEN.config.cluster, base) {
            Err(Fault::HeaderCrc { expected, .. }) => (at, expected),
            Err(Fault::PayloadCrc { expected, .. }) => (at + 12, expected),
            _ => return,
        };
        bytes[place..place + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Changes a copy of the log; whether its mark is as it was.
fn changed(input: &mut Input<'_>) -> (MemVfs, bool) {
    let vfs = WRITTEN.vfs.fork();
    let mark = Path::new(DIR).join("state/mark");
    let mut is_marked = true;
    match input.byte() % 4 {
        0 => {
            vfs.remove(&mark).expect("a mark");
            is_marked = false;
        }
        1 => {
            let mut bytes = vfs.read(&mark).expect("a mark");
            change(&mut bytes, 1, input);
            vfs.edit(&mark, |file| file.clone_from(&bytes)).expect("a mark");
            is_marked = false;
        }
        _ => {}
    }
    while !input.0.is_empty() {
        let (base, path, _) = &WRITTEN.segments[input.byte() % WRITTEN.segments.len()];
        let mut bytes = vfs.read(path).expect("a segment");
        change(&mut bytes, *base, input);
        vfs.edit(path, |file| file.clone_from(&bytes)).expect("a segment");
    }
    (vfs, is_marked)
}

/// Everything that can be read is as it was written, up to the first error.
fn assert_read(reader: &Reader) -> usize {
    let oldest = reader.oldest() as usize;
    let mut read = 0;
    for (place, record) in reader.records(1, Version::MAX).enumerate() {
        let Ok(record) = record else { break };
        assert_eq!(record, WRITTEN.records[oldest - 1 + place], "read as what was never written");
        read = oldest + place;
    }
    for record in reader.backwards(Version::MAX, 1) {
        let Ok(record) = record else { break };
        assert_eq!(record, WRITTEN.records[record.version as usize - 1], "read backwards");
    }
    let mut replay = reader.replay(1, Version::MAX);
    while let Some(Ok(_)) = replay.next() {}
    read
}

fn judge(input: &[u8]) {
    let (vfs, is_marked) = changed(&mut Input(input));
    let dir = Path::new(DIR);
    for held in [Held::ByNode, Held::ByNobody] {
        if let Ok(reader) = Reader::open(Arc::new(vfs.clone()), dir, held) {
            assert_read(&reader);
        }
        let options = Options { threads: 1, held, ..Options::default() };
        let mut errors = 0;
        let summary = verify(&vfs, dir, &options, &|_| {}, &mut |finding| {
            errors += u64::from(finding.severity == rig::log::verify::Severity::Error);
        });
        let Ok(summary) = summary else { continue };
        assert_eq!(summary.errors, errors);
        if summary.is_pass() {
            assert!(!is_marked || summary.records == RECORDS, "passed with {} records", summary.records);
            for (row, (_, path, content)) in summary.segments.iter().zip(&WRITTEN.segments) {
                let now = vfs.read(path).expect("a segment");
                assert!(now[..row.bytes as usize] == content[..row.bytes as usize], "{} was changed", row.name);
            }
        }
    }
    if let Ok(opened) = open(Arc::new(vfs), dir, &WRITTEN.config) {
        let head = opened.report.head;
        let hash = head.version.checked_sub(1).map(|place| WRITTEN.records[place as usize].hash);
        assert_eq!(head.hash, hash.unwrap_or(format::genesis(&WRITTEN.config.cluster)), "opened at {head:?}");
        assert!(!is_marked || head.version == RECORDS, "opened at {head:?}");
        assert_read(&opened.writer.reader());
    }
}

libfuzzer_sys::fuzz_target!(
    init: {
        // A target that reads nothing proves nothing.
        assert!(WRITTEN.segments.len() >= 3);
        let reader = Reader::open(Arc::new(WRITTEN.vfs.fork()), Path::new(DIR), Held::ByNobody).expect("a whole log");
        assert_eq!(assert_read(&reader), RECORDS as usize);
    },
    |input: &[u8]| judge(input)
);
