//! The table "What each failure does" of the README, brought about row by row: what is seen must be what its cells say.
//!
//! ```text
//!   fault ─► a client of each node writes until one is answered ─► who, what, how long ─► the operator's cell ─► both in sync
//! ```
//!
//! One etcd of three members and one pair, with a link on every way between them, go through all rows. A row is its
//! failure and the end of it; everything else is read from the cells, whose words are few so that a program can read
//! them: an answer or several, the last of them behind "then"; a time as a sum, behind "until …, then" where nothing is
//! answered before the failure is over; and what the operator does, which is done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::storage::SmallDisk;
use crate::support::{Etcd, Home, Link, Node, root};
use crate::wire::{Wire, post};

const LEASE: Duration = Duration::from_secs(1);
const SYNC_TIMEOUT: Duration = Duration::from_millis(500);
/// So long a failure must last for what it does not do to be seen: a lease that was lost has ended.
const HOLD: Duration = Duration::from_millis(1300);
/// "No pause": no answer takes longer, on a machine that has other things to do.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// A client waits for so long before it asks again.
const ANSWER: Duration = Duration::from_millis(1500);
/// What a client may see, in the words of the table.
const SIGHTS: [&str; 6] = ["200 `sync`", "200 `degraded`", "503", "504", "507", "no answer"];
const NOTE_BYTES: usize = 300_000;

type Step = fn(&mut Pair);

/// The failures of the table: what brings each about, and what ends it.
const FAILURES: [(&str, Step, Step); 14] = [
    ("the primary is killed", |pair| pair.kill(pair.primary), |_| {}),
    ("the primary is stopped", |pair| pair.stop(pair.primary), |_| {}),
    ("the primary is killed, and comes back cut from etcd", Pair::come_back_cut_from_etcd, Pair::heal),
    ("the primary is frozen, and goes on later", Pair::freeze, Pair::thaw),
    ("the replica is killed", |pair| pair.kill(pair.replica()), |_| {}),
    ("the link between the nodes is cut", |pair| pair.between.iter().for_each(Link::cut), Pair::heal),
    ("the primary is cut from the replica and etcd", Pair::isolate, Pair::heal),
    ("the replica is cut from etcd", |pair| pair.cut_from_etcd(pair.replica()), Pair::heal),
    ("one member of etcd is killed", |pair| pair.etcd.kill(1), |pair| pair.etcd.spawn(1)),
    ("the majority of etcd is lost", Pair::lose_etcd, Pair::find_etcd),
    ("the same, and the replica is killed", Pair::lose_etcd_and_the_replica, Pair::find_etcd),
    ("the same, and the primary is killed", Pair::lose_etcd_and_the_primary, Pair::find_etcd),
    ("the disk of the primary is full", Pair::fill, |_| {}),
    ("the record is lost", Pair::lose_record, |_| {}),
];

struct Row {
    failure: String,
    who: String,
    sees: String,
    long: String,
    does: String,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with("| failure |")).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [failure, who, sees, long, does] = cells[..] else { panic!("{line}") };
        let [failure, who, sees, long, does] = [failure, who, sees, long, does].map(str::to_owned);
        Row { failure, who, sees, long, does }
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// "lease + 2 s", as it is here.
fn sum(text: &str) -> Duration {
    let term = |term: &str| match term {
        "lease" => LEASE,
        "`--sync-timeout`" => SYNC_TIMEOUT,
        seconds => Duration::from_secs_f64(seconds.strip_suffix(" s").and_then(|s| s.parse().ok()).expect(seconds)),
    };
    text.split(" + ").map(term).sum()
}

/// What was seen until something was answered, or for a while.
#[derive(Debug, Default)]
struct Seen {
    /// Whose client was answered, with what, and after how long.
    answered: Option<(usize, &'static str, Duration)>,
    before: BTreeSet<&'static str>,
}

struct Pair {
    etcd: Etcd,
    nodes: Vec<Node>,
    addresses: Vec<String>,
    /// In front of each node, for the other one.
    between: Vec<Link>,
    /// Of each node to the members of etcd.
    ways: Vec<Vec<Link>>,
    primary: usize,
    dead: Option<usize>,
    /// What was sent to a node that did not hear it then.
    unheard: Option<Wire>,
    disk: Option<SmallDisk>,
    ballast: Vec<PathBuf>,
    written: AtomicUsize,
    kept: Vec<String>,
    home: Home,
}

impl Pair {
    fn new(test: &str) -> Option<Self> {
        let etcd = Etcd::new(test, 3, &[])?;
        let home = Home::new();
        let disk = SmallDisk::mount(&home, 16, test);
        let addresses: Vec<String> = (0..2).map(|_| Link::free_address()).collect();
        let between = addresses.iter().map(|address| Link::to(address)).collect();
        let ways = (0..2).map(|_| (1..=3).map(|member| Link::to(etcd.client(member))).collect()).collect();
        let mut pair = Self {
            etcd,
            nodes: Vec::new(),
            addresses,
            between,
            ways,
            primary: 0,
            dead: None,
            unheard: None,
            disk,
            ballast: Vec::new(),
            written: AtomicUsize::new(0),
            kept: Vec::new(),
            home,
        };
        for (number, role) in ["primary", "replica"].into_iter().enumerate() {
            pair.home.ok(&["init", &pair.dir(number)]);
            let node = pair.serving(number, &["--role", role]);
            pair.nodes.push(node);
        }
        pair.settle();
        Some(pair)
    }

