//! `rig status --json`: one node as programs see it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::alone;
use super::coordination::View;
use super::dir::DataDir;
use super::engine::{Condition, Counters, Engine, Method};
use super::hook::Hook;
use super::metrics::{Exposition, Metrics};
use super::others::{Others, Record};
use super::scrub::Scrub;
use super::settings::Watch;
use super::start;
use super::state;
use crate::log::Reader;
use crate::replication::{PeerView, Replication, Standing};
use crate::types::{ClusterId, Micros, NodeId, NodeState, Role, Version, format_time};

/// What the event loop adds to what the engine knows.
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) cluster: Option<ClusterId>,
    pub(super) oldest: Version,
    pub(super) log: &'a Reader,
    pub(super) http: &'a str,
    pub(super) up_since: Instant,
    pub(super) draining: bool,
    /// Since when the mode keeps this node from writing.
    pub(super) blocked_since: Option<&'a str>,
    pub(super) degraded_since: Option<&'a str>,
    pub(super) alone: &'a [alone::Range],
    pub(super) rescued: usize,
    /// The snapshot that is being taken: version, bytes, and how many of them are here.
    pub(super) taking: Option<(Version, u64, u64)>,
    /// How often each event has happened.
    pub(super) events: &'a BTreeMap<&'static str, u64>,
    pub(super) refused_peers: &'a BTreeMap<String, String>,
    pub(super) others: &'a Others,
    pub(super) scrub: &'a Scrub,
    /// The command for events.
    pub(super) hook: Option<&'a Hook>,
    /// What it was started with, and what is wrong with its files.
    pub(super) watch: &'a Watch,
    /// What decides who leads when nodes are away, if there is something.
    pub(super) coordinator: Option<View<'a>>,
}

/// The object of a running node.
pub(super) fn status(engine: &Engine, facts: &Facts<'_>) -> Value {
    let core = engine.core();
    let config = core.config();
    json!({
        "type": "status",
        "name": facts.name,
        "node_id": core.me().to_string(),
        "cluster_id": facts.cluster.map(|id| id.to_string()),
        "role": core.role().as_str(),
        "state": core.state().as_str(),
        "epoch": core.epoch().number,
        "owner": core.epoch().owner.to_string(),
        "start": core.epoch().start,
        "log": {
            "oldest": facts.oldest,
            "durable": core.durable(),
            "committed": core.committed(),
            "format": engine.format(),
        },
        "applied": core.applied(),
        "http": facts.http,
        "pid": std::process::id(),
        "uptime_s": facts.up_since.elapsed().as_secs(),
        "time": format_time(start::wall_clock()),
        "replication": {
            "mode": config.map(|config| config.replication.as_str()),
            "min_replicas": config.map(|config| config.min_replicas),
            "sync_timeout_ms": config.map(|config| config.sync_timeout_ms),
            "ack": config.map(|config| config.ack.as_str()),
            "pending": core.pending_config().map(|(version, holds)| json!({
                "version": version,
                "holds": { "mode": holds.replication.as_str(), "min_replicas": holds.min_replicas },
            })),
            "in_sync": in_sync(core, facts.name),
            "degraded_since": facts.degraded_since,
            "blocked_since": facts.blocked_since,
            "alone": alone(core, facts.alone),
        },
        "peers": peers(engine, facts),
        "rivals": rivals(core, facts),
        "removed": facts.others.removed(core).map(|removed| {
            json!({ "by": name_of(core, removed.by), "version": removed.version })
        }),
        "needs_snapshot": facts.taking.is_some(),
        "snapshot_transfer": facts.taking.map(|(version, size, received)| {
            json!({ "version": version, "size_bytes": size, "received_bytes": received })
        }),
        "primary": core.primary().map(|member| member.name.clone()),
        "waits_for": waits_for(core, facts.coordinator.as_ref()),
        "can_promote": core.can_promote(),
        "diverged_at": core.diverged(),
        "lacks": core.lacks(),
        "service": {
            "kind": engine.service().kind(),
            "healthy": !matches!(engine.condition(), Some(Condition::Stalled { .. } | Condition::Starting { .. })),
            "state": service_state(engine),
            "name": engine.service_info().map(|info| info.name.as_str()),
            "why": stalled(engine).map(|(why, _)| why),
            "stalled_since": stalled(engine).map(|(_, since)| format_time(since)),
            "waiting_ops": engine.backlog(),
            "documents": engine.service().documents().map(|documents| documents.len()),
            "memory_bytes": engine.service().documents().map(|documents| documents.memory_bytes()),
        },
        "rescued": facts.rescued,
        "scrub": facts.scrub.status(),
        "refused_peers": facts.refused_peers,
        "disk_full": engine.is_disk_full(),
        "draining": facts.draining,
        "coordinator": facts.coordinator.as_ref().map(View::status),
        "config": facts.watch.status(),
        "rig": env!("CARGO_PKG_VERSION"),
    })
}

