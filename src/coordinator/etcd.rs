//! Asking etcd: one endpoint after the other until one gives an answer, which is then asked first.
//!
//! Each endpoint has one connection's time for a request, a token and its renewal included. A connection that lay idle may
//! have been closed meanwhile, so it is opened once anew. What is asked may reach etcd more than once.

use std::fmt;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::error::{Cause, Error, Refusal};
use super::wire::{Authenticated, Refused, StreamError};
use super::{Address, Options};
use crate::client::{Connection, Lost, Piece, Url};
use crate::http::{ResponseError, write_request};
use crate::net::Trust;

/// A record and the leases of a cluster are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A JWT has a few hundred bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// One request.
pub(super) struct Ask {
    path: &'static str,
    body: Vec<u8>,
    /// Whether it changes anything when it is carried out.
    changes: bool,
}

impl Ask {
    pub(super) fn read(path: &'static str, body: serde_json::Value) -> Self {
        Self { path, body: body.to_string().into_bytes(), changes: false }
    }

    pub(super) fn change(path: &'static str, body: serde_json::Value) -> Self {
        Self { changes: true, ..Self::read(path, body) }
    }
}

/// What came of one endpoint, and whether the request may have been carried out there.
struct Failed {
    cause: Cause,
    may_be_done: bool,
}

impl From<Cause> for Failed {
    fn from(cause: Cause) -> Self {
        Self { may_be_done: cause.may_be_done(), cause }
    }
}

/// All endpoints, with at most one connection.
pub(super) struct Etcd {
    endpoints: Vec<Url>,
    /// Who answered last.
    first: usize,
    connection: Option<(usize, Connection)>,
    user: Option<(String, String)>,
    token: Option<String>,
    trust: Option<Trust>,
    timeout: Duration,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("endpoints", &self.endpoints).field("first", &self.first).finish_non_exhaustive()
    }
}

impl Etcd {
    pub(super) fn new(address: Address, options: Options) -> Self {
        let user = address.user().map(|user| (user.to_owned(), options.password.unwrap_or_default()));
        Self {
            user,
            endpoints: address.endpoints,
            first: 0,
            connection: None,
            token: None,
            trust: options.trust,
            timeout: options.timeout,
        }
    }

    /// An answer of the endpoint that answered last that makes no sense.
    pub(super) fn malformed(&self, what: &str) -> Error {
        Error::malformed(self.endpoints[self.first].clone(), what)
    }

