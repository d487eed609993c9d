//! `rig config`: what the log says about mode, numbers and times; and what node and user are set to, and by whom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::ask::{order, question, word, words};
use super::output::Table;
use super::{Context, Failure, Outcome, apply, help, values};
use crate::client::{Client, Request};
use crate::error::Exit;
use crate::node::settings_to_json;
use crate::types::Mode;

/// How long the node may say nothing while it looks for control records.
const PATIENCE: Duration = Duration::from_secs(30);
/// The settings of the log, as its records have them.
const SETTINGS: [&str; 4] = ["replication", "min_replicas", "sync_timeout_ms", "ack"];

/// The same as a node is asked for them.
const IN_LOG: [&str; 4] = ["replication", "min_replicas", "sync_timeout", "ack"];

/// Show and change what the log says about replication
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(Show),
    Set(Set),
}

/// Show every setting
///
/// First what the log says, which is the same for every node; then what this node was started with; then what this command
/// itself works with. With --origin each has its origin: a record of the log, a flag, a variable of the environment, a line
/// of DIR/rig.toml or of the user's rig/config.toml, or none of these: the default.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig config show", "rig config show --origin --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Auth])
)]
struct Show {
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Change mode, numbers or times
///
/// The change is a record of the log, so every node knows what was promised from which version on. While it is not
/// committed the stricter of both rules holds.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig config set replication=sync", "rig config set min_replicas=2 sync_timeout=500ms"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Rejected, Exit::Unknown, Exit::Unavailable,
        Exit::Auth,
    ])
)]
struct Set {
    /// replication=sync|semi-sync|async, min_replicas=N, sync_timeout=DURATION
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = setting)]
    settings: Vec<(&'static str, Value)>,
}

fn setting(text: &str) -> Result<(&'static str, Value), String> {
    match text.split_once('=') {
        Some(("replication", mode)) => mode.parse::<Mode>().map(|mode| ("replication", mode.as_str().into())),
        Some(("min_replicas", number)) => match number.parse::<u32>() {
            Ok(number) if number > 0 => Ok(("min_replicas", number.into())),
            _ => Err("min_replicas is a number from 1".to_owned()),
        },
        Some(("sync_timeout", time)) => {
            let millis = values::positive_duration(time)?.as_millis().max(1);
            Ok(("sync_timeout_ms", u64::try_from(millis).unwrap_or(u64::MAX).into()))
        }
        _ => Err("expected replication=MODE, min_replicas=N or sync_timeout=DURATION".to_owned()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut client = apply::client_for(context)?;
    match args.command {
        Command::Show(args) => show(&mut client, args.origin, context),
        Command::Set(args) => {
            let body: serde_json::Map<_, _> =
                args.settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            order(&mut client, &Request::post("/config", Value::from(body).to_string()), context)?;
            show(&mut client, false, context)
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    config: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a BTreeMap<&'static str, Value>>,
    client: Value,
}

fn show(client: &mut Client, with_origin: bool, context: &Context) -> Outcome {
    let config = question(client, "/config", context)?;
    if !config.is_object() {
        return Err(Failure::new(Exit::NotFound, "not_found", "the node has no cluster yet, so the log says nothing")
            .hint("it gets one from its first primary: see `rig status`"));
    }
    let origin = if with_origin { Some(origins(client, context)?) } else { None };
    if context.out.is_json() {
        context.out.object(&Shown {
            kind: "config",
            config: &config,
            origin: origin.as_ref(),
            client: settings_to_json(&context.settings),
        })?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["SETTING", "OF", "VALUE", "ORIGIN"], &[]);
    for name in SETTINGS {
        let from = origin.as_ref().and_then(|origin| origin.get(name));
        let from = from.map(|from| format!("version {}, {}", from["version"], word(&from["method"])));
        let holds = &config["pending"]["holds"][name];
        // The log is read as far as it is committed: it knows where the value of before came from.
        let from = match holds.is_null() || *holds == config[name] {
            true => from,
            false => Some(format!(
                "version {}, not committed: until it is, {} holds too{}",
                config["pending"]["version"],
                word(holds),
                from.map(|from| format!(" ({from})")).unwrap_or_default()
            )),
        };
        let (label, value) = match (name, config[name].as_u64()) {
            ("sync_timeout_ms", Some(ms)) => ("sync_timeout", values::show_duration(Duration::from_millis(ms))),
            _ => (name, word(&config[name])),
        };
        table.row([label.to_owned(), "log".to_owned(), value, from.unwrap_or_default()]);
    }
    let names: Vec<_> =
        config["members"].as_array().into_iter().flatten().map(|member| member["name"].clone()).collect();
    table.row(["members".to_owned(), "log".to_owned(), words(&names.into(), " "), String::new()]);
    // What the log says was asked for by this node, perhaps: the log has the last word on it, and the first here.
    let of_node =
        config["settings"].as_object().into_iter().flatten().filter(|(key, _)| !IN_LOG.contains(&key.as_str()));
    let own = settings_to_json(&context.settings);
    let of_command = own.as_object().into_iter().flatten();
    let each = of_node.map(|entry| ("node", entry)).chain(of_command.map(|entry| ("command", entry)));
    for (whose, (key, setting)) in each {
        let origin = if with_origin { origin_of(setting) } else { String::new() };
        table.row([key.clone(), whose.to_owned(), word(&setting["value"]), origin]);
    }
    context.out.table(&table)?;
    Ok(Exit::Ok)
}

/// Where a value of node or user comes from, for people.
fn origin_of(setting: &Value) -> String {
    match setting["from"].as_str() {
        Some("file") => format!("{}:{}", word(&setting["file"]), setting["line"]),
        Some("environment") => format!("environment, {}", word(&setting["variable"])),
        from => from.unwrap_or_default().to_owned(),
    }
}

/// The record that gave each setting the value that it has: the control records, in their order.
fn origins(client: &mut Client, context: &Context) -> Result<BTreeMap<&'static str, Value>, Failure> {
    let (mut found, mut last, mut rest) = (BTreeMap::new(), json!({}), Vec::new());
    let deadline = Instant::now() + context.timeout();
    let each = |piece: &[u8]| {
        rest.extend_from_slice(piece);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Value>(line) else { continue };
            for name in SETTINGS {
                if record["data"].get(name).is_some_and(|value| *value != last[name]) {
                    last[name] = record["data"][name].clone();
                    found.insert(name, json!({ "version": record["version"], "method": record["method"] }));
                }
            }
        }
        Ok::<_, Failure>(true)
    };
    let streamed = client.stream(&Request::get("/log?method=rig_*"), deadline, PATIENCE, each);
    match streamed.map_err(Failure::of_read)?? {
        Some(response) => Err(response.into()),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_typed_and_sent_as_the_node_takes_them() {
        assert_eq!(setting("replication=sync"), Ok(("replication", json!("sync"))));
        assert_eq!(setting("min_replicas=2"), Ok(("min_replicas", json!(2))));
        assert_eq!(setting("sync_timeout=1.5s"), Ok(("sync_timeout_ms", json!(1500))));
        for bad in
            ["replication=fast", "min_replicas=0", "min_replicas=x", "sync_timeout=5", "sync_timeout=0s", "x=1", ""]
        {
            assert!(setting(bad).is_err(), "{bad}");
        }
    }
}
