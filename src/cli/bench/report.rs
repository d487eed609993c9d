//! What `rig bench` says at the end: a table, or one object for each number of clients.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::disk::Disk;
use super::load::{Tally, histogram};
use super::meters::{Meters, Sizes, each};
use super::subject::Subject;
use super::timeline::{Slice, Timeline};
use super::{Args, chart};
use crate::cli::output::Table;
use crate::cli::values::{show_bytes, show_duration, show_number};

pub(super) const HEADER: &[&str] =
    &["CLIENTS", "OPS", "OPS/S", "P50 us", "P90 us", "P99 us", "P99.9 us", "MAX us", "WHAT"];
pub(super) const NODES_HEADER: &[&str] = &["CLIENTS", "NODE", "ROLE", "OPS/BATCH", "SYNCS/OP", "BYTES/OP"];

/// Latencies in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    ops: u64,
    ops_per_s: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl Spread {
    fn of(ops: u64, seconds: f64, latency: &Histogram<u64>) -> Self {
        let at = |quantile| micros(latency.value_at_quantile(quantile));
        Self {
            ops,
            ops_per_s: round(ops as f64 / seconds.max(1e-9), 1),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(latency.max()),
        }
    }
}

fn micros(nanos: u64) -> u64 {
    (nanos + 500) / 1000
}

fn round(figure: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (figure * scale).round() / scale
}

