//! `rig apply --batch`: many operations, pipelined over one connection.
//!
//! ```text
//!   input thread ── blocks ──► window of requests ──► POST /do (NDJSON) ──► node
//!                                  │    ▲                                    │
//!                     connection   └────┘ sent again with the same keys      │
//!                     lost                                                   ▼
//!   stdout ◄── one line per operation, in the order of the input ◄── answers, in order
//! ```
//!
//! # Invariants
//! 1. Memory does not depend on the length of the input: a few blocks are read ahead, a few are under way.
//! 2. An operation keeps its key over all tries of this run, so it is in the log at most once.
//! 3. Every operation that was read is told about exactly once: applied, rejected or unknown.

mod input;
mod tally;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::apply::{self, Answer, Applied};
use super::progress::Progress;
use super::{Context, Failure, Outcome};
use crate::client::{Client, Error, GRACE, PAUSE_MAX, PAUSE_MIN, Request, is_final, problem_of};
use crate::error::{Code, Exit, Problem};
use crate::limits::REQUEST_TIMEOUT_MAX;
use input::{Block, Entry, Item};
use tally::Tally;

/// Requests under way: the node syncs one batch while the next one travels.
const WINDOW: usize = 4;

/// An operation under way.
#[derive(Debug)]
struct Pending {
    item: Item,
    began: Instant,
    /// A try of it may have reached the log.
    sent: bool,
}

/// One place of a request.
#[derive(Debug)]
enum Slot {
    Operation(Pending),
    Told(Entry),
}

/// One request, or what is left of it to be answered.
#[derive(Debug, Default)]
struct Chunk {
    slots: VecDeque<Slot>,
    written: bool,
}

impl Chunk {
    fn operations(&self) -> impl Iterator<Item = &Pending> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Operation(pending) => Some(pending),
            Slot::Told(_) => None,
        })
    }

    fn operations_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Operation(pending) => Some(pending),
            Slot::Told(_) => None,
        })
    }
}

struct Batch<'a> {
    context: &'a Context,
    client: Client,
    timeout: Duration,
    blocks: Receiver<Block>,
    ended: bool,
    under_way: VecDeque<Chunk>,
    /// Operations whose try gave no final answer although the connection lives.
    again: VecDeque<Pending>,
    /// Where the primary is, as the node said for single lines: gone to when all that is under way is answered.
    elsewhere: Option<(String, Problem)>,
    pause: Duration,
    tally: Tally<'a>,
    progress: Progress,
    read_bytes: u64,
    /// Why the rest of the input was not sent.
    stopped: Option<Failure>,
}

const UNKNOWN_HINT: &str = "start the node, then send the unknown lines again with the keys printed for them";

pub(super) fn run(file: &Path, context: &Context) -> Outcome {
    let unreadable = |error: &io::Error| apply::unreadable(file, error);
    let (blocks, total) = if file == Path::new("-") {
        (input::blocks(io::stdin()), None)
    } else {
        let opened = File::open(file).map_err(|error| unreadable(&error))?;
        let meta = opened.metadata().map_err(|error| unreadable(&error))?;
        if meta.is_dir() {
            return Err(unreadable(&io::ErrorKind::IsADirectory.into()));
        }
        (input::blocks(opened), meta.is_file().then_some(meta.len()))
    };
    let (tally, stopped) = send(apply::client_for(context)?, blocks, total, context)?;
    end(tally.finish()?, stopped, context)
}

/// Sends operations of our own, one a line. The caller tells the sum.
pub(super) fn send_lines<'a>(
    client: Client,
    lines: Vec<u8>,
    context: &'a Context,
) -> Result<(Tally<'a>, Option<Failure>), Failure> {
    let total = lines.len() as u64;
    send(client, input::blocks(io::Cursor::new(lines)), Some(total), context)
}

