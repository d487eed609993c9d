//! Nodes inside this process, with services of their own: the users of the example, and some that are wrong on purpose.

use std::path::Path;
use std::time::{Duration, Instant};

use rig::prelude::*;
use rig::service::conformance;
use rig::{Builder, Handle, Node, NodeError, NotApplied};
use serde_json::{Value, json};

use crate::support::{Home, Link};
use crate::wire::{Reply as Answer, Wire};

#[path = "../examples/users.rs"]
#[allow(dead_code, reason = "its `main` is for the example")]
mod users;

use users::Users;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

fn builder(dir: &Path) -> Builder {
    Node::builder().data_dir(dir).listen("127.0.0.1:0").service(|| Box::new(Users::default()))
}

fn started(builder: Builder) -> Handle {
    let node = builder.start().unwrap();
    node.wait_ready(PATIENCE).expect("ready");
    node
}

fn wire(node: &Handle) -> Wire {
    Wire::open(node.url().strip_prefix("http://").unwrap()).unwrap()
}

fn get(node: &Handle, target: &str) -> Answer {
    wire(node).get(target).unwrap()
}

/// Asks until what it says is so.
fn wait(node: &Handle, what: &str, good: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = get(node, "/status").data();
        if good(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_in_sync(node: &Handle) {
    wait(node, "in sync", |status| status["state"] == "in_sync");
}

fn user(id: &str) -> String {
    json!({ "id": id, "name": id, "email": format!("{id}@x.org") }).to_string()
}

/// So many users at once.
fn create(node: &Handle, ids: std::ops::Range<usize>) {
    let lines = ids.clone().map(|n| format!("{{\"method\":\"user_create\",\"data\":{}}}\n", user(&format!("u{n}"))));
    let answer = wire(node).batch(&lines.collect::<String>()).unwrap();
    assert!(answer.lines().iter().all(|line| line["status"] == 200), "{answer:?}");
    assert_eq!(answer.lines().len(), ids.len());
}

/// Operations for users and goals, good and bad ones, with few names, so that they meet.
fn workload() -> Vec<Operation> {
    let mut seed = 7_u64;
    let mut roll = move |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % sides
    };
    let mut operations = Vec::new();
    for _ in 0..150 {
        let (user, email, goal) = (roll(5), roll(4), roll(5));
        let (method, data) = match roll(12) {
            0..=2 => ("user_create", json!({ "id": format!("u{user}"), "name": "N", "email": format!("e{email}") })),
            3 => ("user_create", json!({ "name": "N", "email": format!("e{email}") })),
            4 => ("user_update", json!({ "id": format!("u{user}"), "email": format!("e{email}") })),
            5 => ("user_delete", json!({ "id": format!("u{user}") })),
            6..=7 => ("goal_create", json!({ "id": format!("g{goal}"), "user": format!("u{user}"), "title": "T" })),
            8 => ("goal_update", json!({ "id": format!("g{goal}"), "user": format!("u{user}") })),
            9 => ("goal_delete", json!({ "id": format!("g{goal}") })),
            10 => ("goal_update", json!({ "title": 1 })),
            _ => ("team_create", json!([])),
        };
        operations.push(Operation::new(method, data.to_string()));
    }
    operations
}

#[test]
fn the_users_of_the_example_hold_every_rule_of_a_service() {
    let make = || Box::new(Users::default()) as Box<dyn Service>;
    if let Err(violations) = conformance::check(&make, &workload()) {
        panic!("{violations:#?}");
    }
}

#[test]
fn the_users_of_the_example_are_created_changed_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(builder(&folder.path().join("n1")));
    let apply = |method: &str, data: Value| node.apply(method, &data.to_string());
    let made = apply("user_create", json!({ "name": "Al", "email": "al@x.org" })).unwrap();
    let id = serde_json::from_str::<Value>(&made.result).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!((made.version, made.durability.as_str(), made.replayed), (2, "local", false));
    apply("goal_create", json!({ "id": "g/2", "user": id, "title": "swim" })).unwrap();
    apply("goal_create", json!({ "id": "g1", "user": id, "title": "run" })).unwrap();
    let user = json!({ "id": id, "name": "Al", "email": "al@x.org" });
    assert_eq!(get(&node, &format!("/users/{id}")).json(), user);
    assert_eq!(get(&node, "/users?email=al%40x.org").json(), json!({ "items": [user] }));
    assert_eq!(get(&node, "/users?email=nobody").json(), json!({ "items": [] }));
    let goals = get(&node, &format!("/users/{id}/goals"));
    assert_eq!(goals.header("Content-Type"), Some("application/json"));
    let titles: Vec<Value> =
        goals.json()["items"].as_array().unwrap().iter().map(|goal| goal["title"].clone()).collect();
    assert_eq!(titles, ["swim", "run"]);
    for (method, data, code) in [
        ("user_create", json!({ "name": "B", "email": "al@x.org" }), "unique"),
        ("user_create", json!({ "id": id, "name": "B", "email": "b" }), "exists"),
        ("user_create", json!({ "name": "B" }), "invalid"),
        ("user_update", json!({ "id": "nobody", "name": "B" }), "not_found"),
        ("goal_create", json!({ "user": "nobody", "title": "x" }), "not_found"),
        ("goal_update", json!({ "id": "g1", "title": 1 }), "invalid"),
        ("goal_delete", json!({}), "invalid"),
        ("team_create", json!({}), "unknown_method"),
    ] {
        match apply(method, data.clone()) {
            Err(NotApplied::Refused(problem)) => assert_eq!(problem.code, code, "{method} {data}"),
            other => panic!("{method} {data}: {other:?}"),
        }
    }
    apply("user_delete", json!({ "id": id })).unwrap();
    assert_eq!(get(&node, &format!("/users/{id}/goals")).status, 404);
    assert!(
        matches!(apply("goal_delete", json!({ "id": "g1" })), Err(NotApplied::Refused(problem)) if problem.status == 404)
    );
}

