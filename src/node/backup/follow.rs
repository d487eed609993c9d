//! Whether what passes by is a whole archive: for who hands the bytes on and keeps none.

use sha2::{Digest, Sha256};

use super::{BackupError, END, HEAD, HEADER, Head, Header, Kind};

/// See the module.
#[derive(Default)]
pub struct Follower {
    first: Vec<u8>,
    /// The last bytes: they may be the end.
    last: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl Follower {
    /// Takes note of the next bytes. The header, as soon as it has passed.
    ///
    /// # Errors
    /// They are of no archive.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Header>, BackupError> {
        let missing = (HEADER - self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        self.bytes += bytes.len() as u64;
        self.last.extend_from_slice(bytes);
        let over = self.last.len().saturating_sub(END);
        self.hash.update(&self.last[..over]);
        self.last.drain(..over);
        self.header()
    }

    /// How many have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn header(&self) -> Result<Option<Header>, BackupError> {
        self.first.first_chunk::<HEADER>().map(Header::decode).transpose()
    }

    /// No more comes.
    ///
    /// # Errors
    /// The archive is cut, or something in it is not as it was.
    pub fn end(self) -> Result<Header, BackupError> {
        let broken = |what| BackupError::Broken { offset: self.bytes, what };
        let header = self.header()?.ok_or_else(|| broken("it is cut"))?;
        let Some((head, rest)) = self.last.split_first_chunk::<HEAD>() else { return Err(broken("it is cut")) };
        let is_end = Head::decode(head).is_ok_and(|head| head.kind == Kind::End);
        if !is_end || self.last.len() != END {
            return Err(broken("it is cut"));
        }
        if *self.hash.finalize() != rest[..32] {
            return Err(broken("what is in it is not what its end says"));
        }
        Ok(header)
    }
}
