//! Seeds in numbers: those of a list, those of every day, and random ones for as long as one likes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::run::{self, Outcome};

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
fn story(seed: u64) -> String {
    let outcome = run::seed(seed, events(), None, true);
    let lines = number("RIG_SIM_LINES").unwrap_or(60) as usize;
    let from = outcome.trace.len().saturating_sub(lines);
    outcome.trace[from..].join("\n")
}

/// Runs seeds on both cores until `next` gives none; gives what was found, and how many events, answers and installed
/// snapshots there were.
fn on_both_cores(next: impl Fn() -> Option<u64> + Sync) -> (Vec<(u64, Outcome)>, [u64; 3]) {
    let (found, counts) = (Mutex::new(Vec::new()), [const { AtomicU64::new(0) }; 3]);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let outcome = run::seed(seed, events(), None, false);
                    for (count, more) in counts.iter().zip([outcome.events, outcome.answers as u64, outcome.installed])
                    {
                        count.fetch_add(more, Ordering::Relaxed);
                    }
                    if outcome.finding.is_some() {
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

fn report(found: &[(u64, Outcome)]) {
    let found: Vec<&(u64, Outcome)> = found.iter().filter(|(_, outcome)| outcome.finding.is_some()).collect();
    let Some((first, _)) = found.first() else { return };
    drop(std::panic::take_hook());
    let lines: Vec<String> = found.iter().take(40).map(|(seed, outcome)| show(*seed, outcome)).collect();
    panic!(
        "{} seeds found something:\n{}\n\nthe end of seed {first}:\n{}",
        found.len(),
        lines.join("\n"),
        story(*first)
    );
}

#[test]
fn no_seed_finds_anything() {
    quiet_panics();
    if let Some(seed) = number("RIG_SIM_SEED") {
        let outcome = run::seed(seed, events(), None, false);
        println!("seed {seed}: {} events, {} answers, digest {:x}", outcome.events, outcome.answers, outcome.digest);
        return report(&[(seed, outcome)]);
    }
    let begin = Instant::now();
    let next = AtomicU64::new(1);
    let seeds = number("RIG_SIM_SEEDS").unwrap_or(SEEDS);
    let first: Vec<(u64, Outcome)> =
        remembered().into_iter().map(|seed| (seed, run::seed(seed, self::events(), None, false))).collect();
    report(&first);
    let (found, [events, answers, installed]) =
        on_both_cores(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| *s <= seeds));
    let took = begin.elapsed();
    println!(
        "{seeds} seeds, {events} events, {answers} answers, {installed} snapshots installed, {took:?}, {:.0} events/s",
        events as f64 / took.as_secs_f64()
    );
    assert!(installed > 0 || seeds < 100, "nobody was ever behind a log");
    report(&found);
}

#[test]
fn no_seed_finds_anything_with_a_coordinator() {
    quiet_panics();
    if let Some(seed) = number("RIG_SIM_SEED") {
        let outcome = run::coordinated(seed, events(), None, true);
        println!("seed {seed}: {} events, {} answers", outcome.events, outcome.answers);
        if let Some(finding) = &outcome.finding {
            let lines = number("RIG_SIM_LINES").unwrap_or(60) as usize;
            let from = outcome.trace.len().saturating_sub(lines);
            panic!("{}: {}\n{}", finding.rule, finding.text, outcome.trace[from..].join("\n"));
        }
        return;
    }
    let seeds = number("RIG_SIM_SEEDS").unwrap_or(SEEDS);
    let mut found = Vec::new();
    for seed in 1..=seeds {
        let outcome = run::coordinated(seed, events(), None, false);
        if let Some(finding) = outcome.finding {
            found.push(format!("seed {seed}: {}: {}", finding.rule, finding.text));
        }
    }
    drop(std::panic::take_hook());
    assert!(found.is_empty(), "{} seeds found something:\n{}", found.len(), found[..found.len().min(40)].join("\n"));
}

/// Seeds that once failed.
fn remembered() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
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
    let (found, [events, answers, installed]) = on_both_cores(|| {
        seeds.fetch_add(1, Ordering::Relaxed);
        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|_| Instant::now() < until)
    });
    let seeds = seeds.into_inner();
    println!("{seeds} random seeds, {events} events, {answers} answers, {installed} snapshots installed");
    report(&found);
}
