//! `rig ls`: the documents of one type, as many as there are, at one version.
//!
//! The node sends one long answer; its items are printed while it comes, so that neither side holds all of them.

use std::time::{Duration, Instant};

use super::output::Table;
use super::pretty::Splitter;
use super::{Context, Failure, Outcome, apply, get, help, values};
use crate::client::{GRACE, Request};
use crate::error::Exit;
use crate::http::encode;
use crate::types::json;
use crate::types::{Version, dump};

/// Bytes of a document in a table.
const SHOWN_BYTES: usize = 60;
/// Rows after which a table is printed, so that a long list begins to appear.
const ROWS: usize = 1000;
/// How long the node may say nothing in the middle of its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// List documents
///
/// Without --limit all documents of the type are listed, at one version. A value of --where is the text of a
/// string, or a number, true, false or null as it is spelled in the document.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig ls user", "rig ls user --where team_id=red --limit 100 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Rejected, Exit::Unavailable, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Their type, as user
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Only those whose field has this value; may be given again
    #[arg(long = "where", value_name = "FIELD=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// At most so many, up to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: Option<u64>,
    /// Only those behind this id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Wait until the node has applied this version
    #[arg(long, value_name = "V", value_parser = values::version)]
    min_version: Option<Version>,
}

fn condition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("limit" | "after", _)) => Err("fields called limit and after cannot be asked for".to_owned()),
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        _ => Err("expected FIELD=VALUE".to_owned()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let request = get::waiting(Request::get(target(&args)), args.min_version, context);
    let mut client = apply::client_for(context)?;
    let mut items = Items::default();
    let mut table = Rows::new(context);
    let each = |piece: &[u8]| {
        items.feed(piece, &mut |item| table.add(item))?;
        Ok::<_, Failure>(true)
    };
    let deadline = Instant::now() + context.timeout() + GRACE;
    match client.stream(&request, deadline, PATIENCE, each).map_err(Failure::of_read)?? {
        None if items.is_complete() => {}
        None => return Err(Failure::bad_answer(client.url())),
        Some(response) => return Err(response.into()),
    }
    table.finish()?;
    Ok(Exit::Ok)
}

fn target(args: &Args) -> String {
    let mut target = "/data/".to_owned();
    encode(&args.kind, &mut target);
    let mut separator = '?';
    let mut parameter = |name: &str, value: &str| {
        target.push(separator);
        encode(name, &mut target);
        target.push('=');
        encode(value, &mut target);
        separator = '&';
    };
    for (field, value) in &args.conditions {
        parameter(field, value);
    }
    if let Some(limit) = args.limit {
        parameter("limit", &limit.to_string());
    }
    if let Some(after) = &args.after {
        parameter("after", after);
    }
    target
}

/// Takes the items out of `{"data":{"items":[…],…}}` while it comes.
#[derive(Debug, Default)]
struct Items {
    begun: bool,
    done: bool,
    pending: Vec<u8>,
    splitter: Splitter,
    /// Bytes of `pending` that the splitter has seen.
    seen: usize,
}

impl Items {
    const START: &'static [u8] = b"{\"data\":{\"items\":[";

    fn feed(&mut self, piece: &[u8], each: &mut impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.done {
            return Ok(());
        }
        self.pending.extend_from_slice(piece);
        if !self.begun {
            if self.pending.len() < Self::START.len() {
                return Ok(());
            }
            if !self.pending.starts_with(Self::START) {
                // Not what was asked for: `is_complete` will say so.
                self.done = true;
                self.seen = usize::MAX;
                return Ok(());
            }
            self.pending.drain(..Self::START.len());
            self.begun = true;
        }
        let mut from = 0;
        while self.seen < self.pending.len() {
            let byte = self.pending[self.seen];
            let outside = self.splitter.is_outside(byte);
            self.seen += 1;
            if outside && matches!(byte, b',' | b']') {
                let item = std::str::from_utf8(&self.pending[from..self.seen - 1]).unwrap_or_default();
                if !item.is_empty() {
                    each(item)?;
                }
                from = self.seen;
                self.done = byte == b']';
                if self.done {
                    break;
                }
            }
        }
        self.pending.drain(..from);
        self.seen -= from;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.begun && self.done
    }
}

