//! What each path does. One table decides path, method and right; the functions behind it are below and in
//! [`reads`], [`writes`] and [`cluster`].

mod cluster;
mod paths;
mod reads;
mod writes;

pub(super) use cluster::{operator_answer, role_body};
pub(super) use paths::Route;
pub(super) use reads::{Later, Search, read_data};
pub(super) use writes::{operation_json, problem_of, valid_body};

use std::borrow::Cow;
use std::time::Instant;

use serde_json::json;

use paths::{PATHS, fits};

use super::admission::Client;
use super::auth::{Caller, Scope, Shown, Tokens};
use super::connection::{Batch, DocumentStream, Exchange, Slot};
use super::dir::DataDir;
use super::engine::{Engine, Now, ReplyTo};
use super::event_loop::Task;
use super::metrics::Metrics;
use super::others::Record;
use super::proxy;
use super::status::Facts;
use super::streams::LogStream;
use crate::error::{Code, Problem};
use crate::http::{self, Request};
use crate::limits::REQUEST_TIMEOUT_MAX;
use crate::service::ServiceError;
use crate::types::Version;

/// What a route may look at and change.
pub(super) struct Desk<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) tokens: &'a Tokens,
    /// The token that the request has shown.
    pub(super) shown: Option<Shown>,
    /// Whose operations in flight those of the request are.
    pub(super) client: Client,
    pub(super) now: Now,
    pub(super) request_timeout: std::time::Duration,
    pub(super) draining: bool,
    /// Whether reads of paths that are not Rig's own are passed on to the service.
    pub(super) proxied: bool,
    pub(super) followers: usize,
    pub(super) facts: &'a Facts<'a>,
    pub(super) metrics: &'a Metrics,
    /// What must be done elsewhere, with the request it is for.
    pub(super) tasks: &'a mut Vec<(ReplyTo, Task)>,
    pub(super) later: &'a mut Vec<Later>,
    pub(super) dir: &'a DataDir,
}

/// What a route answers with.
pub(super) enum Handled {
    /// A complete body.
    Body(Body),
    /// The answer comes later, into this slot.
    Slot(Slot),
    /// The connection speaks the peers' protocol from now on.
    Upgrade(Exchange, Option<Record>),
}

/// A body with its status and fields.
pub(super) struct Body {
    pub(super) status: u16,
    pub(super) content_type: Cow<'static, str>,
    pub(super) etag: Option<String>,
    /// The version that was read, where that can be less than what is applied when the answer leaves.
    pub(super) version: Option<Version>,
    pub(super) bytes: Vec<u8>,
}

impl Body {
    /// `{"data": ...}` with status 200.
    pub(super) fn data(value: &impl serde::Serialize) -> Self {
        let mut bytes = b"{\"data\":".to_vec();
        serde_json::to_writer(&mut bytes, value).expect("what Rig answers is JSON");
        bytes.push(b'}');
        Self::json(bytes)
    }

    /// A finished text of JSON with status 200.
    pub(super) fn json(bytes: Vec<u8>) -> Self {
        Self::of("application/json", bytes)
    }

    /// Anything else with status 200.
    pub(super) fn of(content_type: impl Into<Cow<'static, str>>, bytes: Vec<u8>) -> Self {
        Self { status: 200, content_type: content_type.into(), etag: None, version: None, bytes }
    }
}

type Outcome = Result<Handled, RouteError>;

/// Why a route did not answer.
pub(super) enum RouteError {
    /// The client is told.
    Problem(Problem),
    /// The node ends.
    Service(ServiceError),
}

impl From<Problem> for RouteError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ServiceError> for RouteError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

/// Whether a request is answered also where there is no place for its connection: a peer's call, and those of an operator
/// who wants to know what is the matter.
pub(super) fn is_always_answered(request: &Request<'_>) -> bool {
    request.method == "GET" && matches!(request.path, "/peer" | "/status" | "/healthz" | "/readyz" | "/metrics")
}

