//! `rig snapshot`: the state at one version, beside the log.
//!
//! # Not here
//! How they are written and read back (`node::snapshots`).

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::ask::{order, question, word};
use super::output::Table;
use super::progress::Progress;
use super::restore::NewNode;
use super::target::NodeName;
use super::values::show_bytes;
use super::{Context, Failure, Outcome, apply, help, restore, target};
use crate::client::Request;
use crate::error::Exit;
use crate::node::{self, NodeError};
use crate::types::Version;

/// Take, list, verify and restore snapshots
///
/// A snapshot is the state of the service and the idempotency keys at one version. It spares a start the records before
/// that version; the log is the truth. A node writes them by itself and keeps the two newest.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(Create),
    Ls(Ls),
    Verify(Verify),
    Restore(Restore),
}

/// Take a snapshot now
///
/// The node writes what is applied when it begins, while operations go on, and reads it back from the disk before it
/// answers.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig snapshot create", "rig snapshot create -N n1 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Unknown, Exit::Unavailable, Exit::Auth,
    ])
)]
struct Create {}

/// List the snapshots of a node
///
/// Of -D, whether its node runs or not, or of the node of -N.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig snapshot ls -D ./n1", "rig snapshot ls -N http://10.0.0.1:7440 --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Auth])
)]
struct Ls {}

/// Read snapshots back and check them
///
/// Of -D, whether its node runs or not. Every byte is held against its checksum, the chain hash against the log, and
/// documents are built from it. Whether the state is what the records make is shown by `rig log verify --deep`. Exit 9
/// when one cannot be relied on; the node would take the one before it, or the log.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig snapshot verify -D ./n1", "rig snapshot verify -D ./n1 1043 --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Corrupt])
)]
struct Verify {
    /// Only the snapshot of this version
    #[arg(value_name = "VERSION")]
    version: Option<Version>,
}

/// Make a data directory of a snapshot
///
/// FILE is one of snapshots/, with its keys beside it. DIR must not exist, or be empty; it appears whole or not at all, and
/// its log begins behind the snapshot: what was before cannot be audited there. What the node is then: see `rig help restore`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig snapshot restore n1/snapshots/00000000000000001043.snap ./n9",
        "rig snapshot restore n1/snapshots/00000000000000001043.snap ./then --new-cluster",
    ]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Conflict, Exit::Corrupt])
)]
struct Restore {
    /// The snapshot
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Where; missing parents are made
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    #[command(flatten)]
    node: NewNode,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Create(Create {}) => create(context),
        Command::Ls(Ls {}) => ls(context),
        Command::Verify(Verify { version }) => verify(version, context),
        Command::Restore(Restore { file, dir, node }) => restore::of_snapshot(&file, &dir, &node, context),
    }
}

fn create(context: &Context) -> Outcome {
    let taken = order(&mut apply::client_for(context)?, &Request::post("/snapshots", "{}"), context)?;
    if context.out.is_json() {
        context.out.object(&taken)?;
    } else {
        context.out.line(format_args!(
            "ok  snapshot {}  {}  {}  hash {}",
            word(&taken["version"]),
            word(&taken["file"]),
            size(&taken),
            word(&taken["hash"]),
        ))?;
    }
    Ok(Exit::Ok)
}

fn size(snapshot: &Value) -> String {
    show_bytes(snapshot["size_bytes"].as_u64().unwrap_or_default())
}

fn ls(context: &Context) -> Outcome {
    let found = match context.node.as_deref().map(|node| NodeName::of(node, context)).transpose()? {
        Some(NodeName::Url(_)) => question(&mut apply::client_for(context)?, "/snapshots", context)?,
        _ => serde_json::to_value(node::snapshots(&target::data_dir(context)?).map_err(failed)?)
            .expect("what Rig lists becomes JSON"),
    };
    let mut table = Table::new(&["VERSION", "EPOCH", "SIZE", "NEWEST RECORD", "FILE"], &[0, 1, 2]);
    for snapshot in found.as_array().into_iter().flatten() {
        if context.out.is_json() {
            context.out.object(snapshot)?;
            continue;
        }
        let names = ["version", "epoch", "size_bytes", "time", "file"];
        table.row(names.map(|name| if name == "size_bytes" { size(snapshot) } else { word(&snapshot[name]) }));
    }
    match (context.out.is_json(), table.is_empty()) {
        (true, _) => {}
        (false, true) => context.out.note("there is no snapshot yet; `rig snapshot create` takes one"),
        (false, false) => context.out.table(&table)?,
    }
    Ok(Exit::Ok)
}

fn failed(error: NodeError) -> Failure {
    Failure::new(error.exit(), "snapshot", error.to_string()).hint(error.hint())
}

#[derive(Serialize)]
struct Finding<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    severity: &'static str,
    code: &'static str,
    file: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    result: &'static str,
    snapshots: usize,
    errors: usize,
}

fn verify(version: Option<Version>, context: &Context) -> Outcome {
    let dir = target::data_dir(context)?;
    let progress = Progress::new(&context.out, "read back", "snapshots", None);
    let checked = node::verify_snapshots(&dir, version, &|done| progress.set(done)).map_err(failed)?;
    drop(progress);
    if let (Some(version), true) = (version, checked.is_empty()) {
        return Err(Failure::new(Exit::NotFound, "not_found", format!("there is no snapshot of version {version}"))
            .hint("`rig snapshot ls` lists what there is"));
    }
    let mut errors = 0;
    for snapshot in &checked {
        let file = &snapshot.file;
        match (&snapshot.found, context.out.is_json()) {
            (Ok(info), true) => context.out.object(info)?,
            (Ok(info), false) => {
                context.out.line(format_args!(
                    "ok      {file}  {}  hash {}",
                    show_bytes(info.size_bytes),
                    info.hash
                ))?;
            }
            (Err(message), true) => {
                let (kind, severity, code) = ("finding", "error", "snapshot_damaged");
                context.out.object(&Finding { kind, severity, code, file, message })?;
            }
            (Err(message), false) => context.out.line(format_args!("damaged {file}  {message}"))?,
        }
        errors += usize::from(snapshot.found.is_err());
    }
    let result = if errors == 0 { "pass" } else { "fail" };
    match context.out.is_json() {
        true => context.out.object(&Summary { kind: "summary", result, snapshots: checked.len(), errors })?,
        false => context.out.line(format_args!(
            "{}  {} snapshots, {errors} that cannot be relied on",
            result.to_uppercase(),
            checked.len()
        ))?,
    }
    Ok(if errors == 0 { Exit::Ok } else { Exit::Corrupt })
}
