//! The lines of a pipe: a call in each on the way there, an answer in each on the way back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::push_problem;
use super::read::status_in;
use super::{Answer, Broken, Call, quoted};
use crate::error::Problem;

/// The line of a call, with its end.
pub(crate) fn call_line(id: u64, call: Call, params: &str) -> Vec<u8> {
    [r#"{"id":"#, &id.to_string(), r#","call":""#, call.name(), r#"","params":"#, params, "}\n"].concat().into_bytes()
}

#[derive(Deserialize)]
struct AnswerLine<'a> {
    id: u64,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is there; `null` is a value like any other.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads the line of an answer: which call it is for, and what it says.
pub(crate) fn answer_line(line: &[u8]) -> Result<(u64, Answer), Broken> {
    let broken = |why: &str| Broken::new("pipe", format!("{} {why}", quoted(line)));
    let text = std::str::from_utf8(line).map_err(|_| broken("is not UTF-8"))?;
    let answer: AnswerLine<'_> =
        serde_json::from_str(text).map_err(|error| broken(&format!("is not an answer: {error}")))?;
    let (status, body) = match (answer.result, answer.error) {
        (Some(result), None) => (200, result),
        (None, Some(error)) => {
            (status_in(error.get()).filter(|status| (400..=599).contains(status)).unwrap_or(500), error)
        }
        _ => return Err(broken("has neither a result nor an error, or both")),
    };
    Ok((answer.id, Answer { status, body: body.get().into() }))
}

/// A call as it arrives at the other end.
#[derive(Deserialize)]
pub(super) struct CallLine<'a> {
    pub(super) id: u64,
    #[serde(borrow)]
    pub(super) call: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
}

/// The line that answers it, with its end.
pub(super) fn result_line(id: u64, answered: &Result<String, Problem>) -> String {
    let mut line = String::with_capacity(answered.as_ref().map_or(256, |result| result.len() + 64));
    line.push_str("{\"id\":");
    line.push_str(&id.to_string());
    match answered {
        Ok(result) => {
            line.push_str(",\"result\":");
            line.push_str(result);
        }
        Err(problem) => {
            line.push_str(",\"error\":");
            push_problem(problem, &mut line);
        }
    }
    line.push_str("}\n");
    line
}
