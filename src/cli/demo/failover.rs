//! The acts in which the primary is lost: in the middle of a batch, and with a record that nobody else has.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::evidence::{self, Logged, answered};
use super::stage::Stage;
use super::{Node, succeeded};
use crate::cli::Failure;
use crate::cli::scratch::Running;
use crate::cli::values::show_number;

/// Users in the batch.
const USERS: usize = 10_000;
/// Answers after which the primary is killed.
const KILLED_AFTER: usize = 1_000;
/// For the batch, which waits for a new primary.
const BATCH_PATIENCE: Duration = Duration::from_secs(60);

/// In mode sync nothing is answered that is on one disk only, so nothing can be lost with one disk.
pub(super) fn primary_fails(stage: &mut Stage<'_>, one: Node, two: Node) -> Result<(Node, Node), Failure> {
    stage.step("From now on no answer may rest on one node alone: mode sync.")?;
    let ran = stage.run("rig config set -D n1 replication=sync")?;
    stage.check("the mode is a record of the log", succeeded(&ran) && ran.stdout.contains("sync"))?;

    write_users(&stage.path("users.ndjson"))?;
    let users = show_number(USERS as u64);
    stage.step(&format!("{users} users in one batch, and the primary is killed in the middle of it."))?;
    stage.run("head -n 1 users.ndjson")?;
    let batch = ["apply", "-D", "n2", "--batch", "users.ndjson", "--json"];
    let mut batch = stage.background(&batch, "answers.ndjson")?;
    let answers = stage.path("answers.ndjson");
    wait_for_answers(&answers, &mut batch)?;
    let gone = one.kill(stage)?;
    let before = answered(&answers)?;
    stage.say(&format!("  {} of them had been answered", show_number(before.len() as u64)))?;
    let in_the_middle = !before.is_empty() && before.len() < USERS;
    stage.check("killed in the middle of the batch", gone.killed && in_the_middle)?;

    stage.step("The replica has everything that was answered: it is promoted without force.")?;
    let ran = stage.run("rig promote n2")?;
    stage.check("n2 is the primary", succeeded(&ran) && ran.stdout.contains("promoted  n2  primary"))?;

    stage.step("The old primary comes back as its replica. The batch still waits for answers.")?;
    let one = gone.serve(stage, &["--role", "replica"])?;
    let waited = stage.run("rig wait in-sync -D n1")?;
    stage.check("it is in sync with the new one", succeeded(&waited))?;

    stage.step("The batch sends again what had no answer: the same keys, so nothing twice.")?;
    let ended = batch.wait(BATCH_PATIENCE)?;
    let ran = stage.run("tail -n 1 answers.ndjson")?;
    let all = ran.stdout.contains(&format!("\"ok\":{USERS},\"rejected\":0,\"unknown\":0"));
    stage.check("every operation of the batch is answered", ended.is_some_and(|status| status.success()) && all)?;

    stage.step("Nothing is lost, nothing is there twice.")?;
    let dumped = stage.run("rig log dump -D n2 --json >log.ndjson")?;
    let log = Logged::read(&stage.path("log.ndjson"))?;
    let after = answered(&answers)?;
    stage.check("versions run from 1 to the end without a gap", succeeded(&dumped) && log.has_no_gap())?;
    stage.check("what n1 answered before the kill is in n2's log, hash for hash", log.holds(&before))?;
    stage.check("so is what was answered later", after.len() == USERS && log.holds(&after))?;
    stage.check(&format!("each of the {users} is in the log once"), log.has_each_once(USERS))?;
    Ok((one, two))
}

/// A record that only the lost primary has was never answered. It is not lost either.
pub(super) fn rescue(stage: &mut Stage<'_>, one: Node, two: Node) -> Result<(Node, Node), Failure> {
    stage.step("The replica is gone, so in mode sync this write has no answer: unknown (exit 7).")?;
    let one = one.kill(stage)?;
    let create = "rig apply -D n2 user_create --data '{\"id\":\"carol\",\"name\":\"Carol\",\"email\":\"c@example.com\"}' \
                  --key order-17 --timeout 1s";
    let ran = stage.run(create)?;
    stage
        .check("the message names the key to ask again with", ran.exit == Some(7) && ran.stderr.contains("order-17"))?;

    stage.step("Then the primary is gone too, and the replica takes over. It never had carol.")?;
    let two = two.kill(stage)?;
    let one = one.serve(stage, &["--role", "replica"])?;
    let ran = stage.run("rig promote n1")?;
    stage.check("n1 is the primary again", succeeded(&ran))?;
    let two = two.serve(stage, &["--role", "replica"])?;
    let waited = stage.run("rig wait in-sync -D n2")?;
    stage.check("the other one follows", succeeded(&waited))?;

    stage.step("What only the old primary had was set aside before it followed.")?;
    let ran = stage.run("rig rescue ls -D n2 --json | tail -n 1")?;
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let file = found["file"].as_str().unwrap_or("none").to_owned();
    let shown = stage.run(&format!("rig rescue show -D n2 {file}"))?;
    stage.check(
        "carol is in a file, not known to be answered",
        found["acknowledged"]["yes"] == 0 && shown.stdout.contains("carol"),
    )?;

    stage.step("Replayed, it goes to the primary with its own key.")?;
    let ran = stage.run(&format!("rig rescue replay -D n2 {file}"))?;
    let read = stage.run("rig get -D n1 user carol")?;
    stage.check("carol is in the log", succeeded(&ran) && succeeded(&read))?;
    let again = stage.run(&format!("{create} --json"))?;
    stage.check("and the first sender now gets that answer", again.stdout.contains("\"replayed\":true"))?;
    Ok((one, two))
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
