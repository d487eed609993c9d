use std::io::BufReader;

use super::*;
use crate::service::{Documents, Entry, Service};

/// Asks a server one line after the other and gives its answers.
fn ask(service: &mut dyn Service, lines: &[String]) -> Vec<serde_json::Value> {
    let mut output = Vec::new();
    let input = lines.join("");
    serve(service, "documents", BufReader::new(input.as_bytes()), &mut output).unwrap();
    let output = String::from_utf8(output).unwrap();
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn line(call: Call, params: &str) -> String {
    String::from_utf8(call_line(1, call, params)).unwrap()
}

fn logged(version: Version, method: &str, data: &str) -> String {
    let time = "2026-01-01T00:00:00.000000Z";
    format!(r#"{{"version":{version},"epoch":1,"time":"{time}","method":"{method}","data":{data},"hash":"00"}}"#)
}

fn apply_line(ops: &[String]) -> String {
    line(Call::Apply, &format!(r#"{{"from":1,"ops":[{}]}}"#, ops.join(",")))
}

#[test]
fn a_served_service_keeps_the_rules_of_the_page() {
    let mut documents = Documents::default();
    let user = r#"{"id":"a", "n":1}"#;
    let ops = [logged(1, "rig_epoch", "null"), logged(2, "user_create", user), logged(3, "user_create", user)];
    let answers = ask(
        &mut documents,
        &[
            line(Call::Info, r#"{"protocol":1,"node":"n1","cluster_id":null}"#),
            apply_line(&ops),
            apply_line(&ops[1..]),
            apply_line(&[logged(9, "user_create", user)]),
            line(Call::Health, "{}"),
            line(Call::Info, "{}"),
            "{\"id\":1,\"call\":\"dance\"}\n".to_owned(),
            line(Call::Apply, "[]"),
        ],
    );
    assert_eq!(answers[0]["result"]["applied_version"], 0);
    let results = &answers[1]["result"]["results"];
    assert_eq!(answers[1]["result"]["applied_version"], 3);
    assert_eq!((&results[0]["result"], &results[1]["result"]["id"]), (&serde_json::Value::Null, &"a".into()));
    assert_eq!(results[2]["result"]["error"]["status"], 409);
    let duplicates = &answers[2]["result"]["results"];
    assert_eq!(*duplicates, serde_json::json!([{"version":2,"duplicate":true},{"version":3,"duplicate":true}]));
    let gap = &answers[3]["error"];
    assert_eq!((&gap["status"], &gap["code"], &gap["applied_version"]), (&409.into(), &"gap".into(), &3.into()));
    assert!(answers[4].get("result").is_some());
    assert_eq!(answers[5]["result"]["applied_version"], 3);
    assert_eq!(answers[6]["error"]["status"], 404);
    assert_eq!(answers[7]["error"]["status"], 400);
}

#[test]
fn what_is_filled_in_is_made_by_the_clock_of_the_call() {
    let mut documents = Documents::default();
    let op = r#"{"method":"user_create","data":{"n":1}}"#;
    let params = format!(
        r#"{{"base_version":0,"time":"2026-01-01T00:00:00.000000Z","ops":[{op},{op},{{"method":"x","data":1}}]}}"#
    );
    let answers = ask(&mut documents, &[line(Call::Validate, &params)]);
    let results = &answers[0]["result"]["results"];
    let id = |place: usize| results[place]["data"]["id"].as_str().unwrap();
    assert_ne!(id(0), id(1));
    // 2026-01-01 in milliseconds.
    assert!(id(0).starts_with("019b76da-a800-7"), "{}", id(0));
    assert!(results[0]["resources"].is_array());
    assert_eq!((&results[2]["ok"], &results[2]["problem"]["status"]), (&false.into(), &422.into()));
}

#[test]
fn a_served_service_is_saved_and_restored_by_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state").to_str().unwrap().to_owned();
    let nowhere = dir.path().join("no/state").to_str().unwrap().to_owned();
    let mut documents = Documents::default();
    let user = logged(1, "user_create", r#"{"id":"a"}"#);
    let more = logged(2, "user_create", r#"{"id":"b"}"#);
    let empty = dir.path().join("empty").to_str().unwrap().to_owned();
    std::fs::write(&empty, "").unwrap();
    let answers = ask(
        &mut documents,
        &[
            apply_line(&[user]),
            line(Call::Snapshot, &state_file(&path, None)),
            apply_line(&[more]),
            line(Call::Restore, &state_file(&path, Some(2))),
            line(Call::Restore, &state_file(&path, Some(1))),
            line(Call::Snapshot, &state_file(&nowhere, None)),
            line(Call::Restore, &state_file(&empty, Some(1))),
            line(Call::Restore, &state_file(&empty, Some(0))),
        ],
    );
    assert_eq!(answers[1]["result"]["version"], 1);
    assert_eq!(answers[3]["error"]["status"], 422);
    assert_eq!(answers[4]["result"]["applied_version"], 1);
    assert_eq!(answers[5]["error"]["status"], 503);
    assert!(answers[6].get("error").is_some());
    assert_eq!(answers[7]["result"]["applied_version"], 0);
    assert_eq!((documents.version(), documents.digest()), (0, Documents::default().digest()));
    documents.apply(&[Entry { version: 1, time: 1, operation: None }]).unwrap();
}

#[test]
fn what_is_no_call_ends_the_serving() {
    let mut documents = Documents::default();
    for input in ["hello\n", "{}\n", "{\"id\":1,\"call\":\"info\"} {}\n"] {
        let served = serve(&mut documents, "documents", input.as_bytes(), Vec::new());
        assert_eq!(served.unwrap_err().kind(), std::io::ErrorKind::InvalidData, "{input}");
    }
}
