//! `rig backup` and `rig restore`: while clients write, to every point in time, after every kind of end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Cluster, Home, Node};
use crate::wire::Wire;

fn lines(from: usize, count: usize, pad: usize) -> String {
    let pad = "x".repeat(pad);
    let line = |n: usize| {
        format!(
            "{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{}\",\"n\":{n},\"pad\":\"{pad}\"}},\"key\":\"k{n}\"}}\n",
            n % 97
        )
    };
    (from..from + count).map(line).collect()
}

fn apply(home: &Home, name: &str, from: usize, count: usize) {
    let file = home.file(&format!("ops-{from}"), lines(from, count, 10));
    home.ok(&["apply", "--batch", file.to_str().unwrap(), "-D", name, "-q"]);
}

/// The digest of a node's state, and of which version it is.
fn state(node: &Node) -> (Value, u64) {
    let data = Wire::open(node.address()).unwrap().get("/state/hash").unwrap().data();
    (data["hash"].clone(), data["version"].as_u64().unwrap())
}

/// The state of a restored directory, which is served as the replica that it is.
fn served(home: &Home, dir: &str) -> (Value, u64) {
    home.ok(&["log", "verify", "-D", dir]);
    let node = Node::serve(home, &["-D", dir]);
    assert_eq!(node.ready["role"], "replica", "{}", node.ready);
    state(&node)
}

/// Every document: what stays equal under another chain, whose version is further by its own control records.
fn documents(home: &Home, dir: &str) -> String {
    home.ok(&["ls", "user", "-D", dir, "--json"]).stdout
}

