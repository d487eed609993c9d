//! Makes the calls of an engine to its service outside, on two threads: one asks for verdicts, one hands over what is
//! committed and keeps an eye on how the service is.
//!
//! ```text
//!   engine ─► Judge ─► judge ──┐                   ┌─► Judged
//!          ─► Apply ─► feeder ─┴─► Caller ─────────┴─► Applied, Condition
//!                        │ info, and what it has not: from the log
//! ```
//!
//! # Invariants
//! 1. The service is given versions without gaps: what it has not is read from the log first.
//! 2. A batch is sent again until it is applied, or until the service is reset, or the node ends.
//! 3. Nobody is asked for a verdict who was not brought up to what the engine has applied.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;

use super::feeder::Feeder;
use super::{Asked, Caller, Fault, Info, Verdict};
use crate::error::{Code, Problem};
use crate::limits::SERVICE_VALIDATE_TIMEOUT;
use crate::log::Reader;
use crate::node::engine::{Condition, Question, ReplyTo, Who};
use crate::service::{Digest, Outcome};
use crate::types::{Hash, Micros, Record, Version};

/// How often it is looked whether a service that was started again has been brought up.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the threads have to say.
#[derive(Debug)]
pub(in crate::node) enum Done {
    /// A question is answered.
    Judged(Vec<(Who, Verdict)>),
    /// The service has said who it is.
    Said(Info),
    /// The next ones of the batch under way are applied; of a batch from before this reset, if that is the newest.
    Applied { resets: u64, outcomes: Vec<Outcome> },
    /// What came of versions that it was given again, from the first on.
    Replayed { first: Version, outcomes: Vec<Outcome> },
    /// The service was heard, is away, or is back.
    Is(Condition),
    /// The digest of the whole state, and its version.
    State { to: ReplyTo, state: Result<(Version, Hash), Fault> },
    /// A thread has panicked: a bug.
    Panicked,
}

/// The two threads.
pub(in crate::node) struct Courier {
    caller: Arc<dyn Caller>,
    shared: Arc<Shared>,
    questions: Option<Sender<Asking>>,
    feeds: Option<Sender<Feed>>,
    threads: Vec<JoinHandle<()>>,
}

/// What both threads and the event loop look at.
pub(super) struct Shared {
    done: Mutex<Vec<Done>>,
    waker: Arc<Waker>,
    resets: AtomicU64,
    stopped: AtomicBool,
    /// One more than the caller's generation that was brought up; 0 for none.
    brought_up: AtomicU64,
    is_stalled: AtomicBool,
    is_hashing: AtomicBool,
}

/// A question on its way.
struct Asking {
    base: Version,
    now: Micros,
    questions: Vec<Question>,
}

/// What the feeder is to do.
pub(super) enum Feed {
    /// Hand over these.
    Records { resets: u64, records: Vec<Record> },
    /// The node has found its cluster: this is its log.
    Log(Reader),
    /// Make the service empty, then bring it up to this version. The file says that this is due.
    Reset { floor: Version, marker: PathBuf },
    /// Look how it is, now.
    Look,
}

impl Courier {
    /// Starts the threads. The service is brought up to `floor`, which the engine has applied, at once; made empty
    /// before that if there is the file `reset`.
    pub(in crate::node) fn start(
        caller: Arc<dyn Caller>,
        reader: Reader,
        floor: Version,
        reset: Option<PathBuf>,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            done: Mutex::new(Vec::new()),
            waker,
            resets: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            brought_up: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            is_hashing: AtomicBool::new(false),
        });
        let (questions, asked) = mpsc::channel();
        let (feeds, fed) = mpsc::channel();
        let feeder = Feeder::new(Arc::clone(&caller), Arc::clone(&shared), reader, floor, reset);
        let judge = Judge { caller: Arc::clone(&caller), shared: Arc::clone(&shared), feeds: feeds.clone() };
        let threads = vec![
            shared.thread("rig-feeder", move || feeder.run(&fed))?,
            shared.thread("rig-judge", move || judge.run(&asked))?,
        ];
        Ok(Self { caller, shared, questions: Some(questions), feeds: Some(feeds), threads })
    }

    /// Asks for verdicts.
    pub(in crate::node) fn judge(&self, base: Version, now: Micros, questions: Vec<Question>) {
        if let Some(to) = &self.questions {
            // The threads live as long as this end of their channels.
            drop(to.send(Asking { base, now, questions }));
        }
    }

    /// Hands over what is committed.
    pub(in crate::node) fn apply(&self, records: Vec<Record>) {
        self.feed(Feed::Records { resets: self.resets(), records });
    }

    /// Asks for the digest of the whole state.
    ///
    /// On a thread of its own, one at a time: it can take long, and nothing waits for it.
    pub(in crate::node) fn hash_state(&self, to: ReplyTo) -> io::Result<()> {
        if self.shared.is_hashing.swap(true, Ordering::SeqCst) {
            let state = Err(Fault::Away("it is writing it for somebody else".into()));
            self.shared.say(Done::State { to, state });
            return Ok(());
        }
        let (caller, shared) = (Arc::clone(&self.caller), Arc::clone(&self.shared));
        let hash = move || {
            let mut digest = Digest::new();
            let state = caller.snapshot(&mut digest).map(|version| (version, digest.finish()));
            shared.is_hashing.store(false, Ordering::SeqCst);
            shared.say(Done::State { to, state });
        };
        // It ends with the caller at the latest.
        self.shared.thread("rig-hash", hash).map(drop)
    }

    /// The node has found its cluster.
    pub(in crate::node) fn log_is(&self, reader: Reader) {
        self.feed(Feed::Log(reader));
    }

    /// Makes the service empty and brings it up again; what is on its way to it is dropped.
    pub(in crate::node) fn reset(&self, floor: Version, marker: PathBuf) {
        self.shared.resets.fetch_add(1, Ordering::SeqCst);
        self.shared.brought_up.store(0, Ordering::SeqCst);
        self.feed(Feed::Reset { floor, marker });
    }

    /// How often the service was reset.
    pub(in crate::node) fn resets(&self) -> u64 {
        self.shared.resets.load(Ordering::SeqCst)
    }

    fn feed(&self, feed: Feed) {
        if let Some(feeds) = &self.feeds {
            drop(feeds.send(feed));
        }
    }

    /// What the threads have said since the last call.
    pub(in crate::node) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the service, if it is a child of this node, and the threads.
    pub(in crate::node) fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.caller.stop();
        (self.questions, self.feeds) = (None, None);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread that calls the service has panicked");
            }
        }
    }
}

