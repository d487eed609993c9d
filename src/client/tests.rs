//! The client against small scripted servers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;

/// A server that takes one connection per script entry, reads one request and answers with these bytes.
struct Scripted {
    url: Url,
    requests: JoinHandle<Vec<String>>,
}

fn scripted(answers: Vec<String>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let requests = std::thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_request(&mut stream);
                stream.write_all(answer.as_bytes()).unwrap();
                request
            })
            .collect()
    });
    Scripted { url, requests }
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return text,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn submission(key: &str) -> Submission<'_> {
    Submission { method: "user_create", data: "{\"id\":\"a\"}", key, version: None, tell_timeout: false }
}

fn client(url: &Url) -> Client {
    Client::new(url.clone(), Options::default())
}

#[test]
fn an_unknown_outcome_is_asked_for_again_with_the_same_key() {
    let server = scripted(vec![
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":".to_owned(),
        answer(504, "{\"code\":\"outcome_unknown\"}"),
        answer(503, "{\"code\":\"recovering\"}"),
        answer(200, "{\"data\":{\"version\":7}}"),
    ]);
    let response = submit(&mut client(&server.url), &submission("k1"), soon()).unwrap();
    assert_eq!(response.data(), Some("{\"version\":7}"));
    let requests = server.requests.join().unwrap();
    assert_eq!(requests.len(), 5);
    for request in &requests {
        assert!(request.starts_with("POST /do HTTP/1.1\r\n") && request.contains("Idempotency-Key: k1\r\n"));
        assert!(request.ends_with("{\"method\":\"user_create\",\"data\":{\"id\":\"a\"}}"), "{request}");
    }
}

#[test]
fn what_was_never_sent_is_final_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    let before = Instant::now();
    assert!(matches!(submit(&mut client(&url), &submission("k"), soon()), Err(NotApplied::Unreachable(_))));
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_refused_connection_after_a_try_that_was_sent_is_unknown() {
    // The server is gone after the first request.
    let server = scripted(vec![String::new()]);
    let deadline = Instant::now() + Duration::from_millis(300);
    assert!(matches!(submit(&mut client(&server.url), &submission("k"), deadline), Err(NotApplied::Unknown(_))));
}

#[test]
fn a_503_is_final_only_when_nothing_was_sent_before() {
    let server = scripted(vec![answer(503, "{\"code\":\"recovering\",\"detail\":\"d\"}")]);
    match submit(&mut client(&server.url), &submission("k"), soon()) {
        Err(NotApplied::Refused(response)) => assert_eq!(response.problem().code, "recovering"),
        other => panic!("{other:?}"),
    }
    let server = scripted(vec![String::new(), answer(503, "{}")]);
    let deadline = Instant::now() + Duration::from_millis(300);
    assert!(matches!(submit(&mut client(&server.url), &submission("k"), deadline), Err(NotApplied::Unknown(_))));
    assert!(is_final(409, true) && is_final(422, true));
    assert!(!is_final(504, false) && !is_final(401, true) && is_final(401, false));
}

#[test]
fn a_node_that_never_answers_is_unknown_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let before = Instant::now();
    assert!(matches!(submit(&mut client(&url), &submission("k"), deadline), Err(NotApplied::Unknown(_))));
    assert!(before.elapsed() < Duration::from_secs(3));
}

#[test]
fn the_primary_is_followed_and_a_token_is_not_carried_to_strangers() {
    let primary = scripted(vec![answer(200, "{\"data\":1}")]);
    let to = format!("HTTP/1.1 307 X\r\nLocation: {}/do\r\nContent-Length: 0\r\n\r\n", primary.url);
    let replica = scripted(vec![to]);
    let response = client(&replica.url).send(&Request::get("/do"), soon()).unwrap();
    assert_eq!((response.head.status, &response.url), (200, &primary.url));

    let stranger = "HTTP/1.1 307 X\r\nLocation: http://stranger.invalid:1/do\r\nContent-Length: 0\r\n\r\n";
    let replica = scripted(vec![stranger.to_owned()]);
    let options = Options { token: Some("t".into()), ..Options::default() };
    let response = Client::new(replica.url.clone(), options).send(&Request::get("/do"), soon()).unwrap();
    assert_eq!((response.head.status, &response.url), (307, &replica.url));
    assert!(replica.requests.join().unwrap()[0].contains("Authorization: Bearer t\r\n"));
}

