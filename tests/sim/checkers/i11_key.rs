//! I11: one outcome for each idempotency key, across fail-over; after a force, on each of the two sides.

use std::collections::HashMap;

use rig::types::{Hash, Version};

use super::record::{Side, side_of};
use super::{Checker, Fact, Past};
use crate::machine::{Machine, operation_of};

#[derive(Default)]
pub struct Key {
    outcomes: HashMap<(u64, Side), (Version, Hash)>,
}

impl Checker for Key {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Answered { machine, request, version, .. } => {
                let record = machines[*machine].truth.at(*version)?;
                if operation_of(record) != Some(request.op) {
                    return Some(format!("n{machine} answers op {} with v{version}, which is another", request.op));
                }
                let outcome = (*version, record.hash);
                let known = *self.outcomes.entry((request.op, side_of(&machines[*machine]))).or_insert(outcome);
                let lost = || {
                    let mut of = past.answers.iter().filter(|answer| answer.op == request.op);
                    of.all(|answer| !answer.is_protected())
                };
                if known != outcome && !lost() {
                    return Some(format!("op {} was done as v{} and as v{version}", request.op, known.0));
                }
                None
            }
            Fact::Sealed { machine, version, own: true } => {
                let truth = &machines[*machine].truth;
                let op = operation_of(truth.at(*version)?)?;
                let twice = machines[*machine].process.as_ref()?.keys.get(&op).is_some_and(|first| first != version);
                twice.then(|| format!("n{machine} logs op {op} twice"))
            }
            _ => None,
        }
    }
}
