//! Every order of events, in small scopes: breadth first over the real core.
//!
//! ```text
//!   path of choices ─► the world told again from its beginning ─► what may happen next ─► longer paths
//! ```
//!
//! A choice is a message that arrives, a sync that ends, a crash, a start, an operation, a promotion. Time passes only when
//! nothing else can happen. A world cannot be copied, so each path is walked anew; two paths are one state when what
//! machines hold, what is under way and what may still be chosen are equal. `RIG_SIM_STATES` bounds each scope.
//!
//! # Not here
//! The rules themselves in larger scopes: a model of them was searched before the core was written.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use rig::replication::{Asked, Rule};
use rig::types::{AckLevel, Mode};

use super::checkers::Finding;
use super::options::Options;
use super::random::Random;
use super::story::calm_options;
use super::workload::Request;
use super::world::{Event, World};

const STATES: usize = 1500;

#[derive(Debug, Clone, Copy)]
struct Scope {
    machines: usize,
    mode: Mode,
    ops: u64,
    crashes: u64,
    promotions: u64,
}

const PAIR: Scope = Scope { machines: 2, mode: Mode::Sync, ops: 1, crashes: 1, promotions: 1 };

/// What may happen beside what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Choice {
    /// The n-th of what is on its way.
    Next(usize),
    Put(usize),
    Crash(usize),
    Promote(usize),
}

struct Walk {
    world: World,
    left: (u64, u64, u64),
}

impl Walk {
    fn begin(scope: Scope, off: Option<Rule>) -> Self {
        let asked = Asked {
            replication: Some(scope.mode),
            min_replicas: Some(1),
            sync_timeout_ms: Some(300),
            ack: Some(AckLevel::Durable),
        };
        let options = Options { asked, ..calm_options(scope.machines) };
        let mut world = World::with(options, Random::new(7), off, false);
        while world.now < 1_300_000 && world.step() {}
        Self { world, left: (scope.ops, scope.crashes, scope.promotions) }
    }

    fn choices(&self) -> Vec<Choice> {
        let mut choices: Vec<Choice> = (0..self.world.ready().len()).map(Choice::Next).collect();
        for (place, machine) in self.world.machines.iter().enumerate() {
            let Some(process) = &machine.process else { continue };
            if self.left.0 > 0 && process.core.is_open() {
                choices.push(Choice::Put(place));
            }
            if self.left.1 > 0 {
                choices.push(Choice::Crash(place));
            }
            if self.left.2 > 0 && !process.core.is_open() {
                choices.push(Choice::Promote(place));
            }
        }
        choices
    }

    fn choose(&mut self, choice: Choice) -> Option<Finding> {
        let world = &mut self.world;
        match choice {
            Choice::Next(place) => world.take(place),
            Choice::Put(machine) => {
                self.left.0 -= 1;
                let op = 100 + self.left.0;
                let request = Request { client: 0, op, attempt: op, deadline: world.now + 1_000_000 };
                world.happens(Event::Request { machine, request });
            }
            Choice::Crash(machine) => {
                self.left.1 -= 1;
                world.power_cut(machine);
                world.happens(Event::End(super::faults::Fault::Full { machine }));
            }
            Choice::Promote(machine) => {
                self.left.2 -= 1;
                world.promote(machine, false);
                world.happens(Event::End(super::faults::Fault::Full { machine }));
            }
        }
        self.world.finding.take()
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.left.hash(&mut hasher);
        for machine in &self.world.machines {
            let truth = &machine.truth;
            (truth.position(truth.head()).hash, truth.durable, format!("{:?}", truth.standing)).hash(&mut hasher);
            let Some(process) = &machine.process else { continue };
            let core = &process.core;
            (core.role(), core.state(), core.appended(), core.committed(), core.applied()).hash(&mut hasher);
            for peer in core.peers() {
                (peer.connected, peer.in_sync, peer.acked).hash(&mut hasher);
            }
        }
        for (_, event) in self.world.ready() {
            self.world.describe(&event).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Searches a scope; gives how many states there were, how many of them with an answer, and what was found.
fn search(scope: Scope, off: Option<Rule>, states: usize) -> (usize, usize, Option<(Finding, Vec<Choice>)>) {
    let mut seen = HashSet::new();
    let mut answered = 0;
    let mut queue = VecDeque::from([Vec::new()]);
    while let Some(path) = queue.pop_front() {
        let mut walk = Walk::begin(scope, off);
        for choice in &path {
            if let Some(found) = walk.choose(*choice) {
                return (seen.len(), answered, Some((found, path)));
            }
        }
        if !seen.insert(walk.fingerprint()) {
            continue;
        }
        answered += usize::from(!walk.world.checkers.past.answers.is_empty());
        if seen.len() >= states {
            break;
        }
        for choice in walk.choices() {
            let mut longer = path.clone();
            longer.push(choice);
            queue.push_back(longer);
        }
    }
    (seen.len(), answered, None)
}

#[test]
fn no_order_of_events_breaks_an_invariant() {
    let states = std::env::var("RIG_SIM_STATES").map_or(STATES, |states| states.parse().unwrap());
    let scopes = [
        PAIR,
        Scope { mode: Mode::SemiSync, ..PAIR },
        Scope { machines: 3, crashes: 0, ..PAIR },
        Scope { ops: 2, crashes: 0, promotions: 0, ..PAIR },
    ];
    for scope in scopes {
        let (count, answered, found) = search(scope, None, states);
        println!("{scope:?}: {count} states, {answered} with an answer");
        assert!(found.is_none(), "{scope:?}: {found:?}");
        assert!(answered > 0 || count >= states, "{scope:?}: nothing is ever answered");
    }
}

#[cfg(feature = "canary")]
#[test]
fn the_search_misses_rules_that_are_switched_off() {
    super::seeds::quiet_panics();
    for rule in [Rule::ReplicaSync, Rule::PrimarySync, Rule::PromiseDurable] {
        // A panic of the core's own asserts is a finding too.
        let found = std::panic::catch_unwind(|| search(PAIR, Some(rule), STATES).2.is_some()).unwrap_or(true);
        assert!(found, "nothing misses {rule:?}");
    }
}
