//! Secrets: who may see a node's files, how tokens are replaced while it runs, and that none of them is ever told.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Home, Node, RIG, run};
use crate::wire::Wire;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts a file of tokens in the place of another, as people are told to.
fn put_tokens(home: &Home, name: &str, text: &str) {
    let new = home.file(&format!("{name}.new"), text);
    chmod(&new, 0o600);
    std::fs::rename(new, home.path(name)).unwrap();
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every file and folder below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if found[at].is_dir() {
            found.extend(std::fs::read_dir(&found[at]).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

#[test]
fn what_a_node_writes_is_its_owners_alone_whatever_the_umask() {
    for umask in ["022", "000"] {
        let home = Home::new();
        let under = |line: &str| home.command("sh", &["-c", &format!("umask {umask}; exec {RIG} {line}")]);
        for name in ["n1", "n2", "n3"] {
            assert_eq!(run(under(&format!("init {name}")), b"").code, Some(0));
        }
        let mut one = Node::spawn(&home, under("serve -D n1 --listen 127.0.0.1:0 --json"));
        let second = format!("serve -D n2 --listen 127.0.0.1:0 --json --role replica --peer {}", one.url());
        let mut two = Node::spawn(&home, under(&second));
        home.ok(&["wait", "in-sync", "-N", "n1", "--timeout", "20s"]);
        let lines: String = (0..1500)
            .map(|nth| {
                format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{nth}\",\"text\":\"{}\"}}}}\n", "x".repeat(64))
            })
            .collect();
        assert_eq!(home.run_with(&["apply", "--batch", "-", "-q", "-N", "n1"], lines.as_bytes()).code, Some(0));
        // What each has acknowledged alone, what is set aside, and the snapshot of an orderly stop.
        two.kill();
        home.ok(&["apply", "user_put", "--data", "{\"id\":\"alone\"}", "-N", "n1"]);
        one.kill();
        let mut two = Node::spawn(&home, under("serve -D n2 --listen 127.0.0.1:0 --json"));
        home.ok(&["promote", "n2", "--accept-data-loss", "--confirm", "n2"]);
        home.ok(&["apply", "user_put", "--data", "{\"id\":\"b\"}", "-N", "n2"]);
        let back = format!("serve -D n1 --listen 127.0.0.1:0 --json --role replica --peer {}", two.url());
        let mut one = Node::spawn(&home, under(&back));
        until("the alone record is set aside", || {
            home.ok(&["status", "-N", "n1", "--json"]).json()["rescued"].as_u64() > Some(0)
        });
        two.signal("TERM");
        one.signal("TERM");
        assert_eq!((one.wait(), two.wait()), (Some(0), Some(0)));
        assert_eq!(run(under("node start ./n3 --listen 127.0.0.1:0"), b"").code, Some(0));
        let found: Vec<_> = ["n1", "n2", "n3"].iter().flat_map(|name| below(&home.path(name))).collect();
        home.ok(&["node", "stop", "./n3"]);
        for name in ["rescue", "snapshots", "state", "run"] {
            let parent = |path: &PathBuf| path.parent().is_some_and(|parent| parent.ends_with(name));
            assert!(found.iter().any(parent), "nothing is in {name}: {found:#?}");
        }
        for path in found {
            // A file that was temporary is gone by now.
            let Ok(of) = std::fs::metadata(&path) else { continue };
            let (mode, allowed) = (of.permissions().mode() & 0o7777, if of.is_dir() { 0o700 } else { 0o600 });
            assert_eq!(mode, allowed, "{mode:o} {} under umask {umask}", path.display());
        }
    }
}

#[test]
fn what_others_can_enter_or_read_is_not_served_and_the_remedy_is_named() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    for mode in [0o755, 0o750, 0o701] {
        chmod(&home.path("n1"), mode);
        let ran = home.run(&["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--json"]);
        let error = ran.error();
        assert_eq!((ran.code, &error["code"]), (Some(2), &json!("open_to_others")), "{ran:#?}");
        let remedy = format!("chmod 700 {}", home.path("n1").display());
        assert!(error["hint"].as_str().unwrap().ends_with("n1") && remedy.contains("chmod 700"), "{error}");
        assert_eq!(error["hint"], json!(remedy));
    }
    chmod(&home.path("n1"), 0o700);
    let tokens = home.file("tokens", "ops admin a-token\n");
    chmod(&tokens, 0o640);
    let line = ["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--tokens", "tokens", "--json"];
    let ran = home.run(&line);
    assert_eq!((ran.code, &ran.error()["hint"]), (Some(2), &json!("chmod 600 tokens")), "{ran:#?}");
    chmod(&tokens, 0o600);
    let mut node = Node::serve(&home, &["-D", "n1", "--tokens", "tokens"]);
    node.kill();
    // Nor is a segment taken that leads elsewhere.
    let segment = home.path("n1/log/00000000000000000001.log");
    std::fs::rename(&segment, home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path("elsewhere"), &segment).unwrap();
    let ran = home.run(&line);
    assert!(ran.code.is_some_and(|code| code != 0), "{ran:#?}");
}

#[test]
fn tokens_are_replaced_while_the_node_runs() {
    let home = Home::new();
    home.ok(&["init"]);
    put_tokens(&home, "tokens", "ops admin the-first\nviewer read the-readers\n");
    let node = Node::serve(&home, &["--tokens", "tokens"]);
    let mut kept = Wire::open(node.address()).unwrap();
    assert_eq!(kept.get_with("/status", &bearer("the-first")).unwrap().status, 200);
    let mut followers = ["the-first", "the-readers"].map(|token| {
        let mut wire = Wire::open(node.address()).unwrap();
        wire.send(crate::wire::get("/log?follow=1", &bearer(token)).as_bytes()).unwrap();
        assert_eq!(wire.head().unwrap().status, 200);
        assert!(!wire.chunk().unwrap().is_empty());
        wire
    });
    put_tokens(&home, "tokens", "ops admin the-second\nviewer read the-readers\n");
    let mut fresh = Wire::open(node.address()).unwrap();
    until("the new token is known", || fresh.get_with("/status", &bearer("the-second")).unwrap().status == 200);
    // On a connection that was open all the time the old one means nothing any more, and the new one does.
    assert_eq!(kept.get_with("/status", &bearer("the-first")).unwrap().status, 401);
    assert_eq!(kept.get_with("/status", &bearer("the-second")).unwrap().status, 200);
    // A stream ends with its token, and only then.
    let [gone, stays] = &mut followers;
    assert!(gone.chunk().is_err(), "the stream of a token that is gone goes on");
    let put = kept.post(
        "/do",
        &format!("Content-Type: application/json\r\n{}", bearer("the-second")),
        "{\"method\":\"user_put\",\"data\":{\"id\":\"a\"}}",
    );
    assert_eq!(put.unwrap().status, 200);
    assert!(!stays.chunk().unwrap().is_empty());
    let events = fresh.get_with("/events", &bearer("the-second")).unwrap().lines();
    let applied = events.iter().find(|event| event["event"] == "config").unwrap();
    assert_eq!(applied["applied"], json!(["tokens"]));
    // A file that is wrong, or open to others, changes nothing and is told.
    let status = |wire: &mut Wire| wire.get_with("/status", &bearer("the-second")).unwrap().data()["config"].clone();
    for (text, mode) in [("ops admi the-third\n", 0o600), ("ops admin the-third\n", 0o644), ("", 0o600)] {
        put_tokens(&home, "tokens", text);
        chmod(&home.path("tokens"), mode);
        until("the fault is told", || status(&mut fresh)["problems"] != json!([]));
        assert_eq!(fresh.get_with("/status", &bearer("the-third")).unwrap().status, 401);
        put_tokens(&home, "tokens", "ops admin the-second\n");
        until("it is right again", || status(&mut fresh)["problems"] == json!([]));
    }
    std::fs::remove_file(home.path("tokens")).unwrap();
    until("its absence is told", || status(&mut fresh)["problems"] != json!([]));
    assert_eq!(fresh.get_with("/status", "").unwrap().status, 401, "no file is no open door");
}

#[test]
fn a_link_ends_with_its_token_and_comes_back_with_the_next_one() {
    let home = Home::new();
    let both = |text: &str| ["t1", "t2"].iter().for_each(|name| put_tokens(&home, name, text));
    both("ops admin the-operators\nold peer the-old-peers\n");
    std::fs::create_dir_all(home.path(".config/rig")).unwrap();
    home.file(".config/rig/operator", "the-operators\n");
    home.file(".config/rig/config.toml", "token_file = \"operator\"\n");
    for name in ["n1", "n2"] {
        home.ok(&["init", name]);
    }
    let one = Node::serve(&home, &["-D", "n1", "--tokens", "t1"]);
    let _two = Node::serve(&home, &["-D", "n2", "--tokens", "t2", "--role", "replica", "--peer", one.url()]);
    home.ok(&["wait", "in-sync", "-N", "n1", "--timeout", "20s"]);
    let taken = |name: &str, times: usize| {
        let events = home.ok(&["events", "-N", name, "--json"]).lines();
        events.iter().filter(|event| event["event"] == "config" && event["applied"] == json!(["tokens"])).count()
            >= times
    };
    let degraded = || {
        let events = home.ok(&["events", "-N", "n1", "--json"]).lines();
        events.iter().filter(|event| event["event"] == "degraded").count()
    };
    // As people are told to: behind the old one, before it, alone. Nobody notices until the last step, when the links that
    // were made with the old one are made anew.
    for (nth, text) in [
        "ops admin the-operators\nold peer the-old-peers\nnew peer the-new-peers\n",
        "ops admin the-operators\nnew peer the-new-peers\nold peer the-old-peers\n",
        "ops admin the-operators\nnew peer the-new-peers\n",
    ]
    .iter()
    .enumerate()
    {
        both(text);
        until("both nodes have taken the file", || taken("n1", nth + 1) && taken("n2", nth + 1));
        if nth < 2 {
            assert_eq!(degraded(), 0);
        }
    }
    home.ok(&["wait", "in-sync", "-N", "n1", "--timeout", "20s"]);
    let put = home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "-N", "n1", "--json"]).json();
    assert_eq!(put["durability"], "sync");
    assert!(home.serve_log().contains("its token is gone"), "{}", home.serve_log());
    // A replica whose token is gone stays out.
    put_tokens(&home, "t1", "ops admin the-operators\nother peer another-peers\n");
    until("the link is closed", || {
        home.ok(&["status", "-N", "n1", "--json"]).json()["peers"][0]["connected"] == json!(false)
    });
}

