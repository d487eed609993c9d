//! The event loop: one thread that owns every socket and all state.
//!
//! ```text
//!   poll ─► what the log thread and the pool have done ─► requests ─► batch to the log thread ─► answers ─► write
//! ```
//!
//! A batch goes to the log thread as soon as the one before is durable and the batch is worth a sync (`batches`), before
//! the answers are built: the disk works while this thread does.
//!
//! # Not here
//! What a request means (`node::routes`), what a write goes through (`node::engine`).

mod answers;
mod backing_up;
mod batches;
pub(super) mod compacting;
mod connections;
pub(super) mod coordinating;
mod effects;
mod feeding;
mod healing;
mod housekeeping;
mod opening;
mod operators;
mod outside;
mod peering;
mod pieces;
mod places;
mod reading;
mod rereading;
mod scrubbing;
mod snapshotting;
mod stopper;
mod streaming;
mod taking;
mod upgrading;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stopper::Shared;
pub use stopper::Stopper;

use mio::{Events, Interest, Poll, Token, Waker};

use super::admission::Admission;
use super::alone;
use super::auth::Tokens;
use super::background::Hurry;
use super::busy_poll::{BusyPoll, REQUEST_MAX, SYNC_MAX};
use super::connection::Connection;
use super::dir::{DataDir, DirError, DirLock, Endpoint};
use super::engine::{Answer, Condition, Engine, Now, ReplyTo};
use super::hook::Hook;
use super::keys::Runs;
use super::metrics::Metrics;
use super::others::{self, Others};
use super::pace::Pace;
use super::peers::{Dialer, Peer, Range};
use super::pool::Pool;
use super::routes::{Body, Desk, Later, Search};
use super::settings::{Seen, Watch};
use super::snapshots::{SnapshotFile, SnapshotInfo};
use super::state::StandingFile;
use super::status::Facts;
use super::streams::Piece;
use super::writer::LogThread;
use super::{Config, NodeError, Ready, coordination, events, proxy, repair, rescue, scrub, start};
use crate::http;
use crate::log::{self, Batch, LogError, Reader};
use crate::net;
use crate::node::coordination::Accept;
use crate::replication::{Asked, Input, Link, Message};
use crate::types::{ClusterId, Epoch, Hash, Mode, NodeId, Operation, Position, Record, Role, Version, format_time};
use opening::{check_exposure, identity, listen, start_or_repair, url};
use places::Places;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// Threads for what blocks.
const POOL_THREADS: usize = 2;
/// A full disk has no room for the word where we listen; it is tried again.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);
/// How long a failing node tries to deliver its last answers.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a route wants done on the pool for one request.
pub(super) enum Task {
    Record(Version),
    Hash(Version),
    /// A digest of the whole state.
    StateHash,
    /// Records as they travel between nodes.
    Wire {
        from: Version,
        last: Version,
    },
    /// The operator's word about this node's role or the cluster.
    Operator(Operator),
    /// A page for which every document is read.
    Page(Search),
    /// A read that a service in another process answers.
    Proxied(Box<proxy::Read>),
}

/// A part of the log that is to be cut off.
#[derive(Debug, Clone, Copy)]
struct Cut {
    to: Version,
    committed: Version,
    for_epoch: Epoch,
}

/// What an operator may ask for.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    Promote {
        force: bool,
    },
    Demote,
    Change(Asked),
    Prepare {
        version: Version,
        operation: Operation,
    },
    Decide {
        commit: bool,
    },
    Remove {
        id: NodeId,
        force: bool,
    },
    /// Build on this if the coordinator has it, whatever it had before.
    Accept(Accept),
    /// Write a snapshot of what is applied now, and read it back.
    Snapshot,
    /// Send an archive of what is committed, or of what came after a version.
    Backup {
        since: Option<Version>,
    },
    /// Drop records that a snapshot has, but for some; or say only what would go.
    Compact(compacting::Bounds),
}

