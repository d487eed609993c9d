//! Which records of a log are wanted: by method, by document, by time. The same for `rig log dump` and `GET /log`.

use super::json;
use super::{Micros, Record};

/// Conditions that must all hold; none of them wants everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A method, in which `*` stands for any text and `?` for one character.
    pub method: Option<String>,
    /// The type of a document: its `_create`, `_update`, `_put` and `_delete`.
    pub type_name: Option<String>,
    /// The id of a document.
    pub id: Option<String>,
    /// Not before.
    pub since: Option<Micros>,
    /// Not after.
    pub until: Option<Micros>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the record is wanted.
    pub fn wants(&self, record: &Record) -> bool {
        let method = &record.operation.method;
        self.since.is_none_or(|since| since <= record.time)
            && self.until.is_none_or(|until| record.time <= until)
            && self.method.as_deref().is_none_or(|pattern| matches(pattern, method))
            && self.type_name.as_deref().is_none_or(|type_name| type_of(method) == Some(type_name))
            && self.id.as_deref().is_none_or(|id| {
                type_of(method).is_some()
                    && json::get(&record.operation.data, "id")
                        .and_then(json::string_of)
                        .is_some_and(|found| found == id)
            })
    }
}

/// The type of the document that a method of the documents service is about.
fn type_of(method: &str) -> Option<&str> {
    let (type_name, verb) = method.rsplit_once('_')?;
    matches!(verb, "create" | "update" | "put" | "delete").then_some(type_name)
}

/// Whether a pattern with `*` and `?` is the whole text. Greedy with one step back, so linear in practice.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Hash, Kind, Operation};

    #[test]
    fn a_pattern_stands_for_the_whole_method() {
        for (pattern, text, expected) in [
            ("user_*", "user_create", true),
            ("*_create", "user_create", true),
            ("*", "x", true),
            ("user_?reate", "user_create", true),
            ("user", "user_create", false),
            ("*_*_x", "a_b_c", false),
            ("u*r*e", "user_create", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_history_of_one_document_is_what_names_its_type_and_id() {
        let record = |method: &str, data: &str| Record {
            version: 1,
            epoch: Epoch::default(),
            time: 50,
            commit_upto: 0,
            kind: Kind::Operation,
            key: None,
            request_hash: None,
            actor: "".into(),
            operation: Operation::new(method, data),
            hash: Hash::default(),
        };
        let alice = Filter { type_name: Some("user".into()), id: Some("alice".into()), ..Filter::default() };
        assert!(alice.wants(&record("user_create", r#"{"name":"A","id":"\u0061lice"}"#)));
        assert!(alice.wants(&record("user_delete", r#"{"id":"alice"}"#)));
        assert!(!alice.wants(&record("user_delete", r#"{"id":"bob"}"#)));
        assert!(!alice.wants(&record("user_group_create", r#"{"id":"alice"}"#)));
        assert!(!alice.wants(&record("schema_set", r#"{"type":"user","id":"alice"}"#)));
        let early = Filter { until: Some(49), ..Filter::default() };
        assert!(!early.wants(&record("user_delete", "{}")));
    }
}
