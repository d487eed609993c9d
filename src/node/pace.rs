//! How fast a member that lags is fed from the log while clients write.
//!
//! Reading for it, and its own work on the same machine or disk, take from the clients of the primary. So while they write
//! it gets a budget: enough that it gains on them, and no more. While they do not, it gets all it can take. A member whose
//! acknowledgement is waited for is never held back: clients wait for it.

use std::time::{Duration, Instant};

/// Bytes in a second for a member that lags, beside clients.
const BESIDE_CLIENTS: u64 = 12 << 20;
/// It gets this many times what clients write, at least: then it comes nearer as fast as they write.
const TIMES_WRITTEN: u64 = 2;
/// What clients have written is looked at so often.
const WINDOW: Duration = Duration::from_millis(100);
/// Less than this in a window is the node's own doing.
const QUIET: u64 = 4 << 10;
/// Bytes of one read within the budget.
const PIECE: usize = 128 << 10;

/// The budget, for all members that lag together.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    /// In this window so far, and in the one before it.
    written: [u64; 2],
    refilled: Instant,
    /// What may be read now; below zero for a while after a piece that was larger.
    left: i64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, written: [0; 2], refilled: now, left: 0 }
    }

    /// So many bytes of the log were written.
    pub(super) fn wrote(&mut self, bytes: usize, now: Instant) {
        self.roll(now);
        self.written[0] += bytes as u64;
    }

    /// So many bytes were read for a member that lags.
    pub(super) fn took(&mut self, bytes: usize) {
        self.left -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Bytes that may be read for it now, of those it would take; 0 to wait.
    pub(super) fn piece(&mut self, whole: usize, now: Instant) -> usize {
        self.roll(now);
        let busiest = self.written[0].max(self.written[1]);
        if busiest < QUIET {
            self.left = 0;
            self.refilled = now;
            return whole;
        }
        let windows = Duration::from_secs(1).as_millis() / WINDOW.as_millis();
        let rate = (busiest * windows as u64 * TIMES_WRITTEN).max(BESIDE_CLIENTS);
        let since = now.duration_since(self.refilled).min(WINDOW);
        let share = |time: Duration| i64::try_from(u128::from(rate) * time.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        self.left = (self.left + share(since)).min(share(WINDOW));
        self.refilled = now;
        if self.left > 0 { whole.min(PIECE) } else { 0 }
    }

    fn roll(&mut self, now: Instant) {
        let since = now.duration_since(self.begin);
        if since >= WINDOW {
            self.written = if since < 2 * WINDOW { [0, self.written[0]] } else { [0; 2] };
            self.begin = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in a second of a member that always wants more, beside clients that write so much in a millisecond.
    fn fed(written: usize) -> usize {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut bytes = 0;
        for step in 0..2000 {
            let now = begin + Duration::from_millis(step);
            pace.wrote(written, now);
            let piece = pace.piece(1 << 20, now);
            pace.took(piece);
            if step >= 1000 {
                bytes += piece;
            }
        }
        bytes
    }

    #[test]
    fn without_clients_it_gets_all_and_beside_them_its_budget_or_twice_what_they_write() {
        assert_eq!(fed(0), 1000 << 20);
        let close = |found: usize, wanted: u64| {
            let wanted = wanted as f64;
            assert!((found as f64 - wanted).abs() < wanted / 10.0, "{found} of {wanted}");
        };
        close(fed(100), BESIDE_CLIENTS);
        close(fed(20_000), 40_000_000);
    }

    #[test]
    fn when_clients_end_it_gets_all_again_soon() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        pace.wrote(1 << 20, begin);
        assert_eq!(pace.piece(1 << 20, begin), 0);
        assert_eq!(pace.piece(1 << 20, begin + WINDOW / 2), PIECE);
        assert_eq!(pace.piece(1 << 20, begin + 3 * WINDOW), 1 << 20);
    }
}
