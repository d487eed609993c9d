//! The codes of the contract: one name, one HTTP status, one exit code, one meaning.
//!
//! A [`Problem`] is what a client is told; where it came from carries facts of its own (`LogError`,
//! `Rejection`) and becomes a problem at the edge, once.

use std::borrow::Cow;
use std::fmt;

/// The exit codes of the `rig` command, in the contract's numbers.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Unexpected: local I/O error, bug.
    Failure = 1,
    /// Bad flag, unreadable or non-JSON payload; nothing was sent.
    Usage = 2,
    /// Data directory not initialised, no such node, document, version.
    NotFound = 3,
    /// Could not connect; nothing was sent.
    Unreachable = 4,
    /// The service or a limit said no.
    Rejected = 5,
    /// Exists, version precondition, already initialised, stale epoch, refused role.
    Conflict = 6,
    /// Was sent, no final answer: run again with the same key.
    Unknown = 7,
    /// Surely not logged, try later.
    Unavailable = 8,
    /// Damage, tampering or divergence found.
    Corrupt = 9,
    /// Another process holds the data directory.
    InUse = 10,
    /// Token missing or refused.
    Auth = 11,
    /// Works, but not as asked.
    Degraded = 12,
}

impl Exit {
    /// The name in error lines.
    pub fn name(self) -> &'static str {
        match self {
            Exit::Ok => "ok",
            Exit::Failure => "failure",
            Exit::Usage => "usage",
            Exit::NotFound => "not_found",
            Exit::Unreachable => "unreachable",
            Exit::Rejected => "rejected",
            Exit::Conflict => "conflict",
            Exit::Unknown => "unknown",
            Exit::Unavailable => "unavailable",
            Exit::Corrupt => "corrupt",
            Exit::InUse => "in_use",
            Exit::Auth => "auth",
            Exit::Degraded => "degraded",
        }
    }

    /// What a client's command ends with after this HTTP status.
    pub fn from_status(status: u16) -> Self {
        match status {
            200..=299 => Exit::Ok,
            401 | 403 => Exit::Auth,
            404 | 410 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            307 | 308 | 429 | 502 | 503 | 507 => Exit::Unavailable,
            504 => Exit::Unknown,
            400..=499 => Exit::Rejected,
            _ => Exit::Failure,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $title:literal;)+) => {
        /// Why a request was not answered with 2xx.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant),+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The name in `code`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// The HTTP status that it travels with.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status),+ }
            }

            /// The `title` of its problem document.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// Another node is the primary, and it is known.
    NotPrimary = "not_primary", 307, "This node is not the primary";
    /// The body is not JSON.
    BadJson = "bad_json", 400, "The body is not valid JSON";
    /// An object has a member twice.
    DuplicateKey = "duplicate_key", 400, "An object repeats a key";
    /// Anything else that cannot be understood.
    BadRequest = "bad_request", 400, "The request cannot be understood";
    /// Token missing or refused.
    Auth = "auth", 401, "A token is needed";
    /// Another site's page asks through its reader's browser.
    Forbidden = "forbidden", 403, "Not allowed from there";
    /// No such document, record, path.
    NotFound = "not_found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "This path does not take this method";
    /// The request came too slowly.
    SlowRequest = "slow_request", 408, "The request took too long to arrive";
    /// The document exists.
    Exists = "exists", 409, "It exists already";
    /// A unique field is taken.
    Unique = "unique", 409, "A unique field is taken";
    /// The version asked for is not the next one.
    VersionConflict = "version_conflict", 409, "The log is at another version";
    /// Another prepare is under way.
    InProgress = "in_progress", 409, "Another one is in progress";
    /// The participant calls are for unlisted replicas.
    NotParticipant = "not_participant", 409, "This node does not take participant calls";
    /// The member list does not name this node.
    NotAMember = "not_a_member", 409, "Not a member of this cluster";
    /// A newer epoch exists.
    StaleEpoch = "stale_epoch", 409, "A newer epoch exists";
    /// A lost write cannot be ruled out.
    PromotionUnsafe = "promotion_unsafe", 409, "A lost write cannot be ruled out";
    /// Dropped under a snapshot.
    Compacted = "compacted", 410, "Compacted";
    /// Over a limit of size.
    TooLarge = "too_large", 413, "Too large";
    /// Neither JSON nor NDJSON.
    MediaType = "media_type", 415, "The content type is not supported";
    /// The `Host` is not ours.
    WrongHost = "wrong_host", 421, "The host is not this node";
    /// The service or the door refuses the operation.
    Invalid = "invalid", 422, "The operation is not valid";
    /// The service does not know the method.
    UnknownMethod = "unknown_method", 422, "The method is not known";
    /// The key came with another request before.
    KeyReused = "key_reused", 422, "The idempotency key was used for another request";
    /// The head is over its limit.
    HeadTooLarge = "head_too_large", 431, "The request head is too large";
    /// A bug, or a fault that has no name.
    Internal = "internal", 500, "Internal error";
    /// Not offered by this service.
    NotImplemented = "not_implemented", 501, "Not implemented";
    /// Another operation holds a resource.
    ResourceBusy = "resource_busy", 503, "A resource is busy";
    /// The in-sync set is too small.
    NotEnoughReplicas = "not_enough_replicas", 503, "Not enough replicas are in sync";
    /// No primary is known.
    NoPrimary = "no_primary", 503, "No primary is known";
    /// The epoch is not open yet.
    Recovering = "recovering", 503, "The node is recovering";
    /// The node is stopping.
    Draining = "draining", 503, "The node is stopping";
    /// A bound of operations, bytes, connections or memory is reached.
    Overloaded = "overloaded", 503, "The node is at a limit";
    /// The wanted version is not applied yet.
    Lagging = "lagging", 503, "The wanted version is not applied yet";
    /// The service does not answer.
    ServiceUnavailable = "service_unavailable", 503, "The service does not answer";
    /// Logged, no final answer.
    OutcomeUnknown = "outcome_unknown", 504, "The outcome is unknown";
    /// No room on the disk.
    DiskFull = "disk_full", 507, "The disk is full";
}

