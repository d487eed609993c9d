//! Clients that mean harm, know no better, or have not what they need; and a good one beside them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rig::http::{Connection, Next, Settings};
use rig::limits::{BODIES_BYTES_MAX, BODY_BYTES_MAX};

use crate::malformed;
use crate::support::{Home, Node, RIG, is_root, run};
use crate::wire::{self, Reply, Wire};

const REQUESTS: usize = 10_000;
/// Memory that a node may keep for buffers of its own.
const GROWTH_KIB_MAX: u64 = 6 << 10;

/// Stops the good client when the test ends, however it ends.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a node must answer to these bytes and the end of the connection behind them: so many requests, and then
/// perhaps a refusal.
fn expected(bytes: &[u8], settings: &Settings) -> (usize, Option<u16>) {
    let now = Instant::now();
    let (mut connection, mut rest, mut taken) = (Connection::new(now), bytes, 0);
    loop {
        match connection.next(settings, now) {
            Next::Request(_) => taken += 1,
            Next::Head(_) | Next::Continue => {}
            Next::Refuse(problem) => return (taken, Some(problem.status)),
            Next::End => return (taken, None),
            Next::More if rest.is_empty() => connection.closed_by_peer(),
            Next::More => {
                let space = connection.space();
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                connection.filled(n, now);
                rest = &rest[n..];
            }
        }
    }
}

/// Sends the bytes, says that no more will come, and takes all answers.
pub(crate) fn answers(address: &str, bytes: &[u8]) -> Vec<Reply> {
    let mut wire = Wire::open(address).unwrap();
    wire.stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // A node that has heard enough closes before everything is sent.
    let sent = wire.send(bytes).and_then(|()| wire.stream.shutdown(Shutdown::Write));
    let _ = sent;
    let replies = wire.replies();
    let text = || bytes[..bytes.len().min(2_000)].escape_ascii();
    replies
        .unwrap_or_else(|error| panic!("{error}, after {}", text()))
        .into_iter()
        .filter(|r| r.status >= 200)
        .collect()
}

