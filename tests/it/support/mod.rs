//! What the tests share: a fresh home, the real binary, a real node.

mod cluster;
mod coordinated;
mod etcd;
pub(crate) mod histories;
pub(crate) mod judge;
mod lab;
pub(crate) mod linear;
mod link;
pub(crate) mod load;
mod power;
mod stub;

pub(crate) use cluster::Cluster;
pub(crate) use coordinated::{Coordinated, in_sync};
pub(crate) use etcd::{Etcd, base64};
pub(crate) use lab::{AUTHORIZED, Host, Lab, inside};
pub(crate) use link::{Link, Way};
pub(crate) use power::PowerDisk;
pub(crate) use stub::{Stub, ok as stub_ok};

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No command of a test takes longer; a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary.
pub(crate) const RIG: &str = env!("CARGO_BIN_EXE_rig");

/// A node of a test: a free port, and the first line for programs.
pub(crate) const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--json"];

/// A user who has never used Rig.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    /// The binary that is run from now on.
    pub(crate) program: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), program: RIG.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the node lives that needs no `-D`.
    pub(crate) fn default_dir(&self) -> PathBuf {
        self.path(".local/share/rig/default")
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What the nodes of this home have said on standard error.
    pub(crate) fn serve_log(&self) -> String {
        std::fs::read_to_string(self.path("serve.log")).unwrap_or_default()
    }

    /// The binary, in this home and with nothing of Rig in its environment.
    pub(crate) fn rig(&self, arguments: &[&str]) -> Command {
        self.command(&self.program, arguments)
    }

    /// Another program, in the same way.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.dir.path()).env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(self.rig(arguments), b"")
    }

    /// Runs it to its end with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        run(self.rig(arguments), stdin)
    }

    /// Runs it, and it must end with 0.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "rig {arguments:?}: {ran:#?}");
        ran
    }
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command, stdin: &[u8]) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A command that does not read all of its input is no failure of the test.
    let feeding = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let out = read(child.stdout.take().unwrap());
    let err = read(child.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("{command:?} did not end within {PATIENCE:?}");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    feeding.join().unwrap();
    Ran { code: status.code(), stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    })
}

impl Ran {
    /// The one object on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Each line on stdout as an object.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// The error object that a command with `--json` ends with.
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_else(|| panic!("no error: {self:#?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }
}

/// A node of the real binary on a free port; killed when dropped.
pub(crate) struct Node {
    child: Child,
    /// The ready line.
    pub(crate) ready: Value,
}

impl Node {
    /// Serves an initialised directory and waits until it is ready.
    pub(crate) fn serve(home: &Home, arguments: &[&str]) -> Self {
        let free_port = if arguments.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        Self::spawn(home, home.rig(&[&["serve", "--json"], free_port, arguments].concat()))
    }

    /// The same under a command of the test's own, which ends as the node does: a tracer, another user.
    pub(crate) fn spawn(home: &Home, command: Command) -> Self {
        let mut node = Self::spawn_unready(home, command);
        node.wait_ready(home);
        node
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn_unready(home: &Home, mut command: Command) -> Self {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(home.path("serve.log")).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Self { child, ready: Value::Null }
    }

    /// Waits for the ready line.
    pub(crate) fn wait_ready(&mut self, home: &Home) {
        let mut first = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        self.ready =
            serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error}: {first:?}; {}", home.serve_log()));
        assert_eq!(self.ready["type"], "ready");
    }

    /// Initialises the default directory and serves it.
    pub(crate) fn new(home: &Home) -> Self {
        home.ok(&["init"]);
        Self::serve(home, &[])
    }

    pub(crate) fn url(&self) -> &str {
        self.ready["http"].as_str().unwrap()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url().split_once("://").unwrap().1
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A signal by its name, to this process alone.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < deadline, "the node did not end"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How it ended, if it does within this time.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> Option<Option<i32>> {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(self.wait())
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a tool is there. A test without its tool is skipped with a word, and fails where skipping is forbidden.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()) {
        return true;
    }
    skipped(test, tool)
}

/// Says that a test cannot be done here, and fails where skipping is forbidden.
pub(crate) fn skipped(test: &str, needs: &str) -> bool {
    println!("SKIPPED {test}: needs {needs}");
    assert!(std::env::var_os("RIG_TEST_NO_SKIP").is_none(), "{test} needs {needs}, and nothing may be skipped");
    false
}

/// An example as it was built. `cargo test` builds them beside the tests; a test that is built alone has to do without.
pub(crate) fn example(name: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().unwrap().parent()?.parent()?.join("examples").join(name);
    let is_there = path.exists() || skipped(test, &format!("the example {name}: cargo build --examples"));
    is_there.then_some(path)
}

/// Says that this machine does not allow what a test needs. Nobody can install a right, so this is no failure; what
/// such a test shows must be shown by another one too, as far as that goes.
pub(crate) fn withheld(test: &str, right: &str) -> bool {
    println!("SKIPPED {test}: this machine does not allow {right}");
    false
}

/// Whether this user may do everything.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
