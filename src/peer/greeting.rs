//! The first frame of a connection, each way: whether the two can speak with each other at all, and in which version.
//!
//! Its body keeps its form in every version of the protocol, so that two versions can always tell each other apart:
//!
//! ```text
//!   0 magic "RIG-PEER"    8 newest protocol u16    10 newest format of records that it reads u16
//!  12 oldest protocol u16, zero for "the newest"   14 newest format in its log u16, zero for "the newest it reads"
//!  16 cluster id 16, zero for none
//! ```
//!
//! Both take the lower of the two newest versions. So a node of a new release speaks as the old ones do, and what only
//! the new version has is never said to those who do not know it.
//!
//! # Invariants
//! 1. Both ends come to the same: the version that is spoken, or a refusal.

use super::body::Fields;
use super::{FrameError, Kind, Wrong, frame};
use crate::types::ClusterId;
use std::fmt;

/// The newest version of the protocol that is spoken. For tests of an upgrade the feature `canary` makes a release of the
/// future, in whose version a Hello ends with the number of the version, u16.
pub const PROTOCOL: u16 = if cfg!(feature = "canary") { 2 } else { 1 };
/// The oldest version that is still spoken.
pub const PROTOCOL_OLDEST: u16 = 1;
/// Bytes of the body.
pub(super) const BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"RIG-PEER";

/// What a node says before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The versions of the protocol that it speaks.
    pub protocol: Span,
    /// The newest format of records that it reads.
    pub reads: u16,
    /// The newest format of the records in its log.
    pub needs: u16,
    /// Whose node it is; `None` while it belongs to no cluster.
    pub cluster: Option<ClusterId>,
}

/// Versions without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub oldest: u16,
    /// The last.
    pub newest: u16,
}

impl Span {
    /// What this program speaks.
    pub const OWN: Self = Self { oldest: PROTOCOL_OLDEST, newest: PROTOCOL };
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest { write!(f, "{newest}") } else { write!(f, "{oldest} to {newest}") }
    }
}

/// Why two nodes do not speak. Both ends see the same, so neither has to tell the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No version of the protocol is spoken by both.
    Protocol {
        /// Theirs.
        theirs: Span,
        /// Ours.
        ours: Span,
    },
    /// This node does not read all of the peer's log.
    TheirLog {
        /// The newest format in it.
        needs: u16,
        /// The newest that is read here.
        reads: u16,
    },
    /// The peer does not read all of this node's log.
    OurLog {
        /// The newest format in it.
        needs: u16,
        /// The newest that is read there.
        reads: u16,
    },
    /// Another cluster.
    Cluster {
        /// Theirs.
        theirs: ClusterId,
        /// Ours.
        ours: ClusterId,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Protocol { theirs, ours } => {
                write!(f, "the peer speaks protocol {theirs}, this node {ours}: ")?;
                let older = if theirs.newest < ours.newest { "the peer" } else { "this node" };
                write!(f, "upgrade {older} first, to a release that speaks one of both")
            }
            Refusal::TheirLog { needs, reads } => {
                write!(f, "the peer's log has records of format {needs}, this node reads up to {reads}: ")?;
                f.write_str("upgrade this node")
            }
            Refusal::OurLog { needs, reads } => {
                write!(f, "this node's log has records of format {needs}, the peer reads up to {reads}: ")?;
                f.write_str("upgrade the peer")
            }
            Refusal::Cluster { theirs, ours } => write!(f, "the peer is of cluster {theirs}, this node of {ours}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Greeting {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { protocol, reads, needs, cluster } = self;
        // Whoever knows no more than one version, or one format, says zero in the place of the other.
        let unless = |number: u16, newest: u16| if number == newest { 0 } else { number };
        frame(Kind::Greeting, out, |out| {
            out.extend_from_slice(&MAGIC);
            let numbers = [protocol.newest, *reads, unless(protocol.oldest, protocol.newest), unless(*needs, *reads)];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            out.extend_from_slice(&cluster.unwrap_or_default().0);
        });
    }

    /// The version of the protocol that is spoken with the one who said `theirs`.
    ///
    /// # Errors
    /// Why the two do not speak.
    pub fn check(&self, theirs: &Greeting) -> Result<u16, Refusal> {
        let spoken = self.protocol.newest.min(theirs.protocol.newest);
        if spoken < self.protocol.oldest.max(theirs.protocol.oldest) {
            return Err(Refusal::Protocol { theirs: theirs.protocol, ours: self.protocol });
        }
        if theirs.needs > self.reads {
            return Err(Refusal::TheirLog { needs: theirs.needs, reads: self.reads });
        }
        if self.needs > theirs.reads {
            return Err(Refusal::OurLog { needs: self.needs, reads: theirs.reads });
        }
        match (theirs.cluster, self.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Refusal::Cluster { theirs, ours }),
            _ => Ok(spoken),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let wrong = |wrong| FrameError::Body { kind: Kind::Greeting, wrong };
        let mut fields = Fields(bytes);
        if fields.array().map_err(wrong)? != MAGIC {
            return Err(wrong(Wrong::Magic));
        }
        let mut read = || {
            let (newest, reads) = (fields.u16()?, fields.u16()?);
            let (oldest, needs) = (lower(fields.u16()?, newest)?, lower(fields.u16()?, reads)?);
            let cluster = Some(ClusterId(fields.array()?)).filter(|cluster| *cluster != ClusterId::default());
            Ok((Self { protocol: Span { oldest, newest }, reads, needs, cluster }, fields.0.is_empty()))
        };
        let (greeting, ended) = read().map_err(wrong)?;
        if ended { Ok(greeting) } else { Err(wrong(Wrong::Long)) }
    }
}

/// A number below the newest, or zero for that one.
fn lower(number: u16, newest: u16) -> Result<u16, Wrong> {
    match number {
        0 => Ok(newest),
        number if number < newest => Ok(number),
        _ => Err(Wrong::Number),
    }
}
