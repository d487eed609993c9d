//! Resources: which operations may be in flight together.
//!
//! An operation names what must not change between its validation and its application. Operations whose
//! names do not meet are in flight together; those that meet go one after the other, first come first served.
//!
//! ```text
//!   arrive ──► gate ──► one queue for each resource ──► granted ... released by apply
//!              (an operation that must be alone waits here until nothing is behind it,
//!               and everything that comes later waits here behind it)
//! ```
//!
//! # Invariants
//! 1. All resources of an operation are asked for at one moment, so that waiting has one order and no cycle.
//! 2. A resource is held by one exclusive ticket, or by any number of shared ones, never by both.
//! 3. What left holds nothing and waits nowhere.
//! 4. A resource is known here by a keyed hash of its name. Two names with one hash (one pair in 2^64, and nobody can
//!    choose it) are taken for one resource: their operations go one after the other, which is never wrong.
//!
//! # Not here
//! How long one may wait: the engine gives up for those whose time is over ([`Locks::leave`]).

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use super::hashed::Hashed;
use crate::service::Resources;

/// Emptied lists that are kept.
const SPARE_MAX: usize = 1024;

/// Names one operation between its admission and its end.
pub(super) type Ticket = usize;

/// Who holds what, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// How many passed the gate and have not left.
    inside: usize,
    /// The one inside that must be alone.
    alone: Option<Ticket>,
    /// Those before the gate, in order.
    gate: VecDeque<Ticket>,
    names: RandomState,
    queues: HashMap<u64, Queue, Hashed>,
    /// By ticket: tickets are small numbers that are used again.
    claims: Vec<Option<Claim>>,
    /// Emptied lists, for their memory.
    spare: Vec<Vec<Asked>>,
}

/// Those who asked for one resource, in order. Most have nobody behind them.
#[derive(Debug)]
struct Queue {
    first: Place,
    rest: VecDeque<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    ticket: Ticket,
    shared: bool,
    granted: bool,
}

/// A resource by its hash, and how it is wanted. In the order of the type an exclusive wish comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    name: u64,
    shared: bool,
}

#[derive(Debug)]
struct Claim {
    resources: Resources,
    asked: Vec<Asked>,
    /// `None` before the gate; else how many queues have not granted yet.
    missing: Option<usize>,
}

impl Locks {
    /// Asks for everything at once. Whoever holds all it asked for is pushed to `granted`.
    pub(super) fn enter(&mut self, ticket: Ticket, resources: Resources, granted: &mut Vec<Ticket>) {
        if self.claims.len() <= ticket {
            self.claims.resize_with(ticket + 1, || None);
        }
        let mut asked = self.spare.pop().unwrap_or_default();
        if let Resources::Keys(keys) = &resources {
            asked.extend(keys.iter().map(|key| Asked { name: self.names.hash_one(&*key.key), shared: key.shared }));
            // Named twice is asked for once, exclusively if either does.
            asked.sort_unstable();
            asked.dedup_by_key(|asked| asked.name);
        }
        let previous = self.claims[ticket].replace(Claim { resources, asked, missing: None });
        assert!(previous.is_none(), "ticket {ticket} entered twice");
        self.gate.push_back(ticket);
        self.open_gate(granted);
    }

    /// Gives back everything that the ticket holds or waits for.
    pub(super) fn leave(&mut self, ticket: Ticket, granted: &mut Vec<Ticket>) {
        let Some(mut claim) = self.claims.get_mut(ticket).and_then(Option::take) else { return };
        if claim.missing.is_none() {
            self.gate.retain(|waiting| *waiting != ticket);
        } else {
            self.inside -= 1;
            self.alone = self.alone.filter(|alone| *alone != ticket);
            for asked in &claim.asked {
                self.leave_queue(ticket, asked.name, granted);
            }
        }
        if self.spare.len() < SPARE_MAX {
            claim.asked.clear();
            self.spare.push(claim.asked);
        }
        self.open_gate(granted);
    }

