//! Any bytes as a chunked body and what follows it, judged twice as in `http_head`.
#![no_main]
#![allow(dead_code, reason = "the module is shared with the integration tests")]

#[path = "../../it/malformed.rs"]
mod malformed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let head = b"POST /do HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    malformed::assert_agreement(&[head.as_slice(), bytes].concat(), 1 + bytes.len() % 7, &mut Vec::new());
});
