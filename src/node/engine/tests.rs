//! The write path over a real log in memory and the real documents service.

mod outside;

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_OPS_MAX};
use crate::log::{self, MemVfs, Writer};
use crate::node::admission::Client;
use crate::replication::{Asked, Found, Member};
use crate::service::{Documents, Settings};
use crate::types::{ClusterId, NodeId, Role};

const CLUSTER: ClusterId = ClusterId([3; 16]);

fn client(last: u8) -> Client {
    Client::from(std::net::IpAddr::from([10, 0, 0, last]))
}

struct World {
    engine: Engine,
    writer: Writer,
    begin: Instant,
    time: Micros,
    count: u64,
    client: Client,
}

impl World {
    fn new(asked: Asked) -> Self {
        Self::with(asked, false)
    }

    fn with(asked: Asked, is_outside: bool) -> Self {
        let begin = Instant::now();
        let config = log::Config { segment_bytes: 1 << 20, zero_fill: false, cluster: CLUSTER };
        let opened = log::open(Arc::new(MemVfs::new()), Path::new("/data"), &config).unwrap();
        let me = Member { id: NodeId([1; 16]), name: "n1".into(), url: String::new() };
        let found = Found {
            me,
            boot: 1,
            head: 0,
            oldest: 1,
            committed: 0,
            applied: 0,
            history: Vec::new(),
            configs: Vec::new(),
            standing: None,
            coordinated: false,
        };
        let mut outputs = Vec::new();
        let core = Replication::start(found, Role::Primary, asked, false, 0, &mut outputs);
        let parts = Parts {
            core,
            outputs,
            sealer: opened.sealer,
            service: Box::new(Documents::new(Settings::default())),
            is_outside,
            keys: Keys::new(),
            tail: Vec::new(),
            durable: opened.report.head,
            applied: opened.report.head,
            chronicle: Chronicle::default(),
            marks: Marks::after(0),
            begin,
            last_time: 0,
        };
        let now = Now { instant: begin, micros: 1_000 };
        let mut world = Self {
            engine: Engine::new(parts, now).unwrap(),
            writer: opened.writer,
            begin,
            time: 1_000,
            count: 0,
            client: client(1),
        };
        while world.engine.take_effects().iter().any(|effect| matches!(effect, Effect::Record(_))) {
            world.engine.tell(Input::Recorded, now).unwrap();
        }
        world
    }

    fn open() -> Self {
        let mut world = Self::new(Asked::default());
        world.sync();
        assert!(world.engine.is_open());
        world
    }

    fn now(&self) -> Now {
        Now { instant: self.begin + Duration::from_micros(self.time), micros: self.time }
    }

    fn wait(&mut self, duration: Duration) {
        self.time += u64::try_from(duration.as_micros()).unwrap();
        self.engine.expire(self.now()).unwrap();
    }

    /// Sends an operation; gives back the number that names it in answers.
    fn send(&mut self, key: Option<&str>, method: &str, data: &str) -> u64 {
        self.send_expecting(key, None, method, data)
    }

    fn send_expecting(&mut self, key: Option<&str>, expect: Option<Version>, method: &str, data: &str) -> u64 {
        self.count += 1;
        let submission = Submission {
            reply: ReplyTo { connection: 0, request: self.count, line: 0 },
            client: self.client,
            operation: Operation::new(method, data),
            key: key.map(Into::into),
            digest: key.map(keys::digest),
            request_hash: key.map(|_| keys::request_hash(method, data)),
            actor: "".into(),
            expect,
            deadline: self.now().instant + Duration::from_secs(5),
            data_bytes: data.len(),
        };
        self.engine.submit(submission, self.now()).unwrap();
        self.count
    }

    /// One round of the log thread.
    fn sync(&mut self) -> bool {
        let Some(mut batch) = self.engine.take_batch() else { return false };
        self.writer.append(&mut batch).unwrap();
        let durable = self.writer.sync().unwrap();
        self.engine.synced(durable, batch, self.now()).unwrap();
        true
    }

    /// Answers since the last call, as (request, version or status).
    fn answers(&mut self) -> Vec<(u64, Result<Version, u16>)> {
        let mut answers = Vec::new();
        self.engine.take_answers(&mut answers);
        let short = |answer: Answer| {
            let outcome = match answer.outcome {
                Ok(applied) if applied.status == 200 => Ok(applied.version),
                Ok(applied) => Err(applied.status),
                Err(problem) => Err(problem.status),
            };
            (answer.reply.request, outcome)
        };
        answers.into_iter().map(short).collect()
    }
}

