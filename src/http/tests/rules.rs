use super::*;
use crate::error::Problem;
use crate::limits::{BODY_TIMEOUT, HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX, IDLE_TIMEOUT};
use std::time::{Duration, Instant};

/// A request with these further lines.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /do HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").into_bytes()
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

#[test]
fn a_request_is_given_with_its_parts() {
    let bytes =
        b"POST /data/user/a%2Fb%20c?team=x+y%26z&flag&empty= HTTP/1.1\r\nhost: LOCALHOST:7440\r\nX-Some:  v 1 \r\n\
        X-None:\r\nContent-Length: 5\r\n\r\nhello";
    with_request(bytes, |request| {
        assert_eq!((request.method, request.path, request.body), ("POST", "/data/user/a/b c", b"hello".as_slice()));
        assert_eq!(request.segments().collect::<Vec<_>>(), ["data", "user", "a/b c"]);
        let query: Vec<_> = request.query().collect();
        assert_eq!(query, [("team".into(), "x y&z".into()), ("flag".into(), "".into()), ("empty".into(), "".into())]);
        assert_eq!(request.query_value("team").as_deref(), Some("x y&z"));
        assert_eq!((request.header("x-SOME"), request.header("none")), (Some("v 1"), None));
        assert_eq!(request.header("x-none"), Some(""));
        assert_eq!(request.headers().count(), 4);
        assert!(request.keep_alive && !request.head_only && !request.http10 && request.upgrade().is_none());
    });
}

#[test]
fn rule_01_a_head_has_bounds_in_bytes_and_fields_and_a_large_body_is_refused_unread() {
    let fill = |n: usize| post(&format!("X: {}\r\n", "a".repeat(n)), "");
    let overhead = fill(0).len();
    assert_eq!(accepted(&fill(HEAD_BYTES_MAX - overhead)), b"");
    assert_eq!(refused(&fill(HEAD_BYTES_MAX - overhead + 1)), 431);
    assert_eq!(refused(&vec![b'A'; HEAD_BYTES_MAX]), 431);
    let fields = |n: usize| post(&"X: y\r\n".repeat(n - 1), "");
    assert_eq!(accepted(&fields(HEADERS_MAX)), b"");
    assert_eq!(refused(&fields(HEADERS_MAX + 1)), 431);
    assert_eq!(refused(&post("Content-Length: 1048577\r\n", "")), 413);
    assert_eq!(refused(&post("Transfer-Encoding: chunked\r\n", "100001\r\n")), 413);
}

