//! What the commands say to wrong input, when no node runs: the exit code, the form, and that nothing is left behind.

use crate::support::{Home, run};

/// Fails with this exit code and code, in both forms.
fn refused(home: &Home, arguments: &[&str], exit: i32, code: &str) -> String {
    let ran = home.run(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, Some(exit), "rig {arguments:?}: {ran:#?}");
    assert_eq!(ran.stdout, "", "rig {arguments:?}");
    let error = ran.error();
    assert_eq!((&error["type"], &error["code"], &error["exit"]), (&"error".into(), &code.into(), &exit.into()));
    for member in ["definite", "retryable", "message", "hint"] {
        assert!(error.get(member).is_some(), "{member}: {error}");
    }
    let plain = home.run(arguments);
    assert_eq!(plain.code, Some(exit), "rig {arguments:?}: {plain:#?}");
    let lines: Vec<_> = plain.stderr.lines().collect();
    assert!((2..=3).contains(&lines.len()) && lines[0].starts_with("error: "), "{plain:#?}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("  code: ") && last.contains(&format!("/{code}  exit: {exit}")), "{last}");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn flags_that_cannot_be_meant_are_usage_errors() {
    let home = Home::new();
    for line in [
        &["frobnicate"][..],
        &["init", "--nmae", "x"],
        &["init", "a", "b"],
        &["init", "--name", "../x"],
        &["init", "x", "-D", "y"],
        &["serve", "--role", "leader"],
        &["serve", "--drain", "10"],
        &["apply"],
        &["apply", "User_create", "--data", "{}"],
        &["apply", "user-create", "--data", "{}"],
        &["apply", "x_put", "p.json", "--data", "{}"],
        &["apply", "x_put", "--data", "{}", "--expect-version", "0"],
        &["apply", "x_put", "--data", "{}", "--key", "a b"],
        &["apply", "x_put", "--batch", "-"],
        &["get", "user"],
        &["ls", "user", "--where", "name"],
        &["ls", "user", "--limit", "0"],
        &["log", "dump", "--from", "0"],
        &["log", "dump", "--from", "-1"],
        &["log", "dump", "--from", "3", "--to", "2"],
        &["log", "dump", "--since", "yesterday"],
        &["log", "dump", "--with-data", "some"],
        &["log", "verify", "--from", "0"],
        &["log", "verify", "--from", "2", "--to", "1"],
        &["log", "repair"],
        &["log", "repair", "--truncate-from", "0"],
        &["status", "--watch", "2", "--check"],
        &["schema", "set", "user", "--references", "team_id=team"],
        &["wait", "soon"],
        &["wait", "version=x"],
        &["completions", "tcsh"],
        &["help", "nothing"],
        &["man", "nothing"],
        &["status", "--timeout", "30"],
        &["status", "--color", "sometimes"],
    ] {
        refused(&home, line, 2, "bad_argument");
    }
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn help_is_data_and_a_missing_command_is_not() {
    let home = Home::new();
    let ran = home.ok(&["--help"]);
    assert!(ran.stdout.contains("rig apply user_create payload.json") && ran.stderr.is_empty());
    assert!(home.ok(&["help", "exit-codes"]).stdout.contains(" 7  unknown"));
    assert!(home.ok(&["help", "environment"]).stdout.contains("RIG_DATA_DIR"));
    assert!(home.ok(&["help", "replication"]).stdout.contains("semi-sync"));
    assert!(home.ok(&["help", "log", "verify"]).stdout.contains("cannot prove"));
    assert_eq!(home.ok(&["log", "verify", "--help"]).stdout, home.ok(&["help", "log", "verify"]).stdout);
    assert!(home.ok(&["--version"]).stdout.starts_with("rig "));
    for line in [&[][..], &["log"], &["schema"]] {
        let ran = home.run(line);
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""));
        assert!(ran.stderr.contains("Usage: rig"), "{ran:#?}");
        let ran = home.run(&[line, &["--json"]].concat());
        assert_eq!((ran.code, ran.error()["exit"].as_u64()), (Some(2), Some(2)), "{line:?}");
        assert_eq!(ran.error()["message"], "a command is missing");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "for i in 1 2 3 4 5; do \"$RIG\" help apply | true; \"$RIG\" man | head -c 1 > /dev/null; done; \"$RIG\" man > /dev/full"]);
    shell.env("RIG", env!("CARGO_BIN_EXE_rig")).env("HOME", home.path(""));
    let ran = run(shell, b"");
    assert_eq!(ran.code, Some(1), "a full device is a failure: {ran:#?}");
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:#?}");
    assert!(ran.stderr.starts_with("error: write standard output: "), "{ran:#?}");
}

