//! A log that went back: an old copy of a directory, or a disk that lost what it had said it holds.
//!
//! ```text
//!   primary:  hello of a new process, its head below what it had confirmed in this term ─► WentBack, until it is there again
//!   replica:  the primary's first word: more is decided than is here ─► lacks, durably ─► no heir unforced before it is here
//! ```
//!
//! Who runs on an old copy cannot know it: its log, its promise and its standing are old together. Others can tell it, and
//! from the first word of a primary on it knows what it lacks, also after a restart, and also when that primary is gone.
//! Where every disk keeps what it has confirmed, the number of promises alone makes sure that an adopted log has
//! everything that was decided, and none of this ever refuses anything.
//!
//! # Invariants
//! 1. Unforced, a term begins with a log that has everything which this node was told to be decided.
//! 2. What is lacking is forgotten only for the record that has opened another log by force, and by a node that leads: its
//!    log is the one.
//!
//! # Not here
//! That a member counts only when it has everything (`insync`): that goes for an old copy as for anyone who was away.

use super::machine::{Part, Replication};
use super::rules::Rule;
use super::{ClusterConfig, Event, Follow, History, NotPromoted, Output, Outputs, Standing};
use crate::types::{Epoch, NodeId, Version};

/// The first record behind a version with which a force has opened the log that is offered; 0 if there is none.
fn forced_behind(version: Version, follow: &Follow) -> Version {
    let mut forced = follow.history.iter().filter(|start| start.forced && start.first > version);
    forced.next().map_or(0, |start| start.first)
}

impl Replication {
    /// What this node was told to be decided, if its log does not reach there.
    pub fn lacks(&self) -> Option<Version> {
        Some(self.wanted.lacks).filter(|version| *version > self.log.durable)
    }

    /// A member has come back: whether it still has what it had confirmed to this primary.
    pub(super) fn look_back(&mut self, id: NodeId, of: (u64, Epoch), head: Version, out: &mut Outputs) {
        let (boot, promised) = of;
        let is_own_term = matches!(self.part, Part::Primary(_)) && promised <= self.promised();
        let peer = self.peer_mut(id);
        let confirmed = peer.confirmed;
        // The hello of the same process may be older than its last word on another link.
        if is_own_term && boot != peer.confirmed_by && head < confirmed {
            peer.went_back = Some(confirmed);
            out.push(Output::Event(Event::WentBack { id, head, confirmed }));
        }
    }

    /// A member has confirmed what its disk holds.
    pub(super) fn note_confirmed(&mut self, id: NodeId, durable: Version) {
        let peer = self.peer_mut(id);
        (peer.confirmed, peer.confirmed_by) = (peer.confirmed.max(durable), peer.boot);
        peer.went_back.take_if(|version| durable >= *version);
    }

    /// A primary has said what is decided. Its first word counts: what is decided later waits for whoever counts.
    pub(super) fn note_what_is_lacking(&mut self, out: &mut Outputs) {
        let known = self.log.durable.max(self.wanted.lacks);
        let Part::Replica(replica) = &mut self.part else { return };
        let Some(leader) = replica.leader.as_mut().filter(|leader| leader.committed > 0) else { return };
        let lacks = *leader.first_word.get_or_insert(leader.committed);
        if lacks > known && self.may_be_heir() {
            self.want(Standing { lacks, ..self.wanted.clone() }, out);
        }
    }

    /// Whether enough promises would be enough, by this log; elsewhere it takes a force, whatever is lacking.
    fn may_be_heir(&self) -> bool {
        let in_force = self.log.configs.in_force();
        let may = |config: &ClusterConfig| config.names(self.me.id) && config.promises_needed().is_some();
        !in_force.is_empty() && in_force.iter().all(|(_, config)| may(config))
    }

    /// A primary is followed. If a force has opened a log that this one does not have yet, that log is the measure.
    pub(super) fn forget_what_is_lacking(&mut self, follow: &Follow, out: &mut Outputs) {
        let forced = forced_behind(self.log.appended, follow);
        if forced > 0 && ![0, forced].contains(&self.wanted.lacks) {
            self.want(Standing { lacks: 0, ..self.wanted.clone() }, out);
        }
    }

    /// What this log lacks once it is cut for an offer, and 0 if nothing. Where the configuration that holds is cut off with
    /// what is decided, which goes only for a log that was opened by force, what is left names members of long ago: before the
    /// record that has opened the other one is here, nobody leads by that.
    pub(super) fn lacks_without(&self, follow: &Follow) -> Version {
        let theirs = History::new(follow.history.clone()).expect("checked when it came");
        let common = self.log.history.common(self.log.appended, &theirs, follow.head);
        let holds = self.log.configs.in_force().first().map_or(0, |(version, _)| *version);
        if common < holds && holds <= self.log.committed { forced_behind(common, follow) } else { 0 }
    }

    /// Whether a log that ends there has everything that was told to be decided.
    pub(super) fn reaches(&self, head: Version) -> Result<(), NotPromoted> {
        let version = self.wanted.lacks;
        if head >= version || !self.rules.hold(Rule::Lacking) {
            return Ok(());
        }
        Err(NotPromoted::Lacks { version, head })
    }
}
