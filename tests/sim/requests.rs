//! A request at a node, as its engine treats it: the key first, then the core's word, then the log.

use rig::replication::{Input, Output, Refusal, Rule};
use rig::types::{Kind, Operation, Version};

use super::checkers::Fact;
use super::machine::{Machine, Waiter};
use super::workload::{Reply, Request};
use super::world::{Event, World};

impl World {
    pub fn request(&mut self, machine: usize, request: Request) {
        if !self.machines[machine].is_up() {
            // Nothing was sent: the client knows that.
            return self.reply(&request, Reply::Refused(None));
        }
        let key_first = self.off != Some(Rule::KeyFirst);
        if key_first && self.knows_key(machine, &request) {
            return;
        }
        let Some(process) = &mut self.machines[machine].process else { return };
        if let Some(refusal) = process.core.refusal(None) {
            return self.refuse_with(machine, request, refusal);
        }
        if self.knows_key(machine, &request) {
            return;
        }
        let now = self.now;
        let clock = self.machines[machine].clock(now);
        let Some(process) = &mut self.machines[machine].process else { return };
        process.core.step(Input::Propose { expect: None }, clock, &mut process.outputs);
        match process.proposed() {
            Some(Output::Append { slot, control: None }) => {
                let operation = Operation::new("set", request.op.to_string());
                let (op, attempt) = (request.op, request.attempt);
                self.note(|| format!("n{machine} takes op {op} as v{} of {}", slot.version, slot.epoch));
                let kind = Kind::Operation;
                self.seal(machine, slot.version, slot.epoch, slot.commit_upto, kind, operation, Some((op, attempt)));
                self.wait(machine, Some(slot.version), request);
                self.perform(machine);
            }
            Some(Output::Refuse(refusal)) => self.refuse_with(machine, request, refusal),
            other => unreachable!("a proposal is appended or refused, not {other:?}"),
        }
    }

    /// Whether the key decides it, on a node that may be the primary.
    fn knows_key(&mut self, machine: usize, request: &Request) -> bool {
        let Some(process) = &self.machines[machine].process else { return false };
        if matches!(process.core.refusal(None), Some(Refusal::NotPrimary(_) | Refusal::Failed)) {
            return false;
        }
        let Some(version) = process.keys.get(&request.op).copied() else { return false };
        let (open, applied) = (process.opened.is_some(), process.applied);
        if !open {
            self.wait(machine, None, request.clone());
        } else if version <= applied {
            self.answer(machine, version, request);
        } else {
            self.wait(machine, Some(version), request.clone());
        }
        true
    }

    fn wait(&mut self, machine: usize, version: Option<Version>, request: Request) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let (boot, attempt, deadline) = (process.boot, request.attempt, request.deadline);
        let waiter = Waiter { request };
        match version {
            Some(version) => process.waiting.entry(version).or_default().push(waiter),
            None => process.parked.push(waiter),
        }
        self.at(deadline, Event::Deadline { machine, boot, attempt });
    }

    /// 504: it stays where it is, and may still be done.
    pub fn deadline(&mut self, machine: usize, attempt: u64) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let mut late = Vec::new();
        for waiters in process.waiting.values_mut().chain([&mut process.parked]) {
            let is_late = |waiter: &mut Waiter| waiter.request.attempt == attempt;
            late.extend(waiters.extract_if(.., is_late));
        }
        process.waiting.retain(|_, waiters| !waiters.is_empty());
        for waiter in late {
            let op = waiter.request.op;
            self.note(|| format!("n{machine} does not know what becomes of op {op}"));
            self.reply(&waiter.request, Reply::Unknown);
        }
    }

    /// A node that is not primary any more does not know what will become of what it took.
    pub fn give_up_all(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let waiting = std::mem::take(&mut process.waiting);
        let parked = std::mem::take(&mut process.parked);
        for waiter in waiting.into_values().flatten().chain(parked) {
            self.reply(&waiter.request, Reply::Unknown);
        }
    }

    /// The epoch is open: what has waited for it is looked at again.
    pub fn unpark(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        for waiter in std::mem::take(&mut process.parked) {
            self.request(machine, waiter.request);
        }
    }

    pub fn answer_committed(&mut self, machine: usize, upto: Version) {
        let Machine { process: Some(process), .. } = &mut self.machines[machine] else { return };
        let later = process.waiting.split_off(&(upto + 1));
        let decided = std::mem::replace(&mut process.waiting, later);
        for (version, waiters) in decided {
            for waiter in waiters {
                self.answer(machine, version, &waiter.request);
            }
        }
    }

    fn answer(&mut self, machine: usize, version: Version, request: &Request) {
        let Some(process) = &self.machines[machine].process else { return };
        let (durability, term) = (process.core.durability(), process.opened);
        let op = request.op;
        self.note(|| format!("n{machine} ANSWERS op {op}: v{version} {durability}"));
        self.facts.push(Fact::Answered { machine, request: request.clone(), version, durability, term });
        self.reply(request, Reply::Done(version));
    }

    fn refuse_with(&mut self, machine: usize, request: Request, refusal: Refusal) {
        if let Refusal::NotPrimary(primary) = refusal {
            return self.reply(&request, Reply::Refused(primary));
        }
        self.refuse(machine, request, "refused");
    }

    pub fn refuse(&mut self, machine: usize, request: Request, why: &'static str) {
        let (op, attempt) = (request.op, request.attempt);
        let open = self.machines[machine].process.as_ref().is_some_and(|process| process.opened.is_some());
        self.note(|| format!("n{machine} REFUSES op {op}, attempt {attempt}: {why}"));
        self.facts.push(Fact::Refused { machine, request: request.clone(), open });
        self.reply(&request, Reply::Refused(None));
    }
}
