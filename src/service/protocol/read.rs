//! Answers, held against the rules of the page.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::problem_of;
use super::{Answer, Asked, Broken, Call, Committed, Info, Unfit, Verdict, quoted};
use crate::error::{Code, Problem};
use crate::limits::{
    DATA_BYTES_MAX, SERVICE_BATCH_DEFAULT, SERVICE_BATCH_MAX, SERVICE_EXAMPLES_MAX, SERVICE_RESOURCES_BYTES_MAX,
};
use crate::service::{Outcome, Resource, Resources};
use crate::types::{Hash, Operation, Version, json};

/// What an answer with another status than 200 says.
pub(crate) fn refusal(call: Call, answer: &Answer) -> Unfit {
    let problem = problem_of(answer.status, &answer.body);
    match answer.status {
        409 if problem.code == "gap" => {
            let applied = problem.extra.iter().find(|(name, _)| name == "applied_version");
            let applied = applied.and_then(|(_, version)| version.as_u64());
            applied.map_or_else(|| Broken::new("A4", "a gap without an applied_version").into(), Unfit::Gap)
        }
        400..=499 => Unfit::Refused(problem),
        500..=599 => Unfit::Away(format!("it answers {} with {}", call.name(), said(&problem))),
        status => Broken::new(call.name(), format!("an answer with the status {status}")).into(),
    }
}

/// A problem in one line for people.
fn said(problem: &Problem) -> String {
    format!("{} {}: {}", problem.status, problem.code, problem.detail)
}

/// The text of a good answer.
fn good(call: Call, answer: &Answer) -> Result<&str, Unfit> {
    if answer.status != 200 {
        return Err(refusal(call, answer));
    }
    let not_text = |_| Broken::new(call.name(), format!("an answer that is not UTF-8: {}", quoted(&answer.body)));
    Ok(std::str::from_utf8(&answer.body).map_err(not_text)?)
}

/// A text with the members that a call answers with.
fn parsed<'a, T: Deserialize<'a>>(call: Call, text: &'a str) -> Result<T, Broken> {
    serde_json::from_str(text)
        .map_err(|error| Broken::new(call.name(), format!("{error} in {}", quoted(text.as_bytes()))))
}

#[derive(Deserialize)]
struct InfoText<'a> {
    protocol: Option<u64>,
    name: Option<String>,
    applied_version: Version,
    applied_hash: Option<String>,
    methods: Option<Vec<String>>,
    max_batch: Option<usize>,
    stateful_validate: Option<bool>,
    snapshots: Option<bool>,
    #[serde(borrow)]
    examples: Option<Vec<Example<'a>>>,
}

#[derive(Deserialize)]
struct Example<'a> {
    method: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads the answer of `info`.
pub(crate) fn info(answer: &Answer) -> Result<Info, Unfit> {
    let found: InfoText<'_> = parsed(Call::Info, good(Call::Info, answer)?)?;
    if let Some(other) = found.protocol.filter(|protocol| *protocol != 1) {
        return Err(Broken::new("info", format!("it speaks version {other} of the protocol, Rig speaks 1")).into());
    }
    if found.max_batch == Some(0) {
        return Err(Broken::new("info", "max_batch is 0").into());
    }
    let applied_hash = found.applied_hash.map(|text| {
        text.parse::<Hash>().map_err(|_| Broken::new("info", "applied_hash is not 64 lower-case hexadecimal digits"))
    });
    // What nobody could send cannot be tried either.
    let examples = found.examples.unwrap_or_default().into_iter().take(SERVICE_EXAMPLES_MAX).filter_map(|example| {
        let data = json::compacted(example.data.map_or("null", RawValue::get).as_bytes()).ok()?;
        Some(Operation::new(example.method, &*data))
    });
    Ok(Info {
        name: found.name.unwrap_or_else(|| "service".to_owned()),
        applied: found.applied_version,
        applied_hash: applied_hash.transpose()?,
        methods: found.methods,
        max_batch: found.max_batch.unwrap_or(SERVICE_BATCH_DEFAULT).min(SERVICE_BATCH_MAX),
        stateful_validate: found.stateful_validate.unwrap_or(true),
        snapshots: found.snapshots.unwrap_or(true),
        examples: examples.collect(),
    })
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Judged<'a> {
    ok: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    resources: Option<Vec<Named>>,
    #[serde(borrow, alias = "error")]
    problem: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Exclusive(Box<str>),
    Full {
        name: Box<str>,
        #[serde(default)]
        shared: bool,
    },
}

