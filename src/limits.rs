//! Every bound of Rig, each with its reason.
//!
//! A bound that depends on another is asserted against it at compile time, at the end.

use std::time::Duration;

/// The shortest lease of a primary at a coordinator.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest one.
pub const LEASE_MAX: Duration = Duration::from_secs(60);

/// Bytes of one record: what one document may reasonably be, and what a reader may allocate on the word of a checked header.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// Bytes of `data` in one operation; the rest of the record is its header, key, actor and padding.
pub const DATA_BYTES_MAX: usize = RECORD_BYTES_MAX - 4096;
/// Bytes of a method: `[a-z][a-z0-9_]{0,63}`.
pub const METHOD_BYTES_MAX: usize = 64;
/// Bytes of an idempotency key: two UUIDs and a prefix fit.
pub const KEY_BYTES_MAX: usize = 128;
/// Bytes of an actor: a token's name or a user's.
pub const ACTOR_BYTES_MAX: usize = 64;
/// Depth of JSON: what every common parser reads without trouble.
pub const JSON_DEPTH_MAX: usize = 128;

/// Bytes of one segment: a start hashes the newest one before it is ready, at about 0.5 ms for a MiB, and this keeps
/// what that adds below what else a start does; zero-filling one takes about 12 ms.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// How often the whole log is read again: twice a day, so that damage is known within one, also when a pass takes long.
pub const SCRUB_INTERVAL: Duration = Duration::from_secs(12 * 3600);
/// A snapshot is an hour old at most when something is new: what a start replays does not grow for days.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(3600);
/// How long one run of the command for events may take.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one group commit: larger ones gain nothing and make the first in line wait.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Records that a compaction keeps unless it is told otherwise: what a member that was away for a moment needs.
pub const COMPACT_KEEP: u64 = 10_000;

/// Operations of one client admitted and not answered: the largest batch.
pub const IN_FLIGHT_OPS_MAX: usize = 10_000;
/// Bytes of operations of one client admitted and not answered: two bodies of the largest.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Operations of others beside those of a client that has as many as it can.
pub const IN_FLIGHT_OPS_RESERVE: usize = IN_FLIGHT_OPS_MAX / 4;
/// The same for bytes: more than the largest operation.
pub const IN_FLIGHT_BYTES_RESERVE: usize = IN_FLIGHT_BYTES_MAX / 4;

/// Bytes of a request head, as most servers and proxies have it.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of one request body: a batch of many small operations or one large record.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes that the requests of all connections may hold while they come in: four of the largest at a time. Over it
/// the next one that is large and grows is refused; small requests are not, [`CONNECTIONS_MAX`] bounds those.
pub const BODIES_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// From the first byte of a head to its last.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A body must make progress of [`BODY_PROGRESS_BYTES`] within this time, again and again.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// See [`BODY_TIMEOUT`]: 1 KiB/s over 30 s.
pub const BODY_PROGRESS_BYTES: usize = 30 << 10;
/// A connection that says nothing between requests.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A client that does not read its answers.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// After the last answer: for so long what a client still sends is read and dropped, because closing in the face of
/// bytes that nobody has read makes the client's system throw the answer away.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections of clients.
pub const CONNECTIONS_MAX: usize = 1024;
/// Connections of one client among them: the rest is for others, whatever one does.
pub const CLIENT_CONNECTIONS_MAX: usize = CONNECTIONS_MAX / 4 * 3;
/// Connections beyond these bounds, for one request each: calls of peers, and whoever asks how the node is.
pub const HEARD_CONNECTIONS_MAX: usize = 64;
/// Followers of the change feed among them.
pub const FOLLOWERS_MAX: usize = 256;
/// Bytes of answers that wait for one slow reader before no more of its requests are read.
pub const UNSENT_BYTES_MAX: usize = 4 << 20;
/// Requests of one connection that are read ahead of their answers.
pub const PIPELINE_MAX: usize = 256;
/// Requests of one connection before the others have their turn, and before commits and peers have theirs.
pub const TURN_REQUESTS_MAX: usize = 16;
/// A follower hears something at least this often.
pub const FOLLOW_HEARTBEAT: Duration = Duration::from_secs(15);

/// Threads that ask a service in another process for reads, and connections to it for them: one that is slow holds up
/// reads of its own only.
pub const PROXY_THREADS: usize = 8;
/// Reads that wait for one of these threads.
pub const PROXY_WAITING_MAX: usize = 256;
/// Bytes of one answer that is passed on; it is held in memory while it comes.
pub const PROXIED_BYTES_MAX: usize = 64 << 20;
/// Bytes of answers that wait for their clients, over all connections, above which no more is asked of the service.
pub const PROXY_UNSENT_BYTES_MAX: usize = 128 << 20;

/// The longest `Rig-Timeout-Ms`.
pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// How long an operation waits for a resource that another holds.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Keyed records that are remembered for replay, the newest.
pub const KEYS_MAX: usize = 1_000_000;
/// How long they are remembered, in record time.
pub const KEY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a result that is remembered with its key.
pub const KEY_RESULT_BYTES_MAX: usize = 4 << 10;

/// Members of a cluster: the in-sync set is a list, and every member costs the primary its outgoing bytes.
pub const MEMBERS_MAX: usize = 9;

