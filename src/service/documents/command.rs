//! What an operation asks of the documents: its method taken apart, its data read as far as needed.

use std::borrow::Cow;

use super::object::{Member, object, quoted};
use super::problems::{invalid, not_an_object};
use super::schema::SchemaSet;
use crate::error::{Code, Problem};
use crate::limits::{ID_BYTES_MAX, TYPE_BYTES_MAX};
use crate::types::json::string_of;
use crate::types::{Operation, Version};

/// The operation that sets the schema of a type.
const SCHEMA_SET: &str = "schema_set";
/// The one member with an underscore that a client may send.
const IF_VERSION: &str = "_if_version";

/// An operation, understood.
pub(super) enum Command<'a> {
    /// `<type>_create | _update | _put | _delete`.
    Write(Write<'a>),
    /// `schema_set`.
    Schema(Box<SchemaSet<'a>>),
}

/// What to do with one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It must not be there.
    Create,
    /// Merge patch of what is there.
    Update,
    /// There or not, this is what it says from now on.
    Put,
    /// It must be there.
    Delete,
}

/// A change of one document.
pub(super) struct Write<'a> {
    pub(super) kind: &'a str,
    pub(super) action: Action,
    /// `None` only in a create whose identifier is still to be made.
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) if_version: Option<Version>,
    /// Members to store or to merge: without `_if_version`, in a patch without `id` too.
    pub(super) members: Vec<Member<'a>>,
    /// The data as it came.
    data: &'a str,
}

impl<'a> Command<'a> {
    pub(super) fn parse(operation: &'a Operation) -> Result<Self, Problem> {
        Self::parse_parts(&operation.method, &operation.data)
    }

    /// The same from a method and data that may live apart.
    pub(super) fn parse_parts(method: &'a str, data: &'a str) -> Result<Self, Problem> {
        Ok(match Method::parse(method)? {
            Method::Schema => Self::Schema(Box::new(SchemaSet::parse(data)?)),
            Method::Write(kind, action) => Self::Write(Write::parse(kind, action, data)?),
        })
    }
}

/// A method, taken apart.
pub(super) enum Method<'a> {
    /// `schema_set`.
    Schema,
    /// What to do with a document of which type.
    Write(&'a str, Action),
}

impl<'a> Method<'a> {
    pub(super) fn parse(method: &'a str) -> Result<Self, Problem> {
        if method.starts_with("rig_") {
            return Err(Problem::new(Code::Invalid, format!("{method}: methods that begin with rig_ are Rig's own")));
        }
        if method == SCHEMA_SET {
            return Ok(Self::Schema);
        }
        split_method(method).map(|(kind, action)| Self::Write(kind, action)).ok_or_else(|| unknown_method(method))
    }
}

fn split_method(method: &str) -> Option<(&str, Action)> {
    // Asked three times for an operation, and faster than `rsplit_once`.
    let place = method.bytes().rposition(|byte| byte == b'_')?;
    let (kind, verb) = (&method[..place], &method[place + 1..]);
    let action = match verb {
        "create" => Action::Create,
        "update" => Action::Update,
        "put" => Action::Put,
        "delete" => Action::Delete,
        _ => return None,
    };
    is_type(kind).then_some((kind, action))
}

/// `[a-z][a-z0-9_]{0,62}`.
pub(super) fn is_type(text: &str) -> bool {
    text.len() <= TYPE_BYTES_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// `[A-Za-z0-9._~-]{1,128}`, and neither `.` nor `..`, which no path can name.
pub(super) fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|byte| IN_ID[usize::from(byte)])
}

/// The bytes of identifiers.
const IN_ID: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        byte += 1;
    }
    table
};

/// The identifier that a value is; `None` for any other value.
pub(super) fn id_of(value: &str) -> Option<Cow<'_, str>> {
    // No identifier needs an escape or has a quote in it: what stands between the quotes is one, or something else.
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.filter(|inner| is_id(inner)) {
        Some(id) => Some(Cow::Borrowed(id)),
        None => string_of(value).filter(|id| is_id(id)),
    }
}

