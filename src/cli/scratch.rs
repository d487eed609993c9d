//! Throw-away directories and nodes, for `rig bench` and `rig demo`.
//!
//! Both take themselves away when they go out of scope, on every way out that is not a signal. A throw-away node is
//! `rig serve` of this same binary as a child process, with a home of its own, so that it leaves no trace among the
//! user's nodes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Failure;
use crate::error::Exit;

/// Lines of its log that are shown when a node ends before it is ready.
const SHOWN_LINES: usize = 10;
/// How long a node may take to end after SIGTERM before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// What of the environment would lead a child to the user's own nodes.
const OURS: [&str; 10] = [
    "RIG_DATA_DIR",
    "RIG_NODE",
    "RIG_TOKEN",
    "RIG_TOKEN_FILE",
    "RIG_TIMEOUT",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "CLICOLOR_FORCE",
];

/// A directory that is removed with all that is in it, unless it is kept.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes `rig-KIND-…` in that directory, for this user only.
    pub(crate) fn new(kind: &str, parent: &Path) -> Result<Self, Failure> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        // The end of it is random, the beginning is the time.
        let path = parent.join(format!("rig-{kind}-{}", &id[id.len() - 8..]));
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| Failure::io("create", &path, &error))?;
        let path = fs::canonicalize(&path).map_err(|error| Failure::io("find", &path, &error))?;
        Ok(Self { path, keep: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays.
    pub(crate) fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let _ = writeln!(io::stderr().lock(), "note: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A command that sees `home` as the user's home, and none of the user's settings of Rig.
pub(crate) fn secluded(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for name in OURS {
        command.env_remove(name);
    }
    command.env("HOME", home).stdin(Stdio::null());
    command
}

/// This same binary.
pub(crate) fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(Exit::Failure, "io", format!("find this program: {error}")))
}

/// A child process, killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Result<Self, Failure> {
        let child = command.spawn().map_err(|error| Failure::io("run", Path::new(command.get_program()), &error))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its end, if that has come.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|error| Failure::new(Exit::Failure, "io", format!("wait for a child: {error}")))
    }

    /// Waits for its end, however that was brought about; nothing when it takes too long.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            match self.ended()? {
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or it ends now; there is nobody to tell about anything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node in a child process.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits for the line of stdout that says `ready`. Returns the lines up to there.
    pub(crate) fn start(
        mut command: Command,
        log: &Path,
        patience: Duration,
        is_ready: impl Fn(&str) -> bool,
    ) -> Result<(Self, Vec<String>), Failure> {
        let file = File::options().append(true).create(true).open(log);
        let file = file.map_err(|error| Failure::io("open", log, &error))?;
        command.stdout(Stdio::piped()).stderr(file);
        let mut running = Running::new(command)?;
        let lines = lines_of(running.child.stdout.take());
        let mut server = Self { running, log: log.to_owned() };
        let (deadline, mut said) = (Instant::now() + patience, Vec::new());
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let ready = is_ready(&line);
                    said.push(line);
                    if ready {
                        return Ok((server, said));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(server.not_ready("is not ready in time")),
                Err(RecvTimeoutError::Disconnected) => {
                    let how = match server.running.wait(STOP_PATIENCE)? {
                        Some(status) => format!("ended before it was ready ({status})"),
                        None => "closed its output before it was ready".to_owned(),
                    };
                    return Err(server.not_ready(&how));
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Waits for its end, however that was brought about.
    pub(crate) fn wait(mut self) -> Result<ExitStatus, Failure> {
        self.running.wait(STOP_PATIENCE)?.ok_or_else(|| self.not_ready("does not end"))
    }

    /// SIGTERM, its end, and its exit status.
    pub(crate) fn stop(self) -> Result<ExitStatus, Failure> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)
                .map_err(|error| Failure::new(Exit::Failure, "io", format!("stop process {}: {error}", self.pid())))?;
        }
        self.wait()
    }

    fn not_ready(&self, how: &str) -> Failure {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" | ");
        let last = if last.is_empty() { "nothing".to_owned() } else { last };
        Failure::new(Exit::Failure, "node_ended", format!("the throw-away node {how}")).hint(format!("it said: {last}"))
    }
}

/// The lines of a pipe as they come; read to its end even when nobody listens, so that the writer never stands still.
fn lines_of(stdout: Option<ChildStdout>) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
            let Ok(line) = line else { break };
            // Nobody listens any more: go on reading.
            let _ = send.send(line);
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, home: &Path) -> Command {
        let mut command = secluded(Path::new("/bin/sh"), home);
        command.arg("-c").arg(line);
        command
    }

    #[test]
    fn a_directory_goes_with_its_owner_unless_it_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let scratch = Scratch::new("test", home.path()).unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
        let mut scratch = Scratch::new("test", home.path()).unwrap();
        scratch.keep(true);
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(path.is_dir());
    }

    #[test]
    fn a_child_is_ready_when_it_says_so_and_goes_with_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let line = "echo $HOME; echo ready; exec sleep 60";
        let started = Server::start(shell(line, home.path()), &log, Duration::from_secs(5), |line| line == "ready");
        let (server, said) = started.unwrap();
        assert_eq!(said, [home.path().to_str().unwrap(), "ready"]);
        let pid = server.pid();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}/stat")).exists());
    }

    #[test]
    fn a_child_that_ends_too_early_is_reported_with_its_last_words() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let start =
            |line: &str, patience| Server::start(shell(line, home.path()), &log, patience, |_| false).unwrap_err();
        let failure = start("echo no room >&2; exit 3", Duration::from_secs(5));
        assert!(failure.message.contains("exit status: 3"), "{}", failure.message);
        assert!(failure.hint.contains("no room"), "{}", failure.hint);
        let failure = start("exec sleep 60", Duration::from_millis(50));
        assert!(failure.message.contains("not ready in time"), "{}", failure.message);
    }

    #[test]
    fn a_child_that_is_asked_to_end_ends_with_its_own_code() {
        let home = tempfile::tempdir().unwrap();
        let line = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let started =
            Server::start(shell(line, home.path()), &home.path().join("log"), Duration::from_secs(5), |line| {
                line == "ready"
            });
        assert_eq!(started.unwrap().0.stop().unwrap().code(), Some(7));
    }
}
