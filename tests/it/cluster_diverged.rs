//! The service of a replica does another thing than it is told. Two nodes in this process, because no service that Rig
//! brings along can lie.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rig::error::Problem;
use rig::node::dir::DataDir;
use rig::node::{Config, Node, Source, Stopper};
use rig::replication::Asked;
use rig::service::{Context, Documents, Entry, Outcome, Resources, Service, ServiceError, Settings, Snapshot, Valid};
use rig::types::{Mode, Operation, Role, Version};
use serde_json::{Value, json};

use crate::support::Home;
use crate::wire::Wire;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test knows and decides of the service of one node.
#[derive(Default)]
struct Bias {
    /// How many times more the operation on `odd` is taken for another one.
    lies: AtomicUsize,
    /// The version that each service was given first.
    begun: Mutex<Vec<Version>>,
}

/// Documents that take one operation for another.
struct Liar {
    documents: Documents,
    bias: Arc<Bias>,
    begun: bool,
}

impl Service for Liar {
    fn kind(&self) -> &'static str {
        "liar"
    }

    fn version(&self) -> Version {
        self.documents.version()
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        self.documents.resources(operation)
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        self.documents.validate(operation, context)
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.bias.begun.lock().unwrap().extend(entries.first().map(|entry| entry.version));
        }
        let other = Operation::new("user_put", r#"{"id":"other"}"#);
        let is_odd = |operation: &&Operation| operation.data.contains("\"odd\"");
        let lie =
            || self.bias.lies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let heard: Vec<Entry<'_>> = entries
            .iter()
            .map(|entry| match entry.operation.filter(is_odd) {
                Some(_) if lie() => Entry { operation: Some(&other), ..*entry },
                _ => *entry,
            })
            .collect();
        self.documents.apply(&heard)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.documents.snapshot()
    }

    fn restore(&mut self, version: Version, input: &mut dyn std::io::Read) -> Result<(), ServiceError> {
        self.documents.restore(version, input)
    }

    fn documents(&self) -> Option<&Documents> {
        Some(&self.documents)
    }
}

