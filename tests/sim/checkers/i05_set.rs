//! I5: the smaller set is durable before the answer that relied on it: whatever a primary commits is on the disk of
//! every member that its recorded set names. And an acknowledgement says only what the disk holds.

use rig::replication::Message;
use rig::types::{AckLevel, Mode};

use super::{Checker, Fact, Past};
use crate::machine::Machine;

pub struct Set;

impl Checker for Set {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Committed { machine, upto } => {
                let place = *machine;
                let machine = &machines[place];
                let process = machine.process.as_ref()?;
                let config = process.core.config()?;
                let waits = config.replication != Mode::Async && config.ack != AckLevel::Received;
                let epoch = process.core.epoch();
                // Another configuration may have been in force until this very commit.
                let changed = machine
                    .truth
                    .entries
                    .iter()
                    .rev()
                    .take(64)
                    .any(|record| record.epoch == epoch && record.operation.method.as_ref() == "rig_config");
                if !waits || changed || !process.core.is_open() || past.force > epoch || epoch.owner != machine.id {
                    return None;
                }
                let hash = machine.truth.at(*upto)?.hash;
                let lacking = machine.truth.standing.set.iter().find(|id| {
                    let member = machines.iter().find(|other| other.id == **id);
                    member.is_some_and(|member| {
                        let held = member.truth.holds(*upto, &hash) && member.truth.durable >= *upto;
                        let same_term = member.truth.standing.promised <= epoch;
                        !held && same_term && !member.retired
                    })
                })?;
                Some(format!("n{place} commits v{upto} in {epoch}; its recorded set names {lacking}, who lacks it"))
            }
            Fact::Said { machine, message: Message::Ack(ack) } => {
                let durable = machines[*machine].truth.durable;
                (ack.durable > durable)
                    .then(|| format!("n{machine} acknowledges v{}, its disk holds v{durable}", ack.durable))
            }
            _ => None,
        }
    }
}
