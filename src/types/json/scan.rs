//! The scanner: one walk over the bytes that checks everything and drops the white space.
//!
//! It keeps no tree. Per open container it keeps one number: where the keys of this object begin in one
//! shared list. Small objects compare a new key with its siblings as it comes; large ones are checked when
//! they close, by sorting keyed hashes, so that nobody can choose keys that make it slow.

use super::{JsonError, JsonErrorKind as Kind};
use crate::limits::JSON_DEPTH_MAX;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Siblings up to which comparing one by one is faster than sorting hashes.
const FEW_KEYS: usize = 24;
/// Bytes of a number without exponent that cannot overflow: the largest float has 309 digits.
const SURELY_FINITE_BYTES: usize = 300;
/// Stands in the list of frames for an array, which has no keys.
const ARRAY: u32 = u32::MAX;
/// Marks a key whose text lies in the side buffer because it had escapes.
const UNESCAPED: u32 = 1 << 31;

/// Says that the scanner holds a fault; [`Scanner::explain`] tells which.
#[derive(Debug)]
pub(super) struct Failed;

type Scanned = Result<(), Failed>;

/// One key of an object that is still open.
#[derive(Clone, Copy)]
struct Key {
    start: u32,
    /// Length, with [`UNESCAPED`] set when `start` counts in the side buffer.
    len: u32,
    /// Length, first and last byte mixed: unequal marks mean unequal keys.
    mark: u32,
}

pub(super) struct Scanner<'a, 'o> {
    text: &'a str,
    bytes: &'a [u8],
    /// The bytes behind `text` are not UTF-8.
    broken: bool,
    at: usize,
    /// Where the run of bytes that has not been copied to `out` begins.
    run: usize,
    /// Whether what is scanned is wanted in `out`.
    keep: bool,
    out: &'o mut String,
    keys: Vec<Key>,
    unescaped: String,
    fault: (Kind, usize, String),
}

impl<'a, 'o> Scanner<'a, 'o> {
    pub(super) fn new(input: &'a [u8], out: &'o mut String) -> Self {
        // The standard check is far faster than one byte by byte, and lets the strings below skip what is not ASCII.
        // An error before the broken byte is still found first: the text just ends there.
        let (text, broken) = match std::str::from_utf8(input) {
            Ok(text) => (text, false),
            Err(error) => (std::str::from_utf8(&input[..error.valid_up_to()]).unwrap_or_default(), true),
        };
        let fault = (Kind::Syntax, 0, String::new());
        let (bytes, keys, unescaped) = (text.as_bytes(), Vec::with_capacity(FEW_KEYS), String::new());
        Self { text, bytes, broken, at: 0, run: 0, keep: true, out, keys, unescaped, fault }
    }

    /// The whole input as one value, into `out`.
    pub(super) fn document(&mut self) -> Scanned {
        if let Some(line) = self.borrowed()? {
            self.out.push_str(line);
        }
        Ok(())
    }

