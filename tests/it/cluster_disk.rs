//! A replica whose disk has no room: the primary goes on as its mode says, and the replica comes back by itself.

use serde_json::json;

use crate::storage::SmallDisk;
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
