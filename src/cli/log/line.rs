//! Reading a dump line back, as a node sends it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::types::dump::RecordState;
use crate::types::{Epoch, Hash, Kind, NodeId, Operation, Record, Version, parse_time};

/// Reads a dump line back; nothing for a line that is no record.
pub(in crate::cli) fn parse(line: &str) -> Option<(Record, RecordState)> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        version: Version,
        epoch: u64,
        owner: NodeId,
        start: u64,
        time: String,
        method: String,
        #[serde(borrow)]
        data: &'a RawValue,
        key: Option<String>,
        actor: Option<String>,
        hash: Hash,
        state: RecordState,
    }
    let line: Line<'_> = serde_json::from_str(line).ok().filter(|line: &Line<'_>| line.kind == "record")?;
    let kind = if line.method.starts_with("rig_") { Kind::Control } else { Kind::Operation };
    let record = Record {
        version: line.version,
        epoch: Epoch { number: line.epoch, owner: line.owner, start: line.start },
        time: parse_time(&line.time)?,
        commit_upto: 0,
        kind,
        key: line.key.map(Into::into),
        request_hash: None,
        actor: line.actor.unwrap_or_default().into(),
        operation: Operation::new(line.method, line.data.get()),
        hash: line.hash,
    };
    Some((record, line.state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dump::{self, WithData};

    #[test]
    fn a_line_of_a_node_becomes_the_same_line_again() {
        let record = Record {
            version: 7,
            epoch: Epoch { number: 2, owner: NodeId([3; 16]), start: 1 },
            time: 1_767_225_600_000_120,
            commit_upto: 0,
            kind: Kind::Operation,
            key: Some("k\u{e9}\"".into()),
            request_hash: None,
            actor: "".into(),
            operation: Operation::new("user_put", "{\"id\":\"a\\u00e9\",\"n\":1.50}"),
            hash: Hash([9; 32]),
        };
        let mut line = String::new();
        dump::line(&record, RecordState::Committed, WithData::Full, &mut line);
        let (parsed, state) = parse(line.trim_end()).unwrap();
        assert_eq!((&parsed, state), (&record, RecordState::Committed));
        let mut again = String::new();
        dump::line(&parsed, state, WithData::Full, &mut again);
        assert_eq!(line, again);
        assert!(parse("{\"type\":\"heartbeat\",\"head\":7}").is_none() && parse("").is_none());
    }
}
