//! Where the story is played: every line that is shown is run, by the shell, as it is shown.
//!
//! ```text
//!  sentence          why
//!  $ command         run by `sh -c` in the demo's directory, with this binary first in PATH
//!    output          what it said
//!  check: …  ok      what must hold now
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::cli::output::Look;
use crate::cli::scratch::{Running, Scratch, Server, secluded, this_program};
use crate::cli::{Context, Failure};
use crate::error::Exit;

const START_PATIENCE: Duration = Duration::from_secs(30);
/// What a node writes beside its output.
const SERVE_LOG: &str = "serve.log";

/// What a command line said and ended with.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Step { step: u32, why: &'a str },
    Ran { command: &'a str, exit: Option<i32>, stdout: &'a str, stderr: &'a str },
    Check { check: &'a str, ok: bool },
    Summary { ok: bool, checks: u32, failed: u32, kept: Option<&'a Path> },
}

/// The stage. It takes everything down when it goes out of scope.
pub(super) struct Stage<'a> {
    context: &'a Context,
    program: PathBuf,
    /// Directories in which the shell looks for programs; ours comes first.
    path: OsString,
    dir: Scratch,
    steps: u32,
    checks: u32,
    failed: u32,
}

impl<'a> Stage<'a> {
    pub(super) fn build(context: &'a Context) -> Result<Self, Failure> {
        let dir = Scratch::new("demo", &std::env::temp_dir())?;
        let program = this_program()?;
        let home = dir.path().join("home");
        fs::create_dir(&home).map_err(|error| Failure::io("create", &home, &error))?;
        let here = match (program.file_name(), program.parent()) {
            (Some(name), Some(parent)) if name == "rig" => parent.to_owned(),
            _ => {
                // Installed under another name: the story still says `rig`.
                let link = home.join("rig");
                std::os::unix::fs::symlink(&program, &link).map_err(|error| Failure::io("create", &link, &error))?;
                home
            }
        };
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(here.clone()).chain(std::env::split_paths(&others)))
            .map_err(|error| Failure::new(Exit::Failure, "path", format!("put {} in PATH: {error}", here.display())))?;
        let stage = Self { context, program, path, dir, steps: 0, checks: 0, failed: 0 };
        if !context.out.is_json() {
            stage.command_line(&format!("export PATH={}:$PATH", quote(&here)))?;
            stage.command_line(&format!("cd {}", quote(stage.dir.path())))?;
        }
        Ok(stage)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The next step, and why it is taken.
    pub(super) fn step(&mut self, why: &str) -> Result<(), Failure> {
        self.steps += 1;
        let out = &self.context.out;
        match out.is_json() {
            true => out.object(&Line::Step { step: self.steps, why })?,
            false => out.line(format_args!("\n{}", out.look(Look::Strong, why)))?,
        }
        out.flush()
    }

    /// Something to know about the step.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.context.out.is_json() { Ok(()) } else { self.context.out.line(text) }
    }

    /// Shows a command line, runs it, and shows what it said.
    pub(super) fn run(&self, line: &str) -> Result<Ran, Failure> {
        self.command_line(line)?;
        let ran = self.run_silently(line)?;
        let out = &self.context.out;
        if out.is_json() {
            let (stdout, stderr) = (&ran.stdout, &ran.stderr);
            out.object(&Line::Ran { command: line, exit: ran.exit, stdout, stderr })?;
        } else {
            self.output(&ran.stdout)?;
            self.output(&ran.stderr)?;
        }
        out.flush()?;
        Ok(ran)
    }

    fn run_silently(&self, line: &str) -> Result<Ran, Failure> {
        let shell = Path::new("/bin/sh");
        let mut command = self.child(shell);
        command.arg("-c").arg(line);
        let output = command.output().map_err(|error| Failure::io("run", shell, &error))?;
        Ok(Ran {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// `rig serve …` in the background, until it says that it is ready.
    pub(super) fn serve(&self, words: &[&str]) -> Result<(Server, String), Failure> {
        let line = format!("rig {} 2>>{SERVE_LOG} &", words.join(" "));
        self.command_line(&line)?;
        let mut command = self.child(&self.program);
        command.args(words);
        let log = self.path(SERVE_LOG);
        let (server, said) = Server::start(command, &log, START_PATIENCE, |line| line == "ready")?;
        let said = said.join("\n") + "\n";
        if self.context.out.is_json() {
            self.context.out.object(&Line::Ran { command: &line, exit: None, stdout: &said, stderr: "" })?;
        } else {
            self.output(&said)?;
        }
        self.context.out.flush()?;
        Ok((server, said))
    }

    /// `rig …` in the background, its output in a file.
    pub(super) fn background(&self, words: &[&str], output: &str) -> Result<Running, Failure> {
        let line = format!("rig {} >{output} &", words.join(" "));
        self.command_line(&line)?;
        let path = self.path(output);
        let file = File::create(&path).map_err(|error| Failure::io("create", &path, &error))?;
        let mut command = self.child(&self.program);
        command.args(words).stdout(file).stderr(Stdio::null());
        if self.context.out.is_json() {
            self.context.out.object(&Line::Ran { command: &line, exit: None, stdout: "", stderr: "" })?;
        }
        Running::new(command)
    }

    /// What must hold now.
    pub(super) fn check(&mut self, what: &str, ok: bool) -> Result<(), Failure> {
        self.checks += 1;
        self.failed += u32::from(!ok);
        let out = &self.context.out;
        if out.is_json() {
            out.object(&Line::Check { check: what, ok })?;
        } else {
            let (look, word) = if ok { (Look::Good, "ok") } else { (Look::Bad, "FAILED") };
            out.line(format_args!("check: {what}  {}", out.look(look, word)))?;
        }
        out.flush()
    }

    /// The last words. With `keep` the directory stays, as clean as the story left it.
    pub(super) fn end(mut self, keep: bool) -> Result<Exit, Failure> {
        let (checks, failed) = (self.checks, self.failed);
        let out = &self.context.out;
        if keep {
            self.dir.keep(true);
            // It was the demo's, not the story's.
            let _ = fs::remove_dir_all(self.path("home"));
        }
        let kept = keep.then(|| self.dir.path());
        if out.is_json() {
            out.object(&Line::Summary { ok: failed == 0, checks, failed, kept })?;
        } else {
            let (look, held) = if failed == 0 { (Look::Good, "all held") } else { (Look::Bad, "not all held") };
            out.line(format_args!("\n{checks} checks, {}", out.look(look, held)))?;
            if let Some(kept) = kept {
                out.line(format_args!("kept: {}", kept.display()))?;
            }
        }
        if failed == 0 {
            return Ok(Exit::Ok);
        }
        let failure = Failure::new(Exit::Failure, "check_failed", format!("{failed} of {checks} checks did not hold"));
        Err(if keep { failure } else { failure.hint("`rig demo --keep` leaves everything there to be looked at") })
    }

    fn child(&self, program: &Path) -> Command {
        let mut command = secluded(program, &self.path("home"));
        command.env("PATH", &self.path).current_dir(self.dir.path());
        command
    }

    fn command_line(&self, line: &str) -> Result<(), Failure> {
        let out = &self.context.out;
        if out.is_json() {
            return Ok(());
        }
        out.line(format_args!("{} {line}", out.look(Look::Faint, "$")))?;
        out.flush()
    }

    fn output(&self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            match line {
                "" => self.context.out.line("")?,
                line => self.context.out.line(format_args!("  {line}"))?,
            }
        }
        Ok(())
    }
}

/// One word for the shell.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%=:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
