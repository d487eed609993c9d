//! The state of a replica that has diverged is built anew from the log.
//!
//! ```text
//!   diverged ─(hold)─► no snapshot from there on ─► an older one, or nothing ─► replay, piece by piece ─► in its place
//!      ▲                                                                                                    │
//!      └────────────────── the result is still another ◄────────────────────────────────────────────────────┴─► follows again
//! ```
//!
//! The old state goes on to be applied to meanwhile, so that what waits in memory is bounded; for the last piece it stands
//! still. It is in memory alone that a node has diverged: a start builds the state from the same snapshots anyway.
//!
//! A service in another process is made empty and given the log again, by those who call it; its results are compared anew.
//!
//! # Invariants
//! 1. While a node has diverged no snapshot of it is written, and of those that are there it keeps none of the version that
//!    differs or a later one.
//! 2. A log that is to be cut does not wait for more than a piece; what was built up to then is thrown away.

use super::*;
use crate::node::snapshots;

/// The first hold, and the longest: who comes to the same difference again and again waits twice as long each time.
const HOLD_FIRST: Duration = Duration::from_secs(1);
const HOLD_LAST: Duration = Duration::from_secs(60);
/// Who was well for so long begins without a hold.
const WELL: Duration = Duration::from_secs(600);
/// Records of one piece: about a second.
const PIECE: Version = 64 << 10;
/// The rest for which the old state stands still.
const REST: Version = 4096;

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Healing {
    running: bool,
    /// A service outside is being given the log again.
    resetting: bool,
    /// When the next attempt begins.
    at: Option<Instant>,
    hold: Duration,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Healing {
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// When an attempt may begin, for a difference that is seen now.
    fn begin_at(&mut self, now: Instant) -> Instant {
        *self.at.get_or_insert_with(|| {
            let again = self.ended.is_some_and(|ended| now.duration_since(ended) < WELL);
            self.hold = if again { (self.hold * 2).clamp(HOLD_FIRST, HOLD_LAST) } else { Duration::ZERO };
            now + self.hold
        })
    }
}

impl Node {
    /// Whether nothing on the pool depends on where log and state stand.
    pub(super) fn is_steady(&self) -> bool {
        !self.snapshotting.is_running() && !self.cutting && self.cut.is_none()
    }

    /// Begins to build the state anew, when it has diverged and it is time.
    pub(super) fn heal(&mut self, now: Now) -> Result<(), NodeError> {
        let (Some(bad), Some(cluster)) = (self.engine.core().diverged(), self.cluster) else {
            self.healing.at = None;
            return Ok(());
        };
        let is_due = now.instant >= self.healing.begin_at(now.instant);
        let is_busy = self.healing.running || self.healing.resetting || self.keys_loading || !self.is_steady();
        if !is_due || is_busy {
            return Ok(());
        }
        ::log::warn!("the result of version {bad} is another than the primary's: the state is built anew from the log");
        if self.outside.is_some() {
            self.healing.resetting = true;
            return self.reset_service();
        }
        self.healing.running = true;
        self.snapshotting.none_above(bad - 1);
        let (dir, config, reader) = (self.dir.clone(), self.config.clone(), self.reader.clone());
        self.pool.run(move || {
            let folder = dir.snapshots();
            let removed = snapshots::remove_after(&folder, bad - 1).map_err(|source| NodeError::Io {
                op: "remove snapshots in",
                path: folder,
                source,
            });
            let state = removed.and_then(|()| start::restored(&dir, &config, cluster, &reader, bad - 1));
            PoolDone::Healed(state.map(Box::new))
        });
        Ok(())
    }

    /// A service outside has everything again.
    pub(super) fn service_is_whole(&mut self, now: Now) -> Result<(), NodeError> {
        let was_resetting = std::mem::replace(&mut self.healing.resetting, false);
        let core = self.engine.core();
        // While the log is being cut another reset follows; what has become a primary has the right state by force.
        if was_resetting && core.diverged().is_some() && core.role() == Role::Replica && self.is_steady() {
            return self.healed(self.engine.applied().version, now);
        }
        Ok(())
    }

    /// A piece was replayed: the next one, or the state takes its place.
    pub(super) fn take_healed(&mut self, state: start::State, now: Now) -> Result<(), NodeError> {
        self.healing.running = false;
        let core = self.engine.core();
        if core.diverged().is_none() || core.role() == Role::Primary || !self.is_steady() {
            self.engine.stand_still(false);
            self.drop_elsewhere(state);
            return Ok(());
        }
        let (upto, applied) = (state.applied.version, self.engine.applied().version);
        if upto < applied {
            self.engine.stand_still(applied - upto <= REST);
            self.heal_piece(state, applied.min(upto + PIECE));
            return Ok(());
        }
        self.engine.stand_still(false);
        let start::State { service, keys, chronicle, marks, applied, .. } = state;
        let old = self.engine.exchange_state(service, keys, chronicle, marks, applied);
        self.drop_elsewhere(old);
        self.healed(applied.version, now)
    }

    /// The state was built anew: does it still differ?
    fn healed(&mut self, applied: Version, now: Now) -> Result<(), NodeError> {
        (self.healing.at, self.healing.ended) = (None, Some(now.instant));
        let input = match self.engine.differs() {
            None => Input::StateRebuilt { applied },
            Some(version) => Input::StateDiverged { version },
        };
        Ok(self.engine.tell(input, now)?)
    }

    fn heal_piece(&mut self, mut state: start::State, upto: Version) {
        self.healing.running = true;
        let reader = self.reader.clone();
        self.pool.run(move || PoolDone::Healed(state.replay(&reader, upto).map(|()| Box::new(state))));
    }

    /// To free a large state takes long.
    fn drop_elsewhere(&self, state: impl Send + 'static) {
        self.pool.run(move || {
            drop(state);
            PoolDone::Nothing
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_waits_for_nothing_and_those_that_follow_soon_twice_as_long_each_time() {
        let (mut healing, mut now) = (Healing::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            let at = healing.begin_at(now);
            assert_eq!(healing.begin_at(now + Duration::from_millis(5)), at);
            waits.push((at - now).as_secs());
            (healing.at, healing.ended) = (None, Some(at));
            now = at;
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(healing.begin_at(now + WELL), now + WELL);
    }
}
