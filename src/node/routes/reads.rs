//! Everything that is asked with GET.

use std::time::Instant;

use serde_json::json;

use super::{Body, Desk, DocumentStream, Exchange, Handled, LogStream, Outcome, Request, Slot, deadline};
use super::{index, is_own, not_served, number, query_number};
use crate::error::{Code, Problem};
use crate::limits::{FOLLOWERS_MAX, LIST_ITEMS_MAX};
use crate::node::engine::{Known, ReplyTo};
use crate::node::event_loop::Task;
use crate::node::{proxy, status};
use crate::service::{Documents, Listing, Reply, Service};
use crate::types::{Filter, NodeState, Role, Version};

/// A read that waits until a version is applied.
pub(in crate::node) struct Later {
    pub(in crate::node) to: ReplyTo,
    pub(in crate::node) version: Version,
    pub(in crate::node) deadline: Instant,
    pub(in crate::node) read: DataRead,
}

/// A read of the applied state, apart from its request.
#[derive(Debug)]
pub(in crate::node) enum DataRead {
    /// One document.
    One { type_name: String, id: String, none_match: Option<String> },
    /// A page of a list.
    Page { type_name: String, filters: Vec<(String, String)>, after: Option<String>, limit: usize },
    /// Whatever a service in this process has under this path.
    Service { path: String, query: String },
    /// Whatever a service in another process has there.
    Proxied(Box<proxy::Read>),
}

pub(super) fn read(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let segments: Vec<_> = request.segments().collect();
    let parts: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match parts[..] {
        [""] => Ok(Handled::Body(index())),
        ["outcome", key] if !key.is_empty() => outcome(desk, key),
        ["log"] => log(desk, request, exchange),
        ["log", "commit"] => {
            let version = desk.engine.core().committed();
            one_record(desk, to, exchange, version, "nothing is committed yet")
        }
        ["log", "prepare"] => {
            let core = desk.engine.core();
            let version = if core.durable() > core.committed() { core.durable() } else { 0 };
            one_record(desk, to, exchange, version, "nothing is prepared and not committed")
        }
        ["log", "record", version] => {
            let version = number(version).ok_or_else(|| bad_version(version))?;
            let committed = desk.engine.core().committed();
            let version = if version <= committed { version } else { 0 };
            one_record(desk, to, exchange, version, "there is no such record, or not yet")
        }
        ["log", "wire"] => {
            let from = query_number(request, "from")?.unwrap_or(0);
            let last = query_number(request, "to")?.unwrap_or(Version::MAX).min(desk.engine.core().durable());
            if from < desk.facts.oldest {
                return Err(Problem::new(Code::BadRequest, "from is a version that is in the log").into());
            }
            if from > last {
                return Ok(Handled::Body(Body::of("application/octet-stream", Vec::new())));
            }
            desk.tasks.push((to, Task::Wire { from, last }));
            Ok(Handled::Slot(Slot::Elsewhere(exchange)))
        }
        ["state", "hash"] => {
            if let Some(problem) = desk.engine.service_away() {
                return Err(problem.into());
            }
            desk.tasks.push((to, Task::StateHash));
            Ok(Handled::Slot(Slot::Elsewhere(exchange)))
        }
        ["log", "hash", version] => {
            let version = number(version).ok_or_else(|| bad_version(version))?;
            if version > desk.engine.core().committed() {
                return Err(Problem::new(Code::NotFound, format!("version {version} is not committed yet")).into());
            }
            desk.tasks.push((to, Task::Hash(version)));
            Ok(Handled::Slot(Slot::Elsewhere(exchange)))
        }
        ["data", type_name] if !type_name.is_empty() => list(desk, request, to, exchange, type_name),
        ["data", type_name, id] if !type_name.is_empty() && !id.is_empty() => {
            let none_match = request.header("If-None-Match").map(str::to_owned);
            let read = DataRead::One { type_name: type_name.into(), id: id.into(), none_match };
            data(desk, request, to, exchange, read)
        }
        ["schema"] => {
            let schemas = documents(desk.engine.service())?.schemas();
            Ok(Handled::Body(Body::json(format!("{{\"data\":[{}]}}", schemas.join(",")).into())))
        }
        ["schema", type_name] if !type_name.is_empty() => match documents(desk.engine.service())?.schema(type_name) {
            Some(schema) => Ok(Handled::Body(Body::json(format!("{{\"data\":{schema}}}").into()))),
            None => Err(Problem::new(Code::NotFound, format!("the type `{type_name}` has no schema")).into()),
        },
        ["status"] => Ok(Handled::Body(Body::data(&status::status(desk.engine, desk.facts)))),
        ["healthz"] => Ok(Handled::Body(Body::data(&json!({ "alive": true })))),
        ["readyz"] => ready(desk, request),
        ["metrics"] => {
            let bytes = status::metrics(desk.engine, desk.facts, desk.metrics);
            Ok(Handled::Body(Body::of("text/plain; version=0.0.4; charset=utf-8", bytes)))
        }
        _ => {
            if let Some(outcome) = super::cluster::read(desk, request, exchange, &parts) {
                return outcome;
            }
            if is_own(request.path, desk.proxied) {
                return Err(not_served(request.path).into());
            }
            let read = if desk.proxied {
                let (wanted, deadline) = (min_version(request)?.unwrap_or(0), deadline(request, desk)?);
                DataRead::Proxied(Box::new(proxy::Read::new(request, exchange, wanted, deadline)))
            } else {
                DataRead::Service { path: request.raw_path().into(), query: request.raw_query().into() }
            };
            data(desk, request, to, exchange, read)
        }
    }
}

