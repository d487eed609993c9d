//! Several real nodes of one cluster, each with a directory and a port of its own.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Home, Link, Node, Ran, Way};
use crate::wire::{Reply, Wire};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nodes `n1`, `n2` and so on; `n1` was the first primary.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// Where each listens, also after its end.
    addresses: Vec<String>,
    /// The ways between the nodes, one in front of each, if they can be cut.
    links: Vec<Link>,
    /// What each is always started with.
    own: Vec<Vec<String>>,
    pub(crate) home: Home,
}

impl Cluster {
    /// A primary and its replicas, all in sync. `flags` go to the primary.
    pub(crate) fn new(count: usize, flags: &[&str]) -> Self {
        Self::at(Home::new(), count, flags)
    }

    /// The same in a home where the places of the nodes may be prepared, or that may have another binary.
    pub(crate) fn at(home: Home, count: usize, flags: &[&str]) -> Self {
        home.ok(&["init", "n1"]);
        let one = Node::serve(&home, &[&["-D", "n1", "--role", "primary"], flags].concat());
        let addresses = vec![one.address().to_owned()];
        let mut cluster = Self { nodes: vec![one], addresses, links: Vec::new(), own: Vec::new(), home };
        for number in 2..=count {
            cluster.join(number);
        }
        if count > 1 {
            cluster.wait(1, "in-sync");
        }
        cluster
    }

    /// A primary and a replica that speak to each other only through links that a test can cut. Commands and requests
    /// of the test go to the nodes themselves.
    pub(crate) fn with_links(flags: &[&str]) -> Self {
        Self::with_links_and(Vec::new(), flags)
    }

    /// The same, and each node is always started with flags of its own.
    pub(crate) fn with_links_and(own: Vec<Vec<String>>, flags: &[&str]) -> Self {
        let home = Home::new();
        let (mut addresses, mut links) = (Vec::new(), Vec::new());
        for name in ["n1", "n2"] {
            home.ok(&["init", name]);
            let address = Link::free_address();
            links.push(Link::to(&address));
            addresses.push(address);
        }
        let mut cluster = Self { nodes: Vec::new(), addresses, links, own, home };
        for (number, role) in [(1, &["--role", "primary"]), (2, &["--role", "replica"])] {
            let flags = if number == 1 { flags } else { &[] };
            let node = cluster.serving(number, &[&role[..], flags].concat());
            cluster.nodes.push(node);
        }
        cluster.settle();
        cluster
    }

    /// One more replica, in sync when this returns.
    pub(crate) fn join(&mut self, number: usize) {
        let name = format!("n{number}");
        self.home.ok(&["init", &name]);
        let peer = self.url(1);
        let node = Node::serve(&self.home, &["-D", &name, "--role", "replica", "--peer", &peer]);
        self.addresses.push(node.address().to_owned());
        self.nodes.push(node);
        self.wait(number, "in-sync");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Where a node listens, or did.
    pub(crate) fn url(&self, number: usize) -> String {
        format!("http://{}", self.addresses[number - 1])
    }

    pub(crate) fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, number: usize) {
        self.node(number).kill();
    }

    /// Serves a node again, where it was before.
    pub(crate) fn serve(&mut self, number: usize, flags: &[&str]) {
        self.nodes[number - 1] = self.serving(number, flags);
    }

    fn serving(&self, number: usize, flags: &[&str]) -> Node {
        let (name, address) = (format!("n{number}"), self.addresses[number - 1].clone());
        let urls: Vec<String> = self.links.iter().map(Link::url).collect();
        let mut arguments = vec!["-D", &name, "--listen", &address];
        for (at, url) in urls.iter().enumerate() {
            arguments.extend([if at + 1 == number { "--advertise" } else { "--peer" }, url]);
        }
        arguments.extend(self.own.get(number - 1).into_iter().flatten().map(String::as_str));
        Node::serve(&self.home, &[&arguments, flags].concat())
    }

