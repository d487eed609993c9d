//! create, update, put, delete, and reads.

use super::{Bench, extra, keys};
use crate::service::{Entry, Outcome, Service, ServiceError};

#[test]
fn a_created_document_is_read_back_as_it_was_sent_with_three_members_more() {
    let mut bench = Bench::new();
    let data = r#"{"name":"Al\u0069ce","id":"alice","n":1.50e+1,"big":12345678901234567890123,"o":{"z":1,"a":[]}}"#;
    assert_eq!(bench.ok("user_create", data), r#"{"id":"alice","version":1}"#);
    let found = bench.documents.get("user", "alice").unwrap();
    assert_eq!(found.stored(), data);
    assert_eq!(
        found.json(),
        r#"{"name":"Al\u0069ce","id":"alice","n":1.50e+1,"big":12345678901234567890123,"o":{"z":1,"a":[]},"_version":1,"_created":"2026-01-01T00:00:01.000000Z","_updated":"2026-01-01T00:00:01.000000Z"}"#,
    );
    assert_eq!((&*found.id(), found.version()), ("alice", 1));
    assert!(bench.documents.get("user", "bob").is_none() && bench.documents.get("team", "alice").is_none());
}

#[test]
fn a_create_without_an_id_gets_a_uuid_in_the_logged_data() {
    let mut bench = Bench::new();
    let id = "01990000-0000-7000-8000-0000000000ff";
    let valid = bench.validate("user_create", r#"{"name":"A"}"#).unwrap();
    assert_eq!(valid.data.as_deref(), Some(format!(r#"{{"id":"{id}","name":"A"}}"#).as_str()));
    assert_eq!(bench.ok("user_create", r#"{"name":"A"}"#), format!(r#"{{"id":"{id}","version":1}}"#));
    assert_eq!(bench.stored("user", id), valid.data.map(String::from));
    // With an id the data is logged as it came.
    assert_eq!(bench.validate("user_create", r#"{"id":"x"}"#).unwrap().data, None);
    // Without one it can only be logged by mistake.
    assert_eq!(bench.apply("user_create", "{}").status, 422);
}

#[test]
fn creating_what_exists_is_409() {
    let mut bench = Bench::with(&[("user_create", r#"{"id":"alice"}"#)]);
    let problem = bench.refused("user_create", r#"{"id":"\u0061lice"}"#, 409, "exists");
    assert_eq!(extra(&problem, "version"), 1);
    bench.ok("team_create", r#"{"id":"alice"}"#);
}

#[test]
fn an_update_merges_and_keeps_what_it_does_not_name() {
    let mut bench = Bench::with(&[("user_create", r#"{"id":"a","x":1.0,"o":{"p":1,"q":2},"gone":true}"#)]);
    assert_eq!(
        bench.ok("user_update", r#"{"id":"a","o":{"q":null,"r":3},"gone":null,"new":[]}"#),
        r#"{"id":"a","version":2}"#
    );
    assert_eq!(bench.stored("user", "a").unwrap(), r#"{"id":"a","x":1.0,"o":{"p":1,"r":3},"new":[]}"#);
    let json = bench.documents.get("user", "a").unwrap().json();
    assert!(json.ends_with(
        r#","_version":2,"_created":"2026-01-01T00:00:01.000000Z","_updated":"2026-01-01T00:00:02.000000Z"}"#
    ));
    // The id keeps its place and spelling.
    bench.ok("user_put", r#"{"n":1,"id":"\u0061"}"#);
    bench.ok("user_update", r#"{"id":"a","n":2}"#);
    assert_eq!(bench.stored("user", "a").unwrap(), r#"{"n":2,"id":"\u0061"}"#);
    bench.refused("user_update", r#"{"id":"b"}"#, 404, "not_found");
    bench.refused("team_update", r#"{"id":"a"}"#, 404, "not_found");
}

#[test]
fn a_put_creates_or_replaces() {
    let mut bench = Bench::new();
    bench.ok("user_put", r#"{"id":"a","x":1}"#);
    bench.ok("user_put", r#"{"y":2,"id":"a"}"#);
    let json = bench.documents.get("user", "a").unwrap().json();
    assert_eq!(
        json,
        r#"{"y":2,"id":"a","_version":2,"_created":"2026-01-01T00:00:01.000000Z","_updated":"2026-01-01T00:00:02.000000Z"}"#,
    );
}

#[test]
fn a_delete_needs_something_to_delete() {
    let mut bench = Bench::with(&[("user_create", r#"{"id":"a"}"#)]);
    bench.refused("user_delete", r#"{"id":"b"}"#, 404, "not_found");
    bench.refused("user_delete", r#"{"id":"a","name":"x"}"#, 422, "invalid");
    let version = bench.documents.version() + 1;
    assert_eq!(bench.ok("user_delete", r#"{"id":"a"}"#), format!(r#"{{"id":"a","version":{version}}}"#));
    assert!(bench.documents.get("user", "a").is_none() && bench.documents.types().is_empty());
    assert_eq!(bench.documents.memory_bytes(), 0);
    bench.ok("user_create", r#"{"id":"a"}"#);
}

#[test]
fn methods_are_known_by_their_suffix() {
    let mut bench = Bench::new();
    bench.ok("api_key_create", r#"{"id":"k"}"#);
    assert_eq!(bench.ids("api_key", &[]), ["k"]);
    for method in ["user_frobnicate", "user", "create", "user_Create", "schema_get", "x__y_z"] {
        bench.refused(method, r#"{"id":"a"}"#, 422, "unknown_method");
    }
    bench.refused("rig_epoch", "{}", 422, "invalid");
    bench.refused("rig_create", r#"{"id":"a"}"#, 422, "invalid");
}

#[test]
fn what_is_not_a_document_is_refused_with_its_place() {
    let mut bench = Bench::new();
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
    for (method, data, pointer) in [
        ("user_put", "[]", ""),
        ("user_put", "1", ""),
        ("user_put", r#"{"id":1}"#, "/id"),
        ("user_put", r#"{"id":""}"#, "/id"),
        ("user_put", r#"{"id":"a b"}"#, "/id"),
        ("user_put", r#"{"id":"a/b"}"#, "/id"),
        ("user_put", r#"{"id":"\u00e9"}"#, "/id"),
        ("user_put", &long, "/id"),
        ("user_create", r#"{"id":null}"#, "/id"),
        ("user_put", "{}", "/id"),
        ("user_update", r#"{"a":1}"#, "/id"),
        ("user_delete", "{}", "/id"),
        ("user_put", r#"{"id":"a","_version":1}"#, "/_version"),
        ("user_put", r#"{"id":"a","\u005fx":1}"#, "/_x"),
        ("user_update", r#"{"id":"a","_created":null}"#, "/_created"),
        ("user_put", r#"{"id":"a","_if_version":"1"}"#, "/_if_version"),
        ("user_put", r#"{"id":"a","_if_version":-1}"#, "/_if_version"),
        ("user_put", r#"{"id":"a","_if_version":1.0}"#, "/_if_version"),
    ] {
        let problem = bench.refused(method, data, 422, "invalid");
        assert_eq!(extra(&problem, "pointer"), pointer, "{data}");
    }
    let longest = format!(r#"{{"id":"{}"}}"#, "A-z.0_~9".repeat(16));
    bench.ok("user_put", &longest);
}

#[test]
fn a_precondition_travels_in_the_operation_and_is_not_stored() {
    let mut bench = Bench::with(&[("user_create", r#"{"id":"a"}"#), ("user_create", r#"{"id":"b"}"#)]);
    bench.ok("user_update", r#"{"id":"a","_if_version":1,"n":1}"#);
    assert_eq!(bench.stored("user", "a").unwrap(), r#"{"id":"a","n":1}"#);
    for (method, data, current) in [
        ("user_update", r#"{"id":"a","_if_version":1}"#, 3),
        ("user_put", r#"{"id":"a","_if_version":0}"#, 3),
        ("user_delete", r#"{"id":"a","_if_version":2}"#, 3),
        ("user_put", r#"{"id":"c","_if_version":7}"#, 0),
        ("user_create", r#"{"id":"c","_if_version":7}"#, 0),
    ] {
        let problem = bench.refused(method, data, 409, "version_conflict");
        assert_eq!(extra(&problem, "version"), current, "{data}");
    }
    bench.refused("user_delete", r#"{"id":"c","_if_version":7}"#, 404, "not_found");
    bench.ok("user_put", r#"{"_if_version":0,"id":"c"}"#);
    bench.ok("user_delete", r#"{"id":"a","_if_version":3}"#);
    assert_eq!(bench.stored("user", "c").unwrap(), r#"{"id":"c"}"#);
}

#[test]
fn lists_are_in_order_of_ids_and_in_pages_of_one_version() {
    let mut bench = Bench::new();
    for id in ["b", "d", "a", "c", "10", "9", "01990000-0000-7000-8000-000000000001"] {
        bench.ok("user_create", &format!(r#"{{"id":"{id}"}}"#));
    }
    assert_eq!(bench.ids("user", &[]), ["01990000-0000-7000-8000-000000000001", "10", "9", "a", "b", "c", "d"]);
    let listing = bench.documents.listing("user");
    let first = listing.page(&[], None, 3);
    assert_eq!((first.items.len(), first.next.as_deref(), first.version), (3, Some("9"), 7));
    bench.ok("user_delete", r#"{"id":"a"}"#);
    bench.ok("user_create", r#"{"id":"aa"}"#);
    let second = listing.page(&[], first.next.as_deref(), 4);
    let ids: Vec<_> = second.items.iter().map(super::super::Found::id).collect();
    assert_eq!((ids, second.next, second.version), (vec!["a".into(), "b".into(), "c".into(), "d".into()], None, 7));
    assert_eq!((listing.len(), listing.is_empty(), listing.version()), (7, false, 7));
    // `after` need not be there.
    assert_eq!(bench.documents.list("user", &[], Some("ab"), 1).items[0].id(), "b".into());
    let nothing = bench.documents.list("none", &[], None, 10);
    assert_eq!((nothing.items.len(), nothing.next, nothing.version), (0, None, 9));
    assert_eq!((bench.documents.len(), bench.documents.is_empty()), (7, false));
    assert_eq!(bench.documents.types(), [("user".into(), 7)]);
}

#[test]
fn filters_compare_strings_by_meaning_and_the_rest_by_spelling() {
    for schema in [false, true] {
        let mut bench = Bench::new();
        if schema {
            bench.ok("schema_set", r#"{"type":"user","unique":["x"]}"#);
        }
        for (id, x) in
            [("a", r#""\u0031""#), ("b", "1"), ("c", "1.5"), ("d", "true"), ("f", r#"{"y":1}"#), ("g", "null")]
        {
            bench.ok("user_create", &format!(r#"{{"id":"{id}","x":{x},"k":"same"}}"#));
        }
        bench.ok("user_create", r#"{"id":"h"}"#);
        let table: [(&str, &[&str]); 8] = [
            ("1", &["a", "b"]),
            ("1.5", &["c"]),
            ("1.50", &[]),
            ("true", &["d"]),
            ("null", &["g"]),
            (r#"{"y":1}"#, &[]),
            ("", &[]),
            ("\"1\"", &[]),
        ];
        for (value, expected) in table {
            assert_eq!(bench.ids("user", &[("x", value)]), expected, "{value} {schema}");
        }
        assert_eq!(bench.ids("user", &[("x", "1"), ("id", "b")]), ["b"]);
        assert_eq!(bench.ids("user", &[("id", "b")]), ["b"]);
        assert!(bench.ids("user", &[("k", "same"), ("x", "2")]).is_empty());
        let page = bench.documents.list("user", &[("x", "1")], Some("a"), 5);
        assert_eq!(page.items.iter().map(super::super::Found::id).collect::<Vec<_>>(), ["b".into()]);
        let page = bench.documents.list("user", &[("k", "same")], None, 2);
        assert_eq!((page.items.len(), page.next.as_deref()), (2, Some("b")));
        for (looks, (value, expected)) in (1..10).flat_map(|looks| [(looks, table[0]), (looks, table[4])]) {
            let listing = bench.documents.listing("user");
            let (mut ids, mut after) = (Vec::new(), None);
            for piece in 0.. {
                let page = listing.page_within(&[("x", value)], after.as_deref(), 2, looks);
                ids.extend(page.items.iter().map(|found| found.id().to_string()));
                after = page.next;
                if after.is_none() {
                    break;
                }
                assert!(piece < 10, "every piece gets further");
            }
            assert_eq!(ids, expected, "{value}, {looks} looks");
        }
        let page = bench.documents.list("user", &[("k", "same")], Some("d"), 2);
        assert_eq!((page.items.len(), page.next), (2, None));
    }
}

#[test]
fn versions_go_on_through_control_records_failures_and_duplicates() {
    let mut bench = Bench::new();
    let control = Entry { version: 1, time: 0, operation: None };
    assert_eq!(bench.documents.apply(&[control]).unwrap(), [Outcome::empty()]);
    assert_eq!(bench.apply("user_delete", r#"{"id":"a"}"#).status, 404);
    assert_eq!(bench.documents.version(), 2);
    assert_eq!(bench.documents.apply(&[control]).unwrap(), [Outcome::duplicate()]);
    let gap = Entry { version: 4, ..control };
    let answer = bench.documents.apply(&[gap]);
    assert!(matches!(answer, Err(ServiceError::Gap { expected: 3, found: 4 })), "{answer:?}");
    assert_eq!(bench.documents.version(), 2);
}

#[test]
fn operations_hold_the_keys_of_what_they_touch() {
    let mut bench = Bench::new();
    assert_eq!(bench.resources("user_create", r#"{"name":"A"}"#), keys(&[], &[]));
    for method in ["user_create", "user_update", "user_put"] {
        assert_eq!(bench.resources(method, r#"{"id":"a","mail":"m"}"#), keys(&[], &["user/a"]));
    }
    assert_eq!(bench.resources("user_delete", r#"{"id":"a"}"#), keys(&[], &["user/a"]));
    bench.ok(
        "schema_set",
        r#"{"type":"user","unique":["mail"],"references":{"boss":{"type":"user","on_delete":"restrict"},"team":{"type":"team","on_delete":"set_null"}}}"#,
    );
    assert_eq!(
        bench.resources("user_create", r#"{"id":"a","mail":"\u006d","team":"t","boss":"b"}"#),
        keys(&["team/t", "user/b"], &["user/a", "user.mail=\"m\""]),
    );
    // Itself: held once, and alone.
    assert_eq!(bench.resources("user_put", r#"{"id":"a","boss":"a"}"#), keys(&[], &["user/a"]));
    assert_eq!(bench.resources("user_update", r#"{"id":"a","mail":null}"#), keys(&[], &["user/a"]));
    use crate::service::Resources;
    assert_eq!(bench.resources("user_update", r#"{"id":"a","mail":{"x":1}}"#), Resources::Alone);
    assert_eq!(bench.resources("user_delete", r#"{"id":"a"}"#), keys(&[], &["user/a"]));
    assert_eq!(bench.resources("team_delete", r#"{"id":"t"}"#), Resources::Alone);
    assert_eq!(bench.resources("team_put", r#"{"id":"t"}"#), keys(&[], &["team/t"]));
    assert_eq!(bench.resources("schema_set", r#"{"type":"user"}"#), Resources::Alone);
}
