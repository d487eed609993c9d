//! `rig serve`: runs a node in the foreground. Here are its arguments and what it prints; the node is `node`.

pub(crate) mod coordinator;
pub(crate) mod settings;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::output::Look;
use super::settings::File;
use super::{Context, Failure, Outcome, help, target, values};
use crate::client::Url;
use crate::error::Exit;
use crate::limits::{MEMBERS_MAX, REQUEST_TIMEOUT_MAX, SCRUB_INTERVAL, SNAPSHOT_INTERVAL};
use crate::net;
use crate::node::dir::DataDir;
use crate::node::{self, CoordinatorConfig, Node, NodeError, Source};
use crate::replication::Asked;
use crate::types::{AckLevel, Mode, NodeState, Role, Version};

/// Where a node listens when nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7440";
/// What operations are for.
const SERVICE_DEFAULT: &str = "documents";
/// How long a request may take that does not say so itself.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How long requests under way may take at the end.
const DRAIN_DEFAULT: Duration = Duration::from_secs(10);

/// Run a node in the foreground
///
/// A fresh data directory becomes a primary; after that the role is remembered. A replica finds its primary by
/// --peer, becomes a member of its cluster, and is caught up; the primary needs no --peer for that. The first SIGINT
/// or SIGTERM stops accepting, finishes what is under way and ends with 0; a second one ends at once with 130, which
/// is always safe.
///
/// A primary that has other members opens only when it is certain that none of them has taken over; until then it
/// answers requests, but is `recovering` and says whom it waits for. So does `rig status`.
///
/// What is given here and differs from what the log says (mode, replicas, time-out) is a change, and recorded
/// in the log. An address beyond loopback needs --tokens, and --tls-cert with --tls-key or --insecure-plaintext.
///
/// With --tls-cert and --tls-key the node speaks TLS, on the same port and nothing else, and its URL is https://. The
/// certificate must have the name or address of every such URL. With --tls-ca the other nodes must show a certificate of
/// that CA, and are dialled by https:// alone: the node's own certificate is for both sides then (serverAuth and
/// clientAuth, where it says so). The key must be readable by its owner alone. Files that change are read again within a
/// second or two, for new connections; wrong ones change nothing.
///
/// What is not given here is taken from DIR/rig.toml, if there is one: a line `KEY = VALUE` for each flag but --role, with
/// `_` for `-`, as `request_timeout = "2s"`, `insecure_plaintext = true` and `peers = ["http://n1:7440"]`. Paths in it are
/// meant from DIR. The running node looks once a second whether rig.toml or a file of tokens or certificates has changed: tokens,
/// certificates, request_timeout, snapshot_interval, compact_keep, compact_age and drain hold at once, everything else is named as waiting for a
/// restart, in its messages, its events and `rig status`. A file that is wrong changes nothing. No signal is needed for that: SIGHUP ends the node as SIGTERM does.
///
/// The file of --tokens has a line `NAME ROLE TOKEN` for each token, where ROLE is read, write, admin or peer. Put a new
/// file in its place with mv. A node shows the first peer token to other nodes: to replace it, add the new one behind it
/// everywhere, then move it to the front everywhere, then remove the old one.
///
/// A client of `-N etcd://HOST/PREFIX` sends its token to the URL that the record names: who can write the record can collect tokens.
/// Let only the nodes write below the prefix of --coordinator, by users and roles of etcd, and use etcds:// and https://.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig serve --role primary",
        "rig serve -D ./n2 --role replica --listen 127.0.0.1:7441 --peer http://127.0.0.1:7440",
        "rig serve -D ./n1 --listen 127.0.0.1:0 --json",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Conflict, Exit::Corrupt, Exit::InUse,
    ])
)]
pub struct Args {
    /// What the node is asked to be [default: as before, at first primary]
    #[arg(long, value_name = "ROLE", value_parser = ["primary", "replica"])]
    role: Option<String>,
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:7440]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// How others reach this node, when that is not the listen address
    #[arg(long, value_name = "URL", value_parser = url)]
    advertise: Option<Url>,
    /// Another node of the cluster; may be given again
    #[arg(long, value_name = "URL", value_parser = url)]
    peer: Vec<Url>,
    /// What an answer waits for: sync, semi-sync or async [default: as in the log, at first semi-sync]
    #[arg(long, value_name = "MODE", value_parser = ["sync", "semi-sync", "async"])]
    replication: Option<String>,
    /// In sync mode, replicas that must hold a write [default: as in the log, at first 1]
    #[arg(long, value_name = "N")]
    min_replicas: Option<u32>,
    /// How long a silent replica is waited for [default: as in the log, at first 2s]
    #[arg(long, value_name = "DURATION", value_parser = values::positive_duration)]
    sync_timeout: Option<Duration>,
    /// What an acknowledgement of a replica means: durable, received or applied [default: as in the log, at first durable]
    #[arg(long, value_name = "LEVEL", value_parser = ["durable", "received", "applied"])]
    ack: Option<String>,
    /// How long a request may take that does not say so itself, at most 60s [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = request_timeout)]
    request_timeout: Option<Duration>,
    /// The service that operations are for: documents, http://HOST:PORT/PATH, or exec:COMMAND [default: documents]
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Pass GET and HEAD of paths that are not Rig's own on to the service, or to where it serves its reads
    #[arg(long, value_name = "URL", num_args = 0..=1, value_parser = base)]
    proxy: Option<Option<String>>,
    /// File with the tokens that clients must show
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tokens: Option<PathBuf>,
    /// Certificate to show, with those between it and its CA: the node speaks TLS
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
    /// Certificate of the CA that the other nodes must be of
    // Not the global flag of this name, which its environment has a word on.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tls_ca: Option<PathBuf>,
    /// Listen beyond loopback although tokens and data travel in the clear
    #[arg(long)]
    insecure_plaintext: bool,
    /// Memory for documents and indexes, above which growing operations are refused [default: two thirds of the machine's]
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    memory_max: Option<u64>,
    /// How often the whole log is read again in the background and verified, as `rig log verify` does it [default: 12h]
    #[arg(long, value_name = "DURATION", value_parser = values::positive_duration)]
    scrub_interval: Option<Duration>,
    /// Write a snapshot when the newest is so old and something is new, also when few records came; or off [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = values::interval)]
    snapshot_interval: Option<Duration>,
    /// Compact the log behind each new snapshot, and keep so many of the newest records [default: never; 10000 with --compact-age]
    #[arg(long, value_name = "RECORDS")]
    compact_keep: Option<u64>,
    /// Compact the log behind each new snapshot, and keep the records that are younger, beside the newest [default: never]
    #[arg(long, value_name = "DURATION", value_parser = values::positive_duration)]
    compact_age: Option<Duration>,
    /// A command for the shell that is run for each event, one after the other; it reads the event's line and finds RIG_EVENT, RIG_EVENT_SEQ, RIG_EVENT_TIME and RIG_NODE
    #[arg(long, value_name = "COMMAND", value_hint = clap::ValueHint::CommandString)]
    on_event: Option<String>,
    /// Where the nodes of the cluster keep who leads, so that a replica takes over by itself: etcd://[USER@]HOST:PORT[,HOST:PORT]/PREFIX, or etcds:// by TLS; none where the node had one and is to go on without
    #[arg(long, value_name = "URL", value_parser = coordinator::named)]
    coordinator: Option<coordinator::Named>,
    /// How long a primary that says nothing to the coordinator is believed to be there, from 1s to 60s [default: 3s]
    #[arg(long, value_name = "DURATION", value_parser = coordinator::lease)]
    coordinator_lease: Option<Duration>,
    /// File with the password of the user that --coordinator names
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    coordinator_password: Option<PathBuf>,
    /// Certificate of the CA that the coordinator's certificates are of
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    coordinator_ca: Option<PathBuf>,
    /// How the node's messages on stderr look [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
    /// How long requests under way may take at the end [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    drain: Option<Duration>,
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

