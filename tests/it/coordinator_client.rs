//! The client of the record, against real etcd processes, and against what is none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rig::coordinator::{Address, BadRecord, Coordinator, Error, Kind, Node, Options, Reading, Record, Swap};
use rig::net::Trust;
use rig::replication::Register;
use rig::types::{ClusterId, Epoch, Mode, NodeId};
use serde_json::json;

use crate::support::{Etcd, Home, Link, Way, has};
use crate::tls::{make, make_ca};

/// For a machine that has other things to do.
const PATIENT: Duration = Duration::from_secs(10);
const ONE: NodeId = NodeId([1; 16]);
const TWO: NodeId = NodeId([2; 16]);

fn node(id: NodeId) -> Node {
    Node { id, name: format!("n{}", id.0[0]), url: format!("http://10.0.0.{}:7440", id.0[0]) }
}

/// The record of a term of node 1, with node 2 in sync.
fn record(number: u64, write: &str) -> Record {
    let before = Epoch { number: number - 1, owner: TWO, start: 0 };
    let epoch = Epoch { number, owner: ONE, start: 0 };
    Record {
        cluster: ClusterId([7; 16]),
        write: write.to_owned(),
        primary: node(ONE),
        in_sync: vec![node(TWO)],
        register: Register { epoch, set: vec![TWO], open: true, mode: Mode::SemiSync, end: (before, 17) },
    }
}

fn taken(swap: Result<Swap, Error>) -> Reading {
    match swap {
        Ok(Swap::Taken(reading)) => reading,
        other => panic!("it should be taken: {other:?}"),
    }
}

fn lost(swap: Result<Swap, Error>) -> Reading {
    match swap {
        Ok(Swap::Lost(reading)) => reading,
        other => panic!("it should be lost: {other:?}"),
    }
}

