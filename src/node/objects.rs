//! What is there, for those who follow the events: this node, and each other member.
//!
//! Their lines have the kind as `type` and as `event`, so that every line has a name. A reader is told each object as it is (`exists`), then that these were all (`exists-end`); later lines say how one
//! is now (`change`), with all its members. So that a program needs no second request to know the state.

use serde_json::{Value, json};

use super::engine::Engine;
use crate::types::format_time;

/// The objects as they are, in a fixed order.
pub(super) fn objects(engine: &Engine, own: &str) -> Vec<Value> {
    let core = engine.core();
    let node = json!({
        "object": "node",
        "name": own,
        "role": core.role().as_str(),
        "state": core.state().as_str(),
        "epoch": core.epoch().number,
        "primary": core.primary().map(|member| member.name.clone()),
    });
    let members = core.peers().into_iter().map(|peer| {
        json!({
            "object": "member",
            "name": peer.member.name,
            "connected": peer.connected,
            "in_sync": peer.in_sync,
        })
    });
    std::iter::once(node).chain(members).collect()
}

/// One object as a line: `kind` is `exists`, `change` or `gone`.
pub(super) fn line(kind: &str, object: &Value, seq: u64, node: &str, now: crate::types::Micros) -> String {
    let mut line = json!({ "type": kind, "event": kind, "seq": seq, "time": format_time(now), "node": node });
    if let (Some(line), Some(object)) = (line.as_object_mut(), object.as_object()) {
        line.extend(object.clone());
    }
    line.to_string()
}

/// What is to be told of the way from one list to the next: what has changed or is new, and what is gone.
pub(super) fn differences<'a>(before: &'a [Value], after: &'a [Value]) -> Vec<(&'static str, &'a Value)> {
    let same = |one: &Value, other: &Value| one["object"] == other["object"] && one["name"] == other["name"];
    let changed = after.iter().filter(|object| !before.contains(object)).map(|object| ("change", object));
    let gone = before.iter().filter(|old| !after.iter().any(|object| same(old, object))).map(|old| ("gone", old));
    changed.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_what_came_and_what_went() {
        let object = |name: &str, up: bool| json!({ "object": "member", "name": name, "connected": up });
        let before = [object("n1", true), object("n2", true), object("n3", true)];
        let after = [object("n1", true), object("n2", false), object("n4", true)];
        let told = differences(&before, &after);
        let told: Vec<_> = told.iter().map(|(kind, object)| (*kind, object["name"].as_str().unwrap())).collect();
        assert_eq!(told, [("change", "n2"), ("change", "n4"), ("gone", "n3")]);
        assert!(differences(&before, &before).is_empty());
    }
}
