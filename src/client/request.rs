//! One request: its bytes on the wire, and the same as a line for a shell.

use std::path::Path;

use super::Url;
use crate::http::write_request;

/// Bytes of a body in the curl line of `-v`; a larger one is described.
const SHOWN_BYTES_MAX: usize = 4096;

/// What is asked of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// Path and query, encoded.
    pub target: String,
    /// Beyond `Host`, `User-Agent`, `Authorization` and what the body needs.
    pub headers: Vec<(&'static str, String)>,
    /// The body with its type.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Request {
    /// A request to read.
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), body: None }
    }

    /// A request with a JSON body.
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let body = Some(("application/json", body.into()));
        Self { method: "POST", target: target.into(), headers: Vec::new(), body }
    }

    /// A request to remove something.
    pub fn delete(target: impl Into<String>) -> Self {
        Self { method: "DELETE", ..Self::get(target) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn is_read(&self) -> bool {
        self.method == "GET"
    }

    /// Appends the bytes on the wire.
    pub fn write(&self, url: &Url, token: Option<&str>, out: &mut Vec<u8>) {
        let (host, bearer) = (url.authority(), token.map(|token| format!("Bearer {token}")));
        let mut headers = vec![("Host", host.as_str()), ("User-Agent", concat!("rig/", env!("CARGO_PKG_VERSION")))];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        headers.extend(self.body.as_ref().map(|(kind, _)| ("Content-Type", *kind)));
        let body = self.body.as_ref().map(|(_, body)| body.as_slice());
        write_request(out, self.method, &self.target, &headers, body);
    }

    /// The same as a line for a shell; the token stays a variable.
    pub fn curl(&self, url: &Url, has_token: bool, ca: Option<&Path>) -> String {
        let mut line = "curl -sS".to_owned();
        if let Some(ca) = ca {
            line.push_str(&format!(" --cacert {}", quote(&ca.display().to_string())));
        }
        if self.method != "GET" && self.body.is_none() {
            line.push_str(&format!(" -X {}", self.method));
        }
        if has_token {
            line.push_str(" -H \"Authorization: Bearer $RIG_TOKEN\"");
        }
        for (name, value) in &self.headers {
            line.push_str(&format!(" -H {}", quote(&format!("{name}: {value}"))));
        }
        if let Some((kind, body)) = &self.body {
            line.push_str(&format!(" -H {}", quote(&format!("Content-Type: {kind}"))));
            match std::str::from_utf8(body) {
                Ok(text) if text.len() <= SHOWN_BYTES_MAX => line.push_str(&format!(" --data-binary {}", quote(text))),
                _ => line.push_str(&format!(" --data-binary @- # {} bytes from standard input", body.len())),
            }
            // A comment must come last.
            if let Some(at) = line.find(" # ").filter(|_| body.len() > SHOWN_BYTES_MAX) {
                let comment = line.split_off(at);
                return format!("{line} {}{comment}", quote(&format!("{url}{}", self.target)));
            }
        }
        format!("{line} {}", quote(&format!("{url}{}", self.target)))
    }
}

/// One word for a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
