//! The record of a real pair is removed, written over, or gone with its etcd: nothing is built on that, and `rig coordinator
//! repair` mends it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Coordinated, Node, base64, in_sync};
use crate::wire::Wire;

const SEMI: &[&str] = &["--sync-timeout", "300ms"];
const KEY: &str = "/rig/pair/record";
/// Longer than a lease of one second and all that is waited for after it.
const AFTER_LEASE: Duration = Duration::from_millis(2500);

/// What is at the key: the etcd, the revision, the value as etcd has it.
fn there(pair: &Coordinated) -> (String, u64, Value) {
    let range = pair.etcd.post(1, "/v3/kv/range", &json!({ "key": base64(KEY) }));
    let found = &range["kvs"][0];
    let revision = found["mod_revision"].as_str().map_or(0, |revision| revision.parse().unwrap());
    (range["header"]["cluster_id"].as_str().unwrap().to_owned(), revision, found["value"].clone())
}

fn put(pair: &Coordinated, value: &str) {
    pair.etcd.post(1, "/v3/kv/put", &json!({ "key": base64(KEY), "value": base64(value) }));
}

/// What `rig coordinator repair` says to the node that leads.
fn accept(pair: &Coordinated, body: &Value) -> u16 {
    let url = pair.cluster.url(1);
    let mut wire = Wire::open(url.strip_prefix("http://").unwrap()).unwrap();
    wire.post("/coordinator/accept", "Content-Type: application/json\r\n", &body.to_string()).unwrap().status
}

fn repair(pair: &Coordinated, more: &[&str]) -> crate::support::Ran {
    pair.cluster.run(1, &[&["coordinator", "repair", "--json"], more].concat())
}

/// Writes go on, nobody takes over, everybody says what is wrong.
fn is_of_no_use(pair: &Coordinated, words: &str) {
    for number in [1, 2] {
        // It may have been of no use before, for another reason.
        let has_why = |status: &Value| status["coordinator"]["why"].as_str().is_some_and(|why| why.contains(words));
        pair.cluster.until(number, |status| status["coordinator"]["reachable"] == false && has_why(status));
    }
    pair.never_leads_for(2, AFTER_LEASE);
    let data = pair.cluster.request(1, "meanwhile", "k-meanwhile", 2000).unwrap().data();
    assert_eq!((&data["durability"], &data["epoch"]), (&json!("sync"), &json!(1)), "{data}");
    let ran = pair.cluster.run(2, &["promote", "--dry-run", "--json"]);
    assert!(ran.code == Some(0) || ran.code == Some(6), "{ran:#?}");
}

/// It is mended, and does what it is for.
fn works(mut pair: Coordinated) {
    let record = pair.until_recorded(|record| in_sync(record) == ["n2"]);
    assert_eq!((&record["primary"]["name"], &record["phase"]), (&json!("n1"), &json!("open")));
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    let again = repair(&pair, &[]);
    assert_eq!((again.code, &again.json()["done"]), (Some(0), &json!(false)), "{again:#?}");
    pair.cluster.until(1, |status| status["coordinator"]["lease_left_ms"].is_u64());
    pair.cluster.kill(1);
    assert_eq!(pair.write_until_answered(2, "heir")["epoch"], 2);
}