/// Reads the answer of `validate`: one verdict for each that was asked for.
///
/// A bad judgement among many is the trouble of its own operation, which is refused with `service_unavailable`:
/// whoever sends that one must not take the others down with it.
pub(crate) fn verdicts(answer: &Answer, asked: &[Asked<'_>]) -> Result<Vec<Verdict>, Unfit> {
    if answer.status == 503 {
        let problem = problem_of(503, &answer.body);
        if is_busy(&problem) {
            return Ok(vec![Err(problem); asked.len()]);
        }
    }
    let text = good(Call::Validate, answer)?;
    let results = if text.trim_start().starts_with('[') {
        parsed(Call::Validate, text)?
    } else {
        parsed::<Results<'_>>(Call::Validate, text)?.results
    };
    if results.len() != asked.len() {
        let counts = format!("{} results for {} operations", results.len(), asked.len());
        return Err(Broken::new("validate", counts).into());
    }
    let mut verdicts = Vec::with_capacity(asked.len());
    for (asked_one, result) in asked.iter().zip(results) {
        verdicts.push(match verdict(asked_one, result.get()) {
            Ok(verdict) => verdict,
            Err(broken) if asked.len() == 1 => return Err(broken.into()),
            Err(broken) => Err(Problem::new(Code::ServiceUnavailable, broken.to_string()).with("rule", broken.rule)),
        });
    }
    Ok(verdicts)
}

fn is_busy(problem: &Problem) -> bool {
    problem.code == Code::ResourceBusy.as_str()
}

fn verdict(asked: &Asked<'_>, text: &str) -> Result<Verdict, Broken> {
    let broken = |why: String| Broken::new("V5", format!("{why} in {}", quoted(text.as_bytes())));
    let judged: Judged<'_> = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    match (judged.ok, judged.problem) {
        (Some(true), None) => {
            let data = judged.data.map_or(Ok(None), |data| logged(asked, data.get()))?;
            let resources = judged.resources.map_or(Ok(Resources::Alone), held)?;
            Ok(Ok((data, resources)))
        }
        (Some(false), None) => Ok(Err(Problem::new(Code::Invalid, "the service refuses the operation"))),
        (Some(false) | None, Some(problem)) => {
            let problem = problem_of(status_in(problem.get()).unwrap_or(422), problem.get().as_bytes());
            match problem.status {
                400..=499 => Ok(Err(problem)),
                503 if is_busy(&problem) => Ok(Err(problem)),
                500..=599 => Ok(Err(Problem::new(Code::ServiceUnavailable, said(&problem)))),
                status => Err(broken(format!("a refusal with the status {status}"))),
            }
        }
        _ => Err(broken("neither consent nor refusal".to_owned())),
    }
}

/// The data to log, held against what the door demands of a client; `None` if it is the client's own.
fn logged(asked: &Asked<'_>, data: &str) -> Result<Option<Box<str>>, Broken> {
    let method = &asked.operation.method;
    let data = json::compacted(data.as_bytes())
        .map_err(|error| Broken::new("V2", format!("the data to log for {method}, {error}")))?;
    if data.len() > DATA_BYTES_MAX {
        return Err(Broken::new("V2", format!("the data to log for {method} has {} bytes", data.len())));
    }
    Ok((*data != *asked.operation.data).then(|| data.into()))
}

/// Names in order, none twice; who wants one for himself as well as shared has it for himself.
fn held(named: Vec<Named>) -> Result<Resources, Broken> {
    let mut keys: Vec<Resource> = named
        .into_iter()
        .map(|named| match named {
            Named::Exclusive(key) => Resource { key, shared: false },
            Named::Full { name, shared } => Resource { key: name, shared },
        })
        .collect();
    let bytes = keys.iter().map(|resource| resource.key.len() + size_of::<Resource>()).sum::<usize>();
    if bytes > SERVICE_RESOURCES_BYTES_MAX {
        return Err(Broken::new("V3", format!("{} resources, more than a MiB", keys.len())));
    }
    keys.sort();
    keys.dedup_by(|next, kept| next.key == kept.key);
    Ok(Resources::Keys(keys))
}

