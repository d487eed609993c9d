//! What needs no etcd: addresses, the text of a record, base64, and what a connection must not tell.

use proptest::prelude::*;

use super::*;
use crate::limits::{MEMBERS_MAX, NUMBER_MAX};
use crate::replication::Register;
use crate::types::{ClusterId, Epoch, Mode};

fn node(number: u8) -> Node {
    Node { id: NodeId([number; 16]), name: format!("n{number}"), url: format!("http://n{number}:7440") }
}

fn record() -> Record {
    let epoch = |number, owner| Epoch { number, owner: NodeId([owner; 16]), start: 0 };
    Record {
        cluster: ClusterId([7; 16]),
        write: "0192".to_owned(),
        primary: node(1),
        in_sync: vec![node(2), node(3)],
        register: Register {
            epoch: epoch(3, 1),
            set: vec![node(2).id, node(3).id],
            open: false,
            mode: Mode::SemiSync,
            end: (epoch(2, 2), 17),
        },
    }
}

#[test]
fn an_address_is_read_with_user_several_hosts_and_the_port_of_etcd() {
    for (text, endpoints, prefix, user) in [
        ("etcd://a/rig", "http://a:2379", "/rig", None),
        (
            "etcd://a:1,b,[::1],[::1]:2/rig/one/",
            "http://a:1 http://b:2379 http://[::1]:2379 http://[::1]:2",
            "/rig/one",
            None,
        ),
        ("etcds://me@a/x", "https://a:2379", "/x", Some("me")),
    ] {
        let address = Address::parse(text).unwrap();
        let urls: Vec<String> = address.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!((&*urls.join(" "), address.prefix(), address.user()), (endpoints, prefix, user), "{text}");
        assert_eq!((address.to_string(), address.is_secure()), (text.to_owned(), text.starts_with("etcds")));
    }
}

#[test]
fn what_is_no_address_is_refused_and_a_password_is_not_repeated() {
    for (text, why) in [
        ("http://a/rig", BadAddress::Scheme),
        ("a:2379/rig", BadAddress::Scheme),
        ("etcd://me:secret@a/rig", BadAddress::Password),
        ("etcd://me:sec/r@t@a/rig", BadAddress::Password),
        ("etcd://@a/rig", BadAddress::User),
        ("etcd://m e@a/rig", BadAddress::User),
        ("etcd:///rig", BadAddress::Endpoint),
        ("etcd://a,/rig", BadAddress::Endpoint),
        ("etcd://a:/rig", BadAddress::Endpoint),
        ("etcd://[::1]:/rig", BadAddress::Endpoint),
        ("etcd://a:0/rig", BadAddress::Endpoint),
        ("etcd://a,http://b/rig", BadAddress::Endpoint),
        ("etcd://a", BadAddress::NoPrefix),
        ("etcd://a/", BadAddress::NoPrefix),
        ("etcd://a//rig", BadAddress::Prefix),
        ("etcd://a/rig//one", BadAddress::Prefix),
        ("etcd://a/rig?x", BadAddress::Prefix),
    ] {
        assert_eq!(Address::parse(text), Err(why), "{text}");
        assert!(!why.to_string().contains("sec"), "{why}");
    }
    assert_eq!(Address::parse(&format!("etcd://a/{}", "x".repeat(513))), Err(BadAddress::Prefix));
    assert!(BadAddress::Password.to_string().contains("--coordinator-password FILE"));
}

