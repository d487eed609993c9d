//! `rig wait`: until a node is as it should be.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Context, Failure, Outcome, help, status, values};
use crate::error::Exit;
use crate::types::{Role, Version};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Wait until a node is as it should be
///
/// ready: it can do its job. in-sync: a replica is in the in-sync set; of a primary, every peer is. role=primary,
/// role=replica: it has that role. version=V: it has applied that version. A node that does not run yet is waited
/// for. When the time of --timeout is up, the exit code is 12.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig wait ready", "rig wait version=1043 n2 --timeout 10s"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Auth, Exit::Degraded])
)]
pub(crate) struct Args {
    /// ready, in-sync, role=primary, role=replica or version=V
    #[arg(value_name = "CONDITION", value_parser = condition)]
    condition: Condition,
    /// Name or URL
    // Not `node`: that is the global flag.
    #[arg(value_name = "NODE")]
    which: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Ready,
    InSync,
    Role(Role),
    Version(Version),
}

fn condition(text: &str) -> Result<Condition, String> {
    match text.split_once('=') {
        None if text == "ready" => Ok(Condition::Ready),
        None if text == "in-sync" => Ok(Condition::InSync),
        Some(("role", role)) => role.parse().map(Condition::Role),
        Some(("version", version)) => values::version(version).map(Condition::Version),
        _ => Err("expected ready, in-sync, role=primary, role=replica or version=V".to_owned()),
    }
}

impl Condition {
    fn holds(self, status: &Value) -> bool {
        let state = status["state"].as_str().unwrap_or_default();
        match self {
            Self::Ready => matches!(state, "serving" | "degraded" | "in_sync"),
            Self::InSync if status["role"] == "primary" => {
                let peers = status["peers"].as_array();
                state == "serving"
                    && peers.is_some_and(|all| !all.is_empty() && all.iter().all(|peer| peer["in_sync"] == true))
            }
            Self::InSync => state == "in_sync",
            Self::Role(role) => status["role"] == role.as_str() && !matches!(state, "recovering" | "stopped"),
            Self::Version(version) => status["applied"].as_u64().is_some_and(|applied| applied >= version),
        }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let deadline = Instant::now() + context.timeout();
    loop {
        let last = match status::of(args.which.as_deref(), context) {
            Ok((_, status)) if args.condition.holds(&status) => {
                context.out.either(&status, String::new)?;
                return Ok(Exit::Ok);
            }
            Ok((_, status)) => format!(
                "{} is {} {}, applied {}",
                status["name"].as_str().unwrap_or("the node"),
                status["role"].as_str().unwrap_or("-"),
                status["state"].as_str().unwrap_or("-"),
                status["applied"],
            ),
            // It may be starting, or between two starts.
            Err(failure) if matches!(failure.exit, Exit::Unreachable | Exit::Unavailable) => failure.message,
            Err(failure) => return Err(failure),
        };
        if Instant::now() + PAUSE >= deadline {
            let waited = values::show_duration(context.timeout());
            let failure = Failure::new(Exit::Degraded, "timeout", format!("not so after {waited}: {last}"));
            return Err(Failure { retryable: true, ..failure.hint("wait longer with --timeout, or see `rig status`") });
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_held_against_a_status() {
        let primary = serde_json::json!({
            "role": "primary", "state": "serving", "applied": 7, "peers": [{ "in_sync": true }, { "in_sync": false }]
        });
        let replica = serde_json::json!({ "role": "replica", "state": "in_sync", "applied": 6, "peers": [] });
        let holds = |text: &str, status: &Value| condition(text).unwrap().holds(status);
        assert!(holds("ready", &primary) && holds("ready", &replica));
        assert!(!holds("in-sync", &primary) && holds("in-sync", &replica));
        assert!(holds("role=primary", &primary) && !holds("role=primary", &replica));
        assert!(holds("version=7", &primary) && !holds("version=7", &replica));
        let starting = serde_json::json!({ "role": "primary", "state": "recovering", "applied": 0 });
        assert!(!holds("ready", &starting) && !holds("role=primary", &starting));
        for bad in ["", "rdy", "role=leader", "version=0", "version=", "in-sync=1"] {
            assert!(condition(bad).is_err(), "{bad}");
        }
    }
}
