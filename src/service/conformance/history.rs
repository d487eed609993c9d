//! A log made of operations: what the primary would have written, and then some.

use uuid::Uuid;

use crate::service::{Context, Entry, Outcome, Resources, Service, ServiceError};
use crate::types::{Micros, Operation, Version};

use super::Make;

/// Every so many records one is a control record.
const CONTROL_EVERY: u64 = 7;
/// Of the operations that validate refuses, one in so many is logged all the same: a log may hold anything.
const REFUSED_EVERY: usize = 3;
const START: Micros = 1_767_225_600_000_000;

/// One record.
pub(super) struct Step {
    pub(super) version: Version,
    /// `None`: a control record.
    pub(super) operation: Option<Operation>,
    /// Whether validate let it pass.
    pub(super) valid: bool,
    /// What apply answered.
    pub(super) outcome: Outcome,
}

impl Step {
    pub(super) fn entry(&self) -> Entry<'_> {
        entry(self.version, self.operation.as_ref())
    }
}

pub(super) fn entry(version: Version, operation: Option<&Operation>) -> Entry<'_> {
    Entry { version, time: START + version * 1000, operation }
}

/// Validates and applies one operation after the other on a new service.
pub(super) fn record(make: Make<'_>, operations: &[Operation]) -> Result<(Box<dyn Service>, Vec<Step>), String> {
    let mut service = make();
    let mut steps: Vec<Step> = Vec::new();
    let mut refused = 0_usize;
    for operation in operations {
        let version = steps.len() as Version + 1;
        if version.is_multiple_of(CONTROL_EVERY) {
            steps.push(apply_one(&mut *service, version, None, true)?);
        }
        let version = steps.len() as Version + 1;
        match validate(&*service, operation, version) {
            Ok(operation) => steps.push(apply_one(&mut *service, version, Some(operation), true)?),
            Err(_) => {
                refused += 1;
                if refused.is_multiple_of(REFUSED_EVERY) {
                    steps.push(apply_one(&mut *service, version, Some(operation.clone()), false)?);
                }
            }
        }
    }
    Ok((service, steps))
}

/// The operation as it would be logged.
pub(super) fn validate(
    service: &dyn Service,
    operation: &Operation,
    seed: u64,
) -> Result<Operation, crate::error::Problem> {
    let fresh_id = || Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(seed));
    let valid = service.validate(operation, &Context { now: START + seed, fresh_id: &fresh_id })?;
    let data = valid.data.unwrap_or_else(|| operation.data.clone());
    Ok(Operation { method: operation.method.clone(), data })
}

pub(super) fn apply_one(
    service: &mut dyn Service,
    version: Version,
    operation: Option<Operation>,
    valid: bool,
) -> Result<Step, String> {
    let mut outcomes = apply(service, &[entry(version, operation.as_ref())])?;
    let outcome = outcomes.pop().ok_or("apply gave no outcome")?;
    Ok(Step { version, operation, valid, outcome })
}

pub(super) fn apply(service: &mut dyn Service, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, String> {
    let outcomes = service.apply(entries).map_err(|error| format!("apply failed: {error}"))?;
    if outcomes.len() != entries.len() {
        return Err(format!("{} entries gave {} outcomes", entries.len(), outcomes.len()));
    }
    Ok(outcomes)
}

/// Applies records in batches of this size.
pub(super) fn replay(service: &mut dyn Service, steps: &[Step], batch: usize) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::with_capacity(steps.len());
    for steps in steps.chunks(batch) {
        let entries: Vec<_> = steps.iter().map(Step::entry).collect();
        outcomes.extend(apply(service, &entries)?);
    }
    Ok(outcomes)
}

pub(super) fn snapshot(service: &dyn Service) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    service.snapshot().write(&mut bytes).map_err(|error| format!("snapshot failed: {error}"))?;
    Ok(bytes)
}

pub(super) fn restored(make: Make<'_>, version: Version, bytes: &[u8]) -> Result<Box<dyn Service>, String> {
    let mut service = make();
    restore(&mut *service, version, bytes).map_err(|error| format!("restore failed: {error}"))?;
    Ok(service)
}

pub(super) fn restore(service: &mut dyn Service, version: Version, bytes: &[u8]) -> Result<(), ServiceError> {
    service.restore(version, &mut { bytes })
}

/// Whether two operations may be in flight together.
pub(super) fn are_apart(one: &Resources, other: &Resources) -> bool {
    let (Resources::Keys(one), Resources::Keys(other)) = (one, other) else { return false };
    one.iter().all(|a| other.iter().all(|b| a.key != b.key || (a.shared && b.shared)))
}

/// `Err` with what was seen unless the two are equal.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}
