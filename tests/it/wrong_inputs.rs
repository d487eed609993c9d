//! What every command says to wrong input, a row per case: the exit code, the code, and a word that the message must
//! hold. Nothing is left behind and nothing is logged.
//!
//! Flags that clap alone refuses are in `cli_usage`, closed doors in `hostile`, damaged logs in `cli_log`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::storage::SmallDisk;
use crate::support::{Home, Node};

/// A command line (words apart by one blank), how it ends, and a word of its message.
type Case<'a> = (&'a str, i32, &'a str, &'a str);

fn assert_refused(home: &Home, (line, exit, code, word): Case<'_>) {
    let mut arguments: Vec<_> = line.split(' ').collect();
    arguments.push("--json");
    let ran = home.run(&arguments);
    assert_eq!((ran.code, &*ran.stdout), (Some(exit), ""), "rig {line}: {ran:#?}");
    let error = ran.error();
    assert_eq!((&error["code"], &error["exit"]), (&code.into(), &exit.into()), "rig {line}: {error}");
    assert_eq!(error["definite"], true, "rig {line}: {error}");
    assert!(error["message"].as_str().unwrap().contains(word), "rig {line}: {error}");
}

/// Each case is refused, and every file is as it was.
fn assert_each_refused(home: &Home, cases: &[Case<'_>]) {
    let before = files(&home.path(""));
    for case in cases {
        assert_refused(home, *case);
        assert_eq!(files(&home.path("")), before, "rig {} left something behind", case.0);
    }
}

/// Every file and folder below a folder, with its size.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.clone(), 0);
                folders.push(path);
            } else {
                let bytes = path.metadata().unwrap().len();
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// Every command that works on a directory, or on the node of one.
const ON_A_DIRECTORY: &[&str] = &[
    "serve -D DIR --listen 127.0.0.1:0",
    "apply user_put --data {} -D DIR",
    "apply --batch batch -D DIR",
    "get user a -D DIR",
    "ls user -D DIR",
    "schema set user -D DIR",
    "schema get user -D DIR",
    "schema ls -D DIR",
    "log dump -D DIR",
    "log verify -D DIR",
    "log repair --truncate-from 1 --confirm DIR -D DIR",
    "status -D DIR",
    "wait ready -D DIR",
    "events -D DIR",
    "promote -D DIR",
    "demote -D DIR",
    "member ls -D DIR",
    "config show -D DIR",
    "rescue ls -D DIR",
    "node start ./DIR",
    "node stop ./DIR",
    "node logs ./DIR",
    "bench --yes -D DIR",
];

#[test]
fn a_directory_that_is_none_is_called_so_by_every_command() {
    let home = Home::new();
    for name in ["whole", "bad", "newer"] {
        home.ok(&["init", name]);
    }
    home.file("batch", "{\"method\":\"user_put\",\"data\":{\"id\":\"a\"}}\n");
    home.file("file", "x");
    home.file("bad/meta.json", "{nope");
    let meta = std::fs::read_to_string(home.path("newer/meta.json")).unwrap();
    home.file("newer/meta.json", meta.replace("\"format\":1", "\"format\":99"));
    std::fs::create_dir(home.path("mine")).unwrap();
    home.file("mine/letter", "x");
    for (dir, exit, code, word) in [
        ("absent", 3, "not_initialised", "absent"),
        ("mine", 3, "not_initialised", "mine"),
        ("file", 2, "not_a_directory", "file"),
        ("bad", 9, "bad_meta", "meta.json"),
        ("newer", 2, "format", "99"),
    ] {
        let lines: Vec<_> = ON_A_DIRECTORY.iter().map(|line| line.replace("DIR", dir)).collect();
        let cases: Vec<Case<'_>> = lines.iter().map(|line| (&**line, exit, code, word)).collect();
        assert_each_refused(&home, &cases);
    }
    assert_each_refused(
        &home,
        &[
            ("init bad --exist-ok", 9, "bad_meta", "meta.json"),
            ("init newer --exist-ok", 2, "format", "99"),
            ("init mine --exist-ok", 2, "foreign_directory", "mine"),
            ("init file/n1", 1, "io", "file"),
            ("log verify -D whole --against ./mine", 3, "not_initialised", "mine"),
            ("log verify -D whole --against ./bad", 9, "bad_meta", "meta.json"),
            ("log verify -D whole --against ./file", 2, "bad_argument", "--against ./file"),
        ],
    );
}

#[test]
fn a_file_that_cannot_be_meant_is_named() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    std::fs::create_dir(home.path("folder")).unwrap();
    home.file("empty", "");
    home.file("words", "two words\n");
    home.file("no-utf8", [0xff, 0xfe]);
    let modes = ["empty", "words", "no-utf8"].map(|name| home.path(name));
    for path in modes {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_each_refused(
        &home,
        &[
            ("get user a --token-file absent", 2, "io", "absent"),
            ("get user a --token-file folder", 2, "io", "folder"),
            ("status --token-file empty", 2, "bad_argument", "empty"),
            ("log dump --token-file words", 2, "bad_argument", "words"),
            ("wait ready --token-file no-utf8", 2, "io", "no-utf8"),
            ("serve -D n1 --tokens absent", 2, "io", "absent"),
            ("schema set user --json-schema absent", 2, "unreadable", "absent"),
            ("schema set user --json-schema folder", 2, "unreadable", "folder"),
            ("schema set user --json-schema no-utf8", 2, "bad_json", "no-utf8:1:1: "),
            ("apply user_put folder", 2, "unreadable", "folder"),
            ("apply user_put empty", 2, "bad_json", "empty:1:1: "),
            ("apply user_put no-utf8", 2, "bad_json", "no-utf8:1:1: "),
            ("apply --batch folder", 2, "unreadable", "folder"),
            ("log verify -D n1 --anchor absent", 2, "unreadable", "absent"),
            ("log verify -D n1 --anchor folder", 2, "unreadable", "folder"),
            ("log verify -D n1 --anchor words", 2, "bad_argument", "words: line 1: "),
            // An anchor file that was emptied must not let every log pass.
            ("log verify -D n1 --anchor empty", 2, "bad_argument", "empty"),
            ("man --out words", 1, "io", "words"),
            ("bench --dir words", 1, "io", "words"),
            ("bench --dir absent", 1, "io", "absent"),
        ],
    );
    for (file, word) in [("empty", "no token"), ("words", "line 1"), ("no-utf8", "UTF-8")] {
        // The node itself reads the file, in its directory.
        let ran = home.run(&["serve", "-D", "n1", "--listen", "127.0.0.1:0", "--tokens", file, "--json"]);
        assert_eq!((ran.code, &ran.error()["code"]), (Some(2), &"tokens".into()), "{file}: {ran:#?}");
        assert!(ran.error()["message"].as_str().unwrap().contains(word), "{file}: {ran:#?}");
    }
}

#[test]
fn wrong_json_is_named_by_line_and_column() {
    let home = Home::new();
    let text = "{\n  \"id\": \"a\",\n  \"n\": 1 2\n}\n";
    home.file("p.json", text);
    home.file("twice.json", "{\"a\":{\"b\":1,\n\"b\":2}}");
    home.file("cut.json", "{\"type\":3");
    assert_each_refused(
        &home,
        &[
            ("apply user_put p.json", 2, "bad_json", "p.json:3:10: "),
            ("apply user_put p.json --dry-run", 2, "bad_json", "p.json:3:10: "),
            ("apply user_put twice.json", 2, "duplicate_key", "twice.json:2:1: "),
            ("apply user_put --data {\"id\":}", 2, "bad_json", "--data:1:7: "),
            ("apply user_put --data [1e999]", 2, "bad_json", "--data:1:2: "),
            ("apply user_put --data [\"\\ud800\"]", 2, "bad_json", "--data:1:"),
            ("schema set user --json-schema cut.json", 2, "bad_json", "cut.json:1:10: "),
        ],
    );
    let stdin = home.run_with(&["apply", "user_put", "-", "--json"], text.as_bytes());
    assert_eq!((stdin.code, &stdin.error()["code"]), (Some(2), &"bad_json".into()), "{stdin:#?}");
    assert!(stdin.error()["message"].as_str().unwrap().starts_with("<stdin>:3:10: "), "{stdin:#?}");
    // In a batch the lines around it are done.
    let node = Node::new(&home);
    let put = "{\"method\":\"user_put\",\"data\":{\"id\":\"a\"}}";
    let lines =
        format!("{put}\nnope\n{{\"method\":\"user_put\",\"data\":{{\"a\":1,\"a\":2}}}}\n[]\n{{\"data\":1}}\n{put}\n");
    let batch = home.run_with(&["apply", "--batch", "-", "--json", "-N", node.url()], lines.as_bytes());
    assert_eq!(batch.code, Some(5), "{batch:#?}");
    let told = batch.lines();
    for (at, code, word) in [
        (1, "bad_json", "2:1: "),
        (2, "duplicate_key", "3:36: "),
        (3, "bad_request", "4:1: "),
        (4, "bad_request", "method"),
    ] {
        assert_eq!((&told[at]["line"], &told[at]["code"]), (&(at + 1).into(), &code.into()), "{told:?}");
        assert!(told[at]["message"].as_str().unwrap().contains(word), "{told:?}");
    }
    assert_eq!((&told[6]["ok"], &told[6]["rejected"]), (&2.into(), &4.into()), "{told:?}");
}

#[test]
fn words_that_a_command_does_not_know_are_usage_errors() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    let lines = [
        "serve --replication strong",
        "serve --min-replicas 0",
        "serve --min-replicas 99",
        "serve --sync-timeout 2",
        "serve --sync-timeout 0s",
        "serve --ack maybe",
        "serve --request-timeout 2m",
        "serve --service nothing",
        "serve --peer ftp://host",
        "serve --advertise host:port",
        "serve --listen 7440",
        "serve --listen 127.0.0.1:99999",
        "serve --memory-max 1q",
        "node start n1 --role leader",
        "node start n1 --ack maybe",
        "node logs n1 -n x",
        "node forget a/b",
        "node forget",
        "init n1/..",
        "get user",
        "get user a --min-version 0",
        "get user a --timeout 0s",
        "get user a -N n/1",
        "get user a -N http://host:99999",
        "ls user --where =x",
        "ls user --limit 1001",
        "ls user --min-version x",
        "schema set User",
        "schema set user --references team=team:drop",
        "log dump --method [a",
        "log dump --until x",
        "log dump --follow --reverse",
        "log dump --from 18446744073709551616",
        "log verify --to 0",
        "log repair --truncate-from x --confirm n1",
        "status ://",
        "status n1 --all",
        "wait role=leader",
        "wait version=0",
        "wait in_sync",
        "bench --clients 0",
        "bench --duration 0s",
        "bench --size 1",
        "bench --batch 0",
        "bench --reads 101",
        "bench --rate 0",
        "bench --ops 0",
        "bench --size 1000000 --batch 1000",
        "bench --disk --yes -N http://127.0.0.1:1",
        "demo n1",
        "man log nothing",
        "help log nothing",
    ];
    assert_each_refused(&home, &lines.map(|line| (line, 2, "bad_argument", "")));
}

