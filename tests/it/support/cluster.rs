//! Several real nodes of one cluster, each with a directory and a port of its own.

use serde_json::Value;

use super::{Home, Node, Ran};

/// Nodes `n1`, `n2` and so on; `n1` was the first primary.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// Where each listens, also after its end.
    addresses: Vec<String>,
    pub(crate) home: Home,
}

impl Cluster {
    /// A primary and its replicas, all in sync. `flags` go to the primary.
    pub(crate) fn new(count: usize, flags: &[&str]) -> Self {
        let home = Home::new();
        home.ok(&["init", "n1"]);
        let one = Node::serve(&home, &[&["-D", "n1", "--role", "primary"], flags].concat());
        let addresses = vec![one.address().to_owned()];
        let mut cluster = Self { nodes: vec![one], addresses, home };
        for number in 2..=count {
            cluster.join(number);
        }
        if count > 1 {
            cluster.wait(1, "in-sync");
        }
        cluster
    }

    /// One more replica, in sync when this returns.
    fn join(&mut self, number: usize) {
        let name = format!("n{number}");
        self.home.ok(&["init", &name]);
        let peer = self.url(1);
        let node = Node::serve(&self.home, &["-D", &name, "--role", "replica", "--peer", &peer]);
        self.addresses.push(node.address().to_owned());
        self.nodes.push(node);
        self.wait(number, "in-sync");
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
        let (name, address) = (format!("n{number}"), self.addresses[number - 1].clone());
        let arguments = [&["-D", &name, "--listen", &address], flags].concat();
        self.nodes[number - 1] = Node::serve(&self.home, &arguments);
    }

    /// Runs a command that speaks to this node.
    pub(crate) fn run(&self, number: usize, arguments: &[&str]) -> Ran {
        let name = format!("n{number}");
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

    /// The log of one node is whole, and equal to what the other one says of its own.
    pub(crate) fn are_equal(&self, one: usize, other: usize) {
        let (dir, other) = (format!("n{one}"), self.url(other));
        let lines = self.home.ok(&["log", "verify", "-D", &dir, "--against", &other, "--json"]).lines();
        assert!(lines.iter().any(|line| line["code"] == "equal"), "{lines:#?}");
    }
}
