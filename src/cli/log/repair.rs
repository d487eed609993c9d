//! `rig log repair`: cuts the log on the operator's word. What is cut is kept in `rescue/`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::output::Look;
use crate::cli::{Context, Failure, Outcome, help, target, values};
use crate::error::Exit;
use crate::log::{DiskVfs, truncate_from};
use crate::types::{Hash, Version};

/// Cut the log at a version
///
/// For a log whose end is damaged when no other member and no backup has it whole. Everything from the version on
/// is moved to rescue/ first, snapshots that know more than the log included, and nothing before it is touched. An
/// operation that was answered and stands behind the cut is lost: look with --dry-run, and with `rig log verify`.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig log repair --truncate-from 731 --dry-run",
        "rig log repair -D ./n1 --truncate-from 731 --confirm n1",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Corrupt, Exit::InUse,
    ])
)]
pub(super) struct Args {
    /// The first version that goes
    #[arg(long, value_name = "V", value_parser = values::version)]
    truncate_from: Version,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
    /// The name of the node, to say that this is meant
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

#[derive(Serialize)]
struct Repaired<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    truncate_from: Version,
    head: Head,
    cut_bytes: u64,
    removed: &'a [PathBuf],
    rescue: &'a [PathBuf],
    snapshots: &'a [PathBuf],
    dry_run: bool,
}

#[derive(Serialize)]
struct Head {
    version: Version,
    hash: Hash,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let dir = target::data_dir(context)?;
    let _lock = dir.lock()?;
    let (name, version) = (&dir.meta().name, args.truncate_from);
    let planned = truncate_from(&DiskVfs, dir.path(), version, true)?;
    if !args.dry_run {
        let what = format!(
            "this cuts the log of {name} at version {version}: {} go to rescue/, and operations in them are undone",
            values::show_bytes(planned.bytes)
        );
        context.confirm(args.confirm.as_deref(), name, &what)?;
    }
    let snapshots = ahead(&dir.snapshots(), version)?;
    let done = if args.dry_run {
        planned
    } else {
        // Snapshots first: a node refuses to start with one that knows more than its log.
        for snapshot in &snapshots {
            set_aside(snapshot, &dir.rescue())?;
        }
        truncate_from(&DiskVfs, dir.path(), version, false)?
    };
    let object = Repaired {
        kind: "repaired",
        name,
        truncate_from: version,
        head: Head { version: done.head.version, hash: done.head.hash },
        cut_bytes: done.bytes,
        removed: &done.removed,
        rescue: &done.rescue,
        snapshots: &snapshots,
        dry_run: args.dry_run,
    };
    context.out.either(&object, || {
        let word = if args.dry_run { "would cut" } else { "cut" };
        let mut text = format!(
            "{}  {} at byte {}  {} go to rescue/  the log then ends at version {}\n",
            context.out.look(Look::Strong, word),
            done.segment.display(),
            done.offset,
            values::show_bytes(done.bytes),
            done.head.version,
        );
        for path in done.removed.iter().chain(&snapshots) {
            text.push_str(&format!("  moved to rescue/  {}\n", path.display()));
        }
        for path in &done.rescue {
            text.push_str(&format!("  kept in  {}\n", path.display()));
        }
        text
    })?;
    Ok(Exit::Ok)
}

/// Snapshots at or behind the version: their name begins with the version they were taken at.
fn ahead(snapshots: &Path, version: Version) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(snapshots) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("read", snapshots, &error)),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Version>().ok());
            path.extension().is_some_and(|extension| extension == "snap") && stem.is_some_and(|at| at >= version)
        })
        .collect();
    found.sort();
    Ok(found)
}

fn set_aside(snapshot: &Path, rescue: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Failure::io("move", &path, &error)
    };
    std::fs::create_dir_all(rescue).map_err(failed(rescue))?;
    let name = snapshot.file_name().unwrap_or_default();
    std::fs::rename(snapshot, rescue.join(name)).map_err(failed(snapshot))?;
    let sync = |path: &Path| std::fs::File::open(path).and_then(|folder| folder.sync_all());
    sync(rescue).map_err(failed(rescue))
}
