//! The clients of `rig bench`: all their connections in one event loop, on one thread.
//!
//! ```text
//!   schedule ──► a request is due ──► a connection with a free slot ──► sent … answered ──► histogram
//!   closed loop: always due            open loop: the n-th at begin + n / rate, whether or not a slot is free
//! ```
//!
//! # Invariants
//! 1. In the open loop a request's time runs from when it was due, not from when it could be sent: a node that
//!    stands still for a second is seen to do so by every request of that second.
//! 2. A phase ends when every request that was sent is answered, so the node is quiet between two phases.
//! 3. Only operations that were answered 200 are counted as done and have a latency.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::timeline::Timeline;
use super::work::Work;
use crate::cli::Failure;
use crate::client::{Url, connect};
use crate::error::Exit;
use crate::http::{Event, ResponseReader};
use crate::net::{Stream, Trust};

/// No answer for so long, although every request has a deadline at the node, ends the run.
const SILENCE_MAX: Duration = Duration::from_secs(70);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Latencies beyond this are counted as this, in nanoseconds.
pub(super) const LATENCY_MAX: u64 = 100_000_000_000;
/// The clock that wakes an open loop sleeps at most so long at a time, to hear that it is no longer needed.
const NAP_MAX: Duration = Duration::from_millis(20);
/// A single client waits so long for its answer before it falls asleep.
const AWAKE_MAX: Duration = Duration::from_micros(400);
/// Where the choice between reading and writing begins.
const SEED: u64 = 0x2545_f491_4f6c_dd1d;
const WAKE: Token = Token(usize::MAX);

/// A histogram of nanoseconds, exact to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are constants that fit")
}

pub(super) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(nanos(latency));
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// When a phase is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// So many operations are sent.
    Ops(u64),
    /// So much time has passed.
    Time(Duration),
}

/// One stretch of load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    pub(super) until: Until,
    /// Requests under way on one connection.
    pub(super) pipeline: usize,
    /// Requests in a second, on all connections together; nothing: as fast as answers come.
    pub(super) rate: Option<f64>,
    /// Of a hundred requests, those that read.
    pub(super) reads: u32,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Tally {
    /// Operations written and answered 200.
    pub(super) written: u64,
    /// Documents read and answered 200.
    pub(super) read: u64,
    /// Operations answered otherwise, by status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Of requests that wrote.
    pub(super) write_latency: Histogram<u64>,
    /// Of requests that read.
    pub(super) read_latency: Histogram<u64>,
    /// All of them over the time from the first request to the last answer.
    pub(super) timeline: Timeline,
}

impl Tally {
    /// For phases that take so long together, if that is known.
    pub(super) fn new(expected: Option<Duration>) -> Self {
        Self {
            written: 0,
            read: 0,
            refused: BTreeMap::new(),
            write_latency: histogram(),
            read_latency: histogram(),
            timeline: Timeline::new(expected),
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.written + self.read
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
}

struct Connection {
    stream: Stream<TcpStream>,
    reader: ResponseReader,
    out: Vec<u8>,
    sent: usize,
    /// Requests under way and since when their time runs, oldest first.
    under_way: VecDeque<(Kind, Instant)>,
    status: u16,
    lines: Lines,
    /// The number of the next document, and how many are known to be there.
    next: u64,
    there: u64,
}

/// Connections to one node.
pub(super) struct Load<'a> {
    work: &'a Work,
    poll: Poll,
    connections: Vec<Connection>,
    random: u64,
    may_stay_awake: bool,
}

impl<'a> Load<'a> {
    /// `nodes`: how many have to share this machine with the clients.
    pub(super) fn open(
        url: &Url,
        trust: Option<&Trust>,
        nodes: usize,
        clients: usize,
        work: &'a Work,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Unreachable, "unreachable", format!("cannot connect to {url}: {error}"))
        };
        let poll = Poll::new().map_err(broken)?;
        let mut connections = Vec::with_capacity(clients);
        for place in 0..clients {
            let stream = connect(url, trust, Instant::now() + CONNECT_TIMEOUT).map_err(failed)?;
            stream.socket().set_nonblocking(true).map_err(failed)?;
            let mut stream = stream.map(TcpStream::from_std);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(stream.socket_mut(), Token(place), interest).map_err(broken)?;
            connections.push(Connection::new(stream));
        }
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Ok(Self { work, poll, connections, random: SEED, may_stay_awake: clients == 1 && cores > nodes })
    }

