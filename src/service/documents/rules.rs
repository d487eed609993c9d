//! The subset of JSON Schema that is built in.
//!
//! Checked are `type`, `required`, `properties`, `additionalProperties`, `enum`, `const`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `minLength`, `maxLength`, `items`, `minItems` and `maxItems`, as the
//! 2020-12 edition defines them. Annotations (`title`, `description`, `$schema`, `$id`, `$comment`, `default`,
//! `examples`) are accepted. Every other keyword is refused when the schema is set: a rule that is written down
//! and not checked is worse than none.
//!
//! The complete `jsonschema` crate would bring 48 more crates into every build, more than all the rest of Rig;
//! so it is not used. The rules are checked on the primary in validate, never in apply: a log must not read
//! differently after an upgrade.

use std::cmp::Ordering;

use super::object::{Decimal, canonical, object};
use super::problems::invalid;
use crate::error::Problem;
use crate::limits::JSON_DEPTH_MAX;
use crate::types::json::{items, string_of};

/// Places that are reported at once.
const FAULTS_MAX: usize = 20;

/// One schema.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// `false`: nothing is valid.
    never: bool,
    /// Names of types; empty: any.
    types: Vec<Type>,
    required: Vec<String>,
    properties: Vec<(String, Rules)>,
    additional: Option<Box<Rules>>,
    /// The values of `enum` and `const` in canonical text.
    values: Vec<Vec<String>>,
    bounds: Vec<Bound>,
    length: Counts,
    items: Option<Box<Rules>>,
    count: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    Integer,
    String,
}

/// A bound of a number.
#[derive(Debug)]
struct Bound {
    words: &'static str,
    /// How a number may compare with it.
    admits: fn(Ordering) -> bool,
    number: Decimal,
    text: String,
}

#[derive(Debug, Default)]
struct Counts {
    min: Option<u64>,
    max: Option<u64>,
}

/// What is wrong with a value, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// JSON pointer.
    pub(super) pointer: String,
    /// What is expected there.
    pub(super) message: String,
}

