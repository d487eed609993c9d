//! What a node remembers of its coordinator, so that a start forgets nothing that the node went by.
//!
//! ```text
//!   state/coordinator          the URL: a node that went by a record is not started without one by mistake
//!   state/coordinator-record   the prefix, and the record that was built on last: another prefix is refused, and what went
//!                              back while the node was down is seen
//! ```
//!
//! A primary that forgot the flag would leave members out by the rules of nodes without a coordinator, and answer alone; the
//! record would still name those members, and one of them would take over without what was answered. With another prefix it
//! is the same: there is another record.
//!
//! # Invariants
//! 1. The record is noted before anybody builds on it, when its store, epoch or set is another, and only where it is of this
//!    node's cluster: who was refused there may try another prefix.
//! 2. Where it cannot be noted the node goes on by what it has in memory, says so once, and tries again: a full disk must
//!    not keep a node from hearing that another one leads. Until then a restart knows what was noted last.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::CoordinatorConfig;
use super::known::Known;
use crate::node::{Config, NodeError};
use crate::types::{Epoch, NodeId};

const URL: &str = "coordinator";
const RECORD: &str = "coordinator-record";
const FORMAT: u64 = 1;
/// From one try to the next, while it cannot be noted.
const AGAIN: Duration = Duration::from_secs(1);

/// The record that was built on last, and the place for the next one.
#[derive(Debug)]
pub(in crate::node) struct Memory {
    state_dir: PathBuf,
    prefix: String,
    noted: Option<Known>,
    /// [`Memory::beside`].
    logged: Epoch,
    /// When it could not be noted last.
    failed: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u64,
    prefix: String,
    store: u64,
    revision: u64,
    epoch: Epoch,
    in_sync: Vec<NodeId>,
    write: String,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// Refuses a start that forgets the coordinator, or that goes to another record; notes durably which one there is, or that
/// it was given up in words. Gives what is remembered of it.
pub(in crate::node) fn check(state_dir: &Path, config: &Config) -> Result<Option<Memory>, NodeError> {
    let failed = |op: &'static str, name: &str| {
        let path = state_dir.join(name);
        move |source| NodeError::Io { op, path, source }
    };
    if config.coordinator.is_none() && config.leaves_coordinator {
        // The URL last: as long as it is there, a start without a coordinator is refused.
        [RECORD, URL].iter().try_for_each(|name| remove(state_dir, name).map_err(failed("remove", name)))?;
        return Ok(None);
    }
    let url = match fs::read_to_string(state_dir.join(URL)) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", URL)(error)),
    };
    let refused = |reason| Err(NodeError::Setting { name: "coordinator", reason });
    let Some(CoordinatorConfig { address, .. }) = &config.coordinator else {
        return match url {
            None => Ok(None),
            Some(url) => refused(format!(
                "this node goes by the record at {url}: start it with --coordinator {url}; or with --coordinator none, when \
                 no node of the cluster goes by it any more"
            )),
        };
    };
    let remembered = match fs::read(state_dir.join(RECORD)) {
        Ok(bytes) => match read(&bytes) {
            Ok(remembered) => Some(remembered),
            Err(why) => {
                let what = format!(
                    "it is damaged, {why}: if the record is the one that the node has written which led last (rig \
                     coordinator show {address}), remove the file; if not, `rig coordinator repair` has to mend it first"
                );
                return Err(failed("read", RECORD)(io::Error::new(io::ErrorKind::InvalidData, what)));
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", RECORD)(error)),
    };
    if let Some((prefix, _)) = remembered.as_ref().filter(|(prefix, _)| prefix != address.prefix()) {
        let known = url.unwrap_or_else(|| format!("the prefix {prefix}"));
        return refused(format!(
            "this node goes by the record at {known}, and {address} is another prefix, with another record: give the prefix \
             {prefix}, on whatever hosts; or, when no node of the cluster goes by the old record any more, start it once \
             with --coordinator none"
        ));
    }
    let asked = address.to_string();
    if url.as_deref() != Some(&asked) {
        replace(state_dir, URL, format!("{asked}\n").as_bytes()).map_err(failed("write", URL))?;
    }
    let noted = remembered.map(|(_, known)| known);
    Ok(Some(Memory {
        state_dir: state_dir.to_owned(),
        prefix: address.prefix().to_owned(),
        noted,
        logged: Epoch::default(),
        failed: None,
    }))
}

impl Memory {
    /// Of a node with a log that ends in this epoch.
    pub(in crate::node) fn beside(self, logged: Epoch) -> Self {
        Self { logged, ..self }
    }

    /// The last epoch in the log, where nothing is remembered of the record: an older one is of a time before.
    pub(super) fn logged(&self) -> Epoch {
        if self.noted.is_some() { Epoch::default() } else { self.logged }
    }

    pub(super) fn noted(&self) -> Option<&Known> {
        self.noted.as_ref()
    }

    /// Notes what is about to be built on.
    pub(super) fn note(&mut self, known: &Known) {
        let is_due = self.failed.is_none_or(|failed| failed.elapsed() >= AGAIN);
        if !is_due || !known.is_news(self.noted.as_ref()) {
            return;
        }
        match replace(&self.state_dir, RECORD, &text_of(&self.prefix, known)) {
            Ok(()) => {
                self.noted = Some(known.clone());
                if self.failed.take().is_some() {
                    log::info!("what the record says is noted again");
                }
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    log::warn!(
                        "note what the record says in {}: {error}; until that is done, a restart knows what was noted before",
                        self.state_dir.join(RECORD).display()
                    );
                }
            }
        }
    }
}

