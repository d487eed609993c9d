//! Remembers the last call to a service, as a line that repeats it in a shell.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::node::adapter::{Asked, Caller, Committed, Fault, Info, Verdict};
use crate::service::{Outcome, protocol};
use crate::types::{Micros, Version};

/// Bytes of a request that are shown.
const SHOWN_BYTES: usize = 4000;

/// The last call of all instances.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    last: Mutex<Option<String>>,
}

impl Recorder {
    pub(super) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The last call that was made.
    pub(super) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, line: String) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

/// A service whose calls are remembered.
pub(super) struct Recorded {
    pub(super) caller: Arc<dyn Caller>,
    pub(super) recorder: Arc<Recorder>,
    /// Base URL, or the command of a service on a pipe.
    pub(super) place: Place,
}

/// Where the service is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Behind this base URL.
    Http(String),
    /// On the pipe of this command.
    Exec(String),
}

impl Recorded {
    fn said(&self, call: &str, body: &str) {
        let cut = body.char_indices().map(|(at, _)| at).find(|at| *at >= SHOWN_BYTES);
        let body = match cut {
            Some(at) => format!("{}… ({} bytes)", &body[..at], body.len()),
            None => body.to_owned(),
        };
        let body = body.replace('\'', "'\\''");
        self.recorder.note(match &self.place {
            Place::Http(url) => {
                format!("curl -sS -X POST {url}/rig/v1/{call} -H 'Content-Type: application/json' -d '{body}'")
            }
            Place::Exec(command) => {
                format!("echo '{{\"id\":1,\"call\":\"{call}\",\"params\":{body}}}' | {command}")
            }
        });
    }

    fn said_of_state(&self, call: &str, version: Option<Version>) {
        self.recorder.note(match (&self.place, version) {
            (Place::Http(url), None) => format!("curl -sS -D - {url}/rig/v1/snapshot"),
            (Place::Http(url), Some(version)) => {
                format!("curl -sS -T SNAPSHOT -H 'Rig-Version: {version}' {url}/rig/v1/snapshot")
            }
            (Place::Exec(command), version) => {
                let version = version.map(|version| format!(",\"version\":{version}")).unwrap_or_default();
                format!("echo '{{\"id\":1,\"call\":\"{call}\",\"params\":{{\"path\":\"FILE\"{version}}}}}' | {command}")
            }
        });
    }
}

impl Caller for Recorded {
    fn info(&self) -> Result<Info, Fault> {
        self.said("info", &protocol::greeting("check", None));
        self.caller.info()
    }

    fn validate(&self, base: Version, now: Micros, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Fault> {
        self.said("validate", &protocol::validate(base, now, asked));
        self.caller.validate(base, now, asked)
    }

    fn apply(&self, entries: &[Committed<'_>]) -> Result<Vec<Outcome>, Fault> {
        self.said("apply", &protocol::apply(entries));
        self.caller.apply(entries)
    }

    fn snapshot(&self, out: &mut dyn Write) -> Result<Version, Fault> {
        self.said_of_state("snapshot", None);
        self.caller.snapshot(out)
    }

    fn restore(&self, version: Version, input: &mut dyn Read) -> Result<(), Fault> {
        self.said_of_state("restore", Some(version));
        self.caller.restore(version, input)
    }

    fn health(&self) -> Result<(), Fault> {
        self.caller.health()
    }

    fn generation(&self) -> u64 {
        self.caller.generation()
    }

    fn stop(&self) {
        self.caller.stop();
    }
}
