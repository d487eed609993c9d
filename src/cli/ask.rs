//! One question or one order to a node, answered with the value under `data`.

use std::time::Instant;

use serde_json::Value;

use super::{Context, Failure};
use crate::client::{Client, GRACE, Request};

/// Asks, as often as it takes; nothing is changed by it.
pub(crate) fn question(client: &mut Client, target: impl Into<String>, context: &Context) -> Result<Value, Failure> {
    let deadline = Instant::now() + context.timeout() + GRACE;
    let response = client.get(&Request::get(target), deadline).map_err(Failure::of_read)?;
    if !response.is_success() {
        return Err(response.into());
    }
    value(response.data(), client)
}

/// Tells the node to do something, once. When no answer comes it may have been done.
pub(crate) fn order(client: &mut Client, request: &Request, context: &Context) -> Result<Value, Failure> {
    let response = client.send(request, Instant::now() + context.timeout() + GRACE)?;
    if !response.is_success() {
        return Err(response.into());
    }
    value(response.data(), client)
}

fn value(data: Option<&str>, client: &Client) -> Result<Value, Failure> {
    data.and_then(|data| serde_json::from_str(data).ok()).ok_or_else(|| Failure::bad_answer(client.url()))
}

/// A value as a word for people.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The words of a list, for people.
pub(crate) fn words(list: &Value, between: &str) -> String {
    list.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(between)
}
