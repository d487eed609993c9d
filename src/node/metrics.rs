//! What happened, in numbers: the Prometheus text format, version 0.0.4.

use std::fmt::Write;
use std::time::Duration;

use super::routes::Route;

/// Upper bounds of times, in seconds.
pub(super) const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003_2, 0.006_4, 0.012_8, 0.05, 0.2, 1.0, 5.0, 30.0];
/// Upper bounds of batch sizes, in operations.
const OPERATIONS: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// A histogram with fixed bounds.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: [f64; N],
    counts: [u64; N],
    sum: f64,
    count: u64,
}

impl<const N: usize> Histogram<N> {
    /// No observations yet.
    pub(super) fn new(bounds: [f64; N]) -> Self {
        Self { bounds, counts: [0; N], sum: 0.0, count: 0 }
    }

    /// One more observation.
    pub(super) fn observe(&mut self, value: f64) {
        if let Some(place) = self.bounds.iter().position(|bound| value <= *bound) {
            self.counts[place] += 1;
        }
        self.sum += value;
        self.count += 1;
    }

    /// How many observations there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Counters that no other part keeps.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) fsync_seconds: Histogram<14>,
    pub(super) batch_ops: Histogram<12>,
    pub(super) log_bytes: u64,
    pub(super) log_records: u64,
    /// Answers by route, and by the hundred of their status.
    pub(super) answers: [[u64; 6]; Route::COUNT],
    pub(super) connections: usize,
    pub(super) accepted: u64,
    pub(super) refused_connections: u64,
    pub(super) snapshots: u64,
    pub(super) snapshot_failures: u64,
    pub(super) snapshot_bytes: u64,
    pub(super) snapshot_sent_bytes: u64,
    pub(super) snapshot_received_bytes: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            fsync_seconds: Histogram::new(SECONDS),
            batch_ops: Histogram::new(OPERATIONS),
            log_bytes: 0,
            log_records: 0,
            answers: [[0; 6]; Route::COUNT],
            connections: 0,
            accepted: 0,
            refused_connections: 0,
            snapshots: 0,
            snapshot_failures: 0,
            snapshot_bytes: 0,
            snapshot_sent_bytes: 0,
            snapshot_received_bytes: 0,
        }
    }
}

impl Metrics {
    /// A batch was synced.
    pub(super) fn synced(&mut self, records: usize, bytes: usize, took: Duration) {
        self.batch_ops.observe(records as f64);
        self.fsync_seconds.observe(took.as_secs_f64());
        self.log_bytes += bytes as u64;
        self.log_records += records as u64;
    }

    /// An answer was given.
    pub(super) fn answered(&mut self, route: Route, status: u16) {
        self.answers[route.place()][usize::from(status / 100).min(5)] += 1;
    }

    /// What the counts of answers are told apart by, and each that is not zero.
    pub(super) fn answers(&self) -> impl Iterator<Item = (String, f64)> {
        let named = Route::names()
            .zip(&self.answers)
            .flat_map(|(path, counts)| counts.iter().enumerate().map(move |(class, count)| (path, class, *count)));
        let counted = named.filter(|(.., count)| *count > 0);
        counted.map(|(path, class, count)| (format!("path=\"{path}\",status=\"{class}xx\""), count as f64))
    }
}

/// Text in the exposition format: `HELP` and `TYPE` once for each name, then its samples.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// A number that only grows; its name ends in `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, "", value as f64);
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    /// Several samples of one name, each with its labels as the format has them: `a="1",b="2"`.
    pub(super) fn samples(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, f64)>,
    ) {
        self.family(name, kind, help);
        for (labels, sample) in samples {
            self.sample(name, &format!("{{{labels}}}"), sample);
        }
    }

    /// Several samples of one name, told apart by one label.
    pub(super) fn labelled(&mut self, name: &str, kind: &str, help: &str, label: &str, samples: &[(&str, f64)]) {
        self.family(name, kind, help);
        for (value, sample) in samples {
            self.sample(name, &format!("{{{label}=\"{value}\"}}"), *sample);
        }
    }

    /// A histogram, cumulative as the format wants it.
    pub(super) fn histogram<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>) {
        self.family(name, "histogram", help);
        let mut sum = 0;
        for (bound, count) in histogram.bounds.iter().zip(histogram.counts) {
            sum += count;
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), sum as f64);
        }
        self.sample(&format!("{name}_bucket"), "{le=\"+Inf\"}", histogram.count as f64);
        self.sample(&format!("{name}_sum"), "", histogram.sum);
        self.sample(&format!("{name}_count"), "", histogram.count as f64);
    }

    /// The text.
    pub(super) fn finish(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        self.push(format_args!("{name}{labels} {value}\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_counts_what_is_over_its_last_bound() {
        let mut histogram = Histogram::new(OPERATIONS);
        [1.0, 3.0, 4.0, 9999.0].iter().for_each(|value| histogram.observe(*value));
        let mut text = Exposition::default();
        text.histogram("x", "help", &histogram);
        let text = String::from_utf8(text.finish()).unwrap();
        for line in
            ["x_bucket{le=\"1\"} 1", "x_bucket{le=\"4\"} 3", "x_bucket{le=\"4096\"} 3", "x_bucket{le=\"+Inf\"} 4"]
        {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.contains("x_sum 10007\nx_count 4\n"));
    }
}
