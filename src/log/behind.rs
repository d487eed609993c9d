//! A log that begins behind a place of its chain: what was before is in a snapshot, or in an archive that is read back.
//!
//! # Not here
//! Whether that place can be believed: who begins a log there has checked it.

use super::Config;
use super::error::{Context, LogError};
use super::format::SegmentHeader;
use super::mark::{Found, MarkFile};
use super::reader::Shared;
use super::sealer::Sealer;
use super::segment;
use super::vfs::Vfs;
use super::writer::{Newest, Writer};
use crate::types::Position;
use std::path::Path;
use std::sync::Arc;

/// Begins the log of a directory that has none, so that its first record continues `before`.
///
/// # Errors
/// The disk refuses something; the directory is to be thrown away then.
pub fn begin_behind(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    config: &Config,
    before: Position,
) -> Result<(Writer, Sealer), LogError> {
    for made in [segment::log_dir(dir), dir.join("state")] {
        vfs.create_dir_all(&made).context("create", &made)?;
    }
    let (head, base) = (before.version, before.version + 1);
    let header = SegmentHeader { cluster: config.cluster, base, before: before.hash };
    let segment = Newest::create(&*vfs, dir, &header, config)?;
    let mark = MarkFile::open(&*vfs, dir, &Found::default())?;
    let shared = Arc::new(Shared::new(vec![base], head, head));
    let (dir, config) = (dir.to_path_buf(), config.clone());
    let mut writer = Writer { vfs, dir, config, segment, head, unsynced: 0, mark, shared, closed: false };
    writer.make_mark_durable()?;
    Ok((writer, Sealer::new(before)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{CLUSTER, record};
    use crate::log::{Batch, Held, MemVfs, Reader, open};
    use crate::types::{Epoch, Hash};

    #[test]
    fn a_log_may_begin_anywhere_and_goes_on_from_there() {
        let (vfs, dir) = (Arc::new(MemVfs::new()), Path::new("/d"));
        let config = Config { cluster: CLUSTER, segment_bytes: 1 << 16, zero_fill: false };
        let before = Position { epoch: Epoch::default(), version: 41, hash: Hash([7; 32]) };
        let (writer, _) = begin_behind(vfs.clone(), dir, &config, before).unwrap();
        writer.close(41).unwrap();
        let opened = open(vfs.clone(), dir, &config).unwrap();
        assert_eq!((opened.report.head.version, opened.report.oldest, opened.report.committed), (41, 42, 41));
        let (mut writer, mut sealer, mut batch) = (opened.writer, opened.sealer, Batch::new());
        for version in 42..50 {
            sealer.seal(&mut record(version), &mut batch);
        }
        writer.append(&mut batch).unwrap();
        writer.close(49).unwrap();
        let reader = Reader::open(vfs, dir, Held::ByNobody).unwrap();
        assert_eq!((reader.hash(41).unwrap(), reader.durable(), reader.oldest()), (Some(Hash([7; 32])), 49, 42));
        assert_eq!(reader.records(42, 49).filter(Result::is_ok).count(), 8);
    }
}