/// KiB of resident memory.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Somebody who behaves, until told to stop: the longest wait, and how often.
pub(crate) fn good_client(address: &str, stop: &AtomicBool) -> (Duration, usize) {
    let mut wire = Wire::open(address).unwrap();
    let (mut longest, mut n) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let put = wire.operation("user_put", &format!(r#"{{"id":"good","n":{n}}}"#), None).unwrap();
        assert_eq!(put.status, 200, "{put:?}");
        let got = wire.get("/data/user/good").unwrap().data();
        assert_eq!(got["n"], n);
        longest = longest.max(begin.elapsed());
        n += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    (longest, n)
}

/// Sends a head, one byte at a time, and never comes to its end.
fn slow_head(address: &str) -> (Reply, Duration) {
    let (mut wire, begin) = (Wire::open(address).unwrap(), Instant::now());
    let text = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
    wire.stream.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    for byte in text {
        // It may be answered, and closed, between two bytes.
        let _ = wire.send(&[*byte]);
        let mut first = [0];
        if wire.stream.peek(&mut first).is_ok() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "a slow head is never refused");
    }
    (wire.reply().unwrap(), begin.elapsed())
}

/// Promises a body and sends only its beginning.
fn stuck_body(address: &str, framing: &str, piece: &str) -> (Reply, Duration) {
    let (mut wire, begin) = (Wire::open(address).unwrap(), Instant::now());
    let head = "POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    wire.send(format!("{head}\r\n{framing}\r\n\r\n{piece}").as_bytes()).unwrap();
    (wire.reply().unwrap(), begin.elapsed())
}

#[test]
fn ten_thousand_malformed_requests_and_slow_senders_harm_neither_the_node_nor_the_one_beside_them() {
    let home = Home::new();
    let mut node = Node::new(&home);
    let (address, pid) = (node.address().to_owned(), node.pid());
    let settings = Settings::new(address.parse().unwrap());
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let requests: Vec<Vec<u8>> = malformed::generate(2, REQUESTS).collect();
    let statuses: Mutex<BTreeMap<u16, usize>> = Mutex::default();
    let send = |upto: usize| {
        while let Some(bytes) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|nth| *nth < upto).map(|nth| &requests[nth])
        {
            let (taken, refused) = expected(bytes, &settings);
            let got: Vec<u16> = answers(&address, bytes).iter().map(|reply| reply.status).collect();
            let text = || bytes[..bytes.len().min(2_000)].escape_ascii();
            assert_eq!(got.len(), taken + usize::from(refused.is_some()), "{got:?} to {}", text());
            assert!(refused.is_none() || refused == got.last().copied(), "{got:?}, not {refused:?}, to {}", text());
            for status in &got[..taken] {
                // Whole requests are judged by what they ask for; none of these is the node's own fault.
                let right = [200, 400, 401, 403, 404, 405, 409, 415, 422].contains(status);
                assert!(right, "{got:?} to {}", text());
            }
            let mut statuses = statuses.lock().unwrap();
            got.iter().for_each(|status| *statuses.entry(*status).or_default() += 1);
        }
        next.fetch_min(upto, Ordering::Relaxed);
    };
    let address = &address;
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let good = scope.spawn(|| good_client(address, &stop));
        let heads: Vec<_> = (0..3).map(|_| scope.spawn(|| slow_head(address))).collect();
        let bodies = [("Content-Length: 1000", "{\"method\":"), ("Transfer-Encoding: chunked", "5\r\n{\"me")];
        let bodies = bodies.map(|(framing, piece)| scope.spawn(move || stuck_body(address, framing, piece)));
        let silent: Vec<_> = (0..50).map(|_| Wire::open(address).unwrap()).collect();

        let hurl = |upto: usize| std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(|| send(upto))));
        hurl(REQUESTS / 5);
        let (memory, open) = (resident(pid), descriptors(pid));
        hurl(REQUESTS);
        let (memory_after, open_after) = (resident(pid), descriptors(pid));
        assert!(memory_after < memory + GROWTH_KIB_MAX, "{memory} KiB before, {memory_after} KiB after");
        assert!(open_after <= open + 4, "{open} descriptors before, {open_after} after");

        for head in heads {
            let (reply, after) = head.join().unwrap();
            assert_eq!((reply.status, &reply.json()["code"]), (408, &"slow_request".into()));
            assert!((9..15).contains(&after.as_secs()), "a slow head was refused after {after:?}");
        }
        for body in bodies {
            let (reply, after) = body.join().unwrap();
            assert_eq!((reply.status, &reply.json()["code"]), (408, &"slow_request".into()));
            assert!((29..36).contains(&after.as_secs()), "a stuck body was refused after {after:?}");
        }
        // Who only waits has done nothing wrong.
        for mut wire in silent {
            assert_eq!(wire.get("/healthz").unwrap().status, 200);
        }
        drop(stopping);
        let (longest, served) = good.join().unwrap();
        assert!(served > 1_000 && longest < Duration::from_secs(2), "served {served} times, once after {longest:?}");
    });
    let statuses = statuses.into_inner().unwrap();
    println!("{statuses:?}");
    for status in [200, 400, 404, 405, 415, 421, 431, 501] {
        assert!(statuses.contains_key(&status), "nobody was answered {status}: {statuses:?}");
    }
    assert!(node.is_alive());
    assert!(!home.serve_log().contains("panicked"), "{}", home.serve_log());
    home.ok(&["log", "verify"]);
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn who_has_nothing_more_to_say_is_still_answered_and_then_hears_the_end() {
    let home = Home::new();
    let node = Node::new(&home);
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (bytes, statuses) in [
        (get.to_owned(), vec![200]),
        (get.repeat(3), vec![200, 200, 200]),
        (format!("{get}GET /hea"), vec![200, 400]),
        ("POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{".into(), vec![400]),
        (String::new(), vec![]),
    ] {
        for pause_ms in [0, 20] {
            let mut wire = Wire::open(node.address()).unwrap();
            wire.send(bytes.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(pause_ms));
            wire.stream.shutdown(Shutdown::Write).unwrap();
            let begin = Instant::now();
            let got: Vec<u16> = wire.replies().unwrap().iter().map(|reply| reply.status).collect();
            assert_eq!(got, statuses, "{bytes:?} and a pause of {pause_ms} ms");
            assert!(begin.elapsed() < Duration::from_secs(2), "{bytes:?}: the end came after {:?}", begin.elapsed());
        }
    }
    // Gone without a word, in the middle of everything: nothing is left open.
    let open = descriptors(node.pid());
    for n in 0..200 {
        let mut wire = Wire::open(node.address()).unwrap();
        wire.send(&get.repeat(5).as_bytes()[..n % get.len() * 3]).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while descriptors(node.pid()) > open {
        assert!(Instant::now() < deadline, "{} descriptors, {open} before", descriptors(node.pid()));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_large_request_that_is_refused_at_once_still_hears_why() {
    let home = Home::new();
    let node = Node::new(&home);
    for head in ["Host: evil.example\r\nContent-Length: 8000000", "Host: localhost\r\nContent-Length: 99000000"] {
        let mut wire = Wire::open(node.address()).unwrap();
        wire.send(format!("POST /do HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        let mut sent = 0;
        while sent < 8_000_000 && wire.send(&[b'x'; 64 << 10]).is_ok() {
            sent += 64 << 10;
        }
        let status = match wire.reply() {
            Ok(reply) => reply.status,
            Err(error) => panic!("{error} after {sent} bytes instead of an answer"),
        };
        assert!([413, 421].contains(&status), "{status}");
        // The node does not keep the connection for what it will not read.
        let mut rest = Vec::new();
        match wire.stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

/// The binary as somebody who may not do everything.
struct Somebody<'a> {
    home: &'a Home,
    program: std::path::PathBuf,
}

impl<'a> Somebody<'a> {
    fn new(home: &'a Home) -> Self {
        // Where the binary was built, others may not look; the copy is theirs too.
        let program = home.path("rig");
        std::fs::copy(RIG, &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(home.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        Self { home, program }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = self.home.command(&self.program, arguments);
        if is_root() {
            command.uid(65_534).gid(65_534);
        }
        command
    }
}

/// Nobody but its owner may look, and for a test that is not done by root: not even that one.
fn close(path: &Path) {
    let mode = if is_root() { 0o700 } else { 0o000 };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn without_permission_each_command_names_what_it_may_not_touch() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    drop(Node::serve(&home, &["-D", "n1"]));
    let payload = home.file("payload.json", "{}");
    std::fs::create_dir(home.path("closed")).unwrap();
    let tokens = home.file("tokens", "ops admin a-token\n");
    for path in [&home.path("n1"), &home.path("closed"), &payload, &tokens] {
        close(path);
    }
    std::fs::create_dir(home.path("mine")).unwrap();
    std::fs::set_permissions(home.path("mine"), PermissionsExt::from_mode(0o777)).unwrap();
    let somebody = Somebody::new(&home);
    for (line, exit, named) in [
        (&["serve", "-D", "n1", "--listen", "127.0.0.1:0"][..], 1, "n1"),
        (&["log", "verify", "-D", "n1"], 1, "n1"),
        (&["log", "dump", "-D", "n1"], 1, "n1"),
        (&["log", "repair", "--truncate-from", "1", "--confirm", "n1", "-D", "n1"], 1, "n1"),
        (&["init", "closed/n2"], 1, "closed"),
        (&["apply", "user_put", "payload.json", "-D", "mine"], 2, "payload.json"),
        (&["apply", "--batch", "payload.json", "-D", "mine"], 2, "payload.json"),
        (&["get", "user", "a", "--token-file", "tokens"], 2, "tokens"),
        (&["get", "user", "a", "-D", "n1"], 1, "n1"),
        (&["ls", "user", "-D", "n1"], 1, "n1"),
        (&["schema", "ls", "-D", "n1"], 1, "n1"),
        (&["status", "-D", "n1"], 1, "n1"),
        (&["wait", "ready", "-D", "n1", "--timeout", "200ms"], 1, "n1"),
        (&["node", "start", "./n1"], 1, "n1"),
        (&["node", "stop", "./n1"], 1, "n1"),
        (&["node", "logs", "./n1"], 1, "n1"),
        (&["bench", "--yes", "-D", "n1"], 1, "n1"),
        (&["bench", "--dir", "closed"], 1, "closed"),
        (&["man", "--out", "closed"], 1, "closed"),
    ] {
        let ran = run(somebody.command(&[line, &["--json"]].concat()), b"");
        assert_eq!(ran.code, Some(exit), "{line:?}: {ran:#?}");
        let error = ran.error();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named) && message.contains("ermission denied"), "{line:?}: {error}");
        assert!(!error["hint"].as_str().unwrap_or_default().is_empty(), "{line:?}: {error}");
    }
    let ran = run(somebody.command(&["init", "mine/n3", "--json"]), b"");
    assert_eq!(ran.code, Some(0), "what is one's own works: {ran:#?}");
    let ran = run(somebody.command(&["serve", "-D", "mine/n3", "--tokens", "tokens", "--json"]), b"");
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    // The rest of the test's files are removed by their owner.
    for path in [home.path("n1"), home.path("closed")] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_running_node_refuses_by_the_exit_code_and_logs_nothing() {
    let home = Home::new();
    home.ok(&["init"]);
    let tokens =
        home.file("tokens", "ops admin the-operators-token\nann write anns-token\nviewer read a-viewers-token\n");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let node = Node::serve(&home, &["--tokens", "tokens"]);
    let with = |token: &str, line: &[&str]| {
        let mut command = home.rig(&[line, &["--json"]].concat());
        command.env("RIG_TOKEN", token);
        run(command, b"")
    };
    let (put, get) = (["apply", "user_put", "--data", "{\"id\":\"a\"}"], ["get", "user", "a"]);
    assert_eq!(with("anns-token", &put).code, Some(0));
    assert_eq!(with("a-viewers-token", &get).code, Some(0));
    let head = with("a-viewers-token", &["log", "dump"]).stdout;
    for (token, line, exit, code) in [
        ("a-wrong-token", &put[..], 11, "auth"),
        ("a-wrong-token", &get, 11, "auth"),
        ("a-wrong-token", &["ls", "user"], 11, "auth"),
        ("a-viewers-token", &put, 11, "auth"),
        ("anns-token", &["apply", "user_create", "--data", "{\"id\":\"a\"}"], 6, "exists"),
        (
            "anns-token",
            &["apply", "user_put", "--data", "{\"id\":\"a\"}", "--expect-version", "99"],
            6,
            "version_conflict",
        ),
        ("anns-token", &["apply", "user_frobnicate", "--data", "{}"], 5, "unknown_method"),
        ("anns-token", &["apply", "rig_epoch", "--data", "{}"], 5, "invalid"),
        ("anns-token", &["apply", "user_put", "--data", "{\"id\":\"a\",\"_x\":1}"], 5, "invalid"),
        ("anns-token", &["apply", "user_put", "--data", "7"], 5, "invalid"),
        ("anns-token", &["apply", "user_update", "--data", "{\"id\":\"nobody\"}"], 3, "not_found"),
        ("a-viewers-token", &["get", "user", "nobody"], 3, "not_found"),
    ] {
        let ran = with(token, line);
        assert_eq!((ran.code, &*ran.stdout), (Some(exit), ""), "{line:?}: {ran:#?}");
        let error = ran.error();
        assert_eq!((&error["code"], &error["definite"]), (&code.into(), &true.into()), "{line:?}");
    }
    assert_eq!(with("a-viewers-token", &["log", "dump"]).stdout, head, "what is refused leaves no record");
    drop(node);
    assert_eq!(with("anns-token", &put).code, Some(4), "nobody is there");
}

/// Promises a body of 6 MB and sends 4 MB of it: the connection, and what is still missing.
fn half_a_body(address: &str, nth: usize) -> (Wire, Vec<u8>) {
    let data = format!("{{\"id\":\"half{nth}\",\"text\":\"{}\"}}", "x".repeat(6_000_000));
    let request = wire::post(
        "/do",
        "Content-Type: application/json\r\n",
        &format!("{{\"method\":\"user_put\",\"data\":{data}}}"),
    );
    let (first, rest) = request.as_bytes().split_at(4_000_000);
    let mut wire = Wire::open(address).unwrap();
    // A node that refuses it may close before everything is sent.
    let _ = wire.send(first);
    (wire, rest.to_vec())
}

#[test]
fn slow_senders_of_large_bodies_share_one_bound_and_nobody_else_feels_them() {
    const SENDERS: usize = 64;
    let home = Home::new();
    let node = Node::new(&home);
    let (address, stop) = (node.address(), AtomicBool::new(false));
    let before = resident(node.pid());
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let good = scope.spawn(|| good_client(address, &stop));
        let senders: Vec<_> = (0..SENDERS).map(|nth| half_a_body(address, nth)).collect();
        let (mut refused, mut held) = (0, Vec::new());
        for (mut wire, rest) in senders {
            wire.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            if let Ok(reply) = wire.reply() {
                assert_eq!((reply.status, &*reply.code()), (503, "overloaded"));
                assert!(reply.header("Retry-After").is_some() && reply.json()["definite"] == true, "{reply:?}");
                refused += 1;
            } else {
                held.push((wire, rest));
            }
        }
        let grown = (resident(node.pid()) - before) << 10;
        assert!(refused > 0 && !held.is_empty(), "{refused} of {SENDERS} were refused");
        assert!(grown < (BODIES_BYTES_MAX + 2 * BODY_BYTES_MAX) as u64, "grown by {grown} bytes");
        // When the others have gone there is room again, for one that has waited as for one that is new.
        let (wire, rest) = held.swap_remove(0);
        drop(held);
        wire.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for (mut wire, rest) in [(wire, rest), half_a_body(address, SENDERS)] {
            wire.send(&rest).unwrap();
            assert_eq!(wire.reply().unwrap().status, 200);
        }
        drop(stopping);
        let (longest, served) = good.join().unwrap();
        assert!(served > 100 && longest < Duration::from_secs(2), "served {served} times, once after {longest:?}");
    });
}
