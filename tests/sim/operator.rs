//! The operator: promotes, demotes, changes the configuration, adds and removes members; and helps a cluster without a
//! primary, as people do, with force only when nothing else is left.

use rig::replication::{Asked, Input, NotPromoted, Refusal};
use rig::types::{Mode, NodeId, Role};

use super::machine::Machine;
use super::network::Time;
use super::random::Random;
use super::run::is_stranger;
use super::world::{Event, World};

/// Machines that a seed may add.
const ADDED_MAX: usize = 2;

pub struct Operator {
    pub random: Random,
    next_request: u64,
    added: usize,
    forces: u64,
    pub refused: Vec<NotPromoted>,
}

impl Operator {
    pub fn new(random: Random) -> Self {
        Self { random, next_request: 1, added: 0, forces: 0, refused: Vec::new() }
    }

    pub fn answered(&mut self, _: u64, result: Result<(), NotPromoted>) {
        self.refused.extend(result.err());
    }

    fn request(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }
}

impl World {
    /// The machine whose process is an open primary of the highest epoch.
    pub fn primary(&self) -> Option<usize> {
        let open = |machine: &Machine| machine.process.as_ref().filter(|p| p.core.is_open()).map(|p| p.core.epoch());
        (0..self.machines.len())
            .filter(|place| open(&self.machines[*place]).is_some())
            .max_by_key(|place| open(&self.machines[*place]))
    }

    /// The open primary that most machines follow. After two forces there may be another one, with a higher epoch, that
    /// the followed one's log has removed: nobody listens to it, and only its operator can end that.
    pub fn followed_primary(&self) -> Option<usize> {
        let follows = |machine: &Machine, id| {
            let core = machine.process.as_ref().map(|process| &process.core);
            core.and_then(|core| core.primary()).is_some_and(|primary| primary.id == id)
        };
        (0..self.machines.len())
            .filter(|place| self.machines[*place].process.as_ref().is_some_and(|process| process.core.is_open()))
            .max_by_key(|place| {
                let id = self.machines[*place].id;
                let followers = self.machines.iter().filter(|machine| follows(machine, id)).count();
                (followers, self.machines[*place].process.as_ref().map(|process| process.core.epoch()))
            })
    }

    /// Whether this is the primary of a side that force has made and that takes no writes for want of replicas, while all
    /// whom its log names go by a log that does not name it. `rig status` says `blocked` there, with every member connected
    /// and none in sync, and `rig status --all` another list of members on each of them: its operator gives it up.
    pub fn is_deserted(&self, place: usize) -> bool {
        let machine = &self.machines[place];
        let Some(core) = machine.process.as_ref().map(|process| &process.core).filter(|core| core.is_open()) else {
            return false;
        };
        let is_named = |other: &&Machine| {
            other.is_up() && other.id != machine.id && core.config().is_some_and(|config| config.names(other.id))
        };
        let mut named = self.machines.iter().filter(is_named).peekable();
        matches!(core.refusal(None), Some(Refusal::NotEnoughReplicas { .. }))
            && named.peek().is_some()
            && named.all(|other| is_stranger(machine, other))
    }

    pub fn operate(&mut self) {
        let mean = self.options.operator;
        let wait = self.operator.random.around(mean);
        if self.is_calm {
            return;
        }
        self.after(wait, Event::Operate);
        let machines = self.machines.len() as u64;
        let machine = self.operator.random.below(machines) as usize;
        let act = self.operator.random.below(100);
        match act {
            0..30 => self.promote(machine, false),
            30..34 if self.options.force && self.operator.forces < 2 => {
                self.operator.forces += 1;
                self.promote(machine, true);
            }
            34..40 => self.demote(machine),
            40..55 if self.options.modes => self.change(),
            55..65 if self.options.members => self.add_machine(),
            65..72 if self.options.members => self.remove_member(machine),
            72..76 => {
                let role = if self.operator.random.chance(500) { Role::Primary } else { Role::Replica };
                self.stop(machine, Some(role));
            }
            76..80 if self.options.wipe => self.lose_disk(machine),
            80..95 if self.options.compacts => self.compact(machine),
            _ => {}
        }
    }

    pub fn promote(&mut self, machine: usize, force: bool) {
        if self.machines[machine].is_up() {
            let request = self.operator.request();
            self.note(|| format!("operator: promote n{machine}{}", if force { " BY FORCE" } else { "" }));
            self.input(machine, Input::Promote { request, force });
        }
    }

