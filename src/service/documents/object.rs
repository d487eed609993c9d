//! JSON objects as slices of their own text.
//!
//! A document is kept as it was sent: order of members, spelling of numbers, escapes. So nothing here builds a
//! tree of values; it finds where a member begins and ends, and compares values by what they mean.
//!
//! The text has been checked at the door: one line, no white space between tokens, no member twice. Other text
//! (a log of another program, say) is never a reason to panic: it is not an object, or some value in it is
//! whatever stands between two commas, the same on every node.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Values nested deeper than the door lets through are compared by their text.
const DEPTH_MAX: usize = crate::limits::JSON_DEPTH_MAX;

/// One member of an object.
#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    /// The name, unescaped.
    pub(super) name: Cow<'a, str>,
    /// The whole member, `"name":value`.
    pub(super) text: &'a str,
    /// The value alone.
    pub(super) value: &'a str,
}

impl Member<'_> {
    /// Whether the value is `null`, which is the same as none to everything but the document itself.
    pub(super) fn is_null(&self) -> bool {
        self.value == "null"
    }
}

/// The members of an object in order; `None` for text that is no object.
pub(super) fn object(text: &str) -> Option<Vec<Member<'_>>> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    if text == "{}" {
        return Some(Vec::new());
    }
    let mut members = Vec::with_capacity(8);
    let mut at = 1;
    loop {
        let start = at;
        at = string_end(bytes, at)?;
        let name = unescape(text.get(start + 1..at - 1)?);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let end = value_end(bytes, at + 1)?;
        members.push(Member { name, text: text.get(start..end)?, value: text.get(at + 1..end)? });
        match bytes.get(end)? {
            b',' => at = end + 1,
            b'}' if end + 1 == bytes.len() => return Some(members),
            _ => return None,
        }
    }
}

/// The items of an array in order; `None` for text that is no array.
pub(super) fn array(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'[') {
        return None;
    }
    if text == "[]" {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let mut at = 1;
    loop {
        let end = value_end(bytes, at)?;
        items.push(text.get(at..end)?);
        match bytes.get(end)? {
            b',' => at = end + 1,
            b']' if end + 1 == bytes.len() => return Some(items),
            _ => return None,
        }
    }
}

/// The unescaped text of a JSON string; `None` for any other value.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    (string_end(value.as_bytes(), 0)? == value.len()).then(|| unescape(inner))
}

/// A JSON string that says `text`.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += plain(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// How many bytes at the beginning are surely neither a quote nor a backslash; eight are looked at in one go.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // High bits of the bytes that are zero, and perhaps of some above the first such byte.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut count = 0;
    for eight in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(eight.try_into().expect("chunks of eight"));
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return count + found.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    count
}

fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => string_end(bytes, start),
        b'{' | b'[' => nested_end(bytes, start),
        _ => {
            let rest = &bytes[start..];
            let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
            (length > 0).then_some(start + length)
        }
    }
}

fn nested_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// What a string between its quotes says.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else { break };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => text.push(unicode(&mut rest)),
            other => text.push(other),
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character of an escape `\u` with four digits, which `rest` begins with; two of them when it is a pair.
fn unicode(rest: &mut &str) -> char {
    let Some(high) = take_hex(rest) else { return char::REPLACEMENT_CHARACTER };
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let Some(mut after) = rest.strip_prefix("\\u") else { return char::REPLACEMENT_CHARACTER };
    match take_hex(&mut after) {
        Some(low) if (0xDC00..0xE000).contains(&low) => {
            *rest = after;
            let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}

fn take_hex(rest: &mut &str) -> Option<u32> {
    let digits = rest.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    *rest = &rest[4..];
    u32::from_str_radix(digits, 16).ok()
}

/// A text that two values share exactly when they are the same JSON value: escapes undone, numbers by their
/// exact value, members in the order of their names.
pub(super) fn canonical(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    write_canonical(value, DEPTH_MAX, &mut out);
    out
}

fn write_canonical(value: &str, depth: usize, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'"') => match string(value) {
            Some(text) => write_string(&text, out),
            None => out.push_str(value),
        },
        Some(b'-' | b'0'..=b'9') => match Decimal::parse(value) {
            Some(number) => number.write(out),
            None => out.push_str(value),
        },
        Some(b'[') if depth > 0 => {
            let Some(items) = array(value) else { return out.push_str(value) };
            out.push('[');
            for (place, item) in items.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_canonical(item, depth - 1, out);
            }
            out.push(']');
        }
        Some(b'{') if depth > 0 => {
            let Some(mut members) = object(value) else { return out.push_str(value) };
            members.sort_by(|one, other| one.name.cmp(&other.name));
            out.push('{');
            for (place, member) in members.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_string(&member.name, out);
                out.push(':');
                write_canonical(member.value, depth - 1, out);
            }
            out.push('}');
        }
        _ => out.push_str(value),
    }
}

