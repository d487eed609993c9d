//! A snapshot on its way here, because this node's log ends before the primary's begins.
//!
//! ```text
//!   offered ─► what an earlier try has left (pool) ─► Want, Want ... ─► chunks written in order (pool), asked on
//!              all here ─► made files of, read back (background) ─► core ─► noted in state/ (pool) ─► node starts anew
//! ```
//!
//! # Invariants
//! 1. Bytes are written in their order, one chunk at a time: the file is as long as what is in it, whenever this ends.
//! 2. The note is written when the core says so, and from then on the core says nothing else.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::*;
use crate::limits::SNAPSHOT_CHUNK_BYTES;
use crate::node::install::{self, Order};
use crate::replication::Chunk;

/// Chunks that are under way at a time.
const WINDOW: u64 = 4 * SNAPSHOT_CHUNK_BYTES as u64;
/// After a failure of this disk, or a snapshot that was not whole.
const HOLD: Duration = Duration::from_secs(2);

/// What is being taken.
#[derive(Debug, Default)]
pub(super) struct Taking {
    offer: Option<Offer>,
    /// The pool has a job of it.
    is_busy: bool,
    begin_at: Option<Instant>,
}

#[derive(Debug)]
struct Offer {
    link: Link,
    at: Position,
    bytes: u64,
    file: Option<Arc<File>>,
    /// Up to there it is asked for, has arrived, and is written.
    asked: u64,
    arrived: u64,
    written: u64,
    chunks: VecDeque<Vec<u8>>,
}

/// What the pool has done.
#[derive(Debug)]
pub(super) enum Done {
    Begun { link: Link, begun: io::Result<(Arc<File>, u64)> },
    Written { link: Link, bytes: u64, written: io::Result<()> },
    Checked { link: Link, checked: io::Result<()> },
    Noted(io::Result<()>),
}

impl Taking {
    /// Version, bytes, and how many of them are here; nothing while nothing is taken.
    pub(super) fn progress(&self) -> Option<(Version, u64, u64)> {
        self.offer.as_ref().map(|offer| (offer.at.version, offer.bytes, offer.written))
    }

    fn of(&mut self, link: Link) -> Option<&mut Offer> {
        self.offer.as_mut().filter(|offer| offer.link == link)
    }
}

impl Node {
    pub(super) fn take_snapshot(&mut self, link: Link, at: Position, bytes: u64, now: Now) {
        if self.outside.is_some() {
            ::log::error!(
                "this node is behind the log of its primary, and its service is in another process, which a snapshot of the \
                 primary is not for: restore the service to version {} or later, and start over with an empty directory",
                at.version
            );
            return;
        }
        let (file, chunks) = (None, VecDeque::new());
        self.taking.offer = Some(Offer { link, at, bytes, file, asked: 0, arrived: 0, written: 0, chunks });
        self.begin_taking(now);
    }

    /// Opens the file for what was offered, if it is time.
    pub(super) fn begin_taking(&mut self, now: Now) {
        let Taking { offer: Some(offer), is_busy: false, begin_at } = &self.taking else { return };
        if offer.file.is_some() || begin_at.is_some_and(|at| now.instant < at) {
            return;
        }
        let (folder, cluster) = (install::folder(self.dir.path()), self.cluster.unwrap_or_default());
        let (link, at, bytes) = (offer.link, offer.at, offer.bytes);
        self.taking.is_busy = true;
        self.pool.run(move || {
            let begun = install::begin(&folder, cluster, at, bytes);
            PoolDone::Taking(Done::Begun { link, begun: begun.map(|(file, length)| (Arc::new(file), length)) })
        });
    }

    pub(super) fn take_chunk(&mut self, link: Link, chunk: Chunk, bytes: Vec<u8>, now: Now) -> Result<(), NodeError> {
        let Some(offer) = self.taking.of(link) else { return Ok(()) };
        let ends = chunk.offset.saturating_add(bytes.len() as u64);
        if chunk.offset != offer.arrived || bytes.is_empty() || ends > offer.asked {
            ::log::warn!("a peer sends bytes {} to {ends} of a snapshot, which nobody has asked for", chunk.offset);
            return self.stop_taking(link, now);
        }
        offer.arrived = ends;
        offer.chunks.push_back(bytes);
        self.go_on_with(link);
        Ok(())
    }

