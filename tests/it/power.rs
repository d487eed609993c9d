//! The power of a node's disk is cut, on real file systems: what was answered is there when it is back, and the node
//! starts without a hand.
//!
//! ```text
//!   load ─► cut (`support::PowerDisk`) ─► the node finds out, or went with it ─► mount again ─► verify, start, compare
//! ```
//!
//! Every test run has a few cuts of each kind. The long one is the same functions with more, here 100 of each file
//! system in all: `RIG_POWER_CUTS=20 cargo test --locked --test it power:: -- --nocapture`

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cluster_crash::{loaded, primary};
use crate::storage::{Known, last_words, segments, write_until_it_fails};
use crate::support::{Cluster, Home, Node, PowerDisk, Ran};

const CLIENTS: usize = 6;
/// So that a new segment is begun every fifty operations.
const LARGE: usize = 300_000;
/// Cuts of one disk, each on top of what the last one left.
const CUTS_OF_A_DISK: usize = 5;

/// Cuts of each kind.
fn cuts(short: usize) -> usize {
    std::env::var("RIG_POWER_CUTS").map_or(short, |text| text.parse().expect("RIG_POWER_CUTS is a number"))
}

/// What the node is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum During {
    Load,
    Roll,
    Compaction,
}

/// A time from 0 to `most` that differs from cut to cut.
fn pause(cut: usize, most: Duration) -> Duration {
    most * (cut as u32 * 7919 % 1000) / 1000
}

/// Cuts the power of a disk, and ends the node on it: it finds out by itself and says so, or goes at the same instant.
/// Gives its exit code where it had one.
fn cut(disk: &PowerDisk, node: &mut Node, finds_out: bool) -> (Ran, Option<i32>) {
    if !finds_out {
        node.signal("STOP");
    }
    let ran = disk.cut();
    let code = if finds_out { node.ended_within(Duration::from_secs(3)).flatten() } else { None };
    node.kill();
    (ran, code)
}

