//! `rig snapshot`: taken by word while operations go on, listed, and read back.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Home, Node, Ran};

/// Operations for `apply --batch`, from `from` on.
fn lines(from: usize, count: usize) -> String {
    let line = |n: usize| {
        format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{}\",\"n\":{n}}},\"key\":\"k{n}\"}}\n", n % 500)
    };
    (from..from + count).map(line).collect()
}

fn snapshot_of<'a>(found: &'a [Value], version: &Value) -> &'a Value {
    found.iter().find(|line| line["type"] == "snapshot" && line["version"] == *version).unwrap()
}

/// Its parts in the folder: the file and the keys.
fn file(home: &Home, kind: &str) -> PathBuf {
    let folder = std::fs::read_dir(home.path("n1").join("snapshots")).unwrap();
    let mut found: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    found.sort();
    found.pop().unwrap()
}

fn damaged(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, Some(9), "{ran:#?}");
    let mut lines = ran.lines();
    let summary = lines.pop().unwrap();
    assert_eq!((&summary["type"], &summary["result"]), (&json!("summary"), &json!("fail")));
    lines.retain(|line| line["type"] == "finding");
    assert_eq!(summary["errors"], lines.len());
    lines
}

#[test]
fn a_snapshot_is_taken_while_operations_go_on_and_is_what_the_records_make() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    let early = home.run(&["snapshot", "ls", "-D", "n1", "--json"]);
    assert_eq!((early.code, early.stdout.as_str()), (Some(0), ""));
    home.ok(&["apply", "--batch", home.file("first", lines(0, 2_000)).to_str().unwrap(), "-D", "n1", "-q"]);
    let more = home.file("more", lines(2_000, 20_000));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| home.ok(&["apply", "--batch", more.to_str().unwrap(), "-D", "n1", "-q"]));
        let mut last = json!(0);
        while !writer.is_finished() {
            let taken = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
            let hash =
                home.ok(&["log", "dump", "-D", "n1", "--from", &taken["version"].to_string(), "-n", "1", "--json"]);
            assert_eq!(taken["hash"], hash.json()["hash"], "{taken}");
            assert!(taken["version"].as_u64() >= last.as_u64(), "{taken} is older than {last}");
            last = taken["version"].clone();
        }
    });
    let last = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
    assert_eq!(last["version"], home.ok(&["status", "-D", "n1", "--json"]).json()["applied"]);
    for place in [["-D", "n1"], ["-N", "n1"], ["-N", node.url()]] {
        let found = home.ok(&[&["snapshot", "ls", "--json"], &place[..]].concat()).lines();
        assert_eq!(*snapshot_of(&found, &last["version"]), last);
        assert!(found.len() <= 2, "the two newest are kept: {found:#?}");
    }
    let checked = home.ok(&["snapshot", "verify", "-D", "n1", "--json"]).lines();
    assert_eq!(*snapshot_of(&checked, &last["version"]), last);
    assert_eq!(checked.last().unwrap()["result"], "pass");
    let deep = home.ok(&["log", "verify", "-D", "n1", "--deep", "--json"]).lines();
    assert!(deep.iter().any(|line| line["code"] == "replayed"), "{deep:#?}");
}

#[test]
fn a_damaged_snapshot_is_named_and_costs_a_start_nothing_but_time() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let mut node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    home.ok(&["apply", "--batch", home.file("ops", lines(0, 1_000)).to_str().unwrap(), "-D", "n1", "-q"]);
    let taken = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
    let version = taken["version"].to_string();
    node.kill();
    for (kind, at) in [("snap", 20), ("snap", 4096), ("snap", 9000), ("keys", 10), ("keys", 3000)] {
        let path = file(&home, kind);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let found = damaged(&home.run(&["snapshot", "verify", "-D", "n1", "--json"]));
        assert_eq!((found.len(), &found[0]["file"]), (1, &taken["file"]), "{kind} {at}: {found:#?}");
        std::fs::write(&path, whole).unwrap();
    }
    home.ok(&["snapshot", "verify", "-D", "n1", &version]);
    assert_eq!(home.run(&["snapshot", "verify", "-D", "n1", "77"]).code, Some(3));
    let path = file(&home, "snap");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[9000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let _node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    assert_eq!(home.ok(&["ls", "user", "-D", "n1", "--json"]).lines().len(), 500);
    let again = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
    assert!(again["version"].as_u64() > taken["version"].as_u64());
    home.ok(&["snapshot", "verify", "-D", "n1", &again["version"].to_string()]);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told_and_the_node_goes_on() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let _node = Node::serve(&home, &["-D", "n1", "--listen", "127.0.0.1:0"]);
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "-D", "n1"]);
    let folder = home.path("n1").join("snapshots");
    std::fs::remove_dir_all(&folder).unwrap();
    let refused = home.run(&["snapshot", "create", "-D", "n1", "--json"]);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.error()["message"].as_str().unwrap().contains("snapshot of version"), "{refused:#?}");
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"b\"}", "-D", "n1"]);
    std::fs::create_dir(&folder).unwrap();
    home.ok(&["snapshot", "create", "-D", "n1"]);
}