#[test]
fn rule_02_both_framings_together_are_refused() {
    assert_eq!(refused(&post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")), 400);
    assert_eq!(refused(&post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")), 400);
    assert_eq!(refused(&post("content-length: 0\r\ntransfer-encoding: identity\r\n", "")), 400);
}

#[test]
fn rule_03_no_transfer_encoding_but_one_chunked() {
    for good in ["chunked", "CHUNKED", "  chunked\t"] {
        assert_eq!(accepted(&post(&format!("Transfer-Encoding:{good}\r\n"), "1\r\nx\r\n0\r\n\r\n")), b"x");
    }
    for unknown in ["gzip", "gzip, chunked", "identity", "xchunked", "chunkedx"] {
        assert_eq!(refused(&post(&format!("Transfer-Encoding: {unknown}\r\n"), "")), 501, "{unknown}");
    }
    for odd in [
        "",
        ",",
        "chunked,",
        "chunked, chunked",
        "chunked, gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chu nked",
        "chunked\u{a0}",
    ] {
        assert_eq!(refused(&post(&format!("Transfer-Encoding: {odd}\r\n"), "")), 400, "{odd}");
    }
    assert_eq!(refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "")), 400);
    assert_eq!(refused(&post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "")), 400);
    assert_eq!(refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn rule_04_content_length_is_digits_once_and_within_64_bits() {
    assert_eq!(accepted(&post("Content-Length: 005\r\n", "hello")), b"hello");
    for odd in
        ["", "+5", "-5", "5,5", "5, 5", "5;", "0x5", "5 5", "5.0", "1e1", "\u{665}", "18446744073709551616", "five"]
    {
        assert_eq!(refused(&post(&format!("Content-Length: {odd}\r\n"), "hello")), 400, "{odd}");
    }
    assert_eq!(refused(&post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")), 400);
    assert_eq!(refused(&post("Content-Length: 5\r\ncontent-length: 5\r\n", "hello")), 400);
    assert_eq!(refused(&post("Content-Length: 18446744073709551615\r\n", "")), 413);
}

#[test]
fn rule_05_chunk_sizes_are_short_hexadecimal_and_trailers_are_dropped() {
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    assert_eq!(
        accepted(&chunked("5\r\nhello\r\n00000001;x=\"y\"\r\n!\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n")),
        b"hello!"
    );
    assert_eq!(accepted(&chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n")), b"01234567890123456789");
    let odd = "000000001\r\n|FFFFFFFFF\r\n|-1\r\n|+1\r\n| 1\r\n|1 \r\n|0x1\r\n|g\r\n|\r\n|;x\r\n|1\nx\r\n|1\rx|1;\x01\r\n|1;x\n|1\r\nxy\r\n\
        |1\r\nx\n|1\r\nx\rx|0\r\n X: y\r\n\r\n|0\r\nX y\r\n\r\n|0\r\n: y\r\n\r\n|0\r\nX: y\n\r\n|0\r\n\n|0\r\nX: \x00\r\n";
    for body in odd.split('|') {
        assert_eq!(refused(&chunked(body)), 400, "{body:?}");
    }
    assert_eq!(refused(&chunked(&format!("1;{}\r\n", "x".repeat(300)))), 400);
    assert_eq!(refused(&chunked("ffffffff\r\n")), 413);
    assert_eq!(refused(&chunked(&format!("0\r\nX: {}", "y".repeat(HEAD_BYTES_MAX)))), 431);
    assert_eq!(refused(&chunked(&format!("0\r\n{}", "X: y\r\n".repeat(HEADERS_MAX + 1)))), 431);
    assert_eq!(refused(&chunked(&format!("1;{}\r\nx\r\n", "x".repeat(200)).repeat(100))), 400);
    let half = format!("80000\r\n{}\r\n", "x".repeat(0x80000));
    assert_eq!(run(&chunked(&format!("{half}{half}1\r\n")), usize::MAX, false), [Got::Refused(413), Got::End]);
}

#[test]
fn rule_06_exactly_one_host_and_it_is_ours() {
    let hosted = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes();
    for ours in ["localhost", "localhost:7440", "127.0.0.1", "127.0.0.1:7440", "[::1]:7440", "LocalHost"] {
        assert_eq!(accepted(&hosted(&format!("Host: {ours}\r\n"))), b"");
    }
    for foreign in ["evil.example", "localhost:80", "127.0.0.1.evil.example", "localhost.", "", "0.0.0.0:7440"] {
        assert_eq!(refused(&hosted(&format!("Host: {foreign}\r\n"))), 421, "{foreign}");
    }
    for odd in ["local host", "a@localhost", "localhost/x", "localhost, localhost"] {
        let status = if odd.contains(',') { [400, 421] } else { [400, 400] };
        assert!(status.contains(&refused(&hosted(&format!("Host: {odd}\r\n")))), "{odd}");
    }
    assert_eq!(refused(&hosted("")), 400);
    assert_eq!(refused(&hosted("Host: localhost\r\nHost: localhost\r\n")), 400);
    assert_eq!(refused(&hosted("Host: localhost\r\nHOST: evil.example\r\n")), 400);
    assert_eq!(accepted(b"GET / HTTP/1.0\r\n\r\n"), b"");
    assert_eq!(refused(b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n"), 421);
}

#[test]
fn rule_07_other_sites_and_other_media_are_refused_where_the_route_is_known() {
    let origin = |lines: &str| with_request(&post(lines, ""), |request| refuse_origin(&request).map_err(|p| p.status));
    assert_eq!(origin(""), Ok(()));
    assert_eq!(origin("Origin: http://localhost\r\n"), Ok(()));
    for foreign in ["http://evil.example", "null", "http://localhost:3000", "", "localhost", "http://localhost.evil"] {
        assert_eq!(origin(&format!("Origin: {foreign}\r\n")), Err(403), "{foreign}");
    }
    assert_eq!(origin("Origin: http://localhost\r\nOrigin: http://evil.example\r\n"), Err(400));
    let media = |lines: &str| with_request(&post(lines, ""), |request| require_json(&request).map_err(|p| p.status));
    for json in ["application/json", "Application/JSON ; charset=UTF-8", "application/json;charset=\"utf-8\""] {
        assert_eq!(media(&format!("Content-Type: {json}\r\n")), Ok(Media::Json), "{json}");
    }
    assert_eq!(media("Content-Type: application/x-ndjson\r\n"), Ok(Media::Ndjson));
    for other in
        ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx", "application/json; charset=latin1"]
    {
        assert_eq!(media(&format!("Content-Type: {other}\r\n")), Err(415), "{other}");
    }
    assert_eq!(media(""), Err(415));
    assert_eq!(media("Content-Type: text/plain\r\nContent-Type: application/json\r\n"), Err(400));
}

#[test]
fn rule_08_no_folding_no_space_before_the_colon_no_bare_line_ends_no_control_characters() {
    let odd: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\t: localhost\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\n",
        b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x7fb\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\xffb\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX\xc3\xa9: a\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\nHost: localhost\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET /\r\n",
    ];
    for bytes in odd {
        assert_eq!(refused(bytes), 400);
        // And as soon as it comes: the rest of the head, which would never come, is not needed.
        let cut = (1..=bytes.len()).find(|len| run(&bytes[..*len], 1, false) == [Got::Refused(400), Got::End]);
        assert!(cut.is_some_and(|cut| cut < bytes.len() || bytes.len() < 40), "{}", bytes.escape_ascii());
    }
    assert_eq!(accepted(b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\nX: \xc3\xa9\r\n\r\n"), b"");
}

fn problem_of(expired: Option<Expired>) -> Option<Problem> {
    match expired {
        Some(Expired::Refuse(problem)) => Some(problem),
        _ => None,
    }
}

#[test]
fn rule_09_a_head_cannot_renew_its_deadline_byte_by_byte() {
    let (settings, start) = (settings(), Instant::now());
    let mut connection = Connection::new(start);
    let second = Duration::from_secs(1);
    for (nth, byte) in (1..).zip(b"GET / HTT") {
        let now = start + second * nth;
        assert_eq!(connection.expired(now), None);
        feed(&mut connection, &[*byte], now);
        assert!(matches!(connection.next(&settings, now), Next::More));
    }
    assert_eq!(connection.deadline(), Some(start + second + HEAD_TIMEOUT));
    let problem = problem_of(connection.expired(start + second + HEAD_TIMEOUT)).unwrap();
    assert_eq!((problem.status, &*problem.code), (408, "slow_request"));
    assert!(matches!(connection.next(&settings, start), Next::End));
    assert_eq!(connection.deadline(), None);
}

#[test]
fn rule_09_a_body_must_make_progress_and_may_then_take_its_time() {
    let (settings, start) = (settings(), Instant::now());
    let mut connection = Connection::new(start);
    feed(&mut connection, &post("Content-Length: 200000\r\n", ""), start);
    assert!(matches!(connection.next(&settings, start), Next::Head(_)));
    let mut now = start;
    for _ in 0..50 {
        now += Duration::from_secs(2);
        assert_eq!(connection.expired(now), None);
        feed(&mut connection, &[b'x'; 3000], now);
        assert!(matches!(connection.next(&settings, now), Next::More));
    }
    for _ in 0..BODY_TIMEOUT.as_secs() {
        feed(&mut connection, b"x", now);
        now += Duration::from_secs(1);
    }
    assert_eq!(problem_of(connection.expired(now)).unwrap().status, 408);
}

#[test]
fn rule_09_a_client_with_nothing_to_say_is_left_without_a_word_and_held_back_ones_get_their_time() {
    let (settings, start) = (settings(), Instant::now());
    let mut connection = Connection::new(start);
    assert_eq!(connection.expired(start + IDLE_TIMEOUT - Duration::from_millis(1)), None);
    let later = start + Duration::from_secs(60);
    feed(&mut connection, &get("/"), later);
    assert!(matches!(connection.next(&settings, later), Next::Request(_)));
    assert_eq!(connection.deadline(), None, "we owe the answer");
    assert!(matches!(connection.next(&settings, later), Next::More));
    assert_eq!(connection.deadline(), Some(later + IDLE_TIMEOUT));
    feed(&mut connection, b"GET", later);
    connection.restart_clock(later + HEAD_TIMEOUT);
    assert_eq!(connection.expired(later + HEAD_TIMEOUT), None);
    let mut idle = Connection::new(start);
    assert_eq!(idle.expired(start + IDLE_TIMEOUT), Some(Expired::Close));
}

#[test]
fn rule_10_memory_is_bounded_and_follows_bytes_that_came() {
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    assert_eq!(connection.memory(), 0);
    feed(&mut connection, &post("Content-Length: 1048576\r\n", "x"), now);
    assert!(matches!(connection.next(&settings, now), Next::Head(_)));
    assert!(connection.space().len() < 10_000, "what is announced is not allocated");
    feed(&mut connection, &vec![b'x'; (1 << 20) - 1], now);
    assert!(matches!(connection.next(&settings, now), Next::Request(r) if r.body.len() == 1 << 20));
    assert!(connection.memory() < (1 << 20) + 4096);
    assert!(matches!(connection.next(&settings, now), Next::More));
    assert_eq!(connection.memory(), 0, "an idle connection gives a large buffer back");
    // Nobody takes the requests: at some point nothing more is read.
    let many = get("/").repeat(10_000);
    feed(&mut connection, &many, now);
    assert!(connection.space().is_empty() && connection.memory() <= READ_AHEAD_BYTES);
    let mut taken = 0;
    while let Next::Request(_) = connection.next(&settings, now) {
        taken += 1;
    }
    assert_eq!(taken, READ_AHEAD_BYTES / get("/").len());
    // Chunks of one byte: the framing takes no room.
    let mut connection = Connection::new(now);
    feed(&mut connection, &post("Transfer-Encoding: chunked\r\n", ""), now);
    for _ in 0..100_000 {
        assert!(!matches!(connection.next(&settings, now), Next::Refuse(_)));
        feed(&mut connection, b"1\r\nx\r\n", now);
    }
    assert!(connection.memory() <= 2 * 100_000 + READ_AHEAD_BYTES, "{}", connection.memory());
    feed(&mut connection, b"0\r\n\r\n", now);
    assert!(matches!(connection.next(&settings, now), Next::Request(r) if r.body.len() == 100_000));
}

#[test]
fn rule_11_continue_is_said_once_after_the_head_was_found_good() {
    let expecting = post("Expect: 100-Continue\r\nContent-Length: 2\r\n", "");
    let with_body = [expecting.as_slice(), b"hi"].concat();
    let request = Got::Request("POST".into(), "/do".into(), b"hi".to_vec());
    assert_eq!(run(&with_body, expecting.len(), false), [Got::Continue, request.clone()]);
    let only = std::slice::from_ref(&request);
    assert_eq!(run(&with_body, with_body.len(), false), only, "the body is here already");
    assert_eq!(run(&with_body, expecting.len() + 1, false), only, "it is on its way");
    assert_eq!(refused(&post("Expect: 100-continue\r\nContent-Length: 9999999\r\n", "")), 413);
    assert_eq!(refused(&post("Expect: 200-ok\r\n", "")), 400);
    let old = b"POST /do HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(run(old, usize::MAX, false), []);
    assert_eq!(accepted(&post("Expect: 100-continue\r\n", "")), b"");
}

#[test]
fn rule_11_a_request_can_be_refused_before_its_body_is_read() {
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    feed(&mut connection, &post("Expect: 100-continue\r\nContent-Length: 5\r\nX-Api-Key: no\r\n", ""), now);
    match connection.next(&settings, now) {
        Next::Head(request) => assert_eq!((request.header("x-api-key"), request.body), (Some("no"), b"".as_slice())),
        other => panic!("{other:?}"),
    }
    connection.finish();
    feed(&mut connection, b"hello", now);
    assert!(matches!(connection.next(&settings, now), Next::End));
    assert_eq!(connection.memory(), 0);
}

#[test]
fn rule_12_after_a_refusal_nothing_more_is_read() {
    let smuggled = [post("Content-Length: 1\r\nContent-Length: 2\r\n", "x"), get("/secret")].concat();
    assert_eq!(run(&smuggled, usize::MAX, false), [Got::Refused(400), Got::End]);
    let too_large = [post("Content-Length: 1048577\r\n", ""), get("/body/is/not/a/request")].concat();
    assert_eq!(run(&too_large, usize::MAX, false), [Got::Refused(413), Got::End]);
}

#[test]
fn rule_13_head_old_clients_close_and_pipelining() {
    let flags = |bytes: &[u8]| with_request(bytes, |r| (r.keep_alive, r.head_only, r.http10));
    assert_eq!(flags(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"), (true, true, false));
    assert_eq!(flags(b"GET / HTTP/1.0\r\n\r\n"), (false, false, true));
    assert_eq!(flags(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), (true, false, true));
    assert_eq!(flags(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: x, Close\r\n\r\n"), (false, false, false));
    let close = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec();
    let got =
        run(&[get("/1"), post("Content-Length: 3\r\n", "abc"), get("/2"), close, get("/never")].concat(), 11, false);
    let request = |method: &str, path: &str, body: &str| Got::Request(method.into(), path.into(), body.into());
    let expected = [
        request("GET", "/1", ""),
        request("POST", "/do", "abc"),
        request("GET", "/2", ""),
        request("GET", "/a", ""),
        Got::End,
    ];
    assert_eq!(got, expected);
    let chunked = post("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n");
    for step in [1, 3, usize::MAX] {
        let got = run(&[chunked.clone(), get("/next"), chunked.clone()].concat(), step, false);
        assert_eq!(got, [request("POST", "/do", "abc"), request("GET", "/next", ""), request("POST", "/do", "abc")]);
    }
}

#[test]
fn rule_13_targets_are_decoded_once_and_do_not_climb() {
    let path = |target: &str| with_request(&get(target), |request| request.path.to_owned());
    assert_eq!(path("/a%20b/%C3%A9/%252e%252e"), "/a b/é/%2e%2e");
    assert_eq!(path("/a.b/..c/d..?x=../.."), "/a.b/..c/d..");
    assert_eq!(path("http://localhost:7440/x?y"), "/x");
    assert_eq!(path("HTTP://LOCALHOST"), "/");
    assert_eq!(path("http://127.0.0.1?q=1"), "/");
    let bad = "/..|/../x|/a/..|/a/./b|/.|/%2e%2e/x|/a/%2E%2e|/a%2f..%2fb|/%00|/a%0ab|/%7f|/%|/%2|/%zz|/%ff|/%c3%28|/x?%00|/x?%f|/x?%ff\
        |/#x|/a\\b|x|*|localhost:7440|ftp://localhost/|//|?x|http:/localhost/";
    for target in bad.split('|').filter(|target| *target != "//") {
        assert_eq!(refused(&get(target)), 400, "{target}");
    }
    for target in ["http://evil.example/", "http://", "http:///x", "https://a@localhost/", "http://localhost:80/"] {
        assert_eq!(refused(&get(target)), 421, "{target}");
    }
    let options = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(with_request(options, |request| request.path.to_owned()), "*");
    assert_eq!(refused(b"CONNECT localhost:7440 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400);
}

#[test]
fn rule_13_what_is_encoded_for_a_target_is_decoded_to_the_same() {
    let text = "a/b c+d&e=f?#%é😀..";
    let mut encoded = String::new();
    encode(text, &mut encoded);
    assert_eq!(decode(&encoded, false), text);
    assert_eq!(decode(&encoded, true), text);
    let target = format!("/data/{encoded}?q={encoded}");
    with_request(&get(&target), |request| {
        assert_eq!(request.segments().nth(1).as_deref(), Some(text));
        assert_eq!(request.query_value("q").as_deref(), Some(text));
    });
    assert_eq!(decode("%zz", false), "%zz");
}

#[test]
fn rule_14_a_peer_that_closes_its_side_still_gets_its_answers() {
    let request = |path: &str| Got::Request("GET".into(), path.into(), vec![]);
    assert_eq!(run(&[get("/1"), get("/2")].concat(), usize::MAX, true), [request("/1"), request("/2"), Got::End]);
    assert_eq!(run(b"", 1, true), [Got::End]);
    assert_eq!(run(b"\r\n", 1, true), [Got::End]);
    assert_eq!(run(&[get("/1"), b"GET".to_vec()].concat(), 1, true), [request("/1"), Got::Refused(400), Got::End]);
    assert_eq!(run(&post("Content-Length: 3\r\n", "ab"), 1, true), [Got::Refused(400), Got::End]);
    assert_eq!(run(&post("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n"), 1, true), [Got::Refused(400), Got::End]);
}

#[test]
fn an_upgrade_is_recognised_and_hands_over_what_follows() {
    let lines = "Connection: keep-alive, Upgrade\r\nUpgrade: rig-peer/1\r\n";
    let bytes = [post(lines, ""), b"\x01frames".to_vec()].concat();
    let (settings, now) = (settings(), Instant::now());
    let mut connection = Connection::new(now);
    feed(&mut connection, &bytes, now);
    assert!(matches!(connection.next(&settings, now), Next::Request(r) if r.upgrade() == Some("rig-peer/1")));
    assert_eq!(connection.into_rest(), b"\x01frames");
    assert!(with_request(&post("Upgrade: rig-peer/1\r\n", ""), |request| request.upgrade().is_none()));
}
