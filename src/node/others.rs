//! What the other nodes say of themselves that the protocol does not ask for: by which record each goes when the primary is
//! away, whether it leads too, and whether one that leads has said that this node is no member.
//!
//! # Invariants
//! 1. What a node has said is forgotten with its connection; that this node is no member is not, until a primary takes it.
//! 2. Nothing of this changes what the protocol decides: it is for people.

use std::time::{Duration, Instant};

use crate::coordinator::Address;
use crate::replication::{Link, Message, Refused, RefusedWhy, Replication};
use crate::types::{Epoch, NodeId, Role, Version};

/// The field of the upgrade that says by which record a node goes.
pub(super) const FIELD: &str = "Rig-Record";
/// In the field: by none.
const NONE: &str = "none";
/// A prefix with its slash, as an address may have it at most.
const BYTES_MAX: usize = 513;
/// Two that have just met may both lead: one of them hears of it, and ends its term. After that time none did.
const MEETING: Duration = Duration::from_secs(2);

/// The record that a node goes by when others are away: where it is at the coordinator, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record(String);

impl Record {
    /// Of a node with this coordinator.
    pub(super) fn of(address: Option<&Address>) -> Self {
        Self(address.map_or(NONE, Address::prefix).to_owned())
    }

    /// As a node has said it; `None` from one of a release that says nothing, or what no node says.
    pub(super) fn said(text: Option<&str>) -> Option<Self> {
        let is_prefix = |text: &&str| {
            *text == NONE
                || text.starts_with('/') && text.len() <= BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        text.filter(is_prefix).map(|text| Self(text.to_owned()))
    }

    /// As it is said.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn is_none(&self) -> bool {
        self.0 == NONE
    }
}

/// Another node, by its connection.
#[derive(Debug)]
struct Other {
    link: Link,
    node: NodeId,
    record: Option<Record>,
    /// The last version of its log, when it said hello.
    head: Version,
    /// The term that it leads, and since when it is known here.
    leads: Option<(Epoch, Instant)>,
    /// When anything came from it last.
    heard: Instant,
}

/// A primary that does not list this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    /// Who said so.
    pub(super) by: NodeId,
    /// The last version of its log then.
    pub(super) version: Version,
}

/// News for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Another node leads under the same cluster id.
    Rival { node: NodeId, epoch: u64 },
    /// A member goes by another record than this primary, or by none.
    OtherRecord { node: NodeId, record: Record },
}

/// All who are connected.
#[derive(Debug)]
pub(super) struct Others {
    own: Record,
    list: Vec<Other>,
    removed: Option<Removed>,
    /// Since when this node leads.
    leads_since: Option<Instant>,
    /// What was told and still holds.
    told: Vec<News>,
}

impl Others {
    /// Nobody yet; this node goes by that record.
    pub(super) fn new(own: Record) -> Self {
        Self { own, list: Vec::new(), removed: None, leads_since: None, told: Vec::new() }
    }

    /// What this node says of itself.
    pub(super) fn own(&self) -> &Record {
        &self.own
    }

    /// A message has come on a connection that began with this record.
    pub(super) fn heard(&mut self, link: Link, record: Option<&Record>, message: &Message, now: Instant) {
        let place = self.list.iter().position(|other| other.link == link);
        if let Some(place) = place {
            self.list[place].heard = now;
        }
        match (message, place) {
            (Message::Hello(hello), place) => {
                let (node, head) = (hello.member.id, hello.head);
                let leads = hello.role == Role::Primary && hello.promised.owner == node;
                let before = place.and_then(|place| self.list[place].leads);
                let since = before.filter(|(epoch, _)| epoch.number == hello.promised.number).map(|(_, since)| since);
                let leads = leads.then(|| (hello.promised, since.unwrap_or(now)));
                let other = Other { link, node, record: record.cloned(), head, leads, heard: now };
                match place {
                    Some(place) => self.list[place] = other,
                    None => self.list.push(other),
                }
            }
            // A replica of this node.
            (Message::Ack(_), Some(place)) => self.list[place].leads = None,
            (Message::Refused(Refused { why: RefusedWhy::NotAMember, .. }), Some(place)) => {
                let Other { node, head, .. } = self.list[place];
                self.removed = Some(Removed { by: node, version: head });
            }
            (Message::Follow(_), _) => self.removed = None,
            _ => {}
        }
    }

    /// A connection is over.
    pub(super) fn gone(&mut self, link: Link) {
        self.list.retain(|other| other.link != link);
    }

    /// Who has said that this node is no member; nobody, once it leads.
    pub(super) fn removed(&self, core: &Replication) -> Option<Removed> {
        self.removed.filter(|_| core.role() == Role::Replica)
    }

    /// What a connected node has said of its record.
    pub(super) fn record_of(&self, node: NodeId) -> Option<&Record> {
        self.list.iter().rev().find(|other| other.node == node)?.record.as_ref()
    }

    /// Whether a member goes by another record than this node, which leads by one: it cannot take over.
    pub(super) fn is_elsewhere(&self, node: NodeId, core: &Replication) -> bool {
        let is_member = core.config().is_some_and(|config| config.names(node));
        let differs = self.record_of(node).is_some_and(|record| *record != self.own);
        leads(core) && is_member && differs && !self.own.is_none()
    }

    /// Who leads beside this node, which leads, and the number of its epoch: who stands still has only not heard of this one.
    pub(super) fn rivals(&self, core: &Replication) -> Vec<(NodeId, u64)> {
        let Some(here) = self.leads_since.filter(|_| leads(core)) else { return Vec::new() };
        let is_rival = |other: &&Other| other.leads.is_some_and(|(_, since)| other.heard >= since.max(here) + MEETING);
        let found = self.list.iter().filter(is_rival);
        found.filter_map(|other| Some((other.node, other.leads?.0.number))).collect()
    }

    /// What has become true since this was asked last.
    pub(super) fn news(&mut self, core: &Replication, now: Instant) -> Vec<News> {
        self.leads_since = self.leads_since.or(Some(now)).filter(|_| leads(core));
        let rivals = self.rivals(core).into_iter().map(|(node, epoch)| News::Rival { node, epoch });
        let elsewhere = self.list.iter().filter(|other| self.is_elsewhere(other.node, core));
        let records = elsewhere.filter_map(|other| {
            let record = other.record.clone()?;
            Some(News::OtherRecord { node: other.node, record })
        });
        let all: Vec<News> = rivals.chain(records).collect();
        let before = std::mem::replace(&mut self.told, all.clone());
        all.into_iter().filter(|news| !before.contains(news)).collect()
    }
}

fn leads(core: &Replication) -> bool {
    core.primary().is_some_and(|member| member.id == core.me())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_is_said_and_nothing_else_is() {
        let address: Address = "etcd://host/rig/users".parse().unwrap();
        assert_eq!(Record::of(Some(&address)).as_str(), "/rig/users");
        for record in [Record::of(None), Record::of(Some(&address))] {
            assert_eq!(Record::said(Some(record.as_str())), Some(record));
        }
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        for nothing in [None, Some(""), Some("users"), Some("/a b"), Some("/\u{e9}"), Some(&long)] {
            assert_eq!(Record::said(nothing), None, "{nothing:?}");
        }
    }
}
