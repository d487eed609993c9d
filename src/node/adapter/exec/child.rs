//! The process of a command, with everything that it has started in its process group.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::life::Life;
use crate::limits::SERVICE_STDERR_LINE_BYTES_MAX;
use crate::service::protocol::harmless;

/// A process group, as long as its leader has not been waited for: from then on its number may be another's.
#[derive(Clone)]
pub(super) struct Group {
    pid: Pid,
    gone: Arc<Mutex<bool>>,
}

impl Group {
    /// Ends all of it at once.
    pub(super) fn kill(&self) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            // It may have ended by itself.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

/// A command that runs.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) group: Group,
}

/// Its ends of the pipes.
pub(super) struct Pipes {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    pub(super) errors: ChildStderr,
}

impl Child {
    /// Starts it.
    pub(super) fn start(command: &str, node: &str, dir: &Path) -> io::Result<(Self, Pipes)> {
        let mut process = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .env("RIG_NODE", node)
            .env("RIG_SERVICE_DIR", dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Group { pid: Pid::from_child(&process), gone: Arc::default() };
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else { return Err(io::ErrorKind::BrokenPipe.into()) };
        Ok((Self { process, group }, Pipes { input, output, errors }))
    }

    /// Waits until it has ended, and ends what it has left running.
    pub(super) fn wait(mut self) -> io::Result<ExitStatus> {
        // Seen first and taken later: as long as it is not taken its number belongs to nobody else.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(self.group.pid), options) {}
        let mut gone = self.group.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kill_process_group(self.group.pid, Signal::KILL);
        *gone = true;
        self.process.wait()
    }
}

/// Logs what a command writes to its standard error, line by line. The receiver hears when there is no more.
pub(super) fn log_errors(life: Arc<Life>, errors: impl Read + Send + 'static) -> io::Result<Receiver<()>> {
    let (ended, end) = sync_channel(1);
    let thread = std::thread::Builder::new().name("rig-svc-err".into());
    thread.spawn(move || {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        while let Ok(true) = next_line(&mut errors, &mut line) {
            let text = harmless(line.trim_ascii_end());
            ::log::info!("service: {text}");
            if !text.is_empty() {
                life.says(&text);
            }
        }
        // Nobody may be there to hear it.
        let _ = ended.try_send(());
    })?;
    Ok(end)
}

/// The next line, cut where it is too long; `false` at the end.
fn next_line(errors: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = errors.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len());
        let room = SERVICE_STDERR_LINE_BYTES_MAX - line.len();
        line.extend_from_slice(&bytes[..taken.min(room)]);
        errors.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_errors_is_cut_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; 3 * SERVICE_STDERR_LINE_BYTES_MAX];
        text.extend_from_slice(b"\nnext\nlast");
        let (mut errors, mut line) = (BufReader::with_capacity(1000, text.as_slice()), Vec::new());
        let mut lines = Vec::new();
        while next_line(&mut errors, &mut line).unwrap() {
            lines.push(line.clone());
        }
        assert_eq!(lines[0], vec![b'x'; SERVICE_STDERR_LINE_BYTES_MAX]);
        assert_eq!(lines[1..], [b"next".to_vec(), b"last".to_vec()]);
    }
}
