//! What one synced append costs: on a spare file that is all zeros, on a segment that fills itself ahead in steps, and
//! on one that only grows; beside a bare write and fdatasync on a zero-filled file.
//!
//! ```text
//! cargo run --release --example bench_append -- [appends] [bytes of data] [directory]
//! ```

use rig::log::{Access, Batch, Config, DiskVfs, File, LogError, Vfs, open, prepare_spare};
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let appends: u64 = args.next().map_or(Ok(5000), |text| text.parse())?;
    let data: usize = args.next().map_or(Ok(256), |text| text.parse())?;
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("rig-bench-append-{}", std::process::id()));
    let result = run(&dir, appends, data);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn run(dir: &Path, appends: u64, data: usize) -> Result<(), Box<dyn std::error::Error>> {
    println!("{appends} appends of one record with {data} bytes of data, each synced and marked");
    bare(dir, appends, data)?;
    for (name, zero_fill, spare) in
        [("spare file of zeros", true, true), ("filled ahead in steps", true, false), ("growing file", false, false)]
    {
        let config = Config { zero_fill, ..Config::new(ClusterId([1; 16])) };
        let dir = dir.join(name);
        if spare {
            DiskVfs.create_dir_all(&dir.join("log"))?;
            let start = Instant::now();
            prepare_spare(&DiskVfs, &dir, &config)?;
            println!("{:24} {:?} to make it", name, start.elapsed());
        }
        let start = Instant::now();
        let mut times = log(&dir, &config, appends, data)?;
        report(name, &mut times, start.elapsed());
    }
    Ok(())
}

fn log(dir: &Path, config: &Config, appends: u64, data: usize) -> Result<Vec<Duration>, LogError> {
    let start = Instant::now();
    let mut opened = open(Arc::new(DiskVfs), dir, config)?;
    println!("{:24} {:?} to begin a log", "", start.elapsed());
    let (mut batch, mut times) = (Batch::new(), Vec::new());
    for version in 1..=appends {
        let start = Instant::now();
        batch.clear();
        opened.sealer.seal(&mut record(version, data), &mut batch);
        opened.writer.append(&mut batch)?;
        opened.writer.sync()?;
        opened.writer.mark(version)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn record(version: Version, data: usize) -> Record {
    Record {
        version,
        epoch: Epoch { number: 1, owner: NodeId([2; 16]), start: 0 },
        time: version,
        commit_upto: version - 1,
        kind: Kind::Operation,
        key: Some(format!("key-{version:016}").into()),
        request_hash: Some(Hash([3; 32])),
        actor: "bench".into(),
        operation: Operation::new("user_create", format!("\"{}\"", "x".repeat(data.max(3) - 2))),
        hash: Hash::default(),
    }
}

fn bare(dir: &Path, appends: u64, data: usize) -> std::io::Result<()> {
    DiskVfs.create_dir_all(dir)?;
    let file: Arc<dyn File> = DiskVfs.open(&dir.join("bare"), Access::Create)?;
    let bytes = vec![1; (data + 184).next_multiple_of(8)];
    file.write_at(&vec![0; bytes.len() * appends as usize], 0)?;
    file.sync_data()?;
    let (start, mut times) = (Instant::now(), Vec::new());
    for n in 0..appends {
        let start = Instant::now();
        file.write_at(&bytes, n * bytes.len() as u64)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    report("bare write and fdatasync", &mut times, start.elapsed());
    Ok(())
}

fn report(name: &str, times: &mut [Duration], all: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_micros();
    let rate = times.len() as f64 / all.as_secs_f64();
    println!("{name:24} {rate:7.0}/s  p50 {:5} us  p99 {:5} us", at(50), at(99));
}
