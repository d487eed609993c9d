//! Two real nodes under load, killed again and again: what was answered is in both logs, once, and the logs are equal.
//!
//! A short run belongs to every test run. Long ones are the same functions with more cycles:
//! `RIG_CLUSTER_CYCLES=200 cargo test --locked --test it cluster_crash -- --nocapture`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::Cluster;
use crate::wire::Wire;

const CLIENTS: usize = 6;

fn cycles(short: usize) -> usize {
    std::env::var("RIG_CLUSTER_CYCLES").map_or(short, |text| text.parse().expect("RIG_CLUSTER_CYCLES is a number"))
}

/// What the clients know, and whether they go on.
#[derive(Default)]
struct Load {
    /// Key to version and hash, as they were answered.
    answered: Mutex<BTreeMap<String, (u64, String)>>,
    /// Every status that was seen, 0 for a connection that broke.
    statuses: Mutex<BTreeSet<u16>>,
    stop: AtomicBool,
}

impl Load {
    /// One client: unique operations, one after the other, each sent until it is answered, to whoever takes it.
    fn client(&self, addresses: &[String], number: usize, turn: &AtomicUsize) {
        let mut wire: Option<Wire> = None;
        let mut node = 0;
        for nth in 0_u64.. {
            let key = format!("{number}-{nth}");
            let data = format!("{{\"id\":\"{key}\"}}");
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                if wire.is_none() {
                    wire = Wire::open(&addresses[node]).ok();
                }
                let reply = wire.as_mut().and_then(|wire| wire.operation("user_create", &data, Some(&key)).ok());
                self.statuses.lock().unwrap().insert(reply.as_ref().map_or(0, |reply| reply.status));
                match reply {
                    Some(reply) if reply.status == 200 => {
                        let data = reply.data();
                        let place = (data["version"].as_u64().unwrap(), data["hash"].as_str().unwrap().to_owned());
                        self.answered.lock().unwrap().insert(key, place);
                        turn.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Some(reply) => {
                        assert!(matches!(reply.status, 307 | 503 | 504), "{key}: {} {}", reply.status, reply.code());
                        wire = None;
                    }
                    None => wire = None,
                }
                node = 1 - node;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A pair of this mode under load.
fn under_load(mode: &str, cycles: usize, cycle: impl FnMut(&mut Cluster, usize)) -> BTreeSet<u16> {
    let mut cluster = Cluster::new(2, &["--replication", mode, "--sync-timeout", "500ms"]);
    loaded(&mut cluster, mode, cycles, cycle)
}

/// A pair under load while `cycle` does something to it, as often as asked for; then everything is compared. Gives
/// every status that a client saw.
pub(crate) fn loaded(
    cluster: &mut Cluster,
    what: &str,
    cycles: usize,
    mut cycle: impl FnMut(&mut Cluster, usize),
) -> BTreeSet<u16> {
    let addresses: Vec<String> =
        [1, 2].iter().map(|number| cluster.url(*number).strip_prefix("http://").unwrap().to_owned()).collect();
    let (load, turn) = (Load::default(), AtomicUsize::new(0));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (load, turn, addresses) = (&load, &turn, &addresses);
            scope.spawn(move || load.client(addresses, number, turn));
        }
        // Whatever happens here, the clients must end: the scope waits for them.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..cycles {
                let before = turn.load(Ordering::Relaxed);
                let deadline = Instant::now() + Duration::from_secs(30);
                while turn.load(Ordering::Relaxed) < before + 20 {
                    assert!(Instant::now() < deadline, "cycle {number}: nothing is answered");
                    std::thread::sleep(Duration::from_millis(1));
                }
                cycle(cluster, number);
            }
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
    cluster.are_equal(1, 2);
    println!("{what}: {cycles} cycles in {:?}, {} operations answered, none lost", begin.elapsed(), answered.len());
    load.statuses.into_inner().unwrap()
}

pub(crate) fn primary(cluster: &Cluster) -> usize {
    [1, 2].into_iter().find(|number| cluster.seen(*number)["role"] == "primary").unwrap_or(1)
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

/// Kills both, and brings them back in one order or the other.
fn kill_both(cluster: &mut Cluster, cycle: usize) {
    let first = 1 + cycle % 2;
    for number in if cycle.is_multiple_of(3) { [1, 2] } else { [2, 1] } {
        cluster.kill(number);
    }
    for number in [first, 3 - first] {
        cluster.serve(number, &[]);
        std::thread::sleep(Duration::from_millis(cycle as u64 * 71 % 200));
    }
    cluster.settle();
}

/// Kills a node of the pair, a different one from cycle to cycle, and brings it back.
fn kill_one(cluster: &mut Cluster, cycle: usize) {
    let victim = 1 + (cycle * 7 / 3) % 2;
    cluster.kill(victim);
    std::thread::sleep(Duration::from_millis(cycle as u64 * 53 % 300));
    let other = cluster.url(3 - victim);
    cluster.serve(victim, &["--peer", &other]);
    cluster.settle();
}

#[test]
fn either_node_of_a_sync_pair_is_killed_and_nothing_answered_is_lost() {
    under_load("sync", cycles(6), kill_one);
}

#[test]
fn either_node_of_a_semi_sync_pair_is_killed_and_nothing_answered_is_lost() {
    under_load("semi-sync", cycles(6), kill_one);
}

#[test]
fn either_node_of_an_async_pair_is_killed_and_nothing_answered_is_lost() {
    under_load("async", cycles(6), kill_one);
}

#[test]
fn a_killed_primary_is_replaced_by_promotion_and_follows_when_it_is_back() {
    under_load("sync", cycles(5) / 2 + 1, |cluster, cycle| {
        let old = primary(cluster);
        let new = 3 - old;
        cluster.kill(old);
        let name = format!("n{new}");
        cluster.home.ok(&["promote", &name]);
        std::thread::sleep(Duration::from_millis(cycle as u64 * 31 % 200));
        let other = cluster.url(new);
        cluster.serve(old, &["--peer", &other]);
        cluster.settle();
        assert_eq!(primary(cluster), new, "cycle {cycle}");
    });
}

#[test]
fn the_role_goes_back_and_forth_under_load() {
    under_load("semi-sync", cycles(6), |cluster, _| {
        let name = format!("n{}", 3 - primary(cluster));
        cluster.home.ok(&["promote", &name]);
        cluster.settle();
    });
}

#[test]
fn both_nodes_of_a_sync_pair_are_killed_and_start_in_either_order_and_nothing_answered_is_lost() {
    under_load("sync", cycles(4), kill_both);
}

#[test]
fn both_nodes_of_a_semi_sync_pair_are_killed_and_start_in_either_order_and_nothing_answered_is_lost() {
    under_load("semi-sync", cycles(4), kill_both);
}

#[test]
fn a_planned_switchover_under_load_is_quick_and_no_client_sees_more_than_try_again() {
    let mut slowest = Duration::ZERO;
    let statuses = under_load("sync", cycles(4), |cluster, cycle| {
        let (old, begin) = (primary(cluster), Instant::now());
        let name = format!("n{}", 3 - old);
        let promoted = cluster.home.ok(&["promote", &name, "--json"]).json();
        assert_eq!((&promoted["role"], &promoted["forced"]), (&"primary".into(), &false.into()), "cycle {cycle}");
        cluster.settle();
        slowest = slowest.max(begin.elapsed());
        assert_eq!(primary(cluster), 3 - old, "cycle {cycle}");
    });
    assert!(statuses.is_subset(&BTreeSet::from([200, 307, 503])), "{statuses:?}");
    // A second is the promise; the machine of a test may be busy with others.
    assert!(slowest < Duration::from_secs(3), "the roles were swapped in {slowest:?}");
}
