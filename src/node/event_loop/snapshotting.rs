//! When a snapshot is taken: by itself, by an operator's word, and at an orderly stop.
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
/// At an orderly stop a snapshot is worth its time when this many records would be replayed otherwise.
const LAST_SNAPSHOT_RECORDS_MIN: u64 = 1_000;
/// An operator hears within this time that none could be begun.
const BEGIN_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// Begins the one that is due or asked for.
    pub(super) fn take_snapshots(&mut self, now: Now) -> Result<(), NodeError> {
        let (since, interval) = (self.records_since_snapshot(), self.snapshot_interval());
        let may = self.cluster.is_some() && self.is_steady() && self.engine.core().diverged().is_none();
        if self.snapshot_running {
            // What a start would replay is bounded, and who asks waits: neither has time for rests.
            if since >= interval + interval / 2 || !self.snapshot_asked.is_empty() {
                self.hurry.set(true);
            }
        } else if may && (since >= interval || !self.snapshot_asked.is_empty()) {
            self.begin_snapshot();
        }
        let is_running = self.snapshot_running;
        let late = |(_, since): &mut (ReplyTo, Instant)| !is_running && now.instant >= *since + BEGIN_MAX;
        for (to, _) in self.snapshot_asked.extract_if(.., late).collect::<Vec<_>>() {
            let detail = "no snapshot can be taken now: the state is being built, or the log is being cut";
            let problem = Problem::new(Code::ResourceBusy, detail).hint("`rig status` says more; try again");
            self.answer_elsewhere(to, Err(RouteError::Problem(problem)))?;
        }
        Ok(())
    }

    fn records_since_snapshot(&self) -> u64 {
        self.engine.applied().version.saturating_sub(self.snapshot)
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
        self.snapshot_running = true;
        self.snapshot_for = self.snapshot_asked.drain(..).map(|(to, _)| to).collect();
        let contents = Contents { cluster, position, chronicle, service, keys };
        let (folder, version) = (self.dir.snapshots(), position.version);
        let is_asked_for = !self.snapshot_for.is_empty();
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
    ) -> Result<(), NodeError> {
        self.snapshot_running = false;
        self.answer_snapshot(version, written.as_ref().err(), checked)?;
        // After a failure the next one is due as if this one had been written: a full disk is not filled more.
        self.snapshot = version;
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
            self.compact_by_itself();
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
        let waiting = std::mem::take(&mut self.snapshot_for);
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
        while self.snapshot_running && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
            if self.take_pool_done(now()).is_err() {
                return;
            }
        }
        let is_right = self.engine.core().diverged().is_none();
        if self.snapshot_running || !is_right || self.records_since_snapshot() < LAST_SNAPSHOT_RECORDS_MIN {
            return;
        }
        self.begin_snapshot();
    }
}
