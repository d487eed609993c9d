//! `rig demo`: the story of the README, played on a throw-away node.
//!
//! The node is killed in the middle of a batch, because that is what a log is for. Everything is done by the real
//! command lines, which are printed as they are run; this file only decides what they are and looks at what came
//! of them.

mod evidence;
mod stage;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use self::evidence::{Evidence, Logged, answered};
use self::stage::{Ran, Stage};
use super::scratch::{Running, Server};
use super::values::show_number;
use super::{Context, Failure, Outcome, help};
use crate::error::Exit;

/// Users in the batch.
const USERS: usize = 20_000;
/// Answers after which the node is killed.
const KILLED_AFTER: usize = 1_000;
/// For the batch, which waits for the node's return.
const BATCH_PATIENCE: Duration = Duration::from_secs(60);

/// Show what Rig does, on a throw-away node
///
/// Takes about ten seconds and leaves nothing behind, unless --keep is given. Every step prints the real command
/// that does it, and what must hold after it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig demo", "rig demo --keep"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure])
)]
pub(crate) struct Args {
    /// Leave the node's directory there, and say where
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut stage = Stage::build(context)?;
    let server = begin(&mut stage)?;
    documents(&mut stage)?;
    let server = crash(&mut stage, server)?;
    audit(&mut stage)?;
    tamper(&mut stage, server)?;
    stage.end(args.keep)
}

fn begin(stage: &mut Stage<'_>) -> Result<Server, Failure> {
    stage.step("A node lives in a directory, which gets an identity of its own.")?;
    let ran = stage.run("rig init n1")?;
    stage.check("the directory is there", succeeded(&ran) && stage.path("n1/meta.json").is_file())?;

    stage.step("One process serves it. Port 0 stands for any free port.")?;
    let (server, said) = stage.serve(&["serve", "-D", "n1", "--role", "primary", "--listen", "127.0.0.1:0"])?;
    stage.check("it is ready, and it is primary", said.contains("primary"))?;

    stage.step("A rule for users, before there are any. It is in the log like all else.")?;
    let ran = stage.run("rig schema set -D n1 user --unique email --required name")?;
    stage.check("the rule is set", succeeded(&ran))?;
    Ok(server)
}

fn documents(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let payload = stage.path("payload.json");
    let text = "{\n  \"id\": \"alice\",\n  \"name\": \"Alice\",\n  \"email\": \"alice@example.com\"\n}\n";
    fs::write(&payload, text).map_err(|error| Failure::io("write", &payload, &error))?;

    stage.step("An operation is a method and JSON. The answer comes when it is on the disk.")?;
    stage.run("cat payload.json")?;
    let ran = stage.run("rig apply -D n1 user_create payload.json")?;
    stage.check("it is answered with its version", succeeded(&ran) && ran.stdout.contains("version"))?;

    stage.step("An update says only what changes.")?;
    let ran = stage.run("rig apply -D n1 user_update --data '{\"id\":\"alice\",\"name\":\"Alice Liddell\"}'")?;
    let read = stage.run("rig get -D n1 user alice")?;
    let both = read.stdout.contains("Alice Liddell") && read.stdout.contains("alice@example.com");
    stage.check("the new name is there, and so is the e-mail", succeeded(&ran) && both)?;

    stage.step("Two users with one e-mail break the rule: refused, and not in the log.")?;
    let before = stage.run("rig log dump -D n1 -r -n 1")?.stdout;
    let refused =
        stage.run("rig apply -D n1 user_create --data '{\"name\":\"Eve\",\"email\":\"alice@example.com\"}'")?;
    let after = stage.run("rig log dump -D n1 -r -n 1")?.stdout;
    stage.check("refused as a conflict (exit 6)", refused.exit == Some(6) && refused.stderr.contains("unique"))?;
    stage.check("the log ends where it ended before", before.contains("user_update") && before == after)?;

    stage.step("What is deleted is gone from the documents, not from the history.")?;
    let create = "rig apply -D n1 user_create --data '{\"id\":\"bob\",\"name\":\"Bob\",\"email\":\"bob@example.com\"}'";
    let made = stage.run(create)?;
    let deleted = stage.run("rig apply -D n1 user_delete --data '{\"id\":\"bob\"}'")?;
    let gone = stage.run("rig get -D n1 user bob")?;
    let history = stage.run("rig log dump -D n1 --type user --id bob")?;
    stage.check("bob is not found (exit 3)", succeeded(&made) && succeeded(&deleted) && gone.exit == Some(3))?;
    let both = history.stdout.contains("user_create") && history.stdout.contains("user_delete");
    stage.check("his two operations are in the log", succeeded(&history) && both)
}

