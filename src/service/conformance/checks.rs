//! The checks, one function for each rule.

use std::io::Read;

use super::Make;
use super::history::{
    Step, apply, apply_one, are_apart, entry, record, replay, restore, restored, same, snapshot, validate,
};
use crate::service::{Outcome, Resources, Service, ServiceError};
use crate::types::{Operation, Version};

/// Places of a snapshot that are damaged in turn.
const DAMAGES: usize = 200;
/// Operations that are judged against one state together.
const WINDOW: usize = 6;

type Seen = Result<(), String>;

fn head(steps: &[Step]) -> Version {
    steps.len() as Version
}

pub(super) fn versions_count_every_entry(make: Make<'_>, operations: &[Operation]) -> Seen {
    let mut service = make();
    same("version of an empty service", service.version(), 0)?;
    let (_, steps) = record(make, operations)?;
    for step in &steps {
        apply(&mut *service, &[step.entry()])?;
        same("version after an entry", service.version(), step.version)?;
        same("version of its snapshot", service.snapshot().version(), step.version)?;
    }
    Ok(())
}

pub(super) fn duplicates_are_skipped(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (mut service, steps) = record(make, operations)?;
    let digest = service.digest();
    let outcomes = replay(&mut *service, &steps, 5)?;
    // It may say what it said before; of a control record nobody asks what it says.
    let is_known = |step: &Step, outcome: &Outcome| {
        *outcome == Outcome::duplicate() || *outcome == step.outcome || step.operation.is_none()
    };
    if let Some((_, outcome)) = steps.iter().zip(&outcomes).find(|(step, outcome)| !is_known(step, outcome)) {
        return Err(format!("an entry applied before was answered with {outcome:?}"));
    }
    same("version after duplicates", service.version(), head(&steps))?;
    same("digest after duplicates", service.digest(), digest)?;

    // Old and new ones in one batch, as after a restore from an old snapshot.
    let mut service = make();
    let half = steps.len() / 2;
    replay(&mut *service, &steps[..half], 3)?;
    let outcomes = replay(&mut *service, &steps, steps.len().max(1))?;
    for (step, outcome) in steps.iter().zip(outcomes).skip(half) {
        same("outcome behind duplicates", &outcome, &step.outcome)?;
    }
    same("digest behind duplicates", service.digest(), digest)
}

pub(super) fn gaps_are_refused(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (full, steps) = record(make, operations)?;
    let (Some(last), Some(first)) = (steps.last(), steps.first()) else { return Ok(()) };
    let mut service = make();
    let before = service.digest();
    match service.apply(&[entry(last.version + 1, last.operation.as_ref())]) {
        Err(ServiceError::Gap { expected: 1, found }) if found == last.version + 1 => {}
        other => return Err(format!("an entry behind a gap was answered with {other:?}")),
    }
    same("digest after a gap", service.digest(), before)?;

    // A gap within a batch: what the version says is there, is there.
    let middle = entry(last.version + 1, last.operation.as_ref());
    if service.apply(&[first.entry(), middle]).is_ok() {
        return Err("a gap within a batch was not refused".to_owned());
    }
    let reached = usize::try_from(service.version()).unwrap_or(usize::MAX).min(steps.len());
    if reached > 1 {
        return Err(format!("a gap behind version 1 left version {reached}"));
    }
    replay(&mut *service, &steps[reached..], 4)?;
    same("digest after going on behind a gap", service.digest(), full.digest())
}

pub(super) fn instances_agree(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (_, steps) = record(make, operations)?;
    let (mut one, mut other) = (make(), make());
    for part in steps.chunks(10) {
        let (one_says, other_says) = (replay(&mut *one, part, 1)?, replay(&mut *other, part, 10)?);
        for ((one, other), step) in one_says.iter().zip(&other_says).zip(part) {
            same(&format!("outcome of version {} on another instance", step.version), one, other)?;
        }
        same("digest of another instance", one.digest(), other.digest())?;
    }
    Ok(())
}

pub(super) fn replay_gives_the_same_state(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (service, steps) = record(make, operations)?;
    let mut again = make();
    let outcomes = replay(&mut *again, &steps, steps.len().max(1))?;
    for (step, outcome) in steps.iter().zip(&outcomes) {
        same(&format!("outcome of version {} replayed", step.version), outcome, &step.outcome)?;
    }
    same("digest of a replay", again.digest(), service.digest())?;
    same("snapshot of a replay", snapshot(&*again)? == snapshot(&*service)?, true)
}

pub(super) fn a_snapshot_is_of_one_version(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (_, steps) = record(make, operations)?;
    let mut service = make();
    let (early, late) = steps.split_at(steps.len() / 2);
    replay(&mut *service, early, 4)?;
    let digest = service.digest();
    let frozen = service.snapshot();
    let bytes = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut bytes = Vec::new();
            frozen.write(&mut bytes).map(|()| bytes)
        });
        let applied = replay(&mut *service, late, 1);
        let bytes = writer.join().map_err(|_| "writing a snapshot panicked".to_owned())?;
        applied.and(bytes.map_err(|error| format!("snapshot failed: {error}")))
    })?;
    let mut copy = restored(make, head(early), &bytes)?;
    same("version of what was restored", copy.version(), head(early))?;
    same("digest of what was restored", copy.digest(), digest)?;
    replay(&mut *copy, late, 3)?;
    same("digest of what was restored, gone on", copy.digest(), service.digest())
}

pub(super) fn restore_replaces_everything(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (mut service, steps) = record(make, operations)?;
    let end = service.digest();
    let mut other = make();
    let early = &steps[..steps.len() / 3];
    replay(&mut *other, early, 2)?;
    let bytes = snapshot(&*other)?;
    for _ in 0..2 {
        restore(&mut *service, head(early), &bytes).map_err(|error| error.to_string())?;
        same("version after restore", service.version(), head(early))?;
        same("digest after restore", service.digest(), other.digest())?;
    }
    replay(&mut *service, &steps[early.len()..], 6)?;
    same("digest after restore and replay", service.digest(), end)
}

