//! When a snapshot is taken: by itself, by an operator's word, and at an orderly stop.
//!
//! ```text
//!   by itself:  so many records behind the newest one, but not every moment  ─or─  so long since then, and something new
//! ```
//!
//! # Not here
//! The files (`node::snapshots`), what is in them (`node::engine`).

use super::*;
use crate::error::{Code, Problem};
use crate::node::routes::{Handled, RouteError};
use crate::node::snapshots::{self, Contents};

/// A snapshot is due after as many records as half of its documents, or as the last one had KiB where only the
/// service knows what is in it; so that writing them costs a bounded share and replaying them at a start a bounded
/// time. But not for fewer than these, which take about 20 ms.
const SNAPSHOT_RECORDS_MIN: u64 = 12_000;
/// And not sooner after the last one: at full speed that would be four in a second, and keys are merged for each.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);
/// By the clock it is worth writing for so many records, however long they took.
const SNAPSHOT_BY_TIME_RECORDS_MIN: u64 = 100;
/// At an orderly stop a snapshot is worth its time when this many records would be replayed otherwise.
const LAST_SNAPSHOT_RECORDS_MIN: u64 = 1_000;
/// An operator hears within this time that none could be begun.
const BEGIN_MAX: Duration = Duration::from_secs(5);

/// The newest one, the one that is being written, and who waits.
#[derive(Debug)]
pub(super) struct Snapshotting {
    newest: Version,
    /// When that was written; the start, before the first.
    at: Instant,
    /// How many records behind the newest one it was when the one that is being written was begun.
    running: Option<u64>,
    /// Who waits for one that is still to be begun, and since when; and for the one that is being written.
    asked: Vec<(ReplyTo, Instant)>,
    waiting: Vec<ReplyTo>,
}

