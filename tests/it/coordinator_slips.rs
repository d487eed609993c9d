//! What people do in a hurry: a flag that is forgotten, a replica that comes back before the coordinator does, a command
//! that is given before another node leads.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Coordinated, Etcd, Home, Node, Ran};

const SEMI: &[&str] = &["--sync-timeout", "300ms"];

fn serve(home: &Home, more: &[&str]) -> Ran {
    home.run(&[&["serve", "--json", "-D", "n1", "--listen", "127.0.0.1:0"], more].concat())
}

#[test]
fn a_node_that_went_by_a_record_is_not_started_without_it() {
    let Some(etcd) = Etcd::new("a_node_that_went_by_a_record", 1, &[]) else { return };
    let (home, url) = (Home::new(), etcd.address("/rig/a").to_string());
    home.ok(&["init", "n1"]);
    let node = Node::serve(&home, &["-D", "n1", "--role", "primary", "--coordinator", &url]);
    home.ok(&["wait", "ready", "-N", node.url()]);
    drop(node);
    let refused = serve(&home, &[]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    for words in [&format!("--coordinator {url}"), "--coordinator none"] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    // The same by rig.toml, and given up in words: from then on as if there had never been one.
    home.file("n1/rig.toml", format!("coordinator = \"{url}\"\n"));
    let node = Node::serve(&home, &["-D", "n1"]);
    home.ok(&["wait", "ready", "-N", node.url()]);
    drop(node);
    std::fs::remove_file(home.path("n1/rig.toml")).unwrap();
    for flags in [&["-D", "n1", "--coordinator", "none"][..], &["-D", "n1"]] {
        let node = Node::serve(&home, flags);
        home.ok(&["wait", "ready", "-N", node.url()]);
        let status = home.ok(&["status", "-N", node.url(), "--json"]).json();
        assert_eq!((&status["state"], &status["coordinator"]), (&json!("serving"), &json!(null)));
    }
}

#[test]
fn a_replica_that_comes_back_before_the_coordinator_does_is_counted_again_and_writes_go_on() {
    let Some(mut pair) = Coordinated::new("a_replica_that_comes_back", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.cluster.kill(2);
    let open = pair.cluster.request(1, "open", "k-open", 600).unwrap();
    assert_eq!((open.status, &*open.code()), (504, "outcome_unknown"), "{open:?}");
    pair.cluster.until(1, |status| status["state"] == "blocked");
    pair.cluster.serve(2, &[]);
    let data = pair.write_until_answered(1, "again");
    assert_eq!((&data["durability"], &data["acks"]), (&json!("sync"), &json!(["n1", "n2"])), "{data}");
    let open = pair.cluster.request(1, "open", "k-open", 2000).unwrap().data();
    assert_eq!((&open["durability"], &open["replayed"]), (&json!("sync"), &json!(true)));
    assert!(!pair.events(1, 0).iter().any(|name| name == "degraded"), "nobody was left out: {:?}", pair.events(1, 0));
    // Whatever became of the change that was asked for meanwhile, the record is right again.
    pair.bring_etcd_back();
    pair.until_reachable(1, true);
    pair.until_recorded(|record| crate::support::in_sync(record) == ["n2"]);
    assert_eq!(pair.write_until_answered(1, "later")["durability"], "sync");
}

#[test]
fn a_command_that_goes_by_the_record_waits_for_whoever_leads_next() {
    let Some(mut pair) = Coordinated::new("a_command_that_goes_by_the_record", "1s", SEMI) else { return };
    let url = pair.etcd.address("/rig/pair").to_string();
    let apply = |pair: &Coordinated, id: &str, timeout: &str| {
        let data = format!("{{\"id\":\"{id}\"}}");
        let ran = ["apply", "user_put", "--data", &data, "--key", id, "-N", &url, "--timeout", timeout, "--json"];
        pair.cluster.home.run(&ran)
    };
    pair.cluster.kill(1);
    let applied = apply(&pair, "a", "20s");
    assert_eq!((applied.code, &applied.json()["durability"]), (Some(0), &json!("degraded")), "{applied:#?}");
    let again = apply(&pair, "a", "20s").json();
    assert_eq!((&again["version"], &again["replayed"]), (&applied.json()["version"], &json!(true)));
    // In vain: it ends in its time. The link before the node takes connections, so something may have been sent.
    pair.cluster.kill(2);
    let begin = Instant::now();
    let failed = apply(&pair, "b", "1s");
    assert_eq!((failed.code, &failed.error()["key"]), (Some(7), &json!("b")), "{failed:#?}");
    assert!((1..4).contains(&(begin.elapsed() + Duration::from_millis(200)).as_secs()), "{:?}", begin.elapsed());
}

#[test]
fn a_pair_that_starts_without_its_etcd_says_that_it_waits_for_that_and_for_no_member() {
    let Some(mut pair) = Coordinated::new("a_pair_that_starts_without_its_etcd", "1s", SEMI) else { return };
    pair.cluster.put(1, "before");
    pair.lose_etcd();
    (1..=2).for_each(|number| pair.cluster.kill(number));
    (1..=2).for_each(|number| pair.cluster.serve(number, &[]));
    for number in [1, 2] {
        pair.cluster.until(number, |status| {
            status["coordinator"]["why"].is_string() && status["peers"][0]["connected"] == true
        });
        let text = pair.cluster.ok(number, &["status"]).stdout;
        let next = text.lines().find(|line| line.starts_with("  next ")).unwrap_or_else(|| panic!("{text}"));
        assert!(next.contains("bring etcd back: this node opens by itself"), "{text}");
        let refused = pair.cluster.run(number, &["promote", "--json"]);
        let error = refused.error();
        assert_eq!((refused.code, &error["code"]), (Some(6), &json!("promotion_unsafe")), "{refused:#?}");
        assert_eq!(error["missing_members"], json!([]), "{error}");
        for (member, words) in [("message", "the coordinator decides"), ("hint", "bring the coordinator back")] {
            assert!(error[member].as_str().unwrap().contains(words), "{error}");
        }
    }
    pair.bring_etcd_back();
    // Whichever of them reads the record first.
    let leads = pair.cluster.settle();
    assert_eq!(pair.write_until_answered(leads, "after")["durability"], "sync");
}

#[test]
fn a_replica_that_will_take_over_says_so_and_is_not_to_be_promoted() {
    let Some(mut pair) = Coordinated::new("a_replica_that_will_take_over", "8s", SEMI) else { return };
    pair.cluster.kill(1);
    pair.cluster.until(2, |status| status["peers"][0]["connected"] == false);
    let text = pair.cluster.ok(2, &["status"]).stdout;
    assert!(text.contains("nothing: n2 takes over by itself when n1's lease ends"), "{text}");
    assert_eq!(pair.write_until_answered(2, "heir")["epoch"], 2);
}
