use super::*;
use crate::types::{Durability, Hash, Mode, NodeId, NodeState, Position, methods};

fn me() -> Member {
    Member { id: NodeId([7; 16]), name: "n1".into(), url: "http://127.0.0.1:7440".into() }
}

fn empty() -> Recovered {
    Recovered {
        me: me().id,
        head: Position::default(),
        committed: 0,
        applied: 0,
        config: None,
        recorded: Epoch::default(),
    }
}

fn synced(version: Version) -> Input {
    Input::Synced(Durable::from_sync(version))
}

fn start(found: &Recovered, asked: Asked) -> (Replication, Outputs) {
    let mut out = Outputs::new();
    let core = Replication::start_as_primary(found, me(), asked, false, &mut out);
    (core, out)
}

fn step(core: &mut Replication, input: Input) -> Outputs {
    let mut out = Outputs::new();
    core.step(input, &mut out);
    out
}

/// A core whose epoch is open, with `rig_epoch` as version 1.
fn open(asked: Asked) -> Replication {
    let (mut core, out) = start(&empty(), asked);
    let [Output::RecordEpoch { epoch, .. }] = out[..] else { panic!("{out:?}") };
    step(&mut core, Input::EpochRecorded(epoch));
    let out = step(&mut core, synced(1));
    assert_eq!(out, [Output::Commit(1), Output::Opened(epoch)]);
    core
}

#[test]
fn the_first_record_of_a_log_is_rig_epoch_and_nothing_is_taken_before_it_is_committed() {
    let (mut core, out) = start(&empty(), Asked::default());
    let epoch = Epoch { number: 1, owner: me().id, start: 1 };
    assert_eq!(out, [Output::RecordEpoch { epoch, role: Role::Primary }]);
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Recovering)]);

    let out = step(&mut core, Input::EpochRecorded(epoch));
    let [Output::Append { slot, control: Some(control) }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((slot.version, slot.commit_upto, control.method), (1, 0, methods::EPOCH));
    assert_eq!(ClusterConfig::from_json(&control.data), Some(ClusterConfig::first(me())));
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Recovering)]);

    assert_eq!(step(&mut core, synced(1)), [Output::Commit(1), Output::Opened(epoch)]);
    assert_eq!((core.state(), core.durability()), (NodeState::Serving, Durability::Local));
}

#[test]
fn operations_get_versions_without_gaps_and_commit_when_synced() {
    let mut core = open(Asked::default());
    for version in 2..=4 {
        let out = step(&mut core, Input::Propose { expect: None });
        let [Output::Append { slot, control: None }] = out[..] else { panic!("{out:?}") };
        assert_eq!((slot.version, slot.commit_upto), (version, 1));
    }
    assert_eq!(step(&mut core, synced(3)), [Output::Commit(3)]);
    assert_eq!((core.committed(), core.durable(), core.appended()), (3, 3, 4));
}

#[test]
fn a_version_precondition_is_met_exactly_or_refused_with_the_next_version() {
    let mut core = open(Asked::default());
    let refused = step(&mut core, Input::Propose { expect: Some(3) });
    assert_eq!(refused, [Output::Refuse(Refusal::VersionConflict { next: 2 })]);
    assert!(matches!(step(&mut core, Input::Propose { expect: Some(2) })[..], [Output::Append { .. }]));
}

#[test]
fn a_restart_keeps_number_and_owner_and_takes_the_tail_over_with_its_own_record() {
    let epoch = Epoch { number: 1, owner: me().id, start: 4 };
    let found = Recovered {
        head: Position { epoch, version: 9, hash: Hash::default() },
        committed: 7,
        applied: 5,
        config: Some(ClusterConfig::first(me())),
        recorded: epoch,
        ..empty()
    };
    let (mut core, out) = start(&found, Asked::default());
    let next = Epoch { start: 5, ..epoch };
    assert_eq!(out, [Output::RecordEpoch { epoch: next, role: Role::Primary }]);
    let out = step(&mut core, Input::EpochRecorded(next));
    assert!(matches!(&out[..], [Output::Append { slot: Slot { version: 10, commit_upto: 7, .. }, control: Some(_) }]));
    assert_eq!(core.committed(), 7, "the tail is not committed by a restart alone");
    assert_eq!(step(&mut core, synced(10)), [Output::Commit(10), Output::Opened(next)]);
}

