//! One member with a coordinator, whose answers the test gives: what a simulator meets once in a million seeds.

mod force;

use super::*;
use crate::types::Hash;

const SECOND: Time = 1_000_000;

fn member(number: u8) -> Member {
    Member { id: id(number), name: format!("n{number}"), url: format!("http://127.0.0.1:{number}") }
}

fn epoch(number: u64, owner: u8, start: u64) -> Epoch {
    Epoch { number, owner: id(owner), start }
}

fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

fn ids(numbers: &[u8]) -> Vec<NodeId> {
    numbers.iter().map(|number| id(*number)).collect()
}

/// A member, its disk, which takes everything at once, and what the coordinator holds.
struct Node {
    core: Replication,
    now: Time,
    told: Vec<Output>,
    seen: Seen,
    /// A swap that nobody has answered.
    swap: Option<(u64, Register)>,
    answers_swaps: bool,
    has_room: bool,
    no_room: bool,
}

impl Node {
    fn new(found: Found, role: Role) -> Self {
        let mut out = Outputs::new();
        let core = Replication::start(found, role, Asked::default(), true, 0, &mut out);
        let mut node = Self {
            core,
            now: 0,
            told: Vec::new(),
            seen: Seen::default(),
            swap: None,
            answers_swaps: true,
            has_room: true,
            no_room: false,
        };
        node.carry_out(out);
        node
    }

    fn tell(&mut self, input: Input) {
        let mut out = Outputs::new();
        self.core.step(input, self.now, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Outputs) {
        let (mut inputs, mut appended) = (Vec::new(), None);
        for output in out {
            match &output {
                Output::Record(_) => inputs.push(Input::Recorded),
                Output::Append { slot, .. } => appended = Some(slot.version),
                Output::ReadHash { link, version } => {
                    let hash = Some(Hash([*version as u8; 32]));
                    inputs.push(Input::HashIs { link: *link, version: *version, hash });
                }
                Output::Swap { expect, register } if self.answers_swaps => {
                    assert_eq!(*expect, self.seen.revision);
                    self.seen = Seen { register: Some(register.clone()), revision: expect + 1, leased: true };
                    inputs.push(Input::Swapped(self.seen.clone()));
                }
                Output::Swap { expect, register } => self.swap = Some((*expect, register.clone())),
                Output::TryAgain => self.no_room = true,
                _ => {}
            }
            self.told.push(output);
        }
        if let Some(version) = appended {
            inputs.push(Input::Flush);
            match self.has_room {
                true => inputs.push(synced(version)),
                false => self.no_room = true,
            }
        }
        inputs.into_iter().for_each(|input| self.tell(input));
    }

    fn said(&self, is_it: impl Fn(&Output) -> bool) -> usize {
        self.told.iter().filter(|output| is_it(output)).count()
    }

    /// Time goes by, and the coordinator is read, its lease held, the others heard.
    fn live(&mut self, time: Time, links: &[Link]) {
        let until = self.now + time;
        while self.now < until {
            self.now += 50_000;
            self.tell(Input::Registered(self.seen.clone()));
            self.tell(Input::Leased { until: Time::MAX });
            for link in links {
                self.tell(Input::Message { link: *link, message: Message::Alive });
            }
            self.tell(Input::Tick);
            if std::mem::take(&mut self.no_room) {
                self.tell(Input::NoRoom { last: self.core.durable() });
            }
        }
    }

    fn acknowledge(&mut self, link: u8, version: Version) {
        let ack = Ack { epoch: self.core.epoch(), received: version, durable: version, applied: 0 };
        self.tell(Input::Message { link: link.into(), message: Message::Ack(ack) });
    }
}

/// What `members[0]` finds after term 3 of n1, which has ended with version 9.
fn found(members: &[u8], standing: Standing) -> Found {
    let config = ClusterConfig {
        members: members.iter().map(|number| member(*number)).collect(),
        replication: Mode::SemiSync,
        ..ClusterConfig::first(member(members[0]))
    };
    Found {
        me: member(members[0]),
        head: 9,
        committed: 9,
        applied: 9,
        history: vec![EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false }],
        configs: vec![(1, config)],
        standing: Some(standing),
        coordinated: true,
        ..empty()
    }
}

