//! A member behind the log of its primary gets a snapshot, goes on behind it, and is killed on the way.
//!
//! A short run belongs to every test run. The long one is the same function with more kills:
//! `RIG_TRANSFER_KILLS=50 cargo test --locked --test it transfer -- --nocapture`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Home, Node};
use crate::wire::Wire;

/// Operations of 64 KiB; twelve hundred of them fill five segments, and leave a state of a hundred documents in chunks.
const OPERATIONS: usize = 1200;
const DOCUMENTS: usize = 400;

fn kills(short: usize) -> usize {
    std::env::var("RIG_TRANSFER_KILLS").map_or(short, |text| text.parse().expect("RIG_TRANSFER_KILLS is a number"))
}

fn large() -> String {
    let pad = "x".repeat(64 << 10);
    let line = |n: usize| {
        format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{}\",\"n\":{n},\"pad\":\"{pad}\"}}}}\n", n % DOCUMENTS)
    };
    (0..OPERATIONS).map(line).collect()
}

/// A pair whose second node went away before almost everything was written, and whose first one has compacted since.
fn behind() -> Cluster {
    let mut cluster = Cluster::new(2, &["--replication", "semi-sync", "--sync-timeout", "300ms"]);
    cluster.put(1, "early");
    cluster.kill(2);
    write_and_compact(&cluster);
    cluster
}

fn write_and_compact(cluster: &Cluster) {
    let ops = cluster.home.file("ops", large());
    cluster.ok(1, &["apply", "--batch", ops.to_str().unwrap(), "-q"]);
    cluster.ok(1, &["snapshot", "create"]);
    let done = cluster.ok(1, &["log", "compact", "--keep", "10", "--hold", "0", "--json"]).json();
    assert!(done["segments"].as_u64().unwrap() >= 3, "{done}");
}

fn state_hash(cluster: &Cluster, number: usize) -> Value {
    let address = cluster.url(number).strip_prefix("http://").unwrap().to_owned();
    Wire::open(&address).unwrap().get("/state/hash").unwrap().data()
}

/// Both have the same log, as far as it is there, and made the same of it.
fn are_the_same(cluster: &mut Cluster) {
    let version = cluster.put(1, "last")["version"].as_u64().unwrap();
    let holds = |status: &Value| status["state"] == "in_sync" && status["applied"].as_u64() >= Some(version);
    cluster.until(2, holds);
    assert_eq!(state_hash(cluster, 1), state_hash(cluster, 2));
    let oldest = cluster.status(2)["log"]["oldest"].as_u64().unwrap();
    assert!(oldest > OPERATIONS as u64 / 2, "it goes on behind a snapshot: {oldest}");
    cluster.are_equal(2, 1);
}

fn taken_from(home: &Home) -> Vec<u64> {
    let log = home.serve_log();
    let bytes = log.lines().filter_map(|line| line.split_once("is taken from byte ")?.1.split_whitespace().next());
    bytes.map(|text| text.parse().unwrap()).collect()
}

/// A directory with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let name = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &name);
        } else {
            std::fs::copy(entry.path(), name).unwrap();
        }
    }
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
}

#[test]
fn a_member_behind_the_log_gets_a_snapshot_goes_on_behind_it_and_is_in_sync() {
    let mut cluster = behind();
    let away = &cluster.status(1)["peers"][0];
    assert_eq!((&away["name"], &away["needs_snapshot"]), (&json!("n2"), &json!(true)), "{away}");
    cluster.serve(2, &["--role", "replica"]);
    cluster.wait(2, "in-sync");
    are_the_same(&mut cluster);
    assert_eq!(cluster.status(1)["peers"][0]["needs_snapshot"], false);
    assert_eq!(cluster.status(2)["needs_snapshot"], false);
    let gone = cluster.run(2, &["log", "dump", "--from", "1", "--json"]);
    assert_eq!((gone.code, &gone.error()["code"]), (Some(3), &json!("compacted")), "{gone:#?}");
    assert!(!cluster.home.path("n2").join("incoming").exists());
    assert_eq!(cluster.home.ok(&["rescue", "ls", "-D", "n2", "--json"]).lines(), Vec::<Value>::new());

    // It is a member like any other: it starts again, is verified alone, and takes over.
    cluster.kill(2);
    cluster.home.ok(&["log", "verify", "-D", "n2"]);
    cluster.serve(2, &[]);
    cluster.wait(2, "in-sync");
    cluster.ok(2, &["promote", "n2"]);
    cluster.put(2, "there");
    cluster.until(1, |status| status["state"] == "in_sync");
}

#[test]
fn an_empty_replica_joins_a_primary_whose_log_was_compacted() {
    let mut cluster = Cluster::new(1, &[]);
    write_and_compact(&cluster);
    cluster.join(2);
    are_the_same(&mut cluster);
    assert_eq!(taken_from(&cluster.home), [0]);
}

