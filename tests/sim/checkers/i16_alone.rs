//! I16: with a coordinator, what rests on one disk alone is decided only while that node's lease may still hold.

use rig::types::{Mode, Role};

use super::{Checker, Fact, Past};
use crate::machine::Machine;

pub struct Alone;

impl Checker for Alone {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Committed { machine, upto } = fact else { return None };
        let node = &machines[*machine];
        let (leased_until, process) = (node.leased_until?, node.process.as_ref()?);
        let (core, standing) = (&process.core, &node.truth.standing);
        let config = core.config().filter(|config| config.replicas() > 0 && core.role() == Role::Primary)?;
        let rests_on_it = standing.set.is_empty() || config.replication == Mode::Async;
        // By force an operator takes the coordinator's part.
        let is_forced = standing.adrift || standing.forced;
        (rests_on_it && !is_forced && past.now > leased_until)
            .then(|| format!("n{machine} decides v{upto} alone at {}, its lease ended at {leased_until}", past.now))
    }
}