fn bad_version(text: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("`{text}` is not a version"))
}

/// The version that an answer must have, at least.
fn min_version(request: &Request<'_>) -> Result<Option<Version>, Problem> {
    let text = request.only_header("Rig-Min-Version")?;
    text.map(|text| number(text).ok_or_else(|| bad_version(text))).transpose()
}

fn documents(service: &dyn Service) -> Result<&Documents, Problem> {
    service.documents().ok_or_else(|| {
        Problem::new(Code::NotFound, format!("the service `{}` keeps its documents itself", service.kind()))
    })
}

fn outcome(desk: &mut Desk<'_>, key: &str) -> Outcome {
    if !desk.engine.keys_complete() {
        return Err(Problem::new(Code::Recovering, "the keys of earlier requests are still being read").into());
    }
    let found = desk.engine.outcome(key);
    if found.is_none() && !desk.engine.is_open() {
        // It may be in a log that is not applied here: only a primary that has opened can say that it is not.
        return Err(Problem::new(Code::Recovering, "this node cannot say that no log has the key")
            .hint("ask the primary: `rig status` names it")
            .into());
    }
    let body = match found {
        None => json!({ "state": "absent", "key": key }),
        Some(Known::Pending(version)) => json!({ "state": "pending", "key": key, "version": version }),
        Some(Known::Committed(found)) => {
            let result: serde_json::Value =
                found.result.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            json!({
                "state": "committed", "key": key, "version": found.version, "epoch": found.epoch,
                "hash": found.hash.to_string(), "status": found.status, "result": result,
            })
        }
    };
    Ok(Handled::Body(Body::data(&body)))
}

