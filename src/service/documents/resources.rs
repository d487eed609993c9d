//! Which keys an operation holds from validate to apply, and why they are enough.
//!
//! | validate reads, apply depends on | covered by |
//! |---|---|
//! | the document itself, its version | its key, exclusive |
//! | that no other document has this value of a unique field | the key of the new value, exclusive |
//! | that the document referred to is there | that one's key, shared |
//! | the schema of the type, and who refers to it | `schema_set` runs alone |
//! | who refers to a document that is deleted, all the way down | the delete runs alone where it would change them; where it can only be refused, a new reference needs the key of the document that goes |
//! | the sum of all memory | nothing: it is a limit, not a fact of the state, and apply does not look at it |
//!
//! The old value of a unique field needs no key. As long as the operation that frees it is not applied, others
//! are refused as if they had come before it, which is a true answer.
//!
//! A create without an identifier gets a fresh one, which nobody else can know yet.

use std::borrow::Cow;

use super::Documents;
use super::command::{Action, Method, Write, id_of};
use super::object::{Member, object};
use super::schema::{OnDelete, Schema, SchemaSet, find, unique_text};
use crate::error::Problem;
use crate::service::{Resource, Resources};
use crate::types::Operation;
use crate::types::json;

impl Documents {
    /// See the module.
    pub(super) fn resources_of(&self, operation: &Operation) -> Result<Resources, Problem> {
        let data = &*operation.data;
        match Method::parse(&operation.method)? {
            Method::Schema => SchemaSet::parse(data).map(|_| Resources::Alone),
            Method::Write(kind, Action::Delete) if self.delete_changes_others(kind) => {
                Write::parse(kind, Action::Delete, data).map(|_| Resources::Alone)
            }
            Method::Write(kind, action) => {
                let is_indexed = |schema: &&Schema| action != Action::Delete && schema.is_indexed();
                let schema = self.state.schema(kind).filter(is_indexed);
                // The data is read no further than it must be: validate is going to read it all.
                let id = match json::get(data, "id").and_then(id_of) {
                    Some(id) => Some(id),
                    // There is none, or something is wrong.
                    None => Write::parse(kind, action, data)?.id,
                };
                Ok(keys(kind, action, id, data, schema))
            }
        }
    }

    fn delete_changes_others(&self, kind: &str) -> bool {
        let referrers = self.state.referrers.get(kind);
        referrers.is_some_and(|referrers| referrers.iter().any(|referrer| referrer.on_delete != OnDelete::Restrict))
    }
}

/// The members that stand in an index.
fn indexed<'a>(data: &'a str, schema: &Schema) -> Vec<Member<'a>> {
    let most = schema.unique.len() + schema.references.len();
    let mut members = Vec::with_capacity(most);
    members.extend(json::members(data).filter(|member| schema.indexes(member)).take(most));
    members
}

fn keys(kind: &str, action: Action, id: Option<Cow<'_, str>>, data: &str, schema: Option<&Schema>) -> Resources {
    let mut keys = Vec::with_capacity(2);
    if let Some(id) = &id {
        keys.push(Resource::exclusive([kind, "/", id].concat()));
    }
    let Some(schema) = schema else { return Resources::Keys(keys) };
    let members = indexed(data, schema);
    for field in &schema.unique {
        let Some(value) = find(&members, field) else { continue };
        if action == Action::Update && merges(value) {
            // Merged with what stands there, and that may change until the keys are held.
            return Resources::Alone;
        }
        keys.push(Resource::exclusive([kind, ".", field, "=", &unique_text(value)].concat()));
    }
    for reference in &schema.references {
        // None too for what validate is going to refuse.
        if let Some(id) = reference.target(&members).ok().flatten() {
            keys.push(Resource::shared([&reference.kind, "/", &id].concat()));
        }
    }
    if keys.len() > 1 {
        // A document that refers to itself: the exclusive one comes first and stays.
        keys.sort();
        keys.dedup_by(|later, earlier| later.key == earlier.key);
    }
    Resources::Keys(keys)
}

fn merges(value: &str) -> bool {
    object(value).is_some()
}
