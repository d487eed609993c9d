//! The store of the record goes back while nodes run or are down: what they have read is not forgotten, and nobody leads by
//! an older record.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Coordinated, Etcd, Home, Node, base64, in_sync};

const SEMI: &[&str] = &["--sync-timeout", "300ms"];
/// Longer than a lease of one second and all that is waited for after it.
const AFTER_LEASE: Duration = Duration::from_millis(3000);

/// A backup of etcd in which both are recorded, and a write that the primary has answered alone since; the replica has read
/// that it is out, and is cut off.
fn answered_alone(test: &str) -> Option<Coordinated> {
    let mut pair = Coordinated::new(test, "1s", SEMI)?;
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.etcd.keep(1);
    pair.bring_etcd_back();
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    pair.cluster.cut();
    assert_eq!(pair.write_until_answered(1, "alone")["durability"], "degraded");
    pair.cluster.until(2, |status| status["coordinator"]["record"]["in_sync"] == json!([]));
    Some(pair)
}

fn put_back(pair: &mut Coordinated) {
    pair.etcd.kill(1);
    pair.etcd.put_back(1);
    pair.bring_etcd_back();
    assert_eq!(in_sync(&pair.record().0), ["n2"], "as it was before");
}

/// Says that the record has to be mended.
fn refuses(pair: &Coordinated, number: usize) {
    pair.cluster.until(number, |status| {
        status["coordinator"]["why"].as_str().is_some_and(|why| why.contains("rig coordinator repair"))
    });
}

/// Both are there, and have every answered write.
fn is_whole(pair: &Coordinated) {
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    assert_eq!(pair.cluster.settle(), 1);
    pair.until_recorded(|record| in_sync(record) == ["n2"] && record["primary"]["name"] == "n1");
    assert_eq!(pair.write_until_answered(1, "later")["durability"], "sync");
    for id in ["both", "alone", "later"] {
        let found = pair.cluster.ok(2, &["get", "user", id, "--json"]).json();
        assert_eq!(found["id"], id, "{found}");
    }
}

