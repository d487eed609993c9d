//! The suite itself: documents pass, and services that are wrong on purpose are caught by name.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{check, documents_workload, rules};
use crate::error::Problem;
use crate::service::{Context, Documents, Entry, Outcome, Resources, Service, ServiceError, Settings, Snapshot, Valid};
use crate::types::{Operation, Version};

#[test]
fn documents_hold_every_rule() {
    for seed in 0..8 {
        let make = || Box::new(Documents::new(Settings::default())) as Box<dyn Service>;
        if let Err(violations) = check(&make, &documents_workload(seed, 150)) {
            panic!("seed {seed}: {violations:#?}");
        }
    }
}

#[test]
fn the_workload_meets_successes_and_refusals_of_many_kinds() {
    let make = || Box::new(Documents::new(Settings::default())) as Box<dyn Service>;
    let mut statuses = std::collections::BTreeSet::new();
    let mut methods = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let (_, steps) = super::history::record(&make, &documents_workload(seed, 150)).unwrap();
        for step in steps {
            statuses.insert(step.outcome.status);
            if step.valid {
                methods.extend(step.operation.map(|operation| operation.method));
            }
        }
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 404, 409, 422]);
    for method in ["user_create", "user_update", "user_put", "user_delete", "team_delete", "schema_set"] {
        assert!(methods.contains(method), "{method}");
    }
}

/// What is wrong with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ForgetsControlRecords,
    AppliesTwice,
    TakesGaps,
    DiffersByInstance,
    ValidateMutates,
    NamesNoResources,
    LosesStateOnDamage,
    ReadsTooFar,
}

static INSTANCES: AtomicU64 = AtomicU64::new(0);

struct Wrong {
    fault: Fault,
    instance: u64,
    inner: Mutex<Documents>,
    /// What the log calls the version that documents are at.
    shift: u64,
}

impl Wrong {
    fn make(fault: Fault) -> Box<dyn Service> {
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        Box::new(Self { fault, instance, inner: Mutex::new(Documents::default()), shift: 0 })
    }

    /// Applies whatever it is as the next version.
    fn force(inner: &mut Documents, entry: &Entry<'_>) -> Outcome {
        let version = inner.version() + 1;
        inner.apply(&[Entry { version, ..*entry }]).unwrap().remove(0)
    }
}

impl Service for Wrong {
    fn kind(&self) -> &'static str {
        "wrong"
    }

    fn version(&self) -> Version {
        self.inner.lock().unwrap().version() + self.shift
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        match self.fault {
            Fault::NamesNoResources => Ok(Resources::Keys(Vec::new())),
            _ => self.inner.lock().unwrap().resources(operation),
        }
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        let mut inner = self.inner.lock().unwrap();
        let valid = inner.validate(operation, context)?;
        if self.fault == Fault::ValidateMutates && &*operation.method == "team_put" {
            let version = inner.version() + 1;
            inner.apply(&[Entry { version, time: 0, operation: Some(operation) }]).unwrap();
        }
        Ok(valid)
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let inner = self.inner.get_mut().unwrap();
        match self.fault {
            Fault::ForgetsControlRecords => {
                let known = entries.iter().filter(|entry| entry.operation.is_some());
                Ok(known.map(|entry| Self::force(inner, entry)).collect())
            }
            Fault::AppliesTwice | Fault::ValidateMutates => {
                Ok(entries.iter().map(|entry| Self::force(inner, entry)).collect())
            }
            Fault::TakesGaps => {
                let first = entries.iter().filter(|entry| entry.version > inner.version() + self.shift);
                if let Some(entry) = first.min_by_key(|entry| entry.version) {
                    self.shift = entry.version - inner.version() - 1;
                }
                let shift = self.shift;
                let shifted: Vec<_> =
                    entries.iter().map(|entry| Entry { version: entry.version - shift, ..*entry }).collect();
                inner.apply(&shifted)
            }
            Fault::DiffersByInstance => {
                let time = |entry: &Entry<'_>| entry.time + self.instance;
                let changed: Vec<_> = entries.iter().map(|entry| Entry { time: time(entry), ..*entry }).collect();
                inner.apply(&changed)
            }
            _ => inner.apply(entries),
        }
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.inner.lock().unwrap().snapshot()
    }

    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        let inner = self.inner.get_mut().unwrap();
        let mut bytes = Vec::new();
        if self.fault == Fault::ReadsTooFar {
            // Reads to the end, whatever follows there.
            input.read_to_end(&mut bytes)?;
            return inner.restore(version, &mut bytes.as_slice());
        }
        let restored = inner.restore(version, input);
        if restored.is_err() && self.fault == Fault::LosesStateOnDamage {
            *inner = Documents::default();
        }
        restored
    }
}

#[test]
fn a_service_that_is_wrong_is_caught_by_name() {
    let table = [
        (Fault::ForgetsControlRecords, "versions_count_every_entry"),
        (Fault::AppliesTwice, "duplicates_are_skipped"),
        (Fault::TakesGaps, "gaps_are_refused"),
        (Fault::DiffersByInstance, "instances_agree"),
        (Fault::DiffersByInstance, "replay_gives_the_same_state"),
        (Fault::ValidateMutates, "validate_changes_nothing"),
        (Fault::NamesNoResources, "resources_cover_what_is_read"),
        (Fault::LosesStateOnDamage, "a_damaged_snapshot_changes_nothing"),
        (Fault::ReadsTooFar, "restore_reads_its_own_bytes_only"),
    ];
    let workload = documents_workload(3, 120);
    for (fault, rule) in table {
        let violations = check(&|| Wrong::make(fault), &workload).expect_err("it is wrong");
        assert!(violations.iter().any(|violation| violation.rule == rule), "{fault:?}: {violations:#?}");
        assert!(rules().any(|known| known == rule));
    }
}