#[test]
fn init_makes_a_directory_once_and_leaves_others_alone() {
    let home = Home::new();
    let made = home.ok(&["init", "n1", "--json"]).json();
    assert_eq!((&made["type"], &made["name"], &made["created"]), (&"init".into(), &"n1".into(), &true.into()));
    assert_eq!(made["cluster_id"], serde_json::Value::Null);
    assert_eq!(made["data_dir"], home.path("n1").to_str().unwrap());
    assert_eq!(made["node_id"].as_str().unwrap().len(), 32);
    refused(&home, &["init", "n1"], 6, "already_initialised");
    let brief = home.ok(&["init", "quiet", "-q"]).stdout;
    assert!(
        brief.lines().count() == 1 && brief.starts_with("initialised"),
        "what comes next is not asked for: {brief}"
    );
    let next = home.ok(&["init", "n1", "--exist-ok"]).stdout;
    for role in ["next:  rig serve --role primary -D ", "or:    rig serve --role replica --peer URL -D "] {
        assert!(next.lines().any(|line| line.starts_with(role)), "both roles are told of: {next}");
    }
    let again = home.ok(&["init", "n1", "--exist-ok", "--json"]).json();
    assert_eq!((&again["created"], &again["node_id"]), (&false.into(), &made["node_id"]));

    std::fs::create_dir(home.path("mine")).unwrap();
    home.file("mine/letter", "x");
    let message = refused(&home, &["init", "mine"], 2, "foreign_directory");
    assert!(message.contains("mine") && message.contains("nothing was changed"), "{message}");
    assert_eq!(std::fs::read_dir(home.path("mine")).unwrap().count(), 1);
    refused(&home, &["init", "mine/letter"], 2, "not_a_directory");
    std::fs::create_dir(home.path("empty")).unwrap();
    home.ok(&["init", "empty"]);
    let ran = home.ok(&["init"]);
    assert!(ran.stdout.contains("rig serve --role primary\n"), "{}", ran.stdout);
    assert!(home.default_dir().join("meta.json").is_file());
    let mut left: Vec<_> = std::fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".local", "empty", "mine", "n1", "quiet"]);
}

#[test]
fn a_directory_that_may_not_be_written_is_a_failure_with_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    std::fs::create_dir(home.path("closed")).unwrap();
    std::fs::set_permissions(home.path("closed"), PermissionsExt::from_mode(0o500)).unwrap();
    if std::fs::write(home.path("closed/probe"), "").is_ok() {
        // This user may write everywhere: a path below a file is refused to everybody.
        std::fs::remove_file(home.path("closed/probe")).unwrap();
        home.file("file", "");
        let message = refused(&home, &["init", "file/n1"], 1, "io");
        assert!(message.contains("file"), "{message}");
        return;
    }
    let message = refused(&home, &["init", "closed/n1"], 1, "permission_denied");
    assert!(message.contains("closed"), "{message}");
}

