//! What a node opens before its loop begins.

use super::*;
use crate::node::install;

/// Opens everything; or, where the log is damaged and other nodes are known, nothing but what a repair needs.
pub(super) fn start_or_repair(
    dir: &DataDir,
    config: &Config,
    url: &str,
) -> Result<(start::Started, Option<repair::Wanted>), NodeError> {
    let io = |source| NodeError::Io { op: "prepare the repair in", path: dir.state(), source };
    let installed = install::finish(dir, config)?;
    if let Some(wanted) = repair::pending(&dir.state()) {
        return Ok((start::failed(dir, config, url, now())?, Some(wanted)));
    }
    match start::start(dir, config, url, now()) {
        Err(NodeError::Log(error)) if error.is_damage() => {
            let alone = config.peers.is_empty() && repair::members(&dir.state()).is_empty();
            if alone || dir.meta().cluster_id.is_none() {
                return Err(error.into());
            }
            let Some(wanted) = repair::begin(dir.path(), &dir.state(), &error).map_err(io)? else {
                return Err(error.into());
            };
            ::log::error!("{error}: versions {} to {} are fetched from another node", wanted.from, wanted.upto);
            Ok((start::failed(dir, config, url, now())?, Some(wanted)))
        }
        started => {
            let mut started = started?;
            started.notes.extend(installed);
            Ok((started, None))
        }
    }
}

/// Beyond loopback a node needs tokens, and TLS or the operator's word that the network is trusted.
pub(super) fn check_exposure(config: &Config) -> Result<Tokens, NodeError> {
    let address = config.listen;
    if !address.ip().is_loopback() {
        if config.tokens.is_none() {
            return Err(NodeError::Exposed { address, missing: "--tokens FILE" });
        }
        if config.tls.is_none() && !config.insecure_plaintext {
            return Err(NodeError::Exposed { address, missing: "--tls-cert and --tls-key, or --insecure-plaintext" });
        }
    }
    config.tokens.as_deref().map_or_else(|| Ok(Tokens::default()), Tokens::load)
}

impl Node {
    /// Whether what a start reads before it opens anything is there and fits: tokens, certificate, key and CA.
    ///
    /// # Errors
    /// Those with which a start would end.
    #[doc(hidden)]
    pub fn check(config: &Config) -> Result<(), NodeError> {
        check_exposure(config)?;
        identity(config).map(drop)
    }

    /// Whether clients have something from this node: without other members only when its epoch is open.
    pub(super) fn can_answer(&self) -> bool {
        let core = self.engine.core();
        let has_others = core.config().is_some_and(|config| config.members.len() > 1);
        self.repair.is_some()
            || (self.engine.is_open() && self.knows_service())
            || core.role() == Role::Replica
            || has_others
            || !self.config.peers.is_empty()
            || self.coordinating.as_ref().is_some_and(coordinating::Coordinating::is_away)
    }

    /// Whether a service outside has shown itself: it is away, or it has everything.
    fn knows_service(&self) -> bool {
        match self.engine.condition() {
            None | Some(Condition::Stalled { .. }) => true,
            Some(Condition::Starting { .. }) => false,
            Some(Condition::Serving) => self.engine.backlog() == 0,
        }
    }
}

/// What the node shows to those who connect.
pub(super) fn identity(config: &Config) -> Result<Option<net::Identity>, NodeError> {
    config.tls.as_ref().map(net::Identity::load).transpose().map_err(NodeError::Tls)
}

/// How others reach it. Where it speaks TLS nobody must be told otherwise.
pub(super) fn url(config: &Config, listen: SocketAddr) -> Result<String, NodeError> {
    let scheme = if config.tls.is_some() { net::SECURE } else { net::PLAIN };
    let refused = |reason: String| NodeError::Setting { name: "advertise", reason };
    match &config.advertise {
        None => Ok(format!("{scheme}{listen}")),
        Some(url) if !url.contains("://") || url.starts_with(scheme) => Ok(url.clone()),
        Some(url) => Err(refused(format!("{url} does not begin with {scheme}, which is what this node speaks"))),
    }
}

pub(super) fn listen(address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), NodeError> {
    let failed = |source| NodeError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