#[test]
fn a_backup_of_the_same_epoch_lets_nobody_lead_who_was_let_go_after_a_restart_neither() {
    let Some(mut pair) = answered_alone("a_backup_of_the_same_epoch") else { return };
    pair.cluster.kill(1);
    put_back(&mut pair);
    refuses(&pair, 2);
    pair.never_leads_for(2, AFTER_LEASE);
    pair.cluster.kill(2);
    pair.cluster.serve(2, &[]);
    refuses(&pair, 2);
    pair.never_leads_for(2, AFTER_LEASE);
    // The primary does not go by it either: it is another one than it has left.
    pair.cluster.heal();
    pair.cluster.serve(1, &[]);
    refuses(&pair, 1);
    let seen = pair.cluster.seen(1);
    assert_eq!((&seen["role"], &seen["state"]), (&json!("primary"), &json!("recovering")), "{seen:#}");
    let done = pair.cluster.run(1, &["coordinator", "repair", "--json"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    is_whole(&pair);
    let again = pair.cluster.run(1, &["coordinator", "repair", "--json"]);
    assert_eq!((again.code, &again.json()["done"]), (Some(0), &json!(false)), "{again:#?}");
}

#[test]
fn a_primary_that_runs_writes_over_a_backup_and_the_others_go_on_by_themselves() {
    let Some(mut pair) = answered_alone("a_primary_that_runs_writes_over") else { return };
    put_back(&mut pair);
    pair.until_recorded(|record| in_sync(record).is_empty());
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    pair.never_leads_for(2, Duration::from_millis(500));
    pair.cluster.heal();
    is_whole(&pair);
}

#[test]
fn a_store_that_was_moved_whole_is_gone_by_at_once() {
    let Some(mut pair) = Coordinated::new("a_store_that_was_moved", "1s", &[]) else { return };
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.etcd.keep(1);
    // The nodes start anew by what they have noted.
    (1..=2).for_each(|number| pair.cluster.kill(number));
    pair.etcd.put_back(1);
    pair.bring_etcd_back();
    pair.cluster.serve(1, &[]);
    pair.cluster.serve(2, &[]);
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    assert_eq!(pair.cluster.settle(), 1);
    assert_eq!(pair.write_until_answered(1, "later")["durability"], "sync");
}

#[test]
fn an_old_record_that_is_put_over_a_newer_one_is_not_built_on() {
    let Some(mut pair) = Coordinated::new("an_old_record_that_is_put", "1s", SEMI) else { return };
    let old = pair.record().0;
    pair.cluster.kill(1);
    pair.until_recorded(|record| record["primary"]["name"] == "n2" && record["phase"] == "open");
    pair.cluster.serve(1, &[]);
    pair.until_recorded(|record| in_sync(record) == ["n1"]);
    pair.until_reachable(1, true);
    pair.cluster.until(1, |status| status["coordinator"]["record"]["in_sync"][0]["name"] == "n1");
    // At a higher revision than any before.
    pair.etcd.post(1, "/v3/kv/put", &json!({ "key": base64("/rig/pair/record"), "value": base64(&old.to_string()) }));
    (1..=2).for_each(|number| refuses(&pair, number));
    pair.never_leads_for(1, AFTER_LEASE);
    assert_eq!(pair.write_until_answered(2, "meanwhile")["durability"], "sync");
    pair.cluster.kill(1);
    pair.cluster.serve(1, &[]);
    refuses(&pair, 1);
    let done = pair.cluster.run(2, &["coordinator", "repair", "--json"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    pair.until_recorded(|record| record["primary"]["name"] == "n2" && in_sync(record) == ["n1"]);
}

#[test]
fn a_lost_record_is_mended_also_when_every_node_was_started_anew() {
    let Some(mut pair) = Coordinated::new("a_lost_record_is_mended", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    (1..=2).for_each(|number| pair.cluster.kill(number));
    pair.etcd.post(1, "/v3/kv/deleterange", &json!({ "key": base64("/rig/pair/record") }));
    pair.cluster.serve(2, &[]);
    pair.cluster.serve(1, &[]);
    (1..=2).for_each(|number| refuses(&pair, number));
    let done = pair.cluster.run(1, &["coordinator", "repair", "--json"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    (1..=2).for_each(|number| drop(pair.until_reachable(number, true)));
    pair.cluster.settle();
    assert_eq!(pair.write_until_answered(1, "later")["durability"], "sync");
}

#[test]
fn a_pair_whose_disk_takes_no_note_of_the_record_goes_on_and_fails_over() {
    let Some(mut pair) = Coordinated::new("a_pair_whose_disk_takes_no_note", "1s", SEMI) else { return };
    let file = |number: usize| pair.cluster.home.path(&format!("n{number}/state/coordinator-record"));
    let files = [file(1), file(2)];
    for file in &files {
        std::fs::remove_file(file).unwrap();
        std::fs::create_dir(file).unwrap();
    }
    pair.cluster.kill(1);
    assert_eq!(pair.write_until_answered(2, "heir")["epoch"], 2);
    let said = pair.cluster.home.serve_log();
    assert_eq!(said.matches("note what the record says").count(), 1, "{said}");
    std::fs::remove_dir(&files[1]).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !files[1].is_file() {
        assert!(std::time::Instant::now() < deadline, "{}", pair.cluster.home.serve_log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let noted: Value = serde_json::from_slice(&std::fs::read(&files[1]).unwrap()).unwrap();
    assert_eq!((&noted["format"], &noted["epoch"]["number"]), (&json!(1), &json!(2)), "{noted}");
}

#[test]
fn another_prefix_and_a_damaged_note_are_refused_and_other_hosts_are_not() {
    let Some(etcd) = Etcd::new("another_prefix_and_a_damaged_note", 1, &[]) else { return };
    let home = Home::new();
    let url = |prefix: &str| etcd.address(prefix).to_string();
    let serve = |more: &[&str]| home.run(&[&["serve", "--json", "-D", "n1", "--listen", "127.0.0.1:0"], more].concat());
    let runs = |more: &[&str]| {
        let node = Node::serve(&home, &[&["-D", "n1"], more].concat());
        home.ok(&["wait", "ready", "-N", node.url()]);
    };
    home.ok(&["init", "n1"]);
    runs(&["--role", "primary", "--coordinator", &url("/rig/users")]);
    let typo = serve(&["--coordinator", &url("/rig/user")]);
    assert_eq!(typo.code, Some(2), "{typo:#?}");
    for words in [&url("/rig/users"), "/rig/user is another prefix", "--coordinator none"] {
        assert!(typo.stderr.contains(words), "{words}: {}", typo.stderr);
    }
    let missing = etcd.at(&[1], "/rig/user", Duration::from_secs(5)).read().unwrap();
    assert!(missing.record.is_none(), "{missing:?}");
    // The same record by other hosts.
    let more = url("/rig/users").replace("etcd://", "etcd://127.0.0.1:1,");
    runs(&["--coordinator", &more]);
    // A damaged note stops the start, and the file is named.
    let note = home.path("n1/state/coordinator-record");
    let bytes = std::fs::read(&note).unwrap();
    std::fs::write(&note, &bytes[..bytes.len() / 2]).unwrap();
    let damaged = serve(&["--coordinator", &more]);
    assert_eq!(damaged.code, Some(1), "{damaged:#?}");
    for words in ["n1/state/coordinator-record", "damaged", "remove the file"] {
        assert!(damaged.stderr.contains(words), "{words}: {}", damaged.stderr);
    }
    // Given up in words, nothing of it is left.
    runs(&["--coordinator", "none"]);
    assert!(!note.exists() && !home.path("n1/state/coordinator").exists());
    runs(&["--coordinator", &url("/rig/user")]);
}

#[test]
fn a_record_from_before_the_cluster_was_led_without_one_is_not_built_on() {
    let Some(etcd) = Etcd::new("a_record_from_before", 1, &[]) else { return };
    let home = Home::new();
    let url = etcd.address("/rig/users").to_string();
    home.ok(&["init", "n1"]);
    let serve =
        |coordinator: &str| Node::serve(&home, &["-D", "n1", "--role", "primary", "--coordinator", coordinator]);
    let node = serve(&url);
    home.ok(&["wait", "ready", "-N", node.url()]);
    drop(node);
    let without = serve("none");
    home.ok(&["wait", "ready", "-N", without.url()]);
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"x\"}", "-N", without.url()]);
    drop(without);
    let node = serve(&url);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let seen = home.run(&["status", "--json", "-N", node.url()]).json();
        if seen["coordinator"]["why"].as_str().is_some_and(|why| why.contains("older than this node's log")) {
            assert_eq!((&seen["role"], &seen["state"]), (&json!("primary"), &json!("recovering")), "{seen:#}");
            break;
        }
        assert!(std::time::Instant::now() < until, "{seen:#}");
    }
    let done = home.run(&["coordinator", "repair", "-N", node.url(), "--json"]);
    assert_eq!((done.code, &done.json()["done"]), (Some(0), &json!(true)), "{done:#?}");
    home.ok(&["wait", "ready", "-N", node.url()]);
    home.ok(&["get", "user", "x", "-N", node.url()]);
    drop(node);
    // From now on it goes by that.
    let node = serve(&url);
    home.ok(&["wait", "ready", "-N", node.url()]);
}
