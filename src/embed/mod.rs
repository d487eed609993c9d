//! A node inside another program: what is asked of it, and a handle while it runs.
//!
//! ```text
//!   Builder ──build──► Node ──run──► (this thread)
//!      └─────start──► Handle: url, wait_ready, apply, stop, join          (a thread of its own)
//! ```
//!
//! Everything goes through the node as it would from outside: an operation that the program sends itself is one like
//! any other, over loopback.
//!
//! # Not here
//! What a node does (`node`), how a request is sent and sent again (`client`).

mod handle;

pub use handle::{Applied, Handle, NotApplied};

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::client::Url;
use crate::limits::{MEMBERS_MAX, REQUEST_TIMEOUT_MAX};
use crate::node::dir::{DataDir, DirError, is_name};
use crate::node::{Base, Config, CoordinatorConfig, Node, NodeError, Ready, Source};
use crate::service::Service;
use crate::types::{AckLevel, Mode, Role};

impl Node {
    /// What a node is to be; only [`Builder::data_dir`] must be said.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// What a node is to be, from [`Node::builder`]. Nothing is checked, opened or made before [`Builder::start`],
/// [`Builder::build`] or [`Builder::run`].
///
/// What is not said stays as the log says it, or has the default of `rig serve`.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    name: Option<String>,
    listen: Option<String>,
    advertise: Option<String>,
    peers: Vec<String>,
    proxy: Option<Proxy>,
    coordinator: Option<(String, Duration)>,
    token: Option<String>,
    /// Everything that needs no more than to be remembered.
    config: Option<Config>,
}

/// Where reads of the service go.
#[derive(Debug, Clone)]
enum Proxy {
    ToTheService,
    To(String),
}

impl Builder {
    /// Where the node keeps its log, its snapshots and its promises. Made like `rig init` does when there is nothing.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// The name of a node that is new; else the last component of its directory is.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where to listen: `127.0.0.1:7440` if nothing is said; port 0 picks one. An address beyond loopback needs
    /// [`Builder::tokens`] and [`Builder::insecure_plaintext`].
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = Some(address.to_string());
        self
    }

    /// How others reach this node, when it is not where it listens: `http://host:port`.
    pub fn advertise(mut self, url: impl Into<String>) -> Self {
        self.advertise = Some(url.into());
        self
    }

    /// Another node of the cluster: `http://host:port`. May be said again.
    pub fn peer(mut self, url: impl Into<String>) -> Self {
        self.peers.push(url.into());
        self
    }

    /// What the node is asked to be; else what it was, at first a primary.
    pub fn role(self, role: Role) -> Self {
        self.with(|config| config.role = Some(role))
    }

    /// What an answer waits for; a change is recorded in the log.
    pub fn replication(self, mode: Mode) -> Self {
        self.with(|config| config.asked.replication = Some(mode))
    }

    /// In mode `sync`, replicas that must hold an operation before it is answered: 1 to 8.
    pub fn min_replicas(self, count: u32) -> Self {
        self.with(|config| config.asked.min_replicas = Some(count))
    }

    /// How long a silent replica is waited for.
    pub fn sync_timeout(self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.with(|config| config.asked.sync_timeout_ms = Some(millis))
    }

    /// What the acknowledgement of a replica means.
    pub fn ack(self, level: AckLevel) -> Self {
        self.with(|config| config.asked.ack = Some(level))
    }

    /// How long a request may take that does not say so itself: 5 s if nothing is said, at most 60 s.
    pub fn request_timeout(self, time: Duration) -> Self {
        self.with(|config| config.request_timeout = time)
    }

    /// How long a stop waits for what is under way: 10 s if nothing is said.
    pub fn drain(self, time: Duration) -> Self {
        self.with(|config| config.drain = time)
    }

    /// A file with the tokens that clients must show, a line `NAME ROLE TOKEN` for each; only its owner may read it.
    pub fn tokens(self, file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        self.with(|config| config.tokens = Some(file))
    }

    /// The token that [`Handle::apply`] shows, where tokens are asked for.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Listen beyond loopback although tokens and data travel in the clear.
    pub fn insecure_plaintext(self) -> Self {
        self.with(|config| config.insecure_plaintext = true)
    }

    /// The service that operations are for, in this process. Without one: the built-in documents.
    ///
    /// `make` makes an empty one, at version 0, that shares nothing with any other. It is called more than once: for
    /// each snapshot that is tried at a start, and when a log was cut back and the state is made anew.
    pub fn service(self, make: impl Fn() -> Box<dyn Service> + Send + Sync + 'static) -> Self {
        let make = Arc::new(make);
        self.with(|config| config.service = Source::Local(make))
    }

    /// The service is another process, behind this base URL: see `rig-service-protocol(7)`.
    pub fn service_http(self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.with(|config| config.service = Source::Http(url))
    }

    /// The service is a command that the node runs: see `rig-service-protocol(7)`.
    pub fn service_exec(self, command: impl Into<String>) -> Self {
        let command = command.into();
        self.with(|config| config.service = Source::Exec(command))
    }

    /// Who leads is kept in etcd, so that a replica takes over by itself: `etcd://host:2379[,host:2379]/prefix`, the same
    /// for all nodes of a cluster. A primary that says nothing there for the time of `lease`, 1 s to 60 s, may be replaced.
    pub fn coordinator(mut self, url: impl Into<String>, lease: Duration) -> Self {
        self.coordinator = Some((url.into(), lease));
        self
    }

    /// Passes GET and HEAD of paths that are not Rig's own on to the service of [`Builder::service_http`].
    pub fn proxy(mut self) -> Self {
        self.proxy = Some(Proxy::ToTheService);
        self
    }

    /// The same to another address: where a service in another process serves its reads.
    pub fn proxy_to(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(Proxy::To(url.into()));
        self
    }

    /// Starts the node on a thread of its own. Directory, address, log and state are open when this returns; the first
    /// answer may take longer: see [`Handle::wait_ready`].
    ///
    /// # Errors
    /// [`NodeError::Setting`] for what cannot be, and everything that keeps a node from starting.
    pub fn start(self) -> Result<Handle, NodeError> {
        let token = self.token.clone();
        let config = self.config()?;
        Handle::start(config, token)
    }

    /// Opens the node and leaves it to the caller to [`Node::run`] it; [`Node::stopper`] ends it.
    ///
    /// # Errors
    /// As of [`Builder::start`].
    pub fn build(self) -> Result<Node, NodeError> {
        Node::start(self.config()?)
    }

    /// Runs the node on this thread until it is stopped; `on_ready` is called once, when it can answer.
    ///
    /// # Errors
    /// As of [`Builder::start`] and [`Node::run`].
    pub fn run(self, on_ready: impl FnOnce(&Ready)) -> Result<(), NodeError> {
        self.build()?.run(on_ready)
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(self.config.get_or_insert_with(|| Config::new("")));
        self
    }

    /// Everything that was said, checked, and the directory made if it was not there.
    fn config(self) -> Result<Config, NodeError> {
        let mut config = self.config.unwrap_or_else(|| Config::new(""));
        config.data_dir = self.data_dir.ok_or_else(|| wrong("data_dir", "no directory is given"))?;
        if let Some(text) = &self.listen {
            config.listen = address(text)?;
        }
        config.advertise = self.advertise.as_deref().map(|text| url("advertise", text)).transpose()?;
        config.peers = self.peers.iter().map(|text| url("peer", text)).collect::<Result<_, _>>()?;
        check_numbers(&config)?;
        check_service(&config.service)?;
        config.proxy = self.proxy.map(|proxy| proxy_url(proxy, &config.service)).transpose()?;
        if let Some((url, lease)) = &self.coordinator {
            let coordinator = CoordinatorConfig::new(url, *lease);
            config.coordinator = Some(coordinator.map_err(|reason| wrong("coordinator", reason))?);
        }
        prepare(&config.data_dir, self.name.as_deref())?;
        Ok(config)
    }
}

