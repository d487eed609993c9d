//! Fail-overs of real nodes, each on a network of its own, under load: what was answered is there once, one node answers
//! in one epoch, and every register is linearizable.
//!
//! ```text
//!   settle ─► fault ─► an answer to what was sent after it ─► heal, restart ─► settle …   then `judge`, over everything
//! ```
//!
//! With a coordinator nobody helps: each kind of fault has a node that leads by itself, or leaves the one that led where
//! it is. Without one the operator promotes. A short run belongs to every test run; the long one is the same functions
//! with more rounds: `RIG_FAILOVERS=200 cargo test --locked --test it failover -- --nocapture`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::histories::{History, Load, under_load};
use crate::support::judge::{Log, Record, judge};
use crate::support::{Host, Lab, inside};

/// What a primary may lean on while nobody confirms it, in seconds.
const LEASE: u64 = 2;
/// After so long without a lease nobody waits any more.
const BEYOND_LEASE: Duration = Duration::from_millis(LEASE * 1000 + 1000);
/// A primary that stays primary is silent for so long at most: its time-out for a member, and one record of the new set.
const SILENCE: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Coordinator,
    Operator,
}

/// What is done, to the primary if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Pause,
    Stop,
    /// From all other machines.
    Isolate,
    /// It is not heard by the other nodes, and by etcd.
    Mute,
    /// It hears neither the other nodes nor etcd.
    Deafen,
    DiskFull,
    ToReplicas,
    FromReplicas,
    Replicas,
    ToEtcd,
    FromEtcd,
    Etcd,
    /// The replicas and etcd.
    ReplicasToEtcd,
    EtcdToReplicas,
    ReplicasAndEtcd,
    KillReplica,
    KillEtcdLeader,
    LoseEtcd,
    LoseEtcdThenKill,
}

use Fault::*;

/// Every kind, so ordered that the first few are the ones that a short run should have.
const ALL: [Fault; 20] = [
    Kill,
    Isolate,
    KillEtcdLeader,
    Stop,
    Pause,
    LoseEtcdThenKill,
    Replicas,
    Kill,
    Mute,
    Etcd,
    DiskFull,
    Deafen,
    LoseEtcd,
    ToReplicas,
    Stop,
    FromReplicas,
    Pause,
    ToEtcd,
    FromEtcd,
    KillReplica,
];

/// For every second pass.
const REST: [Fault; 3] = [ReplicasToEtcd, EtcdToReplicas, ReplicasAndEtcd];

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// Another node leads.
    Another,
    /// The same node leads, and answers go on.
    TheSame,
    /// Neither is promised: it goes on when the fault is over, if not before.
    Either,
}

impl Fault {
    fn follows(self) -> Follows {
        match self {
            Kill | Pause | Stop | Isolate | LoseEtcdThenKill | DiskFull => Follows::Another,
            Mute | Deafen => Follows::Either,
            _ => Follows::TheSame,
        }
    }
}

/// How one round went.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// From the fault to the answer of something that was sent after it; the longest time without an answer where the
    /// same node leads on. Nothing: only when the fault was over.
    took: Option<Duration>,
    is_other: bool,
}

fn rounds(short: usize) -> usize {
    std::env::var("RIG_FAILOVERS").map_or(short, |text| text.parse().expect("RIG_FAILOVERS is a number"))
}