#[test]
fn a_directory_that_is_not_initialised_is_not_found_and_the_one_beside_it_is_named() {
    let home = Home::new();
    for line in [
        &["serve", "-D", "dta"][..],
        &["log", "dump", "-D", "dta"],
        &["log", "verify", "-D", "dta"],
        &["apply", "x_put", "--data", "1", "-D", "dta"],
        &["status", "-D", "dta"],
        &["log", "repair", "--truncate-from", "1", "-D", "dta"],
    ] {
        refused(&home, line, 3, "not_initialised");
    }
    home.ok(&["init", "data"]);
    let error = home.run(&["serve", "-D", "dta", "--json"]).error();
    assert!(error["hint"].as_str().unwrap().contains(home.path("data").to_str().unwrap()), "{error}");
    refused(&home, &["log", "verify", "-N", "n9"], 3, "no_such_node");
    refused(&home, &["log", "verify", "-N", "http://127.0.0.1:1"], 2, "bad_argument");
}

#[test]
fn a_payload_is_checked_before_anything_is_sent() {
    let home = Home::new();
    // No node runs: had it been sent, the exit code would be 4.
    let bad = home.file("payload.json", "{\n  \"id\": \"alice\",\n  \"name\": \"Alice\" \"x\"\n}\n");
    let message = refused(&home, &["apply", "user_create", "payload.json"], 2, "bad_json");
    assert!(message.starts_with("payload.json:3:19: "), "{message}");
    let message = refused(&home, &["apply", "user_create", bad.to_str().unwrap()], 2, "bad_json");
    assert!(message.starts_with(bad.to_str().unwrap()), "{message}");
    home.file("twice.json", "{\"id\":1,\"id\":2}");
    let message = refused(&home, &["apply", "user_create", "twice.json"], 2, "duplicate_key");
    assert!(message.starts_with("twice.json:1:9: "), "{message}");
    refused(&home, &["apply", "user_create", "absent.json"], 2, "unreadable");
    refused(&home, &["apply", "user_create", "/"], 2, "unreadable");
    refused(&home, &["apply", "--batch", "absent.ndjson"], 2, "unreadable");
    refused(&home, &["apply", "user_create", "--data", "{nope}"], 2, "bad_json");
    refused(&home, &["apply", "user_create"], 2, "bad_json");
    let ran = home.run_with(&["apply", "user_create", "-"], b"{\"a\":1,}");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("error: <stdin>:1:8: "), "{}", ran.stderr);
    home.file("big.json", format!("\"{}\"", "x".repeat(9 << 20)));
    refused(&home, &["apply", "user_create", "big.json"], 5, "too_large");
    refused(&home, &["apply", "user_create", "--data", &"[".repeat(200)], 5, "too_large");
    home.file("schema.json", "{");
    refused(&home, &["schema", "set", "user", "--json-schema", "schema.json"], 2, "bad_json");
}

#[test]
fn without_a_node_nothing_is_sent() {
    let home = Home::new();
    let talking = [
        &["apply", "user_create", "--data", "{\"id\":\"a\"}"][..],
        &["apply", "user_create", "--data", "{\"id\":\"a\"}", "--dry-run"],
        &["get", "user", "a"],
        &["ls", "user"],
        &["schema", "get", "user"],
        &["schema", "ls"],
        &["schema", "set", "user", "--unique", "email"],
    ];
    for line in talking {
        refused(&home, line, 4, "not_running");
        refused(&home, &[line, &["-N", "http://127.0.0.1:1"]].concat(), 4, "unreachable");
        refused(&home, &[line, &["-N", "n9"]].concat(), 3, "no_such_node");
        refused(&home, &[line, &["-N", "ftp://127.0.0.1:1"]].concat(), 2, "bad_argument");
    }
    home.ok(&["init"]);
    home.ok(&["init", "n1"]);
    for line in talking {
        refused(&home, line, 4, "not_running");
        refused(&home, &[line, &["-D", "n1"]].concat(), 4, "not_running");
        refused(&home, &[line, &["-N", "n1"]].concat(), 4, "not_running");
    }
    let error = home.run(&["get", "user", "a", "-D", "n1", "--json"]).error();
    assert!(error["hint"].as_str().unwrap().contains("rig serve -D "), "{error}");
    home.file("batch.ndjson", "{\"method\":\"user_put\",\"data\":{}}\n");
    refused(&home, &["apply", "--batch", "batch.ndjson"], 4, "not_running");
    refused(&home, &["status", "-N", "http://127.0.0.1:1"], 4, "unreachable");
    refused(&home, &["log", "dump", "-N", "http://127.0.0.1:1"], 4, "unreachable");
    refused(&home, &["wait", "ready", "--timeout", "200ms"], 12, "timeout");
}

