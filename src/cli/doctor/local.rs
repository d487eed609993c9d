//! The checks of a data directory and of the machine that it is on.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Check, Failure, settings};
use crate::cli::serve::LISTEN_DEFAULT;
use crate::cli::{Context, node, target, values};
use crate::limits::{CONNECTIONS_MAX, SEGMENT_BYTES};
use crate::log::verify::{Finding, Options, Severity, verify};
use crate::log::{DiskVfs, Held, Reader, Vfs};
use crate::node::damaged_segments;
use crate::node::dir::DataDir;
use crate::types::Version;

/// A node makes the next segment before it needs it, and writes a snapshot beside it.
const SPACE_MIN: u64 = 4 * SEGMENT_BYTES;
/// A part of the disk that should be free.
const SPACE_SHARE: u64 = 20;
/// Files of a node beside its connections: peers, those that are only heard, and its own.
const OPEN_FILES: u64 = 256;
/// A write waits for a sync: over this every client notices.
const SYNC_SLOW: Duration = Duration::from_millis(20);
const SYNCS: usize = 24;
const BLOCK: usize = 4096;
const SCRATCH: &str = "doctor.tmp";

pub(super) fn check(
    dir: &DataDir,
    context: &Context,
    take: &mut dyn FnMut(Check) -> Result<(), Failure>,
) -> Result<(), Failure> {
    take(permissions(dir.path()))?;
    let (listen, check) = settings::check(dir);
    take(check)?;
    take(lock(dir))?;
    let space = DiskVfs.space(dir.path()).map_err(|error| Failure::io("look at", dir.path(), &error))?;
    take(free_space(space, size_of_disk(dir.path())))?;
    if let Some(kind) = fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| file_system(&text, dir.path()))
    {
        take(judge_file_system(&kind))?;
    }
    take(match sync_time(&dir.run()) {
        Ok(time) => judge_sync(time),
        Err(error) => Check::fail("sync", format!("write in {}: {error}", dir.run().display()), "see the line above"),
    })?;
    take(log(dir))?;
    take(open_files(rustix::process::getrlimit(rustix::process::Resource::Nofile).current))?;
    if !dir.is_in_use() {
        take(port(&listen, context, dir))?;
    }
    Ok(())
}

fn permissions(path: &Path) -> Check {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return Check::fail("permissions", format!("{}: {error}", path.display()), "see its owner"),
    };
    let (mode, uid) = (meta.permissions().mode() & 0o777, rustix::process::geteuid().as_raw());
    let message = format!("{} is {mode:04o}", path.display());
    if meta.uid() != uid && uid != 0 {
        return Check::fail("permissions", format!("{message} and another user's"), "run as the user that owns it");
    }
    if mode & 0o077 != 0 {
        return Check::warn("permissions", format!("{message}: others can look into it"), "chmod 700 on it");
    }
    if mode & 0o700 != 0o700 {
        return Check::fail("permissions", format!("{message}: its owner may not do everything"), "chmod 700 on it");
    }
    Check::ok("permissions", message)
}

fn lock(dir: &DataDir) -> Check {
    match (dir.is_in_use(), target::endpoint(dir)) {
        (false, _) => Check::ok("lock", "free: no node runs here"),
        (true, Some((endpoint, url))) => Check::ok("lock", format!("held by the node at {url}, pid {}", endpoint.pid)),
        (true, None) => Check::warn(
            "lock",
            "held by a process that does not say where it listens",
            "wait with `rig wait ready`; if it stays so, look who has LOCK open",
        ),
    }
}

fn size_of_disk(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |facts| facts.f_blocks.saturating_mul(facts.f_frsize))
}

fn free_space(free: u64, whole: u64) -> Check {
    let message = format!("{} of {} are free", values::show_bytes(free), values::show_bytes(whole));
    match free {
        _ if free < SPACE_MIN => Check::fail("space", message, "make room: without it writes are refused (507)"),
        _ if free < whole / SPACE_SHARE => Check::warn("space", message, "make room before it is needed"),
        _ => Check::ok("space", message),
    }
}

