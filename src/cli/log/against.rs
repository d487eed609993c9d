//! `--against`: where two logs part, by halving. Equal hash means equal prefix, so some twenty questions do.

use std::time::Instant;

use serde::Deserialize;

use super::source::{node_of, reader};
use crate::cli::target::NodeName;
use crate::cli::{Context, Failure};
use crate::client::{Client, Request};
use crate::error::Exit;
use crate::log::Reader;
use crate::node::dir::DataDir;
use crate::types::{Hash, Version};

/// The other log.
pub(super) enum Other {
    Directory(Reader),
    Node(Box<Client>),
}

/// How two logs stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The same up to their common end.
    Equal,
    /// This one is the beginning of the other one.
    Behind(Version),
    /// The other one is the beginning of this one.
    Ahead(Version),
    /// The first version that differs.
    Differ(Version),
    /// The oldest version that both have differs already, so the first one is at it or before.
    DifferBefore(Version),
    /// They have no version in common.
    Apart,
}

impl Other {
    /// A directory, if it is one; else a node by name or URL.
    pub(super) fn open(text: &str, context: &Context) -> Result<Self, Failure> {
        let path = std::path::Path::new(text);
        if path.is_dir() {
            return Ok(Self::Directory(reader(&DataDir::open(path)?)?));
        }
        let name = NodeName::parse(text)
            .map_err(|_| Failure::usage(format!("--against {text}: neither a data directory nor a node")))?;
        Ok(Self::Node(Box::new(node_of(&name, context)?)))
    }

    /// The oldest and the last version.
    fn ends(&mut self, context: &Context) -> Result<(Version, Version), Failure> {
        match self {
            Self::Directory(reader) => Ok((reader.oldest(), reader.durable())),
            Self::Node(client) => {
                let status = crate::cli::status::ask(client.url(), context)?;
                let end = |name: &str| status["log"][name].as_u64();
                end("oldest").zip(end("committed")).ok_or_else(|| Failure::bad_answer(client.url()))
            }
        }
    }

    fn hash(&mut self, version: Version, context: &Context) -> Result<Hash, Failure> {
        #[derive(Deserialize)]
        struct Data {
            hash: Hash,
        }
        match self {
            Self::Directory(reader) => reader.hash(version)?.ok_or_else(|| gone(version)),
            Self::Node(client) => {
                let request = Request::get(format!("/log/hash/{version}"));
                let response = client.get(&request, Instant::now() + context.timeout()).map_err(Failure::of_read)?;
                if !response.is_success() {
                    return Err(response.into());
                }
                let data = response.data().and_then(|data| serde_json::from_str::<Data>(data).ok());
                data.map(|data| data.hash).ok_or_else(|| Failure::bad_answer(client.url()))
            }
        }
    }
}

fn gone(version: Version) -> Failure {
    Failure::new(Exit::NotFound, "not_found", format!("version {version} is not there"))
}

/// Compares this log with the other one.
pub(super) fn compare(mine: &Reader, other: &mut Other, context: &Context) -> Result<Relation, Failure> {
    let (other_oldest, other_last) = other.ends(context)?;
    let my_last = mine.durable();
    let first = mine.oldest().max(other_oldest);
    let last = my_last.min(other_last);
    let relation = match my_last.cmp(&other_last) {
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Less => Relation::Behind(other_last),
        std::cmp::Ordering::Greater => Relation::Ahead(other_last),
    };
    if last < first {
        // An empty log is the beginning of every log; compacted ones may have nothing in common.
        return Ok(if my_last == 0 || other_last == 0 { relation } else { Relation::Apart });
    }
    let mut same = |version| -> Result<bool, Failure> {
        Ok(mine.hash(version)?.ok_or_else(|| gone(version))? == other.hash(version, context)?)
    };
    halve(first, last, &mut same).map(|differs| match differs {
        None => relation,
        Some(version) if version == first && first > 1 => Relation::DifferBefore(version),
        Some(version) => Relation::Differ(version),
    })
}

/// The first version in `first..=last` that is not the same, when sameness once lost never comes back.
fn halve<E>(
    first: Version,
    last: Version,
    same: &mut impl FnMut(Version) -> Result<bool, E>,
) -> Result<Option<Version>, E> {
    if same(last)? {
        return Ok(None);
    }
    let (mut low, mut high) = (first, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if same(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_with_few_questions() {
        for differs in [1, 2, 500, 999_999, 1_000_000] {
            let mut asked = 0;
            let found = halve(1, 1_000_000, &mut |version| {
                asked += 1;
                Ok::<_, ()>(version < differs)
            });
            assert_eq!(found, Ok(Some(differs)));
            assert!(asked <= 21, "{asked}");
        }
        assert_eq!(halve(5, 9, &mut |_| Ok::<_, ()>(true)), Ok(None));
    }
}
