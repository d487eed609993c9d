//! `rig status`: how nodes are. A running node is asked; of a stopped one its directory tells.
//!
//! # Not here
//! What people see of it (`show`).

mod show;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::registry::Registry;
use super::target::{NodeName, Target};
use super::{Context, Failure, Outcome, help, target, values};
use crate::client::{Client, Request, Url};
use crate::error::Exit;
use crate::node::dir::DataDir;

/// How long a node may think about its status when no --timeout is given: it answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Show how nodes are
///
/// One node is told about in a paragraph, several in a table. With -D or -N it is that node; else all nodes that
/// this user has made or served here, stopped ones too. The exit code is 0 whatever their state, unless --check.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig status", "rig status n1 --json", "rig status --check", "rig status --watch 1s"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Corrupt, Exit::Auth,
        Exit::Degraded,
    ])
)]
pub(crate) struct Args {
    /// Names or URLs
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// All local nodes, whatever -D and -N say
    #[arg(long, conflicts_with = "nodes")]
    all: bool,
    /// End with 0 only when all is well: 12 degraded, 9 damaged or split, 4 not running
    #[arg(long)]
    check: bool,
    /// Again and again, every 2s or as often as given
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2s",
          value_parser = values::positive_duration, conflicts_with = "check")]
    watch: Option<Duration>,
}

/// What is to be looked at.
enum Subject {
    Local(DataDir),
    Remote(Url),
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    loop {
        let subjects = subjects(&args, context)?;
        // Only what was named can fail as a whole; who watches wants to see that it is away, and back.
        let statuses = gather(&subjects, subjects.len() == 1 && args.watch.is_none(), context)?;
        if args.watch.is_some() && context.out.is_terminal() && !context.out.is_json() {
            // Home, and clear what was there before.
            context.out.text("\x1b[H\x1b[2J")?;
        }
        print(&statuses, context)?;
        context.out.flush()?;
        match args.watch {
            Some(pause) => std::thread::sleep(pause),
            None if args.check => {
                return Ok(statuses.iter().map(health).max_by_key(severity).unwrap_or(Exit::NotFound));
            }
            None => return Ok(Exit::Ok),
        }
    }
}

fn subjects(args: &Args, context: &Context) -> Result<Vec<Subject>, Failure> {
    if !args.nodes.is_empty() {
        return args.nodes.iter().map(|node| subject(node, context)).collect();
    }
    match (&context.node, &context.data_dir) {
        (Some(node), _) if !args.all => return Ok(vec![subject(node, context)?]),
        (None, Some(dir)) if !args.all => return Ok(vec![Subject::Local(DataDir::open(dir)?)]),
        _ => {}
    }
    let places = context.places()?;
    let mut dirs: Vec<_> = Registry::new(&places.nodes).list().iter().filter_map(|entry| entry.open()).collect();
    // The registry is a cache; the default directory is known without it.
    if let Ok(default) = DataDir::open(&places.default_dir)
        && dirs.iter().all(|dir| dir.path() != default.path())
    {
        dirs.insert(0, default);
    }
    Ok(dirs.into_iter().map(Subject::Local).collect())
}

fn subject(node: &str, context: &Context) -> Result<Subject, Failure> {
    match NodeName::of(node, context)? {
        NodeName::Name(name) => Ok(Subject::Local(target::local(context, &name)?)),
        NodeName::Url(url) => Ok(Subject::Remote(url)),
    }
}

fn gather(subjects: &[Subject], alone: bool, context: &Context) -> Result<Vec<Value>, Failure> {
    subjects
        .iter()
        .map(|subject| match subject {
            Subject::Remote(url) => match ask(url, context) {
                Err(failure) if !alone => Ok(unreachable(url, &failure)),
                other => other,
            },
            Subject::Local(dir) => match target::endpoint(dir) {
                Some((_, url)) => match ask(&url, context) {
                    Ok(status) => Ok(status),
                    Err(failure) if failure.exit == Exit::Auth && alone => Err(failure),
                    Err(failure) => Ok(silent(dir, Some(&url), &failure.message)),
                },
                None if dir.is_in_use() => Ok(silent(dir, None, "it does not listen yet")),
                None => Ok(crate::node::stopped_status(dir)),
            },
        })
        .collect()
}

/// The object that a running node gives.
pub(crate) fn ask(url: &Url, context: &Context) -> Result<Value, Failure> {
    let mut client = Client::new(url.clone(), target::options(context));
    let deadline = Instant::now() + context.timeout.unwrap_or(ANSWER_TIMEOUT);
    let response = client.send(&Request::get("/status"), deadline).map_err(Failure::of_read)?;
    if !response.is_success() {
        return Err(response.into());
    }
    let status = response.data().and_then(|data| serde_json::from_str(data).ok());
    status.filter(|status: &Value| status["type"] == "status").ok_or_else(|| Failure::bad_answer(url))
}

/// The status of the node that the context or a name means.
pub(crate) fn of(node: Option<&str>, context: &Context) -> Result<(Target, Value), Failure> {
    let target = match node {
        Some(node) => target::named(context, node)?,
        None => target::node(context)?,
    };
    let status = ask(&target.url, context)?;
    Ok((target, status))
}

/// A process holds the directory and does not answer.
fn silent(dir: &DataDir, url: Option<&Url>, why: &str) -> Value {
    let mut status = crate::node::stopped_status(dir);
    let pid = dir.read_endpoint().ok().flatten().map(|endpoint| endpoint.pid);
    status["state"] = "recovering".into();
    status["http"] = url.map(ToString::to_string).into();
    status["pid"] = pid.into();
    status["unreachable"] = why.into();
    status
}

