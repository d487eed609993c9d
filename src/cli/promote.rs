//! `rig promote` and `rig demote`: which node is the primary, by the operator's word.
//!
//! ```text
//!   the primary lives     it drains and hands over: nothing lost, nothing unknown
//!   it is gone            enough members promise, the most advanced log is adopted   ── cannot be proven: exit 6
//!   --accept-data-loss    opened all the same: the operator takes the loss upon himself
//! ```

use serde::Serialize;
use serde_json::{Value, json};

use super::ask::{order, word, words};
use super::output::Look;
use super::target::{self, Target};
use super::{Context, Failure, Outcome, help, status};
use crate::client::{Client, Request};
use crate::error::{Code, Exit};

/// Make a node the primary
///
/// While the primary lives it hands over: what is under way is finished, and nothing is lost. When it is gone, the
/// node becomes primary if it can be proven that its log holds everything that was answered: in sync mode, with
/// enough members that promise. Else it refuses (exit 6) and says what is missing.
///
/// --accept-data-loss goes on without that proof. What only the old primary has is then not in the log of the new
/// one; when the old one comes back, those records go to its rescue/ (see `rig rescue`).
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig promote n2",
        "rig promote n2 --dry-run",
        "rig promote n2 --accept-data-loss --confirm n2",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Conflict, Exit::Unknown,
        Exit::Unavailable, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Name or URL of the node that becomes primary
    // Not `node`: that is the global flag.
    #[arg(value_name = "NODE")]
    which: Option<String>,
    /// Go on although answered operations may be missing
    #[arg(long)]
    accept_data_loss: bool,
    /// The name of the node, to say that this is meant
    #[arg(long, value_name = "NAME", requires = "accept_data_loss")]
    confirm: Option<String>,
    /// Say whether it would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Make the primary a replica
///
/// It stops taking writes at once. Another node becomes primary with `rig promote`, which does both when the
/// primary lives.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig demote n1", "rig demote n1 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Unknown, Exit::Unavailable,
        Exit::Auth,
    ])
)]
pub(crate) struct DemoteArgs {
    /// Name or URL
    #[arg(value_name = "NODE")]
    which: Option<String>,
}

/// What a node has become, or would.
#[derive(Debug, Serialize)]
pub(crate) struct Changed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    role: &'a Value,
    state: &'a Value,
    epoch: &'a Value,
    version: &'a Value,
    forced: bool,
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let (target, status) = of(args.which.as_deref(), context)?;
    let name = word(&status["name"]);
    let mut client = Client::new(target.url, target::options(context));
    let force = args.accept_data_loss;
    let request = |dry_run: bool| role("primary", force && !dry_run, dry_run);
    if args.dry_run {
        return dry_run(&mut client, &request(true), force, &name, context);
    }
    if force {
        let what = format!(
            "{name} becomes primary at version {} whatever the others have: operations that were answered may be lost",
            status["log"]["durable"]
        );
        let what = match removed(&status, &name) {
            Some(removed) => format!("{removed}\n{what}"),
            None => what,
        };
        context.confirm(args.confirm.as_deref(), &name, &what)?;
        // Who has confirmed it beforehand reads it too.
        if let Some(removed) = removed(&status, &name).filter(|_| args.confirm.is_some()) {
            context.out.note(removed);
        }
    }
    let data = order(&mut client, &request(false), context).map_err(|failure| in_numbers(failure, &name))?;
    tell(&data, "promoted", &name, force, context)
}

/// What was said to a node that is no member any more.
fn removed(status: &Value, name: &str) -> Option<String> {
    let (by, version) = (status["removed"]["by"].as_str()?, &status["removed"]["version"]);
    Some(format!(
        "{name} was removed from this cluster, at version {version} at the latest; {by} led without it: if {by} lives, or is \
         started again, both lead under one cluster id"
    ))
}

fn dry_run(client: &mut Client, request: &Request, force: bool, name: &str, context: &Context) -> Outcome {
    let data = match order(client, request, context) {
        Ok(data) => data,
        // What a force is for: say what it would risk.
        Err(failure) if force && failure.code == Code::PromotionUnsafe.as_str() => {
            context.out.note(in_numbers(failure, name).message);
            json!({ "role": "replica", "state": null, "epoch": null, "version": null })
        }
        Err(failure) => return Err(in_numbers(failure, name)),
    };
    let line = changed(&data, "promoted", name, force, true);
    context
        .out
        .either(&line, || format!("{}  {name} would become primary\n", context.out.look(Look::Good, "possible")))?;
    Ok(Exit::Ok)
}

pub(crate) fn demote(args: DemoteArgs, context: &Context) -> Outcome {
    let (target, status) = of(args.which.as_deref(), context)?;
    let mut client = Client::new(target.url, target::options(context));
    let data = order(&mut client, &role("replica", false, false), context)?;
    tell(&data, "demoted", &word(&status["name"]), false, context)
}

