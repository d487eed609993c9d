//! TLS, with real processes: our own commands, curl and openssl as clients, nodes as peers, and those who mean no good.
//!
//! Certificates are made by `openssl`, as people make them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Node, Ran, has, root, run};
use crate::wire::{Wire, get};

/// Names that the certificate of a node on this machine has.
const LOCAL: &str = "IP:127.0.0.1,DNS:localhost";

fn openssl(home: &Home, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let ran = run(home.command("openssl", &words), b"");
    assert_eq!(ran.code, Some(0), "openssl {line}: {ran:#?}");
}

/// `NAME.pem` and `NAME.key` of a new CA.
pub(crate) fn make_ca(home: &Home, name: &str) {
    openssl(
        home,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name}"
        ),
    );
}

/// `NAME.pem` and `NAME.key`, signed by a CA, for these names and so many days.
pub(crate) fn make(home: &Home, name: &str, ca: &str, names: &str, days: i32) {
    openssl(
        home,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key.new -out {name}.csr -subj /CN={name}"
        ),
    );
    home.file(&format!("{name}.ext"), format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"));
    openssl(
        home,
        &format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem.new"
        ),
    );
    std::fs::set_permissions(home.path(&format!("{name}.key.new")), std::fs::Permissions::from_mode(0o600)).unwrap();
    for end in ["key", "pem"] {
        std::fs::rename(home.path(&format!("{name}.{end}.new")), home.path(&format!("{name}.{end}"))).unwrap();
    }
}

const NODE: &[&str] = &["--tls-cert", "node.pem", "--tls-key", "node.key"];
const MUTUAL: &[&str] = &["--tls-cert", "node.pem", "--tls-key", "node.key", "--tls-ca", "ca.pem"];

/// A home with a CA and a node's certificate; nothing where there is no `openssl`.
fn home(test: &str) -> Option<Home> {
    if !has("openssl", test) {
        return None;
    }
    let home = Home::new();
    make_ca(&home, "ca");
    make(&home, "node", "ca", LOCAL, 10);
    Some(home)
}

fn serve(home: &Home, name: &str, flags: &[&str]) -> Node {
    if !home.path(name).exists() {
        home.ok(&["init", name]);
    }
    Node::serve(home, &[&["-D", name], flags].concat())
}

/// A command that trusts the CA.
fn rig(home: &Home, line: &[&str]) -> Ran {
    home.run(&[line, &["--tls-ca", "ca.pem"]].concat())
}

fn ok(home: &Home, line: &[&str]) -> Ran {
    let ran = rig(home, line);
    assert_eq!(ran.code, Some(0), "rig {line:?}: {ran:#?}; {}", home.serve_log());
    ran
}

