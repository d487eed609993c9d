//! Answers, appended to the bytes that wait for the socket.
//!
//! Head and body go into one buffer in one go, without strings in between; a body whose length is only known
//! when it is written leaves room for the digits (leading white space in a field value is allowed).

use crate::error::Problem;

/// What an answer must know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The connection stays open.
    pub keep_alive: bool,
    /// HEAD: all but the body.
    pub head_only: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
}

impl Reply {
    /// For a refusal without a request: the connection ends.
    pub const CLOSE: Reply = Reply { keep_alive: false, head_only: false, http10: false };

    /// The same, but the connection ends.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { keep_alive: false, ..self }
    }
}

/// One answer that is being written: fields first, then exactly one of the methods that take `self`.
#[derive(Debug)]
pub struct Answer<'o> {
    out: &'o mut Vec<u8>,
    reply: Reply,
    status: u16,
}

impl<'o> Answer<'o> {
    /// Begins an answer with its status.
    pub fn new(out: &'o mut Vec<u8>, reply: Reply, status: u16) -> Self {
        match status_line(status) {
            "" => {
                out.extend_from_slice(b"HTTP/1.1 ");
                push_number(out, u64::from(status));
                out.extend_from_slice(b" \r\n");
            }
            line => out.extend_from_slice(line.as_bytes()),
        }
        Self { out, reply, status }
    }

