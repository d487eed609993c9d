//! Every message there and back, in pieces, and bytes that no node of ours would send.

use super::*;
use crate::limits::NUMBER_MAX;
use crate::replication::{
    Ack, Answer, Append, Chunk, EpochStart, Follow, Heartbeat, Hello, Member, Promised, Refused, RefusedWhy, Results,
};
use crate::types::{ClusterId, Epoch, Hash, NodeId, Position, Role};
use proptest::prelude::*;

const GREETING: Greeting = Greeting { protocol: Span::OWN, reads: 1, needs: 1, cluster: Some(ClusterId([0xc1; 16])) };

fn any_id() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId)
}

/// A version, or the number or the start of an epoch.
fn any_number() -> impl Strategy<Value = u64> {
    0..=NUMBER_MAX
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    (any_number(), any_id(), any_number()).prop_map(|(number, owner, start)| Epoch { number, owner, start })
}

fn any_position() -> impl Strategy<Value = Position> {
    let hash = any::<[u8; 32]>().prop_map(Hash);
    (any_epoch(), any_number(), hash).prop_map(|(epoch, version, hash)| Position { epoch, version, hash })
}

fn any_history() -> impl Strategy<Value = Vec<EpochStart>> {
    let start = (any_epoch(), any_number(), any::<bool>());
    prop::collection::vec(start.prop_map(|(epoch, first, forced)| EpochStart { epoch, first, forced }), 0..6)
}

