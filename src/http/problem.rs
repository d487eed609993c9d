//! A problem as a document: `application/problem+json` (RFC 9457) with the contract's members in its order.

use crate::error::Problem;
use crate::types::json::quote;

/// Appends the document; members of `extra` follow the contract's own.
pub fn problem_json(problem: &Problem, request_id: &str, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(256 + 2 * problem.detail.len() + problem.hint.len());
    text.push_str("{\"type\":");
    quote(&format!("urn:rig:problem:{}", problem.code), &mut text);
    let mut member = |name: &str, value: &str| {
        text.push_str(",\"");
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    };
    let quoted = |value: &str| {
        let mut text = String::with_capacity(value.len() + 2);
        quote(value, &mut text);
        text
    };
    let detail = quoted(&problem.detail);
    member("title", &quoted(&problem.title));
    member("status", &problem.status.to_string());
    member("detail", &detail);
    member("code", &quoted(&problem.code));
    member("definite", if problem.definite { "true" } else { "false" });
    member("retryable", if problem.retryable { "true" } else { "false" });
    member("hint", &quoted(&problem.hint));
    member("request_id", &quoted(request_id));
    member("error", &detail);
    for (name, value) in &problem.extra {
        member(name, &value.to_string());
    }
    text.push('}');
    out.extend_from_slice(text.as_bytes());
}
