//! `state/service`: for which service the log of this directory was served last.
//!
//! A log means something to one service. Served for another by mistake, because a flag was forgotten, it would be replayed
//! as nonsense and take operations that its own service has never judged. So that is refused, as long as there are
//! operations in the log.
//!
//! The word is a safety catch and no more: what is lost of it in a crash, or on a full disk, is written at the next
//! start.

use std::fs;
use std::path::Path;

use super::NodeError;
use crate::log::Reader;
use crate::types::{Kind, Version};

const NAME: &str = "service";
/// A log with so many records has operations among them; of a shorter one all are looked at.
const RECORDS_LOOKED_AT: Version = 64;

/// The kind of the service, if it is known.
pub(super) fn read(state_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(state_dir.join(NAME)).ok()?;
    Some(text.trim().to_owned()).filter(|kind| !kind.is_empty())
}

/// Notes it.
pub(super) fn write(state_dir: &Path, kind: &str) -> std::io::Result<()> {
    let new = state_dir.join("service.tmp");
    super::dir::write_private(&new, format!("{kind}\n").as_bytes())?;
    fs::rename(&new, state_dir.join(NAME))
}

/// Whether a log with this end may be served for a service of this kind, which is remembered.
pub(super) fn check(state_dir: &Path, kind: &str, reader: &Reader, head: Version) -> Result<(), NodeError> {
    match read(state_dir) {
        Some(known) if known == kind => return Ok(()),
        Some(known) if !(is_outside(&known) && is_outside(kind)) && has_operations(reader, head)? => {
            let path = state_dir.join(NAME);
            return Err(NodeError::OtherService { path, known, asked: kind.to_owned() });
        }
        _ => {}
    }
    if let Err(error) = write(state_dir, kind) {
        log::warn!("note for which service the log is: {error}");
    }
    Ok(())
}

/// One service may be behind HTTP today and behind a pipe tomorrow.
fn is_outside(kind: &str) -> bool {
    matches!(kind, "http" | "exec")
}

fn has_operations(reader: &Reader, head: Version) -> Result<bool, NodeError> {
    if head >= reader.oldest() + RECORDS_LOOKED_AT {
        return Ok(true);
    }
    for record in reader.records(reader.oldest(), head) {
        if record?.kind == Kind::Operation {
            return Ok(true);
        }
    }
    Ok(false)
}
