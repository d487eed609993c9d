//! Two real nodes under load, killed again and again: what was answered is in both logs, once, and the logs are equal.
//!
//! A short run belongs to every test run. Long ones are the same functions with more cycles:
//! `RIG_CLUSTER_CYCLES=200 cargo test --locked --test it cluster_crash -- --nocapture`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{Cluster, load};

fn cycles(short: usize) -> usize {
    std::env::var("RIG_CLUSTER_CYCLES").map_or(short, |text| text.parse().expect("RIG_CLUSTER_CYCLES is a number"))
}

/// A pair of this mode under load.
fn under_load(mode: &str, cycles: usize, cycle: impl FnMut(&mut Cluster, usize)) -> BTreeSet<u16> {
    let mut cluster = Cluster::new(2, &["--replication", mode, "--sync-timeout", "500ms"]);
    loaded(&mut cluster, mode, cycles, cycle)
}

/// A pair under load while `cycle` does something to it, as often as asked for. Gives every status that a client saw.
pub(crate) fn loaded(
    cluster: &mut Cluster,
    what: &str,
    cycles: usize,
    mut cycle: impl FnMut(&mut Cluster, usize),
) -> BTreeSet<u16> {
    let begin = Instant::now();
    let seen = load::under_load(cluster, |cluster, load| {
        for number in 0..cycles {
            load.wait_for(20);
            cycle(cluster, number);
        }
    });
    println!("{what}: {cycles} cycles in {:?}, {} operations answered, none lost", begin.elapsed(), seen.answered);
    seen.statuses
}

pub(crate) fn primary(cluster: &Cluster) -> usize {
    [1, 2].into_iter().find(|number| cluster.seen(*number)["role"] == "primary").unwrap_or(1)
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