/// How the service is, in one word.
pub(super) fn service_state(engine: &Engine) -> &'static str {
    match engine.condition() {
        Some(Condition::Stalled { .. }) => "apply-stalled",
        Some(Condition::Starting { replayed: Some(_) }) => "replaying",
        Some(Condition::Starting { replayed: None }) => "starting",
        _ if !engine.keys_complete() => "loading_keys",
        Some(Condition::Serving) | None => "serving",
    }
}

fn stalled(engine: &Engine) -> Option<(&str, Micros)> {
    match engine.condition() {
        Some(Condition::Stalled { why, since }) => Some((why, *since)),
        _ => None,
    }
}

fn name_of(core: &Replication, id: NodeId) -> String {
    core.name_of(id).map_or_else(|| id.to_string(), str::to_owned)
}

/// Who leads beside this primary, under the same cluster id.
fn rivals(core: &Replication, facts: &Facts<'_>) -> Vec<Value> {
    let peers = core.peers();
    let url = |id| peers.iter().find(|peer| peer.member.id == id).map(|peer| peer.member.url.as_str());
    let view = |(id, epoch): (NodeId, u64)| json!({ "name": name_of(core, id), "node_id": id.to_string(), "url": url(id), "epoch": epoch });
    facts.others.rivals(core).into_iter().map(view).collect()
}

/// Names of the in-sync set, the primary first.
fn in_sync(core: &Replication, own: &str) -> Vec<String> {
    let primary = match core.role() {
        Role::Primary => Some(own.to_owned()),
        Role::Replica => core.primary().map(|member| member.name.clone()),
    };
    primary.into_iter().chain(core.in_sync().into_iter().map(|id| name_of(core, id))).collect()
}

/// Ranges of versions that were acknowledged alone; the last one may go on.
fn alone(core: &Replication, noted: &[alone::Range]) -> Vec<Value> {
    let joined = alone::joined(noted);
    let mut ranges: Vec<Value> = joined.iter().map(|range| json!({ "from": range.from, "to": range.to })).collect();
    if let Some(from) = core.alone_from()
        && core.committed() >= from
    {
        ranges.push(json!({ "from": from, "to": null }));
    }
    ranges
}

fn peers(engine: &Engine, facts: &Facts<'_>) -> Vec<Value> {
    let core = engine.core();
    let head = core.appended();
    let view = |peer: &PeerView| {
        let lag = head.saturating_sub(peer.acked);
        let silent_ms = peer.heard.map(|heard| engine.core_now().saturating_sub(heard) / 1000);
        json!({
            "name": peer.member.name,
            "node_id": peer.member.id.to_string(),
            "url": peer.member.url,
            "connected": peer.connected,
            "in_sync": peer.in_sync,
            "acked": peer.acked,
            "needs_snapshot": peer.acked.saturating_add(1) < facts.oldest,
            "offered_snapshot": peer.fed,
            "went_back": peer.went_back,
            "record": facts.others.record_of(peer.member.id).map(Record::as_str),
            "other_record": facts.others.is_elsewhere(peer.member.id, core),
            "lag_ops": lag,
            "lag_ms": if lag == 0 { Some(0) } else { silent_ms },
        })
    };
    core.peers().iter().map(view).collect()
}

