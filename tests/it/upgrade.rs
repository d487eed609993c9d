//! Nodes of two releases in one cluster, upgraded one after the other under load.
//!
//! The release after this one is this one with the feature `canary`: it speaks version 2 of the protocol, and its records
//! have format 2. `.ci/run` builds it first; by hand, in this order:
//!
//! ```text
//!   cargo test --locked --features canary --test sim --no-run && cp target/debug/rig target/debug/rig-next
//!   RIG_NEXT_BINARY=$PWD/target/debug/rig-next cargo test --locked --test it upgrade -- --nocapture
//! ```
//!
//! Against the binary of a release before this one, which has neither: `RIG_OLD_BINARY=PATH` in the same way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::load::{Load, under_load};
use crate::support::{Cluster, Home, Node, RIG, skipped};
use crate::wire::Wire;

/// The two releases of a test.
struct Releases {
    old: PathBuf,
    new: PathBuf,
    /// The newest format of each.
    formats: (u8, u8),
}

/// Those that this run was given.
fn given(test: &str) -> Vec<Releases> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let next = path("RIG_NEXT_BINARY").map(|new| Releases { old: RIG.into(), new, formats: (1, 2) });
    let old = path("RIG_OLD_BINARY").map(|old| Releases { old, new: RIG.into(), formats: (1, 1) });
    let given: Vec<Releases> = next.into_iter().chain(old).collect();
    if given.is_empty() {
        skipped(test, "a second release: RIG_NEXT_BINARY, see tests/it/upgrade.rs");
    }
    given
}

fn dir(cluster: &Cluster, number: usize) -> PathBuf {
    cluster.home.path(&format!("n{number}"))
}

/// The format of each record in the log of a node, by the bytes that lie there.
fn formats(dir: &Path) -> Vec<u8> {
    let mut names: Vec<PathBuf> = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "log"));
    names.sort();
    let mut found = Vec::new();
    for bytes in names.iter().map(|path| fs::read(path).unwrap()) {
        let mut at = 128;
        while let Some(header) = bytes.get(at..at + 80) {
            match u32::from_le_bytes(header[4..8].try_into().unwrap()) {
                0 => break,
                length => at += length as usize,
            }
            found.push(header[8]);
        }
    }
    found
}

/// Every file of a directory, but for what says who has it open.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(content(&entry));
        } else if entry.file_name().is_some_and(|name| name != "LOCK") {
            let bytes = fs::read(&entry).unwrap();
            found.insert(entry, bytes);
        }
    }
    found
}

