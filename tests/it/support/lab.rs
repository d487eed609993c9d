//! Machines of a test's own: nodes and members of etcd, each behind a network of its own that can be cut in one direction.
//!
//! ```text
//!   n1 ── 10.7.1.0/24 ──┐      ┌── 10.7.11.0/24 ── e1
//!   n2 ── 10.7.2.0/24 ──┤ test ├── 10.7.12.0/24 ── e2       the test forwards between them, and asks all of them
//!   n3 ── 10.7.3.0/24 ──┘      └── 10.7.13.0/24 ── e3
//! ```
//!
//! The test runs itself once more ([`inside`]), in fresh namespaces of network, mounts and processes, and is the router in
//! there. So nothing of it is ever seen outside, and whatever way it ends, the kernel takes away all of it: networks,
//! disks, and every process.
//!
//! # What a cut is
//! The router drops what comes from one machine for another, and says so to neither: packets are lost, connections are
//! not broken. The test's own requests come through whatever is cut, as those of a client on the wrong side would.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Home, Node, RIG, Ran, has, is_root, run, withheld};
use crate::wire::{Reply, Wire};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A machine that answers does so within this time.
const SOON: Duration = Duration::from_secs(1);
/// Less than the log wants to have before it fills segments ahead: what is full is full at once.
const ROOM: u64 = 48 << 20;
const TOKENS: &str = "lab admin lab-admin\nnodes peer lab-nodes\n";
/// The field of a request that may do everything.
pub(crate) const AUTHORIZED: &str = "Authorization: Bearer lab-admin\r\n";
const INSIDE: &str = "RIG_TEST_LAB";

/// Runs the body of this test in a lab, or says why there is none here.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        // Whoever holds the other end of this is gone, killed or not: then so is the lab.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(1);
        });
        mount("tmpfs", "/run", "mode=755");
        std::fs::create_dir("/run/netns").unwrap();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        ip("link set lo up");
        return body();
    }
    if !is_root() {
        withheld(test, "networks of its own");
        return;
    }
    if !["unshare", "nsenter", "ip", "etcd"].iter().all(|tool| has(tool, test)) {
        return;
    }
    let probe =
        "ip link add n1 type veth peer name p1 && ip rule add iif n1 to 10.7.1.1 blackhole && mount -t tmpfs x /run";
    let mut command = unshared();
    command.args(["sh", "-c", probe]);
    let probed = run(command, b"");
    if probed.code != Some(0) {
        withheld(test, &format!("networks of its own ({})", probed.stderr.trim()));
        return;
    }
    let (said, out) = std::io::pipe().unwrap();
    let mut command = unshared();
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("TMPDIR", "/run");
    command.stdin(Stdio::piped()).stderr(out.try_clone().unwrap()).stdout(out);
    let mut child = command.spawn().unwrap();
    // It holds the ends for writing.
    drop(command);
    // Line by line, so that who runs this alone sees how far it is.
    BufReader::new(said).lines().map_while(Result::ok).for_each(|line| println!("{line}"));
    assert!(child.wait().unwrap().success(), "{test} failed, see above");
}

fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--"]);
    command
}

/// `ip`, which must succeed.
fn ip(line: &str) {
    let mut command = Command::new("ip");
    command.args(line.split(' '));
    let ran = run(command, b"");
    assert_eq!(ran.code, Some(0), "ip {line}: {ran:#?}");
}

fn change_rules(change: &str, rules: &[String]) {
    let lines: String = rules.iter().map(|rule| format!("rule {change} {rule}\n")).collect();
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    let ran = run(command, lines.as_bytes());
    assert_eq!(ran.code, Some(0), "{lines}: {ran:#?}");
}

fn mount(kind: &str, place: &str, options: &str) {
    let mut command = Command::new("mount");
    command.args(["-t", kind, "-o", options, "rig-test", place]);
    let ran = run(command, b"");
    assert_eq!(ran.code, Some(0), "mount {place} {options}: {ran:#?}");
}

/// A machine, numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Node(usize),
    Etcd(usize),
}

impl Host {
    fn name(self) -> String {
        match self {
            Self::Node(number) => format!("n{number}"),
            Self::Etcd(number) => format!("e{number}"),
        }
    }

    fn net(self) -> String {
        match self {
            Self::Node(number) => format!("10.7.{number}"),
            Self::Etcd(number) => format!("10.7.{}", 10 + number),
        }
    }

    fn ip(self) -> String {
        format!("{}.2", self.net())
    }

    /// Its network: a cable to the test.
    fn connect(self) {
        let (name, net) = (self.name(), self.net());
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
        ip(&format!("addr add {net}.1/24 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} addr add {net}.2/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} route add default via {net}.1"));
    }

