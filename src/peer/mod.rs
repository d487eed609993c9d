//! Frames between two nodes: the bytes of the protocol's messages, sans I/O. `rig-protocol(7)` is the same for people.
//!
//! ```text
//!   Message ──encode──► bytes ═══ socket ═══► push ─► Decoder ─next─► Frame { message, records }
//!
//!   0 CRC32C(bytes 4..) u32    4 bytes of the body u32    8 kind u8    9 zero 3    12 body
//! ```
//!
//! A connection begins with one [`Greeting`] each way; everything after it is a [`Message`] of the protocol. Records
//! travel as their wire bytes behind the message that speaks of them, in the same frame, and are lent out of the
//! decoder's buffer.
//!
//! # Invariants
//! 1. Bytes of any content give frames or a [`FrameError`], never a panic; after an error there is nothing more.
//! 2. A length is bounded by the kind of the frame before anything is allocated for it; a stranger can send a
//!    greeting and no more.
//! 3. Exactly one sequence of bytes stands for a message: what is decoded is what would be encoded.
//!
//! # Not here
//! What a message means and when it may be said (`replication`, of which this room knows the types alone), what is in
//! a record (`log`), sockets, and who may connect (`node`). The landmarks of an append do not travel: the node that
//! takes the records reads them there, so that a record cannot be said to be another than it is.

mod body;
mod decoder;
mod greeting;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Frame};
pub use greeting::{Greeting, PROTOCOL, PROTOCOL_OLDEST, Refusal, Span};

use crate::limits::{
    EPOCHS_MAX, FRAME_BYTES_MAX, MARKS_PER_MESSAGE, MEMBERS_MAX, NAME_BYTES_MAX, RECORD_BYTES_MAX,
    SNAPSHOT_CHUNK_BYTES, URL_BYTES_MAX,
};
use crate::replication::Message;
use std::fmt;

/// Bytes in front of every body.
pub const FRAME_HEADER_BYTES: usize = 12;

/// What a frame is. The numbers are those of the wire: zero is never valid, retired ones are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// [`Greeting`].
    Greeting = 1,
    /// [`Message::Hello`].
    Hello = 2,
    /// [`Message::Follow`].
    Follow = 3,
    /// [`Message::Append`].
    Append = 4,
    /// [`Message::Heartbeat`].
    Heartbeat = 5,
    /// [`Message::Ack`].
    Ack = 6,
    /// [`Message::Refused`].
    Refused = 7,
    /// [`Message::Ask`].
    Ask = 8,
    /// [`Message::Answer`].
    Answer = 9,
    /// [`Message::Promise`].
    Promise = 10,
    /// [`Message::Promised`].
    Promised = 11,
    /// [`Message::Fetch`].
    Fetch = 12,
    /// [`Message::Records`].
    Records = 13,
    /// [`Message::HandOverPlease`].
    HandOverPlease = 14,
    /// [`Message::HandOver`].
    HandOver = 15,
    /// [`Message::SplitBrain`].
    SplitBrain = 16,
    /// [`Message::Goodbye`].
    Goodbye = 17,
    /// [`Message::Alive`].
    Alive = 18,
    /// [`Message::Results`].
    Results = 19,
    /// [`Message::Follow`] with a snapshot.
    Offer = 20,
    /// [`Message::Want`].
    Want = 21,
    /// [`Message::Chunk`].
    Chunk = 22,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Kind; 22] = [
        Kind::Greeting,
        Kind::Hello,
        Kind::Follow,
        Kind::Append,
        Kind::Heartbeat,
        Kind::Ack,
        Kind::Refused,
        Kind::Ask,
        Kind::Answer,
        Kind::Promise,
        Kind::Promised,
        Kind::Fetch,
        Kind::Records,
        Kind::HandOverPlease,
        Kind::HandOver,
        Kind::SplitBrain,
        Kind::Goodbye,
        Kind::Alive,
        Kind::Results,
        Kind::Offer,
        Kind::Want,
        Kind::Chunk,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The most bytes that a body of this kind can have.
    const fn body_bytes_max(self) -> usize {
        match self {
            Kind::Greeting => greeting::BYTES,
            Kind::Hello | Kind::Follow | Kind::Offer | Kind::Promised => {
                FIXED_BYTES_MAX + EPOCHS_MAX * body::EPOCH_START_BYTES
            }
            Kind::Append | Kind::Records => FIXED_BYTES_MAX + RECORD_BYTES_MAX,
            Kind::Chunk => FIXED_BYTES_MAX + SNAPSHOT_CHUNK_BYTES,
            Kind::Results => FIXED_BYTES_MAX + MARKS_PER_MESSAGE * body::MARK_BYTES,
            Kind::Heartbeat
            | Kind::Ack
            | Kind::Refused
            | Kind::Ask
            | Kind::Answer
            | Kind::Promise
            | Kind::Fetch
            | Kind::HandOverPlease
            | Kind::HandOver
            | Kind::SplitBrain
            | Kind::Goodbye
            | Kind::Want
            | Kind::Alive => FIXED_BYTES_MAX,
        }
    }
}

