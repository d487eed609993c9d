//! What a node puts a log and replication under: anything that accepts operations.
//!
//! ```text
//!              resources ──► validate ──►  log, replicas  ──► apply          snapshot, restore
//!   primary       yes           yes                            yes            in the background
//!   replica       no            no                             yes            in the background
//! ```
//!
//! The primary asks which keys an operation touches, holds them, lets the service judge the operation against
//! the applied state, and logs what the service has filled in. From there on nobody asks again: every node
//! applies the same entries in the same order and must end in the same state. A replica never judges.
//!
//! # Invariants
//! 1. The applied version changes together with the state: whatever [`Service::version`] says is in the state,
//!    whole, and nothing beyond it.
//! 2. [`Service::apply`] depends on the state and the entry alone: no clock, no randomness, no iteration in
//!    hash order. Identifiers and times come from the record.
//! 3. A committed operation cannot be refused. What apply finds wrong is an [`Outcome`] with a problem in it,
//!    equal on every node, and it counts as applied.
//! 4. Whatever validate reads and apply depends on is covered by the [`Resources`] of the operation. So two
//!    operations in flight together are judged against the same state as if the one had waited for the other.
//! 5. What [`Service::resources`] answers can be changed only by an operation that runs alone.
//!
//! [`conformance`] holds these against any implementation. [`protocol`] is the same contract as text, for services in
//! other processes.
//!
//! # Not here
//! Who waits for which key, batches, when a snapshot is due and where its file lies: the node.

pub mod conformance;
mod digest;
mod documents;
mod helpers;
pub mod protocol;

pub use documents::{Documents, Settings};
#[doc(hidden)]
pub use documents::{Found, Listing, Page};
pub use helpers::{Sealed, apply_each};

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Write};

use uuid::Uuid;

use crate::error::Problem;
use crate::types::{Hash, Micros, Operation, Version};
pub(crate) use digest::Digest;

/// A deterministic state machine under a log.
pub trait Service: Send {
    /// Which kind it is, one word, as `rig status` says it. A log is served for one kind only: it never changes.
    fn kind(&self) -> &'static str;

    /// The applied version: the state is that after the record with this version, control records included.
    fn version(&self) -> Version;

    /// What must not change between validate and apply.
    ///
    /// The answer depends on the operation and on what only operations that run alone can change (for documents:
    /// the schemas). So the caller asks again when an operation that ran alone was applied while this one waited
    /// for its keys; nothing else can make an answer stale.
    ///
    /// # Errors
    /// The service's own refusal of an operation that it cannot even read.
    fn resources(&self, operation: &Operation) -> Result<Resources, Problem>;

    /// Judges an operation against the applied state, while its resources are held. No side effects.
    ///
    /// # Errors
    /// The service's own refusal, which reaches the client unchanged.
    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem>;

    /// Applies entries in version order, with one outcome for each.
    ///
    /// Entries at or below [`Self::version`] are skipped and answered with [`Outcome::duplicate`]. A control
    /// record moves the version and nothing else ([`Entry::operation`] is `None`; [`Outcome::empty`]).
    ///
    /// # Errors
    /// [`ServiceError::Gap`] when an entry does not continue the version before it; entries before the gap
    /// may have been applied ([`Self::version`] tells). Any other error means "again, later", never "no".
    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError>;

    /// A frozen view of the state at [`Self::version`]. Cheap: called between two batches.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// Replaces the whole state by a snapshot's bytes, which say the same version.
    ///
    /// Reads exactly what [`Snapshot::write`] wrote and not a byte more, so that something else may follow.
    ///
    /// # Errors
    /// [`ServiceError::Damaged`] and [`ServiceError::Io`]; the state is then as it was.
    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError>;

    /// Answers a GET or HEAD of a path that is not Rig's own; `None`: there is no such path.
    ///
    /// Path and query are as the client sent them, still percent-encoded (`rig::percent_decode`). The answer is that of
    /// the state at [`Self::version`], which the client is told with it. Called between two batches, so that it holds
    /// up everything else: for look-ups, not for walks over everything.
    ///
    /// # Errors
    /// The service's own refusal, `404` among them, which reaches the client unchanged.
    fn read(&self, path: &str, query: &str) -> Option<Result<Reply, Problem>> {
        let _ = (path, query);
        None
    }

    /// The documents, when this service holds them itself and Rig may answer reads.
    #[doc(hidden)]
    fn documents(&self) -> Option<&Documents> {
        None
    }

    /// A digest of the whole state: equal exactly when the snapshots are equal, byte by byte.
    fn digest(&self) -> Hash {
        digest_of(self.snapshot()).expect("hashing does not fail")
    }
}

/// The digest of a frozen state, which [`Service::digest`] says of the state of the moment.
pub(crate) fn digest_of(snapshot: Box<dyn Snapshot>) -> io::Result<Hash> {
    let mut sink = Digest::new();
    snapshot.write(&mut sink)?;
    Ok(sink.finish())
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, 200 to 599.
    pub status: u16,
    /// What the body is.
    pub content_type: Cow<'static, str>,
    /// The body; not sent with 204 and 304.
    pub body: Vec<u8>,
}

