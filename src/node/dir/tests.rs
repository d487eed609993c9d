//! The directory: made whole, found, locked, and refused when it cannot be trusted.

use super::*;

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_directory_appears_whole_and_leaves_nothing_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let made = DataDir::init(&home.path().join("n1"), "n1").unwrap();
    assert_eq!(names(home.path()), ["n1"]);
    assert_eq!(names(made.path()), ["LOCK", "log", "meta.json", "rescue", "run", "snapshots", "state"]);
    let opened = DataDir::open(made.path()).unwrap();
    assert_eq!(opened.meta(), made.meta());
    assert_eq!(opened.meta().cluster_id, None);
    #[cfg(unix)]
    for path in [made.path().to_owned(), made.log()] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn an_empty_or_half_made_directory_is_filled_and_a_foreign_one_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("log")).unwrap();
    fs::write(home.path().join("meta.json.new"), "{").unwrap();
    DataDir::init(home.path(), "n1").unwrap();
    assert!(
        matches!(DataDir::init(home.path(), "n2"), Err(DirError::AlreadyInitialised { meta, .. }) if meta.name == "n1")
    );

    let foreign = tempfile::tempdir().unwrap();
    fs::create_dir(foreign.path().join("log")).unwrap();
    fs::write(foreign.path().join("log/mine"), "1").unwrap();
    assert!(matches!(DataDir::init(foreign.path(), "n1"), Err(DirError::Foreign { entries: 1, .. })));
    assert_eq!(names(foreign.path()), ["log"]);
    let file = foreign.path().join("log/mine");
    assert!(matches!(DataDir::init(&file, "n1"), Err(DirError::NotADirectory { .. })));
    assert!(matches!(DataDir::open(&file), Err(DirError::NotADirectory { .. })));
}

#[test]
fn an_uninitialised_directory_names_the_one_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let (good, wrong) = (home.path().join("data"), home.path().join("dta"));
    DataDir::init(&good, "data").unwrap();
    match DataDir::open(&wrong) {
        Err(DirError::NotInitialised { beside: Some(beside), .. }) => assert_eq!(beside, good),
        other => panic!("{other:?}"),
    }
    match DataDir::open(home.path()) {
        Err(DirError::NotInitialised { beside: Some(beside), .. }) => assert_eq!(beside, good),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lock_is_held_by_one_and_seen_by_all() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::init(home.path(), "n1").unwrap();
    assert!(!dir.is_in_use());
    let lock = dir.lock().unwrap();
    assert!(dir.is_in_use());
    assert!(matches!(dir.lock(), Err(DirError::InUse { pid: None, .. })));
    drop(lock);
    assert!(!dir.is_in_use());
    dir.lock().unwrap();
}

#[test]
fn the_cluster_id_is_remembered_and_the_endpoint_comes_and_goes() {
    let home = tempfile::tempdir().unwrap();
    let mut dir = DataDir::init(home.path(), "n1").unwrap();
    dir.set_cluster_id(ClusterId([7; 16])).unwrap();
    assert_eq!(DataDir::open(home.path()).unwrap().meta().cluster_id, Some(ClusterId([7; 16])));

    let endpoint = Endpoint {
        pid: 1,
        http: "http://127.0.0.1:1".to_owned(),
        role: Role::Primary,
        started: "2026-01-01T00:00:00.000000Z".to_owned(),
    };
    assert_eq!(dir.read_endpoint().unwrap(), None);
    dir.write_endpoint(&endpoint).unwrap();
    assert_eq!(dir.read_endpoint().unwrap(), Some(endpoint));
    dir.remove_endpoint().unwrap();
    dir.remove_endpoint().unwrap();
    assert_eq!(dir.read_endpoint().unwrap(), None);
}

#[test]
fn a_meta_file_that_cannot_be_trusted_is_refused() {
    let home = tempfile::tempdir().unwrap();
    DataDir::init(home.path(), "n1").unwrap();
    let file = home.path().join(META);
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("\"format\":1", "\"format\":2")).unwrap();
    assert!(matches!(DataDir::open(home.path()), Err(DirError::Format { found: 2, .. })));
    fs::write(&file, good.replace("\"n1\"", "\"../n1\"")).unwrap();
    assert!(matches!(DataDir::open(home.path()), Err(DirError::BadMeta { .. })));
    fs::write(&file, "").unwrap();
    assert!(matches!(DataDir::open(home.path()), Err(DirError::BadMeta { .. })));
}

#[test]
fn names_are_file_names_and_header_values() {
    for good in ["n1", "a", "Node.7_b-c", &"x".repeat(64)] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", ".", "..", "-n", "a/b", "a b", "n\u{e9}", "a\n", &"x".repeat(65)] {
        assert!(!is_name(bad), "{bad}");
    }
}
