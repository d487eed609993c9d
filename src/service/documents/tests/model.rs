//! Random operations against a naive model: maps of parsed values, every rule by full search.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Bench;
use crate::service::{Documents, Service};

type Id = (String, String);

#[derive(Debug, Clone, Default)]
struct Model {
    documents: BTreeMap<Id, (Value, u64)>,
    schemas: BTreeMap<String, Value>,
}

impl Model {
    fn apply(&mut self, method: &str, data: &Value, version: u64) -> u16 {
        let mut next = self.clone();
        match next.run(method, data, version) {
            Ok(()) => {
                *self = next;
                200
            }
            Err(status) => status,
        }
    }

    fn run(&mut self, method: &str, data: &Value, version: u64) -> Result<(), u16> {
        if method == "schema_set" {
            self.schemas.insert(data["type"].as_str().unwrap().to_owned(), data.clone());
            return self.check().map_err(|_| 409);
        }
        let (kind, action) = method.rsplit_once('_').unwrap();
        let mut body = data.as_object().unwrap().clone();
        let expected = body.remove("_if_version").and_then(|value| value.as_u64());
        let key = (kind.to_owned(), body["id"].as_str().unwrap().to_owned());
        let before = self.documents.get(&key).cloned();
        match (action, &before) {
            ("create", Some(_)) => return Err(409),
            ("update" | "delete", None) => return Err(404),
            _ => {}
        }
        if expected.is_some_and(|expected| expected != before.as_ref().map_or(0, |(_, version)| *version)) {
            return Err(409);
        }
        match action {
            "delete" => return self.delete(key, version),
            "update" => {
                let mut merged = before.unwrap().0;
                merge(&mut merged, &Value::Object(body));
                self.documents.insert(key, (merged, version));
            }
            _ => {
                self.documents.insert(key, (Value::Object(body), version));
            }
        }
        self.check()
    }

    fn references(&self, kind: &str) -> Map<String, Value> {
        self.schemas.get(kind).and_then(|schema| schema["references"].as_object()).cloned().unwrap_or_default()
    }

