//! The world of one seed: machines, network, clients, the operator, and the queue of what happens next.
//!
//! ```text
//!   queue ─► event ─► a machine's core steps ─► outputs are carried out ─► facts ─► checkers ─► next event
//! ```
//!
//! # Invariants
//! 1. Everything that happens comes from the seed: equal seeds give equal worlds, event by event.
//! 2. After every event each checker has seen every fact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rig::replication::{Asked, Input, Link, Message, Rule, Seen};
use rig::types::Role;

use super::checkers::{Checkers, Fact, Finding};
use super::coordinator::{Coordinator, Swap};
use super::faults::Fault;
use super::machine::{Dial, Machine};
use super::network::{Item, Network, Time};
use super::operator::Operator;
use super::options::{Options, Outside};
use super::random::Random;
use super::workload::{Clients, Request};

/// What happens at a time.
#[derive(Debug, Clone)]
pub enum Event {
    Deliver {
        link: Link,
        end: usize,
    },
    Dial {
        from: usize,
        boot: u64,
        to: usize,
    },
    Tick {
        machine: usize,
        boot: u64,
    },
    Synced {
        machine: usize,
        boot: u64,
    },
    NoRoom {
        machine: usize,
        boot: u64,
    },
    Retry {
        machine: usize,
        boot: u64,
    },
    Recorded {
        machine: usize,
        boot: u64,
    },
    Cut {
        machine: usize,
        boot: u64,
    },
    /// A snapshot has arrived.
    Taken {
        machine: usize,
        boot: u64,
        link: Link,
    },
    /// It may take the place of the log.
    Install {
        machine: usize,
        boot: u64,
    },
    Die {
        machine: usize,
        boot: u64,
    },
    Start {
        machine: usize,
    },
    Request {
        machine: usize,
        request: Request,
    },
    Deadline {
        machine: usize,
        boot: u64,
        attempt: u64,
    },
    Client {
        client: usize,
        turn: u64,
    },
    Operate,
    Strike,
    /// The service of some machine gives another result.
    Lie,
    /// It is built anew.
    Rebuild {
        machine: usize,
        boot: u64,
    },
    /// A swap arrives at the coordinator.
    Swap(Swap),
    SwapAnswer {
        machine: usize,
        boot: u64,
        attempt: u64,
        taken: bool,
        seen: Seen,
    },
    /// What was read at the coordinator arrives.
    Seen {
        machine: usize,
        boot: u64,
        seen: Seen,
    },
    /// A node turns to the coordinator.
    Consult {
        machine: usize,
        boot: u64,
    },
    StrikeOutside,
    End(Fault),
}

