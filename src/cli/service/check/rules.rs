//! The rules, each with what checks it: those of [`conformance`], which hold for every service, and those that need a
//! process.

use std::cell::OnceCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::cluster;
use super::stand::{Group, Instance, Own, Stand, Target};
use crate::limits::SERVICE_VALIDATE_TIMEOUT;
use crate::node::adapter::{Asked, Caller, Committed, Fault};
use crate::service::{Service, conformance};
use crate::types::{Epoch, Hash, Operation, Version};

/// Records that the rules about load apply.
const LOAD: usize = 600;
/// Records of one call while it is killed: small, so that there are many moments.
const PART: usize = 16;
/// How often it is killed, the first time after so long.
const KILLS: u32 = 8;
const KILL_AFTER: Duration = Duration::from_millis(3);
/// Snapshots that are taken while it applies, and the time between two.
const SNAPSHOTS: usize = 5;
const SNAPSHOT_EVERY: Duration = Duration::from_millis(10);
/// How long a service may take to end when its input has ended.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How often each call is timed.
const TIMED: usize = 100;
/// The time of the first record.
const START: u64 = 1_767_225_600_000_000;

/// A rule of `rig-service-protocol(7)`.
pub(super) struct Rule {
    pub(super) number: &'static str,
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    how: How,
}

enum How {
    /// [`conformance`] has a rule of this name.
    Conformance,
    Own(fn(&Bench<'_>) -> Result<String, Why>),
}

/// Why a rule is not passed.
pub(super) enum Why {
    Broken(String),
    /// It cannot be checked here.
    Not(&'static str),
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault.to_string())
    }
}

/// What came of a rule, with what was seen.
pub(super) enum Verdict {
    Pass(String),
    Fail(String),
    Skip(String),
}

const fn shared(number: &'static str, name: &'static str, says: &'static str) -> Rule {
    Rule { number, name, says, how: How::Conformance }
}

const fn own(
    number: &'static str,
    name: &'static str,
    says: &'static str,
    check: fn(&Bench<'_>) -> Result<String, Why>,
) -> Rule {
    Rule { number, name, says, how: How::Own(check) }
}

/// Every rule, in the order in which one rests on another.
pub(super) const RULES: &[Rule] = &[
    own("info", "says_who_it_is", "says who it is, and that it is empty", says_who_it_is),
    own("R2", "nothing_makes_it_empty", "an empty snapshot makes it empty", nothing_makes_it_empty),
    shared("A1", "versions_count_every_entry", "counts every version, Rig's own too"),
    shared("A3", "duplicates_are_skipped", "skips what it has applied"),
    shared("A4", "gaps_are_refused", "refuses what does not come next"),
    shared("A6", "instances_agree", "two instances come to the same"),
    shared("A6", "replay_gives_the_same_state", "a replay comes to the same"),
    shared("S1", "a_snapshot_is_of_one_version", "a snapshot is of one version"),
    own("S1", "a_snapshot_while_applies_go_on", "a snapshot, while it applies", a_snapshot_while_applies_go_on),
    shared("R1", "restore_replaces_everything", "restore replaces everything, twice too"),
    shared("V1", "validate_changes_nothing", "validate changes nothing"),
    shared("V3", "what_is_valid_is_applied", "what is valid can be applied"),
    shared("V3", "resources_cover_what_is_read", "resources cover what it reads"),
    own("A2", "killed_while_it_applies", "kill -9 while it applies", killed_while_it_applies),
    own("E1", "ends_with_its_input", "ends when its input ends", ends_with_its_input),
    own("A8", "below_two_nodes_that_are_killed", "below two nodes, all of it killed", cluster::below_two_nodes),
    own("V5", "answers_in_time", "answers in time", answers_in_time),
];

/// What the checks work with.
pub(super) struct Bench<'a> {
    pub(super) stand: &'a Stand,
    pub(super) operations: Vec<Operation>,
    /// How often something is killed below two nodes.
    pub(super) kills: u32,
    filled: OnceCell<Vec<Operation>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(stand: &'a Stand, operations: Vec<Operation>, kills: u32) -> Self {
        Self { stand, operations, kills, filled: OnceCell::new() }
    }

    pub(super) fn check(&self, rule: &Rule) -> Verdict {
        // What a service answers must not end the checks, wherever it leads.
        let outcome = catch_unwind(AssertUnwindSafe(|| match rule.how {
            How::Own(check) => check(self),
            How::Conformance => self.conforms(rule.name),
        }));
        match outcome {
            Ok(Ok(seen)) => Verdict::Pass(seen),
            Ok(Err(Why::Broken(why))) => Verdict::Fail(why),
            Ok(Err(Why::Not(why))) => Verdict::Skip(why.to_owned()),
            Err(_) => Verdict::Fail("an answer of the service led this check astray: report it".to_owned()),
        }
    }

    fn conforms(&self, name: &str) -> Result<String, Why> {
        let make = || self.make();
        conformance::check_rule(name, &make, self.filled()?)
            .unwrap_or_else(|| Err(format!("there is no check for {name}")))
            .map(|()| String::new())
            .map_err(Why::Broken)
    }

    /// The operations as the service fills them in: identifiers that it makes differ from call to call.
    fn filled(&self) -> Result<&[Operation], Why> {
        if let Some(filled) = self.filled.get() {
            return Ok(filled);
        }
        let instance = self.stand.empty()?;
        let (caller, mut filled) = (&*instance.caller, Vec::new());
        for operation in &self.operations {
            let version = filled.len() as Version;
            let operation = judged(caller, version, operation)?;
            caller.apply(&records(std::slice::from_ref(&operation), version + 1))?;
            filled.push(operation);
        }
        Ok(self.filled.get_or_init(|| filled))
    }

    /// An empty instance, as the checks of the library want it.
    fn make(&self) -> Box<dyn Service> {
        if let Some(turns) = self.stand.turns() {
            return turns.make();
        }
        Box::new(Own::new(self.stand.empty()))
    }

    /// What a log would hold after much traffic: the operations as validate has filled them in, over and over.
    pub(super) fn load(&self, caller: &dyn Caller) -> Result<Vec<Operation>, Why> {
        let logged: Result<Vec<Operation>, Fault> =
            self.operations.iter().map(|operation| judged(caller, 0, operation)).collect();
        Ok(logged?.into_iter().cycle().take(LOAD).collect())
    }
}

/// An operation as it would be logged: what is refused, as it came.
fn judged(caller: &dyn Caller, base: Version, operation: &Operation) -> Result<Operation, Fault> {
    let verdict = caller.validate(base, START, &[Asked { operation, key: None }])?.pop();
    let data = verdict.and_then(Result::ok).and_then(|(data, _)| data);
    Ok(Operation { data: data.unwrap_or_else(|| operation.data.clone()), ..operation.clone() })
}

/// Operations as records from a version on.
pub(super) fn records(operations: &[Operation], from: Version) -> Vec<Committed<'_>> {
    let record = |(operation, version): (_, Version)| Committed {
        version,
        epoch: Epoch::default(),
        time: START + version,
        operation,
        hash: Hash::default(),
    };
    operations.iter().zip(from..).map(record).collect()
}

