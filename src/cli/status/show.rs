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
    for (name, why) in status["refused_peers"].as_object().into_iter().flatten() {
        lines.push(("refused", format!("{name}: {}", word(why))));
    }
    if list(&status["waits_for"]).next().is_some() {
        lines.push(("waits for", words(&status["waits_for"], ", ")));
    }
    if status["role"] == "replica" && status["state"] != "stopped" {
        lines.push(("can promote", if status["can_promote"] == true { "yes".into() } else { "no".into() }));
    }
    lines
}

/// Who leads by the record outside, or why nobody can say.
fn coordinator(of_status: &Value) -> Option<String> {
    let (url, record) = (of_status["url"].as_str()?, &of_status["record"]);
    if let Some(why) = of_status["why"].as_str() {
        let since = second(&word(&of_status["since"]));
        return Some(format!(
            "{url}  of no use since {since}: {why}; until then nobody takes over and nobody is left out"
        ));
    }
    let leads = if record["phase"] == "open" { "leads" } else { "is about to lead" };
    let lease = if of_status["leased"] == true { "its lease holds" } else { "without a lease" };
    match record.is_null() {
        true => Some(format!("{url}  no record yet")),
        false => Some(format!(
            "{url}  {} {leads} epoch {}, {lease}",
            word(&record["primary"]["name"]),
            record["epoch"]["number"]
        )),
    }
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
    Some(match status["state"].as_str()? {
        "serving" | "in_sync" | "degraded" if super::has_damage(status) => {
            "see `rig log verify`. In the newest segment: with another member a restart mends it. Before it: while another \
             member has all of it, join anew with an empty directory"
                .to_owned()
        }
        "serving" | "in_sync" | "degraded" | "catching_up" if status["service"]["state"] == "apply-stalled" => {
            "bring the service back: the node tries again all the time, and nothing is lost meanwhile".to_owned()
        }
        "serving" | "in_sync" | "degraded" | "catching_up" if status["disk_full"] == true => {
            "make room on the disk of the log: it goes on by itself".to_owned()
        }
        "degraded" if away.is_empty() => "nothing: it catches up".to_owned(),
        "degraded" => format!("start {others}; or, if it is gone for good, `rig member remove NAME`"),
        "blocked" if list(&status["peers"]).next().is_none() => format!(
            "start a replica: rig serve -D DIR --role replica --peer {}; or go on alone: rig config set replication=semi-sync",
            word(&status["http"])
        ),
        "blocked" if away.is_empty() => {
            "nothing, if they catch up; if they stay out they follow another: see `rig status --all`".to_owned()
        }
        "blocked" => format!("start {others}: writes wait for it, reads go on"),
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
        "outdated" | "fenced" if away.is_empty() => {
            "nothing, if it catches up; if not, the primary does not know this node: join anew with an empty directory"
                .to_owned()
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
            "  next        start n2; or, if it is gone for good, `rig member remove NAME`\n",
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
