//! A primary whose log begins with version 50, and a member that ends before.

use super::*;
use crate::types::{Hash, Position};

const LINK: Link = 1;
const SNAPSHOT: Version = 55;

fn member(number: u8) -> Member {
    Member { id: NodeId([number; 16]), name: format!("n{number}"), url: format!("http://127.0.0.1:{number}") }
}

fn epoch(number: u64, owner: u8) -> Epoch {
    Epoch { number, owner: NodeId([owner; 16]), start: 1 }
}

fn start_of(epoch: Epoch, first: Version) -> EpochStart {
    EpochStart { epoch, first, forced: false }
}

fn found(number: u8, head: Version, mode: Mode) -> Found {
    let config =
        ClusterConfig { members: vec![member(1), member(2)], replication: mode, ..ClusterConfig::first(member(1)) };
    Found {
        me: member(number),
        head,
        committed: head,
        applied: head,
        history: vec![start_of(epoch(1, 1), 1)],
        configs: vec![(2, config)],
        standing: Some(Standing { promised: epoch(1, 1), ..Standing::default() }),
        ..empty()
    }
}

/// One of the two, and whatever it wanted that the harness does not do by itself.
struct Node {
    core: Replication,
    wanted: Outputs,
}

impl Node {
    fn primary(mode: Mode) -> Self {
        let standing = Standing { promised: epoch(1, 1), primary: true, alone_from: Some(20), ..Standing::default() };
        let found = Found { oldest: 50, standing: Some(standing), ..found(1, 60, mode) };
        Self::new(found, Role::Primary)
    }

    fn new(found: Found, role: Role) -> Self {
        let mut wanted = Outputs::new();
        let core = Replication::start(found, role, Asked::default(), true, 0, &mut wanted);
        Self { core, wanted }
    }

    /// Tells it something, does for it what any node does, and gives what it says to the other.
    fn tell(&mut self, input: Input) -> Vec<Message> {
        let mut said = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.core.step(input, 0, &mut self.wanted);
            for output in std::mem::take(&mut self.wanted) {
                match output {
                    Output::Record(_) => inputs.push(Input::Recorded),
                    Output::Append { slot, .. } => inputs.push(synced(slot.version)),
                    Output::ReadHash { link, version } => {
                        inputs.push(Input::HashIs { link, version, hash: Some(Hash([version as u8; 32])) })
                    }
                    Output::FindSnapshot { link } => inputs.push(Input::SnapshotIs { link, found: Some((at(), 1000)) }),
                    Output::Send { message, .. } => said.push(message),
                    other => self.wanted.push(other),
                }
            }
        }
        said
    }

    fn wants(&self, of: impl Fn(&Output) -> bool) -> bool {
        self.wanted.iter().any(of)
    }
}

fn at() -> Position {
    Position { epoch: epoch(1, 1), version: SNAPSHOT, hash: Hash([SNAPSHOT as u8; 32]) }
}

/// Connects the two, and lets them speak until neither has more to say.
fn meet(one: &mut Node, two: &mut Node) {
    let mut to_two = one.tell(Input::Connected { link: LINK, dialed: false });
    let mut to_one = two.tell(Input::Connected { link: LINK, dialed: true });
    for _ in 0..20 {
        let said = std::mem::take(&mut to_two);
        to_one.extend(said.into_iter().flat_map(|message| two.tell(Input::Message { link: LINK, message })));
        let said = std::mem::take(&mut to_one);
        to_two.extend(said.into_iter().flat_map(|message| one.tell(Input::Message { link: LINK, message })));
    }
}

/// The primary, open.
fn leading(mode: Mode) -> Node {
    let mut primary = Node::primary(mode);
    // What a start asks for first.
    for output in std::mem::take(&mut primary.wanted) {
        if matches!(output, Output::Record(_)) {
            primary.tell(Input::Recorded);
        }
    }
    primary.tell(Input::Tried);
    assert!(primary.core.is_open(), "{:?}", primary.wanted);
    primary
}

fn is_taken(output: &Output) -> bool {
    matches!(output, Output::TakeSnapshot { link: LINK, at: place, bytes: 1000 } if *place == at())
}

