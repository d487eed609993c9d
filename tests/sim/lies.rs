//! Services that give another result than the primary's: the world tells the core of it, as a node does that has compared,
//! and builds the state anew a little later.
//!
//! The marks of results are those of the records, so whatever the cores let be compared must be equal: a difference is a
//! finding, because the two are not of one log.

use rig::replication::{Input, Link, Message, Results};
use rig::types::{Epoch, Version};

use super::checkers::Finding;
use super::machine::{Truth, control_of, service};
use super::world::{Event, World};

/// The mark of a result, as far as the simulator has results.
fn mark(truth: &Truth, version: Version) -> u32 {
    truth.at(version).map_or(0, |record| u32::from_le_bytes([record.hash.0[0], record.hash.0[1], record.hash.0[2], 1]))
}

impl World {
    /// One of the newest results of some replica is another.
    pub fn some_lie(&mut self) {
        if self.is_calm {
            return;
        }
        let wait = self.lying.around(self.options.lies);
        self.after(wait, Event::Lie);
        let machine = self.lying.below(self.machines.len() as u64) as usize;
        let applied = self.machines[machine].process.as_ref().map_or(0, |process| process.core.applied());
        if applied > 0 && self.machines[machine].is_up() {
            let version = applied - self.lying.below(applied.min(20));
            self.lie(machine, version);
            let mean = self.lying.pick(&[1000, 100_000, 3_000_000]);
            self.rebuild_later(machine, mean);
        }
    }

    fn rebuild_later(&mut self, machine: usize, mean: u64) {
        let Some(process) = &self.machines[machine].process else { return };
        let boot = process.boot;
        let after = self.lying.around(mean);
        self.after(after, Event::Rebuild { machine, boot });
    }

    pub fn lie(&mut self, machine: usize, version: Version) {
        self.note(|| format!("n{machine} gives another result for v{version}"));
        self.input(machine, Input::StateDiverged { version });
        if let Some(process) = &mut self.machines[machine].process
            // A primary compares nothing, and has nobody to tell it.
            && process.core.diverged().is_some()
        {
            process.lie = process.lie.or(Some(version));
            process.digest ^= 1;
        }
    }

    /// From a snapshot below the lie, or from nothing, as a node does it.
    pub fn rebuild(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let (Some(lie), Some(bad)) = (process.lie, process.core.diverged()) else { return };
        if process.cut_to.is_some() || process.is_installing {
            // Log and service go back together first, or something else comes in their place.
            return self.rebuild_later(machine, 1000);
        }
        let (applied, committed) = (process.core.applied(), process.core.committed());
        // A story knows what it wants.
        let chance = if self.is_calm || self.options.lies == 0 { 9 } else { self.lying.below(10) };
        let back = match chance {
            0 | 1 if bad <= applied => {
                self.note(|| format!("n{machine} gives that result again"));
                self.input(machine, Input::StateDiverged { version: bad });
                return self.rebuild_later(machine, 100_000);
            }
            // It was the primary's result that was another, and is the same now.
            2 => applied,
            _ => self.lying.below(lie.min(bad).min(committed + 1)),
        };
        self.note(|| format!("n{machine} builds its state anew from v{back}"));
        let truth = &self.machines[machine].truth;
        let digest = service(&truth.entries[..back as usize], 0);
        let Some(process) = &mut self.machines[machine].process else { return };
        (process.lie, process.applied, process.digest) = (None, back, digest);
        self.input(machine, Input::StateRebuilt { applied: back });
        self.apply(machine);
    }

    /// The operator has made this machine primary by force: whatever its service holds is the right state from now on.
    pub fn is_right_by_force(&mut self, machine: usize) {
        let truth = &self.machines[machine].truth;
        let Some(process) = &self.machines[machine].process else { return };
        if process.lie.is_some() && truth.entries.last().and_then(|record| control_of(record)).is_some_and(|c| c.forced)
        {
            let digest = service(&truth.entries[..process.applied as usize], 0);
            if let Some(process) = &mut self.machines[machine].process {
                (process.lie, process.digest) = (None, digest);
            }
        }
    }

    pub fn tell_results(&mut self, machine: usize, link: Link, epoch: Epoch, (after, last): (Version, Version)) {
        // Other seeds are told as they were before nodes compared anything.
        if self.options.lies > 0 {
            let truth = &self.machines[machine].truth;
            let marks = (after + 1..=last).map(|version| mark(truth, version)).collect();
            self.send(machine, link, Message::Results(Results { epoch, first: after + 1, marks }), Vec::new());
        }
    }

    pub fn compare_results(&mut self, machine: usize, first: Version, marks: &[u32]) {
        let Some(process) = &self.machines[machine].process else { return };
        let truth = &self.machines[machine].truth;
        for (version, theirs) in (first..=process.applied).zip(marks) {
            if mark(truth, version) != *theirs {
                let found = format!("n{machine} compares its v{version} with that of another log");
                self.finding = Some(Finding::new("I3", found));
                return;
            }
        }
    }
}
