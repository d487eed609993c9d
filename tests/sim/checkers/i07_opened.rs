//! I7: no answer in an epoch before its own record is committed, hence on every member of its set.

use rig::types::{AckLevel, Mode};

use super::{Checker, Fact, Past};
use crate::machine::{Machine, control_of};

pub struct Opened;

impl Checker for Opened {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Answered { machine, request, version, term, .. } => {
                let place = *machine;
                let process = machines[place].process.as_ref()?;
                let committed = process.core.committed();
                let mut starts = process.core.history().starts().iter();
                let begun = starts.any(|start| Some(start.epoch) == *term && start.first <= committed);
                (!begun || *version > committed).then(|| format!("n{place} answers op {} too early", request.op))
            }
            Fact::Opened { machine, epoch } => {
                let place = *machine;
                let machine = &machines[place];
                let own = machine
                    .truth
                    .entries
                    .iter()
                    .rev()
                    .find(|record| record.operation.method.as_ref() == "rig_epoch")?;
                let config = control_of(own)?.config;
                if config.replication == Mode::Async || config.ack == AckLevel::Received || past.force > *epoch {
                    return None;
                }
                let lacking = machine.truth.standing.set.iter().find(|id| {
                    let member = machines.iter().find(|other| other.id == **id && !other.retired);
                    member.is_some_and(|member| {
                        let synced = &member.truth.entries[..member.truth.durable as usize];
                        let holds = synced.iter().rev().any(|record| record.epoch == *epoch);
                        !holds && member.truth.standing.promised <= *epoch
                    })
                })?;
                Some(format!("n{place} opens {epoch}, and {lacking} of its set does not hold the epoch's record"))
            }
            _ => None,
        }
    }
}
