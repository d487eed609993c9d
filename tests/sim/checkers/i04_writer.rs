//! I4: one writer for each epoch (number, owner, start); and an epoch is promised durably before a node speaks of it.

use std::collections::HashMap;

use rig::replication::Message;
use rig::types::Epoch;

use super::{Checker, Fact, Past};
use crate::machine::Machine;

#[derive(Default)]
pub struct Writer {
    writers: HashMap<Epoch, (usize, u64)>,
}

impl Checker for Writer {
    fn see(&mut self, fact: &Fact, _: &Past, machines: &[Machine]) -> Option<String> {
        match fact {
            Fact::Sealed { machine, version, own: true } => {
                let truth = &machines[*machine].truth;
                let epoch = truth.at(*version)?.epoch;
                let boot = machines[*machine].process.as_ref()?.boot;
                let writer = self.writers.entry(epoch).or_insert((*machine, boot));
                if *writer != (*machine, boot) {
                    return Some(format!("{epoch} is written by n{machine} and was by n{}", writer.0));
                }
                if truth.standing.promised < epoch {
                    return Some(format!("n{machine} writes in {epoch}, which it has not recorded"));
                }
                if *version > 1 && truth.position(version - 1).epoch > epoch {
                    return Some(format!("n{machine} goes back to {epoch} at v{version}"));
                }
                None
            }
            Fact::Said { machine, message } => {
                let spoken = match message {
                    Message::Hello(hello) => hello.promised,
                    Message::Follow(follow) => follow.epoch,
                    Message::Append(append) => append.epoch,
                    Message::Heartbeat(heartbeat) => heartbeat.epoch,
                    Message::Results(results) => results.epoch,
                    Message::Ack(ack) => ack.epoch,
                    Message::Promise { epoch } => *epoch,
                    Message::Promised(promised) => promised.epoch,
                    Message::HandOver { epoch, .. } => *epoch,
                    _ => return None,
                };
                let promised = machines[*machine].truth.standing.promised;
                (spoken > promised).then(|| format!("n{machine} speaks of {spoken} and has recorded {promised}"))
            }
            _ => None,
        }
    }
}
