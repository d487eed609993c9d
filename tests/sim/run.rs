//! One seed from its first event to the last: a hostile time, then a calm one in which the cluster must recover.

use std::panic::AssertUnwindSafe;

use rig::replication::{Asked, Input, Rule};
use rig::types::{Mode, NodeState};

use super::checkers::Finding;
use super::checkers::record::{Side, side_of};
use super::machine::{Machine, read_history};
use super::network::Time;
use super::options::Outside;
use super::world::{Event, World};

/// After everything is healed the cluster has so long.
const RECOVERY: Time = 90_000_000;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    pub finding: Option<Finding>,
    pub digest: u64,
    pub events: u64,
    pub answers: usize,
    /// Snapshots that took the place of a log.
    pub installed: u64,
    /// Terms that nodes have taken by themselves.
    pub elected: u64,
    pub trace: Vec<String>,
}

/// Runs a seed; a panic is a finding like any other.
pub fn seed(seed: u64, events: u64, off: Option<Rule>, traced: bool) -> Outcome {
    let mut world = World::new(seed, off, traced, Outside::Nothing);
    run(&mut world, events)
}

/// The same with a coordinator.
pub fn coordinated(seed: u64, events: u64, off: Option<Rule>, traced: bool) -> Outcome {
    let mut world = World::new(seed, off, traced, Outside::Coordinator);
    run(&mut world, events)
}

/// With one that is slow, and against whoever asks it for anything.
pub fn contrary(seed: u64, events: u64, off: Option<Rule>, traced: bool) -> Outcome {
    let mut world = World::new(seed, off, traced, Outside::Contrary);
    run(&mut world, events)
}

fn run(world: &mut World, events: u64) -> Outcome {
    let finding = std::panic::catch_unwind(AssertUnwindSafe(|| world.live(events))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Some(Finding::new("panic", text.unwrap_or_default()))
    });
    Outcome {
        finding,
        digest: world.digest,
        events: world.events,
        answers: world.checkers.past.answers.len(),
        installed: world.installed,
        elected: world.coordinator.elected,
        trace: world.trace.take().unwrap_or_default(),
    }
}

impl World {
    fn live(&mut self, events: u64) -> Option<Finding> {
        while self.events < events {
            if !self.step() {
                return self.finding.take();
            }
        }
        self.calm();
        let since = self.now;
        let mut looked = self.now;
        let mut done = self.clients.done + self.options.clients as u64;
        while self.now < since + RECOVERY {
            if !self.step() {
                return self.finding.take();
            }
            if self.now < looked + 100_000 {
                continue;
            }
            looked = self.now;
            if self.recovers(since).is_none() && self.clients.done >= done {
                self.clients.last_ones = true;
                done = 0;
                if self.clients.are_content() && self.is_level().is_none() {
                    return self.checkers.at_the_end(&self.machines);
                }
            }
        }
        let missing = self.recovers(since).or_else(|| self.is_level()).unwrap_or_else(|| "clients wait".to_owned());
        Some(Finding::new("liveness", missing))
    }

    /// Everything that was broken is whole again, and everyone is there.
    fn calm(&mut self) {
        self.note(|| "--- calm".to_owned());
        (self.hostile, self.is_calm) = (false, true);
        self.network.heal();
        self.coordinator.heal();
        self.doomed = None;
        for machine in 0..self.machines.len() {
            let state = &mut self.machines[machine];
            (state.paused_until, state.slow_until) = (0, 0);
            state.sync = state.sync.min(1000);
            state.vfs.set_room(None);
            state.vfs.fail_sync_after(u64::MAX);
            if state.process.is_none() && !state.retired {
                self.after(1000, Event::Start { machine });
            }
        }
    }

