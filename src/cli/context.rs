//! The arguments as needed: global flags, environment and places, put together once.
//!
//! The environment is read here and nowhere else, into plain fields, so that everything behind can be tested
//! with a context made by hand.

use std::path::PathBuf;
use std::time::Duration;

use super::output::{Color, Output};
use super::{Failure, values};
use crate::error::Exit;

/// Without `--timeout`: long enough for a node that restarts, short enough for a person.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Bytes of a token file: one line.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The flags that every command takes, before or after its name.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Data directory [env: RIG_DATA_DIR] [default: the user's data directory + rig/default]
    #[arg(short = 'D', long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// Node to talk to, by name or URL [env: RIG_NODE]
    #[arg(short = 'N', long, global = true, value_name = "NAME|URL")]
    pub node: Option<String>,
    /// File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// How long to try, as 30s; in a batch, each operation [env: RIG_TIMEOUT] [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = values::positive_duration)]
    pub timeout: Option<Duration>,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what is essential
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the equivalent curl line of every request on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
    /// Never ask, even on a terminal
    #[arg(long, global = true)]
    pub no_input: bool,
}

/// Where this user's things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The data directory of the node that has no other.
    pub default_dir: PathBuf,
    /// The registry of local nodes.
    pub nodes: PathBuf,
}

impl Places {
    /// As the platform has it.
    fn of_user() -> Option<Self> {
        let base = directories::BaseDirs::new()?;
        let state = base.state_dir().unwrap_or(base.data_local_dir());
        Some(Self { default_dir: base.data_dir().join("rig/default"), nodes: state.join("rig/nodes") })
    }
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// The directory asked for by flag or environment.
    pub data_dir: Option<PathBuf>,
    /// The node asked for by flag or environment.
    pub node: Option<String>,
    /// The token to show, if any.
    pub token: Option<String>,
    /// How long to try, if it was said.
    pub timeout: Option<Duration>,
    /// Whether requests are shown as curl lines.
    pub verbose: bool,
    /// Whether questions are forbidden.
    pub no_input: bool,
    /// Where the data goes.
    pub out: Output,
    /// This user's places; none without a home.
    pub places: Option<Places>,
}

impl Context {
    /// The context of this process.
    pub fn new(global: Global) -> Result<Self, Failure> {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| match env(name).map(std::ffi::OsString::into_string) {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(Failure::usage(format!("{name} is not UTF-8"))),
            None => Ok(None),
        };
        let timeout = match (global.timeout, text("RIG_TIMEOUT")?) {
            (None, Some(value)) => {
                let parsed = values::positive_duration(&value);
                Some(parsed.map_err(|error| Failure::usage(format!("RIG_TIMEOUT={value}: {error}")))?)
            }
            (flag, _) => flag,
        };
        // A flag for the node beats the environment's directory and the other way round: the nearer word wins.
        let flagged = global.data_dir.is_some() || global.node.is_some();
        let node_env = if flagged { None } else { text("RIG_NODE")? };
        let dir_env = if flagged { None } else { env("RIG_DATA_DIR").map(PathBuf::from) };
        let token = match global.token_file.or_else(|| env("RIG_TOKEN_FILE").map(PathBuf::from)) {
            Some(file) => Some(read_token(&file)?),
            None => text("RIG_TOKEN")?,
        };
        Ok(Self {
            data_dir: global.data_dir.or(dir_env),
            node: global.node.or(node_env),
            token,
            timeout,
            verbose: global.verbose,
            no_input: global.no_input,
            out: Output::new(global.json, global.quiet, global.color),
            places: Places::of_user(),
        })
    }

    /// How long to try.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// This user's places, for a command that cannot do without.
    pub fn places(&self) -> Result<&Places, Failure> {
        self.places.as_ref().ok_or_else(|| {
            Failure::new(Exit::Failure, "no_home", "this user has no home directory")
                .hint("set HOME, or name a directory with -D and a node with -N")
        })
    }

    /// A severe action goes on only when its object was named, by `--confirm NAME` or at the terminal.
    pub fn confirm(&self, confirmed: Option<&str>, name: &str, what: &str) -> Result<(), Failure> {
        use std::io::{BufRead, IsTerminal, Write};
        let refused = |message: String| {
            Err(Failure::new(Exit::Usage, "not_confirmed", message)
                .hint(format!("if this is what you want, add --confirm {name}")))
        };
        match confirmed {
            Some(given) if given == name => return Ok(()),
            Some(given) => return refused(format!("--confirm {given} does not name this node, which is {name}")),
            None => {}
        }
        let stdin = std::io::stdin();
        if self.no_input || self.out.is_json() || !stdin.is_terminal() || !std::io::stderr().is_terminal() {
            return refused(format!("this needs a confirmation: {what}"));
        }
        // If the question cannot be shown, the answer will not be the name.
        let _ = write!(std::io::stderr().lock(), "{what}\ntype the node's name to go on ({name}): ");
        let mut answer = String::new();
        match stdin.lock().read_line(&mut answer) {
            Ok(_) if answer.trim() == name => Ok(()),
            _ => refused("not confirmed; nothing was changed".to_owned()),
        }
    }
}

fn read_token(file: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| Failure { exit: Exit::Usage, ..Failure::io("read token", file, &error) })?;
    let token = text.trim();
    if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!("{}: expected one line with a token", file.display())));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A context whose places are all below one directory, and nothing given.
    pub(crate) fn context_in(home: &std::path::Path) -> Context {
        Context {
            data_dir: None,
            node: None,
            token: None,
            timeout: None,
            verbose: false,
            no_input: true,
            out: Output::new(false, true, Color::Never),
            places: Some(Places { default_dir: home.join("data/rig/default"), nodes: home.join("state/rig/nodes") }),
        }
    }

    #[test]
    fn a_severe_action_needs_the_right_name_and_is_never_asked_for_without_a_terminal() {
        let home = tempfile::tempdir().unwrap();
        let context = context_in(home.path());
        assert!(context.confirm(Some("n1"), "n1", "cutting the log").is_ok());
        for confirmed in [Some("n2"), None] {
            let failure = context.confirm(confirmed, "n1", "cutting the log").unwrap_err();
            assert_eq!((failure.exit, &*failure.code), (Exit::Usage, "not_confirmed"));
            assert!(failure.hint.contains("--confirm n1"));
        }
    }

    #[test]
    fn a_token_is_one_line_of_a_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("token");
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(read_token(&file).unwrap(), "s3cret");
        for bad in ["", "\n", "a b", "a\nb", "\u{e9}"] {
            std::fs::write(&file, bad).unwrap();
            assert_eq!(read_token(&file).unwrap_err().exit, Exit::Usage, "{bad:?}");
        }
        assert_eq!(read_token(&home.path().join("none")).unwrap_err().exit, Exit::Usage);
    }
}
