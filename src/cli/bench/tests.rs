//! Arguments, and what is said at the end.

use clap::Parser;

use super::*;
use crate::cli::context::tests::context_in;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Result<Args, String> {
    Line::try_parse_from([&["bench"], line].concat()).map(|line| line.args).map_err(|error| error.to_string())
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_starts() {
    for line in [
        &["--clients", "0"][..],
        &["--clients", "1,100000"],
        &["--size", "10"],
        &["--rate", "0"],
        &["--rate", "nan"],
        &["--reads", "101"],
        &["--reads", "5", "--batch", "2"],
        &["--ops", "0"],
        &["--ops", "5", "--duration", "1s"],
        &["--pipeline", "0"],
        &["--nodes", "0"],
        &["--nodes", "3"],
    ] {
        assert!(args(line).is_err(), "{line:?}");
    }
    assert_eq!(args(&["--clients", "1,64"]).unwrap().clients, [1, 64]);
    let home = tempfile::tempdir().unwrap();
    let large = args(&["--size", "1048576", "--batch", "100"]).unwrap();
    assert_eq!(run(large, &context_in(home.path())).unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_node_that_runs_is_not_filled_without_a_word() {
    let home = tempfile::tempdir().unwrap();
    let context = Context { node: Some("http://127.0.0.1:1".to_owned()), ..context_in(home.path()) };
    let failure = run(args(&[]).unwrap(), &context).unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::Usage, "not_confirmed"));
    let failure = run(args(&["--yes"]).unwrap(), &context).unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    let failure = run(args(&["--yes", "--disk"]).unwrap(), &context).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
}

#[test]
fn the_rounds_of_a_count_add_up() {
    for ops in [1, 4, 5, 1003] {
        assert_eq!((0..ROUNDS).map(|round| share(ops, ROUNDS, round)).sum::<u64>(), ops);
    }
}

#[test]
fn the_address_is_taken_from_the_line_that_says_ready() {
    let line = r#"{"type":"ready","name":"n1","role":"primary","epoch":1,"version":1,"http":"http://127.0.0.1:7441"}"#;
    assert_eq!(subject::http_of(line).unwrap().to_string(), "http://127.0.0.1:7441");
    assert_eq!(subject::http_of("ready"), None);
}

#[test]
fn the_object_says_what_was_measured_on_each_node() {
    let mut tally = Tally::new(Some(Duration::from_secs(2)));
    let begin = std::time::Instant::now();
    tally.timeline.resume(begin);
    tally.written = 1000;
    for micros in 1..=1000 {
        load::record(&mut tally.write_latency, Duration::from_micros(micros));
        tally.timeline.record(begin + Duration::from_millis(2 * micros - 1), 1, micros * 1000);
    }
    tally.timeline.pause(begin + Duration::from_secs(2));
    let counted = |batches: u32| {
        Meters::parse(&format!(
            "rig_log_syncs_total {batches}\nrig_log_batches_total {batches}\nrig_log_records_total 1000\n\
             rig_log_bytes_total 400000\nrig_batch_ops_bucket{{le=\"4\"}} {batches}\n"
        ))
    };
    let pair = Subject::of_names(["n1", "n2"]);
    let args = args(&["--clients", "4"]).unwrap();
    let report = Report::new(&args, 4, &pair, &tally, &[counted(250), counted(125)], None);
    let object = serde_json::to_value(report.object()).unwrap();
    for (name, value) in [
        ("type", serde_json::json!("bench")),
        ("clients", 4.into()),
        ("ops", 1000.into()),
        ("ops_per_s", 500.0.into()),
        ("p50_us", 500.into()),
        ("p90_us", 900.into()),
        ("p99_us", 990.into()),
        ("max_us", 1000.into()),
        ("ops_per_batch", 4.0.into()),
        ("syncs_per_op", 0.25.into()),
        ("log_bytes_per_op", 400.0.into()),
        ("batch_sizes", serde_json::json!([{ "from": 1, "upto": 4, "batches": 250 }])),
        ("writes", serde_json::Value::Null),
    ] {
        assert_eq!(object[name], value, "{name}");
    }
    assert_eq!(object["nodes"][0]["syncs_per_op"], 0.25);
    let replica = serde_json::json!({
        "name": "n2", "role": "replica", "ops_per_batch": 8.0, "syncs_per_op": 0.125, "log_bytes_per_op": 400.0,
        "batch_sizes": [{ "from": 1, "upto": 4, "batches": 125 }],
    });
    assert_eq!(object["nodes"][1], replica);
    let slices = object["over_time"].as_array().unwrap();
    assert_eq!(slices.len(), 40);
    let slice = serde_json::json!({ "at_s": 0.05, "ops_per_s": 500.0, "p50_us": 38, "p99_us": 50, "max_us": 50 });
    assert_eq!(slices[1], slice);
}
