//! The service below two nodes under load, while nodes and services are killed: nothing that was answered is lost, and
//! both end with the same state.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rules::{Bench, Why};
use super::stand::{Group, Target, exec_line, fill, free_port, kill_group_of};
use crate::cli::scratch::{Server, secluded, this_program};
use crate::client::{Client, Options, Request, Url};

/// Between two kills.
const KILL_EVERY: Duration = Duration::from_millis(600);
/// Clients at a time.
const CLIENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(10);

/// One node and its service.
struct Pair {
    name: &'static str,
    dir: PathBuf,
    service_dir: PathBuf,
    server: Option<Server>,
    url: String,
    /// The service, where it is not the node's child.
    group: Option<(Group, String)>,
    port: u16,
}

/// What the clients were answered.
#[derive(Default)]
struct Answers {
    stop: AtomicBool,
    answered: Mutex<BTreeSet<u64>>,
    refused: AtomicU64,
}

pub(super) fn below_two_nodes(bench: &Bench<'_>) -> Result<String, Why> {
    if !bench.stand.starts_them() {
        return Err(Why::Not("it runs by itself: give --start, so that two of it can be killed"));
    }
    let mut first = Pair::new(bench, "n1")?;
    first.start(bench, &[])?;
    let mut second = Pair::new(bench, "n2")?;
    let peer = ["--role".to_owned(), "replica".into(), "--peer".into(), first.url.clone()];
    second.start(bench, &peer)?;
    in_sync(&first)?;
    let answers = Answers::default();
    let (url, operations) = (first.url.clone(), &bench.operations);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (url, answers) = (&url, &answers);
            scope.spawn(move || write(url, operations, number, answers));
        }
        let killed = kill_all(bench, &mut first, &mut second, &peer);
        answers.stop.store(true, Ordering::SeqCst);
        killed
    })?;
    in_sync(&first)?;
    let answered = answers.answered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let refused = answers.refused.load(Ordering::Relaxed);
    let committed = get(&first.url, "/status")?["log"]["committed"].as_u64().unwrap_or(0);
    if answered.last().is_some_and(|last| *last > committed) {
        return Err("an operation was answered that is not in the log".to_owned().into());
    }
    let (one, other) = (state_at(&first, committed)?, state_at(&second, committed)?);
    if one != other {
        return Err(format!("at version {committed} the two services hold different states").into());
    }
    Ok(format!("{} kills, {} answered, {refused} refused or unknown, equal states", bench.kills, answered.len()))
}

impl Pair {
    fn new(bench: &Bench<'_>, name: &'static str) -> Result<Self, String> {
        let folder = bench.stand.folder();
        let (dir, service_dir) = (folder.join(name), folder.join(format!("{name}-service")));
        std::fs::create_dir_all(&service_dir).map_err(|error| format!("create {}: {error}", service_dir.display()))?;
        let program = this_program().map_err(|failure| failure.message)?;
        let made = secluded(&program, folder).arg("init").arg(&dir).arg("-q").output();
        match made {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => return Err(error.to_string()),
        }
        let port = free_port().map_err(|error| error.to_string())?;
        Ok(Self { name, dir, service_dir, server: None, url: String::new(), group: None, port })
    }

    /// The node, and its service if that is not its child.
    fn start(&mut self, bench: &Bench<'_>, more: &[String]) -> Result<(), String> {
        let service = match bench.stand.target() {
            Target::Exec(command) => {
                format!("exec:{}", exec_line(command, &self.service_dir, &self.pid_file()))
            }
            Target::Started { url, start } => {
                if self.group.is_none() {
                    let line = fill(start, &self.service_dir, Some(self.port));
                    let log = self.service_dir.with_extension("log");
                    self.group = Some((Group::start(&line, &log)?, line));
                }
                fill(url, &self.service_dir, Some(self.port))
            }
            Target::Running(url) => url.clone(),
        };
        let program = this_program().map_err(|failure| failure.message)?;
        let mut command = secluded(&program, bench.stand.folder());
        let listen = self.url.strip_prefix("http://").unwrap_or("127.0.0.1:0").to_owned();
        command.args(["serve", "--json", "--listen", &listen, "--service", &service, "-D"]).arg(&self.dir).args(more);
        let log = self.dir.with_extension("log");
        let (server, said) = Server::start(command, &log, PATIENCE, |line| line.contains("\"ready\""))
            .map_err(|failure| format!("{}: {}", failure.message, failure.hint))?;
        let ready: Value = said.last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        self.url = ready["http"].as_str().unwrap_or_default().to_owned();
        self.server = Some(server);
        Ok(())
    }

