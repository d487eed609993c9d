//! The fields of every message, in order, little endian, without gaps.
//!
//! ```text
//!   epoch     number u64, owner 16, start u64            position  epoch, version u64, hash 32
//!   history   count u32, then for each: epoch, first version u64, forced u8
//!   member    id 16, name, url                           text      length u16, UTF-8
//!   set       count u8, then for each: id 16             yes or no u8: 1 or 0
//!   marks     count u16, at least 1, then for each: u32
//! ```
//!
//! Numbers and starts of epochs, versions, and lengths and offsets in a snapshot are 2^62 at most: a node counts on from them.
//! A field that only newer versions of the protocol have is put and taken where such a version is spoken.

use super::{FrameError, Kind, Wrong};
use crate::limits::{
    EPOCHS_MAX, MARKS_PER_MESSAGE, MEMBERS_MAX, NAME_BYTES_MAX, NUMBER_MAX, RECORD_BYTES_MAX, SNAPSHOT_CHUNK_BYTES,
    URL_BYTES_MAX,
};
use crate::replication::{
    Ack, Answer, Append, Chunk, EpochStart, Follow, Heartbeat, Hello, Member, Message, Promised, Refused, RefusedWhy,
    Results,
};
use crate::types::{Epoch, Hash, NodeId, Position, Role};

/// Bytes of one epoch in a history.
pub(super) const EPOCH_START_BYTES: usize = 32 + 8 + 1;
/// Bytes of the mark of one result.
pub(super) const MARK_BYTES: usize = 4;

/// The first version in which a Hello ends with the version: that of the tests, see [`super::PROTOCOL`].
const ENDS_WITH_VERSION: u16 = 2;

const ROLES: [Role; 2] = [Role::Primary, Role::Replica];
const REASONS: [RefusedWhy; 5] =
    [RefusedWhy::Fenced, RefusedWhy::NotAMember, RefusedWhy::Storage, RefusedWhy::CannotHandOver, RefusedWhy::Twin];

pub(super) fn kind_of(message: &Message) -> Kind {
    match message {
        Message::Hello(_) => Kind::Hello,
        Message::Follow(Follow { snapshot: None, .. }) => Kind::Follow,
        Message::Follow(_) => Kind::Offer,
        Message::Append(_) => Kind::Append,
        Message::Heartbeat(_) => Kind::Heartbeat,
        Message::Ack(_) => Kind::Ack,
        Message::Refused(_) => Kind::Refused,
        Message::Ask { .. } => Kind::Ask,
        Message::Answer(_) => Kind::Answer,
        Message::Promise { .. } => Kind::Promise,
        Message::Promised(_) => Kind::Promised,
        Message::Fetch { .. } => Kind::Fetch,
        Message::Records(_) => Kind::Records,
        Message::HandOverPlease => Kind::HandOverPlease,
        Message::HandOver { .. } => Kind::HandOver,
        Message::SplitBrain { .. } => Kind::SplitBrain,
        Message::Goodbye => Kind::Goodbye,
        Message::Alive => Kind::Alive,
        Message::Results(_) => Kind::Results,
        Message::Want(_) => Kind::Want,
        Message::Chunk(_) => Kind::Chunk,
    }
}

/// The most bytes that stand behind the fields of a message of this kind.
pub(super) fn attached_bytes_max(kind: Kind) -> usize {
    match kind {
        Kind::Append | Kind::Records => RECORD_BYTES_MAX,
        Kind::Chunk => SNAPSHOT_CHUNK_BYTES,
        _ => 0,
    }
}

/// The epochs that a message names, if it does.
pub(super) fn history_of(message: &Message) -> Option<&[EpochStart]> {
    match message {
        Message::Hello(hello) => Some(&hello.history),
        Message::Follow(follow) => Some(&follow.history),
        Message::Promised(promised) => Some(&promised.history),
        _ => None,
    }
}