/// With the two escapes without which it would not be clear where a string ends.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for piece in text.split_inclusive(['"', '\\']) {
        let plain = piece.trim_end_matches(['"', '\\']);
        out.push_str(plain);
        if plain.len() < piece.len() {
            out.push('\\');
            out.push_str(&piece[plain.len()..]);
        }
    }
    out.push('"');
}

/// A JSON number by its exact value: 0.`digits` times ten to the power of `exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Box<str>,
    exponent: i64,
}

impl Decimal {
    /// `None` for what is not a number, or one whose exponent is beyond all reason.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.strip_prefix('+').unwrap_or(power).parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all: String = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: "".into(), exponent: 0 });
        }
        let leading = i64::try_from(all.len() - significant.len()).ok()?;
        let exponent = i64::from(power) + i64::try_from(whole.len()).ok()? - leading;
        Some(Self { negative, digits: digits.into(), exponent })
    }

    /// Whether it has no fraction: 1.0 is the integer 1.
    pub(super) fn is_integer(&self) -> bool {
        usize::try_from(self.exponent).is_ok_and(|places| places >= self.digits.len())
    }

    fn write(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        out.push_str(if self.digits.is_empty() { "0" } else { &self.digits });
        if self.exponent != 0 {
            out.push('e');
            out.push_str(&self.exponent.to_string());
        }
    }

    fn signum(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.signum();
        sign.cmp(&other.signum()).then_with(|| {
            let size = self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
            if sign < 0 { size.reverse() } else { size }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_are_found_whatever_their_values_hold() {
        let text = r#"{"a":1,"b\"}":"x,\\","c":{"d":[{}, "]}"]},"":null}"#;
        let members = object(text).unwrap();
        let seen: Vec<_> = members.iter().map(|member| (&*member.name, member.value)).collect();
        assert_eq!(seen, [("a", "1"), ("b\"}", r#""x,\\""#), ("c", r#"{"d":[{}, "]}"]}"#), ("", "null")],);
        assert_eq!(members[1].text, r#""b\"}":"x,\\""#);
        assert_eq!(object("{}").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in
            ["", "1", "[]", "{", "{\"", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":}", "{a:1}", "{\"a\":1}x", "{,}"]
        {
            assert!(object(text).is_none(), "{text}");
        }
        for text in ["", "{}", "[", "[1", "[,]", "[1]x"] {
            assert!(array(text).is_none(), "{text}");
        }
    }

    #[test]
    fn strings_say_what_their_escapes_mean() {
        assert_eq!(string(r#""a\u00e9\n\ud83d\ude00\/\"""#).unwrap(), "a\u{e9}\n\u{1f600}/\"");
        assert_eq!(string(r#""\ud83d""#).unwrap(), "\u{fffd}");
        assert_eq!(string(r#""\u12""#).unwrap(), "\u{fffd}12");
        assert_eq!(string("12"), None);
        assert_eq!(string("\"a\"b\""), None);
        assert_eq!(string("\""), None);
    }

    #[test]
    fn equal_values_have_one_canonical_text() {
        let same = [
            ("1", "1.0"),
            ("10", "1e1"),
            ("0", "-0.00"),
            ("-120e-2", "-1.2"),
            (r#""a/\u0062""#, r#""a\/b""#),
            (r#"{"a":1,"b":[1e2]}"#, r#"{"b":[100],"\u0061":1.0}"#),
        ];
        for (one, other) in same {
            assert_eq!(canonical(one), canonical(other), "{one} {other}");
        }
        let different =
            [("1", "\"1\""), ("1", "10"), ("[1,2]", "[2,1]"), (r#"["a\",\"b"]"#, r#"["a","b"]"#), ("true", "\"true\"")];
        for (one, other) in different {
            assert_ne!(canonical(one), canonical(other), "{one} {other}");
        }
        // Beyond f64: still two numbers.
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"));
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered = ["-1e3", "-2", "-1.5", "-0.1", "0", "1e-9", "0.2", "1", "1.05", "2", "10", "1e30"];
        for pair in ordered.windows(2) {
            assert!(Decimal::parse(pair[0]).unwrap() < Decimal::parse(pair[1]).unwrap(), "{pair:?}");
        }
        assert!(Decimal::parse("1.0").unwrap().is_integer() && Decimal::parse("12e2").unwrap().is_integer());
        assert!(!Decimal::parse("1.5").unwrap().is_integer() && Decimal::parse("0").unwrap().is_integer());
        assert_eq!(Decimal::parse("-"), None);
        assert_eq!(Decimal::parse("1e99999999999"), None);
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_survived(text in "[\\[\\]{}\",:\\\\u0-9a-fde.\u{e9}-]{0,40}") {
            let _ = object(&text);
            let _ = array(&text);
            let _ = string(&text);
            let _ = canonical(&text);
        }

        #[test]
        fn a_string_is_read_back_from_its_quotes(text in ".{0,40}") {
            let quoted = quoted(&text);
            prop_assert_eq!(string(&quoted).unwrap(), text);
        }
    }
}
