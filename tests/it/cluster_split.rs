//! Two sides that never saw each other have both opened epochs and written: they stop when they meet, and the operator
//! names the winner.

use serde_json::json;

use crate::support::Cluster;

#[test]
fn two_sides_that_both_wrote_stop_when_they_meet_until_the_operator_names_the_winner() {
    let mut cluster = Cluster::new(3, &["--replication", "async", "--sync-timeout", "300ms"]);
    cluster.put(1, "all");
    cluster.settle();
    cluster.until(2, |status| status["log"]["durable"] == cluster.seen(1)["log"]["durable"]);
    cluster.until(3, |status| status["log"]["durable"] == cluster.seen(1)["log"]["durable"]);
    // One side: n2 by force, and from there to n3 as planned.
    cluster.kill(1);
    cluster.until(3, |status| status["peers"].as_array().unwrap().iter().any(|peer| peer["connected"] == true));
    assert_eq!(cluster.force(2)["epoch"], 2);
    cluster.put(2, "b2");
    cluster.until(3, |status| status["state"] == "in_sync");
    assert_eq!(cluster.ok(3, &["promote", "--json"]).json()["forced"], false);
    cluster.put(3, "b3");
    cluster.kill(2);
    cluster.kill(3);
    // The other side: n1, by force, and it knows nothing of all this.
    cluster.serve(1, &["--role", "replica"]);
    assert_eq!(cluster.force(1)["epoch"], 2);
    cluster.put(1, "a1");

    // They meet.
    cluster.serve(3, &[]);
    for number in [1, 3] {
        cluster.until(number, |status| status["state"] == "split_brain");
        let reply = cluster.request(number, "late", "k-late", 1000).unwrap();
        assert_eq!(reply.status, 503, "n{number}: {reply:?}");
        let name = format!("n{number}");
        let checked = cluster.home.run(&["status", &name, "--check"]);
        assert_eq!(checked.code, Some(9), "{checked:#?}");
        let events = cluster.ok(number, &["events", "--json"]).lines();
        assert!(events.iter().any(|event| event["event"] == "split-brain"), "{events:#?}");
        // Nothing is set aside before the word.
        assert_eq!(cluster.seen(number)["rescued"], 0);
    }
    let dry = cluster.home.ok(&["resolve", "--winner", "n3", "--dry-run", "--json"]).json();
    assert_eq!((&dry["dry_run"], &cluster.seen(3)["state"]), (&json!(true), &json!("split_brain")));
    let unnamed = cluster.home.run(&["resolve", "--winner", "n3", "--json"]);
    assert_eq!((unnamed.code, &unnamed.error()["code"]), (Some(2), &json!("not_confirmed")));
    cluster.home.ok(&["resolve", "--winner", "n3", "--confirm", "n3"]);
    cluster.serve(2, &[]);
    assert_eq!(cluster.settle(), 3);
    let listed = cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json();
    let shown = cluster.home.ok(&["rescue", "show", listed["file"].as_str().unwrap(), "-D", "n1", "--json"]).lines();
    assert!(shown.iter().any(|line| line["data"]["id"] == "a1"), "{shown:#?}");
    let head = cluster.put(3, "after")["version"].clone();
    for number in [1, 2] {
        cluster.until(number, |status| status["applied"] == head);
        cluster.are_equal(number, 3);
    }
    assert_eq!(cluster.ok(1, &["ls", "user", "--json"]).lines().len(), 4);
}
