//! References: they lead somewhere, and what happens when the somewhere goes.

use super::{Bench, extra};
use crate::service::Service;

fn schema(kind: &str, field: &str, target: &str, on_delete: &str) -> String {
    format!(r#"{{"type":"{kind}","references":{{"{field}":{{"type":"{target}","on_delete":"{on_delete}"}}}}}}"#)
}

fn teams(on_delete: &str) -> Bench {
    Bench::with(&[
        ("schema_set", &schema("user", "team", "team", on_delete)),
        ("team_create", r#"{"id":"t"}"#),
        ("team_create", r#"{"id":"s"}"#),
        ("user_create", r#"{"id":"a","team":"t","n":1}"#),
        ("user_create", r#"{"id":"b","team":"t"}"#),
        ("user_create", r#"{"id":"c","team":"s"}"#),
        ("user_create", r#"{"id":"d","team":null}"#),
    ])
}

#[test]
fn a_reference_leads_to_a_document_or_is_null() {
    let mut bench = teams("restrict");
    for data in [
        r#"{"id":"a","team":"u"}"#,
        r#"{"id":"a","team":1}"#,
        r#"{"id":"a","team":"a b"}"#,
        r#"{"id":"a","team":["t"]}"#,
    ] {
        for method in ["user_update", "user_put"] {
            assert_eq!(extra(&bench.refused(method, data, 422, "invalid"), "pointer"), "/team");
        }
    }
    bench.refused("user_create", r#"{"id":"e","team":"u"}"#, 422, "invalid");
    bench.ok("user_create", r#"{"id":"e","team":"\u0074"}"#);
}

#[test]
fn cascade_deletes_what_refers() {
    let mut bench = teams("cascade");
    bench.ok("team_delete", r#"{"id":"t"}"#);
    assert_eq!((bench.ids("user", &[]), bench.ids("team", &[])), (vec!["c".into(), "d".into()], vec!["s".into()]));
    bench.ok("team_create", r#"{"id":"t"}"#);
    bench.ok("team_delete", r#"{"id":"t"}"#);
}

#[test]
fn restrict_keeps_what_is_referred_to() {
    let mut bench = teams("restrict");
    let problem = bench.refused("team_delete", r#"{"id":"t"}"#, 409, "exists");
    assert_eq!((extra(&problem, "restricted_by"), extra(&problem, "field")), (&"user/a".into(), &"team".into()));
    bench.ok("user_update", r#"{"id":"a","team":"s"}"#);
    bench.ok("user_delete", r#"{"id":"b"}"#);
    bench.ok("team_delete", r#"{"id":"t"}"#);
}

#[test]
fn set_null_clears_the_field_in_its_place() {
    let mut bench = teams("set_null");
    let version = bench.documents.version() + 1;
    bench.ok("team_delete", r#"{"id":"t"}"#);
    assert_eq!(bench.stored("user", "a").unwrap(), r#"{"id":"a","team":null,"n":1}"#);
    assert_eq!(bench.documents.get("user", "b").unwrap().version(), version);
    assert_eq!(bench.stored("user", "c").unwrap(), r#"{"id":"c","team":"s"}"#);
    // And what the rules of the type do not allow to be null is not cleared.
    let mut bench = teams("set_null");
    bench.ok("user_delete", r#"{"id":"d"}"#);
    bench.ok(
        "schema_set",
        r#"{"type":"user","references":{"team":{"type":"team","on_delete":"set_null"}},"json_schema":{"properties":{"team":{"type":"string"}}}}"#,
    );
    let problem = bench.validate("team_delete", r#"{"id":"t"}"#).unwrap_err();
    assert_eq!((problem.status, extra(&problem, "pointer")), (422, &"/team".into()));
}

#[test]
fn cycles_end_and_long_chains_are_followed() {
    let mut bench = Bench::with(&[
        ("schema_set", &schema("node", "next", "node", "cascade")),
        ("node_create", r#"{"id":"0","next":"0"}"#),
    ]);
    for id in 1..2000 {
        bench.ok("node_create", &format!(r#"{{"id":"{id}","next":"{}"}}"#, id - 1));
    }
    bench.ok("node_update", r#"{"id":"0","next":"1999"}"#);
    bench.ok("node_delete", r#"{"id":"1000"}"#);
    assert!(bench.documents.is_empty());
    assert_eq!(bench.documents.memory_bytes(), 0);
}

#[test]
fn restrict_gives_way_to_what_goes_too() {
    let mut bench = Bench::with(&[
        (
            "schema_set",
            r#"{"type":"item","references":{"order":{"type":"order","on_delete":"cascade"},"first":{"type":"order","on_delete":"restrict"}}}"#,
        ),
        ("order_create", r#"{"id":"o"}"#),
        ("order_create", r#"{"id":"p"}"#),
        ("item_create", r#"{"id":"i","order":"o","first":"o"}"#),
    ]);
    bench.ok("order_delete", r#"{"id":"o"}"#);
    assert!(bench.ids("item", &[]).is_empty());
    bench.ok("order_create", r#"{"id":"o"}"#);
    bench.ok("item_create", r#"{"id":"i","order":"o","first":"p"}"#);
    bench.refused("order_delete", r#"{"id":"p"}"#, 409, "exists");
    // Itself by a field that restricts: goes with itself.
    let mut bench = Bench::with(&[
        ("schema_set", &schema("node", "next", "node", "restrict")),
        ("node_create", r#"{"id":"a","next":"a"}"#),
    ]);
    bench.ok("node_delete", r#"{"id":"a"}"#);
}

#[test]
fn a_document_with_two_fields_for_one_target_is_cleared_of_both() {
    let mut bench = Bench::with(&[
        (
            "schema_set",
            r#"{"type":"pair","references":{"x":{"type":"t","on_delete":"set_null"},"y":{"type":"t","on_delete":"set_null"}}}"#,
        ),
        ("t_create", r#"{"id":"1"}"#),
        ("pair_create", r#"{"x":"1","id":"p","y":"1"}"#),
    ]);
    bench.ok("t_delete", r#"{"id":"1"}"#);
    assert_eq!(bench.stored("pair", "p").unwrap(), r#"{"x":null,"id":"p","y":null}"#);
}

#[test]
fn references_that_are_set_later_know_what_was_there_before() {
    let mut bench = Bench::with(&[("team_create", r#"{"id":"t"}"#), ("user_create", r#"{"id":"a","team":"t"}"#)]);
    bench.ok("schema_set", &schema("user", "team", "team", "cascade"));
    bench.ok("schema_set", &schema("user", "team", "team", "restrict"));
    bench.refused("team_delete", r#"{"id":"t"}"#, 409, "exists");
    bench.ok("schema_set", r#"{"type":"user"}"#);
    bench.ok("team_delete", r#"{"id":"t"}"#);
    assert_eq!(bench.stored("user", "a").unwrap(), r#"{"id":"a","team":"t"}"#);
}
