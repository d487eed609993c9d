//! The other end: a service of this library behind a pipe.
//!
//! A program of ten lines puts a service of its own behind `rig serve --service exec:…`:
//!
//! ```no_run
//! use rig::service::{Documents, protocol};
//!
//! let mut service = Documents::default();
//! let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
//! protocol::serve(&mut service, "documents", input, output).expect("the pipe holds");
//! ```
//!
//! [`Server`] answers the calls one by one, for another transport than a pipe.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::{Timestamp, Uuid};

use super::line::{CallLine, result_line};
use super::problem::push_problem;
use super::quoted;
use crate::error::{Code, Problem};
use crate::limits::{SERVICE_ANSWER_BYTES_MAX, SERVICE_BATCH_MAX};
use crate::service::{Context, Entry, Outcome, Resources, Service, ServiceError};
use crate::types::json::{compacted, quote};
use crate::types::{Operation, Version, parse_time};

/// Answers every call on `input` until it ends, one line on `output` for each. `name` is what the service is called.
///
/// # Errors
/// Those of the two; and a line that is no call.
pub fn serve(service: &mut dyn Service, name: &str, mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut server = Server::new(service, name);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = SERVICE_ANSWER_BYTES_MAX as u64 + 1;
        let read = input.by_ref().take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        let call: CallLine<'_> = serde_json::from_slice(&line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a call: {error}", quoted(&line)))
        })?;
        let answered = server.call(&call.call, call.params.map_or("{}", RawValue::get));
        output.write_all(result_line(call.id, &answered).as_bytes())?;
        output.flush()?;
    }
}

/// A service that is asked by the calls of the protocol.
pub struct Server<'s> {
    service: &'s mut dyn Service,
    name: String,
    /// The state at version 0, if the service began there: what a restore of version 0 asks for.
    empty: Option<Vec<u8>>,
}

impl std::fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("applied", &self.service.version()).finish()
    }
}

impl<'s> Server<'s> {
    /// Serves this service under this name.
    pub fn new(service: &'s mut dyn Service, name: &str) -> Self {
        let mut bytes = Vec::new();
        let empty = service.version() == 0 && service.snapshot().write(&mut bytes).is_ok();
        Self { service, name: name.to_owned(), empty: empty.then_some(bytes) }
    }