    /// The first node has the small disk.
    fn dir(&self, number: usize) -> String {
        let folder = if number == 0 && self.disk.is_some() { "small/" } else { "" };
        format!("{folder}n{}", number + 1)
    }

    fn replica(&self) -> usize {
        1 - self.primary
    }

    fn serving(&self, number: usize, flags: &[&str]) -> Node {
        let hosts: Vec<String> = self.ways[number].iter().map(|way| way.url().replace("http://", "")).collect();
        let record = format!("etcd://{}/rig/table", hosts.join(","));
        let (dir, own, other) = (self.dir(number), self.between[number].url(), self.between[1 - number].url());
        let line = ["-D", &dir, "--listen", &self.addresses[number], "--advertise", &own, "--peer", &other];
        let coordinator = ["--coordinator", &record, "--coordinator-lease", "1s", "--sync-timeout", "500ms"];
        Node::serve(&self.home, &[&line[..], &coordinator, flags].concat())
    }

    fn status(&self, number: usize) -> serde_json::Value {
        let reply = Wire::open(&self.addresses[number]).and_then(|mut wire| wire.get("/status"));
        reply.map_or(serde_json::Value::Null, |reply| reply.data())
    }

    /// Waits until one leads, the other one is in sync, and both believe the coordinator.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = [self.status(0), self.status(1)];
            let is = |n: usize, state: &str| all[n]["state"] == state && all[n]["coordinator"]["reachable"] == true;
            if let Some(primary) = (0..2).find(|n| is(*n, "serving") && is(1 - n, "in_sync")) {
                return self.primary = primary;
            }
            assert!(Instant::now() < deadline, "they do not come together: {all:#?}; {}", self.home.serve_log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
        self.dead = Some(number);
    }

    fn stop(&mut self, number: usize) {
        self.nodes[number].signal("TERM");
        self.dead = Some(number);
        // What it hears before the signal it answers.
        let ready = || Wire::open(&self.addresses[number]).and_then(|mut wire| wire.get("/readyz"));
        while ready().is_ok_and(|reply| reply.status == 200) {}
    }

    /// The two are connected all the time.
    fn come_back_cut_from_etcd(&mut self) {
        self.nodes[self.primary].kill();
        self.cut_from_etcd(self.primary);
        self.nodes[self.primary] = self.serving(self.primary, &[]);
    }

    fn freeze(&mut self) {
        self.nodes[self.primary].signal("STOP");
        let mut wire = Wire::open(&self.addresses[self.primary]).unwrap();
        wire.send(request("unheard").as_bytes()).unwrap();
        self.unheard = Some(wire);
    }

    fn thaw(&mut self) {
        self.nodes[self.primary].signal("CONT");
        let reply = self.unheard.take().unwrap().reply().unwrap();
        assert_ne!(reply.status, 200, "a primary of before has answered: {reply:?}");
    }

    fn heal(&mut self) {
        self.between.iter().chain(self.ways.iter().flatten()).for_each(Link::heal);
    }

    fn cut_from_etcd(&self, number: usize) {
        self.ways[number].iter().for_each(Link::cut);
    }

    fn isolate(&mut self) {
        self.between.iter().for_each(Link::cut);
        self.cut_from_etcd(self.primary);
    }

    /// Two of three take connections and answer nothing: worse than if they were gone.
    fn lose_etcd(&mut self) {
        [2, 3].iter().for_each(|number| self.etcd.signal(*number, "STOP"));
    }

    fn find_etcd(&mut self) {
        [2, 3].iter().for_each(|number| self.etcd.signal(*number, "CONT"));
        // It is back when it has a leader, and answers.
        [2, 3].iter().for_each(|number| self.etcd.wait(*number));
    }

    fn lose_etcd_and_the_replica(&mut self) {
        self.lose_etcd();
        self.kill(self.replica());
    }

