//! Clients whose every operation is told apart from every other, and all that they saw.
//!
//! ```text
//!   create      a document of its own; sent with one key until there is an answer
//!   put         one of a few registers gets a value that no other put has; sent once
//!   mark, read  an operation, then a read of a register that waits for its version, at any node
//!   look        a read of a register that waits for nothing, at any node
//! ```
//!
//! What waits for a mark is a linearizable read, by the contract: the mark gets its version after the read was called
//! for, and whatever was answered before has a lower one. A look may be old; but it must show what some version of the
//! log says, the one that comes with it.
//!
//! # Not here
//! Whether any of it is right (`judge`), and what is done to the nodes meanwhile.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::AUTHORIZED;
use crate::wire::{Reply, Wire, get, post};

const CLIENTS: usize = 6;
/// Registers that are written at one time.
const REGISTERS: u64 = 3;
/// A client waits for so long, and asks for a little less.
const PATIENCE: Duration = Duration::from_secs(1);
const TIMEOUT_MS: u32 = 800;
/// From one operation of a client to the next.
const PERIOD: Duration = Duration::from_millis(8);

/// Numbers that look like chance, the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What was answered, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) version: u64,
    pub(crate) hash: String,
    /// Whether an earlier attempt had done it.
    pub(crate) replayed: bool,
    pub(crate) node: String,
    /// The epoch that this node was in.
    pub(crate) epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// Surely not done, by the word of a node or because nothing was sent.
    Refused,
    Unknown,
}

/// One operation; times are nanoseconds since the load began.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) key: String,
    /// The register and the value that it got.
    pub(crate) put: Option<(String, u64)>,
    pub(crate) call: u64,
    pub(crate) end: u64,
    pub(crate) outcome: Outcome,
}

/// One read of a register.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) register: String,
    /// The value and the version that wrote it.
    pub(crate) value: Option<(u64, u64)>,
    /// What the node had applied.
    pub(crate) applied: u64,
    pub(crate) call: u64,
    pub(crate) end: u64,
    pub(crate) node: String,
    /// Whether it waited for a mark.
    pub(crate) is_marked: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) sent: Vec<Sent>,
    pub(crate) found: Vec<Found>,
    /// Answers that no client should ever get.
    pub(crate) wrong: Vec<String>,
}

/// What the clients share with each other and with whoever does something to the nodes.
pub(crate) struct Load {
    base: Instant,
    addresses: Vec<String>,
    stop: AtomicBool,
    /// Registers are new in every round, so that no history of one is long.
    round: AtomicUsize,
    /// For each answered operation: when the attempt was made, when the answer came, and from whom.
    answers: Mutex<Vec<(u64, u64, String)>>,
    /// Refusals for want of room.
    full: AtomicUsize,
}

impl Load {
    pub(crate) fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    pub(crate) fn begin_round(&self, number: usize) {
        self.round.store(number, Ordering::Relaxed);
    }

    /// Refusals for want of room so far.
    pub(crate) fn refused_for_room(&self) -> usize {
        self.full.load(Ordering::Relaxed)
    }

    /// How long after this time the first operation was answered that was sent after it, by any node but one.
    pub(crate) fn first_answer_after(&self, time: u64, but: Option<&str>) -> Option<Duration> {
        let answers = self.answers.lock().unwrap();
        let after = answers.iter().rev().take_while(|(_, end, _)| *end > time);
        let wanted = after.filter(|(tried, _, node)| *tried > time && but != Some(node));
        wanted.map(|(_, end, _)| Duration::from_nanos(end - time)).min()
    }

    /// The longest time without an answer between these two.
    pub(crate) fn longest_silence(&self, from: u64, to: u64) -> Duration {
        let answers = self.answers.lock().unwrap();
        let mut ends: Vec<u64> =
            answers.iter().map(|(_, end, _)| *end).filter(|end| (from..to).contains(end)).collect();
        ends.extend([from, to]);
        ends.sort_unstable();
        Duration::from_nanos(ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap())
    }
}