#[test]
fn an_epoch_that_was_recorded_and_never_reached_the_log_is_not_used_again() {
    let epoch = Epoch { number: 1, owner: me().id, start: 2 };
    let head = Position { epoch: Epoch { start: 1, ..epoch }, version: 1, hash: Hash::default() };
    let found = Recovered { head, committed: 1, config: Some(ClusterConfig::first(me())), recorded: epoch, ..empty() };
    let (core, _) = start(&found, Asked::default());
    assert_eq!(core.epoch().start, 3);
}

#[test]
fn a_log_that_names_others_or_was_last_written_by_another_stays_recovering() {
    let other = Member { id: NodeId([9; 16]), name: "n2".into(), url: String::new() };
    let mut config = ClusterConfig::first(me());
    config.members.push(other.clone());
    let mine = Epoch { number: 1, owner: me().id, start: 1 };
    let head = Position { epoch: mine, version: 1, hash: Hash::default() };
    let found = Recovered { head, committed: 1, config: Some(config), recorded: mine, ..empty() };
    let (core, out) = start(&found, Asked::default());
    assert_eq!((out, core.state()), (vec![], NodeState::Recovering));

    let theirs = Epoch { number: 2, owner: other.id, start: 1 };
    let found = Recovered { config: Some(ClusterConfig::first(me())), recorded: theirs, ..found };
    let (core, out) = start(&found, Asked::default());
    assert_eq!((out, core.state()), (vec![], NodeState::Recovering));
}

#[test]
fn sync_without_a_replica_is_blocked_and_never_answers_local() {
    let mut core = open(Asked { replication: Some(Mode::Sync), min_replicas: Some(2), ..Asked::default() });
    let refused = step(&mut core, Input::Propose { expect: None });
    assert_eq!(refused, [Output::Refuse(Refusal::NotEnoughReplicas { wanted: 2, present: 0 })]);
    assert_eq!(core.state(), NodeState::Blocked);
}

#[test]
fn a_change_is_recorded_only_when_something_changes() {
    let mut core = open(Asked::default());
    assert_eq!(step(&mut core, Input::Change(Asked { min_replicas: Some(1), ..Asked::default() })), []);
    let out = step(&mut core, Input::Change(Asked { replication: Some(Mode::Async), ..Asked::default() }));
    let [Output::Append { slot, control: Some(control) }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((slot.version, control.method), (2, methods::CONFIG));
    assert_eq!(core.durability(), Durability::Async);
}

#[test]
fn a_change_that_is_asked_for_at_start_follows_the_epoch_record() {
    let epoch = Epoch { number: 1, owner: me().id, start: 1 };
    let head = Position { epoch, version: 1, hash: Hash::default() };
    let found = Recovered { head, committed: 1, config: Some(ClusterConfig::first(me())), recorded: epoch, ..empty() };
    let (mut core, _) = start(&found, Asked { sync_timeout_ms: Some(500), ..Asked::default() });
    let next = Epoch { start: 2, ..epoch };
    step(&mut core, Input::EpochRecorded(next));
    let out = step(&mut core, synced(2));
    let [Output::Commit(2), Output::Opened(_), Output::Append { slot, control: Some(control) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((slot.version, control.method), (3, methods::CONFIG));
    assert_eq!(ClusterConfig::from_json(&control.data).map(|config| config.sync_timeout_ms), Some(500));
}

#[test]
fn what_was_not_written_gives_its_versions_back() {
    let mut core = open(Asked::default());
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::NotWritten { last: 1 });
    assert!(matches!(
        step(&mut core, Input::Propose { expect: Some(2) })[..],
        [Output::Append { slot: Slot { version: 2, .. }, .. }]
    ));
}

#[test]
fn after_a_storage_error_nothing_commits_and_nothing_is_taken() {
    let mut core = open(Asked::default());
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::StorageFailed);
    assert_eq!(step(&mut core, synced(2)), []);
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Failed)]);
    step(&mut core, Input::Drain);
    assert_eq!(core.state(), NodeState::Failed);
}

#[test]
fn a_drain_finishes_what_is_in_and_takes_nothing_new() {
    let mut core = open(Asked::default());
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::Drain);
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Draining)]);
    assert_eq!(step(&mut core, synced(2)), [Output::Commit(2)]);
}

#[test]
fn a_disk_that_confirms_what_it_was_not_given_is_not_believed() {
    let mut core = open(Asked::default());
    let step = std::panic::AssertUnwindSafe(|| step(&mut core, synced(2)));
    let message = std::panic::catch_unwind(step).unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("durable 1, confirmed 2, appended 1"), "{message}");
}
