//! A real etcd, of one member or three, each a process with a directory and addresses of its own; killed when dropped.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rig::client::{Client, Options as ClientOptions, Request, Url};
use rig::coordinator::{Address, Coordinator, Options};
use rig::net::Trust;
use serde_json::{Value, json};

use super::{Home, Link, has};

/// Nothing of an etcd that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// So quick that leases may be of a second, and slow enough for a busy machine.
const TIMES: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

struct Member {
    name: String,
    /// Where clients and other members find it.
    client: String,
    peer: String,
    child: Option<Child>,
}

pub(crate) struct Etcd {
    members: Vec<Member>,
    flags: Vec<String>,
    /// Its CA, if it speaks TLS.
    ca: Option<PathBuf>,
    home: Home,
}

impl Etcd {
    /// So many members that answer; nothing where there is no etcd.
    pub(crate) fn new(test: &str, count: usize, flags: &[&str]) -> Option<Self> {
        has("etcd", test).then(|| Self::start(Home::new(), (0..count).map(|_| Link::free_address()), flags, None))
    }

    /// One member by TLS, at an address that its certificate in this home names: `etcd.pem`, by `ca.pem`.
    pub(crate) fn secure(home: Home, address: String) -> Self {
        let [cert, key, ca] = ["etcd.pem", "etcd.key", "ca.pem"].map(|name| home.path(name));
        let flags = ["--cert-file", cert.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
        Self::start(home, std::iter::once(address), &flags, Some(ca))
    }

    fn start(home: Home, addresses: impl Iterator<Item = String>, flags: &[&str], ca: Option<PathBuf>) -> Self {
        let member =
            |(number, client)| Member { name: format!("e{number}"), client, peer: Link::free_address(), child: None };
        let members: Vec<Member> = (1..).zip(addresses).map(member).collect();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut etcd = Self { members, flags, ca, home };
        for number in 1..=etcd.members.len() {
            etcd.spawn(number);
        }
        for number in 1..=etcd.members.len() {
            etcd.wait(number);
        }
        etcd
    }

    /// Starts a member again that was killed, without waiting for it.
    pub(crate) fn spawn(&mut self, number: usize) {
        let all: Vec<String> =
            self.members.iter().map(|member| format!("{}=http://{}", member.name, member.peer)).collect();
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        let member = &self.members[number - 1];
        let (client, peer) = (format!("{scheme}://{}", member.client), format!("http://{}", member.peer));
        let (dir, all) = (self.home.path(&member.name), all.join(","));
        let line = ["--name", &member.name, "--data-dir", dir.to_str().unwrap(), "--initial-cluster", &all];
        let listens = ["--listen-client-urls", &client, "--advertise-client-urls", &client];
        let peers = ["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer];
        let log = std::fs::File::options().append(true).create(true).open(self.home.path("etcd.log")).unwrap();
        let mut command = self.home.command("etcd", &[&line[..], &listens, &peers, &TIMES].concat());
        command.args(&self.flags).stdout(Stdio::null()).stderr(log);
        self.members[number - 1].child = Some(command.spawn().unwrap());
    }

    /// Waits until a member takes connections and knows a leader, if it wants no user.
    pub(crate) fn wait(&self, number: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is_open = TcpStream::connect(&self.members[number - 1].client).is_ok();
            let answer = || self.at(&[number], "/wait", Duration::from_secs(2)).read();
            // That it wants a user is an answer too.
            if is_open && answer().err().is_none_or(|error| !error.is_transient()) {
                return;
            }
            let log = || std::fs::read_to_string(self.home.path("etcd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "etcd is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.members[number - 1].child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What a member that was killed has kept is gone: it comes back as another one.
    pub(crate) fn empty(&mut self, number: usize) {
        assert!(self.members[number - 1].child.is_none(), "it runs");
        std::fs::remove_dir_all(self.home.path(&self.members[number - 1].name)).unwrap();
        // By other addresses of its own it has other ids.
        self.members[number - 1].peer = Link::free_address();
    }

    /// A copy of what a member that was killed has kept.
    pub(crate) fn keep(&self, number: usize) {
        self.copy(number, "", ".kept");
    }

    /// That copy in the place of what a member that was killed has kept since.
    pub(crate) fn put_back(&self, number: usize) {
        std::fs::remove_dir_all(self.home.path(&self.members[number - 1].name)).unwrap();
        self.copy(number, ".kept", "");
    }

    fn copy(&self, number: usize, from: &str, to: &str) {
        let member = &self.members[number - 1];
        assert!(member.child.is_none(), "it runs");
        let place = |end: &str| self.home.path(&format!("{}{end}", member.name));
        assert!(Command::new("cp").arg("-a").args([place(from), place(to)]).status().unwrap().success());
    }

    /// A signal by its name, to this process alone.
    pub(crate) fn signal(&self, number: usize, name: &str) {
        let pid = self.members[number - 1].child.as_ref().unwrap().id();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
    }

    /// `host:port` of a member.
    pub(crate) fn client(&self, number: usize) -> &str {
        &self.members[number - 1].client
    }

    /// The address of a prefix, by all members.
    pub(crate) fn address(&self, prefix: &str) -> Address {
        let all: Vec<&str> = self.members.iter().map(|member| member.client.as_str()).collect();
        self.address_by(&all, prefix)
    }

    fn address_by(&self, hosts: &[&str], prefix: &str) -> Address {
        let scheme = if self.ca.is_some() { "etcds" } else { "etcd" };
        Address::parse(&format!("{scheme}://{}{prefix}", hosts.join(","))).unwrap()
    }

    /// A client that speaks to these members, in this order.
    pub(crate) fn at(&self, members: &[usize], prefix: &str, timeout: Duration) -> Coordinator {
        let hosts: Vec<&str> = members.iter().map(|number| self.client(*number)).collect();
        let trust = self.ca.as_ref().map(|file| Trust::load(file).unwrap());
        Coordinator::new(self.address_by(&hosts, prefix), Options { password: None, trust, timeout })
    }

    /// Asks the gateway of a member that speaks no TLS and wants no user.
    pub(crate) fn post(&self, number: usize, path: &str, body: &Value) -> Value {
        let url = Url::parse(self.client(number)).unwrap();
        let request = Request::post(path, body.to_string());
        let answer = Client::new(url, ClientOptions::default()).send(&request, Instant::now() + PATIENCE).unwrap();
        assert!(answer.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The number of the member that leads.
    pub(crate) fn leader(&self) -> usize {
        let leads = |number: &usize| {
            let status = self.post(*number, "/v3/maintenance/status", &json!({}));
            status["leader"] == status["header"]["member_id"]
        };
        (1..=self.members.len()).find(leads).expect("one of them leads")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 1..=self.members.len() {
            self.kill(number);
        }
    }
}

/// As etcd's gateway has keys and values.
pub(crate) fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digits = (0..4).map(|at| DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char);
        out.extend(digits.take(three.len() + 1));
        out.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    out
}
