//! What is measured: throw-away nodes of this same binary, or nodes that run.
//!
//! ```text
//!   clients ──► n1 primary ══ sync ══► n2 replica        each a process of its own, in one scratch directory
//! ```
//!
//! A pair is measured only when its replica is in sync: before that, answers would rest on one disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Args;
use super::meters::Meters;
use crate::cli::scratch::{Scratch, Server, secluded, this_program};
use crate::cli::{Context, Failure, status, target};
use crate::client::{Client, Options, Request, Url};
use crate::error::Exit;
use crate::net::Trust;
use crate::node::dir::DataDir;

const START_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// The nodes that are measured.
pub(super) struct Subject {
    /// The first one gets the load.
    pub(super) nodes: Vec<Measured>,
    /// Where its log is, when that is on this machine.
    pub(super) folder: Option<PathBuf>,
    /// As it is shown.
    pub(super) name: String,
    pub(super) token: Option<String>,
    pub(super) trust: Option<Trust>,
    /// Dropped behind the processes that live in it.
    _scratch: Option<Scratch>,
}

/// One of them.
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) url: Url,
    client: Client,
    server: Option<Server>,
}

impl Subject {
    pub(super) fn find(args: &Args, context: &Context) -> Result<Self, Failure> {
        if context.node.is_none() && context.data_dir.is_none() {
            return Self::throw_away(args, context);
        }
        if args.nodes.is_some() {
            return Err(Failure::usage("--nodes is how many throw-away nodes to start; -N and -D name one that runs"));
        }
        let target = target::node(context)?;
        if !args.yes {
            let message = format!("the documents would stay in the node at {}", target.url);
            return Err(Failure::new(Exit::Usage, "not_confirmed", message)
                .hint("add --yes to measure it, or leave out -N and -D to measure throw-away nodes"));
        }
        if args.disk && target.dir.is_none() {
            return Err(Failure::usage("--disk measures the disk of the node, which is not on this machine"));
        }
        let status = status::ask(&target.url, context)?;
        let name = status["name"].as_str().unwrap_or("-");
        let role = status["role"].as_str().unwrap_or("-");
        let mut nodes = vec![Measured::new(name, role, target.url.clone(), target::options(context), None)];
        if role == "primary" {
            let replica = |peer| replica(peer, context.trust.clone());
            nodes.extend(status["peers"].as_array().into_iter().flatten().filter_map(replica));
        }
        Ok(Self {
            nodes,
            name: target.url.to_string(),
            folder: target.dir.map(|dir| dir.run()),
            token: context.token.clone(),
            trust: context.trust.clone(),
            _scratch: None,
        })
    }

    fn throw_away(args: &Args, context: &Context) -> Result<Self, Failure> {
        let place = match &args.dir {
            Some(dir) => dir.clone(),
            None => place_on_disk(),
        };
        if in_memory(&place) {
            context.out.note(format_args!("{} is in memory: syncs cost nothing there, see --dir", place.display()));
        }
        let scratch = Scratch::new("bench", &place)?;
        let pair = args.nodes != Some(1);
        let primary: &[&str] =
            if pair { &["--role", "primary", "--replication", "sync"] } else { &["--role", "primary"] };
        let mut nodes = vec![Measured::start(&scratch, "n1", primary)?];
        if pair {
            let peer = nodes[0].url.to_string();
            nodes.push(Measured::start(&scratch, "n2", &["--role", "replica", "--peer", &peer])?);
            nodes[0].until_in_sync()?;
        }
        let what = if pair { "a primary and its replica, in mode sync," } else { "one node" };
        Ok(Self {
            nodes,
            folder: Some(DataDir::open(&scratch.path().join("n1"))?.run()),
            name: format!("{what} in {}", place.display()),
            token: None,
            trust: None,
            _scratch: Some(scratch),
        })
    }

    /// Where the load goes.
    pub(super) fn url(&self) -> &Url {
        &self.nodes[0].url
    }

