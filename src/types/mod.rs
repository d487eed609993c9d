//! The words of Rig as types: everything that more than one room of the house speaks of.
//!
//! Nothing here does input or output, and nothing here imports another part of Rig.

#[doc(hidden)]
pub mod dump;
mod filter;
#[doc(hidden)]
pub mod json;
mod record;
mod time;
mod words;

#[doc(hidden)]
pub use filter::Filter;
pub use record::Operation;
#[doc(hidden)]
pub use record::{Kind, Record, methods};
pub use time::{Micros, format_time, parse_time};
pub use words::{AckLevel, Durability, Mode, NodeState, Role};

use std::fmt;
use std::str::FromStr;

/// Place in the log: starts at 1, no gaps. Zero stands for "before the first record".
pub type Version = u64;

/// A version that this node's own disk has confirmed.
///
/// An acknowledgement needs one, and only a sync of the log makes one, so that "answered before it was
/// synced" cannot be written down (the idea is rustls' proof values).
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Durable(Version);

impl Durable {
    /// For the log alone, after its sync has succeeded or its recovery has read the record back.
    pub(crate) fn from_sync(version: Version) -> Self {
        Self(version)
    }

    /// The version up to which everything is durable.
    pub fn version(self) -> Version {
        self.0
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The text, as bytes.
            pub fn hex(&self) -> [u8; $len * 2] {
                let mut text = [0_u8; $len * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = HEX[usize::from(byte >> 4)];
                    pair[1] = HEX[usize::from(byte & 15)];
                }
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.hex()).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut bytes = [0_u8; $len];
                if text.len() != $len * 2 {
                    return Err(NotHex);
                }
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    *byte = (hex_digit(pair[0]).ok_or(NotHex)? << 4) | hex_digit(pair[1]).ok_or(NotHex)?;
                }
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// A text that is not lower-case hexadecimal of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHex;

impl fmt::Display for NotHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not lower-case hexadecimal of the expected length")
    }
}

impl std::error::Error for NotHex {}

hex_id!(
    /// One node, made with its data directory and never reused.
    NodeId,
    16
);
hex_id!(
    /// One cluster, made by its first primary.
    ClusterId,
    16
);
hex_id!(
    /// A SHA-256 digest, mostly the chain hash of a record.
    Hash,
    32
);

/// One term of one primary, compared in the order of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Epoch {
    /// Grows only by a promotion.
    pub number: u64,
    /// Whose term it is.
    pub owner: NodeId,
    /// Grows when the owner restarts and opens again without a promotion.
    pub start: u64,
}

impl Epoch {
    /// Whether it is the same term, whichever start of its owner.
    pub(crate) fn is_same_term(self, other: Self) -> bool {
        (self.number, self.owner) == (other.number, other.owner)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.number, self.start, self.owner)
    }
}

/// Where a log ends. Logs are compared by the epoch of the last record first, then by version; the hash
/// takes no part in the order, it only tells whether equal places hold equal data.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Epoch of the record there.
    pub epoch: Epoch,
    /// Its version; 0 for an empty log.
    pub version: Version,
    /// Its chain hash; `hash(0)` for an empty log.
    pub hash: Hash,
}

impl Position {
    /// Whether this log is more advanced than the other (which says nothing about equal data).
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        (self.epoch, self.version) > (other.epoch, other.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_back_from_its_text_and_from_nothing_else() {
        let id = NodeId(*b"\x00\x01\xfe\xffabcdefghijkl");
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
        assert_eq!("00".parse::<NodeId>(), Err(NotHex));
        assert_eq!(id.to_string().to_uppercase().parse::<NodeId>(), Err(NotHex));
    }

    #[test]
    fn a_newer_epoch_wins_over_a_higher_version() {
        let old = Position { epoch: Epoch { number: 1, ..Epoch::default() }, version: 9, hash: Hash::default() };
        let new = Position { epoch: Epoch { number: 2, ..Epoch::default() }, version: 3, hash: Hash::default() };
        assert!(new.is_ahead_of(&old) && !old.is_ahead_of(&new));
    }
}
