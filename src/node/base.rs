//! Where a service in another process is: `http://host:port/path`.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `host:port`, as a `Host` header and a socket address.
    authority: String,
    /// Empty, or it begins with a slash and does not end with one.
    path: String,
}

impl Base {
    /// Reads it; the path may be left out, and the port where it is 80.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err("TLS to a service is not in this version".to_owned()),
            _ => return Err("expected a URL such as http://127.0.0.1:9000/base".to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\')) {
            return Err("a base has a path at most: no query, no fragment, no spaces".to_owned());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, "80"),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match six {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(plain),
        };
        if !is_host {
            return Err("the host is missing or not a host".to_owned());
        }
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port: Option<u16> = port.parse().ok().filter(|port| digits && *port > 0);
        let port = port.ok_or_else(|| "the port is not a number from 1 to 65535".to_owned())?;
        Ok(Self { authority: format!("{host}:{port}"), path: path.trim_end_matches('/').to_owned() })
    }

    /// `host:port`, as a `Host` header and a socket address.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The target of a request for what is below the base there: path and query, beginning with a slash.
    pub(super) fn target(&self, below: &str) -> String {
        format!("{}{below}", self.path)
    }

    /// Where a redirection leads, as those reach it who see what is below the base at their own root.
    pub(super) fn location<'a>(&self, value: &'a str) -> &'a str {
        let path = match value.strip_prefix("http://") {
            None => Some(value),
            Some(rest) => [self.authority.as_str(), self.authority.strip_suffix(":80").unwrap_or(&self.authority)]
                .iter()
                .find_map(|own| rest.strip_prefix(own).filter(|rest| rest.starts_with('/'))),
        };
        let below = path.and_then(|path| path.strip_prefix(self.path.as_str()));
        // Two slashes would name a host.
        below.filter(|below| below.starts_with('/') && !below.starts_with("//")).unwrap_or(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_address_with_or_without_a_path() {
        for (text, authority, target) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", "/x"),
            ("http://localhost/", "localhost:80", "/x"),
            ("http://[::1]:9000/a/b//", "[::1]:9000", "/a/b/x"),
            ("http://[::1]/a", "[::1]:80", "/a/x"),
        ] {
            let base = Base::parse(text).unwrap();
            assert_eq!((base.authority(), &*base.target("/x")), (authority, target), "{text}");
        }
        for (text, why) in [
            ("", "expected a URL"),
            ("127.0.0.1:9000", "expected a URL"),
            ("https://a", "TLS"),
            ("ftp://a", "expected a URL"),
            ("http://", "host"),
            ("http://a b", "host"),
            ("http://u@a/", "host"),
            ("http://[::g]/", "host"),
            ("http://a:0", "port"),
            ("http://a:+1", "port"),
            ("http://a:x", "port"),
            ("http://a:65536", "port"),
            ("http://a/?q", "path"),
            ("http://a/#f", "path"),
            ("http://a/b c", "path"),
            ("http://a/b\r\nX: y", "path"),
        ] {
            let said = Base::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_redirection_below_the_base_leads_to_the_root_and_any_other_where_it_says() {
        let base = Base::parse("http://svc:9000/base").unwrap();
        for (value, leads) in [
            ("http://svc:9000/base/users/1?x", "/users/1?x"),
            ("/base/users/1", "/users/1"),
            ("users/1", "users/1"),
            ("/other", "/other"),
            ("/based/users", "/based/users"),
            ("/base//evil.example/x", "/base//evil.example/x"),
            ("http://svc:90001/base/x", "http://svc:90001/base/x"),
            ("https://svc:9000/base/x", "https://svc:9000/base/x"),
        ] {
            assert_eq!(base.location(value), leads);
        }
        assert_eq!(Base::parse("http://svc").unwrap().location("http://svc/x"), "/x");
    }
}
