//! Sockets in, answers out.

use mio::{Interest, Token};

use super::*;
use crate::error::{Code, Problem};
use crate::http::{Expired, Next, Reply};
use crate::limits::{BODIES_BYTES_MAX, FOLLOW_HEARTBEAT, TURN_REQUESTS_MAX};
use crate::node::connection::{Exchange, Flow, Slot};
use crate::node::engine::Applied;
use crate::node::request_id::RequestId;
use crate::node::routes::{self, Handled, RouteError};
use crate::replication::Replication;

/// Above this a stream waits for its client.
const STREAM_BYTES: usize = 512 << 10;
/// Documents of one piece of a list.
const PIECE_DOCUMENTS: usize = 500;
/// Documents that a list with a filter looks at in one turn, so that others get theirs: about a millisecond.
const PIECE_LOOKS: usize = 2_000;

/// Readers that have their turn at once while writes are under way: those go first, because a batch of them goes to the
/// disk at the end of a turn.
const READERS_BESIDE_WRITES: usize = 8;

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
                Ok((socket, _)) => self.admit(socket, now),
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

    fn admit(&mut self, mut socket: mio::net::TcpStream, now: Now) {
        self.metrics.accepted += 1;
        let open = self.connections.len() - self.free.len();
        if open >= CONNECTIONS_MAX || self.draining_until.is_some() {
            self.metrics.refused_connections += 1;
            let problem = if self.draining_until.is_some() {
                Problem::new(Code::Draining, "the node is stopping")
            } else {
                Problem::new(Code::Overloaded, format!("{open} connections are open, that is the limit"))
            };
            let mut out = Vec::new();
            http::Answer::new(&mut out, Reply::CLOSE, problem.status).problem(&problem, &self.request_prefix);
            // Best effort: the client sees the end of the connection in any case.
            drop(io::Write::write(&mut socket, &out));
            return;
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
        self.serial = (self.serial + 1) & 0x7fff_ffff;
        let connection = Some(Box::new(Connection::new(socket, self.serial, now.instant)));
        if index == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[index] = connection;
        }
        self.metrics.connections += 1;
        self.touched.insert(index);
    }

    pub(super) fn close(&mut self, index: usize) {
        if let Some(connection) = self.connections[index].take() {
            let streams = connection.slots.iter();
            self.followers -= streams.filter(|slot| matches!(slot, Slot::Log(stream) if stream.follow)).count();
            self.buffered -= connection.counted;
            self.free.push(index);
            self.streaming.remove(&index);
            self.metrics.connections -= 1;
        }
    }

    /// Reads and takes in whatever the touched connections have sent.
    pub(super) fn serve_touched(&mut self, now: Now) -> Result<(), NodeError> {
        let touched = self.touched.take();
        let mut readers = if self.engine.is_busy() { READERS_BESIDE_WRITES } else { usize::MAX };
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
            if let Some(head) = connection.upgrade.take() {
                self.buffered -= connection.counted;
                self.free.push(index);
                self.streaming.remove(&index);
                self.metrics.connections -= 1;
                let Connection { socket, http, .. } = *connection;
                self.welcome(socket, &http.into_rest(), &head, now);
                continue;
            }
            self.connections[index] = Some(connection);
            match outcome? {
                Flow::Open => self.touched.insert(index),
                Flow::Closed => self.close(index),
            }
        }
        self.touched.give_back(touched);
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
            if connection.read(now.instant) == Flow::Closed {
                return Ok(Flow::Closed);
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
        let exchange = Exchange { reply: Reply::CLOSE, id: self.next_id() };
        let bytes = self.problem(&exchange, problem);
        connection.slots.push_back(Slot::Done(bytes));
        connection.http.finish();
        connection.ending = true;
    }

    fn step(&mut self, connection: &mut Connection, to: ReplyTo, now: Now) -> Step {
        let mut tasks = Vec::new();
        let mut connection_reads = None;
        let step = match connection.http.next(&self.settings, now.instant) {
            Next::More => Step::More,
            Next::End => Step::End,
            Next::Continue => Step::Continue,
            Next::Refuse(problem) => Step::Refused(problem),
            // A body that is too large was refused by its length; everything else is judged when it is whole.
            Next::Head(_) => return self.step(connection, to, now),
            Next::Request(request) => {
                self.request_count += 1;
                connection_reads = Some(matches!(request.method, "GET" | "HEAD"));
                let id = RequestId::of(&request, &self.request_prefix, self.request_count);
                let exchange = Exchange { reply: request.reply(), id };
                let facts = Facts {
                    name: &self.dir.meta().name,
                    cluster: self.cluster,
                    oldest: self.oldest,
                    http: &self.url,
                    up_since: self.begin,
                    draining: self.draining_until.is_some(),
                    blocked_since: self.blocked_since.as_deref(),
                    degraded_since: self.degraded_since.as_deref(),
                    alone: &self.alone,
                    rescued: self.rescued,
                    events: self.events.counts(),
                    refused_peers: &self.refused_peers,
                };
                let mut desk = Desk {
                    engine: &mut self.engine,
                    tokens: &self.tokens,
                    now,
                    request_timeout: self.config.request_timeout,
                    draining: self.draining_until.is_some(),
                    proxied: self.proxy.is_some(),
                    followers: self.followers,
                    facts: &facts,
                    metrics: &self.metrics,
                    tasks: &mut tasks,
                    later: &mut self.later,
                    rescue_dir: &self.rescue_dir,
                };
                Step::Handled(routes::handle(&mut desk, &request, to, exchange), exchange)
            }
        };
        connection.reads = connection_reads.unwrap_or(connection.reads);
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
            Ok(Handled::Upgrade(exchange)) if connection.slots.is_empty() && connection.unsent() == 0 => {
                let mut head = Vec::new();
                http::Answer::new(&mut head, exchange.reply, 101).upgrade(crate::node::peers::UPGRADE);
                connection.upgrade = Some(head);
                connection.ending = true;
                return Ok(());
            }
            Ok(Handled::Upgrade(exchange)) => {
                let problem = Problem::new(Code::BadRequest, "a call comes alone on its connection");
                Slot::Done(self.problem(&exchange, &problem))
            }
            Err(RouteError::Problem(problem)) => Slot::Done(self.problem(exchange, &problem)),
            Err(RouteError::Service(error)) => return Err(error.into()),
        };
        self.followers += usize::from(matches!(&slot, Slot::Log(stream) if stream.follow));
        let slot = match slot {
            Slot::Batch(batch) if batch.lines.is_complete() => Slot::Done(self.batch(&batch)),
            slot => slot,
        };
        connection.slots.push_back(slot);
        connection.ending |= !exchange.reply.keep_alive;
        Ok(())
    }

    /// Hands out the engine's answers and writes whatever can be written.
    pub(super) fn deliver(&mut self, now: Now) -> Result<(), NodeError> {
        let mut answers = std::mem::take(&mut self.answers);
        self.engine.take_answers(&mut answers);
        for answer in answers.drain(..) {
            self.hand_out(answer);
        }
        self.answers = answers;
        // Not only a sync of this disk moves it: so does an acknowledgement, or the word of the primary.
        let committed = self.engine.core().committed();
        if std::mem::replace(&mut self.streamed, committed) != committed {
            self.touched.extend(self.streaming.iter().copied());
        }
        let touched = self.touched.take();
        for (place, index) in touched.iter().copied().enumerate() {
            self.keep_the_disk_busy(place, now)?;
            let Some(mut connection) = self.connections[index].take() else { continue };
            self.advance(&mut connection, index, now);
            let flow = connection.write(now.instant);
            // A socket that has taken everything says nothing more, so a stream goes on by itself.
            let more = (connection.held_back && connection.has_room())
                || connection.has_more_to_drop()
                || (connection.unsent() < STREAM_BYTES && connection.stream_goes_on(self.engine.core().committed()));
            self.connections[index] = Some(connection);
            if flow == Flow::Closed {
                self.close(index);
            } else if more {
                self.touched.insert(index);
            }
        }
        self.touched.give_back(touched);
        Ok(())
    }

    fn hand_out(&mut self, answer: Answer) {
        let index = answer.reply.connection;
        let Some(Some(mut connection)) = self.connections.get_mut(index).map(Option::take) else { return };
        let request = answer.reply.request;
        if connection.slot(request).is_some() {
            self.fill(&mut connection, answer);
            self.touched.insert(index);
        }
        self.connections[index] = Some(connection);
    }

    fn fill(&mut self, connection: &mut Connection, answer: Answer) {
        let request = answer.reply.request;
        match connection.slot(request) {
            Some(Slot::Operation(exchange)) => {
                let exchange = *exchange;
                if connection.is_front(request) {
                    self.operation(&exchange, &answer.outcome, &mut connection.out);
                    connection.pop_front();
                } else {
                    let mut bytes = Vec::new();
                    self.operation(&exchange, &answer.outcome, &mut bytes);
                    if let Some(slot) = connection.slot(request) {
                        *slot = Slot::Done(bytes);
                    }
                }
            }
            Some(Slot::Batch(batch)) => {
                let (id, core) = (batch.exchange.id, self.engine.core());
                batch.lines.put(answer.reply.line as usize, |out| line_json(core, &id, &answer.outcome, out));
                if batch.lines.is_complete()
                    && let Some(slot) = connection.slot(request)
                    && let Slot::Batch(batch) = std::mem::replace(slot, Slot::Done(Vec::new()))
                {
                    *slot = Slot::Done(self.batch(&batch));
                }
            }
            _ => {}
        }
    }

    /// An answer for a request that was handled elsewhere.
    pub(super) fn answer_elsewhere(
        &mut self,
        to: ReplyTo,
        handled: Result<Handled, RouteError>,
    ) -> Result<(), NodeError> {
        let Some(Some(mut connection)) = self.connections.get_mut(to.connection).map(Option::take) else {
            return Ok(());
        };
        if let Some(Slot::Elsewhere(exchange)) = connection.slot(to.request) {
            let exchange = *exchange;
            let slot = match handled {
                Ok(Handled::Slot(slot)) => slot,
                Ok(Handled::Body(body)) => Slot::Done(self.body(&exchange, &body)),
                Ok(Handled::Upgrade(_)) => unreachable!("only a request itself can become a peer's call"),
                Err(RouteError::Problem(problem)) => Slot::Done(self.problem(&exchange, &problem)),
                Err(RouteError::Service(error)) => return Err(error.into()),
            };
            if let Some(place) = connection.slot(to.request) {
                *place = slot;
            }
            self.touched.insert(to.connection);
        }
        self.connections[to.connection] = Some(connection);
        Ok(())
    }

    pub(super) fn exchange_of(&mut self, to: ReplyTo) -> Option<Exchange> {
        match self.connections.get_mut(to.connection)?.as_mut()?.slot(to.request)? {
            Slot::Elsewhere(exchange) => Some(*exchange),
            _ => None,
        }
    }

    /// Moves finished answers out, and streams forward as far as their client takes them.
    fn advance(&mut self, connection: &mut Connection, index: usize, now: Now) {
        loop {
            connection.settle();
            let ended = match connection.slots.front_mut() {
                Some(Slot::Log(_)) => self.advance_log(connection, index, now),
                Some(Slot::Documents(_)) => self.advance_documents(connection),
                Some(Slot::Events(_)) => self.advance_events(connection, now),
                _ => {
                    self.streaming.remove(&index);
                    return;
                }
            };
            if !ended {
                self.streaming.insert(index);
                return;
            }
            connection.pop_front();
        }
    }

    fn advance_log(&mut self, connection: &mut Connection, index: usize, now: Now) -> bool {
        let request = connection.next_request() - connection.slots.len() as u64;
        let (committed, common) = (self.engine.core().committed(), self.common_lines().to_vec());
        let Some(Slot::Log(stream)) = connection.slots.front_mut() else { return true };
        let begun = *stream.begun.get_or_insert_with(|| {
            let content_type = if stream.sse { "text/event-stream" } else { "application/x-ndjson" };
            let mut answer = http::Answer::new(&mut connection.out, stream.exchange.reply, 200);
            answer.lines(&common).header("X-Request-Id", &stream.exchange.id);
            answer.stream(content_type)
        });
        if stream.exchange.reply.head_only || (stream.is_over(committed) && !stream.busy) {
            begun.end(&mut connection.out);
            self.followers -= usize::from(stream.follow);
            connection.ending |= !begun.keep_alive;
            return true;
        }
        if stream.follow && now.instant.duration_since(stream.heard) >= FOLLOW_HEARTBEAT {
            stream.heard = now.instant;
            let mut beat = Vec::new();
            if stream.sse {
                http::sse_comment(&mut beat);
            } else {
                beat = format!("{{\"type\":\"heartbeat\",\"head\":{committed}}}\n").into_bytes();
            }
            begun.piece(&mut connection.out, &beat);
        }
        let wanted = stream.goes_on(committed);
        let order = wanted.then(|| stream.order(committed));
        if let Some(order) = order
            && connection.unsent() < STREAM_BYTES
        {
            if let Some(Slot::Log(stream)) = connection.slots.front_mut() {
                stream.busy = true;
            }
            let reader = self.reader.clone();
            let to = ReplyTo { connection: index, request, line: 0 };
            self.pool.run(move || PoolDone::Piece { to, piece: crate::node::streams::read(&reader, &order) });
        }
        false
    }

    fn advance_events(&mut self, connection: &mut Connection, now: Now) -> bool {
        let common = self.common_lines().to_vec();
        let Some(Slot::Events(stream)) = connection.slots.front_mut() else { return true };
        let begun = *stream.begun.get_or_insert_with(|| {
            let mut answer = http::Answer::new(&mut connection.out, stream.exchange.reply, 200);
            answer.lines(&common).header("X-Request-Id", &stream.exchange.id);
            answer.stream("application/x-ndjson")
        });
        let mut text = String::new();
        for (seq, line) in self.events.after(stream.after) {
            stream.after = seq;
            text.push_str(line);
            text.push('\n');
        }
        if stream.follow && text.is_empty() && now.instant.duration_since(stream.heard) >= FOLLOW_HEARTBEAT {
            text.push_str("{\"type\":\"heartbeat\"}\n");
        }
        if !text.is_empty() {
            stream.heard = now.instant;
        }
        let over = !stream.follow || stream.exchange.reply.head_only;
        if !text.is_empty() {
            begun.piece(&mut connection.out, text.as_bytes());
        }
        if over {
            begun.end(&mut connection.out);
            connection.ending |= !begun.keep_alive;
        }
        over
    }

    /// A piece of the log for a stream.
    pub(super) fn take_piece(&mut self, to: ReplyTo, piece: Result<Piece, LogError>, now: Now) {
        let Some(Some(connection)) = self.connections.get_mut(to.connection) else { return };
        let Some(Slot::Log(stream)) = connection.slot(to.request) else { return };
        stream.busy = false;
        match piece {
            Ok(piece) => {
                stream.next = piece.next;
                stream.left = stream.left.saturating_sub(piece.records);
                if piece.records > 0 {
                    stream.heard = now.instant;
                }
                if let Some(begun) = stream.begun {
                    begun.piece(&mut connection.out, &piece.bytes);
                }
                self.touched.insert(to.connection);
            }
            Err(error) => {
                // Without its end the client sees that the stream was cut.
                ::log::error!("read the log for a client: {error}");
                self.close(to.connection);
            }
        }
    }

    fn advance_documents(&mut self, connection: &mut Connection) -> bool {
        let Some(Slot::Documents(stream)) = connection.slots.front() else { return true };
        let common = self.lines_at(stream.listing.version()).to_vec();
        loop {
            let unsent = connection.unsent();
            let Some(Slot::Documents(stream)) = connection.slots.front_mut() else { return true };
            let begun = *stream.begun.get_or_insert_with(|| {
                let mut answer = http::Answer::new(&mut connection.out, stream.exchange.reply, 200);
                answer.lines(&common).header("X-Request-Id", &stream.exchange.id);
                answer.stream("application/json")
            });
            if stream.exchange.reply.head_only {
                return true;
            }
            if unsent >= STREAM_BYTES {
                return false;
            }
            let filters: Vec<(&str, &str)> = stream.filters.iter().map(|(name, value)| (&**name, &**value)).collect();
            let after = stream.after.as_deref();
            let page = stream.listing.page_within(&filters, after, PIECE_DOCUMENTS, PIECE_LOOKS);
            let mut text = String::new();
            for (index, found) in page.items.iter().enumerate() {
                text.push_str(match (stream.first, index) {
                    (true, 0) => "{\"data\":{\"items\":[",
                    _ => ",",
                });
                text.push_str(&found.json());
            }
            stream.first &= page.items.is_empty();
            let over = page.next.is_none();
            stream.after = page.next;
            if over && stream.first {
                text.push_str("{\"data\":{\"items\":[");
            }
            if over {
                text.push_str(&format!("],\"next\":null,\"version\":{}}}}}", page.version));
            }
            begun.piece(&mut connection.out, text.as_bytes());
            if over {
                begun.end(&mut connection.out);
                connection.ending |= !begun.keep_alive;
                return true;
            }
            if page.items.len() < PIECE_DOCUMENTS {
                return false;
            }
        }
    }

    /// Deadlines of connections.
    pub(super) fn expire_connections(&mut self, now: Now) {
        for index in 0..self.connections.len() {
            let Some(connection) = self.connections[index].as_mut() else { continue };
            let owes = !connection.slots.is_empty() || connection.unsent() > 0;
            if connection.is_stuck(now.instant) || connection.has_lingered(now.instant) {
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
                Some(Expired::Close) => self.close(index),
                Some(Expired::Refuse(problem)) => {
                    connection.ending = true;
                    let exchange = Exchange { reply: Reply::CLOSE, id: self.next_id() };
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
                    .all(|slot| matches!(slot, Slot::Log(_) | Slot::Documents(_) | Slot::Events(_)));
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

/// Bytes of answers.
impl Node {
    /// `Rig-Node` and its like.
    fn common_lines(&mut self) -> &[u8] {
        let applied = self.engine.core().applied();
        self.lines_at(applied)
    }

    fn next_id(&mut self) -> RequestId {
        self.request_count += 1;
        RequestId::own(&self.request_prefix, self.request_count)
    }

    fn problem(&mut self, exchange: &Exchange, problem: &Problem) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        self.problem_into(exchange, problem, &mut out);
        out
    }

    fn problem_into(&mut self, exchange: &Exchange, problem: &Problem, out: &mut Vec<u8>) {
        self.metrics.answered(problem.status);
        let mut answer = http::Answer::new(out, exchange.reply, problem.status);
        answer.lines(self.common_lines()).header("X-Request-Id", &exchange.id);
        answer.problem(problem, &exchange.id);
    }

    fn operation(&mut self, exchange: &Exchange, outcome: &Result<Applied, Box<Problem>>, out: &mut Vec<u8>) {
        match outcome {
            Ok(applied) if applied.status < 400 => {
                self.metrics.answered(200);
                self.common_lines();
                let core = self.engine.core();
                let (durability, acks) = (core.durability(), core.holders(applied.version));
                let mut answer = http::Answer::new(out, exchange.reply, 200);
                answer.lines(&self.common).header("X-Request-Id", &exchange.id);
                answer.body_with("application/json", |out| {
                    out.push(b'{');
                    routes::operation_json(applied, durability, acks, out);
                });
            }
            Ok(applied) => self.problem_into(exchange, &routes::problem_of(applied), out),
            Err(problem) => self.problem_into(exchange, problem, out),
        }
    }

    fn batch(&mut self, batch: &crate::node::connection::Batch) -> Vec<u8> {
        self.metrics.answered(200);
        let mut out = Vec::with_capacity(batch.lines.len() + 512);
        let mut answer = http::Answer::new(&mut out, batch.exchange.reply, 200);
        answer.lines(self.common_lines()).header("X-Request-Id", &batch.exchange.id);
        answer.body_with("application/x-ndjson", |out| batch.lines.write(out));
        out
    }
}

/// A line of the answer to a batch.
fn line_json(core: &Replication, id: &str, outcome: &Result<Applied, Box<Problem>>, out: &mut Vec<u8>) {
    match outcome {
        Ok(applied) if applied.status < 400 => {
            out.extend_from_slice(b"{\"status\":200,");
            routes::operation_json(applied, core.durability(), core.holders(applied.version), out);
        }
        Ok(applied) => http::problem_json(&routes::problem_of(applied), id, out),
        Err(problem) => http::problem_json(problem, id, out),
    }
}