#[test]
fn a_member_behind_the_log_takes_a_snapshot_counts_nowhere_and_follows_when_it_is_there() {
    let mut primary = leading(Mode::SemiSync);
    let mut replica = Node::new(found(2, 10, Mode::SemiSync), Role::Replica);
    meet(&mut primary, &mut replica);
    assert!(replica.wants(is_taken), "{:?}", replica.wanted);
    assert_eq!(replica.core.state(), NodeState::CatchingUp);
    assert_eq!(replica.core.primary().map(|member| member.id), Some(member(1).id));
    let view = &primary.core.peers()[0];
    assert_eq!((view.fed, view.in_sync, view.acked), (Some(SNAPSHOT), false, 10));

    // Chunks of this snapshot on this link, and no others.
    for (version, goes) in [(SNAPSHOT, true), (54, false)] {
        let chunk = Chunk { version, offset: 7 };
        primary.tell(Input::Message { link: LINK, message: Message::Want(chunk) });
        assert_eq!(primary.wants(|output| *output == Output::SendChunk { link: LINK, chunk }), goes);
        replica.tell(Input::Message { link: LINK, message: Message::Chunk(chunk) });
        assert_eq!(replica.wants(|output| *output == Output::TakeChunk { link: LINK, chunk }), goes);
    }

    replica.tell(Input::SnapshotTaken { link: LINK });
    let install = Output::Install { at: at(), keep: 10, committed: 10, for_epoch: primary.core.epoch() };
    assert!(replica.wants(|output| *output == install), "{:?}", replica.wanted);
    // Its log is not to be spoken of any more.
    let message = Message::Promise { epoch: epoch(9, 1) };
    let said = replica.tell(Input::Message { link: LINK, message });
    assert!(!said.iter().any(|message| matches!(message, Message::Promised(_))), "{said:?}");

    // It starts anew behind the snapshot.
    let found = Found { oldest: SNAPSHOT + 1, ..found(2, SNAPSHOT, Mode::SemiSync) };
    let mut replica = Node::new(found, Role::Replica);
    primary.tell(Input::Closed { link: LINK });
    primary.wanted.clear();
    meet(&mut primary, &mut replica);
    let streams = |output: &Output| matches!(output, Output::Stream { after: SNAPSHOT, .. });
    assert!(primary.wants(streams), "{:?}", primary.wanted);
    let view = &primary.core.peers()[0];
    assert_eq!((view.fed, view.in_sync), (None, false), "it counts when it has the records behind the snapshot");
}

#[test]
fn a_tail_that_the_primary_does_not_have_is_named_to_be_kept_or_stops_both() {
    // Written in a start of the primary's own term, or by somebody else: two sides may have answered then.
    for (term, takes) in [(Epoch { start: 2, ..epoch(1, 1) }, true), (epoch(2, 2), false)] {
        let mut primary = leading(Mode::SemiSync);
        let mut other = found(2, 12, Mode::SemiSync);
        (other.committed, other.applied) = (8, 8);
        other.history.push(start_of(term, 9));
        let mut replica = Node::new(other, Role::Replica);
        meet(&mut primary, &mut replica);
        assert_eq!(replica.wants(is_taken), takes, "{:?}", replica.wanted);
        replica.tell(Input::SnapshotTaken { link: LINK });
        let kept = |output: &Output| matches!(output, Output::Install { keep: 8, committed: 8, .. });
        assert_eq!(replica.wants(kept), takes, "{:?}", replica.wanted);
        assert_eq!(replica.core.state() == NodeState::SplitBrain, !takes);
    }
}

#[test]
fn who_promises_another_term_meanwhile_gives_the_snapshot_up() {
    let mut primary = leading(Mode::SemiSync);
    let mut replica = Node::new(found(2, 10, Mode::SemiSync), Role::Replica);
    meet(&mut primary, &mut replica);
    assert!(replica.wants(is_taken));
    let message = Message::Promise { epoch: epoch(9, 1) };
    let said = replica.tell(Input::Message { link: LINK, message });
    assert!(said.iter().any(|message| matches!(message, Message::Promised(_))), "{said:?}");
    replica.tell(Input::SnapshotTaken { link: LINK });
    assert!(!replica.wants(|output| matches!(output, Output::Install { .. })), "{:?}", replica.wanted);
}

#[test]
fn without_a_snapshot_that_reaches_its_log_the_primary_offers_none() {
    let mut primary = leading(Mode::SemiSync);
    for found in [None, Some((Position { version: 48, ..at() }, 1000))] {
        primary.tell(Input::Connected { link: LINK, dialed: false });
        let mut out = Outputs::new();
        let mut replica = Node::new(self::found(2, 10, Mode::SemiSync), Role::Replica);
        let hello = replica.tell(Input::Connected { link: LINK, dialed: true }).remove(0);
        primary.core.step(Input::Message { link: LINK, message: hello }, 0, &mut out);
        assert!(out.contains(&Output::FindSnapshot { link: LINK }), "{out:?}");
        out.clear();
        primary.core.step(Input::SnapshotIs { link: LINK, found }, 0, &mut out);
        assert!(out.contains(&Output::Close { link: LINK, why: Closing::Again }), "{out:?}");
    }
}