/// Ends a node in order, and serves it with this binary from now on.
fn change(cluster: &mut Cluster, number: usize, program: &Path) {
    stop(cluster, number);
    cluster.home.program = program.to_owned();
    let others = (1..=cluster.count()).filter(|other| *other != number).map(|other| cluster.url(other));
    let peers: Vec<String> = others.flat_map(|url| ["--peer".to_owned(), url]).collect();
    cluster.serve(number, &peers.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.settle();
}

fn stop(cluster: &mut Cluster, number: usize) {
    cluster.node(number).signal("TERM");
    assert_eq!(cluster.node(number).wait(), Some(0), "n{number}: {}", cluster.home.serve_log());
}

/// The replicas first, then the role, then the node that was primary: no record is of a newer format meanwhile.
fn roll(cluster: &mut Cluster, load: &Load, releases: &Releases) {
    let (old, new) = (&releases.old, &releases.new);
    for number in 2..=cluster.count() {
        change(cluster, number, new);
        load.wait_for(20);
    }
    // Back to the release before, and forth: nothing that was written in between stands in the way.
    change(cluster, 2, old);
    load.wait_for(20);
    change(cluster, 2, new);
    let primary = if cluster.count() == 2 {
        cluster.home.ok(&["promote", "n2"]);
        cluster.settle()
    } else {
        cluster.home.ok(&["demote", "n1"]);
        cluster.settle()
    };
    assert_ne!(primary, 1);
    // Now the older one follows the newer one, which looks at whom it is linked to several times meanwhile.
    std::thread::sleep(Duration::from_millis(500));
    load.wait_for(20);
    for number in 1..=cluster.count() {
        let found = formats(&dir(cluster, number));
        assert_eq!(found.iter().max(), Some(&releases.formats.0), "n{number}");
    }
    change(cluster, 1, new);
    let (before, deadline) = (releases.formats.1, Instant::now() + Duration::from_secs(10));
    while formats(&dir(cluster, primary)).last() != Some(&before) {
        assert!(Instant::now() < deadline, "all are new, and the format stays: {}", cluster.home.serve_log());
        load.wait_for(1);
    }
    load.wait_for(20);
}

fn rolling(count: usize, releases: &Releases) {
    let begin = Instant::now();
    let mut home = Home::new();
    home.program = releases.old.clone();
    let mut cluster = Cluster::at(home, count, &["--replication", "semi-sync", "--sync-timeout", "500ms"]);
    let seen = under_load(&mut cluster, |cluster, load| roll(cluster, load, releases));
    println!(
        "{count} nodes in {:?}: {} answered, none lost, the slowest in {:?}",
        begin.elapsed(),
        seen.answered,
        seen.slowest
    );
    // Half a second for a replica that is gone, a switchover, and a machine that is busy with other tests.
    assert!(seen.slowest < Duration::from_secs(3), "{seen:?}");
    let primary = cluster.settle();
    let rises = usize::from(releases.formats.0 < releases.formats.1);
    for number in 1..=count {
        let found = formats(&dir(&cluster, number));
        assert!(found.is_sorted() && found[0] == releases.formats.0, "n{number}: {} records", found.len());
        assert_eq!(found.last(), Some(&releases.formats.1), "n{number}");
        let told = cluster.ok(number, &["events", "--json"]).lines();
        let told: Vec<_> = told.iter().filter(|event| event["event"] == "log-format").collect();
        assert_eq!(told.len(), if number == primary { rises } else { 0 }, "n{number}: {told:?}");
        assert!(told.iter().all(|event| event["format"] == releases.formats.1));
        assert_eq!(cluster.status(number)["log"]["format"], releases.formats.1);
    }
    if rises > 0 {
        the_way_back_is_closed(cluster, releases, primary);
    }
}

/// A release that does not know the format in the log neither starts with it nor speaks with who has it.
fn the_way_back_is_closed(mut cluster: Cluster, releases: &Releases, primary: usize) {
    stop(&mut cluster, 1);
    let before = content(&dir(&cluster, 1));
    cluster.home.program = releases.old.clone();
    let refused = cluster.home.run(&["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--json"]);
    let error = refused.error();
    assert_eq!((refused.code, &error["code"]), (Some(1), &json!("log_format")), "{refused:#?}");
    assert!(error["message"].as_str().unwrap().contains("format 2 is not known"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("or a newer one"), "{error}");
    let same = content(&dir(&cluster, 1)) == before;
    assert!(same, "a start that was refused has changed something");
    // Nor does it take an archive for a damaged one.
    let (peer, archive) = (cluster.url(primary), cluster.home.path("archive"));
    let archive = archive.to_str().unwrap();
    cluster.home.program = releases.new.clone();
    cluster.home.ok(&["backup", "-N", &peer, "-o", archive]);
    cluster.home.program = releases.old.clone();
    let refused = cluster.home.run(&["restore", archive, "n8", "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(2), &json!("format")), "{refused:#?}");
    // An empty one is refused by name, on both sides.
    cluster.home.ok(&["init", "n9"]);
    let newcomer = Node::serve(&cluster.home, &["-D", "n9", "--role", "replica", "--peer", &peer]);
    let wanted = [
        "the peer's log has records of format 2, this node reads up to 1: upgrade this node",
        "this node's log has records of format 2, the peer reads up to 1: upgrade the peer",
    ];
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused =
        |address: &str| Wire::open(address).unwrap().get("/status").unwrap().data()["refused_peers"].to_string();
    let primary_at = peer.strip_prefix("http://").unwrap();
    while !(refused(newcomer.address()).contains(wanted[0]) && refused(primary_at).contains(wanted[1])) {
        assert!(Instant::now() < deadline, "{}", cluster.home.serve_log());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(newcomer);
    cluster.home.program = releases.new.clone();
    cluster.serve(1, &["--peer", &peer]);
    cluster.settle();
}

#[test]
fn a_pair_is_upgraded_one_node_after_the_other_and_nothing_answered_is_lost() {
    for releases in given("a_pair_is_upgraded_one_node_after_the_other_and_nothing_answered_is_lost") {
        rolling(2, &releases);
    }
}

#[test]
fn three_nodes_are_upgraded_one_after_the_other_and_nothing_answered_is_lost() {
    for releases in given("three_nodes_are_upgraded_one_after_the_other_and_nothing_answered_is_lost") {
        rolling(3, &releases);
    }
}
