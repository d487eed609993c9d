//! A service of somebody else in this process, held to what must not go wrong: what is logged for ever, and what a node
//! counts on.
//!
//! It is code that was linked in on purpose, and no enemy; so this looks at what it says, not at what it does. The rules
//! that take more than a look are those of `service::conformance`.
//!
//! # Invariants
//! 1. A panic while it is asked, which changes nothing, is the end of that request. One while it changes its state is
//!    the end of the node, by name; at a start, of that snapshot.

use std::borrow::Cow;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Code, Problem};
use crate::limits::DATA_BYTES_MAX;
use crate::service::{Context, Documents, Entry, Outcome, Reply, Resources, Service, ServiceError, Snapshot, Valid};
use crate::types::{Hash, Operation, Version, json};

/// See the module.
pub(super) struct Guard(pub(super) Box<dyn Service>);

/// What it says, or what it panicked with.
fn caught<T>(call: &'static str, ask: impl FnOnce() -> T) -> Result<T, Box<str>> {
    catch_unwind(AssertUnwindSafe(ask)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        format!("it panicked in {call}: {}", text.unwrap_or("without a word")).into()
    })
}

fn asked<T>(call: &'static str, ask: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    caught(call, ask).unwrap_or_else(|why| Err(bug(&why)))
}

fn bug(why: &str) -> Problem {
    Problem::new(Code::Internal, format!("the service has a bug: {why}"))
}

impl Service for Guard {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn version(&self) -> Version {
        self.0.version()
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        asked("resources", || self.0.resources(operation))
    }

    /// What is logged is JSON in one line, and fits.
    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        let valid = asked("validate", || self.0.validate(operation, context))?;
        let Some(data) = &valid.data else { return Ok(valid) };
        if data.len() > DATA_BYTES_MAX {
            let detail =
                format!("with what the service adds data has {} bytes, the limit is {DATA_BYTES_MAX}", data.len());
            return Err(Problem::new(Code::TooLarge, detail));
        }
        match json::compacted(data.as_bytes()) {
            Ok(line) => Ok(Valid { data: Some(line.into()) }),
            Err(error) => {
                let detail = format!("the service would log data that is not good JSON: {}", error.message);
                Err(Problem::new(Code::Internal, detail))
            }
        }
    }

    /// One outcome for each entry, JSON in one line; and the version of the last.
    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let mut outcomes = caught("apply", || self.0.apply(entries)).map_err(ServiceError::Broken)??;
        let (version, last) = (self.0.version(), entries.last().map_or(0, |last| last.version));
        if outcomes.len() != entries.len() || version < last {
            let what = format!("{} entries up to version {last} gave {} outcomes", entries.len(), outcomes.len());
            return Err(ServiceError::Broken(format!("{what} and version {version}").into()));
        }
        for outcome in &mut outcomes {
            match json::compacted(outcome.result.as_bytes()) {
                Ok(Cow::Borrowed(_)) if (200..600).contains(&outcome.status) => {}
                Ok(Cow::Owned(line)) if (200..600).contains(&outcome.status) => outcome.result = line.into(),
                // Equal on every node, as the result is.
                _ => *outcome = Outcome::failed(&Problem::new(Code::Internal, "the result is no status with JSON")),
            }
        }
        Ok(outcomes)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.0.snapshot()
    }

    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        caught("restore", || self.0.restore(version, input)).map_err(ServiceError::Broken)??;
        match self.0.version() {
            found if found == version => Ok(()),
            found => Err(ServiceError::OtherVersion { expected: version, found }),
        }
    }

    fn read(&self, path: &str, query: &str) -> Option<Result<Reply, Problem>> {
        caught("read", || self.0.read(path, query)).unwrap_or_else(|why| Some(Err(bug(&why))))
    }

    fn documents(&self) -> Option<&Documents> {
        self.0.documents()
    }

    fn digest(&self) -> Hash {
        self.0.digest()
    }
}
