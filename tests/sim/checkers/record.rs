//! What the checkers remember together: what was answered, and what the operator has put at stake by force.

use std::collections::BTreeMap;

use rig::types::{Durability, Epoch, Hash, NodeId, Version, methods};

use super::super::machine::{Machine, control_of};
use super::super::network::Time;
use super::Fact;

/// Terms that were opened by force and that a log goes back to: logs with equal ones are one side of the story.
pub type Side = Vec<(u64, NodeId)>;

/// An operation that was answered 200.
#[derive(Debug, Clone)]
pub struct Answer {
    pub op: u64,
    pub version: Version,
    pub hash: Hash,
    /// The term in which it was answered.
    pub term: Epoch,
    pub side: Side,
    pub durability: Durability,
    /// Machines whose disks held it when it was answered.
    pub disks: Vec<usize>,
    /// By a primary that had gone on by force without the coordinator: its value goes on naming others.
    pub adrift: bool,
    /// Lost by force, as the operator was told.
    pub excused: bool,
}

impl Answer {
    /// Whether it must be in the log of every later primary.
    pub fn is_protected(&self) -> bool {
        !self.excused && !matches!(self.durability, Durability::Async | Durability::Received)
    }

    /// Whether it rested on fewer disks than there are members, and all of those are lost. What others have of it in memory
    /// was promised to nobody.
    pub fn went_with_its_disks(&self, machines: &[Machine]) -> bool {
        let is_on_few = matches!(self.durability, Durability::Degraded | Durability::Local);
        is_on_few && !self.disks.is_empty() && self.disks.iter().all(|place| machines[*place].retired)
    }
}

#[derive(Debug, Default)]
pub struct Past {
    pub answers: Vec<Answer>,
    /// Places in `answers` of each version.
    pub by_version: BTreeMap<Version, Vec<usize>>,
    /// The highest epoch that was opened by force.
    pub force: Epoch,
    /// The time of the event that is looked at.
    pub now: Time,
}

/// The side that a machine's log is on.
pub fn side_of(machine: &Machine) -> Side {
    let Some(process) = &machine.process else { return Side::new() };
    let forced = process.core.history().starts().iter().filter(|start| start.forced);
    forced.map(|start| (start.epoch.number, start.epoch.owner)).collect()
}

impl Past {
    /// Protected answers that this log does not hold, of the given side.
    pub fn missing<'a>(&'a self, machine: &'a Machine, side: &'a Side) -> impl Iterator<Item = &'a Answer> {
        let lacks = |answer: &&Answer| !machine.truth.holds(answer.version, &answer.hash);
        self.answers.iter().rev().filter(move |answer| answer.is_protected() && answer.side == *side).filter(lacks)
    }

    pub fn see(&mut self, fact: &Fact, machines: &[Machine]) {
        match fact {
            Fact::Sealed { machine, version, own: true } => {
                let truth = &machines[*machine].truth;
                let Some(record) = truth.at(*version) else { return };
                match control_of(record) {
                    Some(control) if control.forced => self.forced(record.epoch, &machines[*machine]),
                    Some(_) if record.operation.method.as_ref() == methods::EPOCH => {
                        self.elected(record.epoch, &machines[*machine]);
                    }
                    _ => {}
                }
            }
            Fact::Answered { machine, request, version, durability, term: Some(term), .. } => {
                let machine = &machines[*machine];
                let Some(record) = machine.truth.at(*version) else { return };
                let on_disk = |place: &usize| {
                    let truth = &machines[*place].truth;
                    truth.durable >= *version && truth.holds(*version, &record.hash)
                };
                let answer = Answer {
                    op: request.op,
                    version: *version,
                    hash: record.hash,
                    term: *term,
                    side: side_of(machine),
                    durability: *durability,
                    disks: (0..machines.len()).filter(on_disk).collect(),
                    adrift: machine.truth.standing.adrift,
                    // Whoever was deposed by force and does not know it answers at the operator's risk.
                    excused: self.force > *term,
                };
                self.by_version.entry(*version).or_default().push(self.answers.len());
                self.answers.push(answer);
            }
            _ => {}
        }
    }

    /// Whom the coordinator's value names leads next: what was answered on the side of a force that it does not know was
    /// at stake.
    fn elected(&mut self, epoch: Epoch, machine: &Machine) {
        let answers = self.answers.iter_mut().filter(|answer| answer.adrift && !machine.truth.standing.adrift);
        for answer in answers {
            if answer.term < epoch && !machine.truth.holds(answer.version, &answer.hash) {
                answer.excused = true;
            }
        }
    }

    /// The operator has put at stake whatever this log does not hold.
    fn forced(&mut self, epoch: Epoch, machine: &Machine) {
        self.force = self.force.max(epoch);
        for answer in &mut self.answers {
            if answer.term < epoch && !machine.truth.holds(answer.version, &answer.hash) {
                answer.excused = true;
            }
        }
    }
}
