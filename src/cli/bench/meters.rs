//! What the node itself counted: read from `/metrics` before and after.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::Failure;
use crate::client::{Client, Error, Request};
use crate::error::Exit;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The counters of the log at one moment; nothing for what this node does not count.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Meters {
    pub(super) syncs: Option<f64>,
    pub(super) batches: Option<f64>,
    pub(super) records: Option<f64>,
    pub(super) bytes: Option<f64>,
    /// Batches of at most so many operations: bounds and counts, cumulative as `/metrics` has them.
    sizes: Vec<(f64, f64)>,
}

/// Batches by how many operations a sync covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Sizes {
    pub(super) from: u64,
    /// Null: no matter how many more.
    pub(super) upto: Option<u64>,
    pub(super) batches: u64,
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

    pub(super) fn parse(text: &str) -> Self {
        let counter = |name| samples(text, name).fold(None, |sum, (_, value)| Some(sum.unwrap_or(0.0) + value));
        let bound = |labels: &str| labels.split("le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok();
        Self {
            syncs: counter("rig_log_syncs_total"),
            batches: counter("rig_log_batches_total"),
            records: counter("rig_log_records_total"),
            bytes: counter("rig_log_bytes_total"),
            sizes: samples(text, "rig_batch_ops_bucket")
                .filter_map(|(labels, count)| Some((bound(labels)?, count)))
                .collect(),
        }
    }

    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        self.with(before, |now, then| now - then)
    }

    /// This and what was counted in another stretch of time.
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, |one, two| one + two)
    }

    fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        let both = |one: Option<f64>, two: Option<f64>| Some(of(one?, two?));
        let sizes = self.sizes.iter().zip(&other.sizes).map(|((bound, one), (_, two))| (*bound, of(*one, *two)));
        Self {
            syncs: both(self.syncs, other.syncs),
            batches: both(self.batches, other.batches),
            records: both(self.records, other.records),
            bytes: both(self.bytes, other.bytes),
            sizes: sizes.collect(),
        }
    }

    /// How large the batches were, from the smallest to the largest that there was.
    pub(super) fn batch_sizes(&self) -> Vec<Sizes> {
        let (mut from, mut below) = (1, 0.0);
        let sizes = self.sizes.iter().map(|&(bound, count)| {
            let upto = bound.is_finite().then_some(bound as u64);
            let size = Sizes { from, upto, batches: (count - below) as u64 };
            (from, below) = (upto.unwrap_or(from) + 1, count);
            size
        });
        let mut sizes: Vec<_> = sizes.skip_while(|size| size.batches == 0).collect();
        while sizes.last().is_some_and(|size| size.batches == 0) {
            sizes.pop();
        }
        sizes
    }
}

/// The labels and the value of every sample of that name.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once('}')?,
            None => ("", rest),
        };
        Some((labels, rest.strip_prefix(' ')?.split_whitespace().next()?.parse().ok()?))
    })
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
        let expected = Meters { syncs: Some(12.0), batches: Some(3.0), bytes: Some(1024.0), ..Meters::default() };
        assert_eq!(meters, expected);
        let since = meters.since(&Meters { syncs: Some(2.0), ..expected });
        assert_eq!((since.syncs, since.batches, since.records), (Some(10.0), Some(0.0), None));
        assert_eq!(since.plus(&since).syncs, Some(20.0));
        assert_eq!(each(since.syncs, Some(5.0)), Some(2.0));
        assert_eq!(each(since.syncs, since.batches), None, "nothing for each of none");
    }

    #[test]
    fn batches_are_told_by_their_size_from_the_smallest_to_the_largest() {
        let page = |counts: [u32; 5]| {
            let lines = ["1", "2", "4", "8", "+Inf"].iter().zip(counts);
            let line = |(bound, count)| format!("rig_batch_ops_bucket{{le=\"{bound}\"}} {count}\n");
            Meters::parse(&lines.map(line).collect::<String>())
        };
        let size = |from, upto, batches| Sizes { from, upto, batches };
        let since = page([5, 9, 9, 10, 10]).since(&page([5, 5, 5, 5, 5]));
        assert_eq!(since.batch_sizes(), [size(2, Some(2), 4), size(3, Some(4), 0), size(5, Some(8), 1)]);
        assert_eq!(page([0, 0, 0, 0, 2]).batch_sizes(), [size(9, None, 2)]);
        assert!(Meters::parse("").batch_sizes().is_empty());
    }
}
