//! A service that a command of ours runs.
//!
//! ```text
//!   start ──► Up ──(it ends)──► Down ──(50 ms, doubling to 5 s)──► Up …
//!                                 └── every call fails at once, and says why
//! ```
//!
//! One thread watches over the command: it waits for its end, and starts it again.

mod child;
mod life;

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::patience::{Patience, Times};
use super::speaker::Wire;
use super::spool::Spooled;
use super::{Fault, Greeting};
use crate::limits::{SERVICE_RESTART_MAX, SERVICE_RESTART_MIN, SERVICE_STOP_TIMEOUT, SERVICE_WELL_AFTER};
use crate::service::protocol::{self, Answer, Call};
use crate::types::Version;
use child::{Child, Pipes, log_errors};
use life::Life;

/// After its end: for so long its last answers and words are waited for, should something else hold the pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Exec {
    shared: Arc<Shared>,
    times: Times,
    greeting: Arc<Greeting>,
}

struct Shared {
    command: String,
    node: String,
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    now: Now,
    /// A broken rule that no call has been told of: the next one is.
    untold: Option<Fault>,
    stopping: bool,
    /// The thread that watches is done.
    ended: bool,
}

enum Now {
    Up(Arc<Life>),
    Down(Fault),
}

/// A command that has been started.
struct Started {
    child: Child,
    life: Arc<Life>,
    errors: Receiver<()>,
}

fn stopping() -> Fault {
    Fault::Away("the node stops".to_owned())
}