#[test]
fn a_primary_that_is_gone_is_asked_for_again_where_its_name_came_from() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    let to = format!("HTTP/1.1 307 X\r\nLocation: {gone}/do\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    // A first try is lost, then the primary that is named is gone, then the replica has become primary itself.
    let replica = scripted(vec![String::new(), to, answer(200, "{\"data\":{\"version\":9}}")]);
    let mut client = client(&replica.url);
    let response = submit(&mut client, &submission("k"), soon()).unwrap();
    assert_eq!((response.data(), client.url()), (Some("{\"version\":9}"), &replica.url));
}

#[test]
fn a_large_request_and_large_answers_do_not_wait_for_each_other() {
    // The server writes before it reads, and far more than the socket buffers hold.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let size = 8 << 20;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; size]).unwrap();
        let mut got = 0;
        let mut buffer = vec![0; 1 << 16];
        while got < size {
            got += stream.read(&mut buffer).unwrap();
        }
    });
    let response = client(&url).send(&Request::post("/do", vec![b'y'; size]), soon()).unwrap();
    assert_eq!(response.body.len(), size);
    server.join().unwrap();
}

#[test]
fn a_body_is_handed_out_as_it_comes() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n";
    let server = scripted(vec![chunked.to_owned()]);
    let mut seen = Vec::new();
    let result = client(&server.url).stream(&Request::get("/log"), soon(), Duration::from_secs(5), |piece| {
        seen.extend_from_slice(piece);
        Ok::<_, ()>(true)
    });
    assert!(matches!(result, Ok(Ok(None))));
    assert_eq!(seen, b"a\nbc\n");
    let server = scripted(vec![answer(410, "{\"code\":\"compacted\"}")]);
    let result =
        client(&server.url).stream(&Request::get("/log"), soon(), Duration::from_secs(5), |_| Ok::<_, ()>(true));
    assert_eq!(result.unwrap().unwrap().unwrap().problem().code, "compacted");
}

#[test]
fn a_curl_line_can_be_pasted_and_hides_the_token() {
    let url = Url::parse("127.0.0.1:7440").unwrap();
    let request = Request::post("/do?a=b", "{\"a\":\"it's\"}").header("Idempotency-Key", "k 1");
    assert_eq!(
        request.curl(&url, true, None),
        "curl -sS -H \"Authorization: Bearer $RIG_TOKEN\" -H 'Idempotency-Key: k 1' -H 'Content-Type: application/json' \
         --data-binary '{\"a\":\"it'\\''s\"}' 'http://127.0.0.1:7440/do?a=b'"
    );
    assert_eq!(Request::get("/status").curl(&url, false, None), "curl -sS http://127.0.0.1:7440/status");
    let large = Request::post("/do", vec![b'1'; 5000]).curl(&url, false, None);
    assert!(large.ends_with("--data-binary @- http://127.0.0.1:7440/do # 5000 bytes from standard input"), "{large}");
}

#[test]
fn a_refusal_without_a_document_still_has_a_code() {
    let problem = problem_of(502, b"<html>");
    assert_eq!((&*problem.code, problem.definite), ("http_502", true));
    let problem = problem_of(409, b"{\"code\":\"exists\",\"detail\":\"d\",\"hint\":\"h\",\"title\":\"t\"}");
    assert_eq!((&*problem.code, &*problem.detail, &*problem.hint), ("exists", "d", "h"));
    let problem = problem_of(409, b"{\"code\":\"promotion_unsafe\",\"my_version\":7,\"other\":1}");
    assert_eq!(problem.extra, [("my_version".into(), 7.into())]);
}

#[test]
fn who_was_spoken_to_by_tls_is_never_left_for_one_in_the_clear() {
    let mut client = Client::new(Url::parse("https://a:1").unwrap(), Options::default());
    assert!(!client.follow_to("http://a:1/do"));
    assert!(!client.follow_to("http://b:1/do"));
    assert!(client.follow_to("https://b:1/do"));
    assert_eq!(client.url().to_string(), "https://b:1");
    let mut client = Client::new(Url::parse("http://a:1").unwrap(), Options::default());
    assert!(client.follow_to("https://b:1/do"));
}

#[test]
fn a_curl_line_names_the_ca() {
    let url = Url::parse("https://a:1").unwrap();
    let line = Request::get("/status").curl(&url, false, Some(std::path::Path::new("my ca.pem")));
    assert_eq!(line, "curl -sS --cacert 'my ca.pem' https://a:1/status");
}
