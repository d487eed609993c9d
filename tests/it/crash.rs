//! kill -9: what was answered is there, once, and what was not is found out by its key.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::first_minutes::Running;
use crate::support::{Home, Node, SERVE};
use crate::wire::Wire;

const CLIENTS: u64 = 8;

/// How often the node is killed; more with `RIG_CRASH_CYCLES`.
fn cycles() -> u64 {
    std::env::var("RIG_CRASH_CYCLES").map_or(100, |text| text.parse().expect("RIG_CRASH_CYCLES is a number"))
}

/// One operation, as its client can send it again.
#[derive(Debug, Clone)]
struct Sent {
    key: String,
    method: &'static str,
    data: String,
}

/// What one client knows when the node is gone.
#[derive(Debug, Default)]
struct Story {
    /// In the order of their versions: what one client sends next comes later.
    answered: Vec<(u64, Sent)>,
    /// The one that had no answer.
    unknown: Option<Sent>,
}

/// The one that each client sends as its `nth` in a cycle: new documents, and changes of the last one.
fn operation(cycle: u64, client: u64, nth: u64) -> Sent {
    let id = format!("c{cycle:04}-{client}-{:04}", nth / 4 * 4);
    let key = format!("key-{cycle}-{client}-{nth}");
    if nth.is_multiple_of(4) {
        Sent { key, method: "user_create", data: format!(r#"{{"id":"{id}","n":{nth},"by":{client}}}"#) }
    } else {
        Sent { key, method: "user_update", data: format!(r#"{{"id":"{id}","n":{nth},"last":"{nth}"}}"#) }
    }
}

/// Sends until the node is gone.
fn client(address: &str, cycle: u64, client: u64, total: &AtomicU64) -> Story {
    let mut story = Story::default();
    let Ok(mut wire) = Wire::open(address) else { return story };
    for nth in 0.. {
        let sent = operation(cycle, client, nth);
        match wire.operation(sent.method, &sent.data, Some(&sent.key)) {
            Err(_) => {
                story.unknown = Some(sent);
                return story;
            }
            Ok(reply) => {
                let version = reply.data()["version"].as_u64().unwrap();
                story.answered.push((version, sent));
                total.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    story
}

/// What the log must be, from the clients' point of view.
#[derive(Default)]
struct Expected {
    by_key: HashMap<String, u64>,
    documents: BTreeMap<String, Value>,
    /// Up to here the log was read and found right.
    checked: u64,
}

impl Expected {
    fn note(&mut self, version: u64, sent: &Sent) {
        assert_eq!(self.by_key.insert(sent.key.clone(), version), None, "{} was answered twice", sent.key);
        let change: Value = serde_json::from_str(&sent.data).unwrap();
        let id = change["id"].as_str().unwrap().to_owned();
        let document = self.documents.entry(id).or_insert_with(|| json!({}));
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    }

    /// Reads what is new in the log: versions without a gap, each key once and at the version that was answered.
    fn read_on(&mut self, wire: &mut Wire) {
        let from = self.checked + 1;
        for record in wire.get(&format!("/log?from={from}")).unwrap().lines() {
            let version = record["version"].as_u64().unwrap();
            assert_eq!(version, self.checked + 1, "the log has a gap");
            self.checked = version;
            match record["key"].as_str() {
                None => assert_eq!(record["method"], "rig_epoch", "{record}"),
                Some(key) => {
                    let answered = self.by_key.get(key);
                    assert_eq!(answered, Some(&version), "{key} is in the log at {version}, answered: {answered:?}");
                }
            }
        }
    }
}

#[test]
fn a_hundred_times_killed_under_eight_clients_nothing_answered_is_lost_and_nothing_is_there_twice() {
    let home = Home::new();
    let mut node = Node::new(&home);
    let (mut expected, mut unknown, mut were_there) = (Expected::default(), 0, 0);
    let begin = Instant::now();
    let cycles = cycles();
    for cycle in 0..cycles {
        let address = node.address().to_owned();
        let total = AtomicU64::new(0);
        // Killed when so many are answered: sometimes at once, mostly in the middle of the load.
        let enough = cycle * 37 % 160;
        let stories: Vec<Story> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    scope.spawn({
                        let (address, total) = (&address, &total);
                        move || client(address, cycle, number, total)
                    })
                })
                .collect();
            let deadline = Instant::now() + Duration::from_secs(20);
            while total.load(Ordering::Relaxed) < enough {
                assert!(Instant::now() < deadline, "the node answers nothing: {}", home.serve_log());
                std::thread::sleep(Duration::from_micros(200));
            }
            node.kill();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        if cycle % 10 == 3 {
            die_while_starting(&home, cycle);
        }
        // The log of a killed node passes as it lies there: a torn end is a note, never damage.
        if cycle % 5 == 0 {
            home.ok(&["log", "verify"]);
        }
        node = Node::serve(&home, &[]);
        let mut wire = Wire::open(node.address()).unwrap();
        for story in stories {
            for (version, sent) in &story.answered {
                expected.note(*version, sent);
            }
            if let Some(sent) = story.unknown {
                let (version, was_there) = resolve(&mut wire, &sent);
                expected.note(version, &sent);
                unknown += 1;
                were_there += u64::from(was_there);
            }
        }
        expected.read_on(&mut wire);
        home.ok(&["log", "verify"]);
    }
    println!(
        "{cycles} cycles in {:?}: {} records, {unknown} unknown, {were_there} of them were in the log",
        begin.elapsed(),
        expected.checked
    );
    assert!(unknown >= cycles, "with {unknown} unknown in {cycles} cycles nothing was interrupted");

    let records = home.ok(&["log", "dump", "--json"]).lines();
    assert_eq!(records.len() as u64, expected.checked);
    let keys: HashMap<&str, u64> =
        records.iter().filter_map(|record| Some((record["key"].as_str()?, record["version"].as_u64()?))).collect();
    assert_eq!(keys.len(), expected.by_key.len(), "each operation is in the log exactly once");
    assert!(expected.by_key.iter().all(|(key, version)| keys.get(&**key) == Some(version)));
    assert_eq!(documents(&home), expected.documents);
}

/// Starts the node and kills it before, or just when, it is ready.
fn die_while_starting(home: &Home, cycle: u64) {
    let mut dying = Node::spawn_unready(home, home.rig(SERVE));
    std::thread::sleep(Duration::from_millis(cycle % 40));
    dying.kill();
}

/// Finds out what became of an operation without an answer, and sends it again with its key: one version.
fn resolve(wire: &mut Wire, sent: &Sent) -> (u64, bool) {
    let outcome = wire.get(&format!("/outcome/{}", sent.key)).unwrap().data();
    let before = outcome["version"].as_u64();
    match outcome["state"].as_str().unwrap() {
        "committed" => assert!(before.is_some(), "{outcome}"),
        "absent" => assert_eq!(before, None, "{outcome}"),
        _ => panic!("{outcome}"),
    }
    let answer = wire.operation(sent.method, &sent.data, Some(&sent.key)).unwrap().data();
    let version = answer["version"].as_u64().unwrap();
    assert_eq!(answer["replayed"], before.is_some(), "{answer}");
    assert!(before.is_none_or(|before| before == version), "{outcome}, then {answer}");
    let again = wire.operation(sent.method, &sent.data, Some(&sent.key)).unwrap().data();
    assert_eq!((&again["version"], &again["replayed"]), (&answer["version"], &true.into()));
    assert_eq!(again["result"], answer["result"]);
    let after = wire.get(&format!("/outcome/{}", sent.key)).unwrap().data();
    assert_eq!((&after["state"], &after["version"]), (&"committed".into(), &answer["version"]));
    (version, before.is_some())
}

/// All documents, as their owners sent them.
fn documents(home: &Home) -> BTreeMap<String, Value> {
    let list = home.ok(&["ls", "user", "--json"]).lines().into_iter().map(crate::first_minutes::without_marks);
    list.map(|document| (document["id"].as_str().unwrap().to_owned(), document)).collect()
}

/// The newest snapshot.
fn snapshot(home: &Home) -> Option<PathBuf> {
    with_extension(&home.default_dir().join("snapshots"), "snap").pop()
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    names.sort();
    names
}

const BEFORE_SNAPSHOT: u64 = 1_500;
const WITH_SNAPSHOT: &str = "records replayed behind the snapshot of version 150";

/// Keyed lines for a batch: new documents with a unique member, each of some size.
fn creates(range: std::ops::Range<u64>, padding: usize) -> String {
    let padding = "x".repeat(padding);
    range
        .map(|n| {
            format!(
                "{{\"method\":\"user_create\",\"data\":{{\"id\":\"u{n}\",\"email\":\"{n}@x\",\"p\":\"{padding}\"}},\"key\":\"k{n}\"}}\n"
            )
        })
        .collect()
}

/// A node with a snapshot, some records behind it, and killed.
fn with_a_snapshot(home: &Home) -> String {
    let mut node = Node::new(home);
    let mut wire = Wire::open(node.address()).unwrap();
    let schema = r#"{"method":"schema_set","data":{"type":"user","unique":["email"]},"key":"schema"}"#;
    assert_eq!(wire.batch(&format!("{schema}\n")).unwrap().lines()[0]["status"], 200);
    let replies = wire.batch(&creates(0..BEFORE_SNAPSHOT, 20)).unwrap().lines();
    assert!(replies.iter().all(|line| line["status"] == 200));
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    assert!(snapshot(home).is_some(), "an orderly stop after so many records leaves a snapshot");

    let mut node = Node::serve(home, &[]);
    let mut wire = Wire::open(node.address()).unwrap();
    for n in 0..50 {
        let (update, delete) = (format!(r#"{{"id":"u{n}","p":null,"q":{n}}}"#), format!(r#"{{"id":"u{}"}}"#, 100 + n));
        assert_eq!(wire.operation("user_update", &update, Some(&format!("update{n}"))).unwrap().status, 200);
        assert_eq!(wire.operation("user_delete", &delete, None).unwrap().status, 200);
    }
    let state = state(&mut wire);
    node.kill();
    state
}

/// What clients can see of the state.
fn state(wire: &mut Wire) -> String {
    let reply = wire.get("/data/user").unwrap();
    let mut text = reply.data()["items"].to_string();
    for key in ["schema", "k0", "k149", "k1499", "update7"] {
        text.push_str(&wire.get(&format!("/outcome/{key}")).unwrap().data().to_string());
    }
    text
}

/// Operations from before the snapshot, sent again: the answers of then, no record, and no other use of their keys.
fn assert_idempotent(wire: &mut Wire) {
    let before = wire.get("/status").unwrap().data()["applied"].as_u64().unwrap();
    for n in [0, 120, 1_499] {
        let data = format!(r#"{{"id":"u{n}","email":"{n}@x","p":"{}"}}"#, "x".repeat(20));
        let again = wire.operation("user_create", &data, Some(&format!("k{n}"))).unwrap().data();
        assert_eq!((&again["version"], &again["replayed"]), (&(n + 3).into(), &true.into()), "{again}");
        assert_eq!(again["result"], json!({"id": format!("u{n}"), "version": n + 3}));
        let other = wire.operation("user_create", "{\"id\":\"other\"}", Some(&format!("k{n}"))).unwrap();
        assert_eq!((other.status, &other.json()["code"]), (422, &"key_reused".into()));
    }
    let taken = wire.operation("user_create", r#"{"id":"new","email":"700@x"}"#, None).unwrap();
    assert_eq!((taken.status, &taken.json()["code"]), (409, &"unique".into()), "the schema is in force");
    assert_eq!(wire.get("/status").unwrap().data()["applied"], before, "nothing was logged");
}

#[test]
fn a_snapshot_that_is_lost_or_damaged_costs_time_and_nothing_else() {
    let home = Home::new();
    let state_before = with_a_snapshot(&home);
    let path = snapshot(&home).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    // The header, the configuration, the documents, the keys, the results; cut; empty; gone; whole again.
    let places = [3, 40, 75, 130, 4_093, 4_100, middle, whole.len() * 9 / 10, whole.len() - 1];
    let mut cases: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for place in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        cases.push((format!("byte {place} of {} flipped", whole.len()), Some(bytes)));
    }
    let mut other = whole.clone();
    other[75] ^= 0x10;
    let crc = crc32c::crc32c(&other[..4_092]);
    other[4_092..4_096].copy_from_slice(&crc.to_le_bytes());
    cases.push(("whole, and of another history".into(), Some(other)));
    cases.push(("cut in the middle".into(), Some(whole[..middle].to_vec())));
    cases.push(("empty".into(), Some(Vec::new())));
    cases.push(("gone".into(), None));
    cases.push(("whole".into(), Some(whole.clone())));
    for (case, bytes) in cases {
        let is_whole = bytes.as_ref() == Some(&whole);
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let said = home.serve_log().len();
        let mut node = Node::serve(&home, &[]);
        let mut wire = Wire::open(node.address()).unwrap();
        let said = &home.serve_log()[said..];
        assert_eq!(said.contains("is not used") || case == "gone", !is_whole, "{case}: {said}");
        assert!(state(&mut wire) == state_before, "{case}: the state is another one");
        assert_idempotent(&mut wire);
        home.ok(&["log", "verify"]);
        node.kill();
    }
    // The whole one is used.
    let (_node, said) = Running::serve(&home, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains(WITH_SNAPSHOT), "{said}");
}

#[test]
fn killed_while_a_snapshot_is_written_the_next_start_has_everything() {
    let home = Home::new();
    let mut node = Node::new(&home);
    let folder = home.default_dir().join("snapshots");
    let address = node.address().to_owned();
    // Each chunk is one request; what is behind the last answered chunk may be there or not, without a gap.
    let until = Instant::now() + Duration::from_secs(20);
    let answered = AtomicU64::new(0);
    let is_caught = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut wire = Wire::open(&address).unwrap();
            for chunk in (0..).take_while(|_| Instant::now() < until) {
                let Ok(reply) = wire.batch(&creates(chunk * 500..(chunk + 1) * 500, 1_500)) else { return };
                assert!(reply.lines().iter().all(|line| line["status"] == 200));
                answered.store((chunk + 1) * 500, Ordering::SeqCst);
            }
        });
        let mut is_caught = false;
        while !is_caught && !client.is_finished() {
            is_caught = !with_extension(&folder, "tmp").is_empty();
            std::thread::sleep(Duration::from_micros(300));
        }
        node.kill();
        is_caught
    });
    assert!(is_caught, "no snapshot was begun: {}", home.serve_log());
    assert!(snapshot(&home).is_none() && !with_extension(&folder, "tmp").is_empty(), "it was killed too late");
    home.ok(&["log", "verify"]);

    let mut node = Node::serve(&home, &[]);
    let answered = answered.into_inner();
    let count = |home: &Home| home.ok(&["ls", "user", "--json"]).stdout.lines().count() as u64;
    let there = count(&home);
    assert!(answered >= 11_000 && there >= answered, "{answered} answered, {there} there");
    let mut wire = Wire::open(node.address()).unwrap();
    for n in [0, answered / 2, answered - 1] {
        let outcome = wire.get(&format!("/outcome/k{n}")).unwrap().data();
        assert_eq!((&outcome["state"], &outcome["version"]), (&"committed".into(), &(n + 2).into()));
    }
    // The next snapshot is due at once, and clears the unfinished one away.
    let deadline = Instant::now() + Duration::from_secs(20);
    while snapshot(&home).is_none() || !with_extension(&folder, "tmp").is_empty() {
        assert!(Instant::now() < deadline, "no snapshot comes: {}", home.serve_log());
        std::thread::sleep(Duration::from_millis(5));
    }
    node.kill();
    let _node = Node::serve(&home, &[]);
    assert_eq!(count(&home), there);
}
