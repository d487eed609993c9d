//! A small pool for what blocks: snapshots, old segments, spare segments.
//!
//! A job is a closure; what it answers comes back through the event loop's mailbox with one wake-up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::Waker;

use super::background;

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Threads that run jobs in order of arrival.
pub(super) struct Pool<T> {
    jobs: Option<Sender<Job<T>>>,
    done: Arc<Mutex<Vec<T>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts `size` threads; `waker` is called whenever an answer is there. A job that panics answers `panicked`.
    pub(super) fn start(size: usize, waker: &Arc<Waker>, panicked: fn() -> T) -> std::io::Result<Self> {
        Self::start_named("rig-pool", || (), size, waker, panicked)
    }

    /// The same for what nobody waits for: its threads step back behind all others.
    pub(super) fn start_in_background(size: usize, waker: &Arc<Waker>, panicked: fn() -> T) -> std::io::Result<Self> {
        Self::start_named("rig-background", background::step_back, size, waker, panicked)
    }

    fn start_named(
        name: &str,
        begin: fn(),
        size: usize,
        waker: &Arc<Waker>,
        panicked: fn() -> T,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job<T>>();
        let inbox = Arc::new(Mutex::new(inbox));
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for _ in 0..size {
            let (inbox, done, waker) = (Arc::clone(&inbox), Arc::clone(&done), Arc::clone(waker));
            let thread = std::thread::Builder::new().name(name.into());
            threads.push(thread.spawn(move || {
                begin();
                loop {
                    let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    let answer = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| panicked());
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                    if let Err(error) = waker.wake() {
                        log::error!("wake the event loop: {error}");
                    }
                }
            })?);
        }
        Ok(Self { jobs: Some(jobs), done, threads })
    }

    /// Runs `job` on a thread of the pool.
    pub(super) fn run(&self, job: impl FnOnce() -> T + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The threads live as long as this end of the channel.
            drop(jobs.send(Box::new(job)));
        }
    }

    /// The answers since the last call.
    pub(super) fn take_done(&self) -> Vec<T> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the threads after the jobs that they were given.
    pub(super) fn stop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a background job has panicked");
            }
        }
    }
}
