//! A service in another process, as far as its reads go: a server that answers what a test says. Of the protocol it
//! speaks what a node needs to be at rest: it takes everything and keeps nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

/// Answers a GET or HEAD, given its head: the whole answer.
type Answer = dyn Fn(&str) -> String + Send + Sync;

pub(crate) struct Stub {
    address: SocketAddr,
    state: Arc<State>,
}

/// What it is with the protocol.
#[derive(Default)]
struct State {
    applied: AtomicU64,
    /// It answers reads only.
    away: AtomicBool,
}

impl Stub {
    pub(crate) fn new(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, state): (Arc<Answer>, _) = (Arc::new(answer), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, state, stream) = (Arc::clone(&answer), Arc::clone(&shared), stream.unwrap());
                std::thread::spawn(move || serve(stream, &*answer, &state));
            }
        });
        Self { address, state }
    }

    /// Its node hears 503 from now on, or not any more; its reads are answered all the same.
    pub(crate) fn set_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
    }

    /// Where its base is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/base", self.address)
    }
}

/// An answer with JSON and further fields.
pub(crate) fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn serve(mut stream: TcpStream, answer: &Answer, state: &State) {
    while let Some((head, body)) = request(&mut stream) {
        let said = match head.split(' ').nth(1).and_then(|target| target.strip_prefix("/base/rig/v1/")) {
            Some(_) if state.away.load(Ordering::SeqCst) => {
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Some(call) => ok("", &protocol(call, &body, &state.applied).to_string()),
            None => answer(&head),
        };
        if stream.write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

fn protocol(call: &str, body: &[u8], applied: &AtomicU64) -> Value {
    let params: Value = serde_json::from_slice(body).unwrap_or_default();
    let ops = params["ops"].as_array().cloned().unwrap_or_default();
    match call {
        "info" => json!({ "protocol": 1, "name": "stub", "applied_version": applied.load(Ordering::SeqCst) }),
        "validate" => {
            json!({ "results": ops.iter().map(|_| json!({ "ok": true, "resources": [] })).collect::<Vec<_>>() })
        }
        "apply" => {
            let last = ops.last().and_then(|op| op["version"].as_u64()).unwrap_or_default();
            applied.store(last, Ordering::SeqCst);
            let result = |op: &Value| json!({ "version": op["version"], "result": null });
            json!({ "applied_version": last, "results": ops.iter().map(result).collect::<Vec<_>>() })
        }
        _ => json!({}),
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
