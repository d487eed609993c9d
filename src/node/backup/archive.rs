//! An archive on its way out, piece by piece: who takes the pieces decides when the next one is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{About, BackupError, Head, Header, Kind};
use crate::log::{DiskVfs, Held, LogError, Reader};
use crate::node::dir::{DataDir, DirLock};
use crate::node::{belongs, snapshots};
use crate::types::{Micros, Position, Version};

/// Bytes of one piece, unless a record is larger.
const PIECE: usize = 512 << 10;

/// What keeps the files where they are while they are read.
#[derive(Debug)]
pub(in crate::node) enum Hold {
    /// The directory of a stopped node is held.
    Directory(#[expect(dead_code, reason = "it is held until it is dropped")] DirLock),
    /// A running node compacts nothing while somebody has this.
    Node(#[expect(dead_code, reason = "it is counted, not read")] Arc<()>),
}

/// See the module.
pub struct Archive {
    header: Header,
    about: Vec<u8>,
    files: VecDeque<Part>,
    reader: Reader,
    next: Version,
    step: Step,
    hash: Sha256,
    _hold: Hold,
}

enum Step {
    Header,
    About,
    Files,
    Records,
    End,
    Over,
}

/// A file that goes in as it is.
struct Part {
    head: Head,
    file: File,
    left: u64,
    crc: u32,
}

impl Archive {
    /// The archive of a stopped node's directory, which is held until this is dropped.
    ///
    /// # Errors
    /// It cannot be read, or does not reach back to `since`.
    pub fn of_directory(dir: &DataDir, since: Option<Version>, now: Micros) -> Result<Self, BackupError> {
        let hold = Hold::Directory(dir.lock()?);
        let reader = Reader::open(Arc::new(DiskVfs), dir.path(), Held::ByNobody)?;
        let committed = reader.committed();
        Self::begin(dir, reader, since, committed, now, hold)
    }

    pub(in crate::node) fn begin(
        dir: &DataDir,
        reader: Reader,
        since: Option<Version>,
        committed: Version,
        now: Micros,
        hold: Hold,
    ) -> Result<Self, BackupError> {
        let (cluster, oldest) = (reader.cluster(), reader.oldest());
        let after = since.unwrap_or(oldest - 1);
        if after > committed {
            return Err(LogError::NotFound { wanted: after, last: committed }.into());
        }
        if after + 1 < oldest {
            return Err(LogError::Compacted { wanted: after + 1, oldest }.into());
        }
        let (mut files, mut snapshot) = (VecDeque::new(), 0);
        if since.is_none() && oldest > 1 {
            // The oldest one: from its version on each state can be had again.
            let (version, paths) = relied_on(&dir.snapshots(), &reader, committed)?;
            snapshot = version;
            for (number, path) in paths {
                let kind = if files.is_empty() { Kind::Snapshot } else { Kind::Keys };
                files.push_back(Part::open(kind, number, &path)?);
            }
        }
        let node = dir.meta().name.clone();
        let about = About { rig: env!("CARGO_PKG_VERSION").into(), node, service: belongs::read(&dir.state()) };
        let header = Header {
            cluster,
            incremental: since.is_some(),
            snapshot,
            time: now,
            before: place(&reader, after)?,
            end: place(&reader, committed)?,
        };
        let about = serde_json::to_vec(&about).expect("plain structs become JSON");
        let step = Step::Header;
        Ok(Self { header, about, files, reader, next: after + 1, step, hash: Sha256::new(), _hold: hold })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next bytes; `None` when that was all.
    ///
    /// # Errors
    /// Something cannot be read: what is out already is no archive.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let mut out = Vec::new();
        while out.len() < PIECE {
            match self.step {
                Step::Header => {
                    out.extend_from_slice(&self.header.encode());
                    self.step = Step::About;
                }
                Step::About => {
                    section(Kind::About, 0, &self.about, &mut out);
                    self.step = Step::Files;
                }
                Step::Files => match self.files.front_mut() {
                    None => self.step = Step::Records,
                    Some(part) => {
                        if part.put(&mut out)? {
                            self.files.pop_front();
                        }
                    }
                },
                Step::Records if self.next > self.header.end.version => self.step = Step::End,
                Step::Records => {
                    let mut wire = Vec::new();
                    let last = self.reader.wire(self.next, self.header.end.version, PIECE, &mut wire)?;
                    if last < self.next {
                        return Err(LogError::NotFound { wanted: self.next, last }.into());
                    }
                    section(Kind::Records, self.next, &wire, &mut out);
                    self.next = last + 1;
                }
                Step::End => {
                    self.hash.update(&out);
                    let digest = std::mem::take(&mut self.hash).finalize();
                    section(Kind::End, self.header.end.version, &digest, &mut out);
                    self.step = Step::Over;
                    return Ok(Some(out));
                }
                Step::Over => return Ok(None),
            }
        }
        self.hash.update(&out);
        Ok(Some(out))
    }
}

impl Part {
    fn open(kind: Kind, number: u64, path: &Path) -> Result<Self, BackupError> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|source| BackupError::Io { op: "open", path: path.into(), source })?;
        Ok(Self { head: Head { kind, length, number }, file, left: length, crc: 0 })
    }

    /// Appends the next bytes of it; whether that was all.
    fn put(&mut self, out: &mut Vec<u8>) -> Result<bool, BackupError> {
        if self.left == self.head.length {
            out.extend_from_slice(&self.head.encode());
        }
        let begin = out.len();
        let wanted = self.left.min(PIECE as u64);
        let read = self.file.by_ref().take(wanted).read_to_end(out).map_err(BackupError::Input)?;
        if read as u64 != wanted {
            return Err(BackupError::Input(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.crc = crc32c::crc32c_append(self.crc, &out[begin..]);
        self.left -= wanted;
        if self.left == 0 {
            out.extend_from_slice(&self.crc.to_le_bytes());
        }
        Ok(self.left == 0)
    }
}

fn section(kind: Kind, number: u64, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Head { kind, length: body.len() as u64, number }.encode());
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
}

/// A version's place. Of the one before the first in the log only the hash is known.
fn place(reader: &Reader, version: Version) -> Result<Position, BackupError> {
    let missing = || LogError::NotFound { wanted: version, last: reader.durable() };
    if version > 0 && version + 1 == reader.oldest() {
        let hash = reader.hash(version)?.ok_or_else(missing)?;
        return Ok(Position { version, hash, ..Position::default() });
    }
    Ok(reader.position(version)?.ok_or_else(missing)?)
}

/// The files of the oldest snapshot that reads back whole and lies on the log: the snapshot first, then its keys.
fn relied_on(
    folder: &Path,
    reader: &Reader,
    committed: Version,
) -> Result<(Version, Vec<(u64, std::path::PathBuf)>), BackupError> {
    let io = |source| BackupError::Io { op: "list", path: folder.into(), source };
    let oldest = reader.oldest();
    for snapshot in snapshots::whole(folder, reader.cluster()).map_err(io)?.into_iter().rev() {
        let at = snapshot.position;
        let fits = at.version + 1 >= oldest && at.version <= committed;
        if fits && reader.hash(at.version)? == Some(at.hash) {
            return Ok((at.version, snapshot.files()));
        }
    }
    Err(BackupError::NoSnapshot { oldest })
}
