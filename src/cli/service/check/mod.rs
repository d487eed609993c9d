//! `rig service check`: does a service keep the rules of `rig-service-protocol(7)`?
//!
//! ```text
//!   stand      starts instances of the service, ends them, and makes them empty
//!   recorder   remembers the last call, to show it
//!   rules      what is checked on one or two instances
//!   cluster    what is checked below nodes that are killed
//! ```
//!
//! # Invariants
//! 1. Every rule begins with instances that are empty, so that one broken rule does not hide another.
//! 2. A rule that cannot be checked is named, and said why: it is not passed.

mod cluster;
mod recorder;
mod rules;
mod stand;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::cli::output::Look;
use crate::cli::{Context, Failure, Outcome, help, values};
use crate::error::Exit;
use crate::types::{Operation, json};
use rules::{Bench, RULES, Rule, Verdict};
use stand::Stand;

/// Check that a service keeps the rules of rig-service-protocol(7)
///
/// TARGET is what `rig serve --service` takes: http://HOST:PORT[/BASE] or exec:COMMAND. Instances are started and
/// ended as the rules want it: an exec: service by its command, an HTTP service by --start. In both `{dir}` stands for
/// the instance's own directory, and `{port}` for its port.
///
/// An HTTP service without --start is one that runs already. What it holds is saved first and put back at the end;
/// rules that need two instances use one after the other, and rules that need to kill it are left out, by name.
///
/// The operations are those that the service offers as examples in `info`, or the lines {"method","data"} of --ops:
/// good and bad ones, mixed as in real life.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig service check 'exec:node users.mjs'",
        "rig service check 'http://127.0.0.1:{port}' --start 'python3 users.py --port {port} --dir {dir}'",
        "rig service check http://127.0.0.1:9000 --ops operations.ndjson",
    ]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Conflict, Exit::Corrupt])
)]
pub(crate) struct Args {
    /// The service
    #[arg(value_name = "TARGET")]
    target: String,
    /// What starts an instance of an HTTP service
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// File with operations: one {"method","data"} in a line, or a JSON array of them
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    ops: Option<PathBuf>,
    /// Only this rule; may be given again
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// How often a service or a node is killed below two nodes, in turn
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Go on although the service holds something: it is saved first, and put back at the end
    #[arg(long)]
    replace_state: bool,
}

#[derive(Serialize)]
struct RuleLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    rule: &'a str,
    name: &'a str,
    result: &'static str,
    detail: Option<&'a str>,
    request: Option<&'a str>,
    latency_us: u64,
}

#[derive(Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    result: &'static str,
    passed: usize,
    failed: usize,
    skipped: usize,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let wanted = wanted(&args.rule)?;
    let stand = Stand::build(&args.target, args.start.as_deref(), args.replace_state)?;
    let operations = match &args.ops {
        Some(file) => read_operations(file)?,
        None => stand.examples()?,
    };
    if let Some((version, file)) = stand.saved() {
        context.out.note(format_args!("what it holds, version {version}, is saved in {}", file.display()));
    }
    let bench = Bench::new(&stand, operations, args.kills);
    let mut summary = Summary { kind: "summary", result: "pass", passed: 0, failed: 0, skipped: 0 };
    let told = wanted.into_iter().try_for_each(|rule| {
        let begin = Instant::now();
        stand.recorder().forget();
        let verdict = bench.check(rule);
        match verdict {
            Verdict::Pass(_) => summary.passed += 1,
            Verdict::Fail(_) => summary.failed += 1,
            Verdict::Skip(_) => summary.skipped += 1,
        }
        tell(rule, &verdict, begin, &stand, context)
    });
    // Also when nobody listens any more.
    stand.put_back()?;
    told?;
    if summary.failed > 0 {
        summary.result = "fail";
    }
    let out = &context.out;
    out.either(&summary, || {
        let word = if summary.failed == 0 { out.look(Look::Good, "PASS") } else { out.look(Look::Bad, "FAIL") };
        let skipped = if summary.skipped == 0 { String::new() } else { format!(", {} left out", summary.skipped) };
        format!("{word}  {} rules hold, {} do not{skipped}\n", summary.passed, summary.failed)
    })?;
    Ok(if summary.failed == 0 { Exit::Ok } else { Exit::Corrupt })
}

/// The rules that were asked for, by number or by name.
fn wanted(asked: &[String]) -> Result<Vec<&'static Rule>, Failure> {
    let is = |rule: &Rule, word: &String| rule.number.eq_ignore_ascii_case(word) || rule.name == word;
    if let Some(unknown) = asked.iter().find(|word| !RULES.iter().any(|rule| is(rule, word))) {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        return Err(Failure::usage(format!("--rule {unknown}: there is no such rule"))
            .hint(format!("one of {}", known.join(" "))));
    }
    Ok(RULES.iter().filter(|rule| asked.is_empty() || asked.iter().any(|word| is(rule, word))).collect())
}

fn read_operations(file: &Path) -> Result<Vec<Operation>, Failure> {
    let bytes =
        std::fs::read(file).map_err(|error| Failure { exit: Exit::Usage, ..Failure::io("read", file, &error) })?;
    if let Ok(all) = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(&bytes) {
        let place = |at: usize| format!("{}: operation {}", file.display(), at + 1);
        let read = |(at, one): (usize, &&serde_json::value::RawValue)| {
            let envelope = json::envelope(one.get().as_bytes())
                .map_err(|error| Failure::usage(format!("{}: {}", place(at), error.message)))?;
            Ok(Operation::new(envelope.method, envelope.data))
        };
        return all.iter().enumerate().map(read).collect();
    }
    let mut operations = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = |column: usize| format!("{}:{}:{column}", file.display(), index + 1);
        let envelope = json::envelope(line)
            .map_err(|error| Failure::usage(format!("{}: {}", place(error.column), error.message)))?;
        operations.push(Operation::new(envelope.method, envelope.data));
    }
    if operations.is_empty() {
        return Err(Failure::usage(format!("{}: there is no operation in it", file.display()))
            .hint("one {\"method\",\"data\"} in a line"));
    }
    Ok(operations)
}

fn tell(rule: &Rule, verdict: &Verdict, begin: Instant, stand: &Stand, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let took = begin.elapsed();
    let (result, detail) = match verdict {
        Verdict::Pass(detail) => ("pass", Some(detail.as_str()).filter(|detail| !detail.is_empty())),
        Verdict::Fail(detail) => ("fail", Some(detail.as_str())),
        Verdict::Skip(detail) => ("skip", Some(detail.as_str())),
    };
    let request = if result == "fail" { stand.recorder().last() } else { None };
    let line = RuleLine {
        kind: "rule",
        rule: rule.number,
        name: rule.name,
        result,
        detail,
        request: request.as_deref(),
        latency_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    };
    out.either(&line, || {
        let look = match result {
            "pass" => Look::Good,
            "fail" => Look::Bad,
            _ => Look::Warn,
        };
        let word = out.look(look, result.to_uppercase());
        let mut text = format!("{word}  {:<5} {:<44} {}\n", rule.number, rule.says, values::show_duration(took));
        if let Some(detail) = detail {
            text.push_str(&format!("        {detail}\n"));
        }
        if let Some(request) = &request {
            text.push_str(&format!("        the last call: {request}\n"));
        }
        text
    })?;
    out.flush()
}
