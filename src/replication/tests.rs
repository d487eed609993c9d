//! One member: epochs, sequencing, commit. Several members are in `tests/stories` and `tests/sim`.

mod behind;
mod outside;

use super::*;
use crate::types::{Durability, Mode, NodeState, Role, methods};

fn me() -> Member {
    Member { id: NodeId([7; 16]), name: "n1".into(), url: "http://127.0.0.1:7440".into() }
}

fn empty() -> Found {
    Found {
        me: me(),
        boot: 1,
        head: 0,
        oldest: 1,
        committed: 0,
        applied: 0,
        history: Vec::new(),
        configs: Vec::new(),
        standing: None,
        coordinated: false,
    }
}

fn synced(version: Version) -> Input {
    Input::Synced(Durable::from_sync(version))
}

fn start(found: Found, asked: Asked) -> (Replication, Outputs) {
    let mut out = Outputs::new();
    let core = Replication::start(found, Role::Primary, asked, false, 0, &mut out);
    (core, out)
}

/// The same, and everybody that could be there was tried, at this time.
fn start_at(found: Found, now: Time) -> (Replication, Outputs) {
    let (mut core, mut out) = start(found, Asked::default());
    core.step(Input::Tried, now, &mut out);
    (core, out)
}

fn step(core: &mut Replication, input: Input) -> Outputs {
    let mut out = Outputs::new();
    core.step(input, 0, &mut out);
    out.retain(|output| !matches!(output, Output::Event(_)));
    out
}

fn standing(epoch: Epoch) -> Standing {
    Standing { promised: epoch, primary: true, ..Standing::default() }
}

/// A core whose epoch is open, with `rig_epoch` as version 1.
fn open(asked: Asked) -> Replication {
    let (mut core, out) = start(empty(), asked);
    let [Output::Record(standing)] = &out[..] else { panic!("{out:?}") };
    let epoch = standing.promised;
    step(&mut core, Input::Recorded);
    assert_eq!(step(&mut core, synced(1)), [Output::Commit(1), Output::Opened(epoch)]);
    core
}

#[test]
fn the_first_record_of_a_log_is_rig_epoch_and_nothing_is_taken_before_it_is_committed() {
    let (mut core, out) = start(empty(), Asked::default());
    let epoch = Epoch { number: 1, owner: me().id, start: 1 };
    assert_eq!(out, [Output::Record(standing(epoch))]);
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Recovering)]);

    let out = step(&mut core, Input::Recorded);
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

/// A log of one member with a head of 9, of which 7 are known to be committed.
fn restarted(last: Epoch, primary: bool) -> Found {
    Found {
        head: 9,
        committed: 7,
        applied: 7,
        history: vec![EpochStart { epoch: last, first: 1, forced: false }],
        configs: vec![(1, ClusterConfig::first(me()))],
        standing: Some(Standing { promised: last, primary, ..Standing::default() }),
        ..empty()
    }
}

#[test]
fn a_restart_keeps_the_number_and_commits_the_tail_with_its_own_record() {
    let last = Epoch { number: 3, owner: me().id, start: 4 };
    let (mut core, out) = start(restarted(last, true), Asked::default());
    let epoch = Epoch { start: 5, ..last };
    assert_eq!(out, [Output::Record(standing(epoch))]);
    assert!(matches!(step(&mut core, Input::Recorded)[..], [Output::Append { slot: Slot { version: 10, .. }, .. }]));
    assert_eq!((core.committed(), core.state()), (7, NodeState::Recovering));
    assert_eq!(step(&mut core, synced(10)), [Output::Commit(10), Output::Opened(epoch)]);
}

#[test]
fn the_only_member_that_was_a_replica_takes_the_next_number() {
    let last = Epoch { number: 3, owner: NodeId([1; 16]), start: 4 };
    let (_, out) = start(restarted(last, false), Asked::default());
    assert_eq!(out, [Output::Record(standing(Epoch { number: 4, owner: me().id, start: 1 }))]);
}

