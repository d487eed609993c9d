//! What is demanded of the documents of one type, as an operation has set it.

use std::borrow::Cow;

use super::command::{id_of, is_type};
use super::object::{Member, canonical, object, quoted};
use super::problems::{invalid, not_an_object};
use super::rules::Rules;
use super::store::Key;
use crate::error::Problem;
use crate::limits::SCHEMA_FIELDS_MAX;
use crate::types::json::{items, string_of};
use sha2::{Digest as _, Sha256};

/// Canonical values longer than this are indexed by their SHA-256.
const VALUE_BYTES_MAX: usize = 128;

/// The schema of a type.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Fields whose values no two documents share.
    pub(super) unique: Vec<Box<str>>,
    /// Fields that must be there and not null.
    pub(super) required: Vec<Box<str>>,
    /// Fields that hold the identifier of another document.
    pub(super) references: Vec<Reference>,
    /// JSON Schema, as it was sent and as it is checked.
    pub(super) rules: Option<(Box<str>, Rules)>,
}

/// A field that refers to documents of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) field: Box<str>,
    /// The type referred to.
    pub(super) kind: Box<str>,
    pub(super) on_delete: OnDelete,
}

/// What happens to the referring document when the other one is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// Its field becomes null.
    SetNull,
    /// The other one stays.
    Restrict,
}

impl OnDelete {
    const NAMES: [(&'static str, Self); 3] =
        [("cascade", Self::Cascade), ("restrict", Self::Restrict), ("set_null", Self::SetNull)];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// The data of `schema_set`.
pub(super) struct SchemaSet<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) schema: Schema,
}

impl<'a> SchemaSet<'a> {
    pub(super) fn parse(data: &'a str) -> Result<Self, Problem> {
        let mut kind = None;
        let mut schema = Schema::default();
        for member in object(data).ok_or_else(not_an_object)? {
            match &*member.name() {
                "type" => kind = Some(parse_type(member.value(), &["type"])?),
                "unique" => schema.unique = parse_fields(&member)?,
                "required" => schema.required = parse_fields(&member)?,
                "references" => schema.references = parse_references(member.value())?,
                "json_schema" if member.is_null() => {}
                "json_schema" => {
                    let rules = Rules::parse(member.value(), &mut vec!["json_schema".to_owned()])?;
                    schema.rules = Some((member.value().into(), rules));
                }
                name => return Err(invalid(&[name], "is not a member of schema_set")),
            }
        }
        let kind = kind.ok_or_else(|| invalid(&["type"], "is missing"))?;
        let clash = |reference: &&Reference| {
            reference.on_delete == OnDelete::SetNull && schema.required.contains(&reference.field)
        };
        if let Some(reference) = schema.references.iter().find(clash) {
            return Err(invalid(
                &["references", &reference.field, "on_delete"],
                "set_null needs a field that is not required",
            ));
        }
        Ok(Self { kind, schema })
    }
}

fn parse_type<'a>(value: &'a str, path: &[&str]) -> Result<Cow<'a, str>, Problem> {
    string_of(value)
        .filter(|kind| is_type(kind))
        .ok_or_else(|| invalid(path, "must be a type: a small letter, then small letters, digits and _"))
}

fn parse_fields(member: &Member<'_>) -> Result<Vec<Box<str>>, Problem> {
    let name = member.name();
    let path = [&*name];
    let items = items(member.value()).ok_or_else(|| invalid(&path, "must be an array of names of fields"))?;
    if items.len() > SCHEMA_FIELDS_MAX {
        return Err(invalid(&path, &format!("names more than {SCHEMA_FIELDS_MAX} fields")));
    }
    let mut fields: Vec<Box<str>> = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        let path = [&*name, &place.to_string()];
        let field = string_of(item).ok_or_else(|| invalid(&path, "must be the name of a field"))?;
        check_field(&field, &path)?;
        if fields.iter().any(|known| **known == *field) {
            return Err(invalid(&path, "is named twice"));
        }
        fields.push(field.into());
    }
    Ok(fields)
}

fn check_field(field: &str, path: &[&str]) -> Result<(), Problem> {
    match field {
        "" => Err(invalid(path, "a field has a name")),
        "id" => Err(invalid(path, "id is unique and required as it is, and refers to nothing")),
        _ if field.starts_with('_') => Err(invalid(path, "members that begin with _ are Rig's own")),
        _ => Ok(()),
    }
}

