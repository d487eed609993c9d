use super::*;
use crate::error::Problem;
use crate::limits::{BODY_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT, IDLE_TIMEOUT};
use std::time::{Duration, Instant};

fn settings() -> Settings {
    let mut settings = Settings::new("127.0.0.1:7440".parse().unwrap());
    settings.body_max = 1 << 20;
    settings
}

fn feed(connection: &mut Connection, mut bytes: &[u8], now: Instant) {
    while !bytes.is_empty() {
        let space = connection.space();
        let n = space.len().min(bytes.len());
        if n == 0 {
            return;
        }
        space[..n].copy_from_slice(&bytes[..n]);
        connection.filled(n, now);
        bytes = &bytes[n..];
    }
}

/// What came of some bytes, in words that tests compare.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Request(String, String, Vec<u8>),
    Continue,
    Refused(u16),
    End,
}

/// Feeds the bytes in pieces of `step`, and says what came of them; a peer that is gone at the end if `eof`.
fn run(bytes: &[u8], step: usize, eof: bool) -> Vec<Got> {
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    let mut got = Vec::new();
    let mut pieces = bytes.chunks(step);
    loop {
        match connection.next(&settings, now) {
            Next::Request(r) => got.push(Got::Request(r.method.into(), r.path.into(), r.body.into())),
            Next::Head(_) => {}
            Next::Continue => got.push(Got::Continue),
            Next::Refuse(problem) => got.push(Got::Refused(problem.status)),
            Next::End => {
                got.push(Got::End);
                return got;
            }
            Next::More => match pieces.next() {
                Some(piece) => feed(&mut connection, piece, now),
                None if eof && !got.is_empty() && got.last() == Some(&Got::End) => return got,
                None if eof => connection.closed_by_peer(),
                None => return got,
            },
        }
    }
}

fn refused(bytes: &[u8]) -> u16 {
    let whole = run(bytes, usize::MAX, false);
    let bytewise = run(bytes, 1, false);
    assert_eq!(whole.last(), bytewise.last(), "{:?}", bytes.escape_ascii().to_string());
    match whole.as_slice() {
        [Got::Refused(status), Got::End] => *status,
        other => panic!("{} gave {other:?}", bytes.escape_ascii()),
    }
}

fn accepted(bytes: &[u8]) -> (String, String, Vec<u8>) {
    for step in [usize::MAX, 1, 7] {
        match run(bytes, step, true).as_slice() {
            [.., Got::Request(method, path, body), Got::End] if step == 7 => {
                return (method.clone(), path.clone(), body.clone());
            }
            [.., Got::Request(..), Got::End] => {}
            other => panic!("{} gave {other:?}", bytes.escape_ascii()),
        }
    }
    unreachable!("the last step returns")
}

fn with_request<T>(bytes: &[u8], look: impl FnOnce(Request<'_>) -> T) -> T {
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    feed(&mut connection, bytes, now);
    match connection.next(&settings, now) {
        Next::Request(request) => look(request),
        other => panic!("{} gave {other:?}", bytes.escape_ascii()),
    }
}

#[test]
fn a_request_is_given_with_its_parts() {
    let bytes =
        b"POST /data/user/a%2Fb%20c?team=x+y%26z&flag&empty= HTTP/1.1\r\nhost: LOCALHOST:7440\r\nX-Some:  v 1 \r\n\
        Content-Length: 5\r\n\r\nhello";
    with_request(bytes, |request| {
        assert_eq!((request.method, request.path, request.body), ("POST", "/data/user/a/b c", b"hello".as_slice()));
        assert_eq!(request.segments().collect::<Vec<_>>(), ["data", "user", "a/b c"]);
        let query: Vec<_> = request.query().collect();
        assert_eq!(query, [("team".into(), "x y&z".into()), ("flag".into(), "".into()), ("empty".into(), "".into())]);
        assert_eq!(request.query_value("team").as_deref(), Some("x y&z"));
        assert_eq!((request.header("x-SOME"), request.header("none")), (Some("v 1"), None));
        assert!(request.keep_alive && !request.head_only && !request.http10 && request.upgrade().is_none());
    });
}
