//! `rig events`: what happened on a node and in its cluster.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::ask::word;
use super::ls::second;
use super::output::Look;
use super::{Context, Failure, Outcome, apply, help};
use crate::client::{Client, Error, Request};
use crate::error::Exit;

/// The node says something at least this often while it is followed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before a node that was lost is called again.
const PAUSE: Duration = Duration::from_millis(500);

/// Show what happened on a node and in its cluster
///
/// Who left the in-sync set and came back, who became primary, which records were set aside. A node keeps its newest
/// events in memory, numbered from its start. Behind them come lines of what is there now (exists): the node and each
/// other member; later lines (change, gone) say how one is since then. With --follow new ones are shown as they come, also across a restart
/// of the node, and Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig events", "rig events --follow --json -N n2"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Auth])
)]
pub(crate) struct Args {
    /// Go on when the node says more
    #[arg(short, long)]
    follow: bool,
    /// Only those with a higher number
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut client = apply::client_for(context)?;
    let (mut after, mut begun) = (args.after, false);
    loop {
        match read(&mut client, &mut after, args.follow, context) {
            Ok(()) if !args.follow => return Ok(Exit::Ok),
            Ok(()) => begun = true,
            // It was there, so it may come back.
            Err(failure) if begun && failure.exit == Exit::Unreachable => {}
            Err(failure) => return Err(failure),
        }
        std::thread::sleep(PAUSE);
        client = match apply::client_for(context) {
            Ok(found) => found,
            Err(_) => client,
        };
    }
}

fn read(client: &mut Client, after: &mut u64, follow: bool, context: &Context) -> Result<(), Failure> {
    let target = format!("/events?after={after}{}", if follow { "&follow=1" } else { "" });
    let mut rest = Vec::new();
    let each = |piece: &[u8]| {
        rest.extend_from_slice(piece);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            if let Ok(event) = serde_json::from_slice::<Value>(line)
                && let Some(kind) = event["type"].as_str()
                && kind != "heartbeat"
            {
                if !kind.starts_with("exists") {
                    *after = event["seq"].as_u64().unwrap_or(*after);
                }
                show(&event, line, context)?;
            }
        }
        context.out.flush()?;
        Ok::<_, Failure>(true)
    };
    match client.stream(&Request::get(target), Instant::now() + context.timeout(), PATIENCE, each) {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(response))) => Err(response.into()),
        Ok(Err(failure)) => Err(failure),
        // A restarted node counts from 1 again.
        Err(Error::Unknown { .. }) if follow => {
            *after = 0;
            Ok(())
        }
        Err(error) => Err(Failure::of_read(error)),
    }
}

fn show(event: &Value, line: &[u8], context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if out.is_json() {
        return out.line(String::from_utf8_lossy(line));
    }
    let name = word(&event["event"]);
    if name == "exists-end" {
        return Ok(());
    }
    let look = match name.as_str() {
        "in-sync" | "promoted" | "member-added" | "log-format" | "repaired" => Look::Good,
        "split-brain" | "diverged" | "damage" => Look::Bad,
        "exists" | "change" | "gone" => Look::Faint,
        _ => Look::Warn,
    };
    let facts = event.as_object().into_iter().flatten();
    let facts: Vec<_> = facts
        .filter(|(name, _)| !["type", "seq", "time", "node", "event"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name} {}", word(value)))
        .collect();
    let time = second(&word(&event["time"]));
    out.line(format_args!(
        "{time}  {}  {}{}{}",
        word(&event["node"]),
        out.look(look, &name),
        if facts.is_empty() { "" } else { "  " },
        facts.join("  "),
    ))
}