impl Exec {
    /// Starts the command with this directory for its files.
    pub(super) fn start(command: &str, times: Times, greeting: Arc<Greeting>, dir: &Path) -> io::Result<Self> {
        let state = State { now: Now::Down(stopping()), untold: None, stopping: false, ended: false };
        let shared = Arc::new(Shared {
            command: command.to_owned(),
            node: greeting.node().to_owned(),
            dir: dir.to_owned(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let started = shared.start()?;
        shared.lock().now = Now::Up(Arc::clone(&started.life));
        let exec = Self { shared: Arc::clone(&shared), times, greeting };
        std::thread::Builder::new().name("rig-svc".into()).spawn(move || shared.watch(started))?;
        Ok(exec)
    }

    /// What speaks over these pipes, as if a command did.
    #[cfg(test)]
    pub(super) fn over_pipes(
        input: std::io::PipeWriter,
        output: std::io::PipeReader,
        times: Times,
        greeting: Arc<Greeting>,
    ) -> io::Result<Self> {
        let life = Arc::new(Life::default());
        life.begin(input, output)?;
        let state = State { now: Now::Up(life), untold: None, stopping: false, ended: true };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Shared { command: String::new(), node: String::new(), dir: PathBuf::new(), state, changed };
        Ok(Self { shared: Arc::new(shared), times, greeting })
    }

    /// Calls that the command has been asked in its present life.
    #[cfg(test)]
    pub(super) fn asked(&self) -> u64 {
        match &self.shared.lock().now {
            Now::Up(life) => life.asked(),
            Now::Down(_) => 0,
        }
    }

    /// The command as it runs now, greeted.
    fn life(&self, call: Call, patience: &mut Patience) -> Result<Arc<Life>, Fault> {
        let mut state = self.shared.lock();
        if let Some(untold) = state.untold.take() {
            return Err(untold);
        }
        let life = match &state.now {
            Now::Up(life) => Arc::clone(life),
            Now::Down(fault) => return Err(fault.clone()),
        };
        drop(state);
        if call != Call::Info && !life.is_greeted() {
            self.greeting.greet(|params| life.ask(Call::Info, params, patience, || false))?;
            life.set_greeted();
        }
        Ok(life)
    }

    fn ask(&self, call: Call, params: &str, progress: impl FnMut() -> bool) -> Result<Answer, Fault> {
        let mut patience = self.times.begin(call);
        let life = self.life(call, &mut patience)?;
        let answer = life.ask(call, params, &mut patience, progress)?;
        if call == Call::Info && answer.status == 200 {
            life.set_greeted();
        }
        Ok(answer)
    }
}

impl Wire for Exec {
    fn call(&self, call: Call, params: &str) -> Result<Answer, Fault> {
        self.ask(call, params, || false)
    }

    fn snapshot(&self, file: &Spooled, out: &mut dyn Write) -> Result<Version, Fault> {
        let unkept = |error: io::Error| Fault::Away(format!("keep the snapshot: {error}"));
        let mut written = 0;
        let grows = || std::mem::replace(&mut written, file.len()) != written;
        let params = protocol::state_file(file.path().map_err(unkept)?, None);
        let version = protocol::saved(&self.ask(Call::Snapshot, &params, grows)?)?;
        let mut file = file.open().map_err(|error| Fault::Violation {
            rule: "snapshot",
            detail: format!("the file that it was to write: {error}"),
        })?;
        io::copy(&mut file, out).map_err(unkept)?;
        Ok(version)
    }

    fn restore(&self, version: Version, file: &Spooled) -> Result<Answer, Fault> {
        let path = file.path().map_err(|error| Fault::Away(format!("keep the snapshot: {error}")))?;
        self.ask(Call::Restore, &protocol::state_file(path, Some(version)), || false)
    }

    /// Closes the standard input of the command, and kills it when it does not end by that.
    fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        let life = match std::mem::replace(&mut state.now, Now::Down(stopping())) {
            Now::Up(life) => Some(life),
            Now::Down(_) => None,
        };
        drop(state);
        self.shared.changed.notify_all();
        let Some(life) = life else { return };
        life.close(stopping());
        if !self.shared.ends_within(SERVICE_STOP_TIMEOUT) {
            life.end(stopping());
            self.shared.ends_within(SERVICE_STOP_TIMEOUT);
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn start(&self) -> io::Result<Started> {
        let (child, Pipes { input, output, errors }) = Child::start(&self.command, &self.node, &self.dir)?;
        let group = child.group.clone();
        let life = Arc::new(Life::new(move || group.kill()));
        let begun = life.begin(input, output).and_then(|()| log_errors(Arc::clone(&life), errors));
        match begun {
            Ok(errors) => Ok(Started { child, life, errors }),
            Err(error) => {
                child.group.kill();
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Waits for the end of the command and starts it again, until the node stops.
    fn watch(&self, mut started: Started) {
        let mut pause = SERVICE_RESTART_MIN;
        loop {
            let life = Arc::clone(&started.life);
            self.set_down(end_of(started), &life, pause);
            if life.answered_for() >= SERVICE_WELL_AFTER {
                pause = SERVICE_RESTART_MIN;
            }
            started = loop {
                if !self.rests(pause) {
                    return self.set_ended();
                }
                pause = (pause * 2).min(SERVICE_RESTART_MAX);
                match self.start() {
                    Ok(started) => break started,
                    Err(error) => ::log::warn!("service: start the command: {error}"),
                }
            };
            if !self.set_up(&started.life) {
                started.life.end(stopping());
                end_of(started);
                return self.set_ended();
            }
        }
    }

    /// Whether the pause has passed, and the node has not been stopped meanwhile.
    fn rests(&self, pause: Duration) -> bool {
        let chance = uuid::Uuid::now_v7().as_bytes()[15];
        let pause = pause - pause * u32::from(chance) / 1024;
        let state = self.lock();
        let stays = |state: &mut State| !state.stopping;
        let (state, _) = self.changed.wait_timeout_while(state, pause, stays).unwrap_or_else(PoisonError::into_inner);
        !state.stopping
    }

    fn set_up(&self, life: &Arc<Life>) -> bool {
        let mut state = self.lock();
        if !state.stopping {
            state.now = Now::Up(Arc::clone(life));
        }
        !state.stopping
    }

    fn set_down(&self, fault: Fault, life: &Life, pause: Duration) {
        let mut state = self.lock();
        if state.stopping {
            return;
        }
        ::log::warn!("service: {fault}; it is started again in {pause:?}");
        if matches!(fault, Fault::Violation { .. }) && !life.is_told() {
            state.untold = Some(fault.clone());
        }
        state.now = Now::Down(fault);
    }

    fn set_ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let state = self.lock();
        let runs = |state: &mut State| !state.ended;
        let (state, _) = self.changed.wait_timeout_while(state, limit, runs).unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a command, and gives every call its last answer, or the reason why there is none.
fn end_of(started: Started) -> Fault {
    let Started { child, life, errors } = started;
    let ended = match child.wait() {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("the command has ended with exit status {code}"),
            (None, Some(signal)) => format!("the command was ended by signal {signal}"),
            (None, None) => "the command has ended".to_owned(),
        },
        Err(error) => format!("the command is lost: {error}"),
    };
    life.drain(LAST_WORDS);
    // It has ended, or something else holds the pipe.
    let _ = errors.recv_timeout(LAST_WORDS);
    let words = life.last_words();
    let ended = if words.is_empty() { ended } else { format!("{ended}, and its last words were: {words}") };
    life.close(Fault::Away(ended))
}
