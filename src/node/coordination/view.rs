//! The coordinator as `rig status` and `/metrics` show it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Counts, REPAIR};
use crate::coordinator::Record;
use crate::node::metrics::Exposition;
use crate::replication::Replication;
use crate::types::{Micros, format_time};

/// What people and programs are told of it.
pub(in crate::node) struct View<'a> {
    pub(in crate::node) address: &'a str,
    pub(in crate::node) record: Option<&'a Record>,
    pub(in crate::node) revision: u64,
    pub(in crate::node) leased: bool,
    /// Why it is of no use now.
    pub(in crate::node) fault: Option<&'a str>,
    /// Why this node's lease cannot be held, though all else works.
    pub(in crate::node) lease_fault: Option<&'a str>,
    /// Whether it has answered, or failed to.
    pub(in crate::node) is_known: bool,
    /// Since when that is so.
    pub(in crate::node) since: Micros,
    /// How long a lease is.
    pub(in crate::node) lease: Duration,
    /// What is left of this node's own.
    pub(in crate::node) lease_left: Duration,
    /// Whether the node stood still for half a lease or more, less than a lease ago.
    pub(in crate::node) stood_still: bool,
    pub(in crate::node) counts: Counts,
}

impl View<'_> {
    /// Whether somebody vouches for a primary: its lease, by its own clock; or every member that it has recorded in sync,
    /// where each was heard less than a lease ago (by `now`, the core's clock). What is heard just after a stand-still may
    /// have been said before it, so then the lease alone counts.
    pub(in crate::node) fn vouches(&self, core: &Replication, now: u64) -> bool {
        let lately = |heard: u64| u128::from(now.saturating_sub(heard)) < self.lease.as_micros();
        let peers = core.peers();
        let mut members = peers.iter().filter(|peer| peer.in_sync);
        !self.lease_left.is_zero()
            || !self.stood_still && members.all(|peer| peer.connected && peer.heard.is_some_and(lately))
    }

    /// The object of `rig status --json`.
    pub(in crate::node) fn status(&self) -> Value {
        let lease = self.lease_left.as_millis();
        json!({
            "url": self.address,
            "reachable": self.is_known && self.fault.is_none(),
            "why": self.why(),
            "since": format_time(self.since),
            "revision": self.revision,
            "record": self.record.and_then(|record| serde_json::from_str::<Value>(&record.to_json()).ok()),
            "leased": self.leased,
            "lease_left_ms": if lease == 0 { None } else { u64::try_from(lease).ok() },
        })
    }

    /// Whether the record must not be built on before an operator has mended it.
    pub(in crate::node) fn wants_repair(&self) -> bool {
        self.fault.is_some_and(|why| why.contains(REPAIR))
    }

    fn why(&self) -> Option<String> {
        let lease = || self.lease_fault.map(|why| format!("the lease of this node cannot be held: {why}"));
        self.fault.map(str::to_owned).or_else(lease)
    }

    /// The lines of `/metrics`.
    pub(in crate::node) fn metrics(&self, page: &mut Exposition) {
        let up = f64::from(self.is_known && self.fault.is_none());
        page.gauge("rig_coordinator_up", "1 while the coordinator answers and its record can be used.", up);
        page.gauge("rig_coordinator_revision", "Revision of the record.", self.revision as f64);
        let help = "What is left of this node's lease; 0 without one.";
        page.gauge("rig_coordinator_lease_seconds", help, self.lease_left.as_secs_f64());
        let Counts { requests, failed, swaps_taken, swaps_lost } = self.counts;
        let outcomes = [("ok", (requests - failed) as f64), ("failed", failed as f64)];
        let help = "Requests to the coordinator.";
        page.labelled("rig_coordinator_requests_total", "counter", help, "outcome", &outcomes);
        let outcomes = [("taken", swaps_taken as f64), ("lost", swaps_lost as f64)];
        let help = "Changes of the record that this node has asked for.";
        page.labelled("rig_coordinator_swaps_total", "counter", help, "outcome", &outcomes);
    }
}
