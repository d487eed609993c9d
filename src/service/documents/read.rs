//! Reads: one document, pages of a list at one version, types and schemas.

use super::Documents;
use super::object::{object, quoted};
use super::schema::unique_text;
use super::state::{Kind, schema_json};
use super::store::{Doc, Key, Store};
use crate::limits::LIST_ITEMS_MAX;
use crate::types::json::string_of;
use crate::types::{Version, format_time};

/// A document that was found.
#[derive(Clone)]
pub struct Found {
    key: Key,
    doc: Doc,
}

impl Found {
    /// Its identifier.
    pub fn id(&self) -> Box<str> {
        self.key.to_text()
    }

    /// The version that changed it last.
    pub fn version(&self) -> Version {
        self.doc.version()
    }

    /// The document as it was stored.
    pub fn stored(&self) -> &str {
        self.doc.text()
    }

    /// The document as it was stored, then `_version`, `_created` and `_updated`.
    pub fn json(&self) -> String {
        let text = self.doc.text();
        let body = text.strip_suffix('}').unwrap_or(text);
        let comma = if body.ends_with('{') { "" } else { "," };
        let (created, updated) = (format_time(self.doc.created()), format_time(self.doc.updated()));
        let version = self.doc.version();
        format!(r#"{body}{comma}"_version":{version},"_created":"{created}","_updated":"{updated}"}}"#)
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.json())
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// Documents in the order of their identifiers.
    pub items: Vec<Found>,
    /// What `after` must be for the next page; `None` at the end.
    pub next: Option<Box<str>>,
    /// The version at which all of it was true.
    pub version: Version,
}

/// The documents of one type, frozen at one version: it may be kept and read from any thread.
#[derive(Clone)]
pub struct Listing {
    kind: Kind,
    version: Version,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("version", &self.version).field("len", &self.len()).finish()
    }
}

impl Listing {
    /// The version at which it is frozen.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many documents there are, filters aside.
    pub fn len(&self) -> usize {
        self.kind.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Documents after an identifier whose fields have these values, at most `limit` of them (and never more
    /// than [`LIST_ITEMS_MAX`]).
    ///
    /// A value is the text of a string, or a number, `true`, `false` or `null` exactly as it is spelled in the
    /// document. A filter on `id` or on a unique field is a look-up; others read every document.
    pub fn page(&self, filters: &[(&str, &str)], after: Option<&str>, limit: usize) -> Page {
        let limit = limit.min(LIST_ITEMS_MAX);
        let mut items = self.find(filters, after, limit.saturating_add(1));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(Found::id);
        Page { items, next, version: self.version }
    }

    /// As [`Listing::page`], but a part of it where it would read more than `looks` documents: `next` then leads on
    /// from the last one that was read.
    pub fn page_within(&self, filters: &[(&str, &str)], after: Option<&str>, limit: usize, looks: usize) -> Page {
        if !self.reads_all(filters) {
            return self.page(filters, after, limit);
        }
        let after = after.map(Key::new);
        let (mut items, mut next) = (Vec::new(), None);
        for (looked, (key, doc)) in self.kind.documents.after(after.as_ref()).enumerate() {
            if looked == looks || items.len() == limit {
                break;
            }
            next = Some(key);
            if matches(doc, filters) {
                items.push(Found { key: key.clone(), doc: doc.clone() });
            }
        }
        let next = next.filter(|key| self.kind.documents.last() != Some(key)).map(Key::to_text);
        Page { items, next, version: self.version }
    }

    /// Whether these filters make a page read every document, as no index knows those that match.
    pub fn reads_all(&self, filters: &[(&str, &str)]) -> bool {
        !filters.is_empty() && self.candidates(filters).is_none()
    }

    fn find(&self, filters: &[(&str, &str)], after: Option<&str>, most: usize) -> Vec<Found> {
        let after = after.map(Key::new);
        let found = |(key, doc): (&Key, &Doc)| Found { key: key.clone(), doc: doc.clone() };
        if let Some(candidates) = self.candidates(filters) {
            let candidates = candidates.iter().filter(|key| after.as_ref().is_none_or(|after| *key > after));
            let documents = candidates.filter_map(|key| Some((key, self.kind.documents.get(key)?)));
            return documents.filter(|(_, doc)| matches(doc, filters)).take(most).map(found).collect();
        }
        let documents = self.kind.documents.after(after.as_ref());
        documents.filter(|(_, doc)| matches(doc, filters)).take(most).map(found).collect()
    }

    /// The few documents that can match at all, in order, where an index knows them.
    fn candidates(&self, filters: &[(&str, &str)]) -> Option<Vec<Key>> {
        if let Some((_, id)) = filters.iter().find(|(field, _)| *field == "id") {
            return Some(vec![Key::new(id)]);
        }
        let unique = self.kind.schema.as_ref().map_or(&[][..], |adopted| &adopted.schema.unique);
        let (tree, value) = filters.iter().find_map(|&(field, value)| {
            let place = unique.iter().position(|known| **known == *field)?;
            // Null is in no index.
            (value != "null").then_some((&self.kind.unique[place], value))
        })?;
        let mut keys: Vec<Key> = [quoted(value), value.to_owned()]
            .iter()
            .filter_map(|value| tree.get(&Key::new(&unique_text(value))).cloned())
            .collect();
        keys.sort();
        keys.dedup();
        Some(keys)
    }
}

fn matches(doc: &Doc, filters: &[(&str, &str)]) -> bool {
    if filters.is_empty() {
        return true;
    }
    let members = object(doc.text()).unwrap_or_default();
    filters.iter().all(|(field, wanted)| {
        members.iter().any(|member| {
            member.is(field)
                && match member.value().as_bytes().first() {
                    Some(b'"') => string_of(member.value()).is_some_and(|text| text == *wanted),
                    Some(b'{' | b'[') => false,
                    _ => member.value() == *wanted,
                }
        })
    })
}

/// Reads.
impl Documents {
    /// One document.
    pub fn get(&self, kind: &str, id: &str) -> Option<Found> {
        let key = Key::new(id);
        let doc = self.state.get(kind, &key)?.clone();
        Some(Found { key, doc })
    }

    /// The documents of one type as they are now; none when the type is not known.
    pub fn listing(&self, kind: &str) -> Listing {
        let kind = self.state.kinds.get(kind).cloned().unwrap_or_default();
        Listing { kind, version: self.state.version }
    }

    /// One page of [`Self::listing`].
    pub fn list(&self, kind: &str, filters: &[(&str, &str)], after: Option<&str>, limit: usize) -> Page {
        self.listing(kind).page(filters, after, limit)
    }

    /// Every type that has documents or a schema, in order, with the number of its documents.
    pub fn types(&self) -> Vec<(Box<str>, usize)> {
        self.state.kinds.iter().map(|(name, kind)| ((**name).into(), kind.documents.len())).collect()
    }

    /// How many documents there are in all.
    pub fn len(&self) -> usize {
        self.state.kinds.values().map(|kind| kind.documents.len()).sum()
    }

    /// Whether there are no documents.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The schema of a type, as `schema_set` takes it, then `_version` and `_updated`.
    pub fn schema(&self, kind: &str) -> Option<String> {
        let adopted = self.state.kinds.get(kind)?.schema.as_ref()?;
        Some(schema_json(kind, adopted))
    }

    /// All schemas in the order of their types.
    pub fn schemas(&self) -> Vec<String> {
        self.state.kinds.keys().filter_map(|name| self.schema(name)).collect()
    }
}
