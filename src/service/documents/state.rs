//! The state: documents, schemas and the indexes that the schemas ask for.
//!
//! ```text
//!   kinds        type ─► schema, documents (id ─► Doc), one tree for each unique field (value ─► id)
//!   references   "target type, target id, type, id, field": who refers to whom, so that a delete need not search
//!   referrers    type ─► the references of all schemas that point at it
//! ```
//!
//! Deciding and changing are apart: [`State::decide`] reads and says what would change, [`State::perform`] does
//! it. Validate runs the first, apply runs both, so that the two can never judge differently.
//!
//! # Invariants
//! 1. A clone is a frozen view and costs a few pointers.
//! 2. No two documents of a type share the value of a unique field; every reference leads to a document;
//!    required fields are there. What would break this is refused by `decide`, in apply too.
//! 3. `bytes` is the sum of what each document and index entry is counted with.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::command::{Action, Write};
use super::merge::merge;
use super::object::{Member, object, quoted};
use super::problems;
use super::schema::{OnDelete, Schema, unique_key};
use super::store::{Doc, Key, Store, Tree};
use crate::error::Problem;
use crate::limits::DATA_BYTES_MAX;
use crate::types::{Micros, Version};

/// Bytes that a document takes beside its text: head, counters, allocator, its place in the tree (measured).
pub(super) const DOC_BYTES: u64 = 136;
/// Bytes that an entry of an index takes beside what its keys hold elsewhere (measured).
pub(super) const INDEX_BYTES: u64 = 88;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) version: Version,
    pub(super) kinds: OrdMap<Arc<str>, Kind>,
    pub(super) references: Tree<()>,
    pub(super) referrers: Arc<Referrers>,
    pub(super) bytes: u64,
}

/// All about one type.
#[derive(Clone, Default)]
pub(super) struct Kind {
    pub(super) schema: Option<Arc<Adopted>>,
    pub(super) documents: Tree<Doc>,
    /// In the order of the schema's unique fields.
    pub(super) unique: Vec<Tree<Key>>,
}

/// A schema in force.
#[derive(Default)]
pub(super) struct Adopted {
    pub(super) schema: Schema,
    /// Since when.
    pub(super) version: Version,
    pub(super) time: Micros,
}

/// By the type that is referred to.
pub(super) type Referrers = BTreeMap<Box<str>, Vec<Referrer>>;

/// A reference, seen from its target.
pub(super) struct Referrer {
    pub(super) kind: Box<str>,
    pub(super) field: Box<str>,
    pub(super) on_delete: OnDelete,
}

/// One document changes.
pub(super) struct Change<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) key: Key,
    /// What it says from now on; `None`: it goes.
    pub(super) text: Option<Cow<'a, str>>,
    /// What it was.
    pub(super) before: Option<Doc>,
}

impl Change<'_> {
    /// By how many bytes the documents grow.
    pub(super) fn growth(&self) -> i64 {
        let size = |text: &str| (text.len() as u64 + DOC_BYTES).cast_signed();
        self.text.as_deref().map_or(0, size) - self.before.as_ref().map_or(0, |before| size(before.text()))
    }
}

/// Deciding.
impl State {
    pub(super) fn get(&self, kind: &str, key: &Key) -> Option<&Doc> {
        self.kinds.get(kind)?.documents.get(key)
    }

    pub(super) fn schema(&self, kind: &str) -> Option<&Schema> {
        Some(&self.kinds.get(kind)?.schema.as_ref()?.schema)
    }

    /// What an operation changes, or why it must not.
    pub(super) fn decide<'a>(&self, write: &'a Write<'a>) -> Result<Vec<Change<'a>>, Problem> {
        let id = write.id.as_deref().ok_or_else(|| problems::invalid(&["id"], "is missing"))?;
        let key = Key::new(id);
        let before = self.get(write.kind, &key);
        match (write.action, before) {
            (Action::Create, Some(before)) => return Err(problems::exists(write.kind, id, before.version())),
            (Action::Update | Action::Delete, None) => return Err(problems::not_found(write.kind, id)),
            _ => {}
        }
        let current = before.map_or(0, Doc::version);
        if let Some(expected) = write.if_version.filter(|expected| *expected != current) {
            return Err(problems::version_conflict(write.kind, id, expected, current));
        }
        let text = match (write.action, before) {
            (Action::Delete, _) => return self.decide_delete(write.kind, id),
            (Action::Update, Some(before)) => {
                let members = object(before.text()).ok_or_else(problems::not_an_object)?;
                Cow::Owned(merge(&members, &write.members, before.text().len() + write.data_len()))
            }
            _ => write.body(),
        };
        if text.len() > DATA_BYTES_MAX {
            return Err(problems::too_large(text.len()));
        }
        self.check(write, &key, &text)?;
        Ok(vec![Change { kind: Cow::Borrowed(write.kind), key, text: Some(text), before: before.cloned() }])
    }

