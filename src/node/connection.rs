//! One client's connection: a socket, the requests read from it, and their answers in the same order.
//!
//! ```text
//!   socket ─► http::Connection ─► request n, n+1, ...      one slot each, answered in any order
//!   socket ◄─ out ◄───────────── front slot when it is done
//! ```
//!
//! # Invariants
//! 1. Answers leave in the order of their requests; what is done early waits in its slot.
//! 2. A connection whose client does not read is not read from either, beyond a bound.
//!
//! # Not here
//! What a request means (`node::routes`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;

use super::admission::Client;
use super::auth::Shown;
use super::backup::Archive;
use super::lines::Lines;
use super::others::Record;
use super::request_id::RequestId;
use super::routes::Route;
use super::streams::LogStream;
use crate::error::Problem;
use crate::http::{self, Reply};
use crate::limits::{HEAD_TIMEOUT, LINGER_TIMEOUT, PIPELINE_MAX, UNSENT_BYTES_MAX, WRITE_TIMEOUT};
use crate::net::{self, Stream};
use crate::service::Listing;
use crate::types::Version;

/// Reads of what nobody wants, before others have their turn.
const LINGER_READS: usize = 16;

/// What an answer needs to know of its request, apart from its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) reply: Reply,
    pub(super) id: RequestId,
    /// What it is counted as.
    pub(super) route: Route,
}

/// A request that was read and whose answer has not left for `out`.
pub(super) enum Slot {
    /// The whole answer.
    Done(Vec<u8>),
    /// One operation is on its way.
    Operation(Exchange),
    /// Many are.
    Batch(Batch),
    /// Somebody else will hand in the answer.
    Elsewhere(Exchange),
    /// The answer comes piece by piece as soon as it is this one's turn.
    Log(Box<LogStream>),
    /// The same for documents.
    Documents(Box<DocumentStream>),
    /// The same for events.
    Events(Box<EventStream>),
    /// The same for an archive.
    Backup(Box<BackupStream>),
}

/// The answers to a batch, in the order of its lines.
pub(super) struct Batch {
    pub(super) exchange: Exchange,
    pub(super) lines: Lines,
}

/// A reader of events.
pub(super) struct EventStream {
    pub(super) exchange: Exchange,
    /// The last number that it has.
    pub(super) after: u64,
    pub(super) follow: bool,
    pub(super) begun: Option<http::Stream>,
    pub(super) heard: Instant,
}

/// An archive on its way to a client.
pub(super) struct BackupStream {
    pub(super) exchange: Exchange,
    /// Not here while its next piece is being read.
    pub(super) archive: Option<Box<Archive>>,
    pub(super) begun: Option<http::Stream>,
    pub(super) is_over: bool,
}

/// A long list at one version.
pub(super) struct DocumentStream {
    pub(super) listing: Listing,
    pub(super) filters: Vec<(String, String)>,
    pub(super) after: Option<Box<str>>,
    pub(super) exchange: Exchange,
    pub(super) begun: Option<http::Stream>,
    pub(super) first: bool,
}

/// The connection.
pub(super) struct Connection {
    pub(super) socket: Stream<TcpStream>,
    pub(super) client: Client,
    /// It has no place of its own, and this is why: what it hears unless its request is one that is always answered.
    pub(super) refusal: Option<Problem>,
    accepted: Instant,
    pub(super) http: http::Connection,
    /// What `http` held when all connections were added up last.
    pub(super) counted: usize,
    pub(super) out: Vec<u8>,
    sent: usize,
    /// Number of the request at the front of `slots`. Numbers begin at a different place for each connection, so
    /// that an answer to one that is gone finds nobody.
    front: u64,
    pub(super) slots: VecDeque<Slot>,
    pub(super) readable: bool,
    /// Its last request was a read: the next one may wait for writes.
    pub(super) reads: bool,
    /// Requests are there, or could be read, as soon as there is room for them.
    pub(super) held_back: bool,
    /// The client has said that nothing more will come. That news comes once, perhaps together with its last bytes.
    pub(super) peer_ended: bool,
    /// No request is taken any more; close when everything is written.
    pub(super) ending: bool,
    /// The token of its last request.
    pub(super) shown: Option<Shown>,
    /// It becomes a peer's, with this answer.
    pub(super) upgrade: Option<(Vec<u8>, Option<Record>)>,
    stuck_since: Option<Instant>,
    /// Everything is said: until then we wait for the client to close first.
    linger_until: Option<Instant>,
}

/// What a read or write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Open,
    /// The connection is over.
    Closed,
    /// It was to begin by TLS, and does not: an answer will be read as it is.
    NotTls,
}

