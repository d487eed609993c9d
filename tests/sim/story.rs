//! Stories: what happens, step by step, as a text of commands and expected outputs (`tests/stories/*.txt`).
//!
//! ```text
//!   put n0 1                  a command
//!   ----
//!   n0 answers op 1: v5 sync  what it must show
//! ```
//!
//! With `RIG_STORIES=rewrite` the outputs are written anew, to be read as a diff. A first line `rule: NAME` names the rule
//! that a story is about: with the feature `canary` the story is told once more without it, and must then fail; with
//! `RIG_STORIES=k07` as well it is shown how those whose names hold `k07` end then.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rig::log::MemVfs;
use rig::replication::{Asked, Input, Rule, Standing};
use rig::types::{AckLevel, NodeId, Record};

use super::machine::{Machine, control_of, operation_of};
use super::network::Time;
use super::options::Options;
use super::random::Random;
use super::workload::Request;
use super::world::{Event, World};

/// Longer than any story.
const EVER: Time = 1 << 40;

struct Story {
    world: World,
    attempt: u64,
    /// Lines of the trace that were shown.
    shown: usize,
    /// Disks as they were.
    copies: Vec<Copy>,
}

/// A disk as it was, and what was really on it.
struct Copy {
    of: usize,
    vfs: MemVfs,
    entries: Vec<Arc<Record>>,
    standing: Standing,
}

/// Machines and nothing else: no client, no fault, no operator.
pub fn calm_options(machines: usize) -> Options {
    let mut options = Options::of(&mut Random::new(0));
    options = Options { machines, clients: 0, delay: 100, sync: 100, segment_bytes: 64 << 10, ..options };
    options = Options { faults: 0, operator: 0, lies: 0, clocks: false, torn: false, ..options };
    options.request_timeout = 1_000_000;
    options
}

impl Story {
    /// `cluster N MODE [min=M] [segment=BYTES]`: members n0 to nN-1, n0 the first primary.
    fn new(words: &[&str], off: Option<Rule>) -> Self {
        let machines = words[0].parse().unwrap();
        let asked = Asked {
            replication: Some(words[1].parse().unwrap()),
            min_replicas: words.iter().find_map(|word| word.strip_prefix("min=")?.parse().ok()),
            sync_timeout_ms: Some(300),
            ack: Some(AckLevel::Durable),
        };
        let calm = calm_options(machines);
        let segment = words.iter().find_map(|word| word.strip_prefix("segment=")?.parse().ok());
        let options = Options { asked, segment_bytes: segment.unwrap_or(calm.segment_bytes), ..calm };
        let mut world = World::with(options, Random::new(7), off, true);
        for (place, machine) in world.machines.iter_mut().enumerate() {
            machine.id = NodeId([place as u8 + 1; 16]);
        }
        let mut story = Self { world, attempt: 0, shown: 0, copies: Vec::new() };
        story.run(1_500_000);
        story
    }

    fn run(&mut self, time: Time) {
        let until = self.world.now + time;
        self.world.at(until, Event::Tick { machine: 0, boot: 0 });
        while self.world.now < until && self.world.step() {}
    }

