//! A primary that leads no more: it hands its term over, gives way for want of room, or steps down.

use super::Phase;
use crate::replication::links::Peer;
use crate::replication::machine::{Part, Replication};
use crate::replication::{Closing, Link, Message, Outputs, Refused, RefusedWhy, Time};
use crate::types::{Epoch, NodeId};

/// A hand-over that takes longer is given up.
const HAND_OVER_TIMEOUT: Time = 2_000_000;
/// A primary that has found no room for so long lets another one lead.
const SHORT_OF_ROOM: Time = 1_000_000;

impl Replication {
    pub(in crate::replication) fn on_hand_over_please(&mut self, link: Link, id: NodeId, out: &mut Outputs) {
        let (now, promised) = (self.now, self.promised());
        let ready = self.log.configs.newest().is_some_and(|config| config.names(id))
            && self.peer(id).is_some_and(|peer| peer.flow.is_streaming() && peer.link == Some(link) && !peer.gone);
        // While nobody can take it the term is not given away.
        let ready = ready && (self.outside.is_none() || self.reaches_coordinator());
        match &mut self.part {
            Part::Primary(primary) if ready && primary.phase == Phase::Open && !primary.split_brain => {
                let until = now + HAND_OVER_TIMEOUT;
                primary.phase = Phase::HandingOver { to: id, link, until, demoted: false };
            }
            _ => {
                let refused = Refused { promised, why: RefusedWhy::CannotHandOver };
                self.send(link, Message::Refused(refused), out);
            }
        }
    }

    /// Everything is committed and the other has it all: the term ends, and the next one is the other's.
    pub(super) fn hand_over(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &mut self.part else { return };
        let Phase::HandingOver { to, link, until, demoted } = primary.phase else { return };
        let epoch = Epoch { number: primary.epoch.number + 1, owner: to, start: 1 };
        let peer = self.peers.iter().find(|peer| peer.id == to && peer.link == Some(link));
        // Not to one that is removed meanwhile: it would lead where no promotion counts it. Nor to one that has diverged.
        let stays = self.log.configs.newest().is_some_and(|config| config.names(to));
        let Some(peer) = peer.filter(|peer| self.now < until && stays && !peer.gone) else {
            primary.phase = Phase::Open;
            if demoted {
                self.step_down(out);
            }
            return;
        };
        let head = self.log.appended;
        if self.log.committed == head && peer.durable == head && self.recording.is_none() {
            self.leave_office(epoch, out);
            if let Part::Replica(replica) = &mut self.part {
                replica.hands_over(link, epoch, head);
            }
        }
    }

    pub(in crate::replication) fn on_demote(&mut self, out: &mut Outputs) {
        let until = self.now + HAND_OVER_TIMEOUT;
        let stays = |id| self.log.configs.newest().is_some_and(|config| config.names(id));
        let follows = |peer: &&Peer| peer.flow.is_streaming() && !peer.gone && self.recorded.set.contains(&peer.id);
        let heir = self.peers.iter().find(|peer| follows(peer) && stays(peer.id));
        let heir = heir.and_then(|peer| peer.link.map(|link| (peer.id, link)));
        match (&mut self.part, heir) {
            (Part::Replica(_), _) => {}
            (Part::Primary(primary), Some((to, link))) if primary.phase == Phase::Open && !primary.split_brain => {
                primary.phase = Phase::HandingOver { to, link, until, demoted: true };
            }
            _ => self.step_down(out),
        }
    }

    /// Without room it gives way to a member that has some, where a coordinator sees to it that one leads.
    pub(super) fn give_way(&mut self, out: &mut Outputs) {
        let Part::Primary(primary) = &self.part else { return };
        let is_long = self.short_since.is_some_and(|since| self.now >= since + SHORT_OF_ROOM);
        if !is_long || primary.split_brain || !self.has_heir_outside() {
            return;
        }
        match primary.phase {
            Phase::HandingOver { .. } => {}
            Phase::Open if self.is_settled() => self.on_demote(out),
            // What it has sent, and cannot store, is the other's to decide; or it has nothing in this term.
            Phase::Open | Phase::New | Phase::Opening => self.step_down(out),
        }
    }

    /// Whether the coordinator answers, and its value names a member that is heard and can store what it gets.
    fn has_heir_outside(&self) -> bool {
        let Some(value) = self.seen().and_then(|seen| seen.register.as_ref()) else { return false };
        let is_heard = |peer: &Peer| peer.link.is_some() && !self.is_silent(peer.id);
        let is_own = value.epoch.owner == self.me.id && self.reaches_coordinator();
        is_own && self.peers.iter().any(|peer| is_heard(peer) && value.set.contains(&peer.id))
    }

    /// The term ends and nobody follows. Those that were led must not take this node for a primary any longer.
    pub(super) fn step_down(&mut self, out: &mut Outputs) {
        self.become_replica(self.promised(), out);
        for link in self.known_links() {
            self.close(link, Closing::Again, out);
        }
    }
}