/// Appends the fields of a message in this version of the protocol.
pub(super) fn put(message: &Message, protocol: u16, out: &mut Vec<u8>) {
    match message {
        Message::Hello(hello) => {
            out.extend_from_slice(&hello.member.id.0);
            put_text(&hello.member.name, NAME_BYTES_MAX, out);
            put_text(&hello.member.url, URL_BYTES_MAX, out);
            put_u64(hello.boot, out);
            put_place(&ROLES, &hello.role, out);
            put_epoch(&hello.promised, out);
            [hello.head, hello.committed].iter().for_each(|&version| put_u64(version, out));
            out.push(hello.joined.into());
            put_history(&hello.history, out);
            if protocol >= ENDS_WITH_VERSION {
                out.extend_from_slice(&protocol.to_le_bytes());
            }
        }
        Message::Follow(follow) => {
            put_epoch(&follow.epoch, out);
            put_position(&follow.common, out);
            put_u64(follow.head, out);
            out.push(follow.outside_sync.into());
            follow.snapshot.iter().for_each(|&bytes| put_u64(bytes, out));
            put_history(&follow.history, out);
        }
        Message::Append(append) | Message::Records(append) => {
            put_epoch(&append.epoch, out);
            put_position(&append.before, out);
            [append.last, append.committed].iter().for_each(|&version| put_u64(version, out));
        }
        Message::Heartbeat(heartbeat) => {
            put_epoch(&heartbeat.epoch, out);
            [heartbeat.committed, heartbeat.head].iter().for_each(|&version| put_u64(version, out));
            out.push(u8::try_from(heartbeat.set.len()).expect("a set is a handful of nodes"));
            heartbeat.set.iter().for_each(|id| out.extend_from_slice(&id.0));
        }
        Message::Ack(ack) => {
            put_epoch(&ack.epoch, out);
            [ack.received, ack.durable, ack.applied].iter().for_each(|&version| put_u64(version, out));
        }
        Message::Refused(refused) => {
            put_epoch(&refused.promised, out);
            put_place(&REASONS, &refused.why, out);
        }
        Message::Answer(answer) => {
            put_epoch(&answer.epoch, out);
            out.push(answer.would.into());
            put_epoch(&answer.promised, out);
            put_epoch(&answer.head_epoch, out);
            [answer.head, answer.committed].iter().for_each(|&version| put_u64(version, out));
        }
        Message::Promised(promised) => {
            put_epoch(&promised.epoch, out);
            [promised.head, promised.committed].iter().for_each(|&version| put_u64(version, out));
            put_history(&promised.history, out);
        }
        Message::Ask { epoch } | Message::Promise { epoch } | Message::SplitBrain { epoch } => put_epoch(epoch, out),
        Message::Fetch { epoch, after: version } | Message::HandOver { epoch, head: version } => {
            put_epoch(epoch, out);
            put_u64(*version, out);
        }
        Message::Results(results) => {
            put_epoch(&results.epoch, out);
            put_u64(results.first, out);
            put_marks(&results.marks, out);
        }
        Message::Want(chunk) | Message::Chunk(chunk) => {
            [chunk.version, chunk.offset].iter().for_each(|&number| put_u64(number, out));
        }
        Message::HandOverPlease | Message::Goodbye | Message::Alive => {}
    }
}

