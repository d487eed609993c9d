//! The refusals of the documents service.
//!
//! They name the place by JSON pointer (RFC 6901) in `pointer`, and give programs the facts as members.
//!
//! The contract's list of 409 codes is closed and has none for a reference that restricts, nor for a document
//! that breaks a schema which is to be set. Both are told as `exists`: there exists a document that forbids it.
//! `restricted_by` or `id` names that document, and `field` or `pointer` the place.

use crate::error::{Code, Problem};
use crate::types::Version;

/// A JSON pointer from the names on the way.
pub(super) fn pointer(path: &[&str]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// 422: `what` is wrong at this place.
pub(super) fn invalid(path: &[&str], what: &str) -> Problem {
    let pointer = pointer(path);
    Problem::new(Code::Invalid, format!("{pointer}: {what}")).with("pointer", pointer)
}

/// 422: the data as a whole.
pub(super) fn not_an_object() -> Problem {
    Problem::new(Code::Invalid, "the data must be a JSON object, in one line without white space").with("pointer", "")
}

pub(super) fn exists(kind: &str, id: &str, version: Version) -> Problem {
    Problem::new(Code::Exists, format!("{kind}/{id} exists since version {version} or before"))
        .hint(format!("use {kind}_update to change it, {kind}_put to replace it"))
        .with("version", version)
}

pub(super) fn not_found(kind: &str, id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {kind}/{id}"))
}

pub(super) fn version_conflict(kind: &str, id: &str, expected: Version, current: Version) -> Problem {
    let detail = match current {
        0 => format!("_if_version is {expected}, and {kind}/{id} is not there"),
        _ => format!("_if_version is {expected}, and {kind}/{id} is at version {current}"),
    };
    Problem::new(Code::VersionConflict, detail).hint("read it again, then decide").with("version", current)
}

pub(super) fn unique(kind: &str, field: &str, owner: &str) -> Problem {
    Problem::new(Code::Unique, format!("the {field} is taken by {kind}/{owner}"))
        .with("field", field)
        .with("owner", owner)
}

pub(super) fn restricted(target: (&str, &str), source: (&str, &str), field: &str) -> Problem {
    let ((kind, id), (source_kind, source_id)) = (target, source);
    Problem::new(Code::Exists, format!("{source_kind}/{source_id} refers to {kind}/{id} by {field}, which restricts"))
        .hint("delete or change what refers to it first")
        .with("restricted_by", format!("{source_kind}/{source_id}"))
        .with("field", field)
}

/// 409: what is there breaks the schema that is to be set.
pub(super) fn breaks_schema(kind: &str, id: &str, why: &Problem) -> Problem {
    let mut problem = Problem::new(Code::Exists, format!("{kind}/{id} breaks the schema: {}", why.detail))
        .hint("nothing was changed; correct the documents first");
    problem.extra.push(("id".into(), id.into()));
    problem.extra.extend(why.extra.iter().cloned());
    problem
}

pub(super) fn too_large(bytes: usize) -> Problem {
    let max = crate::limits::DATA_BYTES_MAX;
    Problem::new(Code::TooLarge, format!("the document would have {bytes} bytes, and {max} is the most"))
}

pub(super) fn memory(used: u64, growth: u64, max: u64) -> Problem {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Problem::new(
        Code::Overloaded,
        format!(
            "the documents take {} MiB of the {} MiB that --memory-max allows, and this needs {growth} bytes more",
            mib(used),
            mib(max)
        ),
    )
    .hint("delete documents, or start the node with a larger --memory-max")
    .with("memory_bytes", used)
    .with("memory_max_bytes", max)
}
