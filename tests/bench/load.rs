//! The load for Redis and etcd, for which no package has a client that does what is compared: one new document of 256
//! bytes under a new key for each operation, answered before the same client sends its next.
//!
//! ```text
//! target/release/examples/bench_load redis|etcd HOST:PORT CLIENTS SECONDS
//! ```
//!
//! It is one thread that waits on all sockets, so that it takes as little as possible of the processors it shares with
//! the two nodes. For Redis an operation is `SET` and `WAIT 1` in one write. For etcd it is a `Put` over gRPC, that is
//! HTTP/2 with prior knowledge, one stream after the other on each connection. What HTTP/2 offers beyond that
//! (compressed heads, many streams, flow control that matters) is not here.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DOCUMENT_BYTES: usize = 256;

/// HTTP/2: the types of frames that matter here, and their flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME_HEAD: usize = 9;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, address, clients, seconds] = args.as_slice() else {
        return Err("usage: bench_load redis|etcd HOST:PORT CLIENTS SECONDS".into());
    };
    let protocol = match protocol.as_str() {
        "redis" => Protocol::Redis,
        "etcd" => Protocol::Etcd,
        other => return Err(format!("no protocol {other}").into()),
    };
    let mut load = Load::connect(protocol, address, clients.parse()?)?;
    let seconds = seconds.parse()?;
    load.run(Duration::from_secs_f64(seconds))?;
    load.report(seconds);
    Ok(())
}

#[derive(Clone, Copy)]
enum Protocol {
    Redis,
    Etcd,
}

/// One connection with at most one operation under way.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    begun: Instant,
    /// etcd: the stream of the operation under way, and whether it has been answered with a message.
    number: u32,
    answered: bool,
}

struct Load {
    protocol: Protocol,
    address: String,
    clients: Vec<Client>,
    poll: Poll,
    run: u128,
    sent: u64,
    times: Vec<Duration>,
    errors: u64,
}

impl Load {
    fn connect(protocol: Protocol, address: &str, count: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::new();
        for number in 0..count {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            if matches!(protocol, Protocol::Etcd) {
                stream.write_all(&http2_preface())?;
            }
            clients.push(Client { stream, received: Vec::new(), begun: Instant::now(), number: 0, answered: false });
        }
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let address = address.to_owned();
        Ok(Self { protocol, address, clients, poll, run, sent: 0, times: Vec::new(), errors: 0 })
    }

    fn run(&mut self, length: Duration) -> Result<()> {
        let until = Instant::now() + length;
        for client in 0..self.clients.len() {
            self.send(client)?;
        }
        let mut events = Events::with_capacity(1024);
        while Instant::now() < until {
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let client = event.token().0;
                let Some(ok) = self.receive(client)? else { continue };
                if ok {
                    self.times.push(self.clients[client].begun.elapsed())
                } else {
                    self.errors += 1
                }
                self.send(client)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, client: usize) -> Result<()> {
        self.sent += 1;
        let key = format!("{}-{:09}", self.run, self.sent);
        let document = document(&key);
        let client = &mut self.clients[client];
        let bytes = match self.protocol {
            Protocol::Redis => format!(
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{document}\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n",
                key.len(),
                document.len()
            )
            .into_bytes(),
            Protocol::Etcd => {
                client.number = if client.number == 0 { 1 } else { client.number + 2 };
                client.answered = false;
                put(client.number, &self.address, &key, &document)
            }
        };
        client.begun = Instant::now();
        client.stream.write_all(&bytes)?;
        Ok(())
    }

    /// Whether the operation under way was done, when its answer is complete.
    fn receive(&mut self, client: usize) -> Result<Option<bool>> {
        let client = &mut self.clients[client];
        let mut bytes = [0; 16 << 10];
        loop {
            match client.stream.read(&mut bytes) {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(count) => {
                    client.received.extend_from_slice(&bytes[..count]);
                    // Less than there was room for: all has been read, and the next byte is the next event.
                    if count < bytes.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        match self.protocol {
            Protocol::Redis => Ok(redis_answer(client)),
            Protocol::Etcd => etcd_answer(client),
        }
    }

    fn report(&self, seconds: f64) {
        let mut counts = std::collections::BTreeMap::<u128, u64>::new();
        self.times.iter().for_each(|time| *counts.entry(time.as_micros()).or_default() += 1);
        let histogram: Vec<String> = counts.iter().map(|(time, count)| format!("[{time},{count}]")).collect();
        println!(
            r#"{{"ops":{},"seconds":{seconds},"errors":{},"histogram_us":[{}]}}"#,
            self.times.len(),
            self.errors,
            histogram.join(",")
        );
    }
}

fn document(key: &str) -> String {
    let start = format!(r#"{{"id":"{key}","email":"{key}@example.org","name":"item","pad":""#);
    format!("{start}{}\"}}", "x".repeat(DOCUMENT_BYTES - 2 - start.len()))
}

/// Two lines: that of `SET` and that of `WAIT`, which says how many replicas have it.
fn redis_answer(client: &mut Client) -> Option<bool> {
    let lines = client.received.iter().filter(|&&byte| byte == b'\n').count();
    if lines < 2 {
        return None;
    }
    let done = client.received == b"+OK\r\n:1\r\n";
    client.received.clear();
    Some(done)
}

fn etcd_answer(client: &mut Client) -> Result<Option<bool>> {
    let (mut used, mut answer) = (0, None);
    while let Some(head) = client.received[used..].first_chunk::<FRAME_HEAD>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let Some(payload) = client.received[used + FRAME_HEAD..].get(..length) else { break };
        match kind {
            SETTINGS if flags & ACK == 0 => client.stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => client.stream.write_all(&frame(PING, ACK, 0, payload))?,
            GOAWAY => return Err("the server wants no more of this connection".into()),
            // A call that failed has no message, only an end.
            DATA if stream == client.number => client.answered |= length > 5,
            RST_STREAM if stream == client.number => answer = Some(false),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 && stream == client.number {
            answer = Some(client.answered);
        }
        used += FRAME_HEAD + length;
    }
    client.received.drain(..used);
    Ok(answer)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_HEAD + payload.len());
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The greeting; and so large a window that the server never waits for another.
fn http2_preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff - 65_535u32).to_be_bytes()));
    bytes
}

/// A head and one message: `etcdserverpb.PutRequest` with its fields 1, key, and 2, value.
fn put(stream: u32, address: &str, key: &str, document: &str) -> Vec<u8> {
    // Names by their number in the static table, values as they are.
    let mut head = vec![0x83, 0x86];
    let mut text = |name: &[u8], value: &str| {
        head.extend_from_slice(name);
        head.push(value.len() as u8);
        head.extend_from_slice(value.as_bytes());
    };
    text(&[0x04], "/etcdserverpb.KV/Put");
    text(&[0x01], address);
    text(&[0x0f, 0x10], "application/grpc");
    text(b"\x00\x02te", "trailers");
    let mut message = vec![0; 5];
    for (field, value) in [(0x0a, key), (0x12, document)] {
        message.push(field);
        if value.len() > 127 {
            message.push(value.len() as u8 | 0x80);
            message.push((value.len() >> 7) as u8);
        } else {
            message.push(value.len() as u8);
        }
        message.extend_from_slice(value.as_bytes());
    }
    let length = message.len() as u32 - 5;
    message[1..5].copy_from_slice(&length.to_be_bytes());
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &head);
    bytes.extend(frame(DATA, END_STREAM, stream, &message));
    bytes
}
