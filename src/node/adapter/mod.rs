//! Services in other processes: the calls of `rig-service-protocol(7)`, over HTTP and over a pipe.
//!
//! ```text
//!   engine ─► (its threads) ─► Caller ─┬─ http   POST {base}/rig/v1/{call}
//!                                      └─ exec   a child, one line for each call and answer
//! ```
//!
//! A call blocks until it is answered or its time is over; who makes it has a thread for that.
//!
//! # Invariants
//! 1. What comes from a service is never trusted: it is bounded before it is kept, checked before it is believed, and
//!    panics nothing.
//! 2. A fault is never a verdict: only a refusal in `validate` is.

mod courier;
mod feeder;
#[cfg(test)]
mod tests;

pub(in crate::node) use courier::{Courier, Done};
pub(in crate::node) use feeder::check;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Source;
use crate::error::Problem;
use crate::service::{Outcome, Resources};
use crate::types::{ClusterId, Epoch, Hash, Micros, Operation, Version};

/// What a service is told of its node.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The node's name.
    pub node: String,
    /// Its cluster, when it has one.
    pub cluster: Arc<OnceLock<ClusterId>>,
    /// Where the service may keep files.
    pub dir: PathBuf,
}

/// The way to a service in another process.
///
/// # Errors
/// The source is none, or what is needed for it cannot be had.
pub fn connect(source: &Source, facts: Facts) -> io::Result<Arc<dyn Caller>> {
    drop(facts);
    Err(io::Error::other(format!("{source:?} is no service in another process")))
}

/// A service in another process. Calls may come from several threads at once.
pub trait Caller: Send + Sync {
    /// Who it is and how far it has come.
    ///
    /// # Errors
    /// Those of every call: see [`Fault`].
    fn info(&self) -> Result<Info, Fault>;

    /// Judges operations against what is applied; one verdict for each.
    ///
    /// # Errors
    /// See [`Fault`].
    fn validate(&self, base: Version, now: Micros, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Fault>;

    /// Applies what is committed: all of it, or a part from its beginning. One outcome for each that was applied.
    ///
    /// # Errors
    /// See [`Fault`].
    fn apply(&self, entries: &[Committed<'_>]) -> Result<Vec<Outcome>, Fault>;

    /// Writes the whole state, and says its version.
    ///
    /// # Errors
    /// See [`Fault`].
    fn snapshot(&self, out: &mut dyn Write) -> Result<Version, Fault>;

    /// Replaces the whole state. Version 0 and no bytes: by an empty one.
    ///
    /// # Errors
    /// See [`Fault`].
    fn restore(&self, version: Version, input: &mut dyn Read) -> Result<(), Fault>;

    /// Whether it is well.
    ///
    /// # Errors
    /// See [`Fault`].
    fn health(&self) -> Result<(), Fault>;

    /// Another number whenever who answers may be another process than before, with another state.
    fn generation(&self) -> u64;

    /// Ends it, and every call that waits: for good.
    fn stop(&self);
}

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

/// Why a call has no good answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// It cannot be reached, says that it cannot now, or says nothing in time.
    Away(String),
    /// It has not applied what comes before; up to here it has.
    Gap(Version),
    /// It refuses the call: a status from 400 to 499.
    Refused(Problem),
    /// What it says breaks a rule of the protocol.
    Violation {
        /// The number of the rule, or the name of the call.
        rule: &'static str,
        /// What was seen.
        detail: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Gap(applied) => write!(f, "it has applied no more than version {applied}"),
            Self::Refused(problem) => write!(f, "it refuses with {}: {}", problem.status, problem.detail),
            Self::Violation { rule, detail } => write!(f, "it breaks rule {rule} of the protocol: {detail}"),
        }
    }
}

impl std::error::Error for Fault {}
