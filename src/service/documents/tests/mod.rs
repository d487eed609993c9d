//! The contract of the documents, one sentence at a time.

mod limits;
mod model;
mod references;
mod schemas;
mod snapshots;
mod writes;

use serde_json::Value;

use super::{Documents, Settings};
use crate::error::Problem;
use crate::service::{Context, Entry, Outcome, Resource, Resources, Service, Valid};
use crate::types::Operation;

/// 2026-01-01T00:00:00Z; the record of version v is v seconds later.
const START: u64 = 1_767_225_600_000_000;

/// A log of one node, reduced to what the service sees.
struct Bench {
    documents: Documents,
}

impl Bench {
    fn new() -> Self {
        Self { documents: Documents::new(Settings::default()) }
    }

    fn with(operations: &[(&str, &str)]) -> Self {
        let mut bench = Self::new();
        for (method, data) in operations {
            bench.ok(method, data);
        }
        bench
    }

    /// Validates and applies; `Err` is what validate said.
    fn run(&mut self, method: &str, data: &str) -> Result<String, Problem> {
        let valid = self.validate(method, data)?;
        let outcome = self.apply(method, valid.data.as_deref().unwrap_or(data));
        assert_eq!(outcome.status, 200, "{method} {data} was valid: {outcome:?}");
        Ok(outcome.result.into())
    }

    fn ok(&mut self, method: &str, data: &str) -> String {
        self.run(method, data).unwrap_or_else(|problem| panic!("{method} {data}: {problem}"))
    }

    /// Refused by validate with this status and code; apply says the same, and neither changes anything.
    fn refused(&mut self, method: &str, data: &str, status: u16, code: &str) -> Problem {
        let problem = self.validate(method, data).unwrap_err();
        assert_eq!((problem.status, &*problem.code), (status, code), "{method} {data}: {problem}");
        let before = self.contents();
        let outcome = self.apply(method, data);
        let result: Value = serde_json::from_str(&outcome.result).unwrap();
        assert_eq!((outcome.status, &result["error"]["code"]), (status, &Value::from(code)), "{method} {data}");
        assert_eq!(self.contents(), before, "{method} {data}");
        problem
    }

    fn validate(&self, method: &str, data: &str) -> Result<Valid, Problem> {
        let fresh_id = || uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00ff);
        let context = Context { now: START, fresh_id: &fresh_id };
        self.documents.validate(&Operation::new(method, data), &context)
    }

    fn apply(&mut self, method: &str, data: &str) -> Outcome {
        let version = self.documents.version() + 1;
        let operation = Operation::new(method, data);
        let entry = Entry { version, time: START + version * 1_000_000, operation: Some(&operation) };
        let outcome = self.documents.apply(&[entry]).unwrap().remove(0);
        assert_eq!(self.documents.version(), version);
        outcome
    }

    fn resources(&self, method: &str, data: &str) -> Resources {
        self.documents.resources(&Operation::new(method, data)).unwrap()
    }

    fn stored(&self, kind: &str, id: &str) -> Option<String> {
        self.documents.get(kind, id).map(|found| found.stored().to_owned())
    }

    /// Every document and schema.
    fn contents(&self) -> Vec<String> {
        let mut all = self.documents.schemas();
        for (kind, _) in self.documents.types() {
            let page = self.documents.list(&kind, &[], None, usize::MAX);
            all.extend(page.items.iter().map(super::Found::json));
        }
        all
    }

    fn ids(&self, kind: &str, filters: &[(&str, &str)]) -> Vec<String> {
        let page = self.documents.list(kind, filters, None, usize::MAX);
        page.items.iter().map(|found| found.id().into()).collect()
    }
}

fn keys(shared: &[&str], exclusive: &[&str]) -> Resources {
    let shared = shared.iter().map(|key| Resource::shared(*key));
    let mut keys: Vec<_> = exclusive.iter().map(|key| Resource::exclusive(*key)).chain(shared).collect();
    keys.sort();
    Resources::Keys(keys)
}

fn extra<'a>(problem: &'a Problem, name: &str) -> &'a Value {
    problem.extra.iter().find(|(known, _)| known == name).map_or(&Value::Null, |(_, value)| value)
}