/// The node that is meant; a replica is never meant by saying nothing.
fn of(which: Option<&str>, context: &Context) -> Result<(Target, Value), Failure> {
    status::of(which, context).map_err(|failure| match failure.code.as_ref() {
        "not_running" if which.is_none() && context.node.is_none() && context.data_dir.is_none() => {
            failure.hint("name the node: `rig status` lists those of this machine")
        }
        _ => failure,
    })
}

fn role(role: &str, force: bool, dry_run: bool) -> Request {
    Request::post("/role", json!({ "role": role, "accept_data_loss": force, "dry_run": dry_run }).to_string())
}

/// A refusal with what it rests on, for people too.
fn in_numbers(mut failure: Failure, name: &str) -> Failure {
    if failure.code != Code::PromotionUnsafe.as_str() {
        return failure;
    }
    let fact = |name: &str| failure.facts.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    if fact("diverged_at").is_some() {
        // No number of members would help.
        failure.hint = format!(
            "wait until `rig status` says in_sync, or take this state for the right one: \
             rig promote {name} --accept-data-loss --confirm {name}"
        );
        return failure;
    }
    let mut numbers = Vec::new();
    if let (Some(mine), Some(known)) = (fact("my_version"), fact("last_known_version")) {
        numbers.push(format!("{name} has version {mine}, the last known one is {known}"));
    }
    if let Some(missing) = fact("missing_members").map(|list| words(list, ", ")).filter(|names| !names.is_empty()) {
        numbers.push(format!("missing: {missing}"));
    }
    if let Some(Value::String(contact)) = fact("last_contact") {
        numbers.push(format!("last contact {contact}"));
    }
    let what = match fact("coordinator") {
        Some(Value::String(_)) => "the coordinator back, then the nodes go on by themselves;",
        _ => "the missing members back,",
    };
    let hint = format!("bring {what} or accept the loss: rig promote {name} --accept-data-loss --confirm {name}");
    if !numbers.is_empty() {
        failure.message = format!("{} ({})", failure.message, numbers.join("; "));
    }
    failure.hint = hint;
    failure
}

pub(crate) fn changed<'a>(
    data: &'a Value,
    kind: &'static str,
    name: &'a str,
    forced: bool,
    dry_run: bool,
) -> Changed<'a> {
    let (role, state, epoch, version) = (&data["role"], &data["state"], &data["epoch"], &data["version"]);
    Changed { kind, name, role, state, epoch, version, forced, dry_run }
}

/// Says what the node is now.
pub(crate) fn tell(data: &Value, kind: &'static str, name: &str, forced: bool, context: &Context) -> Outcome {
    context.out.either(&changed(data, kind, name, forced, false), || {
        let (role, state) = (word(&data["role"]), word(&data["state"]));
        let look = context.out.look(Look::Good, kind);
        format!("{look}  {name}  {role}  {state}  epoch {}  version {}\n", data["epoch"], data["version"])
    })?;
    match data["state"].as_str() {
        Some("blocked") => context.out.note("writes wait until enough replicas are back; reads work"),
        Some("degraded") => context.out.note("writes go on alone until a replica is back"),
        _ => {}
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_numbers_to_people_and_to_programs() {
        let body = br#"{"code":"promotion_unsafe","detail":"a lost write cannot be ruled out: x","hint":"h",
            "last_contact":"2026-01-01T00:00:00.000000Z","my_version":7,"last_known_version":9,"missing_members":["n1"]}"#;
        let failure = in_numbers(crate::client::problem_of(409, body).into(), "n2");
        assert_eq!(
            failure.message,
            "a lost write cannot be ruled out: x (n2 has version 7, the last known one is 9; missing: n1; \
             last contact 2026-01-01T00:00:00.000000Z)"
        );
        assert!(failure.hint.ends_with("rig promote n2 --accept-data-loss --confirm n2"));
        assert_eq!(failure.exit, Exit::Conflict);
        let object: Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!((&object["my_version"], &object["missing_members"]), (&json!(7), &json!(["n1"])));
        let body = br#"{"code":"promotion_unsafe","detail":"the result of version 7","hint":"h","diverged_at":7}"#;
        let diverged = in_numbers(crate::client::problem_of(409, body).into(), "n2");
        assert_eq!(diverged.message, "the result of version 7");
        assert!(diverged.hint.starts_with("wait") && diverged.hint.ends_with("--confirm n2"), "{}", diverged.hint);
        let other = in_numbers(crate::client::problem_of(503, br#"{"code":"recovering","detail":"d"}"#).into(), "n2");
        assert_eq!((&*other.message, other.exit), ("d", Exit::Unavailable));
    }
}
