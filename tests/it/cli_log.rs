//! The audit commands on logs that are whole, damaged, cut, and apart.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest;

use crate::support::{Cluster, Home, Node, Ran};

/// A stopped node with so many users in the directory of this name.
fn filled(home: &Home, name: &str, count: usize) -> PathBuf {
    home.ok(&["init", name]);
    let mut node = Node::serve(home, &["-D", name]);
    let lines: String =
        (0..count).map(|n| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n}\"}}}}\n")).collect();
    let ran = home.run_with(&["apply", "--batch", "-", "-q", "-D", name], lines.as_bytes());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    home.path(name)
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("log/00000000000000000001.log")
}

/// Turns one bit of the data of the record that holds this text.
fn flip(dir: &Path, text: &str) {
    let file = segment(dir);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at + text.len() / 2] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(std::fs::copy(&path, &target).is_ok()) }
    }
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
}

fn findings(ran: &Ran) -> Vec<Value> {
    let mut lines = ran.lines();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary");
    assert!(lines.iter().all(|line| line["type"] == "finding"), "{lines:?}");
    lines
}

#[test]
fn damage_is_found_with_its_version_and_segment_and_all_of_it() {
    let home = Home::new();
    let dir = filled(&home, "n1", 300);
    let whole = home.ok(&["log", "verify", "-D", "n1", "--json"]);
    let summary = whole.lines().pop().unwrap();
    assert_eq!(
        (&summary["result"], &summary["records"], &summary["head"]["version"]),
        (&json!("pass"), &json!(301), &json!(301))
    );
    flip(&dir, "\"u100\"");
    flip(&dir, "\"u200\"");
    let ran = home.run(&["log", "verify", "-D", "n1", "--json"]);
    assert_eq!(ran.code, Some(9));
    let errors: Vec<_> = findings(&ran).into_iter().filter(|finding| finding["severity"] == "error").collect();
    for version in [102, 202] {
        let found = errors.iter().find(|finding| finding["version"] == version).unwrap_or_else(|| panic!("{errors:?}"));
        assert_eq!(found["segment"], "00000000000000000001.log");
        assert!(found["offset"].as_u64().unwrap() > 0 && found["code"].is_string());
    }
    let fast = home.run(&["log", "verify", "-D", "n1", "--json", "--fail-fast"]);
    assert_eq!((fast.code, findings(&fast).len()), (Some(9), 1));
    let people = home.run(&["log", "verify", "-D", "n1"]);
    assert!(people.stdout.lines().last().unwrap().starts_with("FAIL  "), "{people:#?}");
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--to", "100"]).code, Some(0));
    // Reading stops where the damage begins, and says so.
    let dump = home.run(&["log", "dump", "-D", "n1", "--json"]);
    assert_eq!(dump.code, Some(9));
    assert_eq!(dump.lines().len(), 101);
    assert_eq!(home.run(&["serve", "-D", "n1", "--listen", "127.0.0.1:0"]).code, Some(9));
}

#[test]
fn two_logs_are_compared_down_to_the_first_version_that_differs() {
    let home = Home::new();
    let dir = filled(&home, "n1", 50);
    copy(&dir, &home.path("copy"));
    let equal = home.ok(&["log", "verify", "-D", "n1", "--against", "copy", "--json"]);
    assert_eq!(findings(&equal)[0]["code"], "equal");
    let more = |name: &str, id: &str| {
        let mut node = Node::serve(&home, &["-D", name]);
        home.ok(&["apply", "user_put", "--data", &format!("{{\"id\":\"{id}\"}}"), "-D", name]);
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    };
    more("n1", "left");
    let behind = home.ok(&["log", "verify", "-D", "copy", "--against", "n1", "--json"]);
    assert_eq!(findings(&behind)[0]["code"], "behind");
    let ahead = home.ok(&["log", "verify", "-D", "n1", "--against", "copy", "--json"]);
    assert_eq!(findings(&ahead)[0]["code"], "ahead");
    more("copy", "right");
    let apart = home.run(&["log", "verify", "-D", "copy", "--against", "n1", "--json"]);
    assert_eq!(apart.code, Some(9));
    let found = &findings(&apart)[0];
    assert_eq!((&found["severity"], &found["code"]), (&json!("error"), &json!("diverged")));
    // Both began a start of their own behind version 51.
    assert_eq!(found["version"], 52);
    let node = Node::serve(&home, &["-D", "n1"]);
    let apart = home.run(&["log", "verify", "-D", "copy", "--against", node.url(), "--json"]);
    assert_eq!((apart.code, &findings(&apart)[0]["version"]), (Some(9), &json!(52)));
    let same = home.ok(&["log", "verify", "-D", "n1", "--against", "n1", "--json"]);
    assert_eq!(findings(&same)[0]["code"], "equal");
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--against", "nobody"]).code, Some(3));
}

