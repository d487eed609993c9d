//! The duties of a node: inputs into the core, outputs carried out, first to last.

use std::sync::Arc;

use rig::log::{Batch, LogError};
use rig::replication::{Append, Control, Input, Landmark, Message, Output, Rule};
use rig::types::{Epoch, Hash, Kind, Operation, Record, Role, Version};

use super::checkers::{Fact, Finding};
use super::disk;
use super::machine::{Machine, control_of, operation_of, read_history, service};
use super::network::{Item, Time};
use super::world::{Event, World, shorten};

impl World {
    /// Tells a core what happened, and does what it answers.
    pub fn input(&mut self, machine: usize, input: Input) {
        if let Some(process) = &mut self.machines[machine].process {
            process.inbox.push_back(input);
            self.perform(machine);
        }
    }

    /// Carries everything out that the core has asked for, and tells it what comes of it.
    pub fn perform(&mut self, machine: usize) {
        loop {
            let now = self.now;
            let Some(process) = &mut self.machines[machine].process else { return };
            let outputs = std::mem::take(&mut process.outputs);
            if outputs.is_empty() {
                let Some(input) = process.inbox.pop_front() else { break };
                let timed = matches!(input, Input::Tick);
                let clock = self.machines[machine].clock(now);
                let Some(process) = &mut self.machines[machine].process else { return };
                process.core.step(input, clock, &mut process.outputs);
                if timed && process.outputs.iter().any(|output| matches!(output, Output::Rewind { .. })) {
                    self.finding = Some(Finding::new("I9", format!("n{machine} takes records back by its clock")));
                }
                continue;
            }
            for output in outputs {
                if let Some((doomed, left)) = self.doomed
                    && doomed == machine
                {
                    if left == 0 {
                        self.doomed = None;
                        self.power_cut(machine);
                        return;
                    }
                    self.doomed = Some((doomed, left - 1));
                }
                if !matches!(output, Output::Send { message: Message::Alive, .. }) {
                    self.note(|| format!("n{machine}    {}", shortened(&output)));
                }
                self.carry_out(machine, output);
            }
            // A proposal is answered at once: it must not overtake what the core has given out before.
            if self.machines[machine].process.as_mut().is_some_and(|process| std::mem::take(&mut process.unpark)) {
                self.unpark(machine);
            }
        }
        self.flush(machine);
        self.wake(machine);
    }

    fn wake(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else { return };
        let Some(clock) = process.core.wake_at() else { return };
        let at = self.machines[machine].when(clock).max(self.now);
        let Some(process) = &mut self.machines[machine].process else { return };
        if at < process.tick_at {
            process.tick_at = at;
            let boot = process.boot;
            self.at(at, Event::Tick { machine, boot });
        }
    }