/// What the pool has done.
enum PoolDone {
    Piece {
        to: ReplyTo,
        piece: Result<Piece, LogError>,
    },
    Record {
        to: ReplyTo,
        record: Result<Option<Record>, LogError>,
    },
    Hash {
        to: ReplyTo,
        version: Version,
        hash: Result<Option<Hash>, LogError>,
    },
    Page {
        to: ReplyTo,
        body: Body,
    },
    StateHash {
        to: ReplyTo,
        version: Version,
        hash: io::Result<Hash>,
    },
    Proxied(Box<reading::Fetched>),
    Snapshot {
        version: Version,
        written: io::Result<(Runs, u64)>,
        /// What was read back, if somebody waits for it.
        checked: Option<io::Result<SnapshotInfo>>,
    },
    Keys(Result<Runs, NodeError>),
    Recorded(io::Result<()>),
    CoreHash {
        link: Link,
        version: Version,
        hash: Result<Option<Hash>, LogError>,
    },
    Wire {
        link: Link,
        range: Range,
        read: Result<(Position, Vec<u8>, Version), LogError>,
    },
    Rebuilt(Result<Box<start::State>, NodeError>),
    Healed(Result<Box<start::State>, NodeError>),
    /// The same for a service outside: an older state of this node, and the records behind it.
    Returned(Result<Box<(start::State, Vec<Record>)>, NodeError>),
    Repaired(Result<(), String>),
    Resolved {
        address: String,
        found: io::Result<Vec<SocketAddr>>,
    },
    WireBytes {
        to: ReplyTo,
        read: Result<Vec<u8>, LogError>,
    },
    Spare(Result<log::Spare, LogError>),
    /// A snapshot that a compaction may rely on, if there is one.
    Relied(compacting::Asked, Result<compacting::Found, String>),
    /// Segments are gone.
    Removed(Result<log::Compacted, LogError>),
    Scrubbed(Result<Option<scrub::Read>, LogError>),
    Backup(backing_up::Done),
    Nothing,
    Feeding(feeding::Done),
    Taking(taking::Done),
    Looked(Box<Seen>),
    /// A job has panicked: a bug.
    Panicked,
}

/// A node that is ready to run.
pub struct Node {
    poll: Poll,
    waker: Arc<Waker>,
    listener: mio::net::TcpListener,
    config: Config,
    dir: DataDir,
    _lock: DirLock,
    url: String,
    begin: Instant,
    settings: http::Settings,
    tokens: Tokens,
    tls: Option<net::Identity>,
    watch: Watch,
    cluster: Option<ClusterId>,
    notes: Vec<String>,
    engine: Engine,
    /// The service, when it is in another process.
    outside: Option<outside::Outside>,
    /// Whether the service has been away since it was well last.
    has_stalled: bool,
    /// What decides who leads when nodes are away, if there is something.
    coordinating: Option<coordinating::Coordinating>,
    reader: Reader,
    log_thread: LogThread,
    standing_file: Arc<Mutex<StandingFile>>,
    alone: Vec<alone::Range>,
    alone_to_note: Vec<alone::Range>,
    peers: Vec<Option<Box<Peer>>>,
    touched_peers: Places,
    next_link: Link,
    /// Room for records on their way to a peer.
    wire: Vec<u8>,
    /// Room for what a peer has sent.
    room: Vec<u8>,
    dialer: Dialer,
    /// Whether the core has been told that every address was tried.
    tried: bool,
    /// Peers that were refused, and why.
    refused_peers: BTreeMap<String, String>,
    others: Others,
    operators: BTreeMap<u64, (ReplyTo, Instant)>,
    /// Those who wait to hear that this node is a replica, durably.
    demoted: Vec<ReplyTo>,
    operator_count: u64,
    /// The log is damaged and must be made whole before anything else.
    repair: Option<repair::Wanted>,
    repair_at: Option<Instant>,
    repair_fault: String,
    /// The log is whole again: the node starts anew.
    again: bool,
    /// Addresses of the other members, as they were remembered last.
    remembered: Vec<String>,
    /// Operators' requests of this turn.
    asked: Vec<(ReplyTo, Operator)>,
    /// Changes that wait to be committed.
    changes: Vec<(ReplyTo, Asked, Instant)>,
    snapshotting: snapshotting::Snapshotting,
    compaction: compacting::Compaction,
    /// Shared with the archive that is under way.
    backing_up: Arc<()>,
    feeding: feeding::Feeding,
    taking: taking::Taking,
    /// A batch that found no room, while others may have it.
    put_aside: Option<Batch>,
    try_again_at: Option<Instant>,
    rescued: usize,
    events: events::Events,
    sync_poll: BusyPoll,
    request_poll: BusyPoll,
    pool: Pool<PoolDone>,
    /// What is promised waits for nothing but its own disk.
    state_pool: Pool<PoolDone>,
    /// What nobody waits for: snapshots, spare segments and the scrub, one of each at a time.
    background: Pool<PoolDone>,
    /// Somebody waits for it after all.
    hurry: Hurry,
    /// Reads that go on to a service in another process, if they do.
    proxy: Option<reading::Proxy>,
    /// What is to be cut off, and whether it is being cut.
    cut: Option<Cut>,
    cutting: bool,
    keys_loading: bool,
    healing: healing::Healing,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    admission: Admission,
    serial: u64,
    /// Connections to look at in this turn.
    touched: Places,
    /// Readers that wait for their turn, which comes then or sooner.
    postponed: Vec<usize>,
    readers_rest_until: Instant,
    /// When a batch went to the disk last.
    wrote_at: Instant,
    /// Connections whose front is a stream.
    streaming: BTreeSet<usize>,
    /// The batch that may wait for more.
    gathering: batches::Gathering,
    /// How much of the log the streams know to be committed.
    streamed: Version,
    followers: usize,
    /// Bytes that the connections hold of requests that are coming in.
    buffered: usize,
    later: Vec<Later>,
    answers: Vec<Answer>,
    common: Vec<u8>,
    common_of: (Version, u64, Role),
    request_prefix: String,
    request_count: u64,
    metrics: Metrics,
    shared: Arc<Shared>,
    draining_until: Option<Instant>,
    blocked_since: Option<String>,
    degraded_since: Option<String>,
    announced_role: Option<Role>,
    accept_again: bool,
    next_expiry: Instant,
    next_tick: Instant,
    bytes_since_spare: u64,
    spare_running: bool,
    pace: Pace,
    scrub: scrub::Scrub,
    keys_to_load: Option<SnapshotFile>,
    /// Whether what a start does not wait for has begun.
    in_background: bool,
}

