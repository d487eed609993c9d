//! What a command says when it fails: three lines for people, one object for programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use crate::client::{self, Response, Url};
use crate::error::{Exit, Problem};
use crate::net::{self, Fault};
use crate::node::dir::DirError;

/// Numbers and names of a problem document, by their member.
#[derive(Debug, Clone, Default)]
pub struct Facts(pub Vec<(Cow<'static, str>, serde_json::Value)>);

/// A command that did not do what was asked, with everything that is said about it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// One word for programs.
    pub code: Cow<'static, str>,
    /// What happened, where.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// Whether it is certain that nothing was done.
    pub definite: bool,
    /// Whether the same command can succeed later.
    pub retryable: bool,
    /// The request that was refused.
    pub request: Option<Box<str>>,
    /// The key under which an unknown outcome can be asked for again.
    pub key: Option<Box<str>>,
    /// What the node said beside its text, for programs.
    pub facts: Box<Facts>,
    /// Everything was said already, or nobody listens: only the exit code is left.
    pub(crate) silent: bool,
}

impl Failure {
    /// A failure with a code of its own.
    pub fn new(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into(),
            hint: String::new(),
            definite: exit != Exit::Unknown,
            retryable: matches!(exit, Exit::Unknown | Exit::Unavailable | Exit::Unreachable),
            request: None,
            key: None,
            facts: Box::default(),
            silent: false,
        }
    }

    /// The caller asked for something that cannot be meant; nothing was sent.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "bad_argument", message)
    }

    /// The operating system refused something here.
    pub fn io(op: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(Exit::Failure, "io", format!("{op} {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self { code: Cow::Borrowed("permission_denied"), ..failure }
                .hint("check the owner and the permissions of the path"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint("make room on that disk"),
            _ => failure,
        }
    }

    /// Ends with this code without another word.
    pub fn silent(exit: Exit) -> Self {
        Self { silent: true, ..Self::new(exit, "", "") }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A node that answers 200 with something else than was asked for.
    pub fn bad_answer(url: &Url) -> Self {
        Self::new(Exit::Failure, "bad_answer", format!("{url} answered something that is not Rig's"))
            .hint("is it a Rig node, and of a version that fits this one?")
    }

    /// A read that was not answered: asking left no trace, so nothing is open.
    pub fn of_read(error: client::Error) -> Self {
        let failure = Self::from(error);
        match failure.exit {
            Exit::Unknown => Self { exit: Exit::Unreachable, code: "no_answer".into(), definite: true, ..failure },
            _ => failure,
        }
    }

    /// A failed write to stdout: a reader that went away has what it wanted.
    pub fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Ok),
            _ => Self::new(Exit::Failure, "io", format!("write standard output: {error}")),
        }
    }

    /// What clap could not understand, in our form.
    pub fn from_clap(error: &clap::Error) -> Self {
        let text = without_passwords(&error.render().to_string());
        let mut paragraphs = text.split("\n\n").map(|paragraph| {
            paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
        });
        let message = paragraphs.next().unwrap_or_default();
        let message = match error.kind() {
            clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | clap::error::ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
            _ => message.strip_prefix("error: ").unwrap_or(&message).to_owned(),
        };
        let rest: Vec<_> = paragraphs.collect();
        let tip =
            rest.iter().find_map(|paragraph| paragraph.strip_prefix("tip: ")).filter(|tip| !tip.starts_with("to pass"));
        let usage = rest.iter().find(|paragraph| paragraph.starts_with("Usage: "));
        let hint = match (tip, usage) {
            (Some(tip), _) => tip.to_owned(),
            (None, Some(usage)) => usage.replacen("Usage: ", "usage: ", 1),
            (None, None) => "see `rig help`".to_owned(),
        };
        Self::usage(message).hint(hint)
    }

    /// Writes it to stderr, in the form that the caller asked for.
    pub fn report(&self, json: bool) {
        if self.silent {
            return;
        }
        let text = if json { self.to_json() } else { self.to_text() };
        // When stderr is closed too, the exit code has to be enough.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Three lines at most, the second only with a hint.
    pub fn to_text(&self) -> String {
        let one_line = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let mut text = format!("error: {}\n", one_line(&self.message));
        if !self.hint.is_empty() {
            text.push_str(&format!("  hint: {}\n", one_line(&self.hint)));
        }
        text.push_str(&format!("  code: {}/{}  exit: {}", self.exit.name(), self.code, self.exit as u8));
        if let Some(request) = &self.request {
            text.push_str(&format!("  request: {request}"));
        }
        text.push('\n');
        text
    }

    /// One object, one line.
    pub fn to_json(&self) -> String {
        let line = ErrorLine {
            kind: "error",
            code: &self.code,
            exit: self.exit as u8,
            definite: self.definite,
            retryable: self.retryable,
            message: &self.message,
            hint: &self.hint,
            request_id: self.request.as_deref(),
            key: self.key.as_deref(),
            facts: self.facts.0.iter().map(|(name, value)| (&**name, value)).collect(),
        };
        let mut text = serde_json::to_string(&line).expect("plain structs become JSON");
        text.push('\n');
        text
    }
}

