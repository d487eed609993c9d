//! Any bytes as requests: the connection must judge them as the small reader of the tests does.
#![no_main]
#![allow(dead_code, reason = "the module is shared with the integration tests")]

#[path = "../../it/malformed.rs"]
mod malformed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    malformed::assert_agreement(bytes, 1 + bytes.len() % 7, &mut Vec::new());
});
