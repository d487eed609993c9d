//! Frames out of a stream of bytes, in whatever pieces they come.

use super::greeting::Greeting;
use super::{FRAME_HEADER_BYTES, FrameError, Kind, body};
use crate::replication::Message;

/// What a peer has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first frame.
    Greeting(Greeting),
    /// Every other.
    Message {
        /// What it says; an append without its landmarks.
        message: Message,
        /// The wire bytes of the records behind it, as they came: nobody has looked at them.
        records: &'a [u8],
    },
}

/// Takes bytes and gives frames. It holds at most one frame that is not whole, and what was pushed last.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The version that is spoken; before the greeting there is none.
    protocol: u16,
    buf: Vec<u8>,
    /// Behind the last frame that was given out.
    start: usize,
    greeted: bool,
    failed: Option<FrameError>,
}

impl Decoder {
    /// For the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greetings allow this version: every later frame is of it.
    pub fn speak(&mut self, protocol: u16) {
        self.protocol = protocol;
    }

    /// Takes bytes as they come; ask for frames until there is none before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.buf.drain(..self.start);
        self.start = 0;
        // Exactly, because a doubled buffer would break its bound.
        self.buf.reserve_exact(bytes.len());
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more bytes come. An error is final.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.failed.map_or(Ok(()), Err)?;
        let Some((kind, from, to)) = self.whole().map_err(|error| self.fail(error))? else { return Ok(None) };
        self.start = to;
        if kind == Kind::Greeting {
            let greeting = Greeting::decode(&self.buf[from..to]).map_err(|error| self.fail(error))?;
            self.greeted = true;
            return Ok(Some(Frame::Greeting(greeting)));
        }
        let (message, used) = body::get(kind, self.protocol, &self.buf[from..to]).map_err(|error| self.fail(error))?;
        Ok(Some(Frame::Message { message, records: &self.buf[from + used..to] }))
    }

    /// Kind and place of the next body, its checksum checked; `None` while it is not whole.
    fn whole(&mut self) -> Result<Option<(Kind, usize, usize)>, FrameError> {
        let Some(header) = self.buf[self.start..].first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let [c0, c1, c2, c3, l0, l1, l2, l3, number, zeros @ ..] = *header;
        let kind = Kind::from_number(number).ok_or(FrameError::Unknown(number))?;
        if zeros != [0; 3] {
            return Err(FrameError::Reserved);
        }
        if self.greeted == (kind == Kind::Greeting) {
            return Err(FrameError::OutOfPlace(kind));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > kind.body_bytes_max() {
            return Err(FrameError::TooLong { kind, length });
        }
        let (from, to) = (self.start + FRAME_HEADER_BYTES, self.start + FRAME_HEADER_BYTES + length);
        if self.buf.len() < to {
            self.buf.reserve_exact(to - self.buf.len());
            return Ok(None);
        }
        let (found, expected) = (u32::from_le_bytes([c0, c1, c2, c3]), crc32c::crc32c(&self.buf[self.start + 4..to]));
        if found != expected {
            return Err(FrameError::Crc { found, expected });
        }
        Ok(Some((kind, from, to)))
    }

    /// Nothing that comes after this is believed, and nothing is held for it.
    fn fail(&mut self, error: FrameError) -> FrameError {
        self.failed = Some(error);
        (self.buf, self.start) = (Vec::new(), 0);
        error
    }
}

#[cfg(test)]
impl Decoder {
    /// Bytes of memory that are held.
    pub(super) fn held(&self) -> usize {
        self.buf.capacity()
    }
}