#[test]
fn reads_of_a_service_in_the_process_are_reads_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(builder(&folder.path().join("n1")));
    node.apply("user_create", &user("al")).unwrap();
    let mut wire = wire(&node);
    let read = wire.get_with("/users/al", "Rig-Min-Version: 2\r\nX-Request-Id: mine\r\n").unwrap();
    assert_eq!((read.status, read.header("Rig-Version"), read.header("X-Request-Id")), (200, Some("2"), Some("mine")));
    assert_eq!(wire.get("/status").unwrap().data()["service"]["kind"], "users");
    wire.send(b"HEAD /users/al HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let head = wire.head().unwrap();
    assert_eq!((head.status, head.header("Content-Length")), (200, read.header("Content-Length")));
    let nothing = wire.get("/users/bo").unwrap();
    assert_eq!((nothing.status, nothing.code()), (404, "not_found".to_owned()));
    let late = wire.get_with("/users/al", "Rig-Min-Version: 9\r\nRig-Timeout-Ms: 30\r\n").unwrap();
    assert_eq!((late.status, late.code()), (503, "lagging".to_owned()));
    assert_eq!(wire.get("/data/user/al").unwrap().status, 404);
    let json = "Content-Type: application/json\r\n";
    for (path, status, allow) in
        [("/users/al", 405, Some("GET, HEAD")), ("/nothing", 404, None), ("/data/a", 405, Some("GET, HEAD"))]
    {
        let refused = wire.post(path, json, "{}").unwrap();
        assert_eq!((refused.status, refused.header("Allow")), (status, allow), "{path}");
        assert!(refused.json()["hint"].as_str().unwrap().contains("POST /do"), "{refused:?}");
    }
    // One that waits is answered as soon as its version is applied.
    wire.send(crate::wire::get("/users/bo", "Rig-Min-Version: 3\r\n").as_bytes()).unwrap();
    node.apply("user_create", &user("bo")).unwrap();
    let waited = wire.reply().unwrap();
    assert_eq!((waited.status, waited.header("Rig-Version")), (200, Some("3")));
}