#[test]
fn a_log_that_names_others_waits_for_them_and_says_for_whom() {
    let last = Epoch { number: 3, owner: me().id, start: 4 };
    let other = Member { id: NodeId([9; 16]), name: "n2".into(), url: String::new() };
    let mut found = restarted(last, true);
    found.configs[0].1.members.push(other.clone());
    found.standing.as_mut().unwrap().set = vec![other.id];
    let (mut core, out) = start(found, Asked::default());
    assert_eq!(out, []);
    assert_eq!(step(&mut core, Input::Propose { expect: None }), [Output::Refuse(Refusal::Recovering)]);
    assert_eq!(core.waiting().unwrap().members, [other.id]);
}

#[test]
fn sync_without_replicas_takes_no_operation_and_says_what_it_lacks() {
    let core = open(Asked { replication: Some(Mode::Sync), ..Asked::default() });
    assert_eq!(core.refusal(None), Some(Refusal::NotEnoughReplicas { wanted: 1, present: 0 }));
    assert_eq!(core.state(), NodeState::Blocked);
}

#[test]
fn what_is_asked_for_and_differs_becomes_a_record_of_its_own_once_the_epoch_is_open() {
    let last = Epoch { number: 1, owner: me().id, start: 1 };
    let asked = Asked { sync_timeout_ms: Some(500), ..Asked::default() };
    let (mut core, _) = start(restarted(last, true), asked);
    step(&mut core, Input::Recorded);
    let out = step(&mut core, synced(10));
    let [Output::Commit(10), Output::Opened(_), Output::Append { slot, control: Some(control) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((slot.version, control.method), (11, methods::CONFIG));
    assert_eq!(ClusterConfig::from_json(&control.data).unwrap().sync_timeout_ms, 500);
    assert_eq!(step(&mut core, synced(11)), [Output::Commit(11)]);
}

#[test]
fn without_room_nothing_was_logged_and_the_versions_are_given_out_again() {
    let mut core = open(Asked::default());
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::Propose { expect: None });
    assert_eq!(step(&mut core, Input::NoRoom { last: 1 }), [Output::Rewind { to: 1 }]);
    let out = step(&mut core, Input::Propose { expect: None });
    assert!(matches!(out[..], [Output::Append { slot: Slot { version: 2, .. }, .. }]), "{out:?}");
}

#[test]
fn after_a_storage_error_nothing_is_taken_or_committed() {
    let mut core = open(Asked::default());
    step(&mut core, Input::Propose { expect: None });
    step(&mut core, Input::StorageFailed);
    assert_eq!(step(&mut core, synced(2)), []);
    assert_eq!((core.refusal(None), core.state()), (Some(Refusal::Failed), NodeState::Failed));
}

#[test]
fn draining_finishes_what_is_in_and_takes_nothing_new() {
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
    assert!(message.contains("durable 1 -> 2, appended 1"), "{message}");
}

/// What another node says of itself first.
fn hello_of(id: u8, boot: u64) -> Hello {
    let member = Member { id: NodeId([id; 16]), name: format!("n{id}"), url: String::new() };
    let (role, promised, history) = (Role::Replica, Epoch::default(), Vec::new());
    Hello { member, boot, role, promised, head: 0, committed: 0, history, joined: false }
}

fn greet(core: &mut Replication, link: Link, boot: u64, now: Time) -> Outputs {
    let mut out = Outputs::new();
    core.step(Input::Connected { link, dialed: false }, now, &mut out);
    core.step(Input::Message { link, message: Message::Hello(hello_of(9, boot)) }, now, &mut out);
    out
}

#[test]
fn a_second_process_with_one_identity_is_refused_while_the_first_one_lives() {
    let mut core = open(Asked::default());
    let twin = Event::Twin(NodeId([9; 16]));
    let is_told = |out: &Outputs| out.contains(&Output::Event(twin.clone()));
    let is_refused = |out: &Outputs, link| {
        let says = |output: &Output| match output {
            Output::Send { link: to, message: Message::Refused(refused) } => {
                *to == link && refused.why == RefusedWhy::Twin
            }
            _ => false,
        };
        out.iter().any(says) && out.contains(&Output::Close { link, why: Closing::Twin })
    };
    assert!(!is_told(&greet(&mut core, 1, 100, 0)));
    let out = greet(&mut core, 2, 200, 500_000);
    assert!(is_refused(&out, 2) && is_told(&out), "{out:?}");
    let out = greet(&mut core, 3, 200, 600_000);
    assert!(is_refused(&out, 3) && !is_told(&out), "it is told once: {out:?}");
    // The same process on another connection is no second one, and who has gone silent makes room.
    let out = greet(&mut core, 4, 100, 700_000);
    assert!(!is_refused(&out, 4) && !is_refused(&out, 1), "{out:?}");
    let out = greet(&mut core, 5, 200, 1_700_000);
    assert!(!is_refused(&out, 5) && out.contains(&Output::Close { link: 4, why: Closing::Replaced }), "{out:?}");
}

/// A primary whose log names one more, which was in its set and does not answer any more: it goes on alone.
fn left_alone() -> Replication {
    let last = Epoch { number: 3, owner: me().id, start: 4 };
    let mut found = restarted(last, true);
    found.configs[0].1.members.push(hello_of(9, 1).member);
    let (mut core, _) = start(found, Asked::default());
    step(&mut core, Input::Recorded);
    assert_eq!(step(&mut core, synced(10)), [Output::Commit(10), Output::Opened(core.epoch())]);
    core
}

#[test]
fn the_removal_of_the_last_replica_is_answered_when_it_is_committed_and_by_nothing_later() {
    let mut core = left_alone();
    let gone = NodeId([9; 16]);
    let out = step(&mut core, Input::RemoveMember { request: 5, id: gone, force: false });
    assert!(matches!(out[..], [Output::Append { slot: Slot { version: 11, .. }, .. }]), "{out:?}");
    let out = step(&mut core, synced(11));
    assert_eq!(out, [Output::Commit(11), Output::Answer { request: 5, result: Ok(()) }]);
    assert_eq!(core.wake_at(), None);
}

#[test]
fn what_is_asked_for_while_a_change_is_on_its_way_follows_it_without_anything_else() {
    let mut core = left_alone();
    step(&mut core, Input::RemoveMember { request: 5, id: NodeId([9; 16]), force: false });
    step(&mut core, Input::Change(Asked { sync_timeout_ms: Some(500), ..Asked::default() }));
    let out = step(&mut core, synced(11));
    let [Output::Commit(11), Output::Answer { .. }, Output::Append { slot, control: Some(control) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((slot.version, ClusterConfig::from_json(&control.data).unwrap().sync_timeout_ms), (12, 500));
    assert_eq!(step(&mut core, synced(12)), [Output::Commit(12)]);
}

#[test]
fn who_was_removed_is_not_among_the_peers_any_more_unless_it_is_connected() {
    let mut core = left_alone();
    let gone = NodeId([9; 16]);
    greet(&mut core, 1, 100, 0);
    let mut out = Outputs::new();
    core.step(Input::Closed { link: 1 }, 0, &mut out);
    assert_eq!(core.peers().len(), 1, "a member is shown when it is away");
    step(&mut core, Input::RemoveMember { request: 5, id: gone, force: false });
    assert_eq!(core.peers().len(), 1, "it is one until its removal is committed");
    step(&mut core, synced(11));
    assert_eq!(core.peers(), []);
    greet(&mut core, 2, 101, 0);
    assert!(matches!(&core.peers()[..], [peer] if peer.connected && peer.member.id == gone), "{:?}", core.peers());
}

#[test]
fn what_a_member_had_confirmed_is_known_when_it_is_away_and_not_believed_of_an_older_copy() {
    let mut core = left_alone();
    let id = NodeId([9; 16]);
    let epoch = core.epoch();
    let history = vec![EpochStart { epoch: Epoch { start: 4, ..epoch }, first: 1, forced: false }];
    let acked = |core: &Replication| core.peers().iter().map(|peer| peer.acked).collect::<Vec<_>>();
    let come = |core: &mut Replication, link, boot, head| {
        let mut out = Outputs::new();
        let hello = Hello { head, committed: 7, history: history.clone(), joined: true, ..hello_of(9, boot) };
        core.step(Input::Connected { link, dialed: false }, 0, &mut out);
        core.step(Input::Message { link, message: Message::Hello(hello) }, 0, &mut out);
        let read = out.iter().find_map(|output| match output {
            Output::ReadHash { version, .. } => Some(*version),
            _ => None,
        });
        if let Some(version) = read {
            core.step(Input::HashIs { link, version, hash: Some(crate::types::Hash([1; 32])) }, 0, &mut out);
        }
        out
    };
    core.step(Input::Flush, 0, &mut Outputs::new());
    come(&mut core, 1, 100, 8);
    let ack = Ack { epoch, received: 10, durable: 10, applied: 7 };
    let mut out = Outputs::new();
    core.step(Input::Message { link: 1, message: Message::Ack(ack) }, 0, &mut out);
    assert_eq!(acked(&core), [10], "{out:?}");
    core.step(Input::Closed { link: 1 }, 0, &mut out);
    assert_eq!(acked(&core), [10], "it is no further behind because it is away");
    // An older copy of its directory.
    come(&mut core, 2, 101, 8);
    core.step(Input::Closed { link: 2 }, 0, &mut out);
    assert_eq!((acked(&core), core.peers()[0].went_back, core.peers()[0].member.id), (vec![8], Some(10), id));
}

#[test]
fn a_log_from_a_backup_makes_no_member_and_a_promise_ends_that() {
    let other = Member { id: NodeId([3; 16]), name: "n3".into(), url: String::new() };
    let epoch = Epoch { number: 4, owner: other.id, start: 1 };
    let found = |standing: Standing| Found {
        head: 5,
        committed: 5,
        applied: 5,
        history: vec![EpochStart { epoch, first: 1, forced: false }],
        configs: vec![(1, ClusterConfig::first(other.clone()))],
        standing: Some(standing),
        ..empty()
    };
    let joined = |standing: Standing| {
        let mut out = Outputs::new();
        let mut core = Replication::start(found(standing), Role::Replica, Asked::default(), true, 0, &mut out);
        core.step(Input::Connected { link: 1, dialed: true }, 0, &mut out);
        let said = out.into_iter().find_map(|output| match output {
            Output::Send { message: Message::Hello(hello), .. } => Some(hello.joined),
            _ => None,
        });
        (said.unwrap(), core.is_restored())
    };
    assert_eq!(joined(Standing::default()), (false, true));
    let removed = Standing { promised: epoch, ..Standing::default() };
    assert_eq!(joined(removed), (true, false), "it was a member, and is none any more");
}

#[test]
fn an_offer_that_is_older_than_what_its_primary_has_sent_since_cuts_nothing() {
    let primary = Member { id: NodeId([3; 16]), name: "n3".into(), url: String::new() };
    let epoch = Epoch { number: 4, owner: primary.id, start: 1 };
    let history = vec![EpochStart { epoch, first: 1, forced: false }];
    let config = ClusterConfig { members: vec![primary.clone(), me()], ..ClusterConfig::first(primary.clone()) };
    // Behind version 2 nothing is known to be committed, and everything is acknowledged.
    let found = Found {
        head: 5,
        committed: 2,
        applied: 2,
        history: history.clone(),
        configs: vec![(2, config)],
        standing: Some(Standing { promised: epoch, ..Standing::default() }),
        ..empty()
    };
    let hash = |version: Version| crate::types::Hash([version as u8; 32]);
    for (head, history) in [(5, history.clone()), (2, history.clone()), (0, Vec::new())] {
        let mut out = Outputs::new();
        let mut core = Replication::start(found.clone(), Role::Replica, Asked::default(), true, 0, &mut out);
        let common =
            Position { epoch: if head > 0 { epoch } else { Epoch::default() }, version: head, hash: hash(head) };
        let follow = Follow { epoch, common, history: history.clone(), head, outside_sync: false, snapshot: None };
        let hello = Hello { member: primary.clone(), history, head, ..hello_of(3, 1) };
        for input in [
            Input::Connected { link: 1, dialed: true },
            Input::Message { link: 1, message: Message::Hello(hello) },
            Input::Message { link: 1, message: Message::Follow(follow) },
            Input::HashIs { link: 1, version: head, hash: Some(hash(head)) },
        ] {
            core.step(input, 0, &mut out);
        }
        let cuts = out.iter().any(|output| matches!(output, Output::Cut { .. }));
        let closes = out.iter().any(|output| matches!(output, Output::Close { link: 1, why: Closing::Again }));
        let follows = out.iter().any(|output| matches!(output, Output::Event(Event::Following(_))));
        assert_eq!((cuts, closes, follows), (false, head < 5, head == 5), "{out:?}");
    }
}

#[test]
fn who_has_cut_its_log_for_a_force_and_has_nothing_of_that_yet_is_no_heir_by_what_is_left() {
    let winner = Member { id: NodeId([3; 16]), name: "n3".into(), url: String::new() };
    let epoch = |number: u64, owner: &Member| Epoch { number, owner: owner.id, start: 1 };
    let start = |epoch: Epoch, first: Version, forced: bool| EpochStart { epoch, first, forced };
    let alone = ClusterConfig { replication: Mode::Sync, ..ClusterConfig::first(me()) };
    let both = ClusterConfig { members: vec![winner.clone(), me()], ..alone.clone() };
    let found = Found {
        head: 9,
        committed: 9,
        applied: 9,
        history: vec![start(epoch(1, &me()), 1, false)],
        configs: vec![(2, both)],
        standing: Some(Standing { promised: epoch(1, &me()), ..Standing::default() }),
        ..empty()
    };
    let mut out = Outputs::new();
    let mut core = Replication::start(found.clone(), Role::Replica, Asked::default(), true, 0, &mut out);
    let history = vec![start(epoch(1, &me()), 1, false), start(epoch(2, &winner), 2, true)];
    let hash = crate::types::Hash([1; 32]);
    let common = Position { epoch: epoch(1, &me()), version: 1, hash };
    let follow = Follow {
        epoch: epoch(2, &winner),
        common,
        history: history.clone(),
        head: 5,
        outside_sync: true,
        snapshot: None,
    };
    let hello = Hello { member: winner.clone(), history, head: 5, ..hello_of(3, 1) };
    // What is left names this node alone.
    let left = vec![(1, alone)];
    for input in [
        Input::Connected { link: 1, dialed: true },
        Input::Message { link: 1, message: Message::Hello(hello) },
        Input::Message { link: 1, message: Message::Follow(follow) },
        Input::Recorded,
        Input::HashIs { link: 1, version: 1, hash: Some(hash) },
        Input::Cut { applied: 1, configs: left.clone() },
        Input::Closed { link: 1 },
        Input::Promote { request: 1, force: false },
        Input::Tick,
    ] {
        core.step(input, 0, &mut out);
    }
    let place = |is_it: fn(&Output) -> bool| out.iter().position(is_it);
    let recorded = place(|output| matches!(output, Output::Record(Standing { lacks: 2, .. })));
    let cut = place(|output| matches!(output, Output::Cut { to: 1, .. }));
    assert!(recorded.is_some() && cut.is_some() && recorded < cut, "{out:?}");
    let refused = Output::Answer { request: 1, result: Err(NotPromoted::Lacks { version: 2, head: 1 }) };
    assert!(out.contains(&refused), "{out:?}");
    // Nor after a restart as the only member of what is left.
    let standing = Standing { promised: epoch(2, &winner), lacks: 2, ..Standing::default() };
    let (head, committed, applied) = (1, 1, 1);
    let found = Found { head, committed, applied, configs: left, standing: Some(standing), ..found };
    let (core, out) = start_at(found, 10_000_000);
    assert_eq!((core.role(), core.is_open()), (Role::Replica, false), "{out:?}");
}