/// A client by hosts that the test names.
fn by(hosts: &[&str], timeout: Duration) -> Coordinator {
    let address = Address::parse(&format!("etcd://{}/rig/a", hosts.join(","))).unwrap();
    Coordinator::new(address, Options { password: None, trust: None, timeout })
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What somebody else has written, in base64 of the test's own.
fn put(etcd: &Etcd, key: &str, value: &str) {
    etcd.post(1, "/v3/kv/put", &json!({ "key": base64(key), "value": base64(value) }));
}

fn base64(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    let digit = |six: &[u8]| {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        char::from(digits[usize::from_str_radix(&six, 2).unwrap()])
    };
    let text: String = bits.as_bytes().chunks(6).map(digit).collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}

#[test]
fn a_record_is_created_and_replaced_only_by_who_knows_what_is_there() {
    let Some(etcd) = Etcd::new("a_record_is_created_and_replaced", 1, &[]) else { return };
    let mut one = etcd.at(&[1], "/rig/a", PATIENT);
    let empty = one.read().unwrap();
    assert_eq!((&empty.record, empty.revision, &*empty.leases), (&None, 0, &[][..]));
    assert!(empty.store != 0 && empty.store_revision > 0, "{empty:?}");
    let first = taken(one.swap(0, &record(1, "first")));
    assert_eq!((first.record.as_ref(), first.store), (Some(&record(1, "first")), empty.store));
    assert!(first.revision > empty.store_revision && first.store_revision >= first.revision, "{first:?}");
    // Another one of the same cluster comes too late, and sees who was first.
    let mut two = etcd.at(&[1], "/rig/a", PATIENT);
    assert_eq!(lost(two.swap(0, &record(2, "late"))), first);
    assert_eq!(lost(two.swap(first.revision + 1, &record(2, "late"))), first);
    // What others write beside it does not touch its revision.
    put(&etcd, "/elsewhere", "x");
    put(&etcd, "/rig/a/other", "x");
    let beside = one.read().unwrap();
    assert_eq!((beside.revision, beside.store_revision), (first.revision, first.store_revision + 2));
    let second = taken(two.swap(first.revision, &record(2, "second")));
    assert!(second.revision > first.revision);
    assert_eq!(lost(one.swap(first.revision, &record(3, "third"))), second);
    assert_eq!(one.read().unwrap(), second);
    // A prefix that begins like ours is another cluster's.
    for prefix in ["/rig/a0", "/rig/aa", "/rig"] {
        assert_eq!(etcd.at(&[1], prefix, PATIENT).read().unwrap().record, None, "{prefix}");
    }
    let foreign = Record { cluster: ClusterId([8; 16]), ..record(9, "foreign") };
    put(&etcd, "/rig/a/record", &foreign.to_json());
    let there = one.read().unwrap();
    assert_eq!(there.record, Some(foreign), "whose it is, the caller decides");
    assert_eq!(lost(one.swap(second.revision, &record(3, "third"))), there);
}

#[test]
fn what_is_no_record_is_named_with_its_key_and_left_there() {
    let Some(etcd) = Etcd::new("what_is_no_record_is_named", 1, &[]) else { return };
    let mut one = etcd.at(&[1], "/rig/a", PATIENT);
    let why = |one: &mut Coordinator| {
        let swapped = one.swap(0, &record(1, "first")).unwrap_err();
        assert!(!swapped.is_unknown() && matches!(swapped.kind(), Kind::Record { .. }), "{swapped:?}");
        let error = one.read().unwrap_err();
        assert!(error.to_string().contains("/rig/a/record") && error.hint().contains("/rig/a/record"), "{error}");
        assert!(!error.is_transient());
        let Kind::Record { why, .. } = error.kind() else { panic!("{error:?}") };
        why.clone()
    };
    put(&etcd, "/rig/a/record", "{}");
    assert!(matches!(why(&mut one), BadRecord::Json(_)));
    put(&etcd, "/rig/a/record", r#"{"format":2,"epochs":[]}"#);
    assert_eq!(why(&mut one), BadRecord::Format(2));
    put(&etcd, "/rig/a/record", &record(3, "x").to_json().replacen(&ONE.to_string(), &NodeId([9; 16]).to_string(), 1));
    assert!(matches!(why(&mut one), BadRecord::Contradiction(_)));
    // Keys that nobody of ours has written change nothing.
    put(&etcd, "/rig/a/record", &record(3, "x").to_json());
    put(&etcd, "/rig/a/leases/no-id", "x");
    put(&etcd, &format!("/rig/a/leases/{ONE}"), "without a lease it would stay for ever");
    put(&etcd, "/rig/a/other", "x");
    let reading = one.read().unwrap();
    assert_eq!((reading.record, &*reading.leases), (Some(record(3, "x")), &[][..]));
}

#[test]
fn of_writers_that_race_exactly_one_wins_each_time() {
    const ROUNDS: u64 = 25;
    let Some(etcd) = Etcd::new("of_writers_that_race", 3, &[]) else { return };
    let barrier = Barrier::new(3);
    let wins = std::thread::scope(|scope| {
        let racers: Vec<_> = (1..=3)
            .map(|number| {
                // Each by another member.
                let mut racer = etcd.at(&[number], "/rig/a", PATIENT);
                let barrier = &barrier;
                scope.spawn(move || {
                    let (mut wins, mut revision) = (Vec::new(), 0);
                    for round in 1..=ROUNDS {
                        barrier.wait();
                        let write = format!("{round} by {number}");
                        revision = match racer.swap(revision, &record(round, &write)).unwrap() {
                            Swap::Taken(reading) => {
                                assert_eq!(reading.record.unwrap().write, write);
                                wins.push(round);
                                reading.revision
                            }
                            Swap::Lost(reading) => {
                                let there = reading.record.unwrap();
                                assert_eq!(there.register.epoch.number, round, "{number} lost to {}", there.write);
                                reading.revision
                            }
                        };
                    }
                    wins
                })
            })
            .collect();
        racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
    });
    let mut wins = wins;
    wins.sort_unstable();
    assert_eq!(wins, (1..=ROUNDS).collect::<Vec<_>>());
}

#[test]
fn a_swap_whose_answer_is_lost_is_known_again_and_else_said_to_be_unknown() {
    const SHORT: Duration = Duration::from_millis(700);
    let Some(etcd) = Etcd::new("a_swap_whose_answer_is_lost", 1, &[]) else { return };
    let link = Link::to(etcd.client(1));
    let hosts = [link.url().replace("http://", ""), etcd.client(1).to_owned()];
    let mut alone = by(&[&hosts[0]], SHORT);
    let empty = alone.read().unwrap();
    // It reaches etcd, the answer does not come back.
    link.hold(Way::Out);
    let error = alone.swap(0, &record(1, "first")).unwrap_err();
    assert!(error.is_unknown() && matches!(error.kind(), Kind::Unreachable { .. }), "{error:?}");
    let error = alone.read().unwrap_err();
    assert!(!error.is_unknown() && error.is_transient(), "a read changes nothing: {error:?}");
    link.cut();
    let error = alone.swap(0, &record(1, "second")).unwrap_err();
    assert!(error.is_unknown(), "the connection was made, more is not known: {error:?}");
    link.heal();
    // Said again, it finds itself; said otherwise, it finds the one that was lost.
    let first = taken(alone.swap(0, &record(1, "first")));
    assert_eq!(first.revision, empty.store_revision + 1, "it was carried out once");
    assert_eq!(lost(alone.swap(0, &record(1, "second"))).revision, first.revision);
    // With a second way the same happens in one call.
    let mut both = by(&[&hosts[0], &hosts[1]], SHORT);
    assert_eq!(both.read().unwrap().revision, first.revision);
    link.hold(Way::Out);
    let second = taken(both.swap(first.revision, &record(2, "second")));
    assert_eq!((second.revision, second.store_revision), (first.revision + 1, first.revision + 1));
    let before = Instant::now();
    taken(both.swap(second.revision, &record(3, "third")));
    assert!(before.elapsed() < SHORT, "who answered last is asked first");
    link.heal();
    // A connection that broke while nothing was said is made anew, and nobody hears of it.
    alone.read().unwrap();
    link.cut();
    link.heal();
    assert_eq!(alone.read().unwrap().record, Some(record(3, "third")));
}

#[test]
fn a_lease_is_seen_while_it_is_kept_alive_and_goes_by_itself_or_when_it_is_given_back() {
    let second = Duration::from_secs(1);
    let Some(etcd) = Etcd::new("a_lease_is_seen", 1, &[]) else { return };
    let mut one = etcd.at(&[1], "/rig/a", PATIENT);
    let kept = one.grant(ONE, Duration::from_millis(1400)).unwrap();
    assert_eq!(kept.ttl, second * 2, "whole seconds, rounded up");
    let forgotten = one.grant(TWO, second).unwrap();
    taken(one.swap(0, &record(1, "first")));
    let mut leases = one.read().unwrap().leases;
    leases.sort_unstable();
    assert_eq!(leases, [ONE, TWO]);
    until("the one that nobody keeps alive goes", || {
        assert_eq!(one.keep_alive(&kept).unwrap(), Some(kept.ttl));
        one.read().unwrap().leases == [ONE]
    });
    assert_eq!(one.keep_alive(&forgotten).unwrap(), None, "it is gone");
    assert_eq!(one.read().unwrap().record, Some(record(1, "first")), "the record hangs on no lease");
    // The key goes with the newest one: the end of the one before takes nothing away.
    let newest = one.grant(ONE, second * 30).unwrap();
    assert_ne!(newest.id, kept.id);
    one.release(&kept).unwrap();
    assert_eq!(one.read().unwrap().leases, [ONE]);
    one.release(&newest).unwrap();
    assert!(one.read().unwrap().leases.is_empty());
    one.release(&newest).unwrap();
    assert_eq!(one.keep_alive(&newest).unwrap(), None);
}

#[test]
fn of_three_members_one_may_die_and_without_two_nothing_is_done_until_they_are_back() {
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(2));
    let Some(mut etcd) = Etcd::new("of_three_members_one_may_die", 3, &[]) else { return };
    let leader = etcd.leader();
    let others: Vec<usize> = (1..=3).filter(|number| *number != leader).collect();
    let mut one = etcd.at(&[leader, others[0], others[1]], "/rig/a", long);
    let first = taken(one.swap(0, &record(1, "first")));
    let lease = one.grant(ONE, Duration::from_secs(20)).unwrap();
    etcd.kill(leader);
    let second = taken(one.swap(first.revision, &record(2, "second")));
    assert_eq!((second.store, &*second.leases), (first.store, &[ONE][..]));
    assert!(one.keep_alive(&lease).unwrap().is_some());
    // A member that stands still takes its time, and no more.
    let mut one = etcd.at(&[others[0], others[1]], "/rig/a", short);
    for number in &others {
        etcd.signal(*number, "STOP");
    }
    let before = Instant::now();
    let error = one.swap(second.revision, &record(3, "third")).unwrap_err();
    assert!(before.elapsed() < short * 3, "{:?}", before.elapsed());
    assert!(error.is_unknown() && error.is_transient(), "{error:?}");
    for number in &others {
        etcd.signal(*number, "CONT");
    }
    etcd.kill(others[0]);
    let mut one = etcd.at(&[others[0], others[1]], "/rig/a", short);
    let before = Instant::now();
    let error = one.read().unwrap_err();
    assert!(before.elapsed() < short * 3, "{:?}", before.elapsed());
    assert!(!error.is_unknown() && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(etcd.client(others[0])), "{error}");
    let error = one.swap(second.revision, &record(4, "fourth")).unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    etcd.spawn(leader);
    etcd.wait(leader);
    let mut one = etcd.at(&[1, 2, 3], "/rig/a", PATIENT);
    let there = one.read().unwrap();
    let next = taken(one.swap(there.revision, &record(5, "fifth")));
    assert_eq!(next.record, Some(record(5, "fifth")));
}

#[test]
fn a_user_is_known_by_a_password_and_a_token_that_is_renewed() {
    let Some(mut etcd) = Etcd::new("a_user_is_known_by_a_password", 1, &["--bcrypt-cost", "4"]) else { return };
    etcd.post(1, "/v3/auth/user/add", &json!({ "name": "root", "password": "of root" }));
    etcd.post(1, "/v3/auth/user/grant", &json!({ "user": "root", "role": "root" }));
    etcd.post(1, "/v3/auth/user/add", &json!({ "name": "rig", "password": "of rig" }));
    etcd.post(1, "/v3/auth/role/add", &json!({ "name": "rig" }));
    let perm = json!({ "permType": "READWRITE", "key": base64("/rig/a/"), "range_end": base64("/rig/a0") });
    etcd.post(1, "/v3/auth/role/grant", &json!({ "name": "rig", "perm": perm }));
    etcd.post(1, "/v3/auth/user/grant", &json!({ "user": "rig", "role": "rig" }));
    let with = |address: &str, password: &str| {
        let address = Address::parse(&format!("etcd://{}", address.replace("ETCD", etcd.client(1)))).unwrap();
        Coordinator::new(address, Options { password: Some(password.to_owned()), trust: None, timeout: PATIENT })
    };
    let refused = |error: Error, words: &str, hint: &str| {
        assert!(matches!(error.kind(), Kind::Refused { .. }) && !error.is_transient(), "{error:?}");
        assert!(!error.is_unknown() && !error.to_string().contains("of rig"), "{error:?}");
        assert!(error.to_string().contains(words) && error.hint().contains(hint), "{error}; {}", error.hint());
    };
    refused(with("rig@ETCD/rig/a", "of rig").read().unwrap_err(), "not enabled", "auth enable");
    etcd.post(1, "/v3/auth/enable", &json!({}));
    let mut one = with("rig@ETCD/rig/a", "of rig");
    let shown = format!("{one:?}");
    let first = taken(one.swap(0, &record(1, "first")));
    let lease = one.grant(ONE, Duration::from_secs(60)).unwrap();
    assert!(!shown.contains("of rig") && !format!("{one:?}").contains("of rig"), "{one:?}");
    refused(etcd.at(&[1], "/rig/a", PATIENT).read().unwrap_err(), "user name is empty", "--coordinator-password FILE");
    refused(with("rig@ETCD/rig/a", "wrong").read().unwrap_err(), "authentication failed", "--coordinator-password");
    refused(with("rig@ETCD/rig/b", "of rig").read().unwrap_err(), "permission denied", "role grant-permission");
    let mut two = with("rig@ETCD/rig/b", "of rig");
    refused(two.swap(0, &record(1, "first")).unwrap_err(), "permission denied", "role grant-permission");
    // A member that was restarted knows no token any more.
    etcd.kill(1);
    etcd.spawn(1);
    etcd.wait(1);
    let second = taken(one.swap(first.revision, &record(2, "second")));
    assert_eq!(&*second.leases, [ONE]);
    assert!(one.keep_alive(&lease).unwrap().is_some());
    one.release(&lease).unwrap();
    assert!(one.read().unwrap().leases.is_empty());
}

#[test]
fn by_tls_etcd_is_believed_by_its_ca_only() {
    let test = "by_tls_etcd_is_believed_by_its_ca_only";
    if !has("openssl", test) || !has("etcd", test) {
        return;
    }
    let (home, address) = (Home::new(), Link::free_address());
    make_ca(&home, "ca");
    make_ca(&home, "other");
    make(&home, "etcd", "ca", &format!("IP:{}", address.split_once(':').unwrap().0), 10);
    let other = Trust::load(&home.path("other.pem")).unwrap();
    let etcd = Etcd::secure(home, address);
    let mut one = etcd.at(&[1], "/rig/a", PATIENT);
    let first = taken(one.swap(0, &record(1, "first")));
    assert_eq!(one.read().unwrap(), first);
    for (trust, hint) in [(None, "CA"), (Some(other), "CA")] {
        let mut one = Coordinator::new(etcd.address("/rig/a"), Options { password: None, trust, timeout: PATIENT });
        let error = one.swap(first.revision, &record(2, "second")).unwrap_err();
        assert!(!error.is_unknown() && error.hint().contains(hint), "{error}: {}", error.hint());
    }
    let error = by(&[etcd.client(1)], PATIENT).swap(first.revision, &record(2, "second")).unwrap_err();
    assert!(matches!(error.kind(), Kind::Malformed { .. } | Kind::Unreachable { .. }), "{error:?}");
    assert_eq!(one.read().unwrap(), first);
}

/// What a server does with each connection, after it has read something.
fn server(then: impl Fn(std::net::TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It lives as long as the test process, and costs nothing.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let then = then.clone();
            std::thread::spawn(move || {
                if stream.read(&mut [0; 16 << 10]).is_ok_and(|n| n > 0) {
                    then(stream);
                }
            });
        }
    });
    address
}

