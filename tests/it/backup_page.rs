//! The page `rig-backup(5)` against the program: a reader written from the page alone, and an archive that must open
//! for ever.

use sha2::{Digest, Sha256};

use crate::support::{Home, Node, root};

fn page() -> String {
    std::fs::read_to_string(root().join("man/rig-backup.5")).unwrap()
}

/// The number in the first column of the row of a table whose text holds this.
fn row(page: &str, text: &str) -> (usize, usize) {
    let lines: Vec<&str> = page.lines().collect();
    let at = lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no row: {text}"));
    let mut cells = lines[at - 1].split('\t').map(|cell| cell.parse::<usize>().unwrap_or(0));
    (cells.next().unwrap(), cells.next().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Kinds and numbers of the sections of an archive, everything checked that the page says.
fn read(page: &str, bytes: &[u8]) -> Vec<(u32, u64)> {
    let place = |text| row(page, text);
    assert_eq!(&bytes[..8], b"RIGBAK1\n");
    assert_eq!(bytes[place("format, u16: 1").0], 1);
    let (crc, length) = place("CRC32C of bytes 0 to 251");
    assert_eq!((u32_at(bytes, crc), crc + length), (crc32c::crc32c(&bytes[..crc]), 256));
    let (first, last) = (place("first version, u64").0, place("last version, u64;").0);
    let (before, end) = (place("the place before the first version").0, place("the place of the last version").0);
    let (mut version, mut hash) = (u64_at(bytes, first), bytes[before + 32..before + 64].to_vec());
    let cluster = place("cluster id").0;
    if version == 1 {
        let genesis = Sha256::new().chain_update(b"rig/1 ").chain_update(&bytes[cluster..cluster + 16]).finalize();
        assert_eq!(*genesis, hash[..]);
    }
    let (mut at, mut found) = (256, Vec::new());
    while at < bytes.len() {
        let (kind, length, number) = (u32_at(bytes, at), u64_at(bytes, at + 4) as usize, u64_at(bytes, at + 12));
        assert_eq!(u32_at(bytes, at + 20), crc32c::crc32c(&bytes[at..at + 20]));
        let body = &bytes[at + 24..at + 24 + length];
        assert_eq!(u32_at(bytes, at + 24 + length), crc32c::crc32c(body));
        match kind {
            1 => assert!(serde_json::from_slice::<serde_json::Value>(body).unwrap()["rig"].is_string()),
            4 => {
                let mut rest = body;
                assert_eq!(number, version);
                while !rest.is_empty() {
                    let length = u32_at(rest, 4) as usize;
                    assert_eq!((u32_at(rest, 0), u64_at(rest, 16)), (crc32c::crc32c(&rest[4..80]), version));
                    hash = Sha256::new().chain_update(&hash).chain_update(&rest[4..length - 32]).finalize().to_vec();
                    assert_eq!(hash, rest[length - 32..length]);
                    (rest, version) = (&rest[length..], version + 1);
                }
            }
            5 => {
                assert_eq!(*Sha256::digest(&bytes[..at]), *body);
                assert_eq!(at + 24 + length + 4, bytes.len());
            }
            _ => {}
        }
        found.push((kind, number));
        at += 24 + length + 4;
    }
    assert_eq!((version - 1, &hash[..]), (u64_at(bytes, last), &bytes[end + 32..end + 64]));
    found
}

#[test]
fn an_archive_is_what_the_page_says() {
    let (page, home) = (page(), Home::new());
    home.ok(&["init", "n1"]);
    let _node = Node::serve(&home, &["-D", "n1"]);
    for id in 0..20 {
        home.ok(&["apply", "user_put", "--data", &format!("{{\"id\":\"u{id}\"}}"), "-D", "n1", "-q"]);
    }
    home.ok(&["backup", "-D", "n1", "-o", "full"]);
    home.ok(&["backup", "-D", "n1", "-o", "part", "--since", "7"]);
    let full = std::fs::read(home.path("full")).unwrap();
    assert_eq!(read(&page, &full), [(1, 0), (4, 1), (5, 21)]);
    let part = std::fs::read(home.path("part")).unwrap();
    assert_eq!((read(&page, &part), part[10]), (vec![(1, 0), (4, 8), (5, 21)], 1));
    for (number, name) in [(1, "About"), (2, "Snapshot"), (3, "Keys"), (4, "Records"), (5, "End")] {
        assert!(page.contains(&format!("\n{number}\t{name}\t")), "{name}");
    }
    assert!(page.contains(&format!("at most {} bytes", rig::limits::RECORD_BYTES_MAX)));
}

#[test]
fn the_archives_of_format_1_open() {
    let (page, home) = (page(), Home::new());
    let folder = root().join("tests/data/format1/backup");
    let (full, part) = (folder.join("full.rigbak"), folder.join("part.rigbak"));
    let kinds = |path| read(&page, &std::fs::read(path).unwrap()).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(&full)[..3], [1, 2, 3], "it has a snapshot and keys");
    assert_eq!(kinds(&part), [1, 4, 5]);
    let head = std::fs::read_to_string(folder.join("head")).unwrap();
    let (full, part) = (full.to_str().unwrap(), part.to_str().unwrap());
    let made = home.ok(&["restore", full, "n1", "--apply", part, "--json"]).json();
    assert_eq!(format!("{} {}", made["version"], made["hash"].as_str().unwrap()), head.lines().next().unwrap());
    home.ok(&["log", "verify", "-D", "n1"]);
    let node = Node::serve(&home, &["-D", "n1"]);
    let mut wire = crate::wire::Wire::open(node.address()).unwrap();
    let state = wire.get("/state/hash").unwrap().data();
    assert_eq!(state["hash"], head.lines().nth(1).unwrap());
}