/// The kind of file system that a path is on, as `/proc/self/mountinfo` tells it.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        // Blanks in it are written in octal; such a place is not found, and the one above it is.
        Some((place.split(' ').nth(4)?.to_owned(), kind.split(' ').next()?.to_owned()))
    };
    // Of two at the same place the later one is what is seen.
    let mounts = mounts.lines().filter_map(mount).filter(|(place, _)| path.starts_with(place));
    mounts.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind)
}

fn judge_file_system(kind: &str) -> Check {
    match kind {
        "tmpfs" | "ramfs" => Check::warn(
            "file system",
            format!("{kind}: it is in memory, and gone when the machine stops"),
            "put the directory on a disk",
        ),
        "overlay" | "aufs" => Check::warn(
            "file system",
            format!("{kind}: it usually goes with its container"),
            "mount a volume for the directory",
        ),
        _ if kind.starts_with("nfs") || kind.starts_with("fuse") || matches!(kind, "cifs" | "smb3" | "9p" | "ceph") => {
            Check::warn(
                "file system",
                format!("{kind}: its locks and syncs are not those of a local disk"),
                "use a local disk: replication is what other machines are for",
            )
        }
        _ => Check::ok("file system", kind),
    }
}

/// How long a sync of one block takes here, in the middle of several.
fn sync_time(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(SCRATCH);
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let measured = measure(&file);
    fs::remove_file(&path)?;
    measured
}

