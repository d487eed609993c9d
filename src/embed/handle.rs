//! A node that runs on a thread of its own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{self, Client, Options, Submission, Url};
use crate::error::Problem;
use crate::node::{Config, Node, NodeError, Ready, Stopper};
use crate::types::{Durability, Hash, Version, json};

/// A running node. Dropped, it stops the node and waits for its end.
pub struct Handle {
    url: String,
    name: String,
    stopper: Stopper,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
    here: Url,
    options: Options,
    timeout: Duration,
    /// Connections that are free.
    clients: Mutex<Vec<Client>>,
}

/// How far the node's thread is.
#[derive(Default)]
struct Progress {
    now: Mutex<(Option<Ready>, bool)>,
    changed: Condvar,
}

impl Progress {
    fn note(&self, change: impl FnOnce(&mut (Option<Ready>, bool))) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// An operation that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its place.
    pub version: Version,
    /// Its chain hash.
    pub hash: Hash,
    /// On what the answer rests.
    pub durability: Durability,
    /// What the service says of it: JSON.
    pub result: Box<str>,
    /// It was there before, under the same key.
    pub replayed: bool,
}

/// Why an operation is not, or not known to be, in the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotApplied {
    /// A final no, of the service or of the node: it is not in the log.
    Refused(Box<Problem>),
    /// The node does not answer: it is not in the log.
    Unreachable(String),
    /// It may be in the log: send it again with the same key. The text says what came last.
    Unknown(String),
}

impl fmt::Display for NotApplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => problem.fmt(f),
            Self::Unreachable(why) => write!(f, "not sent: {why}"),
            Self::Unknown(why) => write!(f, "the outcome is unknown: {why}"),
        }
    }
}

impl std::error::Error for NotApplied {}

impl Handle {
    pub(super) fn start(config: Config, token: Option<String>) -> Result<Self, NodeError> {
        let (timeout, data_dir) = (config.request_timeout, config.data_dir.clone());
        let node = Node::start(config)?;
        let here = loopback(node.address()).to_string();
        let here =
            Url::parse(&here).map_err(|error| NodeError::Setting { name: "listen", reason: error.to_string() })?;
        let (url, name, stopper) = (node.url().to_owned(), node.name().to_owned(), node.stopper());
        let progress = Arc::new(Progress::default());
        let noted = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("rig-node".into()).spawn(move || {
            let run = || node.run(|ready| noted.note(|now| now.0 = Some(ready.clone())));
            let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(NodeError::Panicked("node")));
            noted.note(|now| now.1 = true);
            outcome
        });
        let thread = thread.map_err(|source| NodeError::Io { op: "start the thread of", path: data_dir, source })?;
        let options = Options { token, ..Options::default() };
        let (thread, clients) = (Some(thread), Mutex::default());
        Ok(Self { url, name, stopper, progress, thread, here, options, timeout, clients })
    }

    /// How others reach it: `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its thread has not ended; if it has, [`Handle::join`] says why.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until it can answer: a node without others when its epoch is open, any other at once, in whatever state
    /// ([`Ready::state`]). `None`: not in this time, or it has ended.
    pub fn wait_ready(&self, time: Duration) -> Option<Ready> {
        let now = self.progress.now.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |(ready, ended): &mut (Option<Ready>, bool)| ready.is_none() && !*ended;
        let waited = self.progress.changed.wait_timeout_while(now, time, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.0.clone()
    }

    /// Sends an operation, `data` as JSON, under a key of its own, and waits until it is applied. A replica sends it on
    /// to the primary.
    ///
    /// An unknown outcome is looked for with the same key until the time of a request is over.
    ///
    /// # Errors
    /// See [`NotApplied`].
    pub fn apply(&self, method: &str, data: &str) -> Result<Applied, NotApplied> {
        self.apply_with_key(method, data, &uuid::Uuid::now_v7().to_string())
    }

    /// The same under the caller's key: sent again with it, it is not done again, and the first answer comes back.
    ///
    /// # Errors
    /// See [`NotApplied`].
    pub fn apply_with_key(&self, method: &str, data: &str, key: &str) -> Result<Applied, NotApplied> {
        let data = json::compacted(data.as_bytes()).map_err(|error| {
            let detail = format!("data:{}:{}: {}", error.line, error.column, error.message);
            NotApplied::Refused(Box::new(Problem::new(error.kind.code(), detail)))
        })?;
        let free = self.clients.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = free.unwrap_or_else(|| Client::new(self.here.clone(), self.options.clone()));
        let what = Submission { method, data: &data, key, version: None, tell_timeout: true };
        let answer = client::submit(&mut client, &what, Instant::now() + self.timeout);
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        match answer {
            Ok(response) => read(&response).ok_or_else(|| NotApplied::Unknown("the answer makes no sense".into())),
            Err(client::NotApplied::Refused(response)) => Err(NotApplied::Refused(Box::new(response.problem()))),
            Err(client::NotApplied::Unreachable(error)) => Err(NotApplied::Unreachable(error.to_string())),
            Err(client::NotApplied::Unknown(why)) => Err(NotApplied::Unknown(why)),
        }
    }

    /// Asks it to stop: it takes no new operation, and finishes those that are in. Does not wait.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// What asks it to stop, for another thread or a signal handler.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for its end, which comes when it was stopped or cannot go on.
    ///
    /// # Errors
    /// Why it could not go on. What was answered before is durable all the same.
    pub fn join(mut self) -> Result<(), NodeError> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), NodeError> {
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(NodeError::Panicked("node"))),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Err(error) = self.wait() {
            log::error!("node {}: {error}", self.name);
        }
    }
}

/// Where this process reaches a node that listens there.
fn loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The answer to an operation.
fn read(response: &client::Response) -> Option<Applied> {
    #[derive(Deserialize)]
    struct Data<'a> {
        version: Version,
        hash: Hash,
        durability: Durability,
        #[serde(borrow)]
        result: &'a RawValue,
        replayed: bool,
    }
    let Data { version, hash, durability, result, replayed } = serde_json::from_str(response.data()?).ok()?;
    Some(Applied { version, hash, durability, result: result.get().into(), replayed })
}