impl Snapshotting {
    pub(super) fn new(newest: Version, now: Instant) -> Self {
        Self { newest, at: now, running: None, asked: Vec::new(), waiting: Vec::new() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn ask(&mut self, to: ReplyTo, now: Instant) {
        self.asked.push((to, now));
    }

    /// What is above a version does not belong to the log any more.
    pub(super) fn none_above(&mut self, version: Version) {
        self.newest = self.newest.min(version);
    }

    fn records_to(&self, applied: Version) -> u64 {
        applied.saturating_sub(self.newest)
    }

    /// Whether one is due by so many records.
    fn is_due(&self, records: u64, interval: u64, now: Instant) -> bool {
        records >= interval && now.saturating_duration_since(self.at) >= SNAPSHOT_PAUSE
    }

    /// Whether one is due by the clock.
    fn is_time(&self, records: u64, interval: Option<Duration>, now: Instant) -> bool {
        let has_passed = |interval| now.saturating_duration_since(self.at) >= interval;
        records >= SNAPSHOT_BY_TIME_RECORDS_MIN && interval.is_some_and(has_passed)
    }
}

impl Node {
    /// Begins the one that is due or asked for.
    pub(super) fn take_snapshots(&mut self, now: Now) -> Result<(), NodeError> {
        let (since, interval) = (self.records_since_snapshot(), self.snapshot_interval());
        let may = self.cluster.is_some() && self.is_steady() && self.engine.core().diverged().is_none();
        let is_due = self.snapshotting.is_due(since, interval, now.instant)
            || self.snapshotting.is_time(since, self.config.snapshot_interval, now.instant);
        if let Some(begun) = self.snapshotting.running {
            // What a start would replay is bounded, and who asks waits: neither has time for rests.
            let bound = interval.max(begun);
            if since >= bound + bound / 2 || !self.snapshotting.asked.is_empty() {
                self.hurry.set(true);
            }
        } else if may && (is_due || !self.snapshotting.asked.is_empty()) {
            self.begin_snapshot();
        }
        let is_running = self.snapshotting.is_running();
        let late = |(_, since): &mut (ReplyTo, Instant)| !is_running && now.instant >= *since + BEGIN_MAX;
        for (to, _) in self.snapshotting.asked.extract_if(.., late).collect::<Vec<_>>() {
            let detail = "no snapshot can be taken now: the state is being built, or the log is being cut";
            let problem = Problem::new(Code::ResourceBusy, detail).hint("`rig status` says more; try again");
            self.answer_elsewhere(to, Err(RouteError::Problem(problem)))?;
        }
        Ok(())
    }

    fn records_since_snapshot(&self) -> u64 {
        self.snapshotting.records_to(self.engine.applied().version)
    }

    fn snapshot_interval(&self) -> u64 {
        let records = match self.engine.service().documents() {
            Some(documents) => documents.len() as u64 / 2,
            None => self.metrics.snapshot_bytes >> 10,
        };
        records.max(SNAPSHOT_RECORDS_MIN)
    }

    fn begin_snapshot(&mut self) {
        let Some(cluster) = self.cluster else { return };
        let Some((service, keys, position, chronicle)) = self.engine.freeze() else { return };
        self.snapshotting.running = Some(self.records_since_snapshot());
        self.snapshotting.waiting = self.snapshotting.asked.drain(..).map(|(to, _)| to).collect();
        let contents = Contents { cluster, position, chronicle, service, keys };
        let (folder, version) = (self.dir.snapshots(), position.version);
        let is_asked_for = !self.snapshotting.waiting.is_empty();
        self.hurry.set(self.draining_until.is_some() || is_asked_for);
        let (hurry, is_relied_on) = (self.hurry.clone(), self.reader.oldest() > 1);
        self.background.run(move || {
            let written = snapshots::write(&folder, contents, &hurry);
            // Where the log does not reach back, an older one goes only for one that is known to be whole.
            let reads_back = is_asked_for || is_relied_on;
            let checked = reads_back.then(|| snapshots::read_back(&folder, cluster, version));
            let written = written.and_then(|written| {
                if checked.as_ref().is_none_or(Result::is_ok) {
                    snapshots::tidy(&folder, cluster)?;
                }
                Ok(written)
            });
            PoolDone::Snapshot { version, written, checked }
        });
    }

    pub(super) fn end_snapshot(
        &mut self,
        version: Version,
        written: io::Result<(Runs, u64)>,
        checked: Option<io::Result<SnapshotInfo>>,
        now: Now,
    ) -> Result<(), NodeError> {
        self.snapshotting.running = None;
        self.answer_snapshot(version, written.as_ref().err(), checked)?;
        // After a failure the next one is due as if this one had been written: a full disk is not filled more.
        (self.snapshotting.newest, self.snapshotting.at) = (version, now.instant);
        let runs = match written {
            Ok((runs, bytes)) => {
                self.metrics.snapshots += 1;
                self.metrics.snapshot_bytes = bytes;
                Some(runs)
            }
            Err(error) => {
                self.metrics.snapshot_failures += 1;
                ::log::warn!("write the snapshot of version {version}: {error}; the log has everything");
                None
            }
        };
        let is_written = runs.is_some();
        let leftover = self.engine.thaw(runs);
        self.background.run(move || {
            drop(leftover);
            PoolDone::Nothing
        });
        if is_written {
            self.compact_by_itself(now);
        }
        Ok(())
    }

    /// Tells those who asked for it what was read back.
    fn answer_snapshot(
        &mut self,
        version: Version,
        failed: Option<&io::Error>,
        checked: Option<io::Result<SnapshotInfo>>,
    ) -> Result<(), NodeError> {
        let waiting = std::mem::take(&mut self.snapshotting.waiting);
        let problem = |error: &io::Error, what: &str| {
            let code = if error.kind() == io::ErrorKind::StorageFull { Code::DiskFull } else { Code::Internal };
            Problem::new(code, format!("{what} the snapshot of version {version}: {error}"))
        };
        let outcome = match (failed, &checked) {
            (Some(error), _) => Err(problem(error, "write")),
            (None, Some(Err(error))) => Err(problem(error, "read back")),
            (None, Some(Ok(info))) => Ok(info),
            (None, None) => return Ok(()),
        };
        for to in waiting {
            let handled = match &outcome {
                Ok(info) => Ok(Handled::Body(Body::data(info))),
                Err(problem) => Err(RouteError::Problem(problem.clone())),
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    /// The snapshot of an orderly stop, so that the next start replays next to nothing.
    pub(super) fn last_snapshot(&mut self) {
        if self.again {
            // Log and state make way for others.
            return;
        }
        let until = Instant::now() + self.config.drain;
        while self.snapshotting.is_running() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
            if self.take_pool_done(now()).is_err() {
                return;
            }
        }
        let is_right = self.engine.core().diverged().is_none();
        if self.snapshotting.is_running() || !is_right || self.records_since_snapshot() < LAST_SNAPSHOT_RECORDS_MIN {
            return;
        }
        self.begin_snapshot();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_records_one_is_due_when_there_are_enough_and_the_last_one_is_not_of_a_moment_ago() {
        let begin = Instant::now();
        let mut state = Snapshotting::new(1000, begin);
        assert!(!state.is_due(99, 100, begin + SNAPSHOT_PAUSE * 100), "too few");
        assert!(!state.is_due(5000, 100, begin + SNAPSHOT_PAUSE / 2), "too soon");
        assert!(state.is_due(100, 100, begin + SNAPSHOT_PAUSE));
        state.at = begin + SNAPSHOT_PAUSE;
        assert!(!state.is_due(100, 100, begin + SNAPSHOT_PAUSE), "from the newest on");
    }

    #[test]
    fn by_the_clock_one_is_due_when_the_time_has_passed_and_there_is_something_new() {
        let (begin, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut state = Snapshotting::new(1000, begin);
        let is_time = |state: &Snapshotting, applied, interval, after| {
            state.is_time(state.records_to(applied), interval, begin + after)
        };
        assert!(!is_time(&state, 5000, Some(hour), hour - Duration::from_secs(1)), "too early");
        assert!(is_time(&state, 5000, Some(hour), hour));
        assert!(!is_time(&state, 1099, Some(hour), hour * 100), "next to nothing is new");
        assert!(is_time(&state, 1100, Some(hour), hour * 100));
        assert!(!is_time(&state, 5000, None, hour * 100), "never");
        (state.newest, state.at) = (5000, begin + hour);
        assert!(!is_time(&state, 9000, Some(hour), hour + hour / 2), "from the newest on");
        state.none_above(2000);
        assert!(is_time(&state, 2100, Some(hour), hour * 2), "what was cut off is not counted");
    }
}
