//! schema_set: unique, required, JSON Schema, and what is there already.

use super::{Bench, extra};

#[test]
fn a_unique_field_names_its_owner() {
    let mut bench = Bench::with(&[
        ("schema_set", r#"{"type":"user","unique":["mail"]}"#),
        ("user_create", r#"{"id":"a","mail":"x@y"}"#),
        ("user_create", r#"{"id":"b","mail":null}"#),
        ("user_create", r#"{"id":"c"}"#),
        ("user_create", r#"{"id":"d","mail":null}"#),
        ("user_create", r#"{"id":"n","mail":10}"#),
        ("team_create", r#"{"id":"t","mail":"x@y"}"#),
    ]);
    for (method, data) in [
        ("user_create", r#"{"id":"e","mail":"x@y"}"#),
        ("user_create", r#"{"mail":"\u0078@y"}"#),
        ("user_update", r#"{"id":"b","mail":"x@y"}"#),
        ("user_put", r#"{"id":"c","mail":"x@y"}"#),
    ] {
        if method != "user_create" || data.contains("id") {
            bench.refused(method, data, 409, "unique");
        }
        let problem = bench.validate(method, data).unwrap_err();
        assert_eq!((extra(&problem, "field"), extra(&problem, "owner")), (&"mail".into(), &"a".into()));
    }
    bench.refused("user_put", r#"{"id":"c","mail":1e1}"#, 409, "unique");
    // Its own value is no obstacle; a value that was given up is free again.
    bench.ok("user_put", r#"{"id":"a","mail":"x@y","n":1}"#);
    bench.ok("user_update", r#"{"id":"a","mail":"z@y"}"#);
    bench.ok("user_update", r#"{"id":"b","mail":"x@y"}"#);
    bench.ok("user_delete", r#"{"id":"b"}"#);
    bench.ok("user_create", r#"{"id":"b","mail":"x@y"}"#);
    assert_eq!(bench.ids("user", &[("mail", "x@y")]), ["b"]);
    bench.ok("user_update", r#"{"id":"b","mail":null}"#);
    assert!(bench.ids("user", &[("mail", "x@y")]).is_empty());
}

#[test]
fn a_required_field_must_be_there_and_not_null() {
    let mut bench = Bench::with(&[
        ("schema_set", r#"{"type":"user","required":["name"]}"#),
        ("user_create", r#"{"id":"a","name":""}"#),
    ]);
    for (method, data) in [
        ("user_create", r#"{"id":"b"}"#),
        ("user_create", r#"{"id":"b","name":null}"#),
        ("user_update", r#"{"id":"a","name":null}"#),
        ("user_put", r#"{"id":"a"}"#),
    ] {
        let problem = bench.refused(method, data, 422, "invalid");
        assert_eq!(extra(&problem, "pointer"), "/name");
    }
}

#[test]
fn json_schema_is_asked_in_validate_and_never_in_apply() {
    let mut bench = Bench::with(&[
        (
            "schema_set",
            r#"{"type":"user","json_schema":{"type":"object","properties":{"age":{"type":"integer"},"tag":{"maxLength":1}},"additionalProperties":false}}"#,
        ),
        ("user_create", r#"{"id":"a","age":1}"#),
    ]);
    let problem = bench.validate("user_update", r#"{"id":"a","age":"x","tag":"ab"}"#).unwrap_err();
    assert_eq!((problem.status, &*problem.code, extra(&problem, "pointer")), (422, "invalid", &"/age".into()));
    assert_eq!(extra(&problem, "errors").as_array().unwrap().len(), 2);
    assert_eq!(bench.validate("user_create", r#"{"other":1}"#).unwrap_err().status, 422);
    assert_eq!(bench.apply("user_update", r#"{"id":"a","age":"x"}"#).status, 200);
}

#[test]
fn a_schema_that_what_is_there_breaks_is_refused_and_nothing_changes() {
    let mut bench = Bench::with(&[
        ("schema_set", r#"{"type":"user","unique":["n"]}"#),
        ("user_create", r#"{"id":"a","n":1,"mail":"m","boss":"a"}"#),
        ("user_create", r#"{"id":"b","n":2,"mail":"m","boss":"nobody"}"#),
    ]);
    let problem = bench.refused("schema_set", r#"{"type":"user","unique":["mail"]}"#, 409, "unique");
    assert_eq!((extra(&problem, "owner"), extra(&problem, "id")), (&"a".into(), &"b".into()));
    let problem = bench.refused("schema_set", r#"{"type":"user","required":["x"]}"#, 409, "exists");
    assert_eq!((extra(&problem, "id"), extra(&problem, "pointer")), (&"a".into(), &"/x".into()));
    let dangling = r#"{"type":"user","references":{"boss":{"type":"user","on_delete":"cascade"}}}"#;
    assert_eq!(extra(&bench.refused("schema_set", dangling, 409, "exists"), "id"), "b");
    let strict = r#"{"type":"user","json_schema":{"properties":{"n":{"maximum":1}}}}"#;
    let problem = bench.validate("schema_set", strict).unwrap_err();
    assert_eq!((problem.status, extra(&problem, "id")), (409, &"b".into()));
    bench.refused("schema_set", r#"{"type":"user","json_schema":{"pattern":"x"}}"#, 422, "invalid");
    // The one before is still in force.
    bench.refused("user_create", r#"{"id":"c","n":2}"#, 409, "unique");
}

#[test]
fn a_schema_replaces_the_one_before() {
    let mut bench = Bench::with(&[
        ("schema_set", r#"{"type":"user","unique":["a","b"],"required":["a"]}"#),
        ("user_create", r#"{"id":"x","a":1,"b":1}"#),
        ("schema_set", r#"{"type":"user","unique":["c","b"]}"#),
        ("user_create", r#"{"id":"y","a":1,"b":2,"c":1}"#),
        ("user_create", r#"{"id":"z"}"#),
    ]);
    bench.refused("user_create", r#"{"id":"w","b":1}"#, 409, "unique");
    bench.refused("user_create", r#"{"id":"w","c":1}"#, 409, "unique");
    assert_eq!(bench.ids("user", &[("b", "1")]), ["x"]);
    assert!(bench.documents.schema("user").unwrap().starts_with(r#"{"type":"user","unique":["c","b"],"required":[]"#));
    bench.ok("schema_set", r#"{"type":"user"}"#);
    bench.ok("user_create", r#"{"id":"w","b":1,"c":1}"#);
    // What is counted for indexes is given back with them.
    let counted = bench.documents.memory_bytes();
    bench.ok("schema_set", r#"{"type":"user","unique":["a2"],"references":{"f":{"type":"t","on_delete":"cascade"}}}"#);
    assert_eq!(bench.documents.memory_bytes(), counted);
}

#[test]
fn schemas_are_read_back_with_the_version_that_set_them() {
    let mut bench = Bench::new();
    let text = r#"{"type":"user","unique":["m"],"required":[],"references":{},"json_schema":{"type":"object"}"#;
    assert_eq!(bench.ok("schema_set", &format!("{text}}}")), r#"{"id":"user","version":1}"#);
    let expected = format!(r#"{text},"_version":1,"_updated":"2026-01-01T00:00:01.000000Z"}}"#);
    assert_eq!(bench.documents.schema("user").as_deref(), Some(expected.as_str()));
    assert_eq!(bench.documents.schema("team"), None);
    bench.ok("schema_set", r#"{"type":"team"}"#);
    bench.ok("user_create", r#"{"id":"u"}"#);
    bench.ok("user_delete", r#"{"id":"u"}"#);
    assert_eq!(bench.documents.schemas().len(), 2);
    assert_eq!(bench.documents.types(), [("team".into(), 0), ("user".into(), 0)]);
}
