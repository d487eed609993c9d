//! The thread that hands over what is committed, and keeps an eye on how the service is.
//!
//! ```text
//!              info          from the log           batches
//!   unknown ─────────► behind ─────────► brought up ─────────► (idle: health once a second)
//!      ▲                                     │
//!      └──────── after any fault, with 50 ms to 5 s between two tries
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::courier::{Done, Feed, Shared};
use super::{Caller, Committed, Fault, Info};
use crate::log::Reader;
use crate::node::engine::Condition;
use crate::node::start::wall_clock;
use crate::service::Outcome;
use crate::types::{Hash, Micros, Record, Version};

/// How often a service that has nothing to do is asked how it is.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// Between two tries, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Steps of waiting, so that a stop is not kept waiting itself.
const STEP: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Feeder {
    caller: Arc<dyn Caller>,
    shared: Arc<Shared>,
    reader: Reader,
    /// What the engine has applied: the service must have it too.
    floor: Version,
    /// How far the service is; `None`: it must be asked.
    at: Option<Version>,
    /// The caller's generation when it was asked.
    generation: u64,
    max_batch: usize,
    backoff: Duration,
    /// What is wrong, as it was said last, and since when something is.
    stalled: Option<(String, Micros)>,
    is_serving: bool,
    /// The file that says that the service must be made empty first.
    reset: Option<PathBuf>,
}

impl Feeder {
    pub(super) fn new(
        caller: Arc<dyn Caller>,
        shared: Arc<Shared>,
        reader: Reader,
        floor: Version,
        reset: Option<PathBuf>,
    ) -> Self {
        Self {
            caller,
            shared,
            reader,
            floor,
            at: None,
            generation: 0,
            max_batch: 1,
            backoff: BACKOFF.0,
            stalled: None,
            is_serving: false,
            reset,
        }
    }

