//! The documents in another process, over a pipe and over HTTP: what they are here they are there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rig::node::Source;
use rig::node::adapter::{Caller, Facts, Remote, connect};
use rig::service::conformance::{check, documents_workload};
use rig::service::{Documents, Entry, Service};

use crate::support::example;

/// Documents over HTTP, killed when dropped.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        let mut child = command.args(["--http", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}/any/base", port.trim()) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn reach(source: &Source, dir: &Path) -> Arc<dyn Caller> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let service_dir = dir.join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    connect(source, Facts { node: "n1".to_owned(), cluster: Arc::new(OnceLock::new()), service_dir }).unwrap()
}

/// Over a transport nothing follows a snapshot, and what an operation holds is said together with the judgement.
const MEANINGLESS: [&str; 2] = ["restore_reads_its_own_bytes_only", "resources_are_stable"];

fn holds_the_rules(make: &dyn Fn() -> Box<dyn Service>) {
    let mut workload = documents_workload(5, 40);
    // Identifiers that are made over there are new ones each time.
    workload.retain(|operation| !operation.method.ends_with("_create") || operation.data.contains("\"id\""));
    let violations = check(make, &workload).err().unwrap_or_default();
    let broken: Vec<_> = violations.iter().filter(|violation| !MEANINGLESS.contains(&violation.rule)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn documents_of_a_command_hold_the_rules_of_a_service() {
    let Some(program) = example("service_documents", "documents_of_a_command_hold_the_rules_of_a_service") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Exec(format!("exec {} --stdio", program.display()));
    holds_the_rules(&|| Box::new(Remote::new("exec", reach(&source, dir.path())).unwrap()));
}

#[test]
fn documents_over_http_hold_the_rules_of_a_service() {
    let Some(program) = example("service_documents", "documents_over_http_hold_the_rules_of_a_service") else { return };
    let dir = tempfile::tempdir().unwrap();
    let served = std::sync::Mutex::new(Vec::new());
    holds_the_rules(&|| {
        let one = Served::start(&program);
        let remote = Remote::new("http", reach(&Source::Http(one.url.clone()), dir.path())).unwrap();
        served.lock().unwrap().push(one);
        Box::new(remote)
    });
}

#[test]
fn a_large_log_goes_through_in_batches_and_ends_in_the_same_state() {
    let Some(program) = example("service_documents", "a_large_log_goes_through_in_batches_and_ends_in_the_same_state")
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let http = Served::start(&program);
    let sources = [Source::Exec(format!("exec {} --stdio", program.display())), Source::Http(http.url.clone())];
    let large = format!(r#"{{"id":"large","text":"{}"}}"#, "x".repeat(7 << 20));
    let mut operations = documents_workload(7, 3000);
    // Three of them do not fit one call.
    operations.extend(["a_put", "b_put", "c_put"].map(|method| rig::types::Operation::new(method, large.clone())));
    let entries: Vec<_> = operations
        .iter()
        .zip(1..)
        .map(|(operation, version)| Entry { version, time: version, operation: Some(operation) })
        .collect();
    let mut here = Documents::default();
    let outcomes = here.apply(&entries).unwrap();
    for source in sources {
        let mut there = Remote::new("there", reach(&source, dir.path())).unwrap();
        assert_eq!(there.apply(&entries).unwrap(), outcomes, "{source:?}");
        assert_eq!((there.version(), there.digest()), (here.version(), here.digest()), "{source:?}");
    }
}
