//! What the clients of `rig bench` ask for: new documents of one size, and documents that are there.

use crate::http::write_request;

/// The type of the documents.
pub(super) const TYPE: &str = "bench";
/// Bytes of a document without its padding.
pub(super) const SIZE_MIN: usize = 96;
/// Where the padding is cut from: text, not one letter, so that nobody's compression makes it vanish.
const PADDING: &[u8; 64] = b"the quick brown fox jumps over the lazy dog, and home by sunset ";

/// A document in a request begins with this, and what follows it is the document.
const OPERATION: &[u8] = b"{\"method\":\"bench_create\",\"data\":";
/// Bytes of an id: 16 digits of the document, 8 of the run.
const ID_BYTES: usize = 24;
const NO_ID: [u8; ID_BYTES] = [b'0'; ID_BYTES];

/// How requests are made.
#[derive(Debug)]
pub(super) struct Settings {
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

/// The requests, but for the ids in them: all of a kind are equally long, so a request is a copy of its template with
/// the ids written over it. The clients share the machine with the nodes, and are to leave it to them.
#[derive(Debug)]
pub(super) struct Work {
    run: u32,
    /// Operations in a request that writes.
    pub(super) batch: u64,
    create: Template,
    read: Template,
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// For each document of the request, where its id stands.
    ids: Vec<Vec<usize>>,
}

impl Work {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { run, batch, .. } = *settings;
        Self { run, batch, create: create(settings), read: read(settings) }
    }

    /// The id of a client's document. Documents that follow one another lie far apart, as those of many users do.
    fn id(&self, client: usize, number: u64) -> [u8; ID_BYTES] {
        // Multiplying by an odd number is a bijection: no two are equal.
        let spread = ((client as u64) << 40 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bits = u128::from(spread) << 32 | u128::from(self.run);
        let mut id = NO_ID;
        for digit in id.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(bits & 15) as usize];
            bits >>= 4;
        }
        id
    }

    /// Appends the request that creates a client's documents from `number` on.
    pub(super) fn create(&self, client: usize, number: u64, out: &mut Vec<u8>) {
        self.fill(&self.create, client, number, out);
    }

    /// Appends the request that reads one document.
    pub(super) fn read(&self, client: usize, number: u64, out: &mut Vec<u8>) {
        self.fill(&self.read, client, number, out);
    }

    fn fill(&self, template: &Template, client: usize, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&template.bytes);
        for (number, places) in (number..).zip(&template.ids) {
            let id = self.id(client, number);
            for place in places {
                out[start + place..start + place + ID_BYTES].copy_from_slice(&id);
            }
        }
    }
}

