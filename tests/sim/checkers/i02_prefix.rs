//! I2: committed logs are prefixes of one another; applied <= committed <= durable. What was committed before a force, and
//! that everyone who had it has set aside for that, is no part of any log, and may be followed by something else.

use std::collections::BTreeMap;

use rig::types::{Epoch, Hash, Mode, Version};

use super::record::{Side, side_of};
use super::{Checker, Fact, Past};
use crate::machine::{Machine, Truth, control_of};

/// A record that was committed.
struct Decided {
    hash: Hash,
    /// The term in which it was.
    term: Epoch,
    /// The operator has opened a term by force without it.
    at_stake: bool,
}

/// What was committed first, on each side.
#[derive(Default)]
pub struct Prefix {
    sides: BTreeMap<Side, Vec<Option<Decided>>>,
    seen: BTreeMap<usize, Version>,
    /// The side of each term that was opened: who follows one commits on its side, and may not have its forced record yet.
    terms: BTreeMap<Epoch, Side>,
    is_async: bool,
}

impl Decided {
    /// Whether it went by force: everyone who had it has set it aside.
    fn is_given_up(&self, version: Version, machines: &[Machine]) -> bool {
        let held = || machines.iter().any(|other| !other.retired && other.truth.holds(version, &self.hash));
        self.at_stake && !held()
    }
}

impl Prefix {
    /// The operator has put at stake whatever this log does not hold.
    fn forced(&mut self, epoch: Epoch, truth: &Truth) {
        for side in self.sides.values_mut() {
            for (place, decided) in side.iter_mut().enumerate() {
                if let Some(decided) = decided {
                    decided.at_stake |= decided.term < epoch && !truth.holds(place as Version + 1, &decided.hash);
                }
            }
        }
    }
}

impl Checker for Prefix {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
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
                let term = process.core.epoch();
                let side = self.terms.get(&term).cloned().unwrap_or_else(|| side_of(machine));
                let canon = self.sides.entry(side).or_default();
                let from = self.seen.get(&place).copied().unwrap_or(0).min(*upto);
                if canon.len() < *upto as usize {
                    canon.resize_with(*upto as usize, || None);
                }
                // Whoever was deposed by force and does not know it commits at the operator's risk.
                let at_stake = term < past.force;
                for version in from + 1..=*upto {
                    let Some(record) = machine.truth.at(version) else { continue };
                    let known = &mut canon[version as usize - 1];
                    match known {
                        Some(known) if known.hash == record.hash => continue,
                        Some(known) if !known.is_given_up(version, machines) && !self.is_async => {
                            return Some(format!("n{place} commits another v{version} than was committed before"));
                        }
                        _ => *known = Some(Decided { hash: record.hash, term, at_stake }),
                    }
                }
                self.seen.insert(place, *upto);
                None
            }
            Fact::Opened { machine, epoch } => {
                self.terms.insert(*epoch, side_of(&machines[*machine]));
                None
            }
            Fact::Sealed { machine, version, own: true } => {
                let truth = &machines[*machine].truth;
                let record = truth.at(*version)?;
                if control_of(record).is_some_and(|control| control.forced) {
                    self.forced(record.epoch, truth);
                }
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
