//! A stream between two nodes, or a client and a node: plain TCP, or TLS over it, behind one type.
//!
//! ```text
//!   Identity (what a node shows, whom it trusts) ─ accept ─┐
//!   Trust (whom a client trusts) ──────────────── dial ────┴─► Stream: Read + Write, as the socket below it
//! ```
//!
//! # Invariants
//! 1. A plain stream is its socket: no copy, no call more than that.
//! 2. What a write has said to be written is with the system; after a write that would block the same bytes come again.
//! 3. The end of a TLS stream is an end only where the other side has said so: one that is cut is an error.
//! 4. A certificate or a key is never part of a message.
//!
//! # Not here
//! Where the files are named and when they are read again (`node::settings`), what is said on a stream (`http`, `peer`).

mod fault;
mod files;
#[cfg(not(feature = "tls"))]
#[path = "off.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;

use std::io::{self, Read, Write};

pub use fault::{Fault, fault_of, is_plain_request};
pub use files::Files;
pub use tls::{Identity, Tls, Trust};

/// The scheme of a URL that is spoken to by TLS.
pub const SECURE: &str = "https://";
/// The scheme of all others.
pub const PLAIN: &str = "http://";

/// A connected socket, and what is spoken on it.
#[derive(Debug)]
pub enum Stream<S: Read + Write> {
    /// Bytes as they are.
    Plain(S),
    /// Bytes by TLS.
    Tls(Box<Tls<S>>),
}

impl<S: Read + Write> Stream<S> {
    /// The socket.
    pub fn socket(&self) -> &S {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// The same, to be watched or to change how it waits.
    pub fn socket_mut(&mut self) -> &mut S {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket_mut(),
        }
    }

    /// The same stream over what the socket becomes.
    pub fn map<T: Read + Write>(self, to: impl FnOnce(S) -> T) -> Stream<T> {
        match self {
            Self::Plain(socket) => Stream::Plain(to(socket)),
            Self::Tls(tls) => Stream::Tls(Box::new(tls.map(to))),
        }
    }

    /// Whether a read of `n` bytes into room for `size` leaves something to be read, as far as that is known.
    pub fn may_have_more(&self, n: usize, size: usize) -> bool {
        n == size || matches!(self, Self::Tls(_))
    }

    /// Whether the two sides have not yet agreed on how to speak.
    pub fn is_shaking_hands(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_shaking_hands())
    }

    /// Goes on with the handshake until it is done, or the socket would block.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.shake_hands(),
        }
    }

    /// Whether the other side has shown a certificate. One that was not good has ended the handshake.
    pub fn has_shown_certificate(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.has_shown_certificate())
    }

    /// Tells the other side that this was all. The socket itself stays as it is.
    pub fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.end(),
        }
    }
}

impl<S: Read + Write> Read for Stream<S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(room),
            Self::Tls(tls) => tls.read(room),
        }
    }
}

impl<S: Read + Write> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
