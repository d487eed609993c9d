//! The coordinator's word on its way to the core, and the core's on its way to the coordinator.
//!
//! # Invariants
//! 1. The cluster has its identity, durably, before the coordinator hears of it.
//! 2. The core's clock counts the time that the machine sleeps: a lease ends then too.
//! 3. A cluster that this process founded and that lost the race for the record is forgotten when the node ends, if nothing
//!    was done in its name.

use super::*;
use crate::coordinator::{self, Record as Outside};
use crate::node::coordination::memory::Memory;
use crate::node::coordination::{Accept, Coordination, News, View, boot_micros};
use crate::node::routes::{self, Handled};
use crate::replication::{self, Member, Register};
use crate::types::Micros;

/// A difference between two clocks that is not a pause between two readings.
const ASLEEP_MICROS: u64 = 1_000;

/// What the event loop knows of the coordinator.
pub(in crate::node) struct Coordinating {
    way: Coordination,
    address: String,
    /// [`boot_micros`] at the zero of the core's clock.
    boot: u64,
    record: Option<Box<Outside>>,
    seen: replication::Seen,
    /// `None`: nothing has come of the first try yet.
    reachable: Option<Result<(), String>>,
    lease_fault: Option<String>,
    since: Micros,
    leased_until: u64,
    /// The cluster of this node was founded by this process.
    has_founded: bool,
    /// It is to be forgotten.
    forgets: bool,
    lease: Duration,
    /// [`boot_micros`] when the event loop went round last.
    turned: u64,
    /// It stood still: until then only the lease says that this node leads.
    doubted_until: u64,
}

impl Coordinating {
    /// Starts what speaks with it, where the node has one.
    pub(super) fn start(
        config: &Config,
        dir: &DataDir,
        memory: Option<Memory>,
        waker: &Arc<Waker>,
    ) -> Result<Option<Self>, NodeError> {
        let Some((asked, memory)) = config.coordinator.as_ref().zip(memory) else { return Ok(None) };
        let client = asked.open().map_err(|reason| NodeError::Setting { name: "coordinator", reason })?;
        let (me, cluster) = (dir.meta().node_id, dir.meta().cluster_id);
        let way = Coordination::start(asked, client, me, cluster, memory, waker).map_err(|source| NodeError::Io {
            op: "start the thread for the coordinator of",
            path: dir.path().to_owned(),
            source,
        })?;
        Ok(Some(Self {
            way,
            address: asked.address.to_string(),
            boot: 0,
            record: None,
            seen: replication::Seen::default(),
            reachable: None,
            lease_fault: None,
            since: start::wall_clock(),
            leased_until: 0,
            has_founded: false,
            forgets: false,
            lease: asked.lease,
            turned: 0,
            doubted_until: 0,
        }))
    }

    /// What people and programs are told.
    pub(super) fn view(&self) -> View<'_> {
        let now = boot_micros();
        let fault = self.reachable.as_ref().and_then(|state| state.as_ref().err()).map(String::as_str);
        View {
            address: &self.address,
            record: self.record.as_deref(),
            revision: self.seen.revision,
            leased: self.seen.leased,
            fault,
            lease_fault: self.lease_fault.as_deref(),
            is_known: self.reachable.is_some(),
            since: self.since,
            lease: self.lease,
            lease_left: Duration::from_micros(self.leased_until.saturating_sub(now)),
            stood_still: now < self.doubted_until,
            counts: self.way.counts(),
        }
    }

    /// Where it is and why it is of no use, for people.
    pub(super) fn fault(&self) -> Option<String> {
        let why = self.reachable.as_ref()?.as_ref().err()?;
        Some(format!("{}: {why}", self.address))
    }

    /// Whether there is nothing to be waited for: it does not answer.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.reachable, Some(Err(_)))
    }
}

impl Node {
    /// The core's clock goes on while the machine sleeps.
    pub(super) fn count_sleep(&mut self) {
        let Some(outside) = &mut self.coordinating else { return };
        let (boot, mono) = (boot_micros(), self.engine.monotonic_now());
        if outside.boot == 0 {
            (outside.boot, outside.turned) = (boot - mono, boot);
        }
        // What others said before may be read only now, and somebody else may lead since.
        let lease = u64::try_from(outside.lease.as_micros()).unwrap_or(u64::MAX / 4);
        if boot - std::mem::replace(&mut outside.turned, boot) >= lease / 2 {
            outside.doubted_until = boot + lease;
        }
        let slept = (boot - outside.boot).saturating_sub(mono);
        if slept > self.engine.slept() + ASLEEP_MICROS {
            self.engine.has_slept(slept);
        }
    }

