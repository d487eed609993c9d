//! What can be wrong with an archive, or stand in the way of one.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::{Code, Exit, Problem};
use crate::log::LogError;
use crate::node::dir::DirError;
use crate::types::{ClusterId, Version};

/// See the module.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// It begins with something else.
    NotAnArchive,
    /// Written by a newer version of this program.
    Format {
        /// Its format.
        found: u16,
    },
    /// It is damaged, or cut.
    Broken {
        /// Where.
        offset: u64,
        /// How.
        what: &'static str,
    },
    /// The first one given is incremental.
    NeedsBase {
        /// The version behind which it goes.
        after: Version,
    },
    /// It does not continue what was read before it.
    NoSuccessor {
        /// The version behind which it goes.
        after: Version,
        /// Where the records before it end.
        head: Version,
    },
    /// Of another cluster than the one before it.
    Foreign {
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// The records before it are others than those that it continues.
    OtherChain {
        /// The version where they differ at the latest.
        version: Version,
    },
    /// A version, or a time, that is not in there.
    NotThere {
        /// The oldest that is.
        oldest: Version,
        /// The newest.
        newest: Version,
    },
    /// The log was compacted, and no snapshot of what is gone can be relied on.
    NoSnapshot {
        /// First version of the log.
        oldest: Version,
    },
    /// The data directory.
    Dir(DirError),
    /// The log, the one that is read or the one that is written.
    Log(LogError),
    /// The operating system refused `op`.
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The archive cannot be read.
    Input(io::Error),
}

impl BackupError {
    /// What the command ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotAnArchive | Self::Broken { .. } | Self::OtherChain { .. } | Self::NoSnapshot { .. } => {
                Exit::Corrupt
            }
            Self::Format { .. } | Self::NeedsBase { .. } => Exit::Usage,
            Self::NoSuccessor { .. } | Self::Foreign { .. } => Exit::Conflict,
            Self::NotThere { .. } | Self::Log(LogError::Compacted { .. } | LogError::NotFound { .. }) => Exit::NotFound,
            Self::Log(error) if error.is_damage() => Exit::Corrupt,
            Self::Dir(DirError::InUse { .. }) => Exit::InUse,
            Self::Dir(_) | Self::Log(_) | Self::Io { .. } | Self::Input(_) => Exit::Failure,
        }
    }

    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnArchive => "not_an_archive",
            Self::Format { .. } => "format",
            Self::Broken { .. } => "broken_archive",
            Self::NeedsBase { .. } => "incremental",
            Self::NoSuccessor { .. } => "no_successor",
            Self::Foreign { .. } => "other_cluster",
            Self::OtherChain { .. } => "other_chain",
            Self::NotThere { .. } | Self::Log(LogError::NotFound { .. }) => "not_found",
            Self::Log(LogError::Compacted { .. }) => "compacted",
            Self::NoSnapshot { .. } => "no_snapshot",
            Self::Dir(_) => "data_dir",
            Self::Log(error) if error.is_damage() => "corrupt",
            Self::Log(_) => "storage",
            Self::Io { .. } | Self::Input(_) => "io",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAnArchive => "name a file that `rig backup` has written",
            Self::Format { .. } => "use the version of Rig that made it, or a newer one",
            Self::Broken { .. } => "nothing was restored: take another copy of the archive, or another archive",
            Self::NeedsBase { .. } => "rig restore FULL DIR --apply INCREMENTAL",
            Self::NoSuccessor { .. } => "give the archives in their order, each behind the one that it was taken since",
            Self::Foreign { .. } | Self::OtherChain { .. } => "these archives are of two logs: take a full backup",
            Self::NotThere { .. } => "name a version between these, or take an older archive",
            Self::NoSnapshot { .. } => "rig snapshot create, then try again",
            Self::Log(LogError::Compacted { .. }) => "take a full backup: one without --since",
            Self::Log(error) => error.what_now().hint(),
            Self::Dir(_) => "look at the directory with ls -la",
            Self::Io { .. } | Self::Input(_) => "look at permissions and free space there",
        }
    }

    /// As a node says it to its client.
    pub(in crate::node) fn problem(&self) -> Problem {
        let code = match self {
            Self::Log(LogError::Compacted { .. }) => Code::Compacted,
            Self::NotThere { .. } | Self::Log(LogError::NotFound { .. }) => Code::NotFound,
            _ => Code::Internal,
        };
        Problem::new(code, self.to_string()).hint(self.hint())
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArchive => f.write_str("this is no archive of `rig backup`"),
            Self::Format { found } => {
                write!(f, "the archive, or a record in it, has format {found}: this version of Rig does not know it")
            }
            Self::Broken { offset, what } => write!(f, "the archive is broken at byte {offset}: {what}"),
            Self::NeedsBase { after } => {
                write!(f, "the archive is incremental: it holds only what came after version {after}")
            }
            Self::NoSuccessor { after, head } => {
                write!(f, "the archive continues version {after}, and what was read before it ends with version {head}")
            }
            Self::Foreign { found, expected } => {
                write!(f, "the archive is of cluster {found}, the one before it of {expected}")
            }
            Self::OtherChain { version } => {
                write!(f, "the archive does not continue the one before it: the hash of version {version} is another")
            }
            Self::NotThere { oldest, newest } => {
                write!(f, "only the states from version {oldest} to version {newest} are there")
            }
            Self::NoSnapshot { oldest } => {
                write!(f, "the log begins with version {oldest}, and no snapshot of what was before can be relied on")
            }
            Self::Dir(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::Io { op, path, source } => write!(f, "{op} {}: {source}", path.display()),
            Self::Input(error) => write!(f, "read the archive: {error}"),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<DirError> for BackupError {
    fn from(error: DirError) -> Self {
        Self::Dir(error)
    }
}

impl From<LogError> for BackupError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}