#[test]
fn a_record_is_read_back_from_its_text_which_stays_as_it_is() {
    let text = record().to_json();
    assert_eq!(Record::from_json(text.as_bytes()), Ok(record()));
    let open = Record { register: Register { open: true, ..record().register }, ..record() };
    assert_eq!(Record::from_json(open.to_json().as_bytes()), Ok(open));
    let id = |number: &str| number.repeat(16);
    let line: String = text.lines().map(str::trim).collect();
    assert_eq!(
        line,
        format!(
            concat!(
                r#"{{"format": 1,"cluster_id": "{}","epoch": {{"number": 3,"owner": "{one}","start": 0}},"#,
                r#""primary": {{"id": "{one}","name": "n1","url": "http://n1:7440"}},"#,
                r#""in_sync": [{{"id": "{two}","name": "n2","url": "http://n2:7440"}},"#,
                r#"{{"id": "{}","name": "n3","url": "http://n3:7440"}}],"mode": "semi-sync","phase": "electing","#,
                r#""previous_end": {{"epoch": {{"number": 2,"owner": "{two}","start": 0}},"version": 17}},"write": "0192"}}"#,
            ),
            id("07"),
            id("03"),
            one = id("01"),
            two = id("02"),
        )
    );
}

#[test]
fn what_is_no_record_is_refused_with_its_reason() {
    let text = record().to_json();
    let one = node(1).id.to_string();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Record::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert_eq!(changed("\"format\": 1", "\"format\": 2"), BadRecord::Format(2));
    assert!(changed("\"format\": 1", "\"format\": 2").hint().contains("release"));
    let later = br#"{"format":9,"whatever":[]}"#;
    assert_eq!(Record::from_json(later), Err(BadRecord::Format(9)), "whatever else is in it");
    for (from, to) in [
        ("\"format\": 1,", ""),
        ("\"mode\"", "\"modus\""),
        ("\"mode\"", "\"more\": 1, \"mode\""),
        ("electing", "closed"),
        ("semi-sync", "some"),
        ("\"version\": 17", "\"version\": -1"),
        (&one[..2], "zz"),
        ("}", ""),
    ] {
        assert!(matches!(changed(from, to), BadRecord::Json(_)), "{from} to {to}");
    }
    let two = node(2).id.to_string();
    for (from, to) in [
        (&*format!("\"owner\": \"{one}\""), &*format!("\"owner\": \"{two}\"")),
        (&format!("\"id\": \"{}\"", node(3).id), &format!("\"id\": \"{two}\"")),
        (&format!("\"id\": \"{}\"", node(3).id), &format!("\"id\": \"{one}\"")),
        ("\"number\": 2", "\"number\": 4"),
        ("\"0192\"", "\"\""),
        ("\"n1\"", "\"n\\n1\""),
    ] {
        assert!(matches!(changed(from, to), BadRecord::Contradiction(_)), "{from} to {to}");
    }
    let long = changed("\"n1\"", &format!("\"{}\"", "n".repeat(1025)));
    assert!(matches!(long, BadRecord::Contradiction(_)));
    assert!(Record::from_json(b"\xff").is_err() && Record::from_json(b"").is_err());
}

#[test]
fn what_is_too_large_is_refused_with_what_it_is() {
    let text = record().to_json();
    for (what, from) in [
        ("epoch.number", "\"number\": 3"),
        ("epoch.start", "\"start\": 0"),
        ("previous_end.epoch.number", "\"number\": 2"),
        ("previous_end.version", "\"version\": 17"),
    ] {
        assert!(text.contains(from), "{from}");
        let with = |number: u64| {
            let to = format!("{}: {number}", from.split_once(':').unwrap().0);
            Record::from_json(text.replacen(from, &to, 1).as_bytes())
        };
        for found in [NUMBER_MAX + 1, u64::MAX] {
            let why = with(found).unwrap_err();
            assert_eq!(why, BadRecord::TooLarge { what, found, most: NUMBER_MAX });
            assert!(why.to_string().contains(&format!("{what} is {found}")), "{why}");
        }
        assert!(!matches!(with(NUMBER_MAX), Err(BadRecord::TooLarge { .. })), "{what}");
    }
    let nodes: Vec<Node> = (2..=255).map(node).collect();
    let named = |count: usize| {
        let in_sync = nodes[..count].to_vec();
        let set = in_sync.iter().map(|node| node.id).collect();
        Record { in_sync, register: Register { set, ..record().register }, ..record() }
    };
    let most = named(MEMBERS_MAX);
    assert_eq!(Record::from_json(most.to_json().as_bytes()), Ok(most));
    let why = Record::from_json(named(200).to_json().as_bytes()).unwrap_err();
    assert!(why.to_string().contains("in_sync names 200 nodes"), "{why}");
}

