//! A request's head: found good as a whole, or refused at the first byte that is not.
//!
//! A head that is not complete is parsed again from its start with each read. That is quadratic in 16 KiB at
//! most, which costs less than the reads themselves, and leaves no second state machine that could disagree
//! with the first.

use super::settings::Settings;
use super::target;
use crate::error::{Code, Problem};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use httparse::{Error, Status};
use std::mem::MaybeUninit;

/// A place in a head, which has at most 16 KiB and one empty line before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    start: u16,
    len: u16,
}

const _: () = assert!(HEAD_BYTES_MAX + 2 <= u16::MAX as usize);

impl Span {
    pub(super) fn new(start: usize, len: usize) -> Self {
        let fits = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self { start: fits(start), len: fits(len) }
    }

    pub(super) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// The text there; empty if there is none.
    pub(super) fn of(self, head: &str) -> &str {
        let start = usize::from(self.start);
        head.get(start..start + usize::from(self.len)).unwrap_or_default()
    }
}

/// One field of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// How the body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// What is known of a head that was found good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Bytes up to the body.
    pub(super) len: usize,
    pub(super) method: Span,
    pub(super) path: Span,
    pub(super) path_decoded: bool,
    pub(super) query: Span,
    pub(super) http10: bool,
    pub(super) keep_alive: bool,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    pub(super) upgrade: bool,
}

impl Head {
    /// Before the first request.
    pub(super) const NONE: Head = Head {
        len: 0,
        method: Span { start: 0, len: 0 },
        path: Span { start: 0, len: 0 },
        path_decoded: false,
        query: Span { start: 0, len: 0 },
        http10: false,
        keep_alive: true,
        framing: Framing::Length(0),
        expects_continue: false,
        upgrade: false,
    };
}

