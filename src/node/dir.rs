//! The data directory of one node: its layout, its identity, its lock.
//!
//! ```text
//!  DIR/meta.json          format, name, node id, cluster id: written whole or not at all
//!      LOCK               held for life by the process that writes here; who holds it is alive
//!      log/ state/ snapshots/ rescue/
//!      run/endpoint.json  where the running node listens; means nothing when LOCK is free
//! ```
//!
//! # Invariants
//! 1. A directory with `meta.json` is complete: `init` moves that file (or the whole directory) into place last.
//! 2. `meta.json` is replaced, never edited: a reader sees the old one or the new one.
//! 3. Alive means that `LOCK` is held. A process id proves nothing, it may belong to somebody else by now.
//!
//! # Not here
//! What is inside of `log/`, `state/` and `snapshots/`; the registry of local nodes (`cli::registry`).

mod building;

pub use building::Building;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;
use crate::types::{ClusterId, NodeId, Role};

/// The only format of a data directory there is so far.
pub const FORMAT: u32 = 1;

const META: &str = "meta.json";
const META_NEW: &str = "meta.json.new";
const LOCK: &str = "LOCK";
const ENDPOINT: &str = "endpoint.json";
const ENDPOINT_NEW: &str = "endpoint.json.new";
const FOLDERS: [&str; 5] = ["log", "state", "snapshots", "rescue", "run"];

/// Those who only ask whether the lock is held take it for an instant; that must not stop a node's start.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
/// How many neighbours are looked at for a better directory to name in an error.
const NEIGHBOURS_MAX: usize = 1000;

/// Who a node is, as its directory says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Format of the directory.
    pub format: u32,
    /// The name that people use.
    pub name: String,
    /// Made with the directory, never reused.
    pub node_id: NodeId,
    /// Unknown until the node is first primary or joins.
    pub cluster_id: Option<ClusterId>,
}

/// Where a running node listens, as `run/endpoint.json` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The process.
    pub pid: u32,
    /// Base URL, as `http://127.0.0.1:7440`.
    pub http: String,
    /// The role at the last change.
    pub role: Role,
    /// RFC 3339, when the process began to listen.
    pub started: String,
}

