//! What a node was started with, where each setting came from, and what it reads again while it runs.
//!
//! ```text
//!   once a second:  stat ─► changed? ─► read (on the pool) ─► what can change at once is taken, the rest is named
//! ```
//!
//! # Invariants
//! 1. A file that is wrong changes nothing: the old values stay, and the fault is told until the file is right.
//! 2. What was read is older than its stamp never: a change during the reading is seen at the next look.
//!
//! # Not here
//! How a file of settings is written and understood: whoever starts the node gives a function that reads it ([`Live`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::auth::Tokens;
use super::{Config, CoordinatorConfig};
use crate::net;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What can change while a node runs; everything else needs a start.
const LIVE: [&str; 5] = ["request_timeout", "snapshot_interval", "compact_keep", "compact_age", "drain"];

/// One setting, as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in a file of settings.
    pub key: &'static str,
    /// As it would be written there; nothing: not set.
    pub value: Option<String>,
    /// Who says so.
    pub origin: Origin,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This variable of the environment.
    Environment(&'static str),
    /// A file, and the line there.
    File(PathBuf, usize),
    /// Nobody.
    Default,
}

impl Setting {
    /// Value and origin for programs.
    pub fn to_json(&self) -> Value {
        match &self.origin {
            Origin::Flag => json!({ "value": self.value, "from": "flag" }),
            Origin::Environment(name) => json!({ "value": self.value, "from": "environment", "variable": name }),
            Origin::File(path, line) => {
                json!({ "value": self.value, "from": "file", "file": path.to_string_lossy(), "line": line })
            }
            Origin::Default => json!({ "value": self.value, "from": "default" }),
        }
    }
}

/// All of them by their names.
pub fn to_json<'a>(settings: impl IntoIterator<Item = &'a Setting>) -> Value {
    settings.into_iter().map(|setting| (setting.key.to_owned(), setting.to_json())).collect::<Map<_, _>>().into()
}

/// What a file of settings says now, together with what was said at the start.
#[derive(Debug, Clone)]
pub struct Reread {
    /// Every setting.
    pub settings: Vec<Setting>,
    /// For requests that do not say.
    pub request_timeout: Duration,
    /// From one snapshot to the next.
    pub snapshot_interval: Option<Duration>,
    /// Records that stay when the log is compacted by itself.
    pub compact_keep: Option<u64>,
    /// Age below which they stay.
    pub compact_age: Option<Duration>,
    /// For requests under way at the end.
    pub drain: Duration,
}

type Read = dyn Fn() -> Result<Reread, String> + Send + Sync;

/// A file of settings that is read again when it changes.
#[derive(Clone)]
pub struct Live {
    /// The file; it may come and go.
    pub file: PathBuf,
    /// Reads it, or says what is wrong with it.
    pub read: Arc<Read>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.file).finish()
    }
}

/// What tells one state of a file from the next; nothing where there is no file.
type Stamp = Option<[i64; 6]>;

