//! Speaking to a node: one blocking connection, requests in order, answers in order.
//!
//! ```text
//!   Request ──► Client ──► Connection (TCP, or TLS over it) ──► node
//!                 │ 307: to the primary that is named, if we know it or have no secret to lose
//!                 └──► Response | Error::Unreachable (nothing was sent) | Error::Unknown (it was)
//! ```
//!
//! # Invariants
//! 1. [`Error::Unreachable`] means that no byte of this request left this process.
//! 2. A token goes only to the node that was asked for, to nodes of this machine's registry, and to the same host; and
//!    never in the clear where the first word was by TLS.
//!
//! # Not here
//! Which node ( `cli::target`), what the answers look like to people (`cli`), wire text (`http`).

mod connection;
mod request;
mod submit;
mod url;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

#[cfg(feature = "cli")]
pub(crate) use connection::connect;
pub use connection::{Connection, Lost, Piece};
pub use request::Request;
pub use submit::{NotApplied, Submission, is_final, submit};
pub use url::{BadUrl, Url};

use crate::error::Problem;
use crate::http::ResponseHead;
use crate::net::{PLAIN, SECURE, Trust};

/// A primary may name another one that has taken over meanwhile; a longer chase is a loop.
const REDIRECTS_MAX: usize = 3;
/// Bytes of an answer that is read as a whole: a page of a thousand large documents fits.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The pause after the first try that failed; it doubles up to [`PAUSE_MAX`].
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// How long after our own deadline the node's last word may still arrive.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Who answered.
    pub url: Url,
    /// Status and fields.
    pub head: ResponseHead,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct ProblemBody {
    code: Option<String>,
    detail: Option<String>,
    error: Option<String>,
    hint: Option<String>,
    title: Option<String>,
    definite: Option<bool>,
    retryable: Option<bool>,
}

impl Response {
    /// Whether it is what was asked for.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status)
    }

    /// The value of `data`, as it is spelled.
    pub fn data(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.body).ok()?;
        #[derive(serde::Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            data: &'a serde_json::value::RawValue,
        }
        serde_json::from_str::<Data<'_>>(text).ok().map(|found| found.data.get())
    }

    /// The refusal in the body, or one made of the status when the body has none.
    pub fn problem(&self) -> Problem {
        problem_of(self.head.status, &self.body)
    }

    /// The id under which the node's messages speak of it.
    pub fn request_id(&self) -> Option<&str> {
        self.head.header("x-request-id")
    }
}

/// Reads a problem document; what is missing follows from the status.
pub fn problem_of(status: u16, body: &[u8]) -> Problem {
    let found: Option<ProblemBody> = serde_json::from_slice(body).ok();
    let code = found.as_ref().and_then(|found| found.code.clone()).unwrap_or_else(|| format!("http_{status}"));
    let detail = found.as_ref().and_then(|found| found.detail.clone().or(found.error.clone()));
    let found = found.as_ref();
    Problem {
        status,
        code: code.into(),
        title: found.and_then(|found| found.title.clone()).unwrap_or_default().into(),
        detail: detail.unwrap_or_else(|| format!("the node answered {status}")),
        hint: found.and_then(|found| found.hint.clone()).unwrap_or_default().into(),
        definite: found.and_then(|found| found.definite).unwrap_or(status != 504),
        retryable: found.and_then(|found| found.retryable).unwrap_or(matches!(status, 307 | 429 | 503 | 504 | 507)),
        extra: facts_of(body),
    }
}

/// Members of a problem document that say with numbers and names what its text says for people.
const FACTS: [&str; 7] =
    ["coordinator", "last_contact", "my_version", "last_known_version", "missing_members", "diverged_at", "checks"];

