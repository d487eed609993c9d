//! A chunked body, decoded in place: the data moves down over its own framing.
//!
//! ```text
//!   | head | data decoded so far | hole | not decoded yet |
//!                                ^ body_end   ^ raw
//! ```

use super::head::{bad, body_too_large, has_bare_lf};
use super::settings::Settings;
use crate::error::{Code, Problem};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use httparse::Status;

/// Bytes of the line before a chunk: eight digits and an extension that nobody uses.
const SIZE_LINE_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(usize),
    DataEnd,
    Trailers,
}

/// Where the decoding stands; places count from the start of the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunked {
    state: State,
    /// Behind the decoded data.
    pub(super) body_end: usize,
    /// The first byte that is not decoded yet.
    pub(super) raw: usize,
    /// Bytes of extensions, which are worth nothing and therefore bounded in sum.
    extensions: usize,
}

impl Chunked {
    /// A body that begins there.
    pub(super) fn new(head_len: usize) -> Self {
        Self { state: State::Size, body_end: head_len, raw: head_len, extensions: 0 }
    }

    /// Decodes what there is; true when the body is complete.
    pub(super) fn decode(&mut self, message: &mut [u8], head_len: usize, settings: &Settings) -> Result<bool, Problem> {
        loop {
            let rest = message.get(self.raw..).unwrap_or_default();
            match self.state {
                State::Size => {
                    let Some((size, len)) = size_line(rest)? else { return Ok(false) };
                    self.extensions += rest[..len].iter().position(|byte| *byte == b';').map_or(0, |at| len - at);
                    if self.extensions > HEAD_BYTES_MAX + (self.body_end - head_len) {
                        return Err(bad("the chunks are mostly extensions"));
                    }
                    if size > settings.body_max.saturating_sub(self.body_end - head_len) {
                        return Err(body_too_large(settings));
                    }
                    self.raw += len;
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    let n = left.min(rest.len());
                    if n == 0 {
                        return Ok(false);
                    }
                    message.copy_within(self.raw..self.raw + n, self.body_end);
                    self.raw += n;
                    self.body_end += n;
                    self.state = if n == left { State::DataEnd } else { State::Data(left - n) };
                }
                State::DataEnd => match rest {
                    [] | [b'\r'] => return Ok(false),
                    [b'\r', b'\n', ..] => {
                        self.raw += 2;
                        self.state = State::Size;
                    }
                    _ => return Err(bad("a chunk does not end in CRLF")),
                },
                State::Trailers => {
                    let Some(len) = trailers(rest)? else { return Ok(false) };
                    self.raw += len;
                    return Ok(true);
                }
            }
        }
    }

    /// Closes the hole; returns the new end of a message that ended at `end`.
    pub(super) fn close_hole(&mut self, message: &mut [u8], end: usize) -> usize {
        message.copy_within(self.raw..end, self.body_end);
        let end = end - (self.raw - self.body_end);
        self.raw = self.body_end;
        end
    }
}

/// The size and the bytes of the line; `None` while it is not complete and good so far.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, usize)>, Problem> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 8 {
        return Err(bad("a chunk size has more than eight digits"));
    }
    let Some(next) = bytes.get(digits) else { return Ok(None) };
    if digits == 0 {
        return Err(bad("a chunk size is not a hexadecimal number"));
    }
    let mut end = digits;
    if *next == b';' {
        end += bytes[digits..].iter().take_while(|byte| matches!(byte, b'\t' | 0x20..=0x7e)).count();
    }
    if end > SIZE_LINE_BYTES_MAX {
        return Err(bad("the line before a chunk is too long"));
    }
    match &bytes[end..] {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            let size = std::str::from_utf8(&bytes[..digits]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
            Ok(size.map(|size| (size, end + 2)))
        }
        _ => Err(bad("a chunk size is not followed by CRLF")),
    }
}

/// Bytes of the trailers with the empty line behind them; what they say is dropped.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, Problem> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (len, complete) = match httparse::parse_headers(window, &mut fields) {
        Ok(Status::Complete((len, _))) => (len, true),
        Ok(Status::Partial) if window.len() >= HEAD_BYTES_MAX => {
            return Err(Problem::new(Code::HeadTooLarge, "the trailers are too large"));
        }
        Ok(Status::Partial) => (window.len(), false),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::new(Code::HeadTooLarge, "the trailers have too many fields"));
        }
        Err(_) => return Err(bad("the trailers are not valid")),
    };
    if has_bare_lf(&window[..len]) {
        return Err(bad("a line of the trailers ends in LF without CR"));
    }
    Ok(complete.then_some(len))
}
