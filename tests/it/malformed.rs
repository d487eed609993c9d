//! Requests as attackers, broken clients and line noise send them.
//!
//! [`generate`] makes them, the same for the same seed. Here they go through a connection without sockets and
//! are judged by a second, smaller reader that was written from the rules and shares nothing with the first;
//! a test with a node sends the same ones over a real socket, and the fuzz targets use the same judge.

use rig::http::{Connection, Next, Settings};
use std::time::Instant;

/// Requests that are mostly malformed, in some order that the seed decides. All name the host `localhost`.
pub(crate) fn generate(seed: u64, n: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(seed);
    (0..n).map(move |_| random.request())
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn request(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(3) {
            let one = self.template();
            bytes.extend(one);
        }
        // A third stays as it is: good requests have to be told from bad ones too.
        for _ in 0..self.below(6).saturating_sub(2) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    fn template(&mut self) -> Vec<u8> {
        let target = if self.below(4) == 0 { self.pick(TARGETS) } else { "/do?x=%20" };
        let host = if self.below(12) == 0 { self.pick(HOSTS) } else { "Host: localhost\r\n" };
        let version = if self.below(10) == 0 { "1.0" } else { "1.1" };
        let extra = if self.below(4) == 0 { self.pick(LINES) } else { "" };
        match self.below(4) {
            0 => format!("GET {target} HTTP/{version}\r\n{host}{extra}\r\n"),
            1 | 2 => {
                let body = self.pick(BODIES);
                let len = body.len();
                format!("POST {target} HTTP/{version}\r\n{host}{extra}Content-Length: {len}\r\n\r\n{body}")
            }
            _ => {
                let mut text = format!("POST {target} HTTP/1.1\r\n{host}{extra}Transfer-Encoding: chunked\r\n\r\n");
                for _ in 0..self.below(3) {
                    let body = self.pick(BODIES);
                    if !body.is_empty() {
                        text.push_str(&format!("{:x}\r\n{body}\r\n", body.len()));
                    }
                }
                text.push_str("0\r\n");
                text.push_str(self.pick(&["", "", "X-Sum: 1\r\n", "Host: evil.example\r\n"]));
                text.push_str("\r\n");
                text
            }
        }
        .into_bytes()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let at = self.below(len);
        match self.below(9) {
            0 if len > 0 => bytes[at] = self.next() as u8,
            1 => bytes.insert(at, b"\r\n\0\t :;,%\x80\xff\x7f0g+-"[self.below(16)]),
            2 => drop(bytes.drain(at..(at + 1 + self.below(8)).min(len))),
            3 => bytes.truncate(at),
            4 => {
                let copy = bytes[at..(at + self.below(64)).min(len)].to_vec();
                let to = self.below(len);
                bytes.splice(to..to, copy);
            }
            5 => self.splice_line(bytes),
            6 => {
                if let Some(place) = find(&bytes[at..], b"\r\n") {
                    bytes.splice(
                        at + place..at + place + 2,
                        self.pick::<[u8]>(&[b"\n", b"\r", b"\r\r\n", b"\n\n"]).to_vec(),
                    );
                }
            }
            7 if self.below(8) == 0 => {
                let large = self.pick::<[u8]>(&[b"X: y\r\n", b"a", b"1;x\r\n"]).repeat(4_000);
                bytes.splice(at..at, large);
            }
            _ => {
                let token = self.pick(TOKENS).as_bytes().to_vec();
                bytes.splice(at..at, token);
            }
        }
    }

    /// One of the lines that servers have stumbled over, behind some line of the head.
    fn splice_line(&mut self, bytes: &mut Vec<u8>) {
        let ends: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1..].starts_with(b"\r\n")).collect();
        if !ends.is_empty() {
            let at = ends[self.below(ends.len())] + 1;
            bytes.splice(at..at, self.pick(LINES).bytes().collect::<Vec<_>>());
        }
    }
}

