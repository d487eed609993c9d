//! The rules, each by its number; the corpus of attacks; answers; the client's side.

mod answers;
mod clients;
mod corpus;
mod rules;

use super::*;
use std::time::Instant;

fn settings() -> Settings {
    let mut settings = Settings::new("127.0.0.1:7440".parse().unwrap());
    settings.body_max = 1 << 20;
    settings
}

/// Feeds what there is room for; returns how many bytes that was.
fn feed(connection: &mut Connection, bytes: &[u8], now: Instant) -> usize {
    let mut fed = 0;
    while fed < bytes.len() {
        let space = connection.space();
        let n = space.len().min(bytes.len() - fed);
        if n == 0 {
            break;
        }
        space[..n].copy_from_slice(&bytes[fed..fed + n]);
        connection.filled(n, now);
        fed += n;
    }
    fed
}

/// What came of some bytes, in words that tests compare.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Request(String, String, Vec<u8>),
    Continue,
    Refused(u16),
    End,
}

/// Feeds the bytes in pieces of `step`, and says what came of them; the peer is gone behind them if `eof`.
fn run(bytes: &[u8], step: usize, eof: bool) -> Vec<Got> {
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    let mut got = Vec::new();
    let (mut rest, mut gone) = (bytes, false);
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
            Next::More if !rest.is_empty() => {
                let fed = feed(&mut connection, &rest[..step.min(rest.len())], now);
                assert!(fed > 0, "a connection that wants more has room for it");
                rest = &rest[fed..];
            }
            Next::More if eof && !gone => {
                connection.closed_by_peer();
                gone = true;
            }
            Next::More => return got,
        }
    }
}

fn refused(bytes: &[u8]) -> u16 {
    let whole = run(bytes, usize::MAX, false);
    assert_eq!(whole, run(bytes, 1, false), "{}", bytes.escape_ascii());
    match whole.as_slice() {
        [Got::Refused(status), Got::End] => *status,
        other => panic!("{} gave {other:?}", bytes.escape_ascii()),
    }
}

/// The body of the only request, however it comes.
fn accepted(bytes: &[u8]) -> Vec<u8> {
    let mut bodies = [usize::MAX, 1, 7].map(|step| {
        let mut got = run(bytes, step, true);
        got.retain(|got| *got != Got::Continue);
        match got.as_slice() {
            [Got::Request(_, _, body), Got::End] => body.clone(),
            other => panic!("{} gave {other:?}", bytes.escape_ascii()),
        }
    });
    assert!(bodies[0] == bodies[1] && bodies[0] == bodies[2]);
    std::mem::take(&mut bodies[0])
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
