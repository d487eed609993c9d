//! How fast `verify` is beside a loop that only computes SHA-256(hash before, record) over the same records in memory.
//!
//! ```text
//! cargo run --release --example bench_verify -- [megabytes] [bytes of data]
//! ```
//!
//! The loop has the records of each thread in memory already and knows where each ends: what is left is hashing. The
//! figure that counts is the last one, the speed of `verify` in percent of the loop's.

use rig::log::verify::Options;
use rig::log::{Batch, Config, DiskVfs, Reader, Vfs, open, prepare_spare, verify};
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let megabytes: u64 = args.next().map_or(Ok(512), |text| text.parse())?;
    let data: usize = args.next().map_or(Ok(256), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("rig-bench-verify-{}", std::process::id()));
    let result = run(&dir, megabytes << 20, data);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn run(dir: &Path, bytes: u64, data: usize) -> Result<(), Box<dyn std::error::Error>> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    let config = Config::new(ClusterId([1; 16]));
    let records = write(vfs.clone(), dir, &config, bytes, data)?;
    let canonical = load(vfs.clone(), dir)?;
    let threads = std::thread::available_parallelism()?.get();
    let (mut best, mut cpu) = ((f64::MAX, f64::MAX), (f64::MAX, f64::MAX));
    for _ in 0..7 {
        let (start, used) = (Instant::now(), cpu_seconds());
        let summary = verify(&*vfs, dir, &Options::default(), &|_| {}, &mut |finding| println!("{finding:?}"))?;
        best.0 = best.0.min(start.elapsed().as_secs_f64());
        cpu.0 = cpu.0.min(cpu_seconds() - used);
        assert!(summary.is_pass() && summary.records == records);
        let (start, used) = (Instant::now(), cpu_seconds());
        std::thread::scope(|scope| {
            for part in canonical.chunks(canonical.len().div_ceil(threads)) {
                scope.spawn(|| std::hint::black_box(hash_all(part)));
            }
        });
        best.1 = best.1.min(start.elapsed().as_secs_f64());
        cpu.1 = cpu.1.min(cpu_seconds() - used);
    }
    let total: usize = canonical.iter().map(|part| part.1.len() + 36).sum();
    let speed = |seconds: f64| total as f64 / seconds / 1e6;
    println!("{records} records, {:.0} MB, {threads} threads, best of 7", total as f64 / 1e6);
    println!("verify    {:7.0} MB/s", speed(best.0));
    println!("sha-256   {:7.0} MB/s", speed(best.1));
    println!("verify is at {:.0} % of the loop", 100.0 * best.1 / best.0);
    println!("by CPU time, which a busy machine disturbs less: {:.0} %", 100.0 * cpu.1 / cpu.0);
    Ok(())
}

/// What this process has used so far, in steps of a hundredth; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn hash_all(records: &[(Hash, Vec<u8>)]) -> u8 {
    let hash =
        |(before, canonical): &(Hash, Vec<u8>)| Sha256::new().chain_update(before.0).chain_update(canonical).finalize();
    records.iter().fold(0, |all, record| all ^ hash(record)[0])
}

/// Every record's canonical bytes, with the hash before it.
fn load(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Vec<(Hash, Vec<u8>)>, rig::log::LogError> {
    let reader = Reader::open(vfs, dir, rig::log::Held::ByNobody)?;
    let mut replay = reader.replay(1, Version::MAX);
    let (mut canonical, mut before) = (Vec::new(), rig::log::genesis(&reader.cluster()));
    while let Some(record) = replay.next() {
        let record = record?;
        canonical.push((before, record.canonical().to_vec()));
        before = record.hash;
    }
    Ok(canonical)
}

fn write(vfs: Arc<dyn Vfs>, dir: &Path, config: &Config, bytes: u64, data: usize) -> Result<u64, rig::log::LogError> {
    let mut opened = open(vfs.clone(), dir, config)?;
    let (mut batch, mut written, mut version) = (Batch::new(), 0, 0);
    while written < bytes {
        batch.clear();
        while !batch.is_full() {
            version += 1;
            let mut record = Record {
                version,
                epoch: Epoch { number: 1, owner: NodeId([2; 16]), start: 0 },
                time: version,
                commit_upto: 0,
                kind: Kind::Operation,
                key: Some(format!("key-{version:016}").into()),
                request_hash: Some(Hash([3; 32])),
                actor: "bench".into(),
                operation: Operation::new("user_create", format!("\"{}\"", "x".repeat(data.max(3) - 2))),
                hash: Hash::default(),
            };
            opened.sealer.seal(&mut record, &mut batch);
        }
        written += batch.bytes() as u64;
        opened.writer.append(&mut batch)?;
        opened.writer.sync()?;
        opened.writer.mark(version)?;
        prepare_spare(&*vfs, dir, config)?;
    }
    Ok(version)
}
