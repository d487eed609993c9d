//! `rig service`: for those who put Rig under a service of their own.

mod check;

use super::{Context, Outcome};

/// Check a service of your own
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Check(args) => check::run(args, context),
    }
}