#[test]
fn the_reason_is_one_short_line_whatever_is_there() {
    let rubbish = format!("{{\"format\":1,\"\\u001b[2J\\n{}\":1}}", "x".repeat(1 << 16));
    for text in [rubbish.as_str(), "\"\\u001b[2J\""] {
        let said = Record::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(said.len() < 300 && !said.contains(char::is_control), "{said}");
    }
}

/// Numbers near to every bound.
fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        any::<u64>(),
        (NUMBER_MAX - 2)..(NUMBER_MAX + 3),
        (i64::MAX as u64 - 2)..(i64::MAX as u64 + 3),
        (u64::MAX - 2)..=u64::MAX,
    ]
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let id = |number: usize| NodeId([(number % 251) as u8 + 1; 16]).to_string();
    let nodes = prop_oneof![0..4_usize, MEMBERS_MAX - 1..MEMBERS_MAX + 2, 20..40_usize, 240..270_usize];
    let numbers = [any_number(), any_number(), any_number(), any_number(), any_number()];
    let text = prop_oneof![Just("n".to_owned()), ".{0,8}", Just("x".repeat(1025))];
    (numbers, nodes, 0..3_usize, text, any::<bool>()).prop_map(
        move |([number, start, before, before_start, version], nodes, owner, text, is_open)| {
            let node = |number| serde_json::json!({ "id": id(number), "name": text, "url": "http://n:1" });
            serde_json::json!({
                "format": 1,
                "cluster_id": ClusterId([7; 16]),
                "epoch": { "number": number, "owner": id(owner), "start": start },
                "primary": node(0),
                "in_sync": (1..=nodes).map(node).collect::<Vec<_>>(),
                "mode": "semi-sync",
                "phase": if is_open { "open" } else { "electing" },
                "previous_end": {
                    "epoch": { "number": before, "owner": id(1), "start": before_start },
                    "version": version,
                },
                "write": "w",
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_of_the_right_shape_is_within_bounds_or_refused(json in any_json()) {
        if let Ok(record) = Record::from_json(json.to_string().as_bytes()) {
            let Register { epoch, end: (before, version), set, .. } = &record.register;
            prop_assert!(set.len() <= MEMBERS_MAX);
            let numbers = [epoch.number, epoch.start, before.number, before.start, *version];
            prop_assert!(numbers.iter().all(|number| *number <= NUMBER_MAX));
            prop_assert_eq!(Record::from_json(record.to_json().as_bytes()), Ok(record));
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Record::from_json(&bytes).is_err());
    }
}

#[test]
#[should_panic(expected = "contradicts itself")]
fn a_record_whose_set_is_another_than_its_nodes_is_not_written() {
    let mut record = record();
    record.register.set.pop();
    record.to_json();
}

#[test]
fn base64_is_that_of_the_standard() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(bytes.as_bytes()), text);
        assert_eq!(unbase64(text).as_deref(), Some(bytes.as_bytes()));
    }
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unbase64(&base64(&all)), Some(all));
    for text in ["Z", "Zg", "Zg=", "Zg==Zg==", "Z===", "====", "Zh==", "Zm9=", "Zm-v", "Zm9v\n", "Z=9v", "ü==="] {
        assert_eq!(unbase64(text), None, "{text}");
    }
}

#[test]
fn no_password_is_shown() {
    let options = Options { password: Some("secret".to_owned()), trust: None, timeout: Duration::from_secs(1) };
    let address = Address::parse("etcd://me@a/rig").unwrap();
    let shown = format!("{options:?} {:?}", Coordinator::new(address, options.clone()));
    assert!(!shown.contains("secret") && shown.contains("2379"), "{shown}");
}