fn until(what: &str, home: &Home, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: {}", home.serve_log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `openssl s_client`, whose standard input and output are the stream.
struct Client {
    child: Child,
}

impl Client {
    fn open(home: &Home, node: &Node, flags: &[&str]) -> Self {
        let line = ["s_client", "-quiet", "-verify_quiet", "-CAfile", "ca.pem", "-verify_return_error", "-connect"];
        let mut command = home.command("openssl", &[&line[..], &[node.address()], flags].concat());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self { child }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// What comes until this is in it.
    fn read_until(&mut self, end: &str) -> String {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains(end) {
            let n = self.child.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert!(n > 0, "it ends before {end}: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
        text
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connections(home: &Home, node: &Node) -> u64 {
    let ran = run(home.command("curl", &["-sS", "--cacert", "ca.pem", &format!("{}/metrics", node.url())]), b"");
    let line = ran.stdout.lines().find(|line| line.starts_with("rig_http_connections "));
    let line = line.unwrap_or_else(|| panic!("{ran:#?}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn commands_speak_to_a_node_by_tls_and_say_what_is_wrong_with_its_certificate() {
    let Some(home) = home("commands_speak_to_a_node_by_tls") else { return };
    let node = serve(&home, "n1", NODE);
    assert!(node.url().starts_with("https://127.0.0.1:"), "{}", node.url());
    let endpoint = std::fs::read_to_string(home.path("n1/run/endpoint.json")).unwrap();
    assert!(endpoint.contains(node.url()), "{endpoint}");
    // By directory, by name, by URL.
    let applied = ok(&home, &["apply", "user_put", "--data", "{\"id\":\"a\"}", "-D", "n1", "--json"]).json();
    assert_eq!(applied["version"], json!(2));
    assert_eq!(ok(&home, &["status", "-N", "n1", "--json"]).json()["http"], json!(node.url()));
    assert_eq!(ok(&home, &["get", "user", "a", "-N", node.url(), "--json"]).json()["id"], json!("a"));
    let shown = ok(&home, &["status", "-N", node.url(), "-v"]).stderr;
    assert!(shown.contains("curl -sS --cacert ca.pem https://127.0.0.1:"), "{shown}");
    let mut command = home.rig(&["status", "-N", "n1", "--json"]);
    command.env("RIG_TLS_CA", home.path("ca.pem"));
    assert_eq!(run(command, b"").code, Some(0));
    // Nothing is sent where the other side is not known.
    let localhost = node.url().replace("127.0.0.1", "localhost");
    assert_eq!(rig(&home, &["status", "-N", &localhost]).code, Some(0));
    let refused = |line: &[&str], says: &[&str]| {
        let ran = home.run(&[&["apply", "user_put", "--data", "{\"id\":\"b\"}", "--json"], line].concat());
        let error = ran.error();
        assert_eq!((ran.code, &error["code"], &error["definite"]), (Some(4), &json!("tls"), &json!(true)), "{ran:#?}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        for word in says {
            assert!(message.contains(word) || hint.contains(word), "{word}: {error}");
        }
    };
    refused(&["-N", node.url()], &["no CA", "--tls-ca FILE", "RIG_TLS_CA"]);
    make_ca(&home, "other");
    refused(&["-N", node.url(), "--tls-ca", "other.pem"], &["not signed by", "--tls-ca FILE"]);
    make(&home, "late", "ca", LOCAL, 0);
    std::thread::sleep(Duration::from_millis(1500));
    make(&home, "named", "ca", "DNS:elsewhere.example", 10);
    let late = serve(&home, "n2", &["--tls-cert", "late.pem", "--tls-key", "late.key"]);
    refused(&["-N", late.url(), "--tls-ca", "ca.pem"], &["has expired", "renew"]);
    let named = serve(&home, "n3", &["--tls-cert", "named.pem", "--tls-key", "named.key"]);
    refused(&["-N", named.url(), "--tls-ca", "ca.pem"], &["127.0.0.1", "elsewhere.example", "subjectAltName"]);
    let plain = serve(&home, "n4", &[]);
    let wrong = plain.url().replace("http://", "https://");
    refused(&["-N", &wrong, "--tls-ca", "ca.pem"], &["does not speak TLS", "http://"]);
    assert_eq!(ok(&home, &["status", "-N", "n1", "--json"]).json()["log"]["durable"], json!(2), "nothing was sent");
    let ran = rig(&home, &["status", "-N", node.address(), "--json"]);
    assert!(ran.error()["hint"].as_str().unwrap().contains("https://"), "{ran:#?}");
}

#[test]
fn flags_and_files_that_cannot_be_meant_are_refused_before_anything_is_opened() {
    let Some(home) = home("flags_and_files_that_cannot_be_meant") else { return };
    home.ok(&["init", "n1"]);
    make(&home, "second", "ca", LOCAL, 10);
    home.file("text", "no certificate\n");
    home.file("open.key", std::fs::read(home.path("node.key")).unwrap());
    let refused = |flags: &[&str], says: &str| {
        let free_port = if flags.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let ran = home.run(&[&["serve", "-D", "n1", "--json"], free_port, flags].concat());
        let error = ran.error();
        assert_eq!(ran.code, Some(2), "{flags:?}: {ran:#?}");
        let all = format!("{} {}", error["message"], error["hint"]);
        assert!(all.contains(says), "{flags:?}: {all}");
    };
    refused(&["--tls-cert", "node.pem"], "--tls-key FILE");
    refused(&["--tls-key", "node.key"], "--tls-cert FILE");
    refused(&["--tls-ca", "ca.pem"], "--tls-cert FILE");
    refused(&["--tls-cert", "none.pem", "--tls-key", "node.key"], "none.pem");
    refused(&["--tls-cert", "text", "--tls-key", "node.key"], "no certificate in it");
    refused(&["--tls-cert", "node.pem", "--tls-key", "text"], "chmod 600");
    refused(&["--tls-cert", "node.pem", "--tls-key", "open.key"], "chmod 600");
    refused(&["--tls-cert", "node.pem", "--tls-key", "second.key"], "it is not the key of");
    refused(&[MUTUAL, &["--advertise", "http://127.0.0.1:7440"]].concat(), "https://127.0.0.1:7440");
    refused(&["--advertise", "https://127.0.0.1:7440"], "http://127.0.0.1:7440");
    refused(&[NODE, &["--peer", "https://127.0.0.1:7440"]].concat(), "--tls-ca FILE");
    refused(&[MUTUAL, &["--peer", "http://127.0.0.1:7440"]].concat(), "https://127.0.0.1:7440");
    // An address beyond loopback needs tokens still, and with them TLS is enough.
    refused(&[NODE, &["--listen", "0.0.0.0:0"]].concat(), "--tokens");
    let tokens = home.file("tokens", "ops admin t0ken-of-ops\n");
    std::fs::set_permissions(tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = serve(&home, "n1", &[NODE, &["--listen", "0.0.0.0:0", "--tokens", "tokens"]].concat());
    home.file("token", "t0ken-of-ops\n");
    let url = node.url().replace("0.0.0.0", "127.0.0.1");
    assert_eq!(rig(&home, &["status", "-N", &url, "--token-file", "token"]).code, Some(0));
    assert_eq!(rig(&home, &["status", "-N", &url]).code, Some(11));
}

#[test]
fn curl_and_openssl_are_served_and_a_plain_request_is_told_why_not() {
    let Some(home) = home("curl_and_openssl_are_served") else { return };
    if !has("curl", "curl_and_openssl_are_served") {
        return;
    }
    let node = serve(&home, "n1", NODE);
    let url = |path: &str| format!("{}{path}", node.url());
    let body = "{\"method\":\"user_put\",\"data\":{\"id\":\"c\"}}";
    let json = ["-H", "Content-Type: application/json", "--data-binary", body];
    let curl = |line: &[&str]| run(home.command("curl", &[&["-sS"], line].concat()), b"");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let ran =
            curl(&[&["--cacert", "ca.pem", version, "--tls-max", &version[6..], &url("/do")], &json[..]].concat());
        assert_eq!(ran.json()["data"]["result"]["id"], json!("c"), "{version}: {ran:#?}");
    }
    assert_eq!(curl(&[&url("/healthz")]).code, Some(60), "curl does not know the CA");
    // Several requests on one connection, and the end is said before the socket is closed.
    let mut client = Client::open(&home, &node, &[]);
    client.send(get("/data/user/c", "").as_bytes());
    assert!(client.read_until("\"_version\"").starts_with("HTTP/1.1 200 "));
    client.send(get("/nowhere", "Connection: close\r\n").as_bytes());
    assert!(client.read_until("not_found").starts_with("HTTP/1.1 404 "));
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match client.child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "the connection does not end"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "an end without close_notify is an error of openssl");
    // In plain: an answer in plain, with the reason.
    let mut wire = Wire::open(node.address()).unwrap();
    let reply = wire.get("/healthz").unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"));
    assert_eq!(reply.json()["hint"], json!("use https://"));
    assert!(wire.replies().unwrap().is_empty(), "and nothing more");
}

#[test]
fn large_bodies_batches_and_the_change_feed_are_whole_by_tls() {
    let Some(home) = home("large_bodies_batches_and_the_change_feed") else { return };
    let node = serve(&home, "n1", NODE);
    let mut command = home.rig(&["log", "dump", "-f", "--json", "-N", node.url(), "--tls-ca", "ca.pem"]);
    let mut feed = command.stdout(Stdio::piped()).spawn().unwrap();
    let large = "x".repeat(4 << 20);
    let payload = home.file("large.json", format!("{{\"id\":\"large\",\"text\":\"{large}\"}}"));
    ok(&home, &["apply", "user_put", payload.to_str().unwrap(), "-N", node.url()]);
    let got = ok(&home, &["get", "user", "large", "-N", node.url(), "--json"]).json();
    assert_eq!(got["text"].as_str().map(str::len), Some(large.len()));
    let lines: String =
        (0..20_000).map(|nth| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{nth}\"}}}}\n")).collect();
    home.file("batch", lines);
    let summary = ok(&home, &["apply", "--batch", "batch", "-q", "--json", "-N", node.url()]).json();
    assert_eq!((&summary["ok"], &summary["last_version"]), (&json!(20_000), &json!(20_002)));
    let listed = ok(&home, &["ls", "user", "--json", "-N", node.url()]).lines();
    assert_eq!(listed.len(), 20_001);
    // The feed was there from the first record to the last.
    let mut reader = std::io::BufReader::new(feed.stdout.take().unwrap());
    let mut text = String::new();
    for version in 1..=20_002_u64 {
        text.clear();
        std::io::BufRead::read_line(&mut reader, &mut text).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["version"], json!(version));
    }
    feed.kill().unwrap();
    feed.wait().unwrap();
    // Who does not read is waited for, and then gets every byte.
    let mut slow = Client::open(&home, &node, &[]);
    slow.send(get("/data/user/large", "Connection: close\r\n").as_bytes());
    std::thread::sleep(Duration::from_millis(500));
    let text = slow.read_until("\"_updated\"");
    assert!(text.len() > large.len(), "{}", text.len());
}

#[test]
fn two_nodes_replicate_in_sync_by_mutual_tls_and_repair_each_other() {
    let Some(home) = home("two_nodes_replicate_in_sync_by_mutual_tls") else { return };
    let one = serve(&home, "n1", &[MUTUAL, &["--role", "primary", "--replication", "sync"]].concat());
    let mut two = serve(&home, "n2", &[MUTUAL, &["--role", "replica", "--peer", one.url()]].concat());
    ok(&home, &["wait", "in-sync", "-N", "n1", "--timeout", "20s"]);
    let applied = ok(&home, &["apply", "user_put", "--data", "{\"id\":\"a\"}", "-N", "n1", "--json"]).json();
    assert_eq!((&applied["durability"], &applied["acks"]), (&json!("sync"), &json!(["n1", "n2"])));
    // A replica names the primary, whose URL is by TLS too.
    let follows = ok(&home, &["apply", "user_put", "--data", "{\"id\":\"b\"}", "-N", two.url(), "--json"]).json();
    assert_eq!(follows["durability"], json!("sync"));
    let peers = ok(&home, &["status", "-N", "n1", "--json"]).json()["peers"].take();
    assert_eq!((&peers[0]["url"], &peers[0]["connected"]), (&json!(two.url()), &json!(true)));
    let payload = home.file("large.json", format!("{{\"id\":\"large\",\"text\":\"{}\"}}", "x".repeat(6 << 20)));
    ok(&home, &["apply", "user_put", payload.to_str().unwrap(), "-N", "n1"]);
    // A damaged log is fetched from the other node by TLS.
    let listen = two.address().to_owned();
    two.kill();
    let log = home.path("n2/log");
    let segment = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let _two = serve(&home, "n2", &[MUTUAL, &["--listen", &listen, "--peer", one.url()]].concat());
    ok(&home, &["wait", "in-sync", "-N", "n1", "--timeout", "20s"]);
    let head = |name: &str| ok(&home, &["status", "-N", name, "--json"]).json()["log"]["durable"].take();
    until("both have the same", &home, || head("n1") == head("n2"));
}

#[test]
fn a_plain_pair_moves_to_tls_one_node_after_the_other() {
    let Some(home) = home("a_plain_pair_moves_to_tls_one_node_after_the_other") else { return };
    let mut one = serve(&home, "n1", &["--role", "primary", "--replication", "sync"]);
    let mut two = serve(&home, "n2", &["--role", "replica", "--peer", one.url()]);
    let (at_one, at_two) = (one.address().to_owned(), two.address().to_owned());
    let url_of = |scheme: &str, address: &str| format!("{scheme}://{address}");
    let both = |id: &str| {
        ok(&home, &["wait", "in-sync", "-D", "n1", "--timeout", "20s"]);
        let data = format!("{{\"id\":\"{id}\"}}");
        let answer = ok(&home, &["apply", "user_put", "--data", &data, "-D", "n1", "--json"]).json();
        assert_eq!(answer["acks"], json!(["n1", "n2"]), "{answer}");
    };
    let stop = |node: &mut Node| {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    };
    both("a");
    // On the way each is told how the other one speaks by then: what the log says of it may be from before. The word for
    // plaintext is about what a node dials, too.
    let on_the_way = [MUTUAL, &["--insecure-plaintext"]].concat();
    stop(&mut two);
    let mut two =
        serve(&home, "n2", &[&on_the_way[..], &["--listen", &at_two, "--peer", &url_of("http", &at_one)]].concat());
    both("b");
    stop(&mut one);
    let mut one =
        serve(&home, "n1", &[&on_the_way[..], &["--listen", &at_one, "--peer", &url_of("https", &at_two)]].concat());
    both("c");
    stop(&mut two);
    let _two = serve(&home, "n2", &[MUTUAL, &["--listen", &at_two, "--peer", &url_of("https", &at_one)]].concat());
    both("d");
    stop(&mut one);
    let one = serve(&home, "n1", &[MUTUAL, &["--listen", &at_one, "--peer", &url_of("https", &at_two)]].concat());
    both("e");
    let members = ok(&home, &["member", "ls", "-N", one.url(), "--json"]).lines();
    assert!(members.iter().all(|member| member["url"].as_str().unwrap().starts_with("https://")), "{members:#?}");
}

#[test]
fn a_peer_without_a_certificate_of_the_ca_stays_out_and_both_sides_say_why() {
    let Some(home) = home("a_peer_without_a_certificate_of_the_ca") else { return };
    let one = serve(&home, "n1", &[MUTUAL, &["--role", "primary"]].concat());
    // Without any: the request is answered, and not as one would like.
    let mut client = Client::open(&home, &one, &[]);
    client.send(get("/peer", "Connection: Upgrade\r\nUpgrade: rig-peer/1\r\n").as_bytes());
    assert!(client.read_until("no certificate").starts_with("HTTP/1.1 401 "));
    assert!(home.serve_log().contains("is refused: it shows no certificate"), "{}", home.serve_log());
    // One of another CA: the handshake fails.
    make_ca(&home, "other");
    make(&home, "stranger", "other", LOCAL, 10);
    let flags = ["--tls-cert", "stranger.pem", "--tls-key", "stranger.key", "--tls-ca", "ca.pem"];
    let _two = serve(&home, "n2", &[&flags[..], &["--role", "replica", "--peer", one.url()]].concat());
    until("both say it", &home, || {
        let said = home.serve_log();
        said.contains("its certificate is not signed by the CA that is trusted here")
            && said.contains(&format!("no link to {}: it does not trust the certificate of this side", one.url()))
    });
    let own = home.run(&["status", "-D", "n2", "--json", "--tls-ca", "other.pem"]).json();
    assert_eq!(own["refused_peers"][one.url()], json!("it does not trust the certificate of this side"));
    assert_eq!(own["state"], json!("recovering"));
    // It is known to nobody.
    assert_eq!(ok(&home, &["status", "-N", "n1", "--json"]).json()["peers"], json!([]));
}

#[test]
fn a_certificate_is_swapped_while_the_node_runs_and_a_wrong_one_changes_nothing() {
    let Some(home) = home("a_certificate_is_swapped_while_the_node_runs") else { return };
    let node = serve(&home, "n1", NODE);
    let serial = || {
        let line = format!(
            "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -serial",
            node.address()
        );
        run(home.command("sh", &["-c", &line]), b"").stdout
    };
    let first = serial();
    assert!(first.starts_with("serial="), "{first}");
    let mut standing = Client::open(&home, &node, &[]);
    standing.send(get("/healthz", "").as_bytes());
    standing.read_until("alive");
    // A file that is wrong is told, and the old certificate stays.
    let good = std::fs::read(home.path("node.pem")).unwrap();
    home.file("node.pem", "-----BEGIN CERTIFICATE-----\nno\n");
    until("the fault is told", &home, || home.serve_log().contains("what was read before still holds"));
    assert_eq!(serial(), first);
    let problems = ok(&home, &["status", "-N", "n1", "--json"]).json()["config"]["problems"].take();
    assert!(problems[0]["file"].as_str().is_some_and(|file| file.ends_with("node.pem")), "{problems}");
    home.file("node.pem", good);
    make(&home, "node", "ca", LOCAL, 10);
    until("the new one is shown", &home, || serial() != first);
    until("nothing is wrong any more", &home, || {
        ok(&home, &["status", "-N", "n1", "--json"]).json()["config"]["problems"] == json!([])
    });
    // Who was there stays.
    standing.send(get("/healthz", "").as_bytes());
    standing.read_until("alive");
}

/// Numbers that look random and are the same in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn garbage_and_half_a_handshake_leave_nothing_behind() {
    let Some(home) = home("garbage_and_half_a_handshake") else { return };
    let mut node = serve(&home, "n1", MUTUAL);
    // Half a hello, and nothing at all: cut at the deadline of a head, not before.
    let begun = Instant::now();
    let mut half = TcpStream::connect(node.address()).unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    let silent = TcpStream::connect(node.address()).unwrap();
    let mut random = 0x5eed_u64;
    for nth in 0..1000 {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut bytes: Vec<u8> = (0..1 + next(&mut random) % 600).map(|_| next(&mut random) as u8).collect();
        // Half of them look like a handshake at first.
        if nth % 2 == 0 {
            let length = bytes.len() as u16;
            bytes.splice(0..0, [0x16, 3, 1, (length >> 8) as u8, length as u8]);
        }
        // The node may have closed already.
        let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if bytes[0] != 0x16 && !answer.is_empty() {
            assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
        }
    }
    assert!(node.is_alive(), "{}", home.serve_log());
    for mut stream in [half, silent] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rest = [0; 64];
        while stream.read(&mut rest).is_ok_and(|n| n > 0) {}
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&took), "{took:?}");
    until("only the one that asks is there", &home, || connections(&home, &node) == 1);
    ok(&home, &["apply", "user_put", "--data", "{\"id\":\"a\"}", "-N", "n1"]);
}

/// A node that says that its answer ends with the connection, and cuts it: `end` says whether TLS is ended first.
fn server_that_closes(home: &Home, says_so: bool) -> (Child, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = home.command("python3", &["-c", CLOSES, &port.to_string(), if says_so { "end" } else { "cut" }]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    (child, format!("https://127.0.0.1:{port}"))
}

const CLOSES: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('node.pem', 'node.key')
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('!', flush=True)
while True:
    raw, _ = listener.accept()
    try:
        tls = context.wrap_socket(raw, server_side=True)
        tls.recv(4096)
        tls.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"data":{"name":"x","half":"of it"}}')
        if sys.argv[2] == 'end':
            try: tls.unwrap()
            except OSError: pass
        else:
            socket.socket(fileno=tls.detach()).close()
    except OSError: pass
"#;

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_if_the_end_was_said() {
    let Some(home) = home("a_body_that_ends_with_the_connection") else { return };
    if !has("python3", "a_body_that_ends_with_the_connection") {
        return;
    }
    for says_so in [true, false] {
        let (mut server, url) = server_that_closes(&home, says_so);
        let ran = rig(&home, &["get", "user", "x", "-N", &url, "--json", "--timeout", "2s"]);
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(ran.code == Some(0), says_so, "{ran:#?}");
        assert_eq!(ran.stdout.contains("half"), says_so, "{ran:#?}");
    }
}

#[test]
fn the_commands_of_the_readme_make_a_node_that_speaks_tls() {
    if !has("openssl", "the_commands_of_the_readme_make_a_node_that_speaks_tls") {
        return;
    }
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let block = readme.split("## Security").nth(1).unwrap().split("```").nth(1).unwrap().replace("\\\n", "");
    let (mut node, mut asked) = (None::<Node>, 0);
    for line in block.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (&words[..], &node) {
            (["openssl", rest @ ..], _) => openssl(&home, &rest.join(" ")),
            (["rig", "serve", flags @ ..], _) => node = Some(Node::serve(&home, flags)),
            (["rig", rest @ ..], Some(node)) => {
                let port = node.address().rsplit(':').next().unwrap();
                let line: Vec<String> = rest.iter().map(|word| word.replace("7440", port)).collect();
                home.ok(&line.iter().map(String::as_str).collect::<Vec<_>>());
                asked += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(asked, 1);
}