fn wrong(name: &'static str, reason: impl Into<String>) -> NodeError {
    NodeError::Setting { name, reason: reason.into() }
}

fn address(text: &str) -> Result<SocketAddr, NodeError> {
    let found = text.to_socket_addrs().map_err(|error| wrong("listen", format!("{text}: {error}")))?.next();
    found.ok_or_else(|| wrong("listen", format!("{text}: the host has no address")))
}

fn url(name: &'static str, text: &str) -> Result<String, NodeError> {
    let bad = |why: &dyn std::fmt::Display| wrong(name, format!("{text}: {why}"));
    let url = Url::parse(text).map_err(|error| bad(&error))?;
    // The builder has no word for certificates.
    if url.is_secure() { Err(bad(&"a node inside a program speaks no TLS")) } else { Ok(url.to_string()) }
}

fn check_numbers(config: &Config) -> Result<(), NodeError> {
    let replicas = config.asked.min_replicas;
    if replicas.is_some_and(|count| count == 0 || count as usize >= MEMBERS_MAX) {
        return Err(wrong("min_replicas", format!("a number from 1 to {}", MEMBERS_MAX - 1)));
    }
    if config.asked.sync_timeout_ms == Some(0) {
        return Err(wrong("sync_timeout", "at least a millisecond"));
    }
    if config.request_timeout.is_zero() || config.request_timeout > REQUEST_TIMEOUT_MAX {
        return Err(wrong("request_timeout", format!("more than nothing, at most {REQUEST_TIMEOUT_MAX:?}")));
    }
    Ok(())
}

fn check_service(service: &Source) -> Result<(), NodeError> {
    match service {
        Source::Documents | Source::Local(_) => Ok(()),
        Source::Http(url) => base("service_http", url),
        Source::Exec(command) if command.trim().is_empty() => Err(wrong("service_exec", "there is no command")),
        Source::Exec(_) => Ok(()),
    }
}

fn base(name: &'static str, url: &str) -> Result<(), NodeError> {
    Base::parse(url).map(|_| ()).map_err(|reason| wrong(name, format!("{url}: {reason}")))
}

fn proxy_url(proxy: Proxy, service: &Source) -> Result<String, NodeError> {
    match (proxy, service) {
        (_, Source::Documents | Source::Local(_)) => {
            Err(wrong("proxy", "a service in this process answers reads itself: Service::read"))
        }
        (Proxy::To(url), _) => base("proxy", &url).map(|()| url),
        (Proxy::ToTheService, Source::Http(url)) => Ok(url.clone()),
        (Proxy::ToTheService, Source::Exec(_)) => {
            Err(wrong("proxy", "a command has no address: name where it serves its reads, with proxy_to"))
        }
    }
}

/// Makes the directory if it is not there; one that is there keeps its name.
fn prepare(path: &Path, name: Option<&str>) -> Result<(), NodeError> {
    let dir = match DataDir::open(path) {
        Err(DirError::NotInitialised { path, .. }) => {
            let last = path.file_name().and_then(|last| last.to_str()).unwrap_or_default();
            let name = name.unwrap_or(last);
            if !is_name(name) {
                let reason = format!("`{name}` is none: letters, digits, '.', '_' and '-', at most 64");
                return Err(wrong("name", reason));
            }
            DataDir::init(&path, name)?
        }
        opened => opened?,
    };
    match name {
        Some(name) if name != dir.meta().name => {
            Err(wrong("name", format!("{} is the node `{}`, not `{name}`", path.display(), dir.meta().name)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