    /// The whole input as one value: a slice of it when nothing was dropped inside, else it is in `out`.
    pub(super) fn borrowed(&mut self) -> Result<Option<&'a str>, Failed> {
        self.fits()?;
        self.keep = false;
        self.white();
        let line = self.kept_value()?;
        self.white();
        self.end()?;
        Ok(line)
    }

    /// One value at the place, kept: a slice of the input when nothing was dropped inside, else it is in `out`.
    pub(super) fn kept_value(&mut self) -> Result<Option<&'a str>, Failed> {
        (self.keep, self.run) = (true, self.at);
        let (start, before) = (self.at, self.out.len());
        self.value()?;
        self.keep = false;
        if self.out.len() == before {
            return Ok(Some(&self.text[start..self.at]));
        }
        self.flush();
        Ok(None)
    }

    /// Refuses what the 32-bit places of keys cannot count; nobody sends it on purpose.
    pub(super) fn fits(&mut self) -> Scanned {
        if self.bytes.len() >= UNESCAPED as usize {
            return Err(self.fail(Kind::Size, 0, "more than 2 GiB in one text"));
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Scanned {
        if self.at < self.bytes.len() || self.broken {
            return Err(self.fail(Kind::Syntax, self.at, "expected the end of the text"));
        }
        Ok(())
    }

    /// From here on nothing is kept, until [`Self::kept_value`].
    pub(super) fn skip_unkept(&mut self) {
        self.keep = false;
    }

    /// Steps over a byte that [`Self::sees`] has seen.
    pub(super) fn skip_byte(&mut self) {
        self.at += 1;
    }

    /// Bytes kept so far in `out`.
    pub(super) fn kept_len(&self) -> usize {
        self.out.len()
    }

    /// Where the scanner stands, in bytes.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The text from `start` to the place.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Whether this byte comes next.
    pub(super) fn sees(&self, byte: u8) -> bool {
        self.bytes.get(self.at) == Some(&byte)
    }

    fn flush(&mut self) {
        self.out.push_str(&self.text[self.run..self.at]);
    }

    /// Skips white space; inside a kept value it is left out.
    #[inline]
    pub(super) fn white(&mut self) {
        if let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.drop_white();
        }
    }

    #[inline(never)]
    fn drop_white(&mut self) {
        if self.keep {
            self.flush();
        }
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.run = self.at;
    }

    /// One value of any kind, white space before it included.
    pub(super) fn value(&mut self) -> Scanned {
        let mut frames = [ARRAY; JSON_DEPTH_MAX];
        let mut depth = 0;
        loop {
            self.white();
            let opened = match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    false
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    false
                }
                Some(b'{') => {
                    self.open(&mut frames, &mut depth, self.keys.len() as u32)?;
                    !self.sees(b'}')
                }
                Some(b'[') => {
                    self.open(&mut frames, &mut depth, ARRAY)?;
                    !self.sees(b']')
                }
                _ => {
                    self.literal()?;
                    false
                }
            };
            if opened {
                if frames[depth - 1] != ARRAY {
                    self.key(frames[depth - 1] as usize)?;
                }
                continue;
            }
            if !self.close(&frames, &mut depth)? {
                return Ok(());
            }
        }
    }

    fn open(&mut self, frames: &mut [u32; JSON_DEPTH_MAX], depth: &mut usize, frame: u32) -> Scanned {
        let Some(place) = frames.get_mut(*depth) else {
            return Err(self.fail(Kind::Depth, self.at, &format!("nested deeper than {JSON_DEPTH_MAX} levels")));
        };
        *place = frame;
        *depth += 1;
        self.at += 1;
        self.white();
        Ok(())
    }

    /// After a value: leaves every container that ends here; true when another value follows.
    fn close(&mut self, frames: &[u32; JSON_DEPTH_MAX], depth: &mut usize) -> Result<bool, Failed> {
        while *depth > 0 {
            self.white();
            let frame = frames[*depth - 1];
            match self.bytes.get(self.at) {
                Some(b',') => {
                    self.at += 1;
                    if frame != ARRAY {
                        self.white();
                        self.key(frame as usize)?;
                    }
                    return Ok(true);
                }
                Some(b']') if frame == ARRAY => {}
                Some(b'}') if frame != ARRAY => self.close_keys(frame as usize)?,
                _ if frame == ARRAY => return Err(self.fail(Kind::Syntax, self.at, "expected `,` or `]`")),
                _ => return Err(self.fail(Kind::Syntax, self.at, "expected `,` or `}`")),
            }
            self.at += 1;
            *depth -= 1;
        }
        Ok(false)
    }

    /// A key of the object whose keys begin at `base`, with its colon.
    pub(super) fn key(&mut self, base: usize) -> Scanned {
        if !self.sees(b'"') {
            return Err(self.fail(Kind::Syntax, self.at, "expected a key in `\"`"));
        }
        let quote = self.at;
        let escaped = self.string()?;
        let (start, end) = (quote + 1, self.at - 1);
        let key = if escaped {
            let from = self.unescaped.len();
            super::read::unescape_into(&self.text[start..end], &mut self.unescaped);
            self.marked(from as u32, (self.unescaped.len() - from) as u32 | UNESCAPED)
        } else {
            self.marked(start as u32, (end - start) as u32)
        };
        let siblings = self.keys.len() - base;
        if siblings < FEW_KEYS {
            let bytes = self.key_text(key).as_bytes();
            let same = |other: &Key| other.mark == key.mark && self.key_text(*other).as_bytes() == bytes;
            if self.keys[base..].iter().any(same) {
                return Err(self.repeated(key, quote));
            }
        }
        self.keys.push(key);
        self.white();
        if !self.sees(b':') {
            return Err(self.fail(Kind::Syntax, self.at, "expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn marked(&self, start: u32, len: u32) -> Key {
        let key = Key { start, len, mark: 0 };
        let text = self.key_text(key).as_bytes();
        let (first, last) = (text.first().copied().unwrap_or(0), text.last().copied().unwrap_or(0));
        Key { mark: (len & 0xffff) | u32::from(first) << 16 | u32::from(last) << 24, ..key }
    }

    fn key_text(&self, key: Key) -> &str {
        let (text, len) = match key.len & UNESCAPED {
            0 => (self.text, key.len),
            _ => (self.unescaped.as_str(), key.len ^ UNESCAPED),
        };
        let start = key.start as usize;
        &text[start..start + len as usize]
    }

    /// The key that was read last, without its escapes.
    pub(super) fn last_key(&self) -> &str {
        self.keys.last().map_or("", |key| self.key_text(*key))
    }

    /// How many keys are remembered: the `base` of an object that opens here.
    pub(super) fn keys_before(&self) -> usize {
        self.keys.len()
    }

    /// Forgets the keys of an object that ends, after the check that large ones have not had yet.
    pub(super) fn close_keys(&mut self, base: usize) -> Scanned {
        if self.keys.len() - base > FEW_KEYS {
            self.compare_many(base)?;
        }
        self.keys.truncate(base);
        Ok(())
    }

    #[inline(never)]
    fn compare_many(&mut self, base: usize) -> Scanned {
        let seed = RandomState::new();
        let keys = &self.keys[base..];
        let mut hashed: Vec<(u64, u32)> =
            (0_u32..).zip(keys).map(|(place, key)| (seed.hash_one(self.key_text(*key)), place)).collect();
        hashed.sort_unstable();
        let mut repeated: Option<u32> = None;
        for group in hashed.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            for (nth, (_, place)) in group.iter().enumerate() {
                let text = self.key_text(keys[*place as usize]);
                if group[..nth].iter().any(|(_, earlier)| self.key_text(keys[*earlier as usize]) == text) {
                    repeated = Some(repeated.map_or(*place, |first| first.min(*place)));
                    // The first repetition is enough, and a key that comes a million times stays cheap.
                    break;
                }
            }
        }
        match repeated {
            None => Ok(()),
            Some(place) => {
                let key = keys[place as usize];
                // Where a key with escapes stood is not remembered: the end of its object has to do.
                let at = if key.len & UNESCAPED == 0 { key.start as usize - 1 } else { self.at };
                Err(self.repeated(key, at))
            }
        }
    }

    #[cold]
    fn repeated(&mut self, key: Key, at: usize) -> Failed {
        let text = self.key_text(key);
        let message = if key.len <= 64 {
            format!("the key `{text}` comes twice in one object")
        } else {
            "a key comes twice in one object".to_owned()
        };
        self.fault = (Kind::DuplicateKey, at, message);
        Failed
    }

    /// A string, from quote to quote; true when it has escapes.
    fn string(&mut self) -> Result<bool, Failed> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => {
                    return Err(self.fail(Kind::Syntax, self.at, "a control character in a string must be escaped"));
                }
                None if self.broken => return Err(self.fail(Kind::Syntax, self.at, "expected `\"`")),
                None => return Err(self.fail(Kind::Syntax, start, "a string that does not end")),
            }
        }
    }

    fn escape(&mut self) -> Scanned {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.hex4(start + 2)?;
                self.at += 6;
                match unit {
                    0xdc00..=0xdfff => Err(self.fail(Kind::Surrogate, start, "the second half of a pair, alone")),
                    0xd800..=0xdbff => self.second_half(start),
                    _ => Ok(()),
                }
            }
            _ => Err(self.fail(Kind::Syntax, start, "expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u")),
        }
    }

    fn second_half(&mut self, first: usize) -> Scanned {
        if self.bytes[self.at..].starts_with(b"\\u") && matches!(self.hex4(self.at + 2)?, 0xdc00..=0xdfff) {
            self.at += 6;
            return Ok(());
        }
        Err(self.fail(Kind::Surrogate, first, "the first half of a pair, alone"))
    }

    fn hex4(&mut self, at: usize) -> Result<u32, Failed> {
        match self.bytes.get(at..at + 4).and_then(super::read::hex4) {
            Some(unit) => Ok(unit),
            None => Err(self.fail(Kind::Syntax, at, "expected four hexadecimal digits")),
        }
    }

    fn number(&mut self) -> Scanned {
        let start = self.at;
        if self.sees(b'-') {
            self.at += 1;
        }
        if self.sees(b'0') {
            self.at += 1;
            if let Some(b'0'..=b'9') = self.bytes.get(self.at) {
                return Err(self.fail(Kind::Syntax, start, "a number must not begin with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.sees(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut wide = self.at - start > SURELY_FINITE_BYTES;
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            wide = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        if wide && !self.since(start).parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(self.fail(Kind::Range, start, "a number beyond the range of 64-bit floats"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Scanned {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(self.fail(Kind::Syntax, start, "expected a digit")) } else { Ok(()) }
    }

    fn literal(&mut self) -> Scanned {
        let rest = &self.bytes[self.at..];
        let len = match rest.first() {
            Some(b't') if rest.starts_with(b"true") => 4,
            Some(b'f') if rest.starts_with(b"false") => 5,
            Some(b'n') if rest.starts_with(b"null") => 4,
            _ => return Err(self.fail(Kind::Syntax, self.at, "expected a value")),
        };
        self.at += len;
        Ok(())
    }

    /// Remembers a fault at this place.
    #[cold]
    pub(super) fn fail(&mut self, kind: Kind, at: usize, message: &str) -> Failed {
        self.fault = if at < self.bytes.len() {
            (kind, at, message.to_owned())
        } else if self.broken {
            (Kind::Utf8, at, "a byte that is not UTF-8".to_owned())
        } else if at > 0 && kind == Kind::Syntax {
            (kind, at, format!("{message}, but the text ends here"))
        } else {
            (kind, at, message.to_owned())
        };
        Failed
    }

    /// The fault with its line and column.
    pub(super) fn explain(&mut self, _: Failed) -> JsonError {
        let (kind, at, message) = std::mem::replace(&mut self.fault, (Kind::Syntax, 0, String::new()));
        let before = &self.bytes[..at.min(self.bytes.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let column = 1 + before[line_start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        JsonError { kind, line, column, message }
    }
}

/// The first place from `at` on that ends a run of plain string bytes: a quote, a backslash, a control character
/// or the end.
///
/// Most strings end within two words. Longer ones are crossed in blocks, which the compiler compares as a whole.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    let mut words = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = stops(u64::from_le_bytes(*word));
        if found != 0 {
            // Only the lowest mark is exact, and only that one is used.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        words += 1;
        if words == 2 {
            at = plain_blocks_end(bytes, at);
        }
    }
    while bytes.get(at).is_some_and(|byte| !is_stop(*byte)) {
        at += 1;
    }
    at
}

fn is_stop(byte: u8) -> bool {
    // Without branches: over a block it becomes a few instructions on wide registers.
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Marks the bytes of a word that end a run (the bit tricks are of Knuth's and Warren's "Hacker's Delight").
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (control | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')))) & TOPS
}

/// Behind the whole blocks that nothing ends.
fn plain_blocks_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if block.iter().fold(false, |found, byte| found | is_stop(*byte)) {
            break;
        }
        at += 32;
    }
    at
}

/// The first quote from `at` on.
pub(super) fn quote_from(bytes: &[u8], at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut rest = bytes.get(at..)?;
    let mut words = 0;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(bytes.len() - rest.len() + (found.trailing_zeros() / 8) as usize);
        }
        rest = behind;
        words += 1;
        // The same two steps as above.
        if words == 2 {
            while let Some((block, behind)) = rest.split_first_chunk::<32>() {
                if block.iter().fold(false, |found, byte| found | (*byte == b'"')) {
                    break;
                }
                rest = behind;
            }
        }
    }
    Some(bytes.len() - rest.len() + rest.iter().position(|byte| *byte == b'"')?)
}