/// Names of those whom a recovering node waits for. One that has not read the record yet waits for that, and for nobody.
pub(super) fn waits_for(core: &Replication, coordinator: Option<&View<'_>>) -> Vec<String> {
    if coordinator.is_some() && core.seen().is_none() {
        return Vec::new();
    }
    let Some(waiting) = core.waiting() else { return Vec::new() };
    let peers = core.peers();
    let name_of = |id: &NodeId| {
        peers.iter().find(|peer| peer.member.id == *id).map_or_else(|| id.to_string(), |peer| peer.member.name.clone())
    };
    waiting.members.iter().map(name_of).collect()
}

/// The same object for a directory whose node does not run, from its files alone.
pub fn stopped_status(dir: &DataDir) -> Value {
    let meta = dir.meta();
    let recorded = state::read(&dir.state());
    let reader =
        crate::log::Reader::open(std::sync::Arc::new(crate::log::DiskVfs), dir.path(), crate::log::Held::ByNobody);
    let log = reader.map_or(
        Value::Null,
        |reader| json!({ "oldest": reader.oldest(), "durable": reader.durable(), "committed": reader.committed() }),
    );
    json!({
        "type": "status",
        "name": meta.name,
        "node_id": meta.node_id.to_string(),
        "cluster_id": meta.cluster_id.map(|id| id.to_string()),
        "role": role_of(recorded.as_ref()).as_str(),
        "state": "stopped",
        "epoch": recorded.as_ref().map_or(0, |standing| standing.promised.number),
        "owner": recorded.as_ref().map(|standing| standing.promised.owner.to_string()),
        "log": log,
        "applied": null,
        "http": null,
        "pid": null,
        "uptime_s": null,
        "replication": null,
        "peers": [],
        "can_promote": false,
        "service": null,
        "rescued": 0,
        "scrub": null,
        "rig": env!("CARGO_PKG_VERSION"),
    })
}

fn role_of(standing: Option<&Standing>) -> Role {
    if standing.is_none_or(|standing| standing.primary) { Role::Primary } else { Role::Replica }
}

