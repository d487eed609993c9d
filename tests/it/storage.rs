//! Disks that are full, that fail, and that change what was written.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rig::log::{Batch, DiskVfs};
use rig::node::dir::DataDir;
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Record};
use serde_json::Value;

use crate::support::{Home, Node, RIG, SERVE, has, is_root, run, withheld};
use crate::wire::Wire;

/// What clients know: versions by key of what was answered, keys that were refused, keys without a final answer.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) answered: HashMap<String, u64>,
    refused: Vec<String>,
    pub(crate) unknown: Vec<(String, String)>,
}

impl Known {
    pub(crate) fn extend(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
    }

    /// What was answered is in the log at its version, what was refused is not, and each key is there once.
    pub(crate) fn assert_in(&self, home: &Home, dir: &str) {
        assert_eq!(self.assert_in_rest(home, dir), 1, "the log begins later");
    }

    /// The same of a log that may begin later than with 1; gives where.
    pub(crate) fn assert_in_rest(&self, home: &Home, dir: &str) -> u64 {
        let dump = home.ok(&["log", "dump", "--json", "--with-data", "none", "-D", dir]).lines();
        let first = dump[0]["version"].as_u64().unwrap();
        let mut found: HashMap<&str, u64> = HashMap::new();
        for (version, record) in (first..).zip(&dump) {
            assert_eq!(record["version"], version, "the log has a gap");
            if let Some(key) = record["key"].as_str() {
                assert_eq!(found.insert(key, record["version"].as_u64().unwrap()), None, "{key} is there twice");
            }
        }
        for (key, version) in self.answered.iter().filter(|(_, version)| **version >= first) {
            assert_eq!(found.get(&**key), Some(version), "{key} was answered");
        }
        for key in &self.refused {
            assert_eq!(found.get(&**key), None, "{key} was refused");
        }
        first
    }

    /// The node knows each key that was answered, by its version.
    pub(crate) fn assert_by_outcome(&self, address: &str) {
        let mut wire = Wire::open(address).unwrap();
        for (key, version) in &self.answered {
            let outcome = wire.get(&format!("/outcome/{key}")).unwrap().data();
            assert_eq!((&outcome["state"], &outcome["version"]), (&"committed".into(), &(*version).into()), "{key}");
        }
    }

    /// Finds out what became of each one without an answer, and sends it again with its key: one version.
    pub(crate) fn resolve(&mut self, address: &str, pad: usize) {
        let mut wire = Wire::open(address).unwrap();
        for (key, _) in std::mem::take(&mut self.unknown) {
            let outcome = wire.get(&format!("/outcome/{key}")).unwrap().data();
            let reply = wire.operation("user_put", &data_of(&key, pad), Some(&key)).unwrap();
            let version = reply.data()["version"].as_u64();
            assert!(outcome["state"] == "absent" || outcome["version"].as_u64() == version, "{outcome}");
            self.answered.insert(key, version.unwrap());
        }
    }
}

/// A small disk of its own, gone at the end.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(home: &Home, mebibytes: u64, test: &str) -> Option<Self> {
        if !is_root() {
            withheld(test, "to mount");
            return None;
        }
        let path = home.path("small");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "rig-test"]).arg(&path);
        let ran = run(mount, b"");
        if ran.code != Some(0) {
            withheld(test, &format!("to mount ({})", ran.stderr.trim()));
            return None;
        }
        Some(Self(path))
    }

    /// A file that takes room, until it is removed.
    pub(crate) fn ballast(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, vec![1; bytes]).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const NOTE_BYTES: usize = 30_000;

/// Several clients write until there is no room.
fn fill(address: &str, round: &str) -> Known {
    let one = |client: usize| {
        let (mut known, mut wire) = (Known::default(), Wire::open(address).unwrap());
        for n in 0.. {
            let key = format!("{round}-{client}-{n}");
            let data = format!(r#"{{"id":"{key}","text":"{}"}}"#, "x".repeat(NOTE_BYTES));
            let reply = wire.operation("note_create", &data, Some(&key)).unwrap();
            if reply.status == 200 {
                known.answered.insert(key, reply.data()["version"].as_u64().unwrap());
                continue;
            }
            let problem = reply.json();
            assert_eq!((reply.status, &problem["code"]), (507, &"disk_full".into()), "{problem}");
            assert_eq!((&problem["definite"], &problem["retryable"]), (&true.into(), &true.into()));
            assert!(problem["hint"].as_str().unwrap().contains("make room"), "{problem}");
            known.refused.push(key);
            return known;
        }
        known
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|client| scope.spawn(move || one(client))).collect();
        let mut known = Known::default();
        clients.into_iter().for_each(|client| known.extend(client.join().unwrap()));
        known
    })
}