/// Runs the clients against these nodes while `act` does something to them; gives what the clients saw.
pub(crate) fn under_load<T>(addresses: Vec<String>, act: impl FnOnce(&Load) -> T) -> (History, T) {
    let load = Load {
        base: Instant::now(),
        addresses,
        stop: AtomicBool::new(false),
        round: AtomicUsize::new(0),
        answers: Mutex::default(),
        full: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let load = &load;
                scope.spawn(move || Client::new(load, number).run())
            })
            .collect();
        // Whatever happens here, the clients must end: the scope waits for them.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&load)));
        load.stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for client in clients {
            let seen = client.join().unwrap();
            history.sent.extend(seen.sent);
            history.found.extend(seen.found);
            history.wrong.extend(seen.wrong);
        }
        match done {
            Ok(done) => (history, done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Client<'a> {
    load: &'a Load,
    number: usize,
    /// Whom it asks now, from 0.
    node: usize,
    wire: Option<Wire>,
    count: u64,
    dice: Dice,
    seen: History,
}

impl<'a> Client<'a> {
    fn new(load: &'a Load, number: usize) -> Self {
        let dice = Dice(number as u64 * 7919 + 1);
        Self { load, number, node: 0, wire: None, count: 0, dice, seen: History::default() }
    }

    fn goes_on(&self) -> bool {
        !self.load.stop.load(Ordering::Relaxed)
    }

    fn run(mut self) -> History {
        let mut due = Instant::now();
        while self.goes_on() {
            self.count += 1;
            let register = format!("{}-{}", self.load.round.load(Ordering::Relaxed), self.dice.below(REGISTERS));
            match self.dice.below(10) {
                0..4 => self.create(),
                4..7 => self.put(register),
                7..9 => self.read(register),
                _ => self.look(register),
            }
            // Who is late stays so: the rate is a bound, not a debt.
            due = (due + PERIOD).max(Instant::now());
            std::thread::sleep(due - Instant::now());
        }
        self.seen
    }

    fn key(&self) -> String {
        format!("{}-{}", self.number, self.count)
    }

    /// A document of its own, sent until it is answered.
    fn create(&mut self) {
        let (key, call) = (self.key(), self.load.now());
        let data = format!(r#"{{"id":"{key}"}}"#);
        let (mut is_unknown, mut last) = (false, (call, call, Outcome::Refused));
        while self.goes_on() {
            last = self.attempt("item_create", &data, &key);
            match last.2 {
                Outcome::Answered(_) => break,
                Outcome::Unknown => is_unknown = true,
                Outcome::Refused => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let (_, end, mut outcome) = last;
        // A refusal speaks of its own attempt alone.
        if is_unknown && outcome == Outcome::Refused {
            outcome = Outcome::Unknown;
        }
        self.seen.sent.push(Sent { key, put: None, call, end, outcome });
    }

    fn put(&mut self, register: String) {
        let (key, value) = (self.key(), self.number as u64 * 1_000_000_000 + self.count);
        let data = format!(r#"{{"id":"{register}","value":{value}}}"#);
        let (call, end, outcome) = self.attempt("register_put", &data, &key);
        self.seen.sent.push(Sent { key, put: Some((register, value)), call, end, outcome });
    }

    fn read(&mut self, register: String) {
        let key = self.key();
        let data = format!(r#"{{"id":"{}"}}"#, self.number);
        let (call, end, outcome) = self.attempt("mark_put", &data, &key);
        let mark = if let Outcome::Answered(answer) = &outcome { Some(answer.version) } else { None };
        self.seen.sent.push(Sent { key, put: None, call, end, outcome });
        if let Some(version) = mark {
            self.find(register, call, Some(version));
        }
    }

    fn look(&mut self, register: String) {
        self.find(register, self.load.now(), None);
    }

    /// Reads at any node. A read without an answer tells nothing.
    fn find(&mut self, register: String, call: u64, mark: Option<u64>) {
        let node = self.dice.below(self.load.addresses.len() as u64) as usize;
        let wait = mark.map(|version| format!("Rig-Min-Version: {version}\r\n")).unwrap_or_default();
        let request =
            get(&format!("/data/register/{register}"), &format!("{AUTHORIZED}Rig-Timeout-Ms: {TIMEOUT_MS}\r\n{wait}"));
        let Ok(reply) = Wire::within(&self.load.addresses[node], PATIENCE).and_then(|wire| exchange(wire, &request))
        else {
            return;
        };
        let value = match (reply.0.status, reply.0.json()) {
            (200, body) => Some((number(&body["data"]["value"]), number(&body["data"]["_version"]))),
            (404, body) if body["code"] == "not_found" => None,
            (503, _) => return,
            (status, body) => return self.seen.wrong.push(format!("a read: {status} {body}")),
        };
        let field = |name| reply.0.header(name).unwrap_or_default().to_owned();
        let applied = field("Rig-Version").parse().unwrap();
        let (end, node, is_marked) = (self.load.now(), field("Rig-Node"), mark.is_some());
        self.seen.found.push(Found { register, value, applied, call, end, node, is_marked });
    }

    /// One attempt at an operation: when it began and ended, and what came of it.
    fn attempt(&mut self, method: &str, data: &str, key: &str) -> (u64, u64, Outcome) {
        let call = self.load.now();
        let fields = format!(
            "{AUTHORIZED}Content-Type: application/json\r\nIdempotency-Key: {key}\r\nRig-Timeout-Ms: {TIMEOUT_MS}\r\n"
        );
        let request = post("/do", &fields, &format!(r#"{{"method":"{method}","data":{data}}}"#));
        let wire = match self.wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::within(&self.load.addresses[self.node], PATIENCE),
        };
        let outcome = match wire.map(|wire| exchange(wire, &request)) {
            Ok(Ok((reply, wire))) => self.outcome(key, &reply, wire),
            Ok(Err(_)) => self.go_on(None, Outcome::Unknown),
            Err(_) => self.go_on(None, Outcome::Refused),
        };
        let end = self.load.now();
        if let Outcome::Answered(answer) = &outcome {
            self.load.answers.lock().unwrap().push((call, end, answer.node.clone()));
        }
        (call, end, outcome)
    }

    fn outcome(&mut self, key: &str, reply: &Reply, wire: Wire) -> Outcome {
        let (body, field) = (reply.json(), |name| reply.header(name).unwrap_or_default().to_owned());
        match (reply.status, body["definite"].as_bool()) {
            (200, _) => {
                self.wire = Some(wire);
                let data = &body["data"];
                Outcome::Answered(Answer {
                    version: number(&data["version"]),
                    hash: data["hash"].as_str().unwrap().to_owned(),
                    replayed: data["replayed"] == true,
                    node: field("Rig-Node"),
                    epoch: field("Rig-Epoch").parse().unwrap(),
                })
            }
            (307, _) => {
                let to = field("Location");
                let named = self.load.addresses.iter().position(|address| to.contains(address.as_str()));
                self.go_on(named, Outcome::Refused)
            }
            (503 | 507, Some(true)) => {
                self.load.full.fetch_add(usize::from(reply.status == 507), Ordering::Relaxed);
                self.go_on(None, Outcome::Refused)
            }
            (504, Some(false)) => self.go_on(None, Outcome::Unknown),
            (status, _) => {
                self.seen.wrong.push(format!("{key}: {status} {body}"));
                self.go_on(None, Outcome::Unknown)
            }
        }
    }

    /// The next one is asked by another node: the one that was named, or any.
    fn go_on(&mut self, named: Option<usize>, outcome: Outcome) -> Outcome {
        self.node = named.unwrap_or((self.node + 1) % self.load.addresses.len());
        outcome
    }
}

fn exchange(mut wire: Wire, request: &str) -> std::io::Result<(Reply, Wire)> {
    wire.send(request.as_bytes())?;
    Ok((wire.reply()?, wire))
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
