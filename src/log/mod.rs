//! The log: records in segments, durable, chained by SHA-256, readable while they are written.
//!
//! ```text
//!   event loop                     log thread                 anyone
//!   Sealer ──seal──► Batch ══════► Writer ──append, sync──►   Reader ──► records, hashes
//!      ▲                              │ mark                  verify ──► findings
//!      └──── rewind on "no room" ◄────┘
//!                                     ▼
//!   DIR/log/<first version>.log    DIR/state/mark             DIR/rescue/torn-…
//! ```
//!
//! [`open()`] checks what is there, cuts what a crash has torn and gives the writing end; [`Reader`] serves everyone
//! else. The bytes are in [`mod@format`] and in `rig-log(5)`; what the end of a log can mean is the table in
//! `recovery`.
//!
//! # Invariants
//! 1. What [`Writer::sync`] confirmed is never lost, changed or reordered without an error that names the place.
//! 2. Only bytes that were never confirmed are ever cut, and they are kept in `rescue/`. Whole segments leave at the front,
//!    when somebody says that they may ([`Writer::compact`]).
//! 3. Every byte from the first of a segment to the end of its last record is covered by a checksum, and those that
//!    do not depend on the segment by the chain.
//! 4. Bytes of any content give an error, never a panic.
//!
//! # Not here
//! What a record means, who may write one (`replication`), threads and clocks (`node`), which process holds the
//! directory.

mod compaction;
mod cursor;
mod error;
pub mod format;
mod mark;
mod open;
mod reader;
mod record;
mod recovery;
mod repair;
mod scan;
mod sealer;
mod segment;
mod stretch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod vfs;
mod writer;

pub use compaction::{Compacted, Front, begin_behind};
pub use cursor::{Backwards, Records, Replay};
pub use error::{Fault, LogError, Remedy};
pub use format::genesis;
pub use mark::Mark;
pub use open::{Cut, Opened, Report, open, remove_empty};
pub use reader::{Held, Reader};
pub use record::{RecordRef, decode, record_bytes};
pub use repair::{Known, Truncated, known, truncate_from};
pub use sealer::{Batch, Checked, Sealer};
pub use segment::{Spare, prepare_spare, prepare_spare_beside};
pub use verify::verify;
pub use vfs::{Access, DiskVfs, File, MemVfs, Vfs};
pub use writer::Writer;

use crate::limits;
use crate::types::ClusterId;

/// What a log is told when it is opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whose log it is.
    pub cluster: ClusterId,
    /// Bytes of a segment; a batch that is larger gets a larger one.
    pub segment_bytes: u64,
    /// Whether segments are filled with zeros ahead, so that a sync changes no length.
    pub zero_fill: bool,
}

impl Config {
    /// Segments as they should be.
    pub fn new(cluster: ClusterId) -> Self {
        Self { cluster, segment_bytes: limits::SEGMENT_BYTES, zero_fill: true }
    }
}
