//! What every service must hold, as checks that run against any implementation.
//!
//! Give it a function that makes an empty service and some operations that mean something to it, good and bad
//! ones mixed, and it answers which rules are broken, by name. A service of one's own runs it in its tests:
//!
//! ```
//! use rig::service::{Documents, Settings, conformance};
//!
//! let make = || Box::new(Documents::new(Settings::default())) as _;
//! conformance::check(&make, &conformance::documents_workload(1, 50)).expect("documents hold every rule");
//! ```
//!
//! # Invariants
//! 1. Every check starts from services of its own, so that one broken rule does not hide another.
//! 2. Nothing is random: equal operations give equal findings.

mod checks;
mod history;
mod workload;

#[cfg(test)]
mod tests;

pub use workload::documents_workload;

use std::fmt;

use super::Service;
use crate::types::Operation;

/// Makes an empty service at version 0.
pub type Make<'a> = &'a dyn Fn() -> Box<dyn Service>;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its name, one of [`rules`].
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// A check: `Err` says what was seen.
type Check = fn(Make<'_>, &[Operation]) -> Result<(), String>;

/// Every rule with its check.
const CHECKS: &[(&str, Check)] = &[
    ("versions_count_every_entry", checks::versions_count_every_entry),
    ("duplicates_are_skipped", checks::duplicates_are_skipped),
    ("gaps_are_refused", checks::gaps_are_refused),
    ("instances_agree", checks::instances_agree),
    ("replay_gives_the_same_state", checks::replay_gives_the_same_state),
    ("a_snapshot_is_of_one_version", checks::a_snapshot_is_of_one_version),
    ("restore_replaces_everything", checks::restore_replaces_everything),
    ("a_snapshot_says_its_version", checks::a_snapshot_says_its_version),
    ("restore_reads_its_own_bytes_only", checks::restore_reads_its_own_bytes_only),
    ("a_damaged_snapshot_changes_nothing", checks::a_damaged_snapshot_changes_nothing),
    ("validate_changes_nothing", checks::validate_changes_nothing),
    ("what_is_valid_is_applied", checks::what_is_valid_is_applied),
    ("resources_are_stable", checks::resources_are_stable),
    ("resources_cover_what_is_read", checks::resources_cover_what_is_read),
];

/// The names of all rules.
pub fn rules() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(rule, _)| *rule)
}

/// Runs the check of one rule; `None` when there is no such rule.
pub fn check_rule(rule: &str, make: Make<'_>, operations: &[Operation]) -> Option<Result<(), String>> {
    let (_, check) = CHECKS.iter().find(|(name, _)| *name == rule)?;
    Some(check(make, operations))
}

/// Runs every check.
///
/// # Errors
/// One violation for each rule that does not hold.
pub fn check(make: Make<'_>, operations: &[Operation]) -> Result<(), Vec<Violation>> {
    let run =
        |(rule, check): &(&'static str, Check)| check(make, operations).err().map(|detail| Violation { rule, detail });
    let violations: Vec<_> = CHECKS.iter().filter_map(run).collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}