#[test]
fn where_tokens_are_asked_for_a_read_needs_one_and_the_handle_shows_its_own() {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tokens);
    std::io::Write::write_all(&mut file.unwrap(), b"me write secret\nyou read other\n").unwrap();
    let with = |token: &str| builder(&folder.path().join("n1")).tokens(&tokens).token(token);
    let node = started(with("secret"));
    node.apply("user_create", &user("al")).unwrap();
    assert_eq!(get(&node, "/users/al").status, 401);
    assert_eq!(wire(&node).get_with("/users/al", "Authorization: Bearer other\r\n").unwrap().status, 200);
    drop(node);
    let node = started(with("other"));
    assert!(
        matches!(node.apply("user_create", &user("bo")), Err(NotApplied::Refused(problem)) if problem.status == 401)
    );
}

#[test]
fn a_handle_says_what_became_of_an_operation_and_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    let node = started(builder(&dir));
    let first = node.apply_with_key("user_create", &user("al"), "k1").unwrap();
    let again = node.apply_with_key("user_create", &user("al"), "k1").unwrap();
    assert_eq!((again.version, &again.result, again.replayed), (first.version, &first.result, true));
    for data in ["{", "{\"id\":1,\"id\":2}", "1} {", ""] {
        assert!(
            matches!(node.apply("user_create", data), Err(NotApplied::Refused(problem)) if problem.status == 400),
            "{data}"
        );
    }
    assert!(matches!(node.apply("No Method", "{}"), Err(NotApplied::Refused(problem)) if problem.status == 400));
    assert_eq!((node.name(), node.is_running()), ("n1", true));
    node.stop();
    let stopped = Instant::now() + PATIENCE;
    while node.is_running() {
        assert!(Instant::now() < stopped);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(node.apply("user_create", &user("bo")), Err(NotApplied::Unreachable(_) | NotApplied::Unknown(_))));
    node.join().unwrap();
    // A handle that is dropped has ended its node: the directory is free.
    for _ in 0..2 {
        drop(started(builder(&dir)));
        assert!(!rig::node::dir::is_in_use(&dir));
    }
}

#[test]
fn a_service_is_there_again_from_its_snapshot_and_the_records_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    let node = started(builder(&dir));
    create(&node, 0..1200);
    drop(node);
    let snapshots = || std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let newest = snapshots().filter(|path| path.extension().is_some_and(|it| it == "snap")).max().expect("a snapshot");

    let node = started(builder(&dir));
    create(&node, 1200..1205);
    drop(node);
    let node = builder(&dir).start().unwrap();
    let notes = node.wait_ready(PATIENCE).unwrap().notes;
    // The record of the second start's epoch is among them.
    assert!(
        notes.iter().any(|note| note.starts_with("6 records replayed behind the snapshot of version 1201")),
        "{notes:?}"
    );
    assert_eq!(get(&node, "/users").json()["items"].as_array().unwrap().len(), 1205);
    drop(node);

    // A snapshot is only a help: damaged, it is not believed, and the log is replayed from its beginning.
    let mut bytes = std::fs::read(&newest).unwrap();
    let at = bytes.windows(6).position(|window| window == b"u500@x").unwrap();
    bytes[at] = b'v';
    std::fs::write(&newest, bytes).unwrap();
    let node = started(builder(&dir));
    assert_eq!(get(&node, "/users/u500").json()["email"], "u500@x.org");
    assert_eq!(get(&node, "/users").json()["items"].as_array().unwrap().len(), 1205);
}

#[test]
fn a_log_is_served_for_its_own_service_only_and_not_replayed_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    // No operation is in it yet.
    drop(started(Node::builder().data_dir(&dir).listen("127.0.0.1:0")));
    let node = started(builder(&dir));
    node.apply("user_create", &user("al")).unwrap();
    drop(node);
    let error = Node::builder().data_dir(&dir).listen("127.0.0.1:0").build().map(|_| ()).unwrap_err();
    assert!(matches!(&error, NodeError::OtherService { known, asked, .. } if known == "users" && asked == "documents"));
    assert!(error.to_string().contains("`users`") && error.hint().contains("state/service"), "{error}");
    let home = Home::new();
    let verified = home.ok(&["log", "verify", "--deep", "--json", "-D", dir.to_str().unwrap()]);
    let found = verified.lines();
    assert!(found.iter().any(|line| line["code"] == "not_replayed"), "{found:?}");
    assert_eq!(found.last().unwrap()["result"], "pass");
    assert_eq!(get(&started(builder(&dir)), "/users/al").status, 200);
}

