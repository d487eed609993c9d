//! An instance as a service of the library, or why there is none.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::Instance;
use crate::error::{Code, Problem};
use crate::node::adapter::Remote;
use crate::service::{Context, Entry, Outcome, Resources, Service, ServiceError, Snapshot, Valid};
use crate::types::{Hash, Operation, Version};

/// See the module.
pub(in super::super) struct Own(Result<(Remote, Instance), String>);

impl Own {
    pub(in super::super) fn new(instance: Result<Instance, String>) -> Self {
        Self(instance.and_then(|instance| {
            let remote = Remote::new("check", Arc::clone(&instance.caller)).map_err(|fault| fault.to_string())?;
            Ok((remote, instance))
        }))
    }

    fn remote(&self) -> Result<&Remote, Problem> {
        self.0.as_ref().map(|(remote, _)| remote).map_err(|why| Problem::new(Code::ServiceUnavailable, why.clone()))
    }

    fn remote_mut(&mut self) -> Result<&mut Remote, ServiceError> {
        self.0.as_mut().map(|(remote, _)| remote).map_err(|why| ServiceError::Unavailable(why.as_str().into()))
    }
}

impl Service for Own {
    fn kind(&self) -> &'static str {
        "check"
    }

    fn version(&self) -> Version {
        self.remote().map_or(0, Remote::version)
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        self.remote()?.resources(operation)
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        self.remote()?.validate(operation, context)
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        self.remote_mut()?.apply(entries)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        match self.remote() {
            Ok(remote) => remote.snapshot(),
            Err(problem) => Box::new(Unwritten(problem.detail)),
        }
    }

    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        self.remote_mut()?.restore(version, input)
    }

    fn digest(&self) -> Hash {
        self.remote().map(Service::digest).unwrap_or_default()
    }
}

/// The snapshot of what is not there.
pub(super) struct Unwritten(pub(super) String);

impl Snapshot for Unwritten {
    fn version(&self) -> Version {
        0
    }

    fn write(self: Box<Self>, _: &mut dyn Write) -> io::Result<()> {
        Err(io::Error::other(self.0))
    }
}
