//! `POST /do` and `POST /validate`.

use super::{Batch, Body, Desk, Exchange, Handled, Outcome, Request, Slot, deadline};
use crate::error::{Code, Problem};
use crate::http::{Media, push_number, require_json};
use crate::limits::{KEY_BYTES_MAX, METHOD_BYTES_MAX};
use crate::node::admission::Client;
use crate::node::auth::{Caller, Scope};
use crate::node::engine::{Applied, ReplyTo, Submission};
use crate::node::keys;
use crate::node::lines::Lines;
use crate::service::{Context, Resources, protocol};
use crate::types::json::{self, Envelope, JsonError};
use crate::types::{Durability, Operation, Version};

/// Lines of one batch.
const LINES_MAX: usize = 10_000;

/// `POST /do`.
pub(super) fn append(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    to: ReplyTo,
    exchange: Exchange,
    caller: &Caller,
) -> Outcome {
    may_write(caller)?;
    let media = require_json(request)?;
    let given = Given {
        client: desk.client,
        deadline: deadline(request, desk)?,
        actor: actor(request, caller)?,
        version_counts: version_counts(request)?,
    };
    let key = header_key(request)?;
    match media {
        Media::Json => {
            let mut submission = given.submission(request.body, to, key)?;
            submission.data_bytes = submission.operation.data.len();
            desk.engine.submit(submission, desk.now)?;
            Ok(Handled::Slot(Slot::Operation(exchange)))
        }
        Media::Ndjson if key.is_some() => {
            let detail = "a batch has a key for each line, in its member `key`, not one in Idempotency-Key";
            Err(Problem::new(Code::BadRequest, detail).into())
        }
        Media::Ndjson => append_batch(desk, request.body, to, exchange, &given),
    }
}

fn append_batch(desk: &mut Desk<'_>, body: &[u8], to: ReplyTo, exchange: Exchange, given: &Given) -> Outcome {
    let lines: Vec<&[u8]> = lines_of(body).filter(|line| !line.trim_ascii().is_empty()).collect();
    if lines.len() > LINES_MAX {
        let detail = format!("the batch has {} lines, the limit is {LINES_MAX}", lines.len());
        return Err(Problem::new(Code::TooLarge, detail).into());
    }
    let mut batch = Batch { exchange, lines: Lines::new(lines.len()) };
    for (index, line) in lines.into_iter().enumerate() {
        let to = ReplyTo { line: u32::try_from(index).unwrap_or(u32::MAX), ..to };
        match given.submission(line, to, None) {
            Ok(submission) => desk.engine.submit(submission, desk.now)?,
            Err(problem) => {
                let id = batch.exchange.id;
                batch.lines.put(index, |out| crate::http::problem_json(&problem, &id, out));
            }
        }
    }
    Ok(Handled::Slot(Slot::Batch(batch)))
}

fn lines_of(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', body).chain([body.len()]).map(move |end| {
        let line = &body[start..end];
        start = end + 1;
        line
    })
}

/// `POST /validate`.
pub(super) fn validate(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    to: ReplyTo,
    exchange: Exchange,
    caller: &Caller,
) -> Outcome {
    may_write(caller)?;
    require_json(request)?;
    let envelope = read_envelope(request.body)?;
    let operation = Operation::new(envelope.method, envelope.data);
    if operation.is_control() {
        return Err(Problem::new(Code::Invalid, "methods that begin with rig_ are Rig's own").into());
    }
    if desk.engine.condition().is_some() {
        let until = deadline(request, desk)?;
        desk.engine.ask_only(to, operation, until, desk.now);
        return Ok(Handled::Slot(Slot::Elsewhere(exchange)));
    }
    let service = desk.engine.service();
    let resources = service.resources(&operation)?;
    let context = Context { now: desk.now.micros, fresh_id: &uuid::Uuid::now_v7 };
    service.validate(&operation, &context)?;
    Ok(Handled::Body(valid_body(&resources, desk.engine.applied().version)))
}

/// The answer to a dry run of an operation that would be taken.
pub(in crate::node) fn valid_body(resources: &Resources, applied: Version) -> Body {
    let names: Option<Vec<&str>> = match resources {
        Resources::Alone => None,
        Resources::Keys(keys) => Some(keys.iter().map(|resource| &*resource.key).collect()),
    };
    Body::data(&serde_json::json!({ "valid": true, "resources": names, "version": applied }))
}

/// What the request says for all of its operations.
struct Given {
    client: Client,
    deadline: std::time::Instant,
    actor: Box<str>,
    version_counts: bool,
}

