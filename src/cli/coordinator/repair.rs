//! `rig coordinator repair`: the record was lost, or cannot be read, and the node that leads writes it anew.
//!
//! ```text
//!   every member says its term ─► one leads, none knows a newer one ─► it is told: not what was seen ─► it swaps
//!                             └─► none leads, one waits for the record ─┘    who does not build on that is told its write
//! ```
//!
//! The record is never made up here: the primary writes it as it would write any other change of it.
//!
//! # Not here
//! Whose record it is, and what the members say (`cluster`).

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::cluster::{Cluster, Meant, leads, term, wants_repair};
use super::{Outcome, failure, open, value_of};
use crate::cli::ask::{order, word, words};
use crate::cli::output::Look;
use crate::cli::{Context, Failure, help, status, target};
use crate::client::{Client, Request, Url};
use crate::coordinator::{Address, Coordinator, Sighting};
use crate::error::Exit;

/// Between two looks whether it is done.
const PAUSE: Duration = Duration::from_millis(100);
/// So often a node is looked at before it is told what to build on.
const LOOKS: u32 = 5;

/// Let the primary write the record anew after it was lost
///
/// A record that was removed, that is none, or that is older than the one that a node has read is not built on by that node,
/// after a restart neither: writes go on while all members are there, and nobody takes over. This asks every member for its
/// term and lets the one that leads write the record again; where all were started anew, the one that waits to lead opens by
/// the rules of nodes without a coordinator, and writes it. It refuses while a member does not answer, because that one may
/// lead a newer term, and names it. --accept-data-loss goes on all the same: operations that such a member has answered are
/// then lost.
///
/// With URL it asks a node that goes by that record: the one that -N or -D names, or the record itself, or that runs here.
/// A record of another cluster, or of a newer release, is never replaced.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig coordinator repair --dry-run",
        "rig coordinator repair -N n1",
        "rig coordinator repair etcd://10.0.0.1:2379/rig/users --dry-run",
        "rig coordinator repair -N n1 --accept-data-loss --confirm n1",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Conflict, Exit::Unknown,
        Exit::Unavailable, Exit::Auth,
    ])
)]
pub(super) struct Args {
    /// Where the record is
    #[arg(value_name = "URL", value_parser = crate::cli::serve::coordinator::address)]
    url: Option<Address>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on although a member does not answer
    #[arg(long)]
    accept_data_loss: bool,
    /// The name of the primary, to say that this is meant
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// What is there.
enum Found {
    Record(Value),
    Nothing,
    /// At its key is something else.
    Rubbish(String),
    /// A record that only a newer release can read.
    Newer(String),
}

impl Found {
    fn look(coordinator: &mut Coordinator) -> Result<(Self, Sighting), Failure> {
        let look = coordinator.look().map_err(failure)?;
        let found = match look.record {
            Ok(Some(record)) => Self::Record(value_of(&record)),
            Ok(None) => Self::Nothing,
            Err(why) if why.is_newer() => Self::Newer(why.to_string()),
            Err(why) => Self::Rubbish(why.to_string()),
        };
        Ok((found, look.sighting))
    }

    fn in_words(&self) -> String {
        match self {
            Self::Record(record) => {
                format!("epoch {} of {}", record["epoch"]["number"], word(&record["primary"]["name"]))
            }
            Self::Nothing => "nothing".to_owned(),
            Self::Rubbish(why) | Self::Newer(why) => why.clone(),
        }
    }

