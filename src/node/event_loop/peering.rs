//! Connections to other nodes: dialling them, hearing them, losing them.
//!
//! # Invariants
//! 1. Bytes of a peer never end the node: a connection that says what it must not is closed.

use mio::net::TcpStream;
use mio::{Interest, Token};

use super::*;
use crate::net::{self, Stream};
use crate::node::auth::Shown;
use crate::node::engine::Malformed;
use crate::node::others;
use crate::node::peers::{self, Flow, Peer, Stage};
use crate::peer::{Frame, Greeting};
use crate::replication::Closing;

/// Tokens of peers begin here.
pub(super) const PEERS: usize = 1 << 40;
/// Frames of one peer before others have their turn.
const FRAMES_AT_ONCE: usize = 256;
/// A peer that lets so much wait for it is of no use.
const UNSENT_BYTES_MAX: usize = 64 << 20;
/// Connections of peers, those that are beginning included.
const PEERS_MAX: usize = 64;

impl Node {
    /// Reads what peers have sent, and lets the core hear it.
    pub(super) fn serve_peers(&mut self, now: Now) -> Result<(), NodeError> {
        let touched = self.touched_peers.take();
        for place in touched.iter().copied() {
            let Some(mut peer) = self.peers.get_mut(place).and_then(Option::take) else { continue };
            let served = self.serve_peer(&mut peer, now);
            let is_open = matches!(served, Ok(Flow::Open | Flow::Again));
            self.peers[place] = Some(peer);
            match served? {
                Flow::Open | Flow::Again => self.touched_peers.insert(place),
                Flow::Closed => self.lose(place, now)?,
            }
            if is_open {
                self.perform_effects(now)?;
            }
        }
        self.touched_peers.give_back(touched);
        Ok(())
    }

    pub(super) fn serve_peer(&mut self, peer: &mut Peer, now: Now) -> Result<Flow, NodeError> {
        loop {
            match self.hear(peer, now)? {
                Flow::Open => {}
                other => return Ok(other),
            }
            if peer.unsent() > UNSENT_BYTES_MAX {
                // It speaks and does not listen.
                return Ok(Flow::Closed);
            }
            if !peer.readable || matches!(peer.stage, Stage::Connecting) || self.engine.is_behind() {
                return Ok(Flow::Open);
            }
            if peer.read(&mut self.room) == Flow::Closed {
                if let Some(fault) = peer.fault.take() {
                    self.note_refusal(peer, fault);
                }
                return Ok(Flow::Closed);
            }
        }
    }

