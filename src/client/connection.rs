//! One connection, plain or by TLS: requests written, answers read in their order, everything until a deadline.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Url;
use crate::http::{Event, ResponseError, ResponseHead, ResponseReader};
use crate::net::{Fault, Stream, Trust};

/// How long one try to connect may take: beyond this a node on the same network is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// While answers pile up that nobody has read, a node may stop reading: so read between two pieces of writing.
const WRITE_SLICE: Duration = Duration::from_millis(20);

/// A connection that gave no (whole) answer. What was written may have been carried out.
#[derive(Debug)]
pub enum Lost {
    /// The deadline came first.
    TimedOut,
    /// The connection broke.
    Broken(io::Error),
    /// What came cannot be trusted, or ended too early.
    Answer(ResponseError),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Answer(error) => error.fmt(f),
        }
    }
}

/// What came next.
#[derive(Debug)]
pub enum Piece {
    /// The head of an answer.
    Head(ResponseHead),
    /// More of its body, appended to the buffer.
    Body,
    /// Its end.
    End,
}

/// An open connection to a node.
#[derive(Debug)]
pub struct Connection {
    stream: Stream<TcpStream>,
    reader: ResponseReader,
}

impl Connection {
    /// Connects to the first address of the host that takes it.
    pub fn open(url: &Url, trust: Option<&Trust>, deadline: Instant) -> io::Result<Self> {
        let stream = connect(url, trust, deadline)?;
        stream.socket().set_write_timeout(Some(WRITE_SLICE))?;
        Ok(Self { stream, reader: ResponseReader::new(false) })
    }

    /// Writes all of it; when the node does not read, its answers are taken in meanwhile.
    pub fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Lost> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(Lost::Broken(io::ErrorKind::WriteZero.into())),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    left_until(deadline).ok_or(Lost::TimedOut)?;
                    self.take_in()?;
                }
                Err(error) => return Err(Lost::Broken(error)),
            }
        }
        Ok(())
    }

    /// The next piece of the answers; a body is appended to `body`.
    pub fn read(&mut self, body: &mut Vec<u8>, deadline: Instant) -> Result<Piece, Lost> {
        loop {
            match self.reader.poll().map_err(Lost::Answer)? {
                Event::Head(head) => return Ok(Piece::Head(head)),
                Event::Body(piece) => {
                    body.extend_from_slice(piece);
                    return Ok(Piece::Body);
                }
                Event::End => {
                    self.reader.begin(false);
                    return Ok(Piece::End);
                }
                Event::More => {}
            }
            self.fill(deadline)?;
        }
    }

    /// Whether bytes have come behind the answers that were read.
    pub fn has_more(&self) -> bool {
        self.reader.has_more()
    }

    /// Everything that has arrived already.
    fn take_in(&mut self) -> Result<(), Lost> {
        loop {
            match self.fill(Instant::now() + Duration::from_millis(1)) {
                Ok(()) => {}
                Err(Lost::TimedOut) => return Ok(()),
                Err(lost) => return Err(lost),
            }
        }
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Lost> {
        loop {
            let left = left_until(deadline).ok_or(Lost::TimedOut)?;
            self.stream.socket().set_read_timeout(Some(left)).map_err(Lost::Broken)?;
            match self.stream.read(self.reader.space()) {
                Ok(n) => {
                    self.reader.filled(n);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(Lost::Broken(error)),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Best effort: that it ends is seen in any case.
        let _ = self.stream.end();
    }
}

/// Connects to the first address of the host that takes it, and agrees with it on how to speak.
pub(crate) fn connect(url: &Url, trust: Option<&Trust>, deadline: Instant) -> io::Result<Stream<TcpStream>> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in url.authority().to_socket_addrs()? {
        let Some(left) = left_until(deadline) else { return Err(io::ErrorKind::TimedOut.into()) };
        match TcpStream::connect_timeout(&address, left.min(CONNECT_TIMEOUT)) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return if url.is_secure() { secure(url, trust, socket, deadline) } else { Ok(Stream::Plain(socket)) };
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The handshake, before anything is said.
fn secure(url: &Url, trust: Option<&Trust>, socket: TcpStream, deadline: Instant) -> io::Result<Stream<TcpStream>> {
    let Some(trust) = trust else {
        let hint = "name the file with the certificate of its CA: --tls-ca FILE, or RIG_TLS_CA";
        return Err(Fault::new("no CA is given that its certificate could be checked by", hint).into());
    };
    let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
    let mut stream = trust.dial(url.host(), socket)?;
    loop {
        let left = left_until(deadline).ok_or(io::ErrorKind::TimedOut)?;
        stream.socket().set_read_timeout(Some(left))?;
        stream.socket().set_write_timeout(Some(left))?;
        match stream.shake_hands() {
            Ok(()) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::new(error.kind(), "it closes the connection before TLS is agreed on"));
            }
            Err(error) if !is_timeout(&error) => return Err(error),
            Err(_) => {}
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What is left, if anything; never so little that the system takes it for "no limit".
pub(super) fn left_until(deadline: Instant) -> Option<Duration> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    Some(left.max(Duration::from_millis(1)))
}
