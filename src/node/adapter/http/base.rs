//! Where a service is: `http://host:port/path`.

use std::io;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// `host:port`, as a `Host` header and a socket address.
    pub(super) authority: String,
    /// What comes before `/rig/v1/…`; empty, or it begins with a slash and does not end with one.
    path: String,
}

impl Base {
    /// Reads the URL of a service; without a port it is 80.
    pub(super) fn parse(url: &str) -> io::Result<Self> {
        let bad = |why: &str| {
            let text = format!("{url}: {why}, expected a URL such as http://127.0.0.1:9000/base");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        let Some(rest) = url.strip_prefix("http://") else {
            return bad(if url.starts_with("https://") { "TLS is not in this version" } else { "no http URL" });
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().unwrap_or(0)),
            _ => (authority, 80),
        };
        let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match six {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
        };
        if host.is_empty() || !good || port == 0 {
            return bad("host or port is none");
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            return bad("the path is none");
        }
        Ok(Self { authority: format!("{host}:{port}"), path: path.trim_end_matches('/').to_owned() })
    }

    /// The target of a request.
    pub(super) fn target(&self, call: &str) -> String {
        format!("{}/rig/v1/{call}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_what_is_none_is_refused_with_its_reason() {
        for (url, authority, target) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", "/rig/v1/info"),
            ("http://svc.example/", "svc.example:80", "/rig/v1/info"),
            ("http://[::1]:9000/a/b/", "[::1]:9000", "/a/b/rig/v1/info"),
            ("http://[::1]", "[::1]:80", "/rig/v1/info"),
        ] {
            let base = Base::parse(url).unwrap();
            assert_eq!((&*base.authority, &*base.target("info")), (authority, target), "{url}");
        }
        for (url, why) in [
            ("https://a:1", "TLS"),
            ("127.0.0.1:9000", "no http URL"),
            ("http://", "host or port"),
            ("http://a:0", "host or port"),
            ("http://a:x", "host or port"),
            ("http://a@b", "host or port"),
            ("http://[::g]:1", "host or port"),
            ("http://a b", "host or port"),
            ("http://a/b?c", "path"),
            ("http://a/b\r\nX: y", "path"),
        ] {
            let error = Base::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
