//! What became of the operations, and how long it took: for `/metrics`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::node::metrics::{Histogram, SECONDS};

/// Methods that are told apart: a service has fewer, and a client's inventions cost no memory.
const METHODS_MAX: usize = 64;

/// Operations with one method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::node) struct Method {
    pub(in crate::node) applied: u64,
    pub(in crate::node) rejected: u64,
}

/// Operations so far, and the times of their steps.
#[derive(Debug)]
pub(in crate::node) struct Counters {
    pub(in crate::node) refused: u64,
    pub(in crate::node) unknown: u64,
    pub(in crate::node) replayed: u64,
    /// By method; only what was applied once has a name here.
    methods: BTreeMap<Box<str>, Method>,
    /// With every other method.
    pub(in crate::node) other: Method,
    /// From admission until it is committed and applied.
    pub(in crate::node) commit: Histogram<14>,
    /// The service's work for the operations of one group commit.
    pub(in crate::node) apply: Histogram<14>,
    /// The service's look at one operation.
    pub(in crate::node) validate: Histogram<14>,
}

impl Default for Counters {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let (refused, unknown, replayed, other) = (0, 0, 0, Method::default());
        let (commit, apply, validate) = (seconds(), seconds(), seconds());
        Self { refused, unknown, replayed, methods: BTreeMap::new(), other, commit, apply, validate }
    }
}

impl Counters {
    /// One was applied, so long after it was admitted.
    pub(super) fn applied(&mut self, method: &str, took: Duration) {
        self.commit.observe(took.as_secs_f64());
        let has_room = self.methods.len() < METHODS_MAX;
        match self.methods.get_mut(method) {
            Some(known) => known.applied += 1,
            None if has_room => drop(self.methods.insert(method.into(), Method { applied: 1, rejected: 0 })),
            None => self.other.applied += 1,
        }
    }

    /// One was found not to be possible.
    pub(super) fn rejected(&mut self, method: &str) {
        self.methods.get_mut(method).unwrap_or(&mut self.other).rejected += 1;
    }

    /// Each method that has a name.
    pub(in crate::node) fn methods(&self) -> impl Iterator<Item = (&str, Method)> {
        self.methods.iter().map(|(name, method)| (&**name, *method))
    }

    /// The service has validated one since `begin`.
    pub(super) fn validated(&mut self, begin: Instant) {
        self.validate.observe(begin.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_invent_is_counted_under_one_name() {
        let mut counters = Counters::default();
        (0..1000).for_each(|number| counters.rejected(&format!("invented_{number}")));
        assert_eq!((counters.methods().count(), counters.other.rejected), (0, 1000));
        (0..100).for_each(|number| counters.applied(&format!("m{number}"), Duration::ZERO));
        assert_eq!((counters.methods().count(), counters.other.applied), (METHODS_MAX, 100 - METHODS_MAX as u64));
        counters.rejected("m0");
        assert_eq!(counters.methods().next(), Some(("m0", Method { applied: 1, rejected: 1 })));
        assert_eq!(counters.commit.count(), 100);
    }
}