/// The page of `GET /metrics`.
pub(super) fn metrics(engine: &Engine, facts: &Facts<'_>, metrics: &Metrics) -> Vec<u8> {
    let mut page = Exposition::default();
    let (core, counters) = (engine.core(), engine.counters());
    page.samples("rig_build_info", "gauge", "The program.", [(build(option_env!("RIG_BUILD_COMMIT")), 1.0)]);
    page.labelled("rig_role", "gauge", "1 for the role that this node has.", "role", &[(core.role().as_str(), 1.0)]);
    page.labelled(
        "rig_state",
        "gauge",
        "1 for the state that this node is in.",
        "state",
        &[(core.state().as_str(), 1.0)],
    );
    page.gauge("rig_epoch", "Number of the epoch.", core.epoch().number as f64);
    let versions = [
        ("oldest", facts.oldest as f64),
        ("durable", core.durable() as f64),
        ("committed", core.committed() as f64),
        ("applied", core.applied() as f64),
    ];
    page.labelled("rig_log_version", "gauge", "Versions of the log.", "kind", &versions);
    page.counter("rig_log_syncs_total", "Syncs of the log.", metrics.fsync_seconds.count());
    page.counter("rig_log_batches_total", "Batches written to the log.", metrics.batch_ops.count());
    page.counter("rig_log_records_total", "Records written to the log.", metrics.log_records);
    page.counter("rig_log_bytes_total", "Bytes written to the log.", metrics.log_bytes);
    if let Ok(bytes) = facts.log.bytes() {
        page.gauge("rig_log_bytes", "Bytes of the log's files, room for what comes included.", bytes as f64);
    }
    page.histogram("rig_fsync_seconds", "Writing and syncing one batch.", &metrics.fsync_seconds);
    page.histogram("rig_batch_ops", "Records in one batch.", &metrics.batch_ops);
    page.histogram("rig_commit_seconds", "From admission until it is committed and applied.", &counters.commit);
    page.histogram("rig_apply_seconds", "The service's work for one group of operations.", &counters.apply);
    page.histogram("rig_validate_seconds", "The service's look at one operation.", &counters.validate);
    operations(counters, &mut page);
    let in_flight = engine.in_flight();
    page.gauge("rig_in_flight_ops", "Operations between admission and answer.", in_flight.operations as f64);
    page.gauge("rig_in_flight_bytes", "Bytes of their data.", in_flight.bytes as f64);
    page.gauge("rig_waiting_ops", "Operations that wait for a resource.", engine.waiting_for_resources() as f64);
    page.gauge("rig_keys", "Idempotency keys that are remembered.", engine.keys_len() as f64);
    page.gauge("rig_disk_full", "1 while writes are refused for want of room.", f64::from(engine.is_disk_full()));
    page.gauge("rig_degraded", "1 while answers promise less than was asked for.", degraded(engine));
    let alone = core.alone_from().map_or(0, |from| (core.committed() + 1).saturating_sub(from));
    page.gauge("rig_unreplicated_ops", "Operations of this spell that this disk alone holds.", alone as f64);
    page.gauge("rig_blocked", "1 while the mode keeps this primary from writing.", is(engine, NodeState::Blocked));
    cluster_metrics(engine, facts, &mut page);
    let healthy = f64::from(matches!(engine.condition(), None | Some(Condition::Serving)));
    page.gauge("rig_service_up", "1 while the service answers.", healthy);
    page.gauge(
        "rig_apply_stalled",
        "1 while committed operations wait for a service that is away.",
        f64::from(stalled(engine).is_some()),
    );
    page.gauge("rig_apply_backlog", "Committed operations that are not applied.", engine.backlog() as f64);
    if let Some(documents) = engine.service().documents() {
        page.gauge("rig_documents", "Documents.", documents.len() as f64);
        page.gauge(
            "rig_documents_bytes",
            "Bytes of documents and indexes, as counted.",
            documents.memory_bytes() as f64,
        );
        page.gauge("rig_documents_max_bytes", "The limit of that.", documents.memory_max_bytes() as f64);
    }
    page.counter("rig_snapshots_total", "Snapshots written.", metrics.snapshots);
    page.counter("rig_snapshot_failures_total", "Snapshots that could not be written.", metrics.snapshot_failures);
    page.gauge("rig_snapshot_bytes", "Bytes of the newest snapshot.", metrics.snapshot_bytes as f64);
    let sent = metrics.snapshot_sent_bytes;
    page.counter("rig_snapshot_sent_bytes_total", "Bytes of snapshots sent to members.", sent);
    let received = metrics.snapshot_received_bytes;
    page.counter("rig_snapshot_received_bytes_total", "Bytes of snapshots taken from a primary.", received);
    page.gauge("rig_scrub_errors", "Errors in the log as it was read last.", facts.scrub.errors() as f64);
    if let Some(time) = facts.scrub.last_success() {
        let help = "When the whole log was last read again without an error.";
        page.gauge("rig_verify_last_success_timestamp_seconds", help, time as f64 / 1e6);
    }
    if let Some(runs) = facts.hook.map(Hook::runs) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let runs = [("ended", of(&runs.ended)), ("failed", of(&runs.failed)), ("missed", of(&runs.missed))];
        let help = "Runs of the command for events; the failed ones have ended too.";
        page.labelled("rig_hook_runs_total", "counter", help, "outcome", &runs);
    }
    if let Some(coordinator) = &facts.coordinator {
        coordinator.metrics(&mut page);
    }
    page.gauge("rig_http_connections", "Connections.", metrics.connections as f64);
    page.counter("rig_http_connections_total", "Connections accepted.", metrics.accepted);
    page.counter("rig_http_connections_refused_total", "Connections over the limit.", metrics.refused_connections);
    let help = "Answers by path, as GET / lists them, and class of status.";
    page.samples("rig_http_requests_total", "counter", help, metrics.answers());
    page.gauge("rig_uptime_seconds", "Since the start of the process.", facts.up_since.elapsed().as_secs() as f64);
    page.finish()
}

