//! What became of a batch: one line for each operation, then the sum.

use std::cell::Cell;

use serde::Serialize;

use super::input::{Entry, Item};
use super::unknown_problem;
use crate::cli::Failure;
use crate::cli::apply::Applied;
use crate::cli::output::{Look, Output};
use crate::cli::values::show_number;
use crate::error::{Exit, Problem};
use crate::types::Version;

/// From the worst: what decides the exit code of a batch. Not reaching the node at all is less than its refusal
/// to take anything, and more than a refusal of one operation.
const FROM_THE_WORST: [Exit; 13] = [
    Exit::Unknown,
    Exit::Corrupt,
    Exit::Auth,
    Exit::Unavailable,
    Exit::Unreachable,
    Exit::Conflict,
    Exit::Rejected,
    Exit::NotFound,
    Exit::InUse,
    Exit::Degraded,
    Exit::Usage,
    Exit::Failure,
    Exit::Ok,
];

/// The worse of the two.
pub(super) fn worst(one: Exit, other: Exit) -> Exit {
    FROM_THE_WORST.into_iter().find(|exit| *exit == one || *exit == other).unwrap_or(Exit::Failure)
}

pub(in crate::cli) struct Tally<'a> {
    out: &'a Output,
    pub(in crate::cli) ok: u64,
    /// Of those, what was in the log before.
    pub(in crate::cli) replayed: u64,
    pub(in crate::cli) rejected: u64,
    pub(in crate::cli) unknown: u64,
    pub(in crate::cli) skipped: u64,
    first: Option<Version>,
    last: Option<Version>,
    pub(in crate::cli) exit: Exit,
    told: Cell<bool>,
}

#[derive(Serialize)]
struct Refused<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    line: u64,
    code: &'a str,
    status: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    ok: u64,
    rejected: u64,
    unknown: u64,
    first_version: Option<Version>,
    last_version: Option<Version>,
    skipped: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        let (first, last, told) = (None, None, Cell::new(false));
        Self { out, ok: 0, replayed: 0, rejected: 0, unknown: 0, skipped: 0, first, last, exit: Exit::Ok, told }
    }

    /// Whether nothing was told about yet.
    pub(super) fn is_empty(&self) -> bool {
        self.ok + self.rejected + self.unknown + self.skipped == 0
    }

    pub(super) fn applied(&mut self, applied: &Applied) -> Result<(), Failure> {
        let version = applied.answer.version;
        self.ok += 1;
        self.replayed += u64::from(applied.answer.replayed);
        self.first = Some(self.first.map_or(version, |first| first.min(version)));
        self.last = Some(self.last.map_or(version, |last| last.max(version)));
        if applied.answer.durability == "degraded" && !self.told.replace(true) {
            self.out.note("a replica is behind: operations are on fewer nodes than asked for");
        }
        if self.out.is_quiet() { Ok(()) } else { applied.print(self.out) }
    }

    pub(super) fn rejected(&mut self, item: &Item, problem: &Problem) -> Result<(), Failure> {
        self.rejected += 1;
        self.exit = worst(self.exit, Exit::from_status(problem.status));
        self.refused("rejected", item.line, &problem.code, problem.status, &problem.detail, None)
    }

    pub(super) fn unknown(&mut self, item: &Item, last: &str) -> Result<(), Failure> {
        self.unknown += 1;
        self.exit = worst(self.exit, Exit::Unknown);
        let problem = unknown_problem(last);
        self.refused("unknown", item.line, &problem.code, problem.status, &problem.detail, Some(&item.key))
    }

    /// A line that was never sent.
    pub(super) fn told(&mut self, entry: &Entry) -> Result<(), Failure> {
        match entry {
            Entry::Bad { line, code, status, message } => {
                self.rejected += 1;
                self.exit = worst(self.exit, Exit::from_status(*status));
                self.refused("rejected", *line, code, *status, message, None)
            }
            Entry::Control => {
                self.skipped += 1;
                Ok(())
            }
            Entry::Item(_) => Ok(()),
        }
    }

    fn refused(
        &self,
        kind: &'static str,
        line: u64,
        code: &str,
        status: u16,
        message: &str,
        key: Option<&str>,
    ) -> Result<(), Failure> {
        let refused = Refused { kind, line, code, status, message, key };
        let text = || {
            let key = key.map(|key| format!("  key {key}")).unwrap_or_default();
            format!("{}  line {line}  {code}: {message}{key}\n", self.out.look(Look::Bad, kind))
        };
        if !self.out.is_quiet() {
            return self.out.either(&refused, text);
        }
        // A key that was made here and is not shown is lost, and the operation could then be done twice. A number of
        // rejected ones alone helps nobody, and the first reason is often that of all.
        if key.is_some() || self.rejected == 1 && kind == "rejected" {
            self.out.aside(&refused, text);
        }
        Ok(())
    }

    /// Says the sum.
    pub(super) fn finish(self) -> Result<Exit, Failure> {
        let Self { ok, rejected, unknown, skipped, first, last, .. } = self;
        let summary =
            Summary { kind: "summary", ok, rejected, unknown, first_version: first, last_version: last, skipped };
        self.out.either(&summary, || {
            let (ok, rejected, unknown) = (show_number(ok), show_number(rejected), show_number(unknown));
            let mut text = format!("{ok} ok, {rejected} rejected, {unknown} unknown");
            if skipped > 0 {
                text.push_str(&format!(", {} of Rig's own records skipped", show_number(skipped)));
            }
            if let (Some(first), Some(last)) = (first, last) {
                text.push_str(&format!("  versions {first}..{last}"));
            }
            text + "\n"
        })?;
        Ok(self.exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_operation_decides_in_the_order_of_the_contract() {
        let order = [7, 9, 11, 8, 6, 5, 3, 1, 0];
        let listed: Vec<_> =
            FROM_THE_WORST.iter().map(|exit| *exit as i32).filter(|exit| order.contains(exit)).collect();
        assert_eq!(listed, order);
        assert_eq!(worst(Exit::Rejected, Exit::Conflict), Exit::Conflict);
        assert_eq!(worst(Exit::Ok, Exit::NotFound), Exit::NotFound);
        assert_eq!(worst(Exit::Unknown, Exit::Auth), Exit::Unknown);
    }
}
