//! A service in another process: the engine's orders go to the courier, what it has to say comes back.
//!
//! # Invariants
//! 1. Before records leave the log that the service may have, a file says that it must be made empty; the file goes when
//!    it is. So a crash in between does not leave the service with what the log has not.

use super::*;
use crate::error::{Code, Problem};
use crate::node::adapter::{self, Caller, Courier, Done as Word, Facts as About, Fault};
use crate::node::engine::{Condition, Order};
use crate::node::routes::{self, Handled, RouteError};
use crate::service::digest_of;
use serde_json::json;

/// In `state/`, while the service must be made empty.
const RESET: &str = "service-reset";

/// The way to the service, before its threads.
pub(super) struct Way {
    caller: Arc<dyn Caller>,
    cluster: Arc<std::sync::OnceLock<ClusterId>>,
}

impl Way {
    /// Finds it, and refuses a service that belongs to another log. One that is away is no reason not to start.
    pub(super) fn find(dir: &DataDir, config: &Config, reader: &Reader) -> Result<Option<Self>, NodeError> {
        if !config.service.is_outside() {
            return Ok(None);
        }
        let cluster = Arc::new(std::sync::OnceLock::new());
        dir.meta().cluster_id.into_iter().for_each(|id| _ = cluster.get_or_init(|| id));
        let about = About {
            node: dir.meta().name.clone(),
            cluster: Arc::clone(&cluster),
            service_dir: dir.path().join("service"),
        };
        let caller = adapter::connect(&config.service, about).map_err(|source| NodeError::Io {
            op: "prepare the service of",
            path: dir.path().to_owned(),
            source,
        })?;
        if !reset_file(dir).exists() {
            let fault = match caller.info() {
                Ok(info) => adapter::check(&info, reader).err(),
                Err(fault) => Some(fault),
            };
            match fault {
                Some(Fault::Violation { rule: "service_ahead", detail }) => {
                    caller.stop();
                    return Err(NodeError::ServiceAhead { detail });
                }
                Some(fault) => ::log::warn!("the service: {fault}"),
                None => {}
            }
        }
        Ok(Some(Self { caller, cluster }))
    }

    /// Starts what calls it.
    pub(super) fn open(
        self,
        dir: &DataDir,
        reader: &Reader,
        floor: Version,
        waker: &Arc<Waker>,
    ) -> Result<Outside, NodeError> {
        let reset = Some(reset_file(dir)).filter(|file| file.exists());
        let courier =
            Courier::start(self.caller, reader.clone(), floor, reset, Arc::clone(waker)).map_err(|source| {
                NodeError::Io { op: "start the threads for the service of", path: dir.path().to_owned(), source }
            })?;
        Ok(Outside { courier, cluster: self.cluster })
    }
}

/// The service of a running node.
pub(super) struct Outside {
    pub(super) courier: Courier,
    cluster: Arc<std::sync::OnceLock<ClusterId>>,
}

fn reset_file(dir: &DataDir) -> PathBuf {
    dir.state().join(RESET)
}

/// What `GET /state/hash` answers.
pub(super) fn state_body(version: Version, hash: Result<Hash, String>) -> Result<Handled, RouteError> {
    match hash {
        Ok(hash) => Ok(Handled::Body(Body::data(&json!({ "version": version, "hash": hash.to_string() })))),
        Err(why) => {
            let detail = format!("the service has not written its state: {why}");
            Err(RouteError::Problem(Problem::new(Code::ServiceUnavailable, detail)))
        }
    }
}

impl Node {
    /// Hands the engine's orders on.
    pub(super) fn give_orders(&mut self) {
        let Some(outside) = &self.outside else { return };
        for order in self.engine.take_orders() {
            match order {
                Order::Judge { base, now, questions } => outside.courier.judge(base, now, questions),
                Order::Apply { records } => outside.courier.apply(records),
            }
        }
    }

    /// Hashes the whole state at one version: here on the pool, or by what the service outside writes of itself.
    pub(super) fn hash_state(&mut self, to: ReplyTo) {
        match &self.outside {
            Some(outside) => {
                if let Err(error) = outside.courier.hash_state(to) {
                    ::log::warn!("start a thread for the digest of the state: {error}");
                }
            }
            None => {
                let version = self.engine.applied().version;
                let frozen = self.engine.service().snapshot();
                self.pool.run(move || PoolDone::StateHash { to, version, hash: digest_of(frozen) });
            }
        }
    }

