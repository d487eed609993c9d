//! The dump line: one record as one line of JSON, the same on every node.
//!
//! ```text
//! {"type":"record","version","epoch","owner","start","time","method","data","key","actor","size_bytes","hash","state"}
//! ```
//!
//! Auditors compare dumps of two nodes byte by byte, so everything but `state` comes from the record alone,
//! the members stand in this order, and nothing that is local to a node is ever added. `data` is the bytes of
//! the record; `key` and `actor` are null where the record has none; `size_bytes` is the length of `data`.

use std::fmt::Write;

use super::{Record, format_time};

/// Bytes of data that [`WithData::Short`] shows.
const SHORT_BYTES: usize = 64;

/// Whether the record is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// Never to be undone.
    Committed,
    /// Durable here, not decided as far as this node knows.
    Prepared,
}

impl RecordState {
    /// The word in the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Prepared => "prepared",
        }
    }
}

/// How much of the data is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WithData {
    /// All of it, byte for byte.
    Full,
    /// As much as helps a person; what is longer becomes a JSON string of its beginning.
    Short,
    /// No member `data`.
    None,
}

/// Appends the line, with its line feed.
pub fn line(record: &Record, state: RecordState, with_data: WithData, out: &mut String) {
    out.push_str("{\"type\":\"record\",\"version\":");
    number(record.version, out);
    out.push_str(",\"epoch\":");
    number(record.epoch.number, out);
    push(out, format_args!(",\"owner\":\"{}\",\"start\":{}", record.epoch.owner, record.epoch.start));
    out.push_str(",\"time\":\"");
    out.push_str(&format_time(record.time));
    out.push_str("\",\"method\":");
    string(&record.operation.method, out);
    match with_data {
        WithData::None => {}
        WithData::Short if record.operation.data.len() > SHORT_BYTES => {
            out.push_str(",\"data\":");
            string(&short(&record.operation.data, SHORT_BYTES), out);
        }
        WithData::Full | WithData::Short => {
            out.push_str(",\"data\":");
            out.push_str(&record.operation.data);
        }
    }
    out.push_str(",\"key\":");
    match &record.key {
        Some(key) => string(key, out),
        None => out.push_str("null"),
    }
    out.push_str(",\"actor\":");
    match &*record.actor {
        "" => out.push_str("null"),
        actor => string(actor, out),
    }
    out.push_str(",\"size_bytes\":");
    number(record.operation.data.len() as u64, out);
    push(out, format_args!(",\"hash\":\"{}\",\"state\":\"{}\"}}\n", record.hash, state.as_str()));
}

/// The beginning of a text in at most `bytes` bytes, whole characters, marked where something is missing.
pub fn short(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// Appends a text as a JSON string.
pub fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a string becomes JSON"));
}

fn number(number: u64, out: &mut String) {
    push(out, format_args!("{number}"));
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Hash, Kind, NodeId, Operation};

    fn record(data: &str) -> Record {
        Record {
            version: 7,
            epoch: Epoch { number: 2, owner: NodeId([0xab; 16]), start: 3 },
            time: 1_767_225_600_000_120,
            commit_upto: 6,
            kind: Kind::Operation,
            key: Some("k\"1".into()),
            request_hash: Some(Hash::default()),
            actor: "".into(),
            operation: Operation::new("user_create", data),
            hash: Hash([1; 32]),
        }
    }

    #[test]
    fn the_line_has_the_members_of_the_contract_in_its_order() {
        let mut out = String::new();
        line(&record("{\"id\":\"a\",\"n\":1.50}"), RecordState::Committed, WithData::Full, &mut out);
        let expected = concat!(
            r#"{"type":"record","version":7,"epoch":2,"owner":"abababababababababababababababab","start":3,"#,
            r#""time":"2026-01-01T00:00:00.000120Z","method":"user_create","data":{"id":"a","n":1.50},"key":"k\"1","#,
            r#""actor":null,"size_bytes":19,"hash":"0101010101010101010101010101010101010101010101010101010101010101","#,
            r#""state":"committed"}"#,
            "\n"
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn short_and_absent_data_stay_json() {
        let long = format!("\"{}\"", "\u{e9}\\\"".repeat(40));
        for with_data in [WithData::Short, WithData::None] {
            let mut out = String::new();
            line(&record(&long), RecordState::Prepared, with_data, &mut out);
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(value["size_bytes"], long.len());
            assert_eq!(value["state"], "prepared");
            match with_data {
                WithData::None => assert!(value.get("data").is_none()),
                _ => assert!(value["data"].as_str().unwrap().ends_with("...")),
            }
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(short("abc", 3), "abc");
        assert_eq!(short("abcdef", 5), "ab...");
        assert_eq!(short("\u{e9}\u{e9}\u{e9}\u{e9}", 6), "\u{e9}...");
        assert_eq!(short("\u{e9}\u{e9}", 1), "...");
    }
}
