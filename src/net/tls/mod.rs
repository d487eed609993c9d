//! TLS by `rustls`, over any socket, whether it blocks or not.
//!
//! # Invariants
//! 1. Nothing of the caller's is taken before the handshake is done.
//! 2. What the handshake and the end have to say goes out within reads too: who only reads still answers.

mod identity;
mod words;

use std::io::{self, Read, Write};

use rustls::Connection;

pub use identity::{Identity, Trust};

use super::fault::PlainRequest;

/// The first byte of every TLS stream: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// A stream by TLS.
#[derive(Debug)]
pub struct Tls<S: Read + Write> {
    socket: S,
    session: Connection,
    /// Whom we have dialled, as we call it.
    host: Option<String>,
    begun: Begun,
    /// Bytes of the caller's that are encrypted and not all with the system.
    pending: usize,
}

/// What the first byte of an accepted stream has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    Tls,
    /// It is no TLS, and is written to as it is.
    Plain,
}

/// A reader that notes the first byte.
struct First<'a, S> {
    socket: &'a mut S,
    byte: Option<u8>,
}

impl<S: Read> Read for First<'_, S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let n = self.socket.read(room)?;
        self.byte = self.byte.or(room[..n].first().copied());
        Ok(n)
    }
}

impl<S: Read + Write> Tls<S> {
    fn new(socket: S, session: Connection, host: Option<String>) -> Self {
        let begun = if host.is_some() { Begun::Tls } else { Begun::No };
        Self { socket, session, host, begun, pending: 0 }
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    pub(super) fn map<T: Read + Write>(self, to: impl FnOnce(S) -> T) -> Tls<T> {
        let Self { socket, session, host, begun, pending } = self;
        Tls { socket: to(socket), session, host, begun, pending }
    }

    pub(super) fn is_shaking_hands(&self) -> bool {
        self.begun != Begun::Plain && self.session.is_handshaking()
    }

    pub(super) fn shake_hands(&mut self) -> io::Result<()> {
        while self.is_shaking_hands() {
            self.push()?;
            if self.pull()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.push()
    }

    pub(super) fn has_shown_certificate(&self) -> bool {
        self.session.peer_certificates().is_some_and(|chain| !chain.is_empty())
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.begun == Begun::Plain {
            return Ok(());
        }
        self.session.send_close_notify();
        self.push()
    }

    /// Takes in what the socket has, once.
    fn pull(&mut self) -> io::Result<usize> {
        let mut first = First { socket: &mut self.socket, byte: None };
        let n = self.session.read_tls(&mut first)?;
        if let (Begun::No, Some(byte)) = (self.begun, first.byte) {
            self.begun = if byte == HANDSHAKE { Begun::Tls } else { Begun::Plain };
        }
        if self.begun == Begun::Plain {
            return Err(io::Error::new(io::ErrorKind::InvalidData, PlainRequest));
        }
        let taken = self.session.process_new_packets();
        // An answer, or the word why there is none. Whether it can be sent is the next write's affair.
        let _ = self.push();
        taken.map_err(|error| words::fault(&error, self.host.as_deref()))?;
        Ok(n)
    }

    /// Gives the socket what there is for it.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<S: Read + Write> Read for Tls<S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.begun == Begun::Plain {
            return self.socket.read(room);
        }
        loop {
            match self.session.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.pull()?;
        }
    }
}

impl<S: Read + Write> Write for Tls<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun == Begun::Plain {
            return self.socket.write(bytes);
        }
        if self.pending == 0 {
            self.push()?;
            if self.session.is_handshaking() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.pending = self.session.writer().write(bytes)?;
        }
        self.push()?;
        assert!(self.pending <= bytes.len(), "after a write that would block the same bytes come again");
        Ok(std::mem::take(&mut self.pending))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}
