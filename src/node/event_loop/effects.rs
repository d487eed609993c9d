//! What the core wants of disk and pool, in its order.
//!
//! # Invariants
//! 1. Effects are carried out in the core's order. What blocks goes to the pool or the log thread, and its end is told
//!    to the core like any other thing that happens.

use super::*;
use crate::log::Sealer;
use crate::node::engine::Effect;

/// A full disk is tried again.
const ROOM_PROBE: Duration = Duration::from_secs(1);

impl Node {
    /// Carries out what the core wants, until it wants nothing more.
    pub(super) fn perform_effects(&mut self, now: Now) -> Result<(), NodeError> {
        loop {
            let effects = self.engine.take_effects();
            if effects.is_empty() {
                return Ok(());
            }
            for effect in effects {
                self.perform(effect, now)?;
            }
        }
    }

    pub(super) fn perform(&mut self, effect: Effect, now: Now) -> Result<(), NodeError> {
        match effect {
            Effect::Record(standing) => {
                if self.cluster.is_none() && standing.primary {
                    // The first primary makes the cluster, before anything is said or logged in its name.
                    self.found_cluster(ClusterId(*uuid::Uuid::now_v7().as_bytes()), now)?;
                    self.close_peers(now)?;
                }
                let (file, alone) = (Arc::clone(&self.standing_file), std::mem::take(&mut self.alone_to_note));
                self.alone.extend(&alone);
                let state = self.dir.state();
                self.state_pool.run(move || {
                    let noted = alone::note(&state, &alone);
                    PoolDone::Recorded(
                        noted.and_then(|()| {
                            file.lock().unwrap_or_else(std::sync::PoisonError::into_inner).record(standing)
                        }),
                    )
                });
            }
            Effect::Alone { from, to } => self.alone_to_note.push(alone::Range { from, to }),
            Effect::ReadHash { link, version } => match self.engine.hash_at_hand(version) {
                Some(hash) => self.engine.tell(Input::HashIs { link, version, hash: Some(hash) }, now)?,
                None => {
                    let reader = self.reader.clone();
                    self.pool.run(move || PoolDone::CoreHash { link, version, hash: reader.hash(version) });
                }
            },
            Effect::Send { link, message } => {
                // A sign of life passes what waits for this disk: a slow disk is no reason to be taken for dead.
                let urgent = matches!(message, Message::Heartbeat(_) | Message::Ack(_) | Message::Alive);
                self.send(link, urgent, &message, &[]);
            }
            Effect::Stream { link, epoch, after, last, committed, adopt } => {
                self.stream(link, Range { epoch, after, last, committed, adopt, reading: false });
            }
            Effect::FindSnapshot { link } => self.find_snapshot(link),
            Effect::SendChunk { link, chunk } => self.send_chunk(link, chunk, now)?,
            Effect::TakeSnapshot { link, at, bytes } => self.take_snapshot(link, at, bytes, now),
            Effect::TakeChunk { link, chunk, bytes } => self.take_chunk(link, chunk, bytes, now)?,
            Effect::Install { at, keep, committed, for_epoch } => {
                self.note_install(at, keep, committed, for_epoch, now)
            }
            Effect::Close { link, why } => self.close_link(link, why),
            Effect::Cut { to, committed, for_epoch } => {
                // At once: what is on its way to the service must not arrive while the cut waits.
                self.reset_service_above(to)?;
                self.cut = Some(Cut { to, committed, for_epoch });
                self.hurry.set(true);
                self.begin_cut(now)?;
            }
            Effect::Answered { request, result } => self.answer_operator(request, result)?,
            Effect::Event(event) => self.note_event(&event, now),
            Effect::Swap { expect, register } => self.swap_record(expect, register, now)?,
            Effect::ForgetSwap => self.forget_swap(),
            Effect::TryAgain => {
                self.try_again_at = Some(now.instant + ROOM_PROBE);
            }
        }
        Ok(())
    }

