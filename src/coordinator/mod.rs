//! The one record of a cluster, kept in etcd and changed by compare-and-swap only.
//!
//! ```text
//!   Address (etcd://…/prefix) ─► Coordinator ── read, swap ───────────────► PREFIX/record         (Record, as JSON)
//!                                     │      ── grant, keep_alive, release ─► PREFIX/leases/NODE ID (gone with its lease)
//!                                     └── etcd (one endpoint after the other) ─► /v3/kv/range, /v3/kv/txn, /v3/lease/…
//! ```
//!
//! Everything goes through the JSON gateway that etcd has had by this path since 3.4, by our own HTTP client: a blocking
//! call at a time, for a thread that can wait. What is done is small on purpose. A read is one linearizable range over the
//! prefix, so that record and leases are of one moment; a swap is one transaction that answers with the same range.
//!
//! # Invariants
//! 1. The record is only ever replaced where its revision is the one that was expected.
//! 2. A request may be sent more than once, at one endpoint or at several, when an answer is lost. A swap bears that: each
//!    has the id of its own (`Record::write`), a second copy of it finds that id in its place, and where anything else is
//!    found no copy under way can be taken any more. A lease that was granted twice leaves one that nobody keeps alive.
//! 3. What may have been carried out is said ([`Error::is_unknown`]). Then a copy may still be under way, even where a read
//!    finds the old revision: until it is seen to have changed, nothing but the same record is to be swapped in.
//! 4. The key of a node's lease goes with the newest lease that the node was granted: a late copy of an older put is
//!    refused by the revision.
//! 5. What etcd answers is bounded and checked; none of it panics anything here. A key below `leases/` that hangs on no
//!    lease does not count: it would never go.
//! 6. No message and no `Debug` shows a password or a token.
//!
//! # Not here
//! When a node reads, swaps and keeps its lease alive, and by which clock (`node`); what the record means
//! (`replication::register`). Users of etcd are known by password only: its gateway knows no client certificates.

mod address;
mod error;
mod etcd;
mod record;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::time::Duration;

pub use address::{Address, BadAddress};
pub use error::{Cause, Error, Kind, Refusal};
pub use record::{BadRecord, Node, Record};

use crate::net::Trust;
use crate::types::NodeId;
use etcd::{Ask, Etcd};
use wire::{Granted, Header, KeepAlive, KeyValue, Range, Revoked, Txn, base64, unbase64};

/// How often a lease is put in the place of what came between.
const ATTACH_TRIES: u32 = 3;

/// How to speak to etcd.
#[derive(Clone)]
pub struct Options {
    /// Of the user in the address.
    pub password: Option<String>,
    /// Whose certificates are believed, of endpoints by TLS.
    pub trust: Option<Trust>,
    /// What one endpoint has to answer one request. A second or two: what a member had passed on to a leader that has died it
    /// drops without a word, and says so after five seconds only; another member does it meanwhile.
    pub timeout: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Options")
            .field("password", &password)
            .field("trust", &self.trust)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What is below the prefix, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `None`: nobody has written one yet.
    pub record: Option<Record>,
    /// Its revision, which every change of it moves; 0 where there is none.
    pub revision: u64,
    /// Nodes whose lease holds, as etcd counts it.
    pub leases: Vec<NodeId>,
    /// Which etcd this is: the id of its cluster. What another one says has nothing to do with what was read before.
    pub store: u64,
    /// Its revision at that moment: of two readings of one store the later has no smaller one.
    pub store_revision: u64,
}

/// Which state of the record's key was seen: what an operator has decided about, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The etcd, as in [`Reading::store`].
    pub store: u64,
    /// The revision of what is there, whatever it is; 0 where nothing is.
    pub revision: u64,
}

/// What is at the key of the record, also where that is none.
#[derive(Debug)]
pub struct Look {
    /// Which state that is.
    pub sighting: Sighting,
    /// The record, nothing, or why what is there is none.
    pub record: Result<Option<Record>, BadRecord>,
}

impl Reading {
    /// Which state of the record's key this is of.
    pub fn sighting(&self) -> Sighting {
        Sighting { store: self.store, revision: self.revision }
    }
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// It is there, and this is what is below the prefix now.
    Taken(Reading),
    /// Something else is there, and this one will not be.
    Lost(Reading),
}

