//! What one step of an operation costs, each alone, in one line each.
//!
//! ```text
//! cargo run --release --example bench_micro -- [--quick] [--dir DIR] [name…]     default: all of them
//!
//!   validate ─► encode ─► append ─► sync ─► apply       on the primary; `frame` is what goes to a replica,
//!                                                       `verify` what an audit reads afterwards
//! ```
//!
//! A line gives the median of some rounds, and in brackets the best and the worst. `--quick` runs one short round of
//! each, to see that they work. An operation is a new document of 256 bytes, in batches of 64 where there are batches.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rig::log::{Batch, Config, DiskVfs, MemVfs, Opened, Vfs, open, prepare_spare, record_bytes, verify};
use rig::peer::{Decoder, Frame, Greeting, PROTOCOL, Span, encode};
use rig::replication::{Append, Message};
use rig::service::{Context, Documents, Entry, Service, Settings};
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Position, Record, Version};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Benchmark = fn(&Bench) -> Result<()>;

const BATCH: usize = 64;
const DOCUMENT_BYTES: usize = 256;
const ROUNDS: usize = 15;

const ALL: [(&str, Benchmark); 7] = [
    ("validate", Bench::validate),
    ("encode", Bench::encode),
    ("append", Bench::append),
    ("sync", Bench::sync),
    ("apply", Bench::apply),
    ("frame", Bench::frame),
    ("verify", Bench::verify),
];

fn main() -> Result<()> {
    let (mut quick, mut parent, mut names) = (false, std::env::temp_dir(), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => quick = true,
            "--dir" => parent = words.next().ok_or("--dir needs a directory")?.into(),
            name if ALL.iter().any(|(known, _)| *known == name) => names.push(word),
            _ => return Err(format!("{word}: expected one of {}", ALL.map(|(name, _)| name).join(", ")).into()),
        }
    }
    let bench = Bench { quick, dir: parent.join(format!("rig-bench-micro-{}", std::process::id())) };
    std::fs::create_dir(&bench.dir)?;
    let mut wanted = ALL.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
    let result = wanted.try_for_each(|(_, run)| run(&bench));
    std::fs::remove_dir_all(&bench.dir)?;
    result
}

struct Bench {
    quick: bool,
    dir: PathBuf,
}

impl Bench {
    /// Resources and verdict for a new document, beside ten thousand others with a unique field.
    fn validate(&self) -> Result<()> {
        let documents = self.documents(if self.quick { BATCH } else { 10_000 })?;
        let operations: Vec<_> = (1_000_000..).take(self.ops(1000)).map(create).collect();
        let fresh_id = || uuid::Uuid::nil();
        let context = Context { now: 1, fresh_id: &fresh_id };
        self.measure("validate", operations.len(), None, || {
            let begin = Instant::now();
            for operation in &operations {
                black_box(documents.resources(operation).map_err(|problem| problem.detail)?);
                black_box(documents.validate(operation, &context).map_err(|problem| problem.detail)?);
            }
            Ok(begin.elapsed())
        })
    }

    /// The bytes of a record, with its checksums and its hash.
    fn encode(&self) -> Result<()> {
        let Opened { mut sealer, .. } = open(Arc::new(MemVfs::new()), Path::new("log"), &config())?;
        let (mut records, mut batch) = (records(), Batch::new());
        let bytes = record_bytes(&records[0]);
        self.measure("encode", self.ops(6400), Some(bytes), || {
            let begin = Instant::now();
            for _ in 0..self.ops(6400) / BATCH {
                seal(&mut sealer, &mut records, &mut batch);
            }
            Ok(begin.elapsed())
        })
    }

    /// Writing a batch to the file, without a sync, for each of its records.
    fn append(&self) -> Result<()> {
        let Opened { mut sealer, mut writer, .. } = self.log("append")?;
        let (mut records, mut batch) = (records(), Batch::new());
        let bytes = record_bytes(&records[0]);
        self.measure("append", self.ops(3200), Some(bytes), || {
            let mut took = Duration::ZERO;
            for _ in 0..self.ops(3200) / BATCH {
                seal(&mut sealer, &mut records, &mut batch);
                let begin = Instant::now();
                writer.append(&mut batch)?;
                took += begin.elapsed();
            }
            writer.sync()?;
            Ok(took)
        })
    }

