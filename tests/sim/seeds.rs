//! Seeds in numbers: those of a list, those of every day, and random ones for as long as one likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::run::{self, Outcome};
use rig::replication::Rule;

const SEEDS: u64 = 2000;
const EVENTS: u64 = 5000;
/// So many seeds are run twice and compared.
const TWICE: u64 = 50;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found `{text}`")))
}

fn events() -> u64 {
    number("RIG_SIM_EVENTS").unwrap_or(EVENTS)
}

/// A panic inside a seed is a finding; its text is in the report, not between the lines of the test.
pub fn quiet_panics() {
    if number("RIG_SIM_SEED").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

fn show(seed: u64, outcome: &Outcome) -> String {
    let finding = outcome.finding.as_ref().expect("something was found");
    format!("seed {seed}: {}: {}", finding.rule, finding.text)
}

/// The end of the story of a seed.
fn story(run: Run, seed: u64) -> String {
    let outcome = run(seed, events(), None, true);
    let lines = number("RIG_SIM_LINES").unwrap_or(60) as usize;
    let from = outcome.trace.len().saturating_sub(lines);
    outcome.trace[from..].join("\n")
}

/// A seed without a coordinator, or with one.
type Run = fn(u64, u64, Option<Rule>, bool) -> Outcome;

/// Runs seeds on both cores until `next` gives none; gives what was found, and how many events, answers, installed
/// snapshots and terms taken by nodes themselves there were.
fn on_both_cores(run: Run, next: impl Fn() -> Option<u64> + Sync) -> (Vec<(u64, Outcome)>, [u64; 4]) {
    let (found, counts) = (Mutex::new(Vec::new()), [const { AtomicU64::new(0) }; 4]);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let outcome = run(seed, events(), None, false);
                    let more = [outcome.events, outcome.answers as u64, outcome.installed, outcome.elected];
                    for (count, more) in counts.iter().zip(more) {
                        count.fetch_add(more, Ordering::Relaxed);
                    }
                    if outcome.finding.is_some() {
                        // At once: a run of an hour may be ended before its end.
                        println!("{}", show(seed, &outcome));
                        found.lock().unwrap().push((seed, outcome));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(seed, _)| *seed);
    (found, counts.map(AtomicU64::into_inner))
}

fn report(run: Run, found: &[(u64, Outcome)]) {
    let found: Vec<&(u64, Outcome)> = found.iter().filter(|(_, outcome)| outcome.finding.is_some()).collect();
    let Some((first, _)) = found.first() else { return };
    drop(std::panic::take_hook());
    let lines: Vec<String> = found.iter().take(40).map(|(seed, outcome)| show(*seed, outcome)).collect();
    panic!(
        "{} seeds found something:\n{}\n\nthe end of seed {first}:\n{}",
        found.len(),
        lines.join("\n"),
        story(run, *first)
    );
}

#[test]
fn no_seed_finds_anything() {
    quiet_panics();
    if let Some(seed) = number("RIG_SIM_SEED") {
        let outcome = run::seed(seed, events(), None, false);
        println!("seed {seed}: {} events, {} answers, digest {:x}", outcome.events, outcome.answers, outcome.digest);
        return report(run::seed, &[(seed, outcome)]);
    }
    let begin = Instant::now();
    let next = AtomicU64::new(1);
    let seeds = number("RIG_SIM_SEEDS").unwrap_or(SEEDS);
    let first: Vec<(u64, Outcome)> = remembered(include_str!("seeds.txt"))
        .into_iter()
        .map(|seed| (seed, run::seed(seed, self::events(), None, false)))
        .collect();
    report(run::seed, &first);
    let (found, [events, answers, installed, _]) =
        on_both_cores(run::seed, || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| *s <= seeds));
    let took = begin.elapsed();
    println!(
        "{seeds} seeds, {events} events, {answers} answers, {installed} snapshots installed, {took:?}, {:.0} events/s",
        events as f64 / took.as_secs_f64()
    );
    assert!(installed > 0 || seeds < 100, "nobody was ever behind a log");
    report(run::seed, &found);
}

#[test]
fn no_seed_finds_anything_with_a_coordinator() {
    with_a_coordinator(run::coordinated, include_str!("seeds_coordinated.txt"));
}

#[test]
fn no_seed_finds_anything_with_a_contrary_coordinator() {
    with_a_coordinator(run::contrary, include_str!("seeds_contrary.txt"));
}

fn with_a_coordinator(run: Run, once_failed: &str) {
    quiet_panics();
    if let Some(seed) = number("RIG_SIM_SEED") {
        return report(run, &[(seed, run(seed, events(), None, false))]);
    }
    let first: Vec<(u64, Outcome)> =
        remembered(once_failed).into_iter().map(|seed| (seed, run(seed, self::events(), None, false))).collect();
    report(run, &first);
    let next = AtomicU64::new(1);
    let seeds = number("RIG_SIM_SEEDS").unwrap_or(SEEDS);
    let (found, [events, answers, _, elected]) =
        on_both_cores(run, || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| *s <= seeds));
    println!("{seeds} seeds with a coordinator, {events} events, {answers} answers, {elected} terms taken by nodes");
    assert!(elected > 0 || seeds < 100, "nobody has ever taken over");
    report(run, &found);
}

/// Seeds that once failed.
fn remembered(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a seed")).collect()
}

#[test]
fn equal_seeds_give_equal_stories() {
    quiet_panics();
    if number("RIG_SIM_SEED").is_some() {
        return;
    }
    for seed in 1..=TWICE.min(number("RIG_SIM_SEEDS").unwrap_or(TWICE)) {
        let (one, other) = (run::seed(seed, events(), None, false), run::seed(seed, events(), None, false));
        assert_eq!((one.digest, one.events), (other.digest, other.events), "seed {seed}");
    }
}

#[test]
fn random_seeds_for_as_long_as_asked() {
    let Some(seconds) = number("RIG_SIM_SECONDS") else { return };
    quiet_panics();
    let until = Instant::now() + Duration::from_secs(seconds);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let next = AtomicU64::new(since.as_nanos() as u64);
    let seeds = AtomicU64::new(0);
    let run = match std::env::var("RIG_SIM_COORDINATOR").as_deref() {
        Ok("contrary") => run::contrary,
        Ok(_) => run::coordinated,
        Err(_) => run::seed,
    };
    let (found, [events, answers, installed, elected]) = on_both_cores(run, || {
        seeds.fetch_add(1, Ordering::Relaxed);
        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|_| Instant::now() < until)
    });
    let seeds = seeds.into_inner();
    println!(
        "{seeds} random seeds, {events} events, {answers} answers, {installed} snapshots installed, {elected} elected"
    );
    report(run, &found);
}