/// A request that cannot be understood.
pub(super) fn bad(detail: &str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

/// Reads the head at the start of `bytes`: `None` while it is not complete and good so far.
pub(super) fn parse(
    bytes: &[u8],
    settings: &Settings,
    fields: &mut Vec<Field>,
    decoded_path: &mut String,
) -> Result<Option<Head>, Problem> {
    // Old clients send one empty line after a body; more than one is noise.
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    match &bytes[skipped..] {
        [] => return Ok(None),
        [b'\r'] if skipped == 0 => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(bad("expected a request line")),
        _ => {}
    }
    let window = &bytes[skipped..bytes.len().min(skipped + HEAD_BYTES_MAX)];
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(window, &mut headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return partial(window).map(|()| None),
        Err(error) => return Err(refusal(error, window)),
    };
    // With the empty line before it, if any: places count from there.
    let head = text_of(&bytes[..skipped + len])?;
    // Pointers into the window become places in the head: they outlive a move of the buffer.
    let base = window.as_ptr() as usize;
    let span = |part: &[u8]| match part.len() {
        0 => Span::default(),
        len => Span::new(part.as_ptr() as usize - base + skipped, len),
    };
    fields.clear();
    fields.extend(request.headers.iter().map(|h| Field { name: span(h.name.as_bytes()), value: span(h.value) }));
    let (method, raw_target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let http10 = request.version == Some(0);

    let mut seen = Seen::default();
    for field in fields.iter() {
        seen.note(field.name.of(head), field.value.of(head))?;
    }
    let framing = seen.framing(http10, settings)?;
    seen.check_host(http10, settings)?;
    let target_at = raw_target.as_ptr() as usize - base + skipped;
    let target = target::parse(raw_target, target_at, method, settings, decoded_path)?;
    Ok(Some(Head {
        len: skipped + len,
        method: span(method.as_bytes()),
        path: target.path,
        path_decoded: target.decoded,
        query: target.query,
        http10,
        keep_alive: !seen.close && (!http10 || seen.keep_alive),
        framing,
        expects_continue: seen.expects_continue && !http10,
        upgrade: seen.connection_upgrade && seen.upgrade && !http10,
    }))
}

/// A head that is not complete: what can already be wrong with it.
fn partial(window: &[u8]) -> Result<(), Problem> {
    if window.len() >= HEAD_BYTES_MAX {
        return Err(too_large());
    }
    if let Err(error) = std::str::from_utf8(window)
        && error.error_len().is_some()
    {
        return Err(bad("the head is not UTF-8"));
    }
    let line = window.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if line.iter().any(|byte| !(0x20..0x7f).contains(byte)) {
        return Err(bad("the request line has a character that is not ASCII"));
    }
    if has_bare_lf(window) { Err(bare_lf()) } else { Ok(()) }
}

fn text_of(head: &[u8]) -> Result<&str, Problem> {
    if has_bare_lf(head) {
        return Err(bare_lf());
    }
    std::str::from_utf8(head).map_err(|_| bad("the head is not UTF-8"))
}

fn bare_lf() -> Problem {
    bad("a line of the head ends in LF without CR")
}

fn too_large() -> Problem {
    Problem::new(Code::HeadTooLarge, format!("the head has more than {HEAD_BYTES_MAX} bytes"))
}

/// Whether a line ends in LF alone.
pub(super) fn has_bare_lf(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    // Without an early exit, so that the compiler takes many bytes at a time.
    let bare = pairs.fold(0, |bare: u8, (before, byte)| bare | (u8::from(*byte == b'\n') & u8::from(*before != b'\r')));
    bare != 0 || bytes.first() == Some(&b'\n')
}

fn refusal(error: Error, window: &[u8]) -> Problem {
    if error == Error::TooManyHeaders {
        return Problem::new(Code::HeadTooLarge, format!("the head has more than {HEADERS_MAX} fields"));
    }
    if window.first() == Some(&0x16) {
        return bad("this looks like TLS").hint("this port speaks plain HTTP/1.1: use http://");
    }
    match error {
        Error::Version => bad("the version is not HTTP/1.0 or HTTP/1.1"),
        Error::Token => bad("the request line has no valid method or target"),
        Error::NewLine => bad("a line of the head does not end in CRLF"),
        Error::HeaderName => bad("a header name is not valid"),
        Error::HeaderValue => bad("a header value is not valid"),
        _ => bad("the head is not valid"),
    }
}

/// What the fields that decide about framing and host have said.
#[derive(Default)]
struct Seen<'a> {
    length: Option<&'a str>,
    coding: Option<&'a str>,
    host: Option<&'a str>,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    expects_continue: bool,
}

impl<'a> Seen<'a> {
    fn note(&mut self, name: &str, value: &'a str) -> Result<(), Problem> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        let once = |place: &mut Option<&'a str>, repeated: &str| match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(bad(repeated)),
        };
        // By length first: most fields are none of these.
        match name.len() {
            4 if is("host") => once(&mut self.host, "more than one Host")?,
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case("100-continue") {
                    return Err(bad("the only expectation known is 100-continue"));
                }
                self.expects_continue = true;
            }
            7 if is("upgrade") => self.upgrade = true,
            10 if is("connection") => self.note_connection(value),
            14 if is("content-length") => once(&mut self.length, "more than one Content-Length")?,
            17 if is("transfer-encoding") => once(&mut self.coding, "more than one Transfer-Encoding")?,
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &str) {
        for option in value.split(',').map(|option| option.trim_matches([' ', '\t'])) {
            self.close |= option.eq_ignore_ascii_case("close");
            self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            self.connection_upgrade |= option.eq_ignore_ascii_case("upgrade");
        }
    }

    fn framing(&self, http10: bool, settings: &Settings) -> Result<Framing, Problem> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(bad("Transfer-Encoding and Content-Length together")),
            (Some(_), None) if http10 => Err(bad("Transfer-Encoding in HTTP/1.0")),
            (Some(coding), None) => check_coding(coding).map(|()| Framing::Chunked),
            (None, Some(digits)) => length(digits, settings).map(Framing::Length),
            (None, None) => Ok(Framing::Length(0)),
        }
    }

    fn check_host(&self, http10: bool, settings: &Settings) -> Result<(), Problem> {
        let Some(host) = self.host else {
            return if http10 { Ok(()) } else { Err(bad("Host is missing")) };
        };
        if settings.is_ours(host) {
            return Ok(());
        }
        let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:%!$&'()*+,;=".contains(&byte);
        if !host.bytes().all(plausible) {
            return Err(bad("Host is not valid"));
        }
        Err(Problem::new(Code::WrongHost, "the Host is none of this node's addresses")
            .hint("use the address the node listens on; a proxy before it sets Host (`rig help haproxy`); --advertise is the address that other nodes dial"))
    }
}

/// Only `chunked`, alone. A known or unknown coding around it is 501; anything odd is 400.
fn check_coding(value: &str) -> Result<(), Problem> {
    if value.eq_ignore_ascii_case("chunked") {
        return Ok(());
    }
    let codings = || value.split(',').map(|coding| coding.trim_matches([' ', '\t']));
    let token = |coding: &str| !coding.is_empty() && coding.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let chunked = codings().filter(|coding| coding.eq_ignore_ascii_case("chunked")).count();
    let last = codings().next_back().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    if codings().all(token) && (chunked == 0 || chunked == 1 && last) {
        return Err(Problem::new(Code::NotImplemented, "the only Transfer-Encoding known is chunked"));
    }
    Err(bad("Transfer-Encoding is not chunked"))
}

fn length(digits: &str, settings: &Settings) -> Result<usize, Problem> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("Content-Length is not a number"));
    }
    let length: u64 = digits.parse().map_err(|_| bad("Content-Length is beyond 64 bits"))?;
    usize::try_from(length).ok().filter(|length| *length <= settings.body_max).ok_or_else(|| body_too_large(settings))
}

/// A body over the limit.
pub(super) fn body_too_large(settings: &Settings) -> Problem {
    Problem::new(Code::TooLarge, format!("the body has more than {} bytes", settings.body_max))
}
