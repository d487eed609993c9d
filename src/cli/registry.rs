//! The registry of local nodes: which data directories this user has made or served.
//!
//! One small file per name, `rig/nodes/NAME.json` below the user's state directory. It is a cache: deleting it
//! loses nothing but the names, and what a directory says of itself always wins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::node::dir::{self, DataDir};

/// One known node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its directory, absolute.
    pub data_dir: PathBuf,
}

impl Entry {
    /// The directory, if it still is the one that was written down.
    pub fn open(&self) -> Option<DataDir> {
        DataDir::open(&self.data_dir).ok().filter(|dir| dir.meta().name == self.name)
    }
}

/// The registry below one directory.
#[derive(Debug, Clone, Copy)]
pub struct Registry<'a> {
    nodes: &'a Path,
}

impl<'a> Registry<'a> {
    /// The registry in this directory, which need not exist.
    pub fn new(nodes: &'a Path) -> Self {
        Self { nodes }
    }

    /// What was written down under this name.
    pub fn get(&self, name: &str) -> Option<Entry> {
        if !dir::is_name(name) {
            return None;
        }
        let bytes = fs::read(self.file(name)).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|entry: &Entry| entry.name == name)
    }

    /// Everything that was written down, by name; files that cannot be understood are passed over.
    pub fn list(&self) -> Vec<Entry> {
        let Ok(files) = fs::read_dir(self.nodes) else { return Vec::new() };
        let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
        let mut entries: Vec<_> = names.filter_map(|file| self.get(file.strip_suffix(".json")?)).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Writes a directory down. Returns the other directory that had this name, if it still exists.
    pub fn remember(&self, dir: &DataDir) -> io::Result<Option<PathBuf>> {
        let entry = Entry { name: dir.meta().name.clone(), data_dir: dir.path().to_owned() };
        let before = self.get(&entry.name).filter(|before| before.data_dir != entry.data_dir);
        fs::create_dir_all(self.nodes)?;
        let file = self.file(&entry.name);
        let new = self.nodes.join(format!(".{}.{}.new", entry.name, std::process::id()));
        let mut line = serde_json::to_string(&entry).map_err(io::Error::other)?;
        line.push('\n');
        fs::write(&new, line)?;
        fs::rename(&new, &file)?;
        Ok(before.and_then(|before| before.open()).map(|dir| dir.path().to_owned()))
    }

    /// Strikes a name out; the directory stays. False when it was not there.
    pub fn forget(&self, name: &str) -> io::Result<bool> {
        if !dir::is_name(name) {
            return Ok(false);
        }
        match fs::remove_file(self.file(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.nodes.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_remembered_listed_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let nodes = home.path().join("state/nodes");
        let registry = Registry::new(&nodes);
        assert!(registry.list().is_empty());
        let n2 = DataDir::init(&home.path().join("n2"), "n2").unwrap();
        let n1 = DataDir::init(&home.path().join("n1"), "n1").unwrap();
        assert_eq!(registry.remember(&n2).unwrap(), None);
        assert_eq!(registry.remember(&n1).unwrap(), None);
        assert_eq!(registry.remember(&n1).unwrap(), None);
        let names: Vec<_> = registry.list().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["n1", "n2"]);
        assert_eq!(registry.get("n1").unwrap().open().unwrap().path(), n1.path());
        assert!(registry.forget("n1").unwrap() && !registry.forget("n1").unwrap());
        assert_eq!(registry.list().len(), 1);
    }

    #[test]
    fn the_last_directory_of_a_name_wins_and_the_other_is_named() {
        let home = tempfile::tempdir().unwrap();
        let nodes = home.path().join("nodes");
        let registry = Registry::new(&nodes);
        let one = DataDir::init(&home.path().join("a/data"), "data").unwrap();
        let two = DataDir::init(&home.path().join("b/data"), "data").unwrap();
        registry.remember(&one).unwrap();
        assert_eq!(registry.remember(&two).unwrap().as_deref(), Some(one.path()));
        assert_eq!(registry.get("data").unwrap().data_dir, two.path());
    }

    #[test]
    fn what_cannot_be_understood_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("n1.json"), "{").unwrap();
        fs::write(home.path().join("n2.json"), r#"{"name":"n3","data_dir":"/n3"}"#).unwrap();
        fs::write(home.path().join("README"), "").unwrap();
        let registry = Registry::new(home.path());
        assert!(registry.list().is_empty());
        assert_eq!(registry.get("../n1"), None);
        assert!(!registry.forget("../README").unwrap());
    }
}
