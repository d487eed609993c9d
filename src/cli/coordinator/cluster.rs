//! Whose record it is that is to be mended, and what everybody of that cluster says.

use serde_json::Value;

use super::{Context, Failure, is_coordinator, open};
use crate::cli::ask::{question, word};
use crate::cli::registry::Registry;
use crate::cli::{serve, status, target};
use crate::client::{Client, Url};
use crate::coordinator::Address;
use crate::error::Exit;
use crate::node::{COORDINATOR_REPAIR, Origin};

/// A record, and a node that goes by it.
pub(super) struct Meant {
    pub(super) address: Address,
    pub(super) node: Url,
}

impl Meant {
    /// By the URL that was given, or the node that is meant.
    pub(super) fn of(given: Option<&Address>, context: &Context) -> Result<Self, Failure> {
        let by_node = context.node.as_deref().filter(|node| is_coordinator(node));
        let given = match (given, by_node) {
            (Some(address), _) => Some(address.clone()),
            (None, Some(node)) => Some(address(node).map_err(|error| Failure::usage(format!("--node: {error}")))?),
            (None, None) => None,
        };
        let Some(given) = given else {
            let (target, status) = status::of(None, context)?;
            let own = status["coordinator"]["url"].as_str().ok_or_else(|| {
                Failure::new(Exit::NotFound, "not_found", format!("{} has no coordinator", word(&status["name"]))).hint(
                    "name a node that has one with -N, or the record: rig coordinator repair etcd://HOST:2379/PREFIX",
                )
            })?;
            return Ok(Self { address: address(own).map_err(Failure::usage)?, node: target.url });
        };
        let node = match by_node {
            None if is_named(context) => named(&given, context)?,
            _ => found(&given, context)?,
        };
        Ok(Self { address: given, node })
    }
}

/// Whether this command line or its environment names a node: what a file says is for all commands.
fn is_named(context: &Context) -> bool {
    context.settings.iter().any(|setting| {
        let is_near = matches!(setting.origin, Origin::Flag | Origin::Environment(_));
        matches!(setting.key, "node" | "data_dir") && is_near && setting.value.is_some()
    })
}

/// The node that was named beside the record; it has to go by it.
fn named(given: &Address, context: &Context) -> Result<Url, Failure> {
    let (target, status) = status::of(None, context)?;
    // From here its own way to the record may be closed: then the node itself finds out.
    if goes_by(&status, given, context) != Some(false) {
        return Ok(target.url);
    }
    let name = word(&status["name"]);
    let message = match status["coordinator"]["url"].as_str() {
        Some(own) => format!("{name} goes by {own}, and not by {given}"),
        None => format!("{name} has no coordinator, and does not go by {given}"),
    };
    Err(Failure::usage(message).hint("name a node of the cluster whose record this is, or leave -N and -D out"))
}

/// A node that goes by this record: one that it names, or one of this machine.
fn found(given: &Address, context: &Context) -> Result<Url, Failure> {
    let record = open(given, context)?.look().map_err(super::failure)?.record.ok().flatten();
    let recorded = record.iter().flat_map(|record| std::iter::once(&record.primary).chain(&record.in_sync));
    for url in recorded.filter_map(|node| Url::parse(&node.url).ok()) {
        let status = status::ask(&url, context);
        if status.is_ok_and(|status| goes_by(&status, given, context) != Some(false)) {
            return Ok(url);
        }
    }
    let local = context.places.iter().flat_map(|places| Registry::new(&places.nodes).list());
    for (_, url) in local.filter_map(|entry| target::endpoint(&entry.open()?)) {
        let status = status::ask(&url, context);
        if status.is_ok_and(|status| goes_by(&status, given, context) == Some(true)) {
            return Ok(url);
        }
    }
    let message = format!("no node is known here that goes by {given} and answers");
    Err(Failure::new(Exit::NotFound, "no_such_node", message).hint("name one with -N NAME, or by its URL"))
}

/// Whether a node goes by this record; nothing where that cannot be told from here.
fn goes_by(status: &Value, given: &Address, context: &Context) -> Option<bool> {
    let Some(own) = status["coordinator"]["url"].as_str().and_then(|own| address(own).ok()) else { return Some(false) };
    if own.prefix() != given.prefix() || own == *given {
        return Some(own == *given);
    }
    // Members of one etcd can be named in many ways.
    let store = |address: &Address| Some(open(address, context).ok()?.look().ok()?.sighting.store);
    Some(store(&own)? == store(given)?)
}

fn address(text: &str) -> Result<Address, String> {
    serve::coordinator::address(text)
}

/// Everybody whom the log names.
pub(super) struct Cluster {
    pub(super) answers: Vec<(Value, Url)>,
    /// Names of those who do not answer.
    pub(super) silent: Vec<String>,
}

impl Cluster {
    /// Asks a node who they are, and each for its status.
    pub(super) fn ask(node: &Url, context: &Context) -> Result<Self, Failure> {
        let mut client = Client::new(node.clone(), target::options(context));
        let members = question(&mut client, "/members", context)?;
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        let own = status::ask(node, context)?;
        for member in members.as_array().into_iter().flatten() {
            // Where it is asked it answers, whatever address the log still has.
            let at_hand = (member["node_id"] == own["node_id"]).then(|| node.clone());
            let url = at_hand.or_else(|| Url::parse(&word(&member["url"])).ok());
            match url.and_then(|url| Some((status::ask(&url, context).ok()?, url))) {
                // Another node may have come to its address.
                Some((status, url)) if status["node_id"] == member["node_id"] => answers.push((status, url)),
                _ => silent.push(word(&member["name"])),
            }
        }
        Ok(Self { answers, silent })
    }

    /// Who leads the newest term; where nobody leads, who is to be primary and waits for the record.
    pub(super) fn leader(&self) -> Result<(&Value, &Url), Failure> {
        let newest = |is: fn(&Value) -> bool| {
            self.answers.iter().filter(|(status, _)| is(status)).max_by_key(|(status, _)| term(status))
        };
        let waits = |status: &Value| status["role"] == "primary" && wants_repair(status);
        let Some((leader, url)) = newest(leads).or_else(|| newest(waits)) else {
            return Err(Failure::new(Exit::Unavailable, "no_primary", "no member that answers leads").hint(
                "start the members; the one that led last waits for the record, and is told here to do without it",
            ));
        };
        match self.answers.iter().find(|(status, _)| status["epoch"].as_u64() > leader["epoch"].as_u64()) {
            Some((newer, _)) => {
                let message = format!(
                    "{} knows epoch {}, and {} leads an older one",
                    word(&newer["name"]),
                    newer["epoch"],
                    word(&leader["name"])
                );
                Err(Failure::new(Exit::Conflict, "stale_epoch", message)
                    .hint("wait until the newer one has opened, then try again"))
            }
            None => Ok((leader, url)),
        }
    }
}

pub(super) fn leads(status: &Value) -> bool {
    status["role"] == "primary" && matches!(status["state"].as_str(), Some("serving" | "degraded" | "blocked"))
}

/// Whether a node does not build on what is there.
pub(super) fn wants_repair(status: &Value) -> bool {
    status["coordinator"]["why"].as_str().is_some_and(|why| why.contains(COORDINATOR_REPAIR))
}

/// The term that a node knows.
pub(super) fn term(status: &Value) -> (Option<u64>, Option<&str>, Option<u64>) {
    (status["epoch"].as_u64(), status["owner"].as_str(), status["start"].as_u64())
}
