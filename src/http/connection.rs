//! One client's incoming bytes.
//!
//! ```text
//!   Head --complete--> Body --complete--> Given (the caller has the request) --next--> Head
//!     \__________________\__ refused, or the last request __> Over
//! ```

use super::chunked::Chunked;
use super::head::{self, Field, Framing, Head, bad};
use super::request::Request;
use super::settings::Settings;
use crate::error::{Code, Problem};
use crate::limits::{BODY_PROGRESS_BYTES, BODY_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT, IDLE_TIMEOUT};
use std::time::Instant;

/// Bytes that a connection holds beyond the message it is at: pipelined requests that nobody has taken yet.
pub const READ_AHEAD_BYTES: usize = 64 << 10;
/// The first buffer; most requests fit.
const FIRST_BYTES: usize = 4 << 10;
/// Less room than this is not worth a read.
const ROOM_BYTES: usize = 1 << 10;

const _: () = assert!(READ_AHEAD_BYTES >= HEAD_BYTES_MAX + ROOM_BYTES);

/// What the bytes so far amount to.
#[derive(Debug)]
pub enum Next<'a> {
    /// A complete request; the next call gives up its bytes.
    Request(Request<'a>),
    /// A good head whose body is still on its way: the place to refuse it before it is read. The request is
    /// without its body; call again to go on.
    Head(Request<'a>),
    /// Nothing yet: read more.
    More,
    /// The client waits for `100 Continue` before it sends the body.
    Continue,
    /// Answer with this, then close; nothing more will be read.
    Refuse(Problem),
    /// There will be no further request: close when the answers are written.
    End,
}

/// What to do about a client that was too slow.
#[derive(Debug, PartialEq)]
pub enum Expired {
    /// Close without a word: it had nothing to say.
    Close,
    /// Answer with this, then close.
    Refuse(Problem),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    Given,
    Over,
}

enum Step {
    Request,
    Head,
    More,
    Continue,
    End,
}

/// One client's incoming bytes, without socket and clock.
#[derive(Debug)]
pub struct Connection {
    buffer: Vec<u8>,
    /// Where the message begins.
    start: usize,
    /// Behind the last byte received.
    end: usize,
    phase: Phase,
    head: Head,
    fields: Vec<Field>,
    decoded_path: String,
    /// Of the body, when it is chunked.
    chunked: Chunked,
    /// Behind the body's data, from `start`.
    body_end: usize,
    /// Where the message after this one begins, from `start`.
    message_len: usize,
    body_max: usize,
    continued: bool,
    /// When the running deadline began.
    since: Instant,
    /// Bytes of the body since then.
    progress: usize,
    closed_by_peer: bool,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(now: Instant) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            phase: Phase::Head,
            head: Head::NONE,
            fields: Vec::new(),
            decoded_path: String::new(),
            chunked: Chunked::new(0),
            body_end: 0,
            message_len: 0,
            body_max: 0,
            continued: false,
            since: now,
            progress: 0,
            closed_by_peer: false,
        }
    }

    /// Where to read into. Empty when so much is here already that requests must be taken first.
    pub fn space(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.buffer[self.end..]
    }

    /// So many bytes have been read into [`Connection::space`].
    pub fn filled(&mut self, n: usize, now: Instant) {
        let was_empty = self.start == self.end;
        self.end = (self.end + n).min(self.buffer.len());
        match self.phase {
            Phase::Head if was_empty => self.since = now,
            Phase::Body => {
                self.progress += n;
                if self.progress >= BODY_PROGRESS_BYTES {
                    (self.progress, self.since) = (0, now);
                }
            }
            Phase::Head | Phase::Given | Phase::Over => {}
        }
    }

    /// The peer sends no more; what it has sent is still answered.
    pub fn closed_by_peer(&mut self) {
        self.closed_by_peer = true;
    }

    /// What the bytes so far amount to. Call again until it says [`Next::More`], [`Next::Refuse`] or [`Next::End`].
    pub fn next(&mut self, settings: &Settings, now: Instant) -> Next<'_> {
        match self.step(settings, now) {
            Ok(Step::Request) => Next::Request(self.request(self.body_end)),
            Ok(Step::Head) => Next::Head(self.request(self.head.len)),
            Ok(Step::More) => Next::More,
            Ok(Step::Continue) => Next::Continue,
            Ok(Step::End) => Next::End,
            Err(problem) => {
                self.finish();
                Next::Refuse(problem)
            }
        }
    }

    /// When to ask [`Connection::expired`]. Only while the client owes something: not while an answer is owed
    /// to it, nor while reading is held back (then [`Connection::restart_clock`]).
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Head if self.start == self.end => Some(self.since + IDLE_TIMEOUT),
            Phase::Head => Some(self.since + HEAD_TIMEOUT),
            Phase::Body => Some(self.since + BODY_TIMEOUT),
            Phase::Given | Phase::Over => None,
        }
    }

    /// What to do now that the deadline may have passed.
    pub fn expired(&mut self, now: Instant) -> Option<Expired> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let expired = match self.phase {
            Phase::Head if self.start == self.end => Expired::Close,
            Phase::Head => Expired::Refuse(slow("the head took more than 10 s")),
            _ => Expired::Refuse(slow("the body made less than 1 KiB/s of progress in 30 s")),
        };
        self.finish();
        Some(expired)
    }

    /// The client could not be expected to send until now: the running deadline begins anew.
    pub fn restart_clock(&mut self, now: Instant) {
        self.since = now;
        self.progress = 0;
    }

    /// Nothing more will be read, whatever comes: the node has refused a request before its end.
    pub fn finish(&mut self) {
        self.phase = Phase::Over;
        (self.start, self.end) = (0, 0);
        self.buffer = Vec::new();
    }

    /// Bytes that this connection holds, for bounds over all of them.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// After an upgrade: the bytes behind the request, which are no longer HTTP.
    pub fn into_rest(self) -> Vec<u8> {
        let start = if self.phase == Phase::Given { self.start + self.message_len } else { self.start };
        self.buffer.get(start..self.end).unwrap_or_default().to_vec()
    }

    fn step(&mut self, settings: &Settings, now: Instant) -> Result<Step, Problem> {
        if self.phase == Phase::Given {
            self.take_back(now);
        }
        match self.phase {
            Phase::Over | Phase::Given => Ok(Step::End),
            Phase::Head => self.step_head(settings, now),
            Phase::Body => self.step_body(settings),
        }
    }

    fn step_head(&mut self, settings: &Settings, now: Instant) -> Result<Step, Problem> {
        let message = &self.buffer[self.start..self.end];
        if message.is_empty() {
            return Ok(if self.closed_by_peer { Step::End } else { Step::More });
        }
        let Some(head) = head::parse(message, settings, &mut self.fields, &mut self.decoded_path)? else {
            // An empty line alone is not the beginning of anything.
            if self.closed_by_peer && matches!(message, b"\r\n" | b"\r") {
                return Ok(Step::End);
            }
            return self.more("the head");
        };
        self.head = head;
        self.chunked = Chunked::new(head.len);
        self.body_max = settings.body_max;
        if self.body_is_complete(settings)? {
            self.phase = Phase::Given;
            return Ok(Step::Request);
        }
        self.phase = Phase::Body;
        self.continued = false;
        self.restart_clock(now);
        Ok(Step::Head)
    }

    fn step_body(&mut self, settings: &Settings) -> Result<Step, Problem> {
        if self.body_is_complete(settings)? {
            self.phase = Phase::Given;
            return Ok(Step::Request);
        }
        let waits = self.head.expects_continue && self.end - self.start == self.head.len;
        if waits && !self.continued && !self.closed_by_peer {
            self.continued = true;
            return Ok(Step::Continue);
        }
        self.more("the body")
    }

    fn more(&self, what: &str) -> Result<Step, Problem> {
        if self.closed_by_peer {
            return Err(bad(&format!("the connection was closed before {what} was complete")));
        }
        Ok(Step::More)
    }

    fn body_is_complete(&mut self, settings: &Settings) -> Result<bool, Problem> {
        match self.head.framing {
            Framing::Length(len) => {
                self.body_end = self.head.len + len;
                self.message_len = self.body_end;
                Ok(self.end - self.start >= self.message_len)
            }
            Framing::Chunked => {
                let message = &mut self.buffer[self.start..self.end];
                let complete = self.chunked.decode(message, self.head.len, settings)?;
                self.body_end = self.chunked.body_end;
                self.message_len = self.chunked.raw;
                Ok(complete)
            }
        }
    }

    /// The request that was given out is over: on to the next.
    fn take_back(&mut self, now: Instant) {
        if !self.head.keep_alive {
            self.finish();
            return;
        }
        self.start += self.message_len;
        self.phase = Phase::Head;
        self.restart_clock(now);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > READ_AHEAD_BYTES {
                self.buffer = Vec::new();
            }
        }
    }

    fn request(&self, body_end: usize) -> Request<'_> {
        let message = &self.buffer[self.start..];
        // Checked when it was parsed.
        let head = std::str::from_utf8(&message[..self.head.len]).unwrap_or_default();
        Request::new(self.head, head, &self.fields, &self.decoded_path, &message[self.head.len..body_end])
    }

    fn make_room(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        if self.phase == Phase::Body && self.head.framing == Framing::Chunked {
            let (start, end) = (self.start, self.end);
            self.end = start + self.chunked.close_hole(&mut self.buffer[start..end], end - start);
        }
        if self.buffer.len() - self.end >= ROOM_BYTES {
            return;
        }
        if self.phase == Phase::Given {
            // Its bytes are not needed any more: whoever borrows them would not be here.
            self.start += self.message_len;
            self.message_len = 0;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() - self.end >= ROOM_BYTES {
            return;
        }
        let wanted = match (self.phase, self.head.framing) {
            (Phase::Body, Framing::Length(len)) => self.head.len + len + ROOM_BYTES,
            (Phase::Body, Framing::Chunked) => self.head.len + self.body_max + READ_AHEAD_BYTES,
            _ => READ_AHEAD_BYTES,
        };
        // Doubling, not what the client announces: memory follows bytes that have come.
        let len = (self.buffer.len() * 2).max(FIRST_BYTES).min(wanted).max(self.buffer.len());
        self.buffer.reserve_exact(len - self.buffer.len());
        self.buffer.resize(len, 0);
    }
}

fn slow(detail: &str) -> Problem {
    Problem::new(Code::SlowRequest, detail).hint("nothing was logged: send the whole request without a pause")
}
