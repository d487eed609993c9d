//! A request as a route sees it: borrowed from the connection's buffer.

use super::answer::Reply;
use super::head::{Field, Head, bad};
use super::target::decode;
use crate::error::Problem;
use std::borrow::Cow;

/// One request, complete and found good.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path, decoded once; use [`Request::segments`] where a segment may hold a `/`.
    pub path: &'a str,
    /// The body without its framing.
    pub body: &'a [u8],
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
    pub(super) raw_path: &'a str,
    pub(super) raw_query: &'a str,
    pub(super) head: &'a str,
    pub(super) fields: &'a [Field],
    /// Lengths of the fields' names, one bit for each, modulo 64.
    pub(super) lengths: u64,
    pub(super) upgrade: bool,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: Head, text: &'a str, fields: &'a [Field], decoded: &'a str, body: &'a [u8]) -> Self {
        let method = head.method.of(text);
        let raw_path = match head.path.of(text) {
            "" => "/",
            path => path,
        };
        Self {
            method,
            path: if head.path_decoded { decoded } else { raw_path },
            body,
            keep_alive: head.keep_alive,
            head_only: method == "HEAD",
            http10: head.http10,
            raw_path,
            raw_query: head.query.of(text),
            head: text,
            fields,
            lengths: fields.iter().fold(0, |lengths, field| lengths | length_bit(field.name.len())),
            upgrade: head.upgrade,
        }
    }

    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The value of the only field of that name. For what decides about rights or identity: two would be read
    /// differently by two readers.
    pub fn only_header(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(bad(&format!("more than one {name}"))),
        }
    }

    /// The values of the fields of that name, in order. Asked often, and mostly in vain: a name of another length is not
    /// looked at.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let head = self.head;
        let is_name = move |found: &str| found == name || found.eq_ignore_ascii_case(name);
        let named = move |field: &&Field| field.name.len() == name.len() && is_name(field.name.of(head));
        let fields = if self.lengths & length_bit(name.len()) == 0 { &[] } else { self.fields };
        fields.iter().filter(named).map(move |field| field.value.of(head))
    }

    /// Every field, in order, as name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let head = self.head;
        self.fields.iter().map(move |field| (field.name.of(head), field.value.of(head)))
    }

    /// The path as it was sent, to be passed on.
    pub fn raw_path(&self) -> &'a str {
        self.raw_path
    }

    /// The query as it was sent, without the `?`.
    pub fn raw_query(&self) -> &'a str {
        self.raw_query
    }

    /// The segments of the path behind the first `/`, each decoded on its own: `/data/user/a%2Fb` has three.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        self.raw_path.strip_prefix('/').unwrap_or(self.raw_path).split('/').map(|segment| decode(segment, false))
    }

    /// The pairs of the query, decoded once; a name without `=` has an empty value.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.raw_query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
    }

    /// The first value of that name in the query.
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The protocol that the client wants to change to on this connection.
    pub fn upgrade(&self) -> Option<&'a str> {
        if self.upgrade { self.header("upgrade") } else { None }
    }

    /// What the answer must know of the request.
    pub fn reply(&self) -> Reply {
        Reply { keep_alive: self.keep_alive, head_only: self.head_only, http10: self.http10 }
    }
}

fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}
