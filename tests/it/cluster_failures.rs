//! One node of a pair, or two of three, are killed, stopped or sent away: what is answered, who may become primary, and
//! what is in both logs when everybody is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Node};
use crate::wire::Wire;

/// A command that is refused, by its exit code and code, and what else it says.
fn refused(cluster: &Cluster, arguments: &[&str], exit: i32, code: &str) -> Value {
    let ran = cluster.home.run(&[arguments, &["--json"]].concat());
    let error = ran.error();
    assert_eq!((ran.code, &error["code"]), (Some(exit), &json!(code)), "rig {arguments:?}: {ran:#?}");
    error
}

/// The one record with this key in the log of a node.
fn record(cluster: &Cluster, number: usize, key: &str) -> Value {
    let lines = cluster.ok(number, &["log", "dump", "--json"]).lines();
    let mut found = lines.into_iter().filter(|line| line["key"] == key);
    let record = found.next().unwrap_or_else(|| panic!("{key} is not in the log of n{number}"));
    assert_eq!(found.next(), None, "{key} is there twice");
    record
}

#[test]
fn a_sync_write_that_lost_its_replica_is_unknown_the_next_is_refused_at_once_and_the_first_commits_when_it_is_back() {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "300ms"]);
    cluster.put(1, "a");
    cluster.kill(2);
    let open = cluster.request(1, "b", "kb", 800).unwrap();
    let problem = open.json();
    assert_eq!((open.status, &problem["code"], &problem["key"]), (504, &json!("outcome_unknown"), &json!("kb")));
    assert_eq!((&problem["definite"], &problem["retryable"]), (&json!(false), &json!(true)));
    let version = problem["version"].as_u64().unwrap();
    let begin = Instant::now();
    let next = cluster.request(1, "c", "kc", 5000).unwrap();
    assert_eq!((next.status, &*next.code()), (503, "not_enough_replicas"));
    assert!(next.header("Retry-After").is_some() && begin.elapsed() < Duration::from_secs(1), "{next:?}");
    let outcome = || Wire::open(cluster.url(1).strip_prefix("http://").unwrap()).unwrap().get("/outcome/kb").unwrap();
    assert_eq!(outcome().data()["state"], "pending");
    assert_eq!(cluster.seen(1)["state"], "blocked");
    // Reads go on, and do not show what is not committed.
    assert_eq!(cluster.ok(1, &["ls", "user", "--json"]).lines().len(), 1);

    cluster.serve(2, &[]);
    assert_eq!(cluster.settle(), 1);
    let again = cluster.request(1, "b", "kb", 5000).unwrap().data();
    assert_eq!((&again["version"], &again["replayed"]), (&json!(version), &json!(true)));
    assert_eq!((&again["durability"], &again["acks"]), (&json!("sync"), &json!(["n1", "n2"])));
    for number in [1, 2] {
        assert_eq!(record(&cluster, number, "kb")["version"], version);
    }
    let resumed = cluster.request(1, "c", "kc", 5000).unwrap().data();
    assert_eq!((&resumed["version"], &resumed["replayed"]), (&json!(version + 1), &json!(false)));
    cluster.are_equal(1, 2);
}

#[test]
fn a_replica_that_was_left_behind_never_becomes_primary_by_itself_and_only_force_makes_it_one() {
    let mut cluster = Cluster::new(2, &["--sync-timeout", "300ms"]);
    cluster.put(1, "a");
    cluster.kill(2);
    assert_eq!(cluster.put(1, "alone")["durability"], "degraded");
    cluster.kill(1);
    cluster.serve(2, &[]);
    // Several times longer than any time-out of this pair.
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        let status = cluster.seen(2);
        assert_eq!((&status["role"], &status["epoch"]), (&json!("replica"), &json!(1)));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(cluster.seen(2)["can_promote"], false);
    let error = refused(&cluster, &["promote", "n2"], 6, "promotion_unsafe");
    assert_eq!(error["missing_members"], json!(["n1"]));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("a lost write cannot be ruled out"), "{message}");
    let write = cluster.request(2, "b", "kb", 1000).unwrap();
    assert_eq!((write.status, &*write.code()), (503, "no_primary"));
    assert_eq!(cluster.force(2)["forced"], true);
    assert_eq!(cluster.put(2, "b")["durability"], "degraded");

    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 2);
    cluster.are_equal(1, 2);
    // What the old primary had answered alone is not lost, but set aside.
    let listed = cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json();
    let shown = cluster.home.ok(&["rescue", "show", listed["file"].as_str().unwrap(), "-D", "n1", "--json"]).lines();
    assert!(shown.iter().any(|line| line["data"]["id"] == "alone"), "{shown:#?}");
}

