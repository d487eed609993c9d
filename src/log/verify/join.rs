//! The pieces in their order: that they meet, what the end means, and the sum of it.

use super::super::error::Fault;
use super::super::format::FORMAT_FIRST;
use super::super::reader::Held;
use super::super::recovery::{Inventory, Scanned, Verdict, beginning, judge};
use super::plan::{Part, Plan};
use super::walk::{Ends, Fallen, Walked, What};
use super::{Finding, Options, SegmentRow, Severity, Summary};
use crate::types::{Epoch, Hash, Position, Version};

pub(crate) struct Join<'a> {
    plan: &'a Plan,
    found: &'a Inventory,
    options: &'a Options,
    findings: &'a mut dyn FnMut(Finding),
    summary: Summary,
    /// The last whole record so far.
    last: Option<Ends>,
    /// Whether everything up to `last` was understood, so that what follows must continue it.
    unbroken: bool,
    /// Which segment `last` is in.
    part: Option<usize>,
    commit_upto: Version,
    /// The rest of the newest segment is a torn tail, or an error was enough.
    over: bool,
    newest_fell: bool,
}

impl<'a> Join<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        found: &'a Inventory,
        options: &'a Options,
        findings: &'a mut dyn FnMut(Finding),
    ) -> Self {
        let row = |part: &Part| SegmentRow {
            name: part.name.clone(),
            base: part.base,
            last: part.base - 1,
            records: 0,
            bytes: 0,
            file_bytes: part.len,
            errors: 0,
        };
        let summary = Summary {
            cluster: plan.cluster,
            records: 0,
            errors: 0,
            notes: 0,
            head: (0, Hash::default()),
            segments: plan.parts.iter().map(row).collect(),
        };
        let mut join = Self {
            plan,
            found,
            options,
            findings,
            summary,
            last: None,
            unbroken: true,
            part: None,
            commit_upto: 0,
            over: false,
            newest_fell: false,
        };
        join.begin();
        join
    }

    /// What can be said before a record is read: the mark, the front of the log.
    fn begin(&mut self) {
        let broken = self.found.mark.broken;
        if broken > 0 && self.options.held == Held::ByNobody {
            let severity = if broken > 1 { Severity::Error } else { Severity::Note };
            let message = format!("{broken} of 2 slots of state/mark do not match their checksum");
            self.tell(severity, "mark", None, None, None, message);
        }
        let leftover = self.found.leftover.len();
        if leftover > 0 {
            let message =
                format!("{leftover} segments before the oldest one: a compaction is under way, or was cut short");
            self.tell(Severity::Note, "leftover", None, None, None, message);
        }
        let oldest = self.found.mark.oldest(self.found.bases.first().copied());
        let known = self.found.known();
        match self.found.bases.first() {
            Some(&base) if base > oldest => self.missing(oldest, base - 1),
            None if known >= oldest => self.missing(oldest, known),
            _ => {}
        }
    }

    /// Takes the result of the next piece; false when nothing more is wanted.
    pub(crate) fn take(&mut self, place: usize, walked: Walked) -> bool {
        let piece = &self.plan.pieces[place];
        if self.over {
            return false;
        }
        let part = &self.plan.parts[piece.part];
        let is_newest = part.last.is_none();
        if self.part != Some(piece.part) {
            self.enter(piece.part, &walked);
        } else if self.unbroken {
            self.meet(piece.part, piece.start, &walked);
        }
        let torn = if is_newest && self.plan.judges_end && !self.newest_fell {
            self.judge_end(piece.part, &walked)
        } else {
            None
        };
        self.commit_upto = self.commit_upto.max(walked.commit_upto);
        let (records, last, end) = match (torn, walked.before_fault) {
            (Some(offset), Some((records, last))) => (records, last, offset),
            _ => (walked.records, walked.last, walked.end),
        };
        let row = &mut self.summary.segments[piece.part];
        row.records += records;
        row.bytes = end;
        self.summary.records += records;
        if let Some(last) = last {
            row.last = last.version;
            self.last = Some(last);
            self.summary.head = (last.version, last.hash);
        }
        for fallen in walked.fallen {
            if torn.is_none_or(|torn| fallen.offset < torn) {
                self.told(piece.part, fallen);
            }
        }
        self.unbroken = walked.complete;
        self.over = torn.is_some() || (self.options.fail_fast && self.summary.errors > 0);
        !self.over
    }

    /// The first piece of a segment: its header, and that it continues the segment before it.
    fn enter(&mut self, place: usize, walked: &Walked) {
        let part = &self.plan.parts[place];
        match &part.header {
            Err(fault) => {
                let message = format!("segment header: {fault}");
                self.tell(Severity::Error, "header", Some(part.base), Some(place), Some(0), message);
            }
            Ok(header) if header.cluster != self.plan.cluster => {
                let message = format!("belongs to cluster {}, not to {}", header.cluster, self.plan.cluster);
                self.tell(Severity::Error, "foreign", Some(part.base), Some(place), Some(0), message);
            }
            Ok(header) => {
                let before = match self.last {
                    Some(last) if self.unbroken && last.version + 1 == part.base => Some(last.hash),
                    None if part.base == 1 => Some(beginning(&self.plan.cluster).hash),
                    _ => None,
                };
                if let Some(expected) = before.filter(|&before| before != header.before) {
                    let fault = Fault::Chain { found: header.before, expected };
                    let message = format!("segment header: {fault}");
                    self.tell(Severity::Error, "chain", Some(part.base), Some(place), Some(40), message);
                }
            }
        }
        if self.part.is_some() {
            let last = self.last.map_or(0, |last| last.version);
            if part.base > last + 1 && self.unbroken {
                self.missing(last + 1, part.base - 1);
            } else if part.base <= last {
                let message = format!("begins with version {}, though version {last} came before", part.base);
                self.tell(Severity::Error, "gap", Some(part.base), Some(place), Some(0), message);
            }
        }
        if let (Some(last), Some(first)) = (self.last, walked.first)
            && first.epoch < last.epoch
        {
            self.tell(Severity::Error, "epoch", Some(first.version), Some(place), None, Fault::Epoch.to_string());
        }
        self.part = Some(place);
    }

    /// A further piece of a segment: it must begin where the one before it ended, in every sense.
    fn meet(&mut self, place: usize, start: u64, walked: &Walked) {
        let (Some(last), Some(first)) = (self.last, walked.first) else { return };
        if first.version != last.version + 1 {
            let fault = Fault::Version { found: first.version, expected: last.version + 1 };
            self.tell(Severity::Error, fault.code(), Some(first.version), Some(place), Some(start), fault.to_string());
        }
        if first.epoch < last.epoch {
            let message = Fault::Epoch.to_string();
            self.tell(Severity::Error, "epoch", Some(first.version), Some(place), Some(start), message);
        }
        if first.time < last.time {
            let fallen = Fallen { offset: start, version: Some(first.version), what: What::Time };
            self.told(place, fallen);
        }
    }

    /// The first fault of the newest segment: perhaps only what a crash leaves. Where it was torn, if so.
    fn judge_end(&mut self, place: usize, walked: &Walked) -> Option<u64> {
        let (_, last) = walked.before_fault?;
        let (offset, fault) = walked.fallen.iter().find_map(|fallen| match &fallen.what {
            What::Fault(fault) => Some((fallen.offset, fault.clone())),
            _ => None,
        })?;
        self.newest_fell = true;
        let part = &self.plan.parts[place];
        let version = last.or(self.last).map_or(part.base - 1, |last| last.version);
        let scanned = Scanned {
            path: part.path.clone(),
            file: part.file.clone(),
            salt: part.salt,
            len: part.len,
            end: offset,
            head: Position { epoch: Epoch::default(), version, hash: Hash::default() },
            last_time: 0,
            commit_upto: self.commit_upto.max(walked.commit_upto),
            format: FORMAT_FIRST,
            unmarked: offset,
            fault,
        };
        // What cannot be read is told as such by the walk.
        let judged = judge(&scanned, self.found.known()).ok()?;
        let rule = format!("rule {} in rig-log(5)", judged.row.number);
        match judged.row.verdict {
            Verdict::Torn => {
                let bytes = judged.content_end - offset;
                let message = format!("{bytes} bytes that a crash has cut short; a start sets them aside ({rule})");
                self.tell(Severity::Note, "torn_tail", Some(version + 1), Some(place), Some(offset), message);
                Some(offset)
            }
            Verdict::Uncertain => {
                let message = format!("a broken end that no crash explains: {} ({rule})", scanned.fault);
                self.tell(Severity::Error, "uncertain", Some(version + 1), Some(place), Some(offset), message);
                None
            }
            Verdict::Clean | Verdict::Lost | Verdict::Damaged => None,
        }
    }

    fn told(&mut self, place: usize, Fallen { offset, version, what }: Fallen) {
        let (severity, code, message) = match what {
            What::Fault(fault) => (Severity::Error, fault.code(), fault.to_string()),
            What::Unreadable(to) => {
                (Severity::Error, "gap", format!("versions {} to {to} cannot be read", version.unwrap_or(0)))
            }
            What::Anchor(hash) => {
                (Severity::Error, "anchor", format!("the anchor says that this version has the hash {hash}"))
            }
            What::Time => (Severity::Note, "time", "its time is before that of the record before it".to_owned()),
            What::Io(error) => (Severity::Error, "io", format!("cannot be read: {error}")),
        };
        self.tell(severity, code, version, Some(place), Some(offset), message);
    }

    fn missing(&mut self, from: Version, to: Version) {
        if to >= self.options.from && from <= self.options.to {
            let message = format!("versions {from} to {to} are in no segment");
            self.tell(Severity::Error, "missing_segment", Some(from), None, None, message);
        }
    }

    fn tell(
        &mut self,
        severity: Severity,
        code: &'static str,
        version: Option<Version>,
        part: Option<usize>,
        offset: Option<u64>,
        message: String,
    ) {
        match severity {
            Severity::Error => self.summary.errors += 1,
            Severity::Note => self.summary.notes += 1,
        }
        if let (Some(part), Severity::Error) = (part, severity) {
            self.summary.segments[part].errors += 1;
        }
        let segment = part.map(|part| self.plan.parts[part].name.clone());
        (self.findings)(Finding { severity, code, version, segment, offset, message });
    }

    /// What can be said when all is read: the head against the mark and the anchors.
    pub(crate) fn finish(mut self) -> Summary {
        if let (None, Some(part)) = (self.last, self.plan.parts.first()) {
            self.summary.head = (part.base - 1, part.before().unwrap_or_default());
        }
        let (head, known) = (self.summary.head.0, self.found.known());
        let wanted = self.options.to.min(known);
        let place = self.part;
        if !self.over && place.is_some() && self.unbroken && wanted > head && wanted >= self.options.from {
            let message = format!("version {} is gone, though version {known} was durable", head + 1);
            let offset = place.map(|place| self.summary.segments[place].bytes);
            self.tell(Severity::Error, "lost", Some(head + 1), place, offset, message);
        }
        let oldest = self.found.bases.first().copied().unwrap_or(1);
        let in_range = |version: Version| (self.options.from..=self.options.to).contains(&version);
        let out: Vec<_> = self
            .options
            .anchors
            .iter()
            .filter(|a| in_range(a.version) && (a.version > head || a.version < oldest))
            .collect();
        for anchor in out {
            let (severity, message) = if anchor.version > head {
                (Severity::Error, format!("the log ends at version {head}, before an anchored version"))
            } else {
                (Severity::Note, format!("compacted: the oldest version here is {oldest}"))
            };
            self.tell(severity, "anchor", Some(anchor.version), None, None, message);
        }
        self.summary
    }
}
