//! Any bytes as a record of the log. Checksums that do not match are put right, or nothing would get past them;
//! half of the inputs also get lengths that agree, so that whole records are read.
#![no_main]

use rig::log::format::{ALIGN, FORMAT, HASH_BYTES, HEADER_BYTES};
use rig::log::{Fault, decode, record_bytes};
use rig::types::ClusterId;

/// A record of the right lengths around these bytes: see the picture in `log::format`.
fn framed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (front, text) = bytes.split_first_chunk::<4>()?;
    let request_hash = if front[3] > 0 { HASH_BYTES } else { 0 };
    let fixed = request_hash + front[1..].iter().map(|len| usize::from(*len)).sum::<usize>();
    let data = text.len().checked_sub(fixed)?;
    let length = HEADER_BYTES + text.len().next_multiple_of(ALIGN) + HASH_BYTES;
    let mut record = vec![0; HEADER_BYTES];
    record[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    (record[8], record[9], record[16]) = (FORMAT, front[0], 1);
    record[72..76].copy_from_slice(&(data as u32).to_le_bytes());
    record[76..79].copy_from_slice(&front[1..]);
    record.extend_from_slice(text);
    record.resize(length, 0);
    Some(record)
}

/// Whether it is a record once its checksums are right.
fn read(mut bytes: Vec<u8>) -> bool {
    let cluster = ClusterId::default();
    for _ in 0..4 {
        let (at, sum) = match decode(&bytes, &cluster, 1) {
            Ok(record) => {
                assert!(record.size() <= bytes.len());
                assert_eq!(record_bytes(&record.to_record()), record.size());
                return true;
            }
            Err(Fault::HeaderCrc { expected, .. }) => (0, expected),
            Err(Fault::PayloadCrc { expected, .. }) => (12, expected),
            Err(_) => return false,
        };
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    unreachable!("two checksums need at most three tries");
}

libfuzzer_sys::fuzz_target!(
    init: {
        // A target that never gets to a record proves nothing.
        assert!(framed(b"\x01\x01\x00\x00m1").is_some_and(read), "the smallest record must be read");
    },
    |bytes: &[u8]| {
        read(bytes.to_vec());
        framed(bytes).map(read);
    }
);
