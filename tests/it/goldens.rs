//! What format 1 has written, in `tests/data/format1`: every later release must open it.
//!
//! ```text
//!   node/       a data directory: rig.toml, log, state, snapshots       opened by a start on a copy
//!   snapshot/   a snapshot alone, with its keys                         opened by `rig snapshot restore`
//!   frames      one frame of each kind of protocol 1, in hex            read, and written the same
//! ```
//!
//! The log and the archives beside them have their tests in `log_format` and `backup_page`. Written once, by
//! `RIG_WRITE_GOLDEN=1 cargo test --locked --test it goldens`: never to be written again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rig::peer::{Decoder, Frame, Greeting, Kind, PROTOCOL_OLDEST, Span, encode};
use rig::replication::{
    Ack, Answer, Append, Chunk, EpochStart, Follow, Heartbeat, Hello, Member, Message, Promised, Refused, RefusedWhy,
    Results,
};
use rig::types::{ClusterId, Epoch, Hash, NodeId, Position, Role};

use crate::support::{Home, Node, root};
use crate::wire::Wire;

fn folder() -> PathBuf {
    root().join("tests/data/format1")
}

fn is_to_be_written() -> bool {
    std::env::var_os("RIG_WRITE_GOLDEN").is_some()
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Copies a directory, as a node wants its own to be.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for path in names(from) {
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// What a node says of its state, and every document; with the places of the log that it was started with.
fn state(home: &Home, name: &str) -> String {
    let node = Node::serve(home, &["-D", name]);
    let hash = Wire::open(node.address()).unwrap().get("/state/hash").unwrap().data();
    if home.path(name).join("rig.toml").exists() {
        let settings = home.ok(&["config", "show", "--origin", "-D", name]).stdout;
        assert!(settings.lines().any(|line| line.starts_with("drain") && line.contains("rig.toml")), "{settings}");
    }
    let documents = home.ok(&["ls", "user", "-D", name, "--json"]).stdout;
    format!("{} {}\n{documents}", hash["version"], hash["hash"].as_str().unwrap())
}

/// A node that has everything: settings, a rule, keys, a snapshot in the middle, records behind it.
fn write_golden() {
    let home = Home::new();
    home.ok(&["init", "n1"]);
    home.file("n1/rig.toml", "drain = \"3s\"\n");
    let put = |ids: std::ops::Range<u32>| {
        let line = |n: u32| {
            format!(
                "{{\"method\":\"user_put\",\"data\":{{\"id\":\"u{n}\",\"name\":\"Zo\u{eb} {n}\",\"n\":{n}}},\"key\":\"k{n}\"}}\n"
            )
        };
        let lines = home.file("lines", ids.map(line).collect::<String>());
        home.ok(&["apply", "--batch", lines.to_str().unwrap(), "-D", "n1", "-q"]);
    };
    let mut node = Node::serve(&home, &["-D", "n1"]);
    home.ok(&["schema", "set", "user", "--unique", "name", "-D", "n1"]);
    put(0..20);
    home.ok(&["snapshot", "create", "-D", "n1"]);
    put(20..30);
    home.ok(&["apply", "user_delete", "--data", "{\"id\":\"u3\"}", "-D", "n1", "-q"]);
    // Without an end in order, so that the records behind the snapshot are read at a start.
    node.kill();
    let (golden, dir) = (folder().join("node"), home.path("n1"));
    copy(&dir, &golden);
    for gone in ["run", "rescue"] {
        let _ = fs::remove_dir_all(golden.join(gone));
    }
    for gone in ["LOCK", "log/spare"] {
        let _ = fs::remove_file(golden.join(gone));
    }
    let segment = golden.join("log/00000000000000000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end.next_multiple_of(8));
    fs::write(&segment, bytes).unwrap();
    copy(&golden.join("snapshots"), &folder().join("snapshot"));
    copy(&golden, &home.path("copy"));
    fs::write(folder().join("node.state"), state(&home, "copy")).unwrap();
    home.ok(&["snapshot", "restore", golden_snapshot().to_str().unwrap(), "alone"]);
    fs::write(folder().join("snapshot.state"), state(&home, "alone")).unwrap();
}

fn golden_snapshot() -> PathBuf {
    let mut found = names(&folder().join("snapshot"));
    found.retain(|path| path.extension().is_some_and(|end| end == "snap"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_node_starts_with_the_directory_of_format_1_and_has_every_document() {
    if is_to_be_written() {
        write_golden();
    }
    let home = Home::new();
    copy(&folder().join("node"), &home.path("n1"));
    home.ok(&["log", "verify", "--deep", "-D", "n1"]);
    home.ok(&["snapshot", "verify", "-D", "n1"]);
    assert_eq!(state(&home, "n1"), fs::read_to_string(folder().join("node.state")).unwrap());
    home.ok(&["log", "verify", "--deep", "-D", "n1"]);
}

#[test]
fn a_snapshot_of_format_1_becomes_a_node() {
    let home = Home::new();
    let snapshot = golden_snapshot();
    home.ok(&["snapshot", "restore", snapshot.to_str().unwrap(), "n1"]);
    assert_eq!(state(&home, "n1"), fs::read_to_string(folder().join("snapshot.state")).unwrap());
}

#[test]
fn a_flipped_byte_of_what_format_1_has_written_is_found() {
    let home = Home::new();
    for (part, command) in [("log", "log"), ("snapshots", "snapshot")] {
        for path in names(&folder().join("node").join(part)) {
            copy(&folder().join("node"), &home.path("n1"));
            let flipped = home.path("n1").join(part).join(path.file_name().unwrap());
            let mut bytes = fs::read(&flipped).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&flipped, bytes).unwrap();
            let ran = home.run(&[command, "verify", "-D", "n1"]);
            assert_eq!(ran.code, Some(9), "{}: {ran:#?}", path.display());
        }
    }
}

const ID: NodeId = NodeId([0x11; 16]);

fn epoch(number: u64) -> Epoch {
    Epoch { number, owner: NodeId([0x22; 16]), start: 3 }
}

/// One message of each kind, and what stands behind its fields.
fn messages() -> Vec<(Message, &'static [u8])> {
    let position = Position { epoch: epoch(4), version: 5, hash: Hash([0x33; 32]) };
    let history = vec![
        EpochStart { epoch: epoch(1), first: 1, forced: false },
        EpochStart { epoch: epoch(4), first: 3, forced: true },
    ];
    let append = Append { epoch: epoch(4), before: position, last: 6, committed: 5, landmarks: Vec::new() };
    let follow = |snapshot| {
        let history = history.clone();
        Message::Follow(Follow { epoch: epoch(4), common: position, history, head: 9, outside_sync: true, snapshot })
    };
    vec![
        (
            Message::Hello(Hello {
                member: Member { id: ID, name: "n1".into(), url: "http://h:1".into() },
                boot: 7,
                role: Role::Replica,
                promised: epoch(4),
                head: 9,
                committed: 8,
                history: history.clone(),
                joined: true,
            }),
            b"",
        ),
        (follow(None), b""),
        (Message::Append(append.clone()), b"records"),
        (Message::Heartbeat(Heartbeat { epoch: epoch(4), committed: 8, head: 9, set: vec![ID] }), b""),
        (Message::Ack(Ack { epoch: epoch(4), received: 9, durable: 8, applied: 7 }), b""),
        (Message::Refused(Refused { promised: epoch(4), why: RefusedWhy::Twin }), b""),
        (Message::Ask { epoch: epoch(5) }, b""),
        (
            Message::Answer(Answer {
                epoch: epoch(5),
                would: true,
                promised: epoch(4),
                head_epoch: epoch(4),
                head: 9,
                committed: 8,
            }),
            b"",
        ),
        (Message::Promise { epoch: epoch(5) }, b""),
        (Message::Promised(Promised { epoch: epoch(5), head: 9, committed: 8, history: history.clone() }), b""),
        (Message::Fetch { epoch: epoch(5), after: 6 }, b""),
        (Message::Records(append), b"records"),
        (Message::HandOverPlease, b""),
        (Message::HandOver { epoch: epoch(5), head: 9 }, b""),
        (Message::SplitBrain { epoch: epoch(5) }, b""),
        (Message::Goodbye, b""),
        (Message::Alive, b""),
        (Message::Results(Results { epoch: epoch(4), first: 6, marks: vec![1, 0xdead_beef] }), b""),
        (follow(Some(1 << 40)), b""),
        (Message::Want(Chunk { version: 5, offset: 1 << 18 }), b""),
        (Message::Chunk(Chunk { version: 5, offset: 1 << 18 }), b"bytes"),
    ]
}

fn greeting() -> Greeting {
    let cluster = Some(ClusterId([0x44; 16]));
    Greeting { protocol: Span { oldest: 1, newest: 1 }, reads: 1, needs: 1, cluster }
}

/// Each of the kinds as its frame, in the order of their numbers.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = vec![Vec::new()];
    greeting().encode(&mut frames[0]);
    for (message, attached) in messages() {
        let mut frame = Vec::new();
        encode(&message, PROTOCOL_OLDEST, attached, &mut frame).unwrap();
        frames.push(frame);
    }
    frames
}

fn golden_frames() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join("frames")).unwrap();
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    let bytes = |hex: &str| (0..hex.len() / 2).map(|at| byte(hex, at)).collect();
    text.lines().map(|line| bytes(line.split_once('\t').unwrap().1)).collect()
}

/// What is heard in protocol 1 behind a greeting, or the greeting itself.
fn heard(frame: &[u8]) -> Option<(Option<Message>, Vec<u8>)> {
    let mut decoder = Decoder::new();
    if frame[8] != Kind::Greeting as u8 {
        let mut first = Vec::new();
        greeting().encode(&mut first);
        decoder.push(&first);
        decoder.next().unwrap();
        decoder.speak(PROTOCOL_OLDEST);
    }
    decoder.push(frame);
    match decoder.next().ok()?? {
        Frame::Greeting(heard) => (heard == greeting()).then_some((None, Vec::new())),
        Frame::Message { message, records } => Some((Some(message), records.to_vec())),
    }
}

#[test]
fn the_frames_of_protocol_1_are_read_and_written_the_same() {
    if is_to_be_written() {
        let hex = |frame: &[u8]| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines = Kind::ALL.iter().zip(frames()).map(|(kind, frame)| format!("{kind:?}\t{}\n", hex(&frame)));
        fs::write(folder().join("frames"), lines.collect::<String>()).unwrap();
    }
    let (golden, messages) = (golden_frames(), messages());
    assert_eq!(golden, frames());
    // Protocol 1 has these kinds; a later one may have more.
    assert_eq!(golden.iter().map(|frame| frame[8]).collect::<Vec<_>>(), (1..=22).collect::<Vec<u8>>());
    let said = messages.into_iter().map(|(message, attached)| (Some(message), attached.to_vec()));
    for (frame, said) in golden.iter().zip(std::iter::once((None, Vec::new())).chain(said)) {
        assert_eq!(heard(frame), Some(said));
        for at in 0..frame.len() {
            let mut flipped = frame.clone();
            flipped[at] ^= 1;
            assert_eq!(heard(&flipped), None, "byte {at} of kind {}", frame[8]);
        }
    }
}
