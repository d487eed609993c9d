//! The value at `PREFIX/record`: JSON that `etcdctl get` shows to people, and that is read strictly.
//!
//! `"format"` comes first and says what the rest is. A release that does not know it touches nothing: who wrote it knows
//! more than this one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::shown;
use crate::limits::{MEMBERS_MAX, NUMBER_MAX};
use crate::replication::Register;
use crate::types::{ClusterId, Epoch, Mode, NodeId, Version};

/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;
/// Of a name, a URL, or an id.
const TEXT_BYTES_MAX: usize = 1024;

/// Who is meant by an id, for people and for clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where its clients find it.
    pub url: String,
}

/// Everything that is recorded of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub cluster: ClusterId,
    /// The id of this write, never used before: by it a swap whose answer was lost is known again.
    pub write: String,
    /// Who leads, or wants to: the owner of the register's epoch.
    pub primary: Node,
    /// The nodes of the register's set, in its order.
    pub in_sync: Vec<Node>,
    /// What the protocol goes by.
    pub register: Register,
}

/// Why a value is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRecord {
    /// Not JSON, or other members than the format has.
    Json(String),
    /// Of another release.
    Format(u64),
    /// Its parts contradict each other.
    Contradiction(&'static str),
    /// A number that nobody counts to.
    TooLarge {
        /// Which.
        what: &'static str,
        /// As it stands there.
        found: u64,
        /// What there may be.
        most: u64,
    },
    /// More nodes in sync than a cluster has.
    TooMany(usize),
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "not a record: {why}"),
            Self::Format(format) => {
                write!(f, "written in format {format} by another release of Rig; {} reads format {FORMAT}", release())
            }
            Self::Contradiction(what) => f.write_str(what),
            Self::TooLarge { what, found, most } => {
                write!(f, "{what} is {found}, and {most} is the most that it can be")
            }
            Self::TooMany(nodes) => write!(f, "in_sync names {nodes} nodes, and a cluster has {MEMBERS_MAX} at most"),
        }
    }
}

impl std::error::Error for BadRecord {}

impl BadRecord {
    /// Whether a newer release has written it, which knows more than this one.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Format(format) if *format > FORMAT)
    }

    /// What to do.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Format(format) if *format > FORMAT => {
                "run the release here that the other nodes of the cluster have, or a newer one"
            }
            Self::Format(_) | Self::Json(_) | Self::Contradiction(_) | Self::TooLarge { .. } | Self::TooMany(_) => {
                "see what is there (etcdctl get), and whether the prefix is that of this cluster"
            }
        }
    }
}

fn release() -> &'static str {
    concat!("rig ", env!("CARGO_PKG_VERSION"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Open,
    Electing,
}

/// An epoch, read more strictly than elsewhere.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    number: u64,
    owner: NodeId,
    start: u64,
}

impl From<Epoch> for Term {
    fn from(Epoch { number, owner, start }: Epoch) -> Self {
        Self { number, owner, start }
    }
}

impl From<Term> for Epoch {
    fn from(Term { number, owner, start }: Term) -> Self {
        Self { number, owner, start }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    epoch: Term,
    version: Version,
}

/// The text, in its order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u64,
    cluster_id: ClusterId,
    epoch: Term,
    primary: Node,
    in_sync: Vec<Node>,
    mode: Mode,
    phase: Phase,
    previous_end: End,
    write: String,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl Text {
    /// Whether it is of a size that this node can count on from, promise durably, and tell others.
    fn check_bounds(&self) -> Result<(), BadRecord> {
        if self.in_sync.len() > MEMBERS_MAX {
            return Err(BadRecord::TooMany(self.in_sync.len()));
        }
        let End { epoch: before, version } = &self.previous_end;
        let numbers = [
            ("epoch.number", self.epoch.number),
            ("epoch.start", self.epoch.start),
            ("previous_end.epoch.number", before.number),
            ("previous_end.epoch.start", before.start),
            ("previous_end.version", *version),
        ];
        match numbers.into_iter().find(|(_, found)| *found > NUMBER_MAX) {
            Some((what, found)) => Err(BadRecord::TooLarge { what, found, most: NUMBER_MAX }),
            None => Ok(()),
        }
    }
}

impl Record {
    /// Reads a value. It is from outside: nothing of it is taken for granted.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadRecord> {
        let json = |error: serde_json::Error| BadRecord::Json(shown(&error.to_string()));
        let Format { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(BadRecord::Format(format));
        }
        let text: Text = serde_json::from_slice(bytes).map_err(json)?;
        text.check_bounds()?;
        let register = Register {
            epoch: text.epoch.into(),
            set: text.in_sync.iter().map(|node| node.id).collect(),
            open: text.phase == Phase::Open,
            mode: text.mode,
            end: (text.previous_end.epoch.into(), text.previous_end.version),
        };
        let record = Self {
            cluster: text.cluster_id,
            write: text.write,
            primary: text.primary,
            in_sync: text.in_sync,
            register,
        };
        record.check_texts()?;
        record.contradiction().map_or(Ok(record), |what| Err(BadRecord::Contradiction(what)))
    }

    /// The value.
    pub fn to_json(&self) -> String {
        assert!(self.contradiction().is_none(), "a record that contradicts itself is not written: {self:?}");
        let text = Text {
            format: FORMAT,
            cluster_id: self.cluster,
            epoch: self.register.epoch.into(),
            primary: self.primary.clone(),
            in_sync: self.in_sync.clone(),
            mode: self.register.mode,
            phase: if self.register.open { Phase::Open } else { Phase::Electing },
            previous_end: End { epoch: self.register.end.0.into(), version: self.register.end.1 },
            write: self.write.clone(),
        };
        serde_json::to_string_pretty(&text).expect("no map with keys other than texts")
    }

    /// Whether everything that others have chosen is fit to be shown, and so to be written.
    pub(super) fn check_texts(&self) -> Result<(), BadRecord> {
        let nodes = || std::iter::once(&self.primary).chain(&self.in_sync);
        if !is_text(&self.write) || self.write.is_empty() {
            Err(BadRecord::Contradiction("the id of the write is missing, too long, or not text"))
        } else if nodes().any(|node| !is_text(&node.name) || !is_text(&node.url)) {
            Err(BadRecord::Contradiction("a name or a URL is too long, or not text"))
        } else {
            Ok(())
        }
    }

    /// What contradicts what, if anything does.
    fn contradiction(&self) -> Option<&'static str> {
        let mut named = vec![self.primary.id];
        named.extend(self.in_sync.iter().map(|node| node.id));
        let in_order = named[1..] == self.register.set[..];
        named.sort_unstable();
        named.dedup();
        if self.primary.id != self.register.epoch.owner {
            Some("the primary is not the owner of the epoch")
        } else if !in_order {
            Some("the nodes in sync are others than those of the set")
        } else if named.len() != self.in_sync.len() + 1 {
            Some("a node is named twice")
        } else if self.register.end.0 >= self.register.epoch {
            Some("the epoch before is not an earlier one")
        } else {
            None
        }
    }
}

/// What may stand in a line of a log, a table, or a header.
fn is_text(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}