    fn carry_out(&mut self, machine: usize, output: Output) {
        if self.machines[machine].process.as_ref().is_some_and(|process| process.failed) {
            let found = format!("n{machine} has failed and still wants {}", shortened(&output));
            self.finding = Some(Finding::new("I13", found));
            return;
        }
        match output {
            Output::Record(standing) => {
                let delay = self.sync_time(machine);
                let Some(process) = &mut self.machines[machine].process else { return };
                process.standing.write(&standing);
                process.recording = Some(standing);
                let boot = process.boot;
                self.after(delay, Event::Recorded { machine, boot });
            }
            Output::Swap { expect, register } => self.ask_for_swap(machine, expect, register),
            Output::ForgetSwap => {
                if let Some(process) = &mut self.machines[machine].process {
                    process.swap = None;
                }
            }
            Output::Append { slot, control: Some(Control { method, data }) } => {
                let operation = Operation::new(method, data);
                self.seal(machine, slot.version, slot.epoch, slot.commit_upto, Kind::Control, operation, None);
            }
            Output::Append { control: None, .. } | Output::Refuse(_) => {
                unreachable!("answers to a proposal are taken where it is made")
            }
            Output::Write => self.take_arrived(machine),
            Output::Cut { to, .. } => {
                let delay = self.sync_time(machine) * 3;
                let Some(process) = &mut self.machines[machine].process else { return };
                process.cut_to = Some(to);
                let boot = process.boot;
                self.after(delay, Event::Cut { machine, boot });
            }
            Output::Rewind { to } => self.rewind(machine, to),
            Output::TryAgain => {
                let Some(process) = &self.machines[machine].process else { return };
                let boot = process.boot;
                self.after(50_000, Event::Retry { machine, boot });
            }
            Output::ReadHash { link, version } => {
                let Some(process) = &mut self.machines[machine].process else { return };
                let hash = process.reader.hash(version).unwrap_or(None);
                process.inbox.push_back(Input::HashIs { link, version, hash });
            }
            Output::Send { link, message } => self.send(machine, link, message, Vec::new()),
            Output::Stream { link, epoch, after, last, committed, adopt } => {
                self.stream(machine, link, epoch, (after, last), committed, adopt);
            }
            Output::Close { link, .. } => self.close(machine, link),
            Output::Commit(version) => self.commit(machine, version),
            Output::Results { link, epoch, after, last } => self.tell_results(machine, link, epoch, (after, last)),
            Output::Compare { first, marks } => self.compare_results(machine, first, &marks),
            Output::Opened(epoch) => {
                if let Some(process) = &mut self.machines[machine].process {
                    (process.opened, process.unpark) = (Some(epoch), true);
                }
                self.facts.push(Fact::Opened { machine, epoch });
            }
            Output::Deposed { .. } => {
                if let Some(process) = &mut self.machines[machine].process {
                    process.opened = None;
                }
                self.give_up_all(machine);
            }
            Output::FindSnapshot { link } => self.find_snapshot(machine, link),
            Output::TakeSnapshot { link, at, .. } => self.take_snapshot(machine, link, at),
            Output::Install { at, keep, .. } => self.note_install(machine, at, keep),
            Output::SendChunk { .. } | Output::TakeChunk { .. } => {}
            Output::Answer { request, result } => self.operator.answered(request, result),
            Output::Event(rig::replication::Event::SplitBrain) => self.facts.push(Fact::SplitBrain { machine }),
            Output::Alone { .. } | Output::Event(_) => {}
        }
    }

    fn close(&mut self, machine: usize, link: u64) {
        if let Some(end) = self.network.end_of(link, machine) {
            self.put(link, 1 - end, Item::Closed);
            self.network.shut(link, end);
        }
        self.forget_dial(machine, link);
        // Whoever has nobody to wait for does not wake, and dials all the same.
        let sleeps = self.machines[machine].process.as_ref().is_some_and(|process| process.core.wake_at().is_none());
        if sleeps {
            self.look_for_addresses(machine);
        }
    }

    fn forget_dial(&mut self, machine: usize, link: u64) {
        let Some(process) = &mut self.machines[machine].process else { return };
        for dial in process.dials.values_mut().filter(|dial| dial.link == Some(link)) {
            (dial.link, dial.tried) = (None, true);
        }
    }

    pub fn send(&mut self, machine: usize, link: u64, message: Message, records: Vec<Arc<Record>>) {
        self.facts.push(Fact::Said { machine, message: message.clone() });
        if let Some(end) = self.network.end_of(link, machine) {
            self.put(link, 1 - end, Item::Message(message, records));
        }
    }

    /// Sends records in pieces, from memory or from the log.
    fn stream(
        &mut self,
        machine: usize,
        link: u64,
        epoch: Epoch,
        (after, last): (Version, Version),
        committed: Version,
        adopt: bool,
    ) {
        let mut after = after;
        if self.machines[machine].process.as_ref().is_some_and(|process| after + 1 < process.reader.oldest()) {
            // Compacted since: the next connection begins with a snapshot.
            self.close(machine, link);
            return self.input(machine, Input::Closed { link });
        }
        while after < last {
            let piece = self.random.between(1, 64);
            let to = last.min(after + piece);
            let Some(process) = &self.machines[machine].process else { return };
            let truth = &self.machines[machine].truth;
            let mut records: Vec<Arc<Record>> = truth.entries[after as usize..to as usize].to_vec();
            if to <= truth.durable && self.random.chance(100) {
                let read = process.reader.records(after + 1, to);
                let read: Result<Vec<Arc<Record>>, LogError> = read.map(|record| record.map(Arc::new)).collect();
                match read {
                    Ok(read) if read == records => records = read,
                    other => {
                        let found = format!("n{machine} reads other records than it wrote: {other:?}");
                        self.finding = Some(Finding::new("I3", found));
                    }
                }
            }
            let mut before_epoch = truth.position(after).epoch;
            let mut landmarks = Vec::new();
            for record in &records {
                let control = control_of(record);
                if control.is_some() || record.epoch != before_epoch {
                    landmarks.push(Landmark { version: record.version, epoch: record.epoch, control });
                }
                before_epoch = record.epoch;
            }
            let append = Append { epoch, before: truth.position(after), last: to, committed, landmarks };
            let message = if adopt { Message::Records(append) } else { Message::Append(append) };
            self.send(machine, link, message, records);
            after = to;
        }
    }