/// Numbers and starts of epochs, and versions, that are taken from others: at a million a second they are reached after 146
/// thousand years, and whoever counts on from there, or adds two of them, does not overflow.
pub const NUMBER_MAX: u64 = 1 << 62;

/// Bytes of a node's name: it becomes a file name and a header value.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a node's address.
pub const URL_BYTES_MAX: usize = 1024;
/// Epochs of one log that a message can name: a restart every hour for eleven years.
pub const EPOCHS_MAX: usize = 100_000;
/// Results whose marks a node keeps, to compare them with those of others: 256 KiB, and a minute of a busy cluster.
pub const MARKS_KEPT: usize = 64 << 10;
/// Marks in one message between nodes: 16 KiB, so that records wait for no more than that.
pub const MARKS_PER_MESSAGE: usize = 4096;
/// Bytes of one piece of a snapshot on its way to a member: records for the others wait for no more than that.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
/// Bytes of log that a compaction leaves for a member which is not in sync; one that is further behind gets a snapshot.
pub const COMPACT_HOLD_BYTES: u64 = 1 << 30;
/// Bytes of one frame between nodes: the largest record and what goes before it.
pub const FRAME_BYTES_MAX: usize = RECORD_BYTES_MAX + 4096;

/// Items of one page of documents.
pub const LIST_ITEMS_MAX: usize = 1000;
/// Bytes of a document's id.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of a document's type: with `_create` it is still a method.
pub const TYPE_BYTES_MAX: usize = 63;
/// Fields in each list of a schema: each costs every write of the type a look-up or two.
pub const SCHEMA_FIELDS_MAX: usize = 32;
/// Bytes that the documents may take when nothing else is said.
pub const DOCUMENTS_BYTES_DEFAULT: u64 = 2 << 30;

/// Bytes of one answer of a service in another process, and of one line of a pipe: a batch of the largest results, and
/// what a reader may collect before it gives up.
pub const SERVICE_ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of data in one call to a service: with what it fills in, or answers, one answer still holds it.
pub const SERVICE_CALL_BYTES_MAX: usize = 16 << 20;
/// Operations in one call to a service.
pub const SERVICE_BATCH_MAX: usize = 1024;
/// The same when the service does not say.
pub const SERVICE_BATCH_DEFAULT: usize = 256;
/// Bytes of the resources of one operation: they are held as long as it is in flight.
pub const SERVICE_RESOURCES_BYTES_MAX: usize = 1 << 20;
/// Operations that a service offers to try it with.
pub const SERVICE_EXAMPLES_MAX: usize = 1024;
/// Connections to a service over HTTP: an apply, a snapshot, and judgements beside them.
pub const SERVICE_CONNECTIONS_MAX: usize = 4;
/// To connect to a service: beyond this nobody is there.
pub const SERVICE_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// `info`, which a service may ask its storage for.
pub const SERVICE_INFO_TIMEOUT: Duration = Duration::from_secs(5);
/// `validate`: a client waits for it, and what takes longer is better judged again.
pub const SERVICE_VALIDATE_TIMEOUT: Duration = Duration::from_secs(2);
/// `apply`: a batch with its commit, on a slow disk; repeating it too early only adds to what is slow.
pub const SERVICE_APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// `health`: asked once a second.
pub const SERVICE_HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// `snapshot` and `restore`: without any progress that can be seen.
pub const SERVICE_STATE_TIMEOUT: Duration = Duration::from_secs(600);
/// A command that has answered before, and now answers nothing for so long while it is asked, hangs.
pub const SERVICE_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Before a command that has ended is started again; it doubles.
pub const SERVICE_RESTART_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
pub const SERVICE_RESTART_MAX: Duration = Duration::from_secs(5);
/// A command that has answered for so long is not one that cannot start.
pub const SERVICE_WELL_AFTER: Duration = Duration::from_secs(10);
/// What a command has to end by itself when its standard input is closed.
pub const SERVICE_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one line of a command's standard error that are logged.
pub const SERVICE_STDERR_LINE_BYTES_MAX: usize = 4 << 10;

const _: () = assert!(DATA_BYTES_MAX + METHOD_BYTES_MAX + KEY_BYTES_MAX + ACTOR_BYTES_MAX + 256 <= RECORD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX as u64 * 2 <= SEGMENT_BYTES);
const _: () = assert!(DATA_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX <= IN_FLIGHT_BYTES_MAX);
const _: () = assert!(IN_FLIGHT_BYTES_MAX <= BODIES_BYTES_MAX);
const _: () = assert!(FOLLOWERS_MAX < CLIENT_CONNECTIONS_MAX);
const _: () = assert!(DATA_BYTES_MAX <= IN_FLIGHT_BYTES_RESERVE);
const _: () = assert!(METHOD_BYTES_MAX < 256 && KEY_BYTES_MAX < 256 && ACTOR_BYTES_MAX < 256);
const _: () = assert!(DATA_BYTES_MAX < SERVICE_CALL_BYTES_MAX && SERVICE_CALL_BYTES_MAX * 2 < SERVICE_ANSWER_BYTES_MAX);
const _: () = assert!(SERVICE_BATCH_DEFAULT <= SERVICE_BATCH_MAX);
