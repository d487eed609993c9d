//! placeholder
use super::{Context, Outcome, help};
use crate::error::Exit;
/// Demo
#[derive(Debug, clap::Args)]
#[command(before_help = help::examples(&["rig demo", "rig demo --keep"]), after_long_help = help::exits(&[Exit::Ok]))]
pub(crate) struct Args {}
pub(crate) fn run(_: Args, _: &Context) -> Outcome {
    Ok(Exit::Ok)
}