fn crash(stage: &mut Stage<'_>, server: Server) -> Result<Server, Failure> {
    write_users(&stage.path("users.ndjson"))?;
    let users = show_number(USERS as u64);
    stage.step(&format!("{users} users in one batch, and the node is killed in the middle of it."))?;
    stage.run("head -n 1 users.ndjson")?;
    let batch = ["apply", "-D", "n1", "--batch", "users.ndjson", "--json"];
    let mut batch = stage.background(&batch, "answers.ndjson")?;
    let answers = stage.path("answers.ndjson");
    wait_for_answers(&answers, &mut batch)?;
    let killed = stage.run(&format!("kill -9 {}", server.pid()))?;
    let status = server.wait()?;
    let before = answered(&answers)?;
    let in_the_middle = !before.is_empty() && before.len() < USERS;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    stage.say(&format!("  {} of them had been answered", show_number(before.len() as u64)))?;
    stage.check("killed in the middle of the batch", succeeded(&killed) && signal == Some(9) && in_the_middle)?;

    stage.step("It is started again, and reads its log. The batch still waits for answers.")?;
    let address = address_of(stage)?;
    let (server, _) = stage.serve(&["serve", "-D", "n1", "--listen", &address])?;
    stage.step("The batch sends again what had no answer: the same keys, so nothing twice.")?;
    let ended = batch.wait(BATCH_PATIENCE)?;
    let ran = stage.run("tail -n 1 answers.ndjson")?;
    let all = ran.stdout.contains(&format!("\"ok\":{USERS},\"rejected\":0,\"unknown\":0"));
    stage.check("every operation of the batch is answered", ended.is_some_and(|status| status.success()) && all)?;

    stage.step("Nothing is lost, nothing is there twice.")?;
    let dumped = stage.run("rig log dump -D n1 --json >log.ndjson")?;
    let log = Logged::read(&stage.path("log.ndjson"))?;
    let after = answered(&answers)?;
    stage.check("versions run from 1 to the end without a gap", succeeded(&dumped) && log.has_no_gap())?;
    stage.check("what was answered before the kill is in the log, hash for hash", log.holds(&before))?;
    stage.check("so is what was answered later", after.len() == USERS && log.holds(&after))?;
    stage.check(&format!("each of the {users} is in the log once"), log.has_each_once(USERS))?;
    Ok(server)
}

fn audit(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.step("The log is text when you ask for it: who, when, what, and the hash.")?;
    let ran = stage.run("rig log dump -D n1 --type user --id alice")?;
    stage.check("alice's history is there", succeeded(&ran) && ran.stdout.contains("Liddell"))?;

    stage.step("Verify computes every checksum and the chain of hashes anew, while it runs.")?;
    let ran = stage.run("rig log verify -D n1")?;
    stage.check("the log passes", succeeded(&ran) && ran.stdout.contains("PASS"))
}

fn tamper(stage: &mut Stage<'_>, server: Server) -> Result<(), Failure> {
    stage.step("Stopped by a signal, a node finishes what is under way.")?;
    let pid = server.pid();
    let ran = stage.run(&format!("kill {pid}"))?;
    let ended = server.wait()?;
    stage.check("it ended with 0", succeeded(&ran) && ended.success())?;

    stage.step("On a copy, somebody changes one letter of Alice's name in the file.")?;
    stage.run("cp -R n1 copy")?;
    let found = Evidence::find(&stage.path("copy/log"), b"Alice Liddell")?;
    let segment = format!("copy/log/{}", found.segment);
    stage.run(&format!("printf E | dd of={segment} bs=1 seek={} conv=notrunc 2>/dev/null", found.offset))?;
    let ran = stage.run("rig log verify -D copy")?;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    stage.check("verify finds it (exit 9)", ran.exit == Some(9) && said.contains("FAIL"))?;
    stage.check("and names the segment", said.contains(&found.segment))?;
    let ran = stage.run("rig log verify -D n1")?;
    stage.check("the node's own log is as it was", succeeded(&ran) && ran.stdout.contains("PASS"))?;
    // What is kept is to be clean.
    let copy = stage.path("copy");
    fs::remove_dir_all(&copy).map_err(|error| Failure::io("remove", &copy, &error))
}

fn succeeded(ran: &Ran) -> bool {
    ran.exit == Some(0)
}

fn write_users(path: &Path) -> Result<(), Failure> {
    let mut text = Vec::with_capacity(USERS * 128);
    for number in 1..=USERS {
        writeln!(
            text,
            "{{\"method\":\"user_create\",\"data\":{{\"id\":\"u{number}\",\"name\":\"User {number}\",\
             \"email\":\"u{number}@example.com\"}},\"key\":\"{}{number}\"}}",
            evidence::KEY_PREFIX,
        )
        .expect("a vector takes all bytes");
    }
    fs::write(path, text).map_err(|error| Failure::io("write", path, &error))
}

/// Until some answers are there, or the batch has ended.
fn wait_for_answers(path: &Path, batch: &mut Running) -> Result<(), Failure> {
    let deadline = Instant::now() + BATCH_PATIENCE;
    while batch.ended()?.is_none() && Instant::now() < deadline {
        let bytes = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
        if bytes.iter().filter(|byte| **byte == b'\n').count() >= KILLED_AFTER {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Where the node listened before it was killed: its last word is still there.
fn address_of(stage: &Stage<'_>) -> Result<String, Failure> {
    let dir = crate::node::dir::DataDir::open(&stage.path("n1"))?;
    let endpoint = dir.read_endpoint()?;
    let address = endpoint.and_then(|endpoint| endpoint.http.strip_prefix("http://").map(str::to_owned));
    address.ok_or_else(|| Failure::new(Exit::Failure, "no_endpoint", "the killed node left no word where it listened"))
}
