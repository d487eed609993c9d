use super::*;
use crate::service::{Outcome, Resource};

#[test]
fn info_is_read_with_what_is_missing_filled_in() {
    let found = info(&answer(200, r#"{"protocol":1,"name":"users","applied_version":1041}"#)).unwrap();
    let expected = Info {
        name: "users".to_owned(),
        applied: 1041,
        applied_hash: None,
        methods: None,
        max_batch: 256,
        stateful_validate: true,
        snapshots: true,
        examples: Vec::new(),
    };
    assert_eq!(found, expected);
    let hash = "ab".repeat(32);
    let full = format!(
        r#"{{"applied_version":0,"applied_hash":"{hash}","methods":["a","b"],"max_batch":5000,"stateful_validate":false,
            "snapshots":false,"examples":[{{"method":"a","data":{{"x" : 1}}}},{{"method":"b"}},{{"method":"c","data":{{"x":1,"x":2}}}}],"new":1}}"#
    );
    let found = info(&answer(200, &full)).unwrap();
    assert_eq!((found.max_batch, found.stateful_validate, found.snapshots), (1024, false, false));
    assert_eq!(found.applied_hash, hash.parse().ok());
    assert_eq!(found.methods, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(found.examples, [Operation::new("a", r#"{"x":1}"#), Operation::new("b", "null")]);
}

#[test]
fn info_that_says_too_little_or_nonsense_is_refused() {
    for body in [
        "",
        "{}",
        r#"{"applied_version":-1}"#,
        r#"{"applied_version":"7"}"#,
        r#"{"applied_version":1,"protocol":2}"#,
        r#"{"applied_version":1,"max_batch":0}"#,
        r#"{"applied_version":1,"applied_hash":"abc"}"#,
        r#"{"applied_version":1,"applied_version":2}"#,
    ] {
        let Err(Unfit::Broken(broken)) = info(&answer(200, body)) else { panic!("{body}") };
        assert_eq!(broken.rule, "info", "{body}");
    }
    let Err(Unfit::Away(why)) = info(&answer(500, "oh no")) else { panic!() };
    assert!(why.contains("500") && why.contains("oh no"), "{why}");
    assert!(matches!(info(&answer(302, "")), Err(Unfit::Broken(_))));
    assert!(matches!(info(&answer(404, "")), Err(Unfit::Refused(_))));
}

fn judge(body: &str) -> Result<Vec<Verdict>, Unfit> {
    let operations = operations();
    let asked = operations.each_ref().map(|operation| Asked { operation, key: None });
    verdicts(&answer(200, body), &asked[..1])
}

fn judge_two(body: &str) -> Result<Vec<Verdict>, Unfit> {
    let operations = operations();
    let asked = operations.each_ref().map(|operation| Asked { operation, key: None });
    verdicts(&answer(200, body), &asked)
}

#[test]
fn a_consent_says_what_to_log_and_what_to_hold() {
    let keys = |keys: &[(&str, bool)]| {
        Resources::Keys(keys.iter().map(|(key, shared)| Resource { key: (*key).into(), shared: *shared }).collect())
    };
    for (result, data, held) in [
        (r#"{"ok":true}"#, None, Resources::Alone),
        (r#"{"ok":true,"data":null,"resources":null,"problem":null}"#, None, Resources::Alone),
        (r#"{"ok":true,"resources":[]}"#, None, keys(&[])),
        (r#"{"ok":true,"data":{"id": "u1",  "a":1.50}}"#, Some(r#"{"id":"u1","a":1.50}"#), Resources::Alone),
        (r#"{"ok":true,"data":{ "email":"a@x.org" }}"#, None, Resources::Alone),
        (
            r#"{"ok":true,"resources":["b",{"name":"c","shared":true},{"name":"b","shared":true},"a","b",{"name":"d"}]}"#,
            None,
            keys(&[("a", false), ("b", false), ("c", true), ("d", false)]),
        ),
    ] {
        for body in [format!("{{\"results\":[{result}]}}"), format!(" [{result}]")] {
            let expected = Ok((data.map(Box::from), held.clone()));
            assert_eq!(judge(&body), Ok(vec![expected]), "{body}");
        }
    }
}

#[test]
fn a_refusal_is_the_services_own() {
    for (result, status, code) in [
        (r#"{"ok":false}"#, 422, "invalid"),
        (r#"{"ok":false,"problem":{"detail":"no"}}"#, 422, "invalid"),
        (r#"{"ok":false,"problem":{"status":409,"code":"taken"}}"#, 409, "taken"),
        (r#"{"ok":false,"error":{"status":404}}"#, 404, "not_found"),
        (r#"{"problem":"no"}"#, 422, "invalid"),
        (r#"{"ok":false,"problem":{"status":503,"code":"resource_busy"}}"#, 503, "resource_busy"),
        // No refusal and no consent: rule V5.
        (r#"{"ok":false,"problem":{"status":500,"code":"oops"}}"#, 503, "service_unavailable"),
    ] {
        let verdicts = judge(&format!("[{result}]")).unwrap();
        let Err(problem) = &verdicts[0] else { panic!("{result}") };
        assert_eq!((problem.status, &*problem.code), (status, code), "{result}");
        assert!(problem.definite);
    }
    let busy = verdicts(&answer(503, r#"{"code":"resource_busy","detail":"d"}"#), &[]).unwrap();
    assert_eq!(busy, []);
    let operations = operations();
    let asked = [Asked { operation: &operations[0], key: None }];
    let busy = verdicts(&answer(503, r#"{"code":"resource_busy","detail":"d"}"#), &asked).unwrap();
    assert!(matches!(&busy[0], Err(problem) if problem.code == "resource_busy" && problem.detail == "d"));
    assert!(matches!(verdicts(&answer(503, "{}"), &asked), Err(Unfit::Away(_))));
    assert!(matches!(verdicts(&answer(422, "{}"), &asked), Err(Unfit::Refused(_))));
}

#[test]
fn a_judgement_that_breaks_a_rule_is_named_and_takes_no_other_down() {
    let deep = format!("{{\"ok\":true,\"data\":{}{}}}", "[".repeat(129), "]".repeat(129));
    let large = format!("{{\"ok\":true,\"data\":\"{}\"}}", "x".repeat(crate::limits::DATA_BYTES_MAX));
    let many = format!("{{\"ok\":true,\"resources\":[\"{}\"]}}", "x".repeat(1 << 20));
    for (result, rule) in [
        (r#"{"ok":true,"data":{"a":1,"a":2}}"#, "V2"),
        (r#"{"ok":true,"data":"\ud800"}"#, "V2"),
        (r#"{"ok":true,"data":1e999}"#, "V2"),
        (&*deep, "V2"),
        (&*large, "V2"),
        (&*many, "V3"),
        (r#"{"ok":true,"resources":[7]}"#, "V5"),
        (r#"{"ok":true,"resources":"a"}"#, "V5"),
        (r#"{"ok":"yes"}"#, "V5"),
        (r#"{"ok":true,"problem":{"status":409}}"#, "V5"),
        (r#"{"ok":false,"problem":{"status":200}}"#, "V5"),
        ("{}", "V5"),
        ("null", "V5"),
    ] {
        let Err(Unfit::Broken(broken)) = judge(&format!("[{result}]")) else { panic!("{result}") };
        assert_eq!(broken.rule, rule, "{result}");
        let both = judge_two(&format!("[{result},{{\"ok\":true}}]")).unwrap();
        let Err(problem) = &both[0] else { panic!("{result}") };
        assert_eq!((&*problem.code, &problem.extra[0].1), ("service_unavailable", &rule.into()), "{result}");
        assert!(both[1].is_ok());
    }
    for body in ["", "[]", "nonsense", r#"{"results":[]}"#, r#"[{"ok":true},{"ok":true}]"#, r#"{"ok":true}"#] {
        let Err(Unfit::Broken(broken)) = judge(body) else { panic!("{body}") };
        assert_eq!(broken.rule, "validate", "{body}");
    }
}

fn apply_two(status: u16, body: &str) -> Result<Vec<Outcome>, Unfit> {
    let operations = operations();
    applied(&answer(status, body), &committed(&operations))
}

#[test]
fn results_become_outcomes_in_the_services_own_spelling() {
    let outcome = |status, result: &str| Outcome { status, result: result.into() };
    for (result, expected) in [
        (r#""result":{"b": 1.50, "a" :"\u0041 \" b"}"#, outcome(200, r#"{"b":1.50,"a":"\u0041 \" b"}"#)),
        (r#""result":"a  b""#, outcome(200, "\"a  b\"")),
        (r#""result":{"a":1,"a":2}"#, outcome(200, r#"{"a":1,"a":2}"#)),
        (r#""result":null"#, outcome(200, "null")),
        (r#""other":1"#, outcome(200, "null")),
        (
            r#""result":{"error": {"status":409,"code":"exists"},"x":1}"#,
            outcome(409, r#"{"error":{"status":409,"code":"exists"},"x":1}"#),
        ),
        (r#""error": {"status":422, "detail":"d"}"#, outcome(422, r#"{"error":{"status":422,"detail":"d"}}"#)),
        // An `error` that is no failure by the rules is a result like any other.
        (r#""result":{"error":"text"}"#, outcome(200, r#"{"error":"text"}"#)),
        (r#""result":{"error":{"status":200}}"#, outcome(200, r#"{"error":{"status":200}}"#)),
        (r#""result":{"error":{"status":"409"}}"#, outcome(200, r#"{"error":{"status":"409"}}"#)),
        (r#""result":{"error":[409]}"#, outcome(200, r#"{"error":[409]}"#)),
        (r#""result":[{"error":{"status":409}}]"#, outcome(200, r#"[{"error":{"status":409}}]"#)),
        (r#""duplicate":true"#, Outcome::duplicate()),
        (r#""duplicate":true,"result":{"id":"u1"}"#, outcome(200, r#"{"id":"u1"}"#)),
        (r#""duplicate":true,"error":{"status":409}"#, outcome(409, r#"{"error":{"status":409}}"#)),
    ] {
        let body = format!(r#"{{"applied_version":42,"results":[{{"version":42,{result}}}]}}"#);
        assert_eq!(apply_two(200, &body), Ok(vec![expected]), "{body}");
    }
    let operations = [Operation::new("rig_epoch", "{}")];
    let own = r#"{"applied_version":42,"results":[{"version":42,"result":"whatever"}]}"#;
    assert_eq!(applied(&answer(200, own), &committed(&operations)), Ok(vec![Outcome::empty()]));
    // However deep a client makes it: what is applied is applied.
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let body = format!(r#"{{"applied_version":42,"results":[{{"version":42,"result":{deep}}}]}}"#);
    assert_eq!(apply_two(200, &body), Ok(vec![outcome(200, &deep)]));
}

#[test]
fn an_apply_may_stop_early_and_a_service_may_be_ahead() {
    assert_eq!(apply_two(200, r#"{"applied_version":41,"results":[]}"#), Ok(Vec::new()));
    let ahead = r#"{"applied_version":99,"results":[{"version":42,"duplicate":true},{"version":43,"duplicate":true,"result":1}]}"#;
    assert_eq!(apply_two(200, ahead).map(|outcomes| outcomes.len()), Ok(2));
    assert_eq!(apply_two(409, r#"{"code":"gap","applied_version":40}"#), Err(Unfit::Gap(40)));
}

#[test]
fn results_that_do_not_belong_to_what_was_sent_are_not_believed() {
    for (body, rule) in [
        (r#"{"applied_version":43,"results":[{"version":42}]}"#, "A7"),
        (r#"{"applied_version":42,"results":[{"version":42},{"version":43}]}"#, "A7"),
        (r#"{"applied_version":43,"results":[{"version":42},{"version":43},{"version":44}]}"#, "A7"),
        (r#"{"applied_version":44,"results":[{"version":42},{"version":43},{"version":44}]}"#, "A7"),
        (r#"{"applied_version":44,"results":[{"version":42},{"version":43}]}"#, "A7"),
        (r#"{"applied_version":44,"results":[{"version":42,"duplicate":true},{"version":43}]}"#, "A7"),
        (r#"{"applied_version":43,"results":[{"version":43},{"version":42}]}"#, "A7"),
        (r#"{"applied_version":43,"results":[{"version":42},{"version":42}]}"#, "A7"),
        (r#"{"applied_version":40,"results":[]}"#, "A7"),
        (r#"{"applied_version":18446744073709551615,"results":[]}"#, "A7"),
        (r#"{"applied_version":43,"results":[]}"#, "A7"),
        (r#"{"applied_version":42,"results":[{"version":42,"error":{"status":200}}]}"#, "A5"),
        (r#"{"applied_version":42,"results":[{"version":42,"error":"no"}]}"#, "A5"),
        (r#"{"applied_version":42,"results":[{"result":1}]}"#, "apply"),
        (r#"{"applied_version":42}"#, "apply"),
        (r#"[{"version":42}]"#, "apply"),
        (r#"{"applied_version":42,"results":[{"version":42,"result":NaN}]}"#, "apply"),
        ("", "apply"),
    ] {
        let Err(Unfit::Broken(broken)) = apply_two(200, body) else { panic!("{body}") };
        assert_eq!(broken.rule, rule, "{body}: {}", broken.detail);
    }
    for body in
        [r#"{"code":"gap"}"#, r#"{"code":"gap","applied_version":41}"#, r#"{"code":"gap","applied_version":50}"#]
    {
        let Err(Unfit::Broken(broken)) = apply_two(409, body) else { panic!("{body}") };
        assert_eq!(broken.rule, "A4", "{body}");
    }
    assert!(matches!(apply_two(422, "no"), Err(Unfit::Refused(_))));
    assert!(matches!(apply_two(503, "no"), Err(Unfit::Away(_))));
}

#[test]
fn a_state_is_of_the_version_that_was_meant() {
    assert_eq!(saved(&answer(200, r#"{"version":7}"#)), Ok(7));
    assert!(matches!(saved(&answer(200, "{}")), Err(Unfit::Broken(_))));
    assert_eq!(restored(&answer(200, r#"{"applied_version":7}"#), 7), Ok(()));
    assert!(matches!(restored(&answer(200, r#"{"applied_version":6}"#), 7), Err(Unfit::Broken(_))));
    assert!(matches!(restored(&answer(422, "damaged"), 7), Err(Unfit::Refused(_))));
}
