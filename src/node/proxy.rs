//! Reads of a service in another process: a GET or HEAD of a path that is not Rig's own is asked of the service, and its
//! answer is passed on.
//!
//! ```text
//!   client ── GET /users/1 ──► event loop ──► a thread ── GET BASE/users/1 ──► service
//!   client ◄── Rig-Version ─── event loop ◄── a thread ◄─ status, fields, body ──
//! ```
//!
//! Rig is the service's gateway here: it shows its own tokens to nobody, keeps no session, and follows no redirection.
//!
//! # Invariants
//! 1. The version that an answer is told with was applied before the service was asked.
//! 2. Of a request only the fields of [`ASKED`] go on, of an answer only those of [`ANSWERED`]: no token, no cookie, and
//!    nothing that belongs to one connection. So what is new on either side is left out until somebody thinks about it.
//! 3. The calls of the protocol cannot be reached from here: see [`is_protocol`].
//!
//! # Not here
//! Who waits for a thread (`event_loop::reading`); the protocol (`adapter`).

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Base;
use super::connection::Exchange;
use crate::error::{Code, Problem};
use crate::http::{self, Answer, Event, Request, ResponseError, ResponseHead, ResponseReader};
use crate::limits::{PROXIED_BYTES_MAX, PROXY_THREADS};
use crate::types::{Role, Version};

/// How long one try to connect may take: beyond it a service that is near is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What goes on of a request.
const ASKED: [&str; 10] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Range",
    "User-Agent",
];
/// What goes on of an answer, its length and `Location` aside.
const ANSWERED: [&str; 15] = [
    "Accept-Ranges",
    "Age",
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Expires",
    "Last-Modified",
    "Link",
    "Retry-After",
    "Vary",
];

/// Whether a path (decoded) is one of the protocol between Rig and the service, however a server may read it.
pub(super) fn is_protocol(path: &str) -> bool {
    let segments = path.split('/').map(|part| part.split(';').next().unwrap_or_default());
    let mut segments = segments.filter(|part| !part.is_empty());
    let mut is = |word: &str| segments.next().is_some_and(|part| part.eq_ignore_ascii_case(word));
    is("rig") && is("v1")
}

/// One read, apart from its request.
#[derive(Debug, Clone)]
pub(super) struct Read {
    exchange: Exchange,
    /// Path and query, as they came.
    target: String,
    fields: Vec<(&'static str, String)>,
    /// The version that the answer must have, at least.
    wanted: Version,
    pub(super) deadline: Instant,
}

impl Read {
    /// What goes on of a request that wants at least this version.
    pub(super) fn new(request: &Request<'_>, exchange: Exchange, wanted: Version, deadline: Instant) -> Self {
        let known = |name: &str| ASKED.into_iter().find(|known| known.eq_ignore_ascii_case(name));
        let fields = request.headers().filter_map(|(name, value)| Some((known(name)?, value.to_owned())));
        let mut target = request.raw_path().to_owned();
        if !request.raw_query().is_empty() {
            target.push('?');
            target.push_str(request.raw_query());
        }
        Self { exchange, target, fields: fields.collect(), wanted, deadline }
    }

    fn bytes(&self, base: &Base) -> Vec<u8> {
        let method = if self.exchange.reply.head_only { "HEAD" } else { "GET" };
        let own = [("Host", base.authority()), ("Via", "1.1 rig"), ("X-Request-Id", &*self.exchange.id)];
        let fields: Vec<_> =
            own.into_iter().chain(self.fields.iter().map(|(name, value)| (*name, value.as_str()))).collect();
        let mut bytes = Vec::new();
        http::write_request(&mut bytes, method, &base.target(&self.target), &fields, None);
        bytes
    }
}

/// What a node says of itself with every answer.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) node: String,
    pub(super) role: Role,
    pub(super) epoch: u64,
    pub(super) version: Version,
}

impl Claims {
    /// The same as fields of a head.
    pub(super) fn lines(&self) -> Vec<u8> {
        let Self { node, role, epoch, version } = self;
        format!("Rig-Node: {node}\r\nRig-Role: {role}\r\nRig-Epoch: {epoch}\r\nRig-Version: {version}\r\n").into_bytes()
    }
}

/// The service, and the connections to it that are idle.
#[derive(Debug)]
pub(super) struct Upstream {
    base: Base,
    idle: Mutex<Vec<Connection>>,
}

impl Upstream {
    pub(super) fn new(base: Base) -> Self {
        Self { base, idle: Mutex::default() }
    }

    /// Asks the service, and gives its answer with its status, ready for the client. This blocks, at most until the
    /// read's deadline.
    ///
    /// # Errors
    /// No answer, or none that can be passed on; never what the service says.
    pub(super) fn fetch(&self, read: &Read, mut claims: Claims) -> Result<(u16, Vec<u8>), Problem> {
        let (head, body) = self.ask(read).map_err(|why| {
            Problem::new(Code::ServiceUnavailable, format!("the service gave no answer to this read: {why}"))
                .hint("send again after Retry-After")
        })?;
        // A service that says how far it is knows better.
        if let Some(own) = number_of(&head, "Rig-Version").filter(|own| *own < claims.version) {
            if own < read.wanted {
                let detail = format!("version {} was asked for, the service has applied {own}", read.wanted);
                return Err(Problem::new(Code::Lagging, detail));
            }
            claims.version = own;
        }
        Ok((head.status, self.answer(read, &claims, &head, &body)))
    }

