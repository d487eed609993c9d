//! The batch against a node that keeps what it was sent, and loses connections on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::cli::context::tests::context_in;
use crate::client::{Options, Url};

#[derive(Default)]
struct Log {
    /// Key to version.
    keys: BTreeMap<String, u64>,
    requests: usize,
}

/// What the node does with its n-th request.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Answer,
    /// Logs all of it and closes without an answer.
    LogAndClose,
    /// Logs all of it and closes in the middle of the answer.
    LogAndCut,
    /// Refuses the request as a whole.
    Refuse(u16),
    /// Answers every line 504, having logged it.
    Late,
    /// Answers every line 307: the primary listens at this port.
    Elsewhere(u16),
}

fn node(acts: Vec<Act>) -> (Url, Arc<Mutex<Log>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let log = Arc::new(Mutex::new(Log::default()));
    let kept = log.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream, &kept, &acts);
        }
    });
    (url, log)
}

fn serve(stream: TcpStream, log: &Mutex<Log>, acts: &[Act]) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).unwrap();
        let act = {
            let mut log = log.lock().unwrap();
            log.requests += 1;
            acts.get(log.requests - 1).copied().unwrap_or(Act::Answer)
        };
        let mut answer = String::new();
        if let Act::Refuse(status) = act {
            let body = "{\"code\":\"recovering\",\"detail\":\"not open\"}";
            write!(out, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            continue;
        }
        for line in std::str::from_utf8(&body).unwrap().lines() {
            if let Act::Elsewhere(port) = act {
                let location = format!("http://127.0.0.1:{port}");
                answer.push_str(&format!("{{\"status\":307,\"code\":\"not_primary\",\"location\":\"{location}\"}}\n"));
                continue;
            }
            answer.push_str(&one(line, log, act));
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        match act {
            Act::LogAndClose => return,
            Act::LogAndCut => {
                let _ = out.write_all(format!("{head}{}", &answer[..answer.len() / 2]).as_bytes());
                return;
            }
            _ => out.write_all(format!("{head}{answer}").as_bytes()).unwrap(),
        }
    }
}

fn one(line: &str, log: &Mutex<Log>, act: Act) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    if value["method"] == "bad" {
        return "{\"status\":409,\"code\":\"exists\",\"detail\":\"it exists\"}\n".to_owned();
    }
    let mut log = log.lock().unwrap();
    let next = log.keys.len() as u64 + 1;
    let version = *log.keys.entry(value["key"].as_str().unwrap().to_owned()).or_insert(next);
    if act == Act::Late {
        return "{\"status\":504,\"code\":\"outcome_unknown\",\"detail\":\"late\"}\n".to_owned();
    }
    format!(
        "{{\"status\":200,\"data\":{{\"version\":{version},\"epoch\":1,\"hash\":\"00\",\"durability\":\"local\",\"acks\":[\"n1\"],\"result\":null,\"replayed\":false}}}}\n"
    )
}

struct Done {
    ok: u64,
    rejected: u64,
    unknown: u64,
    exit: Exit,
    stopped: Option<Failure>,
}

fn apply(url: &Url, input: String, timeout: Duration) -> Result<Done, Failure> {
    let home = tempfile::tempdir().unwrap();
    let context = Context { timeout: Some(timeout), ..context_in(home.path()) };
    let client = Client::new(url.clone(), Options::default());
    let blocks = input::blocks(io::Cursor::new(input.into_bytes()));
    let mut batch = Batch::new(client, blocks, None, &context);
    batch.work()?;
    let Tally { ok, rejected, unknown, exit, .. } = batch.tally;
    Ok(Done { ok, rejected, unknown, exit, stopped: batch.stopped })
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"{n}\"}}}}\n")).collect()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn every_operation_is_applied_and_the_refused_ones_are_told() {
    let (url, log) = node(vec![]);
    let input = format!("{}{{\"method\":\"bad\",\"data\":1}}\nnope\n{}", lines(1000), lines(10));
    let done = apply(&url, input, LONG).unwrap();
    assert_eq!((done.ok, done.rejected, done.unknown, done.exit), (1010, 2, 0, Exit::Conflict));
    let log = log.lock().unwrap();
    assert_eq!(log.keys.len(), 1010);
    assert!(log.requests >= 4);
}

#[test]
fn a_lost_connection_loses_and_doubles_nothing() {
    for act in [Act::LogAndClose, Act::LogAndCut, Act::Late] {
        // A 503 after a lost connection leaves the outcome open; to a first try it would be a refusal.
        let fourth = if act == Act::Late { Act::Answer } else { Act::Refuse(503) };
        let (url, log) = node(vec![Act::Answer, act, act, fourth, Act::Answer, act]);
        let done = apply(&url, lines(2000), LONG).unwrap();
        assert_eq!((done.ok, done.rejected, done.unknown, done.exit), (2000, 0, 0, Exit::Ok));
        assert!(done.stopped.is_none());
        assert_eq!(log.lock().unwrap().keys.len(), 2000);
    }
}

#[test]
fn what_stays_unknown_is_told_as_unknown_at_its_time() {
    let (url, _log) = node(vec![Act::Late; 1000]);
    let done = apply(&url, lines(3), Duration::from_millis(200)).unwrap();
    assert_eq!((done.ok, done.unknown, done.exit), (0, 3, Exit::Unknown));
    let (url, _log) = node(vec![Act::LogAndClose; 1000]);
    let done = apply(&url, lines(3), Duration::from_millis(200)).unwrap();
    assert_eq!((done.ok, done.unknown, done.exit), (0, 3, Exit::Unknown));
}

#[test]
fn a_refusal_of_the_whole_request_is_a_refusal_of_each_operation() {
    let (url, _log) = node(vec![Act::Refuse(503)]);
    let done = apply(&url, lines(3), LONG).unwrap();
    assert_eq!((done.rejected, done.exit), (3, Exit::Unavailable));
}

#[test]
fn lines_that_a_replica_refuses_go_to_the_primary_in_their_order() {
    let (primary, log) = node(vec![Act::Answer, Act::LogAndClose]);
    let port = primary.authority().rsplit_once(':').unwrap().1.parse().unwrap();
    let (replica, asked) = node(vec![Act::Elsewhere(port); 1000]);
    let done = apply(&replica, lines(2000), LONG).unwrap();
    assert_eq!((done.ok, done.rejected, done.unknown, done.exit), (2000, 0, 0, Exit::Ok));
    assert_eq!(log.lock().unwrap().keys.len(), 2000);
    // Once there, it stays there.
    assert!(asked.lock().unwrap().requests <= WINDOW);
}

#[test]
fn lines_are_not_sent_on_when_a_token_would_go_to_a_stranger() {
    let (replica, _) = node(vec![Act::Elsewhere(0); 1000]);
    let done = apply(&replica, lines(3), LONG).unwrap();
    assert_eq!((done.rejected, done.exit), (3, Exit::Unavailable));
}

#[test]
fn without_the_right_token_nothing_more_is_read() {
    let (url, _log) = node(vec![Act::Refuse(401); 100]);
    let done = apply(&url, lines(100_000), LONG).unwrap();
    assert_eq!(done.exit, Exit::Auth);
    assert!(done.rejected < 100_000, "{}", done.rejected);
    assert_eq!(done.stopped.unwrap().exit, Exit::Auth);
}

#[test]
fn without_a_node_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    let failure = apply(&url, lines(3), LONG).map(|_| ()).unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
}