fn base(text: &str) -> Result<String, String> {
    node::Base::parse(text).map(|_| text.to_owned())
}

fn request_timeout(text: &str) -> Result<Duration, String> {
    match values::positive_duration(text)? {
        duration if duration <= REQUEST_TIMEOUT_MAX => Ok(duration),
        _ => Err(format!("at most {}", values::show_duration(REQUEST_TIMEOUT_MAX))),
    }
}

/// What was asked for, checked as far as it can be without starting anything.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The directory, initialised.
    pub dir: DataDir,
    /// Nothing: as remembered.
    pub role: Option<Role>,
    /// Where to look for other nodes.
    pub peers: Vec<Url>,
    /// The address to bind.
    pub listen: SocketAddr,
    /// How others reach it, when that is not the bound address.
    pub advertise: Option<Url>,
    /// Nothing: as in the log.
    pub replication: Option<Mode>,
    /// Nothing: as in the log.
    pub min_replicas: Option<u32>,
    /// Nothing: as in the log.
    pub sync_timeout: Option<Duration>,
    /// Nothing: as in the log.
    pub ack: Option<AckLevel>,
    /// What operations are for.
    pub service: Source,
    /// Where its reads go; nothing: nowhere.
    pub proxy: Option<String>,
    /// For requests that do not say.
    pub request_timeout: Duration,
    /// File with the tokens.
    pub tokens: Option<PathBuf>,
    /// Certificate, key and CA.
    pub tls: Option<net::Files>,
    /// Listen beyond loopback in the clear.
    pub insecure_plaintext: bool,
    /// Nothing: a share of the machine's.
    pub memory_max_bytes: Option<u64>,
    /// From one reading of the log to the next.
    pub scrub_interval: Duration,
    /// From one snapshot to the next at most.
    pub snapshot_interval: Option<Duration>,
    /// Records that stay when it compacts by itself.
    pub compact_keep: Option<u64>,
    /// Age below which they stay then.
    pub compact_age: Option<Duration>,
    /// Run for each event.
    pub on_event: Option<String>,
    /// What decides who leads when nodes are away.
    pub coordinator: Option<CoordinatorConfig>,
    /// Not any more.
    pub leaves_coordinator: bool,
    /// Whether messages are JSON.
    pub logs_json: bool,
    /// For requests under way at the end.
    pub drain: Duration,
    /// All of that as it was said, and where.
    pub settings: Vec<node::Setting>,
    /// How the file of the directory is read again.
    pub live: Option<node::Live>,
}

