//! Garbage at the ports of two nodes, as clients send it and as peers do.
//!
//! A peer's connection is made as `rig-protocol(7)` says, greets as one of the cluster, and then says one thing that it must
//! not: noise, a frame that was changed on the way, a good frame where it must not stand. [`nonsense`] goes further: it says
//! who it is, and then whatever the protocol has a form for, in any order and with any numbers.
//!
//! `RIG_GARBAGE=100000 cargo test --locked --test it garbage -- --nocapture`

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rig::peer;
use rig::replication::{
    Ack, Answer, Append, Chunk, EpochStart, Follow, Heartbeat, Hello, Member, Message, Promised, Refused, RefusedWhy,
    Results,
};
use rig::types::{Epoch, Hash, NodeId, Position, Role};

use crate::hostile::{Stop, answers, descriptors, good_client, resident};
use crate::malformed::{self, Random};
use crate::support::Cluster;
use crate::wire::Wire;

/// Bytes of the head of a frame, and of a whole greeting.
const HEAD: usize = 12;
const GREETING: usize = HEAD + 32;
/// Memory that a node may keep for buffers of its own, and for what the good client has written meanwhile.
const GROWTH_KIB_MAX: u64 = 16 << 10;

fn rounds(short: usize) -> usize {
    std::env::var("RIG_GARBAGE").map_or(short, |text| text.parse().expect("RIG_GARBAGE is a number"))
}

/// A connection that is a peer's: the node has greeted, and was not answered yet.
pub(crate) struct Call {
    wire: Wire,
    /// What the node has said, which is what one of its cluster answers.
    greeting: Vec<u8>,
}

impl Call {
    pub(crate) fn open_from(client: [u8; 4], address: &str) -> Option<Self> {
        let mut wire = Wire::open_from(client, address).unwrap();
        let upgrade = "Connection: Upgrade\r\nUpgrade: rig-peer/1\r\n";
        wire.send(crate::wire::get("/peer", upgrade).as_bytes()).unwrap();
        // There are so many places for peers: whoever finds none hears the end.
        let head = wire.head().ok()?;
        assert_eq!(head.status, 101, "{head:?}");
        let greeting = wire.take(GREETING).ok()?;
        Some(Self { wire, greeting })
    }

    /// Says all of it, then that there is no more, and hears the node out. The connection ends, whatever was said.
    fn say(mut self, bytes: &[u8]) {
        let said = self.wire.send(bytes).and_then(|()| self.wire.stream.shutdown(Shutdown::Write));
        drop(said);
        self.wire.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut heard = [0; 16 << 10];
        loop {
            match self.wire.stream.read(&mut heard) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Ok(_) => {}
                Err(error) => panic!("{error} instead of the end, after {}", bytes.escape_ascii()),
            }
        }
    }
}

fn fill(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next() as u8).collect()
}

/// A frame with a right checksum around any body.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(body);
    seal(&mut out);
    out
}