    /// Gives a record its place at the end of a log.
    #[allow(clippy::too_many_arguments)]
    pub fn seal(
        &mut self,
        machine: usize,
        version: Version,
        epoch: Epoch,
        commit_upto: Version,
        kind: Kind,
        operation: Operation,
        request: Option<(u64, u64)>,
    ) {
        let wall = self.now + self.random.below(3) * 1000;
        let Some(process) = &mut self.machines[machine].process else { return };
        process.last_time = process.last_time.max(wall);
        let mut record = Record {
            version,
            epoch,
            time: process.last_time,
            commit_upto,
            kind,
            key: request.map(|(op, _)| format!("k{op}").into()),
            request_hash: request.map(|_| Hash([1; 32])),
            actor: request.map_or_else(String::new, |(_, attempt)| attempt.to_string()).into(),
            operation,
            hash: Hash::default(),
        };
        process.sealer.seal(&mut record, &mut process.batch);
        if let Some((op, _)) = request {
            process.keys.insert(op, version);
        }
        self.machines[machine].truth.entries.push(Arc::new(record));
        self.is_right_by_force(machine);
        self.facts.push(Fact::Sealed { machine, version, own: true });
    }

    /// The records of the message that the core has just taken.
    fn take_arrived(&mut self, machine: usize) {
        let records = {
            let Some(process) = &mut self.machines[machine].process else { return };
            std::mem::take(&mut process.arrived)
        };
        for record in records {
            let version = record.version;
            let Some(process) = &mut self.machines[machine].process else { return };
            let mut copy = Record { hash: Hash::default(), ..(*record).clone() };
            process.sealer.seal(&mut copy, &mut process.batch);
            if copy.hash != record.hash {
                let found = format!("n{machine} is sent v{version} of {}, which does not continue its log", copy.epoch);
                self.finding = Some(Finding::new("I3", found));
                return;
            }
            if let Some(op) = operation_of(&record) {
                process.keys.insert(op, version);
            }
            process.last_time = process.last_time.max(record.time);
            self.machines[machine].truth.entries.push(record);
            self.facts.push(Fact::Sealed { machine, version, own: false });
        }
    }

    /// Hands the batch to the log thread when that is idle.
    fn flush(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.writing.is_some() || process.batch.is_empty() || process.cut_to.is_some() || process.failed {
            return;
        }
        let batch = std::mem::replace(&mut process.batch, Batch::new());
        process.writing = Some((batch, false));
        self.write(machine);
        // What is with the log thread may go to the replicas.
        self.input(machine, Input::Flush);
    }

    fn write(&mut self, machine: usize) {
        let delay = if self.machines[machine].stuck { 1 << 40 } else { self.sync_time(machine) };
        let Some(process) = &mut self.machines[machine].process else { return };
        let (Some((batch, written)), Some(writer)) = (&mut process.writing, &mut process.writer) else { return };
        let boot = process.boot;
        match writer.append(batch) {
            Ok(()) => {
                *written = true;
                self.after(delay, Event::Synced { machine, boot });
            }
            Err(LogError::NoSpace { .. }) => self.after(delay / 2, Event::NoRoom { machine, boot }),
            Err(_) => self.storage_failed(machine),
        }
    }

    pub fn write_again(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else { return };
        if process.writing.as_ref().is_some_and(|(_, written)| !written) {
            self.write(machine);
        }
    }

    pub fn synced(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        let Some(writer) = &mut process.writer else { return };
        let committed = process.core.committed();
        let durable = match writer.sync() {
            Ok(durable) => durable,
            Err(_) => return self.storage_failed(machine),
        };
        if writer.mark(committed.min(durable.version())).is_err() {
            return self.storage_failed(machine);
        }
        process.writing = None;
        self.machines[machine].truth.durable = durable.version();
        self.input(machine, Input::Synced(durable));
    }

