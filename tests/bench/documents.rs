//! What a million documents cost, printed. One kind in one process: memory is that of the process.
//!
//! ```text
//! cargo run --release --example bench_documents -- names|uuids|unique
//! ```
//!
//! And what one call costs, for a program that counts instructions: a fixed amount of work, in functions of their
//! own names.
//!
//! ```text
//! cargo build --release --example bench_documents
//! valgrind --tool=callgrind target/release/examples/bench_documents calls create|update|put names|unique
//! callgrind_annotate --inclusive=yes callgrind.out.PID | grep call_
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark that fails may panic")]

use std::time::{Duration, Instant};

use rig::service::{Context, Documents, Entry, Service, Settings};
use rig::types::Operation;

const DOCUMENTS: u64 = 1_000_000;
const BATCH: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;

fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Every number below the (even) count once, in an order that looks random.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |step| step.wrapping_mul(7_368_787) % count)
}

/// 256 bytes in all.
fn body(id: &str, number: u64) -> String {
    let start = format!(
        r#"{{"id":"{id}","email":"user{number}@example.org","name":"User {number}","age":{},"note":""#,
        number % 90
    );
    format!("{start}{}\"}}", "x".repeat(254 - start.len()))
}

#[derive(Default)]
struct Costs {
    operations: u32,
    whole: Duration,
    worst: Duration,
}

impl Costs {
    fn add(&mut self, operations: usize, took: Duration) {
        self.operations += u32::try_from(operations).unwrap();
        self.whole += took;
        self.worst = self.worst.max(took);
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} each (worst batch of {BATCH}: {:?})", self.whole / self.operations, self.worst)
    }
}

fn apply(documents: &mut Documents, operations: &[Operation], costs: &mut Costs) {
    let version = documents.version();
    let entries: Vec<_> = operations
        .iter()
        .zip(version + 1..)
        .map(|(operation, version)| Entry { version, time: version, operation: Some(operation) })
        .collect();
    let start = Instant::now();
    let outcomes = documents.apply(&entries).unwrap();
    costs.add(operations.len(), start.elapsed());
    assert!(outcomes.iter().all(|outcome| outcome.status == 200), "{:?}", outcomes[0]);
}

fn validate(documents: &Documents, operations: &[Operation], costs: &mut Costs) {
    let fresh_id = || uuid::Uuid::nil();
    let context = Context { now: 1, fresh_id: &fresh_id };
    let start = Instant::now();
    for operation in operations {
        documents.resources(operation).unwrap();
        documents.validate(operation, &context).unwrap();
    }
    costs.add(operations.len(), start.elapsed());
}

fn run(documents: &mut Documents, operations: &[Operation], what: &str) {
    let mut costs = Costs::default();
    for batch in operations.chunks(BATCH) {
        apply(documents, batch, &mut costs);
    }
    println!("  {what}: {costs}");
}

