//! The command line: what users type, and what they get back.
//!
//! One file per subcommand holds its arguments (a clap struct) beside the code that runs it. This file names
//! them, turns the arguments as typed into a [`Context`], and gives every failure its one form and exit code.
//!
//! ```text
//!  argv ─► Cli (clap) ─► Context ─► command::run ─► Ok(Exit) | Err(Failure) ─► three lines or one object
//! ```
//!
//! # Invariants
//! 1. stdout carries the data asked for and nothing else; all else goes to stderr.
//! 2. Every way out goes through [`Exit`]; a reader that closes stdout early is no failure.
//! 3. Nothing asks a question without a terminal.
//!
//! # Not here
//! How a request travels (`client`), what a node does (`node`).

pub mod context;
pub mod failure;
pub mod help;
pub mod output;
pub mod progress;
pub mod registry;
pub mod serve;
mod service;
mod settings;

pub mod target;
pub mod values;

mod apply;
mod ask;
mod backup;
mod batch;
mod bench;
mod completions;
mod config;
mod coordinator;
mod demo;
mod doctor;
mod events;
mod get;
mod init;
mod log;
mod logger;
mod ls;
mod man;
mod member;
mod node;
pub(crate) mod pretty;
mod promote;
mod rescue;
mod resolve;
mod restore;
mod schema;
mod scratch;
mod snapshot;
mod status;
mod wait;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use context::{Context, Global};
pub use failure::Failure;

use crate::error::Exit;

/// What every command ends with.
pub type Outcome = Result<Exit, Failure>;

/// The arguments as typed.
#[derive(Debug, Parser)]
#[command(
    name = "rig",
    version,
    about = "A durable, auditable log and two-phase-commit replication under any service",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Serve(Box<serve::Args>),
    Apply(apply::Args),
    Get(get::Args),
    Ls(ls::Args),
    Schema(schema::Args),
    Log(log::Args),
    Status(status::Args),
    Wait(wait::Args),
    Events(events::Args),
    Doctor(doctor::Args),
    Node(node::Args),
    Service(service::Args),
    Promote(promote::Args),
    Demote(promote::DemoteArgs),
    Resolve(resolve::Args),
    Member(member::Args),
    Coordinator(coordinator::Args),
    Config(config::Args),
    Rescue(rescue::Args),
    Snapshot(snapshot::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
    Help(help::Args),
}

/// The commands in the order and groups of `rig --help`.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["init", "serve", "demo"]),
    ("Write and read", &["apply", "get", "ls", "schema"]),
    ("Audit", &["log"]),
    ("Operate", &["status", "wait", "events", "doctor", "node", "snapshot", "backup", "restore"]),
    ("Replicate", &["promote", "demote", "resolve", "member", "coordinator", "config", "rescue"]),
    ("Tooling", &["service", "bench", "completions", "man", "help"]),
];

impl Command {
    fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Init(args) => init::run(args, context),
            Self::Serve(args) => serve::run(*args, context),
            Self::Apply(args) => apply::run(args, context),
            Self::Get(args) => get::run(args, context),
            Self::Ls(args) => ls::run(args, context),
            Self::Schema(args) => schema::run(args, context),
            Self::Log(args) => log::run(args, context),
            Self::Status(args) => status::run(args, context),
            Self::Wait(args) => wait::run(args, context),
            Self::Events(args) => events::run(args, context),
            Self::Doctor(args) => doctor::run(args, context),
            Self::Node(args) => node::run(args, context),
            Self::Service(args) => service::run(args, context),
            Self::Promote(args) => promote::run(args, context),
            Self::Demote(args) => promote::demote(args, context),
            Self::Resolve(args) => resolve::run(args, context),
            Self::Member(args) => member::run(args, context),
            Self::Coordinator(args) => coordinator::run(args, context),
            Self::Config(args) => config::run(args, context),
            Self::Rescue(args) => rescue::run(args, context),
            Self::Snapshot(args) => snapshot::run(args, context),
            Self::Backup(args) => backup::run(args, context),
            Self::Restore(args) => restore::run(args, context),
            Self::Demo(args) => demo::run(args, context),
            Self::Bench(args) => bench::run(args, context),
            Self::Completions(args) => completions::run(args, context),
            Self::Man(args) => man::run(args, context),
            Self::Help(args) => help::run(args, context),
        }
    }
}

/// The whole definition, with the layout of the help texts: what completions and man pages are made from.
pub fn command() -> clap::Command {
    help::lay_out(Cli::command())
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // Before clap has understood anything: in which form the caller wants to hear that it could not.
    let json = arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let parsed = command()
        .try_get_matches_from(arguments)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command())));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, json).into(),
    };
    let context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(failure) => return finish(Err(failure), json).into(),
    };
    let outcome = cli.command.run(&context);
    let flushed = context.out.flush();
    finish(outcome.and_then(|exit| flushed.map(|()| exit)), json).into()
}

fn finish(outcome: Outcome, json: bool) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            failure.report(json);
            failure.exit
        }
    }
}

/// What clap could not understand, or its help and version, which are data that was asked for.
fn refuse(error: &clap::Error, json: bool) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match error.print().and_then(|()| std::io::stdout().flush()) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failure,
                _ => Exit::Ok,
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            // Nothing is left to do if stderr is closed.
            let _ = error.print();
            Exit::Usage
        }
        _ => finish(Err(Failure::from_clap(error)), json),
    }
}

#[cfg(test)]
mod tests;