struct Rows<'a> {
    context: &'a Context,
    table: Table,
    rows: usize,
    printed: bool,
}

impl<'a> Rows<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, table: Self::empty(), rows: 0, printed: false }
    }

    fn empty() -> Table {
        Table::new(&["ID", "VERSION", "UPDATED", "DOCUMENT"], &[1])
    }

    fn add(&mut self, item: &str) -> Result<(), Failure> {
        if self.context.out.is_json() {
            return self.context.out.line(item);
        }
        let text = |name: &str| json::get(item, name).and_then(json::string_of).unwrap_or_default().into_owned();
        let version = json::get(item, "_version").unwrap_or_default().to_owned();
        let own: Vec<_> = json::members(item)
            .filter(|member| !member.key().starts_with('_') && member.key() != "id")
            .map(|member| format!("\"{}\":{}", member.key(), member.value()))
            .collect();
        let document = dump::short(&format!("{{{}}}", own.join(",")), SHOWN_BYTES);
        self.table.row([text("id"), version, second(&text("_updated")), document]);
        self.rows += 1;
        if self.rows == ROWS { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> Result<(), Failure> {
        let table = std::mem::replace(&mut self.table, Self::empty());
        self.rows = 0;
        let first = !std::mem::replace(&mut self.printed, true);
        if first { self.context.out.table(&table) } else { self.context.out.rows(&table) }
    }

    fn finish(mut self) -> Result<(), Failure> {
        match (self.context.out.is_json(), self.rows, self.printed) {
            (true, ..) => Ok(()),
            (false, 0, false) => {
                self.context.out.note("there are none");
                Ok(())
            }
            (false, 0, true) => Ok(()),
            _ => self.print(),
        }
    }
}

/// A time without its fraction, as people read it.
pub(crate) fn second(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &[u8], size: usize) -> (Vec<String>, bool) {
        let (mut items, mut found) = (Items::default(), Vec::new());
        for piece in body.chunks(size) {
            let each = &mut |item: &str| {
                found.push(item.to_owned());
                Ok(())
            };
            items.feed(piece, each).unwrap();
        }
        (found, items.is_complete())
    }

    #[test]
    fn items_are_taken_out_however_the_answer_is_cut() {
        let body = br#"{"data":{"items":[{"id":"a","x":"],}"},{"id":"b","y":[1,[2]]}],"next":null,"version":7}}"#;
        for size in 1..body.len() {
            let (found, complete) = split(body, size);
            assert_eq!(found, [r#"{"id":"a","x":"],}"}"#, r#"{"id":"b","y":[1,[2]]}"#], "{size}");
            assert!(complete);
        }
        assert_eq!(split(br#"{"data":{"items":[],"next":null}}"#, 3), (vec![], true));
    }

    #[test]
    fn an_answer_that_is_cut_or_something_else_is_not_complete() {
        assert!(!split(br#"{"data":{"items":[{"id":"a"},{"id""#, 5).1);
        assert!(!split(br#"{"data":[1,2,3,4,5,6,7,8,9,10]}"#, 5).1);
        assert!(!split(b"", 5).1);
    }

    #[test]
    fn conditions_are_encoded_into_the_query() {
        let args = Args {
            kind: "user".into(),
            conditions: vec![condition("e mail=a&b@x").unwrap(), condition("n=").unwrap()],
            limit: Some(5),
            after: Some("z/1".into()),
            min_version: None,
        };
        assert_eq!(target(&args), "/data/user?e%20mail=a%26b%40x&n=&limit=5&after=z%2F1");
        assert!(condition("x").is_err() && condition("=1").is_err() && condition("limit=1").is_err());
    }
}
