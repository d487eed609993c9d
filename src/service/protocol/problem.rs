//! Problems of a service, read and written.
//!
//! A problem has a status, a code, a title, a detail and whatever else its service wants to say; all of it reaches
//! the client. What is missing follows from the status.

use serde_json::{Map, Value};

use super::harmless;
use crate::error::{Code, Problem};
use crate::types::json::quote;

/// A larger one is no document for people any more: its text is cut, and its own members are left out.
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// Of a plain text.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Members that Rig writes itself, beside those that it reads.
const OURS: [&str; 5] = ["type", "status", "definite", "request_id", "error"];

/// Reads what came with this status: a problem document, or a plain text that counts as its detail.
pub(crate) fn problem_of(status: u16, body: &[u8]) -> Problem {
    let document = if body.len() > PROBLEM_BYTES_MAX { None } else { serde_json::from_slice(body).ok() };
    match document {
        Some(Value::Object(mut members)) => match members.remove("error") {
            // Many wrap it once more.
            Some(Value::Object(inner)) if !members.contains_key("detail") => from_members(status, inner),
            Some(Value::String(error)) => {
                members.entry("detail").or_insert_with(|| error.into());
                from_members(status, members)
            }
            _ => from_members(status, members),
        },
        Some(Value::String(detail)) => from_members(status, Map::from_iter([("detail".to_owned(), detail.into())])),
        _ => {
            let text = harmless(&body[..body.len().min(TEXT_BYTES_MAX)]);
            from_members(status, Map::from_iter([("detail".to_owned(), text.trim().into())]))
        }
    }
}

fn from_members(status: u16, mut members: Map<String, Value>) -> Problem {
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let (code, title, detail, hint) = (text("code"), text("title"), text("detail"), text("hint"));
    let retryable = members.remove("retryable").and_then(|value| value.as_bool());
    members.retain(|name, _| !OURS.contains(&name.as_str()));
    let code = code.unwrap_or_else(|| code_of(status).to_owned());
    let known = || Code::ALL.iter().find(|known| known.as_str() == code).map(|known| known.title());
    Problem {
        status,
        title: title.map_or_else(|| known().unwrap_or("The service refuses the operation").into(), Into::into),
        code: code.into(),
        detail: detail.unwrap_or_else(|| format!("the service says {status} and gives no reason")),
        hint: hint.unwrap_or_default().into(),
        definite: true,
        retryable: retryable.unwrap_or(matches!(status, 408 | 429 | 503)),
        extra: members.into_iter().map(|(name, value)| (name.into(), value)).collect(),
    }
}

/// The code of a problem that has none.
fn code_of(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        401 => "auth",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        409 => "conflict",
        410 => "gone",
        413 => "too_large",
        422 => "invalid",
        429 => "too_many",
        status if status < 500 => "refused",
        _ => "service_unavailable",
    }
}

/// Appends the document of a problem, as a service sends it.
pub(super) fn push_problem(problem: &Problem, out: &mut String) {
    out.push_str("{\"status\":");
    out.push_str(&problem.status.to_string());
    let texts =
        [("code", &*problem.code), ("title", &problem.title), ("detail", &problem.detail), ("hint", &problem.hint)];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        quote(text, out);
    }
    for (name, value) in &problem.extra {
        out.push(',');
        quote(name, out);
        out.push(':');
        out.push_str(&value.to_string());
    }
    out.push('}');
}