    /// Takes whole frames out of what was read.
    pub(super) fn hear(&mut self, peer: &mut Peer, now: Now) -> Result<Flow, NodeError> {
        if let Stage::Asking(reader) = &mut peer.stage {
            match reader.poll() {
                Ok(http::Event::More) => return Ok(Flow::Open),
                Ok(http::Event::Head(head)) if head.status == 101 => {
                    peer.record = others::Record::said(head.header(others::FIELD));
                    if let Stage::Asking(reader) = std::mem::replace(&mut peer.stage, Stage::Greeting) {
                        peer.decoder.push(&reader.into_rest());
                    }
                }
                Ok(http::Event::Head(head)) => {
                    let why = match head.status {
                        401 => ": it wants another token, or a certificate of its CA",
                        _ => "",
                    };
                    self.note_refusal(peer, format!("it answers {} to a peer's call{why}", head.status));
                    return Ok(Flow::Closed);
                }
                Ok(_) | Err(_) => return Ok(Flow::Closed),
            }
        }
        for _ in 0..FRAMES_AT_ONCE {
            let is_linked = peer.is_linked();
            let frame = match peer.decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Flow::Open),
                Err(error) => {
                    ::log::warn!("a peer at {:?}: {error}", peer.socket.socket().peer_addr());
                    return Ok(Flow::Closed);
                }
            };
            match (frame, is_linked) {
                (Frame::Greeting(greeting), false) => {
                    if let Flow::Closed = self.greeted(peer, &greeting, now)? {
                        return Ok(Flow::Closed);
                    }
                }
                (Frame::Message { message, records }, true) => {
                    self.others.heard(peer.link, peer.record.as_ref(), &message, now.instant);
                    if let Err(Malformed(fault)) = self.engine.peer_said(peer.link, message, records, now)? {
                        let at = peer.socket.socket().peer_addr();
                        ::log::warn!("a peer at {at:?} sent records that do not fit: {fault:?}");
                        return Ok(Flow::Closed);
                    }
                    if let Some(address) = peer.dialed.as_ref().filter(|_| !self.tried) {
                        self.dialer.heard(address);
                    }
                }
                (Frame::Greeting(_), true) | (Frame::Message { .. }, false) => return Ok(Flow::Closed),
            }
        }
        peer.readable = true;
        Ok(Flow::Again)
    }

    /// The other end has said what it speaks and whose it is.
    pub(super) fn greeted(&mut self, peer: &mut Peer, greeting: &Greeting, now: Now) -> Result<Flow, NodeError> {
        let protocol = match self.greeting().check(greeting) {
            Ok(protocol) => protocol,
            Err(refusal) => return Ok(self.refuse_greeting(peer, &refusal)),
        };
        if let (None, Some(cluster)) = (self.cluster, greeting.cluster) {
            self.found_cluster(cluster, now)?;
            // Others were greeted by a node without a cluster.
            self.close_peers(now)?;
        }
        if peer.dialed.is_some() {
            // The one who dialled answers with what it has learnt.
            let own = self.greeting();
            peer.send(|out| own.encode(out));
        }
        peer.speak(protocol, greeting.reads);
        if let Some(address) = &peer.dialed {
            self.dialer.greeted(address);
            self.refused_peers.remove(address);
        }
        self.engine.tell(Input::Connected { link: peer.link, dialed: peer.dialed.is_some() }, now)?;
        Ok(Flow::Open)
    }

    /// Why a node that was dialled does not become a peer: told when it is news.
    fn note_refusal(&mut self, peer: &Peer, why: String) {
        let Some(address) = &peer.dialed else {
            return ::log::warn!("a peer at {:?}: {why}", peer.socket.socket().peer_addr());
        };
        self.refuse_peer(address, why);
    }

    fn refuse_peer(&mut self, address: &str, why: String) {
        if self.refused_peers.get(address) != Some(&why) {
            ::log::warn!("no link to {address}: {why}");
            self.refused_peers.insert(address.to_owned(), why);
        }
    }

    /// A client has asked to speak as a peer, and was told yes.
    pub(super) fn welcome(
        &mut self,
        mut socket: Stream<TcpStream>,
        rest: &[u8],
        head: &[u8],
        (shown, record): (Option<Shown>, Option<others::Record>),
        now: Now,
    ) {
        if self.peers.iter().flatten().count() >= PEERS_MAX {
            self.metrics.refused_connections += 1;
            ::log::warn!("a peer at {:?} finds {PEERS_MAX} others, that is the limit", socket.socket().peer_addr());
            return;
        }
        let place = self.peer_place();
        self.next_link += 1;
        let token = Token(PEERS + place);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().reregister(socket.socket_mut(), token, interest) {
            ::log::warn!("watch a peer: {error}");
            return;
        }
        let mut peer = Peer::new(socket, self.next_link, None, now.instant);
        (peer.shown, peer.record) = (shown, record);
        peer.send_raw(head);
        let own = self.greeting();
        peer.send(|out| own.encode(out));
        peer.decoder.push(rest);
        self.peers[place] = Some(Box::new(peer));
        self.touched_peers.insert(place);
    }

    pub(super) fn peer_place(&mut self) -> usize {
        match self.peers.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.peers.push(None);
                self.peers.len() - 1
            }
        }
    }

    /// Dials whoever is due, and closes what has taken too long to begin.
    pub(super) fn dial(&mut self, now: Now) -> Result<(), NodeError> {
        // What a backup brought says where others were. Whether this node is to meet them is for its operator to say.
        let is_to_itself = self.engine.core().is_restored() && self.config.peers.is_empty();
        let known = if is_to_itself { Vec::new() } else { self.engine.core().to_dial() };
        for url in known.iter().map(|member| member.url.clone()).collect::<Vec<_>>() {
            if url != self.url {
                self.dialer.add(&url, now.instant);
            }
        }
        for address in self.dialer.due(now.instant) {
            self.dial_one(&address, now);
        }
        for place in 0..self.peers.len() {
            if self.peers[place].as_ref().is_some_and(|peer| peer.is_overdue(now.instant)) {
                self.lose(place, now)?;
            }
        }
        if !self.tried && self.dialer.all_tried() {
            self.tried = true;
            self.engine.tell(Input::Tried, now)?;
        }
        Ok(())
    }

    pub(super) fn dial_one(&mut self, address: &str, now: Now) {
        let linked =
            self.engine.core().peers().iter().any(|peer| peer.connected && peers::address(&peer.member.url) == address);
        if linked {
            return self.dialer.rest(address, now.instant);
        }
        match peers::split(address).0.parse() {
            Ok(to) => self.dial_at(address, to, now),
            // A name is looked up elsewhere: that may take seconds.
            Err(_) => {
                let address = address.to_owned();
                self.pool.run(move || PoolDone::Resolved { found: peers::resolve(&address), address });
            }
        }
    }

    pub(super) fn dial_at(&mut self, address: &str, to: SocketAddr, now: Now) {
        if let Err(why) = self.may_dial(address) {
            self.refuse_peer(address, why);
            return self.dialer.failed(address, false, now.instant);
        }
        let mut dial = || {
            let mut socket = TcpStream::connect(to)?;
            let place = self.peer_place();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(PEERS + place), interest)?;
            let socket = self.stream_to(address, socket)?;
            self.next_link += 1;
            self.peers[place] =
                Some(Box::new(Peer::new(socket, self.next_link, Some(address.to_owned()), now.instant)));
            Ok(())
        };
        let dialled: io::Result<()> = dial();
        if let Err(error) = dialled {
            ::log::debug!("dial {address}: {error}");
            self.dialer.failed(address, false, now.instant);
        }
    }

    /// Neither token nor records leave in the clear by mistake.
    pub(super) fn may_dial(&self, address: &str) -> Result<(), String> {
        let trust = self.tls.as_ref().and_then(net::Identity::peers);
        match (peers::split(address).1, trust) {
            (true, None) => Err("it speaks TLS, and no --tls-ca is given to know it by".to_owned()),
            (false, Some(_)) if !self.config.insecure_plaintext => {
                Err("it is spoken to in the clear, and this node speaks TLS with its peers".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn stream_to(&self, address: &str, socket: TcpStream) -> io::Result<Stream<TcpStream>> {
        let (host_port, is_secure) = peers::split(address);
        match self.tls.as_ref().and_then(net::Identity::peers).filter(|_| is_secure) {
            Some(trust) => Ok(trust.dial(peers::host(host_port), socket)?),
            None => Ok(Stream::Plain(socket)),
        }
    }

    /// A connection that was dialled stands, or does not.
    pub(super) fn connected(&mut self, place: usize, now: Now) -> Result<(), NodeError> {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return Ok(()) };
        let Stage::Connecting = peer.stage else { return Ok(()) };
        let socket = peer.socket.socket();
        let stands = socket.take_error().is_ok_and(|error| error.is_none()) && socket.peer_addr().is_ok();
        if !stands {
            // Not yet, or never: an error says so, and without one another event comes.
            if !matches!(socket.take_error(), Ok(None)) || socket.peer_addr().is_err() {
                return self.lose(place, now);
            }
            return Ok(());
        }
        if let Err(error) = socket.set_nodelay(true) {
            ::log::debug!("set TCP_NODELAY: {error}");
        }
        let dialed = peer.dialed.clone().unwrap_or_default();
        let mut request = Vec::new();
        let mut headers =
            vec![("Host", peers::split(&dialed).0), ("Connection", "Upgrade"), ("Upgrade", peers::UPGRADE)];
        peer.shown = self.tokens.shown_to_peers();
        let bearer = self.tokens.for_peers().map(|token| format!("Bearer {token}"));
        if let Some(bearer) = &bearer {
            headers.push(("Authorization", bearer));
        }
        headers.push((others::FIELD, self.others.own().as_str()));
        http::write_request(&mut request, "GET", "/peer", &headers, None);
        peer.send_raw(&request);
        peer.stage = Stage::Asking(http::ResponseReader::new(false));
        self.touched_peers.insert(place);
        Ok(())
    }

    /// A connection is over.
    pub(super) fn lose(&mut self, place: usize, now: Now) -> Result<(), NodeError> {
        let Some(peer) = self.peers.get_mut(place).and_then(Option::take) else { return Ok(()) };
        self.touched_peers.remove(place);
        if let Some(address) = &peer.dialed {
            self.dialer.failed(address, peer.is_linked(), now.instant);
        }
        if peer.is_linked() {
            self.others.gone(peer.link);
            self.engine.tell(Input::Closed { link: peer.link }, now)?;
        }
        Ok(())
    }

    /// The core has ended a connection: what it still had to say is tried to be sent.
    pub(super) fn close_link(&mut self, link: Link, why: Closing) {
        self.others.gone(link);
        let Some(place) = self.place_of(link) else { return };
        ::log::info!("a peer's connection is closed: {why:?}");
        if let Some(mut peer) = self.peers[place].take() {
            // Best effort: the other end sees the end of the connection in any case.
            let _ = peer.write();
            if let Some(address) = &peer.dialed {
                match why {
                    Closing::Replaced | Closing::Oneself => self.dialer.rest(address, Instant::now()),
                    _ => self.dialer.failed(address, true, Instant::now()),
                }
            }
        }
        self.touched_peers.remove(place);
    }

    pub(super) fn close_peers(&mut self, now: Now) -> Result<(), NodeError> {
        for place in 0..self.peers.len() {
            self.lose(place, now)?;
        }
        Ok(())
    }

    /// Writes to peers whatever can be written.
    pub(super) fn deliver_peers(&mut self, now: Now) -> Result<(), NodeError> {
        self.feed_peers(now);
        let is_behind = self.engine.is_behind();
        let touched = self.touched_peers.take();
        for place in touched.iter().copied() {
            let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) else { continue };
            if peer.write() == Flow::Closed {
                self.lose(place, now)?;
            } else if peer.readable && !matches!(peer.stage, Stage::Connecting) && !is_behind {
                self.touched_peers.insert(place);
            }
        }
        self.touched_peers.give_back(touched);
        Ok(())
    }
}
