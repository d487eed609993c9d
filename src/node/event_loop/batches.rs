//! Batches of records on their way to the log thread, and back.
//!
//! ```text
//!   requests ─► gathered ──enough, or a turn brought no more, or too long──► log thread, replicas ─► synced
//! ```
//!
//! A batch costs every node a write, a sync and several wake-ups, whatever it holds: as much as a dozen operations. So it
//! goes when the log thread is free and no more are there to be read, and a client alone waits for nobody.

use super::*;
use crate::node::writer::Done;

/// Connections that are gone through before the log thread is looked after: about as long as it takes to wake it.
const CONNECTIONS_AT_ONCE: usize = 8;
/// Operations that go at once: with so many a batch costs little beside them.
const ENOUGH: usize = 32;
/// Fewer wait for what has arrived already, and so long at most: about as long as a sync takes.
const GATHERING_MAX: Duration = Duration::from_micros(300);

/// Whether what is gathered waits for what has arrived already.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Since when it waits, and how many there were when it was last looked at.
    waiting: Option<(Instant, usize)>,
}

impl Gathering {
    fn goes_on(&mut self, gathered: usize, now: Instant) -> bool {
        let (since, before) = self.waiting.unwrap_or((now, 0));
        let waits = gathered > before && gathered < ENOUGH && now < since + GATHERING_MAX;
        self.waiting = waits.then_some((since, gathered));
        waits
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.waiting.is_some()
    }
}

impl Node {
    /// The next batch goes to the log thread if that is free and the batch worth it, and to the replicas at the same time.
    pub(super) fn dispatch(&mut self, now: Now) -> Result<(), NodeError> {
        if self.log_thread.is_busy() || self.put_aside.is_some() {
            // Whoever waits for that waits asleep.
            self.gathering = Gathering::default();
            return Ok(());
        }
        if let Some(keep) = self.compaction.wanted.take() {
            self.log_thread.compact(keep);
            return Ok(());
        }
        let gathered = self.engine.unwritten().map(Batch::len).sum();
        if self.gathering.goes_on(gathered, now.instant) {
            return Ok(());
        }
        self.engine.flush(now)?;
        self.perform_effects(now)?;
        if let Some(batch) = self.engine.take_batch() {
            // Alone, what is durable is decided.
            let core = self.engine.core();
            let committed = if core.decides_alone() { Version::MAX } else { core.committed() };
            self.sync_poll.begin(batch.len(), Instant::now());
            self.log_thread.write(batch, committed);
            (self.wrote_at, self.readers_rest_until) = (now.instant, now.instant);
        }
        // The replicas work while this disk does.
        self.deliver_peers(now)
    }

    /// In the middle of a turn, while many connections are gone through: the disk has done its part, and waits.
    pub(super) fn keep_the_disk_busy(&mut self, place: usize, now: Now) -> Result<(), NodeError> {
        if place % CONNECTIONS_AT_ONCE == CONNECTIONS_AT_ONCE - 1 && self.log_thread.has_done() {
            self.take_log_done(now)?;
        }
        Ok(())
    }

    pub(super) fn take_log_done(&mut self, now: Now) -> Result<(), NodeError> {
        for done in self.log_thread.take_done() {
            self.sync_poll.end();
            match done {
                Done::Synced { durable, batch, took } => {
                    self.dispatch(now)?;
                    self.request_poll.begin(batch.len(), now.instant);
                    self.metrics.synced(batch.len(), batch.bytes(), took);
                    self.bytes_since_spare += batch.bytes() as u64;
                    self.pace.wrote(batch.bytes(), now.instant);
                    self.engine.synced(durable, batch, now)?;
                }
                Done::NoRoom(batch) => {
                    if self.put_aside.is_none() {
                        ::log::error!(
                            "the disk of {} is full: writes are refused until there is room",
                            self.dir.path().display()
                        );
                    }
                    self.put_aside = Some(batch);
                    self.engine.no_room(now)?;
                    self.perform_effects(now)?;
                    if self.try_again_at.is_none() {
                        // Nobody else has it: it never was.
                        self.put_aside = None;
                    }
                }
                Done::Compacted(front) => self.remove_front(front, now)?,
                Done::Cut { end, rescued } => self.log_was_cut(end, rescued, now)?,
                Done::Failed(error) => return Err(error.into()),
                Done::Panicked => return Err(NodeError::Panicked("log")),
            }
        }
        // Those that waited for this disk.
        let held_back =
            self.peers.iter().enumerate().filter(|(_, peer)| peer.as_ref().is_some_and(|peer| peer.readable));
        self.touched_peers.extend(held_back.map(|(place, _)| place));
        Ok(())
    }

    /// A batch that found no room and that others may have is written again, until there is room.
    pub(super) fn try_again(&mut self, now: Now) {
        if self.try_again_at.is_some_and(|at| at <= now.instant) && !self.log_thread.is_busy() {
            self.try_again_at = None;
            if let Some(batch) = self.put_aside.take() {
                self.log_thread.write(batch, self.engine.core().committed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_operations_wait_as_long_as_each_look_finds_more() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        assert!(!gathering.goes_on(0, now), "there is nothing to wait with");
        assert!(!gathering.goes_on(ENOUGH, now));
        assert!(!gathering.is_under_way());
        assert!(gathering.goes_on(1, now));
        assert!(gathering.goes_on(3, now));
        assert!(gathering.is_under_way());
        assert!(!gathering.goes_on(3, now), "no more have come");
        assert!(!gathering.is_under_way());
        assert!(gathering.goes_on(1, now), "the next batch waits too");
    }

    #[test]
    fn nobody_waits_for_long() {
        let (mut gathering, now) = (Gathering::default(), Instant::now());
        assert!(gathering.goes_on(1, now));
        assert!(gathering.goes_on(2, now + GATHERING_MAX / 2));
        assert!(!gathering.goes_on(3, now + GATHERING_MAX));
        assert!(gathering.goes_on(1, now + GATHERING_MAX), "the next one waits for so long again");
    }
}