    /// Everything about everything: first what is required, then what is unique, then what is referred to.
    fn check(&self) -> Result<(), u16> {
        let named = |kind: &str, list: &str| -> Vec<String> {
            let fields = self.schemas.get(kind).and_then(|schema| schema[list].as_array());
            fields.into_iter().flatten().map(|field| field.as_str().unwrap().to_owned()).collect()
        };
        for ((kind, _), (document, _)) in &self.documents {
            if named(kind, "required").iter().any(|field| document[field].is_null()) {
                return Err(422);
            }
        }
        for ((kind, id), (document, _)) in &self.documents {
            for field in named(kind, "unique") {
                let value = &document[&field];
                let same = |((other_kind, other), (document, _)): (&Id, &(Value, u64))| {
                    other_kind == kind && other != id && document[&field] == *value
                };
                if !value.is_null() && self.documents.iter().any(same) {
                    return Err(409);
                }
            }
        }
        for ((kind, _), (document, _)) in &self.documents {
            for (field, reference) in self.references(kind) {
                let target = (
                    reference["type"].as_str().unwrap().to_owned(),
                    match &document[&field] {
                        Value::Null => continue,
                        Value::String(id) => id.clone(),
                        _ => return Err(422),
                    },
                );
                if !self.documents.contains_key(&target) {
                    return Err(422);
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: Id, version: u64) -> Result<(), u16> {
        let mut doomed = vec![key];
        let mut at = 0;
        let (mut cleared, mut restricted) = (Vec::new(), Vec::new());
        while at < doomed.len() {
            let target = doomed[at].clone();
            at += 1;
            for (source, (document, _)) in &self.documents {
                for (field, reference) in self.references(&source.0) {
                    if reference["type"] != target.0.as_str() || document[&field] != target.1.as_str() {
                        continue;
                    }
                    match reference["on_delete"].as_str().unwrap() {
                        "cascade" if !doomed.contains(source) => doomed.push(source.clone()),
                        "cascade" => {}
                        "set_null" => cleared.push((source.clone(), field)),
                        _ => restricted.push(source.clone()),
                    }
                }
            }
        }
        if restricted.iter().any(|source| !doomed.contains(source)) {
            return Err(409);
        }
        for key in &doomed {
            self.documents.remove(key);
        }
        for (source, field) in cleared {
            if let Some((document, changed)) = self.documents.get_mut(&source) {
                document[&field] = Value::Null;
                *changed = version;
            }
        }
        Ok(())
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c")];
    prop_oneof![
        4 => id.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => (0..3_i32).prop_map(Value::from),
        1 => (0..2_i32).prop_map(|n| json!({ "x": n })),
        1 => Just(json!({ "x": null, "y": "long enough to lie behind a pointer" })),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let fields = prop::collection::btree_map(prop_oneof![Just("m"), Just("n"), Just("r"), Just("s")], value(), 0..4);
    let id = prop_oneof![Just("a"), Just("b"), Just("c")];
    (id, fields, prop::option::weighted(0.1, 0..30_u64)).prop_map(|(id, fields, expected)| {
        let mut body: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        body.insert("id".to_owned(), id.into());
        if let Some(expected) = expected {
            body.insert("_if_version".to_owned(), expected.into());
        }
        Value::Object(body)
    })
}

fn schema() -> impl Strategy<Value = Value> {
    let kind = || prop_oneof![Just("p"), Just("q")];
    let unique = prop::sample::subsequence(vec!["m", "n"], 0..=2);
    let required = prop::sample::subsequence(vec!["m"], 0..=1);
    let action = prop_oneof![Just("cascade"), Just("restrict"), Just("set_null")];
    let references = prop::collection::btree_map(prop_oneof![Just("r"), Just("s")], (kind(), action), 0..3);
    (kind(), unique, required, references).prop_map(|(kind, unique, required, references)| {
        let references: Map<String, Value> = references
            .into_iter()
            .map(|(field, (kind, action))| (field.to_owned(), json!({ "type": kind, "on_delete": action })))
            .collect();
        json!({ "type": kind, "unique": unique, "required": required, "references": references })
    })
}

fn operation() -> impl Strategy<Value = (String, Value)> {
    let write = |action: &'static str| {
        (prop_oneof![Just("p"), Just("q")], document())
            .prop_map(move |(kind, document)| (format!("{kind}_{action}"), document))
    };
    let delete = write("delete").prop_map(|(method, document)| (method, json!({ "id": document["id"] })));
    prop_oneof![
        4 => write("create"),
        3 => write("update"),
        3 => write("put"),
        2 => delete,
        2 => schema().prop_map(|schema| ("schema_set".to_owned(), schema)),
    ]
}

fn visible(documents: &Documents) -> BTreeMap<Id, (Value, u64)> {
    let mut all = BTreeMap::new();
    for (kind, _) in documents.types() {
        for found in documents.list(&kind, &[], None, usize::MAX).items {
            let value = serde_json::from_str(found.stored()).unwrap();
            all.insert((kind.clone().into(), found.id().into()), (value, found.version()));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_what_a_naive_model_says(operations in prop::collection::vec(operation(), 1..60)) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for (method, data) in &operations {
            let judged = bench.validate(method, &data.to_string()).map_or_else(|problem| problem.status, |_| 200);
            let outcome = bench.apply(method, &data.to_string());
            prop_assert_eq!(judged, outcome.status, "validate against apply of {} {}", method, data);
            let version = bench.documents.version();
            prop_assert_eq!(outcome.status, model.apply(method, data, version), "{} {}: {:?}", method, data, outcome);
            prop_assert_eq!(visible(&bench.documents), model.documents.clone());
        }
        // What the indexes say is what a search says.
        for ((kind, id), (document, _)) in &model.documents {
            if let Some(Value::String(text)) = document.get("m") {
                prop_assert!(bench.ids(kind, &[("m", text)]).contains(id));
            }
        }
        let mut bytes = Vec::new();
        bench.documents.snapshot().write(&mut bytes).unwrap();
        let mut copy = Documents::default();
        copy.restore(bench.documents.version(), &mut bytes.as_slice()).unwrap();
        prop_assert_eq!(visible(&copy), model.documents.clone());
        prop_assert_eq!(copy.memory_bytes(), bench.documents.memory_bytes());
        prop_assert_eq!(copy.digest(), bench.documents.digest());
        prop_assert_eq!(copy.schemas(), bench.documents.schemas());
        // Deleting everything, in any order that is allowed, leaves nothing behind.
        for (method, _) in [("p", ()), ("q", ())] {
            bench.apply("schema_set", &format!(r#"{{"type":"{method}"}}"#));
        }
        for (kind, id) in model.documents.keys() {
            let outcome = bench.apply(&format!("{kind}_delete"), &format!(r#"{{"id":"{id}"}}"#));
            prop_assert_eq!(outcome.status, 200);
        }
        prop_assert_eq!(bench.documents.memory_bytes(), 0);
    }
}
