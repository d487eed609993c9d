//! A new schema for a type: does what is there obey it, and what indexes does it ask for.
//!
//! It runs alone, and looks at every document of the type only for what the schema before did not demand.

use std::sync::Arc;

use super::object::{Member, object};
use super::problems;
use super::schema::{Reference, Schema, SchemaSet, unique_key};
use super::state::{Adopted, Kind, Referrer, Referrers, State, index_bytes, reference_key};
use super::store::{Key, Store, Tree};
use crate::error::Problem;
use crate::types::{Micros, Version};

/// What the indexes become.
#[derive(Default)]
pub(super) struct Indexes {
    unique: Vec<Tree<Key>>,
    added: Vec<Key>,
    removed: Vec<Key>,
    growth: i64,
}

/// What the new schema demands and the old one did not.
struct News<'s> {
    /// Unique fields, with their place in the new schema.
    unique: Vec<(usize, &'s str)>,
    schema: Schema,
}

impl State {
    /// 409 when a document breaks the schema. Nothing is changed.
    pub(super) fn decide_schema(&self, set: &SchemaSet<'_>) -> Result<Indexes, Problem> {
        let none = Kind::default();
        let kind = self.kinds.get(&*set.kind).unwrap_or(&none);
        let old = kind.schema.as_ref().map(|adopted| &adopted.schema);
        let mut indexes = self.kept(kind, old, &set.schema);
        self.drop_references(&set.kind, kind, old, &set.schema, &mut indexes);
        let news = News::new(old, &set.schema);
        if news.unique.is_empty() && !news.schema.is_checked() {
            return Ok(indexes);
        }
        for (key, doc) in kind.documents.after(None) {
            let members = object(doc.text()).unwrap_or_default();
            self.admit(&set.kind, key, &members, &news, &mut indexes)?;
        }
        Ok(indexes)
    }

    /// 409 when a document breaks the JSON Schema; for validate alone.
    pub(super) fn check_documents_by_rules(&self, set: &SchemaSet<'_>) -> Result<(), Problem> {
        let Some(kind) = self.kinds.get(&*set.kind).filter(|_| set.schema.rules.is_some()) else { return Ok(()) };
        for (key, doc) in kind.documents.after(None) {
            let breaks = |why| problems::breaks_schema(&set.kind, &key.to_text(), &why);
            set.schema.check_rules(doc.text()).map_err(breaks)?;
        }
        Ok(())
    }

    /// Trees of fields that were unique before and stay so; empty ones for the others.
    fn kept(&self, kind: &Kind, old: Option<&Schema>, new: &Schema) -> Indexes {
        let mut indexes = Indexes::default();
        let old = old.map_or(&[][..], |old| &old.unique);
        for field in &new.unique {
            let place = old.iter().position(|known| known == field);
            indexes.unique.push(place.map(|place| kind.unique[place].clone()).unwrap_or_default());
        }
        for (field, tree) in old.iter().zip(&kind.unique) {
            if !new.unique.contains(field) {
                indexes.growth -= tree.after(None).map(|(key, owner)| index_bytes(key, Some(owner))).sum::<i64>();
            }
        }
        indexes
    }

    fn drop_references(&self, name: &str, kind: &Kind, old: Option<&Schema>, new: &Schema, indexes: &mut Indexes) {
        let dropped: Vec<_> = old.map_or(&[][..], |old| &old.references).iter().collect();
        let dropped: Vec<_> = dropped.into_iter().filter(|reference| !has(&new.references, reference)).collect();
        if dropped.is_empty() {
            return;
        }
        for (key, doc) in kind.documents.after(None) {
            let members = object(doc.text()).unwrap_or_default();
            for reference in &dropped {
                if let Some(key) = entry(reference, name, key, &members) {
                    indexes.growth -= index_bytes(&key, None);
                    indexes.removed.push(key);
                }
            }
        }
    }

