//! The coordinator: one value, a revision, a lease; its answers get lost, it is away, leases end early and late. It never
//! tells anyone what is over.

use rig::replication::{Input, Register, Seen};
use rig::types::NodeId;

use super::checkers::Fact;
use super::network::Time;
use super::random::Random;
use super::world::{Event, World};

/// How long a lease holds.
const TTL: Time = 2_000_000;
/// How much of that its holder relies on, whose clock may be slower.
const RELIED_ON: Time = TTL * 2 / 3;
/// So long after its start a node that has heard nothing says so.
const UNHEARD: Time = 1_000_000;
/// How often a node asks.
const TURN: Time = 150_000;

#[derive(Debug)]
pub struct Coordinator {
    pub random: Random,
    register: Option<Register>,
    revision: u64,
    /// Machine, start of its process, and number of the swap that was taken last.
    writer: (usize, u64, u64),
    lease: Option<(NodeId, Time)>,
    /// Until then nobody reaches it.
    away_until: Time,
    /// Until then this machine does not.
    cut_until: Vec<(usize, Time)>,
    attempts: u64,
    /// Terms that were taken by nodes themselves.
    pub elected: u64,
}

/// A swap on its way.
#[derive(Debug, Clone)]
pub struct Swap {
    pub machine: usize,
    pub boot: u64,
    pub attempt: u64,
    pub expect: u64,
    pub register: Register,
    /// By an operator's force.
    pub forced: bool,
}

impl Coordinator {
    pub fn new(random: Random) -> Self {
        Self {
            random,
            register: None,
            revision: 0,
            writer: (0, 0, 0),
            lease: None,
            away_until: 0,
            cut_until: Vec::new(),
            attempts: 0,
            elected: 0,
        }
    }

    fn seen(&self, now: Time) -> Seen {
        let owner = self.register.as_ref().map(|register| register.epoch.owner);
        let leased = self.lease.is_some_and(|(id, until)| Some(id) == owner && until > now);
        Seen { register: self.register.clone(), revision: self.revision, leased }
    }

    fn is_away_from(&self, machine: usize, now: Time) -> bool {
        self.away_until > now || self.cut_until.iter().any(|(cut, until)| *cut == machine && *until > now)
    }

    pub fn heal(&mut self) {
        self.away_until = 0;
        self.cut_until.clear();
    }

    /// Nobody reaches it, or one machine does not.
    pub fn cut(&mut self, machine: Option<usize>, until: Time) {
        match machine {
            Some(machine) => self.cut_until.push((machine, until)),
            None => self.away_until = until,
        }
    }
}

impl World {
    /// A core wants the value changed.
    pub fn ask_for_swap(&mut self, machine: usize, expect: u64, register: Register) {
        self.coordinator.attempts += 1;
        let attempt = self.coordinator.attempts;
        let Some(process) = &mut self.machines[machine].process else { return };
        process.swap = Some(attempt);
        let (boot, forced) = (process.boot, process.core.is_forced());
        self.send_swap(Swap { machine, boot, attempt, expect, register, forced });
    }

    fn send_swap(&mut self, swap: Swap) {
        let slow = if self.options.contrary { self.coordinator.random.pick(&[0, 0, 300_000, 1_500_000]) } else { 0 };
        let wait = self.coordinator.random.around(self.options.delay + slow);
        self.after(wait, Event::Swap(swap));
    }

    /// It arrives, whether its sender still lives and wants it or not.
    pub fn swap(&mut self, swap: Swap) {
        let now = self.now;
        let is_wanted = self.lives(swap.machine, swap.boot)
            && self.machines[swap.machine].process.as_ref().is_some_and(|process| process.swap == Some(swap.attempt));
        if self.coordinator.is_away_from(swap.machine, now) {
            if is_wanted {
                self.after(TURN, Event::Swap(swap));
            }
            return;
        }
        let outside = &mut self.coordinator;
        let writer = (swap.machine, swap.boot, swap.attempt);
        if outside.revision == swap.expect {
            let before = outside.register.clone();
            outside.revision += 1;
            outside.elected += u64::from(!swap.register.open);
            (outside.register, outside.writer) = (Some(swap.register.clone()), writer);
            outside.lease = Some((swap.register.epoch.owner, now + TTL));
            self.note(|| format!("coordinator: n{} puts {:?}", swap.machine, swap.register));
            let (machine, register, forced) = (swap.machine, swap.register.clone(), swap.forced);
            self.facts.push(Fact::Registered { machine, register, forced });
            // Whoever watches hears of it.
            for machine in 0..self.machines.len() {
                self.read(machine);
            }
            if self.options.contrary && self.hostile && self.turns_against(&swap, before) {
                return self.after(TURN, Event::Swap(swap));
            }
        }
        let outside = &mut self.coordinator;
        let (taken, seen) = (outside.writer == writer, outside.seen(now));
        if outside.random.chance(100) {
            // The answer is lost: it is asked again.
            if is_wanted {
                self.after(TURN, Event::Swap(swap));
            }
            return;
        }
        let wait = outside.random.around(self.options.delay);
        let Swap { machine, boot, attempt, .. } = swap;
        self.after(wait, Event::SwapAnswer { machine, boot, attempt, taken, seen });
    }

