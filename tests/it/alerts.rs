//! `rig help alerts` and `rig help systemd`: what they say is what the program has.

use crate::support::{Coordinated, Home, RIG, has, run};
use crate::wire::Wire;

fn read(topic: &str) -> String {
    Home::new().ok(&["help", topic]).stdout
}

/// The names of metrics in a text.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("rig_")).collect()
}

#[test]
fn the_alerts_are_rules_and_name_only_what_a_node_shows() {
    let alerts = read("alerts");
    let test = "the_alerts_are_rules_and_name_only_what_a_node_shows";
    let Some(pair) = Coordinated::new(test, "2s", &[]) else { return };
    let address = pair.cluster.url(1);
    let reply = Wire::open(address.strip_prefix("http://").unwrap()).unwrap().get("/metrics").unwrap();
    let metrics = String::from_utf8(reply.body).unwrap();
    let named = names(&alerts);
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        assert!(metrics.contains(&format!("# TYPE {name} gauge\n")), "{name} is no gauge of /metrics: {metrics}");
    }
    if has("promtool", test) {
        let home = Home::new();
        let file = home.file("alerts.yml", &alerts);
        let ran = run(home.command("promtool", &["check", "rules", file.to_str().unwrap()]), b"");
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert!(ran.stdout.contains("6 rules found"), "{ran:#?}");
        let wrong = home.file("wrong.yml", alerts.replace("rig_blocked == 1", "rig_blocked ==="));
        assert_ne!(run(home.command("promtool", &["check", "rules", wrong.to_str().unwrap()]), b"").code, Some(0));
    }
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_its_command_is_one_that_rig_takes() {
    let unit = read("systemd");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/rig ")).unwrap();
    let home = Home::new();
    let dir = home.path("n1").display().to_string();
    let words: Vec<String> = command.split(' ').map(|word| word.replace("/var/lib/rig/%i", &dir)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--listen", "127.0.0.1:0", "--json"]).collect();
    home.ok(&["init", "n1"]);
    let mut node = crate::support::Node::spawn(&home, home.rig(&words));
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    // It is no part of most containers, so a machine without it is none that lacks anything.
    let verify = |text: &str| {
        let file = home.file("rig@.service", text.replace("/usr/local/bin/rig", RIG));
        let instance = file.with_file_name("rig@n1.service").display().to_string();
        let mut command = home.command("systemd-analyze", &["--man=no", "verify", &instance]);
        command.output().ok().map(|output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    if let Some((code, said)) = verify(&unit) {
        assert_eq!((code, said.contains("rig@")), (Some(0), false), "{said}");
        let (_, said) = verify(&unit.replace("RestartSec=1", "RestartSeconds=1")).unwrap();
        assert!(said.contains("RestartSeconds"), "{said}");
    }
}