#[test]
fn a_full_disk_refuses_writes_by_name_reads_go_on_and_room_is_all_it_needs() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(&home, 16, "full disk") else { return };
    let (first, second) = (disk.ballast("first", 4 << 20), disk.ballast("second", 4 << 20));
    let dir = "small/n1";
    home.ok(&["init", dir]);
    let mut node = Node::serve(&home, &["-D", dir]);
    let mut wire = Wire::open(node.address()).unwrap();
    let mut known = fill(node.address(), "one");
    assert!(known.answered.len() > 100, "{} were answered", known.answered.len());

    // Reads go on, for all doors.
    let key = known.answered.keys().next().unwrap();
    let read = wire.get(&format!("/data/note/{key}")).unwrap().data();
    assert_eq!(read["text"].as_str().unwrap().len(), NOTE_BYTES);
    assert_eq!(wire.get("/log?limit=1").unwrap().status, 200);
    home.ok(&["log", "verify", "-D", dir]);
    let status = home.ok(&["status", "-D", dir, "--json"]).json();
    assert_eq!((&status["state"], &status["disk_full"]), (&"serving".into(), &true.into()), "{status}");
    let shown = home.run(&["status", "-D", dir, "--check"]);
    assert_eq!(shown.code, Some(12), "{shown:#?}");
    assert!(shown.stdout.contains("had no room") && shown.stdout.contains("make room"), "{shown:#?}");
    let large = format!("{{\"id\":\"n\",\"text\":\"{}\"}}", "y".repeat(NOTE_BYTES));
    home.file("batch.ndjson", format!("{{\"method\":\"note_put\",\"data\":{large}}}\n").repeat(2));
    let ran = home.run(&["apply", "--batch", "batch.ndjson", "-D", dir, "-q", "--timeout", "500ms"]);
    assert_eq!((ran.code, ran.stderr.matches("disk_full").count()), (Some(8), 1), "{ran:#?}");
    home.file("large.json", large);
    let ran = home.run(&["apply", "note_put", "large.json", "-D", dir, "--json", "--timeout", "500ms"]);
    assert_eq!((ran.code, &ran.error()["code"]), (Some(8), &"disk_full".into()), "{ran:#?}");
    assert!(ran.error()["hint"].as_str().unwrap().contains("make room"), "{ran:#?}");

    // A new node finds no room at all, and leaves nothing behind.
    let full = disk.0.join("rest");
    let mut rest = std::fs::File::create(&full).unwrap();
    while std::io::Write::write_all(&mut rest, &[1; 4096]).is_ok() {}
    let ran = home.run(&["init", "small/n2", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let error = ran.error();
    assert!(error["message"].as_str().unwrap().contains("No space left"), "{error}");
    assert_eq!(error["hint"], "make room on that disk");
    let mut left: Vec<_> = std::fs::read_dir(&disk.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["first", "n1", "rest", "second"]);
    drop(rest);
    std::fs::remove_file(full).unwrap();

    // Room is made, and the same process writes on.
    std::fs::remove_file(first).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while wire.operation("note_put", r#"{"id":"again"}"#, None).unwrap().status != 200 {
        assert!(Instant::now() < deadline, "there is room, and it is not used: {}", home.serve_log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let more = fill(node.address(), "two");
    assert!(more.answered.len() > 50, "{} were answered", more.answered.len());
    known.extend(more);
    node.kill();
    home.ok(&["log", "verify", "-D", dir]);
    known.assert_in(&home, dir);

    // Started on a full disk it waits for room, and says so.
    let full = disk.0.join("rest");
    let mut rest = std::fs::File::create(&full).unwrap();
    while std::io::Write::write_all(&mut rest, &[1; 1]).is_ok() {}
    let said = home.serve_log().len();
    let mut node = Node::spawn_unready(&home, home.rig(&[SERVE, &["-D", dir]].concat()));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !home.serve_log()[said..].contains("until there is room") {
        assert!(node.is_alive() && Instant::now() < deadline, "{}", &home.serve_log()[said..]);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::remove_file(second).unwrap();
    node.wait_ready(&home);
    known.assert_in(&home, dir);
    let mut wire = Wire::open(node.address()).unwrap();
    assert_eq!(wire.operation("note_put", r#"{"id":"after"}"#, None).unwrap().status, 200);
    home.ok(&["log", "verify", "-D", dir]);
}

#[test]
fn a_file_that_may_not_grow_is_a_full_disk_too() {
    if !has("prlimit", "file size") {
        return;
    }
    let home = Home::new();
    home.ok(&["init"]);
    // The signal is ignored, so that the write itself fails; both are inherited.
    let limit = "trap '' XFSZ; ulimit -S -f 5000; exec \"$0\" \"$@\"";
    let mut node = Node::spawn(&home, home.command("sh", &[&["-c", limit, RIG], SERVE].concat()));
    let mut known = fill(node.address(), "one");
    assert!(known.answered.len() > 40, "{} were answered", known.answered.len());
    let mut wire = Wire::open(node.address()).unwrap();
    let key = known.answered.keys().next().unwrap();
    assert_eq!(wire.get(&format!("/data/note/{key}")).unwrap().status, 200);
    home.ok(&["log", "verify"]);

    let mut lift = Command::new("prlimit");
    lift.args(["--pid", &node.pid().to_string(), "--fsize=unlimited"]);
    assert_eq!(run(lift, b"").code, Some(0));
    let deadline = Instant::now() + Duration::from_secs(10);
    for n in 0..100 {
        let (key, data) = (format!("two-{n}"), format!(r#"{{"id":"two{n}","text":"{}"}}"#, "x".repeat(NOTE_BYTES)));
        let reply = loop {
            let reply = wire.operation("note_create", &data, Some(&key)).unwrap();
            if reply.status == 200 {
                break reply.data();
            }
            assert!(Instant::now() < deadline, "it may grow, and does not: {}", home.serve_log());
            std::thread::sleep(Duration::from_millis(50));
        };
        known.answered.insert(key, reply["version"].as_u64().unwrap());
    }
    node.kill();
    home.ok(&["log", "verify"]);
    let _node = Node::serve(&home, &[]);
    known.assert_in(&home, home.default_dir().to_str().unwrap());
}

/// The document that is put with a key: one of each client, and so large.
fn data_of(key: &str, pad: usize) -> String {
    let (client, _) = key.rsplit_once('-').unwrap();
    format!(r#"{{"id":"{client}","key":"{key}","pad":"{}"}}"#, "x".repeat(pad))
}

/// Writes with keys until something else than 200 comes; `total` counts what was answered.
pub(crate) fn write_until_it_fails(address: &str, client: &str, pad: usize, total: &AtomicUsize) -> Known {
    let mut known = Known::default();
    let Ok(mut wire) = Wire::open(address) else { return known };
    for n in 0.. {
        let key = format!("{client}-{n}");
        let Ok(reply) = wire.operation("user_put", &data_of(&key, pad), Some(&key)) else {
            known.unknown.push((key, "no answer".into()));
            return known;
        };
        let json = reply.json();
        match reply.status {
            200 => {
                known.answered.insert(key, json["data"]["version"].as_u64().unwrap());
                total.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            503 => known.refused.push(key),
            504 => {
                assert_eq!((&json["code"], &json["key"]), (&"outcome_unknown".into(), &key.clone().into()), "{json}");
                assert!(json["version"].is_u64() && json["definite"] == false && !json["hint"].is_null(), "{json}");
                known.unknown.push((key, "504".into()));
            }
            _ => panic!("{json}"),
        }
        return known;
    }
    known
}

/// What a node says at the end whose storage has failed.
pub(crate) fn last_words(said: &str) -> String {
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!((&last["type"], &last["exit"], &last["code"]), (&"error".into(), &1.into(), &"storage".into()));
    assert!(last["hint"].as_str().unwrap().contains("start the node again"), "{last}");
    last["message"].as_str().unwrap().to_owned()
}

/// A node whose system calls fail, once, under load.
fn fails_by(fault: &str, op: &str, error: &str) {
    let home = Home::new();
    home.ok(&["init"]);
    let call = fault.split(':').next().unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={fault}"));
    let strace = ["-D", "-f", "-qq", "-o", "strace.txt", "-e", &trace, "-e", &inject, RIG];
    let mut node = Node::spawn(&home, home.command("strace", &[&strace, SERVE].concat()));
    let address = node.address().to_owned();
    let mut known = Known::default();
    std::thread::scope(|scope| {
        let address = &address;
        let one = |n: usize| write_until_it_fails(address, &format!("k{n}"), 0, &AtomicUsize::new(0));
        let clients: Vec<_> = (0..8).map(|n| scope.spawn(move || one(n))).collect();
        clients.into_iter().for_each(|client| known.extend(client.join().unwrap()));
    });
    assert!(known.answered.len() > 20, "{fault}: it failed before there was load");
    assert!(known.unknown.iter().any(|(_, why)| why == "504"), "{fault}: what was in flight is unknown: {known:?}");
    assert_eq!(node.wait(), Some(1), "{fault}");
    let message = last_words(&home.serve_log());
    let path = home.default_dir();
    assert!(message.starts_with(&format!("serve: {op} {}", path.display())) && message.contains(error), "{message}");

    home.ok(&["log", "verify"]);
    let node = Node::serve(&home, &[]);
    known.resolve(node.address(), 0);
    known.assert_in(&home, home.default_dir().to_str().unwrap());
    home.ok(&["log", "verify"]);
}

/// Whether system calls can be made to fail here.
pub(crate) fn can_inject(test: &str) -> bool {
    if !has("strace", test) {
        return false;
    }
    let home = Home::new();
    let inject =
        ["-D", "-f", "-qq", "-o", "out", "-e", "trace=unlink,unlinkat", "-e", "inject=unlink,unlinkat:error=EIO"];
    home.file("file", "");
    let ran = run(home.command("strace", &[&inject[..], &["rm", "-f", "file"]].concat()), b"");
    let works = ran.code == Some(1) && home.path("file").exists();
    works || withheld(test, &format!("to trace ({})", ran.stderr.trim()))
}

#[test]
fn a_failed_sync_is_final_what_is_in_flight_is_unknown_and_nothing_answered_is_lost() {
    if can_inject("failed sync") {
        // The counts are of each thread: only the log's comes so far.
        fails_by("fdatasync:error=EIO:when=40", "sync", "Input/output error");
        fails_by("fdatasync:error=ENOSPC:when=41", "sync", "No space left");
    }
}

#[test]
fn a_failed_write_is_final_too_be_it_of_a_record_or_of_the_mark() {
    if can_inject("failed write") {
        fails_by("pwrite64:error=EIO:when=400", "write", "Input/output error");
        fails_by("pwrite64:error=EIO:when=401", "write", "Input/output error");
    }
}

const RECORDS: u64 = 200;
/// Small ones, so that there are several.
const SEGMENT_BYTES: u64 = 8 << 10;

/// A closed log of [`RECORDS`] small records in a data directory, written by the library.
pub(crate) fn closed_log(path: &Path) {
    closed_log_of(path, RECORDS, SEGMENT_BYTES);
}

/// The same of so many, in segments of another size.
pub(crate) fn closed_log_of(path: &Path, records: u64, segment_bytes: u64) {
    let mut dir = DataDir::init(path, "n1").unwrap();
    let cluster = ClusterId([7; 16]);
    dir.set_cluster_id(cluster).unwrap();
    let config = rig::log::Config { segment_bytes, ..rig::log::Config::new(cluster) };
    let mut opened = rig::log::open(Arc::new(DiskVfs), path, &config).unwrap();
    let mut batch = Batch::new();
    for version in 1..=records {
        let mut record = Record {
            version,
            epoch: Epoch { number: 1, owner: NodeId([1; 16]), start: 1 },
            time: 1_767_225_600_000_000 + version,
            commit_upto: version - 1,
            kind: Kind::Operation,
            key: (version % 50 == 0).then(|| format!("k{version}").into()),
            request_hash: (version % 50 == 0).then_some(Hash([5; 32])),
            actor: "".into(),
            operation: Operation::new("a_put", format!("{{\"id\":\"{version}\"}}")),
            hash: Hash::default(),
        };
        opened.sealer.seal(&mut record, &mut batch);
        if version % 10 == 0 {
            opened.writer.append(&mut batch).unwrap();
            opened.writer.sync().unwrap();
            batch.clear();
        }
    }
    opened.writer.close(records).unwrap();
}

/// The segments of a data directory.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    names.sort();
    names
}

/// Where each record of a segment begins, and the end of the last one, by the page `rig-log(5)`.
pub(crate) fn places(segment: &[u8]) -> Vec<usize> {
    let mut places = vec![128];
    loop {
        let at = places[places.len() - 1];
        match segment.get(at + 4..at + 8) {
            Some(length) if length != [0; 4] => {
                places.push(at + u32::from_le_bytes(length.try_into().unwrap()) as usize)
            }
            _ => return places,
        }
    }
}

/// Flips a bit in the file, and back when dropped.
pub(crate) struct Flipped<'a> {
    path: &'a Path,
    bit: usize,
}

impl<'a> Flipped<'a> {
    pub(crate) fn new(path: &'a Path, bit: usize) -> Self {
        let flipped = Self { path, bit };
        flipped.flip();
        flipped
    }

    fn flip(&self) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().read(true).write(true).open(self.path).unwrap();
        let (mut byte, at) = ([0], self.bit as u64 / 8);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (self.bit % 8))], at).unwrap();
    }
}

impl Drop for Flipped<'_> {
    fn drop(&mut self) {
        self.flip();
    }
}

#[test]
fn every_97th_bit_of_a_closed_log_is_missed_by_the_command_in_its_segment() {
    let home = Home::new();
    // Two copies, because two bits are tried at a time.
    let dirs = ["a", "b"].map(|name| home.path(name));
    dirs.iter().for_each(|dir| closed_log(dir));
    let ends: Vec<usize> =
        segments(&dirs[0]).iter().map(|path| *places(&std::fs::read(path).unwrap()).last().unwrap()).collect();
    assert!(ends.len() >= 3, "{} segments", ends.len());
    let bits: usize = ends.iter().map(|end| end * 8).sum();
    let (next, tried) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = |dir: &Path| {
        let segments = segments(dir);
        loop {
            let mut bit = next.fetch_add(97, Ordering::Relaxed);
            if bit >= bits {
                return;
            }
            let nth = ends.iter().position(|end| {
                let is_here = bit < end * 8;
                bit -= if is_here { 0 } else { end * 8 };
                is_here
            });
            let path = &segments[nth.unwrap()];
            let _flipped = Flipped::new(path, bit);
            let ran = home.run(&["log", "verify", "--json", "-D", dir.to_str().unwrap()]);
            assert_eq!(ran.code, Some(9), "bit {bit} of {path:?}: {ran:#?}");
            let lines = ran.lines();
            let summary = lines.last().unwrap();
            assert_eq!((&summary["type"], &summary["result"]), (&"summary".into(), &"fail".into()));
            let first = lines.iter().find(|line| line["severity"] == "error").unwrap();
            assert_eq!(first["segment"], path.file_name().unwrap().to_str().unwrap(), "bit {bit}: {first}");
            tried.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| dirs.iter().for_each(|dir| _ = scope.spawn(|| work(dir))));
    assert_eq!(tried.into_inner(), bits.div_ceil(97));
    // Everything is as it was, and passes.
    for dir in &dirs {
        let summary = home.ok(&["log", "verify", "--json", "-D", dir.to_str().unwrap()]).json();
        assert_eq!((&summary["result"], &summary["records"]), (&"pass".into(), &RECORDS.into()));
    }
}

/// Every file below, with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_flipped_byte_in_the_middle_keeps_the_node_down_by_segment_byte_and_version_and_nothing_is_changed() {
    let home = Home::new();
    let dir = home.path("n1");
    closed_log(&dir);
    let newest = segments(&dir).pop().unwrap();
    let name = newest.file_name().unwrap().to_str().unwrap();
    let places = places(&std::fs::read(&newest).unwrap());
    let nth = places.len() / 2;
    let version = name[..20].parse::<u64>().unwrap() + nth as u64;
    for byte in [places[nth] + 20, places[nth] + 90] {
        let _flipped = Flipped::new(&newest, byte * 8 + 3);
        let before = content(&dir);
        let ran = home.run(&[SERVE, &["-D", "n1"]].concat());
        assert_eq!((ran.code, &*ran.stdout), (Some(9), ""), "{ran:#?}");
        let error = ran.error();
        assert_eq!((&error["code"], &error["exit"]), (&"corrupt".into(), &9.into()));
        let message = error["message"].as_str().unwrap();
        let place = format!("{name} at byte {}, version {version}:", places[nth]);
        assert!(message.contains(&place), "{message}, and not {place}");
        assert!(error["hint"].as_str().unwrap().contains("rig log verify"), "{error}");
        assert!(content(&dir) == before, "a node that does not start changes nothing");
    }
    Node::serve(&home, &["-D", "n1"]);
}
