//! Connections to other nodes: how each begins, what waits to be sent on it, and whom to dial when.
//!
//! ```text
//!   dialled   Connecting ─► Asking (HTTP upgrade) ─┐
//!   accepted  (an upgrade that was answered 101) ──┴─► Greeting ─► Linked: the core knows it by its number
//! ```
//!
//! # Invariants
//! 1. What is to be sent leaves in order. Records that must be read from the log first hold up what is behind them.
//! 2. A slow peer costs a bounded memory: beyond it records wait in the log.
//!
//! # Not here
//! What is said (`replication`), the bytes of a frame (`peer`), the sockets' readiness (`event_loop`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;

use super::auth::Shown;
use super::others::Record;
use crate::http;
use crate::net::{self, Stream};
use crate::peer;
use crate::replication::Link;
use crate::types::{Epoch, Version};

/// What an HTTP request asks for that wants to become a link.
pub(super) const UPGRADE: &str = "rig-peer/1";
/// Bytes that wait for one peer before records for it stay in the log.
const UNSENT_BYTES: usize = 8 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// From the first byte to the greeting.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);
/// The first try to dial again, then doubling.
const DIAL_FIRST: Duration = Duration::from_millis(20);
const DIAL_LAST: Duration = Duration::from_secs(1);

/// One connection to a peer.
pub(super) struct Peer {
    pub(super) socket: Stream<TcpStream>,
    pub(super) link: Link,
    /// The address that was dialled.
    pub(super) dialed: Option<String>,
    /// The token that it was made with: theirs, or ours where we have dialled.
    pub(super) shown: Option<Shown>,
    /// By which record it goes, if it has said so.
    pub(super) record: Option<Record>,
    pub(super) stage: Stage,
    pub(super) readable: bool,
    /// Nothing more will come. That news comes once, perhaps together with the last bytes.
    has_ended: bool,
    /// What is wrong with how one of the two has shown itself.
    pub(super) fault: Option<String>,
    pub(super) decoder: peer::Decoder,
    /// The version of the protocol that is spoken, and the newest format of records that the peer reads.
    pub(super) protocol: u16,
    pub(super) reads: u16,
    since: Instant,
    out: Vec<u8>,
    sent: usize,
    waiting: VecDeque<Waiting>,
}

/// How far a connection is.
pub(super) enum Stage {
    /// The operating system is at it.
    Connecting,
    /// The upgrade was asked for.
    Asking(http::ResponseReader),
    /// The other end says what it speaks, and of which cluster it is.
    Greeting,
    /// The core knows it.
    Linked,
}

/// Something to be sent, in its place in the line.
pub(super) enum Waiting {
    /// A frame that is ready.
    Frame(Vec<u8>),
    /// Records that are still in the log.
    Records(Range),
}

/// Records that are to be read and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) epoch: Epoch,
    pub(super) after: Version,
    pub(super) last: Version,
    pub(super) committed: Version,
    pub(super) adopt: bool,
    /// A thread of the pool is reading them.
    pub(super) reading: bool,
}

/// What a read or write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Open,
    /// There is more, and others have their turn first.
    Again,
    /// The connection is over.
    Closed,
}

impl Peer {
    pub(super) fn new(socket: Stream<TcpStream>, link: Link, dialed: Option<String>, now: Instant) -> Self {
        let stage = if dialed.is_some() { Stage::Connecting } else { Stage::Greeting };
        Self {
            socket,
            link,
            dialed,
            shown: None,
            record: None,
            stage,
            readable: true,
            has_ended: false,
            fault: None,
            decoder: peer::Decoder::new(),
            protocol: peer::PROTOCOL_OLDEST,
            reads: 0,
            since: now,
            out: Vec::new(),
            sent: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The socket has something to say.
    pub(super) fn has_news(&mut self, event: &Event) {
        self.has_ended |= event.is_read_closed();
        self.readable |= event.is_readable() || self.has_ended;
    }

    /// Its greeting allows this.
    pub(super) fn speak(&mut self, protocol: u16, reads: u16) {
        (self.protocol, self.reads) = (protocol, reads);
        self.decoder.speak(protocol);
        self.stage = Stage::Linked;
    }

    pub(super) fn is_linked(&self) -> bool {
        matches!(self.stage, Stage::Linked)
    }

    /// Whether it has taken too long to begin.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        !self.is_linked() && now.duration_since(self.since) > BEGIN_TIMEOUT
    }

    /// Bytes to be sent as they are, before the peer is linked.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Puts a frame into the line.
    pub(super) fn send(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        if self.waiting.is_empty() {
            frame(&mut self.out);
        } else {
            let mut bytes = Vec::new();
            frame(&mut bytes);
            self.waiting.push_back(Waiting::Frame(bytes));
        }
    }

    /// Sends a frame before those that wait for records.
    pub(super) fn send_now(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        frame(&mut self.out);
    }

    /// Bytes that wait for the peer to read.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether records can be copied straight into the line.
    pub(super) fn takes_records(&self) -> bool {
        self.waiting.is_empty() && self.out.len() - self.sent < UNSENT_BYTES
    }

    /// Puts records into the line that must be read first.
    pub(super) fn send_later(&mut self, range: Range) {
        self.waiting.push_back(Waiting::Records(range));
    }

    /// Whether anything is in its line behind what can be written.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The records that are to be read now: those at the front of the line, as soon as they are durable.
    pub(super) fn next_read(&mut self, durable: Version) -> Option<Range> {
        let room = self.out.len() - self.sent < UNSENT_BYTES;
        match self.waiting.front_mut() {
            Some(Waiting::Records(range)) if room && !range.reading && range.last <= durable => {
                range.reading = true;
                Some(*range)
            }
            _ => None,
        }
    }

    /// Records were read, up to `upto`; the rest of their range is read next.
    pub(super) fn was_read(&mut self, upto: Version, frame: impl FnOnce(&mut Vec<u8>, &Range)) {
        if let Some(Waiting::Records(range)) = self.waiting.front_mut() {
            frame(&mut self.out, range);
            (range.after, range.reading) = (upto, false);
            if range.after >= range.last {
                self.waiting.pop_front();
            }
        }
        while let Some(Waiting::Frame(_)) = self.waiting.front() {
            if let Some(Waiting::Frame(bytes)) = self.waiting.pop_front() {
                self.out.extend_from_slice(&bytes);
            }
        }
    }

    /// Reads what is there, once, by way of `room`.
    pub(super) fn read(&mut self, room: &mut Vec<u8>) -> Flow {
        room.resize(READ_BYTES, 0);
        match self.socket.read(room) {
            Ok(0) => Flow::Closed,
            Ok(n) => {
                self.readable = self.socket.may_have_more(n, room.len()) || self.has_ended;
                match &mut self.stage {
                    Stage::Asking(reader) => {
                        let mut rest = &room[..n];
                        while !rest.is_empty() {
                            let space = reader.space();
                            let part = rest.len().min(space.len());
                            if part == 0 {
                                return Flow::Closed;
                            }
                            space[..part].copy_from_slice(&rest[..part]);
                            reader.filled(part);
                            rest = &rest[part..];
                        }
                    }
                    _ => self.decoder.push(&room[..n]),
                }
                Flow::Open
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Flow::Open
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Flow::Open,
            Err(error) => {
                self.fault = net::fault_of(&error).map(ToString::to_string);
                Flow::Closed
            }
        }
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self) -> Flow {
        if matches!(self.stage, Stage::Connecting) {
            return Flow::Open;
        }
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(0) => return Flow::Closed,
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.sent > self.out.len() / 2 {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Flow::Open;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flow::Closed,
            }
        }
        self.sent = 0;
        if self.out.capacity() > 4 << 20 {
            self.out = Vec::new();
        }
        self.out.clear();
        Flow::Open
    }
}

/// Whom to dial, and when.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    /// As [`address`] has it.
    address: String,
    next: Option<Instant>,
    wait: Duration,
    tried: bool,
    busy: bool,
    /// How often it was dialled: of several addresses behind a name each has its turn.
    tries: usize,
}

