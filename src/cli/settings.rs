//! Files of settings: `DIR/rig.toml` for `rig serve`, and the user's `rig/config.toml` for every command.
//!
//! ```text
//!   drain = "3s"   ─►   --drain=3s   ─►   the flag's own parser   ─►   Args, under those of the command line
//! ```
//!
//! A key is the long name of a flag with `_` in place of `-`, in the plural where the flag may be given again. So a
//! value is understood, and refused, as it would be behind the flag; the place in the file is put before the refusal.
//!
//! # Invariants
//! 1. A key that is not known, or a value that cannot be, is an error with file, line and column: nothing is guessed.
//! 2. A path in a file is meant from the folder of that file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ValueHint};
use toml::de::{DeTable, DeValue};

use super::Failure;
use crate::error::Exit;
use crate::node::Origin;

/// The file of a data directory.
pub(super) const OF_DIR: &str = "rig.toml";
/// Bytes of a file of settings.
const BYTES_MAX: u64 = 64 << 10;

/// What a file says.
#[derive(Debug, Clone)]
pub(super) struct File<A> {
    /// The flags that it stands for.
    pub(super) args: A,
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl<A> File<A> {
    /// The keys that it sets.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// Where a key is set, if it is.
    pub(super) fn origin(&self, key: &str) -> Option<Origin> {
        self.lines.get(key).map(|line| Origin::File(self.path.clone(), *line))
    }
}

/// The name of a flag in a file; nothing for what only a command line can say.
pub(super) fn key_of(flag: &Arg) -> Option<String> {
    let name = flag.get_long()?.replace('-', "_");
    Some(if matches!(flag.get_action(), ArgAction::Append) { name + "s" } else { name })
}

/// Reads a file; one that is not there says nothing. `is_key` tells which of the flags may stand in it.
pub(super) fn read<A: clap::Args>(path: &Path, is_key: impl Fn(&str) -> bool) -> Result<File<A>, Failure> {
    let path = &*std::path::absolute(path).map_err(|error| Failure::io("find", path, &error))?;
    let text = text_of(path)?;
    let mut flags = A::augment_args(clap::Command::new("rig").no_binary_name(true));
    flags.build();
    let known: BTreeMap<String, Arg> = flags
        .get_arguments()
        .filter_map(|flag| Some((key_of(flag).filter(|key| is_key(key))?, flag.clone())))
        .collect();
    let refuse = |at: usize, why: &str| {
        let (line, column) = place(&text, at);
        Failure::new(Exit::Usage, "bad_config", format!("{}:{line}:{column}: {why}", path.display()))
    };
    let table = DeTable::parse(&text).map_err(|error| {
        let why = error.message().lines().next().unwrap_or_default();
        refuse(error.span().map_or(0, |span| span.start), why).hint("each line is: key = \"value\"")
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let (mut words, mut lines) = (Vec::new(), BTreeMap::new());
    for (key, value) in entries {
        let (name, at) = (key.get_ref(), key.span().start);
        let Some(flag) = known.get(&**name) else {
            return Err(refuse(at, &format!("unknown key `{name}`")).hint(suggestion(name, known.keys())));
        };
        let at_value = value.span().start;
        let own = words_of(flag, value.get_ref(), path).map_err(|why| refuse(at_value, &format!("`{name}` {why}")))?;
        if let Err(error) = flags.clone().try_get_matches_from(&own) {
            let Failure { message, hint, .. } = Failure::from_clap(&error);
            return Err(refuse(at_value, &message).hint(hint));
        }
        words.extend(own);
        lines.insert((**name).to_owned(), place(&text, at).0);
    }
    let matches = flags.try_get_matches_from(words);
    let args = matches.and_then(|matches| A::from_arg_matches(&matches));
    let args = args.map_err(|error| refuse(0, &Failure::from_clap(&error).message))?;
    Ok(File { args, path: path.to_owned(), lines })
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(read) if read as u64 > BYTES_MAX => Err(Failure::new(
            Exit::Usage,
            "bad_config",
            format!("{}: more than {BYTES_MAX} bytes are no settings", path.display()),
        )),
        Ok(_) => Ok(text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(error) => Err(Failure::io("read", path, &error)),
    }
}

/// Line and column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

/// A value as the words of a command line; or how it should be.
fn words_of(flag: &Arg, value: &DeValue<'_>, file: &Path) -> Result<Vec<OsString>, String> {
    let long = flag.get_long().expect("a key is made from a long name");
    let takes_value = flag.get_action().takes_values();
    let may_stand_alone = !takes_value || flag.get_num_args().is_some_and(|count| count.min_values() == 0);
    let with = |text: &str| {
        let mut word = OsString::from(format!("--{long}="));
        match flag.get_value_hint() {
            ValueHint::FilePath | ValueHint::DirPath => {
                word.push(file.parent().unwrap_or(Path::new("")).join(text));
            }
            _ => word.push(text),
        }
        word
    };
    let is_list = matches!(flag.get_action(), ArgAction::Append);
    match value {
        DeValue::Boolean(true) if may_stand_alone => Ok(vec![format!("--{long}").into()]),
        DeValue::Boolean(false) if may_stand_alone => Ok(Vec::new()),
        DeValue::String(text) if takes_value => Ok(vec![with(text)]),
        DeValue::Integer(number) if takes_value && number.radix() == 10 => Ok(vec![with(number.as_str())]),
        DeValue::Array(items) if is_list => {
            items.iter().map(|item| item.get_ref().as_str().map(with).ok_or("is a list of texts".to_owned())).collect()
        }
        _ if !takes_value => Err("is true or false".to_owned()),
        _ if is_list => Err("is a list of texts: [\"one\", \"two\"]".to_owned()),
        _ => Err("is a text: \"...\"".to_owned()),
    }
}

/// The key that was meant, most likely; else all of them.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    let nearest = known.clone().map(|key| (distance(name, key), key)).min();
    match nearest {
        Some((steps, key)) if steps <= key.len() / 3 => format!("did you mean `{key}`?"),
        _ => format!("known: {}", known.map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

/// Letters to add, remove or replace to come from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

/// A duration as it is written in a file.
pub(super) fn duration(duration: Duration) -> String {
    match duration.as_micros() {
        micros if micros % 1_000_000 == 0 => format!("{}s", duration.as_secs()),
        micros if micros % 1000 == 0 => format!("{}ms", duration.as_millis()),
        micros => format!("{micros}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;

    fn global(text: &str) -> Result<File<Global>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        read(&path, |key| ["node", "data_dir", "timeout"].contains(&key)).map_err(|failure| {
            let message = failure.message.replace(&dir.path().display().to_string(), "");
            Failure { message, ..failure }
        })
    }

    #[test]
    fn a_key_is_a_flag_and_a_path_is_meant_from_the_file() {
        let file = global("# mine\nnode = \"n1\"\n\ntimeout = \"3s\"\ndata_dir = 'data'\n").unwrap();
        assert_eq!((file.args.node.as_deref(), file.args.timeout), (Some("n1"), Some(Duration::from_secs(3))));
        assert_eq!(file.args.data_dir.as_deref(), Some(&*file.path.parent().unwrap().join("data")));
        assert_eq!(file.origin("timeout"), Some(Origin::File(file.path.clone(), 4)));
        assert_eq!(file.origin("token_file"), None);
        assert!(global("").unwrap().args.node.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (text, message, hint) in [
            ("nod = \"n1\"", "/config.toml:1:1: unknown key `nod`", "did you mean `node`?"),
            ("\n  colour = 1", "/config.toml:2:3: unknown key `colour`", "known: data_dir, node, timeout"),
            ("json = true", "/config.toml:1:1: unknown key `json`", "known"),
            ("data-dir = \"x\"", "/config.toml:1:1: unknown key `data-dir`", "did you mean `data_dir`?"),
            ("node = true", "/config.toml:1:8: `node` is a text", ""),
            ("node = [\"a\"]", "/config.toml:1:8: `node` is a text", ""),
            ("timeout = 5", "/config.toml:1:11: invalid value '5' for '--timeout <DURATION>': the unit", ""),
            ("node = \"n1\"\nnode = \"n2\"", "/config.toml:2:1: duplicate key", ""),
            ("node = n1", "/config.toml:1:8: ", ""),
            ("[node]\na = 1", "/config.toml:", ""),
        ] {
            let failure = global(text).unwrap_err();
            assert_eq!((failure.exit, &*failure.code), (Exit::Usage, "bad_config"));
            assert!(failure.message.starts_with(message), "{text}: {}", failure.message);
            assert!(failure.hint.contains(hint), "{text}: {}", failure.hint);
        }
        assert_eq!(global(&"#".repeat(70_000)).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn the_distance_of_words_is_counted_in_letters() {
        for (one, other, steps) in [("", "", 0), ("drain", "drain", 0), ("drian", "drain", 2), ("lisen", "listen", 1)] {
            assert_eq!((distance(one, other), distance(other, one)), (steps, steps));
        }
    }

    #[test]
    fn a_duration_is_written_so_that_it_is_read_as_the_same() {
        for text in ["0s", "5s", "90s", "1500ms", "7us"] {
            assert_eq!(duration(crate::cli::values::duration(text).unwrap()), text);
        }
    }
}