#[test]
fn without_a_server_the_other_commands_say_so_too() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    assert_each_refused(
        &home,
        &[
            ("bench --yes -N http://127.0.0.1:1", 4, "unreachable", "127.0.0.1:1"),
            ("bench --yes -N n1", 4, "not_running", "n1"),
            ("bench --yes -D n1", 4, "not_running", "n1"),
            ("bench -N http://127.0.0.1:1", 2, "not_confirmed", "127.0.0.1:1"),
            ("log verify -D n1 --against http://127.0.0.1:1", 4, "unreachable", "127.0.0.1:1"),
            ("log dump -N n1", 4, "not_running", "n1"),
            ("log dump -f -N http://127.0.0.1:1", 4, "unreachable", "127.0.0.1:1"),
            ("status n9", 3, "no_such_node", "n9"),
            ("wait ready n9", 3, "no_such_node", "n9"),
            ("wait ready -N n1 --timeout 200ms", 12, "timeout", ""),
            ("wait ready http://127.0.0.1:1 --timeout 200ms", 12, "timeout", ""),
        ],
    );
}

#[test]
fn a_running_node_logs_nothing_of_what_it_refuses() {
    let home = Home::new();
    let node = Node::new(&home);
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"a\"}"]);
    let head = home.ok(&["log", "dump", "--json"]).stdout;
    for case in [
        ("apply frobnicate --data {}", 5, "unknown_method", "frobnicate"),
        ("apply user_frobnicate --data {} --dry-run", 5, "unknown_method", "user_frobnicate"),
        ("apply user_create --data []", 5, "invalid", "object"),
        ("apply user_put --data {}", 5, "invalid", "/id"),
        ("apply user_put --data {\"id\":7}", 5, "invalid", "/id"),
        ("apply user_put --data {\"id\":\"a/b\"}", 5, "invalid", "/id"),
        // Such a document could never be asked for: no path has a segment of dots.
        ("apply user_put --data {\"id\":\".\"}", 5, "invalid", "/id"),
        ("apply user_create --data {\"id\":\"..\"}", 5, "invalid", "/id"),
        ("apply user_delete --data {\"id\":\"a\",\"n\":1}", 5, "invalid", "/n"),
        ("apply user_delete --data {\"id\":\"b\"}", 3, "not_found", "b"),
        ("apply user_put --data {\"id\":\"a\",\"_if_version\":9}", 6, "version_conflict", "9"),
        ("apply user_put --data {\"id\":\"a\",\"_if_version\":\"x\"}", 5, "invalid", "/_if_version"),
        ("apply user_put --data {\"id\":\"a\"} --expect-version 2", 6, "version_conflict", "3"),
        ("apply schema_set --data {}", 5, "invalid", "/type"),
        ("schema set user --required _x", 5, "invalid", "/required/0"),
        ("schema set user --unique a --unique a", 5, "invalid", "/unique/1"),
        ("schema set user --required name", 6, "exists", "/name"),
        ("schema get team", 3, "not_found", "team"),
        ("get user b", 3, "not_found", "b"),
        ("get user a --min-version 9 --timeout 200ms", 8, "lagging", "9"),
        ("ls user --min-version 9 --timeout 200ms", 8, "lagging", "9"),
        ("wait version=9 --timeout 200ms -N default", 12, "timeout", ""),
        ("wait role=replica --timeout 200ms", 12, "timeout", ""),
        ("bench -N default", 2, "not_confirmed", "http://"),
        ("log repair --truncate-from 2 --confirm default", 10, "in_use", ""),
        ("log repair --truncate-from 2 --dry-run", 10, "in_use", ""),
        ("node start default", 10, "in_use", "default"),
        ("node forget default", 10, "in_use", "default"),
        ("serve --listen 127.0.0.1:0", 10, "in_use", ""),
    ] {
        assert_refused(&home, case);
    }
    assert_eq!(home.ok(&["log", "dump", "--json"]).stdout, head);
    assert_eq!(home.ok(&["wait", "ready", "-N", node.url()]).stdout, home.ok(&["wait", "ready"]).stdout);
}

