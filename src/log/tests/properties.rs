//! Any record, any bytes, any change: read back, or refused, never a panic.

use super::super::format::{FORMAT, Salt, SegmentHeader, VERSION_MAX, genesis};
use super::super::record::{encode, seal_header};
use super::super::stretch::Source;
use super::super::testing::{CLUSTER, DIR, Made, config, record, segment};
use super::super::*;
use crate::types::{Epoch, Hash, Kind, NodeId, Operation, Record, Version};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn any_record() -> impl Strategy<Value = Record> {
    let epoch = (any::<u64>(), any::<[u8; 16]>(), any::<u64>());
    let epoch = epoch.prop_map(|(number, owner, start)| Epoch { number, owner: NodeId(owner), start });
    let key = proptest::option::of(("[^\0]{1,32}", any::<[u8; 32]>()));
    let texts = ("[a-z][a-z0-9_]{0,63}", "[^\0]{0,16}", "[^\0]{1,300}");
    (1..=VERSION_MAX, epoch, any::<u64>(), any::<u64>(), any::<bool>(), key, texts).prop_map(
        |(version, epoch, time, upto, control, key, (method, actor, data))| Record {
            version,
            epoch,
            time,
            commit_upto: upto % version,
            kind: if control { Kind::Control } else { Kind::Operation },
            request_hash: key.as_ref().map(|(_, hash)| Hash(*hash)),
            key: key.map(|(key, _)| key.into()),
            actor: actor.into(),
            operation: Operation::new(method, data),
            hash: Hash::default(),
        },
    )
}

/// The record as it stands in a segment, and its hash.
fn bytes_of(record: &Record, base: Version) -> (Vec<u8>, Hash) {
    let mut bytes = Vec::new();
    let hash = encode(record, FORMAT, &genesis(&CLUSTER), &mut bytes);
    seal_header(&mut bytes, Salt::new(&CLUSTER, base));
    (bytes, hash)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_read_back_and_none_of_another_segment_or_cluster(record in any_record(), base in 1..1000_u64) {
        let (mut bytes, hash) = bytes_of(&record, base);
        prop_assert_eq!(bytes.len(), record_bytes(&record));
        let read = decode(&bytes, &CLUSTER, base).unwrap();
        prop_assert_eq!(read.size(), bytes.len());
        prop_assert_eq!(read.to_record(), Record { hash, ..record });
        prop_assert!(decode(&bytes, &CLUSTER, base + 1).is_err());
        prop_assert!(decode(&bytes, &crate::types::ClusterId([1; 16]), base).is_err());
        let whole = bytes.len();
        bytes.extend([0xaa; 40]);
        prop_assert_eq!(decode(&bytes, &CLUSTER, base).unwrap().size(), whole);
        for cut in 0..whole {
            let is_short = matches!(decode(&bytes[..cut], &CLUSTER, base), Err(Fault::Short { .. }));
            prop_assert!(is_short, "cut at {}", cut);
        }
    }

    #[test]
    fn a_changed_record_is_another_one_or_none(record in any_record(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let (mut bytes, hash) = bytes_of(&record, 1);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        match decode(&bytes, &CLUSTER, 1) {
            // Only the hash is not covered by a checksum: the chain covers it.
            Ok(read) => prop_assert!(at >= bytes.len() - 32 && read.hash != hash),
            Err(_) => prop_assert!(at < bytes.len() - 32),
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_a_fault(mut bytes in prop::collection::vec(any::<u8>(), 0..400), seal in any::<bool>()) {
        // With a right checksum the lengths behind it are believed: whatever they are.
        if seal && bytes.len() >= 80 {
            (bytes[8], bytes[10], bytes[11], bytes[79]) = (1, 0, 0, 0);
            seal_header(&mut bytes, Salt::new(&CLUSTER, 1));
        }
        if let Ok(read) = decode(&bytes, &CLUSTER, 1) {
            prop_assert!(read.size() <= bytes.len());
        }
        let _ = SegmentHeader::decode(&bytes);
    }

    #[test]
    fn whatever_happens_to_a_segment_start_and_audit_agree(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>(), 1..600_usize), 1..4),
        marked in any::<bool>(),
    ) {
        let mut made = Made::new(config());
        made.write(12, 1, record);
        let end = made.opened.writer.segment.end as usize;
        let good = made.vfs.read(&segment(1)).unwrap()[..end].to_vec();
        if !marked {
            made.vfs.remove(&Path::new(DIR).join("state/mark")).unwrap();
        }
        for (at, what, byte, n) in cuts {
            made.vfs.edit(&segment(1), |bytes| {
                let at = at.index(end).min(bytes.len());
                let to = (at + n).min(bytes.len());
                match what {
                    0 => bytes[at..to].fill(0),
                    1 => bytes[at..to].fill(byte),
                    2 => bytes.truncate(at),
                    _ => drop(bytes.splice(at..at, [byte; 8])),
                }
            }).unwrap();
        }
        let mut found = Vec::new();
        let audit = verify(&made.vfs, Path::new(DIR), &Default::default(), &|_| {}, &mut |finding| found.push(finding));
        let audit = audit.unwrap();
        match open(Arc::new(made.vfs.clone()), Path::new(DIR), &config()) {
            Ok(opened) => {
                prop_assert!(audit.is_pass(), "{:?}", found);
                prop_assert_eq!(opened.report.head.version, audit.head.0);
                // Of an empty file nobody but its owner knows the cluster, and so `hash(0)`.
                prop_assert!(audit.head.0 == 0 || opened.report.head.hash == audit.head.1);
                let bytes = made.vfs.read(&segment(1)).unwrap();
                let end = opened.writer.segment.end as usize;
                prop_assert!(bytes[..end] == good[..end], "what is served is what was written");
            }
            Err(error) => prop_assert!(!audit.is_pass(), "{}", error),
        }
    }

    #[test]
    fn a_segment_read_in_stretches_is_what_one_walk_finds(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, 1..300_usize), 0..3),
        stretch in 1..3000_u64,
        marked in 0..40_u64,
        epochs in prop::collection::vec(1..4_u64, 30),
    ) {
        let header = SegmentHeader { cluster: CLUSTER, base: 1, before: genesis(&CLUSTER) };
        let mut bytes = header.encode().to_vec();
        let mut before = header.before;
        for (version, number) in (1..).zip(epochs) {
            let start = bytes.len();
            // Mostly in order, as they should be.
            let epoch = Epoch { number: number.max(version / 2), ..Epoch::default() };
            before = encode(&Record { epoch, ..record(version) }, FORMAT, &before, &mut bytes);
            seal_header(&mut bytes[start..], Salt::new(&CLUSTER, 1));
        }
        let end = bytes.len();
        bytes.resize(end + 500, 0);
        for (at, what, n) in damage {
            let at = at.index(end).min(bytes.len());
            let to = (at + n).min(bytes.len());
            match what {
                0 => bytes[at..to].fill(0),
                1 => bytes[at..to].fill(0x5a),
                2 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 4),
            }
        }
        let vfs = MemVfs::new();
        vfs.write(&segment(1), &bytes).unwrap();
        let file = vfs.open(&segment(1), Access::Read).unwrap();
        let len = bytes.len() as u64;
        let source = Source { file: &file, salt: Salt::new(&CLUSTER, 1), header: &header, len, marked };
        prop_assert_eq!(source.read_in(stretch, 2).unwrap(), source.read_in(u64::MAX, 1).unwrap());
    }
}