fn facts_of(body: &[u8]) -> Vec<(Cow<'static, str>, serde_json::Value)> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Map<_, _>>(body) else { return Vec::new() };
    FACTS.into_iter().filter_map(|name| Some((name.into(), document.remove(name)?))).collect()
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// No connection; nothing was sent.
    Unreachable {
        /// To whom.
        url: Url,
        /// The system's answer.
        source: io::Error,
    },
    /// It was sent, or part of it, and no whole answer came.
    Unknown {
        /// To whom.
        url: Url,
        /// What came instead.
        lost: Lost,
    },
    /// The answer is larger than any should be.
    TooLarge {
        /// Whose.
        url: Url,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, source } => write!(f, "cannot connect to {url}: {source}"),
            Self::Unknown { url, lost } => write!(f, "{url}: {lost}"),
            Self::TooLarge { url } => write!(f, "{url}: the answer is too large"),
        }
    }
}

impl std::error::Error for Error {}

/// How to speak to nodes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Shown to the node.
    pub token: Option<String>,
    /// Whose certificates are believed, of nodes at `https://`.
    pub trust: Option<Trust>,
    /// Whether every request is shown on stderr as a curl line.
    pub verbose: bool,
    /// Nodes that may see the token too, when an answer names them as primary.
    pub known: Vec<Url>,
}

/// A node, with at most one connection to it.
#[derive(Debug)]
pub struct Client {
    /// The node that was asked for: where a chase begins anew when the primary that it named is gone.
    home: Url,
    url: Url,
    options: Options,
    connection: Option<Connection>,
}

impl Client {
    /// A client that connects when it has something to say.
    pub fn new(url: Url, options: Options) -> Self {
        Self { home: url.clone(), url, options, connection: None }
    }

    /// The node it speaks to now.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// One try; follows to the primary that the answer names.
    pub fn send(&mut self, request: &Request, deadline: Instant) -> Result<Response, Error> {
        for _ in 0..REDIRECTS_MAX {
            let response = self.send_here(request, deadline)?;
            if !self.follow(&response.head) {
                return Ok(response);
            }
        }
        self.send_here(request, deadline)
    }