/// What can be wrong with a data directory.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirError {
    /// There is no `meta.json`.
    NotInitialised {
        /// The directory asked for.
        path: PathBuf,
        /// An initialised one beside or inside of it.
        beside: Option<PathBuf>,
    },
    /// `init` on a data directory.
    AlreadyInitialised {
        /// The directory.
        path: PathBuf,
        /// Who lives there.
        meta: Meta,
    },
    /// `init` on a directory that holds something else.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// How many entries it has.
        entries: usize,
    },
    /// The path is a file.
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another process holds `LOCK`.
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that said it listens, if it did.
        pid: Option<u32>,
    },
    /// `meta.json` cannot be understood.
    BadMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Made by another version of Rig.
    Format {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Others than the owner can enter.
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The operating system refused `op`.
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl DirError {
    /// Whether room on the disk is all that is missing.
    pub fn is_no_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInitialised { path, .. } => write!(f, "{} is not a Rig data directory", path.display()),
            Self::AlreadyInitialised { path, meta } => {
                write!(f, "{} is initialised already, as node {}", path.display(), meta.name)
            }
            Self::Foreign { path, entries } => {
                let files = if *entries == 1 { "entry" } else { "entries" };
                write!(
                    f,
                    "{} has {entries} {files} and is not a Rig data directory; nothing was changed",
                    path.display()
                )
            }
            Self::NotADirectory { path } => write!(f, "{} is not a directory", path.display()),
            Self::InUse { path, pid: Some(pid) } => {
                write!(f, "another process holds {} (pid {pid})", path.display())
            }
            Self::InUse { path, pid: None } => write!(f, "another process holds {}", path.display()),
            Self::BadMeta { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Format { path, found } => {
                write!(f, "{} has format {found}, this version of Rig reads format {FORMAT}", path.display())
            }
            Self::Open { path, mode } => {
                write!(f, "{} can be entered by others than its owner (mode {mode:04o})", path.display())
            }
            Self::Io { op, path, source } => write!(f, "{op} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for DirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

trait AtPath<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T, DirError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T, DirError> {
        self.map_err(|source| DirError::Io { op, path: path.to_owned(), source })
    }
}

/// Whether a text can be the name of a node: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
pub fn is_name(text: &str) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NAME_BYTES_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.as_bytes().iter().all(good)
}

/// An initialised data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    meta: Meta,
}

/// The right to write in a data directory, until it is dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DataDir {
    /// Makes a new data directory with a new identity. It appears whole or not at all; a directory that
    /// exists must be empty and stays where it is.
    pub fn init(path: &Path, name: &str) -> Result<Self, DirError> {
        assert!(is_name(name), "the caller has checked the name");
        let path = &std::path::absolute(path).at("find", path)?;
        let meta = Meta {
            format: FORMAT,
            name: name.to_owned(),
            node_id: NodeId(*uuid::Uuid::now_v7().as_bytes()),
            cluster_id: None,
        };
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(DirError::NotADirectory { path: path.clone() }),
            Ok(_) => {
                refuse_unless_empty(path)?;
                restrict(path)?;
                fill(path, &meta)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, &meta)?,
            Err(error) => return Err(error).at("open", path),
        }
        Ok(Self { path: path.clone(), meta })
    }

    /// Opens what [`DataDir::init`] made, without a lock.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let path = std::path::absolute(path).at("find", path)?;
        match read_meta(&path)? {
            Some(meta) => Ok(Self { path, meta }),
            None if fs::metadata(&path).is_ok_and(|found| !found.is_dir()) => Err(DirError::NotADirectory { path }),
            None => {
                let beside = initialised_beside(&path);
                Err(DirError::NotInitialised { path, beside })
            }
        }
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who lives here.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Records, durably, the cluster that this node belongs to.
    pub fn set_cluster_id(&mut self, cluster_id: ClusterId) -> Result<(), DirError> {
        let meta = Meta { cluster_id: Some(cluster_id), ..self.meta.clone() };
        write_meta(&self.path, &meta)?;
        self.meta = meta;
        Ok(())
    }

    /// Forgets, durably, a cluster in whose name nothing was done: its log has been removed.
    pub fn forget_cluster(&mut self) -> Result<(), DirError> {
        let meta = Meta { cluster_id: None, ..self.meta.clone() };
        write_meta(&self.path, &meta)?;
        self.meta = meta;
        Ok(())
    }

    /// A node's data is its owner's alone: a directory that others can enter is not served.
    pub fn refuse_others(&self) -> Result<(), DirError> {
        #[cfg(unix)]
        {
            let found = fs::metadata(&self.path).at("look at", &self.path)?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777;
            if mode & 0o077 != 0 {
                return Err(DirError::Open { path: self.path.clone(), mode });
            }
        }
        Ok(())
    }

    /// Takes the directory for this process until the lock is dropped.
    pub fn lock(&self) -> Result<DirLock, DirError> {
        let path = self.path.join(LOCK);
        let file = options().write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DirLock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = self.read_endpoint().ok().flatten().map(|endpoint| endpoint.pid);
                    return Err(DirError::InUse { path: self.path.clone(), pid });
                }
                Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
            }
        }
    }

    /// Whether a process holds the lock now.
    pub fn is_in_use(&self) -> bool {
        is_in_use(&self.path)
    }

    /// Says where the running node listens. A crash may lose it: the lock tells whether it means anything.
    pub fn write_endpoint(&self, endpoint: &Endpoint) -> Result<(), DirError> {
        let (new, path) = (self.run().join(ENDPOINT_NEW), self.run().join(ENDPOINT));
        let run = self.run();
        if !run.is_dir() {
            make_folder(&run)?;
        }
        write_private(&new, to_line(endpoint).as_bytes()).at("write", &new)?;
        fs::rename(&new, &path).at("rename", &path)
    }

    /// Takes the word back.
    pub fn remove_endpoint(&self) -> Result<(), DirError> {
        let path = self.run().join(ENDPOINT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &path),
            _ => Ok(()),
        }
    }

    /// What the last node here said, `None` when it took its word back or wrote something else.
    pub fn read_endpoint(&self) -> Result<Option<Endpoint>, DirError> {
        let path = self.run().join(ENDPOINT);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// The segments.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// What only this node knows: promises, marks, positions.
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The service's snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Records set aside.
    pub fn rescue(&self) -> PathBuf {
        self.path.join("rescue")
    }

    /// What means something only while a node runs.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }
}

