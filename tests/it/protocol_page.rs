//! The page `rig-protocol(7)` against the program: the frame and the record of its examples, its kinds, bounds and
//! numbered rules.

use crate::support::root;
use rig::coordinator::Record;
use rig::limits::{
    EPOCHS_MAX, MARKS_KEPT, MARKS_PER_MESSAGE, NAME_BYTES_MAX, RECORD_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, URL_BYTES_MAX,
};
use rig::peer::{Kind, PROTOCOL, encode};
use rig::replication::{Ack, Message};
use rig::types::{Epoch, NodeId};

fn page() -> String {
    std::fs::read_to_string(root().join("man/rig-protocol.7")).unwrap()
}

/// What stands between two comments of the page.
fn between<'a>(page: &'a str, name: &str) -> &'a str {
    let begins = page.split(&format!(".\\\" {name} begins\n")).nth(1).unwrap();
    begins.split(&format!(".\\\" {name} ends")).next().unwrap()
}

#[test]
fn the_record_of_the_page_is_one_that_is_read_and_written_byte_by_byte() {
    let page = page();
    let lines = between(&page, "record").lines().filter(|line| !line.starts_with('.'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\-", "-");
    let record = Record::from_json(text.as_bytes()).unwrap();
    assert_eq!(record.to_json(), text);
    // Every member has its row, in the order in which it is written.
    let members: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
    let section = page.split(".SS The record\n").nth(1).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_suffix("\tT{")?.split('\t').next());
    let rows: Vec<&str> = rows.filter(|name| members.contains(name)).collect();
    assert_eq!((rows, members.len()), (members.clone(), 9));
    for (from, to) in [("\"format\": 1", "\"format\": 2"), ("\"open\",", "\"open\", \"more\": 1,")] {
        assert!(text.contains(from));
        Record::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err();
    }
}

#[test]
fn the_example_of_the_page_is_what_is_sent() {
    let page = page();
    let example = between(&page, "example");
    let mut bytes = Vec::new();
    for line in example.lines() {
        let Some((offset, digits)) = line.split_once("  ") else { continue };
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
        bytes.extend(digits.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    }
    let owner = NodeId(std::array::from_fn(|n| n as u8 + 16));
    let ack = Ack { epoch: Epoch { number: 1, owner, start: 2 }, received: 9, durable: 8, applied: 7 };
    let mut sent = Vec::new();
    encode(&Message::Ack(ack), PROTOCOL, &[], &mut sent).unwrap();
    assert_eq!(sent, bytes);
}

#[test]
fn the_page_names_every_kind_with_its_number_and_every_bound() {
    let page = page();
    assert!(page.contains(&format!("rig\\-peer/{PROTOCOL}")));
    assert!(page.contains(".SS Kind 1: Greeting"));
    let rows: Vec<String> = Kind::ALL[1..].iter().map(|kind| format!("{}\t{kind:?}\t", *kind as u8)).collect();
    let found: Vec<&str> =
        page.lines().filter(|line| line.ends_with("T{") && rows.iter().any(|row| line.starts_with(row))).collect();
    assert_eq!(found.len(), rows.len(), "{found:#?}");
    assert!(page.contains(&format!("newest {MARKS_KEPT} versions")));
    let bounds = [RECORD_BYTES_MAX, EPOCHS_MAX, NAME_BYTES_MAX, URL_BYTES_MAX, MARKS_PER_MESSAGE, SNAPSHOT_CHUNK_BYTES];
    for bound in bounds {
        assert!(page.contains(&format!("at most {bound} ")) || page.contains(&format!("at most {bound})")), "{bound}");
    }
}

#[test]
fn the_rules_are_numbered_without_gaps() {
    let page = page();
    for letter in ["P", "I", "C"] {
        let numbers = page.lines().filter_map(|line| line.strip_prefix(".B ")?.strip_prefix(letter)?.parse().ok());
        let numbers: Vec<usize> = numbers.collect();
        assert!(numbers.len() >= 5, "{letter}: {numbers:?}");
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{letter}");
    }
}
