//! A coordinator in daily use: wrong flags, a wrong prefix, an etcd that is not there yet, wants a user, or speaks TLS; and
//! what clients find by it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Coordinated, Etcd, Home, Link, Node, Ran, has};
use crate::tls::{make, make_ca};
use crate::wire::Wire;

const SEMI: &[&str] = &["--sync-timeout", "300ms"];

fn serve(home: &Home, dir: &str, more: &[&str]) -> Ran {
    home.run(&[&["serve", "--json", "-D", dir, "--listen", "127.0.0.1:0"], more].concat())
}

#[test]
fn flags_that_do_not_go_together_are_refused_before_anything_is_done() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    home.file("password", "secret\n");
    home.file("empty", "\n");
    let url = "etcd://127.0.0.1:1/rig/a";
    for (flags, words) in [
        (&["--coordinator-lease", "2s"][..], "need --coordinator URL"),
        (&["--coordinator-ca", "ca.pem"], "need --coordinator URL"),
        (&["--coordinator", "http://127.0.0.1:1/rig"], "etcd://"),
        (&["--coordinator", "etcd://127.0.0.1:1"], "prefix is missing"),
        (&["--coordinator", "etcd://rig:secret@127.0.0.1:1/rig"], "--coordinator-password FILE"),
        (&["--coordinator", "etcd://rig@127.0.0.1:1/rig/a"], "--coordinator-password FILE"),
        (&["--coordinator", url, "--coordinator-password", "password"], "user and password go together"),
        (&["--coordinator", "etcds://127.0.0.1:1/rig/a"], "--coordinator-ca FILE"),
        (&["--coordinator", url, "--coordinator-ca", "ca.pem"], "etcds://"),
        (&["--coordinator", url, "--coordinator-lease", "999ms"], "from 1.0s to 1m0s"),
        (&["--coordinator", url, "--coordinator-lease", "2m"], "from 1.0s to 1m0s"),
        (&["--coordinator", "etcd://rig@127.0.0.1:1/a", "--coordinator-password", "none"], "none"),
        (&["--coordinator", "etcd://rig@127.0.0.1:1/a", "--coordinator-password", "empty"], "first line"),
        (&["--coordinator", "etcds://127.0.0.1:1/a", "--coordinator-ca", "password"], "--coordinator-ca password"),
        (&["--coordinator", "etcds://127.0.0.1:1/a", "--coordinator-ca", "none.pem"], "--coordinator-ca none.pem"),
    ] {
        let ran = serve(&home, "n1", flags);
        assert_eq!(ran.code, Some(2), "{flags:?}: {ran:#?}");
        assert!(ran.stderr.contains(words) && !ran.stderr.contains(":secret"), "{flags:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("--tls-ca") && !ran.stderr.contains("leave it out"), "{flags:?}: {}", ran.stderr);
    }
    // The same in the file of the directory.
    home.file("n1/rig.toml", "coordinator_lease = \"2s\"\n");
    let ran = serve(&home, "n1", &[]);
    assert!(ran.code == Some(2) && ran.stderr.contains("need --coordinator URL"), "{ran:#?}");
}

