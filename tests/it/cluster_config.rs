//! `rig member` and `rig config`: what the log says about the cluster, seen and changed from any node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Cluster;
use crate::wire::Wire;

#[test]
fn members_are_listed_alike_on_every_node_and_removed_by_name() {
    let mut cluster = Cluster::new(3, &[]);
    for number in 1..=3 {
        // A replica hears of the set with the next heartbeat.
        cluster.until(number, |status| status["replication"]["in_sync"].as_array().is_some_and(|set| set.len() == 3));
        let members = cluster.ok(number, &["member", "ls", "--json"]).lines();
        let names: Vec<_> = members.iter().map(|member| member["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["n1", "n2", "n3"]);
        assert!(members.iter().all(|member| member["type"] == "member" && member["in_sync"] == true), "{members:#?}");
        assert_eq!(members.iter().filter(|member| member["primary"] == true).count(), 1);
    }
    let table = cluster.ok(2, &["member", "ls"]).stdout;
    assert!(table.starts_with("NAME") && table.lines().count() == 4, "{table}");
    for (arguments, exit, code) in [
        (&["member", "remove", "n9", "--confirm", "n9"][..], 3, "not_found"),
        (&["member", "remove", "n3"], 2, "not_confirmed"),
        (&["member", "remove", "n3", "--confirm", "n2"], 2, "not_confirmed"),
        (&["member", "remove", "n1", "--confirm", "n1"], 3, "not_found"),
        (&["member", "remove"], 2, "bad_argument"),
    ] {
        let ran = cluster.run(1, &[arguments, &["--json"]].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (Some(exit), &json!(code)), "{arguments:?}: {ran:#?}");
    }
    assert_eq!(cluster.ok(1, &["member", "ls", "--json"]).lines().len(), 3);
    cluster.kill(3);
    // Asked of a replica, it is done by the primary.
    let removed = cluster.ok(2, &["member", "remove", "n3", "--confirm", "n3", "--json"]).json();
    assert_eq!((&removed["type"], &removed["name"]), (&json!("removed"), &json!("n3")));
    assert_eq!(cluster.ok(1, &["member", "ls", "--json"]).lines().len(), 2);
    assert_eq!(cluster.put(1, "a")["durability"], "sync");
}

#[test]
fn the_last_replica_is_removed_at_once_and_nothing_is_left_of_it() {
    let mut cluster = Cluster::new(2, &[]);
    for round in 0..3 {
        if round > 0 {
            // Another disk under the same name.
            std::fs::remove_dir_all(cluster.home.path("n2")).unwrap();
            cluster.home.ok(&["init", "n2"]);
            let peer = cluster.url(1);
            cluster.serve(2, &["--role", "replica", "--peer", &peer]);
            cluster.wait(2, "in-sync");
        }
        cluster.put(1, "a");
        cluster.kill(2);
        if round == 1 {
            assert_eq!(cluster.put(1, "b")["durability"], "degraded");
        }
        let begun = Instant::now();
        let removed = cluster.ok(1, &["member", "remove", "n2", "--confirm", "n2", "--json"]).json();
        assert_eq!((&removed["type"], &removed["name"]), (&json!("removed"), &json!("n2")));
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!(cluster.status(1)["peers"], json!([]));
    }
    let metrics = Wire::open(cluster.node(1).address()).unwrap().get("/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body.clone()).unwrap();
    assert!(!metrics.contains("peer=\"n2\""), "{metrics}");
}

#[test]
fn two_members_of_one_name_are_one_series() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.home.path("n2")).unwrap();
    cluster.home.ok(&["init", "n2"]);
    let peer = cluster.url(1);
    cluster.serve(2, &["--role", "replica", "--peer", &peer]);
    cluster.wait(2, "in-sync");
    assert_eq!(cluster.status(1)["peers"].as_array().unwrap().len(), 2, "two members, told apart by their ids");
    let metrics = Wire::open(cluster.node(1).address()).unwrap().get("/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body.clone()).unwrap();
    let connected: Vec<_> = metrics.lines().filter(|line| line.starts_with("rig_replica_connected{")).collect();
    assert_eq!(connected, ["rig_replica_connected{peer=\"n2\"} 1"], "{metrics}");
}

#[test]
fn a_member_whose_disk_is_gone_is_removed_from_a_sync_pair_by_force_only() {
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    cluster.put(1, "a");
    cluster.kill(2);
    let unnamed = cluster.run(1, &["member", "remove", "n2", "--accept-data-loss", "--json"]);
    assert_eq!((unnamed.code, &unnamed.error()["code"]), (Some(2), &json!("not_confirmed")));
    let forced = ["member", "remove", "n2", "--accept-data-loss", "--confirm", "n2", "--json"];
    assert_eq!(cluster.ok(1, &forced).json()["forced"], true);
    assert_eq!(cluster.ok(1, &["member", "ls", "--json"]).lines().len(), 1);
}

#[test]
fn the_mode_is_a_record_of_the_log_and_every_node_shows_where_it_came_from() {
    let cluster = Cluster::new(2, &[]);
    let shown = cluster.ok(2, &["config", "show", "--json"]).json();
    for (member, value) in [
        ("type", json!("config")),
        ("replication", json!("semi-sync")),
        ("min_replicas", json!(1)),
        ("sync_timeout_ms", json!(2000)),
    ] {
        assert_eq!(shown[member], value, "{shown}");
    }
    assert!(shown.get("origin").is_none());
    let set = cluster.ok(2, &["config", "set", "replication=sync", "sync_timeout=500ms", "--json"]).json();
    assert_eq!((&set["replication"], &set["sync_timeout_ms"]), (&json!("sync"), &json!(500)));
    let origin = cluster.ok(1, &["config", "show", "--origin", "--json"]).json()["origin"].clone();
    assert_eq!(origin["min_replicas"]["method"], "rig_epoch");
    assert_eq!(origin["replication"]["method"], "rig_config");
    let version = origin["replication"]["version"].to_string();
    let record = cluster.ok(2, &["log", "dump", "--from", &version, "-n", "1", "--json"]).json();
    assert_eq!((&record["method"], &record["data"]["replication"]), (&json!("rig_config"), &json!("sync")));
    let table = cluster.ok(1, &["config", "show", "--origin"]).stdout;
    assert!(table.contains(&format!("version {version}, rig_config")), "{table}");
    // The same again is no record.
    cluster.ok(1, &["config", "set", "replication=sync"]);
    let last = cluster.ok(1, &["log", "dump", "-r", "-n", "1", "--json"]).json();
    assert_eq!(last["version"].to_string(), version);
}

#[test]
fn a_change_that_waits_for_a_dead_member_is_shown_as_what_it_is_with_the_way_out() {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "200ms", "--request-timeout", "1s"]);
    cluster.kill(2);
    let set = cluster.run(1, &["config", "set", "replication=semi-sync", "--json"]);
    let (error, version) = (set.error(), cluster.seen(1)["log"]["durable"].to_string());
    let (message, hint) = (error["message"].to_string(), error["hint"].to_string());
    assert_eq!(set.code, Some(7), "{set:#?}");
    assert!(
        message.contains(&format!("version {version} of the log and not committed: until it is, mode sync")),
        "{error}"
    );
    assert!(hint.contains("start n2") && hint.contains("rig member remove n2 --accept-data-loss"), "{error}");
    let status = cluster.ok(1, &["status"]).stdout;
    assert!(status.contains(&format!("the mode is version {version}, not committed: until it is, sync")), "{status}");
    assert!(status.contains("rig member remove n2 --accept-data-loss --confirm n2"), "{status}");
    let origin = cluster.ok(1, &["config", "show", "--origin"]).stdout;
    assert!(origin.contains(&format!("version {version}, not committed: until it is, sync holds too")), "{origin}");
    let refused = cluster.run(1, &["apply", "user_put", "--data", "{\"id\":\"a\"}", "--timeout", "500ms", "--json"]);
    assert!(refused.stderr.contains(&format!("which holds until version {version} is committed")), "{refused:#?}");
    // The way out.
    cluster.ok(1, &["member", "remove", "n2", "--accept-data-loss", "--confirm", "n2"]);
    cluster.put(1, "b");
    assert_eq!(cluster.status(1)["replication"]["pending"], json!(null));
}

