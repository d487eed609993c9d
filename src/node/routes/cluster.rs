//! What operators and other nodes ask for: role, configuration, members, rescue files, snapshots, events, and a peer's call.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Body, Desk, Exchange, Handled, Outcome, Request, RouteError, Slot, number, query_number};
use crate::coordinator::Sighting;
use crate::error::{Code, Problem};
use crate::http::require_json;
use crate::limits::{COMPACT_HOLD_BYTES, COMPACT_KEEP};
use crate::node::auth::{Caller, Scope};
use crate::node::connection::EventStream;
use crate::node::coordination::Accept;
use crate::node::engine::{Engine, ReplyTo};
use crate::node::event_loop::compacting::Bounds;
use crate::node::event_loop::{Operator, Task};
use crate::node::others::{self, Record};
use crate::node::peers::UPGRADE;
use crate::node::{rescue, settings_to_json, snapshots};
use crate::replication::{Asked, NotPromoted, PeerView};
use crate::types::{NodeState, Role, Version, format_time};

/// Paths below which only an admin may change anything.
pub(super) fn change(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    to: ReplyTo,
    exchange: Exchange,
    caller: &Caller,
) -> Option<Outcome> {
    let segments: Vec<_> = request.segments().collect();
    let parts: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let outcome = match (request.method, &parts[..]) {
        ("POST", ["role"]) => admin(caller).and_then(|()| role(desk, request, to, exchange)),
        ("POST", ["config"]) => admin(caller).and_then(|()| config(desk, request, to, exchange)),
        ("POST", ["log", "prepare"]) => write(caller).and_then(|()| prepare(desk, request, to, exchange)),
        ("POST", ["log", decision @ ("commit" | "rollback")]) => write(caller).map(|()| {
            desk.tasks.push((to, Task::Operator(Operator::Decide { commit: *decision == "commit" })));
            Handled::Slot(Slot::Elsewhere(exchange))
        }),
        ("POST", ["resolve"]) => admin(caller).and_then(|()| resolve(desk, request, to, exchange)),
        ("DELETE", ["members", name]) => admin(caller).and_then(|()| remove(desk, request, to, exchange, name)),
        ("POST", ["log", "compact"]) => admin(caller).and_then(|()| compact(desk, request, to, exchange)),
        ("POST", ["coordinator", "accept"]) => admin(caller).and_then(|()| accept(desk, request, to, exchange)),
        ("POST", ["snapshots"]) => admin(caller).map(|()| {
            desk.tasks.push((to, Task::Operator(Operator::Snapshot)));
            Handled::Slot(Slot::Elsewhere(exchange))
        }),
        ("POST", ["rescue", file, "replayed"]) => admin(caller).and_then(|()| replayed(desk, file)),
        _ => return None,
    };
    Some(outcome)
}

fn admin(caller: &Caller) -> Result<(), RouteError> {
    match caller.scope {
        Scope::Admin => Ok(()),
        _ => Err(Problem::new(Code::Auth, format!("the token `{}` may not change the cluster", caller.name)).into()),
    }
}

fn write(caller: &Caller) -> Result<(), RouteError> {
    match caller.scope {
        Scope::Write | Scope::Admin => Ok(()),
        _ => Err(Problem::new(Code::Auth, format!("the token `{}` may read only", caller.name)).into()),
    }
}