impl Shared {
    fn thread(self: &Arc<Self>, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(self);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                shared.say(Done::Panicked);
            }
        })
    }

    /// Tells the event loop.
    pub(super) fn say(&self, done: Done) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        if let Err(error) = self.waker.wake() {
            log::error!("wake the event loop: {error}");
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn resets(&self) -> u64 {
        self.resets.load(Ordering::SeqCst)
    }

    /// Who answers as this generation has everything that the engine has applied; nobody, for `None`.
    pub(super) fn brought_up(&self, generation: Option<u64>) {
        self.brought_up.store(generation.map_or(0, |generation| generation + 1), Ordering::SeqCst);
    }

    pub(super) fn stalled(&self, is: bool) {
        self.is_stalled.store(is, Ordering::SeqCst);
    }
}

/// The thread that asks for verdicts.
struct Judge {
    caller: Arc<dyn Caller>,
    shared: Arc<Shared>,
    feeds: Sender<Feed>,
}

impl Judge {
    fn run(&self, asked: &Receiver<Asking>) {
        while let Ok(asking) = asked.recv() {
            let verdicts = self.ask(&asking);
            let whom = asking.questions.iter().map(|question| question.who);
            self.shared.say(Done::Judged(whom.zip(verdicts).collect()));
        }
    }

    fn ask(&self, asking: &Asking) -> Vec<Verdict> {
        let count = asking.questions.len();
        let asked: Vec<Asked<'_>> = asking
            .questions
            .iter()
            .map(|question| Asked { operation: &question.operation, key: question.key.as_deref() })
            .collect();
        if let Some(away) = self.wait_until_it_is_up() {
            return vec![Err(away); count];
        }
        let generation = self.caller.generation();
        let mut answer = self.call(asking, &asked);
        if answer.is_err() && self.caller.generation() != generation {
            // It was started anew, and has less than it had: it is given the rest, then asked again.
            if let Some(away) = self.wait_until_it_is_up() {
                return vec![Err(away); count];
            }
            answer = self.call(asking, &asked);
        }
        match answer {
            // Some services refuse by the status of the call: of a call for one it is known whom they mean.
            Err(Fault::Refused(_)) if count > 1 => self.ask_each(asking, &asked),
            Err(fault) => vec![Err(self.problem(fault)); count],
            Ok(verdicts) => verdicts,
        }
    }

    /// One call for each, until one is not answered: the others would only wait as long.
    fn ask_each(&self, asking: &Asking, asked: &[Asked<'_>]) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(asked.len());
        for one in asked {
            match self.call(asking, std::slice::from_ref(one)).and_then(only) {
                Ok(verdict) => verdicts.push(verdict),
                Err(Fault::Refused(problem)) => verdicts.push(Err(problem)),
                Err(fault) => {
                    let away = self.problem(fault);
                    verdicts.resize(asked.len(), Err(away));
                    break;
                }
            }
        }
        verdicts
    }

    fn call(&self, asking: &Asking, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Fault> {
        let generation = self.caller.generation();
        let verdicts = self.caller.validate(asking.base, asking.now, asked)?;
        let is_up = self.shared.brought_up.load(Ordering::SeqCst) == generation + 1;
        if self.caller.generation() != generation || !is_up {
            return Err(Fault::Away("it was started again while it judged".into()));
        }
        if verdicts.len() != asked.len() {
            let detail = format!("{} verdicts for {} operations", verdicts.len(), asked.len());
            return Err(Fault::Violation { rule: "validate", detail });
        }
        Ok(verdicts)
    }

    /// A verdict counts only from who has everything; says why there is nobody.
    fn wait_until_it_is_up(&self) -> Option<Problem> {
        let until = Instant::now() + SERVICE_VALIDATE_TIMEOUT;
        let mut has_asked = false;
        while self.shared.brought_up.load(Ordering::SeqCst) != self.caller.generation() + 1 {
            if !std::mem::replace(&mut has_asked, true) {
                drop(self.feeds.send(Feed::Look));
            }
            let is_stalled = self.shared.is_stalled.load(Ordering::SeqCst);
            if is_stalled || self.shared.is_stopped() || Instant::now() >= until {
                return Some(away("it was started again and has not everything yet"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        None
    }

    fn problem(&self, fault: Fault) -> Problem {
        match fault {
            Fault::Refused(problem) => problem,
            fault => {
                drop(self.feeds.send(Feed::Look));
                log::warn!("the service gave no verdict: {fault}");
                away(&fault.to_string())
            }
        }
    }
}

fn only(verdicts: Vec<Verdict>) -> Result<Verdict, Fault> {
    let none = || Fault::Violation { rule: "validate", detail: "no verdict".into() };
    verdicts.into_iter().next().ok_or_else(none)
}

fn away(why: &str) -> Problem {
    Problem::new(Code::ServiceUnavailable, format!("the service gave no verdict: {why}; nothing was logged"))
        .hint("send again after Retry-After; `rig status` shows the service")
}
