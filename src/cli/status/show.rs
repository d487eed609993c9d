//! A status as people read it: one node in a paragraph that ends with what to do next, several in a table.

use std::time::Duration;

use serde_json::Value;

use crate::cli::ask::{word, words};
use crate::cli::ls::second;
use crate::cli::output::{Look, Output, Table};
use crate::cli::values;

fn look(state: &str) -> Look {
    match state {
        "serving" | "in_sync" => Look::Good,
        "failed" | "diverged" | "split_brain" => Look::Bad,
        "stopped" => Look::Faint,
        _ => Look::Warn,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn table(statuses: &[Value]) -> Table {
    let header = ["NODE", "ROLE", "STATE", "EPOCH", "COMMITTED", "APPLIED", "LAG", "MODE", "ADDRESS"];
    let mut table = Table::new(&header, &[3, 4, 5, 6]);
    for status in statuses {
        let state = word(&status["state"]);
        let cells = [
            word(&status["name"]),
            word(&status["role"]),
            state.clone(),
            word(&status["epoch"]),
            word(&status["log"]["committed"]),
            word(&status["applied"]),
            lag(status, statuses),
            word(&status["replication"]["mode"]),
            word(&status["http"]),
        ];
        let mut styled = cells.map(|cell| (None, cell));
        styled[2].0 = Some(look(&state));
        table.styled(styled);
    }
    table
}

/// What of its cluster's decided operations a node has not applied.
fn lag(status: &Value, all: &[Value]) -> String {
    let committed = |status: &Value| status["log"]["committed"].as_u64();
    let same = all.iter().filter(|other| other["cluster_id"] == status["cluster_id"]);
    let newest = same.filter_map(committed).chain(committed(status)).max();
    match (newest, status["applied"].as_u64()) {
        (Some(newest), Some(applied)) => format!("{} ops", newest.saturating_sub(applied)),
        _ => "-".to_owned(),
    }
}

/// One node in a few lines; what is as it should be is not spelled out.
pub(super) fn paragraph(status: &Value, out: &Output) -> String {
    let state = word(&status["state"]);
    let mut text = format!(
        "{}  {}  {}  epoch {}\n",
        out.look(Look::Strong, word(&status["name"])),
        word(&status["role"]),
        out.look(look(&state), &state),
        word(&status["epoch"]),
    );
    let lines = own(status).into_iter().chain(replication(status)).chain(rest(status));
    for (name, value) in lines {
        text.push_str(&format!("  {name:<12}{value}\n"));
    }
    text
}

type Lines = Vec<(&'static str, String)>;

/// The node itself.
fn own(status: &Value) -> Lines {
    let mut lines = Lines::new();
    if let Some(why) = status.get("unreachable") {
        lines.push(("no answer", word(why)));
    }
    let log = &status["log"];
    if log["durable"].as_u64().is_some() {
        let (oldest, durable) = (word(&log["oldest"]), word(&log["durable"]));
        let (committed, applied) = (word(&log["committed"]), word(&status["applied"]));
        lines.push(("log", format!("{oldest}..{durable}  committed {committed}  applied {applied}")));
    }
    if !status["http"].is_null() {
        let up = status["uptime_s"].as_u64().map(|s| format!("  up {}", values::show_duration(Duration::from_secs(s))));
        lines.push((
            "http",
            format!("{}  pid {}{}", word(&status["http"]), word(&status["pid"]), up.unwrap_or_default()),
        ));
    }
    lines
}

/// The node among others.
fn replication(status: &Value) -> Lines {
    let mut lines = Lines::new();
    let replication = &status["replication"];
    if !replication["mode"].is_null() {
        let in_sync = words(&replication["in_sync"], " ");
        lines.push(("mode", format!("{}  in sync: {in_sync}", word(&replication["mode"]))));
        let (pending, holds) = (&replication["pending"], &replication["pending"]["holds"]);
        if holds.is_object()
            && (holds["mode"] != replication["mode"] || holds["min_replicas"] != replication["min_replicas"])
        {
            let rule = match holds["mode"] == "sync" {
                true => format!("sync with min_replicas={}", holds["min_replicas"]),
                false => word(&holds["mode"]),
            };
            lines.push((
                "pending",
                format!("the mode is version {}, not committed: until it is, {rule} holds too", pending["version"]),
            ));
        }
    }
    lines.extend(coordinator(&status["coordinator"]).map(|text| ("coordinator", text)));
    for (name, label) in [("degraded_since", "degraded"), ("blocked_since", "blocked")] {
        if !replication[name].is_null() {
            lines.push((label, format!("since {}", second(&word(&replication[name])))));
        }
    }
    let alone: Vec<_> = list(&replication["alone"])
        .map(|range| match range["to"].as_u64() {
            Some(to) => format!("{}..{to}", range["from"]),
            None => format!("{}..", range["from"]),
        })
        .collect();
    if !alone.is_empty() {
        let is_pair = list(&status["peers"]).count() < 2;
        let how = if is_pair { "answered without a replica" } else { "answered while a member was out" };
        lines.push(("alone", format!("versions {}: {how}", alone.join(" "))));
    }
    if status["role"] == "replica" && !status["primary"].is_null() {
        lines.push(("follows", word(&status["primary"])));
    }
    for peer in list(&status["peers"]) {
        let connected = if peer["connected"] == true { "connected" } else { "not connected" };
        let is_primary = status["role"] == "primary";
        let in_sync = match (is_primary, peer["in_sync"] == true) {
            (true, true) => "  in sync",
            (true, false) => "  not in sync",
            (false, _) => "",
        };
        // A replica knows of its primary only that it is there.
        let lag = match (is_primary, peer["lag_ops"].as_u64(), peer["lag_ms"].as_u64()) {
            (true, Some(ops), Some(ms)) if ops > 0 => {
                format!("  lag {} ops, {}", values::show_number(ops), values::show_duration(Duration::from_millis(ms)))
            }
            (true, Some(ops), _) => format!("  lag {} ops", values::show_number(ops)),
            _ => String::new(),
        };
        lines.push(("peer", format!("{}  {}  {connected}{in_sync}{lag}", word(&peer["name"]), word(&peer["url"]))));
        if let Some(version) = peer["went_back"].as_u64() {
            let name = word(&peer["name"]);
            lines.push((
                "went back",
                format!("{name} had confirmed version {version} and came back with less: an old copy?"),
            ));
        }
    }
    for peer in elsewhere(status) {
        lines.push(("record", format!("{}, and cannot take over", of_record(peer))));
    }
    for rival in list(&status["rivals"]) {
        let (name, epoch) = (word(&rival["name"]), &rival["epoch"]);
        lines.push(("two lead", format!("{name} leads epoch {epoch} under the same cluster id: both answer writes")));
    }
    let removed = &status["removed"];
    if let Some(by) = removed["by"].as_str() {
        let version = &removed["version"];
        lines.push((
            "removed",
            format!("{by} leads without this node: its log, up to version {version}, does not name it"),
        ));
    }
    for (name, why) in status["refused_peers"].as_object().into_iter().flatten() {
        lines.push(("refused", format!("{name}: {}", word(why))));
    }
    if status["state"] == "recovering" && status["coordinator"]["why"].is_string() {
        lines.push(("waits for", "the coordinator".to_owned()));
    } else if list(&status["waits_for"]).next().is_some() {
        lines.push(("waits for", words(&status["waits_for"], ", ")));
    }
    if status["role"] == "replica" && status["state"] != "stopped" {
        lines.push(("can promote", if status["can_promote"] == true { "yes".into() } else { "no".into() }));
    }
    lines
}

/// Members that go by another record than the primary, or by none.
pub(super) fn elsewhere(status: &Value) -> impl Iterator<Item = &Value> {
    list(&status["peers"]).filter(|peer| peer["other_record"] == true)
}

fn of_record(peer: &Value) -> String {
    match word(&peer["record"]).as_str() {
        "none" => format!("{} goes by no record", word(&peer["name"])),
        other => format!("{} goes by another record ({other})", word(&peer["name"])),
    }
}

/// Who leads by the record outside, or why nobody can say.
fn coordinator(of_status: &Value) -> Option<String> {
    let (url, record) = (of_status["url"].as_str()?, &of_status["record"]);
    let why = of_status["why"].as_str();
    if let Some(why) = why.filter(|_| of_status["reachable"] != true) {
        let since = second(&word(&of_status["since"]));
        let until = if is_silent(why) { "until it answers again" } else { "until that is mended" };
        return Some(format!(
            "{url}  of no use since {since}: {why}; {until} nobody takes over and nobody is left out"
        ));
    }
    let leads = if record["phase"] == "open" { "leads" } else { "is about to lead" };
    let lease = if of_status["leased"] == true { "its lease holds" } else { "without a lease" };
    match record.is_null() {
        true => Some(format!("{url}  no record yet")),
        false => Some(format!(
            "{url}  {} {leads} epoch {}, {lease}{}",
            word(&record["primary"]["name"]),
            record["epoch"]["number"],
            why.map(|why| format!("; {why}")).unwrap_or_default()
        )),
    }
}

/// Whether that is what is said of an etcd that gives no answer, or says no; not of what it has.
fn is_silent(why: &str) -> bool {
    why.starts_with("etcd at ")
}

fn rest(status: &Value) -> Lines {
    let mut lines = Lines::new();
    let service = &status["service"];
    if !service.is_null() {
        let healthy = if service["healthy"] == true { "healthy".to_owned() } else { word(&service["state"]) };
        let name = service["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        let why = service["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(("service", format!("{}{name}  {healthy}{why}", word(&service["kind"]))));
    }
    if status["disk_full"] == true {
        lines.push(("disk", "had no room at the last write: nothing is stored until there is some".to_owned()));
    }
    for problem in list(&status["config"]["problems"]) {
        lines.push(("settings", format!("{}; what was read before still holds", word(&problem["error"]))));
    }
    if list(&status["config"]["needs_restart"]).next().is_some() {
        let changed = words(&status["config"]["needs_restart"], ", ");
        lines.push(("settings", format!("{changed}: changed, and in force after a restart")));
    }
    if let Some(files) = status["rescued"].as_u64().filter(|files| *files > 0) {
        let what = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        lines.push(("rescued", format!("{what} with records that were set aside: `rig rescue ls`")));
    }
    lines.extend(damage(status));
    lines.extend(next(status).map(|next| ("next", next)));
    lines
}

/// What the scrub has found.
fn damage(status: &Value) -> Option<(&'static str, String)> {
    let (errors, first) =
        (status["scrub"]["errors"].as_u64().filter(|_| super::has_damage(status))?, &status["scrub"]["first"]);
    let place =
        format!("{} at byte {}, version {}", word(&first["segment"]), word(&first["offset"]), word(&first["version"]));
    Some(("damage", format!("{errors} in the log, first in {place}: {}", word(&first["message"]))))
}

/// What to do when all is not well.
fn next(status: &Value) -> Option<String> {
    let name = word(&status["name"]);
    let waits_for = words(&status["waits_for"], ", ");
    let away: Vec<_> =
        list(&status["peers"]).filter(|peer| peer["connected"] != true).map(|peer| word(&peer["name"])).collect();
    let others = if away.is_empty() { "the others".to_owned() } else { away.join(", ") };
    let force = format!("rig promote {name} --accept-data-loss --confirm {name}");
    if let Some(rival) = list(&status["rivals"]).next() {
        let rival = word(&rival["name"]);
        return Some(format!(
            "choose one, and stop the other: `rig log verify -N {name} --against {rival}` says where the two logs part; \
             what only the other has, bring over (`rig log dump --from V`, `rig apply --batch`) before it starts anew"
        ));
    }
    let compare = |primary: &str| {
        format!(
            "what only {name} has, `rig log verify -D DIR --against {primary}` and `rig rescue ls` say: save that before you \
         join anew with an empty directory"
        )
    };
    if let Some(next) = by_record(status, &name, &away, &force) {
        return Some(next);
    }
    Some(match status["state"].as_str()? {
        "serving" | "in_sync" | "degraded" if super::has_damage(status) => {
            "see `rig log verify`. In the newest segment: with another member a restart mends it. Before it: with --against \
             another member it says whether that has all of it, and only then join anew with an empty directory"
                .to_owned()
        }
        "serving" | "in_sync" | "degraded" | "catching_up" if status["service"]["state"] == "apply-stalled" => {
            "bring the service back: the node tries again all the time, and nothing is lost meanwhile".to_owned()
        }
        "serving" | "in_sync" | "degraded" | "catching_up" if status["disk_full"] == true => {
            "make room on the disk of the log: it goes on by itself".to_owned()
        }
        "serving" | "degraded" if elsewhere(status).next().is_some() => format!(
            "start {} with the --coordinator that this node has: {}",
            word(&elsewhere(status).next()?["name"]),
            word(&status["coordinator"]["url"])
        ),
        "degraded" if away.is_empty() => "nothing: it catches up".to_owned(),
        "degraded" => {
            let (gone, first) = if let [one] = &away[..] { ("it is gone", one) } else { ("one is gone", &away[0]) };
            format!("start {others}; or, if {gone} for good, `rig member remove {first} --confirm {first}`")
        }
        "blocked" if list(&status["peers"]).next().is_none() => format!(
            "start a replica: rig serve -D DIR --role replica --peer {}; or go on alone: rig config set replication=semi-sync",
            word(&status["http"])
        ),
        "blocked" if away.is_empty() => {
            "nothing, if they catch up; if they stay out they follow another: see `rig status --all`".to_owned()
        }
        "blocked" => format!(
            "start {others}: writes wait for it, reads go on; or, if it is gone for good, \
             `rig member remove {first} --accept-data-loss --confirm {first}`",
            first = away[0]
        ),
        "recovering" if !waits_for.is_empty() => {
            format!("start {waits_for}; or, if it is gone for good, accept the loss: {force}")
        }
        "recovering" if status["lacks"].is_u64() && !away.is_empty() => format!(
            "start {others}: it has the versions up to {} that this node lacks; or, if it is gone for good, accept the loss: {force}",
            status["lacks"]
        ),
        "recovering" if status["can_promote"] == true && !away.is_empty() => {
            format!("start {others}; or `rig promote {name}`: nothing that was answered is lost")
        }
        "recovering" if !away.is_empty() => format!("start {others}, or another node that knows the primary"),
        "recovering" if status["role"] == "replica" => "start a primary, with --peer if it has to be found".to_owned(),
        "outdated" | "fenced" if status["removed"]["by"].is_string() => compare(&word(&status["removed"]["by"])),
        "outdated" | "fenced" if away.is_empty() => {
            let primary = list(&status["peers"]).next().map_or("NODE".to_owned(), |peer| word(&peer["name"]));
            format!("nothing, if it catches up; if not, the primary does not know this node: {}", compare(&primary))
        }
        "outdated" | "fenced" => format!("start {others}: what this node missed is there"),
        "diverged" if status["diverged_at"].is_u64() => format!(
            "nothing: the result of version {} here is another than the primary's, and the state is built anew",
            status["diverged_at"]
        ),
        "diverged" => "see `rig log verify --against` the primary: this node's log is another".to_owned(),
        "split_brain" => {
            "see what each side has (`rig status --all`), then `rig resolve --winner NODE --dry-run`".to_owned()
        }
        "failed" => "see its messages and `rig log verify`: it neither serves nor votes".to_owned(),
        "stopped" if status.get("unreachable").is_none() => format!("rig node start {name}"),
        "in_sync" | "catching_up" if !away.is_empty() && status["role"] == "replica" => {
            format!("{others} does not answer: start it, or `rig promote {name}`")
        }
        _ => return None,
    })
}

/// What to do where the record decides who leads, and nobody does, as far as this node knows.
fn by_record(status: &Value, name: &str, away: &[String], force: &str) -> Option<String> {
    let (coordinator, record) = (&status["coordinator"], &status["coordinator"]["record"]);
    let is_replica = status["role"] == "replica";
    let is_without = match status["state"].as_str()? {
        "recovering" => !coordinator.is_null(),
        "in_sync" | "catching_up" | "outdated" | "fenced" => {
            !coordinator.is_null() && is_replica && (status["primary"].is_null() || !away.is_empty())
        }
        _ => false,
    };
    if !is_without {
        return None;
    }
    if let Some(why) = coordinator["why"].as_str() {
        return Some(match is_silent(why) {
            true => format!("bring etcd back: this node opens by itself; or, if it will not be back, {force}"),
            false => format!(
                "see `rig coordinator show`, then `rig coordinator repair`; or, if it cannot be mended, {force}"
            ),
        });
    }
    let primary = word(&record["primary"]["name"]);
    if !is_replica {
        return None;
    }
    if !away.contains(&primary) {
        // Whoever may lead would do so at once.
        let is_vacant = record["primary"]["name"].is_string() && coordinator["leased"] != true;
        return (is_vacant && status["primary"].is_null() && status["removed"].is_null()).then(|| {
            format!(
                "nothing for some seconds; if nobody leads then, nodes went on by force without etcd: see what each has \
                 (`rig status --all`), and let the right one go on: on this node {force}"
            )
        });
    }
    let in_sync: Vec<_> = list(&record["in_sync"]).map(|node| word(&node["name"])).collect();
    let when = if coordinator["leased"] == true { format!(" when {primary}'s lease ends") } else { String::new() };
    Some(match in_sync.iter().any(|node| node == name) {
        true => format!("nothing: {name} takes over by itself{when}"),
        false if in_sync.is_empty() => {
            format!("start {primary}: nobody else holds every answered write; or, if it is gone for good, {force}")
        }
        false => format!("nothing: of {} one takes over by itself{when}", in_sync.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Color;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "type": "status", "name": "n1", "role": "primary", "state": "serving", "epoch": 3,
            "log": { "oldest": 1, "durable": 1043, "committed": 1043 }, "applied": 1043,
            "http": "http://127.0.0.1:7440", "pid": 42, "uptime_s": 812,
            "replication": {
                "mode": "semi-sync", "in_sync": ["n1"], "degraded_since": null, "blocked_since": null, "alone": [],
            },
            "peers": [], "service": { "kind": "documents", "healthy": true }, "rescued": 0,
        })
    }

    #[test]
    fn a_node_alone_is_a_short_paragraph() {
        assert_eq!(
            paragraph(&status(), &Output::new(false, false, Color::Never)),
            "n1  primary  serving  epoch 3\n  \
               log         1..1043  committed 1043  applied 1043\n  \
               http        http://127.0.0.1:7440  pid 42  up 13m32s\n  \
               mode        semi-sync  in sync: n1\n  \
               service     documents  healthy\n"
        );
    }

    #[test]
    fn a_primary_without_its_replica_says_since_when_what_it_did_alone_and_what_to_do() {
        let mut status = status();
        status["state"] = "degraded".into();
        status["replication"]["degraded_since"] = "2026-01-02T03:04:05.000000Z".into();
        status["replication"]["alone"] = json!([{ "from": 7, "to": 9 }, { "from": 1040, "to": null }]);
        status["peers"] = json!([{
            "name": "n2", "url": "http://127.0.0.1:7441", "connected": false, "in_sync": false, "lag_ops": 1003, "lag_ms": 2500,
        }]);
        let text = paragraph(&status, &Output::new(false, false, Color::Never));
        for line in [
            "  degraded    since 2026-01-02 03:04:05\n",
            "  alone       versions 7..9 1040..: answered without a replica\n",
            "  peer        n2  http://127.0.0.1:7441  not connected  not in sync  lag 1,003 ops, 2.5s\n",
            "  next        start n2; or, if it is gone for good, `rig member remove n2 --confirm n2`\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        // Of three, one may have stayed.
        let peer = status["peers"][0].clone();
        status["peers"].as_array_mut().unwrap().push(peer);
        let text = paragraph(&status, &Output::new(false, false, Color::Never));
        assert!(text.contains("  alone       versions 7..9 1040..: answered while a member was out\n"), "{text}");
    }

    #[test]
    fn every_state_that_is_not_well_says_what_to_do() {
        let diverged = json!({ "name": "n1", "role": "replica", "state": "diverged", "diverged_at": 7 });
        assert!(next(&diverged).is_some_and(|said| said.contains("version 7 here")));
        let peers = json!([{ "name": "n2", "url": "u", "connected": false }]);
        for (role, state, word) in [
            ("primary", "serving", None),
            ("primary", "degraded", Some("start n2")),
            ("primary", "blocked", Some("start n2")),
            ("primary", "recovering", Some("rig promote n1 --accept-data-loss --confirm n1")),
            ("primary", "split_brain", Some("rig resolve")),
            ("primary", "failed", Some("rig log verify")),
            ("replica", "recovering", Some("rig promote n1")),
            ("replica", "outdated", Some("start n2")),
            ("replica", "fenced", Some("start n2")),
            ("replica", "diverged", Some("--against")),
            ("replica", "in_sync", Some("rig promote n1")),
            ("replica", "stopped", Some("rig node start n1")),
        ] {
            let status = json!({ "name": "n1", "role": role, "state": state, "peers": peers, "waits_for": ["n2"] });
            match (next(&status), word) {
                (Some(said), Some(word)) => assert!(said.contains(word), "{state}: {said}"),
                (said, word) => assert_eq!(said.as_deref(), word, "{state}"),
            }
        }
    }

    #[test]
    fn what_only_the_coordinator_or_another_primary_would_show_is_said_with_what_to_do() {
        let out = Output::new(false, false, Color::Never);
        let mut status = status();
        status["coordinator"] = json!({ "url": "etcd://e/rig/a", "record": null });
        status["peers"] = json!([
            { "name": "n2", "url": "u", "connected": true, "other_record": true, "record": "/rig/b" },
            { "name": "n3", "url": "u", "connected": true, "other_record": true, "record": "none" },
        ]);
        let text = paragraph(&status, &out);
        for line in [
            "  record      n2 goes by another record (/rig/b), and cannot take over\n",
            "  record      n3 goes by no record, and cannot take over\n",
            "  next        start n2 with the --coordinator that this node has: etcd://e/rig/a\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        status["rivals"] = json!([{ "name": "n2", "epoch": 4 }]);
        let text = paragraph(&status, &out);
        assert!(text.contains("two lead    n2 leads epoch 4 under the same cluster id"), "{text}");
        assert!(text.contains("rig log verify -N n1 --against n2"), "{text}");
        let removed = json!({ "by": "n1", "version": 9 });
        let status = json!({ "name": "n2", "role": "replica", "state": "outdated", "removed": removed, "peers": [] });
        let text = paragraph(&status, &out);
        assert!(text.contains("n1 leads without this node: its log, up to version 9, does not name it"), "{text}");
        let next = text.lines().last().unwrap();
        let (first, then) = (next.find("--against n1").unwrap(), next.find("join anew").unwrap());
        assert!(first < then && next.contains("rig rescue ls"), "{text}");
    }

    #[test]
    fn where_a_record_decides_it_is_the_coordinator_that_is_waited_for_or_the_end_of_a_lease() {
        let status = |state: &str, coordinator: Value| {
            let peers = json!([{ "name": "n1", "connected": false }]);
            json!({ "name": "n2", "role": "replica", "state": state, "primary": "n1", "peers": peers, "waits_for": ["n1"],
                "coordinator": coordinator })
        };
        let force = "rig promote n2 --accept-data-loss --confirm n2";
        let silent = json!({ "url": "etcd://a/b", "why": "etcd at http://a:2379: cannot connect", "since": "2026-01-02T03:04:05Z" });
        let lost = json!({ "url": "etcd://a/b", "why": "the record has gone", "since": "2026-01-02T03:04:05Z" });
        for state in ["recovering", "in_sync", "catching_up", "outdated"] {
            let said = next(&status(state, silent.clone())).unwrap();
            assert_eq!(
                said,
                format!("bring etcd back: this node opens by itself; or, if it will not be back, {force}")
            );
            let said = next(&status(state, lost.clone())).unwrap();
            assert!(said.starts_with("see `rig coordinator show`"), "{said}");
        }
        let text = paragraph(&status("recovering", silent.clone()), &Output::new(false, false, Color::Never));
        for words in
            ["waits for   the coordinator\n", "until it answers again nobody takes over and nobody is left out"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let record = |in_sync: &[&str], leased: bool| {
            let in_sync: Vec<_> = in_sync.iter().map(|name| json!({ "name": name })).collect();
            json!({ "url": "etcd://a/b", "why": null, "leased": leased,
                "record": { "phase": "open", "primary": { "name": "n1" }, "in_sync": in_sync } })
        };
        for (in_sync, leased, words) in [
            (&["n2"][..], true, "nothing: n2 takes over by itself when n1's lease ends"),
            (&["n2"], false, "nothing: n2 takes over by itself"),
            (&["n3"], true, "nothing: of n3 one takes over by itself when n1's lease ends"),
            (&[], true, "start n1: nobody else holds every answered write"),
        ] {
            for state in ["in_sync", "recovering"] {
                let said = next(&status(state, record(in_sync, leased))).unwrap();
                assert!(said.starts_with(words), "{state} {in_sync:?}: {said}");
            }
        }
        // Everybody is there, and nobody leads.
        for state in ["recovering", "outdated", "fenced"] {
            let next = |leased: bool| {
                let mut status = status(state, record(&["n2"], leased));
                (status["peers"][0]["connected"], status["primary"]) = (true.into(), Value::Null);
                next(&status).unwrap_or_default()
            };
            assert!(next(false).contains("went on by force") && next(false).ends_with(force), "{}", next(false));
            assert!(!next(true).contains("by force"), "{}", next(true));
        }
    }

    #[test]
    fn where_nobody_is_away_nobody_is_to_be_started() {
        let peers = json!([{ "name": "n2", "connected": true }]);
        for (role, state) in [("primary", "blocked"), ("replica", "outdated"), ("replica", "fenced")] {
            let status = json!({ "name": "n1", "role": role, "state": state, "peers": peers, "waits_for": [] });
            let said = next(&status).unwrap();
            assert!(said.starts_with("nothing, if") && !said.contains("start "), "{state}: {said}");
        }
    }

    #[test]
    fn the_lag_of_a_node_is_what_its_own_cluster_has_decided() {
        let node = |cluster: &str, committed: u64, applied: u64| json!({ "cluster_id": cluster, "log": { "committed": committed }, "applied": applied });
        let all = [node("a", 100, 100), node("a", 90, 88), node("b", 500, 500)];
        let lags: Vec<_> = all.iter().map(|status| lag(status, &all)).collect();
        assert_eq!(lags, ["0 ops", "12 ops", "0 ops"]);
    }
}
