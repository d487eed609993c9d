//! Faults, as they come: crashes with and without power, cut and slow directions, flapping links, machines that stand
//! still, full disks, syncs that fail, slow disks, clocks that jump.

use super::network::{Item, Time};
use super::random::Random;
use super::world::{Event, World};
use rig::replication::Input;
use rig::types::Role;

/// A fault that ends.
#[derive(Debug, Clone)]
pub enum Fault {
    Full { machine: usize },
    Flap { one: usize, other: usize, left: u64 },
}

impl World {
    pub fn strike(&mut self) {
        if !self.hostile {
            return;
        }
        let wait = self.striking.around(self.options.faults);
        self.after(wait, Event::Strike);
        let machines = self.machines.len() as u64;
        let (one, other) = (self.striking.below(machines) as usize, self.striking.below(machines) as usize);
        let long = self.striking.pick(&[1000, 50_000, 400_000, 4_000_000]);
        let until = self.now + self.striking.around(long);
        let options = &self.options;
        match self.striking.below(12) {
            0 | 1 if options.crash => self.crash_somehow(one),
            2 if options.cut => {
                self.note(|| format!("n{one} and n{other} are cut for {long}"));
                self.network.block(one, other, until);
                self.network.block(other, one, until);
            }
            3 if options.cut => {
                self.note(|| format!("n{one} is alone for {long}"));
                for place in 0..self.machines.len() {
                    self.network.block(one, place, until);
                    self.network.block(place, one, until);
                }
            }
            4 if options.one_way => {
                self.note(|| format!("nothing arrives from n{one} at n{other} for {long}"));
                self.network.block(one, other, until);
            }
            5 if options.flap => self.end(Fault::Flap { one, other, left: 10 }),
            6 => self.break_links(one, other),
            7 if options.pause => {
                self.note(|| format!("n{one} stands still for {long}"));
                self.machines[one].paused_until = until;
            }
            8 if options.full => {
                let room = self.striking.below(3000);
                self.note(|| format!("the disk of n{one} has room for {room} bytes"));
                self.machines[one].vfs.set_room(Some(room));
                self.at(until, Event::End(Fault::Full { machine: one }));
            }
            9 if options.bad_sync => {
                let after = self.striking.below(4);
                self.note(|| format!("a sync of n{one} fails after {after} more"));
                self.machines[one].vfs.fail_sync_after(after);
            }
            10 if options.slow => {
                self.note(|| format!("the disk of n{one} is slow for {long}"));
                self.machines[one].slow_until = until;
            }
            11 if options.clocks => {
                let jump = self.striking.below(3_000_000);
                self.note(|| format!("the clock of n{one} jumps by {jump}"));
                if let Some(process) = &mut self.machines[one].process {
                    process.clock_offset += jump;
                    process.tick_at = Time::MAX;
                }
                self.input(one, Input::Tick);
            }
            _ => {}
        }
    }

    pub fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Full { machine } => self.machines[machine].vfs.set_room(None),
            Fault::Flap { one, other, left } => {
                if self.hostile && left > 0 {
                    self.break_links(one, other);
                    self.after(300_000, Event::End(Fault::Flap { one, other, left: left - 1 }));
                }
            }
        }
    }

    /// Connections between two machines break: what is under way is lost.
    fn break_links(&mut self, one: usize, other: usize) {
        let between: Vec<u64> = self
            .network
            .connections
            .iter()
            .filter(|(_, connection)| {
                let ends = connection.ends.map(|end| end.machine);
                one != other && ends.contains(&one) && ends.contains(&other)
            })
            .map(|(link, _)| *link)
            .collect();
        for link in between {
            self.note(|| format!("link {link} between n{one} and n{other} breaks"));
            for end in 0..2 {
                if let Some(connection) = self.network.connections.get_mut(&link) {
                    connection.queues[end].clear();
                    connection.broken = true;
                }
                // Now and then an end hears nothing of it, and finds out by silence; one that still dials always hears.
                let told = self.network.connections.get(&link).is_some_and(|connection| connection.ends[end].told);
                if !self.striking.chance(200) || !told {
                    self.put(link, end, Item::Closed);
                }
            }
        }
    }

    fn crash_somehow(&mut self, machine: usize) {
        match self.striking.below(4) {
            0 => self.kill(machine, true),
            1 => {
                let left = self.striking.below(6);
                self.doomed = Some((machine, left));
            }
            2 => {
                // Everyone at once.
                for place in 0..self.machines.len() {
                    self.power_cut(place);
                }
            }
            _ => self.power_cut(machine),
        }
    }

    /// The power of a machine fails: what was not synced is kept or lost, sector by sector.
    pub fn power_cut(&mut self, machine: usize) {
        if self.machines[machine].process.is_none() {
            return;
        }
        self.note(|| format!("n{machine} loses power"));
        self.kill(machine, true);
        let seed = self.random.next();
        if self.options.torn {
            self.machines[machine].vfs.crash_torn(seed);
        } else {
            self.machines[machine].vfs.crash(seed);
        }
    }

    /// The process is gone, and what it held in memory; its connections end.
    pub fn kill(&mut self, machine: usize, comes_back: bool) {
        let Some(process) = self.machines[machine].process.take() else { return };
        self.note(|| format!("n{machine} is killed"));
        let (told, promised) = (process.waiting, self.machines[machine].truth.standing.primary);
        for (link, end) in self.network.of(machine) {
            let told = self.network.connections.get(&link).is_some_and(|connection| connection.ends[1 - end].told);
            let silent = self.striking.chance(300) && told;
            if !silent {
                self.put(link, 1 - end, Item::Closed);
            }
            self.network.shut(link, end);
        }
        drop(told);
        let began = self.machines[machine].truth.head() > 0 || promised;
        if began {
            self.machines[machine].role = if promised { Role::Primary } else { Role::Replica };
        }
        if comes_back {
            let after = self.back_after();
            self.after(after, Event::Start { machine });
        }
    }

    fn back_after(&mut self) -> Time {
        let mean = self.striking.pick(&[20_000, 200_000, 2_000_000]);
        if self.hostile { Random::around(&mut self.striking, mean) } else { 10_000 }
    }

    /// An orderly end: drained, then started again, with the role that is asked for.
    pub fn stop(&mut self, machine: usize, role: Option<Role>) {
        if !self.machines[machine].is_up() {
            return;
        }
        self.note(|| format!("n{machine} is stopped, then started as {role:?}"));
        self.input(machine, Input::Drain);
        self.kill(machine, true);
        if let Some(role) = role
            && self.machines[machine].truth.head() > 0
        {
            self.machines[machine].role = role;
        }
    }

    /// The disk has failed for good in this process: it says nothing more, and ends a little later.
    pub fn storage_failed(&mut self, machine: usize) {
        self.note(|| format!("the disk of n{machine} has failed"));
        self.give_up_all(machine);
        self.input(machine, Input::StorageFailed);
        if let Some(process) = &mut self.machines[machine].process {
            process.failed = true;
            let boot = process.boot;
            let after = self.striking.below(50_000);
            self.after(after, Event::Die { machine, boot });
        }
    }
}
