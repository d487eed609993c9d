//! `rig coordinator`: the record of a cluster, as it is kept outside of it.
//!
//! # Not here
//! What a node does with it (`node::coordination`), how it is read and written (`coordinator`).

mod cluster;
mod repair;

use serde::Serialize;
use serde_json::Value;

use super::ask::{word, words};
use super::output::Look;
use super::serve::settings;
use super::{Context, Failure, Outcome, help, status, target};
use crate::client::Url;
use crate::coordinator::{Address, Coordinator, Error, Kind, Options, Reading, Record};
use crate::error::Exit;

/// How the URL of a coordinator begins.
const SCHEMES: [&str; 2] = ["etcd://", "etcds://"];

/// See and mend the record that the coordinator keeps
///
/// The nodes of a cluster that were started with --coordinator keep one record there: the epoch, who leads, and who holds
/// every answered write. URL is that of the record; without it the node that is meant by -N or -D is asked for its own.
/// The password of a user in the URL is in the file that RIG_COORDINATOR_PASSWORD_FILE names, the CA of etcds:// in --tls-ca.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(Show),
    Repair(repair::Args),
}

/// Show the record, and whose leases hold
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig coordinator show etcd://10.0.0.1:2379,10.0.0.2:2379/rig/users",
        "rig coordinator show -N n1 --json",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Corrupt, Exit::Auth,
    ])
)]
struct Show {
    /// Where the record is
    #[arg(value_name = "URL", value_parser = super::serve::coordinator::address)]
    url: Option<Address>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Show(args) => show(args, context),
        Command::Repair(args) => repair::run(args, context),
    }
}

/// Whether a node is named by its coordinator.
pub(super) fn is_coordinator(node: &str) -> bool {
    SCHEMES.iter().any(|scheme| node.starts_with(scheme))
}

/// The primary, as the record has it.
pub(super) fn primary(node: &str, context: &Context) -> Result<Url, Failure> {
    let address =
        super::serve::coordinator::address(node).map_err(|error| Failure::usage(format!("--node: {error}")))?;
    let record = open(&address, context)?.read().map_err(failure)?.record.ok_or_else(|| none(&address))?;
    if !record.register.open {
        let message = format!("{} is about to take over, and does not lead yet", record.primary.name);
        return Err(Failure::new(Exit::Unavailable, "no_primary", message).hint("send again in a moment"));
    }
    Url::parse(&record.primary.url).map_err(|error| {
        Failure::new(Exit::Failure, "bad_answer", format!("the record names {}: {error}", record.primary.url))
    })
}

/// What speaks with it.
fn open(address: &Address, context: &Context) -> Result<Coordinator, Failure> {
    let password = match (&context.coordinator_password, address.user()) {
        (Some(path), Some(_)) => Some(crate::node::CoordinatorConfig::password(path).map_err(Failure::usage)?),
        (None, Some(user)) => {
            return Err(Failure::usage(format!("{address}: the password of {user} is missing"))
                .hint("name its file with RIG_COORDINATOR_PASSWORD_FILE"));
        }
        (_, None) => None,
    };
    if address.is_secure() && context.trust.is_none() {
        return Err(Failure::usage(format!("{address}: there is no CA that its certificate could be checked by"))
            .hint("name the file with --tls-ca FILE"));
    }
    let timeout = context.timeout().min(crate::client::GRACE);
    Ok(Coordinator::new(address.clone(), Options { password, trust: context.trust.clone(), timeout }))
}

/// The URL that was given, or that of the node that is meant, with what that one says.
fn address_of(given: Option<Address>, context: &Context) -> Result<(Address, Option<Value>), Failure> {
    if let Some(address) = given {
        return Ok((address, None));
    }
    if let Some(node) = context.node.as_deref().filter(|node| is_coordinator(node)) {
        let address = super::serve::coordinator::address(node);
        return address.map(|address| (address, None)).map_err(|error| Failure::usage(format!("--node: {error}")));
    }
    let (found, status, why) = match status::of(None, context) {
        Ok((_, status)) => (status["coordinator"]["url"].as_str().map(str::to_owned), Some(status), None),
        // A node that does not run has it in its file, if it has.
        Err(failure) => {
            (target::data_dir(context).ok().and_then(|dir| settings::coordinator(dir.path())), None, Some(failure))
        }
    };
    match (found, why) {
        (Some(url), _) => Ok((super::serve::coordinator::address(&url).map_err(Failure::usage)?, status)),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::new(Exit::NotFound, "not_found", "this node has no coordinator")
            .hint("name the record: rig coordinator show etcd://HOST:2379/PREFIX")),
    }
}

