use super::*;
use crate::limits::HEAD_BYTES_MAX;

/// Status and body of every response.
type Responses = Vec<(u16, Vec<u8>)>;

/// The responses in the bytes, fed in pieces; the error at the end, if any. Who does not want the fields gets the same.
fn read(bytes: &[u8], step: usize, head_only: bool, eof: bool) -> (Responses, Option<ResponseError>) {
    let got = read_with(ResponseReader::new(head_only), bytes, step, head_only, eof);
    if !head_only {
        assert_eq!(got, read_with(ResponseReader::without_fields(), bytes, step, false, eof));
    }
    got
}

fn read_with(
    mut reader: ResponseReader,
    bytes: &[u8],
    step: usize,
    head_only: bool,
    eof: bool,
) -> (Responses, Option<ResponseError>) {
    let mut pieces = bytes.chunks(step);
    let (mut got, mut current) = (Vec::new(), None);
    let mut gone = false;
    loop {
        match reader.poll() {
            Err(error) => return (got, Some(error)),
            Ok(Event::Head(head)) => current = Some((head.status, Vec::new())),
            Ok(Event::Body(piece)) => current.as_mut().unwrap().1.extend_from_slice(piece),
            Ok(Event::End) => {
                got.push(current.take().unwrap());
                reader.begin(head_only);
                if gone {
                    return (got, None);
                }
            }
            Ok(Event::More) => match pieces.next() {
                Some(mut piece) => {
                    while !piece.is_empty() {
                        let space = reader.space();
                        let n = space.len().min(piece.len());
                        space[..n].copy_from_slice(&piece[..n]);
                        reader.filled(n);
                        piece = &piece[n..];
                    }
                }
                None if eof => {
                    reader.filled(0);
                    gone = true;
                }
                None => return (got, None),
            },
        }
    }
}

#[test]
fn responses_are_read_in_every_framing_and_any_pieces() {
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end";
    let expected =
        vec![(200, b"hello".to_vec()), (409, b"abc".to_vec()), (204, vec![]), (200, b"until the end".to_vec())];
    for step in [1, 2, 5, 64, usize::MAX] {
        assert_eq!(read(bytes, step, false, true), (expected.clone(), None), "{step}");
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(head, 3, true, false), (vec![(200, vec![]), (200, vec![])], None));
}

#[test]
fn a_body_is_handed_out_as_it_comes() {
    let mut reader = ResponseReader::new(false);
    let feed = |reader: &mut ResponseReader, bytes: &[u8]| {
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
    };
    feed(&mut reader, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRig-Node: n1\r\n\r\n5\r\nhel");
    assert!(matches!(reader.poll(), Ok(Event::Head(head)) if head.header("rig-node") == Some("n1") && head.keep_alive));
    assert_eq!(reader.poll(), Ok(Event::Body(b"hel")));
    assert_eq!(reader.poll(), Ok(Event::More));
    feed(&mut reader, b"lo\r\n");
    assert_eq!(reader.poll(), Ok(Event::Body(b"lo")));
    assert_eq!(reader.poll(), Ok(Event::More));
}

#[test]
fn a_response_that_is_cut_or_unclear_is_an_error() {
    let cut = |bytes: &[u8]| {
        let whole = read(bytes, usize::MAX, false, true);
        assert_eq!(whole, read(bytes, 1, false, true), "{}", bytes.escape_ascii());
        whole.1
    };
    assert_eq!(cut(b""), Some(ResponseError::Closed));
    assert_eq!(cut(b"HTTP/1.1 200 OK\r\n"), Some(ResponseError::Cut));
    assert_eq!(cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), Some(ResponseError::Cut));
    assert_eq!(cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"), Some(ResponseError::Cut));
    for head in ["SSH-2.0-x\r\n", "HTTP/2 200\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"] {
        assert_eq!(cut(head.as_bytes()), Some(ResponseError::Head), "{head}");
    }
    let framings = [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ];
    for lines in framings {
        assert_eq!(cut(format!("HTTP/1.1 200 OK\r\n{lines}\r\nx").as_bytes()), Some(ResponseError::Framing), "{lines}");
    }
    for chunk in ["x\r\n", "123456789\r\n", "1\nx", "1\r\nxy", "1 ;\r\n", "0\r\nX: y\n\r\n"] {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(cut(bytes.as_bytes()), Some(ResponseError::Framing), "{chunk:?}");
    }
    // Found by the fuzzer: a long line that is wrong from its first byte was one error whole and another in pieces.
    for (line, error) in
        [("T", ResponseError::Framing), ("1x", ResponseError::Framing), ("1;", ResponseError::TooLarge)]
    {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{line}{}", "8".repeat(300));
        assert_eq!(cut(bytes.as_bytes()), Some(error), "{line}");
    }
    let large = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(cut(large.as_bytes()), Some(ResponseError::TooLarge));
    assert_eq!(cut("HTTP/1.1 102 Wait\r\n\r\n".repeat(9).as_bytes()), Some(ResponseError::Head));
}

#[test]
fn what_the_client_writes_the_server_reads() {
    let mut bytes = Vec::new();
    let headers = [("Host", "localhost"), ("Content-Type", "application/json"), ("X-Bad", "a\r\nEvil: b")];
    write_request(&mut bytes, "POST", "/do?x=1", &headers, Some(b"{}"));
    with_request(&bytes, |request| {
        assert_eq!((request.method, request.path, request.body), ("POST", "/do", b"{}".as_slice()));
        assert_eq!(request.header("Evil"), None);
        assert_eq!(require_json(&request), Ok(Media::Json));
    });
    bytes.clear();
    write_request(&mut bytes, "GET", "/a b\r\n", &[("Host", "localhost")], None);
    assert_eq!(bytes, b"GET /a?b?? HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

#[test]
fn what_the_server_writes_the_client_reads() {
    let mut bytes = Vec::new();
    let open = Reply { keep_alive: true, head_only: false, http10: false };
    Answer::new(&mut bytes, open, 200).body_with("text/plain", |out| out.extend_from_slice(b"hello"));
    let stream = Answer::new(&mut bytes, open, 200).stream("text/plain");
    stream.piece(&mut bytes, &[b'x'; 70_000]);
    stream.end(&mut bytes);
    Answer::new(&mut bytes, open, 304).empty();
    let expected = vec![(200, b"hello".to_vec()), (200, vec![b'x'; 70_000]), (304, vec![])];
    for step in [1, 1000, usize::MAX] {
        assert_eq!(read(&bytes, step, false, false), (expected.clone(), None));
    }
}

#[test]
fn fields_come_only_to_who_wants_them() {
    let bytes = b"HTTP/1.1 200 OK\r\nRig-Version: 7\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n";
    for (mut reader, version) in [(ResponseReader::new(false), Some("7")), (ResponseReader::without_fields(), None)] {
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
        let Ok(Event::Head(head)) = reader.poll() else { panic!("no head") };
        assert_eq!((head.status, head.header("rig-version"), head.keep_alive), (200, version, false));
    }
}

#[test]
fn after_an_upgrade_the_rest_is_not_http() {
    let mut reader = ResponseReader::new(false);
    let bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: rig-peer/1\r\n\r\n\x01\x02";
    reader.space()[..bytes.len()].copy_from_slice(bytes);
    reader.filled(bytes.len());
    assert!(matches!(reader.poll(), Ok(Event::Head(head)) if head.status == 101));
    assert_eq!(reader.into_rest(), b"\x01\x02");
}
