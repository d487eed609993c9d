//! Connections: who is let in, what they send, when they end.

use mio::{Interest, Token};

use super::*;
use crate::error::{Code, Problem};
use crate::http::{Expired, Next, Reply};
use crate::limits::{BODIES_BYTES_MAX, TURN_REQUESTS_MAX};
use crate::net::{self, Stream};
use crate::node::admission::Client;
use crate::node::connection::{Exchange, Flow, Slot};
use crate::node::request_id::RequestId;
use crate::node::routes::{self, Handled, Route, RouteError};

/// Readers that have their turn while writes are under way: so many for each batch that goes to the disk, when there is
/// little else to do; and whatever the disk does, so many in [`READERS_REST`].
const READERS_BESIDE_WRITES: usize = 12;
const READERS_REST: Duration = Duration::from_millis(1);
/// A replica hears of writes when their records come: more are on their way.
const WRITES_GO_ON: Duration = Duration::from_millis(5);

/// What a node is told that calls as a peer and has not shown who it is.
const NO_CERTIFICATE: &str = "it shows no certificate of the cluster's CA";

/// What one step over a connection's bytes came to, free of borrows.
enum Step {
    Handled(Result<Handled, RouteError>, Exchange),
    Refused(Problem),
    Continue,
    More,
    End,
}

impl Node {
    pub(super) fn accept(&mut self, now: Now) {
        self.accept_again = false;
        loop {
            match self.listener.accept() {
                Ok((socket, from)) => self.admit(socket, from.ip().into(), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors, most likely: those who wait are taken when there is one again.
                    ::log::warn!("accept a connection: {error}");
                    self.accept_again = true;
                    return;
                }
            }
        }
    }