#[derive(Deserialize)]
struct Applied<'a> {
    applied_version: Version,
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct One<'a> {
    version: Version,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    duplicate: bool,
}

/// Reads the answer of `apply`: one outcome for each that was applied, from the first of what was sent.
pub(crate) fn applied(answer: &Answer, sent: &[Committed<'_>]) -> Result<Vec<Outcome>, Unfit> {
    let (Some(from), Some(last)) = (sent.first().map(|e| e.version), sent.last().map(|e| e.version)) else {
        return Ok(Vec::new());
    };
    let text = good(Call::Apply, answer).map_err(|unfit| match unfit {
        Unfit::Gap(applied) if applied.saturating_add(1) >= from => {
            Broken::new("A4", format!("version {from} is refused as a gap behind version {applied}")).into()
        }
        unfit => unfit,
    })?;
    let Applied { applied_version: reached, results } = parsed(Call::Apply, text)?;
    let due = reached.min(last).saturating_add(1).saturating_sub(from);
    if reached.saturating_add(1) < from || results.len() as u64 != due {
        let seen = format!("{} results and applied_version {reached} for versions {from} to {last}", results.len());
        return Err(Broken::new("A7", seen).into());
    }
    let mut outcomes = Vec::with_capacity(results.len());
    for (entry, result) in sent.iter().zip(results) {
        let one: One<'_> = parsed(Call::Apply, result.get())?;
        if one.version != entry.version {
            return Err(Broken::new("A7", format!("a result of version {} for {}", one.version, entry.version)).into());
        }
        // One that says to be further than it was sent must have been there before.
        if reached > last && !one.duplicate && !entry.operation.is_control() {
            let seen = format!("applied_version {reached} after version {last}, and {} is no duplicate", one.version);
            return Err(Broken::new("A7", seen).into());
        }
        outcomes.push(match entry.operation.is_control() {
            true if one.duplicate => Outcome::duplicate(),
            true => Outcome::empty(),
            false => outcome(&one)?,
        });
    }
    Ok(outcomes)
}

fn outcome(one: &One<'_>) -> Result<Outcome, Broken> {
    match (one.result, one.error) {
        (Some(result), _) => {
            let result = one_line(result.get());
            Ok(Outcome { status: failed_status(&result).unwrap_or(200), result })
        }
        (None, Some(error)) => {
            let result: Box<str> = format!("{{\"error\":{}}}", one_line(error.get())).into();
            let status = failed_status(&result).ok_or_else(|| {
                Broken::new("A5", format!("version {} failed with no status from 400 to 599", one.version))
            })?;
            Ok(Outcome { status, result })
        }
        (None, None) if one.duplicate => Ok(Outcome::duplicate()),
        (None, None) => Ok(Outcome::empty()),
    }
}

/// The status of a result that is a failure.
fn failed_status(result: &str) -> Option<u16> {
    let error = json::get(result, "error")?;
    json::get(error, "status")?.parse().ok().filter(|status| (400..=599).contains(status))
}

/// A JSON text without the white space between its tokens.
///
/// Not held against the rules of the door, as what is logged is: it has been applied, and whatever the client can
/// make a service answer must not stop the log.
fn one_line(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len());
    let (mut start, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\n' | b'\r' | b'\t' if !in_string => {
                out.push_str(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push_str(&text[start..]);
    out.into()
}

#[derive(Deserialize)]
struct Status {
    status: u16,
}

/// The status in a problem.
pub(super) fn status_in(problem: &str) -> Option<u16> {
    serde_json::from_str(problem).ok().map(|Status { status }| status)
}

#[derive(Deserialize)]
struct Saved {
    version: Version,
}

/// Reads the answer of `snapshot` by a file: its version.
pub(crate) fn saved(answer: &Answer) -> Result<Version, Unfit> {
    let Saved { version } = parsed(Call::Snapshot, good(Call::Snapshot, answer)?)?;
    Ok(version)
}

#[derive(Deserialize)]
struct Restored {
    applied_version: Version,
}

/// Reads the answer of `restore`.
pub(crate) fn restored(answer: &Answer, version: Version) -> Result<(), Unfit> {
    let Restored { applied_version } = parsed(Call::Restore, good(Call::Restore, answer)?)?;
    if applied_version != version {
        let seen = format!("applied_version {applied_version} after a restore of version {version}");
        return Err(Broken::new("restore", seen).into());
    }
    Ok(())
}