fn unknown_method(method: &str) -> Problem {
    Problem::new(Code::UnknownMethod, format!("the documents service has no method {method}"))
        .hint("use TYPE_create, TYPE_update, TYPE_put or TYPE_delete (TYPE is [a-z][a-z0-9_]*), or schema_set")
}

impl<'a> Write<'a> {
    pub(super) fn parse(kind: &'a str, action: Action, data: &'a str) -> Result<Self, Problem> {
        let mut members = object(data).ok_or_else(not_an_object)?;
        let (mut id, mut if_version) = (None, None);
        for member in &members {
            match &*member.name() {
                "id" => id = Some(parse_id(member.value())?),
                IF_VERSION => if_version = Some(parse_if_version(member.value())?),
                name if name.starts_with('_') => {
                    return Err(invalid(&[name], "members that begin with _ are Rig's own"));
                }
                name if action == Action::Delete => {
                    return Err(invalid(&[name], "a delete takes nothing but id and _if_version"));
                }
                _ => {}
            }
        }
        if id.is_none() && action != Action::Create {
            return Err(invalid(&["id"], "is missing"));
        }
        if if_version.is_some() || action == Action::Update {
            members.retain(|member| !member.is(IF_VERSION) && (action != Action::Update || !member.is("id")));
        }
        Ok(Self { kind, action, id, if_version, members, data })
    }

    /// What a create or put stores.
    pub(super) fn body(&self) -> Cow<'a, str> {
        if self.if_version.is_none() {
            return Cow::Borrowed(self.data);
        }
        let mut body = String::with_capacity(self.data.len());
        for member in &self.members {
            body.push(if body.is_empty() { '{' } else { ',' });
            body.push_str(member.text);
        }
        body.push_str(if body.is_empty() { "{}" } else { "}" });
        Cow::Owned(body)
    }

    /// Bytes of the data as it came.
    pub(super) fn data_len(&self) -> usize {
        self.data.len()
    }

    /// The data with an identifier, put first.
    pub(super) fn with_id(&self, id: &str) -> String {
        let rest = self.data.strip_prefix('{').unwrap_or(self.data);
        let comma = if rest == "}" { "" } else { "," };
        format!("{{\"id\":{}{comma}{rest}", quoted(id))
    }
}

fn parse_id(value: &str) -> Result<Cow<'_, str>, Problem> {
    id_of(value).ok_or_else(|| match string_of(value) {
        None => invalid(&["id"], "must be a string"),
        Some(_) => invalid(&["id"], "must be 1 to 128 characters out of A-Z a-z 0-9 . _ ~ -, and not only . or .."),
    })
}

fn parse_if_version(value: &str) -> Result<Version, Problem> {
    value.parse().map_err(|_| invalid(&[IF_VERSION], "must be a version: 0 (not there yet), 1, 2, ..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_split_at_its_last_underscore() {
        assert_eq!(split_method("user_create"), Some(("user", Action::Create)));
        assert_eq!(split_method("api_key_delete"), Some(("api_key", Action::Delete)));
        assert_eq!(split_method("user_put_update"), Some(("user_put", Action::Update)));
        for method in ["create", "_create", "user", "user_", "user_created", "User_create", "1a_put", "user-x_put", ""]
        {
            assert_eq!(split_method(method), None, "{method}");
        }
    }

    #[test]
    fn an_identifier_is_put_first_and_the_rest_stays() {
        let Ok(write) = Write::parse("user", Action::Create, r#"{"name":"A"}"#) else { panic!() };
        assert_eq!(write.with_id("x"), r#"{"id":"x","name":"A"}"#);
        let Ok(write) = Write::parse("user", Action::Create, "{}") else { panic!() };
        assert_eq!(write.with_id("x"), r#"{"id":"x"}"#);
    }

    #[test]
    fn the_precondition_is_not_stored() {
        let Ok(write) = Write::parse("user", Action::Put, r#"{"a":1,"_if_version":3,"id":"x"}"#) else { panic!() };
        assert_eq!((write.if_version, &*write.body()), (Some(3), r#"{"a":1,"id":"x"}"#));
        let Ok(write) = Write::parse("user", Action::Create, r#"{"_if_version":0}"#) else { panic!() };
        assert_eq!(&*write.body(), "{}");
    }
}
