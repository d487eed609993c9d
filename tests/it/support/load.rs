//! Clients that write to a cluster while something is done to it, and the proof that nothing answered was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Cluster;
use crate::wire::Wire;

const CLIENTS: usize = 6;

/// What the clients know, and whether they go on.
#[derive(Default)]
pub(crate) struct Load {
    /// Key to version and hash, as they were answered.
    answered: Mutex<BTreeMap<String, (u64, String)>>,
    seen: Mutex<Seen>,
    count: AtomicUsize,
    stop: AtomicBool,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Every status, 0 for a connection that broke.
    pub(crate) statuses: BTreeSet<u16>,
    /// The longest time from the first try of an operation to its answer.
    pub(crate) slowest: Duration,
    /// How many were answered.
    pub(crate) answered: usize,
}

impl Load {
    /// Waits until so many more are answered.
    pub(crate) fn wait_for(&self, more: usize) {
        let before = self.count.load(Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.count.load(Ordering::Relaxed) < before + more {
            assert!(Instant::now() < deadline, "nothing is answered");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One client: unique operations, one after the other, each sent until it is answered, to whoever takes it.
    fn client(&self, addresses: &[String], number: usize) {
        let mut wire: Option<Wire> = None;
        let mut node = 0;
        for nth in 0_u64.. {
            let key = format!("{number}-{nth}");
            let data = format!("{{\"id\":\"{key}\"}}");
            let begin = Instant::now();
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                if wire.is_none() {
                    wire = Wire::open(&addresses[node]).ok();
                }
                let reply = wire.as_mut().and_then(|wire| wire.operation("user_create", &data, Some(&key)).ok());
                let mut seen = self.seen.lock().unwrap();
                seen.statuses.insert(reply.as_ref().map_or(0, |reply| reply.status));
                match reply {
                    Some(reply) if reply.status == 200 => {
                        let data = reply.data();
                        let place = (data["version"].as_u64().unwrap(), data["hash"].as_str().unwrap().to_owned());
                        seen.slowest = seen.slowest.max(begin.elapsed());
                        self.answered.lock().unwrap().insert(key, place);
                        self.count.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Some(reply) => {
                        assert!(matches!(reply.status, 307 | 503 | 504), "{key}: {} {}", reply.status, reply.code());
                        wire = None;
                    }
                    None => wire = None,
                }
                drop(seen);
                node = (node + 1) % addresses.len();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A cluster under load while `act` does something to it; then everything is compared.
pub(crate) fn under_load(cluster: &mut Cluster, act: impl FnOnce(&mut Cluster, &Load)) -> Seen {
    let count = cluster.count();
    let addresses: Vec<String> =
        (1..=count).map(|number| cluster.url(number).strip_prefix("http://").unwrap().to_owned()).collect();
    let load = Load::default();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (load, addresses) = (&load, &addresses);
            scope.spawn(move || load.client(addresses, number));
        }
        // Whatever happens here, the clients must end: the scope waits for them.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            act(cluster, &load);
            cluster.settle();
        }));
        load.stop.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    cluster.settle();
    let answered = load.answered.into_inner().unwrap();
    let log = keyed(cluster);
    let lost: Vec<_> = answered.iter().filter(|(key, place)| log.get(*key) != Some(place)).take(5).collect();
    assert!(lost.is_empty(), "answered, and not in the log as answered: {lost:?}");
    (2..=count).for_each(|number| cluster.are_equal(1, number));
    Seen { answered: answered.len(), ..load.seen.into_inner().unwrap() }
}

/// Every key in the log of the first node with its version and hash; no key is there twice.
fn keyed(cluster: &Cluster) -> BTreeMap<String, (u64, String)> {
    let mut found = BTreeMap::new();
    let mut versions = BTreeSet::new();
    for record in cluster.ok(1, &["log", "dump", "--json"]).lines() {
        let version = record["version"].as_u64().unwrap();
        assert!(versions.insert(version));
        if let Some(key) = record["key"].as_str() {
            let place = (version, record["hash"].as_str().unwrap().to_owned());
            assert_eq!(found.insert(key.to_owned(), place), None, "{key} is in the log twice");
        }
    }
    assert_eq!(versions.last().copied().unwrap_or(0) as usize, versions.len(), "versions without gaps");
    found
}
