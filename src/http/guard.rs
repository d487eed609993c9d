//! Checks that need the route: what a body is, and who asks.

use super::request::Request;
use crate::error::{Code, Problem};

/// What a body says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/x-ndjson`: one JSON value per line.
    Ndjson,
}

/// For requests with a body: its `Content-Type` must be JSON or NDJSON. A browser asks permission before it
/// sends one of these to another site, and gets none.
pub fn require_json(request: &Request<'_>) -> Result<Media, Problem> {
    let value = request.only_header("Content-Type")?.unwrap_or_default();
    // As almost everybody writes it.
    if value == "application/json" {
        return Ok(Media::Json);
    }
    let (media, parameters) = value.split_once(';').unwrap_or((value, ""));
    let media = media.trim_matches([' ', '\t']);
    let is = |wanted: &str| media.eq_ignore_ascii_case(wanted);
    let utf8 = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if utf8 && is("application/json") {
        Ok(Media::Json)
    } else if utf8 && (is("application/x-ndjson") || is("application/ndjson")) {
        Ok(Media::Ndjson)
    } else {
        Err(Problem::new(Code::MediaType, "the body must be application/json or application/x-ndjson, in UTF-8")
            .hint("send the header Content-Type: application/json"))
    }
}

/// Refuses what another site's page asks through its reader's browser.
pub fn refuse_origin(request: &Request<'_>) -> Result<(), Problem> {
    let Some(origin) = request.only_header("Origin")? else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match (authority, request.header("Host")) {
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Problem::new(Code::Forbidden, "requests from pages of other sites are refused")),
    }
}