#[test]
fn the_record_of_a_cluster_is_not_taken_by_another_one() {
    let Some(etcd) = Etcd::new("the_record_of_a_cluster", 1, &[]) else { return };
    let home = Home::new();
    let urls = ["/rig/a", "/rig/b"].map(|prefix| etcd.address(prefix).to_string());
    let mut nodes: Vec<Node> = Vec::new();
    for (dir, url) in [("a1", &urls[0]), ("b1", &urls[1])] {
        home.ok(&["init", dir]);
        nodes.push(Node::serve(&home, &["-D", dir, "--role", "primary", "--coordinator", url]));
        home.ok(&["wait", "ready", "-N", nodes.last().unwrap().url()]);
        home.ok(&["apply", "user_put", "--data", "{\"id\":\"x\"}", "-N", url]);
    }
    let records = || urls.each_ref().map(|url| home.ok(&["coordinator", "show", url, "--json"]).json());
    let before = records();
    // One more primary of no cluster.
    home.ok(&["init", "a2"]);
    let second = serve(&home, "a2", &["--role", "primary", "--coordinator", &urls[0]]);
    assert_eq!(second.code, Some(2), "{second:#?}");
    for words in [before[0]["record"]["cluster_id"].as_str().unwrap(), "--role replica --peer", "another prefix"] {
        assert!(second.stderr.contains(words), "{words}: {}", second.stderr);
    }
    // It has gone by no record, so it may give another prefix.
    let third =
        Node::serve(&home, &["-D", "a2", "--role", "primary", "--coordinator", &etcd.address("/rig/c").to_string()]);
    home.ok(&["wait", "ready", "-N", third.url()]);
    drop(third);
    // One of another cluster, whose prefix was mistaken.
    nodes.pop();
    let other = serve(&home, "b1", &["--coordinator", &urls[0]]);
    assert_eq!(other.code, Some(2), "{other:#?}");
    assert!(other.stderr.contains("give the prefix /rig/b"), "{}", other.stderr);
    let after = records();
    assert_eq!((&before[0]["record"], &before[1]["record"]), (&after[0]["record"], &after[1]["record"]));
    // With its own it opens again.
    let again = Node::serve(&home, &["-D", "b1", "--coordinator", &urls[1]]);
    home.ok(&["wait", "ready", "-N", again.url()]);
    let seen = home.run(&["coordinator", "show", "etcd://127.0.0.1:1/rig/a", "--json"]);
    assert_eq!((seen.code, &seen.error()["code"]), (Some(4), &json!("unreachable")), "{seen:#?}");
    let none = home.run(&["coordinator", "show", &etcd.address("/rig/none").to_string(), "--json"]);
    assert_eq!((none.code, &none.error()["code"]), (Some(3), &json!("not_found")), "{none:#?}");
}

