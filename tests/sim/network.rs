//! Connections between machines: in order and once within one connection, anything between two.
//!
//! ```text
//!   dialler ══ [item, item, Closed] ══► acceptor          each direction a queue; an item has a time of arrival
//!           ◄══════ [item] ════════════
//! ```
//!
//! A direction between two machines may stand still for a while (what is under way arrives afterwards, late), and a
//! connection may break (what is under way is lost, and each end hears of it in its own time, or only by silence).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rig::replication::{Link, Message};
use rig::types::Record;

use super::random::Random;

pub type Time = u64;

/// What arrives at an end.
#[derive(Debug, Clone)]
pub enum Item {
    /// The connection stands, from this end's side.
    Connected,
    Message(Message, Vec<Arc<Record>>),
    /// The other end has closed it.
    Closed,
}

/// One end: a start of a process on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub machine: usize,
    pub boot: u64,
    /// Whether the process there may still hear of it.
    pub open: bool,
    /// Whether it has been told that it stands.
    pub told: bool,
}

#[derive(Debug)]
pub struct Connection {
    /// The dialler, and the one that was dialled.
    pub ends: [End; 2],
    /// What is under way to each end.
    pub queues: [VecDeque<Item>; 2],
    /// It has lost what was under way: nothing more arrives but word of its end.
    pub broken: bool,
    last: [Time; 2],
}

/// All of them.
#[derive(Debug)]
pub struct Network {
    pub connections: BTreeMap<Link, Connection>,
    next: Link,
    /// Until when nothing arrives, from the one to the other.
    blocked: BTreeMap<(usize, usize), Time>,
    pub delay: Time,
    /// Now and then one direction of a new connection lags by seconds, while other connections do not.
    lags: bool,
    random: Random,
}

impl Network {
    pub fn new(delay: Time, lags: bool, random: Random) -> Self {
        Self { connections: BTreeMap::new(), next: 1, blocked: BTreeMap::new(), delay, lags, random }
    }

    /// Until when a direction stands still; 0 when it does not.
    pub fn blocked_until(&self, from: usize, to: usize, now: Time) -> Time {
        self.blocked.get(&(from, to)).copied().filter(|until| *until > now).unwrap_or(0)
    }

    pub fn block(&mut self, from: usize, to: usize, until: Time) {
        let old = self.blocked.entry((from, to)).or_default();
        *old = until.max(*old);
    }

    pub fn unblock(&mut self, from: usize, to: usize) {
        self.blocked.remove(&(from, to));
    }

    pub fn heal(&mut self) {
        self.lags = false;
        self.blocked.clear();
    }

    /// Begins a connection; the acceptor hears of it first.
    pub fn connect(&mut self, dialler: (usize, u64), acceptor: (usize, u64)) -> Link {
        let link = self.next;
        self.next += 1;
        let end = |(machine, boot)| End { machine, boot, open: true, told: false };
        let ends = [end(dialler), end(acceptor)];
        self.connections.insert(link, Connection { ends, queues: Default::default(), broken: false, last: [0; 2] });
        link
    }

    /// Puts an item on its way to an end; gives the time of its arrival.
    pub fn put(&mut self, link: Link, to: usize, item: Item, now: Time) -> Option<Time> {
        let connection = self.connections.get_mut(&link)?;
        if !connection.ends[to].open || connection.broken && !matches!(item, Item::Closed) {
            return None;
        }
        let delay = self.delay / 2 + self.random.below(self.delay + 1);
        // A lost packet is sent again: late, and everything behind it too.
        let lost = if self.random.chance(10) { self.delay * 20 } else { 0 };
        let is_hello = matches!(item, Item::Message(Message::Hello(_), _));
        if self.lags && is_hello && self.random.chance(300) {
            connection.last[to] = now + self.random.pick(&[500_000, 1_500_000, 2_500_000]);
        }
        let at = (now + delay + lost).max(connection.last[to]);
        connection.last[to] = at;
        connection.queues[to].push_back(item);
        Some(at)
    }

    /// Which end of a connection a machine is.
    pub fn end_of(&self, link: Link, machine: usize) -> Option<usize> {
        let ends = &self.connections.get(&link)?.ends;
        ends.iter().position(|end| end.machine == machine)
    }

    /// This end knows that it stands.
    pub fn told(&mut self, link: Link, end: usize) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.ends[end].told = true;
        }
    }

    /// This end hears nothing more.
    pub fn shut(&mut self, link: Link, end: usize) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.ends[end].open = false;
            connection.queues[end].clear();
            if connection.ends.iter().all(|end| !end.open) {
                self.connections.remove(&link);
            }
        }
    }

    /// Connections of a machine, and which end it is.
    pub fn of(&self, machine: usize) -> Vec<(Link, usize)> {
        let ends = self.connections.iter().flat_map(|(link, connection)| {
            connection.ends.iter().enumerate().map(move |(end, state)| (*link, end, state))
        });
        ends.filter(|(_, _, state)| state.open && state.machine == machine).map(|(link, end, _)| (link, end)).collect()
    }
}
