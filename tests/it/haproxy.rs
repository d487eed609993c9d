//! `rig help haproxy` in front of two nodes: writes follow the primary, and nothing that was answered is lost.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Etcd, Home, Link, Node, has, run};
use crate::wire::{Wire, get, post};

const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(1);
/// What the proxy needs to find another primary, on a machine that has other things to do.
const FINDS: Duration = Duration::from_secs(4);

/// The configuration as it is printed, and with addresses of this test in the place of those.
fn configurations(home: &Home, writes: &str, reads: &str, nodes: [&str; 2]) -> [String; 2] {
    let printed = home.ok(&["help", "haproxy"]).stdout;
    let own = [
        ("127.0.0.1:7439", writes),
        ("127.0.0.1:7438", reads),
        ("127.0.0.1:7440", nodes[0]),
        ("127.0.0.1:7441", nodes[1]),
    ];
    let changed = own.iter().fold(printed.clone(), |text, (from, to)| {
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    });
    [printed, changed]
}

/// The proxy; ended with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends one operation through the proxy, again with its key until it is answered, and gives what was seen before.
fn put(proxy: &str, id: &str) -> (Vec<u16>, Duration) {
    let (start, mut before) = (Instant::now(), Vec::new());
    loop {
        let sent = Wire::open(proxy).and_then(|mut wire| {
            // As any client does, by the address that it dials: that is none of the nodes'.
            let body = format!(r#"{{"method":"user_put","data":{{"id":"{id}"}}}}"#);
            let request = post("/do", &format!("Content-Type: application/json\r\nIdempotency-Key: {id}\r\n"), &body);
            wire.send(request.replacen("localhost", proxy, 1).as_bytes())?;
            wire.reply()
        });
        match sent.map(|reply| reply.status) {
            Ok(200) => return (before, start.elapsed()),
            Ok(status) => before.push(status),
            // Its connection was closed.
            Err(_) => before.push(0),
        }
        assert!(start.elapsed() < PATIENCE, "{id} is not answered: {before:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until(address: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = Wire::open(address).and_then(|mut wire| wire.get("/status")).map(|reply| reply.data());
        match status {
            Ok(status) if wanted(&status) => return,
            status => assert!(Instant::now() < deadline, "{status:#?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn writes_through_haproxy_follow_the_primary_when_it_is_killed_and_when_it_stops() {
    let test = "writes_through_haproxy_follow_the_primary_when_it_is_killed_and_when_it_stops";
    if !has("haproxy", test) {
        return;
    }
    let Some(etcd) = Etcd::new(test, 1, &[]) else { return };
    let home = Home::new();
    let [n1, n2, writes, reads] = [(); 4].map(|()| Link::free_address());
    let settings = format!("coordinator = \"etcd://{}/rig/behind\"\ncoordinator_lease = \"1s\"\n", etcd.client(1));
    let serve = |dir: &str, address: &str, flags: &[&str]| {
        Node::serve(&home, &[&["-D", dir, "--listen", address], flags].concat())
    };
    for dir in ["n1", "n2"] {
        home.ok(&["init", dir]);
        home.file(&format!("{dir}/rig.toml"), &settings);
    }
    let mut one = serve("n1", &n1, &["--role", "primary"]);
    let mut two = serve("n2", &n2, &["--role", "replica", "--peer", one.url()]);
    until(&n2, |status| status["state"] == "in_sync");

    let [printed, changed] = configurations(&home, &writes, &reads, [&n1, &n2]);
    for text in [&printed, &changed] {
        let file = home.file("haproxy.cfg", text);
        let ran = run(home.command("haproxy", &["-c", "-f", file.to_str().unwrap()]), b"");
        assert_eq!((ran.code, ran.stderr.contains("WARNING")), (Some(0), false), "{ran:#?}");
    }
    let file = home.path("haproxy.cfg");
    let mut command = home.command("haproxy", &["-db", "-f", file.to_str().unwrap()]);
    let _proxy = Proxy(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    put(&writes, "first");
    // It has looked at both by now: from here on each write must find the primary at once.
    std::thread::sleep(Duration::from_millis(1200));
    for n in 0..10 {
        assert!(put(&writes, &format!("steady-{n}")).0.is_empty(), "it knows who leads");
    }

    one.kill();
    let (before, took) = put(&writes, "killed");
    assert!(took < LEASE + FINDS, "{took:?}: {before:?}");
    assert!(!before.contains(&307), "it was sent to a replica, which says where to go: {before:?}");
    until(&n2, |status| status["role"] == "primary");

    one = serve("n1", &n1, &[]);
    until(&n1, |status| status["state"] == "in_sync");
    two.signal("TERM");
    let (before, took) = put(&writes, "stopped");
    assert!(took < FINDS, "{took:?}: {before:?}");
    assert_eq!(two.wait(), Some(0));
    // Before its term is open it has not applied what the other one has answered last.
    until(&n1, |status| status["role"] == "primary" && status["state"] == "degraded");

    // Reads find a node too, and everything that was answered is there.
    let ids = ["first", "killed", "stopped", "steady-9"];
    for id in ids {
        let mut wire = Wire::open(&reads).unwrap();
        wire.send(get(&format!("/data/user/{id}"), "").replacen("localhost", &reads, 1).as_bytes()).unwrap();
        assert_eq!(wire.reply().unwrap().data()["id"], id);
    }
    assert!(one.is_alive());
}
