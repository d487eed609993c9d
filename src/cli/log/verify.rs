//! `rig log verify`: the audit of a log, with everything that is wrong told at once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::against::{Other, Relation, compare};
use super::source::{held, reader};
use crate::cli::apply::unreadable;
use crate::cli::output::{Look, Table};
use crate::cli::progress::Progress;
use crate::cli::{Context, Failure, Outcome, help, target, values};
use crate::error::Exit;
use crate::log::verify::{self as audit, Anchor, Finding, Options, Severity, Summary};
use crate::log::{DiskVfs, LogError, Reader};
use crate::node::{self, NodeError, dir::DataDir};
use crate::types::{Hash, Version};

/// Audit the log
///
/// Reads every byte of every segment of a data directory, whether its node runs or not: headers, checksums,
/// versions without gaps, epochs, the SHA-256 chain, and where the log ends. All problems are reported, not only
/// the first. Nothing is changed.
///
/// What it cannot prove alone: somebody who can write the whole directory can compute a new chain, or cut the log
/// at the end of a record and lower the node's mark with it. Against that compare with another node (--against), or
/// with hashes that are kept elsewhere (--anchor, written by --write-anchor).
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig log verify",
        "rig log verify -D ./n1 --against ./n2",
        "rig log verify --anchor /safe/anchors --write-anchor /safe/anchors",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Corrupt, Exit::Auth,
    ])
)]
pub(super) struct Args {
    /// First version
    #[arg(long, value_name = "V", value_parser = values::version)]
    from: Option<Version>,
    /// Last version
    #[arg(long, value_name = "V", value_parser = values::version)]
    to: Option<Version>,
    /// Compare with the log of another directory or node, and name the first version that differs
    #[arg(long, value_name = "DIR|NODE")]
    against: Option<String>,
    /// File with versions and hashes that the log must have
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    anchor: Option<PathBuf>,
    /// Append the last version and its hash to this file, if the log is whole
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    write_anchor: Option<PathBuf>,
    /// Replay the log into a scratch service, and compare its state and the keys with every snapshot
    #[arg(long)]
    deep: bool,
    /// Stop at the first error
    #[arg(long)]
    fail_fast: bool,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    severity: &'static str,
    code: &'a str,
    version: Option<Version>,
    segment: Option<&'a str>,
    offset: Option<u64>,
    message: &'a str,
}

#[derive(Serialize)]
struct Head {
    version: Version,
    hash: Hash,
}

#[derive(Serialize)]
struct SummaryLine {
    #[serde(rename = "type")]
    kind: &'static str,
    result: &'static str,
    records: u64,
    errors: u64,
    notes: u64,
    head: Head,
    elapsed_ms: u64,
}

/// What was found so far; programs hear it at once, people at the end.
struct Findings<'a> {
    context: &'a Context,
    found: Vec<Finding>,
    failed: Option<Failure>,
}

