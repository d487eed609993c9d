//! The first frame of a connection, each way: whether the two can speak with each other at all.
//!
//! Its body keeps its form in every version of the protocol, so that two versions can always tell each other apart:
//!
//! ```text
//!   0 magic "RIG-PEER"    8 protocol u16    10 format of the log u16    12 zero 4    16 cluster id 16, zero for none
//! ```

use super::body::Fields;
use super::{FrameError, Kind, Wrong, frame};
use crate::types::ClusterId;
use std::fmt;

/// The version of the protocol that is spoken.
pub const PROTOCOL: u16 = 1;
/// Bytes of the body.
pub(super) const BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"RIG-PEER";

/// What a node says before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the protocol that it speaks.
    pub protocol: u16,
    /// The format of the records that it stores and sends.
    pub format: u16,
    /// Whose node it is; `None` while it belongs to no cluster.
    pub cluster: Option<ClusterId>,
}

/// Why two nodes do not speak. Both ends see the same, so neither has to tell the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another version of the protocol.
    Protocol {
        /// Theirs.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// Another format of the log.
    Format {
        /// Theirs.
        theirs: u16,
        /// Ours.
        ours: u16,
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
            Refusal::Protocol { theirs, ours } => write!(f, "the peer speaks protocol {theirs}, this node {ours}"),
            Refusal::Format { theirs, ours } => write!(f, "the peer's log has format {theirs}, this node's {ours}"),
            Refusal::Cluster { theirs, ours } => write!(f, "the peer is of cluster {theirs}, this node of {ours}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Greeting {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(Kind::Greeting, out, |out| {
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&self.protocol.to_le_bytes());
            out.extend_from_slice(&self.format.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&self.cluster.unwrap_or_default().0);
        });
    }

    /// Whether the one who said `theirs` can be spoken with.
    pub fn check(&self, theirs: &Greeting) -> Result<(), Refusal> {
        if theirs.protocol != self.protocol {
            return Err(Refusal::Protocol { theirs: theirs.protocol, ours: self.protocol });
        }
        if theirs.format != self.format {
            return Err(Refusal::Format { theirs: theirs.format, ours: self.format });
        }
        match (theirs.cluster, self.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(Refusal::Cluster { theirs, ours }),
            _ => Ok(()),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let wrong = |wrong| FrameError::Body { kind: Kind::Greeting, wrong };
        let mut fields = Fields(bytes);
        if fields.array().map_err(wrong)? != MAGIC {
            return Err(wrong(Wrong::Magic));
        }
        let mut read = || {
            let (protocol, format) = (fields.u16()?, fields.u16()?);
            if fields.u32()? != 0 {
                return Err(Wrong::Number);
            }
            let cluster = Some(ClusterId(fields.array()?)).filter(|cluster| *cluster != ClusterId::default());
            Ok((Self { protocol, format, cluster }, fields.0.is_empty()))
        };
        let (greeting, ended) = read().map_err(wrong)?;
        if ended { Ok(greeting) } else { Err(wrong(Wrong::Long)) }
    }
}