/// Nothing of an attempt is left: neither the directory nor what it was built in.
fn is_clean(home: &Home, dir: &str) {
    let names = std::fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_str().unwrap().starts_with(dir)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn one(home: &Home) -> Node {
    home.ok(&["init", "n1"]);
    Node::serve(home, &["-D", "n1"])
}

#[test]
fn a_backup_that_is_taken_while_eight_clients_write_is_the_state_of_its_version() {
    let home = Home::new();
    let node = one(&home);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (stop, address) = (&stop, node.address());
            scope.spawn(move || {
                let mut wire = Wire::open(address).unwrap();
                for n in 0.. {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let data = format!("{{\"id\":\"c{client}-{}\",\"n\":{n}}}", n % 50);
                    let reply = wire.operation("user_put", &data, None).unwrap();
                    assert_eq!(reply.status, 200);
                }
            });
        }
        for place in [["-D", "n1"], ["-N", "n1"], ["-N", node.url()]] {
            std::thread::sleep(Duration::from_millis(150));
            let file = format!("b{}", taken.len());
            taken.push(home.ok(&[&["backup", "-o", &file, "--json"], &place[..]].concat()).json());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(taken[0]["to"].as_u64() < taken[2]["to"].as_u64(), "{taken:#?}");
    for (number, taken) in taken.iter().enumerate() {
        let (file, dir) = (format!("b{number}"), format!("r{number}"));
        let made = home.ok(&["restore", &file, &dir, "--json"]).json();
        assert_eq!((&made["version"], &made["hash"]), (&taken["to"], &taken["hash"]));
        let there = home.ok(&["log", "dump", "-D", "n1", "--from", &taken["to"].to_string(), "-n", "1", "--json"]);
        assert_eq!(there.json()["hash"], taken["hash"], "a committed record of the node");
        home.ok(&["log", "verify", "-D", &dir, "--against", node.url()]);
        let cut =
            home.ok(&["restore", "b2", &format!("{dir}-cut"), "--to-version", &taken["to"].to_string(), "--json"]);
        assert_eq!(cut.json()["hash"], taken["hash"]);
        assert_eq!(served(&home, &dir), served(&home, &format!("{dir}-cut")));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(home.path("b0")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_point_in_time_is_restored_to_the_state_that_the_node_had() {
    let home = Home::new();
    let mut node = one(&home);
    let mut states = BTreeMap::new();
    let mut note = |node: &Node| {
        let (hash, version) = state(node);
        states.insert(version, hash);
    };
    apply(&home, "n1", 0, 300);
    note(&node);
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
    apply(&home, "n1", 300, 200);
    note(&node);
    home.ok(&["backup", "-D", "n1", "-o", "one", "--since", "full"]);
    apply(&home, "n1", 500, 1);
    note(&node);
    home.ok(&["apply", "user_delete", "--data", "{\"id\":\"u3\"}", "-D", "n1"]);
    note(&node);
    node.kill();
    // Of a stopped node too.
    let last = home.ok(&["backup", "-D", "n1", "-o", "two", "--since", "one", "--json"]).json();
    assert_eq!(last["to"], *states.keys().last().unwrap());
    let chain = ["--apply", "one", "--apply", "two"];
    for (version, hash) in &states {
        let dir = format!("r{version}");
        let version_text = version.to_string();
        let wanted = [&["restore", "full", &dir, "--to-version", &version_text], &chain[..]].concat();
        home.ok(&wanted);
        assert_eq!(served(&home, &dir), (hash.clone(), *version));
        // By time: its record is the last one of its microsecond, or the last but some of the same.
        let record = home.ok(&["log", "dump", "-D", "n1", "--from", &version_text, "-n", "1", "--json"]).json();
        let (dir, time) = (format!("t{version}"), record["time"].as_str().unwrap().to_owned());
        let made = home.ok(&[&["restore", "full", &dir, "--to-time", &time, "--json"], &chain[..]].concat()).json();
        let until = home.ok(&["log", "dump", "-D", "n1", "--until", &time, "-r", "-n", "1", "--json"]).json();
        assert_eq!(made["version"], until["version"]);
    }
    for (wanted, code) in [
        (&["--to-version", "99999"][..], 3),
        (&["--to-time", "2001-01-01T00:00:00Z"], 3),
        (&["--to-version", "5", "--to-time", "1m"], 2),
    ] {
        assert_eq!(home.run(&[&["restore", "full", "bad"], wanted].concat()).code, Some(code), "{wanted:?}");
    }
    assert_eq!(home.run(&["restore", "one", "bad"]).code, Some(2), "an incremental one alone");
    assert_eq!(home.run(&["restore", "full", "bad", "--apply", "two"]).code, Some(6), "one is missing");
    assert_eq!(home.run(&["restore", "full", "bad", "--apply", "full"]).code, Some(6), "twice the same");
    is_clean(&home, "bad");
    let ran = home.run(&["restore", "full", "n1"]);
    assert_eq!(ran.code, Some(6), "a node is there");
    assert!(ran.stderr.contains("hint: choose a directory that is empty or does not exist"), "{ran:#?}");
    std::fs::create_dir(home.path("used")).unwrap();
    home.file("used/mine", "x");
    assert_eq!(home.run(&["restore", "full", "used"]).code, Some(2));
    assert_eq!(std::fs::read(home.path("used/mine")).unwrap(), b"x");
    std::fs::create_dir(home.path("empty")).unwrap();
    home.ok(&["restore", "full", "empty"]);
    assert_eq!(home.run(&["backup", "-D", "n1", "-o", "late", "--since", "99999"]).code, Some(3));
}

#[test]
fn a_compacted_log_is_backed_up_with_its_snapshot_and_keeps_its_keys() {
    let home = Home::new();
    let node = one(&home);
    let ops = home.file("ops", lines(0, 800, 64 << 10));
    home.ok(&["apply", "--batch", ops.to_str().unwrap(), "-D", "n1", "-q"]);
    let snapshot = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
    let compacted = home.ok(&["log", "compact", "-D", "n1", "--keep", "10", "--json"]).json();
    assert!(compacted["oldest"].as_u64().unwrap() > 1, "{compacted}");
    apply(&home, "n1", 800, 50);
    let taken = home.ok(&["backup", "-D", "n1", "-o", "full", "--json"]).json();
    assert_eq!((&taken["from"], &taken["snapshot"]), (&compacted["oldest"], &snapshot["version"]));
    home.ok(&["restore", "full", "r1"]);
    assert_eq!(served(&home, "r1"), state(&node));
    home.ok(&["restore", "full", "r2", "--to-version", &snapshot["version"].to_string()]);
    assert_eq!(served(&home, "r2").1, snapshot["version"].as_u64().unwrap());
    let early = (snapshot["version"].as_u64().unwrap() - 1).to_string();
    assert_eq!(home.run(&["restore", "full", "r3", "--to-version", &early]).code, Some(3));
    is_clean(&home, "r3");
    // Of a new cluster: the same state under another chain, and the same keys.
    home.ok(&["restore", "full", "r4", "--new-cluster"]);
    home.ok(&["log", "verify", "-D", "r4"]);
    let other = Node::serve(&home, &["-D", "r4"]);
    assert_eq!(other.ready["role"], "primary");
    assert_eq!(documents(&home, "r4"), documents(&home, "n1"));
    let first = lines(3, 1, 64 << 10);
    let again = home.file("again", first);
    let replayed = home.ok(&["apply", "--batch", again.to_str().unwrap(), "-D", "r4", "--json"]).lines();
    assert_eq!((&replayed[0]["replayed"], &replayed[0]["version"]), (&json!(true), &json!(5)));
}

#[test]
fn an_archive_goes_through_a_pipe_and_a_cut_one_is_refused() {
    let home = Home::new();
    let _node = one(&home);
    apply(&home, "n1", 0, 500);
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
    let script = format!("{0} backup -D n1 -o - | {0} restore - piped", crate::support::RIG);
    let piped = crate::support::run(home.command("sh", &["-c", &script]), b"");
    assert_eq!(piped.code, Some(0), "{piped:#?}");
    let whole = std::fs::read(home.path("full")).unwrap();
    let mut wrong: Vec<(String, Vec<u8>)> = [0, 100, 255, 256, 300, whole.len() / 2, whole.len() - 61, whole.len() - 1]
        .iter()
        .map(|length| (format!("cut to {length}"), whole[..*length].to_vec()))
        .collect();
    for at in (0..256).step_by(9).chain((256..whole.len()).step_by(whole.len() / 60)).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        wrong.push((format!("flipped at {at}"), bytes));
    }
    wrong.push(("with more behind it".into(), [&whole[..], b"x"].concat()));
    for (what, bytes) in wrong {
        home.file("wrong", bytes);
        let ran = home.run(&["restore", "wrong", "bad", "--json"]);
        assert_eq!(ran.code, Some(9), "{what}: {ran:#?}");
        is_clean(&home, "bad");
    }
    let mut later = std::fs::read(home.path("full")).unwrap();
    later[8] = 2;
    let crc = crc32c::crc32c(&later[..252]).to_le_bytes();
    later[252..256].copy_from_slice(&crc);
    home.file("later", later);
    assert_eq!(home.run(&["restore", "later", "bad", "--json"]).error()["code"], "format");
    is_clean(&home, "bad");
}

#[test]
fn a_restored_node_meets_nobody_unasked_and_joins_as_a_new_member_when_asked() {
    let mut cluster = Cluster::new(2, &["--replication", "semi-sync"]);
    for id in 0..20 {
        cluster.put(1, &format!("a{id}"));
    }
    cluster.ok(1, &["backup", "-o", "full"]);
    cluster.put(1, "later");
    let made = cluster.home.ok(&["restore", "full", "n3", "--json"]).json();
    let mut node = Node::serve(&cluster.home, &["-D", "n3"]);
    let notes = node.ready.clone();
    assert_eq!(notes["role"], "replica");
    std::thread::sleep(Duration::from_millis(1500));
    let status = cluster.home.ok(&["status", "-D", "n3", "--json"]).json();
    assert_eq!((&status["state"], &status["log"]["committed"]), (&json!("recovering"), &made["version"]), "{status:#}");
    let members = cluster.home.ok(&["member", "ls", "-N", &cluster.url(1), "--json"]).lines();
    assert_eq!(members.len(), 2, "{members:#?}");
    node.kill();
    let peer = cluster.url(1);
    let _node = Node::serve(&cluster.home, &["-D", "n3", "--peer", &peer]);
    cluster.home.ok(&["wait", "in-sync", "-D", "n3"]);
    let members = cluster.home.ok(&["member", "ls", "-N", &cluster.url(1), "--json"]).lines();
    assert_eq!(members.len(), 3, "{members:#?}");
    cluster.home.ok(&["log", "verify", "-D", "n3", "--against", &cluster.url(1)]);
    cluster.kill(2);
}

#[test]
fn a_restored_node_becomes_the_primary_by_force_where_the_others_are_gone() {
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    cluster.put(1, "a");
    cluster.ok(1, &["backup", "-o", "full"]);
    cluster.kill(1);
    cluster.kill(2);
    cluster.home.ok(&["restore", "full", "n3"]);
    let node = Node::serve(&cluster.home, &["-D", "n3"]);
    let refused = cluster.home.run(&["promote", node.url(), "--json"]);
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    cluster.home.ok(&["promote", node.url(), "--accept-data-loss", "--confirm", "n3"]);
    assert_eq!(cluster.home.ok(&["get", "user", "a", "-D", "n3", "--json"]).json()["id"], "a");
}

#[test]
fn a_sync_pair_that_is_lost_goes_on_from_its_backup_and_says_what_it_waits_for() {
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    cluster.put(1, "a");
    cluster.ok(1, &["backup", "-o", "full"]);
    cluster.kill(1);
    cluster.kill(2);
    let home = &cluster.home;
    let told = home.ok(&["restore", "full", "r1", "--new-cluster"]).stdout;
    assert!(told.contains("The mode is sync") && told.contains("rig config set replication=semi-sync"), "{told}");
    let made = home.ok(&["restore", "full", "r2", "--new-cluster", "--json"]).json();
    assert_eq!(made["replication"], "sync", "{made}");
    // Alone it is blocked, and says why and what can be done: a replica, or another mode.
    let one = Node::serve(home, &["-D", "r1"]);
    let status = home.ok(&["status", "-D", "r1"]).stdout;
    let next = status.lines().find(|line| line.trim_start().starts_with("next")).unwrap();
    assert!(
        next.contains(&format!("start a replica: rig serve -D DIR --role replica --peer {}", one.url())),
        "{status}"
    );
    let put = ["apply", "user_put", "--data", "{\"id\":\"b\"}", "-D", "r1", "--json"];
    let refused = home.run(&put);
    assert_eq!((refused.code, &refused.error()["code"]), (Some(8), &json!("not_enough_replicas")), "{refused:#?}");
    assert!(refused.error()["hint"].as_str().unwrap().contains("rig config set replication=semi-sync"), "{refused:#?}");
    home.ok(&["init", "r3"]);
    let _three = Node::serve(home, &["-D", "r3", "--role", "replica", "--peer", one.url()]);
    home.ok(&["wait", "in-sync", "-D", "r1"]);
    let answer = home.ok(&put).json();
    assert_eq!((&answer["durability"], &answer["acks"]), (&json!("sync"), &json!(["r1", "r3"])));
    assert_eq!(home.ok(&["get", "user", "a", "-D", "r3", "--json"]).json()["id"], "a");
    // The other way.
    let _two = Node::serve(home, &["-D", "r2"]);
    home.ok(&["config", "set", "replication=semi-sync", "-D", "r2"]);
    assert_eq!(home.ok(&[&put[..4], &["-D", "r2", "--json"]].concat()).json()["durability"], "local");
}

#[test]
fn what_a_replica_has_beyond_the_backup_that_its_cluster_goes_on_from_is_set_aside() {
    let mut cluster = Cluster::new(2, &["--replication", "sync"]);
    cluster.put(1, "a");
    cluster.ok(1, &["backup", "-o", "full"]);
    cluster.put(1, "later");
    cluster.kill(1);
    cluster.home.ok(&["restore", "full", "n3"]);
    let node = Node::serve(&cluster.home, &["-D", "n3"]);
    cluster.home.ok(&["promote", node.url(), "--accept-data-loss", "--confirm", "n3"]);
    // The replica that lives follows it by name, and keeps what the new log has not.
    let status = cluster.until(2, |status| status["primary"] == "n3" && status["state"] == "in_sync");
    assert_eq!(status["rescued"], 1, "{status:#}");
    let put = ["apply", "user_put", "--data", "{\"id\":\"b\"}", "-D", "n3", "--json"];
    assert_eq!(cluster.home.ok(&put).json()["acks"], json!(["n3", "n2"]));
    assert_eq!(cluster.run(2, &["get", "user", "later"]).code, Some(3));
    cluster.home.ok(&["log", "verify", "-D", "n3", "--against", &cluster.url(2)]);
}

#[test]
fn a_snapshot_alone_is_a_node_whose_log_begins_behind_it() {
    let home = Home::new();
    let node = one(&home);
    apply(&home, "n1", 0, 400);
    let snapshot = home.ok(&["snapshot", "create", "-D", "n1", "--json"]).json();
    let file = format!("n1/snapshots/{}", snapshot["file"].as_str().unwrap());
    let made = home.ok(&["snapshot", "restore", &file, "r1", "--json"]).json();
    assert_eq!((&made["version"], &made["records"]), (&snapshot["version"], &json!(0)));
    assert_eq!(served(&home, "r1"), state(&node));
    home.ok(&["snapshot", "restore", &file, "r2", "--new-cluster"]);
    let other = Node::serve(&home, &["-D", "r2"]);
    assert_eq!(other.ready["role"], "primary");
    assert_eq!(documents(&home, "r2"), documents(&home, "n1"));
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"new\"}", "-D", "r2"]);
    let mut bytes = std::fs::read(home.path(&file)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    home.file("broken.snap", bytes);
    assert_ne!(home.run(&["snapshot", "restore", "broken.snap", "bad"]).code, Some(0));
    is_clean(&home, "bad");
}

#[test]
fn a_clone_beside_the_original_is_refused_by_name_on_both_sides() {
    let cluster = Cluster::new(2, &["--replication", "semi-sync"]);
    cluster.put(1, "a");
    let mut copy = cluster.home.command("cp", &["-a", "n2", "clone"]);
    assert!(copy.status().unwrap().success());
    let mut clone = Node::spawn_unready(
        &cluster.home,
        cluster.home.rig(&["serve", "-D", "clone", "--listen", "127.0.0.1:0", "--json", "--peer", &cluster.url(1)]),
    );
    clone.wait_ready(&cluster.home);
    let deadline = Instant::now() + Duration::from_secs(10);
    for dir in ["n1", "clone"] {
        loop {
            let status = cluster.home.ok(&["status", "-D", dir, "--json"]).json();
            if status["refused_peers"]["n2"].as_str().is_some_and(|why| why.contains("copy")) {
                break;
            }
            assert!(Instant::now() < deadline, "{dir}: {status:#}; {}", cluster.home.serve_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let status = cluster.home.ok(&["status", "-D", "clone", "--json"]).json();
    assert_ne!(status["state"], "in_sync", "{status:#}");
    for id in 0..50 {
        assert_eq!(cluster.put(1, &format!("b{id}"))["durability"], "sync");
    }
    assert_eq!(cluster.seen(2)["state"], "in_sync");
}

/// How often a process is killed: 12 times, or as the environment says.
fn kills() -> u32 {
    std::env::var("RIG_BACKUP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Runs a command until it has ended or so long, then kills it.
fn killed(home: &Home, arguments: &[&str], after: Duration) {
    let mut command = home.rig(arguments);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(after);
    // It may have ended.
    let _ = child.kill();
    child.wait().unwrap();
}

fn took(run: impl FnOnce()) -> Duration {
    let since = Instant::now();
    run();
    since.elapsed()
}

#[test]
fn a_killed_backup_leaves_the_old_archive_or_the_new_one() {
    let home = Home::new();
    let _node = one(&home);
    let ops = home.file("ops", lines(0, 2_000, 4 << 10));
    home.ok(&["apply", "--batch", ops.to_str().unwrap(), "-D", "n1", "-q"]);
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
    home.ok(&["apply", "user_put", "--data", "{\"id\":\"new\"}", "-D", "n1"]);
    let whole = took(|| drop(home.ok(&["backup", "-D", "n1", "-o", "other"])));
    let (old, new) =
        (std::fs::metadata(home.path("full")).unwrap().len(), std::fs::metadata(home.path("other")).unwrap().len());
    let mut unfinished = 0;
    for kill in 0..kills() {
        killed(&home, &["backup", "-D", "n1", "-o", "full"], whole * (kill * 7 % 12) / 11);
        let length = std::fs::metadata(home.path("full")).unwrap().len();
        assert!(length == old || length == new, "{length}, not {old} or {new}");
        unfinished += u32::from(length == old);
        let dir = format!("r{kill}");
        home.ok(&["restore", "full", &dir]);
        std::fs::remove_dir_all(home.path(&dir)).unwrap();
    }
    assert!(unfinished > 0, "no kill came early enough to show anything");
    // The node compacts again, and gives whole archives.
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
}

#[test]
fn a_killed_restore_leaves_no_directory_or_a_whole_one() {
    let home = Home::new();
    let node = one(&home);
    let ops = home.file("ops", lines(0, 2_000, 4 << 10));
    home.ok(&["apply", "--batch", ops.to_str().unwrap(), "-D", "n1", "-q"]);
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
    let whole = took(|| drop(home.ok(&["restore", "full", "first"])));
    let mut none = 0;
    for kill in 0..kills() {
        let dir = format!("r{kill}");
        killed(&home, &["restore", "full", &dir], whole * (kill * 7 % 12) / 11);
        if home.path(&dir).exists() {
            assert_eq!(served(&home, &dir), state(&node));
        } else {
            none += 1;
            home.ok(&["restore", "full", &dir]);
        }
        remove(&home.path(""), &dir);
    }
    assert!(none > 0, "no kill came early enough to show anything");
}

/// The directory and what it was built in.
fn remove(folder: &Path, dir: &str) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(dir);
    entries.filter(is_of).filter(|path| path.is_dir()).for_each(|path| std::fs::remove_dir_all(path).unwrap());
}
