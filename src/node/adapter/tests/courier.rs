//! The courier over a service that lives in a mutex: it can lose its state, be away, and lie.

use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mio::{Poll, Token, Waker};

use crate::log::testing::{Made, config, record};
use crate::node::adapter::*;
use crate::node::engine::{Condition, Question, ReplyTo, Who};
use crate::service::{Outcome, Resources};
use crate::types::{Operation, Record};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct State {
    applied: Version,
    /// Every version that it was given and took, in order.
    took: Vec<Version>,
    is_away: bool,
    /// Answers to everything but apply.
    fails: bool,
    tries: usize,
    /// Results in one answer, at most.
    stops_after: Option<usize>,
    /// Claims to have applied more.
    boasts: bool,
    resets: u64,
    judged: Vec<Version>,
}

/// The service.
#[derive(Default)]
struct Fake {
    state: Mutex<State>,
    generation: AtomicU64,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another process, with the state that this version had.
    fn restarts_at(&self, applied: Version) {
        let mut state = self.state();
        state.applied = applied;
        self.generation.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, Fault> {
        let state = self.state();
        if state.is_away { Err(Fault::Away("nobody there".into())) } else { Ok(state) }
    }
}

impl Caller for Fake {
    fn info(&self) -> Result<Info, Fault> {
        let state = self.call()?;
        Ok(Info {
            name: "fake".into(),
            applied: state.applied + if state.boasts { 1_000_000 } else { 0 },
            applied_hash: None,
            methods: None,
            max_batch: 4,
            stateful_validate: true,
            snapshots: true,
            examples: Vec::new(),
        })
    }

