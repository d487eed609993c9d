//! `rig promote`, `rig demote`, `rig resolve`: who is the primary, and what is refused.

use serde_json::json;

use crate::support::Cluster;

#[test]
fn a_primary_that_lives_hands_over_and_nothing_is_lost() {
    let cluster = Cluster::new(2, &[]);
    let before = cluster.put(1, "a");
    let dry = cluster.ok(2, &["promote", "--dry-run", "--json"]).json();
    assert_eq!(
        (&dry["dry_run"], &dry["name"], &cluster.status(1)["role"]),
        (&json!(true), &json!("n2"), &json!("primary"))
    );
    let promoted = cluster.home.ok(&["promote", "n2", "--json"]).json();
    assert_eq!(
        (&promoted["type"], &promoted["role"], &promoted["epoch"]),
        (&json!("promoted"), &json!("primary"), &json!(2))
    );
    assert!(promoted["version"].as_u64() > before["version"].as_u64());
    cluster.wait(1, "in-sync");
    cluster.wait(2, "role=primary");
    assert_eq!(cluster.status(1)["role"], "replica");
    // Already so.
    assert_eq!(cluster.home.ok(&["promote", "n2", "--json"]).json()["epoch"], 2);
    // And back by name of the other one, through its URL.
    let url = cluster.url(1);
    cluster.home.ok(&["promote", &url]);
    cluster.wait(2, "in-sync");
    assert_eq!(cluster.put(2, "b")["durability"], "sync");
    cluster.are_equal(1, 2);
}

#[test]
fn a_demoted_primary_hands_over_to_who_is_in_sync_and_else_steps_down() {
    let mut cluster = Cluster::new(2, &["--sync-timeout", "300ms"]);
    let demoted = cluster.home.ok(&["demote", "n1", "--json"]).json();
    assert_eq!((&demoted["type"], &demoted["role"]), (&json!("demoted"), &json!("replica")));
    cluster.wait(2, "role=primary");
    cluster.wait(1, "in-sync");
    assert_eq!(cluster.put(1, "a")["durability"], "sync");
    assert_eq!(cluster.home.ok(&["demote", "n1", "--json"]).json()["role"], "replica");
    // Nobody is there to follow.
    cluster.kill(1);
    assert_eq!(cluster.put(2, "b")["durability"], "degraded");
    assert_eq!(cluster.home.ok(&["demote", "n2", "--json"]).json()["role"], "replica");
    let refused = cluster.run(2, &["apply", "user_put", "--data", "{\"id\":\"c\"}", "--json", "--timeout", "2s"]);
    assert_eq!(refused.code, Some(8), "{refused:#?}");
    cluster.home.ok(&["promote", "n2", "--accept-data-loss", "--confirm", "n2"]);
    cluster.serve(1, &[]);
    cluster.wait(1, "in-sync");
    assert_eq!(cluster.put(1, "c")["durability"], "sync");
    cluster.are_equal(1, 2);
}

#[test]
fn a_promotion_that_could_lose_something_is_refused_with_its_numbers() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.put(1, "a");
    cluster.kill(1);
    for arguments in [&["promote", "n2", "--json"][..], &["promote", "n2", "--dry-run", "--json"]] {
        let refused = cluster.home.run(arguments);
        let error = refused.error();
        assert_eq!((refused.code, &error["code"]), (Some(6), &json!("promotion_unsafe")), "{refused:#?}");
        assert_eq!(error["missing_members"], json!(["n1"]));
        assert!(error["my_version"].as_u64() >= Some(3) && error["last_known_version"].is_u64(), "{error}");
        assert!(error["last_contact"].is_string(), "{error}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains("rig promote n2 --accept-data-loss --confirm n2"), "{hint}");
    }
    let text = cluster.home.run(&["promote", "n2"]).stderr;
    assert!(text.contains("n2 has version") && text.contains("missing: n1"), "{text}");
    // Severe: only with the right name.
    for (confirm, code) in [(&[][..], "not_confirmed"), (&["--confirm", "n1"], "not_confirmed")] {
        let ran = cluster.home.run(&[&["promote", "n2", "--accept-data-loss", "--json"], confirm].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (Some(2), &json!(code)), "{ran:#?}");
    }
    assert_eq!(cluster.status(2)["role"], "replica");
    cluster.home.ok(&["promote", "n2", "--accept-data-loss", "--dry-run"]);
    assert_eq!(cluster.status(2)["role"], "replica");
    let forced = cluster.home.ok(&["promote", "n2", "--accept-data-loss", "--confirm", "n2", "--json"]).json();
    assert_eq!((&forced["role"], &forced["forced"]), (&json!("primary"), &json!(true)));
    assert_eq!(cluster.put(2, "b")["durability"], "degraded");
    cluster.serve(1, &["--role", "replica"]);
    cluster.wait(1, "in-sync");
    cluster.are_equal(1, 2);
}

#[test]
fn in_mode_sync_the_replica_is_promoted_without_force() {
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    let answered = cluster.put(1, "a");
    cluster.kill(1);
    let promoted = cluster.home.ok(&["promote", "n2", "--json"]).json();
    assert_eq!((&promoted["state"], &promoted["forced"]), (&json!("blocked"), &json!(false)));
    assert!(cluster.home.ok(&["status", "n2"]).stdout.contains("start n1"));
    let blocked = cluster.run(2, &["apply", "user_put", "--data", "{\"id\":\"b\"}", "--json"]);
    assert_eq!((blocked.code, &blocked.error()["code"]), (Some(8), &json!("not_enough_replicas")));
    cluster.serve(1, &["--role", "replica"]);
    cluster.wait(1, "in-sync");
    cluster.put(1, "b");
    let version = answered["version"].to_string();
    let record = cluster.ok(2, &["log", "dump", "--from", &version, "--to", &version, "--json"]).json();
    assert_eq!(record["hash"], answered["hash"]);
}

#[test]
fn without_a_node_or_with_the_wrong_one_nothing_is_changed() {
    let mut cluster = Cluster::new(1, &[]);
    let url = cluster.url(1);
    for (arguments, exit, code) in [
        (&["promote", "n9"][..], 3, "no_such_node"),
        (&["promote", "http://127.0.0.1:1"], 4, "unreachable"),
        (&["promote", "n1", "--confirm", "n1"], 2, "bad_argument"),
        (&["demote", "n9"], 3, "no_such_node"),
        (&["demote", "http://127.0.0.1:1"], 4, "unreachable"),
        (&["resolve"], 2, "bad_argument"),
        (&["resolve", "--winner", "n9", "--confirm", "n9"], 3, "no_such_node"),
        (&["resolve", "--winner", "http://127.0.0.1:1", "--confirm", "n1"], 4, "unreachable"),
        // There is none to be ended, whatever is confirmed.
        (&["resolve", "--winner", "n1", "--confirm", "n1"], 6, "stale_epoch"),
        (&["resolve", "--winner", &url, "--dry-run"], 6, "stale_epoch"),
    ] {
        let ran = cluster.home.run(&[arguments, &["--json"]].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (Some(exit), &json!(code)), "{arguments:?}: {ran:#?}");
    }
    assert_eq!(cluster.status(1)["state"], "serving");
    cluster.node(1).signal("TERM");
    assert_eq!(cluster.node(1).wait(), Some(0));
    for command in [&["promote", "n1"][..], &["demote", "n1"], &["resolve", "--winner", "n1"], &["promote"]] {
        let ran = cluster.home.run(&[command, &["--json"]].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (Some(4), &json!("not_running")), "{command:?}: {ran:#?}");
    }
}
