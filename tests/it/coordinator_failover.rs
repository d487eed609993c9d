//! The primary of a real pair ends, is killed, or is alone when etcd goes away: how long it takes until somebody answers,
//! and until when nobody may. The scenarios S7 and S11 of `tests/README.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::load::under_load;
use crate::support::{Coordinated, in_sync};
use crate::wire::{Wire, get};

const SEMI: &[&str] = &["--sync-timeout", "300ms"];

/// Asks the replica until it answers a write, and gives how long that took.
fn time_to_answer(pair: &Coordinated, number: usize, id: &str) -> Duration {
    let begin = Instant::now();
    pair.write_until_answered(number, id);
    begin.elapsed()
}

#[test]
fn after_a_clean_stop_of_the_primary_the_replica_answers_within_a_second() {
    let Some(mut pair) = Coordinated::new("after_a_clean_stop", "2s", SEMI) else { return };
    let mut times = Vec::new();
    // The machine may be busy, once or twice.
    for round in 0..3 {
        let leads = pair.cluster.settle();
        let epoch = pair.cluster.seen(leads)["epoch"].as_u64().unwrap();
        pair.cluster.node(leads).signal("TERM");
        times.push(time_to_answer(&pair, 3 - leads, &format!("after-{round}")));
        assert_eq!(pair.cluster.node(leads).wait(), Some(0));
        let record = pair.record().0;
        assert_eq!(
            (&record["epoch"]["number"], &record["primary"]["name"]),
            (&json!(epoch + 1), &json!(format!("n{}", 3 - leads)))
        );
        pair.cluster.serve(leads, &[]);
    }
    println!("from SIGTERM of the primary to the first answer of the other one: {times:?}");
    assert!(*times.iter().min().unwrap() < Duration::from_secs(1), "{times:?}");
    pair.cluster.settle();
    pair.cluster.are_equal(1, 2);
}

#[test]
fn a_primary_that_is_killed_under_load_is_replaced_in_time_and_nothing_answered_is_lost() {
    let Some(mut pair) = Coordinated::new("a_primary_that_is_killed_under_load", "1s", SEMI) else { return };
    let after = pair.last_event(2);
    let mut time = Duration::ZERO;
    let Coordinated { cluster, .. } = &mut pair;
    let seen = under_load(cluster, |cluster, load| {
        load.wait_for(100);
        cluster.kill(1);
        let begin = Instant::now();
        load.wait_for(1);
        time = begin.elapsed();
        load.wait_for(100);
        assert_eq!(cluster.seen(2)["state"], "degraded");
        cluster.serve(1, &[]);
        assert_eq!(cluster.settle(), 2);
        load.wait_for(100);
    });
    println!("from kill -9 to the first answer with a lease of 1 s: {time:?}; {} answered", seen.answered);
    // The lease is of a second, and etcd looks for old ones twice a second.
    assert!(time < Duration::from_millis(2500), "{time:?}");
    assert_eq!(pair.events(2, after), ["degraded", "promoted", "in-sync"]);
    let status = pair.cluster.seen(1);
    assert_eq!((&status["role"], &status["epoch"]), (&json!("replica"), &json!(2)));
    assert_eq!(in_sync(&pair.until_recorded(|record| !in_sync(record).is_empty())), ["n1"]);
}

#[test]
fn a_primary_that_is_started_again_and_alone_does_not_reach_etcd_is_replaced() {
    let Some(mut pair) = Coordinated::new("a_primary_that_is_started_again_and_alone", "1s", SEMI) else { return };
    pair.cluster.put(1, "before");
    pair.cluster.kill(1);
    pair.way(1).cut();
    pair.cluster.serve(1, &[]);
    // The two are connected all the time.
    pair.cluster.until(1, |status| status["peers"][0]["connected"] == true);
    assert_eq!(pair.write_until_answered(2, "meanwhile")["durability"], "sync");
    assert_eq!(pair.cluster.settle(), 2);
    pair.way(1).heal();
    pair.until_reachable(1, true);
    assert_eq!(pair.write_until_answered(2, "later")["durability"], "sync");
}

