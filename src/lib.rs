//! Rig takes a service, which is anything that accepts operations, and puts under it a durable log that can
//! be audited and a two-phase-commit replication to other nodes.
//!
//! ```text
//!  main ─► cli ─► client ──────────────► http (wire text)
//!           │
//!           └──► node      threads, sockets, clocks: the only place for them
//!                  ├─► peer          frames between nodes, of the messages of replication
//!                  ├─► replication   the protocol: pure, deterministic, no I/O, no clock
//!                  ├─► log           records, segments, recovery, verify: files behind a small Vfs trait
//!                  ├─► service       the Service trait; documents (in memory); the protocol of services outside
//!                  ├─► peer          frames between nodes
//!                  └─► http          sans-IO connection: bytes in, requests out; responses in, bytes out
//!  types, limits, error                  at the bottom, import nothing of Rig
//! ```
//!
//! Arrows go down only: `tests/it/tidy.rs` reads the imports and fails on any other.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod error;
pub mod http;
pub mod limits;
pub mod log;
pub mod node;
pub mod peer;
pub mod replication;
pub mod service;
pub mod types;
