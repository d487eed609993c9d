//! Why the coordinator did not do what it was asked, and whether it may have done it all the same.

use std::fmt;
use std::io;

use super::record::BadRecord;
use crate::client::{Lost, Url};
use crate::net::fault_of;

/// What etcd says is shown up to here.
const SHOWN_CHARS_MAX: usize = 200;

/// A request that was not answered as it should be.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    is_unknown: bool,
}

/// What is the matter.
#[derive(Debug)]
pub enum Kind {
    /// No endpoint gave an answer, each for its own reason.
    Unreachable {
        /// Every endpoint in the order in which it was tried, with what came of it.
        tried: Vec<(Url, Cause)>,
    },
    /// Etcd said no.
    Refused {
        /// Who said so last.
        url: Url,
        /// What was said.
        refusal: Refusal,
    },
    /// What came is not an answer of etcd's.
    Malformed {
        /// From whom.
        url: Url,
        /// What is wrong with it.
        what: String,
    },
    /// The value at the key of the record is none.
    Record {
        /// The key.
        key: String,
        /// Why.
        why: BadRecord,
    },
}

/// What came of one endpoint.
#[derive(Debug)]
pub enum Cause {
    /// No connection: nothing was sent.
    Connect(io::Error),
    /// No whole answer.
    Lost(Lost),
    /// An answer that nobody understands.
    Malformed(String),
    /// It speaks, and says no.
    Refused(Refusal),
}

/// A no of etcd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its gRPC code.
    pub code: u32,
    /// Its words.
    pub message: String,
}

/// The codes of gRPC that are told apart.
mod code {
    pub(super) const CANCELLED: u32 = 1;
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const DEADLINE_EXCEEDED: u32 = 4;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const ABORTED: u32 = 10;
    pub(super) const INTERNAL: u32 = 13;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

impl Refusal {
    /// Whether another member, or the same a little later, may say something else.
    pub fn is_transient(&self) -> bool {
        self.may_be_done() || self.says("too many requests") || self.code == code::UNAVAILABLE
    }

    /// Whether the request may have been carried out, or will be.
    pub fn may_be_done(&self) -> bool {
        use code::{ABORTED, CANCELLED, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, UNKNOWN};
        let is_vague = matches!(self.code, CANCELLED | UNKNOWN | DEADLINE_EXCEEDED | ABORTED | INTERNAL | UNAVAILABLE);
        // What etcd says before it proposes anything.
        let is_early = ["no leader", "not supported for learner", "unhealthy cluster", "not capable"];
        is_vague && !is_early.iter().any(|words| self.says(words))
    }

    /// Whether it is about who asks.
    pub fn is_of_auth(&self) -> bool {
        self.code == code::PERMISSION_DENIED || self.is_about_token() || self.says("authentication failed")
    }

    /// Whether the token is not, or no longer, good.
    pub(super) fn is_about_token(&self) -> bool {
        self.code == code::UNAUTHENTICATED
            || self.says("invalid auth token")
            || self.says("revision of auth store is old")
    }

    fn says(&self, words: &str) -> bool {
        self.message.contains(words)
    }