/// Whether a node says to a load balancer that it leads.
fn says_that_it_leads(wire: &mut Wire) -> bool {
    let reply = wire.reply().unwrap();
    assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    reply.status == 200
}

#[test]
fn a_primary_that_stood_still_beyond_its_lease_says_to_nobody_that_it_leads_and_one_without_etcd_goes_on_saying_it() {
    let Some(mut pair) = Coordinated::new("a_primary_that_stood_still", "1s", SEMI) else { return };
    let ask = get("/readyz?role=primary", "");
    for round in 0..3 {
        let leads = pair.cluster.settle();
        let address = pair.cluster.node(leads).address().to_owned();
        let mut before = Wire::open(&address).unwrap();
        before.send(ask.as_bytes()).unwrap();
        assert!(says_that_it_leads(&mut before));
        pair.cluster.node(leads).signal("STOP");
        pair.write_until_answered(3 - leads, &format!("round-{round}"));
        let mut meanwhile = Wire::open(&address).unwrap();
        [&mut before, &mut meanwhile].into_iter().for_each(|wire| wire.send(ask.as_bytes()).unwrap());
        pair.cluster.node(leads).signal("CONT");
        let said = [before, meanwhile].each_mut().map(says_that_it_leads);
        assert_eq!(said, [false, false], "round {round}: asked before the stop, and during it");
        let mut wire = Wire::open(&address).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while pair.cluster.seen(leads)["role"] != "replica" {
            wire.send(ask.as_bytes()).unwrap();
            assert!(!says_that_it_leads(&mut wire) && Instant::now() < until);
        }
    }
    // Etcd is away, and the lease past: its member acknowledges all that it answers.
    let leads = pair.cluster.settle();
    let mut wire = Wire::open(pair.cluster.node(leads).address()).unwrap();
    pair.lose_etcd();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        wire.send(ask.as_bytes()).unwrap();
        assert!(says_that_it_leads(&mut wire), "{:#}", pair.cluster.seen(leads));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(pair.cluster.put(leads, "without-etcd")["durability"], "sync");
    // Its member stands still: the answers end, and so does this.
    pair.cluster.node(3 - leads).signal("STOP");
    let until = Instant::now() + Duration::from_secs(30);
    while {
        wire.send(ask.as_bytes()).unwrap();
        says_that_it_leads(&mut wire)
    } {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    pair.cluster.node(3 - leads).signal("CONT");
}

#[test]
fn both_are_asked_to_lead_at_the_same_time_again_and_again_and_no_epoch_is_there_twice() {
    let Some(mut pair) = Coordinated::new("both_are_asked_to_lead", "2s", SEMI) else { return };
    let count: usize = std::env::var("RIG_PROMOTIONS").map_or(20, |text| text.parse().unwrap());
    let (mut taken, mut refused) = (0, 0);
    let Coordinated { cluster, .. } = &mut pair;
    let seen = under_load(cluster, |cluster, load| {
        let cluster = &*cluster;
        for _ in 0..count {
            let both = std::thread::scope(|scope| {
                let promote = |number| {
                    let url = cluster.url(number);
                    move || cluster.home.run(&["promote", &url, "--json"])
                };
                let threads = [1, 2].map(|number| scope.spawn(promote(number)));
                threads.map(|thread| thread.join().unwrap())
            });
            for ran in &both {
                match ran.code {
                    Some(0) => taken += 1,
                    // The other one was faster, or the order went to a primary that was giving its term away.
                    Some(5 | 6 | 8) => refused += 1,
                    _ => panic!("{ran:#?}"),
                }
            }
            load.wait_for(1);
        }
    });
    println!(
        "{count} times both: {taken} promotions said that they were done, {refused} were refused; {} answered",
        seen.answered
    );
    // In the log every epoch has one owner and begins once.
    let mut owners = BTreeMap::new();
    for record in pair.cluster.ok(1, &["log", "dump", "--json"]).lines() {
        let epoch = &record["epoch"];
        let owner = owners.entry(epoch.to_string()).or_insert_with(|| record["owner"].clone());
        assert_eq!(*owner, record["owner"], "{record}");
    }
    assert!(owners.len() > count / 2, "{} epochs after {count} times", owners.len());
    let record = pair.record().0;
    assert_eq!(record["epoch"]["number"], pair.cluster.seen(1)["epoch"]);
}

/// A primary without its replica, that loses etcd.
fn alone(test: &str, flags: &[&str], durability: &str) {
    let Some(mut pair) = Coordinated::new(test, "2s", flags) else { return };
    pair.cluster.put(1, "both");
    pair.cluster.kill(2);
    assert_eq!(pair.write_until_answered(1, "alone")["durability"], durability);
    pair.until_recorded(|record| in_sync(record).is_empty());
    pair.etcd.kill(1);
    let (begin, mut last) = (Instant::now(), Duration::ZERO);
    let refused = loop {
        let reply = pair.cluster.request(1, "more", &format!("k{:?}", begin.elapsed()), 1000).unwrap();
        if reply.status != 200 {
            break reply;
        }
        last = begin.elapsed();
        assert!(last < Duration::from_secs(2), "it answers although its lease has ended");
        std::thread::sleep(Duration::from_millis(5));
    };
    println!("{durability}: the last answer alone {last:?} after etcd had died, with a lease of 2 s");
    assert!(last > Duration::from_millis(500), "it need not stop at once: {last:?}");
    // The last one may have come into the log while the lease ended.
    assert!(matches!(refused.status, 503 | 504), "{refused:?}");
    pair.refuses_for(1, "refused", Duration::from_millis(1500));
    let detail = pair.cluster.request(1, "why", "why", 1000).unwrap().json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("does not answer, or this node holds no lease"), "{detail}");
    // Reads go on.
    let address = pair.cluster.url(1);
    let read = Wire::open(address.strip_prefix("http://").unwrap()).unwrap().get("/data/user/alone").unwrap();
    assert_eq!(read.status, 200, "{read:?}");
    pair.bring_etcd_back();
    assert_eq!(pair.write_until_answered(1, "back")["durability"], durability);
    pair.cluster.serve(2, &[]);
    assert_eq!(pair.cluster.settle(), 1);
}