/// Checks the arguments, opens the directory, and refuses what this version cannot do.
pub fn plan(args: Args, context: &Context) -> Result<Plan, Failure> {
    let path = target::dir_path(context)?;
    let file = settings::read(&path)?;
    check(&args.clone().or(file.args.clone()))?;
    let dir = DataDir::open(&path)?;
    let plan = Plan::of(args.clone(), &file, dir.clone())?;
    Ok(Plan { live: Some(settings::live(args, dir)), ..plan })
}

/// What the file of a directory comes to.
pub(crate) struct OfFile {
    /// The keys that it sets.
    pub(crate) keys: Vec<String>,
    /// The address that a node of the directory takes.
    pub(crate) listen: String,
    /// Why a node does not start with this file and no flags.
    pub(crate) conflict: Option<Failure>,
}

/// Reads the file of a directory as a start does, and opens nothing but the files that it names.
pub(crate) fn read_file(dir: &DataDir) -> Result<OfFile, Failure> {
    let file = settings::read(dir.path())?;
    let plan = Plan::of(Args::default(), &file, dir.clone());
    let checked = plan.and_then(|plan| Node::check(&config(plan)).map_err(failure_of));
    Ok(OfFile {
        keys: file.keys().map(str::to_owned).collect(),
        listen: file.args.listen.clone().unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
        conflict: checked.err(),
    })
}

/// Whether all of this can be, as far as it can be seen without a directory: what operations are for, where their reads go,
/// and where to listen.
fn check(args: &Args) -> Result<(Source, Option<String>, SocketAddr), Failure> {
    let service = service(args.service.as_deref().unwrap_or(SERVICE_DEFAULT))?;
    let proxy = args.proxy.clone().map(|url| proxy(url, &service)).transpose()?;
    if args.min_replicas.is_some_and(|wanted| wanted == 0 || wanted as usize >= MEMBERS_MAX) {
        return Err(Failure::usage(format!("--min-replicas is a number from 1 to {}", MEMBERS_MAX - 1)));
    }
    let listen = check_exposure(args)?;
    tls(args)?;
    coordinator::config(args)?;
    Ok((service, proxy, listen))
}

