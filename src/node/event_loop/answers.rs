//! Answers: who they are for, and their bytes.

use super::pieces::STREAM_BYTES;
use super::*;
use crate::error::Problem;
use crate::node::connection::{Exchange, Flow, Slot};
use crate::node::engine::Applied;
use crate::node::request_id::RequestId;
use crate::node::routes::{self, Handled, RouteError};
use crate::replication::Replication;

impl Node {
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
                Ok(Handled::Slot(slot)) => {
                    self.count_stream(&slot);
                    slot
                }
                Ok(Handled::Body(body)) => Slot::Done(self.body(&exchange, &body)),
                Ok(Handled::Upgrade(..)) => {
                    unreachable!("only a request itself can become a peer's call")
                }
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

    /// A stream is an answer as soon as it begins.
    pub(super) fn count_stream(&mut self, slot: &Slot) {
        let exchange = match slot {
            Slot::Log(stream) => &stream.exchange,
            Slot::Documents(stream) => &stream.exchange,
            Slot::Events(stream) => &stream.exchange,
            Slot::Backup(stream) => &stream.exchange,
            Slot::Done(_) | Slot::Operation(_) | Slot::Batch(_) | Slot::Elsewhere(_) => return,
        };
        self.metrics.answered(exchange.route, 200);
    }

    pub(super) fn exchange_of(&mut self, to: ReplyTo) -> Option<Exchange> {
        match self.connections.get_mut(to.connection)?.as_mut()?.slot(to.request)? {
            Slot::Elsewhere(exchange) => Some(*exchange),
            _ => None,
        }
    }
}

/// Bytes of answers.
impl Node {
    /// `Rig-Node` and its like.
    pub(super) fn common_lines(&mut self) -> &[u8] {
        let applied = self.engine.core().applied();
        self.lines_at(applied)
    }

    pub(super) fn next_id(&mut self) -> RequestId {
        self.request_count += 1;
        RequestId::own(&self.request_prefix, self.request_count)
    }

    pub(super) fn problem(&mut self, exchange: &Exchange, problem: &Problem) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        self.problem_into(exchange, problem, &mut out);
        out
    }

    fn problem_into(&mut self, exchange: &Exchange, problem: &Problem, out: &mut Vec<u8>) {
        self.metrics.answered(exchange.route, problem.status);
        let (id, status, code) = (&*exchange.id, problem.status, &problem.code);
        let level = if matches!(status, 500 | 504) { ::log::Level::Warn } else { ::log::Level::Debug };
        ::log::log!(level, "request {id} is answered {status} {code}: {}", problem.detail);
        let mut answer = http::Answer::new(out, exchange.reply, problem.status);
        answer.lines(self.common_lines()).header("X-Request-Id", &exchange.id);
        answer.problem(problem, &exchange.id);
    }

    fn operation(&mut self, exchange: &Exchange, outcome: &Result<Applied, Box<Problem>>, out: &mut Vec<u8>) {
        match outcome {
            Ok(applied) if applied.status < 400 => {
                self.metrics.answered(exchange.route, 200);
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

    pub(super) fn batch(&mut self, batch: &crate::node::connection::Batch) -> Vec<u8> {
        self.metrics.answered(batch.exchange.route, 200);
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
