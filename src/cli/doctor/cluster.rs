//! The checks of a node that runs, and of those that it names as its peers.

use serde_json::Value;

use super::{Check, Failure};
use crate::cli::ask::word;
use crate::cli::{Context, status, values};
use crate::client::Url;
use crate::coordinator::Address;
use crate::error::Exit;
use crate::types::{Micros, parse_time};

/// Clocks further apart than this make the times in the log wrong enough to mislead people, after a promotion too.
const SKEW_MAX: Micros = 1_000_000;

type Take<'a> = &'a mut dyn FnMut(Check) -> Result<(), Failure>;

pub(super) fn check(url: &Url, context: &Context, take: Take<'_>) -> Result<(), Failure> {
    let own = match ask(url, context) {
        Ok(answer) => answer,
        Err(failure) if failure.exit == Exit::Auth => return Err(failure),
        Err(failure) => {
            let message = format!("{url} does not answer: {}", failure.message);
            return take(Check::fail("node", message, "see `rig node logs`, or restart it"));
        }
    };
    take(state(&own.status))?;
    take(clock("clock", "this command", &own))?;
    take(version("version", env!("CARGO_PKG_VERSION"), &own.status))?;
    if let Some(check) = coordinator(&own.status) {
        take(check)?;
    }
    for rival in own.status["rivals"].as_array().into_iter().flatten() {
        take(two_primaries(rival))?;
    }
    for peer in own.status["peers"].as_array().into_iter().flatten() {
        let name = format!("peer {}", word(&peer["name"]));
        let asked = Url::parse(&word(&peer["url"])).map_err(|error| error.to_string());
        match asked.and_then(|url| ask(&url, context).map_err(|failure| failure.message)) {
            Err(why) => {
                take(Check::warn(name, format!("{}: {why}", word(&peer["url"])), "start it, or mend the network"))?;
            }
            Ok(answer) => {
                take(state_of_peer(&name, &own.status, peer))?;
                take(clock(&name, "this command", &answer))?;
                take(version(&name, &word(&own.status["rig"]), &answer.status))?;
                if let Some(check) = same_coordinator(&name, &own.status, &answer.status) {
                    take(check)?;
                }
            }
        }
    }
    Ok(())
}

/// A status, and when it was asked for and had come.
struct Answer {
    status: Value,
    asked: Micros,
    came: Micros,
}

fn ask(url: &Url, context: &Context) -> Result<Answer, Failure> {
    let asked = values::now();
    let status = status::ask(url, context)?;
    Ok(Answer { status, asked, came: values::now() })
}

fn state(status: &Value) -> Check {
    let message = format!("{} is {} and {}", word(&status["name"]), word(&status["role"]), word(&status["state"]));
    match status::health(status) {
        Exit::Ok => Check::ok("node", message),
        Exit::Corrupt => Check::fail("node", message, "see `rig status` and `rig log verify`"),
        _ => Check::warn("node", message, "see `rig status`"),
    }
}

/// Whether the record outside says what the node says.
fn coordinator(status: &Value) -> Option<Check> {
    let (own, name) = (&status["coordinator"], "coordinator");
    let (url, record) = (own["url"].as_str()?, &own["record"]);
    if let Some(why) = own["why"].as_str() {
        let fix = match own["reachable"] == true {
            true => "mend it: without its lease a primary answers nothing alone, and others take it for dead sooner",
            false => "mend it: until then nobody takes over, and a member that fails stops writes",
        };
        return Some(Check::fail(name, format!("{url}: {why}"), fix));
    }
    let (leads, is_open) = (word(&record["primary"]["name"]), record["phase"] == "open");
    if record.is_null() {
        return Some(Check::warn(name, format!("{url}: there is no record"), "see `rig coordinator show`"));
    }
    let leads_here = status["role"] == "primary" && record["epoch"]["owner"] == status["node_id"];
    let follows = status["role"] == "replica" && status["primary"] == record["primary"]["name"];
    let message = format!("{leads} leads epoch {} by the record at {url}", record["epoch"]["number"]);
    if !is_open || !(leads_here || follows) {
        return Some(Check::warn(
            name,
            format!("{message}, and this node does not go by it yet"),
            "see `rig status --all`",
        ));
    }
    let nobody = record["in_sync"].as_array().is_some_and(Vec::is_empty);
    Some(match (own["leased"] == true, nobody) {
        (false, _) => Check::warn(name, format!("{message}, without a lease"), "look at the coordinator's own health"),
        (true, true) => Check::warn(name, format!("{message}; nobody could take over"), "bring the replicas back"),
        (true, false) => Check::ok(name, message),
    })
}

/// All nodes of a cluster go by one record, or by none.
fn same_coordinator(name: &str, own: &Value, other: &Value) -> Option<Check> {
    let (own, other) = (&own["coordinator"], &other["coordinator"]);
    // Whoever names the members in another order, or by other names, still means the same record.
    let prefix = |of: &Value| Some(Address::parse(of["url"].as_str()?).ok()?.prefix().to_owned());
    let cluster = |of: &Value| of["record"]["cluster_id"].as_str().map(str::to_owned);
    let are_equal = |one: Option<String>, other: Option<String>| one.zip(other).is_none_or(|(one, other)| one == other);
    // What one of them has not read says nothing.
    let is_one = are_equal(prefix(own), prefix(other)) && are_equal(cluster(own), cluster(other));
    if own.is_null() == other.is_null() && is_one {
        return None;
    }
    let fix = "start all nodes of the cluster with the same --coordinator";
    let says =
        |of: &Value| of["url"].as_str().map_or_else(|| "none".to_owned(), |url| format!("the coordinator {url}"));
    Some(Check::fail(name, format!("it goes by {}, and the node by {}", says(other), says(own)), fix))
}