/// Answers one request, or takes it in.
pub(super) fn handle(desk: &mut Desk<'_>, request: &Request<'_>, to: ReplyTo, exchange: Exchange) -> Outcome {
    let path = request.path;
    let open = matches!(path, "/healthz" | "/readyz");
    let caller = match desk.tokens.caller(request.only_header("Authorization")?, request.only_header("X-Api-Key")?) {
        Ok(caller) => caller,
        Err(_) if open => Caller { name: "".into(), scope: Scope::Read, shown: None },
        Err(problem) => return Err(problem.into()),
    };
    desk.shown = caller.shown;
    http::refuse_origin(request)?;
    let tells_of_itself = open || matches!(path, "/" | "/status" | "/metrics" | "/events");
    if desk.engine.core().is_failed() && !tells_of_itself {
        let detail = "the log of this node is damaged: it serves nothing until it is whole again";
        return Err(Problem::new(Code::Recovering, detail).hint("ask another node; `rig status` says more").into());
    }
    match (request.method, path) {
        ("POST", "/do") => writes::append(desk, request, to, exchange, &caller),
        ("POST", "/validate") => writes::validate(desk, request, to, exchange, &caller),
        ("GET", "/peer") => cluster::call(request, exchange, &caller),
        ("GET", "/backup") => cluster::backup(desk, request, to, exchange, &caller),
        _ if caller.scope == Scope::Peer && !open => {
            Err(Problem::new(Code::Auth, format!("the token `{}` is for peers alone", caller.name)).into())
        }
        ("POST" | "DELETE", _) => {
            let taken = cluster::change(desk, request, to, exchange, &caller);
            taken.unwrap_or_else(|| Err(not_taken(desk, request).into()))
        }
        ("GET" | "HEAD", _) => reads::read(desk, request, to, exchange),
        _ => Err(not_taken(desk, request).into()),
    }
}

/// Whether a path is one that Rig answers itself, or nobody.
fn is_own(path: &str, proxied: bool) -> bool {
    PATHS.iter().any(|(pattern, _, _)| fits(pattern, path)) || proxied && proxy::is_protocol(path)
}

/// A method that changes something, where nothing can be changed.
fn not_taken(desk: &Desk<'_>, request: &Request<'_>) -> Problem {
    let is_the_services = !is_own(request.path, desk.proxied)
        && (desk.proxied || desk.engine.service().read(request.raw_path(), request.raw_query()).is_some());
    let problem = if is_the_services {
        let (methods, detail) = ("GET, HEAD", format!("{} is the service's, and only read here", request.path));
        Problem::new(Code::MethodNotAllowed, detail).with("allow", methods)
    } else {
        not_served(request.path)
    };
    problem.hint("whatever changes something is an operation: POST /do; GET / lists what else there is")
}

/// 405 where the path exists, else 404.
fn not_served(path: &str) -> Problem {
    let known = PATHS.iter().find(|(pattern, _, _)| fits(pattern, path));
    match known {
        Some((pattern, methods, _)) => {
            Problem::new(Code::MethodNotAllowed, format!("{pattern} takes {methods}")).with("allow", *methods)
        }
        None => Problem::new(Code::NotFound, format!("there is no path {path}")).hint("GET / lists what there is"),
    }
}

fn index() -> Body {
    let paths: Vec<_> =
        PATHS.iter().map(|(path, methods, does)| json!({ "path": path, "methods": methods, "does": does })).collect();
    Body::data(&json!({ "rig": env!("CARGO_PKG_VERSION"), "paths": paths }))
}

/// When the client stops waiting.
fn deadline(request: &Request<'_>, desk: &Desk<'_>) -> Result<Instant, Problem> {
    let wait = match request.only_header("Rig-Timeout-Ms")? {
        None => desk.request_timeout,
        Some(text) => {
            let millis = number(text).ok_or_else(|| {
                Problem::new(Code::BadRequest, format!("Rig-Timeout-Ms is `{text}`, expected milliseconds"))
            })?;
            std::time::Duration::from_millis(millis).min(REQUEST_TIMEOUT_MAX)
        }
    };
    Ok(desk.now.instant + wait)
}

/// Digits only: what `parse` takes beyond them (`+3`) two readers could understand differently.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A number of the query.
fn query_number(request: &Request<'_>, name: &str) -> Result<Option<u64>, Problem> {
    match request.query_value(name) {
        None => Ok(None),
        Some(text) => match number(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::new(Code::BadRequest, format!("{name} is `{text}`, expected a number"))),
        },
    }
}
