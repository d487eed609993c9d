//! The thread: swap, lease, read, in this order, whatever is due.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;

use super::{News, Order, Shared, boot_micros};
use crate::coordinator::{Coordinator, Error, Kind, Lease, Reading, Record, Sighting, Swap};
use crate::replication::Seen;
use crate::types::{ClusterId, Epoch, NodeId};

/// From one reading to the next: so late a lease that has gone is noticed.
const READ_EVERY: Duration = Duration::from_millis(100);
/// After something went wrong.
const AGAIN: Duration = Duration::from_millis(200);

/// A swap until its end is known.
#[derive(Debug)]
struct Wanted {
    serial: u64,
    expect: u64,
    record: Box<Record>,
}

/// What was there last, as it counts here.
#[derive(Debug, Default)]
struct Known {
    store: u64,
    /// Its revision there.
    revision: u64,
    epoch: Epoch,
    /// Added to revisions: what was there before this store, or before the record had gone, had come to.
    offset: u64,
}

#[derive(Debug)]
pub(super) struct Worker {
    client: Coordinator,
    me: NodeId,
    cluster: Option<ClusterId>,
    ttl: Duration,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    known: Option<Known>,
    swap: Option<Wanted>,
    wants_lease: bool,
    lease: Option<Lease>,
    lease_due: Instant,
    read_due: Instant,
    /// What an operator has seen and wants to be built on, whatever was there before; and until when.
    accepted: Option<(Sighting, Instant)>,
    /// As it was told last.
    told: Option<Result<(), String>>,
}

impl Worker {
    pub(super) fn new(
        client: Coordinator,
        me: NodeId,
        cluster: Option<ClusterId>,
        ttl: Duration,
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
            known: None,
            swap: None,
            wants_lease: false,
            lease: None,
            lease_due: now,
            read_due: now,
            accepted: None,
            told: None,
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
            Order::Forget => self.swap = None,
            Order::Accept { seen, until } => (self.accepted, self.read_due) = (Some((seen, until)), Instant::now()),
            Order::Cluster(cluster) => self.cluster = Some(cluster),
            Order::Lease(wants) => (self.wants_lease, self.lease_due) = (wants, Instant::now()),
            Order::Stop => unreachable!("it ends the loop"),
        }
    }

    fn due(&self) -> Instant {
        let holds = self.wants_lease || self.lease.is_some();
        if holds { self.read_due.min(self.lease_due) } else { self.read_due }
    }

    fn work(&mut self) {
        if self.swap.is_some() && self.known.is_some() {
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
        let reading = self.client.read();
        let Some(reading) = self.heard(reading) else { return self.read_due = Instant::now() + AGAIN };
        self.read_due = Instant::now() + READ_EVERY;
        if let Some(seen) = self.judge(&reading) {
            self.tell(News::Read { seen, record: reading.record.map(Box::new) });
        }
    }

    fn try_swap(&mut self) {
        let Some(Wanted { serial, expect, record }) = self.swap.take() else { return };
        let offset = self.known.as_ref().map_or(0, |known| known.offset);
        let tried = match expect.checked_sub(offset) {
            Some(expect) => self.client.swap(expect, &record),
            // What it would replace is not there any more.
            None => self.client.read().map(Swap::Lost),
        };
        let Some(swap) = self.heard(tried) else {
            // Perhaps it was carried out: the next try finds its mark.
            self.swap = Some(Wanted { serial, expect, record });
            self.read_due = Instant::now() + AGAIN;
            return;
        };
        let (taken, reading) = match swap {
            Swap::Taken(reading) => (true, reading),
            Swap::Lost(reading) => (false, reading),
        };
        let Some(seen) = self.judge(&reading) else {
            self.swap = Some(Wanted { serial, expect, record });
            return;
        };
        self.count(|counts| if taken { counts.swaps_taken += 1 } else { counts.swaps_lost += 1 });
        self.tell(News::Swapped { serial, taken, seen, record: reading.record.map(Box::new) });
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
        match self.heard(held) {
            Some(Some(ttl)) => {
                self.lease_due = Instant::now() + ttl / 4;
                let until = asked + u64::try_from(ttl.as_micros()).unwrap_or(0) / 10 * 9;
                self.tell(News::Leased { until });
            }
            Some(None) => (self.lease, self.lease_due) = (None, Instant::now()),
            None => self.lease_due = Instant::now() + AGAIN,
        }
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
        let is_accepted = self.take_accepted(reading);
        let record = reading.record.as_ref();
        if let (Some(record), Some(cluster)) = (record, self.cluster)
            && record.cluster != cluster
        {
            self.tell(News::Foreign(record.cluster));
            self.reachable(Err(format!("the record there is of cluster {}, and this is {cluster}", record.cluster)));
            return None;
        }
        let epoch = record.map(|record| record.register.epoch).unwrap_or_default();
        let known = self.known.get_or_insert_with(|| Known { store: reading.store, ..Known::default() });
        let went_back = reading.store != known.store || reading.revision < known.revision;
        if went_back && epoch < known.epoch && !is_accepted {
            let why = "the record has gone, or gone back to an older epoch: nothing is decided by it before \
                       `rig coordinator repair` has mended it";
            self.reachable(Err(why.to_owned()));
            return None;
        }
        if went_back {
            known.offset += known.revision + 1;
        }
        (known.store, known.revision, known.epoch) = (reading.store, reading.revision, epoch);
        let revision = known.offset + reading.revision;
        self.reachable(Ok(()));
        let leased = record.is_some_and(|record| reading.leases.contains(&record.register.epoch.owner));
        Some(Seen { register: record.map(|record| record.register.clone()), revision, leased })
    }

    /// Whether an operator has said that this is to be built on. Said of something else, it is for nothing any more.
    fn take_accepted(&mut self, reading: &Reading) -> bool {
        self.accepted.take().is_some_and(|(seen, until)| seen == reading.sighting() && Instant::now() < until)
    }

    fn heard<T>(&mut self, answer: Result<T, Error>) -> Option<T> {
        self.count(|counts| counts.requests += 1);
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.count(|counts| counts.failed += 1);
                if matches!(error.kind(), Kind::Record { .. }) {
                    self.accepted = None;
                }
                self.reachable(Err(error.to_string()));
                None
            }
        }
    }

    /// Says it if it is new.
    fn reachable(&mut self, state: Result<(), String>) {
        if self.told.as_ref() != Some(&state) {
            self.tell(News::Reachable(state.clone()));
            self.told = Some(state);
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
