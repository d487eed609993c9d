//! I6: a term is begun by a member, and without force not without a write that was answered in an earlier term. (One of a
//! later term it cannot have: its promises are void by then, and what it begins is never committed, which I1 and I7 watch.)

use super::record::{Answer, side_of};
use super::{Checker, Fact, Past};
use crate::machine::{Machine, control_of};

pub struct Promotion;

impl Checker for Promotion {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Sealed { machine, version, own: true } = fact else { return None };
        let place = *machine;
        let machine = &machines[place];
        let record = machine.truth.at(*version)?;
        let control = control_of(record)?;
        if record.operation.method.as_ref() != "rig_epoch" {
            return None;
        }
        if !control.config.names(machine.id) {
            return Some(format!("n{place} begins {} and is no member of its own configuration", record.epoch));
        }
        if control.forced {
            return None;
        }
        let side = side_of(machine);
        // By the coordinator's value it may be without what was answered by force and without the coordinator.
        let by_value = |answer: &&Answer| answer.adrift && !machine.truth.standing.adrift;
        let mut missing = past.missing(machine, &side).filter(|answer| answer.term < record.epoch);
        let answer = missing.find(|answer| !by_value(answer))?;
        Some(format!(
            "n{place} begins {} without force and without op {} that was answered `{}` as v{} in {}",
            record.epoch, answer.op, answer.durability, answer.version, answer.term
        ))
    }
}
