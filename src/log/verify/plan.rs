//! Which parts of which segments are walked, and from where.

use super::super::error::{Context, Fault, LogError};
use super::super::format::{SEGMENT_HEADER_BYTES, Salt, SegmentHeader, segment_name};
use super::super::reader::Held;
use super::super::recovery::Inventory;
use super::super::scan::{PROBE, SEQUENTIAL, Window};
use super::super::segment;
use super::super::vfs::{Access, File, Vfs};
use super::Options;
use crate::types::{ClusterId, Hash, Version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a piece, about: enough that starting one costs nothing, few enough that all threads have work.
const PIECE: u64 = 4 << 20;
/// Beside others: what is read at once, and hashed before they notice that the processor is taken.
const PIECE_BESIDE: u64 = SEQUENTIAL as u64;

/// A segment as its name and header have it.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) base: Version,
    /// Last version that belongs into it, if there is a segment behind it.
    pub(crate) last: Option<Version>,
    pub(crate) len: u64,
    pub(crate) header: Result<SegmentHeader, Fault>,
    pub(crate) salt: Salt,
}

impl Part {
    /// The hash before its first record, if the header is to be believed.
    pub(crate) fn before(&self) -> Option<Hash> {
        self.header.as_ref().ok().map(|header| header.before)
    }
}

/// A part of a segment that one thread walks: whole records.
pub(crate) struct Piece {
    /// Place of the segment in the plan.
    pub(crate) part: usize,
    pub(crate) start: u64,
    /// Where the next piece begins; `None`: to the end of the segment.
    pub(crate) end: Option<u64>,
    bytes: u64,
}

impl Piece {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Everything that will be read.
pub(crate) struct Plan {
    pub(crate) cluster: ClusterId,
    pub(crate) parts: Vec<Part>,
    pub(crate) pieces: Vec<Piece>,
    /// The last version to be read.
    pub(crate) limit: Version,
    /// Whether the end of the log is looked at and judged.
    pub(crate) judges_end: bool,
}

impl Plan {
    pub(crate) fn make(vfs: &dyn Vfs, dir: &Path, found: &Inventory, options: &Options) -> Result<Self, LogError> {
        let log_dir = segment::log_dir(dir);
        let mark = found.mark.mark;
        let marked = mark.filter(|_| options.held == Held::ByNode).map(|mark| mark.durable);
        let limit = marked.map_or(options.to, |durable| durable.min(options.to));
        let mut parts = Vec::new();
        for (place, &base) in found.bases.iter().enumerate() {
            let next = found.bases.get(place + 1).copied();
            if base > limit || next.is_some_and(|next| next <= options.from) {
                continue;
            }
            parts.push(Part::open(vfs, &log_dir, base, next)?);
        }
        let by_header = || parts.iter().find_map(|part| part.header.as_ref().ok().map(|header| header.cluster));
        let cluster = mark.map(|mark| mark.cluster).or_else(by_header);
        // With no whole header anywhere, what one says is still the best guess for the salt of its records.
        let cluster = cluster.or_else(|| parts.first().map(|part| part.salted_by)).unwrap_or_default();
        let parts: Vec<Part> = parts.into_iter().map(|part| part.part_of(&cluster)).collect();
        let judges_end = marked.is_none() && options.to == Version::MAX;
        let mut plan = Self { cluster, parts, pieces: Vec::new(), limit, judges_end };
        for place in 0..plan.parts.len() {
            plan.cut_into_pieces(place, options)?;
        }
        Ok(plan)
    }

    fn cut_into_pieces(&mut self, place: usize, options: &Options) -> Result<(), LogError> {
        let part = &self.parts[place];
        if options.beside {
            part.file.read_nothing_ahead();
        }
        let mut window = Window::new(part.file.clone(), part.salt, PROBE);
        let mut starts = vec![SEGMENT_HEADER_BYTES];
        if options.from > part.base {
            starts = vec![first_of(&mut window, part, options.from).context("read", &part.path)?];
        }
        let mut at = starts[0];
        loop {
            at += if options.beside { PIECE_BESIDE } else { PIECE };
            let next = if at < part.len { window.next_header(at, part.len, false) } else { Ok(None) };
            let Some((next, header)) = next.context("read", &part.path)? else { break };
            if header.version > self.limit {
                break;
            }
            starts.push(next);
            at = next;
        }
        for (place_of_start, &start) in starts.iter().enumerate() {
            let end = starts.get(place_of_start + 1).copied();
            let bytes = end.unwrap_or(part.len).saturating_sub(start);
            self.pieces.push(Piece { part: place, start, end, bytes });
        }
        Ok(())
    }
}

/// Where `version` begins, or a place before it if it cannot be found.
fn first_of(window: &mut Window, part: &Part, version: Version) -> std::io::Result<u64> {
    let mut at = window.find(version, part.len)?;
    while let Ok(header) = window.header(at) {
        if header.version >= version {
            break;
        }
        at += header.length as u64;
    }
    Ok(at)
}

/// A segment whose salt is not known yet.
struct Opened {
    part: Part,
    salted_by: ClusterId,
    header: Result<SegmentHeader, Fault>,
}

impl Part {
    fn open(vfs: &dyn Vfs, log_dir: &Path, base: Version, next: Option<Version>) -> Result<Opened, LogError> {
        let name = segment_name(base);
        let path = log_dir.join(&name);
        let file = vfs.open(&path, Access::Read).context("open", &path)?;
        let len = file.len().context("read", &path)?;
        let bytes = segment::read_header(&*file).context("read", &path)?;
        let header = if len < SEGMENT_HEADER_BYTES {
            Err(Fault::Short { have: len, need: SEGMENT_HEADER_BYTES })
        } else {
            SegmentHeader::decode(&bytes)
        };
        let header = header.and_then(|header| {
            let fault = Fault::Version { found: header.base, expected: base };
            if header.base == base { Ok(header) } else { Err(fault) }
        });
        let salted_by = SegmentHeader::cluster_of(&bytes);
        let last = next.map(|next| next - 1);
        let salt = Salt::new(&salted_by, base);
        let part = Part { name, path, file, base, last, len, header: header.clone(), salt };
        Ok(Opened { part, salted_by, header })
    }
}

impl Opened {
    fn part_of(mut self, cluster: &ClusterId) -> Part {
        self.part.salt = Salt::new(cluster, self.part.base);
        self.part
    }
}