#[test]
fn of_two_fresh_primaries_the_one_that_comes_second_joins_as_it_is_told() {
    let test = "of_two_fresh_primaries";
    let Some(etcd) = Etcd::new(test, 1, &[]) else { return };
    let home = Home::new();
    let url = etcd.address("/rig/race").to_string();
    // Both have seen no record, and want to write the first one.
    let names = ["n1", "n2"];
    let addresses = names.map(|_| Link::free_address());
    etcd.signal(1, "STOP");
    let mut nodes = std::array::from_fn::<_, 2, _>(|at| {
        home.ok(&["init", names[at]]);
        let flags = ["-D", names[at], "--role", "primary", "--coordinator", &url, "--listen", &addresses[at]];
        let mut command = home.rig(&[&["serve", "--json"], &flags[..]].concat());
        let log = std::fs::File::create(home.path(&format!("{}.log", names[at]))).unwrap();
        command.stdout(std::process::Stdio::null()).stderr(log);
        Some(command.spawn().unwrap())
    });
    std::thread::sleep(Duration::from_secs(2));
    etcd.signal(1, "CONT");
    let deadline = Instant::now() + Duration::from_secs(20);
    let ended = |node: &mut Option<std::process::Child>| node.as_mut().unwrap().try_wait().unwrap();
    let (lost, code) = loop {
        let found = nodes.iter_mut().enumerate().find_map(|(at, node)| Some((at, ended(node)?.code())));
        match found {
            Some(found) => break found,
            None => assert!(Instant::now() < deadline, "both go on"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = std::fs::read_to_string(home.path(&format!("{}.log", names[lost]))).unwrap();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--role replica --peer URL"), "{said}");
    let meta = std::fs::read_to_string(home.path(&format!("{}/meta.json", names[lost]))).unwrap();
    assert!(meta.contains("\"cluster_id\":null"), "{meta}");
    let winner = format!("http://{}", addresses[1 - lost]);
    home.ok(&["wait", "ready", "-N", &winner]);
    let peer = ["--role", "replica", "--peer", &winner];
    let joined = Node::serve(&home, &[&["-D", names[lost], "--coordinator", &url][..], &peer].concat());
    home.ok(&["wait", "in-sync", "-N", joined.url(), "--timeout", "20s"]);
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"x\"}", "-N", &url]);
    let record = home.ok(&["coordinator", "show", &url, "--json"]).json()["record"].clone();
    assert_eq!(record["in_sync"][0]["name"], names[lost], "{record:#}");
    for child in nodes.iter_mut().flatten() {
        // One has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn a_node_whose_coordinator_is_not_there_yet_says_so_and_opens_when_it_comes() {
    let test = "a_node_whose_coordinator_is_not_there_yet";
    let Some(mut etcd) = Etcd::new(test, 1, &[]) else { return };
    etcd.kill(1);
    let home = Home::new();
    home.ok(&["init", "n1"]);
    // In the file of the directory, this time.
    let url = etcd.address("/rig/late").to_string();
    home.file("n1/rig.toml", format!("coordinator = \"{url}\"\ncoordinator_lease = \"2s\"\n"));
    let (listen, stdout) = (Link::free_address(), home.path("stdout"));
    let mut block = home.rig(&["serve", "-D", "n1", "--role", "primary", "--listen", &listen]);
    let mut child =
        block.stdout(std::fs::File::create(&stdout).unwrap()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let said = loop {
        let said = std::fs::read_to_string(&stdout).unwrap();
        if said.contains("state ") || Instant::now() > deadline {
            break said;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    child.kill().and_then(|()| child.wait()).unwrap();
    assert!(said.contains(&format!("recovering, waits for the coordinator ({url}: etcd at ")), "{said}");
    let node = Node::serve(&home, &["-D", "n1", "--role", "primary"]);
    let status = || Wire::open(node.address()).unwrap().get("/status").unwrap().data();
    let seen = status();
    assert_eq!((&seen["state"], &seen["coordinator"]["url"]), (&json!("recovering"), &json!(url)), "{seen:#}");
    assert!(seen["coordinator"]["why"].as_str().is_some_and(|why| why.contains("refused")), "{seen:#}");
    let refused = Wire::open(node.address()).unwrap().operation("user_put", "{\"id\":\"a\"}", None).unwrap();
    assert_eq!((refused.status, &*refused.code()), (503, "recovering"), "{refused:?}");
    for (member, words) in [("detail", "waits for the coordinator"), ("hint", "bring the coordinator back")] {
        assert!(refused.json()[member].as_str().is_some_and(|said| said.contains(words)), "{refused:?}");
    }
    let text = home.ok(&["status", "-N", node.url()]).stdout;
    for words in
        ["of no use since", "waits for   the coordinator\n", "next        bring etcd back: this node opens by itself"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let promoted = home.run(&["promote", "-N", node.url()]);
    assert!(
        promoted.stderr.contains("bring the coordinator back") && !promoted.stderr.contains("missing"),
        "{promoted:#?}"
    );
    assert_eq!(seen["waits_for"], json!([]), "{seen:#}");
    etcd.spawn(1);
    etcd.wait(1);
    home.ok(&["wait", "ready", "-N", node.url()]);
    assert_eq!(Wire::open(node.address()).unwrap().operation("user_put", "{\"id\":\"a\"}", None).unwrap().status, 200);
    let lease = status()["coordinator"]["lease_left_ms"].as_u64();
    assert!(lease <= Some(2000), "{lease:?}");
    // Without a URL it is that of the node; of one that does not run, that of its file.
    assert_eq!(home.ok(&["coordinator", "show", "-D", "n1", "--json"]).json()["url"], json!(url));
    drop(node);
    let shown = home.ok(&["coordinator", "show", "-D", "n1", "--json"]).json();
    assert_eq!((&shown["url"], &shown["record"]["primary"]["name"]), (&json!(url), &json!("n1")), "{shown:#}");
}

#[test]
fn a_coordinator_that_wants_a_user_or_speaks_tls_is_used_by_nodes_and_commands() {
    let test = "a_coordinator_that_wants_a_user_or_speaks_tls";
    if !has("openssl", test) {
        return;
    }
    let Some(etcd) = Etcd::new(test, 1, &["--bcrypt-cost", "4"]) else { return };
    etcd.post(1, "/v3/auth/user/add", &json!({ "name": "root", "password": "of root" }));
    etcd.post(1, "/v3/auth/user/grant", &json!({ "user": "root", "role": "root" }));
    etcd.post(1, "/v3/auth/enable", &json!({}));
    let home = Home::new();
    home.file("password", "of root\n");
    home.file("wrong", "of nobody\n");
    home.ok(&["init", "n1"]);
    let url = etcd.address("/rig/a").to_string().replace("etcd://", "etcd://root@");
    // A wrong password, or none, is what the node waits for, and says.
    for (url, password) in [(url.replace("root@", ""), None), (url.clone(), Some("wrong"))] {
        let flags = ["-D", "n1", "--role", "primary", "--coordinator", &url];
        let password: Vec<&str> = password.into_iter().flat_map(|file| ["--coordinator-password", file]).collect();
        let node = Node::serve(&home, &[&flags[..], &password].concat());
        let status = Wire::open(node.address()).unwrap().get("/status").unwrap().data();
        assert_eq!(status["state"], "recovering");
        let why = status["coordinator"]["why"].as_str().unwrap();
        assert!(why.contains("user name is empty") || why.contains("authentication failed"), "{why}");
    }
    let flags = ["-D", "n1", "--role", "primary", "--coordinator", &url, "--coordinator-password", "password"];
    let node = Node::serve(&home, &flags);
    home.ok(&["wait", "ready", "-N", node.url()]);
    let refused = home.run(&["coordinator", "show", &url]);
    assert!(refused.code == Some(2) && refused.stderr.contains("RIG_COORDINATOR_PASSWORD_FILE"), "{refused:#?}");
    for (file, code) in [("wrong", 11), ("password", 0)] {
        let mut command = home.rig(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "-N", &url]);
        command.env("RIG_COORDINATOR_PASSWORD_FILE", file);
        let ran = crate::support::run(command, b"");
        assert_eq!(ran.code, Some(code), "{file}: {ran:#?}");
        assert!(!format!("{ran:?}{}", home.serve_log()).contains("of root"));
    }
    drop((node, etcd));

    let (home, address) = (Home::new(), Link::free_address());
    ["ca", "other"].iter().for_each(|name| make_ca(&home, name));
    make(&home, "etcd", "ca", &format!("IP:{}", address.split_once(':').unwrap().0), 10);
    home.ok(&["init", "n1"]);
    let files = ["ca.pem", "other.pem"].map(|name| home.path(name).to_str().unwrap().to_owned());
    let nodes = Home::new();
    nodes.ok(&["init", "n1"]);
    let etcd = Etcd::secure(home, address);
    let url = etcd.address("/rig/a").to_string();
    assert!(url.starts_with("etcds://"));
    let flags =
        |ca| ["-D", "n1", "--role", "primary", "--coordinator", &url, "--coordinator-ca", ca].map(str::to_owned);
    let start = |ca| Node::serve(&nodes, &flags(ca).each_ref().map(String::as_str));
    let other = start(&files[1]);
    let status = Wire::open(other.address()).unwrap().get("/status").unwrap().data();
    assert_eq!((&status["state"], &status["coordinator"]["reachable"]), (&json!("recovering"), &json!(false)));
    drop(other);
    let node = start(&files[0]);
    nodes.ok(&["wait", "ready", "-N", node.url()]);
    let shown = nodes.ok(&["coordinator", "show", &url, "--tls-ca", &files[0], "--json"]).json();
    assert_eq!(shown["record"]["primary"]["name"], "n1");
    let refused = nodes.run(&["coordinator", "show", &url]);
    assert!(refused.code == Some(2) && refused.stderr.contains("--tls-ca FILE"), "{refused:#?}");
}

#[test]
fn a_pair_without_its_coordinator_is_not_as_asked() {
    let Some(mut pair) = Coordinated::new("a_pair_without_its_coordinator", "1s", SEMI) else { return };
    let check =
        |pair: &Coordinated| [1, 2].map(|number| pair.cluster.run(number, &["status", "--check"]).code.unwrap());
    pair.cluster.settle();
    assert_eq!(check(&pair), [0, 0]);
    pair.lose_etcd();
    assert_eq!(check(&pair), [12, 12], "nobody can take over now");
    assert_eq!(pair.cluster.put(1, "goes-on")["durability"], "sync");
    pair.bring_etcd_back();
    (1..=2).for_each(|number| _ = pair.until_reachable(number, true));
    assert_eq!(check(&pair), [0, 0]);
}

/// Whether `/readyz?role=primary` says yes.
fn is_ready(pair: &Coordinated, number: usize) -> bool {
    let address = pair.cluster.url(number);
    let reply =
        Wire::open(address.strip_prefix("http://").unwrap()).and_then(|mut wire| wire.get("/readyz?role=primary"));
    reply.is_ok_and(|reply| reply.status == 200)
}

#[test]
fn clients_find_the_primary_by_the_record_also_during_a_fail_over() {
    let Some(mut pair) = Coordinated::new("clients_find_the_primary", "1s", SEMI) else { return };
    let url = pair.etcd.address("/rig/pair").to_string();
    let apply = |pair: &Coordinated, id: &str| {
        let data = format!("{{\"id\":\"{id}\"}}");
        pair.cluster.home.run(&["apply", "user_put", "--data", &data, "-N", &url, "--json"])
    };
    let applied = apply(&pair, "a");
    assert_eq!((applied.code, &applied.json()["durability"]), (Some(0), &json!("sync")), "{applied:#?}");
    let status = pair.cluster.home.ok(&["status", "-N", &url, "--json"]).json();
    assert_eq!((&status["name"], &status["role"]), (&json!("n1"), &json!("primary")));
    assert_eq!((is_ready(&pair, 1), is_ready(&pair, 2)), (true, false));
    // A replica that has lost its link still sends clients on.
    pair.cluster.cut();
    pair.cluster.until(2, |status| status["peers"][0]["connected"] == false);
    let advertised = pair.record().0["primary"]["url"].as_str().unwrap().to_owned();
    let sent_on = pair.cluster.request(2, "b", "kb", 1000).unwrap();
    assert_eq!((sent_on.status, sent_on.header("Location")), (307, Some(&*format!("{advertised}/do"))), "{sent_on:?}");
    pair.cluster.heal();
    pair.cluster.settle();

    // During a fail-over never both, and in the end the other one.
    pair.cluster.kill(1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_ready(&pair, 2) {
        assert!(Instant::now() < deadline, "{:#}", pair.cluster.seen(2));
        // Nobody leads, or the one of the record does not answer.
        let reply = pair.cluster.request(2, "b", "kb", 1000).unwrap();
        assert!(matches!(reply.status, 200 | 307 | 503), "{reply:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let applied = apply(&pair, "c");
    assert_eq!((applied.code, &applied.json()["durability"]), (Some(0), &json!("degraded")), "{applied:#?}");
    let status = pair.cluster.home.ok(&["status", "-N", &url, "--json"]).json();
    assert_eq!((&status["name"], &status["coordinator"]["leased"]), (&json!("n2"), &json!(true)), "{status:#}");
    // Who comes back is not ready as primary at any time, though it was one.
    pair.cluster.serve(1, &[]);
    let mut ready = 0;
    while pair.cluster.seen(1)["state"] != "in_sync" {
        ready += usize::from(is_ready(&pair, 1));
        assert!(Instant::now() < deadline, "{:#}", pair.cluster.seen(1));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!((ready, is_ready(&pair, 1), is_ready(&pair, 2)), (0, false, true));
}