/// The files of TLS: all that are needed, or none; and no URL that contradicts them.
fn tls(args: &Args) -> Result<Option<net::Files>, Failure> {
    let (cert, key) = match (&args.tls_cert, &args.tls_key, &args.tls_ca) {
        (None, None, None) => (None, None),
        (Some(cert), Some(key), _) => (Some(cert), Some(key)),
        (Some(_), None, _) => {
            return Err(Failure::usage("--tls-cert needs --tls-key FILE, the key of the certificate"));
        }
        (None, ..) => {
            let message = "--tls-key and --tls-ca need --tls-cert FILE, the certificate that this node shows";
            return Err(Failure::usage(message));
        }
    };
    if let Some(url) = args.advertise.as_ref().filter(|url| url.is_secure() != cert.is_some()) {
        let scheme = if cert.is_some() { net::SECURE } else { net::PLAIN };
        return Err(Failure::usage(format!("--advertise {url}: this node speaks {scheme}"))
            .hint(format!("write it as {scheme}{}", url.authority())));
    }
    if let Some(url) = args.peer.iter().find(|url| url.is_secure() && args.tls_ca.is_none()) {
        return Err(Failure::usage(format!("--peer {url}: there is no CA that its certificate could be checked by"))
            .hint("add --tls-ca FILE, with --tls-cert and --tls-key"));
    }
    let has_open = args.peer.iter().find(|url| !url.is_secure() && args.tls_ca.is_some() && !args.insecure_plaintext);
    if let Some(url) = has_open {
        return Err(Failure::usage(format!("--peer {url}: with --tls-ca the other nodes are spoken to by TLS"))
            .hint(format!("write it as https://{}", url.authority())));
    }
    Ok(cert.zip(key).map(|(cert, key)| net::Files { cert: cert.clone(), key: key.clone(), ca: args.tls_ca.clone() }))
}

/// Beyond loopback a node needs tokens, and TLS or the operator's word that the network is trusted.
fn check_exposure(args: &Args) -> Result<SocketAddr, Failure> {
    let listen = address(args.listen.as_deref().unwrap_or(LISTEN_DEFAULT))?;
    if listen.ip().is_loopback() {
        return Ok(listen);
    }
    if args.tokens.is_none() {
        let message = format!("{listen} can be reached from other machines, and no --tokens are given");
        return Err(Failure::usage(message).hint("give --tokens FILE, or listen on 127.0.0.1"));
    }
    if args.tls_cert.is_none() && !args.insecure_plaintext {
        let message = format!("{listen} can be reached from other machines, and there is no TLS");
        return Err(Failure::usage(message).hint(
            "add --tls-cert and --tls-key, or --insecure-plaintext if the network is trusted, or listen on 127.0.0.1",
        ));
    }
    Ok(listen)
}

impl Plan {
    /// What the command line and the file come to together.
    fn of(typed: Args, file: &File<Args>, dir: DataDir) -> Result<Self, Failure> {
        let settings = settings::settings(&typed, file);
        let args = typed.or(file.args.clone());
        let ((service, proxy, listen), tls, coordinator) = (check(&args)?, tls(&args)?, coordinator::config(&args)?);
        if let Some(tokens) = &args.tokens {
            std::fs::File::open(tokens)
                .map_err(|error| Failure { exit: Exit::Usage, ..Failure::io("read", tokens, &error) })?;
        }
        Ok(Self {
            dir,
            peers: args.peer,
            role: args.role.as_deref().and_then(|word| word.parse().ok()),
            listen,
            advertise: args.advertise,
            replication: args.replication.as_deref().and_then(|word| word.parse().ok()),
            min_replicas: args.min_replicas,
            sync_timeout: args.sync_timeout,
            ack: args.ack.as_deref().and_then(|word| word.parse().ok()),
            service,
            proxy,
            request_timeout: args.request_timeout.unwrap_or(REQUEST_TIMEOUT_DEFAULT),
            tokens: args.tokens,
            tls,
            insecure_plaintext: args.insecure_plaintext,
            memory_max_bytes: args.memory_max,
            scrub_interval: args.scrub_interval.unwrap_or(SCRUB_INTERVAL),
            snapshot_interval: Some(args.snapshot_interval.unwrap_or(SNAPSHOT_INTERVAL)).filter(|time| !time.is_zero()),
            compact_keep: args.compact_keep,
            compact_age: args.compact_age,
            on_event: args.on_event,
            coordinator,
            leaves_coordinator: args.coordinator == Some(coordinator::Named::None),
            logs_json: args.log_format.is_some_and(|format| format == "json"),
            drain: args.drain.unwrap_or(DRAIN_DEFAULT),
            settings,
            live: None,
        })
    }
}