fn one_record(desk: &mut Desk<'_>, to: ReplyTo, exchange: Exchange, version: Version, absent: &str) -> Outcome {
    if version == 0 {
        return Err(Problem::new(Code::NotFound, absent).into());
    }
    desk.tasks.push((to, Task::Record(version)));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn log(desk: &mut Desk<'_>, request: &Request<'_>, exchange: Exchange) -> Outcome {
    let oldest = desk.facts.oldest;
    let sse = request.header("Accept").is_some_and(|accept| accept.contains("text/event-stream"));
    let resumed = request.header("Last-Event-ID").and_then(number).and_then(|last| last.checked_add(1));
    let from = query_number(request, "from")?.or(resumed);
    let to = query_number(request, "to")?.unwrap_or(Version::MAX);
    if from == Some(0) || to == 0 || from.is_some_and(|from| from > to) {
        return Err(Problem::new(Code::BadRequest, "versions begin at 1, and from is at most to").into());
    }
    if from.is_some_and(|from| from < oldest) {
        let detail = format!("versions below {oldest} were compacted into a snapshot");
        return Err(Problem::new(Code::Compacted, detail).with("oldest", oldest).into());
    }
    let follow = match request.query_value("follow").as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true" | "") => true,
        Some(other) => {
            return Err(Problem::new(Code::BadRequest, format!("follow is `{other}`, expected 1 or 0")).into());
        }
    };
    if follow && desk.followers >= FOLLOWERS_MAX {
        let detail = format!("{FOLLOWERS_MAX} followers are connected, that is the limit");
        return Err(Problem::new(Code::Overloaded, detail).into());
    }
    let text = |name: &str| request.query_value(name).map(std::borrow::Cow::into_owned);
    let filter = Filter { method: text("method"), type_name: text("type"), id: text("id"), since: None, until: None };
    Ok(Handled::Slot(Slot::Log(Box::new(LogStream {
        exchange,
        next: from.unwrap_or(oldest),
        to,
        left: query_number(request, "limit")?.unwrap_or(u64::MAX),
        filter,
        follow,
        sse,
        begun: None,
        busy: false,
        heard: desk.now.instant,
    }))))
}