    /// Runs one phase to its end, and adds what came of it.
    pub(super) fn run(&mut self, phase: &Phase, tally: &mut Tally) -> Result<(), Failure> {
        let begin = Instant::now();
        tally.timeline.resume(begin);
        let _clock = match phase.rate {
            Some(rate) => Some(Clock::start(&self.poll, begin, rate)?),
            None => None,
        };
        let mut schedule = Schedule { phase: *phase, begin, sent: 0, batch: self.work.batch };
        // A connection stands here once for each request that it may still take.
        let mut free: VecDeque<usize> = (0..phase.pipeline).flat_map(|_| 0..self.connections.len()).collect();
        let (slots, mut last, mut events) = (free.len(), begin, Events::with_capacity(1024));
        loop {
            let now = Instant::now();
            self.send(&mut schedule, &mut free, now)?;
            if free.len() == slots && schedule.is_over(now) {
                break;
            }
            match self.wait(&mut events) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(broken)?,
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let place = event.token().0;
                let before = free.len();
                let now = self.receive(place, &mut free, tally)?;
                if free.len() > before {
                    last = now;
                    self.send(&mut schedule, &mut free, now)?;
                }
                self.connections[place].flush()?;
            }
            if free.len() < slots && last.elapsed() > SILENCE_MAX {
                let silent = format!("no answer came for {} s", SILENCE_MAX.as_secs());
                return Err(Failure::new(Exit::Unknown, "no_answer", silent));
            }
        }
        tally.timeline.pause(last);
        Ok(())
    }

    /// Until something comes. A single client stays awake at first, if nobody else wants this core: the time that a
    /// sleeping core takes to wake is not the node's.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let begin = Instant::now();
        while self.may_stay_awake && begin.elapsed() < AWAKE_MAX {
            self.poll.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
            thread::yield_now();
        }
        self.poll.poll(events, Some(Duration::from_millis(100)))
    }

    /// Gives what is due to the connections that are free, and sends it.
    fn send(&mut self, schedule: &mut Schedule, free: &mut VecDeque<usize>, now: Instant) -> Result<(), Failure> {
        let mut filled = None;
        while let Some(place) = free.front().copied() {
            let Some(due) = schedule.next(now) else { break };
            free.pop_front();
            // More for the same connection, as after a pipeline's answers, goes out in one piece.
            if let Some(before) = filled.replace(place).filter(|before| *before != place) {
                self.connections[before].flush()?;
            }
            let reads = self.is_read(schedule.phase.reads);
            let random = self.random;
            let connection = &mut self.connections[place];
            if reads && connection.there > 0 {
                self.work.read(place, (random >> 8) % connection.there, &mut connection.out);
                connection.under_way.push_back((Kind::Read, due));
            } else {
                self.work.create(place, connection.next, &mut connection.out);
                connection.next += self.work.batch;
                connection.under_way.push_back((Kind::Write, due));
            }
        }
        match filled {
            Some(place) => self.connections[place].flush(),
            None => Ok(()),
        }
    }

    fn is_read(&mut self, percent: u32) -> bool {
        if percent == 0 {
            return false;
        }
        // xorshift64: good enough to choose by, and the same in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < u64::from(percent)
    }

    /// Takes in what one connection has for us, and says when that was.
    fn receive(&mut self, place: usize, free: &mut VecDeque<usize>, tally: &mut Tally) -> Result<Instant, Failure> {
        let connection = &mut self.connections[place];
        loop {
            let space = connection.reader.space();
            let room = space.len();
            let n = match connection.stream.read(space) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Instant::now()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(&error)),
            };
            let now = Instant::now();
            connection.reader.filled(n);
            if n == 0 && connection.under_way.is_empty() {
                return Err(lost(&ErrorKind::UnexpectedEof));
            }
            connection.answers(place, now, self.work.batch, free, tally)?;
            // A short read has emptied the socket: what comes next is a new event.
            if !connection.stream.may_have_more(n, room) {
                return Ok(now);
            }
        }
    }
}

