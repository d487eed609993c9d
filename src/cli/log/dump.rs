//! `rig log dump`: records as lines, for people, for programs, and for `rig apply --batch`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::line::parse;
use super::source::{self, Source, held, reader, source};
use crate::cli::ls::second;
use crate::cli::output::{Look, width};
use crate::cli::progress::Progress;
use crate::cli::{Context, Failure, Outcome, help, values};
use crate::client::{Client, Request};
use crate::error::Exit;
use crate::http::encode;
use crate::log::Held;
use crate::node::dir::DataDir;
use crate::types::dump::{self, RecordState, WithData};
use crate::types::{Filter, Micros, Record, Version, format_time};

/// How often a directory is looked at for new records.
const POLL: Duration = Duration::from_millis(100);
/// How long a node may say nothing in the middle of a feed: it sends a heartbeat every 15 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records that are asked for at once when a node's log is read backwards.
const WINDOW: u64 = 1000;
/// Bytes of data in a table where nothing says how wide it may be.
const SHOWN_BYTES: usize = 80;

/// Print records
///
/// From a data directory, whether its node runs or not, or with -N from a node. --json gives one object per record,
/// the same on every node but for `state`; `rig apply --batch` understands these lines. --type and --id give the
/// history of one document.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig log dump -r -n 10",
        "rig log dump --type user --id alice --with-data full",
        "rig log dump -N n1 --since 10m -f --json",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Corrupt, Exit::Auth,
    ])
)]
pub(super) struct Args {
    /// First version
    #[arg(long, value_name = "V", value_parser = values::version)]
    from: Option<Version>,
    /// Last version
    #[arg(long, value_name = "V", value_parser = values::version)]
    to: Option<Version>,
    /// At most so many records
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<u64>,
    /// The newest first
    #[arg(short, long, conflicts_with = "follow")]
    reverse: bool,
    /// Go on with new records as they come
    #[arg(short, long, conflicts_with = "to")]
    follow: bool,
    /// Not before this time, or so long ago, as 10m
    #[arg(long, value_name = "T", value_parser = values::moment)]
    since: Option<Micros>,
    /// Not after this time, or so long ago
    #[arg(long, value_name = "T", value_parser = values::moment)]
    until: Option<Micros>,
    /// Only these methods; * and ? stand for any characters and for one
    #[arg(long, value_name = "GLOB", value_parser = values::glob)]
    method: Option<String>,
    /// Only operations on documents of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only operations on the document with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How much of the data [default: short; with --json full]
    #[arg(long, value_name = "HOW", value_parser = ["full", "short", "none"])]
    with_data: Option<String>,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let (from, to) = super::range(args.from, args.to)?;
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since > until
    {
        return Err(Failure::usage("--since is after --until"));
    }
    let with_data = match args.with_data.as_deref() {
        Some("none") => WithData::None,
        Some("full") => WithData::Full,
        Some(_) => WithData::Short,
        None if context.out.is_json() => WithData::Full,
        None => WithData::Short,
    };
    let filter =
        Filter { method: args.method, type_name: args.kind, id: args.id, since: args.since, until: args.until };
    let mut dump = Dump {
        context,
        filter,
        with_data,
        left: args.limit.unwrap_or(u64::MAX),
        header: false,
        line: String::new(),
        width: context.out.is_terminal().then(width).flatten().map(usize::from),
        prepared: "prepared",
    };
    let wanted = Wanted { from, to, is_from_given: args.from.is_some(), reverse: args.reverse, follow: args.follow };
    match source(context)? {
        Source::Directory(dir) => dump.directory(&dir, &wanted)?,
        Source::Node(mut client) => dump.node(&mut client, &wanted)?,
    }
    Ok(Exit::Ok)
}

struct Wanted {
    from: Version,
    to: Version,
    is_from_given: bool,
    reverse: bool,
    follow: bool,
}

/// Goes on, or enough was printed.
type Step = Result<ControlFlow<()>, Failure>;

struct Dump<'a> {
    context: &'a Context,
    filter: Filter,
    with_data: WithData,
    left: u64,
    header: bool,
    line: String,
    width: Option<usize>,
    /// What a record is that is not known to be committed.
    prepared: &'static str,
}

