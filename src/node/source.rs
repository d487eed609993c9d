//! Where the service of a node comes from: built in, linked in, or another process.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::guard::Guard;
use crate::error::{Code, Problem};
use crate::service::{Context, Documents, Entry, Outcome, Resources, Service, ServiceError, Settings, Snapshot, Valid};
use crate::types::{Operation, Version};

/// Makes an empty service.
pub type Make = Arc<dyn Fn() -> Box<dyn Service> + Send + Sync>;

/// What a node's operations are for.
#[derive(Clone, Default)]
pub enum Source {
    /// The built-in documents.
    #[default]
    Documents,
    /// A service in this process.
    Local(Make),
    /// A service behind this base URL, by `rig-service-protocol(7)`.
    Http(String),
    /// A service that this command runs, by `rig-service-protocol(7)` on its standard input and output.
    Exec(String),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Documents => f.write_str("Documents"),
            Self::Local(_) => f.write_str("Local"),
            Self::Http(url) => f.debug_tuple("Http").field(url).finish(),
            Self::Exec(command) => f.debug_tuple("Exec").field(command).finish(),
        }
    }
}

impl Source {
    /// Whether the state is kept by another process.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Exec(_))
    }

    /// An empty service in this process; for one outside, what stands in its place.
    pub(super) fn make(&self, memory_max_bytes: u64) -> Box<dyn Service> {
        match self {
            Self::Documents => Box::new(Documents::new(Settings { memory_max_bytes })),
            Self::Local(make) => Box::new(Guard(make())),
            Self::Http(_) => Box::new(Outside { kind: "http", version: 0 }),
            Self::Exec(_) => Box::new(Outside { kind: "exec", version: 0 }),
        }
    }
}

/// Stands in the place of a service outside, whose state is not in this process: it counts versions, and its
/// snapshots are empty.
struct Outside {
    kind: &'static str,
    version: Version,
}

impl Service for Outside {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn version(&self) -> Version {
        self.version
    }

    fn resources(&self, _: &Operation) -> Result<Resources, Problem> {
        Err(Problem::new(Code::ServiceUnavailable, "the service is not asked while the node is repaired"))
    }

    fn validate(&self, _: &Operation, _: &Context<'_>) -> Result<Valid, Problem> {
        Err(Problem::new(Code::ServiceUnavailable, "the service is not asked while the node is repaired"))
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        self.version = entries.last().map_or(self.version, |last| last.version);
        Ok(vec![Outcome::empty(); entries.len()])
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(Nothing(self.version))
    }

    fn restore(&mut self, version: Version, _: &mut dyn Read) -> Result<(), ServiceError> {
        self.version = version;
        Ok(())
    }
}

struct Nothing(Version);

impl Snapshot for Nothing {
    fn version(&self) -> Version {
        self.0
    }

    fn write(self: Box<Self>, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
