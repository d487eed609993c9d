//! Where a cluster keeps its record: `etcd://[user@]host:2379[,host:port…]/prefix`, or `etcds://…` by TLS.

use std::fmt;
use std::str::FromStr;

use crate::client::Url;

/// The port of an etcd when an address names none.
const PORT_DEFAULT: u16 = 2379;
const PREFIX_BYTES_MAX: usize = 512;

/// Endpoints of one etcd, and what the keys of one cluster there begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) endpoints: Vec<Url>,
    prefix: String,
    user: Option<String>,
    is_secure: bool,
    given: String,
}

/// Why a text is no such address. It never says the text: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// Another scheme than `etcd` and `etcds`.
    Scheme,
    /// `user:password@`, which every list of processes would show.
    Password,
    /// Nothing before the `@`, or what no user is called.
    User,
    /// One of the hosts is missing, or no `host:port`.
    Endpoint,
    /// No prefix.
    NoPrefix,
    /// A prefix of other characters, with an empty part, or too long.
    Prefix,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "expected an address such as etcd://host:2379,host2:2379/prefix, or etcds:// by TLS",
            Self::Password => {
                "a password does not belong into the address: put it into a file, --coordinator-password FILE"
            }
            Self::User => "the user before the `@` is missing or has characters that it cannot have",
            Self::Endpoint => "expected host:port, or several with commas between them, before the prefix",
            Self::NoPrefix => "the prefix is missing: etcd://host:2379/prefix, another one for each cluster",
            Self::Prefix => "the prefix may have letters, digits and -_.:/, no empty part, and 512 bytes at most",
        })
    }
}

impl std::error::Error for BadAddress {}

impl Address {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (is_secure, rest) = match text.split_once("://") {
            Some(("etcd", rest)) => (false, rest),
            Some(("etcds", rest)) => (true, rest),
            _ => return Err(BadAddress::Scheme),
        };
        // By the last one: a password may have any character.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadAddress::Password),
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let is_user = |user: &str| !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !user.is_none_or(is_user) {
            return Err(BadAddress::User);
        }
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoints = hosts.split(',').map(|host| endpoint(host, is_secure)).collect::<Result<_, _>>()?;
        let prefix = prefix_of(prefix)?;
        Ok(Self { endpoints, prefix, user: user.map(str::to_owned), is_secure, given: text.to_owned() })
    }

    /// What the keys begin with: a slash before every part, none behind the last.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it is spoken to by TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// As whom.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text)
    }
}

fn endpoint(host: &str, is_secure: bool) -> Result<Url, BadAddress> {
    let has_port = match host.rsplit_once(']') {
        Some((_, port)) => !port.is_empty(),
        None => host.contains(':'),
    };
    // Behind a colon the URL would take its own default.
    if host.ends_with(':') {
        return Err(BadAddress::Endpoint);
    }
    let scheme = if is_secure { crate::net::SECURE } else { crate::net::PLAIN };
    let port = if has_port { String::new() } else { format!(":{PORT_DEFAULT}") };
    Url::parse(&format!("{scheme}{host}{port}")).map_err(|_| BadAddress::Endpoint)
}

fn prefix_of(text: &str) -> Result<String, BadAddress> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if text.is_empty() {
        return Err(BadAddress::NoPrefix);
    }
    if text.len() > PREFIX_BYTES_MAX || !text.bytes().all(good) || text.split('/').any(str::is_empty) {
        return Err(BadAddress::Prefix);
    }
    Ok(format!("/{text}"))
}
