//! `rig schema`: what is demanded of the documents of a type.

use std::path::PathBuf;
use std::time::Instant;

use super::{Context, Failure, Outcome, apply, get, help, values};
use crate::client::{Request, Submission};
use crate::error::Exit;
use crate::http::encode;
use crate::types::json;

const EXITS: &[Exit] = &[
    Exit::Ok,
    Exit::Failure,
    Exit::Usage,
    Exit::NotFound,
    Exit::Unreachable,
    Exit::Rejected,
    Exit::Conflict,
    Exit::Unknown,
    Exit::Unavailable,
    Exit::Auth,
];

/// Set or show what is demanded of the documents of a type
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Set(Set),
    Get(Get),
    Ls(Ls),
}

/// Set the schema of a type
///
/// The schema is an operation in the log like any other, and so the same on every node. It replaces the one
/// before. Documents that exist must fit it, else it is refused and nothing changes.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig schema set user --unique email --required name",
        "rig schema set user --references team_id=team:cascade --json-schema user.schema.json",
    ]),
    after_long_help = help::exits(EXITS)
)]
struct Set {
    /// The type, as user
    #[arg(value_name = "TYPE")]
    kind: String,
    /// A field whose values no two documents share; may be given again
    #[arg(long, value_name = "FIELD")]
    unique: Vec<String>,
    /// A field that must be there and not null; may be given again
    #[arg(long, value_name = "FIELD")]
    required: Vec<String>,
    /// A field with the id of another document, and what its deletion does: cascade, restrict or set_null
    #[arg(long, value_name = "FIELD=TYPE:ACTION", value_parser = reference)]
    references: Vec<Reference>,
    /// File with a JSON Schema for the whole document
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    json_schema: Option<PathBuf>,
    /// Key of the operation [default: a new one]
    #[arg(long, value_name = "KEY", value_parser = apply::key)]
    key: Option<String>,
}

/// Show the schema of a type
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig schema get user", "rig schema get user --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Auth])
)]
struct Get {
    /// The type
    #[arg(value_name = "TYPE")]
    kind: String,
}

/// List the types that have a schema
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig schema ls", "rig schema ls --json"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unreachable, Exit::Auth])
)]
struct Ls {}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    field: String,
    kind: String,
    on_delete: String,
}

fn reference(text: &str) -> Result<Reference, String> {
    let parts = text.split_once('=').and_then(|(field, rest)| Some((field, rest.split_once(':')?)));
    match parts {
        Some((field, (kind, on_delete @ ("cascade" | "restrict" | "set_null"))))
            if !field.is_empty() && !kind.is_empty() =>
        {
            Ok(Reference { field: field.into(), kind: kind.into(), on_delete: on_delete.into() })
        }
        _ => Err("expected FIELD=TYPE:ACTION, where ACTION is cascade, restrict or set_null".to_owned()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Set(args) => set(args, context),
        Command::Get(args) => {
            let mut path = "/schema/".to_owned();
            encode(&args.kind, &mut path);
            get::print(&get::read(Request::get(path), context)?, context)?;
            Ok(Exit::Ok)
        }
        Command::Ls(Ls {}) => ls(context),
    }
}

fn ls(context: &Context) -> Outcome {
    let data = get::read(Request::get("/schema"), context)?;
    let mut table = super::output::Table::new(&["TYPE", "VERSION", "UNIQUE", "REQUIRED", "REFERENCES"], &[1]);
    for schema in json::items(&data).unwrap_or_default() {
        if context.out.is_json() {
            context.out.line(schema)?;
            continue;
        }
        let text = |name: &str| json::get(schema, name).and_then(json::string_of).unwrap_or_default().into_owned();
        let list = |name: &str| {
            let items = json::get(schema, name).and_then(json::items).unwrap_or_default();
            let names: Vec<_> =
                items.into_iter().filter_map(|item| json::string_of(item).map(std::borrow::Cow::into_owned)).collect();
            if names.is_empty() { "-".to_owned() } else { names.join(",") }
        };
        let references: Vec<_> = json::members(json::get(schema, "references").unwrap_or("{}"))
            .map(|member| member.key().to_owned())
            .collect();
        let references = if references.is_empty() { "-".to_owned() } else { references.join(",") };
        let version = json::get(schema, "_version").unwrap_or("-").to_owned();
        table.row([text("type"), version, list("unique"), list("required"), references]);
    }
    if table.is_empty() {
        context.out.note("no type has a schema");
    } else {
        context.out.table(&table)?;
    }
    Ok(Exit::Ok)
}

fn set(args: Set, context: &Context) -> Outcome {
    if !values::is_method(&args.kind) {
        return Err(Failure::usage(format!("{}: a type is made of a-z, 0-9 and _", args.kind)));
    }
    let data = data(&args)?;
    let key = args.key.unwrap_or_else(apply::new_key);
    let tell_timeout = context.timeout.is_some();
    let what = Submission { method: "schema_set", data: &data, key: &key, version: None, tell_timeout };
    let mut client = apply::client_for(context)?;
    apply::submit(&mut client, &what, Instant::now() + context.timeout())?.print(&context.out)?;
    Ok(Exit::Ok)
}

fn data(args: &Set) -> Result<String, Failure> {
    let list = |names: &[String]| {
        let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        format!("[{}]", quoted.join(","))
    };
    let references: Vec<_> = args
        .references
        .iter()
        .map(|to| format!("{}:{{\"type\":{},\"on_delete\":\"{}\"}}", quoted(&to.field), quoted(&to.kind), to.on_delete))
        .collect();
    let mut data = format!(
        "{{\"type\":{},\"unique\":{},\"required\":{},\"references\":{{{}}}",
        quoted(&args.kind),
        list(&args.unique),
        list(&args.required),
        references.join(","),
    );
    if let Some(file) = &args.json_schema {
        data.push_str(",\"json_schema\":");
        data.push_str(&apply::payload_file(file)?);
    }
    data.push('}');
    // The same pass as at the node: a reference that is given twice is a repeated key.
    let mut line = String::new();
    json::compact(data.as_bytes(), &mut line)
        .map_err(|error| Failure::usage(format!("the schema: {}", error.message)))?;
    Ok(line)
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::quote(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_of(references: &[&str]) -> Set {
        Set {
            kind: "user".into(),
            unique: vec!["email".into()],
            required: vec!["name".into()],
            references: references.iter().map(|text| reference(text).unwrap()).collect(),
            json_schema: None,
            key: None,
        }
    }

    #[test]
    fn the_operation_is_the_one_of_the_contract() {
        assert_eq!(
            data(&set_of(&["team_id=team:cascade"])).unwrap(),
            r#"{"type":"user","unique":["email"],"required":["name"],"references":{"team_id":{"type":"team","on_delete":"cascade"}}}"#
        );
    }

    #[test]
    fn references_are_checked_before_anything_is_sent() {
        for bad in ["team_id", "team_id=team", "team_id=team:drop", "=team:cascade", "a=:cascade"] {
            assert!(reference(bad).is_err(), "{bad}");
        }
        assert_eq!(data(&set_of(&["a=b:cascade", "a=c:restrict"])).unwrap_err().exit, Exit::Usage);
    }
}
