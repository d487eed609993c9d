//! Operators' requests on their way to the core and back.

use super::*;
use crate::error::{Code, Problem};
use crate::node::routes::{self, Handled, RouteError};
use crate::replication::{NotPromoted, Replication};

/// An operator hears something within this time.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(5);

impl Node {
    /// Takes the operators' requests to the core.
    pub(super) fn ask_core(&mut self, now: Now) -> Result<(), NodeError> {
        for (to, asked) in std::mem::take(&mut self.asked) {
            self.operator_count += 1;
            let request = self.operator_count;
            let input = match asked {
                Operator::Promote { force } => Input::Promote { request, force },
                Operator::Remove { id, force } => Input::RemoveMember { request, id, force },
                Operator::Demote => {
                    self.engine.tell(Input::Demote, now)?;
                    let core = self.engine.core();
                    if core.is_recording() || core.role() == crate::types::Role::Primary {
                        self.demoted.push(to);
                    } else {
                        let body = routes::role_body(&self.engine);
                        self.answer_elsewhere(to, Ok(Handled::Body(body)))?;
                    }
                    continue;
                }
                Operator::Prepare { version, operation } => {
                    if self.cluster.is_none() && self.engine.core().is_participant() {
                        self.found_cluster(ClusterId(*uuid::Uuid::now_v7().as_bytes()), now)?;
                        self.close_peers(now)?;
                    }
                    self.engine.prepare(to, operation, version, now)?;
                    continue;
                }
                Operator::Decide { commit } => {
                    self.engine.decide(to, commit, now)?;
                    continue;
                }
                Operator::Compact(bounds) => {
                    self.ask_compaction(compacting::Asked { to: Some(to), bounds }, now);
                    continue;
                }
                Operator::Backup { since } => {
                    self.begin_backup(to, since)?;
                    continue;
                }
                Operator::Accept(what) => {
                    self.accept_record(what, to)?;
                    continue;
                }
                Operator::Snapshot => {
                    self.snapshotting.ask(to, now.instant);
                    continue;
                }
                Operator::Change(asked) => {
                    self.changes.push((to, asked, now.instant + self.config.request_timeout));
                    self.engine.tell(Input::Change(asked), now)?;
                    continue;
                }
            };
            self.operators.insert(request, (to, now.instant + OPERATOR_TIMEOUT));
            self.engine.tell(input, now)?;
            self.perform_effects(now)?;
        }
        Ok(())
    }

    /// Callers of the participant calls hear what came of them.
    pub(super) fn answer_participants(&mut self) -> Result<(), NodeError> {
        for (to, answer) in self.engine.take_participant_answers() {
            let handled = match answer {
                Ok(record) => Ok(Handled::Body(housekeeping::record_body(&record))),
                Err(problem) => Err(RouteError::Problem(problem)),
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    /// An operator's request that has come to no end in its time.
    pub(super) fn expire_operators(&mut self, now: Now) -> Result<(), NodeError> {
        let late: Vec<u64> =
            self.operators.iter().filter(|(_, (_, at))| *at <= now.instant).map(|(id, _)| *id).collect();
        for request in late {
            let Some((to, _)) = self.operators.remove(&request) else { continue };
            let problem = Problem::new(Code::OutcomeUnknown, "it has come to no end yet, and may still");
            self.answer_elsewhere(to, Err(RouteError::Problem(problem.hint("rig status --all"))))?;
        }
        Ok(())
    }

    /// Changes of the configuration are answered when they are committed.
    pub(super) fn answer_changes(&mut self, now: Now) -> Result<(), NodeError> {
        for (to, asked, deadline) in std::mem::take(&mut self.changes) {
            let core = self.engine.core();
            let config =
                core.config().filter(|config| asked.applied_to(config) == **config && core.config_is_committed());
            let handled = match config {
                Some(config) => Ok(Handled::Body(routes::Body::data(config))),
                None if deadline <= now.instant => Err(RouteError::Problem(not_committed(core))),
                None => {
                    self.changes.push((to, asked, deadline));
                    continue;
                }
            };
            self.answer_elsewhere(to, handled)?;
        }
        Ok(())
    }

    pub(super) fn answer_operator(&mut self, request: u64, result: Result<(), NotPromoted>) -> Result<(), NodeError> {
        let Some((to, _)) = self.operators.remove(&request) else { return Ok(()) };
        let handled = routes::operator_answer(&self.engine, start::wall_clock(), result);
        self.answer_elsewhere(to, handled)
    }
}

/// A change that is in the log, and waits for those whom the rule of before needs.
fn not_committed(core: &Replication) -> Problem {
    let Some((version, holds)) = core.pending_config() else {
        return Problem::new(Code::OutcomeUnknown, "the change is not in the log yet, and may still come")
            .hint("rig config show");
    };
    let rule = match holds.replication {
        Mode::Sync => format!("mode sync with min_replicas={}", holds.min_replicas),
        mode => format!("mode {}", mode.as_str()),
    };
    let detail =
        format!("the change is version {version} of the log and not committed: until it is, {rule} holds as well");
    let peers = core.peers();
    let away = peers.iter().find(|peer| !peer.connected).map(|peer| peer.member.name.as_str());
    let hint = match away {
        Some(name) => format!(
            "start {name}; or, if it is gone for good, rig member remove {name} --accept-data-loss --confirm {name}"
        ),
        None => "it comes when they have caught up: rig status".to_owned(),
    };
    Problem::new(Code::OutcomeUnknown, detail).hint(hint)
}
