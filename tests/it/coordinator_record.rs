//! The record of a real pair is removed, written over, or gone with its etcd: nothing is built on that, and `rig coordinator
//! repair` mends it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Coordinated, base64, in_sync};

const SEMI: &[&str] = &["--sync-timeout", "300ms"];
const KEY: &str = "/rig/pair/record";
/// Longer than a lease of one second and all that is waited for after it.
const AFTER_LEASE: Duration = Duration::from_millis(2500);

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
    let done = repair(&pair, &[]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    let after = pair.record().0;
    assert_eq!((&after["epoch"], &after["in_sync"]), (&before["epoch"], &before["in_sync"]));
    works(pair);
}

#[test]
fn rubbish_in_the_place_of_the_record_is_named_and_mended() {
    let Some(pair) = Coordinated::new("rubbish_in_the_place", "1s", SEMI) else { return };
    pair.etcd.post(1, "/v3/kv/put", &json!({ "key": base64(KEY), "value": base64("{\"format\":1}") }));
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
    for number in [1, 2] {
        pair.cluster.until(number, |status| {
            status["coordinator"]["why"].as_str().is_some_and(|why| why.contains("rig coordinator repair"))
        });
    }
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
