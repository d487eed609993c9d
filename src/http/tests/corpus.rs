//! Attacks that worked on other servers, by name, and forms that must work.

use super::*;
use crate::limits::HEAD_BYTES_MAX;

#[test]
fn every_known_attack_is_refused_and_leaves_no_second_request() {
    let long_uri = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(70_000));
    let long_header = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(300_000));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    let endless_method = "A".repeat(HEAD_BYTES_MAX * 2);
    let table: &[(&str, u16, &[u8])] = &[
        (
            "CL.TE",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        ),
        (
            "TE.CL",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nG",
        ),
        (
            "TE.TE, the second unknown",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n",
        ),
        ("TE behind a space", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\n Transfer-Encoding: chunked\r\n\r\n"),
        (
            "TE before a space and a colon",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n",
        ),
        ("TE folded", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"),
        (
            "TE behind a vertical tab",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        ),
        ("TE with a NUL", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\0\r\n\r\n"),
        (
            "TE in a line that ends in LF",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "TE in a line that ends in CR",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "TE with an underscore is another field",
            200,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer_Encoding: chunked\r\n\r\n",
        ),
        (
            "TE of two codings, chunked first",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ),
        ("TE gzip", 501, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (
            "CL twice, different",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "CL twice, equal",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        ),
        ("CL as a list", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\na"),
        ("CL with a plus", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\na"),
        ("CL with a minus", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\na"),
        ("CL hexadecimal", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x1\r\n\r\na"),
        (
            "CL in wide digits",
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \u{ff11}\r\n\r\na".as_bytes(),
        ),
        ("CL over 64 bits", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 36893488147419103232\r\n\r\n"),
        ("CL of 8 EiB", 413, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9223372036854775808\r\n\r\n"),
        (
            "chunk size that overflows",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff0\r\n",
        ),
        (
            "chunk size with a sign",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk size with an underscore",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n",
        ),
        (
            "chunk extension with LF",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n",
        ),
        (
            "chunk that is too long for its size",
            400,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n",
        ),
        ("obs-fold", 400, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n"),
        ("LF alone in the request line", 400, b"GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
        ("CR alone in the request line", 400, b"GET / HTTP/1.1\rHost: localhost\r\n\r\n"),
        ("NUL in a header name", 400, b"GET / HTTP/1.1\r\nHost: localhost\r\nX\0: a\r\n\r\n"),
        ("NUL in the target", 400, b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("HTTP/0.9", 400, b"GET /\r\n"),
        ("HTTP/2 preface", 400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("TLS on the plain port", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("SSH on the wrong port", 400, b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("proxy protocol", 400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        ("traversal", 400, b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("traversal, encoded", 400, b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("traversal, encoded slash", 400, b"GET /a%2f..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("traversal, encoded twice, is a name", 200, b"GET /%252e%252e/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("NUL, encoded", 400, b"GET /a%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("overlong UTF-8, encoded", 400, b"GET /%c0%ae%c0%ae/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("target that is not ASCII", 400, "GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n".as_bytes()),
        ("target with a broken escape", 400, b"GET /%g0 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("target with a fragment", 400, b"GET /#x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("target without a slash", 400, b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("absolute target elsewhere", 421, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("target with a user", 421, b"GET http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("no Host", 400, b"GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", 400, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"),
        ("a rebound name", 421, b"GET / HTTP/1.1\r\nHost: rebound.example:7440\r\n\r\n"),
        ("70 kB of target", 431, long_uri.as_bytes()),
        ("300 kB of header", 431, long_header.as_bytes()),
        ("20,000 headers", 431, many_headers.as_bytes()),
        ("a method without end", 431, endless_method.as_bytes()),
        ("JSON instead of HTTP", 400, b"{\"method\":\"user_create\"}\r\n"),
        ("a cookie behind an empty name", 400, b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n"),
        ("a quoted length", 400, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \"1\"\r\n\r\na"),
        ("invalid UTF-8 in a value", 400, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \xc3\x28\r\n\r\n"),
    ];
    for (name, status, bytes) in table {
        if *status == 200 {
            assert_eq!(accepted(bytes), b"", "{name}");
            continue;
        }
        let with_second = [bytes, b"\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice()].concat();
        for step in [usize::MAX, 1 << 10, 1] {
            assert_eq!(run(bytes, step, false), [Got::Refused(*status), Got::End], "{name}");
            assert_eq!(run(&with_second, step, true), [Got::Refused(*status), Got::End], "{name}, and another");
        }
    }
}

#[test]
fn a_request_inside_the_body_of_another_stays_a_body() {
    let inner = "GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let outer = format!("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    assert_eq!(accepted(outer.as_bytes()), inner.as_bytes());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    assert_eq!(accepted(format!("POST / HTTP/1.1\r\nHost: localhost\r\n{chunked}").as_bytes()), inner.as_bytes());
}

#[test]
fn no_random_bytes_panic_or_grow_a_connection() {
    // SplitMix64: the same bytes in every run.
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let alphabet = b"GETPOST /HTTP/1.1\r\nHost: localhost\r\n\r\nContent-Length: 0123456789abcdef;chunked\r\n\0\xff";
    for round in 0..20_000 {
        let prefix: &[u8] = match round % 4 {
            0 => b"",
            1 => b"POST /do HTTP/1.1\r\nHost: localhost\r\n",
            2 => b"POST /do HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            _ => b"GET /",
        };
        let mut bytes = prefix.to_vec();
        bytes.extend((0..random() % 64).map(|_| alphabet[random() as usize % alphabet.len()]));
        let step = 1 + random() as usize % 9;
        let whole = run(&bytes, usize::MAX, true);
        assert_eq!(whole, run(&bytes, step, true), "{}", bytes.escape_ascii());
        let mut reader = ResponseReader::new(false);
        let space = reader.space();
        space[..bytes.len()].copy_from_slice(&bytes);
        reader.filled(bytes.len());
        reader.filled(0);
        while let Ok(Event::Head(_) | Event::Body(_)) = reader.poll() {}
    }
}
