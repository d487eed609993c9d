//! Files of settings: what they say, what is said of them, and what changes while a node runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Node, SERVE, run};
use crate::wire::Wire;

/// A home with a node's directory and this `rig.toml` in it.
fn with(text: &str) -> Home {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    home.file("n1/rig.toml", text);
    home
}

/// The user's own file.
fn users(home: &Home, text: &str) {
    std::fs::create_dir_all(home.path(".config/rig")).unwrap();
    home.file(".config/rig/config.toml", text);
}

fn shown(home: &Home) -> Value {
    home.ok(&["config", "show", "--origin", "-D", "n1", "--json"]).json()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn each_setting_has_its_value_from_the_nearest_word_and_says_whose_it_is() {
    let home = with("listen = \"127.0.0.1:0\"\nrequest_timeout = \"3s\"\ndrain = \"4s\"\nmin_replicas = 2\n");
    let mut command = home.rig(&["serve", "-D", "n1", "--json", "--drain", "1s"]);
    command.env("RIG_TIMEOUT", "7s");
    let node = Node::spawn(&home, command);
    assert!(!node.address().ends_with(":7440"), "{}", node.address());
    users(&home, "# mine\ncolor = \"never\"\ntimeout = \"9s\"\n");
    let file = home.path("n1/rig.toml").display().to_string();
    let config = shown(&home);
    let settings = &config["settings"];
    let of_file = |value: &str, line| json!({ "value": value, "from": "file", "file": file, "line": line });
    assert_eq!(settings["listen"], of_file("127.0.0.1:0", 1));
    assert_eq!(settings["request_timeout"], of_file("3s", 2));
    assert_eq!(settings["drain"], json!({ "value": "1s", "from": "flag" }));
    assert_eq!(settings["service"], json!({ "value": "documents", "from": "default" }));
    assert_eq!(config["min_replicas"], 2, "given in a file is given: it is in the log");
    assert_eq!(config["origin"]["min_replicas"]["method"], "rig_epoch");
    let own = home.path(".config/rig/config.toml").display().to_string();
    assert_eq!(config["client"]["timeout"], json!({ "value": "9s", "from": "file", "file": own, "line": 3 }));
    assert_eq!(config["client"]["data_dir"], json!({ "value": "n1", "from": "flag" }));
    let mut command = home.rig(&["config", "show", "--origin", "-D", "n1", "--color", "auto"]);
    command.env("RIG_TIMEOUT", "8s");
    let table = run(command, b"").stdout;
    let row = |name: &str, of: &str, value: &str, origin: &str| {
        let row = |line: &&str| line.split_whitespace().take(2).eq([name, of]);
        let row = table.lines().find(row).unwrap_or_default();
        assert!(row.contains(value) && row.trim_end().ends_with(origin), "{name}: {table}");
    };
    row("replication", "log", "semi-sync", "version 1, rig_epoch");
    row("request_timeout", "node", "3s", "n1/rig.toml:2");
    row("drain", "node", "1s", "flag");
    row("memory_max", "node", "", "default");
    row("timeout", "command", "8s", "environment, RIG_TIMEOUT");
    row("color", "command", "auto", "flag");
    // Both have one.
    row("tls_ca", "node", "", "default");
    row("tls_ca", "command", "", "default");
}

#[test]
fn the_users_file_names_node_directory_and_token_where_nothing_else_does() {
    let home = with("");
    let _node = Node::serve(&home, &["-D", "n1"]);
    users(&home, &format!("data_dir = \"{}\"\n", home.path("n1").display()));
    assert_eq!(home.ok(&["status", "--json"]).json()["name"], "n1");
    home.ok(&["init", "n2"]);
    assert_eq!(home.ok(&["status", "-D", "n2", "--json"]).json()["name"], "n2");
    users(&home, "node = \"n2\"\n");
    assert_eq!(home.run(&["get", "user", "a", "--json"]).code, Some(4), "n2 does not run");
    assert_eq!(home.run(&["get", "user", "a", "-N", "n1", "--json"]).code, Some(3));
    users(&home, "token_file = \"absent\"\n");
    let ran = home.run(&["get", "user", "a", "--json"]);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.error()["message"].as_str().unwrap().contains(".config/rig/absent"), "{ran:#?}");
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_place_and_nothing_is_started() {
    for (text, message, hint) in [
        ("lisen = \"127.0.0.1:0\"\n", "n1/rig.toml:1:1: unknown key `lisen`", "did you mean `listen`?"),
        ("\ndrain = \"10\"\n", "n1/rig.toml:2:9: invalid value '10' for '--drain", ""),
        ("peers = \"ftp://n1\"\n", "n1/rig.toml:1:9: ", ""),
        ("insecure_plaintext = \"yes\"\n", "n1/rig.toml:1:22: `insecure_plaintext` is true or false", ""),
        ("role = \"primary\"\n", "n1/rig.toml:1:1: unknown key `role`", ""),
        ("listen\n", "n1/rig.toml:", "key = "),
    ] {
        let home = with(text);
        let ran = home.run(&["serve", "-D", "n1", "--json"]);
        let error = ran.error();
        assert_eq!((ran.code, &error["code"]), (Some(2), &json!("bad_config")), "{text}: {ran:#?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{text}: {error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{text}: {error}");
        assert!(home.ok(&["log", "dump", "-D", "n1"]).stdout.is_empty());
    }
    let home = Home::new();
    users(&home, "datadir = \"x\"\n");
    let ran = home.run(&["status", "--json"]);
    assert_eq!((ran.code, &ran.error()["hint"]), (Some(2), &json!("did you mean `data_dir`?")), "{ran:#?}");
}

#[test]
fn beyond_loopback_a_file_must_say_what_a_command_line_must() {
    let home = with("listen = \"0.0.0.0:0\"\n");
    let ran = home.run(&["serve", "-D", "n1", "--json"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.error()["message"].as_str().unwrap().contains("--tokens"), "{ran:#?}");
}

#[test]
fn a_running_node_takes_what_it_can_and_names_the_rest() {
    let home = with("request_timeout = \"5s\"\n");
    let node = Node::serve(&home, &["-D", "n1"]);
    let status = || home.ok(&["status", "-D", "n1", "--json"]).json();
    let events = || {
        let events = home.ok(&["events", "-D", "n1", "--json"]).lines();
        events.into_iter().filter(|event| event["event"] == "config").collect::<Vec<_>>()
    };
    assert_eq!(status()["config"], json!({ "problems": [], "needs_restart": [] }));
    home.file("n1/rig.toml", "request_timeout = \"200ms\"\nmemory_max = \"1GiB\"\n");
    until("the change is seen", || !events().is_empty());
    let event = events().remove(0);
    assert_eq!(
        (&event["applied"], &event["needs_restart"]),
        (&json!(["request_timeout"]), &json!(["memory_max"])),
        "{event}"
    );
    assert_eq!(status()["config"]["needs_restart"], json!(["memory_max"]));
    assert_eq!(shown(&home)["settings"]["request_timeout"]["value"], "200ms");
    assert_eq!(shown(&home)["settings"]["memory_max"]["from"], "default");
    // It holds: a read that waits for a version gives up at the new time.
    let begin = Instant::now();
    let reply = Wire::open(node.address()).unwrap().get_with("/data/user/a", "Rig-Min-Version: 99\r\n").unwrap();
    assert_eq!((reply.status, &*reply.code()), (503, "lagging"));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    // A file that is wrong changes nothing, and is told until it is right.
    home.file("n1/rig.toml", "request_timeout = \"never\"\n");
    until("the fault is told", || status()["config"]["problems"][0]["error"].is_string());
    let problem = status()["config"]["problems"][0]["error"].as_str().unwrap().to_owned();
    assert!(problem.contains("n1/rig.toml:1:19: "), "{problem}");
    assert_eq!(events().last().unwrap()["error"], json!(problem));
    assert_eq!(shown(&home)["settings"]["request_timeout"]["value"], "200ms");
    assert!(home.ok(&["status", "-D", "n1"]).stdout.contains("rig.toml:1:19"));
    assert!(home.serve_log().contains(&problem));
    std::fs::remove_file(home.path("n1/rig.toml")).unwrap();
    until("it is right again", || status()["config"] == json!({ "problems": [], "needs_restart": [] }));
    until("the default is back", || shown(&home)["settings"]["request_timeout"]["value"] == "5s");
}

#[test]
fn a_node_in_the_background_listens_where_its_file_says() {
    let home = with("listen = \"127.0.0.1:0\"\n");
    let started = home.ok(&["node", "start", "./n1", "--json"]).json();
    let port = home.ok(&["config", "show", "-D", "n1", "--json"]).json()["settings"]["listen"].clone();
    home.ok(&["node", "stop", "./n1"]);
    assert_eq!((&port["value"], &port["from"]), (&json!("127.0.0.1:0"), &json!("file")), "{started}");
}

#[test]
fn init_writes_no_settings() {
    let home = with("");
    std::fs::remove_file(home.path("n1/rig.toml")).unwrap();
    let _node = Node::spawn(&home, home.rig(&[SERVE, &["-D", "n1"]].concat()));
    assert!(!home.path("n1/rig.toml").exists());
}
