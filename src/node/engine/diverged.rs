//! Results here and at the primary: told, compared, and a state that takes the place of one that went another way.

use super::Engine;
use super::peers::Effect;
use crate::node::chronicle::Chronicle;
use crate::node::keys::Keys;
use crate::node::marks::Marks;
use crate::replication::{Input, Link, Message, Results};
use crate::service::Service;
use crate::types::{Epoch, Position, Version};

impl Engine {
    /// Says what came of these versions, if anything is known of it.
    pub(super) fn tell_results(&mut self, link: Link, epoch: Epoch, after: Version, last: Version) {
        let marks = self.marks.between(after, last);
        if marks.iter().any(|mark| *mark != 0) {
            let message = Message::Results(Results { epoch, first: after + 1, marks });
            self.effects.push(Effect::Send { link, message });
        }
    }

    /// Holds the primary's results against those of this node.
    pub(super) fn compare_results(&mut self, first: Version, marks: &[u32]) {
        if self.core.diverged().is_some() {
            return self.hear_again(first, marks);
        }
        self.differs = self.marks.first_difference(first, marks);
        if let Some((version, _)) = self.differs {
            self.step(Input::StateDiverged { version });
        }
    }

    /// A primary that was built anew, or another one, may say of the version that differs what this node says.
    fn hear_again(&mut self, first: Version, marks: &[u32]) {
        let Some((version, theirs)) = &mut self.differs else { return };
        let place = version.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        // One that has forgotten it says nothing.
        let Some(said) = place.and_then(|place| marks.get(place)).filter(|said| **said != 0) else { return };
        *theirs = *said;
        if self.differs().is_none() {
            self.step(Input::StateRebuilt { applied: self.applied.version });
        }
    }

    /// The version that differed from the primary's, if it still does.
    pub(in crate::node) fn differs(&self) -> Option<Version> {
        self.differs.filter(|(version, theirs)| self.marks.differs(*version, *theirs)).map(|(version, _)| version)
    }

    /// Applies nothing more for a while, or again: another state is coming up to this one's version.
    pub(in crate::node) fn stand_still(&mut self, still: bool) {
        self.still = still;
    }

    /// A state that was built anew from the log takes the place of this one, which is given back: to drop it takes time.
    pub(in crate::node) fn exchange_state(
        &mut self,
        service: Box<dyn Service>,
        keys: Keys,
        chronicle: Chronicle,
        marks: Marks,
        applied: Position,
    ) -> (Box<dyn Service>, Keys) {
        assert_eq!(applied, self.applied, "it has come up to this one");
        (self.chronicle, self.marks) = (chronicle, marks);
        (std::mem::replace(&mut self.service, service), std::mem::replace(&mut self.keys, keys))
    }
}
