//! A pair for a while, with all that years bring: load, snapshots and compaction, backups, followers, restarts.
//!
//! ```text
//!   writers ─► n1 ══► n2: SIGTERM and kill -9 in turn
//!              │       └─► follower, which comes back where it was
//!              ├─► follower      every record once, in order, as its writer was told
//!              └─► rig backup    the last one is restored
//! ```
//!
//! A short run belongs to every test run. The long one is the same function:
//! `RIG_SOAK_SECONDS=1800 cargo test --locked --test it soak -- --nocapture`
//!
//! # What "flat" means
//! The documents are a fixed set that is put again and again, so the state does not grow. Keys do grow, to a million or
//! the last 24 hours; one operation in fifty has one, and [`KEY_BYTES`] for each key of the time between are added to
//! the bound.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hostile::resident;
use crate::support::Cluster;
use crate::wire::{self, Wire};

const WRITERS: usize = 4;
/// Operations of one request, and the time from one to the next: 2,000 a second of all writers.
const BATCH: u64 = 50;
const PERIOD: Duration = Duration::from_millis(100);
/// Documents of one writer.
const DOCUMENTS: u64 = 500;
const PAD: usize = 1000;
/// One in so many has a key.
const KEYED: u64 = 50;
/// What a remembered key takes at most: its entry and result, once in a table and once more while it is written.
const KEY_BYTES: u64 = 1024;
/// Records that stay: 20 seconds of them.
const KEEP: &str = "40000";
const RESTART: Duration = Duration::from_secs(20);

fn length() -> Duration {
    let seconds = std::env::var("RIG_SOAK_SECONDS");
    Duration::from_secs(seconds.map_or(8, |text| text.parse().expect("RIG_SOAK_SECONDS is a number")))
}

/// What goes on beside the test's own thread.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The last version of all, once it is known: followers read on until they have seen it.
    last: AtomicU64,
    /// Operations without an answer of 200.
    others: AtomicU64,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// One writer. Gives the version of its `n`th operation for each that was answered.
    fn write(&self, address: &str, writer: usize) -> Vec<(u64, u64)> {
        let (mut wire, mut answered, mut n) = (Wire::open(address).unwrap(), Vec::new(), 0);
        let pad = "x".repeat(PAD);
        let mut due = Instant::now();
        while self.goes_on() {
            let line = |n: u64| {
                let key = if n.is_multiple_of(KEYED) { format!(",\"key\":\"{writer}-{n}\"") } else { String::new() };
                let id = n * 7 % DOCUMENTS;
                format!(
                    "{{\"method\":\"item_put\",\"data\":{{\"id\":\"{writer}-{id}\",\"n\":{n},\"pad\":\"{pad}\"}}{key}}}\n"
                )
            };
            let lines: String = (n..n + BATCH).map(line).collect();
            for reply in wire.batch(&lines).unwrap().lines() {
                match reply["data"]["version"].as_u64() {
                    Some(version) if reply["status"] == 200 => answered.push((version, n)),
                    _ => _ = self.others.fetch_add(1, Ordering::Relaxed),
                }
                n += 1;
            }
            // Who is late stays so: the rate is a bound, not a debt.
            due = (due + PERIOD).max(Instant::now());
            std::thread::sleep(due - Instant::now());
        }
        answered
    }

    /// Reads the feed up to the last version of all, and gives for each one, from 1 on, who wrote it.
    fn follow(&self, address: &str) -> (Vec<Option<(usize, u64)>>, usize) {
        let (mut seen, mut connections) = (Vec::new(), 0);
        while (seen.len() as u64) < self.last.load(Ordering::Relaxed) {
            let mut read = || -> std::io::Result<()> {
                let mut wire = Wire::open(address)?;
                wire.send(wire::get(&format!("/log?follow=1&from={}", seen.len() + 1), "").as_bytes())?;
                let head = wire.head()?;
                if head.status == 503 {
                    return Ok(());
                }
                assert_eq!(head.status, 200, "{head:?}");
                connections += 1;
                while (seen.len() as u64) < self.last.load(Ordering::Relaxed) {
                    let chunk = wire.chunk()?;
                    for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                        seen.extend(record(line, seen.len() as u64 + 1));
                    }
                    if chunk.is_empty() {
                        break;
                    }
                }
                Ok(())
            };
            // It is restarted now and then.
            if read().is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        (seen, connections)
    }
}