#[test]
fn a_primary_that_was_stopped_and_goes_on_after_a_promotion_answers_no_write_and_follows() {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "300ms"]);
    cluster.put(1, "a");
    cluster.node(1).signal("STOP");
    // These wait in its sockets, from before and after the other one was promoted.
    let address = cluster.url(1).strip_prefix("http://").unwrap().to_owned();
    let mut early = Wire::open(&address).unwrap();
    let body = "{\"method\":\"user_put\",\"data\":{\"id\":\"early\"}}";
    let request = crate::wire::post("/do", "Content-Type: application/json\r\nRig-Timeout-Ms: 1000\r\n", body);
    early.send(request.as_bytes()).unwrap();
    let promoted = cluster.home.ok(&["promote", "n2", "--json"]).json();
    assert_eq!((&promoted["forced"], &promoted["epoch"]), (&json!(false), &json!(2)));
    let mut late = Wire::open(&address).unwrap();
    late.send(request.as_bytes()).unwrap();
    cluster.node(1).signal("CONT");
    for (name, wire) in [("early", &mut early), ("late", &mut late)] {
        let reply = wire.reply().unwrap();
        assert!(matches!(reply.status, 307 | 503 | 504), "{name}: {reply:?}");
    }
    assert_eq!(cluster.settle(), 2);
    let seen = cluster.seen(1);
    assert_eq!((&seen["role"], &seen["epoch"]), (&json!("replica"), &json!(2)));
    assert_eq!(cluster.put(2, "b")["durability"], "sync");
    cluster.are_equal(1, 2);
}

#[test]
fn a_primary_that_is_sent_away_with_writes_in_flight_commits_none_that_nobody_confirmed() {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "10s", "--drain", "2s"]);
    cluster.put(1, "a");
    cluster.node(2).signal("STOP");
    let pid = cluster.seen(1)["pid"].to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let pair = &cluster;
        let clients: Vec<_> = (0..4)
            // Some would wait for longer than the node does.
            .map(|n| (format!("k{n}"), if n % 2 == 0 { 1000 } else { 20_000 }))
            .map(|(key, patience)| scope.spawn(move || pair.request(1, &key, &key, patience).unwrap().status))
            .collect();
        // All four are in the log, and wait.
        let position = |status: &Value, name: &str| status["log"][name].as_u64().unwrap_or(0);
        pair.until(1, |status| position(status, "durable") == position(status, "committed") + 4);
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(statuses, [504; 4]);
    assert_eq!(cluster.node(1).wait(), Some(0));
    let states = cluster.home.ok(&["log", "dump", "-D", "n1", "--json"]).lines();
    let open: Vec<_> =
        states.iter().filter(|line| line["state"] == "prepared").map(|line| line["key"].clone()).collect();
    assert_eq!(open.len(), 4, "{states:#?}");
    cluster.node(2).signal("CONT");
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 1);
    for n in 0..4 {
        let key = format!("k{n}");
        let again = cluster.request(1, &key, &key, 5000).unwrap().data();
        assert_eq!((&again["replayed"], &again["durability"]), (&json!(true), &json!("sync")));
    }
    cluster.are_equal(1, 2);
}

#[test]
fn of_three_nodes_one_alone_is_not_promoted_when_one_replica_was_enough_for_an_answer() {
    let mut cluster = Cluster::new(3, &["--replication", "sync", "--min-replicas", "1", "--sync-timeout", "300ms"]);
    assert_eq!(cluster.put(1, "a")["acks"], json!(["n1", "n2", "n3"]));
    cluster.kill(1);
    cluster.kill(2);
    let error = refused(&cluster, &["promote", "n3"], 6, "promotion_unsafe");
    assert_eq!(error["missing_members"], json!(["n1", "n2"]));
    assert!(error["message"].as_str().unwrap().contains("2 members must promise, 1 can be asked"), "{error}");
    let seen = cluster.seen(3);
    assert_eq!((&seen["role"], &seen["epoch"]), (&json!("replica"), &json!(1)));
    // The second promise, as soon as they have found each other.
    cluster.serve(2, &[]);
    cluster.until(3, |status| {
        status["peers"].as_array().is_some_and(|peers| peers.iter().any(|peer| peer["connected"] == true))
    });
    let promoted = cluster.home.ok(&["promote", "n3", "--json"]).json();
    assert_eq!((&promoted["role"], &promoted["forced"]), (&json!("primary"), &json!(false)));
    cluster.until(3, |status| status["state"] == "serving");
    assert_eq!(cluster.put(3, "b")["durability"], "sync");
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 3);
    cluster.are_equal(1, 3);
    cluster.are_equal(2, 3);
}

