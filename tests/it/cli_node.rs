//! The commands against a running node.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, Node, run};

fn users(count: usize) -> String {
    (0..count).map(|n| format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n:04}\",\"n\":{n}}}}}\n")).collect()
}

#[test]
fn the_four_commands_of_the_story_need_no_flags() {
    let home = Home::new();
    home.ok(&["init"]);
    // The default port may be taken on this machine, so the port is the one thing that is said.
    let _node = Node::serve(&home, &["--role", "primary"]);
    home.file("payload.json", "{\n  \"id\": \"alice\",\n  \"name\": \"Alice\"\n}\n");
    let applied = home.ok(&["apply", "user_create", "payload.json"]).stdout;
    assert!(applied.starts_with("ok  version 2  user_create  id=alice  local (default)  "), "{applied}");
    let verified = home.ok(&["log", "verify"]).stdout;
    assert!(verified.lines().last().unwrap().starts_with("PASS  2 records, 0 errors"), "{verified}");
    assert_eq!(home.ok(&["get", "user", "alice", "--json"]).json()["name"], "Alice");
}

#[test]
fn an_applied_operation_has_the_members_of_the_contract() {
    let home = Home::new();
    let _node = Node::new(&home);
    let line = ["apply", "user_create", "--data", "{\"id\":\"a\"}", "--key", "k1", "--json"];
    let first = home.ok(&line).json();
    for (member, value) in [
        ("type", json!("applied")),
        ("version", json!(2)),
        ("epoch", json!(1)),
        ("method", json!("user_create")),
        ("durability", json!("local")),
        ("acks", json!(["default"])),
        ("result", json!({"id": "a", "version": 2})),
        ("replayed", json!(false)),
    ] {
        assert_eq!(first[member], value, "{member}: {first}");
    }
    assert!(first["latency_us"].as_u64().unwrap() > 0);
    let again = home.ok(&line).json();
    assert_eq!((&again["replayed"], &again["version"], &again["hash"]), (&json!(true), &json!(2), &first["hash"]));
    let refused = home.run(&["apply", "user_create", "--data", "{\"id\":\"a\"}", "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(6), &json!("exists")));
    let reused = home.run(&["apply", "user_create", "--data", "{\"id\":\"b\"}", "--key", "k1", "--json"]);
    assert_eq!((reused.code, &reused.error()["code"]), (Some(5), &json!("key_reused")));
    let method = home.run(&["apply", "frobnicate", "--data", "{}", "--json"]);
    assert_eq!((method.code, &method.error()["code"]), (Some(5), &json!("unknown_method")));
    let own = home.run(&["apply", "rig_epoch", "--data", "{}", "--json"]);
    assert_eq!((own.code, &own.error()["code"]), (Some(5), &json!("invalid")));
    let late = home.run(&["apply", "user_put", "--data", "{\"id\":\"b\"}", "--expect-version", "9", "--json"]);
    assert_eq!((late.code, &late.error()["code"]), (Some(6), &json!("version_conflict")));
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"b\"}", "--expect-version", "3"]);
    let dry = home.ok(&["apply", "user_create", "--data", "{\"id\":\"c\"}", "--dry-run", "--json"]).json();
    assert_eq!(dry["type"], "valid");
    let dry = home.run(&["apply", "user_create", "--data", "{\"id\":\"b\"}", "--dry-run"]);
    assert_eq!(dry.code, Some(6));
    assert_eq!(home.run(&["get", "user", "c"]).code, Some(3));
    let payload = home.run_with(&["apply", "user_create", "-"], b"{\"id\":\"d\"}");
    assert_eq!(payload.code, Some(0), "{payload:#?}");
}

