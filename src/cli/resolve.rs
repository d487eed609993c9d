//! `rig resolve`: ends a split brain by naming the winner.

use serde_json::json;

use super::ask::{order, word};
use super::output::Look;
use super::promote::{changed, tell};
use super::{Context, Outcome, help, status, target};
use crate::client::{Client, Request};
use crate::error::Exit;

/// End a split brain: name the node whose log goes on
///
/// Two sides have written, and both have stopped. The winner opens a new epoch with its log; the other node sets
/// the records that only it has aside in its rescue/ and follows. Nothing is deleted: `rig rescue ls` shows them.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig resolve --winner n2 --dry-run", "rig resolve --winner n2 --confirm n2"]),
    after_long_help = help::exits(&[
        Exit::Ok, Exit::Failure, Exit::Usage, Exit::NotFound, Exit::Unreachable, Exit::Conflict, Exit::Unknown,
        Exit::Unavailable, Exit::Auth,
    ])
)]
pub(crate) struct Args {
    /// Name or URL of the node whose log goes on
    #[arg(long, value_name = "NODE")]
    winner: String,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
    /// The name of the winner, to say that this is meant
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let (target, status) = status::of(Some(&args.winner), context)?;
    let name = word(&status["name"]);
    let mut client = Client::new(target.url, target::options(context));
    let request = |dry_run: bool| Request::post("/resolve", json!({ "winner": name, "dry_run": dry_run }).to_string());
    // Whether there is anything to decide is found out before anybody is asked.
    let data = order(&mut client, &request(true), context)?;
    if args.dry_run {
        let line = changed(&data, "resolved", &name, true, true);
        context.out.either(&line, || {
            let would = context.out.look(Look::Strong, "would go on");
            format!("{would}  {name}, from version {}; what only others have goes to their rescue/\n", data["version"])
        })?;
        return Ok(Exit::Ok);
    }
    let what = format!("{name} goes on from version {}; what only others have is set aside", data["version"]);
    context.confirm(args.confirm.as_deref(), &name, &what)?;
    let data = order(&mut client, &request(false), context)?;
    tell(&data, "resolved", &name, true, context)
}
