//! I10: readers see committed and applied state only: a service has what its log has decided, and the state of a
//! version is one, but where the seed has made a service lie.

use std::collections::BTreeMap;

use rig::types::{Mode, Version};

use super::record::{Side, side_of};
use super::{Checker, Fact, Past};
use crate::machine::Machine;

#[derive(Default)]
pub struct State {
    digests: BTreeMap<(Side, Version), u64>,
    is_async: bool,
}

impl Checker for State {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Applied { machine, upto } = fact else { return None };
        let place = *machine;
        let machine = &machines[place];
        let process = machine.process.as_ref()?;
        self.is_async |= process.core.config().is_some_and(|config| config.replication == Mode::Async);
        if *upto > process.core.committed() {
            return Some(format!("n{place} shows v{upto}, which is not decided"));
        }
        if process.applied != *upto || process.lie.is_some() {
            // It has gone on within the same event: what it has now is told by the next fact.
            return None;
        }
        let digest = self.digests.entry((side_of(machine), *upto)).or_insert(process.digest);
        (*digest != process.digest && !self.is_async).then(|| format!("n{place} has another state at v{upto}"))
    }
}
