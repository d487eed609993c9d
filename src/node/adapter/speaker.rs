//! The calls of the protocol over any transport.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::spool::{Spool, Spooled};
use super::{Asked, Caller, Committed, Fault, Greeting, Info, Verdict};
use crate::limits::SERVICE_CALL_BYTES_MAX;
use crate::service::Outcome;
use crate::service::protocol::{self, Answer, Call};
use crate::types::{Micros, Operation, Version};

/// A transport: it brings a call there and its answer back, and greets the service wherever that is new.
pub(super) trait Wire: Send + Sync {
    /// One call and its answer, whatever that says.
    fn call(&self, call: Call, params: &str) -> Result<Answer, Fault>;

    /// The whole state into `out`, and its version. `file` is where it may lie meanwhile.
    fn snapshot(&self, file: &Spooled, out: &mut dyn Write) -> Result<Version, Fault>;

    /// The whole state from `file`.
    fn restore(&self, version: Version, file: &Spooled) -> Result<Answer, Fault>;

    /// Ends every call that waits, and what answers them.
    fn stop(&self);
}

/// Speaks over a wire.
pub(super) struct Speaker<W> {
    wire: W,
    greeting: Arc<Greeting>,
    spool: Spool,
    /// One apply at a time.
    applying: Mutex<()>,
}

impl<W: Wire> Speaker<W> {
    pub(super) fn new(wire: W, greeting: Arc<Greeting>, spool: Spool) -> Self {
        Self { wire, greeting, spool, applying: Mutex::new(()) }
    }

    #[cfg(test)]
    pub(super) fn wire(&self) -> &W {
        &self.wire
    }
}

impl<W: Wire> Caller for Speaker<W> {
    fn info(&self) -> Result<Info, Fault> {
        let info = protocol::info(&self.wire.call(Call::Info, &self.greeting.params())?)?;
        self.greeting.hear(info.applied);
        Ok(info)
    }

    fn validate(&self, base: Version, now: Micros, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Fault> {
        let mut verdicts = Vec::with_capacity(asked.len());
        while verdicts.len() < asked.len() {
            let rest = &asked[verdicts.len()..];
            let part = &rest[..fitting(rest.iter().map(|asked| asked.operation))];
            let answer = self.wire.call(Call::Validate, &protocol::validate(base, now, part))?;
            verdicts.append(&mut protocol::verdicts(&answer, part)?);
        }
        Ok(verdicts)
    }

    fn apply(&self, entries: &[Committed<'_>]) -> Result<Vec<Outcome>, Fault> {
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let part = &entries[..fitting(entries.iter().map(|entry| entry.operation))];
        let Some(first) = part.first() else { return Ok(Vec::new()) };
        let answer = self.wire.call(Call::Apply, &protocol::apply(part))?;
        let outcomes = protocol::applied(&answer, part).map_err(Fault::from);
        match &outcomes {
            Ok(outcomes) => self.greeting.learn_at_least((first.version + outcomes.len() as Version).saturating_sub(1)),
            Err(Fault::Gap(applied)) => self.greeting.learn(*applied),
            Err(_) => {}
        }
        outcomes
    }

    fn snapshot(&self, out: &mut dyn Write) -> Result<Version, Fault> {
        self.wire.snapshot(&self.spool.file(), out)
    }

    fn restore(&self, version: Version, input: &mut dyn Read) -> Result<(), Fault> {
        let file = self.spool.take_in(input).map_err(|error| Fault::Away(format!("keep the snapshot: {error}")))?;
        protocol::restored(&self.wire.restore(version, &file)?, version)?;
        self.greeting.learn(version);
        Ok(())
    }

    fn health(&self) -> Result<(), Fault> {
        let answer = self.wire.call(Call::Health, "{}")?;
        match answer.status {
            200..=299 => Ok(()),
            // It has no such call.
            404 | 405 | 501 => self.greeting.greet(|params| self.wire.call(Call::Info, params)),
            _ => Err(protocol::refusal(Call::Health, &answer).into()),
        }
    }

    fn generation(&self) -> u64 {
        self.greeting.losses()
    }

    fn stop(&self) {
        self.wire.stop();
    }
}

/// How many of them make one call: as much data as one may have, and one in any case.
fn fitting<'a>(operations: impl ExactSizeIterator<Item = &'a Operation>) -> usize {
    let (mut bytes, all) = (0, operations.len());
    let fit = operations.take_while(|operation| {
        bytes += operation.data.len();
        bytes <= SERVICE_CALL_BYTES_MAX
    });
    fit.count().max(1).min(all)
}
