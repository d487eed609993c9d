//! Snapshots: whole, equal, checked.

use super::Bench;
use crate::service::{Documents, Service, ServiceError, Settings, conformance};

fn bytes_of(documents: &Documents) -> Vec<u8> {
    let mut bytes = Vec::new();
    documents.snapshot().write(&mut bytes).unwrap();
    bytes
}

fn filled() -> Bench {
    let mut bench = Bench::new();
    for operation in conformance::documents_workload(5, 80) {
        let _ = bench.run(&operation.method, &operation.data);
    }
    // Larger than a block, so that an entry lies across three of them.
    bench.ok("big_create", &format!(r#"{{"id":"big","x":"{}"}}"#, "x".repeat(150_000)));
    bench
}

#[test]
fn a_state_comes_back_whole() {
    let bench = filled();
    let mut copy = Bench::new();
    let bytes = bytes_of(&bench.documents);
    copy.documents.restore(bench.documents.version(), &mut bytes.as_slice()).unwrap();
    assert_eq!(copy.contents(), bench.contents());
    assert_eq!(copy.documents.memory_bytes(), bench.documents.memory_bytes());
    assert_eq!(bytes_of(&copy.documents), bytes);
    assert!(copy.contents().len() > 10);
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let empty = Documents::new(Settings::default());
    let bytes = bytes_of(&empty);
    assert_eq!(bytes.len(), 48);
    let mut filled = filled().documents;
    filled.restore(0, &mut bytes.as_slice()).unwrap();
    assert!(filled.is_empty() && filled.version() == 0 && filled.memory_bytes() == 0 && filled.types().is_empty());
    assert_eq!(filled.digest(), empty.digest());
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let mut bench = Bench::with(&[
        ("schema_set", r#"{"type":"user","unique":["m"],"references":{"boss":{"type":"user","on_delete":"cascade"}}}"#),
        ("user_create", r#"{"id":"a","m":"x","boss":"a"}"#),
        ("user_create", r#"{"id":"b","m":"y","boss":"a"}"#),
    ]);
    let bytes = bytes_of(&bench.documents);
    let contents = bench.contents();
    for place in 0..bytes.len() {
        assert!(bench.documents.restore(3, &mut &bytes[..place]).is_err(), "cut at {place}");
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let restored = bench.documents.restore(3, &mut flipped.as_slice());
            assert!(matches!(restored, Err(ServiceError::Damaged { .. })), "bit {bit} of {place}: {restored:?}");
        }
    }
    assert_eq!(bench.contents(), contents);
}

#[test]
fn the_place_of_the_damage_is_named() {
    let bench = filled();
    let mut bytes = bytes_of(&bench.documents);
    let block = 40 + 8 + 65536;
    bytes[block + 100] ^= 1;
    match Documents::default().restore(bench.documents.version(), &mut bytes.as_slice()) {
        Err(ServiceError::Damaged { what: "block", offset }) => assert_eq!(offset, block as u64 + 8),
        other => panic!("{other:?}"),
    }
    let mut bytes = bytes_of(&bench.documents);
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    let newer = Documents::default().restore(bench.documents.version(), &mut bytes.as_slice());
    assert!(matches!(newer, Err(ServiceError::Format { found: 2, known: 1 })), "{newer:?}");
}

#[test]
fn blocks_in_another_order_are_noticed() {
    let mut bench = Bench::new();
    for id in 0..3 {
        bench.ok("big_create", &format!(r#"{{"id":"{id}","x":"{}"}}"#, "x".repeat(100_000)));
    }
    let bytes = bytes_of(&bench.documents);
    let block = 8 + 65536;
    let mut swapped = bytes.clone();
    swapped[40..40 + block].copy_from_slice(&bytes[40 + block..40 + 2 * block]);
    swapped[40 + block..40 + 2 * block].copy_from_slice(&bytes[40..40 + block]);
    assert!(Documents::default().restore(3, &mut swapped.as_slice()).is_err());
}

/// Checksums that are right over content that is not: a faulty writer, or an enemy.
#[test]
fn content_that_no_writer_wrote_is_survived() {
    let bench = filled();
    let bytes = bytes_of(&bench.documents);
    let sealed = |payload: &[u8]| {
        let mut forged = bytes[..40].to_vec();
        for block in payload.chunks(65536) {
            forged.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
            forged.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
            forged.extend_from_slice(block);
        }
        forged.extend_from_slice(&0_u32.to_le_bytes());
        forged.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        forged
    };
    let mut payload = Vec::new();
    let mut at = 40;
    loop {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        payload.extend_from_slice(&bytes[at + 8..at + 8 + length]);
        at += 8 + length;
        if length == 0 {
            break;
        }
    }
    assert_eq!(sealed(&payload), bytes);
    let mut survived = 0;
    for place in (0..payload.len()).filter(|place| *place < 6000 || place % 997 == 0) {
        let mut forged = payload.clone();
        forged[place] = !forged[place];
        let mut other = Bench::new();
        if other.documents.restore(bench.documents.version(), &mut sealed(&forged).as_slice()).is_ok() {
            survived += 1;
            other.contents();
        }
    }
    assert!(survived > 0, "a changed letter in a document is a snapshot like any other");
}
