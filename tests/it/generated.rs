//! Completions and man pages are made from the definition of the command line, checked in, and compared here.
//! `RIG_UPDATE=1 cargo test --test it generated` rewrites them (and fails, so that it is seen).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::{Home, has, root, run};

/// Compares files by name with what should be there; names that should not be there are told too.
fn compare(folder: &str, expected: &BTreeMap<String, String>, ours: impl Fn(&str) -> bool) {
    let path = root().join(folder);
    let found: BTreeMap<String, String> = std::fs::read_dir(&path)
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| ours(path.file_name().unwrap().to_str().unwrap()))
                .map(|path| (name(&path), std::fs::read_to_string(&path).unwrap()))
                .collect()
        })
        .unwrap_or_default();
    if found == *expected {
        return;
    }
    let mut names: Vec<_> = expected.keys().chain(found.keys()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| found.get(*name) != expected.get(*name));
    if std::env::var_os("RIG_UPDATE").is_some() {
        std::fs::create_dir_all(&path).unwrap();
        for name in &names {
            match expected.get(*name) {
                Some(content) => std::fs::write(path.join(name), content).unwrap(),
                None => std::fs::remove_file(path.join(name)).unwrap(),
            }
        }
        panic!("{folder}/ was out of date and is rewritten: {names:?}; look at the difference and run again");
    }
    panic!("{folder}/ is out of date: {names:?}; RIG_UPDATE=1 cargo test --test it generated");
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_completions_are_those_of_the_definition() {
    let home = Home::new();
    let expected = [("bash", "rig.bash"), ("zsh", "_rig"), ("fish", "rig.fish")]
        .into_iter()
        .map(|(shell, file)| (file.to_owned(), home.ok(&["completions", shell]).stdout))
        .collect();
    compare("completions", &expected, |_| true);
}

#[test]
fn the_man_pages_are_those_of_the_definition() {
    let home = Home::new();
    home.ok(&["man", "--out", "pages"]);
    let expected = std::fs::read_dir(home.path("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (name(&path), std::fs::read_to_string(&path).unwrap()))
        .collect();
    compare("man", &expected, |name| name.starts_with("rig") && name.ends_with(".1"));
}

#[test]
fn one_page_is_the_same_as_among_all() {
    let home = Home::new();
    home.ok(&["man", "--out", "pages"]);
    let page = std::fs::read_to_string(home.path("pages/rig-log-verify.1")).unwrap();
    assert_eq!(home.ok(&["man", "log", "verify"]).stdout, page);
    assert_eq!(home.run(&["man", "log", "nothing"]).code, Some(2));
}

#[test]
fn the_man_pages_are_without_faults() {
    if !has("groff", "the_man_pages_are_without_faults") {
        return;
    }
    for entry in std::fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path);
        let ran = run(groff, b"");
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{}", path.display());
    }
}

#[test]
fn man_shows_the_sections_that_readers_look_for() {
    if !has("man", "man_shows_the_sections_that_readers_look_for") {
        return;
    }
    let mut man = Command::new("man");
    man.args(["--warnings", "-l"]).arg(root().join("man/rig-apply.1")).env("MANWIDTH", "100").env("MANPAGER", "cat");
    let ran = run(man, b"");
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"] {
        assert!(ran.stdout.lines().any(|line| line == section), "{section}:\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("rig apply user_create payload.json"));
}

#[test]
fn bash_completes_commands_and_flags() {
    if !has("bash", "bash_completes_commands_and_flags") {
        return;
    }
    let complete = |words: &str, place: usize| {
        let script = format!(
            "set -eu; source completions/rig.bash; COMP_WORDS=({words}); COMP_CWORD={place}; \
             _rig rig \"${{COMP_WORDS[$COMP_CWORD]}}\" \"\"; echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-c", &script]).current_dir(root());
        let ran = run(bash, b"");
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{words}");
        ran.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("rig ini", 1), ["init"]);
    assert_eq!(complete("rig log ve", 2), ["verify"]);
    assert!(complete("rig apply --exp", 2).contains(&"--expect-version".to_owned()));
    assert!(complete("rig status --j", 2).contains(&"--json".to_owned()));
}

#[test]
fn fish_completes_commands_and_flags() {
    if !has("fish", "fish_completes_commands_and_flags") {
        return;
    }
    let home = Home::new();
    let complete = |line: &str| {
        let mut fish = Command::new("fish");
        let script = format!("source completions/rig.fish; complete -C '{line}'");
        fish.args(["--no-config", "-c", &script]).current_dir(root()).env("HOME", home.path(""));
        let ran = run(fish, b"");
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{line}");
        ran.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete("rig ini"), ["init"]);
    assert!(complete("rig log ").contains(&"verify".to_owned()));
    assert!(complete("rig apply --exp").contains(&"--expect-version".to_owned()));
}

#[test]
fn zsh_loads_the_completion_and_knows_its_commands() {
    if !has("zsh", "zsh_loads_the_completion_and_knows_its_commands") {
        return;
    }
    let home = Home::new();
    // The function is loaded the way a user's shell loads it, and the lists that it completes from are called.
    let script = "fpath=($PWD/completions $fpath); autoload -Uz compinit; compinit -u -D; print -- $_comps[rig]; \
                  autoload +X _rig; functions -- _rig > /dev/null || exit 3; \
                  _describe() { print -l -- \"${(@P)4}\" }; _rig() { : }; source $PWD/completions/_rig; \
                  _rig_commands; _rig__subcmd__log_commands";
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-c", script]).current_dir(root()).env("HOME", home.path(""));
    let ran = run(zsh, b"");
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.stdout.lines().next(), Some("_rig"), "{ran:#?}");
    assert!(ran.stdout.lines().any(|line| line.starts_with("init:")), "{ran:#?}");
    assert!(ran.stdout.lines().any(|line| line.starts_with("verify:")), "{ran:#?}");
}
