//! One pass over JSON at the door: white space dropped, everything doubtful refused.
//!
//! An audit log must not hold a document that two readers understand differently. So what any reader is
//! known to judge in its own way is refused before it is hashed, logged or fingerprinted: a key that comes
//! twice, half a surrogate pair, a number that becomes infinity, depth that some parsers give up on. What is
//! left is kept as it was sent (member order, spelling of numbers, escapes), without the white space between
//! tokens: one line.
//!
//! ```text
//!   bytes --compact--> one checked line --members, get, unescape--> what a service needs of it
//!     \____envelope___> method, data (checked line), key, version          (the body of POST /do)
//! ```
//!
//! # Invariants
//! 1. What [`compact`] accepts, it accepts again, and writes the same bytes again.
//! 2. No text panics anything here, checked or not; on unchecked text [`members`] ends early.
//! 3. Work is linear in the input but for `n log n` in the members of one object, whatever the keys are.
//!
//! # Not here
//! Whether a method or a document makes sense: the service says so.

mod envelope;
mod read;
mod scan;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, envelope};
pub use read::{Member, Members, get, is_plain_string, items, members, quote, string_of, unescape};

use crate::error::{Code, Problem};
use scan::Scanner;
use std::borrow::Cow;
use std::fmt;

/// Appends to `out` the one JSON value that `input` holds, in one line; on an error `out` is as it was.
pub fn compact(input: &[u8], out: &mut String) -> Result<(), JsonError> {
    let before = out.len();
    let mut scanner = Scanner::new(input, out);
    let scanned = scanner.document();
    let failed = match scanned {
        Ok(()) => return Ok(()),
        Err(failed) => scanner.explain(failed),
    };
    out.truncate(before);
    Err(failed)
}

/// The same as a text of its own, borrowed when there was nothing to drop.
pub fn compacted(input: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    let mut out = String::new();
    let mut scanner = Scanner::new(input, &mut out);
    match scanner.borrowed() {
        Ok(Some(line)) => Ok(Cow::Borrowed(line)),
        Ok(None) => Ok(Cow::Owned(out)),
        Err(failed) => Err(scanner.explain(failed)),
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JsonErrorKind {
    /// It is not JSON.
    Syntax,
    /// A byte that is not UTF-8.
    Utf8,
    /// An escape that is half a surrogate pair.
    Surrogate,
    /// A number that no 64-bit float reaches.
    Range,
    /// A key that its object has already.
    DuplicateKey,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    Depth,
    /// More bytes than a record takes.
    Size,
    /// JSON, but not the members that are asked for.
    Shape,
}

impl JsonErrorKind {
    /// The contract's code.
    pub fn code(self) -> Code {
        match self {
            Self::Syntax | Self::Utf8 | Self::Surrogate | Self::Range => Code::BadJson,
            Self::DuplicateKey => Code::DuplicateKey,
            Self::Depth | Self::Size => Code::TooLarge,
            Self::Shape => Code::BadRequest,
        }
    }
}

/// Why a text was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in characters (not bytes), from 1.
    pub column: usize,
    /// What was expected or found there, without the place.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for JsonError {}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Problem::new(error.kind.code(), error.to_string()).with("line", error.line).with("column", error.column)
    }
}
