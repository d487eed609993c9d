//! Any bytes as JSON: accepted only if another reader accepts them with the same meaning, and then for good.
#![no_main]

use rig::types::json::{JsonErrorKind, compact, envelope, get, members, quote, string_of, unescape};
use serde_json::Value;

/// A name that the other reader gives a meaning of its own.
const NOT_COMPARED: &[u8] = b"$serde_json::private";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if bytes.windows(NOT_COMPARED.len()).any(|part| part == NOT_COMPARED) {
        return;
    }
    let other = serde_json::from_slice::<Value>(bytes);
    let mut line = String::new();
    match compact(bytes, &mut line) {
        Ok(()) => {
            let value = other.expect("accepted by one reader only");
            assert_eq!(serde_json::from_str::<Value>(&line).expect("still JSON"), value);
            let mut again = String::new();
            compact(line.as_bytes(), &mut again).expect("accepted once, accepted again");
            assert_eq!(line, again);
            if let Value::Object(map) = &value {
                assert_eq!(members(&line).count(), map.len());
                for member in members(&line) {
                    let key = unescape(member.key());
                    assert_eq!(serde_json::from_str::<Value>(member.value()).expect("a value"), map[&*key]);
                    assert_eq!(get(&line, &key), Some(member.value()));
                }
            }
        }
        Err(error) => {
            assert!(line.is_empty());
            let ours = matches!(error.kind, JsonErrorKind::DuplicateKey | JsonErrorKind::Depth);
            assert!(ours || other.is_err(), "refused by one reader only: {error}");
        }
    }
    let _ = envelope(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        for member in members(text) {
            let _ = (unescape(member.key()), string_of(member.value()));
        }
        let mut quoted = String::new();
        quote(text, &mut quoted);
        assert_eq!(string_of(&quoted).as_deref(), Some(text));
    }
});
