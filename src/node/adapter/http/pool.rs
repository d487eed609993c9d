//! The connections to a service: few, kept, and all of them ended at once.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::conn::Conn;
use crate::limits::SERVICE_CONNECTIONS_MAX;
use crate::node::adapter::Fault;
use crate::node::adapter::patience::Patience;

/// See the module.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<(u64, Conn)>,
    /// Every open connection once more, to be shut down while a call waits on it.
    open: HashMap<u64, TcpStream>,
    /// Connections that are open or about to be.
    places: usize,
    next: u64,
    stopped: bool,
}

/// A connection that one call has for itself.
pub(super) struct Lease<'p> {
    pool: &'p Pool,
    number: u64,
    /// `None` when it has been given back.
    conn: Option<Conn>,
}

fn stopped() -> Fault {
    Fault::Away("the node stops".to_owned())
}

impl Pool {
    /// A kept connection, or a new one; with `fresh` surely a new one, and no kept one is used again: where one was
    /// closed the others are.
    pub(super) fn take(&self, authority: &str, fresh: bool, patience: &Patience) -> Result<Lease<'_>, Fault> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Err(stopped());
            }
            while let Some((number, conn)) = state.idle.pop() {
                if !fresh && conn.is_quiet() {
                    return Ok(Lease { pool: self, number, conn: Some(conn) });
                }
                state.forget(number);
            }
            if state.places < SERVICE_CONNECTIONS_MAX {
                break;
            }
            let left = patience.left()?;
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.places += 1;
        state.next += 1;
        let number = state.next;
        drop(state);
        // From here on the place is given back whatever happens.
        let mut lease = Lease { pool: self, number, conn: None };
        let conn = Conn::open(authority, patience)?;
        let twin = conn.stream.try_clone().map_err(|error| Fault::Away(format!("keep a connection: {error}")))?;
        let mut state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        state.open.insert(number, twin);
        drop(state);
        lease.conn = Some(conn);
        Ok(lease)
    }

    /// Ends every call that waits, and every one that comes.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.idle.clear();
        for stream in state.open.values() {
            // One that is not connected any more is what we want.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.freed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, number: u64) {
        self.open.remove(&number);
        self.places -= 1;
    }
}

impl Lease<'_> {
    /// The connection.
    pub(super) fn conn(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("a lease that was handed out has its connection")
    }

    /// Gives it back, for another call.
    pub(super) fn keep(mut self) {
        let mut state = self.pool.lock();
        if !state.stopped
            && let Some(conn) = self.conn.take()
        {
            state.idle.push((self.number, conn));
            self.pool.freed.notify_one();
            // `drop` must not give back the place as well.
            self.number = 0;
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        self.pool.lock().forget(self.number);
        self.pool.freed.notify_one();
    }
}