    fn ask(&self, read: &Read) -> Result<(ResponseHead, Vec<u8>), Lost> {
        let request = read.bytes(&self.base);
        if let Some(connection) = self.take_idle() {
            match self.ask_on(connection, &request, read) {
                // It was closed while it was idle, and so were the others.
                Err(Lost::Unread) => self.idle().clear(),
                other => return other,
            }
        }
        self.ask_on(Connection::open(&self.base, read.deadline)?, &request, read)
    }

    fn ask_on(&self, mut connection: Connection, request: &[u8], read: &Read) -> Result<(ResponseHead, Vec<u8>), Lost> {
        let (head, body) = connection.ask(request, read.exchange.reply.head_only, read.deadline)?;
        let mut idle = self.idle();
        if head.keep_alive && idle.len() < PROXY_THREADS {
            idle.push(connection);
        }
        Ok((head, body))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        while let Some(mut connection) = idle.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn answer(&self, read: &Read, claims: &Claims, head: &ResponseHead, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() + 1024);
        let mut answer = Answer::new(&mut out, read.exchange.reply, head.status);
        answer.lines(&claims.lines()).header("X-Request-Id", &read.exchange.id);
        for (name, value) in &head.headers {
            if let Some(name) = ANSWERED.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
                answer.header(name, value);
            }
        }
        if let Some(value) = head.header("Location") {
            answer.header("Location", self.base.location(value));
        }
        match head.status {
            204 | 304 => answer.empty(),
            _ if read.exchange.reply.head_only => {
                if let Some(length) = number_of(head, "Content-Length") {
                    answer.number("Content-Length", length);
                }
                answer.bare();
            }
            _ => answer.untyped_body(body),
        }
        out
    }
}

fn number_of(head: &ResponseHead, name: &str) -> Option<u64> {
    let text = head.header(name)?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Why there is no answer.
#[derive(Debug)]
enum Lost {
    /// The connection broke before anything came.
    Unread,
    Failed(io::Error),
    Late,
    Untrusted(ResponseError),
    Status(u16),
    TooLarge,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unread => f.write_str("it closed the connection"),
            Self::Failed(error) => error.fmt(f),
            Self::Late => f.write_str("it took too long"),
            Self::Untrusted(error) => error.fmt(f),
            Self::Status(status) => write!(f, "status {status} is no answer to a read"),
            Self::TooLarge => write!(f, "it has more than {PROXIED_BYTES_MAX} bytes"),
        }
    }
}

/// A connection to the service: one request at a time.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    reader: ResponseReader,
}

impl Connection {
    fn open(base: &Base, deadline: Instant) -> Result<Self, Lost> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "its host has no address");
        for address in base.authority().to_socket_addrs().map_err(Lost::Failed)? {
            match TcpStream::connect_timeout(&address, left(deadline)?.min(CONNECT_TIMEOUT)) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(Lost::Failed)?;
                    return Ok(Self { stream, reader: ResponseReader::new(false) });
                }
                Err(error) => failed = error,
            }
        }
        Err(Lost::Failed(failed))
    }

    /// Whether nothing has come since the last answer: neither an end, nor bytes that would pass for the next one.
    fn is_quiet(&mut self) -> bool {
        let nothing_left = matches!(self.reader.poll(), Ok(Event::More));
        let silent = self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        nothing_left && silent && self.stream.set_nonblocking(false).is_ok()
    }

    fn ask(&mut self, request: &[u8], head_only: bool, deadline: Instant) -> Result<(ResponseHead, Vec<u8>), Lost> {
        self.reader.begin(head_only);
        self.stream.set_write_timeout(Some(left(deadline)?)).map_err(Lost::Failed)?;
        self.stream.write_all(request).map_err(|error| broken(error, true))?;
        let (mut answer, mut body, mut unread) = (None, Vec::new(), true);
        loop {
            match self.reader.poll().map_err(|error| if unread { Lost::Unread } else { Lost::Untrusted(error) })? {
                Event::Head(head) if !(200..600).contains(&head.status) => return Err(Lost::Status(head.status)),
                Event::Head(head) => {
                    let announced = if head_only { None } else { number_of(&head, "Content-Length") };
                    if announced.is_some_and(|length| length > PROXIED_BYTES_MAX as u64) {
                        return Err(Lost::TooLarge);
                    }
                    answer = Some(head);
                }
                Event::Body(piece) if body.len() + piece.len() > PROXIED_BYTES_MAX => return Err(Lost::TooLarge),
                Event::Body(piece) => body.extend_from_slice(piece),
                Event::End => {
                    self.reader.begin(false);
                    return answer.map(|head| (head, body)).ok_or(Lost::Untrusted(ResponseError::Head));
                }
                Event::More => {
                    self.stream.set_read_timeout(Some(left(deadline)?)).map_err(Lost::Failed)?;
                    let n = match self.stream.read(self.reader.space()) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        read => read.map_err(|error| broken(error, unread))?,
                    };
                    unread &= n == 0;
                    self.reader.filled(n);
                }
            }
        }
    }
}

fn broken(error: io::Error, unread: bool) -> Lost {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Lost::Late,
        _ if unread => Lost::Unread,
        _ => Lost::Failed(error),
    }
}

/// What is left of the time; never so little that the system takes it for "no limit".
fn left(deadline: Instant) -> Result<Duration, Lost> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    left.map(|left| left.max(Duration::from_millis(1))).ok_or(Lost::Late)
}

#[cfg(test)]
mod tests;