fn unreachable(url: &Url, failure: &Failure) -> Value {
    serde_json::json!({
        "type": "status", "name": null, "node_id": null, "cluster_id": null, "role": null, "state": "stopped",
        "epoch": null, "owner": null, "log": null, "applied": null, "http": url.to_string(), "pid": null,
        "uptime_s": null, "replication": null, "peers": [], "can_promote": false, "service": null, "rescued": 0,
        "rig": null, "unreachable": failure.message,
    })
}

/// What `--check` makes of one node.
pub(crate) fn health(status: &Value) -> Exit {
    if status.get("unreachable").is_some() {
        return Exit::Unreachable;
    }
    if has_damage(status) || has_rival(status) {
        return Exit::Corrupt;
    }
    match status["state"].as_str().unwrap_or_default() {
        "serving" | "in_sync" if status["disk_full"] == true || status["service"]["healthy"] == false => Exit::Degraded,
        "serving" | "in_sync" if show::elsewhere(status).next().is_some() => Exit::Degraded,
        // Nothing can take over, or change who is in sync, before it is back.
        "serving" | "in_sync" if !status["coordinator"]["why"].is_null() => Exit::Degraded,
        "serving" | "in_sync" => Exit::Ok,
        "diverged" | "split_brain" | "failed" => Exit::Corrupt,
        "stopped" => Exit::Unreachable,
        _ => Exit::Degraded,
    }
}

/// Whether the log of a node that serves was found damaged.
fn has_damage(status: &Value) -> bool {
    status["scrub"]["errors"].as_u64().is_some_and(|errors| errors > 0)
}

/// Whether another node leads under the same cluster id, and is connected: two sides write.
fn has_rival(status: &Value) -> bool {
    status["rivals"].as_array().is_some_and(|rivals| !rivals.is_empty())
}

/// The worst of several nodes decides.
fn severity(exit: &Exit) -> u8 {
    match exit {
        Exit::Ok => 0,
        Exit::Degraded => 1,
        Exit::Unreachable => 2,
        _ => 3,
    }
}

fn print(statuses: &[Value], context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if out.is_json() {
        return statuses.iter().try_for_each(|status| out.object(&InOrder(status)));
    }
    match statuses {
        [] => {
            out.note("no node is known here: make one with `rig init`");
            Ok(())
        }
        [status] => out.text(&show::paragraph(status, out)),
        _ => out.table(&show::table(statuses)),
    }
}

/// The members of a status as people look for them; what is not listed comes behind.
const ORDER: [&str; 19] = [
    "type",
    "name",
    "node_id",
    "cluster_id",
    "role",
    "state",
    "epoch",
    "owner",
    "log",
    "applied",
    "http",
    "pid",
    "uptime_s",
    "replication",
    "peers",
    "can_promote",
    "service",
    "rescued",
    "scrub",
];

struct InOrder<'a>(&'a Value);

impl serde::Serialize for InOrder<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.as_object();
        let first = ORDER.iter().filter_map(|name| Some((*name, self.0.get(name)?)));
        let rest = members.into_iter().flatten().filter(|(name, _)| !ORDER.contains(&name.as_str()));
        serializer.collect_map(first.chain(rest.map(|(name, value)| (name.as_str(), value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_as_bad_as_its_worst_node() {
        let node = |state: &str| serde_json::json!({ "state": state });
        let table = [
            ("serving", Exit::Ok),
            ("in_sync", Exit::Ok),
            ("degraded", Exit::Degraded),
            ("blocked", Exit::Degraded),
            ("recovering", Exit::Degraded),
            ("catching_up", Exit::Degraded),
            ("outdated", Exit::Degraded),
            ("fenced", Exit::Degraded),
            ("diverged", Exit::Corrupt),
            ("split_brain", Exit::Corrupt),
            ("failed", Exit::Corrupt),
            ("stopped", Exit::Unreachable),
        ];
        for (state, exit) in table {
            assert_eq!(health(&node(state)), exit, "{state}");
        }
        assert_eq!(table.len(), crate::types::NodeState::ALL.len());
        let damaged = serde_json::json!({ "state": "serving", "scrub": { "errors": 2 } });
        assert_eq!(health(&damaged), Exit::Corrupt);
        let rival = serde_json::json!({ "state": "serving", "rivals": [{ "name": "n2" }] });
        assert_eq!(health(&rival), Exit::Corrupt);
        let elsewhere = serde_json::json!({ "state": "serving", "peers": [{ "name": "n2", "other_record": true }] });
        assert_eq!(health(&elsewhere), Exit::Degraded);
        let without =
            serde_json::json!({ "state": "in_sync", "coordinator": { "reachable": false, "why": "no answer" } });
        let with = serde_json::json!({ "state": "in_sync", "coordinator": { "reachable": true, "why": null } });
        assert_eq!((health(&without), health(&with)), (Exit::Degraded, Exit::Ok));
        let worst = |states: &[&str]| states.iter().map(|state| health(&node(state))).max_by_key(severity);
        assert_eq!(worst(&["serving", "degraded", "stopped"]), Some(Exit::Unreachable));
        assert_eq!(worst(&["stopped", "failed"]), Some(Exit::Corrupt));
    }

    #[test]
    fn a_status_begins_with_its_name_and_loses_nothing() {
        let status =
            serde_json::json!({ "applied": 1, "extra": 2, "name": "n1", "type": "status", "state": "serving" });
        let text = serde_json::to_string(&InOrder(&status)).unwrap();
        assert_eq!(text, r#"{"type":"status","name":"n1","state":"serving","applied":1,"extra":2}"#);
    }
}
