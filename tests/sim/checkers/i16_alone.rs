//! I16: with a coordinator, what rests on one disk alone is decided only while that node's lease may still hold.
//!
//! What another one has acknowledged in the term does not rest on one disk, where an operator's force may have had that one
//! cut it again before the acknowledgement is counted.

use std::collections::HashMap;

use rig::replication::Message;
use rig::types::{AckLevel, Epoch, Role, Version};

use super::{Checker, Fact, Past};
use crate::machine::{Machine, control_of};

#[derive(Default)]
pub struct Alone {
    /// Up to where anybody has acknowledged a term.
    acknowledged: HashMap<Epoch, Version>,
}

impl Checker for Alone {
    fn see(&mut self, fact: &Fact, past: &Past, machines: &[Machine]) -> Option<String> {
        if let Fact::Said { message: Message::Ack(ack), .. } = fact {
            let upto = self.acknowledged.entry(ack.epoch).or_default();
            *upto = ack.durable.max(*upto);
        }
        let Fact::Committed { machine, upto } = fact else { return None };
        let node = &machines[*machine];
        let leased_until = node.leased_until.filter(|until| past.now > *until)?;
        let core = &node.process.as_ref()?.core;
        let leads = core.role() == Role::Primary;
        // By force an operator takes the coordinator's part.
        let standing = &node.truth.standing;
        let is_forced = standing.adrift || standing.forced;
        // What the log says where it was decided: a member that was added in the same step is behind that.
        let decided = (1..=*upto).rev().filter_map(|version| node.truth.at(version));
        let config = decided.filter_map(|record| control_of(record)).next()?.config;
        let hash = node.truth.at(*upto)?.hash;
        let others = machines.iter().enumerate().filter(|(place, _)| place != machine);
        let is_held =
            others.map(|(_, other)| &other.truth).any(|truth| truth.durable >= *upto && truth.holds(*upto, &hash));
        let has_force = machines.iter().any(|other| other.truth.standing.adrift || other.truth.standing.forced);
        let was_held =
            has_force && self.acknowledged.get(&core.epoch()).is_some_and(|acknowledged| acknowledged >= upto);
        let is_alone = !is_held && !was_held;
        let is_durable = config.ack != AckLevel::Received;
        (leads && !is_forced && config.replicas() > 0 && is_alone && is_durable)
            .then(|| format!("n{machine} decides v{upto} alone at {}, its lease ended at {leased_until}", past.now))
    }
}
