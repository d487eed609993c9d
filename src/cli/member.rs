//! `rig member`: the nodes that the log names.

use serde::Serialize;
use serde_json::Value;

use super::ask::{order, question, word};
use super::output::{Look, Table};
use super::promote::tell;
use super::{Context, Failure, Outcome, apply, help};
use crate::client::Request;
use crate::error::Exit;
use crate::http::encode;

/// List and remove members of the cluster
///
/// A replica that is started with --peer becomes a member by itself. A member is a data directory, not a name: one
/// that comes back with an empty disk is a new member, and the old one is to be removed.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(Ls),
    Remove(Remove),
}

/// List the members
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig member ls", "rig member ls --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Auth])
)]
struct Ls {}

/// Remove a member from the cluster
///
/// It is not waited for any longer and cannot come back with its log. A member whose disk is gone cannot agree to
/// its removal from a sync pair: that needs --accept-data-loss, because if it lives after all it may hold operations
/// that were answered.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig member remove n3 --confirm n3",
        "rig member remove n2 --accept-data-loss --confirm n2",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Conflict, Exit::Unknown,
        Exit::Unavailable, Exit::Auth,
    ])
)]
struct Remove {
    /// Its name, or its node id when two have one name
    #[arg(value_name = "NAME")]
    name: String,
    /// Go on although the member cannot agree
    #[arg(long)]
    accept_data_loss: bool,
    /// The name again, to say that this is meant
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Ls(Ls {}) => ls(context),
        Command::Remove(args) => remove(&args, context),
    }
}

#[derive(Serialize)]
struct Member<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    member: &'a Value,
}

fn ls(context: &Context) -> Outcome {
    let members = question(&mut apply::client_for(context)?, "/members", context)?;
    let mut table = Table::new(&["NAME", "ROLE", "IN SYNC", "CONNECTED", "ADDRESS", "NODE ID"], &[]);
    for member in members.as_array().into_iter().flatten() {
        if context.out.is_json() {
            context.out.object(&Member { kind: "member", member })?;
            continue;
        }
        let yes = |name: &str| match member[name] == true {
            true => (Some(Look::Good), "yes".to_owned()),
            false => (Some(Look::Warn), "no".to_owned()),
        };
        let role = if member["primary"] == true { "primary" } else { "replica" };
        table.styled([
            (None, word(&member["name"])),
            (None, role.to_owned()),
            yes("in_sync"),
            yes("connected"),
            (None, word(&member["url"])),
            (Some(Look::Faint), word(&member["node_id"])),
        ]);
    }
    match (context.out.is_json(), table.is_empty()) {
        (true, _) => {}
        (false, true) => context.out.note("the log names no member yet"),
        (false, false) => context.out.table(&table)?,
    }
    Ok(Exit::Ok)
}

fn remove(args: &Remove, context: &Context) -> Outcome {
    let mut client = apply::client_for(context)?;
    let members = question(&mut client, "/members", context)?;
    let list = members.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |member: &&Value| member["name"] == *args.name || member["node_id"] == *args.name;
    let mut found = list.iter().filter(is_it);
    let (member, twice) = (found.next(), found.next().is_some());
    let Some(member) = member else {
        let known: Vec<_> = list.iter().map(|member| word(&member["name"])).collect();
        return Err(Failure::new(Exit::NotFound, "not_found", format!("the log names no member `{}`", args.name))
            .hint(format!("members: {}", known.join(", "))));
    };
    if twice {
        return Err(Failure::usage(format!("two members are called {}", args.name))
            .hint("name it by its node id: `rig member ls`"));
    }
    let what = match args.accept_data_loss {
        false => format!("{} is not waited for any longer, and its log cannot come back", args.name),
        true => format!("{} is struck out without its agreement: operations that only it has are lost", args.name),
    };
    context.confirm(args.confirm.as_deref(), &args.name, &what)?;
    let mut target = "/members/".to_owned();
    encode(&word(&member["node_id"]), &mut target);
    if args.accept_data_loss {
        target.push_str("?accept_data_loss=true");
    }
    let data = order(&mut client, &Request::delete(target), context)?;
    tell(&data, "removed", &args.name, args.accept_data_loss, context)
}