#[derive(serde::Serialize)]
struct ErrorLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'a str,
    exit: u8,
    definite: bool,
    retryable: bool,
    message: &'a str,
    hint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(flatten)]
    facts: std::collections::BTreeMap<&'a str, &'a serde_json::Value>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self {
            exit: Exit::from_status(problem.status),
            code: problem.code,
            message: problem.detail,
            hint: problem.hint.into(),
            definite: problem.definite,
            retryable: problem.retryable,
            request: None,
            key: None,
            facts: Box::new(Facts(problem.extra)),
            silent: false,
        }
    }
}

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        let problem = response.problem();
        let mut failure = Self::from(problem);
        failure.request = response.request_id().map(Box::from);
        if failure.hint.is_empty() {
            failure.hint = match (response.head.status, response.head.header("location")) {
                (401 | 403, _) => "give the token with --token-file FILE".to_owned(),
                (307, Some(location)) => format!("the primary is at {location}: name it with -N"),
                _ => String::new(),
            };
        }
        failure
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let message = error.to_string();
        match &error {
            client::Error::Unreachable { source, .. } if let Some(fault) = net::fault_of(source) => {
                Self::new(Exit::Unreachable, "tls", message).hint(fault.hint.clone())
            }
            client::Error::Unreachable { .. } => {
                Self::new(Exit::Unreachable, "unreachable", message).hint("is the node running? see `rig status`")
            }
            client::Error::Unknown { .. } => Self::new(Exit::Unknown, "no_answer", message),
            client::Error::TooLarge { .. } => Self::new(Exit::Failure, "bad_answer", message),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { code: "tls".into(), ..Self::usage(fault.what).hint(fault.hint) }
    }
}

impl From<DirError> for Failure {
    fn from(error: DirError) -> Self {
        let message = error.to_string();
        match &error {
            DirError::NotInitialised { path, beside } => {
                let failure = Self::new(Exit::NotFound, "not_initialised", message);
                match beside {
                    Some(beside) => failure.hint(format!("{} is one: -D {}", beside.display(), beside.display())),
                    None => failure.hint(format!("make one with `rig init {}`", path.display())),
                }
            }
            DirError::AlreadyInitialised { .. } => Self::new(Exit::Conflict, "already_initialised", message)
                .hint("choose another directory, or accept this one with --exist-ok"),
            DirError::Foreign { .. } => Self::new(Exit::Usage, "foreign_directory", message)
                .hint("choose a directory that is empty or does not exist"),
            DirError::NotADirectory { .. } => {
                Self::new(Exit::Usage, "not_a_directory", message).hint("name a directory, not a file")
            }
            DirError::Open { path, .. } => {
                Self::new(Exit::Usage, "open_to_others", message).hint(format!("chmod 700 {}", path.display()))
            }
            DirError::InUse { .. } => {
                Self::new(Exit::InUse, "in_use", message).hint("a node runs there: see `rig status`, or stop it first")
            }
            DirError::BadMeta { .. } => Self::new(Exit::Corrupt, "bad_meta", message)
                .hint("the file was changed from outside: put back the copy of a backup"),
            DirError::Format { .. } => {
                Self::new(Exit::Usage, "format", message).hint("use the version of Rig that made it, or a newer one")
            }
            DirError::Io { op, path, source } => Self::io(op, path, source),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What stands as `USER:PASSWORD@` in a URL is not repeated: messages end up in logs.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part.split(['/', '\'', '"', ' ', '\n']).next().unwrap_or_default();
        let shown = match authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
            Some((user, password)) => part.replacen(&format!("{user}:{password}@"), &format!("{user}:…@"), 1),
            None => part.to_owned(),
        };
        out = out + "://" + &shown;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_failure_has_three_lines_at_most_whatever_its_text() {
        let failure = Failure { request: Some("r1".into()), ..Failure::usage("one\n  two").hint("do\nthat") };
        assert_eq!(
            failure.to_text(),
            "error: one two\n  hint: do that\n  code: usage/bad_argument  exit: 2  request: r1\n"
        );
        assert_eq!(Failure::usage("x").to_text(), "error: x\n  code: usage/bad_argument  exit: 2\n");
    }

    #[test]
    fn the_object_has_the_members_of_the_contract() {
        let failure = Failure::from(Problem::new(Code::Exists, "user alice exists").hint("use user_update"));
        assert_eq!(
            failure.to_json(),
            "{\"type\":\"error\",\"code\":\"exists\",\"exit\":6,\"definite\":true,\"retryable\":false,\
             \"message\":\"user alice exists\",\"hint\":\"use user_update\"}\n"
        );
        let unknown = Failure::from(Problem::new(Code::OutcomeUnknown, "no answer"));
        assert!(unknown.to_json().contains("\"exit\":7,\"definite\":false,\"retryable\":true"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::stdout(&io::ErrorKind::BrokenPipe.into()).exit, Exit::Ok);
        assert_eq!(Failure::stdout(&io::ErrorKind::StorageFull.into()).exit, Exit::Failure);
    }
}