    /// This node belongs to a cluster from now on: it gets its log.
    pub(super) fn found_cluster(&mut self, cluster: ClusterId, now: Now) -> Result<(), NodeError> {
        assert!(self.cluster.is_none(), "a node changes its cluster never");
        self.dir.set_cluster_id(cluster)?;
        let (writer, sealer): (_, Sealer) = start::open_log(&self.dir, &self.config, cluster)?;
        self.reader = writer.reader();
        self.log_thread.stop(0);
        self.log_thread = LogThread::start(writer, Arc::clone(&self.waker)).map_err(|source| NodeError::Io {
            op: "start the log thread of",
            path: self.dir.path().to_owned(),
            source,
        })?;
        self.cluster = Some(cluster);
        self.engine.found_cluster(sealer);
        self.tell_service_of_cluster(cluster);
        self.tell_coordinator_of_cluster(cluster);
        self.engine.tell(Input::Tick, now)?;
        if self.in_background {
            self.prepare_spare();
        }
        Ok(())
    }

    /// Sets aside what is behind a version, then lets the log thread cut it off; as soon as no snapshot is being written,
    /// no keys are being read and no state is being built, which would bring back what is cut.
    pub(super) fn begin_cut(&mut self, now: Now) -> Result<(), NodeError> {
        if self.snapshotting.is_running() || self.keys_loading || self.healing.is_running() || self.log_thread.is_busy()
        {
            return Ok(());
        }
        let Some(Cut { to, committed, for_epoch }) = self.cut.take() else { return Ok(()) };
        self.cutting = true;
        let end = self.reader.position(to)?.expect("what stays is durable");
        let last = self.engine.head();
        let order = rescue::Order {
            folder: self.dir.rescue(),
            node: self.dir.meta().name.clone(),
            own: self.engine.own_epoch(),
            from: to + 1,
            to: last,
            committed,
            for_epoch,
            now: now.micros,
        };
        ::log::info!(
            "versions {} to {last} are not in the log of epoch {}: they are set aside in {}",
            to + 1,
            for_epoch.number,
            self.dir.rescue().display()
        );
        crate::node::snapshots::remove_after(&self.dir.snapshots(), to).map_err(|source| NodeError::Io {
            op: "remove snapshots in",
            path: self.dir.snapshots(),
            source,
        })?;
        let order = Some(order).filter(|_| !self.engine.is_rolling_back());
        self.log_thread.cut(end, order);
        Ok(())
    }

    /// The log ends where it was cut; the service follows.
    pub(super) fn log_was_cut(
        &mut self,
        end: Position,
        rescued: Option<(Version, Version)>,
        now: Now,
    ) -> Result<(), NodeError> {
        self.cutting = false;
        if let Some((from, to)) = rescued {
            self.rescued += 1;
            let facts = [("from".to_owned(), from.into()), ("to".to_owned(), to.into())].into_iter().collect();
            self.tell_people("rescued", facts, now);
        }
        if !self.engine.log_was_cut(end) {
            self.engine.cut_is_done(now)?;
            return Ok(());
        }
        let (dir, config, reader) = (self.dir.clone(), self.config.clone(), self.reader.clone());
        let cluster = self.cluster.expect("a log that was cut has a cluster");
        if self.outside.is_some() {
            self.pool.run(move || PoolDone::Returned(start::returned(&dir, &config, cluster, &reader, end.version)));
            return Ok(());
        }
        self.pool
            .run(move || PoolDone::Rebuilt(start::rebuild(&dir, &config, cluster, &reader, end.version).map(Box::new)));
        Ok(())
    }

    pub(super) fn note_event(&mut self, event: &crate::replication::Event, now: Now) {
        let core = self.engine.core();
        let name_of = |id: NodeId| core.name_of(id).map_or_else(|| id.to_string(), str::to_owned);
        let (name, facts) = events::describe(event, name_of);
        if let crate::replication::Event::Twin(id) = event {
            let why = "two processes run with this identity: one of them on a copy of the other's directory";
            ::log::warn!("{}: {why}", name_of(*id));
            self.refused_peers.insert(name_of(*id), why.to_owned());
        }
        if let crate::replication::Event::WentBack { id, head, confirmed } = event {
            let name = name_of(*id);
            ::log::warn!(
                "{name} is back with version {head} and had confirmed {confirmed}: it runs on an old copy of its directory, \
                 or its disk has lost something; it counts nowhere before it is there again"
            );
        }
        self.tell_people(name, facts, now);
    }

    pub(super) fn tell_people(
        &mut self,
        name: &'static str,
        facts: serde_json::Map<String, serde_json::Value>,
        now: Now,
    ) {
        let line = self.events.add(name, facts, &self.dir.meta().name, now.micros);
        ::log::info!("{line}");
        self.touched.extend(self.streaming.iter().copied());
    }
}