/// Applies everything from a version on.
fn apply_from(caller: &dyn Caller, operations: &[Operation], at: &mut Version) -> Result<(), Fault> {
    while (*at as usize) < operations.len() {
        let rest = &operations[*at as usize..];
        let done = caller.apply(&records(&rest[..rest.len().min(PART)], *at + 1))?.len();
        *at += done as Version;
    }
    Ok(())
}

fn state_of(caller: &dyn Caller) -> Result<(Version, Vec<u8>), Fault> {
    let mut bytes = Vec::new();
    let version = caller.snapshot(&mut bytes)?;
    Ok((version, bytes))
}

fn says_who_it_is(bench: &Bench<'_>) -> Result<String, Why> {
    let instance = bench.stand.empty()?;
    let info = instance.caller.info()?;
    if info.applied != 0 {
        return Err(format!("an empty instance says that it has applied version {}", info.applied).into());
    }
    let methods = info.methods.map_or_else(|| "any method".into(), |methods| methods.join(" "));
    Ok(format!("{}: {methods}", info.name))
}

fn nothing_makes_it_empty(bench: &Bench<'_>) -> Result<String, Why> {
    let instance = bench.stand.empty()?;
    let empty = state_of(&*instance.caller)?;
    let load = bench.load(&*instance.caller)?;
    apply_from(&*instance.caller, &load[..PART], &mut 0)?;
    instance.caller.restore(0, &mut io::empty())?;
    let applied = instance.caller.info()?.applied;
    if applied != 0 || state_of(&*instance.caller)? != empty {
        return Err(format!("after a restore of version 0 it is at version {applied}, or holds something").into());
    }
    Ok(String::new())
}

