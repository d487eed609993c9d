//! Clients: each sends one operation after the other, each with a key of its own, and sends it again, to another node,
//! while it does not know what became of it.

use rig::types::{NodeId, Version};

use super::network::Time;
use super::options::Options;
use super::random::Random;
use super::world::{Event, World};

/// An attempt to have an operation done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub client: usize,
    pub op: u64,
    pub attempt: u64,
    pub deadline: Time,
}

/// What a client hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Done(Version),
    /// Surely not logged; the primary, if the node knows one.
    Refused(Option<NodeId>),
    Unknown,
}

struct Client {
    turn: u64,
    /// The operation that is not decided for this client.
    op: Option<u64>,
    attempt: u64,
    tries: u64,
    target: usize,
}

pub struct Clients {
    clients: Vec<Client>,
    next_op: u64,
    next_attempt: u64,
    timeout: Time,
    pub random: Random,
    /// Operations that were done, for the end of a run.
    pub done: u64,
    /// Who has its operation done begins no other one.
    pub last_ones: bool,
}

impl Clients {
    pub fn new(options: &Options, random: Random) -> Self {
        let client = |_| Client { turn: 0, op: None, attempt: 0, tries: 0, target: 0 };
        Self {
            clients: (0..options.clients).map(client).collect(),
            next_op: 1,
            next_attempt: 1,
            timeout: options.request_timeout,
            random,
            done: 0,
            last_ones: false,
        }
    }
}

impl Clients {
    /// Whether every client knows what became of its operation.
    pub fn are_content(&self) -> bool {
        self.clients.iter().all(|client| client.op.is_none())
    }
}

impl World {
    /// A client acts: with a new operation, or once more with the last one.
    pub fn client(&mut self, client: usize, turn: u64) {
        let machines = self.machines.len() as u64;
        let (now, timeout) = (self.now, self.clients.timeout);
        let Clients { clients, next_op, next_attempt, random, last_ones, .. } = &mut self.clients;
        let state = &mut clients[client];
        if state.turn != turn || (*last_ones && state.op.is_none()) {
            return;
        }
        if state.tries > 12 {
            // It has given up: what became of the operation stays unknown to it.
            state.op = None;
        }
        let op = match state.op {
            Some(op) => op,
            None => {
                *next_op += 1;
                (state.op, state.tries) = (Some(*next_op), 0);
                *next_op
            }
        };
        if state.tries > 0 && random.chance(300) || random.chance(30) {
            state.target = random.below(machines) as usize;
        }
        *next_attempt += 1;
        state.turn += 1;
        state.tries += 1;
        state.attempt = *next_attempt;
        let request = Request { client, op, attempt: *next_attempt, deadline: now + timeout };
        let (machine, turn) = (state.target, state.turn);
        let delay = random.between(20, 400);
        // Whoever hears nothing for too long asks again.
        let patience = timeout + timeout / 4 + delay;
        if random.chance(20) {
            // The same once more, as a proxy does it that has lost an answer.
            *next_attempt += 1;
            let again = Request { attempt: *next_attempt, ..request.clone() };
            self.after(delay * 3, Event::Request { machine, request: again });
        }
        self.after(delay, Event::Request { machine, request });
        self.after(patience, Event::Client { client, turn });
    }

    /// An answer is on its way back, or lost.
    pub fn reply(&mut self, request: &Request, reply: Reply) {
        let known = match reply {
            Reply::Refused(Some(id)) => self.machines.iter().position(|machine| machine.id == id),
            _ => None,
        };
        let Clients { clients, random, done, .. } = &mut self.clients;
        let Some(state) = clients.get_mut(request.client) else { return };
        if state.attempt != request.attempt || random.chance(20) {
            return;
        }
        state.turn += 1;
        let mut think = random.between(100, 3000);
        match reply {
            Reply::Done(_) => {
                (state.op, state.tries) = (None, 0);
                *done += 1;
                if random.chance(50) {
                    think *= 50;
                }
            }
            Reply::Refused(_) => {
                think = 10_000 + think * 5;
                if let Some(known) = known {
                    state.target = known;
                } else if random.chance(500) {
                    state.target = random.below(self.machines.len() as u64) as usize;
                }
            }
            Reply::Unknown => {}
        }
        let event = Event::Client { client: request.client, turn: state.turn };
        self.after(think, event);
    }
}
