//! Any bytes as a record of the log. Checksums that do not match are put right, or nothing would get past them.
#![no_main]

use rig::log::{Fault, decode, record_bytes};
use rig::types::ClusterId;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut bytes, cluster) = (bytes.to_vec(), ClusterId::default());
    for _ in 0..4 {
        let (at, sum) = match decode(&bytes, &cluster, 1) {
            Ok(record) => {
                assert!(record.size() <= bytes.len());
                assert_eq!(record_bytes(&record.to_record()), record.size());
                return;
            }
            Err(Fault::HeaderCrc { expected, .. }) => (0, expected),
            Err(Fault::PayloadCrc { expected, .. }) => (12, expected),
            Err(_) => return,
        };
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
});
