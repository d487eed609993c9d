//! `GET /log`: a range of the log, or a feed that goes on.
//!
//! A thread of the pool reads one piece at a time; the next piece is read when the client has taken most of the
//! one before, so that a slow reader costs one piece of memory and nothing else.

use std::time::Instant;

use super::connection::Exchange;
use crate::http;
use crate::log::{LogError, Reader};
use crate::types::dump::{self, RecordState, WithData};
use crate::types::{Filter, Version};

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Records that are looked at for one piece, wanted or not, so that others get their turn.
const PIECE_RECORDS: u64 = 20_000;

/// One reader of the log.
pub(super) struct LogStream {
    pub(super) exchange: Exchange,
    /// The first version that was not looked at.
    pub(super) next: Version,
    pub(super) to: Version,
    /// Records still wanted.
    pub(super) left: u64,
    pub(super) filter: Filter,
    pub(super) follow: bool,
    pub(super) sse: bool,
    pub(super) begun: Option<http::Stream>,
    /// A piece is being read.
    pub(super) busy: bool,
    /// When the client heard something last.
    pub(super) heard: Instant,
}

impl LogStream {
    /// Whether nothing more can come.
    pub(super) fn is_over(&self, committed: Version) -> bool {
        self.left == 0 || self.next > self.to || (!self.follow && self.next > committed)
    }

    /// Whether a piece can be read now.
    pub(super) fn goes_on(&self, committed: Version) -> bool {
        !self.busy && self.left > 0 && self.next <= committed.min(self.to)
    }

    /// What the pool is asked to read now.
    pub(super) fn order(&self, committed: Version) -> Order {
        Order {
            from: self.next,
            to: self.to.min(committed),
            left: self.left,
            filter: self.filter.clone(),
            sse: self.sse,
        }
    }
}

/// One piece to read.
pub(super) struct Order {
    from: Version,
    to: Version,
    left: u64,
    filter: Filter,
    sse: bool,
}

/// One piece that was read.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// The first version that was not looked at.
    pub(super) next: Version,
    pub(super) records: u64,
}

/// Reads one piece; everything in it is committed.
pub(super) fn read(reader: &Reader, order: &Order) -> Result<Piece, LogError> {
    let mut piece = Piece { bytes: Vec::new(), next: order.from, records: 0 };
    let mut line = String::new();
    let last = order.to.min(order.from.saturating_add(PIECE_RECORDS - 1));
    for record in reader.records(order.from, last) {
        let record = record?;
        piece.next = record.version + 1;
        if order.filter.wants(&record) {
            line.clear();
            dump::line(&record, RecordState::Committed, WithData::Full, &mut line);
            if order.sse {
                http::sse_event(&mut piece.bytes, Some(record.version), "record", line.trim_end());
            } else {
                piece.bytes.extend_from_slice(line.as_bytes());
            }
            piece.records += 1;
        }
        if piece.records == order.left || piece.bytes.len() >= PIECE_BYTES {
            break;
        }
    }
    Ok(piece)
}
