//! A data directory that is filled before anybody sees it.
//!
//! ```text
//!   DIR.tmp-…  begin ─► log, snapshots, state ─► finish: synced ──rename──► DIR
//!      └── dropped, or killed: DIR is as it was; what a kill leaves is named `.tmp-` and harmless
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{
    AtPath, DataDir, DirError, FOLDERS, FORMAT, Meta, fill, is_name, make_folder, refuse_unless_empty, sync_folder,
};
use crate::types::NodeId;

/// See the module.
#[derive(Debug)]
pub struct Building {
    path: PathBuf,
    dir: DataDir,
    finished: bool,
}

impl Building {
    /// Begins a directory with a new identity, which is to appear at `path`: nothing, or an empty directory, is there.
    pub fn begin(path: &Path, name: &str) -> Result<Self, DirError> {
        assert!(is_name(name), "the caller has checked the name");
        let path = std::path::absolute(path).at("find", path)?;
        refuse_unless_free(&path)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).at("create", parent)?;
        let mut temporary = path.file_name().unwrap_or(OsStr::new("rig")).to_owned();
        temporary.push(format!(".tmp-{}", uuid::Uuid::now_v7().simple()));
        let temporary = parent.join(temporary);
        let node_id = NodeId(*uuid::Uuid::now_v7().as_bytes());
        let meta = Meta { format: FORMAT, name: name.to_owned(), node_id, cluster_id: None };
        make_folder(&temporary)?;
        let building = Self { path, dir: DataDir { path: temporary, meta }, finished: false };
        fill(building.dir.path(), building.dir.meta())?;
        Ok(building)
    }

    /// The directory as it is now.
    pub fn dir(&mut self) -> &mut DataDir {
        &mut self.dir
    }

    /// Puts it where it belongs; what is in its files is durable already.
    pub fn finish(mut self) -> Result<DataDir, DirError> {
        for folder in FOLDERS {
            sync_folder(&self.dir.path.join(folder))?;
        }
        sync_folder(&self.dir.path)?;
        refuse_unless_free(&self.path)?;
        fs::rename(&self.dir.path, &self.path).at("rename", &self.path)?;
        self.finished = true;
        sync_folder(self.path.parent().unwrap_or(Path::new("/")))?;
        Ok(DataDir { path: self.path.clone(), meta: self.dir.meta.clone() })
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.finished {
            // The error that led here is the one to report.
            let _ = fs::remove_dir_all(&self.dir.path);
        }
    }
}

fn refuse_unless_free(path: &Path) -> Result<(), DirError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(DirError::NotADirectory { path: path.to_owned() }),
        Ok(_) => {
            refuse_unless_empty(path)?;
            let entries = fs::read_dir(path).at("read", path)?.count();
            if entries == 0 { Ok(()) } else { Err(DirError::Foreign { path: path.to_owned(), entries }) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at("open", path),
    }
}