/// A server that says this and closes.
fn saying(words: &'static str) -> String {
    // Who does not listen any more does not matter.
    server(move |mut stream| drop(stream.write_all(words.as_bytes())))
}

#[test]
fn what_is_no_etcd_is_left_in_time_for_the_next() {
    let short = Duration::from_millis(600);
    let Some(etcd) = Etcd::new("what_is_no_etcd_is_left_in_time", 1, &[]) else { return };
    let endless = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    let slow = server(|mut stream| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".iter().chain([b' '; 1000].iter()) {
            std::thread::sleep(Duration::from_millis(20));
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    let json = "HTTP/1.1 200 OK\r\nContent-Length: ";
    let says = |body: &str| -> &'static str { format!("{json}{}\r\n\r\n{body}", body.len()).leak() };
    let wrong = [
        ("rubbish", saying("\u{1}\u{2}nothing at all\r\n\r\n")),
        ("nothing", saying("")),
        ("half an answer", saying("HTTP/1.1 200 OK\r\nContent-Length: 111\r\n\r\n{\"header\":{")),
        ("no end", endless),
        ("byte by byte", slow),
        ("not JSON", saying(says("<html>"))),
        ("no header", saying(says("{}"))),
        ("a number that is none", saying(says("{\"header\":{\"cluster_id\":\"many\"}}"))),
        ("not found", saying("HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nNot Found\n")),
    ];
    for (name, address) in &wrong {
        let before = Instant::now();
        let mut one = by(&[address], short);
        let error = one.read().unwrap_err();
        assert!(!error.is_unknown() && !error.hint().is_empty(), "{name}: {error:?}");
        let is_understood = matches!(error.kind(), Kind::Malformed { .. });
        assert!(is_understood || matches!(error.kind(), Kind::Unreachable { .. }), "{name}: {error:?}");
        assert!(*name != "no end" || is_understood, "it is not read until its time is over: {error:?}");
        assert!(one.swap(0, &record(1, "nowhere")).unwrap_err().is_unknown(), "{name}");
        assert!(before.elapsed() < short * 2 + PATIENT / 10, "{name}: {:?}", before.elapsed());
        let mut both = by(&[address, etcd.client(1)], short.max(PATIENT / 10));
        assert_eq!(both.read().unwrap().record, None, "{name}");
    }
    // Values that are not base64, a transaction that has read nothing, a lease of no time.
    let header = "\"header\":{\"cluster_id\":\"5\",\"revision\":\"3\"}";
    for body in [
        format!("{{{header},\"kvs\":[{{\"key\":\"*\"}}]}}"),
        format!("{{{header},\"succeeded\":true}}"),
        format!("{{{header},\"ID\":\"7\"}}"),
        format!("{{\"result\":{{{header},\"ID\":\"8\",\"TTL\":\"1\"}}}}"),
    ] {
        let address = saying(says(&body));
        let lease = rig::coordinator::Lease { id: 7, ttl: short };
        let errors = [
            by(&[&address], short).swap(0, &record(1, "nowhere")).unwrap_err(),
            by(&[&address], short).grant(ONE, short).unwrap_err(),
            by(&[&address], short).keep_alive(&lease).unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_unknown() && matches!(error.kind(), Kind::Malformed { .. }), "{body}: {error:?}");
        }
    }
}

