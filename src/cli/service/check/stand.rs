//! Where instances of the service come from, and where they go.
//!
//! A service that Rig starts has as many instances as are wanted, each with a directory of its own. One that runs
//! already has one process: instances of it take turns there, each with its snapshot ([`super::stand::turns`]).

mod own;
mod turns;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::recorder::{Place, Recorded, Recorder};
use crate::cli::Failure;
use crate::cli::scratch::Scratch;
use crate::client::Url;
use crate::error::Exit;
use crate::node::Source;
use crate::node::adapter::{self, Caller, Facts, Fault, Info};
use crate::service::protocol;
use crate::types::{Operation, Version};
pub(super) use own::Own;
use turns::Turns;

/// How long an instance may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What the state of a service that runs already is saved in.
const SAVED: &str = "saved-state";

/// How instances are had.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A command on a pipe.
    Exec(String),
    /// A command that serves HTTP, and where.
    Started { url: String, start: String },
    /// A process that runs already.
    Running(String),
}

/// See the module.
pub(super) struct Stand {
    target: Target,
    scratch: Mutex<Scratch>,
    folder: PathBuf,
    recorder: Arc<Recorder>,
    count: AtomicU32,
    turns: Option<Turns>,
    /// What the service held before.
    saved: Option<(Version, PathBuf)>,
}

/// One instance, ended when it goes out of scope.
pub(super) struct Instance {
    pub(super) caller: Arc<dyn Caller>,
    /// Its own directory.
    pub(super) dir: PathBuf,
    process: Option<Group>,
    pid_file: Option<PathBuf>,
}

impl Stand {
    pub(super) fn build(target: &str, start: Option<&str>, replace_state: bool) -> Result<Self, Failure> {
        let target = parse(target, start)?;
        let scratch = Scratch::new("check", &std::env::temp_dir())?;
        let folder = scratch.path().to_owned();
        let mut stand = Self {
            target,
            scratch: Mutex::new(scratch),
            folder,
            recorder: Arc::new(Recorder::default()),
            count: AtomicU32::new(0),
            turns: None,
            saved: None,
        };
        if let Target::Running(url) = &stand.target {
            let instance = stand.attach(url).map_err(|why| unreachable(url, &why))?;
            stand.keep(true);
            stand.saved = save(&instance, &stand.folder, url, replace_state)?;
            stand.turns = Some(Turns::new(instance));
        }
        Ok(stand)
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether instances can be ended and started again.
    pub(super) fn starts_them(&self) -> bool {
        !matches!(self.target, Target::Running(_))
    }

    /// What the service held before, and where that is now.
    pub(super) fn saved(&self) -> Option<&(Version, PathBuf)> {
        self.saved.as_ref()
    }

    /// Instances of the one process that runs already.
    pub(super) fn turns(&self) -> Option<&Turns> {
        self.turns.as_ref()
    }

    /// Operations that the service offers to be tried with.
    pub(super) fn examples(&self) -> Result<Vec<Operation>, Failure> {
        let why =
            |why: String| Failure::new(Exit::Unreachable, "unreachable", why).hint("does the command run by itself?");
        let info = self.empty().map_err(why)?.caller.info().map_err(|fault| why(fault.to_string()))?;
        if info.examples.is_empty() {
            return Err(Failure::usage(format!("the service `{}` offers no examples in its info", info.name))
                .hint("give operations with --ops FILE, one {\"method\",\"data\"} in a line"));
        }
        Ok(info.examples)
    }

    /// An empty instance.
    pub(super) fn empty(&self) -> Result<Instance, String> {
        match &self.target {
            Target::Running(url) => {
                let instance = self.attach(url)?;
                instance.caller.restore(0, &mut io::empty()).map_err(|fault| fault.to_string())?;
                Ok(instance)
            }
            _ => {
                let dir = self.folder.join(format!("instance-{}", self.count.fetch_add(1, Ordering::Relaxed)));
                std::fs::create_dir(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
                self.start_in(&dir)
            }
        }
    }

    /// An instance on a directory, with what is in it.
    pub(super) fn start_in(&self, dir: &Path) -> Result<Instance, String> {
        let instance = match &self.target {
            Target::Exec(command) => {
                let pid_file = dir.with_extension("pid");
                let line = exec_line(command, dir, &pid_file);
                let caller = self.caller(&Source::Exec(line), dir, Place::Exec(fill(command, dir, None)))?;
                Instance { caller, dir: dir.to_owned(), process: None, pid_file: Some(pid_file) }
            }
            Target::Started { url, start } => {
                let port = free_port().map_err(|error| format!("find a free port: {error}"))?;
                let process = Group::start(&fill(start, dir, Some(port)), &dir.with_extension("log"))?;
                let url = fill(url, dir, Some(port));
                let caller = self.caller(&Source::Http(url.clone()), dir, Place::Http(url))?;
                Instance { caller, dir: dir.to_owned(), process: Some(process), pid_file: None }
            }
            Target::Running(url) => return self.attach(url),
        };
        instance.wait()?;
        Ok(instance)
    }

    fn attach(&self, url: &str) -> Result<Instance, String> {
        let dir = self.folder.clone();
        let caller = self.caller(&Source::Http(url.to_owned()), &dir, Place::Http(url.to_owned()))?;
        caller.info().map_err(|fault| fault.to_string())?;
        Ok(Instance { caller, dir, process: None, pid_file: None })
    }

    fn caller(&self, source: &Source, dir: &Path, place: Place) -> Result<Arc<dyn Caller>, String> {
        let facts = Facts { node: "check".into(), cluster: Arc::new(OnceLock::new()), service_dir: dir.to_owned() };
        let caller = adapter::connect(source, facts).map_err(|error| error.to_string())?;
        Ok(Arc::new(Recorded { caller, recorder: Arc::clone(&self.recorder), place }))
    }

    /// Gives a service that ran before what it held.
    pub(super) fn put_back(&self) -> Result<(), Failure> {
        let Target::Running(url) = &self.target else { return Ok(()) };
        // Kept until the service has it again.
        self.keep(true);
        let outcome = self.attach(url).and_then(|instance| {
            let restored = match &self.saved {
                Some((version, file)) => {
                    let mut file =
                        std::fs::File::open(file).map_err(|error| format!("open {}: {error}", file.display()))?;
                    instance.caller.restore(*version, &mut file)
                }
                None => instance.caller.restore(0, &mut io::empty()),
            };
            restored.map_err(|fault| fault.to_string())
        });
        outcome.map_err(|why| {
            let place =
                self.saved.as_ref().map(|(version, file)| format!("version {version} is in {}", file.display()));
            Failure::new(Exit::Failure, "not_put_back", format!("{url}: what it held could not be put back: {why}"))
                .hint(place.unwrap_or_else(|| "it was empty before".into()))
        })?;
        self.keep(false);
        Ok(())
    }

    fn keep(&self, keep: bool) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).keep(keep);
    }
}

