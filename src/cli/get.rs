//! `rig get`: one document.

use std::time::Instant;

use super::{Context, Failure, Outcome, apply, help, pretty, values};
use crate::client::{GRACE, Request};
use crate::error::Exit;
use crate::http::encode;
use crate::types::Version;

/// Read a document
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig get user alice", "rig get user alice --min-version 1043 --json"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Rejected, Exit::Unavailable,
        Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Its type, as user
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    /// Wait until the node has applied this version
    #[arg(long, value_name = "V", value_parser = values::version)]
    min_version: Option<Version>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let mut path = "/data/".to_owned();
    encode(&args.kind, &mut path);
    path.push('/');
    encode(&args.id, &mut path);
    let data = read(waiting(Request::get(path), args.min_version, context), context)?;
    print(&data, context)?;
    Ok(Exit::Ok)
}

/// The request, with how long it may wait for a version.
pub(crate) fn waiting(request: Request, version: Option<Version>, context: &Context) -> Request {
    match version {
        None => request,
        Some(version) => {
            let millis = context.timeout().min(crate::limits::REQUEST_TIMEOUT_MAX).as_millis().max(1);
            request.header("Rig-Min-Version", version.to_string()).header("Rig-Timeout-Ms", millis.to_string())
        }
    }
}

/// Asks the node and gives what is under `data`.
pub(crate) fn read(request: Request, context: &Context) -> Result<String, Failure> {
    let mut client = apply::client_for(context)?;
    let response = client.get(&request, Instant::now() + context.timeout() + GRACE).map_err(Failure::of_read)?;
    if !response.is_success() {
        return Err(response.into());
    }
    response.data().map(str::to_owned).ok_or_else(|| Failure::bad_answer(client.url()))
}

/// One value: a line for programs, spread out for people.
pub(crate) fn print(data: &str, context: &Context) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(data);
    }
    let mut text = String::new();
    pretty::pretty(data, 0, &mut text);
    context.out.line(text)
}