/// Looks for every secret; says where one was found.
fn assert_absent(secrets: &[&str], place: &str, bytes: &[u8]) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is in {place}");
    }
}

#[test]
fn no_secret_is_told_by_a_node_that_is_used_rightly_and_wrongly() {
    let secrets =
        ["Adm1n-9f3c-s3cret", "Wr1te-77aa-s3cret", "R3ad-0b1d-s3cret", "P33r-5e5e-s3cret", "Wr0ng-1234-s3cret"];
    let [admin, write, read, peer, wrong] = secrets;
    let home = Home::new();
    let text = format!("ops admin {admin}\nann write {write}\nviewer read {read}\nnode peer {peer}\n");
    for name in ["t1", "t2"] {
        put_tokens(&home, name, &text);
    }
    for name in ["n1", "n2"] {
        home.ok(&["init", name]);
    }
    let serve = |line: &[&str]| {
        let mut command = home.rig(&[&["serve", "--json", "--listen", "127.0.0.1:0"], line].concat());
        command.env("RIG_LOG", "trace");
        Node::spawn(&home, command)
    };
    let one = serve(&["-D", "n1", "--tokens", "t1"]);
    let two = serve(&["-D", "n2", "--tokens", "t2", "--role", "replica", "--peer", one.url()]);
    let mut said = Vec::new();
    for token in secrets {
        home.file("token", format!("{token}\n"));
        for line in [
            &["apply", "user_put", "--data", "{\"id\":\"a\"}"][..],
            &["apply", "user_put", "--data", "{\"id\":}"],
            &["get", "user", "a"],
            &["log", "dump"],
            &["status"],
            &["events"],
            &["config", "show", "--origin"],
            &["config", "set", "sync_timeout=1s"],
            &["member", "ls"],
            &["rescue", "ls"],
            &["apply", "nonsense", "--data", "1"],
        ] {
            for more in [&["--json", "-v"][..], &["-v"]] {
                let ran = home.run(&[line, more, &["-N", "n1", "--token-file", "token"]].concat());
                said.extend([ran.stdout, ran.stderr]);
            }
        }
        let mut wire = Wire::open(one.address()).unwrap();
        for path in
            ["/", "/status", "/metrics", "/events", "/config", "/members", "/healthz", "/readyz", "/peer", "/nowhere"]
        {
            for fields in
                [bearer(token), format!("X-Api-Key: {token}\r\n"), format!("Authorization: Basic {token}\r\n")]
            {
                let reply = wire.get_with(path, &fields).unwrap();
                said.extend([reply.head, String::from_utf8_lossy(&reply.body).into_owned()]);
            }
        }
        // Heads that cannot be, with the token in them.
        for head in [
            format!(
                "GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nBad Header: x\r\n\r\n"
            ),
            format!("GET /status HTTP/1.1\r\nHost: elsewhere\r\nAuthorization: Bearer {token}\r\n\r\n"),
            format!("GET /st\u{1}atus HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {token}\r\n\r\n"),
        ] {
            let mut wire = Wire::open(one.address()).unwrap();
            wire.send(head.as_bytes()).unwrap();
            let reply = wire.reply().unwrap();
            said.extend([reply.head, String::from_utf8_lossy(&reply.body).into_owned()]);
        }
    }
    // A file whose words are mixed up, at the start and while the node runs.
    put_tokens(&home, "t3", &format!("ann {write} write\n"));
    let ran = home.run(&["serve", "-D", "n1", "--tokens", "t3", "--json", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, Some(2));
    said.push(ran.stderr);
    put_tokens(&home, "t1", &format!("ann {write} write\n"));
    until("the fault is told", || home.serve_log().contains("the second word is no role"));
    let mut wire = Wire::open(one.address()).unwrap();
    for path in ["/status", "/events", "/metrics"] {
        let reply = wire.get_with(path, &bearer(admin)).unwrap();
        assert_eq!(reply.status, 200);
        said.push(String::from_utf8_lossy(&reply.body).into_owned());
    }
    assert!(said.iter().any(|text| text.contains("ann")), "the name is told, the token is not");
    for text in &said {
        assert_absent(&secrets, "what was answered or printed", text.as_bytes());
    }
    assert!(home.serve_log().len() > 1000);
    assert_absent(&secrets, "the messages", home.serve_log().as_bytes());
    for node in [&one, &two] {
        let line = std::fs::read(format!("/proc/{}/cmdline", node.pid())).unwrap();
        assert!(
            line.windows(6).any(|window| window == b"--peer") || line.windows(8).any(|window| window == b"--tokens")
        );
        assert_absent(&secrets, "the command line", &line);
    }
    drop((one, two));
    let files: Vec<_> =
        ["n1", "n2"].iter().flat_map(|name| below(&home.path(name))).filter(|path| path.is_file()).collect();
    assert!(files.len() > 6);
    for path in files {
        assert_absent(&secrets, &path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let _ = (read, peer, wrong);
}
