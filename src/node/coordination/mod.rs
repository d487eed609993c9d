//! This node and the coordinator: one thread that speaks with it, so that nothing else ever waits for it.
//!
//! ```text
//!   event loop ── swap, forget, want the lease ──► thread ◄──► etcd
//!              ◄── taken or lost, what is there, until when the lease holds ──
//! ```
//!
//! # Invariants
//! 1. What is reported was there at some moment after everything that was reported before.
//! 2. A swap is tried until it is known to be taken or lost; it is told apart from others by its own mark, so that one
//!    whose answer was lost is found by reading.
//! 3. Revisions only grow, also where the store behind the address was replaced; a record that has gone, or gone back, is a
//!    fault that an operator mends (`rig coordinator repair`): nothing is built on it (`known`), after a restart neither
//!    (`memory`). His word is for what he has seen: it ends with the first reading, which finds that or something else.
//! 4. What fails is said once, and is over when the same has worked: a record that can be read and not written, or a lease
//!    that cannot be held, do not come and go with every reading.
//! 5. The lease is counted from before it was asked for, by a clock that goes on while the machine sleeps, and ends a tenth
//!    earlier here than there.
//!
//! # Not here
//! What the values mean (`replication::register`), how they are written and read (`coordinator`).

mod known;
pub(super) mod memory;
mod thread;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;

pub(crate) use known::REPAIR;
use memory::Memory;
pub(super) use view::View;

use crate::coordinator::{Address, Coordinator, Options, Record, Sighting};
use crate::limits::{LEASE_MAX, LEASE_MIN};
use crate::net::Trust;
use crate::replication::Seen;
use crate::types::{ClusterId, NodeId};

/// The coordinator of a node.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// Where it is.
    pub address: Address,
    /// File with the password of the user that the address names.
    pub password: Option<PathBuf>,
    /// Certificate of the CA of its certificates.
    pub ca: Option<PathBuf>,
    /// How long a primary that is not heard of any more is believed to be there.
    pub lease: Duration,
}

impl CoordinatorConfig {
    /// One that is spoken to in the clear, and knows no users.
    ///
    /// # Errors
    /// In words: a URL that is none, or needs a password or a CA; a lease that is too short or too long.
    pub fn new(url: &str, lease: Duration) -> Result<Self, String> {
        let address = Address::parse(url).map_err(|error| format!("{url}: {error}"))?;
        if address.is_secure() || address.user().is_some() {
            return Err(format!("{url}: a password or a CA can be given to `rig serve` only"));
        }
        if !(LEASE_MIN..=LEASE_MAX).contains(&lease) {
            return Err(format!("a lease is from {LEASE_MIN:?} to {LEASE_MAX:?} long, not {lease:?}"));
        }
        Ok(Self { address, password: None, ca: None, lease })
    }

    /// Reads the files, and makes what speaks with it.
    ///
    /// # Errors
    /// In words: a file that cannot be read, or is not what it should be.
    pub fn open(&self) -> Result<Coordinator, String> {
        // The same kind of file as that of another flag, by whose name its faults go.
        let trust = self.ca.as_deref().map(Trust::load).transpose();
        let trust = trust.map_err(|fault| fault.to_string().replacen("--tls-ca", "--coordinator-ca", 1))?;
        let password = self.password.as_deref().map(Self::password).transpose()?;
        let timeout = (self.lease / 4).clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        Ok(Coordinator::new(self.address.clone(), Options { password, trust, timeout }))
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// In words.
    pub fn password(path: &Path) -> Result<String, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => Err(format!("{}: the password is the first line of this file, and there is none", path.display())),
        }
    }
}

/// How long one member of the store may take for one answer.
const TIMEOUT_MIN: Duration = Duration::from_millis(300);
const TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// A node that has run for so long and has heard nothing of etcd is waited for by nobody.
const UNHEARD: Duration = Duration::from_secs(1);

/// An operator's word about what is there holds for so long, while etcd does not answer this node.
const ACCEPTED_FOR: Duration = Duration::from_secs(10);

/// What the event loop wants.
#[derive(Debug)]
enum Order {
    /// Put this record in the place of that revision.
    Swap { serial: u64, expect: u64, record: Box<Record> },
    /// Say no more of the swap.
    Forget,
    /// Whether the lease should be held.
    Lease(bool),
    /// Whether this node leads.
    Leads(bool),
    /// An operator says what is to be built on, if it is what is found before the time.
    Accept { what: Accept, until: Instant },
    /// This node is of this cluster.
    Cluster(ClusterId),
    /// Give the lease back, and end.
    Stop,
}