    /// Outside `sync` a demoted primary can only be followed by force: there it is left to switchovers.
    fn demote(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else { return };
        if process.core.config().is_some_and(|config| config.replication == Mode::Sync) && !self.options.modes {
            self.note(|| format!("operator: demote n{machine}"));
            self.input(machine, Input::Demote);
        }
    }

    fn change(&mut self) {
        let Some(machine) = self.primary() else { return };
        let random = &mut self.operator.random;
        let asked = match random.below(3) {
            0 => {
                Asked { replication: Some(random.pick(&[Mode::Sync, Mode::SemiSync, Mode::Async])), ..Asked::default() }
            }
            1 => Asked { min_replicas: Some(random.pick(&[1, 2])), ..Asked::default() },
            _ => Asked { sync_timeout_ms: Some(random.pick(&[200, 700])), ..Asked::default() },
        };
        self.note(|| format!("operator: n{machine} {asked:?}"));
        self.input(machine, Input::Change(asked));
    }

    /// A new node with an empty disk dials in.
    fn add_machine(&mut self) {
        if self.operator.added >= ADDED_MAX {
            return;
        }
        self.operator.added += 1;
        let place = self.machines.len();
        let mut machine = Machine::new(place, &self.options);
        machine.addresses = (0..place).filter(|other| !self.machines[*other].retired).collect();
        self.note(|| format!("operator: adds n{place}"));
        self.machines.push(machine);
        self.after(1000, Event::Start { machine: place });
    }

    fn remove_member(&mut self, victim: usize) {
        let Some(machine) = self.primary() else { return };
        let members =
            self.machines[machine].process.as_ref().and_then(|p| p.core.config()).map_or(0, |c| c.members.len());
        if members <= 2 || victim == machine {
            return;
        }
        let (request, id) = (self.operator.request(), self.machines[victim].id);
        self.note(|| format!("operator: removes n{victim} from the list of n{machine}"));
        self.input(machine, Input::RemoveMember { request, id, force: false });
    }

    pub fn remove_by_force(&mut self, machine: usize, id: NodeId) {
        let request = self.operator.request();
        self.note(|| format!("operator: removes {id:?} from the list of n{machine} BY FORCE"));
        self.input(machine, Input::RemoveMember { request, id, force: true });
    }

    /// A disk is gone; another node takes the place of its machine, with a name of its own.
    fn lose_disk(&mut self, victim: usize) {
        let lost = self.machines.iter().filter(|machine| machine.retired).count();
        // With the only log that there is the cluster would be gone.
        let others = self.machines.iter().enumerate().any(|(place, other)| place != victim && other.truth.durable > 0);
        if lost > 0 || self.machines.len() < 3 || self.primary() == Some(victim) || !others {
            return;
        }
        self.note(|| format!("n{victim} loses its disk"));
        self.kill(victim, false);
        self.machines[victim].retired = true;
        self.add_machine();
    }

    /// What an operator does when everything is reachable again and there is still no primary; says whether force was
    /// needed.
    pub fn help(&mut self, since: Time) -> bool {
        let waited = self.now - since;
        // By the log that is most advanced: who is a member, and who would lose least.
        let end = |place: &usize| {
            let truth = &self.machines[*place].truth;
            (truth.position(truth.head()).epoch, truth.head())
        };
        let is_there = |place: &usize| self.machines[*place].is_up() && !self.is_deserted(*place);
        let mut there: Vec<usize> = (0..self.machines.len()).filter(is_there).collect();
        there.sort_by_key(|place| std::cmp::Reverse(end(place)));
        // Where the best one by force is none that the others listen to, the next one is tried.
        let tried = (waited / 20_000_000).saturating_sub(1) as usize;
        let Some(best) = there.get(tried % there.len().max(1)).copied() else { return false };
        let config = self.machines[best].process.as_ref().and_then(|process| process.core.config());
        let ids: Vec<_> = config.map_or(Vec::new(), |config| config.members.iter().map(|member| member.id).collect());
        let members: Vec<usize> =
            (0..self.machines.len()).filter(|place| ids.contains(&self.machines[*place].id)).collect();
        if members.is_empty() {
            return false;
        }
        let force = waited > 20_000_000;
        let gone = self.machines.iter().find(|machine| machine.retired && ids.contains(&machine.id));
        if let Some(id) = gone.map(|machine| machine.id).filter(|_| force && waited % 2_000_000 < 1_000_000) {
            // Its disk is gone: it cannot agree to its removal.
            self.remove_by_force(best, id);
            return true;
        }
        let place = if force { best } else { members[(waited / 3_000_000) as usize % members.len()] };
        self.promote(place, force);
        force
    }
}
