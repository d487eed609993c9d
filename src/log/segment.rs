//! Segment files: their names, how one comes into being, and the spare one that waits.
//!
//! ```text
//!   spare.tmp ──zeros, sync──► spare ──┐
//!                                      ├─ header, sync ──► <base>.log ── sync of the directory
//!   new.tmp ───────────────────────────┘
//! ```
//!
//! # Invariants
//! 1. A segment has its name only when its header is durable.
//! 2. Zeros never take the last room: filling ahead stops when fewer than four segments would fit.

use super::Config;
use super::error::{Context, LogError};
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_base, segment_name};
use super::vfs::{Access, File, Vfs, is_no_space};
use crate::types::Version;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file of zeros, as long as a segment, that the next segment is made of.
pub(crate) const SPARE: &str = "spare";
const SPARE_HALF: &str = "spare.tmp";
const NEW_HALF: &str = "new.tmp";
/// Zeros are written in pieces of this size.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
/// A spare is synced after so many bytes: a sync of the log waits for one such piece at most. With a MiB a single client
/// waited half as long again in all.
const SPARE_PIECE: u64 = ZEROS.len() as u64;

/// What came of [`prepare_spare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// It is there, for the next segment.
    Ready,
    /// The disk is too full to fill room ahead; segments grow as they are written.
    NoRoom,
    /// The configuration asks for segments that grow.
    NotWanted,
}

/// Makes the file that the next segment will be made of, zero-filled and durable. It blocks for as long as writing a
/// segment takes: run it where nobody waits, after a start and after each new segment.
pub fn prepare_spare(vfs: &dyn Vfs, dir: &Path, config: &Config) -> Result<Spare, LogError> {
    prepare_spare_beside(vfs, dir, config, &|_, _| ())
}

/// The same beside others who use the disk: `rest` is called after each durable piece, with its bytes and how long
/// they took.
pub fn prepare_spare_beside(
    vfs: &dyn Vfs,
    dir: &Path,
    config: &Config,
    rest: &dyn Fn(usize, Duration),
) -> Result<Spare, LogError> {
    let dir = log_dir(dir);
    if !config.zero_fill {
        return Ok(Spare::NotWanted);
    }
    if open_spare(vfs, &dir, config)?.is_some() {
        return Ok(Spare::Ready);
    }
    if !has_room(vfs, &dir, config) {
        return Ok(Spare::NoRoom);
    }
    let half = dir.join(SPARE_HALF);
    remove_if_there(vfs, &half)?;
    match make_spare(vfs, &dir, &half, config, rest) {
        Ok(()) => Ok(Spare::Ready),
        Err(error) => {
            remove_if_there(vfs, &half)?;
            if matches!(error, LogError::NoSpace { .. }) { Ok(Spare::NoRoom) } else { Err(error) }
        }
    }
}

fn make_spare(
    vfs: &dyn Vfs,
    dir: &Path,
    half: &Path,
    config: &Config,
    rest: &dyn Fn(usize, Duration),
) -> Result<(), LogError> {
    let file = vfs.open(half, Access::Create).context("create", half)?;
    let mut at = 0;
    while at < config.segment_bytes {
        let since = Instant::now();
        let end = (at + SPARE_PIECE).min(config.segment_bytes);
        write_zeros(&*file, at, end).context("fill", half)?;
        // Piece by piece: one sync of everything would hold up those of the log.
        file.sync_data().context("sync", half)?;
        rest((end - at) as usize, since.elapsed());
        at = end;
    }
    vfs.rename(half, &dir.join(SPARE)).context("rename", half)?;
    vfs.sync_dir(dir).context("sync", dir)
}

/// The spare file, if it is there and fits.
fn open_spare(vfs: &dyn Vfs, dir: &Path, config: &Config) -> Result<Option<Arc<dyn File>>, LogError> {
    let path = dir.join(SPARE);
    let file = match vfs.open(&path, Access::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("open", &path),
    };
    if file.len().context("read", &path)? == config.segment_bytes {
        return Ok(Some(file));
    }
    remove_if_there(vfs, &path)?;
    Ok(None)
}

/// Makes the segment that `header` describes, durable under its name.
pub(crate) fn create(
    vfs: &dyn Vfs,
    dir: &Path,
    header: &SegmentHeader,
    config: &Config,
) -> Result<Arc<dyn File>, LogError> {
    let spare = if config.zero_fill { open_spare(vfs, dir, config)? } else { None };
    let (file, half) = match spare {
        Some(file) => (file, dir.join(SPARE)),
        None => {
            let half = dir.join(NEW_HALF);
            remove_if_there(vfs, &half)?;
            (vfs.open(&half, Access::Create).context("create", &half)?, half)
        }
    };
    let made = file.write_at(&header.encode(), 0).and_then(|()| file.sync_data()).context("write", &half);
    if let Err(error) = made {
        remove_if_there(vfs, &half)?;
        return Err(error);
    }
    vfs.rename(&half, &dir.join(segment_name(header.base))).context("rename", &half)?;
    vfs.sync_dir(dir).context("sync", dir)?;
    Ok(file)
}

/// Removes what a crash left half-made.
pub(crate) fn remove_halves(vfs: &dyn Vfs, dir: &Path) -> Result<(), LogError> {
    remove_if_there(vfs, &dir.join(SPARE_HALF))?;
    remove_if_there(vfs, &dir.join(NEW_HALF))
}

pub(crate) fn remove_if_there(vfs: &dyn Vfs, path: &Path) -> Result<(), LogError> {
    match vfs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove", path),
        _ => Ok(()),
    }
}

/// Writes zeros, so that later writes there change no length and no allocation.
pub(crate) fn write_zeros(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let n = ZEROS.len().min((to - at) as usize);
        file.write_at(&ZEROS[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

/// Fills `from..to` with zeros if there is ample room; how far the file reaches then.
pub(crate) fn fill_ahead(
    vfs: &dyn Vfs,
    dir: &Path,
    file: &dyn File,
    from: u64,
    to: u64,
    config: &Config,
) -> io::Result<u64> {
    if !has_room(vfs, dir, config) {
        return Ok(from);
    }
    match write_zeros(file, from, to) {
        Ok(()) => Ok(to),
        Err(error) if is_no_space(&error) => {
            file.set_len(from)?;
            Ok(from)
        }
        Err(error) => Err(error),
    }
}

fn has_room(vfs: &dyn Vfs, dir: &Path, config: &Config) -> bool {
    vfs.space(dir).is_ok_and(|space| space > config.segment_bytes.saturating_mul(4))
}

/// Where the segments of a data directory are.
pub(crate) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// First versions of the segments that are there, in order; none when the directory is missing.
pub(crate) fn bases(vfs: &dyn Vfs, log_dir: &Path) -> Result<Vec<Version>, LogError> {
    let names = match vfs.list(log_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context("list", log_dir)?,
    };
    let mut bases: Vec<Version> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// What the front of a segment says.
pub(crate) fn read_header(file: &dyn File) -> io::Result<[u8; SEGMENT_HEADER_BYTES as usize]> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let n = file.read_at(&mut bytes, 0)?;
    // A header that ends early does not match its checksum.
    bytes[n..].fill(0);
    Ok(bytes)
}
