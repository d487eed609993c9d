//! Whether what clients saw (`histories`) and what the logs of all nodes hold go together.
//!
//! # What must hold
//! 1. All logs are equal, their versions have no gaps, and no key is there twice.
//! 2. What was answered is there as it was answered; what was refused is not there.
//! 3. Who answered led: a record that its first attempt made is of the answering node's own term, and in one epoch one
//!    node answers.
//! 4. A read shows the log up to the version that comes with it.
//! 5. Each register is linearizable, by its writes and the reads that waited for a mark.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::histories::{Found, History, Outcome, Sent};
use super::linear::{self, Did, Operation};

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) hash: String,
    pub(crate) key: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) owner: String,
    pub(crate) method: String,
    pub(crate) data: Data,
}

/// What the clients put into an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Data {
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) value: Option<u64>,
}

/// The log of one node.
pub(crate) struct Log {
    /// The node's name and identity.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) records: Vec<Record>,
}

/// What there was to judge.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) answered: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    /// Of the unknown ones, those in the log.
    pub(crate) unknown_done: usize,
    pub(crate) registers: usize,
    pub(crate) reads: usize,
    pub(crate) looks: usize,
    /// Looks that did not show a value that had been answered before they began.
    pub(crate) looks_that_were_old: usize,
    pub(crate) epochs: usize,
}

/// The figures, and everything that is wrong.
pub(crate) fn judge(history: &History, logs: &[Log]) -> (Figures, Vec<String>) {
    let (mut figures, mut faults) = (Figures::default(), history.wrong.clone());
    let log = &logs[0].records;
    for other in &logs[1..] {
        are_equal(&logs[0], other, &mut faults);
    }
    let mut by_key: HashMap<&str, &Record> = HashMap::new();
    for (at, record) in log.iter().enumerate() {
        if record.version != at as u64 + 1 {
            faults.push(format!("version {} stands in place {}", record.version, at + 1));
        }
        if let Some(key) = &record.key
            && let Some(before) = by_key.insert(key, record)
        {
            faults.push(format!("{key} is there twice: {} and {}", before.version, record.version));
        }
    }
    let names: HashMap<&str, &str> = logs.iter().map(|log| (&*log.id, &*log.name)).collect();
    let mut terms: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for sent in &history.sent {
        let record = by_key.get(&*sent.key).copied();
        count(&mut figures, sent, record.is_some());
        faults.extend(outcome(sent, record, &names));
        if let Outcome::Answered(answer) = &sent.outcome {
            terms.entry(answer.epoch).or_default().insert(&answer.node);
        }
    }
    figures.epochs = terms.len();
    let shared = terms.into_iter().filter(|(_, nodes)| nodes.len() > 1);
    faults.extend(shared.map(|(epoch, nodes)| format!("in epoch {epoch} answers came from {nodes:?}")));
    registers(history, log, &mut figures, &mut faults);
    (figures, faults)
}

fn are_equal(one: &Log, other: &Log, faults: &mut Vec<String>) {
    let differ = one.records.iter().zip(&other.records).find(|(left, right)| left != right);
    if let Some((left, right)) = differ {
        faults.push(format!("{} and {} differ: {left:?} and {right:?}", one.name, other.name));
    } else if one.records.len() != other.records.len() {
        let lengths = (one.records.len(), other.records.len());
        faults.push(format!("the logs of {} and {} have {lengths:?} records", one.name, other.name));
    }
}

fn count(figures: &mut Figures, sent: &Sent, is_there: bool) {
    match sent.outcome {
        Outcome::Answered(_) => figures.answered += 1,
        Outcome::Refused => figures.refused += 1,
        Outcome::Unknown => figures.unknown += 1,
    }
    figures.unknown_done += usize::from(is_there && sent.outcome == Outcome::Unknown);
}