    pub(super) fn run(mut self, fed: &Receiver<Feed>) {
        let mut look_at = Instant::now();
        while !self.shared.is_stopped() {
            match fed.recv_timeout(look_at.saturating_duration_since(Instant::now())) {
                Ok(Feed::Records { resets, records }) => self.hand_over(resets, &records),
                Ok(Feed::Log(reader)) => self.reader = reader,
                Ok(Feed::Reset { floor, marker }) => {
                    (self.floor, self.at, self.reset) = (floor, None, Some(marker));
                    (self.is_serving, self.stalled) = (false, None);
                    look_at = Instant::now();
                    continue;
                }
                Ok(Feed::Look) => self.at = None,
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            look_at = Instant::now() + if self.stalled.is_some() { self.backoff } else { HEALTH_EVERY };
            if self.at.is_none() && self.stalled.is_none() {
                look_at = Instant::now();
            }
        }
    }

    /// Hands over a batch, however long it takes.
    fn hand_over(&mut self, resets: u64, records: &[Record]) {
        let mut rest = records;
        while !rest.is_empty() {
            match self.try_hand_over(rest) {
                Ok(outcomes) => {
                    rest = &rest[outcomes.len()..];
                    self.floor += outcomes.len() as Version;
                    self.at = Some(self.floor);
                    self.is_well();
                    self.shared.say(Done::Applied { resets, outcomes });
                }
                Err(fault) => {
                    self.suffer(&fault);
                    self.wait();
                }
            }
            if self.shared.is_stopped() || self.shared.resets() != resets {
                return;
            }
        }
    }

    fn try_hand_over(&mut self, records: &[Record]) -> Result<Vec<Outcome>, Fault> {
        self.bring_up()?;
        let part = &records[..records.len().min(self.max_batch)];
        let outcomes = self.caller.apply(&part.iter().map(committed).collect::<Vec<_>>())?;
        if outcomes.is_empty() || outcomes.len() > part.len() {
            let detail = format!("{} results for {} operations", outcomes.len(), part.len());
            return Err(Fault::Violation { rule: "A7", detail });
        }
        Ok(outcomes)
    }

    /// How is it, while there is nothing else to do?
    fn look(&mut self) {
        let is_well = self.at.is_none() || self.caller.generation() != self.generation || self.caller.health().is_ok();
        if !is_well || self.caller.generation() != self.generation {
            self.at = None;
        }
        match self.bring_up() {
            Ok(()) => self.is_well(),
            Err(fault) => self.suffer(&fault),
        }
    }

    /// It does what is asked of it: that is said, if something else was said before.
    fn is_well(&mut self) {
        if !std::mem::replace(&mut self.is_serving, true) {
            self.stalled = None;
            self.shared.stalled(false);
            self.say_is(Condition::Serving);
        }
    }

    /// Makes sure that the service has everything that the engine has applied.
    fn bring_up(&mut self) -> Result<(), Fault> {
        if self.at.is_some() && self.caller.generation() != self.generation {
            self.at = None;
        }
        if self.at.is_none() {
            self.shared.brought_up(None);
            self.empty_it()?;
            self.introduce()?;
        }
        while let Some(at) = self.at.filter(|at| *at < self.floor) {
            if self.stalled.is_none() {
                self.say_is(Condition::Starting { replayed: Some(at) });
            }
            self.replay(at)?;
            if self.shared.is_stopped() {
                return Err(Fault::Away("the node stops".into()));
            }
        }
        self.shared.brought_up(Some(self.generation));
        Ok(())
    }

    /// Asks who it is, and holds what it says against the log.
    fn introduce(&mut self) -> Result<(), Fault> {
        self.generation = self.caller.generation();
        let info = self.caller.info()?;
        // It may have been started by the question itself.
        self.generation = self.caller.generation();
        check(&info, &self.reader)?;
        self.max_batch = info.max_batch.max(1);
        self.at = Some(info.applied);
        self.shared.say(Done::Said(info));
        Ok(())
    }

    /// Gives it the next ones from the log.
    fn replay(&mut self, at: Version) -> Result<(), Fault> {
        let upto = self.floor.min(at + self.max_batch as Version);
        let unread = |error: &dyn std::fmt::Display| Fault::Away(format!("the log could not be read for it: {error}"));
        let records: Result<Vec<Record>, _> = self.reader.records(at + 1, upto).collect();
        let records = records.map_err(|error| unread(&error))?;
        if records.is_empty() {
            return Err(unread(&format!("version {} is not there", at + 1)));
        }
        let outcomes = self.caller.apply(&records.iter().map(committed).collect::<Vec<_>>())?;
        if outcomes.is_empty() {
            return Err(Fault::Violation { rule: "A7", detail: "no result".into() });
        }
        self.at = Some(at + outcomes.len() as Version);
        self.shared.say(Done::Replayed { first: at + 1, outcomes });
        Ok(())
    }

    /// Makes it empty, if that is due.
    fn empty_it(&mut self) -> Result<(), Fault> {
        let Some(marker) = &self.reset else { return Ok(()) };
        let info = self.caller.info()?;
        if info.applied > 0 && !info.snapshots {
            let why = "it holds what this log has not, and has no restore: make it empty by hand, and start it again";
            return Err(Fault::Away(why.into()));
        }
        if info.applied > 0 {
            log::info!("the service is made empty and given the log again, up to version {}", self.floor);
            self.caller.restore(0, &mut io::empty())?;
        }
        remove_durably(marker)
            .map_err(|error| Fault::Away(format!("the node cannot remove {}: {error}", marker.display())))?;
        self.reset = None;
        Ok(())
    }

    /// Something is wrong: it is asked again from the beginning.
    fn suffer(&mut self, fault: &Fault) {
        if self.shared.is_stopped() {
            return;
        }
        if let Fault::Gap(at) = fault
            && *at < self.floor
            && self.at.is_none_or(|before| *at < before)
        {
            // It has less than it had: what is missing is in the log.
            log::warn!("the service has gone back to version {at}: it is given the log from there");
            (self.at, self.is_serving) = (Some(*at), false);
            return;
        }
        (self.at, self.is_serving) = (None, false);
        self.shared.brought_up(None);
        let why = fault.to_string();
        self.backoff = if self.stalled.is_none() { BACKOFF.0 } else { (self.backoff * 2).min(BACKOFF.1) };
        if self.stalled.as_ref().is_none_or(|(before, _)| *before != why) {
            match fault {
                Fault::Violation { .. } | Fault::Refused(_) => log::error!("the service: {why}"),
                Fault::Away(_) | Fault::Gap(_) => log::warn!("the service: {why}"),
            }
            self.shared.stalled(true);
            let since = self.stalled.take().map_or_else(wall_clock, |(_, since)| since);
            self.say_is(Condition::Stalled { why: why.clone(), since });
            self.stalled = Some((why, since));
        }
    }

    fn say_is(&self, condition: Condition) {
        self.shared.say(Done::Is(condition));
    }

    /// Between two tries, with up to a quarter taken off.
    fn wait(&self) {
        if self.at.is_some() {
            return;
        }
        let quarter = u64::try_from(self.backoff.as_millis() / 4).unwrap_or(0).max(1);
        let off = uuid::Uuid::now_v7().as_u64_pair().1 % quarter;
        let until = Instant::now() + self.backoff - Duration::from_millis(off);
        let resets = self.shared.resets();
        while Instant::now() < until && !self.shared.is_stopped() && self.shared.resets() == resets {
            std::thread::sleep(STEP.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

/// A service can be behind this log, and nothing else.
///
/// # Errors
/// It knows of versions that the log has not, or was given another log.
pub(in crate::node) fn check(info: &Info, reader: &Reader) -> Result<(), Fault> {
    let ahead = |detail: String| Err(Fault::Violation { rule: "service_ahead", detail });
    let end = reader.durable();
    if info.applied > end {
        return ahead(format!("it has applied version {}, and the log ends at {end}", info.applied));
    }
    let hash: Option<Hash> = info.applied_hash;
    match (hash, reader.hash(info.applied)) {
        (Some(its), Ok(Some(ours))) if its != ours => {
            ahead(format!("the record {} that it has applied is not the one in this log", info.applied))
        }
        _ => Ok(()),
    }
}

fn committed(record: &Record) -> Committed<'_> {
    Committed {
        version: record.version,
        epoch: record.epoch,
        time: record.time,
        operation: &record.operation,
        hash: record.hash,
    }
}

fn remove_durably(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all(),
    }
}