    /// What the schema demands of a document that is to be stored.
    fn check(&self, write: &Write<'_>, key: &Key, text: &str) -> Result<(), Problem> {
        let Some(kind) = self.kinds.get(write.kind) else { return Ok(()) };
        let Some(schema) = kind.schema.as_ref().map(|adopted| &adopted.schema).filter(|schema| schema.is_checked())
        else {
            return Ok(());
        };
        // After a merge the members are those of the new text; otherwise they have been read already.
        let merged = if write.action == Action::Update { object(text).unwrap_or_default() } else { Vec::new() };
        let members = if write.action == Action::Update { &merged } else { &write.members };
        schema.check_required(members)?;
        for (field, tree) in schema.unique.iter().zip(&kind.unique) {
            let owner = unique_key(members, field).and_then(|value| tree.get(&value));
            if let Some(owner) = owner.filter(|owner| *owner != key) {
                return Err(problems::unique(write.kind, field, &owner.to_text()));
            }
        }
        self.check_references(write.kind, key, schema, members)
    }

    /// Every reference leads to a document; a document may refer to itself.
    pub(super) fn check_references(
        &self,
        kind: &str,
        key: &Key,
        schema: &Schema,
        members: &[Member<'_>],
    ) -> Result<(), Problem> {
        for reference in &schema.references {
            let Some(id) = reference.target(members)? else { continue };
            let target = Key::new(&id);
            let is_itself = *reference.kind == *kind && target == *key;
            if !is_itself && self.get(&reference.kind, &target).is_none() {
                let what = format!("there is no {}/{id}", reference.kind);
                return Err(problems::invalid(&[&reference.field], &what));
            }
        }
        Ok(())
    }

    /// The document, all that goes with it, and all that loses a reference by it.
    ///
    /// A reference that restricts does so unless the document that holds it goes too, whatever the order.
    fn decide_delete<'a>(&self, kind: &'a str, id: &str) -> Result<Vec<Change<'a>>, Problem> {
        let mut doomed = BTreeSet::new();
        let mut cleared: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        let mut restricted = Vec::new();
        let mut queue = vec![(kind.to_owned(), id.to_owned())];
        doomed.extend(queue.iter().cloned());
        while let Some((kind, id)) = queue.pop() {
            if !self.referrers.contains_key(&*kind) {
                continue;
            }
            for (source, field) in self.referring(&kind, &id) {
                match self.on_delete(&kind, &source.0, &field) {
                    OnDelete::Cascade if doomed.insert(source.clone()) => queue.push(source),
                    OnDelete::Cascade => {}
                    OnDelete::SetNull => cleared.entry(source).or_default().push(field),
                    OnDelete::Restrict => restricted.push(((kind.clone(), id.clone()), source, field)),
                }
            }
        }
        if let Some((target, source, field)) = restricted.iter().find(|(_, source, _)| !doomed.contains(source)) {
            return Err(problems::restricted((&target.0, &target.1), (&source.0, &source.1), field));
        }
        cleared.retain(|source, _| !doomed.contains(source));
        let removals = doomed.into_iter().map(|(kind, id)| self.change(kind, &id, None));
        let clearings = cleared.into_iter().map(|((kind, id), fields)| self.change(kind, &id, Some(&fields)));
        Ok(removals.chain(clearings).collect())
    }

    /// The removal of a document, or the fields of it that become null.
    fn change(&self, kind: String, id: &str, cleared: Option<&[String]>) -> Change<'static> {
        let key = Key::new(id);
        let before = self.get(&kind, &key).cloned();
        let text = cleared.zip(before.as_ref()).map(|(fields, before)| Cow::Owned(with_nulls(before.text(), fields)));
        Change { kind: Cow::Owned(kind), key, text, before }
    }

    /// Who refers to this document, and by which field.
    fn referring(&self, kind: &str, id: &str) -> Vec<((String, String), String)> {
        let prefix = format!("{kind}\0{id}\0");
        let mut found = Vec::new();
        for (key, ()) in self.references.after(Some(&Key::new(&prefix))) {
            let mut buffer = [0; 36];
            let Some(rest) = key.text(&mut buffer).strip_prefix(&prefix) else { break };
            let mut parts = rest.splitn(3, '\0').map(str::to_owned);
            if let (Some(kind), Some(id), Some(field)) = (parts.next(), parts.next(), parts.next()) {
                found.push(((kind, id), field));
            }
        }
        found
    }

    fn on_delete(&self, target: &str, kind: &str, field: &str) -> OnDelete {
        let referrers = self.referrers.get(target).map_or(&[][..], Vec::as_slice);
        let referrer = referrers.iter().find(|referrer| *referrer.kind == *kind && *referrer.field == *field);
        referrer.expect("an entry of the index has its reference in a schema").on_delete
    }
}

