//! `state/epoch`: the epoch that this node has recorded, and its role.
//!
//! Two slots of 512 bytes, written in turn and synced, so that a torn write leaves the older one whole:
//!
//! ```text
//!   magic "RIGEPO1\n" 8 | counter 8 | number 8 | owner 16 | start 8 | role 1 | zero ... | CRC32C 4, of all before
//! ```
//!
//! An epoch is here before the first record of it is in the log, and (with further members) before this node
//! says a word in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::types::{Epoch, NodeId, Role};

const MAGIC: &[u8; 8] = b"RIGEPO1\n";
const SLOT: usize = 512;
const CRC_AT: usize = SLOT - 4;

/// What was recorded last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The highest epoch that this node has recorded.
    pub(super) epoch: Epoch,
    /// What it was in it.
    pub(super) role: Role,
}

/// The file.
#[derive(Debug)]
pub(super) struct EpochFile {
    file: File,
    counter: u64,
    last: Option<Recorded>,
}

impl EpochFile {
    /// Opens it, or makes it.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join("epoch");
        let new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if new {
            file.write_all_at(&[0; 2 * SLOT], 0)?;
            file.sync_all()?;
            File::open(state_dir)?.sync_all()?;
        }
        let (counter, last) = match newest(&file)? {
            Some((counter, recorded)) => (counter, Some(recorded)),
            None => (0, None),
        };
        Ok(Self { file, counter, last })
    }

    /// What was recorded last; `None` when nothing ever was.
    pub(super) fn last(&self) -> Option<Recorded> {
        self.last
    }

    /// Makes it durable. Epochs never go back.
    pub(super) fn record(&mut self, recorded: Recorded) -> io::Result<()> {
        assert!(self.last.is_none_or(|last| last.epoch <= recorded.epoch), "{:?} -> {recorded:?}", self.last);
        let counter = self.counter + 1;
        let slot = encode(counter, recorded);
        self.file.write_all_at(&slot, (counter % 2) * SLOT as u64)?;
        self.file.sync_data()?;
        (self.counter, self.last) = (counter, Some(recorded));
        Ok(())
    }
}

/// The role and epoch that a stopped node recorded; `None` when there is nothing to read.
pub(super) fn read(state_dir: &Path) -> Option<Recorded> {
    let file = File::open(state_dir.join("epoch")).ok()?;
    newest(&file).ok()?.map(|(_, recorded)| recorded)
}

fn newest(file: &File) -> io::Result<Option<(u64, Recorded)>> {
    let mut best = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        match file.read_exact_at(&mut bytes, slot * SLOT as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        if let Some(found) = decode(&bytes)
            && best.is_none_or(|(counter, _)| counter < found.0)
        {
            best = Some(found);
        }
    }
    Ok(best)
}

fn encode(counter: u64, recorded: Recorded) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..24].copy_from_slice(&recorded.epoch.number.to_le_bytes());
    slot[24..40].copy_from_slice(&recorded.epoch.owner.0);
    slot[40..48].copy_from_slice(&recorded.epoch.start.to_le_bytes());
    slot[48] = match recorded.role {
        Role::Primary => 1,
        Role::Replica => 2,
    };
    let crc = crc32c::crc32c(&slot[..CRC_AT]);
    slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT]) -> Option<(u64, Recorded)> {
    let number = |at: usize| slot[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let crc = slot[CRC_AT..].try_into().map(u32::from_le_bytes).ok()?;
    if &slot[..8] != MAGIC || crc != crc32c::crc32c(&slot[..CRC_AT]) {
        return None;
    }
    let role = match slot[48] {
        1 => Role::Primary,
        2 => Role::Replica,
        _ => return None,
    };
    let epoch = Epoch { number: number(16)?, owner: NodeId(slot[24..40].try_into().ok()?), start: number(40)? };
    Some((number(8)?, Recorded { epoch, role }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(start: u64) -> Recorded {
        Recorded { epoch: Epoch { number: 3, owner: NodeId([5; 16]), start }, role: Role::Primary }
    }

    #[test]
    fn the_last_epoch_is_read_back_and_a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = EpochFile::open(dir.path()).unwrap();
        assert_eq!(file.last(), None);
        file.record(recorded(1)).unwrap();
        file.record(recorded(2)).unwrap();
        assert_eq!(EpochFile::open(dir.path()).unwrap().last(), Some(recorded(2)));

        let torn = OpenOptions::new().write(true).open(dir.path().join("epoch")).unwrap();
        torn.write_all_at(&[0xff], 100).unwrap();
        assert_eq!(read(dir.path()), Some(recorded(1)));
        assert_eq!(EpochFile::open(dir.path()).unwrap().last(), Some(recorded(1)));
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let slot = encode(9, recorded(4));
        assert_eq!(decode(&slot), Some((9, recorded(4))));
        for bit in 0..SLOT * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
    }
}
