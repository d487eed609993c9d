//! Users with a unique e-mail, and their goals: a service of one's own, in one process with its node.
//!
//! `users DIR [--listen HOST:PORT] [--role primary|replica] [--peer URL]...` prints its URL. Writes go to POST /do, reads
//! are GET /users/ID, /users?email=, /users/ID/goals. `users --stdio` is the service alone, for `rig service check`.

use rig::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
/// A user (`id`, `name`, `email`) or a goal (`id`, `user`, `title`); every member is a text.
type Item = BTreeMap<String, String>;
#[derive(Default)]
pub(crate) struct Users {
    version: Version,
    items: Items,
}

/// By `user/ID` and `goal/ID`; ordered, so that equal states have equal snapshots.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Items(BTreeMap<String, Item>);
fn problem<T>(code: Code, detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(code, detail))
}
/// `user_create {…}` as kind, verb and members.
fn parse(operation: &Operation) -> Result<(&str, &str, Item), Problem> {
    let (kind, verb) = match operation.method.split_once('_') {
        Some((kind @ ("user" | "goal"), verb @ ("create" | "update" | "delete"))) => (kind, verb),
        _ => return problem(Code::UnknownMethod, format!("there is no method `{}`", operation.method)),
    };
    let not_texts = |error| Problem::new(Code::Invalid, format!("no object of texts: {error}"));
    let mut members: Item = serde_json::from_str(&operation.data).map_err(not_texts)?;
    members.entry("id".to_owned()).or_default();
    Ok((kind, verb, members))
}

impl Items {
    /// All of a kind, or those where a member has this value: a walk, where many items would want an index.
    fn list(&self, kind: &str, name: &str, value: Option<&str>) -> Value {
        let wanted = |(key, item): &(&String, &Item)| key.starts_with(kind) && value.is_none_or(|it| item[name] == it);
        json!({ "items": self.0.iter().filter(wanted).map(|(_, item)| item).collect::<Vec<_>>() })
    }
    /// What the item with this key becomes, `None` when it is deleted.
    fn judge(&self, (kind, verb, members): (&str, &str, &Item), key: &str) -> Result<Option<Item>, Problem> {
        let mut item = match (verb, self.0.get(key)) {
            _ if members["id"].is_empty() => return problem(Code::Invalid, "`id` is missing"),
            ("create", Some(_)) => return problem(Code::Exists, format!("{key} exists")),
            ("create", None) => Item::from([("id".to_owned(), members["id"].clone())]),
            (_, None) => return problem(Code::NotFound, format!("there is no {key}")),
            ("delete", Some(_)) => return Ok(None),
            (_, Some(item)) => item.clone(),
        };
        for name in if kind == "user" { ["name", "email"] } else { ["user", "title"] } {
            let value = members.get(name).or(item.get(name)).cloned();
            let value = value.ok_or_else(|| Problem::new(Code::Invalid, format!("`{name}` is missing")))?;
            let has_it = |other: &Item| other.get("email") == Some(&value) && other["id"] != item["id"];
            let user = format!("user/{value}");
            match name {
                "email" if self.0.values().any(has_it) => return problem(Code::Unique, format!("{value} is taken")),
                "user" if !self.0.contains_key(&user) => return problem(Code::NotFound, format!("there is no {user}")),
                _ => item.insert(name.to_owned(), value),
            };
        }
        Ok(Some(item))
    }
    fn apply(&mut self, operation: &Operation) -> Result<Outcome, Problem> {
        let (kind, verb, members) = parse(operation)?;
        let (id, key) = (&members["id"], format!("{kind}/{}", members["id"]));
        match self.judge((kind, verb, &members), &key)? {
            Some(item) => _ = self.0.insert(key, item),
            // A user takes its goals along.
            None => self.0.retain(|other, item| *other != key && (kind == "goal" || item.get("user") != Some(id))),
        }
        Ok(Outcome::done(json!({ "id": id }).to_string()))
    }
}

impl Service for Users {
    fn kind(&self) -> &'static str {
        "users"
    }
    fn version(&self) -> Version {
        self.version
    }
    fn resources(&self, operation: &Operation) -> Result<Resources, Problem> {
        let (kind, verb, members) = parse(operation)?;
        let value = |name| members.get(name).filter(|value| !value.is_empty());
        let key = |kind, name| value(name).map(|value| format!("{kind}/{value}"));
        let other = match (kind, verb) {
            // Which goals it takes along the operation does not say.
            ("user", "delete") => return Ok(Resources::Alone),
            ("user", _) => key("email", "email").map(Resource::exclusive),
            _ => key("user", "user").map(Resource::shared),
        };
        Ok(Resources::Keys(key(kind, "id").map(Resource::exclusive).into_iter().chain(other).collect()))
    }
    fn validate(&self, operation: &Operation, context: &Context<'_>) -> Result<Valid, Problem> {
        let (kind, verb, mut members) = parse(operation)?;
        if verb == "create" && members["id"].is_empty() {
            members.insert("id".to_owned(), (context.fresh_id)().to_string());
        }
        self.items.judge((kind, verb, &members), &format!("{kind}/{}", members["id"]))?;
        Ok(Valid { data: Some(json!(members).to_string().into()) })
    }
    fn apply(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, ServiceError> {
        apply_each(&mut self.version, entries, |operation, _| {
            self.items.apply(operation).unwrap_or_else(|problem| Outcome::failed(&problem))
        })
    }
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(Sealed::new(self.version, json!(self.items).to_string()))
    }
    fn restore(&mut self, version: Version, input: &mut dyn std::io::Read) -> Result<(), ServiceError> {
        let items = serde_json::from_slice(&Sealed::read(version, input)?);
        *self = Self { version, items: items.map_err(|_| ServiceError::Damaged { what: "items", offset: 0 })? };
        Ok(())
    }
    fn read(&self, path: &str, query: &str) -> Option<Result<Reply, Problem>> {
        let path = rig::percent_decode(path, false);
        let user = |id: &str| self.items.0.get(&format!("user/{id}"));
        let found = match path.split('/').skip(1).collect::<Vec<_>>()[..] {
            ["users"] => {
                let email = query.strip_prefix("email=").map(|email| rig::percent_decode(email, true));
                self.items.list("user/", "email", email.as_deref())
            }
            ["users", id] => json!(user(id)?),
            ["users", id, "goals"] => user(id).map(|_| self.items.list("goal/", "user", Some(id)))?,
            _ => return None,
        };
        Some(Ok(Reply::json(found.to_string())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = words.next().ok_or("users --stdio | DIR [--listen HOST:PORT] [--role ROLE] [--peer URL]...")?;
    if dir == "--stdio" {
        let (input, output) = (std::io::stdin().lock(), std::io::stdout());
        return Ok(rig::service::protocol::serve(&mut Users::default(), "users", input, output)?);
    }
    let mut node = rig::Node::builder().data_dir(dir).service(|| Box::new(Users::default()));
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        node = match &*flag {
            "--listen" => node.listen(value),
            "--role" => node.role(value.parse()?),
            "--peer" => node.peer(value),
            _ => return Err(format!("there is no flag {flag}").into()),
        };
    }
    Ok(node.run(|ready| println!("{}", ready.http))?)
}