    /// How it stands to the term of the node that leads, where that may go on.
    fn against(&self, leader: &Value, address: &Address) -> Result<Standing, Failure> {
        let record = match self {
            Self::Record(record) => record,
            Self::Nothing | Self::Rubbish(_) => return Ok(Standing::Lost),
            Self::Newer(why) => {
                let message = format!("the record at {address} was {why}. Nothing was changed");
                return Err(Failure::new(Exit::Conflict, "format", message).hint(format!(
                    "run the release here that the other nodes have; if no node has it any more, remove the record \
                     (etcdctl del {}/record) and try again",
                    address.prefix()
                )));
            }
        };
        if record["cluster_id"] != leader["cluster_id"] {
            let primary = &record["primary"];
            let message = format!(
                "the record at {address} is of another cluster ({}, led by {} at {}). Nothing was changed",
                word(&record["cluster_id"]),
                word(&primary["name"]),
                word(&primary["url"])
            );
            return Err(Failure::new(Exit::Conflict, "foreign_record", message)
                .hint("give one of the two clusters another prefix: start all its nodes with that --coordinator"));
        }
        let epoch = &record["epoch"];
        let there = (epoch["number"].as_u64(), epoch["owner"].as_str(), epoch["start"].as_u64());
        match there.cmp(&term(leader)) {
            std::cmp::Ordering::Greater => {
                let name = word(&leader["name"]);
                let message = format!("the record is of {}, newer than what {name} leads", self.in_words());
                Err(Failure::new(Exit::Conflict, "stale_epoch", message)
                    .hint("nothing is lost: who is named there takes over by itself; see `rig coordinator show`"))
            }
            std::cmp::Ordering::Equal if record["phase"] == "open" => Ok(Standing::Well),
            _ => Ok(Standing::Lost),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Well,
    Lost,
}

#[derive(Serialize)]
struct Repaired<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    primary: String,
    epoch: &'a Value,
    in_sync: &'a Value,
    found: String,
    done: bool,
    dry_run: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let Meant { address, node } = Meant::of(args.url.as_ref(), context)?;
    let cluster = Cluster::ask(&node, context)?;
    let mut coordinator = open(&address, context)?;
    let (found, seen) = Found::look(&mut coordinator)?;
    let (leader, url) = cluster.leader()?;
    let name = word(&leader["name"]);
    let standing = found.against(leader, &address)?;
    let is_written = standing == Standing::Well && leader["coordinator"]["reachable"] == true;
    let is_well = is_written && !cluster.answers.iter().any(|(status, _)| wants_repair(status));
    let (done, dry_run) = (!is_well && !args.dry_run, args.dry_run);
    if !is_well {
        vouch(&cluster, &args, &name, context)?;
    }
    if done {
        let seen = if let Found::Rubbish(_) = found { clear(&mut coordinator, seen)? } else { seen };
        if !is_written {
            tell(url, &json!({ "store": seen.store.to_string(), "revision": seen.revision }), context)?;
            wait(&mut coordinator, &address, url, context)?;
        }
        build_on(&cluster, &mut coordinator, context)?;
    }
    let (epoch, in_sync) = (&leader["epoch"], &leader["replication"]["in_sync"]);
    let (url, primary, found) = (address.to_string(), name.clone(), found.in_words());
    let repaired = Repaired { kind: "repaired", url, primary, epoch, in_sync, found, done, dry_run };
    context.out.either(&repaired, || {
        let look = |word| context.out.look(Look::Good, word);
        let term = format!("epoch {} of {name}, in sync: {}", repaired.epoch, words(in_sync, " "));
        match (is_well, dry_run) {
            (true, _) => format!("{}  nothing is to be mended: {term}\n", look("well")),
            (false, true) => {
                format!("{}  {name} would write {term}, in the place of: {}\n", look("possible"), repaired.found)
            }
            (false, false) => format!("{}  {term}\n", look("repaired")),
        }
    })?;
    Ok(Exit::Ok)
}

/// Whether nobody can lead without being seen here, or the operator takes that on himself.
fn vouch(cluster: &Cluster, args: &Args, leader: &str, context: &Context) -> Result<(), Failure> {
    if cluster.silent.is_empty() {
        return Ok(());
    }
    let silent = cluster.silent.join(", ");
    if !args.accept_data_loss {
        let message = format!("{silent} does not answer, and may lead a newer term than {leader}");
        return Err(Failure::new(Exit::Unavailable, "promotion_unsafe", message).hint(format!(
            "start it, or accept the loss: rig coordinator repair -N {leader} --accept-data-loss --confirm {leader}"
        )));
    }
    let what = format!("the term of {leader} is written, whatever {silent} has answered");
    // To look does not need a confirmation.
    if args.dry_run { Ok(()) } else { context.confirm(args.confirm.as_deref(), leader, &what) }
}

/// What is no record is removed, and nothing else.
fn clear(coordinator: &mut Coordinator, seen: Sighting) -> Result<Sighting, Failure> {
    coordinator.discard(seen.revision).map_err(failure)?;
    match Found::look(coordinator)? {
        (Found::Nothing, seen) => Ok(seen),
        (other, _) => {
            let message = format!("something has come into its place meanwhile: {}", other.in_words());
            Err(Failure::new(Exit::Unavailable, "coordinator", message)
                .hint("see `rig coordinator show`, and try again"))
        }
    }
}

fn tell(node: &Url, what: &Value, context: &Context) -> Result<(), Failure> {
    let mut client = Client::new(node.clone(), target::options(context));
    order(&mut client, &Request::post("/coordinator/accept", what.to_string()), context).map(drop)
}

/// The record is as the primary has it, and the primary goes by it.
fn wait(coordinator: &mut Coordinator, address: &Address, url: &Url, context: &Context) -> Result<(), Failure> {
    let deadline = Instant::now() + context.timeout();
    loop {
        let leader = status::ask(url, context)?;
        let is_its_own = leader["coordinator"]["reachable"] == true && leads(&leader);
        if is_its_own && Found::look(coordinator)?.0.against(&leader, address)? == Standing::Well {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let name = word(&leader["name"]);
            let message = match leader["coordinator"]["why"].as_str() {
                Some(why) => format!("{name} was told, and does not go by the record yet: {why}"),
                None => format!("{name} was told, and the record is not there yet"),
            };
            return Err(Failure::new(Exit::Unknown, "outcome_unknown", message)
                .hint("see `rig status` and `rig coordinator show`; then run this again"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Who still does not build on the record that was written is told which one it is.
fn build_on(cluster: &Cluster, coordinator: &mut Coordinator, context: &Context) -> Result<(), Failure> {
    let deadline = Instant::now() + context.timeout();
    for (_, url) in &cluster.answers {
        let (mut told, mut looks) = (None, 0);
        while wants_repair(&status::ask(url, context)?) {
            let Found::Record(record) = Found::look(coordinator)?.0 else { break };
            // By itself it takes a reading or two.
            looks += 1;
            if looks > LOOKS && told.as_ref() != Some(&record["write"]) {
                tell(url, &json!({ "write": record["write"] }), context)?;
                told = Some(record["write"].clone());
            }
            if Instant::now() >= deadline {
                let message = format!("{url} was told, and does not build on the record yet");
                return Err(Failure::new(Exit::Unknown, "outcome_unknown", message).hint("see `rig status`"));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
