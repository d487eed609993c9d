//! The paths that Rig answers itself: one table, for `GET /`, for 405 and for what is counted.

/// Every path, with its methods, for `GET /` and for 405.
pub(super) const PATHS: &[(&str, &str, &str)] = &[
    ("/", "GET, HEAD", "this list"),
    ("/do", "POST", "append one operation, or a batch of NDJSON lines"),
    ("/validate", "POST", "ask whether an operation would be taken; nothing is logged"),
    ("/outcome/{key}", "GET, HEAD", "what became of an idempotency key"),
    ("/log", "GET, HEAD", "records as NDJSON: from, to, limit, method, type, id, follow"),
    ("/log/commit", "GET, HEAD, POST", "the newest committed record; for participants: commit what is prepared"),
    (
        "/log/prepare",
        "GET, HEAD, POST",
        "the newest record that is prepared and not committed; for participants: prepare",
    ),
    ("/log/compact", "POST", "drop records that a snapshot has: keep, older_than_ms, hold, dry_run"),
    ("/log/rollback", "POST", "for participants: roll back what is prepared"),
    ("/log/record/{version}", "GET, HEAD", "one record"),
    ("/log/hash/{version}", "GET, HEAD", "the chain hash of one record"),
    ("/log/wire", "GET, HEAD", "records as they travel between nodes, for one that repairs its log: from, to"),
    ("/state/hash", "GET, HEAD", "a digest of the service's whole state, and its version: equal states, equal digests"),
    ("/data/{type}", "GET, HEAD", "list documents: field=value, limit, after"),
    ("/data/{type}/{id}", "GET, HEAD", "one document"),
    ("/schema", "GET, HEAD", "all schemas"),
    ("/schema/{type}", "GET, HEAD", "one schema"),
    ("/status", "GET, HEAD", "this node, as rig status says it"),
    ("/healthz", "GET, HEAD", "200 while the process lives"),
    ("/readyz", "GET, HEAD", "200 when the node can do its work: role, max_lag"),
    ("/metrics", "GET, HEAD", "Prometheus text"),
    ("/role", "POST", "make this node the primary, or a replica"),
    ("/config", "GET, HEAD, POST", "mode, min_replicas and timeout that the log says, or a change of them"),
    ("/members", "GET, HEAD", "the nodes that the log names"),
    ("/members/{name}", "DELETE", "remove a member"),
    ("/resolve", "POST", "end a split brain: this node is the winner"),
    ("/coordinator/accept", "POST", "the primary writes the coordinator's record anew, after it was lost"),
    ("/rescue", "GET, HEAD", "records that were set aside"),
    ("/rescue/{file}", "GET, HEAD", "the records of one rescue file as NDJSON"),
    ("/rescue/{file}/replayed", "POST", "note that they were sent to the primary again"),
    ("/snapshots", "GET, HEAD, POST", "the snapshots of this node; take one now, and read it back"),
    ("/backup", "GET", "an archive of all that is committed, or of what came after a version: since"),
    ("/events", "GET, HEAD", "what happened, as NDJSON: after, follow"),
    ("/peer", "GET", "another node of the cluster calls: Upgrade: rig-peer/1"),
];

/// Whether a path is of a pattern.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() || wanted == found => {}
            _ => return false,
        }
    }
}

/// Which line of [`PATHS`] a request is for, or none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) struct Route(u8);

impl Route {
    /// What is not Rig's own, and what was refused before it had a path.
    pub(in crate::node) const OTHER: Self = Self(PATHS.len() as u8);
    /// How many there are.
    pub(in crate::node) const COUNT: usize = PATHS.len() + 1;

    /// The route of a path. Every request asks: a pattern without a variable is compared as it is, and most others are
    /// ruled out by the text before their first one.
    pub(in crate::node) fn of(path: &str) -> Self {
        let is_of = |((pattern, ..), literal): (&(&str, &str, &str), usize)| match pattern.len() == literal {
            true => path == *pattern,
            false => path.as_bytes().get(..literal) == Some(&pattern.as_bytes()[..literal]) && fits(pattern, path),
        };
        let place = PATHS.iter().zip(LITERALS).position(is_of);
        place.map_or(Self::OTHER, |place| Self(place as u8))
    }

    /// Every route with its name: never a path as it came, of which there is no end.
    pub(in crate::node) fn names() -> impl Iterator<Item = &'static str> {
        PATHS.iter().map(|(pattern, ..)| *pattern).chain(["other"])
    }

    /// Its place among [`Route::names`].
    pub(in crate::node) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// Of each pattern the bytes before its first variable.
const LITERALS: [usize; PATHS.len()] = {
    let (mut lengths, mut place) = ([0; PATHS.len()], 0);
    while place < PATHS.len() {
        let pattern = PATHS[place].0.as_bytes();
        while lengths[place] < pattern.len() && pattern[lengths[place]] != b'{' {
            lengths[place] += 1;
        }
        place += 1;
    }
    lengths
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_name_of_its_pattern_and_every_other_the_same_one() {
        let name = |path: &str| Route::names().nth(Route::of(path).place()).unwrap();
        for (path, wanted) in [
            ("/", "/"),
            ("/do", "/do"),
            ("/data/user", "/data/{type}"),
            ("/data/user/alice", "/data/{type}/{id}"),
            ("/data/user/alice/x", "other"),
            ("/data/", "other"),
            ("/log/record/7", "/log/record/{version}"),
            ("/rescue/a/replayed", "/rescue/{file}/replayed"),
            ("/do/", "other"),
            ("/users/42", "other"),
            ("", "other"),
        ] {
            assert_eq!(name(path), wanted, "{path}");
        }
        assert_eq!(Route::names().count(), Route::COUNT);
        for (pattern, ..) in PATHS {
            assert_eq!(name(pattern), *pattern);
        }
    }
}
