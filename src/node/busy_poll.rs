//! Whether a thread looks again and again for what must come soon, or sleeps until it is woken: the event loop for the log
//! thread and for clients, the log thread for the event loop.
//!
//! ```text
//!   a few operations go to the log thread ─► look until they are synced  ─┐
//!   they are answered                     ─► look for the next request    ├ in time: look next time too
//!   (log thread) a batch is synced        ─► look for the next batch     ─┘ too long: sleep, and skip 1, 3, 7, ... times
//! ```
//!
//! A core that has fallen asleep is slow to wake, and so is whoever wakes it: in a virtual machine both together take
//! as long as the operation itself. A client that sends one operation at a time would pay that several times for each.
//! With many in flight there is work to do meanwhile, and the core is wanted.
//!
//! # Invariants
//! 1. At most the given time of looking for one thing, whatever disk and clients do.
//! 2. Where looking does not pay, because it takes longer or others want the core, it is tried once in [`SKIP_MAX`]
//!    times.

use std::time::{Duration, Instant};

/// Twice what a sync takes on a quick disk.
pub(super) const SYNC_MAX: Duration = Duration::from_micros(250);
/// What a client on the same machine takes from an answer to its next request, generously.
pub(super) const REQUEST_MAX: Duration = Duration::from_micros(150);
/// From a batch that is synced to the next one: what a client on the same machine takes to its next request and the event
/// loop to hand it on, generously. On two cores with two nodes it was worth a fifth of the rate of 1 and 8 clients.
pub(super) const BATCH_MAX: Duration = Duration::from_micros(300);
/// With more in flight there are others to serve meanwhile.
const OPERATIONS_MAX: usize = 8;
const SKIP_MAX: u32 = 1023;

/// What was learnt of one thing that is waited for.
#[derive(Debug)]
pub(super) struct BusyPoll {
    max: Duration,
    /// Looking, until then at most.
    until: Option<Instant>,
    /// Times to skip after the last disappointment, and how many of them are still to come.
    skip: u32,
    left: u32,
}

impl BusyPoll {
    pub(super) fn new(max: Duration) -> Self {
        Self { max, until: None, skip: 0, left: 0 }
    }

    /// It is waited for from now on, by so many operations.
    pub(super) fn begin(&mut self, operations: usize, now: Instant) {
        self.until = None;
        if operations <= OPERATIONS_MAX {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => self.until = Some(now + self.max),
            }
        }
    }

    /// It has come.
    pub(super) fn end(&mut self) {
        if self.until.take().is_some() {
            self.skip = 0;
        }
    }

    /// Whether to look once more, and not to sleep.
    pub(super) fn goes_on(&mut self, now: Instant) -> bool {
        let Some(until) = self.until else { return false };
        if now >= until {
            self.until = None;
            self.skip = (2 * self.skip + 1).min(SKIP_MAX);
            self.left = self.skip;
        }
        self.until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many of so many batches it looks, when each takes that long.
    fn looked(poll: &mut BusyPoll, batches: usize, operations: usize, took: Duration) -> usize {
        let mut now = Instant::now();
        let mut looked = 0;
        for _ in 0..batches {
            poll.begin(operations, now);
            looked += usize::from(poll.goes_on(now));
            now += took;
            poll.goes_on(now);
            poll.end();
            assert!(!poll.goes_on(now), "nothing is with the log thread");
        }
        looked
    }

    #[test]
    fn it_looks_for_every_single_operation_of_a_quick_disk() {
        assert_eq!(looked(&mut BusyPoll::new(SYNC_MAX), 100, 1, SYNC_MAX / 2), 100);
    }

    #[test]
    fn it_sleeps_while_a_larger_batch_is_synced() {
        assert_eq!(looked(&mut BusyPoll::new(SYNC_MAX), 100, OPERATIONS_MAX + 1, SYNC_MAX / 2), 0);
    }

    #[test]
    fn a_slow_disk_is_tried_ever_more_rarely_and_a_quick_one_is_noticed() {
        let mut poll = BusyPoll::new(SYNC_MAX);
        assert_eq!(looked(&mut poll, 1 + 2 + 4 + 8, 1, SYNC_MAX), 4);
        assert_eq!(looked(&mut poll, 100_000, 1, SYNC_MAX), 6 + (100_000 - (1 << 10) + (1 << 4)) / (1 << 10));
        let skipped = (0..=SKIP_MAX).take_while(|_| looked(&mut poll, 1, 1, SYNC_MAX / 2) == 0).count();
        assert!(skipped <= SKIP_MAX as usize);
        assert_eq!(looked(&mut poll, 100, 1, SYNC_MAX / 2), 100);
    }

    #[test]
    fn one_slow_sync_among_quick_ones_costs_one_look() {
        let mut poll = BusyPoll::new(SYNC_MAX);
        looked(&mut poll, 100, 1, SYNC_MAX);
        looked(&mut poll, 100, 1, SYNC_MAX / 2);
        looked(&mut poll, 1, 1, SYNC_MAX * 3);
        assert_eq!(looked(&mut poll, 10, 1, SYNC_MAX / 2), 9);
    }
}