    /// Takes what the service has answered.
    pub(super) fn take_service_done(&mut self, now: Now) -> Result<(), NodeError> {
        let Some(outside) = &self.outside else { return Ok(()) };
        let (words, resets) = (outside.courier.take_done(), outside.courier.resets());
        for word in words {
            match word {
                Word::Judged(verdicts) => self.engine.judged(verdicts, now)?,
                Word::Said(info) => self.engine.service_says(info),
                Word::Replayed { first, outcomes } => self.engine.replayed(first, &outcomes),
                Word::Applied { resets: of, outcomes } if of == resets => self.engine.applied_outside(outcomes, now)?,
                Word::Applied { .. } => {}
                Word::Is(condition) => {
                    let is_whole = condition == Condition::Serving;
                    self.service_is(condition, now)?;
                    if is_whole {
                        self.service_is_whole(now)?;
                    }
                }
                Word::State { to, state } => {
                    let (version, hash) = match state {
                        Ok((version, hash)) => (version, Ok(hash)),
                        Err(fault) => (0, Err(fault.to_string())),
                    };
                    self.answer_elsewhere(to, state_body(version, hash))?;
                }
                Word::Panicked => return Err(NodeError::Panicked("service")),
            }
        }
        Ok(())
    }

    /// Clients that only asked hear what the service thinks.
    pub(super) fn answer_dry_runs(&mut self) -> Result<(), NodeError> {
        for (to, verdict) in self.engine.take_dry_runs() {
            let handled = match verdict {
                Ok((_, resources)) => Ok(Handled::Body(routes::valid_body(&resources, self.engine.applied().version))),
                Err(problem) => Err(RouteError::Problem(problem)),
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    fn service_is(&mut self, condition: Condition, now: Now) -> Result<(), NodeError> {
        let applied = json!(self.engine.applied().version);
        let backlog = json!(self.engine.backlog());
        let facts = [("applied".to_owned(), applied), ("waiting".to_owned(), backlog)];
        match &condition {
            Condition::Stalled { why, .. } if !std::mem::replace(&mut self.has_stalled, true) => {
                let why = ("why".to_owned(), json!(why));
                self.tell_people("apply_stalled", facts.into_iter().chain([why]).collect(), now);
            }
            Condition::Serving if std::mem::replace(&mut self.has_stalled, false) => {
                self.tell_people("apply_resumed", facts.into_iter().collect(), now);
            }
            _ => {}
        }
        Ok(self.engine.service_is(condition, now)?)
    }

    /// The log is about to be cut: a service that may hold more than what stays is made empty, and given the log again.
    pub(super) fn reset_service_above(&mut self, to: Version) -> Result<(), NodeError> {
        if self.engine.is_reached(to) { self.reset_service_to(to) } else { Ok(()) }
    }

    /// The service is made empty, and given everything again that is applied.
    pub(super) fn reset_service(&mut self) -> Result<(), NodeError> {
        self.reset_service_to(Version::MAX)
    }

    fn reset_service_to(&mut self, to: Version) -> Result<(), NodeError> {
        let marker = reset_file(&self.dir);
        let failed = |source| NodeError::Io { op: "note the reset of the service in", path: marker.clone(), source };
        crate::node::dir::write_private(&marker, b"").map_err(failed)?;
        std::fs::File::open(&marker).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::File::open(self.dir.state()).and_then(|dir| dir.sync_all()).map_err(failed)?;
        self.engine.service_is_reset();
        if let Some(outside) = &self.outside {
            outside.courier.reset(to.min(self.engine.applied().version), marker);
        }
        Ok(())
    }

    /// The node has found its cluster.
    pub(super) fn tell_service_of_cluster(&self, cluster: ClusterId) {
        if let Some(outside) = &self.outside {
            outside.cluster.get_or_init(|| cluster);
            outside.courier.log_is(self.reader.clone());
        }
    }
}
