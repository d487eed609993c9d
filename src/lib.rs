//! Rig takes a service, which is anything that accepts operations, and puts under it a durable log that can
//! be audited and a two-phase-commit replication to other nodes.
//!
//! This is the library, for programs that have a node inside of them. A service in the same process implements
//! [`Service`]; one in another process, in any language, speaks `rig-service-protocol(7)` and needs no Rust. Without the
//! feature `cli` (`default-features = false`) the command line is left out.
//!
//! # The smallest service
//!
//! It counts. [`Sealed`](service::Sealed) and [`apply_each`](service::apply_each) do what every service in memory does.
//!
//! ```
//! use std::time::Duration;
//! use rig::prelude::*;
//!
//! #[derive(Default)]
//! struct Counter {
//!     version: Version,
//!     sum: i64,
//! }
//!
//! /// `add` takes a number.
//! fn number(operation: &Operation) -> Result<i64, Problem> {
//!     if &*operation.method != "add" {
//!         return Err(Problem::new(Code::UnknownMethod, format!("there is no `{}`", operation.method)));
//!     }
//!     operation.data.parse().map_err(|_| Problem::new(Code::Invalid, "data is not a whole number"))
//! }
//!
//! impl Service for Counter {
//!     fn kind(&self) -> &'static str {
//!         "counter"
//!     }
//!     fn version(&self) -> Version {
//!         self.version
//!     }
//!     // Whether a number may be added does not depend on the sum: any two may be under way together.
//!     fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
//!         number(operation).map(|_| Resources::Keys(Vec::new()))
//!     }
//!     fn validate(&self, operation: &Operation, _: &Context<'_>) -> Result<Valid, Problem> {
//!         number(operation).map(|_| Valid::default())
//!     }
//!     fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
//!         let sum = &mut self.sum;
//!         apply_each(&mut self.version, entries, |operation, _| match number(operation) {
//!             Ok(number) => {
//!                 *sum = sum.wrapping_add(number);
//!                 Outcome::done(sum.to_string())
//!             }
//!             Err(problem) => Outcome::failed(&problem),
//!         })
//!     }
//!     fn snapshot(&self) -> Box<dyn Snapshot> {
//!         Box::new(Sealed::new(self.version, self.sum.to_le_bytes()))
//!     }
//!     fn restore(&mut self, version: Version, input: &mut dyn std::io::Read) -> Result<(), ServiceError> {
//!         let bytes = Sealed::read(version, input)?;
//!         let sum = bytes.try_into().map_err(|_| ServiceError::Damaged { what: "sum", offset: 0 })?;
//!         *self = Self { version, sum: i64::from_le_bytes(sum) };
//!         Ok(())
//!     }
//!     fn read(&self, path: &str, _query: &str) -> Option<Result<Reply, Problem>> {
//!         (path == "/sum").then(|| Ok(Reply::json(self.sum.to_string())))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let node = rig::Node::builder()
//!     .data_dir(folder.join("n1"))
//!     .listen("127.0.0.1:0")
//!     .service(|| Box::new(Counter::default()))
//!     .start()?;
//! node.wait_ready(Duration::from_secs(10)).ok_or("the node is not ready")?;
//! assert_eq!(&*node.apply("add", "40")?.result, "40");
//! let last = node.apply("add", "2")?;
//! assert_eq!((last.version, &*last.result), (3, "42")); // version 1 is Rig's own
//! println!("curl {}/sum", node.url());
//! assert!(node.apply("add", "\"two\"").is_err());
//! node.stop();
//! node.join()?;
//! # Ok(())
//! # }
//! ```
//!
//! A second node needs a directory of its own and the address of the first:
//! `Node::builder().data_dir("n2").role(Role::Replica).peer(url).service(…)`. What is applied on one is then applied on
//! both, and an answer says on which disks the operation is ([`Applied::durability`]).
//!
//! # What a service must hold
//!
//! | | called | must |
//! |---|---|---|
//! | [`kind`](Service::kind) | at a start | name the service, for ever: the log of one is not served for another |
//! | [`resources`](Service::resources) | on the primary | name what `validate` looks at and `apply` depends on; operations that share no name are under way together, [`Resources::Alone`](service::Resources) is always right and slow |
//! | [`validate`](Service::validate) | on the primary, against what is applied | change nothing; fill in identifiers and times from its [`Context`](service::Context), so that they are logged |
//! | [`apply`](Service::apply) | on every node, in the order of the log | depend on state and record alone: no clock, no randomness, no order of a hash table; a committed operation cannot be refused, a failure is its result |
//! | [`version`](Service::version) | at any time | say what `apply` has applied, control records counted |
//! | [`snapshot`](Service::snapshot) | between two batches | be quick; it is written while `apply` goes on; equal states give equal bytes |
//! | [`restore`](Service::restore) | on an empty service at a start | take in exactly these bytes, or fail and be as it was |
//! | [`read`](Service::read) | on every node | answer from the applied state, and quickly |
//!
//! [`service::conformance`] holds all of it against a service of one's own, with operations of one's own: run it in the
//! tests. For the counter that is `conformance::check(&|| Box::new(Counter::default()), &operations)`.
//!
//! A panic while the service is asked refuses that request (500); one in `apply` ends the node, by name
//! ([`ServiceError::Broken`](service::ServiceError::Broken)), and so does every start until the service is mended.
//!
//! A snapshot only spares replay. At a start the newest one that fits the log is restored, and what is behind it is
//! applied again; the same happens on a node whose log had to be cut back.
//!
//! # What is promised
//!
//! What these pages show, and the contracts behind them: the HTTP interface, the log (`rig-log(5)`), the protocols
//! between nodes (`rig-protocol(7)`) and to services (`rig-service-protocol(7)`). Whatever else is public serves the
//! command line and the tests of Rig, and may change in any version.
//!
//! # The map of the code
//!
//! ```text
//!  main ─► cli ─► client ──────────────► http (wire text)
//!           │       ▲
//!           │     embed            the builder and the handle
//!           │       ▼
//!           └──► node      threads, sockets, clocks: the only place for them
//!                  ├─► peer          frames between nodes, of the messages of replication
//!                  ├─► replication   the protocol: pure, deterministic, no I/O, no clock
//!                  ├─► log           records, segments, recovery, verify: files behind a small Vfs trait
//!                  ├─► coordinator   the record of a cluster in etcd, by client and http
//!                  ├─► service       the Service trait; documents (in memory); the protocol of services outside
//!                  └─► http          sans-IO connection: bytes in, requests out; responses in, bytes out
//!  net                                   sockets, plain or by TLS, for node, client and cli
//!  types, limits, error                  at the bottom, import nothing of Rig
//! ```
//!
//! Arrows go down only: `tests/it/tidy.rs` reads the imports and fails on any other.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod client;
#[doc(hidden)]
pub mod coordinator;
mod embed;
pub mod error;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod node;
#[doc(hidden)]
pub mod peer;
#[doc(hidden)]
pub mod replication;
pub mod service;
pub mod types;

pub use embed::{Applied, Builder, Handle, NotApplied};
pub use http::decode as percent_decode;
pub use node::{Node, NodeError, Ready, Stopper};
pub use service::Service;

/// Everything that a service is made of: `use rig::prelude::*`.
pub mod prelude {
    pub use crate::error::{Code, Problem};
    pub use crate::service::{
        Context, Entry, Outcome, Reply, Resource, Resources, Sealed, Service, ServiceError, Snapshot, Valid, apply_each,
    };
    pub use crate::types::{Operation, Role, Version};
}
