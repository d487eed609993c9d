//! One operation, until its outcome is known or the time is up.
//!
//! ```text
//!             ┌── 2xx, 4xx ──────────────────────────────► final
//!   try ──────┼── 503, 307, no connection ── first try ──► final: surely not in the log
//!    ▲        │                           └─ later try ──┐  an earlier one may be in the log
//!    │        └── 504, lost ─────────────────────────────┤
//!    └──────── pause, the same key ◄─── time is left ────┴── time is up ──► unknown
//! ```

use std::time::Instant;

use super::connection::left_until;
use super::{Client, Error, GRACE, PAUSE_MAX, PAUSE_MIN, Request, Response};
use crate::limits::REQUEST_TIMEOUT_MAX;
use crate::types::Version;
use crate::types::json;

/// One operation to be logged.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The method, checked.
    pub method: &'a str,
    /// The data, one checked line.
    pub data: &'a str,
    /// The key that makes repeating safe.
    pub key: &'a str,
    /// The version that it must get.
    pub version: Option<Version>,
    /// Whether the node is told how much time there is; else its own time-out counts, and we ask again.
    pub tell_timeout: bool,
}

/// Why an operation is not, or not known to be, in the log.
#[derive(Debug)]
pub enum NotApplied {
    /// A final no.
    Refused(Box<Response>),
    /// Nothing was ever sent.
    Unreachable(Error),
    /// It may be in the log: the text says what came last.
    Unknown(String),
}

/// Sends it, and again with the same key as long as its outcome is unknown and time is left.
pub fn submit(client: &mut Client, what: &Submission<'_>, deadline: Instant) -> Result<Response, NotApplied> {
    let target = if what.version.is_some() { "/do?ignore-version=false" } else { "/do" };
    let request = Request::post(target, body(what)).header("Idempotency-Key", what.key);
    let (mut pause, mut sent) = (PAUSE_MIN, false);
    loop {
        let mut timed = request.clone();
        if what.tell_timeout {
            let left = left_until(deadline).unwrap_or_default().min(REQUEST_TIMEOUT_MAX);
            timed = timed.header("Rig-Timeout-Ms", left.as_millis().max(1).to_string());
        }
        let last = match client.send(&timed, deadline + GRACE) {
            Ok(response) if response.is_success() => return Ok(response),
            Ok(response) if is_final(response.head.status, sent) => {
                return Err(NotApplied::Refused(Box::new(response)));
            }
            Ok(response) => {
                let late = response.head.status == 504;
                sent |= late;
                let detail = response.problem().detail;
                if late { detail } else { format!("an earlier try may be in the log, and then: {detail}") }
            }
            Err(error @ Error::Unreachable { .. }) if !sent => return Err(NotApplied::Unreachable(error)),
            Err(error) => {
                sent |= !matches!(error, Error::Unreachable { .. });
                error.to_string()
            }
        };
        if Instant::now() + pause >= deadline {
            return Err(NotApplied::Unknown(last));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Whether this status is the last word, when an earlier try of the same operation was (not) sent.
///
/// What the node says of itself (503, not primary, no token) says nothing about an earlier try.
pub fn is_final(status: u16, sent_before: bool) -> bool {
    match status {
        504 => false,
        400 | 404 | 405 | 409 | 410 | 412 | 413 | 415 | 422 | 431 => true,
        _ => !sent_before,
    }
}

fn body(what: &Submission<'_>) -> String {
    let mut body = String::with_capacity(what.data.len() + what.method.len() + 48);
    body.push_str("{\"method\":");
    json::quote(what.method, &mut body);
    body.push_str(",\"data\":");
    body.push_str(what.data);
    if let Some(version) = what.version {
        body.push_str(&format!(",\"version\":{version}"));
    }
    body.push('}');
    body
}
