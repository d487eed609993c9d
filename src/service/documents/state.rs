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
use super::schema::{OnDelete, Reference, Schema, unique_key};
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

impl Kind {
    fn schema(&self) -> Option<&Schema> {
        Some(&self.schema.as_ref()?.schema)
    }
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
    before: Option<Before>,
    /// Its entries in the indexes from now on; `None`: they stay as they are.
    entries: Option<Entries>,
}

/// What is kept in mind of a document that is to change.
#[derive(Clone, Copy)]
struct Before {
    created: Micros,
    bytes: usize,
}

impl From<&Doc> for Before {
    fn from(doc: &Doc) -> Self {
        Self { created: doc.created(), bytes: doc.text_len() }
    }
}

/// Where a write goes.
struct Place<'s> {
    key: Key,
    kind: Option<&'s Kind>,
    before: Option<&'s Doc>,
}

/// All that one operation changes.
pub(super) enum Changes<'a> {
    /// Nearly always.
    One(Change<'a>),
    /// A delete that others feel.
    Many(Vec<Change<'a>>),
}

impl<'a> Changes<'a> {
    pub(super) fn as_slice(&self) -> &[Change<'a>] {
        match self {
            Self::One(change) => std::slice::from_ref(change),
            Self::Many(changes) => changes,
        }
    }
}

impl Change<'_> {
    /// By how many bytes the documents grow.
    pub(super) fn growth(&self) -> i64 {
        let size = |bytes: usize| (bytes as u64 + DOC_BYTES).cast_signed();
        self.text.as_ref().map_or(0, |text| size(text.len())) - self.before.map_or(0, |before| size(before.bytes))
    }
}

/// Deciding.
impl State {
    pub(super) fn get(&self, kind: &str, key: &Key) -> Option<&Doc> {
        self.kinds.get(kind)?.documents.get(key)
    }

    pub(super) fn schema(&self, kind: &str) -> Option<&Schema> {
        self.kinds.get(kind)?.schema()
    }

    /// Where a write goes and what stands there, or why it must not go there.
    fn find(&self, write: &Write<'_>) -> Result<Place<'_>, Problem> {
        let id = write.id.as_deref().ok_or_else(|| problems::invalid(&["id"], "is missing"))?;
        let key = Key::new(id);
        let kind = self.kinds.get(write.kind);
        let before = kind.and_then(|kind| kind.documents.get(&key));
        match (write.action, before) {
            (Action::Create, Some(before)) => return Err(problems::exists(write.kind, id, before.version())),
            (Action::Update | Action::Delete, None) => return Err(problems::not_found(write.kind, id)),
            _ => {}
        }
        let current = before.map_or(0, Doc::version);
        if let Some(expected) = write.if_version.filter(|expected| *expected != current) {
            return Err(problems::version_conflict(write.kind, id, expected, current));
        }
        Ok(Place { key, kind, before })
    }

    /// A patch that no schema has a word on is judged without being merged: by how many bytes the document grows at
    /// most. `None` where [`Self::decide`] has to tell.
    pub(super) fn harmless(&self, write: &Write<'_>) -> Result<Option<i64>, Problem> {
        let has_a_word = |schema: &Schema| schema.rules.is_some() || schema.concerns(&write.members);
        if write.action != Action::Update || self.schema(write.kind).is_some_and(has_a_word) {
            return Ok(None);
        }
        let before = self.find(write)?.before.map_or(0, Doc::text_len);
        let fits = before + write.data_len() <= DATA_BYTES_MAX;
        Ok(fits.then_some((write.data_len() as u64).cast_signed()))
    }

    /// What an operation changes, or why it must not.
    pub(super) fn decide<'a>(&self, write: &'a Write<'a>) -> Result<Changes<'a>, Problem> {
        let Place { key, kind, before } = self.find(write)?;
        let text = match (write.action, before) {
            (Action::Delete, _) => return self.decide_delete(write.kind, &key.to_text()),
            (Action::Update, Some(before)) => {
                let members = object(before.text()).ok_or_else(problems::not_an_object)?;
                Cow::Owned(merge(&members, &write.members, before.text_len() + write.data_len()))
            }
            _ => write.body(),
        };
        if text.len() > DATA_BYTES_MAX {
            return Err(problems::too_large(text.len()));
        }
        let entries = match kind {
            Some(kind) => self.check(write, kind, &key, &text)?,
            None => None,
        };
        let (kind, before) = (Cow::Borrowed(write.kind), before.map(Before::from));
        Ok(Changes::One(Change { kind, key, text: Some(text), before, entries }))
    }

    /// What the schema demands of a document that is to be stored, and its entries in the indexes.
    fn check(&self, write: &Write<'_>, kind: &Kind, key: &Key, text: &str) -> Result<Option<Entries>, Problem> {
        let Some(schema) = kind.schema().filter(|schema| schema.is_checked()) else { return Ok(None) };
        let is_patch = write.action == Action::Update;
        if is_patch && !schema.concerns(&write.members) {
            // What is demanded was so before, and stays.
            return Ok(None);
        }
        // After a merge the members are those of the new text; otherwise they have been read already.
        let merged = if is_patch { object(text).unwrap_or_default() } else { Vec::new() };
        let members = if is_patch { &merged } else { &write.members };
        schema.check_required(members)?;
        let entries = Entries::of(schema, write.kind, key, members);
        for ((field, tree), value) in schema.unique.iter().zip(&kind.unique).zip(&entries.unique) {
            let owner = value.as_ref().and_then(|value| tree.get(value));
            if let Some(owner) = owner.filter(|owner| *owner != key) {
                return Err(problems::unique(write.kind, field, &owner.to_text()));
            }
        }
        self.check_references(write.kind, key, schema, members)?;
        Ok(Some(entries))
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
    fn decide_delete<'a>(&self, kind: &'a str, id: &str) -> Result<Changes<'a>, Problem> {
        if !self.referrers.contains_key(kind) {
            return Ok(Changes::One(self.change(Cow::Borrowed(kind), id, None)));
        }
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
        let removals = doomed.into_iter().map(|(kind, id)| self.change(kind.into(), &id, None));
        let clearings = cleared.into_iter().map(|((kind, id), fields)| self.change(kind.into(), &id, Some(&fields)));
        Ok(Changes::Many(removals.chain(clearings).collect()))
    }