fn value(epoch: Epoch, set: &[u8]) -> Register {
    Register { epoch, set: ids(set), open: true, mode: Mode::SemiSync, end: (Epoch::default(), 0) }
}

fn hello(number: u8) -> Message {
    Message::Hello(Hello {
        member: member(number),
        boot: 5,
        role: Role::Replica,
        promised: epoch(3, 1, 1),
        head: 9,
        committed: 9,
        history: vec![EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false }],
        joined: true,
    })
}

/// n1, restarted: it has taken term 4, and waits for those that the value names.
fn elected(members: &[u8], set: &[u8], links: &[u8], has_room: bool) -> Node {
    let standing = Standing { promised: epoch(3, 1, 1), primary: true, set: ids(set), ..Standing::default() };
    let mut node = Node::new(found(members, standing), Role::Primary);
    node.has_room = has_room;
    node.seen = Seen { register: Some(value(epoch(3, 1, 1), set)), revision: 10, leased: true };
    for number in links {
        let link = u64::from(*number);
        node.tell(Input::Connected { link, dialed: true });
        node.tell(Input::Message { link, message: hello(*number) });
    }
    node.now = 600_000;
    node.tell(Input::Tried);
    node.tell(Input::Registered(node.seen.clone()));
    let history = vec![EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false }];
    for number in links {
        let promised = Promised { epoch: epoch(4, 1, 1), head: 9, committed: 9, history: history.clone() };
        node.tell(Input::Message { link: u64::from(*number), message: Message::Promised(promised) });
    }
    for number in links {
        node.tell(Input::Message { link: u64::from(*number), message: hello(*number) });
        node.acknowledge(*number, 9);
    }
    node.tell(Input::Leased { until: Time::MAX });
    node
}

/// n1 leads term 4 with the set of the value; every version up to 10 is committed. Swaps are not answered from here on.
fn primary(members: &[u8], set: &[u8], links: &[u8]) -> Node {
    let mut node = elected(members, set, links, true);
    set.iter().for_each(|number| node.acknowledge(*number, 10));
    assert!(node.core.is_open());
    assert_eq!(node.core.epoch(), epoch(4, 1, 1));
    node.answers_swaps = false;
    node
}

/// n2, which follows nobody, where the value says this.
fn replica(standing: Standing, value: Register) -> Node {
    let mut node = Node::new(Found { me: member(2), ..found(&[1, 2], standing) }, Role::Replica);
    node.seen = Seen { register: Some(value), revision: 10, leased: false };
    node
}

#[test]
fn a_swap_that_names_somebody_new_is_not_taken_back_for_it_may_have_been_taken() {
    let mut node = primary(&[1, 2, 3], &[2], &[2, 3]);
    assert_eq!(node.core.in_sync(), ids(&[2]));
    // n2 stalls, and in the same turn n3 has everything.
    node.now = SECOND;
    node.tell(Input::Propose { expect: None });
    node.now += 1_900_000;
    for link in [2, 3] {
        node.tell(Input::Message { link, message: Message::Alive });
    }
    assert_eq!(node.swap, None);
    node.now += 101_000;
    node.acknowledge(3, 11);
    assert_eq!(node.swap.as_ref().map(|(_, value)| value.set.clone()), Some(ids(&[3])));
    // It is taken; the answer is lost, the coordinator and n3 are not reached any more, and n2 is back.
    node.tell(Input::Reachable(false));
    node.tell(Input::Closed { link: 3 });
    node.now += 100_000;
    node.acknowledge(2, 11);
    node.tell(Input::Propose { expect: None });
    node.acknowledge(2, 12);
    assert_eq!(node.core.committed(), 10, "n3 may lead next, and has no more than 11");
    assert_eq!(node.said(|output| *output == Output::ForgetSwap), 0);
}