#[test]
fn of_three_nodes_one_alone_is_promoted_when_every_answer_needed_both_replicas() {
    let mut cluster = Cluster::new(3, &["--replication", "sync", "--sync-timeout", "300ms"]);
    cluster.ok(1, &["config", "set", "min_replicas=2"]);
    let answered = cluster.put(1, "a");
    assert_eq!(answered["acks"], json!(["n1", "n2", "n3"]));
    cluster.kill(1);
    cluster.kill(2);
    let promoted = cluster.home.ok(&["promote", "n3", "--json"]).json();
    assert_eq!((&promoted["state"], &promoted["forced"]), (&json!("blocked"), &json!(false)));
    let write = cluster.request(3, "b", "kb", 1000).unwrap();
    assert_eq!((write.status, &*write.code()), (503, "not_enough_replicas"));
    cluster.serve(1, &[]);
    cluster.serve(2, &[]);
    assert_eq!(cluster.settle(), 3);
    assert_eq!(cluster.put(3, "b")["acks"].as_array().map(Vec::len), Some(3));
    let version = answered["version"].to_string();
    let kept = cluster.ok(3, &["log", "dump", "--from", &version, "--to", &version, "--json"]).json();
    assert_eq!(kept["hash"], answered["hash"]);
    cluster.are_equal(1, 3);
    cluster.are_equal(2, 3);
}

#[test]
fn a_replica_that_is_pointed_at_a_foreign_cluster_is_refused_by_name_and_nothing_changes_on_either() {
    let mut ours = Cluster::new(2, &[]);
    let theirs = Cluster::new(1, &[]);
    ours.put(1, "ours");
    theirs.put(1, "theirs");
    let heads = |cluster: &Cluster, number: usize| {
        let status = cluster.seen(number);
        (status["cluster_id"].clone(), status["epoch"].clone(), status["log"].clone())
    };
    let before = (heads(&ours, 1), heads(&theirs, 1));
    assert_ne!(before.0.0, before.1.0);
    ours.kill(2);
    let members = theirs.ok(1, &["member", "ls", "--json"]).stdout;
    // It knows nobody else: its own primary is away as well.
    ours.node(1).signal("STOP");
    let foreign = theirs.url(1);
    ours.serve(2, &["--peer", &foreign]);
    let refused = ours.until(2, |status| status["refused_peers"].as_object().is_some_and(|peers| !peers.is_empty()));
    let why = refused["refused_peers"][foreign.strip_prefix("http://").unwrap()].as_str().unwrap();
    assert!(why.contains(before.0.0.as_str().unwrap()) && why.contains(before.1.0.as_str().unwrap()), "{why}");
    assert_eq!((&refused["role"], &refused["cluster_id"]), (&json!("replica"), &before.0.0));
    ours.node(1).signal("CONT");
    assert_eq!(ours.settle(), 1);
    assert_eq!(heads(&theirs, 1), before.1);
    assert_eq!(theirs.ok(1, &["member", "ls", "--json"]).stdout, members);
    assert_eq!(theirs.ok(1, &["ls", "user", "--json"]).lines().len(), 1);
    assert_eq!(ours.ok(2, &["ls", "user", "--json"]).lines().len(), 1);
    ours.are_equal(2, 1);
}

/// A pair whose replica has gone back in time while it was stopped, and the version that it lacks everything up to.
fn with_an_old_copy(mode: &str) -> (Cluster, u64) {
    let mut cluster = Cluster::new(2, &["--replication", mode, "--sync-timeout", "300ms"]);
    cluster.put(1, "a");
    cluster.kill(2);
    copy(&cluster.home.path("n2"), &cluster.home.path("old"));
    cluster.serve(2, &[]);
    cluster.settle();
    let lines: String =
        (0..500).map(|n| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"{n}\"}}}}\n")).collect();
    cluster.home.file("batch.ndjson", lines);
    cluster.ok(1, &["apply", "--batch", "batch.ndjson", "-q"]);
    let head = cluster.seen(1)["log"]["committed"].as_u64().unwrap();
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.home.path("n2")).unwrap();
    std::fs::rename(cluster.home.path("old"), cluster.home.path("n2")).unwrap();
    (cluster, head)
}

