//! What people and programs see of a node while it runs: events, the command for them, messages, figures.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Home, Node};
use crate::wire::Wire;

fn lines_of(file: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn only(kind: &str, lines: &[Value]) -> Vec<Value> {
    lines.iter().filter(|line| line["type"] == kind).cloned().collect()
}

fn metrics(address: &str) -> String {
    String::from_utf8(Wire::open(address).unwrap().get("/metrics").unwrap().body).unwrap()
}

/// The lines behind `after`, when the last one of node 2 says this: objects are looked at ten times a second.
fn changed(cluster: &Cluster, after: &str, wanted: &Value) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = cluster.ok(1, &["events", "--json", "--after", after]).lines();
        let last = lines.iter().rfind(|line| line["type"] == "change" && line["name"] == "n2");
        if last.is_some_and(|line| ["connected", "in_sync"].iter().all(|name| line[name] == wanted[name])) {
            return lines;
        }
        assert!(Instant::now() < until, "{lines:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_replica_that_dies_and_comes_back_is_told_once_each_in_order_to_followers_and_to_the_command() {
    let seen = tempfile::tempdir().unwrap();
    let file = seen.path().join("events");
    let command = format!("read -r line; printf '%s\\n' \"$line\" >> {}", file.display());
    let mut cluster = Cluster::new(2, &["--on-event", &command]);
    let before = cluster.ok(1, &["events", "--json"]).lines();
    let after = before.iter().filter_map(|line| line["seq"].as_u64()).max().unwrap().to_string();
    cluster.kill(2);
    cluster.put(1, "alone");
    changed(&cluster, &after, &json!({ "connected": false, "in_sync": false }));
    cluster.serve(2, &[]);
    cluster.until(1, |status| status["state"] == "serving" && status["replication"]["in_sync"] == json!(["n1", "n2"]));

    let lines = changed(&cluster, &after, &json!({ "connected": true, "in_sync": true }));
    let events = only("event", &lines);
    let names: Vec<_> = events.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["degraded", "in-sync"], "{lines:#?}");
    let of = |name: &str| {
        let all: Vec<_> = lines.iter().filter(|line| line["name"] == name && line["type"] == "change").collect();
        all.iter().map(|line| (line["connected"].clone(), line["in_sync"].clone())).collect::<Vec<_>>()
    };
    let member = of("n2");
    assert_eq!(member.last(), Some(&(json!(true), json!(true))), "{lines:#?}");
    assert!(member.iter().any(|(connected, _)| *connected == false), "{lines:#?}");
    assert!(member.iter().any(|(_, in_sync)| *in_sync == false), "{lines:#?}");
    let exists = only("exists", &lines);
    let objects: Vec<_> = exists.iter().map(|line| (line["object"].clone(), line["name"].clone())).collect();
    assert_eq!(objects, [(json!("node"), json!("n1")), (json!("member"), json!("n2"))]);
    assert_eq!((&exists[0]["role"], &exists[0]["state"]), (&json!("primary"), &json!("serving")));
    assert_eq!(lines.last().unwrap()["type"], "exists-end");

    // The command of node 1 has heard the same lines as its followers, each once.
    let wanted = only("event", &cluster.ok(1, &["events", "--json"]).lines());
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let heard: Vec<_> = lines_of(&file).into_iter().filter(|line| line["node"] == "n1").collect();
        if heard.len() >= wanted.len() {
            assert_eq!(heard, wanted);
            break;
        }
        assert!(Instant::now() < until, "{heard:#?} of {wanted:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_for_events_that_hangs_delays_no_answer() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let node = Node::serve(&home, &["-D", "n1", "--on-event", "sleep 600"]);
    let mut wire = Wire::open(node.address()).unwrap();
    let begin = Instant::now();
    for number in 0..200 {
        let data = format!("{{\"id\":\"a{number}\"}}");
        assert_eq!(wire.operation("item_create", &data, None).unwrap().status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(metrics(node.address()).contains("\nrig_hook_runs_total{outcome=\"ended\"} 0\n"));
}

#[test]
fn messages_are_json_when_asked_for_and_name_the_request() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let mut command = home.rig(&["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--log-format", "json", "--json"]);
    command.env("RIG_LOG", "debug");
    let node = Node::spawn(&home, command);
    let mut wire = Wire::open(node.address()).unwrap();
    let reply = wire.post("/do", "X-Request-Id: find-me-7\r\n", "{\"method\":\"nonsense\"}").unwrap();
    assert!(reply.status >= 400);
    drop(node);
    let log = home.serve_log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let level_and_time = |line: &Value| line["level"].is_string() && line["time"].is_string();
    assert!(!lines.is_empty() && lines.iter().all(level_and_time), "{log}");
    assert!(lines.iter().any(|line| line["event"]["type"] == "event"), "{log}");
    let names = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("find-me-7"));
    assert_eq!(lines.iter().filter(|line| names(line)).count(), 1, "{log}");
}

#[test]
fn figures_are_there_under_the_names_that_alerts_are_written_for() {
    let mut cluster = Cluster::new(2, &[]);
    (0..3).for_each(|number| drop(cluster.put(1, &format!("a{number}"))));
    let address = cluster.node(1).address().to_owned();
    let mut wire = Wire::open(&address).unwrap();
    (0..100).for_each(|number| drop(wire.operation(&format!("invented_{number}"), "{}", None).unwrap()));
    let page = metrics(&address);
    for wanted in [
        "rig_ops_total{method=\"other\",outcome=\"rejected\"} 100",
        "rig_commit_seconds_count 3",
        "rig_commit_seconds_bucket{le=\"+Inf\"} 3",
        "rig_validate_seconds_count ",
        "rig_apply_seconds_count ",
        "rig_fsync_seconds_count ",
        "rig_batch_ops_count ",
        "rig_replica_connected{peer=\"n2\"} 1",
        "rig_replica_lag_ops{peer=\"n2\"} 0",
        "rig_replica_lag_seconds{peer=\"n2\"} 0",
        "rig_replica_acked_version{peer=\"n2\"} ",
        "rig_unreplicated_ops 0",
        "rig_degraded 0",
        "rig_apply_backlog 0",
        "rig_service_up 1",
        "rig_log_version{kind=\"oldest\"} 1",
        "rig_http_requests_total{path=\"/do\",status=\"4xx\"} 100",
    ] {
        assert!(page.lines().any(|line| line.starts_with(wanted)), "{wanted} is not in\n{page}");
    }
    assert!(!page.contains("invented"), "a client's inventions make no label: {page}");
    let applied = page.lines().filter(|line| line.contains("outcome=\"applied\"") && !line.contains("\"other\""));
    assert_eq!(applied.count(), 1, "{page}");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let figure = line.rsplit(' ').next().unwrap();
        assert!(figure.parse::<f64>().is_ok_and(|figure| figure >= 0.0), "{line}");
    }
}
