//! HTTP/1.1 as bytes in and bytes out, over `httparse`.
//!
//! ```text
//!            bytes read                                     bytes to write
//!   socket ------------> Connection --next--> Request   Answer, Stream ------------> socket   (a node)
//!   socket ------------> ResponseReader --poll--> Event  write_request ------------> socket   (a client)
//! ```
//!
//! Nothing here knows sockets or clocks: the time is an argument, and who owns the socket asks for deadlines.
//! It is written by hand because what matters is what it refuses. Two programs that disagree about where a
//! request ends can be made to see different requests (smuggling), so everything about framing is read in the
//! strictest way that real clients still pass, a refusal always ends the connection, and each rule has a test
//! named after it.
//!
//! # The rules
//! 1. A head has at most 16 KiB and 64 fields (431); a body too large is refused before it is read (413).
//! 2. `Transfer-Encoding` beside `Content-Length`: 400.
//! 3. Any `Transfer-Encoding` but one `chunked`: 400, or 501 when it is a coding that could have been meant.
//! 4. `Content-Length` is one field of digits that fits 64 bits.
//! 5. A chunk's size has one to eight hexadecimal digits, the sum is bounded; trailers are read and dropped.
//! 6. One `Host`, and it is ours (421).
//! 7. A request from another site's page (`Origin`) and a body that is neither JSON nor NDJSON are refused
//!    where the route is known: [`refuse_origin`], [`require_json`].
//! 8. No folded lines, no space before a colon, no line that ends in LF alone, no control characters.
//! 9. A head has one deadline, a body must make progress: slow senders cannot renew theirs byte by byte.
//! 10. What a connection may hold is bounded; how many there are is the node's affair.
//! 11. `100 Continue` is said only after the head was found good.
//! 12. After a refusal nothing more is read.
//! 13. HEAD, HTTP/1.0, `Connection: close`, pipelining, absolute targets; a target is decoded once, `..` and
//!     NUL are refused.
//! 14. A peer that closes its side still gets its answers.
//!
//! # Invariants
//! 1. No bytes panic anything here.
//! 2. Memory of a connection is at most one head, one body and [`READ_AHEAD_BYTES`].
//! 3. An invalid byte is refused when it comes, not when its message ends.
//!
//! # Not here
//! Routes, tokens, limits over all connections, time-outs of answers: the node's.

mod answer;
mod chunked;
mod client;
mod connection;
mod guard;
mod head;
mod problem;
mod request;
mod settings;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use answer::push_number;
pub use answer::{Answer, Reply, Stream, http_date, sse_comment, sse_event, write_continue};
pub use client::{Event, ResponseError, ResponseHead, ResponseReader, write_request};
pub use connection::{Connection, Expired, Next, READ_AHEAD_BYTES};
pub use guard::{Media, refuse_origin, require_json};
pub use problem::problem_json;
pub use request::Request;
pub use settings::Settings;
pub use target::{decode, encode};