    /// A program on it; its process is this program's, so that a signal to the one is a signal to the other.
    fn command(self, home: &Home, program: &str, arguments: &[&str]) -> Command {
        let net = format!("--net=/run/netns/{}", self.name());
        home.command("nsenter", &[&[&*net, program], arguments].concat())
    }
}

/// Nodes `n1`, `n2` and so on, and members of etcd `e1`, `e2`, `e3`.
pub(crate) struct Lab {
    nodes: Vec<Option<Node>>,
    etcd: Vec<Option<Child>>,
    cuts: Vec<String>,
    /// For every start of a node.
    always: Vec<String>,
    pub(crate) home: Home,
}

impl Lab {
    /// A primary and its replicas, all in sync; `first` is for the first start of the primary. With a lease in seconds
    /// there are three members of etcd, and the nodes have them as their coordinator.
    pub(crate) fn new(count: usize, lease: Option<u64>, first: &[&str]) -> Self {
        let home = Home::new();
        let tokens = home.file("tokens", TOKENS);
        std::fs::set_permissions(tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        home.file("token", "lab-admin\n");
        let mut lab = Self { nodes: Vec::new(), etcd: Vec::new(), cuts: Vec::new(), always: Vec::new(), home };
        if let Some(seconds) = lease {
            (1..=3).for_each(|member| Host::Etcd(member).connect());
            lab.etcd.resize_with(3, || None);
            lab.restart_etcd();
            let members = [1, 2, 3].map(|member| format!("{}:2379", Host::Etcd(member).ip())).join(",");
            lab.always =
                ["--coordinator", &format!("etcd://{members}/rig"), "--coordinator-lease"].map(Into::into).into();
            lab.always.push(format!("{seconds}s"));
        }
        lab.nodes.resize_with(count, || None);
        for number in 1..=count {
            Host::Node(number).connect();
            let disk = lab.disk(number);
            std::fs::create_dir(&disk).unwrap();
            mount("tmpfs", disk.to_str().unwrap(), &format!("mode=700,size={ROOM}"));
            lab.home.ok(&["init", &lab.dir(number)]);
        }
        for number in 1..=count {
            let role = if number == 1 { "primary" } else { "replica" };
            let flags = if number == 1 { first } else { &[] };
            lab.serve(number, &[&["--role", role], flags].concat());
        }
        lab.settle();
        lab
    }

    /// How many nodes there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Where each node listens.
    pub(crate) fn addresses(&self) -> Vec<String> {
        (1..=self.count()).map(|number| format!("{}:7440", Host::Node(number).ip())).collect()
    }

    fn disk(&self, number: usize) -> PathBuf {
        self.home.path(&format!("disk{number}"))
    }

    /// The directory of a node, from the home.
    pub(crate) fn dir(&self, number: usize) -> String {
        format!("disk{number}/n{number}")
    }

    /// Serves a node where it was before, and waits until it answers.
    pub(crate) fn serve(&mut self, number: usize, flags: &[&str]) {
        let (dir, addresses) = (self.dir(number), self.addresses());
        let mut line = vec!["serve", "--json", "--tokens", "tokens", "--insecure-plaintext", "-D", &dir, "--listen"];
        line.push(&addresses[number - 1]);
        let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
        for (_, url) in urls.iter().enumerate().filter(|(at, _)| at + 1 != number) {
            line.extend(["--peer", url]);
        }
        line.extend(self.always.iter().map(String::as_str).chain(flags.iter().copied()));
        let command = Host::Node(number).command(&self.home, RIG, &line);
        self.nodes[number - 1] = Some(Node::spawn(&self.home, command));
    }

    pub(crate) fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number - 1].as_mut().unwrap()
    }

    /// One request to a node.
    pub(crate) fn get(&self, number: usize, target: &str) -> std::io::Result<Reply> {
        Wire::within(&self.addresses()[number - 1], SOON)?.get_with(target, AUTHORIZED)
    }

    /// The status of a node, `null` from one that does not answer.
    pub(crate) fn seen(&self, number: usize) -> Value {
        self.get(number, "/status").map_or(Value::Null, |reply| reply.data())
    }

    /// Waits until one node is the primary, all others are in sync and everything is committed; gives the primary.
    pub(crate) fn settle(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all: Vec<Value> = (1..=self.count()).map(|number| self.seen(number)).collect();
            let is = |status: &&Value, role: &str, state: &str| status["role"] == role && status["state"] == state;
            let primary = all.iter().position(|status| is(&status, "primary", "serving"));
            let replicas = all.iter().filter(|status| is(status, "replica", "in_sync")).count();
            let set = |at: usize| all[at]["replication"]["in_sync"].as_array().map_or(0, Vec::len);
            match primary {
                Some(at) if replicas + 1 == all.len() && set(at) == all.len() => return at + 1,
                _ => {}
            }
            assert!(Instant::now() < deadline, "they do not come together: {all:#?}; {}", self.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the nodes said last.
    pub(crate) fn last_words(&self) -> String {
        let log = self.home.serve_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A command of an operator who is reached by nothing that is cut.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.home.run(&[arguments, &["--token-file", "token"]].concat())
    }

    /// From now on nothing comes from the first machine of each pair to the second; the other way stays as it is. All of
    /// it happens at one time, as nearly as can be.
    pub(crate) fn cut(&mut self, ways: impl IntoIterator<Item = (Host, Host)>) {
        let rule = |(from, to): (Host, Host)| format!("pref 100 iif {} to {} blackhole", from.name(), to.ip());
        let rules: Vec<String> = ways.into_iter().map(rule).filter(|rule| !self.cuts.contains(rule)).collect();
        change_rules("add", &rules);
        self.cuts.extend(rules);
    }

    /// All members of etcd.
    pub(crate) fn etcd(&self) -> impl Iterator<Item = Host> + use<> {
        (1..=self.etcd.len()).map(Host::Etcd)
    }

    /// All nodes but one.
    pub(crate) fn others(&self, number: usize) -> impl Iterator<Item = Host> + use<> {
        (1..=self.count()).filter(move |other| *other != number).map(Host::Node)
    }

    /// All ways are open again.
    pub(crate) fn heal(&mut self) {
        change_rules("del", &std::mem::take(&mut self.cuts));
    }

    /// Takes all room that the disk of a node has.
    pub(crate) fn fill(&self, number: usize) {
        self.resize(number, 0);
    }

    /// Gives the disk of a node as much room as it had at first.
    pub(crate) fn make_room(&self, number: usize) {
        self.resize(number, ROOM);
    }

    fn resize(&self, number: usize, room: u64) {
        let disk = self.disk(number);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stat = rustix::fs::statvfs(&disk).unwrap();
            let size = (stat.f_blocks - stat.f_bfree) * stat.f_frsize + room;
            let mut command = Command::new("mount");
            command.args(["-o", &format!("remount,size={size}")]).arg(&disk);
            let ran = run(command, b"");
            if ran.code == Some(0) {
                return;
            }
            // It has grown meanwhile.
            assert!(Instant::now() < deadline, "{ran:#?}");
        }
    }

    /// Starts a member of etcd, for the first time or again.
    pub(crate) fn start_etcd(&mut self, member: usize) {
        let host = Host::Etcd(member);
        let url = |host: Host, port: u16| format!("http://{}:{port}", host.ip());
        let peers = [1, 2, 3].map(|number| format!("e{number}={}", url(Host::Etcd(number), 2380))).join(",");
        let (name, clients, own) = (host.name(), url(host, 2379), url(host, 2380));
        let line = [
            ["--name", &name],
            ["--data-dir", &name],
            ["--listen-client-urls", &clients],
            ["--advertise-client-urls", &clients],
            ["--listen-peer-urls", &own],
            ["--initial-advertise-peer-urls", &own],
            ["--initial-cluster", &peers],
            ["--heartbeat-interval", "50"],
            ["--election-timeout", "500"],
            ["--log-level", "error"],
        ];
        let mut command = host.command(&self.home, "etcd", line.as_flattened());
        let log = std::fs::File::options().append(true).create(true).open(self.home.path("etcd.log")).unwrap();
        self.etcd[member - 1] = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Starts all members of etcd that do not run, and waits until they have a leader.
    pub(crate) fn restart_etcd(&mut self) {
        for member in 1..=self.etcd.len() {
            if self.etcd[member - 1].is_none() {
                self.start_etcd(member);
            }
        }
        if !self.etcd.is_empty() {
            self.wait_for_etcd();
        }
    }

    /// kill -9 of a member of etcd.
    pub(crate) fn kill_etcd(&mut self, member: usize) {
        let mut child = self.etcd[member - 1].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The member of etcd that leads, if there is one.
    pub(crate) fn etcd_leader(&self) -> Option<usize> {
        let leads = |member: &usize| {
            let ask = || -> std::io::Result<Value> {
                let mut wire = Wire::within(&format!("{}:2379", Host::Etcd(*member).ip()), SOON)?;
                Ok(wire.post("/v3/maintenance/status", "", "{}")?.json())
            };
            ask().is_ok_and(|status| {
                status["leader"] == status["header"]["member_id"] && status["leader"] != json!(null)
            })
        };
        (1..=self.etcd.len()).find(leads)
    }

    /// Waits until etcd has a leader.
    pub(crate) fn wait_for_etcd(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.etcd_leader().is_none() {
            let log = std::fs::read_to_string(self.home.path("etcd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "etcd has no leader: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in self.etcd.iter_mut().flatten() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