    fn hint(&self) -> &'static str {
        if self.says("database space exceeded") {
            "give etcd room: etcdctl compact, etcdctl defrag, then etcdctl alarm disarm"
        } else if self.says("authentication failed") || self.says("password") {
            "check the user in the address and the file of --coordinator-password"
        } else if self.says("authentication is not enabled") {
            "leave the user out of the address, or enable it: etcdctl auth enable"
        } else if self.says("user name is empty") {
            "this etcd wants to know who asks: etcd://USER@host/prefix and --coordinator-password FILE"
        } else if self.code == code::PERMISSION_DENIED {
            "grant it: etcdctl role grant-permission ROLE --prefix=true readwrite PREFIX/"
        } else if self.says("too many requests") || self.code == code::RESOURCE_EXHAUSTED {
            "etcd has more to do than it can: see its disk and who else uses it"
        } else if self.is_transient() {
            "most members of etcd must run and reach each other: etcdctl endpoint status --cluster"
        } else {
            "see the log of etcd"
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", shown(&self.message), self.code)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Lost(lost) => lost.fmt(f),
            Self::Malformed(what) => write!(f, "not an answer of etcd's: {}", shown(what)),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Cause {
    /// Whether the request may have been carried out.
    pub(super) fn may_be_done(&self) -> bool {
        match self {
            Self::Connect(_) => false,
            Self::Lost(_) | Self::Malformed(_) => true,
            Self::Refused(refusal) => refusal.may_be_done(),
        }
    }

    /// Whether every other member would say the same.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(refusal) if !refusal.is_transient())
    }
}

impl Error {
    /// Of what all endpoints that were tried have said; the last is the one that counts where they agree.
    pub(super) fn of(mut tried: Vec<(Url, Cause)>, is_unknown: bool) -> Self {
        let all = |is: fn(&Cause) -> bool| tried.iter().all(|(_, cause)| is(cause));
        let is_final = tried.last().is_some_and(|(_, cause)| cause.is_final());
        let agree = is_final
            || all(|cause| matches!(cause, Cause::Refused(_)))
            || all(|cause| matches!(cause, Cause::Malformed(_)));
        let kind = match tried.pop_if(|_| agree) {
            Some((url, Cause::Refused(refusal))) => Kind::Refused { url, refusal },
            Some((url, Cause::Malformed(what))) => Kind::Malformed { url, what },
            other => {
                tried.extend(other);
                Kind::Unreachable { tried }
            }
        };
        Self { kind, is_unknown }
    }

    pub(super) fn malformed(url: Url, what: &str) -> Self {
        Self { kind: Kind::Malformed { url, what: what.to_owned() }, is_unknown: false }
    }

    pub(super) fn record(key: String, why: BadRecord) -> Self {
        Self { kind: Kind::Record { key, why }, is_unknown: false }
    }

    pub(super) fn or_unknown(self, is_unknown: bool) -> Self {
        Self { is_unknown: self.is_unknown || is_unknown, ..self }
    }

    /// Whether the lease that was spoken of does not exist.
    pub(super) fn is_no_lease(&self) -> bool {
        matches!(&self.kind, Kind::Refused { refusal, .. } if refusal.code == code::NOT_FOUND && refusal.says("lease"))
    }

    /// What is the matter.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether something may have been changed, or may still be. Never so of a read.
    pub fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Whether it may go away by itself.
    pub fn is_transient(&self) -> bool {
        match &self.kind {
            Kind::Unreachable { .. } => true,
            Kind::Refused { refusal, .. } => refusal.is_transient(),
            Kind::Malformed { .. } | Kind::Record { .. } => false,
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match &self.kind {
            Kind::Unreachable { tried } => {
                let fault = tried.iter().find_map(|(_, cause)| match cause {
                    Cause::Connect(error) => fault_of(error),
                    _ => None,
                });
                let refused = tried.iter().find_map(|(_, cause)| match cause {
                    Cause::Refused(refusal) => Some(refusal.hint()),
                    _ => None,
                });
                match fault {
                    Some(fault) => fault.hint.clone(),
                    None => refused.unwrap_or("see whether etcd runs there: etcdctl endpoint health").to_owned(),
                }
            }
            Kind::Refused { refusal, .. } => refusal.hint().to_owned(),
            Kind::Malformed { .. } => "see what listens there: it has to be etcd, 3.4 or newer".to_owned(),
            Kind::Record { key, why } => format!("{}: {key}", why.hint()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Unreachable { tried } => {
                for (place, (url, cause)) in tried.iter().enumerate() {
                    let comma = if place > 0 { "; " } else { "" };
                    write!(f, "{comma}etcd at {url}: {cause}")?;
                }
                Ok(())
            }
            Kind::Refused { url, refusal } => write!(f, "etcd at {url}: {refusal}"),
            Kind::Malformed { url, what } => write!(f, "etcd at {url}: not an answer of etcd's: {}", shown(what)),
            Kind::Record { key, why } => write!(f, "the record at {key}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Words from outside, for a line.
pub(super) fn shown(words: &str) -> String {
    words.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
