//! The table of `tests/README.md`: whatever it names is there, and it has a line for everything that it promises.
//!
//! ```text
//!   `k07-….txt`    a story                   `Rule::X`      a rule that is switched off
//!   `i05_set`      a checker                 `file::name`   a test, in a file of that name
//! ```

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder: its path without the ending, and its text.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.with_extension(""), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every story: its name and its text.
fn stories() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("tests/stories")).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect()
}

fn readme() -> String {
    fs::read_to_string(root().join("tests/README.md")).unwrap()
}

/// The numbered lines of its tables: what comes first, and the last cell, which names tests.
fn lines(text: &str) -> Vec<(String, String)> {
    let rows = text.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].to_owned(), cells[cells.len() - 1].to_owned())
    });
    // A letter and a number.
    rows.filter(|(first, _)| first.get(1..).is_some_and(|number| number.parse::<u32>().is_ok())).collect()
}

/// What stands between back quotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether a name of the table means something that exists.
fn is_there(name: &str, sources: &[(PathBuf, String)]) -> bool {
    if name.ends_with(".txt") {
        return root().join("tests/stories").join(name).is_file();
    }
    if let Some(rule) = name.strip_prefix("Rule::") {
        // Among those that seeds must miss, or the one that a story is about.
        let canary = fs::read_to_string(root().join("tests/sim/canary.rs")).unwrap();
        let is_told = |text: &String| text.lines().any(|line| line.strip_prefix("rule: ") == Some(rule));
        return canary.contains(&format!("\n    Rule::{rule},\n")) || stories().iter().any(|(_, text)| is_told(text));
    }
    match name.rsplit_once("::") {
        None => root().join("tests/sim/checkers").join(name).with_extension("rs").is_file(),
        Some((file, test)) => {
            let file = file.replace("::", "/");
            let text = format!("fn {test}(");
            sources.iter().any(|(path, source)| path.ends_with(&file) && source.contains(&text))
        }
    }
}

#[test]
fn whatever_the_table_names_is_there() {
    let mut all = Vec::new();
    for folder in ["src", "tests/it", "tests/sim"] {
        sources(&root().join(folder), &mut all);
    }
    let text = readme();
    let lines = lines(&text);
    let missing: Vec<&str> =
        lines.iter().flat_map(|(_, cell)| quoted(cell)).filter(|name| !is_there(name, &all)).collect();
    assert!(missing.is_empty(), "tests/README.md names what is not there: {missing:#?}");
    for wrong in ["k99-nothing.txt", "Rule::Nothing", "i99_nothing", "http::nothing_is_called_so"] {
        assert!(!is_there(wrong, &all), "{wrong} is not there, and nobody says so");
    }
}

#[test]
fn the_table_has_a_line_for_everything_and_each_line_says_something() {
    let text = readme();
    let lines = lines(&text);
    let failures = (1..=28).map(|number| format!("F{number}"));
    let scenarios = [1..=44, 46..=50];
    let scenarios = scenarios.into_iter().flatten().map(|number| format!("S{number}"));
    let stories = (1..=11).map(|number| format!("K{number}"));
    let rules = (1..=9).map(|number| format!("R{number}"));
    for number in failures.chain(scenarios).chain(stories).chain(rules) {
        let cells: Vec<&String> = lines.iter().filter(|(first, _)| *first == number).map(|(_, cell)| cell).collect();
        assert_eq!(cells.len(), 1, "{number} has {} lines", cells.len());
        assert!(!cells[0].is_empty(), "{number} says nothing");
    }
}

#[test]
fn every_story_has_a_place_in_the_table() {
    let text = readme();
    for (name, _) in stories() {
        assert!(text.contains(&format!("`{name}`")), "tests/README.md does not name {name}");
    }
}