/// Runs a node until it is told to stop.
pub fn run(args: Args, context: &Context) -> Outcome {
    let plan = plan(args, context)?;
    super::logger::start(plan.logs_json);
    let (dir, peers) = (plan.dir.clone(), plan.peers.clone());
    let node = Node::start(config(plan)).map_err(failure_of)?;
    stop_on_signals(&node)?;
    let mut announced = Ok(());
    let on_ready = |ready: &node::Ready| {
        announced = announce(ready, &peers, context);
        super::init::remember(&dir, context);
    };
    node.run(on_ready).map_err(failure_of)?;
    announced.map(|()| Exit::Ok)
}

/// Whom it follows or waits for, in one line; nothing for a primary that is open.
fn company(ready: &node::Ready, peers: &[Url]) -> Option<String> {
    let waits_for = || match (&ready.coordinator_fault, ready.waits_for.is_empty(), peers.is_empty()) {
        (Some(fault), ..) => format!("the coordinator ({fault})"),
        (None, false, _) => ready.waits_for.join(", "),
        (None, true, false) => peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        (None, true, true) => "a primary that calls it".to_owned(),
    };
    match (ready.role, ready.state, &ready.primary) {
        (_, NodeState::Recovering, _) | (Role::Replica, _, None) => {
            Some(format!("{}, waits for {}", ready.state, waits_for()))
        }
        (Role::Replica, state, Some(primary)) => Some(format!("{state}, follows {primary}")),
        (Role::Primary, NodeState::Serving, _) => None,
        (Role::Primary, NodeState::Blocked, _) => {
            Some("blocked, waits for a replica: writes are refused until then".to_owned())
        }
        (Role::Primary, state, _) => Some(state.to_string()),
    }
}

fn config(plan: Plan) -> node::Config {
    node::Config {
        listen: plan.listen,
        advertise: plan.advertise.map(|url| url.to_string()),
        asked: Asked {
            ack: plan.ack,
            replication: plan.replication,
            min_replicas: plan.min_replicas,
            sync_timeout_ms: plan.sync_timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        },
        role: plan.role,
        peers: plan.peers.iter().map(ToString::to_string).collect(),
        request_timeout: plan.request_timeout,
        drain: plan.drain,
        tokens: plan.tokens,
        tls: plan.tls,
        insecure_plaintext: plan.insecure_plaintext,
        service: plan.service,
        proxy: plan.proxy,
        memory_max_bytes: plan.memory_max_bytes.unwrap_or_else(node::default_memory_max),
        scrub_interval: plan.scrub_interval,
        snapshot_interval: plan.snapshot_interval,
        compact_keep: plan.compact_keep,
        compact_age: plan.compact_age,
        on_event: plan.on_event,
        coordinator: plan.coordinator,
        leaves_coordinator: plan.leaves_coordinator,
        settings: plan.settings,
        live: plan.live,
        ..node::Config::new(plan.dir.path())
    }
}

fn failure_of(error: NodeError) -> Failure {
    let hint = error.hint();
    match error {
        NodeError::Dir(error) => error.into(),
        error => Failure::new(error.exit(), error.code(), format!("serve: {error}")).hint(hint),
    }
}

/// The first signal asks the node to stop, the second one ends the process: both are safe at any time.
fn stop_on_signals(node: &Node) -> Result<(), Failure> {
    let (stopper, asked) = (node.stopper(), AtomicBool::new(false));
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        log::info!("stopping: what is under way is finished; once more to end at once");
        stopper.stop();
    })
    .map_err(|error| Failure::new(Exit::Failure, "io", format!("serve: watch for signals: {error}")))
}

fn announce(ready: &node::Ready, peers: &[Url], context: &Context) -> Result<(), Failure> {
    Ready {
        name: &ready.name,
        role: ready.role,
        epoch: ready.epoch,
        version: ready.version,
        http: &ready.http,
        data_dir: &ready.data_dir,
        replication: ready.replication,
        opened_in: ready.took,
        company: company(ready, peers),
        notes: &ready.notes,
    }
    .announce(context)
}

