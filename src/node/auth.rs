//! Tokens: who may do what, and under which name it is recorded.
//!
//! A file of lines `NAME ROLE TOKEN` (role: peer, read, write or admin; `#` begins a comment). The name becomes the
//! record's actor; an admin's own client may name its user instead, in `X-Rig-Actor`. Only digests are kept, but
//! for the token that this node shows to its peers; they are compared without an early end, so that time tells nothing.
//!
//! The file is read again when it changes (`node::settings`), and each request is judged by what it says then; what outlives its
//! request, a stream or a link of a peer, remembers the digest and ends with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::NodeError;
use crate::error::{Code, Problem};
use crate::limits::ACTOR_BYTES_MAX;

/// What is wrong with a file that is no secret.
pub(super) const OPEN: &str = "others than the owner can read it";

/// What a token allows; each allows what the one before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// To speak as another node, and nothing else.
    Peer,
    /// Everything that changes nothing.
    Read,
    /// Operations too.
    Write,
    /// Everything.
    Admin,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The name of the token; empty where no tokens are asked for.
    pub(super) name: Box<str>,
    pub(super) scope: Scope,
    /// What of the token may be kept; nothing where none is asked for.
    pub(super) shown: Option<Shown>,
}

/// A token's digest: enough to know it again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown([u8; 32]);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

impl Shown {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// All tokens of a node; none means that nobody is asked.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Tokens {
    entries: Vec<(Shown, Caller)>,
    for_peers: Option<String>,
}

impl std::fmt::Debug for Tokens {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(_, caller)| caller)).finish()
    }
}

impl Tokens {
    /// Reads the file, which only its owner may read.
    pub(super) fn load(path: &Path) -> Result<Self, NodeError> {
        let bad = |reason: String| NodeError::Tokens { path: path.to_owned(), reason };
        let metadata = fs::metadata(path).map_err(|error| bad(error.to_string()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(bad(OPEN.into()));
        }
        let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let (mut entries, mut for_peers) = (Vec::new(), None);
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [name, scope, token] if name.len() <= ACTOR_BYTES_MAX => {
                    // Not quoted: where the words are mixed up, it is the token.
                    let no_role = || bad(format!("line {}: the second word is no role", index + 1));
                    let scope = scope_of(scope).ok_or_else(no_role)?;
                    if scope == Scope::Peer && for_peers.is_none() {
                        for_peers = Some(token.to_owned());
                    }
                    let shown = Shown::of(token);
                    entries.push((shown, Caller { name: name.into(), scope, shown: Some(shown) }));
                }
                _ => return Err(bad(format!("line {}: expected NAME ROLE TOKEN", index + 1))),
            }
        }
        if entries.is_empty() {
            return Err(bad("there is no token in it".into()));
        }
        Ok(Self { entries, for_peers })
    }

    /// What this node shows when it dials another.
    pub(super) fn for_peers(&self) -> Option<&str> {
        self.for_peers.as_deref()
    }

    /// Who presents this, from `Authorization` or `X-Api-Key`.
    pub(super) fn caller(&self, authorization: Option<&str>, api_key: Option<&str>) -> Result<Caller, Problem> {
        if self.entries.is_empty() {
            return Ok(Caller { name: "".into(), scope: Scope::Admin, shown: None });
        }
        let bearer = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let Some(token) = bearer.map(|(_, token)| token.trim()).or(api_key) else {
            return Err(Problem::new(Code::Auth, "this node asks for a token").hint("--token-file FILE, or RIG_TOKEN"));
        };
        self.find(Shown::of(token)).cloned().ok_or_else(|| Problem::new(Code::Auth, "the token is not known here"))
    }

    /// Whose it is, comparing it with every token to the last bit.
    fn find(&self, shown: Shown) -> Option<&Caller> {
        let mut found = None;
        for (known, caller) in &self.entries {
            if differing_bits(&known.0, &shown.0) == 0 {
                found = Some(caller);
            }
        }
        found
    }

    /// What is shown to other nodes, as they know it.
    pub(super) fn shown_to_peers(&self) -> Option<Shown> {
        self.for_peers().map(Shown::of)
    }

    /// Whether a stream that was begun with this token may go on.
    pub(super) fn may_read(&self, shown: Shown) -> bool {
        self.find(shown).is_some_and(|caller| caller.scope >= Scope::Read)
    }

    /// Whether a link that was made with this token may stay.
    pub(super) fn may_speak_as_peer(&self, shown: Shown) -> bool {
        self.find(shown).is_some_and(|caller| matches!(caller.scope, Scope::Peer | Scope::Admin))
    }
}

fn scope_of(word: &str) -> Option<Scope> {
    match word {
        "peer" => Some(Scope::Peer),
        "read" => Some(Scope::Read),
        "write" => Some(Scope::Write),
        "admin" => Some(Scope::Admin),
        _ => None,
    }
}

fn differing_bits(a: &[u8; 32], b: &[u8; 32]) -> u8 {
    std::hint::black_box(a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> Result<Tokens, NodeError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Tokens::load(&path)
    }

    #[test]
    fn a_token_is_taken_from_either_header_and_names_its_owner() {
        let tokens = file("# people\nalice write s3cret\nops admin 0ther # night shift\n", 0o600).unwrap();
        let shown = Some(Shown::of("s3cret"));
        let alice = Caller { name: "alice".into(), scope: Scope::Write, shown };
        assert_eq!(tokens.caller(Some("Bearer s3cret"), None), Ok(alice.clone()));
        assert_eq!(tokens.caller(None, Some("s3cret")), Ok(alice));
        for (authorization, key) in [(None, None), (Some("Bearer s3cre"), None), (Some("Basic s3cret"), None)] {
            assert_eq!(tokens.caller(authorization, key).unwrap_err().status, 401);
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_that_says_nothing_is_refused() {
        assert!(file("a write t", 0o640).unwrap_err().to_string().contains("others"));
        assert!(file("# nothing", 0o600).unwrap_err().to_string().contains("no token"));
        assert!(file("a wrte t", 0o600).unwrap_err().to_string().contains("line 1"));
        assert!(file("a write", 0o600).unwrap_err().to_string().contains("line 1"));
        assert!(!file("alice s3cret write", 0o600).unwrap_err().to_string().contains("s3cret"));
    }

    #[test]
    fn a_stream_and_a_link_may_stay_as_long_as_their_token_does() {
        let tokens = file("n peer p-token\nr read r-token\nops admin a-token\n", 0o600).unwrap();
        for (token, reads, links) in
            [("p-token", false, true), ("r-token", true, false), ("a-token", true, true), ("gone", false, false)]
        {
            let shown = Shown::of(token);
            assert_eq!((tokens.may_read(shown), tokens.may_speak_as_peer(shown)), (reads, links), "{token}");
        }
        assert_eq!(tokens.shown_to_peers(), Some(Shown::of("p-token")));
    }
}