    /// A read, which may be asked as often as it takes: only no connection at all ends it before the deadline.
    pub fn get(&mut self, request: &Request, deadline: Instant) -> Result<Response, Error> {
        assert!(request.is_read(), "only reads can be repeated without a key");
        let mut pause = PAUSE_MIN;
        loop {
            match self.send(request, deadline) {
                Err(Error::Unknown { lost: Lost::Broken(_) | Lost::Answer(_), .. })
                    if Instant::now() + pause < deadline =>
                {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                other => return other,
            }
        }
    }

    /// Sends a read and hands its body out as it comes, until it ends or `each` says so. `patience` is how
    /// long the node may say nothing; an answer that is no success is returned whole.
    pub fn stream<E>(
        &mut self,
        request: &Request,
        deadline: Instant,
        patience: Duration,
        mut each: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<Result<Option<Response>, E>, Error> {
        let unknown = |url: &Url, lost| Error::Unknown { url: url.clone(), lost };
        self.connection = None;
        self.write(request, deadline)?;
        let url = self.url.clone();
        let Some(mut connection) = self.connection.take() else {
            return Err(unknown(&url, Lost::TimedOut));
        };
        let mut body = Vec::new();
        let Piece::Head(head) = connection.read(&mut body, deadline).map_err(|lost| unknown(&url, lost))? else {
            return Err(unknown(&url, Lost::Answer(crate::http::ResponseError::Framing)));
        };
        if !(200..300).contains(&head.status) {
            let body = rest_of(&mut connection, body, &url, deadline)?;
            return Ok(Ok(Some(Response { url, head, body })));
        }
        loop {
            match connection.read(&mut body, Instant::now() + patience).map_err(|lost| unknown(&url, lost))? {
                Piece::End => return Ok(Ok(None)),
                Piece::Body => match each(&body) {
                    Ok(true) => body.clear(),
                    Ok(false) => return Ok(Ok(None)),
                    Err(error) => return Ok(Err(error)),
                },
                Piece::Head(_) => {}
            }
        }
    }

    /// Whether the answer names another node as primary and we may go there; if so, we speak to it from now on.
    pub fn follow(&mut self, head: &ResponseHead) -> bool {
        if head.status != 307 {
            return false;
        }
        head.header("location").is_some_and(|location| self.follow_to(location))
    }

    /// The same for the address that one line of an answer names.
    pub fn follow_to(&mut self, location: &str) -> bool {
        let Some(url) = origin_of(location) else { return false };
        let harmless =
            self.options.token.is_none() || url.host() == self.url.host() || self.options.known.contains(&url);
        let is_opened = self.url.is_secure() && !url.is_secure();
        if !harmless || is_opened || url == self.url {
            return false;
        }
        self.connection = None;
        self.url = url;
        true
    }

    /// Connects if need be and writes the request, without waiting for the answer.
    pub fn write(&mut self, request: &Request, deadline: Instant) -> Result<(), Error> {
        let mut bytes = Vec::new();
        request.write(&self.url, self.options.token.as_deref(), &mut bytes);
        if self.options.verbose {
            let ca = self.options.trust.as_ref().filter(|_| self.url.is_secure()).map(Trust::file);
            let line = request.curl(&self.url, self.options.token.is_some(), ca);
            // Who closed stderr does not want to know.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
        let connection = self.connect(deadline)?;
        connection.write(&bytes, deadline).map_err(|lost| self.lost(lost))
    }

    /// The open connection, made if need be.
    pub fn connect(&mut self, deadline: Instant) -> Result<&mut Connection, Error> {
        if self.connection.is_none() {
            let opened = Connection::open(&self.url, self.options.trust.as_ref(), deadline);
            self.connection = Some(opened.map_err(|source| {
                let url = std::mem::replace(&mut self.url, self.home.clone());
                Error::Unreachable { url, source }
            })?);
        }
        Ok(self.connection.as_mut().expect("it was just made"))
    }

    /// Forgets the connection.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The next answer on the connection. When it is lost, what of the body has come stays in `body`.
    pub fn read(&mut self, body: &mut Vec<u8>, deadline: Instant) -> Result<ResponseHead, Error> {
        let Some(connection) = &mut self.connection else {
            return Err(self.lost(Lost::Broken(io::ErrorKind::NotConnected.into())));
        };
        let head = match connection.read(body, deadline) {
            Ok(Piece::Head(head)) => head,
            Ok(_) => return Err(self.lost(Lost::Answer(crate::http::ResponseError::Framing))),
            Err(lost) => return Err(self.lost(lost)),
        };
        loop {
            match connection.read(body, deadline) {
                Ok(Piece::End) => break,
                Ok(_) if body.len() <= ANSWER_BYTES_MAX => {}
                Ok(_) => {
                    self.connection = None;
                    return Err(Error::TooLarge { url: self.url.clone() });
                }
                Err(lost) => return Err(self.lost(lost)),
            }
        }
        if !head.keep_alive {
            self.connection = None;
        }
        Ok(head)
    }

    fn send_here(&mut self, request: &Request, deadline: Instant) -> Result<Response, Error> {
        self.write(request, deadline)?;
        let mut body = Vec::new();
        let head = self.read(&mut body, deadline)?;
        Ok(Response { url: self.url.clone(), head, body })
    }

    fn lost(&mut self, lost: Lost) -> Error {
        self.connection = None;
        Error::Unknown { url: self.url.clone(), lost }
    }
}

fn rest_of(connection: &mut Connection, mut body: Vec<u8>, url: &Url, deadline: Instant) -> Result<Vec<u8>, Error> {
    loop {
        match connection.read(&mut body, deadline) {
            Ok(Piece::End) => return Ok(body),
            Ok(_) if body.len() <= ANSWER_BYTES_MAX => {}
            Ok(_) => return Err(Error::TooLarge { url: url.clone() }),
            Err(lost) => return Err(Error::Unknown { url: url.clone(), lost }),
        }
    }
}

/// The node in a `Location`, whose path is the one that was asked for.
fn origin_of(location: &str) -> Option<Url> {
    let scheme = [PLAIN, SECURE].into_iter().find(|scheme| location.starts_with(scheme))?;
    let authority = location[scheme.len()..].split(['/', '?', '#']).next()?;
    Url::parse(&format!("{scheme}{authority}")).ok()
}

#[cfg(test)]
mod tests;