/// More than the fields of any message take that are not a list of epochs, marks or records.
const FIXED_BYTES_MAX: usize = 2048;

const _: () = assert!(FRAME_HEADER_BYTES + FIXED_BYTES_MAX + RECORD_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(FIXED_BYTES_MAX + EPOCHS_MAX * body::EPOCH_START_BYTES < FRAME_BYTES_MAX - FRAME_HEADER_BYTES);
const _: () = assert!(256 + NAME_BYTES_MAX + URL_BYTES_MAX + 16 * MEMBERS_MAX <= FIXED_BYTES_MAX);

/// Why bytes are not frames. The connection is of no more use then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// No frame has this number.
    Unknown(u8),
    /// A byte that must be zero is not.
    Reserved,
    /// More bytes than a frame of this kind can have.
    TooLong {
        /// What it said it was.
        kind: Kind,
        /// How many it announced.
        length: usize,
    },
    /// The bytes do not match their checksum.
    Crc {
        /// What stands there.
        found: u32,
        /// What the bytes give.
        expected: u32,
    },
    /// The first frame must be a greeting, and no other may be.
    OutOfPlace(Kind),
    /// A body that no encoder makes.
    Body {
        /// Of which kind.
        kind: Kind,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It ends before its last field.
    Short,
    /// It goes on behind its last field.
    Long,
    /// A number that stands for nothing in its place.
    Number,
    /// A name or an address that is empty, too long, not UTF-8, or holds control characters.
    Text,
    /// A version, a length, or the number or the start of an epoch that nobody counts to.
    Large,
    /// A list longer than it can be.
    Many,
    /// A greeting that is none.
    Magic,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Unknown(number) => write!(f, "frame kind {number} is not known"),
            FrameError::Reserved => f.write_str("a reserved byte of a frame is not zero"),
            FrameError::TooLong { kind, length } => write!(f, "{length} bytes are too many for a frame {kind:?}"),
            FrameError::Crc { found, expected } => {
                write!(f, "frame checksum is {found:08x}, its bytes give {expected:08x}")
            }
            FrameError::OutOfPlace(kind) => write!(f, "a frame {kind:?} must not stand there"),
            FrameError::Body { kind, wrong } => write!(f, "a frame {kind:?} is malformed: {wrong:?}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A log with more epochs than a message can name: such a node cannot speak to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyEpochs(pub usize);

impl fmt::Display for TooManyEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log has {} epochs, a message can name {EPOCHS_MAX}", self.0)
    }
}

impl std::error::Error for TooManyEpochs {}

/// Appends the frame of a message to `out`; `records` are the wire bytes of those that an append or an answer to a
/// fetch speaks of, or the bytes of a chunk of a snapshot. `protocol` is the version that the two have agreed on.
///
/// # Panics
/// If there are records where none can be, or more bytes of them than their kind of message holds, or a member's name or
/// address or a list of marks breaks its bound: whoever makes messages has checked them.
pub fn encode(message: &Message, protocol: u16, records: &[u8], out: &mut Vec<u8>) -> Result<(), TooManyEpochs> {
    let max = body::attached_bytes_max(body::kind_of(message));
    assert!(records.len() <= max, "a message carries what its kind has room for, and the rest goes in pieces");
    if let Some(epochs) = body::history_of(message).map(<[_]>::len).filter(|&epochs| epochs > EPOCHS_MAX) {
        return Err(TooManyEpochs(epochs));
    }
    frame(body::kind_of(message), out, |out| {
        body::put(message, protocol, out);
        out.extend_from_slice(records);
    });
    Ok(())
}

/// Appends a frame, whose body is what `put` appends.
fn frame(kind: Kind, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    put(out);
    let length = out.len() - start - FRAME_HEADER_BYTES;
    assert!(length <= kind.body_bytes_max(), "a body keeps its bound");
    out[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 8] = kind as u8;
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}