    fn tell(&mut self, words: &[&str]) {
        let world = &mut self.world;
        let at = |place: usize| words.get(place)?.strip_prefix('n')?.parse::<usize>().ok();
        match (words[0], at(1)) {
            ("put", Some(machine)) => {
                self.attempt += 1;
                let op = words[2].parse().unwrap();
                let request = Request { client: 0, op, attempt: self.attempt, deadline: world.now + 1_000_000 };
                world.after(0, Event::Request { machine, request });
                self.run(50_000);
            }
            ("run", _) => {
                let time: Time = words[1].trim_end_matches("ms").parse().unwrap();
                self.run(time * 1000);
            }
            ("cut", Some(one)) => {
                let other = at(2).unwrap();
                world.network.block(one, other, EVER);
                world.network.block(other, one, EVER);
            }
            // Nothing that the first one says is heard by the other.
            ("mute", Some(one)) => world.network.block(one, at(2).unwrap(), EVER),
            ("alone", Some(one)) => {
                for other in 0..world.machines.len() {
                    world.network.block(one, other, EVER);
                    world.network.block(other, one, EVER);
                }
            }
            ("heal", _) => world.network.heal(),
            // The disk takes writes and finishes no sync.
            ("stuck", Some(machine)) => world.machines[machine].sync = EVER,
            ("stucklog", Some(machine)) => world.machines[machine].stuck = true,
            // From now on a sync takes so long.
            ("slow", Some(machine)) => {
                let time: Time = words[2].trim_end_matches("ms").parse().unwrap();
                world.machines[machine].sync = time * 1000;
            }
            // Room for so many bytes, or for none.
            ("full", Some(machine)) => {
                let room = words.get(2).map_or(0, |bytes| bytes.parse().unwrap());
                world.machines[machine].vfs.set_room(Some(room));
            }
            // What is on its way to the disk stays there; what comes now is synced again.
            ("unstuck", Some(machine)) => world.machines[machine].sync = 100,
            ("room", Some(machine)) => world.machines[machine].vfs.set_room(None),
            ("kill", Some(machine)) => world.kill(machine, false),
            // Nothing that was not synced survives with this seed.
            ("power", Some(machine)) => {
                world.kill(machine, false);
                world.machines[machine].vfs.crash(words.get(2).map_or(1, |seed| seed.parse().unwrap()));
                (world.machines[machine].sync, world.machines[machine].stuck) = (100, false);
            }
            ("lose", Some(machine)) => lose_disk(world, machine),
            // A copy of its disk; and the disk is that copy again.
            ("copy", Some(of)) => {
                let Machine { vfs, truth, .. } = &world.machines[of];
                let (entries, standing) = (truth.entries.clone(), truth.standing.clone());
                self.copies.push(Copy { of, vfs: vfs.fork(), entries, standing });
            }
            ("back", Some(machine)) => {
                world.kill(machine, false);
                let copy = self.copies.iter().rfind(|copy| copy.of == machine).unwrap();
                let there = &mut world.machines[machine];
                there.vfs = copy.vfs.fork();
                there.truth.durable = copy.entries.len() as u64;
                (there.truth.entries, there.truth.standing) = (copy.entries.clone(), copy.standing.clone());
            }
            ("start", Some(machine)) => {
                if let Some(role) = words.get(2) {
                    world.machines[machine].role = role.parse().unwrap();
                }
                world.start(machine);
                self.run(1000);
            }
            ("promote", Some(machine)) => {
                world.promote(machine, words.get(2) == Some(&"force"));
                // Until that has come to its end, or for so long.
                let time: Option<Time> = words.last().and_then(|word| word.strip_suffix("ms")?.parse().ok());
                self.run(time.map_or(2_500_000, |time| time * 1000));
            }
            ("demote", Some(machine)) => world.input(machine, Input::Demote),
            ("set", Some(machine)) => {
                let mut asked = Asked::default();
                for word in &words[2..] {
                    match word.split_once('=').unwrap() {
                        ("mode", mode) => asked.replication = Some(mode.parse().unwrap()),
                        (_, number) => asked.min_replicas = Some(number.parse().unwrap()),
                    }
                }
                world.input(machine, Input::Change(asked));
            }
            ("remove", Some(victim)) => {
                let id = world.machines[victim].id;
                world.input(at(2).unwrap(), Input::RemoveMember { request: 9, id, force: false });
            }
            // The service of this one gives another result for this version; or is built anew, and gives the same.
            ("lie", Some(machine)) => world.lie(machine, words[2].trim_start_matches('v').parse().unwrap()),
            ("rebuild", Some(machine)) => world.rebuild(machine),
            ("compact", Some(machine)) => world.compact(machine),
            ("show", _) => {}
            _ => panic!("no such command: {words:?}"),
        }
    }

