//! `state/standing`: what this node has promised, and what it is.
//!
//! Two slots of 512 bytes, written in turn and synced, so that a torn write leaves the older one whole:
//!
//! ```text
//!   magic "RIGSTA1\n" 8 | counter 8 | epoch: number 8, owner 16, start 8 | primary 1 | members in the set 1 | forced 1
//!   | adrift 1 | zero 4 | alone from 8 (0: not alone) | the set, 16 each | zero ... | lacks 8 (0: nothing) | CRC32C 4, of all before
//! ```
//!
//! An epoch is here before this node says a word in it, and a smaller in-sync set before an answer relies on it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::limits::MEMBERS_MAX;
use crate::replication::Standing;
use crate::types::{Epoch, NodeId};

const MAGIC: &[u8; 8] = b"RIGSTA1\n";
const NAME: &str = "standing";
const SLOT: usize = 512;
const SET_AT: usize = 64;
const CRC_AT: usize = SLOT - 4;
const LACKS_AT: usize = CRC_AT - 8;

const _: () = assert!(SET_AT + 16 * MEMBERS_MAX <= CRC_AT);

/// The file.
#[derive(Debug)]
pub(super) struct StandingFile {
    file: File,
    counter: u64,
    last: Option<Standing>,
}

impl StandingFile {
    /// Opens it, or makes it. What is found there is written and synced again.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if let Some(missing) = [0; 2 * SLOT].get(len..).filter(|missing| !missing.is_empty()) {
            // New, or a start that made it found no room for all of it: what is recorded later must find its place.
            file.write_all_at(missing, len as u64)?;
            file.sync_all()?;
            File::open(state_dir)?.sync_all()?;
        }
        let mut found = Self { file, counter: 0, last: None };
        if let Some((counter, standing)) = newest(&found.file)? {
            // It may have been read from a cache whose sync failed in an earlier process: it counts when it is durable.
            // Into its own slot, for the other may be the only one that is.
            found.write(counter, &standing)?;
            (found.counter, found.last) = (counter, Some(standing));
        }
        Ok(found)
    }

    /// What was recorded last; `None` when nothing ever was.
    pub(super) fn last(&self) -> Option<&Standing> {
        self.last.as_ref()
    }

    /// Makes it durable. Promises never go back.
    pub(super) fn record(&mut self, standing: Standing) -> io::Result<()> {
        assert!(
            self.last.as_ref().is_none_or(|last| last.promised <= standing.promised),
            "{:?} -> {standing:?}",
            self.last
        );
        let counter = self.counter + 1;
        self.write(counter, &standing)?;
        (self.counter, self.last) = (counter, Some(standing));
        Ok(())
    }

    fn write(&self, counter: u64, standing: &Standing) -> io::Result<()> {
        self.file.write_all_at(&encode(counter, standing), (counter % 2) * SLOT as u64)?;
        self.file.sync_data()
    }
}

/// What a stopped node recorded; `None` when there is nothing to read.
pub(super) fn read(state_dir: &Path) -> Option<Standing> {
    let file = File::open(state_dir.join(NAME)).ok()?;
    newest(&file).ok()?.map(|(_, standing)| standing)
}

fn newest(file: &File) -> io::Result<Option<(u64, Standing)>> {
    let mut best: Option<(u64, Standing)> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        match file.read_exact_at(&mut bytes, slot * SLOT as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        if let Some(found) = decode(&bytes)
            && best.as_ref().is_none_or(|(counter, _)| *counter < found.0)
        {
            best = Some(found);
        }
    }
    Ok(best)
}

fn encode(counter: u64, standing: &Standing) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..24].copy_from_slice(&standing.promised.number.to_le_bytes());
    slot[24..40].copy_from_slice(&standing.promised.owner.0);
    slot[40..48].copy_from_slice(&standing.promised.start.to_le_bytes());
    slot[48] = u8::from(standing.primary);
    slot[49] = u8::try_from(standing.set.len()).expect("a handful of members");
    slot[50] = u8::from(standing.forced);
    slot[51] = u8::from(standing.adrift);
    slot[56..64].copy_from_slice(&standing.alone_from.unwrap_or(0).to_le_bytes());
    for (place, id) in slot[SET_AT..LACKS_AT].chunks_exact_mut(16).zip(&standing.set) {
        place.copy_from_slice(&id.0);
    }
    slot[LACKS_AT..CRC_AT].copy_from_slice(&standing.lacks.to_le_bytes());
    let crc = crc32c::crc32c(&slot[..CRC_AT]);
    slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT]) -> Option<(u64, Standing)> {
    let number = |at: usize| slot[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let crc = slot[CRC_AT..].try_into().map(u32::from_le_bytes).ok()?;
    if &slot[..8] != MAGIC || crc != crc32c::crc32c(&slot[..CRC_AT]) || slot[48] > 1 || slot[50] > 1 || slot[51] > 1 {
        return None;
    }
    let members = usize::from(slot[49]);
    let set = slot[SET_AT..LACKS_AT].chunks_exact(16).take(members).map(|id| id.try_into().map(NodeId).ok());
    let promised = Epoch { number: number(16)?, owner: NodeId(slot[24..40].try_into().ok()?), start: number(40)? };
    let alone_from = Some(number(56)?).filter(|from| *from > 0);
    let (primary, forced, adrift) = (slot[48] == 1, slot[50] == 1, slot[51] == 1);
    let (set, lacks) = (set.collect::<Option<_>>()?, number(LACKS_AT)?);
    Some((number(8)?, Standing { promised, primary, forced, set, alone_from, lacks, adrift }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(start: u64) -> Standing {
        Standing {
            promised: Epoch { number: 3, owner: NodeId([5; 16]), start },
            primary: true,
            forced: true,
            set: vec![NodeId([1; 16]), NodeId([9; 16])],
            alone_from: Some(17),
            adrift: true,
            lacks: 23,
        }
    }

    #[test]
    fn the_last_standing_is_read_back_and_a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = StandingFile::open(dir.path()).unwrap();
        assert_eq!(file.last(), None);
        file.record(standing(1)).unwrap();
        file.record(standing(2)).unwrap();
        assert_eq!(StandingFile::open(dir.path()).unwrap().last(), Some(&standing(2)));

        let torn = OpenOptions::new().write(true).open(dir.path().join(NAME)).unwrap();
        torn.write_all_at(&[0xff], 100).unwrap();
        assert_eq!(read(dir.path()), Some(standing(1)));
        assert_eq!(StandingFile::open(dir.path()).unwrap().last(), Some(&standing(1)));
    }

    #[test]
    fn a_file_that_found_no_room_for_all_of_it_is_made_whole_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        for found in [0, 300, SLOT, 2 * SLOT - 1] {
            std::fs::write(dir.path().join(NAME), vec![0; found]).unwrap();
            assert_eq!(StandingFile::open(dir.path()).unwrap().last(), None);
            assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().len(), 2 * SLOT as u64, "{found}");
        }
    }

    #[test]
    fn a_start_writes_what_it_reads_again_and_leaves_the_other_slot_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = StandingFile::open(dir.path()).unwrap();
        file.record(standing(1)).unwrap();
        file.record(standing(2)).unwrap();
        let path = dir.path().join(NAME);
        let before = std::fs::read(&path).unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        StandingFile::open(dir.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(std::fs::metadata(&path).unwrap().modified().unwrap() > written);
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let slot = encode(9, &standing(4));
        assert_eq!(decode(&slot), Some((9, standing(4))));
        for bit in 0..SLOT * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
    }
}
