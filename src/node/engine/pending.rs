//! Requests between admission and answer.

use std::time::Instant;

use crate::error::Problem;
use crate::node::admission::Client;
use crate::node::keys::{KeyDigest, Remembered};
use crate::node::locks::Ticket;
use crate::types::{Hash, Operation, Version};

/// Where an answer goes: opaque to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) struct ReplyTo {
    /// The connection.
    pub(in crate::node) connection: usize,
    /// Which of the connection's requests, counted from its first.
    pub(in crate::node) request: u64,
    /// Which line of a batch.
    pub(in crate::node) line: u32,
}

/// A request to append one operation.
#[derive(Debug)]
pub(in crate::node) struct Submission {
    /// Where the answer goes.
    pub(in crate::node) reply: ReplyTo,
    /// Whose part of what may be in flight it takes.
    pub(in crate::node) client: Client,
    /// What is asked for.
    pub(in crate::node) operation: Operation,
    /// The idempotency key.
    pub(in crate::node) key: Option<Box<str>>,
    /// The digest of `key`.
    pub(in crate::node) digest: Option<KeyDigest>,
    /// Present exactly when `key` is.
    pub(in crate::node) request_hash: Option<Hash>,
    /// Who asks.
    pub(in crate::node) actor: Box<str>,
    /// The version that it must get.
    pub(in crate::node) expect: Option<Version>,
    /// When the client stops waiting.
    pub(in crate::node) deadline: Instant,
    /// Bytes of `operation.data` as they were counted; set when the operation moves on.
    pub(in crate::node) data_bytes: usize,
}

/// What a client is told.
#[derive(Debug)]
pub(in crate::node) struct Answer {
    pub(in crate::node) reply: ReplyTo,
    pub(in crate::node) outcome: Result<Applied, Box<Problem>>,
}

/// An operation that is in the log, committed and applied.
#[derive(Debug, Clone)]
pub(in crate::node) struct Applied {
    pub(in crate::node) version: Version,
    pub(in crate::node) epoch: u64,
    pub(in crate::node) hash: Hash,
    /// 200, or the status of a failure that apply found.
    pub(in crate::node) status: u16,
    /// One line of JSON; `None` where it was not kept.
    pub(in crate::node) result: Option<Box<str>>,
    pub(in crate::node) replayed: bool,
}

impl Answer {
    pub(super) fn refused(reply: ReplyTo, problem: Problem) -> Self {
        Self { reply, outcome: Err(Box::new(problem)) }
    }

    pub(super) fn replayed(reply: ReplyTo, found: Remembered) -> Self {
        let Remembered { version, epoch, hash, status, result, .. } = found;
        Self { reply, outcome: Ok(Applied { version, epoch, hash, status, result, replayed: true }) }
    }
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// For the verdict of a service outside, at most until then.
    Judging { until: Instant },
    /// For resources, at most until then.
    Waiting { until: Instant },
    /// In the log, as this version.
    Sealed { version: Version },
    /// In the log, and its client has been told 504.
    GivenUp { version: Version },
}

impl Stage {
    /// Whether nothing of it is in the log.
    pub(super) fn is_before_the_log(self) -> bool {
        matches!(self, Self::Judging { .. } | Self::Waiting { .. })
    }
}

/// A request and those who wait for the same answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) submission: Submission,
    /// When it was admitted.
    pub(super) since: Instant,
    /// Later calls with the same key, each with its own deadline.
    pub(super) followers: Vec<(ReplyTo, Instant)>,
    pub(super) stage: Stage,
    /// Whether it runs when nothing else is in flight.
    pub(super) alone: bool,
    /// The engine's `laws` when its resources were named.
    pub(super) laws: u64,
    /// Tells it from others that had the same ticket.
    pub(super) serial: u64,
    /// What a service outside has said of it.
    pub(super) judgement: Option<Judgement>,
}

/// A verdict of a service outside: the operation may be logged.
#[derive(Debug)]
pub(super) struct Judgement {
    /// To be logged in place of the client's data.
    pub(super) data: Option<Box<str>>,
    /// Whether nothing that it depends on can have changed since.
    pub(super) stands: bool,
    /// How often it was judged.
    pub(super) count: u8,
}

/// Requests by ticket; a ticket is used again after its request has ended.
#[derive(Debug, Default)]
pub(super) struct Slab {
    places: Vec<Option<Pending>>,
    free: Vec<Ticket>,
}

impl Slab {
    pub(super) fn insert(&mut self, pending: Pending) -> Ticket {
        match self.free.pop() {
            Some(ticket) => {
                self.places[ticket] = Some(pending);
                ticket
            }
            None => {
                self.places.push(Some(pending));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> &mut Pending {
        self.places[ticket].as_mut().expect("a ticket in use names a request")
    }

    /// Whether the ticket still means the request with this number.
    pub(super) fn is(&self, ticket: Ticket, serial: u64) -> bool {
        self.places.get(ticket).and_then(Option::as_ref).is_some_and(|pending| pending.serial == serial)
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Pending {
        self.free.push(ticket);
        self.places[ticket].take().expect("a ticket in use names a request")
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.places.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Ticket, &mut Pending)> {
        self.places.iter_mut().enumerate().filter_map(|(ticket, place)| place.as_mut().map(|pending| (ticket, pending)))
    }
}