/// Another primary of the same cluster id.
fn two_primaries(rival: &Value) -> Check {
    let message = format!("{} leads epoch {} under the same cluster id", word(&rival["name"]), rival["epoch"]);
    Check::fail("two lead", message, "stop one of them: see `rig status`, next")
}

fn state_of_peer(name: &str, own: &Value, peer: &Value) -> Check {
    match peer["connected"] == true {
        // How far others are is known where they confirm it.
        true if own["role"] == "replica" => Check::ok(name, "connected"),
        true => Check::ok(name, format!("connected, {} operations behind", word(&peer["lag_ops"]))),
        false => Check::warn(name, "it answers here, but the node has no link to it", "see `rig status --all`"),
    }
}

/// How far the node's clock is from this machine's, for certain: what the way of the answer can explain is left out.
fn clock(name: &str, whose: &str, answer: &Answer) -> Check {
    let Some(time) = answer.status["time"].as_str().and_then(parse_time) else {
        return Check::warn(name, "it does not say its time", "upgrade it: its clock cannot be compared");
    };
    let ahead = time.saturating_sub(answer.came);
    let behind = answer.asked.saturating_sub(time);
    let apart = std::time::Duration::from_micros(ahead.max(behind));
    let message = format!("its clock and that of {whose} are {} apart", values::show_duration(apart));
    if ahead.max(behind) <= SKEW_MAX {
        return Check::ok(name, message);
    }
    Check::warn(name, message, "let both machines take their time from the same source (chrony, ntpd)")
}

fn version(name: &str, wanted: &str, status: &Value) -> Check {
    let found = word(&status["rig"]);
    let message = format!("rig {found}");
    if found == wanted {
        return Check::ok(name, message);
    }
    Check::warn(name, format!("{message}, and {wanted} here"), "upgrade the older one, replicas first")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::types::format_time;
    use serde_json::json;

    #[test]
    fn a_clock_is_judged_by_what_the_way_of_the_answer_cannot_explain() {
        let seen = |time: Micros, asked: Micros, came: Micros| {
            let status = json!({ "time": format_time(time) });
            clock("clock", "here", &Answer { status, asked, came })
        };
        let begin = 1_700_000_000_000_000;
        assert_eq!(seen(begin + 2_500_000, begin, begin + 3_000_000).result, Verdict::Ok, "a slow answer");
        assert_eq!(seen(begin + 900_000, begin, begin + 10).result, Verdict::Ok);
        let ahead = seen(begin + 1_100_020, begin, begin + 10);
        assert_eq!((ahead.result, ahead.message.contains("1.1s apart")), (Verdict::Warn, true), "{}", ahead.message);
        assert_eq!(seen(begin - 60_000_000, begin, begin + 10).result, Verdict::Warn);
        assert_eq!(clock("c", "here", &Answer { status: json!({}), asked: 1, came: 2 }).result, Verdict::Warn);
    }

    #[test]
    fn a_node_is_as_well_as_its_status_says_and_of_the_version_that_it_should_be() {
        let of = |state: &str| state_check(state).result;
        assert_eq!((of("serving"), of("degraded"), of("failed")), (Verdict::Ok, Verdict::Warn, Verdict::Fail));
        assert_eq!(version("v", "1.0.0", &json!({ "rig": "1.0.0" })).result, Verdict::Ok);
        assert_eq!(version("v", "1.0.0", &json!({ "rig": "0.9.0" })).result, Verdict::Warn);
    }

    #[test]
    fn all_go_by_one_record_whatever_they_call_the_members_of_the_store() {
        let node = |url: &str, cluster: Value| json!({ "coordinator": { "url": url, "record": cluster } });
        let of = |id: &str| json!({ "cluster_id": id });
        let own = node("etcd://a,b:2379/rig/users", of("c1"));
        let without = json!({ "coordinator": null });
        for (other, is_same) in [
            (own.clone(), true),
            (node("etcd://b,a/rig/users/", of("c1")), true),
            (node("etcds://me@b/rig/users", json!(null)), true),
            (node("etcd://a,b/rig/user", json!(null)), false),
            (node("etcd://a,b/rig/user", of("c1")), false),
            (node("etcd://a,b/rig/users", of("c2")), false),
            (without.clone(), false),
        ] {
            let check = same_coordinator("peer n2", &own, &other);
            assert_eq!(check.is_none(), is_same, "{other}");
            assert_eq!(same_coordinator("peer n2", &other, &own).is_none(), is_same, "{other}");
        }
        assert!(same_coordinator("peer n2", &without, &without).is_none());
        let said = same_coordinator("peer n2", &own, &without).unwrap().message;
        assert_eq!(said, "it goes by none, and the node by the coordinator etcd://a,b:2379/rig/users");
    }

    #[test]
    fn only_a_primary_says_how_far_its_peers_are_behind() {
        let peer = json!({ "connected": true, "lag_ops": 2 });
        let said = |role: &str| state_of_peer("p", &json!({ "role": role }), &peer).message;
        assert_eq!((&*said("primary"), &*said("replica")), ("connected, 2 operations behind", "connected"));
    }

    fn state_check(state_word: &str) -> Check {
        state(&json!({ "name": "n1", "role": "primary", "state": state_word }))
    }
}