/// Whether a process holds the lock of this directory now.
pub fn is_in_use(path: &Path) -> bool {
    let Ok(file) = File::open(path.join(LOCK)) else { return false };
    // A shared lock: many may ask at once.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a file that only this user may read, whatever the process leaves to others by default.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    options().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

fn make_folder(path: &Path) -> Result<(), DirError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).at("create", path)
}

fn restrict(path: &Path) -> Result<(), DirError> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).at("set permissions of", path)?;
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), DirError> {
    File::open(path).and_then(|folder| folder.sync_all()).at("sync", path)
}

/// Builds the directory under another name and moves it into place.
fn create(path: &Path, meta: &Meta) -> Result<(), DirError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).at("create", parent)?;
    let mut name = path.file_name().unwrap_or(OsStr::new("rig")).to_owned();
    name.push(format!(".tmp-{}", uuid::Uuid::now_v7().simple()));
    let building = parent.join(name);
    make_folder(&building)?;
    let moved = fill(&building, meta).and_then(|()| match fs::rename(&building, path) {
        // Somebody else was quicker: what is there now decides.
        Err(_) if fs::metadata(path).is_ok() => {
            refuse_unless_empty(path)?;
            Err(DirError::Foreign { path: path.to_owned(), entries: 0 })
        }
        other => other.at("rename", path),
    });
    if moved.is_err() {
        // The first error is the one to report; a leftover is named `.tmp-` and harmless.
        let _ = fs::remove_dir_all(&building);
    }
    moved?;
    sync_folder(parent)
}

/// Everything but the last step may be repeated; `meta.json` is the last step.
fn fill(path: &Path, meta: &Meta) -> Result<(), DirError> {
    for folder in FOLDERS {
        let folder = path.join(folder);
        if !folder.is_dir() {
            make_folder(&folder)?;
        }
    }
    let lock = path.join(LOCK);
    options().write(true).create(true).truncate(false).open(&lock).at("create", &lock)?;
    write_meta(path, meta)
}

fn write_meta(path: &Path, meta: &Meta) -> Result<(), DirError> {
    let (new, old) = (path.join(META_NEW), path.join(META));
    let mut file = options().write(true).create(true).truncate(true).open(&new).at("create", &new)?;
    file.write_all(to_line(meta).as_bytes()).and_then(|()| file.sync_all()).at("write", &new)?;
    fs::rename(&new, &old).at("rename", &old)?;
    sync_folder(path)
}

fn to_line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("plain structs become JSON");
    text.push('\n');
    text
}

fn read_meta(path: &Path) -> Result<Option<Meta>, DirError> {
    let file = path.join(META);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).at("read", &file),
    };
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bad = |error: serde_json::Error| DirError::BadMeta { path: file.clone(), reason: error.to_string() };
    let found = serde_json::from_slice::<Format>(&bytes).map_err(bad)?.format;
    if found != FORMAT {
        return Err(DirError::Format { path: path.to_owned(), found });
    }
    let meta: Meta = serde_json::from_slice(&bytes).map_err(bad)?;
    if !is_name(&meta.name) {
        return Err(DirError::BadMeta { path: file, reason: "the name is not a node's name".to_owned() });
    }
    Ok(Some(meta))
}

/// Empty, or what an interrupted `init` left: our own names, without content.
fn refuse_unless_empty(path: &Path) -> Result<(), DirError> {
    if let Some(meta) = read_meta(path)? {
        return Err(DirError::AlreadyInitialised { path: path.to_owned(), meta });
    }
    let mut entries = 0;
    let mut foreign = false;
    for entry in fs::read_dir(path).at("read", path)? {
        let entry = entry.at("read", path)?;
        entries += 1;
        let name = entry.file_name();
        let ours = name == LOCK || name == META_NEW || FOLDERS.iter().any(|folder| name == *folder);
        let empty_folder = || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
        foreign |= !ours || (entry.path().is_dir() && !empty_folder());
    }
    if foreign { Err(DirError::Foreign { path: path.to_owned(), entries }) } else { Ok(()) }
}

/// The first initialised directory inside of `path`, else beside it, in the order of names.
fn initialised_beside(path: &Path) -> Option<PathBuf> {
    [Some(path), path.parent()].into_iter().flatten().find_map(|folder| {
        let entries = fs::read_dir(folder).ok()?.take(NEIGHBOURS_MAX);
        let mut found: Vec<_> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.join(META).is_file()).collect();
        found.sort();
        found.into_iter().find(|path| matches!(read_meta(path), Ok(Some(_))))
    })
}

#[cfg(test)]
mod tests;