fn with_nulls(text: &str, fields: &[String]) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for member in object(text).unwrap_or_default() {
        out.push(if out.is_empty() { '{' } else { ',' });
        if fields.iter().any(|field| *field == member.name) {
            out.push_str(&member.text[..member.text.len() - member.value.len()]);
            out.push_str("null");
        } else {
            out.push_str(member.text);
        }
    }
    out.push('}');
    out
}

/// The entry of the index that says who refers to whom. Types and identifiers hold no zero.
pub(super) fn reference_key(target: (&str, &str), kind: &str, id: &str, field: &str) -> Key {
    Key::new(&[target.0, target.1, kind, id, field].join("\0"))
}

/// Changing.
impl State {
    /// Carries out what was decided on this very state.
    pub(super) fn perform(&mut self, changes: Vec<Change<'_>>, version: Version, time: Micros) {
        for change in changes {
            self.bytes = self.bytes.checked_add_signed(change.growth()).expect("bytes are counted both ways");
            self.perform_one(change, version, time);
        }
    }

    fn perform_one(&mut self, change: Change<'_>, version: Version, time: Micros) {
        let Change { kind: name, key, text, before } = change;
        if !self.kinds.contains_key(&*name) {
            self.kinds.insert(name.as_ref().into(), Kind::default());
        }
        let kind = self.kinds.get_mut(&*name).expect("it was put there if it was missing");
        match &text {
            Some(text) => {
                let created = before.as_ref().map_or(time, Doc::created);
                kind.documents.insert(key.clone(), Doc::new(version, created, time, text));
            }
            None => {
                kind.documents.remove(&key);
            }
        }
        match &kind.schema {
            Some(adopted) if adopted.schema.is_indexed() => {
                let adopted = Arc::clone(adopted);
                let old = before.as_ref().and_then(|before| object(before.text())).unwrap_or_default();
                let new = text.as_deref().and_then(object).unwrap_or_default();
                self.reindex(&name, &adopted.schema, &key, &old, &new);
            }
            None if kind.documents.len() == 0 => {
                self.kinds.remove(&*name);
            }
            _ => {}
        }
    }

    fn reindex(&mut self, name: &str, schema: &Schema, key: &Key, old: &[Member<'_>], new: &[Member<'_>]) {
        let kind = self.kinds.get_mut(name).expect("the document lies in it");
        let mut growth = 0_i64;
        for (field, tree) in schema.unique.iter().zip(&mut kind.unique) {
            let (old, new) = (unique_key(old, field), unique_key(new, field));
            if old == new {
                continue;
            }
            if let Some(old) = old {
                growth -= index_bytes(&old, Some(key));
                tree.remove(&old);
            }
            if let Some(new) = new {
                growth += index_bytes(&new, Some(key));
                tree.insert(new, key.clone());
            }
        }
        let id = key.to_text();
        for reference in &schema.references {
            let target = |members: &[Member<'_>]| {
                let id_of_target = reference.target(members).ok().flatten()?;
                Some(reference_key((&reference.kind, &id_of_target), name, &id, &reference.field))
            };
            let (old, new) = (target(old), target(new));
            if old == new {
                continue;
            }
            if let Some(old) = old {
                growth -= index_bytes(&old, None);
                self.references.remove(&old);
            }
            if let Some(new) = new {
                growth += index_bytes(&new, None);
                self.references.insert(new, ());
            }
        }
        self.bytes = self.bytes.checked_add_signed(growth).expect("bytes are counted both ways");
    }
}

/// What an entry of an index is counted with.
pub(super) fn index_bytes(key: &Key, owner: Option<&Key>) -> i64 {
    let bytes = key.heap_bytes() + owner.map_or(0, Key::heap_bytes);
    (bytes as u64 + INDEX_BYTES).cast_signed()
}

/// The schema of a type for people and programs.
pub(super) fn schema_json(kind: &str, adopted: &Adopted) -> String {
    let mut text = adopted.schema.to_json(kind);
    text.pop();
    let time = quoted(&crate::types::format_time(adopted.time));
    text.push_str(&format!(r#","_version":{},"_updated":{time}}}"#, adopted.version));
    text
}
