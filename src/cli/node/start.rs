//! `rig node start`: `rig serve` in the background, until it is ready.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::parser::ValueSource;
use serde::Serialize;

use super::{resolve, word_for};
use crate::cli::{Context, Failure, Outcome, help, serve, target};
use crate::client::{Client, Options, Request, Url};
use crate::error::Exit;
use crate::net;
use crate::node::dir::DataDir;

/// A log that is larger at a start becomes `serve.log.1`, in place of the one before.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Lines of the log that are shown when the process ended.
const SHOWN_LINES: usize = 10;
/// Between two looks at the process.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What one question to the node may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Start a node in the background
///
/// Runs `rig serve` as a process of its own and waits until it is ready. What it says goes to
/// DIR/run/serve.log. Without --listen, and without it in DIR/rig.toml, the node takes the port that it had before, else 7440, else a free one.
/// Without NAME or DIR it is the node of -D, or of the default directory.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig node start n1", "rig node start ./n1 --role primary --listen 127.0.0.1:0"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Conflict, Exit::Corrupt, Exit::InUse, Exit::Degraded,
    ])
)]
#[group(skip)]
pub(super) struct Args {
    /// A name of the registry, or a data directory
    // Not `node`: that is the global flag.
    #[arg(value_name = "NAME|DIR")]
    which: Option<OsString>,
    #[command(flatten)]
    pub(super) flags: Flags,
}

/// The flags of `rig serve`, checked as there and handed on as they were typed.
#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) typed: Vec<OsString>,
    pub(super) listen: bool,
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        // Its own texts must not replace those of `start`.
        let own = (command.get_about().cloned(), command.get_long_about().cloned());
        let own_more = (command.get_before_help().cloned(), command.get_after_long_help().cloned());
        let command = serve::Args::augment_args(command);
        let command = own.0.into_iter().fold(command, clap::Command::about);
        let command = own.1.into_iter().fold(command, clap::Command::long_about);
        let command = own_more.0.into_iter().fold(command, clap::Command::before_help);
        own_more.1.into_iter().fold(command, clap::Command::after_long_help)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        let serve = <serve::Args as clap::Args>::augment_args(clap::Command::new("serve"));
        for flag in serve.get_arguments() {
            let (id, Some(long)) = (flag.get_id().as_str(), flag.get_long()) else { continue };
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            flags.listen |= long == "listen";
            let values: Vec<_> = matches.get_raw(id).into_iter().flatten().collect();
            if !flag.get_action().takes_values() || values.is_empty() {
                flags.typed.push(format!("--{long}").into());
                continue;
            }
            for value in values {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                flags.typed.push(word);
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = <Self as clap::FromArgMatches>::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Serialize)]
struct Started<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    pid: u32,
    http: String,
    data_dir: &'a Path,
    log: &'a Path,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let dir = resolve(args.which.as_deref(), context)?;
    if dir.is_in_use() {
        return Err(runs_already(&dir, context));
    }
    let mut flags = args.flags;
    if !flags.listen && !serve::settings::listens(dir.path())? {
        let address = choose(last_address(&dir)).map_err(|error| Failure::io("listen for", dir.path(), &error))?;
        flags.typed.push(format!("--listen={address}").into());
    }
    let log = Log::open(&dir)?;
    let mut child = spawn(&dir, &flags.typed, &log)?;
    let url = wait_ready(&dir, &mut child, &log, context)?;
    remember_address(&dir, &url);
    let name = &dir.meta().name;
    let object =
        Started { kind: "started", name, pid: child.id(), http: url.to_string(), data_dir: dir.path(), log: &log.path };
    context.out.either(&object, || format!("started  {name}  {url}  pid {}\n", child.id()))?;
    Ok(Exit::Ok)
}

fn runs_already(dir: &DataDir, context: &Context) -> Failure {
    let name = &dir.meta().name;
    let at = target::endpoint(dir).map(|(endpoint, url)| format!(" at {url} (pid {})", endpoint.pid));
    let message = format!("node {name} is running already{}", at.unwrap_or_default());
    Failure::new(Exit::InUse, "in_use", message)
        .hint(format!("stop it with `rig node stop {}`", word_for(dir, context)))
}

/// Where it listened last: what its own word says, if a crash left it, or what we noted.
pub(in crate::cli) fn last_address(dir: &DataDir) -> Option<SocketAddr> {
    let left = dir.read_endpoint().ok().flatten().map(|endpoint| endpoint.http);
    let noted = || fs::read_to_string(note(dir)).ok();
    let text = left.or_else(noted)?;
    let text = text.trim();
    text.strip_prefix(net::PLAIN).or_else(|| text.strip_prefix(net::SECURE))?.parse().ok()
}

