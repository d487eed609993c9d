//! The log thread: writes and syncs whole batches, and does nothing else.
//!
//! One batch is with it at a time. What arrives meanwhile gathers in the next one, so the disk itself sets
//! the size of a batch (group commit without a timer). It hands a batch back with one wake-up.
//!
//! # Invariants
//! 1. A batch comes back as durable only after its sync has succeeded and the mark says so.
//! 2. After a failure that is not "no room" the thread ends, and the node with it: a sync that failed is
//!    never tried again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;

use super::busy_poll::{BATCH_MAX, BusyPoll};
use super::rescue::{self, Order};
use crate::log::{Batch, Front, LogError, Writer};
use crate::types::{Durable, Position, Version};

enum Job {
    /// Write and sync; the mark then says that everything up to `committed` is decided, as far as it is durable.
    Write { batch: Batch, committed: Version },
    /// Take the segments that hold nothing from there on out of the log.
    Compact { keep: Version },
    /// Set aside what is behind `end`, unless it is rolled back, then cut it off.
    Cut { end: Position, order: Option<Order> },
    /// The log is closed next, and everything up to there is decided.
    End { committed: Version },
}

/// What it answers.
pub(super) enum Done {
    /// The batch is durable.
    Synced { durable: Durable, batch: Batch, took: Duration },
    /// There was no room: nothing of the batch is in the log.
    NoRoom(Batch),
    /// The log begins later now; what is no part of it any more is to be removed.
    Compacted(Front),
    /// The log ends there, and what was behind it is in `rescue/`.
    Cut { end: Position, rescued: Option<(Version, Version)> },
    /// The log is closed for good.
    Failed(LogError),
    /// The thread has panicked: a bug, and the log is closed for good.
    Panicked,
}

/// What was done and not taken yet.
#[derive(Default)]
struct Finished {
    list: Mutex<Vec<Done>>,
    /// Whether there is something in the list: asked far more often than there is.
    any: AtomicBool,
}

/// The event loop's end of it.
pub(super) struct LogThread {
    jobs: Option<Sender<Job>>,
    done: Arc<Finished>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl LogThread {
    /// Starts the thread; `waker` is called whenever something is done.
    pub(super) fn start(writer: Writer, waker: Arc<Waker>) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        let done = Arc::new(Finished::default());
        let report = Report { done: Arc::clone(&done), waker, ended: false };
        let thread = std::thread::Builder::new().name("rig-log".into()).spawn(move || run(writer, &inbox, report))?;
        Ok(Self { jobs: Some(jobs), done, busy: false, thread: Some(thread) })
    }

    /// Whether a batch is with the thread.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands over a batch.
    pub(super) fn write(&mut self, batch: Batch, committed: Version) {
        assert!(!self.busy, "one batch at a time");
        self.busy = true;
        // The receiver is gone only after a failure, which is on its way to us.
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(Job::Write { batch, committed }));
        }
    }

    /// Takes segments out of the log, as [`Writer::compact`] has it.
    pub(super) fn compact(&mut self, keep: Version) {
        assert!(!self.busy, "one job at a time");
        self.busy = true;
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(Job::Compact { keep }));
        }
    }

    /// Cuts the log back.
    pub(super) fn cut(&mut self, end: Position, order: Option<Order>) {
        assert!(!self.busy, "only a log that stands still is cut");
        self.busy = true;
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(Job::Cut { end, order }));
        }
    }

    /// Whether [`LogThread::take_done`] has something to give.
    pub(super) fn has_done(&self) -> bool {
        self.done.any.load(Ordering::Acquire)
    }

    /// What was done since the last call.
    pub(super) fn take_done(&mut self) -> Vec<Done> {
        let mut list = self.done.list.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.any.store(false, Ordering::Release);
        let done = std::mem::take(&mut *list);
        drop(list);
        self.busy &= done.is_empty();
        done
    }

    /// Ends the thread after everything that it was asked for. What is decided goes into the mark with which a log is
    /// closed: what was committed after the last batch is marked by no other.
    pub(super) fn stop(&mut self, committed: Version) {
        if let Some(jobs) = self.jobs.take() {
            // Its end is known, if it has ended.
            drop(jobs.send(Job::End { committed }));
        }
        if let Some(thread) = self.thread.take() {
            // A panic was reported by `Done::Panicked` already.
            drop(thread.join());
        }
    }
}

/// Tells the event loop, also when the thread unwinds.
struct Report {
    done: Arc<Finished>,
    waker: Arc<Waker>,
    ended: bool,
}

impl Report {
    fn tell(&self, done: Done) {
        let mut list = self.done.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(done);
        self.done.any.store(true, Ordering::Release);
        drop(list);
        if let Err(error) = self.waker.wake() {
            log::error!("wake the event loop: {error}");
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Done::Panicked);
        }
    }
}

/// The next job: looked for at first, because under load it comes at once, and a thread that sleeps is slow to wake.
fn next(inbox: &Receiver<Job>, busy_poll: &mut BusyPoll) -> Result<Job, RecvError> {
    busy_poll.begin(1, Instant::now());
    while busy_poll.goes_on(Instant::now()) {
        match inbox.try_recv() {
            Ok(job) => {
                busy_poll.end();
                return Ok(job);
            }
            Err(TryRecvError::Empty) => std::thread::yield_now(),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
        }
    }
    inbox.recv()
}

fn run(mut writer: Writer, inbox: &Receiver<Job>, mut report: Report) {
    let mut committed = 0;
    let mut busy_poll = BusyPoll::new(BATCH_MAX);
    while let Ok(job) = next(inbox, &mut busy_poll) {
        let done = match job {
            Job::Write { batch, committed: upto } => {
                committed = upto;
                write(&mut writer, batch, upto)
            }
            Job::Compact { keep } => writer.compact(keep).map(Done::Compacted),
            Job::Cut { end, order } => {
                committed = committed.min(end.version);
                cut(&mut writer, end, order.as_ref())
            }
            Job::End { committed: upto } => {
                committed = committed.max(upto);
                continue;
            }
        };
        match done {
            Ok(done) => report.tell(done),
            Err(error) => {
                report.tell(Done::Failed(error));
                report.ended = true;
                return;
            }
        }
    }
    let durable = writer.reader().durable();
    if let Err(error) = writer.close(committed.min(durable)) {
        log::error!("close the log: {error}");
    }
    report.ended = true;
}

fn cut(writer: &mut Writer, end: Position, order: Option<&Order>) -> Result<Done, LogError> {
    if let Some(order) = order {
        rescue::write(&writer.reader(), order)?;
    }
    writer.cut(end, if order.is_some() { "left" } else { "rolled-back" })?;
    Ok(Done::Cut { end, rescued: order.map(|order| (order.from, order.to)) })
}

fn write(writer: &mut Writer, mut batch: Batch, committed: Version) -> Result<Done, LogError> {
    let begin = Instant::now();
    match writer.append(&mut batch) {
        Ok(()) => {}
        Err(LogError::NoSpace { .. }) => return Ok(Done::NoRoom(batch)),
        Err(error) => return Err(error),
    }
    let durable = writer.sync()?;
    writer.mark(committed.min(durable.version()))?;
    Ok(Done::Synced { durable, batch, took: begin.elapsed() })
}