fn measure(file: &File) -> io::Result<Duration> {
    // As the log has it: the room is there already, so that a sync changes no length.
    file.write_all_at(&vec![0; BLOCK * SYNCS], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for at in 0..SYNCS {
        let since = Instant::now();
        file.write_all_at(&[b'd'; BLOCK], (at * BLOCK) as u64)?;
        file.sync_data()?;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

fn judge_sync(time: Duration) -> Check {
    let message = format!("{} us, the median of {SYNCS}", time.as_micros());
    if time < SYNC_SLOW {
        return Check::ok("sync", message);
    }
    Check::warn("sync", message, "every write waits for this: use a faster disk, or one that others use less")
}

/// The newest segment, which a start reads in full too, and those in which the node has found damage; the others are for
/// `rig log verify` and the node's own scrub.
fn log(dir: &DataDir) -> Check {
    const MENDS: &str = "see `rig log verify`; with another member a start mends it";
    const OLDER: &str = "see `rig log verify`; while another member has all of it, join anew with an empty directory";
    let held = if dir.is_in_use() { Held::ByNode } else { Held::ByNobody };
    let reader = match Reader::open(Arc::new(DiskVfs), dir.path(), held) {
        Ok(reader) => reader,
        Err(error) => return Check::fail("log", error.to_string(), MENDS),
    };
    let segments = reader.segments();
    let Some(newest) = segments.last().copied() else { return Check::ok("log", "nothing was written yet") };
    let found = damaged_segments(&dir.state());
    let mut head = 0;
    for (place, base) in segments.iter().enumerate() {
        if *base != newest && !found.contains(base) {
            continue;
        }
        let fix = if *base == newest { MENDS } else { OLDER };
        let to = segments.get(place + 1).map_or(Version::MAX, |next| next - 1);
        let options = Options { from: *base, to, held, ..Options::default() };
        let mut first = None;
        let mut take = |finding: Finding| {
            if finding.severity == Severity::Error {
                first.get_or_insert(finding);
            }
        };
        match (verify(&DiskVfs, dir.path(), &options, &|_| (), &mut take), first) {
            (Err(error), _) => return Check::fail("log", error.to_string(), fix),
            (Ok(_), Some(Finding { segment, version, message, .. })) => {
                let place = segment.unwrap_or_else(|| "the log".to_owned());
                let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
                return Check::fail("log", format!("{place}{version}: {message}"), fix);
            }
            (Ok(summary), None) => head = summary.head.0,
        }
    }
    Check::ok("log", format!("versions {} to {head}; the newest segment was read and is whole", reader.oldest()))
}

fn open_files(limit: Option<u64>) -> Check {
    let wanted = CONNECTIONS_MAX as u64 + OPEN_FILES;
    match limit {
        Some(limit) if limit < wanted => Check::warn(
            "open files",
            format!("{limit} at most, and {wanted} may be needed"),
            "raise it where the node is started: ulimit -n 4096, or LimitNOFILE=4096 in its unit",
        ),
        Some(limit) => Check::ok("open files", format!("{limit} at most, by the limits of this shell")),
        None => Check::ok("open files", "as many as wanted"),
    }
}

/// Whether the address that a node takes by itself is free: for `rig node start` the one that it had last.
fn port(address: &str, context: &Context, dir: &DataDir) -> Check {
    let last = node::last_address(dir).filter(|last| address == LISTEN_DEFAULT && last.ip().is_loopback());
    match (TcpListener::bind(address), last) {
        (Ok(_), _) => Check::ok("port", format!("{address} is free")),
        (Err(_), Some(last)) if TcpListener::bind(last).is_ok() => {
            Check::ok("port", format!("{last} is free, which `rig node start` takes: the node had it last"))
        }
        (Err(error), _) => {
            let fix =
                format!("rig serve{} --listen 127.0.0.1:0, or another port", target::flag_for(context, dir.path()));
            Check::warn("port", format!("{address}: {error}"), &fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_directory_that_others_can_look_into_is_told() {
        let home = tempfile::tempdir().unwrap();
        for (mode, wanted) in [(0o700, Verdict::Ok), (0o755, Verdict::Warn), (0o500, Verdict::Fail)] {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions(home.path()).result, wanted, "{mode:o}");
        }
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn numbers_are_judged_by_what_a_node_needs() {
        let gib = 1 << 30;
        assert_eq!(free_space(100 * gib, 200 * gib).result, Verdict::Ok);
        assert_eq!(free_space(9 * gib, 200 * gib).result, Verdict::Warn);
        assert_eq!(free_space(SPACE_MIN - 1, gib).result, Verdict::Fail);
        assert_eq!(judge_sync(Duration::from_micros(900)).result, Verdict::Ok);
        assert_eq!(judge_sync(SYNC_SLOW).result, Verdict::Warn);
        assert_eq!(open_files(Some(256)).result, Verdict::Warn);
        assert_eq!((open_files(Some(4096)).result, open_files(None).result), (Verdict::Ok, Verdict::Ok));
    }

    #[test]
    fn the_file_system_is_that_of_the_nearest_place() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:25 / /tmp rw shared:2 - tmpfs tmpfs rw\n\
                      31 30 0:26 / /tmp/other rw - nfs4 host:/x rw\nbroken\n";
        let of = |path: &str| file_system(mounts, Path::new(path)).unwrap();
        assert_eq!((of("/"), of("/tmp")), ("ext4".to_owned(), "tmpfs".to_owned()));
        assert_eq!(file_system(mounts, Path::new("/no/such/place")), None);
        for (kind, wanted) in
            [("ext4", Verdict::Ok), ("xfs", Verdict::Ok), ("tmpfs", Verdict::Warn), ("nfs4", Verdict::Warn)]
        {
            assert_eq!(judge_file_system(kind).result, wanted, "{kind}");
        }
    }

    #[test]
    fn a_sync_is_measured_and_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        assert!(sync_time(home.path()).unwrap() > Duration::ZERO);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(sync_time(&home.path().join("missing")).is_err());
    }

    #[test]
    fn a_port_that_another_has_is_told_with_the_command_that_takes_another() {
        let home = tempfile::tempdir().unwrap();
        let context = crate::cli::context::tests::context_in(home.path());
        let dir = DataDir::init(&home.path().join("n1"), "n1").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let check = port(&other.local_addr().unwrap().to_string(), &context, &dir);
        assert_eq!(check.result, Verdict::Warn);
        assert!(check.fix.unwrap().contains(&format!("rig serve -D {}", dir.path().display())));
    }
}