/// Waits for the first answer to what was sent after `time`, by any node but one, and gives when it came.
fn first_answer(load: &Load, time: u64, but: Option<&str>, patience: Duration) -> Option<Duration> {
    let deadline = Instant::now() + patience;
    loop {
        match load.first_answer_after(time, but) {
            Some(took) => return Some(took),
            None if Instant::now() > deadline => return None,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Every way from one of these to one of those.
fn ways(from: &[Host], to: &[Host]) -> Vec<(Host, Host)> {
    from.iter().flat_map(|one| to.iter().map(|other| (*one, *other))).collect()
}

fn both_ways(one: &[Host], other: &[Host]) -> Vec<(Host, Host)> {
    [ways(one, other), ways(other, one)].concat()
}

/// Makes it happen.
fn strike(lab: &mut Lab, fault: Fault, primary: usize) {
    let (others, etcd) = (lab.others(primary).collect::<Vec<_>>(), lab.etcd().collect::<Vec<_>>());
    let (own, rest) = ([Host::Node(primary)], [&others[..], &etcd].concat());
    match fault {
        Kill => lab.node(primary).kill(),
        Pause => lab.node(primary).signal("STOP"),
        Stop => lab.node(primary).signal("TERM"),
        Isolate => lab.cut(both_ways(&own, &rest)),
        Mute => lab.cut(ways(&own, &rest)),
        Deafen => lab.cut(ways(&rest, &own)),
        DiskFull => lab.fill(primary),
        ToReplicas => lab.cut(ways(&own, &others)),
        FromReplicas => lab.cut(ways(&others, &own)),
        Replicas => lab.cut(both_ways(&own, &others)),
        ToEtcd => lab.cut(ways(&own, &etcd)),
        FromEtcd => lab.cut(ways(&etcd, &own)),
        Etcd => lab.cut(both_ways(&own, &etcd)),
        ReplicasToEtcd => lab.cut(ways(&others, &etcd)),
        EtcdToReplicas => lab.cut(ways(&etcd, &others)),
        ReplicasAndEtcd => lab.cut(both_ways(&others, &etcd)),
        KillReplica => lab.node(replica_of(lab, primary)).kill(),
        KillEtcdLeader => {
            let leader = lab.etcd_leader().unwrap();
            lab.kill_etcd(leader);
        }
        LoseEtcd => lose_etcd(lab),
        LoseEtcdThenKill => {
            lose_etcd(lab);
            std::thread::sleep(Duration::from_millis(300));
            lab.node(primary).kill();
        }
    }
}

fn replica_of(lab: &Lab, primary: usize) -> usize {
    primary % lab.count() + 1
}

/// Two of three members, the leader among them.
fn lose_etcd(lab: &mut Lab) {
    let leader = lab.etcd_leader().unwrap();
    [leader, leader % 3 + 1].iter().for_each(|member| lab.kill_etcd(*member));
}

/// Makes it good again.
fn mend(lab: &mut Lab, fault: Fault, primary: usize) {
    lab.heal();
    match fault {
        Kill | LoseEtcdThenKill => lab.serve(primary, &[]),
        KillReplica => lab.serve(replica_of(lab, primary), &[]),
        Pause => lab.node(primary).signal("CONT"),
        Stop => {
            assert_eq!(lab.node(primary).wait(), Some(0), "{}", lab.last_words());
            lab.serve(primary, &[]);
        }
        DiskFull => lab.make_room(primary),
        _ => {}
    }
    lab.restart_etcd();
    lab.settle();
}

/// Whether those who should miss what is cut or gone do so: else nothing was done, and nothing is shown.
fn is_missed(lab: &Lab, fault: Fault, primary: usize) -> bool {
    let set = || lab.seen(primary)["replication"]["in_sync"].as_array().map_or(0, Vec::len);
    let is_blind = |number: usize| lab.seen(number)["coordinator"]["reachable"] == false;
    let mut others = (1..=lab.count()).filter(|number| *number != primary);
    match fault {
        ToReplicas | FromReplicas | Replicas | KillReplica => set() < lab.count(),
        ToEtcd | FromEtcd | Etcd => is_blind(primary),
        ReplicasToEtcd | EtcdToReplicas | ReplicasAndEtcd => others.all(is_blind),
        LoseEtcd => is_blind(primary) && others.all(is_blind),
        _ => true,
    }
}

/// Waits for what follows from a fault, and gives how long the clients had nothing. `before` is the time of the fault, and
/// the refusals for want of room until then.
fn follow(lab: &mut Lab, load: &Load, fault: Fault, primary: usize, before: (u64, usize)) -> Option<Duration> {
    let ((mut begin, refused), old) = (before, format!("n{primary}"));
    let deadline = Instant::now() + BEYOND_LEASE;
    while fault == DiskFull && load.refused_for_room() == refused {
        assert!(Instant::now() < deadline, "the disk is not full; {}", lab.last_words());
        std::thread::sleep(Duration::from_millis(1));
        begin = load.now();
    }
    match fault.follows() {
        Follows::Another => {
            if fault == LoseEtcdThenKill {
                // Nobody leads unasked without etcd.
                std::thread::sleep(BEYOND_LEASE);
                assert_eq!(load.first_answer_after(begin, None), None, "without etcd; {}", lab.last_words());
                begin = load.now();
                lab.restart_etcd();
            }
            let took = first_answer(load, begin, Some(&old), PATIENCE);
            assert!(took.is_some(), "nobody answers; {}", lab.last_words());
            took
        }
        Follows::TheSame => {
            std::thread::sleep(BEYOND_LEASE);
            let silence = load.longest_silence(begin, load.now());
            assert!(silence < SILENCE, "no answer for {silence:?}; {}", lab.last_words());
            assert!(is_missed(lab, fault, primary), "{fault:?} was not noticed; {}", lab.last_words());
            Some(silence)
        }
        Follows::Either => {
            std::thread::sleep(BEYOND_LEASE);
            first_answer(load, begin, None, BEYOND_LEASE)
        }
    }
}

/// One fault, and what comes of it.
fn round(lab: &mut Lab, load: &Load, fault: Fault, who: Who, number: usize) -> Round {
    let primary = lab.settle();
    (1..=lab.count()).for_each(|node| lab.make_room(node));
    load.begin_round(number);
    std::thread::sleep(Duration::from_millis(300));
    print!("round {number}: {fault:?} of n{primary}: ");
    let refused = load.refused_for_room();
    strike(lab, fault, primary);
    let before = (load.now(), refused);
    if who == Who::Operator {
        let heir = format!("n{}", replica_of(lab, primary));
        let promoted = lab.run(&["promote", &heir, "--timeout", "10s"]);
        assert_eq!(promoted.code, Some(0), "{promoted:#?}; {}", lab.last_words());
    }
    let took = follow(lab, load, fault, primary, before);
    // Who has just begun to lead is shaken by who comes back at once, or has led for a moment.
    std::thread::sleep(Duration::from_millis(if number.is_multiple_of(2) { 0 } else { 500 }));
    mend(lab, fault, primary);
    let answered = first_answer(load, load.now(), None, PATIENCE);
    assert!(answered.is_some(), "nobody answers when it is over; {}", lab.last_words());
    let is_other = lab.settle() != primary;
    println!("{took:.3?}, {}", if is_other { "another leads" } else { "it leads on" });
    let is_as_wanted = match fault.follows() {
        Follows::Another => is_other,
        Follows::TheSame => !is_other,
        Follows::Either => true,
    };
    assert!(is_as_wanted, "{}", lab.last_words());
    Round { took, is_other }
}

/// The whole log of a node.
fn log(lab: &Lab, number: usize) -> Log {
    const PAGE: usize = 5000;
    let status = lab.seen(number);
    let text = |name: &str| status[name].as_str().unwrap().to_owned();
    let mut records: Vec<Record> = Vec::new();
    loop {
        let reply = lab.get(number, &format!("/log?from={}&limit={PAGE}", records.len() + 1)).unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let lines = std::str::from_utf8(&reply.body).unwrap().lines();
        let before = records.len();
        records
            .extend(lines.map(|line| serde_json::from_str::<Record>(line).unwrap_or_else(|e| panic!("{e}: {line}"))));
        if records.len() < before + PAGE {
            return Log { name: text("name"), id: text("node_id"), records };
        }
    }
}

/// The logs of all nodes, when nothing is under way any more.
fn logs(lab: &Lab) -> Vec<Log> {
    lab.settle();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let heads: Vec<_> = (1..=lab.count()).map(|number| lab.seen(number)["applied"].clone()).collect();
        if heads.iter().all(|head| *head == heads[0]) {
            break;
        }
        assert!(Instant::now() < deadline, "{heads:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    (1..=lab.count()).map(|number| log(lab, number)).collect()
}

/// What each kind took; with a coordinator it must not be too long.
fn table(rounds: &[(Fault, Round)], who: Who) {
    let mut kinds: BTreeMap<Fault, Vec<Round>> = BTreeMap::new();
    rounds.iter().for_each(|(fault, round)| kinds.entry(*fault).or_default().push(*round));
    println!("{:<18} {:>6} {:>14} {:>10} {:>10}", "fault", "rounds", "another leads", "median", "longest");
    for (fault, rounds) in &kinds {
        let others = rounds.iter().filter(|round| round.is_other).count();
        let mut times: Vec<Duration> = rounds.iter().map(|round| round.took.unwrap_or(Duration::MAX)).collect();
        times.sort_unstable();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        let show =
            |time: Duration| if time == Duration::MAX { "never".into() } else { format!("{} ms", time.as_millis()) };
        let name = format!("{fault:?}");
        println!("{name:<18} {:>6} {others:>14} {:>10} {:>10}", rounds.len(), show(median), show(longest));
        // One alone is chance.
        if who == Who::Coordinator && times.len() > 4 && fault.follows() == Follows::Another {
            let most = if *fault == Stop { 1000 } else { LEASE * 1000 + 1500 };
            // With etcd lost, it has to elect a leader first.
            let most = if *fault == LoseEtcdThenKill { most + 2500 } else { most };
            assert!(median < Duration::from_millis(most), "{fault:?}: {median:?}");
        }
    }
}

/// These faults one after the other under load, and the judgement.
fn course(lab: &mut Lab, who: Who, faults: &[Fault]) -> (History, Vec<Log>) {
    let begin = Instant::now();
    let (history, rounds) = under_load(lab.addresses(), |load| {
        let each = faults.iter().enumerate();
        each.map(|(number, fault)| (*fault, round(lab, load, *fault, who, number))).collect::<Vec<_>>()
    });
    let logs = logs(lab);
    table(&rounds, who);
    let (figures, faults) = judge(&history, &logs);
    println!("{:?}: {figures:#?}", begin.elapsed());
    assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(10)]);
    (history, logs)
}

/// So many faults for a course of this number.
fn schedule(count: usize) -> Vec<Fault> {
    let pass = |number: usize| ALL.into_iter().chain(REST.into_iter().take(if number % 2 == 1 { 3 } else { 0 }));
    (0..).flat_map(pass).take(count).collect()
}

#[test]
fn an_operator_promotes_and_what_was_answered_is_there_once_and_a_history_that_lies_is_caught() {
    inside(
        "failover::an_operator_promotes_and_what_was_answered_is_there_once_and_a_history_that_lies_is_caught",
        || {
            let mut lab = Lab::new(3, None, &["--replication", "sync", "--sync-timeout", "500ms"]);
            let (history, mut logs) = course(&mut lab, Who::Operator, &[Kill, Isolate, Pause]);
            // What is judged right is not right whatever it is.
            let lied = |history: &History, logs: &[Log]| !judge(history, logs).1.is_empty();
            let last = history.sent.iter().rposition(|sent| sent.put.is_some()).unwrap();
            let mut other = history.clone();
            other.sent[last].put.as_mut().unwrap().1 += 1;
            assert!(lied(&other, &logs), "another value than was written");
            let mut other = history.clone();
            let read = other.found.iter().rposition(|found| found.is_marked && found.value.is_some()).unwrap();
            other.found[read].value = None;
            assert!(lied(&other, &logs), "a read that does not see what is there");
            for log in &mut logs {
                log.records.retain(|record| record.key.as_deref() != Some(&history.sent[0].key));
            }
            assert!(lied(&history, &logs), "an answered operation that is in no log");
        },
    );
}

#[test]
fn two_nodes_and_a_coordinator_lead_by_themselves_and_lose_nothing() {
    inside("failover::two_nodes_and_a_coordinator_lead_by_themselves_and_lose_nothing", || {
        let mut lab = Lab::new(2, Some(LEASE), &["--replication", "semi-sync", "--sync-timeout", "500ms"]);
        course(&mut lab, Who::Coordinator, &schedule(rounds(8).div_ceil(2)));
    });
}

#[test]
fn three_nodes_and_a_coordinator_lead_by_themselves_and_lose_nothing() {
    inside("failover::three_nodes_and_a_coordinator_lead_by_themselves_and_lose_nothing", || {
        let mut lab = Lab::new(3, Some(LEASE), &["--replication", "semi-sync", "--sync-timeout", "500ms"]);
        course(&mut lab, Who::Coordinator, &schedule(rounds(2) / 2));
    });
}
