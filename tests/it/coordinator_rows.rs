//! A way is cut, or etcd is away, while a real pair goes by a record there: who answers, who leads, and what is found when
//! everything is back. The rows F13 to F17 and the scenarios S13 to S16 of `tests/README.md`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Coordinated, in_sync};

const SEMI: &[&str] = &["--sync-timeout", "300ms"];
/// Longer than a lease of one second and all that is waited for after it.
const AFTER_LEASE: Duration = Duration::from_millis(3500);

/// An operator cannot make this replica lead without force.
fn is_not_promoted(pair: &Coordinated, number: usize) {
    let ran = pair.cluster.home.run(&["promote", &pair.cluster.url(number), "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (Some(6), &json!("promotion_unsafe")), "{ran:#?}");
}

/// The one that leads, when both are back and equal. Nobody has seen two sides.
fn comes_together(pair: &Coordinated) -> usize {
    let leads = pair.cluster.settle();
    let head = pair.cluster.put(leads, "together");
    assert_eq!(head["acks"].as_array().map(Vec::len), Some(2), "{head}");
    pair.cluster.are_equal(1, 2);
    for number in [1, 2] {
        let events = pair.events(number, 0);
        assert!(!events.iter().any(|name| name == "split-brain"), "n{number}: {events:?}");
    }
    leads
}

fn documents(pair: &Coordinated, number: usize) -> Vec<String> {
    let lines = pair.cluster.ok(number, &["ls", "user", "--json"]).lines();
    lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_cut_link_leaves_the_primary_as_the_only_one_in_the_record_and_the_replica_follows_it_again() {
    let Some(pair) = Coordinated::new("a_cut_link_leaves_the_primary", "1s", SEMI) else { return };
    pair.cluster.cut();
    let answered = pair.cluster.request(1, "alone", "k-alone", 5000).unwrap().data();
    let (record, leases) = pair.record();
    assert_eq!((&answered["durability"], &answered["acks"]), (&json!("degraded"), &json!(["n1"])));
    assert_eq!((&record["primary"]["name"], in_sync(&record)), (&json!("n1"), vec![]), "{record:#}");
    assert_eq!(leases, [record["primary"]["id"].as_str().unwrap()]);
    pair.cluster.until(2, |status| in_sync(&status["coordinator"]["record"]).is_empty());
    is_not_promoted(&pair, 2);
    pair.never_leads_for(2, AFTER_LEASE);
    assert_eq!(pair.cluster.request(1, "more", "k-more", 2000).unwrap().status, 200);
    let refused = pair.cluster.request(2, "no", "k-no", 2000).unwrap();
    assert_eq!(refused.status, 307, "{refused:?}");
    pair.cluster.heal();
    assert_eq!(comes_together(&pair), 1);
    assert_eq!(pair.until_recorded(|record| in_sync(record) == ["n2"])["epoch"], record["epoch"]);
}

#[test]
fn of_two_sides_that_both_want_the_record_exactly_one_gets_it_and_the_other_answers_nothing() {
    let Some(pair) = Coordinated::new("of_two_sides_exactly_one", "1s", SEMI) else { return };
    let mut winners = [0, 0];
    for round in 0..4_u64 {
        let before = pair.cluster.seen(1)["epoch"].clone();
        let leads = pair.cluster.settle();
        pair.cluster.cut();
        // It is back on the way at the moment when the other one may try.
        pair.way(leads).cut();
        pair.until_no_lease();
        std::thread::sleep(Duration::from_millis(40 * round));
        pair.way(leads).heal();
        let tries = |number: usize| {
            let mut answers = Vec::new();
            let until = Instant::now() + Duration::from_secs(1);
            for n in 0.. {
                let key = format!("r{round}-{number}-{n}");
                let reply = pair.cluster.request(number, &key, &key, 700).unwrap();
                assert!(matches!(reply.status, 200 | 307 | 503 | 504), "{reply:?}");
                if reply.status == 200 {
                    answers.push((key, reply.data()));
                }
                if Instant::now() > until {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            answers
        };
        let answers = std::thread::scope(|scope| {
            let threads = [1, 2].map(|number| scope.spawn(move || tries(number)));
            threads.map(|thread| thread.join().unwrap())
        });
        let has_won: Vec<usize> = [1, 2].into_iter().filter(|number| !answers[number - 1].is_empty()).collect();
        assert!(has_won.len() < 2, "round {round}, epoch {before}: both have answered: {answers:#?}");
        has_won.iter().for_each(|number| winners[usize::from(*number == leads)] += 1);
        pair.cluster.heal();
        let leads = comes_together(&pair);
        for (key, data) in answers.iter().flatten() {
            let again = pair.cluster.request(leads, key, key, 5000).unwrap().data();
            let what = |of: &Value| (of["version"].clone(), of["hash"].clone());
            assert_eq!((what(&again), &again["replayed"]), (what(data), &json!(true)), "{key}");
        }
    }
    println!("the other one has won {} times, the primary {} times", winners[0], winners[1]);
    assert!(winners[0] + winners[1] > 0, "somebody goes on");
}

#[test]
fn a_primary_that_reaches_nobody_stops_the_replica_takes_over_and_what_was_not_answered_is_rescued() {
    let Some(pair) = Coordinated::new("a_primary_that_reaches_nobody_stops", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    pair.cluster.cut();
    pair.way(1).cut();
    let begin = Instant::now();
    // This one is in its log, and nowhere else.
    let open = pair.cluster.request(1, "tail", "k-tail", 400).unwrap();
    assert_eq!((open.status, &*open.code()), (504, "outcome_unknown"), "{open:?}");
    let first = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            pair.until_reachable(1, false);
            pair.cluster.until(1, |status| status["state"] == "blocked");
            pair.refuses_for(1, "refused", Duration::from_secs(3));
        });
        let first = pair.write_until_answered(2, "taken-over");
        println!("n2 answers {:?} after the cut", begin.elapsed());
        refused.join().unwrap();
        first
    });
    assert_eq!((&first["durability"], &first["epoch"]), (&json!("degraded"), &json!(2)), "{first}");
    let (record, _) = pair.record();
    assert_eq!((&record["primary"]["name"], in_sync(&record)), (&json!("n2"), vec![]));
    pair.way(1).heal();
    pair.cluster.heal();
    assert_eq!(comes_together(&pair), 2);
    let listed = pair.cluster.home.ok(&["rescue", "ls", "-D", "n1", "--json"]).json();
    assert_eq!(listed["acknowledged"]["yes"], 0, "{listed}");
    let file = listed["file"].as_str().unwrap();
    let shown = pair.cluster.home.ok(&["rescue", "show", file, "-D", "n1", "--json"]).lines();
    let ids: Vec<_> = shown.iter().filter_map(|line| line["data"]["id"].as_str()).collect();
    assert_eq!(ids, ["tail"], "{shown:#?}");
    assert_eq!(documents(&pair, 1), ["both", "taken-over", "together"]);
}

#[test]
fn a_replica_that_reaches_neither_primary_nor_coordinator_never_leads() {
    let Some(pair) = Coordinated::new("a_replica_that_reaches_neither", "1s", SEMI) else { return };
    pair.cluster.cut();
    pair.way(2).cut();
    let answered = pair.cluster.request(1, "alone", "k-alone", 5000).unwrap().data();
    assert_eq!((&answered["durability"], in_sync(&pair.record().0)), (&json!("degraded"), vec![]));
    pair.never_leads_for(2, AFTER_LEASE);
    is_not_promoted(&pair, 2);
    // It hears of the record first, and of the primary later.
    pair.way(2).heal();
    pair.until_reachable(2, true);
    pair.never_leads_for(2, Duration::from_millis(500));
    pair.cluster.heal();
    assert_eq!(comes_together(&pair), 1);
    assert_eq!(documents(&pair, 2), ["alone", "together"]);
}

#[test]
fn a_healthy_pair_does_not_need_its_coordinator_and_says_that_it_is_away() {
    let Some(mut pair) = Coordinated::new("a_healthy_pair_does_not_need", "1s", SEMI) else { return };
    let after = [pair.last_event(1), pair.last_event(2)];
    pair.lose_etcd();
    let seconds = std::env::var("RIG_AWAY_SECONDS").map_or(4, |text| text.parse().unwrap());
    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    for n in 0.. {
        let before = Instant::now();
        let id = format!("a{n}");
        let data = pair.cluster.request(1, &id, &id, 5000).unwrap().data();
        assert_eq!((&data["durability"], &data["acks"]), (&json!("sync"), &json!(["n1", "n2"])), "{data}");
        slowest = slowest.max(before.elapsed());
        if begin.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("the slowest write without a coordinator took {slowest:?}");
    let status = pair.cluster.seen(1);
    assert_eq!((&status["state"], &status["epoch"]), (&json!("serving"), &json!(1)));
    assert_eq!(status["coordinator"]["reachable"], false);
    assert!(status["coordinator"]["why"].is_string(), "{status:#}");
    let text = pair.cluster.ok(1, &["status"]).stdout;
    assert!(text.contains("of no use since") && text.contains("nobody takes over"), "{text}");
    let checked = pair.cluster.run(1, &["doctor", "--json"]);
    assert!(checked.lines().iter().any(|line| line.to_string().contains("nobody takes over")), "{checked:#?}");
    pair.bring_etcd_back();
    for (number, after) in (1..).zip(after) {
        pair.until_reachable(number, true);
        assert_eq!(pair.events(number, after), ["coordinator-away", "coordinator-back"], "n{number}");
    }
    pair.cluster.until(1, |status| status["coordinator"]["lease_left_ms"].is_u64());
    assert_eq!(comes_together(&pair), 1);
}

#[test]
fn without_coordinator_and_replica_writes_are_refused_by_name_until_the_coordinator_is_back() {
    let Some(mut pair) = Coordinated::new("without_coordinator_and_replica", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.cluster.kill(2);
    let open = pair.cluster.request(1, "open", "k-open", 600).unwrap();
    assert_eq!((open.status, &*open.code()), (504, "outcome_unknown"), "{open:?}");
    assert_eq!(
        pair.cluster.until(1, |status| status["state"] == "blocked")["replication"]["in_sync"].as_array().map(Vec::len),
        Some(2)
    );
    pair.refuses_for(1, "refused", Duration::from_secs(2));
    let reply = pair.cluster.request(1, "refused", "k", 2000).unwrap().json();
    assert!(reply["detail"].as_str().unwrap().contains("the coordinator does not answer"), "{reply}");
    assert!(!pair.events(1, 0).iter().any(|name| name == "degraded"));
    pair.bring_etcd_back();
    let begin = Instant::now();
    let data = pair.write_until_answered(1, "back");
    assert_eq!(data["durability"], "degraded");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?} after it was back", begin.elapsed());
    assert_eq!(in_sync(&pair.record().0), [""; 0]);
    let open = pair.cluster.request(1, "open", "k-open", 2000).unwrap().data();
    assert_eq!((&open["durability"], &open["replayed"]), (&json!("degraded"), &json!(true)));
    pair.cluster.serve(2, &[]);
    assert_eq!(comes_together(&pair), 1);
}

#[test]
fn without_coordinator_and_replica_a_primary_goes_on_by_force() {
    let Some(mut pair) = Coordinated::new("a_primary_goes_on_by_force", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.cluster.kill(2);
    pair.cluster.until(1, |status| status["peers"][0]["connected"] == false);
    // The first finds out that nobody confirms it.
    let open = pair.cluster.request(1, "open", "k-open", 600).unwrap();
    assert!(matches!(open.status, 503 | 504), "{open:?}");
    pair.cluster.until(1, |status| status["state"] == "blocked");
    let unforced = pair.cluster.home.run(&["promote", &pair.cluster.url(1), "--json"]);
    pair.refuses_for(1, "refused", Duration::from_millis(300));
    let forced = pair.cluster.force(1);
    assert_eq!((&forced["forced"], &forced["epoch"]), (&json!(true), &json!(2)), "{forced}; {unforced:#?}");
    let data = pair.write_until_answered(1, "by-force");
    assert_eq!((&data["durability"], &data["epoch"]), (&json!("degraded"), &json!(2)));
    // Also when its lease would have ended.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(pair.cluster.request(1, "more", "k-more", 1000).unwrap().status, 200);
    // The record hears of it, and the replica follows by it.
    pair.bring_etcd_back();
    let record = pair.until_recorded(|record| record["epoch"]["number"] == 2);
    assert_eq!((&record["primary"]["name"], in_sync(&record)), (&json!("n1"), vec![]));
    // Alone, it answers with a lease only, as soon as there may be one.
    assert_eq!(pair.write_until_answered(1, "after")["durability"], "degraded");
    pair.cluster.serve(2, &[]);
    assert_eq!(comes_together(&pair), 1);
}

#[test]
fn without_coordinator_and_primary_a_replica_leads_by_force_only_and_the_old_primary_follows_it() {
    let Some(mut pair) = Coordinated::new("a_replica_leads_by_force_only", "1s", SEMI) else { return };
    pair.cluster.put(1, "both");
    pair.lose_etcd();
    pair.cluster.kill(1);
    pair.never_leads_for(2, AFTER_LEASE);
    is_not_promoted(&pair, 2);
    assert_eq!(pair.cluster.force(2)["epoch"], 2);
    assert_eq!(pair.write_until_answered(2, "by-force")["durability"], "degraded");
    pair.bring_etcd_back();
    let record = pair.until_recorded(|record| record["epoch"]["number"] == 2);
    assert_eq!((&record["primary"]["name"], in_sync(&record)), (&json!("n2"), vec![]));
    pair.cluster.serve(1, &[]);
    assert_eq!(comes_together(&pair), 2);
}
