//! `rig bench`: how many operations a second, and how long one takes.
//!
//! ```text
//!   throw-away primary and replica  ◄── clients, all in one event loop   subject, load, work
//!      answers                      ──► latency, and how it went         timeline, chart
//!      /metrics before and after    ──► syncs, batches, bytes            meters
//!      the same directory           ──► a bare append and sync loop      disk
//! ```
//!
//! The measured time is cut into rounds. Between two rounds nothing is under way, so that what the node counted
//! belongs to the operations that were answered, and with `--disk` the yardstick runs there: both see the same
//! minute of a disk whose speed changes.

mod chart;
mod disk;
mod load;
mod meters;
mod report;
mod subject;
mod timeline;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use self::disk::Disk;
use self::load::{Load, Phase, Tally, Until};
use self::meters::{Meters, each};
use self::report::Report;
use self::subject::Subject;
use self::work::Work;
use super::output::{self, Table};
use super::{Context, Failure, Outcome, help, values};
use crate::client::{Client, Request};
use crate::error::Exit;
use crate::limits::{BODY_BYTES_MAX, CLIENT_CONNECTIONS_MAX, PIPELINE_MAX};

/// The measured time is cut into so many rounds when the yardstick runs between them.
const ROUNDS: u32 = 5;
/// Documents that are there before reads are measured.
const PRELOAD: u64 = 10_000;
/// A record is the document and so much about it, when the node does not say how much it writes.
const RECORD_OVERHEAD: usize = 200;

/// Measure how fast a node is
///
/// Every operation creates a new document. By default a throw-away primary and its replica are started in mode
/// sync, measured and removed; a node that runs, named with -N or -D, is only measured with --yes, because the
/// documents stay in it.
///
/// Without --rate every client sends its next request when the last is answered. With --rate requests are due
/// at fixed times, and a request's time runs from when it was due: a node that stands still cannot hide it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig bench", "rig bench --nodes 1 --clients 1,64 --disk", "rig bench --rate 5000 --json",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Unknown, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Connections; several numbers are measured one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "16", value_parser = clap::value_parser!(u32).range(1..=CLIENT_CONNECTIONS_MAX as i64 - 8))]
    clients: Vec<u32>,
    /// How long to measure
    #[arg(long, value_name = "DURATION", value_parser = values::positive_duration, default_value = "5s")]
    duration: Duration,
    /// Measure so many operations instead
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    ops: Option<u64>,
    /// Load before the measurement begins
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "1s")]
    warm_up: Duration,
    /// Bytes of a document
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = clap::value_parser!(u32).range(work::SIZE_MIN as i64..=1 << 20))]
    size: u32,
    /// Operations in one request
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Requests under way on one connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=PIPELINE_MAX as i64))]
    pipeline: u32,
    /// Operations in a second, due at fixed times, on all connections together
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Of a hundred requests, those that read a document
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=100), conflicts_with = "batch")]
    reads: u32,
    /// Let the node check that every document's e-mail is unique
    #[arg(long)]
    unique: bool,
    /// Send operations without idempotency keys
    #[arg(long)]
    no_keys: bool,
    /// Measure a bare loop of append and fdatasync beside it
    #[arg(long)]
    disk: bool,
    /// Throw-away nodes: 2 for a primary and its replica, 1 for a node alone [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2))]
    nodes: Option<u32>,
    /// Where the throw-away nodes have their data [default: the system's place for temporary files, on a disk]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Draw latency over time, as is done on a terminal
    #[arg(long)]
    chart: bool,
    /// Measure a node that runs, and leave the documents in it
    #[arg(short, long)]
    yes: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected operations in a second, from 0.1 to 10000000".to_owned()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if args.size as usize * args.batch as usize > BODY_BYTES_MAX / 2 {
        return Err(Failure::usage("a request would be too large").hint("make --batch or --size smaller"));
    }
    let mut subject = Subject::find(&args, context)?;
    let mut reports = Vec::new();
    for clients in &args.clients {
        let report = measure(&args, *clients as usize, &mut subject, context)?;
        if context.out.is_json() {
            context.out.object(&report.object())?;
            context.out.flush()?;
        }
        reports.push(report);
    }
    let name = subject.name.clone();
    subject.stop()?;
    if context.out.is_json() { Ok(Exit::Ok) } else { show(&args, &name, &reports, context) }
}

