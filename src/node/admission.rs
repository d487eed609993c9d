//! Who is let in: a bound for all connections, a smaller one for each client, and a few places beyond both.
//!
//! ```text
//!   room for all, and for this client ─► a place of its own
//!   else ─► a place to be heard: one request, answered if it is a peer's call or asks how the node is; else 503
//!   those are taken too ─► who has had one longest makes way
//! ```
//!
//! # Invariants
//! 1. However many connections one client opens, there are places for others.
//! 2. However many connections there are, whoever asks at once is heard.
//!
//! # Not here
//! Operations in flight, which are bounded in the same way (`engine::budget`); connections of peers, which have places
//! of their own as soon as they are known as such (`event_loop::peering`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::error::{Code, Problem};
use crate::limits::{CLIENT_CONNECTIONS_MAX, CONNECTIONS_MAX, HEARD_CONNECTIONS_MAX};

/// That somebody is refused is told again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// One client as far as bounds go: an address of IPv4, or the network of IPv6 that one machine can choose its own from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address => address,
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(address) if !address.is_loopback() => write!(f, "{address}/64"),
            address => address.fmt(f),
        }
    }
}

/// Who has which place.
#[derive(Debug, Default)]
pub(super) struct Admission {
    of: BTreeMap<Client, usize>,
    open: usize,
    /// Connections that are only heard, the eldest first.
    heard: VecDeque<usize>,
    told: Option<Instant>,
}

impl Admission {
    /// Why the next connection of this client gets no place of its own.
    pub(super) fn refusal(&self, client: Client) -> Option<Problem> {
        let own = self.of.get(&client).copied().unwrap_or_default();
        let detail = if self.open >= CONNECTIONS_MAX {
            format!("{CONNECTIONS_MAX} connections are open, that is the limit")
        } else if own >= CLIENT_CONNECTIONS_MAX {
            format!("{CLIENT_CONNECTIONS_MAX} connections from {client} are open, that is the limit for one client")
        } else {
            return None;
        };
        Some(Problem::new(Code::Overloaded, detail).hint("use connections again, or send again after Retry-After"))
    }

    /// A connection has got a place of its own.
    pub(super) fn enter(&mut self, client: Client) {
        self.open += 1;
        *self.of.entry(client).or_default() += 1;
    }

    /// A connection will only be heard.
    pub(super) fn hear(&mut self, connection: usize) {
        self.heard.push_back(connection);
    }

    /// Who has to make way before another connection can be heard.
    pub(super) fn eldest(&self) -> Option<usize> {
        self.heard.front().copied().filter(|_| self.heard.len() >= HEARD_CONNECTIONS_MAX)
    }

    /// The connection has ended, or has become a peer's.
    pub(super) fn leave(&mut self, client: Client, connection: usize, is_heard: bool) {
        if is_heard {
            return self.heard.retain(|other| *other != connection);
        }
        self.open -= 1;
        let own = self.of.get_mut(&client).expect("who has a place was counted");
        *own -= 1;
        if *own == 0 {
            self.of.remove(&client);
        }
    }

    /// Whether it is news that somebody is refused.
    pub(super) fn is_to_be_told(&mut self, now: Instant) -> bool {
        let is_news = self.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn one_client_is_one_address_or_the_network_that_it_can_choose_from() {
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.2"), client("10.0.0.1"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:3:4:5:6"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        let shown = ["10.0.0.1", "2001:db8:1:2::7", "::1"].map(|text| client(text).to_string());
        assert_eq!(shown, ["10.0.0.1", "2001:db8:1:2::/64", "::1"]);
    }

    #[test]
    fn one_client_leaves_room_for_others_and_all_together_for_none() {
        let (mut admission, one, other) = (Admission::default(), client("10.0.0.1"), client("10.0.0.2"));
        for _ in 0..CLIENT_CONNECTIONS_MAX {
            assert!(admission.refusal(one).is_none());
            admission.enter(one);
        }
        assert!(admission.refusal(one).unwrap().detail.contains("from 10.0.0.1"));
        for _ in CLIENT_CONNECTIONS_MAX..CONNECTIONS_MAX {
            assert!(admission.refusal(other).is_none());
            admission.enter(other);
        }
        assert!(!admission.refusal(other).unwrap().detail.contains("from"));
        admission.leave(one, 0, false);
        assert!(admission.refusal(one).is_none() && admission.refusal(other).is_none());
    }

    #[test]
    fn who_was_heard_first_makes_way_first_and_only_when_there_is_no_place() {
        let mut admission = Admission::default();
        for connection in 0..HEARD_CONNECTIONS_MAX {
            assert_eq!(admission.eldest(), None);
            admission.hear(connection);
        }
        assert_eq!(admission.eldest(), Some(0));
        admission.leave(client("10.0.0.1"), 0, true);
        assert_eq!(admission.eldest(), None);
        admission.hear(0);
        assert_eq!(admission.eldest(), Some(1));
    }
}
