//! The exact events of a replica that is left behind and comes back, and of a primary that is replaced and follows, where a
//! coordinator decides; and what is recorded before the first answer. The scenarios S4 and S5 of `tests/README.md`, and S7
//! once more.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Coordinated, Way, in_sync};

#[test]
fn the_first_answer_without_a_replica_comes_after_the_record_says_so_and_it_is_back_by_itself() {
    let flags = ["--sync-timeout", "400ms"];
    let Some(mut pair) = Coordinated::new("the_first_answer_without_a_replica", "5s", &flags) else { return };
    pair.cluster.put(1, "both");
    let after = pair.last_event(1);
    // Etcd does not hear of it yet.
    pair.way(1).hold(Way::In);
    pair.cluster.kill(2);
    let open = pair.cluster.request(1, "held", "k-held", 1000).unwrap();
    assert_eq!((open.status, &*open.code()), (504, "outcome_unknown"), "{open:?}");
    assert_eq!(in_sync(&pair.record().0), ["n2"], "nothing is recorded, nothing is answered");
    // Etcd has it, and the node does not hear of that.
    pair.way(1).heal();
    pair.way(1).hold(Way::Out);
    pair.until_recorded(|record| in_sync(record).is_empty());
    assert_eq!(pair.cluster.request(1, "held", "k-held", 300).unwrap().status, 504);
    assert!(pair.events(1, after).iter().all(|name| name != "degraded"));
    pair.way(1).heal();
    let begin = Instant::now();
    let answered = pair.cluster.request(1, "held", "k-held", 5000).unwrap().data();
    assert_eq!((&answered["durability"], &answered["acks"]), (&json!("degraded"), &json!(["n1"])));
    println!("answered {:?} after the way was open again", begin.elapsed());
    let quick = Instant::now();
    assert_eq!(pair.write_until_answered(1, "quick")["durability"], "degraded");
    assert!(quick.elapsed() < Duration::from_millis(400), "the next is not waited for: {:?}", quick.elapsed());

    pair.cluster.serve(2, &[]);
    assert_eq!(pair.cluster.settle(), 1);
    pair.until_recorded(|record| in_sync(record) == ["n2"]);
    let names = pair.events(1, after);
    let of_set: Vec<&String> = names.iter().filter(|name| !name.starts_with("coordinator-")).collect();
    assert_eq!(of_set, ["degraded", "in-sync"], "{names:?}");
    // The range that one disk held is remembered.
    let ranges = pair.cluster.seen(1)["replication"].clone();
    let text = ranges.to_string();
    assert!(text.contains(&answered["version"].to_string()), "{ranges:#}");
    pair.cluster.are_equal(1, 2);
}

#[test]
fn a_replaced_primary_and_its_heir_tell_each_step_once_in_order() {
    let flags = ["--sync-timeout", "300ms"];
    let Some(mut pair) = Coordinated::new("a_replaced_primary_and_its_heir", "1s", &flags) else { return };
    pair.cluster.put(1, "both");
    let after = [pair.last_event(1), pair.last_event(2)];
    pair.cluster.node(1).signal("STOP");
    let begin = Instant::now();
    let first = pair.write_until_answered(2, "heir");
    println!("from SIGSTOP to the first answer with a lease of 1 s: {:?}", begin.elapsed());
    assert_eq!((&first["epoch"], &first["durability"]), (&json!(2), &json!("degraded")));
    pair.cluster.node(1).signal("CONT");
    assert_eq!(pair.cluster.settle(), 2);
    assert_eq!(pair.events(2, after[1]), ["degraded", "promoted", "in-sync"]);
    assert_eq!(pair.events(1, after[0]), ["fenced", "following"]);
    // The same by the command.
    let lines = pair.cluster.ok(2, &["events", "--json", "--after", &after[1].to_string()]).lines();
    let told: Vec<_> = lines.iter().filter(|line| line["type"] == "event").collect();
    assert_eq!((&told[0]["member"], &told[2]["member"]), (&json!("n1"), &json!("n1")));
    let promoted = told[1];
    assert_eq!(
        (&promoted["event"], &promoted["epoch"], &promoted["forced"]),
        (&json!("promoted"), &json!(2), &json!(false))
    );
}
