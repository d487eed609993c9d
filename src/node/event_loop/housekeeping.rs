//! What is due from time to time: deadlines, snapshots, spare segments, and the end.

use super::*;
use crate::error::{Code, Problem};
use crate::node::objects::objects;
use crate::node::peers;
use crate::node::routes::{self, Handled, RouteError, read_data};
use crate::node::snapshots::SnapshotFile;
use crate::types::{NodeState, dump};

/// Operations wait for their deadline with this precision.
const EXPIRY: Duration = Duration::from_millis(20);
/// Records of one answer to a node that repairs its log, in bytes.
const WIRE_BYTES: usize = 4 << 20;
/// A log that could not be made whole is tried again.
const REPAIR_AGAIN: Duration = Duration::from_secs(1);
/// Everything else that is looked at from time to time.
const TICK: Duration = Duration::from_millis(100);

impl Node {
    /// How long there is nothing to do unless something happens.
    pub(super) fn patience(&self) -> Duration {
        let gathers = self.gathering.is_under_way();
        if gathers || !self.has_nothing_to_do() || self.engine.has_effects() || self.engine.has_to_apply() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let until = |at: Option<Instant>| at.map_or(TICK, |at| at.saturating_duration_since(now));
        let readers = Some(self.readers_rest_until).filter(|_| !self.postponed.is_empty());
        let due = until(self.engine.due_at()).min(until(self.dialer.next())).min(until(readers));
        let waits = !self.later.is_empty() || self.proxy.as_ref().is_some_and(reading::Proxy::has_waiting);
        let usual = if self.engine.is_busy() || waits || self.draining_until.is_some() { EXPIRY } else { TICK };
        usual.min(due)
    }

