//! The README is run: every line of its shell blocks, in its order, in the home of a user who has never used Rig.
//!
//! A line ends with 0, or with what the comment behind it says (`# exit 6`). `rig serve` goes to the background, as
//! the text asks for; it gets a free port, so that the test does not depend on 7440, and the lines that name that
//! port are changed alike. The three machines are three addresses of loopback; the test takes three of its own, so that
//! their ports may be those of the text.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Home, has, root, run};

/// The two lines that build things; CI runs them as they stand.
const MAIN_JOB: &str = "cargo run --release --locked -- demo";
const TESTS: &str = "cargo test --locked";

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The lines of every block that is fenced as `sh`.
fn command_lines(text: &str) -> Vec<String> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(!inside, "a block has no end");
    lines
}

/// What the line ends with, as the comment behind it says.
fn expected(line: &str) -> i32 {
    line.rsplit_once("# exit ").map_or(0, |(_, code)| code.trim().parse().unwrap())
}

/// The section whose commands need an etcd.
const MACHINES: &str = "## Three machines: fail-over by itself";
const MACHINE: &str = "127.0.1.";

struct Shell<'a> {
    home: &'a Home,
    path: String,
    served: Vec<Child>,
    address: Option<String>,
    /// What the addresses of the three machines begin with.
    machine: String,
}

impl<'a> Shell<'a> {
    fn new(home: &'a Home) -> Self {
        let ours = Path::new(env!("CARGO_BIN_EXE_rig")).parent().unwrap().display().to_string();
        let path = format!("{ours}:{}", std::env::var("PATH").unwrap());
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let machine = format!("127.{}.{low}.", (high | 1) ^ 0x40);
        Self { home, path, served: Vec::new(), address: None, machine }
    }

    fn command(&self, line: &str) -> Command {
        // The home is that of the other tests: no variable of this user is seen.
        let rig = self.home.rig(&[]);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).current_dir(self.home.path("")).env_clear();
        command.envs(rig.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", &self.path);
        command
    }

    fn serve(&mut self, line: &str) {
        let mut command = self.command(&format!("exec {line} --listen 127.0.0.1:0"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.served.push(child);
        for line in lines.map(Result::unwrap) {
            if let Some(url) = line.trim().strip_prefix("http  http://") {
                self.address = Some(url.to_owned());
            }
            if line == "ready" {
                return;
            }
        }
        panic!("`{line}` is not ready");
    }

    /// A line that starts several servers and waits for them, in a group of its own.
    fn background(&mut self, line: &str) {
        let mut command = self.command(line);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.served.push(command.spawn().unwrap());
    }

    fn run(&mut self, line: &str) {
        if line.starts_with("rig serve") {
            return self.serve(line);
        }
        let here = self.address.as_deref().unwrap_or("127.0.0.1:7440");
        let typed = line.replace("127.0.0.1:7440", here).replace(MACHINE, &self.machine);
        if line.ends_with("; wait") {
            return self.background(&typed);
        }
        let ran = run(self.command(&typed), b"");
        assert_eq!(ran.code, Some(expected(line)), "`{line}`: {ran:#?}");
        if line.starts_with("curl") {
            assert!(ran.stdout.contains("\"data\""), "`{line}`: {ran:#?}");
        }
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        // Started in the background by a line of the README; stopped by a later one, unless the test failed.
        for name in ["n2", "m1", "m2", "shop"] {
            let _ = self.home.rig(&["node", "stop", name, "--now", "-q"]).output();
        }
        for child in &mut self.served {
            // One of a group is followed by the others; of another one there is no such group.
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn every_command_line_of_the_readme_works_in_its_order() {
    if !has("curl", "every_command_line_of_the_readme_works_in_its_order") {
        return;
    }
    if !has("node", "every_command_line_of_the_readme_works_in_its_order") {
        return;
    }
    let home = Home::new();
    std::os::unix::fs::symlink(root().join("tests"), home.path("tests")).unwrap();
    let mut shell = Shell::new(&home);
    let text = readme();
    let machines = command_lines(text.split_once(MACHINES).unwrap().1.split_once("\n## ").unwrap().0);
    assert!(machines.len() > 15 && machines.iter().all(|line| !line.contains("127.0.0.1")), "{machines:#?}");
    let has_etcd = has("etcd", &format!("{} commands of the README, from `{}`", machines.len(), machines[0]));
    let lines = command_lines(&text);
    let is_ours = |line: &&String| !line.starts_with("cargo ") && (has_etcd || !machines.contains(line));
    let ours: Vec<_> = lines.iter().filter(is_ours).collect();
    assert!(ours.len() > 20, "{ours:#?}");
    for line in ours {
        shell.run(line);
    }
    // What the four lines that matter most were to bring about.
    assert_eq!(home.ok(&["get", "user", "alice", "--json"]).json()["name"], "Alice Liddell");
    assert_eq!(home.ok(&["get", "user", "bob", "--json"]).json()["email"], "bob@example.com");
}

#[test]
fn two_commands_do_everything_and_ci_runs_the_tests_which_play_the_story_too() {
    let cargo: Vec<_> = command_lines(&readme()).into_iter().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(cargo, [MAIN_JOB, TESTS]);
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.lines().any(|line| line.trim() == TESTS), ".ci/run does not run `{TESTS}`");
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let home = Home::new();
    let help = home.ok(&["help", "exit-codes"]).stdout;
    let text = readme();
    let mut rows = 0;
    for line in help.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [code, name, meaning @ ..] = &words[..] else { continue };
        let Ok(code) = code.parse::<u8>() else { continue };
        let row = format!("| {code} | {name} | {} |", meaning.join(" "));
        assert!(text.contains(&row), "the README has no row `{row}`");
        rows += 1;
    }
    assert_eq!(rows, 13);
}

#[test]
fn the_limits_of_the_readme_are_those_of_the_code() {
    use rig::limits::*;
    let text = readme();
    assert_eq!((DATA_BYTES_MAX, BODY_BYTES_MAX), ((8 << 20) - (4 << 10), 32 << 20));
    assert!(text.contains("| data of an operation | 8 MiB less 4 KiB |"));
    assert!(text.contains("| body of a request | 32 MiB |"));
    assert_eq!((KEYS_MAX, KEY_WINDOW.as_secs(), KEY_BYTES_MAX), (1_000_000, 24 * 3600, 128));
    assert!(text.contains("the newest 1,000,000, for 24 hours; 128 bytes each"));
    assert_eq!((IN_FLIGHT_OPS_MAX, IN_FLIGHT_BYTES_MAX, CONNECTIONS_MAX), (10_000, 64 << 20, 1024));
    assert_eq!((IN_FLIGHT_OPS_RESERVE, IN_FLIGHT_BYTES_RESERVE, CLIENT_CONNECTIONS_MAX), (2_500, 16 << 20, 768));
    let in_flight = "10,000 or 64 MiB of one client, 12,500 or 80 MiB of all; over it 503";
    assert!(text.contains(&format!("| operations in flight | {in_flight} |")));
    assert!(text.contains("| connections | 768 of one client (an address), 1,024 of all; over it 503, but for"));
    assert_eq!((PROXIED_BYTES_MAX, PROXY_THREADS, PROXY_WAITING_MAX), (64 << 20, 8, 256));
    assert!(text.contains("64 MiB; 8 at a time, 256 wait; over it 503"));
}

#[test]
fn files_that_the_readme_names_are_there() {
    for name in ["LICENSE", "man/rig-log.5", "src/limits.rs", "tests/examples/users.rs"] {
        assert!(readme().contains(name) && root().join(name).is_file(), "{name}");
    }
}
