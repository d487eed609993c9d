//! What Rig and a service in another process say to each other: `rig-service-protocol(7)`, as text.
//!
//! ```text
//!   Asked, Committed ──write──► parameters ──►  (a transport)  ──► Server ──► Service
//!   Verdict, Outcome ◄──read─── Answer     ◄──  (a transport)  ◄──
//! ```
//!
//! This end asks (`write`), and believes an answer only when it keeps the rules of the page (`read`); the other end
//! ([`serve`], [`Server`]) puts a [`Service`](crate::service::Service) of this library behind a pipe.
//!
//! # Invariants
//! 1. No bytes panic anything here.
//! 2. Where the log or the state is at stake an answer must be exactly what the page says; where it is not, what can
//!    be understood is understood.
//! 3. Data and results are kept as the service spelled them, without the white space between tokens.
//!
//! # Not here
//! Sockets, processes, time: `node::adapter`.

mod line;
mod problem;
mod read;
mod serve;
#[cfg(test)]
mod tests;
mod write;

pub use serve::{Server, serve};

pub(crate) use line::{answer_line, call_line};
pub(crate) use problem::problem_of;
pub(crate) use read::{applied, info, refusal, restored, saved, verdicts};
pub(crate) use write::{apply, greeting, state_file, validate};

use std::fmt;

use super::Resources;
use crate::error::Problem;
use crate::types::{Epoch, Hash, Micros, Operation, Version};

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub applied: Version,
    /// The hash of the record there, if it keeps it.
    pub applied_hash: Option<Hash>,
    /// What it takes; `None`: it is asked for each.
    pub methods: Option<Vec<String>>,
    /// Operations in one call, 1 to 1024.
    pub max_batch: usize,
    /// Whether validate looks at the state.
    pub stateful_validate: bool,
    /// Whether it can be saved and restored.
    pub snapshots: bool,
    /// Operations to try it with.
    pub examples: Vec<Operation>,
}

/// An operation to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the client wants.
    pub operation: &'a Operation,
    /// The client's key.
    pub key: Option<&'a str>,
}

/// What became of a judgement: the data to log, if it is another than the client's, and what must not change until it
/// is applied; or the service's own refusal.
pub type Verdict = Result<(Option<Box<str>>, Resources), Problem>;

/// A committed record.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// Its place.
    pub version: Version,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its time.
    pub time: Micros,
    /// What it says; of Rig's own records the service is shown the method alone.
    pub operation: &'a Operation,
    /// Its hash.
    pub hash: Hash,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Info,
    Validate,
    Apply,
    Snapshot,
    Restore,
    Health,
}

impl Call {
    /// Its name in the page, in paths and in lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Validate => "validate",
            Self::Apply => "apply",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Health => "health",
        }
    }
}

/// What a transport has brought back: 200 with a result, or another status with a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unfit {
    /// It cannot now.
    Away(String),
    /// It has not applied what comes before; up to here it has.
    Gap(Version),
    /// It refuses the call: a status from 400 to 499.
    Refused(Problem),
    /// It breaks a rule.
    Broken(Broken),
}

/// A rule of the page that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The number of the rule, or the name of the call or of the transport.
    pub(crate) rule: &'static str,
    /// What was seen.
    pub(crate) detail: String,
}

impl Broken {
    pub(crate) fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

impl From<Broken> for Unfit {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it breaks rule {} of the protocol: {}", self.rule, self.detail)
    }
}

/// The beginning of what a service has sent, fit for a message: 200 bytes at most, nothing that moves a cursor.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    const QUOTED_BYTES_MAX: usize = 200;
    let cut = bytes.len() > QUOTED_BYTES_MAX;
    let text = harmless(&bytes[..bytes.len().min(QUOTED_BYTES_MAX)]);
    format!("`{}`{}", text.trim_end(), if cut { " and more" } else { "" })
}

/// Text of a service for people: what is not UTF-8, and what a terminal would obey, becomes U+FFFD.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
