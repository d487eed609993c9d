//! What others hold of a running node.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;

use super::Node;

/// Asks a node to stop, from any thread or signal handler.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopper").field("asked", &self.shared.stop).finish()
    }
}

impl Stopper {
    /// Takes no new operation, finishes those that are in, then ends.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let waker = Arc::clone(&self.shared.waker.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = waker.wake() {
            ::log::error!("wake the event loop: {error}");
        }
    }
}

/// What outlives a node that starts anew.
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    waker: Mutex<Arc<Waker>>,
}

impl Shared {
    /// That of the node before this one, which is woken by another waker from now on.
    pub(super) fn of(before: Option<Arc<Self>>, waker: &Arc<Waker>) -> Arc<Self> {
        let Some(shared) = before else {
            return Arc::new(Self { stop: AtomicBool::new(false), waker: Mutex::new(Arc::clone(waker)) });
        };
        *shared.waker.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(waker);
        shared
    }
}

impl Node {
    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: Arc::clone(&self.shared) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.dir.meta().name
    }

    /// How others reach it: `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }
}
