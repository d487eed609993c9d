//! The bytes of a snapshot.
//!
//! ```text
//!   head     "RIGDOCS\0" · format u32 · version u64 · types u64 · references u64 · CRC32C of these u32
//!   block    length u32 (1 to 65536) · CRC32C of the bytes u32 · bytes         again and again
//!   end      0 u32 · CRC32C of the bytes of all blocks together u32
//!
//!   the bytes of all blocks, end to end:
//!     type        name text · has schema u8 · [version u64 · time u64 · schema_set's data text]
//!                 documents u64 · each: id text · length u32 · (version u64 · created u64 · updated u64 · text)
//!                 unique fields u32 · each: entries u64 · each: value text · id text
//!     reference   text                                        text: length u32 · UTF-8
//! ```
//!
//! Little endian. Types, documents and entries are in ascending order. The indexes follow from the documents,
//! but are written out, because reading them in order is several times faster than making them again.
//!
//! # Invariants
//! 1. Equal states give equal bytes, and the bytes after the end are not read.
//! 2. No byte is believed before its block has been checked, and no length before its bytes are there: memory
//!    grows with what was read, never with what a length says.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::schema::SchemaSet;
use super::state::{Adopted, DOC_BYTES, Kind, State, index_bytes};
use super::store::{Doc, Key, KeyBuffer, Store, Tree};
use crate::service::{ServiceError, Snapshot};
use crate::types::Version;

const MAGIC: &[u8; 8] = b"RIGDOCS\0";
/// The format that is written; older ones go on being read.
const FORMAT: u32 = 1;
const BLOCK_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 8;

/// A frozen state.
pub(super) struct Frozen(State);

impl Frozen {
    pub(super) fn new(state: State) -> Self {
        Self(state)
    }
}

impl Snapshot for Frozen {
    fn version(&self) -> Version {
        self.0.version
    }

    fn write(self: Box<Self>, out: &mut dyn Write) -> io::Result<()> {
        let state = &self.0;
        let mut head = Vec::with_capacity(HEAD_BYTES + 4);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        for number in [state.version, state.kinds.len() as u64, state.references.len() as u64] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        out.write_all(&head)?;
        let mut blocks = Blocks { out, block: Vec::with_capacity(BLOCK_BYTES), total: 0 };
        for (name, kind) in &state.kinds {
            write_kind(&mut blocks, name, kind)?;
        }
        for (key, ()) in state.references.after(None) {
            blocks.text(key.text(&mut [0; 36]))?;
        }
        blocks.finish()
    }
}

fn write_kind(blocks: &mut Blocks<'_>, name: &str, kind: &Kind) -> io::Result<()> {
    blocks.text(name)?;
    blocks.bytes(&[u8::from(kind.schema.is_some())])?;
    if let Some(adopted) = &kind.schema {
        blocks.number(adopted.version)?;
        blocks.number(adopted.time)?;
        blocks.text(&adopted.schema.to_json(name))?;
    }
    let mut buffer: KeyBuffer = [0; 36];
    blocks.number(kind.documents.len() as u64)?;
    for (key, doc) in kind.documents.after(None) {
        blocks.text(key.text(&mut buffer))?;
        blocks.sized(doc.bytes())?;
    }
    blocks.bytes(&length(kind.unique.len()))?;
    for tree in &kind.unique {
        blocks.number(tree.len() as u64)?;
        for (value, owner) in tree.after(None) {
            blocks.text(value.text(&mut buffer))?;
            blocks.text(owner.text(&mut buffer))?;
        }
    }
    Ok(())
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("documents and keys are bounded far below 4 GiB").to_le_bytes()
}

struct Blocks<'w> {
    out: &'w mut dyn Write,
    block: Vec<u8>,
    total: u32,
}

