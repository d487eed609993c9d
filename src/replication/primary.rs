//! A term of a primary: sequencing, commit, changes of the configuration, and its end.
//!
//! ```text
//!   New ──rig_epoch appended──► Opening ──committed on the set──► Open ──HandOverPlease──► HandingOver ─► (replica)
//! ```
//!
//! # Invariants
//! 1. A version is committed only when everyone required has acknowledged it in this epoch.
//! 2. Nothing is committed before the epoch's own record is, with everything before it.
//! 3. At most one configuration is on its way.
//!
//! # Not here
//! Who is a member (`members`), how it comes to an end (`leaving`), who is required (`insync`), how records get to the replicas (`streaming`), who may open (`candidate`).

mod leaving;
mod members;

use std::collections::VecDeque;

use super::machine::{Part, ROOM_PROBE, Replication};
use super::rules::Rule;
use super::{ClusterConfig, Control, ControlData, Event, Link, NotPromoted, Output, Outputs, Refusal, Slot, Time};
use crate::types::{Epoch, Mode, NodeId, Version, methods};

/// So long the operator's answer waits for members that were reached.
const ANSWER_TIMEOUT: Time = 2_000_000;

/// A term.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) epoch: Epoch,
    pub(super) forced: bool,
    pub(super) phase: Phase,
    /// Version of this epoch's `rig_epoch`.
    pub(super) record: Version,
    pub(super) since: Time,
    /// Appended and on its way to disk and replicas.
    pub(super) flushed: Version,
    /// The last version that went out to anyone in this term: what a replica may hold is never taken back.
    pub(super) sent: Version,
    /// Ends of batches that are not committed, and when they went out.
    pub(super) unacknowledged: VecDeque<(Version, Time)>,
    /// Members that promised this epoch.
    pub(super) reached: Vec<NodeId>,
    pub(super) split_brain: bool,
    /// Some member holds another story.
    pub(super) disputed: bool,
    /// A change of the configuration that found no room is tried again then.
    pub(super) change_at: Time,
    /// The operator waits to hear that this node is primary.
    pub(super) request: Option<u64>,
    /// A member that the operator removes, and the request.
    pub(super) removing: Option<(u64, NodeId)>,
    /// What the epoch's own record says.
    pub(super) config: ClusterConfig,
}

/// How far a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Opening,
    Open,
    /// `demoted`: by the operator's word to this node, which ends the term in any case.
    HandingOver {
        to: NodeId,
        link: Link,
        until: Time,
        demoted: bool,
    },
}

impl Primary {
    pub(super) fn is_new(&self) -> bool {
        self.phase == Phase::New
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::New | Phase::Opening)
    }

    /// Whether time changes nothing: no other member, nothing that waits.
    pub(super) fn has_no_one_to_wait_for(&self, core: &Replication) -> bool {
        let wants_change = self.removing.is_some() || core.asked != Default::default();
        let waits = core.is_full() || self.request.is_some() || wants_change;
        self.is_open() && core.wanted.set.is_empty() && !waits
    }

    pub(super) fn assert_invariants(&self, core: &Replication) {
        assert!(self.flushed <= core.log.appended);
        assert_eq!(self.epoch, core.promised(), "a primary that promised a higher epoch is none");
        if self.phase == Phase::Opening {
            assert!(core.log.committed < self.record || !core.rules.hold(Rule::EpochRecordFirst));
        }
        if self.is_open() {
            assert!(core.log.committed >= self.record || !core.rules.hold(Rule::EpochRecordFirst));
        }
    }
}

impl Replication {
    pub(super) fn primary_mut(&mut self) -> Option<&mut Primary> {
        if let Part::Primary(primary) = &mut self.part { Some(primary) } else { None }
    }

    pub(super) fn on_propose(&mut self, expect: Option<Version>, out: &mut Outputs) {
        let refusal = self.refusal(expect);
        self.is_clear |= refusal.is_none();
        out.push(match refusal {
            Some(refusal) => Output::Refuse(refusal),
            None => Output::Append { slot: self.take_slot(), control: None },
        });
    }

