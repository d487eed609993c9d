//! `rig coordinator repair`: the record was lost, or cannot be read, and the node that leads writes it anew.
//!
//! ```text
//!   every member says its term ─► one leads, none knows a newer one ─► it is told: write it anew ─► it swaps
//!                             └─► none leads, one waits for the record ─┘       who does not build on that is told its write
//! ```
//!
//! The record is never made up here: the primary writes it as it would write any other change of it.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::{Outcome, address_of, failure, open, value_of};
use crate::cli::ask::{order, question, word, words};
use crate::cli::output::Look;
use crate::cli::{Context, Failure, help, status, target};
use crate::client::{Client, Request, Url};
use crate::coordinator::{Address, Coordinator, Kind};
use crate::error::Exit;
use crate::node::COORDINATOR_REPAIR;

/// Between two looks whether it is done.
const PAUSE: Duration = Duration::from_millis(100);
/// So often a node is looked at before it is told what to build on.
const LOOKS: u32 = 5;

/// Let the primary write the record anew after it was lost
///
/// A record that was removed, that is none, or that is older than the one that a node has read is not built on by that node,
/// after a restart neither: writes go on while all members are there, and nobody takes over. This asks every member for its
/// term and lets the one that leads write the record again; where all were started anew, the one that waits to lead opens by
/// the rules of nodes without a coordinator, and writes it. It refuses while a member does not answer, because that one may lead a newer term, and names it.
/// --accept-data-loss goes on all the same: operations that such a member has answered are then lost.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig coordinator repair --dry-run",
        "rig coordinator repair -N n1",
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
}

impl Found {
    fn read(coordinator: &mut Coordinator) -> Result<Self, Failure> {
        match coordinator.read() {
            Ok(reading) => Ok(reading.record.as_ref().map_or(Self::Nothing, |record| Self::Record(value_of(record)))),
            Err(error) => match error.kind() {
                Kind::Record { .. } => Ok(Self::Rubbish(error.to_string())),
                _ => Err(failure(error)),
            },
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Record(record) => {
                format!("epoch {} of {}", record["epoch"]["number"], word(&record["primary"]["name"]))
            }
            Self::Nothing => "nothing".to_owned(),
            Self::Rubbish(why) => why.clone(),
        }
    }