fn parse_references(value: &str) -> Result<Vec<Reference>, Problem> {
    let fields = object(value).ok_or_else(|| invalid(&["references"], "must be an object of fields"))?;
    if fields.len() > SCHEMA_FIELDS_MAX {
        return Err(invalid(&["references"], &format!("names more than {SCHEMA_FIELDS_MAX} fields")));
    }
    fields.iter().map(parse_reference).collect()
}

fn parse_reference(member: &Member<'_>) -> Result<Reference, Problem> {
    let field = &*member.name();
    let path = ["references", field];
    check_field(field, &path)?;
    let (mut kind, mut on_delete) = (None, None);
    for part in object(member.value()).ok_or_else(|| invalid(&path, "must be an object of type and on_delete"))? {
        let path = ["references", field, &part.name()];
        match &*part.name() {
            "type" => kind = Some(parse_type(part.value(), &path)?),
            "on_delete" => {
                let word = string_of(part.value()).unwrap_or_default();
                let known = OnDelete::NAMES.iter().find(|(name, _)| *name == word);
                let (_, action) = known.ok_or_else(|| invalid(&path, "must be cascade, restrict or set_null"))?;
                on_delete = Some(*action);
            }
            _ => return Err(invalid(&path, "is not a member of a reference")),
        }
    }
    match (kind, on_delete) {
        (Some(kind), Some(on_delete)) => Ok(Reference { field: field.into(), kind: kind.into(), on_delete }),
        (None, _) => Err(invalid(&["references", field, "type"], "is missing")),
        (_, None) => Err(invalid(&["references", field, "on_delete"], "is missing")),
    }
}

impl Schema {
    /// Whether a change of a document changes an index too.
    pub(super) fn is_indexed(&self) -> bool {
        !self.unique.is_empty() || !self.references.is_empty()
    }

    /// Whether a document can break it in a way that the state cares about.
    pub(super) fn is_checked(&self) -> bool {
        self.is_indexed() || !self.required.is_empty()
    }

    /// Whether this member stands in an index.
    pub(super) fn indexes(&self, member: &Member<'_>) -> bool {
        self.unique.iter().any(|field| member.is(field))
            || self.references.iter().any(|reference| member.is(&reference.field))
    }

    /// Whether something is demanded of one of these members.
    pub(super) fn concerns(&self, members: &[Member<'_>]) -> bool {
        let required = |member: &Member<'_>| self.required.iter().any(|field| member.is(field));
        members.iter().any(|member| self.indexes(member) || required(member))
    }

    /// 422 when a required field is missing.
    pub(super) fn check_required(&self, members: &[Member<'_>]) -> Result<(), Problem> {
        match self.required.iter().find(|field| find(members, field).is_none()) {
            Some(field) => Err(invalid(&[field], "is required")),
            None => Ok(()),
        }
    }

    /// 422 with every place when the JSON Schema is broken.
    pub(super) fn check_rules(&self, text: &str) -> Result<(), Problem> {
        let Some((_, rules)) = &self.rules else { return Ok(()) };
        let faults = rules.faults(text);
        let Some(first) = faults.first() else { return Ok(()) };
        let path: Vec<String> = first.pointer.split('/').skip(1).map(unescape_pointer).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let all = faults.iter().map(|fault| serde_json::json!({ "pointer": fault.pointer, "message": fault.message }));
        Err(invalid(&path, &first.message).with("errors", all.collect::<Vec<_>>()))
    }

    /// The schema in one line, as `schema_set` takes it.
    pub(super) fn to_json(&self, kind: &str) -> String {
        let list = |fields: &[Box<str>]| fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",");
        let references = self.references.iter().map(|reference| {
            let (field, on_delete) = (quoted(&reference.field), reference.on_delete.name());
            format!(r#"{field}:{{"type":"{}","on_delete":"{on_delete}"}}"#, reference.kind)
        });
        let references = references.collect::<Vec<_>>().join(",");
        let (unique, required) = (list(&self.unique), list(&self.required));
        let rules = self.rules.as_ref().map_or("null", |(text, _)| text);
        format!(
            r#"{{"type":"{kind}","unique":[{unique}],"required":[{required}],"references":{{{references}}},"json_schema":{rules}}}"#
        )
    }
}

fn unescape_pointer(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The value of a field; `null` is the same as none.
pub(super) fn find<'a>(members: &[Member<'a>], field: &str) -> Option<&'a str> {
    members.iter().find(|member| member.is(field) && !member.is_null()).map(|member| member.value())
}