impl Dialer {
    /// Notes an address, once.
    pub(super) fn add(&mut self, url: &str, now: Instant) {
        let address = address(url).to_owned();
        if !address.is_empty() && self.targets.iter().all(|target| target.address != address) {
            let next = Some(now);
            self.targets.push(Target { address, next, wait: DIAL_FIRST, tried: false, busy: false, tries: 0 });
        }
    }

    /// Addresses to be dialled now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let due = self.targets.iter_mut().filter(|target| !target.busy && target.next.is_some_and(|next| next <= now));
        due.map(|target| {
            target.busy = true;
            target.address.clone()
        })
        .collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.targets.iter().filter(|target| !target.busy).filter_map(|target| target.next).min()
    }

    /// A connection was refused, or has ended. `greeted`: it had got as far as a greeting.
    pub(super) fn failed(&mut self, address: &str, greeted: bool, now: Instant) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.address == address) {
            (target.busy, target.tried) = (false, true);
            if greeted {
                target.wait = DIAL_FIRST;
            }
            target.next = Some(now + jittered(target.wait));
            target.wait = (target.wait * 2).min(DIAL_LAST);
        }
    }

    /// Which of the addresses behind a name is to be tried now.
    pub(super) fn choose(&mut self, address: &str, found: &[SocketAddr]) -> Option<SocketAddr> {
        let target = self.targets.iter_mut().find(|target| target.address == address)?;
        target.tries += 1;
        found.get((target.tries - 1) % found.len().max(1)).copied()
    }

    /// There is no need to dial it for a while: it is linked otherwise, or it is this node itself.
    pub(super) fn rest(&mut self, address: &str, now: Instant) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.address == address) {
            (target.busy, target.tried, target.next) = (false, true, Some(now + DIAL_LAST));
        }
    }

    /// A connection stands.
    pub(super) fn greeted(&mut self, address: &str) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.address == address) {
            target.wait = DIAL_FIRST;
        }
    }

    /// The node there has said who it is: what it knows is known here too.
    pub(super) fn heard(&mut self, address: &str) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.address == address) {
            target.tried = true;
        }
    }

    /// Whether every address has answered or refused once.
    pub(super) fn all_tried(&self) -> bool {
        self.targets.iter().all(|target| target.tried)
    }
}

/// Three quarters to five quarters of a time, so that two nodes do not knock in step.
fn jittered(wait: Duration) -> Duration {
    let byte = uuid::Uuid::now_v7().as_bytes()[15];
    wait * 3 / 4 + wait * u32::from(byte) / 512
}

/// What tells one node to dial from another: `host:port`, or `https://host:port`.
pub(super) fn address(url: &str) -> &str {
    url.strip_prefix(net::PLAIN).unwrap_or(url).trim_end_matches('/')
}

/// `host:port` of an address, and whether it is spoken to by TLS.
pub(super) fn split(address: &str) -> (&str, bool) {
    address.strip_prefix(net::SECURE).map_or((address, false), |rest| (rest, true))
}

/// The host of `host:port`.
pub(super) fn host(host_port: &str) -> &str {
    host_port.rsplit_once(':').map_or(host_port, |(host, _)| host)
}

/// The addresses behind a node's. This may block.
pub(super) fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(std::net::ToSocketAddrs::to_socket_addrs(split(address).0)?.collect())
}