    fn admit(
        &self,
        name: &str,
        key: &Key,
        members: &[Member<'_>],
        news: &News<'_>,
        indexes: &mut Indexes,
    ) -> Result<(), Problem> {
        let breaks = |why| problems::breaks_schema(name, &key.to_text(), &why);
        news.schema.check_required(members).map_err(breaks)?;
        self.check_references(name, key, &news.schema, members).map_err(breaks)?;
        for (place, field) in &news.unique {
            let Some(value) = unique_key(members, field) else { continue };
            indexes.growth += index_bytes(&value, Some(key));
            if let Some(owner) = indexes.unique[*place].insert(value, key.clone()) {
                return Err(problems::unique(name, field, &owner.to_text()).with("id", &*key.to_text()));
            }
        }
        for reference in &news.schema.references {
            if let Some(key) = entry(reference, name, key, members) {
                indexes.growth += index_bytes(&key, None);
                indexes.added.push(key);
            }
        }
        Ok(())
    }

    /// Puts a schema in force whose indexes were decided on this very state.
    pub(super) fn adopt(&mut self, set: SchemaSet<'_>, indexes: Indexes, version: Version, time: Micros) {
        let mut kind = self.kinds.get(&*set.kind).cloned().unwrap_or_default();
        kind.unique = indexes.unique;
        kind.schema = Some(Arc::new(Adopted { schema: set.schema, version, time }));
        self.kinds.insert(set.kind.into(), kind);
        for key in &indexes.removed {
            self.references.remove(key);
        }
        for key in indexes.added {
            self.references.insert(key, ());
        }
        self.bytes = self.bytes.checked_add_signed(indexes.growth).expect("bytes are counted both ways");
        self.find_referrers();
    }

    /// Sees the references of all schemas from their targets.
    pub(super) fn find_referrers(&mut self) {
        let mut referrers = Referrers::new();
        for (name, kind) in &self.kinds {
            for reference in kind.schema.iter().flat_map(|adopted| &adopted.schema.references) {
                referrers.entry(reference.kind.clone()).or_default().push(Referrer {
                    kind: (**name).into(),
                    field: reference.field.clone(),
                    on_delete: reference.on_delete,
                });
            }
        }
        self.referrers = Arc::new(referrers);
    }
}

/// Whether the index has the entries of this reference already: what happens on a delete is not in it.
fn has(references: &[Reference], wanted: &Reference) -> bool {
    references.iter().any(|reference| reference.field == wanted.field && reference.kind == wanted.kind)
}

fn entry(reference: &Reference, name: &str, key: &Key, members: &[Member<'_>]) -> Option<Key> {
    let target = reference.target(members).ok().flatten()?;
    Some(reference_key((&reference.kind, &target), name, &key.to_text(), &reference.field))
}

impl<'s> News<'s> {
    fn new(old: Option<&Schema>, new: &'s Schema) -> Self {
        let none = Schema::default();
        let old = old.unwrap_or(&none);
        let unique = new.unique.iter().enumerate().filter(|(_, field)| !old.unique.contains(field));
        let required = new.required.iter().filter(|field| !old.required.contains(field));
        let references = new.references.iter().filter(|reference| !has(&old.references, reference));
        Self {
            unique: unique.map(|(place, field)| (place, &**field)).collect(),
            schema: Schema {
                required: required.cloned().collect(),
                references: references.cloned().collect(),
                ..Schema::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_demanded_of_what_is_there() {
        let parse = |text| SchemaSet::parse(text).map_err(|problem| problem.detail).unwrap().schema;
        let old = parse(
            r#"{"type":"u","unique":["a"],"required":["r"],"references":{"f":{"type":"t","on_delete":"cascade"}}}"#,
        );
        let new = parse(
            r#"{"type":"u","unique":["b","a"],"required":["r","s"],"references":{"f":{"type":"t","on_delete":"restrict"},"g":{"type":"t","on_delete":"cascade"}}}"#,
        );
        let news = News::new(Some(&old), &new);
        assert_eq!(news.unique, [(0, "b")]);
        assert_eq!(news.schema.required, ["s".into()]);
        assert_eq!(news.schema.references.len(), 1);
        let nothing = News::new(Some(&new), &new);
        assert!(nothing.unique.is_empty() && !nothing.schema.is_checked());
    }
}
