//! What a builder refuses, without a node.

use super::*;
use crate::error::Exit;
use crate::service::Documents;

fn refusal(builder: Builder) -> (&'static str, String) {
    match builder.listen("127.0.0.1:0").build().map(|node| node.name().to_owned()) {
        Err(NodeError::Setting { name, reason }) => (name, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_is_refused_by_its_name_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    let builder = || Node::builder().data_dir(&dir);
    let local = || builder().service(|| Box::new(Documents::default()));
    let http = |url: &str| builder().service_http(url);
    for (name, builder) in [
        ("data_dir", Node::builder()),
        ("name", builder().name("a b")),
        ("advertise", builder().advertise("https://a:1")),
        ("peer", builder().peer("http://a:1").peer("nowhere/x")),
        ("min_replicas", builder().min_replicas(0)),
        ("min_replicas", builder().min_replicas(9)),
        ("sync_timeout", builder().sync_timeout(Duration::ZERO)),
        ("request_timeout", builder().request_timeout(Duration::ZERO)),
        ("request_timeout", builder().request_timeout(Duration::from_secs(61))),
        ("coordinator", builder().coordinator("http://a:2379/p", Duration::from_secs(3))),
        ("coordinator", builder().coordinator("etcds://a:2379/p", Duration::from_secs(3))),
        ("coordinator", builder().coordinator("etcd://a:2379/p", Duration::from_millis(999))),
        ("service_http", http("https://127.0.0.1:9000")),
        ("service_exec", builder().service_exec(" ")),
        ("proxy", builder().proxy()),
        ("proxy", local().proxy_to("http://127.0.0.1:9000")),
        ("proxy", builder().service_exec("./svc").proxy()),
        ("proxy", http("http://127.0.0.1:9000").proxy_to("nowhere")),
    ] {
        let (found, reason) = refusal(builder);
        assert_eq!(found, name, "{reason}");
        assert!(!reason.is_empty());
    }
    assert!(!dir.exists());
    let bad = builder().listen("nowhere").build().map(|_| ()).unwrap_err();
    assert_eq!((bad.exit(), bad.code()), (Exit::Usage, "usage"), "{bad}");
}

#[test]
fn a_directory_is_made_once_and_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let builder = |dir: &str| Node::builder().data_dir(folder.path().join(dir)).listen("127.0.0.1:0");
    assert_eq!(builder("a/n1").build().unwrap().name(), "n1");
    assert_eq!(builder("n2").name("other").build().unwrap().name(), "other");
    assert_eq!(builder("n2").build().unwrap().name(), "other");
    assert_eq!(refusal(builder("n2").name("third")).0, "name");
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/file"), "").unwrap();
    let foreign = builder("full").build().map(|_| ()).unwrap_err();
    assert!(matches!(foreign, NodeError::Dir(DirError::Foreign { .. })), "{foreign}");
    let first = builder("n1").build().unwrap();
    let second = builder("n1").build().map(|_| ()).unwrap_err();
    assert!(matches!(second, NodeError::Dir(DirError::InUse { .. })), "{second}");
    drop(first);
}