    fn validate(&self, _: Version, _: Micros, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Fault> {
        let mut state = self.call()?;
        let applied = state.applied;
        state.judged.push(applied);
        Ok(asked.iter().map(|_| Ok((None, Resources::Alone))).collect())
    }

    fn apply(&self, entries: &[Committed<'_>]) -> Result<Vec<Outcome>, Fault> {
        let mut state = self.call()?;
        state.tries += 1;
        if state.fails {
            return Err(Fault::Away("it cannot now".into()));
        }
        let mut outcomes = Vec::new();
        for entry in entries.iter().take(state.stops_after.unwrap_or(usize::MAX)) {
            if entry.version > state.applied + 1 {
                return Err(Fault::Gap(state.applied));
            }
            if entry.version == state.applied + 1 {
                state.applied = entry.version;
                state.took.push(entry.version);
            }
            outcomes.push(Outcome { status: 200, result: entry.version.to_string().into() });
        }
        Ok(outcomes)
    }

    fn snapshot(&self, _: &mut dyn Write) -> Result<Version, Fault> {
        Ok(self.call()?.applied)
    }

    fn restore(&self, version: Version, _: &mut dyn Read) -> Result<(), Fault> {
        let mut state = self.call()?;
        state.applied = version;
        state.resets += 1;
        state.took.clear();
        Ok(())
    }

    fn health(&self) -> Result<(), Fault> {
        self.call().map(|_| ())
    }

    fn generation(&self) -> u64 {
        self.generation.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn stop(&self) {}
}

/// A courier between a log of so many records and the fake.
struct World {
    fake: Arc<Fake>,
    courier: Courier,
    records: Vec<Record>,
    said: Vec<Condition>,
    results: Vec<String>,
    verdicts: Vec<Verdict>,
    _poll: Poll,
}

impl World {
    fn new(records: u64, floor: Version, prepare: impl FnOnce(&Fake)) -> Self {
        let mut made = Made::new(config());
        made.write(1, records, record);
        let reader = made.opened.writer.reader();
        let records = reader.records(1, records).map(Result::unwrap).collect();
        let fake = Arc::new(Fake::default());
        prepare(&fake);
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let courier = Courier::start(fake.clone(), reader, floor, None, waker).unwrap();
        let (said, results, verdicts) = (Vec::new(), Vec::new(), Vec::new());
        Self { fake, courier, records, said, results, verdicts, _poll: poll }
    }

    fn take(&mut self) {
        let resets = self.courier.resets();
        for done in self.courier.take_done() {
            match done {
                Done::Is(condition) => self.said.push(condition),
                Done::Applied { resets: of, outcomes } if of == resets => {
                    self.results.extend(outcomes.iter().map(|outcome| outcome.result.to_string()));
                }
                Done::Judged(verdicts) => self.verdicts.extend(verdicts.into_iter().map(|(_, verdict)| verdict)),
                Done::Applied { .. } | Done::Replayed { .. } | Done::Said(_) | Done::State { .. } => {}
                Done::Panicked => panic!("a thread has panicked"),
            }
        }
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what}: {:?}", self.said);
            std::thread::sleep(Duration::from_millis(2));
            self.take();
        }
    }

    fn serves(&mut self) {
        self.until("it serves", |world| world.said.last() == Some(&Condition::Serving));
    }

    fn is_stalled(&mut self, because: &str) {
        self.until("it is stalled", |world| {
            world.said.iter().any(|said| matches!(said, Condition::Stalled { why, .. } if why.contains(because)))
        });
    }

    fn apply(&mut self, from: Version, to: Version) {
        self.courier.apply(self.records[from as usize - 1..to as usize].to_vec());
    }

    fn judge(&mut self) {
        let who = Who::DryRun(ReplyTo { connection: 0, request: 0, line: 0 });
        let operation = Operation::new("user_create", "{}");
        self.courier.judge(0, 0, vec![Question { who, operation, key: None }]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.courier.stop();
    }
}

#[test]
fn a_service_that_is_behind_is_given_the_log_before_anything_else() {
    let mut world = World::new(20, 10, |fake| fake.state().applied = 3);
    world.serves();
    assert_eq!(world.fake.state().took, (4..=10).collect::<Vec<_>>());
    assert!(world.said.contains(&Condition::Starting { replayed: Some(7) }), "{:?}", world.said);
    world.apply(11, 20);
    world.until("all of it", |world| world.results.len() == 10);
    assert_eq!(world.results.first().map(String::as_str), Some("11"));
    assert_eq!(world.fake.state().took, (4..=20).collect::<Vec<_>>());
}

#[test]
fn a_service_that_knows_what_the_log_has_not_is_named_and_given_nothing() {
    let mut world = World::new(5, 5, |fake| fake.state().applied = 6);
    world.is_stalled("service_ahead");
    assert!(world.fake.state().took.is_empty());
}

#[test]
fn a_batch_is_sent_until_it_is_applied_and_nothing_is_applied_twice() {
    let mut world = World::new(20, 0, |_| {});
    world.serves();
    world.fake.state().is_away = true;
    world.apply(1, 8);
    world.is_stalled("nobody there");
    world.fake.state().is_away = false;
    world.until("all of it", |world| world.results.len() == 8);
    assert_eq!(world.fake.state().took, (1..=8).collect::<Vec<_>>());
    world.serves();
}

#[test]
fn a_service_that_stops_early_gets_the_rest_and_one_that_went_back_gets_what_it_lost() {
    let mut world = World::new(20, 0, |fake| fake.state().stops_after = Some(1));
    world.apply(1, 8);
    world.until("all of it", |world| world.results.len() == 8);
    world.fake.state().applied = 2;
    world.apply(9, 12);
    world.until("the others", |world| world.results.len() == 12);
    let took = world.fake.state().took.clone();
    assert_eq!(took, (1..=8).chain(3..=12).collect::<Vec<_>>());
}

#[test]
fn who_was_started_again_judges_nothing_before_it_has_everything() {
    let mut world = World::new(20, 12, |_| {});
    world.serves();
    world.fake.restarts_at(0);
    world.judge();
    world.until("a verdict", |world| world.verdicts.len() == 1);
    assert_eq!(world.verdicts, [Ok((None, Resources::Alone))]);
    assert_eq!(world.fake.state().judged, [12], "it had everything when it judged");
}

#[test]
fn no_verdict_comes_from_a_service_that_is_away() {
    let mut world = World::new(20, 12, |fake| fake.state().is_away = true);
    world.is_stalled("nobody there");
    world.judge();
    world.until("a verdict", |world| world.verdicts.len() == 1);
    assert!(matches!(&world.verdicts[..], [Err(problem)] if problem.status == 503), "{:?}", world.verdicts);
}

#[test]
fn a_service_that_is_idle_is_missed_when_it_goes() {
    let mut world = World::new(5, 5, |_| {});
    world.serves();
    world.fake.state().is_away = true;
    world.is_stalled("nobody there");
    world.fake.state().is_away = false;
    world.serves();
}

#[test]
fn a_reset_drops_what_is_under_way_empties_the_service_and_gives_it_the_log_again() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("service-reset");
    std::fs::write(&marker, "").unwrap();
    let mut world = World::new(20, 10, |_| {});
    world.serves();
    world.fake.state().is_away = true;
    world.apply(11, 20);
    world.is_stalled("nobody there");
    world.courier.reset(6, marker.clone());
    world.fake.state().is_away = false;
    world.until("it is empty", |_| !marker.exists());
    world.serves();
    assert_eq!(world.fake.state().resets, 1);
    assert_eq!(world.fake.state().took, (1..=6).collect::<Vec<_>>());
    assert!(world.results.is_empty(), "what was under way is of no use any more");
    world.apply(7, 9);
    world.until("what comes next", |world| world.results.len() == 3);
}

#[test]
fn the_log_is_believed_and_not_a_service_that_claims_another_past() {
    let made = {
        let mut made = Made::new(config());
        made.write(1, 5, record);
        made
    };
    let reader = made.opened.writer.reader();
    let fake = Fake::default();
    fake.state().applied = 3;
    let honest = Info { applied_hash: reader.hash(3).unwrap(), ..fake.info().unwrap() };
    assert_eq!(check(&honest, &reader), Ok(()));
    let other = Info { applied_hash: reader.hash(4).unwrap(), ..honest };
    assert!(matches!(check(&other, &reader), Err(Fault::Violation { rule: "service_ahead", .. })));
    fake.state().boasts = true;
    assert!(check(&fake.info().unwrap(), &reader).is_err());
}

#[test]
fn who_says_that_all_is_well_and_applies_nothing_is_not_well() {
    for floor in [0, 10] {
        let mut world = World::new(20, floor, |fake| fake.state().fails = true);
        if floor == 0 {
            world.serves();
            world.apply(1, 8);
        }
        world.is_stalled("it cannot now");
        let said = world.said.len();
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
            world.take();
        }
        assert_eq!(world.said.len(), said, "floor {floor}: it is said once: {:?}", world.said);
        assert!(world.fake.state().tries < 12, "floor {floor}: with more time between two tries each time");
        world.fake.state().fails = false;
        world.until("it serves again", |world| world.said.last() == Some(&Condition::Serving));
    }
}