#[test]
fn a_replica_catches_up_applies_the_same_and_answers_reads_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let one = started(builder(&folder.path().join("n1")));
    create(&one, 0..300);
    let two = started(builder(&folder.path().join("n2")).role(Role::Replica).peer(one.url()));
    wait_in_sync(&two);
    let last = two.apply("goal_create", &json!({ "id": "g", "user": "u7", "title": "T" }).to_string()).unwrap();
    assert_eq!(last.durability.as_str(), "sync");
    let newest = format!("Rig-Min-Version: {}\r\n", last.version);
    let read = |node: &Handle, path: &str| wire(node).get_with(path, &newest).unwrap();
    for path in ["/users", "/users/u7/goals"] {
        let (here, there) = (read(&one, path), read(&two, path));
        assert_eq!((here.status, &here.body), (200, &there.body), "{path}");
        assert_eq!(there.header("Rig-Role"), Some("replica"));
    }
    assert_eq!(read(&two, "/users").json()["items"].as_array().unwrap().len(), 300);
}

#[test]
fn a_node_whose_log_is_cut_back_makes_its_service_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Link::free_address(), Link::free_address());
    let one =
        |role: Role| builder(&folder.path().join("n1")).listen(&first).role(role).replication(rig::types::Mode::Async);
    let two = || builder(&folder.path().join("n2")).listen(&second).role(Role::Replica).peer(format!("http://{first}"));
    let (old, new) = (started(one(Role::Primary)), started(two()));
    wait_in_sync(&new);
    create(&old, 0..1100);
    wait(&new, "everything applied", |status| status["applied"].as_u64() >= Some(1101));
    drop(new);
    // Applied here, known to nobody else, and in the snapshot of the stop or behind it.
    create(&old, 1100..1103);
    old.apply("user_delete", r#"{"id":"u5"}"#).unwrap();
    drop(old);

    let new = started(two());
    let json = "Content-Type: application/json\r\n";
    let forced = wire(&new).post("/role", json, r#"{"role":"primary","accept_data_loss":true}"#).unwrap();
    assert_eq!(forced.status, 200, "{forced:?}");
    let last = new.apply("user_create", &user("late")).unwrap();
    let old = started(one(Role::Replica).peer(format!("http://{second}")));
    wait(&old, "it follows", |status| status["state"] == "in_sync" && status["applied"].as_u64() >= Some(last.version));
    assert_eq!(get(&old, "/status").data()["rescued"], 1);
    for node in [&old, &new] {
        assert_eq!(get(node, "/users").json()["items"].as_array().unwrap().len(), 1101);
        let statuses = ["u5", "late", "u1100"].map(|id| get(node, &format!("/users/{id}")).status);
        assert_eq!(statuses, [200, 200, 404]);
    }
}

/// A service that does what its operations say, wrong things too, and does not check its snapshots.
#[derive(Default)]
struct Odd {
    version: Version,
    sum: u64,
}

impl Service for Odd {
    fn kind(&self) -> &'static str {
        "odd"
    }
    fn version(&self) -> Version {
        self.version
    }
    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        assert_ne!(&*operation.method, "panic_in_resources", "on purpose");
        Ok(Resources::Keys(Vec::new()))
    }
    fn validate(&self, operation: &Operation, _: &Context<'_>) -> Result<Valid, Problem> {
        let data = match &*operation.method {
            "panic_in_validate" => panic!("on purpose"),
            "log_garbage" => Some("{".into()),
            "log_spaces" => Some("{ \"a\" : 1 }".into()),
            "log_much" => Some(format!("\"{}\"", "x".repeat(8 << 20)).into()),
            _ => None,
        };
        Ok(Valid { data })
    }
    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let sum = &mut self.sum;
        let mut short = false;
        let mut outcomes = apply_each(&mut self.version, entries, |operation, _| {
            match &*operation.method {
                "panic" => panic!("on purpose"),
                "forget" => short = true,
                _ => *sum += 1,
            }
            Outcome::done(if &*operation.method == "say_garbage" { "{".to_owned() } else { sum.to_string() })
        })?;
        outcomes.truncate(if short { 0 } else { usize::MAX });
        Ok(outcomes)
    }
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(Plain(self.version, self.sum))
    }
    fn restore(&mut self, version: Version, input: &mut dyn std::io::Read) -> Result<(), ServiceError> {
        let mut sum = [0; 8];
        input.read_exact(&mut sum)?;
        (self.version, self.sum) = (version, u64::from_le_bytes(sum));
        Ok(())
    }
    fn read(&self, path: &str, query: &str) -> Option<Result<Reply, Problem>> {
        match path {
            "/panic" => panic!("on purpose"),
            "/sum" => Some(Ok(Reply::json(self.sum.to_string()))),
            "/status-of" => Some(Ok(Reply { status: query.parse().unwrap_or(200), ..Reply::json("1") })),
            _ => None,
        }
    }
}

