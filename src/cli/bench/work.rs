//! What the clients of `rig bench` ask for: new documents of one size, and documents that are there.

use std::io::Write;

use crate::http::write_request;

/// The type of the documents.
pub(super) const TYPE: &str = "bench";
/// Bytes of a document without its padding.
pub(super) const SIZE_MIN: usize = 96;
/// Where the padding is cut from: text, not one letter, so that nobody's compression makes it vanish.
const PADDING: &[u8; 64] = b"the quick brown fox jumps over the lazy dog, and home by sunset ";

/// How requests are made.
#[derive(Debug)]
pub(super) struct Work {
    /// `host:port`.
    pub(super) host: String,
    /// `Bearer …`
    pub(super) authorization: Option<String>,
    /// Sets the documents of one run apart from those of another.
    pub(super) run: u32,
    /// Bytes of a document.
    pub(super) size: usize,
    /// Operations in a request.
    pub(super) batch: u64,
    /// Whether operations carry idempotency keys, as those of `rig apply` do.
    pub(super) keys: bool,
}

impl Work {
    /// The id of a client's document. Documents that follow one another lie far apart, as those of many users do.
    fn id(&self, client: usize, number: u64) -> impl std::fmt::Display + use<> {
        // Multiplying by an odd number is a bijection: no two are equal.
        let spread = ((client as u64) << 40 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let run = self.run;
        std::fmt::from_fn(move |f| write!(f, "{spread:016x}{run:08x}"))
    }

    /// Appends the request that creates a client's documents from `number` on.
    pub(super) fn create(&self, client: usize, number: u64, body: &mut Vec<u8>, out: &mut Vec<u8>) {
        body.clear();
        let (mut key, mut key_len) = ([0; 64], 0);
        for number in number..number + self.batch {
            body.extend_from_slice(b"{\"method\":\"bench_create\",\"data\":");
            self.document(client, number, body);
            if self.batch > 1 && self.keys {
                write_all(body, format_args!(",\"key\":\"{}\"", self.id(client, number)));
            }
            body.extend_from_slice(if self.batch > 1 { b"}\n" } else { b"}" });
        }
        let mut headers: [(&str, &str); 4] = [("Host", &self.host); 4];
        let mut len = 1;
        let mut push = |header| {
            headers[len] = header;
            len += 1;
        };
        if let Some(authorization) = &self.authorization {
            push(("Authorization", authorization));
        }
        push(("Content-Type", if self.batch > 1 { "application/x-ndjson" } else { "application/json" }));
        if self.batch == 1 && self.keys {
            let mut rest = &mut key[..];
            let before = rest.len();
            write!(rest, "{}", self.id(client, number)).expect("an id is shorter than 64 bytes");
            key_len = before - rest.len();
        }
        let key = std::str::from_utf8(&key[..key_len]).expect("an id is hexadecimal");
        if !key.is_empty() {
            push(("Idempotency-Key", key));
        }
        write_request(out, "POST", "/do", &headers[..len], Some(body));
    }

    /// Appends the request that reads one document.
    pub(super) fn read(&self, client: usize, number: u64, out: &mut Vec<u8>) {
        let target = format!("/data/{TYPE}/{}", self.id(client, number));
        let host = ("Host", self.host.as_str());
        match &self.authorization {
            Some(authorization) => {
                write_request(out, "GET", &target, &[host, ("Authorization", authorization)], None);
            }
            None => write_request(out, "GET", &target, &[host], None),
        }
    }

    /// Appends one document of exactly [`Work::size`] bytes.
    fn document(&self, client: usize, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        let id = self.id(client, number);
        write_all(out, format_args!("{{\"id\":\"{id}\",\"email\":\"{id}@bench.example\",\"pad\":\""));
        let mut left = (begin + self.size).saturating_sub(out.len() + 2);
        while left > 0 {
            let piece = &PADDING[..left.min(PADDING.len())];
            out.extend_from_slice(piece);
            left -= piece.len();
        }
        out.extend_from_slice(b"\"}");
    }
}

fn write_all(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes all bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::json;

    fn work(batch: u64, keys: bool) -> Work {
        Work { host: "h:1".into(), authorization: Some("Bearer t".into()), run: 7, size: 256, batch, keys }
    }

    fn create(work: &Work, client: usize, number: u64) -> (String, Vec<u8>) {
        let (mut body, mut out) = (Vec::new(), Vec::new());
        work.create(client, number, &mut body, &mut out);
        let head = String::from_utf8(out[..out.len() - body.len()].to_vec()).unwrap();
        (head, body)
    }

    #[test]
    fn a_document_has_the_size_that_was_asked_for() {
        for size in [SIZE_MIN, 97, 256, 1000] {
            let work = Work { size, ..work(1, true) };
            let envelope = json::envelope(&create(&work, 3, 9).1).unwrap();
            assert_eq!(envelope.data.len(), size);
            assert_eq!(envelope.method, "bench_create");
        }
    }

    #[test]
    fn ids_and_keys_are_never_used_twice() {
        let (work, mut seen) = (work(1, true), std::collections::BTreeSet::new());
        for client in [0, 1, 255] {
            for number in [0, 1, 2, 1 << 20] {
                let (head, _) = create(&work, client, number);
                let key = head.lines().find_map(|line| line.strip_prefix("Idempotency-Key: ")).unwrap().to_owned();
                assert_eq!(key.len(), 24);
                assert!(seen.insert(key));
            }
        }
    }

    #[test]
    fn a_batch_has_a_line_and_a_key_for_each_operation() {
        let (head, body) = create(&work(3, true), 0, 5);
        assert!(head.contains("Content-Type: application/x-ndjson") && head.contains("Authorization: Bearer t"));
        assert!(!head.contains("Idempotency-Key"));
        let lines: Vec<_> = body.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        let keys: Vec<_> = lines.iter().map(|line| json::envelope(line).unwrap().key.unwrap()).collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        let (head, body) = create(&work(1, false), 0, 5);
        assert!(!head.contains("Idempotency-Key") && json::envelope(&body).unwrap().key.is_none());
    }
}
