//! `rig bench`: that it measures what it says, and leaves nothing behind; and that the micro-benchmarks still run.

use std::process::Command;

use serde_json::Value;

use crate::support::{Cluster, Home, Node, Ran, example, run};

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
fn a_throw_away_pair_is_measured_and_removed() {
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
        assert_pair(line);
        assert_over_time(line);
    }
    // One client waits for each of its syncs; eight share them.
    assert_eq!((&measured[0]["syncs_per_op"], &measured[0]["ops_per_batch"]), (&1.0.into(), &1.0.into()));
    assert_eq!(measured[0]["batch_sizes"], serde_json::json!([{ "from": 1, "upto": 1, "batches": 200 }]));
    assert!(measured[1]["syncs_per_op"].as_f64().unwrap() <= 1.0);
    assert_nothing_left(&home);
    assert!(!home.path(".local").exists(), "nothing in the user's home");
}

/// Both nodes wrote every operation, the same bytes of it.
fn assert_pair(line: &Value) {
    let nodes = line["nodes"].as_array().unwrap();
    let roles: Vec<_> =
        nodes.iter().map(|node| (node["name"].as_str().unwrap(), node["role"].as_str().unwrap())).collect();
    assert_eq!(roles, [("n1", "primary"), ("n2", "replica")]);
    for node in nodes {
        assert_eq!(node["log_bytes_per_op"], line["log_bytes_per_op"], "{line}");
        let syncs = node["syncs_per_op"].as_f64().unwrap() * 200.0;
        assert!((1.0..=201.0).contains(&syncs), "{line}");
        let sizes = node["batch_sizes"].as_array().unwrap();
        let batches: u64 = sizes.iter().map(|size| size["batches"].as_u64().unwrap()).sum();
        assert_eq!(batches as f64, syncs.round(), "{line}");
        for size in sizes {
            assert!(size["from"].as_u64() <= size["upto"].as_u64(), "{line}");
        }
    }
    for name in ["ops_per_batch", "syncs_per_op", "batch_sizes"] {
        assert_eq!(nodes[0][name], line[name], "{name}");
    }
}

/// The slices follow one another, and hold every operation.
fn assert_over_time(line: &Value) {
    let slices = line["over_time"].as_array().unwrap();
    let at = |slice: &Value, name: &str| slice[name].as_f64().unwrap();
    let ends = slices.iter().skip(1).map(|slice| at(slice, "at_s")).chain([at(line, "duration_s")]);
    let ops: f64 = slices.iter().zip(ends).map(|(slice, end)| at(slice, "ops_per_s") * (end - at(slice, "at_s"))).sum();
    let expected = at(line, "ops");
    assert!((expected * 0.9..expected * 1.1).contains(&ops), "{ops} of {expected}: {line}");
    let highest = slices.iter().filter_map(|slice| slice["max_us"].as_u64()).max().unwrap();
    let max = line["max_us"].as_u64().unwrap();
    assert!(highest.abs_diff(max) <= max / 50 + 1, "{line}");
}

#[test]
fn a_node_alone_and_a_rate_are_measured_over_time() {
    let home = Home::new();
    let dir = home.path("tmp").display().to_string();
    let common = ["--nodes", "1", "--clients", "2", "--warm-up", "0s", "--dir", &dir, "--json"];
    let ran = bench(&home, &[&common[..], &["--rate", "400", "--duration", "1s"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let measured = ran.json();
    assert_eq!(measured["nodes"].as_array().unwrap().len(), 1);
    // Of the second that was asked for forty; more when the node was late.
    let slices = measured["over_time"].as_array().unwrap().len();
    assert!((40..=80).contains(&slices), "{measured}");
    assert_over_time(&measured);
    assert_nothing_left(&home);
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
fn people_get_tables_and_charts() {
    let home = Home::new();
    let dir = home.path("tmp").display().to_string();
    let line = ["--ops", "50", "--clients", "2", "--warm-up", "0s", "--dir", &dir];
    let ran = bench(&home, &[&line[..], &["--chart"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let row = |begin: &str| ran.stdout.lines().find(|line| line.starts_with(begin)).unwrap();
    for column in ["OPS/S", "P50 us", "P99 us", "P99.9 us", "MAX us"] {
        assert!(row("CLIENTS  OPS").contains(column), "{ran:#?}");
    }
    for column in ["OPS/BATCH", "SYNCS/OP", "BYTES/OP"] {
        assert!(row("CLIENTS  NODE").contains(column), "{ran:#?}");
    }
    for node in ["n1    primary", "n2    replica", "operations that one sync covered", "latency over time"] {
        assert!(ran.stdout.contains(node), "{node}: {ran:#?}");
    }
    assert!(ran.stdout.lines().any(|line| line.contains("us |") && line.ends_with('#')), "{ran:#?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{ran:#?}");
    let brief = bench(&home, &[&line[..], &["--nodes", "1", "-q"]].concat());
    assert!(brief.stdout.contains("OPS/S") && !brief.stdout.contains("OPS/BATCH"), "{brief:#?}");
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
    let also = bench(&home, &[&line[..], &["--yes", "--nodes", "1"]].concat());
    assert_eq!(also.code, Some(2), "{also:#?}");
}

#[test]
fn the_replica_of_a_node_that_runs_is_measured_with_it() {
    let pair = Cluster::new(2, &["--replication", "sync"]);
    let url = pair.url(1);
    let ran = bench(&pair.home, &["-N", &url, "--yes", "--ops", "40", "--warm-up", "0s", "--json", "--clients", "2"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let measured = ran.json();
    let nodes: Vec<_> = measured["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(nodes, ["n1", "n2"]);
    assert_eq!(measured["nodes"][1]["log_bytes_per_op"], measured["log_bytes_per_op"], "{measured}");
}

#[test]
fn every_micro_benchmark_runs() {
    let Some(program) = example("bench_micro", "every_micro_benchmark_runs") else { return };
    let home = Home::new();
    let dir = home.path("tmp");
    std::fs::create_dir(&dir).unwrap();
    let quick = |names: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--quick").arg("--dir").arg(&dir).args(names);
        run(command, b"")
    };
    let ran = quick(&[]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let names: Vec<_> = ran.stdout.lines().map(|line| line.split(" ns").next().unwrap().trim()).collect();
    let expected = ["validate", "encode", "append", "sync", "bare file", "apply", "frame", "verify"];
    assert_eq!(names.len(), expected.len(), "{ran:#?}");
    for (line, name) in names.iter().zip(expected) {
        let figure = line.strip_prefix(name).and_then(|rest| rest.trim().parse::<f64>().ok());
        assert!(figure.is_some_and(|nanos| nanos > 0.0), "{name}: {line}");
    }
    assert_eq!(quick(&["frame"]).stdout.lines().count(), 1);
    assert_eq!(quick(&["flame"]).code, Some(1));
    assert_nothing_left(&home);
}
