//! JSON for people: the same tokens, two spaces for each level.

use crate::types::json;

/// Appends a checked line of JSON, spread over lines; numbers and escapes keep their spelling.
pub(crate) fn pretty(value: &str, level: usize, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'{') if value.len() > 2 => {
            out.push('{');
            for (place, member) in json::members(value).enumerate() {
                out.push_str(if place > 0 { ",\n" } else { "\n" });
                indent(level + 1, out);
                out.push('"');
                out.push_str(member.key());
                out.push_str("\": ");
                pretty(member.value(), level + 1, out);
            }
            out.push('\n');
            indent(level, out);
            out.push('}');
        }
        Some(b'[') if value.len() > 2 => {
            out.push('[');
            for (place, item) in json::items(value).unwrap_or_default().into_iter().enumerate() {
                out.push_str(if place > 0 { ",\n" } else { "\n" });
                indent(level + 1, out);
                pretty(item, level + 1, out);
            }
            out.push('\n');
            indent(level, out);
            out.push(']');
        }
        _ => out.push_str(value),
    }
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// Knows, byte by byte, whether we are inside of a string, an object or an array.
#[derive(Debug, Default, Clone)]
pub(crate) struct Splitter {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Splitter {
    /// Whether this byte stands outside of everything that began before it.
    pub(crate) fn is_outside(&mut self, byte: u8) -> bool {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return false;
        }
        let outside = self.depth == 0;
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_spread_over_lines_and_keeps_its_spelling() {
        let mut out = String::new();
        pretty(r#"{"a":1.50,"b":[{"c":"x\",]"},[],{}],"d\u00e9":null}"#, 0, &mut out);
        let expected = "{\n  \"a\": 1.50,\n  \"b\": [\n    {\n      \"c\": \"x\\\",]\"\n    },\n    [],\n    {}\n  ],\n  \"d\\u00e9\": null\n}";
        assert_eq!(out, expected);
    }
}
