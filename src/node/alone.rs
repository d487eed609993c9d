//! `state/alone`: the ranges of versions that were acknowledged on fewer nodes than the log named, for ever.
//!
//! One line of JSON for each range, synced before the standing that ends it is. A line that a crash has torn is no
//! range: its end is recorded again with the next standing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::types::Version;

const NAME: &str = "alone";

/// A range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) from: Version,
    pub(super) to: Version,
}

/// Adds ranges, durably.
pub(super) fn note(state_dir: &Path, ranges: &[Range]) -> io::Result<()> {
    if ranges.is_empty() {
        return Ok(());
    }
    let path = state_dir.join(NAME);
    let is_new = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    // A line that a crash has torn ends here.
    let mut lines = String::from("\n");
    for range in ranges {
        lines.push_str(&serde_json::to_string(range)?);
        lines.push('\n');
    }
    file.write_all(lines.as_bytes())?;
    file.sync_data()?;
    if is_new { File::open(state_dir)?.sync_all() } else { Ok(()) }
}

/// Every range that was noted.
pub(super) fn read(state_dir: &Path) -> io::Result<Vec<Range>> {
    match std::fs::read_to_string(state_dir.join(NAME)) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The same, where no two have a version in common: a start that knew of fewer committed ones than there were has begun
/// the next range before the end of the one before.
pub(super) fn joined(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.from);
    let mut joined: Vec<Range> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.from <= last.to => last.to = last.to.max(range.to),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_have_a_version_in_common_are_one() {
        let ranges =
            |all: &[(Version, Version)]| -> Vec<Range> { all.iter().map(|&(from, to)| Range { from, to }).collect() };
        assert_eq!(
            joined(&ranges(&[(8, 9), (9, 10), (12, 12), (13, 20), (14, 15)])),
            ranges(&[(8, 10), (12, 12), (13, 20)])
        );
        assert_eq!(joined(&[]), []);
    }

    #[test]
    fn ranges_are_kept_in_order_and_a_torn_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
        let ranges = [Range { from: 3, to: 9 }, Range { from: 20, to: 20 }];
        note(dir.path(), &ranges[..1]).unwrap();
        note(dir.path(), &ranges[1..]).unwrap();
        assert_eq!(read(dir.path()).unwrap(), ranges);
        let mut file = OpenOptions::new().append(true).open(dir.path().join(NAME)).unwrap();
        file.write_all(b"{\"from\":30,\"t").unwrap();
        assert_eq!(read(dir.path()).unwrap(), ranges);
        note(dir.path(), &ranges[..1]).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 3);
    }
}
