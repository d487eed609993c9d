//! The examples of `tests/examples`, each held against every rule of the protocol by `rig service check`.

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
