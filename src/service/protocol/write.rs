//! The parameters of the calls, as JSON in one line.

use super::{Asked, Committed};
use crate::types::json::quote;
use crate::types::{ClusterId, Micros, Version, format_time};

/// Of `info`.
pub(crate) fn greeting(node: &str, cluster: Option<ClusterId>) -> String {
    let mut out = String::from(r#"{"protocol":1,"node":"#);
    quote(node, &mut out);
    out.push_str(",\"cluster_id\":");
    match cluster {
        Some(cluster) => quote(&cluster.to_string(), &mut out),
        None => out.push_str("null"),
    }
    out.push('}');
    out
}

/// Of `validate`.
pub(crate) fn validate(base: Version, now: Micros, asked: &[Asked<'_>]) -> String {
    let bytes = asked.iter().map(|asked| asked.operation.data.len() + 128).sum::<usize>();
    let mut out = String::with_capacity(bytes + 128);
    out.push_str(r#"{"base_version":"#);
    out.push_str(&base.to_string());
    out.push_str(",\"time\":\"");
    out.push_str(&format_time(now));
    out.push_str("\",\"ops\":[");
    for (place, Asked { operation, key }) in asked.iter().enumerate() {
        out.push_str(if place == 0 { "{\"method\":" } else { ",{\"method\":" });
        quote(&operation.method, &mut out);
        out.push_str(",\"data\":");
        out.push_str(&operation.data);
        if let Some(key) = key {
            out.push_str(",\"idempotency_key\":");
            quote(key, &mut out);
        }
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// Of `apply`.
pub(crate) fn apply(entries: &[Committed<'_>]) -> String {
    let bytes = entries.iter().map(|entry| entry.operation.data.len() + 256).sum::<usize>();
    let mut out = String::with_capacity(bytes + 64);
    out.push_str(r#"{"from":"#);
    out.push_str(&entries.first().map_or(0, |first| first.version).to_string());
    out.push_str(",\"ops\":[");
    for (place, entry) in entries.iter().enumerate() {
        out.push_str(if place == 0 { "{\"version\":" } else { ",{\"version\":" });
        out.push_str(&entry.version.to_string());
        out.push_str(",\"epoch\":");
        out.push_str(&entry.epoch.number.to_string());
        out.push_str(",\"time\":\"");
        out.push_str(&format_time(entry.time));
        out.push_str("\",\"method\":");
        quote(&entry.operation.method, &mut out);
        out.push_str(",\"data\":");
        out.push_str(if entry.operation.is_control() { "null" } else { &entry.operation.data });
        out.push_str(",\"hash\":\"");
        out.push_str(&entry.hash.to_string());
        out.push_str("\"}");
    }
    out.push_str("]}");
    out
}

/// Of `snapshot` and `restore` by a file.
pub(crate) fn state_file(path: &str, version: Option<Version>) -> String {
    let mut out = String::from(r#"{"path":"#);
    quote(path, &mut out);
    if let Some(version) = version {
        out.push_str(",\"version\":");
        out.push_str(&version.to_string());
    }
    out.push('}');
    out
}
