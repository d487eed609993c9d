//! I8: a record leaves a log only as a torn tail or into a synced rescue file; nothing that was answered is gone.

use super::{Checker, Fact, Past};
use crate::machine::Machine;

pub struct Kept;

impl Checker for Kept {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Cut { machine, records } = fact else { return None };
        let rescued = &machines[*machine].truth.rescued;
        let lost = records.iter().find(|record| !rescued.iter().rev().any(|kept| kept.hash == record.hash))?;
        let _ = past;
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
