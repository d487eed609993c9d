//! `rig node`: the nodes of this machine, as background processes of this same binary.
//!
//! ```text
//!   start ──► rig serve (own process group, output to DIR/run/serve.log) ──► ready, or the end of its log
//!   stop  ──► SIGTERM to the process that holds DIR/LOCK ──► the lock is free
//! ```
//!
//! There is no daemon that watches over them: what is known is in the registry (names), in the directory
//! (`run/endpoint.json`), and in its lock, which alone says whether a node is alive.
//!
//! # Not here
//! Nodes of other machines (`status`), units of an init system.

mod logs;
mod start;
pub(super) use start::last_address;
mod stop;

use std::ffi::OsStr;
use std::path::Path;

use serde::Serialize;

use super::output::{Look, Table};
use super::registry::{Entry, Registry};
use super::{Context, Failure, Outcome, help, target, values};
use crate::error::Exit;
use crate::node::dir::{DataDir, DirError, is_name};
use crate::types::Role;

/// Start, stop and look after nodes of this machine
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(LsArgs),
    Start(start::Args),
    Stop(stop::Args),
    Logs(logs::Args),
    Forget(ForgetArgs),
}

/// List the nodes of this machine
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig node ls", "rig node ls --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure])
)]
struct LsArgs {}

/// Strike a node out of the registry
///
/// The directory stays as it is: this forgets the name only. A node that runs is not forgotten.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig node forget n1", "rig node forget n1 --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::InUse])
)]
struct ForgetArgs {
    /// The name in the registry
    #[arg(value_name = "NAME", value_parser = values::node_name)]
    name: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Ls(LsArgs {}) => ls(context),
        Command::Start(args) => start::run(args, context),
        Command::Stop(args) => stop::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Forget(args) => forget(&args.name, context),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    /// running | starting | stopped | missing
    state: &'static str,
    role: Option<Role>,
    http: Option<String>,
    pid: Option<u32>,
    started: Option<String>,
    data_dir: &'a Path,
}

impl<'a> Listed<'a> {
    fn of(entry: &'a Entry) -> Self {
        let dir = entry.open();
        let endpoint = dir.as_ref().and_then(target::endpoint);
        let state = match (&dir, &endpoint) {
            (None, _) => "missing",
            (Some(_), Some(_)) => "running",
            (Some(dir), None) if dir.is_in_use() => "starting",
            (Some(_), None) => "stopped",
        };
        let (endpoint, http) = endpoint.map(|(endpoint, url)| (endpoint, url.to_string())).unzip();
        Self {
            kind: "node",
            name: &entry.name,
            state,
            role: endpoint.as_ref().map(|endpoint| endpoint.role),
            http,
            pid: endpoint.as_ref().map(|endpoint| endpoint.pid),
            started: endpoint.map(|endpoint| endpoint.started),
            data_dir: &entry.data_dir,
        }
    }

    fn look(&self) -> Look {
        match self.state {
            "running" => Look::Good,
            "starting" => Look::Warn,
            "missing" => Look::Bad,
            _ => Look::Faint,
        }
    }
}

fn ls(context: &Context) -> Outcome {
    let entries = Registry::new(&context.places()?.nodes).list();
    let listed: Vec<_> = entries.iter().map(Listed::of).collect();
    if context.out.is_json() {
        for node in &listed {
            context.out.object(node)?;
        }
        return Ok(Exit::Ok);
    }
    if listed.is_empty() {
        context.out.note("no node is known here: `rig init` makes one");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NODE", "STATE", "ROLE", "PID", "HTTP", "DIRECTORY"], &[3]);
    for node in &listed {
        let or_dash = |text: Option<String>| (None, text.unwrap_or_else(|| "-".to_owned()));
        table.styled([
            (None, node.name.to_owned()),
            (Some(node.look()), node.state.to_owned()),
            or_dash(node.role.map(|role| role.to_string())),
            or_dash(node.pid.map(|pid| pid.to_string())),
            or_dash(node.http.clone()),
            (None, node.data_dir.display().to_string()),
        ]);
    }
    context.out.table(&table)?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Forgotten<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    data_dir: &'a Path,
}

fn forget(name: &str, context: &Context) -> Outcome {
    let registry = Registry::new(&context.places()?.nodes);
    let Some(entry) = registry.get(name) else {
        return Err(Failure::new(Exit::NotFound, "no_such_node", format!("no local node is called {name}"))
            .hint("see `rig node ls`"));
    };
    if entry.open().is_some_and(|dir| dir.is_in_use()) {
        return Err(Failure::new(Exit::InUse, "in_use", format!("node {name} is running"))
            .hint(format!("stop it first: `rig node stop {name}`")));
    }
    let nodes = &context.places()?.nodes;
    registry.forget(name).map_err(|error| Failure::io("change", nodes, &error))?;
    let object = Forgotten { kind: "forgotten", name, data_dir: &entry.data_dir };
    context
        .out
        .either(&object, || format!("forgotten  {name}  (its directory {} stays)\n", entry.data_dir.display()))?;
    Ok(Exit::Ok)
}

/// The directory that NAME|DIR means: with a slash, or as `.`, a path; else a name of the registry, else a path.
fn resolve(what: Option<&OsStr>, context: &Context) -> Result<DataDir, Failure> {
    let Some(what) = what else { return target::data_dir(context) };
    let name = what.to_str().filter(|name| is_name(name));
    let Some(name) = name else { return Ok(DataDir::open(Path::new(what))?) };
    let known = Registry::new(&context.places()?.nodes).get(name).and_then(|entry| entry.open());
    match (known, DataDir::open(Path::new(what))) {
        (Some(dir), _) | (None, Ok(dir)) => Ok(dir),
        (None, Err(error @ DirError::NotInitialised { .. })) if !Path::new(what).exists() => {
            // Neither: the message about names lists those that are known.
            Err(target::local(context, name).err().unwrap_or_else(|| error.into()))
        }
        (None, Err(error)) => Err(error.into()),
    }
}

/// The word that means this directory to the other `rig node` commands.
fn word_for(dir: &DataDir, context: &Context) -> String {
    let name = &dir.meta().name;
    let known = context.places.as_ref().and_then(|places| Registry::new(&places.nodes).get(name));
    match known {
        Some(entry) if entry.data_dir == dir.path() => name.clone(),
        _ => dir.path().display().to_string(),
    }
}

#[cfg(test)]
mod tests;
