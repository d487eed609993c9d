//! I8: a record leaves a log only as a torn tail or into a synced rescue file, and never for the term that wrote it; nothing
//! that was answered is gone.

use super::{Checker, Fact, Past};
use crate::machine::Machine;

pub struct Kept;

impl Checker for Kept {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Cut { machine, records } = fact else { return None };
        let term = machines[*machine].process.as_ref().map(|process| process.core.epoch());
        if let Some(own) = records.iter().find(|record| Some(record.epoch) == term) {
            return Some(format!("n{machine} has cut v{} of {}, the term that it follows", own.version, own.epoch));
        }
        let rescued = &machines[*machine].truth.rescued;
        let lost = records.iter().find(|record| !rescued.iter().rev().any(|kept| kept.hash == record.hash))?;
        Some(format!("n{machine} has cut v{} and set it aside nowhere", lost.version))
    }
}

/// At the end every answer is in a log, or was set aside; a disk that was lost may have been the last to hold what was
/// lost by force.
pub fn nothing_is_gone(past: &Past, machines: &[Machine]) -> Option<String> {
    let kept = |answer: &super::Answer| {
        machines.iter().any(|machine| {
            let truth = &machine.truth;
            truth.holds(answer.version, &answer.hash) || truth.rescued.iter().any(|record| record.hash == answer.hash)
        })
    };
    let gone = past.answers.iter().find(|answer| !kept(answer))?;
    Some(format!("op {}, answered as v{}, is in no log and no rescue file", gone.op, gone.version))
}
