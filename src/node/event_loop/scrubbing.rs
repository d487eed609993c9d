//! The scrub of the log beside everything else: when it runs, and who hears what it has found.

use super::*;

impl Node {
    /// Lets the background read the next segment, when it is due and the log stands still but for its end.
    pub(super) fn begin_scrub(&mut self, now: Now) {
        let is_away = self.repair.is_some() || self.cluster.is_none() || self.draining_until.is_some();
        if is_away || !self.in_background || self.cutting || self.cut.is_some() {
            return;
        }
        let Some(after) = self.scrub.begin(now.instant) else { return };
        let (dir, reader, hurry) = (self.dir.path().to_owned(), self.reader.clone(), self.scrub.hurry.clone());
        self.background.run(move || PoolDone::Scrubbed(scrub::read(&dir, &reader, after, &hurry)));
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
