//! What can be wrong with a log, as facts: where, what was found, what was expected.

use crate::types::{ClusterId, Hash, Version};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why bytes are not the record, or the segment header, that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end before it does.
    Short {
        /// How many there are.
        have: u64,
        /// How many there should be.
        need: u64,
    },
    /// A segment that does not begin as segments do.
    Magic,
    /// A header that does not match its checksum: nothing in it can be believed.
    HeaderCrc {
        /// What stands there.
        found: u32,
        /// What the bytes give.
        expected: u32,
    },
    /// A format that this program does not know, in a header that is whole.
    Format(u16),
    /// A kind that this program does not know, in a header that is whole.
    Kind(u8),
    /// A byte that must be zero is not.
    Reserved,
    /// The length of the whole and those of the parts do not agree, or one is out of its bounds.
    Length(u32),
    /// The payload does not match its checksum.
    PayloadCrc {
        /// What stands there.
        found: u32,
        /// What the bytes give.
        expected: u32,
    },
    /// The filling of the payload is not zero.
    Padding,
    /// Method, actor, key or data are not UTF-8, or hold a zero byte.
    Text,
    /// A record that claims to know itself committed.
    CommitUpto(Version),
    /// A whole record of another version than its place asks for.
    Version {
        /// What stands there.
        found: Version,
        /// What the place asks for.
        expected: Version,
    },
    /// A whole record of an earlier epoch than the one before it.
    Epoch,
    /// A whole record whose hash does not continue the one before it.
    Chain {
        /// What stands there.
        found: Hash,
        /// What the bytes give.
        expected: Hash,
    },
    /// Bytes behind the last record that are not zero.
    NotZero,
}

impl Fault {
    /// The word for programs, as `rig log verify --json` says it.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Short { .. } => "short",
            Fault::Magic | Fault::HeaderCrc { .. } => "header",
            Fault::Format(_) | Fault::Kind(_) => "format",
            Fault::Reserved | Fault::Padding | Fault::NotZero => "padding",
            Fault::Length(_) => "length",
            Fault::PayloadCrc { .. } => "crc",
            Fault::Text => "text",
            Fault::CommitUpto(_) => "commit_upto",
            Fault::Version { .. } => "gap",
            Fault::Epoch => "epoch",
            Fault::Chain { .. } => "chain",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Short { have, need } => write!(f, "ends after {have} of {need} bytes"),
            Fault::Magic => f.write_str("does not begin as a segment does"),
            Fault::HeaderCrc { found, expected } => {
                write!(f, "header checksum is {found:08x}, its bytes give {expected:08x}")
            }
            Fault::Format(format) => write!(f, "format {format} is not known to this version of rig"),
            Fault::Kind(kind) => write!(f, "record kind {kind} is not known to this version of rig"),
            Fault::Reserved => f.write_str("a reserved byte of the header is not zero"),
            Fault::Length(length) => write!(f, "length {length} does not agree with its parts"),
            Fault::PayloadCrc { found, expected } => {
                write!(f, "payload checksum is {found:08x}, its bytes give {expected:08x}")
            }
            Fault::Padding => f.write_str("the filling behind the data is not zero"),
            Fault::Text => f.write_str("its texts are not UTF-8 without zero bytes"),
            Fault::CommitUpto(upto) => write!(f, "commit_upto {upto} is not below its own version"),
            Fault::Version { found, expected } => write!(f, "holds version {found} where {expected} belongs"),
            Fault::Epoch => f.write_str("its epoch is lower than that of the record before it"),
            Fault::Chain { found, expected } => {
                write!(f, "chain hash is {found}, its bytes and the record before it give {expected}")
            }
            Fault::NotZero => f.write_str("bytes behind the last record are not zero"),
        }
    }
}

/// Why the log did not do what it was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused `op`. After a failed sync the log stays closed.
    Io {
        /// What was tried: a verb.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No room. What was asked for is not in the log, and will not be after a restart; all before it is intact.
    NoSpace {
        /// What could not grow.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier error has closed the log for this process: what the disk holds is known only to the next start.
    Closed,
    /// Something that was whole once, and promised, is not.
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The version that belongs there, if that is known.
        version: Option<Version>,
        /// What is wrong.
        fault: Fault,
    },
    /// The disk confirmed this version, and nothing is where it was.
    Lost {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first version that is gone.
        version: Version,
        /// The last version that is known to have been durable.
        known: Version,
    },
    /// The end of the log is broken in a way that a crash does not explain, and nothing shows that it was promised.
    Uncertain {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The version that belongs there.
        version: Version,
        /// What is wrong.
        fault: Fault,
    },
    /// Segments are missing: these versions are in none.
    Missing {
        /// First version without a place.
        from: Version,
        /// Last one.
        to: Version,
    },
    /// A file of another cluster.
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// Written by a newer version of this program.
    UnknownFormat {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is not known.
        fault: Fault,
    },
    /// Dropped under a snapshot.
    Compacted {
        /// What was asked for.
        wanted: Version,
        /// The oldest that is there.
        oldest: Version,
    },
    /// No such version, where one was named.
    NotFound {
        /// What was asked for.
        wanted: Version,
        /// The last one that is there.
        last: Version,
    },
}