#[test]
fn a_swap_that_only_leaves_somebody_out_is_taken_back_when_that_one_acknowledges_again() {
    let mut node = primary(&[1, 2, 3], &[2, 3], &[2, 3]);
    node.now = SECOND;
    node.tell(Input::Propose { expect: None });
    node.now += 2_001_000;
    node.acknowledge(3, 11);
    assert_eq!(node.swap.as_ref().map(|(_, value)| value.set.clone()), Some(ids(&[3])));
    node.tell(Input::Reachable(false));
    node.acknowledge(2, 11);
    assert_eq!((node.core.committed(), node.core.refusal(None)), (11, None));
}

#[test]
fn a_smaller_set_that_was_taken_late_grows_again_by_a_rule_that_was_made_meanwhile() {
    let mut node = primary(&[1, 2, 3], &[2, 3], &[2, 3]);
    node.now = SECOND;
    node.tell(Input::Propose { expect: None });
    node.now += 2_001_000;
    node.acknowledge(2, 11);
    let (revision, register) = node.swap.take().unwrap();
    assert_eq!(register.set, ids(&[2]));
    // Nobody has answered yet. Both are to be waited for from now on, and then n3 is removed, which both have to agree to.
    node.acknowledge(3, 11);
    let asked = Asked { replication: Some(Mode::Sync), min_replicas: Some(2), ..Asked::default() };
    node.tell(Input::Change(asked));
    [2, 3].iter().for_each(|number| node.acknowledge(*number, 12));
    assert_eq!(node.core.committed(), 12);
    node.tell(Input::RemoveMember { request: 1, id: id(3), force: false });
    node.answers_swaps = true;
    node.seen = Seen { register: Some(register), revision: revision + 1, leased: true };
    node.tell(Input::Swapped(node.seen.clone()));
    for _ in 0..40 {
        node.live(100_000, &[2, 3]);
        [2, 3].iter().for_each(|number| node.acknowledge(*number, node.core.appended()));
    }
    assert!(node.core.committed() >= 13, "{}", node.core.committed());
}

#[test]
fn who_acknowledges_is_not_removed_while_the_coordinator_is_away_and_writes_go_on() {
    let mut node = primary(&[1, 2, 3], &[2, 3], &[2, 3]);
    node.tell(Input::Reachable(false));
    let is_change = |output: &Output| matches!(output, Output::Swap { .. } | Output::ForgetSwap);
    let before = node.said(is_change);
    node.tell(Input::RemoveMember { request: 1, id: id(3), force: false });
    for _ in 0..100 {
        node.now += 10_000;
        [2, 3].iter().for_each(|number| node.acknowledge(*number, node.core.appended()));
        node.tell(Input::Tick);
        assert_eq!(node.core.refusal(None), None);
    }
    assert_eq!(node.said(is_change) - before, 0, "nothing is wanted that could not be had");
}

#[test]
fn async_goes_on_with_those_who_are_named_while_the_coordinator_is_away() {
    let mut node = primary(&[1, 2], &[2], &[2]);
    node.tell(Input::Reachable(false));
    node.tell(Input::Change(Asked { replication: Some(Mode::Async), ..Asked::default() }));
    for _ in 0..100 {
        node.now += 10_000;
        node.acknowledge(2, node.core.appended());
        node.tell(Input::Tick);
        assert_eq!(node.core.refusal(None), None);
    }
}