#[test]
fn what_cannot_be_set_is_refused_before_or_by_the_node() {
    let cluster = Cluster::new(2, &[]);
    for (arguments, exit, code) in [
        (&["config", "set"][..], 2, "bad_argument"),
        (&["config", "set", "replication=fast"], 2, "bad_argument"),
        (&["config", "set", "min_replicas=0"], 2, "bad_argument"),
        (&["config", "set", "sync_timeout=2"], 2, "bad_argument"),
        (&["config", "set", "members=n1"], 2, "bad_argument"),
        (&["config", "set", "min_replicas=2"], 5, "invalid"),
    ] {
        let ran = cluster.run(1, &[arguments, &["--json"]].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (Some(exit), &json!(code)), "{arguments:?}: {ran:#?}");
    }
    for command in [&["config", "show"][..], &["config", "set", "replication=sync"], &["member", "ls"], &["events"]] {
        for (node, exit) in [("n9", 3), ("http://127.0.0.1:1", 4)] {
            let ran = cluster.home.run(&[command, &["-N", node]].concat());
            assert_eq!(ran.code, Some(exit), "{command:?} {node}: {ran:#?}");
        }
    }
}

/// Tells clients to stop when it goes, also when a test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes on one connection until it is told to stop: what was answered, by durability; and how often it was told that there
/// are too few replicas, which is said before anything is logged.
fn written(address: &str, client: usize, stop: &AtomicBool) -> (BTreeMap<String, usize>, usize) {
    let mut wire = Wire::open(address).unwrap();
    let (mut answers, mut refused, mut n) = (BTreeMap::new(), 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let (data, key) = (format!("{{\"id\":\"c{client}-{n}\"}}"), format!("c{client}-{n}"));
        // The same connection to the end: one that is dropped is an error here.
        let reply = wire.operation("user_put", &data, Some(&key)).unwrap();
        match reply.status {
            200 => {
                let durability = reply.data()["durability"].as_str().unwrap().to_owned();
                *answers.entry(durability).or_default() += 1;
                n += 1;
            }
            503 if reply.code() == "not_enough_replicas" => refused += 1,
            _ => panic!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
        }
    }
    assert_eq!(answers.values().sum::<usize>(), n);
    (answers, refused)
}

