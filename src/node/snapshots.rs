//! Snapshot files: the service's state, the keys and the configuration at one version.
//!
//! ```text
//!  snapshots/<version, 20 digits>.snap
//!     0  magic "RIGSNP1\n" 8 | format 2 | zero 6 | cluster 16 | version 8 | epoch number 8 | owner 16 | start 8
//!        | chain hash 32 | keyed records 8 | newest record time 8 | length and CRC32C of each section: 3 x (8 + 4)
//!        | zero ... | CRC32C 4 of all before
//!  4096  epochs and configuration (JSON) | service (its own bytes) | names of the runs of keys (JSON)
//!  snapshots/<version, 20 digits>.keys
//!     0  magic "RIGKEY1\n" 8 | length of the entries 8 | length of the results 8 | CRC32C of both parts 4 | of the head 4
//!    32  entries | results, as `keys::run` lays them out
//! ```
//!
//! A run of keys is written once and shared by the snapshots that name it, so that a snapshot costs what is new.
//!
//! A snapshot only spares replay: the log is the truth. So a damaged or missing one costs time, nothing else:
//! the next older one is taken, or the log from its beginning.
//!
//! # Invariants
//! 1. A file with its final name is whole and synced: written under another name, synced, renamed.
//! 2. A snapshot is believed only when its hash is the one that the log has at that version.
//! 3. The two newest are kept.
//!
//! # Not here
//! When a snapshot is due, and what relies on it (`event_loop`).

mod check;
mod moved;
mod transfer;

pub use check::{SnapshotChecked, SnapshotInfo, snapshots, verify_snapshots};
pub(super) use check::{infos, newest_whole, read_back};
pub(super) use moved::{check_file, look, rebase, whole};
pub(super) use transfer::{Outgoing, split};

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::background::{BLOCK, Hurry, LargeFile, Stints};
use super::chronicle::Chronicle;
use super::keys::{Frozen, Keys, Run, Runs};
use crate::service::{Service, ServiceError, Snapshot};
use crate::types::{ClusterId, Epoch, Hash, Micros, NodeId, Position, Version};

const MAGIC: &[u8; 8] = b"RIGSNP1\n";
const FORMAT: u16 = 1;
const HEADER: usize = BLOCK;
const SECTIONS_AT: usize = 120;
const CRC_AT: usize = HEADER - 4;
const KEEP: usize = 2;
const BUFFER: usize = 1 << 20;

/// What a snapshot is made of.
pub(super) struct Contents {
    pub(super) cluster: ClusterId,
    pub(super) position: Position,
    pub(super) chronicle: Chronicle,
    pub(super) service: Box<dyn Snapshot>,
    pub(super) keys: Frozen,
}

/// A snapshot file whose header is whole.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    path: PathBuf,
    pub(super) position: Position,
    /// Keyed records up to there.
    pub(super) keyed: u64,
    pub(super) now: Micros,
    pub(super) chronicle: Chronicle,
    /// Names of the runs of keys, oldest first.
    runs: Vec<Version>,
    sections: [Section; 3],
}

#[derive(Debug, Clone, Copy, Default)]
struct Section {
    length: u64,
    crc: u32,
}

const CHRONICLE: usize = 0;
const SERVICE: usize = 1;
const RUNS: usize = 2;
const KEYS_MAGIC: &[u8; 8] = b"RIGKEY1\n";
const KEYS_HEADER: usize = 32;

/// Writes a snapshot. Gives back the runs of keys that are in it, and the bytes that were written.
pub(super) fn write(dir: &Path, contents: Contents, hurry: &Hurry) -> io::Result<(Runs, u64)> {
    let version = contents.position.version;
    let (keyed, now) = (contents.keys.count, contents.keys.now);
    let mut stints = Stints::begin(hurry);
    let runs = contents.keys.merge_with(&mut || stints.step());
    let mut names = Vec::with_capacity(runs.len());
    let mut bytes = 0;
    for run in &runs {
        let name = run.name().unwrap_or(version);
        if run.name().is_none() {
            bytes += write_run(dir, name, run, hurry)?;
            run.set_name(name);
        }
        names.push(name);
    }
    let unfinished = dir.join(format!("{version:020}.tmp"));
    let mut out = Checked { inner: LargeFile::create(&unfinished, hurry)?, section: Section::default() };
    let mut sections = [Section::default(); 3];
    out.inner.write_all(&[0; HEADER])?;
    serde_json::to_writer(&mut out, &contents.chronicle)?;
    sections[CHRONICLE] = out.end();
    contents.service.write(&mut out)?;
    sections[SERVICE] = out.end();
    serde_json::to_writer(&mut out, &names)?;
    sections[RUNS] = out.end();
    bytes += out.inner.finish(Some(&header(contents.cluster, contents.position, keyed, now, &sections)))?;
    fs::rename(&unfinished, dir.join(format!("{version:020}.snap")))?;
    File::open(dir)?.sync_all()?;
    Ok((runs, bytes))
}

