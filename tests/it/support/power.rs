//! A disk whose power a test can cut: a file system of its own, in a file.
//!
//! ```text
//!   image ── loop device ── ext4 or XFS ── mount
//! ```
//!
//! [`PowerDisk::cut`] shuts the file system down as it is: the newest part of its journal, and whatever was written and
//! not synced, is gone, and every call fails from then on. [`PowerDisk::power_on`] mounts it again, so that the kernel
//! replays the journal as it does after a power cut.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Ran, has, is_root, run, withheld};

/// Enough for what a test writes on one; XFS wants 300 MiB. The file has holes.
const IMAGE_BYTES: u64 = 640 << 20;

/// Gone at the end, also of a test that fails.
pub(crate) struct PowerDisk {
    dir: tempfile::TempDir,
}

fn did(program: &str, arguments: &[&str], path: &[&Path]) -> Ran {
    let mut command = Command::new(program);
    command.args(arguments).args(path);
    run(command, b"")
}

impl PowerDisk {
    /// A new one, or a word why there is none here.
    pub(crate) fn new(file_system: &str, test: &str) -> Option<Self> {
        if !is_root() {
            withheld(test, "to mount");
            return None;
        }
        let make = format!("mkfs.{file_system}");
        if !has("xfs_io", test) || !has(&make, test) {
            return None;
        }
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::File::create(disk.image()).unwrap().set_len(IMAGE_BYTES).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        let made = did(&make, &["-q"], &[&disk.image()]);
        assert_eq!(made.code, Some(0), "{made:#?}");
        let mounted = disk.mount();
        if mounted.code != Some(0) {
            withheld(test, &format!("to mount an image ({})", mounted.stderr.trim()));
            return None;
        }
        Some(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn mount(&self) -> Ran {
        did("mount", &["-o", "loop"], &[&self.image(), &self.path()])
    }

    /// An empty folder on it that is found at `place`, and has its name: for a node.
    pub(crate) fn link(&self, place: &Path) {
        use std::os::unix::fs::{DirBuilderExt, symlink};
        let folder = self.path().join(place.file_name().unwrap());
        std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        symlink(folder, place).unwrap();
    }

    /// Cuts its power.
    pub(crate) fn cut(&self) -> Ran {
        did("xfs_io", &["-x", "-c", "shutdown"], &[&self.path()])
    }

    /// Brings it back, as it is after the cut. Nobody may use it.
    pub(crate) fn power_on(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let gone = did("umount", &[], &[&self.path()]);
            if gone.code == Some(0) {
                break;
            }
            assert!(Instant::now() < deadline, "{gone:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mounted = self.mount();
        assert_eq!(mounted.code, Some(0), "{mounted:#?}");
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        // Whoever still uses it keeps it for as long; the loop device goes with the last one.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
