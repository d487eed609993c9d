//! `rig rescue`: records that were set aside when a log was cut back to follow another primary.
//!
//! ```text
//!   old primary comes back ──► its extra records to rescue/ ──► ls, show ──► replay: to the primary, same keys
//! ```
//!
//! # Not here
//! How the files are written and read (`node::rescue`).

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ask::{order, question, word};
use super::log::line::parse;
use super::ls::second;
use super::output::Table;
use super::registry::Registry;
use super::target::NodeName;
use super::{Context, Failure, Outcome, batch, help, target, values};
use crate::client::{Client, Request, Url};
use crate::error::Exit;
use crate::http::encode;
use crate::node::dir::DataDir;
use crate::node::rescue;
use crate::types::{Kind, Record, dump, format_time};

/// Bytes of data in a table.
const SHOWN_BYTES: usize = 60;

/// List, show and replay records that were set aside
///
/// A node that comes back with records that the new primary does not have sets them aside before it follows. They
/// are never deleted by Rig. Of each is known whether it was acknowledged to a client: yes, no, or unknown.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(Ls),
    Show(Show),
    Replay(Replay),
}

/// List the rescue files of a node
///
/// Of -D, whether its node runs or not, or of the node of -N.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig rescue ls -D ./n1", "rig rescue ls -N http://10.0.0.1:7440 --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Auth])
)]
struct Ls {}

/// Show the records of a rescue file
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig rescue show -D ./n1 FILE", "rig rescue show -D ./n1 FILE --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Auth])
)]
struct Show {
    /// Its name, as `rig rescue ls` has it
    #[arg(value_name = "FILE")]
    file: String,
}

/// Send the operations of a rescue file to the primary
///
/// Each goes with the key that it had, so one that is in the log already is not done again, and neither is a second
/// replay; records without a key get one made of cluster, version and hash. Rig's own records are skipped. An
/// operation that no longer fits is rejected and told, the others go on. The exit code is 0 when every one is in
/// the log, and then the file is marked as replayed.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig rescue replay -D ./n1 FILE", "rig rescue replay -D ./n1 FILE --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Rejected, Exit::Conflict,
        Exit::Unknown, Exit::Unavailable, Exit::Auth,
    ])
)]
struct Replay {
    /// Its name, as `rig rescue ls` has it
    #[arg(value_name = "FILE")]
    file: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut source = Source::of(context)?;
    match args.command {
        Command::Ls(Ls {}) => ls(&mut source, context),
        Command::Show(Show { file }) => show(&mut source, &file, context),
        Command::Replay(Replay { file }) => replay(&mut source, &file, context),
    }
}

/// Where the files are.
enum Source {
    Directory(DataDir),
    Node(Box<Client>),
}

impl Source {
    fn of(context: &Context) -> Result<Self, Failure> {
        match context.node.as_deref().map(|node| NodeName::of(node, context)).transpose()? {
            Some(NodeName::Url(url)) => Ok(Self::Node(Box::new(client(url, context)))),
            _ => Ok(Self::Directory(target::data_dir(context)?)),
        }
    }

    fn list(&mut self, context: &Context) -> Result<Value, Failure> {
        match self {
            Self::Node(client) => question(client, "/rescue", context),
            Self::Directory(dir) => {
                let found = rescue::list(&dir.rescue()).map_err(|error| Failure::io("read", &dir.rescue(), &error))?;
                Ok(serde_json::to_value(found).expect("what Rig writes becomes JSON"))
            }
        }
    }

