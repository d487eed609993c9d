//! What the node itself counted: read from `/metrics` before and after.

use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::client::{Client, Error, Request};
use crate::error::Exit;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The counters of the log at one moment; nothing for what this node does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Meters {
    pub(super) syncs: Option<f64>,
    pub(super) batches: Option<f64>,
    pub(super) records: Option<f64>,
    pub(super) bytes: Option<f64>,
}

impl Meters {
    pub(super) fn read(client: &mut Client) -> Result<Self, Failure> {
        let answer = client.get(&Request::get("/metrics"), Instant::now() + TIMEOUT).map_err(|error| {
            let exit = if matches!(error, Error::Unreachable { .. }) { Exit::Unreachable } else { Exit::Failure };
            Failure::new(exit, "no_answer", error.to_string())
        })?;
        if !answer.is_success() {
            return Err(answer.problem().into());
        }
        Ok(Self::parse(&String::from_utf8_lossy(&answer.body)))
    }

    fn parse(text: &str) -> Self {
        let counter = |name: &str| {
            let values = text.lines().filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let rest = match rest.strip_prefix('{') {
                    Some(labels) => labels.split_once('}')?.1,
                    None => rest,
                };
                rest.strip_prefix(' ')?.split_whitespace().next()?.parse::<f64>().ok()
            });
            values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
        };
        Self {
            syncs: counter("rig_log_syncs_total"),
            batches: counter("rig_log_batches_total"),
            records: counter("rig_log_records_total"),
            bytes: counter("rig_log_bytes_total"),
        }
    }

    /// What was counted since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        let less = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            syncs: less(self.syncs, before.syncs),
            batches: less(self.batches, before.batches),
            records: less(self.records, before.records),
            bytes: less(self.bytes, before.bytes),
        }
    }

    /// This and what was counted in another stretch of time.
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |one: Option<f64>, two: Option<f64>| Some(one? + two?);
        Self {
            syncs: sum(self.syncs, other.syncs),
            batches: sum(self.batches, other.batches),
            records: sum(self.records, other.records),
            bytes: sum(self.bytes, other.bytes),
        }
    }
}

/// One figure for each of another, if both were counted.
pub(super) fn each(figure: Option<f64>, of: Option<f64>) -> Option<f64> {
    of.filter(|of| *of > 0.0).and_then(|of| Some(figure? / of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_with_and_without_labels() {
        let text = "# HELP rig_log_syncs_total Syncs.\n# TYPE rig_log_syncs_total counter\nrig_log_syncs_total 12\n\
                    rig_log_syncs_total_more 5\nrig_log_batches_total{node=\"n1\"} 3 1700000000\n\
                    rig_log_bytes_total{a=\"x\"} 1e3\nrig_log_bytes_total{a=\"y\"} 24\n";
        let meters = Meters::parse(text);
        let expected = Meters { syncs: Some(12.0), batches: Some(3.0), records: None, bytes: Some(1024.0) };
        assert_eq!(meters, expected);
        let since = meters.since(Meters { syncs: Some(2.0), ..expected });
        assert_eq!((since.syncs, since.batches, since.records), (Some(10.0), Some(0.0), None));
        assert_eq!(since.plus(since).syncs, Some(20.0));
        assert_eq!(each(since.syncs, Some(5.0)), Some(2.0));
        assert_eq!(each(since.syncs, since.batches), None, "nothing for each of none");
    }
}
