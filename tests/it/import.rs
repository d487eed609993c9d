//! Real data: the tables of languages, countries and their parts that Debian's `iso-codes` carries.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::first_minutes::without_marks;
use crate::support::{Home, Node, skipped};
use crate::wire::Wire;

const FOLDER: &str = "/usr/share/iso-codes/json";

/// File, its list, the type of its documents, and the member that names one.
const TABLES: [(&str, &str, &str, &str); 3] = [
    ("iso_639-3.json", "639-3", "language", "alpha_3"),
    ("iso_3166-1.json", "3166-1", "country", "alpha_2"),
    ("iso_3166-2.json", "3166-2", "subdivision", "code"),
];

/// The documents of one table by their id.
type Table = BTreeMap<String, Value>;

/// What is in the package, as documents.
fn tables() -> BTreeMap<&'static str, Table> {
    let mut tables = BTreeMap::new();
    for (file, list, kind, id) in TABLES {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(file)).unwrap();
        let rows: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let table = rows[list].as_array().unwrap().iter().map(|row| {
            let mut row = row.clone();
            let id = row[id].as_str().unwrap().to_owned();
            row.as_object_mut().unwrap().insert("id".into(), id.clone().into());
            (id, row)
        });
        tables.insert(kind, table.collect::<Table>());
    }
    tables
}

/// For the query of a URL.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[test]
fn the_iso_tables_are_imported_and_read_back_equal_through_every_door() {
    if !Path::new(FOLDER).join("iso_639-3.json").is_file() {
        skipped("import", "the package iso-codes");
        return;
    }
    let tables = tables();
    let mut input = String::new();
    for (kind, table) in &tables {
        for row in table.values() {
            input.push_str(&format!("{{\"method\":\"{kind}_create\",\"data\":{row}}}\n"));
        }
    }
    let count = input.lines().count();
    assert!(count > 8_000, "{count} rows");

    let home = Home::new();
    let node = Node::new(&home);
    home.file("iso.ndjson", &input);
    let summary = home.ok(&["apply", "--batch", "iso.ndjson", "-q", "--json"]).json();
    assert_eq!((&summary["ok"], &summary["rejected"], &summary["unknown"]), (&count.into(), &0.into(), &0.into()));
    assert_eq!((&summary["first_version"], &summary["last_version"]), (&2.into(), &(count + 1).into()));

    read_by_command(&home, &tables);
    read_by_http(&node, &tables);
    read_by_log(&home, &tables, &input);

    // Nothing of it can be imported twice.
    let again = home.run(&["apply", "--batch", "iso.ndjson", "-q", "--json"]);
    assert_eq!((again.code, &again.json()["rejected"]), (Some(6), &count.into()));
    let verified = home.ok(&["log", "verify", "--json"]).lines();
    assert_eq!(verified.last().unwrap()["records"], count + 1);
}

fn read_by_command(home: &Home, tables: &BTreeMap<&'static str, Table>) {
    for (kind, table) in tables {
        let listed: Vec<Value> = home.ok(&["ls", kind, "--json"]).lines().into_iter().map(without_marks).collect();
        assert_eq!(listed.len(), table.len(), "{kind}");
        assert!(listed.iter().eq(table.values()), "{kind}: the list is not what was imported");
        for (id, row) in table.iter().step_by(table.len() / 5) {
            assert_eq!(without_marks(home.ok(&["get", kind, id, "--json"]).json()), *row);
        }
    }
    let wanted: Vec<&Value> =
        tables["language"].values().filter(|row| row["type"] == "E" && row["scope"] == "I").collect();
    let found = home.ok(&["ls", "language", "--where", "type=E", "--where", "scope=I", "--json"]).lines();
    assert!(wanted.len() > 100, "{}", wanted.len());
    assert!(found.into_iter().map(without_marks).eq(wanted.into_iter().cloned()));
}

fn read_by_http(node: &Node, tables: &BTreeMap<&'static str, Table>) {
    let mut wire = Wire::open(node.address()).unwrap();
    let names = ["Ghotuo", "Norwegian Bokmål", "Lengua de señas guatemalteca", "'Auhelawa", "Sign Language & more"];
    for name in
        names.into_iter().chain(tables["language"].values().step_by(997).map(|row| row["name"].as_str().unwrap()))
    {
        let wanted: Vec<&Value> = tables["language"].values().filter(|row| row["name"] == name).collect();
        let page = wire.get(&format!("/data/language?name={}", encoded(name))).unwrap().data();
        let found = page["items"].as_array().unwrap().iter().cloned().map(without_marks);
        assert!(found.eq(wanted.into_iter().cloned()), "{name}: {page}");
    }
    for parent in ["AT", "GB"] {
        let wanted = tables["subdivision"].values().filter(|row| row["code"].as_str().unwrap().starts_with(parent));
        let types: BTreeMap<&str, usize> = wanted.fold(BTreeMap::new(), |mut types, row| {
            *types.entry(row["type"].as_str().unwrap()).or_default() += 1;
            types
        });
        let country = wire.get(&format!("/data/country/{parent}")).unwrap().data();
        assert_eq!(without_marks(country), tables["country"][parent]);
        assert!(types.values().sum::<usize>() > 5, "{parent}: {types:?}");
    }
    // Page by page it is the whole table, in the order of the ids.
    let (mut after, mut walked) = (String::new(), Vec::new());
    loop {
        let page = wire.get(&format!("/data/subdivision?limit=700{after}")).unwrap().data();
        walked.extend(page["items"].as_array().unwrap().iter().cloned().map(without_marks));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", encoded(next)),
            None => break,
        }
    }
    assert!(walked.iter().eq(tables["subdivision"].values()), "{} walked", walked.len());
}

fn read_by_log(home: &Home, tables: &BTreeMap<&'static str, Table>, input: &str) {
    let dump = home.ok(&["log", "dump", "--json"]).stdout;
    let mut sums: BTreeMap<String, usize> = BTreeMap::new();
    let mut records = dump.lines();
    assert!(records.next().unwrap().contains("\"method\":\"rig_epoch\""));
    for (line, record) in input.lines().zip(records.by_ref()) {
        // Not only equal as JSON: the same characters.
        let data = line.split_once("\"data\":").unwrap().1.strip_suffix('}').unwrap();
        assert!(record.contains(&format!("\"data\":{data},")), "{line}\n{record}");
        let record: Value = serde_json::from_str(record).unwrap();
        *sums.entry(record["method"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(records.next(), None);
    let wanted: BTreeMap<String, usize> =
        tables.iter().map(|(kind, table)| (format!("{kind}_create"), table.len())).collect();
    assert_eq!(sums, wanted);
    for (method, sum) in &sums {
        let some = home.ok(&["log", "dump", "--json", "--method", method, "--with-data", "none"]).stdout;
        assert_eq!(some.lines().count(), *sum, "{method}");
    }
    let history = home.ok(&["log", "dump", "--json", "--type", "language", "--id", "deu"]).lines();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["data"], tables["language"]["deu"]);
}