    /// What the ticket holds, if it holds all that it asked for.
    pub(super) fn held(&self, ticket: Ticket) -> Option<&Resources> {
        let claim = self.claims.get(ticket)?.as_ref()?;
        (claim.missing == Some(0)).then_some(&claim.resources)
    }

    /// How many wait, before the gate or behind it.
    pub(super) fn waiting(&self) -> usize {
        self.claims.iter().flatten().filter(|claim| claim.missing != Some(0)).count()
    }

    fn open_gate(&mut self, granted: &mut Vec<Ticket>) {
        while let Some(&ticket) = self.gate.front() {
            let claim = self.claims[ticket].as_ref().expect("whoever waits at the gate has a claim");
            let must_be_alone = claim.resources == Resources::Alone;
            if self.alone.is_some() || (must_be_alone && self.inside > 0) {
                return;
            }
            self.gate.pop_front();
            self.inside += 1;
            if must_be_alone {
                self.alone = Some(ticket);
            }
            self.pass(ticket, granted);
        }
    }

    fn pass(&mut self, ticket: Ticket, granted: &mut Vec<Ticket>) {
        let claim = self.claims[ticket].as_mut().expect("whoever passes the gate has a claim");
        let mut missing = 0;
        for Asked { name, shared } in claim.asked.iter().copied() {
            let place = |granted| Place { ticket, shared, granted };
            match self.queues.entry(name) {
                Entry::Vacant(vacant) => _ = vacant.insert(Queue { first: place(true), rest: VecDeque::new() }),
                Entry::Occupied(mut queue) => {
                    let queue = queue.get_mut();
                    let free = shared && queue.places().all(|place| place.granted && place.shared);
                    queue.rest.push_back(place(free));
                    missing += usize::from(!free);
                }
            }
        }
        claim.missing = Some(missing);
        if missing == 0 {
            granted.push(ticket);
        }
    }

    fn leave_queue(&mut self, ticket: Ticket, name: u64, granted: &mut Vec<Ticket>) {
        let queue = self.queues.get_mut(&name).expect("a claim has a place in each of its queues");
        if queue.first.ticket == ticket {
            match queue.rest.pop_front() {
                Some(next) => queue.first = next,
                None => {
                    self.queues.remove(&name);
                    return;
                }
            }
        } else {
            let place = queue.rest.iter().position(|place| place.ticket == ticket).expect("a claim has a place");
            queue.rest.remove(place);
        }
        let mut shared_only = true;
        for (index, place) in std::iter::once(&mut queue.first).chain(&mut queue.rest).enumerate() {
            let free = index == 0 || (shared_only && place.shared);
            shared_only &= place.shared;
            if !free {
                break;
            }
            if !place.granted {
                place.granted = true;
                let claim = self.claims[place.ticket].as_mut().expect("whoever waits has a claim");
                let missing = claim.missing.as_mut().expect("whoever waits in a queue passed the gate");
                *missing -= 1;
                if *missing == 0 {
                    granted.push(place.ticket);
                }
            }
        }
    }
}

impl Queue {
    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Resource;

    const NOBODY: [Ticket; 0] = [];

    fn keys(names: &[&str]) -> Resources {
        // A leading `=` asks for a shared hold.
        let resource = |name: &&str| match name.strip_prefix('=') {
            Some(key) => Resource { key: key.into(), shared: true },
            None => Resource { key: (*name).into(), shared: false },
        };
        Resources::Keys(names.iter().map(resource).collect())
    }

    fn enter(locks: &mut Locks, ticket: Ticket, resources: Resources) -> Vec<Ticket> {
        let mut granted = Vec::new();
        locks.enter(ticket, resources, &mut granted);
        granted
    }

    fn leave(locks: &mut Locks, ticket: Ticket) -> Vec<Ticket> {
        let mut granted = Vec::new();
        locks.leave(ticket, &mut granted);
        granted
    }

