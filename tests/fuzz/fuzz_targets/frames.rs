//! Any bytes as what another node sends: frames whose checksums are put right, or nothing would get past them, and
//! the records behind them, put to a log. The first byte says in what pieces they come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rig::limits::{FRAME_BYTES_MAX, RECORD_BYTES_MAX};
use rig::log::{Batch, Config, MemVfs, open};
use rig::peer::{Decoder, FRAME_HEADER_BYTES, Frame, FrameError, Greeting, PROTOCOL, Span, encode};
use rig::types::ClusterId;
use std::path::Path;
use std::sync::Arc;

/// Bytes as a stream of frames: each piece has a byte for its kind and two for its length in front.
fn framed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(([kind, low, high], rest)) = bytes.split_first_chunk::<3>() {
        let (body, behind) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        frame[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
        frame[8] = *kind;
        frame.extend_from_slice(body);
        frames.push(right(frame));
        bytes = behind;
    }
    frames
}

/// The frame with the checksum that a decoder asks for.
fn right(mut frame: Vec<u8>) -> Vec<u8> {
    let mut decoder = greeted();
    decoder.push(&frame);
    if let Err(FrameError::Crc { expected, .. }) = decoder.next() {
        frame[..4].copy_from_slice(&expected.to_le_bytes());
    }
    frame
}

fn greeted() -> Decoder {
    let (mut decoder, mut hello) = (Decoder::new(), Vec::new());
    Greeting { protocol: Span::OWN, reads: 1, needs: 1, cluster: None }.encode(&mut hello);
    decoder.push(&hello);
    assert!(matches!(decoder.next(), Ok(Some(Frame::Greeting(_)))));
    decoder
}

/// Takes what can be taken of records, and asks the log the same.
fn take(wire: &[u8]) {
    let config = Config { cluster: ClusterId::default(), segment_bytes: 1 << 20, zero_fill: false };
    let mut opened = open(Arc::new(MemVfs::new()), Path::new("/d"), &config).expect("an empty log opens");
    let (mut batch, before) = (Batch::new(), opened.sealer.position());
    match opened.sealer.accept(wire, &mut batch) {
        Ok(records) if !records.is_empty() => {
            let mut again = Vec::new();
            assert_eq!(batch.wire(1, records.len() as u64, RECORD_BYTES_MAX, &mut again), records.len() as u64);
            assert_eq!(again, wire);
        }
        Ok(_) => assert!(wire.is_empty()),
        Err(_) => assert!(batch.is_empty() && opened.sealer.position() == before),
    }
}

fn speak(mut decoder: Decoder, pieces: impl Iterator<Item = impl AsRef<[u8]>>) {
    for piece in pieces {
        decoder.push(piece.as_ref());
        while let Ok(Some(frame)) = decoder.next() {
            let Frame::Message { message, records } = frame else { continue };
            let mut again = Vec::new();
            encode(&message, PROTOCOL, records, &mut again).expect("what came in can go out");
            assert!(again.len() <= FRAME_BYTES_MAX);
            let mut second = greeted();
            second.push(&again);
            assert_eq!(second.next(), Ok(Some(Frame::Message { message, records })));
            take(records);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    speak(Decoder::new(), bytes.chunks(usize::from(*size) + 1));
    speak(greeted(), bytes.chunks(usize::from(*size) + 1));
    let frames = framed(bytes);
    speak(greeted(), frames.concat().chunks(usize::from(*size) + 1));
    take(bytes);
});
