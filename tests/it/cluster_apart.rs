//! Nodes that are connected and not of one mind: a member that goes by another record than its primary, and two that lead
//! under one cluster id. The protocol allows both; people must hear of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Etcd, Home, Node};
use crate::wire::Wire;

/// Waits until so many events of that name are there, which may come a moment after the status, and gives them.
fn told(address: &str, name: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut lines = Wire::open(address).unwrap().get("/events").unwrap().lines();
        lines.retain(|line| line["event"] == name);
        if lines.len() >= count || Instant::now() >= deadline {
            return lines;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_force_on_a_removed_node_says_what_it_makes_and_both_primaries_say_that_there_are_two() {
    let mut cluster = Cluster::new(2, &[]);
    cluster.put(1, "a");
    cluster.kill(2);
    cluster.ok(1, &["member", "remove", "n2", "--confirm", "n2"]);
    cluster.put(1, "b");
    cluster.serve(2, &[]);
    let status = cluster.until(2, |status| status["state"] == "outdated" && status["removed"]["by"] == "n1");
    let head = cluster.seen(1)["log"]["durable"].clone();
    assert_eq!(status["removed"]["version"], head);
    // What only this node has may be there to be saved: that comes before an empty directory.
    let text = cluster.ok(2, &["status"]).stdout;
    let (against, anew) = (text.find("--against n1"), text.find("join anew"));
    assert!(against.is_some() && against < anew && text.contains("rig rescue ls"), "{text}");
    cluster.kill(1);

    let says = format!("n2 was removed from this cluster, at version {head} at the latest; n1 led without it");
    let asked = cluster.home.run(&["promote", "n2", "--accept-data-loss"]);
    assert!(asked.code == Some(2) && asked.stderr.contains(&says), "{asked:#?}");
    let forced = cluster.home.ok(&["promote", "n2", "--accept-data-loss", "--confirm", "n2"]);
    assert!(forced.stderr.contains(&says), "{forced:#?}");
    assert_eq!(cluster.seen(2)["rivals"], json!([]));
    cluster.serve(1, &[]);
    for (number, other) in [(1, "n2"), (2, "n1")] {
        let status = cluster.until(number, |status| status["rivals"][0]["name"] == other);
        assert_eq!(
            (&status["role"], &status["state"]),
            (&json!("primary"), &json!(if number == 1 { "serving" } else { "degraded" }))
        );
        let name = format!("n{number}");
        let shown = cluster.ok(number, &["status"]).stdout;
        let compare = format!("rig log verify -N {name} --against {other}");
        assert!(shown.contains("under the same cluster id") && shown.contains(&compare), "{shown}");
        assert_eq!(cluster.run(number, &["status", "--check"]).code, Some(9));
        let doctor = cluster.home.run(&["doctor", "-D", &name]);
        assert!(doctor.code == Some(9) && doctor.stdout.contains("two lead"), "{doctor:#?}");
        let resolve = cluster.run(number, &["resolve", "--winner", &name, "--confirm", &name, "--json"]);
        let error = resolve.error();
        assert_eq!(resolve.code, Some(6), "{resolve:#?}");
        assert!(error["message"].as_str().unwrap().contains(&format!("{other} leads too")), "{error}");
        let address = cluster.node(number).address().to_owned();
        let told = told(&address, "two-primaries", 1);
        assert!(told.len() == 1 && told[0]["member"] == other, "{told:#?}");
    }
    // When one of them is stopped the other is well again.
    cluster.kill(2);
    cluster.until(1, |status| status["rivals"] == json!([]));
    assert_eq!(cluster.run(1, &["status", "--check"]).code, Some(0));
}

#[test]
fn a_member_that_goes_by_another_record_or_none_cannot_take_over_and_the_primary_says_so() {
    let test = "a_member_that_goes_by_another_record";
    let Some(etcd) = Etcd::new(test, 1, &[]) else { return };
    let url =
        |prefix: &str| format!("etcd://{}{prefix}", etcd.client(1).strip_prefix("http://").unwrap_or(etcd.client(1)));
    let (right, wrong) = (url("/rig/users"), url("/rig/user"));
    let mut cluster = Cluster::at(Home::new(), 1, &["--coordinator", &right, "--coordinator-lease", "1s"]);
    cluster.join(2);
    let of = |status: &Value, name: &str| -> (Value, Value) {
        let peers = status["peers"].as_array().unwrap();
        let peer = peers.iter().find(|peer| peer["name"] == name).cloned().unwrap_or_default();
        (peer["record"].clone(), peer["other_record"].clone())
    };
    cluster.until(1, |status| of(status, "n2") == (json!("none"), json!(true)));
    let shown = cluster.ok(1, &["status"]).stdout;
    assert!(shown.contains("n2 goes by no record, and cannot take over") && shown.contains(&right), "{shown}");
    assert_eq!(cluster.run(1, &["status", "--check"]).code, Some(12));
    // The replica has nothing to say about it.
    assert_eq!(of(&cluster.seen(2), "n1"), (json!("/rig/users"), json!(false)));

    cluster.kill(2);
    cluster.serve(2, &["--coordinator", &right, "--coordinator-lease", "1s"]);
    cluster.wait(2, "in-sync");
    cluster.until(1, |status| of(status, "n2") == (json!("/rig/users"), json!(false)) && status["state"] == "serving");
    assert_eq!(cluster.run(1, &["status", "--check"]).code, Some(0));

    cluster.home.ok(&["init", "n3"]);
    let peer = cluster.url(1);
    let flags =
        ["-D", "n3", "--role", "replica", "--peer", &peer, "--coordinator", &wrong, "--coordinator-lease", "1s"];
    let _third = Node::serve(&cluster.home, &flags);
    cluster.until(1, |status| of(status, "n3") == (json!("/rig/user"), json!(true)));
    let shown = cluster.ok(1, &["status"]).stdout;
    assert!(shown.contains("n3 goes by another record (/rig/user), and cannot take over"), "{shown}");
    let address = cluster.node(1).address().to_owned();
    let told = told(&address, "other-record", 2);
    let told: Vec<_> = told.iter().map(|event| (&event["member"], &event["record"])).collect();
    assert_eq!(told, [(&json!("n2"), &json!("none")), (&json!("n3"), &json!("/rig/user"))]);
}
