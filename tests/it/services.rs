//! Services in other processes below real nodes: killed, away, behind, ahead, and lying.

mod examples;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Node, Ran, has, root};
use crate::wire::{Reply, Wire};

const PATIENCE: Duration = Duration::from_secs(40);

/// Nodes with a service of `odd.py` each.
struct Under {
    home: Home,
    nodes: Vec<Node>,
}

fn get(node: &Node, target: &str) -> Reply {
    Wire::open(node.address()).unwrap().get(target).unwrap()
}

/// What runs the service in a mode.
fn exec(mode: &str) -> String {
    format!("exec:exec python3 {} {mode}", root().join("tests/it/services/odd.py").display())
}

impl Under {
    /// A node alone, or `None` without Python.
    fn alone(mode: &str, test: &str) -> Option<Self> {
        has("python3", test).then(|| {
            let mut under = Self { home: Home::new(), nodes: Vec::new() };
            under.add(mode, &[]);
            under
        })
    }

    /// Adds a node with its service.
    fn add(&mut self, mode: &str, flags: &[&str]) {
        let name = format!("n{}", self.nodes.len() + 1);
        self.home.ok(&["init", &name]);
        self.nodes.push(Node::serve(&self.home, &[&["-D", &name, "--service", &exec(mode)], flags].concat()));
    }

    /// Adds a replica of the first.
    fn join(&mut self, mode: &str) {
        let peer = self.nodes[0].url().to_owned();
        self.add(mode, &["--role", "replica", "--peer", &peer]);
        self.home.ok(&["wait", "in-sync", "-D", "n1"]);
    }

    fn run(&self, node: &str, arguments: &[&str]) -> Ran {
        self.home.run(&[arguments, &["-D", node, "--json"]].concat())
    }

    fn count(&self, n: u32) -> Ran {
        self.run("n1", &["apply", "count_add", "--data", &format!("{{\"n\":{n}}}")])
    }

    fn status(&self, node: &str) -> Value {
        self.run(node, &["status"]).json()
    }

