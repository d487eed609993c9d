//! A service outside as a [`Service`] that blocks: for replays, and for `rig service check`.
//!
//! The node itself does not use it: its event loop waits for nobody.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::{Asked, Caller, Committed, Fault, Info};
use crate::error::{Code, Problem};
use crate::service::{Context, Entry, Outcome, Resources, Service, ServiceError, Snapshot, Valid};
use crate::types::{Epoch, Hash, Operation, Version, methods};

/// A snapshot is held in memory here; what is larger has no place in a replay.
const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// See the module.
pub struct Remote {
    kind: &'static str,
    caller: Arc<dyn Caller>,
    version: Version,
    max_batch: usize,
    /// What a control record looks like from outside.
    control: Operation,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("kind", &self.kind).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Remote {
    /// The service that `caller` reaches, wherever it is; asks it for `info`. `kind` is what [`Service::kind`] says.
    ///
    /// # Errors
    /// Those of the call.
    pub fn new(kind: &'static str, caller: Arc<dyn Caller>) -> Result<Self, Fault> {
        let Info { applied, max_batch, .. } = caller.info()?;
        let control = Operation::new(methods::CONFIG, "null");
        Ok(Self { kind, caller, version: applied, max_batch, control })
    }

    fn read_state(&self) -> Result<(Version, Vec<u8>), Fault> {
        let mut bytes = Bounded(Vec::new());
        let version = self.caller.snapshot(&mut bytes)?;
        Ok((version, bytes.0))
    }

    fn judge(&self, operation: &Operation, context: &Context<'_>) -> super::Verdict {
        let asked = [Asked { operation, key: None }];
        match self.caller.validate(self.version, context.now, &asked) {
            Ok(mut verdicts) => verdicts.pop().unwrap_or_else(|| Err(unavailable("it says nothing"))),
            Err(fault) => Err(unavailable(&fault.to_string())),
        }
    }

    /// A part of the entries that one call may have: neighbours, and not too many.
    fn apply_part(&mut self, part: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let entries: Vec<_> = part
            .iter()
            .map(|entry| Committed {
                version: entry.version,
                epoch: Epoch::default(),
                time: entry.time,
                operation: entry.operation.unwrap_or(&self.control),
                hash: Hash::default(),
            })
            .collect();
        let outcomes = self.caller.apply(&entries).map_err(|fault| match fault {
            Fault::Gap(applied) => ServiceError::Gap { expected: applied.saturating_add(1), found: entries[0].version },
            fault => ServiceError::Unavailable(fault.to_string().into()),
        })?;
        if outcomes.is_empty() {
            return Err(ServiceError::Unavailable("it applies nothing, and does not say why".into()));
        }
        self.version = self.version.max(entries[outcomes.len() - 1].version);
        Ok(outcomes)
    }
}

fn unavailable(why: &str) -> Problem {
    Problem::new(Code::ServiceUnavailable, why)
}

impl Service for Remote {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn version(&self) -> Version {
        self.version
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        let context = Context { now: 0, fresh_id: &|| uuid::Uuid::nil() };
        self.judge(operation, &context).map(|(_, resources)| resources)
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        self.judge(operation, context).map(|(data, _)| Valid { data })
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let mut outcomes = Vec::with_capacity(entries.len());
        // The protocol has no gaps within a call: an entry behind one begins another.
        for run in entries.chunk_by(|one, next| one.version + 1 == next.version) {
            let mut rest = run;
            while !rest.is_empty() {
                let part = self.apply_part(&rest[..rest.len().min(self.max_batch)])?;
                rest = &rest[part.len()..];
                outcomes.extend(part);
            }
        }
        Ok(outcomes)
    }

    /// Read whole, at once: from here on it does not change. What went wrong is said when it is written.
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let (version, bytes) = match self.read_state() {
            Ok((version, bytes)) => (version, Ok(bytes)),
            Err(fault) => (self.version, Err(fault)),
        };
        Box::new(Frozen { version, bytes })
    }

    /// Everything that `input` still has is the snapshot: only the service knows where it ends.
    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        self.caller.restore(version, input).map_err(|fault| ServiceError::Unavailable(fault.to_string().into()))?;
        self.version = version;
        Ok(())
    }

    /// Of a service that does not answer: a digest that nothing equals.
    fn digest(&self) -> Hash {
        static FAILED: AtomicU64 = AtomicU64::new(0);
        let bytes = self.read_state().map(|(_, bytes)| bytes).unwrap_or_else(|fault| {
            let number = FAILED.fetch_add(1, Ordering::Relaxed);
            format!("{number}: {fault}").into()
        });
        Hash(Sha256::digest(&bytes).into())
    }
}

struct Frozen {
    version: Version,
    bytes: Result<Vec<u8>, Fault>,
}

impl Snapshot for Frozen {
    fn version(&self) -> Version {
        self.version
    }

    fn write(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes.map_err(io::Error::other)?)
    }
}

/// Memory for a snapshot, with an end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SNAPSHOT_BYTES_MAX {
            let why = format!("the snapshot has more than {SNAPSHOT_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