#[test]
fn an_anchor_shows_a_log_that_was_cut_or_written_anew() {
    let home = Home::new();
    let dir = filled(&home, "n1", 50);
    home.ok(&["log", "verify", "-D", "n1", "--write-anchor", "anchors"]);
    let anchors = std::fs::read_to_string(home.path("anchors")).unwrap();
    assert!(anchors.starts_with("51 ") && anchors.lines().count() == 1, "{anchors}");
    home.ok(&["log", "verify", "-D", "n1", "--anchor", "anchors", "--write-anchor", "anchors"]);
    assert_eq!(std::fs::read_to_string(home.path("anchors")).unwrap(), anchors);
    copy(&dir, &home.path("cut"));
    home.ok(&["log", "repair", "-D", "cut", "--truncate-from", "40", "--confirm", "n1"]);
    home.ok(&["log", "verify", "-D", "cut"]);
    assert_eq!(home.run(&["log", "verify", "-D", "cut", "--anchor", "anchors"]).code, Some(9));
    home.file("wrong", format!("51 {}\n", "0".repeat(64)));
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--anchor", "wrong"]).code, Some(9));
    home.file("bad", "fifty-one\n");
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--anchor", "bad"]).code, Some(2));
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--anchor", "absent"]).code, Some(2));
}

#[test]
fn the_knife_asks_keeps_what_it_cuts_and_leaves_a_log_that_serves() {
    let home = Home::new();
    let dir = filled(&home, "n1", 50);
    flip(&dir, "\"u45\"");
    let before = std::fs::read(segment(&dir)).unwrap();
    let asked = home.run(&["log", "repair", "-D", "n1", "--truncate-from", "47", "--json"]);
    assert_eq!((asked.code, &asked.error()["code"]), (Some(2), &json!("not_confirmed")));
    assert_eq!(home.run(&["log", "repair", "-D", "n1", "--truncate-from", "47", "--confirm", "n2"]).code, Some(2));
    let dry = home.ok(&["log", "repair", "-D", "n1", "--truncate-from", "47", "--dry-run", "--json"]).json();
    assert_eq!((&dry["head"]["version"], &dry["dry_run"]), (&json!(46), &json!(true)));
    assert_eq!(std::fs::read(segment(&dir)).unwrap(), before, "nothing was changed");
    let cut = home.ok(&["log", "repair", "-D", "n1", "--truncate-from", "47", "--confirm", "n1", "--json"]).json();
    assert_eq!((&cut["type"], &cut["head"]["version"]), (&json!("repaired"), &json!(46)));
    let kept = cut["rescue"].as_array().unwrap();
    assert!(!kept.is_empty() && kept.iter().all(|path| Path::new(path.as_str().unwrap()).is_file()), "{cut}");
    home.ok(&["log", "verify", "-D", "n1"]);
    let _node = Node::serve(&home, &["-D", "n1"]);
    assert_eq!(home.ok(&["ls", "user", "--json", "-D", "n1"]).lines().len(), 45);
    assert_eq!(home.run(&["get", "user", "u45", "-D", "n1"]).code, Some(3));
}

