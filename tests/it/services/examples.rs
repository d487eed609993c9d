//! `rig service check`: the examples of `tests/examples` keep every rule, and who breaks one is told which.

use crate::support::{Home, has, root, skipped};

/// `cargo test -- --nocapture` with RIG_SERVICE_CYCLES=50 kills each service and each node fifty times.
fn kills() -> String {
    let cycles = std::env::var("RIG_SERVICE_CYCLES").ok().and_then(|text| text.parse::<u32>().ok());
    cycles.map_or(4, |cycles| cycles * 2).to_string()
}

fn keeps_every_rule(target: &str, more: &[&str], left_out: &[&str]) {
    let home = Home::new();
    let kills = kills();
    let line = [&["service", "check", target, "--kills", &kills, "--json"], more].concat();
    let mut command = home.rig(&line);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    println!("{said}");
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let skipped = lines.iter().filter(|line| line["result"] == "skip").map(|line| line["rule"].as_str().unwrap());
    assert_eq!(skipped.collect::<Vec<_>>(), left_out);
}

fn example(name: &str) -> String {
    root().join("tests/examples").join(name).display().to_string()
}

#[test]
fn the_python_example_keeps_every_rule() {
    if has("python3", "the_python_example_keeps_every_rule") {
        let start = format!("exec python3 {} --port {{port}} --dir {{dir}}", example("users.py"));
        keeps_every_rule("http://127.0.0.1:{port}", &["--start", &start], &["E1"]);
    }
}

#[test]
fn the_node_example_keeps_every_rule() {
    if has("node", "the_node_example_keeps_every_rule") {
        keeps_every_rule(&format!("exec:exec node {}", example("users.mjs")), &[], &[]);
    }
}

#[test]
fn the_rust_example_keeps_every_rule() {
    // `cargo test` builds the examples beside the tests.
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/users");
    if !program.exists() {
        skipped("the_rust_example_keeps_every_rule", "the example users: cargo build --examples");
        return;
    }
    let target = format!("exec:exec {} --stdio", program.display());
    keeps_every_rule(&target, &["--ops", &example("users.json")], &[]);
}

#[test]
fn a_service_that_breaks_a_rule_is_told_which_and_by_what_call() {
    if !has("python3", "a_service_that_breaks_a_rule_is_told_which_and_by_what_call") {
        return;
    }
    let home = Home::new();
    let lines: String = (1..12).map(|n| format!("{{\"method\":\"count_add\",\"data\":{{\"n\":{n}}}}}\n")).collect();
    home.file("ops.ndjson", lines);
    for (mode, broken) in [
        ("good", None),
        ("skips", Some("A1")),
        ("again", Some("A3")),
        ("leaps", Some("A4")),
        ("differs", Some("A6")),
        ("eager", Some("V1")),
    ] {
        let rules = broken.map_or(vec!["A1", "A3", "A4", "A6", "V1", "S1", "R1", "R2", "E1"], |rule| vec![rule]);
        let rules: Vec<&str> = rules.into_iter().flat_map(|rule| ["--rule", rule]).collect();
        let target = super::exec(mode);
        let ran = home.run(&[&["service", "check", &target, "--ops", "ops.ndjson", "--json"], &rules[..]].concat());
        let lines = ran.lines();
        let failed: Vec<_> = lines.iter().filter(|line| line["result"] == "fail" && line["type"] == "rule").collect();
        match broken {
            None => assert_eq!((ran.code, failed.len()), (Some(0), 0), "{mode}: {ran:#?}"),
            Some(rule) => {
                assert_eq!(ran.code, Some(9), "{mode}: {ran:#?}");
                assert_eq!(failed[0]["rule"], rule, "{mode}: {ran:#?}");
                let request = failed[0]["request"].as_str().unwrap();
                assert!(request.starts_with("echo '{\"id\":1,\"call\":\""), "{mode}: {request}");
            }
        }
    }
    let none = home.run(&["service", "check", &super::exec("good"), "--json"]);
    assert_eq!(
        (none.code, &none.error()["code"]),
        (Some(2), &serde_json::json!("bad_argument")),
        "it offers no examples"
    );
}

#[test]
fn a_check_that_is_killed_leaves_no_service_behind() {
    let home = Home::new();
    let target = ["service", "check", "http://127.0.0.1:{port}", "--start", "echo $$ > {dir}/../pid; exec sleep 600"];
    let mut command = home.rig(&target);
    command.env("TMPDIR", home.path("")).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut check = command.spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let wait = |what: &str| {
        assert!(std::time::Instant::now() < until, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let pid = loop {
        let folders = std::fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().path().join("pid"));
        let found = folders.filter_map(|file| std::fs::read_to_string(file).ok()).find(|text| text.ends_with('\n'));
        match found {
            Some(pid) => break pid,
            None => wait("the service is started"),
        }
    };
    check.kill().unwrap();
    check.wait().unwrap();
    let process = format!("/proc/{}/cmdline", pid.trim());
    while std::fs::read(&process).is_ok_and(|line| !line.is_empty()) {
        wait("the service has ended");
    }
}
