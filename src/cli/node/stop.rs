//! `rig node stop`: asks the process that holds the lock to end, and waits until the lock is free.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::{resolve, word_for};
use crate::cli::{Context, Failure, Outcome, help, target};
use crate::error::Exit;
use crate::node::dir::DataDir;

/// Two signals at once would count as one.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(100);
/// Between two looks at the lock.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Stop a node
///
/// The node finishes what is under way and ends. --now does not wait for that, which is always safe: what was
/// answered is in the log. A node that does not run is no failure.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig node stop n1", "rig node stop ./n1 --now"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::InUse, Exit::Degraded,
    ])
)]
pub(super) struct Args {
    /// A name of the registry, or a data directory
    // Not `node`: that is the global flag.
    #[arg(value_name = "NAME|DIR")]
    which: Option<OsString>,
    /// Do not wait for requests under way
    #[arg(long)]
    now: bool,
}

#[derive(Serialize)]
struct Stopped<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    data_dir: &'a Path,
    /// False: it did not run.
    stopped: bool,
    pid: Option<u32>,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let dir = resolve(args.which.as_deref(), context)?;
    let pid = if dir.is_in_use() { stop(&dir, args.now, context)? } else { None };
    let name = &dir.meta().name;
    let object = Stopped { kind: "stopped", name, data_dir: dir.path(), stopped: pid.is_some(), pid };
    context.out.either(&object, || match pid {
        Some(pid) => format!("stopped  {name}  pid {pid}\n"),
        None => format!("stopped  {name}  (it did not run)\n"),
    })?;
    Ok(Exit::Ok)
}

/// The process that was stopped; none when it ended by itself before it was asked.
fn stop(dir: &DataDir, now: bool, context: &Context) -> Result<Option<u32>, Failure> {
    let name = &dir.meta().name;
    let deadline = Instant::now() + context.timeout();
    let Some(pid) = holder(dir) else {
        if !dir.is_in_use() {
            return Ok(None);
        }
        return Err(Failure::new(
            Exit::InUse,
            "in_use",
            format!("another process holds {} and does not say that it serves", dir.path().display()),
        )
        .hint("a node that starts says so soon: try again; another command of rig ends by itself"));
    };
    signal(dir, pid)?;
    if now {
        std::thread::sleep(BETWEEN_SIGNALS);
        if dir.is_in_use() && holder(dir) == Some(pid) {
            signal(dir, pid)?;
        }
    }
    while dir.is_in_use() {
        if Instant::now() >= deadline {
            return Err(Failure::new(Exit::Degraded, "not_stopped", format!("node {name} has not ended yet"))
                .hint(format!("do not wait for it: `rig node stop {} --now`", word_for(dir, context))));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(Some(pid))
}

fn signal(dir: &DataDir, pid: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(&format!("stop process {pid} of"), dir.path(), &error);
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?;
    match kill_process(raw, Signal::TERM) {
        // It was quicker than we: the lock will tell.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// The process that serves this directory. After a crash `endpoint.json` names one that is gone, and while the next
/// start is under way the lock is held again: where the system tells who holds the lock, both must agree.
fn holder(dir: &DataDir) -> Option<u32> {
    let (endpoint, _) = target::endpoint(dir)?;
    let inode = fs::metadata(dir.path().join("LOCK")).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    match lock_holders(&locks, inode).as_slice() {
        [] => Some(endpoint.pid),
        holders => holders.contains(&endpoint.pid).then_some(endpoint.pid),
    }
}

/// The processes that `/proc/locks` names as writers of this inode: `1: FLOCK  ADVISORY  WRITE 712 08:01:9172 0 EOF`.
/// A process of another container has no number here, and so it is left out.
fn lock_holders(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        (file.rsplit(':').next()?.parse() == Ok(inode)).then_some(pid.parse().ok()?)
    };
    locks.lines().filter_map(holder).filter(|pid| *pid != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_read_from_the_systems_table() {
        let locks = "1: FLOCK  ADVISORY  WRITE 712 08:01:9172 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 713 08:01:9172 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 714 08:01:9172 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 715 08:01:9172 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 716 08:01:91720 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 0 08:01:9172 0 EOF\n\
                     not a line\n";
        assert_eq!(lock_holders(locks, 9172), [712]);
        assert_eq!(lock_holders(locks, 1), [0u32; 0]);
    }

    #[test]
    fn a_word_left_by_another_process_stops_nobody() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::init(&home.path().join("n1"), "n1").unwrap();
        let endpoint = |pid| crate::node::dir::Endpoint {
            pid,
            http: "http://127.0.0.1:7440".to_owned(),
            role: crate::types::Role::Primary,
            started: "2026-01-01T00:00:00Z".to_owned(),
        };
        dir.write_endpoint(&endpoint(std::process::id())).unwrap();
        assert_eq!(holder(&dir), None, "the lock is free");
        let _lock = dir.lock().unwrap();
        assert_eq!(holder(&dir), Some(std::process::id()));
        if cfg!(target_os = "linux") {
            dir.write_endpoint(&endpoint(1)).unwrap();
            assert_eq!(holder(&dir), None, "the lock is ours, not that of process 1");
        }
    }
}
