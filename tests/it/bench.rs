//! `rig bench`: that it measures what it says, and leaves nothing behind.

use serde_json::Value;

use crate::support::{Home, Node, Ran, run};

fn bench(home: &Home, arguments: &[&str]) -> Ran {
    std::fs::create_dir_all(home.path("tmp")).unwrap();
    let mut command = home.rig(&[&["bench"], arguments].concat());
    command.env("TMPDIR", home.path("tmp"));
    run(command, b"")
}

fn assert_nothing_left(home: &Home) {
    let left: Vec<_> = std::fs::read_dir(home.path("tmp")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_throw_away_node_is_measured_and_removed() {
    let home = Home::new();
    let dir = home.path("tmp").display().to_string();
    let ran =
        bench(&home, &["--clients", "1,8", "--ops", "200", "--warm-up", "50ms", "--disk", "--dir", &dir, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let measured = ran.lines();
    assert_eq!(measured.iter().map(|line| line["clients"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 8]);
    for line in &measured {
        assert_eq!(
            (&line["type"], &line["ops"], &line["refused"]),
            (&"bench".into(), &200.into(), &Value::from(serde_json::Map::new()))
        );
        let at = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(at("ops_per_s") > 0.0);
        assert!(at("p50_us") <= at("p99_us") && at("p99_us") <= at("p999_us") && at("p999_us") <= at("max_us"));
        assert!(at("log_bytes_per_op") > 256.0, "{line}");
        assert!(line["disk"]["syncs_per_s"].as_f64().unwrap() > 0.0);
    }
    // One client waits for each of its syncs; eight share them.
    assert_eq!((&measured[0]["syncs_per_op"], &measured[0]["ops_per_batch"]), (&1.0.into(), &1.0.into()));
    assert!(measured[1]["syncs_per_op"].as_f64().unwrap() <= 1.0);
    assert_nothing_left(&home);
    assert!(!home.path(".local").exists(), "nothing in the user's home");
}

#[test]
fn batches_pipelines_reads_and_rates_are_measured() {
    let home = Home::new();
    let dir = home.path("tmp").display().to_string();
    let measure = |arguments: &[&str]| {
        let common = ["--warm-up", "0s", "--json", "--dir", &dir, "--clients", "4"];
        let ran = bench(&home, &[arguments, &common].concat());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        ran.json()
    };
    let batches = measure(&["--ops", "2000", "--batch", "50", "--pipeline", "2"]);
    assert_eq!(batches["ops"], 2000);
    assert!(batches["syncs_per_op"].as_f64().unwrap() <= 0.02, "{batches}");
    let mixed = measure(&["--ops", "1000", "--reads", "50"]);
    let (reads, writes) = (mixed["reads"]["ops"].as_u64().unwrap(), mixed["writes"]["ops"].as_u64().unwrap());
    assert_eq!(reads + writes, 1000);
    assert!((400..600).contains(&reads), "{mixed}");
    let paced = measure(&["--rate", "200", "--duration", "500ms", "--unique"]);
    assert_eq!(paced["ops"], 100);
    assert!(paced["ops_per_s"].as_f64().unwrap() <= 210.0, "{paced}");
    assert_nothing_left(&home);
}

#[test]
fn people_get_a_table() {
    let home = Home::new();
    let dir = home.path("tmp").display().to_string();
    let ran = bench(&home, &["--ops", "50", "--clients", "2", "--warm-up", "0s", "--dir", &dir]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let header = ran.stdout.lines().find(|line| line.starts_with("CLIENTS")).unwrap();
    for column in ["OPS/S", "P50 us", "P99 us", "P99.9 us", "OPS/BATCH", "SYNCS/OP"] {
        assert!(header.contains(column), "{header}");
    }
}

#[test]
fn a_node_that_runs_is_measured_only_with_a_word() {
    let home = Home::new();
    let node = Node::new(&home);
    let line = ["-N", node.url(), "--ops", "20", "--warm-up", "0s", "--json", "--clients", "2"];
    let refused = bench(&home, &line);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(2), &"not_confirmed".into()));
    let ran = bench(&home, &[&line[..], &["--yes"]].concat());
    assert_eq!((ran.code, &ran.json()["ops"]), (Some(0), &20.into()), "{ran:#?}");
    let records = home.ok(&["log", "dump", "--method", "bench_create", "--json"]).lines();
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record["data"].to_string().len() == 256 && record["key"].is_string()));
}