/// What is wrong between one operation and its record.
fn outcome(sent: &Sent, record: Option<&Record>, names: &HashMap<&str, &str>) -> Option<String> {
    match (&sent.outcome, record) {
        (Outcome::Answered(_), None) => Some(format!("answered, and lost: {sent:?}")),
        (Outcome::Refused, Some(record)) => Some(format!("refused, and done: {sent:?}, {record:?}")),
        (Outcome::Answered(answer), Some(record)) => {
            let is_same = (answer.version, &answer.hash) == (record.version, &record.hash);
            let put = sent.put.as_ref().map(|(register, value)| (Some(register), Some(value)));
            let is_put = put.is_none_or(|put| put == (record.data.id.as_ref(), record.data.value.as_ref()));
            let owner = names.get(&*record.owner).copied().unwrap_or_default();
            if !is_same || !is_put {
                Some(format!("answered otherwise: {sent:?}, {record:?}"))
            } else if !answer.replayed && owner != answer.node {
                Some(format!("answered by {} in the term of {owner}: {sent:?}, {record:?}", answer.node))
            } else {
                None
            }
        }
        _ => None,
    }
}

fn registers(history: &History, log: &[Record], figures: &mut Figures, faults: &mut Vec<String>) {
    // What each register was, from which version on.
    let mut states: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for record in log.iter().filter(|record| record.method == "register_put") {
        if let Data { id: Some(id), value: Some(value) } = &record.data {
            states.entry(id).or_default().push((record.version, *value));
        }
    }
    let mut operations: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    // When each register had an answered write, and with which version.
    let mut answered: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for sent in &history.sent {
        let Some((register, value)) = &sent.put else { continue };
        let did = match &sent.outcome {
            Outcome::Answered(answer) => {
                answered.entry(register).or_default().push((sent.end, answer.version));
                Did::Wrote(*value)
            }
            Outcome::Unknown => Did::MayHaveWritten(*value),
            Outcome::Refused => continue,
        };
        operations.entry(register).or_default().push(Operation { call: sent.call, end: sent.end, did });
    }
    for found in &history.found {
        let states = states.get(&*found.register).map_or(&[][..], Vec::as_slice);
        let at = states.partition_point(|(version, _)| *version <= found.applied);
        let there = at.checked_sub(1).map(|at| (states[at].1, states[at].0));
        if there != found.value {
            faults.push(format!(
                "{} has version {} and shows what that does not have, {there:?}: {found:?}",
                found.node, found.applied
            ));
        }
        if found.is_marked {
            figures.reads += 1;
            let did = Did::Read(found.value.map(|(value, _)| value));
            let operation = Operation { call: found.call, end: found.end, did };
            operations.entry(&found.register).or_default().push(operation);
        } else {
            figures.looks += 1;
            let writes = answered.get(&*found.register).map_or(&[][..], Vec::as_slice);
            figures.looks_that_were_old += usize::from(is_old(found, writes));
        }
    }
    figures.registers = operations.len();
    for (register, operations) in operations {
        if let Err(violation) = linear::check(&operations) {
            faults.push(format!("register {register} is not linearizable: {violation}"));
        }
    }
}

fn is_old(found: &Found, writes: &[(u64, u64)]) -> bool {
    let shown = found.value.map_or(0, |(_, version)| version);
    writes.iter().any(|(end, version)| *end < found.call && *version > shown)
}

#[cfg(test)]
mod tests {
    use super::super::histories::Answer;
    use super::*;

    fn record(version: u64, key: &str, put: Option<(&str, u64)>) -> Record {
        let (epoch, owner) = if version < 5 { (1, "id1") } else { (2, "id2") };
        let data = put.map_or(Data::default(), |(id, value)| Data { id: Some(id.into()), value: Some(value) });
        let method = if put.is_some() { "register_put" } else { "item_create" };
        let (hash, owner, method) = (format!("h{version}"), owner.to_owned(), method.to_owned());
        Record { version, hash, key: Some(key.into()), epoch, owner, method, data }
    }

    fn sent(version: u64, key: &str, put: Option<(&str, u64)>) -> Sent {
        let (epoch, node) = if version < 5 { (1, "n1") } else { (2, "n2") };
        let (hash, node) = (format!("h{version}"), node.to_owned());
        let outcome = Outcome::Answered(Answer { version, hash, replayed: false, node, epoch });
        let (call, end) = (version * 10, version * 10 + 5);
        Sent { key: key.into(), put: put.map(|(id, value)| (id.into(), value)), call, end, outcome }
    }

    fn found(at: u64, value: Option<(u64, u64)>, is_marked: bool) -> Found {
        let (call, end) = (at * 10 + 6, at * 10 + 8);
        Found { register: "r".into(), value, applied: at, call, end, node: "n2".into(), is_marked }
    }

