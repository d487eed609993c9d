//! `state/coordinator`: by whose record this node goes, so that it is never started without it by mistake.
//!
//! A primary that forgot the flag would leave members out by the rules of nodes without a coordinator, and answer alone; the
//! record would still name those members, and one of them would take over without what was answered.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::CoordinatorConfig;
use crate::node::{Config, NodeError};

const NAME: &str = "coordinator";

/// Refuses a start that forgets the coordinator; notes durably which one there is, or that it was given up in words.
pub(in crate::node) fn check(state_dir: &Path, config: &Config) -> Result<(), NodeError> {
    let path = state_dir.join(NAME);
    let failed = |op: &'static str| {
        let path = path.clone();
        move |source| NodeError::Io { op, path, source }
    };
    let known = match fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read")(error)),
    };
    match (&config.coordinator, known) {
        (Some(CoordinatorConfig { address, .. }), known) => {
            let asked = address.to_string();
            if known.as_deref() != Some(&asked) { write(state_dir, &asked).map_err(failed("write")) } else { Ok(()) }
        }
        (None, Some(_)) if config.leaves_coordinator => {
            fs::remove_file(&path).and_then(|()| File::open(state_dir)?.sync_all()).map_err(failed("remove"))
        }
        (None, Some(known)) => Err(NodeError::Setting {
            name: "coordinator",
            reason: format!(
                "this node goes by the record at {known}: start it with --coordinator {known}; or with --coordinator none, \
                 when no node of the cluster goes by it any more"
            ),
        }),
        (None, None) => Ok(()),
    }
}

fn write(state_dir: &Path, address: &str) -> io::Result<()> {
    let new = state_dir.join("coordinator.tmp");
    crate::node::dir::write_private(&new, format!("{address}\n").as_bytes())?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, state_dir.join(NAME))?;
    File::open(state_dir)?.sync_all()
}
