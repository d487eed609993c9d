//! A service over HTTP that is slow, talks nonsense, and closes when it likes.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::*;

/// A request as it came.
#[derive(Debug, Clone)]
struct Came {
    line: String,
    head: String,
    body: String,
    /// Which connection it came on, counted from 1.
    connection: usize,
}

impl Came {
    fn is(&self, call: &str) -> bool {
        self.line.contains(&format!("/rig/v1/{call} "))
    }
}

/// What a request is answered with.
enum Reply {
    /// Status and JSON.
    Says(u16, String),
    /// These bytes, and then the connection is closed.
    Last(Vec<u8>),
    /// These bytes, and the connection is kept.
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Nothing,
}

struct Fake {
    url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

fn says(body: &str) -> Reply {
    Reply::Says(200, body.to_owned())
}

fn info_of(applied: usize) -> Reply {
    Reply::Says(200, format!(r#"{{"name":"fake","applied_version":{applied}}}"#))
}

fn judged(data: &str) -> Reply {
    Reply::Says(200, format!(r#"{{"results":[{{"ok":true,"data":"{data}"}}]}}"#))
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Fake {
    /// Answers every request by this function, which is told of the request.
    fn new(reply: impl Fn(&Came) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&came), Arc::new(reply));
        std::thread::spawn(move || {
            for (stream, connection) in listener.incoming().zip(1..) {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                std::thread::spawn(move || serve(&stream.unwrap(), connection, &seen, &*reply));
            }
        });
        Self { url, came }
    }

    fn speaker(&self, times: Times) -> (Speaker<Http>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (http_at(&self.url, times, dir.path()), dir)
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.came().iter().map(|came| came.connection).max().unwrap_or(0)
    }
}

fn serve(stream: &TcpStream, connection: usize, seen: &Mutex<Vec<Came>>, reply: &dyn Fn(&Came) -> Reply) -> Option<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    loop {
        let (mut line, mut head) = (String::new(), String::new());
        input.read_line(&mut line).ok().filter(|read| *read > 0)?;
        while !head.ends_with("\r\n\r\n") && head != "\r\n" {
            input.read_line(&mut head).ok().filter(|read| *read > 0)?;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        input.read_exact(&mut body).ok()?;
        let came = Came { line, head, body: String::from_utf8(body).unwrap(), connection };
        seen.lock().unwrap().push(came.clone());
        match reply(&came) {
            Reply::Says(status, body) => output.write_all(&response(status, &body)).ok()?,
            Reply::Bytes(bytes) => output.write_all(&bytes).ok()?,
            Reply::Last(bytes) => return output.write_all(&bytes).ok(),
            Reply::Nothing => {
                let _ = input.read_line(&mut String::new());
                return None;
            }
        }
    }
}

/// A service that answers `info` with 0 and everything else by this function.
fn after_info(reply: impl Fn(&Came) -> Reply + Send + Sync + 'static) -> Fake {
    Fake::new(move |came| if came.is("info") { info_of(0) } else { reply(came) })
}

#[test]
fn calls_go_over_one_connection_that_is_greeted_first() {
    let fake = after_info(|came| match &came.line {
        line if line.starts_with("GET /base/rig/v1/health ") => says("{}"),
        line if line.starts_with("POST /base/rig/v1/apply ") => {
            says(r#"{"applied_version":1,"results":[{"version":1,"result":{"id": 7}}]}"#)
        }
        line if line.starts_with("POST /base/rig/v1/validate ") => judged("x"),
        line => panic!("{line}"),
    });
    let (speaker, _dir) = fake.speaker(Times::default());
    assert_eq!(judge(&speaker, "1").unwrap().as_deref(), Some("\"x\""));
    speaker.health().unwrap();
    assert_eq!(&*apply(&speaker, 1, 1).unwrap()[0].result, r#"{"id":7}"#);
    assert_eq!(speaker.info().unwrap().name, "fake");
    let came = fake.came();
    assert_eq!((came.len(), fake.connections()), (5, 1));
    assert_eq!(came[0].body, r#"{"protocol":1,"node":"n1","cluster_id":null}"#);
    let host = fake.url.strip_prefix("http://").unwrap().strip_suffix("/base").unwrap();
    assert!(came[1].head.contains(&format!("Host: {host}\r\n")), "{}", came[1].head);
    assert!(came[1].head.contains("Content-Type: application/json\r\n"));
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_and_the_call_sent_once_more() {
    // The second request on each connection finds it closed.
    let fake = Fake::new(|came| match came.is("info") {
        true => info_of(0),
        false if came.connection == 1 => Reply::Last(Vec::new()),
        false => judged("x"),
    });
    let (speaker, _dir) = fake.speaker(Times::default());
    assert_eq!(judge(&speaker, "1").unwrap().as_deref(), Some("\"x\""));
    let lines: Vec<_> = fake.came().iter().map(|came| (came.connection, came.is("info"))).collect();
    assert_eq!(lines, [(1, true), (1, false), (2, true), (2, false)]);
}

#[test]
fn a_new_connection_that_was_closed_is_a_fault_and_so_is_half_an_answer() {
    let fake = Fake::new(|_| Reply::Last(Vec::new()));
    let (speaker, _dir) = fake.speaker(Times::default());
    assert!(away(speaker.info().unwrap_err()).contains("closed before an answer"));
    assert_eq!(fake.came().len(), 1);

    let fake = after_info(|_| Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"results\"".to_vec()));
    let (speaker, _dir) = fake.speaker(Times::default());
    assert!(away(judge(&speaker, "1").unwrap_err()).contains("in the middle of an answer"));
    // It may have been done: no second try.
    assert_eq!(fake.came().len(), 2);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    assert!(away(http_at(&url, Times::default(), dir.path()).info().unwrap_err()).contains("cannot connect"));
}

#[test]
fn a_service_that_closes_after_every_answer_is_slow_and_not_wrong() {
    let fake = Fake::new(|came| {
        let body = if came.is("info") { r#"{"applied_version":0}"# } else { r#"[{"ok":true}]"# };
        Reply::Last(format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes())
    });
    let (speaker, _dir) = fake.speaker(Times::default());
    for _ in 0..2 {
        assert_eq!(judge(&speaker, "1"), Ok(None));
    }
    assert_eq!((fake.came().len(), fake.connections()), (4, 4));
}

#[test]
fn a_slow_answer_is_over_in_time_and_is_nobodys() {
    let fake = after_info(|came| if came.body.contains("\"data\":1}") { Reply::Nothing } else { judged("now") });
    let (speaker, _dir) = fake.speaker(short());
    assert_eq!(away(judge(&speaker, "1").unwrap_err()), "it did not answer validate within 300ms");
    until("an answer", || judge(&speaker, "2").ok().filter(|data| data.as_deref() == Some("\"now\"")));
    assert!(fake.connections() > 1);
    // Byte by byte is no faster.
    let fake = after_info(|_| Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()));
    let (speaker, _dir) = fake.speaker(short());
    assert_eq!(away(judge(&speaker, "1").unwrap_err()), "it did not answer validate within 300ms");
}

#[test]
fn a_second_answer_is_never_taken_for_that_to_the_next_call() {
    let one = r#"[{"ok":true,"data":"one"}]"#;
    let fake = after_info(move |came| match came.body.contains("\"data\":1}") {
        true => Reply::Bytes([response(200, one), response(200, one)].concat()),
        false => judged("two"),
    });
    let (speaker, _dir) = fake.speaker(Times::default());
    for _ in 0..5 {
        assert_eq!(judge(&speaker, "1").unwrap().as_deref(), Some("\"one\""));
        assert_eq!(judge(&speaker, "2").unwrap().as_deref(), Some("\"two\""));
    }
}

#[test]
fn what_is_no_answer_is_named() {
    let head = |line: &str| Reply::Last(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n").into_bytes());
    type Case = (&'static str, Box<dyn Fn() -> Reply + Send + Sync>, &'static str);
    let cases: Vec<Case> = vec![
        ("nonsense", Box::new(|| Reply::Last(b"220 smtp ready\r\n\r\n".to_vec())), "http"),
        ("a long head", Box::new(move || head(&format!("X: {}", "x".repeat(20_000)))), "http"),
        ("two lengths", Box::new(move || head("Content-Length: 1\r\nContent-Length: 2")), "http"),
        ("another protocol", Box::new(|| Reply::Last(b"HTTP/1.1 101 X\r\n\r\n".to_vec())), "http"),
        ("no JSON", Box::new(|| says("<html>")), "validate"),
        (
            "not UTF-8",
            Box::new(|| Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\"\xff\"".to_vec())),
            "validate",
        ),
        ("a redirect", Box::new(|| Reply::Says(302, String::new())), "validate"),
        ("no content", Box::new(|| Reply::Says(204, String::new())), "validate"),
    ];
    for (name, reply, rule) in cases {
        let fake = after_info(move |_| reply());
        let (speaker, _dir) = fake.speaker(Times::default());
        let (seen, detail) = violation(judge(&speaker, "1").unwrap_err());
        assert_eq!(seen, rule, "{name}: {detail}");
        assert!(detail.len() < 1000);
    }
}

#[test]
fn an_answer_without_an_end_is_not_collected_for_ever() {
    let fake = after_info(|_| {
        Reply::Last(
            [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; crate::limits::SERVICE_ANSWER_BYTES_MAX + 1]].concat(),
        )
    });
    let (speaker, _dir) = fake.speaker(Times { validate: PATIENCE, ..Times::default() });
    let (rule, detail) = violation(judge(&speaker, "1").unwrap_err());
    assert!(rule == "http" && detail.contains("more than"), "{detail}");
}

#[test]
fn other_statuses_mean_what_the_page_says() {
    let answer = |status: u16, body: &'static str| {
        let fake = after_info(move |_| Reply::Says(status, body.to_owned()));
        let (speaker, dir) = fake.speaker(Times::default());
        (speaker, dir, fake)
    };
    let (speaker, _dir, _fake) = answer(500, "boom");
    assert_eq!(away(judge(&speaker, "1").unwrap_err()), "it answers validate with 500 service_unavailable: boom");
    assert_eq!(away(apply(&speaker, 1, 1).unwrap_err()), "it answers apply with 500 service_unavailable: boom");
    assert_eq!(away(speaker.health().unwrap_err()), "it answers health with 500 service_unavailable: boom");

    let (speaker, _dir, _fake) = answer(503, r#"{"code":"resource_busy","detail":"d"}"#);
    assert!(matches!(judge(&speaker, "1"), Err(Fault::Refused(problem)) if problem.code == "resource_busy"));
    assert!(matches!(apply(&speaker, 1, 1), Err(Fault::Away(_))));

    let (speaker, _dir, _fake) = answer(409, r#"{"code":"gap","applied_version":41}"#);
    assert_eq!(apply(&speaker, 50, 1), Err(Fault::Gap(41)));
    assert_eq!(violation(apply(&speaker, 42, 1).unwrap_err()).0, "A4");

    let (speaker, _dir, fake) = answer(404, "no such path");
    speaker.health().unwrap();
    assert!(fake.came().last().unwrap().is("info"));
    assert!(matches!(apply(&speaker, 1, 1), Err(Fault::Refused(problem)) if problem.detail == "no such path"));
}

#[test]
fn a_service_that_comes_back_with_less_is_not_asked_until_the_caller_knows() {
    let applied = Arc::new(AtomicUsize::new(5));
    let state = Arc::clone(&applied);
    // Every connection brings one answer after its greeting.
    let fake = Fake::new(move |came| match came.is("info") {
        true => info_of(state.load(Ordering::SeqCst)),
        false => Reply::Last(response(200, r#"[{"ok":true}]"#)),
    });
    let (speaker, _dir) = fake.speaker(Times::default());
    assert_eq!(speaker.info().unwrap().applied, 5);
    judge(&speaker, "1").unwrap();
    applied.store(3, Ordering::SeqCst);
    for _ in 0..2 {
        let why = away(judge(&speaker, "1").unwrap_err());
        assert_eq!(why, "it was started anew: it has applied version 3, and had applied 5");
    }
    assert_eq!(speaker.info().unwrap().applied, 3);
    judge(&speaker, "1").unwrap();
}

#[test]
fn a_stop_ends_the_call_that_waits_and_every_one_that_comes() {
    let fake = after_info(|_| Reply::Nothing);
    let (speaker, _dir) = fake.speaker(Times::default());
    let before = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| apply(&speaker, 1, 1));
        until("the call", || (fake.came().len() == 2).then_some(()));
        speaker.stop();
        assert_eq!(away(waiting.join().unwrap().unwrap_err()), "the node stops");
    });
    assert_eq!(away(speaker.info().unwrap_err()), "the node stops");
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[test]
fn there_are_at_most_four_connections() {
    let gate = Arc::new((Mutex::new((0_usize, false)), Condvar::new()));
    let held = Arc::clone(&gate);
    let fake = after_info(move |_| {
        let (state, changed) = &*held;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.1).unwrap());
        says(r#"[{"ok":true}]"#)
    });
    let (speaker, _dir) = fake.speaker(Times { validate: PATIENCE, ..Times::default() });
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12).map(|_| scope.spawn(|| judge(&speaker, "1"))).collect();
        let (state, changed) = &*gate;
        let mut state = changed.wait_while(state.lock().unwrap(), |state| state.0 < 4).unwrap();
        state.1 = true;
        changed.notify_all();
        drop(state);
        for call in calls {
            assert_eq!(call.join().unwrap(), Ok(None));
        }
    });
    assert_eq!(fake.connections(), 4);
}

#[test]
fn whole_states_go_with_their_version_and_their_end_is_sure() {
    let fake = Fake::new(|came| match &came.line {
        _ if came.is("info") => info_of(0),
        line if line.starts_with("GET /base/rig/v1/snapshot ") => Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nRig-Version: 7\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstate\r\n0\r\n\r\n".to_vec(),
        ),
        line if line.starts_with("PUT /base/rig/v1/snapshot ") => says(r#"{"applied_version":8}"#),
        line => panic!("{line}"),
    });
    let (speaker, dir) = fake.speaker(Times::default());
    let mut out = Vec::new();
    assert_eq!(speaker.snapshot(&mut out), Ok(7));
    assert_eq!(out, b"state");
    speaker.restore(8, &mut &b"other"[..]).unwrap();
    let put = fake.came().pop().unwrap();
    assert_eq!(put.body, "other");
    assert!(put.head.contains("Rig-Version: 8\r\n") && put.head.contains("Content-Length: 5\r\n"), "{}", put.head);
    assert_eq!(fake.connections(), 1);
    assert_eq!(std::fs::read_dir(dir.path().join("service")).unwrap().count(), 0);

    for (answer, is_violation) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true),
        ("HTTP/1.1 200 OK\r\nRig-Version: x\r\nContent-Length: 1\r\n\r\nx", true),
        ("HTTP/1.1 200 OK\r\nRig-Version: 7\r\n\r\nx", true),
        ("HTTP/1.1 200 OK\r\nRig-Version: 7\r\nContent-Length: 9\r\n\r\nx", false),
        ("HTTP/1.1 503 X\r\nContent-Length: 1\r\n\r\nx", false),
    ] {
        let fake = after_info(move |_| Reply::Last(answer.into()));
        let (speaker, _dir) = fake.speaker(Times::default());
        let fault = speaker.snapshot(&mut Vec::new()).unwrap_err();
        assert_eq!(matches!(fault, Fault::Violation { .. }), is_violation, "{answer}: {fault}");
        assert_eq!(matches!(fault, Fault::Away(_)), !is_violation, "{answer}: {fault}");
    }
}