fn text_of(prefix: &str, known: &Known) -> Vec<u8> {
    let Known { store, revision, epoch, set, write } = known.clone();
    let text = Text { format: FORMAT, prefix: prefix.to_owned(), store, revision, epoch, in_sync: set, write };
    let mut bytes = serde_json::to_vec(&text).expect("a struct of numbers and texts becomes JSON");
    bytes.push(b'\n');
    bytes
}

fn read(bytes: &[u8]) -> Result<(String, Known), String> {
    let json = |error: serde_json::Error| error.to_string();
    let Format { format } = serde_json::from_slice(bytes).map_err(json)?;
    if format != FORMAT {
        return Err(format!("it has format {format} of another release, and this one reads format {FORMAT}"));
    }
    let Text { prefix, store, revision, epoch, in_sync, write, .. } = serde_json::from_slice(bytes).map_err(json)?;
    Ok((prefix, Known { store, revision, epoch, set: in_sync, write }))
}

/// Whole or not at all, and durably.
fn replace(state_dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = state_dir.join("coordinator.tmp");
    let written = crate::node::dir::write_private(&new, bytes).and_then(|()| File::open(&new)?.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, state_dir.join(name))) {
        // What there was of it would take room where there is none.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    File::open(state_dir)?.sync_all()
}

fn remove(state_dir: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(state_dir.join(name)) {
        Ok(()) => File::open(state_dir)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let owner = NodeId([1; 16]);
        let epoch = Epoch { number: 3, owner, start: 2 };
        Known { store: u64::MAX, revision: 17, epoch, set: vec![NodeId([2; 16])], write: "w-9".to_owned() }
    }

    #[test]
    fn what_was_noted_is_read_again_and_bytes_from_elsewhere_end_nothing() {
        let bytes = text_of("/rig/a", &known());
        assert_eq!(read(&bytes), Ok(("/rig/a".to_owned(), known())));
        for end in 0..bytes.len() - 2 {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        for place in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut other = bytes.clone();
                other[place] ^= flip;
                let _ = read(&other);
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        let newer = read(text.replace("\"format\":1", "\"format\":2").as_bytes());
        assert!(newer.unwrap_err().contains("format 2 of another release"));
        assert!(read(text.replace("\"write\"", "\"more\":1,\"write\"").as_bytes()).is_err());
    }

    #[test]
    fn what_cannot_be_noted_is_noted_later_and_nothing_is_left_of_the_try() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory {
            state_dir: dir.path().to_owned(),
            prefix: "/rig/a".to_owned(),
            noted: None,
            logged: Epoch::default(),
            failed: None,
        };
        fs::create_dir(dir.path().join(RECORD)).unwrap();
        memory.note(&known());
        assert!(memory.noted().is_none() && !dir.path().join("coordinator.tmp").exists());
        fs::remove_dir(dir.path().join(RECORD)).unwrap();
        memory.note(&known());
        assert!(memory.noted().is_none(), "not at once");
        memory.failed = Instant::now().checked_sub(AGAIN);
        memory.note(&known());
        assert_eq!((memory.noted(), memory.failed), (Some(&known()), None));
        assert_eq!(read(&fs::read(dir.path().join(RECORD)).unwrap()), Ok(("/rig/a".to_owned(), known())));
    }
}