impl Blocks<'_> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.sized(text.as_bytes())
    }

    fn sized(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes(&length(bytes.len()))?;
        self.bytes(bytes)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (BLOCK_BYTES - self.block.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.out.write_all(&length(self.block.len()))?;
        self.out.write_all(&crc32c::crc32c(&self.block).to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.total = crc32c::crc32c_append(self.total, &self.block);
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(&length(0))?;
        self.out.write_all(&self.total.to_le_bytes())
    }
}

/// Reads a state back.
pub(super) fn read(input: &mut dyn Read) -> Result<State, ServiceError> {
    let mut reader = Reader { input, block: Vec::new(), at: 0, spill: Vec::new(), total: 0, offset: 0 };
    let (version, kinds, references) = reader.head()?;
    let mut state = State { version, ..State::default() };
    for _ in 0..kinds {
        let name: Arc<str> = reader.text("type")?.into();
        if state.kinds.get_max().is_some_and(|(last, _)| *last >= name) {
            return Err(reader.damaged("order of types"));
        }
        let kind = read_kind(&mut reader, &name, &mut state.bytes)?;
        state.kinds.insert(name, kind);
    }
    state.references = read_tree(&mut reader, references, &mut state.bytes, |_| Ok(((), 0)))?;
    reader.end()?;
    state.find_referrers();
    Ok(state)
}

fn read_kind(reader: &mut Reader<'_>, name: &str, bytes: &mut u64) -> Result<Kind, ServiceError> {
    let mut kind = Kind::default();
    if reader.take(1, "schema")?[0] != 0 {
        let (version, time) = (reader.number("schema")?, reader.number("schema")?);
        let text = reader.text("schema")?.to_owned();
        let Ok(set) = SchemaSet::parse(&text) else { return Err(reader.damaged("schema")) };
        if set.kind != name {
            return Err(reader.damaged("schema"));
        }
        kind.schema = Some(Arc::new(Adopted { schema: set.schema, version, time }));
    }
    let count = reader.number("count of documents")?;
    for _ in 0..count {
        let key = Key::new(reader.text("identifier")?);
        if kind.documents.last().is_some_and(|last| *last >= key) {
            return Err(reader.damaged("order of documents"));
        }
        let Some(doc) = Doc::from_bytes(reader.sized("document")?) else { return Err(reader.damaged("document")) };
        *bytes += doc.text().len() as u64 + DOC_BYTES;
        kind.documents.insert(key, doc);
    }
    let fields = kind.schema.as_ref().map_or(0, |adopted| adopted.schema.unique.len());
    if reader.length("unique fields")? != fields {
        return Err(reader.damaged("unique fields"));
    }
    for _ in 0..fields {
        let count = reader.number("count of values")?;
        let tree = read_tree(reader, count, bytes, |reader| {
            let owner = Key::new(reader.text("owner of a value")?);
            let heap = owner.heap_bytes();
            Ok((owner, heap))
        })?;
        kind.unique.push(tree);
    }
    Ok(kind)
}

/// Entries of an index; `value` reads what follows the key, and says what it holds on the heap.
fn read_tree<V: Clone>(
    reader: &mut Reader<'_>,
    count: u64,
    bytes: &mut u64,
    value: impl Fn(&mut Reader<'_>) -> Result<(V, usize), ServiceError>,
) -> Result<Tree<V>, ServiceError> {
    let mut tree = Tree::default();
    for _ in 0..count {
        let key = Key::new(reader.text("key of an index")?);
        if tree.last().is_some_and(|last| *last >= key) {
            return Err(reader.damaged("order of an index"));
        }
        let (value, heap) = value(reader)?;
        *bytes += index_bytes(&key, None).unsigned_abs() + heap as u64;
        tree.insert(key, value);
    }
    Ok(tree)
}

struct Reader<'r> {
    input: &'r mut dyn Read,
    /// The block that was checked last, and how much of it is used up.
    block: Vec<u8>,
    at: usize,
    /// What lies across blocks.
    spill: Vec<u8>,
    total: u32,
    /// Bytes of the input before the block.
    offset: u64,
}

impl Reader<'_> {
    fn damaged(&self, what: &'static str) -> ServiceError {
        ServiceError::Damaged { what, offset: self.offset + self.at as u64 }
    }

    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), ServiceError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged(what)),
            Err(error) => Err(error.into()),
        }
    }

    /// Version, types, references.
    fn head(&mut self) -> Result<(Version, u64, u64), ServiceError> {
        let mut head = [0; HEAD_BYTES + 4];
        self.fill(&mut head, "head")?;
        if head[..8] != *MAGIC {
            return Err(ServiceError::Damaged { what: "head", offset: 0 });
        }
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let short = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        if short(HEAD_BYTES) != crc32c::crc32c(&head[..HEAD_BYTES]) {
            return Err(ServiceError::Damaged { what: "head", offset: 0 });
        }
        if short(8) != FORMAT {
            return Err(ServiceError::Format { found: short(8), known: FORMAT });
        }
        Ok((number(12), number(20), number(28)))
    }

    /// The next block; its length is 0 at the end.
    fn next_block(&mut self) -> Result<(), ServiceError> {
        self.offset += self.at as u64;
        self.at = 0;
        let mut head = [0; 8];
        self.fill(&mut head, "block")?;
        let [a, b, c, d, crc @ ..] = head;
        let (length, crc) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes(crc));
        if length > BLOCK_BYTES {
            return Err(self.damaged("block"));
        }
        let mut block = std::mem::take(&mut self.block);
        block.resize(length, 0);
        let start = self.offset;
        self.fill(&mut block, "block")?;
        // From here on the offset is that of the block, and `at` counts within it.
        self.offset = start;
        let expected = if length == 0 { self.total } else { crc32c::crc32c(&block) };
        if crc != expected {
            return Err(self.damaged("block"));
        }
        self.total = crc32c::crc32c_append(self.total, &block);
        self.block = block;
        Ok(())
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&[u8], ServiceError> {
        if self.block.len() - self.at >= count {
            self.at += count;
            return Ok(&self.block[self.at - count..self.at]);
        }
        self.spill.clear();
        while self.spill.len() < count {
            if self.at == self.block.len() {
                self.next_block()?;
                if self.block.is_empty() {
                    return Err(self.damaged(what));
                }
            }
            let now = (count - self.spill.len()).min(self.block.len() - self.at);
            self.spill.extend_from_slice(&self.block[self.at..self.at + now]);
            self.at += now;
        }
        Ok(&self.spill)
    }

    fn number(&mut self, what: &'static str) -> Result<u64, ServiceError> {
        Ok(u64::from_le_bytes(self.take(8, what)?.try_into().expect("eight bytes")))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, ServiceError> {
        Ok(u32::from_le_bytes(self.take(4, what)?.try_into().expect("four bytes")) as usize)
    }

    fn sized(&mut self, what: &'static str) -> Result<&[u8], ServiceError> {
        let count = self.length(what)?;
        self.take(count, what)
    }

    fn text(&mut self, what: &'static str) -> Result<&str, ServiceError> {
        let damaged = self.damaged(what);
        std::str::from_utf8(self.sized(what)?).map_err(|_| damaged)
    }

    /// Everything is used up, and the sum over all is right.
    fn end(&mut self) -> Result<(), ServiceError> {
        if self.at < self.block.len() {
            return Err(self.damaged("end"));
        }
        self.next_block()?;
        if self.block.is_empty() { Ok(()) } else { Err(self.damaged("end")) }
    }
}