#[test]
fn an_old_copy_of_a_replicas_directory_catches_up_and_is_in_sync_only_when_it_has() {
    let (mut cluster, head) = with_an_old_copy("semi-sync");
    assert_eq!(cluster.put(1, "alone")["durability"], "degraded");
    let url = cluster.url(2);
    let listen = url.strip_prefix("http://").unwrap();
    let command = cluster.home.rig(&["serve", "--json", "-D", "n2", "--listen", listen]);
    *cluster.node(2) = Node::spawn_unready(&cluster.home, command);
    cluster.until(1, |status| {
        let counted = status["replication"]["in_sync"] == json!(["n1", "n2"]);
        // Asked after the primary has said so.
        let durable = if counted { cluster.seen(2)["log"]["durable"].as_u64() } else { None };
        assert!(!counted || durable > Some(head), "counted with {durable:?} of {head}: {status:#}");
        counted
    });
    assert_eq!(cluster.settle(), 1);
    // It is known for what it is: by what it had confirmed to this primary before.
    let events = cluster.ok(1, &["events", "--json"]).lines();
    let back: Vec<_> = events.iter().filter(|event| event["event"] == "went-back").collect();
    assert_eq!(back.len(), 1, "{events:#?}");
    assert_eq!((&back[0]["member"], &back[0]["confirmed"]), (&json!("n2"), &json!(head)));
    assert!(back[0]["head"].as_u64() < Some(head), "{}", back[0]);
    assert_eq!(cluster.seen(1)["peers"][0]["went_back"], json!(null), "it is there again");
    assert_eq!(cluster.put(1, "b")["acks"], json!(["n1", "n2"]));
    assert_eq!(cluster.seen(2)["rescued"], 0);
    cluster.are_equal(2, 1);
}

#[test]
fn an_old_copy_of_a_sync_replicas_directory_confirms_no_write_before_it_has_everything() {
    let (mut cluster, head) = with_an_old_copy("sync");
    let url = cluster.url(2);
    let listen = url.strip_prefix("http://").unwrap();
    let command = cluster.home.rig(&["serve", "--json", "-D", "n2", "--listen", listen]);
    *cluster.node(2) = Node::spawn_unready(&cluster.home, command);
    // Tried from the first moment on.
    let answered = loop {
        let reply = cluster.request(1, "b", "kb", 10_000).unwrap();
        match reply.status {
            503 => std::thread::sleep(Duration::from_millis(2)),
            _ => break reply.data(),
        }
    };
    assert_eq!((&answered["version"], &answered["acks"]), (&json!(head + 1), &json!(["n1", "n2"])));
    assert!(cluster.seen(2)["log"]["durable"].as_u64() > Some(head));
    assert_eq!(cluster.settle(), 1);
    cluster.are_equal(2, 1);
}

#[test]
fn an_old_copy_that_has_heard_what_it_lacks_is_promoted_by_force_only_and_so_it_stays() {
    let (mut cluster, _) = with_an_old_copy("sync");
    // Much to catch up with: it goes from the log of a primary that has nobody to answer for meanwhile.
    let (url, pad) = (cluster.url(2), "x".repeat(256 << 10));
    cluster.kill(1);
    cluster.serve(1, &[]);
    let listen = url.strip_prefix("http://").unwrap().to_owned();
    let serve = |cluster: &mut Cluster| {
        let command = cluster.home.rig(&["serve", "--json", "-D", "n2", "--listen", &listen]);
        *cluster.node(2) = Node::spawn_unready(&cluster.home, command);
    };
    serve(&mut cluster);
    assert_eq!(cluster.settle(), 1);
    cluster.kill(2);
    copy(&cluster.home.path("n2"), &cluster.home.path("old"));
    serve(&mut cluster);
    cluster.settle();
    let line = |n: usize| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"{n}\",\"pad\":\"{pad}\"}}}}\n");
    cluster.home.file("large.ndjson", (0..400).map(line).collect::<String>());
    cluster.ok(1, &["apply", "--batch", "large.ndjson", "-q"]);
    let head = cluster.seen(1)["log"]["committed"].as_u64().unwrap();
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.home.path("n2")).unwrap();
    std::fs::rename(cluster.home.path("old"), cluster.home.path("n2")).unwrap();
    serve(&mut cluster);
    let lacks = cluster.until(2, |status| status["lacks"].is_u64())["lacks"].clone();
    cluster.kill(1);
    assert!(lacks.as_u64() >= Some(head), "{lacks} of {head}");
    let is_refused = |cluster: &Cluster| {
        let status = cluster.until(2, |status| status["state"] == "outdated" || status["state"] == "recovering");
        assert_eq!((&status["lacks"], &status["can_promote"]), (&lacks, &json!(false)), "{status:#}");
        let refused = cluster.home.run(&["promote", &cluster.url(2), "--json"]);
        let error = refused.error();
        assert_eq!((refused.code, &error["code"]), (Some(6), &json!("promotion_unsafe")), "{refused:#?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("the primary had committed version {lacks}")), "{error}");
    };
    is_refused(&cluster);
    cluster.kill(2);
    serve(&mut cluster);
    is_refused(&cluster);
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 1);
    assert_eq!(cluster.seen(2)["lacks"], json!(null));
    cluster.are_equal(2, 1);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
}