impl Type {
    const NAMES: [(&'static str, Type); 7] = [
        ("null", Type::Null),
        ("boolean", Type::Boolean),
        ("object", Type::Object),
        ("array", Type::Array),
        ("number", Type::Number),
        ("integer", Type::Integer),
        ("string", Type::String),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn admits(self, value: &str) -> bool {
        match value.as_bytes().first() {
            Some(b'n') => self == Type::Null,
            Some(b't' | b'f') => self == Type::Boolean,
            Some(b'{') => self == Type::Object,
            Some(b'[') => self == Type::Array,
            Some(b'"') => self == Type::String,
            _ => match self {
                Type::Number => true,
                Type::Integer => Decimal::parse(value).is_some_and(|number| number.is_integer()),
                _ => false,
            },
        }
    }
}

/// Reading a schema: `path` leads to `value` for messages.
impl Rules {
    pub(super) fn parse(value: &str, path: &mut Vec<String>) -> Result<Self, Problem> {
        if path.len() > 2 * JSON_DEPTH_MAX {
            return Err(fault(path, "is nested too deeply"));
        }
        match value {
            "true" => return Ok(Self::default()),
            "false" => return Ok(Self { never: true, ..Self::default() }),
            _ => {}
        }
        let members = object(value).ok_or_else(|| fault(path, "must be an object, true or false"))?;
        let mut rules = Self::default();
        for member in members {
            path.push(member.name().into_owned());
            rules.keyword(&member.name(), member.value(), path)?;
            path.pop();
        }
        Ok(rules)
    }

    fn keyword(&mut self, name: &str, value: &str, path: &mut Vec<String>) -> Result<(), Problem> {
        match name {
            "type" => self.types = parse_types(value, path)?,
            "required" => self.required = parse_names(value, path)?,
            "properties" => {
                for member in object(value).ok_or_else(|| fault(path, "must be an object"))? {
                    path.push(member.name().into_owned());
                    self.properties.push((member.name().into_owned(), Self::parse(member.value(), path)?));
                    path.pop();
                }
                self.properties.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
            "additionalProperties" => self.additional = Some(Box::new(Self::parse(value, path)?)),
            "items" => self.items = Some(Box::new(Self::parse(value, path)?)),
            "enum" => {
                let values = items(value).ok_or_else(|| fault(path, "must be an array"))?;
                self.values.push(values.into_iter().map(|value| canonical(value).into_owned()).collect());
            }
            "const" => self.values.push(vec![canonical(value).into_owned()]),
            "minimum" => self.bounds.push(parse_bound(value, "at least", Ordering::is_ge, path)?),
            "maximum" => self.bounds.push(parse_bound(value, "at most", Ordering::is_le, path)?),
            "exclusiveMinimum" => self.bounds.push(parse_bound(value, "more than", Ordering::is_gt, path)?),
            "exclusiveMaximum" => self.bounds.push(parse_bound(value, "less than", Ordering::is_lt, path)?),
            "minLength" => self.length.min = Some(parse_count(value, path)?),
            "maxLength" => self.length.max = Some(parse_count(value, path)?),
            "minItems" => self.count.min = Some(parse_count(value, path)?),
            "maxItems" => self.count.max = Some(parse_count(value, path)?),
            "title" | "description" | "$schema" | "$id" | "$comment" | "default" | "examples" => {}
            _ => {
                let hint =
                    "leave it out, or check it before the operation is sent; rig schema --help lists what is built in";
                return Err(fault(path, &format!("the keyword {name} is not supported"))
                    .with("keyword", name)
                    .hint(hint));
            }
        }
        Ok(())
    }
}

fn fault(path: &[String], what: &str) -> Problem {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    invalid(&path, what)
}

fn parse_types(value: &str, path: &[String]) -> Result<Vec<Type>, Problem> {
    let names = items(value).unwrap_or_else(|| vec![value]);
    let known = |name: &str| {
        let name = string_of(name)?;
        Type::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    };
    let types: Option<Vec<_>> = names.into_iter().map(known).collect();
    types.filter(|types| !types.is_empty()).ok_or_else(|| {
        let names: Vec<_> = Type::NAMES.iter().map(|(name, _)| *name).collect();
        fault(path, &format!("must be one or more of: {}", names.join(", ")))
    })
}

fn parse_names(value: &str, path: &[String]) -> Result<Vec<String>, Problem> {
    let names =
        items(value).and_then(|names| names.into_iter().map(|name| Some(string_of(name)?.into_owned())).collect());
    names.ok_or_else(|| fault(path, "must be an array of names"))
}

fn parse_bound(
    value: &str,
    words: &'static str,
    admits: fn(Ordering) -> bool,
    path: &[String],
) -> Result<Bound, Problem> {
    let number = Decimal::parse(value).ok_or_else(|| fault(path, "must be a number"))?;
    Ok(Bound { words, admits, number, text: value.to_owned() })
}

fn parse_count(value: &str, path: &[String]) -> Result<u64, Problem> {
    value.parse().map_err(|_| fault(path, "must be a whole number, 0 or more"))
}

/// Checking a value.
impl Rules {
    /// What is wrong with a document. Its `id` is Rig's: `additionalProperties` does not forbid it.
    pub(super) fn faults(&self, document: &str) -> Vec<Fault> {
        let mut faults = Faults { found: Vec::new(), path: Vec::new() };
        self.check(document, &mut faults);
        faults.found
    }

    fn check(&self, value: &str, faults: &mut Faults) {
        if faults.found.len() >= FAULTS_MAX || faults.path.len() > JSON_DEPTH_MAX {
            return;
        }
        if self.never {
            return faults.add("nothing may stand here".to_owned());
        }
        if !self.types.is_empty() && !self.types.iter().any(|kind| kind.admits(value)) {
            let names: Vec<_> = self.types.iter().map(|kind| kind.name()).collect();
            return faults.add(format!("must be of type {}", names.join(" or ")));
        }
        if !self.values.is_empty() {
            let text = canonical(value);
            if self.values.iter().any(|values| !values.iter().any(|known| *known == text)) {
                faults.add(format!("must be one of: {}", self.values.concat().join(", ")));
            }
        }
        match value.as_bytes().first() {
            Some(b'{') => self.check_object(value, faults),
            Some(b'[') => self.check_array(value, faults),
            Some(b'"') => self.check_string(value, faults),
            Some(b'-' | b'0'..=b'9') => self.check_number(value, faults),
            _ => {}
        }
    }

    fn check_object(&self, value: &str, faults: &mut Faults) {
        if self.required.is_empty() && self.properties.is_empty() && self.additional.is_none() {
            return;
        }
        let members = object(value).unwrap_or_default();
        let mut names: Vec<_> = members.iter().map(|member| member.name()).collect();
        names.sort_unstable();
        for name in self.required.iter().filter(|name| names.binary_search_by(|known| (**known).cmp(name)).is_err()) {
            faults.inside(name, |faults| faults.add("is missing".to_owned()));
        }
        let is_document = faults.path.is_empty();
        for member in &members {
            let name = &*member.name();
            let rules = match self.properties.binary_search_by(|(known, _)| (**known).cmp(name)) {
                Ok(place) => Some(&self.properties[place].1),
                Err(_) if is_document && name == "id" => None,
                Err(_) => self.additional.as_deref(),
            };
            if let Some(rules) = rules {
                faults.inside(name, |faults| rules.check(member.value(), faults));
            }
        }
    }

    fn check_array(&self, value: &str, faults: &mut Faults) {
        if self.items.is_none() && self.count.is_free() {
            return;
        }
        let items = items(value).unwrap_or_default();
        self.count.check(items.len(), "items", faults);
        if let Some(rules) = &self.items {
            for (place, item) in items.into_iter().enumerate() {
                faults.inside(&place.to_string(), |faults| rules.check(item, faults));
            }
        }
    }

    fn check_string(&self, value: &str, faults: &mut Faults) {
        if !self.length.is_free() {
            let length = string_of(value).map_or(0, |text| text.chars().count());
            self.length.check(length, "characters", faults);
        }
    }

    fn check_number(&self, value: &str, faults: &mut Faults) {
        for bound in &self.bounds {
            if !Decimal::parse(value).is_some_and(|number| (bound.admits)(number.cmp(&bound.number))) {
                faults.add(format!("must be {} {}", bound.words, bound.text));
            }
        }
    }
}

impl Counts {
    fn is_free(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    fn check(&self, found: usize, of_what: &str, faults: &mut Faults) {
        let found = found as u64;
        if let Some(min) = self.min.filter(|min| found < *min) {
            faults.add(format!("must have at least {min} {of_what}"));
        }
        if let Some(max) = self.max.filter(|max| found > *max) {
            faults.add(format!("must have at most {max} {of_what}"));
        }
    }
}

struct Faults {
    found: Vec<Fault>,
    path: Vec<String>,
}

impl Faults {
    fn add(&mut self, message: String) {
        if self.found.len() < FAULTS_MAX {
            let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
            self.found.push(Fault { pointer: super::problems::pointer(&path), message });
        }
    }

    fn inside(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        check(self);
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(schema: &str, document: &str) -> Vec<(String, String)> {
        let rules = Rules::parse(schema, &mut Vec::new()).unwrap();
        rules.faults(document).into_iter().map(|fault| (fault.pointer, fault.message)).collect()
    }

    #[test]
    fn each_keyword_lets_pass_what_it_should_and_nothing_else() {
        let table = [
            (r#"{"type":"string"}"#, r#""x""#, "1"),
            (r#"{"type":"integer"}"#, "1.0", "1.5"),
            (r#"{"type":"number"}"#, "1.5", "\"1\""),
            (r#"{"type":["null","boolean"]}"#, "null", "0"),
            (r#"{"type":"object"}"#, "{}", "[]"),
            (r#"{"type":"array"}"#, "[]", "{}"),
            (r#"{"required":["a"]}"#, r#"{"a":null}"#, r#"{"b":1}"#),
            (r#"{"properties":{"b":{"type":"null"},"a":{"type":"null"}}}"#, r#"{"a":null}"#, r#"{"b":1}"#),
            (r#"{"properties":{"a":{}},"additionalProperties":false}"#, r#"{"a":1,"id":"x"}"#, r#"{"b":1}"#),
            (r#"{"additionalProperties":{"type":"string"}}"#, r#"{"b":"x"}"#, r#"{"b":1}"#),
            (r#"{"enum":[1,"b",{"c":1}]}"#, r#"{"c":1.0}"#, "2"),
            (r#"{"const":"b"}"#, r#""\u0062""#, r#""c""#),
            (r#"{"minimum":9007199254740993}"#, "9007199254740993", "9007199254740992"),
            (r#"{"maximum":-1}"#, "-1.0", "-0.9"),
            (r#"{"exclusiveMinimum":0}"#, "1e-300", "0"),
            (r#"{"exclusiveMaximum":10}"#, "9.99", "1e1"),
            (r#"{"minLength":2}"#, r#""\u00e9\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#"{"maxLength":1}"#, r#""\ud83d\ude00""#, r#""ab""#),
            (r#"{"items":{"type":"null"}}"#, "[null,null]", "[null,1]"),
            (r#"{"minItems":1}"#, "[0]", "[]"),
            (r#"{"maxItems":1}"#, "[0]", "[0,1]"),
            (r#"{"properties":{"a":true}}"#, r#"{"a":1}"#, "skip"),
            (r#"{"properties":{"a":false}}"#, "{}", r#"{"a":1}"#),
        ];
        for (schema, good, bad) in table {
            assert_eq!(faults(schema, good), [], "{schema} {good}");
            if bad != "skip" {
                assert_eq!(faults(schema, bad).len(), 1, "{schema} {bad}");
            }
        }
    }

    #[test]
    fn a_rule_for_one_type_says_nothing_about_the_others() {
        let schema = r#"{"minimum":5,"minLength":5,"minItems":5,"required":["a"]}"#;
        for value in ["null", "true"] {
            assert_eq!(faults(schema, value), []);
        }
        for value in ["1", "\"x\"", "[]", "{}"] {
            assert_eq!(faults(schema, value).len(), 1, "{value}");
        }
    }

    #[test]
    fn the_place_is_named_by_a_pointer() {
        let schema =
            r#"{"properties":{"a/b":{"items":{"properties":{"id":{"type":"integer"}},"additionalProperties":false}}}}"#;
        assert_eq!(
            faults(schema, r#"{"a/b":[{},{"id":"x","y":1}]}"#),
            [
                ("/a~1b/1/id".to_owned(), "must be of type integer".to_owned()),
                ("/a~1b/1/y".to_owned(), "nothing may stand here".to_owned()),
            ],
        );
    }

    #[test]
    fn what_would_not_be_checked_is_refused_by_name() {
        for (schema, place) in [
            (r#"{"pattern":"^a"}"#, "/pattern"),
            (r#"{"properties":{"a":{"format":"email"}}}"#, "/properties/a/format"),
            (r##"{"$ref":"#/x"}"##, "/$ref"),
            (r#"{"type":"text"}"#, "/type"),
            (r#"{"type":[]}"#, "/type"),
            (r#"{"items":[{}]}"#, "/items"),
            (r#"{"minLength":-1}"#, "/minLength"),
            (r#"{"minimum":"1"}"#, "/minimum"),
            (r#"{"enum":1}"#, "/enum"),
            (r#"{"required":"a"}"#, "/required"),
            ("1", ""),
        ] {
            let problem = Rules::parse(schema, &mut Vec::new()).unwrap_err();
            assert_eq!((problem.status, &problem.extra[0].1), (422, &serde_json::Value::from(place)), "{schema}");
        }
        let annotated =
            r#"{"title":"t","description":"d","$schema":"s","$id":"i","$comment":"c","default":1,"examples":[]}"#;
        assert_eq!(faults(annotated, "{}"), []);
    }
}
