//! What must hold, seen from outside: each invariant of the design is a small file, and looks at facts and at what is
//! really on the disks, never at what the code believes.
//!
//! ```text
//!   facts of one event ─► record (what all of them need to remember) ─► i01 ... i16 ─► finding
//! ```

mod i01_answered;
mod i02_prefix;
mod i03_identity;
mod i04_writer;
mod i05_set;
mod i06_promotion;
mod i07_opened;
mod i08_kept;
mod i10_state;
mod i11_key;
mod i12_refused;
mod i14_diverged;
mod i15_register;
mod i16_alone;
pub mod record;

use std::sync::Arc;

use rig::replication::{Message, Register};
use rig::types::{Durability, Epoch, Record, Version};

use super::machine::Machine;
use super::network::Time;
use super::workload::Request;
pub use record::{Answer, Past};

/// Something that happened, as the driver has seen it.
#[derive(Debug, Clone)]
pub enum Fact {
    Started {
        machine: usize,
    },
    /// A record has its place in a log; `own` when this node made it.
    Sealed {
        machine: usize,
        version: Version,
        own: bool,
    },
    Committed {
        machine: usize,
        upto: Version,
    },
    Applied {
        machine: usize,
        upto: Version,
    },
    Opened {
        machine: usize,
        epoch: Epoch,
    },
    /// 200; `term` is the epoch that is open there.
    Answered {
        machine: usize,
        request: Request,
        version: Version,
        durability: Durability,
        term: Option<Epoch>,
    },
    /// 503 or 507, by a node that is no replica; whether its epoch was open.
    Refused {
        machine: usize,
        request: Request,
        open: bool,
    },
    Said {
        machine: usize,
        message: Message,
    },
    /// Cut off on purpose, to follow another primary.
    Cut {
        machine: usize,
        records: Vec<Arc<Record>>,
    },
    /// Taken back for want of room; `own` when they are of this node's term.
    Rewound {
        machine: usize,
        records: Vec<Arc<Record>>,
        own: bool,
    },
    /// The coordinator's value is another.
    Registered {
        machine: usize,
        register: Register,
        forced: bool,
    },
    /// Says that two sides have written.
    SplitBrain {
        machine: usize,
    },
    /// Gone in a crash.
    Lost {
        machine: usize,
        records: Vec<Arc<Record>>,
    },
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    pub text: String,
}

impl Finding {
    pub fn new(rule: &'static str, text: impl Into<String>) -> Self {
        Self { rule, text: text.into() }
    }
}

/// One invariant.
trait Checker {
    /// Looks at a fact; what is wrong with it.
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String>;
}

pub struct Checkers {
    pub past: Past,
    list: Vec<(&'static str, Box<dyn Checker>)>,
}

impl Checkers {
    pub fn new() -> Self {
        let list: Vec<(&'static str, Box<dyn Checker>)> = vec![
            ("I1", Box::new(i01_answered::Answered)),
            ("I2", Box::new(i02_prefix::Prefix::default())),
            ("I3", Box::new(i03_identity::Identity::default())),
            ("I4", Box::new(i04_writer::Writer::default())),
            ("I5", Box::new(i05_set::Set)),
            ("I6", Box::new(i06_promotion::Promotion)),
            ("I7", Box::new(i07_opened::Opened)),
            ("I8", Box::new(i08_kept::Kept)),
            ("I10", Box::new(i10_state::State::default())),
            ("I11", Box::new(i11_key::Key::default())),
            ("I12", Box::new(i12_refused::Refused::default())),
            ("I14", Box::new(i14_diverged::Diverged)),
            ("I15", Box::new(i15_register::Outside::default())),
            ("I16", Box::new(i16_alone::Alone::default())),
        ];
        Self { past: Past::default(), list }
    }

    /// Shows the facts of one event to everyone; what is found first.
    pub fn see(&mut self, facts: &[Fact], machines: &[Machine], now: Time) -> Option<Finding> {
        self.past.now = now;
        for fact in facts {
            for (rule, checker) in &mut self.list {
                if let Some(text) = checker.see(fact, &self.past, machines) {
                    return Some(Finding::new(rule, text));
                }
            }
            self.past.see(fact, machines);
        }
        None
    }

    /// At the end of a run: every answer is in a log, or in a rescue file.
    pub fn at_the_end(&self, machines: &[Machine]) -> Option<Finding> {
        i08_kept::nothing_is_gone(&self.past, machines).map(|text| Finding::new("I8", text))
    }
}
