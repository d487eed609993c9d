//! The event loop against a node of a few lines, which answers as it is told.

use std::net::{TcpListener, TcpStream as Socket};

use super::super::work::Settings;
use super::*;

/// Reads whole requests and answers each with what `answer` makes of its number on this connection and its body.
fn node(answer: impl Fn(u64, &str) -> String + Clone + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let answer = answer.clone();
            thread::spawn(move || serve(socket.unwrap(), &answer));
        }
    });
    url
}

fn serve(mut socket: Socket, answer: &impl Fn(u64, &str) -> String) {
    let (mut bytes, mut piece, mut number) = (Vec::new(), [0; 4096], 0);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
            let len: usize = len.parse().unwrap();
            if rest.len() >= len {
                let answer = answer(number, if head.starts_with("GET") { head } else { &rest[..len] });
                number += 1;
                bytes.drain(..head.len() + 4 + len);
                if answer.is_empty() || socket.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
        }
        match socket.read(&mut piece) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn work(batch: u64) -> Work {
    Work::new(&Settings { host: "h".into(), authorization: None, run: 9, size: 128, batch, keys: true })
}

/// What comes of one phase.
fn run(load: &mut Load<'_>, phase: &Phase) -> Result<Tally, Failure> {
    let mut tally = Tally::new(None);
    load.run(phase, &mut tally).map(|()| tally)
}

fn phase(until: Until) -> Phase {
    Phase { until, pipeline: 1, rate: None, reads: 0 }
}

#[test]
fn every_answered_operation_is_counted_once() {
    let url = node(|_, _| http(200, "{}"));
    let work = work(1);
    let mut load = Load::open(&url, None, 1, 8, &work).unwrap();
    let tally = run(&mut load, &phase(Until::Ops(1000))).unwrap();
    assert_eq!((tally.written, tally.read, tally.write_latency.len()), (1000, 0, 1000));
    assert!(tally.refused.is_empty() && tally.timeline.elapsed() > Duration::ZERO);
    let again = run(&mut load, &Phase { pipeline: 16, ..phase(Until::Ops(500)) }).unwrap();
    assert_eq!(again.written, 500, "a second phase on the same connections");
}

#[test]
fn what_is_refused_is_counted_apart() {
    let url = node(|number, _| if number % 4 == 3 { http(503, "no") } else { http(200, "{}") });
    let work = work(1);
    let tally = run(&mut Load::open(&url, None, 1, 1, &work).unwrap(), &phase(Until::Ops(80))).unwrap();
    assert_eq!((tally.written, tally.write_latency.len()), (60, 60));
    assert_eq!(tally.refused, BTreeMap::from([(503, 20)]));
}

#[test]
fn the_lines_of_a_batch_are_counted_one_by_one() {
    let url = node(|_, body| {
        let lines = body.lines().enumerate().map(|(line, _)| match line {
            2 => "{\"type\":\"about:blank\",\"title\":\"t\",\"status\":409,\"detail\":\"d\"}\n".to_owned(),
            _ => format!("{{\"status\":200,\"data\":{{\"pad\":\"{}\"}}}}\n", "x".repeat(700)),
        });
        http(200, &lines.collect::<String>())
    });
    let work = work(10);
    let tally = run(&mut Load::open(&url, None, 1, 3, &work).unwrap(), &phase(Until::Ops(300))).unwrap();
    assert_eq!(tally.written, 270);
    assert_eq!(tally.refused, BTreeMap::from([(409, 30)]));
    assert_eq!(tally.write_latency.len(), 30, "a request has one latency");
}

#[test]
fn only_documents_that_are_there_are_read() {
    let there = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let url = node(move |_, text| match text.strip_prefix("GET /data/bench/") {
        Some(rest) if there.lock().unwrap().contains(&rest[..24]) => http(200, "{}"),
        Some(_) => http(404, ""),
        None => {
            let id = text.split_once("\"id\":\"").unwrap().1[..24].to_owned();
            there.lock().unwrap().insert(id);
            http(200, "{}")
        }
    });
    let work = work(1);
    let mut load = Load::open(&url, None, 1, 4, &work).unwrap();
    let tally = run(&mut load, &Phase { reads: 80, pipeline: 4, ..phase(Until::Ops(2000)) }).unwrap();
    assert!(tally.refused.is_empty(), "{:?}", tally.refused);
    assert_eq!(tally.done(), 2000);
    assert!((1400..1800).contains(&tally.read), "{}", tally.read);
}

#[test]
fn an_open_loop_counts_the_time_that_a_request_had_to_wait() {
    // Every request takes 20 ms and is due each 10 ms: the last waits for all before it.
    let url = node(|_, _| {
        thread::sleep(Duration::from_millis(20));
        http(200, "{}")
    });
    let work = work(1);
    let mut load = Load::open(&url, None, 1, 1, &work).unwrap();
    let tally = run(&mut load, &Phase { rate: Some(100.0), ..phase(Until::Ops(20)) }).unwrap();
    assert_eq!(tally.written, 20);
    assert!(tally.write_latency.max() >= 180_000_000, "{}", tally.write_latency.max());
    let closed = run(&mut load, &phase(Until::Ops(20))).unwrap();
    assert!(closed.write_latency.value_at_quantile(0.5) < 60_000_000);
}

#[test]
fn an_open_loop_keeps_its_rate_when_the_node_does() {
    let url = node(|_, _| http(200, "{}"));
    let work = work(1);
    let mut load = Load::open(&url, None, 1, 4, &work).unwrap();
    let tally = run(&mut load, &Phase { rate: Some(500.0), ..phase(Until::Time(Duration::from_millis(400))) }).unwrap();
    assert_eq!(tally.written, 200);
    assert!(tally.timeline.elapsed() >= Duration::from_millis(390), "{:?}", tally.timeline.elapsed());
}

#[test]
fn a_lost_connection_ends_the_run() {
    let url = node(|number, _| if number < 5 { http(200, "{}") } else { String::new() });
    let work = work(1);
    let failure = run(&mut Load::open(&url, None, 1, 1, &work).unwrap(), &phase(Until::Ops(50))).unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::Unknown, "connection_lost"));
}