fn none(address: &Address) -> Failure {
    Failure::new(Exit::NotFound, "not_found", format!("there is no record at {address}"))
        .hint("is the prefix right? The first primary that is started with it writes the record")
}

/// The same where a node goes by it, which may know that there was one.
fn none_of(address: &Address, status: Option<&Value>) -> Failure {
    let lost = status.filter(|status| status["coordinator"]["why"].is_string());
    match lost {
        Some(status) => none(address).hint(format!(
            "there was one, as {0} knows: rig coordinator repair -N {0} lets the node that leads write it again",
            word(&status["name"])
        )),
        None => none(address),
    }
}

fn failure(error: Error) -> Failure {
    let (exit, code) = match error.kind() {
        Kind::Unreachable { .. } => (Exit::Unreachable, "unreachable"),
        Kind::Refused { refusal, .. } if refusal.is_of_auth() => (Exit::Auth, "auth"),
        Kind::Refused { .. } => (Exit::Unavailable, "coordinator"),
        Kind::Malformed { .. } => (Exit::Failure, "bad_answer"),
        Kind::Record { .. } => (Exit::Corrupt, "bad_record"),
    };
    Failure::new(exit, code, error.to_string()).hint(error.hint())
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    revision: u64,
    record: &'a Value,
    leases: Vec<String>,
}

fn show(args: Show, context: &Context) -> Outcome {
    let (address, status) = address_of(args.url, context)?;
    let reading = open(&address, context)?.read().map_err(failure)?;
    let Some(record) = &reading.record else { return Err(none_of(&address, status.as_ref())) };
    let value = value_of(record);
    let leases = reading.leases.iter().map(ToString::to_string).collect();
    let shown =
        Shown { kind: "coordinator", url: address.to_string(), revision: reading.revision, record: &value, leases };
    context.out.either(&shown, || text(&address, &reading, &value, context))?;
    Ok(Exit::Ok)
}

fn value_of(record: &Record) -> Value {
    serde_json::from_str(&record.to_json()).expect("a record is written as JSON")
}

fn text(address: &Address, reading: &Reading, value: &Value, context: &Context) -> String {
    let out = &context.out;
    let names = |list: &Value| {
        let nodes = list.as_array().into_iter().flatten();
        Value::Array(nodes.map(|node| node["name"].clone()).collect())
    };
    let owner = &value["epoch"]["owner"];
    let holds = reading.leases.iter().any(|id| *owner == id.to_string());
    let lease = if holds { out.look(Look::Good, "its lease holds") } else { out.look(Look::Warn, "without a lease") };
    let in_sync = words(&names(&value["in_sync"]), " ");
    let in_sync = if in_sync.is_empty() { "nobody else".to_owned() } else { in_sync };
    let end = &value["previous_end"];
    let lines = [
        ("cluster", word(&value["cluster_id"])),
        (
            "epoch",
            format!("{}  {}  start {}", value["epoch"]["number"], word(&value["phase"]), value["epoch"]["start"]),
        ),
        ("primary", format!("{}  {}  {lease}", word(&value["primary"]["name"]), word(&value["primary"]["url"]))),
        ("in sync", in_sync),
        ("mode", word(&value["mode"])),
        ("before", format!("epoch {} ended with version {}", end["epoch"]["number"], end["version"])),
    ];
    let head = format!("{}  revision {}\n", out.look(Look::Strong, address), reading.revision);
    lines.iter().fold(head, |text, (name, value)| text + &format!("  {name:<10}{value}\n"))
}
