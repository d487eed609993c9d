//! Services in other processes: the calls of `rig-service-protocol(7)`, over HTTP and over a pipe.
//!
//! ```text
//!   engine ─► courier ─► Caller = Speaker ─► Wire ─┬─ http   POST {base}/rig/v1/{call}
//!                           │                   └─ exec   a child, one line for each call and answer
//!                           └─ service::protocol   what is asked, and what is believed of an answer
//! ```
//!
//! A call blocks until it is answered or its time is over; who makes it has a thread for that.
//!
//! # Invariants
//! 1. What comes from a service is never trusted: it is bounded before it is kept, checked before it is believed, and
//!    panics nothing.
//! 2. A fault is never a verdict: only a refusal in `validate` is.
//! 3. On a connection that is new, or with a child that is, `info` comes first, and a service that has applied less
//!    than it had before is not asked for anything until the caller has asked for `info` itself.
//! 4. An answer is never taken for that to another call: what came too late ends the connection, or has an id that
//!    nobody waits for.

mod courier;
mod exec;
mod feeder;
mod greeting;
mod http;
mod patience;
mod remote;
mod speaker;
mod spool;
#[cfg(test)]
mod tests;

pub use crate::service::protocol::{Asked, Committed, Info, Verdict};
pub use remote::Remote;

pub(in crate::node) use courier::{Courier, Done};
pub(in crate::node) use feeder::check;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Source;
use crate::error::Problem;
use crate::service::Outcome;
use crate::service::protocol::{Broken, Unfit};
use crate::types::{ClusterId, Micros, Version};
use exec::Exec;
use greeting::Greeting;
use http::Http;
use patience::Times;
use speaker::Speaker;
use spool::Spool;

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

    /// Another number whenever who answers was found to have less than before.
    fn generation(&self) -> u64;

    /// Ends it, and every call that waits: for good.
    fn stop(&self);
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

impl From<Broken> for Fault {
    fn from(Broken { rule, detail }: Broken) -> Self {
        Self::Violation { rule, detail }
    }
}

impl From<Unfit> for Fault {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Away(why) => Self::Away(why),
            Unfit::Gap(applied) => Self::Gap(applied),
            Unfit::Refused(problem) => Self::Refused(problem),
            Unfit::Broken(broken) => broken.into(),
        }
    }
}

/// What a service is told of the node that asks it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The name of the node.
    pub node: String,
    /// Its cluster, which may become known later.
    pub cluster: Arc<OnceLock<ClusterId>>,
    /// A directory for files of the service, and for snapshots on their way; made if it is not there.
    pub service_dir: PathBuf,
}

/// Reaches the service of `source`: a command is started, and a service over HTTP is looked for when it is asked.
///
/// # Errors
/// The source is not outside or its URL is none, the directory cannot be made, `/bin/sh` cannot be started.
pub fn connect(source: &Source, facts: Facts) -> io::Result<Arc<dyn Caller>> {
    let times = Times::default();
    let spool = Spool::new(&facts.service_dir)?;
    let greeting = Arc::new(Greeting::new(facts));
    match source {
        Source::Http(url) => {
            let http = Http::new(url, times, Arc::clone(&greeting))?;
            Ok(Arc::new(Speaker::new(http, greeting, spool)))
        }
        Source::Exec(command) => {
            let exec = Exec::start(command, times, Arc::clone(&greeting), spool.dir())?;
            Ok(Arc::new(Speaker::new(exec, greeting, spool)))
        }
        Source::Documents | Source::Local(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the service is in this process"))
        }
    }
}
