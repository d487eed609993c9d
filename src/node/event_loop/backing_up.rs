//! `GET /backup`: an archive for a client, while the node serves.
//!
//! ```text
//!   asked ─► pool: snapshot read back, files opened ─► slot of the connection ─► pool: next piece ─► out
//!                                                         ▲                                          │
//!                                                         └───────── as far as the client takes it ◄─┘
//! ```
//!
//! # Invariants
//! 1. One archive at a time; while it is under way nothing is compacted.
//! 2. An archive that cannot be read on is cut off without its end.

use super::pieces::STREAM_BYTES;
use super::*;
use crate::error::{Code, Problem};
use crate::node::backup::{Archive, BackupError, Hold};
use crate::node::connection::{BackupStream, Slot};
use crate::node::routes::{Handled, RouteError};

/// What the pool has done for it.
pub(super) enum Done {
    /// It can go out.
    Begun(ReplyTo, Result<Box<Archive>, BackupError>),
    /// The next piece, or that there is none.
    Piece(ReplyTo, Box<Archive>, Result<Option<Vec<u8>>, BackupError>),
}

impl Node {
    /// Whether an archive is under way.
    pub(super) fn is_backing_up(&self) -> bool {
        Arc::strong_count(&self.backing_up) > 1
    }

    pub(super) fn begin_backup(&mut self, to: ReplyTo, since: Option<Version>) -> Result<(), NodeError> {
        let committed = self.engine.core().committed();
        let problem = if self.is_backing_up() || self.compaction.is_under_way() {
            Some(Problem::new(Code::ResourceBusy, "another backup or a compaction is under way").hint("try again"))
        } else if self.cluster.is_none() || committed == 0 {
            Some(Problem::new(Code::NotFound, "nothing is committed yet"))
        } else {
            None
        };
        if let Some(problem) = problem {
            return self.answer_elsewhere(to, Err(RouteError::Problem(problem)));
        }
        let (dir, reader, hold) = (self.dir.clone(), self.reader.clone(), Hold::Node(Arc::clone(&self.backing_up)));
        self.pool.run(move || {
            let begun = Archive::begin(&dir, reader, since, committed, start::wall_clock(), hold);
            PoolDone::Backup(Done::Begun(to, begun.map(Box::new)))
        });
        Ok(())
    }

    pub(super) fn go_on_with_backup(&mut self, done: Done) -> Result<(), NodeError> {
        match done {
            Done::Begun(to, Ok(archive)) => {
                let Some(exchange) = self.exchange_of(to) else { return Ok(()) };
                let stream = BackupStream { exchange, archive: Some(archive), begun: None, is_over: false };
                self.answer_elsewhere(to, Ok(Handled::Slot(Slot::Backup(Box::new(stream)))))
            }
            Done::Begun(to, Err(error)) => self.answer_elsewhere(to, Err(RouteError::Problem(error.problem()))),
            Done::Piece(to, archive, piece) => {
                self.take_backup(to, archive, piece);
                Ok(())
            }
        }
    }

    fn take_backup(&mut self, to: ReplyTo, archive: Box<Archive>, piece: Result<Option<Vec<u8>>, BackupError>) {
        let Some(Some(connection)) = self.connections.get_mut(to.connection) else { return };
        let Some(Slot::Backup(stream)) = connection.slot(to.request) else { return };
        match piece {
            Ok(piece) => {
                stream.is_over = piece.is_none();
                stream.archive = Some(archive);
                if let (Some(begun), Some(bytes)) = (stream.begun, piece) {
                    begun.piece(&mut connection.out, &bytes);
                }
                self.touched.insert(to.connection);
            }
            Err(error) => {
                // Without its end the client sees that it was cut.
                ::log::error!("back up for a client: {error}");
                self.close(to.connection);
            }
        }
    }

    /// Asks for the next piece when the client has taken most of the last; whether it has all.
    pub(super) fn advance_backup(&mut self, connection: &mut Connection, index: usize) -> bool {
        let request = connection.next_request() - connection.slots.len() as u64;
        let common = self.common_lines().to_vec();
        let unsent = connection.unsent();
        let Some(Slot::Backup(stream)) = connection.slots.front_mut() else { return true };
        let begun = *stream.begun.get_or_insert_with(|| {
            let mut answer = http::Answer::new(&mut connection.out, stream.exchange.reply, 200);
            answer.lines(&common).header("X-Request-Id", &stream.exchange.id);
            answer.stream("application/octet-stream")
        });
        if stream.is_over {
            begun.end(&mut connection.out);
            connection.ending |= !begun.keep_alive;
            return true;
        }
        if unsent < STREAM_BYTES
            && let Some(mut archive) = stream.archive.take()
        {
            let to = ReplyTo { connection: index, request, line: 0 };
            self.pool.run(move || {
                let piece = archive.piece();
                PoolDone::Backup(Done::Piece(to, archive, piece))
            });
        }
        false
    }
}