    /// The file's records, a line each.
    fn lines(&mut self, file: &str, context: &Context) -> Result<Vec<String>, Failure> {
        match self {
            Self::Directory(dir) => rescue::lines(&dir.rescue(), file).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => no_such_file(file),
                _ => Failure::io("read", &dir.rescue().join(file), &error),
            }),
            Self::Node(client) => {
                let deadline = std::time::Instant::now() + context.timeout();
                let response = client.get(&Request::get(path(file, "")), deadline).map_err(Failure::of_read)?;
                match response.head.status {
                    404 => Err(no_such_file(file)),
                    200 => Ok(String::from_utf8_lossy(&response.body).lines().map(str::to_owned).collect()),
                    _ => Err(response.into()),
                }
            }
        }
    }

    /// A node that leads to the primary of these records' cluster, and the name of that cluster.
    fn way(&self, context: &Context) -> Result<(Client, String), Failure> {
        let (url, cluster) = match self {
            Self::Node(node) => (Some(node.url().clone()), None),
            Self::Directory(dir) => {
                let cluster = dir.meta().cluster_id;
                let own = target::endpoint(dir).map(|(_, url)| url);
                let others = context.places.iter().flat_map(|places| Registry::new(&places.nodes).list());
                // Another cluster's primary must never get them.
                let mut same =
                    others.filter_map(|entry| entry.open()).filter(|other| other.meta().cluster_id == cluster);
                (own.or_else(|| same.find_map(|dir| Some(target::endpoint(&dir)?.1))), cluster)
            }
        };
        let url = url.ok_or_else(|| {
            Failure::new(Exit::Unreachable, "not_running", "no node of this cluster runs here: nothing was sent")
                .hint("start the node, or name one of a running node with -N URL")
        })?;
        let status = super::status::ask(&url, context)?;
        let theirs = word(&status["cluster_id"]);
        match cluster.map(|cluster| cluster.to_string()) {
            Some(ours) if ours != theirs => Err(Failure::new(
                Exit::Conflict,
                "other_cluster",
                format!("{url} belongs to cluster {theirs}, the records to {ours}: nothing was sent"),
            )),
            _ => Ok((client(url, context), theirs)),
        }
    }

    /// Notes that everything in the file is in the primary's log.
    fn was_replayed(&mut self, file: &str, context: &Context) -> Result<(), Failure> {
        let noted =
            |client: &mut Client| order(client, &Request::post(path(file, "/replayed"), "{}"), context).map(drop);
        match self {
            Self::Node(client) => noted(client),
            Self::Directory(dir) => match target::endpoint(dir) {
                Some((_, url)) => noted(&mut client(url, context)),
                None => rescue::was_replayed(&dir.rescue(), file, &format_time(values::now()))
                    .map_err(|error| Failure::io("write", &dir.rescue(), &error)),
            },
        }
    }
}

fn client(url: Url, context: &Context) -> Client {
    Client::new(url, target::options(context))
}

fn path(file: &str, behind: &str) -> String {
    let mut path = "/rescue/".to_owned();
    encode(file, &mut path);
    path + behind
}

fn no_such_file(file: &str) -> Failure {
    Failure::new(Exit::NotFound, "not_found", format!("there is no rescue file `{file}`"))
        .hint("`rig rescue ls` lists what there is")
}

fn ls(source: &mut Source, context: &Context) -> Outcome {
    let found = source.list(context)?;
    let mut table =
        Table::new(&["FILE", "NODE", "EPOCH", "VERSIONS", "RECORDS", "ANSWERED", "SET ASIDE", "REPLAYED"], &[2, 4]);
    for rescued in found.as_array().into_iter().flatten() {
        if context.out.is_json() {
            context.out.object(rescued)?;
            continue;
        }
        let known = &rescued["acknowledged"];
        let counts = [("yes", &known["yes"]), ("no", &known["no"]), ("unknown", &known["unknown"])];
        let counts: Vec<_> =
            counts.iter().filter(|(_, count)| **count != 0).map(|(word, count)| format!("{count} {word}")).collect();
        table.row([
            word(&rescued["file"]),
            word(&rescued["node"]),
            word(&rescued["epoch"]),
            format!("{}..{}", rescued["from"], rescued["to"]),
            word(&rescued["records"]),
            counts.join(", "),
            second(&word(&rescued["at"])),
            second(&word(&rescued["replayed_at"])),
        ]);
    }
    match (context.out.is_json(), table.is_empty()) {
        (true, _) => {}
        (false, true) => context.out.note("nothing was set aside"),
        (false, false) => context.out.table(&table)?,
    }
    Ok(Exit::Ok)
}