/// The yardstick, and how the node stands beside it.
#[derive(Debug, Clone, Serialize)]
struct Beside {
    record_bytes: usize,
    syncs_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    /// Operations of the node for each sync of the bare loop.
    rate_ratio: f64,
    /// How much longer the node's median operation takes; negative: less long.
    p50_above_us: i64,
    /// Whether the bare loop went about as fast behind each round as before it: else the comparison says nothing.
    steady: bool,
    /// Of the slowest and of the fastest run of the bare loop, where it was not.
    range_per_s: Option<(f64, f64)>,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(super) struct Report {
    object: Object,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Object {
    #[serde(rename = "type")]
    kind: &'static str,
    node: String,
    clients: usize,
    pipeline: u32,
    batch: u32,
    size_bytes: u32,
    reads_percent: u32,
    /// Null: as fast as answers came.
    rate: Option<f64>,
    keys: bool,
    duration_s: f64,
    #[serde(flatten)]
    all: Spread,
    /// Beside one another only when both were asked for.
    writes: Option<Spread>,
    reads: Option<Spread>,
    refused: BTreeMap<u16, u64>,
    /// Of the node that got the load.
    #[serde(flatten)]
    log: Log,
    disk: Option<Beside>,
    nodes: Vec<Node>,
    over_time: Vec<Point>,
}

/// What a node wrote for the operations that were answered.
#[derive(Debug, Clone, Serialize)]
struct Log {
    ops_per_batch: Option<f64>,
    syncs_per_op: Option<f64>,
    log_bytes_per_op: Option<f64>,
    batch_sizes: Vec<Sizes>,
}

impl Log {
    fn of(counted: &Meters, written: u64) -> Self {
        let written = Some(written as f64);
        Self {
            ops_per_batch: each(counted.records, counted.batches).map(|figure| round(figure, 2)),
            syncs_per_op: each(counted.syncs, written).map(|figure| round(figure, 4)),
            log_bytes_per_op: each(counted.bytes, written).map(|figure| round(figure, 1)),
            batch_sizes: counted.batch_sizes(),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Node {
    name: String,
    role: String,
    #[serde(flatten)]
    log: Log,
}

/// One slice of the measured time; null where nothing was answered.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) at_s: f64,
    #[serde(skip)]
    pub(super) length_s: f64,
    pub(super) ops_per_s: f64,
    pub(super) p50_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
    pub(super) max_us: Option<u64>,
}

fn over_time(timeline: &Timeline) -> Vec<Point> {
    let point = |(at, length, slice): (Duration, Duration, Slice)| {
        let is_empty = slice.latency.is_empty();
        let at_quantile = |quantile| (!is_empty).then(|| micros(slice.latency.value_at_quantile(quantile)));
        Point {
            at_s: round(at.as_secs_f64(), 4),
            length_s: length.as_secs_f64(),
            ops_per_s: round(slice.ops as f64 / length.as_secs_f64().max(1e-9), 1),
            p50_us: at_quantile(0.5),
            p99_us: at_quantile(0.99),
            max_us: (!is_empty).then(|| micros(slice.latency.max())),
        }
    };
    timeline.slices().into_iter().map(point).collect()
}

impl Report {
    /// `counted`: what each node of the subject did for it.
    pub(super) fn new(
        args: &Args,
        clients: usize,
        subject: &Subject,
        tally: &Tally,
        counted: &[Meters],
        disk: Option<&Disk>,
    ) -> Self {
        let seconds = tally.timeline.elapsed().as_secs_f64();
        let mut latency = histogram();
        latency += &tally.write_latency;
        latency += &tally.read_latency;
        let all = Spread::of(tally.done(), seconds, &latency);
        let mixed = tally.written > 0 && tally.read > 0;
        let part = |ops, latency| mixed.then(|| Spread::of(ops, seconds, latency));
        let nodes = subject.nodes.iter().zip(counted).map(|(node, counted)| Node {
            name: node.name.clone(),
            role: node.role.clone(),
            log: Log::of(counted, tally.written),
        });
        let unsteady = disk.and_then(Disk::unsteady);
        let disk = disk.map(|disk| Beside {
            steady: unsteady.is_none(),
            range_per_s: unsteady.map(|(least, most)| (round(least, 1), round(most, 1))),
            record_bytes: disk.record_bytes(),
            syncs_per_s: round(disk.per_s(), 1),
            p50_us: micros(disk.latency().value_at_quantile(0.5)),
            p99_us: micros(disk.latency().value_at_quantile(0.99)),
            rate_ratio: round(tally.written as f64 / seconds.max(1e-9) / disk.per_s().max(1e-9), 3),
            p50_above_us: signed(micros(tally.write_latency.value_at_quantile(0.5)))
                - signed(micros(disk.latency().value_at_quantile(0.5))),
        });
        let object = Object {
            kind: "bench",
            node: subject.name.clone(),
            clients,
            pipeline: args.pipeline,
            batch: args.batch,
            size_bytes: args.size,
            reads_percent: args.reads,
            rate: args.rate,
            keys: !args.no_keys,
            duration_s: round(seconds, 3),
            all,
            writes: part(tally.written, &tally.write_latency),
            reads: part(tally.read, &tally.read_latency),
            refused: tally.refused.clone(),
            log: Log::of(&counted[0], tally.written),
            disk,
            nodes: nodes.collect(),
            over_time: over_time(&tally.timeline),
        };
        Self { object }
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    /// The lines of the table that belong to it.
    pub(super) fn rows(&self, table: &mut Table) {
        let object = &self.object;
        let mut row = |spread: &Spread, what: &str| {
            table.row([
                object.clients.to_string(),
                show_number(spread.ops),
                show_number(spread.ops_per_s as u64),
                show_number(spread.p50_us),
                show_number(spread.p90_us),
                show_number(spread.p99_us),
                show_number(spread.p999_us),
                show_number(spread.max_us),
                what.to_owned(),
            ]);
        };
        match (&object.writes, &object.reads) {
            (Some(writes), Some(reads)) => {
                row(writes, "writes");
                row(reads, "reads");
            }
            _ if object.reads_percent == 100 => row(&object.all, "reads"),
            _ => row(&object.all, "writes"),
        }
    }

    /// What each node wrote for it.
    pub(super) fn node_rows(&self, table: &mut Table) {
        let figure = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
        for Node { name, role, log } in &self.object.nodes {
            table.row([
                self.object.clients.to_string(),
                name.clone(),
                role.clone(),
                figure(log.ops_per_batch),
                figure(log.syncs_per_op),
                figure(log.log_bytes_per_op),
            ]);
        }
    }

    /// What is drawn below the tables.
    pub(super) fn charts(&self, over_time: bool, width: Option<u16>) -> String {
        let (object, clients) = (&self.object, clients(self.object.clients));
        let mut text = String::new();
        if !object.log.batch_sizes.is_empty() {
            let batches = chart::batches(&object.log.batch_sizes);
            write!(text, "\noperations that one sync covered, with {clients}\n{batches}")
                .expect("a string takes all text");
        }
        if over_time {
            let latency = chart::latency(&object.over_time, width);
            write!(text, "\nlatency over time, with {clients}: # to the median, : to p99\n{latency}")
                .expect("a string takes all text");
        }
        text
    }
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

fn clients(count: usize) -> String {
    if count == 1 { "1 client".to_owned() } else { format!("{count} clients") }
}

/// What was measured, in one line.
pub(super) fn headline(args: &Args, node: &str) -> String {
    let mut text = format!("{} documents", show_bytes(u64::from(args.size)));
    if args.batch > 1 {
        write!(text, ", {} in a request", args.batch).expect("a string takes all text");
    }
    if args.pipeline > 1 {
        write!(text, ", {} requests pipelined", args.pipeline).expect("a string takes all text");
    }
    match args.rate {
        Some(rate) => write!(text, ", open loop at {rate} operations/s"),
        None => write!(text, ", closed loop"),
    }
    .expect("a string takes all text");
    match args.ops {
        Some(ops) => write!(text, ", {} operations", show_number(ops)),
        None => write!(text, ", {}", show_duration(args.duration)),
    }
    .expect("a string takes all text");
    format!("{text}\n{node}\n\n")
}

/// What does not fit in the table: the yardstick, and what was refused.
pub(super) fn footer(reports: &[Report]) -> String {
    let mut text = String::new();
    for Report { object } in reports {
        if let Some(disk) = &object.disk {
            writeln!(
                text,
                "\ndisk  append+fdatasync of {} B: {}/s, p50 {} us, p99 {} us",
                disk.record_bytes,
                show_number(disk.syncs_per_s as u64),
                disk.p50_us,
                disk.p99_us,
            )
            .expect("a string takes all text");
            match disk.range_per_s {
                Some((least, most)) => writeln!(
                    text,
                    "      the disk was not steady, from {}/s to {}/s: the node is not compared with it",
                    show_number(least as u64),
                    show_number(most as u64),
                ),
                None => writeln!(
                    text,
                    "      the node with {}: {:.0} % of that rate, p50 {} us above",
                    clients(object.clients),
                    disk.rate_ratio * 100.0,
                    disk.p50_above_us,
                ),
            }
            .expect("a string takes all text");
        }
        for (status, count) in &object.refused {
            let count = show_number(*count);
            writeln!(text, "\nrefused  {count} operations with {status}, with {}", clients(object.clients))
                .expect("a string takes all text");
        }
    }
    text
}
