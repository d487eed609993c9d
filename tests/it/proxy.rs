//! Reads that go on to a service in another process: with what, how long, how many, and which version they say.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rig::node::dir::DataDir;
use rig::node::{Config, Source};
use rig::service::Documents;
use rig::{Node, Stopper};

use crate::support::{Home, Node as Process, SERVE, Stub, stub_ok as ok};
use crate::wire::{Wire, get};

/// A node in this process, whose operations are for documents of its own and whose reads are the stub's: so writes need
/// no service, and a test says when they come.
struct Proxied {
    _folder: tempfile::TempDir,
    address: String,
    stopper: Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxied {
    fn new(stub: &Stub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("n1");
        DataDir::init(&dir, "n1").unwrap();
        let service = Source::Local(Arc::new(|| Box::new(Documents::default())));
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { listen, service, proxy: Some(stub.url()), ..Config::new(&dir) };
        let node = Node::start(config).unwrap();
        let (address, stopper) = (node.url().strip_prefix("http://").unwrap().to_owned(), node.stopper());
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || node.run(|_| ready.send(()).unwrap()).unwrap());
        is_ready.recv().unwrap();
        Self { _folder: folder, address, stopper, thread: Some(thread) }
    }

    fn wire(&self) -> Wire {
        Wire::open(&self.address).unwrap()
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn create(wire: &mut Wire, id: &str) -> u64 {
    let made = wire.operation("user_create", &format!("{{\"id\":\"{id}\"}}"), None).unwrap();
    made.data()["version"].as_u64().unwrap()
}

#[test]
fn a_read_goes_on_with_what_it_asks_for_and_comes_back_with_what_belongs_to_it() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&heads);
    let node = Proxied::new(&Stub::new(move |head| {
        heard.lock().unwrap().push(head.to_owned());
        match head.contains("If-None-Match") {
            true => "HTTP/1.1 304 Not Modified\r\nETag: \"7\"\r\n\r\n".to_owned(),
            false => ok("ETag: \"7\"\r\nLast-Modified: x\r\nCache-Control: no-cache\r\nSet-Cookie: a=b\r\n", "[1]"),
        }
    }));
    let mut wire = node.wire();
    let secrets = "Authorization: Bearer t\r\nX-Api-Key: t\r\nCookie: a=b\r\nProxy-Authorization: x\r\nTE: x\r\n";
    let read =
        wire.get_with("/users/a%2Fb?x=%20y&z", &format!("{secrets}Accept: a/b\r\nRange: bytes=0-1\r\n")).unwrap();
    assert_eq!((read.status, &*read.body), (200, &b"[1]"[..]));
    for (name, value) in [
        ("Content-Type", Some("application/json")),
        ("ETag", Some("\"7\"")),
        ("Last-Modified", Some("x")),
        ("Cache-Control", Some("no-cache")),
        ("Set-Cookie", None),
        ("Rig-Node", Some("n1")),
        ("Rig-Version", Some("1")),
    ] {
        assert_eq!(read.header(name), value, "{name}: {read:?}");
    }
    assert!(read.header("X-Request-Id").is_some());
    let head = heads.lock().unwrap().remove(0);
    assert!(head.starts_with("GET /base/users/a%2Fb?x=%20y&z HTTP/1.1\r\n"), "{head}");
    for line in ["Accept: a/b", "Range: bytes=0-1", "Via: 1.1 rig"] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    for name in ["authorization", "x-api-key", "cookie", "te:", "localhost"] {
        assert!(!head.to_ascii_lowercase().contains(name), "{name}: {head}");
    }
    assert_eq!(wire.get_with("/users/a", "If-None-Match: \"7\"\r\n").unwrap().status, 304);
    wire.send(b"HEAD /users/a HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(wire.head().unwrap().status, 200);
    assert!(heads.lock().unwrap().pop().unwrap().starts_with("HEAD /base/users/a "));
}

#[test]
fn rigs_own_paths_the_calls_of_the_protocol_and_writes_never_reach_the_service() {
    let node = Proxied::new(&Stub::new(|head| panic!("it was asked: {head}")));
    let mut wire = node.wire();
    for (path, status) in [
        ("/status", 200),
        ("/", 200),
        ("/do", 405),
        ("/data/user/x", 404),
        ("/rig/v1/snapshot", 404),
        ("/%72ig//v1/info", 404),
        ("/a/../rig/v1/info", 400),
    ] {
        let answer = wire.get(path);
        assert_eq!(answer.unwrap().status, status, "{path}");
        if status == 400 {
            wire = node.wire();
        }
    }
    let refused = wire.post("/users", "Content-Type: application/json\r\n", "{}").unwrap();
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
    assert!(refused.json()["hint"].as_str().unwrap().contains("POST /do"));
    let late = wire.get_with("/users", "Rig-Min-Version: 9\r\nRig-Timeout-Ms: 30\r\n").unwrap();
    assert_eq!((late.status, late.code()), (503, "lagging".to_owned()));
}

#[test]
fn an_answer_says_the_version_that_was_applied_before_the_service_was_asked() {
    let (asked, was_asked) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let node = Proxied::new(&Stub::new(move |_| {
        asked.send(()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        ok("", "{}")
    }));
    let (mut reader, mut writer) = (node.wire(), node.wire());
    reader.send(get("/users", "").as_bytes()).unwrap();
    was_asked.recv().unwrap();
    assert_eq!(create(&mut writer, "a"), 2);
    go_on.send(()).unwrap();
    assert_eq!(reader.reply().unwrap().header("Rig-Version"), Some("1"), "the service may have answered before it");
    go_on.send(()).unwrap();
    assert_eq!(reader.get("/users").unwrap().header("Rig-Version"), Some("2"));
    was_asked.recv().unwrap();

    // Who waits for a version is asked for when it is there, not before.
    reader.send(get("/users", "Rig-Min-Version: 3\r\n").as_bytes()).unwrap();
    assert_eq!(writer.get("/healthz").unwrap().status, 200);
    assert!(was_asked.try_recv().is_err());
    create(&mut writer, "b");
    go_on.send(()).unwrap();
    assert_eq!(reader.reply().unwrap().header("Rig-Version"), Some("3"));
}

#[test]
fn a_service_that_does_not_answer_holds_up_its_own_reads_only_and_their_number_is_bounded() {
    let node = Proxied::new(&Stub::new(|_| {
        loop {
            std::thread::park();
        }
    }));
    let many = rig::limits::PROXY_THREADS + rig::limits::PROXY_WAITING_MAX + 40;
    let mut readers: Vec<Wire> = (0..4).map(|_| node.wire()).collect();
    let read = get("/users", "Rig-Timeout-Ms: 1500\r\n").repeat(many.div_ceil(4));
    readers.iter_mut().for_each(|reader| reader.send(read.as_bytes()).unwrap());
    let mut other = node.wire();
    let begun = Instant::now();
    create(&mut other, "a");
    assert_eq!(other.get("/data/user/a").unwrap().status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for reader in &mut readers {
        for _ in 0..many.div_ceil(4) {
            let answer = reader.reply().unwrap();
            assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
            *codes.entry(answer.code()).or_default() += 1;
        }
    }
    assert!(codes["overloaded"] >= 40, "{codes:?}");
    assert_eq!(codes["overloaded"] + codes["service_unavailable"], many.div_ceil(4) * 4, "{codes:?}");
    assert!(codes["service_unavailable"] >= rig::limits::PROXY_WAITING_MAX, "{codes:?}");
}

#[test]
fn a_node_that_stops_does_not_wait_for_a_service_that_does_not_answer() {
    let (asked, was_asked) = mpsc::channel();
    let node = Proxied::new(&Stub::new(move |_| {
        asked.send(()).unwrap();
        loop {
            std::thread::park();
        }
    }));
    let mut reader = node.wire();
    reader.send(get("/users", "Rig-Timeout-Ms: 300\r\n").as_bytes()).unwrap();
    was_asked.recv().unwrap();
    let begun = Instant::now();
    drop(node);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(reader.reply().unwrap().status, 503);
}

#[test]
fn the_command_passes_reads_on_when_it_is_told_to() {
    let home = Home::new();
    home.ok(&["init"]);
    let stub = Stub::new(|_| ok("", "[\"read\"]"));
    for (flags, status) in [(&["--proxy"][..], 200), (&[], 404)] {
        let url = stub.url();
        let node = Process::spawn(&home, home.rig(&[SERVE, &["--service", &url], flags].concat()));
        let mut wire = Wire::open(node.address()).unwrap();
        assert_eq!(wire.get("/users").unwrap().status, status, "{flags:?}");
        assert_eq!(wire.get("/status").unwrap().data()["service"]["kind"], "http");
    }
}

#[test]
fn a_service_that_is_away_from_its_node_is_not_read_as_if_it_had_everything() {
    let home = Home::new();
    home.ok(&["init"]);
    let stub = Stub::new(|_| ok("", "[\"read\"]"));
    let url = stub.url();
    let node = Process::spawn(&home, home.rig(&[SERVE, &["--service", &url, "--proxy"]].concat()));
    let mut wire = Wire::open(node.address()).unwrap();
    let mut wait = |state: &str, status: u16| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while wire.get("/status").unwrap().data()["service"]["state"] != state {
            assert!(Instant::now() < deadline, "it is not {state}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let read = wire.get("/users").unwrap();
        assert_eq!(read.status, status, "{read:?}");
        read
    };
    wait("serving", 200);
    stub.set_away(true);
    assert_eq!(wait("apply-stalled", 503).code(), "service_unavailable");
    stub.set_away(false);
    wait("serving", 200);
}