    /// Lets the core hear what the coordinator has said.
    pub(super) fn take_coordinator_news(&mut self, now: Now) -> Result<(), NodeError> {
        let Some(outside) = &self.coordinating else { return Ok(()) };
        if outside.way.has_panicked() {
            return Err(NodeError::Panicked("coordinator"));
        }
        for news in outside.way.take_news() {
            self.take_word(news, now)?;
            self.perform_effects(now)?;
        }
        Ok(())
    }

    fn take_word(&mut self, news: News, now: Now) -> Result<(), NodeError> {
        let Some(outside) = &mut self.coordinating else { return Ok(()) };
        let input = match news {
            News::Read { seen, record } => {
                self.note_record(&seen, record)?;
                Input::Registered(seen)
            }
            News::Swapped { serial, taken, seen, record } => {
                let is_awaited = outside.way.is_current(serial);
                self.note_record(&seen, record)?;
                match (is_awaited, taken) {
                    (true, true) => Input::Swapped(seen),
                    (true, false) => Input::SwapLost(seen),
                    (false, _) => Input::Registered(seen),
                }
            }
            News::Reachable(state) => {
                let was = outside.reachable.replace(state.clone());
                self.engine.set_coordinator_fault(state.as_ref().err().cloned());
                // Another reason than before is shown, and is no news.
                if was.as_ref().map(Result::is_ok) != Some(state.is_ok()) {
                    outside.since = now.micros;
                    self.tell_of_coordinator(was.as_ref(), &state, now);
                }
                Input::Reachable(state.is_ok())
            }
            News::Unheard => Input::Unheard,
            News::LeaseFault(fault) => {
                match (&outside.lease_fault, &fault) {
                    (None, Some(why)) => ::log::warn!("the lease of this node cannot be held: {why}"),
                    (Some(_), None) => ::log::info!("nothing stands in the way of the lease of this node any more"),
                    _ => {}
                }
                outside.lease_fault = fault;
                return Ok(());
            }
            News::Leased { until } => {
                outside.leased_until = until;
                Input::Leased { until: until.saturating_sub(outside.boot) }
            }
            News::Foreign(cluster) => return self.refuse_foreign(cluster),
        };
        Ok(self.engine.tell(input, now)?)
    }

    fn tell_of_coordinator(&mut self, was: Option<&Result<(), String>>, state: &Result<(), String>, now: Now) {
        match (was, state) {
            (_, Err(why)) => {
                ::log::warn!("the coordinator is of no use now: {why}");
                let facts = [("why".to_owned(), why.clone().into())].into_iter().collect();
                self.tell_people("coordinator-away", facts, now);
            }
            (Some(Err(_)), Ok(())) => self.tell_people("coordinator-back", serde_json::Map::new(), now),
            _ => {}
        }
    }

    fn note_record(&mut self, seen: &replication::Seen, record: Option<Box<Outside>>) -> Result<(), NodeError> {
        let me = self.dir.meta().node_id;
        if let (None, Some(record)) = (self.cluster, &record)
            && !record.register.names(me)
            && self.engine.core().role() == Role::Primary
            && self.config.peers.is_empty()
        {
            return self.refuse_foreign(record.cluster);
        }
        let open = record.as_ref().filter(|record| record.register.open && record.primary.id != me);
        self.engine.set_recorded_primary(open.map(|record| Member {
            id: record.primary.id,
            name: record.primary.name.clone(),
            url: record.primary.url.clone(),
        }));
        if let Some(outside) = &mut self.coordinating {
            (outside.seen, outside.record) = (seen.clone(), record);
        }
        Ok(())
    }

    /// A node that is of no cluster yet, or of another one, and would found one of its own there.
    fn refuse_foreign(&mut self, cluster: ClusterId) -> Result<(), NodeError> {
        let has_begun = self.coordinating.as_ref().is_some_and(|outside| outside.record.is_some());
        if has_begun {
            // It runs, and the record is not what it was: it goes on without, and says so.
            return Ok(());
        }
        let is_forgotten = self.is_founded_in_vain();
        if let Some(outside) = &mut self.coordinating {
            outside.forgets = is_forgotten;
        }
        let reason = match self.cluster.filter(|_| !is_forgotten) {
            None => format!(
                "the record there is of cluster {cluster}, and this node is not of it: join it with --role replica --peer \
                 URL, or give another prefix"
            ),
            Some(own) => {
                let holds = if self.engine.head() == 0 { ", and holds nothing" } else { "" };
                format!(
                    "the record there is of cluster {cluster}, and this directory is of another one, {own}{holds}: give \
                     another prefix, or, to join that cluster, a new directory made by `rig init`"
                )
            }
        };
        Err(NodeError::Setting { name: "coordinator", reason })
    }