/// Sends everything; gives the sum, and why the rest of the input was not sent.
fn send<'a>(
    client: Client,
    blocks: Receiver<Block>,
    total: Option<u64>,
    context: &'a Context,
) -> Result<(Tally<'a>, Option<Failure>), Failure> {
    let mut batch = Batch::new(client, blocks, total, context);
    batch.work()?;
    Ok((batch.tally, batch.stopped))
}

/// What a batch ends with, after its sum was told.
pub(super) fn end(exit: Exit, stopped: Option<Failure>, context: &Context) -> Outcome {
    match stopped {
        None => Ok(exit),
        // The worst decides: what is unknown is worse than what was not sent.
        Some(failure) => {
            context.out.flush()?;
            let exit = tally::worst(exit, failure.exit);
            let failure = Failure { exit, definite: exit != Exit::Unknown, ..failure };
            Err(if exit == Exit::Unknown { failure.hint(UNKNOWN_HINT) } else { failure })
        }
    }
}

impl<'a> Batch<'a> {
    fn new(client: Client, blocks: Receiver<Block>, total: Option<u64>, context: &'a Context) -> Self {
        Self {
            context,
            client,
            timeout: context.timeout(),
            blocks,
            ended: false,
            under_way: VecDeque::new(),
            again: VecDeque::new(),
            elsewhere: None,
            pause: PAUSE_MIN,
            tally: Tally::new(&context.out),
            progress: Progress::new(&context.out, "apply", "bytes", total),
            read_bytes: 0,
            stopped: None,
        }
    }

    fn work(&mut self) -> Result<(), Failure> {
        loop {
            while self.may_send() {
                let Some(chunk) = self.next_chunk()? else { break };
                self.under_way.push_back(chunk);
                self.write_last()?;
            }
            if self.under_way.is_empty() {
                if self.ended && self.again.is_empty() {
                    return Ok(());
                }
                continue;
            }
            self.context.out.flush()?;
            self.answer_first()?;
        }
    }

    fn may_send(&self) -> bool {
        self.under_way.len() < WINDOW && !(self.ended && self.again.is_empty())
    }