    /// How it stands to the term of the node that leads.
    fn against(&self, leader: &Value) -> Standing {
        let Self::Record(record) = self else { return Standing::Lost };
        let epoch = &record["epoch"];
        let there = (epoch["number"].as_u64(), epoch["owner"].as_str(), epoch["start"].as_u64());
        match there.cmp(&term(leader)) {
            std::cmp::Ordering::Greater => Standing::Ahead,
            std::cmp::Ordering::Equal if record["phase"] == "open" => Standing::Well,
            _ => Standing::Lost,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Well,
    /// Somebody is taking over, or has tried to.
    Ahead,
    Lost,
}

fn leads(status: &Value) -> bool {
    status["role"] == "primary" && matches!(status["state"].as_str(), Some("serving" | "degraded" | "blocked"))
}

fn term(status: &Value) -> (Option<u64>, Option<&str>, Option<u64>) {
    (status["epoch"].as_u64(), status["owner"].as_str(), status["start"].as_u64())
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
    let cluster = Cluster::ask(context)?;
    let address = address_of(args.url.clone(), context)?;
    let mut coordinator = open(&address, context)?;
    let found = Found::read(&mut coordinator)?;
    let (leader, url) = cluster.leader()?;
    let name = word(&leader["name"]);
    let standing = found.against(leader);
    if standing == Standing::Ahead {
        let message = format!("the record is of {}, newer than what {name} leads", found.in_words());
        return Err(Failure::new(Exit::Conflict, "stale_epoch", message)
            .hint("nothing is lost: who is named there takes over by itself; see `rig coordinator show`"));
    }
    let is_written = standing == Standing::Well && leader["coordinator"]["reachable"] == true;
    let is_well = is_written && !cluster.answers.iter().any(|(status, _)| wants_repair(status));
    let (done, dry_run) = (!is_well && !args.dry_run, args.dry_run);
    if done {
        cluster.vouch(&args, &name, context)?;
        if matches!(found, Found::Rubbish(_)) {
            coordinator.discard().map_err(failure)?;
        }
        if !is_written {
            let mut client = Client::new(url.clone(), target::options(context));
            order(&mut client, &Request::post("/coordinator/accept", "{}"), context)?;
            wait(&mut coordinator, url, context)?;
        }
        cluster.build_on(&mut coordinator, context)?;
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

/// Whether a node does not build on what is there.
fn wants_repair(status: &Value) -> bool {
    status["coordinator"]["why"].as_str().is_some_and(|why| why.contains(COORDINATOR_REPAIR))
}

/// The record is as the primary has it.
fn wait(coordinator: &mut Coordinator, url: &Url, context: &Context) -> Result<(), Failure> {
    let deadline = Instant::now() + context.timeout();
    loop {
        let leader = status::ask(url, context)?;
        let is_its_own = leader["coordinator"]["reachable"] == true && leads(&leader);
        if is_its_own && Found::read(coordinator)?.against(&leader) == Standing::Well {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let message = format!("{} was told, and the record is not there yet", word(&leader["name"]));
            return Err(Failure::new(Exit::Unknown, "outcome_unknown", message)
                .hint("see `rig status` and `rig coordinator show`"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Everybody whom the log names.
struct Cluster {
    answers: Vec<(Value, Url)>,
    silent: Vec<String>,
}

impl Cluster {
    fn ask(context: &Context) -> Result<Self, Failure> {
        let target = target::node(context)?;
        let mut client = Client::new(target.url.clone(), target::options(context));
        let members = question(&mut client, "/members", context)?;
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for member in members.as_array().into_iter().flatten() {
            let url = Url::parse(&word(&member["url"])).ok();
            match url.and_then(|url| Some((status::ask(&url, context).ok()?, url))) {
                // Another node may have come to its address.
                Some((status, url)) if status["node_id"] == member["node_id"] => answers.push((status, url)),
                _ => silent.push(word(&member["name"])),
            }
        }
        Ok(Self { answers, silent })
    }

    /// Who leads the newest term; where nobody leads, who is to be primary and waits for the record.
    fn leader(&self) -> Result<(&Value, &Url), Failure> {
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

    /// Who still does not build on the record that was written is told which one it is.
    fn build_on(&self, coordinator: &mut Coordinator, context: &Context) -> Result<(), Failure> {
        let deadline = Instant::now() + context.timeout();
        for (_, url) in &self.answers {
            let mut told = None;
            let mut looks = 0;
            while wants_repair(&status::ask(url, context)?) {
                let Found::Record(record) = Found::read(coordinator)? else { break };
                // By itself it takes a reading or two.
                looks += 1;
                if looks > LOOKS && told.as_ref() != Some(&record["write"]) {
                    let mut client = Client::new(url.clone(), target::options(context));
                    let body = serde_json::json!({ "write": record["write"] }).to_string();
                    order(&mut client, &Request::post("/coordinator/accept", body), context)?;
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

    /// Whether nobody can lead without being seen here.
    fn vouch(&self, args: &Args, leader: &str, context: &Context) -> Result<(), Failure> {
        if self.silent.is_empty() {
            return Ok(());
        }
        let silent = self.silent.join(", ");
        if !args.accept_data_loss {
            let message = format!("{silent} does not answer, and may lead a newer term than {leader}");
            return Err(Failure::new(Exit::Unavailable, "promotion_unsafe", message).hint(format!(
                "start it, or accept the loss: rig coordinator repair -N {leader} --accept-data-loss --confirm {leader}"
            )));
        }
        let what = format!("the term of {leader} is written, whatever {silent} has answered");
        context.confirm(args.confirm.as_deref(), leader, &what)
    }
}
