//! `rig log compact`: records that a snapshot has leave the log.

use std::time::Duration;

use serde_json::Value;

use crate::cli::ask::{order, word};
use crate::cli::values::{self, show_bytes};
use crate::cli::{Context, Outcome, apply, help};
use crate::client::Request;
use crate::error::Exit;
use crate::limits::{COMPACT_HOLD_BYTES, COMPACT_KEEP};

/// Drop records that a snapshot has
///
/// Whole segments leave at the front, and only what is in a snapshot that was read back, and what every member in sync has
/// confirmed. For a member that is away so much of the log stays as --hold says; one that is further behind gets a snapshot
/// when it is back. The newest records are kept; with --older-than those that are younger are kept too. The chain of hashes goes on: the first segment that stays carries the hash
/// before it. What is gone can be audited no more: keep an anchor (`rig log verify --write-anchor`), or a backup.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig log compact --dry-run", "rig log compact --keep 100000 --older-than 30d"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Unknown, Exit::Unavailable, Exit::Auth,
    ])
)]
pub(super) struct Args {
    /// How many of the newest records stay at least
    #[arg(long, value_name = "N", default_value_t = COMPACT_KEEP)]
    keep: u64,
    /// Keep younger records as well, by the times in the log [default: whatever their age]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    older_than: Option<Duration>,
    /// Bytes of log that stay for a member which is not in sync [default: 1GiB]
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, default_value_t = COMPACT_HOLD_BYTES, hide_default_value = true)]
    hold: u64,
    /// Say what would go
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let age = args.older_than.map(|age| format!("&older_than_ms={}", age.as_millis())).unwrap_or_default();
    let target = format!("/log/compact?keep={}{age}&hold={}&dry_run={}", args.keep, args.hold, args.dry_run);
    let done = order(&mut apply::client_for(context)?, &Request::post(target, "{}"), context)?;
    if context.out.is_json() {
        context.out.object(&done)?;
    } else {
        tell(&done, args.dry_run, context)?;
    }
    Ok(Exit::Ok)
}

fn tell(done: &Value, dry_run: bool, context: &Context) -> Result<(), crate::cli::Failure> {
    let size = show_bytes(done["size_bytes"].as_u64().unwrap_or_default());
    let would = if dry_run { "would be gone" } else { "gone" };
    let (segments, oldest) = (word(&done["segments"]), word(&done["oldest"]));
    context.out.line(format_args!("ok  {segments} segments {would}  {size}  oldest version {oldest}"))?;
    context.out.note(format_args!("no more, because {}", word(&done["held_by"])));
    Ok(())
}