    pub(super) fn housekeeping(&mut self, now: Now) -> Result<(), NodeError> {
        self.answer_later(now)?;
        self.serve_proxied(now)?;
        if now.instant >= self.next_expiry {
            self.next_expiry = now.instant + EXPIRY;
            self.engine.expire(now)?;
        }
        if self.shared.stop.load(Ordering::SeqCst) && self.draining_until.is_none() {
            self.draining_until = Some(now.instant + self.config.drain);
            self.hurry.set(true);
            self.scrub.hurry.set(true);
            self.engine.tell(Input::Drain, now)?;
        }
        if self.repair.is_some() {
            self.repair_log(now);
        } else {
            self.dial(now)?;
        }
        self.try_again(now);
        self.answer_changes(now)?;
        self.expire_operators(now)?;
        self.answer_participants()?;
        self.answer_dry_runs()?;
        if self.engine.is_due(now) {
            self.engine.tell(Input::Tick, now)?;
        }
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + TICK;
            self.expire_connections(now);
            self.watch_state(now)?;
            self.begin_scrub(now);
            self.look_at_files(now);
            self.begin_taking(now);
            self.raise_format(now);
            if self.draining_until.is_some() {
                self.close_idle();
            }
        }
        self.begin_cut(now)?;
        self.heal(now)?;
        self.take_snapshots(now)?;
        if self.bytes_since_spare >= self.config.segment_bytes / 8 {
            self.prepare_spare();
        }
        Ok(())
    }

    /// Lets the pool make the log whole, again and again until it is.
    fn repair_log(&mut self, now: Now) {
        let (Some(wanted), Some(cluster)) = (self.repair.clone(), self.cluster) else { return };
        if self.repair_at.take_if(|at| *at <= now.instant).is_none() {
            return;
        }
        let known = self.config.peers.iter().chain(&self.remembered);
        let order = repair::Order {
            dir: self.dir.path().to_owned(),
            config: self.log_config(cluster),
            addresses: known
                .map(|url| peers::address(url).to_owned())
                .filter(|address| self.may_dial(address).is_ok())
                .collect(),
            tls: self.tls.clone(),
            token: self.tokens.for_peers().map(str::to_owned),
        };
        self.pool.run(move || PoolDone::Repaired(repair::run(&order, &wanted)));
    }

    /// The other members are where a repair would look for help.
    fn remember_members(&mut self) {
        let core = self.engine.core();
        let Some(config) = core.config() else { return };
        let others = config.members.iter().filter(|member| member.id != core.me());
        let urls: Vec<String> = others.map(|member| member.url.clone()).collect();
        if urls != self.remembered {
            if let Err(error) = repair::remember(&self.dir.state(), &urls) {
                ::log::warn!("remember the other members: {error}");
            }
            self.remembered = urls;
        }
    }

    /// Since when this node answers less than was asked for, or nothing: kept as its state is, whoever asks.
    pub(super) fn note_since(&mut self, now: Now) {
        let since = |place: &mut Option<String>, holds: bool| match (holds, &place) {
            (true, None) => *place = Some(format_time(now.micros)),
            (false, Some(_)) => *place = None,
            _ => {}
        };
        let state = self.engine.core().state();
        since(&mut self.blocked_since, state == NodeState::Blocked);
        since(&mut self.degraded_since, state == NodeState::Degraded);
    }

    /// What changes by itself and that people want to know the beginning of.
    fn watch_state(&mut self, now: Now) -> Result<(), NodeError> {
        self.remember_members();
        self.note_since(now);
        let core = self.engine.core();
        if self.announced_role.is_some_and(|role| role != core.role()) {
            match self.announce() {
                Ok(()) => self.announced_role = Some(self.engine.core().role()),
                Err(error) if error.is_no_space() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let own = &self.dir.meta().name;
        if self.events.see(objects(&self.engine, own), own, now.micros) {
            self.touched.extend(self.streaming.iter().copied());
        }
        self.tell_of_others(now);
        Ok(())
    }

    /// What others say of themselves, and is not as it should be.
    fn tell_of_others(&mut self, now: Now) {
        for news in self.others.news(self.engine.core(), now.instant) {
            let name_of = |node| self.engine.core().name_of(node).map_or_else(|| node.to_string(), str::to_owned);
            let (event, facts) = match &news {
                others::News::Rival { node, epoch } => {
                    let name = name_of(*node);
                    ::log::error!(
                        "{name} leads epoch {epoch} under the same cluster id: both answer writes, see `rig status`"
                    );
                    ("two-primaries", [("member", name.into()), ("epoch", (*epoch).into())])
                }
                others::News::OtherRecord { node, record } => {
                    let (name, record) = (name_of(*node), record.as_str());
                    ::log::warn!("{name} does not go by the record of this node ({record}): it cannot take over");
                    ("other-record", [("member", name.into()), ("record", record.into())])
                }
            };
            let facts =
                facts.into_iter().map(|(key, value): (&str, serde_json::Value)| (key.to_owned(), value)).collect();
            self.tell_people(event, facts, now);
        }
    }

    /// Says where it listens, for commands on this machine.
    pub(super) fn announce(&self) -> Result<(), DirError> {
        let endpoint = Endpoint {
            pid: std::process::id(),
            http: self.url.clone(),
            role: self.engine.core().role(),
            started: format_time(start::wall_clock()),
        };
        self.dir.write_endpoint(&endpoint)
    }

    /// What people are told when it can answer.
    pub(super) fn ready(&self) -> Ready {
        let core = self.engine.core();
        let coordinator = self.coordinating.as_ref().map(coordinating::Coordinating::view);
        let waits_for = crate::node::status::waits_for(core, coordinator.as_ref());
        let awaits_record = coordinator.is_some() && core.waiting().is_some() && core.seen().is_none();
        let others = || core.peers().iter().map(|peer| peer.member.name.clone()).collect();
        Ready {
            name: self.dir.meta().name.clone(),
            role: core.role(),
            state: core.state(),
            primary: core.primary().map(|member| member.name.clone()),
            coordinator_fault: self.coordinating.as_ref().and_then(super::coordinating::Coordinating::fault),
            waits_for: match waits_for.is_empty() {
                true if awaits_record => vec!["the coordinator".to_owned()],
                true => others(),
                false => waits_for,
            },
            epoch: core.epoch().number,
            version: core.applied(),
            http: self.url.clone(),
            data_dir: self.dir.path().to_owned(),
            replication: core.config().map_or(Mode::SemiSync, |config| config.replication),
            notes: self.notes.clone(),
            took: self.begin.elapsed(),
        }
    }

    /// Reads that waited for a version.
    fn answer_later(&mut self, now: Now) -> Result<(), NodeError> {
        if self.later.is_empty() {
            return Ok(());
        }
        let applied = self.engine.applied().version;
        let (due, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|later: &Later| later.version <= applied || later.deadline <= now.instant);
        self.later = later;
        let mut tasks = Vec::new();
        for Later { to, version, read, .. } in due {
            let Some(exchange) = self.exchange_of(to) else { continue };
            let handled = if version <= applied {
                read_data(self.engine.service(), read, exchange, to, &mut tasks)
            } else {
                let detail = format!("version {version} was asked for, {applied} is applied");
                Err(RouteError::Problem(Problem::new(Code::Lagging, detail)))
            };
            self.answer_elsewhere(to, handled)?;
        }
        for (to, task) in tasks {
            self.run_task(to, task);
        }
        Ok(())
    }

    pub(super) fn run_task(&mut self, to: ReplyTo, task: Task) {
        let task = match task {
            Task::Proxied(read) => return self.queue_proxied(to, read),
            Task::StateHash => return self.hash_state(to),
            task => task,
        };
        let reader = self.reader.clone();
        self.pool.run(move || match task {
            Task::Record(version) => PoolDone::Record { to, record: reader.record(version) },
            Task::Hash(version) => PoolDone::Hash { to, version, hash: reader.hash(version) },
            Task::Page(search) => PoolDone::Page { to, body: search.body() },
            Task::Operator(_) | Task::StateHash | Task::Proxied(_) => PoolDone::Nothing,
            Task::Wire { from, last } => {
                let mut bytes = Vec::new();
                let read = reader.wire(from, last, WIRE_BYTES, &mut bytes);
                PoolDone::WireBytes { to, read: read.map(|_| bytes) }
            }
        });
    }

    pub(super) fn take_pool_done(&mut self, now: Now) -> Result<(), NodeError> {
        let proxied = self.proxy.as_ref().map(reading::Proxy::take_done).unwrap_or_default();
        for done in self.pools_done().into_iter().chain(proxied) {
            match done {
                PoolDone::Proxied(fetched) => self.end_proxied(*fetched)?,
                PoolDone::Piece { to, piece } => self.take_piece(to, piece, now),
                PoolDone::Record { to, record } => {
                    let handled = answer_of(record).map(|record| Handled::Body(record_body(&record)));
                    self.answer_elsewhere(to, handled)?;
                }
                PoolDone::Hash { to, version, hash } => {
                    let handled = answer_of(hash).map(|hash| {
                        let body = serde_json::json!({ "version": version, "hash": hash.to_string() });
                        Handled::Body(Body::data(&body))
                    });
                    self.answer_elsewhere(to, handled)?;
                }
                PoolDone::StateHash { to, version, hash } => {
                    let hash = hash.map_err(|error| error.to_string());
                    self.answer_elsewhere(to, outside::state_body(version, hash))?;
                }
                PoolDone::Page { to, body } => self.answer_elsewhere(to, Ok(Handled::Body(body)))?,
                PoolDone::Snapshot { version, written, checked } => {
                    self.end_snapshot(version, written, checked, now)?
                }
                PoolDone::Keys(runs) => {
                    self.keys_loading = false;
                    self.engine.keys_loaded(runs?, now)?;
                }
                PoolDone::Panicked => return Err(NodeError::Panicked("pool")),
                PoolDone::Recorded(recorded) => {
                    let path = self.dir.state();
                    recorded.map_err(|source| NodeError::Io { op: "record the standing in", path, source })?;
                    self.engine.tell(Input::Recorded, now)?;
                    for to in std::mem::take(&mut self.demoted) {
                        let body = routes::role_body(&self.engine);
                        self.answer_elsewhere(to, Ok(Handled::Body(body)))?;
                    }
                }
                PoolDone::CoreHash { link, version, hash } => {
                    let hash = hash.unwrap_or_else(|error| {
                        ::log::warn!("read the hash of version {version} for a peer: {error}");
                        None
                    });
                    self.engine.tell(Input::HashIs { link, version, hash }, now)?;
                }
                PoolDone::Wire { link, range, read } => self.take_wire(link, &range, read, now)?,
                PoolDone::WireBytes { to, read } => {
                    let body = |bytes| Handled::Body(Body::of("application/octet-stream", bytes));
                    let handled = answer_of(read.map(Some)).map(body);
                    self.answer_elsewhere(to, handled)?;
                }
                PoolDone::Resolved { address, found } => {
                    match self.dialer.choose(&address, found.as_deref().unwrap_or_default()) {
                        Some(to) => self.dial_at(&address, to, now),
                        None => self.dialer.failed(&address, false, now.instant),
                    }
                }
                PoolDone::Repaired(Ok(())) => self.again = true,
                PoolDone::Repaired(Err(reason)) => {
                    // It is tried again every second: said once, until there is another reason.
                    if self.repair_fault != reason {
                        ::log::warn!("the log could not be made whole yet, and is tried again: {reason}");
                        self.repair_fault = reason;
                    }
                    self.repair_at = Some(now.instant + REPAIR_AGAIN);
                }
                PoolDone::Rebuilt(rebuilt) => {
                    let start::State { service, keys, chronicle, marks, applied, .. } = *rebuilt?;
                    self.snapshotting.none_above(applied.version);
                    self.engine.replace_state(service, keys, chronicle, marks, applied);
                    self.engine.cut_is_done(now)?;
                }
                PoolDone::Returned(returned) => {
                    let (state, tail) = *returned?;
                    self.snapshotting.none_above(state.applied.version);
                    let start::State { keys, chronicle, marks, applied, .. } = state;
                    self.engine.return_to(keys, chronicle, marks, applied, tail);
                    self.reset_service()?;
                    self.engine.cut_is_done(now)?;
                }
                PoolDone::Healed(state) => self.take_healed(*state?, now)?,
                PoolDone::Backup(done) => self.go_on_with_backup(done)?,
                PoolDone::Relied(asked, found) => self.judge_compaction(asked, found)?,
                PoolDone::Removed(removed) => self.end_compaction(removed)?,
                PoolDone::Spare(made) => {
                    self.spare_running = false;
                    if let Err(error) = made {
                        ::log::warn!("prepare the next segment: {error}");
                    }
                }
                PoolDone::Scrubbed(read) => self.end_scrub(read, now),
                PoolDone::Looked(seen) => self.take_seen(*seen, now)?,
                PoolDone::Nothing => {}
                PoolDone::Feeding(done) => self.go_on_feeding(done, now)?,
                PoolDone::Taking(done) => self.go_on_taking(done, now)?,
            }
        }
        Ok(())
    }

    fn pools_done(&self) -> Vec<PoolDone> {
        [&self.pool, &self.state_pool, &self.background].into_iter().flat_map(Pool::take_done).collect()
    }

    pub(super) fn load_keys(&mut self, snapshot: SnapshotFile) {
        self.keys_loading = true;
        let (reader, cluster, config) = (self.reader.clone(), self.cluster.unwrap_or_default(), self.config.clone());
        self.pool.run(move || {
            PoolDone::Keys(match snapshot.keys() {
                Ok(runs) => Ok(runs),
                Err(error) => {
                    ::log::warn!("keys of {}: {error}; they are rebuilt from the log", snapshot.path().display());
                    start::rebuild_keys(&reader, cluster, &config, snapshot.position.version)
                }
            })
        });
    }

    pub(super) fn prepare_spare(&mut self) {
        let Some(cluster) = self.cluster.filter(|_| !self.spare_running) else { return };
        self.bytes_since_spare = 0;
        self.spare_running = true;
        let (dir, config) = (self.dir.path().to_owned(), self.log_config(cluster));
        let hurry = self.hurry.clone();
        let rest = move |bytes, took| hurry.rest(bytes, took);
        let reader = self.reader.clone();
        self.background.run(move || {
            // First: the pages that become free are those that the spare segment takes.
            reader.leave_cache();
            PoolDone::Spare(log::prepare_spare_beside(&log::DiskVfs, &dir, &config, &rest))
        });
    }

    fn log_config(&self, cluster: ClusterId) -> log::Config {
        log::Config { cluster, segment_bytes: self.config.segment_bytes, zero_fill: true }
    }

    /// Whether a stop has nothing to wait for any more.
    pub(super) fn is_drained(&self) -> bool {
        self.draining_until.is_some_and(|until| {
            let done = self.engine.is_idle() && !self.has_unsent();
            done || Instant::now() >= until
        })
    }
}

fn answer_of<T>(read: Result<Option<T>, LogError>) -> Result<T, RouteError> {
    match read {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(RouteError::Problem(Problem::new(Code::NotFound, "there is no such record, or not yet"))),
        Err(LogError::Compacted { oldest, .. }) => {
            let detail = format!("versions below {oldest} were compacted into a snapshot");
            Err(RouteError::Problem(Problem::new(Code::Compacted, detail).with("oldest", oldest)))
        }
        Err(error) => {
            ::log::error!("read the log for a client: {error}");
            Err(RouteError::Problem(Problem::new(Code::Internal, "the log could not be read there")))
        }
    }
}

pub(super) fn record_body(record: &Record) -> Body {
    let mut text = format!("{{\"data\":{{\"version\":{},\"op\":{{\"method\":", record.version);
    dump::string(&record.operation.method, &mut text);
    text.push_str(",\"data\":");
    text.push_str(&record.operation.data);
    text.push_str(&format!(
        "}},\"epoch\":{},\"owner\":\"{}\",\"start\":{},\"time\":\"{}\",\"key\":",
        record.epoch.number,
        record.epoch.owner,
        record.epoch.start,
        format_time(record.time)
    ));
    match &record.key {
        Some(key) => dump::string(key, &mut text),
        None => text.push_str("null"),
    }
    text.push_str(",\"actor\":");
    match &*record.actor {
        "" => text.push_str("null"),
        actor => dump::string(actor, &mut text),
    }
    text.push_str(&format!(",\"hash\":\"{}\"}}}}", record.hash));
    Body::json(text.into())
}
