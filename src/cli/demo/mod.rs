//! `rig demo`: the story of the README, played on two throw-away nodes.
//!
//! The replica is killed, then the primary in the middle of a batch, because that is what a log and its copy are for.
//! Everything is done by the real command lines, which are printed as they are run; the acts only decide what they
//! are and look at what came of them.
//!
//! ```text
//!   begin ─► documents ─► the replica fails ─► the primary fails ─► rescue ─► audit
//!                             (semi-sync)            (sync)
//! ```

mod evidence;
mod failover;
mod stage;

use std::fs;

use self::evidence::Evidence;
use self::stage::{Ran, Stage};
use super::scratch::Server;
use super::{Context, Failure, Outcome, help};
use crate::error::Exit;

/// Show what Rig does, on two throw-away nodes
///
/// Takes about ten seconds and leaves nothing behind, unless --keep is given. Every step prints the real command
/// that does it, and what must hold after it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig demo", "rig demo --keep"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure])
)]
pub(crate) struct Args {
    /// Leave the nodes' directories there, and say where
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut stage = Stage::build(context)?;
    let (one, two) = begin(&mut stage)?;
    documents(&mut stage)?;
    let two = replica_fails(&mut stage, two)?;
    let (one, two) = failover::primary_fails(&mut stage, one, two)?;
    let (one, two) = failover::rescue(&mut stage, one, two)?;
    audit(&mut stage)?;
    tamper(&mut stage, one, two)?;
    stage.end(args.keep)
}

/// A node of the story: its process, and where it listens, now and after every start.
struct Node {
    name: &'static str,
    server: Server,
    address: String,
}

impl Node {
    /// Serves a directory, at its first start at any free port.
    fn serve(stage: &Stage<'_>, name: &'static str, address: Option<&str>, more: &[&str]) -> Result<Self, Failure> {
        let listen = address.unwrap_or("127.0.0.1:0");
        let (server, said) = stage.serve(&[&["serve", "-D", name, "--listen", listen], more].concat())?;
        let address = said.lines().find_map(|line| line.trim().strip_prefix("http  http://")).unwrap_or(listen);
        Ok(Self { name, address: address.to_owned(), server })
    }

    /// kill -9, and the process is gone when this returns.
    fn kill(self, stage: &Stage<'_>) -> Result<Gone, Failure> {
        stage.run(&format!("kill -9 {}", self.server.pid()))?;
        let status = self.server.wait()?;
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        Ok(Gone { name: self.name, address: self.address, killed })
    }
}

/// A node that was killed.
struct Gone {
    name: &'static str,
    address: String,
    killed: bool,
}

impl Gone {
    fn serve(self, stage: &Stage<'_>, more: &[&str]) -> Result<Node, Failure> {
        Node::serve(stage, self.name, Some(&self.address), more)
    }
}

fn begin(stage: &mut Stage<'_>) -> Result<(Node, Node), Failure> {
    stage.step("A node lives in a directory, which gets an identity of its own.")?;
    let ran = [stage.run("rig init n1")?, stage.run("rig init n2")?];
    let made = ran.iter().all(succeeded) && stage.path("n2/meta.json").is_file();
    stage.check("the directories are there", made)?;

    stage.step("One is the primary. Port 0 stands for any free port.")?;
    let one = Node::serve(stage, "n1", None, &["--role", "primary"])?;
    stage.step("The other one is its replica: it calls the primary, and is a member.")?;
    let peer = format!("http://{}", one.address);
    let two = Node::serve(stage, "n2", None, &["--role", "replica", "--peer", &peer])?;
    let waited = stage.run("rig wait in-sync -D n2")?;
    let status = stage.run("rig status")?;
    let both = status.stdout.contains("serving") && status.stdout.contains("in_sync");
    stage.check("the replica is in sync", succeeded(&waited) && both)?;

    stage.step("A rule for users, before there are any. It is in the log like all else.")?;
    let ran = stage.run("rig schema set -D n1 user --unique email --required name")?;
    stage.check("the rule is set", succeeded(&ran))?;
    Ok((one, two))
}

