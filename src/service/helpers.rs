//! What a service that keeps its state in memory would otherwise write itself.

use std::io::{self, Read, Write};

use super::{Entry, Outcome, ServiceError, Snapshot};
use crate::types::{Operation, Version};

const MAGIC: &[u8; 8] = b"RIGSEAL1";
/// Magic, version, length of what follows, CRC32C of all of it but itself.
const HEADER: usize = 28;

/// Applies entries in order to a state at `version`, and moves it: those that come again are skipped, control records are
/// counted, a gap is refused. `apply` is given what is left, the operations that are due.
///
/// # Errors
/// [`ServiceError::Gap`]; what came before the gap has been applied.
pub fn apply_each(
    version: &mut Version,
    entries: &[Entry<'_>],
    mut apply: impl FnMut(&Operation, &Entry<'_>) -> Outcome,
) -> Result<Vec<Outcome>, ServiceError> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        let expected = *version + 1;
        if entry.version < expected {
            outcomes.push(Outcome::duplicate());
            continue;
        }
        if entry.version > expected {
            return Err(ServiceError::Gap { expected, found: entry.version });
        }
        outcomes.push(entry.operation.map_or_else(Outcome::empty, |operation| apply(operation, entry)));
        *version = entry.version;
    }
    Ok(outcomes)
}

/// A snapshot that is bytes already, with their version, their length and a checksum before them, so that damage is
/// noticed whatever the bytes mean.
#[derive(Debug, Clone)]
pub struct Sealed {
    version: Version,
    bytes: Vec<u8>,
}

impl Sealed {
    /// The whole state at this version. Equal states must give equal bytes.
    pub fn new(version: Version, bytes: impl Into<Vec<u8>>) -> Self {
        Self { version, bytes: bytes.into() }
    }

    /// The bytes, if they are whole and of this version; nothing behind them is read.
    ///
    /// # Errors
    /// [`ServiceError::Damaged`], [`ServiceError::OtherVersion`], and [`ServiceError::Io`] of `input`.
    pub fn read(version: Version, input: &mut dyn Read) -> Result<Vec<u8>, ServiceError> {
        let mut header = [0; HEADER];
        input.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ServiceError::Damaged { what: "head of a snapshot", offset: 0 },
            _ => ServiceError::Io(error),
        })?;
        let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
        let (found, length) = (number(8), number(16));
        let mut bytes = Vec::new();
        // The length is not believed yet: memory grows with what really comes.
        input.take(length).read_to_end(&mut bytes)?;
        if &header[..8] != MAGIC || bytes.len() as u64 != length || header[24..] != checksum(&header, &bytes) {
            return Err(ServiceError::Damaged { what: "snapshot", offset: HEADER as u64 + bytes.len() as u64 });
        }
        if found != version {
            return Err(ServiceError::OtherVersion { expected: version, found });
        }
        Ok(bytes)
    }
}

impl Snapshot for Sealed {
    fn version(&self) -> Version {
        self.version
    }

    fn write(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&self.version.to_le_bytes());
        header[16..24].copy_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        let checksum = checksum(&header, &self.bytes);
        header[24..].copy_from_slice(&checksum);
        out.write_all(&header)?;
        out.write_all(&self.bytes)
    }
}

fn checksum(header: &[u8; HEADER], bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&header[..24]), bytes).to_le_bytes()
}
