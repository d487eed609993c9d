//! What etcd's gateway answers, as far as it is needed: keys and values in base64, whole numbers as texts, and a member that
//! is zero, false or empty left out (the JSON mapping of proto3). Revisions, ids of leases and times are `int64` there; a
//! revision is not negative, and a time is neither that nor one that nobody has asked for.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::limits::{LEASE_MAX, NUMBER_MAX};

/// Seconds of a lease: etcd may grant a longer one than was asked for, a minute and a quarter at most where its elections
/// take as long as they can. By one of years a primary that is gone would be believed to be there.
const TTL_MAX: u64 = 3600;

const _: () = assert!(LEASE_MAX.as_secs() < TTL_MAX);

/// Who has answered, and when. Without it nothing is an answer: every other member may be left out.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(default, deserialize_with = "count")]
    pub(super) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeyValue {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
    #[serde(default, deserialize_with = "count")]
    pub(super) mod_revision: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) lease: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
}

/// The answer to a range inside of a transaction, whose header says less.
#[derive(Debug, Deserialize)]
pub(super) struct InnerRange {
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnResponse {
    #[serde(rename = "response_range")]
    pub(super) range: Option<InnerRange>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Txn {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    pub(super) responses: Vec<TxnResponse>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    pub(super) header: Header,
    #[serde(rename = "ID", default, deserialize_with = "number")]
    pub(super) id: i64,
    /// In seconds; 0 for a lease that is gone.
    #[serde(rename = "TTL", default, deserialize_with = "ttl")]
    pub(super) ttl: u64,
}

/// One of a stream of answers, which is asked for one only.
#[derive(Debug, Deserialize)]
pub(super) struct KeepAlive {
    pub(super) result: Granted,
}

#[derive(Debug, Deserialize)]
pub(super) struct Revoked {
    #[serde(rename = "header")]
    _header: Header,
}

#[derive(Deserialize)]
pub(super) struct Authenticated {
    #[serde(rename = "header")]
    _header: Header,
    pub(super) token: String,
}

/// A refusal: of 3.4 and 3.5, of later ones without `error`, or inside of a stream.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Refused {
    Stream { error: StreamError },
    Plain { code: u32, message: String },
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamError {
    #[serde(alias = "grpc_code")]
    pub(super) code: u32,
    pub(super) message: String,
}

fn number<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// A revision: readings of several stores are counted on from each other, so far below where a sum would overflow.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    at_most(NUMBER_MAX, deserializer)
}

fn ttl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    at_most(TTL_MAX, deserializer)
}

fn at_most<'de, D: Deserializer<'de>>(most: u64, deserializer: D) -> Result<u64, D::Error> {
    let number: u64 = number(deserializer)?;
    if number <= most { Ok(number) } else { Err(D::Error::custom(format_args!("{number} is above {most}"))) }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64, padded.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The bytes, if the text is base64 as it is written by [`base64`].
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut groups = text.as_bytes().chunks_exact(4);
    let mut ended = false;
    for group in &mut groups {
        let padding = group.iter().rev().take_while(|digit| **digit == b'=').count();
        if ended || padding > 2 {
            return None;
        }
        ended = padding > 0;
        let mut bits = 0;
        for digit in &group[..4 - padding] {
            bits = bits << 6 | DIGITS.iter().position(|known| known == digit)? as u32;
        }
        bits <<= 6 * padding;
        let [_, three @ ..] = bits.to_be_bytes();
        let (kept, rest) = three.split_at(3 - padding);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    groups.remainder().is_empty().then_some(bytes)
}
