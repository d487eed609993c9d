//! The lines of a batch, read and checked by a thread of their own, in blocks.
//!
//! A block is what one request carries: as many whole lines as have arrived, up to a bound. So a file goes out
//! in large requests, and a line that somebody types goes out at once.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::cli::apply::new_key;
use crate::cli::values;
use crate::limits::{DATA_BYTES_MAX, KEY_BYTES_MAX, RECORD_BYTES_MAX};
use crate::types::json::{self, JsonErrorKind};

/// Lines in one request: enough that a round trip is shared by many.
const BLOCK_LINES_MAX: usize = 256;
/// Bytes of them, unless one line alone has more.
const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Blocks that are read ahead of the node.
const BLOCKS_AHEAD: usize = 4;
/// Bytes of one line: a record with everything around it.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + (64 << 10);

/// One operation of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its line, from 1.
    pub(super) line: u64,
    /// What to do.
    pub(super) method: String,
    /// Given, or made: the same at every try.
    pub(super) key: String,
    /// What is sent, with its line feed.
    pub(super) body: String,
}

/// What became of one line before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// An operation.
    Item(Item),
    /// Not one.
    Bad {
        /// Its line, from 1.
        line: u64,
        /// Why.
        code: &'static str,
        /// As a node would have answered.
        status: u16,
        /// For people.
        message: String,
    },
    /// A control record of a dump: Rig's own, every log has its own.
    Control,
}

/// Some lines in a row.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) entries: Vec<Entry>,
    /// Bytes of input up to here.
    pub(super) read_bytes: u64,
    /// The input cannot be read any further.
    pub(super) failed: Option<io::Error>,
}

