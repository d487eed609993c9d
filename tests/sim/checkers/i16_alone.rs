//! I16: with a coordinator, what rests on one disk alone is decided only while that node's lease may still hold.

use rig::types::{AckLevel, Role};

use super::{Checker, Fact, Past};
use crate::machine::{Machine, control_of};

pub struct Alone;

impl Checker for Alone {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        let Fact::Committed { machine, upto } = fact else { return None };
        let node = &machines[*machine];
        let leased_until = node.leased_until.filter(|until| past.now > *until)?;
        let leads = node.process.as_ref()?.core.role() == Role::Primary;
        // By force an operator takes the coordinator's part.
        let standing = &node.truth.standing;
        let is_forced = standing.adrift || standing.forced;
        // What the log says where it was decided: a member that was added in the same step is behind that.
        let decided = (1..=*upto).rev().filter_map(|version| node.truth.at(version));
        let config = decided.filter_map(|record| control_of(record)).next()?.config;
        let hash = node.truth.at(*upto)?.hash;
        let others = machines.iter().enumerate().filter(|(place, _)| place != machine);
        let is_alone =
            !others.map(|(_, other)| &other.truth).any(|truth| truth.durable >= *upto && truth.holds(*upto, &hash));
        let is_durable = config.ack != AckLevel::Received;
        (leads && !is_forced && config.replicas() > 0 && is_alone && is_durable)
            .then(|| format!("n{machine} decides v{upto} alone at {}, its lease ended at {leased_until}", past.now))
    }
}
