//! Whether the event loop looks again and again for the end of a sync, or sleeps until it is woken.
//!
//! ```text
//!   a batch goes to the log thread ─► few operations? not to be skipped? ─► look until it is back, or too long
//!                                        back in time: look next time too       too long: skip 1, 3, 7, ... batches
//! ```
//!
//! A core that falls asleep while the disk works takes longer to wake than an operation takes to be answered, and so
//! does the core on which the client waits. Whoever sends one operation at a time would pay that with each of them.
//! With many in flight there is work to do meanwhile, and the core is wanted.
//!
//! # Invariants
//! 1. At most [`LOOK_MAX`] of looking for one batch, whatever the disk does.
//! 2. Where looking does not pay, because the disk is slower than that or others want the core, it is tried for one
//!    batch in [`SKIP_MAX`].

use std::time::{Duration, Instant};

/// Twice what a sync takes on a quick disk.
const LOOK_MAX: Duration = Duration::from_micros(250);
/// In a larger batch there are others to serve meanwhile.
const OPERATIONS_MAX: usize = 1;
const SKIP_MAX: u32 = 1023;

/// What was learnt from the batches so far.
#[derive(Debug, Default)]
pub(super) struct BusyPoll {
    /// Looking, until then at most.
    until: Option<Instant>,
    /// Batches to skip after the last disappointment, and how many of them are still to come.
    skip: u32,
    left: u32,
}

impl BusyPoll {
    /// A batch goes to the log thread.
    pub(super) fn begin(&mut self, operations: usize, now: Instant) {
        self.until = None;
        if operations <= OPERATIONS_MAX {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => self.until = Some(now + LOOK_MAX),
            }
        }
    }

    /// The batch is back.
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

    /// How many of so many batches it looks for, when each takes that long.
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
        assert_eq!(looked(&mut BusyPoll::default(), 100, 1, LOOK_MAX / 2), 100);
    }

    #[test]
    fn it_sleeps_while_a_larger_batch_is_synced() {
        assert_eq!(looked(&mut BusyPoll::default(), 100, OPERATIONS_MAX + 1, LOOK_MAX / 2), 0);
    }

    #[test]
    fn a_slow_disk_is_tried_ever_more_rarely_and_a_quick_one_is_noticed() {
        let mut poll = BusyPoll::default();
        assert_eq!(looked(&mut poll, 1 + 2 + 4 + 8, 1, LOOK_MAX), 4);
        assert_eq!(looked(&mut poll, 100_000, 1, LOOK_MAX), 6 + (100_000 - (1 << 10) + (1 << 4)) / (1 << 10));
        let skipped = (0..=SKIP_MAX).take_while(|_| looked(&mut poll, 1, 1, LOOK_MAX / 2) == 0).count();
        assert!(skipped <= SKIP_MAX as usize);
        assert_eq!(looked(&mut poll, 100, 1, LOOK_MAX / 2), 100);
    }

    #[test]
    fn one_slow_sync_among_quick_ones_costs_one_look() {
        let mut poll = BusyPoll::default();
        looked(&mut poll, 100, 1, LOOK_MAX);
        looked(&mut poll, 100, 1, LOOK_MAX / 2);
        looked(&mut poll, 1, 1, LOOK_MAX * 3);
        assert_eq!(looked(&mut poll, 10, 1, LOOK_MAX / 2), 9);
    }
}