const TARGETS: &[&str] = &[
    "/",
    "/do",
    "/status",
    "/data/user/a%2Fb?x=1&y=%20",
    "/../x",
    "/%2e%2e",
    "/a%00",
    "*",
    "http://localhost/do",
    "http://evil.example/",
    "/%zz",
    "/a?b=%ff",
];
const HOSTS: &[&str] = &[
    "",
    "Host: evil.example\r\n",
    "Host: localhost\r\nHost: localhost\r\n",
    "Host:\r\n",
    "Host : localhost\r\n",
    "HOST:\tLOCALHOST\t\r\n",
    "Host: local host\r\n",
    "Host: 127.0.0.1:7440\r\n",
];
const LINES: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 99999999999999999999999\r\n",
    "Content-Length: 9999999999\r\n",
    "Content-Length:\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: Chunked \r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, Upgrade\r\nUpgrade: rig-peer/1\r\n",
    "Expect: 100-continue\r\n",
    "Expect: tea\r\n",
    "X: y\r\n folded\r\n",
    "X: y\n",
    "X: \0\r\n",
    "X\r\n",
    ": y\r\n",
    "Origin: http://evil.example\r\n",
    "\r\n",
];
const BODIES: &[&str] = &[
    "",
    "hello",
    "{\"op\":{\"method\":\"user_create\",\"data\":{\"id\":\"a\"}}}",
    "GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "\0\u{ff}",
];
const TOKENS: &[&str] = &[
    "\r\n\r\n",
    "HTTP/1.1",
    "HTTP/2.0",
    "GET / ",
    "0\r\n\r\n",
    "ffffffff\r\n",
    "fffffffff\r\n",
    "chunked",
    "%2e%2e/",
    "Host: localhost\r\n",
    "\u{e9}",
    "\x16\x03\x01",
];

const BODY_MAX: usize = 4096;

/// One request as both readers describe it.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    method: Vec<u8>,
    path: Vec<u8>,
    body: Vec<u8>,
}

/// What a reader made of some bytes and the end of the connection behind them.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    taken: Vec<Taken>,
    refused: bool,
}

fn judged_by_connection(bytes: &[u8], step: usize, statuses: &mut Vec<u16>) -> Verdict {
    let now = Instant::now();
    let mut settings = Settings::new("127.0.0.1:7440".parse().unwrap());
    settings.body_max = BODY_MAX;
    let mut connection = Connection::new(now);
    let mut verdict = Verdict { taken: Vec::new(), refused: false };
    let mut rest = bytes;
    loop {
        assert!(connection.memory() <= 16 * 1024 + BODY_MAX + 2 * rig::http::READ_AHEAD_BYTES);
        match connection.next(&settings, now) {
            Next::Request(request) => verdict.taken.push(Taken {
                method: request.method.as_bytes().to_vec(),
                path: request.path.as_bytes().to_vec(),
                body: request.body.to_vec(),
            }),
            Next::Head(_) | Next::Continue => {}
            Next::Refuse(problem) => {
                verdict.refused = true;
                statuses.push(problem.status);
            }
            Next::End => return verdict,
            Next::More if rest.is_empty() => connection.closed_by_peer(),
            Next::More => {
                let space = connection.space();
                let n = space.len().min(rest.len()).min(step);
                assert!(n > 0);
                space[..n].copy_from_slice(&rest[..n]);
                connection.filled(n, now);
                rest = &rest[n..];
            }
        }
    }
}

/// The small reader: the whole bytes at hand, no state, plain loops.
fn judged_by_rules(bytes: &[u8]) -> Verdict {
    let mut verdict = Verdict { taken: Vec::new(), refused: false };
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest == b"\r" || rest == b"\r\n" {
            break;
        }
        match one(rest) {
            None => {
                verdict.refused = true;
                break;
            }
            Some((taken, used, keep_alive)) => {
                verdict.taken.push(taken);
                rest = &rest[used..];
                if !keep_alive {
                    break;
                }
            }
        }
    }
    verdict
}

/// The first request, its bytes, and whether another may follow; `None` when it is malformed or not complete.
fn one(bytes: &[u8]) -> Option<(Taken, usize, bool)> {
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let head_len = find(&bytes[skipped..], b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[skipped..skipped + head_len - 4]).ok()?;
    if head_len > 16 * 1024 {
        return None;
    }
    let mut lines = head.split("\r\n");
    let mut parts = lines.next()?.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_token(method) || !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        return None;
    }
    let old = version == "HTTP/1.0";
    let path = path(method, target)?;
    let fields: Option<Vec<(String, &str)>> = lines.map(field).collect();
    let fields = fields?;
    if fields.len() > 64 {
        return None;
    }
    let all = |name: &str| -> Vec<&str> { fields.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect() };
    match all("host").as_slice() {
        [] if old => {}
        [host] if is_local(host) => {}
        _ => return None,
    }
    if all("expect").iter().any(|value| !value.eq_ignore_ascii_case("100-continue")) {
        return None;
    }
    let options: Vec<String> = all("connection").join(",").split(',').map(|o| o.trim().to_lowercase()).collect();
    let says = |option: &str| options.iter().any(|o| o == option);
    let keep_alive = !says("close") && (!old || says("keep-alive"));
    let start = skipped + head_len;
    let (body, used) = match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => (Vec::new(), 0),
        ([digits], []) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let len: usize = digits.parse().ok().filter(|len| *len <= BODY_MAX)?;
            (bytes.get(start..start + len)?.to_vec(), len)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !old => dechunk(&bytes[start..])?,
        _ => return None,
    };
    let taken = Taken { method: method.into(), path: path.into_bytes(), body };
    Some((taken, start + used, keep_alive))
}