fn show(source: &mut Source, file: &str, context: &Context) -> Outcome {
    let mut table = Table::new(&["VERSION", "TIME", "EPOCH", "METHOD", "ANSWERED", "KEY", "DATA"], &[0, 2]);
    for line in source.lines(file, context)? {
        if context.out.is_json() {
            context.out.line(line)?;
            continue;
        }
        let Some((record, _)) = parse(&line) else { continue };
        let acknowledged = serde_json::from_str::<Value>(&line).map(|line| word(&line["acknowledged"]));
        table.row([
            record.version.to_string(),
            second(&format_time(record.time)),
            record.epoch.number.to_string(),
            record.operation.method.to_string(),
            acknowledged.unwrap_or_default(),
            record.key.as_deref().unwrap_or("-").to_owned(),
            dump::short(&record.operation.data, SHOWN_BYTES),
        ]);
    }
    if !table.is_empty() {
        context.out.table(&table)?;
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    /// In the log now.
    ok: u64,
    /// Of those, what was there before.
    replayed: u64,
    rejected: u64,
    unknown: u64,
    skipped: u64,
}

fn replay(source: &mut Source, file: &str, context: &Context) -> Outcome {
    let lines = source.lines(file, context)?;
    let (client, cluster) = source.way(context)?;
    let mut operations = String::new();
    for line in &lines {
        match parse(line) {
            Some((record, _)) if record.kind == Kind::Operation => operations.push_str(&operation(&record, &cluster)),
            // Rig's own records are skipped by the batch; of anything else it says what is wrong with it, and where.
            _ => operations.push_str(line),
        }
        operations.push('\n');
    }
    let (tally, stopped) = batch::send_lines(client, operations.into_bytes(), context)?;
    let (ok, replayed, skipped) = (tally.ok, tally.replayed, tally.skipped);
    let (rejected, unknown) = (tally.rejected, tally.unknown);
    if tally.exit == Exit::Ok && stopped.is_none() {
        source.was_replayed(file, context)?;
    }
    let summary = Summary { kind: "summary", ok, replayed, rejected, unknown, skipped };
    context.out.either(&summary, || {
        format!("{ok} in the log ({replayed} were before), {rejected} rejected, {unknown} unknown, {skipped} skipped\n")
    })?;
    batch::end(tally.exit, stopped, context)
}

/// A line of a batch. The key is the record's own, or one that every replay makes again.
fn operation(record: &Record, cluster: &str) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        method: &'a str,
        data: &'a RawValue,
        key: &'a str,
    }
    let hash = record.hash.to_string();
    let made = format!("rescue-{cluster}-{}-{}", record.version, hash.get(..32).unwrap_or(&hash));
    let data = RawValue::from_string(record.operation.data.to_string()).expect("the log holds JSON only");
    let line = Line { method: &record.operation.method, data: &data, key: record.key.as_deref().unwrap_or(&made) };
    serde_json::to_string(&line).expect("a plain struct becomes JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Hash, Operation};

    fn record(key: Option<&str>, hash: u8) -> Record {
        Record {
            version: 7,
            epoch: Epoch::default(),
            time: 0,
            commit_upto: 0,
            kind: Kind::Operation,
            key: key.map(Into::into),
            request_hash: None,
            actor: "".into(),
            operation: Operation::new("user_put", "{\"n\":1.50}"),
            hash: Hash([hash; 32]),
        }
    }

    #[test]
    fn an_operation_keeps_its_key_and_its_spelling_and_a_made_key_is_the_same_every_time() {
        let line = operation(&record(Some("k-1"), 1), "c");
        assert_eq!(line, r#"{"method":"user_put","data":{"n":1.50},"key":"k-1"}"#);
        let made = operation(&record(None, 1), "c");
        assert!(made.contains("\"key\":\"rescue-c-7-0101"), "{made}");
        assert_eq!(made, operation(&record(None, 1), "c"));
        assert_ne!(made, operation(&record(None, 2), "c"));
        assert_ne!(made, operation(&record(None, 1), "d"));
        let longest = format!("rescue-{}-{}-{}", "0".repeat(36), u64::MAX, "0".repeat(32));
        assert!(longest.len() <= crate::limits::KEY_BYTES_MAX, "{}", longest.len());
    }
}