#[test]
fn a_term_is_not_handed_over_while_nobody_could_take_it() {
    let mut node = primary(&[1, 2], &[2], &[2]);
    node.tell(Input::Reachable(false));
    node.tell(Input::Message { link: 2, message: Message::HandOverPlease });
    node.acknowledge(2, 10);
    assert_eq!((node.core.role(), node.core.refusal(None)), (Role::Primary, None));
    let refused = |output: &Output| {
        matches!(
            output,
            Output::Send { message: Message::Refused(Refused { why: RefusedWhy::CannotHandOver, .. }), .. }
        )
    };
    assert_eq!(node.said(refused), 1);
}

#[test]
fn of_a_hand_over_only_the_heir_is_told_and_nobody_else_tries() {
    let mut node = primary(&[1, 2, 3], &[2, 3], &[2, 3]);
    node.tell(Input::Demote);
    node.acknowledge(2, 10);
    node.tell(Input::Tick);
    assert_eq!(node.core.role(), Role::Replica);
    let to = |link: Link, is_it: fn(&Message) -> bool| move |output: &Output| matches!(output, Output::Send { link: of, message } if *of == link && is_it(message));
    assert_eq!(node.said(to(2, |message| matches!(message, Message::HandOver { .. }))), 1);
    let follows = |message: &Message| matches!(message, Message::Hello(hello) if hello.role == Role::Replica);
    assert_eq!(node.said(to(3, follows)), 0);
}

#[test]
fn who_waits_for_a_swap_that_nobody_answers_can_be_forced() {
    let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
    let mut node = replica(standing, value(epoch(3, 1, 1), &[2]));
    node.seen.leased = true;
    node.answers_swaps = false;
    node.now = 600_000;
    node.tell(Input::Registered(node.seen.clone()));
    node.tell(Input::Promote { request: 1, force: true });
    for request in [2, 3] {
        for _ in 0..100 {
            node.now += 50_000;
            node.tell(Input::Tick);
        }
        assert!(node.swap.is_some() && !node.core.is_open());
        node.tell(Input::Reachable(request == 2));
        node.tell(Input::Promote { request, force: true });
    }
    let busy = Output::Answer { request: 2, result: Err(NotPromoted::Busy) };
    assert_eq!(node.said(|output| *output == busy), 1, "while the coordinator answers there is something to wait for");
    for _ in 0..100 {
        node.now += 50_000;
        node.tell(Input::Tick);
    }
    assert!(node.core.is_open(), "{:?}", node.core.state());
}

#[test]
fn a_term_by_force_stays_one_through_a_second_crash() {
    // The second try is in the value, and not on this disk.
    let standing = Standing { promised: epoch(7, 2, 1), forced: true, ..Standing::default() };
    let mut node = replica(standing, value(epoch(7, 2, 2), &[]));
    node.live(5 * SECOND, &[]);
    assert!(node.core.is_open());
    assert_eq!(node.core.history().starts().last().map(|start| start.forced), Some(true));
}

#[test]
fn who_gave_up_its_term_by_force_for_another_promise_does_not_lead_by_the_value_that_names_it() {
    // It makes no difference whether the value was read before it promised.
    for has_read in [true, false] {
        let standing = Standing { promised: epoch(7, 2, 1), forced: true, ..Standing::default() };
        let mut node = replica(standing, value(epoch(7, 2, 1), &[]));
        node.tell(Input::Connected { link: 1, dialed: true });
        node.tell(Input::Message { link: 1, message: hello(1) });
        if has_read {
            node.tell(Input::Registered(Seen { leased: true, ..node.seen.clone() }));
        }
        node.tell(Input::Message { link: 1, message: Message::Promise { epoch: epoch(8, 1, 1) } });
        node.live(5 * SECOND, &[]);
        assert_eq!(node.core.role(), Role::Replica, "read before: {has_read}");
    }
}

