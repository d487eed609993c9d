//! One client that takes all it can get, and the others, who feel nothing of it. Every address of loopback is a client.

use std::time::{Duration, Instant};

use rig::limits::{CLIENT_CONNECTIONS_MAX, CONNECTIONS_MAX, HEARD_CONNECTIONS_MAX, IN_FLIGHT_OPS_MAX};

use crate::garbage;
use crate::support::{Cluster, Home, Node};
use crate::wire::{Reply, Wire};

const ONE: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];
const THIRD: [u8; 4] = [127, 0, 0, 3];

/// A value of `GET /metrics`, which everybody is answered.
fn counter(address: &str, name: &str) -> f64 {
    let text = Wire::open(address).unwrap().get("/metrics").unwrap().body;
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn put(client: [u8; 4], address: &str, id: &str) -> Reply {
    Wire::open_from(client, address).unwrap().operation("user_put", &format!("{{\"id\":\"{id}\"}}"), None).unwrap()
}

/// Opens so many connections that each have a place.
fn crowd(client: [u8; 4], address: &str, count: usize) -> Vec<Wire> {
    let mut wires: Vec<_> = (0..count).map(|_| Wire::open_from(client, address).unwrap()).collect();
    for wire in &mut wires {
        let reply = wire.get("/").unwrap();
        assert_eq!((reply.status, reply.header("Connection")), (200, None), "{reply:?}");
    }
    wires
}

/// It has no place: it is told so, and what an operator or a peer asks is answered all the same.
fn is_only_heard(client: [u8; 4], address: &str, why: &str) {
    let refused = put(client, address, "refused");
    assert_eq!((refused.status, &*refused.code()), (503, "overloaded"), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains(why), "{refused:?}");
    let fields = ["Retry-After", "Connection"].map(|name| refused.header(name));
    assert!(fields[0].is_some() && fields[1] == Some("close"), "{refused:?}");
    for path in ["/status", "/healthz", "/readyz", "/metrics"] {
        let reply = Wire::open_from(client, address).unwrap().get(path).unwrap();
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")), "{path}: {reply:?}");
    }
    assert!(garbage::Call::open_from(client, address).is_some(), "a peer's call finds a place");
}

#[test]
fn a_client_that_opens_all_connections_it_can_locks_out_neither_others_nor_peers_nor_operators() {
    let home = Home::new();
    let node = Node::new(&home);
    let address = node.address();
    let one = crowd(ONE, address, CLIENT_CONNECTIONS_MAX);
    is_only_heard(ONE, address, "for one client");
    assert_eq!(put(OTHER, address, "a").status, 200);
    let status = home.ok(&["status", "--json"]).json();
    assert_eq!(status["state"], "serving");

    // It goes on, and says nothing on any of them: whoever asks at once is heard.
    let silent: Vec<_> = (0..3 * HEARD_CONNECTIONS_MAX).map(|_| Wire::open_from(ONE, address).unwrap()).collect();
    is_only_heard(ONE, address, "for one client");
    assert_eq!(put(OTHER, address, "a").status, 200);
    let made_way = 2 * HEARD_CONNECTIONS_MAX as u64;
    let refused = counter(address, "rig_http_connections_refused_total");
    assert!(refused > made_way as f64, "{refused} were refused, {made_way} had to make way");
    let connections = counter(address, "rig_http_connections");
    assert!(connections <= (CLIENT_CONNECTIONS_MAX + HEARD_CONNECTIONS_MAX) as f64, "{connections}");
    drop(silent);
    // Who makes way after it was answered, and before it has gone, has had no place of its own either.
    let answered: Vec<_> = (0..3 * HEARD_CONNECTIONS_MAX)
        .map(|_| {
            let mut wire = Wire::open_from(ONE, address).unwrap();
            assert_eq!(wire.get("/healthz").unwrap().status, 200);
            wire
        })
        .collect();
    is_only_heard(ONE, address, "for one client");
    drop(answered);

    // Two together take every place.
    let two = crowd(OTHER, address, CONNECTIONS_MAX - CLIENT_CONNECTIONS_MAX);
    is_only_heard(THIRD, address, "that is the limit");
    assert!(home.serve_log().contains("is only heard"), "{}", home.serve_log());
    drop((one, two));
    let deadline = Instant::now() + Duration::from_secs(10);
    while put(ONE, address, "b").status != 200 {
        assert!(Instant::now() < deadline, "places are not given back");
    }
    assert_eq!(put(THIRD, address, "c").status, 200);
}

#[test]
fn a_client_with_as_many_operations_in_flight_as_it_can_have_leaves_room_for_another() {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "40s", "--request-timeout", "40s"]);
    let address = cluster.url(1).strip_prefix("http://").unwrap().to_owned();
    // Nothing is answered while the replica stands still.
    cluster.node(2).signal("STOP");
    let line = |n: usize| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n}\"}}}}\n");
    let batch: String = (0..IN_FLIGHT_OPS_MAX).map(line).collect();
    let mut giant = Wire::open_from(ONE, &address).unwrap();
    giant.send(crate::wire::post("/do", "Content-Type: application/x-ndjson\r\n", &batch).as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while counter(&address, "rig_in_flight_ops") < IN_FLIGHT_OPS_MAX as f64 {
        assert!(Instant::now() < deadline, "the batch is not taken");
    }
    let over = put(ONE, &address, "over");
    assert_eq!((over.status, &*over.code()), (503, "overloaded"), "{over:?}");
    let detail = over.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("from 127.0.0.1"), "{detail}");
    let mut other = Wire::open_from(OTHER, &address).unwrap();
    other.send(crate::wire::post("/do", "Content-Type: application/json\r\n", line(0).trim()).as_bytes()).unwrap();
    while counter(&address, "rig_in_flight_ops") <= IN_FLIGHT_OPS_MAX as f64 {
        assert!(Instant::now() < deadline, "the other one's operation is not taken");
    }
    cluster.node(2).signal("CONT");
    let all = giant.reply().unwrap().lines();
    assert_eq!(all.len(), IN_FLIGHT_OPS_MAX);
    assert!(all.iter().all(|line| line["status"] == 200), "{:?}", all.iter().find(|line| line["status"] != 200));
    assert_eq!(other.reply().unwrap().status, 200);
    assert_eq!(put(ONE, &address, "again").status, 200);
}
