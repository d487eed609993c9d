//! The adapters against services that do everything that a service should not.

mod command;
mod conformance;
mod courier;
mod http;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::speaker::Wire;
use super::*;
use crate::types::{Epoch, Hash, Operation};

/// Long enough for a slow machine, and an end for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn facts(dir: &std::path::Path) -> Facts {
    Facts { node: "n1".to_owned(), cluster: Arc::default(), service_dir: dir.join("service") }
}

/// Times for tests that wait for their end.
fn short() -> Times {
    let time = Duration::from_millis(300);
    Times { info: PATIENCE, validate: time, apply: time, health: time, state: time, silence: PATIENCE }
}

fn http_at(url: &str, times: Times, dir: &std::path::Path) -> Speaker<Http> {
    let spool = Spool::new(&facts(dir).service_dir).unwrap();
    let greeting = Arc::new(Greeting::new(facts(dir)));
    Speaker::new(Http::new(url, times, Arc::clone(&greeting)).unwrap(), greeting, spool)
}

fn exec_of(command: &str, times: Times, dir: &std::path::Path) -> Speaker<Exec> {
    let spool = Spool::new(&facts(dir).service_dir).unwrap();
    let greeting = Arc::new(Greeting::new(facts(dir)));
    let exec = Exec::start(command, times, Arc::clone(&greeting), spool.dir()).unwrap();
    Speaker::new(exec, greeting, spool)
}

fn operation(data: &str) -> Operation {
    Operation::new("user_create", data)
}

/// Has one operation judged and gives the data to log.
fn judge<W: Wire>(speaker: &Speaker<W>, data: &str) -> Result<Option<Box<str>>, Fault> {
    let operation = operation(data);
    let mut verdicts = speaker.validate(0, 0, &[Asked { operation: &operation, key: None }])?;
    Ok(verdicts.pop().unwrap().map_err(Fault::Refused)?.0)
}

/// Has operations applied from this version on.
fn apply<W: Wire>(speaker: &Speaker<W>, from: Version, count: usize) -> Result<Vec<Outcome>, Fault> {
    let operation = operation("{}");
    let entry =
        |version| Committed { version, epoch: Epoch::default(), time: 0, operation: &operation, hash: Hash::default() };
    speaker.apply(&(from..).take(count).map(entry).collect::<Vec<_>>())
}

/// Tries until it is there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn away(fault: Fault) -> String {
    match fault {
        Fault::Away(why) => why,
        fault => panic!("{fault:?}"),
    }
}

fn violation(fault: Fault) -> (&'static str, String) {
    match fault {
        Fault::Violation { rule, detail } => (rule, detail),
        fault => panic!("{fault:?}"),
    }
}
