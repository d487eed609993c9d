//! The way to a service, against a server that says what a test wants.

use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;
use crate::http::Reply;
use crate::node::routes::Route;

/// A server that gives these answers, one for each request; `None` closes the connection in place of it.
fn server(answers: &[Option<&str>]) -> (Base, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = Base::parse(&format!("http://{}/base/", listener.local_addr().unwrap())).unwrap();
    let (said, heard) = mpsc::channel();
    let mut answers: Vec<Option<Vec<u8>>> = answers.iter().rev().map(|answer| answer.map(Into::into)).collect();
    thread::spawn(move || {
        let mut connections = 0;
        while let Some((mut stream, _)) = answers.last().and_then(|_| listener.accept().ok()) {
            connections += 1;
            while let Some(head) = head_of(&mut stream) {
                said.send(format!("{connections} {head}")).unwrap();
                match answers.pop().flatten() {
                    Some(answer) => stream.write_all(&answer).unwrap(),
                    None => break,
                }
            }
        }
    });
    (base, heard)
}

fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn read(head_only: bool, patience_ms: u64) -> Read {
    let reply = Reply { keep_alive: true, head_only, http10: false };
    Read {
        exchange: Exchange { reply, id: "r1".into(), route: Route::OTHER },
        target: "/users?email=a%40x".into(),
        fields: vec![("If-None-Match", "\"7\"".into())],
        wanted: 0,
        deadline: Instant::now() + Duration::from_millis(patience_ms),
    }
}

fn claims() -> Claims {
    Claims { node: "n1".into(), role: Role::Primary, epoch: 3, version: 9 }
}

fn fetch(upstream: &Upstream, head_only: bool) -> (u16, String) {
    let (status, bytes) = upstream.fetch(&read(head_only, 10_000), claims()).unwrap();
    (status, String::from_utf8(bytes).unwrap())
}

#[test]
fn an_answer_is_passed_on_with_what_belongs_to_it_and_nothing_else() {
    let (base, heard) = server(&[Some(
        "HTTP/1.1 404 Nothing\r\nContent-Type: text/x\r\nETag: \"8\"\r\nSet-Cookie: a=b\r\nServer: s\r\n\
         Keep-Alive: timeout=5\r\nConnection: keep-alive\r\nLocation: /base/users/1\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nnone\r\n0\r\n\r\n",
    )]);
    let host = base.authority().to_owned();
    let (status, answer) = fetch(&Upstream::new(base), false);
    assert_eq!(status, 404);
    assert_eq!(
        answer,
        "HTTP/1.1 404 Not Found\r\nRig-Node: n1\r\nRig-Role: primary\r\nRig-Epoch: 3\r\nRig-Version: 9\r\n\
         X-Request-Id: r1\r\nContent-Type: text/x\r\nETag: \"8\"\r\nLocation: /users/1\r\nContent-Length: 4\r\n\r\nnone"
    );
    let request = format!(
        "1 GET /base/users?email=a%40x HTTP/1.1\r\nHost: {host}\r\nVia: 1.1 rig\r\nX-Request-Id: r1\r\n\
         If-None-Match: \"7\"\r\n\r\n"
    );
    assert_eq!(heard.recv().unwrap(), request);
}

#[test]
fn a_connection_is_used_again_until_the_service_closes_it() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let (base, heard) = server(&[Some(ok), Some(ok), None, Some(closing), Some(ok)]);
    let upstream = Upstream::new(base);
    for connection in ["1", "1", "1 gone 2", "3"] {
        let (status, answer) = fetch(&upstream, false);
        assert!(status == 200 && answer.ends_with("\r\n\r\nok"), "{answer}");
        for number in connection.split(" gone ") {
            assert!(heard.recv().unwrap().starts_with(&format!("{number} GET ")));
        }
        // It closes the second one itself, so that this side must not wait for more.
        if connection.ends_with('2') {
            upstream.idle().clear();
        }
    }
}

