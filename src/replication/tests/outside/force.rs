//! After an operator's force: who may lead again, and when, without another one.

use super::*;

fn start(number: u64, owner: u8, first: Version, forced: bool) -> EpochStart {
    EpochStart { epoch: epoch(number, owner, 1), first, forced }
}

/// What n2 offers, or n1, from where the logs part.
fn follow(of: Epoch, common: Epoch, version: Version, history: Vec<EpochStart>, head: Version) -> Input {
    let common = Position { epoch: common, version, hash: Hash([version as u8; 32]) };
    let follow = Follow { epoch: of, common, history, head, outside_sync: true, snapshot: None };
    Input::Message { link: 1, message: Message::Follow(follow) }
}

/// n2, restarted as a replica: link 1 is n1's, and nothing was read of the coordinator.
fn replica_of(found: Found) -> Node {
    let mut node = Node::new(Found { me: member(2), ..found }, Role::Replica);
    node.tell(Input::Connected { link: 1, dialed: true });
    node.tell(Input::Message { link: 1, message: hello(1) });
    node
}

/// n1, started again beside n2: it reads this value.
fn started_again(found: Found, role: Role, value: Register) -> Node {
    let mut node = Node::new(found, role);
    node.seen = Seen { register: Some(value), revision: 11, leased: false };
    node.tell(Input::Connected { link: 2, dialed: true });
    node.tell(Input::Message { link: 2, message: hello(2) });
    node.now = 600_000;
    node.tell(Input::Tried);
    node.live(5 * SECOND, &[2]);
    node
}

#[test]
fn a_force_that_the_own_log_has_leads_nobody_astray_who_has_not_read_the_value_yet() {
    // Term 3 began by force, long ago; term 6 has been in the value since.
    let standing = Standing { promised: epoch(6, 1, 1), ..Standing::default() };
    let mut found = found(&[1, 2], standing);
    found.history = vec![start(3, 1, 1, true), start(6, 1, 9, false)];
    let mut node = replica_of(found.clone());
    node.tell(follow(epoch(6, 1, 1), epoch(6, 1, 1), 9, found.history, 9));
    assert!(!node.core.recorded.adrift);
    node.tell(Input::Closed { link: 1 });
    node.seen = Seen { register: Some(value(epoch(6, 1, 1), &[2])), revision: 11, leased: false };
    node.live(5 * SECOND, &[]);
    assert!(node.core.is_open(), "{:?}", node.core.state());
}

#[test]
fn a_new_force_leads_astray_who_has_not_read_the_value_yet() {
    let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
    let mut node = replica_of(found(&[1, 2], standing));
    let history = vec![start(3, 1, 1, false), start(4, 1, 10, true)];
    node.tell(follow(epoch(4, 1, 1), epoch(3, 1, 1), 9, history, 10));
    assert!(node.core.recorded.adrift);
}

#[test]
fn a_force_that_comes_behind_the_offer_is_judged_by_the_next_one() {
    for is_known in [false, true] {
        let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
        let mut node = replica_of(found(&[1, 2], standing));
        node.seen =
            Seen { register: Some(value(epoch(3 + u64::from(is_known), 1, 1), &[2])), revision: 11, leased: true };
        node.tell(Input::Registered(node.seen.clone()));
        // Its primary had no room for the record of term 4 when it made the offer.
        let old = vec![start(3, 1, 1, false)];
        node.tell(follow(epoch(4, 1, 1), epoch(3, 1, 1), 9, old.clone(), 9));
        let config = node.core.config().unwrap().clone();
        let control = Some(ControlData { config, forced: true, restored: None });
        let before = Position { epoch: epoch(3, 1, 1), version: 9, hash: Hash([9; 32]) };
        let landmarks = vec![Landmark { version: 10, epoch: epoch(4, 1, 1), control }];
        let append = Append { epoch: epoch(4, 1, 1), before, last: 10, committed: 9, landmarks };
        node.tell(Input::Message { link: 1, message: Message::Append(append) });
        assert_eq!(node.said(|output| *output == Output::Write) > 0, is_known);
        assert_eq!(node.said(|output| matches!(output, Output::Close { why: Closing::Again, .. })) > 0, !is_known);
    }
}

#[test]
fn who_led_by_force_leads_again_when_the_value_has_its_term_whatever_its_disk_says() {
    // The swap was taken, and its answer lost: nothing was recorded of it.
    for (role, start_of_value) in [(Role::Primary, 1), (Role::Replica, 1), (Role::Primary, 2)] {
        let primary = role == Role::Primary;
        let standing =
            Standing { promised: epoch(5, 1, 1), primary, forced: true, adrift: true, ..Standing::default() };
        let mut found = found(&[1, 2], standing);
        found.history = vec![start(3, 2, 1, false), start(5, 1, 9, true)];
        let node = started_again(found, role, value(epoch(5, 1, start_of_value), &[]));
        assert!(node.core.is_open() && !node.core.recorded.adrift, "{role:?}: {:?}", node.core.state());
    }
}