fn field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let fine = |c: char| c == '\t' || !c.is_control() || ('\u{80}'..='\u{9f}').contains(&c);
    if !is_token(name) || !value.chars().all(fine) {
        return None;
    }
    Some((name.to_lowercase(), value.trim_matches([' ', '\t'])))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_local(host: &str) -> bool {
    let host = host.to_lowercase();
    ["localhost", "127.0.0.1", "[::1]"].contains(&host.strip_suffix(":7440").unwrap_or(&host))
}

fn path(method: &str, target: &str) -> Option<String> {
    if !target.chars().all(|c| c.is_ascii_graphic() && c != '#' && c != '\\') {
        return None;
    }
    let lower = target.to_lowercase();
    let target = if let Some(scheme) = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme)) {
        let rest = &target[scheme.len()..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_local(&rest[..end]) {
            return None;
        }
        &rest[end..]
    } else if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        target
    } else {
        return None;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    percent(query)?;
    let path = percent(if path.is_empty() { "/" } else { path })?;
    if path.split('/').any(|segment| segment == ".." || segment == ".") { None } else { Some(path) }
}

fn percent(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let hex = piece.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.bytes().any(|b| b < 0x20 || b == 0x7f))
}

/// The data of a chunked body and the bytes it took.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    let mut extensions = 0;
    loop {
        let line_len = find(&bytes[at..], b"\r\n")?;
        let line = std::str::from_utf8(&bytes[at..at + line_len]).ok()?;
        let (digits, extension) = line.split_once(';').unwrap_or((line, ""));
        if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || line_len > 256 {
            return None;
        }
        if !extension.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) {
            return None;
        }
        extensions += if line.contains(';') { line_len + 2 - digits.len() } else { 0 };
        if extensions > 16 * 1024 + body.len() {
            return None;
        }
        at += line_len + 2;
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            break;
        }
        if body.len() + size > BODY_MAX || bytes.get(at + size..at + size + 2)? != b"\r\n" {
            return None;
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
    }
    for fields in 0.. {
        let line_len = find(&bytes[at..], b"\r\n")?;
        let line = &bytes[at..at + line_len];
        at += line_len + 2;
        if line.is_empty() {
            return Some((body, at));
        }
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':')?);
        let fine = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
        if fields == 64 || !is_token(std::str::from_utf8(name).ok()?) || !value.iter().all(fine) {
            return None;
        }
    }
    None
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Panics unless the connection, fed whole and in pieces of `step`, judges the bytes as the small reader does.
pub(crate) fn assert_agreement(bytes: &[u8], step: usize, statuses: &mut Vec<u16>) -> (usize, bool) {
    let expected = judged_by_rules(bytes);
    for step in [usize::MAX, step] {
        let got = judged_by_connection(bytes, step, statuses);
        assert_eq!(got, expected, "{}", bytes[..bytes.len().min(4000)].escape_ascii());
    }
    (expected.taken.len(), expected.refused)
}

#[test]
fn a_connection_takes_and_refuses_what_the_rules_say_however_the_bytes_come() {
    let (mut taken, mut refused, mut statuses) = (0, 0, Vec::new());
    for (nth, bytes) in generate(1, 20_000).enumerate() {
        let (requests, is_refused) = assert_agreement(&bytes, 1 + nth % 13, &mut statuses);
        taken += requests;
        refused += usize::from(is_refused);
    }
    // A generator that makes only good or only hopeless requests would prove nothing.
    assert!(taken > 5_000 && refused > 5_000, "{taken} taken, {refused} refused");
    for status in [400, 413, 421, 431, 501] {
        assert!(statuses.contains(&status), "nothing was refused with {status}");
    }
    assert!(statuses.iter().all(|status| [400, 413, 421, 431, 501].contains(status)));
}

#[test]
fn the_generator_repeats_itself() {
    assert!(generate(5, 100).eq(generate(5, 100)));
    assert!(!generate(5, 100).eq(generate(6, 100)));
}
