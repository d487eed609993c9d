//! A running node: threads, sockets, clocks, files. The only place for them.
//!
//! ```text
//!   event loop   sockets, admission, locks, validate, sequence, apply, answers; owns all state, locks nothing
//!   log thread   write and sync, a whole batch at a time
//!   pool         what blocks: reading the log for others, writing snapshots, zero-filling spare segments
//! ```
//!
//! The three rooms below do not know each other; here they are joined: `replication` decides, `log` stores,
//! `service` holds the state, `http` reads and writes the wire.
//!
//! # Invariants
//! 1. Nothing that can block runs on the event loop, so that a slow disk never stops reads.
//! 2. After a storage error the node answers what is in flight, says why, and ends.
//! 3. A panic on any thread ends the node.

pub mod adapter;
mod admission;
mod alone;
mod auth;
mod background;
pub mod backup;
mod base;
mod belongs;
mod busy_poll;
mod chronicle;
mod connection;
mod coordination;
mod damage;
mod deep;
pub mod dir;
mod engine;
mod error;
mod event_loop;
mod events;
mod guard;
mod hashed;
mod hook;
mod install;
mod keys;
mod lines;
mod locks;
mod marks;
mod metrics;
mod objects;
mod others;
mod pace;
mod peers;
mod pool;
mod proxy;
mod repair;
mod request_id;
pub mod rescue;
mod routes;
mod scrub;
mod settings;
mod snapshots;
mod source;
mod start;
mod state;
mod status;
mod streams;
mod writer;

pub use base::Base;
pub use coordination::CoordinatorConfig;
#[cfg(feature = "cli")]
pub(crate) use coordination::REPAIR as COORDINATOR_REPAIR;
pub use damage::damaged_segments;
pub use deep::{Deep, deep};
pub use error::NodeError;
pub use event_loop::{Node, Stopper};
pub use settings::{Live, Origin, Reread, Setting, to_json as settings_to_json};
pub use snapshots::{SnapshotChecked, SnapshotInfo, snapshots, verify_snapshots};
pub use source::{Make, Source};
pub use status::stopped_status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{SCRUB_INTERVAL, SEGMENT_BYTES, SNAPSHOT_INTERVAL};
use crate::net;
use crate::replication::Asked;
use crate::types::{Mode, NodeState, Role, Version};

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// An initialised data directory.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// The address that others are told, when it is not the one listened on.
    pub advertise: Option<String>,
    /// Mode, numbers and times to change in the log.
    pub asked: Asked,
    /// What the node is to be; `None`: what it was, a primary if it was nothing.
    pub role: Option<Role>,
    /// Addresses of other nodes: `http://host:port`.
    pub peers: Vec<String>,
    /// From admission to 504, when the client does not say.
    pub request_timeout: Duration,
    /// How long a stop waits for what is in flight.
    pub drain: Duration,
    /// Who may do what; `None`: whoever can connect.
    pub tokens: Option<PathBuf>,
    /// Certificate, key and CA; `None`: bytes as they are.
    pub tls: Option<net::Files>,
    /// Listen beyond loopback without encryption.
    pub insecure_plaintext: bool,
    /// What operations are for.
    pub service: Source,
    /// Where the service serves its reads, when those of paths that are not Rig's own are passed on to it.
    pub proxy: Option<String>,
    /// Bytes of documents and indexes above which growing operations are refused.
    pub memory_max_bytes: u64,
    /// Bytes of one segment of the log.
    pub segment_bytes: u64,
    /// How often the whole log is read again in the background, and verified.
    pub scrub_interval: Duration,
    /// From one snapshot to the next at most, when something is new; nothing: only as records come.
    pub snapshot_interval: Option<Duration>,
    /// Records that stay when the log is compacted behind each new snapshot; without an age nothing is: it is not.
    pub compact_keep: Option<u64>,
    /// Age below which records stay then; with an age alone [`COMPACT_KEEP`](crate::limits::COMPACT_KEEP) stay too.
    pub compact_age: Option<Duration>,
    /// A command for the shell that is run for each event.
    pub on_event: Option<String>,
    /// What decides who leads when nodes are away; nothing: the nodes and the operator.
    pub coordinator: Option<CoordinatorConfig>,
    /// It had one, and is to go on without.
    pub leaves_coordinator: bool,
    /// What all this was said with, to be shown.
    pub settings: Vec<Setting>,
    /// Where some of it is read again when that changes.
    pub live: Option<Live>,
}

impl Config {
    /// A node of this directory with every default.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7440)),
            advertise: None,
            asked: Asked::default(),
            role: None,
            peers: Vec::new(),
            request_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            tokens: None,
            tls: None,
            insecure_plaintext: false,
            service: Source::Documents,
            proxy: None,
            memory_max_bytes: default_memory_max(),
            segment_bytes: SEGMENT_BYTES,
            scrub_interval: SCRUB_INTERVAL,
            snapshot_interval: Some(SNAPSHOT_INTERVAL),
            compact_keep: None,
            compact_age: None,
            on_event: None,
            coordinator: None,
            leaves_coordinator: false,
            settings: Vec::new(),
            live: None,
        }
    }
}

/// Two thirds of the machine's memory: the rest is for the system, its page cache and snapshots.
pub fn default_memory_max() -> u64 {
    const UNKNOWN: u64 = 1 << 30;
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return UNKNOWN };
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kib.map_or(UNKNOWN, |kib| kib * 1024 / 3 * 2)
}

/// What a node says when it can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// How it is.
    pub state: NodeState,
    /// The name of the primary that it knows.
    pub primary: Option<String>,
    /// Where its coordinator is and why it is of no use, if it has one and it is not.
    pub coordinator_fault: Option<String>,
    /// Names of those whom it waits for while it knows no primary and is none; `the coordinator`, whose record it has not read.
    pub waits_for: Vec<String>,
    /// The number of its epoch.
    pub epoch: u64,
    /// The applied version.
    pub version: Version,
    /// Base URL.
    pub http: String,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// The mode that the log says.
    pub replication: Mode,
    /// What the start found and did, one line each.
    pub notes: Vec<String>,
    /// How long the start took.
    pub took: Duration,
}