#[test]
fn who_led_by_force_goes_on_when_it_is_started_again_as_whatever_it_is() {
    // The coordinator was away all the time, and knows nothing of it.
    for role in [Role::Primary, Role::Replica] {
        let standing =
            Standing { promised: epoch(5, 1, 1), primary: true, forced: true, adrift: true, ..Standing::default() };
        let mut found = found(&[1, 2], standing);
        found.history = vec![start(3, 2, 1, false), start(5, 1, 9, true)];
        let node = started_again(found, role, value(epoch(3, 2, 1), &[1]));
        assert!(node.core.is_open() && !node.core.recorded.adrift, "{role:?}: {:?}", node.core.state());
        assert!(node.core.history().starts().last().unwrap().forced);
    }
}

#[test]
fn a_force_begins_again_by_force_although_its_node_had_gone_with_another_one() {
    let standing = Standing { promised: epoch(7, 2, 1), forced: true, adrift: true, ..Standing::default() };
    let mut node = replica(standing, value(epoch(7, 2, 1), &[]));
    node.live(5 * SECOND, &[]);
    assert!(node.core.is_open(), "{:?}", node.core.state());
    assert!(node.core.history().starts().last().unwrap().forced);
}

#[test]
fn of_two_forces_the_first_does_not_begin_as_one_that_lacks_nothing() {
    let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
    let mut node = replica(standing, value(epoch(3, 1, 1), &[]));
    node.answers_swaps = false;
    node.tell(Input::Registered(Seen { leased: true, ..node.seen.clone() }));
    node.tell(Input::Promote { request: 1, force: true });
    node.now += 3 * SECOND;
    node.tell(Input::Tick);
    // It is taken, and the answer lost.
    let (_, register) = node.swap.take().unwrap();
    node.tell(Input::Reachable(false));
    node.tell(Input::Connected { link: 1, dialed: true });
    node.tell(Input::Message { link: 1, message: hello(1) });
    node.tell(Input::Promote { request: 2, force: true });
    let refused = Refused { promised: epoch(9, 1, 1), why: RefusedWhy::Fenced };
    node.tell(Input::Message { link: 1, message: Message::Refused(refused) });
    node.tell(Input::Closed { link: 1 });
    node.answers_swaps = true;
    node.seen = Seen { register: Some(register), revision: 11, leased: false };
    node.live(10 * SECOND, &[]);
    let unforced = node.core.history().starts().iter().filter(|start| !start.forced);
    assert_eq!(unforced.map(|start| start.epoch).collect::<Vec<_>>(), [epoch(3, 1, 1)]);
}

#[test]
fn who_is_elected_does_not_try_where_another_log_has_a_force_that_is_newer_than_all_of_its_own() {
    // The value has gone on to term 6 meanwhile, which nobody has a record of.
    for (forced, tries) in [(true, false), (false, true)] {
        let standing = Standing { promised: epoch(6, 2, 1), ..Standing::default() };
        let mut node = replica(standing, value(epoch(6, 2, 1), &[]));
        let Message::Hello(hello) = hello(1) else { unreachable!() };
        let history = vec![start(3, 1, 1, false), start(5, 1, 9, forced)];
        let hello = Hello { history, promised: epoch(5, 1, 1), ..hello };
        node.tell(Input::Connected { link: 1, dialed: true });
        node.tell(Input::Message { link: 1, message: Message::Hello(hello) });
        node.live(5 * SECOND, &[1]);
        assert_eq!(node.said(|output| matches!(output, Output::Swap { .. })) > 0, tries, "forced: {forced}");
    }
}

#[test]
fn who_is_deposed_says_so_to_everyone() {
    let mut node = primary(&[1, 2, 3], &[2], &[2]);
    node.tell(Input::Reachable(false));
    node.tell(Input::Connected { link: 3, dialed: true });
    let Message::Hello(hello) = hello(3) else { unreachable!() };
    let hello = Hello { promised: epoch(7, 3, 1), ..hello };
    node.tell(Input::Message { link: 3, message: Message::Hello(hello) });
    assert_eq!(node.core.role(), Role::Replica);
    let is_told = |output: &Output| match output {
        Output::Send { link: 2, message: Message::Hello(hello) } => hello.role == Role::Replica,
        _ => false,
    };
    assert_eq!(node.said(is_told), 1);
}