#[test]
fn a_batch_tells_of_every_line_and_ends_with_the_worst() {
    let home = Home::new();
    let _node = Node::new(&home);
    home.file("good.ndjson", users(1500));
    let lines = home.ok(&["apply", "--batch", "good.ndjson", "--json"]).lines();
    assert_eq!(lines.len(), 1501);
    assert!(lines[..1500].iter().enumerate().all(|(at, line)| line["type"] == "applied" && line["line"] == at + 1));
    let summary = &lines[1500];
    assert_eq!(
        (&summary["type"], &summary["ok"], &summary["rejected"], &summary["unknown"]),
        (&json!("summary"), &json!(1500), &json!(0), &json!(0))
    );
    assert_eq!((&summary["first_version"], &summary["last_version"]), (&json!(2), &json!(1501)));
    let mixed = "{\"method\":\"user_put\",\"data\":{\"id\":\"z\"}}\n{\"method\":\"user_create\",\"data\":{\"id\":\"z\"}}\n{\"method\":\"user_delete\",\"data\":{\"id\":\"nobody\"}}\nnope\n";
    let ran = home.run_with(&["apply", "--batch", "-", "--json"], mixed.as_bytes());
    assert_eq!(ran.code, Some(6));
    let lines = ran.lines();
    let told: Vec<_> = lines.iter().map(|line| (line["type"].as_str().unwrap(), line["code"].as_str())).collect();
    assert_eq!(
        told,
        [
            ("applied", None),
            ("rejected", Some("exists")),
            ("rejected", Some("not_found")),
            ("rejected", Some("bad_json")),
            ("summary", None)
        ]
    );
    assert!(lines[1]["line"] == 2 && lines[1]["status"] == 409 && lines[1]["message"].is_string());
    let quiet = home.run_with(&["apply", "--batch", "-", "-q"], mixed.as_bytes());
    assert_eq!(quiet.stdout.lines().count(), 1, "{quiet:#?}");
    assert_eq!(home.run_with(&["apply", "--batch", "-", "--json"], b"").json()["ok"], 0);
}