/// Who wrote the record of a line of the feed, which must be the next one; nothing for another line.
fn record(line: &[u8], next: u64) -> Option<Option<(usize, u64)>> {
    let line: Value = serde_json::from_slice(line).unwrap();
    if line["type"] != "record" {
        return None;
    }
    assert_eq!(line["version"], next, "the feed has each version once, in order");
    let writer = line["data"]["id"].as_str().and_then(|id| id.split_once('-')?.0.parse().ok());
    Some(writer.zip(line["data"]["n"].as_u64()))
}

/// Bytes of a directory; files come and go meanwhile.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(one).sum()
}

/// One look at both nodes: KiB in memory and bytes on the disk. The replica is looked at just before it is restarted.
struct Sample {
    at: Duration,
    what: &'static str,
    value: u64,
}

/// The middle one of the samples of a time.
fn middle(samples: &[Sample], what: &str, from: Duration, to: Duration) -> u64 {
    let mut values: Vec<u64> =
        samples.iter().filter(|s| s.what == what && s.at >= from && s.at <= to).map(|s| s.value).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Restarts, backups and looks, until the time is over. Gives what was seen, and how many of each there were.
fn live(cluster: &mut Cluster, flags: &[&str], whole: Duration) -> (Vec<Sample>, usize, usize) {
    let begin = Instant::now();
    let (mut samples, mut restarts, mut backups) = (Vec::new(), 0, 0);
    let (restart, backup) = (RESTART.min(whole / 3), (whole / 12).max(Duration::from_secs(3)));
    while begin.elapsed() < whole {
        let at = begin.elapsed();
        let mut note = |what, value| samples.push(Sample { at, what, value });
        note("memory of n1", resident(cluster.node(1).pid()) << 10);
        note("disk of n1", size(&cluster.home.path("n1")));
        note("disk of n2", size(&cluster.home.path("n2")));
        if at >= restart * (restarts as u32 + 1) {
            note("memory of n2", resident(cluster.node(2).pid()) << 10);
            if restarts % 2 == 0 {
                cluster.node(2).signal("TERM");
                assert_eq!(cluster.node(2).wait(), Some(0), "{}", cluster.home.serve_log());
            } else {
                cluster.kill(2);
            }
            cluster.serve(2, flags);
            restarts += 1;
        }
        if at >= backup * (backups as u32 + 1) {
            backups += 1;
            cluster.ok(1, &["backup", "-o", &format!("backup-{backups}"), "-q"]);
            let _ = std::fs::remove_file(cluster.home.path(&format!("backup-{}", backups - 1)));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    (samples, restarts, backups)
}

#[test]
fn a_pair_under_load_for_a_while_loses_nothing_and_grows_neither_in_memory_nor_on_disk() {
    let whole = length();
    let flags = ["--compact-keep", KEEP];
    let mut cluster =
        Cluster::new(2, &[&["--replication", "semi-sync", "--sync-timeout", "500ms"], &flags[..]].concat());
    cluster.kill(2);
    cluster.serve(2, &flags);
    let addresses = [1, 2].map(|number| cluster.url(number).strip_prefix("http://").unwrap().to_owned());
    let (shared, written) = (Shared { last: AtomicU64::new(u64::MAX), ..Shared::default() }, Mutex::new(Vec::new()));
    let (lived, feeds) = std::thread::scope(|scope| {
        let feeds = addresses.each_ref().map(|address| scope.spawn(|| shared.follow(address)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (shared, written, address) = (&shared, &written, &addresses[0]);
                scope.spawn(move || {
                    let answered = shared.write(address, writer);
                    written.lock().unwrap().extend(answered.into_iter().map(|(version, n)| (version, (writer, n))));
                })
            })
            .collect();
        // Whatever happens here, the others must end: the scope waits for them.
        let work = || live(&mut cluster, &flags, whole);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        shared.stop.store(true, Ordering::Relaxed);
        let are_written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        if let Err(panic) = lived {
            shared.last.store(0, Ordering::Relaxed);
            std::panic::resume_unwind(panic);
        }
        assert!(are_written.iter().all(Result::is_ok));
        cluster.settle();
        let last = cluster.put(1, "last")["version"].as_u64().unwrap();
        shared.last.store(last, Ordering::Relaxed);
        // One more, so that who waits for the next chunk gets one.
        cluster.put(1, "more");
        (lived.unwrap(), feeds.map(|feed| feed.join().unwrap()))
    });
    let (samples, restarts, backups) = lived;
    let written = written.into_inner().unwrap();
    let others = shared.others.into_inner();

    for (name, (seen, connections)) in ["n1", "n2"].iter().zip(&feeds) {
        println!("{name}: a follower saw {} records over {connections} connections", seen.len());
        for (version, who) in &written {
            assert_eq!(seen[*version as usize - 1].as_ref(), Some(who), "{name}: version {version}");
        }
    }
    println!("{} operations answered, {others} not, {restarts} restarts, {backups} backups", written.len());
    assert!(written.len() as u64 > whole.as_secs() * 200 && others * 100 <= written.len() as u64);
    assert!(restarts >= 2 && backups >= 2);
    is_flat(&samples, whole, written.len() as u64);
    is_all_there(&mut cluster, &flags, backups, whole);
}

/// What both nodes take at the end, against what they took after a third.
fn is_flat(samples: &[Sample], whole: Duration, operations: u64) {
    let keys = operations / KEYED * 2 / 3 * KEY_BYTES;
    for what in ["memory of n1", "memory of n2", "disk of n1", "disk of n2"] {
        let after = middle(samples, what, whole * 33 / 100, whole * 55 / 100);
        let end = middle(samples, what, whole * 80 / 100, whole);
        // A tenth is noise; an allocator and a segment come in steps.
        let bound = after + after / 10 + (16 << 20) + keys;
        println!("{what}: {} MiB after a third, {} MiB at the end, bound {} MiB", after >> 20, end >> 20, bound >> 20);
        // A short run is still filling up.
        assert!(whole < Duration::from_secs(60) || after > 0 && (1..=bound).contains(&end), "{what} grows");
    }
}

/// Nothing depends on these processes: both are killed, and the logs and states are equal; the backup is whole.
fn is_all_there(cluster: &mut Cluster, flags: &[&str], backups: usize, whole: Duration) {
    cluster.kill(1);
    cluster.kill(2);
    cluster.home.ok(&["log", "verify", "-D", "n1"]);
    cluster.home.ok(&["log", "verify", "-D", "n2"]);
    for number in [1, 2] {
        cluster.serve(number, flags);
    }
    cluster.settle();
    let version = cluster.put(1, "after")["version"].as_u64();
    cluster.until(2, |status| status["applied"].as_u64() >= version);
    cluster.are_equal(1, 2);
    let hash = |number: usize| {
        let url = cluster.url(number);
        Wire::open(url.strip_prefix("http://").unwrap()).unwrap().get("/state/hash").unwrap().data()
    };
    assert_eq!(hash(1), hash(2));
    let oldest = [1, 2].map(|number| cluster.seen(number)["log"]["oldest"].as_u64().unwrap());
    println!("the logs begin with {oldest:?}");
    assert!(whole < Duration::from_secs(60) || oldest.iter().all(|oldest| *oldest > 1), "nothing was compacted");
    let file = format!("backup-{backups}");
    cluster.home.ok(&["restore", &file, "restored"]);
    cluster.home.ok(&["log", "verify", "-D", "restored", "--against", &cluster.url(1)]);
}