/// Writes a run; durable, name and all, when the snapshot that names it is.
fn write_run(dir: &Path, name: Version, run: &Run, hurry: &Hurry) -> io::Result<u64> {
    let (entries, results) = run.parts();
    let mut header = KEYS_MAGIC.to_vec();
    header.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    header.extend_from_slice(&(results.len() as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(entries), results);
    header.extend_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    assert_eq!(header.len(), KEYS_HEADER);
    let unfinished = dir.join(format!("{name:020}.keys.tmp"));
    let mut file = LargeFile::create(&unfinished, hurry)?;
    for part in [&header, entries, results] {
        file.write_all(part)?;
    }
    let bytes = file.finish(None)?;
    fs::rename(&unfinished, run_path(dir, name))?;
    Ok(bytes)
}

fn run_path(dir: &Path, name: Version) -> PathBuf {
    dir.join(format!("{name:020}.keys"))
}

fn read_run(dir: &Path, name: Version) -> io::Result<Run> {
    let mut file = File::open(run_path(dir, name))?;
    let mut header = [0; KEYS_HEADER];
    file.read_exact(&mut header)?;
    let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
    let crc = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or_default();
    let (entries, results) = (number(8), number(16));
    let length = entries.checked_add(results).and_then(|sum| sum.checked_add(KEYS_HEADER as u64));
    if &header[..8] != KEYS_MAGIC || crc(28) != crc32c::crc32c(&header[..28]) || length != Some(file.metadata()?.len())
    {
        return Err(bad("the head of a run of keys is damaged"));
    }
    // The file's length was held against the header's, so the word of the header bounds these allocations.
    let size = |length: u64| usize::try_from(length).map_err(|_| bad("a run of keys is too long"));
    let (mut first, mut second) = (vec![0; size(entries)?], vec![0; size(results)?]);
    file.read_exact(&mut first)?;
    file.read_exact(&mut second)?;
    if crc32c::crc32c_append(crc32c::crc32c(&first), &second) != crc(24) {
        return Err(bad("a run of keys is damaged"));
    }
    let run = Run::from_parts(first, second).ok_or_else(|| bad("a run of keys does not fit together"))?;
    run.set_name(name);
    Ok(run)
}

/// Removes what is older than the two newest, the runs that neither of them names, and what was never finished.
pub(super) fn tidy(dir: &Path, cluster: ClusterId) -> io::Result<()> {
    let mut found = Names::read(dir)?;
    found.snapshots.sort();
    let old = found.snapshots.len().saturating_sub(KEEP);
    for path in found.snapshots.drain(..old).chain(found.unfinished) {
        fs::remove_file(path)?;
    }
    let mut named = Vec::new();
    for path in &found.snapshots {
        match SnapshotFile::open(path, cluster) {
            Ok(snapshot) => named.extend(snapshot.runs),
            // Not to be believed, so it may name anything: its runs stay until it is gone.
            Err(_) => return Ok(()),
        }
    }
    for path in found.runs {
        let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Version>().ok());
        if name.is_some_and(|name| !named.contains(&name)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Removes the snapshots of versions behind `to`, durably: the log is about to be cut there.
pub(super) fn remove_after(dir: &Path, to: Version) -> io::Result<()> {
    for path in Names::read(dir)?.snapshots {
        let version = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Version>().ok());
        if version.is_none_or(|version| version > to) {
            fs::remove_file(path)?;
        }
    }
    File::open(dir)?.sync_all()
}

/// What is in the folder, by kind.
#[derive(Default)]
struct Names {
    snapshots: Vec<PathBuf>,
    runs: Vec<PathBuf>,
    unfinished: Vec<PathBuf>,
}

impl Names {
    fn read(dir: &Path) -> io::Result<Self> {
        let mut names = Self::default();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("snap") => names.snapshots.push(path),
                Some("keys") => names.runs.push(path),
                Some("tmp") => names.unfinished.push(path),
                _ => {}
            }
        }
        Ok(names)
    }
}

/// The snapshots of this cluster whose header is whole, newest first. What cannot be read is logged and left out.
pub(super) fn list(dir: &Path, cluster: ClusterId) -> io::Result<Vec<SnapshotFile>> {
    let mut paths = Names::read(dir)?.snapshots;
    paths.sort();
    let mut found = Vec::new();
    for path in paths.into_iter().rev() {
        match SnapshotFile::open(&path, cluster) {
            Ok(snapshot) => found.push(snapshot),
            Err(error) => log::warn!("snapshot {} is not used: {error}", path.display()),
        }
    }
    Ok(found)
}

