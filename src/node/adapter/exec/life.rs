//! One running of a command, from its start to its end: the calls on their way, and the answers.
//!
//! ```text
//!   ask ──► outbox ──► writer ──► standard input
//!    └◄──── waiting ◄── reader ◄── standard output
//! ```
//!
//! Threads of their own read and write, so that a child that does neither holds up nobody longer than the caller's
//! patience. Once it is over, for whatever reason, every call has its fault at once and the child is killed.
//!
//! # Invariants
//! 1. Ids are never used twice in one life, and the pipes of two lives are not the same.
//! 2. What is kept of its output is one line at most, and that only while the line may still be an answer.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::SERVICE_ANSWER_BYTES_MAX;
use crate::node::adapter::Fault;
use crate::node::adapter::patience::Patience;
use crate::service::protocol::{Answer, Call, answer_line, call_line, quoted};

/// A pipe that is at its end belongs to a child that is about to end, and whose status says more than the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often progress is looked for while a call waits.
const LOOK: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Life {
    state: Mutex<State>,
    changed: Condvar,
    /// Ends the child, however it is.
    kill: Option<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    asked: u64,
    waiting: BTreeMap<u64, SyncSender<Result<Answer, Fault>>>,
    outbox: VecDeque<(u64, Vec<u8>)>,
    /// Why nothing is answered any more.
    over: Option<Fault>,
    /// Its standard output is at its end.
    drained: bool,
    greeted: bool,
    /// Calls under way that may take very long.
    long: usize,
    first_answer: Option<Instant>,
    last_answer: Option<Instant>,
    /// The first call after the last answer.
    silent_since: Option<Instant>,
    /// The last line on its standard error.
    last_words: String,
    /// Somebody knows why it is over.
    told: bool,
}

impl Life {
    /// A life that `kill` ends.
    pub(super) fn new(kill: impl Fn() + Send + Sync + 'static) -> Self {
        Self { kill: Some(Box::new(kill)), ..Self::default() }
    }

    /// Starts the threads that read and write.
    pub(super) fn begin(
        self: &Arc<Self>,
        input: impl Write + Send + 'static,
        output: impl Read + Send + 'static,
    ) -> std::io::Result<()> {
        let life = Arc::clone(self);
        std::thread::Builder::new().name("rig-svc-out".into()).spawn(move || life.write(input))?;
        let life = Arc::clone(self);
        std::thread::Builder::new().name("rig-svc-in".into()).spawn(move || life.read(output))?;
        Ok(())
    }

    /// One call and its answer. `progress` says whether something has happened since it was last asked.
    pub(super) fn ask(
        &self,
        call: Call,
        params: &str,
        patience: &mut Patience,
        mut progress: impl FnMut() -> bool,
    ) -> Result<Answer, Fault> {
        let (sender, answer) = sync_channel(1);
        let long = usize::from(matches!(call, Call::Snapshot | Call::Restore));
        let mut state = self.lock();
        if let Some(fault) = state.over.clone() {
            state.told = true;
            return Err(fault);
        }
        state.asked += 1;
        let id = state.asked;
        state.waiting.insert(id, sender);
        state.outbox.push_back((id, call_line(id, call, params)));
        state.silent_since.get_or_insert_with(Instant::now);
        state.long += long;
        drop(state);
        self.changed.notify_all();
        let answered = loop {
            let left = match patience.left() {
                Ok(left) => left.min(LOOK),
                Err(fault) if self.give_up(id, call, patience.silence, &fault) => break Err(fault),
                // The answer is on its way to us.
                Err(_) => Duration::from_secs(1),
            };
            match answer.recv_timeout(left) {
                Ok(answered) => break answered,
                Err(RecvTimeoutError::Timeout) if progress() => patience.progress(),
                Err(RecvTimeoutError::Timeout) => {}
                // It is taken from the list only to be answered.
                Err(RecvTimeoutError::Disconnected) => break Err(patience.over()),
            }
        };
        self.lock().long -= long;
        answered
    }

    /// A call has waited long enough, unless it is being answered right now. The answer may still come, and nobody
    /// will take it for another's; but what an apply has done is not known, and so that ends the child, as silence
    /// does.
    fn give_up(&self, id: u64, call: Call, silence: Duration, fault: &Fault) -> bool {
        let mut state = self.lock();
        if state.waiting.remove(&id).is_none() {
            return false;
        }
        state.outbox.retain(|(waiting, _)| *waiting != id);
        let silent = state.silent_since.is_some_and(|since| since.elapsed() >= silence);
        let hangs = silent && state.last_answer.is_some() && state.long == 0;
        drop(state);
        if call == Call::Apply || hangs {
            self.end(fault.clone());
        }
        true
    }

    /// Whether `info` has been asked, and answered well enough.
    pub(super) fn is_greeted(&self) -> bool {
        self.lock().greeted
    }

    pub(super) fn set_greeted(&self) {
        self.lock().greeted = true;
    }

