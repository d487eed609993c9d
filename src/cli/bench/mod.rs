//! `rig bench`: how many operations a second, and how long one takes.
//!
//! ```text
//!   throw-away node (a child process)  ◄── clients, all in one event loop   load
//!      /metrics before and after       ──► syncs, batches, bytes            meters
//!      the same directory              ──► a bare append and sync loop      disk
//! ```
//!
//! The measured time is cut into rounds. Between two rounds nothing is under way, so that what the node counted
//! belongs to the operations that were answered, and with `--disk` the yardstick runs there: both see the same
//! minute of a disk whose speed changes.

mod disk;
mod load;
mod meters;
mod report;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::disk::Disk;
use self::load::{Load, Phase, Tally, Until};
use self::meters::{Meters, each};
use self::report::Report;
use self::work::Work;
use super::output::Table;
use super::scratch::{Scratch, Server, secluded, this_program};
use super::{Context, Failure, Outcome, help, target, values};
use crate::client::{Client, Options, Request, Url};
use crate::error::Exit;
use crate::limits::{BODY_BYTES_MAX, CONNECTIONS_MAX, PIPELINE_MAX};
use crate::node::dir::DataDir;

/// The measured time is cut into so many rounds when the yardstick runs between them.
const ROUNDS: u32 = 5;
/// Documents that are there before reads are measured.
const PRELOAD: u64 = 10_000;
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A record is the document and so much about it, when the node does not say how much it writes.
const RECORD_OVERHEAD: usize = 200;

/// Measure how fast a node is
///
/// Every operation creates a new document. By default a throw-away node is started, measured and removed; a
/// node that runs, named with -N or -D, is only measured with --yes, because the documents stay in it.
///
/// Without --rate every client sends its next request when the last is answered. With --rate requests are due
/// at fixed times, and a request's time runs from when it was due: a node that stands still cannot hide it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    before_help = help::examples(&["rig bench", "rig bench --clients 1,64 --disk", "rig bench --rate 5000 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Unknown, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Connections; several numbers are measured one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "16", value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX as i64 - 8))]
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
    /// Where the throw-away node has its data [default: the system's place for temporary files, on a disk]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
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

/// The node that is measured.
struct Subject {
    url: Url,
    /// Where its log is, when that is on this machine.
    folder: Option<PathBuf>,
    /// As it is shown.
    name: String,
    token: Option<String>,
    /// Dropped in this order: first the process, then its directory.
    server: Option<Server>,
    _scratch: Option<Scratch>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if args.size as usize * args.batch as usize > BODY_BYTES_MAX / 2 {
        return Err(Failure::usage("a request would be too large").hint("make --batch or --size smaller"));
    }
    let subject = Subject::find(&args, context)?;
    if args.disk && subject.folder.is_none() {
        return Err(Failure::usage("--disk measures the disk of the node, which is not on this machine"));
    }
    let mut table = Table::new(report::HEADER, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut reports = Vec::new();
    for clients in &args.clients {
        let report = measure(&args, *clients as usize, &subject, context)?;
        if context.out.is_json() {
            context.out.object(&report.object())?;
            context.out.flush()?;
        }
        reports.push(report);
    }
    if let Some(server) = subject.server {
        server.stop()?;
    }
    if context.out.is_json() {
        return Ok(Exit::Ok);
    }
    context.out.text(&report::headline(&args, &subject.name))?;
    for report in &reports {
        report.rows(&mut table);
    }
    context.out.table(&table)?;
    context.out.text(&report::footer(&reports))?;
    Ok(Exit::Ok)
}

impl Subject {
    fn find(args: &Args, context: &Context) -> Result<Self, Failure> {
        if context.node.is_none() && context.data_dir.is_none() {
            return Self::throw_away(args, context);
        }
        let target = target::node(context)?;
        if !args.yes {
            let message = format!("the documents would stay in the node at {}", target.url);
            return Err(Failure::new(Exit::Usage, "not_confirmed", message)
                .hint("add --yes to measure it, or leave out -N and -D to measure a throw-away node"));
        }
        Ok(Self {
            name: target.url.to_string(),
            url: target.url,
            folder: target.dir.map(|dir| dir.run()),
            token: context.token.clone(),
            server: None,
            _scratch: None,
        })
    }