#[test]
fn a_version_that_the_log_does_not_have_is_not_found() {
    let home = Home::new();
    drop(Node::new(&home));
    assert_each_refused(
        &home,
        &[
            ("log verify --from 9", 3, "not_found", "9"),
            ("log repair --truncate-from 9 --confirm default", 3, "not_found", "9"),
            ("log repair --truncate-from 9 --dry-run", 3, "not_found", "9"),
            ("log repair --truncate-from 1", 2, "not_confirmed", "default"),
            ("log repair --truncate-from 1 --confirm n1", 2, "not_confirmed", "n1"),
        ],
    );
}

#[test]
fn a_replica_without_a_primary_takes_no_writes_and_says_whose_they_are() {
    let home = Home::new();
    home.ok(&["init"]);
    let _node = Node::serve(&home, &["--role", "replica"]);
    for case in [
        ("apply user_put --data {\"id\":\"a\"} --timeout 500ms", 8, "no_primary", "primary"),
        ("schema set user --unique a --timeout 500ms", 8, "no_primary", "primary"),
        ("bench --yes -N default --duration 100ms --warm-up 0s --timeout 1s", 8, "nothing_done", "503"),
        ("get user a", 3, "not_found", "a"),
        ("wait ready --timeout 200ms", 12, "timeout", ""),
        ("wait role=primary --timeout 200ms", 12, "timeout", ""),
    ] {
        assert_refused(&home, (&format!("{} -D .local/share/rig/default", case.0), case.1, case.2, case.3));
    }
    assert_eq!(home.run(&["status", "--check"]).code, Some(12));
    assert_eq!(home.ok(&["log", "dump", "--json"]).stdout, "");
}

