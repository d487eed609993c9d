//! How much is in flight: of each client, and of all.
//!
//! # Invariants
//! 1. However much one client sends, others find room for as much as the reserve holds.
//! 2. What was taken for a request is given back with it, whatever has become of its data.

use std::collections::BTreeMap;

use crate::error::{Code, Problem};
use crate::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_BYTES_RESERVE, IN_FLIGHT_OPS_MAX, IN_FLIGHT_OPS_RESERVE};
use crate::node::admission::Client;

/// Operations, and bytes of their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::node) struct Share {
    pub(in crate::node) operations: usize,
    pub(in crate::node) bytes: usize,
}

/// What one client may have in flight.
const OF_ONE: Share = Share { operations: IN_FLIGHT_OPS_MAX, bytes: IN_FLIGHT_BYTES_MAX };
/// What all may have together.
const OF_ALL: Share = Share {
    operations: IN_FLIGHT_OPS_MAX + IN_FLIGHT_OPS_RESERVE,
    bytes: IN_FLIGHT_BYTES_MAX + IN_FLIGHT_BYTES_RESERVE,
};

impl Share {
    fn has_room(&self, bytes: usize, most: Share) -> bool {
        self.operations < most.operations && self.bytes + bytes <= most.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.operations += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.operations -= 1;
        self.bytes -= bytes;
    }
}

/// Who has how much.
#[derive(Debug, Default)]
pub(super) struct Budget {
    all: Share,
    of: BTreeMap<Client, Share>,
}

impl Budget {
    /// Of all clients together.
    pub(super) fn all(&self) -> Share {
        self.all
    }

    /// Why an operation with so many bytes of data finds no room.
    pub(super) fn refusal(&self, client: Client, bytes: usize) -> Option<Problem> {
        let own = self.of.get(&client).copied().unwrap_or_default();
        let (whose, found, most) = if !own.has_room(bytes, OF_ONE) {
            (format!(" from {client}"), own, OF_ONE)
        } else if !self.all.has_room(bytes, OF_ALL) {
            (String::new(), self.all, OF_ALL)
        } else {
            return None;
        };
        let detail = format!(
            "{} operations with {} bytes{whose} are in flight; the limits are {} and {}",
            found.operations, found.bytes, most.operations, most.bytes
        );
        Some(Problem::new(Code::Overloaded, detail).hint("send again after Retry-After"))
    }

    pub(super) fn take(&mut self, client: Client, bytes: usize) {
        self.all.add(bytes);
        self.of.entry(client).or_default().add(bytes);
    }

    pub(super) fn give_back(&mut self, client: Client, bytes: usize) {
        self.all.subtract(bytes);
        let own = self.of.get_mut(&client).expect("what is given back was taken");
        own.subtract(bytes);
        if *own == Share::default() {
            self.of.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(last: u8) -> Client {
        Client::from(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_client_that_takes_all_it_can_leaves_the_reserve_to_others() {
        for (bytes, count, reserve) in [
            (1, IN_FLIGHT_OPS_MAX, IN_FLIGHT_OPS_RESERVE),
            (1 << 20, IN_FLIGHT_BYTES_MAX >> 20, IN_FLIGHT_BYTES_RESERVE >> 20),
        ] {
            let mut budget = Budget::default();
            let mut fill = |client: Client, count: usize| {
                for _ in 0..count {
                    assert!(budget.refusal(client, bytes).is_none(), "{budget:?}");
                    budget.take(client, bytes);
                }
                budget.refusal(client, bytes).unwrap().detail
            };
            let detail = fill(client(1), count);
            assert!(detail.contains("from 10.0.0.1"), "{detail}");
            let detail = fill(client(2), reserve);
            assert!(!detail.contains("from"), "{detail}");
            (0..count).for_each(|_| budget.give_back(client(1), bytes));
            (0..reserve).for_each(|_| budget.give_back(client(2), bytes));
            assert!(budget.all() == Share::default() && budget.of.is_empty(), "{budget:?}");
        }
    }
}
