//! `rig node logs`: what a background node said.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::time::Duration;

use serde::Serialize;

use super::resolve;
use super::start::log_path;
use crate::cli::{Context, Failure, Outcome, help};
use crate::error::Exit;

/// Between two looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Show what a node in the background said
///
/// That is DIR/run/serve.log, which `rig node start` writes. With -f the command goes on as long as the node runs.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig node logs n1", "rig node logs n1 -f -n 20"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound])
)]
pub(super) struct Args {
    /// A name of the registry, or a data directory
    // Not `node`: that is the global flag.
    #[arg(value_name = "NAME|DIR")]
    which: Option<OsString>,
    /// Go on with what is said from now on, until the node ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    line: &'a str,
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let dir = resolve(args.which.as_deref(), context)?;
    let path = log_path(&dir);
    let file = File::open(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let name = &dir.meta().name;
            Failure::new(Exit::NotFound, "no_log", format!("node {name} was never started in the background"))
                .hint("`rig node start` does that; `rig serve` writes to its terminal")
        }
        _ => Failure::io("open", &path, &error),
    })?;
    let mut reader = BufReader::new(file);
    let read = |error: std::io::Error| Failure::io("read", &path, &error);
    let (mut tail, mut lines) = (VecDeque::new(), args.lines);
    let mut text = Vec::new();
    loop {
        // Asked first: what the node said before it ended is then surely there to be read.
        let running = args.follow && dir.is_in_use();
        while reader.read_until(b'\n', &mut text).map_err(read)? > 0 && text.ends_with(b"\n") {
            let line = String::from_utf8_lossy(&text[..text.len() - 1]).into_owned();
            text.clear();
            match lines {
                None => print(&line, context)?,
                Some(lines) => {
                    tail.push_back(line);
                    tail.drain(..tail.len().saturating_sub(lines));
                }
            }
        }
        for line in tail.drain(..) {
            print(&line, context)?;
        }
        // From here on all of it.
        lines = None;
        if !running {
            break;
        }
        context.out.flush()?;
        std::thread::sleep(LOOK_EVERY);
    }
    // A last line without its end, as a kill leaves it.
    if !text.is_empty() {
        print(&String::from_utf8_lossy(&text), context)?;
    }
    Ok(Exit::Ok)
}

fn print(line: &str, context: &Context) -> Result<(), Failure> {
    if context.out.is_json() { context.out.object(&Line { kind: "log", line }) } else { context.out.line(line) }
}