    /// What is missing before the cluster works again; the operator helps.
    fn recovers(&mut self, since: Time) -> Option<String> {
        let Some(primary) = self.followed_primary().filter(|primary| !self.is_deserted(*primary)) else {
            let second = (self.now - since) / 1_000_000;
            // With a coordinator nobody has to help, unless somebody has broken what it knows.
            let helps = !self.options.coordinated || self.options.force || self.options.wipe;
            if helps && second > 3 && (self.now / 100_000).is_multiple_of(10) {
                self.help(since);
            }
            let states: Vec<String> = self
                .machines
                .iter()
                .map(|machine| match &machine.process {
                    Some(process) => format!("{}", process.core.state()),
                    None => "down".to_owned(),
                })
                .collect();
            return Some(format!("no primary: {}", states.join(", ")));
        };
        let disputed = |machine: &Machine| {
            let state = machine.process.as_ref().map(|process| process.core.state());
            matches!(state, Some(NodeState::SplitBrain | NodeState::Diverged))
        };
        if self.machines.iter().any(disputed) && self.now > since + 5_000_000 && (self.now / 100_000).is_multiple_of(10)
        {
            // The operator names the winner.
            self.promote(primary, true);
        }
        let process = self.machines[primary].process.as_ref()?;
        if let Some(refusal) = process.core.refusal(None) {
            let members = process.core.config().map_or(1, |config| config.members.len() as u32);
            let asked = Asked {
                min_replicas: Some(1),
                replication: (members == 1).then_some(Mode::SemiSync),
                ..Asked::default()
            };
            self.input(primary, Input::Change(asked));
            self.give_up_the_lost(primary, since);
            return Some(format!("n{primary} refuses: {refusal:?}"));
        }
        None
    }

    /// A member whose disk is gone can agree to nothing, and one that goes by a log which does not name this primary takes
    /// nothing from it: where the mode needs it, it is removed by force.
    fn give_up_the_lost(&mut self, primary: usize, since: Time) {
        let waited = self.now - since;
        let leads = &self.machines[primary];
        let config = leads.process.as_ref().and_then(|process| process.core.config());
        let is_lost = |machine: &&Machine| {
            config.is_some_and(|config| config.names(machine.id)) && (machine.retired || is_stranger(leads, machine))
        };
        let id = self.machines.iter().find(is_lost).map(|machine| machine.id);
        if let Some(id) = id.filter(|_| waited > 20_000_000 && waited % 2_000_000 < 100_000) {
            self.remove_by_force(primary, id);
        }
    }

    /// What is missing before all members are equal.
    fn is_level(&self) -> Option<String> {
        let primary = self.followed_primary()?;
        let head = self.machines[primary].truth.head();
        let hash = self.machines[primary].truth.position(head).hash;
        let core = &self.machines[primary].process.as_ref()?.core;
        let config = core.config()?;
        for (place, machine) in self.machines.iter().enumerate() {
            let led_by = machine.process.as_ref().and_then(|process| process.core.primary()).map(|member| member.id);
            let leads = self.machines.iter().find(|other| Some(other.id) == led_by).unwrap_or(machine);
            let parted = are_parted(machine, leads, &self.machines[primary]);
            if !config.names(machine.id) || machine.retired || parted {
                continue;
            }
            let Some(process) = &machine.process else { return Some(format!("n{place} is down")) };
            let ends = (machine.truth.durable, process.core.committed(), process.applied);
            if ends != (head, head, head) || !machine.truth.holds(head, &hash) {
                let state = process.core.state();
                return Some(format!("n{place} is {state} with {ends:?}, n{primary} has {head}"));
            }
            let is_out = place != primary && !core.in_sync().contains(&machine.id);
            if is_out && config.replication != Mode::Async {
                return Some(format!("n{place} is not in the in-sync set of n{primary}"));
            }
        }
        None
    }
}

/// Force has made two clusters of one: each has a term by force that the other knows nothing of, or one has and either is
/// led by a primary that the other's log does not name. Only the operator can give one of them up: `rig status --all` shows
/// the loser's nodes `fenced`, `outdated` or `recovering` with another list of members, and each joins anew, without its
/// old directory.
fn are_parted(machine: &Machine, leads: &Machine, primary: &Machine) -> bool {
    let (here, there) = (side_of(machine), side_of(primary));
    let lacks = |side: &Side, terms: &Side| terms.iter().any(|term| !side.contains(term));
    match (lacks(&here, &there), lacks(&there, &here)) {
        (true, true) => true,
        (false, false) => false,
        _ => is_stranger(primary, machine) || is_stranger(leads, primary),
    }
}

/// Whether a machine's log, as far as it knows it to be committed, does not name another one, whose log does not go on
/// from there either.
pub fn is_stranger(other: &Machine, machine: &Machine) -> bool {
    let committed = machine.process.as_ref().map_or(0, |process| process.core.committed());
    let (_, configs) = read_history(&machine.truth.entries, committed);
    configs.first().is_some_and(|(version, config)| {
        !config.names(other.id) && !other.truth.holds(*version, &machine.truth.position(*version).hash)
    })
}
