//! The first words on every new connection, and with every new child.
//!
//! A service that comes back may have lost what it had. It would judge operations by a state that is behind, and
//! nobody would see it: so what it has applied is compared with what it had before, and when that is less every call
//! fails until the caller has asked for `info` itself, and knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Facts, Fault};
use crate::service::protocol::{self, Answer};
use crate::types::Version;

/// See the module.
pub(super) struct Greeting {
    facts: Facts,
    /// How far the service has come as the caller knows it; `None` until it has asked.
    known: Mutex<Option<Version>>,
    /// How often it was found to have less than before.
    losses: AtomicU64,
}

impl Greeting {
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts, known: Mutex::new(None), losses: AtomicU64::new(0) }
    }

    /// The name of the node.
    pub(super) fn node(&self) -> &str {
        &self.facts.node
    }

    /// How often the service was found to have less than before.
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    /// The parameters of `info`.
    pub(super) fn params(&self) -> String {
        protocol::greeting(&self.facts.node, self.facts.cluster.get().copied())
    }

    /// Asks for `info` on behalf of a call that comes first on a new connection.
    pub(super) fn greet<E: From<Fault>>(&self, ask: impl FnOnce(&str) -> Result<Answer, E>) -> Result<(), E> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = ask(&self.params())?;
        let applied = protocol::info(&answer).map_err(Fault::from)?.applied;
        match known {
            Some(known) if applied < known => {
                self.losses.fetch_add(1, Ordering::SeqCst);
                let why = format!("it was started anew: it has applied version {applied}, and had applied {known}");
                Err(Fault::Away(why).into())
            }
            _ => Ok(()),
        }
    }

    /// The service says that it is there, to a caller who has asked: less than before is a loss.
    pub(super) fn hear(&self, applied: Version) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).replace(applied);
        if known.is_some_and(|known| applied < known) {
            self.losses.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The caller knows that the service is exactly there.
    pub(super) fn learn(&self, applied: Version) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(applied);
    }

    /// The caller knows that the service is there, or further.
    pub(super) fn learn_at_least(&self, applied: Version) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(Some(applied));
    }
}