    /// A field. A control character in the value becomes `?`: no value begins a line of its own.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        push_header(self.out, name, value);
        self
    }

    /// A field with a number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        push_number(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Fields that were prepared for many answers, each with its CRLF.
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
        self.out.extend_from_slice(lines);
        self
    }

    /// Ends the answer with this body.
    pub fn body(mut self, content_type: &str, body: &[u8]) {
        self.header("Content-Type", content_type);
        self.untyped_body(body);
    }

    /// The same for a body whose type, if it has one, is among the fields already.
    pub fn untyped_body(mut self, body: &[u8]) {
        self.number("Content-Length", body.len() as u64);
        self.end_head(false);
        if !self.reply.head_only {
            self.out.extend_from_slice(body);
        }
    }

    /// Ends the answer with the body that `fill` appends.
    pub fn body_with(mut self, content_type: &str, fill: impl FnOnce(&mut Vec<u8>)) {
        const ROOM: &[u8] = b"Content-Length:                     \r\n";
        self.header("Content-Type", content_type);
        self.out.extend_from_slice(ROOM);
        let digits_end = self.out.len() - 2;
        self.end_head(false);
        let start = self.out.len();
        fill(self.out);
        let mut left = self.out.len() - start;
        let mut place = digits_end;
        loop {
            place -= 1;
            self.out[place] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if self.reply.head_only {
            self.out.truncate(start);
        }
    }

    /// Ends the answer without a body.
    pub fn empty(mut self) {
        // 1xx, 204 and 304 have no body and therefore no length.
        if self.status >= 200 && self.status != 204 && self.status != 304 {
            self.number("Content-Length", 0);
        }
        self.end_head(false);
    }

    /// Ends the answer to a HEAD whose body is not here: of its length only what a field says is known.
    pub fn bare(mut self) {
        assert!(self.reply.head_only, "any other answer must say where it ends");
        self.end_head(false);
    }

    /// Agrees to an upgrade: what follows on the connection is not HTTP.
    pub fn upgrade(mut self, protocol: &str) {
        self.header("Connection", "Upgrade").header("Upgrade", protocol);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head of an answer whose body comes piece by piece. With HTTP/1.0 its end is the connection's.
    pub fn stream(mut self, content_type: &str) -> Stream {
        self.header("Content-Type", content_type);
        let chunked = !self.reply.http10;
        if chunked {
            self.header("Transfer-Encoding", "chunked");
        } else {
            self.reply.keep_alive = false;
        }
        self.end_head(true);
        Stream { chunked, head_only: self.reply.head_only, keep_alive: self.reply.keep_alive }
    }

    /// Ends the answer with a problem document and the fields that belong to its status: `Retry-After` (from the
    /// extra member `retry_after_s`, else 1), `Location` and `Allow` (from `location` and `allow`),
    /// `WWW-Authenticate`.
    pub fn problem(mut self, problem: &Problem, request_id: &str) {
        for (name, value) in &problem.extra {
            match (&**name, problem.status, value) {
                ("location", 307, serde_json::Value::String(url)) => _ = self.header("Location", url),
                ("allow", 405, serde_json::Value::String(methods)) => _ = self.header("Allow", methods),
                _ => {}
            }
        }
        match problem.status {
            401 => _ = self.header("WWW-Authenticate", "Bearer"),
            429 | 503 => {
                let wait = problem.extra.iter().find(|(name, _)| name == "retry_after_s");
                let wait = wait.and_then(|(_, value)| value.as_u64()).unwrap_or(1);
                self.number("Retry-After", wait);
            }
            _ => {}
        }
        self.body_with("application/problem+json", |out| super::problem_json(problem, request_id, out));
    }

    fn end_head(&mut self, streamed: bool) {
        if !self.reply.keep_alive {
            self.header("Connection", "close");
        } else if self.reply.http10 && !streamed {
            self.header("Connection", "keep-alive");
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A body that comes piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a stream must be ended"]
pub struct Stream {
    chunked: bool,
    head_only: bool,
    /// Whether the connection goes on behind [`Stream::end`].
    pub keep_alive: bool,
}

impl Stream {
    /// Appends a piece of the body.
    pub fn piece(self, out: &mut Vec<u8>, data: &[u8]) {
        // An empty chunk would be the last one.
        if data.is_empty() || self.head_only {
            return;
        }
        if !self.chunked {
            out.extend_from_slice(data);
            return;
        }
        let digits = (64 - (data.len() as u64).leading_zeros()).div_ceil(4);
        for digit in (0..digits).rev() {
            out.push(b"0123456789abcdef"[(data.len() >> (4 * digit)) & 15]);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }

    /// Ends the body. A stream that is cut must not be ended: the client sees that its end is missing.
    pub fn end(self, out: &mut Vec<u8>) {
        if self.chunked && !self.head_only {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// What a client waits for before it sends its body.
pub fn write_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends one server-sent event; each line of `data` is one of the event's.
pub fn sse_event(out: &mut Vec<u8>, id: Option<u64>, event: &str, data: &str) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        push_number(out, id);
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend(event.bytes().filter(|byte| *byte >= 0x20));
    for line in data.split(['\n', '\r']) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(line.as_bytes());
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends a comment, which keeps a quiet stream alive.
pub fn sse_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

/// Appends the time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(unix_seconds: u64, out: &mut Vec<u8>) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    out.extend_from_slice(text.as_bytes());
}

/// Year, month and day of a day since 1970 (the method of Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

pub(super) fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    out[start..].iter_mut().filter(|byte| **byte < 0x20 || **byte == 0x7f).for_each(|byte| *byte = b'?');
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut place = digits.len();
    loop {
        place -= 1;
        digits[place] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[place..]);
}

fn status_line(status: u16) -> &'static str {
    macro_rules! lines {
        ($($code:literal $text:literal)+) => {
            match status {
                $($code => concat!("HTTP/1.1 ", stringify!($code), " ", $text, "\r\n"),)+
                _ => "",
            }
        };
    }
    lines! {
        101 "Switching Protocols" 200 "OK" 201 "Created" 202 "Accepted" 204 "No Content" 206 "Partial Content"
        301 "Moved Permanently" 302 "Found" 303 "See Other" 304 "Not Modified" 307 "Temporary Redirect"
        308 "Permanent Redirect" 400 "Bad Request" 401 "Unauthorized" 403 "Forbidden" 404 "Not Found"
        405 "Method Not Allowed" 408 "Request Timeout" 409 "Conflict" 410 "Gone" 412 "Precondition Failed"
        413 "Content Too Large" 415 "Unsupported Media Type" 416 "Range Not Satisfiable" 421 "Misdirected Request"
        422 "Unprocessable Content" 429 "Too Many Requests" 431 "Request Header Fields Too Large"
        500 "Internal Server Error" 501 "Not Implemented" 502 "Bad Gateway" 503 "Service Unavailable"
        504 "Gateway Timeout" 507 "Insufficient Storage"
    }
}