#[test]
fn a_transfer_that_was_broken_off_goes_on_where_it_was() {
    let mut cluster = behind();
    let incoming = cluster.home.path("n2").join("incoming");
    let (mut left, mut whole) = (0, 0);
    while left == 0 {
        cluster.serve(2, &["--role", "replica"]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while part(&incoming).is_none_or(|(_, length)| length < 4 << 20) {
            assert!(Instant::now() < deadline, "nothing comes: {}", cluster.home.serve_log());
        }
        cluster.kill(2);
        let (path, length) = part(&incoming).expect("it was killed before it was all there");
        let bytes = path.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap();
        (left, whole) = (length, bytes.parse::<u64>().unwrap());
    }
    // What the primary had read for it before it was killed is counted with the first try.
    cluster.until(1, |status| status["peers"][0]["connected"] == false);
    // That includes a piece that was being read then: it is counted when it has been.
    let mut before = 0;
    while std::mem::replace(&mut before, sent(&cluster)) != before {
        std::thread::sleep(Duration::from_millis(300));
    }
    cluster.serve(2, &[]);
    cluster.wait(2, "in-sync");
    are_the_same(&mut cluster);
    assert_eq!(taken_from(&cluster.home), [0, left]);
    assert_eq!(sent(&cluster) - before, whole - left, "what was there is not sent again");
}

/// Bytes of snapshots that the primary has sent.
fn sent(cluster: &Cluster) -> u64 {
    let mut wire = Wire::open(cluster.url(1).strip_prefix("http://").unwrap()).unwrap();
    let text = String::from_utf8(wire.get("/metrics").unwrap().body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rig_snapshot_sent_bytes_total "));
    line.unwrap().parse().unwrap()
}

/// What has come of a snapshot so far.
fn part(incoming: &Path) -> Option<(PathBuf, u64)> {
    let mut entries = std::fs::read_dir(incoming).ok()?.filter_map(Result::ok);
    let entry = entries.find(|entry| entry.path().extension().is_some_and(|extension| extension == "part"))?;
    Some((entry.path(), entry.metadata().ok()?.len()))
}

#[test]
fn killed_anywhere_on_the_way_it_has_its_old_log_or_the_snapshot_and_comes_back_by_itself() {
    let mut cluster = behind();
    let (home, dir) = (cluster.home.path("n2"), cluster.home.path("n2.behind"));
    copy(&home, &dir);
    let again = || {
        std::fs::remove_dir_all(&home).unwrap();
        copy(&dir, &home);
    };
    let begin = Instant::now();
    cluster.serve(2, &["--role", "replica"]);
    cluster.wait(2, "in-sync");
    let whole = begin.elapsed();
    let count = kills(12);
    for number in 0..count {
        cluster.kill(2);
        again();
        let wait = whole * (number as u32 * 7919 % 1000) / 1000;
        let (url, cluster_home) = (cluster.url(2), &cluster.home);
        let listen = url.strip_prefix("http://").unwrap();
        let command = cluster_home.rig(&["serve", "--json", "-D", "n2", "--listen", listen, "--role", "replica"]);
        let mut node = Node::spawn_unready(cluster_home, command);
        std::thread::sleep(wait);
        if number % 4 == 3 {
            cluster.kill(1);
            cluster.serve(1, &[]);
        } else {
            node.kill();
        }
        drop(node);
        cluster.serve(2, &[]);
        cluster.until(2, |status| status["state"] == "in_sync");
    }
    are_the_same(&mut cluster);
    println!("{count} kills, a transfer takes {whole:?}");
}

#[test]
fn killed_while_it_writes_a_snapshot_a_node_has_the_old_one_or_the_new_one() {
    let mut cluster = Cluster::new(1, &[]);
    write_and_compact(&cluster);
    let begin = Instant::now();
    cluster.ok(1, &["snapshot", "create"]);
    let whole = begin.elapsed();
    let count = kills(12);
    for number in 0..count {
        cluster.put(1, &format!("n{number}"));
        let arguments = ["snapshot", "create", "-D", "n1", "-q"];
        let mut command = cluster.home.rig(&arguments);
        let mut asked =
            command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * (number as u32 * 7919 % 1000) / 1000);
        cluster.kill(1);
        asked.wait().unwrap();
        cluster.home.ok(&["snapshot", "verify", "-D", "n1"]);
        // The log begins behind the first one: without a whole snapshot there is no start.
        cluster.serve(1, &[]);
        cluster.until(1, |status| status["applied"].as_u64() > Some(OPERATIONS as u64 + number as u64));
    }
    println!("{count} kills, a snapshot takes {whole:?}");
}

#[test]
fn what_a_member_behind_the_log_has_alone_is_set_aside_before_the_snapshot_takes_its_place() {
    let mut cluster = behind();
    cluster.kill(1);
    cluster.serve(2, &["--role", "replica"]);
    cluster.force(2);
    cluster.put(2, "alone");
    cluster.kill(2);
    // Twice, so that its term is the later one, whatever the names are.
    for _ in 0..2 {
        cluster.serve(1, &["--role", "replica"]);
        cluster.force(1);
        cluster.kill(1);
    }
    cluster.serve(1, &[]);
    cluster.until(1, |status| status["role"] == "primary" && status["state"] != "recovering");
    cluster.serve(2, &["--role", "replica"]);
    cluster.until(2, |status| status["state"] == "in_sync");
    are_the_same(&mut cluster);
    let files = cluster.home.ok(&["rescue", "ls", "-D", "n2", "--json"]).lines();
    assert_eq!(files.len(), 1, "{files:#?}");
    let shown = cluster.home.ok(&["rescue", "show", files[0]["file"].as_str().unwrap(), "-D", "n2", "--json"]);
    assert!(shown.stdout.contains("\\\"alone\\\"") || shown.stdout.contains("\"alone\""), "{shown:#?}");
}
