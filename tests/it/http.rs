//! HTTP as a client sees it on a real node: raw bytes in, raw bytes out.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Node, has};
use crate::wire::{self, Reply, Wire};

/// A connection that is kept, to a node that answers.
struct Client(Wire);

impl Client {
    fn of(node: &Node) -> Self {
        Self(Wire::open(node.address()).unwrap())
    }

    fn send(&mut self, text: &str) {
        self.0.send(text.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Reply {
        self.0.reply().unwrap()
    }

    fn get(&mut self, target: &str) -> Reply {
        self.get_with(target, "")
    }

    fn get_with(&mut self, target: &str, fields: &str) -> Reply {
        self.0.get_with(target, fields).unwrap()
    }

    fn post(&mut self, target: &str, body: &str) -> Reply {
        self.post_with(target, "Content-Type: application/json\r\n", body)
    }

    fn post_with(&mut self, target: &str, fields: &str, body: &str) -> Reply {
        self.0.post(target, fields, body).unwrap()
    }

    fn create(&mut self, id: &str) -> u64 {
        let body = json!({ "method": "user_create", "data": { "id": id } }).to_string();
        let answer = self.post("/do", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"]["version"].as_u64().unwrap()
    }
}

fn node() -> (Home, Node) {
    let home = Home::new();
    let node = Node::new(&home);
    (home, node)
}

#[test]
fn an_operation_is_answered_with_everything_that_the_contract_names() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let answer = client.post("/do", r#"{"op":{"method":"user_create","data":{"id":"alice","n":1.50}}}"#);
    assert_eq!(answer.status, 200);
    let data = answer.json()["data"].clone();
    assert_eq!((&data["version"], &data["epoch"], &data["durability"]), (&json!(2), &json!(1), &json!("local")));
    assert_eq!((&data["acks"], &data["replayed"]), (&json!(["default"]), &json!(false)));
    assert_eq!(data["result"], json!({ "id": "alice", "version": 2 }));
    assert_eq!(data["hash"].as_str().unwrap().len(), 64);
    for (name, value) in [("Rig-Node", "default"), ("Rig-Role", "primary"), ("Rig-Epoch", "1"), ("Rig-Version", "2")] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    assert!(answer.header("X-Request-Id").is_some());

    let read = client.get("/data/user/alice");
    let text = String::from_utf8(read.body.clone()).unwrap();
    assert!(text.starts_with(r#"{"data":{"id":"alice","n":1.50,"_version":2,"_created":""#), "{text}");
    assert_eq!(read.header("ETag"), Some("\"2\""));
    let again = client.get_with("/data/user/alice", "If-None-Match: \"2\"\r\n");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let own = client.get_with("/healthz", "X-Request-Id: my-id.1\r\n");
    assert_eq!(own.header("X-Request-Id"), Some("my-id.1"));
}

#[test]
fn every_refusal_has_its_status_and_its_code() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    client.create("alice");
    let bad = |client: &mut Client, body: &str| {
        let answer = client.post("/do", body);
        let problem = answer.json();
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
        for member in
            ["type", "title", "status", "detail", "code", "definite", "retryable", "hint", "request_id", "error"]
        {
            assert!(problem.get(member).is_some(), "{member} is missing in {problem}");
        }
        assert_eq!((&problem["error"], &problem["status"]), (&problem["detail"], &json!(answer.status)));
        (answer.status, answer.code())
    };
    for (body, status, code) in [
        (r#"{"method":"user_create","data":{"id":"alice"}}"#, 409, "exists"),
        (r#"{"method":"user_update","data":{"id":"bob"}}"#, 404, "not_found"),
        (r#"{"method":"user_delete","data":{"id":"bob"}}"#, 404, "not_found"),
        (r#"{"method":"user_promote","data":{"id":"bob"}}"#, 422, "unknown_method"),
        (r#"{"method":"rig_epoch","data":{}}"#, 422, "invalid"),
        (r#"{"method":"user_create","data":{"id":"a","_x":1}}"#, 422, "invalid"),
        (r#"{"method":"user_create","data":[1]}"#, 422, "invalid"),
        (r#"{"method":"User","data":{}}"#, 400, "bad_request"),
        (r#"{"method":"user_create"}"#, 400, "bad_request"),
        (r#"{"method":"user_create","data":{"id":"x"}"#, 400, "bad_json"),
        (r#"{"method":"user_create","data":{"id":"x","id":"y"}}"#, 400, "duplicate_key"),
        (r#"{"method":"user_update","data":{"id":"alice","_if_version":9}}"#, 409, "version_conflict"),
    ] {
        assert_eq!(bad(&mut client, body), (status, code.to_owned()), "{body}");
    }
    let no_type = client.post_with("/do", "", "{}");
    assert_eq!((no_type.status, no_type.code()), (415, "media_type".into()));
    let wrong_way = client.get("/do");
    assert_eq!((wrong_way.status, wrong_way.header("Allow")), (405, Some("POST")));
    let nowhere = client.get("/nowhere");
    assert_eq!((nowhere.status, nowhere.code()), (404, "not_found".into()));
    assert_eq!(client.get("/log?from=0").status, 400);
    assert_eq!(client.get("/log/record/99").status, 404);
    assert_eq!(client.get("/log/record/x").status, 400);
    assert_eq!(client.get("/log/prepare").status, 404);
    assert_eq!(client.get("/log/hash/99").status, 404);
    assert_eq!(client.get("/data/user?limit=0").status, 400);
    let length: u64 = client.get("/log/commit").json()["data"]["version"].as_u64().unwrap();
    assert_eq!(length, 2, "nothing that was refused is in the log");
}

#[test]
fn a_version_precondition_and_a_key_hold() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let wrong = client.post("/do?ignore-version=false", r#"{"version":9,"method":"user_create","data":{"id":"a"}}"#);
    assert_eq!((wrong.status, wrong.code()), (409, "version_conflict".into()));
    let right = client.post("/do?ignore-version=false", r#"{"version":2,"method":"user_create","data":{"id":"a"}}"#);
    assert_eq!(right.status, 200);
    let fields = "Content-Type: application/json\r\nIdempotency-Key: k-1\r\n";
    let first = client.post_with("/do", fields, r#"{"method":"user_create","data":{ "id": "b" }}"#);
    let again = client.post_with("/do", fields, r#"{"data":{"id":"b"},"method":"user_create"}"#);
    let (first, again) = (first.json()["data"].clone(), again.json()["data"].clone());
    assert_eq!(
        (&first["version"], &first["hash"], &first["result"]),
        (&again["version"], &again["hash"], &again["result"])
    );
    assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
    let other = client.post_with("/do", fields, r#"{"method":"user_create","data":{"id":"c"}}"#);
    assert_eq!((other.status, other.code()), (422, "key_reused".into()));
    let known = client.get("/outcome/k-1").json()["data"].clone();
    assert_eq!((&known["state"], &known["version"]), (&json!("committed"), &first["version"]));
    assert_eq!(client.get("/outcome/k-2").json()["data"]["state"], "absent");
}

#[test]
fn who_goes_away_before_the_answer_finds_the_outcome_by_its_key() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let body = r#"{"method":"user_create","data":{"id":"a"}}"#;
    for nth in 0..20 {
        let body = body.replace("\"a\"", &format!("\"a{nth}\""));
        let fields = format!("Content-Type: application/json\r\nIdempotency-Key: gone-{nth}\r\n");
        let mut gone = Client::of(&node);
        gone.send(&wire::post("/do", &fields, &body));
        drop(gone);
        let deadline = Instant::now() + Duration::from_secs(10);
        let known = loop {
            let known = client.get(&format!("/outcome/gone-{nth}")).json()["data"].clone();
            if known["state"] == "committed" {
                break known;
            }
            assert!(Instant::now() < deadline, "{known}");
        };
        let again = client.post_with("/do", &fields, &body).json()["data"].clone();
        assert_eq!((&again["version"], &again["replayed"]), (&known["version"], &json!(true)));
    }
    let length: u64 = client.get("/log/commit").json()["data"]["version"].as_u64().unwrap();
    assert_eq!(length, 21, "each of them once, behind the record of the term");
}

#[test]
fn a_dry_run_says_what_would_happen_and_logs_nothing() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    client.create("a");
    assert_eq!(client.post("/validate", r#"{"method":"user_create","data":{"id":"b"}}"#).status, 200);
    assert_eq!(client.post("/validate", r#"{"method":"user_create","data":{"id":"a"}}"#).status, 409);
    assert_eq!(client.get("/status").json()["data"]["log"]["committed"], 2);
}

#[test]
fn requests_that_come_in_one_piece_are_answered_in_order() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let fields = "Content-Type: application/json\r\n";
    let mut all = String::new();
    for n in 0..300 {
        all.push_str(&wire::post("/do", fields, &format!(r#"{{"method":"user_create","data":{{"id":"u{n}"}}}}"#)));
        all.push_str(&wire::get(&format!("/data/user/u{n}"), ""));
    }
    let mut writer = client.0.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(all.as_bytes()).unwrap());
    for n in 0..300 {
        let answer = client.answer();
        assert_eq!(answer.json()["data"]["result"]["id"], format!("u{n}"), "{answer:?}");
        // The read may have been answered from the state before the write: the order of answers is what counts.
        assert!(matches!(client.answer().status, 200 | 404));
    }
    sending.join().unwrap();
}

#[test]
fn a_batch_is_answered_line_by_line_and_one_bad_line_harms_no_other() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let lines = [
        r#"{"method":"user_create","data":{"id":"a"},"key":"ka"}"#,
        r#"{"method":"user_create","data":{"id":"a"}}"#,
        r#"{"method":"user_create","data":{"id":"b"}"#,
        r#"{"op":{"method":"user_update","data":{"id":"a","x":1}}}"#,
        r#"{"method":"user_create","data":{"id":"a"},"key":"ka"}"#,
    ];
    let answer = client.post_with("/do", "Content-Type: application/x-ndjson\r\n", &lines.join("\n"));
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/x-ndjson")));
    let text = String::from_utf8(answer.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<u64> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 409, 400, 200, 200]);
    assert_eq!(lines[0]["data"]["version"], lines[4]["data"]["version"]);
    assert_eq!((&lines[2]["code"], &lines[4]["data"]["replayed"]), (&json!("bad_json"), &json!(true)));
}

#[test]
fn a_range_of_the_log_is_what_was_asked_for() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    for n in 0..1500 {
        client.create(&format!("u{n}"));
    }
    client.post("/do", r#"{"method":"user_update","data":{"id":"u7","x":1}}"#);
    let versions = |client: &mut Client, target: &str| -> Vec<u64> {
        let answer = client.get(target);
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = String::from_utf8(answer.body).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["version"].as_u64().unwrap()).collect()
    };
    assert_eq!(versions(&mut client, "/log"), (1..=1502).collect::<Vec<u64>>());
    assert_eq!(versions(&mut client, "/log?from=10&to=12"), [10, 11, 12]);
    assert_eq!(versions(&mut client, "/log?from=1500&limit=2"), [1500, 1501]);
    assert_eq!(versions(&mut client, "/log?method=*_update"), [1502]);
    assert_eq!(versions(&mut client, "/log?type=user&id=u7"), [9, 1502]);
    assert_eq!(versions(&mut client, "/log?from=5000"), Vec::<u64>::new());
    let hash = client.get("/log/hash/9").json()["data"]["hash"].clone();
    assert_eq!(client.get("/log/record/9").json()["data"]["hash"], hash);
}

#[test]
fn a_follower_sees_every_record_as_ndjson_and_as_events() {
    let (_home, node) = node();
    let (mut lines, mut events, mut writer) = (Client::of(&node), Client::of(&node), Client::of(&node));
    lines.send(&wire::get("/log?follow=1&from=2", ""));
    events.send(&wire::get("/log?follow=1", "Accept: text/event-stream\r\nLast-Event-ID: 1\r\n"));
    for client in [&mut lines, &mut events] {
        assert_eq!(client.0.head().unwrap().status, 200);
    }
    for n in 0..20 {
        let version = writer.create(&format!("u{n}"));
        let begin = Instant::now();
        let line: Value = serde_json::from_slice(&lines.0.chunk().unwrap()).unwrap();
        assert_eq!((&line["version"], &line["type"]), (&json!(version), &json!("record")));
        let event = String::from_utf8(events.0.chunk().unwrap()).unwrap();
        assert!(event.starts_with(&format!("id: {version}\nevent: record\ndata: {{")), "{event}");
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_flood_on_some_connections_leaves_the_others_their_turns() {
    let (_home, node) = node();
    let mut flood: Vec<Client> = (0..64).map(|_| Client::of(&node)).collect();
    let requests = |connection: usize| -> String {
        let one = |n: usize| {
            let body = format!("{{\"method\":\"item_put\",\"data\":{{\"id\":\"i{connection}-{n}\"}}}}");
            wire::post("/do", "Content-Type: application/json\r\n", &body)
        };
        (0..250).map(one).collect()
    };
    let texts: Vec<String> = (0..flood.len()).map(requests).collect();
    let mut other = Client::of(&node);
    // So that it finds all of them at once.
    node.signal("STOP");
    for (client, text) in flood.iter_mut().zip(&texts) {
        client.send(text);
    }
    other.send(&wire::get("/metrics", ""));
    node.signal("CONT");
    let page = String::from_utf8(other.answer().body).unwrap();
    let taken = page.lines().find_map(|line| line.strip_prefix("rig_in_flight_ops ")).unwrap();
    for client in &mut flood {
        for _ in 0..250 {
            let status = client.answer().status;
            assert!(matches!(status, 200 | 503), "{status}");
        }
    }
    assert!(taken.parse::<f64>().unwrap() < 2_000.0, "{taken} operations were taken in before another had its turn");
}

#[test]
fn a_list_is_filtered_paged_and_whole_at_one_version() {
    let (_home, node) = node();
    let mut client = Client::of(&node);
    let body: String = (0..2500)
        .map(|n| format!("{{\"method\":\"item_create\",\"data\":{{\"id\":\"i{n:05}\",\"even\":{}}}}}\n", n % 2 == 0))
        .collect();
    assert_eq!(client.post_with("/do", "Content-Type: application/x-ndjson\r\n", &body).status, 200);
    let all = client.get("/data/item").json()["data"].clone();
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next"]), (2500, &Value::Null));
    assert_eq!(all["version"], 2501);
    let even = client.get("/data/item?even=true").json()["data"]["items"].as_array().unwrap().len();
    assert_eq!(even, 1250);
    // Filters that no index knows: more is read for them than one turn takes.
    let after = client.get("/data/item?even=true&after=i02400").json()["data"]["items"].clone();
    assert_eq!((after.as_array().unwrap().len(), &after[0]["id"]), (49, &json!("i02402")));
    assert_eq!(client.get("/data/item?even=maybe").json()["data"]["items"], json!([]));
    let last = client.post("/do", r#"{"method":"item_create","data":{"id":"z","last":1}}"#);
    assert_eq!(last.status, 200);
    for search in ["/data/item?last=1", "/data/item?last=1&limit=10"] {
        let found = client.get(search).json()["data"].clone();
        assert_eq!((found["items"].as_array().unwrap().len(), &found["items"][0]["id"]), (1, &json!("z")), "{search}");
        assert_eq!((&found["next"], &found["version"]), (&Value::Null, &json!(2502)));
    }
    let some = client.get("/data/item?even=true&limit=3").json()["data"].clone();
    assert_eq!((some["items"].as_array().unwrap().len(), &some["next"]), (3, &json!("i00004")));
    let waited = client.get_with("/data/item?last=1&limit=1", "Rig-Min-Version: 2502\r\n");
    assert_eq!(waited.json()["data"]["items"][0]["id"], "z");
    let page = client.get("/data/item?limit=1000").json()["data"].clone();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1000, &json!("i00999")));
    let next = client.get("/data/item?limit=1000&after=i00999").json()["data"].clone();
    assert_eq!(next["items"][0]["id"], "i01000");
    assert_eq!(client.get("/data/nothing").json()["data"]["items"], json!([]));
}

#[test]
fn a_read_waits_for_its_version_and_says_when_it_does_not_come() {
    let (_home, node) = node();
    let (mut client, mut writer) = (Client::of(&node), Client::of(&node));
    client.send(&wire::get("/data/user/late", "Rig-Min-Version: 2\r\n"));
    std::thread::sleep(Duration::from_millis(50));
    writer.create("late");
    assert_eq!(client.answer().status, 200);
    let begin = Instant::now();
    let lagging = client.get_with("/data/user/late", "Rig-Min-Version: 99\r\nRig-Timeout-Ms: 150\r\n");
    assert_eq!((lagging.status, lagging.code()), (503, "lagging".into()));
    assert!(lagging.header("Retry-After").is_some());
    assert!(begin.elapsed() >= Duration::from_millis(150));
}

#[test]
fn health_readiness_and_metrics_are_what_their_readers_expect() {
    let (home, node) = node();
    let mut client = Client::of(&node);
    client.create("a");
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz?role=primary&max_lag=0").status, 200);
    let replica = client.get("/readyz?role=replica");
    assert_eq!((replica.status, &replica.json()["checks"][0]["check"]), (503, &json!("role")));
    let status = client.get("/status").json()["data"].clone();
    assert_eq!(
        (&status["role"], &status["state"], &status["log"]["durable"]),
        (&json!("primary"), &json!("serving"), &json!(2))
    );
    let metrics = client.get("/metrics");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("rig_log_records_total 2\n"), "{text}");
    // Everything so far, by what GET / calls it; and never a path as it came.
    assert_eq!(client.get("/no/such/path").status, 404);
    assert_eq!(client.get("/data/user/nobody").status, 404);
    assert_eq!(client.get("/log?from=1").status, 200);
    let text = String::from_utf8(client.get("/metrics").body).unwrap();
    for (path, status, count) in [
        ("/do", "2xx", 1),
        ("/healthz", "2xx", 1),
        ("/readyz", "2xx", 1),
        ("/readyz", "5xx", 1),
        ("/data/{type}/{id}", "4xx", 1),
        ("/log", "2xx", 1),
        ("/metrics", "2xx", 1),
        ("other", "4xx", 1),
    ] {
        let line = format!("rig_http_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}\n");
        assert!(text.contains(&line), "no {line} in {text}");
    }
    assert!(!text.contains("/no/such"), "{text}");
    let log = text.lines().find_map(|line| line.strip_prefix("rig_log_bytes ")).unwrap();
    let files = std::fs::read_dir(home.default_dir().join("log")).unwrap().map(|entry| entry.unwrap());
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    assert_eq!(log.parse::<u64>().unwrap(), segments.map(|file| file.metadata().unwrap().len()).sum::<u64>());
    assert!(text.contains(concat!("rig_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"")), "{text}");
    if has("promtool", "health_readiness_and_metrics_are_what_their_readers_expect") {
        let mut command = std::process::Command::new("promtool");
        command.args(["check", "metrics"]);
        let ran = crate::support::run(command, text.as_bytes());
        assert_eq!((ran.code, ran.stderr.trim()), (Some(0), ""), "{ran:?}");
    }
}

#[test]
fn a_resource_that_is_held_makes_others_wait_in_order() {
    // Twenty clients increase what they read, each only if it is still what they read.
    let (_home, node) = node();
    let mut first = Client::of(&node);
    first.post("/do", r#"{"method":"counter_create","data":{"id":"c","n":0}}"#);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::of(&node);
            std::thread::spawn(move || {
                let mut done = 0;
                while done < 10 {
                    let read = client.get("/data/counter/c").json()["data"].clone();
                    let (n, version) = (read["n"].as_u64().unwrap(), read["_version"].as_u64().unwrap());
                    let data = json!({ "id": "c", "n": n + 1, "_if_version": version });
                    let answer = client.post("/do", &json!({ "method": "counter_update", "data": data }).to_string());
                    assert!(matches!(answer.status, 200 | 409), "{answer:?}");
                    done += u64::from(answer.status == 200);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(first.get("/data/counter/c").json()["data"]["n"], 80);
}

#[test]
fn tokens_decide_who_may_do_what_and_who_is_recorded() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.ok(&["init"]);
    let tokens = home.file("tokens", "reader read r-token\nwriter write w-token\nops admin a-token\n");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = Node::serve(&home, &["--tokens", tokens.to_str().unwrap()]);
    let mut client = Client::of(&node);
    let body = r#"{"method":"user_create","data":{}}"#;
    let mut post =
        |fields: &str| client.post_with("/do", &format!("Content-Type: application/json\r\n{fields}"), body).status;
    assert_eq!(post(""), 401);
    assert_eq!(post("Authorization: Bearer nobody\r\n"), 401);
    assert_eq!(post("Authorization: Bearer r-token\r\n"), 401);
    assert_eq!(post("X-Api-Key: w-token\r\nX-Rig-Actor: somebody\r\n"), 200);
    assert_eq!(post("Authorization: Bearer a-token\r\nX-Rig-Actor: alice\r\n"), 200);
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/status").status, 401);
    let mut actor = |version: u64| {
        let answer = client.get_with(&format!("/log/record/{version}"), "X-Api-Key: r-token\r\n");
        answer.json()["data"]["actor"].clone()
    };
    assert_eq!((actor(2), actor(3)), (json!("writer"), json!("alice")));
    let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
    assert!(!log.contains("token"), "{log}");
}
