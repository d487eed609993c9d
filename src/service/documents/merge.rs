//! RFC 7396 merge patch on text: what the patch does not name stays as it was spelled, where it stood.
//!
//! A member that is replaced keeps its place; new members come after the old ones, in the order of the patch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::object::{Member, object};

/// Patches with more members than this are looked up by a sorted index.
const SCAN_MAX: usize = 16;

/// The object `target` after `patch`.
pub(super) fn merge(target: &[Member<'_>], patch: &[Member<'_>], capacity: usize) -> String {
    let mut out = String::with_capacity(capacity);
    merge_members(target, patch, crate::limits::JSON_DEPTH_MAX, &mut out);
    out
}

fn merge_members(target: &[Member<'_>], patch: &[Member<'_>], depth: usize, out: &mut String) {
    out.push('{');
    let start = out.len();
    let changes = Names::new(patch);
    for member in target {
        match changes.find(&member.name()) {
            None => separate(out, start).push_str(member.text),
            Some(change) if change.is_null() => {}
            Some(change) => {
                let separated = separate(out, start);
                separated.push_str(&member.text[..member.text.len() - member.value().len()]);
                merge_value(Some(member.value()), change.value(), depth, separated);
            }
        }
    }
    let known = Names::new(target);
    for change in patch.iter().filter(|change| !change.is_null() && known.find(&change.name()).is_none()) {
        let separated = separate(out, start);
        separated.push_str(&change.text[..change.text.len() - change.value().len()]);
        merge_value(None, change.value(), depth, separated);
    }
    out.push('}');
}

/// A patch that is an object is merged, into nothing where there was no object; its nulls never stay.
fn merge_value(target: Option<&str>, patch: &str, depth: usize, out: &mut String) {
    match object(patch) {
        Some(changes) if depth > 0 => {
            let members = target.and_then(object).unwrap_or_default();
            merge_members(&members, &changes, depth - 1, out);
        }
        _ => out.push_str(patch),
    }
}

fn separate(out: &mut String, start: usize) -> &mut String {
    if out.len() > start {
        out.push(',');
    }
    out
}

/// Members by name.
enum Names<'m, 'a> {
    Few(&'m [Member<'a>]),
    Many(BTreeMap<Cow<'a, str>, &'m Member<'a>>),
}

impl<'m, 'a> Names<'m, 'a> {
    fn new(members: &'m [Member<'a>]) -> Self {
        if members.len() <= SCAN_MAX {
            Self::Few(members)
        } else {
            Self::Many(members.iter().map(|member| (member.name(), member)).collect())
        }
    }

    fn find(&self, name: &str) -> Option<&'m Member<'a>> {
        match self {
            Self::Few(members) => members.iter().find(|member| member.is(name)),
            Self::Many(index) => index.get(name).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn patched(target: &str, patch: &str) -> String {
        merge(&object(target).unwrap(), &object(patch).unwrap(), 64)
    }

    /// Appendix A of RFC 7396, the cases whose two sides are objects, and a deep one.
    #[test]
    fn the_examples_of_the_standard_come_out_right() {
        let table = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (
                r#"{"a":{"b":{"c":{"d":1,"e":2}}}}"#,
                r#"{"a":{"b":{"c":{"d":null,"x":{"y":null}}}}}"#,
                r#"{"a":{"b":{"c":{"e":2,"x":{}}}}}"#,
            ),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (
                r#"{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}"#,
                r#"{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}"#,
                r#"{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}"#,
            ),
        ];
        for (target, patch, expected) in table {
            assert_eq!(patched(target, patch), expected, "{target} {patch}");
        }
    }

    #[test]
    fn what_is_not_named_keeps_its_spelling_and_place() {
        let target = r#"{"n":1.50e+1,"\u0061":"\u00e9\/","o":{"x":1E400,"y":0}}"#;
        assert_eq!(
            patched(target, r#"{"o":{"y":2},"z":-0}"#),
            r#"{"n":1.50e+1,"\u0061":"\u00e9\/","o":{"x":1E400,"y":2},"z":-0}"#,
        );
        assert_eq!(patched(target, r#"{"a":1}"#), r#"{"n":1.50e+1,"\u0061":1,"o":{"x":1E400,"y":0}}"#);
    }

    /// The pseudo code of the standard, on trees.
    fn reference(target: &Value, patch: &Value) -> Value {
        let Value::Object(changes) = patch else { return patch.clone() };
        let mut merged = target.as_object().cloned().unwrap_or_default();
        for (name, change) in changes {
            if change.is_null() {
                merged.remove(name);
            } else {
                let before = merged.get(name).cloned().unwrap_or(Value::Null);
                merged.insert(name.clone(), reference(&before, change));
            }
        }
        Value::Object(merged)
    }

    mod random {
        use super::*;
        use proptest::prelude::*;

        fn value() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![Just(Value::Null), (0..3_i32).prop_map(Value::from), Just(Value::from("x"))];
            leaf.prop_recursive(3, 32, 8, |inner| {
                prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), members(inner, 0..4),]
            })
        }

        fn members(inner: impl Strategy<Value = Value>, count: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
            prop::collection::btree_map("[a-e]{1,2}", inner, count)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

            #[test]
            fn merging_text_is_merging_values(target in members(value(), 0..20), patch in members(value(), 0..20)) {
                let merged = patched(&target.to_string(), &patch.to_string());
                prop_assert_eq!(serde_json::from_str::<Value>(&merged).unwrap(), reference(&target, &patch));
            }
        }
    }
}