    /// The removal of a document, or the fields of it that become null.
    fn change<'a>(&self, kind: Cow<'a, str>, id: &str, cleared: Option<&[String]>) -> Change<'a> {
        let key = Key::new(id);
        let before = self.get(&kind, &key);
        let text = cleared.zip(before).map(|(fields, before)| with_nulls(before.text(), fields));
        let entries = match (&text, self.schema(&kind)) {
            (Some(text), Some(schema)) => Entries::of(schema, &kind, &key, &object(text).unwrap_or_default()),
            _ => Entries::default(),
        };
        Change { kind, key, text: text.map(Cow::Owned), before: before.map(Before::from), entries: Some(entries) }
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
        if fields.iter().any(|field| member.is(field)) {
            out.push_str(&member.text[..member.text.len() - member.value().len()]);
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
    pub(super) fn perform(&mut self, changes: Changes<'_>, version: Version, time: Micros) {
        match changes {
            Changes::One(change) => self.perform_one(change, version, time),
            Changes::Many(changes) => {
                for change in changes {
                    self.perform_one(change, version, time);
                }
            }
        }
    }

    fn perform_one(&mut self, change: Change<'_>, version: Version, time: Micros) {
        let mut growth = change.growth();
        let Change { kind: name, key, text, before, entries } = change;
        let kind = match self.kinds.get_mut(&*name) {
            Some(kind) => kind,
            None => self.kinds.entry(name.as_ref().into()).or_default(),
        };
        let doc = text.map(|text| Doc::new(version, before.map_or(time, |before| before.created), time, &text));
        let old = match doc {
            Some(doc) => kind.documents.insert(key.clone(), doc),
            None => kind.documents.remove(&key),
        };
        match (&kind.schema, entries) {
            (Some(adopted), Some(entries)) if adopted.schema.is_indexed() => {
                let members = old.as_ref().and_then(|old| object(old.text())).unwrap_or_default();
                let old = Entries::of(&adopted.schema, &name, &key, &members);
                growth += old.replace(entries, &key, &mut kind.unique, &mut self.references);
            }
            (None, _) if kind.documents.len() == 0 => {
                self.kinds.remove(&*name);
            }
            _ => {}
        }
        self.bytes = self.bytes.checked_add_signed(growth).expect("bytes are counted both ways");
    }
}

/// The entries of one document in the indexes. Where a place is missing, there is none.
#[derive(Default)]
struct Entries {
    /// In the order of the schema's unique fields.
    unique: Vec<Option<Key>>,
    /// In the order of the schema's references.
    references: Vec<Option<Key>>,
}

impl Entries {
    fn of(schema: &Schema, kind: &str, key: &Key, members: &[Member<'_>]) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        let unique = schema.unique.iter().map(|field| unique_key(members, field)).collect();
        let mut buffer = [0; 36];
        let id = if schema.references.is_empty() { "" } else { key.text(&mut buffer) };
        let entry = |reference: &Reference| {
            let target = reference.target(members).ok().flatten()?;
            Some(reference_key((&reference.kind, &target), kind, id, &reference.field))
        };
        Self { unique, references: schema.references.iter().map(entry).collect() }
    }

    /// Puts the new entries of a document where these are, and says by how many bytes the indexes grow.
    fn replace(self, new: Self, owner: &Key, unique: &mut [Tree<Key>], references: &mut Tree<()>) -> i64 {
        let mut growth = 0;
        for (tree, (old, new)) in unique.iter_mut().zip(pairs(self.unique, new.unique)) {
            growth += swap(tree, old, new, owner.clone(), Some(owner));
        }
        for (old, new) in pairs(self.references, new.references) {
            growth += swap(references, old, new, (), None);
        }
        growth
    }
}

fn pairs(old: Vec<Option<Key>>, new: Vec<Option<Key>>) -> impl Iterator<Item = (Option<Key>, Option<Key>)> {
    let count = old.len().max(new.len());
    let (mut old, mut new) = (old.into_iter(), new.into_iter());
    (0..count).map(move |_| (old.next().flatten(), new.next().flatten()))
}

/// One entry for another, and by how many bytes the index grows.
fn swap<V: Clone>(tree: &mut Tree<V>, old: Option<Key>, new: Option<Key>, value: V, owner: Option<&Key>) -> i64 {
    let mut growth = 0;
    if old == new {
        return growth;
    }
    if let Some(old) = old {
        growth -= index_bytes(&old, owner);
        tree.remove(&old);
    }
    if let Some(new) = new {
        growth += index_bytes(&new, owner);
        tree.insert(new, value);
    }
    growth
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