    /// A swap that changed the set of a term was taken, and now and then everything goes the other way: who asked hears
    /// nothing more from here, and those that were named anew are cut off from all others, which hear each other again.
    fn turns_against(&mut self, swap: &Swap, before: Option<Register>) -> bool {
        let after = &swap.register;
        let Some(before) = before.filter(|before| before.epoch == after.epoch && before.open) else { return false };
        let is_new = |id: &NodeId| after.set.contains(id) && !before.set.contains(id);
        let is_left_out = |id: &NodeId| before.set.contains(id) && !after.set.contains(id);
        // One for another is rare, and the worst to be in doubt about.
        let chance = match (after.set.iter().any(is_new), before.set.iter().any(is_left_out)) {
            (true, true) => 1000,
            (false, false) => 0,
            _ => 300,
        };
        if !self.coordinator.random.chance(chance) {
            return false;
        }
        let (writer, now) = (swap.machine, self.now);
        let until = now + self.coordinator.random.pick(&[500_000, 4_000_000, 10_000_000]);
        self.note(|| format!("the swap of n{writer} turns against it"));
        self.coordinator.cut(Some(writer), until);
        let new: Vec<bool> = self.machines.iter().map(|machine| is_new(&machine.id)).collect();
        for from in 0..new.len() {
            for to in 0..new.len() {
                if new[from] != new[to] {
                    self.network.block(from, to, until);
                } else if from == writer || to == writer {
                    self.network.unblock(from, to);
                }
            }
        }
        true
    }

    pub fn answer_swap(&mut self, machine: usize, attempt: u64, taken: bool, seen: Seen) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.swap == Some(attempt) && !process.failed {
            process.swap = None;
            self.input(machine, if taken { Input::Swapped(seen) } else { Input::SwapLost(seen) });
        }
    }

    /// The value as it is now is on its way to a machine.
    fn read(&mut self, machine: usize) {
        let (now, delay) = (self.now, self.options.delay);
        let Some(process) = &self.machines[machine].process else { return };
        let boot = process.boot;
        if !self.coordinator.is_away_from(machine, now) {
            let (wait, seen) = (self.coordinator.random.around(delay), self.coordinator.seen(now));
            self.after(wait, Event::Seen { machine, boot, seen });
        }
    }

    /// What a node does at the coordinator again and again: it keeps its lease, and reads.
    pub fn consult(&mut self, machine: usize) {
        let (now, clock) = (self.now, self.machines[machine].clock(self.now));
        let Some(process) = &self.machines[machine].process else { return };
        let boot = process.boot;
        let (id, wants, has_failed) = (self.machines[machine].id, process.core.wants_lease(), process.failed);
        let wait = self.coordinator.random.around(TURN);
        self.after(wait, Event::Consult { machine, boot });
        if has_failed {
            return;
        }
        if self.coordinator.is_away_from(machine, now) {
            self.input(machine, Input::Reachable(false));
            let is_unheard = self.machines[machine].process.as_ref().is_some_and(|process| {
                process.boot == boot && process.core.seen().is_none() && now >= process.born + UNHEARD
            });
            if is_unheard {
                self.input(machine, Input::Unheard);
            }
            return;
        }
        self.input(machine, Input::Reachable(true));
        self.machines[machine].leased_until.get_or_insert(now);
        let lease = &mut self.coordinator.lease;
        let is_held = lease.is_some_and(|(holder, until)| holder == id && until > now);
        if wants {
            *lease = Some((id, now + TTL));
            self.machines[machine].leased_until = Some(now + TTL);
            self.input(machine, Input::Leased { until: clock + RELIED_ON });
        } else if is_held {
            // Who leads no more gives it back.
            *lease = None;
        }
        self.read(machine);
    }

    /// Something happens to it.
    pub fn strike_outside(&mut self) {
        if !self.hostile {
            return;
        }
        let (now, mean) = (self.now, self.options.faults * 3);
        let machines = self.machines.len() as u64;
        let random = &mut self.coordinator.random;
        let wait = random.around(mean);
        let long = random.pick(&[50_000, 400_000, 4_000_000]);
        let until = now + random.around(long);
        match random.below(4) {
            0 => {
                self.note(|| format!("the coordinator is away for {long}"));
                self.coordinator.cut(None, until);
            }
            1 => {
                let machine = self.coordinator.random.below(machines) as usize;
                self.note(|| format!("n{machine} does not reach the coordinator for {long}"));
                self.coordinator.cut(Some(machine), until);
            }
            2 => self.coordinator.lease = None,
            _ => {
                if let Some((_, until)) = &mut self.coordinator.lease {
                    *until += 3_000_000;
                }
            }
        }
        self.after(wait, Event::StrikeOutside);
    }
}