    /// What is to be sent again comes first; new lines are waited for only when nothing else is to do.
    fn next_chunk(&mut self) -> Result<Option<Chunk>, Failure> {
        if !self.again.is_empty() {
            if !self.under_way.is_empty() {
                return Ok(None);
            }
            self.turn()?;
            let slots = self.again.drain(..).map(Slot::Operation).collect();
            return Ok(Some(Chunk { slots, written: false }));
        }
        if self.ended {
            return Ok(None);
        }
        let block = match self.blocks.try_recv() {
            Ok(block) => Some(block),
            Err(TryRecvError::Empty) if !self.under_way.is_empty() => return Ok(None),
            Err(TryRecvError::Empty) => {
                // Somebody may be looking at what was done so far.
                self.context.out.flush()?;
                self.blocks.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
        let Some(block) = block else {
            self.ended = true;
            return Ok(None);
        };
        if let Some(error) = &block.failed {
            self.stop(Failure::new(Exit::Usage, "unreadable", format!("reading the batch: {error}")));
        }
        self.read_bytes = block.read_bytes;
        let now = Instant::now();
        let slot = |entry| match entry {
            Entry::Item(item) => Slot::Operation(Pending { item, began: now, sent: false }),
            told => Slot::Told(told),
        };
        Ok(Some(Chunk { slots: block.entries.into_iter().map(slot).collect(), written: false }))
    }

    /// To where the primary is, or a pause before the same node is asked again.
    fn turn(&mut self) -> Result<(), Failure> {
        match self.elsewhere.take() {
            Some((location, _)) if self.client.follow_to(&location) => return Ok(()),
            // A token must not go there.
            Some((_, problem)) => {
                for pending in std::mem::take(&mut self.again) {
                    self.refused(pending, &problem)?;
                }
            }
            None => {}
        }
        self.rest();
        Ok(())
    }

    /// Nothing more is read; what is under way is still waited for.
    fn stop(&mut self, failure: Failure) {
        self.ended = true;
        self.stopped.get_or_insert(failure);
    }

    fn rest(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Writes the newest chunk, when all before it are written.
    fn write_last(&mut self) -> Result<(), Failure> {
        match self.write_all() {
            Ok(()) => Ok(()),
            Err(error) => self.lost(error),
        }
    }

    fn write_all(&mut self) -> Result<(), Error> {
        for chunk in &mut self.under_way {
            if chunk.written || chunk.operations().next().is_none() {
                chunk.written = true;
                continue;
            }
            let body: String = chunk.operations().map(|pending| pending.item.body.as_str()).collect();
            let mut request = Request::post("/do", body);
            request.body = request.body.map(|(_, body)| ("application/x-ndjson", body));
            if self.context.timeout.is_some() {
                let millis = self.timeout.min(REQUEST_TIMEOUT_MAX).as_millis().max(1);
                request = request.header("Rig-Timeout-Ms", millis.to_string());
            }
            // Connecting alone sends nothing.
            self.client.connect(Instant::now() + self.timeout)?;
            let now = Instant::now();
            for pending in chunk.operations_mut().filter(|pending| !pending.sent) {
                pending.began = now;
            }
            chunk.written = true;
            let written = self.client.write(&request, now + self.timeout);
            if let Err(error) = written {
                chunk.operations_mut().for_each(|pending| pending.sent = true);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the answers to the first request.
    fn answer_first(&mut self) -> Result<(), Failure> {
        let Some(first) = self.under_way.front() else { return Ok(()) };
        let oldest = first.operations().map(|pending| pending.began).min();
        let Some(oldest) = oldest else {
            return self.finish_first(&[]);
        };
        let mut body = Vec::new();
        match self.client.read(&mut body, oldest + self.timeout + GRACE) {
            Ok(head) if head.status == 200 => self.finish_first(&body),
            Ok(head) if self.client.follow(&head) => self.rewind(),
            Ok(head) => {
                let problem = problem_of(head.status, &body);
                if matches!(head.status, 401 | 403) {
                    self.stop(Failure::from(problem.clone()));
                }
                self.refuse_first(&problem)
            }
            Err(error) => {
                // Whole lines that came before the end are answers like any other.
                let whole = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                self.take_lines(&body[..whole])?;
                self.lost(error)
            }
        }
    }

    /// The first request is answered in full.
    fn finish_first(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.take_lines(body)?;
        let Some(rest) = self.under_way.pop_front() else { return Ok(()) };
        for slot in rest.slots {
            match slot {
                Slot::Told(entry) => self.tally.told(&entry)?,
                // The node said less than was asked.
                Slot::Operation(pending) => self.retry(Pending { sent: true, ..pending }, "the answer is missing")?,
            }
        }
        self.progress.set(self.read_bytes);
        Ok(())
    }

    /// The first request as a whole was refused.
    fn refuse_first(&mut self, problem: &Problem) -> Result<(), Failure> {
        let Some(chunk) = self.under_way.pop_front() else { return Ok(()) };
        for slot in chunk.slots {
            match slot {
                Slot::Told(entry) => self.tally.told(&entry)?,
                Slot::Operation(pending) => self.refused(pending, problem)?,
            }
        }
        Ok(())
    }

    /// Gives each answered line to the operation that it is for.
    fn take_lines(&mut self, body: &[u8]) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Line<'a> {
            status: u16,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
            location: Option<String>,
        }
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(answer) = serde_json::from_slice::<Line<'_>>(line) else { return Ok(()) };
            let Some(pending) = self.next_operation()? else { return Ok(()) };
            let data: Option<Answer> = answer.data.and_then(|data| serde_json::from_str(data.get()).ok());
            match data {
                Some(data) if answer.status == 200 => {
                    self.pause = PAUSE_MIN;
                    let Pending { item, began, .. } = pending;
                    let (method, key, line) = (item.method, item.key, Some(item.line));
                    self.tally.applied(&Applied { answer: data, method, key, latency: began.elapsed(), line })?;
                }
                _ => {
                    let problem = problem_of(answer.status, line);
                    match answer.location.filter(|_| answer.status == 307) {
                        Some(location) if self.has_time(&pending) => {
                            self.elsewhere.get_or_insert((location, problem));
                            self.again.push_back(pending);
                        }
                        _ => self.refused(pending, &problem)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The next operation of the first request; lines before it that were never sent are told about.
    fn next_operation(&mut self) -> Result<Option<Pending>, Failure> {
        let Some(first) = self.under_way.front_mut() else { return Ok(None) };
        while let Some(slot) = first.slots.pop_front() {
            match slot {
                Slot::Operation(pending) => return Ok(Some(pending)),
                Slot::Told(entry) => self.tally.told(&entry)?,
            }
        }
        Ok(None)
    }

    fn refused(&mut self, pending: Pending, problem: &Problem) -> Result<(), Failure> {
        if is_final(problem.status, pending.sent) {
            return self.tally.rejected(&pending.item, problem);
        }
        let sent = pending.sent || problem.status == 504;
        self.retry(Pending { sent, ..pending }, &problem.detail)
    }

    fn has_time(&self, pending: &Pending) -> bool {
        pending.began.elapsed() + self.pause < self.timeout
    }

    /// Another try if there is time, else unknown.
    fn retry(&mut self, pending: Pending, last: &str) -> Result<(), Failure> {
        if self.has_time(&pending) {
            self.again.push_back(pending);
            return Ok(());
        }
        self.tally.unknown(&pending.item, last)
    }

    /// The connection is gone: everything under way is written again, as long as there is time.
    fn lost(&mut self, error: Error) -> Result<(), Failure> {
        let mut error = error;
        loop {
            self.client.disconnect();
            let unreachable = matches!(error, Error::Unreachable { .. });
            for chunk in &mut self.under_way {
                let written = std::mem::take(&mut chunk.written);
                chunk.operations_mut().for_each(|pending| pending.sent |= written);
            }
            self.give_up_what_is_late(&error.to_string())?;
            let waiting = self.under_way.iter().any(|chunk| chunk.operations().any(|pending| pending.sent));
            if !waiting {
                return if unreachable { self.unreachable(error) } else { self.write_last() };
            }
            self.rest();
            match self.write_all() {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }

    /// Nothing that is left was ever sent, and there is nobody to send it to.
    fn unreachable(&mut self, error: Error) -> Result<(), Failure> {
        let unsent = self.under_way.iter().flat_map(Chunk::operations).map(|pending| pending.item.line).min();
        self.under_way.clear();
        let failure = Failure::from(error);
        if self.tally.is_empty() {
            // Nothing happened at all: no summary of nothing.
            return Err(failure);
        }
        let from = unsent.map(|line| format!("nothing from line {line} on was sent: ")).unwrap_or_default();
        let message = format!("{from}{}", failure.message);
        self.stop(Failure { message, ..failure });
        Ok(())
    }

    fn give_up_what_is_late(&mut self, last: &str) -> Result<(), Failure> {
        for chunk in &mut self.under_way {
            let late = |slot: &Slot| match slot {
                Slot::Operation(pending) => pending.sent && pending.began.elapsed() + self.pause >= self.timeout,
                Slot::Told(_) => false,
            };
            let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut chunk.slots).into_iter().partition(late);
            chunk.slots = kept;
            for slot in gone {
                if let Slot::Operation(pending) = slot {
                    self.tally.unknown(&pending.item, last)?;
                }
            }
        }
        Ok(())
    }

    /// Another node is the primary: nothing of this was logged, all of it goes there.
    fn rewind(&mut self) -> Result<(), Failure> {
        self.under_way.iter_mut().for_each(|chunk| chunk.written = false);
        self.write_last()
    }
}

/// What people and programs are told when nothing else is known.
fn unknown_problem(last: &str) -> Problem {
    Problem::new(Code::OutcomeUnknown, last)
}

#[cfg(test)]
mod tests;
