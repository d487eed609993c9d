//! A damaged log is made whole from another node: from the damaged segment on, up to what this disk had promised.
//!
//! ```text
//!   damage ─► state/repair (synced) ─► damaged segments set aside, log cut ─► fetched, checked, synced ─► anchors
//!              └───────────── as long as this file is there the node neither votes nor serves ──────────────┘ agree ─► gone
//! ```
//!
//! # Invariants
//! 1. A node that has lost part of what it had confirmed does not speak in the protocol until it has all of it again.
//! 2. The damaged bytes are kept in `rescue/`.
//! 3. What was fetched continues this log's own chain, and meets the hashes that later segments here begin with.
//!
//! # Not here
//! What is behind the last confirmed version: the node catches up with that as any replica does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::peers;
use crate::http::{self, Event};
use crate::log::{self, Batch, DiskVfs, LogError};
use crate::net::{self, Stream};
use crate::types::{Hash, Version};

const MARKER: &str = "repair";
const MEMBERS: &str = "members";
const PATIENCE: Duration = Duration::from_secs(5);

/// What must be fetched, as `state/repair` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// The first version of the damaged segment.
    pub(super) from: Version,
    /// The last version that this disk had confirmed.
    pub(super) upto: Version,
    /// Chain hashes that what is fetched must have, from later segments here.
    anchors: Vec<(Version, Hash)>,
}

/// What a repair needs to know.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) dir: PathBuf,
    pub(super) config: log::Config,
    /// Addresses of other nodes, as those who dial them have them.
    pub(super) addresses: Vec<String>,
    pub(super) tls: Option<net::Identity>,
    pub(super) token: Option<String>,
}

/// A repair that was begun and not ended.
pub(super) fn pending(state_dir: &Path) -> Option<Wanted> {
    let text = fs::read_to_string(state_dir.join(MARKER)).ok()?;
    serde_json::from_str(&text).ok()
}

/// The other members that this node knew when it ran last.
pub(super) fn members(state_dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(state_dir.join(MEMBERS)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Remembers the other members. A hint only, so it is not synced.
pub(super) fn remember(state_dir: &Path, urls: &[String]) -> io::Result<()> {
    let new = state_dir.join("members.tmp");
    super::dir::write_private(&new, serde_json::to_string(urls)?.as_bytes())?;
    fs::rename(new, state_dir.join(MEMBERS))
}

/// Notes durably what must be fetched, once the damage is known.
pub(super) fn begin(dir: &Path, state_dir: &Path, error: &LogError) -> io::Result<Option<Wanted>> {
    if let Some(wanted) = pending(state_dir) {
        return Ok(Some(wanted));
    }
    let Some(path) = error.damaged_path() else { return Ok(None) };
    let base = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Version>().ok());
    let Some(from) = base else { return Ok(None) };
    let other = |error: LogError| io::Error::other(error.to_string());
    let known = log::known(&DiskVfs, dir).map_err(other)?;
    let anchors = known.joints.into_iter().filter(|(version, _)| *version >= from).collect();
    let wanted = Wanted { from, upto: known.durable.max(from - 1), anchors };
    let path = state_dir.join("repair.tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(serde_json::to_string(&wanted)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&path, state_dir.join(MARKER))?;
    File::open(state_dir)?.sync_all()?;
    Ok(Some(wanted))
}

/// Makes the log whole. What is left undone after an error is gone on with at the next call.
pub(super) fn run(order: &Order, wanted: &Wanted) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let mut last = "no other node is known".to_owned();
    let opened = match log::open(Arc::new(DiskVfs), &order.dir, &order.config) {
        Ok(opened) => opened,
        Err(error) if error.is_damage() => {
            log::truncate_from(&DiskVfs, &order.dir, wanted.from, false)
                .map_err(|error| failed("set the damaged segments aside", &error))?;
            log::open(Arc::new(DiskVfs), &order.dir, &order.config)
                .map_err(|error| failed("open what is left", &error))?
        }
        Err(error) => return Err(failed("open the log", &error)),
    };
    let (mut writer, mut sealer) = (opened.writer, opened.sealer);
    for address in &order.addresses {
        match fetch(order, address, wanted, &mut writer, &mut sealer) {
            Ok(()) => {
                let head = sealer.position().version;
                writer.close(head.min(opened.report.committed)).map_err(|error| failed("close the log", &error))?;
                let state = order.dir.join("state");
                fs::remove_file(state.join(MARKER))
                    .and_then(|()| File::open(&state)?.sync_all())
                    .map_err(|error| failed("end the repair", &error))?;
                return Ok(());
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// Fetches from one node up to what is wanted, and compares.
fn fetch(
    order: &Order,
    address: &str,
    wanted: &Wanted,
    writer: &mut log::Writer,
    sealer: &mut log::Sealer,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    while sealer.position().version < wanted.upto {
        let from = sealer.position().version + 1;
        let bytes =
            get(order, address, &format!("/log/wire?from={from}&to={}", wanted.upto)).map_err(|error| text(&error))?;
        if bytes.is_empty() {
            return Err(format!("it ends at version {}, {} are needed", from - 1, wanted.upto));
        }
        let mut batch = Batch::default();
        let checked = sealer.check(&bytes).map_err(|fault| format!("what it sends does not fit: {fault:?}"))?;
        let (first, records) = (from, checked.records());
        for (version, hash) in &wanted.anchors {
            let place = version.checked_sub(first).and_then(|place| usize::try_from(place).ok());
            if place.and_then(|place| records.get(place)).is_some_and(|record| record.hash != *hash) {
                return Err(format!("its version {version} is not the one that this log goes on from"));
            }
        }
        sealer.take(checked, &mut batch);
        writer.append(&mut batch).map_err(|error| text(&error))?;
        writer.sync().map_err(|error| text(&error))?;
        writer.mark(0).map_err(|error| text(&error))?;
    }
    Ok(())
}

/// One request, and the body of its answer.
fn get(order: &Order, address: &str, target: &str) -> io::Result<Vec<u8>> {
    let (host_port, is_secure) = peers::split(address);
    let to = host_port.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = TcpStream::connect_timeout(&to, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let trust = order.tls.as_ref().and_then(net::Identity::peers);
    let mut socket = match (is_secure, trust) {
        (false, _) => Stream::Plain(socket),
        (true, Some(trust)) => trust.dial(peers::host(host_port), socket)?,
        (true, None) => return Err(io::Error::other("it speaks TLS, and no --tls-ca is given to know it by")),
    };
    socket.shake_hands()?;
    let bearer = order.token.as_deref().map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Host", host_port), ("Connection", "close")];
    if let Some(bearer) = &bearer {
        headers.push(("Authorization", bearer));
    }
    let mut request = Vec::new();
    http::write_request(&mut request, "GET", target, &headers, None);
    socket.write_all(&request)?;
    let (mut reader, mut body, mut status) = (http::ResponseReader::new(false), Vec::new(), 0);
    loop {
        match reader.poll().map_err(|error| io::Error::other(error.to_string()))? {
            Event::More => {
                let n = socket.read(reader.space())?;
                reader.filled(n);
            }
            Event::Head(head) => status = head.status,
            Event::Body(bytes) if body.len() + bytes.len() <= crate::limits::RECORD_BYTES_MAX => {
                body.extend_from_slice(bytes);
            }
            Event::Body(_) => return Err(io::Error::other("the answer is too long")),
            Event::End if status == 200 => return Ok(body),
            Event::End => return Err(io::Error::other(format!("it answers {status}"))),
        }
    }
}