/// The labels of the program: its version, and the commit if whoever built it has said that.
fn build(commit: Option<&str>) -> String {
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let is_name = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match commit.filter(is_name) {
        Some(commit) => format!("{version},commit=\"{commit}\""),
        None => version,
    }
}

/// What became of the operations.
fn operations(counters: &Counters, page: &mut Exposition) {
    let named = |name: &str, outcome: &str| format!("method=\"{name}\",outcome=\"{outcome}\"");
    let of_method = |(name, method): (&str, Method)| {
        [(named(name, "applied"), method.applied as f64), (named(name, "rejected"), method.rejected as f64)]
    };
    let rest = [("refused", counters.refused), ("unknown", counters.unknown), ("replayed", counters.replayed)];
    let rest = rest.map(|(outcome, count)| (named("other", outcome), count as f64));
    let methods = counters.methods().chain([("other", counters.other)]).flat_map(of_method);
    let help = "Operations by what became of them; `other` is every method that was never applied, \
                and what was not looked at.";
    page.samples("rig_ops_total", "counter", help, methods.chain(rest));
}

fn degraded(engine: &Engine) -> f64 {
    is(engine, NodeState::Degraded)
}

fn is(engine: &Engine, state: NodeState) -> f64 {
    f64::from(engine.core().state() == state)
}

/// One series for each name: of two nodes that are called alike, the one that is there.
fn one_of_each_name(mut peers: Vec<PeerView>) -> Vec<PeerView> {
    peers.sort_by(|a, b| {
        let rank = |peer: &PeerView| (peer.connected, peer.in_sync, peer.acked);
        a.member.name.cmp(&b.member.name).then_with(|| rank(b).cmp(&rank(a)))
    });
    peers.dedup_by(|a, b| a.member.name == b.member.name);
    peers
}

/// The other nodes, and what happened with them.
fn cluster_metrics(engine: &Engine, facts: &Facts<'_>, page: &mut Exposition) {
    let core = engine.core();
    let peers = one_of_each_name(core.peers());
    let each = |of: &dyn Fn(&PeerView) -> f64| -> Vec<(&str, f64)> {
        peers.iter().map(|peer| (peer.member.name.as_str(), of(peer))).collect()
    };
    let head = core.appended();
    page.gauge("rig_in_sync_members", "Members of the in-sync set beside the primary.", core.in_sync().len() as f64);
    page.gauge("rig_lag_ops", "Operations of the primary that are not applied here.", core.lag() as f64);
    page.gauge("rig_rescued_files", "Rescue files.", facts.rescued as f64);
    if !peers.is_empty() {
        let connected = each(&|peer| f64::from(peer.connected));
        page.labelled("rig_replica_connected", "gauge", "1 while there is a link to this node.", "peer", &connected);
        let in_sync = each(&|peer| f64::from(peer.in_sync));
        page.labelled("rig_replica_in_sync", "gauge", "1 while its acknowledgement is waited for.", "peer", &in_sync);
        let acked = each(&|peer| peer.acked as f64);
        page.labelled("rig_replica_acked_version", "gauge", "The last version on its disk.", "peer", &acked);
        let lag = each(&|peer| head.saturating_sub(peer.acked) as f64);
        page.labelled("rig_replica_lag_ops", "gauge", "Operations of this log that it has not.", "peer", &lag);
        let seconds = each(&|peer| match peer.heard {
            _ if peer.acked >= head => 0.0,
            Some(heard) => engine.core_now().saturating_sub(heard) as f64 / 1e6,
            None => f64::INFINITY,
        });
        let help = "Since it was heard, while it has not all of this log.";
        page.labelled("rig_replica_lag_seconds", "gauge", help, "peer", &seconds);
    }
    let events: Vec<(&str, f64)> = facts.events.iter().map(|(name, count)| (*name, *count as f64)).collect();
    if !events.is_empty() {
        page.labelled("rig_events_total", "counter", "Events by name.", "event", &events);
    }
}
