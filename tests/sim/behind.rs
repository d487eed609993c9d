//! Logs that are compacted, and members that are behind them: a snapshot goes over, and takes the place of a log.
//!
//! A snapshot is what a machine has applied, and takes no bytes here; that it comes late, or not at all, is what counts.

use std::path::Path;
use std::sync::Arc;

use rig::log;
use rig::replication::{Input, Link, Rule};
use rig::types::{Position, Record, Version};

use super::checkers::Fact;
use super::disk;
use super::machine::Machine;
use super::world::{Event, World};

/// A snapshot in the place of a log: noted, and perhaps not done yet.
pub struct Install {
    pub at: Position,
    pub keep: Version,
    pub entries: Vec<Arc<Record>>,
}

impl World {
    /// Whole segments that a snapshot has leave the front of the log.
    pub fn compact(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.failed || process.writing.is_some() || process.cut_to.is_some() {
            return;
        }
        let Some(writer) = &mut process.writer else { return };
        let done = writer.compact(process.applied + 1).and_then(|front| {
            let oldest = front.oldest;
            front.remove(|_| ()).map(|_| oldest)
        });
        match done {
            Ok(oldest) => {
                self.note(|| format!("the log of n{machine} begins with v{oldest}"));
                self.input(machine, Input::Compacted { oldest });
            }
            Err(_) => self.storage_failed(machine),
        }
    }

    pub fn find_snapshot(&mut self, machine: usize, link: Link) {
        let Machine { truth, process: Some(process), .. } = &mut self.machines[machine] else { return };
        let at = truth.position(process.applied);
        process.inbox.push_back(Input::SnapshotIs { link, found: Some((at, 1)) });
    }

    pub fn take_snapshot(&mut self, machine: usize, link: Link, at: Position) {
        let source = self.machines.iter().find(|other| other.truth.holds(at.version, &at.hash));
        // Whoever has offered it has cut its log since, and lost it.
        let Some(source) = source else { return };
        let entries = source.truth.entries[..at.version as usize].to_vec();
        let delay = self.sync_time(machine) * 10;
        let Some(process) = &mut self.machines[machine].process else { return };
        process.snapshot = Some(Install { at, keep: 0, entries });
        let boot = process.boot;
        self.after(delay, Event::Taken { machine, boot, link });
    }

    pub fn note_install(&mut self, machine: usize, at: Position, keep: Version) {
        let delay = self.sync_time(machine);
        let Some(process) = &mut self.machines[machine].process else { return };
        if at.version == 0 {
            let at = Position { hash: log::genesis(&disk::CLUSTER), ..at };
            process.snapshot = Some(Install { at, keep, entries: Vec::new() });
        }
        let Some(snapshot) = process.snapshot.as_mut().filter(|snapshot| snapshot.at.version == at.version) else {
            return;
        };
        snapshot.keep = keep;
        process.is_installing = true;
        let boot = process.boot;
        self.after(delay, Event::Install { machine, boot });
    }

    /// The note is durable: the process ends, and the next one begins with the snapshot.
    pub fn install(&mut self, machine: usize) {
        let rescue = self.off != Some(Rule::RescueFirst);
        let Machine { truth, process: Some(process), .. } = &mut self.machines[machine] else { return };
        let Some(snapshot) = process.snapshot.take() else { return };
        let records = truth.entries.split_off(snapshot.keep as usize);
        if rescue {
            truth.rescued.extend(records.iter().cloned());
        }
        (truth.entries, truth.durable) = (snapshot.entries.clone(), snapshot.at.version);
        self.installed += u64::from(snapshot.at.version > 0);
        self.machines[machine].truth.installing = Some(snapshot);
        self.facts.push(Fact::Cut { machine, records });
        self.kill(machine, false);
        self.after(1000, Event::Start { machine });
    }
}

impl Machine {
    /// Goes on with what was noted, to its end.
    pub fn finish_install(&mut self, segment_bytes: u64) -> Result<(), String> {
        let Some(Install { at, .. }) = &self.truth.installing else { return Ok(()) };
        log::begin_behind(&self.vfs, Path::new(disk::DIR), &disk::config(segment_bytes), at)
            .map_err(|error| error.to_string())?;
        self.truth.installing = None;
        Ok(())
    }
}