#[test]
fn a_record_that_was_removed_is_written_anew_by_repair_only() {
    let Some(pair) = Coordinated::new("a_record_that_was_removed", "1s", SEMI) else { return };
    let before = pair.record().0;
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    is_of_no_use(&pair, "rig coordinator repair");
    let dry = repair(&pair, &["--dry-run"]);
    let said = dry.json();
    assert_eq!((dry.code, &said["done"], &said["dry_run"]), (Some(0), &json!(false), &json!(true)), "{dry:#?}");
    assert_eq!(
        (&said["primary"], &said["in_sync"], &said["found"]),
        (&json!("n1"), &json!(["n1", "n2"]), &json!("nothing"))
    );
    assert_eq!(pair.record().0, Value::Null, "nothing was done");
    let none = pair.cluster.run(1, &["coordinator", "show", "--json"]);
    let hint = none.error()["hint"].as_str().unwrap().to_owned();
    assert!(
        none.code == Some(3) && hint.contains("rig coordinator repair -N n1") && !hint.contains("prefix"),
        "{none:#?}"
    );
    let done = repair(&pair, &[]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    let after = pair.record().0;
    assert_eq!((&after["epoch"], &after["in_sync"]), (&before["epoch"], &before["in_sync"]));
    works(pair);
}

#[test]
fn rubbish_in_the_place_of_the_record_is_named_and_mended() {
    let Some(pair) = Coordinated::new("rubbish_in_the_place", "1s", SEMI) else { return };
    put(&pair, "{\"format\":1}");
    is_of_no_use(&pair, "not a record");
    let shown = pair.cluster.run(1, &["coordinator", "show", "--json"]);
    assert_eq!((shown.code, &shown.error()["code"]), (Some(9), &json!("bad_record")), "{shown:#?}");
    let dry = repair(&pair, &["--dry-run"]);
    assert!(dry.json()["found"].as_str().unwrap().contains("not a record"), "{dry:#?}");
    let done = repair(&pair, &[]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    works(pair);
}

#[test]
fn numbers_that_no_cluster_has_are_named_and_no_node_ends_by_them() {
    let Some(pair) = Coordinated::new("numbers_that_no_cluster_has", "1s", SEMI) else { return };
    let good = pair.record().0;
    let stranger = |number: usize| json!({ "id": format!("{number:032x}"), "name": "x", "url": "http://x:1" });
    let put = |change: &dyn Fn(&mut Value)| {
        let mut record = good.clone();
        change(&mut record);
        pair.etcd.post(1, "/v3/kv/put", &json!({ "key": base64(KEY), "value": base64(&record.to_string()) }));
    };
    // Of an owner above those that are there: it was promised, and nothing came behind it.
    put(&|record| {
        let owner = json!("f".repeat(32));
        record["epoch"] = json!({ "number": u64::MAX, "owner": owner, "start": 1 });
        record["primary"] = json!({ "id": owner, "name": "x", "url": "http://x:1" });
    });
    is_of_no_use(&pair, "epoch.number is 18446744073709551615");
    put(&|record| record["epoch"]["start"] = json!(u64::MAX));
    is_of_no_use(&pair, "epoch.start is 18446744073709551615");
    for nodes in [28, 300] {
        put(&|record| record["in_sync"] = (1..=nodes).map(stranger).collect());
        is_of_no_use(&pair, &format!("in_sync names {nodes} nodes"));
    }
    let done = repair(&pair, &[]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    works(pair);
}

#[test]
fn the_record_says_the_mode_also_when_it_is_changed_and_a_change_does_not_need_it() {
    let Some(mut pair) = Coordinated::new("the_record_says_the_mode", "1s", SEMI) else { return };
    pair.until_recorded(|record| record["mode"] == "semi-sync");
    pair.cluster.ok(1, &["config", "set", "replication=sync"]);
    pair.until_recorded(|record| record["mode"] == "sync" && in_sync(record) == ["n2"]);
    pair.lose_etcd();
    pair.cluster.ok(1, &["config", "set", "replication=semi-sync"]);
    for id in ["a", "b"] {
        assert_eq!(pair.cluster.put(1, id)["durability"], "sync");
    }
    pair.bring_etcd_back();
    pair.until_recorded(|record| record["mode"] == "semi-sync");
    // Nobody is in sync with whoever waits for nobody.
    pair.cluster.ok(1, &["config", "set", "replication=async"]);
    pair.until_recorded(|record| record["mode"] == "async" && in_sync(record).is_empty());
}

#[test]
fn an_empty_etcd_in_the_place_of_the_old_one_is_not_believed_before_repair() {
    let Some(mut pair) = Coordinated::new("an_empty_etcd_in_the_place", "1s", SEMI) else { return };
    pair.lose_etcd();
    pair.etcd.empty(1);
    pair.bring_etcd_back();
    is_of_no_use(&pair, "rig coordinator repair");
    assert_eq!(pair.record().0, Value::Null);
    let done = repair(&pair, &[]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    works(pair);
}

#[test]
fn repair_refuses_while_a_member_is_stopped_and_goes_on_by_the_operators_word() {
    let Some(mut pair) = Coordinated::new("repair_refuses_while_a_member", "2s", SEMI) else { return };
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    pair.until_reachable(1, false);
    pair.cluster.kill(2);
    let refused = repair(&pair, &[]);
    let error = refused.error();
    assert_eq!((refused.code, &error["code"]), (Some(8), &json!("promotion_unsafe")), "{refused:#?}");
    assert!(error["message"].as_str().unwrap().contains("n2 does not answer"), "{error}");
    let unnamed = repair(&pair, &["--accept-data-loss"]);
    assert_eq!((unnamed.code, &unnamed.error()["code"]), (Some(2), &json!("not_confirmed")), "{unnamed:#?}");
    let wrong = repair(&pair, &["--accept-data-loss", "--confirm", "n2"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert_eq!(pair.record().0, Value::Null, "nothing was done");
    let done = repair(&pair, &["--accept-data-loss", "--confirm", "n1"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    assert_eq!(pair.write_until_answered(1, "alone")["durability"], "degraded");
    pair.cluster.serve(2, &[]);
    assert_eq!(pair.cluster.settle(), 1);
    works(pair);
}

#[test]
fn the_record_of_another_cluster_is_not_replaced_and_the_word_about_it_is_not_kept_for_later() {
    let Some(pair) = Coordinated::new("the_record_of_another_cluster_is_not_replaced", "1s", SEMI) else { return };
    let other = "0192f0c100007000800000000000000f";
    for epoch in [1, 9] {
        let (mut record, _) = pair.record();
        (record["cluster_id"], record["epoch"]["number"]) = (json!(other), json!(epoch));
        put(&pair, &record.to_string());
        pair.until_reachable(1, false);
        let before = there(&pair);
        for flags in [&["--dry-run"][..], &[]] {
            let refused = repair(&pair, flags);
            let error = refused.error();
            assert_eq!((refused.code, &error["code"]), (Some(6), &json!("foreign_record")), "{refused:#?}");
            let url = record["primary"]["url"].as_str().unwrap();
            for words in [other, "led by n1", url, "Nothing was changed"] {
                assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
            }
            assert!(error["hint"].as_str().unwrap().contains("another prefix"), "{error}");
        }
        assert_eq!(there(&pair), before, "nothing was done");
    }
    // Whoever says so all the same has said it of that record only, and not of none.
    let (store, revision, _) = there(&pair);
    assert_eq!(accept(&pair, &json!({ "store": store, "revision": revision })), 200);
    std::thread::sleep(Duration::from_millis(500));
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    is_of_no_use(&pair, "rig coordinator repair");
    assert_eq!(pair.record().0, Value::Null);
    assert_eq!(repair(&pair, &[]).code, Some(0));
    works(pair);
}

#[test]
fn a_word_about_the_record_is_for_what_was_seen_and_for_a_short_time() {
    let Some(mut pair) = Coordinated::new("a_word_about_the_record", "1s", SEMI) else { return };
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    pair.until_reachable(1, false);
    let (store, revision, _) = there(&pair);
    assert_eq!(revision, 0);
    for body in [json!({}), json!({ "store": store }), json!({ "store": 1, "revision": 0 })] {
        assert_eq!(accept(&pair, &body), 400, "{body}");
    }
    for (store, revision) in [("1", 0), (store.as_str(), 1)] {
        assert_eq!(accept(&pair, &json!({ "store": store, "revision": revision })), 200);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(pair.record().0, Value::Null, "{store} {revision}");
    }
    // Etcd is away for longer than the word holds.
    pair.lose_etcd();
    assert_eq!(accept(&pair, &json!({ "store": store, "revision": 0 })), 200);
    std::thread::sleep(Duration::from_secs(11));
    pair.bring_etcd_back();
    is_of_no_use(&pair, "rig coordinator repair");
    assert_eq!(pair.record().0, Value::Null);
    assert_eq!(accept(&pair, &json!({ "store": store, "revision": 0 })), 200);
    works(pair);
}

#[test]
fn what_a_newer_release_has_written_is_not_replaced() {
    let Some(pair) = Coordinated::new("what_a_newer_release_has_written", "1s", SEMI) else { return };
    put(&pair, "{\"format\":99,\"more\":true}");
    is_of_no_use(&pair, "another release");
    let before = there(&pair);
    for flags in [&["--dry-run"][..], &[], &["--accept-data-loss", "--confirm", "n1"]] {
        let refused = repair(&pair, flags);
        let error = refused.error();
        assert_eq!((refused.code, &error["code"]), (Some(6), &json!("format")), "{refused:#?}");
        assert!(error["message"].as_str().unwrap().contains("format 99"), "{error}");
        for words in ["run the release here that the other nodes have", &format!("etcdctl del {KEY}")] {
            assert!(error["hint"].as_str().unwrap().contains(words), "{words}: {error}");
        }
    }
    assert_eq!(there(&pair), before, "nothing was done");
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    pair.until_reachable(2, false);
    assert_eq!(repair(&pair, &[]).code, Some(0));
    works(pair);
}

#[test]
fn with_a_url_repair_asks_a_node_that_goes_by_that_record() {
    let Some(mut pair) = Coordinated::new("with_a_url_repair_asks", "1s", SEMI) else { return };
    let home = &pair.cluster.home;
    // The node that commands mean which name none, of a cluster of its own.
    home.ok(&["init"]);
    let default = Node::serve(home, &["--role", "primary"]);
    home.ok(&["wait", "ready", "-N", default.url()]);
    let url = pair.etcd.address("/rig/pair").to_string();
    let ran = |flags: &[&str]| pair.cluster.home.run(&[&["coordinator", "repair", &url, "--json"], flags].concat());
    // By the record.
    let well = ran(&[]);
    assert_eq!((well.code, &well.json()["primary"], &well.json()["done"]), (Some(0), &json!("n1"), &json!(false)));
    for flags in [&["-N", default.url()][..], &["-N", default.url(), "--dry-run"]] {
        let refused = ran(flags);
        assert!(refused.code == Some(2) && refused.stderr.contains("has no coordinator"), "{refused:#?}");
    }
    // There is none: by the nodes of this machine.
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64(KEY) }));
    pair.until_reachable(1, false);
    let dry = ran(&["--dry-run"]);
    assert_eq!((dry.code, &dry.json()["primary"]), (Some(0), &json!("n1")), "{dry:#?}");
    let other = pair.etcd.address("/rig/other").to_string();
    let unknown = pair.cluster.home.run(&["coordinator", "repair", &other]);
    assert!(unknown.code == Some(3) && unknown.stderr.contains("-N NAME"), "{unknown:#?}");
    let n1 = pair.cluster.url(1);
    let wrong = pair.cluster.home.run(&["coordinator", "repair", &other, "-N", &n1]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains(&format!("not by {other}")), "{wrong:#?}");
    // A dry run sees what the run would see.
    pair.cluster.kill(2);
    let dry = repair(&pair, &["--dry-run"]);
    assert_eq!((dry.code, &dry.error()["code"]), (Some(8), &json!("promotion_unsafe")), "{dry:#?}");
    assert_eq!(repair(&pair, &["--dry-run", "--accept-data-loss"]).code, Some(0));
    pair.cluster.serve(2, &[]);
    let done = pair.cluster.home.run(&["coordinator", "repair", &url, "--json"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    drop(default);
    works(pair);
}
