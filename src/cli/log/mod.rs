//! `rig log`: what is in the log, whether it is whole, and the operator's knife.

mod against;
mod compact;
mod dump;
pub(super) mod line;
mod repair;
mod source;
mod verify;

use super::{Context, Failure, Outcome};
use crate::error::{Code, Exit};
use crate::log::LogError;

/// Read, audit, repair and compact the log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Dump(dump::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Compact(compact::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Dump(args) => dump::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Repair(args) => repair::run(args, context),
        Command::Compact(args) => compact::run(&args, context),
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let (exit, code) = match &error {
            LogError::Compacted { .. } => (Exit::NotFound, Code::Compacted.as_str()),
            LogError::NotFound { .. } => (Exit::NotFound, Code::NotFound.as_str()),
            LogError::Io { op, path, source } => return Self::io(op, path, source),
            LogError::NoSpace { .. } => (Exit::Failure, Code::DiskFull.as_str()),
            error if error.is_damage() => (Exit::Corrupt, "damage"),
            _ => (Exit::Failure, "log"),
        };
        let hint = error.what_now().hint();
        Self::new(exit, code, error.to_string()).hint(hint)
    }
}

/// `--from` and `--to` as one range.
fn range(from: Option<u64>, to: Option<u64>) -> Result<(u64, u64), Failure> {
    let (from, to) = (from.unwrap_or(1), to.unwrap_or(u64::MAX));
    if from > to {
        return Err(Failure::usage(format!("--from {from} is behind --to {to}")));
    }
    Ok((from, to))
}