    /// Whether this process has founded the cluster, and nobody has heard of it: neither this disk, nor another node, nor a
    /// service in another process.
    fn is_founded_in_vain(&self) -> bool {
        let has_founded = self.coordinating.as_ref().is_some_and(|outside| outside.has_founded);
        let standing = self.standing_file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let has_promised = standing.last().is_some_and(|standing| standing.promised != Epoch::default());
        let core = self.engine.core();
        has_founded && !has_promised && self.engine.head() == 0 && core.peers().is_empty() && self.outside.is_none()
    }

    /// Behind the last word of every thread: takes back a cluster that was founded in vain.
    pub(super) fn forget_cluster(&mut self) {
        if !self.coordinating.as_ref().is_some_and(|outside| outside.forgets) {
            return;
        }
        let removed = log::remove_empty(&log::DiskVfs, self.dir.path()).map_err(NodeError::from);
        if let Err(error) = removed.and_then(|()| Ok(self.dir.forget_cluster()?)) {
            ::log::warn!("this directory is of a cluster of its own, and holds nothing; forget it: {error}");
        }
    }

    /// The core wants this value to be there.
    pub(super) fn swap_record(&mut self, expect: u64, register: Register, now: Now) -> Result<(), NodeError> {
        if self.cluster.is_none() {
            self.found_cluster(ClusterId(*uuid::Uuid::now_v7().as_bytes()), now)?;
            self.close_peers(now)?;
            if let Some(outside) = &mut self.coordinating {
                outside.has_founded = true;
            }
        }
        let record = self.record_of(register);
        let outside = self.coordinating.as_mut().expect("the core swaps only where there is a coordinator");
        outside.way.swap(expect, record);
        Ok(())
    }

    pub(super) fn forget_swap(&mut self) {
        let outside = self.coordinating.as_mut().expect("the core swaps only where there is a coordinator");
        outside.way.forget();
    }

    /// The value with what people and clients need beside it.
    fn record_of(&self, register: Register) -> Outside {
        let core = self.engine.core();
        let (me, peers) = (self.dir.meta().node_id, core.peers());
        let known = self.coordinating.as_ref().and_then(|outside| outside.record.as_deref());
        let node = |id: NodeId| {
            let peer = peers.iter().find(|peer| peer.member.id == id);
            let there = || known.into_iter().flat_map(|record| record.in_sync.iter().chain([&record.primary]));
            match (id == me, peer, there().find(|node| node.id == id)) {
                (true, ..) => coordinator::Node { id, name: self.dir.meta().name.clone(), url: self.url.clone() },
                (_, Some(peer), _) => {
                    coordinator::Node { id, name: peer.member.name.clone(), url: peer.member.url.clone() }
                }
                (_, None, Some(node)) => node.clone(),
                (_, None, None) => coordinator::Node { id, name: id.to_string(), url: String::new() },
            }
        };
        Outside {
            cluster: self.cluster.expect("it was founded before"),
            write: uuid::Uuid::now_v7().to_string(),
            primary: node(register.epoch.owner),
            in_sync: register.set.iter().map(|id| node(*id)).collect(),
            register,
        }
    }

    /// Holds the lease as long as the core wants it, and gives it back when this node stops.
    pub(super) fn hold_lease(&mut self) {
        let core = self.engine.core();
        let wants = core.wants_lease() && !core.is_failed();
        let leads = core.primary().is_some_and(|primary| primary.id == core.me());
        if let Some(outside) = &mut self.coordinating {
            outside.way.leads(leads);
            outside.way.want_lease(wants);
        }
    }

    /// This node says no more: whoever may lead next need not wait.
    pub(super) fn leave_coordinator(&mut self) {
        if let Some(outside) = &mut self.coordinating {
            outside.way.stop();
        }
    }

    /// An operator says that what he has seen there is to be replaced, or that this write of it is to be built on.
    pub(super) fn accept_record(&mut self, what: Accept, to: ReplyTo) -> Result<(), NodeError> {
        if let Some(outside) = &self.coordinating {
            outside.way.accept(what);
        }
        let body = routes::role_body(&self.engine);
        self.answer_elsewhere(to, Ok(Handled::Body(body)))
    }

    pub(super) fn tell_coordinator_of_cluster(&mut self, cluster: ClusterId) {
        if let Some(outside) = &mut self.coordinating {
            outside.way.found_cluster(cluster);
        }
    }
}