/// The word of an operator who has seen what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Accept {
    /// What was seen there counts as none until it was replaced: this node leads, or is about to open by the rules of nodes
    /// without a coordinator, and writes the record anew.
    Anew(Sighting),
    /// This write of the record is built on, whatever was there before.
    This(String),
}

/// What there is to be told.
#[derive(Debug)]
pub(super) enum News {
    /// It was read.
    Read { seen: Seen, record: Option<Box<Record>> },
    /// The swap of this number has come to its end.
    Swapped { serial: u64, taken: bool, seen: Seen, record: Option<Box<Record>> },
    /// Whether it answers, and says what can be used; why not.
    Reachable(Result<(), String>),
    /// Nothing has answered since the start, unless to say that it cannot for now, and [`UNHEARD`] is over.
    Unheard,
    /// Why the lease cannot be held, where that alone fails; `None`: nothing stands in its way.
    LeaseFault(Option<String>),
    /// The lease holds until then, by [`boot_micros`].
    Leased { until: u64 },
    /// The record is of another cluster.
    Foreign(ClusterId),
}

/// What the thread has counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) swaps_taken: u64,
    pub(super) swaps_lost: u64,
}

#[derive(Debug, Default)]
struct Shared {
    news: Mutex<(Vec<News>, Counts)>,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Coordination {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Of the newest swap.
    serial: u64,
    wants_lease: bool,
    leads: bool,
}

impl Coordination {
    /// Starts the thread.
    pub(super) fn start(
        config: &CoordinatorConfig,
        client: Coordinator,
        me: NodeId,
        cluster: Option<ClusterId>,
        memory: Memory,
        waker: &Arc<Waker>,
    ) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let shared = Arc::<Shared>::default();
        let (told, wakes) = (Arc::clone(&shared), Arc::clone(waker));
        let worker = thread::Worker::new(client, me, cluster, config.lease, memory, told, wakes);
        let thread = std::thread::Builder::new().name("rig-coordinator".into()).spawn(move || worker.run(&inbox))?;
        Ok(Self { orders, shared, thread: Some(thread), serial: 0, wants_lease: false, leads: false })
    }

    /// What has come since this was asked last.
    pub(super) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// What the thread has counted.
    pub(super) fn counts(&self) -> Counts {
        self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Whether the thread has ended by itself: a bug.
    pub(super) fn has_panicked(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Begins a swap, in the place of one that was forgotten.
    pub(super) fn swap(&mut self, expect: u64, record: Record) {
        self.serial += 1;
        self.give(Order::Swap { serial: self.serial, expect, record: Box::new(record) });
    }

    /// Nobody waits for the swap any more.
    pub(super) fn forget(&mut self) {
        self.serial += 1;
        self.give(Order::Forget);
    }

    /// Whether this is the swap that somebody waits for.
    pub(super) fn is_current(&self, serial: u64) -> bool {
        serial == self.serial
    }

    /// Says it if it is new.
    pub(super) fn want_lease(&mut self, wants: bool) {
        if std::mem::replace(&mut self.wants_lease, wants) != wants {
            self.give(Order::Lease(wants));
        }
    }

    /// Says it if it is new.
    pub(super) fn leads(&mut self, leads: bool) {
        if std::mem::replace(&mut self.leads, leads) != leads {
            self.give(Order::Leads(leads));
        }
    }

    /// What an operator says.
    pub(super) fn accept(&self, what: Accept) {
        self.give(Order::Accept { what, until: Instant::now() + ACCEPTED_FOR });
    }

    /// This node is of this cluster.
    pub(super) fn found_cluster(&mut self, cluster: ClusterId) {
        self.give(Order::Cluster(cluster));
    }

    /// Gives the lease back, and waits for the end of what is being said.
    pub(super) fn stop(&mut self) {
        self.give(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            ::log::error!("the thread that speaks with the coordinator has panicked: this is a bug");
        }
    }

    fn give(&self, order: Order) {
        // A thread that has ended is found by the event loop.
        let _ = self.orders.send(order);
    }
}

/// Microseconds of a clock that never goes back and counts the time that the machine sleeps.
pub(super) fn boot_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}