    /// Why an operation would be refused now; `None` when it would be taken.
    pub fn refusal(&self, expect: Option<Version>) -> Option<Refusal> {
        let next = self.log.appended + 1;
        self.obstacle().or(match expect {
            Some(version) if version != next => Some(Refusal::VersionConflict { next }),
            _ => None,
        })
    }

    /// What stands in the way of any operation.
    fn obstacle(&self) -> Option<Refusal> {
        if self.is_clear {
            return None;
        }
        if self.failed {
            return Some(Refusal::Failed);
        }
        let primary = match &self.part {
            Part::Replica(replica) => return Some(Refusal::NotPrimary(replica.primary())),
            Part::Candidate(_) => return Some(Refusal::Recovering),
            Part::Primary(primary) => primary,
        };
        if primary.split_brain {
            return Some(Refusal::SplitBrain);
        }
        if self.draining || matches!(primary.phase, Phase::HandingOver { .. }) {
            return Some(Refusal::Draining);
        }
        if let Some((wanted, present)) = self.missing_replicas() {
            return Some(Refusal::NotEnoughReplicas { wanted, present });
        }
        if !primary.is_open() {
            return Some(Refusal::Recovering);
        }
        if self.lacks_coordinator() {
            return Some(Refusal::NoCoordinator);
        }
        self.is_full().then_some(Refusal::Full)
    }

    fn take_slot(&mut self) -> Slot {
        self.log.appended += 1;
        Slot { version: self.log.appended, epoch: self.promised(), commit_upto: self.log.committed }
    }

    fn append_control(&mut self, method: &'static str, data: ControlData, out: &mut Outputs) -> Version {
        let slot = self.take_slot();
        self.append_known(slot.version, slot.epoch, Some(&data));
        out.push(Output::Append { slot, control: Some(Control { method, data: data.to_json() }) });
        slot.version
    }

    pub(super) fn progress_primary(&mut self, out: &mut Outputs) {
        self.hear_who_was_added(out);
        self.begin_term(out);
        if !matches!(self.part, Part::Primary(_)) {
            return;
        }
        self.set_was_recorded(out);
        self.record_next(out);
        self.update_set(out);
        self.change_config(out);
        self.advance_commit(out);
        self.pump(out);
        self.tell_results(out);
        self.give_way(out);
        self.hand_over(out);
        self.answer_operator(out);
    }

    /// Who had promised a higher term before the log named it was not listened to when it said so.
    fn hear_who_was_added(&mut self, out: &mut Outputs) {
        let promised = self.promised();
        let above = self.peers.iter().filter(|peer| peer.link.is_some() && peer.promised > promised);
        let is_named = |id| self.log.configs.oldest().is_some_and(|config| config.names(id));
        let higher = above.filter(|peer| is_named(peer.id)).map(|peer| peer.promised).max();
        if let (Part::Primary(_), Some(higher)) = (&self.part, higher) {
            self.become_replica(higher, out);
        }
    }

    /// The epoch's own record, and a word to everyone who is there.
    fn begin_term(&mut self, out: &mut Outputs) {
        let is_full = self.is_full();
        let Part::Primary(primary) = &mut self.part else { return };
        if primary.phase != Phase::New || is_full {
            return;
        }
        primary.phase = Phase::Opening;
        let data = ControlData { config: primary.config.clone(), forced: primary.forced, restored: None };
        let record = self.append_control(methods::EPOCH, data, out);
        if let Some(primary) = self.primary_mut() {
            primary.record = record;
        }
        for link in self.links_of_new_term() {
            // Those that answer say where their logs stand now; what they said before may be old.
            self.say_hello(link, out);
        }
    }

    fn advance_commit(&mut self, out: &mut Outputs) {
        let upto = self.acknowledged_by_all();
        let epoch_first = self.rules.hold(Rule::EpochRecordFirst);
        let enough = self.set_is_enough() && !self.lacks_lease();
        let Part::Primary(primary) = &mut self.part else { return };
        if upto <= self.log.committed || !enough || primary.is_new() || (epoch_first && upto < primary.record) {
            return;
        }
        while primary.unacknowledged.front().is_some_and(|(version, _)| *version <= upto) {
            primary.unacknowledged.pop_front();
        }
        let opens = primary.phase == Phase::Opening && upto >= primary.record;
        let config = self.log.configs.newest_version();
        let changes = self.log.committed < config && config <= upto;
        self.commit(upto, out);
        self.commit_must_be_told();
        if opens {
            self.open(out);
        } else if changes {
            // Who has asked for it hears of it now, and the next change may follow: no later input has to come for that.
            self.change_config(out);
        }
    }

