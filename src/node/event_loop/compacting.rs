//! Compaction by an operator's word, or behind each new snapshot where the operator wants that: how much may go, and who holds it back.
//!
//! ```text
//!   asked ─► newest snapshot read back (background) ─► least of: asked, snapshot, members ─► log thread: mark
//!         ◄────────────── answer ◄── segments removed, with rests (background) ◄───────────────────┘
//! ```
//!
//! # Invariants
//! 1. Nothing goes that is not in a snapshot which was read back whole, nor what a member in sync still needs.
//! 2. For a member that is behind so many bytes stay as were asked for; beyond them it gets a snapshot when it is back.
//! 3. One compaction at a time.
//! 4. A record stays while it is among the newest or is young, whatever else is asked.

use serde_json::json;

use super::*;
use crate::error::{Code, Problem};
use crate::limits::{COMPACT_HOLD_BYTES, COMPACT_KEEP};
use crate::log::Front;
use crate::node::routes::{Handled, RouteError};
use crate::node::snapshots;

/// What stays, whatever a snapshot has.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct Bounds {
    /// So many of the newest records.
    pub(in crate::node) keep: u64,
    /// And those that are younger, by the times in the log.
    pub(in crate::node) younger: Option<Duration>,
    /// Bytes that may stay for members that are not in sync.
    pub(in crate::node) hold: u64,
    /// Whether to say only what would go.
    pub(in crate::node) dry_run: bool,
}

/// What an operator has asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Who is told; nobody when the node compacts by itself.
    pub(super) to: Option<ReplyTo>,
    pub(super) bounds: Bounds,
}

/// What the disk says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The newest snapshot that can be relied on.
    snapshot: Option<Version>,
    /// The first version that stays for its age.
    young: Option<Version>,
}

/// The one that is under way.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    asked: Option<Asked>,
    /// For the log thread, when it is free: the first version that stays.
    pub(super) wanted: Option<Version>,
    held_by: String,
}

impl Compaction {
    pub(super) fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }
}

impl Node {
    pub(super) fn ask_compaction(&mut self, asked: Asked, now: Now) {
        let problem = match self.cluster {
            Some(_) if self.compaction.asked.is_none() && self.is_steady() => None,
            Some(_) => Some("a compaction, a snapshot or a cut is under way"),
            None => Some("there is no log yet"),
        };
        if let Some(detail) = problem {
            let problem = Problem::new(Code::ResourceBusy, detail).hint("try again");
            // An error of the answer ends the node where it is told.
            drop(self.tell_asker(asked, Err(RouteError::Problem(problem))));
            return;
        }
        self.compaction.asked = Some(asked);
        let (folder, cluster, reader) = (self.dir.snapshots(), self.cluster.unwrap_or_default(), self.reader.clone());
        let micros = |age: Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        let older = asked.bounds.younger.map(|age| now.micros.saturating_sub(micros(age)));
        self.background.run(move || {
            let snapshot = snapshots::newest_whole(&folder, cluster);
            let snapshot = snapshot.map_err(|error| format!("the snapshots cannot be read: {error}"));
            let young = older.map(|time| reader.begins_after(time)).transpose();
            let young = young.map_err(|error| format!("the log cannot be read: {error}"));
            PoolDone::Relied(asked, snapshot.and_then(|snapshot| Ok(Found { snapshot, young: young? })))
        });
    }

    /// Behind a new snapshot, where the operator has said how many records stay, or for how long.
    pub(super) fn compact_by_itself(&mut self, now: Now) {
        let (keep, younger) = (self.config.compact_keep, self.config.compact_age);
        if (keep.is_some() || younger.is_some()) && !self.compaction.is_under_way() {
            let keep = keep.unwrap_or(COMPACT_KEEP);
            let bounds = Bounds { keep, younger, hold: COMPACT_HOLD_BYTES, dry_run: false };
            self.ask_compaction(Asked { to: None, bounds }, now);
        }
    }

