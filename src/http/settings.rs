//! What a connection must know of its node.

use crate::limits::BODY_BYTES_MAX;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The names a node answers to, and the largest body it takes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of one body; a node short of memory may lower it at any time.
    pub body_max: usize,
    /// Lower case, with our port and without.
    hosts: Vec<Box<str>>,
    /// Listening on every address: any address with this port is ours. A page that rebinds a name to our
    /// address still says the name, so this opens nothing to it.
    any_address: Option<u16>,
}

impl Settings {
    /// For a node that listens there: that address and localhost, with the port and without.
    pub fn new(listen: SocketAddr) -> Self {
        let any_address = listen.ip().is_unspecified().then_some(listen.port());
        let mut settings = Self { body_max: BODY_BYTES_MAX, hosts: Vec::new(), any_address };
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            settings.add(host, Some(listen.port()));
        }
        let host = match listen.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        settings.add(&host, Some(listen.port()));
        settings
    }

    /// The same with an advertised address: `http://host:port`, `host:port` or `host`.
    #[must_use]
    pub fn advertise(mut self, url: &str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        self.add(host, port);
        self
    }

    fn add(&mut self, host: &str, port: Option<u16>) {
        let host = host.to_ascii_lowercase();
        let with_port = port.map(|port| format!("{host}:{port}"));
        for name in [Some(host), with_port].into_iter().flatten() {
            if !name.is_empty() && !self.hosts.iter().any(|known| **known == *name) {
                self.hosts.push(name.into());
            }
        }
    }

    /// Whether a `Host` is this node.
    pub fn is_ours(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
            || self.any_address.is_some_and(|port| is_address(host, port))
    }
}

/// Whether the text is an address, with this port or none.
fn is_address(host: &str, port: u16) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok_and(|address| address.port() == port)
        || bracketed.map_or_else(|| host.parse::<std::net::Ipv4Addr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_answers_to_its_addresses_and_to_no_other_name() {
        let settings = Settings::new("10.1.2.3:7440".parse().unwrap()).advertise("https://Rig.Example:9000/x");
        let ours = "10.1.2.3:7440 10.1.2.3 localhost LOCALHOST:7440 127.0.0.1:7440 [::1]:7440 [::1] rig.example:9000 rig.example";
        assert!(ours.split(' ').all(|host| settings.is_ours(host)));
        let foreign = "10.1.2.4:7440 10.1.2.3:80 localhost:80 evil.example rig.example:7440 localhost. :7440 x[::1]";
        for host in foreign.split(' ').chain([""]) {
            assert!(!settings.is_ours(host), "{host}");
        }
    }

    #[test]
    fn a_node_on_every_address_answers_to_addresses_but_not_to_names() {
        let settings = Settings::new("0.0.0.0:7440".parse().unwrap());
        assert!("192.168.1.7:7440 192.168.1.7 [fe80::1]:7440 [fe80::1]".split(' ').all(|host| settings.is_ours(host)));
        for host in ["192.168.1.7:80", "evil.example:7440", "fe80::1", "1.2.3", "0x7f.1"] {
            assert!(!settings.is_ours(host), "{host}");
        }
    }
}
