//! HTTP by hand: a client that shares no code with the product, so that both cannot be wrong in the same way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(45);

/// One keep-alive connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Received and not yet taken.
    rest: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What stands under `data`.
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["data"].take()
    }

    /// Each line of the body.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Wire {
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        Self::of(TcpStream::connect(address)?)
    }

    /// To a node that may be stopped, or behind a cut: neither the connection nor an answer takes longer.
    pub(crate) fn within(address: &str, patience: Duration) -> io::Result<Self> {
        let address = address.parse::<SocketAddr>().map_err(io::Error::other)?;
        let wire = Self::of(TcpStream::connect_timeout(&address, patience)?)?;
        wire.stream.set_read_timeout(Some(patience))?;
        Ok(wire)
    }

    /// From an address of one's own: every address of loopback is this machine, and another client.
    pub(crate) fn open_from(client: [u8; 4], address: &str) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::from((client, 0)))?;
        connect(&socket, &address.parse::<SocketAddr>().map_err(io::Error::other)?)?;
        Self::of(TcpStream::from(socket))
    }

    fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    pub(crate) fn get(&mut self, target: &str) -> io::Result<Reply> {
        self.get_with(target, "")
    }

    pub(crate) fn get_with(&mut self, target: &str, fields: &str) -> io::Result<Reply> {
        self.send(get(target, fields).as_bytes())?;
        self.reply()
    }

    /// One operation; `data` is JSON text.
    pub(crate) fn operation(&mut self, method: &str, data: &str, key: Option<&str>) -> io::Result<Reply> {
        let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let body = format!("{{\"method\":\"{method}\",\"data\":{data}}}");
        self.post("/do", &format!("Content-Type: application/json\r\n{key}"), &body)
    }

    /// NDJSON lines.
    pub(crate) fn batch(&mut self, lines: &str) -> io::Result<Reply> {
        self.post("/do", "Content-Type: application/x-ndjson\r\n", lines)
    }

    pub(crate) fn post(&mut self, target: &str, fields: &str, body: &str) -> io::Result<Reply> {
        self.send(post(target, fields, body).as_bytes())?;
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer; interim ones are passed over.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let reply = self.any_reply()?;
            if reply.status >= 200 {
                return Ok(reply);
            }
        }
    }

    /// Everything up to the end of the connection, as answers.
    pub(crate) fn replies(&mut self) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        loop {
            if self.rest.is_empty() && self.more()? == 0 {
                return Ok(replies);
            }
            replies.push(self.any_reply()?);
        }
    }

    fn any_reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head()?;
        reply.body = match (reply.header("Content-Length"), reply.header("Transfer-Encoding")) {
            (Some(length), None) => {
                let length = length.parse().map_err(io::Error::other)?;
                self.take(length)?
            }
            (None, Some("chunked")) => self.chunks()?,
            (None, None) if reply.status < 200 || matches!(reply.status, 204 | 304) => Vec::new(),
            framing => return Err(io::Error::other(format!("no framing: {framing:?}"))),
        };
        Ok(reply)
    }

    /// The head of the next answer, without its body.
    pub(crate) fn head(&mut self) -> io::Result<Reply> {
        let head = String::from_utf8(self.take_through(b"\r\n\r\n")?).map_err(io::Error::other)?;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not an answer: {head}")))?;
        Ok(Reply { status, head, body: Vec::new() })
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// The next chunk of a body; the last one is empty.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.take_through(b"\r\n")?;
        let digits = std::str::from_utf8(&line[..line.len() - 2]).map_err(io::Error::other)?;
        let chunk = self.take(usize::from_str_radix(digits, 16).map_err(io::Error::other)?)?;
        if self.take(2)? != b"\r\n" {
            return Err(io::Error::other("a chunk without its end"));
        }
        Ok(chunk)
    }

    fn take_through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            match find(&self.rest, end) {
                Some(at) => return self.take(at + end.len()),
                None => self.some()?,
            }
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < length {
            self.some()?;
        }
        let rest = self.rest.split_off(length);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    fn some(&mut self) -> io::Result<()> {
        if self.more()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let n = loop {
            match self.stream.read(&mut piece) {
                // A read with a time-out is ended by a machine that was stopped and goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.rest.extend_from_slice(&piece[..n]);
        Ok(n)
    }
}

/// A request without a body.
pub(crate) fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// A request with a body.
pub(crate) fn post(target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
