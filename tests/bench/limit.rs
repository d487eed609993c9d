//! The yardstick: the least that a write on two nodes takes. It writes a request to the disks of both and answers, and
//! checks, hashes, applies, indexes and recovers nothing.
//!
//! ```text
//! target/release/examples/bench_limit replica HOST:PORT FILE
//! target/release/examples/bench_limit primary HOST:PORT FILE HOST:PORT_OF_THE_REPLICA
//! ```
//!
//! ```text
//!   clients ──requests that wait──► one batch ──┬──► write and fdatasync here ───────────┐
//!                                               └──► write and fdatasync of the replica ─┴──► all their answers
//! ```
//!
//! One thread does everything; what arrives meanwhile is the next batch. The files are filled with zeros first and
//! written round and round, so that no write changes a file's length. Nothing here is an example to follow: it loses
//! everything with its process, and any surprise ends it.

#![allow(clippy::unwrap_used, reason = "a yardstick that fails may panic")]

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FILE_BYTES: u64 = 256 << 20;
/// Before a batch: its length, and as many bytes again to keep to eight.
const HEAD: usize = 8;
/// Before a record: its length, and room for what a real one says of itself.
const RECORD_HEAD: usize = 16;
const LISTENER: Token = Token(usize::MAX);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["replica", listen, file] => replica(listen, Log::create(file)),
        ["primary", listen, file, peer] => primary(listen, Log::create(file), peer),
        _ => panic!("usage: bench_limit replica LISTEN FILE | bench_limit primary LISTEN FILE REPLICA"),
    }
}

struct Log {
    file: File,
    end: u64,
}

impl Log {
    fn create(path: &str) -> Self {
        let mut file = File::create(path).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&zeros).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, end: 0 }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.end + bytes.len() as u64 > FILE_BYTES {
            self.end = 0;
        }
        self.file.write_all_at(bytes, self.end).unwrap();
        self.end += bytes.len() as u64;
        self.file.sync_data().unwrap();
    }
}

fn replica(listen: &str, mut log: Log) {
    let listener = std::net::TcpListener::bind(listen).unwrap();
    println!("ready");
    let mut stream = listener.accept().unwrap().0;
    stream.set_nodelay(true).unwrap();
    let (mut received, mut have) = (vec![0; 8 << 20], 0);
    loop {
        let whole = received[..have].first_chunk().map(|length| HEAD + u32::from_le_bytes(*length) as usize);
        match whole {
            Some(whole) if whole <= have => {
                log.append(&received[HEAD..whole]);
                stream.write_all(&[1; HEAD]).unwrap();
                received.copy_within(whole..have, 0);
                have -= whole;
            }
            _ => match stream.read(&mut received[have..]) {
                Ok(0) => return,
                Ok(count) => have += count,
                // Somebody looks at this process with strace.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            },
        }
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    have: usize,
}

fn primary(listen: &str, mut log: Log, peer: &str) {
    let mut peer = std::net::TcpStream::connect(peer).unwrap();
    peer.set_nodelay(true).unwrap();
    let mut listener = TcpListener::bind(listen.parse().unwrap()).unwrap();
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    println!("ready");
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let (mut batch, mut waiting) = (Vec::new(), Vec::new());
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            assert_eq!(error.kind(), ErrorKind::Interrupted);
        }
        batch.clear();
        batch.resize(HEAD, 0);
        for token in events.iter().map(mio::event::Event::token) {
            if token == LISTENER {
                accept(&listener, &poll, &mut clients);
                continue;
            }
            let Some(client) = &mut clients[token.0] else { continue };
            match client.take_requests(&mut batch) {
                Some(0) => {}
                Some(requests) => waiting.push((token.0, requests)),
                None => clients[token.0] = None,
            }
        }
        if waiting.is_empty() {
            continue;
        }
        let length = (batch.len() - HEAD) as u32;
        batch[..4].copy_from_slice(&length.to_le_bytes());
        peer.write_all(&batch).unwrap();
        log.append(&batch[HEAD..]);
        peer.read_exact(&mut [0; HEAD]).unwrap();
        for (client, requests) in waiting.drain(..) {
            let Some(client) = &mut clients[client] else { continue };
            // Who has gone away is seen when it is read from.
            let _ = if requests == 1 {
                client.stream.write_all(ANSWER)
            } else {
                client.stream.write_all(&ANSWER.repeat(requests))
            };
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, clients: &mut Vec<Option<Client>>) {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true).unwrap();
                let free = clients.iter().position(Option::is_none).unwrap_or(clients.len());
                poll.registry().register(&mut stream, Token(free), Interest::READABLE).unwrap();
                let client = Some(Client { stream, received: vec![0; 64 << 10], have: 0 });
                if free == clients.len() { clients.push(client) } else { clients[free] = client }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("accept: {error}"),
        }
    }
}

impl Client {
    /// Puts what was asked into the batch: how many requests it was, none when the client is gone.
    fn take_requests(&mut self, batch: &mut Vec<u8>) -> Option<usize> {
        loop {
            if self.received.len() - self.have < 4096 {
                self.received.resize(self.received.len() * 2, 0);
            }
            let room = self.received.len() - self.have;
            match self.stream.read(&mut self.received[self.have..]) {
                Ok(0) => return None,
                Ok(count) => {
                    self.have += count;
                    // Less than there was room for: all has been read, and the next byte is the next event.
                    if count < room {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        let (mut used, mut requests) = (0, 0);
        while let Some((head, body)) = request(&self.received[used..self.have]) {
            let body = &self.received[used + head..used + head + body];
            for record in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                batch.extend_from_slice(&(record.len() as u32).to_le_bytes());
                batch.extend_from_slice(&[0; RECORD_HEAD - 4]);
                batch.extend_from_slice(record);
            }
            used += head + body.len();
            requests += 1;
        }
        self.received.copy_within(used..self.have, 0);
        self.have -= used;
        Some(requests)
    }
}

/// The lengths of head and body, when all of both is there.
fn request(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 24];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes).unwrap() {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return None,
    };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(0, |header| str::from_utf8(header.value).unwrap().parse().unwrap());
    (bytes.len() >= head + body).then_some((head, body))
}
