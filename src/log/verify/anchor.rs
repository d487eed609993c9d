//! What is known of a log from outside: versions and their hashes, in a small text file.
//!
//! ```text
//! # anything behind a hash sign
//! 1200 6b0f…64 hexadecimal digits…
//! ```

use crate::types::{Hash, Version};
use std::fmt;

/// One version and the hash that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// Which version.
    pub version: Version,
    /// Its chain hash.
    pub hash: Hash,
}

/// A line that is not an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAnchor {
    /// Which line, from 1.
    pub line: usize,
}

impl fmt::Display for NotAnAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected a version and a hash of 64 hexadecimal digits", self.line)
    }
}

impl std::error::Error for NotAnAnchor {}

/// Reads anchors, in any order; empty lines and comments are skipped.
pub fn parse_anchors(text: &str) -> Result<Vec<Anchor>, NotAnAnchor> {
    let mut anchors = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            anchors.push(parse_line(line).ok_or(NotAnAnchor { line: place + 1 })?);
        }
    }
    anchors.sort_unstable();
    Ok(anchors)
}

fn parse_line(line: &str) -> Option<Anchor> {
    let (version, hash) = line.split_once(char::is_whitespace)?;
    let anchor = Anchor { version: version.parse().ok()?, hash: hash.trim().parse().ok()? };
    (anchor.version > 0).then_some(anchor)
}

/// The text of some anchors.
pub fn format_anchors(anchors: &[Anchor]) -> String {
    anchors.iter().map(|Anchor { version, hash }| format!("{version} {hash}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_read_back_in_order_and_other_lines_are_named() {
        let anchors = [1, 7, 9].map(|version| Anchor { version, hash: Hash([version as u8; 32]) });
        let text = format!("# kept by the auditor\n\n{}", format_anchors(&anchors));
        assert_eq!(parse_anchors(&text).unwrap(), anchors);
        for bad in ["x", "1", "1 abc", "0 6b", &format!("1 {}", "G".repeat(64)), &format!("0 {}", "a".repeat(64))] {
            assert_eq!(parse_anchors(&format!("# first\n{bad}\n")), Err(NotAnAnchor { line: 2 }), "{bad}");
        }
    }
}
