//! Reading checked lines without building a tree, and writing strings.
//!
//! Everything here trusts that the text went through the door, and pays for a broken promise with a wrong
//! answer at most, never with a panic.

use super::scan::{plain_end, quote_from};
use std::borrow::Cow;

/// One member of an object, as it is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// All of it: `"key":value`.
    pub text: &'a str,
    key_bytes: u32,
    /// Whether the key has escapes.
    escaped: bool,
}

impl<'a> Member<'a> {
    /// What stands between the quotes of the key, escapes as sent: see [`Member::name`] and [`Member::is`].
    #[inline]
    pub fn key(&self) -> &'a str {
        &self.text[1..1 + self.key_bytes as usize]
    }

    /// The value, quotes included when it is a string.
    #[inline]
    pub fn value(&self) -> &'a str {
        &self.text[self.key_bytes as usize + r#""":"#.len()..]
    }

    /// The key without its escapes.
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        if self.escaped { unescape(self.key()) } else { Cow::Borrowed(self.key()) }
    }

    /// Whether this is the member of that name.
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        if self.escaped { unescape(self.key()) == name } else { self.key() == name }
    }

    /// Whether the value is `null`.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.value() == "null"
    }
}

/// The members of one checked object, in order, nested values as a whole; nothing for any other value.
pub fn members(line: &str) -> Members<'_> {
    let at = if line.starts_with('{') { 1 } else { line.len() };
    Members { line, at }
}

/// The value of the member of that name, as it is spelled.
pub fn get<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    members(line).find(|member| member.is(name)).map(|member| member.value())
}

/// The items of one checked array in order, nested values as a whole; `None` for any other text.
pub fn items(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix('[')?;
    if inside == "]" {
        return Some(Vec::new());
    }
    let (bytes, mut items, mut at) = (inside.as_bytes(), Vec::new(), 0);
    loop {
        let end = value_end(bytes, at)?;
        items.push(inside.get(at..end)?);
        match bytes.get(end)? {
            b',' => at = end + 1,
            b']' if end + 1 == bytes.len() => return Some(items),
            _ => return None,
        }
    }
}

/// The text of a value that is a string, borrowed where it has no escapes; `None` for any other value.
pub fn string_of(value: &str) -> Option<Cow<'_, str>> {
    let end = value_end(value.as_bytes(), 0).filter(|end| *end == value.len())?;
    Some(unescape(value.strip_prefix('"')?.get(..end - 2)?))
}

/// Whether a value is a string without escapes: it says what stands between its quotes.
pub fn is_plain_string(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.first() == Some(&b'"') && bytes.get(plain_end(bytes, 1)..) == Some(b"\"")
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    line: &'a str,
    at: usize,
}

impl Members<'_> {
    /// After the last member: whether the text was one object, and nothing else.
    pub fn is_whole(&self) -> bool {
        self.line.get(self.at..) == Some("}")
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Member<'a>> {
        let bytes = self.line.as_bytes();
        let start = match bytes.get(self.at)? {
            b',' if self.at > 1 => self.at + 1,
            b'"' if self.at == 1 => 1,
            _ => return None,
        };
        let (key_end, escaped) = key_end(bytes, start)?;
        if bytes.get(key_end) != Some(&b':') {
            return None;
        }
        let value_end = value_end(bytes, key_end + 1)?;
        let text = self.line.get(start..value_end)?;
        let key_bytes = u32::try_from(key_end - start - r#""""#.len()).ok()?;
        self.at = value_end;
        Some(Member { text, key_bytes, escaped })
    }
}

/// Behind the closing quote of the key that begins at `at`, and whether it has escapes.
#[inline(always)]
fn key_end(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let (mut end, mut escaped) = (at + 1, false);
    loop {
        end = plain_end(bytes, end);
        match bytes.get(end)? {
            b'"' => return Some((end + 1, escaped)),
            b'\\' => (end, escaped) = (end + 2, true),
            _ => end += 1,
        }
    }
}

/// Behind the value that begins at `at`.
#[inline(always)]
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at + 1),
        b'{' | b'[' => container_end(bytes, at),
        _ => {
            let rest = &bytes[at..];
            let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
            (length > 0).then_some(at + length)
        }
    }
}

/// Behind the closing quote of the string whose text begins at `start`: the first quote that no backslash escapes.
#[inline(always)]
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        end = quote_from(bytes, end)?;
        // Before a quote that belongs to the text stands an odd number of backslashes.
        let is_escaped = bytes[end - 1] == b'\\' && backslashes(&bytes[start..end]) % 2 == 1;
        end += 1;
        if !is_escaped {
            return Some(end);
        }
    }
}

#[cold]
fn backslashes(before: &[u8]) -> usize {
    before.iter().rev().take_while(|byte| **byte == b'\\').count()
}

#[inline(never)]
fn container_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut depth) = (at, 0_usize);
    loop {
        match bytes.get(end)? {
            b'"' => {
                end = string_end(bytes, end + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        end += 1;
        if depth == 0 {
            return Some(end);
        }
    }
}

/// What a string means, from what stands between its quotes.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    unescape_into(raw, &mut text);
    Cow::Owned(text)
}

pub(super) fn unescape_into(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(place) = rest.find('\\') {
        out.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        let mut chars = rest.chars();
        let plain = match chars.next() {
            None => return,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (unit, used) = unicode(rest);
                out.push(unit);
                rest = rest.get(used..).unwrap_or_default();
                continue;
            }
            Some(other) => other,
        };
        out.push(plain);
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The character of an escape of four digits, or of two such that make a pair, and how many bytes that took.
fn unicode(text: &str) -> (char, usize) {
    let bytes = text.as_bytes();
    let Some(first) = bytes.get(1..5).and_then(hex4) else { return (char::REPLACEMENT_CHARACTER, 1) };
    if let Some(plain) = char::from_u32(first) {
        return (plain, 5);
    }
    let second = bytes.get(5..11).filter(|pair| pair.starts_with(b"\\u")).and_then(|pair| hex4(&pair[2..]));
    let pair = second
        .filter(|second| (0xdc00..0xe000).contains(second) && first < 0xdc00)
        .and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
    pair.map_or((char::REPLACEMENT_CHARACTER, 5), |pair| (pair, 11))
}

/// The number that four hexadecimal digits spell.
pub(super) fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends the text as a JSON string, with quotes and the escapes that JSON asks for.
pub fn quote(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    out.push('"');
    let mut start = 0;
    loop {
        let end = plain_end(bytes, start);
        out.push_str(&text[start..end]);
        match bytes.get(end) {
            None => break,
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(control) => {
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.extend(['\\', 'u', '0', '0', digit(control >> 4), digit(control & 15)]);
            }
        }
        start = end + 1;
    }
    out.push('"');
}
