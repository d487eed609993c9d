//! The way to a node: what connects to it is forwarded, held up in one direction, or cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Seen from the node behind the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From whoever connects to the node.
    In,
    /// From the node to whoever has connected.
    Out,
}

#[derive(Default)]
struct State {
    cut: bool,
    /// Nothing is lost on this way, as nothing is under TCP: it comes late.
    held: Option<Way>,
    /// Both ends of what is open.
    open: Vec<TcpStream>,
}

/// A TCP proxy in front of one node.
pub(crate) struct Link {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Link {
    /// An address that no outgoing connection takes meanwhile: those come from 127.0.0.1.
    pub(crate) fn free_address() -> String {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, high | 1, low, NEXT.fetch_add(1, Ordering::Relaxed));
        TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string()
    }

    /// A link to a node that listens here, or will.
    pub(crate) fn to(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<(Mutex<State>, Condvar)>::default();
        let (node, state) = (node.to_owned(), Arc::clone(&shared));
        // It lives as long as the test process, and costs nothing.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                forward(client.unwrap(), &node, &state);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks what is open and refuses what comes.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.0.lock().unwrap();
        state.cut = true;
        for stream in state.open.drain(..) {
            // The other end may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Bytes on this way do not arrive until the link is healed.
    pub(crate) fn hold(&self, way: Way) {
        self.shared.0.lock().unwrap().held = Some(way);
    }

    pub(crate) fn heal(&self) {
        let mut state = self.shared.0.lock().unwrap();
        (state.cut, state.held) = (false, None);
        self.shared.1.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.heal();
        self.cut();
    }
}

/// Both ways of one connection, each in a thread.
fn forward(client: TcpStream, node: &str, shared: &Arc<(Mutex<State>, Condvar)>) {
    let mut state = shared.0.lock().unwrap();
    if state.cut {
        return;
    }
    // Nobody listens there: the client sees its connection end.
    let Ok(server) = TcpStream::connect(node) else { return };
    for (from, to, way) in [(&client, &server, Way::In), (&server, &client, Way::Out)] {
        from.set_nodelay(true).unwrap();
        state.open.push(from.try_clone().unwrap());
        let (from, to, shared) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(shared));
        std::thread::spawn(move || pump(from, to, way, &shared));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, shared: &(Mutex<State>, Condvar)) {
    let mut piece = [0; 16 << 10];
    while let Ok(n) = from.read(&mut piece) {
        let state = shared.0.lock().unwrap();
        drop(shared.1.wait_while(state, |state| state.held == Some(way)).unwrap());
        if n == 0 || to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
