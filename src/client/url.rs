//! The address of a node: `http://host:port` or `https://host:port`, nothing behind it.

use std::fmt;

use crate::net;

/// The port of a node when a URL names none.
const PORT_DEFAULT: u16 = 7440;

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url {
    is_secure: bool,
    host: String,
    port: u16,
}

/// Why a text is not the address of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadUrl {
    /// Another scheme than `http` and `https`.
    Scheme,
    /// No host, or one with characters that no host has.
    Host,
    /// Not a port.
    Port,
    /// Something behind the port.
    Path,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "expected a URL such as http://127.0.0.1:7440 or https://node:7440",
            Self::Host => "the host is missing or not a host",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Path => "expected nothing behind the port",
        })
    }
}

impl std::error::Error for BadUrl {}

impl Url {
    /// Reads `http://host:port` or `https://host:port`; the scheme, if it is `http`, and the port may be left out.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (is_secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(BadUrl::Scheme),
            None => (false, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(BadUrl::Path);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(six) => {
                let (host, port) = six.split_once(']').ok_or(BadUrl::Host)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| BadUrl::Host)?;
                (format!("[{host}]"), port.strip_prefix(':').or((port.is_empty()).then_some("")).ok_or(BadUrl::Port)?)
            }
            None => {
                let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
                let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                if host.is_empty() || !host.bytes().all(good) {
                    return Err(BadUrl::Host);
                }
                (host.to_owned(), port)
            }
        };
        let port = match port {
            "" => PORT_DEFAULT,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().map_err(|_| BadUrl::Port)?,
            _ => return Err(BadUrl::Port),
        };
        if port == 0 { Err(BadUrl::Port) } else { Ok(Self { is_secure, host, port }) }
    }

    /// Whether it is spoken to by TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host:port`, as a `Host` header and a socket address.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { net::SECURE } else { net::PLAIN };
        write!(f, "{scheme}{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_scheme_and_port() {
        for (text, url) in [
            ("http://127.0.0.1:7441", "http://127.0.0.1:7441"),
            ("127.0.0.1:7441/", "http://127.0.0.1:7441"),
            ("http://node-1.example", "http://node-1.example:7440"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("[::1]", "http://[::1]:7440"),
            ("https://a:1", "https://a:1"),
            ("https://[::1]/", "https://[::1]:7440"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()), Ok(url.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, why) in [
            ("ftp://a:1", BadUrl::Scheme),
            ("http://", BadUrl::Host),
            ("http://a b:1", BadUrl::Host),
            ("http://a@b:1", BadUrl::Host),
            ("[::g]:1", BadUrl::Host),
            ("[::1]1", BadUrl::Port),
            ("a:0", BadUrl::Port),
            ("a:65536", BadUrl::Port),
            ("a:+1", BadUrl::Port),
            ("a:1/b", BadUrl::Path),
            ("a\r\n:1", BadUrl::Host),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
    }
}