mod served {
    //! Against a server that plays etcd where a real one does so too seldom.

    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// One connection: each request is answered with the next of these bodies. The requests' heads and bodies come back.
    fn played(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let answer = |body: &str| {
                let mut piece = [0; 16 << 10];
                let mut request = String::new();
                while !request.ends_with('}') {
                    let n = stream.read(&mut piece).unwrap();
                    assert!(n > 0, "{request}");
                    request.push_str(std::str::from_utf8(&piece[..n]).unwrap());
                }
                let status = if body.contains("\"code\"") { "401 No" } else { "200 OK" };
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
                request
            };
            answers.into_iter().map(answer).collect()
        });
        (address, requests)
    }

    fn client(address: &str) -> Coordinator {
        let address = Address::parse(&format!("etcd://{address}/rig")).unwrap();
        let options = Options { password: Some("secret".to_owned()), trust: None, timeout: Duration::from_secs(10) };
        Coordinator::new(address, options)
    }

    #[test]
    fn a_node_s_key_is_written_only_over_what_is_older_than_its_lease() {
        let granted = r#"{"header":{"cluster_id":"5","revision":"40"},"ID":"7","TTL":"3"}"#;
        let newer = r#"{"header":{"cluster_id":"5","revision":"45"},"responses":[{"response_range":{"kvs":[{"key":"YQ==","lease":"6"}]}}]}"#;
        let own = r#"{"header":{"cluster_id":"5","revision":"46"},"responses":[{"response_range":{"kvs":[{"key":"YQ==","lease":"7"}]}}]}"#;
        let (address, requests) = played(vec![granted, newer, own]);
        let lease = client(&address).grant(node(1).id, Duration::from_millis(2001)).unwrap();
        assert_eq!(lease, Lease { id: 7, ttl: Duration::from_secs(3) });
        let requests = requests.join().unwrap();
        assert!(requests[0].starts_with("POST /v3/lease/grant") && requests[0].contains(r#""TTL":"3""#));
        for (request, older) in [(&requests[1], "41"), (&requests[2], "46")] {
            assert!(request.contains(r#""result":"LESS""#), "{request}");
            assert!(request.contains(&format!(r#""mod_revision":"{older}""#)), "{request}");
            assert!(request.contains(r#""lease":"7""#), "{request}");
        }
    }

    #[test]
    fn a_token_that_is_not_taken_is_renewed_once() {
        let token = r#"{"header":{"cluster_id":"5"},"token":"one.1"}"#;
        let other = r#"{"header":{"cluster_id":"5"},"token":"two.2"}"#;
        let read = r#"{"header":{"cluster_id":"5","revision":"1"}}"#;
        let no = r#"{"error":"etcdserver: invalid auth token","code":16,"message":"etcdserver: invalid auth token"}"#;
        let (address, requests) = played(vec![token, read, no, other, no]);
        let mut one = client(&format!("me@{address}"));
        one.read().unwrap();
        let error = one.read().unwrap_err();
        assert!(matches!(error.kind(), Kind::Refused { .. }), "{error:?}");
        let requests = requests.join().unwrap();
        assert!(requests[0].contains(r#"{"name":"me","password":"secret"}"#) && !requests[0].contains("Authorization"));
        let token_of =
            |request: &String| request.lines().find_map(|line| line.strip_prefix("Authorization: ").map(str::to_owned));
        let tokens: Vec<_> = requests.iter().map(token_of).collect();
        let [one, two] = ["one.1", "two.2"].map(|token| Some(token.to_owned()));
        assert_eq!(tokens, [None, one.clone(), one, None, two]);
    }

    /// What a read says of this answer.
    fn read(answer: &'static str) -> Result<Reading, Error> {
        let (address, requests) = played(vec![answer]);
        let answer = client(&address).read();
        requests.join().unwrap();
        answer
    }

    #[test]
    fn a_number_that_etcd_cannot_have_is_no_answer() {
        let held = r#"{"header":{"cluster_id":"18446744073709551615","revision":"4611686018427387904"},"kvs":[{"key":"L3JpZy94","mod_revision":"1","lease":"-7"}]}"#;
        assert_eq!(read(held).unwrap().store_revision, NUMBER_MAX);
        for answer in [
            r#"{"header":{"cluster_id":"5","revision":"18446744073709551615"}}"#,
            r#"{"header":{"cluster_id":"5","revision":"4611686018427387905"}}"#,
            r#"{"header":{"cluster_id":"5","revision":"-1"}}"#,
            r#"{"header":{"cluster_id":"5","revision":"1"},"kvs":[{"key":"L3JpZy9yZWNvcmQ=","mod_revision":"18446744073709551615"}]}"#,
            r#"{"header":{"cluster_id":"5","revision":"1"},"kvs":[{"key":"L3JpZy9yZWNvcmQ=","mod_revision":"9223372036854775807"}]}"#,
            r#"{"header":{"cluster_id":"5","revision":"1"},"kvs":[{"key":"L3JpZy9yZWNvcmQ=","mod_revision":"1","lease":"18446744073709551615"}]}"#,
            r#"{"header":{"cluster_id":"-5","revision":"1"}}"#,
            r#"{"header":{"cluster_id":"5","revision":1e3}}"#,
            r#"{"header":[],"kvs":{}}"#,
        ] {
            let error = read(answer).unwrap_err();
            assert!(matches!(error.kind(), Kind::Malformed { .. }), "{answer}: {error:?}");
            assert!(error.to_string().contains("/v3/kv/range"), "{error}");
        }
    }

    #[test]
    fn a_lease_that_lasts_for_ever_or_less_than_nothing_is_none() {
        for ttl in ["3601", "9223372036854775807", "18446744073709551615", "-1"] {
            let granted = format!(r#"{{"header":{{"cluster_id":"5","revision":"40"}},"ID":"7","TTL":"{ttl}"}}"#);
            let kept = format!(r#"{{"result":{granted}}}"#);
            let (address, requests) = played(vec![granted.leak()]);
            let error = client(&address).grant(node(1).id, Duration::from_secs(2)).unwrap_err();
            assert!(matches!(error.kind(), Kind::Malformed { .. }) && error.is_unknown(), "{ttl}: {error:?}");
            requests.join().unwrap();
            let (address, requests) = played(vec![kept.leak()]);
            let lease = Lease { id: 7, ttl: Duration::from_secs(2) };
            let error = client(&address).keep_alive(&lease).unwrap_err();
            assert!(matches!(error.kind(), Kind::Malformed { .. }), "{ttl}: {error:?}");
            requests.join().unwrap();
        }
    }

    /// What a read says of a server that sends these bytes, and then some of them for ever or nothing, and does not close.
    fn said_to(bytes: Vec<u8>, then: &'static [u8]) -> Result<Reading, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("etcd://{}/rig", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut piece = [0; 16 << 10];
            let _ = stream.read(&mut piece).unwrap();
            // The client goes when it has had enough.
            let _ = stream.write_all(&bytes);
            while !then.is_empty() && stream.write_all(then).is_ok() {}
            while stream.read(&mut piece).is_ok_and(|n| n > 0) {}
        });
        let options = Options { password: None, trust: None, timeout: Duration::from_secs(1) };
        let mut client = Coordinator::new(address, options);
        let begin = std::time::Instant::now();
        let said = client.read();
        assert!(begin.elapsed() < Duration::from_secs(5), "it waited for {:?}", begin.elapsed());
        drop(client);
        server.join().unwrap();
        said
    }

    #[test]
    fn whatever_a_server_sends_is_an_error_in_time_and_in_few_bytes() {
        let whole =
            |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let headed = |rest: &str| whole(&format!(r#"{{"header":{{"cluster_id":"5","revision":"1"}},{rest}}}"#));
        let keys = |key: &str, value: &str| {
            headed(&format!(r#""kvs":[{{"key":"{key}","mod_revision":"1","value":"{value}"}}]"#))
        };
        let record = base64(b"/rig/record");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let redirect = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
        for (name, bytes, then) in [
            ("deep", whole(&"[".repeat(900_000)), &b""[..]),
            ("deep below a field that nobody reads", headed(&format!("\"more\":{}", "[".repeat(900_000))), b""),
            ("a deep record", keys(&record, &base64("{\"format\":1,\"x\":".repeat(20_000).as_bytes())), b""),
            ("a large record", keys(&record, &base64(&vec![b' '; 700_000])), b""),
            ("no base64", keys("=====", ""), b""),
            ("half of base64", keys(&record, "Z"), b""),
            ("too large", whole(&" ".repeat(2 << 20)), b""),
            (
                "announced as too large",
                b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_vec(),
                b" ",
            ),
            ("chunks without end", chunked.clone(), b"1\r\n \r\n"),
            ("large chunks without end", chunked.clone(), b"8\r\n        \r\n"),
            ("one endless size", chunked.clone(), b"0"),
            ("a chunk of more than there is", [&chunked[..], b"ffffffff\r\n"].concat(), b" "),
            ("trailers without end", [&chunked[..], b"0\r\n"].concat(), b"a: b\r\n"),
            ("a head without end", b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n"),
            ("heads without end", vec![], b"HTTP/1.1 100 Go on\r\n\r\n"),
            ("a redirect", redirect, b""),
            ("another protocol", b"HTTP/1.1 101 Go\r\n\r\n".to_vec(), b" "),
            ("nothing", vec![], b""),
            ("a body that ends with the connection", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b" "),
            ("keys that are none", headed(r#""kvs":{"a":1}"#), b""),
            ("null", headed(r#""kvs":null"#), b""),
            ("numbers for texts", headed(r#""kvs":[{"key":7}]"#), b""),
        ] {
            let error = said_to(bytes, then).expect_err(name);
            assert!(error.to_string().len() < 400 && !error.is_unknown(), "{name}: {error}");
        }
        // Many keys of others are read over, and do not grow with what is in them.
        let others = format!(r#"{{"key":"{}","lease":"1"}},"#, base64(b"/rig/leases/x")).repeat(15_000);
        let reading = said_to(headed(&format!(r#""kvs":[{}]"#, others.trim_end_matches(','))), b"").unwrap();
        assert_eq!(reading.leases, []);
    }

    #[test]
    fn what_stands_behind_an_answer_is_not_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for revision in 1..=2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    let mut piece = [0; 4096];
                    let n = stream.read(&mut piece).unwrap();
                    request.extend_from_slice(&piece[..n]);
                }
                let answer = |revision: u64| {
                    let body = format!(r#"{{"header":{{"cluster_id":"5","revision":"{revision}"}}}}"#);
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                };
                stream.write_all(format!("{}{}", answer(revision), answer(99)).as_bytes()).unwrap();
            }
        });
        let mut client = client(&address);
        let seen = [(); 2].map(|()| client.read().unwrap().store_revision);
        assert_eq!(seen, [1, 2]);
        server.join().unwrap();
    }

    #[test]
    fn a_token_that_would_be_more_than_one_line_is_none() {
        let token = r#"{"header":{"cluster_id":"5"},"token":"one\r\nX-Other: 1"}"#;
        let (address, requests) = played(vec![token]);
        let error = client(&format!("me@{address}")).read().unwrap_err();
        assert!(matches!(error.kind(), Kind::Malformed { .. }), "{error:?}");
        assert_eq!(requests.join().unwrap().len(), 1);
    }
}