    fn open(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &mut self.part else { return };
        primary.phase = Phase::Open;
        let (epoch, forced) = (primary.epoch, primary.forced);
        out.push(Output::Opened(epoch));
        out.push(Output::Event(Event::Promoted { epoch, forced }));
        self.update_set(out);
        self.change_config(out);
    }

    /// The operator hears that this node is primary when every member that was reached holds the epoch's record.
    fn answer_operator(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &self.part else { return };
        let Some(request) = primary.request else { return };
        let everyone =
            primary.reached.iter().all(|id| self.peer(*id).is_none_or(|peer| peer.durable >= primary.record));
        let waited = self.now >= primary.since + ANSWER_TIMEOUT;
        if self.log.durable >= primary.record && !primary.is_new() && (primary.is_open() || everyone || waited) {
            out.push(Output::Answer { request, result: Ok(()) });
            if let Some(primary) = self.primary_mut() {
                primary.request = None;
            }
        }
    }

    pub(super) fn on_no_room(&mut self, last: Version, out: &mut Outputs) {
        assert!(self.log.durable <= last && last <= self.log.appended);
        let now = self.now;
        self.full_since = Some(now);
        match &mut self.part {
            Part::Primary(primary) if primary.sent > last => {
                self.short_since.get_or_insert(now);
                out.push(Output::TryAgain);
            }
            Part::Primary(primary) => {
                self.short_since.get_or_insert(now);
                primary.change_at = now + ROOM_PROBE;
                primary.flushed = primary.flushed.min(last);
                primary.unacknowledged.retain(|(version, _)| *version <= last);
                if primary.phase == Phase::Opening && primary.record > last {
                    primary.phase = Phase::New;
                } else {
                    // The node asks for room by itself, with the next operation.
                    self.full_since = None;
                }
                self.rewind(last, out);
            }
            Part::Candidate(candidate) => {
                let gives_way = candidate.is_elected();
                self.rewind(last, out);
                if gives_way {
                    // Another one that the value names may have room.
                    self.give_up(NotPromoted::NotReady, out);
                }
            }
            Part::Replica(_) => {
                self.rewind(last, out);
                self.replica_has_no_room(out);
            }
        }
    }

    /// Canary: what a timer must never do.
    pub(super) fn roll_back(&mut self, out: &mut Outputs) {
        let waits = self.log.appended > self.log.committed && self.log.durable == self.log.appended;
        if waits && matches!(self.part, Part::Primary(_)) && self.missing_replicas().is_some() {
            out.push(Output::Rewind { to: self.log.committed });
        }
    }

    fn rewind(&mut self, last: Version, out: &mut Outputs) {
        self.log.appended = last;
        self.log.history.cut(last);
        let known = self.log.configs.cut(last);
        assert!(known || last == 0 || self.log.configs.newest_version() == 0, "only what is not durable goes");
        out.push(Output::Rewind { to: last });
    }

    /// Two sides have written: nothing more is taken until the operator names the winner.
    pub(super) fn on_split_brain(&mut self, epoch: Epoch, out: &mut Outputs) {
        let is_by_value = self.leads_by_value(epoch);
        let outside_sync = self.log.configs.in_force().iter().any(|(_, config)| config.replication != Mode::Sync);
        let Part::Primary(primary) = &mut self.part else { return };
        if primary.epoch != epoch {
            return;
        }
        // In `sync`, or by the coordinator's value, this side goes on; the operator may still name it the winner.
        primary.disputed = true;
        if outside_sync && !is_by_value && !std::mem::replace(&mut primary.split_brain, true) {
            out.push(Output::Event(Event::SplitBrain));
        }
    }
}