struct Plain(Version, u64);

impl Snapshot for Plain {
    fn version(&self) -> Version {
        self.0
    }
    fn write(self: Box<Self>, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&self.1.to_le_bytes())
    }
}

fn odd(dir: &Path) -> Builder {
    builder(dir).service(|| Box::new(Odd::default()))
}

#[test]
fn what_a_service_would_log_or_say_that_is_no_json_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(odd(&folder.path().join("n1")));
    for (method, status) in [("log_garbage", 500), ("log_much", 413)] {
        assert!(
            matches!(node.apply(method, "1"), Err(NotApplied::Refused(problem)) if problem.status == status),
            "{method}"
        );
    }
    assert_eq!(node.apply("log_spaces", "1").unwrap().version, 2, "nothing was logged before");
    let record = String::from_utf8(get(&node, "/log/record/2").body).unwrap();
    assert!(record.contains(r#""data":{"a":1}"#), "{record}");
    assert!(matches!(node.apply("say_garbage", "1"), Err(NotApplied::Refused(problem)) if problem.status == 500));
    assert_eq!(node.apply("add", "1").unwrap().version, 4, "it is in the log all the same");
    let statuses = ["204", "404", "99", "600"].map(|status| get(&node, &format!("/status-of?{status}")).status);
    assert_eq!(statuses, [204, 404, 500, 500]);
}

#[test]
fn a_service_that_fails_its_node_ends_it_by_name_and_what_was_answered_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for (method, says) in [("panic", "panicked in apply: on purpose"), ("forget", "gave 0 outcomes")] {
        let dir = folder.path().join(method);
        let node = started(odd(&dir));
        node.apply("add", "1").unwrap();
        assert!(node.apply(method, "1").is_err());
        let error = node.join().unwrap_err();
        assert!(matches!(&error, NodeError::Service(ServiceError::Broken(why)) if why.contains(says)), "{error}");
        // It is in the log, so that every start ends there: by name, until the service is mended.
        let again = odd(&dir).build().map(|_| ()).unwrap_err();
        assert!(again.to_string().contains(says) || method == "forget", "{again}");
    }
}

#[test]
fn a_service_that_panics_while_it_is_asked_refuses_that_one_operation() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(odd(&folder.path().join("n1")));
    for method in ["panic_in_resources", "panic_in_validate"] {
        match node.apply(method, "1") {
            Err(NotApplied::Refused(problem)) => assert_eq!(problem.status, 500, "{problem}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(get(&node, "/panic").status, 500);
    assert_eq!(node.apply("add", "1").unwrap().version, 2);
}

#[test]
fn a_snapshot_that_its_service_does_not_check_is_checked_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    let node = started(odd(&dir));
    let lines = "{\"method\":\"add\",\"data\":1}\n".repeat(1100);
    assert!(wire(&node).batch(&lines).unwrap().lines().iter().all(|line| line["status"] == 200));
    drop(node);
    let snapshot = std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = snapshot.filter(|path| path.extension().is_some_and(|it| it == "snap")).max().expect("a snapshot");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let at = bytes.windows(8).position(|window| window == 1100_u64.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let node = started(odd(&dir));
    assert_eq!(get(&node, "/sum").json(), 1100);
}
