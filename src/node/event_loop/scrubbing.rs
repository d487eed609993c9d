//! The scrub of the log beside everything else: when it runs, and who hears what it has found.

use super::*;
use crate::node::damage::{self, Damage};

/// What was found before this start.
pub(super) fn found_before(dir: &DataDir) -> Result<Vec<Damage>, NodeError> {
    let path = dir.state().join("damage");
    let (found, unread) = damage::kept(&dir.state()).map_err(|source| NodeError::Io { op: "read", path, source })?;
    if unread > 0 {
        ::log::error!(
            "state/damage: {unread} of its lines cannot be read: what the scrub had found there it finds again;              `rig log verify` finds it now"
        );
    }
    Ok(found)
}

impl Node {
    /// The log was made whole from another node, and this one goes on with it.
    pub(super) fn tell_of_repair(&mut self, wanted: &repair::Wanted) {
        let repair::Wanted { from, upto, .. } = wanted;
        ::log::info!(
            "the log is whole again: versions {from} to {upto} came from another node, and the damaged bytes are in rescue/"
        );
        let facts = [("from".to_owned(), (*from).into()), ("to".to_owned(), (*upto).into())];
        self.tell_people("repaired", facts.into_iter().collect(), now());
    }

    /// Lets the background read the next segment, when it is due and the log stands still but for its end.
    pub(super) fn begin_scrub(&mut self, now: Now) {
        let is_away = self.repair.is_some() || self.cluster.is_none() || self.draining_until.is_some();
        if is_away || !self.in_background || self.cutting || self.cut.is_some() {
            return;
        }
        let Some(after) = self.scrub.begin(now.instant) else { return };
        let (dir, reader, hurry) = (self.dir.path().to_owned(), self.reader.clone(), self.scrub.hurry.clone());
        let (state, found) = (self.dir.state(), self.scrub.found());
        self.background.run(move || {
            let read = scrub::read(&dir, &reader, after, &hurry);
            if let Ok(Some(read)) = &read
                && let Err(error) = scrub::keep(&state, found, read)
            {
                ::log::warn!("keep what the scrub has found: {error}; it is tried again with the next segment");
            }
            PoolDone::Scrubbed(read)
        });
    }

    /// A segment was read. What it has that was not known yet is said everywhere; the node serves on, for its state came
    /// from the log when that was whole.
    pub(super) fn end_scrub(&mut self, read: Result<Option<scrub::Read>, LogError>, now: Now) {
        let Some(finding) = self.scrub.end(read, now.instant, now.micros) else { return };
        let place = match (&finding.segment, finding.offset) {
            (Some(segment), Some(offset)) => format!("{segment} at byte {offset}"),
            (Some(segment), None) => segment.clone(),
            _ => "the log".to_owned(),
        };
        let version = finding.version.map(|version| format!(", version {version}")).unwrap_or_default();
        ::log::error!(
            "damage in {place}{version}: {}; the node serves on from memory: see `rig log verify`, and keep a copy of another node",
            finding.message
        );
        self.tell_people("damage", scrub::facts(&finding), now);
    }
}