    /// One record made durable and marked as such; beside it a bare write and fdatasync of as many bytes.
    fn sync(&self) -> Result<()> {
        let Opened { mut sealer, mut writer, .. } = self.log("sync")?;
        let (mut records, mut batch) = (records(), Batch::new());
        let bytes = record_bytes(&records[0]);
        let syncs = if self.quick { 2 } else { 200 };
        self.measure("sync", syncs, None, || {
            let begin = Instant::now();
            for _ in 0..syncs {
                seal(&mut sealer, &mut records[..1], &mut batch);
                writer.append(&mut batch)?;
                let durable = writer.sync()?;
                writer.mark(durable.version())?;
            }
            Ok(begin.elapsed())
        })?;
        let path = self.dir.join("bare");
        let file = File::options().write(true).create_new(true).open(path)?;
        file.write_all_at(&vec![0; bytes * syncs], 0)?;
        file.sync_all()?;
        let record = vec![1; bytes];
        self.measure("  bare file", syncs, None, || {
            let begin = Instant::now();
            for place in 0..syncs {
                file.write_all_at(&record, (place * bytes) as u64)?;
                file.sync_data()?;
            }
            Ok(begin.elapsed())
        })
    }

    /// A committed batch of new documents, for each of them.
    fn apply(&self) -> Result<()> {
        let mut documents = self.documents(BATCH)?;
        let mut next = 1_000_000;
        self.measure("apply", self.ops(6400), None, || {
            let mut took = Duration::ZERO;
            for _ in 0..self.ops(6400) / BATCH {
                let operations: Vec<_> = (next..).take(BATCH).map(create).collect();
                next += BATCH as u64;
                took += apply(&mut documents, &operations)?;
            }
            Ok(took)
        })
    }

    /// A frame with a batch of records, made and read again.
    fn frame(&self) -> Result<()> {
        let records = vec![1; BATCH * record_bytes(&records()[0])];
        let before = Position { epoch: epoch(), version: 7, hash: Hash([7; 32]) };
        let message = Message::Append(Append {
            epoch: epoch(),
            before,
            last: 7 + BATCH as u64,
            committed: 7,
            landmarks: Vec::new(),
        });
        let (mut out, mut decoder) = (Vec::new(), Decoder::new());
        Greeting { protocol: Span::OWN, reads: 1, needs: 1, cluster: None }.encode(&mut out);
        decoder.push(&out);
        decoder.next()?;
        let frames = if self.quick { 1 } else { 500 };
        self.measure("frame", frames, Some(records.len()), || {
            let begin = Instant::now();
            for _ in 0..frames {
                out.clear();
                encode(&message, PROTOCOL, &records, &mut out)?;
                decoder.push(&out);
                let read = matches!(decoder.next()?, Some(Frame::Message { records: found, .. }) if found == records);
                assert!(read, "a frame is read as it was made");
            }
            Ok(begin.elapsed())
        })
    }

    /// An audit of a whole log, for each record.
    fn verify(&self) -> Result<()> {
        let dir = self.dir.join("verify");
        let Opened { mut sealer, mut writer, .. } = self.log("verify")?;
        let (mut records, mut batch) = (records(), Batch::new());
        let bytes = record_bytes(&records[0]);
        let batches = if self.quick { 1 } else { 1500 };
        for _ in 0..batches {
            seal(&mut sealer, &mut records, &mut batch);
            writer.append(&mut batch)?;
        }
        let durable = writer.sync()?;
        writer.close(durable.version())?;
        self.measure("verify", batches * BATCH, Some(bytes), || {
            let begin = Instant::now();
            let options = verify::Options::default();
            let summary = verify(&DiskVfs, &dir, &options, &|_| {}, &mut |finding| println!("{finding:?}"))?;
            assert!(summary.is_pass() && summary.records == durable.version(), "the log is whole");
            Ok(begin.elapsed())
        })
    }

