//! Whole states on their way, as files in the directory of the service.
//!
//! A command reads and writes them by their path; over HTTP a restore must say its length before it begins, because
//! few small servers understand chunks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory.
pub(super) struct Spool {
    dir: PathBuf,
    next: AtomicU64,
}

/// A file in it, removed when it is dropped.
pub(super) struct Spooled {
    path: PathBuf,
}

impl Spool {
    /// Makes the directory, for its owner alone, and removes what a node that was killed has left there.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let dir = dir.canonicalize()?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let ours = entry.file_name().to_str().is_some_and(is_ours);
            if ours {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { dir, next: AtomicU64::new(1) })
    }

    /// The directory, by its absolute path.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A name for a file that a command is to write.
    pub(super) fn file(&self) -> Spooled {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Spooled { path: self.dir.join(format!("rig-state-{number}.tmp")) }
    }

    /// Everything that `input` has, as a file.
    pub(super) fn take_in(&self, input: &mut dyn Read) -> io::Result<Spooled> {
        let spooled = self.file();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&spooled.path)?;
        io::copy(input, &mut file)?;
        Ok(spooled)
    }
}

fn is_ours(name: &str) -> bool {
    let number = name.strip_prefix("rig-state-").and_then(|rest| rest.strip_suffix(".tmp"));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

impl Spooled {
    /// Its path, which goes to the command as JSON.
    pub(super) fn path(&self) -> io::Result<&str> {
        self.path.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8"))
    }

    /// Opens it to be read.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Its bytes so far.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        // It may never have been written; what cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
