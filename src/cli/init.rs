//! `rig init`: makes a data directory.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::registry::Registry;
use super::{Context, Failure, Outcome, help, target, values};
use crate::error::Exit;
use crate::node::dir::{DataDir, DirError, is_name};
use crate::types::{ClusterId, NodeId};

/// Create a data directory
///
/// The directory appears whole or not at all. It may exist when it is empty; a directory that holds anything
/// else is left untouched. Without DIR it is the one of -D, or the user's default one.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig init", "rig init ./n1 --name n1"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Conflict])
)]
pub(crate) struct Args {
    /// Where; missing parents are made
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Name of the node [default: the last component of DIR]
    #[arg(long, value_name = "NAME", value_parser = values::node_name)]
    name: Option<String>,
    /// Succeed when the directory is initialised already
    #[arg(long)]
    exist_ok: bool,
}

#[derive(Serialize)]
struct Initialised<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data_dir: &'a Path,
    name: &'a str,
    node_id: NodeId,
    cluster_id: Option<ClusterId>,
    created: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let path = match (&args.dir, context.named_dir()) {
        (Some(dir), Some(other)) if std::path::absolute(dir).ok() != std::path::absolute(other).ok() => {
            return Err(Failure::usage(format!(
                "two directories are given: {} and -D {}",
                dir.display(),
                other.display()
            ))
            .hint("give one of them"));
        }
        (Some(dir), _) => dir.clone(),
        (None, _) => target::dir_path(context)?,
    };
    let name = match args.name {
        Some(name) => name,
        None => name_of(&path)?,
    };
    let (dir, created) = match DataDir::init(&path, &name) {
        Ok(dir) => (dir, true),
        Err(DirError::AlreadyInitialised { path, .. }) if args.exist_ok => (DataDir::open(&path)?, false),
        Err(error) => return Err(error.into()),
    };
    remember(&dir, context);
    let meta = dir.meta();
    let object = Initialised {
        kind: "init",
        data_dir: dir.path(),
        name: &meta.name,
        node_id: meta.node_id,
        cluster_id: meta.cluster_id,
        created,
    };
    context.out.either(&object, || {
        let word = if created { "initialised" } else { "was initialised already" };
        let place =
            if target::is_default(context, dir.path()) { String::new() } else { format!(" -D {}", path.display()) };
        let next = if context.out.is_quiet() {
            String::new()
        } else {
            format!("next:  rig serve --role primary{place}\nor:    rig serve --role replica --peer URL{place}\n")
        };
        format!("{word}  {}  node {}\n{next}", dir.path().display(), meta.name)
    })?;
    Ok(Exit::Ok)
}

/// Writes the node down in the registry, which is a convenience: when it cannot be written, that is said and no more.
pub(crate) fn remember(dir: &DataDir, context: &Context) {
    let Some(places) = &context.places else { return };
    match Registry::new(&places.nodes).remember(dir) {
        Ok(None) => {}
        Ok(Some(other)) => {
            let (name, here) = (&dir.meta().name, dir.path().display());
            context.out.note(format_args!("the name {name} meant {} before, now it means {here}", other.display()));
        }
        Err(error) => {
            context.out.note(format_args!("cannot write the registry {}: {error}", places.nodes.display()));
        }
    }
}

pub(super) fn name_of(path: &Path) -> Result<String, Failure> {
    // `.` and `a/..` have a last component only once they are resolved.
    let resolved = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    let resolved = resolved.map_err(|error| Failure::io("find", path, &error))?;
    match resolved.file_name().and_then(|name| name.to_str()) {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        _ => Err(Failure::usage(format!("the last component of {} cannot name a node", resolved.display()))
            .hint("give it one with --name, of letters, digits, '.', '_' and '-'")),
    }
}