    fn pid_file(&self) -> PathBuf {
        self.service_dir.with_extension("pid")
    }

    /// SIGKILL to the service; one that is not the node's child is started again.
    fn kill_service(&mut self) -> Result<(), String> {
        match self.group.take() {
            Some((group, line)) => {
                drop(group);
                self.group = Some((Group::start(&line, &self.service_dir.with_extension("log"))?, line));
            }
            None => kill_group_of(&self.pid_file()),
        }
        Ok(())
    }

    /// SIGKILL to the node, which is then started again.
    fn kill_node(&mut self, bench: &Bench<'_>, more: &[String]) -> Result<(), String> {
        // Dropping it kills it.
        self.server = None;
        self.start(bench, more)
    }
}

/// Services and nodes in turn.
fn kill_all(bench: &Bench<'_>, first: &mut Pair, second: &mut Pair, peer: &[String]) -> Result<(), String> {
    for kill in 0..bench.kills {
        std::thread::sleep(KILL_EVERY);
        match kill % 4 {
            0 => first.kill_service()?,
            1 => second.kill_service()?,
            2 => second.kill_node(bench, peer)?,
            _ => first.kill_node(bench, &[])?,
        }
    }
    Ok(())
}

/// A client that sends the operations over and over.
fn write(url: &str, operations: &[crate::types::Operation], number: usize, answers: &Answers) {
    let Ok(url) = Url::parse(url) else { return };
    let mut client = Client::new(url, Options::default());
    for (index, operation) in operations.iter().cycle().skip(number * 3).enumerate() {
        if answers.stop.load(Ordering::SeqCst) {
            return;
        }
        let body = format!("{{\"method\":\"{}\",\"data\":{}}}", operation.method, operation.data);
        let key = format!("check-{number}-{index}");
        let request = Request::post("/do", body).header("Idempotency-Key", key);
        let answer = client.send(&request, Instant::now() + CALL).ok().filter(|answer| answer.is_success());
        let version = answer.and_then(|answer| serde_json::from_str::<Value>(answer.data()?).ok()?["version"].as_u64());
        match version {
            Some(version) => drop(answers.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(version)),
            None => {
                answers.refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn get(url: &str, path: &str) -> Result<Value, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    let answer = Client::new(parsed, Options::default())
        .get(&Request::get(path), Instant::now() + CALL)
        .map_err(|error| format!("GET {url}{path}: {error}"))?;
    let data = answer.data().unwrap_or("null");
    serde_json::from_str(data).map_err(|error| format!("GET {url}{path}: {error}"))
}

/// Waits until both are in sync and have applied everything.
fn in_sync(primary: &Pair) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = get(&primary.url, "/status")?;
        let both = status["replication"]["in_sync"].as_array().is_some_and(|set| set.len() == 2);
        if both && status["log"]["committed"] == status["applied"] && status["service"]["healthy"] == true {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(format!("{} does not come to rest: {status}", primary.name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The digest of the state at that version.
fn state_at(pair: &Pair, version: u64) -> Result<String, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let state = get(&pair.url, "/state/hash")?;
        if state["version"].as_u64() == Some(version) {
            return Ok(state["hash"].as_str().unwrap_or_default().to_owned());
        }
        if Instant::now() >= until {
            return Err(format!("{} is not at version {version}: {state}", pair.name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