fn stamp(path: &Path) -> Stamp {
    let of = fs::metadata(path).ok()?;
    let (inode, size) = (of.ino().cast_signed(), of.size().cast_signed());
    Some([inode, size, of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

/// What tells a password from the next, without being one.
fn password_of(path: &Path) -> Option<u64> {
    let password = CoordinatorConfig::password(path).ok()?;
    Some(std::hash::BuildHasher::hash_one(&std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::new(), password))
}

/// The settings of a running node, and how its files were when they were read last.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) settings: Vec<Setting>,
    /// What has changed in a file and needs a start.
    pub(super) needs_restart: Vec<&'static str>,
    /// What is wrong with which file.
    pub(super) problems: BTreeMap<PathBuf, String>,
    live: Option<Live>,
    tokens: Option<PathBuf>,
    tls: Option<net::Files>,
    /// The file with the password for the coordinator, and what it had at the start.
    password: Option<(PathBuf, u64)>,
    /// Whether it has another one now.
    has_other_password: bool,
    /// At the first look all are read once more: who knows what was written while the node started.
    stamps: Stamps,
    next: Instant,
    looking: bool,
}

/// One look at the files.
pub(super) struct Look {
    live: Option<Live>,
    tokens: Option<PathBuf>,
    tls: Option<net::Files>,
    password: Option<PathBuf>,
    stamps: Stamps,
}

/// How the files were: of settings, of tokens, of TLS.
#[derive(Debug, Clone, Default)]
struct Stamps {
    settings: Option<Stamp>,
    tokens: Option<Stamp>,
    tls: Option<Vec<Stamp>>,
}

/// What a look has found, of each file that has changed.
pub(super) struct Seen {
    pub(super) settings: Option<Result<Reread, String>>,
    pub(super) tokens: Option<Result<Tokens, String>>,
    pub(super) tls: Option<Result<net::Identity, String>>,
    /// Of the coordinator: what tells one from the next.
    password: Option<u64>,
    stamps: Stamps,
}

/// What came of a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) applied: Vec<&'static str>,
    pub(super) needs_restart: Vec<&'static str>,
}

impl Watch {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let password = config.coordinator.as_ref().and_then(|coordinator| coordinator.password.clone());
        Self {
            settings: config.settings.clone(),
            needs_restart: Vec::new(),
            problems: BTreeMap::new(),
            live: config.live.clone(),
            tokens: config.tokens.clone(),
            tls: config.tls.clone(),
            password: password.and_then(|path| password_of(&path).map(|at_start| (path, at_start))),
            has_other_password: false,
            stamps: Stamps::default(),
            next: now + LOOK_EVERY,
            looking: false,
        }
    }

    /// The look that is due, if one is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Look> {
        let has_files = self.live.is_some() || self.tokens.is_some() || self.tls.is_some() || self.password.is_some();
        if self.looking || now < self.next || !has_files {
            return None;
        }
        self.looking = true;
        let (live, tokens, tls) = (self.live.clone(), self.tokens.clone(), self.tls.clone());
        let password = self.password.as_ref().map(|(path, _)| path.clone());
        Some(Look { live, tokens, tls, password, stamps: self.stamps.clone() })
    }

    /// A look has ended: the next one is due in a while.
    pub(super) fn looked(&mut self, seen: &Seen, now: Instant) {
        (self.looking, self.next, self.stamps) = (false, now + LOOK_EVERY, seen.stamps.clone());
    }

    /// Notes whether the file of the coordinator's password has another one than at the start: which file, if that is
    /// news. A file that cannot be read says nothing.
    pub(super) fn note_password(&mut self, seen: &Seen) -> Option<PathBuf> {
        let ((path, at_start), now) = (self.password.as_ref()?, seen.password?);
        let is_other = now != *at_start;
        (std::mem::replace(&mut self.has_other_password, is_other) != is_other).then(|| path.clone())
    }

    /// What needs a start.
    pub(super) fn needs_restart(&self) -> Vec<&'static str> {
        let password = self.has_other_password.then_some("coordinator_password");
        let others = self.needs_restart.iter().copied().filter(|key| Some(*key) != password);
        others.chain(password).collect()
    }

    /// The file of settings and the file of tokens.
    pub(super) fn file(&self) -> PathBuf {
        self.live.as_ref().map(|live| live.file.clone()).unwrap_or_default()
    }

    pub(super) fn tokens_file(&self) -> PathBuf {
        self.tokens.clone().unwrap_or_default()
    }

    /// The file of the certificate, which stands for the key and the CA too.
    pub(super) fn tls_file(&self) -> PathBuf {
        self.tls.as_ref().map(|files| files.cert.clone()).unwrap_or_default()
    }

    /// Notes what is wrong with a file, or that nothing is. Whether that is news.
    pub(super) fn note(&mut self, file: PathBuf, problem: Option<&str>) -> bool {
        match problem {
            Some(problem) => self.problems.insert(file, problem.to_owned()).as_deref() != Some(problem),
            None => self.problems.remove(&file).is_some(),
        }
    }

    /// Takes the settings that were read; what can change at once is the caller's to change.
    pub(super) fn take(&mut self, read: Vec<Setting>) -> Outcome {
        let mut outcome = Outcome::default();
        for new in read {
            let Some(old) = self.settings.iter_mut().find(|old| old.key == new.key) else { continue };
            if old.value == new.value {
                // The same word from another place, or of another line.
                old.origin = new.origin;
            } else if LIVE.contains(&new.key) {
                outcome.applied.push(new.key);
                *old = new;
            } else {
                // The old value holds, and so does where it came from.
                outcome.needs_restart.push(new.key);
            }
        }
        self.needs_restart.clone_from(&outcome.needs_restart);
        outcome
    }

    /// What `rig status` says of it.
    pub(super) fn status(&self) -> Value {
        let problem = |(file, error): (&PathBuf, &String)| json!({ "file": file.to_string_lossy(), "error": error });
        json!({
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "needs_restart": self.needs_restart(),
        })
    }
}

