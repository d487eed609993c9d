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

use super::Documents;
use super::command::{Action, Command, Write};
use super::object::{Member, object};
use super::schema::{OnDelete, find, unique_text};
use crate::error::Problem;
use crate::service::{Resource, Resources};
use crate::types::Operation;

impl Documents {
    /// See the module.
    pub(super) fn resources_of(&self, operation: &Operation) -> Result<Resources, Problem> {
        match Command::parse(operation)? {
            Command::Schema(_) => Ok(Resources::Alone),
            Command::Write(write) if write.action == Action::Delete && self.delete_changes_others(write.kind) => {
                Ok(Resources::Alone)
            }
            Command::Write(write) => Ok(self.keys(&write)),
        }
    }

    fn delete_changes_others(&self, kind: &str) -> bool {
        let referrers = self.state.referrers.get(kind);
        referrers.is_some_and(|referrers| referrers.iter().any(|referrer| referrer.on_delete != OnDelete::Restrict))
    }

    fn keys(&self, write: &Write<'_>) -> Resources {
        let mut keys = Vec::with_capacity(4);
        if let Some(id) = &write.id {
            keys.push(Resource::exclusive([write.kind, "/", id].concat()));
        }
        if let Some(schema) = self.state.schema(write.kind).filter(|_| write.action != Action::Delete) {
            for field in &schema.unique {
                let Some(value) = find(&write.members, field) else { continue };
                if write.action == Action::Update && merges(value) {
                    // Merged with what stands there, and that may change until the keys are held.
                    return Resources::Alone;
                }
                keys.push(Resource::exclusive(format!("{}.{field}={}", write.kind, unique_text(value))));
            }
            for reference in &schema.references {
                if let Some(id) = target(&write.members, reference) {
                    keys.push(Resource::shared(format!("{}/{id}", reference.kind)));
                }
            }
        }
        // A document that refers to itself: the exclusive one comes first and stays.
        keys.sort();
        keys.dedup_by(|later, earlier| later.key == earlier.key);
        Resources::Keys(keys)
    }
}

fn merges(value: &str) -> bool {
    object(value).is_some()
}

/// `None` too for what validate is going to refuse.
fn target(members: &[Member<'_>], reference: &super::schema::Reference) -> Option<String> {
    reference.target(members).ok().flatten().map(std::borrow::Cow::into_owned)
}
