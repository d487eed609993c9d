//! What a machine keeps on its simulated disk beside the log: the two slots of the standing, and the way back into
//! the log after a crash or a cut.
//!
//! The slots are those of the node, in shape and in what a crash may do to them: written in turn, synced, checked.

use std::path::Path;
use std::sync::Arc;

use rig::log::{self, Access, Config, LogError, MemVfs, Opened, Vfs};
use rig::replication::Standing;
use rig::types::{ClusterId, Epoch, NodeId, Version};

pub const DIR: &str = "/data";
pub const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
const SLOT: usize = 512;

pub fn config(segment_bytes: u64) -> Config {
    Config { cluster: CLUSTER, segment_bytes, zero_fill: false }
}

/// Opens the log. What a power cut leaves in doubt behind the durable end is cut by the operator, who knows here that it
/// was no damage.
pub fn open_log(vfs: &MemVfs, config: &Config, durable: Version) -> Result<Opened, String> {
    let open = || log::open(Arc::new(vfs.clone()), Path::new(DIR), config);
    match open() {
        Err(LogError::Uncertain { version, .. } | LogError::Corrupt { version: Some(version), .. })
            if version > durable =>
        {
            log::truncate_from(vfs, Path::new(DIR), version, false).map_err(|error| error.to_string())?;
            open().map_err(|error| error.to_string())
        }
        other => other.map_err(|error| error.to_string()),
    }
}

/// Cuts the closed log behind `to`; the rescue files are written first, as the log does it.
pub fn cut_log(vfs: &MemVfs, to: Version) -> Result<(), LogError> {
    log::truncate_from(vfs, Path::new(DIR), to + 1, false).map(drop)
}

/// Whether the records from a version on were set aside by a cut.
pub fn is_set_aside(vfs: &MemVfs, from: Version) -> bool {
    let names = vfs.list(&Path::new(DIR).join("rescue")).unwrap_or_default();
    names.iter().any(|name| name.starts_with(&format!("cut-{from:020}")))
}

/// The file with the standing.
pub struct StandingFile {
    vfs: MemVfs,
    counter: u64,
}

impl StandingFile {
    fn path() -> std::path::PathBuf {
        Path::new(DIR).join("state/standing")
    }

    /// Opens it, or makes it, and reads what was recorded last.
    pub fn open(vfs: &MemVfs) -> Result<(Self, Option<Standing>), String> {
        vfs.create_dir_all(&Path::new(DIR).join("state")).unwrap();
        let path = Self::path();
        let bytes = vfs.read(&path).unwrap_or_default();
        if bytes.len() < 2 * SLOT {
            // New, or a start that made it found no room for all of it.
            vfs.write(&path, &[0; 2 * SLOT]).map_err(|error| error.to_string())?;
        }
        let newest = bytes.chunks_exact(SLOT).filter_map(decode).max_by_key(|(counter, _)| *counter);
        let counter = newest.as_ref().map_or(0, |(counter, _)| *counter);
        let mut file = Self { vfs: vfs.clone(), counter };
        let newest = newest.map(|(_, standing)| standing);
        if let Some(standing) = &newest {
            // It may have been read from a cache whose sync had failed: believed only when it is written again.
            file.write(standing);
            file.sync().map_err(|error| error.to_string())?;
        }
        Ok((file, newest))
    }

    /// Writes the other slot; a crash may leave any part of it.
    pub fn write(&mut self, standing: &Standing) {
        self.counter += 1;
        let slot = encode(self.counter, standing);
        let file = self.vfs.open(&Self::path(), Access::Write).unwrap();
        file.write_at(&slot, self.counter % 2 * SLOT as u64).unwrap();
    }

    pub fn sync(&self) -> std::io::Result<()> {
        self.vfs.open(&Self::path(), Access::Write)?.sync_data()
    }
}

fn encode(counter: u64, standing: &Standing) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..24].copy_from_slice(&standing.promised.number.to_le_bytes());
    slot[24..40].copy_from_slice(&standing.promised.owner.0);
    slot[40..48].copy_from_slice(&standing.promised.start.to_le_bytes());
    slot[48] = u8::from(standing.primary);
    slot[49] = standing.set.len() as u8;
    slot[50] = u8::from(standing.forced);
    slot[51] = u8::from(standing.adrift);
    slot[56..64].copy_from_slice(&standing.alone_from.unwrap_or(0).to_le_bytes());
    for (place, id) in slot[64..].chunks_exact_mut(16).zip(&standing.set) {
        place.copy_from_slice(&id.0);
    }
    slot[SLOT - 8..].copy_from_slice(&standing.lacks.to_le_bytes());
    let crc = crc32c::crc32c(&slot[8..]);
    slot[..4].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Standing)> {
    let number = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
    let is_whole = slot[..4] == crc32c::crc32c(&slot[8..]).to_le_bytes() && number(8) > 0;
    let promised = Epoch { number: number(16), owner: NodeId(slot[24..40].try_into().unwrap()), start: number(40) };
    let set = slot[64..].chunks_exact(16).take(usize::from(slot[49])).map(|id| NodeId(id.try_into().unwrap()));
    let alone_from = Some(number(56)).filter(|from| *from > 0);
    let (primary, forced, adrift) = (slot[48] == 1, slot[50] == 1, slot[51] == 1);
    let (set, lacks) = (set.collect(), number(SLOT - 8));
    is_whole.then(|| (number(8), Standing { promised, primary, forced, set, alone_from, lacks, adrift }))
}