fn create(settings: &Settings) -> Template {
    let is_batch = settings.batch > 1;
    let key = String::from_utf8_lossy(&NO_ID);
    let (mut body, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..settings.batch {
        let mut places = Vec::new();
        body.extend_from_slice(OPERATION);
        document(settings.size, &mut body, &mut places);
        if is_batch && settings.keys {
            body.extend_from_slice(b",\"key\":\"");
            put_id(&mut body, &mut places);
            body.push(b'"');
        }
        body.extend_from_slice(if is_batch { b"}\n" } else { b"}" });
        ids.push(places);
    }
    let mut headers = common(settings);
    headers.push(("Content-Type", if is_batch { "application/x-ndjson" } else { "application/json" }));
    let key_header = "Idempotency-Key";
    if !is_batch && settings.keys {
        headers.push((key_header, &key));
    }
    let mut bytes = Vec::new();
    write_request(&mut bytes, "POST", "/do", &headers, Some(&body));
    let head = bytes.len() - body.len();
    ids.iter_mut().flatten().for_each(|place| *place += head);
    if !is_batch && settings.keys {
        let header = bytes.windows(key_header.len()).position(|window| window == key_header.as_bytes());
        ids[0].push(header.expect("it was just written") + key_header.len() + ": ".len());
    }
    Template { bytes, ids }
}

fn read(settings: &Settings) -> Template {
    let before = format!("/data/{TYPE}/");
    let target = before.clone() + &String::from_utf8_lossy(&NO_ID);
    let mut bytes = Vec::new();
    write_request(&mut bytes, "GET", &target, &common(settings), None);
    Template { bytes, ids: vec![vec!["GET ".len() + before.len()]] }
}

/// The header fields of every request.
fn common(settings: &Settings) -> Vec<(&str, &str)> {
    let authorization = settings.authorization.as_deref().map(|value| ("Authorization", value));
    std::iter::once(("Host", settings.host.as_str())).chain(authorization).collect()
}

/// Appends one document of exactly `size` bytes.
fn document(size: usize, out: &mut Vec<u8>, ids: &mut Vec<usize>) {
    let begin = out.len();
    out.extend_from_slice(b"{\"id\":\"");
    put_id(out, ids);
    out.extend_from_slice(b"\",\"email\":\"");
    put_id(out, ids);
    out.extend_from_slice(b"@bench.example\",\"pad\":\"");
    let mut left = (begin + size).saturating_sub(out.len() + 2);
    while left > 0 {
        let piece = &PADDING[..left.min(PADDING.len())];
        out.extend_from_slice(piece);
        left -= piece.len();
    }
    out.extend_from_slice(b"\"}");
}

fn put_id(out: &mut Vec<u8>, ids: &mut Vec<usize>) {
    ids.push(out.len());
    out.extend_from_slice(&NO_ID);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::json;

    fn settings(batch: u64, keys: bool) -> Settings {
        Settings { host: "h:1".into(), authorization: Some("Bearer t".into()), run: 7, size: 256, batch, keys }
    }

    fn create(work: &Work, client: usize, number: u64) -> (String, Vec<u8>) {
        let mut out = Vec::new();
        work.create(client, number, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        assert_eq!(length.parse(), Ok(body.len()));
        (head.to_owned(), body.as_bytes().to_owned())
    }

    fn key_of(head: &str) -> Option<&str> {
        head.lines().find_map(|line| line.strip_prefix("Idempotency-Key: "))
    }

    #[test]
    fn a_document_has_the_size_that_was_asked_for() {
        for size in [SIZE_MIN, 97, 256, 1000] {
            let work = Work::new(&Settings { size, ..settings(1, true) });
            let envelope = json::envelope(&create(&work, 3, 9).1).unwrap();
            assert_eq!(envelope.data.len(), size);
            assert_eq!(envelope.method, "bench_create");
        }
    }

    #[test]
    fn ids_and_keys_are_never_used_twice_and_are_those_that_are_read() {
        let (work, mut seen) = (Work::new(&settings(1, true)), std::collections::BTreeSet::new());
        for client in [0, 1, 255] {
            for number in [0, 1, 2, 1 << 20] {
                let (head, body) = create(&work, client, number);
                let id = key_of(&head).unwrap();
                assert!(id.len() == 24 && id.ends_with("00000007"), "{id}");
                let data = json::envelope(&body).unwrap().data;
                assert!(data.starts_with(&format!("{{\"id\":\"{id}\",\"email\":\"{id}@")), "{data}");
                let mut read = Vec::new();
                work.read(client, number, &mut read);
                let line = format!("GET /data/bench/{id} HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer t\r\n\r\n");
                assert_eq!(String::from_utf8(read).unwrap(), line);
                assert!(seen.insert(id.to_owned()));
            }
        }
    }

    #[test]
    fn a_batch_has_a_line_and_a_key_for_each_operation() {
        let (head, body) = create(&Work::new(&settings(3, true)), 0, 5);
        assert!(head.contains("Content-Type: application/x-ndjson") && head.contains("Authorization: Bearer t"));
        assert!(key_of(&head).is_none());
        let lines: Vec<_> = body.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        let envelopes: Vec<_> = lines.iter().map(|line| json::envelope(line).unwrap()).collect();
        let alone = Work::new(&settings(1, true));
        for (envelope, number) in envelopes.iter().zip(5..) {
            let (head, _) = create(&alone, 0, number);
            assert_eq!(envelope.key.as_deref(), key_of(&head));
            assert!(envelope.data.contains(key_of(&head).unwrap()));
        }
        let (head, body) = create(&Work::new(&settings(1, false)), 0, 5);
        assert!(key_of(&head).is_none() && json::envelope(&body).unwrap().key.is_none());
    }
}
