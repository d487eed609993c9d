//! I3: equal (epoch, version) means an equal record, and an equal prefix.

use std::collections::HashMap;

use rig::types::{Epoch, Hash, Version};

use super::{Checker, Fact, Past};
use crate::machine::Machine;

#[derive(Default)]
pub struct Identity {
    known: HashMap<(Epoch, Version), Hash>,
}

impl Checker for Identity {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Sealed { machine, version, .. } => {
                // What was sealed may have been taken back within the same event.
                let record = machines[*machine].truth.at(*version)?;
                let known = self.known.entry((record.epoch, *version)).or_insert(record.hash);
                (*known != record.hash)
                    .then(|| format!("two records v{version} of {}, one on n{machine}", record.epoch))
            }
            Fact::Rewound { records, machine, own: true } => {
                for record in records {
                    self.known.remove(&(record.epoch, record.version));
                    let mut others = machines.iter().enumerate().filter(|(place, _)| place != machine);
                    if others.any(|(_, other)| other.truth.holds(record.version, &record.hash)) {
                        return Some(format!("n{machine} takes v{} back, which another machine holds", record.version));
                    }
                }
                None
            }
            _ => None,
        }
    }
}
