//! Does the simulator bite? Each rule of the protocol is switched off in turn, and must be missed by some seed.
//!
//! ```text
//!   rule off ─► seeds 1, 2, 3 ... ─► first finding          none within the budget: the test fails
//! ```

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rig::replication::Rule;

use super::run;
use super::seeds::quiet_panics;

/// Seeds that a rule may need.
const SEEDS: u64 = 12_000;
const EVENTS: u64 = 5000;

/// Every rule that seeds must find. Not among them:
///
/// | rule | why |
/// |---|---|
/// | `StopOnSplitBrain` | needs a force with the number of a switchover that it did not hear of: story K3 |
/// | `KeepNumber`, `EveryConfigPromotes` | need one crash or one promotion between two given messages: stories K2 and K4a |
/// | `UnansweredSet` | needs a member that goes while the record of its return is on its way to the disk: story K8 |
/// | `MayBeNamed` | needs a member that goes and another that comes in one and the same turn, and a contrary coordinator: one seed in thirty thousand (31,339); `replication::tests::outside` has it as a test |
/// | `LoggedConfigBinds` | needs a replica that is away at the change and nothing else: story K4c |
/// | `BlankIsNew` | a duty of the story's machines; here every new disk has a new name: story K9 |
/// | `EpochRecordFirst` | to lose something needs four terms in a row (figure 8 of Raft), each with a crash at one place: story R6 shows the commit that must not be |
/// | `CaughtUpBeforeCounted` | a commit waits for whoever is counted, so it takes the loss of all the others just then: story K7 |
/// | `AckEpoch` | does not matter here: acknowledgements count on one link only, in order, and a hello makes them void |
/// | `Adrift` | what is lost without it was answered on the side of a force, which excuses it: no checker can blame anybody |
/// | `Lacking` | needs a disk that goes back, which no fault makes here: story S41 |
/// | `HashCompared` | equal histories with different hashes come from a forged log alone, which no fault makes here |
const RULES: &[Rule] = &[
    Rule::PromotionQuorum,
    Rule::PromisesFirst,
    Rule::MostAdvancedLog,
    Rule::EpochBeforeVersion,
    Rule::LowerEpochRefused,
    Rule::PromiseDurable,
    Rule::MinReplicas,
    Rule::ReplicaSync,
    Rule::PrimarySync,
    Rule::NewEpochAtRestart,
    Rule::RestartQuorum,
    Rule::SetDurable,
    Rule::AdoptedDurable,
    Rule::ForceOutsideSync,
    Rule::BothConfigs,
    Rule::MemberCheck,
    Rule::NoRollbackByTimer,
    Rule::RescueFirst,
    Rule::KeyFirst,
    Rule::Quarantine,
    Rule::SwapFirst,
    Rule::RecordedLeads,
    Rule::LeaseAlone,
    Rule::AwaitValue,
    Rule::OutdatedOffer,
];

/// Those among them that only a cluster with a coordinator has.
const COORDINATED: &[Rule] = &[Rule::SwapFirst, Rule::RecordedLeads, Rule::LeaseAlone, Rule::AwaitValue];

/// Those that need a network as contrary as that coordinator.
const CONTRARY: &[Rule] = &[Rule::OutdatedOffer];

/// The first seed that misses the rule, and what it says.
fn first(rule: Rule) -> Option<(u64, String)> {
    let run = match rule {
        rule if COORDINATED.contains(&rule) => run::coordinated,
        rule if CONTRARY.contains(&rule) => run::contrary,
        _ => run::seed,
    };
    (1..=SEEDS).find_map(|seed| {
        let finding = run(seed, EVENTS, Some(rule), false).finding?;
        Some((seed, format!("{}: {}", finding.rule, finding.text)))
    })
}

#[test]
fn every_rule_that_is_switched_off_is_missed_by_some_seed() {
    quiet_panics();
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                while let Some(rule) = RULES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if std::env::var("RIG_SIM_RULES").is_ok_and(|names| !names.contains(&format!("{rule:?}"))) {
                        continue;
                    }
                    let found = first(*rule);
                    println!("{rule:?}: {found:?}");
                    lines.lock().unwrap().push((*rule, found));
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let lines = lines.into_inner().unwrap();
    let missing: Vec<Rule> = lines.iter().filter(|(_, found)| found.is_none()).map(|(rule, _)| *rule).collect();
    assert!(missing.is_empty(), "nobody misses {missing:?} within {SEEDS} seeds");
}