fn seal(frame: &mut [u8]) {
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// A number as they stand at the ends of what can be, or near what is.
fn number(random: &mut Random) -> u64 {
    match random.below(12) {
        at @ 0..4 => at as u64,
        4 => u64::MAX,
        5 => u64::MAX - 1,
        6 => i64::MAX as u64,
        7 => u64::from(u32::MAX),
        8 => 1 << 48,
        9 => random.next(),
        _ => random.next() % 5_000,
    }
}

fn id(random: &mut Random) -> NodeId {
    NodeId([[0; 16], [0xff; 16], [7; 16], [9; 16]][random.below(4)])
}

fn epoch(random: &mut Random) -> Epoch {
    Epoch { number: number(random), owner: id(random), start: number(random) }
}

fn position(random: &mut Random) -> Position {
    Position { epoch: epoch(random), version: number(random), hash: Hash([random.below(2) as u8; 32]) }
}

fn history(random: &mut Random) -> Vec<EpochStart> {
    let count = random.below(4);
    let starts =
        (0..count).map(|_| EpochStart { epoch: epoch(random), first: number(random), forced: random.below(2) == 0 });
    let mut starts: Vec<_> = starts.collect();
    // Half of them could be those of a log.
    if random.below(2) == 0 {
        starts.sort_by_key(|start| start.first);
    }
    starts
}

fn append(random: &mut Random) -> Append {
    let (before, last, committed) = (position(random), number(random), number(random));
    Append { epoch: epoch(random), before, last, committed, landmarks: Vec::new() }
}

fn chunk(random: &mut Random) -> Chunk {
    Chunk { version: number(random), offset: number(random) }
}

fn hello(random: &mut Random) -> Message {
    let role = if random.below(2) == 0 { Role::Primary } else { Role::Replica };
    let member = Member { id: id(random), name: "stranger".into(), url: "http://127.0.0.1:1".into() };
    let (promised, history, joined) = (epoch(random), history(random), random.below(2) == 0);
    let (boot, head, committed) = (random.next(), number(random), number(random));
    Message::Hello(Hello { member, boot, role, promised, head, committed, history, joined })
}

/// Anything that there is a form for, but a hello.
fn message(random: &mut Random) -> Message {
    const WHY: [RefusedWhy; 5] =
        [RefusedWhy::Fenced, RefusedWhy::NotAMember, RefusedWhy::Storage, RefusedWhy::CannotHandOver, RefusedWhy::Twin];
    let (epoch, a, b, c) = (epoch(random), number(random), number(random), number(random));
    match random.below(20) {
        0 | 1 => {
            let (common, snapshot) = (position(random), Some(a).filter(|_| b % 2 == 0));
            Message::Follow(Follow {
                epoch,
                common,
                history: history(random),
                head: c,
                outside_sync: a % 2 == 0,
                snapshot,
            })
        }
        2 | 3 => Message::Append(append(random)),
        4 => {
            let set = (0..random.below(9)).map(|_| id(random)).collect();
            Message::Heartbeat(Heartbeat { epoch, committed: a, head: b, set })
        }
        5 | 6 => Message::Ack(Ack { epoch, received: a, durable: b, applied: c }),
        7 => Message::Refused(Refused { promised: epoch, why: WHY[random.below(WHY.len())] }),
        8 => Message::Ask { epoch },
        9 => {
            let head_epoch = self::epoch(random);
            Message::Answer(Answer {
                epoch,
                would: a % 2 == 0,
                promised: head_epoch,
                head_epoch,
                head: b,
                committed: c,
            })
        }
        10 => Message::Promise { epoch },
        11 => Message::Promised(Promised { epoch, head: a, committed: b, history: history(random) }),
        12 => Message::Fetch { epoch, after: a },
        13 => Message::Records(append(random)),
        14 => Message::HandOverPlease,
        15 => Message::HandOver { epoch, head: a },
        16 => {
            Message::Results(Results { epoch, first: a, marks: (0..1 + random.below(9)).map(|_| b as u32).collect() })
        }
        17 => Message::Want(chunk(random)),
        18 => Message::Chunk(chunk(random)),
        19 if a % 3 == 0 => Message::SplitBrain { epoch },
        19 if a % 3 == 1 => Message::Goodbye,
        _ => Message::Alive,
    }
}

fn encoded(message: &Message, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let records = match message {
        Message::Append(_) | Message::Records(_) | Message::Chunk(_) => {
            let length = random.below(400);
            fill(random, length)
        }
        _ => Vec::new(),
    };
    peer::encode(message, peer::PROTOCOL, &records, &mut out).unwrap();
    out
}

/// What a peer must not say, behind the greeting that it answers with, if any.
fn wrong(random: &mut Random, greeting: &[u8]) -> (&'static str, Vec<u8>) {
    let with = |bytes: Vec<u8>| [greeting, &bytes].concat();
    match random.below(9) {
        0 => {
            let length = random.below(300);
            ("noise", fill(random, length))
        }
        1 => {
            let mut bytes = greeting.to_vec();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            if random.below(2) == 0 {
                seal(&mut bytes);
            }
            ("changed greeting", bytes)
        }
        2 => ("second greeting", with(greeting.to_vec())),
        3 => {
            let length = random.below(300);
            ("noise behind the greeting", with(fill(random, length)))
        }
        4 => {
            let (kind, length) = (random.below(26) as u8, random.below(200));
            ("any body", with(frame(kind, &fill(random, length))))
        }
        5 => {
            let mut bytes = encoded(&message(random), random);
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            if random.below(2) == 0 {
                seal(&mut bytes);
            }
            ("changed frame", with(bytes))
        }
        6 => {
            let mut bytes = encoded(&message(random), random);
            bytes.truncate(random.below(bytes.len()));
            ("cut frame", with(bytes))
        }
        7 => {
            let mut bytes = frame(random.below(24) as u8, &[]);
            bytes[4..8].copy_from_slice(&(number(random) as u32).to_le_bytes());
            seal(&mut bytes);
            ("any length", with(bytes))
        }
        _ => ("out of order", with(encoded(&message(random), random))),
    }
}

/// Calls as one of the cluster, says who it is, and then anything.
fn nonsense(random: &mut Random, greeting: &[u8]) -> Vec<u8> {
    let mut bytes = greeting.to_vec();
    bytes.extend(encoded(&hello(random), random));
    for _ in 0..1 + random.below(6) {
        let message = if random.below(12) == 0 { hello(random) } else { message(random) };
        bytes.extend(encoded(&message, random));
    }
    bytes
}

/// Four threads call the nodes in turn, so often in all, and say what `say` gives.
fn call(addresses: &[String], seed: u64, rounds: usize, say: impl Fn(&mut Random, &[u8]) -> Vec<u8> + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (say, next) = (&say, &next);
            scope.spawn(move || {
                let mut random = Random(seed + thread);
                while next.fetch_add(1, Ordering::Relaxed) < rounds {
                    let address = &addresses[random.below(addresses.len())];
                    // One address has not ports enough for a hundred thousand connections in a minute.
                    let client = [127, 1, random.below(250) as u8, 1];
                    let call = (0..100).find_map(|_| Call::open_from(client, address));
                    let call = call.expect("a place for a peer");
                    let bytes = say(&mut random, &call.greeting);
                    call.say(&bytes);
                }
            });
        }
    });
}

