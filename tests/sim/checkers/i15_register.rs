//! I15: with a coordinator, whoever its value names holds on its disk every write that was answered, so that any of them
//! may lead next; no term opens unforced that the value does not know; and without force nobody has to be asked which of
//! two sides is the right one.

use rig::replication::Register;
use rig::types::Epoch;

use super::{Checker, Fact, Past};
use crate::checkers::record::side_of;
use crate::machine::Machine;

#[derive(Default)]
pub struct Outside {
    register: Option<Register>,
    /// The newest epoch that was put there by force.
    force: Epoch,
}

impl Checker for Outside {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Registered { machine, register, forced } => {
                if *forced {
                    self.force = self.force.max(register.epoch);
                }
                let before = self.register.replace(register.clone())?;
                let is_lower = register.epoch < before.epoch && past.force < before.epoch;
                is_lower.then(|| format!("n{machine} puts {} in the place of {}", register.epoch, before.epoch))
            }
            Fact::Opened { machine, epoch } => {
                let register = self.register.as_ref()?;
                let history = machines[*machine].process.as_ref()?.core.history().starts().to_vec();
                let is_forced = history.iter().any(|start| start.forced && start.epoch > register.epoch);
                // Or it goes on where force has gone without the coordinator.
                let is_known = register.epoch >= *epoch || is_forced;
                (!is_known).then(|| format!("n{machine} opens {epoch}, the value is {}", register.epoch))
            }
            Fact::Answered { machine, request, version, term: Some(term), durability, .. } => {
                let force = past.force.max(self.force);
                let register = self.register.as_ref().filter(|value| force <= *term && value.epoch >= *term)?;
                let (answers, side) = (&machines[*machine], side_of(&machines[*machine]));
                let hash = answers.truth.at(*version)?.hash;
                use rig::types::Durability;
                let config = answers.process.as_ref()?.core.config()?;
                let in_memory = config.ack == rig::types::AckLevel::Received;
                if in_memory || matches!(durability, Durability::Async | Durability::Received) {
                    return None;
                }
                let lacks = |other: &&Machine| {
                    let holds = other.truth.durable >= *version && other.truth.holds(*version, &hash);
                    let counts = !other.retired && !other.truth.standing.adrift && side_of(other) == side;
                    register.names(other.id) && counts && !holds
                };
                let lacking = machines.iter().filter(|other| other.process.is_some()).find(lacks)?;
                Some(format!(
                    "n{machine} answers op {} as v{version} in {term}; the value names {:?}, who lacks it",
                    request.op, lacking.id
                ))
            }
            Fact::SplitBrain { machine } => {
                let is_forced = past.force.max(self.force) > Epoch::default();
                (self.register.is_some() && !is_forced).then(|| format!("n{machine} says that two sides have written"))
            }
            _ => None,
        }
    }
}