    fn lose_etcd_and_the_primary(&mut self) {
        self.lose_etcd();
        self.kill(self.primary);
    }

    /// Writes to the node with the small disk until it has no room.
    fn fill(&mut self) {
        if self.primary != 0 {
            self.home.ok(&["promote", &self.between[0].url()]);
            self.settle();
        }
        let disk = self.disk.as_ref().expect("this row is left out where there is none");
        self.ballast = vec![disk.ballast("one", 4 << 20), disk.ballast("other", 4 << 20)];
        let mut wire = Wire::open(&self.addresses[0]).unwrap();
        let body = format!(r#"{{"method":"note_put","data":{{"id":"n","text":"{}"}}}}"#, "x".repeat(NOTE_BYTES));
        let mut put =
            || wire.post("/do", "Content-Type: application/json\r\nRig-Timeout-Ms: 500\r\n", &body).unwrap().status;
        // What the replica has been sent already may be decided yet.
        let (full, mut rest) =
            ((0..200).find_map(|_| Some(put()).filter(|status| *status != 200)), (0..3).map(|_| put()));
        assert!(matches!(full, Some(504 | 507)) && rest.all(|status| status == 507), "{full:?}: {rest:?}");
    }

    fn lose_record(&mut self) {
        let mut coordinator = self.etcd.at(&[1, 2, 3], "/rig/table", PATIENCE);
        let revision = coordinator.look().unwrap().sighting.revision;
        coordinator.discard(revision).unwrap();
    }

    /// What the operator's cell says.
    fn operate(&mut self, does: &str) {
        match does {
            "nothing" => {}
            "starts it again" => {
                let dead = self.dead.take().expect("something has ended");
                assert!(matches!(self.nodes[dead].wait(), None | Some(0)), "{}", self.home.serve_log());
                self.nodes[dead] = self.serving(dead, &[]);
            }
            "makes room" => self.ballast.drain(..).for_each(|file| std::fs::remove_file(file).unwrap()),
            command => {
                let words: Vec<&str> = command.trim_matches('`').split(' ').collect();
                let primary = self.between[self.primary].url();
                assert_eq!(words[0], "rig", "{command}");
                self.home.ok(&[&words[1..], &["-N", &primary]].concat());
            }
        }
    }

    /// One document, once.
    fn write(&self, number: usize, id: &str) -> Option<&'static str> {
        let reply = Wire::open(&self.addresses[number]).and_then(|mut wire| {
            wire.stream.set_read_timeout(Some(ANSWER))?;
            wire.send(request(id).as_bytes())?;
            wire.reply()
        });
        // Who asks a replica in vain asks the primary.
        let Ok(reply) = reply else { return (number == self.primary).then_some("no answer") };
        let sight = match reply.status {
            // Where to go instead.
            307 => return None,
            200 => format!("200 `{}`", reply.data()["durability"].as_str().unwrap()),
            status => status.to_string(),
        };
        let known = SIGHTS.into_iter().find(|known| *known == sight);
        Some(known.unwrap_or_else(|| panic!("{sight}: {reply:?}")))
    }