fn put_u64(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_epoch(epoch: &Epoch, out: &mut Vec<u8>) {
    put_u64(epoch.number, out);
    out.extend_from_slice(&epoch.owner.0);
    put_u64(epoch.start, out);
}

fn put_position(position: &Position, out: &mut Vec<u8>) {
    put_epoch(&position.epoch, out);
    put_u64(position.version, out);
    out.extend_from_slice(&position.hash.0);
}

/// Whether a text can be a name or an address: it goes into JSON and metrics as it is, so it has neither control
/// characters nor what would need an escape there.
fn is_text(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'))
}

fn put_text(text: &str, bytes_max: usize, out: &mut Vec<u8>) {
    assert!(is_text(text, bytes_max), "a name or an address was checked when it was taken");
    out.extend_from_slice(&u16::try_from(text.len()).expect("names and addresses are short").to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_history(history: &[EpochStart], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(history.len()).expect("checked by the caller").to_le_bytes());
    for start in history {
        put_epoch(&start.epoch, out);
        put_u64(start.first, out);
        out.push(start.forced.into());
    }
}

fn put_marks(marks: &[u32], out: &mut Vec<u8>) {
    assert!((1..=MARKS_PER_MESSAGE).contains(&marks.len()), "marks are told in pieces");
    out.extend_from_slice(&u16::try_from(marks.len()).expect("the bound is below that").to_le_bytes());
    marks.iter().for_each(|mark| out.extend_from_slice(&mark.to_le_bytes()));
}

/// Appends the number of a word: its place in the list of them, from 1.
fn put_place<T: PartialEq>(list: &[T], word: &T, out: &mut Vec<u8>) {
    let place = list.iter().position(|other| other == word).expect("every word has its number");
    out.push(place as u8 + 1);
}

/// Reads a message, and where its fields end: behind them there are records, if it is one that has them.
pub(super) fn get(kind: Kind, protocol: u16, bytes: &[u8]) -> Result<(Message, usize), FrameError> {
    let mut fields = Fields(bytes);
    let message = fields.message(kind, protocol).map_err(|wrong| FrameError::Body { kind, wrong })?;
    if fields.0.len() > attached_bytes_max(kind) {
        return Err(FrameError::Body { kind, wrong: Wrong::Long });
    }
    Ok((message, bytes.len() - fields.0.len()))
}

/// Bytes that fields are taken from.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(Wrong::Short)?;
        self.0 = rest;
        Ok(*front)
    }

    fn u8(&mut self) -> Result<u8, Wrong> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Wrong> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Wrong> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Wrong> {
        self.array().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, Wrong> {
        let byte = self.u8()?;
        if byte < 2 { Ok(byte == 1) } else { Err(Wrong::Number) }
    }

    fn word<T: Copy>(&mut self, list: &[T]) -> Result<T, Wrong> {
        let place = usize::from(self.u8()?).checked_sub(1);
        place.and_then(|place| list.get(place)).copied().ok_or(Wrong::Number)
    }

    /// What a node would count on from, or add to.
    fn number(&mut self) -> Result<u64, Wrong> {
        self.u64().and_then(|number| if number <= NUMBER_MAX { Ok(number) } else { Err(Wrong::Large) })
    }

    fn epoch(&mut self) -> Result<Epoch, Wrong> {
        Ok(Epoch { number: self.number()?, owner: NodeId(self.array()?), start: self.number()? })
    }

    fn position(&mut self) -> Result<Position, Wrong> {
        Ok(Position { epoch: self.epoch()?, version: self.number()?, hash: Hash(self.array()?) })
    }

    fn text(&mut self, bytes_max: usize) -> Result<String, Wrong> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Wrong::Short)?;
        self.0 = rest;
        let text = std::str::from_utf8(text).map_err(|_| Wrong::Text)?;
        if is_text(text, bytes_max) { Ok(text.to_owned()) } else { Err(Wrong::Text) }
    }

    fn history(&mut self) -> Result<Vec<EpochStart>, Wrong> {
        let count = self.u32()? as usize;
        if count > EPOCHS_MAX {
            return Err(Wrong::Many);
        }
        // Nothing is allocated for what is not there.
        if self.0.len() < count * EPOCH_START_BYTES {
            return Err(Wrong::Short);
        }
        (0..count)
            .map(|_| Ok(EpochStart { epoch: self.epoch()?, first: self.number()?, forced: self.flag()? }))
            .collect()
    }

    fn set(&mut self) -> Result<Vec<NodeId>, Wrong> {
        let count = usize::from(self.u8()?);
        if count > MEMBERS_MAX {
            return Err(Wrong::Many);
        }
        (0..count).map(|_| self.array().map(NodeId)).collect()
    }

    fn marks(&mut self) -> Result<Vec<u32>, Wrong> {
        let count = usize::from(self.u16()?);
        match count {
            0 => return Err(Wrong::Number),
            1..=MARKS_PER_MESSAGE => {}
            _ => return Err(Wrong::Many),
        }
        // Nothing is allocated for what is not there.
        if self.0.len() < count * MARK_BYTES {
            return Err(Wrong::Short);
        }
        (0..count).map(|_| self.u32()).collect()
    }

    /// In the order in which they stand there, which is that of [`put`].
    fn message(&mut self, kind: Kind, protocol: u16) -> Result<Message, Wrong> {
        Ok(match kind {
            Kind::Greeting => unreachable!("a greeting is no message"),
            Kind::Hello => Message::Hello(self.hello(protocol)?),
            Kind::Follow | Kind::Offer => {
                let (epoch, common) = (self.epoch()?, self.position()?);
                let (head, outside_sync) = (self.number()?, self.flag()?);
                let snapshot = if kind == Kind::Offer { Some(self.number()?) } else { None };
                Message::Follow(Follow { epoch, common, head, outside_sync, snapshot, history: self.history()? })
            }
            Kind::Append => Message::Append(self.append()?),
            Kind::Records => Message::Records(self.append()?),
            Kind::Heartbeat => {
                let (epoch, committed, head) = (self.epoch()?, self.number()?, self.number()?);
                Message::Heartbeat(Heartbeat { epoch, committed, head, set: self.set()? })
            }
            Kind::Ack => {
                let epoch = self.epoch()?;
                Message::Ack(Ack { epoch, received: self.number()?, durable: self.number()?, applied: self.number()? })
            }
            Kind::Refused => Message::Refused(Refused { promised: self.epoch()?, why: self.word(&REASONS)? }),
            Kind::Ask => Message::Ask { epoch: self.epoch()? },
            Kind::Answer => {
                let (epoch, would, promised) = (self.epoch()?, self.flag()?, self.epoch()?);
                let (head_epoch, head, committed) = (self.epoch()?, self.number()?, self.number()?);
                Message::Answer(Answer { epoch, would, promised, head_epoch, head, committed })
            }
            Kind::Promise => Message::Promise { epoch: self.epoch()? },
            Kind::Promised => {
                let (epoch, head, committed) = (self.epoch()?, self.number()?, self.number()?);
                Message::Promised(Promised { epoch, head, committed, history: self.history()? })
            }
            Kind::Fetch => Message::Fetch { epoch: self.epoch()?, after: self.number()? },
            Kind::HandOverPlease => Message::HandOverPlease,
            Kind::HandOver => Message::HandOver { epoch: self.epoch()?, head: self.number()? },
            Kind::SplitBrain => Message::SplitBrain { epoch: self.epoch()? },
            Kind::Goodbye => Message::Goodbye,
            Kind::Alive => Message::Alive,
            Kind::Results => {
                let (epoch, first) = (self.epoch()?, self.number()?);
                Message::Results(Results { epoch, first, marks: self.marks()? })
            }
            Kind::Want => Message::Want(self.chunk()?),
            Kind::Chunk => Message::Chunk(self.chunk()?),
        })
    }

    fn hello(&mut self, protocol: u16) -> Result<Hello, Wrong> {
        let id = NodeId(self.array()?);
        let member = Member { id, name: self.text(NAME_BYTES_MAX)?, url: self.text(URL_BYTES_MAX)? };
        let (boot, role, promised) = (self.u64()?, self.word(&ROLES)?, self.epoch()?);
        let (head, committed, joined) = (self.number()?, self.number()?, self.flag()?);
        let history = self.history()?;
        if protocol >= ENDS_WITH_VERSION && self.u16()? != protocol {
            return Err(Wrong::Number);
        }
        Ok(Hello { member, boot, role, promised, head, committed, joined, history })
    }

    fn chunk(&mut self) -> Result<Chunk, Wrong> {
        Ok(Chunk { version: self.number()?, offset: self.number()? })
    }

    fn append(&mut self) -> Result<Append, Wrong> {
        let (epoch, before) = (self.epoch()?, self.position()?);
        Ok(Append { epoch, before, last: self.number()?, committed: self.number()?, landmarks: Vec::new() })
    }
}
