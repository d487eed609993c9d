//! What happened on this node and in its cluster, as lines for people and programs: `GET /events`.
//!
//! Among them are the changes of the objects (`objects`). The newest are kept in memory, numbered. A follower that
//! falls behind further than that misses some, and sees it by the numbers.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::hook::{Hook, Told};
use super::objects;
use crate::replication::Event;
use crate::types::{Micros, format_time};

/// Events that are kept.
const KEPT: usize = 1024;

/// The newest events.
#[derive(Debug, Default)]
pub(super) struct Events {
    next: u64,
    lines: VecDeque<(u64, Box<str>)>,
    counts: BTreeMap<&'static str, u64>,
    /// What is there, as it was told last.
    objects: Vec<Value>,
    hook: Option<Hook>,
}

impl Events {
    /// No events yet; the hook is told each of them.
    pub(super) fn new(hook: Option<Hook>) -> Self {
        Self { hook, ..Self::default() }
    }

    /// Adds one; gives back its line.
    pub(super) fn add(&mut self, name: &'static str, facts: Map<String, Value>, node: &str, now: Micros) -> &str {
        self.next += 1;
        *self.counts.entry(name).or_default() += 1;
        let mut line =
            json!({ "type": "event", "seq": self.next, "time": format_time(now), "node": node, "event": name });
        if let Some(object) = line.as_object_mut() {
            object.extend(facts);
        }
        let line = line.to_string();
        if let Some(hook) = &self.hook {
            let (time, node) = (format_time(now), node.to_owned());
            hook.tell(Told { seq: self.next, time, node, event: name, line: line.clone() });
        }
        self.keep(line);
        self.lines.back().map_or("", |(_, line)| line)
    }

    /// Adds what differs from the objects that were told last; whether there is anything.
    pub(super) fn see(&mut self, objects: Vec<Value>, node: &str, now: Micros) -> bool {
        let before = std::mem::replace(&mut self.objects, objects.clone());
        if before.is_empty() {
            return false;
        }
        let differences = objects::differences(&before, &objects);
        for (kind, object) in &differences {
            self.next += 1;
            self.keep(objects::line(kind, object, self.next, node, now));
        }
        !differences.is_empty()
    }

    /// The lines of what is there, and one that ends them.
    pub(super) fn exists(&self, objects: &[Value], node: &str, now: Micros) -> String {
        let lines = objects.iter().map(|object| objects::line("exists", object, self.next, node, now) + "\n");
        lines.collect::<String>()
            + &json!({ "type": "exists-end", "event": "exists-end", "seq": self.next }).to_string()
            + "\n"
    }

    fn keep(&mut self, line: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back((self.next, line.into()));
    }

    /// The command that is told each, if there is one.
    pub(super) fn hook(&self) -> Option<&Hook> {
        self.hook.as_ref()
    }

    /// How often each has happened since the start.
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Lines behind the one with this number.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = (u64, &str)> {
        self.lines.iter().filter(move |(number, _)| *number > seq).map(|(number, line)| (*number, &**line))
    }
}

/// The name of an event of the protocol, and its facts. `name_of` finds what people call a node.
pub(super) fn describe(
    event: &Event,
    name_of: impl Fn(crate::types::NodeId) -> String,
) -> (&'static str, Map<String, Value>) {
    let mut facts = Map::new();
    let mut add = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let name = match event {
        Event::Left(id) => {
            add("member", name_of(*id).into());
            "degraded"
        }
        Event::InSync(id) => {
            add("member", name_of(*id).into());
            "in-sync"
        }
        Event::Promoted { epoch, forced } => {
            add("epoch", epoch.number.into());
            add("start", epoch.start.into());
            add("forced", (*forced).into());
            "promoted"
        }
        Event::Fenced(epoch) => {
            add("epoch", epoch.number.into());
            "fenced"
        }
        Event::Following(id) => {
            add("primary", name_of(*id).into());
            "following"
        }
        Event::SplitBrain => "split-brain",
        Event::Diverged { version, what } => {
            add("version", (*version).into());
            add("what", what.as_str().into());
            "diverged"
        }
        Event::Added(id) => {
            add("member", name_of(*id).into());
            "member-added"
        }
        Event::Removed(id) => {
            add("member", name_of(*id).into());
            "member-removed"
        }
        Event::Twin(id) => {
            add("member", name_of(*id).into());
            "twin-refused"
        }
        Event::WentBack { id, head, confirmed } => {
            add("member", name_of(*id).into());
            add("head", (*head).into());
            add("confirmed", (*confirmed).into());
            "went-back"
        }
        Event::Role(role) => {
            add("role", role.as_str().into());
            "role"
        }
    };
    (name, facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_and_the_oldest_go() {
        let mut events = Events::default();
        for _ in 0..KEPT + 5 {
            events.add("role", Map::new(), "n1", 1_000_000);
        }
        let numbers: Vec<u64> = events.after(0).map(|(seq, _)| seq).collect();
        assert_eq!((numbers.len(), numbers[0], numbers[KEPT - 1]), (KEPT, 6, KEPT as u64 + 5));
        assert_eq!(events.after(numbers[KEPT - 2]).count(), 1);
    }
}