    /// Two terms with a fail-over between them, one write that nobody answered, and readers.
    fn right() -> (History, Vec<Log>) {
        let lines = [("a", None), ("b", Some(("r", 1))), ("c", None), ("d", Some(("r", 2))), ("e", None), ("f", None)];
        let of = |at: usize| (at as u64 + 1, lines[at].0, lines[at].1);
        let records: Vec<_> = (0..6).map(of).map(|(version, key, put)| record(version, key, put)).collect();
        let mut all: Vec<_> = (0..6).map(of).map(|(version, key, put)| sent(version, key, put)).collect();
        all[3].outcome = Outcome::Unknown;
        all.push(Sent { outcome: Outcome::Refused, ..sent(9, "x", Some(("r", 9))) });
        let reads = [(1, None), (2, Some((1, 2))), (5, Some((2, 4)))].map(|(at, value)| found(at, value, true));
        let mut history = History { sent: all, found: reads.into(), wrong: Vec::new() };
        // Old, and right for its version.
        history.found.push(Found { applied: 1, ..found(4, None, false) });
        let log = |name: &str, id: &str| Log { name: name.into(), id: id.into(), records: records.clone() };
        (history, vec![log("n1", "id1"), log("n2", "id2")])
    }

    fn faults(change: impl FnOnce(&mut History, &mut Vec<Log>)) -> Vec<String> {
        let (mut history, mut logs) = right();
        change(&mut history, &mut logs);
        judge(&history, &logs).1
    }

    #[test]
    fn what_is_right_is_counted() {
        let (history, logs) = right();
        let (figures, faults) = judge(&history, &logs);
        assert_eq!(faults, [""; 0]);
        assert_eq!((figures.answered, figures.refused, figures.unknown, figures.unknown_done), (5, 1, 1, 1));
        assert_eq!((figures.reads, figures.looks, figures.looks_that_were_old), (3, 1, 1));
        assert_eq!((figures.registers, figures.epochs), (1, 2));
    }

    #[test]
    fn each_thing_that_must_hold_is_missed() {
        let answer = |sent: &mut Sent, change: fn(&mut Answer)| match &mut sent.outcome {
            Outcome::Answered(answer) => change(answer),
            _ => panic!("{sent:?} has no answer"),
        };
        let each = |logs: &mut Vec<Log>, change: fn(&mut Vec<Record>)| {
            logs.iter_mut().for_each(|log| change(&mut log.records));
        };
        let cases: [(&str, Vec<String>); 14] = [
            ("have (6, 5) records", faults(|_, logs| _ = logs[1].records.pop())),
            ("n1 and n2 differ", faults(|_, logs| logs[1].records[5].hash = "other".into())),
            ("version 6 stands in place 5", faults(|_, logs| each(logs, |log| _ = log.remove(4)))),
            ("a is there twice", faults(|_, logs| each(logs, |log| log[4].key = Some("a".into())))),
            ("answered, and lost", faults(|_, logs| each(logs, |log| log[4].key = None))),
            ("answered otherwise", faults(|history, _| answer(&mut history.sent[0], |answer| answer.version = 2))),
            ("answered otherwise", faults(|history, _| answer(&mut history.sent[0], |answer| answer.hash.clear()))),
            ("answered otherwise", faults(|history, _| history.sent[1].put = Some(("r".into(), 7)))),
            ("refused, and done", faults(|history, _| history.sent[3].outcome = Outcome::Refused)),
            (
                "answered by n1 in the term of n2",
                faults(|history, _| answer(&mut history.sent[4], |answer| answer.node = "n1".into())),
            ),
            (
                "in epoch 2 answers came from {\"n1\", \"n2\"}",
                faults(|history, _| answer(&mut history.sent[0], |answer| answer.epoch = 2)),
            ),
            ("does not have", faults(|history, _| history.found[3].value = Some((1, 2)))),
            (
                "not linearizable",
                faults(|history, _| history.found.push(Found { applied: 2, ..found(6, Some((1, 2)), true) })),
            ),
            ("a read: 500", faults(|history, _| history.wrong.push("a read: 500".into()))),
        ];
        for (wanted, faults) in cases {
            assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
        }
    }
}
