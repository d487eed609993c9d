//! `rig doctor`: what of this machine, directory and cluster would keep a node from its work, and what to do about it.
//!
//! A check that cannot be made here (another system, no node that runs) is left out: what is not looked at is not called
//! well. Nothing is changed; one small file is written beside the log, to measure, and removed.
//!
//! # Not here
//! The checks: of the directory (`local`) and its settings (`settings`), of the node and its peers (`cluster`).

mod cluster;
mod local;
mod settings;

use serde::Serialize;

use super::output::Look;
use super::target::{self, NodeName};
use super::{Context, Failure, Outcome, help};
use crate::error::Exit;

/// Look for what could keep a node from its work
///
/// Checks the data directory (permissions, the settings in its rig.toml, lock, free space, file system, how long a sync
/// takes, whether the log can be read), this machine (open files, the port) and, when the node runs, the node and its peers (state, clocks,
/// versions). Each check is a line that says OK, WARN or FAIL, and what to do about it. With a URL as --node only the node
/// and its peers are looked at.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig doctor", "rig doctor -D ./n1 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Corrupt, Exit::Auth, Exit::Degraded,
    ])
)]
pub(crate) struct Args {}

/// What came of one check, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    result: Verdict,
    message: String,
    /// What to do about it; nothing where all is well.
    fix: Option<String>,
}

impl Check {
    fn of(name: impl Into<String>, result: Verdict, message: impl Into<String>, fix: Option<&str>) -> Self {
        let (name, message) = (name.into(), message.into());
        Self { kind: "check", name, result, message, fix: fix.map(str::to_owned) }
    }

    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(name, Verdict::Ok, message, None)
    }

    fn warn(name: impl Into<String>, message: impl Into<String>, fix: &str) -> Self {
        Self::of(name, Verdict::Warn, message, Some(fix))
    }

    fn fail(name: impl Into<String>, message: impl Into<String>, fix: &str) -> Self {
        Self::of(name, Verdict::Fail, message, Some(fix))
    }
}

#[derive(Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    result: Verdict,
    ok: usize,
    warn: usize,
    fail: usize,
}

pub(crate) fn run(_: Args, context: &Context) -> Outcome {
    let mut report = Report { context, verdicts: Vec::new() };
    let remote = match context.node.as_deref().map(|node| NodeName::of(node, context)).transpose()? {
        Some(NodeName::Url(url)) => Some(url),
        _ => None,
    };
    match remote {
        Some(url) => cluster::check(&url, context, &mut |check| report.take(&check))?,
        None => {
            let dir = target::data_dir(context)?;
            local::check(&dir, context, &mut |check| report.take(&check))?;
            if let Some((_, url)) = target::endpoint(&dir) {
                cluster::check(&url, context, &mut |check| report.take(&check))?;
            }
        }
    }
    report.end()
}

/// Says each check as it was made.
struct Report<'a> {
    context: &'a Context,
    verdicts: Vec<Verdict>,
}

impl Report<'_> {
    fn take(&mut self, check: &Check) -> Result<(), Failure> {
        let out = &self.context.out;
        self.verdicts.push(check.result);
        if out.is_json() {
            out.object(check)?;
        } else if !out.is_quiet() || check.result != Verdict::Ok {
            let (look, word) = match check.result {
                Verdict::Ok => (Look::Good, "OK  "),
                Verdict::Warn => (Look::Warn, "WARN"),
                Verdict::Fail => (Look::Bad, "FAIL"),
            };
            let fix = check.fix.as_ref().map(|fix| format!("  -> {fix}")).unwrap_or_default();
            out.line(format_args!("{}  {:<12} {}{fix}", out.look(look, word), check.name, check.message))?;
        }
        // One of them takes a moment.
        out.flush()
    }

    fn end(self) -> Outcome {
        let count = |verdict| self.verdicts.iter().filter(|found| **found == verdict).count();
        let result = self.verdicts.iter().copied().max().unwrap_or(Verdict::Ok);
        if self.context.out.is_json() {
            let (ok, warn, fail) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
            self.context.out.object(&Summary { kind: "summary", result, ok, warn, fail })?;
        }
        Ok(match result {
            Verdict::Ok => Exit::Ok,
            Verdict::Warn => Exit::Degraded,
            Verdict::Fail => Exit::Corrupt,
        })
    }
}