    /// What one node of a pair with links says to the other is held up from now on.
    pub(crate) fn silence(&self, number: usize) {
        for (at, link) in self.links.iter().enumerate() {
            link.hold(if at + 1 == number { Way::Out } else { Way::In });
        }
    }

    /// Breaks the connections between the nodes, and lets none be made.
    pub(crate) fn cut(&self) {
        self.links.iter().for_each(Link::cut);
    }

    /// All ways are open again.
    pub(crate) fn heal(&self) {
        self.links.iter().for_each(Link::heal);
    }

    /// Runs a command that speaks to this node.
    pub(crate) fn run(&self, number: usize, arguments: &[&str]) -> Ran {
        // What a node is registered by is its link, if it has one.
        let name = if self.links.is_empty() { format!("n{number}") } else { self.url(number) };
        self.home.run(&[arguments, &["-N", &name]].concat())
    }

    /// The same, and it must end with 0.
    pub(crate) fn ok(&self, number: usize, arguments: &[&str]) -> Ran {
        let ran = self.run(number, arguments);
        assert_eq!(ran.code, Some(0), "n{number}: rig {arguments:?}: {ran:#?}; {}", self.home.serve_log());
        ran
    }

    /// The status of one node.
    pub(crate) fn status(&self, number: usize) -> Value {
        self.ok(number, &["status", "--json"]).json()
    }

    /// `rig wait`.
    pub(crate) fn wait(&self, number: usize, condition: &str) {
        self.ok(number, &["wait", condition]);
    }

    /// Puts a document, and gives what was answered.
    pub(crate) fn put(&self, number: usize, id: &str) -> Value {
        let data = format!("{{\"id\":\"{id}\"}}");
        self.ok(number, &["apply", "user_put", "--data", &data, "--json"]).json()
    }

    /// Puts a document by one request, which is given so long.
    pub(crate) fn request(&self, number: usize, id: &str, key: &str, timeout_ms: u32) -> io::Result<Reply> {
        let fields =
            format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\nRig-Timeout-Ms: {timeout_ms}\r\n");
        let body = format!("{{\"method\":\"user_put\",\"data\":{{\"id\":\"{id}\"}}}}");
        Wire::open(&self.addresses[number - 1])?.post("/do", &fields, &body)
    }

    /// The status of a node, `null` from one that does not answer.
    pub(crate) fn seen(&self, number: usize) -> Value {
        let reply = Wire::open(&self.addresses[number - 1]).and_then(|mut wire| wire.get("/status"));
        reply.map_or(Value::Null, |reply| reply.data())
    }

    /// Waits until the status of a node is as wanted.
    pub(crate) fn until(&self, number: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.seen(number);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "n{number} is not as wanted: {status:#}; {}", self.home.serve_log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until one node is the primary and all others are in sync, and gives the primary.
    pub(crate) fn settle(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all: Vec<Value> = (1..=self.addresses.len()).map(|number| self.seen(number)).collect();
            let is = |status: &&Value, role: &str, state: &str| status["role"] == role && status["state"] == state;
            let primary = all.iter().position(|status| is(&status, "primary", "serving"));
            let replicas = all.iter().filter(|status| is(status, "replica", "in_sync")).count();
            match primary {
                Some(at) if replicas + 1 == all.len() => return at + 1,
                _ => {}
            }
            assert!(Instant::now() < deadline, "they do not come together: {all:#?}; {}", self.home.serve_log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `rig promote` by force.
    pub(crate) fn force(&self, number: usize) -> Value {
        let name = format!("n{number}");
        self.home.ok(&["promote", &self.url(number), "--accept-data-loss", "--confirm", &name, "--json"]).json()
    }

    /// The log of one node is whole, and equal to what the other one says of its own.
    pub(crate) fn are_equal(&self, one: usize, other: usize) {
        let (dir, other) = (format!("n{one}"), self.url(other));
        let lines = self.home.ok(&["log", "verify", "-D", &dir, "--against", &other, "--json"]).lines();
        assert!(lines.iter().any(|line| line["code"] == "equal"), "{lines:#?}");
    }
}