impl Given {
    fn submission(&self, body: &[u8], reply: ReplyTo, header_key: Option<&str>) -> Result<Submission, Problem> {
        let envelope = read_envelope(body)?;
        let key = match (header_key, envelope.key) {
            (Some(header), Some(member)) if header != &*member => {
                return Err(Problem::new(Code::BadRequest, "Idempotency-Key and the member `key` differ"));
            }
            (Some(header), _) => Some(header.into()),
            (None, member) => member,
        };
        let expect = match (self.version_counts, envelope.version) {
            (false, _) => None,
            (true, Some(version)) => Some(version),
            (true, None) => {
                let detail = "ignore-version=false needs the member `version`, a number";
                return Err(Problem::new(Code::BadRequest, detail));
            }
        };
        let operation = Operation::new(envelope.method, envelope.data);
        let request_hash = key.is_some().then(|| keys::request_hash(&operation.method, &operation.data));
        let digest = key.as_deref().map(keys::digest);
        let data_bytes = operation.data.len();
        let (client, actor, deadline) = (self.client, self.actor.clone(), self.deadline);
        Ok(Submission { reply, client, operation, key, digest, request_hash, actor, expect, deadline, data_bytes })
    }
}

pub(super) fn read_envelope(body: &[u8]) -> Result<Envelope, Problem> {
    let envelope = json::envelope(body).map_err(|error| bad_body(&error))?;
    if !is_method(&envelope.method) {
        let detail = format!("`{}` is not a method: expected [a-z][a-z0-9_]{{0,63}}", shortened(&envelope.method));
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(envelope)
}

fn bad_body(error: &JsonError) -> Problem {
    Problem::new(error.kind.code(), format!("body:{}:{}: {}", error.line, error.column, error.message))
        .with("line", error.line as u64)
        .with("column", error.column as u64)
}

fn shortened(text: &str) -> String {
    crate::types::dump::short(text, 80)
}

fn is_method(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= METHOD_BYTES_MAX
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && text.bytes().all(rest)
}

fn may_write(caller: &Caller) -> Result<(), Problem> {
    if caller.scope < Scope::Write {
        return Err(Problem::new(Code::Auth, format!("the token `{}` may read only", caller.name)));
    }
    Ok(())
}

/// The token's name, or what a trusted caller says.
fn actor(request: &Request<'_>, caller: &Caller) -> Result<Box<str>, Problem> {
    match request.only_header("X-Rig-Actor")? {
        Some(actor) if caller.scope == Scope::Admin => {
            if actor.len() > crate::limits::ACTOR_BYTES_MAX {
                return Err(Problem::new(Code::BadRequest, "X-Rig-Actor has more than 64 bytes"));
            }
            Ok(actor.into())
        }
        _ => Ok(caller.name.clone()),
    }
}

fn version_counts(request: &Request<'_>) -> Result<bool, Problem> {
    match request.query_value("ignore-version").as_deref() {
        None | Some("true" | "1") => Ok(false),
        Some("false" | "0") => Ok(true),
        Some(other) => {
            Err(Problem::new(Code::BadRequest, format!("ignore-version is `{other}`, expected true or false")))
        }
    }
}

fn header_key<'a>(request: &Request<'a>) -> Result<Option<&'a str>, Problem> {
    let Some(value) = request.only_header("Idempotency-Key")? else { return Ok(None) };
    // The draft standard writes a quoted string; most clients send the bare text.
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(value);
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::new(
            Code::BadRequest,
            format!("Idempotency-Key has {} bytes, expected 1 to {KEY_BYTES_MAX}", key.len()),
        ));
    }
    Ok(Some(key))
}

/// Appends `"data":{...}}` of an operation that is in the log, the end of its object.
pub(in crate::node) fn operation_json<'a>(
    applied: &Applied,
    durability: Durability,
    acks: impl Iterator<Item = &'a str>,
    out: &mut Vec<u8>,
) {
    let Applied { version, epoch, hash, result, replayed, .. } = applied;
    let result = result.as_deref().unwrap_or("null");
    out.extend_from_slice(b"\"data\":{\"version\":");
    push_number(out, *version);
    out.extend_from_slice(b",\"epoch\":");
    push_number(out, *epoch);
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(&hash.hex());
    out.extend_from_slice(b"\",\"durability\":\"");
    out.extend_from_slice(durability.as_str().as_bytes());
    out.extend_from_slice(b"\",\"acks\":[");
    for (index, name) in acks.enumerate() {
        out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"],\"result\":");
    out.extend_from_slice(result.as_bytes());
    out.extend_from_slice(if *replayed { b",\"replayed\":true}}" } else { b",\"replayed\":false}}" });
}

/// The problem of an operation that is in the log, and that apply found to fail.
pub(in crate::node) fn problem_of(applied: &Applied) -> Problem {
    let error = applied.result.as_deref().and_then(|result| json::get(result, "error"));
    let mut problem = match error {
        Some(error) => protocol::problem_of(applied.status, error.as_bytes()),
        None => protocol::problem_of(applied.status, b"the operation is in the log and had no effect"),
    };
    // It is decided: asking again changes nothing. And `version` is the place of the operation.
    problem.retryable = false;
    problem.extra.retain(|(name, _)| name != "version");
    problem.with("version", applied.version)
}
