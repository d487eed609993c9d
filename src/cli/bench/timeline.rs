//! How latency went over the measured time.
//!
//! ```text
//!   │ slice 0 │ slice 1 │ slice 2 │ …            a slice: operations done, and a histogram
//!   too many: neighbours become one, and slices twice as long
//! ```
//!
//! # Invariants
//! 1. Every answer is in the slice of its own moment, and only there.
//! 2. The time between two phases is nobody's: slices hold measured time only.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::load::LATENCY_MAX;

/// How many slices a time of known length is cut into.
pub(super) const SLICES: usize = 40;
/// Never more than these: where the end is not known, slices become longer as time goes on.
const SLICES_MAX: usize = 2 * SLICES;
const SLICE_FIRST: Duration = Duration::from_millis(2);

/// What came back within one slice.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub(super) ops: u64,
    pub(super) latency: Histogram<u64>,
}

impl Slice {
    fn new() -> Self {
        // Two digits are as much as a chart shows.
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 2).expect("the bounds are constants that fit");
        Self { ops: 0, latency }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.ops += other.ops;
        self.latency += &other.latency;
    }
}

/// Slices of equal length, the last one as long as it is.
#[derive(Debug)]
pub(super) struct Timeline {
    width: Duration,
    slices: Vec<Slice>,
    /// Measured before the phase that runs now, and when that began.
    before: Duration,
    begin: Instant,
}

impl Timeline {
    /// For a time of this length, if it is known.
    pub(super) fn new(expected: Option<Duration>) -> Self {
        let width = expected.map_or(SLICE_FIRST, |time| time / SLICES as u32).max(Duration::from_micros(1));
        Self { width, slices: Vec::new(), before: Duration::ZERO, begin: Instant::now() }
    }

    /// A phase begins.
    pub(super) fn resume(&mut self, begin: Instant) {
        self.begin = begin;
    }

    /// The phase is over: this was its last answer.
    pub(super) fn pause(&mut self, last: Instant) {
        self.before += last.duration_since(self.begin);
    }

    /// The whole time that was measured.
    pub(super) fn elapsed(&self) -> Duration {
        self.before
    }

    /// A request was answered now.
    pub(super) fn record(&mut self, now: Instant, ops: u64, latency: u64) {
        let at = self.before + now.duration_since(self.begin);
        let mut place = (at.as_nanos() / self.width.as_nanos()) as usize;
        while place >= SLICES_MAX {
            self.halve();
            place /= 2;
        }
        while self.slices.len() <= place {
            self.slices.push(Slice::new());
        }
        let slice = &mut self.slices[place];
        slice.ops += ops;
        slice.latency.saturating_record(latency);
    }

    fn halve(&mut self) {
        self.width *= 2;
        let joined = self.slices.chunks(2).map(|pair| {
            let mut slice = pair[0].clone();
            pair.iter().skip(1).for_each(|other| slice.join(other));
            slice
        });
        self.slices = joined.collect();
    }

    /// Beginning, length and content of every slice. The answers that came just behind the end belong to the last one.
    pub(super) fn slices(&self) -> Vec<(Duration, Duration, Slice)> {
        let mut cut: Vec<(Duration, Duration, Slice)> = Vec::with_capacity(self.slices.len());
        for (place, slice) in self.slices.iter().enumerate() {
            let at = self.width * place as u32;
            let length = self.width.min(self.before.saturating_sub(at));
            match cut.last_mut() {
                Some((_, before, last)) if length < self.width / 2 => {
                    *before += length;
                    last.join(slice);
                }
                _ => cut.push((at, length, slice.clone())),
            }
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A timeline with an answer of so many microseconds at each of these milliseconds.
    fn line(expected: Option<Duration>, answers: &[(u32, u64)], end: Duration) -> Timeline {
        let (mut line, begin) = (Timeline::new(expected), Instant::now());
        line.resume(begin);
        for (at, micros) in answers {
            line.record(begin + MS * *at, 2, micros * 1000);
        }
        line.pause(begin + end);
        line
    }

    #[test]
    fn an_answer_is_in_the_slice_of_its_moment() {
        let line = line(Some(MS * 400), &[(0, 100), (9, 100), (10, 300), (399, 500)], MS * 400);
        let slices = line.slices();
        assert_eq!(slices.len(), SLICES);
        let ops: Vec<_> = slices.iter().map(|(_, _, slice)| slice.ops).collect();
        assert_eq!((ops[0], ops[1], ops[2], ops[39]), (4, 2, 0, 2));
        assert_eq!((slices[1].0, slices[1].1), (MS * 10, MS * 10));
        assert!((295_000..306_000).contains(&slices[1].2.latency.max()));
    }

    #[test]
    fn what_comes_just_behind_the_end_belongs_to_the_last_slice() {
        let line = line(Some(MS * 400), &[(395, 1), (403, 1)], MS * 403);
        let slices = line.slices();
        let (at, length, last) = slices.last().unwrap();
        assert_eq!((slices.len(), *at, *length, last.ops), (SLICES, MS * 390, MS * 13, 4));
    }

    #[test]
    fn where_the_end_is_not_known_slices_become_longer_and_lose_nothing() {
        let answers: Vec<_> = (0..5000).map(|at| (at, 7)).collect();
        let line = line(None, &answers, MS * 5000);
        let slices = line.slices();
        assert!((SLICES..=SLICES_MAX).contains(&slices.len()), "{}", slices.len());
        assert_eq!(slices.iter().map(|(_, _, slice)| slice.ops).sum::<u64>(), 10_000);
        assert_eq!(slices.iter().map(|(_, length, _)| *length).sum::<Duration>(), MS * 5000);
        let (first, second) = (&slices[0], &slices[1]);
        assert_eq!((first.2.ops, second.2.ops), (second.2.ops, 2 * first.1.as_millis() as u64));
    }

    #[test]
    fn the_time_between_two_phases_is_nobodys() {
        let mut line = line(Some(MS * 80), &[(0, 1), (39, 1)], MS * 40);
        let begin = Instant::now() + MS * 700;
        line.resume(begin);
        line.record(begin + MS, 1, 1000);
        line.pause(begin + MS * 40);
        assert_eq!(line.elapsed(), MS * 80);
        let slices = line.slices();
        assert_eq!(slices.len(), 21);
        assert_eq!(slices[20].2.ops, 1, "at 41 of 80 ms");
    }
}
