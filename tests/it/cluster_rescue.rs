//! `rig rescue`: records that only a lost primary had, from where they are set aside to where they are in the log.

use serde_json::json;

use crate::support::Cluster;

/// A pair whose `n1` is primary and whose `n2` has set three records aside, two of them with keys of their clients.
fn with_a_rescue_file() -> (Cluster, String) {
    let mut cluster = Cluster::new(2, &["--replication", "sync", "--sync-timeout", "30s"]);
    cluster.put(1, "a");
    cluster.ok(1, &["promote", "n2"]);
    cluster.wait(1, "in-sync");
    cluster.kill(1);
    for key in ["k-1", "k-2"] {
        let data = format!("{{\"id\":\"{key}\",\"n\":1.50}}");
        let ran =
            cluster.run(2, &["apply", "user_create", "--data", &data, "--key", key, "--timeout", "300ms", "--json"]);
        assert_eq!((ran.code, &ran.error()["key"]), (Some(7), &json!(key)), "{ran:#?}");
    }
    let body = "{\"method\":\"user_put\",\"data\":{\"id\":\"keyless\"}}";
    let (length, address) = (body.len(), cluster.url(2));
    let head = format!(
        "POST /do HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nRig-Timeout-Ms: 200\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
        address.strip_prefix("http://").unwrap()
    );
    let mut stream = std::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    cluster.kill(2);
    cluster.serve(1, &["--role", "replica"]);
    cluster.ok(1, &["promote", "n1"]);
    cluster.serve(2, &["--role", "replica"]);
    cluster.wait(2, "in-sync");
    let listed = cluster.home.ok(&["rescue", "ls", "-D", "n2", "--json"]).json();
    for (member, value) in [
        ("type", json!("rescue")),
        ("node", json!("n2")),
        ("records", json!(3)),
        ("acknowledged", json!({"yes": 0, "no": 0, "unknown": 3})),
        ("replayed_at", json!(null)),
    ] {
        assert_eq!(listed[member], value, "{listed}");
    }
    assert_eq!(listed["to"].as_u64().unwrap() - listed["from"].as_u64().unwrap(), 2);
    let file = listed["file"].as_str().unwrap().to_owned();
    (cluster, file)
}

#[test]
fn what_was_set_aside_is_shown_and_replayed_with_its_own_keys_once() {
    let (mut cluster, file) = with_a_rescue_file();
    assert!(cluster.home.ok(&["status", "n2"]).stdout.contains("1 file with records that were set aside"));
    // The same from the directory, by name, and over the network.
    let url = cluster.url(2);
    for place in [["-D", "n2"], ["-N", "n2"], ["-N", &url]] {
        let lines = cluster.home.ok(&[&["rescue", "show", &file, "--json"], &place[..]].concat()).lines();
        let keys: Vec<_> = lines.iter().map(|line| line["key"].clone()).collect();
        assert_eq!(keys, [json!("k-1"), json!("k-2"), json!(null)]);
        // The process that wrote them is gone, and with it what it told to whom.
        assert!(lines.iter().all(|line| line["acknowledged"] == "unknown"));
        let missing = cluster.home.run(&[&["rescue", "show", "x.ndjson"], &place[..]].concat());
        assert_eq!(missing.code, Some(3), "{missing:#?}");
        let listed = cluster.home.ok(&[&["rescue", "ls"], &place[..]].concat()).stdout;
        assert!(listed.contains(&file) && listed.contains("3 unknown"), "{listed}");
    }
    // One of the clients has asked again meanwhile.
    let again = ["apply", "user_create", "--data", "{\"id\":\"k-1\",\"n\":1.50}", "--key", "k-1", "--json"];
    assert_eq!(cluster.ok(1, &again).json()["replayed"], false);

    let replay = ["rescue", "replay", &file, "-D", "n2", "--json"];
    let lines = cluster.home.ok(&replay).lines();
    let summary = json!({"type":"summary","ok":3,"replayed":1,"rejected":0,"unknown":0,"skipped":0});
    assert_eq!(lines.last(), Some(&summary));
    let noted = cluster.home.ok(&["rescue", "ls", "-D", "n2", "--json"]).json()["replayed_at"].clone();
    assert!(noted.is_string());
    // Its spelling is kept.
    let record = cluster.ok(1, &["log", "dump", "--type", "user", "--id", "k-2", "--json"]).stdout;
    assert!(record.contains("{\"id\":\"k-2\",\"n\":1.50}"), "{record}");
    let last = cluster.home.ok(&replay).lines().pop().unwrap();
    assert_eq!((&last["ok"], &last["replayed"]), (&json!(3), &json!(3)));
    assert_eq!(cluster.ok(1, &["ls", "user", "--json"]).lines().len(), 4);

    // A node that does not run: read from its directory, sent through another node of its cluster.
    cluster.node(2).signal("TERM");
    assert_eq!(cluster.node(2).wait(), Some(0));
    assert_eq!(cluster.home.ok(&["rescue", "show", &file, "-D", "n2", "--json"]).lines().len(), 3);
    let ran = cluster.home.run(&[&replay[..], &["--timeout", "2s"]].concat());
    assert_eq!(ran.lines().pop().unwrap()["replayed"], 3, "{ran:#?}");
    cluster.node(1).signal("TERM");
    assert_eq!(cluster.node(1).wait(), Some(0));
    let ran = cluster.home.run(&replay);
    assert_eq!((ran.code, &ran.error()["code"]), (Some(4), &json!("not_running")), "{ran:#?}");
}

