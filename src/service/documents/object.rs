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

use crate::types::json::{self, items, string_of};

pub(super) use crate::types::json::Member;

/// Values nested deeper than the door lets through are compared by their text.
const DEPTH_MAX: usize = crate::limits::JSON_DEPTH_MAX;

/// The members of an object in order; `None` for text that is no object.
pub(super) fn object(text: &str) -> Option<Vec<Member<'_>>> {
    if !text.starts_with('{') {
        return None;
    }
    let mut walk = json::members(text);
    let mut members = Vec::with_capacity(8);
    for member in walk.by_ref() {
        members.push(member);
    }
    walk.is_whole().then_some(members)
}

/// A JSON string that says `text`.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    json::quote(text, &mut out);
    out
}

/// A text that two values share exactly when they are the same JSON value: escapes undone, numbers by their
/// exact value, members in the order of their names.
pub(super) fn canonical(value: &str) -> Cow<'_, str> {
    if json::is_plain_string(value) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    write_canonical(value, DEPTH_MAX, &mut out);
    Cow::Owned(out)
}

fn write_canonical(value: &str, depth: usize, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'"') => match string_of(value) {
            Some(text) => write_string(&text, out),
            None => out.push_str(value),
        },
        Some(b'-' | b'0'..=b'9') => match Decimal::parse(value) {
            Some(number) => number.write(out),
            None => out.push_str(value),
        },
        Some(b'[') if depth > 0 => {
            let Some(items) = items(value) else { return out.push_str(value) };
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
            members.sort_by_cached_key(Member::name);
            out.push('{');
            for (place, member) in members.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_string(&member.name(), out);
                out.push(':');
                write_canonical(member.value(), depth - 1, out);
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
        let seen: Vec<_> = members.iter().map(|member| (member.name().into_owned(), member.value())).collect();
        assert_eq!(
            seen,
            [("a", "1"), ("b\"}", r#""x,\\""#), ("c", r#"{"d":[{}, "]}"]}"#), ("", "null")]
                .map(|(name, value)| (name.to_owned(), value))
        );
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
    }

    #[test]
    fn strings_say_what_their_escapes_mean() {
        assert_eq!(string_of(r#""a\u00e9\n\ud83d\ude00\/\"""#).unwrap(), "a\u{e9}\n\u{1f600}/\"");
        assert_eq!(string_of(r#""\ud83d""#).unwrap(), "\u{fffd}");
        assert_eq!(string_of(r#""\u12""#).unwrap(), "\u{fffd}12");
        assert_eq!(string_of("12"), None);
        assert_eq!(string_of("\"a\"b\""), None);
        assert_eq!(string_of("\""), None);
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
        assert!(matches!(canonical(r#""a long enough plain string""#), Cow::Borrowed(_)));
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
            let _ = items(&text);
            let _ = string_of(&text);
            let _ = canonical(&text);
        }

        #[test]
        fn a_string_is_read_back_from_its_quotes(text in ".{0,40}") {
            let quoted = quoted(&text);
            prop_assert_eq!(string_of(&quoted).unwrap(), text);
        }
    }
}