    /// The answer of the first endpoint that gives one.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, Error> {
        let (count, first) = (self.endpoints.len(), self.first);
        let (mut tried, mut is_unknown) = (Vec::new(), false);
        for at in (0..count).map(|turn| (first + turn) % count) {
            match self.ask_at(at, ask) {
                Ok(answer) => {
                    self.first = at;
                    return Ok(answer);
                }
                Err(failed) => {
                    is_unknown |= failed.may_be_done && ask.changes;
                    let is_final = failed.cause.is_final();
                    tried.push((self.endpoints[at].clone(), failed.cause));
                    if is_final {
                        self.first = at;
                        break;
                    }
                }
            }
        }
        Err(Error::of(tried, is_unknown))
    }

    /// One endpoint, in its time. A token that is no longer good is renewed once.
    fn ask_at<T: DeserializeOwned>(&mut self, at: usize, ask: &Ask) -> Result<T, Failed> {
        let deadline = Instant::now() + self.timeout;
        let had_token = self.token.is_some();
        self.authenticate(at, deadline)?;
        match self.send(at, ask.path, &ask.body, deadline) {
            Err(Failed { cause: Cause::Refused(refusal), may_be_done }) if had_token && refusal.is_about_token() => {
                self.token = None;
                let again = self.authenticate(at, deadline).and_then(|()| self.send(at, ask.path, &ask.body, deadline));
                again.map_err(|failed| Failed { may_be_done: failed.may_be_done || may_be_done, ..failed })
            }
            other => other,
        }
    }

    /// Sees to a token, where there is a user and no token yet. Nothing of the request has been sent before.
    fn authenticate(&mut self, at: usize, deadline: Instant) -> Result<(), Failed> {
        let Some((user, password)) = self.user.as_ref().filter(|_| self.token.is_none()) else { return Ok(()) };
        let body = serde_json::json!({ "name": user, "password": password }).to_string();
        let answer = self.send::<Authenticated>(at, "/v3/auth/authenticate", body.as_bytes(), deadline);
        let Authenticated { token, .. } = answer.map_err(|failed| Failed { may_be_done: false, ..failed })?;
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let cause = Cause::Malformed("a token that is none".to_owned());
            return Err(Failed { cause, may_be_done: false });
        }
        self.token = Some(token);
        Ok(())
    }

    fn send<T: DeserializeOwned>(
        &mut self,
        at: usize,
        path: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<T, Failed> {
        let mut bytes = Vec::with_capacity(body.len() + 512);
        let host = self.endpoints[at].authority();
        let mut headers = vec![
            ("Host", host.as_str()),
            ("User-Agent", concat!("rig/", env!("CARGO_PKG_VERSION"))),
            ("Content-Type", "application/json"),
        ];
        headers.extend(self.token.as_deref().map(|token| ("Authorization", token)));
        write_request(&mut bytes, "POST", path, &headers, Some(body));
        let was_idle = matches!(self.connection, Some((open, _)) if open == at);
        let (status, answer) = match self.exchange(at, &bytes, deadline) {
            Err(Cause::Lost(Lost::Broken(_) | Lost::Answer(ResponseError::Closed))) if was_idle => {
                let again = self.exchange(at, &bytes, deadline);
                again.map_err(|cause| Failed { cause, may_be_done: true })?
            }
            other => other?,
        };
        understand(path, status, &answer).map_err(Failed::from)
    }

    /// Writes a request and reads its answer whole. The connection is kept only where another answer can follow.
    fn exchange(&mut self, at: usize, bytes: &[u8], deadline: Instant) -> Result<(u16, Vec<u8>), Cause> {
        let mut connection = match self.connection.take() {
            Some((open, connection)) if open == at => connection,
            _ => Connection::open(&self.endpoints[at], self.trust.as_ref(), deadline).map_err(Cause::Connect)?,
        };
        connection.write(bytes, deadline).map_err(Cause::Lost)?;
        let mut body = Vec::new();
        let Piece::Head(head) = connection.read(&mut body, deadline).map_err(Cause::Lost)? else {
            return Err(Cause::Lost(Lost::Answer(ResponseError::Framing)));
        };
        loop {
            match connection.read(&mut body, deadline).map_err(Cause::Lost)? {
                Piece::End => break,
                _ if body.len() <= ANSWER_BYTES_MAX => {}
                _ => return Err(Cause::Malformed(format!("it has more than {ANSWER_BYTES_MAX} bytes"))),
            }
        }
        // What stands behind an answer is the answer to nothing.
        if head.keep_alive && !connection.has_more() {
            self.connection = Some((at, connection));
        }
        Ok((head.status, body))
    }
}

/// The answer, or what it says instead: inside of a stream a refusal has the status of a success.
fn understand<T: DeserializeOwned>(path: &str, status: u16, body: &[u8]) -> Result<T, Cause> {
    let is_success = (200..300).contains(&status);
    let why = match serde_json::from_slice(body) {
        Ok(answer) if is_success => return Ok(answer),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    match serde_json::from_slice(body) {
        Ok(Refused::Plain { code, message } | Refused::Stream { error: StreamError { code, message } }) => {
            Err(Cause::Refused(Refusal { code, message }))
        }
        Err(_) => Err(Cause::Malformed(match why.filter(|_| is_success) {
            Some(error) => format!("{path}: {error}"),
            None => format!("{path}: status {status}"),
        })),
    }
}
