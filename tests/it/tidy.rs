//! The house rules, as a test: who may import whom, how long a file is, what must not be there.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may look into. Arrows go down only.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &["limits", "error"]),
    ("limits", &[]),
    ("error", &[]),
    ("net", &[]),
    ("http", &["types", "limits", "error"]),
    ("log", &["types", "limits", "error"]),
    ("service", &["types", "limits", "error"]),
    ("replication", &["types", "limits", "error"]),
    // Its messages are the protocol's; it knows nothing else of it.
    ("peer", &["replication", "types", "limits", "error"]),
    ("client", &["http", "net", "types", "limits", "error"]),
    ("coordinator", &["client", "replication", "http", "net", "types", "limits", "error"]),
    ("node", &["coordinator", "peer", "replication", "log", "service", "http", "net", "types", "limits", "error"]),
    ("embed", &["client", "node", "service", "types", "limits", "error"]),
    (
        "cli",
        &["client", "coordinator", "node", "replication", "log", "service", "http", "net", "types", "limits", "error"],
    ),
];

/// Lines of a file. A file that grows over this wants to become a folder.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The room of a file of `src`: its folder, or the file itself.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a text names by `crate::`, also in a braced list.
fn rooms_named(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = &list[..list.find(';').unwrap_or(list.len())];
                let mut depth = 0;
                for part in list.split_inclusive(['{', '}', ',']) {
                    if depth == 0 {
                        named.push(word(part.trim_start()));
                    }
                    depth += part.matches('{').count();
                    depth = depth.saturating_sub(part.matches('}').count());
                }
            }
            None => named.push(word(rest)),
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let room = room_of(&path);
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: the room `{room}` has no place in the layers", name_of(&path)));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for named in rooms_named(&text) {
            let is_room = LAYERS.iter().any(|(name, _)| *name == named);
            if is_room && named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: `{room}` must not import `{named}`", name_of(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_what_it_should() {
    let text = "use crate::log::Reader; use crate::{node::{Node, log}, cli}; crate::http::decode()";
    assert_eq!(rooms_named(text), ["log", "node", "cli", "http"]);
}

#[test]
fn the_protocol_knows_neither_clock_nor_disk_nor_chance() {
    for path in rust_files(&root().join("src/replication")) {
        let text = fs::read_to_string(&path).unwrap();
        for banned in ["std::fs", "std::net", "std::thread", "std::time", "Instant", "SystemTime", "HashMap", "uuid"] {
            assert!(!text.contains(banned), "{}: {banned} has no place in the core", name_of(&path));
        }
    }
}

#[test]
fn only_the_log_says_that_something_is_durable() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let is_test = path.ends_with("tests.rs");
        if text.contains("Durable::from_sync") && room_of(&path) != "log" && !is_test {
            panic!("{}: only a sync of the log makes a Durable", name_of(&path));
        }
    }
}

#[test]
fn what_is_asserted_is_asserted_in_release_too() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("debug_assert_") && !text.contains("debug_assert!"), "{}", name_of(&path));
    }
}

#[test]
fn files_are_short_begin_with_their_purpose_and_leave_nothing_behind() {
    // In two halves, so that this file does not hold what it looks for.
    let banned = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("/wo", "rk/"), ("/ro", "ot/"), ("#[ign", "ore")];
    let banned = banned.map(|(one, two)| format!("{one}{two}"));
    for folder in ["src", "tests"] {
        for path in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(
                lines <= LINES_MAX,
                "{} has {lines} lines, at most {LINES_MAX}: make a folder of it",
                name_of(&path)
            );
            let tests_only = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
            assert!(text.starts_with("//!") || tests_only, "{} does not say what it is for", name_of(&path));
            for word in &banned {
                assert!(!text.contains(word.as_str()), "{}: {word} must not be left there", name_of(&path));
            }
        }
    }
}

#[test]
fn the_top_of_the_repository_holds_what_was_agreed_and_nothing_else() {
    let agreed = [
        ".ci",
        ".git",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "completions",
        "man",
        "src",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(agreed.contains(&name.as_str()), "{name} does not belong at the top");
    }
}
