//! The way between two real nodes is cut, in both directions or in one, while both of them live; and a primary comes
//! back with what only it had.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Cluster;

/// Writes many documents by one batch, each with its own key.
fn batch(cluster: &Cluster, number: usize, prefix: &str, count: usize) {
    let lines: String = (0..count)
        .map(|n| {
            let id = format!("{prefix}{n}");
            format!("{{\"method\":\"user_create\",\"data\":{{\"id\":\"{id}\"}},\"key\":\"k-{id}\"}}\n")
        })
        .collect();
    cluster.home.file("batch.ndjson", lines);
    let summary = cluster.ok(number, &["apply", "--batch", "batch.ndjson", "-q", "--json"]).json();
    assert_eq!(summary["ok"], count, "{summary}");
}

/// Names of the events of a node.
fn events(cluster: &Cluster, number: usize) -> Vec<String> {
    let lines = cluster.ok(number, &["events", "--json"]).lines();
    lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

fn documents(cluster: &Cluster, number: usize) -> usize {
    cluster.ok(number, &["ls", "user", "--json"]).lines().len()
}

/// The one rescue file of `n1`.
fn rescued(cluster: &Cluster) -> Value {
    cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json()
}

/// Sends a rescue file of `n1` to the primary and gives the summary.
fn replay(cluster: &Cluster, file: &str) -> Value {
    cluster.home.ok(&["rescue", "replay", file, "-D", "n1", "--json"]).lines().pop().unwrap()
}

#[test]
fn an_async_primary_behind_a_cut_follows_who_was_promoted_by_force_and_what_it_had_answered_is_rescued_and_replayed() {
    let cluster = Cluster::with_links(&["--replication", "async", "--sync-timeout", "300ms"]);
    cluster.put(1, "both");
    cluster.until(2, |status| status["log"]["durable"] == cluster.seen(1)["log"]["durable"]);
    cluster.cut();
    batch(&cluster, 1, "a", 100);
    let refused = cluster.run(2, &["promote", "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(6), &json!("promotion_unsafe")), "{refused:#?}");
    assert_eq!(cluster.force(2)["epoch"], 2);
    batch(&cluster, 2, "b", 50);
    // Neither knows of the other: both go on.
    assert_eq!((&cluster.seen(1)["role"], &cluster.seen(2)["role"]), (&json!("primary"), &json!("primary")));

    cluster.heal();
    assert_eq!(cluster.settle(), 2);
    cluster.are_equal(1, 2);
    let seen = cluster.seen(1);
    assert_eq!((&seen["role"], &seen["epoch"], &seen["rescued"]), (&json!("replica"), &json!(2), &json!(1)));
    let events = events(&cluster, 1);
    for name in ["fenced", "rescued"] {
        assert!(events.iter().any(|event| event == name), "{name}: {events:?}");
    }
    let listed = rescued(&cluster);
    assert_eq!((&listed["node"], &listed["records"], &listed["epoch"]), (&json!("n1"), &json!(100), &json!(1)));
    assert_eq!(listed["acknowledged"], json!({"yes": 100, "no": 0, "unknown": 0}));
    assert_eq!(documents(&cluster, 1), 51);

    let file = listed["file"].as_str().unwrap();
    let first = json!({"type":"summary","ok":100,"replayed":0,"rejected":0,"unknown":0,"skipped":0});
    assert_eq!(replay(&cluster, file), first);
    assert_eq!(documents(&cluster, 2), 151);
    assert!(rescued(&cluster)["replayed_at"].is_string());
    assert_eq!(cluster.put(2, "after")["durability"], "async");
}

#[test]
fn a_sync_primary_behind_a_cut_answers_nothing_any_more_and_follows_who_was_promoted() {
    let cluster = Cluster::with_links(&["--replication", "sync", "--sync-timeout", "300ms"]);
    let before = cluster.put(1, "before");
    cluster.cut();
    let promoted = cluster.ok(2, &["promote", "--json"]).json();
    assert_eq!((&promoted["state"], &promoted["forced"]), (&json!("blocked"), &json!(false)));
    // The first may be logged and stay open; after that not even this.
    let old = cluster.request(1, "a", "ka", 700).unwrap();
    assert!(matches!(old.status, 503 | 504), "{old:?}");
    for (number, id) in [(1, "a2"), (2, "b")] {
        let reply = cluster.request(number, id, id, 700).unwrap();
        assert_eq!((reply.status, &*reply.code()), (503, "not_enough_replicas"), "n{number}");
    }
    assert_eq!(cluster.seen(1)["state"], "blocked");
    assert_eq!(cluster.seen(1)["log"]["committed"], before["version"]);

    cluster.heal();
    assert_eq!(cluster.settle(), 2);
    for number in [1, 2] {
        let events = events(&cluster, number);
        assert!(!events.iter().any(|event| event == "split-brain"), "n{number}: {events:?}");
    }
    assert_eq!(cluster.put(2, "c")["durability"], "sync");
    let version = before["version"].to_string();
    let kept = cluster.ok(1, &["log", "dump", "--from", &version, "--to", &version, "--json"]).json();
    assert_eq!(kept["hash"], before["hash"]);
    // Whatever the first came to, its key has one outcome now, and the document is there once.
    let again = cluster.request(2, "a", "ka", 5000).unwrap().data();
    assert_eq!(again["durability"], "sync");
    cluster.until(1, |status| status["log"]["committed"] == cluster.seen(2)["log"]["committed"]);
    cluster.are_equal(1, 2);
}

/// What one node says does not arrive at the other; the other way is open. Nothing is answered that is only here and
/// claims to be on both, nobody becomes primary, and it is over when the way is open again.
fn one_way(mode: &str, silent: usize) {
    let sync_timeout = if mode == "sync" { "300ms" } else { "1s" };
    let cluster = Cluster::with_links(&["--replication", mode, "--sync-timeout", sync_timeout]);
    cluster.put(1, "before");
    cluster.silence(silent);
    let begin = Instant::now();
    let patience = if mode == "sync" { 1000 } else { 8000 };
    let reply = cluster.request(1, "during", "k-during", patience).unwrap();
    match mode {
        "sync" => {
            assert!(matches!(reply.status, 503 | 504), "{reply:?}");
            cluster.until(1, |status| status["state"] == "blocked");
        }
        _ => {
            let data = reply.data();
            assert_eq!((&data["durability"], &data["acks"]), (&json!("degraded"), &json!(["n1"])));
            assert!(
                begin.elapsed() < Duration::from_secs(3),
                "it was waited for {:?}: {}",
                begin.elapsed(),
                cluster.home.serve_log()
            );
            cluster
                .until(1, |status| status["state"] == "degraded" && status["replication"]["in_sync"] == json!(["n1"]));
            // It may know that it was left behind, or hear nothing: it is never promoted unforced.
            let refused = cluster.run(2, &["promote", "--json"]);
            assert_eq!(refused.code, Some(6), "{refused:#?}");
        }
    }
    let seen = cluster.seen(2);
    assert_eq!((&seen["role"], &seen["epoch"]), (&json!("replica"), &json!(1)));
    let next = cluster.request(1, "next", "k-next", 3000).unwrap();
    match mode {
        "sync" => assert_eq!((next.status, &*next.code()), (503, "not_enough_replicas")),
        _ => assert_eq!(next.data()["durability"], "degraded"),
    }
    cluster.heal();
    assert_eq!(cluster.settle(), 1);
    // What was in flight has one outcome.
    for id in ["during", "next"] {
        assert_eq!(cluster.request(1, id, &format!("k-{id}"), 5000).unwrap().status, 200);
    }
    assert_eq!(cluster.put(1, "after")["durability"], "sync");
    assert_eq!(documents(&cluster, 1), 4);
    cluster.are_equal(1, 2);
}

#[test]
fn a_sync_primary_that_is_not_heard_answers_nothing_until_it_is() {
    one_way("sync", 1);
}

#[test]
fn a_sync_primary_that_does_not_hear_answers_nothing_until_it_does() {
    one_way("sync", 2);
}

#[test]
fn a_semi_sync_primary_that_is_not_heard_goes_on_degraded_until_it_is() {
    one_way("semi-sync", 1);
}

#[test]
fn a_semi_sync_primary_that_does_not_hear_goes_on_degraded_until_it_does() {
    one_way("semi-sync", 2);
}

/// The thousand records that no other node had confirmed are found, rescued, listed, and replayed once. `n1` is a
/// replica again, and its operator has done nothing for that.
fn a_thousand_are_replayed(cluster: &Cluster) {
    assert_eq!(cluster.settle(), 2);
    cluster.are_equal(1, 2);
    assert_eq!(documents(cluster, 1), 2);
    let listed = rescued(cluster);
    let file = listed["file"].as_str().unwrap();
    let known = ["yes", "no", "unknown"].map(|word| listed["acknowledged"][word].as_u64().unwrap());
    assert_eq!((&listed["records"], known.iter().sum()), (&json!(1000), 1000), "{listed}");
    assert_eq!((&listed["node"], &listed["replayed_at"]), (&json!("n1"), &Value::Null));
    let shown = cluster.home.ok(&["rescue", "show", file, "-D", "n1", "--json"]).lines();
    let keys: Vec<_> = shown.iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, (0..1000).map(|n| format!("k-a{n}")).collect::<Vec<_>>());

    let summary =
        |replayed: u64| json!({"type":"summary","ok":1000,"replayed":replayed,"rejected":0,"unknown":0,"skipped":0});
    assert_eq!(replay(cluster, file), summary(0));
    assert_eq!(documents(cluster, 2), 1002);
    let head = cluster.seen(2)["log"]["committed"].clone();
    // A second time does nothing twice.
    assert_eq!(replay(cluster, file), summary(1000));
    assert_eq!((documents(cluster, 2), &cluster.seen(2)["log"]["committed"]), (1002, &head));
    cluster.until(1, |status| status["log"]["committed"] == head);
    cluster.are_equal(1, 2);
}

/// An old primary was cut off, wrote a thousand records alone, and is back.
fn cut_off_with_a_thousand(mode: &str) {
    let cluster = Cluster::with_links(&["--replication", mode, "--sync-timeout", "300ms"]);
    cluster.put(1, "both");
    cluster.until(2, |status| status["log"]["durable"] == cluster.seen(1)["log"]["durable"]);
    cluster.cut();
    batch(&cluster, 1, "a", 1000);
    cluster.force(2);
    cluster.put(2, "new");
    cluster.heal();
    a_thousand_are_replayed(&cluster);
}

#[test]
fn a_thousand_records_of_an_async_primary_that_was_cut_off_are_found_rescued_listed_and_replayed_once() {
    cut_off_with_a_thousand("async");
}

#[test]
fn a_thousand_records_of_a_semi_sync_primary_that_was_cut_off_are_found_rescued_listed_and_replayed_once() {
    cut_off_with_a_thousand("semi-sync");
}

#[test]
fn a_thousand_records_of_a_killed_semi_sync_primary_are_found_rescued_listed_and_replayed_once() {
    let mut cluster = Cluster::new(2, &["--sync-timeout", "300ms"]);
    cluster.put(1, "both");
    cluster.kill(2);
    batch(&cluster, 1, "a", 1000);
    cluster.kill(1);
    cluster.serve(2, &[]);
    cluster.force(2);
    cluster.put(2, "new");
    cluster.serve(1, &["--role", "replica"]);
    a_thousand_are_replayed(&cluster);
}