pub(super) fn remember_address(dir: &DataDir, url: &Url) {
    // A convenience for the next start: without it that start takes another port.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let _ = options.open(note(dir)).and_then(|mut file| writeln!(file, "{url}"));
}

fn note(dir: &DataDir) -> PathBuf {
    dir.run().join("last-http")
}

/// The first address that is free: the one before, the default one, any.
pub(super) fn choose(last: Option<SocketAddr>) -> io::Result<SocketAddr> {
    let default: SocketAddr = serve::LISTEN_DEFAULT.parse().map_err(io::Error::other)?;
    // Beyond loopback a node listens only when that is asked for anew.
    let last = last.filter(|address| address.ip().is_loopback());
    for address in last.into_iter().chain([default]) {
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// `run/serve.log`, from where this start begins.
struct Log {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl Log {
    fn open(dir: &DataDir) -> Result<Self, Failure> {
        let path = log_path(dir);
        if fs::metadata(&path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
            fs::rename(&path, path.with_extension("log.1")).map_err(|error| Failure::io("rename", &path, &error))?;
        }
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| Failure::io("open", &path, &error))?;
        let begin = file.metadata().map(|found| found.len()).unwrap_or(0);
        Ok(Self { path, file, begin })
    }

    /// What was said since the start.
    fn said(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begin))?;
            file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)
        });
        // A log that cannot be read has nothing to show; the exit code remains.
        let _ = read;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub(super) fn log_path(dir: &DataDir) -> PathBuf {
    dir.run().join("serve.log")
}

fn spawn(dir: &DataDir, flags: &[OsString], log: &Log) -> Result<Child, Failure> {
    let here = std::env::current_exe();
    let here = here.map_err(|error| Failure::new(Exit::Failure, "io", format!("find this program: {error}")))?;
    let output = || log.file.try_clone().map_err(|error| Failure::io("open", &log.path, &error));
    let mut command = Command::new(&here);
    command.arg("serve").arg("-D").arg(dir.path()).args(flags);
    command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    // Its own group: what is typed at this terminal does not reach it.
    command.process_group(0);
    command.spawn().map_err(|error| Failure::io("run", &here, &error))
}

fn wait_ready(dir: &DataDir, child: &mut Child, log: &Log, context: &Context) -> Result<Url, Failure> {
    let deadline = Instant::now() + context.timeout();
    loop {
        let ended = child.try_wait().map_err(|error| Failure::io("wait for", dir.path(), &error))?;
        if let Some(status) = ended {
            return Err(ended_early(dir, status, log, context));
        }
        let listening = target::endpoint(dir).filter(|(endpoint, _)| endpoint.pid == child.id());
        if let Some((_, url)) = &listening
            && is_ready(url, context)
        {
            return Ok(url.clone());
        }
        if Instant::now() >= deadline {
            let name = &dir.meta().name;
            let how = if listening.is_some() { "answers, but is not ready" } else { "does not listen yet" };
            return Err(Failure::new(Exit::Degraded, "not_ready", format!("node {name} runs, {how}"))
                .hint(format!("see `rig node logs {}` and `rig status`", word_for(dir, context))));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether the node takes what it is for; one that asks for a token we do not have can be told no more.
fn is_ready(url: &Url, context: &Context) -> bool {
    let options = Options { token: context.token.clone(), trust: context.trust.clone(), ..Options::default() };
    let answer = Client::new(url.clone(), options).send(&Request::get("/readyz"), Instant::now() + PROBE_TIMEOUT);
    answer.is_ok_and(|answer| answer.is_success() || matches!(answer.head.status, 401 | 403))
}

fn ended_early(dir: &DataDir, status: ExitStatus, log: &Log, context: &Context) -> Failure {
    let said = log.said();
    let lines: Vec<_> = said.lines().collect();
    if !context.out.is_json() {
        // The error itself becomes ours, below.
        let ours = |line: &&&str| !["error: ", "  hint: ", "  code: "].iter().any(|begin| line.starts_with(begin));
        for line in lines[lines.len().saturating_sub(SHOWN_LINES)..].iter().filter(ours) {
            // Who closed stderr does not want to know.
            let _ = writeln!(io::stderr().lock(), "{}: {line}", dir.meta().name);
        }
    }
    let why = lines.iter().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("its log does not say why");
    let hint = lines.iter().rev().find_map(|line| line.trim().strip_prefix("hint: "));
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "early".to_owned(),
    };
    let exit = help::EXITS.into_iter().find(|exit| status.code() == Some(*exit as i32) && *exit != Exit::Ok);
    let message = format!("node {} ended {how}: {why}", dir.meta().name);
    let log = format!("its log is {}", log.path.display());
    Failure::new(exit.unwrap_or(Exit::Failure), "node_ended", message).hint(hint.map_or(log, str::to_owned))
}
