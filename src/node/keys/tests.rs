use super::*;
use crate::types::{Epoch, Kind, Operation};

fn key(n: u64) -> KeyDigest {
    digest(&format!("key-{n}"))
}

fn record(n: u64, time: Micros) -> Record {
    Record {
        version: n + 1,
        epoch: Epoch { number: 4, ..Epoch::default() },
        time,
        commit_upto: n,
        kind: Kind::Operation,
        key: Some(format!("key-{n}").into()),
        request_hash: Some(request_hash("m", &n.to_string())),
        actor: "".into(),
        operation: Operation::new("m", n.to_string()),
        hash: request_hash("hash", &n.to_string()),
    }
}

fn insert(keys: &mut Keys, n: u64, time: Micros) {
    keys.insert(key(n), &record(n, time), 200, &format!("{{\"id\":\"{n}\"}}"));
}

fn version(keys: &Keys, n: u64) -> Option<Version> {
    keys.get(&key(n)).map(|found| found.version)
}

/// What a file does with a run.
fn reread(run: &Run) -> Run {
    let (entries, results) = run.parts();
    Run::from_parts(entries.to_vec(), results.to_vec()).unwrap()
}

#[test]
fn what_was_answered_is_found_in_every_layer_and_after_a_reload() {
    let mut keys = Keys::new();
    (0..1000).for_each(|n| insert(&mut keys, n, 10));
    let frozen = keys.freeze().unwrap();
    (1000..1500).for_each(|n| insert(&mut keys, n, 20));
    assert!((0..1500).all(|n| version(&keys, n) == Some(n + 1)));
    assert!(keys.freeze().is_none(), "one snapshot at a time");

    let (count, now) = (frozen.count, frozen.now);
    let runs = frozen.merge();
    keys.thaw(Some(runs.clone()));
    assert_eq!(keys.len(), 1500);
    assert!((0..1500).all(|n| version(&keys, n) == Some(n + 1)));
    assert_eq!(version(&keys, 1500), None);

    let mut restored = Keys::restored(count, now, None);
    assert!(!restored.is_complete());
    restored.loaded(runs.iter().map(|run| Arc::new(reread(run))).collect());
    let found = restored.get(&key(17)).unwrap();
    assert_eq!(found, keys.get(&key(17)).unwrap());
    assert_eq!(found.result.as_deref(), Some("{\"id\":\"17\"}"));
}

#[test]
fn runs_are_few_and_the_newest_entry_of_a_key_wins() {
    let mut keys = Keys::new();
    for round in 0..40 {
        // Half of the keys come again, with a newer version.
        (round * 50..round * 50 + 100).for_each(|n| {
            let newer = Record { version: round * 10_000 + n, ..record(n, 10) };
            keys.insert(key(n), &newer, 200, "1");
        });
        let runs = keys.freeze().unwrap().merge();
        for pair in runs.windows(2) {
            assert!(pair[0].len() >= 2 * pair[1].len());
        }
        keys.thaw(Some(runs));
    }
    assert!(keys.runs.as_ref().unwrap().len() <= 8);
    for n in 0..2000 {
        let last_round = (n / 50).min(39);
        assert_eq!(version(&keys, n), Some(last_round * 10_000 + n), "{n}");
    }
}

#[test]
fn a_full_run_is_merged_no_more_and_still_asked() {
    let mut keys = Keys::new();
    let spread = |n: usize| (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
    for part in 0..2 {
        for n in part * RUN_FULL..(part + 1) * RUN_FULL {
            let record = Record { version: n as Version, key: None, ..record(0, 10) };
            keys.insert(spread(n), &record, 200, "1");
        }
        let runs = keys.freeze().unwrap().merge();
        keys.thaw(Some(runs));
    }
    let lengths: Vec<usize> = keys.runs.iter().flatten().map(|run| run.len()).collect();
    assert_eq!(lengths, [RUN_FULL; 2]);
    let last = 2 * RUN_FULL - 1;
    for n in [0, 1, RUN_FULL - 1, RUN_FULL, last] {
        assert_eq!(keys.get(&spread(n)).map(|found| found.version), Some(n as Version));
    }
    assert_eq!(keys.get(&spread(last + 1)), None);
}

#[test]
fn a_snapshot_that_failed_forgets_nothing() {
    let mut keys = Keys::new();
    (0..10).for_each(|n| insert(&mut keys, n, 10));
    keys.freeze().unwrap();
    (5..20).for_each(|n| insert(&mut keys, n, 20));
    keys.thaw(None);
    assert!((0..20).all(|n| version(&keys, n) == Some(n + 1)));
    assert_eq!(keys.get(&key(7)).unwrap().time, 20, "the later one wins");
}

#[test]
fn a_key_is_forgotten_after_a_day_of_record_time_and_never_by_our_clock() {
    let mut keys = Keys::new();
    let day = KEY_WINDOW.as_micros() as Micros;
    insert(&mut keys, 1, 1000);
    keys.saw(1000 + day);
    assert_eq!(version(&keys, 1), Some(2));
    keys.saw(1001 + day);
    assert_eq!(version(&keys, 1), None);
    assert_eq!(keys.freeze().unwrap().merge().len(), 0, "nothing is left to write");
}

#[test]
fn a_result_that_is_too_long_is_remembered_without_its_text() {
    let mut keys = Keys::new();
    let long = format!("\"{}\"", "x".repeat(KEY_RESULT_BYTES_MAX));
    keys.insert(key(1), &record(1, 1), 200, &long);
    insert(&mut keys, 2, 1);
    let runs = keys.freeze().unwrap().merge();
    keys.thaw(Some(runs));
    let found = keys.get(&key(1)).unwrap();
    assert_eq!((found.version, found.result), (2, None));
    assert!(keys.get(&key(2)).unwrap().result.is_some());
}

#[test]
fn a_block_that_does_not_fit_together_is_refused() {
    let mut keys = Keys::new();
    (0..5).for_each(|n| insert(&mut keys, n, 10));
    let runs = keys.freeze().unwrap().merge();
    let (entries, results) = runs[0].parts();
    assert!(Run::from_parts(entries[1..].to_vec(), results.to_vec()).is_none());
    assert!(Run::from_parts(entries.to_vec(), results[1..].to_vec()).is_none());
    let mut swapped = entries.to_vec();
    swapped.rotate_left(104);
    assert!(Run::from_parts(swapped, results.to_vec()).is_none());
}

#[test]
fn only_the_newest_million_is_remembered() {
    let mut keys = Keys::new();
    insert(&mut keys, 1, 1);
    keys.count = KEYS_MAX as u64;
    assert_eq!(version(&keys, 1), Some(2));
    keys.count += 1;
    assert_eq!(version(&keys, 1), None);
}
