//! Other nodes: dialling them, hearing them, and carrying out what the core wants of disk and network.
//!
//! # Invariants
//! 1. Effects are carried out in the core's order. What blocks goes to the pool or the log thread, and its end is told
//!    to the core like any other thing that happens.
//! 2. Bytes of a peer never end the node: a connection that says what it must not is closed.

use mio::{Interest, Token};

use super::*;
use crate::log::Sealer;
use crate::node::alone;
use crate::node::engine::{Effect, Malformed};
use crate::node::peers::{self, Flow, Peer, Range, Stage};
use crate::node::rescue;
use crate::peer::{self, Frame, Greeting};
use crate::replication::Closing;
use crate::types::Position;

/// Tokens of peers begin here.
pub(super) const PEERS: usize = 1 << 40;
/// Records of one read for a peer, in bytes.
const WIRE_BYTES: usize = 1 << 20;
/// Frames of one peer before others have their turn.
const FRAMES_AT_ONCE: usize = 256;
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

    fn perform(&mut self, effect: Effect, now: Now) -> Result<(), NodeError> {
        match effect {
            Effect::Record(standing) => {
                if self.cluster.is_none() {
                    // The first primary makes the cluster, before anything is said or logged in its name.
                    self.found_cluster(ClusterId(*uuid::Uuid::now_v7().as_bytes()), now)?;
                    self.close_peers(now)?;
                }
                let (file, alone) = (Arc::clone(&self.standing_file), std::mem::take(&mut self.alone_to_note));
                self.alone.extend(&alone);
                let state = self.dir.state();
                self.pool.run(move || {
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
            Effect::Send { link, message } => self.send(link, |out| put(&message, &[], out)),
            Effect::Stream { link, epoch, after, last, committed, adopt } => {
                self.stream(link, Range { epoch, after, last, committed, adopt, reading: false });
            }
            Effect::Close { link, why } => self.close_link(link, why),
            Effect::Cut { to, committed, for_epoch } => self.begin_cut(to, committed, for_epoch, now)?,
            Effect::Answered { request, result } => self.answer_operator(request, result)?,
            Effect::Event(event) => self.note_event(&event, now),
            Effect::TryAgain => {
                self.try_again_at = Some(now.instant + ROOM_PROBE);
            }
        }
        Ok(())
    }

    fn place_of(&self, link: Link) -> Option<usize> {
        self.peers.iter().position(|peer| peer.as_ref().is_some_and(|peer| peer.link == link))
    }

    fn send(&mut self, link: Link, frame: impl FnOnce(&mut Vec<u8>)) {
        if let Some(place) = self.place_of(link)
            && let Some(peer) = &mut self.peers[place]
        {
            peer.send(frame);
            self.touched_peers.insert(place);
        }
    }

    /// Copies records into a peer's line when they are at hand; else they are read when they are durable.
    fn stream(&mut self, link: Link, range: Range) {
        let Some(place) = self.place_of(link) else { return };
        self.touched_peers.insert(place);
        let Some(mut peer) = self.peers[place].take() else { return };
        let first_at_hand = self.engine.unwritten().next().map(|batch| batch.first());
        let at_hand = first_at_hand.is_some_and(|first| first <= range.after + 1);
        if at_hand && peer.takes_records() {
            for batch in self.engine.unwritten() {
                let (mut from, to) = (batch.first().max(range.after + 1), batch.last().min(range.last));
                while from <= to {
                    self.wire.clear();
                    let last = batch.wire(from, to, WIRE_BYTES, &mut self.wire);
                    let append = self.append_of(&range, from - 1, last);
                    peer.send(|out| put(&append, &self.wire, out));
                    from = last + 1;
                }
            }
        } else {
            peer.send_later(range);
        }
        self.peers[place] = Some(peer);
    }

    /// The message that carries these records.
    fn append_of(&self, range: &Range, after: Version, last: Version) -> Message {
        let hash = self.engine.hash_at_hand(after).unwrap_or_default();
        message_of(range, Position { epoch: self.engine.core().history().at(after), version: after, hash }, last)
    }

    /// Lets the pool read what peers wait for.
    pub(super) fn feed_peers(&mut self) {
        let durable = self.engine.core().durable();
        for peer in self.peers.iter_mut().flatten() {
            if let Some(range) = peer.next_read(durable) {
                let (reader, link) = (self.reader.clone(), peer.link);
                self.pool.run(move || {
                    let mut bytes = Vec::new();
                    let read = reader.position(range.after).and_then(|before| {
                        let last = reader.wire(range.after + 1, range.last, WIRE_BYTES, &mut bytes)?;
                        Ok((before.unwrap_or_default(), bytes, last))
                    });
                    PoolDone::Wire { link, range, read }
                });
            }
        }
    }

    /// Records for a peer have been read.
    pub(super) fn take_wire(
        &mut self,
        link: Link,
        range: &Range,
        read: Result<(Position, Vec<u8>, Version), LogError>,
        now: Now,
    ) -> Result<(), NodeError> {
        let Some(place) = self.place_of(link) else { return Ok(()) };
        match read {
            Ok((before, bytes, last)) if last > range.after => {
                if let Some(peer) = &mut self.peers[place] {
                    peer.was_read(last, |out, range| {
                        put(&message_of(range, before, last), &bytes, out);
                    });
                }
                self.touched_peers.insert(place);
                Ok(())
            }
            Ok(_) => self.lose(place, now),
            Err(error) => {
                ::log::warn!("read records for a peer: {error}");
                self.lose(place, now)
            }
        }
    }

    /// Reads what peers have sent, and lets the core hear it.
    pub(super) fn serve_peers(&mut self, now: Now) -> Result<(), NodeError> {
        for place in std::mem::take(&mut self.touched_peers) {
            let Some(mut peer) = self.peers.get_mut(place).and_then(Option::take) else { continue };
            let served = self.serve_peer(&mut peer, now);
            let is_open = matches!(served, Ok(Flow::Open));
            self.peers[place] = Some(peer);
            match served? {
                Flow::Open => _ = self.touched_peers.insert(place),
                Flow::Closed => self.lose(place, now)?,
            }
            if is_open {
                self.perform_effects(now)?;
            }
        }
        Ok(())
    }

    fn serve_peer(&mut self, peer: &mut Peer, now: Now) -> Result<Flow, NodeError> {
        loop {
            if let Flow::Closed = self.hear(peer, now)? {
                return Ok(Flow::Closed);
            }
            if !peer.readable || matches!(peer.stage, Stage::Connecting) || self.engine.is_behind_its_disk() {
                return Ok(Flow::Open);
            }
            if peer.read(&mut self.room) == Flow::Closed {
                return Ok(Flow::Closed);
            }
        }
    }

    /// Takes whole frames out of what was read.
    fn hear(&mut self, peer: &mut Peer, now: Now) -> Result<Flow, NodeError> {
        if let Stage::Asking(reader) = &mut peer.stage {
            match reader.poll() {
                Ok(http::Event::More) => return Ok(Flow::Open),
                Ok(http::Event::Head(head)) if head.status == 101 => {
                    if let Stage::Asking(reader) = std::mem::replace(&mut peer.stage, Stage::Greeting) {
                        peer.decoder.push(&reader.into_rest());
                    }
                }
                Ok(http::Event::Head(head)) => {
                    ::log::warn!("{:?} answers {} to a peer's call", peer.dialed, head.status);
                    return Ok(Flow::Closed);
                }
                Ok(_) | Err(_) => return Ok(Flow::Closed),
            }
        }
        for _ in 0..FRAMES_AT_ONCE {
            let is_linked = peer.is_linked();
            let frame = match peer.decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Flow::Open),
                Err(error) => {
                    ::log::warn!("a peer at {:?}: {error}", peer.socket.peer_addr());
                    return Ok(Flow::Closed);
                }
            };
            match (frame, is_linked) {
                (Frame::Greeting(greeting), false) => {
                    if let Flow::Closed = self.greeted(peer, &greeting, now)? {
                        return Ok(Flow::Closed);
                    }
                }
                (Frame::Message { message, records }, true) => {
                    if let Err(Malformed(fault)) = self.engine.peer_said(peer.link, message, records, now)? {
                        ::log::warn!("a peer at {:?} sent records that do not fit: {fault:?}", peer.socket.peer_addr());
                        return Ok(Flow::Closed);
                    }
                }
                (Frame::Greeting(_), true) | (Frame::Message { .. }, false) => return Ok(Flow::Closed),
            }
        }
        peer.readable = true;
        Ok(Flow::Open)
    }

    /// The other end has said what it speaks and whose it is.
    fn greeted(&mut self, peer: &mut Peer, greeting: &Greeting, now: Now) -> Result<Flow, NodeError> {
        if let Err(refusal) = greeting_of(self.cluster).check(greeting) {
            ::log::warn!("a peer at {:?} is refused: {refusal}", peer.socket.peer_addr());
            self.refused_peers.insert(peer.dialed.clone().unwrap_or_default(), refusal.to_string());
            return Ok(Flow::Closed);
        }
        if let (None, Some(cluster)) = (self.cluster, greeting.cluster) {
            self.found_cluster(cluster, now)?;
        }
        if peer.dialed.is_some() {
            // The one who dialled answers with what it has learnt.
            let own = greeting_of(self.cluster);
            peer.send(|out| own.encode(out));
        }
        peer.stage = Stage::Linked;
        if let Some(address) = &peer.dialed {
            self.dialer.greeted(address);
            self.refused_peers.remove(address);
        }
        self.engine.tell(Input::Connected { link: peer.link, dialed: peer.dialed.is_some() }, now)?;
        Ok(Flow::Open)
    }

    /// A client has asked to speak as a peer, and was told yes.
    pub(super) fn welcome(&mut self, mut socket: mio::net::TcpStream, rest: &[u8], head: &[u8], now: Now) {
        let place = self.peer_place();
        self.next_link += 1;
        let token = Token(PEERS + place);
        if let Err(error) = self.poll.registry().reregister(&mut socket, token, Interest::READABLE | Interest::WRITABLE)
        {
            ::log::warn!("watch a peer: {error}");
            return;
        }
        let mut peer = Peer::new(socket, self.next_link, None, now.instant);
        peer.send_raw(head);
        let own = greeting_of(self.cluster);
        peer.send(|out| own.encode(out));
        peer.decoder.push(rest);
        self.peers[place] = Some(Box::new(peer));
        self.touched_peers.insert(place);
    }

    fn peer_place(&mut self) -> usize {
        match self.peers.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.peers.push(None);
                self.peers.len() - 1
            }
        }
    }

    /// Dials whoever is due, and closes what has taken too long to begin.
    pub(super) fn dial(&mut self, now: Now) -> Result<(), NodeError> {
        for url in self.engine.core().to_dial().iter().map(|member| member.url.clone()).collect::<Vec<_>>() {
            if url != self.url {
                self.dialer.add(&url, now.instant);
            }
        }
        for address in self.dialer.due(now.instant) {
            self.dial_one(&address, now);
        }
        for place in 0..self.peers.len() {
            if self.peers[place].as_ref().is_some_and(|peer| peer.is_overdue(now.instant)) {
                self.lose(place, now)?;
            }
        }
        if !self.tried && self.dialer.all_tried() {
            self.tried = true;
            self.engine.tell(Input::Tried, now)?;
        }
        Ok(())
    }

    fn dial_one(&mut self, address: &str, now: Now) {
        let linked =
            self.engine.core().peers().iter().any(|peer| peer.connected && peers::address(&peer.member.url) == address);
        if linked {
            return self.dialer.failed(address, true, now.instant);
        }
        let dialled = peers::resolve(address).and_then(|to| {
            let mut socket = mio::net::TcpStream::connect(to)?;
            let place = self.peer_place();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(PEERS + place), interest)?;
            self.next_link += 1;
            self.peers[place] =
                Some(Box::new(Peer::new(socket, self.next_link, Some(address.to_owned()), now.instant)));
            Ok(())
        });
        if let Err(error) = dialled {
            ::log::debug!("dial {address}: {error}");
            self.dialer.failed(address, false, now.instant);
        }
    }

    /// A connection that was dialled stands, or does not.
    pub(super) fn connected(&mut self, place: usize, now: Now) -> Result<(), NodeError> {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return Ok(()) };
        let Stage::Connecting = peer.stage else { return Ok(()) };
        let stands = peer.socket.take_error().is_ok_and(|error| error.is_none()) && peer.socket.peer_addr().is_ok();
        if !stands {
            // Not yet, or never: an error says so, and without one another event comes.
            if !matches!(peer.socket.take_error(), Ok(None)) || peer.socket.peer_addr().is_err() {
                return self.lose(place, now);
            }
            return Ok(());
        }
        if let Err(error) = peer.socket.set_nodelay(true) {
            ::log::debug!("set TCP_NODELAY: {error}");
        }
        let host = peer.dialed.clone().unwrap_or_default();
        let mut request = Vec::new();
        let mut headers = vec![("Host", host.as_str()), ("Connection", "Upgrade"), ("Upgrade", peers::UPGRADE)];
        let bearer = self.tokens.for_peers().map(|token| format!("Bearer {token}"));
        if let Some(bearer) = &bearer {
            headers.push(("Authorization", bearer));
        }
        http::write_request(&mut request, "GET", "/peer", &headers, None);
        peer.send_raw(&request);
        peer.stage = Stage::Asking(http::ResponseReader::new(false));
        self.touched_peers.insert(place);
        Ok(())
    }

    /// A connection is over.
    pub(super) fn lose(&mut self, place: usize, now: Now) -> Result<(), NodeError> {
        let Some(peer) = self.peers.get_mut(place).and_then(Option::take) else { return Ok(()) };
        self.touched_peers.remove(&place);
        if let Some(address) = &peer.dialed {
            self.dialer.failed(address, peer.is_linked(), now.instant);
        }
        if peer.is_linked() {
            self.engine.tell(Input::Closed { link: peer.link }, now)?;
            self.perform_effects(now)?;
        }
        Ok(())
    }

    /// The core has ended a connection: what it still had to say is tried to be sent.
    fn close_link(&mut self, link: Link, why: Closing) {
        let Some(place) = self.place_of(link) else { return };
        ::log::info!("a peer's connection is closed: {why:?}");
        if let Some(mut peer) = self.peers[place].take() {
            // Best effort: the other end sees the end of the connection in any case.
            let _ = peer.write();
            if let Some(address) = &peer.dialed {
                self.dialer.failed(address, why != Closing::Replaced && why != Closing::Oneself, Instant::now());
            }
        }
        self.touched_peers.remove(&place);
    }

    fn close_peers(&mut self, now: Now) -> Result<(), NodeError> {
        for place in 0..self.peers.len() {
            self.lose(place, now)?;
        }
        Ok(())
    }

    /// Writes to peers whatever can be written.
    pub(super) fn deliver_peers(&mut self, now: Now) -> Result<(), NodeError> {
        self.feed_peers();
        let mut again = BTreeSet::new();
        for place in std::mem::take(&mut self.touched_peers) {
            let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) else { continue };
            if peer.write() == Flow::Closed {
                self.lose(place, now)?;
            } else if peer.readable && !matches!(peer.stage, Stage::Connecting) {
                again.insert(place);
            }
        }
        self.touched_peers.extend(again);
        Ok(())
    }

    /// This node belongs to a cluster from now on: it gets its log.
    fn found_cluster(&mut self, cluster: ClusterId, now: Now) -> Result<(), NodeError> {
        assert!(self.cluster.is_none(), "a node changes its cluster never");
        self.dir.set_cluster_id(cluster)?;
        let (writer, sealer): (_, Sealer) = start::open_log(&self.dir, &self.config, cluster)?;
        self.reader = writer.reader();
        self.log_thread.stop();
        self.log_thread = LogThread::start(writer, Arc::clone(&self.waker)).map_err(|source| NodeError::Io {
            op: "start the log thread of",
            path: self.dir.path().to_owned(),
            source,
        })?;
        self.cluster = Some(cluster);
        self.engine.found_cluster(sealer);
        self.engine.tell(Input::Tick, now)?;
        if self.in_background {
            self.prepare_spare();
        }
        Ok(())
    }

    /// Sets aside what is behind a version, then lets the log thread cut it off.
    fn begin_cut(&mut self, to: Version, committed: Version, for_epoch: Epoch, now: Now) -> Result<(), NodeError> {
        let end = self.reader.position(to)?.expect("what stays is durable");
        let last = self.engine.head();
        let order = rescue::Order {
            folder: self.dir.rescue(),
            node: self.dir.meta().name.clone(),
            me: self.dir.meta().node_id,
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
    pub(super) fn log_was_cut(&mut self, end: Position, now: Now) -> Result<(), NodeError> {
        self.rescued += usize::from(!self.engine.is_rolling_back());
        if !self.engine.log_was_cut(end) {
            self.engine.cut_is_done(now)?;
            return Ok(());
        }
        let (dir, config, reader) = (self.dir.clone(), self.config.clone(), self.reader.clone());
        let cluster = self.cluster.expect("a log that was cut has a cluster");
        self.pool
            .run(move || PoolDone::Rebuilt(start::rebuild(&dir, &config, cluster, &reader, end.version).map(Box::new)));
        Ok(())
    }
}

/// What people and operators hear.
impl Node {
    fn note_event(&mut self, event: &crate::replication::Event, now: Now) {
        let core = self.engine.core();
        let (own, me) = (self.dir.meta().name.clone(), core.me());
        let peers = core.peers();
        let name_of = |id: NodeId| match peers.iter().find(|peer| peer.member.id == id) {
            Some(peer) => peer.member.name.clone(),
            None if id == me => own.clone(),
            None => id.to_string(),
        };
        let (name, facts) = events::describe(event, name_of);
        let line = self.events.add(name, facts, &own, now.micros);
        ::log::info!("{line}");
        self.touched.extend(self.streaming.iter().copied());
    }

    /// Takes the operators' requests to the core.
    pub(super) fn ask_core(&mut self, now: Now) -> Result<(), NodeError> {
        for (to, asked) in std::mem::take(&mut self.asked) {
            self.operator_count += 1;
            let request = self.operator_count;
            let input = match asked {
                Operator::Promote { force } => Input::Promote { request, force },
                Operator::Remove { id, force } => Input::RemoveMember { request, id, force },
                Operator::Demote => {
                    self.engine.tell(Input::Demote, now)?;
                    let body = crate::node::routes::role_body(&self.engine);
                    self.answer_elsewhere(to, Ok(crate::node::routes::Handled::Body(body)))?;
                    continue;
                }
                Operator::Prepare { version, operation } => {
                    if self.cluster.is_none() && self.engine.core().is_participant() {
                        self.found_cluster(ClusterId(*uuid::Uuid::now_v7().as_bytes()), now)?;
                        self.close_peers(now)?;
                    }
                    self.engine.prepare(to, operation, version, now)?;
                    continue;
                }
                Operator::Decide { commit } => {
                    self.engine.decide(to, commit, now)?;
                    continue;
                }
                Operator::Change(asked) => {
                    self.changes.push((to, asked, now.instant + self.config.request_timeout));
                    self.engine.tell(Input::Change(asked), now)?;
                    continue;
                }
            };
            self.operators.insert(request, to);
            self.engine.tell(input, now)?;
            self.perform_effects(now)?;
        }
        Ok(())
    }

    /// Callers of the participant calls hear what came of them.
    pub(super) fn answer_participants(&mut self) -> Result<(), NodeError> {
        for (to, answer) in self.engine.take_participant_answers() {
            let handled = match answer {
                Ok(record) => Ok(crate::node::routes::Handled::Body(housekeeping::record_body(&record))),
                Err(problem) => Err(crate::node::routes::RouteError::Problem(problem)),
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    /// Changes of the configuration are answered when they are committed.
    pub(super) fn answer_changes(&mut self, now: Now) -> Result<(), NodeError> {
        for (to, asked, deadline) in std::mem::take(&mut self.changes) {
            let core = self.engine.core();
            let config =
                core.config().filter(|config| asked.applied_to(config) == **config && core.config_is_committed());
            let handled = match config {
                Some(config) => Ok(crate::node::routes::Handled::Body(crate::node::routes::Body::data(config))),
                None if deadline <= now.instant => Err(crate::node::routes::RouteError::Problem(
                    crate::error::Problem::new(
                        crate::error::Code::OutcomeUnknown,
                        "the change is not committed yet: both the old and the new rule hold until it is",
                    )
                    .hint("rig config show"),
                )),
                None => {
                    self.changes.push((to, asked, deadline));
                    continue;
                }
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    fn answer_operator(
        &mut self,
        request: u64,
        result: Result<(), crate::replication::NotPromoted>,
    ) -> Result<(), NodeError> {
        let Some(to) = self.operators.remove(&request) else { return Ok(()) };
        let handled = crate::node::routes::operator_answer(&self.engine, start::wall_clock(), result);
        self.answer_elsewhere(to, handled)
    }
}

/// Appends a frame. A log with more epochs than a message can name cannot speak of itself, and says so here.
fn put(message: &Message, wire: &[u8], out: &mut Vec<u8>) {
    if let Err(error) = peer::encode(message, wire, out) {
        ::log::error!("speak to a peer: {error}");
    }
}

fn greeting_of(cluster: Option<ClusterId>) -> Greeting {
    Greeting { protocol: peer::PROTOCOL, format: u16::from(log::format::FORMAT), cluster }
}

fn message_of(range: &Range, before: Position, last: Version) -> Message {
    let append = crate::replication::Append {
        epoch: range.epoch,
        before,
        last,
        committed: range.committed,
        landmarks: Vec::new(),
    };
    if range.adopt { Message::Records(append) } else { Message::Append(append) }
}
