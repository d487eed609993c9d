//! I10: readers see committed and applied state only: a service has what its log has decided, and the state behind a
//! record, whose hash stands for everything before it, is one, but where the seed has made a service lie.

use std::collections::HashMap;

use rig::types::Hash;

use super::{Checker, Fact, Past};
use crate::machine::Machine;

#[derive(Default)]
pub struct State {
    digests: HashMap<Hash, u64>,
}

impl Checker for State {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Applied { machine, upto } = fact else { return None };
        let place = *machine;
        let machine = &machines[place];
        let process = machine.process.as_ref()?;
        if *upto > process.core.committed() {
            return Some(format!("n{place} shows v{upto}, which is not decided"));
        }
        if process.applied != *upto || process.lie.is_some() {
            // It has gone on within the same event: what it has now is told by the next fact.
            return None;
        }
        let record = machine.truth.at(*upto)?;
        let digest = self.digests.entry(record.hash).or_insert(process.digest);
        (*digest != process.digest).then(|| format!("n{place} has another state at v{upto}"))
    }
}
