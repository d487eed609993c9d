//! Bytes that rot under a running node: it says so everywhere, and serves on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::storage::{Flipped, closed_log, closed_log_of, places, segments};
use crate::support::{Home, Node};
use crate::wire::Wire;

fn until(home: &Home, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = home.ok(&["status", "-D", "n1", "--json"]).json();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#}; {}", home.serve_log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn damage_under_a_running_node_is_told_by_segment_and_version_and_the_node_serves_on() {
    let home = Home::new();
    let dir = home.path("n1");
    closed_log(&dir);
    let node = Node::serve(&home, &["-D", "n1", "--scrub-interval", "100ms"]);
    let status = until(&home, |status| !status["scrub"]["last_pass"].is_null());
    assert_eq!((&status["scrub"]["errors"], &status["scrub"]["first"]), (&0.into(), &Value::Null), "{status}");
    home.ok(&["status", "-D", "n1", "--check"]);

    let all = segments(&dir);
    let path = &all[all.len() / 2];
    let name = path.file_name().unwrap().to_str().unwrap();
    let starts = places(&std::fs::read(path).unwrap());
    let nth = starts.len() / 2;
    let version = name[..20].parse::<u64>().unwrap() + nth as u64;
    let flipped = Flipped::new(path, (starts[nth] + 90) * 8 + 3);

    let status = until(&home, |status| status["scrub"]["errors"].as_u64() > Some(0));
    let first = &status["scrub"]["first"];
    assert_eq!((&first["segment"], &first["version"]), (&name.into(), &version.into()), "{status}");
    assert_eq!(status["state"], "serving");
    let said = home.run(&["status", "-D", "n1", "--check"]);
    assert_eq!(said.code, Some(9), "{said:#?}");
    assert!(
        said.stdout.contains(&format!("first in {name} at byte {}, version {version}: ", starts[nth])),
        "{said:#?}"
    );
    let events = home.ok(&["events", "-D", "n1", "--json"]).lines();
    let damage: Vec<_> = events.iter().filter(|event| event["event"] == "damage").collect();
    assert_eq!(damage.len(), 1, "told once: {events:#?}");
    assert_eq!((&damage[0]["segment"], &damage[0]["version"]), (&name.into(), &version.into()));
    let log = home.serve_log();
    let line = log.lines().find(|line| line.contains(" error: damage in "));
    assert!(
        line.is_some_and(
            |line| line.contains(&format!("{name} at byte")) && line.contains(&format!("version {version}:"))
        ),
        "{log}"
    );
    let reply = Wire::open(node.address()).unwrap().get("/metrics").unwrap();
    let page = String::from_utf8(reply.body).unwrap();
    assert!(page.lines().any(|line| line.starts_with("rig_scrub_errors ") && !line.ends_with(" 0")), "{page}");
    home.ok(&["apply", "a_put", "--data", r#"{"id":"after"}"#, "-D", "n1"]);
    home.ok(&["get", "a", "after", "-D", "n1"]);

    // It was the cable: the next pass finds the log whole again.
    drop(flipped);
    until(&home, |status| status["scrub"]["errors"] == 0);
    home.ok(&["status", "-D", "n1", "--check"]);
}

#[test]
fn damage_that_was_found_is_not_forgotten_by_a_restart_until_the_segment_is_whole() {
    let home = Home::new();
    let dir = home.path("n1");
    // Large segments: of small ones a start reads all on its way to the last record.
    closed_log_of(&dir, 4000, 256 << 10);
    let all = segments(&dir);
    let path = &all[0];
    assert!(all.len() > 2, "a start reads the newest in full");
    let name = path.file_name().unwrap().to_str().unwrap();
    let starts = places(&std::fs::read(path).unwrap());
    let node = Node::serve(&home, &["-D", "n1", "--scrub-interval", "100ms"]);
    // With it a start reads no more than the newest segment.
    home.ok(&["snapshot", "create", "-D", "n1"]);
    let flipped = Flipped::new(path, (starts[300] + 90) * 8 + 3);
    let before = until(&home, |status| status["scrub"]["errors"].as_u64() > Some(0));
    drop(node);
    let doctor = home.run(&["doctor", "-D", "n1"]);
    let line = doctor.stdout.lines().find(|line| line.contains("  log")).unwrap();
    assert!(line.starts_with("FAIL") && line.contains(name), "{doctor:#?}");

    // By itself the scrub would come to it in half a day.
    let check = |code| {
        let ran = home.run(&["status", "-D", "n1", "--check", "--json"]);
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        ran.json()["scrub"].clone()
    };
    for round in 0..2 {
        let _node = Node::serve(&home, &["-D", "n1"]);
        assert_eq!(check(9)["first"], before["scrub"]["first"], "round {round}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !home.ok(&["events", "-D", "n1", "--json"]).lines().iter().any(|event| event["event"] == "damage") {
            assert!(Instant::now() < deadline, "it is read again, and told again");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(check(9)["errors"], before["scrub"]["errors"]);
    }
    // A file that has rotted itself keeps no node from its start, and what it had is found again.
    home.file("n1/state/damage", [0xff; 300]);
    let node = Node::serve(&home, &["-D", "n1", "--scrub-interval", "100ms"]);
    until(&home, |status| status["scrub"]["errors"] == before["scrub"]["errors"]);
    assert!(home.serve_log().contains("state/damage: 1 of its lines cannot be read"), "{}", home.serve_log());
    drop((node, flipped));
    let line = home.run(&["doctor", "-D", "n1"]).stdout;
    assert!(line.lines().any(|line| line.contains("  log") && line.starts_with("OK")), "{line}");

    let node = Node::serve(&home, &["-D", "n1"]);
    until(&home, |status| status["scrub"]["errors"] == 0);
    drop(node);
    let _node = Node::serve(&home, &["-D", "n1"]);
    assert_eq!(check(0)["errors"], 0);
}
