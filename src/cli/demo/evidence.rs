//! What the demo looks at to believe its own story: answers on one side, the log on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::cli::Failure;
use crate::error::Exit;
use crate::types::Version;

/// How the keys of the batch begin.
pub(super) const KEY_PREFIX: &str = "demo-";

/// An operation that was answered as applied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Answered {
    version: Version,
    hash: String,
}

/// Every whole line of the batch's output that says `applied`.
pub(super) fn answered(path: &Path) -> Result<Vec<Answered>, Failure> {
    let text = read(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut found = Vec::new();
    for line in whole.lines().filter(|line| line.contains("\"type\":\"applied\"")) {
        found.push(parse(line, path)?);
    }
    Ok(found)
}

#[derive(Debug, Deserialize)]
struct Record {
    version: Version,
    hash: String,
    key: Option<String>,
}

/// The log, as `rig log dump --json` has it.
#[derive(Debug, Default)]
pub(super) struct Logged {
    versions: Vec<Version>,
    hashes: BTreeMap<Version, String>,
    keys: Vec<String>,
}

impl Logged {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut log = Self::default();
        for line in read(path)?.lines() {
            let record: Record = parse(line, path)?;
            log.versions.push(record.version);
            log.hashes.insert(record.version, record.hash);
            log.keys.extend(record.key.filter(|key| key.starts_with(KEY_PREFIX)));
        }
        Ok(log)
    }

    /// 1, 2, 3 and so on, and at least one.
    pub(super) fn has_no_gap(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().zip(1..).all(|(version, expected)| *version == expected)
    }

    /// Every answer names a record, and its hash is the record's.
    pub(super) fn holds(&self, answers: &[Answered]) -> bool {
        !answers.is_empty() && answers.iter().all(|answer| self.hashes.get(&answer.version) == Some(&answer.hash))
    }

    /// The batch's keys, all of them, none twice.
    pub(super) fn has_each_once(&self, operations: usize) -> bool {
        let distinct: BTreeSet<_> = self.keys.iter().collect();
        self.keys.len() == operations && distinct.len() == operations
    }
}

/// A place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) segment: String,
    pub(super) offset: usize,
}

impl Evidence {
    /// Where these bytes stand first.
    pub(super) fn find(log: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        let listed = fs::read_dir(log).map_err(|error| Failure::io("read", log, &error))?;
        let mut segments: Vec<_> = listed
            .flatten()
            .filter_map(|file| file.file_name().into_string().ok())
            .filter(|name| name.strip_suffix(".log").is_some_and(|v| v.bytes().all(|byte| byte.is_ascii_digit())))
            .collect();
        segments.sort();
        for segment in segments {
            let path = log.join(&segment);
            let content = fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
            if let Some(offset) = content.windows(bytes.len()).position(|window| window == bytes) {
                return Ok(Self { segment, offset });
            }
        }
        Err(Failure::new(Exit::Failure, "no_evidence", "the log's files do not hold what was logged"))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str, path: &Path) -> Result<T, Failure> {
    serde_json::from_str(line)
        .map_err(|error| Failure::new(Exit::Failure, "bad_output", format!("{}: {error}: {line}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(u64, &str, &str)]) -> Logged {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("log");
        let line = |(version, hash, key): &(u64, &str, &str)| {
            format!("{{\"type\":\"record\",\"version\":{version},\"hash\":\"{hash}\",\"key\":{key}}}\n")
        };
        fs::write(&file, lines.iter().map(line).collect::<String>()).unwrap();
        Logged::read(&file).unwrap()
    }

    fn answer(version: u64, hash: &str) -> Answered {
        Answered { version, hash: hash.to_owned() }
    }

    #[test]
    fn a_gap_a_loss_and_a_double_are_each_seen() {
        let good = log(&[(1, "a", "null"), (2, "b", "\"demo-1\""), (3, "c", "\"demo-2\"")]);
        assert!(good.has_no_gap() && good.has_each_once(2));
        assert!(good.holds(&[answer(2, "b"), answer(3, "c")]));
        assert!(!good.holds(&[answer(4, "d")]), "lost");
        assert!(!good.holds(&[answer(2, "c")]), "another hash");
        assert!(!good.holds(&[]), "no answers prove nothing");
        assert!(!good.has_each_once(3));
        assert!(!log(&[(1, "a", "null"), (3, "c", "null")]).has_no_gap());
        assert!(!log(&[(2, "b", "null")]).has_no_gap() && !log(&[]).has_no_gap());
        assert!(!log(&[(1, "a", "\"demo-1\""), (2, "b", "\"demo-1\"")]).has_each_once(2), "twice");
    }

    #[test]
    fn only_whole_lines_that_say_applied_are_answers() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("answers");
        let text = "{\"type\":\"applied\",\"version\":2,\"hash\":\"b\",\"result\":{}}\n\
                    {\"type\":\"rejected\",\"line\":2}\n{\"type\":\"applied\",\"version\":3,\"ha";
        fs::write(&file, text).unwrap();
        assert_eq!(answered(&file).unwrap(), [answer(2, "b")]);
    }

    #[test]
    fn bytes_are_found_in_segments_only() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("spare"), "needle").unwrap();
        assert!(Evidence::find(home.path(), b"needle").is_err());
        fs::write(home.path().join("00000000000000000002.log"), "a needle").unwrap();
        let found = Evidence::find(home.path(), b"needle").unwrap();
        assert_eq!(found, Evidence { segment: "00000000000000000002.log".to_owned(), offset: 2 });
    }
}