impl Findings<'_> {
    fn take(&mut self, finding: Finding) {
        if self.context.out.is_json() && self.failed.is_none() {
            let line = FindingLine {
                kind: "finding",
                severity: finding.severity.as_str(),
                code: finding.code,
                version: finding.version,
                segment: finding.segment.as_deref(),
                offset: finding.offset,
                message: &finding.message,
            };
            self.failed = self.context.out.object(&line).err();
        }
        self.found.push(finding);
    }

    fn tell(&mut self, severity: Severity, code: &'static str, version: Option<Version>, message: String) {
        self.take(Finding { severity, code, version, segment: None, offset: None, message });
    }

    fn count(&self, severity: Severity) -> u64 {
        self.found.iter().filter(|finding| finding.severity == severity).count() as u64
    }
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let (from, to) = super::range(args.from, args.to)?;
    let anchors = args.anchor.as_deref().map(read_anchors).transpose()?.unwrap_or_default();
    let dir = target::data_dir(context)?;
    let mut other = args.against.as_deref().map(|text| Other::open(text, context)).transpose()?;
    let began = Instant::now();
    let options = Options { from, to, fail_fast: args.fail_fast, held: held(&dir), anchors, ..Options::default() };
    let progress = Progress::new(&context.out, "verify", "bytes", audit::log_bytes(&DiskVfs, dir.path()).ok());
    let mut findings = Findings { context, found: Vec::new(), failed: None };
    let summary = audit::verify(&DiskVfs, dir.path(), &options, &|done| progress.set(done), &mut |finding| {
        findings.take(finding);
    })?;
    drop(progress);
    if args.from.is_some() && summary.records == 0 && findings.count(Severity::Error) == 0 {
        // Nothing was looked at, and that is not to be taken for a log that passed.
        let last = reader(&dir)?.durable();
        if from > last {
            return Err(LogError::NotFound { wanted: from, last }.into());
        }
    }
    if let Some(other) = &mut other {
        // A log that cannot be read says so itself, above; then there is nothing to compare.
        match reader(&dir) {
            Ok(mine) => against(&mine, other, args.against.as_deref().unwrap_or_default(), &mut findings, context)?,
            Err(failure) if failure.exit == Exit::Corrupt => {
                findings.tell(Severity::Note, "not_compared", None, format!("not compared: {}", failure.message));
            }
            Err(failure) => return Err(failure),
        }
    }
    if args.deep {
        deep(&dir, &mut findings, context)?;
    }
    let errors = findings.count(Severity::Error);
    if let (Some(file), 0) = (&args.write_anchor, errors) {
        write_anchor(file, &summary)?;
    } else if args.write_anchor.is_some() {
        context.out.note("no anchor was written: the log is not whole");
    }
    if let Some(failure) = findings.failed.take() {
        return Err(failure);
    }
    report(&summary, &findings, began.elapsed(), context)?;
    Ok(if errors == 0 { Exit::Ok } else { Exit::Corrupt })
}

fn against(
    mine: &Reader,
    other: &mut Other,
    name: &str,
    findings: &mut Findings<'_>,
    context: &Context,
) -> Result<(), Failure> {
    let last = mine.durable();
    match compare(mine, other, context)? {
        Relation::Equal => {
            findings.tell(Severity::Note, "equal", Some(last), format!("equal to {name} up to version {last}"));
        }
        Relation::Behind(end) => {
            let message = format!("{name} has the same records and goes on to version {end}");
            findings.tell(Severity::Note, "behind", Some(last), message);
        }
        Relation::Ahead(end) => {
            let message = format!("{name} has the same records and ends at version {end}");
            findings.tell(Severity::Note, "ahead", Some(end), message);
        }
        Relation::Differ(version) => {
            let message = format!("version {version} is the first that differs from {name}");
            findings.tell(Severity::Error, "diverged", Some(version), message);
        }
        Relation::DifferBefore(version) => {
            let message = format!("differs from {name} at or before version {version}, the oldest that both have");
            findings.tell(Severity::Error, "diverged", Some(version), message);
        }
        Relation::Apart => {
            let message = format!("has no version in common with {name}");
            findings.tell(Severity::Note, "not_compared", None, message);
        }
    }
    Ok(())
}

/// What the records make, against what the snapshots say. A log with errors is not replayed: the errors are told.
fn deep(dir: &DataDir, findings: &mut Findings<'_>, context: &Context) -> Result<(), Failure> {
    if findings.count(Severity::Error) > 0 {
        findings.tell(Severity::Note, "not_replayed", None, "not replayed: the log is not whole".to_owned());
        return Ok(());
    }
    let total = reader(dir)?.committed();
    let progress = Progress::new(&context.out, "replay", "records", Some(total));
    let deep = node::deep(dir, &|done| progress.set(done));
    drop(progress);
    let deep = match deep {
        Ok(deep) => deep,
        Err(error @ NodeError::OtherService { .. }) => {
            findings.tell(Severity::Note, "not_replayed", None, format!("not replayed: {error}"));
            return Ok(());
        }
        Err(error) => return Err(Failure::new(error.exit(), "replay", error.to_string()).hint(error.hint())),
    };
    for (version, path, why) in &deep.different {
        let message = format!("snapshot {}: {why}", path.display());
        findings.tell(Severity::Error, "state_differs", Some(*version), message);
    }
    let message = format!("replayed; {} snapshots agree; digest of the state {}", deep.equal.len(), deep.state);
    findings.tell(Severity::Note, "replayed", Some(deep.version), message);
    Ok(())
}