fn list(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange, type_name: &str) -> Outcome {
    let limit = query_number(request, "limit")?;
    let after = request.query_value("after").map(std::borrow::Cow::into_owned);
    let filters: Vec<(String, String)> = request
        .query()
        .filter(|(name, _)| !matches!(&**name, "limit" | "after"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if limit.is_some_and(|limit| limit == 0 || limit > LIST_ITEMS_MAX as u64) {
        let detail = format!("limit must be 1 to {LIST_ITEMS_MAX}; without it all are listed, at one version");
        return Err(Problem::new(Code::BadRequest, detail).into());
    }
    let limit = limit.map_or(0, |limit| usize::try_from(limit).unwrap_or(LIST_ITEMS_MAX));
    let read = DataRead::Page { type_name: type_name.into(), filters, after, limit };
    data(desk, request, to, exchange, read)
}

fn data(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange, read: DataRead) -> Outcome {
    if let Some(version) = min_version(request)?.filter(|version| *version > desk.engine.applied().version) {
        let deadline = deadline(request, desk)?;
        desk.later.push(Later { to, version, deadline, read });
        return Ok(Handled::Slot(Slot::Elsewhere(exchange)));
    }
    let mut tasks = Vec::new();
    let handled = read_data(desk.engine.service(), read, exchange, to, &mut tasks);
    desk.tasks.append(&mut tasks);
    handled
}

/// A page of a list that is frozen.
pub(in crate::node) struct Search {
    listing: Listing,
    filters: Vec<(String, String)>,
    after: Option<String>,
    limit: usize,
}

impl Search {
    /// Finds it: a look-up, or a walk over all documents.
    pub(in crate::node) fn body(&self) -> Body {
        let page = self.listing.page(&pairs(&self.filters), self.after.as_deref(), self.limit);
        let items: Vec<String> = page.items.iter().map(crate::service::Found::json).collect();
        let next = page.next.map_or_else(|| "null".into(), |next| serde_json::Value::from(&*next).to_string());
        let body =
            format!("{{\"data\":{{\"items\":[{}],\"next\":{next},\"version\":{}}}}}", items.join(","), page.version);
        Body { version: Some(page.version), ..Body::json(body.into()) }
    }
}

fn pairs(filters: &[(String, String)]) -> Vec<(&str, &str)> {
    filters.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// Answers a read from the applied state, or says what must be done elsewhere for it.
pub(in crate::node) fn read_data(
    service: &dyn Service,
    read: DataRead,
    exchange: Exchange,
    to: ReplyTo,
    tasks: &mut Vec<(ReplyTo, Task)>,
) -> Outcome {
    let task = match read {
        DataRead::One { type_name, id, none_match } => {
            return one(documents(service)?, &type_name, &id, none_match.as_deref());
        }
        DataRead::Page { type_name, filters, after, limit: 0 } => {
            return Ok(Handled::Slot(Slot::Documents(Box::new(DocumentStream {
                listing: documents(service)?.listing(&type_name),
                filters,
                after: after.map(Into::into),
                exchange,
                begun: None,
                first: true,
            }))));
        }
        DataRead::Page { type_name, filters, after, limit } => {
            let listing = documents(service)?.listing(&type_name);
            let search = Search { listing, filters, after, limit };
            if !search.listing.reads_all(&pairs(&search.filters)) {
                return Ok(Handled::Body(search.body()));
            }
            Task::Page(search)
        }
        DataRead::Service { path, query } => return of_service(service, &path, &query),
        DataRead::Proxied(read) => Task::Proxied(read),
    };
    tasks.push((to, task));
    Ok(Handled::Slot(Slot::Elsewhere(exchange)))
}

fn one(documents: &Documents, type_name: &str, id: &str, none_match: Option<&str>) -> Outcome {
    let found = documents.get(type_name, id);
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no {type_name} `{id}`")))?;
    let etag = format!("\"{}\"", found.version());
    let body = if none_match == Some(&*etag) {
        Body { status: 304, etag: Some(etag), ..Body::json(Vec::new()) }
    } else {
        Body { etag: Some(etag), ..Body::json(format!("{{\"data\":{}}}", found.json()).into()) }
    };
    Ok(Handled::Body(body))
}

/// What a service in this process says.
fn of_service(service: &dyn Service, path: &str, query: &str) -> Outcome {
    let Some(reply) = service.read(path, query) else { return Err(not_served(path).into()) };
    let Reply { status, content_type, body } = reply?;
    if !(200..600).contains(&status) {
        let detail = format!("the service answered this read with status {status}, which is none");
        return Err(Problem::new(Code::Internal, detail).into());
    }
    Ok(Handled::Body(Body { status, ..Body::of(content_type, body) }))
}

fn ready(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let core = desk.engine.core();
    let mut failing = Vec::new();
    let mut check = |good: bool, name: &str, detail: String| {
        if !good {
            failing.push(json!({ "check": name, "detail": detail }));
        }
    };
    check(!desk.draining, "draining", "the node is stopping".into());
    check(!desk.engine.is_disk_full(), "disk", "the disk of the log is full".into());
    let state = core.state();
    let working = matches!(state, NodeState::Serving | NodeState::Degraded | NodeState::InSync | NodeState::CatchingUp);
    check(working, "state", format!("the node is {state}"));
    let service = status::service_state(desk.engine);
    check(service != "apply-stalled", "service", format!("the service is {service}"));
    if let Some(role) = request.query_value("role") {
        let wanted: Role =
            role.parse().map_err(|error| Problem::new(Code::BadRequest, format!("role is `{role}`: {error}")))?;
        check(wanted == core.role(), "role", format!("the node is {}", core.role()));
        if let (Role::Primary, Role::Primary, Some(coordinator)) = (wanted, core.role(), &desk.facts.coordinator) {
            let detail = "its lease is past, and no member has vouched for it since: another node may lead";
            check(coordinator.vouches(core, desk.engine.core_now()), "lease", detail.into());
        }
    }
    if let Some(max) = query_number(request, "max_lag")? {
        let lag = core.lag();
        check(lag <= max, "max_lag", format!("{lag} operations of the primary are not applied here"));
    }
    if failing.is_empty() {
        return Ok(Handled::Body(Body::data(
            &json!({ "ready": true, "role": core.role().as_str(), "state": state.as_str() }),
        )));
    }
    let names: Vec<&str> = failing.iter().filter_map(|check| check["detail"].as_str()).collect();
    let code = match failing[0]["check"].as_str() {
        Some("draining") => Code::Draining,
        Some("service") => Code::ServiceUnavailable,
        Some("state") if state == NodeState::Blocked => Code::NotEnoughReplicas,
        _ => Code::Recovering,
    };
    let mut problem = Problem::new(code, names.join("; ")).with("checks", failing);
    // Of a replica that is asked for its role, or of a full disk, the title of the code would not be true.
    problem.title = "The node is not ready".into();
    Err(problem.into())
}