struct Scheduled(Time, u64, Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct World {
    pub now: Time,
    queue: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    pub events: u64,
    pub options: Options,
    pub machines: Vec<Machine>,
    pub network: Network,
    pub clients: Clients,
    pub operator: Operator,
    pub coordinator: Coordinator,
    pub checkers: Checkers,
    pub facts: Vec<Fact>,
    /// For disks, for faults and for what nodes do between two events.
    pub random: Random,
    pub striking: Random,
    pub lying: Random,
    /// Faults happen.
    pub hostile: bool,
    /// The end, in which nobody breaks anything and the operator only helps.
    pub is_calm: bool,
    pub off: Option<Rule>,
    pub trace: Option<Vec<String>>,
    pub digest: u64,
    /// Snapshots that took the place of a log.
    pub installed: u64,
    /// The process of this machine dies after so many more outputs.
    pub doomed: Option<(usize, u64)>,
    /// Everything is asked of a machine through this, so that a finding is not lost.
    pub finding: Option<Finding>,
}

impl World {
    pub fn new(seed: u64, off: Option<Rule>, traced: bool, outside: Outside) -> Self {
        let mut random = Random::new(seed);
        let (coordinated, contrary) = (outside != Outside::Nothing, outside == Outside::Contrary);
        let options = Options { coordinated, contrary, ..Options::of(&mut random.fork()) };
        Self::with(options, random, off, traced)
    }

    pub fn with(options: Options, mut random: Random, off: Option<Rule>, traced: bool) -> Self {
        let mut machines: Vec<Machine> = (0..options.machines).map(|place| Machine::new(place, &options)).collect();
        let everyone: Vec<usize> = (0..options.machines).collect();
        for (place, machine) in machines.iter_mut().enumerate() {
            machine.addresses = if place == 0 { Vec::new() } else { everyone.clone() };
            machine.addresses.retain(|other| *other != place);
            machine.role = if place == 0 { Role::Primary } else { Role::Replica };
            if options.clocks {
                machine.rate = random.between(800, 1200);
            }
        }
        let mut world = Self {
            now: 1_000_000,
            queue: BinaryHeap::new(),
            sequence: 0,
            events: 0,
            machines,
            network: Network::new(options.delay, options.contrary, random.fork()),
            clients: Clients::new(&options, random.fork()),
            operator: Operator::new(random.fork()),
            checkers: Checkers::new(),
            facts: Vec::new(),
            random: random.fork(),
            striking: random.fork(),
            lying: random.fork(),
            coordinator: Coordinator::new(random.fork()),
            hostile: options.faults > 0,
            is_calm: false,
            off,
            trace: traced.then(Vec::new),
            digest: 0,
            installed: 0,
            doomed: None,
            finding: None,
            options,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for machine in 0..self.machines.len() {
            let after = machine as u64 * 1000;
            self.after(after, Event::Start { machine });
        }
        for client in 0..self.options.clients {
            self.after(100_000, Event::Client { client, turn: 0 });
        }
        if self.options.operator > 0 {
            self.after(500_000, Event::Operate);
        }
        if self.hostile {
            self.after(300_000, Event::Strike);
        }
        if self.options.lies > 0 {
            self.after(400_000, Event::Lie);
        }
        if self.options.coordinated && self.hostile {
            self.after(600_000, Event::StrikeOutside);
        }
    }

    pub fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub fn at(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled(time.max(self.now), self.sequence, event)));
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10} {}", self.now, line()));
        }
    }

    /// Lets the next thing happen; `false` when there is none, or something was found.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(Scheduled(time, _, event))) = self.queue.pop() else { return false };
        self.now = time;
        self.events += 1;
        if let Some((machine, until)) = self.paused(&event) {
            let _ = machine;
            self.at(until, event);
            return true;
        }
        self.happens(event);
        self.finding.is_none()
    }

    /// What may come next when time does not matter: the first item of each direction, what disks do, and starts; or,
    /// when there is nothing of that kind, the next thing that waits for its time.
    pub fn ready(&self) -> Vec<(u64, Event)> {
        let mut waiting: Vec<&Scheduled> = self.queue.iter().map(|Reverse(scheduled)| scheduled).collect();
        waiting.sort();
        let (mut ready, mut directions) = (Vec::new(), Vec::new());
        for Scheduled(_, sequence, event) in &waiting {
            let is_ready = match event {
                Event::Deliver { link, end } => {
                    let is_first = !directions.contains(&(*link, *end));
                    directions.push((*link, *end));
                    let queue = self.network.connections.get(link).map(|connection| &connection.queues[*end]);
                    is_first && queue.is_some_and(|queue| !queue.is_empty())
                }
                Event::Synced { machine, boot } | Event::Recorded { machine, boot } | Event::Cut { machine, boot } => {
                    self.lives(*machine, *boot)
                }
                Event::Start { .. } => true,
                _ => false,
            };
            if is_ready {
                ready.push((*sequence, event.clone()));
            }
        }
        if ready.is_empty() {
            ready.extend(waiting.first().map(|Scheduled(_, sequence, event)| (*sequence, event.clone())));
        }
        ready
    }

    /// Lets the n-th of [`World::ready`] happen.
    pub fn take(&mut self, place: usize) {
        let (sequence, event) = self.ready().swap_remove(place);
        let mut rest = std::mem::take(&mut self.queue).into_vec();
        if let Some(at) = rest.iter().position(|Reverse(scheduled)| scheduled.1 == sequence) {
            let Reverse(Scheduled(time, ..)) = rest.swap_remove(at);
            self.now = self.now.max(time);
        }
        self.queue = rest.into();
        self.happens(event);
    }

    /// An event, and what it is about.
    pub fn describe(&self, event: &Event) -> String {
        match event {
            Event::Deliver { link, end } => {
                let item = self.network.connections.get(link).and_then(|connection| connection.queues[*end].front());
                format!("{end} {item:?}")
            }
            Event::Synced { machine, .. } | Event::Recorded { machine, .. } | Event::Cut { machine, .. } => {
                format!("{machine} {:?}", std::mem::discriminant(event))
            }
            other => format!("{:?}", std::mem::discriminant(other)),
        }
    }

    /// Handles an event, and shows the checkers what came of it.
    pub fn happens(&mut self, event: Event) {
        self.handle(event);
        let facts = std::mem::take(&mut self.facts);
        let found = self.finding.take().or_else(|| self.checkers.see(&facts, &self.machines, self.now));
        self.facts = facts;
        self.facts.clear();
        self.finding = found;
    }

    /// A machine that stands still does nothing until it goes on; what is for it waits in order.
    fn paused(&self, event: &Event) -> Option<(usize, Time)> {
        let machine = match event {
            Event::Deliver { link, end } => self.network.connections.get(link)?.ends[*end].machine,
            Event::Dial { from, .. } => *from,
            Event::Tick { machine, .. }
            | Event::Synced { machine, .. }
            | Event::NoRoom { machine, .. }
            | Event::Retry { machine, .. }
            | Event::Recorded { machine, .. }
            | Event::Cut { machine, .. }
            | Event::Rebuild { machine, .. }
            | Event::Taken { machine, .. }
            | Event::Install { machine, .. }
            | Event::Seen { machine, .. }
            | Event::SwapAnswer { machine, .. }
            | Event::Consult { machine, .. }
            | Event::Request { machine, .. }
            | Event::Deadline { machine, .. } => *machine,
            _ => return None,
        };
        let until = self.machines[machine].paused_until;
        (until > self.now).then_some((machine, until))
    }

    fn handle(&mut self, event: Event) {
        let number = match &event {
            Event::Deliver { link, end } => link * 2 + *end as u64,
            Event::Tick { machine, .. } => *machine as u64 + 1000,
            Event::Client { client, .. } => *client as u64 + 2000,
            _ => 3000,
        };
        self.digest = (self.digest ^ self.now ^ number << 40).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        match event {
            Event::Deliver { link, end } => self.deliver(link, end),
            Event::Dial { from, boot, to } if self.lives(from, boot) => self.dial(from, to),
            Event::Tick { machine, boot } if self.lives(machine, boot) => self.tick(machine),
            Event::Synced { machine, boot } if self.lives(machine, boot) => self.synced(machine),
            Event::NoRoom { machine, boot } if self.lives(machine, boot) => self.no_room(machine),
            Event::Retry { machine, boot } if self.lives(machine, boot) => self.write_again(machine),
            Event::Recorded { machine, boot } if self.lives(machine, boot) => self.recorded(machine),
            Event::Cut { machine, boot } if self.lives(machine, boot) => self.cut(machine),
            Event::Taken { machine, boot, link } if self.lives(machine, boot) => {
                self.input(machine, Input::SnapshotTaken { link });
            }
            Event::Install { machine, boot } if self.lives(machine, boot) => self.install(machine),
            Event::Deadline { machine, boot, attempt } if self.lives(machine, boot) => self.deadline(machine, attempt),
            Event::Die { machine, boot } if self.lives(machine, boot) => self.kill(machine, true),
            Event::Start { machine } => self.start(machine),
            Event::Request { machine, request } => self.request(machine, request),
            Event::Client { client, turn } => self.client(client, turn),
            Event::Operate => self.operate(),
            Event::Strike => self.strike(),
            Event::Lie => self.some_lie(),
            Event::Rebuild { machine, boot } if self.lives(machine, boot) => self.rebuild(machine),
            Event::Swap(swap) => self.swap(swap),
            Event::SwapAnswer { machine, boot, attempt, taken, seen } if self.lives(machine, boot) => {
                self.answer_swap(machine, attempt, taken, seen);
            }
            Event::Seen { machine, boot, seen } if self.lives(machine, boot) => {
                self.input(machine, Input::Registered(seen));
            }
            Event::Consult { machine, boot } if self.lives(machine, boot) => self.consult(machine),
            Event::StrikeOutside => self.strike_outside(),
            Event::End(fault) => self.end(fault),
            _ => {}
        }
    }

    /// Whether this start of the process is the one that runs.
    pub fn lives(&self, machine: usize, boot: u64) -> bool {
        self.machines[machine].process.as_ref().is_some_and(|process| process.boot == boot)
    }

    pub fn start(&mut self, machine: usize) {
        if self.machines[machine].process.is_some() || self.machines[machine].retired {
            return;
        }
        let asked = if machine == 0 && self.machines[0].boots == 0 { self.options.asked } else { Asked::default() };
        let (options, off, now) = (self.options.clone(), self.off, self.now);
        self.note(|| format!("n{machine} starts"));
        match self.machines[machine].start(machine, &options, asked, off, now) {
            Err(found) if found.contains("injected") || found.contains("no storage space") => {
                self.after(50_000, Event::Start { machine })
            }
            Err(found) => self.finding = Some(Finding::new("I8", found)),
            Ok(lost) => {
                if !lost.is_empty() {
                    self.facts.push(Fact::Lost { machine, records: lost });
                }
                self.facts.push(Fact::Started { machine });
                self.look_for_addresses(machine);
                self.perform(machine);
                if self.options.coordinated {
                    let boot = self.machines[machine].boots;
                    self.after(1000, Event::Consult { machine, boot });
                }
            }
        }
    }

    /// Dials whoever is not connected, each address by its own clock.
    pub fn look_for_addresses(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else { return };
        let boot = process.boot;
        let mut wanted: Vec<usize> =
            process.core.to_dial().iter().filter_map(|member| member.url.parse().ok()).collect();
        let views = process.core.peers();
        let connected = |place: usize| views.iter().any(|view| view.connected && view.member.url == place.to_string());
        wanted.extend(self.machines[machine].addresses.iter().filter(|place| !connected(**place)));
        wanted.sort_unstable();
        wanted.dedup();
        for to in wanted {
            let process = self.machines[machine].process.as_mut().expect("it runs");
            let dial = process.dials.entry(to).or_insert_with(Dial::new);
            if !dial.scheduled && dial.link.is_none() {
                dial.scheduled = true;
                let wait = if dial.tried { dial.wait } else { 0 };
                let jitter = self.random.below(wait / 4 + 500);
                self.after(wait + jitter, Event::Dial { from: machine, boot, to });
            }
        }
        self.everyone_tried(machine);
    }

    fn everyone_tried(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if !process.tried && process.dials.values().all(|dial| dial.tried) {
            process.tried = true;
            process.inbox.push_back(Input::Tried);
        }
    }

    fn dial(&mut self, from: usize, to: usize) {
        let boot = self.machines[from].process.as_ref().map_or(0, |process| process.boot);
        let blocked =
            self.network.blocked_until(from, to, self.now).max(self.network.blocked_until(to, from, self.now));
        let target = self.machines[to].process.as_ref().filter(|process| !process.failed).map(|process| process.boot);
        let Some(process) = &mut self.machines[from].process else { return };
        let Some(dial) = process.dials.get_mut(&to) else { return };
        dial.scheduled = false;
        match target {
            Some(other) if blocked == 0 => {
                let link = self.network.connect((from, boot), (to, other));
                dial.link = Some(link);
                self.put(link, 1, Item::Connected);
            }
            _ => {
                dial.tried |= blocked == 0;
                dial.wait = (dial.wait * 2).min(Dial::MAX);
                self.look_for_addresses(from);
                self.perform(from);
            }
        }
    }

    /// Puts something on its way.
    pub fn put(&mut self, link: Link, end: usize, item: Item) {
        if let Some(at) = self.network.put(link, end, item, self.now) {
            self.at(at, Event::Deliver { link, end });
        }
    }

    fn deliver(&mut self, link: Link, end: usize) {
        let Some(connection) = self.network.connections.get(&link) else { return };
        let (to, from) = (connection.ends[end], connection.ends[1 - end]);
        let blocked = self.network.blocked_until(from.machine, to.machine, self.now);
        if blocked > 0 {
            return self.at(blocked, Event::Deliver { link, end });
        }
        let queue = self.network.connections.get_mut(&link).map(|connection| &mut connection.queues[end]);
        let Some(item) = queue.and_then(|queue| queue.pop_front()) else { return };
        if !self.lives(to.machine, to.boot) {
            // The system there answers for a process that is gone.
            self.network.shut(link, end);
            return self.put(link, 1 - end, Item::Closed);
        }
        let machine = to.machine;
        match item {
            Item::Connected => {
                self.network.told(link, end);
                if end == 1 {
                    self.put(link, 0, Item::Connected);
                }
                self.input(machine, Input::Connected { link, dialed: end == 0 });
            }
            Item::Closed => {
                self.network.shut(link, end);
                self.hung_up(machine, link, to.told);
            }
            Item::Message(message, records) => {
                if !matches!(message, Message::Alive) {
                    self.note(|| format!("n{machine} <- n{} {link} {}", from.machine, short(&message)));
                }
                if matches!(message, Message::Hello(_)) {
                    self.answered_dial(machine, from.machine);
                }
                let Some(process) = &mut self.machines[machine].process else { return };
                process.arrived = records;
                self.input(machine, Input::Message { link, message });
                if let Some(process) = &mut self.machines[machine].process {
                    process.arrived = Vec::new();
                }
            }
        }
    }

    /// A connection is gone for this end.
    pub fn hung_up(&mut self, machine: usize, link: Link, told: bool) {
        let Some(process) = &mut self.machines[machine].process else { return };
        for dial in process.dials.values_mut().filter(|dial| dial.link == Some(link)) {
            dial.link = None;
            dial.tried = true;
            dial.wait = (dial.wait * 2).min(Dial::MAX);
        }
        if told {
            self.input(machine, Input::Closed { link });
        }
        self.look_for_addresses(machine);
        self.perform(machine);
    }

    fn answered_dial(&mut self, machine: usize, other: usize) {
        let Some(process) = &mut self.machines[machine].process else { return };
        if let Some(dial) = process.dials.get_mut(&other) {
            (dial.tried, dial.wait) = (true, Dial::FIRST);
        }
    }

    fn tick(&mut self, machine: usize) {
        let now = self.now;
        let Some(process) = &mut self.machines[machine].process else { return };
        if process.tick_at > now {
            return;
        }
        process.tick_at = Time::MAX;
        self.input(machine, Input::Tick);
        self.look_for_addresses(machine);
        self.perform(machine);
    }
}

/// A message in a few words, for the trace.
fn short(message: &Message) -> String {
    shorten(format!("{message:?}"))
}

/// Without what repeats: zeros of names, and the inside of members and hashes.
pub fn shorten(text: String) -> String {
    let mut text = text.replace("00000000000000000000000000000", "~");
    for (long, short) in [("Epoch { number: ", "{"), (", owner: ", "@"), (", start: ", "."), ("Version", "")] {
        text = text.replace(long, short);
    }
    if text.len() > 420 {
        text.truncate((0..420).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.push_str(" ...");
    }
    text
}
