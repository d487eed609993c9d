//! `state/damage`: what the scrub has found and not found mended since, so that a restart does not forget it.
//!
//! One line of JSON for each segment, in the place of the file before it. A start reads these segments again first. A line
//! that cannot be read is none, and is said: the segment that it was of is read again with all others.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::types::Version;

const NAME: &str = "damage";
/// Segments that are remembered: who has more of them damaged has lost the disk.
const KEPT_MAX: usize = 1000;
/// Bytes that are read; what a node writes is less.
const BYTES_MAX: u64 = 1 << 20;
/// Bytes of a message that are kept.
const MESSAGE_MAX: usize = 400;

/// What was found in one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Damage {
    /// The first version of the segment.
    pub(super) base: Version,
    /// All errors in it; what follows is of the first.
    pub(super) errors: u64,
    pub(super) code: String,
    pub(super) version: Option<Version>,
    pub(super) segment: Option<String>,
    pub(super) offset: Option<u64>,
    pub(super) message: String,
}

/// Puts these in the place of what was kept, durably, if they are others.
pub(super) fn keep<'a>(state_dir: &Path, found: impl Iterator<Item = &'a Damage>) -> io::Result<()> {
    let mut text = String::new();
    for damage in found.take(KEPT_MAX) {
        let mut damage = damage.clone();
        damage.message.truncate(damage.message.floor_char_boundary(MESSAGE_MAX));
        text.push_str(&serde_json::to_string(&damage)?);
        text.push('\n');
    }
    let path = state_dir.join(NAME);
    if text.as_bytes() == bytes(&path)? {
        return Ok(());
    }
    let new = state_dir.join("damage.tmp");
    super::dir::write_private(&new, text.as_bytes())?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    File::open(state_dir)?.sync_all()
}

/// What was kept, and how many lines cannot be read.
pub(super) fn kept(state_dir: &Path) -> io::Result<(Vec<Damage>, usize)> {
    let bytes = bytes(&state_dir.join(NAME))?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line: &[u8]| serde_json::from_slice(line).ok().filter(|damage: &Damage| damage.errors > 0);
    let mut unread = 0;
    let found = lines
        .filter_map(|line| {
            read(line).or_else(|| {
                unread += 1;
                None
            })
        })
        .take(KEPT_MAX)
        .collect();
    Ok((found, unread))
}

/// The segments, by their first versions, in which the node of this directory has found damage that it has not found
/// mended since. Of a file that cannot be read: none.
pub fn damaged_segments(state_dir: &Path) -> Vec<Version> {
    let (found, _) = kept(state_dir).unwrap_or_default();
    found.into_iter().map(|damage| damage.base).collect()
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(base: Version) -> Damage {
        let segment = Some(format!("{base:020}.log"));
        Damage {
            base,
            errors: 2,
            code: "crc".into(),
            version: None,
            segment,
            offset: Some(64),
            message: "ä".repeat(300),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_a_line_that_rots_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path();
        assert_eq!(kept(state).unwrap(), (vec![], 0));
        keep(state, [].iter()).unwrap();
        assert!(!state.join(NAME).exists(), "nothing was found, and nothing is written");
        keep(state, [damage(1), damage(70)].iter()).unwrap();
        let (found, unread) = kept(state).unwrap();
        assert_eq!((found.len(), unread, found[1].base, found[1].message.len()), (2, 0, 70, MESSAGE_MAX));

        let path = state.join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        for (wrong, count) in [
            (text.replacen("\"base\":1,", "\"bose\":1,", 1).into_bytes(), 1),
            (text.replacen("\"errors\":2", "\"errors\":0", 1).into_bytes(), 1),
            ([&[0xff, 0xfe, b'\n'][..], text.as_bytes()].concat(), 2),
            (text.as_bytes()[..text.len() - 9].to_vec(), 1),
            (vec![b'x'; 3 << 20], 0),
        ] {
            fs::write(&path, wrong).unwrap();
            let (found, unread) = kept(state).unwrap();
            assert_eq!((found.len(), unread), (count, 1));
        }
        keep(state, [damage(1)].iter()).unwrap();
        assert_eq!(kept(state).unwrap().0.len(), 1, "it is replaced, whatever it was");
        keep(state, (1..3000).map(damage).collect::<Vec<_>>().iter()).unwrap();
        assert_eq!(kept(state).unwrap().0.len(), KEPT_MAX);
        keep(state, [].iter()).unwrap();
        assert_eq!(kept(state).unwrap(), (vec![], 0));
    }
}
