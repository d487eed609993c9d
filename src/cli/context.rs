//! The arguments as needed: global flags, environment and places, put together once.
//!
//! The environment is read here and nowhere else, into plain fields, so that everything behind can be tested
//! with a context made by hand.

use std::path::PathBuf;
use std::time::Duration;

use super::output::{Color, Output};
use super::settings::{self, File};
use super::{Failure, values};
use crate::error::Exit;
use crate::net::Trust;
use crate::node::{Origin, Setting};

/// Without `--timeout`: long enough for a node that restarts, short enough for a person.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// What the user's file of settings may say.
const KEYS: [&str; 6] = ["node", "data_dir", "token_file", "tls_ca", "timeout", "color"];
/// Bytes of a token file: one line.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The flags that every command takes, before or after its name.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Data directory [env: RIG_DATA_DIR] [default: the user's data directory + rig/default]
    #[arg(short = 'D', long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// Node to talk to, by name or URL; etcd://HOST:PORT/PREFIX is whoever leads by the record there [env: RIG_NODE]
    #[arg(short = 'N', long, global = true, value_name = "NAME|URL")]
    pub node: Option<String>,
    /// File with the token [env: RIG_TOKEN_FILE, or the token itself in RIG_TOKEN]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Certificate of the CA that https:// nodes, and the peers of a node, are known by [env: RIG_TLS_CA]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub tls_ca: Option<PathBuf>,
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
    /// When to use colours [default: auto]
    #[arg(long, global = true, value_name = "WHEN", value_enum)]
    pub color: Option<Color>,
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
    /// The user's settings.
    pub settings: PathBuf,
}

impl Places {
    /// As the platform has it.
    fn of_user() -> Option<Self> {
        let base = directories::BaseDirs::new()?;
        let state = base.state_dir().unwrap_or(base.data_local_dir());
        Some(Self {
            default_dir: base.data_dir().join("rig/default"),
            nodes: state.join("rig/nodes"),
            settings: base.config_dir().join("rig/config.toml"),
        })
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
    /// The file of the CA that nodes are known by, if any.
    pub tls_ca: Option<PathBuf>,
    /// The same, read.
    pub trust: Option<Trust>,
    /// File with the password of a coordinator's user, if any.
    pub coordinator_password: Option<PathBuf>,
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
    /// All of that as it was said, and where.
    pub settings: Vec<Setting>,
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
        let places = Places::of_user();
        let file = match &places {
            Some(places) => Some(settings::read::<Global>(&places.settings, |key| KEYS.contains(&key))?),
            None => None,
        };
        let own = file.as_ref().map(|file| file.args.clone()).unwrap_or_default();
        let timeout_env = match (global.timeout, text("RIG_TIMEOUT")?) {
            (None, Some(value)) => {
                let parsed = values::positive_duration(&value);
                Some(parsed.map_err(|error| Failure::usage(format!("RIG_TIMEOUT={value}: {error}")))?)
            }
            _ => None,
        };
        // A flag for the node beats the environment's directory and the other way round: the nearer word wins. So does
        // the environment's over the file's.
        let flagged = global.data_dir.is_some() || global.node.is_some();
        let node_env = if flagged { None } else { text("RIG_NODE")? };
        let dir_env = if flagged { None } else { env("RIG_DATA_DIR").map(PathBuf::from) };
        let said = flagged || node_env.is_some() || dir_env.is_some();
        let (node_own, dir_own) = if said { (None, None) } else { (own.node, own.data_dir) };
        let token_env = env("RIG_TOKEN_FILE").map(PathBuf::from);
        let named = global.token_file.is_some() || token_env.is_some();
        let token_itself = if named { None } else { text("RIG_TOKEN")? };
        let token_own = own.token_file.filter(|_| token_itself.is_none());
        let choose = Choose { file: file.as_ref(), settings: Vec::new() };
        let (mut choose, shown) = (choose, |path: &PathBuf| path.display().to_string());
        let node = choose.of("node", [global.node, node_env, node_own], "RIG_NODE", Clone::clone);
        let data_dir = choose.of("data_dir", [global.data_dir, dir_env, dir_own], "RIG_DATA_DIR", shown);
        let token_file = choose.of("token_file", [global.token_file, token_env, token_own], "RIG_TOKEN_FILE", shown);
        if let Some(last) = choose.settings.last_mut().filter(|_| token_itself.is_some()) {
            last.origin = Origin::Environment("RIG_TOKEN");
        }
        let tls_ca_env = env("RIG_TLS_CA").map(PathBuf::from);
        let tls_ca = choose.of("tls_ca", [global.tls_ca, tls_ca_env, own.tls_ca], "RIG_TLS_CA", shown);
        let timeout =
            choose.of("timeout", [global.timeout, timeout_env, own.timeout], "RIG_TIMEOUT", |t| settings::duration(*t));
        let color = choose.of("color", [global.color, None, own.color], "", |color| color.word().to_owned());
        Ok(Self {
            data_dir,
            node,
            token: token_file.as_deref().map(read_token).transpose()?.or(token_itself),
            trust: tls_ca.as_deref().map(Trust::load).transpose()?,
            tls_ca,
            coordinator_password: env("RIG_COORDINATOR_PASSWORD_FILE").map(PathBuf::from),
            timeout,
            verbose: global.verbose,
            no_input: global.no_input,
            out: Output::new(global.json, global.quiet, color.unwrap_or_default()),
            places,
            settings: choose.settings,
        })
    }

    /// The directory, where flag or environment names it: a word for this command, not for all of them.
    pub fn named_dir(&self) -> Option<&PathBuf> {
        let of_file = |setting: &Setting| setting.key == "data_dir" && matches!(setting.origin, Origin::File(..));
        self.data_dir.as_ref().filter(|_| !self.settings.iter().any(of_file))
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

/// Of several words on one thing the nearest, noting whose it was.
struct Choose<'a> {
    file: Option<&'a File<Global>>,
    settings: Vec<Setting>,
}

impl Choose<'_> {
    /// Flag, environment, file, in this order.
    fn of<T>(
        &mut self,
        key: &'static str,
        said: [Option<T>; 3],
        variable: &'static str,
        shown: impl Fn(&T) -> String,
    ) -> Option<T> {
        let at = said.iter().position(Option::is_some);
        let origin = match at {
            Some(0) => Origin::Flag,
            Some(1) => Origin::Environment(variable),
            Some(_) => self.file.and_then(|file| file.origin(key)).unwrap_or(Origin::Default),
            None => Origin::Default,
        };
        let found = said.into_iter().flatten().next();
        self.settings.push(Setting { key, value: found.as_ref().map(shown), origin });
        found
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
            tls_ca: None,
            coordinator_password: None,
            trust: None,
            timeout: None,
            verbose: false,
            no_input: true,
            out: Output::new(false, true, Color::Never),
            places: Some(Places {
                default_dir: home.join("data/rig/default"),
                nodes: home.join("state/rig/nodes"),
                settings: home.join("config/rig/config.toml"),
            }),
            settings: Vec::new(),
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