/// Called once, when the node can answer.
type OnReady<'a> = Box<dyn FnOnce(&Ready) + 'a>;

impl Node {
    /// Opens directory, address, log and state. Nothing is answered before [`Node::run`].
    ///
    /// # Errors
    /// Everything that keeps a node from starting; the directory is then as it was, but for a torn tail that
    /// was set aside.
    #[doc(hidden)]
    pub fn start(config: Config) -> Result<Self, NodeError> {
        Self::start_with(config, None)
    }

    fn start_with(config: Config, shared: Option<Arc<Shared>>) -> Result<Self, NodeError> {
        let begin = Instant::now();
        let (tokens, tls) = (check_exposure(&config)?, identity(&config)?);
        let service = config.proxy.as_deref().map(reading::base).transpose()?;
        let dir = DataDir::open(&config.data_dir)?;
        dir.refuse_others()?;
        let lock = dir.lock()?;
        let (listener, address) = listen(config.listen)?;
        let url = url(&config, address)?;
        let settings = match &config.advertise {
            Some(url) => http::Settings::new(address).advertise(url),
            None => http::Settings::new(address),
        };
        let memory = coordination::memory::check(&dir.state(), &config)?;
        let (started, repair) = start_or_repair(&dir, &config, &url)?;

        let failed = |op: &'static str| {
            let path = dir.path().to_owned();
            move |source| NodeError::Io { op, path, source }
        };
        let poll = Poll::new().map_err(failed("poll for"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(failed("wake"))?);
        let mut listener = mio::net::TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed("listen for"))?;
        let shared = Shared::of(shared, &waker);
        let reader = started.writer.reader();
        let way = if repair.is_none() { outside::Way::find(&dir, &config, &reader)? } else { None };
        let floor = started.engine.applied().version;
        let memory = memory.map(|memory| memory.beside(started.engine.core().history().last()));
        let outside = way.map(|way| way.open(&dir, &reader, floor, &waker)).transpose()?;
        let log_thread =
            LogThread::start(started.writer, Arc::clone(&waker)).map_err(failed("start the log thread of"))?;
        let coordinating = coordinating::Coordinating::start(&config, &dir, memory, &waker)?;
        let panicked = || PoolDone::Panicked;
        let pool = Pool::start(POOL_THREADS, &waker, panicked).map_err(failed("start the pool of"))?;
        let state_pool = Pool::start(1, &waker, panicked).map_err(failed("start the pool of"))?;
        let background = Pool::start_in_background(3, &waker, panicked).map_err(failed("start the pool of"))?;
        let hook = config.on_event.clone().map(Hook::start).transpose().map_err(failed("start the hook of"))?;
        let events = events::Events::new(hook);
        let proxy = reading::Proxy::start(service, &waker).map_err(failed("start the pool of"))?;
        let (state, folder) = (dir.state(), dir.rescue());
        let noted = alone::read(&state).map_err(|source| NodeError::Io { op: "read", path: state, source })?;
        let found = scrubbing::found_before(&dir)?;
        let rescued = rescue::list(&folder).map_err(|source| NodeError::Io { op: "list", path: folder, source })?.len();
        let mut dialer = Dialer::default();
        config.peers.iter().for_each(|url| dialer.add(url, begin));
        Ok(Self {
            poll,
            waker,
            listener,
            url,
            begin,
            settings,
            tokens,
            tls,
            watch: Watch::new(&config, begin),
            cluster: dir.meta().cluster_id,
            notes: started.notes,
            engine: started.engine,
            outside,
            has_stalled: false,
            coordinating,
            reader,
            log_thread,
            standing_file: Arc::new(Mutex::new(started.standing_file)),
            alone: noted,
            alone_to_note: Vec::new(),
            peers: Vec::new(),
            touched_peers: Places::default(),
            next_link: 0,
            wire: Vec::new(),
            room: Vec::new(),
            dialer,
            tried: config.peers.is_empty(),
            refused_peers: BTreeMap::new(),
            others: Others::new(others::Record::of(config.coordinator.as_ref().map(|asked| &asked.address))),
            operators: BTreeMap::new(),
            demoted: Vec::new(),
            operator_count: 0,
            repair,
            repair_at: Some(begin),
            repair_fault: String::new(),
            again: false,
            remembered: repair::members(&dir.state()),
            asked: Vec::new(),
            changes: Vec::new(),
            snapshotting: snapshotting::Snapshotting::new(started.snapshot, begin),
            compaction: compacting::Compaction::default(),
            backing_up: Arc::default(),
            feeding: feeding::Feeding::default(),
            taking: taking::Taking::default(),
            put_aside: None,
            try_again_at: None,
            rescued,
            events,
            sync_poll: BusyPoll::new(SYNC_MAX),
            request_poll: BusyPoll::new(REQUEST_MAX),
            pool,
            state_pool,
            background,
            hurry: Hurry::default(),
            proxy,
            cut: None,
            cutting: false,
            keys_loading: false,
            healing: healing::Healing::default(),
            connections: Vec::new(),
            free: Vec::new(),
            admission: Admission::default(),
            serial: 0,
            touched: Places::default(),
            postponed: Vec::new(),
            readers_rest_until: begin,
            wrote_at: begin,
            streaming: BTreeSet::new(),
            gathering: batches::Gathering::default(),
            streamed: 0,
            followers: 0,
            buffered: 0,
            later: Vec::new(),
            answers: Vec::new(),
            common: Vec::new(),
            common_of: (Version::MAX, 0, Role::Primary),
            request_prefix: uuid::Uuid::now_v7().simple().to_string()[..16].to_owned(),
            request_count: 0,
            metrics: Metrics::default(),
            shared,
            draining_until: None,
            blocked_since: None,
            degraded_since: None,
            announced_role: None,
            accept_again: false,
            next_expiry: begin,
            next_tick: begin,
            bytes_since_spare: 0,
            spare_running: false,
            pace: Pace::new(begin),
            scrub: scrub::Scrub::new(config.scrub_interval, found, begin),
            keys_to_load: started.keys_to_load,
            in_background: false,
            config,
            dir,
            _lock: lock,
        })
    }

    /// Runs until it is stopped; `on_ready` is called once, when the epoch is open.
    ///
    /// # Errors
    /// A storage error, or a bug on another thread. What was answered with 200 is durable all the same.
    pub fn run(self, on_ready: impl FnOnce(&Ready)) -> Result<(), NodeError> {
        let mut on_ready: Option<OnReady<'_>> = Some(Box::new(on_ready));
        let mut node = self;
        while let Some(again) = node.run_once(&mut on_ready)? {
            node = again;
        }
        Ok(())
    }

    /// Runs until it is stopped; or until its log is whole again, and gives the node that goes on.
    fn run_once(mut self, on_ready: &mut Option<OnReady<'_>>) -> Result<Option<Self>, NodeError> {
        let (mut announce_at, mut announced) = (self.begin, false);
        let mut events = Events::with_capacity(1024);
        let outcome = loop {
            if let Err(error) = self.turn(&mut events) {
                break Err(error);
            }
            // Also by a node that goes on with a log made whole: the one before it has taken its word back.
            if !announced && self.can_answer() && Instant::now() >= announce_at {
                match self.announce() {
                    Ok(()) => {
                        announced = true;
                        self.announced_role = Some(self.engine.core().role());
                        on_ready.take().into_iter().for_each(|on_ready| on_ready(&self.ready()));
                    }
                    // The node works; that others cannot find it yet is no reason to end it.
                    Err(error) if error.is_no_space() => {
                        if announce_at == self.begin {
                            ::log::error!("{error}: the node is found by its address only, until there is room");
                        }
                        announce_at = Instant::now() + ANNOUNCE_AGAIN;
                    }
                    Err(error) => break Err(error.into()),
                }
            }
            if self.can_answer() && !std::mem::replace(&mut self.in_background, true) {
                self.begin_background();
            }
            if self.is_drained() || self.again {
                break Ok(());
            }
        };
        if !self.again {
            return self.end(outcome).map(|()| None);
        }
        // In the same process and on the same address, with the log that is whole now.
        let (config, shared) = (self.config.clone(), Arc::clone(&self.shared));
        let listen = self.listener.local_addr().unwrap_or(config.listen);
        let repaired = self.repair.clone();
        self.end(outcome)?;
        let mut again = Self::start_with(Config { listen, ..config }, Some(shared))?;
        if let Some(repaired) = repaired {
            again.tell_of_repair(&repaired);
        }
        Ok(Some(again))
    }

    fn turn(&mut self, events: &mut Events) -> Result<(), NodeError> {
        match self.wait(events) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(source) => return Err(NodeError::Io { op: "poll for", path: self.dir.path().to_owned(), source }),
        }
        self.count_sleep();
        let now = now();
        if self.readers_rest_until <= now.instant {
            self.touched.extend(self.postponed.drain(..));
        }
        let mut accept = self.accept_again;
        let mut woken = false;
        for event in events.iter() {
            match event.token() {
                LISTENER => accept = true,
                WAKER => woken = true,
                Token(token) if token >= peering::PEERS => {
                    let place = token - peering::PEERS;
                    if let Some(Some(peer)) = self.peers.get_mut(place) {
                        peer.has_news(event);
                        self.touched_peers.insert(place);
                        if event.is_writable() || event.is_error() {
                            self.connected(place, now)?;
                        }
                    }
                }
                Token(index) => {
                    self.request_poll.end();
                    if let Some(Some(connection)) = self.connections.get_mut(index) {
                        connection.peer_ended |= event.is_read_closed();
                        connection.readable |= event.is_readable() || event.is_read_closed();
                        self.touched.insert(index);
                    }
                }
            }
        }
        if woken {
            self.take_log_done(now)?;
            self.take_pool_done(now)?;
            self.take_service_done(now)?;
            self.take_coordinator_news(now)?;
        }
        if accept {
            self.accept(now);
        }
        self.serve_touched(now)?;
        self.ask_core(now)?;
        self.serve_peers(now)?;
        self.housekeeping(now)?;
        self.perform_effects(now)?;
        self.hold_lease();
        self.give_orders();
        self.dispatch(now)?;
        self.deliver_peers(now)?;
        self.deliver(now)?;
        self.engine.apply_some(now)?;
        self.give_orders();
        Ok(())
    }

    /// Until something happens; asleep, unless it must come soon.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        while !self.gathering.is_under_way() && self.has_nothing_to_do() && self.is_expectant(Instant::now()) {
            self.poll.poll(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(());
            }
            // The log thread, or the client, may be waiting for this core.
            std::thread::yield_now();
        }
        self.poll.poll(events, Some(self.patience()))
    }

    /// Whether every connection waits for news.
    pub(super) fn has_nothing_to_do(&self) -> bool {
        let readers_wait = || !self.postponed.is_empty() && self.readers_rest_until <= Instant::now();
        self.touched.is_empty() && self.touched_peers.is_empty() && !readers_wait()
    }

    fn is_expectant(&mut self, now: Instant) -> bool {
        self.sync_poll.goes_on(now) || self.request_poll.goes_on(now)
    }

    /// What a start does not wait for: the keys of earlier requests, and the next segment.
    fn begin_background(&mut self) {
        if let Some(snapshot) = self.keys_to_load.take() {
            self.load_keys(snapshot);
        }
        self.prepare_spare();
    }

    /// The orderly end, or the last answers of a disorderly one.
    fn end(mut self, outcome: Result<(), NodeError>) -> Result<(), NodeError> {
        self.hurry.set(true);
        self.scrub.hurry.set(true);
        match &outcome {
            Ok(()) => self.engine.stopped(),
            Err(_) => self.engine.storage_failed(),
        }
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until && (self.deliver(now()).is_ok() && self.has_unsent()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.leave_coordinator();
        if outcome.is_ok() {
            self.last_snapshot();
        }
        // After an error the mark says what it said: the next start finds out.
        self.log_thread.stop(if outcome.is_ok() { self.engine.core().committed() } else { 0 });
        if let Some(outside) = &mut self.outside {
            outside.courier.stop();
        }
        self.pool.stop();
        self.state_pool.stop();
        self.background.stop();
        self.forget_cluster();
        if let Err(error) = self.dir.remove_endpoint() {
            ::log::warn!("{error}");
        }
        outcome
    }
}

/// Both clocks.
fn now() -> Now {
    Now { instant: Instant::now(), micros: start::wall_clock() }
}
