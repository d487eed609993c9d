//! The first minutes of a user: the four commands as the page says them, Ctrl-C, and a log that is carried elsewhere.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, Node};
use crate::wire::Wire;

/// Where a node listens when nobody says where.
const ADDRESS: &str = "127.0.0.1:7440";

const PAYLOAD: &str = r#"{
  "id": "alice",
  "name": "Alice Liddell",
  "email": "alice@example.com",
  "scores": [1.0, 2e3, -0.5],
  "address": {
    "city": "Oxford",
    "note": "caf\u00e9 é"
  }
}
"#;

/// Waits until nobody listens there: another run of these tests may, for a moment.
fn wait_for_the_address() {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = TcpListener::bind(ADDRESS) {
        assert!(Instant::now() < deadline, "another process holds {ADDRESS} ({error}): stop it, then test again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_four_commands_work_in_a_fresh_home_without_a_flag_more() {
    let home = Home::new();
    home.file("payload.json", PAYLOAD);
    home.ok(&["init"]);

    wait_for_the_address();
    let (mut node, said) = Running::serve(&home, &["serve", "--role", "primary"]);
    assert!(said.contains(ADDRESS), "{said}");

    let applied = home.ok(&["apply", "user_create", "payload.json"]);
    assert!(applied.stdout.starts_with("ok  version 2  user_create  id=alice  local"), "{applied:#?}");
    let running = home.ok(&["log", "verify"]);
    assert!(running.stdout.lines().last().unwrap().starts_with("PASS  2 records"), "{running:#?}");

    // What was sent is what is there, in the log to the byte.
    let got: Value = home.ok(&["get", "user", "alice", "--json"]).json();
    assert_eq!(without_marks(got), serde_json::from_str::<Value>(PAYLOAD).unwrap());
    let dump = home.ok(&["log", "dump", "--json"]).stdout;
    let compact = r#""data":{"id":"alice","name":"Alice Liddell","email":"alice@example.com","scores":[1.0,2e3,-0.5],"address":{"city":"Oxford","note":"caf\u00e9 é"}}"#;
    assert!(dump.contains(compact), "{dump}");
    // The same again is refused, and the log stays as it was.
    let again = home.run(&["apply", "user_create", "payload.json"]);
    assert_eq!(again.code, Some(6), "{again:#?}");
    assert_eq!(home.ok(&["log", "dump", "--json"]).stdout, dump);

    node.signal("INT");
    assert_eq!(node.wait(), Some(0));
    let stopped = home.ok(&["log", "verify"]);
    assert!(stopped.stdout.lines().last().unwrap().starts_with("PASS  2 records"), "{stopped:#?}");
}

/// A node as people start it; it does not outlive its test.
pub(crate) struct Running(std::process::Child);

impl Running {
    /// Runs the command line until it says `ready`, and gives what it said.
    pub(crate) fn serve(home: &Home, line: &[&str]) -> (Self, String) {
        let mut child = home.rig(line).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let node = Self(child);
        let mut said = String::new();
        while !said.ends_with("ready\n") {
            let line = lines.next().unwrap_or_else(|| panic!("the node ended: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
        }
        (node, said)
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < deadline, "the node did not end"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The document as its owner sent it.
pub(crate) fn without_marks(mut document: Value) -> Value {
    document.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    document
}

#[test]
fn the_first_signal_drains_and_what_was_taken_is_answered() {
    for (round, signal) in ["INT", "TERM"].into_iter().enumerate() {
        let home = Home::new();
        let mut node = Node::new(&home);
        let mut wire = Wire::open(node.address()).unwrap();
        // One that waits for its answer while the signal comes, and a batch on its way.
        let lines: String = (0..3_000)
            .map(|n| format!("{{\"method\":\"user_create\",\"data\":{{\"id\":\"u{n}\"}},\"key\":\"k{n}\"}}\n"))
            .collect();
        wire.send(
            format!(
                "POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
                 Content-Length: {}\r\n\r\n{lines}",
                lines.len()
            )
            .as_bytes(),
        )
        .unwrap();
        std::thread::sleep(Duration::from_millis(20 * round as u64));
        node.signal(signal);
        let replies = wire.replies().unwrap_or_default();
        assert_eq!(node.wait(), Some(0), "{}", home.serve_log());
        let mut answered = Vec::new();
        for reply in replies {
            for line in reply.lines() {
                match line["status"].as_u64().unwrap() {
                    200 => answered.push(line["data"]["version"].as_u64().unwrap()),
                    503 => assert_eq!(line["code"], "draining", "{line}"),
                    _ => panic!("{line}"),
                }
            }
        }
        let dump = home.ok(&["log", "dump", "--json", "--method", "user_create"]).lines();
        let logged: Vec<u64> = dump.iter().map(|record| record["version"].as_u64().unwrap()).collect();
        // Every record has its answer: an orderly stop leaves nothing unknown.
        assert_eq!(answered, logged);
        home.ok(&["log", "verify"]);
        assert!(!home.default_dir().join("run/endpoint.json").exists());
    }
}

#[test]
fn the_second_signal_ends_at_once_with_130_and_nothing_is_lost() {
    let home = Home::new();
    let mut node = Node::new(&home);
    let mut wire = Wire::open(node.address()).unwrap();
    let data = format!("{{\"id\":\"big\",\"text\":\"{}\"}}", "x".repeat(4 << 20));
    assert_eq!(wire.operation("note_put", &data, Some("k")).unwrap().status, 200);
    // A client that asks for much and reads nothing keeps the node draining.
    let asks = "GET /data/note/big HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(8);
    wire.send(asks.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    node.signal("INT");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !home.serve_log().contains("stopping") {
        assert!(Instant::now() < deadline, "{}", home.serve_log());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    node.signal("INT");
    let asked = Instant::now();
    assert_eq!(node.wait(), Some(130), "{}", home.serve_log());
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    home.ok(&["log", "verify"]);
    let node = Node::serve(&home, &[]);
    let got = Wire::open(node.address()).unwrap().get("/data/note/big").unwrap().data();
    assert_eq!(got["text"].as_str().unwrap().len(), 4 << 20);
}

#[test]
fn a_dump_applied_to_another_node_gives_equal_documents() {
    let home = Home::new();
    let _node = Node::new(&home);
    let schema = r#"{"type":"user","unique":["email"],"references":{"team":{"type":"team","on_delete":"cascade"}}}"#;
    let mut lines = format!("{{\"method\":\"schema_set\",\"data\":{schema}}}\n");
    for n in 0..60 {
        lines.push_str(&format!("{{\"method\":\"team_create\",\"data\":{{\"id\":\"t{n}\"}}}}\n"));
        lines.push_str(&format!(
            "{{\"method\":\"user_create\",\"data\":{{\"name\":\"N\\u00e9 {n}\",\"rate\":{n}.50,\"email\":\"{n}@x\",\"team\":\"t{n}\"}}}}\n"
        ));
        lines.push_str(&format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n}\",\"a\":[1,{{}}]}}}}\n"));
        match n % 3 {
            0 => lines.push_str(&format!("{{\"method\":\"team_delete\",\"data\":{{\"id\":\"t{n}\"}}}}\n")),
            1 => lines.push_str(&format!(
                "{{\"method\":\"user_update\",\"data\":{{\"id\":\"u{n}\",\"a\":null,\"b\":{n}}}}}\n"
            )),
            _ => lines.push_str(&format!("{{\"method\":\"user_delete\",\"data\":{{\"id\":\"u{n}\"}}}}\n")),
        }
    }
    let batch = home.file("batch.ndjson", &lines);
    home.ok(&["apply", "--batch", batch.to_str().unwrap(), "-q"]);
    let dump = home.ok(&["log", "dump", "--json"]).stdout;
    let dump = home.file("dump.ndjson", dump);

    let other = Home::new();
    let _second = Node::new(&other);
    let told = other.ok(&["apply", "--batch", dump.to_str().unwrap(), "-q", "--json"]).json();
    assert_eq!((&told["ok"], &told["rejected"], &told["unknown"]), (&241.into(), &0.into(), &0.into()), "{told}");
    for (kind, count) in [("user", 80), ("team", 40)] {
        let list = |home: &Home| -> Vec<Value> {
            home.ok(&["ls", kind, "--json"]).lines().into_iter().map(without_marks).collect()
        };
        let documents = list(&home);
        assert_eq!(documents.len(), count, "{kind}");
        assert_eq!(documents, list(&other), "{kind}");
    }
    let schema = |home: &Home| without_marks(home.ok(&["schema", "ls", "--json"]).json());
    assert_eq!(schema(&home), schema(&other));
    // And once more on the same node: every operation carries its key, so nothing happens twice.
    let told = other.ok(&["apply", "--batch", dump.to_str().unwrap(), "-q", "--json"]).json();
    assert_eq!(told["ok"], 241, "{told}");
    assert_eq!(other.ok(&["log", "dump", "--json"]).lines().len(), 242);
}