impl Dump<'_> {
    fn directory(&mut self, dir: &DataDir, wanted: &Wanted) -> Result<(), Failure> {
        let mut by = held(dir);
        if by == Held::ByNode {
            self.prepared = "prepared, or committed since: a running node marks that with its next batch";
        }
        let mut reader = reader(dir)?;
        let oldest = reader.oldest();
        if wanted.from < oldest && (wanted.is_from_given || wanted.to < oldest) {
            let message = format!("versions below {oldest} were compacted; the oldest is {oldest}");
            return Err(Failure::new(Exit::NotFound, "compacted", message).hint(format!("use --from {oldest}")));
        }
        let from = wanted.from.max(oldest);
        if wanted.reverse {
            let committed = reader.committed();
            for record in reader.backwards(wanted.to, from) {
                let record = record?;
                let state = state(record.version, committed);
                if self.print(&record, state)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let mut next = from;
        loop {
            let (durable, committed) = (reader.durable(), reader.committed());
            let last = wanted.to.min(durable);
            let progress = Progress::new(&self.context.out, "dump", "records", Some((last + 1).saturating_sub(next)));
            if next <= last {
                for record in reader.records(next, last) {
                    let record = record?;
                    next = record.version + 1;
                    progress.add(1);
                    if self.print(&record, state(record.version, committed))?.is_break() {
                        return Ok(());
                    }
                }
            }
            if !wanted.follow {
                return Ok(());
            }
            self.context.out.flush()?;
            std::thread::sleep(POLL);
            // A node has started or stopped: what says where the log ends is another thing now.
            if held(dir) != by {
                (by, reader) = (held(dir), source::reader(dir)?);
            }
        }
    }

    fn node(&mut self, client: &mut Client, wanted: &Wanted) -> Result<(), Failure> {
        if wanted.reverse {
            return self.node_backwards(client, wanted);
        }
        let mut query = self.query();
        if wanted.is_from_given {
            query.push_str(&format!("&from={}", wanted.from));
        }
        if wanted.to < Version::MAX {
            query.push_str(&format!("&to={}", wanted.to));
        }
        if wanted.follow {
            query.push_str("&follow=1");
        }
        self.stream(client, &query, wanted.follow, |dump, line| dump.remote(line))
    }

    /// Window by window from the newest on: the feed of a node goes forwards only.
    fn node_backwards(&mut self, client: &mut Client, wanted: &Wanted) -> Result<(), Failure> {
        let mut next = newest(client, self.context)?.min(wanted.to);
        while next >= wanted.from && next > 0 && self.left > 0 {
            let from = next.saturating_sub(WINDOW - 1).max(wanted.from);
            let mut lines = Vec::new();
            let query = format!("{}&from={from}&to={next}", self.query());
            let streamed = self.stream(client, &query, false, |_, line| {
                lines.push(line.to_owned());
                Ok(ControlFlow::Continue(()))
            });
            match streamed {
                // The window begins below the oldest record, which nobody has asked for by its version.
                Err(failure) if failure.code == "compacted" && !wanted.is_from_given => {
                    let oldest = oldest(client, self.context)?;
                    if oldest > next {
                        return Ok(());
                    }
                    let window = Wanted { from: oldest, to: next, is_from_given: true, ..*wanted };
                    return self.node_backwards(client, &window);
                }
                other => other?,
            }
            for line in lines.iter().rev() {
                if self.remote(line)?.is_break() {
                    return Ok(());
                }
            }
            next = from - 1;
        }
        Ok(())
    }

    /// What the node can filter for us; time it cannot.
    fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in
            [("method", &self.filter.method), ("type", &self.filter.type_name), ("id", &self.filter.id)]
        {
            if let Some(value) = value {
                query.push('&');
                query.push_str(name);
                query.push('=');
                encode(value, &mut query);
            }
        }
        query
    }

    fn stream(
        &mut self,
        client: &mut Client,
        query: &str,
        follow: bool,
        mut each: impl FnMut(&mut Self, &str) -> Step,
    ) -> Result<(), Failure> {
        let query = query.strip_prefix('&').unwrap_or(query);
        let target = if query.is_empty() { "/log".to_owned() } else { format!("/log?{query}") };
        let mut rest = Vec::new();
        let deadline = Instant::now() + self.context.timeout();
        let pieces = |piece: &[u8]| -> Result<bool, Failure> {
            rest.extend_from_slice(piece);
            let mut begin = 0;
            while let Some(end) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                let line = std::str::from_utf8(&rest[begin..begin + end]).unwrap_or_default();
                begin += end + 1;
                if each(self, line)?.is_break() {
                    return Ok(false);
                }
            }
            rest.drain(..begin);
            if follow {
                self.context.out.flush()?;
            }
            Ok(true)
        };
        match client.stream(&Request::get(target), deadline, PATIENCE, pieces).map_err(Failure::of_read)?? {
            Some(response) => Err(response.into()),
            None => Ok(()),
        }
    }

    /// A line of the node's feed: a record, or a heartbeat.
    fn remote(&mut self, line: &str) -> Step {
        let Some((record, state)) = parse(line) else { return Ok(ControlFlow::Continue(())) };
        self.print(&record, state)
    }

    fn print(&mut self, record: &Record, state: RecordState) -> Step {
        if !self.filter.wants(record) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        self.left -= 1;
        self.line.clear();
        if self.context.out.is_json() {
            dump::line(record, state, self.with_data, &mut self.line);
        } else {
            self.row(record, state);
        }
        self.context.out.text(&self.line)?;
        Ok(if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Fixed columns: the next record may be a long time off, so widths cannot wait for it.
    fn row(&mut self, record: &Record, state: RecordState) {
        if !std::mem::replace(&mut self.header, true) {
            let head = format!(
                "{:>9}  {:<19}  {:>5}  {:<20}  {:>7}  {:<8}  {}",
                "VERSION",
                "TIME",
                "EPOCH",
                "METHOD",
                "BYTES",
                "HASH",
                if self.with_data == WithData::None { "" } else { "DATA" }
            );
            self.line.push_str(&self.context.out.look(Look::Strong, head.trim_end()));
            self.line.push('\n');
        }
        let hash = record.hash.to_string();
        let mut row = format!(
            "{:>9}  {:<19}  {:>5}  {:<20}  {:>7}  {:<8}",
            record.version,
            second(&format_time(record.time)),
            record.epoch.number,
            record.operation.method,
            record.operation.data.len(),
            hash.get(..8).unwrap_or_default(),
        );
        match self.with_data {
            WithData::None => {}
            WithData::Full => row.push_str(&format!("  {}", record.operation.data)),
            WithData::Short => {
                let room = self.width.map_or(SHOWN_BYTES, |width| width.saturating_sub(row.chars().count() + 2));
                row.push_str(&format!("  {}", dump::short(&record.operation.data, room)));
            }
        }
        let row = row.trim_end();
        match state {
            RecordState::Committed => self.line.push_str(row),
            RecordState::Prepared => {
                self.line.push_str(&self.context.out.look(Look::Warn, format!("{row}  ({})", self.prepared)))
            }
        }
        self.line.push('\n');
    }
}

fn state(version: Version, committed: Version) -> RecordState {
    if version <= committed { RecordState::Committed } else { RecordState::Prepared }
}

fn newest(client: &mut Client, context: &Context) -> Result<Version, Failure> {
    #[derive(Deserialize)]
    struct Newest {
        version: Version,
    }
    let request = Request::get("/log/commit");
    let response = client.get(&request, Instant::now() + context.timeout()).map_err(Failure::of_read)?;
    match response.head.status {
        200 => {
            let newest = response.data().and_then(|data| serde_json::from_str::<Newest>(data).ok());
            newest.map(|newest| newest.version).ok_or_else(|| Failure::bad_answer(client.url()))
        }
        404 => Ok(0),
        _ => Err(response.into()),
    }
}

fn oldest(client: &mut Client, context: &Context) -> Result<Version, Failure> {
    let status = crate::cli::status::ask(client.url(), context)?;
    status["log"]["oldest"].as_u64().ok_or_else(|| Failure::bad_answer(client.url()))
}