#[test]
fn a_member_that_says_no_for_now_is_left_for_the_next_and_one_that_says_it_for_all_is_believed() {
    let Some(etcd) = Etcd::new("a_member_that_says_no", 1, &[]) else { return };
    let no = |code: u32, message: &str| {
        let body = json!({ "error": message, "code": code, "message": message }).to_string();
        saying(format!("HTTP/1.1 503 No\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak())
    };
    // Whether it may go away, and whether it may have been done.
    for (code, message, is_transient, is_unknown) in [
        (14, "etcdserver: request timed out", true, true),
        (14, "etcdserver: leader changed", true, true),
        (2, "raft proposal dropped", true, true),
        (14, "etcdserver: no leader", true, false),
        (8, "etcdserver: too many requests", true, false),
        (8, "etcdserver: mvcc: database space exceeded", false, false),
        (7, "etcdserver: permission denied", false, false),
    ] {
        let member = no(code, message);
        let error = by(&[&member], PATIENT).swap(0, &record(1, "nowhere")).unwrap_err();
        assert_eq!((error.is_transient(), error.is_unknown()), (is_transient, is_unknown), "{error:?}");
        assert!(error.to_string().contains(message) && error.to_string().contains(&member), "{error}");
        let next = by(&[&member, etcd.client(1)], PATIENT).read();
        assert_eq!(next.is_ok(), is_transient, "{message}: {next:?}");
        // What may have been done before is not undone by the word of another one.
        let mut both = by(&[&saying(""), &member], PATIENT);
        assert!(both.swap(0, &record(1, "nowhere")).unwrap_err().is_unknown(), "{message}");
    }
}