    /// A connection to the node that gets the load.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.nodes[0].client
    }

    /// What each node has counted so far; nothing for a replica that has gone away, which the others outlive.
    pub(super) fn meters(&mut self) -> Result<Vec<Meters>, Failure> {
        let mut all = Vec::with_capacity(self.nodes.len());
        for (place, node) in self.nodes.iter_mut().enumerate() {
            match Meters::read(&mut node.client) {
                Err(failure) if place == 0 => return Err(failure),
                read => all.push(read.unwrap_or_default()),
            }
        }
        Ok(all)
    }

    /// Ends the throw-away nodes: the primary first, so that it does not wait for a replica that is gone.
    pub(super) fn stop(self) -> Result<(), Failure> {
        self.nodes.into_iter().filter_map(|node| node.server).try_for_each(|server| server.stop().map(|_| ()))
    }
}

/// A replica that says what it counts to whoever asks.
fn replica(peer: &Value, trust: Option<Trust>) -> Option<Measured> {
    let url = Url::parse(peer["url"].as_str()?).ok()?;
    let mut node = Measured::new(peer["name"].as_str()?, "replica", url, Options { trust, ..Options::default() }, None);
    Meters::read(&mut node.client).ok().map(|_| node)
}

impl Measured {
    fn new(name: &str, role: &str, url: Url, options: Options, server: Option<Server>) -> Self {
        let client = Client::new(url.clone(), options);
        Self { name: name.to_owned(), role: role.to_owned(), url, client, server }
    }

    fn start(scratch: &Scratch, name: &str, flags: &[&str]) -> Result<Self, Failure> {
        let dir = DataDir::init(&scratch.path().join(name), name)?;
        let mut command = secluded(&this_program()?, scratch.path());
        command.arg("serve").arg("-D").arg(dir.path()).args(["--listen", "127.0.0.1:0", "--json"]).args(flags);
        let is_ready = |line: &str| line.contains("\"ready\"");
        let log = scratch.path().join(format!("{name}.log"));
        let (server, said) = Server::start(command, &log, START_PATIENCE, is_ready)?;
        let url = said.last().and_then(|line| http_of(line)).ok_or_else(|| {
            Failure::new(Exit::Failure, "not_ready", format!("the throw-away node said {:?}", said.last()))
        })?;
        Ok(Self::new(name, flags[1], url, Options::default(), Some(server)))
    }

    /// Waits until every peer of this primary is in its in-sync set.
    fn until_in_sync(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let answer = self.client.send(&Request::get("/status"), deadline).map_err(Failure::of_read)?;
            let status: Value = answer.data().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
            let peers = status["peers"].as_array().map_or(&[][..], Vec::as_slice);
            if status["state"] == "serving" && !peers.is_empty() && peers.iter().all(|peer| peer["in_sync"] == true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let message = format!("the throw-away replica is not in sync after {} s", START_PATIENCE.as_secs());
                return Err(Failure::new(Exit::Failure, "not_in_sync", message));
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// The address in the line with which a node says that it is ready.
pub(super) fn http_of(line: &str) -> Option<Url> {
    #[derive(serde::Deserialize)]
    struct Ready {
        http: String,
    }
    serde_json::from_str::<Ready>(line).ok().and_then(|ready| Url::parse(&ready.http).ok())
}

/// Where temporary files are, on a disk if there is one: many systems keep `/tmp` in memory.
fn place_on_disk() -> PathBuf {
    let first = std::env::temp_dir();
    let other = Path::new("/var/tmp");
    if in_memory(&first) && other.is_dir() && !in_memory(other) { other.to_owned() } else { first }
}

fn in_memory(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: u64 = 0x0102_1994;
        rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
impl Subject {
    /// A pair that nobody has started.
    pub(super) fn of_names(names: [&str; 2]) -> Self {
        let node = |(name, role): (&str, &str)| {
            Measured::new(name, role, Url::parse("http://127.0.0.1:1").unwrap(), Options::default(), None)
        };
        Self {
            nodes: names.into_iter().zip(["primary", "replica"]).map(node).collect(),
            folder: None,
            name: "a pair".to_owned(),
            token: None,
            trust: None,
            _scratch: None,
        }
    }
}
