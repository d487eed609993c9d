//! A snapshot as one run of bytes, on its way to another node.
//!
//! ```text
//!   <version>.snap | <run>.keys | <run>.keys ...     in the order in which the snapshot names its runs
//! ```
//!
//! Where each file ends is what the files say themselves, so nothing else needs to be sent.
//!
//! # Invariants
//! 1. What is sent stays as it was read back, also when its files are removed meanwhile: they are held open.
//! 2. Bytes of any content give a snapshot that was read back, or an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::check::read_bytes;
use super::{HEADER, KEYS_HEADER, RUNS, SnapshotFile, bad, read_header, read_section, run_path};
use crate::types::{ClusterId, Position, Version};

/// A snapshot that is being sent.
#[derive(Debug)]
pub(in crate::node) struct Outgoing {
    pub(in crate::node) at: Position,
    /// All of it.
    pub(in crate::node) bytes: u64,
    files: Vec<(File, u64)>,
}

impl Outgoing {
    /// The newest that reads back whole.
    pub(in crate::node) fn newest(folder: &Path, cluster: ClusterId) -> io::Result<Option<Self>> {
        for snapshot in super::list(folder, cluster)? {
            // Opened first: what is read back is what will be sent.
            let opened = Self::open(&snapshot);
            match opened.and_then(|outgoing| read_bytes(&snapshot).map(|()| outgoing)) {
                Ok(outgoing) => return Ok(Some(outgoing)),
                Err(error) => log::warn!("snapshot {} cannot be given away: {error}", snapshot.path().display()),
            }
        }
        Ok(None)
    }

    fn open(snapshot: &SnapshotFile) -> io::Result<Self> {
        let runs = snapshot.runs.iter().map(|name| File::open(run_path(snapshot.folder(), *name)));
        let files = std::iter::once(File::open(snapshot.path())).chain(runs);
        let files = files.map(|file| file.and_then(|file| file.metadata().map(|found| (file, found.len()))));
        let files = files.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { at: snapshot.position, bytes: files.iter().map(|(_, length)| length).sum(), files })
    }

    /// The bytes from there, at most so many.
    pub(in crate::node) fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let (mut at, mut read) = (offset, Vec::new());
        for (file, length) in &self.files {
            if at >= *length {
                at -= length;
                continue;
            }
            let more = (bytes_max - read.len()).min(usize::try_from(length - at).unwrap_or(usize::MAX));
            let from = read.len();
            read.resize(from + more, 0);
            file.read_exact_at(&mut read[from..], at)?;
            at = 0;
            if read.len() == bytes_max {
                break;
            }
        }
        Ok(read)
    }
}

/// Makes files of what was taken, and reads them back. Durable when this returns, but for the name of the folder.
pub(in crate::node) fn split(folder: &Path, taken: &Path, cluster: ClusterId, at: Position) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(taken)?;
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    let (.., sections) = read_header(&header).ok_or_else(|| bad("its header is damaged"))?;
    let end = sections.iter().try_fold(HEADER as u64, |sum, section| sum.checked_add(section.length));
    let end = end.filter(|end| *end <= length).ok_or_else(|| bad("it ends before its last section"))?;
    let runs: Vec<Version> =
        serde_json::from_slice(&read_section(&file, end - sections[RUNS].length, sections[RUNS])?)?;
    let mut from = end;
    for name in runs {
        from += take_run(&mut file, from, length, &run_path(folder, name))?;
    }
    if from != length {
        return Err(bad("something stands behind its last run of keys"));
    }
    file.set_len(end)?;
    file.sync_all()?;
    let path = folder.join(format!("{:020}.snap", at.version));
    fs::rename(taken, &path)?;
    File::open(folder)?.sync_all()?;
    let snapshot = SnapshotFile::open(&path, cluster)?;
    if snapshot.position != at {
        return Err(bad("it is of another place than was said"));
    }
    read_bytes(&snapshot)
}

/// Copies one run to a file of its own; how long it is.
fn take_run(file: &mut File, from: u64, end: u64, path: &Path) -> io::Result<u64> {
    let mut header = [0; KEYS_HEADER];
    file.read_exact_at(&mut header, from)?;
    let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
    let length = number(8).checked_add(number(16)).and_then(|sum| sum.checked_add(KEYS_HEADER as u64));
    let length =
        length.filter(|length| *length <= end - from).ok_or_else(|| bad("a run of keys goes beyond the end"))?;
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.seek(SeekFrom::Start(from))?;
    io::copy(&mut file.take(length), &mut out)?;
    out.sync_all()?;
    Ok(length)
}
