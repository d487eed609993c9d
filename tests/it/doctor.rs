//! `rig doctor`: a machine and a directory that are well, and what it says when they are not.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::storage::{Flipped, closed_log, segments};
use crate::support::{Cluster, Home, Node, Ran};

/// The checks of one name.
fn checks<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == "check" && line["name"] == name).collect()
}

fn result(ran: &Ran, name: &str) -> String {
    let lines = ran.lines();
    let found = checks(&lines, name);
    assert_eq!(found.len(), 1, "{name}: {ran:#?}");
    found[0]["result"].as_str().unwrap().to_owned()
}

#[test]
fn the_doctor_names_what_is_wrong_with_a_directory_and_what_to_do() {
    let home = Home::new();
    let dir = home.path("n1");
    closed_log(&dir);
    let ran = home.run(&["doctor", "-D", "n1", "--json"]);
    for name in ["permissions", "settings", "lock", "log"] {
        assert_eq!(result(&ran, name), "ok", "{name}: {ran:#?}");
    }
    let lines = ran.lines();
    for name in ["space", "sync", "open files", "port"] {
        assert_eq!(checks(&lines, name).len(), 1, "{name}: {ran:#?}");
    }
    let summary = lines.last().unwrap();
    let count = |word: &str| lines.iter().filter(|line| line["type"] == "check" && line["result"] == word).count();
    assert_eq!(summary["type"], "summary");
    assert_eq!((&summary["ok"], &summary["warn"]), (&count("ok").into(), &count("warn").into()), "{ran:#?}");
    // What this machine is like (a full disk, a file system in memory) is not the test's.
    let exit = match summary["result"].as_str().unwrap() {
        "ok" => 0,
        "warn" => 12,
        _ => 9,
    };
    assert_eq!(ran.code, Some(exit), "{ran:#?}");
    assert!(!dir.join("run/doctor.tmp").exists());

    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = home.run(&["doctor", "-D", "n1"]);
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    let line = ran.stdout.lines().find(|line| line.contains("permissions")).unwrap();
    assert!(line.starts_with("WARN  permissions") && line.contains("-> chmod 700"), "{line}");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();

    let file = home.file("n1/rig.toml", "listen = \"127.0.0.1:0\"\ndrian = \"3s\"\n");
    let ran = home.run(&["doctor", "-D", "n1"]);
    let line = ran.stdout.lines().find(|line| line.contains("settings")).unwrap();
    assert!(line.starts_with("FAIL") && line.contains("rig.toml:2:1: unknown key `drian`"), "{line}");
    assert!(line.contains("-> ") && line.contains("drain"), "{line}");
    std::fs::remove_file(file).unwrap();

    let newest = segments(&dir).pop().unwrap();
    let _flipped = Flipped::new(&newest, 200 * 8);
    let ran = home.run(&["doctor", "-D", "n1", "--json"]);
    assert_eq!((ran.code, &*result(&ran, "log")), (Some(9), "fail"), "{ran:#?}");
}

#[test]
fn the_doctor_asks_a_node_and_its_peers_for_their_state_their_clocks_and_their_versions() {
    let mut cluster = Cluster::new(2, &[]);
    let ran = cluster.home.run(&["doctor", "-D", "n1", "--json"]);
    for name in ["lock", "node", "clock", "version"] {
        assert_eq!(result(&ran, name), "ok", "{name}: {ran:#?}");
    }
    let lines = ran.lines();
    let peer = checks(&lines, "peer n2");
    assert_eq!(peer.len(), 3, "link, clock and version: {ran:#?}");
    assert!(peer.iter().all(|check| check["result"] == "ok"), "{ran:#?}");

    cluster.kill(2);
    cluster.until(1, |status| status["state"] == "degraded");
    let url = cluster.url(1);
    let ran = cluster.home.run(&["doctor", "-N", &url, "--json"]);
    assert_eq!((ran.code, &*result(&ran, "node")), (Some(12), "warn"), "{ran:#?}");
    assert_eq!(result(&ran, "peer n2"), "warn");
    assert!(checks(&ran.lines(), "lock").is_empty(), "a URL has no directory here");

    cluster.kill(1);
    let ran = cluster.home.run(&["doctor", "-N", &url, "--json"]);
    assert_eq!((ran.code, &*result(&ran, "node")), (Some(9), "fail"), "{ran:#?}");
    assert_eq!(cluster.home.run(&["doctor", "-D", "n9"]).code, Some(3));
}

#[test]
fn a_watched_status_is_a_line_each_time_and_goes_on_when_the_node_ends() {
    let home = Home::new();
    let mut node = Node::new(&home);
    let url = node.url().to_owned();
    let mut command = home.rig(&["status", "-N", &url, "--watch", "50ms", "--json"]);
    let mut watch = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&next()["state"], &next()["state"]), (&"serving".into(), &"serving".into()));
    node.kill();
    let stopped = std::iter::repeat_with(&mut next).take(40).any(|status| status["state"] == "stopped");
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(stopped);
}

#[test]
fn a_port_that_is_taken_is_no_fault_where_a_start_takes_the_one_that_the_node_had() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    // It is there, by this or by another process of this machine.
    let _taken = std::net::TcpListener::bind("127.0.0.1:7440");
    let port = |home: &Home| {
        let ran = home.run(&["doctor", "-D", "n1"]);
        ran.stdout.lines().find(|line| line.contains("  port")).unwrap().to_owned()
    };
    assert!(port(&home).starts_with("WARN"), "{}", port(&home));
    home.ok(&["node", "start", "n1"]);
    home.ok(&["node", "stop", "n1"]);
    let line = port(&home);
    assert!(line.starts_with("OK") && line.contains("`rig node start` takes"), "{line}");
}
