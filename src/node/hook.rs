//! A command that is run for each event: `rig serve --on-event COMMAND`.
//!
//! ```text
//!   event loop ── line ──► queue (bounded) ──► one thread ──► /bin/sh -c COMMAND, one after the other
//! ```
//!
//! # Invariants
//! 1. Nothing here is waited for: an event that finds the queue full is missed by the command, counted, and stays in
//!    `GET /events`, where its number shows the gap.
//! 2. A command that hangs is ended after [`HOOK_TIMEOUT`], with all that it has started.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::limits::HOOK_TIMEOUT;

/// Events that wait for the command.
const WAITING_MAX: usize = 1024;
/// What a pipe takes without a reader: a command need not read what it is given.
const INPUT_BYTES_MAX: usize = 60_000;
/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the command is told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) node: String,
    pub(super) event: &'static str,
    /// The line of `GET /events`.
    pub(super) line: String,
}

/// What became of the runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) ended: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) missed: AtomicU64,
}

/// The way to the thread that runs the command. Without it, the thread ends behind the events that wait.
#[derive(Debug)]
pub(super) struct Hook {
    queue: SyncSender<Told>,
    runs: Arc<Runs>,
}

impl Hook {
    /// Starts the thread for this command.
    pub(super) fn start(command: String) -> io::Result<Self> {
        Self::with_timeout(command, HOOK_TIMEOUT)
    }

    fn with_timeout(command: String, timeout: Duration) -> io::Result<Self> {
        let (queue, inbox) = sync_channel(WAITING_MAX);
        let runs = Arc::<Runs>::default();
        let kept = Arc::clone(&runs);
        let thread = std::thread::Builder::new().name("rig-hook".into());
        thread.spawn(move || run_all(&command, &inbox, &kept, timeout))?;
        Ok(Self { queue, runs })
    }

    /// One more event.
    pub(super) fn tell(&self, told: Told) {
        let (event, seq) = (told.event, told.seq);
        if self.queue.try_send(told).is_err() {
            self.runs.missed.fetch_add(1, Ordering::Relaxed);
            ::log::warn!("the command for events is too slow: it is not run for event {event} (number {seq})");
        }
    }

    /// What became of the runs.
    pub(super) fn runs(&self) -> &Runs {
        &self.runs
    }
}

fn run_all(command: &str, inbox: &Receiver<Told>, runs: &Runs, timeout: Duration) {
    for told in inbox {
        let why = match run(command, &told, timeout) {
            Ok(Some(status)) if status.success() => None,
            Ok(Some(status)) => Some(status.to_string()),
            Ok(None) => Some(format!("it was ended after {} s", timeout.as_secs_f64())),
            Err(error) => Some(error.to_string()),
        };
        runs.ended.fetch_add(1, Ordering::Relaxed);
        if let Some(why) = why {
            runs.failed.fetch_add(1, Ordering::Relaxed);
            ::log::warn!("the command for event {} (number {}) failed: {why}", told.event, told.seq);
        }
    }
}

/// Runs it once; nothing when it took too long.
fn run(command: &str, told: &Told, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env("RIG_EVENT", told.event)
        .env("RIG_EVENT_SEQ", told.seq.to_string())
        .env("RIG_EVENT_TIME", &told.time)
        .env("RIG_NODE", &told.node)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        let line = told.line.as_bytes();
        // A command that does not read has closed its end, perhaps.
        let _ = input.write_all(&line[..line.len().min(INPUT_BYTES_MAX)]).and_then(|()| input.write_all(b"\n"));
    }
    let in_time = ends_within(&child, timeout)?;
    // Not taken yet, so that the number still belongs to this group.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait()?;
    Ok(in_time.then_some(status))
}

fn ends_within(child: &Child, timeout: Duration) -> io::Result<bool> {
    let (until, pid) = (Instant::now() + timeout, Pid::from_child(child));
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        match waitid(WaitId::Pid(pid), look) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seq: u64) -> Told {
        let line = format!("{{\"seq\":{seq}}}");
        Told { seq, time: "T".into(), node: "n1".into(), event: "role", line }
    }

    fn wait_for(mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < until, "it does not come");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn the_command_is_told_each_event_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seen");
        let command = format!(
            "read line; echo \"$RIG_EVENT $RIG_EVENT_SEQ $RIG_EVENT_TIME $RIG_NODE $line\" >> {}",
            file.display()
        );
        let hook = Hook::start(command).unwrap();
        (1..=5).for_each(|seq| hook.tell(told(seq)));
        wait_for(|| hook.runs().ended.load(Ordering::Relaxed) == 5);
        let wanted: String = (1..=5).map(|seq| format!("role {seq} T n1 {{\"seq\":{seq}}}\n")).collect();
        assert_eq!(std::fs::read_to_string(file).unwrap(), wanted);
        assert_eq!(hook.runs().failed.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_started_and_the_next_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let command = format!("test $RIG_EVENT_SEQ = 2 || {{ sleep 600 & echo $! > {}; wait; }}", pid.display());
        let hook = Hook::with_timeout(command, Duration::from_millis(500)).unwrap();
        hook.tell(told(1));
        hook.tell(told(2));
        wait_for(|| hook.runs().ended.load(Ordering::Relaxed) == 2);
        assert_eq!(hook.runs().failed.load(Ordering::Relaxed), 1);
        let sleeper = std::fs::read_to_string(pid).unwrap();
        let stat = std::path::PathBuf::from("/proc").join(sleeper.trim()).join("stat");
        wait_for(|| std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z ")));
    }

    #[test]
    fn more_than_can_wait_are_missed_and_nobody_is_held_up() {
        let hook = Hook::start("sleep 600".into()).unwrap();
        let begin = Instant::now();
        (0..WAITING_MAX as u64 + 10).for_each(|seq| hook.tell(told(seq)));
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert!((9..=10).contains(&hook.runs().missed.load(Ordering::Relaxed)));
    }
}