    fn tell_asker(&mut self, asked: Asked, handled: Result<Handled, RouteError>) -> Result<(), NodeError> {
        match (asked.to, handled) {
            (Some(to), handled) => self.answer_elsewhere(to, handled),
            (None, Err(RouteError::Problem(problem))) => {
                ::log::warn!("the log is not compacted: {}", problem.detail);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// The first version that has to stay, and why.
    fn compaction_floor(
        &self,
        bounds: Bounds,
        snapshot: Version,
        young: Option<Version>,
    ) -> Result<(Version, String), NodeError> {
        let keep = bounds.keep;
        let cap = self.reader.keeps(&log::DiskVfs, bounds.hold)?;
        let core = self.engine.core();
        let members = core.config().map(|config| config.members.clone()).unwrap_or_default();
        let is_member = |id| members.iter().any(|member| member.id == id);
        let peers = core.peers();
        let others = peers.iter().filter(|peer| is_member(peer.member.id));
        let needs = others.map(|peer| {
            let (name, next) = (&peer.member.name, peer.fed.map_or(peer.acked, |fed| fed.max(peer.acked)) + 1);
            match peer.fed {
                _ if next < cap && !peer.in_sync => (cap, format!("{name} is further behind than is held for it")),
                Some(fed) => (next, format!("{name} is being given the snapshot of version {fed}")),
                None => (next, format!("{name} has not confirmed more")),
            }
        });
        let newest = (core.committed() + 1).saturating_sub(keep);
        if self.is_backing_up() {
            return Ok((self.reader.oldest(), "a backup is being taken".to_owned()));
        }
        let asked = [
            (newest, format!("{keep} records are kept")),
            (snapshot + 1, format!("the newest snapshot that can be relied on is of version {snapshot}")),
        ];
        let young = young.map(|version| (version, format!("what begins with version {version} is not old enough")));
        let all = asked.into_iter().chain(young).chain(needs);
        Ok(all.min_by_key(|(version, _)| *version).expect("there are two at least"))
    }

    pub(super) fn judge_compaction(&mut self, asked: Asked, found: Result<Found, String>) -> Result<(), NodeError> {
        let (snapshot, young) = match found {
            Ok(Found { snapshot: Some(version), young }) => (version, young),
            Ok(_) => return self.refuse_compaction(asked, "there is no snapshot that can be relied on"),
            Err(detail) => return self.refuse_compaction(asked, &detail),
        };
        let (keep, held_by) = self.compaction_floor(asked.bounds, snapshot, young)?;
        let (oldest, would) = self.reader.would_compact(&log::DiskVfs, keep)?;
        if asked.bounds.dry_run || would.segments == 0 {
            self.compaction = Compaction::default();
            return self.answer_compaction(asked, oldest, would, &held_by);
        }
        (self.compaction.wanted, self.compaction.held_by) = (Some(keep), held_by);
        Ok(())
    }

    fn refuse_compaction(&mut self, asked: Asked, detail: &str) -> Result<(), NodeError> {
        self.compaction = Compaction::default();
        let problem = Problem::new(Code::ResourceBusy, detail).hint("rig snapshot create");
        self.tell_asker(asked, Err(RouteError::Problem(problem)))
    }

    /// The log thread has taken them out of the log.
    pub(super) fn remove_front(&mut self, front: Front, now: Now) -> Result<(), NodeError> {
        self.engine.tell(Input::Compacted { oldest: front.oldest }, now)?;
        let hurry = self.hurry.clone();
        self.background.run(move || {
            PoolDone::Removed(front.remove(|bytes| {
                // The blocks of a file go back to the file system at once, and a disk may be told.
                hurry.rest(usize::try_from(bytes / 8).unwrap_or_default(), Duration::ZERO);
            }))
        });
        Ok(())
    }

    pub(super) fn end_compaction(&mut self, removed: Result<log::Compacted, LogError>) -> Result<(), NodeError> {
        let Compaction { asked, held_by, .. } = std::mem::take(&mut self.compaction);
        let oldest = self.reader.oldest();
        ::log::info!("the log begins with version {oldest} now");
        match (asked, removed) {
            (Some(asked), Ok(removed)) => self.answer_compaction(asked, oldest, removed, &held_by),
            (Some(asked), Err(error)) => {
                let detail =
                    format!("the log begins with version {oldest}, but not every old segment is gone: {error}");
                let problem = Problem::new(Code::Internal, detail).hint("what is left goes at the next start");
                self.tell_asker(asked, Err(RouteError::Problem(problem)))
            }
            (None, _) => Ok(()),
        }
    }

    fn answer_compaction(
        &mut self,
        asked: Asked,
        oldest: Version,
        removed: log::Compacted,
        held_by: &str,
    ) -> Result<(), NodeError> {
        let body = json!({
            "type": "compacted",
            "oldest": oldest,
            "segments": removed.segments,
            "size_bytes": removed.bytes,
            "held_by": held_by,
            "dry_run": asked.bounds.dry_run,
        });
        self.tell_asker(asked, Ok(Handled::Body(Body::data(&body))))
    }
}
