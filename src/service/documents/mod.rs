//! The built-in service: JSON documents by type and identifier, in memory.
//!
//! ```text
//!   user_create {"id":"alice",…} ──► command ──► state: decide ──► perform ──► {"id":"alice","version":7}
//!                                    (object)     (schema,         (store)
//!                                                  merge)
//! ```
//!
//! Methods are `<type>_create | _update | _put | _delete`, for any type, and `schema_set`. A document is kept as
//! the text that was sent: what reads it back sees the same spelling and order. The log is what makes it last;
//! a snapshot bounds how much of the log a start replays.
//!
//! # Invariants
//! 1. Validate and apply judge by the same code on the same kind of state, so an operation whose resources were
//!    held is never refused by apply. Two things only validate does: the JSON Schema (a log must not read
//!    differently after an upgrade) and the memory limit (which is this machine's, not the log's).
//! 2. Equal histories give equal snapshots, byte by byte.
//! 3. What is read is one version, whole.
//!
//! # Not here
//! Who may send an operation, keys that make it happen once, where snapshots lie: the node.

mod adopt;
mod command;
mod merge;
mod object;
mod problems;
mod read;
mod resources;
mod rules;
mod schema;
mod snapshot;
mod state;
mod store;

#[cfg(test)]
mod tests;

pub use read::{Found, Listing, Page};

use std::io::Read;

use super::{Context, Entry, Outcome, Resources, Service, ServiceError, Snapshot, Valid};
use crate::error::Problem;
use crate::limits::DOCUMENTS_BYTES_DEFAULT;
use crate::types::{Operation, Version};
use command::Command;
use snapshot::Frozen;
use state::State;

/// What the documents service is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes that documents and indexes may take, as they are counted here; growing operations are refused
    /// beyond.
    pub memory_max_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory_max_bytes: DOCUMENTS_BYTES_DEFAULT }
    }
}

/// The built-in service.
#[derive(Default)]
pub struct Documents {
    state: State,
    settings: Settings,
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("version", &self.state.version).field("types", &self.types()).finish()
    }
}

impl Documents {
    /// No documents, at version 0.
    pub fn new(settings: Settings) -> Self {
        Self { state: State::default(), settings }
    }

    /// What documents and indexes are counted with against the limit.
    pub fn memory_bytes(&self) -> u64 {
        self.state.bytes
    }

    /// The limit.
    pub fn memory_max_bytes(&self) -> u64 {
        self.settings.memory_max_bytes
    }

    /// All that validate asks and apply asks too, then what validate alone asks.
    fn judge(&self, command: &Command<'_>) -> Result<(), Problem> {
        match command {
            Command::Schema(set) => {
                self.state.decide_schema(set)?;
                self.state.check_documents_by_rules(set)
            }
            Command::Write(write) => {
                if let Some(growth) = self.state.harmless(write)?
                    && self.check_memory(growth).is_ok()
                {
                    return Ok(());
                }
                let changes = self.state.decide(write)?;
                let changes = changes.as_slice();
                for change in changes {
                    if let (Some(text), Some(schema)) = (&change.text, self.state.schema(&change.kind)) {
                        schema.check_rules(text)?;
                    }
                }
                let growth = changes.iter().map(state::Change::growth).sum::<i64>();
                self.check_memory(growth)
            }
        }
    }

    fn check_memory(&self, growth: i64) -> Result<(), Problem> {
        let (used, max) = (self.state.bytes, self.settings.memory_max_bytes);
        match u64::try_from(growth) {
            Ok(growth) if growth > 0 && used.saturating_add(growth) > max => Err(problems::memory(used, growth, max)),
            _ => Ok(()),
        }
    }

    fn apply_one(&mut self, entry: &Entry<'_>) -> Outcome {
        let Some(operation) = entry.operation else { return Outcome::empty() };
        self.apply_operation(operation, entry).unwrap_or_else(|problem| Outcome::failed(&problem))
    }

    fn apply_operation(&mut self, operation: &Operation, entry: &Entry<'_>) -> Result<Outcome, Problem> {
        let version = entry.version;
        match Command::parse(operation)? {
            Command::Schema(set) => {
                let indexes = self.state.decide_schema(&set)?;
                let outcome = done(&set.kind, version);
                self.state.adopt(*set, indexes, version, entry.time);
                Ok(outcome)
            }
            Command::Write(write) => {
                let changes = self.state.decide(&write)?;
                self.state.perform(changes, version, entry.time);
                Ok(done(write.id.as_deref().unwrap_or_default(), version))
            }
        }
    }
}

/// The answer to a change. Neither identifiers nor types need escapes.
fn done(id: &str, version: Version) -> Outcome {
    const BEFORE: &str = r#"{"id":""#;
    const BETWEEN: &str = r#"","version":"#;
    let digits = version.checked_ilog10().unwrap_or(0) + 1;
    let mut text = String::with_capacity(BEFORE.len() + id.len() + BETWEEN.len() + digits as usize + 1);
    text.push_str(BEFORE);
    text.push_str(id);
    text.push_str(BETWEEN);
    let mut unit = 10_u64.pow(digits - 1);
    while unit > 0 {
        text.push(char::from(b'0' + (version / unit % 10) as u8));
        unit /= 10;
    }
    text.push('}');
    Outcome::done(text)
}

impl Service for Documents {
    fn kind(&self) -> &'static str {
        "documents"
    }

    fn version(&self) -> Version {
        self.state.version
    }

    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        self.resources_of(operation)
    }

    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        let command = Command::parse(operation)?;
        match &command {
            Command::Write(write) if write.id.is_none() => {
                let data = write.with_id(&(context.fresh_id)().to_string());
                self.judge(&Command::parse_parts(&operation.method, &data)?)?;
                Ok(Valid { data: Some(data.into()) })
            }
            _ => {
                self.judge(&command)?;
                Ok(Valid { data: None })
            }
        }
    }

    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let expected = self.state.version + 1;
            outcomes.push(if entry.version < expected {
                Outcome::duplicate()
            } else if entry.version > expected {
                return Err(ServiceError::Gap { expected, found: entry.version });
            } else {
                let outcome = self.apply_one(entry);
                self.state.version = entry.version;
                outcome
            });
        }
        Ok(outcomes)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(Frozen::new(self.state.clone()))
    }

    fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<(), ServiceError> {
        let state = snapshot::read(input)?;
        if state.version != version {
            return Err(ServiceError::OtherVersion { expected: version, found: state.version });
        }
        self.state = state;
        Ok(())
    }

    fn documents(&self) -> Option<&Documents> {
        Some(self)
    }
}