fn any_append() -> impl Strategy<Value = Append> {
    (any_epoch(), any_position(), any_number(), any_number()).prop_map(|(epoch, before, last, committed)| Append {
        epoch,
        before,
        last,
        committed,
        landmarks: Vec::new(),
    })
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let member =
        (any_id(), "[a-zA-Z0-9._-]{1,64}", "[!#-\\[\\]-~]{1,40}").prop_map(|(id, name, url)| Member { id, name, url });
    let role = prop_oneof![Just(Role::Primary), Just(Role::Replica)];
    let versions = (any_number(), any_number());
    (member, any::<u64>(), role, any_epoch(), versions, any_history(), any::<bool>()).prop_map(
        |(member, boot, role, promised, (head, committed), history, joined)| Hello {
            member,
            boot,
            role,
            promised,
            head,
            committed,
            history,
            joined,
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let why =
        [RefusedWhy::Fenced, RefusedWhy::NotAMember, RefusedWhy::Storage, RefusedWhy::CannotHandOver, RefusedWhy::Twin];
    let epoch = any_epoch;
    let version = any_number;
    let follow = (epoch(), any_position(), any_history(), version(), any::<bool>(), prop::option::of(version()));
    let set = prop::collection::vec(any_id(), 0..=MEMBERS_MAX);
    prop_oneof![
        any_hello().prop_map(Message::Hello),
        follow.prop_map(|(epoch, common, history, head, outside_sync, snapshot)| {
            Message::Follow(Follow { epoch, common, history, head, outside_sync, snapshot })
        }),
        any_append().prop_map(Message::Append),
        any_append().prop_map(Message::Records),
        (epoch(), version(), version(), set).prop_map(|(epoch, committed, head, set)| {
            Message::Heartbeat(Heartbeat { epoch, committed, head, set })
        }),
        (epoch(), version(), version(), version()).prop_map(|(epoch, received, durable, applied)| {
            Message::Ack(Ack { epoch, received, durable, applied })
        }),
        (epoch(), prop::sample::select(why.to_vec()))
            .prop_map(|(promised, why)| Message::Refused(Refused { promised, why })),
        epoch().prop_map(|epoch| Message::Ask { epoch }),
        (epoch(), any::<bool>(), epoch(), epoch(), version(), version()).prop_map(
            |(epoch, would, promised, head_epoch, head, committed)| {
                Message::Answer(Answer { epoch, would, promised, head_epoch, head, committed })
            }
        ),
        epoch().prop_map(|epoch| Message::Promise { epoch }),
        (epoch(), version(), version(), any_history()).prop_map(|(epoch, head, committed, history)| {
            Message::Promised(Promised { epoch, head, committed, history })
        }),
        (epoch(), version()).prop_map(|(epoch, after)| Message::Fetch { epoch, after }),
        (epoch(), version()).prop_map(|(epoch, head)| Message::HandOver { epoch, head }),
        epoch().prop_map(|epoch| Message::SplitBrain { epoch }),
        Just(Message::HandOverPlease),
        Just(Message::Goodbye),
        Just(Message::Alive),
        (epoch(), version(), prop::collection::vec(any::<u32>(), 1..20))
            .prop_map(|(epoch, first, marks)| Message::Results(Results { epoch, first, marks })),
        (version(), version()).prop_map(|(version, offset)| Message::Want(Chunk { version, offset })),
        (version(), version()).prop_map(|(version, offset)| Message::Chunk(Chunk { version, offset })),
    ]
}

fn carries_records(message: &Message) -> bool {
    matches!(message, Message::Append(_) | Message::Records(_) | Message::Chunk(_))
}

/// A greeting, and messages with records behind those that carry them.
fn stream(messages: &[(Message, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GREETING.encode(&mut bytes);
    for (message, records) in messages {
        let records = if carries_records(message) { &records[..] } else { &[] };
        encode(message, PROTOCOL, records, &mut bytes).unwrap();
    }
    bytes
}

/// Everything that comes out when bytes go in by pieces; the greeting is looked at and left out.
fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(Message, Vec<u8>)>, FrameError> {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next()? {
            match frame {
                Frame::Greeting(greeting) => assert_eq!(greeting, GREETING),
                Frame::Message { message, records } => messages.push((message, records.to_vec())),
            }
        }
    }
    Ok(messages)
}

/// One frame as any program could make it, its checksum right.
fn forged(number: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend([number, 0, 0, 0]);
    frame.extend(body);
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// What a decoder that has been greeted says to a frame.
fn said_to(frame: &[u8]) -> Result<Vec<(Message, Vec<u8>)>, FrameError> {
    decoded([&stream(&[])[..], frame].into_iter())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_as_they_went_in_whatever_the_pieces(
        mut messages in prop::collection::vec((any_message(), prop::collection::vec(any::<u8>(), 0..200)), 1..5),
        cuts in prop::collection::vec(1..40_usize, 1..20),
    ) {
        messages.iter_mut().filter(|(message, _)| !carries_records(message)).for_each(|(_, records)| records.clear());
        let bytes = stream(&messages);
        prop_assert_eq!(decoded(std::iter::once(&bytes[..])), Ok(messages.clone()));
        prop_assert_eq!(decoded(bytes.chunks(1)), Ok(messages.clone()));
        let mut cuts = cuts.iter().cycle();
        let mut rest = &bytes[..];
        let pieces = std::iter::from_fn(|| {
            let (piece, behind) = rest.split_at((*cuts.next()?).min(rest.len()));
            rest = behind;
            Some(piece).filter(|piece| !piece.is_empty())
        });
        prop_assert_eq!(decoded(pieces), Ok(messages));
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_gives_what_was_whole_and_waits(
        messages in prop::collection::vec((any_message(), Just(vec![7; 24])), 1..3),
    ) {
        let bytes = stream(&messages);
        let ends: Vec<usize> = (1..=messages.len()).map(|n| stream(&messages[..n]).len()).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let pieces = [&bytes[..cut / 2], &bytes[cut / 2..cut]];
            prop_assert_eq!(decoded(pieces.into_iter()).map(|messages| messages.len()), Ok(whole));
        }
    }

    #[test]
    fn a_flipped_bit_is_never_another_message(message in any_message(), at in any::<prop::sample::Index>()) {
        let bytes = stream(&[(message, vec![7; 24])]);
        let greeting = stream(&[]).len();
        let bit = at.index((bytes.len() - greeting) * 8) + greeting * 8;
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A longer length waits for bytes that do not come; everything else is found at once.
        prop_assert!(!matches!(decoded(std::iter::once(&flipped[..])), Ok(messages) if !messages.is_empty()));
    }

    #[test]
    fn any_body_is_a_message_that_is_encoded_the_same_or_an_error(
        number in 0..=21_u8,
        message in any_message(),
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut body = garbage;
        let mut number = number;
        if let Some((at, byte)) = change {
            let whole = &stream(&[(message, Vec::new())])[stream(&[]).len()..];
            (number, body) = (whole[8], whole[FRAME_HEADER_BYTES..].to_vec());
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let frame = forged(number, &body);
        if let Ok(messages) = said_to(&frame) {
            prop_assert_eq!(messages.len(), 1);
            prop_assert_eq!(&stream(&messages)[stream(&[]).len()..], &frame[..]);
        }
    }

    #[test]
    fn garbage_is_an_error_or_waited_for_and_held_within_bounds(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        greeted in any::<bool>(),
    ) {
        let mut decoder = Decoder::new();
        if greeted {
            decoder.push(&stream(&[]));
            prop_assert!(matches!(decoder.next(), Ok(Some(Frame::Greeting(_)))));
        }
        for piece in &pieces {
            decoder.push(piece);
            let mut turns = 0;
            while let Ok(Some(_)) = decoder.next() {
                turns += 1;
                prop_assert!(turns < 100);
            }
            prop_assert!(decoder.held() <= FRAME_BYTES_MAX + 200);
        }
    }
}

#[test]
fn the_numbers_of_the_kinds_are_their_places() {
    for (place, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, place + 1);
        assert_eq!(Kind::from_number(kind as u8), Some(kind));
    }
    assert_eq!((Kind::from_number(0), Kind::from_number(23)), (None, None));
    assert_eq!(said_to(&forged(0, &[])), Err(FrameError::Unknown(0)));
    assert_eq!(said_to(&forged(23, &[])), Err(FrameError::Unknown(23)));
}

#[test]
fn a_length_is_bounded_by_the_kind_before_the_bytes_come() {
    for kind in Kind::ALL {
        let most = kind.body_bytes_max() as u32;
        for (length, fits) in [(most, true), (most + 1, false), (u32::MAX, false)] {
            let mut decoder = Decoder::new();
            if kind != Kind::Greeting {
                decoder.push(&stream(&[]));
                decoder.next().unwrap();
            }
            let before = decoder.held();
            decoder.push(&[&[0; 4], &length.to_le_bytes()[..], &[kind as u8, 0, 0, 0]].concat());
            let said = decoder.next().map(|frame| frame.is_none());
            let expected = if fits { Ok(true) } else { Err(FrameError::TooLong { kind, length: length as usize }) };
            assert_eq!(said, expected, "{kind:?}");
            assert!(decoder.held() <= FRAME_BYTES_MAX);
            assert!(fits || decoder.held() <= before, "{kind:?}: nothing is held for what is not believed");
        }
    }
}

#[test]
fn a_stranger_can_make_a_node_hold_a_greeting_and_no_more() {
    let mut decoder = Decoder::new();
    decoder.push(&[0, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.held() <= 2 * (FRAME_HEADER_BYTES + 32));
    let hello = &stream(&[(Message::Alive, Vec::new())])[stream(&[]).len()..];
    let said = |bytes: &[u8]| {
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        decoder.next().map(|_| ())
    };
    assert_eq!(said(hello), Err(FrameError::OutOfPlace(Kind::Alive)));
    assert_eq!(said_to(&stream(&[])), Err(FrameError::OutOfPlace(Kind::Greeting)));
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new();
    decoder.push(&[9; 12]);
    assert_eq!(decoder.next(), Err(FrameError::Reserved));
    decoder.push(&stream(&[]));
    assert_eq!(decoder.next(), Err(FrameError::Reserved));
    assert_eq!(decoder.held(), 0);
}

#[test]
fn lists_and_texts_are_bounded_and_counts_are_not_believed() {
    let body = |wrong, kind| Err(FrameError::Body { kind, wrong });
    let epoch = [0; 32];
    let heartbeat = |count: u8, ids: usize| {
        said_to(&forged(5, &[&epoch[..], &[0; 16], &[count], &vec![0; ids * 16]].concat()))
            .map(|messages| messages.len())
    };
    assert_eq!(heartbeat(MEMBERS_MAX as u8, MEMBERS_MAX), Ok(1));
    assert_eq!(heartbeat(MEMBERS_MAX as u8 + 1, MEMBERS_MAX + 1), body(Wrong::Many, Kind::Heartbeat).map(|()| 0));
    assert_eq!(heartbeat(2, 1), body(Wrong::Short, Kind::Heartbeat).map(|()| 0));
    assert_eq!(heartbeat(1, 2), body(Wrong::Long, Kind::Heartbeat).map(|()| 0));
    let promised = |count: u32| {
        said_to(&forged(11, &[&epoch[..], &[0; 16], &count.to_le_bytes()].concat())).map(|messages| messages.len())
    };
    assert_eq!(promised(EPOCHS_MAX as u32 + 1), body(Wrong::Many, Kind::Promised).map(|()| 0));
    assert_eq!(promised(EPOCHS_MAX as u32), body(Wrong::Short, Kind::Promised).map(|()| 0));
    let results = |count: u16, marks: usize| {
        said_to(&forged(19, &[&epoch[..], &[0; 8], &count.to_le_bytes(), &vec![7; marks * 4]].concat()))
            .map(|messages| messages.len())
    };
    let (most, many) = (MARKS_PER_MESSAGE as u16, MARKS_PER_MESSAGE as u16 + 1);
    assert_eq!((results(1, 1), results(most, MARKS_PER_MESSAGE)), (Ok(1), Ok(1)));
    assert_eq!(results(0, 0), body(Wrong::Number, Kind::Results).map(|()| 0));
    assert_eq!(results(many, MARKS_PER_MESSAGE + 1), body(Wrong::Many, Kind::Results).map(|()| 0));
    assert_eq!(results(2, 1), body(Wrong::Short, Kind::Results).map(|()| 0));
    assert_eq!(results(1, 2), body(Wrong::Long, Kind::Results).map(|()| 0));
    let hello = |name: &str, url: &str| {
        let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        let rest = [&[0; 8][..], &[2], &epoch, &[0; 16], &[1], &[0; 4]].concat();
        said_to(&forged(2, &[vec![3; 16], text(name), text(url), rest].concat())).map(|messages| messages.len())
    };
    assert_eq!(hello(&"n".repeat(NAME_BYTES_MAX), &"u".repeat(URL_BYTES_MAX)), Ok(1));
    for (name, url) in [("", "u"), ("n", ""), ("n\u{1b}[2J", "u"), ("n", "u\n"), (&"n".repeat(65), "u")] {
        assert_eq!(hello(name, url), body(Wrong::Text, Kind::Hello).map(|()| 0), "{name:?} {url:?}");
    }
}

#[test]
fn numbers_that_nobody_counts_to_are_refused() {
    let owner = NodeId([3; 16]);
    let epoch = |number, start| Epoch { number, owner, start };
    let (low, high) = (epoch(1, 1), NUMBER_MAX + 1);
    let at = |epoch, version| Position { epoch, version, hash: Hash([5; 32]) };
    let starts = |epoch, first| vec![EpochStart { epoch, first, forced: false }];
    let hello = |promised, head, committed, history| {
        let member = Member { id: owner, name: "n1".into(), url: "http://h:1".into() };
        Message::Hello(Hello {
            member,
            boot: u64::MAX,
            role: Role::Replica,
            promised,
            head,
            committed,
            history,
            joined: true,
        })
    };
    let follow = |epoch, common, history, head, snapshot| {
        Message::Follow(Follow { epoch, common, history, head, outside_sync: false, snapshot })
    };
    let append = |epoch, before, last, committed| Append { epoch, before, last, committed, landmarks: vec![] };
    let beat = |epoch, committed, head| Message::Heartbeat(Heartbeat { epoch, committed, head, set: vec![owner] });
    let ack = |epoch, received, durable, applied| Message::Ack(Ack { epoch, received, durable, applied });
    let answer = |epoch, promised, head_epoch, head, committed| {
        Message::Answer(Answer { epoch, would: true, promised, head_epoch, head, committed })
    };
    let promised = |epoch, head, committed, history| Message::Promised(Promised { epoch, head, committed, history });
    let said = |message: &Message| said_to(&stream(&[(message.clone(), vec![])])[stream(&[]).len()..]);
    for bad in [epoch(high, 0), epoch(0, high), epoch(u64::MAX, u64::MAX)] {
        for message in [
            hello(bad, 1, 1, vec![]),
            hello(low, 1, 1, starts(bad, 1)),
            follow(bad, at(low, 1), vec![], 1, None),
            follow(low, at(bad, 1), vec![], 1, None),
            follow(low, at(low, 1), starts(bad, 1), 1, Some(1)),
            Message::Append(append(bad, at(low, 1), 1, 1)),
            Message::Records(append(low, at(bad, 1), 1, 1)),
            beat(bad, 1, 1),
            ack(bad, 1, 1, 1),
            Message::Refused(Refused { promised: bad, why: RefusedWhy::Fenced }),
            Message::Ask { epoch: bad },
            answer(bad, low, low, 1, 1),
            answer(low, bad, low, 1, 1),
            answer(low, low, bad, 1, 1),
            Message::Promise { epoch: bad },
            promised(bad, 1, 1, vec![]),
            promised(low, 1, 1, starts(bad, 1)),
            Message::Fetch { epoch: bad, after: 1 },
            Message::HandOver { epoch: bad, head: 1 },
            Message::SplitBrain { epoch: bad },
            Message::Results(Results { epoch: bad, first: 1, marks: vec![1] }),
        ] {
            let kind = body::kind_of(&message);
            assert_eq!(said(&message), Err(FrameError::Body { kind, wrong: Wrong::Large }), "{message:?}");
        }
    }
    for message in [
        hello(low, high, 1, vec![]),
        hello(low, 1, high, vec![]),
        hello(low, 1, 1, starts(low, high)),
        follow(low, at(low, high), vec![], 1, None),
        follow(low, at(low, 1), vec![], high, None),
        follow(low, at(low, 1), vec![], 1, Some(high)),
        Message::Append(append(low, at(low, high), 1, 1)),
        Message::Append(append(low, at(low, 1), high, 1)),
        Message::Records(append(low, at(low, 1), 1, high)),
        beat(low, high, 1),
        beat(low, 1, high),
        ack(low, high, 1, 1),
        ack(low, 1, high, 1),
        ack(low, 1, 1, high),
        answer(low, low, low, high, 1),
        answer(low, low, low, 1, high),
        promised(low, high, 1, vec![]),
        promised(low, 1, high, vec![]),
        Message::Fetch { epoch: low, after: high },
        Message::HandOver { epoch: low, head: high },
        Message::Results(Results { epoch: low, first: high, marks: vec![1] }),
        Message::Want(Chunk { version: high, offset: 1 }),
        Message::Chunk(Chunk { version: 1, offset: high }),
    ] {
        let kind = body::kind_of(&message);
        assert_eq!(said(&message), Err(FrameError::Body { kind, wrong: Wrong::Large }), "{message:?}");
    }
    let most = epoch(NUMBER_MAX, NUMBER_MAX);
    let most = hello(most, NUMBER_MAX, NUMBER_MAX, starts(most, NUMBER_MAX));
    assert_eq!(said(&most), Ok(vec![(most, vec![])]));
}

#[test]
fn a_log_of_too_many_epochs_is_an_error_and_leaves_nothing_behind() {
    let start = EpochStart { epoch: Epoch::default(), first: 1, forced: false };
    let promised = |epochs| {
        let history = vec![start; epochs];
        Message::Promised(Promised { epoch: Epoch::default(), head: 0, committed: 0, history })
    };
    let mut out = Vec::new();
    assert_eq!(encode(&promised(EPOCHS_MAX + 1), PROTOCOL, &[], &mut out), Err(TooManyEpochs(EPOCHS_MAX + 1)));
    assert!(out.is_empty());
    encode(&promised(EPOCHS_MAX), PROTOCOL, &[], &mut out).unwrap();
    assert_eq!(said_to(&out).unwrap()[0].0, promised(EPOCHS_MAX));
}

#[test]
fn the_largest_record_fits_into_a_frame_and_nothing_larger_does() {
    let append =
        Append { epoch: Epoch::default(), before: Position::default(), last: 1, committed: 0, landmarks: vec![] };
    let mut out = Vec::new();
    encode(&Message::Append(append), PROTOCOL, &vec![1; RECORD_BYTES_MAX], &mut out).unwrap();
    assert!(out.len() <= FRAME_BYTES_MAX);
    assert_eq!(said_to(&out).unwrap()[0].1.len(), RECORD_BYTES_MAX);
    let mut body = out[FRAME_HEADER_BYTES..].to_vec();
    body.push(1);
    assert_eq!(said_to(&forged(4, &body)), Err(FrameError::Body { kind: Kind::Append, wrong: Wrong::Long }));
}

/// What a release says that speaks these versions, reads formats up to `reads` and has written `needs`.
fn release(oldest: u16, newest: u16, reads: u16, needs: u16) -> Greeting {
    Greeting { protocol: Span { oldest, newest }, reads, needs, ..GREETING }
}

#[test]
fn two_releases_speak_the_newest_version_that_both_know() {
    for (one, other, spoken) in [
        (release(1, 1, 1, 1), release(1, 2, 2, 1), 1),
        (release(1, 2, 2, 2), release(2, 3, 2, 1), 2),
        (release(2, 7, 9, 3), release(4, 5, 3, 1), 5),
    ] {
        assert_eq!((one.check(&other), other.check(&one)), (Ok(spoken), Ok(spoken)));
    }
}

#[test]
fn what_is_not_spoken_is_refused_by_name_at_both_ends() {
    let (old, new) = (release(1, 2, 1, 1), release(3, 4, 1, 1));
    let (one, two) = (old.check(&new).unwrap_err(), new.check(&old).unwrap_err());
    assert_eq!(one, Refusal::Protocol { theirs: new.protocol, ours: old.protocol });
    assert_eq!(two, Refusal::Protocol { theirs: old.protocol, ours: new.protocol });
    let advice = "to a release that speaks one of both";
    let said = format!("the peer speaks protocol 3 to 4, this node 1 to 2: upgrade this node first, {advice}");
    assert_eq!(one.to_string(), said);
    assert!(two.to_string().contains("upgrade the peer first"), "{two}");
    let (old, new) = (release(1, 2, 1, 1), release(1, 2, 2, 2));
    assert_eq!(old.check(&new), Err(Refusal::TheirLog { needs: 2, reads: 1 }));
    assert_eq!(new.check(&old), Err(Refusal::OurLog { needs: 2, reads: 1 }));
    let (ours, theirs) = (ClusterId([0xc1; 16]), ClusterId([0xc2; 16]));
    let other = Greeting { cluster: Some(theirs), ..GREETING };
    assert_eq!(GREETING.check(&other), Err(Refusal::Cluster { theirs, ours }));
    let newcomer = Greeting { cluster: None, ..GREETING };
    assert_eq!((GREETING.check(&newcomer), newcomer.check(&GREETING)), (Ok(PROTOCOL), Ok(PROTOCOL)));
}

#[test]
fn a_greeting_has_one_form_and_that_of_the_first_release_has_zeros_where_the_lower_numbers_are() {
    for (greeting, numbers) in [
        (release(1, 1, 1, 1), [1, 1, 0, 0]),
        (release(1, 2, 3, 1), [2, 3, 1, 1]),
        (release(3, 3, 4, 4), [3, 4, 0, 0]),
        (Greeting { cluster: None, ..release(699, 700, 3, 2) }, [700, 3, 699, 2]),
    ] {
        let (mut bytes, mut decoder) = (Vec::new(), Decoder::new());
        greeting.encode(&mut bytes);
        let at = |n: usize| u16::from_le_bytes([bytes[20 + 2 * n], bytes[21 + 2 * n]]);
        assert_eq!([at(0), at(1), at(2), at(3)], numbers);
        decoder.push(&bytes);
        assert_eq!(decoder.next(), Ok(Some(Frame::Greeting(greeting))));
        // The newest once more, or what is above it, is not what a node says.
        for place in [24, 26] {
            for more in [0, 1] {
                let mut body = bytes[12..].to_vec();
                let newest = u16::from_le_bytes([body[place - 16], body[place - 15]]) + more;
                body[place - 12..place - 10].copy_from_slice(&newest.to_le_bytes());
                let mut decoder = Decoder::new();
                decoder.push(&forged(1, &body));
                let wrong = FrameError::Body { kind: Kind::Greeting, wrong: Wrong::Number };
                assert_eq!(decoder.next(), Err(wrong), "{body:?}");
            }
        }
    }
}

#[test]
fn what_only_a_newer_version_has_is_not_said_in_an_older_one() {
    let hello = Message::Hello(Hello {
        member: Member { id: NodeId([1; 16]), name: "n1".into(), url: "http://h:1".into() },
        boot: 1,
        role: Role::Replica,
        promised: Epoch::default(),
        head: 0,
        committed: 0,
        history: Vec::new(),
        joined: false,
    });
    let said = |protocol| {
        let mut bytes = Vec::new();
        encode(&hello, protocol, &[], &mut bytes).unwrap();
        bytes
    };
    let heard = |protocol, bytes: &[u8]| {
        let (mut decoder, mut greeting) = (Decoder::new(), Vec::new());
        GREETING.encode(&mut greeting);
        decoder.push(&greeting);
        decoder.next().unwrap();
        decoder.speak(protocol);
        decoder.push(bytes);
        decoder.next().map(|frame| frame.is_some())
    };
    assert_eq!(said(2).len(), said(1).len() + 2);
    assert_eq!((heard(1, &said(1)), heard(2, &said(2))), (Ok(true), Ok(true)));
    let wrong = |wrong| Err(FrameError::Body { kind: Kind::Hello, wrong });
    assert_eq!((heard(1, &said(2)), heard(2, &said(1))), (wrong(Wrong::Long), wrong(Wrong::Short)));
}
