//! A service behind a URL.
//!
//! Connections are kept and used again, at most four. A call that finds a kept one closed is sent once more on a new
//! one: whatever is asked may be asked twice, and a service that closes what is idle is no fault.

mod conn;
mod pool;

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::patience::{Patience, Times};
use super::speaker::Wire;
use super::spool::Spooled;
use super::{Fault, Greeting};
use crate::http::{ResponseHead, write_request};
use crate::node::Base;
use crate::service::protocol::{self, Answer, Call};
use crate::types::Version;
use conn::{Conn, Lost};
use pool::Pool;

/// The header that says the version of a snapshot.
const VERSION_HEADER: &str = "Rig-Version";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const BYTES: (&str, &str) = ("Content-Type", "application/octet-stream");

/// See the module.
pub(super) struct Http {
    base: Base,
    times: Times,
    greeting: Arc<Greeting>,
    pool: Pool,
}

impl Http {
    /// A service behind this URL; nothing is sent yet.
    pub(super) fn new(url: &str, times: Times, greeting: Arc<Greeting>) -> io::Result<Self> {
        let wrong = |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
        Ok(Self { base: Base::parse(url).map_err(wrong)?, times, greeting, pool: Pool::default() })
    }

    fn request(&self, method: &str, call: Call, headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.map_or(0, <[u8]>::len) + 512);
        let mut all = vec![("Host", self.base.authority()), ("Accept", "application/json, */*")];
        all.extend_from_slice(headers);
        write_request(&mut out, method, &self.base.target(&format!("/rig/v1/{}", call.name())), &all, body);
        out
    }

    /// Has `talk` speak on a connection that has been greeted. It says with its answer whether the connection can be
    /// used again.
    fn on_a_connection<T>(
        &self,
        call: Call,
        mut talk: impl FnMut(&mut Conn, &mut Patience) -> Result<(T, bool), Lost>,
    ) -> Result<T, Fault> {
        let mut patience = self.times.begin(call);
        let (mut greeted, mut again) = (false, false);
        loop {
            let mut lease = self.pool.take(self.base.authority(), again, &patience)?;
            let conn = lease.conn();
            if !greeted && !conn.greeted && call != Call::Info {
                let keep = self.greet(conn, &mut patience).map_err(|lost| self.fault(lost))?;
                greeted = true;
                // A service that closes after every answer is slow, not wrong: the call itself goes over the next one.
                if !keep {
                    continue;
                }
            }
            (conn.greeted, greeted) = (true, false);
            let kept = conn.kept;
            match talk(conn, &mut patience) {
                Ok((told, true)) => {
                    lease.keep();
                    return Ok(told);
                }
                Ok((told, false)) => return Ok(told),
                Err(Lost::Unanswered(_)) if kept && !again => again = true,
                Err(lost) => return Err(self.fault(lost)),
            }
        }
    }

    fn greet(&self, conn: &mut Conn, patience: &mut Patience) -> Result<bool, Lost> {
        let mut keep = false;
        self.greeting.greet(|params| {
            let request = self.request("POST", Call::Info, &[JSON], Some(params.as_bytes()));
            let (answer, keeps) = exchange(conn, &request, None, patience)?;
            keep = keeps;
            Ok::<_, Lost>(answer)
        })?;
        Ok(keep)
    }

    fn fault(&self, lost: Lost) -> Fault {
        match lost {
            // Whatever a connection says that we have shut down ourselves.
            _ if self.pool.is_stopped() => Fault::Away("the node stops".to_owned()),
            Lost::Unanswered(why) => Fault::Away(why),
            Lost::Fault(fault) => fault,
        }
    }
}

/// One request and its whole answer; and whether another may follow.
fn exchange(
    conn: &mut Conn,
    request: &[u8],
    more: Option<&mut dyn Read>,
    patience: &mut Patience,
) -> Result<(Answer, bool), Lost> {
    let head = conn.ask(request, more, patience)?;
    let (body, keep) = conn.whole_body(&head, patience)?;
    Ok((Answer { status: head.status, body }, keep))
}

impl Wire for Http {
    fn call(&self, call: Call, params: &str) -> Result<Answer, Fault> {
        let request = match call {
            Call::Health => self.request("GET", call, &[], None),
            _ => self.request("POST", call, &[JSON], Some(params.as_bytes())),
        };
        self.on_a_connection(call, |conn, patience| exchange(conn, &request, None, patience))
    }

    fn snapshot(&self, _: &Spooled, out: &mut dyn Write) -> Result<Version, Fault> {
        let request = self.request("GET", Call::Snapshot, &[], None);
        self.on_a_connection(Call::Snapshot, |conn, patience| {
            let head = conn.ask(&request, None, patience)?;
            if head.status != 200 {
                let (body, _) = conn.whole_body(&head, patience)?;
                return Err(
                    Fault::from(protocol::refusal(Call::Snapshot, &Answer { status: head.status, body })).into()
                );
            }
            let version = version_of(&head)?;
            let keep = conn.body(&head, patience, |piece| {
                out.write_all(piece).map_err(|error| Fault::Away(format!("keep the snapshot: {error}")))
            })?;
            Ok((version, keep))
        })
    }

    fn restore(&self, version: Version, file: &Spooled) -> Result<Answer, Fault> {
        let unreadable = |error: io::Error| Fault::Away(format!("read the snapshot: {error}"));
        let (version, length) = (version.to_string(), file.len().to_string());
        let headers = [(VERSION_HEADER, &*version), BYTES, ("Content-Length", &length)];
        let request = self.request("PUT", Call::Snapshot, &headers, None);
        self.on_a_connection(Call::Restore, |conn, patience| {
            let mut file = file.open().map_err(unreadable)?;
            exchange(conn, &request, Some(&mut file), patience)
        })
    }

    fn stop(&self) {
        self.pool.stop();
    }
}

/// The version of a snapshot, whose end must be sure: one that is cut must not pass for a whole one.
fn version_of(head: &ResponseHead) -> Result<Version, Fault> {
    let broken = |detail: &str| Fault::Violation { rule: "snapshot", detail: detail.to_owned() };
    if head.header("content-length").is_none() && head.header("transfer-encoding").is_none() {
        return Err(broken("an answer that has neither a length nor chunks"));
    }
    let version = head.header(VERSION_HEADER).and_then(|value| value.trim().parse().ok());
    version.ok_or_else(|| broken("an answer without the header Rig-Version"))
}
