//! `rig demo`: the whole story, and what it leaves behind.

use crate::support::{Home, run};

fn demo(home: &Home, arguments: &[&str]) -> crate::support::Ran {
    std::fs::create_dir_all(home.path("tmp")).unwrap();
    let mut command = home.rig(&[&["demo"], arguments].concat());
    command.env("TMPDIR", home.path("tmp"));
    run(command, b"")
}

fn left_behind(home: &Home) -> Vec<String> {
    let files = std::fs::read_dir(home.path("tmp")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The processes that the story has killed or stopped, by the lines that say so.
fn processes(story: &str) -> Vec<u32> {
    let lines = story.lines().filter_map(|line| line.strip_prefix("$ kill "));
    lines.flat_map(|rest| rest.trim_start_matches("-9 ").split(' ')).map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn the_story_is_told_every_check_holds_and_the_node_is_kept() {
    let home = Home::new();
    let ran = demo(&home, &["--keep"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    let kept = lines.last().unwrap().strip_prefix("kept: ").unwrap();
    for node in ["n1", "n2"].map(|name| format!("{kept}/{name}")) {
        let summary = home.ok(&["log", "verify", "-D", &node, "--json"]).lines().pop().unwrap();
        assert_eq!((&summary["result"], &summary["errors"]), (&"pass".into(), &0.into()));
    }

    let checks: Vec<_> = lines.iter().filter(|line| line.starts_with("check: ")).collect();
    assert!(checks.len() >= 30 && checks.iter().all(|line| line.ends_with("  ok")), "{checks:#?}");
    for shown in [
        "$ rig init n1",
        "$ rig serve -D n1 --role primary --listen 127.0.0.1:0 2>>serve.log &",
        "$ rig apply -D n1 user_create payload.json",
        "$ rig status -D n1 --check",
        "$ rig config set -D n1 replication=sync",
        "$ rig promote n2",
        "$ rig log dump -D n2 --json >log.ndjson",
        "$ rig log verify -D n1 --against n2",
        "$ rig log verify -D copy",
    ] {
        assert!(lines.contains(&shown), "{shown}");
    }
    // What the demo itself says fits a terminal; what the commands say is theirs.
    let own = |line: &&&str| !line.starts_with(' ') && !line.starts_with("$ ") && !line.starts_with("kept: ");
    let wide: Vec<_> = lines.iter().filter(own).filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert!(!ran.stdout.contains('\u{1b}'), "no colours into a pipe");

    let processes = processes(&ran.stdout);
    assert_eq!(processes.len(), 6);
    for pid in processes {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left behind");
    }
    assert!(!home.path(".local").exists(), "nothing in the user's home");
}

#[test]
fn without_keep_nothing_is_left_and_programs_read_every_step() {
    let home = Home::new();
    let ran = demo(&home, &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let lines = ran.lines();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    assert!(of("step").len() >= 10 && of("ran").len() >= 15);
    assert!(of("check").iter().all(|line| line["ok"] == true));
    let summary = lines.last().unwrap();
    assert_eq!((&summary["type"], &summary["ok"]), (&"summary".into(), &true.into()));
    assert_eq!((&summary["failed"], &summary["kept"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(left_behind(&home), [""; 0]);
}

#[test]
fn a_check_that_does_not_hold_is_said_and_nothing_is_left() {
    let home = Home::new();
    // A `dd` that changes nothing: the damage is never done, so verify cannot find it.
    std::fs::create_dir_all(home.path("bin")).unwrap();
    let dd = home.file("bin/dd", "#!/bin/sh\nexit 0\n");
    std::fs::set_permissions(&dd, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(home.path("tmp")).unwrap();
    let mut command = home.rig(&["demo"]);
    let path = format!("{}:{}", home.path("bin").display(), std::env::var("PATH").unwrap());
    command.env("TMPDIR", home.path("tmp")).env("PATH", path);
    let ran = run(command, b"");
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.stdout.contains("check: verify finds it (exit 9)  FAILED"));
    assert!(ran.stderr.contains("code: failure/check_failed"), "{}", ran.stderr);
    assert_eq!(left_behind(&home), [""; 0]);

    let mut command = home.rig(&["demo"]);
    command.env("TMPDIR", home.path("none"));
    assert_eq!(run(command, b"").code, Some(1));
}