/// What `--service` names.
fn service(text: &str) -> Result<Source, Failure> {
    let refused = |why: &str| Failure::usage(format!("--service {text}: {why}"));
    if text == "documents" {
        return Ok(Source::Documents);
    }
    if let Some(command) = text.strip_prefix("exec:") {
        return match command.trim() {
            "" => Err(refused("there is no command").hint("write it as 'exec:./service --flag'")),
            _ => Ok(Source::Exec(command.to_owned())),
        };
    }
    match node::Base::parse(text) {
        Ok(_) => Ok(Source::Http(text.to_owned())),
        Err(why) if text.starts_with("https://") => {
            Err(refused(&why).hint("put a local proxy that speaks TLS in front of it, and name its http:// address"))
        }
        Err(why) if text.starts_with("http://") => Err(refused(&why)),
        Err(_) => Err(refused("there is no such service").hint("use documents, http://HOST:PORT/PATH or exec:COMMAND")),
    }
}

/// Where `--proxy` leads.
fn proxy(url: Option<String>, service: &Source) -> Result<String, Failure> {
    match (url, service) {
        (_, Source::Documents | Source::Local(_)) => {
            Err(Failure::usage("--proxy: the documents are this node's own, nothing is passed on")
                .hint("read them under /data, or serve another --service"))
        }
        (Some(url), _) => Ok(url),
        (None, Source::Http(url)) => Ok(url.clone()),
        (None, Source::Exec(_)) => Err(Failure::usage("--proxy: a command has no address to pass reads on to")
            .hint("name where it serves its reads: --proxy http://127.0.0.1:9000")),
    }
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let addresses = text.to_socket_addrs();
    addresses.ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| {
        Failure::usage(format!("--listen {text}: not an address"))
            .hint("write it as 127.0.0.1:7440, or with port 0 for a free one")
    })
}

/// A node that answers, as it is announced.
#[derive(Debug, Clone)]
pub struct Ready<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub role: Role,
    /// The number of its epoch.
    pub epoch: u64,
    /// The applied version.
    pub version: Version,
    /// Where it listens.
    pub http: &'a str,
    /// Its directory.
    pub data_dir: &'a Path,
    /// The mode that the log says.
    pub replication: Mode,
    /// How long it took.
    pub opened_in: Duration,
    /// Whom it follows or waits for.
    pub company: Option<String>,
    /// What the start found and did, one line each.
    pub notes: &'a [String],
}

#[derive(Serialize)]
struct ReadyLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    role: Role,
    epoch: u64,
    version: Version,
    http: &'a str,
    notes: &'a [String],
}