#[test]
fn without_space_each_command_leaves_things_as_they_were() {
    let home = Home::new();
    let Some(_disk) = SmallDisk::mount(&home, 16, "no space for a command") else { return };
    for name in ["small/fresh", "small/used", "whole"] {
        home.ok(&["init", name]);
    }
    for name in ["small/used", "whole"] {
        drop(Node::serve(&home, &["-D", name]));
    }
    let ballast = home.path("small/ballast");
    std::fs::write(&ballast, vec![1; 32 << 20]).unwrap_err();
    let outside = |home: &Home| -> Vec<PathBuf> {
        let fresh = home.path("small/fresh");
        files(&home.path("small")).into_keys().filter(|path| !path.starts_with(&fresh)).collect()
    };
    let before = outside(&home);
    for case in [
        ("init small/n2", 1, "io", "No space left"),
        ("serve -D small/fresh --listen 127.0.0.1:0", 1, "io", "No space left"),
        ("node start ./small/fresh --listen 127.0.0.1:0", 1, "node_ended", "fresh"),
        ("log verify -D whole --write-anchor small/anchors", 1, "io", "No space left"),
        ("log repair -D small/used --truncate-from 1 --confirm used", 1, "disk_full", "No space left"),
        ("bench --dir small", 1, "io", "No space left"),
    ] {
        assert_refused(&home, case);
        assert_eq!(outside(&home), before, "rig {} left something behind", case.0);
    }
    home.ok(&["log", "verify", "-D", "small/used"]);
    // Room is all that they need.
    std::fs::remove_file(ballast).unwrap();
    home.ok(&["init", "small/n2"]);
    drop(Node::serve(&home, &["-D", "small/fresh"]));
    home.ok(&["log", "verify", "-D", "whole", "--write-anchor", "small/anchors"]);
    home.ok(&["log", "verify", "-D", "whole", "--anchor", "small/anchors"]);
    home.ok(&["log", "repair", "-D", "small/used", "--truncate-from", "1", "--confirm", "used"]);
}