impl Instance {
    /// SIGKILL to it and its children.
    pub(super) fn kill(&self) -> Result<(), String> {
        match (&self.process, &self.pid_file) {
            (Some(process), _) => process.kill(),
            (None, Some(file)) => kill_group_of(file),
            (None, None) => return Err("it is not this command's to end".into()),
        }
        Ok(())
    }

    /// Waits until it answers.
    pub(super) fn wait(&self) -> Result<Info, String> {
        let until = Instant::now() + START_PATIENCE;
        loop {
            match self.caller.info() {
                Ok(info) => return Ok(info),
                Err(fault @ (Fault::Violation { .. } | Fault::Refused(_))) => return Err(fault.to_string()),
                Err(fault) if Instant::now() >= until => {
                    return Err(format!("it does not answer within {} s: {fault}", START_PATIENCE.as_secs()));
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.caller.stop();
    }
}

/// A command in a process group of its own, killed when it goes out of scope, and when this process is no more: the group
/// reads from a pipe that nobody writes to, and ends with it.
#[derive(Debug)]
pub(super) struct Group(Child);

impl Group {
    pub(super) fn start(line: &str, log: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("run {line}: {error}");
        let file = std::fs::File::options().create(true).append(true).open(log).map_err(failed)?;
        let both = file.try_clone().map_err(failed)?;
        let mut command = Command::new("/bin/sh");
        let watched = format!("exec 3<&0; (cat <&3 >/dev/null; kill -9 0) & exec 3<&- </dev/null; {line}");
        command.arg("-c").arg(watched).process_group(0).stdin(Stdio::piped()).stdout(file).stderr(both);
        command.spawn().map(Self).map_err(failed)
    }

    pub(super) fn kill(&self) {
        kill_group(self.0.id());
    }

    /// Starts the command on a pipe, waits for its first answer, ends its input, and says how long it took to end.
    pub(super) fn ends_with_its_input(line: &str, dir: &Path, patience: Duration) -> Result<Duration, String> {
        let failed = |error: io::Error| format!("run {line}: {error}");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).process_group(0).env("RIG_SERVICE_DIR", dir).env("RIG_NODE", "check");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut group = Self(command.spawn().map_err(failed)?);
        let (Some(mut input), Some(output)) = (group.0.stdin.take(), group.0.stdout.take()) else {
            return Err("its pipes are not there".into());
        };
        let (says, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // The pipe ends with the command, which is killed at the latest when this group goes.
            let first = io::BufRead::lines(io::BufReader::new(output)).next();
            let _ = says.send(first.is_some());
        });
        let call = format!("{{\"id\":1,\"call\":\"info\",\"params\":{}}}\n", protocol::greeting("check", None));
        io::Write::write_all(&mut input, call.as_bytes()).map_err(failed)?;
        if !heard.recv_timeout(START_PATIENCE).unwrap_or(false) {
            return Err("it has not answered info".into());
        }
        drop(input);
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if group.0.try_wait().map_err(failed)?.is_some() {
                return Ok(begin.elapsed());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(format!("it still runs {} s after its input has ended", patience.as_secs()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        // It has ended, or ends now.
        let _ = self.0.wait();
    }
}

/// Kills the group of the process whose number is in the file.
pub(super) fn kill_group_of(file: &Path) {
    if let Some(pid) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
        kill_group(pid);
    }
}

fn kill_group(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The command line of an instance on a pipe, which leaves its number in a file.
pub(super) fn exec_line(command: &str, dir: &Path, pid_file: &Path) -> String {
    format!("echo $$ > '{}'; {}", pid_file.display(), fill(command, dir, None))
}

/// What stands for an instance's own directory and port.
pub(super) fn fill(text: &str, dir: &Path, port: Option<u16>) -> String {
    let text = text.replace("{dir}", &dir.display().to_string());
    match port {
        Some(port) => text.replace("{port}", &port.to_string()),
        None => text,
    }
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn parse(target: &str, start: Option<&str>) -> Result<Target, Failure> {
    if let Some(command) = target.strip_prefix("exec:") {
        return match start {
            Some(_) => Err(Failure::usage("--start is for services behind http://, an exec: service is its command")),
            None if command.trim().is_empty() => Err(Failure::usage("exec: has no command").hint("exec:./service.py")),
            None => Ok(Target::Exec(command.to_owned())),
        };
    }
    Url::parse(&target.replace("{port}", "1")).map_err(|error| {
        Failure::usage(format!("{target}: {error}")).hint("a service is http://HOST:PORT[/BASE] or exec:COMMAND")
    })?;
    let url = target.trim_end_matches('/').to_owned();
    match start {
        Some(start) => Ok(Target::Started { url, start: start.to_owned() }),
        None if url.contains("{port}") => Err(Failure::usage("{port} needs --start: nobody listens there yet")),
        None => Ok(Target::Running(url)),
    }
}

fn unreachable(url: &str, why: &str) -> Failure {
    Failure::new(Exit::Unreachable, "unreachable", format!("{url}: {why}"))
        .hint("start the service, or say how it is started with --start")
}

/// Saves what a service that runs already holds.
fn save(instance: &Instance, folder: &Path, url: &str, allowed: bool) -> Result<Option<(Version, PathBuf)>, Failure> {
    let info = instance.caller.info().map_err(|fault| unreachable(url, &fault.to_string()))?;
    if info.applied == 0 {
        return Ok(None);
    }
    if !allowed {
        let text = format!("{url} holds something: it has applied version {}", info.applied);
        return Err(Failure::new(Exit::Conflict, "not_empty", text)
            .hint("check an empty instance; or with --replace-state: it is saved first and put back at the end"));
    }
    let path = folder.join(SAVED);
    let mut file = std::fs::File::create(&path).map_err(|error| Failure::io("create", &path, &error))?;
    let saved = instance.caller.snapshot(&mut file);
    let version = saved.map_err(|fault| unreachable(url, &format!("its state could not be saved: {fault}")))?;
    file.sync_all().map_err(|error| Failure::io("write", &path, &error))?;
    Ok(Some((version, path)))
}
