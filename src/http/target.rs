//! The request target: what is asked for, decoded once.

use super::head::{Span, bad};
use super::settings::Settings;
use crate::error::{Code, Problem};
use std::borrow::Cow;

/// Where path and query stand in the target; an empty path means `/`.
pub(super) struct Target {
    pub(super) path: Span,
    pub(super) query: Span,
    /// The path was decoded into the side buffer.
    pub(super) decoded: bool,
}

/// Reads a target that begins at `base` of its head. `decoded` receives the path when it had escapes.
pub(super) fn parse(
    text: &str,
    base: usize,
    method: &str,
    settings: &Settings,
    decoded: &mut String,
) -> Result<Target, Problem> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\') {
        return Err(bad("the target has characters that must be percent-encoded"));
    }
    let path_at = match text.as_bytes() {
        [b'/', ..] => 0,
        b"*" if method == "OPTIONS" => 0,
        _ => absolute(text, settings)?,
    };
    let rest = &text[path_at..];
    let path_len = rest.find('?').unwrap_or(rest.len());
    let (path, query) = (&rest[..path_len], rest.get(path_len + 1..).unwrap_or_default());
    if query.contains('%') {
        decoded.clear();
        decode_into(query, false, decoded)?;
    }
    let escaped = path.contains('%');
    if escaped {
        decoded.clear();
        decode_into(path, false, decoded)?;
    }
    let plain = if escaped { decoded.as_str() } else { path };
    if plain.contains("/.") && plain.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(bad("the path has a segment `.` or `..`"));
    }
    let query_at = base + path_at + rest.len() - query.len();
    Ok(Target {
        path: Span::new(base + path_at, path.len()),
        query: Span::new(query_at, query.len()),
        decoded: escaped,
    })
}

/// `http://host/path`: where the path begins.
fn absolute(text: &str, settings: &Settings) -> Result<usize, Problem> {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else { return Err(bad("the target must begin with `/`")) };
    let rest = &text[scheme.len()..];
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    if !settings.is_ours(authority) {
        return Err(Problem::new(Code::WrongHost, "the target names another host"));
    }
    Ok(scheme.len() + authority.len())
}

/// Appends the text with its `%XX` decoded (and `+` as space in a form), if that is text without control characters.
fn decode_into(text: &str, form: bool, out: &mut String) -> Result<(), Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(bad("a `%` in the target is not followed by two hexadecimal digits"));
                };
                (high << 4 | low) as u8
            }
            b'+' if form => b' ',
            byte => byte,
        };
        if byte < 0x20 || byte == 0x7f {
            return Err(bad("the target has an encoded control character"));
        }
        bytes.push(byte);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("the target is not UTF-8 when decoded"))?;
    out.push_str(text);
    Ok(())
}

/// A segment of a path (`form` false) or a part of a query (`form` true: `+` is a space), decoded once. What
/// does not decode is returned as it is; of a request that a node has taken, everything decodes.
pub fn decode(text: &str, form: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || form && byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    match decode_into(text, form, &mut out) {
        Ok(()) => Cow::Owned(out),
        Err(_) => Cow::Borrowed(text),
    }
}

/// Appends text so that it is one segment of a path or one part of a query.
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
            out.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}