    /// From the first answer to the last.
    pub(super) fn answered_for(&self) -> Duration {
        let state = self.lock();
        state.first_answer.zip(state.last_answer).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// It is over: every call that waits and every one that comes has this fault, or the one that came first. The
    /// child is killed.
    pub(super) fn end(&self, fault: Fault) {
        self.close(fault);
        if let Some(kill) = &self.kill {
            kill();
        }
    }

    /// The same without killing it: its standard input is closed. Answers the fault that holds.
    pub(super) fn close(&self, fault: Fault) -> Fault {
        let mut state = self.lock();
        let fault = state.over.get_or_insert(fault).clone();
        state.outbox.clear();
        let waiting = std::mem::take(&mut state.waiting);
        state.told |= !waiting.is_empty();
        drop(state);
        self.changed.notify_all();
        for waiting in waiting.values() {
            // Who has given up is not there any more.
            let _ = waiting.try_send(Err(fault.clone()));
        }
        fault
    }

    /// Whether a call has been told why it is over.
    pub(super) fn is_told(&self) -> bool {
        self.lock().told
    }

    /// Waits until everything that it has said on its standard output has been read, but not for ever: something else
    /// may hold the pipe.
    pub(super) fn drain(&self, limit: Duration) {
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, limit, |state| !state.drained);
    }

    /// Calls so far.
    #[cfg(test)]
    pub(super) fn asked(&self) -> u64 {
        self.lock().asked
    }

    /// Keeps the last line on its standard error.
    pub(super) fn says(&self, line: &str) {
        line.clone_into(&mut self.lock().last_words);
    }

    /// The last line on its standard error.
    pub(super) fn last_words(&self) -> String {
        self.lock().last_words.clone()
    }

    fn write(&self, mut input: impl Write) {
        loop {
            let state = self.lock();
            let idle = |state: &mut State| state.outbox.is_empty() && state.over.is_none();
            let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
            let Some((_, line)) = state.outbox.pop_front() else { return };
            drop(state);
            if input.write_all(&line).and_then(|()| input.flush()).is_err() {
                self.end_soon("it has closed its standard input");
                return;
            }
        }
    }

    fn read(&self, output: impl Read) {
        let mut output = BufReader::with_capacity(64 << 10, output);
        let mut line = Vec::new();
        let seen = loop {
            match next_line(&mut output, &mut line) {
                Ok(true) => {
                    if let Err(fault) = self.answer(&line) {
                        break Some(fault);
                    }
                }
                Ok(false) => break None,
                Err(fault) => break Some(fault),
            }
        };
        // What it says while it ends is of no interest.
        if let Some(fault) = seen.filter(|_| self.lock().over.is_none()) {
            self.end(fault);
        }
        self.lock().drained = true;
        self.changed.notify_all();
        self.end_soon("it has closed its standard output");
    }

    /// Hands an answer to who waits for it.
    fn answer(&self, line: &[u8]) -> Result<(), Fault> {
        let (id, answer) = answer_line(line)?;
        let mut state = self.lock();
        if state.over.is_none() && (id == 0 || id > state.asked) {
            let detail = format!("{} answers a call that was never made", quoted(line));
            return Err(Fault::Violation { rule: "pipe", detail });
        }
        let now = Instant::now();
        state.first_answer.get_or_insert(now);
        state.last_answer = Some(now);
        // Who waits is heard from here on; what came before is forgiven.
        let waiting = state.waiting.remove(&id);
        state.silent_since = (!state.waiting.is_empty()).then_some(now);
        drop(state);
        if let Some(waiting) = waiting {
            let _ = waiting.try_send(Ok(answer));
        }
        Ok(())
    }

    /// A pipe is at its end. Unless the child ends by itself within a moment, it is ended for that.
    fn end_soon(&self, why: &str) {
        let state = self.lock();
        let alive = |state: &mut State| state.over.is_none();
        let (state, timeout) =
            self.changed.wait_timeout_while(state, LAST_WORDS, alive).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if timeout.timed_out() {
            self.end(Fault::Away(why.to_owned()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next line, without its end; `false` at the end of the output, also in the middle of a line.
///
/// What does not begin like an answer is refused at its first byte, so that a flood is not collected.
fn next_line(output: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, Fault> {
    let broken =
        |bytes: &[u8], what: &str| Err(Fault::Violation { rule: "pipe", detail: format!("{} {what}", quoted(bytes)) });
    line.clear();
    // The room of a large answer is not kept for the small ones that follow.
    line.shrink_to(64 << 10);
    loop {
        let bytes = match output.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(false),
        };
        if line.is_empty() && bytes.first().is_some_and(|first| *first != b'{') {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            return broken(&bytes[..end], "is not an answer");
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(bytes.len());
        if line.len() + taken > SERVICE_ANSWER_BYTES_MAX {
            return broken(line, "is longer than a line may be");
        }
        line.extend_from_slice(&bytes[..taken]);
        output.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}
