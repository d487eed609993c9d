//! Help: the layout of `--help`, and the topics of `rig help`.

use std::fmt::Write;

use super::{Context, Failure, GROUPS, Outcome};
use crate::error::Exit;

/// Help on a command, or on exit-codes, environment, replication, alerts, systemd or haproxy
#[derive(Debug, clap::Args)]
#[command(
    before_help = examples(&["rig help apply", "rig help exit-codes", "rig help alerts"]),
    after_long_help = exits(&[Exit::Ok, Exit::Usage])
)]
pub(crate) struct Args {
    /// A command (as `log dump`), or exit-codes, environment, replication, alerts, systemd, haproxy
    #[arg(value_name = "COMMAND|TOPIC")]
    topic: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let words: Vec<_> = args.topic.iter().map(String::as_str).collect();
    let text = match words[..] {
        ["exit-codes"] => exit_codes(),
        ["environment"] => ENVIRONMENT.to_owned(),
        ["replication"] => REPLICATION.to_owned(),
        // Files as they are used, so that the program is all that has to be there.
        ["alerts"] => include_str!("help/alerts.yml").to_owned(),
        ["systemd"] => include_str!("help/rig@.service").to_owned(),
        ["haproxy"] => include_str!("help/haproxy.cfg").to_owned(),
        _ => {
            let mut command = find(&words)?;
            let help = command.render_long_help();
            return context.out.text(&help.to_string()).map(|()| Exit::Ok);
        }
    };
    context.out.text(&text)?;
    Ok(Exit::Ok)
}

/// The definition of a command given by its words, ready to be shown alone.
pub(crate) fn find(words: &[&str]) -> Result<clap::Command, Failure> {
    let mut root = super::command();
    root.build();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let known: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
            let hint = match known.is_empty() {
                true => format!("`{}` has no commands of its own", command.get_name()),
                false => format!(
                    "commands: {}; topics: exit-codes, environment, replication, alerts, systemd, haproxy",
                    known.join(", ")
                ),
            };
            Failure::usage(format!("there is no help on `{}`", words.join(" "))).hint(hint)
        })?;
    }
    Ok(command.clone())
}

