//! `rig restore` and `rig snapshot restore`: a new data directory from what was kept elsewhere.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::progress::Progress;
use super::{Context, Failure, Outcome, help, init, values};
use crate::error::Exit;
use crate::node::backup::{Restored, Restoring, Upto, open_input, restore, restore_snapshot};
use crate::types::{ClusterId, Hash, Micros, Mode, NodeId, Version};

/// Make a data directory of a backup
///
/// DIR must not exist, or be empty; it appears whole or not at all. Every checksum is verified, and the whole chain of
/// hashes. The directory is a node of its own, with a new identity. Of the same cluster it is nobody's member and serves
/// as a replica: it joins with --peer, or becomes the primary by `rig promote --accept-data-loss`, where the other nodes
/// are gone. With --new-cluster it is the first primary of another cluster: the records get the hashes of a chain of its
/// own, and a control record behind them names the log that they were taken from. Mode and numbers stay as they were.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig restore monday.rigbak ./n9 --apply tuesday.rigbak",
        "rig restore monday.rigbak ./then --to-time 2026-05-04T11:59:00Z --new-cluster",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Conflict, Exit::Corrupt,
    ])
)]
pub(crate) struct Args {
    /// The archive; - is standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Where; missing parents are made
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    /// An archive of what came after; again for what came after that
    #[arg(long, value_name = "INCREMENTAL")]
    apply: Vec<PathBuf>,
    /// The state of this version
    #[arg(long, value_name = "V", value_parser = values::version, conflicts_with = "to_time")]
    to_version: Option<Version>,
    /// The state of this time, or of so long ago, as 10m
    #[arg(long, value_name = "T", value_parser = values::moment)]
    to_time: Option<Micros>,
    #[command(flatten)]
    node: NewNode,
}

/// The node that the directory becomes.
#[derive(Debug, clap::Args)]
pub(super) struct NewNode {
    /// Begin a cluster of its own
    #[arg(long)]
    new_cluster: bool,
    /// Name of the node [default: the last component of DIR]
    #[arg(long, value_name = "NAME", value_parser = values::node_name)]
    name: Option<String>,
}

#[derive(Serialize)]
struct Made<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data_dir: &'a Path,
    name: &'a str,
    node_id: NodeId,
    cluster_id: Option<ClusterId>,
    new_cluster: bool,
    version: Version,
    /// In the log that it was taken from.
    hash: Hash,
    oldest: Version,
    records: u64,
    /// The mode that a new cluster goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<Mode>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let upto = match (args.to_version, args.to_time) {
        (Some(version), _) => Upto::Version(version),
        (None, Some(time)) => Upto::Time(time),
        (None, None) => Upto::End,
    };
    let paths = std::iter::once(&args.file).chain(&args.apply);
    let inputs = paths.map(|path| open_input(path)).collect::<Result<_, _>>()?;
    let progress = Progress::new(&context.out, "restore", "bytes", None);
    let restored = made(&args.dir, &args.node, |how| Ok(restore(how, upto, inputs, &|bytes| progress.set(bytes))?))?;
    drop(progress);
    tell(&restored, args.node.new_cluster, context)
}

/// `rig snapshot restore`.
pub(super) fn of_snapshot(file: &Path, dir: &Path, node: &NewNode, context: &Context) -> Outcome {
    let restored = made(dir, node, |how| Ok(restore_snapshot(how, file)?))?;
    tell(&restored, node.new_cluster, context)
}

fn made(
    path: &Path,
    node: &NewNode,
    make: impl FnOnce(Restoring<'_>) -> Result<Restored, Failure>,
) -> Result<Restored, Failure> {
    let name = node.name.clone().map_or_else(|| init::name_of(path), Ok)?;
    make(Restoring { path, name: &name, new_cluster: node.new_cluster, now: values::now() })
}

fn tell(restored: &Restored, new_cluster: bool, context: &Context) -> Outcome {
    let (dir, meta) = (&restored.dir, restored.dir.meta());
    init::remember(dir, context);
    let made = Made {
        kind: "restored",
        data_dir: dir.path(),
        name: &meta.name,
        node_id: meta.node_id,
        cluster_id: meta.cluster_id,
        new_cluster,
        version: restored.version,
        hash: restored.hash,
        oldest: restored.oldest,
        records: restored.records,
        replication: restored.replication,
    };
    context.out.either(&made, || {
        let (path, name, version) = (dir.path().display(), &meta.name, made.version);
        let next = if context.out.is_quiet() {
            String::new()
        } else if made.replication == Some(Mode::Sync) {
            format!(
                "next:  rig serve -D {path}\n       \
                 The mode is sync: writes wait for a replica (rig serve -D DIR --role replica --peer URL); to go on alone:\n       \
                 rig config set replication=semi-sync -D {path}\n"
            )
        } else if new_cluster {
            format!("next:  rig serve -D {path}\n")
        } else {
            format!(
                "next:  rig serve -D {path} --peer URL   to join the cluster as a replica; or, where it is gone,\n       \
                 rig serve -D {path}, and rig promote {name} --accept-data-loss --confirm {name}\n"
            )
        };
        format!("ok  restored  {path}  node {name}  version {version}\n{next}")
    })?;
    Ok(Exit::Ok)
}
