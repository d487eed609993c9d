//! The thread: swap, lease, read, in this order, whatever is due.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;

use super::known::{self, Known, Revisions};
use super::memory::Memory;
use super::{Accept, News, Order, Shared, UNHEARD, boot_micros};
use crate::coordinator::{Coordinator, Kind, Lease, Reading, Record, Swap};
use crate::replication::Seen;
use crate::types::{ClusterId, Epoch, NodeId};

/// From one reading to the next: so late a lease that has gone is noticed.
const READ_EVERY: Duration = Duration::from_millis(100);
/// After something went wrong.
const AGAIN: Duration = Duration::from_millis(200);
/// No longer from one try of the lease to the next.
const LEASE_AGAIN_MAX: Duration = Duration::from_secs(5);

/// A swap until its end is known.
#[derive(Debug)]
struct Wanted {
    serial: u64,
    expect: u64,
    record: Box<Record>,
}

#[derive(Debug)]
pub(super) struct Worker {
    client: Coordinator,
    me: NodeId,
    cluster: Option<ClusterId>,
    ttl: Duration,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    revisions: Revisions,
    /// The record that was built on last, here or before the start.
    known: Option<Known>,
    /// The last epoch in the log, where nothing is remembered of the record: an older one is of a time before.
    logged: Epoch,
    memory: Memory,
    swap: Option<Wanted>,
    wants_lease: bool,
    lease: Option<Lease>,
    lease_due: Instant,
    /// After the next lease that fails.
    lease_again: Duration,
    read_due: Instant,
    /// Since the start, until anything has answered.
    unheard_since: Option<Instant>,
    /// This node leads.
    leads: bool,
    /// What an operator has seen and wants to be built on, whatever was there before; and until when.
    accepted: Option<(Accept, Instant)>,
    /// The write of the record that counts as none by that word.
    void: Option<String>,
    faults: Faults,
    /// Whether it is of use, as it was told last.
    told: Option<Result<(), String>>,
    /// The fault of the lease, as it was told last.
    told_lease: Option<String>,
    /// What was read, as it was told last.
    told_seen: Option<Seen>,
}

/// What has failed, each until the same has worked: who may read the record may perhaps not write it, or no lease.
#[derive(Debug, Default)]
struct Faults {
    read: Option<String>,
    swap: Option<String>,
    lease: Option<String>,
}