#[test]
fn the_answer_to_head_has_the_length_of_the_one_to_get_and_no_body() {
    let (base, heard) = server(&[
        Some("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: a/b\r\n\r\n"),
        Some("HTTP/1.1 304 Not Modified\r\nETag: \"7\"\r\n\r\n"),
    ]);
    let upstream = Upstream::new(base);
    let (_, answer) = fetch(&upstream, true);
    assert!(answer.ends_with("Content-Type: a/b\r\nContent-Length: 1234\r\n\r\n"), "{answer}");
    assert!(heard.recv().unwrap().starts_with("1 HEAD "));
    let (status, answer) = fetch(&upstream, false);
    assert!(status == 304 && answer.ends_with("ETag: \"7\"\r\n\r\n"), "{answer}");
}

#[test]
fn a_service_that_says_how_far_it_is_is_believed_when_it_is_behind() {
    let with = |version: &str| format!("HTTP/1.1 200 OK\r\nRig-Version: {version}\r\nContent-Length: 0\r\n\r\n");
    let (behind, ahead, odd) = (with("4"), with("10"), with("+3"));
    let (base, _heard) = server(&[Some(&behind), Some(&ahead), Some(&odd)]);
    let upstream = Upstream::new(base);
    for version in ["4", "9", "9"] {
        let (_, answer) = fetch(&upstream, false);
        assert!(answer.contains(&format!("Rig-Version: {version}\r\n")), "{answer}");
        assert_eq!(answer.matches("Rig-Version").count(), 1);
    }
    let (base, _heard) = server(&[Some(&behind), Some(&behind)]);
    let upstream = Upstream::new(base);
    let wants = |wanted| upstream.fetch(&Read { wanted, ..read(false, 10_000) }, claims());
    assert!(wants(4).is_ok());
    assert_eq!(&*wants(5).unwrap_err().code, "lagging");
}

#[test]
fn what_cannot_be_passed_on_is_a_service_that_is_not_available() {
    let too_large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PROXIED_BYTES_MAX + 1);
    for (answer, says) in [
        (None, "closed the connection"),
        (Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 1\r\n\r\n"), "where it ends"),
        (Some("HTTP/1.1 101 Switching\r\n\r\n"), "status 101"),
        (Some("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"), "status 999"),
        (Some("SSH-2.0-OpenSSH\r\n"), "not HTTP"),
        (Some(&too_large), "more than"),
    ] {
        let (base, _heard) = server(&[answer]);
        let problem = Upstream::new(base).fetch(&read(false, 10_000), claims()).unwrap_err();
        assert_eq!((problem.status, &*problem.code), (503, "service_unavailable"), "{answer:?}");
        assert!(problem.detail.contains(says), "{}", problem.detail);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = Base::parse(&format!("http://{nobody}")).unwrap();
    assert!(Upstream::new(base).fetch(&read(false, 10_000), claims()).is_err());
}

#[test]
fn a_body_without_an_end_is_given_up_at_its_bound_and_a_silent_service_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = Base::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        // The next one is taken and never answered.
        let silent = listener.accept();
        thread::sleep(Duration::from_secs(10));
        drop(silent);
    });
    let upstream = Upstream::new(base);
    let problem = upstream.fetch(&read(false, 60_000), claims()).unwrap_err();
    assert!(problem.detail.contains(&PROXIED_BYTES_MAX.to_string()), "{}", problem.detail);
    let begun = Instant::now();
    let problem = upstream.fetch(&read(false, 100), claims()).unwrap_err();
    assert!(problem.detail.contains("too long"), "{}", problem.detail);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_calls_of_the_protocol_cannot_be_reached_however_they_are_written() {
    for path in ["/rig/v1/snapshot", "/rig/v1", "//rig//v1/", "/RIG/V1/info", "/rig;a=b/v1;c/x"] {
        assert!(is_protocol(path), "{path}");
    }
    for path in ["/", "/rig", "/rigs/v1", "/rig/v2/x", "/a/rig/v1"] {
        assert!(!is_protocol(path), "{path}");
    }
}