impl Look {
    /// Looks, and reads what has changed. This blocks.
    pub(super) fn run(self) -> Seen {
        let Self { live, tokens, tls, password, stamps: before } = self;
        let password = password.as_deref().and_then(password_of);
        let stamps = Stamps {
            settings: live.as_ref().map(|live| stamp(&live.file)),
            tokens: tokens.as_deref().map(stamp),
            tls: tls.as_ref().map(|files| files.paths().map(stamp).collect()),
        };
        let settings = live.filter(|_| stamps.settings != before.settings).map(|live| (live.read)());
        let tokens = tokens.filter(|_| stamps.tokens != before.tokens);
        let tokens = tokens.map(|path| Tokens::load(&path).map_err(|error| error.to_string()));
        let tls = tls.filter(|_| stamps.tls != before.tls);
        let tls = tls.map(|files| net::Identity::load(&files).map_err(|fault| fault.to_string()));
        Seen { settings, tokens, tls, password, stamps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &'static str, value: &str) -> Setting {
        Setting { key, value: Some(value.to_owned()), origin: Origin::Default }
    }

    fn watch(file: &Path) -> Watch {
        let live = Live { file: file.to_owned(), read: Arc::new(|| Err("it is wrong".to_owned())) };
        let settings = vec![setting("listen", "127.0.0.1:1"), setting("drain", "10s")];
        let config = Config { settings, live: Some(live), ..Config::new("") };
        Watch::new(&config, Instant::now())
    }

    #[test]
    fn what_can_change_at_once_is_told_from_what_needs_a_start() {
        let mut watch = watch(Path::new("rig.toml"));
        let outcome = watch.take(vec![setting("listen", "127.0.0.1:2"), setting("drain", "3s")]);
        assert_eq!(outcome, Outcome { applied: vec!["drain"], needs_restart: vec!["listen"] });
        assert_eq!(watch.settings, [setting("listen", "127.0.0.1:1"), setting("drain", "3s")]);
        assert_eq!(watch.status()["needs_restart"], json!(["listen"]));
        // As it was: a start would change nothing any more.
        assert_eq!(watch.take(vec![setting("listen", "127.0.0.1:1"), setting("drain", "3s")]), Outcome::default());
        assert_eq!(watch.status()["needs_restart"], json!([]));
    }

    #[test]
    fn a_file_is_read_when_it_has_changed_and_not_again_before_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rig.toml");
        let (mut watch, begin) = (watch(&file), Instant::now());
        let mut at = begin;
        let mut reads = |change: &dyn Fn()| {
            change();
            at += LOOK_EVERY * 2;
            let seen = watch.due(at).unwrap().run();
            assert!(watch.due(at).is_none(), "one look at a time");
            watch.looked(&seen, at);
            seen.settings.is_some()
        };
        assert!(reads(&|| ()), "once after the start");
        assert!(!reads(&|| ()));
        assert!(reads(&|| fs::write(&file, "x").unwrap()));
        assert!(!reads(&|| ()));
        assert!(reads(&|| fs::write(&file, "xy").unwrap()));
        assert!(reads(&|| fs::remove_file(&file).unwrap()));
    }

    #[test]
    fn a_fault_is_news_once() {
        let (mut watch, file) = (watch(Path::new("rig.toml")), PathBuf::from("rig.toml"));
        assert!(watch.note(file.clone(), Some("a")));
        assert!(!watch.note(file.clone(), Some("a")));
        assert!(watch.note(file.clone(), Some("b")));
        assert_eq!(watch.status()["problems"], json!([{ "file": "rig.toml", "error": "b" }]));
        assert!(watch.note(file.clone(), None));
        assert!(!watch.note(file, None));
    }
}