/// Reads the input in a thread; the channel ends with it.
pub(super) fn blocks(input: impl Read + Send + 'static) -> Receiver<Block> {
    let (sender, receiver) = sync_channel(BLOCKS_AHEAD);
    thread::spawn(move || {
        let mut lines = Lines::new(input);
        while let Some(block) = lines.block() {
            // Nobody listens any more: the command has ended.
            if sender.send(block).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    /// Up to here there is no line feed behind `start`.
    searched: usize,
    line: u64,
    read_bytes: u64,
    /// Inside of a line that is too long.
    skipping: bool,
    ended: bool,
}

impl<R: Read> Lines<R> {
    fn new(input: R) -> Self {
        let (buffer, searched, skipping) = (Vec::new(), 0, false);
        Self { input, buffer, start: 0, searched, line: 0, read_bytes: 0, skipping, ended: false }
    }

    /// The next lines; nothing at the end of the input.
    fn block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        let mut bytes = 0;
        while block.entries.len() < BLOCK_LINES_MAX && bytes < BLOCK_BYTES_MAX {
            if let Some((from, to)) = self.whole_line() {
                bytes += to - from;
                block.entries.extend(parse(&self.buffer[from..to], self.line));
                continue;
            }
            // What has arrived goes out before we wait for more.
            if self.ended || !block.entries.is_empty() {
                break;
            }
            match self.fill() {
                Ok(()) => {}
                Err(error) => {
                    self.ended = true;
                    self.start = self.buffer.len();
                    block.failed = Some(error);
                }
            }
            let pending = self.buffer.len() - self.start;
            if pending > LINE_BYTES_MAX && !self.skipping {
                self.skipping = true;
                let message = format!("the line has more than {} bytes", values::show_number(LINE_BYTES_MAX as u64));
                block.entries.push(Entry::Bad { line: self.line + 1, code: "too_large", status: 413, message });
            }
        }
        block.read_bytes = self.read_bytes;
        let empty = block.entries.is_empty() && block.failed.is_none() && self.ended;
        (!empty).then_some(block)
    }

    /// The place of the next line in the buffer, counted.
    fn whole_line(&mut self) -> Option<(usize, usize)> {
        loop {
            let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let (from, to) = match found {
                Some(place) => (self.start, self.searched + place),
                None if self.ended && self.start < self.buffer.len() => (self.start, self.buffer.len()),
                None => {
                    self.searched = self.buffer.len();
                    if self.skipping {
                        self.start = self.searched;
                    }
                    return None;
                }
            };
            self.start = (to + 1).min(self.buffer.len());
            self.searched = self.start;
            self.line += 1;
            if !std::mem::take(&mut self.skipping) {
                return Some((from, to));
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let end = self.buffer.len();
        self.buffer.resize(end + BLOCK_BYTES_MAX, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let n = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(end + n);
        self.read_bytes += n as u64;
        self.ended = n == 0;
        read.map(|_| ())
    }
}

/// What a line is; nothing for an empty one.
fn parse(bytes: &[u8], line: u64) -> Option<Entry> {
    if bytes.trim_ascii().is_empty() {
        return None;
    }
    let bad = |code: &'static str, status: u16, message: String| Some(Entry::Bad { line, code, status, message });
    let text = match json::compacted(bytes) {
        Ok(text) => text,
        Err(error) if error.kind == JsonErrorKind::Size => return bad("too_large", 413, error.message),
        Err(error) => {
            let message = format!("{line}:{}: {}", error.column, error.message);
            return bad(error.kind.code().as_str(), 400, message);
        }
    };
    if !text.starts_with('{') {
        return bad("bad_request", 400, format!("{line}:1: expected an object with the members method and data"));
    }
    let text_of = |name: &str| json::get(&text, name).and_then(json::string_of);
    let Some(method) = text_of("method") else {
        return bad("bad_request", 400, "the member method is missing or no text".to_owned());
    };
    let Some(data) = json::get(&text, "data") else {
        return bad("bad_request", 400, "the member data is missing".to_owned());
    };
    let is_record = text_of("type").is_some_and(|kind| kind == "record");
    if is_record && method.starts_with("rig_") {
        return Some(Entry::Control);
    }
    if !values::is_method(&method) {
        return bad("bad_request", 400, format!("{method:?} is not a method"));
    }
    if data.len() > DATA_BYTES_MAX {
        return bad("too_large", 413, "the data is too large".to_owned());
    }
    let key = match json::get(&text, "key") {
        None | Some("null") => new_key(),
        Some(value) => match json::string_of(value) {
            Some(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => key.into_owned(),
            _ => return bad("bad_request", 400, format!("the key is not a text of 1 to {KEY_BYTES_MAX} bytes")),
        },
    };
    let mut body = String::with_capacity(data.len() + method.len() + key.len() + 32);
    body.push_str("{\"method\":");
    json::quote(&method, &mut body);
    body.push_str(",\"key\":");
    json::quote(&key, &mut body);
    body.push_str(",\"data\":");
    body.push_str(data);
    body.push_str("}\n");
    Some(Entry::Item(Item { line, method: method.into_owned(), key, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Entry> {
        let mut lines = Lines::new(input);
        let mut entries = Vec::new();
        while let Some(block) = lines.block() {
            entries.extend(block.entries);
        }
        entries
    }

    fn code(entry: &Entry) -> (u64, &'static str, u16) {
        match entry {
            Entry::Bad { line, code, status, .. } => (*line, code, *status),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_become_operations_with_their_keys() {
        let entries = all(b"{\"method\":\"user_create\",\"data\":{ \"id\": \"a\" },\"key\":\"k1\"}\n\n{\"data\":1,\"method\":\"x_put\"}");
        let [Entry::Item(one), Entry::Item(two)] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((one.line, &*one.key, &*one.method), (1, "k1", "user_create"));
        assert_eq!(one.body, "{\"method\":\"user_create\",\"key\":\"k1\",\"data\":{\"id\":\"a\"}}\n");
        assert_eq!((two.line, two.key.len()), (3, 36));
    }

    #[test]
    fn dump_lines_are_understood_and_control_records_skipped() {
        let line = |method: &str, key: &str| {
            format!(
                "{{\"type\":\"record\",\"version\":9,\"method\":\"{method}\",\"data\":{{}},\"key\":{key},\"state\":\"committed\"}}\n"
            )
        };
        let input = [line("rig_epoch", "null"), line("user_put", "\"k\""), line("user_put", "null")].concat();
        let entries = all(input.as_bytes());
        assert_eq!(entries[0], Entry::Control);
        assert!(matches!(&entries[1], Entry::Item(item) if item.key == "k" && !item.body.contains("version")));
        assert!(matches!(&entries[2], Entry::Item(item) if item.key.len() == 36));
    }

    #[test]
    fn what_is_no_operation_is_refused_by_line_and_the_rest_goes_on() {
        let entries = all(b"{\"method\":\"a\"}\n[1]\n{\"method\":\"A\",\"data\":1}\nnope\n{\"method\":\"a\",\"data\":1,\"key\":\"\"}\n{\"method\":\"a\",\"a\":1,\"a\":2}\n{\"method\":\"a\",\"data\":1}\n");
        let codes: Vec<_> = entries[..6].iter().map(code).collect();
        assert_eq!(
            codes,
            [
                (1, "bad_request", 400),
                (2, "bad_request", 400),
                (3, "bad_request", 400),
                (4, "bad_json", 400),
                (5, "bad_request", 400),
                (6, "duplicate_key", 400)
            ]
        );
        assert!(matches!(&entries[6], Entry::Item(item) if item.line == 7));
    }

    #[test]
    fn a_line_without_end_is_refused_once_and_not_kept() {
        let good = b"{\"method\":\"a\",\"data\":1}\n";
        let mut input = good.to_vec();
        input.extend(std::iter::repeat_n(b'x', LINE_BYTES_MAX * 2));
        input.push(b'\n');
        input.extend_from_slice(good);
        let mut lines = Lines::new(&input[..]);
        let (mut entries, mut most) = (Vec::new(), 0);
        while let Some(block) = lines.block() {
            most = most.max(lines.buffer.len());
            entries.extend(block.entries);
        }
        assert_eq!(entries.len(), 3);
        assert_eq!(code(&entries[1]), (2, "too_large", 413));
        assert!(matches!(&entries[2], Entry::Item(item) if item.line == 3));
        assert!(most <= LINE_BYTES_MAX + 2 * BLOCK_BYTES_MAX, "{most}");
    }

    #[test]
    fn blocks_are_bounded_and_what_has_arrived_does_not_wait() {
        let input = b"{\"method\":\"a\",\"data\":1}\n".repeat(1000);
        let mut lines = Lines::new(&input[..]);
        assert_eq!(lines.block().unwrap().entries.len(), BLOCK_LINES_MAX);

        struct Slow(u32);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                assert_eq!(self.0, 1, "it must not wait for more");
                let line = b"{\"method\":\"a\",\"data\":1}\n{\"meth";
                buffer[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }
        assert_eq!(Lines::new(Slow(0)).block().unwrap().entries.len(), 1);
    }

    #[test]
    fn a_failing_input_is_told_after_what_came_before() {
        struct Failing(bool);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                let line = b"{\"method\":\"a\",\"data\":1}\n{";
                buffer[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }
        let mut lines = Lines::new(Failing(false));
        assert_eq!(lines.block().unwrap().entries.len(), 1);
        assert!(lines.block().unwrap().failed.is_some());
        assert!(lines.block().is_none());
    }
}
