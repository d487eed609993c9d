//! What does not fit, and text that should never have come.

use super::Bench;
use crate::limits::DATA_BYTES_MAX;
use crate::service::{Documents, Settings};

#[test]
fn over_the_memory_limit_only_what_grows_is_refused() {
    let mut bench = Bench { documents: Documents::new(Settings { memory_max_bytes: 1000 }) };
    bench.ok("user_create", &format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(500)));
    let problem = bench.validate("user_create", &format!(r#"{{"id":"b","x":"{}"}}"#, "x".repeat(300))).unwrap_err();
    assert_eq!((problem.status, &*problem.code, problem.retryable), (503, "overloaded", true));
    assert!(problem.detail.contains("--memory-max"), "{problem}");
    assert_eq!(
        bench.validate("user_update", &format!(r#"{{"id":"a","y":"{}"}}"#, "x".repeat(400))).unwrap_err().status,
        503
    );
    // The limit is this machine's: what another has taken is applied.
    let before = bench.documents.memory_bytes();
    assert_eq!(bench.apply("user_create", &format!(r#"{{"id":"b","x":"{}"}}"#, "x".repeat(300))).status, 200);
    assert!(before < 1000 && bench.documents.memory_bytes() > 1000);
    assert_eq!(bench.documents.memory_max_bytes(), 1000);
    bench.ok("user_update", r#"{"id":"b","x":null}"#);
    bench.ok("user_put", r#"{"id":"a","x":"xx"}"#);
    bench.ok("user_delete", r#"{"id":"b"}"#);
    bench.ok("user_delete", r#"{"id":"a"}"#);
    assert_eq!(bench.documents.memory_bytes(), 0);
}

#[test]
fn a_document_cannot_grow_beyond_a_record_by_updates() {
    let mut bench = Bench::new();
    let half = "x".repeat(DATA_BYTES_MAX / 2);
    bench.ok("user_create", &format!(r#"{{"id":"a","x":"{half}"}}"#));
    let update = format!(r#"{{"id":"a","y":"{half}"}}"#);
    let problem = bench.refused("user_update", &update, 413, "too_large");
    assert!(problem.detail.contains(&DATA_BYTES_MAX.to_string()));
}

#[test]
fn text_that_never_passed_the_door_is_survived_and_counted() {
    let texts = [
        "",
        "{",
        "{\"id\":\"a\",\"x\":}",
        "nonsense",
        "{\"id\":\"a\",\"x\":[}]}",
        "{\"id\":\"a\",\"a\":1,\"a\":2}",
        "{\"id\": \"a\"}",
    ];
    let deep = format!(r#"{{"id":"a","x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(r#"{{"id":"a","x":{}1{}}}"#, r#"{"x":"#.repeat(100_000), "}".repeat(100_000));
    let mut bench = Bench::with(&[("schema_set", r#"{"type":"user","unique":["x"]}"#)]);
    for text in texts.iter().copied().chain([deep.as_str(), nested.as_str()]) {
        for method in ["user_put", "user_update", "user_create", "user_delete", "schema_set"] {
            let outcome = bench.apply(method, text);
            assert!(matches!(outcome.status, 200 | 404 | 409 | 422), "{method}: {outcome:?}");
        }
    }
    bench.contents();
    let rules =
        format!(r#"{{"type":"t","json_schema":{}true{}}}"#, r#"{"items":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(bench.apply("schema_set", &rules).status, 422);
}