fn a_snapshot_while_applies_go_on(bench: &Bench<'_>) -> Result<String, Why> {
    let instance = bench.stand.empty()?;
    let caller = &*instance.caller;
    let load = bench.load(caller)?;
    let taken = std::thread::scope(|scope| {
        let writer = scope.spawn(|| apply_from(caller, &load, &mut 0));
        let mut taken = Vec::new();
        while !writer.is_finished() && taken.len() < SNAPSHOTS {
            std::thread::sleep(SNAPSHOT_EVERY);
            taken.push(state_of(caller)?);
        }
        writer.join().unwrap_or_else(|_| Err(Fault::Away("the writer has panicked".into())))?;
        Ok::<_, Fault>(taken)
    })?;
    let versions: Vec<Version> = taken.iter().map(|(version, _)| *version).collect();
    for (version, bytes) in taken {
        caller.restore(0, &mut io::empty())?;
        let upto = usize::try_from(version).unwrap_or(usize::MAX).min(load.len());
        apply_from(caller, &load[..upto], &mut 0)?;
        if state_of(caller)?.1 != bytes {
            return Err(format!("what it wrote as version {version} is not the state of that version").into());
        }
    }
    Ok(format!("of versions {versions:?}"))
}

fn killed_while_it_applies(bench: &Bench<'_>) -> Result<String, Why> {
    if !bench.stand.starts_them() {
        return Err(Why::Not("it runs by itself: give --start, so that it can be killed"));
    }
    let other = bench.stand.empty()?;
    let load = bench.load(&*other.caller)?;
    apply_from(&*other.caller, &load, &mut 0)?;
    let mut instance = bench.stand.empty()?;
    let mut at = 0;
    for kill in 1..=KILLS {
        std::thread::scope(|scope| {
            let instance = &instance;
            scope.spawn(move || {
                std::thread::sleep(KILL_AFTER * kill);
                instance.kill()
            });
            // Ended by the kill, most likely: what came of it is seen below.
            drop(apply_from(&*instance.caller, &load, &mut at));
        });
        let reached = at;
        instance = restarted(bench, instance)?;
        at = instance.caller.info()?.applied;
        if at > load.len() as Version {
            return Err(format!("it says that it has applied version {at}, and was given {reached}").into());
        }
    }
    apply_from(&*instance.caller, &load, &mut at)?;
    if state_of(&*instance.caller)? != state_of(&*other.caller)? {
        return Err(format!("after {KILLS} kills it holds something else than one that was not killed").into());
    }
    Ok(format!("{KILLS} times"))
}

/// The same instance after it was killed.
fn restarted(bench: &Bench<'_>, instance: Instance) -> Result<Instance, String> {
    // It may have been missed: it must not run when the next one begins.
    instance.kill()?;
    let dir = instance.dir.clone();
    drop(instance);
    bench.stand.start_in(&dir)
}

fn ends_with_its_input(bench: &Bench<'_>) -> Result<String, Why> {
    let Target::Exec(command) = bench.stand.target() else {
        return Err(Why::Not("it is not on a pipe"));
    };
    let dir = bench.stand.folder().join("input");
    std::fs::create_dir_all(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
    let took = Group::ends_with_its_input(&super::stand::fill(command, &dir, None), &dir, END_PATIENCE)?;
    Ok(format!("after {} ms", took.as_millis()))
}

fn answers_in_time(bench: &Bench<'_>) -> Result<String, Why> {
    let instance = bench.stand.empty()?;
    let caller = &*instance.caller;
    let load = bench.load(caller)?;
    let (mut judged, mut applied) = (Vec::new(), Vec::new());
    for (operation, version) in load.iter().zip(1..).take(TIMED) {
        let begin = Instant::now();
        drop(caller.validate(version - 1, START, &[Asked { operation, key: None }])?);
        judged.push(begin.elapsed());
        let begin = Instant::now();
        caller.apply(&records(std::slice::from_ref(operation), version))?;
        applied.push(begin.elapsed());
    }
    let begin = Instant::now();
    let mut at = TIMED as Version;
    apply_from(caller, &load, &mut at)?;
    let rate = (load.len() - TIMED) as f64 / begin.elapsed().as_secs_f64();
    judged.sort();
    applied.sort();
    let part = |times: &[Duration], percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    let says = format!(
        "validate {:.2} ms, p99 {:.2}; apply {:.2} ms, p99 {:.2}; {rate:.0} operations/s in calls of {PART}",
        part(&judged, 50),
        part(&judged, 99),
        part(&applied, 50),
        part(&applied, 99)
    );
    let slowest = part(&judged, 99);
    let allowed = SERVICE_VALIDATE_TIMEOUT.as_secs_f64() * 1000.0;
    if slowest * 2.0 > allowed { Err(format!("{says}: Rig waits {allowed} ms for a verdict").into()) } else { Ok(says) }
}