fn documents(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let payload = stage.path("payload.json");
    let text = "{\n  \"id\": \"alice\",\n  \"name\": \"Alice\",\n  \"email\": \"alice@example.com\"\n}\n";
    fs::write(&payload, text).map_err(|error| Failure::io("write", &payload, &error))?;

    stage.step("An operation is a method and JSON. The answer comes when both disks have it.")?;
    stage.run("cat payload.json")?;
    let ran = stage.run("rig apply -D n1 user_create payload.json")?;
    stage.check("it is answered, and on both nodes", succeeded(&ran) && ran.stdout.contains("sync (n1 n2)"))?;

    stage.step("An update says only what changes. Sent to the replica, it goes to the primary.")?;
    let ran = stage.run("rig apply -D n2 user_update --data '{\"id\":\"alice\",\"name\":\"Alice Liddell\"}'")?;
    let version = version_of(&ran);
    stage.step("Read on the replica, which waits until it has that version.")?;
    let read = stage.run(&format!("rig get -D n2 user alice --min-version {version}"))?;
    let whole = read.stdout.contains("Alice Liddell") && read.stdout.contains("alice@example.com");
    stage.check("the new name is there, and so is the e-mail", succeeded(&ran) && whole)?;

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

fn replica_fails(stage: &mut Stage<'_>, two: Node) -> Result<Node, Failure> {
    stage.step("Only the replica fails. In mode semi-sync the primary goes on, and says so.")?;
    let gone = two.kill(stage)?;
    let ran = stage
        .run("rig apply -D n1 user_put --data '{\"id\":\"dora\",\"name\":\"Dora\",\"email\":\"d@example.com\"}'")?;
    stage.check("the answer says degraded", gone.killed && ran.stdout.contains("degraded (n1)"))?;
    let status = stage.run("rig status -D n1 --check")?;
    let said = status.stdout.contains("degraded") && status.stdout.contains("alone");
    stage.check("so does the status (exit 12)", status.exit == Some(12) && said)?;

    stage.step("It comes back, catches up, and its word counts again.")?;
    let two = gone.serve(stage, &[])?;
    let waited = stage.run("rig wait in-sync -D n2")?;
    let ran = stage.run("rig apply -D n1 user_update --data '{\"id\":\"dora\",\"name\":\"Dora B.\"}'")?;
    stage.check("answers rest on both nodes again", succeeded(&waited) && ran.stdout.contains("sync (n1 n2)"))?;
    let status = stage.run("rig status -D n1 --check")?;
    stage.check(
        "all is well (exit 0), and what was alone is still told",
        succeeded(&status) && status.stdout.contains("alone"),
    )?;
    Ok(two)
}

fn audit(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.step("The log is text when you ask for it: who, when, what, and the hash.")?;
    let ran = stage.run("rig log dump -D n1 --type user --id alice")?;
    stage.check("alice's history is there", succeeded(&ran) && ran.stdout.contains("Liddell"))?;

    stage.step("Verify computes every checksum and the chain of hashes, and compares two logs.")?;
    let ran = stage.run("rig log verify -D n1 --against n2")?;
    let equal = ran.stdout.contains("equal to n2") && ran.stdout.contains("PASS");
    stage.check("both logs are whole, and they are equal", succeeded(&ran) && equal)
}

fn tamper(stage: &mut Stage<'_>, one: Node, two: Node) -> Result<(), Failure> {
    stage.step("Stopped by a signal, a node finishes what is under way.")?;
    let ran = stage.run(&format!("kill {} {}", two.server.pid(), one.server.pid()))?;
    let ended = [two.server.wait()?, one.server.wait()?];
    stage.check("they ended with 0", succeeded(&ran) && ended.iter().all(std::process::ExitStatus::success))?;

    stage.step("On a copy, somebody changes one letter of Alice's name in the file.")?;
    stage.run("cp -R n1 copy")?;
    let found = Evidence::find(&stage.path("copy/log"), b"Alice Liddell")?;
    let segment = format!("copy/log/{}", found.segment);
    stage.run(&format!("printf E | dd of={segment} bs=1 seek={} conv=notrunc 2>/dev/null", found.offset))?;
    let ran = stage.run("rig log verify -D copy")?;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    stage.check("verify finds it (exit 9)", ran.exit == Some(9) && said.contains("FAIL"))?;
    stage.check("and names the segment", said.contains(&found.segment))?;
    let ran = stage.run("rig log verify -D n1 --against ./n2")?;
    stage.check("the nodes' own logs are as they were", succeeded(&ran) && ran.stdout.contains("PASS"))?;
    // What is kept is to be clean.
    let copy = stage.path("copy");
    fs::remove_dir_all(&copy).map_err(|error| Failure::io("remove", &copy, &error))
}

fn succeeded(ran: &Ran) -> bool {
    ran.exit == Some(0)
}

/// The version that an answer speaks of; 0 when it speaks of none.
fn version_of(ran: &Ran) -> u64 {
    let rest = ran.stdout.split("version ").nth(1);
    rest.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok()).unwrap_or(0)
}