/// The original's `POST /log/prepare`: `{"version","op"}`.
fn prepare(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    require_json(request)?;
    let envelope = super::writes::read_envelope(request.body)?;
    let Some(version) = envelope.version else {
        return Err(Problem::new(Code::BadRequest, "expected {\"version\",\"op\":{\"method\",\"data\"}}").into());
    };
    let operation = crate::types::Operation::new(envelope.method, envelope.data);
    desk.tasks.push((to, Task::Operator(Operator::Prepare { version, operation })));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

/// `POST /log/compact?keep=N&older_than_ms=MS&hold=BYTES&dry_run=true`.
fn compact(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let keep = query_number(request, "keep")?.unwrap_or(COMPACT_KEEP);
    let younger = query_number(request, "older_than_ms")?.map(Duration::from_millis);
    let hold = query_number(request, "hold")?.unwrap_or(COMPACT_HOLD_BYTES);
    let dry_run = request.query_value("dry_run").is_some_and(|value| value == "true");
    desk.tasks.push((to, Task::Operator(Operator::Compact(Bounds { keep, younger, hold, dry_run }))));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

/// `GET /backup?since=V`.
pub(super) fn backup(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    to: ReplyTo,
    exchange: Exchange,
    caller: &Caller,
) -> Outcome {
    admin(caller)?;
    let since = query_number(request, "since")?;
    desk.tasks.push((to, Task::Operator(Operator::Backup { since })));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

/// `GET /peer` with `Upgrade: rig-peer/1`.
pub(super) fn call(request: &Request<'_>, exchange: Exchange, caller: &Caller) -> Outcome {
    if !matches!(caller.scope, Scope::Peer | Scope::Admin) {
        return Err(Problem::new(Code::Auth, format!("the token `{}` is none of a peer", caller.name)).into());
    }
    match request.upgrade() {
        Some(protocol) if protocol == UPGRADE => {
            Ok(Handled::Upgrade(exchange, Record::said(request.header(others::FIELD))))
        }
        _ => Err(Problem::new(Code::BadRequest, format!("expected Upgrade: {}", UPGRADE)).into()),
    }
}

fn body_of(request: &Request<'_>) -> Result<Value, Problem> {
    require_json(request)?;
    serde_json::from_slice(request.body).map_err(|error| Problem::new(Code::BadJson, format!("body: {error}")))
}

fn flag(body: &Value, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn role(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let body = body_of(request)?;
    let wanted = body.get("role").and_then(Value::as_str).and_then(|word| word.parse::<Role>().ok());
    let Some(wanted) = wanted else {
        return Err(Problem::new(Code::BadRequest, "expected {\"role\":\"primary\"|\"replica\"}").into());
    };
    let dry_run = flag(&body, "dry_run");
    match wanted {
        Role::Primary if dry_run => {
            let core = desk.engine.core();
            let is_primary = core.role() == Role::Primary && core.is_open();
            if is_primary || core.can_promote() { Ok(Handled::Body(role_body(desk.engine))) } else { unsafe_now(desk) }
        }
        Role::Primary => {
            let force = flag(&body, "accept_data_loss");
            desk.tasks.push((to, Task::Operator(Operator::Promote { force })));
            Ok(Handled::Slot(Slot::Elsewhere(exchange)))
        }
        Role::Replica => {
            if !dry_run {
                desk.tasks.push((to, Task::Operator(Operator::Demote)));
                return Ok(Handled::Slot(Slot::Elsewhere(exchange)));
            }
            Ok(Handled::Body(role_body(desk.engine)))
        }
    }
}

fn unsafe_now(desk: &Desk<'_>) -> Outcome {
    let core = desk.engine.core();
    let result = Err(match (core.diverged(), core.lacks()) {
        (Some(version), _) => NotPromoted::Diverged { version },
        (None, Some(version)) => NotPromoted::Lacks { version, head: core.durable() },
        (None, None) => NotPromoted::Unsafe { needed: None, reached: 1 },
    });
    operator_answer(desk.engine, desk.now.micros, result)
}

/// `{"data":{"role","state","epoch","version"}}`.
pub(in crate::node) fn role_body(engine: &Engine) -> Body {
    let core = engine.core();
    Body::data(&json!({
        "role": core.role().as_str(),
        "state": core.state().as_str(),
        "epoch": core.epoch().number,
        "version": core.durable(),
    }))
}

/// The answer to an operator's request, when the core has come to its end.
pub(in crate::node) fn operator_answer(engine: &Engine, now: u64, result: Result<(), NotPromoted>) -> Outcome {
    match result {
        Ok(()) => Ok(Handled::Body(role_body(engine))),
        Err(NotPromoted::Unsafe { needed, reached }) => Err(promotion_unsafe(engine, now, needed, reached).into()),
        Err(NotPromoted::Diverged { version }) => Err(state_differs(version).into()),
        Err(NotPromoted::Lacks { version, head }) => Err(log_went_back(version, head).into()),
        Err(NotPromoted::Busy) => Err(Problem::new(
            Code::Recovering,
            "another change is under way, another node has a higher epoch, or the primary cannot hand over now",
        )
        .hint("look at `rig status --all`, then try again")
        .into()),
        Err(NotPromoted::Unknown) => Err(Problem::new(
            Code::OutcomeUnknown,
            "the change is in the log, and another node has a higher epoch: whether it stays is for that node to say",
        )
        .hint("rig member ls")
        .into()),
        Err(NotPromoted::NotReady) => {
            Err(Problem::new(Code::Recovering, "the node is not ready for that: it has no cluster, or is failing")
                .hint("`rig status` says what it is")
                .into())
        }
        Err(NotPromoted::NotEnough { present }) => Err(Problem::new(
            Code::NotEnoughReplicas,
            format!("a removal must be recorded on as many nodes as the mode asks for, and {present} replicas answer"),
        )
        .hint("bring the members back, or accept the loss: rig member remove NAME --accept-data-loss --confirm NAME")
        .into()),
        Err(NotPromoted::NoSuchMember) => {
            Err(Problem::new(Code::NotFound, "no such member, or it is the primary itself").into())
        }
    }
}

/// A node whose state is another than its primary's is no heir of that one.
fn state_differs(version: Version) -> Problem {
    let detail =
        format!("the result of version {version} here is another than the primary's: the state is being built anew");
    Problem::new(Code::PromotionUnsafe, detail)
        .hint("wait until `rig status` says in_sync, or take this state for the right one: rig promote --accept-data-loss --confirm NAME")
        .with("diverged_at", version)
}

/// A node that was told of more than it could get at is no heir of whoever told it.
fn log_went_back(version: Version, head: Version) -> Problem {
    let detail = format!(
        "the primary had committed version {version}, and the log ends with {head}: it was away, or is an old copy, and was \
         not caught up"
    );
    Problem::new(Code::PromotionUnsafe, detail)
        .hint("start the node that has the rest, or give it up: rig promote --accept-data-loss --confirm NAME")
        .with("lacks", version)
        .with("head", head)
}

fn promotion_unsafe(engine: &Engine, now: u64, needed: Option<usize>, reached: usize) -> Problem {
    let core = engine.core();
    let peers = core.peers();
    let missing: Vec<&str> =
        peers.iter().filter(|peer| !peer.connected).map(|peer| peer.member.name.as_str()).collect();
    let last_known =
        peers.iter().map(|peer| peer.acked).max().unwrap_or(0).max(core.head_of_primary()).max(core.durable());
    let heard = peers.iter().filter(|peer| !peer.connected).filter_map(|peer| peer.heard).max();
    let last_contact = heard.map(|heard| format_time(engine.wall_time_of(heard, now)));
    let fault = engine.coordinator_fault();
    let why = match (fault, needed) {
        (Some(fault), _) => format!("the coordinator decides about it, and is of no use now: {fault}"),
        (None, Some(needed)) => format!("{needed} members must promise, {reached} can be asked"),
        (None, None) => "the mode lets the primary answer alone, so it may have answered what is not here".to_owned(),
    };
    let what = if fault.is_some() { "the coordinator" } else { "the missing members" };
    let hint = format!("bring {what} back, or accept the loss: rig promote --accept-data-loss --confirm NAME");
    Problem::new(Code::PromotionUnsafe, format!("a lost write cannot be ruled out: {why}"))
        .hint(hint)
        .with("coordinator", fault)
        .with("last_contact", last_contact)
        .with("my_version", core.durable())
        .with("last_known_version", last_known)
        .with("missing_members", missing)
}

fn config(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let body = body_of(request)?;
    let bad = |what: &str| Problem::new(Code::BadRequest, format!("{what} is not what it may be"));
    let word = |name: &str| body.get(name).and_then(Value::as_str);
    let replication = match word("replication") {
        Some(word) => Some(word.parse().map_err(|_| bad("replication"))?),
        None => None,
    };
    let min_replicas = match body.get("min_replicas") {
        Some(value) => {
            let number = value.as_u64().filter(|number| (1..crate::limits::MEMBERS_MAX as u64).contains(number));
            Some(u32::try_from(number.ok_or_else(|| bad("min_replicas"))?).unwrap_or(u32::MAX))
        }
        None => None,
    };
    let sync_timeout_ms = match body.get("sync_timeout_ms") {
        Some(value) => {
            Some(value.as_u64().filter(|ms| (1..=3_600_000).contains(ms)).ok_or_else(|| bad("sync_timeout_ms"))?)
        }
        None => None,
    };
    let asked = Asked { replication, min_replicas, sync_timeout_ms, ack: None };
    if asked == Asked::default() {
        return Err(Problem::new(Code::BadRequest, "expected replication, min_replicas or sync_timeout_ms").into());
    }
    if desk.engine.core().role() == Role::Replica {
        return Err(desk.engine.not_primary(request.path).into());
    }
    let replicas = desk.engine.core().config().map_or(0, |config| config.replicas());
    if min_replicas.is_some_and(|wanted| wanted > replicas.max(1)) {
        let detail = format!("min_replicas is more than the {replicas} replicas that there are");
        return Err(Problem::new(Code::Invalid, detail).into());
    }
    desk.tasks.push((to, Task::Operator(Operator::Change(asked))));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn resolve(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let body = body_of(request)?;
    let winner = body.get("winner").and_then(Value::as_str).unwrap_or_default();
    let core = desk.engine.core();
    if winner != desk.facts.name && winner != core.me().to_string() {
        let detail = format!("this node is {}, not `{winner}`: ask the winner", desk.facts.name);
        return Err(Problem::new(Code::BadRequest, detail).into());
    }
    if core.state() != NodeState::SplitBrain {
        let rivals = desk.facts.others.rivals(core);
        let peers = core.peers();
        let rival = peers.iter().find(|peer| rivals.iter().any(|(node, _)| *node == peer.member.id));
        if let Some(PeerView { member, .. }) = rival {
            let detail = format!(
                "{} leads too, and this node is no member there: a choice of the winner does not end that",
                member.name
            );
            return Err(Problem::new(Code::StaleEpoch, detail).hint("rig status says what to do").into());
        }
        let detail = format!("there is no split brain here: the node is {}", core.state());
        return Err(Problem::new(Code::StaleEpoch, detail).into());
    }
    if flag(&body, "dry_run") {
        return Ok(Handled::Body(role_body(desk.engine)));
    }
    desk.tasks.push((to, Task::Operator(Operator::Promote { force: true })));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn accepted(body: &Value) -> Option<Accept> {
    if let Some(write) = body.get("write") {
        return Some(Accept::This(write.as_str()?.to_owned()));
    }
    // Ids of etcd are above what a number of JSON can be trusted with.
    let store = body.get("store")?.as_str()?.parse().ok()?;
    Some(Accept::Anew(Sighting { store, revision: body.get("revision")?.as_u64()? }))
}

/// `POST /coordinator/accept` `{"store","revision"}`: to the node that leads, or that is to be primary and waits for the record,
/// which then writes it anew in the place of what was seen there. `{"write"}`: to any node, which then builds on that record.
fn accept(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let body = body_of(request)?;
    let what = accepted(&body).ok_or_else(|| {
        let detail = "expected {\"store\",\"revision\"}: the etcd, and what was seen there in the place of the record; or \
                      {\"write\"}: that of the record to build on";
        Problem::new(Code::BadRequest, detail).hint("send it with `rig coordinator repair`")
    })?;
    let Some(coordinator) = &desk.facts.coordinator else {
        return Err(Problem::new(Code::NotFound, "this node has no coordinator").into());
    };
    let core = desk.engine.core();
    let may_write = core.role() == Role::Primary && (core.is_open() || coordinator.wants_repair());
    if matches!(what, Accept::Anew(_)) && !may_write {
        return Err(desk.engine.not_primary("/coordinator/accept").into());
    }
    desk.tasks.push((to, Task::Operator(Operator::Accept(what))));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn remove(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange, name: &str) -> Outcome {
    let core = desk.engine.core();
    if core.role() == Role::Replica {
        return Err(desk.engine.not_primary(request.path).into());
    }
    let members = core.config().map(|config| config.members.clone()).unwrap_or_default();
    let Some(member) = members.iter().find(|member| member.name == name || member.id.to_string() == name) else {
        return Err(Problem::new(Code::NotFound, format!("the log names no member `{name}`")).into());
    };
    let force = request.query_value("accept_data_loss").is_some_and(|value| value == "true" || value == "1");
    desk.tasks.push((to, Task::Operator(Operator::Remove { id: member.id, force })));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn replayed(desk: &mut Desk<'_>, file: &str) -> Outcome {
    let at = format_time(desk.now.micros);
    if rescue::lines(&desk.dir.rescue(), file).is_err() {
        return Err(Problem::new(Code::NotFound, format!("there is no rescue file `{file}`")).into());
    }
    rescue::was_replayed(&desk.dir.rescue(), file, &at)
        .map_err(|error| Problem::new(Code::Internal, format!("note the replay of {file}: {error}")))?;
    Ok(Handled::Body(Body::data(&json!({ "file": file, "replayed_at": at }))))
}

/// Everything here that is asked with GET.
pub(super) fn read(desk: &mut Desk<'_>, request: &Request<'_>, exchange: Exchange, parts: &[&str]) -> Option<Outcome> {
    let outcome = match parts {
        ["config"] => {
            let mut config = json!(desk.engine.core().config());
            if let Some(config) = config.as_object_mut() {
                config.insert("settings".to_owned(), settings_to_json(&desk.facts.watch.settings));
                let pending = desk.engine.core().pending_config();
                let pending = pending.map(|(version, holds)| json!({ "version": version, "holds": holds }));
                config.insert("pending".to_owned(), json!(pending));
            }
            Ok(Handled::Body(Body::data(&config)))
        }
        ["members"] => Ok(Handled::Body(Body::data(&members(desk)))),
        ["snapshots"] => {
            let cluster = desk.dir.meta().cluster_id.unwrap_or_default();
            match snapshots::infos(&desk.dir.snapshots(), cluster) {
                Ok(found) => Ok(Handled::Body(Body::data(&found))),
                Err(error) => Err(Problem::new(Code::Internal, format!("list the snapshots: {error}")).into()),
            }
        }
        ["rescue"] => match rescue::list(&desk.dir.rescue()) {
            Ok(found) => Ok(Handled::Body(Body::data(&found))),
            Err(error) => Err(Problem::new(Code::Internal, format!("list the rescue files: {error}")).into()),
        },
        ["rescue", file] => match rescue::lines(&desk.dir.rescue(), file) {
            Ok(lines) => {
                let mut bytes = lines.join("\n").into_bytes();
                bytes.push(b'\n');
                Ok(Handled::Body(Body::of("application/x-ndjson", bytes)))
            }
            Err(_) => Err(Problem::new(Code::NotFound, format!("there is no rescue file `{file}`")).into()),
        },
        ["events"] => events(desk, request, exchange),
        _ => return None,
    };
    Some(outcome)
}

fn members(desk: &Desk<'_>) -> Value {
    let core = desk.engine.core();
    let peers = core.peers();
    let list = core.config().map(|config| config.members.clone()).unwrap_or_default();
    let primary = core.primary().map(|member| member.id);
    list.iter()
        .map(|member| {
            let is_me = member.id == core.me();
            let peer = peers.iter().find(|peer| peer.member.id == member.id);
            json!({
                "name": member.name,
                "node_id": member.id.to_string(),
                "url": member.url,
                "primary": primary == Some(member.id),
                "in_sync": primary == Some(member.id) || core.in_sync().contains(&member.id),
                "connected": is_me || peer.is_some_and(|peer| peer.connected),
            })
        })
        .collect()
}

fn events(desk: &mut Desk<'_>, request: &Request<'_>, exchange: Exchange) -> Outcome {
    let after = query_number(request, "after")?.unwrap_or(0);
    let follow = request.query_value("follow").is_some_and(|value| matches!(&*value, "1" | "true" | ""));
    let resumed = request.header("Last-Event-ID").and_then(number);
    Ok(Handled::Slot(Slot::Events(Box::new(EventStream {
        exchange,
        after: resumed.unwrap_or(after),
        follow,
        begun: None,
        heard: desk.now.instant,
    }))))
}