    /// What there was to see since the last command, and after `show` where every machine stands.
    fn output(&mut self, show: bool) -> String {
        let mut text = String::new();
        let trace = self.world.trace.as_deref().unwrap_or_default();
        for line in &trace[self.shown..] {
            let line = line[10..].trim();
            for seen in [
                "ANSWERS",
                "REFUSES",
                "Cut {",
                "SplitBrain)",
                "Opened",
                "Answer {",
                "Fenced",
                "Diverged {",
                "WentBack {",
                "TakeSnapshot {",
                "Install {",
                "begins with",
                "does not know",
            ] {
                if line.contains(seen) && !line.contains("<-") && !line.contains("Send") {
                    _ = writeln!(text, "{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
                    break;
                }
            }
        }
        self.shown = trace.len();
        if let Some(found) = &self.world.finding {
            _ = writeln!(text, "FOUND {}: {}", found.rule, found.text);
        }
        if show {
            for (place, machine) in self.world.machines.iter().enumerate() {
                _ = writeln!(text, "{}", where_it_stands(place, machine));
            }
        }
        names(text)
    }
}

/// The disk is gone, and with it who this node was: in its place comes a machine that nobody knows yet.
fn lose_disk(world: &mut World, machine: usize) {
    world.kill(machine, false);
    let place = world.machines.len();
    let mut blank = Machine::new(place, &world.options);
    blank.id = NodeId([place as u8 + 1; 16]);
    blank.addresses = (0..place).filter(|other| *other != machine).collect();
    let lost = &mut world.machines[machine];
    lost.retired = true;
    if world.off == Some(Rule::BlankIsNew) {
        blank.id = std::mem::replace(&mut lost.id, NodeId([99; 16]));
    }
    world.machines.push(blank);
}

/// Identities as names.
fn names(text: String) -> String {
    (0..5_u8).fold(text, |text, place| {
        let id = NodeId([place + 1; 16]).to_string();
        text.replace(&id, &format!("n{place}"))
    })
}

fn where_it_stands(place: usize, machine: &Machine) -> String {
    let mut text = match &machine.process {
        None => format!("n{place} down:"),
        Some(process) => {
            let (role, state, epoch) = (process.core.role(), process.core.state(), process.core.epoch());
            format!("n{place} {role} {state} {epoch}, committed {}:", process.core.committed())
        }
    };
    let mut last = None;
    for record in &machine.truth.entries {
        if last != Some(record.epoch) {
            _ = write!(text, " [{}]", record.epoch);
            last = Some(record.epoch);
        }
        match (operation_of(record), control_of(record)) {
            (Some(op), _) => _ = write!(text, " op{op}"),
            (None, Some(control)) if record.operation.method.as_ref() == "rig_config" => {
                let config = control.config;
                _ = write!(text, " {}/{}/{}", config.replication, config.min_replicas, config.members.len());
            }
            _ => text.push_str(" epoch"),
        }
    }
    text
}

/// Tells a story; gives the text as it came out, and what was found.
fn told(text: &str, off: Option<Rule>) -> (String, bool) {
    let (mut out, mut story) = (String::new(), None::<Story>);
    for part in text.split("\n\n") {
        let commands: Vec<&str> = part.lines().take_while(|line| *line != "----").collect();
        let is_prose = commands.iter().all(|line| line.starts_with('#') || line.starts_with("rule:"));
        out.push_str(&commands.join("\n"));
        out.push('\n');
        if !is_prose {
            let mut show = false;
            for line in commands.iter().filter(|line| !line.starts_with('#')) {
                let words: Vec<&str> = line.split_whitespace().collect();
                show |= words[0] == "show";
                match (&mut story, words[0]) {
                    (story, "cluster") => *story = Some(Story::new(&words[1..], off)),
                    (Some(story), _) => story.tell(&words),
                    (None, _) => panic!("a story begins with `cluster`"),
                }
            }
            _ = write!(out, "----\n{}", story.as_mut().map_or(String::new(), |story| story.output(show)));
        }
        out.push('\n');
    }
    let found = story.is_some_and(|story| story.world.finding.is_some());
    (format!("{}\n", out.trim_end()), found)
}

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_story_ends_as_it_is_written() {
    for path in stories() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (out, found) = told(&text, None);
        assert!(!found, "{}:\n{out}", path.display());
        if std::env::var("RIG_STORIES").is_ok_and(|value| value == "rewrite") {
            std::fs::write(&path, out).unwrap();
        } else {
            assert_eq!(out, text, "{}: another end; RIG_STORIES=rewrite writes it anew", path.display());
        }
    }
}

#[cfg(feature = "canary")]
#[test]
fn no_story_ends_as_it_is_written_without_its_rule() {
    super::seeds::quiet_panics();
    let mut missing = Vec::new();
    for path in stories() {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("rule: ")) {
            let rule =
                Rule::ALL.iter().copied().find(|rule| format!("{rule:?}") == line).expect("a rule of the protocol");
            let differs = std::panic::catch_unwind(|| told(&text, Some(rule)).0 != text).unwrap_or(true);
            if std::env::var("RIG_STORIES").is_ok_and(|name| path.display().to_string().contains(&name)) {
                println!("{}", told(&text, Some(rule)).0);
            }
            if !differs {
                missing.push(format!("{}: nobody misses {line}", path.display()));
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