#[test]
fn who_gave_up_a_term_by_force_that_the_value_has_left_behind_leads_when_that_names_it() {
    let standing = Standing { promised: epoch(7, 2, 1), forced: true, ..Standing::default() };
    let mut node = replica(standing, value(epoch(8, 1, 1), &[2]));
    node.tell(Input::Connected { link: 1, dialed: true });
    node.tell(Input::Message { link: 1, message: hello(1) });
    node.tell(Input::Registered(Seen { leased: true, ..node.seen.clone() }));
    node.tell(Input::Message { link: 1, message: Message::Promise { epoch: epoch(8, 1, 1) } });
    node.live(5 * SECOND, &[]);
    assert!(node.core.is_open(), "nobody can put the old term there any more");
}

#[test]
fn who_follows_a_force_that_the_value_never_knew_does_not_lead_by_its_word() {
    // n1 has begun a term by force beside a newer one of n3, which the value has.
    let follow = |term: Epoch| Follow {
        epoch: term,
        common: Position { epoch: epoch(3, 1, 1), version: 9, hash: Hash([9; 32]) },
        history: vec![
            EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false },
            EpochStart { epoch: epoch(5, 1, 1), first: 10, forced: true },
        ],
        head: 10,
        outside_sync: true,
        snapshot: None,
    };
    let leads_later = |term: Epoch, value: Register| {
        let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
        let mut node = replica(standing, value);
        node.seen.leased = true;
        node.tell(Input::Connected { link: 1, dialed: true });
        node.tell(Input::Message { link: 1, message: hello(1) });
        node.tell(Input::Registered(node.seen.clone()));
        node.tell(Input::Message { link: 1, message: Message::Follow(follow(term)) });
        node.tell(Input::Closed { link: 1 });
        node.seen.leased = false;
        node.live(5 * SECOND, &[]);
        node.core.is_open()
    };
    assert!(!leads_later(epoch(5, 1, 1), value(epoch(5, 3, 1), &[1, 2])), "it went with n1");
    assert!(leads_later(epoch(5, 1, 1), value(epoch(5, 1, 1), &[2])), "the value is of that force itself");
    assert!(leads_later(epoch(6, 1, 1), value(epoch(6, 1, 1), &[2])), "the value's own primary vouches for it");
}

#[test]
fn a_swap_of_a_force_that_was_given_up_may_be_taken_later_and_its_node_does_not_lead_by_that() {
    let standing = Standing { promised: epoch(7, 2, 1), forced: true, ..Standing::default() };
    let mut node = replica(standing, value(epoch(5, 1, 1), &[2]));
    node.tell(Input::Connected { link: 1, dialed: true });
    node.tell(Input::Message { link: 1, message: hello(1) });
    node.tell(Input::Registered(Seen { leased: true, ..node.seen.clone() }));
    node.tell(Input::Message { link: 1, message: Message::Promise { epoch: epoch(8, 1, 1) } });
    // Another process of this node had sent it.
    node.seen = Seen { register: Some(value(epoch(7, 2, 1), &[])), revision: 11, leased: false };
    node.live(5 * SECOND, &[]);
    assert_eq!(node.core.role(), Role::Replica);
}

#[test]
fn who_is_handed_a_term_begins_it_only_if_the_value_names_it_still() {
    for (set, begins) in [(&[2][..], true), (&[], false)] {
        let standing = Standing { promised: epoch(3, 1, 1), ..Standing::default() };
        let mut node = replica(standing, value(epoch(3, 1, 1), set));
        node.seen.leased = true;
        node.tell(Input::Connected { link: 1, dialed: true });
        node.tell(Input::Message { link: 1, message: hello(1) });
        node.tell(Input::Registered(node.seen.clone()));
        let follow = Follow {
            epoch: epoch(3, 1, 1),
            common: Position { epoch: epoch(3, 1, 1), version: 9, hash: Hash([9; 32]) },
            history: vec![EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false }],
            head: 9,
            outside_sync: true,
            snapshot: None,
        };
        node.tell(Input::Message { link: 1, message: Message::Follow(follow) });
        node.tell(Input::Message { link: 1, message: Message::HandOver { epoch: epoch(4, 2, 1), head: 9 } });
        assert_eq!(node.said(|output| matches!(output, Output::Swap { .. })) > 0, begins, "named {set:?}");
        assert_eq!(node.core.role() == Role::Primary, begins, "named {set:?}");
    }
}

