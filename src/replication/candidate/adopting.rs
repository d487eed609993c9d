//! A candidate asks for promises, and takes the most advanced log of those who gave them.

use super::{Promise, Purpose, Stage};
use crate::replication::machine::{Part, Replication};
use crate::replication::rules::Rule;
use crate::replication::{Append, Closing, EpochStart, History, Link, Message, NotPromoted, Outputs, Promised};
use crate::types::{Epoch, NodeId, Version};

impl Replication {
    pub(in crate::replication) fn candidate_lost_link(&mut self, link: Link) {
        let lost = self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| peer.id);
        let linked: Vec<NodeId> = self.peers.iter().filter(|peer| peer.link.is_some()).map(|peer| peer.id).collect();
        let Some(candidate) = self.candidate_mut() else { return };
        candidate.asked.retain(|asked| *asked != link);
        if let Stage::Fetching { from, .. } = candidate.stage
            && (lost == Some(from) || !linked.contains(&from))
        {
            candidate.stage = Stage::Promising;
            candidate.promises.retain(|promise| promise.from != from);
        }
    }

    pub(in crate::replication) fn on_promised(
        &mut self,
        link: Link,
        from: NodeId,
        promised: Promised,
        out: &mut Outputs,
    ) {
        let Some(history) = History::new(promised.history) else { return self.close(link, Closing::Protocol, out) };
        if history.starts().last().is_some_and(|start| start.first > promised.head)
            || promised.committed > promised.head
        {
            return self.close(link, Closing::Protocol, out);
        }
        let named = self.log.configs.name(from);
        let committed = promised.committed;
        let (head, history) = match self.peer(from) {
            Some(peer) if !self.rules.hold(Rule::PromisesFirst) => (peer.head, peer.history.clone()),
            _ => (promised.head, history),
        };
        let Some(candidate) = self.candidate_mut() else { return };
        if promised.epoch != candidate.epoch || !matches!(candidate.stage, Stage::Promising) || !named {
            return;
        }
        candidate.promises.retain(|promise| promise.from != from);
        candidate.promises.push(Promise { from, head, committed, history });
    }

    pub(super) fn ask_for_promises(&mut self, out: &mut Outputs) {
        let (recorded, linked) = (self.recorded.promised, self.linked_members());
        let Some(candidate) = self.candidate_mut() else { return };
        let wants = !matches!(candidate.purpose, Purpose::Restart | Purpose::HandOver { .. });
        if candidate.stage != Stage::Promising || recorded < candidate.epoch || !wants {
            return;
        }
        let epoch = candidate.epoch;
        let new: Vec<Link> =
            linked.iter().map(|(link, _)| *link).filter(|link| !candidate.asked.contains(link)).collect();
        candidate.asked.extend(&new);
        for link in new {
            self.send(link, Message::Promise { epoch }, out);
        }
    }

    /// Enough promises, or enough waiting: then the most advanced log is adopted.
    pub(super) fn count_promises(&mut self, out: &mut Outputs) {
        let (now, linked) = (self.now, self.linked_members());
        let (recorded, settled) = (self.recorded.promised, self.is_settled());
        let Part::Candidate(candidate) = &self.part else { return };
        if candidate.stage != Stage::Promising || recorded < candidate.epoch || !settled {
            return;
        }
        let promised: Vec<NodeId> = candidate.promises.iter().map(|promise| promise.from).collect();
        let answered = |id: &NodeId| promised.contains(id) || candidate.refused.contains(id);
        let everyone = linked.iter().all(|(_, id)| answered(id));
        let waited = now >= candidate.until;
        let goes_on = match candidate.purpose {
            Purpose::Restart => false,
            Purpose::HandOver { .. } => true,
            Purpose::Reopen => self.recorded.set.iter().all(|id| promised.contains(id)),
            Purpose::Again => {
                let configs = self.log.configs.in_force().iter().map(|(_, config)| config);
                (everyone || waited) && self.judge(&promised, configs).is_ok()
            }
            Purpose::Operator { .. } | Purpose::Elected { .. } => everyone || waited,
        };
        if goes_on {
            self.adopt(out);
        }
    }

    fn adopt(&mut self, out: &mut Outputs) {
        let by_epoch = self.rules.hold(Rule::EpochBeforeVersion);
        let rank = |history: &History, head: Version| (if by_epoch { history.last() } else { Epoch::default() }, head);
        let own = rank(&self.log.history, self.log.durable);
        let most_advanced = self.rules.hold(Rule::MostAdvancedLog);
        let Part::Candidate(candidate) = &mut self.part else { return };
        // Of two stories the operator has named this node's the winner: what is decided here is not given up for another.
        let (log, forced) = (&self.log, candidate.is_forced());
        let fits = |promise: &&Promise| {
            !forced || log.history.common(log.durable, &promise.history, promise.head) >= log.committed
        };
        let best = candidate.promises.iter().filter(fits).max_by_key(|promise| rank(&promise.history, promise.head));
        let best = best.filter(|best| most_advanced && rank(&best.history, best.head) > own);
        let Some(best) = best else {
            return self.stand(out);
        };
        let (from, target, epoch) = (best.from, best.head, candidate.epoch);
        let common = self.log.history.common(self.log.durable, &best.history, best.head);
        // Whom the value names has every answered write, but for those of a force that the value does not know.
        let lacks_force = |start: &EpochStart| start.forced && !log.history.has_term(start.epoch);
        let goes_adrift = candidate.is_elected() && best.history.starts().iter().any(lacks_force);
        if common < self.log.committed || goes_adrift && self.rules.hold(Rule::Adrift) {
            // Nobody's rules allow that: it is for the operator to look at.
            return self.give_up(NotPromoted::NotReady, out);
        }
        if common < self.log.appended {
            candidate.stage = Stage::Cutting { from, target };
            self.cut(common, epoch, out);
        } else {
            candidate.stage = Stage::Fetching { from, target, asked: 0 };
        }
    }

    pub(in crate::replication) fn candidate_has_cut(&mut self) {
        let Some(candidate) = self.candidate_mut() else { return };
        if let Stage::Cutting { from, target } = candidate.stage {
            candidate.stage = Stage::Fetching { from, target, asked: 0 };
        }
    }

    /// Asks for what is missing, one piece after the other.
    pub(super) fn fetch(&mut self, out: &mut Outputs) {
        let appended = self.log.appended;
        let settled = self.is_settled();
        let hold = self.rules.hold(Rule::AdoptedDurable);
        let Part::Candidate(candidate) = &mut self.part else { return };
        let Stage::Fetching { from, target, asked } = candidate.stage else { return };
        if appended == target {
            if settled || !hold {
                self.stand(out);
            }
            return;
        }
        let epoch = candidate.epoch;
        let link = self.peers.iter().find(|peer| peer.id == from).and_then(|peer| peer.link);
        match link {
            Some(link) if asked < appended + 1 => {
                candidate.stage = Stage::Fetching { from, target, asked: appended + 1 };
                self.send(link, Message::Fetch { epoch, after: appended }, out);
            }
            Some(_) => {}
            None => {
                candidate.stage = Stage::Promising;
                candidate.promises.retain(|promise| promise.from != from);
            }
        }
    }

    /// There may be room now for what was asked for.
    pub(in crate::replication) fn fetch_again(&mut self) {
        if let Some(candidate) = self.candidate_mut()
            && let Stage::Fetching { asked, .. } = &mut candidate.stage
        {
            *asked = 0;
        }
    }

    pub(in crate::replication) fn on_records(&mut self, link: Link, records: &Append, out: &mut Outputs) {
        let source = self.peers.iter().find(|peer| peer.link == Some(link)).map(|peer| peer.id);
        let Part::Candidate(candidate) = &self.part else { return };
        let Stage::Fetching { from, target, .. } = candidate.stage else { return };
        if source != Some(from) || records.epoch != candidate.epoch || records.last > target || self.is_full() {
            return;
        }
        if !self.take(records, out) {
            self.close(link, Closing::Protocol, out);
        }
    }
}
