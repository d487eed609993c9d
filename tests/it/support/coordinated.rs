//! A pair that goes by a record in etcd. The ways between the nodes can be cut, and the way of each node to etcd.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Cluster, Etcd, Link};
use crate::wire::Wire;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the record of the pair is.
pub(crate) const PREFIX: &str = "/rig/pair";

/// Nodes `n1` and `n2`; `n1` was the first primary.
pub(crate) struct Coordinated {
    pub(crate) cluster: Cluster,
    pub(crate) etcd: Etcd,
    /// From each node to etcd.
    ways: Vec<Link>,
}

impl Coordinated {
    /// A pair in sync by one etcd; nothing where there is no etcd. `flags` go to the first primary.
    pub(crate) fn new(test: &str, lease: &str, flags: &[&str]) -> Option<Self> {
        let etcd = Etcd::new(test, 1, &[])?;
        let ways: Vec<Link> = (0..2).map(|_| Link::to(etcd.client(1))).collect();
        let flags_of = |way: &Link| {
            let url = format!("etcd://{}{PREFIX}", way.url().strip_prefix("http://").unwrap());
            ["--coordinator", &url, "--coordinator-lease", lease].map(str::to_owned).to_vec()
        };
        let cluster = Cluster::with_links_and(ways.iter().map(flags_of).collect(), flags);
        let pair = Self { cluster, etcd, ways };
        // In `async` nobody is waited for, and nobody is recorded.
        if !flags.contains(&"async") {
            pair.until_recorded(|record| in_sync(record) == ["n2"]);
        }
        Some(pair)
    }

    /// The record as etcd has it, `null` without one, and the nodes whose leases hold.
    pub(crate) fn record(&self) -> (Value, Vec<String>) {
        let reading = self.etcd.at(&[1], PREFIX, PATIENCE).read().unwrap();
        let record = reading.record.map(|record| serde_json::from_str(&record.to_json()).unwrap());
        (record.unwrap_or_default(), reading.leases.iter().map(ToString::to_string).collect())
    }

    /// Waits until the record is as wanted.
    pub(crate) fn until_recorded(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (record, _) = self.record();
            if wanted(&record) {
                return record;
            }
            assert!(Instant::now() < deadline, "{record:#}; {}", self.cluster.home.serve_log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nobody holds a lease.
    pub(crate) fn until_no_lease(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.record().1.is_empty() {
            assert!(Instant::now() < deadline, "a lease is held");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The way of a node to etcd.
    pub(crate) fn way(&self, number: usize) -> &Link {
        &self.ways[number - 1]
    }

    /// Waits until the node says whether the coordinator is of use.
    pub(crate) fn until_reachable(&self, number: usize, wanted: bool) -> Value {
        self.cluster.until(number, |status| status["coordinator"]["reachable"] == wanted)
    }

    /// The only etcd is killed, and both nodes know it.
    pub(crate) fn lose_etcd(&mut self) {
        self.etcd.kill(1);
        (1..=2).for_each(|number| {
            if self.cluster.node(number).is_alive() {
                self.until_reachable(number, false);
            }
        });
    }

    /// It is started again, and answers.
    pub(crate) fn bring_etcd_back(&mut self) {
        self.etcd.spawn(1);
        self.etcd.wait(1);
    }

    /// Tries one write, always the same, until it is answered, and gives the answer.
    pub(crate) fn write_until_answered(&self, number: usize, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.cluster.request(number, id, id, 2000) {
                Ok(reply) if reply.status == 200 => return reply.data(),
                reply => {
                    let is_for_now = reply.as_ref().map_or(true, |reply| matches!(reply.status, 307 | 503 | 504));
                    let log = || self.cluster.home.serve_log();
                    assert!(is_for_now && Instant::now() < deadline, "n{number}: {reply:?}; {}", log());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// For so long every try of a write is refused, and nobody says that it may have been done.
    pub(crate) fn refuses_for(&self, number: usize, id: &str, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let reply = self.cluster.request(number, id, id, 2000).unwrap();
            assert_eq!((reply.status, &*reply.code()), (503, "not_enough_replicas"), "n{number}: {reply:?}");
            assert_eq!(reply.json()["definite"], true, "{reply:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// For so long a node neither leads nor tries to.
    pub(crate) fn never_leads_for(&self, number: usize, time: Duration) {
        let until = Instant::now() + time;
        let epoch = self.cluster.seen(number)["epoch"].clone();
        while Instant::now() < until {
            let status = self.cluster.seen(number);
            assert_eq!((&status["role"], &status["epoch"]), (&Value::from("replica"), &epoch), "{status:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Names of the events of a node, behind this number.
    pub(crate) fn events(&self, number: usize, after: u64) -> Vec<String> {
        let address = self.cluster.url(number);
        let lines = Wire::open(address.strip_prefix("http://").unwrap()).unwrap().get("/events").unwrap().lines();
        let new = lines.iter().filter(|line| line["type"] == "event" && line["seq"].as_u64() > Some(after));
        new.map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }

    /// The number of the newest event of a node.
    pub(crate) fn last_event(&self, number: usize) -> u64 {
        let address = self.cluster.url(number);
        let lines = Wire::open(address.strip_prefix("http://").unwrap()).unwrap().get("/events").unwrap().lines();
        lines.iter().filter_map(|line| line["seq"].as_u64()).max().unwrap_or(0)
    }
}

/// Names of the others that a record has in sync.
pub(crate) fn in_sync(record: &Value) -> Vec<&str> {
    record["in_sync"].as_array().into_iter().flatten().filter_map(|node| node["name"].as_str()).collect()
}