    #[test]
    fn operations_with_disjoint_resources_are_in_flight_together_and_others_in_order() {
        let mut locks = Locks::default();
        assert_eq!(enter(&mut locks, 1, keys(&["user/a", "email/x"])), [1]);
        assert_eq!(enter(&mut locks, 2, keys(&["user/b"])), [2]);
        assert_eq!(enter(&mut locks, 3, keys(&["user/c", "email/x"])), NOBODY);
        assert_eq!(enter(&mut locks, 4, keys(&["user/c"])), NOBODY, "first come first served");
        assert_eq!(leave(&mut locks, 1), [3]);
        assert_eq!(leave(&mut locks, 3), [4]);
    }

    #[test]
    fn shared_holders_are_together_and_an_exclusive_one_waits_for_all_of_them() {
        let mut locks = Locks::default();
        assert_eq!(enter(&mut locks, 1, keys(&["=team/x"])), [1]);
        assert_eq!(enter(&mut locks, 2, keys(&["=team/x"])), [2]);
        assert_eq!(enter(&mut locks, 3, keys(&["team/x"])), NOBODY);
        assert_eq!(enter(&mut locks, 4, keys(&["=team/x"])), NOBODY, "nobody overtakes");
        assert_eq!(enter(&mut locks, 5, keys(&["=team/x"])), NOBODY);
        assert_eq!(leave(&mut locks, 2), NOBODY);
        assert_eq!(leave(&mut locks, 1), [3]);
        assert_eq!(leave(&mut locks, 3), [4, 5]);
    }

    #[test]
    fn one_that_must_be_alone_waits_for_everything_and_everything_waits_for_it() {
        let mut locks = Locks::default();
        assert_eq!(enter(&mut locks, 1, keys(&["a"])), [1]);
        assert_eq!(enter(&mut locks, 2, Resources::Alone), NOBODY);
        assert_eq!(enter(&mut locks, 3, keys(&["b"])), NOBODY);
        assert_eq!(leave(&mut locks, 1), [2]);
        assert_eq!(leave(&mut locks, 2), [3]);
    }

    #[test]
    fn one_that_gives_up_lets_those_behind_it_through() {
        let mut locks = Locks::default();
        enter(&mut locks, 1, keys(&["a"]));
        enter(&mut locks, 2, keys(&["a", "b"]));
        assert_eq!(enter(&mut locks, 3, keys(&["b"])), NOBODY);
        assert_eq!(leave(&mut locks, 2), [3]);
        enter(&mut locks, 4, Resources::Alone);
        assert_eq!(enter(&mut locks, 5, keys(&["c"])), NOBODY);
        assert_eq!(leave(&mut locks, 4), [5]);
        assert_eq!(locks.waiting(), 0);
    }

    #[test]
    fn the_same_resource_twice_in_one_operation_is_one_and_exclusive_wins() {
        let mut locks = Locks::default();
        assert_eq!(enter(&mut locks, 1, keys(&["=a", "a", "=a"])), [1]);
        assert_eq!(enter(&mut locks, 2, keys(&["=a"])), NOBODY);
        assert_eq!(leave(&mut locks, 1), [2]);
    }

    #[test]
    fn when_all_have_left_nothing_is_kept() {
        let mut locks = Locks::default();
        let mut granted = Vec::new();
        for ticket in 0..300 {
            let name = format!("r{}", ticket % 7);
            let resources = if ticket % 50 == 0 { Resources::Alone } else { keys(&[&name, "=all"]) };
            locks.enter(ticket, resources, &mut granted);
        }
        let mut left = 0;
        while let Some(ticket) = granted.pop() {
            locks.leave(ticket, &mut granted);
            left += 1;
        }
        assert_eq!((left, locks.inside, locks.queues.len(), locks.claims.iter().flatten().count()), (300, 0, 0, 0));
    }
}
