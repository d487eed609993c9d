//! A byte in the middle of the log of a stopped node is flipped: it is made whole again from the other one.

use std::path::PathBuf;

use serde_json::json;

use crate::support::Cluster;

const DOCUMENTS: usize = 300;

/// A pair with a log, all of it on both nodes.
fn pair(mode: &str) -> Cluster {
    let cluster = Cluster::new(2, &["--replication", mode, "--sync-timeout", "300ms"]);
    let lines: String =
        (0..DOCUMENTS).map(|n| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n:04}\"}}}}\n")).collect();
    cluster.home.file("batch.ndjson", lines);
    cluster.ok(1, &["apply", "--batch", "batch.ndjson", "-q"]);
    cluster.settle();
    cluster
}

/// Flips one bit of the document in the middle, and gives the name of the segment.
fn damage(cluster: &Cluster, number: usize) -> String {
    let folder = cluster.home.path(&format!("n{number}/log"));
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let mut segments = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_segment);
    let path = segments.next().unwrap();
    assert_eq!(segments.next(), None);
    let mut bytes = std::fs::read(&path).unwrap();
    let wanted = format!("u{:04}", DOCUMENTS / 2);
    let at = bytes.windows(wanted.len()).position(|window| window == wanted.as_bytes()).unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Damages a stopped node, starts it again while the other one runs, and looks at what it has then.
fn is_made_whole(mode: &str, victim: usize) {
    let mut cluster = pair(mode);
    let head = cluster.seen(1)["log"]["committed"].clone();
    cluster.kill(victim);
    let segment = damage(&cluster, victim);
    let name = format!("n{victim}");
    let found = cluster.home.run(&["log", "verify", "-D", &name, "--json"]);
    assert_eq!(found.code, Some(9), "{found:#?}");

    let other = cluster.url(3 - victim);
    cluster.serve(victim, &["--peer", &other]);
    assert_eq!(cluster.settle(), 1, "{mode}: the roles are as before");
    cluster.are_equal(victim, 3 - victim);
    let status = cluster.seen(victim);
    assert!(status["log"]["committed"].as_u64() >= head.as_u64(), "{status}");
    let kept: Vec<_> = std::fs::read_dir(cluster.home.path(&format!("{name}/rescue")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(kept.iter().any(|file| file.contains(segment.trim_end_matches(".log"))), "the damaged bytes: {kept:?}");
    let url = cluster.url(victim);
    let events = cluster.home.ok(&["events", "-N", &url, "--json"]).lines();
    let repaired: Vec<_> = events.iter().filter(|event| event["event"] == "repaired").collect();
    assert_eq!((repaired.len(), &repaired[0]["from"]), (1, &json!(1)), "{events:#?}");
    let said = cluster.home.serve_log();
    assert!(said.contains("the log is whole again: versions 1 to "), "{said}");
    // By its name: it says where it is although its process began with a log that was not whole.
    assert_eq!(cluster.ok(victim, &["ls", "user", "--json"]).lines().len(), DOCUMENTS);
    let put = cluster.request(1, "z", "kz", 5000).unwrap().data();
    assert_eq!((&put["durability"], &put["acks"]), (&json!("sync"), &json!(["n1", "n2"])));
    cluster.are_equal(victim, 3 - victim);
}

#[test]
fn a_flipped_byte_on_a_sync_replica_is_repaired_from_the_primary() {
    is_made_whole("sync", 2);
}

#[test]
fn a_flipped_byte_on_a_semi_sync_replica_is_repaired_from_the_primary() {
    is_made_whole("semi-sync", 2);
}

#[test]
fn a_flipped_byte_on_a_sync_primary_is_repaired_from_the_replica() {
    is_made_whole("sync", 1);
}

#[test]
fn a_flipped_byte_on_a_semi_sync_primary_is_repaired_from_the_replica() {
    is_made_whole("semi-sync", 1);
}

#[test]
fn a_damaged_node_that_reaches_nobody_stays_failed_neither_serves_nor_is_promoted_and_goes_on_when_it_can() {
    let mut cluster = pair("sync");
    cluster.kill(2);
    cluster.kill(1);
    damage(&cluster, 2);
    let peer = cluster.url(1);
    cluster.serve(2, &["--peer", &peer]);
    cluster.until(2, |status| status["state"] == "failed");
    let write = cluster.request(2, "b", "kb", 1000).unwrap();
    assert_eq!(write.status, 503, "{write:?}");
    let url = cluster.url(2);
    let promoted = cluster.home.run(&["promote", &url, "--json", "--timeout", "1s"]);
    assert_ne!(promoted.code, Some(0), "{promoted:#?}");
    assert_eq!(cluster.seen(2)["can_promote"], json!(false));
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 1);
    cluster.are_equal(2, 1);
}