impl Connection {
    pub(super) fn new(
        socket: Stream<TcpStream>,
        client: Client,
        refusal: Option<Problem>,
        serial: u64,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            client,
            refusal,
            accepted: now,
            http: http::Connection::new(now),
            counted: 0,
            out: Vec::new(),
            sent: 0,
            front: serial << 32,
            slots: VecDeque::new(),
            readable: true,
            reads: false,
            held_back: false,
            peer_ended: false,
            ending: false,
            shown: None,
            upgrade: None,
            stuck_since: None,
            linger_until: None,
        }
    }

    /// The number of the next request.
    pub(super) fn next_request(&self) -> u64 {
        self.front + self.slots.len() as u64
    }

    /// The slot of a request that is not answered yet.
    pub(super) fn slot(&mut self, request: u64) -> Option<&mut Slot> {
        let index = usize::try_from(request.checked_sub(self.front)?).ok()?;
        self.slots.get_mut(index)
    }

    /// Whether another request may be read.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < PIPELINE_MAX && self.unsent() < UNSENT_BYTES_MAX && !self.ending
    }

    /// Bytes that wait for the client to read.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// The same, with the answers that wait for their turn.
    pub(super) fn owed(&self) -> usize {
        let done = self.slots.iter().map(|slot| if let Slot::Done(bytes) = slot { bytes.len() } else { 0 });
        self.unsent() + done.sum::<usize>()
    }

    /// Moves finished answers to the way out.
    pub(super) fn settle(&mut self) {
        while let Some(Slot::Done(bytes)) = self.slots.front_mut() {
            if self.out.is_empty() {
                self.out = std::mem::take(bytes);
            } else {
                self.out.extend_from_slice(bytes);
            }
            self.pop_front();
        }
    }

    /// The front request has been answered into `out`.
    pub(super) fn pop_front(&mut self) {
        self.slots.pop_front();
        self.front += 1;
    }

    /// Whether an answer for this request may go straight to `out`.
    pub(super) fn is_front(&self, request: u64) -> bool {
        request == self.front
    }

    /// Reads what is there, once. Edge-triggered: a read that does not fill its room has emptied the socket, but for
    /// the end of the stream, which takes a read of its own.
    pub(super) fn read(&mut self, now: Instant) -> Flow {
        let room = self.http.space();
        if room.is_empty() {
            return Flow::Open;
        }
        let size = room.len();
        match self.socket.read(room) {
            Ok(0) => {
                self.readable = false;
                self.http.closed_by_peer();
                Flow::Open
            }
            Ok(n) => {
                self.readable = self.socket.may_have_more(n, size) || self.peer_ended;
                self.http.filled(n, now);
                Flow::Open
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Flow::Open
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Flow::Open,
            Err(error) if net::is_plain_request(&error) => Flow::NotTls,
            Err(error) => {
                self.tell(&error);
                Flow::Closed
            }
        }
    }

    /// A certificate that is refused is its owner's to mend; anything else is noise that anybody can make.
    fn tell(&self, error: &io::Error) {
        let Some(fault) = net::fault_of(error) else { return };
        let level = if fault.is_serious { ::log::Level::Warn } else { ::log::Level::Debug };
        ::log::log!(level, "the connection of {:?} is refused: {fault}", self.socket.socket().peer_addr());
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self, now: Instant) -> Flow {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(0) => return Flow::Closed,
                Ok(n) => {
                    self.sent += n;
                    self.stuck_since = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck_since.get_or_insert(now);
                    self.compact();
                    return Flow::Open;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flow::Closed,
            }
        }
        self.sent = 0;
        if self.out.capacity() > 1 << 20 {
            self.out = Vec::new();
        }
        self.out.clear();
        self.stuck_since = None;
        if self.ending && self.slots.is_empty() { self.linger(now) } else { Flow::Open }
    }

    /// Says that this was all, and drops what still comes until the client has closed too.
    fn linger(&mut self, now: Instant) -> Flow {
        if self.linger_until.is_none() {
            match self.socket.end().and_then(|()| self.socket.socket().shutdown(Shutdown::Write)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Open,
                Err(_) => return Flow::Closed,
            }
            self.linger_until = Some(now + LINGER_TIMEOUT);
        }
        let mut dropped = [0; 16 << 10];
        for _ in 0..LINGER_READS {
            match self.socket.read(&mut dropped) {
                Ok(0) => return Flow::Closed,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Flow::Open;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flow::Closed,
            }
        }
        self.readable = true;
        Flow::Open
    }

    /// Whether there is more to drop, without waiting for news of it.
    pub(super) fn has_more_to_drop(&self) -> bool {
        self.linger_until.is_some() && self.readable
    }

    /// Whether the client has had its time to close.
    pub(super) fn has_lingered(&self, now: Instant) -> bool {
        self.linger_until.is_some_and(|until| now >= until)
    }

    /// Whether the two sides should have agreed on how to speak by now.
    pub(super) fn shakes_hands_for_too_long(&self, now: Instant) -> bool {
        self.socket.is_shaking_hands() && now.duration_since(self.accepted) >= HEAD_TIMEOUT
    }

    /// Gives back the memory of what was sent, when that is most of it.
    fn compact(&mut self) {
        if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Whether the stream at the front has more to give now.
    pub(super) fn stream_goes_on(&self, committed: Version) -> bool {
        match self.slots.front() {
            Some(Slot::Documents(_)) => true,
            Some(Slot::Log(stream)) => stream.goes_on(committed),
            Some(Slot::Backup(stream)) => stream.archive.is_some(),
            _ => false,
        }
    }

    /// Whether the client has not read a byte for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.stuck_since.is_some_and(|since| now.duration_since(since) > WRITE_TIMEOUT)
    }
}