#[test]
fn garbage_from_clients_and_peers_stops_neither_node_nor_the_link_between_them_nor_the_one_beside() {
    let mut cluster = Cluster::new(2, &[]);
    let rounds = rounds(3_000);
    let addresses = [1, 2].map(|number| cluster.url(number).strip_prefix("http://").unwrap().to_owned());
    let pids = [1, 2].map(|number| cluster.node(number).pid());
    let (stop, kinds) = (AtomicBool::new(false), Mutex::new(BTreeMap::<&str, usize>::new()));
    let say = |random: &mut Random, greeting: &[u8]| {
        let (kind, bytes) = wrong(random, greeting);
        *kinds.lock().unwrap().entry(kind).or_default() += 1;
        bytes
    };
    let epoch = cluster.status(1)["epoch"].clone();
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let good = scope.spawn(|| good_client(&addresses[0], &stop));
        let watch = scope.spawn(|| {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) {
                let status = cluster.seen(1);
                let peer = &status["peers"][0];
                assert_eq!((&status["state"], &status["epoch"]), (&"serving".into(), &epoch), "{status:#}");
                assert!(peer["connected"] == true && peer["in_sync"] == true, "{status:#}");
                assert_eq!(status["peers"].as_array().unwrap().len(), 1, "{status:#}");
                looks += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            looks
        });
        let hurl = |seed: u64, rounds: usize| {
            for (nth, bytes) in malformed::generate(seed, rounds / 2).enumerate() {
                answers(&addresses[nth % 2], &bytes);
            }
            call(&addresses, seed, rounds.div_ceil(2), say);
        };
        hurl(5, rounds / 5);
        let before = pids.map(|pid| (resident(pid), descriptors(pid)));
        hurl(6, rounds - rounds / 5);
        for (pid, (memory, open)) in pids.into_iter().zip(before) {
            let after = (resident(pid), descriptors(pid));
            println!("{memory} KiB and {open} descriptors before, {after:?} after");
            assert!(after.0 < memory + GROWTH_KIB_MAX, "{memory} KiB before, {} KiB after", after.0);
            assert!(after.1 <= open + 8, "{open} descriptors before, {} after", after.1);
        }
        drop(stopping);
        let (longest, served) = good.join().unwrap();
        println!("served {served} times, once after {longest:?}; looked {} times", watch.join().unwrap());
        assert!(served > 20 && longest < Duration::from_secs(2), "served {served} times, once after {longest:?}");
    });
    let kinds = kinds.into_inner().unwrap();
    println!("{kinds:?}");
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    let log = cluster.home.serve_log();
    assert!(!log.contains("panicked"), "{log}");
    cluster.put(1, "last");
    cluster.settle();
    cluster.are_equal(1, 2);
}

#[test]
fn a_peer_whose_end_comes_with_its_last_bytes_is_lost_at_once() {
    let home = crate::support::Home::new();
    let node = crate::support::Node::new(&home);
    // Nothing is whole, so nothing but the end of it can end the connection. The node is stopped meanwhile, so that it
    // hears everything at once.
    for bytes in [&[][..], &[0], &[0; HEAD - 4]] {
        let call = Call::open_from([127, 0, 0, 1], node.address()).unwrap();
        node.signal("STOP");
        let saying = std::thread::scope(|scope| {
            let said = scope.spawn(|| call.say(bytes));
            std::thread::sleep(Duration::from_millis(50));
            node.signal("CONT");
            let begin = Instant::now();
            said.join().unwrap();
            begin.elapsed()
        });
        assert!(saying < Duration::from_secs(1), "{} bytes and the end are heard after {saying:?}", bytes.len());
    }
}

#[test]
fn whatever_a_peer_of_the_cluster_says_ends_no_node() {
    let mut cluster = Cluster::new(2, &[]);
    let addresses = [1, 2].map(|number| cluster.url(number).strip_prefix("http://").unwrap().to_owned());
    cluster.put(1, "before");
    // What one with a peer's right says is believed: such nodes may step down, or stand apart. They go on all the same.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        // Whoever asks how they are meanwhile is told what was claimed, however large.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                [1, 2].iter().for_each(|number| drop(cluster.seen(*number)));
            }
        });
        call(&addresses, 7, rounds(3_000) / 4, nonsense);
        drop(stopping);
    });
    for number in [1, 2] {
        let log = cluster.home.serve_log();
        assert!(cluster.node(number).is_alive() && !log.contains("panicked"), "n{number}: {log}");
        // One that was told to take another's log starts anew, and is away for a moment.
        let status = cluster.until(number, |status| status["name"] == format!("n{number}"));
        println!("n{number} is {} and {}", status["role"], status["state"]);
        cluster.node(number).signal("TERM");
        assert_eq!(cluster.node(number).wait(), Some(0));
        cluster.home.ok(&["log", "verify", "-D", &format!("n{number}")]);
    }
}