    fn admit(&mut self, mut socket: mio::net::TcpStream, client: Client, now: Now) {
        self.metrics.accepted += 1;
        if self.draining_until.is_some() {
            return self.turn_away(&mut socket, &Problem::new(Code::Draining, "the node is stopping"));
        }
        let refusal = self.admission.refusal(client);
        if let Some(problem) = &refusal {
            if self.admission.is_to_be_told(now.instant) {
                ::log::warn!("a connection of {client} is only heard: {}", problem.detail);
            }
            self.make_way();
        }
        if let Err(error) = socket.set_nodelay(true) {
            ::log::debug!("set TCP_NODELAY: {error}");
        }
        let index = self.free.pop().unwrap_or(self.connections.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(index), interest) {
            ::log::warn!("watch a connection: {error}");
            self.free.push(index);
            return;
        }
        let stream = match &self.tls {
            None => Ok(Stream::Plain(socket)),
            Some(tls) => tls.accept(socket),
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(fault) => {
                ::log::warn!("accept a connection: {fault}");
                self.free.push(index);
                return;
            }
        };
        self.serial = (self.serial + 1) & 0x7fff_ffff;
        match &refusal {
            None => self.admission.enter(client),
            Some(_) => self.admission.hear(index),
        }
        let connection = Some(Box::new(Connection::new(stream, client, refusal, self.serial, now.instant)));
        if index == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[index] = connection;
        }
        self.metrics.connections += 1;
        self.touched.insert(index);
    }

    /// Tells somebody no who has not said a word.
    fn turn_away(&mut self, socket: &mut mio::net::TcpStream, problem: &Problem) {
        self.metrics.refused_connections += 1;
        // Without a handshake it could not understand.
        if self.tls.is_none() {
            let mut out = Vec::new();
            http::Answer::new(&mut out, Reply::CLOSE, problem.status).problem(problem, &self.request_prefix);
            // Best effort: the client sees the end of the connection in any case.
            drop(io::Write::write(socket, &out));
        }
    }

    /// Whoever is heard longest has had its time, if there is no place for another one.
    fn make_way(&mut self) {
        let Some(eldest) = self.admission.eldest() else { return };
        if let Some(mut connection) = self.connections[eldest].take() {
            if let (Some(problem), false) = (&connection.refusal, connection.ending) {
                self.turn_away(connection.socket.socket_mut(), problem);
            }
            self.connections[eldest] = Some(connection);
        }
        self.close(eldest);
    }

    pub(super) fn close(&mut self, index: usize) {
        if let Some(connection) = self.connections[index].take() {
            let streams = connection.slots.iter();
            self.followers -= streams.filter(|slot| matches!(slot, Slot::Log(stream) if stream.follow)).count();
            self.forget(&connection, index);
        }
    }

    /// Its place is free.
    fn forget(&mut self, connection: &Connection, index: usize) {
        self.admission.leave(connection.client, index, connection.refusal.is_some());
        self.buffered -= connection.counted;
        self.free.push(index);
        self.streaming.remove(&index);
        self.metrics.connections -= 1;
    }

    /// Reads and takes in whatever the touched connections have sent.
    pub(super) fn serve_touched(&mut self, now: Now) -> Result<(), NodeError> {
        let touched = self.touched.take();
        let beside_writes = self.engine.is_busy() || now.instant < self.wrote_at + WRITES_GO_ON;
        let readers_max = match beside_writes {
            true if self.readers_rest_until > now.instant => 0,
            true => READERS_BESIDE_WRITES,
            false => usize::MAX,
        };
        let mut readers = readers_max;
        for (place, index) in touched.iter().copied().enumerate() {
            self.keep_the_disk_busy(place, now)?;
            let Some(mut connection) = self.connections[index].take() else { continue };
            // A follower is no reader that waits: its records are on their way.
            if connection.reads && connection.slots.is_empty() {
                if readers == 0 {
                    self.connections[index] = Some(connection);
                    self.postponed.push(index);
                    continue;
                }
                readers -= 1;
            }
            let outcome = self.serve(&mut connection, index, now);
            if let Some((head, record)) = connection.upgrade.take() {
                self.forget(&connection, index);
                let Connection { socket, http, shown, .. } = *connection;
                self.welcome(socket, &http.into_rest(), &head, (shown, record), now);
                continue;
            }
            self.connections[index] = Some(connection);
            match outcome? {
                Flow::Open | Flow::NotTls => self.touched.insert(index),
                Flow::Closed => self.close(index),
            }
        }
        self.touched.give_back(touched);
        if beside_writes && readers < readers_max {
            self.readers_rest_until = now.instant + READERS_REST;
        }
        Ok(())
    }

    fn serve(&mut self, connection: &mut Connection, index: usize, now: Now) -> Result<Flow, NodeError> {
        let mut left = TURN_REQUESTS_MAX;
        loop {
            while connection.has_room() && left > 0 {
                let to = ReplyTo { connection: index, request: connection.next_request(), line: 0 };
                match self.step(connection, to, now) {
                    Step::More => break,
                    Step::End => connection.ending = true,
                    Step::Continue => {
                        let mut bytes = Vec::new();
                        http::write_continue(&mut bytes);
                        connection.slots.push_back(Slot::Done(bytes));
                    }
                    Step::Refused(problem) => self.refuse(connection, &problem),
                    Step::Handled(handled, exchange) => self.take_in(connection, handled, &exchange)?,
                }
                left -= 1;
            }
            self.count(connection);
            connection.held_back = (left == 0 || !connection.has_room()) && !connection.ending;
            if !connection.readable || connection.held_back || connection.ending {
                return Ok(Flow::Open);
            }
            let held = connection.counted;
            match connection.read(now.instant) {
                Flow::Open => {}
                Flow::Closed => return Ok(Flow::Closed),
                Flow::NotTls => {
                    let problem = Problem::new(Code::BadRequest, "this port speaks TLS, and what came is not TLS");
                    self.refuse(connection, &problem.hint("use https://"));
                }
            }
            self.count(connection);
            let has_grown = connection.counted > held.max(http::READ_AHEAD_BYTES);
            if has_grown && self.buffered > BODIES_BYTES_MAX {
                let problem = Problem::new(Code::Overloaded, "the bodies that are being received are at their limit");
                self.refuse(connection, &problem.hint("send again after Retry-After"));
            }
        }
    }

    /// Brings the sum over all connections up to date.
    fn count(&mut self, connection: &mut Connection) {
        let held = connection.http.memory();
        self.buffered = self.buffered - connection.counted + held;
        connection.counted = held;
    }

    /// Answers with the problem and takes nothing more from this client.
    fn refuse(&mut self, connection: &mut Connection, problem: &Problem) {
        let exchange = Exchange { reply: Reply::CLOSE, id: self.next_id(), route: Route::OTHER };
        let bytes = self.problem(&exchange, problem);
        connection.slots.push_back(Slot::Done(bytes));
        connection.http.finish();
        connection.ending = true;
    }

    fn step(&mut self, connection: &mut Connection, to: ReplyTo, now: Now) -> Step {
        let mut tasks = Vec::new();
        let (mut connection_reads, mut shown) = (None, connection.shown);
        let step = match connection.http.next(&self.settings, now.instant) {
            Next::More => Step::More,
            Next::End => Step::End,
            Next::Continue => Step::Continue,
            Next::Refuse(problem) => Step::Refused(problem),
            // A body that is too large was refused by its length; everything else is judged when it is whole.
            Next::Head(_) => return self.step(connection, to, now),
            Next::Request(request) => {
                if let Some(problem) = connection.refusal.as_ref().filter(|_| !routes::is_always_answered(&request)) {
                    self.metrics.refused_connections += 1;
                    return Step::Refused(problem.clone());
                }
                self.request_count += 1;
                connection_reads = Some(matches!(request.method, "GET" | "HEAD"));
                let id = RequestId::of(&request, &self.request_prefix, self.request_count);
                let reply = request.reply();
                let reply = if connection.refusal.is_some() { reply.closing() } else { reply };
                let exchange = Exchange { reply, id, route: Route::of(request.path) };
                // Nothing else tells since when.
                if request.path == "/status" {
                    self.note_since(now);
                }
                let facts = Facts {
                    name: &self.dir.meta().name,
                    cluster: self.cluster,
                    oldest: self.reader.oldest(),
                    log: &self.reader,
                    http: &self.url,
                    up_since: self.begin,
                    draining: self.draining_until.is_some(),
                    blocked_since: self.blocked_since.as_deref(),
                    degraded_since: self.degraded_since.as_deref(),
                    alone: &self.alone,
                    rescued: self.rescued,
                    taking: self.taking.progress(),
                    events: self.events.counts(),
                    refused_peers: &self.refused_peers,
                    others: &self.others,
                    scrub: &self.scrub,
                    hook: self.events.hook(),
                    watch: &self.watch,
                    coordinator: self.coordinating.as_ref().map(coordinating::Coordinating::view),
                };
                let mut desk = Desk {
                    engine: &mut self.engine,
                    tokens: &self.tokens,
                    shown: None,
                    client: connection.client,
                    now,
                    request_timeout: self.config.request_timeout,
                    draining: self.draining_until.is_some(),
                    proxied: self.proxy.is_some(),
                    followers: self.followers,
                    facts: &facts,
                    metrics: &self.metrics,
                    tasks: &mut tasks,
                    later: &mut self.later,
                    dir: &self.dir,
                };
                let handled = routes::handle(&mut desk, &request, to, exchange);
                shown = desk.shown;
                Step::Handled(handled, exchange)
            }
        };
        connection.reads = connection_reads.unwrap_or(connection.reads);
        connection.shown = shown;
        for (to, task) in tasks {
            if let Task::Operator(asked) = task {
                self.asked.push((to, asked));
            } else {
                self.run_task(to, task);
            }
        }
        step
    }

    fn take_in(
        &mut self,
        connection: &mut Connection,
        handled: Result<Handled, RouteError>,
        exchange: &Exchange,
    ) -> Result<(), NodeError> {
        let slot = match handled {
            Ok(Handled::Slot(slot)) => slot,
            Ok(Handled::Body(body)) => Slot::Done(self.body(exchange, &body)),
            Ok(Handled::Upgrade(exchange, _)) if self.must_show_certificate(connection) => {
                ::log::warn!("a peer at {:?} is refused: {NO_CERTIFICATE}", connection.socket.socket().peer_addr());
                let problem = Problem::new(Code::Auth, NO_CERTIFICATE).hint("give it --tls-cert and --tls-key");
                Slot::Done(self.problem(&exchange, &problem))
            }
            Ok(Handled::Upgrade(exchange, record)) if connection.slots.is_empty() && connection.unsent() == 0 => {
                let mut head = Vec::new();
                let mut answer = http::Answer::new(&mut head, exchange.reply, 101);
                answer.header(others::FIELD, self.others.own().as_str());
                answer.upgrade(crate::node::peers::UPGRADE);
                connection.upgrade = Some((head, record));
                connection.ending = true;
                return Ok(());
            }
            Ok(Handled::Upgrade(exchange, _)) => {
                let problem = Problem::new(Code::BadRequest, "a call comes alone on its connection");
                Slot::Done(self.problem(&exchange, &problem))
            }
            Err(RouteError::Problem(problem)) => Slot::Done(self.problem(exchange, &problem)),
            Err(RouteError::Service(error)) => return Err(error.into()),
        };
        self.count_stream(&slot);
        self.followers += usize::from(matches!(&slot, Slot::Log(stream) if stream.follow));
        let slot = match slot {
            Slot::Batch(batch) if batch.lines.is_complete() => Slot::Done(self.batch(&batch)),
            slot => slot,
        };
        connection.slots.push_back(slot);
        connection.ending |= !exchange.reply.keep_alive;
        Ok(())
    }

    fn must_show_certificate(&self, connection: &Connection) -> bool {
        let asks = self.tls.as_ref().is_some_and(net::Identity::asks_for_certificates);
        asks && !connection.socket.has_shown_certificate()
    }

    /// Deadlines of connections.
    pub(super) fn expire_connections(&mut self, now: Now) {
        for index in 0..self.connections.len() {
            let Some(connection) = self.connections[index].as_mut() else { continue };
            let owes = !connection.slots.is_empty() || connection.unsent() > 0;
            let is_late = connection.has_lingered(now.instant) || connection.shakes_hands_for_too_long(now.instant);
            if connection.is_stuck(now.instant) || is_late {
                self.close(index);
                continue;
            }
            if owes || !connection.has_room() {
                connection.http.restart_clock(now.instant);
                if self.streaming.contains(&index) {
                    self.touched.insert(index);
                }
                continue;
            }
            match connection.http.expired(now.instant) {
                None => {}
                Some(Expired::Close) => {
                    // Best effort: that it ends is seen in any case.
                    let _ = connection.socket.end();
                    self.close(index);
                }
                Some(Expired::Refuse(problem)) => {
                    connection.ending = true;
                    let exchange = Exchange { reply: Reply::CLOSE, id: self.next_id(), route: Route::OTHER };
                    let bytes = self.problem(&exchange, &problem);
                    if let Some(connection) = self.connections[index].as_mut() {
                        connection.slots.push_back(Slot::Done(bytes));
                    }
                    self.touched.insert(index);
                }
            }
        }
    }

    /// While the node stops: who has nothing open goes.
    pub(super) fn close_idle(&mut self) {
        for index in 0..self.connections.len() {
            if let Some(connection) = self.connections[index].as_mut() {
                connection.ending = true;
                let streams_only = connection
                    .slots
                    .iter()
                    .all(|slot| matches!(slot, Slot::Log(_) | Slot::Documents(_) | Slot::Events(_) | Slot::Backup(_)));
                if connection.unsent() == 0 && streams_only {
                    self.close(index);
                }
            }
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.connections.iter().flatten().any(|connection| connection.unsent() > 0 || !connection.slots.is_empty())
    }
}