    /// Waits until the status of a node is as wanted.
    fn until(&self, node: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status(node);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < until, "{what}: {status:#}\n{}", self.home.serve_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn service_dir(&self, node: &str) -> PathBuf {
        self.home.path(node).join("service")
    }

    fn service_pid(&self, node: &str) -> String {
        std::fs::read_to_string(self.service_dir(node).join("pid")).unwrap()
    }

    fn signal_service(&self, node: &str, name: &str) {
        // It may be between two lives.
        let _ = Command::new("kill").args([&format!("-{name}"), &self.service_pid(node)]).status().unwrap();
    }

    fn total(&self, node: &str) -> Value {
        let text = std::fs::read_to_string(self.service_dir(node).join("count.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["total"].clone()
    }

    fn events(&self, node: &str, name: &str) -> Vec<Value> {
        let events = self.home.run(&["events", "-D", node, "--json"]).lines();
        events.into_iter().filter(|event| event["event"] == name).collect()
    }
}

/// Whether everything that is committed is applied, by a service that is well.
fn is_whole(status: &Value) -> bool {
    status["service"]["healthy"] == true && status["log"]["committed"] == status["applied"]
}

fn stalled_by(status: &Value) -> Option<&str> {
    (status["service"]["state"] == "apply-stalled").then(|| status["service"]["why"].as_str().unwrap())
}

#[test]
fn a_refusal_reaches_the_client_as_the_service_said_it() {
    let Some(under) = Under::alone("good", "a_refusal_reaches_the_client_as_the_service_said_it") else { return };
    let refused = under.run("n1", &["apply", "tea_pour", "--data", "{}"]);
    let error = refused.error();
    assert_eq!((refused.code, &error["code"]), (Some(5), &json!("teapot")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("I count, and nothing else"), "{error}");
    let mut wire = Wire::open(under.nodes[0].address()).unwrap();
    let asked = wire.operation("tea_pour", "{}", None).unwrap();
    assert_eq!((asked.status, &asked.json()["spout"]["length"]), (418, &json!(3)));
    let dry = under.run("n1", &["apply", "count_add", "--data", "{\"n\":1}", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    assert_eq!(under.count(2).json()["result"], json!({ "total": 2 }));
}

#[test]
fn a_service_that_is_killed_again_and_again_gives_every_operation_its_outcome_and_applies_it_once() {
    let test = "a_service_that_is_killed_again_and_again_gives_every_operation_its_outcome_and_applies_it_once";
    let Some(under) = Under::alone("good", test) else { return };
    let lines: String = (0..30_000)
        .map(|n| format!("{{\"method\":\"count_add\",\"data\":{{\"n\":1,\"id\":{}}},\"key\":\"k{n}\"}}\n", n % 6000))
        .collect();
    let batch = under.home.file("batch.ndjson", lines);
    let apply = || under.run("n1", &["apply", "--batch", batch.to_str().unwrap(), "-q"]).json();
    let mut kills = 0;
    // What is refused while the service is away is refused fast: one pass can be over before the fifth life.
    while kills < 5 {
        let summary = std::thread::scope(|scope| {
            let applying = scope.spawn(apply);
            while !applying.is_finished() {
                std::thread::sleep(Duration::from_millis(100));
                under.signal_service("n1", "KILL");
                kills += 1;
                under.until("n1", "it is back", |status| status["service"]["healthy"] == true);
            }
            applying.join().unwrap()
        });
        let sent = |name: &str| summary[name].as_u64().unwrap();
        // Refused ones are surely not in the log, unknown ones are told by their key.
        assert_eq!(sent("ok") + sent("rejected") + sent("unknown"), 30_000, "{summary}");
    }
    under.until("n1", "all is applied", is_whole);
    let dump = under.home.run(&["log", "dump", "-D", "n1", "--method", "count_add", "--json"]).lines();
    assert_eq!(under.total("n1"), json!(dump.len()), "each record once, and nothing else");
    // What was refused is sent again under its key, as often as it takes: the last death may not have been noticed yet.
    let all_are_in = || {
        under.until("n1", "it is back", is_whole);
        apply()["ok"] == 30_000
    };
    assert!((0..10).any(|_| all_are_in()), "{}", under.home.serve_log());
    under.until("n1", "all is applied", is_whole);
    assert_eq!(under.total("n1"), json!(30_000));
}

#[test]
fn a_service_that_is_away_is_seen_everywhere_and_what_is_in_the_log_waits_for_it() {
    let test = "a_service_that_is_away_is_seen_everywhere_and_what_is_in_the_log_waits_for_it";
    let Some(under) = Under::alone("good", test) else { return };
    assert_eq!(under.count(1).code, Some(0));
    under.signal_service("n1", "STOP");
    under.until("n1", "it is missed", |status| stalled_by(status).is_some());
    let node = &under.nodes[0];
    let ready = get(node, "/readyz");
    assert_eq!((ready.status, &ready.json()["code"]), (503, &json!("service_unavailable")));
    assert_eq!(get(node, "/healthz").status, 200);
    let metrics = String::from_utf8(get(node, "/metrics").body).unwrap();
    assert!(metrics.contains("\nrig_apply_stalled 1\n") && metrics.contains("\nrig_service_up 0\n"), "{metrics}");
    assert_eq!(under.events("n1", "apply_stalled").len(), 1);
    assert_eq!(under.home.run(&["status", "--check", "-D", "n1"]).code, Some(12));
    let refused = under.run("n1", &["apply", "count_add", "--data", "{\"n\":1}", "--timeout", "1s"]);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(8), &json!("service_unavailable")));
    under.signal_service("n1", "KILL");
    under.until("n1", "it is back", is_whole);
    assert_eq!(under.events("n1", "apply_resumed").len(), 1);
    assert_eq!(under.count(1).json()["result"], json!({ "total": 2 }));
}

#[test]
fn a_service_that_is_ahead_of_the_log_is_refused_and_nothing_is_overwritten() {
    let test = "a_service_that_is_ahead_of_the_log_is_refused_and_nothing_is_overwritten";
    let Some(mut under) = Under::alone("good", test) else { return };
    for _ in 0..3 {
        under.count(1);
    }
    under.nodes[0].signal("TERM");
    assert_eq!(under.nodes[0].wait(), Some(0));
    under.home.ok(&["init", "other"]);
    let copy = under.service_dir("other");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(under.service_dir("n1").join("count.json"), copy.join("count.json")).unwrap();
    let before = std::fs::read(copy.join("count.json")).unwrap();
    let serve = ["serve", "-D", "other", "--listen", "127.0.0.1:0", "--service", &exec("good"), "--json"];
    let refused = under.home.run(&serve);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(9), &json!("service_ahead")), "{refused:#?}");
    assert!(refused.error()["message"].as_str().unwrap().contains("version 4"), "{refused:#?}");
    assert_eq!(std::fs::read(copy.join("count.json")).unwrap(), before);
    // The log that it belongs to takes it back.
    under.nodes[0] = Node::serve(&under.home, &["-D", "n1", "--service", &exec("good")]);
    assert_eq!(under.count(1).json()["result"], json!({ "total": 4 }));
}

#[test]
fn a_replica_whose_service_is_away_holds_the_log_and_applies_it_when_it_is_back() {
    let test = "a_replica_whose_service_is_away_holds_the_log_and_applies_it_when_it_is_back";
    let Some(mut under) = Under::alone("good", test) else { return };
    under.join("good");
    under.signal_service("n2", "STOP");
    under.until("n2", "it is missed", |status| stalled_by(status).is_some());
    for _ in 0..20 {
        assert_eq!(under.count(1).json()["durability"], "sync", "the replica has the record, and that is what counts");
    }
    assert_eq!(under.status("n2")["service"]["waiting_ops"], 20);
    under.signal_service("n2", "KILL");
    under.until("n2", "all is applied", is_whole);
    assert_eq!(under.total("n2"), json!(20));
    let hash = |node: &Node| get(node, "/state/hash").json()["data"].clone();
    assert_eq!(hash(&under.nodes[0]), hash(&under.nodes[1]));
}

/// A service that never behaves: the node serves, says why, refuses, and ends as if nothing was.
fn is_said_and_harmless(mode: &str, why: &str) {
    let Some(mut under) = Under::alone(mode, "is_said_and_harmless") else { return };
    let begin = Instant::now();
    let refused = under.run("n1", &["apply", "count_add", "--data", "{\"n\":1}", "--timeout", "3s"]);
    assert!(matches!(refused.code, Some(7 | 8)), "{mode}: {refused:#?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{mode}: a client waits for no longer than it said");
    if !why.is_empty() {
        under.until("n1", why, |status| stalled_by(status).is_some_and(|said| said.contains(why)));
    }
    assert_eq!(get(&under.nodes[0], "/healthz").status, 200);
    let statm = std::fs::read_to_string(format!("/proc/{}/status", under.nodes[0].pid())).unwrap();
    let resident = statm.lines().find(|line| line.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap();
    assert!(resident.parse::<u64>().unwrap() < 300 << 10, "{mode}: {resident} KiB");
    let service = under.service_pid("n1");
    under.nodes[0].signal("TERM");
    assert_eq!(under.nodes[0].wait(), Some(0), "{mode}");
    assert!(!std::path::Path::new(&format!("/proc/{service}/cmdline")).exists(), "{mode}: the service is gone too");
}

#[test]
fn a_service_that_exits_at_once_is_named_with_its_last_words_and_does_no_harm() {
    is_said_and_harmless("exits", "no counter here");
}

#[test]
fn a_service_that_prints_garbage_is_named_and_does_no_harm() {
    is_said_and_harmless("garbage", "Starting up, please wait");
}

#[test]
fn a_service_that_floods_its_output_is_named_and_does_no_harm() {
    is_said_and_harmless("flood", "xxxx");
}

#[test]
fn a_service_that_gives_no_verdict_is_told_and_does_no_harm() {
    is_said_and_harmless("mute", "");
}

#[test]
fn a_service_that_never_applies_does_no_harm() {
    is_said_and_harmless("hang", "");
}

#[test]
fn a_service_that_leaves_versions_out_is_named() {
    let Some(under) = Under::alone("skips", "a_service_that_leaves_versions_out_is_named") else { return };
    for _ in 0..3 {
        under.run("n1", &["apply", "count_add", "--data", "{\"n\":1}", "--timeout", "2s"]);
    }
    // It has counted the version all the same, so that it takes it for a duplicate the next time, and goes on.
    let stalled = under.events("n1", "apply_stalled");
    assert!(stalled[0]["why"].as_str().unwrap().contains("rule A7"), "{stalled:?}");
    assert!(under.home.serve_log().contains("error: the service: it breaks rule A7"));
}

#[test]
fn services_that_differ_are_named_by_their_first_version() {
    for (mode, test) in [("twice", "a replica that applies twice"), ("differs", "a replica that throws dice")] {
        let Some(mut under) = Under::alone("good", test) else { return };
        under.join(mode);
        let mut version = Value::Null;
        for _ in 0..40 {
            version = under.count(1).json()["version"].clone();
        }
        let until = Instant::now() + PATIENCE;
        let named = loop {
            if let Some(event) = under.events("n2", "diverged").first() {
                break event.clone();
            }
            assert!(Instant::now() < until, "{test}: {:#}\n{}", under.status("n2"), under.home.serve_log());
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(named["version"].as_u64() <= version.as_u64() && named["what"] == "state", "{test}: {named}");
        if mode == "twice" {
            assert_eq!(named["version"], 3, "{test}: the first one after the two of Rig's own: {named}");
        }
        let left = |status: &Value| status["replication"]["in_sync"] == json!(["n1"]);
        under.until("n1", "it has left the set", left);
        assert_eq!(under.run("n2", &["promote", "n2"]).code, Some(6), "{test}: it is no heir");
    }
}

#[test]
fn a_service_whose_log_is_cut_back_is_given_the_log_again_and_keys_keep_their_answers() {
    let test = "a_service_whose_log_is_cut_back_is_given_the_log_again_and_keys_keep_their_answers";
    if !has("python3", test) {
        return;
    }
    let mut under = Under { home: Home::new(), nodes: Vec::new() };
    under.add("good", &["--sync-timeout", "300ms"]);
    under.join("good");
    let keyed = ["apply", "count_add", "--data", "{\"n\":1}", "--key", "k1"];
    assert_eq!(under.run("n1", &keyed).json()["result"], json!({ "total": 1 }));
    // The first answers alone, and stands still; then the other is made primary by force.
    under.nodes[1].kill();
    assert_eq!(under.count(100).json()["durability"], "degraded");
    under.nodes[0].signal("STOP");
    let peer = under.nodes[0].url().to_owned();
    under.nodes[1] = Node::serve(&under.home, &["-D", "n2", "--service", &exec("good"), "--peer", &peer]);
    under.until("n2", "its service is there", |status| status["service"]["healthy"] == true);
    let forced = under.run("n2", &["promote", "n2", "--accept-data-loss", "--confirm", "n2"]);
    assert_eq!(forced.code, Some(0), "{forced:#?}");
    let counted = under.run("n2", &["apply", "count_add", "--data", "{\"n\":5}"]);
    assert_eq!(counted.json()["result"], json!({ "total": 6 }), "{counted:#?}");
    under.nodes[0].signal("CONT");
    under.until("n1", "it follows", |status| status["role"] == "replica" && status["state"] == "in_sync");
    under.until("n1", "all is applied", is_whole);
    assert_eq!((under.total("n1"), under.status("n1")["rescued"].clone()), (json!(6), json!(1)));
    assert!(under.events("n1", "diverged").is_empty(), "its results are those of the primary");
    // Whoever asks again under the first key hears the first answer, from this node too.
    assert_eq!(under.run("n1", &["promote", "n1"]).code, Some(0));
    let again = under.run("n1", &keyed).json();
    assert_eq!((&again["replayed"], &again["result"]), (&json!(true), &json!({ "total": 1 })), "{again}");
}

#[test]
fn who_only_asks_is_told_while_the_service_is_away() {
    let Some(under) = Under::alone("good", "who_only_asks_is_told_while_the_service_is_away") else { return };
    under.signal_service("n1", "STOP");
    under.until("n1", "it is missed", |status| stalled_by(status).is_some());
    let begin = Instant::now();
    for _ in 0..3 {
        let dry = under.run("n1", &["apply", "count_add", "--data", "{\"n\":1}", "--dry-run"]);
        assert_eq!(dry.code, Some(8), "{dry:#?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// `users.py` with its SQLite file, ended when dropped.
struct Users {
    child: std::process::Child,
    url: String,
}

impl Users {
    fn start(home: &Home, name: &str) -> Self {
        let script = root().join("tests/examples/users.py").display().to_string();
        std::fs::create_dir_all(home.path(name)).unwrap();
        let mut command = home.command("python3", &[&script, "--port", "0", "--dir", name]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        Self { child, url: line.trim().to_owned() }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_reads_its_own_write_from_a_replica_through_rig() {
    if !has("python3", "a_client_reads_its_own_write_from_a_replica_through_rig") {
        return;
    }
    let home = Home::new();
    let services = [Users::start(&home, "s1"), Users::start(&home, "s2")];
    home.ok(&["init", "n1"]);
    home.ok(&["init", "n2"]);
    let one = Node::serve(&home, &["-D", "n1", "--service", &services[0].url, "--proxy"]);
    let peer = ["--role", "replica", "--peer", one.url()];
    let two = Node::serve(&home, &[&["-D", "n2", "--service", &services[1].url, "--proxy"], &peer[..]].concat());
    home.ok(&["wait", "in-sync", "-D", "n1"]);
    let mut reader = Wire::open(two.address()).unwrap();
    for n in 0..20 {
        let user = format!("{{\"id\":\"u{n}\",\"name\":\"U\",\"email\":\"u{n}@x.org\"}}");
        let written = Wire::open(one.address()).unwrap().operation("user_create", &user, None).unwrap().data();
        let version = written["version"].as_u64().unwrap();
        let read = reader.get_with(&format!("/users/u{n}"), &format!("Rig-Min-Version: {version}\r\n")).unwrap();
        assert_eq!((read.status, read.json()["email"].as_str()), (200, Some(&*format!("u{n}@x.org"))), "{read:?}");
        assert!(read.header("Rig-Version").unwrap().parse::<u64>().unwrap() >= version);
    }
    let found = reader.get("/users?email=u7@x.org").unwrap();
    assert_eq!(found.json()["items"][0]["id"], "u7");
    assert_eq!(reader.get("/users/nobody").unwrap().status, 404, "the service's own word");
    let late = reader.get_with("/users/u1", "Rig-Min-Version: 9999\r\nRig-Timeout-Ms: 100\r\n").unwrap();
    assert_eq!((late.status, late.code()), (503, "lagging".to_owned()));
}