/// A lease of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Etcd's name for it.
    pub id: i64,
    /// It is gone so long after it was kept alive for the last time, or later.
    pub ttl: Duration,
}

/// The client of one cluster's record.
#[derive(Debug)]
pub struct Coordinator {
    prefix: String,
    etcd: Etcd,
}

impl Coordinator {
    /// Connects when it has something to say.
    pub fn new(address: Address, options: Options) -> Self {
        let prefix = address.prefix().to_owned();
        Self { prefix, etcd: Etcd::new(address, options) }
    }

    /// Record and leases, as they are now: etcd's majority has been asked.
    pub fn read(&mut self) -> Result<Reading, Error> {
        let range: Range = self.etcd.ask(&Ask::read("/v3/kv/range", self.everything()))?;
        self.reading(&range.header, &range.kvs)
    }

    /// Puts the record in the place of the one that has this revision, 0 for none.
    pub fn swap(&mut self, expect: u64, record: &Record) -> Result<Swap, Error> {
        record.check_texts().map_err(|why| Error::record(self.record_key(), why))?;
        let key = base64(self.record_key().as_bytes());
        let all = serde_json::json!({ "request_range": self.everything() });
        let put = serde_json::json!({ "request_put": { "key": key, "value": base64(record.to_json().as_bytes()) } });
        // A key that is not there has the revision 0.
        let compare = serde_json::json!(
            { "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": expect.to_string() }
        );
        let body = serde_json::json!({ "compare": [compare], "success": [put, all], "failure": [all] });
        let txn: Txn = self.etcd.ask(&Ask::change("/v3/kv/txn", body))?;
        let reading = match txn.responses.last().and_then(|response| response.range.as_ref()) {
            Some(range) => self.reading(&txn.header, &range.kvs).map_err(|error| error.or_unknown(txn.succeeded))?,
            None => return Err(self.etcd.malformed("a transaction without what it has read").or_unknown(true)),
        };
        let is_own = reading.record.as_ref().is_some_and(|there| there.write == record.write);
        match (txn.succeeded, is_own) {
            // Not by this copy of the request: by one before it, whose answer was lost.
            (_, true) => Ok(Swap::Taken(reading)),
            (false, false) => Ok(Swap::Lost(reading)),
            (true, false) => Err(self.etcd.malformed("a swap that was taken and is not there").or_unknown(true)),
        }
    }

    /// What is at the key of the record now, whatever it is.
    pub fn look(&mut self) -> Result<Look, Error> {
        let key = base64(self.record_key().as_bytes());
        let range: Range = self.etcd.ask(&Ask::read("/v3/kv/range", serde_json::json!({ "key": key })))?;
        let found = range.kvs.first();
        let sighting =
            Sighting { store: range.header.cluster_id, revision: found.map_or(0, |there| there.mod_revision) };
        let Some(there) = found else { return Ok(Look { sighting, record: Ok(None) }) };
        let Some(value) = unbase64(&there.value).filter(|_| there.mod_revision > 0) else {
            return Err(self.etcd.malformed("a value that is not base64, or without a revision"));
        };
        Ok(Look { sighting, record: Record::from_json(&value).map(Some) })
    }

    /// Removes what has this revision from the key of the record, whatever it is: only for an operator who has looked at it.
    /// Where something else has come into its place, that stays: another look says what is there.
    pub fn discard(&mut self, revision: u64) -> Result<(), Error> {
        let key = base64(self.record_key().as_bytes());
        let compare = serde_json::json!(
            { "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string() }
        );
        let delete = serde_json::json!({ "request_delete_range": { "key": key } });
        let body = serde_json::json!({ "compare": [compare], "success": [delete] });
        self.etcd.ask::<Txn>(&Ask::change("/v3/kv/txn", body)).map(drop)
    }

    /// Grants a lease for whole seconds, rounded up, and hangs this node's key on it. Etcd may grant a longer one.
    pub fn grant(&mut self, node: NodeId, ttl: Duration) -> Result<Lease, Error> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let body = serde_json::json!({ "TTL": seconds.max(1).to_string() });
        let granted: Granted = self.etcd.ask(&Ask::change("/v3/lease/grant", body))?;
        if granted.ttl == 0 || granted.id == 0 {
            return Err(self.etcd.malformed("a lease without an id or a time").or_unknown(true));
        }
        let lease = Lease { id: granted.id, ttl: Duration::from_secs(granted.ttl) };
        if let Err(error) = self.attach(node, &lease, granted.header.revision) {
            // Nobody will keep it alive. Where nobody answers it ends by itself.
            if !matches!(error.kind(), Kind::Unreachable { .. }) {
                let _ = self.release(&lease);
            }
            return Err(error);
        }
        Ok(lease)
    }

