//! `rig apply`: one operation, or a batch of them (`cli::batch`).

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::output::{Look, Output};
use super::{Context, Failure, Outcome, batch, help, target, values};
use crate::client::{self, Client, NotApplied, Request, Response, Submission};
use crate::error::Exit;
use crate::limits::{BODY_BYTES_MAX, DATA_BYTES_MAX, KEY_BYTES_MAX};
use crate::types::Version;
use crate::types::json::{self, JsonErrorKind};

/// How long one node is tried before the coordinator is asked again who leads.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two of those tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Append one operation, or a batch
///
/// The payload is a file, `-` for standard input, or --data; it is checked here before anything is sent. Every
/// operation carries a key, so that it is logged once however often it is sent: an unknown outcome is asked for
/// again until --timeout, and if it stays unknown the key is printed, to be given with --key later.
///
/// A batch is lines of {"method","data"} with an optional "key"; the lines of `rig log dump --json` are
/// understood. It ends with the worst of its operations.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig apply user_create payload.json",
        "rig apply user_update --data '{\"id\":\"alice\",\"name\":\"Alice\"}'",
        "rig log dump --json | rig apply --batch - -N other",
    ]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Rejected, Exit::Conflict,
        Exit::Unknown, Exit::Unavailable, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// What to do, as user_create
    #[arg(value_name = "METHOD", required_unless_present = "batch", value_parser = values::method)]
    method: Option<String>,
    /// File with the JSON of the operation, `-` for standard input
    #[arg(value_name = "PAYLOAD", conflicts_with = "data", value_hint = clap::ValueHint::FilePath)]
    payload: Option<PathBuf>,
    /// The JSON itself
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Key of the operation [default: a new one]
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: Option<String>,
    /// The version that this operation must get
    #[arg(long, value_name = "V", value_parser = values::version)]
    expect_version: Option<Version>,
    /// Ask whether it would be accepted; nothing is logged
    #[arg(long)]
    dry_run: bool,
    /// File with one operation per line, `-` for standard input
    #[arg(
        long, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["method", "payload", "data", "key", "expect_version", "dry_run"]
    )]
    batch: Option<PathBuf>,
}

pub(crate) fn key(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= KEY_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err(format!("a key is 1 to {KEY_BYTES_MAX} visible ASCII characters")) }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if let Some(file) = &args.batch {
        return batch::run(file, context);
    }
    let method = args.method.as_deref().unwrap_or_default();
    let data = payload(&args, method)?;
    let deadline = Instant::now() + context.timeout();
    if args.dry_run {
        return dry_run(&mut client_for(context)?, method, &data, deadline, context);
    }
    let key = args.key.unwrap_or_else(new_key);
    let what = Submission {
        method,
        data: &data,
        key: &key,
        version: args.expect_version,
        tell_timeout: context.timeout.is_some(),
    };
    let applied = submit_to_whoever_leads(&what, deadline, context)?;
    applied.print(&context.out)?;
    if applied.answer.durability == "degraded" {
        context.out.note(format_args!("a replica is behind: this operation is on {} only", applied.nodes(", ")));
    }
    Ok(Exit::Ok)
}

/// Sends it to the node that is meant; where a coordinator says which one that is, to each that it names in turn, with the
/// same key, until one has answered.
fn submit_to_whoever_leads(what: &Submission<'_>, deadline: Instant, context: &Context) -> Result<Applied, Failure> {
    if !context.node.as_deref().is_some_and(super::coordinator::is_coordinator) {
        return submit(&mut client_for(context)?, what, deadline);
    }
    let mut open = None;
    loop {
        let until = deadline.min(Instant::now() + PATIENCE);
        let failure = match client_for(context).and_then(|mut client| submit(&mut client, what, until)) {
            Ok(applied) => return Ok(applied),
            Err(failure) => failure,
        };
        let is_known = !matches!(failure.exit, Exit::Unreachable | Exit::Unavailable | Exit::Unknown);
        if is_known {
            return Err(failure);
        }
        if failure.exit == Exit::Unknown {
            open = Some(failure.clone());
        }
        if Instant::now() + PAUSE >= deadline {
            // What one node may have done is not undone by another one's refusal.
            return Err(open.unwrap_or(failure));
        }
        std::thread::sleep(PAUSE);
    }
}

/// A client for the node that the context means.
pub(crate) fn client_for(context: &Context) -> Result<Client, Failure> {
    let target = target::node(context)?;
    Ok(Client::new(target.url, target::options(context)))
}