fn measure(name: &str, id: impl Fn(u64) -> String, schema: Option<&str>) {
    println!("{name}");
    let mut documents = Documents::new(Settings { memory_max_bytes: u64::MAX });
    if let Some(schema) = schema {
        run(&mut documents, &[Operation::new("schema_set", schema)], "schema");
    }
    let empty = resident_mib();
    let made: Vec<u64> = scattered(DOCUMENTS).collect();
    for (part, numbers) in made.chunks(made.len() / 4).enumerate() {
        let create = |number: &u64| Operation::new("user_create", body(&id(*number), *number));
        let (mut validated, mut applied) = (Costs::default(), Costs::default());
        // In batches, so that what is measured as resident is the documents and not the operations.
        for numbers in numbers.chunks(BATCH) {
            let operations: Vec<_> = numbers.iter().map(create).collect();
            validate(&documents, &operations, &mut validated);
            apply(&mut documents, &operations, &mut applied);
        }
        println!("  quarter {}: resources and validate {validated}; create {applied}", part + 1);
    }
    let counted = documents.memory_bytes() as f64 / MIB;
    let resident = resident_mib() - empty;
    println!("  resident {resident:.0} MiB more, counted {counted:.0} MiB");
    assert!(resident < 550.0, "a million documents of 256 bytes take {resident} MiB");

    let update = |number: &u64| Operation::new("user_update", format!(r#"{{"id":"{}","age":91}}"#, id(*number)));
    let operations: Vec<_> = made.iter().rev().step_by(5).map(update).collect();
    run(&mut documents, &operations, "update");
    let start = Instant::now();
    let frozen = documents.snapshot();
    println!("  freeze {:?}", start.elapsed());
    let operations: Vec<_> = made.iter().step_by(5).map(update).collect();
    run(&mut documents, &operations, "update while frozen");
    let mut bytes = Vec::new();
    let start = Instant::now();
    let version = frozen.version();
    frozen.write(&mut bytes).unwrap();
    println!("  write {:.0} MiB {:?} (with the drop)", bytes.len() as f64 / MIB, start.elapsed());
    let start = Instant::now();
    let page = documents.list("user", &[("name", "User 999999")], None, 10);
    println!("  list by a field without index {:?}", start.elapsed());
    assert_eq!(page.items.len(), 1);
    drop(documents);

    let mut restored = Documents::new(Settings::default());
    let start = Instant::now();
    restored.restore(version, &mut bytes.as_slice()).unwrap();
    let took = start.elapsed();
    assert_eq!(restored.len() as u64, DOCUMENTS);
    println!("  restore {took:?}");
    assert!(took < Duration::from_secs(5), "a million documents took {took:?} to restore");
}

/// Operations that are counted.
const CALLS: u64 = 20_000;

#[inline(never)]
fn call_resources(documents: &dyn Service, operation: &Operation) {
    documents.resources(operation).unwrap();
}

#[inline(never)]
fn call_validate(documents: &dyn Service, operation: &Operation, context: &Context<'_>) {
    documents.validate(operation, context).unwrap();
}

#[inline(never)]
fn call_apply(documents: &mut dyn Service, entries: &[Entry<'_>]) {
    let outcomes = documents.apply(entries).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status == 200), "{:?}", outcomes[0]);
}

/// Every call once for each operation, as a primary makes them. Documents are those of `rig bench`.
fn count(action: &str, schema: Option<&str>) {
    let mut documents = Documents::new(Settings::default());
    let documents: &mut dyn Service = &mut documents;
    let fresh_id = || uuid::Uuid::nil();
    let context = Context { now: 1, fresh_id: &fresh_id };
    let operation = |method: &str, number: u64| {
        let id = format!("{:016x}{:08x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15), 7);
        let document = |pad| format!(r#"{{"id":"{id}","email":"{id}@bench.example","age":30,"pad":"{pad}"}}"#);
        let data = match method {
            "update" => format!(r#"{{"id":"{id}","age":91}}"#),
            _ => document("x".repeat(256 - document(String::new()).len())),
        };
        Operation::new(format!("user_{method}"), data)
    };
    let apply = |documents: &mut dyn Service, operations: &[Operation], call: fn(&mut dyn Service, &[Entry<'_>])| {
        let version = documents.version();
        let entry = |(operation, version)| Entry { version, time: version, operation: Some(operation) };
        let entries: Vec<_> = operations.iter().zip(version + 1..).map(entry).collect();
        call(documents, &entries);
    };
    let uncounted = |documents: &mut dyn Service, entries: &[Entry<'_>]| drop(documents.apply(entries).unwrap());
    if let Some(schema) = schema {
        apply(documents, &[Operation::new("schema_set", schema)], uncounted);
    }
    if action != "create" {
        let operations: Vec<_> = (0..CALLS).map(|number| operation("create", number)).collect();
        apply(documents, &operations, uncounted);
    }
    for number in (0..CALLS).step_by(BATCH) {
        let operations: Vec<_> =
            (number..CALLS.min(number + BATCH as u64)).map(|number| operation(action, number)).collect();
        for operation in &operations {
            call_resources(documents, operation);
            call_validate(documents, operation, &context);
        }
        apply(documents, &operations, call_apply);
    }
}

fn main() {
    let uuid =
        |number: u64| uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000 << 48 | u128::from(number) << 20).to_string();
    let name = |number: u64| format!("user-{number}");
    let schema = r#"{"type":"user","unique":["email"],"required":["email"]}"#;
    match std::env::args().nth(1).as_deref() {
        Some("names") => measure("ids like user-123, no schema", name, None),
        Some("uuids") => measure("ids are UUIDs, no schema", uuid, None),
        Some("unique") => measure("ids like user-123, email unique", name, Some(schema)),
        Some("calls") => {
            let unique = std::env::args().nth(3).is_some_and(|kind| kind == "unique");
            count(&std::env::args().nth(2).unwrap_or_default(), unique.then_some(schema));
        }
        _ => eprintln!("names, uuids, unique or calls?"),
    }
}