impl SnapshotFile {
    fn open(path: &Path, cluster: ClusterId) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let (found, position, keyed, now, sections) =
            read_header(&header).ok_or_else(|| bad("its header is damaged"))?;
        if found != cluster {
            return Err(bad("it belongs to another cluster"));
        }
        let length = sections.iter().try_fold(HEADER as u64, |sum, section| sum.checked_add(section.length));
        if length != Some(file.metadata()?.len()) {
            return Err(bad("its length is not what its header says"));
        }
        let chronicle = serde_json::from_slice(&read_section(&file, HEADER as u64, sections[CHRONICLE])?)?;
        let runs_at = HEADER as u64 + sections[CHRONICLE].length + sections[SERVICE].length;
        let runs = serde_json::from_slice(&read_section(&file, runs_at, sections[RUNS])?)?;
        Ok(Self { path: path.to_owned(), position, keyed, now, chronicle, runs, sections })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the service into the state of the snapshot. After an error it is to be thrown away: not every service
    /// notices damage itself, so that it can have taken in what is damaged.
    pub(super) fn restore(&self, service: &mut dyn Service) -> Result<(), ServiceError> {
        let (mut file, wanted) = (File::open(&self.path)?, self.sections[SERVICE]);
        file.seek(SeekFrom::Start(self.offset(SERVICE)))?;
        let input = BufReader::with_capacity(BUFFER, file.take(wanted.length));
        let mut input = Checked { inner: input, section: Section::default() };
        service.restore(self.position.version, &mut input)?;
        let read = input.end();
        let what = match read {
            Section { length, .. } if length != wanted.length => "end of a snapshot, which the service has not read to",
            Section { crc, .. } if crc != wanted.crc => "snapshot, by its checksum",
            _ => return Ok(()),
        };
        Err(ServiceError::Damaged { what, offset: read.length })
    }

    /// Bytes of the keys in it; 0 for those that are missing.
    pub(super) fn keys_bytes(&self) -> u64 {
        let length = |name: &Version| fs::metadata(run_path(self.folder(), *name)).map_or(0, |found| found.len());
        self.runs.iter().map(length).sum()
    }

    /// The table of keys as a start would have it.
    pub(super) fn table(&self) -> io::Result<Keys> {
        Ok(Keys::restored(self.keyed, self.now, Some(self.keys()?)))
    }

    /// Reads the keys.
    pub(super) fn keys(&self) -> io::Result<Runs> {
        self.runs.iter().map(|name| read_run(self.folder(), *name).map(Arc::new)).collect()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn offset(&self, section: usize) -> u64 {
        HEADER as u64 + self.sections[..section].iter().map(|section| section.length).sum::<u64>()
    }
}

fn read_section(file: &File, offset: u64, section: Section) -> io::Result<Vec<u8>> {
    // The file's length was held against the header's, so the word of the header bounds this allocation.
    let mut bytes = vec![0; usize::try_from(section.length).map_err(|_| bad("a section is too long"))?];
    file.read_exact_at(&mut bytes, offset)?;
    if crc32c::crc32c(&bytes) != section.crc {
        return Err(bad("a section is damaged"));
    }
    Ok(bytes)
}

fn header(cluster: ClusterId, at: Position, keyed: u64, now: Micros, sections: &[Section; 3]) -> [u8; HEADER] {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&[0; 6]);
    header.extend_from_slice(&cluster.0);
    header.extend_from_slice(&at.version.to_le_bytes());
    header.extend_from_slice(&at.epoch.number.to_le_bytes());
    header.extend_from_slice(&at.epoch.owner.0);
    header.extend_from_slice(&at.epoch.start.to_le_bytes());
    header.extend_from_slice(&at.hash.0);
    header.extend_from_slice(&keyed.to_le_bytes());
    header.extend_from_slice(&now.to_le_bytes());
    assert_eq!(header.len(), SECTIONS_AT);
    for section in sections {
        header.extend_from_slice(&section.length.to_le_bytes());
        header.extend_from_slice(&section.crc.to_le_bytes());
    }
    header.resize(CRC_AT, 0);
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header.try_into().expect("it was filled up to its length")
}

type Header = (ClusterId, Position, u64, Micros, [Section; 3]);

fn read_header(header: &[u8; HEADER]) -> Option<Header> {
    let crc = u32::from_le_bytes(header[CRC_AT..].try_into().ok()?);
    let format = u16::from_le_bytes(header[8..10].try_into().ok()?);
    if &header[..8] != MAGIC || format != FORMAT || crc != crc32c::crc32c(&header[..CRC_AT]) {
        return None;
    }
    let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let version: Version = number(32)?;
    let epoch = Epoch { number: number(40)?, owner: NodeId(header[48..64].try_into().ok()?), start: number(64)? };
    let position = Position { epoch, version, hash: Hash(header[72..104].try_into().ok()?) };
    let mut sections = [Section::default(); 3];
    for (index, section) in sections.iter_mut().enumerate() {
        let at = SECTIONS_AT + index * 12;
        *section = Section { length: number(at)?, crc: u32::from_le_bytes(header[at + 8..at + 12].try_into().ok()?) };
    }
    Some((ClusterId(header[16..32].try_into().ok()?), position, number(104)?, number(112)?, sections))
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Counts and checks what goes through.
struct Checked<T> {
    inner: T,
    section: Section,
}

impl<T> Checked<T> {
    fn end(&mut self) -> Section {
        std::mem::take(&mut self.section)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.section.length += bytes.len() as u64;
        self.section.crc = crc32c::crc32c_append(self.section.crc, bytes);
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.note(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.note(&room[..read]);
        Ok(read)
    }
}