impl Ready<'_> {
    /// Says it on stdout, at once.
    pub fn announce(&self, context: &Context) -> Result<(), Failure> {
        let line = ReadyLine {
            kind: "ready",
            name: self.name,
            role: self.role,
            epoch: self.epoch,
            version: self.version,
            http: self.http,
            notes: self.notes,
        };
        context.out.either(&line, || self.block(context))?;
        context.out.flush()
    }

    fn block(&self, context: &Context) -> String {
        let out = &context.out;
        let (name, opened) = (out.look(Look::Strong, self.name), values::show_duration(self.opened_in));
        let mut text = format!(
            "rig {}  {name}  {}  epoch {}  {}\n  data  {}  version {}, opened in {opened}\n  http  {}\n",
            env!("CARGO_PKG_VERSION"),
            self.role,
            self.epoch,
            self.replication,
            self.data_dir.display(),
            self.version,
            self.http,
        );
        if let Some(company) = &self.company {
            text.push_str(&format!("  state {company}\n"));
        }
        for note in self.notes {
            text.push_str(&format!("  {}  {note}\n", out.look(Look::Warn, "note")));
        }
        text.push_str(&format!("{}\n", out.look(Look::Good, "ready")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::tests::context_in;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan_of(line: &[&str]) -> Result<Plan, Failure> {
        let home = tempfile::tempdir().unwrap();
        let context = context_in(home.path());
        DataDir::init(&context.places().unwrap().default_dir, "default").unwrap();
        let line = Line::try_parse_from([&["serve"], line].concat()).map_err(|error| Failure::from_clap(&error))?;
        plan(line.args, &context)
    }

    #[test]
    fn a_service_is_named_by_its_word_its_address_or_its_command() {
        let service = |text: &str| plan_of(&["--service", text]).map(|plan| format!("{:?}", plan.service));
        assert_eq!(service("documents").unwrap(), "Documents");
        assert_eq!(service("http://127.0.0.1:9000/base").unwrap(), "Http(\"http://127.0.0.1:9000/base\")");
        assert_eq!(service("exec:./svc --flag").unwrap(), "Exec(\"./svc --flag\")");
        for (text, says) in [
            ("https://127.0.0.1:9000", "TLS"),
            ("http://", "host"),
            ("http://127.0.0.1:0", "port"),
            ("http://127.0.0.1:9000/a?b", "query"),
            ("exec: ", "no command"),
            ("postgres", "no such service"),
        ] {
            let failure = service(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(failure.message.starts_with(&format!("--service {text}: ")), "{}", failure.message);
            assert!(failure.message.contains(says), "{}", failure.message);
        }
    }

    #[test]
    fn reads_are_passed_on_to_a_service_that_has_an_address() {
        let proxy = |line: &[&str]| plan_of(line).map(|plan| plan.proxy);
        let (http, own) = ("http://127.0.0.1:9000/base", "http://127.0.0.1:9001");
        assert_eq!(proxy(&["--service", http]).unwrap(), None);
        assert_eq!(proxy(&["--service", http, "--proxy"]).unwrap().as_deref(), Some(http));
        assert_eq!(proxy(&["--proxy", "--service", http]).unwrap().as_deref(), Some(http));
        assert_eq!(proxy(&["--service", "exec:./svc", "--proxy", own]).unwrap().as_deref(), Some(own));
        for line in [
            &["--proxy"][..],
            &["--proxy", own],
            &["--service", "exec:./svc", "--proxy"],
            &["--service", "exec:./svc", "--proxy", "https://127.0.0.1:9001"],
            &["--service", http, "--proxy", "nowhere"],
        ] {
            assert_eq!(proxy(line).unwrap_err().exit, Exit::Usage, "{line:?}");
        }
        assert!(proxy(&["--service", "exec:./svc", "--proxy"]).unwrap_err().hint.contains("--proxy http://"));
    }

    #[test]
    fn an_address_beyond_loopback_needs_tokens_and_the_word_for_plaintext() {
        let tokens = tempfile::NamedTempFile::new().unwrap();
        let file = tokens.path().to_str().unwrap();
        assert!(plan_of(&["--listen", "127.0.0.1:0"]).is_ok());
        assert!(plan_of(&["--listen", "[::1]:0"]).is_ok());
        for line in [
            &["--listen", "0.0.0.0:0"][..],
            &["--listen", "0.0.0.0:0", "--insecure-plaintext"],
            &["--listen", "0.0.0.0:0", "--tokens", file],
            &["--listen", "nowhere"],
            &["--tokens", "/nonexistent/tokens"],
        ] {
            assert_eq!(plan_of(line).unwrap_err().exit, Exit::Usage, "{line:?}");
        }
        assert!(plan_of(&["--listen", "0.0.0.0:0", "--tokens", file, "--insecure-plaintext"]).is_ok());
    }

    #[test]
    fn words_and_bounds_are_checked() {
        let plan = plan_of(&["--role", "primary", "--replication", "sync", "--ack", "applied"]).unwrap();
        assert_eq!((plan.role, plan.replication), (Some(Role::Primary), Some(Mode::Sync)));
        assert_eq!((plan.ack, plan.request_timeout), (Some(AckLevel::Applied), Duration::from_secs(5)));
        for line in [
            &["--role", "leader"][..],
            &["--replication", "maybe"],
            &["--min-replicas", "0"],
            &["--min-replicas", "9"],
            &["--sync-timeout", "0s"],
            &["--request-timeout", "61s"],
            &["--drain", "10"],
            &["--service", "postgres"],
        ] {
            assert_eq!(plan_of(line).unwrap_err().exit, Exit::Usage, "{line:?}");
        }
    }
}
