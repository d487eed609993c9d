//! I12: a refusal means that this request is not in a log and never will be; and a node whose epoch is open does not
//! refuse a request whose key it holds.

use std::collections::HashMap;

use super::{Checker, Fact, Past};
use crate::machine::{Machine, operation_of};

#[derive(Default)]
pub struct Refused {
    /// Attempts: whether one was logged, and whether it was refused.
    attempts: HashMap<u64, (bool, bool)>,
}

impl Checker for Refused {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Refused { machine, request, open } => {
                let truth = &machines[*machine].truth;
                let held = || truth.entries.iter().rev().any(|record| operation_of(record) == Some(request.op));
                if *open && held() {
                    return Some(format!("n{machine} refuses op {}, which is in its log", request.op));
                }
                let attempt = self.attempts.entry(request.attempt).or_default();
                attempt.1 = true;
                attempt.0.then(|| format!("attempt {} of op {} was logged, then refused", request.attempt, request.op))
            }
            Fact::Sealed { machine, version, .. } => {
                let record = machines[*machine].truth.at(*version)?;
                let attempt: u64 = record.actor.parse().ok()?;
                let known = self.attempts.entry(attempt).or_default();
                known.0 = true;
                known.1.then(|| format!("attempt {attempt} was refused, and n{machine} has it as v{version}"))
            }
            Fact::Rewound { records, .. } => {
                for record in records {
                    if let Some(attempt) = record.actor.parse::<u64>().ok().and_then(|a| self.attempts.get_mut(&a)) {
                        attempt.0 = false;
                    }
                }
                None
            }
            _ => None,
        }
    }
}