/// What helps against a [`LogError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Make room; the log goes on by itself.
    MakeRoom,
    /// Look at the disk, then start again: only a start can tell what is there.
    Restart,
    /// Get the damaged part from another member or a backup.
    Repair,
    /// Nobody but the operator may decide to cut.
    Decide,
    /// This is the wrong directory, or a file from one.
    CheckDirectory,
    /// Use a version of the program that knows the format.
    Upgrade,
    /// Ask for a version that is there.
    AskLater,
}

impl Remedy {
    /// One line for people.
    pub fn hint(self) -> &'static str {
        match self {
            Remedy::MakeRoom => "free some space on this file system; nothing that was answered is lost",
            Remedy::Restart => "check the disk and its permissions, then start the node again",
            Remedy::Repair => {
                "keep a copy of the directory; `rig log verify` shows all of it, `rig log repair` gives up what is behind it"
            }
            Remedy::Decide => {
                "run `rig log verify`; if nothing from this version on was answered, `rig log repair --truncate-from`"
            }
            Remedy::CheckDirectory => "check that every file in log/ belongs to this data directory",
            Remedy::Upgrade => "use the version of rig that wrote this log, or a newer one",
            Remedy::AskLater => "see `rig status` for the versions that are there",
        }
    }
}

impl LogError {
    /// What to do now.
    pub fn what_now(&self) -> Remedy {
        match self {
            LogError::NoSpace { .. } => Remedy::MakeRoom,
            LogError::Io { .. } | LogError::Closed => Remedy::Restart,
            LogError::Corrupt { .. } | LogError::Lost { .. } | LogError::Missing { .. } => Remedy::Repair,
            LogError::Uncertain { .. } => Remedy::Decide,
            LogError::Foreign { .. } => Remedy::CheckDirectory,
            LogError::UnknownFormat { .. } => Remedy::Upgrade,
            LogError::Compacted { .. } | LogError::NotFound { .. } => Remedy::AskLater,
        }
    }

    /// Whether the log itself is found wanting (exit 9), and not the machine or the question.
    pub fn is_damage(&self) -> bool {
        matches!(self.what_now(), Remedy::Repair | Remedy::Decide | Remedy::CheckDirectory)
    }

    /// The segment that is found wanting, if it is one.
    pub fn damaged_path(&self) -> Option<&Path> {
        match self {
            LogError::Corrupt { path, .. } | LogError::Lost { path, .. } | LogError::Uncertain { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }

    /// For a fault at a place where everything has been durable.
    pub(crate) fn corrupt(path: &Path, offset: u64, version: Option<Version>, fault: Fault) -> Self {
        let path = path.to_path_buf();
        match fault {
            Fault::Format(_) | Fault::Kind(_) => LogError::UnknownFormat { path, offset, fault },
            fault => LogError::Corrupt { path, offset, version, fault },
        }
    }
}

/// Turns an error of the operating system into one of the log, with what was tried and on what.
pub(crate) trait Context<T> {
    fn context(self, op: &'static str, path: &Path) -> Result<T, LogError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, op: &'static str, path: &Path) -> Result<T, LogError> {
        self.map_err(|source| {
            let path = path.to_path_buf();
            if super::vfs::is_no_space(&source) {
                LogError::NoSpace { path, source }
            } else {
                LogError::Io { op, path, source }
            }
        })
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io { op, path, source } => write!(f, "{op} {}: {source}", path.display()),
            LogError::NoSpace { path, source } => write!(f, "no room for {}: {source}", path.display()),
            LogError::Closed => f.write_str("the log was closed by an earlier error"),
            LogError::Corrupt { path, offset, version, fault } => {
                write!(f, "damage in {} at byte {offset}", path.display())?;
                version.map_or(Ok(()), |version| write!(f, ", version {version}"))?;
                write!(f, ": {fault}")
            }
            LogError::Lost { path, offset, version, known } => write!(
                f,
                "damage in {} at byte {offset}: version {version} is gone, though version {known} was durable",
                path.display()
            ),
            LogError::Uncertain { path, offset, version, fault } => write!(
                f,
                "uncertain end in {} at byte {offset}, version {version}: {fault}, and no crash explains it",
                path.display()
            ),
            LogError::Missing { from, to } => write!(f, "versions {from} to {to} are in no segment"),
            LogError::Foreign { path, found, expected } => {
                write!(f, "{} belongs to cluster {found}, not to {expected}", path.display())
            }
            LogError::UnknownFormat { path, offset, fault } => {
                write!(f, "{} at byte {offset}: {fault}", path.display())
            }
            LogError::Compacted { wanted, oldest } => {
                write!(f, "version {wanted} is compacted, the oldest here is {oldest}")
            }
            LogError::NotFound { wanted, last } => write!(f, "there is no version {wanted}, the last is {last}"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Io { source, .. } | LogError::NoSpace { source, .. } => Some(source),
            LogError::Closed
            | LogError::Corrupt { .. }
            | LogError::Lost { .. }
            | LogError::Uncertain { .. }
            | LogError::Missing { .. }
            | LogError::Foreign { .. }
            | LogError::UnknownFormat { .. }
            | LogError::Compacted { .. }
            | LogError::NotFound { .. } => None,
        }
    }
}
