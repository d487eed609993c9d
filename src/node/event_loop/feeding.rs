//! Snapshots on their way to members that are behind the log.
//!
//! ```text
//!   find ─► newest snapshot, read back, held open (background) ─► core offers it
//!   Want ─► chunk read (pool) ─► Chunk
//! ```
//!
//! The member asks for each chunk, a few at a time, so that records for others pass between them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::limits::SNAPSHOT_CHUNK_BYTES;
use crate::node::snapshots::Outgoing;
use crate::replication::Chunk;

/// Chunks that one member may have asked for and not got: it asks for fewer.
const WANTED_MAX: usize = 16;

/// The snapshots that are being sent, each by its connection.
#[derive(Debug, Default)]
pub(super) struct Feeding(Vec<Fed>);

#[derive(Debug)]
struct Fed {
    link: Link,
    snapshot: Arc<Outgoing>,
    /// In their order; the first one is being read.
    wanted: VecDeque<Chunk>,
}

/// What the pool has done.
#[derive(Debug)]
pub(super) enum Done {
    Found { link: Link, found: io::Result<Option<Outgoing>> },
    Read { link: Link, chunk: Chunk, bytes: io::Result<Vec<u8>> },
}

impl Node {
    pub(super) fn find_snapshot(&mut self, link: Link) {
        let (folder, cluster) = (self.dir.snapshots(), self.cluster.unwrap_or_default());
        self.background.run(move || PoolDone::Feeding(Done::Found { link, found: Outgoing::newest(&folder, cluster) }));
    }

    pub(super) fn send_chunk(&mut self, link: Link, chunk: Chunk, now: Now) -> Result<(), NodeError> {
        let Some(fed) = self.feeding.0.iter_mut().find(|fed| fed.link == link) else { return Ok(()) };
        if fed.wanted.len() >= WANTED_MAX {
            // It asks for more than it can be waiting for.
            return self.place_of(link).map_or(Ok(()), |place| self.lose(place, now));
        }
        fed.wanted.push_back(chunk);
        if fed.wanted.len() == 1 {
            self.read_chunk(link);
        }
        Ok(())
    }

    /// Lets the pool read the next one.
    fn read_chunk(&self, link: Link) {
        let Some(fed) = self.feeding.0.iter().find(|fed| fed.link == link) else { return };
        let Some(chunk) = fed.wanted.front().copied() else { return };
        let snapshot = Arc::clone(&fed.snapshot);
        self.pool.run(move || {
            PoolDone::Feeding(Done::Read { link, chunk, bytes: snapshot.read(chunk.offset, SNAPSHOT_CHUNK_BYTES) })
        });
    }

    pub(super) fn go_on_feeding(&mut self, done: Done, now: Now) -> Result<(), NodeError> {
        match done {
            Done::Found { link, found } => {
                let found = found.unwrap_or_else(|error| {
                    ::log::warn!("look for a snapshot for a member that is behind the log: {error}");
                    None
                });
                let is_there = |link| self.peers.iter().flatten().any(|peer| peer.link == link);
                self.feeding.0.retain(|fed| fed.link != link && is_there(fed.link));
                let offer = found.as_ref().map(|snapshot| (snapshot.at, snapshot.bytes));
                if let Some(snapshot) = found.map(Arc::new) {
                    let version = snapshot.at.version;
                    ::log::info!("a member is behind the log: it is offered the snapshot of version {version}");
                    self.feeding.0.push(Fed { link, snapshot, wanted: VecDeque::new() });
                }
                Ok(self.engine.tell(Input::SnapshotIs { link, found: offer }, now)?)
            }
            Done::Read { link, chunk, bytes } => {
                let Some(fed) = self.feeding.0.iter_mut().find(|fed| fed.link == link) else { return Ok(()) };
                fed.wanted.pop_front();
                match bytes {
                    Ok(bytes) if !bytes.is_empty() => {
                        self.metrics.snapshot_sent_bytes += bytes.len() as u64;
                        self.send(link, false, &Message::Chunk(chunk), &bytes);
                        self.read_chunk(link);
                        Ok(())
                    }
                    Ok(_) => self.place_of(link).map_or(Ok(()), |place| self.lose(place, now)),
                    Err(error) => {
                        ::log::warn!("read a snapshot for a member: {error}");
                        self.place_of(link).map_or(Ok(()), |place| self.lose(place, now))
                    }
                }
            }
        }
    }
}