fn in_background(home: &Home, arguments: &[&str]) -> Child {
    home.rig(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

const DIR: &str = "n1";

/// Waits until the node is where its power is to be cut; true if it came there.
fn reach(home: &Home, during: During, number: usize, answered: &AtomicUsize) -> bool {
    let folder = home.path(DIR);
    let before = segments(&folder).len();
    let is_there = || match during {
        During::Load => answered.load(Ordering::Relaxed) >= number * 37 % 160,
        During::Roll | During::Compaction => segments(&folder).len() > before,
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_there() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    if during == During::Compaction {
        let mut making = in_background(home, &["snapshot", "create", "-D", DIR]);
        if number % 4 == 3 {
            std::thread::sleep(pause(number, Duration::from_millis(40)));
        } else {
            making.wait().unwrap();
            let mut compacting = in_background(home, &["log", "compact", "--keep", "1", "-D", DIR]);
            std::thread::sleep(pause(number, Duration::from_millis(60)));
            compacting.kill().unwrap();
            compacting.wait().unwrap();
        }
        making.kill().unwrap();
        making.wait().unwrap();
    } else {
        std::thread::sleep(pause(number, Duration::from_millis(5)));
    }
    true
}

/// Clients write, each until it fails, and the power is cut at some point.
fn write_and_cut(home: &Home, disk: &PowerDisk, node: &mut Node, during: During, number: usize) -> Known {
    let (answered, address) = (AtomicUsize::new(0), node.address().to_owned());
    let pad = if during == During::Load { 100 } else { LARGE };
    let finds_out = number.is_multiple_of(2);
    let mut known = Known::default();
    // Nothing may panic before the node is gone: the clients end with it, and the scope waits for them.
    let (reached, ran, code) = std::thread::scope(|scope| {
        let one = |client: usize| write_until_it_fails(&address, &format!("c{number}-{client}"), pad, &answered);
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || one(client))).collect();
        let reached = reach(home, during, number, &answered);
        let (ran, code) = cut(disk, node, finds_out);
        clients.into_iter().for_each(|client| known.extend(client.join().unwrap()));
        (reached, ran, code)
    });
    assert!(reached, "{during:?}, cut {number}: it never came there; {}", home.serve_log());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    if finds_out {
        assert_eq!(code, Some(1), "{during:?}, cut {number}: {}", home.serve_log());
        last_words(&home.serve_log());
    }
    known
}

/// The node starts by itself on what the disk holds, and has all that was answered.
fn comes_back(home: &Home, disk: &PowerDisk, during: During, known: &mut Known) -> Node {
    disk.power_on();
    home.ok(&["log", "verify", "-D", DIR]);
    let node = Node::serve(home, &["-D", DIR]);
    known.resolve(node.address(), if during == During::Load { 100 } else { LARGE });
    known.assert_by_outcome(node.address());
    let oldest = known.assert_in_rest(home, DIR);
    assert!(oldest == 1 || during == During::Compaction, "the log begins with {oldest}");
    home.ok(&["log", "verify", "-D", DIR]);
    node
}

fn one_node(file_system: &str, during: During) {
    let (count, test) = (cuts(2), format!("power cuts on {file_system}, {during:?}"));
    let (begin, mut answered) = (Instant::now(), 0);
    for first in (0..count).step_by(CUTS_OF_A_DISK) {
        let Some(disk) = PowerDisk::new(file_system, &test) else { return };
        let home = Home::new();
        disk.link(&home.path(DIR));
        home.ok(&["init", DIR]);
        let mut node = Node::serve(&home, &["-D", DIR]);
        let mut known = Known::default();
        for number in first..count.min(first + CUTS_OF_A_DISK) {
            known.extend(write_and_cut(&home, &disk, &mut node, during, number));
            node = comes_back(&home, &disk, during, &mut known);
        }
        node.kill();
        home.ok(&["log", "verify", "-D", DIR, "--deep"]);
        answered += known.answered.len();
    }
    println!("{test}: {count} cuts in {:?}, {answered} operations answered, none lost", begin.elapsed());
}

#[test]
fn under_load_on_ext4_nothing_answered_is_lost() {
    one_node("ext4", During::Load);
}

#[test]
fn under_load_on_xfs_nothing_answered_is_lost() {
    one_node("xfs", During::Load);
}

#[test]
fn while_a_segment_begins_on_ext4_nothing_answered_is_lost() {
    one_node("ext4", During::Roll);
}

#[test]
fn while_a_segment_begins_on_xfs_nothing_answered_is_lost() {
    one_node("xfs", During::Roll);
}

#[test]
fn while_it_writes_a_snapshot_or_compacts_on_ext4_nothing_answered_is_lost() {
    one_node("ext4", During::Compaction);
}

#[test]
fn while_it_writes_a_snapshot_or_compacts_on_xfs_nothing_answered_is_lost() {
    one_node("xfs", During::Compaction);
}

/// Two nodes, each with a disk that can be cut.
struct Pair {
    disks: [PowerDisk; 2],
    noticed: usize,
}

impl Pair {
    fn new(file_system: &str, test: &str, mode: &str) -> Option<(Self, Cluster)> {
        let disks = [PowerDisk::new(file_system, test)?, PowerDisk::new(file_system, test)?];
        let home = Home::new();
        disks.iter().zip(["n1", "n2"]).for_each(|(disk, name)| disk.link(&home.path(name)));
        let cluster = Cluster::at(home, 2, &["--replication", mode, "--sync-timeout", "500ms"]);
        Some((Self { disks, noticed: 0 }, cluster))
    }

    /// Cuts the power of these nodes at one time.
    fn cut(&mut self, cluster: &mut Cluster, victims: &[usize], finds_out: bool) {
        if !finds_out {
            victims.iter().for_each(|victim| cluster.node(*victim).signal("STOP"));
        }
        for victim in victims {
            let (ran, code) = cut(&self.disks[victim - 1], cluster.node(*victim), finds_out);
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            // A node that had nothing to write when the other one was gone has not found out.
            assert!(matches!(code, None | Some(1)), "n{victim}: {code:?}; {}", cluster.home.serve_log());
            self.noticed += usize::from(code.is_some());
        }
    }

    fn start(&self, cluster: &mut Cluster, victims: &[usize]) {
        for victim in victims.iter().rev() {
            self.disks[victim - 1].power_on();
            cluster.home.ok(&["log", "verify", "-D", &format!("n{victim}")]);
            cluster.serve(*victim, &[]);
        }
    }

    /// Brings them back, the last one first. They settle by themselves.
    fn power_on(&self, cluster: &mut Cluster, victims: &[usize]) {
        self.start(cluster, victims);
        cluster.settle();
    }
}

/// The primary's disk, the replica's, or both.
fn pair(file_system: &str) {
    for mode in ["sync", "semi-sync"] {
        let test = format!("power cuts on {file_system}, {mode} pair");
        let Some((mut pair, mut cluster)) = Pair::new(file_system, &test, mode) else { return };
        let count = cuts(2).div_ceil(2);
        loaded(&mut cluster, &test, count, |cluster, number| {
            let primary = primary(cluster);
            let victims = [vec![primary], vec![3 - primary], vec![primary, 3 - primary]][number % 3].clone();
            std::thread::sleep(pause(number, Duration::from_millis(20)));
            pair.cut(cluster, &victims, number / 3 % 2 == 0);
            pair.power_on(cluster, &victims);
        });
        println!("{} of the nodes found out by themselves", pair.noticed);
    }
}

/// Waits until they have settled. A promotion that was cut off may have left a pair in which the old primary has promised
/// and the new one had not begun: nobody leads unasked then, and the operator's command is given again, as it had no
/// answer. True if it had to be.
fn settles_or_is_asked_again(cluster: &Cluster, new: usize) -> bool {
    let is = |number: usize, role: &str, state: &str| {
        let status = cluster.seen(number);
        status["role"] == role && status["state"] == state
    };
    let mut idle_since = Instant::now();
    while idle_since.elapsed() < Duration::from_secs(2) {
        if [1, 2].iter().any(|number| is(*number, "primary", "serving")) {
            cluster.settle();
            return false;
        }
        if ![1, 2].iter().all(|number| is(*number, "replica", "recovering")) {
            idle_since = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.home.ok(&["promote", &format!("n{new}")]);
    cluster.settle();
    true
}

/// In the middle of a promotion: of a replica whose primary lives, or whose primary's power was cut just before.
fn promotion(file_system: &str) {
    let test = format!("power cuts on {file_system}, promotion");
    let Some((mut pair, mut cluster)) = Pair::new(file_system, &test, "sync") else { return };
    let mut asked_again = 0;
    loaded(&mut cluster, &test, cuts(2), |cluster, number| {
        let (old, is_planned) = (primary(cluster), number.is_multiple_of(2));
        let new = 3 - old;
        let name = format!("n{new}");
        if !is_planned {
            pair.cut(cluster, &[old], number % 4 == 1);
        }
        let mut promoting = in_background(&cluster.home, &["promote", &name]);
        std::thread::sleep(pause(number, Duration::from_millis(80)));
        let mut victims =
            if is_planned { [vec![old], vec![new], vec![old, new]][number / 2 % 3].clone() } else { vec![new] };
        pair.cut(cluster, &victims, number % 4 < 2);
        promoting.kill().unwrap();
        promoting.wait().unwrap();
        if !is_planned {
            victims.push(old);
        }
        pair.start(cluster, &victims);
        asked_again += usize::from(settles_or_is_asked_again(cluster, new));
    });
    println!("{} of the nodes found out by themselves; {asked_again} promotions were asked for again", pair.noticed);
}

#[test]
fn of_a_pair_on_ext4_either_or_both_come_back_and_nothing_answered_is_lost() {
    pair("ext4");
}

#[test]
fn of_a_pair_on_xfs_either_or_both_come_back_and_nothing_answered_is_lost() {
    pair("xfs");
}

#[test]
fn at_either_end_of_a_promotion_on_ext4_nothing_answered_is_lost() {
    promotion("ext4");
}

#[test]
fn at_either_end_of_a_promotion_on_xfs_nothing_answered_is_lost() {
    promotion("xfs");
}
