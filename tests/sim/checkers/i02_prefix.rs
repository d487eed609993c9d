//! I2: committed logs are prefixes of one another; applied <= committed <= durable.

use std::collections::BTreeMap;

use rig::types::{Hash, Mode, Version};

use super::record::{Side, side_of};
use super::{Checker, Fact, Past};
use crate::machine::Machine;

/// What was committed first, on each side.
#[derive(Default)]
pub struct Prefix {
    sides: BTreeMap<Side, Vec<Option<Hash>>>,
    seen: BTreeMap<usize, Version>,
    is_async: bool,
}

impl Checker for Prefix {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Committed { machine, upto } => {
                let place = *machine;
                let machine = &machines[place];
                let process = machine.process.as_ref()?;
                self.is_async |= process.core.config().is_some_and(|config| config.replication == Mode::Async);
                let (applied, durable) = (process.applied, machine.truth.durable);
                if *upto > durable || applied > process.core.committed() {
                    return Some(format!("n{place}: applied {applied}, committed {upto}, durable {durable}"));
                }
                let canon = self.sides.entry(side_of(machine)).or_default();
                let from = self.seen.get(&place).copied().unwrap_or(0).min(*upto);
                if canon.len() < *upto as usize {
                    canon.resize(*upto as usize, None);
                }
                for version in from + 1..=*upto {
                    let hash = machine.truth.at(version).map(|record| record.hash);
                    let known = &mut canon[version as usize - 1];
                    if known.is_some() && *known != hash && !self.is_async {
                        return Some(format!("n{place} commits another v{version} than was committed before"));
                    }
                    *known = hash;
                }
                self.seen.insert(place, *upto);
                None
            }
            Fact::Cut { machine, .. } | Fact::Started { machine } => {
                self.seen.insert(*machine, 0);
                None
            }
            _ => None,
        }
    }
}