fn read_anchors(file: &Path) -> Result<Vec<Anchor>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error).hint(""))?;
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", file.display()));
    let anchors = audit::parse_anchors(&text).map_err(|error| wrong(&error))?;
    // Without one every log would pass.
    if anchors.is_empty() { Err(wrong(&"there is no anchor in it")) } else { Ok(anchors) }
}

/// Appended, so that one file collects the anchors of a log's whole life.
fn write_anchor(file: &Path, summary: &Summary) -> Result<(), Failure> {
    let (version, hash) = summary.head;
    if version == 0 {
        return Ok(());
    }
    let line = audit::format_anchors(&[Anchor { version, hash }]);
    let before = std::fs::read_to_string(file);
    if before.as_ref().is_ok_and(|text| text.lines().any(|known| known == line.trim_end())) {
        return Ok(());
    }
    let failed = |error: io::Error| Failure::io("write", file, &error);
    let mut opened = OpenOptions::new().append(true).create(true).open(file).map_err(failed)?;
    let bytes = opened.metadata().map_err(failed)?.len();
    opened.write_all(line.as_bytes()).and_then(|()| opened.sync_all()).map_err(|error| {
        // Half an anchor would spoil the file; what fails here too is told by the error above.
        let _ = opened.set_len(bytes);
        if before.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let _ = std::fs::remove_file(file);
        }
        failed(error)
    })
}

fn report(summary: &Summary, findings: &Findings<'_>, elapsed: Duration, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let (errors, notes) = (findings.count(Severity::Error), findings.count(Severity::Note));
    let (version, hash) = summary.head;
    if out.is_json() {
        return out.object(&SummaryLine {
            kind: "summary",
            result: if errors == 0 { "pass" } else { "fail" },
            records: summary.records,
            errors,
            notes,
            head: Head { version, hash },
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
    }
    if !out.is_quiet() {
        segments(summary, context)?;
    }
    for finding in &findings.found {
        let (look, word) = match finding.severity {
            Severity::Error => (Look::Bad, "FAIL"),
            Severity::Note if out.is_quiet() => continue,
            Severity::Note => (Look::Warn, "NOTE"),
        };
        let version = finding.version.map(|version| format!("  version {version}")).unwrap_or_default();
        let place = match (&finding.segment, finding.offset) {
            (Some(segment), Some(offset)) => format!("  {segment} at byte {offset}"),
            (Some(segment), None) => format!("  {segment}"),
            _ => String::new(),
        };
        out.line(format_args!("{}{version}{place}: {}", out.look(look, word), finding.message))?;
    }
    let verdict = if errors == 0 { out.look(Look::Good, "PASS") } else { out.look(Look::Bad, "FAIL") };
    let count = |number: u64, one: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{} {one}{plural}", values::show_number(number))
    };
    let (records, took) = (count(summary.records, "record"), values::show_duration(elapsed));
    out.line(format_args!(
        "{verdict}  {records}, {}, {}  head {version}  {hash}  {took}",
        count(errors, "error"),
        count(notes, "note"),
    ))
}

fn segments(summary: &Summary, context: &Context) -> Result<(), Failure> {
    let mut table = Table::new(&["SEGMENT", "VERSIONS", "RECORDS", "SIZE", "RESULT"], &[2, 3]);
    for segment in &summary.segments {
        let (look, result) = if segment.errors == 0 { (Look::Good, "PASS") } else { (Look::Bad, "FAIL") };
        let versions =
            if segment.last >= segment.base { format!("{}..{}", segment.base, segment.last) } else { "-".to_owned() };
        table.styled([
            (None, segment.name.clone()),
            (None, versions),
            (None, values::show_number(segment.records)),
            (None, values::show_bytes(segment.bytes)),
            (Some(look), result.to_owned()),
        ]);
    }
    if table.is_empty() { Ok(()) } else { context.out.table(&table) }
}