pub(super) fn a_snapshot_says_its_version(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (source, steps) = record(make, operations)?;
    let bytes = snapshot(&*source)?;
    let mut service = make();
    let before = service.digest();
    match restore(&mut *service, head(&steps) + 1, &bytes) {
        Err(_) => same("digest after restore of another version", service.digest(), before),
        Ok(()) => Err("a snapshot of another version than asked for was taken".to_owned()),
    }
}

pub(super) fn restore_reads_its_own_bytes_only(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (service, _) = record(make, operations)?;
    let mut bytes = snapshot(&*service)?;
    bytes.extend_from_slice(b"what follows");
    let mut input: Box<dyn Read> = Box::new(bytes.as_slice());
    make().restore(service.version(), &mut *input).map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).map_err(|error| error.to_string())?;
    same("what follows a snapshot", rest.as_slice(), b"what follows")
}

pub(super) fn a_damaged_snapshot_changes_nothing(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (source, steps) = record(make, operations)?;
    let bytes = snapshot(&*source)?;
    let mut service = make();
    replay(&mut *service, &steps[..steps.len() / 2], 4)?;
    let (version, digest) = (service.version(), service.digest());
    let mut hurt = |bytes: &[u8], what: String| {
        if restore(&mut *service, source.version(), bytes).is_ok() {
            return Err(format!("{what} was not noticed"));
        }
        same(&format!("version after {what}"), service.version(), version)?;
        same(&format!("digest after {what}"), service.digest(), digest)
    };
    let stride = bytes.len() / DAMAGES + 1;
    for place in (0..bytes.len()).step_by(stride) {
        hurt(&bytes[..place], format!("a cut after byte {place}"))?;
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        hurt(&flipped, format!("a flipped bit in byte {place}"))?;
    }
    Ok(())
}

pub(super) fn validate_changes_nothing(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (mut service, _) = record(make, operations)?;
    let (version, digest) = (service.version(), service.digest());
    for operation in operations {
        let once = (service.resources(operation), validate(&*service, operation, 7));
        let again = (service.resources(operation), validate(&*service, operation, 7));
        same(&format!("second judgement of {}", operation.method), &again, &once)?;
        same("version after validate", service.version(), version)?;
    }
    same("digest after validate", service.digest(), digest)?;
    // Nothing that comes out only later, either.
    let (mut other, _) = record(make, operations)?;
    for service in [&mut service, &mut other] {
        for (operation, version) in operations.iter().zip(version + 1..) {
            apply_one(&mut **service, version, Some(operation.clone()), true)?;
        }
    }
    same("digest after validate and apply", service.digest(), other.digest())
}

pub(super) fn what_is_valid_is_applied(make: Make<'_>, operations: &[Operation]) -> Seen {
    let (_, steps) = record(make, operations)?;
    match steps.iter().find(|step| step.valid && step.outcome.status != 200) {
        Some(step) => Err(format!("version {} was valid and became {:?}", step.version, step.outcome)),
        None => Ok(()),
    }
}

pub(super) fn resources_are_stable(make: Make<'_>, operations: &[Operation]) -> Seen {
    let mut service = make();
    let mut version = 0;
    for (place, operation) in operations.iter().enumerate() {
        let probes = &operations[place..operations.len().min(place + WINDOW)];
        let ask = |service: &dyn Service| probes.iter().map(|probe| service.resources(probe)).collect::<Vec<_>>();
        let before = ask(&*service);
        let Ok(logged) = validate(&*service, operation, version) else { continue };
        version += 1;
        apply_one(&mut *service, version, Some(logged), true)?;
        if !matches!(before[0], Ok(Resources::Alone)) {
            same(&format!("resources after {} that did not run alone", operation.method), ask(&*service), before)?;
        }
    }
    Ok(())
}

/// Operations that may be in flight together must not spoil each other, in either order.
pub(super) fn resources_cover_what_is_read(make: Make<'_>, operations: &[Operation]) -> Seen {
    let mut service = make();
    for (place, operation) in operations.iter().enumerate() {
        together(make, &*service, &operations[place..operations.len().min(place + WINDOW)])?;
        let version = service.version() + 1;
        if let Ok(logged) = validate(&*service, operation, version) {
            apply_one(&mut *service, version, Some(logged), true)?;
        }
    }
    Ok(())
}

fn together(make: Make<'_>, service: &dyn Service, window: &[Operation]) -> Seen {
    let (version, bytes) = (service.version(), snapshot(service)?);
    let mut judged = Vec::new();
    for (operation, seed) in window.iter().zip(0..) {
        if let (Ok(resources), Ok(logged)) = (service.resources(operation), validate(service, operation, seed)) {
            judged.push((logged, resources));
        }
    }
    for (one_place, (one, one_holds)) in judged.iter().enumerate() {
        for (other_place, (other, other_holds)) in judged.iter().enumerate() {
            // Pairs without the first of the window are met when the window has moved on.
            if one_place == other_place || one_place.min(other_place) > 0 || !are_apart(one_holds, other_holds) {
                continue;
            }
            let mut copy = restored(make, version, &bytes)?;
            let entries = [entry(version + 1, Some(one)), entry(version + 2, Some(other))];
            let outcomes = apply(&mut *copy, &entries)?;
            if let Some(bad) = outcomes.iter().find(|outcome| outcome.status != 200) {
                return Err(format!("{one:?} and {other:?} hold different keys, and together one became {bad:?}"));
            }
        }
    }
    Ok(())
}
