//! An etcd that does only a part of what a node asks for: who may write the record may perhaps not write its lease.

use std::time::{Duration, Instant};

use rig::client::{Client, Options, Request, Url};
use serde_json::{Value, json};

use crate::support::{Etcd, Home, Node, base64};
use crate::wire::Wire;

/// Long enough for a fault that comes and goes to be seen, and for many leases to be granted in vain.
const WHILE: Duration = Duration::from_secs(4);

/// Keys of the etcd that this user may write, and read.
struct Grants<'a> {
    read: &'a str,
    write: &'a str,
}

/// A range of everything that begins with this, or the key itself.
fn permission(kind: &str, key: &str) -> Value {
    let end = format!("{}0", key.strip_suffix('/').unwrap_or_default());
    match key.ends_with('/') {
        true => json!({ "permType": kind, "key": base64(key), "range_end": base64(&end) }),
        false => json!({ "permType": kind, "key": base64(key) }),
    }
}

/// An etcd that wants a user, and one user with these rights.
fn guarded(test: &str, home: &Home, grants: &Grants<'_>) -> Option<Etcd> {
    let etcd = Etcd::new(test, 1, &["--bcrypt-cost", "4"])?;
    for (name, password) in [("root", "of root"), ("me", "of me")] {
        etcd.post(1, "/v3/auth/user/add", &json!({ "name": name, "password": password }));
    }
    etcd.post(1, "/v3/auth/user/grant", &json!({ "user": "root", "role": "root" }));
    etcd.post(1, "/v3/auth/role/add", &json!({ "name": "some" }));
    for (kind, key) in [("READ", grants.read), ("WRITE", grants.write)] {
        etcd.post(1, "/v3/auth/role/grant", &json!({ "name": "some", "perm": permission(kind, key) }));
    }
    etcd.post(1, "/v3/auth/user/grant", &json!({ "user": "me", "role": "some" }));
    etcd.post(1, "/v3/auth/enable", &json!({}));
    home.file("password", "of me\n");
    Some(etcd)
}

/// As root.
fn as_root(etcd: &Etcd, path: &str, body: &Value) -> Value {
    let url = Url::parse(etcd.client(1)).unwrap();
    let ask = |request: Request| {
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = Client::new(url.clone(), Options::default()).send(&request, deadline).unwrap();
        assert!(answer.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let who = json!({ "name": "root", "password": "of root" }).to_string();
    let token = ask(Request::post("/v3/auth/authenticate", who))["token"].as_str().unwrap().to_owned();
    ask(Request::post(path, body.to_string()).header("Authorization", token))
}

fn serve(home: &Home, etcd: &Etcd) -> Node {
    let url = etcd.address("/rig/a").to_string().replace("etcd://", "etcd://me@");
    let more = ["--coordinator", &url, "--coordinator-password", "password", "--coordinator-lease", "10s"];
    Node::serve(home, &[&["-D", "n1", "--role", "primary"][..], &more].concat())
}

fn events(node: &Node) -> Vec<String> {
    let lines = Wire::open(node.address()).unwrap().get("/events").unwrap().lines();
    lines.iter().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_lease_that_cannot_be_held_is_said_once_and_the_record_is_of_use() {
    let home = Home::new();
    let grants = Grants { read: "/rig/a/", write: "/rig/a/record" };
    let Some(etcd) = guarded("a_lease_that_cannot_be_held", &home, &grants) else { return };
    home.ok(&["init", "n1"]);
    let node = serve(&home, &etcd);
    home.ok(&["wait", "ready", "-N", node.url()]);
    let until = Instant::now() + WHILE;
    let mut whys = Vec::new();
    while Instant::now() < until {
        let own = Wire::open(node.address()).unwrap().get("/status").unwrap().data()["coordinator"].clone();
        assert_eq!((&own["reachable"], own["record"].is_object()), (&json!(true), true), "{own:#}");
        whys.extend(own["why"].as_str().map(str::to_owned));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(whys.last().is_some_and(|why| why.contains("lease") && why.contains("permission denied")), "{whys:?}");
    let seen = events(&node);
    assert!(!seen.iter().any(|name| name.starts_with("coordinator-")), "{seen:?}");
    let said = home.serve_log().matches("the lease of this node").count();
    assert_eq!(said, 1, "{}", home.serve_log());
    let leases = as_root(&etcd, "/v3/lease/leases", &json!({}));
    assert!(leases["leases"].as_array().is_none_or(|leases| leases.len() <= 1), "{leases:#}");
    // People read it too.
    let text = home.ok(&["status", "-N", node.url()]).stdout;
    assert!(text.contains("permission denied") && !text.contains("of no use"), "{text}");
    let checked = home.run(&["doctor", "--json", "-N", node.url()]);
    assert!(checked.lines().iter().any(|line| line.to_string().contains("permission denied")), "{checked:#?}");
    // And it is held as soon as it can be.
    let perm = permission("READWRITE", "/rig/a/");
    as_root(&etcd, "/v3/auth/role/grant", &json!({ "name": "some", "perm": perm }));
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let own = Wire::open(node.address()).unwrap().get("/status").unwrap().data()["coordinator"].clone();
        if own["lease_left_ms"].is_u64() && own["why"].is_null() && own["leased"] == true {
            break;
        }
        assert!(Instant::now() < deadline, "{own:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_record_that_can_be_read_and_not_written_is_of_no_use_all_the_time() {
    let home = Home::new();
    let grants = Grants { read: "/rig/a/", write: "/rig/a/leases/" };
    let Some(etcd) = guarded("a_record_that_can_be_read", &home, &grants) else { return };
    home.ok(&["init", "n1"]);
    let node = serve(&home, &etcd);
    let until = Instant::now() + WHILE;
    let mut is_away = false;
    while Instant::now() < until {
        let own = Wire::open(node.address()).unwrap().get("/status").unwrap().data()["coordinator"].clone();
        let is_so = own["why"].as_str().is_some_and(|why| why.contains("permission denied"));
        assert!(is_so || !is_away, "it was away, and is back: {own:#}");
        is_away |= is_so;
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = events(&node);
    let of_it: Vec<_> = seen.iter().filter(|name| name.starts_with("coordinator-")).collect();
    assert_eq!(of_it, ["coordinator-away"], "{seen:?}");
    let perm = permission("READWRITE", "/rig/a/");
    as_root(&etcd, "/v3/auth/role/grant", &json!({ "name": "some", "perm": perm }));
    home.ok(&["wait", "ready", "-N", node.url()]);
    let seen = events(&node);
    let of_it: Vec<_> = seen.iter().filter(|name| name.starts_with("coordinator-")).collect();
    assert_eq!(of_it, ["coordinator-away", "coordinator-back"], "{seen:?}");
}