#[test]
fn a_term_that_takes_no_value_over_names_nobody_before_it_is_open() {
    let standing = Standing { promised: epoch(3, 1, 1), primary: true, set: ids(&[2]), ..Standing::default() };
    let mut found = found(&[1, 2], standing);
    found.configs[0].1.replication = Mode::Sync;
    let mut node = Node::new(found, Role::Primary);
    // n2 has not got all that this log has, and promises.
    let history = vec![EpochStart { epoch: epoch(3, 1, 1), first: 1, forced: false }];
    node.tell(Input::Connected { link: 2, dialed: true });
    node.tell(Input::Message { link: 2, message: hello(2) });
    node.now = 600_000;
    node.tell(Input::Tried);
    node.tell(Input::Registered(node.seen.clone()));
    let promised = Promised { epoch: epoch(4, 1, 1), head: 5, committed: 5, history };
    node.tell(Input::Message { link: 2, message: Message::Promised(promised) });
    let named = |node: &Node| node.seen.register.as_ref().map(|value| (value.epoch, value.set.clone()));
    assert_eq!(named(&node), Some((epoch(4, 1, 1), Vec::new())));
    node.tell(Input::Message { link: 2, message: hello(2) });
    node.acknowledge(2, 10);
    node.live(SECOND, &[2]);
    assert_eq!((node.core.is_open(), named(&node)), (true, Some((epoch(4, 1, 1), ids(&[2])))));
}

#[test]
fn who_gives_up_says_so_on_a_link_whose_hello_comes_in_later() {
    let standing = Standing { promised: epoch(3, 1, 1), primary: true, ..Standing::default() };
    let mut node = Node::new(found(&[1, 2], standing), Role::Primary);
    node.tell(Input::Connected { link: 2, dialed: true });
    let says = |role: Role| move |output: &Output| matches!(output, Output::Send { message: Message::Hello(hello), .. } if hello.role == role);
    assert_eq!((node.said(says(Role::Primary)), node.said(says(Role::Replica))), (1, 0));
    // By the value n2 leads, and this node is not named.
    node.seen = Seen { register: Some(value(epoch(3, 2, 1), &[])), revision: 10, leased: false };
    node.now = 600_000;
    node.tell(Input::Tried);
    node.tell(Input::Registered(node.seen.clone()));
    assert_eq!(node.core.role(), Role::Replica);
    node.tell(Input::Message { link: 2, message: hello(2) });
    assert_eq!(node.said(says(Role::Replica)), 1);
    node.tell(Input::Message { link: 2, message: hello(2) });
    assert_eq!(node.said(says(Role::Replica)), 1, "it is said once");
}

#[test]
fn who_is_started_again_and_alone_does_not_hear_the_coordinator_is_not_waited_for() {
    let standing = |primary| Standing { promised: epoch(3, 1, 1), primary, set: ids(&[2]), ..Standing::default() };
    let mut former = Node::new(found(&[1, 2], standing(true)), Role::Primary);
    former.tell(Input::Connected { link: 2, dialed: true });
    former.tell(Input::Message { link: 2, message: hello(2) });
    let mut other = replica(standing(false), value(epoch(3, 1, 1), &[2]));
    other.tell(Input::Connected { link: 1, dialed: true });
    let hear = |other: &mut Node, told: &[Output]| {
        for output in told {
            if let Output::Send { message, .. } = output {
                other.tell(Input::Message { link: 1, message: message.clone() });
            }
        }
        other.live(3 * SECOND, &[1]);
    };
    hear(&mut other, &former.told);
    assert!(!other.core.is_under_way(), "the former primary seems to be about to lead");
    let told = former.told.len();
    // What it refuses to go by it has heard.
    former.tell(Input::Reachable(false));
    assert_eq!(former.core.role(), Role::Primary);
    former.tell(Input::Unheard);
    assert_eq!((former.core.role(), former.core.state()), (Role::Replica, NodeState::Recovering));
    hear(&mut other, &former.told[told..]);
    assert!(other.core.is_under_way());
    // When it answers, the other one comes first.
    former.seen = Seen { register: Some(value(epoch(3, 1, 1), &[2])), revision: 10, leased: false };
    former.live(SECOND, &[2]);
    assert!(!former.core.is_under_way());
    former.live(SECOND / 4, &[2]);
    assert!(former.core.is_under_way(), "nobody else has taken it");
}

