//! How long a call may take.

use std::time::{Duration, Instant};

use super::Fault;
use crate::limits::{
    SERVICE_APPLY_TIMEOUT, SERVICE_HEALTH_TIMEOUT, SERVICE_INFO_TIMEOUT, SERVICE_SILENCE_MAX, SERVICE_STATE_TIMEOUT,
    SERVICE_VALIDATE_TIMEOUT,
};
use crate::service::protocol::Call;

/// The time of each call.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub(super) info: Duration,
    pub(super) validate: Duration,
    pub(super) apply: Duration,
    pub(super) health: Duration,
    /// Of snapshot and restore, without progress.
    pub(super) state: Duration,
    /// What a command may leave unanswered for so long before it counts as one that hangs.
    pub(super) silence: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            info: SERVICE_INFO_TIMEOUT,
            validate: SERVICE_VALIDATE_TIMEOUT,
            apply: SERVICE_APPLY_TIMEOUT,
            health: SERVICE_HEALTH_TIMEOUT,
            state: SERVICE_STATE_TIMEOUT,
            silence: SERVICE_SILENCE_MAX,
        }
    }
}

impl Times {
    /// What a call that begins now has.
    pub(super) fn begin(&self, call: Call) -> Patience {
        let limit = match call {
            Call::Info => self.info,
            Call::Validate => self.validate,
            Call::Apply => self.apply,
            Call::Health => self.health,
            Call::Snapshot | Call::Restore => self.state,
        };
        Patience { call, limit, until: Instant::now() + limit, silence: self.silence }
    }
}

/// What is left of the time of a call.
#[derive(Debug)]
pub(super) struct Patience {
    call: Call,
    limit: Duration,
    until: Instant,
    /// See [`Times::silence`].
    pub(super) silence: Duration,
}

impl Patience {
    /// What is left, never so little that a socket takes it for "no limit".
    ///
    /// # Errors
    /// The fault of a call whose time is over.
    pub(super) fn left(&self) -> Result<Duration, Fault> {
        match self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            Some(left) => Ok(left.max(Duration::from_millis(1))),
            None => Err(self.over()),
        }
    }

    /// There was progress; only the whole state is allowed to go on for it.
    pub(super) fn progress(&mut self) {
        if matches!(self.call, Call::Snapshot | Call::Restore) {
            self.until = Instant::now() + self.limit;
        }
    }

    /// The fault of a call whose time is over.
    pub(super) fn over(&self) -> Fault {
        Fault::Away(format!("it did not answer {} within {:?}", self.call.name(), self.limit))
    }
}
