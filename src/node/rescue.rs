//! `rescue/`: records that were set aside when the log was cut back to follow another primary.
//!
//! ```text
//!   rescue/<from, 20 digits>-<to>.<n>.ndjson
//!     {"type":"rescue","node":...,"epoch":...,"from":...,"to":...,"records":...,"acknowledged":{...},"for_epoch":...}
//!     one line for each record, as `rig log dump --json` has it, and "acknowledged": "yes" | "no" | "unknown"
//!   rescue/<from, 20 digits>-<to>.<n>.replayed     when it was replayed, RFC 3339
//! ```
//!
//! # What is known of a record
//! | the record | acknowledged |
//! |---|---|
//! | this node knows it to be committed | yes |
//! | this process wrote it, and never committed it | no |
//! | any other: it may have been answered, here before a crash or elsewhere | unknown |
//!
//! # Invariants
//! 1. The file is whole and synced, its name too, before a record leaves the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::log::{LogError, Reader};
use crate::types::dump::{self, RecordState, WithData};
use crate::types::{Epoch, Micros, Record, Version, format_time};

const SUFFIX: &str = ".ndjson";

/// What is to be set aside, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) folder: PathBuf,
    /// The node's name, for people.
    pub(super) node: String,
    /// The term in which this process was primary last: it knows what it answered there.
    pub(super) own: Option<Epoch>,
    pub(super) from: Version,
    pub(super) to: Version,
    /// Known to be committed here.
    pub(super) committed: Version,
    /// The epoch that is followed instead.
    pub(super) for_epoch: Epoch,
    pub(super) now: Micros,
}

/// How many records were acknowledged to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Surely.
    pub yes: u64,
    /// Surely not.
    pub no: u64,
    /// Perhaps.
    pub unknown: u64,
}

/// The first line of a rescue file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescued {
    /// Always `rescue`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name in the folder; filled in when it is listed.
    #[serde(default)]
    pub file: String,
    /// The node that had the records.
    pub node: String,
    /// Number of the epoch of the last of them.
    pub epoch: u64,
    /// The first version.
    pub from: Version,
    /// The last version.
    pub to: Version,
    /// How many.
    pub records: u64,
    /// What clients may have been told.
    pub acknowledged: Acknowledged,
    /// Number of the epoch that is followed instead.
    pub for_epoch: u64,
    /// When they were set aside, RFC 3339.
    pub at: String,
    /// When they were sent to the primary again, RFC 3339.
    #[serde(default)]
    pub replayed_at: Option<String>,
}

/// Writes a rescue file, durably.
pub(super) fn write(reader: &Reader, order: &Order) -> Result<PathBuf, LogError> {
    let mut lines = Vec::new();
    let mut known = Acknowledged::default();
    let (mut records, mut epoch) = (0, 0);
    for record in reader.records(order.from, order.to) {
        let record = record?;
        let (word, count) = match &record {
            record if record.version <= order.committed => ("yes", &mut known.yes),
            record if Some(record.epoch) == order.own => ("no", &mut known.no),
            _ => ("unknown", &mut known.unknown),
        };
        *count += 1;
        (records, epoch) = (records + 1, record.epoch.number);
        lines.push(line(&record, record.version <= order.committed, word));
    }
    let head = Rescued {
        kind: "rescue".to_owned(),
        file: String::new(),
        node: order.node.clone(),
        epoch,
        from: order.from,
        to: order.to,
        records,
        acknowledged: known,
        for_epoch: order.for_epoch.number,
        at: format_time(order.now),
        replayed_at: None,
    };
    store(order, &head, &lines).map_err(|source| LogError::Io {
        op: "set aside in",
        path: order.folder.clone(),
        source,
    })
}

fn line(record: &Record, committed: bool, acknowledged: &str) -> String {
    let state = if committed { RecordState::Committed } else { RecordState::Prepared };
    let mut line = String::new();
    dump::line(record, state, WithData::Full, &mut line);
    let whole = line.trim_end().strip_suffix('}').unwrap_or_default().to_owned();
    format!("{whole},\"acknowledged\":\"{acknowledged}\"}}")
}

fn store(order: &Order, head: &Rescued, lines: &[String]) -> io::Result<PathBuf> {
    fs::create_dir_all(&order.folder)?;
    let mut number = 1;
    let path = loop {
        let path = order.folder.join(format!("{:020}-{}.{number}{SUFFIX}", order.from, order.to));
        match fs::read_to_string(&path) {
            // A crash came between this file and the cut: it is the same one.
            Ok(text) if text.lines().last() == lines.last().map(String::as_str) => return Ok(path),
            Ok(_) => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break path,
            Err(error) => return Err(error),
        }
    };
    let unfinished = path.with_extension("tmp");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut out = BufWriter::new(&file);
    serde_json::to_writer(&mut out, head)?;
    out.write_all(b"\n")?;
    for line in lines {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    drop(out);
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(&order.folder)?.sync_all()?;
    Ok(path)
}

/// Every rescue file of a directory, oldest version first.
pub fn list(folder: &Path) -> io::Result<Vec<Rescued>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if let Some(stem) = name.strip_suffix(SUFFIX)
            && let Some(mut rescued) = head_of(&path)
        {
            rescued.replayed_at = fs::read_to_string(folder.join(format!("{stem}.replayed"))).ok();
            rescued.file = name;
            found.push(rescued);
        }
    }
    found.sort_by(|a, b| (a.from, &a.file).cmp(&(b.from, &b.file)));
    Ok(found)
}

/// The first line; what cannot be read is no rescue file.
fn head_of(path: &Path) -> Option<Rescued> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The lines of a rescue file behind the first: one for each record.
pub fn lines(folder: &Path, file: &str) -> io::Result<Vec<String>> {
    if file.contains('/') || !file.ends_with(SUFFIX) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let text = fs::read_to_string(folder.join(file))?;
    Ok(text.lines().skip(1).map(str::to_owned).collect())
}

/// Notes that the records of a file were sent to the primary again, all of them.
pub fn was_replayed(folder: &Path, file: &str, at: &str) -> io::Result<()> {
    let stem = file.strip_suffix(SUFFIX).ok_or(io::ErrorKind::NotFound)?;
    let path = folder.join(format!("{stem}.replayed"));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(at.as_bytes())?;
    out.sync_all()?;
    File::open(folder)?.sync_all()
}