/// A key that nobody else has.
pub(crate) fn new_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Sends one operation and reads the answer.
pub(crate) fn submit(client: &mut Client, what: &Submission<'_>, deadline: Instant) -> Result<Applied, Failure> {
    let began = Instant::now();
    match client::submit(client, what, deadline) {
        Ok(response) => {
            let (answer, latency) = (Answer::of(&response)?, began.elapsed());
            let (method, key) = (what.method.to_owned(), what.key.to_owned());
            Ok(Applied { answer, method, key, latency, line: None })
        }
        Err(NotApplied::Refused(response)) => Err(Failure::from(*response)),
        Err(NotApplied::Unreachable(error)) => Err(error.into()),
        Err(NotApplied::Unknown(last)) => Err(unknown(&last, what.key)),
    }
}

/// Sent, and no final answer: with the key, so that it can be asked for again.
fn unknown(last: &str, key: &str) -> Failure {
    let message = format!("the outcome is unknown: {last}");
    let failure = Failure::new(Exit::Unknown, "outcome_unknown", message);
    Failure { key: Some(key.into()), ..failure.hint(format!("run it again with --key {key}: it is logged once")) }
}

/// What a node answers to an operation that is in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) version: Version,
    pub(crate) epoch: u64,
    pub(crate) hash: String,
    pub(crate) durability: String,
    pub(crate) acks: Vec<String>,
    pub(crate) result: Box<RawValue>,
    pub(crate) replayed: bool,
}

impl Answer {
    fn of(response: &Response) -> Result<Self, Failure> {
        let data = response.data().and_then(|data| serde_json::from_str(data).ok());
        data.ok_or_else(|| Failure::bad_answer(&response.url))
    }
}

/// An operation that is in the log.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) answer: Answer,
    pub(crate) method: String,
    pub(crate) key: String,
    pub(crate) latency: Duration,
    /// In a batch.
    pub(crate) line: Option<u64>,
}

#[derive(Serialize)]
struct AppliedLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    version: Version,
    epoch: u64,
    hash: &'a str,
    method: &'a str,
    durability: &'a str,
    acks: &'a [String],
    result: &'a RawValue,
    replayed: bool,
    latency_us: u64,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

impl Applied {
    /// Says it, for people or programs.
    pub(crate) fn print(&self, out: &Output) -> Result<(), Failure> {
        let answer = &self.answer;
        let line = AppliedLine {
            kind: "applied",
            version: answer.version,
            epoch: answer.epoch,
            hash: &answer.hash,
            method: &self.method,
            durability: &answer.durability,
            acks: &answer.acks,
            result: &answer.result,
            replayed: answer.replayed,
            latency_us: u64::try_from(self.latency.as_micros()).unwrap_or(u64::MAX),
            key: &self.key,
            line: self.line,
        };
        out.either(&line, || self.text(out))
    }

    fn text(&self, out: &Output) -> String {
        let answer = &self.answer;
        let id = json::get(answer.result.get(), "id").map(|id| json::string_of(id).unwrap_or(id.into()));
        let id = id.map(|id| format!("  id={id}")).unwrap_or_default();
        let look = if answer.durability == "degraded" { Look::Warn } else { Look::Good };
        format!(
            "{}  version {}  {}{id}  {} ({})  {}{}\n",
            out.look(Look::Good, "ok"),
            answer.version,
            self.method,
            out.look(look, &answer.durability),
            self.nodes(" "),
            latency(self.latency),
            if answer.replayed { "  replayed" } else { "" },
        )
    }

    fn nodes(&self, between: &str) -> String {
        self.answer.acks.join(between)
    }
}

fn latency(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 1000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1e3) }
}

fn dry_run(client: &mut Client, method: &str, data: &str, deadline: Instant, context: &Context) -> Outcome {
    #[derive(Serialize)]
    struct Valid<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        method: &'a str,
        data: Option<&'a RawValue>,
    }
    let mut body = "{\"method\":".to_owned();
    json::quote(method, &mut body);
    body.push_str(&format!(",\"data\":{data}}}"));
    // Nothing is logged, so a lost connection leaves nothing open.
    let response = client.send(&Request::post("/validate", body), deadline).map_err(Failure::of_read)?;
    if !response.is_success() {
        return Err(response.into());
    }
    let data = response.data().and_then(|data| serde_json::from_str(data).ok());
    let line = Valid { kind: "valid", method, data };
    context.out.either(&line, || format!("{}  {method} would be accepted\n", context.out.look(Look::Good, "valid")))?;
    Ok(Exit::Ok)
}

