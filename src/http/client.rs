//! The other side: requests out, responses in.
//!
//! A response is framed by `Content-Length`, by chunks, or by the end of the connection, and its body is handed
//! out as it comes, because a change feed has no end. As strict as the server where framing is concerned: a
//! reader that guesses would take the bytes of one answer for another's.

use super::answer::{push_header, push_number};
use super::head::has_bare_lf;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use httparse::{Header, ParserConfig, Response, Status};
use std::fmt;
use std::mem::MaybeUninit;

/// The first buffer, and what is kept of a large one.
const READ_BYTES: usize = 64 << 10;
/// Interim answers (1xx) before the real one; more is a server that makes fun of us.
const INTERIM_MAX: u32 = 8;
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Appends a whole request. `headers` must name the `Host`; `Content-Length` is added when there is a body.
pub fn write_request(out: &mut Vec<u8>, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend(target.bytes().map(|byte| if byte.is_ascii_graphic() { byte } else { b'?' }));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in headers {
        push_header(out, name, value);
    }
    if let Some(body) = body {
        out.extend_from_slice(b"Content-Length: ");
        push_number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.unwrap_or_default());
}

/// Status and fields of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// Names and values as sent.
    pub headers: Vec<(String, String)>,
    /// Whether another request can follow on this connection.
    pub keep_alive: bool,
}

impl ResponseHead {
    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing yet: read more.
    More,
    /// The head has come. After 101 the connection is no longer HTTP: see [`ResponseReader::into_rest`].
    Head(ResponseHead),
    /// A piece of the body.
    Body(&'a [u8]),
    /// The response is complete.
    End,
}

/// A response that cannot be trusted. The request may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// The connection ended before the response began.
    Closed,
    /// The connection ended inside the response.
    Cut,
    /// The head is not HTTP/1.
    Head,
    /// Head, chunk line or trailers over their limit.
    TooLarge,
    /// Where the body ends is not clear.
    Framing,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection was closed before an answer came",
            Self::Cut => "the connection was closed in the middle of an answer",
            Self::Head => "the answer is not HTTP/1.1",
            Self::TooLarge => "the head of the answer is too large",
            Self::Framing => "the answer does not say where it ends",
        })
    }
}

impl std::error::Error for ResponseError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// Reads one response after the other from the bytes of one connection.
#[derive(Debug)]
pub struct ResponseReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    head_only: bool,
    with_fields: bool,
    interim: u32,
    eof: bool,
}

impl ResponseReader {
    /// For the answer to the first request; `head_only` if that is a HEAD.
    pub fn new(head_only: bool) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            state: State::Head,
            head_only,
            with_fields: true,
            interim: 0,
            eof: false,
        }
    }

    /// For who wants to know only the status of many answers: [`ResponseHead::headers`] stays empty.
    pub fn without_fields() -> Self {
        Self { with_fields: false, ..Self::new(false) }
    }

    /// For the answer to the next request on the same connection, behind [`Event::End`].
    pub fn begin(&mut self, head_only: bool) {
        (self.state, self.head_only, self.interim) = (State::Head, head_only, 0);
    }

    /// Where to read into.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() == self.end {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            // What `poll` leaves behind is less than a head, so this grows once.
            if self.buffer.len() - self.end < READ_BYTES / 4 {
                self.buffer.resize(self.end + READ_BYTES, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes have been read into [`ResponseReader::space`]; zero says that the connection has ended.
    pub fn filled(&mut self, n: usize) {
        self.eof |= n == 0;
        self.end = (self.end + n).min(self.buffer.len());
    }

    /// What the bytes so far amount to. Call again until it says [`Event::More`] or [`Event::End`].
    pub fn poll(&mut self) -> Result<Event<'_>, ResponseError> {
        loop {
            let rest = &self.buffer[self.start..self.end];
            match self.state {
                State::Done => return Ok(Event::End),
                State::Head => match self.read_head()? {
                    Some(head) => return Ok(Event::Head(head)),
                    None => return self.more(),
                },
                State::Length(0) => self.state = State::Done,
                State::UntilClose if rest.is_empty() && self.eof => self.state = State::Done,
                State::Length(_) | State::Chunk(_) | State::UntilClose if rest.is_empty() => return self.more(),
                State::Length(left) => {
                    let n = take(left, rest);
                    self.state = State::Length(left - n as u64);
                    return Ok(Event::Body(self.advance(n)));
                }
                State::Chunk(left) => {
                    let n = take(left, rest);
                    self.state = if n as u64 == left { State::ChunkEnd } else { State::Chunk(left - n as u64) };
                    return Ok(Event::Body(self.advance(n)));
                }
                State::UntilClose => {
                    let n = rest.len();
                    return Ok(Event::Body(self.advance(n)));
                }
                State::ChunkSize => {
                    let Some((size, len)) = chunk_line(rest)? else { return self.more() };
                    self.start += len;
                    self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                }
                State::ChunkEnd => match rest {
                    [] | [b'\r'] => return self.more(),
                    [b'\r', b'\n', ..] => {
                        self.start += 2;
                        self.state = State::ChunkSize;
                    }
                    _ => return Err(ResponseError::Framing),
                },
                State::Trailers => {
                    let Some(len) = trailers_len(rest)? else { return self.more() };
                    self.start += len;
                    self.state = State::Done;
                }
            }
        }
    }

    /// Whether bytes have come that nobody has taken: behind [`Event::End`] they belong to no answer.
    pub fn has_more(&self) -> bool {
        self.start < self.end
    }

    /// After 101: the bytes behind the head.
    pub fn into_rest(self) -> Vec<u8> {
        self.buffer.get(self.start..self.end).unwrap_or_default().to_vec()
    }

    fn advance(&mut self, n: usize) -> &[u8] {
        let from = self.start;
        self.start += n;
        &self.buffer[from..from + n]
    }

    fn more(&self) -> Result<Event<'_>, ResponseError> {
        match (self.eof, self.state) {
            (false, _) => Ok(Event::More),
            (true, State::Head) if self.start == self.end => Err(ResponseError::Closed),
            (true, _) => Err(ResponseError::Cut),
        }
    }

    fn read_head(&mut self) -> Result<Option<ResponseHead>, ResponseError> {
        loop {
            let rest = &self.buffer[self.start..self.end];
            let Some((head, len, body)) = parse_head(rest, self.head_only, self.with_fields)? else { return Ok(None) };
            self.start += len;
            if (100..200).contains(&head.status) && head.status != 101 {
                self.interim += 1;
                if self.interim > INTERIM_MAX {
                    return Err(ResponseError::Head);
                }
                continue;
            }
            self.state = body;
            return Ok(Some(head));
        }
    }
}