    /// Makes a lease last for its whole time again. `None`: it is gone.
    pub fn keep_alive(&mut self, lease: &Lease) -> Result<Option<Duration>, Error> {
        let body = serde_json::json!({ "ID": lease.id.to_string() });
        let kept: KeepAlive = self.etcd.ask(&Ask::change("/v3/lease/keepalive", body))?;
        if kept.result.id != lease.id {
            return Err(self.etcd.malformed("another lease than the one that was kept alive").or_unknown(true));
        }
        Ok(Some(kept.result.ttl).filter(|ttl| *ttl > 0).map(Duration::from_secs))
    }

    /// Gives a lease back: the node's key goes with it. One that is gone already is no failure.
    pub fn release(&mut self, lease: &Lease) -> Result<(), Error> {
        let body = serde_json::json!({ "ID": lease.id.to_string() });
        match self.etcd.ask::<Revoked>(&Ask::change("/v3/lease/revoke", body)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_no_lease() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hangs the node's key on its new lease, unless it was written after etcd had the revision `since`: then that was this
    /// very put, or another one that has to be looked at first.
    fn attach(&mut self, node: NodeId, lease: &Lease, mut since: u64) -> Result<(), Error> {
        let key = base64(format!("{}{node}", self.leases()).as_bytes());
        let value = base64(node.to_string().as_bytes());
        for _ in 0..ATTACH_TRIES {
            let older = since.saturating_add(1).to_string();
            let body = serde_json::json!({
                "compare": [{ "key": key, "target": "MOD", "result": "LESS", "mod_revision": older }],
                "success": [{ "request_put": { "key": key, "value": value, "lease": lease.id.to_string() } }],
                "failure": [{ "request_range": { "key": key } }],
            });
            let txn: Txn = self.etcd.ask(&Ask::change("/v3/kv/txn", body))?;
            let there = txn.responses.first().and_then(|response| response.range.as_ref()?.kvs.first());
            if txn.succeeded || there.is_some_and(|there| there.lease == lease.id) {
                return Ok(());
            }
            since = txn.header.revision;
        }
        Err(self.etcd.malformed("the key of this node's lease is written by others all the time").or_unknown(true))
    }

    fn record_key(&self) -> String {
        format!("{}/record", self.prefix)
    }

    fn leases(&self) -> String {
        format!("{}/leases/", self.prefix)
    }

    /// The range of all keys that begin with `prefix/`: to the first that begins with the byte behind `/`.
    fn everything(&self) -> serde_json::Value {
        let (first, end) = (format!("{}/", self.prefix), format!("{}0", self.prefix));
        serde_json::json!({ "key": base64(first.as_bytes()), "range_end": base64(end.as_bytes()) })
    }

    fn reading(&self, header: &Header, keys: &[KeyValue]) -> Result<Reading, Error> {
        let (record_key, leases) = (self.record_key(), self.leases());
        let mut reading = Reading {
            record: None,
            revision: 0,
            leases: Vec::new(),
            store: header.cluster_id,
            store_revision: header.revision,
        };
        let bytes = |text: &str| unbase64(text).ok_or_else(|| self.etcd.malformed("a key or a value is not base64"));
        for found in keys {
            let key = bytes(&found.key)?;
            if key == record_key.as_bytes() {
                let record = Record::from_json(&bytes(&found.value)?);
                reading.record = Some(record.map_err(|why| Error::record(record_key.clone(), why))?);
                reading.revision = found.mod_revision;
            } else if let Some(name) = key.strip_prefix(leases.as_bytes()).filter(|_| found.lease != 0) {
                // What has no node's name is nobody's lease.
                reading.leases.extend(std::str::from_utf8(name).ok().and_then(|name| name.parse::<NodeId>().ok()));
            }
        }
        if reading.record.is_some() && reading.revision == 0 {
            return Err(self.etcd.malformed("a key without a revision"));
        }
        Ok(reading)
    }
}
