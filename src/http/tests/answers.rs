use super::*;
use crate::error::{Code, Problem};

const OPEN: Reply = Reply { keep_alive: true, head_only: false, http10: false };
const HEAD: Reply = Reply { keep_alive: true, head_only: true, http10: false };
const OLD: Reply = Reply { keep_alive: false, head_only: false, http10: true };

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before|".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().strip_prefix("before|").unwrap().to_owned()
}

fn body(reply: Reply) -> String {
    written(|out| {
        let mut answer = Answer::new(out, reply, 200);
        answer.header("Rig-Node", "n1").number("Rig-Version", 1043).lines(b"Rig-Role: primary\r\n");
        answer.body("application/json", b"{\"data\":1}");
    })
}

#[test]
fn an_answer_is_written_whole_behind_what_waits() {
    let fields = "Rig-Node: n1\r\nRig-Version: 1043\r\nRig-Role: primary\r\nContent-Type: application/json\r\nContent-Length: 10\r\n";
    assert_eq!(body(OPEN), format!("HTTP/1.1 200 OK\r\n{fields}\r\n{{\"data\":1}}"));
    assert_eq!(body(OPEN.closing()), format!("HTTP/1.1 200 OK\r\n{fields}Connection: close\r\n\r\n{{\"data\":1}}"));
    assert_eq!(body(HEAD), format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    assert_eq!(body(OLD), body(OPEN.closing()));
    let old_but_open = Reply { keep_alive: true, ..OLD };
    assert!(body(old_but_open).contains("\r\nConnection: keep-alive\r\n\r\n"));
}

#[test]
fn a_body_of_unknown_length_gets_the_length_it_has() {
    for len in [0_usize, 1, 9, 10, 12_345] {
        let text =
            written(|out| Answer::new(out, OPEN, 200).body_with("text/plain", |out| out.extend(vec![b'x'; len])));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (_, value) = head.split_once("Content-Length:").unwrap();
        assert_eq!((value.trim_start(), body.len()), (len.to_string().as_str(), len));
        let unsent =
            written(|out| Answer::new(out, HEAD, 200).body_with("text/plain", |out| out.extend(vec![b'x'; len])));
        assert_eq!(unsent, format!("{head}\r\n\r\n"));
    }
}

#[test]
fn answers_without_a_body_say_so_only_where_it_is_in_doubt() {
    assert_eq!(written(|out| Answer::new(out, OPEN, 200).empty()), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(written(|out| Answer::new(out, OPEN, 304).empty()), "HTTP/1.1 304 Not Modified\r\n\r\n");
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rig-peer/1\r\n\r\n";
    assert_eq!(written(|out| Answer::new(out, OPEN, 101).upgrade("rig-peer/1")), switched);
    assert!(written(|out| Answer::new(out, OPEN, 418).empty()).starts_with("HTTP/1.1 418 \r\n"));
    assert_eq!(written(write_continue), "HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn no_value_begins_a_line_of_its_own() {
    let text = written(|out| {
        let mut answer = Answer::new(out, OPEN, 200);
        answer.header("X-Request-Id", "a\r\nSet-Cookie: x\0\x7f");
        answer.empty();
    });
    assert!(text.contains("\r\nX-Request-Id: a??Set-Cookie: x??\r\n"), "{text}");
}

#[test]
fn a_stream_is_chunked_or_ends_with_the_connection() {
    let stream = |reply: Reply| {
        written(|out| {
            let stream = Answer::new(out, reply, 200).stream("application/x-ndjson");
            stream.piece(out, b"0123456789abcdef\n");
            stream.piece(out, b"");
            stream.piece(out, &[b'x'; 256]);
            stream.end(out);
            out.extend_from_slice(if stream.keep_alive { b"|open" } else { b"|shut" });
        })
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n";
    let x = "x".repeat(256);
    let chunks = format!("11\r\n0123456789abcdef\n\r\n100\r\n{x}\r\n0\r\n\r\n");
    assert_eq!(stream(OPEN), format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}|open"));
    assert_eq!(stream(HEAD), format!("{head}Transfer-Encoding: chunked\r\n\r\n|open"));
    assert_eq!(stream(OLD), format!("{head}Connection: close\r\n\r\n0123456789abcdef\n{x}|shut"));
    assert_eq!(stream(Reply { keep_alive: true, ..OLD }), stream(OLD));
}

#[test]
fn events_are_framed_line_by_line() {
    let text = written(|out| {
        sse_event(out, Some(17), "record", "{\"a\":1}");
        sse_comment(out);
        sse_event(out, None, "error", "two\nlines");
    });
    assert_eq!(text, "id: 17\nevent: record\ndata: {\"a\":1}\n\n:\n\nevent: error\ndata: two\ndata: lines\n\n");
}

#[test]
fn dates_are_those_of_the_calendar() {
    let table = [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
    ];
    for (seconds, text) in table {
        assert_eq!(written(|out| http_date(seconds, out)), text);
    }
}

#[test]
fn a_problem_has_the_members_of_the_contract_in_its_order() {
    let problem = Problem::new(Code::VersionConflict, "asked for \"7\"").hint("read 8 first").with("version", 8);
    let expected = r#"{"type":"urn:rig:problem:version_conflict","title":"The log is at another version","status":409,"detail":"asked for \"7\"","code":"version_conflict","definite":true,"retryable":false,"hint":"read 8 first","request_id":"r\n1","error":"asked for \"7\"","version":8}"#;
    assert_eq!(written(|out| problem_json(&problem, "r\n1", out)), expected);
}

#[test]
fn a_problem_carries_the_fields_of_its_status() {
    let answer = |problem: &Problem| written(|out| Answer::new(out, OPEN, problem.status).problem(problem, "r1"));
    let text = answer(&Problem::new(Code::Overloaded, "too much"));
    assert!(text.starts_with(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
    ));
    assert!(answer(&Problem::new(Code::Overloaded, "").with("retry_after_s", 5)).contains("\r\nRetry-After: 5\r\n"));
    let moved = Problem::new(Code::NotPrimary, "n2 is").with("location", "http://n2:7440/do");
    assert!(answer(&moved).contains("\r\nLocation: http://n2:7440/do\r\n"));
    assert!(
        answer(&Problem::new(Code::MethodNotAllowed, "").with("allow", "GET, HEAD"))
            .contains("\r\nAllow: GET, HEAD\r\n")
    );
    assert!(answer(&Problem::new(Code::Auth, "")).contains("\r\nWWW-Authenticate: Bearer\r\n"));
    assert!(!answer(&Problem::new(Code::NotFound, "")).contains("Retry-After"));
}