#[test]
fn the_deep_audit_replays_and_holds_snapshots_against_it() {
    let home = Home::new();
    // So many that a stop finds a snapshot worth its time.
    let dir = filled(&home, "n1", 1500);
    let deep = home.ok(&["log", "verify", "-D", "n1", "--deep", "--json"]);
    let replayed = findings(&deep).into_iter().find(|finding| finding["code"] == "replayed").unwrap();
    assert_eq!(replayed["version"], 1501);
    let entries = std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let snapshots: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "snap")).collect();
    assert!(!snapshots.is_empty(), "a stop leaves a snapshot");
    let agree = format!("{} snapshots agree", snapshots.len());
    assert!(replayed["message"].as_str().unwrap().contains(&agree), "{replayed}");
    // So is one whose keys say something else, with checksums that match: another status for one of them.
    let runs = std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let run = runs.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "keys")).unwrap();
    let whole = std::fs::read(&run).unwrap();
    let mut bytes = whole.clone();
    bytes[32 + 96] ^= 1;
    for (crc_at, part) in [(24, 32..bytes.len()), (28, 0..28)] {
        let crc = crc32c::crc32c(&bytes[part]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&run, bytes).unwrap();
    let deep = home.run(&["log", "verify", "-D", "n1", "--deep", "--json"]);
    assert_eq!(deep.code, Some(9), "{deep:#?}");
    let differs = findings(&deep).into_iter().find(|finding| finding["code"] == "state_differs").unwrap();
    assert!(differs["message"].as_str().unwrap().contains("keys"), "{differs}");
    std::fs::write(&run, whole).unwrap();
    // And one whose documents do.
    let mut bytes = std::fs::read(&snapshots[0]).unwrap();
    let at = bytes.windows(5).position(|window| window == b"\"u33\"").unwrap();
    bytes[at + 2] = b'4';
    std::fs::write(&snapshots[0], bytes).unwrap();
    let deep = home.run(&["log", "verify", "-D", "n1", "--deep", "--json"]);
    assert_eq!(deep.code, Some(9), "{deep:#?}");
    assert!(findings(&deep).iter().any(|finding| finding["code"] == "state_differs"));
    home.ok(&["log", "verify", "-D", "n1"]);
}

/// Where each record of a segment begins, and its length.
fn places(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut places, mut at) = (Vec::new(), 128);
    while let Some(length) = bytes.get(at + 4..at + 8).map(|word| u32::from_le_bytes(word.try_into().unwrap())) {
        if length == 0 {
            break;
        }
        places.push((at, length as usize));
        at += length as usize;
    }
    places
}

/// Makes the checksums of a record right, as `rig-log(5)` gives them.
fn sum(bytes: &mut [u8], (at, length): (usize, usize)) {
    let payload = crc32c::crc32c(&bytes[at + 80..at + length - 32]).to_le_bytes();
    bytes[at + 12..at + 16].copy_from_slice(&payload);
    let header = crc32c::crc32c_append(crc32c::crc32c(&bytes[16..40]), &bytes[at + 4..at + 80]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&header);
}

/// Makes the hash of a record that of its bytes and of the record before it.
fn chain(bytes: &mut [u8], before: (usize, usize), (at, length): (usize, usize)) {
    let hash = sha2::Sha256::new()
        .chain_update(&bytes[before.0 + before.1 - 32..before.0 + before.1])
        .chain_update(&bytes[at + 4..at + length - 32])
        .finalize();
    bytes[at + length - 32..at + length].copy_from_slice(&hash);
}

