//! What is wrong with a certificate, a key, or the other side: for people, with what to do.

use std::fmt;
use std::io;

/// Why TLS cannot be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, and where.
    pub what: String,
    /// What to do.
    pub hint: String,
    /// Whether it is about a certificate, which somebody has to mend; not about bytes that anybody may send.
    pub is_serious: bool,
}

impl Fault {
    /// One that somebody has to mend.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), is_serious: true }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// The fault behind an error of a stream, if it is one.
pub fn fault_of(error: &io::Error) -> Option<&Fault> {
    error.get_ref()?.downcast_ref()
}

/// The other side does not speak TLS at all.
#[derive(Debug)]
pub(super) struct PlainRequest;

impl fmt::Display for PlainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came is not TLS")
    }
}

impl std::error::Error for PlainRequest {}

/// Whether a stream that was accepted has begun with something else than TLS. It can still be written to, and what is
/// written then goes out as it is.
pub fn is_plain_request(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PlainRequest>())
}