    /// A client of each node tries to write one document, again and again, until one of them is answered or time is over.
    fn clients(&mut self, patience: Duration) -> Seen {
        let (start, done) = (Instant::now(), AtomicBool::new(false));
        let client = |number: usize| {
            let id = format!("d{}", self.written.fetch_add(1, Ordering::Relaxed));
            let (mut before, mut answered) = (BTreeSet::new(), None);
            while !done.load(Ordering::Relaxed) && start.elapsed() < patience {
                match self.write(number, &id) {
                    Some(sight) if sight.starts_with("200") => {
                        done.store(true, Ordering::Relaxed);
                        answered = Some((number, sight, start.elapsed(), id.clone()));
                    }
                    Some(sight) => drop(before.insert(sight)),
                    None => {}
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            (before, answered)
        };
        let both = std::thread::scope(|scope| {
            let clients = [0, 1].map(|number| scope.spawn(move || client(number)));
            clients.map(|client| client.join().unwrap())
        });
        let mut seen = Seen::default();
        for (before, answered) in both {
            seen.before.extend(before);
            if let Some((number, sight, took, id)) = answered {
                assert!(seen.answered.is_none(), "both nodes answer, n{} and another: {seen:?}", number + 1);
                self.kept.push(id);
                seen.answered = Some((number, sight, took));
            }
        }
        seen
    }

    /// Writes go on all the time, and each is answered in the same way.
    fn goes_on(&mut self, row: &Row) {
        let start = Instant::now();
        while start.elapsed() < HOLD {
            let (began, id) = (Instant::now(), format!("d{}", self.written.fetch_add(1, Ordering::Relaxed)));
            assert_eq!(self.write(self.primary, &id), Some(&*row.sees), "{}", row.failure);
            assert!(began.elapsed() < PAUSE, "{}: {:?}", row.failure, began.elapsed());
            self.kept.push(id);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(row.who, "the primary", "{}", row.failure);
    }

    /// In the words of the table, by who led before.
    fn name(&self, seen: &Seen) -> &'static str {
        match seen.answered {
            None => "nobody",
            Some((number, ..)) if number != self.primary => "the replica, as primary",
            Some((_, "200 `degraded`", _)) => "the primary, alone",
            Some(_) => "the primary",
        }
    }

    fn check(&self, row: &Row, seen: &Seen, who: &str, sees: &str, bound: Option<Duration>) {
        let context = format!("{}: {seen:?}; {}", row.failure, self.home.serve_log());
        assert_eq!(self.name(seen), who, "{context}");
        let (before, last) = sees.rsplit_once(", then ").unwrap_or(("", sees));
        let before = if seen.answered.is_some() { before } else { sees };
        assert!(seen.before.iter().all(|sight| before.contains(sight)), "{context}");
        if let Some((_, sight, took)) = seen.answered {
            assert_eq!(sight, last, "{context}");
            println!("  {}: {took:?}", row.failure);
            assert!(took <= bound.unwrap(), "{context}");
        }
    }

    /// One row, from both in sync to both in sync.
    fn execute(&mut self, row: &Row, fault: Step, over: Step) {
        fault(self);
        if row.long == "no pause" {
            self.goes_on(row);
            self.operate(&row.does);
            over(self);
        } else if let Some((_, bound)) = row.long.strip_prefix("until ").and_then(|rest| rest.split_once(", then ")) {
            let (nobody, who) = row.who.split_once(", then ").unwrap();
            let (before, _) = row.sees.rsplit_once(", then ").unwrap();
            let seen = self.clients(HOLD);
            self.check(row, &seen, nobody, before, None);
            assert!(!seen.before.is_empty(), "{}", row.failure);
            if row.sees.contains("reads go on") {
                let mut wire = Wire::open(&self.addresses[self.primary]).unwrap();
                let id = &self.kept[0];
                assert_eq!(wire.get(&format!("/data/user/{id}")).unwrap().data()["id"], **id);
            }
            over(self);
            // What ends the failure is the operator's doing, or it is done when the cluster has gone on by itself.
            let ends_it = row.does == "makes room";
            if ends_it {
                self.operate(&row.does);
            }
            let seen = self.clients(PATIENCE);
            self.check(row, &seen, who, &row.sees, Some(sum(bound)));
            if !ends_it {
                self.operate(&row.does);
            }
        } else {
            let seen = self.clients(PATIENCE);
            self.check(row, &seen, &row.who, &row.sees, Some(sum(&row.long)));
            over(self);
            self.operate(&row.does);
        }
        self.settle();
    }
}

fn request(id: &str) -> String {
    let fields = format!("Content-Type: application/json\r\nIdempotency-Key: {id}\r\nRig-Timeout-Ms: 1000\r\n");
    post("/do", &fields, &format!(r#"{{"method":"user_put","data":{{"id":"{id}"}}}}"#))
}

#[test]
fn each_failure_does_what_its_row_in_the_readme_says() {
    let rows = table();
    let named: Vec<&str> = rows.iter().map(|row| row.failure.as_str()).collect();
    assert_eq!(named, FAILURES.map(|(name, ..)| name));
    let Some(mut pair) = Pair::new("each_failure_does_what_its_row_in_the_readme_says") else { return };
    for (row, (_, fault, over)) in rows.iter().zip(FAILURES) {
        if row.failure.contains("disk") && pair.disk.is_none() {
            continue;
        }
        let start = Instant::now();
        pair.execute(row, fault, over);
        println!("{}: {:?} in all", row.failure, start.elapsed());
    }
    // Nothing that was answered is lost, whoever answered it.
    for number in 0..2 {
        let mut wire = Wire::open(&pair.addresses[number]).unwrap();
        for id in &pair.kept {
            assert_eq!(wire.get(&format!("/data/user/{id}")).unwrap().data()["id"], **id, "n{}", number + 1);
        }
    }
    let (dir, other) = (pair.dir(0), format!("http://{}", pair.addresses[1]));
    let lines = pair.home.ok(&["log", "verify", "-D", &dir, "--against", &other, "--json"]).lines();
    assert!(lines.iter().any(|line| line["code"] == "equal"), "{lines:#?}");
}