/// A node in this process; it ends in order when it is dropped.
struct Local {
    address: String,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Local {
    fn start(dir: PathBuf, role: Role, mode: Mode, peer: Option<&str>, bias: &Arc<Bias>) -> Self {
        let bias = Arc::clone(bias);
        let make = move || -> Box<dyn Service> {
            let documents = Documents::new(Settings::default());
            Box::new(Liar { documents, bias: Arc::clone(&bias), begun: false })
        };
        let asked = Asked { replication: Some(mode), ..Asked::default() };
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            role: Some(role),
            peers: peer.map(str::to_owned).into_iter().collect(),
            asked: if role == Role::Primary { asked } else { Asked::default() },
            service: Source::Local(Arc::new(make)),
            ..Config::new(dir)
        };
        let (told, hears) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let node = Node::start(config).unwrap();
            let stopper = node.stopper();
            node.run(|ready| told.send((ready.http.clone(), stopper)).unwrap()).unwrap();
        });
        let (http, stopper) = hears.recv_timeout(PATIENCE).unwrap();
        Self { address: http.trim_start_matches("http://").to_owned(), stopper, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn get(&self, target: &str) -> Value {
        Wire::open(&self.address).unwrap().get(target).unwrap().data()
    }

    /// Puts a document; gives status and body.
    fn put(&self, id: &str) -> (u16, Value) {
        let data = json!({ "id": id }).to_string();
        let reply = Wire::open(&self.address).unwrap().operation("user_put", &data, None).unwrap();
        (reply.status, reply.json())
    }

    fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.get("/status");
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The events of one name, each without what all events have.
    fn events(&self, name: &str) -> Vec<Value> {
        let lines = Wire::open(&self.address).unwrap().get("/events").unwrap().lines();
        let mut events: Vec<Value> = lines.into_iter().filter(|event| event["event"] == name).collect();
        for event in &mut events {
            let facts = event.as_object_mut().unwrap();
            facts.retain(|name, _| !["type", "seq", "time", "node", "event"].contains(&name.as_str()));
        }
        events
    }

    /// Every document, as text.
    fn documents(&self) -> String {
        self.get("/data/user?limit=1000")["items"].to_string()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

/// A primary and a replica that is in sync.
struct Pair {
    one: Local,
    two: Local,
    bias: Arc<Bias>,
    home: Home,
}

fn dir(home: &Home, name: &str) -> PathBuf {
    let path = home.path(name);
    if !Path::exists(&path) {
        DataDir::init(&path, name).unwrap();
    }
    path
}

impl Pair {
    fn new(mode: Mode) -> Self {
        let (home, bias) = (Home::new(), Arc::default());
        let one = Local::start(dir(&home, "n1"), Role::Primary, mode, None, &Arc::default());
        let two = Local::start(dir(&home, "n2"), Role::Replica, mode, Some(&one.url()), &bias);
        two.until(|status| status["state"] == "in_sync");
        Self { one, two, bias, home }
    }

    fn in_sync(&self) {
        for (node, state) in [(&self.one, "serving"), (&self.two, "in_sync")] {
            node.until(|status| status["state"] == state);
        }
        let head = self.one.get("/status")["log"]["durable"].clone();
        self.two.until(|status| status["applied"] == head);
    }

    /// Logs and states are the same.
    fn are_equal(&self) {
        let version = self.one.get("/status")["applied"].clone();
        let hashes = [&self.one, &self.two].map(|node| node.get(&format!("/log/hash/{version}"))["hash"].clone());
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(self.one.documents(), self.two.documents());
    }
}

#[test]
fn a_replica_whose_service_lies_once_names_the_version_leaves_the_set_and_is_built_anew() {
    let mut pair = Pair::new(Mode::SemiSync);
    // A snapshot at its end, to be built anew from.
    let line = |n: usize| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"{}\",\"n\":{n}}}}}\n", n % 100);
    let lines: String = (0..1100).map(line).collect();
    assert_eq!(Wire::open(&pair.one.address).unwrap().batch(&lines).unwrap().status, 200);
    pair.in_sync();
    let snapshot = pair.two.get("/status")["applied"].as_u64().unwrap();
    drop(pair.two);
    pair.two = Local::start(dir(&pair.home, "n2"), Role::Replica, Mode::SemiSync, Some(&pair.one.url()), &pair.bias);
    pair.in_sync();
    assert_eq!(pair.two.events("diverged"), [json!(null); 0]);

    let (left, came) = (pair.one.events("degraded").len(), pair.one.events("in-sync").len());
    pair.bias.lies.store(1, Ordering::SeqCst);
    let answered = pair.one.put("odd");
    let version = answered.1["data"]["version"].as_u64().unwrap();
    assert_eq!((answered.0, &answered.1["data"]["durability"]), (200, &json!("sync")));
    assert_eq!(pair.one.put("after").0, 200);
    pair.one.until(|_| pair.one.events("degraded").len() == left + 1 && pair.one.events("in-sync").len() == came + 1);
    pair.in_sync();

    assert_eq!(pair.two.events("diverged"), [json!({ "version": version, "what": "state" })]);
    assert_eq!(pair.two.get("/status")["diverged_at"], json!(null));
    pair.are_equal();
    assert!(pair.two.documents().contains("\"odd\"") && !pair.two.documents().contains("\"other\""));
    let begun = pair.bias.begun.lock().unwrap().clone();
    assert_eq!(begun.last(), Some(&(snapshot + 1)), "from the snapshot, not from the beginning: {begun:?}");
    // What it says now is believed again.
    assert_eq!(pair.one.put("more").1["data"]["durability"], "sync");
    assert_eq!(pair.two.get("/status")["can_promote"], true);
}

#[test]
fn a_replica_that_lies_again_and_again_stays_out_until_the_operator_takes_its_word() {
    let mut pair = Pair::new(Mode::Sync);
    let followed = pair.two.events("following").len();
    pair.bias.lies.store(usize::MAX, Ordering::SeqCst);
    let version = pair.one.put("odd").1["data"]["version"].as_u64().unwrap();
    let seen = pair.two.until(|status| status["state"] == "diverged");
    assert_eq!((&seen["diverged_at"], &seen["can_promote"]), (&json!(version), &json!(false)));
    pair.one.until(|status| status["state"] == "blocked");
    let refused = pair.one.put("refused");
    assert_eq!((refused.0, &refused.1["code"]), (503, &json!("not_enough_replicas")));

    let url = pair.two.url();
    let rig = |arguments: &[&str]| pair.home.run(arguments);
    assert_eq!(rig(&["status", "-N", &url, "--check"]).code, Some(9));
    for dry_run in [&["--dry-run"][..], &[]] {
        let promoted = rig(&[&["promote", &url, "--json"], dry_run].concat());
        assert_eq!((promoted.code, &promoted.error()["code"]), (Some(6), &json!("promotion_unsafe")), "{promoted:#?}");
        assert_eq!(promoted.error()["diverged_at"], version, "{promoted:#?}");
    }
    // Each time that it is built anew it says the same again, and is not counted in between.
    pair.two.until(|_| pair.two.events("diverged").len() > 2);
    assert!(pair.two.events("diverged").iter().all(|event| *event == json!({ "version": version, "what": "state" })));
    assert_eq!((&pair.one.get("/status")["state"], pair.two.events("following").len()), (&json!("blocked"), followed));

    // The operator says that this one is right: then the other one has diverged, from the same version on.
    let forced = rig(&["promote", &url, "--accept-data-loss", "--confirm", "n2", "--json"]);
    assert_eq!((forced.code, &forced.json()["forced"]), (Some(0), &json!(true)), "{forced:#?}");
    let seen = pair.one.until(|status| status["state"] == "diverged");
    assert_eq!((&seen["role"], &seen["diverged_at"]), (&json!("replica"), &json!(version)));
    assert!(pair.two.documents().contains("\"other\""));

    // So it was this one, and a start shows it: it leads by what the log says, and the other one agrees.
    pair.bias.lies.store(0, Ordering::SeqCst);
    drop(pair.two);
    pair.two = Local::start(dir(&pair.home, "n2"), Role::Primary, Mode::Sync, Some(&pair.one.url()), &pair.bias);
    pair.one.until(|status| status["state"] == "in_sync" && status["diverged_at"].is_null());
    assert_eq!(pair.two.put("after").0, 200);
    let head = pair.two.get("/status")["applied"].clone();
    pair.one.until(|status| status["applied"] == head);
    pair.are_equal();
    assert!(pair.one.documents().contains("\"odd\"") && !pair.one.documents().contains("\"other\""));
}
