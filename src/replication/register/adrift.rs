//! A term by force that the coordinator does not know: who goes by it, who does not, and how it comes to an end.

use crate::replication::machine::{Part, Replication};
use crate::replication::replica::Stage;
use crate::replication::rules::Rule;
use crate::replication::{Append, Follow, Landmark, Outputs, Standing};
use crate::types::{Epoch, Version};

impl Replication {
    /// A swap of a term by force was taken, and this node does not know it yet: the value names it, whatever it did without.
    pub(super) fn owns_what_it_forced(&mut self, out: &mut Outputs) {
        let value = self.seen().and_then(|seen| seen.register.as_ref()).map(|value| value.epoch);
        let Standing { promised, forced, adrift, .. } = self.wanted;
        let is_own = promised.owner == self.me.id && value.is_some_and(|term| term.is_same_term(promised));
        let leads = matches!(self.part, Part::Primary(_)) || self.recording.is_some();
        if is_own && forced && adrift && !leads {
            let Standing { lacks, .. } = self.wanted;
            // It leads when it has taken the next term there, and not as what it was.
            self.want(Standing { promised, forced, lacks, ..Standing::default() }, out);
        }
    }

    /// Whether this is the term of the coordinator's value, whose primary holds every answered write.
    pub(super) fn is_of_value(&self, epoch: Epoch) -> bool {
        self.seen().and_then(|seen| seen.register.as_ref()).is_some_and(|value| value.epoch == epoch)
    }

    /// Whether something behind the common place may have been answered that the value does not know of: this log has records
    /// there of a term by force. Who was only about to go with one has nothing of it.
    fn went_another_way(&self, common: Version) -> bool {
        self.wanted.adrift && self.log.history.behind(common).any(|start| start.forced)
    }

    /// Whether the coordinator's value says that this is the term, to a node that went no other way: what it has beyond the
    /// common place was answered to nobody.
    pub(in crate::replication) fn is_by_value(&self, epoch: Epoch, common: Version) -> bool {
        self.is_of_value(epoch) && !self.went_another_way(common)
    }

    /// Whether the value will show whose term this is, and has not yet: it was swapped before the term began, and is read
    /// later here. Until then nobody says that two sides have written.
    pub(in crate::replication) fn awaits_value(&self, epoch: Epoch, common: Version) -> bool {
        let is_told = self.is_of_value(epoch) || self.went_another_way(common);
        self.outside.is_some() && !is_told && self.rules.hold(Rule::AwaitValue)
    }

    /// Whether this primary goes by the value, and not by the operator's force alone.
    pub(in crate::replication) fn leads_by_value(&self, epoch: Epoch) -> bool {
        self.is_of_value(epoch) && !self.wanted.adrift
    }

    /// Whether following this offer means to go with a term by force that the coordinator does not know. One that this log
    /// has was judged when it came. One that is no newer than the value may have been in it, or never: only the value's own
    /// primary can vouch for that.
    pub(in crate::replication) fn goes_adrift(&self, follow: &Follow) -> bool {
        if self.outside.is_none() || !self.rules.hold(Rule::Adrift) {
            return false;
        }
        let known = self.seen().and_then(|seen| seen.register.as_ref()).map(|value| value.epoch).unwrap_or_default();
        let is_new = |term: Epoch| !self.log.history.starts().iter().any(|start| start.epoch == term);
        let mut forced = follow.history.iter().filter(|start| start.forced).map(|start| start.epoch);
        forced.any(|term| is_new(term) && (term > known || known != follow.epoch))
    }

    /// Whether these records begin a term by force that was in no offer, and that the value does not vouch for.
    pub(in crate::replication) fn is_astray_with(&self, append: &Append) -> bool {
        let is_judged = self.outside.is_none() || self.wanted.adrift || self.is_of_value(append.epoch);
        let is_forced = |mark: &Landmark| mark.control.as_ref().is_some_and(|control| control.forced);
        !is_judged && self.rules.hold(Rule::Adrift) && append.landmarks.iter().any(is_forced)
    }

    /// Whether a member that is heard goes by a term by force that the value does not know: what was answered there may be
    /// decided, and nobody leads without it by the value's word. Its primary puts it there when it can. A value with a newer
    /// term that this log has nothing of does not know it either: who takes that over would have to adopt the other log.
    pub(super) fn knows_of_force(&self) -> bool {
        let known = self.seen().and_then(|seen| seen.register.as_ref()).map_or(Epoch::default(), |value| value.epoch);
        let known = known.min(self.log.history.last());
        let heard = self.peers.iter().filter(|peer| peer.link.is_some() && self.log.configs.name(peer.id));
        let mut starts = heard.flat_map(|peer| peer.history.starts());
        self.rules.hold(Rule::Adrift) && starts.any(|start| start.forced && start.epoch > known)
    }

    /// A primary that is in the value has recorded this node anew: it holds every answered write again.
    pub(in crate::replication) fn comes_ashore(&mut self, out: &mut Outputs) {
        let Part::Replica(replica) = &self.part else { return };
        let (Some(leader), Stage::Following(_, epoch)) = (&replica.leader, &replica.stage) else { return };
        let value = self.seen().and_then(|seen| seen.register.as_ref());
        let is_led_by_it = value.is_some_and(|value| value.epoch == *epoch && value.names(self.me.id) && value.open);
        let has_all = leader.set.contains(&self.me.id) && self.log.durable >= leader.committed;
        if self.wanted.adrift && is_led_by_it && has_all && self.log.history.at(self.log.durable) == *epoch {
            self.want(Standing { adrift: false, ..self.wanted.clone() }, out);
        }
    }
}
