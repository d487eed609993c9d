//! Many instances in one process: each in its turn, with the others as snapshots beside it.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Instance;
use super::own::Unwritten;
use crate::error::{Code, Problem};
use crate::node::adapter::Remote;
use crate::service::{Context, Entry, Outcome, Resources, Service, ServiceError, Snapshot, Valid};
use crate::types::{Hash, Operation, Version};

/// The process, and whose turn it is.
#[derive(Clone)]
pub(in super::super) struct Turns(Arc<Mutex<Stage>>);

struct Stage {
    process: Instance,
    /// The instance whose state the process has.
    on: u64,
    count: u64,
    /// The states of the others.
    off: HashMap<u64, (Version, Vec<u8>)>,
}

impl Turns {
    pub(super) fn new(process: Instance) -> Self {
        Self(Arc::new(Mutex::new(Stage { process, on: 0, count: 0, off: HashMap::new() })))
    }

    /// An empty instance.
    pub(in super::super) fn make(&self) -> Box<dyn Service> {
        let mut stage = self.stage();
        stage.count += 1;
        Box::new(Turn { turns: self.clone(), me: stage.count, version: 0 })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the instances.
struct Turn {
    turns: Turns,
    me: u64,
    version: Version,
}

impl Turn {
    /// Puts its state into the process, and gives the way to it.
    fn take(&self) -> Result<Remote, String> {
        let mut stage = self.turns.stage();
        let on = stage.on;
        if on != self.me {
            let mut bytes = Vec::new();
            // The first one to come on finds what nobody needs.
            if on != 0 {
                let version = stage.process.caller.snapshot(&mut bytes).map_err(|fault| fault.to_string())?;
                stage.off.insert(on, (version, bytes));
            }
            let (version, bytes) = stage.off.remove(&self.me).unwrap_or_default();
            stage.on = 0;
            stage.process.caller.restore(version, &mut bytes.as_slice()).map_err(|fault| fault.to_string())?;
            stage.on = self.me;
        }
        Remote::new("http", Arc::clone(&stage.process.caller)).map_err(|fault| fault.to_string())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut stage = self.turns.stage();
        stage.off.remove(&self.me);
        if stage.on == self.me {
            stage.on = 0;
        }
    }
}

fn away(why: String) -> ServiceError {
    ServiceError::Unavailable(why.into())
}

impl Service for Turn {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn version(&self) -> Version {
        self.version
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        self.take().map_err(|why| Problem::new(Code::ServiceUnavailable, why))?.resources(operation)
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        self.take().map_err(|why| Problem::new(Code::ServiceUnavailable, why))?.validate(operation, context)
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let mut remote = self.take().map_err(away)?;
        let outcomes = remote.apply(entries);
        self.version = remote.version();
        outcomes
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        match self.take() {
            Ok(remote) => remote.snapshot(),
            Err(why) => Box::new(Unwritten(why)),
        }
    }

    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        let mut remote = self.take().map_err(away)?;
        let outcome = remote.restore(version, input);
        self.version = remote.version();
        outcome
    }

    fn digest(&self) -> Hash {
        self.take().map(|remote| remote.digest()).unwrap_or_default()
    }
}
