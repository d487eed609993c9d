//! I14: no node begins a term while its state is another than the primary's was, unless the operator forces it.

use super::{Checker, Fact, Past};
use crate::machine::{Machine, control_of};

pub struct Diverged;

impl Checker for Diverged {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Sealed { machine, version, own: true } = fact else { return None };
        let place = *machine;
        let record = machines[place].truth.at(*version)?;
        let begins = record.operation.method.as_ref() == "rig_epoch" && control_of(record).is_some_and(|c| !c.forced);
        let lie = machines[place].process.as_ref()?.lie.filter(|_| begins)?;
        Some(format!("n{place} begins {} without force, and its state is another from v{lie} on", record.epoch))
    }
}