/// Two or more real command lines, above the options of a help text.
pub(crate) fn examples(lines: &[&str]) -> String {
    let mut text = "Examples:".to_owned();
    for line in lines {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

/// What a command can end with, below the options of the long help.
pub(crate) fn exits(exits: &[Exit]) -> String {
    let mut text = "Exit status:".to_owned();
    for exit in exits {
        push_exit(&mut text, *exit);
    }
    text
}

fn push_exit(text: &mut String, exit: Exit) {
    write!(text, "\n  {:>2}  {:<12} {}", exit as u8, exit.name(), meaning(exit)).expect("a string takes all text");
}

/// Every exit code, in the order of its number.
pub(crate) const EXITS: [Exit; 13] = [
    Exit::Ok,
    Exit::Failure,
    Exit::Usage,
    Exit::NotFound,
    Exit::Unreachable,
    Exit::Rejected,
    Exit::Conflict,
    Exit::Unknown,
    Exit::Unavailable,
    Exit::Corrupt,
    Exit::InUse,
    Exit::Auth,
    Exit::Degraded,
];

fn meaning(exit: Exit) -> &'static str {
    match exit {
        Exit::Ok => "done",
        Exit::Failure => "unexpected: local I/O error, bug",
        Exit::Usage => "bad flag, unreadable or non-JSON payload; nothing was sent",
        Exit::NotFound => "data directory not initialised, no such node, document, version",
        Exit::Unreachable => "could not connect; nothing was sent",
        Exit::Rejected => "the service or a limit said no",
        Exit::Conflict => "exists, version precondition, already initialised, stale epoch, refused role",
        Exit::Unknown => "was sent, no final answer: run again with the same key",
        Exit::Unavailable => "surely not logged, try later: not primary, too few in sync, busy",
        Exit::Corrupt => "damage, tampering or divergence found",
        Exit::InUse => "another process holds the data directory",
        Exit::Auth => "token missing or refused",
        Exit::Degraded => "works, but not as asked (status --check, wait, doctor)",
    }
}

fn exit_codes() -> String {
    let mut text = "Exit codes of rig. A code that is not listed means failure.\n".to_owned();
    for exit in EXITS {
        push_exit(&mut text, exit);
    }
    text.push_str(
        "\n\nOnly 7 leaves open whether the operation is in the log: run it again with the same key, which the\n\
         message names, and the answer is the first one's. A batch ends with the worst of its operations, in the\n\
         order 7, 9, 11, 8, 6, 5, 3, 1, 0. `rig serve` ends with 130 when a second signal cuts its drain short.\n",
    );
    text
}

const ENVIRONMENT: &str = "\
Environment of rig. A flag beats the environment, the environment beats the user's file of settings.

  RIG_DATA_DIR    the data directory, as -D
  RIG_NODE        the node to talk to, as -N
  RIG_TOKEN_FILE  a file with the token, as --token-file
  RIG_TOKEN       the token itself; others on this machine may see it, a file is better. With -N etcd://… it goes to the URL that
                  the record names: let only the nodes write there (users and roles of etcd), and use etcds:// and https://
  RIG_TLS_CA      the certificate of the CA that https:// nodes are known by, as --tls-ca; `rig serve` takes the flag alone
  RIG_TIMEOUT     how long to try, as --timeout
  RIG_COORDINATOR_PASSWORD_FILE
                  a file with the password of the user in etcd://USER@HOST…, for -N and `rig coordinator`
  NO_COLOR        no colours, whatever its value
  CLICOLOR_FORCE  colours even into a pipe
  XDG_DATA_HOME   the default data directory is rig/default below it (else ~/.local/share)
  XDG_STATE_HOME  the registry of local nodes is rig/nodes below it (else ~/.local/state)
  XDG_CONFIG_HOME the file of settings is rig/config.toml below it (else ~/.config)

The file of settings has lines KEY = VALUE, as node = \"n1\" or timeout = \"5s\"; the keys are node, data_dir, token_file,
tls_ca, timeout and color. Paths in it are meant from its folder. `rig config show --origin` says where each value comes from.

A command that talks to a node takes the first of these that holds:

  1. --node or RIG_NODE
  2. the node of -D or RIG_DATA_DIR, and no other
     (where none of these is given: node and data_dir of the file of settings, in the same way)
  3. the node of the default data directory, when it runs
  4. the only primary that runs on this machine
";

const REPLICATION: &str = "\
How Rig keeps a log.

An operation is {method, data}. The primary checks it with the service, writes it into its log and sends it to
the other members at the same time (prepare). When it is durable on every member of the in-sync set, it is
decided (commit), given to the service (apply), and answered. The answer says what it promises:

  sync      on the disk of every member of the in-sync set
  degraded  on fewer disks than asked for, and recorded as such
  async     on the primary's disk; replicas follow when they can
  local     on the only node there is

  --replication semi-sync  (default) a member that does not answer within --sync-timeout leaves the in-sync set,
                           which is recorded before the first answer without it; writes go on as `degraded`
  --replication sync       never answers with fewer than --min-replicas acknowledgements
  --replication async      never waits for replicas

When the primary lives, `rig promote NODE` makes it hand over. When it is gone, a replica is promoted if it is certain
that nothing answered is missing from its log: in sync, when enough members promise. Else it refuses (exit 6) and says
what it knows; --accept-data-loss goes on all the same. A node that comes back follows the newer epoch, and sets aside
what only it has: `rig rescue ls`, `show`, `replay`. A node that may not do its work says why: `rig status`.

With --coordinator etcd://HOST[,HOST…]/PREFIX the nodes keep the epoch and the in-sync set in etcd, and one that is in
the set takes over by itself when the primary is gone: `rig coordinator show`, `rig -N etcd://…`.

What is answered 200 is in the log. What is refused with 4xx or 503 is not, and never will be. Only 504, or a lost
connection, leaves it open: ask again with the same key.
";

/// Gives every help text its layout: what it does, how it is called, examples, options, and what it ends with.
pub(crate) fn lay_out(root: clap::Command) -> clap::Command {
    let groups = groups(&root);
    let story = "\
Examples:
  rig init                                   make a data directory
  rig serve --role primary                   run a node
  rig serve --role replica --peer URL        run another one that has its log
  rig apply user_create payload.json         append one operation
  rig log verify                             audit the log";
    let root = each(root);
    root.before_help(story).help_template(format!(
        "{{name}} {{version}}: {{about}}\n\n{{usage-heading}} {{usage}}\n\n{{before-help}}{groups}\nGlobal options:\n{{options}}\n\nMore: `rig help COMMAND`, `rig help exit-codes|environment|replication|alerts|systemd|haproxy`\n"
    ))
}

fn each(command: clap::Command) -> clap::Command {
    const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";
    command.disable_help_subcommand(true).mut_subcommands(|command| each(command.help_template(TEMPLATE)))
}

fn groups(root: &clap::Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        writeln!(text, "{title}:").expect("a string takes all text");
        for name in *names {
            let about = root.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            writeln!(text, "  {name:<12} {about}").expect("a string takes all text");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end_matches('\n').len() + 1);
    text
}