#[test]
fn the_environment_is_heard_after_the_flags() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    home.ok(&["init", "n2"]);
    let name = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = home.rig(&[arguments, &["--json"]].concat());
        let ran = run(
            {
                command.envs(environment.iter().copied());
                command
            },
            b"",
        );
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        ran.lines().into_iter().map(|status| status["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(name(&["status"], &[]), ["n1", "n2"]);
    assert_eq!(name(&["status"], &[("RIG_DATA_DIR", "n2")]), ["n2"]);
    assert_eq!(name(&["status"], &[("RIG_DATA_DIR", "")]), ["n1", "n2"]);
    assert_eq!(name(&["status"], &[("RIG_NODE", "n1"), ("RIG_DATA_DIR", "n2")]), ["n1"]);
    assert_eq!(name(&["status", "-D", "n2"], &[("RIG_NODE", "n1")]), ["n2"]);
    assert_eq!(name(&["status", "-N", "n1"], &[("RIG_DATA_DIR", "n2")]), ["n1"]);
    assert_eq!(name(&["status", "--all"], &[("RIG_NODE", "n1")]), ["n1", "n2"]);
    assert_eq!(name(&["status", "n2", "n1"], &[]), ["n2", "n1"]);
    let mut bad = home.rig(&["status"]);
    bad.env("RIG_TIMEOUT", "30");
    assert_eq!(run(bad, b"").code, Some(2));
    let mut bad = home.rig(&["status"]);
    bad.env("RIG_TOKEN_FILE", "absent");
    assert_eq!(run(bad, b"").code, Some(2));
}

#[test]
fn stopped_nodes_are_told_about_from_their_directories() {
    let home = Home::new();
    assert_eq!(home.ok(&["status", "--json"]).stdout, "");
    home.ok(&["init", "n1"]);
    let status = home.ok(&["status", "--json"]).json();
    assert_eq!(
        (&status["type"], &status["state"], &status["name"]),
        (&"status".into(), &"stopped".into(), &"n1".into())
    );
    assert_eq!(home.run(&["status", "--check"]).code, Some(4));
    assert!(home.ok(&["status"]).stdout.starts_with("n1  "));
    home.ok(&["init", "n2"]);
    let table = home.ok(&["status"]).stdout;
    assert!(table.starts_with("NODE") && table.lines().count() == 3, "{table}");
    // The registry is a cache: without it the default directory is still known, and -D needs none.
    std::fs::remove_dir_all(home.path(".local/state/rig")).unwrap();
    assert_eq!(home.ok(&["status", "--json"]).stdout, "");
    assert_eq!(home.ok(&["status", "-D", "n2", "--json"]).json()["name"], "n2");
}

#[test]
fn an_empty_log_is_whole_and_cannot_be_cut() {
    let home = Home::new();
    home.ok(&["init"]);
    let summary = home.ok(&["log", "verify", "--json"]).json();
    assert_eq!(
        (&summary["type"], &summary["result"], &summary["records"]),
        (&"summary".into(), &"pass".into(), &0.into())
    );
    assert_eq!(summary["head"]["version"], 0);
    assert_eq!(home.ok(&["log", "dump", "--json"]).stdout, "");
    let ran = home.run(&["log", "repair", "--truncate-from", "1", "--confirm", "default", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
}
