use super::*;

#[test]
fn a_problem_keeps_everything_that_the_service_says() {
    let body = r#"{"type":"x","status":418,"code":"taken","title":"T","detail":"D","hint":"H","retryable":true,"email":"a@x.org","n":[1],"definite":false}"#;
    let problem = problem_of(409, body.as_bytes());
    assert_eq!((problem.status, &*problem.code, &*problem.title), (409, "taken", "T"));
    assert_eq!((&*problem.detail, &*problem.hint), ("D", "H"));
    assert!(problem.retryable && problem.definite);
    let extra = [("email".into(), "a@x.org".into()), ("n".into(), serde_json::json!([1]))];
    assert_eq!(problem.extra, extra);
}

#[test]
fn what_a_problem_does_not_say_follows_from_its_status() {
    for (status, body, code, detail) in [
        (404, "no such user", "not_found", "no such user"),
        (409, "\"taken\"", "conflict", "taken"),
        (422, "{}", "invalid", "the service says 422 and gives no reason"),
        (422, "", "invalid", "the service says 422 and gives no reason"),
        (418, r#"{"error":"teapot"}"#, "refused", "teapot"),
        (500, r#"{"error":{"code":"boom","detail":"d"}}"#, "boom", "d"),
        (500, "\u{1b}[31m\u{fffd}", "service_unavailable", "\u{fffd}[31m\u{fffd}"),
        (400, r#"{"code":7,"detail":["x"]}"#, "bad_request", "the service says 400 and gives no reason"),
    ] {
        let problem = problem_of(status, body.as_bytes());
        assert_eq!((&*problem.code, &*problem.detail), (code, detail), "{body}");
        assert!(!problem.title.is_empty());
        assert!(!problem.extra.iter().any(|(name, _)| name == "error"), "{body}");
    }
    let large = format!(r#"{{"code":"a","detail":"{}"}}"#, "x".repeat(1 << 20));
    let problem = problem_of(422, large.as_bytes());
    assert!(problem.detail.len() <= 4096 && problem.code == "invalid");
}
