//! The page `rig-service-protocol(7)` against the program: its bounds, its rules, and the calls as it shows them.

use crate::support::root;
use rig::limits::{
    SERVICE_ANSWER_BYTES_MAX, SERVICE_APPLY_TIMEOUT, SERVICE_BATCH_DEFAULT, SERVICE_BATCH_MAX, SERVICE_CALL_BYTES_MAX,
    SERVICE_CONNECTIONS_MAX, SERVICE_INFO_TIMEOUT, SERVICE_RESTART_MAX, SERVICE_RESTART_MIN, SERVICE_SILENCE_MAX,
    SERVICE_VALIDATE_TIMEOUT, SERVICE_WELL_AFTER,
};
use rig::service::{Documents, protocol};
use serde_json::{Value, json};

/// As it is read: without what is there for the typesetter.
fn page() -> String {
    let text = std::fs::read_to_string(root().join("man/rig-service-protocol.7")).unwrap();
    text.replace("\\(dq", "\"").replace("\\-", "-").replace("\\(aq", "'")
}

#[test]
fn the_page_names_every_bound() {
    let page = page();
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    for (place, bound) in [
        ("At most", format!("at most {} MiB of data", SERVICE_CALL_BYTES_MAX >> 20)),
        ("an answer", format!("at most {} MiB.", SERVICE_ANSWER_BYTES_MAX >> 20)),
        ("connections", format!("Rig has at most {SERVICE_CONNECTIONS_MAX}.")),
        ("batch", format!("at most {SERVICE_BATCH_MAX}; not given: {SERVICE_BATCH_DEFAULT}.")),
        ("info", format!("within {}.", seconds(SERVICE_INFO_TIMEOUT))),
        ("validate", format!("none within {})", seconds(SERVICE_VALIDATE_TIMEOUT))),
        ("apply", format!("no answer within {},", seconds(SERVICE_APPLY_TIMEOUT))),
        (
            "restart",
            format!("after {} ms, doubling to {},", SERVICE_RESTART_MIN.as_millis(), seconds(SERVICE_RESTART_MAX)),
        ),
        ("well", format!("answered for {}.", seconds(SERVICE_WELL_AFTER))),
        ("silence", format!("answers nothing for {} is killed", seconds(SERVICE_SILENCE_MAX))),
    ] {
        assert!(page.contains(&bound), "{place}: {bound}");
    }
}

#[test]
fn the_rules_are_numbered_without_gaps_and_nothing_else_is_named_as_one() {
    let page = page();
    let is_rule = |word: &str| {
        word.len() == 2
            && word.starts_with(['E', 'V', 'A', 'S', 'R', 'G'])
            && word.ends_with(|c: char| c.is_ascii_digit())
    };
    let rules: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix(".B ")).filter(|word| is_rule(word)).collect();
    for letter in ["E", "V", "A", "S", "R", "G"] {
        let numbers: Vec<usize> = rules.iter().filter_map(|rule| rule.strip_prefix(letter)?.parse().ok()).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{letter}");
        assert!(!numbers.is_empty(), "{letter}");
    }
    // What the program says is broken, or checks, can be looked up there.
    let mut named = 0;
    for folder in ["src/service/protocol", "src/node/adapter", "src/cli/service/check"] {
        for path in crate::tidy::rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            for word in text.split('"').skip(1).step_by(2).filter(|word| is_rule(word)) {
                assert!(rules.contains(&word), "{}: {word}", path.display());
                named += 1;
            }
        }
    }
    assert!(named >= 20, "{named}");
}

/// The calls of the page, put to the documents behind the pipe that the library offers.
#[test]
fn the_calls_of_the_page_are_understood() {
    let call = |id: u32, call: &str, params: Value| json!({ "id": id, "call": call, "params": params }).to_string();
    let create = json!({ "method": "user_create", "data": { "email": "a@x.org" }, "idempotency_key": "k1" });
    let hash = "9f".repeat(32);
    let time = "2026-11-26T09:00:00.000000Z";
    let record = |version: u32, method: &str, data: Value| json!({ "version": version, "epoch": 3, "time": time, "method": method, "data": data, "hash": hash });
    let lines = [
        call(1, "info", json!({ "protocol": 1, "node": "n1", "cluster_id": null })),
        call(2, "validate", json!({ "base_version": 0, "time": time, "ops": [create] })),
        call(
            3,
            "apply",
            json!({ "from": 1, "ops": [
                record(1, "rig_epoch", Value::Null), record(2, "user_create", json!({ "id": "u1", "email": "a@x.org" })),
            ] }),
        ),
        call(4, "apply", json!({ "from": 9, "ops": [record(9, "rig_config", Value::Null)] })),
        call(5, "health", json!({})),
    ]
    .join("\n");
    let mut out = Vec::new();
    protocol::serve(&mut Documents::default(), "documents", lines.as_bytes(), &mut out).unwrap();
    let said: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&said[0]["result"]["protocol"], &said[0]["result"]["applied_version"]), (&json!(1), &json!(0)));
    let valid = &said[1]["result"]["results"][0];
    assert!(valid["ok"] == true && valid["data"]["id"].is_string() && valid["resources"].is_array(), "{valid}");
    assert_eq!(said[2]["result"]["applied_version"], 2);
    assert_eq!(said[2]["result"]["results"][1]["version"], 2);
    let gap = &said[3]["error"];
    assert_eq!(
        (&gap["status"], &gap["code"], &gap["applied_version"]),
        (&json!(409), &json!("gap"), &json!(2)),
        "{gap}"
    );
    assert!(said[4]["result"].is_object() || said[4]["result"].is_null(), "{}", said[4]);
}