#[test]
fn a_primary_that_is_alone_answers_until_its_lease_ends_and_again_when_the_coordinator_is_back() {
    alone("a_primary_that_is_alone_answers_until", SEMI, "degraded");
}

#[test]
fn an_async_primary_answers_until_its_lease_ends_and_again_when_the_coordinator_is_back() {
    alone("an_async_primary_answers_until", &["--replication", "async", "--sync-timeout", "300ms"], "async");
}

#[test]
fn an_async_primary_that_is_cut_off_from_everybody_answers_nothing_when_another_one_may_lead() {
    let flags = ["--replication", "async", "--sync-timeout", "300ms"];
    let Some(pair) = Coordinated::new("an_async_primary_that_is_cut_off", "1s", &flags) else { return };
    pair.cluster.put(1, "both");
    pair.cluster.until(2, |status| status["log"]["durable"] == pair.cluster.seen(1)["log"]["durable"]);
    pair.cluster.cut();
    pair.way(1).cut();
    let mut last = Instant::now();
    let until = last + Duration::from_secs(4);
    let mut led = None;
    while Instant::now() < until {
        let begin = Instant::now();
        let reply = pair.cluster.request(1, "alone", &format!("k{begin:?}"), 1000).unwrap();
        if reply.status == 200 {
            last = Instant::now();
        }
        if led.is_none() && pair.cluster.seen(2)["role"] == "primary" {
            led = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // What only the old primary had answered may be missing there; but it never answers beside another one.
    match led {
        Some(led) => assert!(last < led, "it has answered {:?} after the other one led", last - led),
        None => assert_eq!(pair.cluster.seen(1)["state"], "blocked"),
    }
    println!("async: the other one leads: {}", led.is_some());
    pair.way(1).heal();
    pair.cluster.heal();
    pair.cluster.settle();
    pair.cluster.are_equal(1, 2);
}