/// The text by which a value is unique.
pub(super) fn unique_text(value: &str) -> Cow<'_, str> {
    let text = canonical(value);
    if text.len() <= VALUE_BYTES_MAX {
        return text;
    }
    let hash = crate::types::Hash(Sha256::digest(text.as_bytes()).into());
    // No canonical value begins like this.
    Cow::Owned(format!("#{hash}"))
}

/// The place of a field's value in the index.
pub(super) fn unique_key(members: &[Member<'_>], field: &str) -> Option<Key> {
    find(members, field).map(|value| Key::new(&unique_text(value)))
}

impl Reference {
    /// The identifier that a document refers to by this field.
    pub(super) fn target<'a>(&self, members: &[Member<'a>]) -> Result<Option<Cow<'a, str>>, Problem> {
        let Some(value) = find(members, &self.field) else { return Ok(None) };
        let wrong = || invalid(&[&self.field], &format!("must be the id of a {}", self.kind));
        id_of(value).map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_read_back_from_its_own_text() {
        let text = r#"{"type":"user","unique":["email","a\"b"],"required":["name"],"references":{"team_id":{"type":"team","on_delete":"cascade"},"boss":{"type":"user","on_delete":"set_null"}},"json_schema":{"type":"object"}}"#;
        let Ok(set) = SchemaSet::parse(text) else { panic!() };
        assert_eq!(set.schema.to_json(&set.kind), text);
        let Ok(set) = SchemaSet::parse(r#"{"type":"user"}"#) else { panic!() };
        assert_eq!(
            set.schema.to_json(&set.kind),
            r#"{"type":"user","unique":[],"required":[],"references":{},"json_schema":null}"#,
        );
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_place() {
        let table = [
            ("[]", ""),
            ("{}", "/type"),
            (r#"{"type":"User"}"#, "/type"),
            (r#"{"type":"u","unique":"email"}"#, "/unique"),
            (r#"{"type":"u","unique":[1]}"#, "/unique/0"),
            (r#"{"type":"u","unique":["a","a"]}"#, "/unique/1"),
            (r#"{"type":"u","unique":["_a"]}"#, "/unique/0"),
            (r#"{"type":"u","required":[""]}"#, "/required/0"),
            (r#"{"type":"u","references":[]}"#, "/references"),
            (r#"{"type":"u","references":{"id":{"type":"t","on_delete":"cascade"}}}"#, "/references/id"),
            (r#"{"type":"u","references":{"a":{"type":"t"}}}"#, "/references/a/on_delete"),
            (r#"{"type":"u","references":{"a":{"on_delete":"cascade"}}}"#, "/references/a/type"),
            (r#"{"type":"u","references":{"a":{"type":"t","on_delete":"drop"}}}"#, "/references/a/on_delete"),
            (r#"{"type":"u","references":{"a":{"type":"t","on_delete":"cascade","x":1}}}"#, "/references/a/x"),
            (
                r#"{"type":"u","required":["a"],"references":{"a":{"type":"t","on_delete":"set_null"}}}"#,
                "/references/a/on_delete",
            ),
            (r#"{"type":"u","json_schema":{"pattern":"x"}}"#, "/json_schema/pattern"),
            (r#"{"type":"u","indexes":[]}"#, "/indexes"),
        ];
        for (data, place) in table {
            let Err(problem) = SchemaSet::parse(data) else { panic!("{data}") };
            assert_eq!((problem.status, &problem.extra[0].1), (422, &serde_json::Value::from(place)), "{data}");
        }
    }

    #[test]
    fn a_long_value_is_indexed_by_its_hash() {
        let long = format!("\"{}\"", "x".repeat(1000));
        assert_eq!(unique_text(&long).len(), 65);
        assert_ne!(unique_text(&long), unique_text(&long.replacen('x', "y", 1)));
        assert_eq!(unique_text("\"short\""), "\"short\"");
    }
}