#[test]
fn who_may_have_begun_a_term_by_force_that_nobody_knows_does_not_give_way_unheard() {
    let forced = Standing { promised: epoch(4, 1, 1), primary: true, forced: true, ..Standing::default() };
    for (standing, gives_way) in [
        (Standing { adrift: true, ..forced.clone() }, false),
        (forced.clone(), false),
        // The term is in the log, and was in the value before.
        (Standing { promised: epoch(3, 1, 1), ..forced }, true),
    ] {
        let mut node = Node::new(found(&[1, 2], standing.clone()), Role::Primary);
        node.tell(Input::Unheard);
        assert_eq!(node.core.role() == Role::Replica, gives_way, "{standing:?}");
    }
}

#[test]
fn of_two_sides_speaks_who_has_written_by_force_and_not_who_was_only_about_to() {
    for has_written in [true, false] {
        // Term 4 of this node began by force without the coordinator; what is behind version 8 may be its record.
        let standing = Standing { promised: epoch(4, 1, 1), forced: true, adrift: true, ..Standing::default() };
        let mut found = found(&[1, 2], Standing { primary: true, ..standing });
        let start = |number, owner, first, forced| EpochStart { epoch: epoch(number, owner, 1), first, forced };
        found.history = vec![start(2, 2, 1, false), start(3 + u64::from(has_written), 1, 9, has_written)];
        (found.committed, found.applied) = (8, 8);
        let mut node = Node::new(found, Role::Primary);
        node.seen = Seen { register: Some(value(epoch(5, 2, 1), &[])), revision: 10, leased: true };
        node.tell(Input::Connected { link: 1, dialed: true });
        node.tell(Input::Message { link: 1, message: hello(2) });
        node.tell(Input::Registered(node.seen.clone()));
        let follow = Follow {
            epoch: epoch(5, 2, 1),
            common: Position { epoch: epoch(2, 2, 1), version: 8, hash: Hash([8; 32]) },
            history: vec![start(2, 2, 1, false), start(5, 2, 9, false)],
            head: 9,
            outside_sync: true,
            snapshot: None,
        };
        node.tell(Input::Message { link: 1, message: Message::Follow(follow) });
        let cut = node.said(|output| matches!(output, Output::Cut { to: 8, .. }));
        let split = node.said(|output| matches!(output, Output::Event(Event::SplitBrain)));
        assert_eq!((cut, split), if has_written { (0, 1) } else { (1, 0) }, "written: {has_written}");
        // Nobody leads by its place in the value before it was recorded anew, either way.
        assert!(node.core.recorded.adrift);
    }
}

#[test]
fn without_room_for_its_first_record_a_primary_gives_way_to_a_member_that_is_heard() {
    for links in [&[2][..], &[]] {
        let mut node = elected(&[1, 2], &[2], links, false);
        let linked: Vec<Link> = links.iter().map(|number| u64::from(*number)).collect();
        let mut gave_way = false;
        for _ in 0..100 {
            node.live(100_000, &linked);
            gave_way |= !node.core.wants_lease();
        }
        assert!(!node.core.is_open());
        assert_eq!(gave_way, !links.is_empty(), "with {links:?}");
    }
}
