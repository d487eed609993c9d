//! Records and messages on their way to a peer: copied from what is at hand, or read from the log when it is durable.

use super::*;
use crate::peer;

/// Records of one read for a peer, in bytes.
const WIRE_BYTES: usize = 1 << 20;

impl Node {
    pub(super) fn place_of(&self, link: Link) -> Option<usize> {
        self.peers.iter().position(|peer| peer.as_ref().is_some_and(|peer| peer.link == link))
    }

    pub(super) fn send(&mut self, link: Link, urgent: bool, message: &Message, attached: &[u8]) {
        if let Some(place) = self.place_of(link)
            && let Some(peer) = &mut self.peers[place]
        {
            let frame = put(message, peer.protocol, attached);
            if urgent {
                peer.send_now(frame);
            } else {
                peer.send(frame);
            }
            self.touched_peers.insert(place);
        }
    }

    /// Copies records into a peer's line when they are at hand; else they are read when they are durable.
    pub(super) fn stream(&mut self, link: Link, range: Range) {
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
                    peer.send(put(&append, peer.protocol, &self.wire));
                    from = last + 1;
                }
            }
        } else {
            peer.send_later(range);
        }
        self.peers[place] = Some(peer);
    }

    /// The message that carries these records.
    pub(super) fn append_of(&self, range: &Range, after: Version, last: Version) -> Message {
        let hash = self.engine.hash_at_hand(after).unwrap_or_default();
        message_of(range, Position { epoch: self.engine.core().history().at(after), version: after, hash }, last)
    }

    /// Lets the pool read what peers wait for, as much as their clients leave to those that lag.
    pub(super) fn feed_peers(&mut self, now: Now) {
        let durable = self.engine.core().durable();
        for peer in self.peers.iter_mut().flatten().filter(|peer| peer.waits()) {
            let is_awaited = self.engine.core().is_awaited(peer.link);
            let bytes_max = if is_awaited { WIRE_BYTES } else { self.pace.piece(WIRE_BYTES, now.instant) };
            if bytes_max == 0 {
                continue;
            }
            if let Some(range) = peer.next_read(durable) {
                let (reader, link) = (self.reader.clone(), peer.link);
                let epoch = self.engine.core().history().at(range.after);
                self.pool.run(move || {
                    let mut bytes = Vec::new();
                    let read = reader.hash(range.after).and_then(|hash| {
                        let last = reader.wire(range.after + 1, range.last, bytes_max, &mut bytes)?;
                        let hash = hash.unwrap_or_default();
                        Ok((Position { epoch, version: range.after, hash }, bytes, last))
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
                if !self.engine.core().is_awaited(link) {
                    self.pace.took(bytes.len());
                }
                if let Some(peer) = &mut self.peers[place] {
                    let protocol = peer.protocol;
                    peer.was_read(last, |out, range| put(&message_of(range, before, last), protocol, &bytes)(out));
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
}

/// What appends the frame of a message, in this version of the protocol. A log with more epochs than a message can name
/// cannot speak of itself, and says so here.
fn put(message: &Message, protocol: u16, wire: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        if let Err(error) = peer::encode(message, protocol, wire, out) {
            ::log::error!("speak to a peer: {error}");
        }
    }
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