    pub fn no_room(&mut self, machine: usize) {
        let last = self.machines[machine].truth.durable;
        self.input(machine, Input::NoRoom { last });
    }

    fn rewind(&mut self, machine: usize, to: Version) {
        let truth = &mut self.machines[machine].truth;
        let position = truth.position(to);
        let records = truth.entries.split_off(to as usize);
        let Some(process) = &mut self.machines[machine].process else { return };
        process.sealer.rewind(position);
        process.batch.clear();
        if process.writing.as_ref().is_some_and(|(batch, _)| batch.first() > to) {
            process.writing = None;
        }
        for record in &records {
            if let Some(op) = operation_of(record) {
                process.keys.remove(&op);
            }
        }
        let waiting = process.waiting.split_off(&(to + 1));
        let epoch = process.core.epoch();
        let own = records.last().is_some_and(|record| record.epoch == epoch) && process.core.role() == Role::Primary;
        self.facts.push(Fact::Rewound { machine, records, own });
        for waiter in waiting.into_values().flatten() {
            self.refuse(machine, waiter.request, "disk full");
        }
    }

    pub fn recorded(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.standing.sync().is_err() {
            return self.storage_failed(machine);
        }
        if let Some(standing) = process.recording.take() {
            self.machines[machine].truth.standing = standing;
        }
        self.input(machine, Input::Recorded);
    }

    pub fn cut(&mut self, machine: usize) {
        let rescue = self.off != Some(Rule::RescueFirst);
        let segment_bytes = self.options.segment_bytes;
        let Machine { vfs, truth, process: Some(process), .. } = &mut self.machines[machine] else { return };
        let Some(to) = process.cut_to else { return };
        truth.cutting = Some(to);
        process.writer = None;
        if disk::cut_log(vfs, to).is_err() {
            // The cache shows a cut that the disk may not have; only a start from the disk itself tells.
            let seed = self.random.next();
            self.storage_failed(machine);
            self.kill(machine, true);
            return self.machines[machine].vfs.crash(seed);
        }
        let Ok(opened) = disk::open_log(vfs, &disk::config(segment_bytes), to) else {
            return self.storage_failed(machine);
        };
        truth.cutting = None;
        process.cut_to = None;
        let records = truth.entries.split_off(to as usize);
        if rescue {
            truth.rescued.extend(records.iter().cloned());
        }
        truth.durable = to;
        process.reader = opened.writer.reader();
        (process.writer, process.sealer) = (Some(opened.writer), opened.sealer);
        for record in &records {
            if let Some(op) = operation_of(record) {
                process.keys.remove(&op);
            }
        }
        // The service goes back to a snapshot, or to the beginning.
        let committed = process.core.committed();
        let back = if process.applied <= to { process.applied } else { self.random.below(committed.min(to) + 1) };
        process.applied = back;
        process.digest = service(&truth.entries[..back as usize], 0);
        let (_, configs) = read_history(&truth.entries, committed.min(to));
        self.facts.push(Fact::Cut { machine, records });
        self.input(machine, Input::Cut { applied: back, configs });
        self.apply(machine);
    }

    fn commit(&mut self, machine: usize, version: Version) {
        self.facts.push(Fact::Committed { machine, upto: version });
        self.apply(machine);
    }

    /// Gives the service what is decided, and answers who waits for it.
    pub fn apply(&mut self, machine: usize) {
        let Machine { truth, process: Some(process), .. } = &mut self.machines[machine] else { return };
        let upto = process.core.committed().min(truth.head());
        if process.cut_to.is_some() || upto <= process.applied {
            return;
        }
        process.digest = service(&truth.entries[process.applied as usize..upto as usize], process.digest);
        process.applied = upto;
        process.inbox.push_back(Input::Applied(upto));
        self.facts.push(Fact::Applied { machine, upto });
        self.answer_committed(machine, upto);
    }

    pub fn sync_time(&mut self, machine: usize) -> Time {
        let slow = self.machines[machine].slow_until > self.now;
        let sync = self.machines[machine].sync;
        if sync > 3_600_000_000 {
            return sync;
        }
        let mean = sync * if slow { 100 } else { 1 };
        self.random.around(mean.min(2_000_000))
    }
}

fn shortened(output: &Output) -> String {
    shorten(format!("{output:?}"))
}
