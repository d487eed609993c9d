//! The definition as a whole: groups, exits, forms of errors.

use super::*;

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_command_stands_in_one_group() {
    let grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    for defined in command().get_subcommands() {
        let times = grouped.iter().filter(|name| **name == defined.get_name()).count();
        assert_eq!(times, 1, "{}", defined.get_name());
    }
    assert_eq!(grouped.len(), command().get_subcommands().count());
}

#[test]
fn every_command_shows_examples_and_what_it_ends_with() {
    fn check(path: &str, command: &clap::Command) {
        if command.has_subcommands() {
            for inner in command.get_subcommands() {
                check(&format!("{path} {}", inner.get_name()), inner);
            }
            return;
        }
        let examples = command.get_before_help().expect(path).to_string();
        assert!(examples.lines().skip(1).count() >= 2, "{path}: two examples");
        for example in examples.lines().skip(1) {
            assert!(example.contains(path), "{path}: {example}");
        }
        let exits = command.get_after_long_help().expect(path).to_string();
        assert!(exits.contains("  0  ok"), "{path}: exit status");
        assert!(command.get_about().is_some(), "{path}: about");
    }
    for inner in command().get_subcommands() {
        check(&format!("rig {}", inner.get_name()), inner);
    }
}

#[test]
fn the_exit_codes_are_those_of_the_contract() {
    let names = [
        "ok",
        "failure",
        "usage",
        "not_found",
        "unreachable",
        "rejected",
        "conflict",
        "unknown",
        "unavailable",
        "corrupt",
        "in_use",
        "auth",
        "degraded",
    ];
    for (number, (exit, name)) in help::EXITS.into_iter().zip(names).enumerate() {
        assert_eq!((exit as usize, exit.name()), (number, name));
    }
}

#[test]
fn global_flags_work_before_and_after_the_command() {
    for line in [["rig", "--json", "-D", "/d", "init"], ["rig", "init", "-D", "/d", "--json"]] {
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(cli.global.json, "{line:?}");
        assert_eq!(cli.global.data_dir.as_deref(), Some(std::path::Path::new("/d")), "{line:?}");
    }
}

#[test]
fn what_clap_refuses_has_our_form() {
    let error = command().try_get_matches_from(["rig", "init", "--exist-okay"]).unwrap_err();
    let failure = Failure::from_clap(&error);
    assert_eq!(failure.exit, Exit::Usage);
    assert_eq!(failure.message, "unexpected argument '--exist-okay' found");
    assert!(failure.hint.contains("--exist-ok"), "{}", failure.hint);
    assert_eq!(failure.to_text().lines().count(), 3);
    let error = command().try_get_matches_from(["rig", "completions"]).unwrap_err();
    let failure = Failure::from_clap(&error);
    assert!(failure.message.contains("<SHELL>"), "{}", failure.message);
    assert!(failure.hint.starts_with("usage: rig completions"), "{}", failure.hint);
}