#[test]
fn a_record_that_was_altered_is_named_whatever_was_computed_anew_with_it() {
    const ALTERED: usize = 20;
    let cluster = {
        let mut cluster = Cluster::new(2, &["--replication", "sync"]);
        (0..50).for_each(|n| drop(cluster.put(1, &format!("u{}", 10 + n))));
        cluster.kill(1);
        cluster.kill(2);
        cluster
    };
    let (home, file) = (&cluster.home, segment(&cluster.home.path("n1")));
    home.ok(&["log", "verify", "-D", "n1", "--write-anchor", "anchors"]);
    let whole = std::fs::read(&file).unwrap();
    let records = places(&whole);
    let (at, length) = records[ALTERED - 1];
    let mut bytes = whole.clone();
    let digit = at + whole[at..at + length].windows(5).position(|window| window == b"\"id\":").unwrap() + 7;
    assert!(bytes[digit].is_ascii_digit(), "{}", String::from_utf8_lossy(&whole[at..at + length]));
    bytes[digit] = b'9';
    let verify = |bytes: &[u8], more: &[&str]| {
        std::fs::write(&file, bytes).unwrap();
        home.run(&[&["log", "verify", "-D", "n1", "--json"], more].concat())
    };
    let named = |ran: &Ran, (version, at): (usize, usize)| {
        assert_eq!(ran.code, Some(9), "{ran:#?}");
        let found = findings(ran).into_iter().find(|finding| finding["severity"] == "error").unwrap();
        assert_eq!(
            (&found["version"], &found["segment"], &found["offset"]),
            (&json!(version), &json!("00000000000000000001.log"), &json!(at)),
            "{found}"
        );
    };
    // Its checksums are right again; then its hash too, which the next record does not go on from.
    sum(&mut bytes, records[ALTERED - 1]);
    named(&verify(&bytes, &[]), (ALTERED, at));
    chain(&mut bytes, records[ALTERED - 2], records[ALTERED - 1]);
    named(&verify(&bytes, &[]), (ALTERED + 1, records[ALTERED].0));
    // The whole chain is another from there on. By itself nobody can tell; who kept a hash can, and so can another node.
    for next in ALTERED..records.len() {
        chain(&mut bytes, records[next - 1], records[next]);
    }
    assert_eq!(verify(&bytes, &[]).code, Some(0));
    let broken = verify(&bytes, &["--anchor", "anchors"]);
    assert_eq!(broken.code, Some(9), "{broken:#?}");
    assert_eq!(findings(&broken)[0]["version"], records.len());
    let apart = verify(&bytes, &["--against", "n2"]);
    assert_eq!(apart.code, Some(9), "{apart:#?}");
    let found = &findings(&apart)[0];
    assert_eq!((&found["code"], &found["version"]), (&json!("diverged"), &json!(ALTERED)), "{found}");
    // A log that ends where it once ended is whole by itself.
    std::fs::write(&file, &whole).unwrap();
    home.ok(&["log", "repair", "-D", "n1", "--truncate-from", "40", "--confirm", "n1"]);
    home.ok(&["log", "verify", "-D", "n1"]);
    assert_eq!(home.run(&["log", "verify", "-D", "n1", "--anchor", "anchors"]).code, Some(9));
    let behind = home.ok(&["log", "verify", "-D", "n1", "--against", "n2", "--json"]);
    let found = &findings(&behind)[0];
    assert_eq!((&found["code"], &found["version"]), (&json!("behind"), &json!(39)), "{found}");
}

#[test]
fn a_node_that_was_stopped_has_marked_all_that_it_has_answered_and_of_one_that_runs_a_dump_says_what_it_knows() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.settle();
    cluster.put(1, "a");
    let shown = cluster.home.ok(&["log", "dump", "-D", "n1"]).stdout;
    assert!(!shown.contains("(prepared)"), "it was answered: {shown}");
    assert!(shown.contains("(prepared, or committed since: "), "{shown}");
    cluster.node(1).signal("TERM");
    assert_eq!(cluster.node(1).wait(), Some(0));
    let shown = cluster.home.ok(&["log", "dump", "-D", "n1"]).stdout;
    assert!(!shown.contains("prepared"), "{shown}");
    let lines = cluster.home.ok(&["log", "dump", "-D", "n1", "--json"]).lines();
    assert!(lines.iter().all(|record| record["state"] == "committed"), "{lines:#?}");
    let status = cluster.home.run(&["status", "-D", "n1", "--json"]).json();
    assert_eq!(status["log"]["committed"], status["log"]["durable"], "{status}");
}
