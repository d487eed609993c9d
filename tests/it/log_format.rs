//! The log's format as others see it: the page `rig-log(5)`, a verifier written from that page alone, and a log that
//! an earlier version wrote.

use rig::log::{Batch, Config, DiskVfs, Held, Reader, open, verify};
use rig::types::{ClusterId, Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const GOLDEN_HEAD: &str = include_str!("../data/format1/head");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn config() -> Config {
    let cluster = ClusterId(std::array::from_fn(|n| n as u8));
    Config { cluster, segment_bytes: 4096, zero_fill: false }
}

/// The record of the worked example in `rig-log(5)`, and those of the golden log: never to be changed.
fn golden(version: Version) -> Record {
    let owner = NodeId(std::array::from_fn(|n| n as u8 + 16));
    let keyed = version == 1 || version.is_multiple_of(4);
    let (method, data) = match version {
        1 => ("user_create", r#"{"id":"alice"}"#.to_owned()),
        2 => ("rig_epoch", r#"{"mode":"semi-sync","min_replicas":1}"#.to_owned()),
        _ => {
            ("user_put", format!(r#"{{"id":"user-{version}","name":"{}"}}"#, "Zo\u{eb} ".repeat(version as usize % 9)))
        }
    };
    Record {
        version,
        epoch: Epoch { number: 1 + version / 20, owner, start: version % 20 / 10 },
        time: 1_767_225_600_000_000 + version * 1000,
        commit_upto: version.saturating_sub(2),
        kind: if version == 2 { Kind::Control } else { Kind::Operation },
        key: keyed.then(|| format!("k{version}").into()),
        // SHA-256 of `user_create`, a zero byte and `{"id":"alice"}`; right for the example, and good enough elsewhere.
        request_hash: keyed.then(|| {
            let text = "0f8f90706f4e405e7542fbc1b9bbab4eb80c990366bbcc8cfed8d7c25c01ef19";
            text.parse().unwrap()
        }),
        actor: if version % 2 == 1 { "ops".into() } else { "".into() },
        operation: Operation::new(method, data),
        hash: Hash::default(),
    }
}

/// Writes records to a new log in `dir`, one batch each.
fn write(dir: &Path, count: Version) -> Hash {
    let mut opened = open(Arc::new(DiskVfs), dir, &config()).unwrap();
    let mut batch = Batch::new();
    for version in 1..=count {
        batch.clear();
        opened.sealer.seal(&mut golden(version), &mut batch);
        opened.writer.append(&mut batch).unwrap();
    }
    opened.writer.sync().unwrap();
    opened.writer.close(count).unwrap();
    opened.sealer.position().hash
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    for part in ["log", "state"] {
        std::fs::create_dir_all(to.join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, to.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Tools that may be missing are named, and demanded where the tests must be complete.
fn skipped(test: &str, needs: &str) {
    assert!(std::env::var_os("RIG_TEST_NO_SKIP").is_none_or(|value| value != "1"), "{test} needs {needs}");
    println!("SKIPPED {test}: needs {needs}");
}

fn verifier(dir: &Path) -> Option<Output> {
    let script = root().join("tests/it/verifier.py");
    Command::new("python3").arg("-I").arg(script).arg(dir.join("log")).output().ok()
}

#[test]
fn a_log_of_format_1_is_read_by_this_version_and_written_the_same() {
    let golden_dir = root().join("tests/data/format1");
    let temp = tempfile::tempdir().unwrap();
    let written = temp.path().join("written");
    let head = write(&written, 60);
    if std::env::var_os("RIG_WRITE_GOLDEN").is_some() {
        copy(&written, &golden_dir);
        std::fs::write(golden_dir.join("head"), format!("60 {head}\n")).unwrap();
    }
    assert_eq!(format!("60 {head}\n"), GOLDEN_HEAD);
    let names = segments(&golden_dir);
    assert!(names.len() > 2);
    for path in &names {
        let name = path.file_name().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), std::fs::read(written.join("log").join(name)).unwrap(), "{name:?}");
    }
    let opened_dir = temp.path().join("opened");
    copy(&golden_dir, &opened_dir);
    let opened = open(Arc::new(DiskVfs), &opened_dir, &config()).unwrap();
    assert_eq!((opened.report.head.version, opened.report.head.hash), (60, head));
    for read in opened.writer.reader().records(1, 60) {
        let mut read = read.unwrap();
        read.hash = Hash::default();
        assert_eq!(read, golden(read.version));
    }
}

#[test]
fn the_worked_example_of_the_page_is_what_is_written() {
    let page = std::fs::read_to_string(root().join("man/rig-log.5")).unwrap();
    let example = page.split(".\\\" example begins").nth(1).unwrap().split(".\\\" example ends").next().unwrap();
    let mut bytes = Vec::new();
    for line in example.lines() {
        let Some((offset, rest)) = line.split_once("  ") else { continue };
        let Ok(offset) = usize::from_str_radix(offset, 16) else { continue };
        assert_eq!(offset, bytes.len(), "{line}");
        let digits: String = rest.chars().take(49).filter(|c| !c.is_whitespace()).collect();
        for pair in digits.as_bytes().chunks(2) {
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let head = write(temp.path(), 1);
    let written = std::fs::read(&segments(temp.path())[0]).unwrap();
    assert_eq!(bytes, written);
    assert!(page.contains(&head.to_string()));
}

#[test]
fn a_verifier_written_from_the_page_agrees() {
    let temp = tempfile::tempdir().unwrap();
    let head = write(temp.path(), 200);
    let Some(output) = verifier(temp.path()) else {
        return skipped("a_verifier_written_from_the_page_agrees", "python3");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().last(), Some(format!("PASS 200 records, head 200 {head}").as_str()));
    let empty = tempfile::tempdir().unwrap();
    write(empty.path(), 0);
    assert!(verifier(empty.path()).unwrap().status.success());
}

#[test]
fn a_verifier_written_from_the_page_and_ours_find_the_same_damage() {
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), 40);
    let names = segments(temp.path());
    if verifier(temp.path()).is_none() {
        return skipped("a_verifier_written_from_the_page_and_ours_find_the_same_damage", "python3");
    }
    for (place, path) in names.iter().enumerate() {
        let good = std::fs::read(path).unwrap();
        for at in (place..good.len()).step_by(611) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(path, &bytes).unwrap();
            let theirs = verifier(temp.path()).unwrap();
            assert_eq!(theirs.status.code(), Some(1), "byte {at} of {}", path.display());
            let mut found = 0;
            let summary = verify(&DiskVfs, temp.path(), &Default::default(), &|_| {}, &mut |_| found += 1).unwrap();
            assert!(!summary.is_pass() && found > 0, "byte {at} of {}", path.display());
        }
        std::fs::write(path, &good).unwrap();
    }
    assert!(verifier(temp.path()).unwrap().status.success());
}

#[test]
fn a_log_is_read_from_the_real_disk_by_another_process_s_means() {
    let temp = tempfile::tempdir().unwrap();
    let head = write(temp.path(), 90);
    for held in [Held::ByNode, Held::ByNobody] {
        let reader = Reader::open(Arc::new(DiskVfs), temp.path(), held).unwrap();
        assert_eq!((reader.durable(), reader.committed(), reader.oldest()), (90, 90, 1));
        assert_eq!(reader.hash(90).unwrap(), Some(head));
        assert_eq!(reader.records(1, 90).filter(Result::is_ok).count(), 90);
    }
}
