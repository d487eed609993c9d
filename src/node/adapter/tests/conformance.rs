//! The documents behind a pipe keep the rules that they keep in this process.

use std::io::BufReader;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::service::conformance::{check, documents_workload};
use crate::service::protocol::serve;
use crate::service::{Documents, Service};

/// Documents that are asked through pipes, by all that is between a node and a command but the process.
fn piped(dir: &std::path::Path) -> Box<dyn Service> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let dir = dir.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    let (input, to_service) = std::io::pipe().unwrap();
    let (from_service, output) = std::io::pipe().unwrap();
    std::thread::spawn(move || {
        let mut documents = Documents::default();
        serve(&mut documents, "documents", BufReader::new(input), output).unwrap();
    });
    let spool = Spool::new(&facts(&dir).service_dir).unwrap();
    let greeting = Arc::new(Greeting::new(facts(&dir)));
    let times = Times { validate: PATIENCE, apply: PATIENCE, ..Times::default() };
    let exec = Exec::over_pipes(to_service, from_service, times, Arc::clone(&greeting)).unwrap();
    Box::new(Remote::new("exec", Arc::new(Speaker::new(exec, greeting, spool))).unwrap())
}

#[test]
fn documents_behind_a_pipe_hold_every_rule_that_a_pipe_can_show() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = documents_workload(3, 120);
    // Who fills in an identifier on the other side makes another one each time: two judgements of one operation are
    // then not equal, which one of the rules asks for.
    workload.retain(|operation| !operation.method.ends_with("_create") || operation.data.contains("\"id\""));
    let violations = check(&|| piped(dir.path()), &workload).unwrap_err();
    // Over a transport a snapshot is everything that there is: nothing follows it. And what an operation holds is said
    // together with the judgement: one that is refused holds nothing, whatever it would hold otherwise.
    let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, ["restore_reads_its_own_bytes_only", "resources_are_stable"], "{violations:#?}");
}

#[test]
fn a_service_that_does_not_answer_is_never_equal_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let service = piped(dir.path());
    assert_eq!(service.digest(), Documents::default().digest());
    let speaker = exec_of(
        "read line; echo '{\"id\":1,\"result\":{\"applied_version\":0}}'; cat > /dev/null",
        short(),
        dir.path(),
    );
    let mut remote = Remote::new("exec", Arc::new(speaker)).unwrap();
    assert_ne!(remote.digest(), remote.digest());
    assert!(remote.snapshot().write(&mut Vec::new()).is_err());
    let entry = crate::service::Entry { version: 1, time: 0, operation: None };
    assert!(remote.apply(&[entry]).is_err());
    assert_eq!(remote.resources(&operation("1")).unwrap_err().code, "service_unavailable");
}