#[test]
fn lines_that_somebody_types_are_answered_before_the_next_one() {
    let home = Home::new();
    let _node = Node::new(&home);
    let mut command = home.rig(&["apply", "--batch", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = std::io::BufReader::new(child.stdout.take().unwrap());
    for version in 2..5_u64 {
        writeln!(input, "{{\"method\":\"user_put\",\"data\":{{\"id\":\"{version}\"}}}}").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut answers, &mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["version"], version);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_dump_applied_elsewhere_gives_the_same_documents() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    home.ok(&["init", "n2"]);
    let _one = Node::serve(&home, &["-D", "n1"]);
    let _two = Node::serve(&home, &["-D", "n2"]);
    home.file("good.ndjson", users(500));
    home.ok(&["apply", "--batch", "good.ndjson", "-q", "-N", "n1"]);
    home.ok(&["apply", "user_update", "--data", "{\"id\":\"u0001\",\"n\":1.50,\"x\":\"\\u00e9\"}", "-N", "n1"]);
    home.ok(&["apply", "user_delete", "--data", "{\"id\":\"u0002\"}", "-N", "n1"]);
    let dump = home.ok(&["log", "dump", "-D", "n1", "--json"]).stdout;
    let applied = home.run_with(&["apply", "--batch", "-", "--json", "-N", "n2"], dump.as_bytes());
    assert_eq!(applied.code, Some(0), "{applied:#?}");
    let summary = applied.lines().pop().unwrap();
    assert_eq!((&summary["ok"], &summary["skipped"]), (&json!(502), &json!(1)));
    let plain = |node: &str| {
        let documents = home.ok(&["ls", "user", "--json", "-N", node]).lines();
        let own = |document: Value| {
            let Value::Object(members) = document else { panic!("not an object") };
            members.into_iter().filter(|(name, _)| !name.starts_with('_')).collect::<serde_json::Map<_, _>>()
        };
        documents.into_iter().map(own).collect::<Vec<_>>()
    };
    assert_eq!(plain("n1").len(), 499);
    assert_eq!(plain("n1"), plain("n2"));
    // Once more changes nothing: the keys came with the dump.
    let again = home.run_with(&["apply", "--batch", "-", "--json", "-N", "n2"], dump.as_bytes()).lines();
    assert!(again[..502].iter().all(|line| line["replayed"] == true));
    // Two primaries run: which one is meant must be said.
    let several = home.run(&["get", "user", "u0001", "--json"]);
    assert_eq!(several.code, Some(2));
    assert!(several.error()["message"].as_str().unwrap().contains("n1, n2"));
}

#[test]
fn documents_are_listed_and_waited_for() {
    let home = Home::new();
    let _node = Node::new(&home);
    home.file("good.ndjson", users(2500));
    home.ok(&["apply", "--batch", "good.ndjson", "-q"]);
    assert_eq!(home.ok(&["ls", "user", "--json"]).lines().len(), 2500);
    let table = home.ok(&["ls", "user"]).stdout;
    assert_eq!(table.lines().count(), 2501);
    assert_eq!(table.lines().filter(|line| line.starts_with("ID")).count(), 1);
    let some = home.ok(&["ls", "user", "--limit", "2", "--after", "u0009", "--json"]).lines();
    assert_eq!(some.iter().map(|document| &document["id"]).collect::<Vec<_>>(), ["u0010", "u0011"]);
    assert_eq!(home.ok(&["ls", "user", "--where", "n=7", "--json"]).json()["id"], "u0007");
    assert_eq!(home.ok(&["ls", "nothing", "--json"]).stdout, "");
    home.ok(&["get", "user", "u0001", "--min-version", "2501"]);
    let late = home.run(&["get", "user", "u0001", "--min-version", "9999", "--timeout", "200ms", "--json"]);
    assert_eq!((late.code, &late.error()["code"]), (Some(8), &json!("lagging")));
    home.ok(&["wait", "ready"]);
    home.ok(&["wait", "role=primary"]);
    home.ok(&["wait", "version=2501"]);
    assert_eq!(home.run(&["wait", "version=9999", "--timeout", "200ms"]).code, Some(12));
    assert_eq!(home.run(&["wait", "in-sync", "--timeout", "200ms"]).code, Some(12));
}

#[test]
fn a_schema_is_set_shown_and_obeyed() {
    let home = Home::new();
    let _node = Node::new(&home);
    let set = home.ok(&["schema", "set", "user", "--unique", "email", "--required", "name", "--json"]).json();
    assert_eq!((&set["method"], &set["version"]), (&json!("schema_set"), &json!(2)));
    let schema = home.ok(&["schema", "get", "user", "--json"]).json();
    assert_eq!((&schema["unique"], &schema["required"]), (&json!(["email"]), &json!(["name"])));
    assert_eq!(home.ok(&["schema", "ls", "--json"]).json()["type"], "user");
    assert!(home.ok(&["schema", "ls"]).stdout.contains("email"));
    assert_eq!(home.run(&["schema", "get", "team"]).code, Some(3));
    home.ok(&["apply", "user_create", "--data", "{\"id\":\"a\",\"name\":\"A\",\"email\":\"e\"}"]);
    let twice =
        home.run(&["apply", "user_create", "--data", "{\"id\":\"b\",\"name\":\"B\",\"email\":\"e\"}", "--json"]);
    assert_eq!((twice.code, &twice.error()["code"]), (Some(6), &json!("unique")));
    assert_eq!(home.run(&["apply", "user_create", "--data", "{\"id\":\"b\",\"email\":\"f\"}"]).code, Some(5));
}

#[test]
fn the_log_is_dumped_alike_from_the_directory_and_from_the_node() {
    let home = Home::new();
    let node = Node::new(&home);
    home.file("good.ndjson", users(1200));
    home.ok(&["apply", "--batch", "good.ndjson", "-q"]);
    home.ok(&["apply", "user_update", "--data", "{\"id\":\"u0003\",\"x\":true}"]);
    let both = |arguments: &[&str]| {
        let dump = |from: &[&str]| home.ok(&[&["log", "dump", "--json"], arguments, from].concat()).stdout;
        let here = dump(&[]);
        assert_eq!(here, dump(&["-N", "default"]), "{arguments:?}");
        assert_eq!(here, dump(&["-N", node.url()]), "{arguments:?}");
        here.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let versions = |lines: &[Value]| lines.iter().map(|line| line["version"].as_u64().unwrap()).collect::<Vec<_>>();
    home.ok(&["wait", "version=1202"]);
    let all = both(&[]);
    assert_eq!(versions(&all), (1..=1202).collect::<Vec<_>>());
    assert_eq!(all[0]["method"], "rig_epoch");
    assert_eq!(versions(&both(&["--from", "3", "--to", "5"])), [3, 4, 5]);
    assert_eq!(versions(&both(&["-r", "-n", "3"])), [1202, 1201, 1200]);
    assert_eq!(versions(&both(&["-r"])), (1..=1202).rev().collect::<Vec<_>>());
    assert_eq!(versions(&both(&["--type", "user", "--id", "u0003"])), [5, 1202]);
    assert_eq!(versions(&both(&["--method", "*_update"])), [1202]);
    assert_eq!(versions(&both(&["--method", "rig_*", "-r"])), [1]);
    assert!(both(&["--since", "2100-01-01T00:00:00Z"]).is_empty());
    assert_eq!(both(&["--until", "2100-01-01T00:00:00Z"]).len(), 1202);
    assert!(both(&["--from", "5000"]).is_empty());
    assert!(both(&["-n", "1", "--with-data", "none"])[0].get("data").is_none());
    let table = home.ok(&["log", "dump", "-n", "2"]).stdout;
    assert_eq!(table.lines().count(), 3);
    assert!(table.lines().next().unwrap().contains("VERSION  TIME"));
}

#[test]
fn a_followed_log_goes_on_from_either_side() {
    let home = Home::new();
    let _node = Node::new(&home);
    for from in [&[][..], &["-N", "default"]] {
        let mut command = home.rig(&[&["log", "dump", "-f", "--json", "--method", "user_*"], from].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
        for id in ["a", "b"] {
            let data = format!("{{\"id\":\"{id}\"}}");
            let applied = home.ok(&["apply", "user_put", "--data", &data, "--json"]).json();
            loop {
                let mut line = String::new();
                assert!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap() > 0, "it ended");
                let record: Value = serde_json::from_str(&line).unwrap();
                if record["version"] == applied["version"] {
                    assert_eq!(record["data"]["id"], id);
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_killed_node_in_the_middle_of_a_batch_loses_and_doubles_nothing() {
    let home = Home::new();
    home.ok(&["init"]);
    let mut node = Node::serve(&home, &[]);
    let listen = node.url().strip_prefix("http://").unwrap().to_owned();
    home.file("good.ndjson", users(40_000));
    let mut command = home.rig(&["apply", "--batch", "good.ndjson", "--json"]);
    let child = command.stdout(std::fs::File::create(home.path("out")).unwrap()).spawn().unwrap();
    let mut child = child;
    while std::fs::metadata(home.path("out")).unwrap().len() < 200_000 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    node.kill();
    let _again = Node::serve(&home, &["--listen", &listen]);
    assert!(child.wait().unwrap().success());
    let out = std::fs::read_to_string(home.path("out")).unwrap();
    let summary: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["ok"], &summary["unknown"]), (&json!(40_000), &json!(0)));
    let dump = home.ok(&["log", "dump", "--json", "--method", "user_put"]).lines();
    assert_eq!(dump.len(), 40_000);
    for (at, record) in dump.iter().enumerate() {
        assert_eq!(record["data"]["n"], at, "in the order of the input");
    }
    home.ok(&["log", "verify"]);
}

#[test]
fn a_node_that_says_nothing_leaves_the_outcome_unknown_with_its_key() {
    let home = Home::new();
    let node = Node::new(&home);
    node.signal("STOP");
    let ran = home.run(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "--timeout", "300ms", "--json"]);
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    let error = ran.error();
    assert_eq!((&error["definite"], &error["retryable"]), (&json!(false), &json!(true)));
    let key = error["key"].as_str().unwrap().to_owned();
    assert!(error["hint"].as_str().unwrap().contains(&key));
    let read = home.run(&["get", "user", "a", "--timeout", "300ms"]);
    assert_eq!(read.code, Some(4));
    node.signal("CONT");
    let applied = home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "--key", &key, "--json"]).json();
    assert_eq!(applied["version"], 2);
    assert_eq!(home.ok(&["log", "dump", "--json", "--method", "user_*"]).lines().len(), 1);
}

#[test]
fn a_quiet_batch_still_shows_the_keys_of_what_is_unknown() {
    let home = Home::new();
    let node = Node::new(&home);
    node.signal("STOP");
    let lines = "{\"method\":\"user_put\",\"data\":{\"id\":\"a\"}}\n".repeat(3);
    let ran = home.run_with(&["apply", "--batch", "-", "-q", "--json", "--timeout", "300ms"], lines.as_bytes());
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    assert_eq!((&ran.json()["type"], &ran.json()["unknown"]), (&json!("summary"), &json!(3)));
    let told: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let unknown: Vec<_> = told.iter().filter(|line| line["type"] == "unknown").collect();
    assert_eq!(unknown.iter().map(|line| line["line"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    node.signal("CONT");
    let key = unknown[1]["key"].as_str().unwrap();
    let applied = home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "--key", key, "--json"]).json();
    assert!((2..=4).contains(&applied["version"].as_u64().unwrap()), "the same operation: {applied}");
}

#[test]
fn a_start_tells_programs_too_what_it_has_found() {
    let home = Home::new();
    let mut node = Node::new(&home);
    assert_eq!(node.ready["notes"], json!([]));
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}"]);
    node.kill();
    let node = Node::serve(&home, &[]);
    let notes = node.ready["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().starts_with("2 records replayed"), "{notes:?}");
    drop(node);
    // A power cut in the middle of the last record, which nobody was promised.
    let segment = home.default_dir().join("log/00000000000000000001.log");
    let bytes = std::fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    std::fs::write(&segment, &bytes[..end - 20]).unwrap();
    let dir = home.default_dir();
    std::fs::remove_file(dir.join("state/mark")).unwrap();
    let node = Node::serve(&home, &[]);
    let notes = node.ready["notes"].as_array().unwrap();
    let cut = notes[0].as_str().unwrap();
    assert!(cut.starts_with("version 3 was never whole: ") && cut.contains("rescue/"), "{notes:?}");
    assert!(notes[1].as_str().unwrap().contains(" replayed behind "), "{notes:?}");
}

#[test]
fn serve_is_refused_by_its_exit_code_and_stops_by_a_signal() {
    let home = Home::new();
    let mut node = Node::new(&home);
    assert_eq!(home.run(&["serve", "--listen", "127.0.0.1:0"]).code, Some(10));
    home.ok(&["init", "n2"]);
    let listen = node.url().strip_prefix("http://").unwrap().to_owned();
    let taken = home.run(&["serve", "-D", "n2", "--listen", &listen, "--json"]);
    assert_eq!(taken.code, Some(1), "{taken:#?}");
    assert!(taken.error()["message"].as_str().unwrap().contains(&listen));
    assert_eq!(home.run(&["serve", "-D", "n2", "--listen", "0.0.0.0:0"]).code, Some(2));
    assert_eq!(home.run(&["serve", "-D", "n2", "--role", "leader"]).code, Some(2));
    assert_eq!(home.run(&["log", "repair", "--truncate-from", "1", "--confirm", "default"]).code, Some(10));
    let status = home.ok(&["status", "-D", ".local/share/rig/default", "--json"]).json();
    assert_eq!((&status["state"], &status["pid"]), (&json!("serving"), &json!(node.pid())));
    assert_eq!(home.ok(&["status", "--check", "-N", "default"]).code, Some(0));
    assert_eq!(home.run(&["status", "--check"]).code, Some(4), "n2 is stopped");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    assert_eq!(home.run(&["get", "user", "a"]).code, Some(4));
    assert_eq!(home.ok(&["status", "-N", "default", "--json"]).json()["state"], "stopped");
}

#[test]
fn tokens_are_asked_for_and_never_shown() {
    let home = Home::new();
    home.ok(&["init"]);
    use std::os::unix::fs::PermissionsExt;
    let tokens = home.file("tokens", "ops admin s3cret-token-of-the-operator-0123456789\n");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let _node = Node::serve(&home, &["--tokens", tokens.to_str().unwrap()]);
    let without = home.run(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "--json"]);
    assert_eq!((without.code, &without.error()["code"]), (Some(11), &json!("auth")));
    home.file("token", "s3cret-token-of-the-operator-0123456789\n");
    let with = home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}", "--token-file", "token", "-v"]);
    assert!(with.stderr.contains("$RIG_TOKEN") && !with.stderr.contains("s3cret"), "{}", with.stderr);
    let mut env = home.rig(&["get", "user", "a"]);
    env.env("RIG_TOKEN", "s3cret-token-of-the-operator-0123456789");
    assert_eq!(run(env, b"").code, Some(0));
    let batch = home.run_with(&["apply", "--batch", "-"], users(10).as_bytes());
    assert_eq!(batch.code, Some(11));
}