/// How much of `rest` belongs to the `left` bytes of the body.
fn take(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))
}

fn parse_head(
    bytes: &[u8],
    head_only: bool,
    with_fields: bool,
) -> Result<Option<(ResponseHead, usize, State)>, ResponseError> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, window, &mut fields);
    let len = match parsed {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if window.len() >= HEAD_BYTES_MAX => return Err(ResponseError::TooLarge),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooLarge),
        Err(_) => return Err(ResponseError::Head),
    };
    if has_bare_lf(&window[..len]) {
        return Err(ResponseError::Head);
    }
    let status = response.code.unwrap_or(0);
    let (keep_alive, body) = framing(&response, status, head_only)?;
    let text = |field: &Header<'_>| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned());
    let headers = if with_fields { response.headers.iter().map(text).collect() } else { Vec::new() };
    Ok(Some((ResponseHead { status, headers, keep_alive }, len, body)))
}

/// Whether another answer can follow, and where this one's body ends.
fn framing(response: &Response<'_, '_>, status: u16, head_only: bool) -> Result<(bool, State), ResponseError> {
    let values = |name: &'static str| {
        response.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let only = |name| {
        let mut all = values(name);
        let first = all.next();
        if all.next().is_some() { Err(ResponseError::Framing) } else { Ok(first) }
    };
    let (length, coding) = (only("content-length")?, only("transfer-encoding")?);
    let mut options = values("connection").flat_map(|value| value.split(|byte| *byte == b','));
    let says_close = options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    let keep_alive = response.version == Some(1) && !says_close;
    let state = match (length, coding) {
        _ if head_only || status == 101 || status == 204 || status == 304 || status < 200 => State::Done,
        (Some(_), Some(_)) => return Err(ResponseError::Framing),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => State::ChunkSize,
        (None, Some(_)) => return Err(ResponseError::Framing),
        (Some(digits), None) => {
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|digits| digits.parse().ok());
            State::Length(length.ok_or(ResponseError::Framing)?)
        }
        (None, None) => return Ok((false, State::UntilClose)),
    };
    Ok((keep_alive, state))
}

fn chunk_line(bytes: &[u8]) -> Result<Option<(u64, usize)>, ResponseError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let end = digits + bytes[digits..].iter().take_while(|byte| matches!(byte, b'\t' | 0x20..=0x7e)).count();
    // What is wrong from its first bytes comes first: the verdict must not depend on how much has come.
    if digits > 8 || (digits == 0 && !bytes.is_empty()) || (end > digits && bytes[digits] != b';') {
        return Err(ResponseError::Framing);
    }
    if end > CHUNK_LINE_BYTES_MAX {
        return Err(ResponseError::TooLarge);
    }
    match &bytes[end..] {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            let size = std::str::from_utf8(&bytes[..digits]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
            Ok(size.map(|size| (size, end + 2)))
        }
        _ => Err(ResponseError::Framing),
    }
}

fn trailers_len(bytes: &[u8]) -> Result<Option<usize>, ResponseError> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(window, &mut fields) {
        Ok(Status::Complete((len, _))) if has_bare_lf(&window[..len]) => Err(ResponseError::Framing),
        Ok(Status::Complete((len, _))) => Ok(Some(len)),
        Ok(Status::Partial) if window.len() >= HEAD_BYTES_MAX => Err(ResponseError::TooLarge),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(ResponseError::TooLarge),
        Err(_) => Err(ResponseError::Framing),
    }
}