    /// Asks for more, and has the next chunk written, or all of them checked.
    fn go_on_with(&mut self, link: Link) {
        let is_busy = self.taking.is_busy;
        let cluster = self.cluster.unwrap_or_default();
        let folder = install::folder(self.dir.path());
        let Some(offer) = self.taking.of(link) else { return };
        let Some(file) = offer.file.clone() else { return };
        let mut wants = Vec::new();
        while offer.asked < offer.bytes && offer.asked - offer.written < WINDOW {
            wants.push(Message::Want(Chunk { version: offer.at.version, offset: offer.asked }));
            offer.asked = (offer.asked + SNAPSHOT_CHUNK_BYTES as u64).min(offer.bytes);
        }
        if !is_busy {
            if let Some(chunk) = offer.chunks.pop_front() {
                let from = offer.written;
                self.pool.run(move || {
                    let written = file.write_all_at(&chunk, from);
                    PoolDone::Taking(Done::Written { link, bytes: chunk.len() as u64, written })
                });
                self.taking.is_busy = true;
            } else if offer.written == offer.bytes {
                let (at, bytes) = (offer.at, offer.bytes);
                self.background.run(move || {
                    PoolDone::Taking(Done::Checked { link, checked: install::check(&folder, cluster, at, bytes) })
                });
                self.taking.is_busy = true;
            }
        }
        for want in wants {
            self.send(link, false, &want, &[]);
        }
    }

    pub(super) fn go_on_taking(&mut self, done: Done, now: Now) -> Result<(), NodeError> {
        self.taking.is_busy = false;
        match done {
            Done::Begun { link, begun: Ok((file, length)) } => {
                if let Some(offer) = self.taking.of(link) {
                    let (version, bytes) = (offer.at.version, offer.bytes);
                    ::log::info!("the snapshot of version {version} is taken from byte {length} of {bytes} on");
                    offer.file = Some(file);
                    (offer.asked, offer.arrived, offer.written) = (length, length, length);
                    self.go_on_with(link);
                }
            }
            Done::Written { link, bytes, written: Ok(()) } => {
                self.metrics.snapshot_received_bytes += bytes;
                if let Some(offer) = self.taking.of(link) {
                    offer.written += bytes;
                    self.go_on_with(link);
                }
            }
            Done::Checked { link, checked: Ok(()) } => {
                if self.taking.of(link).is_some() {
                    self.engine.tell(Input::SnapshotTaken { link }, now)?;
                }
            }
            Done::Noted(Ok(())) => self.again = true,
            Done::Noted(Err(source)) => {
                return Err(NodeError::Io { op: "note the installation in", path: self.dir.state(), source });
            }
            Done::Begun { link, begun: Err(error) }
            | Done::Written { link, written: Err(error), .. }
            | Done::Checked { link, checked: Err(error) } => {
                ::log::warn!("take a snapshot from the primary: {error}");
                self.taking.begin_at = Some(now.instant + HOLD);
                self.stop_taking(link, now)?;
            }
        }
        self.begin_taking(now);
        Ok(())
    }

    /// The connection is closed: the next one offers anew.
    fn stop_taking(&mut self, link: Link, now: Now) -> Result<(), NodeError> {
        if self.taking.of(link).is_some() {
            self.taking.offer = None;
        }
        self.place_of(link).map_or(Ok(()), |place| self.lose(place, now))
    }

    /// The core has said its last word: log and service make way for the snapshot.
    pub(super) fn note_install(&mut self, at: Position, keep: Version, committed: Version, for_epoch: Epoch, now: Now) {
        self.cutting = true;
        self.hurry.set(true);
        let own = self.engine.own_epoch();
        let genesis = log::genesis(&self.cluster.unwrap_or_default());
        let at = if at.version == 0 { Position { hash: genesis, ..at } } else { at };
        let order = Order { at, keep, committed, for_epoch, own, now: now.micros };
        let dir = self.dir.path().to_owned();
        match at.version {
            0 => ::log::info!(
                "this log begins behind the place where it leaves the primary's: the node starts anew, empty"
            ),
            version => ::log::info!("the snapshot of version {version} is here: the node starts anew from it"),
        }
        self.state_pool.run(move || PoolDone::Taking(Done::Noted(install::note(&dir, &order))));
    }
}
