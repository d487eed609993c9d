//! An archive on its way in: every byte is checked before it is believed.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::{BackupError, HEAD, HEADER, Head, Header, Kind};

const BUFFER: usize = 256 << 10;

/// Reads section by section.
pub(super) struct Sections<R> {
    input: Counted<R>,
    /// What it says of itself.
    pub(super) header: Header,
    last: Option<Kind>,
}

/// Counts and hashes what is read.
struct Counted<R> {
    inner: R,
    offset: u64,
    hash: Sha256,
}

impl<R: Read> Counted<R> {
    /// Fills the room, or says that the archive is cut.
    fn fill(&mut self, room: &mut [u8]) -> Result<(), BackupError> {
        let offset = self.offset;
        self.inner.read_exact(room).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::Broken { offset, what: "it is cut" },
            _ => BackupError::Input(error),
        })?;
        self.offset += room.len() as u64;
        self.hash.update(&room);
        Ok(())
    }
}

impl<R: Read> Sections<R> {
    pub(super) fn open(inner: R) -> Result<Self, BackupError> {
        let mut input = Counted { inner, offset: 0, hash: Sha256::new() };
        let mut bytes = [0; HEADER];
        input.fill(&mut bytes)?;
        let header = Header::decode(&bytes)?;
        Ok(Self { input, header, last: None })
    }

    /// How many bytes were read.
    pub(super) fn offset(&self) -> u64 {
        self.input.offset
    }

    pub(super) fn broken(&self, what: &'static str) -> BackupError {
        BackupError::Broken { offset: self.input.offset, what }
    }

    /// The head of the next section, whose body is to be read then; `None` behind the end.
    pub(super) fn next(&mut self) -> Result<Option<Head>, BackupError> {
        let before = self.input.hash.clone();
        let mut bytes = [0; HEAD];
        self.input.fill(&mut bytes)?;
        let head = Head::decode(&bytes).map_err(|what| self.broken(what))?;
        let in_order = match self.last {
            None => head.kind == Kind::About,
            Some(last @ (Kind::About | Kind::Snapshot)) => head.kind > last,
            Some(last) => head.kind >= last,
        };
        if !in_order || head.kind == Kind::Keys && self.last == Some(Kind::About) {
            return Err(self.broken("a section stands where it does not belong"));
        }
        self.last = Some(head.kind);
        if head.kind == Kind::End {
            self.end(&head, before)?;
            return Ok(None);
        }
        Ok(Some(head))
    }

    fn end(&mut self, head: &Head, before: Sha256) -> Result<(), BackupError> {
        let digest = self.body(head, 32)?;
        if digest != before.finalize().as_slice() || head.number != self.header.end.version {
            return Err(self.broken("what is in it is not what its end says"));
        }
        match self.input.inner.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.broken("something is behind its end")),
            Err(error) => Err(BackupError::Input(error)),
        }
    }

    /// The body of the section, which is at most so long.
    pub(super) fn body(&mut self, head: &Head, bytes_max: u64) -> Result<Vec<u8>, BackupError> {
        if head.length > bytes_max {
            return Err(self.broken("a section is too long"));
        }
        let mut body = Vec::new();
        self.copy(head, &mut body).map(|()| body)
    }

    /// Copies the body of the section, which may be of any length.
    pub(super) fn copy(&mut self, head: &Head, out: &mut impl Write) -> Result<(), BackupError> {
        let (mut left, mut crc, mut room) = (head.length, 0, vec![0; BUFFER]);
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            self.input.fill(&mut room[..n])?;
            crc = crc32c::crc32c_append(crc, &room[..n]);
            out.write_all(&room[..n]).map_err(BackupError::Input)?;
            left -= n as u64;
        }
        let mut found = [0; 4];
        self.input.fill(&mut found)?;
        if u32::from_le_bytes(found) != crc {
            return Err(self.broken("a section does not match its checksum"));
        }
        Ok(())
    }
}
