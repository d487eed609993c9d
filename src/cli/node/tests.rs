//! Names and directories, ports, and flags that are handed on.

use std::net::TcpListener;

use super::*;
use crate::cli::context::tests::context_in;

fn known(context: &Context, path: &Path, name: &str) -> DataDir {
    let dir = DataDir::init(path, name).unwrap();
    Registry::new(&context.places().unwrap().nodes).remember(&dir).unwrap();
    dir
}

#[test]
fn a_name_of_the_registry_comes_before_a_directory() {
    let home = tempfile::tempdir().unwrap();
    let context = context_in(home.path());
    let dir = known(&context, &home.path().join("n1"), "n1");
    let other = DataDir::init(&home.path().join("n2"), "n2").unwrap();
    assert_eq!(resolve(Some(OsStr::new("n1")), &context).unwrap().path(), dir.path());
    assert_eq!(resolve(Some(other.path().as_os_str()), &context).unwrap().path(), other.path());
    assert_eq!(word_for(&dir, &context), "n1");
    assert_eq!(word_for(&other, &context), other.path().display().to_string());
    let failure = resolve(Some(OsStr::new("n3")), &context).unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::NotFound, "no_such_node"));
    assert!(failure.hint.contains("n1"), "{}", failure.hint);
    let failure = resolve(Some(home.path().as_os_str()), &context).unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::NotFound, "not_initialised"));
}

#[test]
fn a_node_that_runs_is_not_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let context = context_in(home.path());
    let dir = known(&context, &home.path().join("n1"), "n1");
    let lock = dir.lock().unwrap();
    assert_eq!(forget("n1", &context).unwrap_err().exit, Exit::InUse);
    drop(lock);
    assert_eq!(forget("n1", &context).unwrap(), Exit::Ok);
    assert_eq!(forget("n1", &context).unwrap_err().exit, Exit::NotFound);
    assert!(DataDir::open(dir.path()).is_ok(), "the directory stays");
}

#[test]
fn a_node_is_listed_as_what_its_lock_says() {
    let home = tempfile::tempdir().unwrap();
    let context = context_in(home.path());
    let dir = known(&context, &home.path().join("n1"), "n1");
    let state = || {
        let entry = Registry::new(&context.places().unwrap().nodes).get("n1").unwrap();
        let listed = Listed::of(&entry);
        (listed.state, listed.pid, listed.http)
    };
    let endpoint = crate::node::dir::Endpoint {
        pid: 7,
        http: "http://127.0.0.1:7449".to_owned(),
        role: Role::Primary,
        started: "2026-01-01T00:00:00Z".to_owned(),
    };
    assert_eq!(state(), ("stopped", None, None));
    let lock = dir.lock().unwrap();
    assert_eq!(state(), ("starting", None, None));
    dir.write_endpoint(&endpoint).unwrap();
    assert_eq!(state(), ("running", Some(7), Some("http://127.0.0.1:7449".to_owned())));
    drop(lock);
    assert_eq!(state(), ("stopped", None, None));
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(state(), ("missing", None, None));
}

#[test]
fn the_port_is_the_last_one_when_it_is_free() {
    let home = tempfile::tempdir().unwrap();
    let dir = DataDir::init(&home.path().join("n1"), "n1").unwrap();
    assert_eq!(start::last_address(&dir), None);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    start::remember_address(&dir, &crate::client::Url::parse(&address.to_string()).unwrap());
    assert_eq!(start::last_address(&dir), Some(address));
    let other = start::choose(Some(address)).unwrap();
    assert_ne!(other.port(), address.port());
    drop(taken);
    assert_eq!(start::choose(Some(address)).unwrap(), address);
    let beyond = "0.0.0.0:7440".parse().unwrap();
    assert!(start::choose(Some(beyond)).unwrap().ip().is_loopback());
}

#[test]
fn a_node_and_the_global_flags_are_given_together() {
    use clap::Parser;
    for line in [
        &["rig", "node", "start", "n1", "--role", "primary", "--json"][..],
        &["rig", "-D", "/d", "node", "start"],
        &["rig", "node", "stop", "n1", "--now", "-q"],
        &["rig", "node", "logs", "-f", "-n", "5", "n1", "--timeout", "5s"],
        &["rig", "node", "ls", "--json"],
        &["rig", "node", "forget", "n1"],
    ] {
        assert!(crate::cli::Cli::try_parse_from(line).is_ok(), "{line:?}");
    }
}

#[test]
fn flags_of_serve_are_checked_and_handed_on_as_typed() {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: start::Args,
    }
    let typed = |line: &[&str]| {
        let args = Line::try_parse_from([&["start"], line].concat()).map(|line| line.args);
        args.map(|args| (args.flags.listen, args.flags.typed)).map_err(|error| error.to_string())
    };
    assert_eq!(typed(&["n1"]), Ok((false, vec![])), "defaults are left to serve");
    let words = ["--role", "primary", "n1", "--listen", "127.0.0.1:0", "--insecure-plaintext", "--drain", "2s"];
    let mut expected = vec!["--role=primary", "--listen=127.0.0.1:0", "--insecure-plaintext", "--drain=2s"];
    let (listen, mut got) = typed(&words).unwrap();
    got.sort_unstable();
    expected.sort_unstable();
    assert!(listen && got == expected, "{got:?}");
    assert_eq!(typed(&["n1", "--proxy"]), Ok((false, vec!["--proxy".into()])), "its value may be left out");
    assert!(typed(&["n1", "--role", "leader"]).is_err());
    assert!(typed(&["n1", "--unheard-of"]).is_err());
}
