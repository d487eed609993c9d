//! Any bytes as the answers of a server: no panic, and the same answers however the bytes come.
#![no_main]

use rig::http::{Event, ResponseError, ResponseReader};

fn read(mut bytes: &[u8], step: usize) -> (Vec<(u16, Vec<u8>)>, Option<ResponseError>) {
    let (mut reader, mut answers) = (ResponseReader::new(false), Vec::new());
    loop {
        match reader.poll() {
            Err(error) => return (answers, Some(error)),
            Ok(Event::Head(head)) => answers.push((head.status, Vec::new())),
            Ok(Event::Body(piece)) => answers.last_mut().expect("a body has a head").1.extend_from_slice(piece),
            Ok(Event::End) if answers.len() > 8 => return (answers, None),
            Ok(Event::End) => reader.begin(false),
            Ok(Event::More) => {
                let space = reader.space();
                let n = space.len().min(bytes.len()).min(step);
                space[..n].copy_from_slice(&bytes[..n]);
                reader.filled(n);
                bytes = &bytes[n..];
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(read(bytes, usize::MAX), read(bytes, 1 + bytes.len() % 7));
});