    /// One call with its parameters; the answer is JSON in one line.
    ///
    /// # Errors
    /// The problem that the call is answered with.
    pub fn call(&mut self, call: &str, params: &str) -> Result<String, Problem> {
        match call {
            "info" => Ok(self.info()),
            "validate" => self.validate(&parsed(params)?),
            "apply" => self.apply(&parsed(params)?),
            "snapshot" => {
                let StateFile { path, .. } = parsed(params)?;
                let mut file = BufWriter::new(File::create(&*path).map_err(|error| away(&error))?);
                let version = self.snapshot(&mut file)?;
                file.flush().map_err(|error| away(&error))?;
                Ok(format!(r#"{{"version":{version}}}"#))
            }
            "restore" => {
                let StateFile { path, version } = parsed(params)?;
                let file = File::open(&*path).map_err(|error| away(&error))?;
                self.restore(version, &mut BufReader::new(file))
            }
            "health" => Ok("{}".to_owned()),
            _ => Err(Problem::new(Code::NotFound, format!("there is no call {call}"))),
        }
    }

    /// Writes the whole state, and says its version.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn snapshot(&mut self, out: &mut dyn Write) -> Result<Version, Problem> {
        let snapshot = self.service.snapshot();
        let version = snapshot.version();
        snapshot.write(out).map_err(|error| away(&error))?;
        Ok(version)
    }

    /// Replaces the whole state, and answers as the call does.
    ///
    /// # Errors
    /// What the service says against the bytes; its state is then as it was.
    pub fn restore(&mut self, version: Version, input: &mut dyn Read) -> Result<String, Problem> {
        let restored = match &self.empty {
            Some(empty) if version == 0 => self.service.restore(0, &mut empty.as_slice()),
            _ => self.service.restore(version, input),
        };
        restored.map_err(|error| match error {
            ServiceError::Io(_) | ServiceError::Unavailable(_) => away(&error),
            error => Problem::new(Code::Invalid, error.to_string()),
        })?;
        Ok(format!(r#"{{"applied_version":{}}}"#, self.service.version()))
    }

    fn info(&self) -> String {
        let mut out = String::from(r#"{"protocol":1,"name":"#);
        quote(&self.name, &mut out);
        out.push_str(&format!(",\"applied_version\":{},\"max_batch\":{SERVICE_BATCH_MAX}}}", self.service.version()));
        out
    }

    fn validate(&self, params: &Validate<'_>) -> Result<String, Problem> {
        let now = parse_time(&params.time).ok_or_else(|| bad_request("time is no time"))?;
        let nanoseconds = u32::try_from(now % 1_000_000 * 1000).unwrap_or(0);
        let fresh_id = || Uuid::new_v7(Timestamp::from_unix_time(now / 1_000_000, nanoseconds, 0, 0));
        let context = Context { now, fresh_id: &fresh_id };
        let mut out = String::from("{\"results\":[");
        for (place, op) in params.ops.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            let operation = operation(&op.method, op.data)?;
            let judged = self.service.resources(&operation);
            let judged = judged.and_then(|held| Ok((held, self.service.validate(&operation, &context)?)));
            match judged {
                Ok((held, valid)) => {
                    out.push_str("{\"ok\":true");
                    if let Some(data) = valid.data {
                        out.push_str(",\"data\":");
                        out.push_str(&data);
                    }
                    push_resources(&held, &mut out);
                }
                Err(problem) => {
                    out.push_str("{\"ok\":false,\"problem\":");
                    push_problem(&problem, &mut out);
                }
            }
            out.push('}');
        }
        out.push_str("]}");
        Ok(out)
    }

    fn apply(&mut self, params: &Apply<'_>) -> Result<String, Problem> {
        let operations = params.ops.iter().map(|op| operation(&op.method, op.data)).collect::<Result<Vec<_>, _>>()?;
        let entries = params.ops.iter().zip(&operations).map(|(op, operation)| {
            let time = parse_time(&op.time).ok_or_else(|| bad_request("time is no time"))?;
            Ok(Entry { version: op.version, time, operation: (!operation.is_control()).then_some(operation) })
        });
        let entries = entries.collect::<Result<Vec<_>, Problem>>()?;
        let before = self.service.version();
        let outcomes = self.service.apply(&entries).map_err(|error| match error {
            ServiceError::Gap { .. } => {
                let gap = Problem::new(Code::VersionConflict, error.to_string());
                Problem { code: "gap".into(), ..gap }.with("applied_version", self.service.version())
            }
            error => away(&error),
        })?;
        // Not the service's own version: it may be beyond what was sent.
        let reached = entries.last().map_or(before, |last| last.version);
        let mut out = format!("{{\"applied_version\":{reached},\"results\":[");
        for (place, (entry, outcome)) in entries.iter().zip(outcomes).enumerate() {
            out.push_str(if place == 0 { "{\"version\":" } else { ",{\"version\":" });
            out.push_str(&entry.version.to_string());
            if entry.version <= before {
                out.push_str(",\"duplicate\":true");
            }
            if entry.version > before || outcome != Outcome::duplicate() {
                out.push_str(",\"result\":");
                out.push_str(&outcome.result);
            }
            out.push('}');
        }
        out.push_str("]}");
        Ok(out)
    }
}

fn push_resources(held: &Resources, out: &mut String) {
    let Resources::Keys(keys) = held else { return };
    out.push_str(",\"resources\":[");
    for (place, resource) in keys.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        if resource.shared {
            out.push_str("{\"name\":");
            quote(&resource.key, out);
            out.push_str(",\"shared\":true}");
        } else {
            quote(&resource.key, out);
        }
    }
    out.push(']');
}

#[derive(Deserialize)]
struct Validate<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    ops: Vec<Op<'a>>,
}

#[derive(Deserialize)]
struct Op<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Apply<'a> {
    #[serde(borrow)]
    ops: Vec<Logged<'a>>,
}

#[derive(Deserialize)]
struct Logged<'a> {
    version: Version,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct StateFile<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(default)]
    version: Version,
}

fn operation(method: &str, data: &RawValue) -> Result<Operation, Problem> {
    Ok(Operation::new(method, compacted(data.get().as_bytes())?))
}

fn parsed<'a, T: Deserialize<'a>>(params: &'a str) -> Result<T, Problem> {
    serde_json::from_str(params).map_err(|error| bad_request(&format!("the parameters: {error}")))
}

fn bad_request(why: &str) -> Problem {
    Problem::new(Code::BadRequest, why)
}

fn away(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::ServiceUnavailable, error.to_string())
}
