//! `rig node`: nodes in the background, as a user starts, sees and stops them.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Home;

/// A home whose node is stopped whatever becomes of the test.
struct Nodes {
    home: Home,
    names: Vec<&'static str>,
}

impl Nodes {
    fn new(names: &[&'static str]) -> Self {
        let home = Home::new();
        for name in names {
            home.ok(&["init", name]);
        }
        Self { home, names: names.to_vec() }
    }

    fn start(&self, name: &str) -> Value {
        self.home.ok(&["node", "start", name, "--listen", "127.0.0.1:0", "--json"]).json()
    }

    fn listed(&self, name: &str) -> Value {
        let nodes = self.home.ok(&["node", "ls", "--json"]).lines();
        nodes.into_iter().find(|node| node["name"] == name).unwrap_or_default()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = self.home.rig(&["node", "stop", name, "--now", "-q"]).output();
        }
    }
}

#[test]
fn a_node_is_started_seen_used_stopped_and_forgotten() {
    let nodes = Nodes::new(&["n1"]);
    let home = &nodes.home;
    assert_eq!(nodes.listed("n1")["state"], "stopped");
    let started = nodes.start("n1");
    assert_eq!((&started["type"], &started["name"]), (&Value::from("started"), &Value::from("n1")));
    let listed = nodes.listed("n1");
    assert_eq!((&listed["state"], &listed["role"]), (&Value::from("running"), &Value::from("primary")));
    assert_eq!((&listed["pid"], &listed["http"]), (&started["pid"], &started["http"]));
    home.ok(&["-N", "n1", "apply", "user_create", "--data", r#"{"id":"alice"}"#]);

    let again = home.run(&["node", "start", "n1", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (Some(10), &Value::from("in_use")));
    let forgotten = home.run(&["node", "forget", "n1", "--json"]);
    assert_eq!((forgotten.code, &forgotten.error()["code"]), (Some(10), &Value::from("in_use")));

    let said = home.ok(&["node", "logs", "n1"]).stdout;
    assert!(said.lines().any(|line| line == "ready"), "{said}");
    let last = home.ok(&["node", "logs", "n1", "-n", "1", "--json"]).json();
    assert_eq!((&last["type"], &last["line"]), (&Value::from("log"), &Value::from("ready")));

    let stopped = home.ok(&["node", "stop", "n1", "--json"]).json();
    assert_eq!((&stopped["stopped"], &stopped["pid"]), (&Value::from(true), &started["pid"]));
    assert_eq!(nodes.listed("n1")["state"], "stopped");
    let stopped = home.ok(&["node", "stop", "n1", "--json"]).json();
    assert_eq!((&stopped["stopped"], &stopped["pid"]), (&Value::from(false), &Value::Null));

    // By its directory, and on the port that it had.
    let again = home.ok(&["node", "start", "./n1", "--json"]).json();
    assert_eq!(again["http"], started["http"]);
    assert_ne!(again["pid"], started["pid"]);
    assert_eq!(home.ok(&["-N", "n1", "get", "user", "alice", "--json"]).json()["id"], "alice");
    home.ok(&["node", "stop", "./n1"]);

    home.ok(&["node", "forget", "n1"]);
    assert_eq!(home.run(&["node", "forget", "n1"]).code, Some(3));
    assert_eq!(nodes.listed("n1"), Value::Null);
    assert!(home.path("n1/meta.json").is_file(), "the directory stays");
}

#[test]
fn a_node_in_the_background_has_a_process_group_of_its_own() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let nodes = Nodes::new(&["n1"]);
    let pid = nodes.start("n1")["pid"].as_u64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_the_name: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(behind_the_name[2], pid.to_string(), "{stat}");
    let stdin = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(stdin, Path::new("/dev/null"));
}

#[test]
fn a_start_that_fails_says_why_and_ends_with_the_nodes_own_code() {
    let nodes = Nodes::new(&["n1"]);
    let home = &nodes.home;
    let failed = home.run(&["node", "start", "n1", "--service", "postgres", "--json"]);
    assert_eq!(failed.code, Some(2), "{failed:#?}");
    let error = failed.error();
    assert_eq!(error["code"], "node_ended");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("exit code 2") && message.contains("--service postgres"), "{message}");
    let failed = home.run(&["node", "start", "n1", "--role", "leader"]);
    assert_eq!(failed.code, Some(2));
    assert!(failed.stderr.lines().count() <= 3, "{}", failed.stderr);

    // The log of a node that found damage: its words and its code, 9.
    nodes.start("n1");
    for id in 0..20 {
        home.ok(&["-N", "n1", "apply", "user_create", "--data", &format!("{{\"id\":\"u{id}\"}}")]);
    }
    home.ok(&["node", "stop", "n1"]);
    let segment = home.path("n1/log/00000000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(4).position(|window| window == b"\"u5\"").unwrap();
    bytes[at + 1] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let failed = home.run(&["node", "start", "n1", "--json"]);
    assert_eq!((failed.code, &failed.error()["exit"]), (Some(9), &Value::from(9)), "{failed:#?}");
    assert_eq!(nodes.listed("n1")["state"], "stopped");
}

#[test]
fn names_that_mean_nothing_are_not_found() {
    let nodes = Nodes::new(&["n1"]);
    let home = &nodes.home;
    for line in [
        &["node", "start", "n9", "--json"][..],
        &["node", "stop", "n9", "--json"],
        &["node", "logs", "./n9", "--json"],
        &["node", "logs", "n1", "--json"],
        &["node", "forget", "n9", "--json"],
    ] {
        let ran = home.run(line);
        assert_eq!((ran.code, &ran.error()["exit"]), (Some(3), &Value::from(3)), "{line:?} {ran:#?}");
    }
}

#[test]
fn a_log_is_followed_until_the_node_ends() {
    let nodes = Nodes::new(&["n1"]);
    nodes.start("n1");
    let begin = Instant::now();
    let mut following = nodes.home.rig(&["node", "logs", "n1", "-f"]);
    let following = following.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    nodes.home.ok(&["node", "stop", "n1"]);
    let output = following.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("\nready\n"));
    assert!(begin.elapsed() >= Duration::from_millis(300), "it ended before the node did");
}

#[test]
fn a_killed_node_is_known_to_be_stopped_and_is_started_on_its_port() {
    let nodes = Nodes::new(&["n1"]);
    let started = nodes.start("n1");
    let pid = started["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(10);
    while nodes.listed("n1")["state"] != "stopped" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let stopped = nodes.home.ok(&["node", "stop", "n1", "--json"]).json();
    assert_eq!(stopped["stopped"], false, "the pid that is left behind is nobody's to be stopped");
    let again = nodes.home.ok(&["node", "start", "n1", "--json"]).json();
    assert_eq!(again["http"], started["http"]);
    let stopped = nodes.home.ok(&["node", "stop", "n1", "--now", "--json"]).json();
    assert_eq!(stopped["stopped"], true);
}