impl Connection {
    fn new(stream: Stream<TcpStream>) -> Self {
        Self {
            stream,
            reader: ResponseReader::without_fields(),
            out: Vec::new(),
            sent: 0,
            under_way: VecDeque::new(),
            status: 0,
            lines: Lines::default(),
            next: 0,
            there: 0,
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Takes in every answer that is complete.
    fn answers(
        &mut self,
        place: usize,
        now: Instant,
        batch: u64,
        free: &mut VecDeque<usize>,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        while !self.under_way.is_empty() {
            match self.reader.poll().map_err(|error| lost(&error))? {
                Event::More => return Ok(()),
                Event::Head(head) => {
                    if !head.keep_alive {
                        return Err(lost(&format!("the node closes the connection (status {})", head.status)));
                    }
                    self.status = head.status;
                    self.lines = Lines::default();
                }
                Event::Body(piece) if batch > 1 => self.lines.take(piece),
                Event::Body(_) => {}
                Event::End => {
                    self.reader.begin(false);
                    let Some((kind, since)) = self.under_way.pop_front() else { return Ok(()) };
                    self.answered(kind, now, since, batch, tally);
                    free.push_back(place);
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, kind: Kind, now: Instant, since: Instant, batch: u64, tally: &mut Tally) {
        let latency = nanos(now.duration_since(since));
        match (kind, self.status) {
            (Kind::Read, 200) => {
                tally.read += 1;
                tally.read_latency.saturating_record(latency);
                tally.timeline.record(now, 1, latency);
            }
            (Kind::Read, status) => *tally.refused.entry(status).or_default() += 1,
            (Kind::Write, 200) => {
                let done = if batch == 1 { 1 } else { self.lines.done };
                for (status, count) in std::mem::take(&mut self.lines.refused) {
                    *tally.refused.entry(status).or_default() += count;
                }
                tally.written += done;
                tally.write_latency.saturating_record(latency);
                tally.timeline.record(now, done, latency);
                // Documents are only counted as there up to the first that is not, so that no read misses.
                if done == batch && self.there + batch * (1 + self.writes_under_way()) == self.next {
                    self.there += batch;
                }
            }
            (Kind::Write, status) => *tally.refused.entry(status).or_default() += batch,
        }
    }

    fn writes_under_way(&self) -> u64 {
        self.under_way.iter().filter(|(kind, _)| *kind == Kind::Write).count() as u64
    }
}

/// Counts the lines of a batch's answer by their status, in whatever pieces they come.
#[derive(Debug, Default)]
struct Lines {
    begin: Vec<u8>,
    done: u64,
    refused: BTreeMap<u16, u64>,
}

impl Lines {
    /// Long enough for the status, wherever the members of a problem object put it in front.
    const LOOK_BYTES: usize = 512;

    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = Self::LOOK_BYTES - self.begin.len().min(Self::LOOK_BYTES);
            self.begin.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                match status_of(&self.begin) {
                    200 => self.done += 1,
                    status => *self.refused.entry(status).or_default() += 1,
                }
                self.begin.clear();
            }
        }
    }
}

/// The number behind the first `"status":`; 0 when there is none.
fn status_of(line: &[u8]) -> u16 {
    const NAME: &[u8] = b"\"status\":";
    let Some(at) = line.windows(NAME.len()).position(|window| window == NAME) else { return 0 };
    let digits = line[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit()).take(4);
    digits.fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

/// What is due when.
struct Schedule {
    phase: Phase,
    begin: Instant,
    /// Requests given out.
    sent: u64,
    batch: u64,
}

impl Schedule {
    /// Gives out the next request, if it is due: the moment from which its time runs.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        if self.is_over(now) {
            return None;
        }
        let due = match self.phase.rate {
            None => now,
            Some(rate) => self.begin + Duration::from_secs_f64(self.sent as f64 / rate),
        };
        if due > now {
            return None;
        }
        self.sent += 1;
        Some(due)
    }

    /// Whether nothing more is to be given out. In the open loop that is not before everything is that was due
    /// within the time, however late the node is.
    fn is_over(&self, now: Instant) -> bool {
        match (self.phase.until, self.phase.rate) {
            (Until::Ops(ops), _) => self.sent * self.batch >= ops,
            (Until::Time(time), None) => now.duration_since(self.begin) >= time,
            (Until::Time(time), Some(rate)) => self.sent as f64 / rate >= time.as_secs_f64(),
        }
    }
}

/// Wakes the event loop when the next request of an open loop is due. A poll's own time-out is too coarse.
struct Clock {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(poll: &Poll, begin: Instant, rate: f64) -> Result<Self, Failure> {
        let waker = Waker::new(poll.registry(), WAKE).map_err(broken)?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let next = (begin.elapsed().as_secs_f64() * rate).floor() + 1.0;
                let due = begin + Duration::from_secs_f64(next / rate);
                let left = due.saturating_duration_since(Instant::now());
                thread::sleep(left.min(NAP_MAX));
                if left <= NAP_MAX {
                    // A loop that is gone needs no waking.
                    let _ = waker.wake();
                }
            }
        });
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::new(Exit::Failure, "io", format!("wait for sockets: {error}"))
}

fn lost(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Unknown, "connection_lost", format!("a connection to the node was lost: {error}"))
        .hint("the figures up to here would mislead and are not shown; `rig node logs` or the node's stderr says why")
}

#[cfg(test)]
mod tests;