impl Code {
    /// Whether the answer is final: everything is, except the one that says otherwise.
    pub fn is_definite(self) -> bool {
        self != Code::OutcomeUnknown
    }

    /// Whether sending the same request again can help.
    pub fn is_retryable(self) -> bool {
        matches!(self.status(), 307 | 503 | 504 | 507 | 408) || self == Code::InProgress
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal or failure as a client is told: the code is ours, or the service's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// One word for programs.
    pub code: Cow<'static, str>,
    /// One line for people, the same for every problem of this code.
    pub title: Cow<'static, str>,
    /// What happened, where.
    pub detail: String,
    /// What to do next; may be empty.
    pub hint: Box<str>,
    /// Whether this is a final answer.
    pub definite: bool,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// Further members of the problem document, for programs.
    pub extra: Vec<(Cow<'static, str>, serde_json::Value)>,
}

impl Problem {
    /// A problem of one of Rig's own codes.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code: Cow::Borrowed(code.as_str()),
            title: Cow::Borrowed(code.title()),
            detail: detail.into(),
            hint: Box::default(),
            definite: code.is_definite(),
            retryable: code.is_retryable(),
            extra: Vec::new(),
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with one more member for programs.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_only_504_is_unknown() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[place + 1..].iter().all(|other| other.as_str() != code.as_str()));
            assert_eq!(code.is_definite(), code.status() != 504, "{code}");
        }
    }

    #[test]
    fn statuses_lead_to_the_exit_codes_of_the_contract() {
        let table = [
            (200, 0),
            (400, 5),
            (401, 11),
            (404, 3),
            (405, 5),
            (408, 5),
            (409, 6),
            (410, 3),
            (412, 6),
            (413, 5),
            (415, 5),
            (421, 5),
            (422, 5),
            (429, 8),
            (431, 5),
            (500, 1),
            (503, 8),
            (504, 7),
            (507, 8),
        ];
        for (status, exit) in table {
            assert_eq!(Exit::from_status(status) as u8, exit, "{status}");
        }
    }
}