    fn throw_away(args: &Args, context: &Context) -> Result<Self, Failure> {
        let place = match &args.dir {
            Some(dir) => dir.clone(),
            None => place_on_disk(),
        };
        if in_memory(&place) {
            context.out.note(format_args!("{} is in memory: syncs cost nothing there, see --dir", place.display()));
        }
        let scratch = Scratch::new("bench", &place)?;
        let dir = DataDir::init(&scratch.path().join("n1"), "n1")?;
        let mut command = secluded(&this_program()?, scratch.path());
        command.arg("serve").arg("-D").arg(dir.path()).args(["--role", "primary", "--listen", "127.0.0.1:0", "--json"]);
        let is_ready = |line: &str| line.contains("\"ready\"");
        let log = scratch.path().join("serve.log");
        let (server, said) = Server::start(command, &log, START_PATIENCE, is_ready)?;
        let url = said.last().and_then(|line| http_of(line)).ok_or_else(|| {
            Failure::new(Exit::Failure, "not_ready", format!("the throw-away node said {:?}", said.last()))
        })?;
        let name = format!("a throw-away node in {}", place.display());
        Ok(Self { url, folder: Some(dir.run()), name, token: None, server: Some(server), _scratch: Some(scratch) })
    }

    fn client(&self) -> Client {
        Client::new(self.url.clone(), Options { token: self.token.clone(), ..Options::default() })
    }
}

/// The address in the line with which a node says that it is ready.
fn http_of(line: &str) -> Option<Url> {
    #[derive(serde::Deserialize)]
    struct Ready {
        http: String,
    }
    serde_json::from_str::<Ready>(line).ok().and_then(|ready| Url::parse(&ready.http).ok())
}

/// Where temporary files are, on a disk if there is one: many systems keep `/tmp` in memory.
fn place_on_disk() -> PathBuf {
    let first = std::env::temp_dir();
    let other = Path::new("/var/tmp");
    if in_memory(&first) && other.is_dir() && !in_memory(other) { other.to_owned() } else { first }
}

fn in_memory(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: u64 = 0x0102_1994;
        rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

fn measure(args: &Args, clients: usize, subject: &Subject, context: &Context) -> Result<Report, Failure> {
    let mut client = subject.client();
    if args.unique {
        declare_unique(&mut client, context)?;
    }
    let id = uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).into_bytes();
    let work = Work {
        host: subject.url.authority(),
        authorization: subject.token.as_ref().map(|token| format!("Bearer {token}")),
        run: u32::from_be_bytes([id[12], id[13], id[14], id[15]]),
        size: args.size as usize,
        batch: u64::from(args.batch),
        keys: !args.no_keys,
    };
    let phase = |until| Phase {
        until,
        pipeline: args.pipeline as usize,
        rate: args.rate.map(|rate| rate / f64::from(args.batch)),
        reads: args.reads,
    };
    let mut load = Load::open(&subject.url, clients, &work)?;
    if args.reads > 0 {
        load.run(&Phase { until: Until::Ops(PRELOAD), pipeline: 16, rate: None, reads: 0 })?;
    }
    let start = Meters::read(&mut client)?;
    if !args.warm_up.is_zero() {
        load.run(&phase(Until::Time(args.warm_up)))?;
    }
    let mut before = Meters::read(&mut client)?;
    let warm = before.since(start);
    let mut disk = match &subject.folder {
        Some(folder) if args.disk => {
            let record = each(warm.bytes, warm.records).map_or(work.size + RECORD_OVERHEAD, |bytes| bytes as usize);
            Some(Disk::new(folder, record)?)
        }
        _ => None,
    };
    let (mut tally, mut counted) = (Tally::new(), None);
    let rounds = if disk.is_some() { ROUNDS } else { 1 };
    for round in 0..rounds {
        let until = match args.ops {
            Some(ops) => Until::Ops(share(ops, rounds, round)),
            None => Until::Time(args.duration / rounds),
        };
        if let Some(disk) = &mut disk {
            disk.run(args.duration / rounds / 2)?;
            before = Meters::read(&mut client)?;
        }
        tally.add(&load.run(&phase(until))?);
        let since = Meters::read(&mut client)?.since(before);
        counted = Some(counted.map_or(since, |sum: Meters| sum.plus(since)));
    }
    if tally.done() == 0 {
        return Err(nothing_done(&tally));
    }
    Ok(Report::new(args, clients, &subject.name, tally, counted.unwrap_or_default(), disk.as_ref()))
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
