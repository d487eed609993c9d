//! `rig log compact`: what leaves, what may not, and that everything goes on without it.
//!
//! A short run of kills belongs to every test run. The long one is the same function with more:
//! `RIG_COMPACT_KILLS=50 cargo test --locked --test it compaction::killed -- --nocapture`

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Home, Node};
use crate::transfer::copy;

/// Operations of 64 KiB on twenty documents: 250 of them fill a segment.
fn large(from: usize, count: usize) -> String {
    let pad = "x".repeat(64 << 10);
    let line = |n: usize| {
        format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{}\",\"n\":{n},\"pad\":\"{pad}\"}}}}\n", n % 20)
    };
    (from..from + count).map(line).collect()
}

fn segments(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.len() == 24 && name.to_str().is_some_and(|name| name.ends_with(".log"))).count()
}

fn oldest(home: &Home) -> Value {
    home.ok(&["status", "-D", "n1", "--json"]).json()["log"]["oldest"].clone()
}

#[test]
fn old_segments_leave_and_the_audit_goes_on_behind_them() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let dir = home.path("n1");
    let mut node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    home.ok(&["apply", "--batch", home.file("ops", large(0, 800)).to_str().unwrap(), "-D", "n1", "-q"]);
    let before = segments(&dir);
    assert!(before >= 4, "{before} segments");
    let compact = ["log", "compact", "-D", "n1", "--keep", "10", "--json"];
    let refused = home.run(&compact);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(8), &json!("resource_busy")), "{refused:#?}");
    assert!(refused.error()["message"].as_str().unwrap().contains("no snapshot"), "{refused:#?}");
    let snapshot = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();

    let dry = home.ok(&[&compact[..], &["--dry-run"]].concat()).json();
    assert_eq!((&dry["dry_run"], dry["segments"].as_u64()), (&json!(true), Some(before as u64 - 1)));
    assert_eq!((segments(&dir), oldest(&home)), (before, json!(1)), "nothing was changed");
    let young = home.ok(&[&compact[..], &["--dry-run", "--older-than", "1h"]].concat()).json();
    assert_eq!((&young["segments"], &young["oldest"]), (&json!(0), &json!(1)), "{young}");
    assert_eq!(young["held_by"], "what begins with version 1 is not old enough");
    let old = home.ok(&[&compact[..], &["--dry-run", "--older-than", "0s"]].concat()).json();
    assert_eq!(old["oldest"], dry["oldest"]);
    let done = home.ok(&compact).json();
    assert_eq!(
        (&done["segments"], &done["oldest"], &done["size_bytes"]),
        (&dry["segments"], &dry["oldest"], &dry["size_bytes"])
    );
    assert_eq!((segments(&dir), oldest(&home)), (1, done["oldest"].clone()));
    assert!(done["oldest"].as_u64().unwrap() <= 801 - 10 + 1);
    assert_eq!(home.ok(&compact).json()["segments"], 0, "the second time nothing goes");

    // What is gone is told by name, in a directory and over the network; what stays is audited.
    for place in [["-D", "n1"], ["-N", node.url()]] {
        let gone = home.run(&[&["log", "dump", "--from", "1", "--json"], &place[..]].concat());
        assert_eq!((gone.code, &gone.error()["code"]), (Some(3), &json!("compacted")), "{gone:#?}");
    }
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"new\"}", "-D", "n1"]);
    home.ok(&["log", "verify", "-D", "n1"]);
    node.kill();
    let deep = home.ok(&["log", "verify", "-D", "n1", "--deep", "--json"]).lines();
    assert!(deep.iter().any(|line| line["code"] == "replayed"), "{deep:#?}");
    let mut node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    assert_eq!(home.ok(&["ls", "user", "-D", "n1", "--json"]).lines().len(), 21);
    assert_eq!(oldest(&home), done["oldest"]);

    // The snapshot is not a spare any more.
    node.kill();
    let path = dir.join("snapshots").join(snapshot["file"].as_str().unwrap());
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[9000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let failed = home.run(&["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!((failed.code, &failed.error()["code"]), (Some(9), &json!("no_snapshot")), "{failed:#?}");
    std::fs::write(&path, whole).unwrap();
    let _node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    assert_eq!(home.ok(&["ls", "user", "-D", "n1", "--json"]).lines().len(), 21);
}

#[test]
fn what_a_member_has_not_confirmed_stays() {
    let mut cluster = Cluster::new(2, &["--replication", "semi-sync", "--sync-timeout", "300ms"]);
    cluster.wait(1, "in-sync");
    cluster.kill(2);
    let known = cluster.status(1)["log"]["durable"].as_u64().unwrap();
    let ops = cluster.home.file("ops", large(0, 800));
    cluster.ok(1, &["apply", "--batch", ops.to_str().unwrap(), "-q"]);
    cluster.ok(1, &["snapshot", "create"]);
    let held = cluster.ok(1, &["log", "compact", "--keep", "10", "--json"]).json();
    assert_eq!((&held["segments"], &held["oldest"]), (&json!(0), &json!(1)), "{held}");
    assert!(held["held_by"].as_str().unwrap().contains("n2 has not confirmed more"), "{held}");
    cluster.serve(2, &["--role", "replica"]);
    cluster.wait(2, "in-sync");
    assert!(cluster.status(2)["log"]["durable"].as_u64().unwrap() >= known + 800);
    let done = cluster.ok(1, &["log", "compact", "--keep", "10", "--json"]).json();
    assert!(done["segments"].as_u64().unwrap() >= 3, "{done}");
    cluster.put(1, "after");
    cluster.kill(1);
    cluster.home.ok(&["log", "verify", "-D", "n1", "--against", "n2"]);
}

#[test]
fn a_node_that_may_compacts_behind_each_snapshot_by_itself() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let dir = home.path("n1");
    let node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0", "--compact-keep", "10"]);
    home.ok(&["apply", "--batch", home.file("ops", large(0, 800)).to_str().unwrap(), "-D", "n1", "-q"]);
    assert!(segments(&dir) >= 4 && oldest(&home) == 1, "nobody has written a snapshot yet");
    home.ok(&["snapshot", "create", "-D", "n1"]);
    let until = Instant::now() + Duration::from_secs(20);
    while segments(&dir) > 1 {
        assert!(Instant::now() < until, "{}", home.serve_log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(oldest(&home).as_u64().unwrap() > 1);
    home.ok(&["log", "verify", "-D", "n1"]);
    drop(node);
    home.ok(&["log", "verify", "-D", "n1"]);
}

fn kills(short: u32) -> u32 {
    std::env::var("RIG_COMPACT_KILLS").map_or(short, |text| text.parse().expect("RIG_COMPACT_KILLS is a number"))
}

/// The segments of a stopped node, and where it says that its log begins.
fn lies(home: &Home, dir: &Path) -> (usize, u64) {
    let first = home.ok(&["log", "dump", "-D", "n1", "-n", "1", "--json"]).json();
    (segments(dir), first["version"].as_u64().unwrap())
}

#[test]
fn killed_while_it_compacts_a_node_has_the_old_beginning_or_the_new_one() {
    let home = Home::new();
    let (dir, whole) = (home.path("n1"), home.path("whole"));
    home.ok(&["init", "n1"]);
    let mut node = Node::serve(&home, &["-D", "n1"]);
    home.ok(&["apply", "--batch", home.file("ops", large(0, 1200)).to_str().unwrap(), "-D", "n1", "-q"]);
    home.ok(&["snapshot", "create", "-D", "n1"]);
    node.kill();
    copy(&dir, &whole);
    let (all, _) = lies(&home, &dir);
    let documents = |home: &Home| home.ok(&["ls", "user", "-D", "n1", "--json"]).stdout;
    let compact = ["log", "compact", "-D", "n1", "--keep", "10", "--json"];

    node = Node::serve(&home, &["-D", "n1"]);
    let state = documents(&home);
    let begin = Instant::now();
    let done = home.ok(&compact).json();
    let takes = begin.elapsed();
    let new = done["oldest"].as_u64().unwrap();
    let stay = all - done["segments"].as_u64().unwrap() as usize;
    assert!(all >= stay + 3, "{done}");
    let (count, mut olds, mut halves, mut news) = (kills(3), 0, 0, 0);
    for number in 0..count {
        node.kill();
        std::fs::remove_dir_all(&dir).unwrap();
        copy(&whole, &dir);
        node = Node::serve(&home, &["-D", "n1"]);
        let mut asked = home.rig(&compact).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(takes * (number * 7919 % 1000) / 1000);
        node.kill();
        asked.wait().unwrap();

        home.ok(&["log", "verify", "-D", "n1"]);
        let (left, oldest) = lies(&home, &dir);
        assert!(oldest == 1 && left == all || oldest == new, "kill {number}: {left} segments, from {oldest} on");
        olds += u32::from(oldest == 1);
        halves += u32::from(oldest == new && left > stay);
        news += u32::from(oldest == new && left == stay);
        node = Node::serve(&home, &["-D", "n1"]);
        assert_eq!(documents(&home), state, "kill {number}");
        assert_eq!((segments(&dir), self::oldest(&home)), (if oldest == 1 { all } else { stay }, json!(oldest)));
        home.ok(&["apply", "user_put", "--data", "{\"id\":\"new\"}", "-D", "n1"]);
        home.ok(&["log", "verify", "-D", "n1"]);
    }
    println!("{count} kills, a compaction takes {takes:?}: {olds} old, {halves} new with segments left, {news} new");
    assert!(count < 50 || olds > 0 && halves > 0 && news > 0, "the kills are not where the compaction is");
}

#[test]
fn by_the_clock_a_snapshot_is_written_and_what_is_old_leaves_the_log() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let (dir, settings) = (home.path("n1"), home.path("n1/rig.toml"));
    home.file("n1/rig.toml", "snapshot_interval = \"off\"\ncompact_keep = 10\ncompact_age = \"1h\"\n");
    let _node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    home.ok(&["apply", "--batch", home.file("ops", large(0, 800)).to_str().unwrap(), "-D", "n1", "-q"]);
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < until, "{what}: {}", home.serve_log());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let taken = || home.ok(&["snapshot", "ls", "-D", "n1", "--json"]).lines().len();
    assert_eq!(taken(), 0, "eight hundred records are no reason by themselves");
    // Both hold without a restart.
    std::fs::write(&settings, "snapshot_interval = \"300ms\"\ncompact_keep = 10\ncompact_age = \"1h\"\n").unwrap();
    until("a snapshot by the clock", &|| taken() == 1);
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!((taken(), oldest(&home)), (1, json!(1)), "nothing is new, and nothing is an hour old");
    std::fs::write(&settings, "snapshot_interval = \"300ms\"\ncompact_keep = 10\ncompact_age = \"1ms\"\n").unwrap();
    until("the settings are read", &|| {
        home.ok(&["config", "show", "-D", "n1", "--json"]).json()["settings"]["compact_age"]["value"] == "1ms"
    });
    home.ok(&["apply", "--batch", home.file("more", large(800, 120)).to_str().unwrap(), "-D", "n1", "-q"]);
    until("the log is compacted", &|| segments(&dir) <= 2 && oldest(&home) != 1);
    home.ok(&["log", "verify", "-D", "n1"]);
}