    /// So many operations in a round, in whole batches.
    fn ops(&self, full: usize) -> usize {
        if self.quick { BATCH } else { full.next_multiple_of(BATCH) }
    }

    /// Runs the rounds and prints their line; `bytes` are those of one operation.
    fn measure(
        &self,
        name: &str,
        ops: usize,
        bytes: Option<usize>,
        mut round: impl FnMut() -> Result<Duration>,
    ) -> Result<()> {
        let mut nanos = Vec::new();
        for _ in 0..if self.quick { 1 } else { ROUNDS } {
            nanos.push(round()?.as_nanos() as f64 / ops as f64);
        }
        nanos.sort_by(f64::total_cmp);
        let (median, best, worst) = (nanos[nanos.len() / 2], nanos[0], nanos[nanos.len() - 1]);
        let speed = bytes.map_or_else(String::new, |bytes| format!("{:9.0} MB/s", bytes as f64 / median * 1000.0));
        println!("{name:12}{median:12.0} ns{speed:14}  [{best:.0}, {worst:.0}]");
        Ok(())
    }

    /// A log on the disk, whose segment is full of zeros as a node's is.
    fn log(&self, name: &str) -> Result<Opened> {
        let dir = self.dir.join(name);
        DiskVfs.create_dir_all(&dir.join("log"))?;
        if !self.quick {
            prepare_spare(&DiskVfs, &dir, &config())?;
        }
        Ok(open(Arc::new(DiskVfs), &dir, &config())?)
    }

    /// Documents with a unique field, so many of them.
    fn documents(&self, count: usize) -> Result<Documents> {
        let mut documents = Documents::new(Settings::default());
        apply(&mut documents, &[Operation::new("schema_set", r#"{"type":"user","unique":["email"]}"#)])?;
        let operations: Vec<_> = (0..count as u64).map(create).collect();
        for batch in operations.chunks(BATCH) {
            apply(&mut documents, batch)?;
        }
        Ok(documents)
    }
}

fn config() -> Config {
    Config::new(ClusterId([1; 16]))
}

fn epoch() -> Epoch {
    Epoch { number: 1, owner: NodeId([2; 16]), start: 0 }
}

/// A new document; those that follow one another lie far apart, as ids of many users do.
fn create(number: u64) -> Operation {
    let id = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let start = format!(r#"{{"id":"{id}","email":"{id}@example.org","note":""#);
    let note = "x".repeat(DOCUMENT_BYTES - 2 - start.len());
    Operation::new("user_create", format!("{start}{note}\"}}"))
}

/// A batch of records that lack only their versions.
fn records() -> Vec<Record> {
    let record = |number| Record {
        version: 0,
        epoch: epoch(),
        time: 1,
        commit_upto: 0,
        kind: Kind::Operation,
        key: Some(format!("key-{number:020}").into()),
        request_hash: Some(Hash([3; 32])),
        actor: "bench".into(),
        operation: create(number),
        hash: Hash::default(),
    };
    (0..BATCH as u64).map(record).collect()
}

/// The records as the next batch of the log.
fn seal(sealer: &mut rig::log::Sealer, records: &mut [Record], batch: &mut Batch) {
    batch.clear();
    let next: Version = sealer.position().version + 1;
    for (record, version) in records.iter_mut().zip(next..) {
        record.version = version;
        sealer.seal(record, batch);
    }
}

fn apply(documents: &mut Documents, operations: &[Operation]) -> Result<Duration> {
    let first = documents.version() + 1;
    let entry = |(version, operation)| Entry { version, time: version, operation: Some(operation) };
    let entries: Vec<_> = (first..).zip(operations).map(entry).collect();
    let begin = Instant::now();
    let outcomes = documents.apply(&entries)?;
    let took = begin.elapsed();
    assert!(outcomes.iter().all(|outcome| outcome.status == 200), "{:?}", outcomes[0]);
    Ok(took)
}
