//! What every file system must do that the log is put on: the real one and the simulated one pass the same.

use super::{Access, DiskVfs, MemVfs, Vfs, is_no_space};
use std::io::ErrorKind;
use std::path::Path;

fn conforms(vfs: &dyn Vfs, root: &Path) {
    let dir = root.join("a").join("b");
    vfs.create_dir_all(&dir).unwrap();
    vfs.create_dir_all(&dir).unwrap();
    assert!(vfs.list(&dir).unwrap().is_empty());
    assert_eq!(vfs.list(&dir.join("none")).unwrap_err().kind(), ErrorKind::NotFound);

    let path = dir.join("one");
    assert_eq!(vfs.open(&path, Access::Read).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(vfs.open(&path, Access::Write).err().unwrap().kind(), ErrorKind::NotFound);
    let file = vfs.open(&path, Access::Create).unwrap();
    assert_eq!(vfs.open(&path, Access::Create).err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(file.len().unwrap(), 0);

    file.write_at(b"hello", 1000).unwrap();
    assert_eq!(file.len().unwrap(), 1005);
    let mut buf = [1; 10];
    assert_eq!(file.read_at(&mut buf, 998).unwrap(), 7);
    assert_eq!(&buf[..7], b"\0\0hello");
    assert_eq!(file.read_at(&mut buf, 1005).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 9000).unwrap(), 0);
    file.write_at(b"J", 1000).unwrap();
    file.sync_data().unwrap();
    vfs.sync_dir(&dir).unwrap();

    let again = vfs.open(&path, Access::Read).unwrap();
    assert_eq!(again.read_at(&mut buf[..5], 1000).unwrap(), 5);
    assert_eq!(&buf[..5], b"Jello");
    file.set_len(1002).unwrap();
    file.set_len(1004).unwrap();
    assert_eq!(again.read_at(&mut buf[..5], 1000).unwrap(), 4);
    assert_eq!(&buf[..4], b"Je\0\0");

    let other = dir.join("two");
    vfs.open(&other, Access::Create).unwrap().write_at(b"old", 0).unwrap();
    vfs.rename(&path, &other).unwrap();
    assert_eq!(vfs.list(&dir).unwrap(), ["two"]);
    assert_eq!(vfs.open(&other, Access::Write).unwrap().len().unwrap(), 1004);
    assert_eq!(vfs.rename(&path, &other).unwrap_err().kind(), ErrorKind::NotFound);
    vfs.remove(&other).unwrap();
    assert_eq!(vfs.remove(&other).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(vfs.list(&dir).unwrap().is_empty());
    assert!(vfs.space(&dir).unwrap() > 0);
}

#[test]
fn the_real_file_system_conforms() {
    let root = tempfile::tempdir().unwrap();
    conforms(&DiskVfs, root.path());
}

#[test]
fn the_simulated_file_system_conforms() {
    conforms(&MemVfs::new(), Path::new("/root"));
}

/// By a read that would have to wait for the disk, and may not.
#[cfg(target_os = "linux")]
#[test]
fn what_is_durable_leaves_the_page_cache() {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    let file = DiskVfs.open(&path, Access::Create).unwrap();
    let read = || {
        let mut byte = [0];
        let buffers = &mut [std::io::IoSliceMut::new(&mut byte)];
        preadv2(std::fs::File::open(&path).unwrap(), buffers, 1 << 20, ReadWriteFlags::NOWAIT)
    };
    file.write_at(&[7; 2 << 20], 0).unwrap();
    file.sync_data().unwrap();
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let is_in_memory = rustix::fs::statfs(root.path()).unwrap().f_type == TMPFS_MAGIC;
    if is_in_memory || read() == Err(Errno::OPNOTSUPP) {
        println!(
            "SKIPPED what_is_durable_leaves_the_page_cache: needs temporary files on a disk, and one that can be asked"
        );
        assert!(std::env::var_os("RIG_TEST_NO_SKIP").is_none(), "nothing may be skipped");
        return;
    }
    assert_eq!(read(), Ok(1));
    file.leave_cache();
    assert_eq!(read(), Err(Errno::AGAIN));
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, 1 << 20).unwrap(), 1);
    assert_eq!((byte, read()), ([7], Ok(1)));
}

#[test]
fn files_belong_to_their_user_and_links_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/er");
    DiskVfs.create_dir_all(&dir).unwrap();
    let path = dir.join("file");
    DiskVfs.open(&path, Access::Create).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&dir)), (0o600, 0o700));
    let link = dir.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(DiskVfs.open(&link, Access::Read).is_err());
    assert!(DiskVfs.open(&link, Access::Write).is_err());
}

#[test]
fn a_crash_loses_only_what_was_not_synced() {
    let (dir, path) = (Path::new("/d"), Path::new("/d/file"));
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..100 {
        let vfs = MemVfs::new();
        vfs.create_dir_all(dir).unwrap();
        let file = vfs.open(path, Access::Create).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        file.sync_data().unwrap();
        vfs.sync_dir(dir).unwrap();
        file.write_at(&[2; 1024], 512).unwrap();
        vfs.open(&dir.join("new"), Access::Create).unwrap();
        vfs.crash(seed);
        let bytes = vfs.read(path).unwrap();
        assert_eq!(bytes[..512], [1; 512]);
        for sector in bytes[512..].chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is one thing");
            if sector[0] == 2 { kept += 1 } else { lost += 1 }
        }
    }
    assert!(kept > 20 && lost > 20, "{kept} kept, {lost} lost");
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_gone() {
    let (dir, path) = (Path::new("/d"), Path::new("/d/file"));
    let vfs = MemVfs::new();
    vfs.create_dir_all(dir).unwrap();
    let file = vfs.open(path, Access::Create).unwrap();
    vfs.sync_dir(dir).unwrap();
    file.write_at(b"abc", 0).unwrap();
    vfs.fail_sync_after(0);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(vfs.read(path).unwrap(), b"abc", "the cache still has them");
    vfs.crash(1);
    assert_ne!(vfs.read(path).unwrap(), b"abc");
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let vfs = MemVfs::new();
    vfs.create_dir_all(Path::new("/d")).unwrap();
    let file = vfs.open(Path::new("/d/file"), Access::Create).unwrap();
    file.write_at(&[1; 100], 0).unwrap();
    vfs.set_room(Some(50));
    assert!(is_no_space(&file.write_at(&[2; 200], 60).unwrap_err()));
    assert_eq!(file.len().unwrap(), 150);
    file.write_at(&[3; 150], 0).unwrap();
    file.set_len(100).unwrap();
    file.write_at(&[4; 50], 100).unwrap();
}
