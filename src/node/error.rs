//! Why a node does not start, or stops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::auth;
use super::dir::DirError;
use crate::error::Exit;
use crate::log::LogError;
use crate::net::Fault;
use crate::service::ServiceError;

/// What ends a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The data directory.
    Dir(DirError),
    /// The log cannot be opened, or its storage has failed while serving.
    Log(LogError),
    /// The built-in service could not be brought to the log's state.
    Service(ServiceError),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An address beyond loopback without what it needs.
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// Certificate, key or CA cannot be used.
    Tls(Fault),
    /// The log is for another service than the one that was asked for.
    OtherService {
        /// Where that is noted.
        path: PathBuf,
        /// The kind of its service.
        known: String,
        /// The kind that was asked for.
        asked: String,
    },
    /// A setting that cannot be.
    Setting {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of tokens.
    Tokens {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it, with its line.
        reason: String,
    },
    /// A snapshot says more than the log holds.
    AheadOfLog {
        /// The snapshot.
        path: PathBuf,
        /// The snapshot's version.
        snapshot: u64,
        /// Where the log ends.
        head: u64,
    },
    /// The log was compacted, and no snapshot that has what is gone can be used.
    NoSnapshot {
        /// First version of the log.
        oldest: u64,
    },
    /// The service in another process knows operations that this log has never seen.
    ServiceAhead {
        /// What it says, and what the log says.
        detail: String,
    },
    /// The log names other members or another owner: this version of Rig opens only logs of one node.
    NotAlone {
        /// What stands in the way.
        reason: String,
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
    /// A thread of the node has panicked: a bug.
    Panicked(&'static str),
}

impl NodeError {
    /// What the command ends with.
    #[doc(hidden)]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Dir(error) => match error {
                DirError::NotInitialised { .. } => Exit::NotFound,
                DirError::AlreadyInitialised { .. } => Exit::Conflict,
                DirError::Foreign { .. } | DirError::NotADirectory { .. } | DirError::Open { .. } => Exit::Usage,
                DirError::InUse { .. } => Exit::InUse,
                DirError::BadMeta { .. } | DirError::Format { .. } | DirError::Io { .. } => Exit::Failure,
            },
            Self::Log(error) if error.is_damage() => Exit::Corrupt,
            Self::AheadOfLog { .. } | Self::NoSnapshot { .. } | Self::ServiceAhead { .. } => Exit::Corrupt,
            Self::Exposed { .. } | Self::Setting { .. } | Self::Tokens { .. } | Self::Tls(_) => Exit::Usage,
            Self::NotAlone { .. } | Self::OtherService { .. } => Exit::Conflict,
            Self::Log(_) | Self::Service(_) | Self::Listen { .. } | Self::Io { .. } | Self::Panicked(_) => {
                Exit::Failure
            }
        }
    }

    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dir(_) => "data_dir",
            Self::Log(error) if error.is_damage() => "corrupt",
            Self::Log(LogError::UnknownFormat { .. }) => "log_format",
            Self::Log(_) => "storage",
            Self::Service(_) => "service",
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => "address_in_use",
            Self::Listen { .. } => "listen",
            Self::Exposed { .. } => "exposed",
            Self::OtherService { .. } => "other_service",
            Self::Setting { .. } => "usage",
            Self::Tokens { .. } => "tokens",
            Self::Tls(_) => "tls",
            Self::AheadOfLog { .. } => "ahead_of_log",
            Self::NoSnapshot { .. } => "no_snapshot",
            Self::ServiceAhead { .. } => "service_ahead",
            Self::NotAlone { .. } => "not_alone",
            Self::Io { .. } => "io",
            Self::Panicked(_) => "bug",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Dir(DirError::NotInitialised { path, beside }) => match beside {
                Some(beside) => format!("rig serve -D {}", beside.display()),
                None => format!("rig init {}", path.display()),
            },
            Self::Dir(DirError::InUse { .. }) => "stop the other process, or serve another directory".into(),
            Self::Dir(DirError::Open { path, .. }) => format!("chmod 700 {}", path.display()),
            Self::Dir(_) => "look at the directory with ls -la".into(),
            Self::Log(error) => error.what_now().hint().into(),
            Self::Service(_) => "start again; the state is rebuilt from snapshot and log".into(),
            Self::Listen { .. } => "choose another port with --listen, or port 0 for any free one".into(),
            Self::Exposed { .. } => {
                "give --tokens FILE, and --tls-cert and --tls-key or, on a trusted network, --insecure-plaintext".into()
            }
            Self::Tls(fault) => fault.hint.clone(),
            Self::OtherService { path, .. } => format!(
                "serve it for its own service; if it is the same one under another name, remove {}",
                path.display()
            ),
            // Its reasons say what to give; to leave it out is what must not be done by mistake.
            Self::Setting { name: "coordinator", .. } => "see `rig help serve`, at --coordinator".into(),
            Self::Setting { .. } => "give it another value, or leave it out".into(),
            Self::Tokens { path, reason } if reason == auth::OPEN => format!("chmod 600 {}", path.display()),
            Self::Tokens { .. } => {
                "each line is: NAME ROLE TOKEN, where ROLE is read, write, admin or peer; mode 0600".into()
            }
            Self::AheadOfLog { .. } => {
                "the log has lost records or belongs to another time: restore it, or move the snapshot away".into()
            }
            Self::NoSnapshot { .. } => {
                "restore a backup, or start this node anew as a replica of one that has its state".into()
            }
            Self::ServiceAhead { .. } => {
                "this is another service's log, or an older copy: check the directory; or give the service an empty state"
                    .into()
            }
            Self::NotAlone { .. } => "start this directory with the version of Rig that wrote it".into(),
            Self::Io { .. } => "look at permissions and free space there".into(),
            Self::Panicked(_) => {
                "this is a bug: keep the node's log and report it; the data is as of the last sync".into()
            }
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::Service(error) => error.fmt(f),
            Self::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "listen on {address}: the address is in use")
            }
            Self::Listen { address, source } => write!(f, "listen on {address}: {source}"),
            Self::Exposed { address, missing } => {
                write!(f, "listen on {address}: an address beyond loopback needs {missing}")
            }
            Self::OtherService { known, asked, .. } => {
                write!(f, "the operations of this log are for the service `{known}`, not for `{asked}`")
            }
            Self::Setting { name, reason } => write!(f, "{name}: {reason}"),
            Self::Tls(fault) => write!(f, "{fault}"),
            Self::Tokens { path, reason } => write!(f, "read tokens {}: {reason}", path.display()),
            Self::AheadOfLog { path, snapshot, head } => {
                write!(f, "{} is of version {snapshot}, but the log ends at {head}", path.display())
            }
            Self::NoSnapshot { oldest } => {
                write!(f, "the log begins with version {oldest}, and no snapshot of what was before can be used")
            }
            Self::ServiceAhead { detail } => write!(f, "the service is ahead of the log: {detail}"),
            Self::NotAlone { reason } => f.write_str(reason),
            Self::Io { op, path, source } => write!(f, "{op} {}: {source}", path.display()),
            Self::Panicked(thread) => write!(f, "the {thread} thread has panicked"),
        }
    }
}

impl std::error::Error for NodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dir(error) => Some(error),
            Self::Log(error) => Some(error),
            Self::Service(error) => Some(error),
            Self::Listen { source, .. } | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DirError> for NodeError {
    fn from(error: DirError) -> Self {
        Self::Dir(error)
    }
}

impl From<LogError> for NodeError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<ServiceError> for NodeError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}