#[test]
fn what_no_longer_fits_is_rejected_and_the_file_is_not_marked() {
    let (cluster, file) = with_a_rescue_file();
    cluster.put(1, "k-2");
    let ran = cluster.home.run(&["rescue", "replay", &file, "-D", "n2", "--json"]);
    assert_eq!(ran.code, Some(6), "{ran:#?}");
    let lines = ran.lines();
    assert!(lines.iter().any(|line| line["type"] == "rejected" && line["code"] == "exists" && line["line"] == 2));
    let last = lines.last().unwrap();
    assert_eq!((&last["ok"], &last["rejected"]), (&json!(2), &json!(1)));
    let listed = cluster.home.ok(&["rescue", "ls", "-N", "n2", "--json"]).json();
    assert_eq!(listed["replayed_at"], json!(null));
}

#[test]
fn a_node_without_rescue_files_says_so_and_another_cluster_gets_nothing() {
    let (cluster, file) = with_a_rescue_file();
    let none = cluster.home.ok(&["rescue", "ls", "-D", "n1"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("nothing was set aside"), "{none:#?}");
    assert_eq!(cluster.home.run(&["rescue", "show", "-D", "none", &file]).code, Some(3));
    assert_eq!(cluster.home.run(&["rescue", "ls", "-N", "http://127.0.0.1:1"]).code, Some(4));
    // The directory of a cluster of its own, with a file of this one in it.
    cluster.home.ok(&["init", "n3"]);
    let mut stranger = crate::support::Node::serve(&cluster.home, &["-D", "n3"]);
    stranger.kill();
    std::fs::create_dir_all(cluster.home.path("n3/rescue")).unwrap();
    let from = cluster.home.path(&format!("n2/rescue/{file}"));
    std::fs::copy(from, cluster.home.path(&format!("n3/rescue/{file}"))).unwrap();
    let ran = cluster.home.run(&["rescue", "replay", "-D", "n3", &file, "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (Some(4), &json!("not_running")), "{ran:#?}");
}

#[test]
fn what_a_primary_wrote_before_and_after_a_restart_alone_is_replayed_without_its_own_records() {
    let mut cluster = Cluster::new(2, &["--replication", "async"]);
    cluster.put(1, "both");
    cluster.until(2, |status| status["log"]["durable"] == cluster.seen(1)["log"]["durable"]);
    cluster.kill(2);
    cluster.put(1, "alone");
    cluster.kill(1);
    cluster.serve(2, &[]);
    cluster.force(2);
    // It knows nothing of that yet, and begins a term of its own: a record among those that are set aside.
    cluster.serve(1, &[]);
    assert_eq!(cluster.settle(), 2);
    let listed = cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json();
    let file = listed["file"].as_str().unwrap();
    let shown = cluster.home.ok(&["rescue", "show", file, "-D", "n1", "--json"]).lines();
    let own = shown.iter().filter(|line| line["method"].as_str().unwrap().starts_with("rig_")).count();
    let ran = cluster.home.ok(&["rescue", "replay", file, "-D", "n1", "--json"]);
    let summary = json!({"type":"summary","ok":1,"replayed":0,"rejected":0,"unknown":0,"skipped":own});
    assert_eq!(ran.lines().last(), Some(&summary), "{ran:#?}");
    assert!(cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json()["replayed_at"].is_string());
    assert_eq!(cluster.ok(2, &["ls", "user", "--json"]).lines().len(), 2);
}
