//! Reads that a service in another process answers: who waits for a thread, and how every answer says its version.
//!
//! # Invariants
//! 1. The applied version is read before the service is asked, in the same turn. Who is away meanwhile has not answered.
//! 2. What is held for clients is bounded: reads that wait by their number, answers by their bytes. While too much of
//!    them waits for its clients, nothing more is asked.

use std::collections::VecDeque;

use super::*;
use crate::error::{Code, Problem};
use crate::limits::{PROXY_THREADS, PROXY_UNSENT_BYTES_MAX, PROXY_WAITING_MAX};
use crate::node::Base;
use crate::node::connection::{Exchange, Slot};
use crate::node::proxy::{Claims, Read, Upstream};
use crate::node::routes::{Handled, Route, RouteError};

/// The way to the service.
pub(super) struct Proxy {
    upstream: Arc<Upstream>,
    /// Never waited for at the end: a thread that is with the service ends by the deadline of its read.
    pool: Pool<PoolDone>,
    waiting: VecDeque<(ReplyTo, Box<Read>)>,
    running: usize,
}

/// What came of one read: status and bytes of the whole answer.
pub(super) struct Fetched {
    to: ReplyTo,
    answer: Result<(u16, Vec<u8>), Problem>,
}

/// Where the service serves its reads.
pub(super) fn base(url: &str) -> Result<Base, NodeError> {
    Base::parse(url).map_err(|reason| NodeError::Setting { name: "proxy", reason: format!("{url}: {reason}") })
}

impl Proxy {
    pub(super) fn start(base: Option<Base>, waker: &Arc<Waker>) -> io::Result<Option<Self>> {
        let Some(base) = base else { return Ok(None) };
        let pool = Pool::start(PROXY_THREADS, waker, || PoolDone::Panicked)?;
        Ok(Some(Self { upstream: Arc::new(Upstream::new(base)), pool, waiting: VecDeque::new(), running: 0 }))
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn take_done(&self) -> Vec<PoolDone> {
        self.pool.take_done()
    }

    /// Reads that will get no answer from the service: their time is over, or too many wait.
    fn refused(&mut self, now: Instant) -> Vec<(ReplyTo, Problem)> {
        let mut refused = Vec::new();
        for (to, read) in std::mem::take(&mut self.waiting) {
            if read.deadline <= now {
                let detail = "the service has too many reads to answer: this one waited until its deadline";
                refused.push((to, Problem::new(Code::ServiceUnavailable, detail)));
            } else if self.waiting.len() >= PROXY_WAITING_MAX {
                let detail = format!("{PROXY_WAITING_MAX} reads wait for the service, that is the limit");
                refused.push((to, Problem::new(Code::Overloaded, detail).hint("send again after Retry-After")));
            } else {
                self.waiting.push_back((to, read));
            }
        }
        refused
    }
}

impl Node {
    /// Takes a read in; it is looked at in this turn, when every request of the turn has its place.
    pub(super) fn queue_proxied(&mut self, to: ReplyTo, read: Box<Read>) {
        if let Some(proxy) = &mut self.proxy {
            proxy.waiting.push_back((to, read));
        }
    }

    /// Asks the service for what waits, as far as there are threads and room.
    pub(super) fn serve_proxied(&mut self, now: Now) -> Result<(), NodeError> {
        while let Some((to, read)) = self.next_proxied() {
            // Nobody waits for it any more.
            if self.exchange_of(to).is_none() {
                continue;
            }
            if let Some(problem) = self.unready() {
                self.answer_elsewhere(to, Err(RouteError::Problem(problem)))?;
                continue;
            }
            let claims = self.claims();
            let Some(proxy) = &mut self.proxy else { break };
            proxy.running += 1;
            let upstream = Arc::clone(&proxy.upstream);
            proxy.pool.run(move || {
                let answer = upstream.fetch(&read, claims);
                PoolDone::Proxied(Box::new(Fetched { to, answer }))
            });
        }
        let refused = self.proxy.as_mut().map(|proxy| proxy.refused(now.instant)).unwrap_or_default();
        for (to, problem) in refused {
            self.answer_elsewhere(to, Err(RouteError::Problem(problem)))?;
        }
        Ok(())
    }

    fn next_proxied(&mut self) -> Option<(ReplyTo, Box<Read>)> {
        let proxy = self.proxy.as_mut().filter(|proxy| proxy.running < PROXY_THREADS && proxy.has_waiting())?;
        let unsent: usize = self.connections.iter().flatten().map(|connection| connection.owed()).sum();
        if unsent > PROXY_UNSENT_BYTES_MAX { None } else { proxy.waiting.pop_front() }
    }

    /// A service that is away, or on its way back, may be behind what is applied: nobody can say of which version its
    /// answer is.
    fn unready(&self) -> Option<Problem> {
        let detail = match self.engine.condition() {
            None | Some(Condition::Serving) => return None,
            Some(Condition::Stalled { why, .. }) => format!("the service is away: {why}"),
            Some(Condition::Starting { .. }) => "the service is being brought up to the log".to_owned(),
        };
        Some(Problem::new(Code::ServiceUnavailable, detail).hint("send again after Retry-After"))
    }

    /// The service has answered, or not.
    pub(super) fn end_proxied(&mut self, Fetched { to, answer }: Fetched) -> Result<(), NodeError> {
        if let Some(proxy) = &mut self.proxy {
            proxy.running -= 1;
        }
        let handled = match answer.and_then(|answer| self.unready().map_or(Ok(answer), Err)) {
            Ok((status, bytes)) => {
                self.metrics.answered(Route::OTHER, status);
                Ok(Handled::Slot(Slot::Done(bytes)))
            }
            Err(problem) => Err(RouteError::Problem(problem)),
        };
        self.answer_elsewhere(to, handled)
    }

    /// What this node says of itself now.
    fn claims(&self) -> Claims {
        let (core, node) = (self.engine.core(), self.dir.meta().name.clone());
        Claims { node, role: core.role(), epoch: core.epoch().number, version: self.engine.applied().version }
    }

    /// The same as fields of an answer, for what was read at this version. They stay the same until something is
    /// applied.
    pub(super) fn lines_at(&mut self, version: Version) -> &[u8] {
        let core = self.engine.core();
        let of = (version, core.epoch().number, core.role());
        if self.common_of != of {
            self.common_of = of;
            self.common = Claims { version, ..self.claims() }.lines();
        }
        &self.common
    }

    pub(super) fn body(&mut self, exchange: &Exchange, body: &Body) -> Vec<u8> {
        self.metrics.answered(exchange.route, body.status);
        let version = body.version.unwrap_or(self.engine.core().applied());
        let mut out = Vec::with_capacity(body.bytes.len() + 512);
        let mut answer = http::Answer::new(&mut out, exchange.reply, body.status);
        answer.lines(self.lines_at(version)).header("X-Request-Id", &exchange.id);
        if let Some(etag) = &body.etag {
            answer.header("ETag", etag);
        }
        if matches!(body.status, 204 | 304) {
            answer.empty()
        } else {
            answer.body(&body.content_type, &body.bytes)
        }
        out
    }
}
