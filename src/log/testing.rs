//! What the tests of the log share: records that differ, and logs made of them.

use super::{Batch, Config, MemVfs, Opened, open};
use crate::types::{ClusterId, Durable, Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
pub(crate) const DIR: &str = "/data";

pub(crate) fn config() -> Config {
    Config { cluster: CLUSTER, segment_bytes: 64 << 10, zero_fill: true }
}

/// A record that says which it is, with or without a key and an actor.
pub(crate) fn record(version: Version) -> Record {
    sized(version, 3 + (version as usize * 7) % 40)
}

/// A record with so many bytes of data.
pub(crate) fn sized(version: Version, data: usize) -> Record {
    let keyed = version.is_multiple_of(3);
    let digits = version.to_string();
    let data = format!("{}{digits}", "7".repeat(data.saturating_sub(digits.len())));
    Record {
        version,
        epoch: Epoch { number: 1 + version / 50, owner: NodeId([7; 16]), start: 0 },
        time: 1_700_000_000_000_000 + version,
        commit_upto: 0,
        kind: if version == 1 { Kind::Control } else { Kind::Operation },
        key: keyed.then(|| format!("key-{version}").into()),
        request_hash: keyed.then_some(Hash([3; 32])),
        actor: if version.is_multiple_of(2) { "alice".into() } else { "".into() },
        operation: Operation::new("user_create", data),
        hash: Hash::default(),
    }
}

/// An open log on a simulated disk.
pub(crate) struct Made {
    pub(crate) vfs: MemVfs,
    pub(crate) config: Config,
    pub(crate) opened: Opened,
}

impl Made {
    pub(crate) fn new(config: Config) -> Self {
        Self::on(MemVfs::new(), config)
    }

    pub(crate) fn on(vfs: MemVfs, config: Config) -> Self {
        let opened = open(Arc::new(vfs.clone()), Path::new(DIR), &config).unwrap();
        Self { vfs, config, opened }
    }

    pub(crate) fn next(&self) -> Version {
        self.opened.sealer.position().version + 1
    }

    /// Appends records of the next versions as one batch, without a sync.
    pub(crate) fn append(&mut self, n: u64, make: impl Fn(Version) -> Record) {
        let mut batch = Batch::new();
        for _ in 0..n {
            let mut record = make(self.next());
            self.opened.sealer.seal(&mut record, &mut batch);
        }
        self.opened.writer.append(&mut batch).unwrap();
    }

    pub(crate) fn sync(&mut self) -> Durable {
        self.opened.writer.sync().unwrap()
    }

    /// Appends, syncs and marks records one batch after the other.
    pub(crate) fn write(&mut self, batches: u64, each: u64, make: impl Fn(Version) -> Record) {
        for _ in 0..batches {
            self.append(each, &make);
            let durable = self.sync();
            self.opened.writer.mark(durable.version()).unwrap();
        }
    }
}

pub(crate) fn segment(base: Version) -> PathBuf {
    Path::new(DIR).join("log").join(super::format::segment_name(base))
}
