//! A disk of a pair that has no room or fails: the other node goes on as the mode says, and who comes back follows.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::storage::{SmallDisk, can_inject, last_words};
use crate::support::{Cluster, Node};
use crate::wire::Wire;

const NOTE_BYTES: usize = 30_000;

/// Puts notes until one is answered as asked, and gives how many that took.
fn put_until(wire: &mut Wire, from: usize, durability: &str) -> usize {
    let text = "x".repeat(NOTE_BYTES);
    for n in from..from + 2000 {
        let reply = wire.operation("note_put", &format!(r#"{{"id":"n{n}","text":"{text}"}}"#), None).unwrap();
        assert_eq!(reply.status, 200, "note {n}: {}", reply.code());
        if reply.data()["durability"] == durability {
            return n + 1;
        }
    }
    panic!("no answer is `{durability}`");
}

#[test]
fn a_replica_whose_disk_is_full_is_left_behind_by_name_and_is_back_when_there_is_room() {
    let cluster = Cluster::new(1, &["--replication", "semi-sync", "--sync-timeout", "500ms"]);
    let Some(disk) = SmallDisk::mount(&cluster.home, 16, "full disk of a replica") else { return };
    let ballast = disk.ballast("ballast", 8 << 20);
    let dir = "small/n2";
    cluster.home.ok(&["init", dir]);
    let _replica = Node::serve(&cluster.home, &["-D", dir, "--role", "replica", "--peer", &cluster.url(1)]);
    cluster.until(1, |status| status["replication"]["in_sync"] == json!(["n1", "n2"]));
    let url = cluster.url(1);
    let mut wire = Wire::open(url.strip_prefix("http://").unwrap()).unwrap();

    // What the replica has no room for is answered all the same, and says so.
    let next = put_until(&mut wire, 0, "sync");
    let next = put_until(&mut wire, next, "degraded");
    cluster.until(1, |status| status["state"] == "degraded" && status["replication"]["in_sync"] == json!(["n1"]));
    let status = cluster.home.ok(&["status", "-D", dir, "--json"]).json();
    assert_eq!((&status["disk_full"], &status["role"]), (&json!(true), &json!("replica")), "{status}");
    let refused = cluster.home.run(&["promote", "-D", dir, "--json"]);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    let next = put_until(&mut wire, next, "degraded");

    std::fs::remove_file(ballast).unwrap();
    cluster.until(1, |status| status["replication"]["in_sync"] == json!(["n1", "n2"]));
    put_until(&mut wire, next, "sync");
    let lines = cluster.home.ok(&["log", "verify", "-D", dir, "--against", &url, "--json"]).lines();
    assert!(lines.iter().any(|line| line["code"] == "equal"), "{lines:#?}");
}

/// A tracer that makes the next sync of a running node take a while and fail; ended with the test.
struct FailingSync(Child);

impl FailingSync {
    fn of(cluster: &mut Cluster, number: usize) -> Self {
        let pid = cluster.node(number).pid();
        let inject = "inject=fdatasync:error=EIO:delay_enter=400000:when=1+";
        let arguments = ["-f", "-qq", "-o", "strace.txt", "-e", "trace=fdatasync", "-e", inject, "-p"];
        let mut command = cluster.home.command("strace", &[&arguments[..], &[&pid.to_string()]].concat());
        let tracer = Self(command.spawn().unwrap());
        let is_traced = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            !status.lines().any(|line| line == "TracerPid:\t0")
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().all(is_traced) {
            assert!(Instant::now() < deadline, "it is not traced");
            std::thread::sleep(Duration::from_millis(5));
        }
        tracer
    }
}

impl Drop for FailingSync {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node whose sync has failed ends, by name.
fn has_ended(cluster: &mut Cluster, number: usize) {
    assert_eq!(cluster.node(number).wait(), Some(1), "{}", cluster.home.serve_log());
    let said = cluster.home.serve_log();
    let last = said.lines().rfind(|line| line.contains("\"type\":\"error\"")).unwrap();
    let message = last_words(last);
    assert!(message.contains(&format!("/n{number}/log/")) && message.contains("Input/output error"), "{message}");
}

#[test]
fn a_primary_whose_sync_fails_answers_unknown_and_stops_and_what_its_replica_holds_is_rolled_forward() {
    if !can_inject("failed sync of a primary") {
        return;
    }
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    cluster.put(1, "before");
    let tracer = FailingSync::of(&mut cluster, 1);
    let reply = cluster.request(1, "a", "ka", 5000).unwrap();
    assert_eq!((reply.status, reply.code()), (504, "outcome_unknown".to_owned()), "{:?}", reply.json());
    assert_eq!(reply.json()["definite"], false);
    has_ended(&mut cluster, 1);
    drop(tracer);

    cluster.home.ok(&["promote", "n2"]);
    let url = cluster.url(2);
    let outcome = || {
        let mut wire = Wire::open(url.strip_prefix("http://").unwrap()).unwrap();
        wire.get("/outcome/ka").unwrap().data()
    };
    let kept = outcome();
    assert!(kept["state"] == "pending" && kept["version"].is_u64(), "it has it, and in `sync` it waits: {kept}");
    let lonely = cluster.request(2, "b", "kb", 500).unwrap();
    assert!(matches!(lonely.status, 503 | 504), "{lonely:?}");
    // It reads what its disk has, and takes from the new primary what it is to be.
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 2);
    assert_eq!((&outcome()["state"], &outcome()["version"]), (&json!("committed"), &kept["version"]));
    let again = cluster.request(2, "a", "ka", 5000).unwrap().data();
    assert_eq!((&again["replayed"], &again["version"]), (&json!(true), &kept["version"]));
    assert_eq!(cluster.put(2, "after")["acks"].as_array().unwrap().len(), 2);
    cluster.are_equal(1, 2);
    // The first record of a term that it may have begun alone is set aside, and nothing that a client has sent.
    for file in cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).lines() {
        assert_eq!((&file["records"], &file["acknowledged"]["no"]), (&json!(1), &json!(1)), "{file}");
        let shown = cluster.home.ok(&["rescue", "show", file["file"].as_str().unwrap(), "-D", "n1", "--json"]).stdout;
        assert!(shown.contains("rig_epoch") && !shown.contains("user_put"), "{shown}");
    }
}

#[test]
fn a_replica_whose_sync_fails_stops_and_the_primary_goes_on_as_its_mode_says() {
    if !can_inject("failed sync of a replica") {
        return;
    }
    for mode in ["sync", "semi-sync"] {
        let mut cluster = Cluster::new(2, &["--replication", mode, "--sync-timeout", "800ms"]);
        cluster.put(1, "before");
        let tracer = FailingSync::of(&mut cluster, 2);
        let reply = cluster.request(1, "a", "ka", 2500).unwrap();
        has_ended(&mut cluster, 2);
        drop(tracer);
        if mode == "sync" {
            assert_eq!((reply.status, reply.code()), (504, "outcome_unknown".to_owned()), "{reply:?}");
            assert_eq!(cluster.request(1, "b", "kb", 500).unwrap().status, 503);
            cluster.serve(2, &[]);
        } else {
            assert_eq!(reply.data()["durability"], "degraded");
            let status = cluster.until(1, |status| status["state"] == "degraded");
            assert_eq!(status["replication"]["in_sync"], json!(["n1"]));
            // It is not to be promoted: the primary has answered without it.
            cluster.kill(1);
            cluster.serve(2, &[]);
            let refused = cluster.home.run(&["promote", "n2", "--json", "--timeout", "2s"]);
            assert_ne!(refused.code, Some(0), "{refused:#?}");
            cluster.serve(1, &[]);
        }
        assert_eq!(cluster.settle(), 1, "{mode}");
        let again = cluster.request(1, "a", "ka", 5000).unwrap().data();
        assert_eq!(again["replayed"], true, "{mode}: {again}");
        cluster.are_equal(2, 1);
    }
}
