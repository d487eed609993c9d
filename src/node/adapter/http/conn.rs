//! One connection to a service.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use crate::http::{Event, ResponseError, ResponseHead, ResponseReader};
use crate::limits::{SERVICE_ANSWER_BYTES_MAX, SERVICE_CONNECT_TIMEOUT};
use crate::node::adapter::Fault;
use crate::node::adapter::patience::Patience;

/// Why a connection gave no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// It ended before a byte of the answer came. Where it had been kept, nobody has read the call.
    Unanswered(String),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An open connection.
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    reader: ResponseReader,
    /// It has been asked for `info`.
    pub(super) greeted: bool,
    /// It has brought an answer before.
    pub(super) kept: bool,
}

impl Conn {
    /// Connects to the first address of the host that takes it.
    pub(super) fn open(authority: &str, patience: &Patience) -> Result<Self, Fault> {
        let away = |error: &io::Error| Fault::Away(format!("cannot connect to http://{authority}: {error}"));
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in authority.to_socket_addrs().map_err(|error| away(&error))? {
            let limit = patience.left()?.min(SERVICE_CONNECT_TIMEOUT);
            match TcpStream::connect_timeout(&address, limit).and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(stream)
            }) {
                Ok(stream) => {
                    return Ok(Self { stream, reader: ResponseReader::new(false), greeted: false, kept: false });
                }
                Err(error) => failed = error,
            }
        }
        Err(away(&failed))
    }

    /// Whether nothing has come since the last answer, not even the end.
    pub(super) fn is_quiet(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let blocking = self.stream.set_nonblocking(false).is_ok();
        blocking && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes a request and what `more` has, and reads the head of the answer.
    pub(super) fn ask(
        &mut self,
        request: &[u8],
        more: Option<&mut dyn Read>,
        patience: &mut Patience,
    ) -> Result<ResponseHead, Lost> {
        let sent = self.send(request, patience).and_then(|()| match more {
            Some(more) => self.send_all(more, patience),
            None => Ok(()),
        });
        match sent {
            // When it does not read on it may have answered already.
            Ok(()) | Err(Lost::Unanswered(_)) => self.head(patience),
            Err(lost) => Err(lost),
        }
    }

    fn send(&mut self, mut bytes: &[u8], patience: &mut Patience) -> Result<(), Lost> {
        while !bytes.is_empty() {
            let left = patience.left()?;
            let written = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write(bytes));
            match written {
                Ok(0) => return Err(Lost::Unanswered("it takes no more bytes".to_owned())),
                Ok(written) => {
                    bytes = &bytes[written..];
                    patience.progress();
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(Lost::Unanswered(format!("the connection broke: {error}"))),
            }
        }
        Ok(())
    }

    fn send_all(&mut self, more: &mut dyn Read, patience: &mut Patience) -> Result<(), Lost> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = more.read(&mut buffer).map_err(|error| Fault::Away(format!("read the snapshot: {error}")))?;
            if read == 0 {
                return Ok(());
            }
            self.send(&buffer[..read], patience)?;
        }
    }

    fn head(&mut self, patience: &mut Patience) -> Result<ResponseHead, Lost> {
        loop {
            match self.reader.poll() {
                Ok(Event::Head(head)) if head.status == 101 => {
                    return Err(Fault::Violation { rule: "http", detail: "it changes the protocol".to_owned() }.into());
                }
                Ok(Event::Head(head)) => return Ok(head),
                Ok(Event::More) => self.fill(patience)?,
                Ok(_) => return Err(distrusted(ResponseError::Framing)),
                Err(ResponseError::Closed) => return Err(Lost::Unanswered(ResponseError::Closed.to_string())),
                Err(error) => return Err(distrusted(error)),
            }
        }
    }

    /// Hands out the body piece by piece; behind it, whether another request may follow here.
    pub(super) fn body(
        &mut self,
        head: &ResponseHead,
        patience: &mut Patience,
        mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<bool, Lost> {
        loop {
            match self.reader.poll().map_err(distrusted)? {
                Event::Body(piece) => {
                    each(piece)?;
                    patience.progress();
                }
                Event::End => break,
                Event::More => self.fill(patience)?,
                Event::Head(_) => return Err(distrusted(ResponseError::Framing)),
            }
        }
        self.reader.begin(false);
        self.kept = true;
        Ok(head.keep_alive && !self.reader.has_more())
    }

    /// The whole body, which must not be larger than an answer is.
    pub(super) fn whole_body(&mut self, head: &ResponseHead, patience: &mut Patience) -> Result<(Vec<u8>, bool), Lost> {
        let mut body = Vec::new();
        let keep = self.body(head, patience, |piece| {
            if body.len() + piece.len() > SERVICE_ANSWER_BYTES_MAX {
                let detail = format!("an answer of more than {SERVICE_ANSWER_BYTES_MAX} bytes");
                return Err(Fault::Violation { rule: "http", detail });
            }
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((body, keep))
    }

    fn fill(&mut self, patience: &Patience) -> Result<(), Lost> {
        loop {
            let left = patience.left()?;
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(self.reader.space()));
            match read {
                Ok(read) => {
                    self.reader.filled(read);
                    return Ok(());
                }
                Err(error) if is_passing(&error) => {}
                // A reset is an end like any other: what has come before it is not taken back.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.reader.filled(0);
                    return Ok(());
                }
                Err(error) => return Err(Fault::Away(format!("the connection broke: {error}")).into()),
            }
        }
    }
}

fn distrusted(error: ResponseError) -> Lost {
    Lost::Fault(match error {
        ResponseError::Closed | ResponseError::Cut => Fault::Away(error.to_string()),
        ResponseError::Head | ResponseError::TooLarge | ResponseError::Framing => {
            Fault::Violation { rule: "http", detail: error.to_string() }
        }
    })
}

/// Whether the same can be tried again at once: the time that is left says how often.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