#[test]
fn nothing_is_answered_before_its_sync_and_everything_after_it() {
    let mut world = World::open();
    let a = world.send(None, "user_create", r#"{"id":"a"}"#);
    let b = world.send(None, "user_create", r#"{"id":"b"}"#);
    assert_eq!(world.answers(), []);
    assert!(world.sync());
    assert_eq!(world.answers(), [(a, Ok(2)), (b, Ok(3))]);
    assert!(world.engine.is_idle());
}

#[test]
fn before_the_epoch_is_open_operations_are_refused_and_keyed_ones_wait() {
    let mut world = World::new(Asked::default());
    let plain = world.send(None, "user_create", r#"{"id":"a"}"#);
    let keyed = world.send(Some("k"), "user_create", r#"{"id":"b"}"#);
    assert_eq!(world.answers(), [(plain, Err(503))]);
    world.sync();
    world.sync();
    assert_eq!(world.answers(), [(keyed, Ok(2))]);
}

#[test]
fn one_client_that_has_as_much_in_flight_as_it_can_is_refused_and_another_is_not() {
    let mut world = World::open();
    for n in 0..IN_FLIGHT_OPS_MAX {
        world.send(None, "user_create", &format!("{{\"id\":\"u{n}\"}}"));
    }
    assert_eq!(world.answers(), []);
    let over = world.send(None, "user_create", "{}");
    assert_eq!(world.answers(), [(over, Err(503))]);
    world.client = client(2);
    let other = world.send(None, "user_create", "{}");
    while world.sync() {}
    assert_eq!(world.answers().last().map(|(request, _)| *request), Some(other));
    world.client = client(1);
    let again = world.send(None, "user_create", "{}");
    world.sync();
    assert!(matches!(world.answers()[..], [(request, Ok(_))] if request == again));
    assert_eq!(world.engine.in_flight().operations, 0);
}

#[test]
fn what_waits_for_the_epoch_to_open_is_bounded_like_everything_in_flight() {
    let mut world = World::new(Asked::default());
    let text = "x".repeat(DATA_BYTES_MAX - 64);
    let fits = IN_FLIGHT_BYTES_MAX / text.len();
    let send = |world: &mut World, n: usize| {
        world.send(Some(&format!("k{n}")), "user_create", &format!("{{\"id\":\"u{n}\",\"text\":\"{text}\"}}"))
    };
    for n in 0..fits {
        send(&mut world, n);
    }
    let over = send(&mut world, fits);
    assert_eq!(world.answers(), [(over, Err(503))]);
    world.client = client(2);
    send(&mut world, fits + 1);
    assert_eq!(world.answers(), []);
    world.wait(Duration::from_secs(5));
    assert_eq!(world.answers().len(), fits + 1, "all are told when their time is over");
    assert_eq!(world.engine.in_flight().bytes, 0);
}

#[test]
fn operations_on_one_document_follow_each_other_and_the_second_sees_the_first() {
    let mut world = World::open();
    let create = world.send(None, "user_create", r#"{"id":"a"}"#);
    let again = world.send(None, "user_create", r#"{"id":"a"}"#);
    let update = world.send(None, "user_update", r#"{"id":"a","x":1}"#);
    world.sync();
    assert_eq!(world.answers(), [(create, Ok(2)), (again, Err(409))]);
    world.sync();
    assert_eq!(world.answers(), [(update, Ok(3))]);
}

#[test]
fn a_key_is_done_once_in_flight_and_afterwards() {
    let mut world = World::open();
    let first = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    let second = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    let other = world.send(Some("k"), "user_create", r#"{"id":"b"}"#);
    assert_eq!(world.answers(), [(other, Err(422))]);
    world.sync();
    let mut answers = world.answers();
    answers.sort_unstable_by_key(|answer| answer.0);
    assert_eq!(answers, [(first, Ok(2)), (second, Ok(2))]);
    let later = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    let changed = world.send(Some("k"), "user_create", r#"{"id":"c"}"#);
    assert_eq!(world.answers(), [(later, Ok(2)), (changed, Err(422))]);
    assert!(!world.sync());
}

#[test]
fn a_version_precondition_refuses_and_logs_nothing() {
    let mut world = World::open();
    let wrong = world.send_expecting(None, Some(7), "user_create", r#"{"id":"a"}"#);
    let right = world.send_expecting(None, Some(2), "user_create", r#"{"id":"a"}"#);
    world.sync();
    assert_eq!(world.answers(), [(wrong, Err(409)), (right, Ok(2))]);
}

#[test]
fn who_waits_too_long_for_a_resource_is_refused_and_who_is_in_the_log_is_unknown() {
    let mut world = World::open();
    let first = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    let behind = world.send(None, "user_update", r#"{"id":"a"}"#);
    world.wait(LOCK_TIMEOUT);
    assert_eq!(world.answers(), [(behind, Err(503))]);
    world.wait(Duration::from_secs(5));
    assert_eq!(world.answers(), [(first, Err(504))]);
    // It stays in the log, commits when it can, and its key tells so.
    world.sync();
    assert_eq!(world.answers(), []);
    let retry = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    assert_eq!(world.answers(), [(retry, Ok(2))]);
}

#[test]
fn without_room_everything_that_is_not_durable_is_refused_and_writes_go_on_later() {
    let mut world = World::open();
    let a = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    let batch = world.engine.take_batch().unwrap();
    let b = world.send(None, "user_create", r#"{"id":"b"}"#);
    drop(batch);
    world.engine.no_room(world.now()).unwrap();
    let mut answers = world.answers();
    answers.sort_unstable_by_key(|answer| answer.0);
    assert_eq!(answers, [(a, Err(507)), (b, Err(507))]);
    let soon = world.send(None, "user_create", r#"{"id":"c"}"#);
    assert_eq!(world.answers(), [(soon, Err(507))]);

    world.wait(ROOM_PROBE);
    let probe = world.send(Some("k"), "user_create", r#"{"id":"a"}"#);
    world.sync();
    assert_eq!(world.answers(), [(probe, Ok(2))]);
    let after = world.send(None, "user_create", r#"{"id":"c"}"#);
    world.sync();
    assert_eq!(world.answers(), [(after, Ok(3))]);
}

#[test]
fn after_a_storage_error_those_in_the_log_are_unknown_and_the_others_refused() {
    let mut world = World::open();
    let sealed = world.send(None, "user_create", r#"{"id":"a"}"#);
    let waiting = world.send(None, "user_update", r#"{"id":"a"}"#);
    world.engine.storage_failed();
    let mut answers = world.answers();
    answers.sort_unstable_by_key(|answer| answer.0);
    assert_eq!(answers, [(sealed, Err(504)), (waiting, Err(503))]);
}

#[test]
fn a_schema_change_runs_alone_and_what_waited_behind_it_obeys_it() {
    let mut world = World::open();
    let first = world.send(None, "user_create", r#"{"id":"a","email":"x"}"#);
    let schema = world.send(None, "schema_set", r#"{"type":"user","unique":["email"]}"#);
    let second = world.send(None, "user_create", r#"{"id":"b","email":"x"}"#);
    let third = world.send(None, "user_create", r#"{"id":"c","email":"y"}"#);
    let fourth = world.send(None, "user_create", r#"{"id":"d","email":"y"}"#);
    while world.sync() {}
    assert_eq!(
        world.answers(),
        [(first, Ok(2)), (schema, Ok(3)), (second, Err(409)), (third, Ok(4)), (fourth, Err(409))]
    );
}

#[test]
fn the_time_of_records_never_goes_back() {
    let mut world = World::open();
    world.send(None, "user_create", r#"{"id":"a"}"#);
    world.time -= 900;
    world.send(None, "user_create", r#"{"id":"b"}"#);
    let times: Vec<Micros> = world.engine.queue.iter().map(|queued| queued.record.time).collect();
    assert_eq!(times, [1000, 1000]);
}

#[test]
fn two_who_wait_behind_each_other_and_are_both_late_are_both_told() {
    let mut world = World::open();
    world.send(None, "user_create", r#"{"id":"a"}"#);
    let schema = world.send(None, "schema_set", r#"{"type":"user","unique":["email"]}"#);
    let second = world.send(None, "user_create", r#"{"id":"b"}"#);
    world.wait(LOCK_TIMEOUT);
    assert_eq!(world.answers(), [(schema, Err(503)), (second, Err(503))]);
}