/// The payload in one line, from wherever it is, checked.
fn payload(args: &Args, method: &str) -> Result<String, Failure> {
    if let Some(data) = &args.data {
        return check(data.as_bytes(), "--data");
    }
    let stdin = || io::stdin().lock();
    match args.payload.as_deref() {
        Some(path) if path != Path::new("-") => payload_file(path),
        None if io::stdin().is_terminal() => Err(Failure::usage("there is no payload")
            .hint(format!("rig apply {method} payload.json, or rig apply {method} --data '{{\"id\":\"alice\"}}'"))),
        _ => check(&read(stdin()).map_err(|error| unreadable(Path::new("<stdin>"), &error))?, "<stdin>"),
    }
}

/// The JSON of a file in one line, checked.
pub(crate) fn payload_file(path: &Path) -> Result<String, Failure> {
    let bytes = File::open(path).and_then(read).map_err(|error| unreadable(path, &error))?;
    check(&bytes, &path.display().to_string())
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Exit::Usage, "unreadable", format!("{}: {why}", path.display())).hint("nothing was sent")
}

/// At most one byte more than a node would take: enough to know that it is too much.
fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(bytes: &[u8], name: &str) -> Result<String, Failure> {
    let too_large = || {
        let message =
            format!("{name}: the payload is larger than {} bytes", values::show_number(DATA_BYTES_MAX as u64));
        Failure::new(Exit::Rejected, "too_large", message).hint("nothing was sent")
    };
    if bytes.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    let mut line = String::new();
    match json::compact(bytes, &mut line) {
        Ok(()) if line.len() <= DATA_BYTES_MAX => Ok(line),
        Ok(()) => Err(too_large()),
        Err(error) if error.kind == JsonErrorKind::Size => Err(too_large()),
        Err(error) => {
            let message = format!("{name}:{}:{}: {}", error.line, error.column, error.message);
            let exit = if error.kind == JsonErrorKind::Depth { Exit::Rejected } else { Exit::Usage };
            Err(Failure::new(exit, error.kind.code().as_str(), message).hint("nothing was sent"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_becomes_one_line_or_an_error_with_its_place() {
        assert_eq!(check(b"{\n  \"id\" : \"a\",\n  \"n\": 1.50\n}\n", "p.json").unwrap(), "{\"id\":\"a\",\"n\":1.50}");
        for (text, place) in [
            ("{\n\"a\": 1,\n  \"b\": }", "p.json:3:8: "),
            ("", "p.json:1:1: "),
            ("{\"a\":1,\"a\":2}", "p.json:1:8: "),
            ("nul", "p.json:1:"),
        ] {
            let failure = check(text.as_bytes(), "p.json").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(failure.message.starts_with(place), "{text}: {}", failure.message);
        }
        assert_eq!(check(&[b' '; BODY_BYTES_MAX + 1], "p").unwrap_err().exit, Exit::Rejected);
    }

    #[test]
    fn an_applied_operation_is_one_line_for_people() {
        let answer = r#"{"version":2,"epoch":1,"hash":"ab","durability":"sync","acks":["n1","n2"],"result":{"id":"alice","version":2},"replayed":false}"#;
        let applied = Applied {
            answer: serde_json::from_str(answer).unwrap(),
            method: "user_create".into(),
            key: "k".into(),
            latency: Duration::from_micros(1290),
            line: None,
        };
        let out = Output::new(false, false, super::super::output::Color::Never);
        assert_eq!(applied.text(&out), "ok  version 2  user_create  id=alice  sync (n1 n2)  1.3 ms\n");
    }

    #[test]
    fn an_unknown_outcome_names_its_key_in_both_forms() {
        let failure = unknown("no answer in time", "k-1");
        assert!(failure.to_text().contains("--key k-1"));
        assert!(failure.to_json().contains("\"key\":\"k-1\"") && failure.to_json().contains("\"definite\":false"));
    }

    #[test]
    fn keys_fit_a_header() {
        assert!(key("k-1").is_ok() && key(&"k".repeat(128)).is_ok() && key(&new_key()).is_ok());
        for bad in ["", "a b", "a\n", "\u{e9}", &"k".repeat(129)] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }
}