#[test]
fn mode_numbers_and_times_change_under_load_and_no_write_and_no_connection_is_lost() {
    let mut cluster = Cluster::new(3, &[]);
    let (address, stop) = (cluster.node(1).address().to_owned(), AtomicBool::new(false));
    let total: usize = std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn({
                    let (address, stop) = (&address, &stop);
                    move || written(address, client, stop)
                })
            })
            .collect();
        let set = |words: &[&str], mode: &str| {
            let set = cluster.ok(1, &[&["config", "set"], words, &["--json"]].concat()).json();
            assert_eq!(set["replication"], mode, "{words:?}");
            std::thread::sleep(Duration::from_millis(150));
        };
        set(&["replication=sync"], "sync");
        set(&["min_replicas=2"], "sync");
        let refused = cluster.run(1, &["config", "set", "min_replicas=3", "--json"]);
        assert_eq!((refused.code, &refused.error()["code"]), (Some(5), &json!("invalid")), "{refused:#?}");
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "min_replicas is more than the 2 replicas that there are");
        set(&["sync_timeout=500ms", "min_replicas=1"], "sync");
        set(&["replication=async"], "async");
        set(&["replication=semi-sync"], "semi-sync");
        set(&["replication=sync", "min_replicas=2"], "sync");
        cluster.home.file("n1/rig.toml", "request_timeout = \"4s\"\nsnapshot_interval = \"2h\"\n");
        cluster.until(1, |_| {
            let shown = cluster.ok(1, &["config", "show", "--json"]).json();
            shown["settings"]["request_timeout"]["value"] == "4s"
        });
        set(&["replication=semi-sync", "min_replicas=1", "sync_timeout=2s"], "semi-sync");
        drop(stops);
        let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        for (answers, refused) in &ended {
            let written: usize = answers.values().sum();
            assert!(written > 20 && answers.contains_key("sync") && answers.contains_key("async"), "{ended:#?}");
            assert!(answers.keys().all(|word| ["sync", "async", "degraded"].contains(&&**word)), "{ended:#?}");
            assert!(*refused < written, "{ended:#?}");
        }
        ended.iter().map(|(answers, _)| answers.values().sum::<usize>()).sum()
    });
    assert_eq!(cluster.settle(), 1);
    // Every key was answered once, and is one document on every node.
    for number in [1, 3] {
        let seen = cluster.until(number, |status| status["service"]["documents"] == total);
        assert_eq!(seen["service"]["documents"], total);
    }
}
