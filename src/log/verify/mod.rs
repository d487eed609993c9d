//! The audit: every byte of every segment read again, every fault told, nothing changed.
//!
//! ```text
//!   segment 1          segment 2                    segment 3 (newest)
//!   [ piece | piece ]  [ piece | piece | piece ]    [ piece ... end? ]      pieces begin at records
//!        \      \          |       |      /             |
//!         walked by as many threads as there are, each from the stored hash before it
//!                           |
//!                     joined in order: hashes and versions meet, the end is judged as a start would
//! ```
//!
//! # Invariants
//! 1. A piece is walked from the hash that stands before it, and its neighbour has computed that hash: together they
//!    are one chain.
//! 2. After a broken record the walk goes on at the next header that can be believed: all problems are told.
//! 3. Findings come in the order of the log.
//!
//! # Not here
//! What another node's log says, what a service makes of the records. Without an anchor or a second node nobody can
//! tell that a log was cut at a record's boundary, or written anew with correct hashes.

mod anchor;
mod join;
mod plan;
#[cfg(test)]
mod tests;
mod walk;

pub use anchor::{Anchor, NotAnAnchor, format_anchors, parse_anchors};

use super::error::LogError;
use super::reader::Held;
use super::recovery::Inventory;
use super::vfs::Vfs;
use crate::types::{ClusterId, Hash, Version};
use plan::{Piece, Plan};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use walk::Walked;

/// What to verify, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// First version.
    pub from: Version,
    /// Last version; the end of the log is judged only when it lies behind it.
    pub to: Version,
    /// Stop at the first error.
    pub fail_fast: bool,
    /// Threads that read and hash; one: the caller's own.
    pub threads: usize,
    /// Whether others wait for the disk and the processor meanwhile: then small pieces are read, and nothing ahead.
    pub beside: bool,
    /// Whether a node writes meanwhile: then the log ends where its mark says.
    pub held: Held,
    /// What is known of the log from outside, ordered by version.
    pub anchors: Vec<Anchor>,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            from: 1,
            to: Version::MAX,
            fail_fast: false,
            threads,
            beside: false,
            held: Held::ByNobody,
            anchors: Vec::new(),
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The log is not what it should be.
    Error,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// One word for programs.
    pub code: &'static str,
    /// The version that belongs there, if that is known.
    pub version: Option<Version>,
    /// Name of the file in `log/`.
    pub segment: Option<String>,
    /// Where in it.
    pub offset: Option<u64>,
    /// What was found.
    pub message: String,
}

/// One line of the segment table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Name of the file in `log/`.
    pub name: String,
    /// First version, by its name.
    pub base: Version,
    /// Last version that was read; below `base` if there is none.
    pub last: Version,
    /// Whole records.
    pub records: u64,
    /// Bytes up to the end of the last record.
    pub bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Errors in it.
    pub errors: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whose log it is; all zero when nothing was ever written.
    pub cluster: ClusterId,
    /// Whole records read.
    pub records: u64,
    /// Errors found.
    pub errors: u64,
    /// Notes.
    pub notes: u64,
    /// The last version that was read, and its hash.
    pub head: (Version, Hash),
    /// What each segment holds.
    pub segments: Vec<SegmentRow>,
}

impl Summary {
    /// Whether no error was found.
    pub fn is_pass(&self) -> bool {
        self.errors == 0
    }
}

/// Verifies the log of a data directory. `progress` is told how many bytes are done, `findings` everything that is
/// found, both on the caller's thread. An error is only what keeps it from starting: no permission, no directory.
pub fn verify(
    vfs: &dyn Vfs,
    dir: &Path,
    options: &Options,
    progress: &dyn Fn(u64),
    findings: &mut dyn FnMut(Finding),
) -> Result<Summary, LogError> {
    let inventory = Inventory::take(vfs, dir)?;
    let plan = Plan::make(vfs, dir, &inventory, options)?;
    let mut join = join::Join::new(&plan, &inventory, options, findings);
    let stop = AtomicBool::new(false);
    let mut done = 0;
    let mut take = |place: usize, walked: Walked| {
        done += plan.pieces[place].bytes();
        progress(done);
        if !join.take(place, walked) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    if options.threads <= 1 || plan.pieces.len() <= 1 {
        for (place, piece) in plan.pieces.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            take(place, walk::walk(&plan, piece, options));
        }
    } else {
        walk_in_parallel(&plan, options, &stop, &mut take);
    }
    Ok(join.finish())
}

/// Hands the pieces to threads in their order, and their results to `take` in the same order.
fn walk_in_parallel(plan: &Plan, options: &Options, stop: &AtomicBool, take: &mut dyn FnMut(usize, Walked)) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel::<(usize, Walked)>();
        for _ in 0..options.threads.min(plan.pieces.len()) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let piece: &Piece = match plan.pieces.get(place) {
                        Some(piece) if !stop.load(Ordering::Relaxed) => piece,
                        _ => break,
                    };
                    if send.send((place, walk::walk(plan, piece, options))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = std::collections::BTreeMap::new();
        let mut wanted = 0;
        for (place, walked) in receive {
            early.insert(place, walked);
            while let Some(walked) = early.remove(&wanted) {
                take(wanted, walked);
                wanted += 1;
            }
        }
    });
}

/// Bytes that a full [`verify`] reads: the end of its progress.
pub fn log_bytes(vfs: &dyn Vfs, dir: &Path) -> Result<u64, LogError> {
    let inventory = Inventory::take(vfs, dir)?;
    let plan = Plan::make(vfs, dir, &inventory, &Options { threads: 1, ..Options::default() })?;
    Ok(plan.pieces.iter().map(Piece::bytes).sum())
}