/// What people see.
fn show(args: &Args, name: &str, reports: &[Report], context: &Context) -> Outcome {
    let out = &context.out;
    out.text(&report::headline(args, name))?;
    let mut table = Table::new(report::HEADER, &[0, 1, 2, 3, 4, 5, 6, 7]);
    reports.iter().for_each(|report| report.rows(&mut table));
    out.table(&table)?;
    if !out.is_quiet() {
        let mut table = Table::new(report::NODES_HEADER, &[0, 3, 4, 5]);
        reports.iter().for_each(|report| report.node_rows(&mut table));
        out.text("\n")?;
        out.table(&table)?;
        let over_time = args.chart || out.is_terminal();
        let width = if out.is_terminal() { output::width() } else { None };
        reports.iter().try_for_each(|report| out.text(&report.charts(over_time, width)))?;
    }
    out.text(&report::footer(reports))?;
    Ok(Exit::Ok)
}

fn measure(args: &Args, clients: usize, subject: &mut Subject, context: &Context) -> Result<Report, Failure> {
    if args.unique {
        declare_unique(subject.client(), context)?;
    }
    let work = work(args, subject);
    let phase = |until| Phase {
        until,
        pipeline: args.pipeline as usize,
        rate: args.rate.map(|rate| rate / f64::from(args.batch)),
        reads: args.reads,
    };
    let mut load = Load::open(subject.url(), subject.trust.as_ref(), subject.nodes.len(), clients, &work)?;
    let mut warm = Tally::new(None);
    if args.reads > 0 {
        load.run(&Phase { until: Until::Ops(PRELOAD), pipeline: 16, rate: None, reads: 0 }, &mut warm)?;
    }
    let start = subject.meters()?;
    if !args.warm_up.is_zero() {
        load.run(&phase(Until::Time(args.warm_up)), &mut warm)?;
    }
    let mut before = subject.meters()?;
    let mut disk = match &subject.folder {
        Some(folder) if args.disk => {
            let warm = before[0].since(&start[0]);
            let record =
                each(warm.bytes, warm.records).map_or(args.size as usize + RECORD_OVERHEAD, |bytes| bytes as usize);
            Some(Disk::new(folder, record)?)
        }
        _ => None,
    };
    let mut tally = Tally::new(args.ops.is_none().then_some(args.duration));
    let mut counted: Option<Vec<Meters>> = None;
    let rounds = if disk.is_some() { ROUNDS } else { 1 };
    for round in 0..rounds {
        let until = match args.ops {
            Some(ops) => Until::Ops(share(ops, rounds, round)),
            None => Until::Time(args.duration / rounds),
        };
        if let Some(disk) = &mut disk {
            disk.run(args.duration / rounds / 2)?;
            before = subject.meters()?;
        }
        load.run(&phase(until), &mut tally)?;
        let now = subject.meters()?;
        let since = now.iter().zip(&before).map(|(now, before)| now.since(before));
        counted = Some(match counted {
            Some(sum) => sum.iter().zip(since).map(|(sum, since)| sum.plus(&since)).collect(),
            None => since.collect(),
        });
    }
    if tally.done() == 0 {
        return Err(nothing_done(&tally));
    }
    if let Some(disk) = &mut disk {
        // Behind the last round as before each.
        disk.run(args.duration / rounds / 2)?;
    }
    Ok(Report::new(args, clients, subject, &tally, &counted.unwrap_or_default(), disk.as_ref()))
}

fn work(args: &Args, subject: &Subject) -> Work {
    let id = uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).into_bytes();
    Work::new(&work::Settings {
        host: subject.url().authority(),
        authorization: subject.token.as_ref().map(|token| format!("Bearer {token}")),
        run: u32::from_be_bytes([id[12], id[13], id[14], id[15]]),
        size: args.size as usize,
        batch: u64::from(args.batch),
        keys: !args.no_keys,
    })
}

/// The part of `ops` that belongs to one of the rounds; the parts add up.
fn share(ops: u64, rounds: u32, round: u32) -> u64 {
    let (rounds, round) = (u64::from(rounds), u64::from(round));
    ops * (round + 1) / rounds - ops * round / rounds
}

fn declare_unique(client: &mut Client, context: &Context) -> Result<(), Failure> {
    let body = format!("{{\"method\":\"schema_set\",\"data\":{{\"type\":\"{}\",\"unique\":[\"email\"]}}}}", work::TYPE);
    let deadline = std::time::Instant::now() + context.timeout();
    let answer = client.send(&Request::post("/do", body), deadline);
    let answer = answer.map_err(|error| Failure::new(Exit::Unknown, "no_answer", error.to_string()))?;
    if answer.is_success() { Ok(()) } else { Err(answer.problem().into()) }
}

fn nothing_done(tally: &Tally) -> Failure {
    let most = tally.refused.iter().max_by_key(|(_, count)| **count);
    match most {
        Some((status, count)) => {
            let exit = Exit::from_status(*status);
            Failure::new(exit, "nothing_done", format!("no operation was done: {count} were answered {status}"))
                .hint("one by hand says more: `rig apply bench_create --data '{}'`")
        }
        None => Failure::usage("nothing was measured: the time is too short"),
    }
}

#[cfg(test)]
mod tests;
