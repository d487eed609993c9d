//! Answers that go out in pieces, as far as their client takes them: the log, the events, lists of documents.

use super::*;
use crate::limits::FOLLOW_HEARTBEAT;
use crate::node::connection::Slot;
use crate::node::objects::objects;

/// Above this a stream waits for its client.
pub(super) const STREAM_BYTES: usize = 512 << 10;
/// Documents of one piece of a list.
const PIECE_DOCUMENTS: usize = 500;
/// Documents that a list with a filter looks at in one turn, so that others get theirs: about a millisecond.
const PIECE_LOOKS: usize = 2_000;

impl Node {
    /// Moves finished answers out, and streams forward as far as their client takes them.
    pub(super) fn advance(&mut self, connection: &mut Connection, index: usize, now: Now) {
        loop {
            connection.settle();
            let ended = match connection.slots.front_mut() {
                Some(Slot::Log(_)) => self.advance_log(connection, index, now),
                Some(Slot::Documents(_)) => self.advance_documents(connection),
                Some(Slot::Events(_)) => self.advance_events(connection, now),
                Some(Slot::Backup(_)) => self.advance_backup(connection, index),
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
        let is_new = stream.begun.is_none();
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
        if is_new {
            let own = &self.dir.meta().name;
            text.push_str(&self.events.exists(&objects(&self.engine, own), own, now.micros));
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
}