impl Reply {
    /// JSON, with status 200.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type: Cow::Borrowed("application/json"), body: body.into() }
    }
}

/// A frozen view of a service's state, to be written (and dropped) on a background thread.
pub trait Snapshot: Send {
    /// The version at which it is frozen.
    fn version(&self) -> Version;

    /// Writes it: equal states give equal bytes.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(self: Box<Self>, out: &mut dyn Write) -> io::Result<()>;
}

/// What an operation touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resources {
    /// Everything: it runs when nothing else is in flight.
    Alone,
    /// These keys, in any order. An empty list may run beside anything but [`Resources::Alone`].
    Keys(Vec<Resource>),
}

/// A key that an operation holds from validate to apply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The name; opaque to the holder's queue.
    pub key: Box<str>,
    /// Shared holders may be in flight together; an exclusive one is the only one.
    pub shared: bool,
}

impl Resource {
    /// A key that nobody else may hold meanwhile.
    pub fn exclusive(key: impl Into<Box<str>>) -> Self {
        Self { key: key.into(), shared: false }
    }

    /// A key that must not change but may be looked at by many.
    pub fn shared(key: impl Into<Box<str>>) -> Self {
        Self { key: key.into(), shared: true }
    }
}

/// What the primary lends to validate, so that the service itself stays deterministic.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The primary's clock.
    pub now: Micros,
    /// Makes a new identifier (UUIDv7); called only where one is missing.
    pub fresh_id: &'a dyn Fn() -> Uuid,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// An operation that may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Valid {
    /// The data to log in place of the client's, with what was missing filled in; `None`: as it came.
    pub data: Option<Box<str>>,
}

/// A committed record on its way into the service.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its place.
    pub version: Version,
    /// The record's time.
    pub time: Micros,
    /// What to do; `None` for a control record, which the service never sees.
    pub operation: Option<&'a Operation>,
}

/// What a service answers to an entry that it has applied before.
const DUPLICATE: &str = r#"{"duplicate":true}"#;

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 200, or the status of the problem that apply found.
    pub status: u16,
    /// The service's answer as JSON; with any other status than 200 `{"error":{"status","code","detail",…}}`.
    pub result: Box<str>,
}

impl Outcome {
    /// Done, with what the service says of it, as JSON in one line.
    pub fn done(result: impl Into<Box<str>>) -> Self {
        Self { status: 200, result: result.into() }
    }

    /// Nothing to say: a control record.
    pub fn empty() -> Self {
        Self::done("null")
    }

    /// The entry had been applied before.
    pub fn duplicate() -> Self {
        Self::done(DUPLICATE)
    }

    /// Whether it says that the entry had been applied before.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.status == 200 && &*self.result == DUPLICATE
    }

    /// A failure found in apply: equal on every node, because it is made of the problem's facts alone.
    pub fn failed(problem: &Problem) -> Self {
        let mut error = serde_json::Map::new();
        error.insert("status".into(), problem.status.into());
        error.insert("code".into(), problem.code.clone().into());
        error.insert("detail".into(), problem.detail.clone().into());
        for (name, value) in &problem.extra {
            error.insert(name.to_string(), value.clone());
        }
        let result = serde_json::json!({ "error": error }).to_string();
        Self { status: problem.status, result: result.into() }
    }
}

/// Why a service could not go on; never a verdict on an operation.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceError {
    /// The entry does not continue the applied version.
    Gap {
        /// The version that had to come.
        expected: Version,
        /// The version that came.
        found: Version,
    },
    /// A snapshot is not what was written.
    Damaged {
        /// What was being read.
        what: &'static str,
        /// How many bytes of the snapshot had been read before.
        offset: u64,
    },
    /// A snapshot of another version than the one asked for.
    OtherVersion {
        /// The version that was asked for.
        expected: Version,
        /// The version that the snapshot says.
        found: Version,
    },
    /// A snapshot in a format that this program does not read.
    Format {
        /// The number of the format.
        found: u32,
        /// The newest that is read here.
        known: u32,
    },
    /// The operating system refused.
    Io(io::Error),
    /// The service does not answer.
    Unavailable(Box<str>),
    /// The service breaks a rule that its node counts on.
    Broken(Box<str>),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { expected, found } => write!(f, "apply: version {expected} was due, {found} came"),
            Self::Damaged { what, offset } => write!(f, "restore snapshot: damaged {what} after byte {offset}"),
            Self::OtherVersion { expected, found } => {
                write!(f, "restore snapshot: it is of version {found}, not {expected}")
            }
            Self::Format { found, known } => {
                write!(f, "restore snapshot: format {found} is not known here (the newest known is {known})")
            }
            Self::Io(source) => write!(f, "restore snapshot: {source}"),
            Self::Unavailable(why) | Self::Broken(why) => write!(f, "service: {why}"),
        }
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for ServiceError {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}