impl Worker {
    pub(super) fn new(
        client: Coordinator,
        me: NodeId,
        cluster: Option<ClusterId>,
        ttl: Duration,
        memory: Memory,
        shared: Arc<Shared>,
        waker: Arc<Waker>,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            me,
            cluster,
            ttl,
            shared,
            waker,
            revisions: Revisions::default(),
            known: memory.noted().cloned(),
            logged: memory.logged(),
            memory,
            swap: None,
            wants_lease: false,
            lease: None,
            lease_due: now,
            lease_again: AGAIN,
            read_due: now,
            unheard_since: Some(now),
            leads: false,
            accepted: None,
            void: None,
            faults: Faults::default(),
            told: None,
            told_lease: None,
            told_seen: None,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            let wait = self.due().saturating_duration_since(Instant::now());
            let mut next = inbox.recv_timeout(wait);
            loop {
                match next {
                    Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.release(),
                    Ok(order) => self.take(order),
                    Err(RecvTimeoutError::Timeout) => break,
                }
                next = inbox.recv_timeout(Duration::ZERO);
            }
            self.work();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Swap { serial, expect, record } => {
                self.swap = Some(Wanted { serial, expect, record });
                self.read_due = Instant::now();
            }
            Order::Forget => (self.swap, self.faults.swap) = (None, None),
            Order::Accept { what, until } => (self.accepted, self.read_due) = (Some((what, until)), Instant::now()),
            Order::Leads(leads) => self.leads = leads,
            Order::Cluster(cluster) => self.cluster = Some(cluster),
            Order::Lease(wants) => {
                (self.wants_lease, self.lease_due, self.lease_again) = (wants, Instant::now(), AGAIN);
                self.lease_works();
            }
            Order::Stop => unreachable!("it ends the loop"),
        }
    }

    fn due(&self) -> Instant {
        let holds = self.wants_lease || self.lease.is_some();
        if holds { self.read_due.min(self.lease_due) } else { self.read_due }
    }

    fn work(&mut self) {
        if self.swap.is_some() && self.revisions.has_begun() {
            self.try_swap();
        }
        let now = Instant::now();
        match (self.wants_lease, self.lease.is_some()) {
            (true, _) if now >= self.lease_due => self.hold_lease(),
            (false, true) => self.release(),
            _ => {}
        }
        if now >= self.read_due {
            self.read();
        }
    }

    fn read(&mut self) {
        let reading = match self.client.read() {
            Ok(reading) => reading,
            Err(error) => {
                self.read_due = Instant::now() + AGAIN;
                self.has_failed();
                if matches!(error.kind(), Kind::Record { .. }) {
                    self.accepted = None;
                }
                self.faults.read = Some(error.to_string());
                self.say();
                self.unheard_since = self.unheard_since.filter(|_| error.is_transient());
                if self.unheard_since.is_some_and(|since| since.elapsed() >= UNHEARD) {
                    self.tell(News::Unheard);
                }
                return;
            }
        };
        self.unheard_since = None;
        self.count(|counts| counts.requests += 1);
        self.read_due = Instant::now() + READ_EVERY;
        let Some(seen) = self.judge(&reading) else { return self.say() };
        self.say();
        let record = self.valid(reading.record.as_ref()).cloned();
        self.tell_read(seen, record);
    }

    /// What was read is told all the time, for the core takes it to be of use then. While the record cannot be written it is
    /// told only where it has changed.
    fn tell_read(&mut self, seen: Seen, record: Option<Record>) {
        let is_of_use = self.faults.swap.is_none();
        let has_changed = self
            .told_seen
            .as_ref()
            .is_none_or(|told| (told.revision, &told.register) != (seen.revision, &seen.register));
        if is_of_use || has_changed {
            self.told_seen = Some(seen.clone());
            self.tell(News::Read { seen, record: record.map(Box::new) });
        }
        if !is_of_use && has_changed {
            self.told = None;
            self.say();
        }
    }

    fn try_swap(&mut self) {
        let Some(Wanted { serial, expect, record }) = self.swap.take() else { return };
        let tried = match self.revisions.of_store(expect) {
            Some(expect) => self.client.swap(expect, &record),
            // What it would replace is not there any more.
            None => self.client.read().map(Swap::Lost),
        };
        let (taken, reading) = match tried {
            Ok(Swap::Taken(reading)) => (true, reading),
            Ok(Swap::Lost(reading)) => (false, reading),
            Err(error) => {
                // Perhaps it was carried out: the next try finds its mark.
                self.swap = Some(Wanted { serial, expect, record });
                self.read_due = Instant::now() + AGAIN;
                self.has_failed();
                self.faults.swap = Some(error.to_string());
                return self.say();
            }
        };
        self.count(|counts| counts.requests += 1);
        self.faults.swap = None;
        let Some(seen) = self.judge(&reading) else {
            self.swap = Some(Wanted { serial, expect, record });
            return self.say();
        };
        self.say();
        self.count(|counts| if taken { counts.swaps_taken += 1 } else { counts.swaps_lost += 1 });
        self.told_seen = Some(seen.clone());
        let record = self.valid(reading.record.as_ref()).cloned().map(Box::new);
        self.tell(News::Swapped { serial, taken, seen, record });
    }

    fn hold_lease(&mut self) {
        let asked = boot_micros();
        let held = match &self.lease {
            Some(lease) => self.client.keep_alive(lease),
            None => self.client.grant(self.me, self.ttl).map(|lease| {
                let ttl = lease.ttl;
                self.lease = Some(lease);
                Some(ttl)
            }),
        };
        self.count(|counts| counts.requests += 1);
        match held {
            Ok(Some(ttl)) => {
                (self.lease_due, self.lease_again) = (Instant::now() + ttl / 4, AGAIN);
                let until = asked + u64::try_from(ttl.as_micros()).unwrap_or(0) / 10 * 9;
                self.lease_works();
                self.tell(News::Leased { until });
            }
            Ok(None) => (self.lease, self.lease_due) = (None, Instant::now()),
            Err(error) => {
                self.count(|counts| counts.failed += 1);
                self.lease_due = Instant::now() + self.lease_again;
                self.lease_again = (self.lease_again * 2).min(LEASE_AGAIN_MAX);
                self.faults.lease = Some(error.to_string());
                if matches!(error.kind(), Kind::Unreachable { .. }) {
                    // A reading would find that too, and much later.
                    self.faults.read = Some(error.to_string());
                    self.say();
                }
                // Whether more than the lease has failed is known first.
                self.read_due = Instant::now();
            }
        }
    }

    fn lease_works(&mut self) {
        self.faults.lease = None;
        self.say();
    }

    /// The lease is given back, so that nobody waits for its end. One that cannot be ends by itself: nobody is waited for
    /// who does not answer.
    fn release(&mut self) {
        let answers = matches!(self.told, Some(Ok(())));
        if let Some(lease) = self.lease.take().filter(|_| answers)
            && let Err(error) = self.client.release(&lease)
        {
            ::log::debug!("give the lease back to the coordinator: {error}");
        }
    }

    /// What a reading means here: nothing, if it must not be built on.
    fn judge(&mut self, reading: &Reading) -> Option<Seen> {
        let accepted = self.take_accepted(reading);
        let record = reading.record.as_ref();
        if let (Some(record), Some(cluster)) = (record, self.cluster)
            && record.cluster != cluster
        {
            self.tell(News::Foreign(record.cluster));
            self.faults.read =
                Some(format!("the record there is of cluster {}, and this is {cluster}", record.cluster));
            return None;
        }
        if let Some(what) = accepted {
            (self.known, self.logged) = (None, Epoch::default());
            if let Accept::Anew(_) = what {
                self.void = record.map(|record| record.write.clone());
            }
        }
        let record = self.valid(record);
        let leads = |known: &Known| self.leads && known.epoch.owner == self.me;
        let judged = self.known.as_ref().map(|known| known.is_followed_by(reading, record, leads(known)));
        if record.is_some_and(|record| record.register.epoch < self.logged) {
            self.faults.read = Some(known::too_old());
            return None;
        }
        if let Some(Err(why)) = judged {
            self.faults.read = Some(why);
            return None;
        }
        if let Some(record) = record {
            let known = Known::of(reading, record);
            // Of no cluster yet, this node may be refused here, and go elsewhere.
            if self.cluster.is_some() {
                self.memory.note(&known);
            }
            self.known = Some(known);
        }
        if self.faults.read.take().is_some() {
            // Whatever kept the lease from being held may be over too.
            (self.faults.lease, self.lease_due, self.lease_again) = (None, Instant::now(), AGAIN);
        }
        let leased = record.is_some_and(|record| reading.leases.contains(&record.register.epoch.owner));
        let register = record.map(|record| record.register.clone());
        Some(Seen { register, revision: self.revisions.tell(reading), leased })
    }

    /// The record, if it counts.
    fn valid<'a>(&self, record: Option<&'a Record>) -> Option<&'a Record> {
        record.filter(|record| self.void.as_ref() != Some(&record.write))
    }

    /// An operator's word is for what he has seen: said of something else, it is for nothing any more.
    fn take_accepted(&mut self, reading: &Reading) -> Option<Accept> {
        let (what, until) = self.accepted.take()?;
        let is_there = match &what {
            Accept::Anew(seen) => *seen == reading.sighting(),
            Accept::This(write) => reading.record.as_ref().is_some_and(|record| record.write == *write),
        };
        (is_there && Instant::now() < until).then_some(what)
    }

    fn has_failed(&self) {
        self.count(|counts| (counts.requests, counts.failed) = (counts.requests + 1, counts.failed + 1));
    }

    /// Says what is new of whether it is of use, and whether the lease can be held.
    fn say(&mut self) {
        let Faults { read, swap, lease } = &self.faults;
        let state = match read.as_ref().or(swap.as_ref()) {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        };
        // Nothing has been read yet.
        let is_known = state.is_err() || self.revisions.has_begun();
        // What keeps it from being of use at all may keep the lease too: that is said.
        let lease = lease.clone().filter(|_| state.is_ok() && is_known);
        if is_known && self.told.as_ref() != Some(&state) {
            self.tell(News::Reachable(state.clone()));
            self.told = Some(state);
        }
        if self.told_lease != lease {
            self.tell(News::LeaseFault(lease.clone()));
            self.told_lease = lease;
        }
    }

    fn count(&self, add: impl FnOnce(&mut super::Counts)) {
        add(&mut self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).1);
    }

    fn tell(&self, news: News) {
        self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).0.push(news);
        if let Err(error) = self.waker.wake() {
            ::log::warn!("wake the event loop: {error}");
        }
    }
}
